"""Figures 1 to 3 of the paper and the phase diagram: records and tables, all exact.

A record has every number that is drawn, to nine digits (maps to fewer): quadrature
vouches for more, and what a machine rounds otherwise does not show.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from refimpl.experiments.best_gaussians import figure_3
from refimpl.experiments.landscapes import CRITICAL, TABLE, figure_1, figure_2
from refimpl.experiments.phase_diagram import phase_diagram
from refimpl.experiments.records import write_whole
from refimpl.experiments.reproduction import markdown

Record = dict[str, Any]

FIGURES: dict[str, Callable[[], Record]] = {
    "figure-1": figure_1,
    "figure-2": figure_2,
    "figure-3": figure_3,
    "phase-diagram": phase_diagram,
}
"""What `refimpl reproduce` computes without training, by name."""

TITLES = {
    "figure-1": "Local entropy of a sharp and a wide minimum",
    "figure-2": "Heat regularisation of the same landscape",
    "figure-3": "The Gaussians nearest to a bimodal density",
    "phase-diagram": "When the wide minimum becomes the lower one",
}

_DIGITS = 9


def record(name: str) -> Record:
    """Compute one figure."""
    rounded: Record = _rounded(FIGURES[name]())
    return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def write(name: str, found: Record, folder: Path) -> list[Path]:
    """Write a record and its table into a folder, which exists; return the files."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}"
        for key, value in found.items()
    ]
    files = [folder / f"{name}.json", folder / f"{name}.md"]
    texts = ["{\n" + ",\n".join(lines) + "\n}\n", document(name, found)]
    for file, text in zip(files, texts, strict=True):
        write_whole(file, text)
    return files


def read(name: str, folder: Path) -> Record:
    """The record that `write` wrote."""
    text = (folder / f"{name}.json").read_text(encoding="utf-8")
    found: Record = json.loads(text)
    return found


# --- tables


def document(name: str, found: Record) -> str:
    """The numbers of one figure, as Markdown."""
    parts = _TABLES[name](found)
    return "\n\n".join([f"# {name}: {TITLES[name]}", *parts]) + "\n"


def _landscape(found: Record) -> list[str]:
    places = [f"{name}: {what}" for name in CRITICAL for what in ("x1", "depth")]
    rows = [["tau", *places, "deeper"]]
    for one in found["minima"]:
        if one["tau"] in TABLE:
            cells = [
                _number(one[name] and one[name][what])
                for name in CRITICAL
                for what in ("x", "depth")
            ]
            rows.append([f"{one['tau']:g}", *cells, _deeper(one)])
    equal, lost = found["equal"], found["lost"]
    return [
        markdown(rows),
        f"Both minima have the depth {equal['depth']:.5f} at tau = {equal['tau']:.6f}. "
        f"The sharp one meets the saddle at tau = {lost['tau']:.6f}, "
        f"x1 = {lost['x']:.5f}, at the depth {lost['depth']:.5f}.",
        f"Depths are below the level {found['level']:g} far away; tau = 0 is the loss "
        "itself. x2 = 0 at all critical points.",
    ]


def _deeper(one: Record) -> str:
    if not one["sharp"]:
        return "only one"
    return max(("sharp", "wide"), key=lambda name: one[name]["depth"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"


def _best(found: Record) -> list[str]:
    families = {"all": "all Gaussians", "tau": f"variance tau = {found['tau']:g}"}
    rows = [["", "over", "mean", "variance", "divergence"]]
    rows += [
        [
            one["sense"],
            families[one["family"]],
            *(_number(one[key]) for key in ("mean", "variance", "divergence")),
        ]
        for one in found["best"]
    ]
    q = found["q"]
    parts = zip(q["weights"], q["means"], q["variances"], strict=True)
    terms = " + ".join(f"{w:g} N({m:g}, {v:.5f})" for w, m, v in parts)
    return [
        markdown(rows),
        f"q = {terms}. Mean seeking minimises D_KL(q || phi) over Gaussians phi, mode "
        "seeking D_KL(phi || q), which has two local minimisers; the first is global.",
    ]


def _phases(found: Record) -> list[str]:
    columns = {
        "quadratic_entropy": "local entropy, mixture",
        "shallow_entropy": f"local entropy, wells of depth {found['shallow']:g}",
        "wells_entropy": f"of depth {found['depth']:g}",
        "deep_entropy": f"of depth {found['deep']:g}",
        "wells_heat": f"heat, wells of depth {found['depth']:g}",
        "quadratic_heat": "heat, quadratic",
    }
    lines = [found["sharpness"], *(found["lines"][name] for name in columns)]
    rows = [["tau H", *columns.values()]]
    every = len(found["sharpness"]) // 12
    rows += [
        [f"{value:.4g}" for value in row]
        for row in list(zip(*lines, strict=True))[::every]
    ]
    pairs = [["", "tau H", "difference"]]
    pairs += [
        [name.replace("_", ", "), f"{one['sharpness']:.6g}", f"{one['difference']:.6g}"]
        for name, several in found["pairs"].items()
        for one in several
    ]
    return [
        "The critical difference of two minima far apart, the wide one "
        f"{found['ratio']:g} times as wide, d = {found['d']}:",
        markdown(rows),
        "Two minima as near as those of Figures 1 and 2, at the tau at which they are "
        "equally deep:",
        markdown(pairs),
    ]


_TABLES: Mapping[str, Callable[[Record], Sequence[str]]] = {
    "figure-1": _landscape,
    "figure-2": _landscape,
    "figure-3": _best,
    "phase-diagram": _phases,
}
