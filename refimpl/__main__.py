"""The command line: ``refimpl accuracy``."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NoReturn

from refimpl.errors import InvalidParameter
from refimpl.experiments import accuracy, accuracy_plots, records

__all__ = ["main"]


class ExitCode(IntEnum):
    """What the command returns to the shell."""

    DONE = 0
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
        description="Measure the algorithms of the paper.",
        epilog="exit codes: 0 done; 2 wrong arguments, files or folders; 3 an extra is "
        "not installed; 130 interrupted",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    help_ = "bias and variance of Algorithms 3, 4 and 5 against exact answers"
    measure = commands.add_parser(
        "accuracy", help=help_, description=help_, allow_abbrev=False
    )
    measure.add_argument(
        "algorithm",
        nargs="?",
        default="all",
        choices=[*accuracy.ALGORITHMS, "all"],
        help="default: all",
    )
    measure.add_argument(
        "--out",
        type=Path,
        default=Path("accuracy"),
        metavar="FOLDER",
        help="for records and figures; made if absent (default: accuracy)",
    )
    measure.add_argument(
        "--repetitions",
        type=_whole("a number of repetitions", 2),
        default=200,
        metavar="N",
        help="default: 200",
    )
    measure.add_argument(
        "--seed", type=_whole("a seed", 0), default=0, metavar="N", help="default: 0"
    )
    measure.add_argument(
        "--plots-only",
        action="store_true",
        help="measure nothing, draw what the records in FOLDER say",
    )
    measure.add_argument(
        "--format",
        action="append",
        choices=accuracy_plots.FORMATS,
        help="of the figures; repeatable (default: svg)",
    )
    return parser


def _accuracy(options: argparse.Namespace) -> None:
    if not accuracy_plots.available():
        raise _Failure(
            "figures need matplotlib, which the extra `experiments` brings: "
            'pip install "local-entropy-oracle[experiments]"',
            ExitCode.ABSENT,
        )
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
        0 done; 2 wrong arguments, files or folders; 3 an extra is not installed;
        130 interrupted.
    """
    try:
        _accuracy(_parser().parse_args(argv))
    except _Failure as failure:
        return _complain(str(failure), failure.code)
    except (InvalidParameter, OSError) as error:
        return _complain(str(error), ExitCode.USAGE)
    except KeyboardInterrupt:
        return _complain("interrupted", ExitCode.INTERRUPTED)
    return int(ExitCode.DONE)


def _complain(sentence: str, code: ExitCode) -> int:
    _progress("")
    print(f"refimpl: {sentence}", file=sys.stderr)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
