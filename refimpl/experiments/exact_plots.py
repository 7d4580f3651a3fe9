"""Figures 1 to 3 of the paper and the phase diagram, drawn from their records alone.

Shades run from dark to light with the numbers that they stand for, and lines differ by
stroke as well as by colour, so that the figures survive without colour.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.experiments.accuracy_plots import GREY, STYLES, Style, save, sheet
from refimpl.experiments.exact_figures import TITLES, Record
from refimpl.experiments.figures import spread_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SHARP, WIDE = STYLES[1], STYLES[0]
SADDLE = Style(GREY, "x", (0, (1, 1.2)))
_CRITICAL = {"sharp": SHARP, "saddle": SADDLE, "wide": WIDE}
_MINIMA = {"sharp": SHARP, "wide": WIDE}
_SECTIONS = (STYLES[3], *STYLES[:3])
_FAMILIES = {"all": STYLES[0], "tau": STYLES[1]}
_LEVELS = (0.0, 0.1, 0.3, 1.0, 2.0, 3.0, 4.0, 5.0)
_LABELLED = 7.0  # r at which contours carry their numbers
_OF_FIGURES = {"wells_entropy": "Figure 1", "wells_heat": "Figure 2"}
_TOP = 5.5
_LINES = {
    "quadratic_heat": ("heat, quadratic", "#000000", (0, (4, 2))),
    "wells_heat": ("heat, wells, $a = {depth:g}$", SHARP.colour, SHARP.line),
    "deep_entropy": ("wells, $a = {deep:g}$", "#332288", (0, (6, 1.5, 1, 1.5))),
    "wells_entropy": ("wells, $a = {depth:g}$", WIDE.colour, "-"),
    "quadratic_entropy": ("mixtures", "#000000", "-"),
    "shallow_entropy": ("wells, $a = {shallow:g}$", "#009e73", (0, (2, 1))),
}
_PAIR = ("sharpness", "difference")
_PAIRS = {
    "wells_heat": ("two wells, heat", SHARP),
    "wells_entropy": ("two wells, local entropy", WIDE),
    "mixture_entropy": ("two components, local entropy", STYLES[3]),
}
_TITLE: dict[str, Any] = {"loc": "left", "fontsize": 9.5}
_KEY = (
    "Squares: the sharp minimum. Circles: the wide one. Diamond: where both are equally"
    "\ndeep. \N{MULTIPLICATION SIGN}: where the sharp one meets the saddle between "
    "them. Lines are 0.5 apart."
)
_KEY_3 = (
    "Grey: q. Numbers: the least divergence; mode seeking has two minimisers, of which "
    "the left one is the global one.\nFilled: the mean that step 2 of Algorithm 1 "
    "(diamond) or 2 (triangle) returns. Hollow: only a local minimiser."
)
_KEY_4 = (
    "A minimum r times as wide as a sharp one becomes the lower of the two if "
    "f(wide) - f(sharp) < $\\Delta^\\ast$. H: the\ncurvature of the sharp one, a: its "
    "depth. Two dimensions. Dashed in the maps: the laws of quadratic minima."
)


def draw(
    name: str, found: Record, folder: Path, formats: Iterable[str] = ("svg",)
) -> list[Path]:
    """Draw one figure and return the files.

    Parameters
    ----------
    name : str
        One of `refimpl.experiments.exact_figures.FIGURES`.
    found : dict
        Its record.
    folder : Path
        Where the files go; it exists.
    formats : iterable of {"svg", "pdf", "png"}

    Raises
    ------
    ImportError
        If matplotlib is absent.
    """
    size, key, panels = _FIGURES[name]
    with sheet(size, TITLES[name], key, title_size=11) as figure:
        panels(figure, found)
        return save(figure, folder, name, formats)


# --- Figures 1 and 2


def _landscape(symbol: str) -> Callable[["Figure", Record], None]:
    def panels(figure: "Figure", found: Record) -> None:
        halves: Any = figure.subfigures(2, 1, height_ratios=(1, 1.3))
        above, below = halves
        _maps(above, found, symbol)
        section, places, depths = below.subplots(1, 3)
        _section(section, found, symbol)
        _places(places, found)
        _depths(depths, found, symbol)

    return panels


def _maps(figure: Any, found: Record, symbol: str) -> None:
    """f and its regularisations; every shade lies on the next lighter one."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm

    x1, half = np.array(found["x1"]), np.array(found["x2"])
    x2 = np.concatenate([-half[:0:-1], half])
    levels = np.arange(0.0, found["level"] + 0.1, 0.5)
    shades = ScalarMappable(BoundaryNorm(levels, 256), "Blues_r")
    row = figure.subplots(1, len(found["shown"]), sharey=True)
    for axes, tau, values in zip(row, found["shown"], found["maps"], strict=True):
        below = np.array(values).T
        whole = np.vstack([below[:0:-1], below])
        axes.set_facecolor(shades.to_rgba(levels[-2]))
        for level in levels[-2:0:-1]:
            colour = shades.to_rgba(level - 0.5)
            filled = axes.contourf(x1, x2, whole, [-1.0, level], colors=[colour])
            filled.set(edgecolor="black", linewidth=0.25)
        (here,) = (one for one in found["minima"] if one["tau"] == tau)
        for name, style in _MINIMA.items():
            if here[name]:
                _hollow(axes, here[name]["x"], 0.0, style.marker)
        axes.set_title(rf"${symbol}$, $\tau = {tau:g}$" if tau else "$f$", **_TITLE)
        axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.set_xlabel("$x_1$")
        axes.set_xticks([-2, 0, 2])
        axes.set_yticks([-2, 0, 2])
    row[0].set_ylabel("$x_2$")
    bar = figure.colorbar(shades, ax=row, shrink=0.9, aspect=14, pad=0.01)
    bar.set_ticks(np.arange(0, found["level"] + 0.1, 2))
    bar.minorticks_off()


def _section(axes: "Axes", found: Record, symbol: str) -> None:
    lines = zip(found["shown"], found["section"], _SECTIONS, strict=True)
    for tau, values, style in lines:
        label = rf"$\tau = {tau:g}$" if tau else "$f$"
        axes.plot(found["x1"], values, style.colour, linestyle=style.line, label=label)
    axes.set_title("Along the axis of both minima", **_TITLE)
    axes.set_xlabel("$x_1$")
    axes.set_ylabel(rf"${symbol}(x_1, 0)$")
    axes.set_ylim(0, 1.42 * found["level"])
    axes.set_yticks(np.arange(0, found["level"] + 0.1, 2))
    axes.legend(loc="upper center", ncols=2)


def _places(axes: "Axes", found: Record) -> None:
    _curves(axes, found, "x")
    tau = found["lost"]["tau"]
    axes.set_title(rf"Sharp minimum lost at $\tau = {tau:.3g}$", **_TITLE)
    axes.set_ylabel("$x_1$")
    axes.set_ylim(-1.8, 1.8)


def _depths(axes: "Axes", found: Record, symbol: str) -> None:
    _curves(axes, found, "depth")
    equal = found["equal"]
    _hollow(axes, equal["tau"], equal["depth"], "D")
    axes.set_title(rf"Both equally deep at $\tau = {equal['tau']:.3g}$", **_TITLE)
    axes.set_ylabel(rf"depth, ${found['level']:g} - {symbol}$")
    axes.set_ylim(0, 1.05 * found["level"])


def _curves(axes: "Axes", found: Record, what: str) -> None:
    """One number of the critical points against tau, each with its name."""
    lost = found["lost"]
    for name, style in _CRITICAL.items():
        points = [
            (one["tau"], one[name][what])
            for one in found["minima"]
            if one["tau"] and one[name]
        ]
        if name != "wide":
            points.append((lost["tau"], lost[what]))
        tau, y = zip(*points, strict=True)
        axes.plot(tau, y, style.colour, linestyle=style.line)
        _beside(axes, name, (tau[0], y[0]), style.colour, (0, 4))
    axes.plot(lost["tau"], lost[what], "x", color="black", ms=6, mew=1.4, zorder=4)
    axes.set_xscale("log")
    axes.set_xticks([0.001, 0.01, 0.1, 1, 10], ["0.001", "0.01", "0.1", "1", "10"])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(r"$\tau$")


# --- Figure 3


def _divergences(figure: "Figure", found: Record) -> None:
    mode, mean, both = figure.subplots(1, 3)
    kl = r"D_{\mathrm{KL}}"
    mode.set_title(rf"Mode seeking: ${kl}(\varphi\,\Vert\,q)$ least", **_TITLE)
    mean.set_title(rf"Mean seeking: ${kl}(q\,\Vert\,\varphi)$ least", **_TITLE)
    for axes, sense in ((mode, "mode seeking"), (mean, "mean seeking")):
        _density(axes, found, sense)
        axes.legend(loc="upper right" if sense == "mean seeking" else "upper center")
    _of_the_mean(both, found, kl)


def _density(axes: "Axes", found: Record, sense: str) -> None:
    """q as an area, and the Gaussians nearest to it."""
    axes.fill_between(found["grid"], found["density"], color="#d4d4d4", lw=0)
    labels = {"all": "over all Gaussians", "tau": r"of variance $\tau$"}
    for one in found["best"]:
        if one["sense"] == sense:
            style = _FAMILIES[one["family"]]
            axes.plot(
                found["grid"],
                one["density"],
                style.colour,
                linestyle=style.line,
                label=labels.pop(one["family"], None),
            )
            peak = (one["mean"], max(one["density"]))
            aside = sense == "mode seeking" and one["family"] == "tau"
            shift = np.sign(one["mean"]) * 22 * aside, 3
            text = f"{one['divergence']:.3f}"
            _beside(axes, text, peak, style.colour, shift, ha="center")
    axes.set_xlabel("$x'$")
    axes.set_ylabel("density")
    axes.set_ylim(0, 1.45)


def _of_the_mean(axes: "Axes", found: Record, kl: str) -> None:
    """Both divergences of phi_{x,tau} against x, and what step 2 returns."""
    curves = (
        ("mode seeking", STYLES[2], rf"${kl}(\varphi_{{x,\tau}}\,\Vert\,q)$"),
        ("mean seeking", STYLES[3], rf"${kl}(q\,\Vert\,\varphi_{{x,\tau}})$"),
    )
    for sense, style, label in curves:
        values = found[sense.replace(" ", "_")]
        axes.plot(found["x"], values, style.colour, linestyle=style.line, label=label)
        least = [
            (one["mean"], one["divergence"])
            for one in found["best"]
            if (one["sense"], one["family"]) == (sense, "tau")
        ]
        for n, at in enumerate(least):  # the first is the global one
            inside = "white" if n else style.colour
            axes.plot(*at, style.marker, color=style.colour, mfc=inside, zorder=5)
    axes.set_title(r"Variance $\tau$, against the mean", **_TITLE)
    axes.set_xlabel("$x$")
    axes.set_ylabel("divergence")
    axes.set_ylim(0, 9)
    axes.legend(loc="upper center")


# --- the phase diagram


def _phases(figure: "Figure", found: Record) -> None:
    titles = {
        "quadratic_entropy": "Local entropy, mixtures",
        "wells_entropy": f"Local entropy, wells with $a = {found['depth']:g}$",
        "wells_heat": f"Heat, wells with $a = {found['depth']:g}$",
    }
    *maps, last = figure.subplots(2, 2).flat
    for axes, (name, title) in zip(maps, titles.items(), strict=True):
        _phase(axes, found, name, rf"{title}: $\Delta^\ast$")
    _laws(last, found)
    _nearby(last, found)


def _phase(axes: "Axes", found: Record, name: str, title: str) -> None:
    """The critical difference as contours; dashed those of quadratic minima."""
    from matplotlib import colormaps

    x, y = np.array(found["sharpness"]), np.array(found["ratios"])
    values = np.array(found["maps"][name]).T
    shades = colormaps["Blues"](np.linspace(0, 0.7, len(_LEVELS)))
    axes.contourf(x, y, values, _LEVELS, colors=shades, extend="max")
    law = f"quadratic_{name.rpartition('_')[2]}"
    if law != name:
        other = np.array(found["maps"][law]).T
        style: dict[str, Any] = {"colors": GREY, "linestyles": [(0, (4, 2))]}
        axes.contour(x, y, other, _LEVELS[1:], linewidths=0.7, **style)
    axes.contour(x, y, values, _LEVELS[1:], colors="black", linewidths=0.9)
    row = values[np.abs(y - _LABELLED).argmin()]
    for level in _LEVELS[1:]:
        if level < 0.97 * row.max():
            at = (float(np.interp(level, row, x)), _LABELLED)
            _beside(axes, f"{level:g}", at, "black", (3, -3))
    for one in found["pairs"].get(name, ()):
        if one["nominal"] == found["of_figures"]:
            at = (one["sharpness"], found["ratio"])
            axes.plot(*at, "*", color="white", mec="black", ms=9)
            label = _beside(axes, _OF_FIGURES[name], at, "black", (8, -3))
            label.set_bbox({"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 1})
    axes.set_title(title, **_TITLE)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(r"$\tau H$")
    axes.set_ylabel("width ratio $r$")
    _plain(axes.xaxis, (0.1, 1, 10, 100))
    _plain(axes.yaxis, (1, 1.5, 2, 3, 4, 6, 8))
    axes.grid(visible=False)


def _laws(axes: "Axes", found: Record) -> None:
    """Critical differences for one ratio of widths, each with its name."""
    x = np.array(found["sharpness"])
    ends, names = [], []
    for name, (label, colour, line) in _LINES.items():
        y = np.array(found["lines"][name])
        shown = y <= _TOP
        wide = 2.2 if name == "quadratic_entropy" else None
        axes.plot(x[shown], y[shown], colour, linestyle=line, linewidth=wide, zorder=1)
        if shown.all():
            ends.append((x[-1], y[-1]))
            names.append((label.format(**found), colour))
        else:
            _beside(axes, label, (x[shown][-1], y[shown][-1]), colour, (-4, 0), "right")
    heights = spread_out(np.array([y / _TOP for _, y in ends]), 0.06)
    for (label, colour), end, height in zip(names, ends, heights, strict=True):
        axes.annotate(
            label,
            end,
            xytext=(1.3 * x[-1], _TOP * height),
            va="center",
            fontsize=8,
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5},
        )
    title = f"At $r = {found['ratio']:g}$; markers: as near as in Figures 1 and 2"
    axes.set_title(title, **_TITLE)
    axes.set_xscale("log")
    axes.set_xlim(x[0], 90 * x[-1])
    axes.set_ylim(0, _TOP)
    axes.set_xlabel(r"$\tau H$")
    axes.set_ylabel(r"$\Delta^\ast$")
    _plain(axes.xaxis, (0.1, 1, 10, 100))


def _nearby(axes: "Axes", found: Record) -> None:
    for name, (label, style) in _PAIRS.items():
        at = [[one[key] for one in found["pairs"][name]] for key in _PAIR]
        axes.plot(*at, style.marker, color=style.colour, mfc="white", label=label)
    axes.legend(loc="lower right", handlelength=1.2)


def _plain(axis: "Axis", ticks: Sequence[float]) -> None:
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


# --- what panels share


def _hollow(axes: "Axes", x: float, y: float, marker: str) -> None:
    axes.plot(x, y, marker, color="white", mec="black", ms=4.5, zorder=5)


def _beside(
    axes: "Axes",
    text: str,
    at: tuple[float, float],
    colour: str,
    shift: tuple[float, float],
    ha: str = "left",
) -> Any:
    return axes.annotate(
        text,
        at,
        xytext=shift,
        textcoords="offset points",
        color=colour,
        fontsize=8,
        ha=ha,
    )


_FIGURES: dict[
    str, tuple[tuple[float, float], str, Callable[["Figure", Record], None]]
] = {
    "figure-1": ((8.4, 4.9), _KEY, _landscape(r"F_\tau")),
    "figure-2": ((8.4, 4.9), _KEY, _landscape(r"F^H_\tau")),
    "figure-3": ((8.4, 3.5), _KEY_3, _divergences),
    "phase-diagram": ((8.4, 7.6), _KEY_4, _phases),
}
