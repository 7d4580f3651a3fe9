"""Hypothesis strategies for the losses and problems of the suite.

Every number drawn has few binary digits, so that it is the same in every language and
precision and a failing example can be read; every structure is generic (full
covariances, several components, indefinite curvature where it is asked for) and
shrinks to a simple one: one parameter, one component, zeros, tau = 1.

Wherever `d` is None the dimension is drawn too, between 1 and 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from verification.losses import (
    Constant,
    GaussianMixture,
    GaussianWells,
    LeastSquares,
    Linear,
    LossData,
    Quadratic,
    Quartic,
    Trigonometric,
)
from verification.problems import Problem

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "verification.strategies needs Hypothesis, which the extra `strategies` "
        'brings: pip install "local-entropy-oracle[strategies]"',
        name=error.name,
    ) from None

__all__ = [
    "constants",
    "covariances",
    "dimensions",
    "dyadics",
    "least_squares",
    "linears",
    "losses",
    "mixtures",
    "points",
    "problems",
    "quadratics",
    "quartics",
    "symmetric_matrices",
    "taus",
    "waves",
    "wells",
]

Array = npt.NDArray[np.float64]


# --- numbers, points and matrices -----------------------------------------------------


@cache
def dyadics(low: float, high: float, bits: int = 3) -> st.SearchStrategy[float]:
    """Numbers n / 2**bits between two others; they shrink towards zero.

    Parameters
    ----------
    low, high : float
        The ends, both included.
    bits : int
        How many binary digits may stand after the point.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(dyadics(-4, 4), lambda number: number > 1)
    1.125
    """
    scale = 2**bits
    whole = st.integers(math.ceil(low * scale), math.floor(high * scale))
    return whole.map(lambda n: n / scale)


def dimensions(max: int = 3) -> st.SearchStrategy[int]:  # noqa: A002
    """A number of parameters, from 1 to `max`."""
    return st.integers(1, max)


def points(d: int, reach: float = 4.0) -> st.SearchStrategy[Array]:
    """Points of R^d, shape (d,), no coordinate beyond `reach`."""
    return _arrays(dyadics(-reach, reach), d)


def taus(smallest: float = 2**-10, largest: float = 2**10) -> st.SearchStrategy[float]:
    """Variances over many orders of magnitude; they shrink to 1.

    Parameters
    ----------
    smallest, largest : float
        Both included, 0 < smallest <= largest.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(taus(), lambda tau: tau > 5) > 5
    True
    """
    if not 0 < smallest <= largest < math.inf:
        raise ValueError(
            "variances lie between 0 < smallest <= largest, "
            f"got {smallest!r} and {largest!r}"
        )
    ends = math.floor(math.log2(smallest)), math.floor(math.log2(largest))
    mantissas = st.sampled_from([1.0, 1.25, 1.5, 1.75])
    return st.builds(
        lambda k, m: min(max(math.ldexp(m, k), smallest), largest),
        st.integers(*ends),
        mantissas,
    )


@st.composite
def covariances(draw: st.DrawFn, d: int, condition: float = 64.0) -> Array:
    """Symmetric positive definite matrices, shape (d, d); they shrink to I.

    Parameters
    ----------
    d : int
    condition : float
        What no matrix's condition number exceeds; more than 1.

    Notes
    -----
    B B^T + r I has at most the condition number 1 + trace(B B^T) / r, and with B and r
    of few binary digits it is exact.
    """
    if not condition > 1:
        raise ValueError(f"a condition number must exceed 1, got {condition!r}")
    B = draw(_arrays(dyadics(-2, 2, 2), d, d))
    gram = B @ B.T
    ridge = math.ceil(16 * np.trace(gram) / (condition - 1)) / 16 or 1.0
    scale = draw(st.sampled_from([1.0, 0.5, 2.0, 0.25, 4.0, 0.125]))
    return np.asarray(scale * (gram + ridge * np.eye(d)))


@st.composite
def symmetric_matrices(draw: st.DrawFn, d: int, reach: float = 2.0) -> Array:
    """Symmetric matrices of any signature, shape (d, d); they shrink to zero."""
    lower = np.tril(draw(_arrays(dyadics(-reach, reach), d, d)))
    return lower + np.tril(lower, -1).T


# --- losses, one strategy a kind ------------------------------------------------------


@st.composite
def constants(draw: st.DrawFn, d: int | None = None) -> Constant:
    """Constant losses."""
    return Constant(draw(dyadics(-4, 4)), _dimension(draw, d))


@st.composite
def linears(draw: st.DrawFn, d: int | None = None) -> Linear:
    """Linear losses."""
    d = _dimension(draw, d)
    return Linear(draw(points(d)), draw(dyadics(-4, 4)))


@st.composite
def quadratics(
    draw: st.DrawFn, d: int | None = None, indefinite: bool = False
) -> Quadratic:
    """Quadratic losses with a scalar, diagonal or full H.

    Parameters
    ----------
    d : int, optional
    indefinite : bool
        Whether H may have eigenvalues <= 0; then local entropy exists only while
        I + tau H is positive definite.
    """
    d = _dimension(draw, d)
    H = draw(_curvatures(d, indefinite))
    return Quadratic(H, draw(points(d)), draw(dyadics(-4, 4)))


@st.composite
def quartics(draw: st.DrawFn, d: int | None = None) -> Quartic:
    """Confining quartic losses, many of them with several wells."""
    d = _dimension(draw, d)
    return Quartic(
        draw(_arrays(dyadics(0.125, 2), d)),
        draw(_arrays(dyadics(-2, 2), d)),
        draw(_arrays(dyadics(-4, 4), d)),
        draw(dyadics(-1, 1)),
    )


@st.composite
def waves(
    draw: st.DrawFn, d: int | None = None, indefinite: bool = False
) -> Trigonometric:
    """One to three cosines plus a quadratic; arguments as in `quadratics`."""
    d = _dimension(draw, d)
    K = draw(st.integers(1, 3))
    return Trigonometric(
        draw(_arrays(dyadics(-1, 1), K)),
        draw(_arrays(dyadics(-4, 4, 2), K, d)),
        draw(_arrays(dyadics(-3, 3), K)),
        draw(_curvatures(d, indefinite)),
        draw(points(d)),
        draw(dyadics(-4, 4)),
    )


@st.composite
def mixtures(draw: st.DrawFn, d: int | None = None) -> GaussianMixture:
    """Mixtures of one to three Gaussians, the weights sixteenths of sum 1.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(mixtures(), lambda f: f.weights.size > 1).weights
    array([0.0625, 0.9375])
    """
    d = _dimension(draw, d)
    cuts = draw(st.lists(st.integers(1, 15), max_size=2, unique=True))
    weights = np.diff([0, *sorted(cuts), 16]) / 16
    return GaussianMixture(weights, *_components(draw, weights.size, d))


@st.composite
def wells(draw: st.DrawFn, d: int | None = None) -> GaussianWells:
    """One to three Gaussian wells; those of negative depth are hills."""
    d = _dimension(draw, d)
    K = draw(st.integers(1, 3))
    depths = draw(_arrays(dyadics(-1, 3), K))
    return GaussianWells(depths, *_components(draw, K, d), draw(dyadics(-4, 4)))


@st.composite
def least_squares(draw: st.DrawFn, d: int | None = None) -> LeastSquares:
    """Least squares of one to six examples, with fewer of them than parameters too."""
    d = _dimension(draw, d)
    N = draw(st.integers(1, 6))
    return LeastSquares(
        draw(_arrays(dyadics(-2, 2), N, d)), draw(_arrays(dyadics(-4, 4), N))
    )


_STRATEGIES = {
    "constant": constants,
    "linear": linears,
    "quadratic": quadratics,
    "quartic": quartics,
    "trigonometric": waves,
    "gaussian_mixture": mixtures,
    "gaussian_wells": wells,
    "least_squares": least_squares,
}
_MAY_BE_INDEFINITE = ("quadratic", "trigonometric")


# --- losses of any kind, and problems -------------------------------------------------


def losses(
    kinds: Sequence[str] | None = None,
    d: int | None = None,
    indefinite: bool = False,
) -> st.SearchStrategy[LossData]:
    """Losses of these kinds of `verification.losses`; all but networks by default.

    Parameters
    ----------
    kinds : sequence of str, optional
    d : int, optional
    indefinite : bool
        As in `quadratics`.

    Raises
    ------
    ValueError
        If there is no such kind, or none is given.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(losses(["linear", "quartic"]), lambda f: f.d == 2).d
    2
    """
    names = [*_STRATEGIES] if kinds is None else [*kinds]
    unknown = [name for name in names if name not in _STRATEGIES]
    if unknown or not names:
        raise ValueError(f"kinds are among {', '.join(_STRATEGIES)}, got {names}")
    return st.one_of([_of_kind(name, d, indefinite) for name in names])


@st.composite
def problems(
    draw: st.DrawFn,
    kinds: Sequence[str] | None = None,
    d: int | None = None,
    smallest: float = 2**-10,
    largest: float = 2**10,
) -> Problem:
    """Problems whose local entropy exists, indefinite losses included.

    Parameters
    ----------
    kinds : sequence of str, optional
        As in `losses`.
    d : int, optional
    smallest, largest : float
        Between which tau lies; where H is indefinite tau is halved, if need be below
        `smallest`, until the eigenvalues of I + tau H are at least 1/4.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(problems(["linear"]), lambda problem: problem.d == 2).label
    'linear d=2, tau = 1'
    """
    loss = draw(losses(kinds, d, indefinite=True))
    tau = draw(taus(smallest, largest))
    least = _least_curvature(loss)
    while 1 + tau * least < 0.25:
        tau /= 2
    x = tuple(draw(points(loss.d)).tolist())
    return Problem(f"{loss.kind} d={loss.d}, tau = {tau:g}", loss, x, tau)


# --- pieces ---------------------------------------------------------------------------


@cache
def _arrays(numbers: st.SearchStrategy[float], *shape: int) -> Any:
    """Arrays of this shape.

    Kept, like the numbers, because Hypothesis prepares every new strategy anew.
    """
    count = math.prod(shape)
    flat = st.lists(numbers, min_size=count, max_size=count)
    return flat.map(lambda values: np.array(values, dtype=np.float64).reshape(shape))


def _dimension(draw: st.DrawFn, d: int | None) -> int:
    return draw(dimensions()) if d is None else d


def _curvatures(d: int, indefinite: bool) -> st.SearchStrategy[Any]:
    """H as a number, a diagonal (d,) or a matrix (d, d)."""
    if indefinite:
        signed = dyadics(-2, 4)
        return st.one_of(signed, _arrays(signed, d), symmetric_matrices(d))
    positive = dyadics(0.125, 4)
    return st.one_of(positive, _arrays(positive, d), covariances(d))


def _components(draw: st.DrawFn, K: int, d: int) -> tuple[Array, Array]:
    """Means (K, d) and covariances (K, d, d)."""
    means = draw(_arrays(dyadics(-4, 4), K, d))
    return means, np.array([draw(covariances(d)) for _ in range(K)])


def _of_kind(kind: str, d: int | None, indefinite: bool) -> st.SearchStrategy[LossData]:
    strategy: Any = _STRATEGIES[kind]
    found: st.SearchStrategy[LossData] = (
        strategy(d, indefinite) if kind in _MAY_BE_INDEFINITE else strategy(d)
    )
    return found


def _least_curvature(loss: Any) -> float:
    """The least eigenvalue of the loss's quadratic part; 0 where it has none."""
    H = getattr(loss, "H", 0.0)
    matrix = H if np.ndim(H) == 2 else np.diag(H * np.ones(loss.d))
    return float(np.linalg.eigvalsh(matrix)[0])
