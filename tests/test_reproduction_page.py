"""What docs/reproduction.md says is what the records beside it say."""

import re
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import pytest

from refimpl.experiments.checkpoints import Place
from refimpl.experiments.reproduction import (
    EXPERIMENTS,
    NAMES,
    TABLE_1,
    UPDATES,
    Found,
    chosen,
    curves,
    document,
    drops,
    gathered,
    rms_gap,
    seconds_of,
)
from refimpl.experiments.settings import CHOICES
from refimpl.output_laws import sgld_walk
from refimpl.schedules import Harmonic, steps

DOCS = Path(__file__).resolve().parents[1] / "docs"
RECORDS = DOCS / "reproduction"
READINGS = ("printed", "closest", "each", "sigmoid", "improved")
SHOWN = dict.fromkeys(EXPERIMENTS, ("printed", "closest")) | {"table-1": READINGS}
SEEDS = range(5)


@cache
def every(name: str, reading: str) -> list[Found]:
    """The curves of a table or figure, from the records."""
    return gathered([curves(name, reading, seed) for seed in SEEDS], RECORDS)


def found(reading: str) -> dict[str, Found]:
    """The rows of Table 1 under one reading, by the method's name."""
    return {row.curve.label: row for row in every("table-1", reading)}


def page() -> str:
    return (DOCS / "reproduction.md").read_text(encoding="utf-8")


def rows_of(first: str) -> list[list[str]]:
    """The rows of the page's tables that begin so."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page().splitlines()
        if line.startswith(f"| {first}")
    ]


def spread(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_tables_are_made_from_the_records(name: str) -> None:
    readings = {reading: every(name, reading) for reading in SHOWN[name]}
    rows = [one for found in readings.values() for one in found]
    seconds = seconds_of(rows, RECORDS)
    shown = (RECORDS / f"{name}.md").read_text(encoding="utf-8")
    assert shown == document(name, readings, seconds)


@pytest.mark.parametrize("name", [n for n in EXPERIMENTS if n.startswith("figure")])
def test_the_page_shows_every_figure(name: str) -> None:
    for reading in SHOWN[name]:
        assert (RECORDS / f"{name}-{reading}.svg").exists()
        assert f"(reproduction/{name}-{reading}.svg)" in page()


def test_nothing_is_kept_for_nothing() -> None:
    used = {
        Place(RECORDS, one.setting).record.name
        for name, readings in SHOWN.items()
        for reading in readings
        for seed in SEEDS
        for one in curves(name, reading, seed)
    }
    assert {file.name for file in RECORDS.glob("*.jsonl")} == used


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("method", NAMES)
def test_every_cell_of_table_1(method: str, reading: str) -> None:
    name = NAMES[method]  # type: ignore[index]
    row = found(reading)[name]
    cells = [spread(row.at(k)) for k in UPDATES]
    (shown,) = rows_of(f"{name}, {reading} ")
    assert shown == [f"{name}, {reading}", *cells, f"{rms_gap([row]):.3f}"]
    paper = [f"**{value:.2f}**" for value in TABLE_1[method]]  # type: ignore[index]
    assert rows_of(f"**{name}, paper**")[0][1:6] == paper


@pytest.mark.parametrize("reading", READINGS)
def test_the_joint_gaps(reading: str) -> None:
    gap = rms_gap(list(found(reading).values()))
    (shown,) = rows_of("**all four**")
    assert f"{reading} {gap:.3f}" in shown
    assert reading != "closest" or gap < 0.05


def test_the_walk_is_predicted_and_measured() -> None:
    epsilon = steps(Harmonic(1000.0), 1000)
    walk = sgld_walk(0.01, epsilon, 500, start="previous")[-1] ** 0.5
    runs = found("printed")["SGLD"].histories
    moved = [run.evaluations[-1].spread[0] for run in runs]
    assert np.abs(np.array(moved) / walk - 1).max() < 0.02
    assert f"each has moved by {walk:.3f}" in page()
    assert f"has moved by {np.mean(moved):.3f} (root mean" in page()


def walked(reading: str) -> float:
    """How far the first layer's weights moved: root mean square, mean over seeds."""
    runs = found(reading)["SGLD"].histories
    return float(np.array([run.evaluations[-1].spread[0] for run in runs]).mean())


def test_the_same_walk_with_the_sum() -> None:
    text = re.sub(r"\s+", " ", page())
    sigmoid = found("sigmoid")["SGLD"]
    at_100, at_500 = sigmoid.at(100), sigmoid.at(500)
    for fragment in (
        f"moved by {walked('sigmoid'):.3f} as well",
        f"SGLD reaches {spread(at_100)} after 100 updates, the paper's 0.72",
        f"at {spread(at_500)} in the end, a gap of {rms_gap([sigmoid]):.3f} over",
    ):
        assert fragment in text
    with_variances = ("printed", "sigmoid")
    ends_at = {r: float(found(r)["SGLD"].at(500).mean()) for r in with_variances}
    assert max(ends_at, key=ends_at.__getitem__) == "sigmoid"
    settings = {r: found(r)["SGLD"].curve.setting for r in READINGS}
    assert {r for r, s in settings.items() if s.noise == "variance"} == {
        *with_variances,
        "improved",  # the other estimator
    }


def test_how_much_smaller_the_noise_is_with_standard_deviations() -> None:
    epsilon = steps(Harmonic(1000.0), 1000)
    for updates in (1, 500):
        wide, narrow = (
            sgld_walk(0.01, epsilon, updates, start="previous", noise=noise)[-1] ** 0.5
            for noise in ("variance", "standard-deviation")
        )
        assert f"the noise is {wide / narrow:.0f} times smaller" in page()


def test_the_error_of_the_paper_s_numbers() -> None:
    """Binomial, of 1,000 images."""
    text = re.sub(r"\s+", " ", page())
    accuracy = np.array(list(TABLE_1.values()))
    variance = accuracy * (1 - accuracy) / 1000
    low, high, rms = (
        variance.min() ** 0.5,
        variance.max() ** 0.5,
        variance.mean() ** 0.5,
    )
    assert f"{low:.3f} to {high:.3f}, rms {rms:.4f}." in text
    own = variance[list(TABLE_1).index("sgld")].mean() ** 0.5
    gap = rms_gap([found("each")["SGLD"]])
    assert 1.4 < gap / own < 1.6
    said = f"gap of {gap:.3f} over the row, about one and a half times"
    assert f"{said} the paper's own error, {own:.3f} for this row" in text
    sigmoid = rms_gap([found("sigmoid")["IS"]])
    assert f"comes within {sigmoid:.3f} of it for sigmoid units" in text


def test_how_many_readings_there_are() -> None:
    text = re.sub(r"\s+", " ", page())
    points = ("activation", "reduction", "noise")
    activations, reductions, noises = (len(CHOICES[name]) for name in points)
    make = [prod((activations, reductions)), prod((activations, reductions, noises))]
    assert "make {} readings of SGD and {} of each".format(*make) in text
    kept = [
        len({tuple(getattr(s, name) for name in points) for s in settings})
        for settings in (
            [found(reading)[name].curve.setting for reading in READINGS]
            for name in NAMES.values()
        )
    ]
    assert "Of {}, {}, {} and {} the records are here".format(*kept) in text
    assert list(NAMES.values()) == ["SGD", "IS", "SGLD", "HR"]
    pixels = {
        found(r)[n].curve.setting.pixels for r in READINGS for n in NAMES.values()
    }
    assert pixels == {"unit"}


@pytest.mark.parametrize("reading", ["printed", "closest", "improved"])
def test_the_falls(reading: str) -> None:
    cells = [
        "{:.1f}, {:.3f}".format(*drops(found(reading)[name].values("accuracy_of_all")))
        for name in NAMES.values()
    ]
    (shown,) = rows_of(f"{reading} | {cells[0]}")
    assert shown == [reading, *cells]


def ends(name: str, reading: str, panel: str = "") -> dict[str, str]:
    """Where curves end on all test images, mean over the seeds, by their label."""
    return {
        re.sub(r"[$\\]", "", one.curve.label): mean(
            one.values("accuracy_of_all")[:, -1]
        )
        for one in every(name, reading)
        if one.curve.panel.startswith(panel)
    }


def last(one: Found) -> np.ndarray:
    return one.values("accuracy_of_all")[:, -1]


def mean(values: np.ndarray) -> str:
    return f"{values.mean():.3f}"


def test_the_networks_of_section_6_1() -> None:
    printed, closest = (every("section-6.1", reading) for reading in SHOWN["figure-4"])
    for one, other in zip(printed, closest, strict=True):
        label = one.curve.label
        cells = [spread(last(each)) for each in (one, other)]
        assert rows_of(label) == [[label, *cells]]
    held_out = printed[0].values("accuracy")[:, -1]
    assert f"0.01 ({spread(held_out)} on" in page()


def test_what_the_text_says_of_the_figures() -> None:
    five, printed = ends("figure-5", "closest"), ends("figure-5", "printed")
    samples = {
        method: ", ".join(ends("figure-6", "closest", method).values())
        for method in ("IS", "SGLD", "HR")
    }
    sgld, sampled = (ends("figure-7", "closest", method) for method in ("SGLD", "IS"))
    literal = ends("figure-7", "printed", "IS")
    middle = sorted(sgld[f"tau = {tau}"] for tau in (0.05, 0.1, 0.2))
    text = re.sub(r"\s+", " ", page())
    for fragment in (
        "SGD {SGD}, SGLD {SGLD}, HR {HR} and IS {IS} on all".format(**five),
        f"had gained ({printed['SGLD']} at the end)",
        f"nearly constant, at {printed['HR']}.",
        f"closest: IS {samples['IS']}, SGLD {samples['SGLD']} on all",
        f"(closest: {samples['HR']})",
        f"SGLD reaches {sgld['tau = 0.001']} and IS {sampled['tau = 0.001']};",
        f"between {middle[0]} and {middle[-1]} ({sgld['tau = 1']} at 1);",
        f"at $\\tau = 0.05$ with {max(sampled.values())} and",
        f"falls to {sampled['tau = 1']} at $\\tau = 1$",
        f"trains at $\\tau = 0.001$ ({literal['tau = 0.001']})",
        f"({literal['tau = 1']}, the best being {max(literal.values())})",
    ):
        assert fragment in text


def test_the_table_of_figure_8_and_what_validation_chooses() -> None:
    found = every("figure-8", "closest")
    for one in found:
        label = one.curve.label.replace(r"$\to$", "→")
        cells = [mean(one.at(k, "accuracy_of_all")) for k in (100, 500)]
        assert [label, *cells] in rows_of(label)
    ((best, values),) = chosen(found[1:])
    assert best.curve.label.endswith(r"1.5 $\to$ 0.01")
    assert values.size == len(SEEDS)
    assert f"classifies {mean(values)} of all test images" in page()


def test_the_ends_that_the_text_names() -> None:
    text = re.sub(r"\s+", " ", page())
    for reading, before in (
        ("printed", "at the paper's settings ends at"),
        ("improved", "no noise in flat directions:"),
        ("each", "SGLD gives"),
    ):
        assert f"{before} {spread(found(reading)['SGLD'].at(500))}" in text
    assert f"gap of {rms_gap([found('each')['SGLD']]):.3f} over the row" in text
