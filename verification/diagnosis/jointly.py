"""The coefficients of Algorithms 3 and 5, solved for from outputs alone.

`verification.diagnosis.affine` reads every coefficient by itself, which takes starts
that can be chosen and the digits of double precision.  Where a subject lacks one of
them a recursion is supposed,

    y_l = y_{l-1} - a_l grad f(y_{l-1}) + p_l (anchor x - y_{l-1}) + c_l s z_l,
    output = sum_l w_l y_l,

in which a, p and c are numbers times powers of step and tau.  Those numbers are solved
for, on quadratics with three variances and chains from the centre: there are seven
outputs or more for each of them, and all must be explained to a few thousand units of
roundoff.  Single precision holds every number of the problems.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verification.diagnosis.newton import descended, simplest
from verification.diagnosis.outputs import (
    BEGINNINGS,
    CHAIN_OUTPUTS,
    DESCENT_OUTPUTS,
    STALE,
    Beginning,
    Rule,
    begun,
    smoothed,
)
from verification.diagnosis.power import Power
from verification.diagnosis.words import HALF, PULL, ROOT, SLOPE, SPREAD, STEP
from verification.losses import Quadratic

__all__ = ["INNER", "Problem", "Solved", "explaining", "problems"]

Array = NDArray[np.float64]
Laws = tuple[Power, Power, Power]

TAUS = (0.5, 1.25, 2.0)
SCHEDULES = (
    (0.3125, 0.125, 0.21875, 0.15625),
    (0.140625, 0.28125, 0.09375, 0.203125),
    (0.234375, 0.171875, 0.375, 0.109375),
)
CURVATURES = np.array([0.25, 0.875, 1.5, 2.25])
MINIMUM = np.array([0.3125, -0.75, 1.0625, -0.25])
CENTRE = np.array([1.375, -1.5, -0.625, 1.875])
REPLICATES, INNER = 3, 2

#: Where the search begins; the factors are 1 where all is right.
STARTS = ((1.0, 1.0, 1.0), (2.0, 2.0, 1.0), (-1.0, 1.0, 1.0), (1.0, -1.0, 1.0))
RATES = (0.25, 0.75)  # of an exponential average, where its search begins

#: Other powers of step and tau than the right ones: of the noise, or of one term.
NOISE = [(p, q) for p in (0.5, 1.0, 0.0) for q in (0.0, 0.5, -0.5, 1.0, -1.0)][1:]
CHAINS: tuple[Laws, ...] = (
    (HALF, PULL, ROOT),
    *((HALF, PULL, Power(1.0, p, q)) for p, q in NOISE),
    *((HALF, replace(PULL, of_tau=q), ROOT) for q in (0.0, -0.5, -2.0, 1.0)),
    *((replace(HALF, of_tau=q), PULL, ROOT) for q in (1.0, -1.0, 0.5, -0.5)),
)
DESCENTS: tuple[Laws, ...] = (
    (SLOPE, STEP, SPREAD),
    *((SLOPE, STEP, replace(SPREAD, of_tau=q)) for q in (0.0, 1.0, -0.5, -1.0)),
    *((SLOPE, replace(STEP, of_tau=q), SPREAD) for q in (1.0, -1.0)),
    *((replace(SLOPE, of_tau=q), STEP, SPREAD) for q in (0.0, 0.5, 2.0)),
)


@dataclass(frozen=True, eq=False)
class Problem:
    """What is asked, with draws (n, moves, d), or (n, moves, M, d) of Algorithm 5."""

    loss: Quadratic
    x: Array
    tau: float
    steps: Array
    draws: Array


def problems(moves: int, *, fewer: bool, inner: bool) -> list[Problem]:
    """One for each variance.

    Parameters
    ----------
    moves : int
        Four, or three where `fewer`.
    fewer : bool
        Whether there is one move less than there are steps.
    inner : bool
        Whether there are draws for samples within a move.
    """
    rng = np.random.default_rng(3)
    shape = (REPLICATES, moves, *([INNER] if inner else []), len(CENTRE))
    loss = Quadratic(np.diag(CURVATURES), MINIMUM)
    return [
        Problem(
            loss,
            CENTRE,
            tau,
            np.array(steps[: moves + fewer]),
            np.round(64 * rng.standard_normal(shape)) / 64,
        )
        for tau, steps in zip(TAUS, SCHEDULES, strict=True)
    ]


@dataclass(frozen=True)
class Solved:
    """What explains all outputs.

    Attributes
    ----------
    gradient, pull, noise : Power
        As in `verification.diagnosis.words`.
    anchor : float
    stale : str
        A key of `verification.diagnosis.outputs.STALE`.
    output : Rule
    """

    gradient: Power
    pull: Power
    noise: Power
    anchor: float
    stale: str
    output: Rule


@dataclass(frozen=True)
class _Model:
    """What is supposed; the numbers before the powers are solved for.

    Attributes
    ----------
    laws : tuple of Power
        Of gradient, pull and noise, right for the factor 1.
    output : Rule or None
        None for an exponential average, whose rate is solved for.
    stale : str
    towards : bool
        Whether the anchor is solved for.
    beginning : Beginning or None
        Of an exponential average that does not begin at the first state.
    """

    laws: Laws
    output: Rule | None
    stale: str = ""
    towards: bool = False
    beginning: Beginning | None = None

    @property
    def starts(self) -> Iterator[Array]:
        """Where the search begins: gradient, pull, noise, anchor and rate, if any."""
        anchor = [1.0] if self.towards else []
        usual = self.laws in (CHAINS[0], DESCENTS[0]) and not (anchor or self.stale)
        for factors in STARTS if usual else STARTS[:1]:
            for rate in [[]] if self.output else [[rate] for rate in RATES]:
                yield np.array([*factors, *anchor, *rate])

    def solved(self, theta: Array, last: str) -> Solved:
        """With these numbers; `last` is what an output should be."""
        laws = [
            replace(law, factor=law.factor * factor) if factor else Power(0.0)
            for law, factor in zip(self.laws, theta[:3].tolist(), strict=True)
        ]
        anchor = float(theta[3]) if self.towards and theta[1] else 1.0
        output = self.output or (
            begun(float(theta[-1]), self.beginning)
            if self.beginning
            else smoothed(float(theta[-1]), last)
        )
        return Solved(laws[0], laws[1], laws[2], anchor, self.stale, output)


def explaining(
    asked: Sequence[Problem], outputs: Array, within: float, *, traced: bool
) -> Solved | None:
    """What explains outputs; None if nothing does.

    Parameters
    ----------
    asked : sequence of Problem
    outputs : ndarray, shape (problems, n, d)
    within : float
        What may be left of one, relative to their size.
    traced : bool
        Whether the outputs are last states.
    """
    inner = asked[0].draws.ndim == 4
    laws = DESCENTS if inner else CHAINS
    known: tuple[Rule | None, ...] = (
        *(DESCENT_OUTPUTS if inner else CHAIN_OUTPUTS),
        None,
    )
    if traced:
        known = DESCENT_OUTPUTS[:1] if inner else CHAIN_OUTPUTS[1:2]
    right = "the last one" if inner else "the eps-weighted mean"
    within *= max(1.0, float(np.abs(outputs).max()))
    for model in _models(laws, known):

        def residual(rows: Array, model: _Model = model) -> Array:
            with np.errstate(all="ignore"):
                return (_played(model, rows, asked) - outputs).reshape(len(rows), -1)

        for start in model.starts:
            theta, left = simplest(residual, descended(residual, start), within)
            if left <= within and (model.output or 0 < theta[-1] < 1):
                return model.solved(theta, right)
    return None


def _models(laws: Sequence[Laws], known: Sequence[Rule | None]) -> Iterator[_Model]:
    """The most usual first; one thing at a time besides the output."""
    for output in known:
        yield _Model(laws[0], output)
    if laws is CHAINS and None in known:
        # from the centre an average begun there is one that begins at the first state
        for beginning in BEGINNINGS:
            if beginning.place != "centre" or not beginning.skips:
                yield _Model(laws[0], None, beginning=beginning)
    for output in known:
        yield _Model(laws[0], output, towards=True)
    for stale in [*STALE][1:]:
        for output in known:
            yield _Model(laws[0], output, stale)
    for others in laws[1:]:
        for output in known:
            yield _Model(others, output)


def _played(model: _Model, theta: Array, asked: Sequence[Problem]) -> Array:
    """The outputs for rows of numbers (Q, k): (Q, problems, n, d)."""
    z = np.stack([problem.draws for problem in asked])
    steps = np.stack([STALE[model.stale](problem.steps) for problem in asked])
    taus = np.array([problem.tau for problem in asked])[:, None]
    rows = theta[:, :3, None, None]
    a, p, c = (
        rows[:, k] * law.factor * steps**law.of_step * taus**law.of_tau
        for k, law in enumerate(model.laws)
    )
    anchor = theta[:, 3, None, None, None] if model.towards else 1.0
    noise = z
    if z.ndim == 5:  # problems, n, moves, M, d: the gradient is taken at samples
        noise, c = -CURVATURES * z.mean(axis=3), a * c
    y = np.broadcast_to(CENTRE, (len(theta), *noise[:, :, 0].shape))
    states = [y]
    for move in range(noise.shape[2]):
        of_move = [part[:, :, move, None, None] for part in (a, p, c)]
        drift = of_move[0] * CURVATURES * (y - MINIMUM)
        pull = of_move[1] * (anchor * CENTRE - y)
        y = y - drift + pull + of_move[2] * noise[:, :, move]
        states.append(y)
    if z.ndim == 4 and len(states) > steps.shape[1]:
        del states[0]  # new states alone are averaged
    weights = _weights(model, theta, asked, len(states))
    outputs = np.einsum("qtj,jqtnd->qtnd", weights, np.stack(states))
    if model.beginning is not None and model.beginning.place == "centre":
        kept = (1 - theta[:, -1]) ** model.beginning.updates(len(states))
        outputs = outputs + kept[:, None, None, None] * CENTRE
    return np.asarray(outputs)


def _weights(
    model: _Model, theta: Array, asked: Sequence[Problem], count: int
) -> Array:
    """The weights of the states, (Q, problems, count)."""
    if model.output is not None:
        inner = asked[0].draws.ndim == 4
        rule = model.output.weights
        rows = [rule(np.ones(count) if inner else problem.steps) for problem in asked]
        return np.broadcast_to(np.stack(rows), (len(theta), len(asked), count))
    rate = theta[:, -1:]
    if model.beginning is not None:
        weights = model.beginning.weights(rate[:, 0], count)
        return np.broadcast_to(weights[:, None], (len(theta), len(asked), count))
    weights = rate * (1 - rate) ** np.arange(count - 1.0, -1.0, -1.0)
    weights[:, 0] /= rate[:, 0]
    return np.broadcast_to(weights[:, None], (len(theta), len(asked), count))
