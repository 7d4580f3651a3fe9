"""What a subject does with seeds, replicates and minibatches.

No draws can show it; equalities between calls can.  Numbers drawn at random coincide
with probability zero, so that a pattern of equalities is a signature: each mistake of
the catalogue plays the subject on the same calls, and the one with its pattern is named
if the right algorithm has another.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np

from verification import problems as P
from verification.diagnosis.played import Played, sentence_of, slip_of
from verification.diagnosis.questions import FAMILIES, Question, answered, difference
from verification.diagnosis.result import Diagnosis
from verification.errors import NotRun, SubjectFault
from verification.mistakes import CATALOGUE, planted
from verification.subject import Witness

__all__ = ["behaviour"]

#: For each equality whether it holds; None where it could not be asked.
Pattern = tuple[bool | None, ...]

STEPS = (0.31, 0.11, 0.23)
SEED = 7


def behaviour(w: Witness, family: str) -> Diagnosis | None:
    """The one mistake whose pattern of equalities is the subject's.

    None where the pattern is that of the right algorithm, or of no mistake.
    """
    for method in FAMILIES[family]:
        if not w.provides(method) or method not in PATTERNS:
            continue
        pattern = PATTERNS[method](w)
        known = _patterns(method)
        if pattern == known[""] or all(part is None for part in pattern):
            continue
        alike = [name for name, of in known.items() if _same(of, pattern)]
        if alike and "" not in alike:
            said = "; or ".join(sentence_of(CATALOGUE[name]) for name in alike)
            name = " = ".join(alike)
            return Diagnosis(name, said, "behaviour", tuple(alike))
    return None


def _same(known: Pattern, pattern: Pattern) -> bool:
    return all(b is None or a == b for a, b in zip(known, pattern, strict=True))


@cache
def _patterns(method: str) -> dict[str, Pattern]:
    """The pattern of every mistake that has one of its own, and of none under ""."""
    right = Played()
    known = {"": PATTERNS[method](Witness(right))}
    for mistake in CATALOGUE.values():
        # a slip in an algorithm is no matter of seeds
        if method not in mistake.faults or slip_of(mistake) is not None:
            continue
        pattern = PATTERNS[method](Witness(planted(deepcopy(mistake), right)))
        if pattern != known[""]:
            known[mistake.id] = pattern
    return known


def _equal(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other))


def _asked(ask: Callable[[], bool]) -> bool | None:
    try:
        return ask()
    except (NotRun, SubjectFault):
        return None


def _of_seeds(call: Callable[..., Any]) -> list[bool | None]:
    """Equalities between whole calls with seeds and without."""

    def restarted() -> bool:
        call(seed=SEED)
        first = call()
        call(seed=SEED)
        return _equal(first, call())

    return [
        _asked(lambda: _equal(call(seed=SEED), call(seed=SEED))),
        _asked(lambda: _equal(call(), call())),
        _asked(lambda: _equal(call(seed=SEED), call(seed=SEED + 2**16))),
        _asked(lambda: _equal(call(seed=SEED), call(seed=SEED + 1000))),
        _asked(restarted),
    ]


def _of_sampler(method: str, draws: tuple[int, ...], *sizes: Any) -> Any:
    loss, x, tau = P.QUADRATIC_2, (0.83, -1.31), 0.7

    def pattern(w: Witness) -> Pattern:
        ask = getattr(w, method)

        def call(**given: Any) -> Any:
            return ask(loss, x, tau, *sizes, n=4, **given)

        def neighbours() -> bool:
            return _equal(call(seed=SEED)[1:], call(seed=SEED + 1)[:-1])

        def mirrored() -> bool:
            rows = call(seed=SEED)
            sums = rows[0::2] + rows[1::2]
            return bool(np.ptp(sums, axis=0).max() <= 1e-9 * np.abs(sums).max())

        def obeyed() -> bool:
            z = P.draws(f"behaviour of {method}", 4, *draws)
            return _equal(call(draws=z), call(draws=z))

        def alike() -> bool:
            rows = call(seed=SEED)
            return _equal(rows[1:], rows[:-1])

        further = (alike, neighbours, mirrored, obeyed)
        return (*_of_seeds(call), *(_asked(each) for each in further))

    return pattern


def _of_minibatches(w: Witness) -> Pattern:
    def call(total: int = 10, size: int = 6, **given: Any) -> Any:
        return w.minibatch_indices(total, size, 64, **given)

    def repeats(total: int, size: int) -> bool:
        rows = np.sort(call(total, size, seed=SEED), axis=1)
        return bool((np.diff(rows, axis=1) == 0).any())

    return (
        *_of_seeds(call),
        _asked(lambda: repeats(10, 6)),
        _asked(lambda: bool(call(seed=SEED).min() > 0)),
        _asked(lambda: bool(call(seed=SEED).max() == 10)),
        _asked(lambda: repeats(150, 60)),
        _asked(lambda: _equal(call(seed=SEED), call(seed=SEED + 1))),
    )


def _of_accumulation(q: Question) -> Any:
    """Whether the call gives the same again, and whether it adds the right answer."""

    def pattern(w: Witness) -> Pattern:
        right = answered(Witness(Played()), q)
        first, second = answered(w, q), answered(w, q)
        if isinstance(first, str) or isinstance(second, str) or isinstance(right, str):
            return None, None
        # a pair's gradient stands before its value, which does not accumulate
        entries = slice(None) if q.method == "heat_gradient" else slice(0, -1)
        grown = difference((second - first)[entries], right[entries]) <= 1e-9
        return _equal(first, second), bool(grown)

    return pattern


_HEAT = Question(
    "heat_gradient",
    "quartic d=2",
    lambda v: v.heat_gradient(P.QUARTIC_2, (0.81, -1.31), 0.3),
)
_NETWORK = Question(
    "network_loss_and_gradient",
    "relu 3-2-2",
    lambda v: v.network_loss_and_gradient(
        P.RELU_14.sizes, P.weights("behaviour", 14), P.RELU_14.images, P.RELU_14.labels
    ),
)

PATTERNS: dict[str, Callable[[Witness], Pattern]] = {
    "sgld_mean": _of_sampler("sgld_mean", (2, 2), STEPS),
    "sgld_trace": _of_sampler("sgld_trace", (2, 2), STEPS),
    "importance_mean": _of_sampler("importance_mean", (5, 2), 5),
    "importance_weights": _of_sampler("importance_weights", (5, 2), 5),
    "robbins_monro": _of_sampler("robbins_monro", (3, 3, 2), STEPS, 3),
    "robbins_monro_trace": _of_sampler("robbins_monro_trace", (3, 3, 2), STEPS, 3),
    "minibatch_indices": _of_minibatches,
    "heat_gradient": _of_accumulation(_HEAT),
    "network_loss_and_gradient": _of_accumulation(_NETWORK),
}
