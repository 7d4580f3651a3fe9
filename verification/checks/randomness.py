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
    require_batches,
    step_sizes,
    whitened,
)
from verification.checks._trial import Trial
from verification.evidence.comparison import Finding, agree
from verification.evidence.designs import ROBBINS_MONRO, SGLD_4
from verification.evidence.sequential import Plan, judge_counts, judge_normal
from verification.losses import Linear
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import output_laws as laws


@check(
    "EQ1-04",
    paper="(1), section 6.2",
    claim="minibatches are uniform subsets, independent: each pair of 6 rows as often "
    "as another, each triple of 7",
    truth="the uniform law on subsets",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=("X03", "X04", "X15"),
    needs=("minibatch_indices",),
    cases=(
        Problem("2 of 6 rows", None, more={"total": 6, "size": 2}),
        Problem("3 of 7 rows", None, more={"total": 7, "size": 3}),
    ),
)
def minibatches(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    total, size = p.more["total"], p.more["size"]
    subsets = {rows: k for k, rows in enumerate(combinations(range(total), size))}
    seeds = t.seeds()

    def drawn(n: int) -> list[list[int]]:
        rows = w.minibatch_indices(total, size, n, seed=next(seeds))
        return list(np.sort(rows, axis=1).tolist())

    outside = sum(tuple(rows) not in subsets for rows in drawn(64))
    yield agree("batches that are no set of different rows", outside, 0, 0)
    if outside:
        return

    def draw(n: int) -> Any:
        return np.array([subsets[tuple(rows)] for rows in drawn(n)])

    yield judge_counts("which subset", draw, len(subsets), t.plan)


SLOPE = Linear([0.75, -1.5, 2.0], 0.5)


@check(
    "RNG-01",
    paper="section 5.1.2",
    claim="workers draw different numbers and their sums are added: the output has the "
    "law of J samples, also where J is no multiple of L",
    truth="the law of a mean of normals; that of two weighted samples",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=("I07", "I08", "M18"),
    needs=("importance_mean",),
    cases=(
        at("J=8, L=4", P.CONSTANT_3, 0.375, samples=8, workers=4),
        at("J=7, L=4", P.CONSTANT_3, 0.625, samples=7, workers=4),
        at("linear, J=2, L=2", SLOPE, 0.625, samples=2, workers=2),
    ),
)
def workers(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    samples, sharers = p.more["samples"], p.more["workers"]

    def ask(n: int, seed: int) -> Any:
        given = (p.loss, p.x, p.tau, samples)
        return w.importance_mean(*given, workers=sharers, n=n, seed=seed)

    def score(outputs: Array) -> Array:
        if p.loss.kind == "linear":
            return laws.pair_scores(p.loss, p.x, p.tau, outputs)
        return laws.importance(p.loss, p.x, p.tau, samples).whiten(outputs)

    yield judge_normal("scores of outputs", whitened(ask, score, t), t.plan)


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

BOTH = (
    "law and independence in one test: a mean or a variance that is off is no "
    "dependence of calls, and is judged by the checks of the law as well"
)


@check(
    "RNG-02",
    paper="Algorithms 3, 4 and 5",
    claim="outputs of calls of their own have the exact law and are independent: "
    "Algorithm 3 without a seed, Algorithms 4 and 5 with the seeds s, s+1, s+2, ...",
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
    seeds = count(next(t.seeds()) // 2) if p.more["seeded"] else repeat(None)
    score = law.whiten
    draw = whitened(one_by_one(ask, seeds), score, t)
    yield judge_normal("whitened outputs", draw, _coarse(t.plan), note=BOTH)


UPDATES = 64  # of one training run


TAUS = (0.5, 0.75, 0.375)  # in turn


@dataclass(frozen=True)
class _Update:
    """The law of an update: Gaussian, its mean affine in the centre."""

    at_zero: laws.Gaussian
    gains: Array

    def score(self, x: Array, new: Array) -> Array:
        return self.at_zero.whiten((new - self.gains @ x)[None])[0]


def _update(w: Witness, p: Problem, tau: float, batch: tuple[int, ...]) -> _Update:
    method = p.more["method"]
    if method == "importance":
        return _Update(
            laws.importance(p.loss, np.zeros(p.d), tau, p.more["samples"]), np.eye(p.d)
        )
    law_of = {"sgld": chain_law, "robbins_monro": descent_law}[method]
    loss = laws.restricted(p.loss, batch)
    at_zero = law_of(w, p, loss=loss, tau=tau, x=np.zeros(p.d))
    units = [law_of(w, p, loss=loss, tau=tau, x=unit).mean for unit in np.eye(p.d)]
    return _Update(at_zero, np.stack(units, axis=1) - at_zero.mean[:, None])


@check(
    "RNG-03",
    paper="Algorithms 3, 4 and 5, sections 5.1.2 and 6.2",
    claim="in a run each update has the law of its own batch's mean loss, its own tau "
    "and its own centre, and updates are independent",
    truth="the exact law of an update given its centre, its batch and its tau",
    route="LAW",
    tolerance=ERRORS,
    level="T",
    mistakes=("M04", "M13", "M14", "M16", "M19", "M20", "X02", "X12", "X14"),
    needs=("train",),
    cases=(
        at(
            "Algorithm 3",
            P.LEAST_SQUARES_2,
            TAUS[0],
            method="sgld",
            step_sizes=(0.5625, 1.0, 0.390625, 0.765625),
        ),
        at(
            "Algorithm 5",
            P.LEAST_SQUARES_2,
            TAUS[0],
            method="robbins_monro",
            step_sizes=(0.625, 0.375, 0.25),
            inner_samples=2,
        ),
        at(
            "Algorithm 4, constant",
            P.CONSTANT_3,
            TAUS[0],
            method="importance",
            samples=3,
        ),
    ),
)
def updates(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    rng, seeds, method = t.rng(), t.seeds(), p.more["method"]
    update = cache(partial(_update, w, p))
    taus = [TAUS[k % len(TAUS)] for k in range(UPDATES)]
    record = {"tau": taus, "start": "centre"} | {
        name: p.more[name]
        for name in ("step_sizes", "inner_samples", "samples")
        if name in p.more
    }
    if method != "importance":
        require_batches(w)

    def run() -> Array:
        rows = np.array([rng.permutation(6)[:3] for _ in range(UPDATES)])
        chosen = {} if method == "importance" else {"batches": rows}
        path = w.train(p.loss, p.x, method, record, seed=next(seeds), **chosen)
        scores = []
        for tau, batch, x, new in zip(taus, rows, path[:-1], path[1:], strict=True):
            law = update(tau, tuple(sorted(batch.tolist())))
            scores.append(law.score(x, new))
        return np.array(scores)

    def draw(n: int) -> Array:
        return np.concatenate([run() for _ in range(-(-n // UPDATES))])[:n]

    yield judge_normal("whitened updates", draw, t.plan)
