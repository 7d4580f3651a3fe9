"""The coefficients of a recursion, read off what it returns on quadratics.

On f(y) = (y - m)'H(y - m)/2 with H = diag(h) every coordinate runs on its own:

    y_l = (1 - p_l - a_l h) y_{l-1} + b_l x + a_l h m + c_l s(h) z_l,   l = 1, ..., L,
    output = w_0 y_0 + ... + w_L y_L,

s = 1 in Algorithm 3 and -h in Algorithm 5; p = b where the pull is towards x.  The
output is affine in start, x, m and the draws.  With Q_l = dO/dy_l, which obeys
Q_L = w_L and Q_l = w_l + (1 - p_{l+1} - a_{l+1} h) Q_{l+1}, its derivatives are

    by z_l: c_l s Q_l,  by m: h sum a_l Q_l,  by x: sum b_l Q_l,  by the start: Q_0,

all of them polynomials in h.  With one curvature h per coordinate they are known at
enough points to solve for every coefficient of every move, one linear system after the
other, without any guess at what the coefficients should be:

1.  a_l/c_l and b_l/c_l from the derivatives by m and x, as combinations of the g_l =
    c_l Q_l, which have different degrees;
2.  w_0 and (1 - p_1)/c_1 from Q_0 + a_1/c_1 h g_1 = w_0 + (1 - p_1)/c_1 g_1;
3.  c_l, w_l and (1 - p_{l+1})/c_{l+1} from g_l = c_l (w_l + (1 - p_{l+1})/c_{l+1}
    g_{l+1} - a_{l+1}/c_{l+1} h g_{l+1}), move by move.

Of the last move only c_L w_L, a_L/c_L, b_L/c_L and w_{L-1} + (1 - p_L) w_L are
determined: what the last state is made of and how much it counts cannot be told apart.
`Recursion.closed` takes its c_L and p_L as given.  Without a drift or without noise the
degrees are all the same, and nothing can be solved for: `single` reads one move alone,
of which it tells a_1 w_1, b_1 w_1, c_1 w_1 and w_0 + (1 - p_1) w_1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.errors import NotRun, SubjectFault
from verification.losses import Quadratic

__all__ = ["Recursion", "Setting", "Single", "single", "solved"]

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
    stiffness : float
        The size of the curvatures.
    """

    tau: float
    steps: tuple[float, ...]
    moves: int
    inner: int = 0
    stiffness: float = 1.0

    @property
    def curvatures(self) -> Array:
        """h, one for each coordinate: (K,)."""
        count = 2 * self.moves + 2
        nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
        return self.stiffness * np.round(0.9 + 0.7 * nodes, 6)


#: ask(loss, x, start, draws): outputs (n, d) for draws (n, moves, d), or with M.
Ask = Callable[[Any, Array, Array, Array], Array]
#: s(h), (K,) to (K,).
OfNoise = Callable[[Array], Array]


@dataclass(frozen=True)
class Recursion:
    """Its coefficients.

    Attributes
    ----------
    a, p, b, c : ndarray, shape (L,)
        Of the last move only relative to its c, which is NaN, and no p.
    w : ndarray, shape (L + 1,)
        NaN for the last two.
    drift, pull : ndarray, shape (L,)
        a/c and b/c.
    last : float
        c_L w_L.
    both : float
        w_{L-1} + (1 - p_L) w_L.
    """

    a: Array
    p: Array
    b: Array
    c: Array
    w: Array
    drift: Array
    pull: Array
    last: float
    both: float

    def with_noise(self, size: float) -> Recursion:
        """The recursion whose draws are this much smaller."""
        return replace(
            self,
            c=self.c * size,
            drift=self.drift / size,
            pull=self.pull / size,
            last=self.last * size,
        )

    def weights(self, c: float, p: float) -> Array:
        """w, all of them, for this c and p of the last move."""
        w = self.w.copy()
        w[-1] = self.last / c
        w[-2] = self.both - (1 - p) * w[-1]
        return w


@dataclass(frozen=True)
class Single:
    """What one move tells.

    Attributes
    ----------
    a, b, c : float
        Times w_1.
    stays : float
        w_0 + (1 - p) w_1.
    """

    a: float
    b: float
    c: float
    stays: float


def solved(ask: Ask, setting: Setting, of_noise: OfNoise) -> Recursion | None:
    """The coefficients of a subject's recursion; None if it is none of this form.

    Parameters
    ----------
    ask : callable
        ask(loss, x, start, draws).
    setting : Setting
        Of three moves or more.
    of_noise : callable
        s(h), (K,) to (K,).
    """
    responses = _responses(ask, setting)
    if responses is None:
        return None
    by_start, by_x, by_m, by_draws = responses
    h = setting.curvatures
    g = by_draws / of_noise(h)
    sizes = np.abs(g).max(axis=1)
    if setting.moves < 3 or not sizes.min() > EXACT * sizes.max():
        return None  # a move without noise hides what follows it
    size = float(sizes.max())
    found = _recursion(h, by_start, by_x, by_m / h, g / size)
    return None if found is None else found.with_noise(size)


def single(ask: Ask, setting: Setting, of_noise: OfNoise) -> Single | None:
    """What the one move of a setting tells; None if it is none of this form."""
    responses = _responses(ask, setting)
    if responses is None:
        return None
    by_start, by_x, by_m, by_draws = responses
    h = setting.curvatures
    a = by_m / h
    rows = np.stack([a, by_x, by_draws[0] / of_noise(h), by_start + a * h])
    if not np.ptp(rows, axis=1).max() <= 100 * EXACT * max(1.0, np.abs(rows).max()):
        return None
    return Single(*(float(value) for value in rows.mean(axis=1)))


def _responses(ask: Ask, setting: Setting) -> Any:
    """Derivatives of the output, (K,) each and (L, K); None if it is not affine."""
    try:
        by_draws = _slopes(ask, setting)
        if by_draws is None:
            return None
        loss, other, x, start = _problem(setting)
        zero = _draws(setting)[:1]
        base = ask(loss, x, start, zero)[0]
        by_start = ask(loss, x, start + 1, zero)[0] - base
        by_x = ask(loss, x + 1, start, zero)[0] - base
        by_m = ask(other, x, start, zero)[0] - base
    except (NotRun, SubjectFault):
        return None
    return by_start, by_x, by_m, by_draws


def _problem(setting: Setting) -> tuple[Quadratic, Quadratic, Array, Array]:
    """The loss, one with its minimum moved by 1, the centre and the start."""
    h = setting.curvatures
    m, x, start = (0.3 * np.sin(np.arange(len(h)) + shift) for shift in (1.0, 2.0, 3.0))
    return Quadratic(np.diag(h), m), Quadratic(np.diag(h), m + 1), x, start


def _draws(setting: Setting) -> Array:
    """None, each of them alone, and all at once: (rows, L, K), or with M."""
    K, L, M = len(setting.curvatures), setting.moves, max(setting.inner, 1)
    flat = np.zeros((1 + L * M * K + 1, L * M * K))
    flat[1:-1] = np.eye(L * M * K)
    flat[-1] = np.cos(np.arange(L * M * K) ** 2)
    return flat.reshape(len(flat), *((L, M, K) if setting.inner else (L, K)))


def _slopes(ask: Ask, setting: Setting) -> Array | None:
    """Derivatives by the draws, (L, K); None if the output is not affine in them."""
    K, L, M = len(setting.curvatures), setting.moves, max(setting.inner, 1)
    loss, _, x, start = _problem(setting)
    z = _draws(setting)
    outputs = ask(loss, x, start, z)
    base, last = outputs[0], z[-1].ravel()
    slopes = outputs[1:-1] - base
    scale = max(1.0, float(np.abs(outputs).max()))
    predicted = base + last @ slopes
    if not np.abs(predicted - outputs[-1]).max() <= EXACT * scale * len(last):
        return None
    each = slopes.reshape(L, M, K, K)
    own = np.einsum("lmkk->lmk", each)
    crossed = each - own[..., None] * np.eye(K)
    if not max(np.abs(crossed).max(), np.ptp(own, axis=1).max()) <= EXACT * scale:
        return None  # draws of other coordinates, or unequal samples of one move
    return np.asarray(own[:, 0])


def _recursion(
    h: Array, first: Array, by_x: Array, by_m: Array, g: Array
) -> Recursion | None:
    L, K = g.shape
    one = np.ones(K)
    drift, gap_m = _combination(g, by_m)
    pull, gap_x = _combination(g, by_x)
    c, r, w = np.full(L, np.nan), np.full(L, np.nan), np.full(L + 1, np.nan)
    (w[0], r[0]), gap = _combination(np.stack([one, g[0]]), first + drift[0] * h * g[0])
    worst = max(gap_m, gap_x, gap)
    for l in range(1, L):
        # g_l = c_l (w_l + r_{l+1} g_{l+1} - drift_{l+1} h g_{l+1}), counted from 1
        rows = [one, g[l], drift[l] * h * g[l]]
        if l == L - 1:
            rows.pop(1)  # g_L is a constant: w and r cannot be told apart
        found, gap = _combination(np.stack(rows), g[l - 1])
        worst = max(worst, gap)
        c[l - 1] = -found[-1]
        if not np.abs(c[l - 1]) > 0:
            return None
        w[l] = found[0] / c[l - 1]
        if l < L - 1:
            r[l] = found[1] / c[l - 1]
    (last,), flat = _combination(one[None], g[-1])
    if not max(worst, flat) <= 100 * EXACT:
        return None
    both, w[L - 1] = float(w[L - 1]), np.nan
    p = 1 - r * c
    return Recursion(drift * c, p, pull * c, c, w, drift, pull, float(last), both)


def _combination(rows: Array, target: Array) -> tuple[Array, float]:
    """Coefficients of rows (R, K) that make up a target (K,), and what is left."""
    sizes = np.abs(rows).max(axis=1)
    sizes[sizes == 0] = 1.0
    scaled = rows / sizes[:, None]
    found = np.asarray(np.linalg.lstsq(scaled.T, target, rcond=None)[0])
    size = max(1.0, float(np.abs(target).max()))
    return found / sizes, float(np.abs(scaled.T @ found - target).max()) / size
