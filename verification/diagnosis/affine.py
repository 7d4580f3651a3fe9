"""The coefficients of a recursion, read off what it returns on quadratics.

On f(y) = (y - m)'H(y - m)/2 with H = diag(h) every coordinate runs on its own:

    y_l = (1 - b_l - a_l h) y_{l-1} + b_l x + a_l h m + c_l s(h) z_l,   l = 1, ..., L,
    output = w_0 y_0 + ... + w_L y_L,

s = 1 in Algorithm 3 and -h in Algorithm 5.  The output is affine in start, x, m and the
draws.  With Q_l = dO/dy_l, which obeys Q_L = w_L and
Q_l = w_l + (1 - b_{l+1} - a_{l+1} h) Q_{l+1}, its derivatives are

    by z_l: c_l s Q_l,  by m: h sum a_l Q_l,  by x: sum b_l Q_l,  by the start: Q_0,

all of them polynomials in h.  With one curvature h per coordinate they are known at
enough points to solve for every coefficient of every move, one linear system after the
other, without any guess at what the coefficients should be:

1.  a_l/c_l and b_l/c_l from the derivatives by m and x, as combinations of the g_l =
    c_l Q_l, which have different degrees;
2.  w_0 and 1/c_1 from Q_0 + (b_1/c_1 + a_1/c_1 h) g_1 = w_0 + (1/c_1) g_1, and so on,
    w_l and 1/c_{l+1} from g_l/c_l.

Of the last move only c_L w_L, a_L/c_L, b_L/c_L and w_{L-1} + w_L are determined: what
the last state is made of and how much it counts cannot be told apart.  `closed` takes
its c_L as given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.errors import NotRun, SubjectFault
from verification.losses import Quadratic

__all__ = ["Recursion", "Setting", "solved"]

Array = NDArray[np.float64]

#: Relative: what differences of outputs leave, on quadratics of moderate curvature.
EXACT = 1e-9


@dataclass(frozen=True)
class Setting:
    """What a recursion is probed with.

    Attributes
    ----------
    tau : float
    steps : tuple of float
    moves : int
        L.
    inner : int
        Draws for each move and coordinate; 0 where the draws have no such axis.
    """

    tau: float
    steps: tuple[float, ...]
    moves: int
    inner: int = 0

    @property
    def curvatures(self) -> Array:
        """h, one for each coordinate: (K,)."""
        count = 2 * self.moves + 2
        nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
        return np.round(0.9 + 0.7 * nodes, 6)


#: ask(loss, x, start, draws): outputs (n, d) for draws (n, moves, d), or with M.
Ask = Callable[[Any, Array, Array, Array], Array]


@dataclass(frozen=True)
class Recursion:
    """Its coefficients.

    Attributes
    ----------
    a, b, c : ndarray, shape (L,)
        Of the last move only relative to its c, which is NaN.
    w : ndarray, shape (L + 1,)
        NaN for the last two.
    drift, pull : ndarray, shape (L,)
        a/c and b/c.
    last : float
        c_L w_L.
    both : float
        w_{L-1} + w_L.
    """

    a: Array
    b: Array
    c: Array
    w: Array
    drift: Array
    pull: Array
    last: float
    both: float

    def closed(self, c: float) -> Recursion:
        """The recursion with this c for the last move."""
        a, b, cs, w = (part.copy() for part in (self.a, self.b, self.c, self.w))
        cs[-1], a[-1], b[-1] = c, c * self.drift[-1], c * self.pull[-1]
        w[-1] = self.last / c
        w[-2] = self.both - w[-1]
        return Recursion(a, b, cs, w, self.drift, self.pull, self.last, self.both)


def solved(ask: Ask, setting: Setting, of_noise: Callable[[Array], Array]) -> Any:
    """The coefficients of a subject's recursion; None if it is none of this form.

    Parameters
    ----------
    ask : callable
        ask(loss, x, start, draws).
    setting : Setting
    of_noise : callable
        s(h), (K,) to (K,).

    Returns
    -------
    Recursion or None
    """
    try:
        responses = _responses(ask, setting)
    except (NotRun, SubjectFault):
        return None
    if responses is None:
        return None
    by_start, by_x, by_m, by_draws = responses
    h = setting.curvatures
    return _recursion(h, by_start, by_x, by_m / h, by_draws / of_noise(h))


def _responses(ask: Ask, setting: Setting) -> Any:
    """Derivatives of the output, (K,) each and (L, K); None if it is not affine."""
    h = setting.curvatures
    K, L, M = len(h), setting.moves, max(setting.inner, 1)
    m, x, start = (0.3 * np.sin(np.arange(K) + shift) for shift in (1.0, 2.0, 3.0))
    loss, other = Quadratic(np.diag(h), m), Quadratic(np.diag(h), m + 1)
    rows = 1 + L * M * K + 1
    flat = np.zeros((rows, L * M * K))
    flat[1:-1] = np.eye(L * M * K)
    flat[-1] = np.cos(np.arange(L * M * K) ** 2)
    shape = (L, M, K) if setting.inner else (L, K)
    z = flat.reshape(rows, *shape)
    outputs = ask(loss, x, start, z)
    base = outputs[0]
    slopes = (outputs[1:-1] - base).reshape(L, M, K, K)
    scale = max(1.0, float(np.abs(outputs).max()))
    predicted = base + flat[-1] @ (outputs[1:-1] - base)
    if not np.abs(predicted - outputs[-1]).max() <= EXACT * scale * len(flat[-1]):
        return None
    own = np.einsum("lmkk->lmk", slopes)
    crossed = slopes - own[..., None] * np.eye(K)
    if not max(np.abs(crossed).max(), np.ptp(own, axis=1).max()) <= EXACT * scale:
        return None  # draws of other coordinates, or unequal samples of one move
    zero = z[:1]
    by_start = ask(loss, x, start + 1, zero)[0] - base
    by_x = ask(loss, x + 1, start, zero)[0] - base
    by_m = ask(other, x, start, zero)[0] - base
    return by_start, by_x, by_m, own[:, 0]


def _recursion(h: Array, first: Array, by_x: Array, by_m: Array, g: Array) -> Any:
    L, K = g.shape
    if np.abs(g).max(axis=1).min() <= EXACT or L < 3:
        return None  # a move without noise hides what follows it
    drift, gap_m = _combination(g, by_m)
    pull, gap_x = _combination(g, by_x)
    c, w = np.full(L, np.nan), np.full(L + 1, np.nan)
    total, worst = first, max(gap_m, gap_x)
    for l in range(L - 1):
        # total = w_l + (1 - b_{l+1} - a_{l+1} h) Q_{l+1}
        left = total + (pull[l] + drift[l] * h) * g[l]
        (w[l], inverse), gap = _combination(np.stack([np.ones(K), g[l]]), left)
        worst = max(worst, gap)
        if not abs(inverse) > EXACT:
            return None
        c[l] = 1 / inverse
        total = g[l] / c[l]
    # total = Q_{L-1} = w_{L-1} + (1 - b_L - a_L h) w_L, and g_L = c_L w_L
    left = total + (pull[-1] + drift[-1] * h) * g[-1]
    (both,), gap = _combination(np.ones((1, K)), left)
    (last,), flat = _combination(np.ones((1, K)), g[-1])
    if not max(worst, gap, flat) <= 100 * EXACT:
        return None
    return Recursion(drift * c, pull * c, c, w, drift, pull, float(last), float(both))


def _combination(rows: Array, target: Array) -> tuple[Array, float]:
    """Coefficients of rows (R, K) that make up a target (K,), and what is left."""
    solution = np.linalg.lstsq(rows.T, target, rcond=None)[0]
    found = np.asarray(solution, dtype=np.float64)
    size = max(1.0, float(np.abs(target).max()))
    return found, float(np.abs(rows.T @ found - target).max()) / size
