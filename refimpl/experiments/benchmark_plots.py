"""How the time of one update grows, drawn from the timings alone."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from refimpl.experiments.accuracy_plots import STYLES, save, sheet
from refimpl.experiments.benchmark import GROWTH_BASE, PLAIN, SPAN, Timing

LABELS = {"sgld": "SGLD", "is": "importance sampling", "hr": "Robbins-Monro"}


def draw(
    growth: Mapping[str, Mapping[float, Sequence[Timing]]],
    folder: Path,
    formats: Iterable[str],
) -> list[Path]:
    """Milliseconds of one update along every axis, and return the files.

    Parameters
    ----------
    growth : mapping
        For each axis, by the number that varies: `benchmark.growth`.
    folder : Path
        Where the files go; it exists.
    formats : iterable of {"svg", "pdf", "png"}

    Raises
    ------
    ImportError
        If matplotlib is absent.
    """
    title = "One weight update: run on what the minibatch spans, and plain"
    key = f"Solid: in span. Dotted, hollow: plain. Both compiled; {GROWTH_BASE}."
    with sheet((8.4, 6.2), title, key) as figure:
        panels = list(figure.subplots(2, 3).flat)
        for axes, (axis, timings) in zip(panels, growth.items(), strict=False):
            for (method, label), style in zip(LABELS.items(), STYLES, strict=False):
                for implementation, line in ((SPAN, "-"), (PLAIN, ":")):
                    points = [
                        (at, 1e3 * timing.median)
                        for at, several in timings.items()
                        for timing in several
                        if (timing.method, timing.implementation)
                        == (method, implementation)
                    ]
                    axes.plot(
                        *zip(*points, strict=True),
                        color=style.colour,
                        marker=style.marker,
                        linestyle=line,
                        markerfacecolor=style.colour if line == "-" else "white",
                        label=label if line == "-" else None,
                    )
            axes.set_yscale("log")
            if axis != "hidden layers":
                axes.set_xscale("log")
            numbers = list(timings)
            axes.set_xticks(numbers, [f"{n:g}" for n in numbers])
            axes.set_xticks([], minor=True)
            axes.set_xlabel(axis)
            axes.set_ylabel("milliseconds")
        for axes in panels[len(growth) :]:
            axes.set_axis_off()
        panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center")
        return save(figure, folder, "benchmark", formats)
