"""The two figures of the multilevel pages, drawn from records alone.

Lines differ by marker and stroke as well as by colour, so that the figures survive
without colour.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from refimpl.arrays import Array
from refimpl.experiments.accuracy_plots import STYLES, Style, save, sheet
from refimpl.experiments.figures import LINES
from refimpl.experiments.multilevel_bias import COLD, FAMILIES, PATHS, Family
from refimpl.experiments.multilevel_reproduction import LABELS, Found
from refimpl.experiments.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = 8  # on a line

_PANELS = (
    ("train_loss", "training loss"),
    ("test_loss", "test loss"),
    ("train_accuracy", "training accuracy"),
    ("test_accuracy", "test accuracy"),
)

_INNER = {
    "warm": "chain from the carried $w_2$ (published)",
    "equilibrium": "chain from a fresh draw",
    "independent": "independent draws",
}


def draw(
    found: Sequence[Found], folder: Path, formats: Iterable[str] = ("svg",)
) -> list[Path]:
    """Loss and accuracy of all methods against what they cost; returns the files.

    Parameters
    ----------
    found : sequence of Found
        One for each method and seed.
    folder : Path
        Where the files go; it exists.
    formats : iterable of {"svg", "pdf", "png"}

    Raises
    ------
    ImportError
        If matplotlib is absent.
    """
    s = found[0].setting
    title = "Multilevel Metropolis and what else the same cost buys"
    key = (
        f"{s.data}, the first {s.images:,} training images, all test images; "
        f"{s.pixels}-{s.hidden}-10 without biases; {s.rounds:,} rounds. "
        "A line for each seed."
    )
    if found[0].history.data_warnings:
        key += "\nThe data differ from the official files."
    with sheet((7.6, 6.2), title, key, title_size=11) as figure:
        grid = figure.subplots(2, 2, sharex=True, sharey="row")
        for axes, (name, label) in zip(grid.flat, _PANELS, strict=True):
            _curves(axes, found, name)
            axes.set_title(label, loc="left", fontsize=9.5)
        grid[0, 0].set_ylabel("squared loss")
        grid[0, 0].set_ylim(0.0, 1.4)  # the first loss is 0.9; above is the legend
        grid[1, 0].set_ylabel("accuracy")
        grid[1, 0].set_ylim(0.0, 1.0)
        for axes in grid[1]:
            axes.set_xlabel("multiply-adds")
        grid[0, 1].legend(loc="upper right")
        return save(figure, folder, "multilevel", formats)


def _curves(axes: "Axes", found: Sequence[Found], name: str) -> None:
    axes.set_xscale("log")
    for method, style in zip(LABELS, STYLES, strict=False):
        same = [one for one in found if one.setting.method == method]
        for n, one in enumerate(same):
            x, y = one.column("multiply_adds"), one.column(name)
            _line(axes, x[1:], y[1:], style, LABELS[method] if not n else None)


def _line(axes: "Axes", x: Array, y: Array, style: Style, label: str | None) -> None:
    """Markers stand at equal distances on the logarithmic axis."""
    wanted = np.geomspace(x[0], x[-1], _MARKERS)
    places = np.unique(np.searchsorted(x, wanted * (1 - 1e-9)))
    axes.plot(
        x,
        y,
        color=style.colour,
        linestyle=style.line,
        marker=style.marker,
        markersize=4,
        markevery=places.tolist(),
        label=label,
    )


def draw_bias(
    records: Sequence[Record], folder: Path, formats: Iterable[str] = ("svg",)
) -> list[Path]:
    """How far the algorithm is from its law against T'; returns the files.

    Parameters
    ----------
    records : sequence of Record
        Of `refimpl.experiments.multilevel_bias`.
    folder : Path
        Where the files go; it exists.
    formats : iterable of {"svg", "pdf", "png"}

    Raises
    ------
    ImportError
        If matplotlib is absent.
    """
    title = "More inner steps are not always better"
    key = (
        "Table M1, 3 x 3; exact stationary laws, and hollow those estimated from "
        f"{PATHS:,} paths. The colder, the later the error\nfalls for good: at (0.3, "
        "0.1) not before T' = 5,000."
    )
    with sheet((8.4, 4.2), title, key, title_size=11) as figure:
        left, right = figure.subplots(1, 2)
        published = [one for one in FAMILIES if one.inner == "warm"]
        cold = [one for one in FAMILIES if one.temperatures == COLD]
        _families(left, records, published, LINES, _by_temperature)
        same = LINES[len(published) - 1 :]  # the coldest looks the same in both
        _families(right, records, cold, same, lambda one: _INNER[one.inner])
        left.set_title("the published algorithm", loc="left", fontsize=9.5)
        right.set_title(
            rf"three inner loops, {_by_temperature(FAMILIES[-1])}",
            loc="left",
            fontsize=9.5,
        )
        left.set_yscale("log")
        right.set_ylim(0.0, 0.4)
        left.set_ylabel("total variation distance from $P^*$")
        return save(figure, folder, "multilevel-bias", formats)


def _by_temperature(family: Family) -> str:
    coarse, fine = family.temperatures
    return rf"$\lambda = ({coarse:g},\ {fine:g})$"


def _families(
    axes: "Axes",
    records: Sequence[Record],
    families: Sequence[Family],
    styles: Sequence[Style],
    name: Callable[[Family], str],
) -> None:
    for family, style in zip(families, styles, strict=False):
        same = [
            one
            for one in records
            if one.experiment == family.inner
            and one.setting["lambda_1"] == family.temperatures[0]
        ]
        same.sort(key=lambda one: one.setting["inner_steps"])
        axes.plot(
            [one.setting["inner_steps"] for one in same],
            [one.measured["variation"] for one in same],
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markersize=4,
            label=name(family),
        )
        estimated = [one for one in same if one.repetitions]
        axes.plot(
            [one.setting["inner_steps"] for one in estimated],
            [one.measured["variation"] for one in estimated],
            color=style.colour,
            linestyle="none",
            marker=style.marker,
            markersize=4,
            markerfacecolor="white",
        )
    axes.set_xscale("log")
    axes.set_xlabel("inner steps $T'$")
    axes.legend(loc="best")
