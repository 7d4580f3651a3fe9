"""Section 6 as settings, what is found beside the paper's numbers, and its figures."""

from __future__ import annotations

import ast
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.experiments import figures, reproduction
from refimpl.experiments.checkpoints import History, seconds_per_update
from refimpl.experiments.reproduction import (
    EXPERIMENTS,
    READINGS,
    TABLE_1,
    Curve,
    Found,
    chosen,
    curves,
    document,
    drops,
    rms_gap,
)
from refimpl.experiments.settings import Setting, of_section_6
from refimpl.experiments.training import Evaluation, scoped

# --- Section 6 as settings

PRINTED_TABLE = """
SGD	0.75	0.80	0.85	0.87	0.87
IS	0.27	0.45	0.54	0.57	0.65
SGLD	0.72	0.81	0.84	0.86	0.88
HR	0.52	0.64	0.70	0.73	0.76
"""


def test_table_1_is_the_paper_s() -> None:
    rows = [line.split() for line in PRINTED_TABLE.split("\n")[1:-1]]
    assert {row[0]: tuple(map(float, row[1:])) for row in rows} == {
        reproduction.NAMES[method]: row for method, row in TABLE_1.items()
    }


def settings(name: str, reading: str = "printed") -> list[Setting]:
    return [one.setting for one in curves(name, reading, 0)]


@pytest.mark.parametrize("name", ["table-1", "table-2", "figure-4"])
def test_table_1_and_figure_4_are_the_same_runs(name: str) -> None:
    assert settings(name) == [of_section_6(m) for m in ("sgd", "is", "sgld", "hr")]


def test_figure_5() -> None:
    """After SGD with tau as its rate; SGLD with epsilon_j = 1/(2000 + j)."""
    found = {one.method: one for one in settings("figure-5")}
    assert {one.sgd_before for one in found.values()} == {500}
    assert {one.sgd_rate for one in found.values()} == {0.01}
    assert found["sgld"].epsilon == 2000.0
    assert found["hr"].a == (0.1, 0.7)


def test_figure_6() -> None:
    """S = 10, 100, 1000, and M = J = floor(sqrt S) for HR."""
    found = settings("figure-6")
    assert [(one.method, one.J, one.M) for one in found] == [
        *(("is", S, None) for S in (10, 100, 1000)),
        *(("sgld", S, None) for S in (10, 100, 1000)),
        *(("hr", n, n) for n in (3, 10, 31)),
    ]


def test_figure_7() -> None:
    """The network without a hidden layer, tau in the three ranges."""
    found = curves("figure-7", "printed", 0)
    assert {one.setting.sizes for one in found} == {(784, 10)}
    assert {one.setting.method for one in found} == {"sgld", "is"}
    panels = dict.fromkeys(one.panel for one in found)
    assert len(panels) == 6
    for panel in panels:
        taus = [one.setting.tau for one in found if one.panel == panel]
        assert f"from {taus[0]:g} to {taus[-1]:g}" in panel
        assert (taus[0], taus[-1]) in [(0.001, 0.01), (0.01, 0.1), (0.1, 1.0)]


def test_figure_8() -> None:
    """1.5 to 0.01 with tau_1 = 0.01, and the reverse, in 500 updates (E14)."""
    sgd, low, high, falling, growing = settings("figure-8")
    assert (sgd.method, low.tau, high.tau) == ("sgd", 0.01, 1.5)
    assert falling.tau == (1.5, 0.01)
    assert scoped(falling)(500) == pytest.approx(0.0104, abs=5e-5)
    assert scoped(growing)(0) == 0.01
    assert scoped(growing)(500) == pytest.approx(1.5, rel=1e-12)


def test_figure_8_names_where_tau_ends() -> None:
    found = [one.label for one in curves("figure-8", "printed", 0, updates=100)]
    assert found[3:] == [r"$\tau$: 1.5 $\to$ 0.55", r"$\tau$: 0.01 $\to$ 1.5"]


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("reading", READINGS)
def test_a_reading_changes_only_what_the_paper_leaves_open(
    name: str, reading: str
) -> None:
    open_points = {"activation", "start", "noise", "reduction", "output"}
    for one, other in zip(settings(name), settings(name, reading), strict=True):
        pairs = zip(asdict(one).items(), asdict(other).items(), strict=True)
        changed = {a[0] for a, b in pairs if a != b}
        assert changed <= open_points
        assert not changed or reading != "printed"


def test_the_readings() -> None:
    closest = {one.method: one for one in settings("table-1", "closest")}
    assert {one.activation for one in closest.values()} == {"relu"}
    assert {closest[m].noise for m in ("is", "sgld", "hr")} == {"standard-deviation"}
    assert {m: one.reduction for m, one in closest.items()} == {
        **dict.fromkeys(("sgd", "sgld", "hr"), "mean"),
        "is": "sum",
    }
    improved = {one.method: one.output for one in settings("table-1", "improved")}
    assert improved == {
        "sgd": None, "is": "rao-blackwell", "sgld": "controlled", "hr": "literal"
    }  # fmt: skip


def test_changes_reach_all_curves() -> None:
    found = curves("figure-7", "closest", 3, data="digits", updates=7)
    assert {one.setting.sizes for one in found} == {(64, 10)}
    assert {(one.setting.updates, one.setting.seed) for one in found} == {(7, 3)}
    shallow = curves("figure-4", "printed", 0, data="digits")
    assert {one.setting.sizes for one in shallow} == {(64, 200, 10)}


# --- what is found


def history(setting: Setting, accuracy: Any, **more: Any) -> History:
    """One that was never run, evaluated every hundred updates."""
    evaluations = tuple(
        Evaluation(100 * n, a, a + 0.001, 1.0, None, (0.0,))
        for n, a in enumerate(accuracy)
    )
    values = {"versions": {}, "data_warnings": (), "ended": "complete", **more}
    return History(setting=setting, evaluations=evaluations, **values)


def found(
    name: str = "table-1", shift: float = 0.0, seeds: int = 1, **more: Any
) -> list[Found]:
    """The paper's own curves, moved by a constant; seeds lie 0.01 apart."""
    return [
        Found(
            curve,
            tuple(
                history(
                    replace(curve.setting, seed=seed),
                    [
                        0.1,
                        *(
                            p + shift + 0.01 * seed
                            for p in TABLE_1[curve.setting.method]
                        ),
                    ],
                    **more,
                )
                for seed in range(seeds)
            ),
        )
        for curve in curves(name, "printed", 0)
    ]


def test_gaps_to_the_paper() -> None:
    assert rms_gap(found()) == pytest.approx(0, abs=1e-15)
    assert rms_gap(found(shift=-0.03)) == pytest.approx(0.03)
    assert rms_gap(found(), "accuracy_of_all") == pytest.approx(0.001)
    assert rms_gap(found(seeds=3)) == pytest.approx(0.01)  # of the mean over seeds
    one = found(shift=0.03)[:1] + found()[1:]
    assert rms_gap(one) == pytest.approx(0.015)
    assert np.isnan(rms_gap([]))


def test_drops() -> None:
    rising = np.array([[0.1, 0.2, 0.2, 0.3]])
    assert drops(rising) == (0.0, 0.0)
    falling = np.array([[0.5, 0.4, 0.6, 0.3]])
    assert drops(falling) == pytest.approx((2.0, 0.4))
    assert drops(np.vstack([rising, falling])) == pytest.approx((1.0, 0.2))


def test_what_the_held_out_images_choose() -> None:
    """One curve wins in two seeds of three; ties go to the first."""
    ends = {"a": (0.5, 0.9, 0.7), "b": (0.6, 0.8, 0.7), "c": (0.4, 0.1, 0.9)}
    settings = {name: of_section_6("sgld") for name in ends}
    every = [
        Found(
            Curve("", name, settings[name]),
            tuple(history(settings[name], [0.0, end]) for end in of_seeds),
        )
        for name, of_seeds in ends.items()
    ]
    first, second, third = chosen(every)
    assert [one.curve.label for one, _ in (first, second, third)] == ["a", "b", "c"]
    assert [v.tolist() for _, v in (first, second, third)] == [
        [0.901],
        [0.601],
        [0.901],
    ]
    (one, values), (other, value) = chosen(every[:2])
    assert (one.curve.label, other.curve.label) == ("a", "b")
    assert values.tolist() == [0.901, 0.701]
    assert value.tolist() == [0.601]
    text = document("figure-8", {"printed": every[:2]}, {})
    assert "choose a for SGLD in 2 of 3 seeds: 0.801 ± 0.141 of all images." in text
    assert "choose b for SGLD in 1 of 3 seeds: 0.601 of all images." in text
    assert "choose" not in document("figure-4", {"printed": every}, {})


def test_seeds_that_ended_early_are_compared_where_all_are() -> None:
    setting = of_section_6("sgd")
    short = history(setting, [0.1, 0.2], ended="update 7 left the numbers")
    one = Found(Curve("", "SGD", setting), (history(setting, [0.1, 0.3, 0.5]), short))
    assert one.ks.tolist() == [0, 100]
    assert one.values("accuracy").tolist() == [[0.1, 0.3], [0.1, 0.2]]
    assert one.at(100).tolist() == [0.3, 0.2]
    assert one.at(200).size == 0
    assert one.endings == ["update 7 left the numbers"]
    seconds = {setting.slug: None}
    assert "(update 7 left the numbers)" in document("figure-4", {"r": [one]}, seconds)


def cells(text: str, start: str) -> list[list[str]]:
    """The rows of Markdown that begin with a name, without it."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {start} ")]
    return [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines]


def test_table_1_in_markdown() -> None:
    every = found(shift=0.02, seeds=2, data_warnings=("it differs",))
    text = document("table-1", {"printed": every}, {})
    assert cells(text, "IS, paper") == [
        ["0.27", "0.45", "0.54", "0.57", "0.65", "", ""]
    ]
    assert cells(text, "IS")[0] == [
        *("0.295 ± 0.007", "0.475 ± 0.007", "0.565 ± 0.007", "0.595 ± 0.007"),
        *("0.675 ± 0.007", "0.025", "0.026"),
    ]
    assert cells(text, "all four")[0][-2:] == ["0.025", "0.026"]
    assert text.count("Warning: it differs.") == 1
    assert "2 seeds" in text
    widths = {len(line) for line in text.splitlines() if line.startswith("| ")}
    assert len(widths) == 2  # two tables, each of even width


def test_the_paper_has_no_numbers_for_other_data() -> None:
    setting = of_section_6("sgd", data="digits")
    one = Found(Curve("", "SGD", setting), (history(setting, [0.1, 0.3]),))
    text = document("table-1", {"printed": [one]}, {})
    assert "paper" not in text
    assert cells(text, "SGD")[0] == ["0.300", "", "", "", "", "", ""]


def test_a_run_too_short_for_table_1_has_no_gap() -> None:
    setting = of_section_6("sgd")
    one = Found(Curve("", "SGD", setting), (history(setting, [0.1]),))
    text = document("table-1", {"printed": [one]}, {})
    assert cells(text, "all four") == [[""] * 7]
    assert "nan" not in text


def test_table_2_in_markdown(tmp_path: Path) -> None:
    every = found("table-2")
    slugs = [one.curve.setting.slug for one in every]
    seconds = dict(zip(slugs, (0.001, 0.05, None, 0.01), strict=True))
    text = document("table-2", {"printed": every}, seconds)
    assert cells(text, "SGD") == [["0.0032", "0.0010", "3.2", "1", "1"]]
    assert cells(text, "IS") == [["6.2504", "0.0500", "125", "1.95e+03", "50"]]
    assert cells(text, "SGLD") == [["7.0599", "", "", "2.21e+03", ""]]
    assert seconds_per_update(tmp_path / "nothing.jsonl") is None


# --- figures


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=6),
    st.floats(0.01, 0.15),
)
def test_names_are_moved_apart_and_stay_in_order(heights: Any, gap: float) -> None:
    before = np.array(heights)
    after = figures.spread_out(before, gap)
    order = np.argsort(before, kind="stable")
    assert (np.diff(after[order]) >= gap - 1e-12).all()
    assert after.min() >= -1e-12
    assert after.max() <= 1 + 1e-12
    if (np.diff(before[order]) >= gap + 1e-9).all():
        assert np.allclose(after, before, atol=1e-12)


def test_names_that_meet_share_their_mean() -> None:
    after = figures.spread_out(np.array([0.5, 0.9, 0.52]), 0.1)
    assert after == pytest.approx([0.46, 0.9, 0.56])


#: With the most panels.
LARGE = {"figure-6", "figure-7"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in LARGE else ())
        for name in EXPERIMENTS
        if name.startswith("figure")
    ],
)
def test_every_figure_is_drawn_with_its_names(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    n = 11 if name == "figure-5" else 6
    every = [
        Found(one, (history(one.setting, np.linspace(0.1, 0.9, n)),))
        for one in curves(name, "closest", 0)
    ]
    (file,) = figures.draw(name, "closest", every, tmp_path)
    assert file == tmp_path / f"{name}-closest.svg"
    text = file.read_text(encoding="utf-8")
    assert "date" not in text.lower()
    again = figures.draw(name, "closest", every, tmp_path)[0]
    assert again.read_text(encoding="utf-8") == text
    most = max(
        sum(one.curve.panel == panel for one in every)
        for panel in {one.curve.panel for one in every}
    )
    assert most <= len(figures.LINES)


def test_a_run_that_ended_under_sgd_is_drawn_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    every = [
        Found(one, (history(one.setting, [0.1] * (2 + 9 * (n > 0))),))
        for n, one in enumerate(curves("figure-5", "closest", 0))
    ]
    assert figures.draw("figure-5", "closest", every, tmp_path)[0].is_file()


def test_drops_under_sgd_do_not_count() -> None:
    (setting,) = (s for s in settings("figure-5") if s.method == "is")
    falling = [0.1, 0.9, 0.1, 0.9, 0.1, 0.5, 0.4, 0.6]
    one = Found(Curve("", "IS", setting), (history(setting, falling),))
    text = document("figure-5", {"printed": [one]}, {})
    assert cells(text, "IS") == [["0.600", "0.601", "1", "0.100"]]


def test_a_figure_shows_seeds_and_the_paper(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sizes = [
        figures.draw("figure-4", "printed", one, tmp_path, ["svg"])[0].stat().st_size
        for one in (found("figure-4"), found("figure-4", seeds=2))
    ]
    assert sizes[1] > sizes[0]
    formats = figures.draw("figure-4", "printed", found("figure-4"), tmp_path, ["png"])
    assert formats[0].read_bytes().startswith(b"\x89PNG")


def test_the_lines_are_told_apart_without_colour() -> None:
    looks = figures.LINES
    assert len({look.marker for look in looks}) == len(looks)
    assert len({str(look.line) for look in looks}) == len(looks)


def test_figures_know_records_and_no_runs() -> None:
    source = Path(figures.__file__).read_text(encoding="utf-8")
    own = {
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("refimpl")
    }
    assert own == {
        "refimpl.arrays",
        "refimpl.experiments.accuracy_plots",
        "refimpl.experiments.reproduction",
    }
