"""Where the random numbers come from: minibatches, workers, calls, updates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations, count, repeat
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._laws import (
    ERRORS,
    Array,
    chain_law,
    descent_law,
    designed,
    one_by_one,
    step_sizes,
    whitened,
)
from verification.checks._trial import Trial
from verification.evidence.comparison import Finding, agree
from verification.evidence.designs import ROBBINS_MONRO, SGLD_4
from verification.evidence.sequential import Plan, judge_counts, judge_normal
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import output_laws as laws

PAIRS = {pair: k for k, pair in enumerate(combinations(range(6), 2))}


@check(
    "EQ1-04",
    paper="(1), section 6.2",
    claim="minibatches are uniform subsets: each of the 15 pairs of 6 rows as often",
    truth="the uniform law on subsets",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=(
        "X03",
        "X04",
        "X15",
    ),
    needs=("minibatch_indices",),
    cases=(Problem("2 of 6 rows", None, more={"total": 6}),),
)
def minibatches(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    total = p.more["total"]
    drawn = np.sort(w.minibatch_indices(total, 2, 64, seed=next(t.seeds())), axis=1)
    outside = sum(tuple(rows) not in PAIRS for rows in drawn.tolist())
    yield agree("batches that are no pair of different rows", outside, 0, 0)
    if outside:
        return
    seeds = t.seeds()

    def draw(n: int) -> Any:
        rows = np.sort(w.minibatch_indices(total, 2, n, seed=next(seeds)), axis=1)
        return np.array([PAIRS[tuple(pair)] for pair in rows.tolist()])

    yield judge_counts("which pair", draw, len(PAIRS), t.plan)


@check(
    "RNG-01",
    paper="section 5.1.2",
    claim="workers draw different numbers: the mean of J equal weights has variance "
    "tau/J, however unevenly they share the samples",
    truth="the law of a mean of normals",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=("I08",),
    needs=("importance_mean",),
    cases=(
        at("J=8, L=4", P.CONSTANT_3, 0.375, samples=8, workers=4),
        at("J=9, L=4", P.CONSTANT_3, 0.625, samples=9, workers=4),
    ),
)
def workers(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    law = laws.importance(p.loss, p.x, p.tau, p.more["samples"])

    def ask(n: int, seed: int) -> Any:
        shared = p.more["samples"], p.more["workers"]
        return w.importance_mean(
            p.loss, p.x, p.tau, shared[0], workers=shared[1], n=n, seed=seed
        )

    yield judge_normal("whitened outputs", whitened(ask, law.whiten, t), t.plan)


def _one_chain(w: Witness, p: Problem) -> tuple[Any, laws.Gaussian]:
    def ask(n: int, seed: Any) -> Any:
        return w.sgld_mean(p.loss, p.x, p.tau, step_sizes(p), n=n, seed=seed)

    return ask, chain_law(w, p)


def _one_descent(w: Witness, p: Problem) -> tuple[Any, laws.Gaussian]:
    def ask(n: int, seed: Any) -> Any:
        given = (p.loss, p.x, p.tau, step_sizes(p), p.more["inner_samples"])
        return w.robbins_monro(*given, n=n, seed=seed)

    return ask, descent_law(w, p)


def _one_sample(w: Witness, p: Problem) -> tuple[Any, laws.Gaussian]:
    def ask(n: int, seed: Any) -> Any:
        return w.importance_mean(p.loss, p.x, p.tau, 4, n=n, seed=seed)

    return ask, laws.importance(p.loss, p.x, p.tau, 4)


def _calls(label: str, p: Problem, single: Any, seeded: bool) -> Problem:
    said = "seeds in a row" if seeded else "no seed"
    more = p.more | {"single": single, "seeded": seeded}
    return Problem(f"{label}, {said}", p.loss, p.x, p.tau, more)


def _coarse(plan: Plan) -> Plan:
    """Larger differences for calls of one output: their law is judged elsewhere."""
    return replace(
        plan,
        mean=1.5 * plan.mean,
        log_variance=1.5 * plan.log_variance,
        correlation=1.5 * plan.correlation,
    )


EQUAL = at("constant d=3", P.CONSTANT_3, 0.375)


@check(
    "RNG-02",
    paper="Algorithms 3, 4 and 5",
    claim="calls of their own give independent outputs, with the seeds s, s+1, s+2, "
    "... and with none",
    truth="the exact laws of the outputs; independence of consecutive ones",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=("X06",),
    any_of=("sgld_mean", "importance_mean", "robbins_monro"),
    cases=(
        _calls("Algorithm 3", designed(SGLD_4), _one_chain, False),
        _calls("Algorithm 4", EQUAL, _one_sample, True),
        _calls("Algorithm 5", designed(ROBBINS_MONRO), _one_descent, True),
    ),
)
def calls(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    ask, law = p.more["single"](w, p)
    seeds = count(next(t.seeds())) if p.more["seeded"] else repeat(None)
    score = law.whiten
    draw = whitened(one_by_one(ask, seeds), score, t)
    yield judge_normal("whitened outputs", draw, _coarse(t.plan))


UPDATES = 64  # of one training run


@dataclass(frozen=True)
class _Update:
    """The law of an update on one batch: Gaussian, its mean affine in the centre."""

    at_zero: laws.Gaussian
    gains: Array

    def score(self, x: Array, new: Array) -> Array:
        return self.at_zero.whiten((new - self.gains @ x)[None])[0]


def _update(w: Witness, p: Problem, batch: tuple[int, ...]) -> _Update:
    law_of = {"sgld": chain_law, "robbins_monro": descent_law}[p.more["method"]]
    loss = laws.restricted(p.loss, batch)
    at_zero = law_of(w, p, loss=loss, x=np.zeros(p.d))
    columns = [law_of(w, p, loss=loss, x=unit).mean for unit in np.eye(p.d)]
    return _Update(at_zero, np.stack(columns, axis=1) - at_zero.mean[:, None])


@check(
    "RNG-03",
    paper="Algorithm 3, Algorithm 5, section 6.2",
    claim="in a run on minibatches of least squares each update has the law of its "
    "own batch's mean loss at its own centre, and updates are independent",
    truth="the exact law of an update given its centre and its batch",
    route="LAW",
    tolerance=ERRORS,
    level="T",
    mistakes=(
        "M04",
        "M13",
        "M14",
        "M16",
        "M19",
        "X02",
        "X14",
    ),
    needs=("train",),
    cases=(
        at(
            "Algorithm 3",
            P.LEAST_SQUARES_2,
            0.5,
            method="sgld",
            step_sizes=(0.5625, 1.0, 0.390625, 0.765625),
        ),
        at(
            "Algorithm 5",
            P.LEAST_SQUARES_2,
            0.75,
            method="robbins_monro",
            step_sizes=(0.625, 0.375, 0.25),
            inner_samples=2,
        ),
    ),
)
def updates(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    rng, seeds = t.rng(), t.seeds()
    update = cache(partial(_update, w, p))
    record = {"tau": [p.tau] * UPDATES, "step_sizes": list(p.more["step_sizes"])}
    if "inner_samples" in p.more:
        record["inner_samples"] = p.more["inner_samples"]

    def run() -> Array:
        batches = np.array([rng.permutation(6)[:3] for _ in range(UPDATES)])
        given = (p.loss, p.x, p.more["method"], record)
        path = w.train(*given, batches=batches, seed=next(seeds))
        known = [update(tuple(sorted(batch))) for batch in batches.tolist()]
        ways = zip(known, path[:-1], path[1:], strict=True)
        return np.array([law.score(x, new) for law, x, new in ways])

    def draw(n: int) -> Array:
        return np.concatenate([run() for _ in range(-(-n // UPDATES))])[:n]

    yield judge_normal("whitened updates", draw, t.plan)
