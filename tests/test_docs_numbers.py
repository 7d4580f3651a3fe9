"""No table of measured numbers in the documentation without a test that reads it.

The pages are walked: a table with numbers must be named below, with its test.  Those
that have no test elsewhere have theirs here.
"""

import json
import re
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from refimpl.__main__ import _parser
from refimpl.experiments import exact_figures
from refimpl.network import parameter_count
from verification.diagnosis import questions
from verification.mistakes import CATALOGUE

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]

TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
NUMBER = re.compile(r"\d\.\d|\d\d")
NO_NUMBERS = ("| paper |", "| in the paper |", "| family |", "| file | holds |")
"""Tables of names, which have digits: of equations, checks, vectors, files."""

HERE = "test_docs_numbers"
GUARDS = {
    ("accuracy.md", "| loss |"): (
        "test_accuracy:test_the_table_of_the_page_is_that_of_the_records"
    ),
    ("diagnosis.md", "| part of the protocol |"): f"{HERE}:test_the_confusion_adds_up",
    ("diagnosis.md", "| pairs of |"): (
        "test_diagnosis:test_the_pairs_of_the_documentation_are_there"
    ),
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


def test_the_mechanical_mutants_add_up() -> None:
    *files, last = table("trust.md", "| file |")
    counts = [[int(one.replace(",", "")) for one in row[1:]] for row in files]
    for row, (made, *parts) in zip(files, counts, strict=True):
        assert (ROOT / row[0].strip("`")).exists()
        assert made == sum(parts)
    assert last[0] == "all of these"
    assert [int(one.replace(",", "")) for one in last[1:]] == [
        sum(column) for column in zip(*counts, strict=True)
    ]


def test_the_false_alarms_are_rates() -> None:
    """Observed is alarms over runs, in every row of the printed count."""
    text = text_of("trust.md")
    (runs,) = re.findall(r"^runs +(\d+) of the stochastic checks", text, re.M)
    rows = re.findall(r"^ +(0\.\d+) +(0\.\d+) +(\d+) +[\d.]+$", text, re.M)
    assert len(rows) == 4
    for nominal, observed, alarms in rows:
        assert observed == f"{int(alarms) / int(runs):.4f}"
        assert float(observed) <= float(nominal)


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
