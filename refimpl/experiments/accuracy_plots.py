"""One figure for each of Algorithms 3, 4 and 5, drawn from the records alone.

In every panel markers are measurements, with bars of two standard errors, and lines are
theory; dotted lines only guide the eye.  A hollow marker is a bias that cannot be told
from none, a cross at the top a setting in which an estimate left the representable
numbers.  Series differ by marker and line style as well as by colour (Okabe and Ito's
palette), so that the figures survive without colour.

The files do not depend on the day, the fonts of the machine or the order of records.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.arrays import Array
from refimpl.errors import InvalidParameter
from refimpl.experiments.records import Record, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")

GREY = "#555555"
LOOK = {
    "font.family": "DejaVu Sans",  # which comes with matplotlib
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.04,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "legend.labelspacing": 0.35,
    "lines.linewidth": 1.4,
    "lines.markersize": 5.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "svg.fonttype": "path",
    "svg.hashsalt": "refimpl",
    "savefig.dpi": 110,
}
_NO_DATE: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
_KEY = (
    "Markers: measured over {n} repetitions, bars: two standard errors. Lines: theory "
    "(dotted lines only guide the eye).\nHollow: a bias that cannot be told from none. "
    "\N{MULTIPLICATION SIGN}: an estimate left the representable numbers."
)


@dataclass(frozen=True)
class Style:
    """How one series looks."""

    colour: str
    marker: str
    line: Any


STYLES = (
    Style("#0072b2", "o", "-"),
    Style("#d55e00", "s", (0, (5, 1.5))),
    Style("#009e73", "^", (0, (6, 1.5, 1, 1.5))),
    Style("#000000", "D", (0, (2, 1))),
)
DIMENSIONS = dict(zip((1, 2, 3, 10), STYLES, strict=True))


@dataclass(frozen=True)
class Series:
    """Records along one axis x, in its order."""

    x: Array
    records: Sequence[Record]

    def __bool__(self) -> bool:
        return bool(self.records)

    def measured(self, name: str) -> Array:
        """A measured number of every record, NaN where there is none."""
        return _column(record.measured.get(name) for record in self.records)

    def exact(self, name: str) -> Array:
        """What theory says of it, NaN where it says nothing."""
        return _column(record.exact.get(name) for record in self.records)


def _column(values: Iterable[float | None]) -> Array:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


@dataclass(frozen=True)
class Experiments:
    """The records of one algorithm, asked for by what they have in common."""

    records: Sequence[Record]

    def by_dimension(
        self, axis: str, experiment: str, family: str
    ) -> "Iterator[tuple[int, Style, Series]]":
        """The series of every d of one family of losses, with its look."""
        for d, style in DIMENSIONS.items():
            series = self.along(axis, experiment, family=family, d=d)
            if series:
                yield d, style, series

    def along(self, axis: str, experiment: str, **wanted: Any) -> Series:
        """The records of an experiment, in the order of one of their numbers.

        `wanted` selects by problem, family, d or any number of the setting.
        """
        chosen = [
            record
            for record in self.records
            if record.experiment == experiment
            and all(_number(record, key) == value for key, value in wanted.items())
        ]
        chosen.sort(key=lambda record: float(_number(record, axis)))
        return Series(_column(_number(record, axis) for record in chosen), chosen)


def _number(record: Record, key: str) -> Any:
    if key == "family":
        return record.problem.rpartition("-")[0]
    if key == "time":
        return record.setting["J"] * record.setting["epsilon"]
    return record.d if key == "d" else record.setting.get(key)


Panel = Callable[["Axes", Experiments], None]


def available() -> bool:
    """Whether there is a matplotlib to draw with."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def draw(
    algorithm: str, records: Sequence[Record], folder: Path, formats: Iterable[str]
) -> list[Path]:
    """Draw the figure of one algorithm and return the files.

    Parameters
    ----------
    algorithm : {"sgld", "importance", "robbins-monro"}
    records : sequence of Record
        In any order; a series without records is left out.
    folder : Path
        Where the files go; it exists.
    formats : iterable of {"svg", "pdf", "png"}

    Raises
    ------
    InvalidParameter
        If there are no records of the algorithm.
    ImportError
        If matplotlib is absent.
    """
    chosen = [record for record in records if record.algorithm == algorithm]
    if not chosen:
        raise InvalidParameter(f"there are no records of {algorithm!r} to draw")
    title, panels = _FIGURES[algorithm]
    key = _KEY.format(n=chosen[0].repetitions)
    with sheet((8.4, 10.2), title, key) as figure:
        experiments = Experiments(chosen)
        for axes, panel in zip(figure.subplots(3, 2).flat, panels, strict=True):
            panel(axes, experiments)
        return save(figure, folder, f"accuracy-{algorithm}", formats)


@contextmanager
def sheet(
    size: tuple[float, float],
    title: str,
    key: str,
    *,
    title_size: float = 12,
) -> Iterator["Figure"]:
    """An empty figure with a title and a key, in the look that it has within.

    Parameters
    ----------
    size : tuple of float
        In inches.
    title, key : str
    title_size : float
        In points.

    Raises
    ------
    ImportError
        If matplotlib is absent.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with rc_context(LOOK):
        layout = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.08)
        figure = Figure(figsize=size, layout=layout)
        FigureCanvasAgg(figure)
        left: dict[str, Any] = {"x": 0.012, "ha": "left"}
        figure.suptitle(title, fontsize=title_size, fontweight="bold", **left)
        figure.supxlabel(key, fontsize=8, color=GREY, **left)
        yield figure


def save(figure: Any, folder: Path, name: str, formats: Iterable[str]) -> list[Path]:
    """Write a figure in some formats, without dates, and return the files."""
    files = []
    for suffix in formats:
        file = folder / f"{name}.{suffix}"
        if suffix == "svg":
            text = StringIO()
            figure.savefig(text, format=suffix, metadata=_NO_DATE[suffix])
            write_whole(file, _lean(text.getvalue()))
        else:
            drawn = BytesIO()
            figure.savefig(drawn, format=suffix, metadata=_NO_DATE[suffix])
            write_whole(file, drawn.getvalue())
        files.append(file)
    return files


def _lean(svg: str) -> str:
    """The same picture without indents, comments, names of groups and fine digits."""
    svg = re.sub(r"^ *(<!-- .*? -->\n)?| +$", "", svg, flags=re.MULTILINE)
    svg = re.sub(r'<g id="\w+\.?\w+">', "<g>", svg)
    return re.sub(r"\b([1-9]\d*\.\d\d)\d+", r"\1", svg)


# --- what panels are made of ----------------------------------------------------------


def _markers(
    axes: "Axes",
    series: Series,
    name: str,
    style: Style,
    label: str,
    *,
    unit: Any = 1.0,
    guide: bool = False,
) -> None:
    """A measured number with its bars; joined, if there is no theory to do it."""
    y = series.measured(name) / unit
    bars = 2 * series.measured(f"{name}_error") / unit
    _points(axes, series.x, y, bars, style, label)
    if guide:
        axes.plot(series.x, y, color=style.colour, linestyle=":", linewidth=0.9)
    place = axes.get_xaxis_transform()  # y in units of the axes
    height = 0.98 - 0.045 * STYLES.index(style)
    for lost in series.x[np.isnan(y)]:
        axes.plot(lost, height, "x", color=style.colour, transform=place)


def _biases(axes: "Axes", series: Series, style: Style, label: str) -> float:
    """Biases and their theory; the least of what is to be seen.

    A bias below twice what none would show is hollow and has no bars.  The controlled
    measurement is taken where J is ten times rho or more: below, the mean weight is
    decided by samples that few repetitions see.
    """
    sure = series.x >= 10 * series.exact(
        "rho"
    )  # NaN, and so False, but for Algorithm 4
    y, noise, error = (
        np.where(sure, series.measured(f"controlled{n}"), series.measured(f"bias{n}"))
        for n in ("", "_noise", "_error")
    )
    exact = series.exact("bias")
    _line(axes, series.x, exact, style)
    seen = y > 2 * noise
    hollow = ~seen & np.isfinite(y)
    _points(axes, series.x[seen], y[seen], 2 * error[seen], style, label)
    axes.plot(
        series.x[hollow],
        y[hollow],
        style.marker,
        color=style.colour,
        markerfacecolor="white",
    )
    shown = np.concatenate([exact, y[seen]])
    return float(np.nanmin(shown, initial=np.inf))


def _points(
    axes: "Axes", x: Array, y: Array, bars: Array, style: Style, label: str
) -> None:
    below = np.minimum(bars, 0.9 * y)  # logarithmic axes have no zero
    axes.errorbar(
        x,
        y,
        yerr=None if np.isnan(bars).all() else np.array([below, bars]),
        fmt=style.marker,
        color=style.colour,
        elinewidth=0.9,
        label=label,
        zorder=3,
    )


def _line(axes: "Axes", x: Array, y: Array, style: Style) -> None:
    axes.plot(x, y, color=style.colour, linestyle=style.line, zorder=2)


def _note(axes: "Axes", text: str, at: tuple[float, float], place: Any) -> None:
    axes.annotate(
        text,
        at,
        xytext=(3, 3),
        xycoords=place,
        textcoords="offset points",
        color=GREY,
        fontsize=8,
    )


def _finish(
    axes: "Axes",
    message: str,
    conditions: str,
    x: str,
    y: str,
    *,
    log: str = "xy",
    legend: str = "best",
    bottom: float = np.inf,
) -> None:
    """Titles, axes and legend; bottom is where the vertical axis begins, if finite."""
    axes.set_title(message, loc="left", fontsize=9.5, pad=18)
    _note(axes, conditions, (-0.008, 1.005), "axes fraction")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if "x" in log:
        axes.set_xscale("log")
        _ticks(axes.xaxis, *axes.get_xlim())
    if "y" in log:
        axes.set_yscale("log")
        if np.isfinite(bottom):
            axes.set_ylim(bottom=bottom)
        _ticks(axes.yaxis, *axes.get_ylim())
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc=legend)


def _ticks(axis: "Axis", lower: float, upper: float) -> None:
    """Plain numbers on short logarithmic axes, powers of ten on long ones."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_minor_locator(NullLocator())
    if np.log10(upper / lower) < 2:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


_FAMILIES = {"mixture": "Mixtures", "wells": "Double wells"}
_MEAN_ERROR = r"error  $(E\,|\hat x - E_q X|^2)^{1/2}$"
_MEAN_BIAS = r"bias  $|E\,\hat x - E_q X|$"
_POINT_ERROR = r"error  $(E\,|\hat x - x^\star|^2)^{1/2}$"
_POINT_BIAS = r"bias  $|E\,\hat x - x^\star|$"


# --- Algorithm 4 ----------------------------------------------------------------------


def _importance_error(family: str, conditions: str) -> Panel:
    def panel(axes: "Axes", experiments: Experiments) -> None:
        for d, style, series in experiments.by_dimension("J", "samples", family):
            _line(axes, series.x, series.exact("rmse"), style)
            label = rf"$d = {d}$,  $\rho = {series.exact('rho')[0]:.3g}$"
            _markers(axes, series, "rmse", style, label)
        message = rf"{_FAMILIES[family]}: the error falls like $(\rho / J)^{{1/2}}$"
        _finish(axes, message, conditions, "samples $J$", _MEAN_ERROR)

    return panel


def _importance_bias(family: str, conditions: str) -> Panel:
    def panel(axes: "Axes", experiments: Experiments) -> None:
        least = [
            _biases(axes, series, style, f"$d = {d}$")
            for d, style, series in experiments.by_dimension("J", "samples", family)
        ]
        message = rf"{_FAMILIES[family]}: the bias falls like $\rho / J$"
        bottom = 0.5 * min(least, default=np.inf)
        _finish(axes, message, conditions, "samples $J$", _MEAN_BIAS, bottom=bottom)

    return panel


def _curse(axes: "Axes", experiments: Experiments) -> None:
    J = np.nan
    for tau, style in zip((1.0, 0.5, 0.25), STYLES, strict=False):
        series = experiments.along("d", "dimension", tau=tau)
        if series:
            J = series.records[0].setting["J"]
            y = J / series.measured("effective_sample_size")
            label = rf"$\tau = {tau:g}$"
            _line(axes, series.x, series.exact("rho"), style)
            axes.plot(series.x, y, style.marker, color=style.colour, label=label)
    if np.isfinite(J):
        axes.axhline(J, color=GREY, linewidth=0.9)
        _note(axes, f"$J = {J:g}$", (0.015, J), axes.get_yaxis_transform())
    _finish(
        axes,
        r"Quadratic: $\rho$ grows exponentially with $d$",
        r"lines; the effective sample size (markers) hides it",
        "dimension $d$",
        r"$\rho$, and $J\,/$ effective sample size",
        log="y",
        legend="lower right",
    )


def _collapse(axes: "Axes", experiments: Experiments) -> None:
    axes.axhline(1.0, color=GREY, linewidth=1.2)
    for family, filled in (("mixture", True), ("wells", False)):
        for d, style, series in experiments.by_dimension("J", "samples", family):
            axes.plot(
                series.x / series.exact("rho"),
                series.measured("rmse") / series.exact("rmse"),
                style.marker,
                color=style.colour,
                fillstyle="full" if filled else "left",
                markerfacecoloralt="white",
                label=f"$d = {d}$" if filled else None,
            )
    _finish(
        axes,
        r"The law of large $J$ holds from $J \approx 100\,\rho$ on",
        "filled: mixtures, half filled: double wells",
        r"$J / \rho$",
        r"error, in units of $(\rho / J)^{1/2} \times$ const.",
        log="x",
        legend="lower right",
    )


# --- Algorithm 3 ----------------------------------------------------------------------


def _sgld_error(family: str, message: str) -> Panel:
    def panel(axes: "Axes", experiments: Experiments) -> None:
        for d, style, series in experiments.by_dimension("epsilon", "cost", family):
            _markers(axes, series, "rmse", style, f"$d = {d}$", guide=True)
        _finish(
            axes,
            f"{_FAMILIES[family]}: {message}",
            "$J = 1000$ states, whatever the step",
            r"step $\epsilon$",
            _MEAN_ERROR,
            legend="lower left",
        )

    return panel


def _sgld_bias(family: str, known: str, legend: str) -> Panel:
    def panel(axes: "Axes", experiments: Experiments) -> None:
        least = [
            _biases(axes, series, style, f"$d = {d}$")
            for d, style, series in experiments.by_dimension("epsilon", "time", family)
        ]
        _finish(
            axes,
            f"{_FAMILIES[family]}: the bias of a finite step",
            rf"time $J\epsilon = 1000$; {known}",
            r"step $\epsilon$",
            _MEAN_BIAS,
            legend=legend,
            bottom=0.5 * min(least, default=np.inf),
        )

    return panel


def _transient(axes: "Axes", experiments: Experiments) -> None:
    for epsilon, style in zip((0.05, 0.2), STYLES, strict=False):
        series = experiments.along("time", "transient", epsilon=epsilon)
        if series:
            _biases(axes, series, style, rf"bias, $\epsilon = {epsilon:g}$")
            deviation = np.sqrt(series.exact("variance"))
            label = rf"standard deviation, $\epsilon = {epsilon:g}$"
            axes.plot(series.x, deviation, style.colour, linewidth=0.7, label=label)
    _finish(
        axes,
        r"Quadratic: the start is forgotten like $1/(J\epsilon)$",
        r"curvatures 0, 1 and 6, $\tau = 0.5$; the law is exact",
        r"time $J\epsilon$",
        r"$|E\,\hat x - E_q X|$ and standard deviation",
        legend="lower left",
    )


def _inflation(axes: "Axes", experiments: Experiments) -> None:
    series = experiments.along("epsilon", "stationary")
    if series:
        wanted = series.exact("wanted")  # 1 / beta
        x = np.linspace(0, 3.7, 100)
        axes.plot(x, 1 / (1 - x / 4), "#000000", label=r"$1 / (1 - \epsilon\beta/4)$")
        scaled = Series(series.x / wanted, series.records)
        _markers(axes, scaled, "variance", STYLES[0], "measured", unit=wanted)
    _finish(
        axes,
        "Quadratic: the chain's own law is too wide",
        r"its mean is right, its variance $1 / (\beta (1 - \epsilon\beta/4))$",
        r"$\epsilon\beta$,  with $\beta = \lambda + 1/\tau$",
        "variance of the chain, in units of $q$'s",
        log="y",
        legend="upper left",
    )


# --- Algorithm 5 ----------------------------------------------------------------------


def _moves_error(family: str, conditions: str) -> Panel:
    def panel(axes: "Axes", experiments: Experiments) -> None:
        for d, style, series in experiments.by_dimension("J", "moves", family):
            label = rf"$d = {d}$,  $\kappa = {series.exact('rate')[0]:.2f}$"
            _markers(axes, series, "rmse", style, label, guide=True)
        message = rf"{_FAMILIES[family]}: slow where $\kappa$ is small"
        _finish(axes, message, conditions, "moves $J$", _POINT_ERROR)

    return panel


def _split_error(family: str, message: str) -> Panel:
    def panel(axes: "Axes", experiments: Experiments) -> None:
        axes.axvline(np.sqrt(1000), color=GREY, linewidth=0.9)
        _note(axes, "$M = J$", (np.sqrt(1000), 0.0), axes.get_xaxis_transform())
        for d, style, series in experiments.by_dimension("M", "split", family):
            _markers(axes, series, "rmse", style, f"$d = {d}$", guide=True)
        conditions = "$JM = 1000$ gradients in all, $a^j = 0.25\\,j^{-0.7}$"
        message_ = f"{_FAMILIES[family]}: {message}"
        _finish(axes, message_, conditions, "samples a move $M$", _POINT_ERROR)

    return panel


def _schedules(axes: "Axes", experiments: Experiments) -> None:
    settings = {(0.1, 0.7): " (Figure 4)", (0.5, 0.7): "", (0.5, 1.0): ""}
    for ((c, alpha), where), style in zip(settings.items(), STYLES, strict=False):
        series = experiments.along("J", "schedule", c=c, alpha=alpha)
        if series:
            _biases(axes, series, style, rf"$a^j = {c:g}\,j^{{-{alpha:g}}}${where}")
    _finish(
        axes,
        "Quadratic: how far the mean still has to go",
        r"curvatures 0, 1 and 6, $\tau = 0.5$, $M = 10$; the law is exact",
        "moves $J$",
        _POINT_BIAS,
        legend="lower left",
        bottom=1e-5,
    )


def _batches(axes: "Axes", experiments: Experiments) -> None:
    for M, style in zip((1, 10, 100), STYLES, strict=False):
        series = experiments.along("J", "batch", M=M)
        if series:
            _line(axes, series.x, series.exact("rmse"), style)
            _markers(axes, series, "rmse", style, f"$M = {M}$")
    _finish(
        axes,
        "Quadratic: the noise falls like $(a^J / M)^{1/2}$",
        "the same, $a^j = 0.5\\,j^{-0.7}$; the law is exact",
        "moves $J$",
        _POINT_ERROR,
    )


_FIGURES: dict[str, tuple[str, tuple[Panel, ...]]] = {
    "importance": (
        r"Algorithm 4, importance sampling: $\rho$ decides, and grows with $d$",
        (
            _importance_error("mixture", r"$\tau = 0.5$"),
            _importance_error("wells", r"$\tau = 0.75$"),
            _importance_bias("mixture", r"$\tau = 0.5$"),
            _importance_bias("wells", r"$\tau = 0.75$"),
            _curse,
            _collapse,
        ),
    ),
    "sgld": (
        "Algorithm 3, SGLD: small steps stay near the start, large ones miss $q$",
        (
            _sgld_error("mixture", "steps of 0.2 to 0.4 are best"),
            _sgld_error("wells", "the largest stable step is best"),
            _sgld_bias("mixture", "line: exact, for $d = 1$", "upper left"),
            _sgld_bias("wells", "lines: exact, for $d = 1$ and 10", "lower right"),
            _transient,
            _inflation,
        ),
    ),
    "robbins-monro": (
        r"Algorithm 5, Robbins-Monro: slow where $\kappa$ is small, at any $d$",
        (
            _moves_error("mixture", "$M = 10$ samples a move, $a^j = 0.25\\,j^{-0.7}$"),
            _moves_error(
                "wells",
                r"$\kappa$: least eigenvalue of $I + \tau\nabla^2 F^H_\tau(x^\star)$",
            ),
            _split_error("mixture", "10 to 30 samples a move are best"),
            _split_error("wells", "few samples a move, but for $d = 1$"),
            _schedules,
            _batches,
        ),
    ),
}
