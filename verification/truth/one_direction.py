"""Exact laws of Algorithms 3, 4 and 5 where the loss sees one direction only.

An image of two classes without a hidden layer, however often it is repeated, and least
squares whose rows are multiples of one another see one direction, e of length 1:

    f(y) = g(e.y),   g(c) = log(1 + exp(-k c))   or   g(c) = h (c - m)^2 / 2 + const.

The part along e of a standard normal vector is a standard normal number, whatever there
is across.  So what the algorithms make of two draws has along e a distribution function
that is an integral over one of them: trapezoidal sums of analytic integrands, which
leave an error of e^-40 (Trefethen and Weideman, 2014, section 5).  Its normal scores
are independent standard normals in a right subject.  The weights of Algorithm 4 have
such a law also for least squares of the same curvature in two directions.

The other route (functions ending in ``_dense``) reads nothing from the fields of the
loss: it asks the loss for values and gradients in the whole space, finds the borders
of events by bisection, and integrates by Gauss-Legendre panels.

How precise need this be?  An error of a score, the same in every replicate, is evidence
of an error of a mean: over n replicates it adds n times its size, at most, to log E and
to a certificate.  1e-10 of each score is less than 1e-5 of the evidence that decides.

Everything is float64.  `x`, `start` and outputs have d entries, `tau` is a variance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, i0e, log_expit, log_ndtr, logsumexp, ndtr, ndtri_exp

from verification.truth.output_laws import FAR, output_weights

__all__ = [
    "OneDirection",
    "chain_scores",
    "chain_scores_dense",
    "descent_scores",
    "descent_scores_dense",
    "pair_of_samples",
    "seen",
    "weight_scores",
    "weight_scores_dense",
]

Array = npt.NDArray[np.float64]
Real = Callable[[Any], Any]

ERROR = 40.0  # minus the log of what a trapezoidal sum leaves
ENDS = 12.0  # of normal numbers: beyond is less than e^-72 of them
FARTHEST = 700.0  # log-weights are cut here, so that exp does not overflow
HALVINGS = 60  # of a distance, until rounding is all that is left
PANELS = 48  # of the other route, at least
LAST, FARTHER = 9.0, 18.0  # of the first and the second in the other route


@dataclass(frozen=True, eq=False)
class OneDirection:
    """What a loss sees, and how it bends there.

    Attributes
    ----------
    along : ndarray, shape (d,)
        e, of length 1.
    k : float
        Of a network: the logit of the label less the other one is k e.y.
    h, m : float
        Of least squares: curvature and minimiser.
    """

    along: Array
    k: float = 0.0
    h: float = 0.0
    m: float = 0.0


def seen(loss: Any) -> OneDirection:
    """Return the one direction that a loss sees.

    Raises
    ------
    ValueError
        If it sees others, or is neither a network of two classes without a hidden
        layer nor a least-squares loss.
    """
    if loss.kind == "least_squares":
        rows = np.asarray(loss.A)
    elif loss.kind == "network" and len(loss.sizes) == 2 and loss.sizes[1] == 2:
        rows = np.hstack([loss.images, np.ones((len(loss.images), 1))])
    else:
        raise ValueError(f"a loss of this kind sees more than one direction: {loss}")
    unit = rows[-1] / np.linalg.norm(rows[-1])
    lengths = rows @ unit
    if not np.allclose(np.outer(lengths, unit), rows, rtol=1e-12, atol=1e-12):
        raise ValueError("the rows are not multiples of one another")
    if loss.kind == "least_squares":
        h = float(np.mean(lengths**2))
        return OneDirection(unit, h=h, m=float(np.mean(lengths * loss.b)) / h)
    if len(set(loss.labels.tolist())) > 1:
        raise ValueError("the image has two labels")
    own = np.where(np.arange(2) == loss.labels[0], 1.0, -1.0)
    along = np.kron(unit, own / np.sqrt(2))
    return OneDirection(along, k=float(np.sqrt(2) * lengths[-1]))


def _trapezoid(growth: Real, widest: float, ends: tuple[float, float]) -> Array:
    """Nodes of a rule whose error is exp(-`ERROR`).

    In the strip |Im z| < w the integrand is analytic and at most exp(growth(w)) times
    what it is on the line: the error is exp(growth(w) - 2 pi w/step).  Of the strips up
    to the widest that one is taken which allows the longest step.
    """
    widths = widest * np.linspace(0.05, 1.0, 20)
    steps = [2 * np.pi * w / (ERROR + growth(w)) for w in widths]
    return np.arange(ends[0], ends[1] + max(steps), max(steps))


def _score(log_below: Array, log_above: Array) -> Array:
    """Normal scores from the logs of both tails: the smaller has the digits."""
    total = np.logaddexp(log_below, log_above)
    below, above = log_below - total, log_above - total
    return np.where(below < above, ndtri_exp(below), -ndtri_exp(above))


# --- Algorithm 4 ----------------------------------------------------------------------


def weight_scores(
    loss: Any, x: npt.ArrayLike, tau: float, weights: npt.ArrayLike
) -> Array:
    """Return standard normals for the weights of Algorithm 4 with J = 2.

    log(w^1/w^2) = g(c_2) - g(c_1) is as likely positive as negative.  For t >= 0, with
    s_i = k c_i independent N(k e.x, k^2 tau),

        P(g(c_2) - g(c_1) > t) = E P(s_2 < -log(exp(t)(1 + exp(-s_1)) - 1) | s_1),

    For least squares with the curvature h in one direction or in two, it is h tau r.v
    with independent v ~ N(0, I) and r ~ N(mu, I), mu what is seen of x - m times
    sqrt(2/tau): E Phi(-t/(h tau |r|)), in log |r|.

    Parameters
    ----------
    weights : array_like, shape (n, 2)
        Normalised or not.

    Returns
    -------
    ndarray, shape (n, 1)
    """
    ratio = _log_ratio(weights)
    tail = _logistic_tail if loss.kind == "network" else _parabolic_tail
    log_tail = tail(loss, np.asarray(x, dtype=float), tau, np.abs(ratio)[:, None])
    scores = -np.sign(ratio) * ndtri_exp(np.minimum(log_tail, -np.log(2)))
    return np.asarray(scores[:, None])


@np.errstate(divide="ignore", invalid="ignore")
def _log_ratio(weights: npt.ArrayLike) -> Array:
    """log(w^1/w^2), cut to `FARTHEST`: (n,)."""
    first, second = np.log(np.asarray(weights, dtype=float)).T
    cut = np.clip(first - second, -FARTHEST, FARTHEST)
    return np.asarray(np.where(np.isnan(cut), FARTHEST, cut))


def _logistic_tail(loss: Any, x: Array, tau: float, t: Array) -> Array:
    """The log of P(g(c_2) - g(c_1) > t) for t (n, 1): (n,).

    Both normal densities grow as exp(w^2/2) in the strip; the logistic function has
    its first pole at i pi.
    """
    d = seen(loss)
    deviation, mean = d.k * np.sqrt(tau), d.k * float(d.along @ x)
    widest = np.pi / (2 * deviation)
    z = _trapezoid(lambda w: w * w, widest, (-ENDS, ENDS))
    other = -np.logaddexp(_log_expm1(t), t - mean - deviation * z)
    logs = -0.5 * z**2 + log_ndtr((other - mean) / deviation)
    total: Array = logsumexp(logs, axis=1) - logsumexp(-0.5 * z**2)
    return total


@np.errstate(divide="ignore")
def _log_expm1(t: Array) -> Array:
    """log(e^t - 1) for t >= 0."""
    return np.asarray(t + np.log(-np.expm1(-t)))


def _parabolic_tail(loss: Any, x: Array, tau: float, t: Array) -> Array:
    """The log of P(h tau r.v > t) for t (n, 1): (n,).

    |r| has a density proportional to exp(-(|r| - |mu|)^2/2) times cosh(|r||mu|) or, in
    two directions, |r| I_0(|r||mu|), over exp(|r||mu|).  At Im log |r| = w <= pi/8,
    Re (|r| - |mu|)^2 falls to -0.21 |mu|^2, and Phi is bounded.
    """
    rank, h, away = _bowl(loss, x)
    mu = np.sqrt(2 / tau) * away
    ends = (-ERROR, np.log(mu + ENDS))
    y = _trapezoid(lambda _: 0.11 * mu**2, np.pi / 8, ends)
    r = np.exp(y)
    bend = np.log1p(np.exp(-2 * r * mu)) if rank == 1 else y + np.log(i0e(r * mu))
    log_weights = y - 0.5 * (r - mu) ** 2 + bend
    logs = log_weights + log_ndtr(-t / (h * tau * r))
    total: Array = logsumexp(logs, axis=1) - logsumexp(log_weights)
    return total


def _bowl(loss: Any, x: Array) -> tuple[int, float, float]:
    """Rank and curvature of least squares, and how far x is from where they are least.

    Raises
    ------
    ValueError
        If the curvature is not the same in the one or two directions that are seen.
    """
    _, lengths, rows = np.linalg.svd(loss.A)
    rank = int(np.sum(lengths > 1e-9 * lengths[0]))
    if rank > 2 or not np.isclose(lengths[0], lengths[rank - 1], rtol=1e-12):
        raise ValueError(f"the curvature differs: {lengths} in {rank} directions")
    away = rows[:rank] @ (x - np.linalg.lstsq(loss.A, loss.b)[0])
    h = float(np.mean(lengths[:rank] ** 2)) / loss.b.size
    return rank, h, float(np.linalg.norm(away))


def weight_scores_dense(
    loss: Any, x: npt.ArrayLike, tau: float, weights: npt.ArrayLike
) -> Array:
    """Return the scores of `weight_scores` from values of the loss, which is convex."""
    line, unit = _line(loss, x), np.sqrt(tau)
    z, mass = _gauss_legendre(np.linspace(-LAST, LAST, PANELS + 1))
    values = line(unit * z)
    least = z[values.argmin()]
    scores = []
    for ratio in _log_ratio(weights).tolist():
        levels = values + abs(ratio)
        beyond = np.zeros_like(z)
        for end in (-FARTHER, FARTHER):
            ends = (np.full_like(z, least), np.full_like(z, end))
            border = _bisected(partial(_above, line, unit, levels), *ends)
            beyond += ndtr(-np.sign(end) * border)
        scores.append(-np.sign(ratio) * ndtri_exp(np.log(mass @ beyond)))
    return np.array(scores)[:, None]


def _gauss_legendre(edges: Array) -> tuple[Array, Array]:
    """Nodes (K,) in panels, and what of N(0, 1) each of them stands for."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    z = (middle + half * nodes).ravel()
    mass = (half * weights).ravel() * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return z, mass


def _line(loss: Any, x: npt.ArrayLike) -> Real:
    """The loss at x + c e, for c (n,)."""
    along, centre = seen(loss).along, np.asarray(x, dtype=float)
    return lambda c: np.asarray(loss(centre + np.multiply.outer(c, along)))


def _above(line: Real, unit: float, levels: Array, z: Array) -> Any:
    return line(unit * z) > levels


def _bisected(holds: Callable[[Array], Any], never: Array, ever: Array) -> Array:
    """Where something begins to hold between where it does not and where it may."""
    for _ in range(HALVINGS):
        middle = (never + ever) / 2
        there = holds(middle)
        never, ever = np.where(there, never, middle), np.where(there, middle, ever)
    return ever


def pair_of_samples(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    outputs: npt.ArrayLike,
    weights: npt.ArrayLike,
) -> Array:
    """Return the two samples of Algorithm 4 with J = 2 on a network, as normals.

    Weights and output determine the samples along e: with w^1 >= w^2 by name, the
    second follows from the first,

        s_2 = -log(exp(l)(1 + exp(-s_1)) - 1) <= s_1,   l = log(w^1/w^2),

    and w^1 s_1 + w^2 s_2(s_1) is increasing and concave, with a slope of at least a
    half and of one at most.  Newton's method comes from the left, where s_1 is the
    output itself, stays there, and at least halves the distance at every step.

    Returns
    -------
    ndarray, shape (n, 2)
        (s_j - k e.x)/(k sqrt(tau)) in the order of the weights, and so independent
        standard normals in a right subject.
    """
    d, ratio = seen(loss), _log_ratio(weights)
    size, larger = np.abs(ratio), expit(np.abs(ratio))
    points = np.clip(np.asarray(outputs, dtype=float), -FAR, FAR)
    first = target = d.k * (points @ d.along)
    for _ in range(HALVINGS):
        second = -np.logaddexp(_log_expm1(size), size - first)
        slope = larger + (1 - larger) * np.exp(size - first + second)
        first = first + (target - larger * first - (1 - larger) * second) / slope
    second = -np.logaddexp(_log_expm1(size), size - first)
    pair = np.where(ratio >= 0, [first, second], [second, first])
    mean = d.k * float(d.along @ np.asarray(x, dtype=float))
    return np.asarray((pair.T - mean) / (d.k * np.sqrt(tau)))


# --- Algorithm 5 ----------------------------------------------------------------------


def descent_scores(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    inner_samples: int,
    outputs: npt.ArrayLike,
) -> Array:
    """Return standard normals for outputs of Algorithm 5 from two samples, a network's.

    They are two samples of one move, or one of each of two moves.  A sample's gradient
    is -k p e with p = 1/(1 + exp(s)), s a normal number, and the output's distance
    from x along e a positive multiple of y = beta p_1 + p_2, where

        one move:   beta = 1,                 s_2 ~ N(k e.x, k^2 tau),
        two moves:  beta = (1 - a_2) a_1/a_2, s_2 ~ N(k e.x + a_1 tau k^2 p_1, k^2 tau)

    given p_1.  Where 0 < y - beta p_1 < 1, P(p_2 <= y - beta p_1) is that of a normal
    number; elsewhere it is 0 or 1.  The borders are mapped to infinity by a logistic
    function, whose poles, and all that become of them, are at i pi.

    Parameters
    ----------
    step_sizes : array_like
        Those of the moves made: one with `inner_samples` 2, or two with 1.
    outputs : array_like, shape (n, d)

    Returns
    -------
    ndarray, shape (n, 1)
        Infinite beyond what two gradients can do.

    Raises
    ------
    ValueError
        If there are not two samples, or a_2 >= 1.
    """
    d, a = seen(loss), np.asarray(step_sizes, dtype=float)
    scale, beta, turn = _two_gradients(d, tau, a, inner_samples)
    centre = np.asarray(x, dtype=float)
    away = np.clip(np.asarray(outputs, dtype=float) - centre, -FAR, FAR)
    y = (away @ d.along / scale)[:, None]
    mean, deviation = d.k * float(d.along @ centre), d.k * np.sqrt(tau)
    low, high = np.clip((y - 1) / beta, 0, 1), np.clip(y / beta, 0, 1)

    def growth(w: float) -> float:
        return (w**2 + (w + turn / 2 * np.tan(w / 2)) ** 2) / (2 * deviation**2)

    u = _trapezoid(growth, np.pi / 2, (-ERROR, ERROR))
    with np.errstate(divide="ignore", invalid="ignore"):
        span = np.log(high - low)
        up, down = np.exp(span + log_expit(u)), np.exp(span + log_expit(-u))
        p, q = low + up, 1 - high + down  # and 1 - p, each with its digits
        z = (np.log(q) - np.log(p) - mean) / deviation
        odds = np.log(np.maximum(y - beta, 0) + beta * down)
        odds -= np.log(np.maximum(1 - y, 0) + beta * up)
        second = (odds + mean + turn * p) / deviation
        mass = -0.5 * z**2 - np.log(p) - np.log(q) + log_expit(u) + log_expit(-u)
        mass += span + np.log((u[1] - u[0]) / (deviation * np.sqrt(2 * np.pi)))
        ends = [(np.log(v) - np.log1p(-v) + mean) / deviation for v in (low, high)]
    sides = []
    for outside, given in ((ends[0], second), (-ends[1], -second)):
        logs = np.hstack([log_ndtr(outside), mass + log_ndtr(given)])
        sides.append(logsumexp(np.where(np.isnan(logs), -np.inf, logs), axis=1))
    return np.asarray(_score(*sides)[:, None])


def _two_gradients(
    d: OneDirection, tau: float, a: Array, inner_samples: int
) -> tuple[float, float, float]:
    """What multiplies y, beta, and by how much p_1 moves the mean of s_2."""
    if (a.size, inner_samples) == (1, 2):
        return float(a[0] * tau * d.k / 2), 1.0, 0.0
    if (a.size, inner_samples) != (2, 1) or a[1] >= 1:
        raise ValueError(f"two samples, got steps {a} of {inner_samples} samples each")
    beta = (1 - a[1]) * a[0] / a[1]
    return float(a[1] * tau * d.k), float(beta), float(a[0] * tau * d.k**2)


def descent_scores_dense(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    inner_samples: int,
    outputs: npt.ArrayLike,
) -> Array:
    """Return the scores of `descent_scores` from gradients of the loss."""
    a, along = np.asarray(step_sizes, dtype=float), seen(loss).along
    pull, unit = _slope_along(loss, x), np.sqrt(tau)

    def needed(t: float, z: Array) -> tuple[Array, Array]:
        """The state of the second sample, and the gradient there that leads to t."""
        first = pull(unit * z)
        if inner_samples == 2:
            return 0 * z, -2 * t / (a[0] * tau) - first
        state = -a[0] * tau * first
        return state, ((1 - a[1]) * state - t) / (a[1] * tau)

    def never(t: float, z: Array) -> Any:
        """Whether no second sample up to either end has so large a gradient."""
        state, least = needed(t, z)
        return pull(state + unit * ends) < least

    def larger(state: Array, least: Array, z: Array) -> Any:
        return pull(state + unit * z) > least

    scores, ends = [], np.array([-FARTHER, FARTHER])
    away = np.asarray(outputs, dtype=float) - np.asarray(x, dtype=float)
    for t in (away @ along).tolist():
        corners = _bisected(partial(never, t), 0 * ends + FARTHER, 0 * ends - FARTHER)
        z, mass = _gauss_legendre(_graded(corners))
        holds = partial(larger, *needed(t, z))
        borders = _bisected(holds, 0 * z - FARTHER, 0 * z + FARTHER)
        below, above = (np.log(mass @ ndtr(sign * borders)) for sign in (-1, 1))
        scores.append(_score(below, above))
    return np.array(scores)[:, None]


def _slope_along(loss: Any, x: npt.ArrayLike) -> Real:
    """The derivative along e at x + c e, for c (n,)."""
    along, centre = seen(loss).along, np.asarray(x, dtype=float)
    return lambda c: np.asarray(
        loss.gradient(centre + np.multiply.outer(c, along)) @ along
    )


def _graded(corners: Array) -> Array:
    """Edges of panels that become short towards the corners of an integrand."""
    near = 2.0 ** -np.arange(50)
    edges = [np.linspace(-LAST, LAST, PANELS + 1), corners]
    edges += [c + side * near for c in corners for side in (-1, 1)]
    return np.unique(np.clip(np.concatenate(edges), -LAST, LAST))


# --- Algorithm 3 ----------------------------------------------------------------------


def chain_scores(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    outputs: npt.ArrayLike,
    *,
    start: npt.ArrayLike | None = None,
    chain: str = "literal",
    output: str = "weighted-mean",
) -> Array:
    """Return standard normals for outputs of Algorithm 3 from two moves, along e.

    With c_1, c_2, c_3 the parts of the states along e, c_2 is normal, and given c_2
    the output sum_j w_j c_j is, with the mean

        A(c_2) = w_1 c_1 + w_2 c_2 + w_3 {c_2 - eps_2/2 (g'(c_2) + (c_2 - e.x)/tau)}

    and the deviation w_3 sqrt(eps_2).  A is analytic up to the first pole of the
    logistic function.

    Parameters
    ----------
    step_sizes : array_like
        Three of the literal chain, two of new states.
    outputs : array_like, shape (n, d)

    Returns
    -------
    ndarray, shape (n, 1)

    Raises
    ------
    ValueError
        If there are not two moves.
    """
    d, (eps, w) = seen(loss), _two_moves(step_sizes, chain, output)
    ends = (x, x if start is None else start)
    centre, first = (float(d.along @ np.asarray(y, dtype=float)) for y in ends)
    mean = first - eps[0] / 2 * (_derivative(d, first) + (first - centre) / tau)
    one, two = np.sqrt(eps)
    kept = w[1] + w[2] * (1 - eps[1] / 2 * (d.h + 1 / tau))

    def growth(v: float) -> float:
        bend = w[2] * eps[1] / 4 * d.k * np.tan(d.k * one * v / 2)
        return v**2 / 2 + ((abs(kept) * one * v + bend) / (w[2] * two)) ** 2 / 2

    widest = min(np.pi / (2 * d.k * one), 2.0) if d.k else 2.0
    z = _trapezoid(growth, widest, (-ENDS, ENDS))
    c = mean + one * z
    drift = _derivative(d, c) + (c - centre) / tau
    average = w[0] * first + w[1] * c + w[2] * (c - eps[1] / 2 * drift)
    points = np.clip(np.asarray(outputs, dtype=float), -FAR, FAR)
    t = ((points @ d.along)[:, None] - average) / (w[2] * two)
    sides = [logsumexp(log_ndtr(s * t) - 0.5 * z**2, axis=1) for s in (1, -1)]
    return np.asarray(_score(*sides)[:, None])


def _two_moves(
    step_sizes: npt.ArrayLike, chain: str, output: str
) -> tuple[Array, Array]:
    """The steps of two moves and the weights of the start and of two new states."""
    steps, weights = np.asarray(step_sizes, float), output_weights(step_sizes, output)
    if chain == "new-states":
        weights = np.append(0.0, weights)
    else:
        steps = steps[:-1]
    if steps.size != 2:
        raise ValueError(f"the law is that of two moves, got {steps.size}")
    return steps, weights


def _derivative(d: OneDirection, c: Any) -> Any:
    """g'(c)."""
    return -d.k * expit(-d.k * c) if d.k else d.h * (c - d.m)


def chain_scores_dense(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    outputs: npt.ArrayLike,
    *,
    start: npt.ArrayLike | None = None,
    chain: str = "literal",
    output: str = "weighted-mean",
) -> Array:
    """Return the scores of `chain_scores` from chains in the whole space."""
    along, (eps, w) = seen(loss).along, _two_moves(step_sizes, chain, output)
    centre = np.asarray(x, dtype=float)
    z, mass = _gauss_legendre(np.linspace(-LAST, LAST, PANELS + 1))
    states = [np.tile(centre if start is None else start, (len(z), 1))]
    for step, noise in zip(eps, (np.sqrt(eps[0]) * z, 0 * z), strict=True):
        y = states[-1]
        drift = loss.gradient(y) + (y - centre) / tau
        states.append(y - step / 2 * drift + np.multiply.outer(noise, along))
    average = np.tensordot(w, states, axes=1) @ along
    scores = []
    for value in np.asarray(outputs, dtype=float) @ along:
        t = (value - average) / (w[2] * np.sqrt(eps[1]))
        below, above = (np.log(mass @ ndtr(sign * t)) for sign in (1, -1))
        scores.append(_score(below, above))
    return np.array(scores)[:, None]
