"""Figures 4 to 8 of the paper, drawn from the records of training runs alone.

A line is the mean over the seeds of the accuracy on held-out images, a band reaches
from the least to the largest.  Lines differ by marker and stroke as well as by colour,
and carry their names at their ends, so that the figures survive without colour.  Hollow
markers are the numbers of the paper's Table 1.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from refimpl.arrays import Array
from refimpl.experiments.accuracy_plots import STYLES, Style, save, sheet
from refimpl.experiments.reproduction import EXPERIMENTS, TABLE_1, UPDATES, Found

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = (*STYLES, Style("#cc79a7", "v", (0, (1, 1))))
_COLUMNS = 3
_MARKERS = 8  # on a line
_GAP = 0.055  # between two names, in heights of the axes
_ROOM = 0.30  # for names right of the axes, in their widths
_WITH_TABLE_1 = "figure-4"


def draw(
    name: str,
    reading: str,
    found: Sequence[Found],
    folder: Path,
    formats: Iterable[str] = ("svg",),
) -> list[Path]:
    """Draw one figure in one reading and return the files.

    Parameters
    ----------
    name : str
        One of `refimpl.experiments.reproduction.EXPERIMENTS`.
    reading : str
    found : sequence of Found
        Curves of the same panel stand together.
    folder : Path
        Where the files go; it exists.
    formats : iterable of {"svg", "pdf", "png"}

    Raises
    ------
    ImportError
        If matplotlib is absent.
    """
    panels: dict[str, list[Found]] = {}
    for one in found:
        panels.setdefault(one.curve.panel, []).append(one)
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    size = (7.2, 4.6) if len(panels) == 1 else (3.9 * columns, 3.3 * rows + 0.6)
    title = f"{EXPERIMENTS[name].title}  ({reading})"
    with sheet(size, title, _key(name, found), title_size=11) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, (panel, members) in zip(grid.flat, panels.items(), strict=False):
            _panel(axes, panel, members, paper=name == _WITH_TABLE_1)
        for axes in grid[-1]:
            axes.set_xlabel("weight updates")
        for axes in grid[:, 0]:
            axes.set_ylabel("accuracy")
        return save(figure, folder, f"{name}-{reading}", formats)


def _key(name: str, found: Sequence[Found]) -> str:
    setting, seeds = found[0].curve.setting, len(found[0].histories)
    parts = [f"{setting.held_out} held-out images of {setting.data}"]
    parts += [f"mean and range of {seeds} seeds"] if seeds > 1 else ["one seed"]
    if name == _WITH_TABLE_1 and setting.data == "mnist":
        parts += ["hollow: the paper's Table 1"]
    if found[0].histories[0].data_warnings:
        parts += ["data differ from the official files"]
    return "; ".join(parts)


def _panel(axes: "Axes", title: str, members: Sequence[Found], *, paper: bool) -> None:
    first = members[0].curve.setting.sgd_before
    ends, least, most = [], 1.0, 0.0
    for n, (one, style) in enumerate(zip(members, LINES, strict=False)):
        shown = one.ks >= min(first, one.ks[-1])  # or the last, if it ended there
        ks, values = one.ks[shown], one.values("accuracy")[:, shown]
        mean = values.mean(axis=0)
        step = max(1, ks.size // _MARKERS)
        axes.plot(
            ks,
            mean,
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markersize=4,
            markevery=(n * step // len(LINES), step),
        )
        low, high = values.min(axis=0), values.max(axis=0)
        if len(values) > 1:
            axes.fill_between(ks, low, high, color=style.colour, alpha=0.15, lw=0)
        if paper and one.curve.setting.data == "mnist":
            _paper(axes, one, style)
        ends.append((float(ks[-1]), float(mean[-1])))
        least, most = min(least, low.min()), max(most, high.max())
    axes.set_title(title, loc="left", fontsize=9.5)
    if first:  # all begin high: show what they do there
        axes.set_ylim(max(0.0, least - 0.02), min(1.0, most + 0.02))
    else:
        axes.set_ylim(0.0, 1.0)
    _names(axes, first, ends, members)


def _paper(axes: "Axes", one: Found, style: Style) -> None:
    row = TABLE_1[one.curve.setting.method]
    axes.plot(
        UPDATES,
        row,
        style.marker,
        color=style.colour,
        markerfacecolor="white",
        markersize=7,
        zorder=3,
    )


def _names(
    axes: "Axes",
    first: float,
    ends: Sequence[tuple[float, float]],
    members: Sequence[Found],
) -> None:
    """The names of the lines right of their ends, moved apart where they would meet."""
    last = max(end for end, _ in ends)
    length = max(last - first, 1.0)
    bottom, top = axes.get_ylim()
    heights = spread_out(
        np.array([(y - bottom) / (top - bottom) for _, y in ends]), _GAP
    )
    axes.set_xlim(first, last + _ROOM * length)
    axes.set_xticks([tick for tick in axes.get_xticks() if first <= tick <= last])
    for one, style, end, height in zip(members, LINES, ends, heights, strict=False):
        axes.annotate(
            one.curve.label,
            end,
            xytext=(last + 0.04 * length, bottom + (top - bottom) * height),
            va="center",
            fontsize=8,
            color=style.colour,
            arrowprops={"arrowstyle": "-", "color": style.colour, "lw": 0.5},
        )


def spread_out(heights: Array, gap: float) -> Array:
    """The nearest heights in the same order that are a gap apart, within [0, 1].

    Groups that meet share their mean, from below to above, until none does.
    """
    order = np.argsort(heights, kind="stable")
    groups: list[tuple[float, int]] = []  # centre, members
    for height in heights[order]:
        groups.append((float(height), 1))
        while len(groups) > 1 and _meet(groups[-2], groups[-1], gap):
            (b, n), (a, m) = groups.pop(), groups.pop()
            groups.append(((a * m + b * n) / (m + n), m + n))
    placed = np.concatenate(
        [centre + gap * (np.arange(n) - (n - 1) / 2) for centre, n in groups]
    )
    steps = gap * np.arange(heights.size)
    placed = np.maximum(placed, steps)
    placed = np.minimum(placed, 1.0 - steps[::-1])
    result = np.empty_like(placed)
    result[order] = placed
    return result


def _meet(below: tuple[float, int], above: tuple[float, int], gap: float) -> bool:
    return above[0] - below[0] < gap * (below[1] + above[1]) / 2
