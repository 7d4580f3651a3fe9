"""What people make of step sizes: whose a move has, and what an output weighs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from verification.diagnosis.power import FITTED, matches, said, snapped
from verification.mistakes.langevin import Langevin
from verification.mistakes.played import exponential

__all__ = [
    "CHAIN_OUTPUTS",
    "DESCENT_OUTPUTS",
    "STALE",
    "Rule",
    "Weights",
    "of_chain",
    "of_descent",
    "smoothed",
]

Array = NDArray[np.float64]
#: From the step sizes to the weights of the J states; for Algorithm 5 those of all.
Weights = Callable[[Array], Array]
Rule = tuple[str, Weights]

#: Whose step size a move uses, of all of them.
STALE: dict[str, Weights] = {
    "": lambda steps: steps,
    "the next one's step size": lambda steps: np.append(steps[1:], steps[-1]),
    "the next one's step size, the last move that of the first": lambda steps: np.roll(
        steps, -1
    ),
    "the step size of the move before": lambda steps: np.append(steps[0], steps[:-1]),
    "the step size of the move before, the first move the last of all": lambda steps: (
        np.roll(steps, 1)
    ),
    "the first step size": lambda steps: steps[0] + 0.0 * steps,
    "the last step size": lambda steps: steps[-1] + 0.0 * steps,
}


def _last(steps: Array) -> Array:
    return np.eye(len(steps))[-1]


#: Outputs of Algorithm 3 that people make, the right one first.
CHAIN_OUTPUTS: tuple[Rule, ...] = (
    ("", Langevin.weights),
    ("the output is the last state, not the eps-weighted mean", _last),
    (
        "the states have equal weights",
        lambda steps: np.full(len(steps), 1 / len(steps)),
    ),
)

#: Those of Algorithm 5, by the number of its states.
DESCENT_OUTPUTS: tuple[Rule, ...] = (
    ("", _last),
    (
        "the output is the mean of the new states, not the last one",
        lambda states: np.append(0.0, np.full(len(states) - 1, 1 / (len(states) - 1))),
    ),
    (
        "the output is the mean of all states, not the last one",
        lambda states: np.full(len(states), 1 / len(states)),
    ),
)


def smoothed(rate: float, right: str = "the eps-weighted mean") -> Rule:
    """An exponential average, in words and as weights."""
    said_of = f"the output is an exponential average with weight {said(rate)} on the "
    return f"{said_of}new state, not {right}", exponential(rate)


def of_chain(rows: list[tuple[Array, Array]]) -> Rule | None:
    """The rule that the weights of the states of Algorithm 3 follow.

    Parameters
    ----------
    rows : list of (steps, w)
        The steps of every setting and the weights of its averaged states.
    """
    for text, rule in _rules(*rows[0]):
        if all(matches(w, rule(steps)) for steps, w in rows):
            return text, rule
    return None


def of_descent(rows: list[Array]) -> Rule | None:
    """The rule that the weights of all states of Algorithm 5 follow."""
    rules = list(DESCENT_OUTPUTS)
    rate = snapped(float(rows[0][-1]))
    if 0 < rate < 1:
        rules.append(smoothed(rate, "the last one"))
    for text, rule in rules:
        if all(matches(w, rule(np.ones(len(w)))) for w in rows):
            return text, rule
    return None


def _rules(steps: Array, w: Array) -> Iterator[Rule]:
    """Rules that these weights may follow, the right one first."""
    yield from CHAIN_OUTPUTS[:2]
    rate = snapped(float(w[-1]))
    if 0 < rate < 1:
        yield smoothed(rate)
    J = len(w)
    first = int(np.argmax(np.abs(w) > FITTED))
    end = J - int(np.argmax(np.abs(w[::-1]) > FITTED))
    for rolled in (0, 1, -1):
        power = _exponent(np.roll(steps, rolled)[first:end], w[first:end])
        if power is None:
            continue
        for divisor in ("sum", "none", "J"):
            rule = _powered(power, rolled, first, J - end, divisor)
            yield _rule_in_words(power, rolled, first, J - end, divisor), rule


def _exponent(steps: Array, w: Array) -> float | None:
    if len(w) < 2 or w.min() <= 0:
        return None
    slope, level = np.polyfit(np.log(steps), np.log(w), 1)
    off = np.abs(slope * np.log(steps) + level - np.log(w)).max()
    return snapped(float(slope)) if off <= 1e-6 else None


def _powered(p: float, rolled: int, first: int, last: int, divisor: str) -> Weights:
    def rule(steps: Array) -> Array:
        weights = np.roll(steps, rolled) ** p
        weights[:first] = 0.0
        weights[len(steps) - last :] = 0.0
        total = {"sum": weights.sum(), "none": 1.0, "J": float(len(steps))}[divisor]
        return np.asarray(weights / total)

    return rule


def _rule_in_words(p: float, rolled: int, first: int, last: int, divisor: str) -> str:
    kind = {0.0: "equal weights", 1.0: "weights eps"}.get(p, f"weights eps^{p:g}")
    parts = [f"the states have {kind}"]
    if rolled:
        parts.append("shifted by one")
    if first:
        parts.append(f"the first {first} left out")
    if last:
        parts.append(f"the last {last} left out")
    if divisor == "none":
        parts.append("not divided by their sum")
    elif divisor == "J":
        parts.append("divided by J, not by their sum")
    return ", ".join(parts)
