"""Local entropies of local entropies, each at a temperature of its own.

The reference is a random walk w_k ~ N(w_{k-1}, tau_k I) from w_0 = x, and the energy
depends on its end: f(w_d).  Then the recursion of the multi-scale Gibbs law reads

    V_d = f,    V_{k-1}(x) = -lambda_k log E_{y ~ N(x, tau_k I)} e^{-V_k(y) / lambda_k}
                           = lambda_k F_{tau_k}[V_k / lambda_k](x),

with F_tau the local entropy (2): one level at temperature 1 is local entropy itself.
The law of w_1 given x is q_{x, tau_1} of (6) for the loss V_1 / lambda_1, and

    grad V_0(x) = lambda_1 / tau_1 (x - E w_1) = E grad f(w_d).

Neighbours of one temperature are one level: (tau, lambda), (tau', lambda) is
(tau + tau', lambda).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl import regularised
from refimpl.arrays import (
    Array,
    as_choice,
    as_count,
    as_parameters,
    as_points,
    as_variance,
)
from refimpl.errors import InvalidParameter
from refimpl.interfaces import Loss, as_loss
from refimpl.laws import GibbsLaw
from refimpl.multiscale._tempered import Form, scaled, smoothed
from refimpl.multiscale.temperatures import Temperatures, as_temperatures


@dataclass(frozen=True, eq=False)
class LocalEntropies:
    """V_0, a chain of local entropies; as a function of the centre x it is a loss.

    One level is served wherever `refimpl.regularised.local_entropy` serves it for f /
    lambda; several are for linear and quadratic losses, for Gaussian mixtures at
    temperature 1, and by quadrature for every other loss of one variable.  What is
    integrated is F, and V_0 is lambda_1 F: a hot level multiplies its rounding.

    Attributes
    ----------
    f : Loss
        The energy of w_d.
    taus : tuple of float
        Variances tau_1, ..., tau_d of the steps, the coarse level first.
    temperatures : Temperatures
        In the unit of f, one per level and in any order.

    Raises
    ------
    InvalidParameter
        If f is no loss, a variance is not positive, or their number is another.
    NoClosedForm, NotIntegrable, Unresolved, NonFinite
        On evaluation, as `refimpl.regularised.local_entropy`.

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> f = Quadratic(2.0, [0.7])
    >>> V_0 = LocalEntropies(f, (0.3, 0.5), Temperatures((0.8, 0.25)))
    >>> round(float(V_0([-0.4])), 12), round(float(V_0.first_mean([-0.4])[0]), 12)
    (0.467519298613, -0.25652173913)
    """

    f: Loss
    taus: tuple[float, ...]
    temperatures: Temperatures

    def __post_init__(self) -> None:
        as_loss(self.f)
        taus = as_parameters("taus", self.taus).tolist()
        for k, tau in enumerate(taus, start=1):
            as_variance(f"tau_{k}", tau)
        object.__setattr__(self, "taus", tuple(taus))
        levels = len(as_temperatures(self.temperatures))
        if len(taus) != levels:
            raise InvalidParameter(
                f"there are {len(taus)} variances and {levels} temperatures"
            )

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self.f.d

    def __call__(self, y: Any) -> Array:
        """V_0 at points (..., d), shape (...)."""
        y = as_points("y", y, self.d)
        value = regularised.local_entropy(self._above(), y, self.taus[0])
        return np.asarray(self._coarse * value)[()]

    def gradient(self, y: Any, form: Form | None = None) -> Array:
        """The gradient of V_0 at points (..., d), shape (..., d).

        Parameters
        ----------
        y : array_like, shape (..., d)
            Centres x.
        form : {"mean", "gradient"}, optional
            Which side of lambda_1 / tau_1 (x - E w_1) = E grad f(w_d) to evaluate.  By
            default the accurate one, as `refimpl.regularised.local_entropy_gradient`.
        """
        if form is not None:
            as_choice("form", form, ("mean", "gradient"))
        y, above = as_points("y", y, self.d), self._above(form)
        slope = regularised.local_entropy_gradient(above, y, self.taus[0], form)
        return self._coarse * slope

    def energy(self, k: int) -> Loss:
        """V_k as a loss, k = 0, ..., d: this one, ..., f."""
        if as_count("k", k, least=0) > len(self.taus):
            raise InvalidParameter(
                f"k must be at most {len(self.taus)}, there is no V_{k}"
            )
        if k == len(self.taus):
            return self.f
        rest = Temperatures(self.temperatures.levels[k:])
        return LocalEntropies(self.f, self.taus[k:], rest)

    def law(self, x: Any) -> GibbsLaw:
        """The law of w_1 given the centre x (d,): q_{x, tau_1} for V_1 / lambda_1."""
        return GibbsLaw(self._above(), x, self.taus[0])

    def first_mean(self, x: Any) -> Array:
        """E w_1 given x, at points (..., d), shape (..., d)."""
        return regularised.posterior_mean(self._above(), x, self.taus[0])

    def first_covariance(self, x: Any) -> Array:
        """Cov w_1 given x, at points (..., d), shape (..., d, d)."""
        return regularised.posterior_covariance(self._above(), x, self.taus[0])

    @property
    def _coarse(self) -> float:
        return self.temperatures.levels[0]

    def _above(self, form: Form | None = None) -> Loss:
        """V_1 / lambda_1, of which V_0 / lambda_1 is the local entropy.

        From the fine level upwards, V_{k-1} / lambda_{k-1} being theta_{k-1} times the
        local entropy of V_k / lambda_k.
        """
        g = scaled(self.f, 1 / self.temperatures.levels[-1])
        thetas = self.temperatures.exponents
        for tau, theta in zip(self.taus[:0:-1], thetas[::-1], strict=True):
            g = scaled(smoothed(g, tau, form), theta)
        return g
