"""What people make of step sizes: whose a move has, and what an output weighs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from verification.diagnosis.power import FITTED, matches, said, snapped
from verification.mistakes.langevin import Langevin
from verification.mistakes.played import exponential

__all__ = [
    "BEGINNINGS",
    "CHAIN_OUTPUTS",
    "DESCENT_OUTPUTS",
    "STALE",
    "Beginning",
    "Rule",
    "Weights",
    "as_declared",
    "begun",
    "of_chain",
    "of_descent",
    "smoothed",
]

Array = NDArray[np.float64]
#: From the step sizes to the weights of the J states; for Algorithm 5 those of all.
Weights = Callable[[Array], Array]


#: How well the weight of the centre is known: it is what two pulls differ by, and
#: what it leads to is played on other problems.
OF_CENTRE = 1e-5


@dataclass(frozen=True)
class Rule:
    """How an output is made of the states.

    Attributes
    ----------
    text : str
        "" where it is right.
    weights : callable
    rate : float
        Of an exponential average; 0 where it is none.
    beginning : Beginning or None
        Of an exponential average that does not begin at the first state.
    hint : str
        The reading that it is, or nearly is.
    """

    text: str
    weights: Weights
    rate: float = 0.0
    beginning: Beginning | None = None
    hint: str = ""

    def of_centre(self, count: int) -> float:
        """The weight of the centre beside that many states."""
        if self.beginning is None or self.beginning.place != "centre":
            return 0.0
        return float((1 - self.rate) ** self.beginning.updates(count))


@dataclass(frozen=True)
class Beginning:
    """Where an exponential average begins, if not at the first state.

    Attributes
    ----------
    place : {"zero", "corrected", "centre"}
        "corrected" is zero, divided by the sum of the weights.
    skips : bool
        Whether the first state does not count.
    """

    place: str
    skips: bool

    def updates(self, count: int) -> int:
        """How many of so many states count."""
        return count - self.skips

    def weights(self, rate: Array, count: int) -> Array:
        """Those of the states, (..., count), for rates (...)."""
        kept = 1 - rate[..., None]
        weights = rate[..., None] * kept ** np.arange(count - 1.0, -1.0, -1.0)
        if self.skips:
            weights[..., 0] = 0.0
        if self.place == "corrected":
            weights /= 1 - kept ** self.updates(count)
        return np.asarray(weights)


BEGINNINGS = tuple(
    Beginning(place, skips)
    for place, skips in product(("zero", "corrected", "centre"), (True, False))
)

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
    Rule("", Langevin.weights),
    Rule("the output is the last state, not the eps-weighted mean", _last),
    Rule(
        "the states have equal weights",
        lambda steps: np.full(len(steps), 1 / len(steps)),
    ),
)

#: Those of Algorithm 5, by the number of its states.
DESCENT_OUTPUTS: tuple[Rule, ...] = (
    Rule("", _last),
    Rule(
        "the output is the mean of the new states, not the last one",
        lambda states: np.append(0.0, np.full(len(states) - 1, 1 / (len(states) - 1))),
    ),
    Rule(
        "the output is the mean of all states, not the last one",
        lambda states: np.full(len(states), 1 / len(states)),
    ),
)


def smoothed(rate: float, right: str = "the eps-weighted mean") -> Rule:
    """An exponential average, in words and as weights."""
    said_of = f"the output is an exponential average with weight {said(rate)} on the "
    text, weights = f"{said_of}new state, not {right}", exponential(rate)
    if right != "the eps-weighted mean":
        return Rule(text, weights)
    return Rule(text, weights, rate, hint=f"a reading: {_declaring(rate)}")


def _declaring(rate: float) -> str:
    return f"sgld.output = exponential-average:{rate:.6g}"


def begun(rate: float, of: Beginning, count: int = 0) -> Rule:
    """One that begins elsewhere; of so many states, if that is known."""
    kept = f"{1 - rate:.6g}^{'(J-1)' if of.skips else 'J'}"
    total = f"{1 - (1 - rate) ** of.updates(count):.2f}" if count else f"1 - {kept}"
    ending = {
        "zero": f"begins at zero: its weights sum to {total}, not to 1",
        "corrected": f"begins at zero and is divided by its weights' sum, {total}",
        "centre": "begins at the centre, not at the start",
    }[of.place]
    text = f"the output is an exponential average with rate {said(rate)} that {ending}"

    def weights(steps: Array) -> Array:
        return of.weights(np.array(rate), len(steps))

    hint = f"begun at the first state it is a reading: {_declaring(rate)}"
    return Rule(text, weights, rate, of, hint)


def as_declared(rule: Rule, declared: str) -> Rule:
    """The same in the words of who declares another output than the weighted mean."""
    if declared == "weighted-mean" or not rule.text:
        return rule
    rate = declared.partition(":")[2]
    mean = ", not the eps-weighted mean"
    if rule.beginning is None:
        kind = "" if rule.rate else "an exponential average with rate "
        return replace(
            rule, text=rule.text.replace(mean, f", where {kind}{rate} is declared")
        )
    if abs(rule.rate - float(rate)) <= FITTED:
        text = f"{rule.text}; the declared one begins at the first state"
        return replace(rule, text=text, hint="")
    return replace(rule, text=f"{rule.text}, where rate {rate} is declared")


def of_chain(rows: Sequence[tuple[Array, Array, float]]) -> Rule | None:
    """The rule that the weights of the states of Algorithm 3 follow.

    Parameters
    ----------
    rows : sequence of (steps, w, centre)
        The steps of every setting, the weights of its averaged states and that of the
        centre.
    """
    for rule in _rules(*rows[0][:2]):
        if all(
            matches(w, rule.weights(steps))
            and abs(centre - rule.of_centre(len(steps))) <= OF_CENTRE
            for steps, w, centre in rows
        ):
            return rule
    return None


def of_descent(rows: list[Array]) -> Rule | None:
    """The rule that the weights of all states of Algorithm 5 follow."""
    rules = list(DESCENT_OUTPUTS)
    rate = snapped(float(rows[0][-1]))
    if 0 < rate < 1:
        rules.append(smoothed(rate, "the last one"))
    for rule in rules:
        if all(matches(w, rule.weights(np.ones(len(w)))) for w in rows):
            return rule
    return None


def _rules(steps: Array, w: Array) -> Iterator[Rule]:
    """Rules that these weights may follow, the right one first."""
    yield from CHAIN_OUTPUTS[:2]
    rate = snapped(float(w[-1]))
    if 0 < rate < 1:
        yield smoothed(rate)
    J = len(w)
    rate = snapped(float(1 - w[-2] / w[-1])) if J > 1 and w[-1] else 0.0
    if 0 < rate < 1:
        yield from (begun(rate, of) for of in BEGINNINGS)
    first = int(np.argmax(np.abs(w) > FITTED))
    end = J - int(np.argmax(np.abs(w[::-1]) > FITTED))
    for rolled in (0, 1, -1):
        power = _exponent(np.roll(steps, rolled)[first:end], w[first:end])
        if power is None:
            continue
        for divisor in ("sum", "none", "J"):
            rule = _powered(power, rolled, first, J - end, divisor)
            yield Rule(_rule_in_words(power, rolled, first, J - end, divisor), rule)


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
