"""Closed forms of the multi-scale Gibbs law: quadratic energies, Gaussian references.

One step of the recursion, in general.  Let V_k be quadratic in (u, v), with u = w_{<k}
and v = w_k, and Q_k = N(B u + b, S).  Then V_{k-1} is quadratic in u, and P*_k a
Gaussian whose mean is affine in u.  With the blocks H_uu, H_uv, H_vv, g_u, g_v,

    L = H_vu + H_vv B,    l_0 = H_vv b - g_v,    G = (lambda S^{-1} + H_vv)^{-1},
    H' = H_uu + H_uv B + B^T H_vu + B^T H_vv B - L^T G L,
    g' = g_u - H_uv b - B^T H_vv b + B^T g_v + L^T G l_0,
    c' = c + b^T H_vv b / 2 - g_v^T b - l_0^T G l_0 / 2
           + lambda/2 log det(I + S H_vv / lambda),
    P*_k(. | u) = N((B - G L) u + b - G l_0, lambda G).

It exists while lambda S^{-1} + H_vv is positive definite.

A random walk w_k ~ N(w_{k-1}, tau_k I) that starts at a centre x, with an energy
(w_d - m)^T H (w_d - m) / 2 + c of its end, needs one number per eigenvalue and level.
With rho_k = tau_k / lambda_k and h_d an eigenvalue of H,

    h_{k-1} = h_k / (1 + rho_k h_k),
    c_{k-1} = c_k + lambda_k/2 sum log(1 + rho_k h_k),
    P*_k(. | w_{k-1}) = N(m + (w_{k-1} - m) / (1 + rho_k h_k), tau_k / (1 + rho_k h_k)).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from refimpl.arrays import (
    Array,
    as_array,
    as_count,
    as_covariance,
    as_kind,
    as_list,
    as_parameters,
    as_point,
    as_points,
    as_scalar,
    as_symmetric,
    as_variance,
    frozen,
    require_finite,
)
from refimpl.errors import InvalidParameter, NotIntegrable
from refimpl.losses.quadratic import Quadratic
from refimpl.multiscale.temperatures import Temperatures, as_temperatures


@dataclass(frozen=True, eq=False)
class QuadraticEnergy:
    """w^T H w / 2 - g^T w + c on R^n; n may be 0, and it is the number c then.

    Attributes
    ----------
    H : ndarray, shape (n, n)
        Symmetric, possibly indefinite or singular.
    g : ndarray, shape (n,)
    c : float

    Examples
    --------
    >>> V = QuadraticEnergy([[2.0]], [1.0], 3.0)
    >>> float(V([2.0])), V.gradient([2.0])
    (5.0, array([3.]))
    """

    H: Array
    g: Array
    c: float = 0.0

    def __post_init__(self) -> None:
        g = as_array("g", self.g, 1)
        H = as_array("H", self.H, 2)
        if H.shape != (g.size, g.size):
            raise InvalidParameter(f"H has shape {H.shape} and g has shape {g.shape}")
        object.__setattr__(self, "g", frozen(g))
        object.__setattr__(self, "H", frozen(as_symmetric("H", H) if g.size else H))
        object.__setattr__(self, "c", as_scalar("c", self.c))

    @property
    def d(self) -> int:
        """The number of variables."""
        return self.g.size

    def __call__(self, w: Any) -> Array:
        """The energy at points (..., n), shape (...)."""
        w = as_points("w", w, self.d)
        return np.asarray((0.5 * (w @ self.H) * w - self.g * w).sum(axis=-1) + self.c)

    def gradient(self, w: Any) -> Array:
        """H w - g at points (..., n), shape (..., n)."""
        return np.asarray(as_points("w", w, self.d) @ self.H - self.g)

    def mean(self, mean: Any, cov: Any) -> float:
        """Its average over N(mean, cov), mean (n,) and cov (n, n)."""
        mean, cov = as_point("mean", mean, self.d), as_array("cov", cov, 2)
        if cov.shape != self.H.shape:
            raise InvalidParameter(
                f"cov must have shape {self.H.shape}, got {cov.shape}"
            )
        return float(self(mean) + 0.5 * (self.H * cov).sum())


@dataclass(frozen=True, eq=False)
class GaussianLevel:
    """One level given those above it: w_k ~ N(B w_{<k} + b, S).

    Attributes
    ----------
    B : ndarray, shape (n, m)
        m is the number of variables above, those of a centre included; it may be 0.
    b : ndarray, shape (n,)
    S : ndarray, shape (n, n)
        Symmetric positive definite; one variance stands for a multiple of I.
    """

    B: Array
    b: Array
    S: Array

    def __post_init__(self) -> None:
        b = as_parameters("b", self.b)
        B = as_array("B", self.B, 2)
        if B.shape[0] != b.size:
            raise InvalidParameter(f"B has shape {B.shape} and b has shape {b.shape}")
        object.__setattr__(self, "b", frozen(b))
        object.__setattr__(self, "B", frozen(B))
        object.__setattr__(self, "S", frozen(as_covariance("S", self.S, b.size)))

    @property
    def d(self) -> int:
        """The number of variables of this level."""
        return self.b.size


def random_walk(n: int, taus: Any) -> tuple[GaussianLevel, ...]:
    """The levels w_k ~ N(w_{k-1}, tau_k I) in R^n, from a centre w_0 of n coordinates.

    Parameters
    ----------
    n : int
    taus : array_like, shape (d,)
        Variances, the coarse level first.
    """
    n, taus = as_count("n", n), _variances(taus)
    levels = []
    for k, tau in enumerate(taus):
        B = np.hstack([np.zeros((n, k * n)), np.eye(n)])
        levels.append(GaussianLevel(B, np.zeros(n), tau * np.eye(n)))
    return tuple(levels)


@dataclass(frozen=True, eq=False)
class GaussianGibbs:
    """The multi-scale Gibbs law of a quadratic energy.

    Attributes
    ----------
    energies : tuple of QuadraticEnergy
        V_0, ..., V_d; V_k of the centre and the first k levels.
    levels : tuple of GaussianLevel
        P*_1, ..., P*_d.
    """

    energies: tuple[QuadraticEnergy, ...]
    levels: tuple[GaussianLevel, ...]

    def free_energy(self, centre: Any = ()) -> float:
        """V_0, at a centre (n_0,) if the reference has one."""
        return float(self.energies[0](as_point("centre", centre, self.energies[0].d)))

    def moments(self, centre: Any = ()) -> tuple[Array, Array]:
        """Mean (n,) and covariance (n, n) of (w_1, ..., w_d), by forward substitution.

        Parameters
        ----------
        centre : array_like, shape (n_0,)
            The centre, if the reference has one.
        """
        mean = as_point("centre", centre, self.energies[0].d)
        n_0 = mean.size
        covariance: Array = np.zeros((n_0, n_0))
        for level in self.levels:
            across = level.B @ covariance
            own = across @ level.B.T + level.S
            mean = np.concatenate([mean, level.B @ mean + level.b])
            covariance = np.block([[covariance, across.T], [across, own]])
        return mean[n_0:], covariance[n_0:, n_0:]


def multiscale_gaussian(
    f: QuadraticEnergy, reference: Sequence[GaussianLevel], temperatures: Temperatures
) -> GaussianGibbs:
    """The multi-scale Gibbs law of a quadratic energy and a Gaussian reference.

    Parameters
    ----------
    f : QuadraticEnergy
        Of the centre, if there is one, and all levels.
    reference : sequence of GaussianLevel
        Q_1, ..., Q_d.  Where the first has a B with columns, they are those of a
        centre that every level may depend on and none averages out.
    temperatures : Temperatures
        One per level.

    Raises
    ------
    InvalidParameter
        If the numbers of variables or levels do not fit together.
    NotIntegrable
        Unless lambda_k S^{-1} + H_vv is positive definite at every level.

    Examples
    --------
    >>> walk = random_walk(1, [0.3, 0.5])
    >>> end = QuadraticEnergy(np.diag([0.0, 0.0, 2.0]), [0.0, 0.0, 1.4], 0.49)
    >>> law = multiscale_gaussian(end, walk, Temperatures((0.8, 0.25)))
    >>> round(law.free_energy([-0.4]), 12)
    0.467519298613
    """
    temperatures = as_temperatures(temperatures)
    as_kind("f", f, QuadraticEnergy)
    reference = tuple(
        as_kind("each level of reference", one, GaussianLevel)
        for one in as_list("reference", reference)
    )
    _require_fitting(f, reference, temperatures)
    energies, levels = [f], []
    steps = zip(reversed(reference), reversed(temperatures.levels), strict=True)
    for level, temperature in steps:
        energy, conditional = average_out(energies[-1], level, temperature)
        energies.append(energy)
        levels.append(conditional)
    return GaussianGibbs(tuple(energies[::-1]), tuple(levels[::-1]))


def average_out(
    V: QuadraticEnergy, level: GaussianLevel, temperature: float
) -> tuple[QuadraticEnergy, GaussianLevel]:
    """One step of the recursion: V_{k-1} and P*_k from V_k and Q_k.

    Raises
    ------
    NotIntegrable
        Unless lambda S^{-1} + H_vv is positive definite.
    """
    as_kind("V", V, QuadraticEnergy), as_kind("level", level, GaussianLevel)
    temperature = as_variance("temperature", temperature)
    B, b, m = level.B, level.b, level.B.shape[1]
    H_uu, H_uv, H_vv = V.H[:m, :m], V.H[:m, m:], V.H[m:, m:]
    g_u, g_v = V.g[:m], V.g[m:]
    half, log_det = _narrowed(level.S, H_vv, temperature)
    L = H_uv.T + H_vv @ B
    l_0 = H_vv @ b - g_v
    drop, drop_0 = half @ L, half @ l_0  # G = half^T half
    across = H_uv @ B
    H = H_uu + across + across.T + B.T @ H_vv @ B - drop.T @ drop
    g = g_u - H_uv @ b - B.T @ l_0 + drop.T @ drop_0
    c = V.c + 0.5 * b @ H_vv @ b - g_v @ b - 0.5 * drop_0 @ drop_0
    energy = QuadraticEnergy((H + H.T) / 2, g, float(c) + 0.5 * temperature * log_det)
    conditional = GaussianLevel(
        B - half.T @ drop, b - half.T @ drop_0, temperature * half.T @ half
    )
    return energy, conditional


def _narrowed(S: Array, H: Array, temperature: float) -> tuple[Array, float]:
    """A root M of G = (lambda S^{-1} + H)^{-1} = M^T M, and log det(I + S H / lambda).

    With S = R R^T and R^T H R / lambda = U diag(e) U^T, lambda^{1/2} M is
    (1 + e)^{-1/2} U^T R^T.  A sum of log(1 + e) keeps its digits where lambda is large.
    """
    root = np.linalg.cholesky(S)
    with np.errstate(over="ignore", invalid="ignore"):  # judged below
        bend = root.T @ H @ root / temperature
    bends, basis = np.linalg.eigh(require_finite(bend, "S H / lambda"))
    if not bends[0] > -1:
        raise NotIntegrable(
            "the energy falls faster than the reference: I + S H / lambda must be "
            f"positive definite, its least eigenvalue is {1 + bends[0]:.6g}"
        )
    half = (root @ basis).T / np.sqrt(temperature * (1 + bends))[:, None]
    return half, float(np.log1p(bends).sum())


@dataclass(frozen=True, eq=False)
class QuadraticChain:
    """The random walk from x to the end w_d, whose energy is f.

    Attributes
    ----------
    f : Quadratic
        The energy of w_d.
    taus : tuple of float
        Variances of the steps, the coarse level first.
    temperatures : Temperatures

    Examples
    --------
    >>> temperatures = Temperatures((0.8, 0.25))
    >>> chain = QuadraticChain(Quadratic(2.0, [0.7]), (0.3, 0.5), temperatures)
    >>> round(float(chain.energies[0]([-0.4])), 12)
    0.467519298613
    """

    f: Quadratic
    taus: tuple[float, ...]
    temperatures: Temperatures

    def __post_init__(self) -> None:
        if not isinstance(self.f, Quadratic):
            raise InvalidParameter(
                f"f must be a Quadratic, got {type(self.f).__name__}"
            )
        object.__setattr__(self, "taus", _variances(self.taus))
        _require_same_levels(self.taus, as_temperatures(self.temperatures))

    @cached_property
    def _curvatures(self) -> tuple[Array, ...]:
        """The eigenvalues of H_0, ..., H_d, each (n,)."""
        h = [self.f.curvatures]
        for tau, level in list(self._steps)[::-1]:
            bend = tau / level * h[-1]
            if not bend.min() > -1:
                raise NotIntegrable(
                    "the energy falls faster than the reference: 1 + tau h / lambda "
                    f"must be positive, but tau = {tau:g}, lambda = {level:g} and "
                    f"h = {h[-1].min():.6g}"
                )
            h.append(h[-1] / (1 + bend))
        return tuple(h[::-1])

    @property
    def _steps(self) -> Iterable[tuple[float, float]]:
        """tau_k and lambda_k, the coarse level first."""
        return zip(self.taus, self.temperatures.levels, strict=True)

    @cached_property
    def energies(self) -> tuple[Quadratic, ...]:
        """V_0, ..., V_d, each (w - m)^T H_k (w - m) / 2 + c_k, as losses."""
        rises = [
            0.5 * level * float(np.log1p(tau / level * h).sum())
            for (tau, level), h in zip(self._steps, self._curvatures[1:], strict=True)
        ]
        return tuple(
            Quadratic(self._matrix(h), self.f.m, self.f.c + sum(rises[k:]))
            for k, h in enumerate(self._curvatures)
        )

    def moments(self, x: Any) -> list[tuple[Array, Array]]:
        """Mean (n,) and covariance (n, n) of w_k given the centre x, k = 1, ..., d."""
        shift = as_point("x", x, self.f.d) - self.f.m
        variance: Array = np.zeros(self.f.d)  # in the eigenbasis of H
        found = []
        shrink: Array = np.ones(self.f.d)
        for (tau, level), h in zip(self._steps, self._curvatures[1:], strict=True):
            growth = 1 + tau / level * h
            shrink = shrink / growth
            variance = tau / growth + variance / growth**2
            mean = self.f.m + self._matrix(shrink) @ shift
            found.append((mean, self._matrix(variance)))
        return found

    def _matrix(self, eigenvalues: Array) -> Array:
        basis = self.f.basis
        if basis is None:
            return np.diag(eigenvalues)
        return np.asarray((basis * eigenvalues) @ basis.T)


def _variances(taus: Any) -> tuple[float, ...]:
    values = as_parameters("taus", taus).tolist()
    return tuple(as_variance(f"tau_{k}", tau) for k, tau in enumerate(values, 1))


def _require_same_levels(taus: tuple[float, ...], temperatures: Temperatures) -> None:
    if len(taus) != len(temperatures):
        raise InvalidParameter(
            f"there are {len(taus)} variances and {len(temperatures)} temperatures"
        )


def _require_fitting(
    f: QuadraticEnergy,
    reference: tuple[GaussianLevel, ...],
    temperatures: Temperatures,
) -> None:
    if len(reference) != len(temperatures):
        raise InvalidParameter(
            f"there are {len(reference)} levels and {len(temperatures)} temperatures"
        )
    above = reference[0].B.shape[1]
    for k, level in enumerate(reference, start=1):
        if level.B.shape[1] != above:
            raise InvalidParameter(
                f"B of level {k} must have {above} columns, one per variable above "
                f"it, got shape {level.B.shape}"
            )
        above += level.d
    if f.d != above:
        raise InvalidParameter(
            f"f has {f.d} variables, the reference and its centre have {above}"
        )
