"""Whole runs with their draws and minibatches given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import size
from verification.checks._replay import BY_ROUTES, REPLAYED, ask_training, training
from verification.evidence.comparison import Finding, agree, differs
from verification.problems import Problem, power_law, squares
from verification.subject import Witness

THREE = squares(6, 9, 4)
FOUR = squares(5, 8, 4, 6)
PAIRS = ((4, 1), (0, 3), (5, 2))  # of six examples
TRIPLES = ((3, 0, 1), (2, 1, 3))  # of four


def _followed(w: Witness, p: Problem, path: Any) -> Iterator[Finding]:
    truths = training(w, p)
    yield agree("x_0", path[0], list(p.x), 0.0)
    for k, truth in enumerate(truths[1:], 1):
        yield agree(f"x_{k}", path[k], truth.value, truth.tolerance(w))


@check(
    "TRAIN-01",
    paper="Algorithms 3, 4 and 5, section 6",
    claim="given draws and minibatches, x_0, ..., x_K of whole runs: update k is about "
    "x_k, with tau(k), a minibatch and draws of its own, and the steps from the first",
    truth="one update after the other: " + BY_ROUTES,
    route="RAT MP2",
    tolerance=REPLAYED + ", compounded over the updates",
    mistakes=(
        *("M04", "M13", "M14", "M15C", "M16", "M17", "M18", "M19", "M20"),
        *("X02", "X12", "X13", "X14"),
    ),
    needs=("train",),
    level="R",
    cases=(
        P.training(
            "sgld, least squares d=2, minibatches",
            P.LEAST_SQUARES_2,
            "sgld",
            (0.75, 0.5, 0.3125),
            step_sizes=THREE,
            start="centre",
            batches=PAIRS,
        ),
        P.training(
            "sgld, mixture d=3",
            P.MIXTURE_3,
            "sgld",
            (0.625, 0.375),
            step_sizes=FOUR,
            start="centre",
        ),
        P.training(
            "importance, least squares d=3, minibatches",
            P.LEAST_SQUARES_3,
            "importance",
            (0.75, 0.5),
            samples=7,
            batches=TRIPLES,
        ),
        P.training(
            "importance, mixture d=2",
            P.MIXTURE_2,
            "importance",
            (0.5625, 0.375, 0.25),
            samples=9,
        ),
        P.training(
            "importance, waves d=2, L = 3",
            P.WAVES_2,
            "importance",
            (0.75, 0.4375),
            samples=8,
            workers=3,
        ),
        P.training(
            "robbins_monro, least squares d=2, minibatches",
            P.LEAST_SQUARES_2,
            "robbins_monro",
            (0.5625, 0.25, 0.0625),
            step_sizes=power_law(0.5, 0.75, 3),
            inner_samples=3,
            batches=PAIRS,
        ),
        P.training(
            "robbins_monro, mixture d=1",
            P.MIXTURE_1,
            "robbins_monro",
            (0.625, 0.375),
            step_sizes=power_law(0.5, 0.75, 4),
            inner_samples=2,
        ),
    ),
)
def whole_runs(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _followed(w, p, ask_training(w, p))


@cache
def _cold(p: Problem) -> Problem:
    """The same run with every chain started at the centre."""
    record = {**p.more["record"], "start": "centre"}
    return replace(p, more={**p.more, "record": record})


@check(
    "TRAIN-02",
    paper="Algorithm 3, section 5.1.1",
    claim='with start = "previous" a chain begins at the last state of the one before '
    "it, and is pulled towards x_k nevertheless; a run keeps nothing for the next",
    truth="one update after the other: "
    + BY_ROUTES
    + "; the run started at the centres as negative control, at half its distance",
    route="RAT MP2",
    tolerance=REPLAYED + ", compounded over the updates; none for the run repeated",
    mistakes=("M15", "X09", "X16"),
    needs=("train",),
    level="R",
    cases=(
        P.training(
            "warm, quadratic d=1",
            P.QUADRATIC_1,
            "sgld",
            (0.75, 0.5),
            step_sizes=FOUR,
            start="previous",
        ),
        P.training(
            "warm, least squares d=2, minibatches",
            P.LEAST_SQUARES_2,
            "sgld",
            (0.75, 0.5, 0.3125),
            step_sizes=THREE,
            start="previous",
            batches=PAIRS,
        ),
        P.training(
            "warm, mixture d=3",
            P.MIXTURE_3,
            "sgld",
            (0.625, 0.375, 0.25),
            step_sizes=THREE,
            start="previous",
        ),
    ),
)
def warm_starts(w: Witness, p: Problem) -> Iterator[Finding]:
    path = ask_training(w, p)
    yield from _followed(w, p, path)
    yield agree("the run again", ask_training(w, p), path, 0.0)
    cold, warm = training(w, _cold(p))[2].value, training(w, p)[2].value
    gap = size(np.subtract(cold, warm).tolist())
    yield differs("x_2 against that of a cold start", path[2], cold, gap / 2)


@check(
    "TRAIN-03",
    paper="Algorithms 3, 4 and 5, section 6.1",
    claim="whole runs on minibatches of a network's examples: update k sees the mean "
    "over the B examples of the k-th, and no others",
    truth="one update after the other: " + BY_ROUTES,
    route="MP2",
    tolerance=REPLAYED + ", compounded over the updates",
    mistakes=("M04", "M13", "M14", "M20", "X02", "X12", "X14"),
    needs=("train",),
    level="R",
    cases=(
        P.training(
            "sgld, relu d=14, minibatches of two of six",
            P.BATCHED_14,
            "sgld",
            (0.75, 0.5, 0.3125),
            step_sizes=THREE,
            start="previous",
            batches=PAIRS,
        ),
        P.training(
            "importance, sigmoid d=17, minibatches of two of three",
            P.SIGMOID_17,
            "importance",
            (0.75, 0.5),
            samples=7,
            batches=((2, 1), (0, 2)),
        ),
        P.training(
            "robbins_monro, tanh d=14, minibatches of three of four",
            P.TANH_14,
            "robbins_monro",
            (0.5625, 0.25),
            step_sizes=power_law(0.5, 0.75, 3),
            inner_samples=2,
            batches=TRIPLES,
        ),
        P.training(
            "sgld, one example d=14",
            P.ONE_EXAMPLE_14,
            "sgld",
            (0.625, 0.375),
            step_sizes=THREE,
            start="centre",
        ),
    ),
)
def network_runs(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _followed(w, p, ask_training(w, p))
