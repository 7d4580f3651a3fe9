"""Algorithm 5 with its draws given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import size
from verification.checks._replay import (
    BY_ROUTES,
    NO_PATH,
    OUTPUT,
    REPLAYED,
    WITHIN,
    ask_descent,
    descents,
    draws_of_descent,
    fractions,
    joined,
    makes_all_moves,
    numbered,
    unit_draws,
)
from verification.errors import NotRun
from verification.evidence.comparison import Finding, agree, differs
from verification.losses import LossData
from verification.problems import Problem, descent, power_law
from verification.subject import Witness
from verification.truth import closed_forms as cf
from verification.truth import replay
from verification.truth.carriers import Rational


def _replayed(w: Witness, p: Problem) -> Iterator[Finding]:
    runs = descents(w, p)
    if w.provides("robbins_monro"):
        output = joined(runs, OUTPUT)
        measured = ask_descent(w, "robbins_monro", p)
        yield agree("robbins_monro", measured, output.value, output.tolerance(w))
    elif not makes_all_moves(w):
        raise NotRun(NO_PATH)
    if w.provides("robbins_monro_trace") and makes_all_moves(w):
        states = joined(runs, WITHIN)
        measured = ask_descent(w, "robbins_monro_trace", p)
        yield agree("robbins_monro_trace", measured, states.value, states.tolerance(w))


@check(
    "ALG5-R1",
    paper="Algorithm 5, (17)",
    claim="given its draws, the output and the states on quartics, for steps c/j and "
    "c j^-3/4",
    truth=BY_ROUTES,
    route="RAT",
    tolerance=REPLAYED,
    mistakes=numbered("H", *range(1, 25)),
    any_of=("robbins_monro", "robbins_monro_trace"),
    level="R",
    cases=(
        descent("quartic d=1", P.QUARTIC_1, 0.25, power_law(0.5, 1.0, 1), 3),
        descent("quartic d=2", P.QUARTIC_2, 0.0625, power_law(0.5, 1.0, 3), 3, n=3),
        descent(
            "quartic d=2", P.QUARTIC_2, 0.25, power_law(0.375, 0.75, 5), 1, moved=True
        ),
        descent(
            "quartic d=3", P.QUARTIC_3, 0.5625, power_law(0.25, 0.75, 3), 4, moved=True
        ),
    ),
)
def quartics(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)


@check(
    "ALG5-R2",
    paper="Algorithm 5, (17)",
    claim="given its draws, the output and the states on quadratics of all kinds",
    truth=BY_ROUTES,
    route="RAT",
    tolerance=REPLAYED,
    mistakes=(
        *("H05", "H06", "H08", "H09", "H10", "H14", "H16", "H22", "H25"),
        *("X23", "X24", "X26", "X27"),
    ),
    any_of=("robbins_monro", "robbins_monro_trace"),
    level="R",
    cases=(
        descent("quadratic d=1", P.QUADRATIC_1, 0.25, power_law(0.5, 1.0, 2), 3),
        descent(
            "constant d=3", P.CONSTANT_3, 0.5625, power_law(0.5, 0.75, 3), 1, moved=True
        ),
        descent("linear d=2", P.LINEAR_2, 1.5625, power_law(0.75, 0.75, 5), 3),
        descent("quadratic d=2", P.QUADRATIC_2, 0.25, power_law(0.75, 0.75, 5), 3, n=3),
        descent(
            "indefinite d=3", P.INDEFINITE_3, 0.5625, power_law(0.5, 0.625, 5), 4, n=3
        ),
        descent(
            "least squares d=2",
            P.LEAST_SQUARES_2,
            0.25,
            power_law(0.5, 0.75, 3),
            3,
            moved=True,
        ),
        descent(
            "quadratic d=5",
            P.QUADRATIC_5,
            1.5625,
            power_law(0.25, 0.75, 3),
            4,
            n=3,
            moved=True,
        ),
        descent("quadratic d=2", P.QUADRATIC_2, 0.25, power_law(0.5, 0.75, 2), 9),
        descent(
            "diagonal d=3", P.DIAGONAL_3, P.TINY, power_law(0.5, 0.75, 3), 3, moved=True
        ),
        descent("steep", P.STIFF_2, 0.0625, power_law(0.125, 0.75, 3), 3, x=P.STEEP),
    ),
)
def quadratics(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)


@check(
    "ALG5-R3",
    paper="Algorithm 5, (17)",
    claim="given its draws, the output and the states on mixtures",
    truth=BY_ROUTES,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=("H01", "H02", "H04", "H17", "H18", "H20"),
    any_of=("robbins_monro", "robbins_monro_trace"),
    level="R",
    cases=(
        descent("mixture d=1", P.MIXTURE_1, 0.75, power_law(0.5, 1.0, 2), 3),
        descent(
            "mixture d=2", P.MIXTURE_2, 0.25, power_law(0.5, 0.75, 5), 3, moved=True
        ),
        descent("mixture d=3", P.MIXTURE_3, 1.25, power_law(0.375, 0.75, 3), 4, n=3),
        descent(
            "mixture d=1, rare component", P.RARE_1, 0.375, power_law(0.5, 0.75, 5), 1
        ),
    ),
)
def mixtures(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)


@check(
    "ALG5-R4",
    paper="Algorithm 5, (17)",
    claim="given its draws, the output and the states on waves and wells",
    truth=BY_ROUTES,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=("H03", "H11", "H12", "H21", "H23", "H24"),
    any_of=("robbins_monro", "robbins_monro_trace"),
    level="R",
    cases=(
        descent("waves d=1", P.WAVES_1, 0.625, power_law(0.5, 0.75, 3), 1, moved=True),
        descent("waves d=2", P.WAVES_2, 0.375, power_law(0.5, 0.75, 3), 4, n=3),
        descent("wells d=2", P.WELLS_2, 0.75, power_law(0.5, 1.0, 5), 3),
        descent("wells d=3", P.WELLS_3, 1.25, power_law(0.5, 0.75, 3), 3, moved=True),
    ),
)
def waves_and_wells(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)


@check(
    "ALG5-R5",
    paper="Algorithm 5, (17), section 6.1",
    claim="given its draws, the output and the states on the mean cross-entropy of "
    "networks: softmax alone, ReLU, tanh and sigmoid, of one example and of several",
    truth=BY_ROUTES,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=(*numbered("H", 1, 2, 3, 4, 17, 20), "M23", "M24"),
    any_of=("robbins_monro", "robbins_monro_trace"),
    level="R",
    cases=(
        descent("softmax d=8", P.SOFTMAX_8, 0.25, power_law(0.5, 1.0, 2), 3),
        descent("relu d=14", P.RELU_14, 0.75, power_law(0.5, 0.75, 3), 3, moved=True),
        descent("tanh d=14", P.TANH_14, 0.375, power_law(0.5, 0.75, 3), 1, n=3),
        descent("sigmoid d=17", P.SIGMOID_17, 1.25, power_law(0.375, 0.75, 2), 3),
        descent("one example d=14", P.ONE_EXAMPLE_14, 0.25, power_law(0.5, 0.75, 3), 2),
    ),
)
def networks(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)


def _steps(w: Witness, p: Problem) -> tuple[float, ...]:
    """The steps of the moves that the subject's reading makes."""
    return tuple(p.more["step_sizes"][: draws_of_descent(w, p).shape[1]])


@cache
def _response(p: Problem, steps: tuple[float, ...]) -> replay.Response:
    inner, start = p.more["inner_samples"], p.more["start"]
    return replay.robbins_monro_response(
        Rational(), p.loss, p.x, p.tau, steps, inner, start
    )


@check(
    "ALG5-I",
    paper="Algorithm 5, (17)",
    claim="on a quadratic: zero draws give the mean of the output's law, a draw of 1 "
    "in move j adds -a_j tau sqrt(tau)/M times a column of R_J ... R_j+1 H",
    truth="products of R_j = I - a_j (I + tau H) in exact rationals",
    route="RAT LAW",
    tolerance=REPLAYED + ", of both outputs of a difference",
    mistakes=("H02", "H03", "H11", "H12", "H18", "H21", "H23", "H24"),
    needs=("robbins_monro",),
    level="R",
    cases=(
        descent("quadratic d=1", P.QUADRATIC_1, 0.25, power_law(0.5, 0.75, 5), 3),
        descent(
            "quadratic d=2",
            P.QUADRATIC_2,
            0.5625,
            power_law(0.75, 0.75, 3),
            4,
            moved=True,
        ),
        descent("indefinite d=3", P.INDEFINITE_3, 1.5625, power_law(0.5, 1.0, 3), 3),
        descent(
            "least squares d=3",
            P.LEAST_SQUARES_3,
            0.25,
            power_law(0.375, 0.75, 3),
            3,
            moved=True,
        ),
    ),
)
def impulses(w: Witness, p: Problem) -> Iterator[Finding]:
    law = _response(p, _steps(w, p))
    moves, M, d = draws_of_descent(w, p).shape[1:]
    z = unit_draws(moves, M, d)
    outputs = fractions(ask_descent(w, "robbins_monro", p, z))
    runs = descents(w, p, z)
    slack = joined(runs[:1], OUTPUT).tolerance(w)
    yield agree("output of zero draws", outputs[0], law.mean, slack)
    for j, slope in enumerate(law.slopes):
        these = slice(1 + j * M * d, 1 + (j + 1) * M * d)
        gains = outputs[these] - outputs[0]
        both = joined(runs[these], OUTPUT).tolerance(w) + (M * d) ** 0.5 * slack
        # every one of the M draws has the same effect
        expected: Any = np.tile(np.array(slope).T, (M, 1))
        yield agree(f"response to the draws of move {j + 1}", gains, expected, both)


def _paper(label: str, loss: LossData, tau: float) -> Problem:
    """The paper's J = 30 and steps 0.1 j^-0.7, three samples, all of them zero."""
    p = descent(label, loss, tau, power_law(0.1, 0.7, 30), 3)
    return replace(p, more={**p.more, "draws": np.zeros_like(p.more["draws"])})


@check(
    "ALG5-X",
    paper="Algorithm 5, sections 5.2 and 6.2",
    claim="at the paper's J = 30, c = 0.1, alpha = 0.7 the mean of the output has gone "
    "only about half of the way from x_k to the minimiser: so it must be",
    truth="products of R_j = I - a_j (I + tau H) in exact rationals; the minimiser as "
    "negative control, at a quarter of the way's length",
    route="RAT LAW",
    tolerance=REPLAYED,
    mistakes=("H05", "H07", "H13", "H15", "H19"),
    needs=("robbins_monro",),
    level="R",
    cases=(
        _paper("quadratic d=1", P.QUADRATIC_1, 0.0625),
        _paper("quadratic d=2", P.QUADRATIC_2, 0.015625),
        _paper("indefinite d=3", P.INDEFINITE_3, 0.0625),
        _paper("least squares d=3", P.LEAST_SQUARES_3, 0.015625),
    ),
)
def half_way(w: Witness, p: Problem) -> Iterator[Finding]:
    law = _response(p, _steps(w, p))
    slack = joined(descents(w, p), OUTPUT).tolerance(w)
    output = ask_descent(w, "robbins_monro", p)[0]
    yield agree("output of zero draws", output, law.mean, slack)
    target = cf.proximal_point(Rational(), p.loss, p.x, p.tau)
    way = size(np.subtract(target, fractions(p.x)).tolist())
    yield differs("output against the minimiser", output, target, way / 4)
