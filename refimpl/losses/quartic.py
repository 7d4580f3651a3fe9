"""Coupled quartic double wells: polynomials, so heat is exact."""

from typing import Any

import numpy as np
from scipy.optimize import brentq

from refimpl.arrays import (
    Array,
    as_array,
    as_covariance,
    as_parameters,
    as_points,
    as_scalar,
    as_variance,
    frozen,
    require_finite,
)
from refimpl.errors import InvalidParameter, NoClosedForm, NotIntegrable
from refimpl.losses._features import FULL_WIDTH


class Quartic:
    """f(y) = sum_i (c4_i y_i^4/4 + c3_i y_i^3/3 + c2_i y_i^2/2) + k sum_i y_i y_{i+1}.

    Parameters
    ----------
    c4, c3, c2 : array_like, shape (d,)
        Local entropy needs every c4 positive.
    coupling : float
        k, between neighbouring coordinates.

    Examples
    --------
    >>> f = Quartic([1.0], [0.0], [-1.0])
    >>> float(f([2.0])), float(f.heat([2.0], 1.0))
    (2.0, 8.25)
    """

    def __init__(self, c4: Any, c3: Any, c2: Any, coupling: float = 0.0) -> None:
        self.c4 = frozen(as_parameters("c4", c4))
        self.c3 = frozen(as_array("c3", c3, 1))
        self.c2 = frozen(as_array("c2", c2, 1))
        if not self.c4.size == self.c3.size == self.c2.size > 0:
            raise InvalidParameter(
                "c4, c3 and c2 must have the same length, got "
                f"{self.c4.size}, {self.c3.size} and {self.c2.size}"
            )
        self.coupling = as_scalar("coupling", coupling)

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self.c4.size

    def __call__(self, y: Any) -> Array:
        """f at points (..., d), shape (...)."""
        return self._mean(as_points("y", y, self.d), np.zeros((self.d, self.d)))

    def gradient(self, y: Any) -> Array:
        """The gradient of f at points (..., d), shape (..., d)."""
        return self._gradient(as_points("y", y, self.d), 0.0)

    def excess(self, centre: Array, offset: Array) -> Array:
        """f(centre + offset) - f(centre), expanded so that nothing cancels, (...)."""
        y, o = centre, offset
        second = (3 * self.c4 * y + 2 * self.c3) * y + self.c2
        third = self.c4 * y + self.c3 / 3
        own = o * o * (second / 2 + o * (third + o * self.c4 / 4))
        pairs = self.coupling * (o[..., :-1] * o[..., 1:]).sum(axis=-1)
        return np.asarray(o @ self.gradient(y) + own.sum(axis=-1) + pairs)

    def hessian(self, y: Any) -> Array:
        """The Hessian of f at points (..., d), shape (..., d, d)."""
        return self._hessian(as_points("y", y, self.d), 0.0)

    def gaussian_mean(self, mean: Any, cov: Any) -> Array:
        """The integral of f N(mean, cov), from the moments up to E Y_i^4."""
        cov = as_covariance("cov", cov, self.d)
        return self._mean(as_points("mean", mean, self.d), cov)

    def heat(self, x: Any, tau: float) -> Array:
        """F^H_tau, shape (...)."""
        return self.gaussian_mean(as_points("x", x, self.d), as_variance("tau", tau))

    def heat_gradient(self, x: Any, tau: float) -> Array:
        """The gradient of F^H_tau, shape (..., d)."""
        return self._gradient(as_points("x", x, self.d), as_variance("tau", tau))

    def heat_hessian(self, x: Any, tau: float) -> Array:
        """The Hessian of F^H_tau, shape (..., d, d)."""
        return self._hessian(as_points("x", x, self.d), as_variance("tau", tau))

    def support(
        self, mean: Array, cov: Array, sign: int, drop: float
    ) -> tuple[Array, Array]:
        """A box that holds the mass of exp(-f) N(mean, cov), ends (d,) each.

        The coupling is at least -|k| (y_i^2 + y_{i+1}^2) / 2 and the Gaussian at most
        one of the largest variance of cov; so the exponent is at least a sum of
        quartics u_i(y_i), and coordinate i stays where u_i exceeds its own minimum
        by no more than the room left.
        """
        if sign > 0:
            raise NoClosedForm("the integral of exp(f) N(mean, cov) for a quartic")
        self._require_confining()
        widest = np.linalg.eigvalsh(cov)[-1]
        polynomials = [self._minorant(i, mean[i], widest) for i in range(self.d)]
        for p in polynomials:
            require_finite(p.coef, "a coefficient of the exponent's bound")
        bottoms = np.array([_lowest(p) for p in polynomials])
        least = np.array([p(b) for p, b in zip(polynomials, bottoms, strict=True)])
        reached = self(mean + bottoms) + 0.5 * bottoms @ np.linalg.solve(cov, bottoms)
        require_finite([*least, reached], "the least exponent")
        room = drop + max(0.0, float(reached - least.sum()))
        ends = [_sublevel(p, m + room) for p, m in zip(polynomials, least, strict=True)]
        lower, upper = np.array(ends).T
        return mean + lower, mean + upper

    def exp_diverges(self, cov: Array) -> bool:
        """Whether some c4 is positive: no Gaussian outweighs exp(y^4)."""
        del cov
        if not self.c4.max() > 0:
            raise NoClosedForm(
                "the integral of exp(f) N(mean, cov) for a quartic without positive c4"
            )
        return True

    def feature_length(self, lower: Array, upper: Array) -> Array:
        """Per axis, that of a Gaussian of the largest curvature L in the box, (d,).

        At distance t from the real axis exp(-f) is at most exp(L t^2 / 2) times as
        large as on it: the fourth derivative only helps.
        """
        ends = np.array([lower, upper])
        steepest = (3 * self.c4 * ends**2 + 2 * self.c3 * ends + self.c2).max(axis=0)
        curved = np.maximum(steepest, np.sqrt(np.abs(self.c4)))
        return FULL_WIDTH / np.sqrt(curved)

    def heat_curvature_bound(self, tau: float) -> float:
        """A lower bound of the least eigenvalue of the Hessian of F^H_tau."""
        self._require_confining()
        tau = as_variance("tau", tau)
        least = 3 * self.c4 * tau + self.c2 - self.c3**2 / (3 * self.c4)
        return float(least.min() - 2 * abs(self.coupling) * (self.d > 1))

    def heat_lower_bound(self, tau: float) -> float:
        """A lower bound of F^H_tau: heat of the separable minorant of f."""
        tau = as_variance("tau", tau)
        self._require_confining()
        total = 0.0
        for i in range(self.d):
            c2 = self.c2[i] - self._neighbours()[i] * abs(self.coupling)
            p = np.polynomial.Polynomial(
                [
                    0.5 * c2 * tau + 0.75 * self.c4[i] * tau * tau,
                    self.c3[i] * tau,
                    0.5 * c2 + 1.5 * self.c4[i] * tau,
                    self.c3[i] / 3,
                    self.c4[i] / 4,
                ]
            )
            require_finite(p.coef, "a coefficient of heat's bound")
            total += float(p(_lowest(p)))
        return total

    def _mean(self, x: Array, cov: Array) -> Array:
        v = np.diagonal(cov)
        x2 = x * x
        fourth = x2 * x2 + 6 * x2 * v + 3 * v * v
        own = self.c4 * fourth / 4 + self.c3 * (x2 + 3 * v) * x / 3
        own = own + self.c2 * (x2 + v) / 2
        pairs = x[..., :-1] * x[..., 1:] + np.diagonal(cov, 1)
        return own.sum(axis=-1) + self.coupling * pairs.sum(axis=-1)

    def _gradient(self, x: Array, tau: float) -> Array:
        gradient: Array = x * (self.c4 * (x * x + 3 * tau) + self.c2)
        gradient += self.c3 * (x * x + tau)
        gradient[..., :-1] += self.coupling * x[..., 1:]
        gradient[..., 1:] += self.coupling * x[..., :-1]
        return gradient

    def _hessian(self, x: Array, tau: float) -> Array:
        own = 3 * self.c4 * (x * x + tau) + 2 * self.c3 * x + self.c2
        pairs = self.coupling * (np.eye(self.d, k=1) + np.eye(self.d, k=-1))
        return np.asarray(own[..., None] * np.eye(self.d) + pairs)

    def _require_confining(self) -> None:
        if self.c4.min() < 0:
            raise NotIntegrable(
                "local entropy is infinite: exp(-f) must decay, so no c4 may be "
                f"negative, got {self.c4!r}"
            )
        if self.c4.min() == 0:
            raise NoClosedForm(
                f"quadrature of a quartic needs every c4 positive, got {self.c4!r}"
            )

    def _neighbours(self) -> Array:
        """How many neighbours each coordinate has, shape (d,)."""
        count = np.full(self.d, 2.0)
        count[0] -= 1
        count[-1] -= 1
        return count

    def _minorant(self, i: int, x: float, tau: float) -> np.polynomial.Polynomial:
        """u_i as a polynomial in the shift from x."""
        c2 = self.c2[i] - self._neighbours()[i] * abs(self.coupling)
        own = np.polynomial.Polynomial([0, 0, c2 / 2, self.c3[i] / 3, self.c4[i] / 4])
        shifted = own(np.polynomial.Polynomial([x, 1.0]))
        return shifted + np.polynomial.Polynomial([0, 0, 0.5 / tau])


def _critical_points(p: np.polynomial.Polynomial) -> Array:
    roots = p.deriv().roots()
    return np.sort(roots[np.abs(roots.imag) <= 1e-6 * np.abs(roots).max()].real)


def _lowest(p: np.polynomial.Polynomial) -> float:
    candidates = _critical_points(p)
    return float(candidates[np.argmin(p(candidates))])


def _sublevel(p: np.polynomial.Polynomial, level: float) -> tuple[float, float]:
    """The outermost points at which the quartic p crosses the level."""
    critical = _critical_points(p)
    return _crossing(p, level, critical[0], -1), _crossing(p, level, critical[-1], 1)


def _crossing(
    p: np.polynomial.Polynomial, level: float, start: float, side: int
) -> float:
    """Beyond the outermost critical point p only grows: double, then bisect."""
    if p(start) >= level:
        return start
    step = 1e-6 * max(abs(start), abs(p.coef[-1]) ** -0.25)
    while p(start + side * step) < level:
        step *= 2
    ends = start + side * step / 2, start + side * step
    if p(ends[0]) >= level:
        return ends[0]
    return float(brentq(lambda y: p(y) - level, *ends))
