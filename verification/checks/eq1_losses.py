"""The loss (1) as a mean over examples, and its minibatches.

A subject shows its reading of (1) through what it makes of least squares: heat is
linear in f, local entropy is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from verification.checks._check import check
from verification.checks._kit import EXACT, RUNNING, closed, offered
from verification.evidence.comparison import Finding, agree
from verification.losses import LeastSquares
from verification.problems import LEAST_SQUARES_2, LEAST_SQUARES_3, Problem, at
from verification.subject import Witness
from verification.truth import closed_forms as cf

CASES = (
    at("least squares d=2", LEAST_SQUARES_2, 0.75),
    at("least squares d=3", LEAST_SQUARES_3, 0.25),
)


MEANS = {
    "heat": cf.heat,
    "heat_gradient": cf.heat_gradient,
    "local_entropy": cf.local_entropy,
    "local_entropy_gradient": cf.local_entropy_gradient,
    "posterior_mean": cf.posterior_mean,
}


@check(
    "EQ1-01",
    paper="(1)",
    claim="f is the mean, not the sum, of the f_i, whatever the order of the examples",
    truth="closed forms for least squares; rows in another order",
    route="CF MET",
    tolerance=RUNNING,
    mistakes=("M03",),
    any_of=tuple(MEANS),
    cases=CASES,
)
def mean_of_examples(w: Witness, p: Problem) -> Iterator[Finding]:
    loss: Any = p.loss
    order = np.random.default_rng(1).permutation(len(loss.b))
    for name, formula, ask in offered(w, **MEANS):
        truth = closed(formula, loss, p.x, p.tau)
        for order_, data in (("", loss), (", rows permuted", loss.subset(order))):
            value = ask(data, p.x, p.tau)
            yield agree(name + order_, value, truth.value, truth.tolerance(w))


@check(
    "EQ1-02",
    paper="(1)",
    claim="minibatches of a partition, weighted by their sizes, give the full loss",
    truth="heat and its gradient of the whole, batches of unequal sizes",
    route="ID",
    tolerance=RUNNING + ", summed over the batches",
    mistakes=("M03",),
    any_of=("heat", "heat_gradient"),
    cases=CASES,
)
def partition(w: Witness, p: Problem) -> Iterator[Finding]:
    loss: Any = p.loss
    N = len(loss.b)
    batches = [loss.subset(rows) for rows in (range(N - 1), range(N - 1, N))]
    yield from _averages_to_whole(
        w, p, batches, [len(batch.b) / N for batch in batches]
    )


@check(
    "EQ1-03",
    paper="(1)",
    claim="the average over all minibatches of a size is the full loss",
    truth="heat and its gradient of the whole; all subsets enumerated",
    route="ID",
    tolerance=RUNNING + ", summed over the batches",
    mistakes=("M03",),
    any_of=("heat", "heat_gradient"),
    cases=CASES,
)
def all_minibatches(w: Witness, p: Problem) -> Iterator[Finding]:
    loss: Any = p.loss
    batches = [loss.subset(rows) for rows in combinations(range(len(loss.b)), 2)]
    yield from _averages_to_whole(w, p, batches, [1 / len(batches)] * len(batches))


def _averages_to_whole(
    w: Witness, p: Problem, batches: list[LeastSquares], weights: list[float]
) -> Iterator[Finding]:
    pairs = list(zip(weights, batches, strict=True))
    for name, formula, ask in offered(w, heat=cf.heat, heat_gradient=cf.heat_gradient):
        whole = formula(EXACT, p.loss, p.x, p.tau)
        total = sum(v * ask(batch, p.x, p.tau) for v, batch in pairs)
        parts = [(v, closed(formula, batch, p.x, p.tau)) for v, batch in pairs]
        slack = sum(v * part.tolerance(w) for v, part in parts)
        yield agree(f"mean {name} of the batches", total, whole, 2 * slack)
