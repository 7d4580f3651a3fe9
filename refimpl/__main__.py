"""The command line: ``refimpl train``, ``reproduce``, ``benchmark`` and others."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

try:
    from refimpl.errors import InvalidParameter, MissingData, MissingExtra
    from refimpl.experiments import (
        accuracy,
        accuracy_plots,
        benchmark,
        benchmark_comparison,
        benchmark_plots,
        checkpoints,
        cluster,
        data,
        exact_figures,
        exact_plots,
        executors,
        fetch,
        figures,
        multilevel,
        multilevel_bias,
        multilevel_plots,
        multilevel_reproduction,
        records,
        reproduction,
        settings,
        stored,
        sweep,
        threads,
        workers,
    )
except KeyboardInterrupt:  # before anything was begun
    sys.exit(130)

__all__ = ["main"]


class ExitCode(IntEnum):
    """What the command returns to the shell."""

    DONE = 0
    SLOWER = 1
    USAGE = 2
    ABSENT = 3
    INTERRUPTED = 130


class _Failure(Exception):
    """A sentence for the user, and the code to leave with."""

    def __init__(self, sentence: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(sentence)
        self.code = code


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence."""

    def error(self, message: str) -> NoReturn:
        raise _Failure(f"{message} (see `{self.prog} --help`)")


def _whole(what: str, least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"{what} is an integer >= {least}, got {text!r}"
            )
        return int(text)

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="refimpl",
        description="Run and measure the algorithms of the paper.",
        epilog="exit codes: 0 done; 1 slower than `benchmark --against`; 2 wrong "
        "arguments, files or folders; 3 an extra is not installed; 130 interrupted",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_, run, add_arguments in _COMMANDS:
        command = commands.add_parser(
            name, help=help_, description=help_, allow_abbrev=False
        )
        command.set_defaults(run=run)
        add_arguments(command)
    return parser


# --- train ----------------------------------------------------------------------------


def _train_arguments(command: argparse.ArgumentParser) -> None:
    for name, meaning in settings.MEANING.items():
        flag = "--" + name.replace("_", "-")
        required = {"required": True} if name == "method" else {}
        how = {**_FLAGS.get(name, {}), **required}
        if name in settings.CHOICES:
            how["choices"] = settings.CHOICES[name]
        command.add_argument(
            flag, dest=name, default=argparse.SUPPRESS, help=meaning, **how
        )
    _common_arguments(command, "runs", "the record")


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split("-")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(
            f"layers are written like 784-200-10, got {text!r}"
        )
    return tuple(map(int, parts))


_COUNT = {"type": _whole("it", 0), "metavar": "N"}
_FLAGS: dict[str, dict[str, Any]] = {
    "sizes": {"type": _sizes, "metavar": "784-200-10"},
    "initialisation": {"metavar": "NAME"},
    "learning_rate": {"type": float, "metavar": "ETA"},
    "tau": {"type": float, "nargs": "+", "metavar": "TAU"},
    "epsilon": {"type": float, "metavar": "C"},
    "a": {"type": float, "nargs": 2, "metavar": ("C", "ALPHA")},
    "in_span": {"action": argparse.BooleanOptionalAction},
    "sgd_rate": {"type": float, "metavar": "ETA"},
    **dict.fromkeys(("updates", "batch", "origin", "J", "M", "sgd_before"), _COUNT),
    **dict.fromkeys(("held_out", "evaluate_every", "seed"), _COUNT),
}


def _train(options: argparse.Namespace) -> None:
    given = vars(options)
    changes = {name: given[name] for name in settings.MEANING if name in given}
    if len(changes.get("tau", ())) == 1:
        (changes["tau"],) = changes["tau"]
    setting = settings.of_section_6(**changes)
    _run([setting], options, jobs=1)
    place = checkpoints.Place(options.out, setting)
    history = checkpoints.history_of(place)
    others = checkpoints.of_other_versions([history])
    for warning in [*history.data_warnings, *others]:
        print(f"refimpl: warning: {warning}", file=sys.stderr)
    last = history.evaluations[-1]
    print(
        f"{history.ended}: after {last.k} updates {last.accuracy:.3f} of "
        f"{setting.held_out} held-out images and {last.accuracy_of_all:.4f} of all "
        "test images are classified right"
    )
    print(place.record)


def _common_arguments(command: argparse.ArgumentParser, folder: str, what: str) -> None:
    command.add_argument(
        "--out",
        type=Path,
        default=Path(folder),
        metavar="FOLDER",
        help=f"for {what}; made if absent (default: {folder})",
    )
    _force_argument(command)
    _data_argument(command)


def _force_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--force", action="store_true", help="begin anew, whatever is in FOLDER"
    )


def _data_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data-dir",
        type=Path,
        metavar="FOLDER",
        help=f"with the files of MNIST (default: what {data.FOLDER_VARIABLE} names)",
    )


def _run(
    chosen: Sequence[stored.StoredSetting],
    options: argparse.Namespace,
    jobs: int,
    elsewhere: AbstractContextManager[Executor | None] | None = None,
) -> None:
    """All that is not finished; Ctrl-C stops after the updates under way."""
    places = [checkpoints.Place(options.out, one) for one in chosen]
    for one in places:
        if one.is_finished:  # and perhaps killed before this last step
            one.tidy()
    workers.forget_leaves(options.out)
    left = [one.setting for one in places if options.force or not one.is_finished]
    if not left:
        return
    with _patience() as interrupted, _bar(workers.work(left)) as advance:

        def watch(work: float) -> bool:
            advance(work)
            return interrupted()

        try:
            with elsewhere or nullcontext() as executor:
                workers.train_all(
                    left,
                    options.out,
                    data_folder=options.data_dir,
                    jobs=jobs,
                    executor=executor,
                    force=options.force,
                    watch=watch,
                )
            workers.forget_leaves(options.out)  # which were young when it began
        except checkpoints.Interrupted as error:
            done = sum(one.is_finished for one in places)
            of_all = f", {done} of {len(places)} runs are complete" * (len(places) > 1)
            again = " without --force" if options.force else ""
            raise _Failure(
                f"{error}{of_all}; the same command{again} goes on from there",
                ExitCode.INTERRUPTED,
            ) from error


# --- sweep ----------------------------------------------------------------------------


def _sweep_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "file",
        type=Path,
        metavar="FILE.toml",
        help="with a table [base] of what `train` is told, a table [grid] of lists of "
        "values, of which all combinations are run, and tables [[runs]] of single runs",
    )
    command.add_argument(
        "--executor",
        default=executors.PROCESSES,
        metavar="WHERE",
        help="processes of this machine, one for each core; or how many of them; or "
        "the cluster of a Dask scheduler, dask://HOST:PORT, whose workers all see the "
        "folders of records and data; the numbers do not depend on it "
        f"(default: {executors.PROCESSES})",
    )
    _common_arguments(command, "sweep", "the records")


def _sweep(options: argparse.Namespace) -> None:
    where = executors.Where.of(options.executor)
    chosen = sweep.read_file(options.file)
    _run(chosen, options, where.jobs, where.open())
    runs = sweep.finished(chosen, options.out)
    for warning in sweep.warnings(runs):
        print(f"refimpl: warning: {warning}", file=sys.stderr)
    print(sweep.table(runs), end="")


# --- reproduce ------------------------------------------------------------------------


def _reproduce_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "name",
        choices=[
            *exact_figures.FIGURES,
            *reproduction.EXPERIMENTS,
            *_MULTILEVEL,
            "all",
        ],
        help="of the paper, the phase diagram of both regularisations, and those of "
        f"several temperatures. {', '.join(exact_figures.FIGURES)} and multilevel-bias "
        "are exact, need no data and heed --out and --format alone. multilevel: the "
        "published experiment of multilevel Metropolis, scaled down unless --published",
    )
    command.add_argument(
        "--published",
        action="store_true",
        help="multilevel: all images and all 40,000 outer steps, for hours",
    )
    command.add_argument(
        "--reading",
        action="append",
        choices=reproduction.READINGS,
        help="of the paper's open points; repeatable (default: printed and closest)",
    )
    command.add_argument(
        "--seeds",
        type=_whole("a number of seeds", 1),
        default=1,
        metavar="N",
        help="run 0, ..., N-1 (default: 1)",
    )
    command.add_argument(
        "--data", choices=settings.INPUTS, default="mnist", help="default: mnist"
    )
    command.add_argument(
        "--updates",
        type=_whole("a number of updates", 1),
        metavar="N",
        help="weight updates (default: 500), or outer steps of multilevel (default: "
        f"{multilevel_reproduction.SCALED_DOWN['rounds']:,} on mnist; see --published)",
    )
    command.add_argument(
        "--jobs",
        type=_whole("a number of processes", 1),
        default=workers.default_jobs(),
        metavar="N",
        help="processes at once; the numbers do not depend on it "
        f"(default: one for each core, at most {workers.MOST})",
    )
    command.add_argument(
        "--format",
        action="append",
        choices=accuracy_plots.FORMATS,
        help="of the figures; repeatable (default: svg)",
    )
    _common_arguments(command, "reproduction", "records, tables and figures")


def _reproduce(options: argparse.Namespace) -> None:
    if options.published and (options.name, options.data) != ("multilevel", "mnist"):
        raise _Failure("--published is of multilevel on mnist alone: leave it out")
    if options.reading and options.name in _MULTILEVEL:
        raise _Failure(f"--reading says nothing to {options.name}: leave it out")
    if options.name == "all":
        for name in exact_figures.FIGURES:
            _reproduce_exactly(name, options)
        _reproduce_section_6(list(reproduction.EXPERIMENTS), options)
        for reproduce in _MULTILEVEL.values():
            reproduce(options)
    elif options.name in exact_figures.FIGURES:
        _reproduce_exactly(options.name, options)
    elif options.name in _MULTILEVEL:
        _MULTILEVEL[options.name](options)
    else:
        _reproduce_section_6([options.name], options)


def _reproduce_section_6(names: list[str], options: argparse.Namespace) -> None:
    """Tables and figures that are made from training runs, each run once."""
    if any(name.startswith("figure") for name in names):
        _require_matplotlib()
    readings = list(dict.fromkeys(options.reading or ["printed", "closest"]))
    plan = {
        (name, reading): [
            reproduction.curves(
                name, reading, seed, data=options.data, updates=options.updates or 500
            )
            for seed in range(options.seeds)
        ]
        for name in names
        for reading in readings
    }
    wanted = {
        curve.setting: None for seeds in plan.values() for one in seeds for curve in one
    }
    _run(list(wanted), options, options.jobs)
    for name in names:
        _publish(name, {r: plan[name, r] for r in readings}, options)


def _reproduce_exactly(name: str, options: argparse.Namespace) -> None:
    """The record, the table and the figure of a name that needs no training."""
    _require_matplotlib()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    found = exact_figures.record(name)
    files = exact_figures.write(name, found, out)
    files += exact_plots.draw(name, found, out, options.format or ["svg"])
    for file in files:
        print(file)


def _publish(
    name: str,
    readings: dict[str, list[list[reproduction.Curve]]],
    options: argparse.Namespace,
) -> None:
    """The table, printed and in a file, and the figures of one name."""
    found = {
        reading: reproduction.gathered(of_seeds, options.out)
        for reading, of_seeds in readings.items()
    }
    every = [one for curves in found.values() for one in curves]
    seconds = reproduction.seconds_of(every, options.out)
    text = reproduction.document(name, found, seconds)
    table = options.out / f"{name}.md"
    records.write_whole(table, text)
    files = [table]
    if name.startswith("figure"):
        formats = options.format or ["svg"]
        for reading, curves in found.items():
            files += figures.draw(name, reading, curves, options.out, formats)
    else:
        print(text)
    for file in files:
        print(file)


def _reproduce_multilevel(options: argparse.Namespace) -> None:
    """The published experiment of multilevel Metropolis: table and figure."""
    _require_matplotlib()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = multilevel_reproduction.settings(
        whole=options.published,
        data=options.data,
        seeds=options.seeds,
        rounds=options.updates,
    )
    _run(_longest_first(chosen, options), options, options.jobs)
    found = multilevel_reproduction.gathered(chosen, options.out)
    text = multilevel_reproduction.document(found)
    table = options.out / "multilevel.md"
    records.write_whole(table, text)
    print(text)
    for sentence in multilevel_reproduction.timings(found):
        print(sentence)
    drawn = multilevel_plots.draw(found, options.out, options.format or ["svg"])
    for file in [table, *drawn]:
        print(file)


def _longest_first(
    chosen: list[multilevel.MultilevelSetting], options: argparse.Namespace
) -> list[multilevel.MultilevelSetting]:
    """What is left to run; says how long it will take, from rounds measured here."""
    left = [
        one
        for one in chosen
        if options.force or not checkpoints.Place(options.out, one).is_finished
    ]
    if not left:
        return []
    images = data.load(options.data, options.data_dir)
    _progress("measuring what a round costs")
    with threads.one_blas_thread():
        seconds = {one: multilevel.seconds_per_round(one, images) for one in left}
    _progress("")
    left.sort(key=lambda one: -seconds[one])
    rounds = left[0].rounds
    price = multilevel_reproduction.predicted(
        [seconds[one] for one in left], rounds, options.jobs
    )
    print(
        f"{len(left)} runs of {rounds} rounds on {left[0].images} images take about "
        f"{multilevel_reproduction.duration(price)}, less what is already there",
        flush=True,
    )
    return left


def _reproduce_bias(options: argparse.Namespace) -> None:
    """How far the multilevel algorithm is from its law: records and figure."""
    _require_matplotlib()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "multilevel-bias.jsonl"
    families = multilevel_bias.FAMILIES
    with records.writer(file) as out:
        for number, family in enumerate(families, 1):
            _progress(f"[{number}/{len(families)}] {family.label}")
            for one in multilevel_bias.records(family):
                out.write(one)
        _progress("")
    formats = options.format or ["svg"]
    drawn = multilevel_plots.draw_bias(records.read(file), options.out, formats)
    for path in [file, *drawn]:
        print(path)


_MULTILEVEL = {
    "multilevel": _reproduce_multilevel,
    "multilevel-bias": _reproduce_bias,
}


# --- fetch ----------------------------------------------------------------------------


def _fetch(options: argparse.Namespace) -> None:
    fetch.fetch(options.data_dir, progress=True)
    print(data.data_folder(options.data_dir))


# --- accuracy -------------------------------------------------------------------------


def _accuracy_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "algorithm",
        nargs="?",
        default="all",
        choices=[*accuracy.ALGORITHMS, "all"],
        help="default: all",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("accuracy"),
        metavar="FOLDER",
        help="for records and figures; made if absent (default: accuracy)",
    )
    command.add_argument(
        "--repetitions",
        type=_whole("a number of repetitions", 2),
        default=200,
        metavar="N",
        help="default: 200",
    )
    command.add_argument(
        "--seed", type=_whole("a seed", 0), default=0, metavar="N", help="default: 0"
    )
    command.add_argument(
        "--plots-only",
        action="store_true",
        help="measure nothing, draw what the records in FOLDER say",
    )
    command.add_argument(
        "--format",
        action="append",
        choices=accuracy_plots.FORMATS,
        help="of the figures; repeatable (default: svg)",
    )


def _accuracy(options: argparse.Namespace) -> None:
    _require_matplotlib()
    everything = options.algorithm == "all"
    algorithms = list(accuracy.ALGORITHMS) if everything else [options.algorithm]
    if not options.plots_only:
        options.out.mkdir(parents=True, exist_ok=True)
    for algorithm in algorithms:
        file = options.out / f"accuracy-{algorithm}.jsonl"
        if not options.plots_only:
            _measure(algorithm, file, options.repetitions, options.seed)
        elif not file.is_file():
            raise _Failure(f"there are no records to draw: {file} does not exist")
        formats = options.format or ["svg"]
        drawn = accuracy_plots.draw(algorithm, records.read(file), options.out, formats)
        for path in [file, *drawn]:
            print(path)


def _require_matplotlib() -> None:
    if not accuracy_plots.available():
        raise _Failure(
            "figures need matplotlib, which the extra `experiments` brings: "
            'pip install "local-entropy-oracle[experiments]"',
            ExitCode.ABSENT,
        )


def _measure(algorithm: str, file: Path, repetitions: int, seed: int) -> None:
    """Run all tasks of an algorithm; records are in the file as soon as they exist."""
    tasks = accuracy.tasks(algorithm)
    with records.writer(file) as out, _patience() as interrupted:
        for number, task in enumerate(tasks, 1):
            _progress(f"[{number}/{len(tasks)}] {task.label}")
            out.write(task.run(repetitions, seed))
            if interrupted():
                raise _Failure(
                    f"interrupted; {out.count} of {len(tasks)} records are in "
                    f"{records.partial(file)}",
                    ExitCode.INTERRUPTED,
                )
        _progress("")


# --- benchmark ------------------------------------------------------------------------


def _benchmark_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "record",
        nargs="?",
        type=Path,
        metavar="NEW.jsonl",
        help="of an earlier run, compared by --against in place of what is timed now",
    )
    command.add_argument(
        "--against",
        type=Path,
        metavar="OLD.jsonl",
        help="the record of an older run: say how every ratio has changed, and leave "
        "with 1 if any is slower, beyond noise",
    )
    command.add_argument(
        "--rounds",
        type=_whole("a number of rounds", 1),
        default=10,
        metavar="N",
        help="in which everything is timed in turn (default: 10)",
    )
    command.add_argument(
        "--activation",
        choices=settings.CHOICES["activation"],
        default="relu",
        help="of the hidden layer (default: relu)",
    )
    command.add_argument(
        "--growth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether to vary samples, minibatch, inputs, width and depth, and draw it",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("benchmark"),
        metavar="FOLDER",
        help="for the table, the timings and the figure; made if absent "
        "(default: benchmark)",
    )
    _force_argument(command)


def _benchmark(options: argparse.Namespace) -> None:
    if options.record is not None and options.against is None:
        raise _Failure("two records are compared: name the older one by --against")
    if options.against is None:
        _time(options)
        return
    old = benchmark.read(options.against)
    if options.record is not None:
        new = benchmark.read(options.record)
    else:
        benchmark_comparison.require_enough(old, options.rounds)
        new = _time(options)
    changes = benchmark_comparison.compare(old, new)
    print(benchmark_comparison.table(changes), end="")
    slower = sum(one.slower for one in changes)
    if slower:
        raise _Failure(
            f"{slower} of {len(changes)} ratios are slower than they were",
            ExitCode.SLOWER,
        )


def _time(options: argparse.Namespace) -> list[benchmark.Timing]:
    """The benchmark itself, and its files."""
    if options.growth:
        _require_matplotlib()
    rounds, out = options.rounds, options.out
    _require_none(out / "benchmark.jsonl", options)
    out.mkdir(parents=True, exist_ok=True)
    case = benchmark.Case(activation=options.activation)
    with _bar(rounds) as step:
        timings = benchmark.timed(case, benchmark.available(), rounds, step)
    table = benchmark.table(timings)
    print(table)
    grown = {}
    if options.growth:
        with _bar(sum(map(len, benchmark.GROWTH.values()))) as step:
            grown = benchmark.growth(rounds, step)
        timings += {
            timing: None
            for cases in grown.values()
            for several in cases.values()
            for timing in several
        }
    records.write_whole(out / "benchmark.txt", table)
    lines = "".join(timing.to_line() for timing in timings)
    records.write_whole(out / "benchmark.jsonl", lines)
    drawn = benchmark_plots.draw(grown, out, ["svg"]) if grown else []
    for path in [out / "benchmark.txt", out / "benchmark.jsonl", *drawn]:
        print(path)
    return timings


def _require_none(record: Path, options: argparse.Namespace) -> None:
    """What was measured is not lost unasked: it cannot be had again."""
    if record.exists() and not options.force:
        raise _Failure(
            f"{record} is there already: name another folder by --out, or begin anew "
            "with --force"
        )


# --- cluster --------------------------------------------------------------------------


def _cluster_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--rounds",
        type=_whole("a number of rounds", 1),
        default=5,
        metavar="N",
        help="default: 5",
    )
    command.add_argument(
        "--updates",
        type=_whole("a number of updates", 1),
        default=500,
        metavar="N",
        help="of each run of the sweep (default: 500)",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("cluster"),
        metavar="FOLDER",
        help="for the table and what was measured; made if absent (default: cluster)",
    )
    _force_argument(command)


def _cluster(options: argparse.Namespace) -> None:
    out = options.out
    _require_none(out / "cluster.json", options)
    out.mkdir(parents=True, exist_ok=True)
    with _bar(options.rounds) as step:
        found = cluster.measure(options.rounds, options.updates, step)
    table = cluster.table(found)
    print(table)
    records.write_whole(out / "cluster.txt", table)
    records.write_whole(out / "cluster.json", found.to_json())
    for path in [out / "cluster.txt", out / "cluster.json"]:
        print(path)


_COMMANDS = (
    (
        "train",
        "train a network by SGD or by Algorithm 3, 4 or 5, as in Section 6; what is "
        "not said is as in Table 1",
        _train,
        _train_arguments,
    ),
    (
        "sweep",
        "train many networks, a grid of settings told by a file, here or on a cluster",
        _sweep,
        _sweep_arguments,
    ),
    (
        "reproduce",
        "the tables and figures of the paper, beside its numbers",
        _reproduce,
        _reproduce_arguments,
    ),
    (
        "accuracy",
        "bias and variance of Algorithms 3, 4 and 5 against exact answers",
        _accuracy,
        _accuracy_arguments,
    ),
    (
        "benchmark",
        "seconds per weight update beside NumPy's and PyTorch's, and how they grow",
        _benchmark,
        _benchmark_arguments,
    ),
    (
        "cluster",
        "what a cluster buys: Algorithm 4 over a line, and a sweep on two workers",
        _cluster,
        _cluster_arguments,
    ),
    ("fetch", "download the four files of MNIST", _fetch, _data_argument),
)


# --- what commands share --------------------------------------------------------------


@contextmanager
def _bar(total: float) -> Iterator[Callable[[float], object]]:
    """A progress bar with the time left, where somebody watches."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    try:
        from tqdm import tqdm
    except ImportError:  # a convenience of the extra `experiments`
        yield lambda _: None
        return
    looks = "{percentage:3.0f}% |{bar}| {elapsed} gone, {remaining} left"
    with tqdm(total=total, bar_format=looks, leave=False, mininterval=0.2) as bar:
        yield bar.update


@contextmanager
def _patience() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C wait for the end of a task; the second does not wait.

    An interrupt while a generator is handed to a compiled kernel can crash the process.
    """
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


def _progress(text: str) -> None:
    """One line that is written over, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:78]}", end="", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 done; 1 slower than `benchmark --against`; 2 wrong arguments, files or
        folders; 3 an extra is not installed; 130 interrupted.
    """
    try:
        options = _parser().parse_args(argv)
        options.run(options)
    except _Failure as failure:
        return _complain(str(failure), failure.code)
    except MissingExtra as error:
        return _complain(str(error), ExitCode.ABSENT)
    except (InvalidParameter, MissingData) as error:
        return _complain(str(error), ExitCode.USAGE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", ExitCode.USAGE)
    except KeyboardInterrupt:
        return _complain("interrupted", ExitCode.INTERRUPTED)
    return int(ExitCode.DONE)


def _complain(sentence: str, code: ExitCode) -> int:
    _progress("")
    print(f"refimpl: {sentence}", file=sys.stderr)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
