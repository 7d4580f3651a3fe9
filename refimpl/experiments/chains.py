"""The exact mean of Algorithm 3's output in one dimension, for any loss.

With U = f + pull, a move from y draws the next state from N(m(y), epsilon), where
m(y) = y - epsilon U'(y)/2.  On an equidistant grid of step h the expectation over it is
a matrix K, the trapezoidal rule, and the mean output is

    (x + sum_{k=1}^{J-1} (K^k y)(x)) / J,    y being the function that is y at y.

The functions K^k y change over lengths of sqrt(epsilon) / |m'|, so that h is half of
the smallest of these.  The answer is found on two grids, which must agree.

What leaves the grid is left out.  An unstable chain soon leaves every grid, and there
is no answer.
"""

import numpy as np

from refimpl.arrays import Array
from refimpl.errors import NotCertified
from refimpl.laws import GibbsLaw
from refimpl.quadrature import DROP

LOSS = 1e-3
"""The largest accepted share of the time outside the grid."""

TOLERANCE = 1e-8
"""The largest accepted difference between two grids, in units of their width."""

MAX_NODES = 2**12


def mean_output(q: GibbsLaw, epsilon: float, J: int) -> float:
    """E of the output of `SGLD` with J equal steps, started at the centre.

    Parameters
    ----------
    q : GibbsLaw
        In one dimension, of a loss that states its support and has a Hessian.
    epsilon : float
        The step size, a variance.
    J : int

    Raises
    ------
    NotCertified
        If the chain leaves the grid, or the grid would be too large.

    Examples
    --------
    >>> from refimpl.losses import Trigonometric
    >>> f = Trigonometric([0.0], [[1.0]], [0.0], 1.0, [0.0])  # y^2 / 2, E_q X = 1
    >>> round(mean_output(GibbsLaw(f, np.array([2.0]), 1.0), 0.1, 4000), 4)
    1.0025
    """
    if J == 1:
        return float(q.x[0])
    coarse, fine = (_on(_grid(q, epsilon, h), q, epsilon, J) for h in (0.5, 0.35))
    lower, upper = _box(q)
    if not abs(coarse - fine) <= TOLERANCE * (upper - lower):
        raise NotCertified(
            f"two grids differ by {abs(coarse - fine):.2g} on the mean output of a "
            f"chain with epsilon = {epsilon:g}"
        )
    return fine


def _on(grid: Array, q: GibbsLaw, epsilon: float, J: int) -> float:
    """The mean output as one grid sees it."""
    moves = _expectations(q, grid, grid, epsilon)
    first = _expectations(q, q.x, grid, epsilon)[0]
    values = np.stack([np.ones_like(grid), grid], axis=1)
    total = first @ _geometric_sum(moves, values, J - 1)
    lost = 1 - total[0] / (J - 1)
    if not abs(lost) <= LOSS:
        raise NotCertified(
            f"the chain with epsilon = {epsilon:g} spends a share of {lost:.2g} of its "
            "time outside the grid: its output has no mean that could be certified"
        )
    return float((q.x[0] + total[1]) / J)


def _box(q: GibbsLaw) -> tuple[float, float]:
    """The ends between which the mass of q lies."""
    support = q.f.support  # type: ignore[attr-defined]
    lower, upper = support(q.x, np.array([[q.tau]]), -1, DROP)
    return float(lower[0]), float(upper[0])


def _grid(q: GibbsLaw, epsilon: float, fineness: float) -> Array:
    """Equidistant points, shape (n,), over one and a half times the box of q.

    The chain's own law is wider than q.
    """
    lower, upper = _box(q)
    inside = np.linspace(lower, upper, 1001)[:, None]
    bend = q.f.hessian(inside)[:, 0, 0] + 1 / q.tau  # type: ignore[attr-defined]
    steepest = max(1.0, float(np.abs(1 - 0.5 * epsilon * bend).max()))
    h = fineness * np.sqrt(epsilon) / steepest
    n = int(np.ceil(0.75 * (upper - lower) / h))
    if 2 * n + 1 > MAX_NODES:
        raise NotCertified(f"a step size of {epsilon:g} needs {2 * n + 1} nodes")
    return np.asarray((lower + upper) / 2 + h * np.arange(-n, n + 1))


def _expectations(q: GibbsLaw, start: Array, grid: Array, epsilon: float) -> Array:
    """The trapezoidal rule for the state after one move from each start, (m, n)."""
    slope = q.f.gradient(start[:, None])[:, 0] + (start - q.x[0]) / q.tau
    shift = grid - (start - 0.5 * epsilon * slope)[:, None]
    density = np.exp(-0.5 * shift * shift / epsilon) / np.sqrt(2 * np.pi * epsilon)
    return np.asarray((grid[1] - grid[0]) * density)


def _geometric_sum(K: Array, v: Array, n: int) -> Array:
    """sum_{k=0}^{n-1} K^k v, by doubling, shape of v."""
    total, block, power = np.zeros_like(v), v, K
    while n:
        if n % 2:
            total = block + power @ total
        n //= 2
        if n:
            block = block + power @ block
            power = power @ power
    return total
