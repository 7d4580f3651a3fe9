"""Algorithm 3 with its draws given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import size
from verification.checks._replay import (
    BY_ROUTES,
    CYCLE_3,
    OUTPUT,
    REPLAYED,
    ROTATION_2,
    ROTATION_3,
    SHIFT_2,
    SWAP_2,
    WITHIN,
    ask_chain,
    ask_training,
    by_fives,
    chains,
    draws_of_chain,
    fractions,
    joined,
    moved,
    numbered,
    raised,
    training,
    unit_draws,
)
from verification.evidence.comparison import Finding, agree, differs
from verification.losses import LeastSquares, Linear, Quadratic
from verification.problems import Problem, chain, small_squares, squares
from verification.subject import Witness
from verification.truth import replay
from verification.truth.carriers import Rational

H_2 = [[1.25, 0.5], [0.5, 0.75]]
SHORT = squares(11, 5)
THREE = squares(6, 9, 4)
FIVE = squares(9, 5, 7, 4, 6)
NINE = squares(5, 7, 3, 6, 4, 8, 3, 5, 6)


def _replayed(w: Witness, p: Problem, note: str = "") -> Iterator[Finding]:
    runs = chains(w, p)
    for method, part in (("sgld_mean", OUTPUT), ("sgld_trace", WITHIN)):
        if w.provides(method):
            truth = joined(runs, part)
            measured = ask_chain(w, method, p)
            yield agree(method, measured, truth.value, truth.tolerance(w), note)


@check(
    "ALG3-R1",
    paper="Algorithm 3",
    claim="given its draws, the output and the states on quartics",
    truth=BY_ROUTES,
    route="RAT",
    tolerance=REPLAYED,
    mistakes=(*numbered("S", *range(1, 29), *range(30, 41)), "X01", "X09"),
    any_of=("sgld_mean", "sgld_trace"),
    level="R",
    cases=(
        chain("quartic d=2", P.QUARTIC_2, 0.25, SHORT, moved=True),
        chain("quartic d=2", P.QUARTIC_2, 1.25, THREE, n=3),
        chain("quartic d=3", P.QUARTIC_3, 0.625, FIVE, moved=True),
        chain("quartic d=1", P.QUARTIC_1, 0.25, NINE),
    ),
)
def quartics(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)


@check(
    "ALG3-R2",
    paper="Algorithm 3",
    claim="given its draws, the output and the states on quadratics of all kinds",
    truth=BY_ROUTES,
    route="RAT",
    tolerance=REPLAYED,
    mistakes=(*numbered("S", *range(9, 21), 29, 36), "X24", "X25"),
    any_of=("sgld_mean", "sgld_trace"),
    level="R",
    cases=(
        chain("quadratic d=1", P.QUADRATIC_1, 0.25, SHORT, moved=True),
        chain("constant d=3", P.CONSTANT_3, 0.5625, THREE),
        chain("linear d=2", P.LINEAR_2, 0.375, FIVE),
        chain("scalar quadratic d=2", P.SCALAR_2, 1.5625, FIVE, n=3),
        chain("diagonal quadratic d=3", P.DIAGONAL_3, 0.75, THREE, moved=True),
        chain("quadratic d=2", P.QUADRATIC_2, 0.25, FIVE, n=3, moved=True),
        chain("indefinite quadratic d=3", P.INDEFINITE_3, 1.25, NINE),
        chain("least squares d=2", P.LEAST_SQUARES_2, 0.25, FIVE),
        chain("least squares d=3", P.LEAST_SQUARES_3, 0.75, THREE, n=3, moved=True),
        chain("quadratic d=5", P.QUADRATIC_5, 1.5625, FIVE, n=3, moved=True),
        chain("quadratic d=1", P.QUADRATIC_1, P.TINY, small_squares(5, 7, 3, 6, 4)),
        chain("diagonal quadratic d=3", P.DIAGONAL_3, P.TINY, small_squares(6, 3, 5)),
        chain("steep", P.STIFF_2, 0.75, small_squares(20, 28, 12), x=P.STEEP),
    ),
)
def quadratics(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)


@check(
    "ALG3-R3",
    paper="Algorithm 3",
    claim="given its draws, the output and the states on mixtures",
    truth=BY_ROUTES,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=numbered("S", 1, 2, *range(5, 9), 26, 27, 31, 35, 37),
    any_of=("sgld_mean", "sgld_trace"),
    level="R",
    cases=(
        chain("mixture d=1", P.MIXTURE_1, 0.25, THREE),
        chain("mixture d=2", P.MIXTURE_2, 1.5625, FIVE, n=3),
        chain("mixture d=3", P.MIXTURE_3, 0.375, FIVE, moved=True),
        chain("mixture d=1, rare component", P.RARE_1, 0.5625, NINE, moved=True),
    ),
)
def mixtures(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)


@check(
    "ALG3-R4",
    paper="Algorithm 3",
    claim="given its draws, the output and the states on waves and wells",
    truth=BY_ROUTES,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=numbered("S", 3, 4, *range(21, 26), 32, 33, 34, 38, 39, 40),
    any_of=("sgld_mean", "sgld_trace"),
    level="R",
    cases=(
        chain("waves d=1", P.WAVES_1, 0.25, SHORT, moved=True),
        chain("waves d=2", P.WAVES_2, 0.75, FIVE, n=3, moved=True),
        chain("wells d=1", P.WELLS_1, 1.25, NINE),
        chain("wells d=2", P.WELLS_2, 0.375, THREE, n=3),
        chain("wells d=3", P.WELLS_3, 0.25, FIVE, moved=True),
    ),
)
def waves_and_wells(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)


@check(
    "ALG3-R5",
    paper="Algorithm 3, section 6.1",
    claim="given its draws, the output and the states on the mean cross-entropy of "
    "networks: softmax alone, ReLU, tanh and sigmoid, of one example and of several",
    truth=BY_ROUTES,
    route="MP2",
    tolerance=REPLAYED,
    mistakes=(*numbered("S", 1, 2, 3, 4, 5, 23, 24, 28), "M23", "M24"),
    any_of=("sgld_mean", "sgld_trace"),
    level="R",
    cases=(
        chain("softmax d=8", P.SOFTMAX_8, 0.25, SHORT, moved=True),
        chain("relu d=14", P.RELU_14, 0.75, FIVE, n=3),
        chain("tanh d=14", P.TANH_14, 0.375, FIVE, moved=True),
        chain("sigmoid d=17", P.SIGMOID_17, 1.25, THREE),
        chain("two hidden layers d=18", P.DEEP_18, 0.5625, THREE, moved=True),
        chain("one example d=14", P.ONE_EXAMPLE_14, 0.25, THREE, n=3),
    ),
)
def networks(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)


def _far(label: str, loss: Any, J: int) -> Problem:
    """Large states and moves of about a hundredth."""
    steps = tuple(((1 + j % 5) / 256) ** 2 for j in range(J))
    x = (4096.5, -3071.25, 5120.75)[: loss.d]
    return chain(label, loss, 0.75, steps, x=x)


def _fine(label: str, loss: Any, *roots: int) -> Problem:
    """A case and, under "fine", the like of it that single precision cannot hold.

    The roots have up to 26 bits, so that double precision holds their squares.
    """
    p = chain(label, loss, 0.625, squares(*(round(r / 2**22) for r in roots)))
    more = {
        **p.more,
        "step_sizes": tuple((r / 2**26) ** 2 for r in roots),
        "draws": p.more["draws"] * (1 + 2.0**-26),
    }
    return replace(p, more={**p.more, "fine": replace(p, more=more)})


@check(
    "ALG3-D",
    paper="Algorithm 3",
    claim="the chain and its average are kept in the declared precision: small moves "
    "of large states are not lost, nor the last digits of draws and steps",
    truth=BY_ROUTES,
    route="RAT",
    tolerance=REPLAYED,
    mistakes=("M11", "X28", "X29"),
    any_of=("sgld_mean", "sgld_trace"),
    level="R",
    cases=(
        _far("linear d=3, far out", Linear([0.75, -1.5, 0.5]), 48),
        _far("quadratic d=2, far out", Quadratic(H_2, [4097.5, -3072.125]), 24),
        _fine("quadratic d=2", P.QUADRATIC_2, 29360129, 20132659, 41943041, 16777259),
        _fine("constant d=3", P.CONSTANT_3, 25165843, 37748737, 12582917),
    ),
)
def small_moves(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _replayed(w, p)
    if "fine" in p.more and w.dtype == "float64":
        yield from _replayed(w, p.more["fine"], "numbers of 53 bits")


@cache
def _response(p: Problem, chain: str, output: str) -> replay.Response:
    setting = (p.loss, p.x, p.tau, p.more["step_sizes"], p.more["start"])
    return replay.langevin_response(Rational(), *setting, chain, output)


@check(
    "ALG3-I",
    paper="Algorithm 3",
    claim="on a quadratic: zero draws give the mean of the output's law, a draw of 1 "
    "in coordinate i of move j adds column i of C_j+1 sqrt(eps_j)",
    truth="the adjoint recursion C_j = w_j I + C_j+1 (I - eps_j/2 (H + I/tau)) in "
    "exact rationals",
    route="RAT LAW",
    tolerance=REPLAYED + ", of both outputs of a difference",
    mistakes=("S03", "S04", "S24", "S25", "S29", "S32", "S33", "S34"),
    needs=("sgld_mean",),
    level="R",
    cases=(
        chain("quadratic d=1", P.QUADRATIC_1, 0.25, NINE, moved=True),
        chain("quadratic d=2", P.QUADRATIC_2, 0.5625, FIVE),
        chain("least squares d=3", P.LEAST_SQUARES_3, 1.5625, FIVE, moved=True),
        chain("indefinite quadratic d=3", P.INDEFINITE_3, 0.25, THREE),
        chain("linear d=2", P.LINEAR_2, 0.75, FIVE, moved=True),
        chain("quadratic d=5", P.QUADRATIC_5, 0.625, THREE, moved=True),
    ),
)
def impulses(w: Witness, p: Problem) -> Iterator[Finding]:
    law = _response(p, w.conventions["sgld.chain"], w.conventions["sgld.output"])
    moves, d = draws_of_chain(w, p).shape[1:]
    z = unit_draws(moves, d)
    outputs = fractions(ask_chain(w, "sgld_mean", p, z))
    runs = chains(w, p, z)
    slack = joined(runs[:1], OUTPUT).tolerance(w)
    yield agree("output of zero draws", outputs[0], law.mean, slack)
    for j, slope in enumerate(law.slopes):
        these = slice(1 + j * d, 1 + (j + 1) * d)
        gains = (outputs[these] - outputs[0]).T
        both = joined(runs[these], OUTPUT).tolerance(w) + d**0.5 * slack
        yield agree(f"response to the draws of move {j + 1}", gains, slope, both)


_MOVES = (
    ("moved", SHIFT_2, chain("waves d=2", P.WAVES_2, 0.625, FIVE, moved=True)),
    ("turned", SWAP_2, chain("mixture d=2", P.MIXTURE_2, 0.25, THREE, n=3)),
    ("turned", CYCLE_3, chain("indefinite d=3", P.INDEFINITE_3, 1.25, FIVE)),
    ("rotated", ROTATION_2, by_fives(chain("wells d=2", P.WELLS_2, 0.375, FIVE))),
    (
        "rotated",
        ROTATION_3,
        by_fives(chain("mixture d=3", P.MIXTURE_3, 0.75, FIVE, n=3, moved=True)),
    ),
    (
        "rotated",
        ROTATION_3,
        by_fives(chain("least squares d=3", P.LEAST_SQUARES_3, 0.25, NINE)),
    ),
)


@check(
    "ALG3-M",
    paper="Algorithm 3",
    claim="f + c changes nothing; output and states move and turn with f, x, start and "
    "draws; the output is the mean of the states, whose last weight moves nothing",
    truth="the subject's own answers to the base problem",
    route="MET",
    tolerance=REPLAYED + ", of both sides",
    mistakes=("S09", "S11", "S12", "S23", "S30", "S38", "S40"),
    any_of=("sgld_mean", "sgld_trace"),
    level="R",
    cases=(
        raised(chain("quadratic d=2", P.QUADRATIC_2, 0.25, FIVE, moved=True), 800),
        raised(chain("waves d=2", P.WAVES_2, 0.75, THREE, n=3), -800),
        raised(chain("wells d=2", P.WELLS_2, 0.375, FIVE), 800),
        *(moved(p, name, move) for name, move, p in _MOVES),
    ),
)
def metamorphic(w: Witness, p: Problem) -> Iterator[Finding]:
    changed, move = p.more["changed"], p.more["move"]
    before, after = chains(w, p), chains(w, changed)
    for method, part in (("sgld_mean", OUTPUT), ("sgld_trace", WITHIN)):
        if w.provides(method):
            slack = joined(before, part).tolerance(w) + joined(after, part).tolerance(w)
            base = move(ask_chain(w, method, p))
            yield agree(method, ask_chain(w, method, changed), base, slack)
    if w.provides("sgld_trace"):
        yield from _average_of_states(w, p)


def _average_of_states(w: Witness, p: Problem) -> Iterator[Finding]:
    """The output against the mean of the trace; the trace without the last weight."""
    trace = fractions(ask_chain(w, "sgld_trace", p))
    outputs, states = (joined(chains(w, p), part) for part in (OUTPUT, WITHIN))
    if w.provides("sgld_mean"):
        # weights add up to one, so that the mean inherits the states' error
        slack = outputs.tolerance(w) + states.tolerance(w)
        weights = _weights(p, w.conventions["sgld.output"])
        mean = np.tensordot(trace, weights, axes=(1, 0))
        yield agree("mean of the states", ask_chain(w, "sgld_mean", p), mean, slack)
    if w.conventions["sgld.chain"] == "literal":
        *steps, last = p.more["step_sizes"]
        other = replace(p, more={**p.more, "step_sizes": (*steps, last / 4)})
        again = ask_chain(w, "sgld_trace", other)
        slack = states.tolerance(w)
        yield agree("states under another last step", again, trace, slack)


def _weights(p: Problem, output: str) -> Any:
    exact, steps = Rational(), [Fraction(e) for e in p.more["step_sizes"]]
    return np.array(replay.state_weights(exact, steps, output))


@cache
def _scaled(p: Problem, factor: float) -> Problem:
    """The same problem with f times a factor."""
    root = factor**0.5
    return replace(p, loss=LeastSquares(p.loss.A * root, p.loss.b * root))


@check(
    "ALG3-B",
    paper="Algorithm 3, (1)",
    claim="on a minibatch the drift has the mean gradient over its B examples, times "
    "1: neither N/B nor B/N",
    truth=BY_ROUTES + "; the two other factors as negative controls",
    route="RAT",
    tolerance=REPLAYED,
    mistakes=("M04", "M13", "X02", "S28"),
    needs=("train",),
    level="R",
    cases=(
        P.training(
            "least squares d=2, N = 6, B = 2",
            P.LEAST_SQUARES_2,
            "sgld",
            (0.25, 0.75),
            step_sizes=THREE,
            start="centre",
            batches=((4, 1), (0, 3)),
        ),
        P.training(
            "least squares d=3, N = 4, B = 3",
            P.LEAST_SQUARES_3,
            "sgld",
            (0.625, 0.375, 1.25),
            step_sizes=FIVE,
            start="centre",
            batches=((3, 0, 1), (2, 1, 3), (0, 2, 1)),
        ),
    ),
)
def minibatch_factor(w: Witness, p: Problem) -> Iterator[Finding]:
    path, truths = ask_training(w, p), training(w, p)
    for k, truth in enumerate(truths[1:], 1):
        yield agree(f"x_{k}", path[k], truth.value, truth.tolerance(w))
    N, B = len(p.loss.b), p.more["batches"].shape[1]
    for name, factor in (("N/B", N / B), ("B/N", B / N)):
        wrong = training(w, _scaled(p, factor))[1]
        gap = size(np.subtract(wrong.value, truths[1].value).tolist())
        yield differs(f"x_1 against factor {name}", path[1], wrong.value, gap / 2)
