"""When a regularised loss prefers the wide minimum to the sharp one, exactly.

A sharp minimum lies deeper than a wide one by Delta = f(wide) - f(sharp).  Under
regularisation the wide one is the lower if Delta < Delta*, the critical difference.
Both are round, the wide one r times as wide; s is the width of the sharp one, H its
curvature, d the dimension.  Far apart, so that neither sees the other:

quadratic minima, and those of a mixture (where H = 1 / s^2), exactly
    local entropy   Delta* = d/2 log[(1 + tau H) / (1 + tau H / r^2)]
    heat            Delta* = d/2 (tau H - tau H / r^2); of a mixture to first order
wells of depths a and a - Delta* (where H = a / s^2), exactly
    local entropy   S(a, tau / s^2) = S(a - Delta*, tau / r^2 s^2),
                    S(a, t) = sum_n a^n / n! (1 + n t)^(-d/2)
    heat            Delta* = a - a [(1 + tau / r^2 s^2) / (1 + tau / s^2)]^(d/2)

S is the average of exp(a g) over N(0, t I), where g(y) = exp(-|y|^2 / 2): the n-th
power of g is a Gaussian function of precision n.  All four agree to first order in tau.
For a -> infinity at fixed tau H the wells under local entropy tend to the first law.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln

from refimpl import regularised
from refimpl.arrays import Array
from refimpl.experiments import landscapes
from refimpl.experiments.landscapes import (
    CENTRES,
    WIDTHS,
    Heat,
    Jet,
    LocalEntropy,
    Regularisation,
    equal,
    gap,
    minima,
    on_axis,
    wells,
)
from refimpl.losses import GaussianMixture

D = 2
"""The dimension of the figure; the laws hold for any."""

DEPTH = landscapes.DEPTHS[0]
"""a, the depth of the sharp well."""

RATIO = WIDTHS[1] / WIDTHS[0]
"""r, where it is fixed."""

SHARPNESS = np.geomspace(0.03, 300, 61)
"""tau H."""

RATIOS = np.geomspace(1, 8, 37)
"""r, where it is varied."""

SHALLOW, DEEP = 1.5, 24.0
"""Other depths a, with the ratio `RATIO`."""

DIFFERENCES = (0.15, 0.3, 0.6, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
"""Differences of two minima as near as those of Figures 1 and 2."""

LEAST, MOST = 0.001, 10.0
"""tau between which these are looked at."""

_HALVINGS = 20  # of that interval
_TERMS = 130  # of S: those left out are below 1e-30 of it for a <= 24


# --- the laws


def quadratic_entropy(sharpness: Array, ratio: Array | float, d: int = D) -> Array:
    """Delta* of quadratic minima under local entropy, from tau H and r."""
    wide = sharpness / ratio**2
    return np.asarray(d / 2 * (np.log1p(sharpness) - np.log1p(wide)))


def quadratic_heat(sharpness: Array, ratio: Array | float, d: int = D) -> Array:
    """Delta* of quadratic minima under heat."""
    return np.asarray(d / 2 * (sharpness - sharpness / ratio**2))


def wells_heat(a: float, sharpness: Array, ratio: Array | float, d: int = D) -> Array:
    """Delta* of wells under heat; a is the depth of the sharp one."""
    t = sharpness / a
    return np.asarray(a - a * ((1 + t / ratio**2) / (1 + t)) ** (d / 2))


def wells_entropy(
    a: float, sharpness: Array, ratio: Array | float, d: int = D
) -> Array:
    """Delta* of wells under local entropy.

    log S rises with a and is convex, being a cumulant generating function; Newton's
    method begins right of the zero and comes down to it without passing it.  Rounding
    moves log S / (log S)' by a few eps log S / (log S)' <= eps a.
    """
    t = np.asarray(sharpness / a)
    wanted, _ = log_series(np.asarray(a), t, d)
    other = np.full(np.broadcast(t, ratio).shape, a)
    step = other
    while np.abs(step).max() > 1e-12 * a:
        value, slope = log_series(other, t / np.asarray(ratio) ** 2, d)
        step = (value - wanted) / slope
        other = other - step
    return np.asarray(a - other)


def log_series(a: Array, t: Array, d: int = D) -> tuple[Array, Array]:
    """log S(a, t), the depth that local entropy leaves, and its derivative by a."""
    n = np.arange(1, _TERMS)
    a, t = a[..., None], t[..., None]
    terms = np.exp(n * np.log(a) - gammaln(n + 1)) * (1 + n * t) ** (-d / 2)
    rest = terms.sum(axis=-1)
    return np.log1p(rest), (n * terms / a).sum(axis=-1) / (1 + rest)


# --- two minima as near as those of Figures 1 and 2


@dataclass(frozen=True)
class MixtureEntropy:
    """F_tau of a mixture along the first axis; f itself for tau = 0."""

    f: GaussianMixture

    @property
    def level(self) -> float:
        """What depths are counted from."""
        return 0.0

    def jet(self, tau: float) -> Jet:
        """The regularised loss along the first axis."""
        by = (
            regularised.local_entropy,
            regularised.local_entropy_gradient,
            regularised.local_entropy_hessian,
        )
        return on_axis(self.f, by, tau)


def mixture(difference: float) -> GaussianMixture:
    """Components of the two widths, whose peaks differ by so much in -log."""
    odds = (WIDTHS[1] / WIDTHS[0]) ** D * np.exp(-difference)
    covariances = [width**2 * np.eye(D) for width in WIDTHS]
    weights = np.array([1.0, odds]) / (1 + odds)
    return GaussianMixture(weights, [[x, 0.0] for x in CENTRES], covariances)


def pairs(of: Callable[[float], Regularisation], H: float) -> list[dict[str, float]]:
    """Where two minima become equally deep, for several differences between them.

    Returns
    -------
    list of dict
        What was asked for, tau H, and the difference of f between its two minima;
        differences at which it is the wide minimum that is lost are left out.
    """
    found = []
    for difference in DIFFERENCES:
        one = of(difference)
        upper = _wide_is_lower(one)
        if upper is not None:
            own = gap(minima(one, 0.0))
            tau = equal(one, LEAST, upper)["tau"]
            found.append(
                {"nominal": difference, "sharpness": H * tau, "difference": own}
            )
    return found


def _wide_is_lower(of: Regularisation) -> float | None:
    """A tau at which there are both minima and the wide one is the lower, if any.

    As tau grows the wide one is the higher, then the lower, then alone: where the sharp
    one meets the saddle it is as high as that, which lies above both.  If it is the
    wide one that is lost there is no such tau.
    """
    lower, upper = np.log(LEAST), np.log(MOST)
    for _ in range(_HALVINGS):
        tau = float(np.exp((lower + upper) / 2))
        both = minima(of, tau)
        if both["sharp"] is None:
            upper = np.log(tau)
        elif gap(both) > 0:
            lower = np.log(tau)
        else:
            return tau
    return None


def phase_diagram() -> dict[str, Any]:
    """Critical differences over tau H and r, and against tau H for one r."""
    u, r = SHARPNESS[:, None], RATIOS
    of_wells = DEPTH / WIDTHS[0] ** 2

    def near(difference: float) -> Any:
        return wells((DEPTH, DEPTH - difference), CENTRES, WIDTHS)

    return {
        "d": D,
        "depth": DEPTH,
        "ratio": RATIO,
        "shallow": SHALLOW,
        "deep": DEEP,
        "of_figures": landscapes.DEPTHS[0] - landscapes.DEPTHS[1],
        "sharpness": SHARPNESS.tolist(),
        "ratios": RATIOS.tolist(),
        "maps": {
            "quadratic_entropy": quadratic_entropy(u, r).tolist(),
            "wells_entropy": wells_entropy(DEPTH, u, r).tolist(),
            "quadratic_heat": quadratic_heat(u, r).tolist(),
            "wells_heat": wells_heat(DEPTH, u, r).tolist(),
        },
        "lines": {
            "quadratic_entropy": quadratic_entropy(SHARPNESS, RATIO).tolist(),
            "quadratic_heat": quadratic_heat(SHARPNESS, RATIO).tolist(),
            "shallow_entropy": wells_entropy(SHALLOW, SHARPNESS, RATIO).tolist(),
            "wells_entropy": wells_entropy(DEPTH, SHARPNESS, RATIO).tolist(),
            "deep_entropy": wells_entropy(DEEP, SHARPNESS, RATIO).tolist(),
            "wells_heat": wells_heat(DEPTH, SHARPNESS, RATIO).tolist(),
        },
        "pairs": {
            "mixture_entropy": pairs(
                lambda difference: MixtureEntropy(mixture(difference)),
                WIDTHS[0] ** -2,
            ),
            "wells_entropy": pairs(
                lambda difference: LocalEntropy(near(difference), least=LEAST),
                of_wells,
            ),
            "wells_heat": pairs(lambda difference: Heat(near(difference)), of_wells),
        },
    }
