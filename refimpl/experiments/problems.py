"""Losses with exact answers, on which Algorithms 3, 4 and 5 are measured.

All of them have several wells, in d = 1, 2, 3 and 10, and a unique proximal point.

*Mixtures.*  E_q X is a closed form.  Heat is not: for d <= 2 the proximal point comes
from quadrature; for d = 3 and 10 the components have one covariance S, which maps the
span of m_k - m_1 to itself.  With U a basis of that plane, V one of its complement and
v = V^T (y - m_1),

    f(y) = f_U(U^T y) + v^T (V^T S V)^{-1} v / 2 + const,

f_U being the mixture seen in the plane; phi is isotropic, so that the proximal point
splits as well: quadrature in the plane, a linear system in the complement.

*Double wells.*  Quartics: heat is a polynomial, E_q X comes from quadrature.  For
d = 10 they are separable up to a known rotation R, and both answers are R times the
vector of ten one-dimensional answers.

*Quadratics,* on which even the laws of the outputs are known (`refimpl.output_laws`).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from refimpl.arrays import Array, as_array, as_points, frozen
from refimpl.errors import InvalidParameter, NotCertified
from refimpl.exact import ExactHeat, ExactMean
from refimpl.laws import GibbsLaw
from refimpl.losses import GaussianMixture, Quadratic, Quartic
from refimpl.output_laws import importance_law
from refimpl.quadrature import gibbs_moments
from refimpl.regularised import heat_hessian, local_entropy

DIMENSIONS = (1, 2, 3, 10)
FAMILIES = ("mixture", "wells")

_ORTHOGONAL = 1e-12  # of what it is compared with: what rounding leaves of zero


class Rotated:
    """f(y) = g(R^T y) for an orthogonal matrix R.

    Parameters
    ----------
    g : Loss
    R : array_like, shape (d, d)
        Orthogonal; its columns are g's axes.

    Raises
    ------
    InvalidParameter
        If R is not orthogonal, or not of g's dimension.

    Examples
    --------
    >>> f = Rotated(Quadratic([1.0, 4.0], [0.0, 0.0]), [[0.0, -1.0], [1.0, 0.0]])
    >>> float(f([2.0, 0.0])), f.gradient([2.0, 0.0])
    (8.0, array([8., 0.]))
    """

    def __init__(self, g: Any, R: Any) -> None:
        self.g, self.R = g, frozen(as_array("R", R, 2))
        if self.R.shape != (g.d, g.d):
            raise InvalidParameter(
                f"R must have shape {(g.d, g.d)}, got {self.R.shape}"
            )
        gap = np.abs(self.R.T @ self.R - np.eye(g.d)).max()
        if not gap <= _ORTHOGONAL:
            raise InvalidParameter(f"R must be orthogonal, but R^T R - I reaches {gap}")

    @property
    def d(self) -> int:
        """The number of parameters."""
        return int(self.g.d)

    def __call__(self, y: Any) -> Array:
        """f at points (..., d), shape (...)."""
        return np.asarray(self.g(as_points("y", y, self.d) @ self.R))[()]

    def gradient(self, y: Any) -> Array:
        """R grad g(R^T y) at points (..., d), shape (..., d)."""
        return np.asarray(
            self.g.gradient(as_points("y", y, self.d) @ self.R) @ self.R.T
        )


@dataclass(frozen=True)
class Weighting:
    """What decides the error of Algorithm 4 to first order, see `importance_law`.

    Attributes
    ----------
    log_rho : float
        log(Z_2 / Z^2).
    shift : ndarray, shape (d,)
        mu_2 - mu; the bias is -rho/J of it.
    spread : float
        tr(S_2) + |mu_2 - mu|^2; the total variance is rho/J times it.
    """

    log_rho: float
    shift: Array
    spread: float

    @property
    def rho(self) -> float:
        """Z_2 / Z^2, at least 1."""
        return float(np.exp(self.log_rho))


@dataclass(frozen=True)
class Proximal:
    """A proximal point (d,), and the least eigenvalue of I + tau Hess F^H there."""

    point: Array
    rate: float


@dataclass(frozen=True)
class Problem:
    """A loss, a centre and a variance, with the exact answers.

    Attributes
    ----------
    name : str
        The family and the dimension, ``"wells-10"``.
    q : GibbsLaw
    """

    name: str
    q: GibbsLaw

    @property
    def family(self) -> str:
        """The name without the dimension."""
        return self.name.rpartition("-")[0]

    @property
    def d(self) -> int:
        """The number of parameters."""
        return self.q.x.size

    @cached_property
    def mean(self) -> Array:
        """E_q X, which Algorithms 3 and 4 estimate, shape (d,)."""
        parts = coordinates(self.q)
        if len(parts) == 1:
            return ExactMean()(self.q).x
        return _reassembled(self.q, [ExactMean()(part).x for part in parts])

    @cached_property
    def local_entropy(self) -> float:
        """F_tau(x)."""
        parts = coordinates(self.q)
        return sum(float(local_entropy(part.f, part.x, part.tau)) for part in parts)

    @property
    def proximal_point(self) -> Array:
        """argmin_y F^H_tau(y) + |y - x|^2 / 2 tau, what Algorithm 5 estimates, (d,).

        Raises
        ------
        NotCertified
            Where it was not found, or there are several.
        """
        return self._proximal.point

    @property
    def slowest_rate(self) -> float:
        """kappa, the least eigenvalue of I + tau Hess F^H_tau at the proximal point.

        A small move a of Algorithm 5 leaves a share 1 - a kappa of the way.
        """
        return self._proximal.rate

    @cached_property
    def _proximal(self) -> Proximal:
        f, parts = self.q.f, coordinates(self.q)
        if isinstance(f, GaussianMixture) and f.d > 2:
            return proximal_in_span(f, self.q.x, self.q.tau)
        found = [_proximal_of(part) for part in parts]
        if len(found) == 1:
            return found[0]
        point = _reassembled(self.q, [part.point for part in found])
        return Proximal(point, min(part.rate for part in found))

    @cached_property
    def weighting(self) -> Weighting:
        """The constants of Algorithm 4's error."""
        parts = [_weighting(part) for part in coordinates(self.q)]
        if len(parts) == 1:
            return parts[0]
        return Weighting(
            sum(part.log_rho for part in parts),
            _reassembled(self.q, [part.shift for part in parts]),
            sum(part.spread for part in parts),
        )


def coordinates(q: GibbsLaw) -> list[GibbsLaw]:
    """The independent one-dimensional laws that q consists of, up to a rotation.

    A law that does not separate is returned as it is, in a list of one.
    """
    f = q.f
    if not isinstance(f, Rotated):
        return [q]
    g, x = f.g, q.x @ f.R
    if not isinstance(g, Quartic) or g.coupling != 0:
        raise InvalidParameter("only a rotated quartic without coupling is separable")
    own = zip(g.c4, g.c3, g.c2, x, strict=True)
    return [
        GibbsLaw(Quartic([a], [b], [c]), np.array([y]), q.tau) for a, b, c, y in own
    ]


def proximal_in_span(f: GaussianMixture, x: Array, tau: float) -> Proximal:
    """The proximal point of a mixture's heat, from the span of its means.

    Parameters
    ----------
    f : GaussianMixture
        Of one covariance S, which maps the span of m_k - m_1 to itself.
    x : ndarray, shape (d,)
    tau : float
        A variance.

    Raises
    ------
    NotCertified
        If f is not such a mixture, or the search in the span fails.
    """
    S = f.covariances[0]
    _, sizes, rows = np.linalg.svd(f.means - f.means[0])
    r = int((sizes > _ORTHOGONAL * sizes[0]).sum())
    U, V = rows[:r].T, rows[r:].T
    mixed = np.abs(V.T @ S @ U).max(initial=0.0)
    if np.abs(f.covariances - S).max() > 0 or mixed > _ORTHOGONAL * np.abs(S).max():
        raise NotCertified(
            "the proximal point of a mixture reduces to the span of its means where "
            "the components have one covariance, which maps that span to itself"
        )
    seen = GaussianMixture(f.weights, f.means @ U, [U.T @ S @ U] * len(f.means))
    inside = _proximal_of(GibbsLaw(seen, x @ U, tau))
    D, m = V.T @ S @ V, f.means[0] @ V
    outside = m + np.linalg.solve(D + tau * np.eye(m.size), D @ (x @ V - m))
    rates = 1 + tau / np.linalg.eigvalsh(D)
    return Proximal(U @ inside.point + V @ outside, min(inside.rate, *rates))


def _proximal_of(q: GibbsLaw) -> Proximal:
    found = ExactHeat()(q)
    if len(found.info.points) > 1:
        raise NotCertified("there are several proximal points", found.x)
    bend = heat_hessian(q.f, found.x, q.tau)
    return Proximal(found.x, float(1 + q.tau * np.linalg.eigvalsh(bend)[0]))


def _reassembled(q: GibbsLaw, parts: list[Array]) -> Array:
    """R times the vector of one-dimensional answers, shape (d,)."""
    R: Array = q.f.R  # type: ignore[attr-defined]
    return R @ np.concatenate(parts)


def _weighting(q: GibbsLaw) -> Weighting:
    """By closed form; for a quartic by quadrature, twice a quartic being one too."""
    f, x, tau = q.f, q.x, q.tau
    if not isinstance(f, Quartic):
        law = importance_law(f, x, tau, J=1)
        spread = law.squares.variances.sum() + law.shift @ law.shift
        return Weighting(law.log_rho, law.shift, float(spread))
    twice = Quartic(2 * f.c4, 2 * f.c3, 2 * f.c2, 2 * f.coupling)
    once, squares = (gibbs_moments(g, x, tau * np.eye(f.d)) for g in (f, twice))
    shift = squares.mean - once.mean
    spread = np.trace(squares.covariance) + shift @ shift
    return Weighting(squares.log_mass - 2 * once.log_mass, shift, float(spread))


def rotation(d: int) -> Array:
    """A rotation that mixes all coordinates, shape (d, d): a Cayley transform.

    Examples
    --------
    >>> rotation(2)
    array([[ 0.6,  0.8],
           [-0.8,  0.6]])
    """
    i = np.arange(d)
    skew = np.sign(i[:, None] - i) / 2
    return np.linalg.solve(np.eye(d) + skew, np.eye(d) - skew)


# --- the problems ---------------------------------------------------------------------

_PLANE_MEANS = np.array([[-1.0, 0.5], [1.25, 0.25], [0.125, -1.25]])
_PLANE_COVARIANCE = np.array([[0.25, 0.0625], [0.0625, 0.1875]])
_PLANE_CENTRE = np.array([0.25, -0.5])


def mixture(d: int) -> Problem:
    """A Gaussian mixture of equal covariances; tau = 0.5.

    Two components in one dimension, three in a plane otherwise; what is left of R^d is
    Gaussian, with variances from 0.5 to 2.
    """
    if d == 1:
        f = GaussianMixture([0.625, 0.375], [[-1.0], [1.25]], [[[0.1875]], [[0.1875]]])
        return Problem("mixture-1", GibbsLaw(f, np.array([0.25]), 0.5))
    R = rotation(d)
    means = np.hstack([_PLANE_MEANS, np.full((3, d - 2), 0.5)]) @ R.T
    S = np.diag([0.0, 0.0, *np.linspace(0.25, 1.0, d - 2)])
    S[:2, :2] = _PLANE_COVARIANCE
    S = R @ S @ R.T
    covariance = (S + S.T) / 2
    f = GaussianMixture([0.5, 0.3125, 0.1875], means, [covariance] * 3)
    centre = R @ np.concatenate([_PLANE_CENTRE, np.zeros(d - 2)])
    return Problem(f"mixture-{d}", GibbsLaw(f, centre, 0.5))


def wells(d: int) -> Problem:
    """Double wells about 2.25 deep along every axis; tau = 0.75.

    Neighbouring coordinates are coupled for d = 2 and 3; for d = 10 they are
    independent, and rotated.
    """
    i = np.arange(d)
    c4, c3, c2 = 1 + (i % 3 - 1) / 8, (-1.0) ** i / 4, -3 + (i % 4) / 8
    centre = 0.25 + (i % 3) / 8
    if d <= 3:
        q = GibbsLaw(Quartic(c4, c3, c2, 0.25 * (d > 1)), centre, 0.75)
    else:
        R = rotation(d)
        q = GibbsLaw(Rotated(Quartic(c4, c3, c2), R), R @ centre, 0.75)
    return Problem(f"wells-{d}", q)


def quadratic(d: int, tau: float = 0.5) -> Problem:
    """f = |y|^2 / 2 seen from the distance 1/2 along every axis."""
    f = Quadratic(1.0, np.zeros(d))
    return Problem(f"quadratic-{d}", GibbsLaw(f, np.full(d, 0.5), tau))


def ellipsoid() -> Problem:
    """A quadratic with curvatures 0, 1 and 6 along rotated axes; tau = 0.5."""
    R = rotation(3)
    H = R @ np.diag([0.0, 1.0, 6.0]) @ R.T
    q = GibbsLaw(Quadratic((H + H.T) / 2, np.zeros(3)), R @ np.ones(3), 0.5)
    return Problem("ellipsoid-3", q)


def problems() -> list[Problem]:
    """The mixtures and the double wells in every dimension."""
    return [family(d) for family in (mixture, wells) for d in DIMENSIONS]
