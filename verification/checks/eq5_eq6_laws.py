"""The convolution reading (5) and the normalisation (6): the constants matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import EXACT, RUNNING, Truth, closed, integrated
from verification.evidence.comparison import Finding, agree
from verification.losses import Quadratic
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth import quadrature


def _log_convolution(p: Problem, x: tuple[float, ...]) -> Any:
    """log (rho_f * phi_{0,tau})(x), rho_f normalised to integrate to 1."""
    loss: Any = p.loss
    tau = EXACT.number(p.tau)
    if loss.kind == "gaussian_mixture":  # rho_f is the mixture: integrate numerically
        return -quadrature.local_entropy(loss, x, p.tau, "gauss-legendre").value
    H = la.matrix(EXACT, loss.H)
    unit = la.identity(EXACT, len(x))
    inverse = la.solve_matrix(EXACT, la.ldlt(EXACT, H), unit)
    wide = la.ldlt(EXACT, la.matrix_add(inverse, la.matrix_scale(tau, unit)))
    gap = la.subtract(la.vector(EXACT, x), la.vector(EXACT, loss.m))
    volume = len(x) * EXACT.log(2 * EXACT.pi) + la.log_det(EXACT, wide)
    return -(volume + la.inverse_form(EXACT, wide, gap)) / 2


def _log_mass(p: Problem) -> Any:
    """log of the integral of exp(-f)."""
    loss: Any = p.loss
    if loss.kind == "gaussian_mixture":
        return EXACT.number(0)
    H = la.ldlt(EXACT, la.matrix(EXACT, loss.H))
    volume = p.d * EXACT.log(2 * EXACT.pi) - la.log_det(EXACT, H)
    return volume / 2 - EXACT.number(loss.c)


@check(
    "EQ5-01",
    paper="(5), E1",
    claim="F + log(rho_f * phi) is the constant -log of the integral of exp(-f): "
    "equal up to an additive constant, not proportional",
    truth="Gaussian convolution of N(m, H^-1); numerical convolution of the mixture",
    route="ID",
    tolerance=RUNNING,
    mistakes=("T01", "T02", "T03"),
    needs=("local_entropy",),
    cases=(
        at("quadratic d=2", P.QUADRATIC_2, 0.75),
        at("mixture d=1", P.MIXTURE_1, 0.375),
    ),
)
def convolution(w: Witness, p: Problem) -> Iterator[Finding]:
    constant = -_log_mass(p)
    for i in range(20):
        x = tuple(v + (i - 9.5) / 4 * (1 + 0.5 * j) for j, v in enumerate(p.x))
        truth = closed(cf.local_entropy, p.loss, x, p.tau)
        expected = constant - _log_convolution(p, x)
        value = w.local_entropy(p.loss, x, p.tau)
        yield agree(f"F at point {i}", value, expected, truth.tolerance(w))


def _truth(p: Problem) -> Truth:
    """The tolerance of F: closed form where there is one, else ten digits."""
    if p.loss.kind in (*cf.QUADRATIC, "gaussian_mixture"):
        return closed(cf.local_entropy, p.loss, p.x, p.tau)
    value = quadrature.local_entropy(p.loss, p.x, p.tau)
    return integrated(value, 1 + abs(float(value.value)))


CASES = (
    at("quadratic d=1", P.QUADRATIC_1, 0.75),
    at("quadratic d=2", P.QUADRATIC_2, 0.25),
    at("mixture d=1", P.MIXTURE_1, 1.25),
    at("mixture d=2", P.MIXTURE_2, 0.375),
    at("quartic d=1", P.QUARTIC_1, 0.75),
    at("wells d=1", P.WELLS_1, 0.625),
)


@check(
    "EQ6-01",
    paper="(6)",
    claim="exp(F - f - |x-y|^2/2tau) / (2 pi tau)^(d/2) integrates to 1",
    truth="the integral by Gauss-Legendre panels, times exp of the subject's F",
    route="MP2",
    tolerance=RUNNING + " of F, or ten digits without closed form",
    mistakes=("T01", "T02"),
    needs=("local_entropy",),
    cases=CASES,
)
def normalised(w: Witness, p: Problem) -> Iterator[Finding]:
    value = w.local_entropy(p.loss, p.x, p.tau)
    integral = quadrature.normaliser_6(p.loss, p.x, p.tau)
    volume = p.d * EXACT.log(2 * EXACT.pi * EXACT.number(p.tau)) / 2
    mass = float(EXACT.exp(EXACT.number(value) + integral.value - volume))
    yield agree("integral of q", mass, 1.0, _truth(p).tolerance(w) + 1e-15)


def _normaliser(p: Problem) -> quadrature.Certified:
    """log Z of (6); of a diagonal quadratic, the sum over its coordinates."""
    loss: Any = p.loss
    if p.d < 3:
        return quadrature.normaliser_6(loss, p.x, p.tau)
    total, error = EXACT.number(-loss.c), 0.0
    for h, m, x in zip(loss.H, loss.m, p.x, strict=True):
        own = quadrature.normaliser_6(Quadratic([h], [m], 0.0), (x,), p.tau)
        total, error = total + EXACT.number(own.value), error + own.error
    return quadrature.Certified(total, error)


@check(
    "EQ6-02",
    paper="(6), (9), Theorem 1, E2",
    claim="F = -log Z + (d/2) log(2 pi tau) with the Z of (6)",
    truth="the integral of (6) without Gaussian normaliser, by quadrature",
    route="MP2 ID",
    tolerance=RUNNING + " of F, or ten digits without closed form",
    mistakes=("T02", "T03"),
    needs=("local_entropy",),
    cases=(*CASES, at("diagonal quadratic d=3", P.DIAGONAL_3, 0.5)),
)
def constant_of_6(w: Witness, p: Problem) -> Iterator[Finding]:
    integral = _normaliser(p)
    volume = p.d * EXACT.log(2 * EXACT.pi * EXACT.number(p.tau)) / 2
    value = w.local_entropy(p.loss, p.x, p.tau)
    slack = _truth(p).tolerance(w) + integral.error
    yield agree("F_tau", value, volume - integral.value, slack)
