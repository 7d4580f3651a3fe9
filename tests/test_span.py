"""Runs on what a loss sees: the plain algorithms exactly, path by path and in law.

Three ways, from the finest to the coarsest.  *Pathwise*: driven by the same noise Z,
the plain algorithm equals the reduced one, driven by V^T Z, with the linear combination
of P Z that stands in the docstrings added; it is read here from the inverse of the
recursion's matrix.  *In law*: the covariances put together by `InSpan` are those of the
whole run as one affine map of the stacked noise.  *By sampling*: replicates of the two
are compared, by tests whose false alarm probability is bounded and whose power is shown
on planted faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2, norm

from refimpl.errors import InvalidParameter
from refimpl.exact import ExactMean
from refimpl.importance import (
    ImportanceSampling,
    Weights,
    importance,
    log_weights,
    weighed,
)
from refimpl.interfaces import FlatLaw, Projection
from refimpl.laws import GibbsLaw
from refimpl.losses import LeastSquares, Quadratic, Resampled
from refimpl.network import Network
from refimpl.output_laws import langevin_response, robbins_monro_law, sgld_law
from refimpl.robbins_monro import RobbinsMonro, robbins_monro
from refimpl.schedules import Constant, PowerLaw, steps
from refimpl.sgld import SGLD, Langevin, control_kernel, langevin
from refimpl.span import InSpan
from refimpl.two_step import two_step

TAU = 0.375
UNEVEN = (0.3125, 0.09375, 0.1875, 0.0625, 0.140625, 0.25)
CLOSE = 1e-13
"""Of the largest number: some thousand roundings in chains that do not grow."""

READINGS = ("variance", "standard-deviation")
CHAINS = ("literal", "new-states")
OUTPUTS = ("average", "controlled")


def given(values: Any) -> Any:
    """An array of steps as a schedule."""
    return lambda j: np.asarray(values)[np.asarray(j) - 1]


def chain(values: Any = UNEVEN, **more: Any) -> SGLD:
    return SGLD(len(values), given(values), **more)


# --- losses that see less than everything


def images(seed: int, N: int, pixels: int) -> Any:
    return np.random.default_rng(seed).uniform(size=(N, pixels))


def photographs() -> Any:
    """Four images of twelve pixels: a repeated one, a zero one, dead pixels."""
    found = images(3, 4, 12)
    found[:, [0, 5, 11]] = 0.0
    found[2] = found[0]
    found[3] = 0.0
    return found


def constant_pixels() -> Any:
    found = images(4, 5, 6)
    found[:, 2] = 1.0
    found[:, 4] = 0.5
    return found


def wide(seed: int = 5) -> LeastSquares:
    """Four rows in seven dimensions, of which two are dependent."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(4, 7))
    A[2] = A[0]
    A[3] = 2 * A[1] - A[0]
    return LeastSquares(A, rng.normal(size=4))


LOSSES: dict[str, Any] = {
    "relu 12-7-3": Network((12, 7, 3), photographs(), [0, 2, 1, 1], reduction="sum"),
    "tanh 6-4-3-2": Network(
        (6, 4, 3, 2), constant_pixels(), [0, 1, 1, 0, 1], activation="tanh"
    ),
    "sigmoid 3-5-2, B > inputs": Network(
        (3, 5, 2), images(6, 9, 3), np.arange(9) % 2, activation="sigmoid"
    ),
    "squared 9-4": Network((9, 4), images(7, 3, 9), [3, 0, 2], loss="squared"),
    "relu 8-3-3-2-3": Network((8, 3, 3, 2, 3), images(8, 2, 8), [2, 0]),
    "wide least squares": wide(),
    "one row": LeastSquares([[0.5, -1.0, 0.25, 0.0]], [0.75]),
    "tall least squares": LeastSquares(images(9, 6, 3) - 0.5, images(9, 1, 6)[0]),
    "zero row": LeastSquares([[0.0, 0.0, 0.0]], [0.5]),
}
each_loss = pytest.mark.parametrize("name", LOSSES)
each_noise = pytest.mark.parametrize("noise", READINGS)


def points(f: Any) -> tuple[Any, Any]:
    """A centre and another start, (d,)."""
    rng = np.random.default_rng(17)
    return rng.normal(size=f.d), rng.normal(size=f.d)


def close(found: Any, wanted: Any, scale: float = 1.0) -> None:
    size = max(scale, np.abs(wanted).max(initial=0.0))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=CLOSE * size)


# --- Algorithm 3, path by path


def variances(estimator: SGLD) -> Any:
    moved = steps(estimator.epsilon, estimator.J)[: estimator.moves]
    return moved if estimator.noise == "variance" else moved**2


def flat_map(estimator: SGLD, tau: float) -> tuple[Any, Any]:
    """What output and last state make, where f is flat, of start and draws.

    From all states at once: with o^1, o^2, ... below one another, T o = (start, noise)
    for the bidiagonal T of the recursion.  Shapes (2,) and (2, moves).
    """
    epsilon = steps(estimator.epsilon, estimator.J)
    moves = estimator.moves
    T = np.eye(moves + 1) - np.diag(1 - epsilon[:moves] / (2 * tau), -1)
    states = np.linalg.solve(T, np.diag([1.0, *np.sqrt(variances(estimator))]))
    rows = np.zeros((2, moves + 1))
    rows[0, -estimator.J :] = epsilon / epsilon.sum()
    rows[1, -1] = 1.0
    both = rows @ states
    if estimator.output == "controlled":
        both[0, 1:] = 0.0  # the chain beside has the same noise, and no start
    return both[:, 0], both[:, 1:]


def run(estimator: SGLD, f: Any, x: Any, z: Any, start: Any) -> tuple[Any, Any]:
    """The core, one chain, given its noise (moves, d)."""
    output, last = langevin(
        f,
        x,
        TAU,
        steps(estimator.epsilon, estimator.J),
        (row[None] for row in z),
        start=start[None],
        chain=estimator.chain,
        noise_is=estimator.noise,
        output=estimator.output,
    )
    return output[0], last[0]


@each_loss
@each_noise
@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("warm", [False, True])
def test_algorithm_3_path_by_path(
    name: str, noise: Any, kind: Any, output: Any, warm: bool
) -> None:
    f = LOSSES[name]
    x, start = points(f)
    start = start if warm else x
    estimator, r = chain(noise=noise, chain=kind, output=output), f.reduced
    z = np.random.default_rng(23).standard_normal((estimator.moves, f.d))
    plain = run(estimator, f, x, z, start)
    small = run(estimator, r.loss, r.project(x), r.project(z), r.project(start))
    of_start, of_noise = flat_map(estimator, TAU)
    flat = x + of_start[:, None] * (start - x) + of_noise @ z
    for whole, seen, rest in zip(plain, small, flat, strict=True):
        close(r.with_seen(rest, seen), whole)


@each_noise
@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("values", [[0.25], [0.5, 0.125], UNEVEN, [1.75] * 4])
@pytest.mark.parametrize("tau", [0.0625, 0.375, 2.5])
def test_the_flat_law_of_algorithm_3(
    noise: Any, kind: Any, output: Any, values: Any, tau: float
) -> None:
    estimator = chain(values, noise=noise, chain=kind, output=output)
    law = estimator.flat_law(tau, Langevin(np.zeros(1), 0))
    of_start, of_noise = flat_map(estimator, tau)
    close(law.start, of_start)
    close(law.covariance, of_noise @ of_noise.T)


def test_the_flat_law_of_a_long_chain() -> None:
    """That of the paper's experiments: tau = 0.01, epsilon_j = 1/(1000 + j)."""
    estimator = SGLD(J=1000, epsilon=lambda j: 1 / (1000 + np.asarray(j)))
    law = estimator.flat_law(0.01, Langevin(np.zeros(1), 0))
    of_start, of_noise = flat_map(estimator, 0.01)
    np.testing.assert_allclose(law.covariance, of_noise @ of_noise.T, rtol=1e-11)
    np.testing.assert_allclose(law.start, of_start, rtol=1e-11)


def test_the_flat_law_of_a_schedule_that_cannot_be_hashed() -> None:
    @dataclass
    class Mine:
        c: float

        def __call__(self, j: Any) -> Any:
            return self.c / np.asarray(j)

    mine = Mine(0.5)
    estimator = SGLD(J=3, epsilon=mine)
    for c in (0.5, 0.25):  # nor is what it said before remembered
        mine.c = c
        law = estimator.flat_law(TAU, Langevin(np.zeros(1), 0))
        _, of_noise = flat_map(estimator, TAU)
        close(law.covariance, of_noise @ of_noise.T)


@each_loss
@each_noise
@pytest.mark.parametrize("kind", CHAINS)
def test_what_the_control_takes_away_does_not_know_of_f(
    name: str, noise: Any, kind: Any
) -> None:
    """average - controlled is linear in the noise: both have the same mean, exactly."""
    f = LOSSES[name]
    x, start = points(f)
    plain = chain(noise=noise, chain=kind)
    z = np.random.default_rng(29).standard_normal((plain.moves, f.d))
    average = run(plain, f, x, z, start)
    controlled = run(replace(plain, output="controlled"), f, x, z, start)
    close(average[0] - controlled[0], flat_map(plain, TAU)[1][0] @ z)
    assert np.array_equal(average[1], controlled[1])


def test_both_faces_of_the_control() -> None:
    plain = getattr(control_kernel, "py_func", control_kernel)
    found = []
    for kernel in (control_kernel, plain):
        o, total, z = np.random.default_rng(3).normal(size=(3, 2, 5))
        wanted = 0.75 * o + 0.5 * z
        expected = total - 0.25 * wanted
        kernel(o, total, z, 0.75, 0.5, 0.25)
        close(o, wanted)
        close(total, expected)
        found.append((o, total))
    for compiled, uncompiled in zip(*found, strict=True):
        close(compiled, uncompiled)


# --- Algorithms 4 and 5, path by path


@each_loss
@each_noise
def test_algorithm_4_path_by_path(name: str, noise: Any) -> None:
    f = LOSSES[name]
    x, _ = points(f)
    r = f.reduced
    variance = TAU if noise == "variance" else TAU**2
    z = np.random.default_rng(31).standard_normal((9, f.d))
    results = []
    for g, centre, draws in ((f, x, z), (r.loss, r.project(x), r.project(z))):
        logs = log_weights(g, centre, variance, draws)
        w = np.exp(logs - logs.max())
        found, info = importance(centre, variance, [weighed(logs, draws)])
        results.append((found, info, w / w.sum()))
    (plain, info, w), (small, small_info, small_w) = results
    close(small_w, w)
    assert small_info.effective_sample_size == pytest.approx(
        info.effective_sample_size, rel=1e-12
    )
    assert small_info.local_entropy == pytest.approx(info.local_entropy, rel=1e-12)
    close(r.with_seen(x + np.sqrt(variance) * (w @ z), small), plain)
    law = ImportanceSampling(9, noise=noise).flat_law(TAU, small_info)
    close(law.covariance, [[variance * (w**2).sum()]])
    assert np.array_equal(law.start, [0.0])


@each_loss
@each_noise
def test_algorithm_5_path_by_path(name: str, noise: Any) -> None:
    f = LOSSES[name]
    x, other = points(f)
    r, a = f.reduced, np.array([0.5, 0.25, 0.1875])
    z = np.random.default_rng(37).standard_normal((3, 1, 4, f.d))
    for start in (x, other):
        reading = {"noise_is": noise}
        plain, h = robbins_monro(
            f, x, TAU, a, 4, ([row] for row in z), start=start[None], **reading
        )
        small, small_h = robbins_monro(
            r.loss,
            r.project(x),
            TAU,
            a,
            4,
            ([r.project(row)] for row in z),
            start=r.project(start)[None],
            **reading,
        )
        law = RobbinsMonro(3, given(a), 4).flat_law(TAU, None)  # type: ignore
        flat = x + law.start[0] * (start - x)
        close(r.with_seen(flat, small[0]), plain[0])
        assert np.array_equal(law.covariance, [[0.0]])
        kept = np.prod(1 - a[:-1])
        close(r.with_seen(kept * (start - x), small_h[0]), h[0])
    close(law.start, [0.5 * 0.75 * 0.8125])


# --- laws on least squares: the whole run as one affine map of its noise


def affine(f: Any, x: Any, start: Any, estimator: SGLD) -> tuple[Any, Any, Any]:
    """Output and last state, (2d,), as an affine map of the stacked noise.

    Its mean (2d,), its matrix (2d, moves d), and the mean of the output's "average".
    """
    d, moves = f.d, estimator.moves
    H, slope = f.A.T @ f.A / f.N, -f.A.T @ f.b / f.N
    epsilon = steps(estimator.epsilon, estimator.J)
    sd = np.sqrt(variances(estimator))
    state = np.hstack([start[:, None], np.zeros((d, moves * d))])
    beside = np.zeros_like(state)
    kept = [(state, beside)]
    for j in range(moves):
        kick = np.zeros_like(state)
        kick[:, 1 + j * d : 1 + (j + 1) * d] = sd[j] * np.eye(d)
        drift = H @ state + state / TAU
        drift[:, 0] += slope - x / TAU
        state = state - epsilon[j] / 2 * drift + kick
        beside = beside - epsilon[j] / 2 * beside / TAU + kick
        kept.append((state, beside))
    w = epsilon / epsilon.sum()
    averaged = kept[-estimator.J :]
    mean = sum(v * state for v, (state, _) in zip(w, averaged, strict=True))
    away = sum(v * beside for v, (_, beside) in zip(w, averaged, strict=True))
    output = mean - away if estimator.output == "controlled" else mean
    both = np.vstack([output, state])
    return both[:, 0], both[:, 1:], mean[:, 0]


def assembled(f: Any, x: Any, start: Any, estimator: SGLD) -> tuple[Any, Any]:
    """The law that `InSpan` gives to (output, last): mean (2d,), covariance (2d, 2d).

    From the law of the reduced chain and from the flat law.
    """
    r = f.reduced
    small = sgld_law(
        r.loss,
        r.project(x),
        TAU,
        steps(estimator.epsilon, estimator.J),
        start=r.project(start),
        chain=estimator.chain,
        noise=estimator.noise,
        output=estimator.output,
    )
    flat = estimator.flat_law(TAU, Langevin(x, 0))
    P = np.eye(f.d) - r.Q @ r.Q.T
    within = np.block(
        [
            [small.output.covariance, small.cross_covariance],
            [small.cross_covariance, small.last.covariance],
        ]
    )
    V = np.kron(np.eye(2), r.Q)
    covariance = V @ within @ V.T + np.kron(flat.covariance, P)
    offsets = x + flat.start[:, None] * (start - x)
    means = (small.output.mean, small.last.mean)
    seen = [r.with_seen(y, s) for y, s in zip(offsets, means, strict=True)]
    return np.concatenate(seen), covariance


SQUARES = [name for name, f in LOSSES.items() if isinstance(f, LeastSquares)]


@pytest.mark.parametrize("name", SQUARES)
@each_noise
@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_the_law_put_together_is_that_of_the_whole_run(
    name: str, noise: Any, kind: Any, output: Any
) -> None:
    f = LOSSES[name]
    estimator = chain(noise=noise, chain=kind, output=output)
    for start in points(f):
        x = points(f)[0]
        mean, M, average = affine(f, x, start, estimator)
        found, covariance = assembled(f, x, start, estimator)
        np.testing.assert_allclose(found, mean, rtol=0, atol=1e-12)
        np.testing.assert_allclose(covariance, M @ M.T, rtol=0, atol=1e-12)
        # E of "controlled" is E of "average"
        np.testing.assert_allclose(mean[: f.d], average, rtol=0, atol=1e-12)
        law = sgld_law(
            f,
            x,
            TAU,
            steps(estimator.epsilon, estimator.J),
            start=start,
            chain=kind,
            noise=noise,
            output=output,
        )
        own = np.block(
            [
                [law.output.covariance, law.cross_covariance],
                [law.cross_covariance, law.last.covariance],
            ]
        )
        np.testing.assert_allclose(own, M @ M.T, rtol=0, atol=1e-12)
        np.testing.assert_allclose(law.output.mean, mean[: f.d], rtol=0, atol=1e-12)


@each_noise
@pytest.mark.parametrize("curvatures", [[0.0], [1.5, -0.25, 0.0]])
def test_responses_to_curvature(noise: Any, curvatures: Any) -> None:
    """The same affine map for one curvature at a time, controlled and not."""
    for output in OUTPUTS:
        response = langevin_response(
            curvatures, TAU, UNEVEN, noise=noise, output=output
        )
        for k, curvature in enumerate(curvatures):
            estimator = chain(noise=noise, output=output)
            squares = Quadratic(curvature, [0.0])
            one = LeastSquares([[0.0]], [0.0])
            one.A = np.array([[np.sqrt(complex(curvature))]])  # A^T A = curvature
            assert squares.d == one.d
            _, M, _ = affine(one, np.zeros(1), np.zeros(1), estimator)
            wanted = (M @ M.T).real
            np.testing.assert_allclose(
                response.covariance[:, :, k], wanted, rtol=0, atol=1e-12
            )


@pytest.mark.parametrize("name", SQUARES)
@each_noise
def test_the_law_of_algorithm_5_is_that_of_the_reduced_one(
    name: str, noise: Any
) -> None:
    f = LOSSES[name]
    x, _ = points(f)
    r, a, M = f.reduced, np.array([0.5, 0.25, 0.1875]), 3
    H, slope = f.A.T @ f.A / f.N, -f.A.T @ f.b / f.N
    sd = np.sqrt(TAU) if noise == "variance" else TAU
    state = np.hstack([x[:, None], np.zeros((f.d, 3 * f.d))])
    for j, step in enumerate(a):
        bracket = state + TAU * H @ state
        bracket[:, 0] += TAU * slope - x
        noise_j = slice(1 + j * f.d, 1 + (j + 1) * f.d)  # of the mean of M samples
        bracket[:, noise_j] += TAU * H * sd / np.sqrt(M)
        state = state - step * bracket
    whole = state[:, 1:] @ state[:, 1:].T
    law = robbins_monro_law(f, x, TAU, a, M, noise=noise)
    small = robbins_monro_law(r.loss, r.project(x), TAU, a, M, noise=noise)
    for covariance in (law.covariance, r.Q @ small.covariance @ r.Q.T):
        np.testing.assert_allclose(covariance, whole, rtol=0, atol=1e-12)
    for mean in (law.mean, r.with_seen(x, small.mean)):
        np.testing.assert_allclose(mean, state[:, 0], rtol=0, atol=1e-12)


# --- Rao-Blackwell


@each_loss
@pytest.mark.parametrize("output", OUTPUTS)
def test_rao_blackwell_leaves_out_the_unseen_noise_of_the_output(
    name: str, output: Any
) -> None:
    f = LOSSES[name]
    x, start = points(f)
    r, q = f.reduced, GibbsLaw(f, x, TAU)
    estimator = chain(output=output, start="previous")
    before = Projection(x, Langevin(start, 0))
    one, other = (
        InSpan(estimator, output)(q, rng=np.random.default_rng(41), previous=before)
        for output in ("literal", "rao-blackwell")
    )
    close(r.project(one.x), r.project(other.x))
    law = estimator.flat_law(TAU, one.info)
    conditional_mean = x + law.start[0] * (start - x)
    close(other.x, r.with_seen(conditional_mean, r.project(one.x)))
    kept = ImportanceSampling(12, keep_weights=True)
    one, other = (
        InSpan(kept, output)(q, rng=np.random.default_rng(43))
        for output in ("literal", "rao-blackwell")
    )
    assert np.array_equal(one.info.normalised, other.info.normalised)
    close(other.x, r.with_seen(x, r.project(one.x)))


@pytest.mark.parametrize("output", OUTPUTS)
def test_on_quadratics_it_has_the_variance_of_the_seen_part(output: Any) -> None:
    """And the same mean: the law of total variance, exactly."""
    f = wide()
    x, start = points(f)
    estimator = chain(output=output)
    mean, M, _ = affine(f, x, start, estimator)
    d, Q = f.d, f.reduced.Q
    P = np.eye(d) - Q @ Q.T
    whole = (M @ M.T)[:d, :d]
    within = Q @ (Q.T @ whole @ Q) @ Q.T
    unseen = estimator.flat_law(TAU, Langevin(x, 0)).covariance[0, 0]
    np.testing.assert_allclose(whole - within, unseen * P, rtol=0, atol=1e-12)
    assert (unseen > 0) == (output == "average")
    # of the directions that are left out, the mean is kept
    kept = estimator.flat_law(TAU, Langevin(x, 0)).start[0]
    np.testing.assert_allclose(P @ mean[:d], P @ (x + kept * (start - x)), atol=1e-12)


# --- by sampling: one sample against its exact law

ALPHA = 1e-6
"""False alarm probability of a test by sampling, in all."""


def p_value(u: Any) -> float:
    """That the rows of u (n, D) are independent N(0, I), against their two moments.

    For every coordinate its mean, which is N(0, 1/n), and its sum of squares, chi^2_n;
    for every pair the sum of products over the root of the squares of one of them,
    which is N(0, 1) given that one.  All exact, then Bonferroni.
    """
    n, D = u.shape
    means = 2 * norm.sf(np.abs(u.sum(axis=0)) / np.sqrt(n))
    squares = (u**2).sum(axis=0)
    spread = 2 * np.minimum(chi2.sf(squares, n), chi2.cdf(squares, n))
    z = (u.T @ u) / np.sqrt(squares)
    pairs = 2 * norm.sf(np.abs(z[np.triu_indices(D, 1)]))
    every = np.concatenate([means, spread, pairs])
    return float(every.min() * every.size)


def replicates(
    estimate: Any, q: GibbsLaw, n: int, seed: int, previous: Any = None
) -> Any:
    """(output, last state) of n runs, (n, 2d)."""
    rng = np.random.default_rng(seed)
    runs = [estimate(q, rng=rng, previous=previous) for _ in range(n)]
    return np.array([[*run.x, *run.info.last] for run in runs])


def p_of_law(mean: Any, covariance: Any, found: Any) -> float:
    """That of samples (n, D) of N(mean, covariance), which may be singular.

    In the eigenbasis; directions without noise must be at their mean to rounding.
    """
    values, vectors = np.linalg.eigh(covariance)
    loud = values > 1e-9 * values.max()
    away = (found - mean) @ vectors
    if np.abs(away[:, ~loud]).max(initial=0.0) > 1e-9:
        return 0.0
    return p_value(away[:, loud] / np.sqrt(values[loud]))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("noise", READINGS)
def test_output_and_last_state_have_their_joint_law(output: Any, noise: Any) -> None:
    """Fourteen coordinates; one off by a quarter is missed with 1e-9 at most."""
    f = wide()
    x, start = points(f)
    estimator = chain(noise=noise, output=output, start="previous")
    q, before = GibbsLaw(f, x, TAU), Projection(x, Langevin(start, 0))
    mean, M, _ = affine(f, x, start, estimator)
    found = replicates(InSpan(estimator), q, 3000, 47, before)
    assert p_of_law(mean, M @ M.T, found) > ALPHA
    assert p_of_law(mean, 1.25 * M @ M.T, found) < ALPHA
    lost = M @ M.T
    lost[: f.d, f.d :] = lost[f.d :, : f.d] = 0.0
    assert p_of_law(mean, lost, found) < ALPHA
    cold, _, _ = affine(f, x, x, estimator)
    assert p_of_law(cold, M @ M.T, found) < ALPHA


def test_replicates_are_independent_estimates() -> None:
    f = wide()
    q = GibbsLaw(f, points(f)[0], TAU)
    mean, M, _ = affine(f, q.x, q.x, chain())
    found = InSpan(chain()).replicates(q, 3000, rng=np.random.default_rng(53))
    covariance = (M @ M.T)[: f.d, : f.d]
    assert p_of_law(mean[: f.d], covariance, found) > ALPHA
    apart = np.hstack([found[:-1], found[1:]])[::2]  # neighbours, each used once
    twice = np.kron(np.eye(2), covariance)
    assert p_of_law(np.tile(mean[: f.d], 2), twice, apart) > ALPHA


# --- by sampling: two samples on a network


def far_apart(one: Any, other: Any) -> float:
    """A bound of the probability that two samples (n, K) differ so much in one column.

    Kolmogorov and Smirnov's distance D of two samples of n each has P(D > t) at most
    2 exp(-n t^2), whatever their law, for n >= 458 (Wei and Dudley, 2012).  Bonferroni.
    """
    n, K = one.shape
    assert n == len(other) >= 458
    largest = 0.0
    for a, b in zip(one.T, other.T, strict=True):
        order = np.sort(np.concatenate([a, b]))
        gap = np.searchsorted(np.sort(a), order, "right") - np.searchsorted(
            np.sort(b), order, "right"
        )
        largest = max(largest, float(np.abs(gap).max()) / n)
    return float(2 * K * np.exp(-n * largest**2))


PICTURES = photographs()
LABELS = np.array([0, 2, 1, 1])
RELU = Network((12, 7, 3), 2 * PICTURES, LABELS, reduction="sum")
HIDDEN = 13 * 7


def features(f: Any, found: Any) -> Any:
    """What the two samples are compared by: (n, 2d) to (n, K).

    Every coordinate of output and last state; random projections of both; and of what f
    sees of the first layer, of what it does not, and of the other layer the squares and
    the products of the two, from where they would be without f.
    """
    d = f.d
    away = found - FLAT
    projections = np.random.default_rng(59).normal(size=(2 * d, 40))
    W = away.reshape(len(found), 2, d)
    rows = W[..., :HIDDEN].reshape(len(found), 2, 13, 7)
    _, _, Vt = np.linalg.svd(f.features)
    turned = Vt @ rows
    rank = np.linalg.matrix_rank(f.features)
    parts = [turned[:, :, :rank], turned[:, :, rank:], W[..., HIDDEN:]]
    squares = [
        (part[:, i] * part[:, j]).reshape(len(found), -1).sum(axis=1)
        for part in parts
        for i, j in ((0, 0), (0, 1), (1, 1))
    ]
    return np.column_stack([found, away @ projections, *squares])


def plain_runs(q: GibbsLaw, estimator: SGLD, start: Any, n: int, seed: int) -> Any:
    """(output, last state) of n chains of the plain algorithm, (n, 2d)."""
    rng = np.random.default_rng(seed)
    output, last = langevin(
        q.f,
        q.x,
        q.tau,
        steps(estimator.epsilon, estimator.J),
        (rng.standard_normal((n, q.x.size)) for _ in range(estimator.moves)),
        start=np.tile(start, (n, 1)),
    )
    return np.hstack([output, last])


class Faulty(SGLD):
    """`SGLD` with something wrong in what it says of flat directions."""

    def flat_law(self, tau: float, info: Any) -> FlatLaw:
        law = super().flat_law(tau, info)
        return FlatLaw(law.start * self._start, law.covariance * self._covariance)

    _start: Any = np.ones(2)
    _covariance: Any = np.ones((2, 2))


def fault(start: Any = (1, 1), covariance: Any = ((1, 1), (1, 1))) -> type[SGLD]:
    with_it = {"_start": np.array(start), "_covariance": np.array(covariance)}
    return type("Fault", (Faulty,), with_it)


class Mislabelled(Network):
    """Its reduced form has its labels in the order of the pivots."""

    @property
    def reduced(self) -> Any:  # type: ignore[override]
        right = super().reduced
        order = [1, 0, 3, 2]
        return replace(
            right,
            loss=self._over(right.loss.features, self.labels[order], right.loss.shapes),
        )


class Unprojected(Network):
    """Its unseen part is not cut out of the noise."""

    @property
    def reduced(self) -> Any:  # type: ignore[override]
        right = super().reduced

        class Added(type(right)):  # type: ignore[misc]
            def with_seen(self, y: Any, s: Any) -> Any:
                return y + self.embed(s - self.project(CENTRE))

        return Added(right.loss, right.Q, right.width)


CENTRE, START = points(RELU)
STEPS = (0.3125, 0.25, 0.3125, 0.1875)
FLAT = (CENTRE + flat_map(chain(STEPS), TAU)[0][:, None] * (START - CENTRE)).ravel()


def reduced_runs(n: int, seed: int, f: Any = RELU, kind: type[SGLD] = SGLD) -> Any:
    estimator = kind(len(STEPS), given(STEPS), start="previous")
    q, before = GibbsLaw(f, CENTRE, TAU), Projection(CENTRE, Langevin(START, 0))
    return replicates(InSpan(estimator), q, n, seed, before)


def compare(n: int, found: Any, seed: int) -> float:
    q = GibbsLaw(RELU, CENTRE, TAU)
    plain = plain_runs(q, chain(STEPS), START, n, seed)
    return far_apart(features(RELU, plain), features(RELU, found))


def test_a_chain_on_a_network_has_the_law_of_the_plain_one() -> None:
    assert RELU.reduced.Q.shape == (13, 3)
    assert compare(1500, reduced_runs(1500, 61), 67) > ALPHA


@pytest.mark.slow
def test_a_chain_on_a_network_has_the_law_of_the_plain_one_closely() -> None:
    assert compare(20_000, reduced_runs(20_000, 71), 73) > ALPHA


#: Each moves one of the features by a distance of 0.2 at least, where the test rejects
#: from 0.116 on: it is missed with probability e^(-n (0.2 - 0.116)^2) < 1e-4.
FAULTS: dict[str, dict[str, Any]] = {
    "no unseen noise": {"kind": fault(covariance=((0, 0), (0, 0)))},
    "no unseen noise in the output": {"kind": fault(covariance=((0, 0), (0, 1)))},
    "a tenth too much in the output": {"kind": fault(covariance=((1.1, 1), (1, 1)))},
    "covariance lost": {"kind": fault(covariance=((1, 0), (0, 1)))},
    "cold start of the output": {"kind": fault(start=(0, 1))},
    "cold start of the last state": {"kind": fault(start=(1, 0))},
    "labels not permuted": {
        "f": Mislabelled((12, 7, 3), 2 * PICTURES, LABELS, reduction="sum")
    },
    "no projector": {
        "f": Unprojected((12, 7, 3), 2 * PICTURES, LABELS, reduction="sum")
    },
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_comparison_sees_faults(name: str) -> None:
    assert compare(1500, reduced_runs(1500, 79, **FAULTS[name]), 83) < ALPHA


# --- by sampling: several updates, each with another minibatch

DEALT = Network((12, 7, 3), 2 * images(11, 6, 12), [0, 2, 1, 1, 0, 2], reduction="sum")
BATCHES = [DEALT.batch(rows) for rows in ([0, 3], [5, 1], [2, 3, 4])]


class InTurn:
    """Another estimator for every update."""

    def __init__(self, estimators: Iterator[Any]) -> None:
        self._estimators = estimators

    def __call__(self, q: GibbsLaw, **more: Any) -> Projection:
        return next(self._estimators)(q, **more)


def paths(n: int, seed: int, make: Callable[[], list[Any]]) -> Any:
    """x_1, x_2, x_3 of n whole runs, (n, 3 d)."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        project = InTurn(iter(make()))
        run = two_step(BATCHES, CENTRE, tau=TAU, project=project, rng=rng)
        found.append(np.concatenate([iterate.x for iterate in run]))
    return np.array(found)


def of_paths(found: Any) -> Any:
    """Coordinates, random projections, and squares and products of the moves."""
    moves = np.diff(
        np.column_stack([np.tile(CENTRE, (len(found), 1)), found]).reshape(
            len(found), 4, -1
        ),
        axis=1,
    )
    products = [
        (moves[:, i] * moves[:, j]).sum(axis=1) for i in range(3) for j in range(i + 1)
    ]
    random = np.random.default_rng(89).normal(size=(found.shape[1], 40))
    return np.column_stack([found, found @ random, *products])


def mixed() -> list[Any]:
    return [
        ImportanceSampling(20),
        chain(STEPS),
        RobbinsMonro(3, PowerLaw(0.5, 0.75), 2),
    ]


def warm() -> list[Any]:
    return [chain(STEPS, start="previous")] * 3


@pytest.mark.parametrize("make", [mixed, warm])
@pytest.mark.parametrize(
    "n", [pytest.param(600), pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_runs_over_several_minibatches(make: Callable[[], list[Any]], n: int) -> None:
    plain = paths(n, 97, make)
    reduced = paths(n, 101, lambda: [InSpan(one) for one in make()])
    assert far_apart(of_paths(plain), of_paths(reduced)) > ALPHA


def test_runs_with_a_lost_covariance_are_seen() -> None:
    lost = fault(covariance=((1, 0), (0, 1)))
    wrong = lost(len(STEPS), given(STEPS), start="previous")
    found = paths(600, 103, lambda: [InSpan(wrong)] * 3)
    assert far_apart(of_paths(found), of_paths(paths(600, 107, warm))) < ALPHA


def test_where_nothing_is_drawn_nothing_moves() -> None:
    """Algorithm 5 leaves what f does not see where it is, to rounding."""
    q = GibbsLaw(RELU, CENTRE, TAU)
    found = InSpan(RobbinsMonro(4, PowerLaw(0.5, 0.75), 3)).replicates(
        q, 5, rng=np.random.default_rng(109)
    )
    r = RELU.reduced
    for x in found:
        close(r.with_seen(x, 0 * r.project(x)), r.with_seen(CENTRE, 0 * r.project(x)))
        assert np.abs(x - CENTRE).max() > 1e-3


# --- what comes with it, and what is refused


def test_what_the_estimators_tell_is_told_in_the_whole_space() -> None:
    q = GibbsLaw(RELU, CENTRE, TAU)
    rng = np.random.default_rng(113)
    langevin_info = InSpan(chain(start="previous"))(q, rng=rng).info
    assert isinstance(langevin_info, Langevin)
    assert langevin_info.last.shape == (RELU.d,)
    assert langevin_info.gradients == len(UNEVEN) - 1
    weights = InSpan(ImportanceSampling(8, keep_weights=True))(q, rng=rng).info
    assert isinstance(weights, Weights)
    assert weights.normalised is not None
    assert weights.normalised.shape == (8,)
    assert 1 / (weights.normalised**2).sum() == pytest.approx(
        weights.effective_sample_size
    )
    h = InSpan(RobbinsMonro(4, PowerLaw(0.5, 0.75), 3))(q, rng=rng).info.h
    r = RELU.reduced
    close(r.with_seen(h, 0 * r.project(h)), 0 * h)


@pytest.mark.parametrize(
    "estimator",
    [chain(), ImportanceSampling(300, workers=2), RobbinsMonro(3, Constant(0.25), 2)],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_stream_fixes_every_bit(estimator: Any) -> None:
    q = GibbsLaw(RELU, CENTRE, TAU)
    first, again, other = (
        InSpan(estimator)(q, rng=np.random.default_rng(seed)).x for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    before = CENTRE.copy()
    assert np.array_equal(q.x, before)


def test_one_state_of_the_literal_chain_is_the_start() -> None:
    q = GibbsLaw(wide(), points(wide())[0], TAU)
    found = InSpan(chain([0.25]))(q, rng=np.random.default_rng(1))
    close(found.x, q.x)
    close(found.info.last, q.x)


def test_a_warm_start_needs_a_chain_before_it() -> None:
    q = GibbsLaw(RELU, CENTRE, TAU)
    before = InSpan(ImportanceSampling(3))(q, rng=np.random.default_rng(1))
    with pytest.raises(InvalidParameter, match='start="previous" needs'):
        InSpan(chain(start="previous"))(
            q, rng=np.random.default_rng(1), previous=before
        )


def test_refusals() -> None:
    rng, q = np.random.default_rng(1), GibbsLaw(RELU, CENTRE, TAU)
    fresh = GibbsLaw(Resampled(RELU, 2, rng), CENTRE, TAU)
    for estimator in (
        chain(),
        ImportanceSampling(3),
        RobbinsMonro(1, Constant(0.5), 1),
    ):
        with pytest.raises(
            InvalidParameter, match="fresh minibatch at every evaluation"
        ):
            InSpan(estimator)(fresh, rng=rng)
        bowl = GibbsLaw(Quadratic(1.0, [0.0, 0.0]), np.zeros(2), TAU)
        with pytest.raises(InvalidParameter, match="Quadratic does not say which"):
            InSpan(estimator)(bowl, rng=rng)
    for traced in (chain(trace=True), RobbinsMonro(1, Constant(0.5), 1, trace=True)):
        with pytest.raises(InvalidParameter, match="no trace in the whole space"):
            InSpan(traced)
    with pytest.raises(InvalidParameter, match='output must be "literal" or'):
        InSpan(chain(), "rao")  # type: ignore[arg-type]
    for bad in (None, 3, np.random):
        with pytest.raises(InvalidParameter, match="rng"):
            InSpan(chain())(q, rng=bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="n must be"):
        InSpan(chain()).replicates(q, 0, rng=rng)


def test_bad_readings_are_refused() -> None:
    for bad in ("sd", "Variance", None, 1):
        with pytest.raises(InvalidParameter, match="noise must be"):
            chain(noise=bad)
        with pytest.raises(InvalidParameter, match="noise must be"):
            ImportanceSampling(3, noise=bad)  # type: ignore[arg-type]
        with pytest.raises(InvalidParameter, match="noise must be"):
            RobbinsMonro(3, Constant(0.5), 1, noise=bad)  # type: ignore[arg-type]
        with pytest.raises(InvalidParameter, match="output must be"):
            chain(output=bad)


def test_an_exact_step_is_no_estimator() -> None:
    with pytest.raises((InvalidParameter, AttributeError)):
        InSpan(ExactMean())(GibbsLaw(RELU, CENTRE, TAU), rng=np.random.default_rng(1))  # type: ignore[arg-type]
