"""Figures 1 and 2: a sharp and a wide minimum under either regularisation, exactly.

The paper prints no formula of its landscape.  This one has two round wells in two
dimensions, of which the sharp one is the deeper:

    f(y) = 6 - 5.5 exp(-|y - m|^2 / 2 s^2) - 4 exp(-|y - n|^2 / 2 w^2),

m = (-1.4, 0), s = 0.25, n = (1.2, 0), w = 0.9.  Every term of f falls with |y_2|, so
exp(-f) - exp(-6) is, along the second axis, even and falling on both sides of 0; so is
its convolution with a Gaussian (Wintner).  Hence F_tau, and F^H_tau likewise, rises
with |x_2|, and all critical points of either lie on the first axis.

Heat has a closed form.  Local entropy is a sum over nodes,

    exp(6 - F_tau(x)) = 1 + sum_j h^2 (exp(6 - f(y_j)) - 1) phi_{x,tau}(y_j),

the trapezoidal rule of `refimpl.quadrature` with the same nodes for all x: a landscape
has thousands, and `refimpl.regularised` would begin anew for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy.optimize import brentq

from refimpl import regularised
from refimpl.arrays import Array
from refimpl.losses import GaussianWells
from refimpl.losses._features import FULL_WIDTH

LEVEL = 6.0
DEPTHS = (5.5, 4.0)
CENTRES = (-1.4, 1.2)
WIDTHS = (0.25, 0.9)

SHOWN = (0.0, 0.03, 0.1, 0.3)
"""tau of the maps; 0 is f itself."""

TABLE = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""tau of the table."""

TAUS = tuple(sorted({*TABLE, *np.geomspace(0.001, 10, 61).round(9).tolist()}))
"""tau of the curves."""

CRITICAL = ("sharp", "saddle", "wide")
"""The two minima and what lies between them, from the left to the right."""

X1 = np.arange(-2.6, 3.41, 0.05).round(2)
X2 = np.arange(0.0, 2.01, 0.05).round(2)  # the other half is its mirror image

_AXIS = np.linspace(CENTRES[0] - 0.3, CENTRES[1] + 0.3, 300)  # with all minima
_REACH = 9.0  # in widths: there a well is exp(-40) of its depth

Jet = Callable[[Array], tuple[Array, Array, Array]]
"""Value, slope and bend of a function along the first axis, at points (n,) of it."""


def wells(
    depths: Sequence[float], centres: Sequence[float], widths: Sequence[float]
) -> GaussianWells:
    """Round wells on the first axis of the plane, the level far away being `LEVEL`."""
    covariances = [width**2 * np.eye(2) for width in widths]
    return GaussianWells(depths, [[x, 0.0] for x in centres], covariances, LEVEL)


class Regularisation(Protocol):
    """A landscape and how it is regularised."""

    @property
    def level(self) -> float:
        """What depths are counted from."""
        ...

    def jet(self, tau: float) -> Jet:
        """The regularised loss along the first axis; f itself for tau = 0."""
        ...


def on_axis(f: Any, by: Sequence[Callable[..., Array]], tau: float) -> Jet:
    """f regularised along the first axis, by a function, its gradient and Hessian.

    It is f itself for tau = 0.
    """

    def jet(x: Array) -> tuple[Array, Array, Array]:
        points = np.stack([x, np.zeros_like(x)], axis=-1)
        if tau == 0:
            value, slope, bend = f(points), f.gradient(points), f.hessian(points)
        else:
            value, slope, bend = (function(f, points, tau) for function in by)
        return value, slope[:, 0], bend[:, 0, 0]

    return jet


@dataclass(frozen=True)
class Heat:
    """F^H_tau, by its closed form; f itself for tau = 0."""

    f: GaussianWells

    @property
    def level(self) -> float:
        """What depths are counted from: f far away."""
        return self.f.c

    def jet(self, tau: float) -> Jet:
        """The regularised loss along the first axis."""
        by = (
            regularised.heat,
            regularised.heat_gradient,
            regularised.heat_hessian,
        )
        return on_axis(self.f, by, tau)

    def grid(self, x1: Array, x2: Array, tau: float) -> Array:
        """The regularised loss at the points (x1[i], x2[j]), shape (n1, n2)."""
        points = np.stack(np.meshgrid(x1, x2, indexing="ij"), axis=-1)
        return regularised.heat(self.f, points, tau) if tau else self.f(points)


@dataclass(frozen=True)
class LocalEntropy:
    """F_tau, by one sum over nodes for all points; f itself for tau = 0.

    Attributes
    ----------
    f : GaussianWells
    least : float
        The smallest tau > 0 that will be asked for: the nodes must resolve it.
    """

    f: GaussianWells
    least: float

    @property
    def level(self) -> float:
        """What depths are counted from: f far away."""
        return self.f.c

    @cached_property
    def nodes(self) -> tuple[Array, Array, Array]:
        """Coordinates (n1,) and (n2,), and h^2 (exp(c - f) - 1) there (n1, n2)."""
        width = np.sqrt(self.f.covariances[:, 0, 0])[:, None]
        lower = (self.f.means - _REACH * width).min(axis=0)
        upper = (self.f.means + _REACH * width).max(axis=0)
        length = self.f.feature_length(lower, upper).min()
        h = 0.25 / np.sqrt(1 / length**2 + 1 / (FULL_WIDTH**2 * self.least))
        y1, y2 = (np.arange(a, b + h, h) for a, b in zip(lower, upper, strict=True))
        points = np.stack(np.meshgrid(y1, y2, indexing="ij"), axis=-1)
        return y1, y2, h**2 * np.expm1(self.f.c - self.f(points))

    def jet(self, tau: float) -> Jet:
        """The regularised loss along the first axis."""
        if tau == 0:
            return Heat(self.f).jet(0.0)
        y1, y2, weights = self.nodes
        column = weights @ _phi(y2, tau)

        def jet(x: Array) -> tuple[Array, Array, Array]:
            shift = (y1 - x[:, None]) / tau
            density = _phi(tau * shift, tau)
            mass = 1 + density @ column
            first = (density * shift) @ column / mass
            second = (density * (shift**2 - 1 / tau)) @ column / mass
            return self.f.c - np.log(mass), -first, first**2 - second

        return jet

    def grid(self, x1: Array, x2: Array, tau: float) -> Array:
        """The regularised loss at the points (x1[i], x2[j]), shape (n1, n2)."""
        if tau == 0:
            return Heat(self.f).grid(x1, x2, 0.0)
        y1, y2, weights = self.nodes
        left, right = _phi(y1 - x1[:, None], tau), _phi(y2 - x2[:, None], tau)
        return self.f.c - np.log1p(left @ weights @ right.T)


def _phi(shift: Array, tau: float) -> Array:
    """The density of N(0, tau)."""
    return np.asarray(np.exp(-(shift**2) / (2 * tau)) / np.sqrt(2 * np.pi * tau))


# --- critical points


def critical_points(jet: Jet) -> list[float]:
    """Where the slope changes its sign between neighbouring points of the axis."""
    slope = jet(_AXIS)[1]
    changes = np.flatnonzero(np.sign(slope[:-1]) != np.sign(slope[1:]))
    return [_zero(jet, 1, _AXIS[i], _AXIS[i + 1]) for i in changes]


def _zero(jet: Jet, derivative: int, lower: float, upper: float) -> float:
    """Where a derivative of the function vanishes."""

    def at(x: float) -> float:
        return float(jet(np.array([x]))[derivative][0])

    return float(brentq(at, lower, upper, xtol=1e-14))


def minima(of: Regularisation, tau: float) -> dict[str, Any]:
    """The critical points of one regularised landscape.

    Returns
    -------
    dict
        tau, and for "sharp", "saddle" and "wide" the place x on the axis and the depth
        below the level.  Where only one minimum is left it is called wide, and the
        others are None.
    """
    found = critical_points(of.jet(tau))
    names = ("sharp", "saddle", "wide") if len(found) == 3 else ("wide",)
    points = {
        name: {"x": x, "depth": _depth(of, tau, x)}
        for name, x in zip(names, found, strict=True)
    }
    return {"tau": tau, **{name: points.get(name) for name in CRITICAL}}


def gap(found: dict[str, Any]) -> float:
    """By how much the sharp minimum is deeper than the wide one."""
    return float(found["sharp"]["depth"] - found["wide"]["depth"])


def equal(of: Regularisation, lower: float, upper: float) -> dict[str, float]:
    """The tau at which both minima are equally deep, and their depth."""
    tau = float(brentq(lambda tau: gap(minima(of, tau)), lower, upper, xtol=1e-14))
    return {"tau": tau, "depth": minima(of, tau)["wide"]["depth"]}


def lost(of: Regularisation, lower: float, upper: float) -> dict[str, float]:
    """The tau at which the sharp minimum meets the saddle, and where they meet.

    Between them the slope rises to a peak, at which the bend is 0; this peak is 0 when
    they meet, and below 0 when both are gone.
    """
    left, right = CENTRES
    between = np.linspace(left, (left + right) / 2, 201)

    def peak(tau: float) -> float:
        jet = of.jet(tau)
        i = int(jet(between)[1].argmax())
        return _zero(jet, 2, between[i - 1], between[i + 1])

    def height(tau: float) -> float:
        return float(of.jet(tau)(np.array([peak(tau)]))[1][0])

    tau = float(brentq(height, lower, upper, xtol=1e-14))
    return {"tau": tau, "x": peak(tau), "depth": _depth(of, tau, peak(tau))}


def _depth(of: Regularisation, tau: float, x: float) -> float:
    """Below the level."""
    return of.level - float(of.jet(tau)(np.array([x]))[0][0])


# --- the records


def figure_1() -> dict[str, Any]:
    """Local entropy."""
    return _record(LocalEntropy(wells(DEPTHS, CENTRES, WIDTHS), least=min(TAUS[1:])))


def figure_2() -> dict[str, Any]:
    """Heat."""
    return _record(Heat(wells(DEPTHS, CENTRES, WIDTHS)))


def _record(of: Heat | LocalEntropy) -> dict[str, Any]:
    found = [minima(of, tau) for tau in TAUS]
    both = [one for one in found if one["sharp"]]
    n, last = sum(gap(one) > 0 for one in both), len(both)
    return {
        "level": LEVEL,
        "depths": DEPTHS,
        "centres": CENTRES,
        "widths": WIDTHS,
        "equal": equal(of, TAUS[n - 1], TAUS[n]),
        "lost": lost(of, TAUS[last - 1], TAUS[last]),
        "minima": found,
        "shown": SHOWN,
        "x1": X1.tolist(),
        "x2": X2.tolist(),
        "section": [of.jet(tau)(X1)[0].tolist() for tau in SHOWN],
        "maps": [of.grid(X1, X2, tau).round(4).tolist() for tau in SHOWN],
    }
