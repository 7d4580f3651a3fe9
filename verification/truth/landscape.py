"""Where an integrand lives and how fine it is: box and feature lengths.

All integrals of this project have the form ∫ g(y) e^{−E(y)} dy with

    E(y) = sign · f(y) + ½ (y−x)ᵀ C⁻¹ (y−x),   sign = +1 (e^{−f}), −1 (e^f), 0 (heat).

*Box.*  Every loss has a lower envelope sign·f ≥ min_i q_i of quadratics (or of
separable polynomials), and min E ≤ E* for any candidate point.  Where E ≤ E* + DROP,
some q_i plus the Gaussian term is at most E* + DROP, which is an ellipsoid with a known
bounding box.  Outside the box e^{−E} is below e^{−DROP} = 2e-35 of its peak and falls
like a Gaussian.

*Lengths.*  Along axis j the integrand looks smooth at the length ℓ_j:

- the Gaussian term and a quadratic loss: 1/√(C⁻¹ + sign·H)_jj, the conditional standard
  deviation;  a quartic: 1/√(largest curvature on the box);
- a wave: a quarter wavelength (π/2)/(|ω_j| √max(1, Σ|a|)), and 1/√curvature;
- a well: its conditional width 1/√(S⁻¹)_jj, divided by √max(1, Σ|a|) in an exponent,
  near the well only;
- a mixture: e^{−f}φ is a sum of Gaussians with precisions C⁻¹ + S_i⁻¹; where the
  logarithm itself is integrated (heat, e^f), the distance in which odds between
  components change by e, for its singularities lie π such lengths off the real axis.

Everything here is a decision about nodes, made in double precision: its rounding errors
move a node or a box by parts in 10¹⁵, which no integral feels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

import numpy as np
import numpy.typing as npt

from verification.truth import closed_forms as cf
from verification.truth.carriers import Double

Array = npt.NDArray[np.float64]
DROP = 80.0


class Unresolved(Exception):
    """The integral cannot be resolved within the budget of nodes: no answer."""


class Infinite(ValueError):
    """The integral is infinite."""


@dataclass(frozen=True)
class Problem:
    """∫ g e^{−E} with E = sign·f + ½ (y−x)ᵀC⁻¹(y−x); x (d,) and C (d, d) floats."""

    loss: Any
    sign: int
    x: tuple[float, ...]
    cov: tuple[tuple[float, ...], ...]

    @property
    def d(self) -> int:
        return len(self.x)

    @property
    def covariance(self) -> Array:
        return np.array(self.cov)

    @property
    def precision(self) -> Array:
        return np.asarray(np.linalg.inv(self.covariance), dtype=np.float64)


@dataclass(frozen=True)
class Feature:
    """A region on every axis, centre ± spread, in which the length is small."""

    centre: Array
    spread: Array
    length: Array


@dataclass
class Landscape:
    """Box and lengths, (d,) each, in offsets s = y − x; `shift` is close to min E."""

    lower: Array
    upper: Array
    length: Array
    shift: float = 0.0
    features: list[Feature] = field(default_factory=list)

    @property
    def smallest(self) -> Array:
        """The smallest length on every axis."""
        return np.min([self.length, *(f.length for f in self.features)], axis=0)


@dataclass(frozen=True)
class _Bowl:
    """The quadratic v + gᵀs + ½ sᵀHs in s = y − x."""

    v: float
    g: Array
    H: Array


def survey(problem: Problem) -> Landscape:
    """Return box, lengths and features of the integrand.

    Raises
    ------
    Infinite
        If e^{−E} is not integrable.
    """
    if problem.sign == 0:
        half = np.sqrt(2 * DROP * np.diag(problem.covariance))
        box = Landscape(-half, half, half)
    elif problem.loss.kind == "quartic":
        box = _quartic_box(problem)
    else:
        box = _bowl_box(problem, _envelope(problem))
    _measure(problem, box)
    return box


# --- box ------------------------------------------------------------------------------


def _float_jet(loss: Any, x: tuple[float, ...], order: int = 2) -> cf.Jet:
    return cf._jet(Double(), loss, list(x), order=order)


def _envelope(problem: Problem) -> list[_Bowl]:
    """Return quadratics with sign·f ≥ min_i q_i."""
    loss, sign, d = problem.loss, problem.sign, problem.d
    if loss.kind == "gaussian_wells":
        reach = np.maximum(sign * loss.depths, 0).sum()
        return [_Bowl(sign * loss.c - reach, np.zeros(d), np.zeros((d, d)))]
    if loss.kind == "gaussian_mixture":
        return _mixture_envelope(problem)
    slack = 0.0
    if loss.kind == "trigonometric":
        slack = float(np.sum(np.abs(loss.amplitude)))
    jet = cf._quadratic_jet(Double(), loss, list(problem.x), None)
    g: Array = sign * np.array(jet.gradient)
    H: Array = sign * np.array(jet.hessian)
    return [_Bowl(sign * jet.value - slack, g, H)]


def _mixture_envelope(problem: Problem) -> list[_Bowl]:
    """f ≥ min_i(−log w_i N_i) − log K, and −f ≥ log w_i N_i for every i."""
    loss, sign = problem.loss, problem.sign
    bowls = []
    for weight, mean, S in zip(loss.weights, loss.means, loss.covariances, strict=True):
        H, r = np.linalg.inv(S), np.array(problem.x) - mean
        log_det = np.linalg.slogdet(2 * np.pi * S)[1]
        v = 0.5 * (r @ H @ r + log_det) - np.log(weight)
        bowls.append(_Bowl(sign * v, sign * (H @ r), sign * H))
    if sign > 0:
        slack = np.log(len(bowls))
        return [_Bowl(bowl.v - slack, bowl.g, bowl.H) for bowl in bowls]
    good = [bowl for bowl in bowls if _definite(problem.precision + bowl.H)]
    if not good and problem.d == 1:
        raise Infinite("the widest component is not wider than the Gaussian")
    if not good:
        raise Unresolved("no single component bounds e^f")
    return [min(good, key=lambda bowl: float(np.trace(-bowl.H)))]


def _definite(A: Array) -> bool:
    return bool(np.all(np.linalg.eigvalsh(A) > 0))


def _bowl_box(problem: Problem, bowls: list[_Bowl]) -> Landscape:
    """Return the union of the boxes of {q_i + ½ sᵀC⁻¹s ≤ E* + DROP}."""
    minima, spreads, floors = [], [], []
    for bowl in bowls:
        P = problem.precision + bowl.H
        if not _definite(P):
            raise Infinite(
                f"exp({-problem.sign:+d} f) times the Gaussian is not integrable: "
                "precision plus curvature is not positive definite"
            )
        V = np.linalg.inv(P)
        minima.append(-V @ bowl.g)
        spreads.append(np.diag(V))
        floors.append(bowl.v + 0.5 * float(bowl.g @ minima[-1]))
    centres = getattr(problem.loss, "means", np.empty((0, problem.d)))
    candidates = [np.zeros(problem.d), *minima, *(centres - np.array(problem.x))]
    best = min(_energy(problem, s) for s in candidates)
    parts = [
        (s, np.sqrt(2 * (best + DROP - floor) * spread))
        for s, spread, floor in zip(minima, spreads, floors, strict=True)
        if best + DROP > floor
    ]
    lower = np.min([s - half for s, half in parts], axis=0)
    upper = np.max([s + half for s, half in parts], axis=0)
    return Landscape(lower, upper, upper - lower, best)


def _energy(problem: Problem, s: Array) -> float:
    y = tuple((np.array(problem.x) + s).tolist())
    value = _float_jet(problem.loss, y, 0).value
    return float(problem.sign * value + 0.5 * s @ problem.precision @ s)


def _quartic_box(problem: Problem) -> Landscape:
    """Bound E from below by separable polynomials in y and bound each of them.

    |coupling y_i y_{i+1}| ≤ |coupling| (y_i² + y_{i+1}²)/2, and the Gaussian term is at
    least ½ λ |s|² with λ the smallest eigenvalue of C⁻¹.
    """
    loss, x, d = problem.loss, np.array(problem.x), problem.d
    if problem.sign < 0:
        raise Infinite("e^f of a quartic is not integrable")
    stiffness = float(np.linalg.eigvalsh(problem.precision)[0])
    neighbours = np.array([(i > 0) + (i < d - 1) for i in range(d)])
    c2 = loss.c2 - abs(loss.coupling) * neighbours + stiffness
    rows = [
        [loss.c4[i] / 4, loss.c3[i] / 3, c2[i] / 2, -stiffness * x[i], 0.0]
        for i in range(d)
    ]
    floors, minima = [], []
    for row in rows:
        if not (row[0] > 0 or (row[0] == row[1] == 0 and row[2] > 0)):
            raise Infinite("the quartic has no certified lower bound")
        real = real_roots(np.polyder(np.trim_zeros(row, "f")))
        values = np.polyval(row, real)
        floors.append(float(values.min()))
        minima.append(real)
    candidates = [np.array(p) - x for p in product(*(list(m) for m in minima))]
    best = min(_energy(problem, s) for s in [np.zeros(d), *candidates])
    constant = 0.5 * stiffness * float(x @ x)
    lower, upper = np.empty(d), np.empty(d)
    for i, row in enumerate(rows):
        level = best + DROP - constant - (sum(floors) - floors[i])
        real = real_roots(np.trim_zeros([*row[:4], -level], "f"))
        margin = 1e-3 * (real.max() - real.min())
        lower[i], upper[i] = real.min() - margin - x[i], real.max() + margin - x[i]
    return Landscape(lower, upper, upper - lower, best)


def real_roots(polynomial: Any) -> Array:
    """Return the real roots of a polynomial, highest coefficient first."""
    roots = np.roots(polynomial)
    return roots[np.abs(roots.imag) <= 1e-6 * (1 + np.abs(roots))].real


# --- lengths --------------------------------------------------------------------------


def _measure(problem: Problem, box: Landscape) -> None:
    """Fill in the lengths and the local features."""
    loss, sign = problem.loss, problem.sign
    curvature = np.diag(problem.precision).copy()
    limit = np.full(problem.d, np.inf)
    if sign and loss.kind in (*cf.QUADRATIC, "trigonometric"):
        jet = cf._quadratic_jet(Double(), loss, list(problem.x), None)
        curvature += np.maximum(sign * np.diag(np.array(jet.hessian)), 0)
    if sign and loss.kind == "quartic":
        curvature += _quartic_curvature(problem, box)
    if loss.kind == "trigonometric":
        omega = np.abs(loss.frequency)
        total = float(np.sum(np.abs(loss.amplitude))) if sign else 0.0
        curvature += abs(sign) * np.abs(loss.amplitude) @ omega**2
        with np.errstate(divide="ignore"):
            limit = np.pi / 2 / omega.max(axis=0) / np.sqrt(max(1.0, total))
    if loss.kind == "gaussian_wells":
        box.features += _wells(problem)
    if loss.kind == "gaussian_mixture" and sign > 0:
        box.features += _posterior_components(problem)
    if loss.kind == "gaussian_mixture" and sign <= 0:
        limit = _odds_length(problem, box)
    box.length = np.minimum(1 / np.sqrt(curvature), limit)


def _quartic_curvature(problem: Problem, box: Landscape) -> Array:
    """Return the largest |∂²f/∂y_i²| on the box: at its ends or at the vertex."""
    loss, x = problem.loss, np.array(problem.x)
    ends = [x + box.lower, x + box.upper]
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.nan_to_num(-loss.c3 / (3 * loss.c4), posinf=0, neginf=0)
    ends.append(np.clip(vertex, *ends))
    bends = [np.abs(loss.c2 + y * (2 * loss.c3 + y * 3 * loss.c4)) for y in ends]
    return np.max(bends, axis=0) + abs(loss.coupling)


def _wells(problem: Problem) -> list[Feature]:
    total = float(np.sum(np.abs(problem.loss.depths))) if problem.sign else 0.0
    boost = np.sqrt(max(1.0, total))
    features = []
    for mean, S in zip(problem.loss.means, problem.loss.covariances, strict=True):
        width = 1 / np.sqrt(np.diag(np.linalg.inv(S)))
        tilt = np.sqrt(np.maximum(np.diag(S) - width**2, 0) * 2 * (DROP + total))
        tilt[tilt < 1e-6 * width] = 0
        features.append(Feature(mean - np.array(problem.x), tilt, width / boost))
    return features


def _posterior_components(problem: Problem) -> list[Feature]:
    features = []
    precision, x = problem.precision, np.array(problem.x)
    for mean, S in zip(problem.loss.means, problem.loss.covariances, strict=True):
        H = np.linalg.inv(S)
        V = np.linalg.inv(precision + H)
        width = 1 / np.sqrt(np.diag(precision + H))
        tilt = np.sqrt(np.maximum(np.diag(V) - width**2, 0) * 2 * DROP)
        tilt[tilt < 1e-6 * width] = 0
        features.append(Feature(V @ H @ (mean - x), tilt, width))
    return features


def _odds_length(problem: Problem, box: Landscape) -> Array:
    """Return the distance in which odds between components change by e, per axis.

    log Σ w_i N_i is singular off the real axis at distance π/|∂L/∂y_j|, L the log-odds
    of two components, and only where the odds are near 1: |L| ≤ log K plus what a shift
    of that distance changes.  A singularity seen from s has the weight e^{−½sᵀC⁻¹s} of
    the Gaussian, hence the factor DROP / (DROP − ½sᵀC⁻¹s) on its length.  The minimum
    is taken over a grid of the box, the condition widened by the grid's spacing.
    """
    loss, d = problem.loss, problem.d
    axes = [
        np.linspace(*ends, {1: 4001, 2: 201}.get(d, 41))
        for ends in zip(box.lower, box.upper, strict=True)
    ]
    s = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], axis=-1)
    energy = 0.5 * np.sum(s @ problem.precision * s, axis=-1)
    s, energy = s[energy < 0.95 * DROP], energy[energy < 0.95 * DROP]
    spacing = np.array([axis[1] - axis[0] for axis in axes])
    pieces = []
    for weight, mean, S in zip(loss.weights, loss.means, loss.covariances, strict=True):
        H, r = np.linalg.inv(S), s + np.array(problem.x) - mean
        log = np.log(weight) - 0.5 * (
            np.sum(r @ H * r, axis=-1) + np.linalg.slogdet(S)[1]
        )
        pieces.append((log, r @ H, np.abs(np.diag(H))))
    lengths = np.full(d, np.inf)
    for (log, score, bend), (log2, score2, bend2) in combinations(pieces, 2):
        slope = np.abs(score - score2) + 1e-100  # where the odds do not change at all
        change = (np.pi / slope) ** 2 * (bend + bend2) / 2
        near = np.abs(log - log2)[:, None] <= (
            np.log(len(pieces)) + np.minimum(change, 10) + (slope @ spacing)[:, None]
        )
        local = DROP / (DROP - energy)[:, None] / slope
        lengths = np.minimum(lengths, np.where(near, local, np.inf).min(axis=0))
    return lengths
