"""The tables and figures of Section 6 as settings, and what is found beside them.

The paper leaves open what decides how fast its methods train: the activation, the
initialisation, whether f is the mean or the sum over a minibatch, and, to judge by its
numbers, whether epsilon_j and tau are variances where noise is drawn.  A *reading*
settles them:

printed
    The algorithms as printed: variances, means; tanh and Glorot's uniform law, with
    which SGD and HR train as in Table 1.
closest
    One rule for all methods, the closest to Table 1 of those tried: relu, Glorot's
    uniform law, epsilon_j and tau as standard deviations of the noise; with importance
    sampling an exception, for which alone the minibatch is summed.  An inference from
    numbers, not from code.
each
    The reading of each method that comes closest to its own row, whatever the others.
sigmoid
    As printed, with sigmoid units and the sum over the minibatch but for importance
    sampling: the closest that was found with all noise as printed.
improved
    As printed, with estimators that have less noise here: SGLD with a control variate
    and chains that start at the centre, importance sampling with its unseen part at
    the conditional mean.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.arrays import Array
from refimpl.experiments.checkpoints import (
    COMPLETE,
    History,
    Place,
    history_of,
    seconds_per_update,
)
from refimpl.experiments.settings import METHODS, Method, Setting, of_section_6

NAMES = {"sgd": "SGD", "is": "IS", "sgld": "SGLD", "hr": "HR"}
"""The methods as the paper calls them, in the order of Table 1."""

UPDATES = (100, 200, 300, 400, 500)
"""The columns of Table 1."""

TABLE_1: dict[Method, tuple[float, ...]] = {
    "sgd": (0.75, 0.80, 0.85, 0.87, 0.87),
    "is": (0.27, 0.45, 0.54, 0.57, 0.65),
    "sgld": (0.72, 0.81, 0.84, 0.86, 0.88),
    "hr": (0.52, 0.64, 0.70, 0.73, 0.76),
}
"""The paper's accuracy on held-out test data."""

TABLE_2: dict[Method, float] = {
    "sgd": 0.0032,
    "is": 6.2504,
    "sgld": 7.0599,
    "hr": 3.3053,
}
"""The paper's seconds per weight update."""

SGD_BEFORE = 500
"""Updates by SGD before Figure 5, of which the paper says only that they were made."""

SAMPLES = (10, 100, 1000)
"""S of Figure 6."""

TAUS = (
    (0.001, 0.002, 0.005, 0.01),
    (0.01, 0.02, 0.05, 0.1),
    (0.1, 0.2, 0.5, 1.0),
)
"""tau of Figure 7, from its three ranges."""

HIGH, LOW = 1.5, 0.01
"""tau of Figure 8."""

_TAU1 = 0.01  # with which 500 updates, the paper's, lead from HIGH to LOW

Changes = Mapping[str, Any]

READINGS: dict[str, dict[Method, dict[str, Any]]] = {
    "printed": {method: {} for method in METHODS},
    "closest": {
        "sgd": {"activation": "relu"},
        "sgld": {"activation": "relu", "noise": "standard-deviation"},
        "is": {
            "activation": "relu",
            "noise": "standard-deviation",
            "reduction": "sum",
        },
        "hr": {"activation": "relu", "noise": "standard-deviation"},
    },
    "each": {
        "sgd": {},
        "sgld": {"noise": "standard-deviation"},
        "is": {"activation": "sigmoid"},
        "hr": {},
    },
    "sigmoid": {
        "sgd": {"activation": "sigmoid", "reduction": "sum"},
        "sgld": {"activation": "sigmoid", "reduction": "sum"},
        "is": {"activation": "sigmoid"},
        "hr": {"activation": "sigmoid", "reduction": "sum"},
    },
    "improved": {
        "sgd": {},
        "sgld": {"output": "controlled", "start": "centre"},
        "is": {"output": "rao-blackwell"},
        "hr": {},
    },
}
"""How the open points are read, for each method."""


@dataclass(frozen=True)
class Curve:
    """One line of a figure, or one row of a table.

    Attributes
    ----------
    panel : str
        The title of the panel it is drawn in; empty where there is one.
    label : str
    setting : Setting
    """

    panel: str
    label: str
    setting: Setting


@dataclass(frozen=True)
class Experiment:
    """A table or a figure.

    Attributes
    ----------
    name : str
    title : str
    curves : callable
        Given how a method's setting is made, the curves of one reading and seed.
    """

    name: str
    title: str
    curves: "Callable[[Make], list[Curve]]"


Make = Callable[..., Setting]


def _methods(make: Make) -> list[Curve]:
    return [Curve("", NAMES[method], make(method)) for method in TABLE_1]


def _after_sgd(make: Make) -> list[Curve]:
    return [
        Curve(
            "",
            NAMES[method],
            make(
                method,
                sgd_before=SGD_BEFORE,
                sgd_rate=0.01,
                **({"epsilon": 2000.0} if method == "sgld" else {}),
            ),
        )
        for method in TABLE_1
    ]


def _samples(make: Make) -> list[Curve]:
    curves = []
    for method in ("is", "sgld", "hr"):
        for S in SAMPLES:
            root = int(np.sqrt(S))
            changes = {"J": root, "M": root} if method == "hr" else {"J": S}
            name = f"$J = M = {root}$" if method == "hr" else f"$J = {S}$"
            curves.append(Curve(NAMES[method], name, make(method, **changes)))
    return curves


def _choices_of_tau(make: Make) -> list[Curve]:
    return [
        Curve(
            rf"{NAMES[method]}, $\tau$ from {taus[0]:g} to {taus[-1]:g}",
            rf"$\tau = {tau:g}$",
            make(method, hidden=(), tau=tau),
        )
        for method in ("sgld", "is")
        for taus in TAUS
        for tau in taus
    ]


def _scoping(make: Make) -> list[Curve]:
    sgd = make("sgd")
    growing = (LOW / HIGH) ** (1 / sgd.updates) - 1  # from LOW to HIGH in the end, E14
    of_sgld = [
        Curve("", rf"$\tau = {tau:g}$", make("sgld", tau=tau)) for tau in (LOW, HIGH)
    ]
    for tau_0, tau_1 in ((HIGH, _TAU1), (LOW, growing)):
        last = tau_0 / (1 + tau_1) ** sgd.updates
        name = rf"$\tau$: {tau_0:g} $\to$ {last:.2g}"
        of_sgld.append(Curve("", name, make("sgld", tau=(tau_0, tau_1))))
    return [Curve("", "SGD", sgd), *of_sgld]


def _by_sgd(make: Make) -> list[Curve]:
    """The networks of Section 6.1: five epochs, for which it names an accuracy, and 20.

    Of minibatches of 20 that are 15,000 updates and 60,000.
    """
    count = make("sgd").updates
    return [
        Curve(
            "",
            rf"{name}, {epochs} epochs, $\eta = {eta:g}$",
            make(
                "sgd",
                hidden=hidden,
                learning_rate=eta,
                updates=6 * epochs * count,
                evaluate_every=6 * count,
            ),
        )
        for name, hidden, epochs in (("784-10", (), 5), ("784-200-10", (200,), 20))
        for eta in (0.01, 0.1)
    ]


EXPERIMENTS = {
    one.name: one
    for one in (
        Experiment("section-6.1", "The two networks trained by SGD", _by_sgd),
        Experiment("table-1", "Accuracy on held-out test data", _methods),
        Experiment("table-2", "Seconds per weight update", _methods),
        Experiment("figure-4", "Training from random initialisation", _methods),
        Experiment(
            "figure-5", f"Training after {SGD_BEFORE} updates by SGD", _after_sgd
        ),
        Experiment("figure-6", "Samples per weight update", _samples),
        Experiment(
            "figure-7", r"The choice of $\tau$, no hidden layer", _choices_of_tau
        ),
        Experiment("figure-8", r"Scoping $\tau$ by (18), SGLD", _scoping),
    )
}
"""What `refimpl reproduce` knows, by name."""

_TUNED = ("figure-7", "figure-8")  # curves that differ by tau


def curves(name: str, reading: str, seed: int, **changes: Any) -> list[Curve]:
    """The curves of one table or figure.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    reading : str
        One of `READINGS`.
    seed : int
    **changes : Any
        Fields that all settings have, such as data and updates.
    """

    def make(method: Method, hidden: tuple[int, ...] = (200,), **own: Any) -> Setting:
        base = of_section_6(method, **changes)
        return of_section_6(
            method,
            sizes=(base.sizes[0], *hidden, base.sizes[-1]),
            seed=seed,
            **{**READINGS[reading][method], **changes, **own},
        )

    return EXPERIMENTS[name].curves(make)


# --- what is found


@dataclass(frozen=True)
class Found:
    """One curve over its seeds.

    Attributes
    ----------
    curve : Curve
        Of the first seed.
    histories : tuple of History
        One for each seed.
    """

    curve: Curve
    histories: tuple[History, ...]

    @property
    def ks(self) -> Array:
        """The updates after which every seed was evaluated."""
        common = set.intersection(
            *({one.k for one in history.evaluations} for history in self.histories)
        )
        return np.array(sorted(common))

    def values(self, name: str) -> Array:
        """One number of the evaluations, a row for each seed, shape (seeds, ks)."""
        ks = set(self.ks.tolist())
        return np.array(
            [
                [
                    v
                    for k, v in zip(one.column("k"), one.column(name), strict=True)
                    if k in ks
                ]
                for one in self.histories
            ]
        )

    def at(self, k: int, name: str = "accuracy") -> Array:
        """The same after k updates, shape (seeds,); empty where there is none."""
        here = np.flatnonzero(self.ks == k)
        return self.values(name)[:, here[0]] if here.size else np.empty(0)

    @property
    def endings(self) -> list[str]:
        """Why seeds ended early, where they did."""
        return [one.ended for one in self.histories if one.ended != COMPLETE]


def gathered(of_seeds: Sequence[Sequence[Curve]], folder: Path) -> list[Found]:
    """What the finished records of a folder say of some curves.

    Parameters
    ----------
    of_seeds : sequence of sequence of Curve
        For each seed what `curves` gives.
    folder : Path
    """
    return [
        Found(same[0], tuple(history_of(Place(folder, one.setting)) for one in same))
        for same in zip(*of_seeds, strict=True)
    ]


def seconds_of(found: Iterable[Found], folder: Path) -> dict[str, float | None]:
    """Per update of the first seed, by its setting's slug; None if nobody knows."""
    settings = [one.curve.setting for one in found]
    return {one.slug: seconds_per_update(Place(folder, one).record) for one in settings}


def drops(values: Array) -> tuple[float, float]:
    """How often accuracy falls from evaluation to evaluation, and by how much in all.

    Parameters
    ----------
    values : ndarray, shape (seeds, n)

    Returns
    -------
    count, size : float
        Means over the seeds.
    """
    falls = np.maximum(-np.diff(values, axis=1), 0.0)
    return float((falls > 0).sum(axis=1).mean()), float(falls.sum(axis=1).mean())


def rms_gap(found: Sequence[Found], name: str = "accuracy") -> float:
    """Root mean square of the gaps of mean accuracies to Table 1; NaN without any."""
    gaps = [
        one.at(k, name).mean() - paper
        for one in found
        for k, paper in zip(UPDATES, TABLE_1[one.curve.setting.method], strict=True)
        if one.at(k, name).size
    ]
    return float(np.sqrt(np.mean(np.square(gaps)))) if gaps else float("nan")


def chosen(found: Sequence[Found]) -> list[tuple[Found, Array]]:
    """What validation would choose among curves of one method.

    For each seed the curve is chosen that ends highest on the random held-out images,
    the first of several; it is judged by all test images.

    Parameters
    ----------
    found : sequence of Found
        With the same seeds.

    Returns
    -------
    list of (Found, ndarray)
        The curves that some seed chooses, those of most seeds first, and where they
        end on all test images in these seeds.
    """
    ends = np.array([one.values("accuracy")[:, -1] for one in found])
    choice = ends.argmax(axis=0)
    every = [
        (one, one.values("accuracy_of_all")[choice == i, -1])
        for i, one in enumerate(found)
    ]
    return sorted((one for one in every if one[1].size), key=lambda one: -one[1].size)


# --- tables in Markdown


def document(
    name: str,
    readings: Mapping[str, Sequence[Found]],
    seconds: Mapping[str, float | None],
) -> str:
    """What was found of one table or figure, as Markdown.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    readings : mapping
        For each reading the curves.
    seconds : mapping
        Per update of the first seed, by the slug of its setting.

    Returns
    -------
    str
        Tables for all readings, and what must be known of the data.
    """
    every = [one for found in readings.values() for one in found]
    first = every[0].histories[0]
    seeds = len(every[0].histories)
    parts = [f"# {name}: {_plain(EXPERIMENTS[name].title)}"]
    for reading, found in readings.items():
        parts.append(f"## Reading: {reading}")
        if name == "table-2":
            parts.append(table_2(found, seconds))
        elif name == "table-1":
            parts.append(table_1(found))
        if name != "table-2":
            parts.append(table_of_curves(found))
        if name in _TUNED:
            parts += choices(found)
    parts.append(
        f"{first.setting.data}, {_count(seeds, 'seed')}, accuracy on "
        f"{first.setting.held_out} random held-out images; drops are counted on all "
        f"test images, every {first.setting.evaluate_every} updates."
    )
    warnings = {text for one in every for text in one.histories[0].data_warnings}
    parts += [f"Warning: {text}." for text in sorted(warnings)]
    return "\n\n".join(parts) + "\n"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _plain(text: str) -> str:
    """Without the marks of mathematics."""
    return text.replace("$", "").replace("\\", "")


def table_1(found: Sequence[Found]) -> str:
    """Table 1 of one reading: mean and spread over the seeds beside the paper's."""
    rows = [["", *map(str, UPDATES), "rms gap", "rms gap, all images"]]
    for one in found:
        if one.curve.setting.data == "mnist":
            paper = TABLE_1[one.curve.setting.method]
            rows.append(
                [f"{one.curve.label}, paper", *map("{:.2f}".format, paper), "", ""]
            )
        cells = [_mean_and_spread(one.at(k)) for k in UPDATES]
        rows.append([one.curve.label, *cells, *_gaps([one])])
    rows.append(["all four", *[""] * len(UPDATES), *_gaps(found)])
    return markdown(rows)


def _gaps(found: Sequence[Found]) -> list[str]:
    if found[0].curve.setting.data != "mnist":
        return ["", ""]
    gaps = [rms_gap(found, name) for name in ("accuracy", "accuracy_of_all")]
    return ["" if np.isnan(gap) else f"{gap:.3f}" for gap in gaps]


def table_2(found: Sequence[Found], seconds: Mapping[str, float | None]) -> str:
    """Table 2: seconds per weight update, by the slug of the setting, and ratios."""
    measured = {one.curve.label: seconds[one.curve.setting.slug] for one in found}
    paper = {NAMES[method]: value for method, value in TABLE_2.items()}
    rows = [["", "paper", "here", "paper / here", "to SGD, paper", "to SGD, here"]]
    for label, here in measured.items():
        sgd = measured["SGD"]
        rows.append(
            [
                label,
                f"{paper[label]:.4f}",
                "" if here is None else f"{here:.4f}",
                "" if here is None else f"{paper[label] / here:.3g}",
                f"{paper[label] / paper['SGD']:.3g}",
                "" if here is None or sgd is None else f"{here / sgd:.3g}",
            ]
        )
    return markdown(rows)


def table_of_curves(found: Sequence[Found]) -> str:
    """Where every curve of a figure ends, and how monotone it is on all test images."""
    head = ["", "accuracy at the end", "of all images", "drops", "their sum"]
    rows = [head]
    for one in found:
        own = one.ks >= one.curve.setting.sgd_before
        count, size = drops(one.values("accuracy_of_all")[:, own])
        name = ": ".join(filter(None, (one.curve.panel, one.curve.label)))
        ends = [
            _mean_and_spread(one.values(accuracy)[:, -1])
            for accuracy in ("accuracy", "accuracy_of_all")
        ]
        rows.append([name, *ends, f"{count:g}", f"{size:.3f}"])
        rows += [[f"({sentence})", "", "", "", ""] for sentence in one.endings]
    return markdown(rows)


def choices(found: Sequence[Found]) -> list[str]:
    """For each method with several curves, which of them validation would choose."""
    sentences = []
    for method, name in NAMES.items():
        own = [one for one in found if one.curve.setting.method == method]
        if len(own) > 1:
            sentences += [
                f"The held-out images choose {_plain(one.curve.label)} for {name} in "
                f"{ends.size} of {len(one.histories)} seeds: {_mean_and_spread(ends)} "
                "of all images."
                for one, ends in chosen(own)
            ]
    return sentences


def _mean_and_spread(values: Array) -> str:
    if not values.size:
        return ""
    spread = f" ± {values.std(ddof=1):.3f}" if values.size > 1 else ""
    return f"{values.mean():.3f}{spread}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table with columns of even width, so that it reads as plain text too."""
    rows = [[_plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * max(width, 3) for width in widths])
    return "\n".join(
        "| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows
    )
