"""Exact laws of what Algorithms 3, 4 and 5 return, each derived twice.

Losses whose gradient is affine (constant, linear, quadratic, least_squares) make
Algorithms 3 and 5 affine maps of their draws: the outputs are exactly Gaussian, for
every schedule, however few or unstable the steps.  Two routes, which share no formula:

- *adjoint*, and forward recursion for Algorithm 5: one number per eigenvalue of the
  curvature, read from the fields of the loss;
- *dense* (functions ending in ``_dense``): all states at once from one linear system
  in all draws, whose matrix is probed from the gradient of the loss itself.

Algorithm 4 divides by a random sum, and is Gaussian only where the weights are equal
or given.  For two samples and a linear loss the law given the weights is Gaussian, and
the conditional distribution functions turn outputs into independent standard normals
(Rosenblatt, 1952).

Everything is float64.  `x` and `start` have shape (d,), `tau` is a variance,
`step_sizes` are eps_1, ..., eps_J of Algorithm 3 or a^1, ..., a^J of Algorithm 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular
from scipy.special import expit, log_ndtr, logsumexp, ndtri, ndtri_exp

__all__ = [
    "Degenerate",
    "Gaussian",
    "flat_scores",
    "flat_scores_dense",
    "importance",
    "importance_dense",
    "output_weights",
    "pair_scores",
    "pair_scores_dense",
    "restricted",
    "robbins_monro",
    "robbins_monro_dense",
    "sgld",
    "sgld_dense",
    "sgld_joint",
    "sgld_joint_dense",
    "sgld_run",
    "sgld_run_dense",
    "sgld_state",
    "sgld_state_dense",
]

Array = npt.NDArray[np.float64]
Density = Callable[[Array], Array]  # (n,) -> (n, K)

CHAINS = ("literal", "new-states")
MOVES = ("J", "J-1")

FAR = 1e100  # deviations are cut here, so that their squares are finite
REACH = 18.0  # of samples N(0, 1): densities are integrated up to here
SINGULAR = 1e-12  # of a variance: what rounding leaves of an exact dependence


class Degenerate(ValueError):
    """The law has no density: some combination of its coordinates is constant."""


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, covariance), with shapes (D,) and (D, D)."""

    mean: Array
    covariance: Array

    def factor(self) -> Array:
        """Return the lower Cholesky factor of the covariance, (D, D).

        Raises
        ------
        Degenerate
            If the covariance is singular, to twelve digits.
        """
        try:
            factor = np.linalg.cholesky(self.covariance).astype(np.float64)
        except np.linalg.LinAlgError as error:
            raise Degenerate("the covariance is not positive definite") from error
        left = np.diagonal(factor) ** 2 / np.diagonal(self.covariance)
        if left.min() < SINGULAR:
            raise Degenerate(f"the covariance is singular: a pivot of {left.min():.0e}")
        return np.asarray(factor)

    def whiten(self, outputs: npt.ArrayLike) -> Array:
        """Return independent standard normals for outputs of this law.

        Parameters
        ----------
        outputs : array_like, shape (n, D)

        Returns
        -------
        ndarray, shape (n, D)
            u with L u = output - mean, L the Cholesky factor.

        Raises
        ------
        Degenerate
            If the covariance is singular.
        """
        away = np.clip(np.asarray(outputs, dtype=float) - self.mean, -FAR, FAR)
        scores: Array = solve_triangular(self.factor(), away.T, lower=True).T
        return scores


# --- Algorithm 3 ----------------------------------------------------------------------


def sgld(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    *,
    start: npt.ArrayLike | None = None,
    chain: str = "literal",
    output: str = "weighted-mean",
) -> Gaussian:
    """Return the law of the output of Algorithm 3, by the adjoint recursion.

    With beta = lambda + 1/tau for an eigenvalue lambda of the curvature,

        c_J = w_J,   c_j = w_j + (1 - eps_j beta/2) c_{j+1},
        mean = c_1 x^1 + sum_j c_{j+1} (eps_j/2) b,   variance = sum_j c_{j+1}^2 eps_j,

    w_j = eps_j / sum eps, and b = lambda m + x/tau in that eigendirection.

    Parameters
    ----------
    chain : {"literal", "new-states"}
        Whether the start is x^1, with weight eps_1, and there are J-1 moves, or the
        J states that J moves produce are averaged.
    output : str
        ``"weighted-mean"``, or ``"exponential-average:RATE"``: the first averaged
        state, then a <- (1 - rate) a + rate y for each later one.

    References
    ----------
    Algorithm 3.
    """
    weights = output_weights(step_sizes, output)[None]
    return _adjoint(loss, x, tau, step_sizes, start, chain, weights)


def sgld_joint(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    *,
    start: npt.ArrayLike | None = None,
    chain: str = "literal",
    output: str = "weighted-mean",
) -> Gaussian:
    """Return the joint law of (output, last state), shape (2d,), by the adjoint.

    It is singular where the output is a function of the last state: literal chains of
    two steps, and new-states chains of one.
    """
    weights = output_weights(step_sizes, output)
    both = np.stack([weights, _last(weights.size, weights.size)])
    return _adjoint(loss, x, tau, step_sizes, start, chain, both)


def sgld_state(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    j: int,
    *,
    start: npt.ArrayLike | None = None,
    chain: str = "literal",
) -> Gaussian:
    """Return the law of the averaged state x^j, j = 1, ..., J, by the adjoint.

    In the literal chain x^1 is the start, a constant.
    """
    weights = _last(j, np.size(step_sizes))[None]
    return _adjoint(loss, x, tau, step_sizes, start, chain, weights)


def _adjoint(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    start: npt.ArrayLike | None,
    chain: str,
    weights: Array,
) -> Gaussian:
    """Law of the K sums over j of weights[k, j] x^j, one below the other: (K d,)."""
    _require(chain, CHAINS)
    curvature, slope = _parabola(loss)
    values, vectors = np.linalg.eigh(curvature)
    centre = np.asarray(x, dtype=float)
    first = centre if start is None else np.asarray(start, dtype=float)
    beta = values + 1 / tau
    b = (slope + centre / tau) @ vectors
    steps = np.asarray(step_sizes, dtype=float)
    count = weights.shape[0]
    if chain == "literal":
        moves, before = steps[:-1], weights[:, :-1]
    else:
        moves, before = steps, np.hstack([np.zeros((count, 1)), weights[:, :-1]])
    c = np.repeat(weights[:, -1:], values.size, axis=1)
    mean = np.zeros_like(c)
    spread = np.zeros((count, count, values.size))
    for eps, weight in zip(moves[::-1], before.T[::-1], strict=True):
        mean += c * (eps / 2) * b
        spread += eps * c[:, None] * c[None, :]
        c = weight[:, None] + (1 - eps / 2 * beta) * c
    mean += c * (first @ vectors)
    return Gaussian((mean @ vectors.T).ravel(), _blocks(vectors, spread))


def _blocks(vectors: Array, spread: Array) -> Array:
    """Return the covariance whose blocks are V diag(spread[k, l]) V', (K d, K d)."""
    count, _, d = spread.shape
    blocks = np.einsum("im,klm,jm->kilj", vectors, spread, vectors)
    return blocks.reshape(count * d, count * d)


def sgld_dense(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    *,
    start: npt.ArrayLike | None = None,
    chain: str = "literal",
    output: str = "weighted-mean",
) -> Gaussian:
    """Return the law of the output of Algorithm 3 from all its states at once."""
    steps = np.asarray(step_sizes, dtype=float)
    select = steps / np.sum(steps)
    if output != "weighted-mean":
        picked, rate = np.eye(steps.size), float(output.partition(":")[2])
        select = picked[0]
        for pick in picked[1:]:
            select = (1 - rate) * select + rate * pick
    return _select(select[None], _averaged(loss, x, tau, steps, start, chain))


def sgld_joint_dense(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    *,
    start: npt.ArrayLike | None = None,
    chain: str = "literal",
) -> Gaussian:
    """Return the joint law of (output, last state) from all states at once."""
    steps = np.asarray(step_sizes, dtype=float)
    select = np.zeros((2, steps.size))
    select[0] = steps / np.sum(steps)
    select[1, -1] = 1.0
    return _select(select, _averaged(loss, x, tau, steps, start, chain))


def sgld_state_dense(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    j: int,
    *,
    start: npt.ArrayLike | None = None,
    chain: str = "literal",
) -> Gaussian:
    """Return the law of the averaged state x^j from all states at once."""
    steps = np.asarray(step_sizes, dtype=float)
    states = _averaged(loss, x, tau, steps, start, chain)
    return _select((np.arange(1, steps.size + 1) == j)[None].astype(float), states)


def sgld_run(
    losses: Sequence[Any],
    x: npt.ArrayLike,
    taus: Sequence[float],
    step_sizes: npt.ArrayLike,
    *,
    chain: str = "literal",
    output: str = "weighted-mean",
) -> Gaussian:
    """Return the joint law of x_1, ..., x_K, (K d,), of a run with warm starts.

    Update k is Algorithm 3 for the k-th loss around x_k, from the last state of the
    chain before it.  Its output and last state are affine in the two, with the
    independent noise of `sgld_joint`: so moments are carried from update to update.

    Parameters
    ----------
    losses : sequence of K losses
        Those of the minibatches.
    x : array_like, shape (d,)
        x_0, where the first chain starts as well.
    taus : sequence of float
        Of the updates.

    References
    ----------
    Algorithm 3, section 5.1.1.
    """
    first = np.asarray(x, dtype=float)
    d, reading = first.size, {"chain": chain, "output": output}
    mean, covariance = np.tile(first, 2), np.zeros((2 * d, 2 * d))
    for loss, tau in zip(losses, taus, strict=True):

        def update(both: Array, loss: Any = loss, tau: float = tau) -> Gaussian:
            centre, start = np.split(both, 2)
            return sgld_joint(loss, centre, tau, step_sizes, start=start, **reading)

        noise = update(np.zeros(2 * d))
        gain = [update(unit).mean - noise.mean for unit in np.eye(2 * d)]
        # of all iterates so far, and below them the last state
        turn = np.zeros((mean.size + d, mean.size))
        turn[: mean.size - d] = np.eye(mean.size)[: mean.size - d]
        turn[-2 * d :, -2 * d :] = np.transpose(gain)
        mean, covariance = turn @ mean, turn @ covariance @ turn.T
        mean[-2 * d :] += noise.mean
        covariance[-2 * d :, -2 * d :] += noise.covariance
    return Gaussian(mean[d:-d], covariance[d:-d, d:-d])


def sgld_run_dense(
    losses: Sequence[Any],
    x: npt.ArrayLike,
    taus: Sequence[float],
    step_sizes: npt.ArrayLike,
    *,
    chain: str = "literal",
    output: str = "weighted-mean",
) -> Gaussian:
    """Return the law of `sgld_run` by following the loadings of all draws."""
    _require(chain, CHAINS)
    steps = np.asarray(step_sizes, dtype=float)
    first = np.asarray(x, dtype=float)
    d, moves = first.size, steps[:-1] if chain == "literal" else steps
    centre = np.zeros((d, 1 + len(losses) * moves.size * d))
    centre[:, 0] = first
    y, at, path = centre, 1, []
    for loss, tau in zip(losses, taus, strict=True):
        hessian, origin = _probed(loss)
        states = [y]
        for eps in moves:
            drift = hessian @ y + (y - centre) / tau
            drift[:, 0] += origin
            y = y - eps / 2 * drift
            y[:, at : at + d] += np.sqrt(eps) * np.eye(d)
            at += d
            states.append(y)
        averaged = states[-steps.size :]
        if output == "weighted-mean":
            pairs = zip(steps, averaged, strict=True)
            centre = sum(eps * state for eps, state in pairs) / steps.sum()
        else:
            rate, centre = float(output.partition(":")[2]), averaged[0]
            for state in averaged[1:]:
                centre = (1 - rate) * centre + rate * state
        path.append(centre)
    loadings = np.vstack(path)
    return Gaussian(loadings[:, 0], loadings[:, 1:] @ loadings[:, 1:].T)


@dataclass(frozen=True, eq=False)
class _States:
    """An affine map of all draws: means (L, d) and loadings (L, d, draws)."""

    means: Array
    loadings: Array


def _averaged(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    steps: Array,
    start: npt.ArrayLike | None,
    chain: str,
) -> _States:
    """The states x^1, ..., x^J of Algorithm 3."""
    _require(chain, CHAINS)
    centre = np.asarray(x, dtype=float)
    first = centre if start is None else np.asarray(start, dtype=float)
    moves = steps[:-1] if chain == "literal" else steps
    hessian, origin = _probed(loss)
    one = np.eye(centre.size)
    turns = [one - e / 2 * (hessian + one / tau) for e in moves]
    shifts = [-e / 2 * (origin - centre / tau) for e in moves]
    kicks = [np.sqrt(e) * one for e in moves]
    states = _unrolled(first, turns, shifts, kicks)
    if chain == "literal":
        return states
    return _States(states.means[1:], states.loadings[1:])


def _unrolled(
    first: Array, turns: list[Array], shifts: list[Array], kicks: list[Array]
) -> _States:
    """Solve s_0 = first, s_{l+1} = turns[l] s_l + shifts[l] + kicks[l] z_l for all s.

    One block bidiagonal system; turns (d, d), shifts (d,), kicks (d, draws of a move).
    """
    d, count = first.size, len(turns)
    width = kicks[0].shape[1] if kicks else 0
    system = np.eye((count + 1) * d)
    right = np.zeros(((count + 1) * d, 1 + count * width))
    right[:d, 0] = first
    for l in range(count):
        row = slice((l + 1) * d, (l + 2) * d)
        system[row, l * d : (l + 1) * d] = -turns[l]
        right[row, 0] = shifts[l]
        right[row, 1 + l * width : 1 + (l + 1) * width] = kicks[l]
    solved: Array = np.linalg.solve(system, right).astype(np.float64)
    solved = solved.reshape(count + 1, d, -1)
    return _States(solved[..., 0], solved[..., 1:])


def _select(select: Array, states: _States) -> Gaussian:
    """Law of select (K, L) applied to L states, one below the other: (K d,)."""
    mean = (select @ states.means).ravel()
    loadings = np.tensordot(select, states.loadings, axes=1)
    loadings = loadings.reshape(mean.size, -1)
    return Gaussian(mean, loadings @ loadings.T)


def _require(reading: str, known: tuple[str, ...]) -> None:
    if reading not in known:
        raise ValueError(f"the readings are {' and '.join(known)}, got {reading!r}")


def output_weights(step_sizes: npt.ArrayLike, output: str = "weighted-mean") -> Array:
    """Return the weights of the J averaged states, in a reading of the output."""
    steps = np.asarray(step_sizes, dtype=float)
    if output == "weighted-mean":
        return steps / steps.sum()
    rate, left = float(output.partition(":")[2]), np.arange(steps.size)[::-1]
    weights = rate * (1 - rate) ** left
    weights[0] /= rate
    return np.asarray(weights)


def _last(j: int, J: int) -> Array:
    """The weights that pick the j-th of J states."""
    if not 1 <= j <= J:
        raise ValueError(f"the states are x^1, ..., x^{J}; there is no x^{j}")
    return np.eye(J)[j - 1]


# --- Algorithm 5 ----------------------------------------------------------------------


def robbins_monro(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    inner_samples: int,
    *,
    start: npt.ArrayLike | None = None,
    moves: str = "J",
) -> Gaussian:
    """Return the law of the last state of Algorithm 5, by forward recursion.

    In an eigendirection of the curvature, for each step a,

        mean <- mean - a (mean - x + tau lambda (mean - m)),
        variance <- (1 - a (1 + tau lambda))^2 variance + (a tau lambda)^2 tau / M.

    It is singular where the loss has a direction without curvature.

    Parameters
    ----------
    inner_samples : int
        M, the samples of each move.
    moves : {"J", "J-1"}
        How many of the J steps are taken.

    References
    ----------
    Algorithm 5, (17).
    """
    curvature, slope = _parabola(loss)
    values, vectors = np.linalg.eigh(curvature)
    centre, pull = np.asarray(x, dtype=float) @ vectors, slope @ vectors
    mean = centre if start is None else np.asarray(start, dtype=float) @ vectors
    variance = np.zeros_like(mean)
    for a in _taken(step_sizes, moves):
        mean = mean - a * (mean - centre + tau * (values * mean - pull))
        noise = (a * tau * values) ** 2 * tau / inner_samples
        variance = (1 - a * (1 + tau * values)) ** 2 * variance + noise
    return Gaussian(vectors @ mean, (vectors * variance) @ vectors.T)


def robbins_monro_dense(
    loss: Any,
    x: npt.ArrayLike,
    tau: float,
    step_sizes: npt.ArrayLike,
    inner_samples: int,
    *,
    start: npt.ArrayLike | None = None,
    moves: str = "J",
) -> Gaussian:
    """Return the law of the last state of Algorithm 5 from all its states at once."""
    centre = np.asarray(x, dtype=float)
    first = centre if start is None else np.asarray(start, dtype=float)
    hessian, origin = _probed(loss)
    one = np.eye(centre.size)
    taken = _taken(step_sizes, moves)
    turns = [one - a * (one + tau * hessian) for a in taken]
    shifts = [a * (centre - tau * origin) for a in taken]
    sample = np.sqrt(tau) * hessian / inner_samples  # of the mean gradient
    kicks = [-a * tau * np.tile(sample, inner_samples) for a in taken]
    states = _unrolled(first, turns, shifts, kicks)
    return _select(np.eye(len(taken) + 1)[-1:], states)


def _taken(step_sizes: npt.ArrayLike, moves: str) -> Array:
    _require(moves, MOVES)
    steps = np.asarray(step_sizes, dtype=float)
    return steps if moves == "J" else steps[:-1]


# --- Algorithm 4 ----------------------------------------------------------------------


def importance(loss: Any, x: npt.ArrayLike, tau: float, samples: int) -> Gaussian:
    """Return the law of the output of Algorithm 4 where its weights are equal.

    N(x, tau/J I), for a constant loss and for one sample of any loss.

    Raises
    ------
    ValueError
        If the weights are not equal: then the output is not Gaussian.
    """
    if loss.kind != "constant" and samples != 1:
        raise ValueError(
            "Algorithm 4 has a Gaussian output only for a constant loss or one sample, "
            f"got {loss.kind} and {samples} samples"
        )
    centre = np.array(x, dtype=float)
    return Gaussian(centre, tau / samples * np.eye(centre.size))


def importance_dense(loss: Any, x: npt.ArrayLike, tau: float, samples: int) -> Gaussian:
    """Return the law of `importance` as a weighted sum of J Gaussian samples."""
    centre = np.asarray(x, dtype=float)
    values = np.broadcast_to(loss(np.tile(centre, (samples, 1))), (samples,))
    weights = np.exp(-values) / np.sum(np.exp(-values))
    one = np.sqrt(tau) * np.eye(centre.size)
    loadings = np.einsum("j,ab,jk->jakb", weights, one, np.eye(samples))
    means = weights[:, None] * centre
    states = _States(means, loadings.reshape(samples, centre.size, -1))
    return _select(np.ones((1, samples)), states)


def pair_scores(
    loss: Any, x: npt.ArrayLike, tau: float, outputs: npt.ArrayLike
) -> Array:
    """Return standard normals for outputs of Algorithm 4 with J = 2, f linear.

    With s the mean of the two samples and D half their difference, independent
    N(x, tau/2 I) and N(0, tau/2 I), the output is s - tanh(g'D) D.  Given v, the
    component of D along g, and theta = tanh(|g| v), the output's components are
    independent: N(x_1 - v theta, tau/2) along g, and N(x_i, tau/2 (1 + theta^2))
    across.  The law is their mixture over v, and the i-th score is the normal score
    of the i-th component's distribution function given the components before it.

    The integrals over v are trapezoidal sums of analytic integrands; the step leaves
    an error of e^-40 (Trefethen and Weideman, 2014, section 5).

    Parameters
    ----------
    outputs : array_like, shape (n, d)

    Returns
    -------
    ndarray, shape (n, d)
        The first along g, the others in the coordinates of `frame`.

    Raises
    ------
    ValueError
        If the loss is not linear.
    """
    frame, size = _frame(loss)
    sd = np.sqrt(tau / 2)
    away = np.asarray(outputs, dtype=float) - np.asarray(x, dtype=float)
    away = np.clip(away, -FAR, FAR) @ frame.T / sd
    t, log_weights = _trapezoid(size * sd)
    theta = np.tanh(size * sd * t)
    wide = np.sqrt(1 + theta**2)
    along = away[:, :1] + t * theta
    scores = [_normal_score(log_weights, along)]
    log_weights = log_weights - 0.5 * along**2
    for across in away.T[1:]:
        given = across[:, None] / wide
        scores.append(_normal_score(log_weights, given))
        log_weights = log_weights - 0.5 * given**2 - np.log(wide)
    return np.stack(scores, axis=1)


def _trapezoid(rate: float) -> tuple[Array, Array]:
    """Nodes t >= 0 (K,) and log weights of the mean over N(0, 1) of an even function.

    The function is analytic, and grows no faster than a Gaussian falls, in the strip
    |Im t| < width in which tanh(rate t) is bounded by 1; there the rule's error is
    exp(-2 pi width/step) times the growth exp(width^2).  The range leaves out less
    than e^-72 of the mass, so that scores up to 8 keep their digits.
    """
    width = min(np.pi / (4 * rate), 2.0) if rate > 0 else 2.0
    step = 2 * np.pi * width / (40 + width**2)
    t = np.arange(0.0, 12.0 + step, step)
    log_weights = -0.5 * t**2
    log_weights[1:] += np.log(2)
    return t, log_weights


def _normal_score(log_weights: Array, points: Array) -> Array:
    """Normal scores of mixtures of standard normals at points (n, K): (n,)."""
    total = logsumexp(log_weights + np.zeros_like(points), axis=1)
    below = logsumexp(log_weights + log_ndtr(points), axis=1) - total
    above = logsumexp(log_weights + log_ndtr(-points), axis=1) - total
    # the smaller tail has the digits
    scores: Array = np.where(below < above, ndtri_exp(below), -ndtri_exp(above))
    return scores


def pair_scores_dense(
    loss: Any, x: npt.ArrayLike, tau: float, outputs: npt.ArrayLike
) -> Array:
    """Return the scores of `pair_scores` by integrating densities.

    With a and a + r the components of the two samples along g, the map (a, r) ->
    (output, r) has unit Jacobian: the joint density of (output, r) is a product of
    the samples' densities.  It is integrated by Gauss-Legendre panels, over r and
    over the component that is scored; weights are the algorithm's own.
    """
    frame, size = _frame(loss)
    away = np.asarray(outputs, dtype=float) - np.asarray(x, dtype=float)
    away = away @ frame.T / np.sqrt(tau)
    # expit has poles at a distance of pi/rate from the real line
    r, by_difference = _panels(-REACH, REACH, 1 / max(2.0, size * np.sqrt(tau)))
    second = expit(-size * np.sqrt(tau) * r)
    densities = [_along(r, second)]
    densities += [_across(np.hypot(1 - second, second))] * (away.shape[1] - 1)
    scores = np.empty_like(away)
    for row, point in enumerate(away):
        weights = by_difference
        for i, (value, density) in enumerate(zip(point, densities, strict=True)):
            scores[row, i] = _integrated_score(density, weights, value)
            weights = weights * density(np.array([value]))[0]
    return scores


def _along(r: Array, second: Array) -> Density:
    """Density of (output along g, difference r) for samples N(0, 1)."""

    def density(t: Array) -> Array:
        first = t[:, None] - r * second
        values: Array = np.exp(-0.5 * first**2 - 0.5 * (first + r) ** 2)
        return values / (2 * np.pi)

    return density


def _across(spread: Array) -> Density:
    """Density of N(0, spread^2), one for each difference."""

    def density(t: Array) -> Array:
        values: Array = np.exp(-0.5 * (t[:, None] / spread) ** 2)
        return values / (spread * np.sqrt(2 * np.pi))

    return density


def _integrated_score(density: Density, weights: Array, value: float) -> float:
    """Normal score at `value` of the law with the density sum_k w_k density_k."""
    tails = []
    for low, high in ((-REACH, value), (value, REACH)):
        t, step = _panels(low, high, 0.5)
        tails.append(step @ (density(t) @ weights))
    below, above = np.array(tails) / sum(tails)
    return float(ndtri(below) if below < above else -ndtri(above))


def _panels(low: float, high: float, longest: float) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on panels no longer than `longest`."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    edges = np.linspace(low, high, 2 + int((high - low) / longest))
    half = np.diff(edges)[:, None] / 2
    middle = (edges[:-1, None] + edges[1:, None]) / 2
    return (middle + half * nodes).ravel(), (half * weights).ravel()


def _frame(loss: Any) -> tuple[Array, float]:
    """An orthonormal basis (d, d), one a row, the first along g; and |g|."""
    if loss.kind != "linear":
        raise ValueError(f"the law is known for linear losses, got {loss.kind}")
    g = np.asarray(loss.g, dtype=float)
    size = float(np.linalg.norm(g))
    frame = np.linalg.qr(np.column_stack([g, np.eye(g.size)]))[0].T
    # the sign of the factorisation is not specified
    frame[0] *= 1.0 if frame[0] @ g >= 0 else -1.0
    return frame, size


def flat_scores(
    x: npt.ArrayLike,
    tau: float,
    outputs: npt.ArrayLike,
    weights: npt.ArrayLike,
    directions: npt.ArrayLike,
) -> Array:
    """Return standard normals for outputs of Algorithm 4 along flat directions.

    Where the loss does not depend on a direction, neither do the weights: the output's
    component is a weighted sum of independent N(x_i, tau), and (output - x)_i times
    the root of ESS/tau, ESS = 1/sum w^2, is standard normal for any loss and any J.

    Parameters
    ----------
    outputs : array_like, shape (n, d)
    weights : array_like, shape (n, J)
        The normalised weights of the same replicates.
    directions : array_like, shape (k, d)
        Orthonormal rows along which the loss is constant.

    Returns
    -------
    ndarray, shape (n, k)
    """
    along = np.asarray(directions, dtype=float)
    away = (np.asarray(outputs, dtype=float) - np.asarray(x, dtype=float)) @ along.T
    w = np.asarray(weights, dtype=float)
    size = 1 / np.sum(w * w, axis=1, keepdims=True)
    scores: Array = away * np.sqrt(size / tau)
    return scores


def flat_scores_dense(
    x: npt.ArrayLike,
    tau: float,
    outputs: npt.ArrayLike,
    weights: npt.ArrayLike,
    directions: npt.ArrayLike,
) -> Array:
    """Return the scores of `flat_scores`, one replicate at a time by whitening.

    Given its weights the output is an affine map of the J samples, stacked.
    """
    centre, along = np.asarray(x, dtype=float), np.asarray(directions, dtype=float)
    scores = []
    for output, w in zip(np.asarray(outputs), np.asarray(weights), strict=True):
        loadings = np.kron(w, along * np.sqrt(tau))
        law = Gaussian(along @ centre, loadings @ loadings.T)
        scores.append(law.whiten((along @ output)[None])[0])
    return np.array(scores)


# --- minibatches, and the curvature of a loss -----------------------------------------


def restricted(loss: Any, rows: npt.ArrayLike) -> Any:
    """Return the mean loss over a minibatch, the given rows of a least-squares loss.

    The law of an update with that minibatch is the law for this loss.

    Parameters
    ----------
    rows : array_like of int, shape (B,)

    Raises
    ------
    ValueError
        If the loss is not a sum over examples.
    """
    if loss.kind != "least_squares":
        raise ValueError(f"{loss.kind} has no examples to choose from")
    return loss.subset(rows)


def _parabola(loss: Any) -> tuple[Array, Array]:
    """H (d, d) and h (d,) of f(y) = y'Hy/2 - h'y + const, from the loss's fields."""
    if loss.kind == "constant":
        return np.zeros((loss.d, loss.d)), np.zeros(loss.d)
    if loss.kind == "linear":
        return np.zeros((loss.d, loss.d)), -loss.g
    if loss.kind == "least_squares":
        count = loss.b.size
        return loss.A.T @ loss.A / count, loss.A.T @ loss.b / count
    if loss.kind != "quadratic":
        raise ValueError(f"the output has no exact law for the loss {loss.kind}")
    H = loss.H if np.ndim(loss.H) == 2 else loss.H * np.eye(loss.d)
    return H, H @ loss.m


def _probed(loss: Any) -> tuple[Array, Array]:
    """H (d, d) and the gradient at 0 (d,), probed from an affine gradient."""
    origin = loss.gradient(np.zeros(loss.d))
    return loss.gradient(np.eye(loss.d)) - origin, origin
