"""No table of measured numbers in the documentation without a test that reads it.

The pages are walked: a table with numbers must be named below, with its test.  Those
that have no test elsewhere have theirs here.

Most are computed anew from what is kept.  Not so three counts of what takes hours or
days, of which no record is kept: of the mistakes killed, of the mechanical mutants and
of the confusion of diagnoses.  Of these the arithmetic is checked, with what the
catalogue, the survivors' reasons and, slowly, the mutator say today, but not the kills.
"""

import gzip
import io
import json
import math
import re
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from refimpl.__main__ import _parser
from refimpl.experiments import exact_figures
from refimpl.network import parameter_count
from verification.checks import all_checks, stochastic_cases
from verification.diagnosis import questions
from verification.false_alarms import Census, Sample, _parsed, _tests
from verification.losses import Network
from verification.mechanical.campaign import made
from verification.mechanical.scopes import SCOPES
from verification.mechanical.survivors import known
from verification.mistakes import CATALOGUE
from verification.report.alarms import AlarmPrinter
from verification.report.terminal import Terminal

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]

TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
NUMBER = re.compile(r"\d\.\d|\d\d")
NO_NUMBERS = (
    "| paper |",
    "| in the paper |",
    "| family |",
    "| file | holds |",
    "| point | printed |",
)
"""Tables of names, which have digits: of equations, checks, slips, vectors, files."""

HERE = "test_docs_numbers"
GUARDS = {
    ("accuracy.md", "| loss |"): (
        "test_accuracy:test_the_table_of_the_page_is_that_of_the_records"
    ),
    ("diagnosis.md", "| part of the protocol |"): f"{HERE}:test_the_confusion_adds_up",
    ("diagnosis.md", "| pairs of |"): (
        "test_diagnosis:test_the_pairs_of_the_documentation_are_there"
    ),
    ("errata.md", "| | $J = 3$ |"): f"{HERE}:test_what_e7_says_of_thirty_moves",
    ("examples.md", "| mapping |"): f"{HERE}:test_the_verdicts_of_the_examples",
    ("landscapes.md", r"| $\tau$ |"): (
        "test_landscape_figures:test_the_table_of_depths"
    ),
    ("landscapes.md", "| | over |"): (
        "test_landscape_figures:test_the_table_of_gaussians"
    ),
    ("multilevel.md", "| $T'$ |"): (
        "test_multilevel_experiment:test_the_bias_s_records_are_what_is_computed"
    ),
    ("multilevel.md", "| | multiply-adds |"): (
        "test_multilevel_experiment:test_what_the_page_says_of_the_experiment"
    ),
    ("multiscale.md", r"| $\lambda_1$ |"): (
        "test_multiscale_local_entropies:test_the_page_says_what_is_computed"
    ),
    (
        "multiscale.md",
        "| $n$ |",
    ): "test_multiscale_risk:test_the_table_of_the_page_is_measured",
    ("reproduction.md", "| | the paper shows |"): f"{HERE}:test_the_times",
    ("reproduction.md", "| | 100 |"): (
        "test_reproduction_page:test_every_cell_of_table_1"
    ),
    ("reproduction.md", "| | paper |"): f"{HERE}:test_table_2",
    ("reproduction.md", "| | as printed, tanh |"): (
        "test_reproduction_page:test_the_networks_of_section_6_1"
    ),
    ("reproduction.md", "| | after 100 updates |"): (
        "test_reproduction_page:test_the_table_of_figure_8_and_what_validation_chooses"
    ),
    ("reproduction.md", "| | SGD |"): "test_reproduction_page:test_the_falls",
    ("trust.md", "| mistakes |"): f"{HERE}:test_the_catalogue_is_counted",
    ("trust.md", "| tolerances |"): (
        "test_sensitivity:test_the_curve_of_the_documentation"
    ),
    ("trust.md", "| file |"): f"{HERE}:test_the_mechanical_mutants_add_up",
}
"""The test that reads a table, by its page and the beginning of its head."""


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def cells(line: str) -> list[str]:
    return [cell.strip().strip("*").strip() for cell in line.strip("|\n ").split("|")]


def table(page: str, head: str) -> list[list[str]]:
    """The rows of the one table that begins so."""
    (found,) = (one for one in TABLE.findall(text_of(page)) if one.startswith(head))
    return [cells(line) for line in found.splitlines()[2:]]


def is_measured(found: str) -> bool:
    """Whether a table has more than a few cells that are numbers, and no formulas."""
    every = [one for line in found.splitlines()[2:] for one in cells(line)]
    plain = [one for one in every if not re.search(r"`[A-Za-z]|\$|\]\(", one)]
    return sum(bool(NUMBER.search(one)) for one in plain) >= 4


def measured() -> list[tuple[str, str]]:
    """Page and head of all tables of numbers; names and years are none."""
    return [
        (page.name, found.splitlines()[0])
        for page in PAGES
        for found in TABLE.findall(page.read_text(encoding="utf-8"))
        if is_measured(found) and not found.startswith(NO_NUMBERS)
    ]


@pytest.mark.parametrize(("page", "head"), measured())
def test_every_table_of_numbers_has_a_test(page: str, head: str) -> None:
    (guard,) = (
        guard
        for (name, begin), guard in GUARDS.items()
        if name == page and head.startswith(begin)
    )
    module, _, function = guard.partition(":")
    assert callable(getattr(import_module(module), function))


def test_no_guard_is_without_a_table() -> None:
    assert len(measured()) >= len(GUARDS) - 1
    for page, head in GUARDS:
        assert table(page, head)


# --- the tables that have no test elsewhere


def test_the_times() -> None:
    """What a command takes, from its record; each makes what its row says."""
    kept = json.loads(text_of("reproduction/seconds.json"))
    rows = table("reproduction.md", "| | the paper shows |")
    named = set()
    for label, *_, name, seconds in rows:
        options = _parser().parse_args(["reproduce", name.strip("`")])
        named.add(options.name)
        assert seconds == f"{kept['seconds'][options.name]:.0f}"
        title = re.match(r"\[([^]]+)\]", label)
        assert title is not None
        slug = re.sub(r"\s", "-", title[1].lower())
        assert options.name == slug.replace("6.1", "section-6.1")
    assert named == kept["seconds"].keys() - {"phase-diagram"}
    wanted = {f"figure-{n}" for n in range(1, 9)} | {"table-1", "table-2"}
    assert wanted <= named


def test_table_2() -> None:
    found = {}
    for part in text_of("reproduction/table-2.md").split("## Reading: ")[1:]:
        lines = [cells(line) for line in part.splitlines() if line.startswith("|")]
        found[part.split()[0]] = {row[0]: row[1:] for row in lines[2:]}
    rows = table("reproduction.md", "| | paper |")
    assert [row[0] for row in rows] == list(found["printed"])
    for method, *shown in rows:
        printed, closest = found["printed"][method], found["closest"][method]
        assert shown == [printed[0], printed[1], closest[1], printed[3], closest[4]]


def test_the_catalogue_is_counted() -> None:
    rows = table("trust.md", "| mistakes |")
    counted = Counter(name[0] for name in CATALOGUE)
    assert {row[0][0]: int(row[1]) for row in rows} == counted
    for _, every, *killed in rows:
        assert max(map(int, killed)) <= int(every) <= sum(map(int, killed))


def judged() -> dict[str, list[int]]:
    """Made, left out, killed by checks, tests, crashes, surviving; of every file."""
    *files, last = table("trust.md", "| file |")
    counts = {
        row[0].strip("`"): [int(one.replace(",", "")) for one in row[1:]]
        for row in files
    }
    assert len(counts) == len(files)
    assert last[0] == "all of these"
    assert [int(one.replace(",", "")) for one in last[1:]] == [
        sum(column) for column in zip(*counts.values(), strict=True)
    ]
    return counts


def test_the_mechanical_mutants_add_up() -> None:
    counts = judged()
    scoped = {file for scope in SCOPES.values() for file in scope.modules()}
    assert counts.keys() <= scoped
    for every, *parts in counts.values():
        assert every == sum(parts)
    text = re.sub(r"\s+", " ", text_of("trust.md"))
    whole = SCOPES["refimpl"].modules()
    assert whole.keys() <= counts.keys()
    assert f"All {len(whole)} files of `refimpl` that are in its scope" in text
    several = bool(counts.keys() & SCOPES["multiscale"].modules().keys())
    assert several != ("Among those is all of `refimpl/multiscale`" in text)


def test_the_survivors_have_their_reasons() -> None:
    """As many reasons as survivors, but for those that the page says have none."""
    survive = {file: counts[-1] for file, counts in judged().items()}
    reasons = Counter(name.partition(":")[0] for name in known().survivors)
    text = re.sub(r"\s+", " ", text_of("trust.md"))
    said = re.search(r"(\d+) of the survivors have no reason", text)
    assert said is None or int(said[1]) == sum(
        count - reasons[file] for file, count in survive.items()
    )
    assert all(count >= reasons[file] for file, count in survive.items())
    assert said or all(count == reasons[file] for file, count in survive.items())


@pytest.mark.slow
def test_as_many_mechanical_mutants_are_made() -> None:
    for file, (every, left_out, *_) in judged().items():
        mutants = [mutant.id for mutant in made(file)]
        ruled = sum(bool(known().rule_of(name)) for name in mutants)
        assert (file, len(mutants), ruled) == (file, every, left_out)


def test_what_is_out_of_the_mechanical_scopes_is_named() -> None:
    scoped = {ROOT / file for scope in SCOPES.values() for file in scope.modules()}
    files = {
        file
        for folder in ("refimpl", "verification/truth")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "__init__.py" and file not in scoped
    }
    experiments = ROOT / "refimpl" / "experiments"
    outside = {
        "refimpl/experiments" if file.parent == experiments else file.name
        for file in files
    }
    text = re.sub(r"\s+", " ", text_of("trust.md"))
    (said,) = re.findall(r"Out of scope are (.*?) Of these,", text)
    assert set(re.findall(r"`([^`]+)`", said)) == outside


def census() -> Census:
    """The published runs; the tests of one may stand in several lines."""
    runs: dict[int, Sample] = {}
    path = DOCS / "trust" / "alarms.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            seed, run, sample = _parsed(line)
            runs[run] = sample.with_those_of(runs.get(run))
    return Census(seed, [runs[run] for run in range(len(runs))])


def test_the_false_alarms_are_counted_from_the_published_runs() -> None:
    """The printed block, line by line but for version, cost and date."""
    text = text_of("trust.md")
    (block,) = re.findall(
        r"```text\n(verification [^`]*, false alarms\n.*?)```", text, re.S
    )
    found = census()
    names = [*_tests()]
    assert all(sample.evidence.keys() == set(names) for sample in found.samples)
    output = io.StringIO()
    printer = AlarmPrinter(Terminal(output))
    printer.header(len(found.samples), found.seed)
    printer.footer(found)
    _, *printed = output.getvalue().splitlines()
    computed = [line for line in printed if not line.startswith("cost")]
    assert [undated(line) for line in block.splitlines()[1:]] == [
        *map(undated, computed)
    ]
    for level in found.levels:
        needed = math.log(stochastic_cases() / level.nominal)
        peaks = [max(sample.evidence.values()) for sample in found.samples]
        assert level.alarms == sum(peak >= needed for peak in peaks)
    several = sum(name.startswith("MS-") for name in names)
    mean = sum(sample.replicates for sample in found.samples) // len(found.samples)
    flowing = re.sub(r"\s+", " ", text)
    assert f"{len(names) - several} tests of Algorithms 3 to 5" in flowing
    assert f"and {several} on several levels" in flowing
    assert f"and {mean:,} outputs" in flowing
    assert f"--seed {found.seed} --kept FILE` on" in flowing


def undated(line: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d$", "DATE", line)


def test_the_limits_are_those_of_the_cases() -> None:
    text = re.sub(r"\s+", " ", text_of("trust.md"))
    cases = [(check, case) for check in all_checks() for case in check.cases]
    networks = [pair for pair in cases if isinstance(pair[1].loss, Network)]
    others = [pair for pair in cases if not isinstance(pair[1].loss, Network)]
    integrated = [
        case.d
        for check, case in others
        if check.level == "D" and not {"CF", "RAT"} & {*check.route.split()}
        if "MP2" in check.route.split()
    ]
    every = max(case.d for _, case in others)
    assert f"judged for $d \\le {max(integrated)}$, closed forms and exact" in text
    assert f"laws up to $d = {every}$; beyond are networks alone" in text
    alive = [  # what has more than biases
        (check.level, len(case.loss.sizes) > 2, case.d)
        for check, case in networks
        if 2 * sum(map(bool, case.x)) > case.d
    ]
    largest = max(case.d for _, case in networks)
    hidden = max(d for _, deep, d in alive if deep)
    drawing = max(d for level, deep, d in alive if deep and level in "RST")
    plain = max(d for _, deep, d in alive if not deep)
    assert f"The largest has {largest:,} parameters, all zero but for biases" in text
    assert f"it is {hidden} with a hidden layer, {drawing} in what draws, and" in text
    assert f"and {plain:,} without one" in text


def test_the_confusion_adds_up() -> None:
    rows = table("diagnosis.md", "| part of the protocol |")
    sums = {"with draws": [0, 0], "by the law alone": [0, 0]}
    for label, identifiable, right, silent, wrong in rows:
        every, named = int(identifiable), int(right.split()[0])
        quiet = int(silent) if silent.isdigit() else silent.count(",") + 1
        assert every == named + quiet
        assert wrong == "0"
        if label in sums:
            assert [every, named] == sums[label]
            share = re.search(r"\(([\d.]+) %\)", right)
            assert share is not None
            assert float(share[1]) == pytest.approx(100 * named / every, abs=0.05)
        elif label != "seeds, replicates, minibatches":
            total = sums["by the law alone" if "law" in label else "with draws"]
            total[0] += every
            total[1] += named
    assert questions.__name__ in text_of("diagnosis.md")


def test_the_verdicts_of_the_examples() -> None:
    """Passes and fails are as many as there are checks; one failure is the verdict.

    That they are what the libraries give is a slow test, of `test_examples`.
    """
    examples: Any = import_module("test_examples")
    named = {one.name: one for one in examples.MAPPINGS}
    rows = table("examples.md", "| mapping |")
    shown = {re.findall(r"`(\w+)`$", row[0])[0]: row[2:] for row in rows}
    assert shown.keys() == named.keys()
    for name, (_, fails, verdict) in shown.items():
        right = not named[name].fails
        assert (fails == "0", verdict == "conforms") == (right, right)
        assert int(fails) >= len(named[name].fails)


def moves(alpha: float, J: int, curvature: float = 0.0) -> tuple[float, float]:
    """The share of the way that the mean has gone, and the sum of (a^j R_j)^2.

    By the recursion of Algorithm 5 on a quadratic, `curvature` being tau lambda.
    """
    left, square = 1.0, 0.0
    for j in range(1, J + 1):
        a = 0.1 * j**alpha
        keeps = 1 - a * (1 + curvature)
        left, square = left * keeps, square * keeps**2 + a**2
    return 1 - left, square


def test_what_e7_says_of_thirty_moves() -> None:
    printed, right = table("errata.md", "| | $J = 3$ |")
    for row, alpha in ((printed, 0.7), (right, -0.7)):
        assert row[1:] == [f"{100 * moves(alpha, J)[0]:.0f} %" for J in (3, 10, 30)]
    said = re.sub(r"\s+", " ", text_of("errata.md"))
    wide, narrow = (moves(alpha, 30, 0.5)[1] ** 0.5 for alpha in (0.7, -0.7))
    assert f"by the factor {wide / narrow:.1f} in standard deviation" in said
    last = 0.1 * 30**0.7
    assert f"$a^{{30}} = {last:.2f}$" in said
    away = 2 / last - 1  # beyond, the last move multiplies the error by more than 1
    assert rf"where $\tau\lambda > {away:.2f}$: there the last move" in said
    assert abs(1 - moves(0.7, 30, 2.515)[0]) < 1 < abs(1 - moves(0.7, 30, 2.525)[0])
    assert r"from $\tau\lambda = 2.52$ on it ends farther" in said


# --- numbers in sentences


def test_the_numbers_of_the_readme() -> None:
    text = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert f"network of {parameter_count((784, 200, 10)):,} weights" in text
    (times,) = re.findall(
        r"^compiled, in span +(.*)$", text_of("benchmark/benchmark.txt"), re.M
    )
    mean = sum(map(float, times.split())) / 3
    assert f"takes some {100 * mean:.0f}0 milliseconds" in text


def test_what_is_said_of_figures_1_to_3() -> None:
    """In the gallery and on the page of the reproduction."""
    entropy, heat, best = (
        exact_figures.read(f"figure-{n}", DOCS / "landscapes") for n in (1, 2, 3)
    )
    gallery, page = (
        re.sub(r"\s+", " ", text_of(name)) for name in ("gallery.md", "reproduction.md")
    )
    equal, lost = entropy["equal"]["tau"], entropy["lost"]["tau"]
    assert rf"from $\tau = {equal:.3f}$ the wide one" in gallery
    assert f"at {lost:.2f} the sharp one is lost" in gallery
    assert 0.3 < heat["equal"]["tau"] / equal < 0.4
    assert 0.45 < heat["lost"]["tau"] / lost < 0.55
    assert rf"from $\tau = {equal:.3f}$ and under heat" in page
    assert f"already from {heat['equal']['tau']:.3f}" in page
    mean, mode = (
        next(one["mean"] for one in best["best"] if one["sense"] == sense)
        for sense in ("mean seeking", "mode seeking")
    )
    assert f"${mode:.2f}$ and ${mean:.2f}$" in page
