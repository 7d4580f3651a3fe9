"""Algorithm 4 with the subject's own randomness.

Its output divides by a random sum and is Gaussian only where the weights are equal or
known; these are the cases with an exact law.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._laws import ERRORS, Array, whitened
from verification.checks._trial import Trial
from verification.evidence.comparison import Finding
from verification.evidence.sequential import judge_normal
from verification.losses import Constant, Linear, Quadratic
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import output_laws as laws


def _asked(
    w: Witness, p: Problem, method: str = "importance_mean"
) -> Callable[..., Any]:
    def ask(n: int, seed: int) -> Any:
        given = (p.loss, p.x, p.tau, p.more["samples"])
        keywords = {"workers": p.more["workers"]} if "workers" in p.more else {}
        return getattr(w, method)(*given, n=n, seed=seed, **keywords)

    return ask


def _equal_weights(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    law = laws.importance(p.loss, p.x, p.tau, p.more["samples"])
    yield judge_normal(
        "whitened outputs", whitened(_asked(w, p), law.whiten, t), t.plan
    )


@check(
    "ALG4-L1",
    paper="Algorithm 4, (16)",
    claim="for a constant loss the output is N(x, tau/J I)",
    truth="the law of a mean of normals",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=(
        "I01",
        "I03",
        "I04",
        "I09",
        "I18",
    ),
    needs=("importance_mean",),
    cases=(
        at("constant d=3, J=8", P.CONSTANT_3, 0.375, samples=8),
        at("constant d=1, J=3000", Constant(0.5, 1), 0.625, samples=3000),
    ),
)
def constant(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    yield from _equal_weights(w, p, t)


@check(
    "ALG4-L2",
    paper="Algorithm 4, (16)",
    claim="one sample has all the weight: the output is N(x, tau I) for any loss",
    truth="the law of phi itself",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=(
        "I04",
        "I19",
    ),
    needs=("importance_mean",),
    cases=(
        at("quartic d=2, J=1", P.QUARTIC_2, 0.375, samples=1),
        at("mixture d=1, J=1", P.MIXTURE_1, 2.25, samples=1),
    ),
)
def single(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    yield from _equal_weights(w, p, t)


@check(
    "ALG4-L3",
    paper="Algorithm 4, (16)",
    claim="two samples of a linear loss: the exact law of the weighted mean",
    truth="conditional distribution functions by quadrature over the weight",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=(
        "I02",
        "I10",
        "I13",
        "I15",
        "I16",
        "I20",
        "I21",
    ),
    needs=("importance_mean",),
    cases=(
        at("linear d=1, J=2", Linear([1.5], 0.25), 0.75, samples=2),
        at("linear d=2, J=2", P.LINEAR_2, 0.375, samples=2),
        at("linear d=3, J=2", Linear([0.75, -1.5, 2.0], 0.5), 0.625, samples=2),
    ),
)
def pair(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    def scores(outputs: Array) -> Array:
        return laws.pair_scores(p.loss, p.x, p.tau, outputs)

    yield judge_normal("normal scores", whitened(_asked(w, p), scores, t), t.plan)


SEEN = np.array([[1.0, -0.5, 0.25, 0.75]])
HIDDEN = np.linalg.svd(SEEN)[2][1:]
VALLEY = Quadratic(2.25 * SEEN.T @ SEEN, [0.5, -0.25, 1.0, 0.0], 0.125)


@check(
    "ALG4-L4",
    paper="Algorithm 4, (16)",
    claim="in directions the loss does not see, the output's distance from x is normal "
    "with variance tau sum w^2, w the weights it was made with",
    truth="given the weights the output is a sum of normals",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=(
        "I04",
        "I05",
        "I18",
    ),
    needs=("importance_mean", "importance_weights"),
    cases=(at("valley d=4, J=12", VALLEY, 0.75, samples=12),),
)
def unseen(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    outputs, weights, seeds = (
        _asked(w, p),
        _asked(w, p, "importance_weights"),
        t.seeds(),
    )

    def draw(count: int) -> Array:
        seed = next(seeds)
        mean, shares = outputs(n=count, seed=seed), weights(n=count, seed=seed)
        return laws.flat_scores(p.x, p.tau, mean, shares, HIDDEN)

    yield judge_normal("normal scores", draw, t.plan)
