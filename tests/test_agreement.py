"""The implementation against 50 digits on generated problems, 24 decades of tau.

Where a closed form exists and the problem is well conditioned, the error is at most
1e-13 of the sum of the magnitudes of the terms; else it stays within the running
error bound of the formula.  Quadrature gives ten digits of the magnitudes, or refuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from refimpl import regularised
from refimpl.errors import Unresolved
from verification import losses as data
from verification.adapter import loss_of
from verification.evidence.comparison import agree
from verification.evidence.running_error import RunningError
from verification.truth import closed_forms as cf
from verification.truth import quadrature
from verification.truth.carriers import MP

EXACT = MP(80)  # tau up to 1e12 costs up to 24 digits in some formulas
CONDITION = 10.0


# --- the sum of the magnitudes of the terms -------------------------------------------


@dataclass(frozen=True, eq=False)
class Sized:
    """A double with the sum of the magnitudes of the terms it was made of."""

    value: float
    terms: float

    def __neg__(self) -> Sized:
        return Sized(-self.value, self.terms)

    def __add__(self, other: Any) -> Sized:
        other = sized(other)
        return Sized(self.value + other.value, self.terms + other.terms)

    def __sub__(self, other: Any) -> Sized:
        return self + -sized(other)

    def __mul__(self, other: Any) -> Sized:
        other = sized(other)
        return Sized(self.value * other.value, self.terms * other.terms)

    def __truediv__(self, other: Any) -> Sized:
        other = sized(other)
        return Sized(self.value / other.value, self.terms / abs(other.value))

    def __pow__(self, power: int) -> Sized:
        return Sized(self.value**power, self.terms**power)

    def __radd__(self, other: Any) -> Sized:
        return sized(other) + self

    def __rsub__(self, other: Any) -> Sized:
        return sized(other) - self

    def __rmul__(self, other: Any) -> Sized:
        return sized(other) * self

    def __rtruediv__(self, other: Any) -> Sized:
        return sized(other) / self

    def __lt__(self, other: Any) -> bool:
        return self.value < sized(other).value

    def __le__(self, other: Any) -> bool:
        return self.value <= sized(other).value

    def __gt__(self, other: Any) -> bool:
        return self.value > sized(other).value


def sized(value: Any) -> Sized:
    if isinstance(value, Sized):
        return value
    return Sized(float(value), abs(float(value)))


class Magnitudes:
    """The carrier of `Sized` numbers; a function's argument counts by its terms."""

    pi = Sized(math.pi, math.pi)

    def number(self, value: Any) -> Sized:
        return sized(value)

    def exp(self, a: Sized) -> Sized:
        result = math.exp(a.value)
        return Sized(result, result * max(1.0, a.terms))

    def log(self, a: Sized) -> Sized:
        result = math.log(a.value)
        return Sized(result, abs(result) + a.terms / a.value - 1)

    def sqrt(self, a: Sized) -> Sized:
        result = math.sqrt(a.value)
        return Sized(result, a.terms / result if result else 0.0)

    def cos(self, a: Sized) -> Sized:
        return Sized(math.cos(a.value), 1.0 + a.terms)

    def sin(self, a: Sized) -> Sized:
        return Sized(math.sin(a.value), 1.0 + a.terms)

    def maximum(self, values: Sequence[Sized]) -> Sized:
        return max(values)

    def sum(self, values: Sequence[Sized]) -> Sized:
        return Sized(
            math.fsum(v.value for v in values), math.fsum(v.terms for v in values)
        )

    def dot(self, a: Sequence[Sized], b: Sequence[Sized]) -> Sized:
        return self.sum([p * q for p, q in zip(a, b, strict=True)])


def flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [entry for part in value for entry in flat(part)]
    return [value]


# --- generated problems ---------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    label: str
    loss: Any
    x: tuple[float, ...]
    tau: float
    condition: float


def spectrum(rng: np.random.Generator, d: int, condition: float) -> Any:
    """A symmetric positive definite matrix of about this condition number."""
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    values = condition ** rng.uniform(0, 1, size=d) * rng.uniform(0.25, 1)
    matrix = (basis * values) @ basis.T
    return (matrix + matrix.T) / 2


def components(
    rng: np.random.Generator, d: int, condition: float
) -> tuple[Any, Any, Any, float]:
    K = int(rng.integers(1, 4))
    weights = rng.uniform(0.2, 1, size=K)
    means = rng.normal(scale=1.5, size=(K, d))
    covariances = np.array([spectrum(rng, d, condition) for _ in range(K)])
    worst = max(float(np.linalg.cond(S)) for S in covariances)
    return weights / weights.sum(), means, covariances, worst


def make(kind: str, rng: np.random.Generator, d: int, condition: float) -> Any:
    """A loss of this kind, and its condition number."""
    m = rng.normal(size=d)
    c = float(rng.normal())
    if kind == "constant":
        return data.Constant(c, d), 1.0
    if kind == "linear":
        return data.Linear(m, c), 1.0
    if kind in ("scalar", "diagonal", "quadratic"):
        H: Any = spectrum(rng, d, condition)
        H = {"scalar": H[0, 0], "diagonal": np.diagonal(H), "quadratic": H}[kind]
        worst = float(np.linalg.cond(H)) if kind == "quadratic" else 1.0
        return data.Quadratic(H, m, c), worst
    if kind == "least_squares":
        A = np.linalg.cholesky(spectrum(rng, d, condition)).T
        A = np.linalg.qr(rng.normal(size=(d + 2, d)))[0] @ A
        return data.LeastSquares(A, rng.normal(size=d + 2)), np.linalg.cond(A) ** 2
    if kind == "quartic":
        coefficients = rng.uniform(0.25, 1, size=d), rng.normal(size=d) / 2
        return data.Quartic(*coefficients, rng.normal(size=d), c / 4), 1.0
    if kind == "trigonometric":
        waves = rng.normal(size=3) / 2, rng.normal(size=(3, d)), rng.normal(size=3)
        H = spectrum(rng, d, condition)
        return data.Trigonometric(*waves, H, m, c), float(np.linalg.cond(H))
    weights, means, covariances, worst = components(rng, d, condition)
    if kind == "gaussian_mixture":
        return data.GaussianMixture(weights, means, covariances), worst
    signs = rng.choice([1.0, 1.0, -1.0], size=weights.size)
    return data.GaussianWells(2 * signs * weights, means, covariances, c), worst


ENTROPIC = (
    "constant",
    "linear",
    "scalar",
    "diagonal",
    "quadratic",
    "least_squares",
    "gaussian_mixture",
)
HEATED = (*ENTROPIC[:-1], "quartic", "trigonometric", "gaussian_wells")


def problems(kinds: Sequence[str], repeats: int, seed: int) -> Iterator[Problem]:
    rng = np.random.default_rng(seed)
    for kind in kinds:
        for d in (1, 2, 3, 5):
            for i in range(repeats):
                # one in four is ill conditioned, on purpose
                condition = 1e6 if i % 4 == 3 else CONDITION**0.9
                loss, worst = make(kind, rng, d, condition)
                x = tuple(float(v) for v in rng.normal(scale=2, size=d))
                tau = float(10 ** rng.uniform(-12, 12))
                yield Problem(f"{kind} d={d} #{i}", loss, x, tau, float(worst))


ENTROPY_QUANTITIES = (
    ("F_tau", cf.local_entropy, regularised.local_entropy),
    ("grad F_tau", cf.local_entropy_gradient, regularised.local_entropy_gradient),
    ("E_q X", cf.posterior_mean, regularised.posterior_mean),
)
HEAT_QUANTITIES = (
    ("F^H_tau", cf.heat, regularised.heat),
    ("grad F^H_tau", cf.heat_gradient, regularised.heat_gradient),
)


def discrepancy(
    p: Problem, formula: Callable[..., Any], ours: Callable[..., Any]
) -> tuple[float, float, str]:
    """Error and bound of one quantity, and which bound it is."""
    truth = formula(EXACT, p.loss, p.x, p.tau)
    measured = ours(loss_of(p.loss), p.x, p.tau)
    error = agree("", measured, truth, 0.0).error
    if p.condition <= CONDITION:
        terms = flat(formula(Magnitudes(), p.loss, p.x, p.tau))
        return error, 1e-13 * math.hypot(*(t.terms for t in terms)), "1e-13 of terms"
    rounded = flat(formula(RunningError(), p.loss, p.x, p.tau))
    size = math.hypot(*(float(t) for t in flat(truth)))
    bound = 4 * 2**-53 * (math.hypot(*(t.err for t in rounded)) + size)
    return error, bound, "running error bound"


@pytest.mark.parametrize(
    ("kinds", "quantities", "seed"),
    [(ENTROPIC, ENTROPY_QUANTITIES, 1), (HEATED, HEAT_QUANTITIES, 2)],
    ids=["local entropy", "heat"],
)
def test_closed_forms(kinds: Any, quantities: Any, seed: int) -> None:
    count, misses = 0, []
    for p in problems(kinds, 8, seed):
        count += 1
        for name, formula, ours in quantities:
            error, bound, kind = discrepancy(p, formula, ours)
            if not error <= bound:
                misses.append(
                    f"{name}, {p.label}, tau {p.tau:.1e}, condition {p.condition:.1e}: "
                    f"{error:.1e} > {bound:.1e} ({kind})"
                )
    assert count >= 200
    assert not misses, "\n".join(misses)


def resolved(
    kinds: Sequence[str], d: int, repeats: int, seed: int
) -> Iterator[Problem]:
    rng = np.random.default_rng(seed)
    for kind in kinds:
        for i in range(repeats):
            loss, worst = make(kind, rng, d, 4.0)
            x = tuple(float(v) for v in rng.normal(size=d))
            tau = float(10 ** rng.uniform(-12, 4 if d == 1 else 0))
            yield Problem(f"{kind} d={d} #{i}", loss, x, tau, worst)


@pytest.mark.parametrize(
    ("d", "repeats"),
    [
        *((1, 8), (2, 2)),
        pytest.param(1, 16, marks=pytest.mark.slow),
        pytest.param(2, 3, marks=pytest.mark.slow),
    ],
)
def test_quadrature_of_local_entropy(d: int, repeats: int) -> None:
    answered = 0
    kinds = ("quartic", "trigonometric", "gaussian_wells")
    for p in resolved(kinds, d, repeats, 30 + d):
        f = loss_of(p.loss)
        try:
            value = regularised.local_entropy(f, p.x, p.tau)
            slope = regularised.local_entropy_gradient(f, p.x, p.tau)
            mean = regularised.posterior_mean(f, p.x, p.tau)
            truth = quadrature.local_entropy(p.loss, p.x, p.tau)
            moments = quadrature.posterior_moments(p.loss, p.x, p.tau)
        except (Unresolved, quadrature.Unresolved):
            continue
        answered += 1
        size = 1 + abs(float(truth.value))
        reach = math.hypot(*p.x, *(float(v) for v in moments[0].value))
        pull = 1 + math.hypot(*(float(v) for v in moments[2].value))
        for finding in (
            agree(f"F, {p}", value, truth.value, 1e-10 * size),
            agree(f"E_q X, {p}", mean, moments[0].value, 1e-10 * (1 + reach)),
            agree(f"grad F, {p}", slope, moments[2].value, 1e-10 * pull),
        ):
            assert finding.ok, finding
    assert answered >= 3 * repeats * 3 // 4


@pytest.mark.parametrize(("d", "repeats"), [(1, 16), (2, 3)])
def test_quadrature_of_heat(d: int, repeats: int) -> None:
    answered = 0
    for p in resolved(("gaussian_mixture",), d, repeats, 40 + d):
        f = loss_of(p.loss)
        try:
            value, slope, _ = regularised.heat_jet(f, p.x, p.tau)
            truth = quadrature.heat(p.loss, p.x, p.tau)
            tilt = quadrature.heat_gradient(p.loss, p.x, p.tau)
        except (Unresolved, quadrature.Unresolved):
            continue
        answered += 1
        size = 1 + abs(float(truth.value))
        pull = 1 + math.hypot(*(float(v) for v in tilt.value))
        for finding in (
            agree(f"F^H, {p}", value, truth.value, 1e-10 * size),
            agree(f"grad F^H, {p}", slope, tilt.value, 1e-10 * pull),
        ):
            assert finding.ok, finding
    assert answered >= repeats * 2 // 3
