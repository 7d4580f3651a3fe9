"""What a subject does with seeds, replicates and minibatches.

No draws can show it; equalities between calls can.  Numbers drawn at random coincide
with probability zero, so that a pattern of equalities is a signature: each mistake of
the catalogue plays the subject on the same calls, and the one with its pattern is named
if the right algorithm has another.  A pattern that is neither right nor known is told
as it was seen, and so is a subject that gives no numbers where no draws are given.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from verification import problems as P
from verification.diagnosis.candidates import sentence_of, slip_of
from verification.diagnosis.questions import (
    FAMILIES,
    Question,
    answered,
    ask_network,
    difference,
)
from verification.diagnosis.result import NO_MAPPING, Diagnosis
from verification.errors import NotRun, SubjectFault
from verification.mistakes import CATALOGUE, Mistake, planted
from verification.mistakes.played import Played
from verification.subject import Witness

__all__ = ["behaviour", "has_pattern"]

#: For each equality whether it holds; a fault in words where there were no numbers,
#: None where it could not be asked.
Pattern = tuple[bool | str | None, ...]

STEPS = (0.31, 0.11, 0.23)
SEED = 7


@dataclass(frozen=True)
class Equality:
    """Something that holds between calls or does not, and must not do the other.

    Attributes
    ----------
    holds : callable
        From a witness.
    wrong : str
        What is seen where it is not as it should be.
    """

    holds: Callable[[Witness], bool]
    wrong: str

    def asked(self, w: Witness) -> bool | str | None:
        """Whether it holds; a fault in words, None where it is not offered."""
        try:
            return self.holds(w)
        except NotRun:
            return None
        except SubjectFault as fault:
            return str(fault)


def behaviour(w: Witness, family: str, like: Any = None) -> Diagnosis | None:
    """The one mistake whose pattern of equalities is the subject's.

    None where the pattern is that of the right algorithm as far as can be asked, or of
    another subject that is known already.  A pattern that is not known has no name,
    but is told.

    Parameters
    ----------
    w : Witness
    family : str
    like : object, optional
        The subject that is known already.
    """
    seen: dict[str, None] = {}
    for method in FAMILIES[family]:
        if not w.provides(method) or method not in PATTERNS:
            continue
        pattern = _pattern(method, w)
        known = _patterns(method)
        if _same(known[""], pattern):
            continue
        if like is not None and _same(_pattern(method, Witness(like)), pattern):
            continue
        alike = [name for name, of in known.items() if _same(of, pattern)]
        if alike:
            return _named(alike)
        seen |= dict.fromkeys(_in_words(method, known[""], pattern))
    if not seen:
        return None
    said = f"{family}, with random numbers of its own: {', '.join(seen)}"
    return Diagnosis(NO_MAPPING, f"{NO_MAPPING}: {said}", "behaviour")


def has_pattern(name: str) -> bool:
    """Whether a mistake of the catalogue has a pattern of equalities of its own."""
    methods = [method for method in CATALOGUE[name].faults if method in PATTERNS]
    return any(name in _patterns(method) for method in methods)


def _named(alike: list[str]) -> Diagnosis:
    known = {**CATALOGUE, **{further.id: further for further in FURTHER}}
    said = "; or ".join(sentence_of(known[name]) for name in alike)
    ids = tuple(name for name in alike if name in CATALOGUE)
    return Diagnosis(" = ".join(alike), said, "behaviour", ids)


def _in_words(method: str, right: Pattern, pattern: Pattern) -> list[str]:
    """What is not as it should be; a fault once."""
    rows = zip(PATTERNS[method], right, pattern, strict=True)
    return [
        found if isinstance(found, str) else equality.wrong
        for equality, expected, found in rows
        if found is not None and found != expected
    ]


def _same(known: Pattern, pattern: Pattern) -> bool:
    return all(b is None or a == b for a, b in zip(known, pattern, strict=True))


def _pattern(method: str, w: Witness) -> Pattern:
    return tuple(equality.asked(w) for equality in PATTERNS[method])


@cache
def _patterns(method: str) -> dict[str, Pattern]:
    """The pattern of every mistake that has one of its own, and of none under ""."""
    right = Played()
    known = {"": _pattern(method, Witness(right))}
    for mistake in (*CATALOGUE.values(), *FURTHER):
        # a slip in an algorithm is no matter of seeds
        if method not in mistake.faults or slip_of(mistake) is not None:
            continue
        own = _pattern(method, Witness(planted(deepcopy(mistake), right)))
        if own != known[""]:
            known[mistake.id] = own
    return known


# --- what the catalogue lacks ---------------------------------------------------------


def _always(method: str, **forced: Any) -> Any:
    """The right method with some of its options forced, whatever is asked for."""

    def wrong(right: Any, *arguments: Any, draws: Any = None, **options: Any) -> Any:
        given = options | ({} if draws is None else {"draws": draws})
        return getattr(right, method)(*arguments, **given | forced)

    return wrong


FURTHER = (
    Mistake(
        "own randomness is a constant",
        "own randomness is a constant",
        "all calls agree, with whatever seed and without one: the random numbers are "
        "the same every time",
        {
            method: _always(method, seed=0)
            for family in FAMILIES.values()
            for method in family
            if method.startswith(("sgld", "importance", "robbins"))
            or method in ("minibatch_indices", "train")
        },
    ),
)


# --- the equalities -------------------------------------------------------------------


def _equal(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other))


def _of_seeds(call: Callable[..., Any]) -> tuple[Equality, ...]:
    """Between whole calls with seeds and without; call(witness, seed=...)."""

    def restarted(w: Witness) -> bool:
        call(w, seed=SEED)
        first = call(w)
        call(w, seed=SEED)
        return _equal(first, call(w))

    def between(one: dict[str, int], other: dict[str, int]) -> Callable[..., bool]:
        return lambda w: _equal(call(w, **one), call(w, **other))

    seed = {"seed": SEED}
    return (
        Equality(between(seed, seed), "two calls with the same seed differ"),
        Equality(between({}, {}), "two calls without a seed agree"),
        Equality(
            between(seed, {"seed": SEED + 2**16}), "seeds 65536 apart give the same"
        ),
        Equality(
            between(seed, {"seed": SEED + 1000}), "seeds 1000 apart give the same"
        ),
        Equality(
            restarted,
            "a call without a seed repeats what followed the same seed before",
        ),
    )


def _of_sampler(
    method: str, rows: Callable[[Witness], tuple[int, ...]], *sizes: Any
) -> tuple[Equality, ...]:
    """Between calls of one method, whose draws have `rows` for each replicate."""
    loss, x, tau = P.QUADRATIC_2, (0.83, -1.31), 0.7

    def call(w: Witness, **given: Any) -> Any:
        return getattr(w, method)(loss, x, tau, *sizes, n=4, **given)

    def neighbours(w: Witness) -> bool:
        return _equal(call(w, seed=SEED)[1:], call(w, seed=SEED + 1)[:-1])

    def mirrored(w: Witness) -> bool:
        rows = call(w, seed=SEED)
        sums = rows[0::2] + rows[1::2]
        return bool(np.ptp(sums, axis=0).max() <= 1e-9 * np.abs(sums).max())

    def obeyed(w: Witness) -> bool:
        z = P.draws(f"behaviour of {method}", 4, *rows(w))
        return _equal(call(w, draws=z), call(w, draws=z))

    def alike(w: Witness) -> bool:
        rows = call(w, seed=SEED)
        return _equal(rows[1:], rows[:-1])

    return (
        *_of_seeds(call),
        Equality(alike, "all replicates of a call agree"),
        Equality(neighbours, "calls with neighbouring seeds share replicates"),
        Equality(mirrored, "every second replicate mirrors the one before it"),
        Equality(obeyed, "two calls with the same draws differ"),
    )


def _of_minibatches() -> tuple[Equality, ...]:
    def call(w: Witness, total: int = 10, size: int = 6, **given: Any) -> Any:
        return w.minibatch_indices(total, size, 64, **given)

    def repeats(w: Witness, total: int, size: int) -> bool:
        rows = np.sort(call(w, total, size, seed=SEED), axis=1)
        return bool((np.diff(rows, axis=1) == 0).any())

    return (
        *_of_seeds(call),
        Equality(lambda w: repeats(w, 10, 6), "examples stand twice in a minibatch"),
        Equality(
            lambda w: bool(call(w, seed=SEED).min() > 0),
            "the first example is in no minibatch",
        ),
        Equality(
            lambda w: bool(call(w, seed=SEED).max() == 10),
            "the last row drawn is beyond the examples",
        ),
        Equality(
            lambda w: repeats(w, 150, 60),
            "of many examples some stand twice in a minibatch",
        ),
        Equality(
            lambda w: _equal(call(w, seed=SEED), call(w, seed=SEED + 1)),
            "neighbouring seeds give the same",
        ),
        Equality(
            lambda w: _equal(call(w, seed=SEED)[0], np.arange(6)),
            "the first minibatch is the first rows in order",
        ),
    )


def _of_accumulation(q: Question) -> tuple[Equality, ...]:
    """Whether the call gives the same again, and whether it adds the right answer."""

    def numbers(*answers: Any) -> Any:
        if any(isinstance(answer, str) for answer in answers):
            raise NotRun("there is nothing to compare")
        return answers

    def again(w: Witness) -> bool:
        return _equal(*numbers(answered(w, q), answered(w, q)))

    def grown(w: Witness) -> bool:
        right = answered(Witness(Played()), q)
        first, second, right = numbers(answered(w, q), answered(w, q), right)
        # a pair's gradient stands before its value, which does not accumulate
        entries = slice(None) if q.method == "heat_gradient" else slice(0, -1)
        return bool(difference((second - first)[entries], right[entries]) <= 1e-9)

    return (
        Equality(again, f"{q.method} called again gives another answer"),
        Equality(grown, f"every call of {q.method} adds to the answer before"),
    )


def _of_runs() -> tuple[Equality, ...]:
    """Between whole runs with each of the algorithms."""
    found: list[Equality] = []
    records: dict[str, dict[str, Any]] = {
        "sgld": {"step_sizes": STEPS, "start": "centre"},
        "importance": {"samples": 5},
        "robbins_monro": {"step_sizes": STEPS, "inner_samples": 3},
    }
    for method, sizes in records.items():
        record = {"tau": (0.7, 0.4), **sizes}

        def call(
            w: Witness, method: str = method, record: Any = record, **given: Any
        ) -> Any:
            return w.train(P.QUADRATIC_2, (0.83, -1.31), method, record, **given)

        found += _of_seeds(call)
    return tuple(found)


_HEAT = Question(
    "heat_gradient",
    "quartic d=2",
    lambda v: v.heat_gradient(P.QUARTIC_2, (0.81, -1.31), 0.3),
)
_NETWORK = Question(
    "network_loss_and_gradient",
    "relu 3-2-2",
    lambda v: ask_network(
        v,
        *(P.RELU_14.sizes, P.weights("behaviour", 14)),
        *(P.RELU_14.images, P.RELU_14.labels),
    ),
)


def _of_chain(w: Witness) -> tuple[int, ...]:
    return len(STEPS) - (w.conventions["sgld.chain"] == "literal"), 2


def _of_samples(_: Witness) -> tuple[int, ...]:
    return 5, 2


def _of_descent(w: Witness) -> tuple[int, ...]:
    return len(STEPS) - (w.conventions["robbins_monro.moves"] == "J-1"), 3, 2


PATTERNS: dict[str, tuple[Equality, ...]] = {
    "sgld_mean": _of_sampler("sgld_mean", _of_chain, STEPS),
    "sgld_trace": _of_sampler("sgld_trace", _of_chain, STEPS),
    "importance_mean": _of_sampler("importance_mean", _of_samples, 5),
    "importance_weights": _of_sampler("importance_weights", _of_samples, 5),
    "robbins_monro": _of_sampler("robbins_monro", _of_descent, STEPS, 3),
    "robbins_monro_trace": _of_sampler("robbins_monro_trace", _of_descent, STEPS, 3),
    "minibatch_indices": _of_minibatches(),
    "train": _of_runs(),
    "heat_gradient": _of_accumulation(_HEAT),
    "network_loss_and_gradient": _of_accumulation(_NETWORK),
}
