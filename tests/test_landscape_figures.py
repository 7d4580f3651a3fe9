"""Figures 1 to 3 and the phase diagram: every number again, by another route.

Local entropy of wells is a double series of positive terms, not a sum over nodes; heat
is integrated, not a closed form; divergences are panels of Gauss and Legendre; the laws
are Kummer's function in thirty digits.  Records are rounded to nine digits: half a unit
of the ninth, 5e-9 of a number at most, is what they may differ by (`HALF`), times what
a number's own argument moves it by.
"""

from __future__ import annotations

import ast
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize

from refimpl import regularised
from refimpl.__main__ import main
from refimpl.exact import ExactHeat, ExactMean
from refimpl.experiments import best_gaussians as B
from refimpl.experiments import exact_figures, exact_plots
from refimpl.experiments import landscapes as L
from refimpl.experiments import phase_diagram as P
from refimpl.laws import GibbsLaw
from refimpl.losses import GaussianMixture, GaussianWells

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDER = DOCS / "landscapes"
NAMES = list(exact_figures.FIGURES)
HALF = 5e-9
ROUNDING = 1e-12  # of the routes of this file, where they are sums of O(1) in float64
DRAWN_WITH = "3.11.2"


@cache
def stored(name: str) -> dict[str, Any]:
    return exact_figures.read(name, FOLDER)


def page() -> str:
    return re.sub(r"\s+", " ", (DOCS / "landscapes.md").read_text(encoding="utf-8"))


# --- Figures 1 and 2, by a double series and by integration

Jet = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


class Series:
    """6 - log of sum_nm a^n b^m / (n! m!) E exp(-n |y-m|^2 / 2s^2 - m |y-n|^2 / 2w^2).

    The exponent is -A |y - mu|^2 / 2 - C with A = n / s^2 + m / w^2, whose average over
    N(x, tau I) is (1 + tau A)^(-1) exp(-C - A |x - mu|^2 / 2(1 + tau A)).  All terms
    are positive: nothing cancels.  Those below e^-60 are left out, of 60 by 60; the
    others, as no depth exceeds 5.5, are below 1e-30.
    """

    def __init__(self, depths: Any = L.DEPTHS) -> None:
        n, m = (k.ravel() for k in np.meshgrid(np.arange(60), np.arange(60)))
        p, q = n / L.WIDTHS[0] ** 2, m / L.WIDTHS[1] ** 2
        self.A = p + q
        safe = np.where(self.A > 0, self.A, 1.0)
        self.mu = (p * L.CENTRES[0] + q * L.CENTRES[1]) / safe
        lost = p * q / safe * (L.CENTRES[1] - L.CENTRES[0]) ** 2 / 2
        logs = n * math.log(depths[0]) + m * math.log(depths[1]) - lost
        self.logs = logs - np.array([math.lgamma(k + 1) for k in n])
        self.logs -= np.array([math.lgamma(k + 1) for k in m])
        keep = self.logs > -60
        self.A, self.mu, self.logs = self.A[keep], self.mu[keep], self.logs[keep]

    def jet(self, tau: float) -> Jet:
        rate = self.A / (1 + tau * self.A)

        def jet(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            u = np.asarray(x)[:, None] - self.mu
            terms = np.exp(self.logs - rate * u * u / 2) / (1 + tau * self.A)
            mass = terms.sum(axis=1)
            first = -(terms * rate * u).sum(axis=1) / mass
            second = (terms * ((rate * u) ** 2 - rate)).sum(axis=1) / mass
            return L.LEVEL - np.log(mass), -first, first**2 - second

        return jet

    def at(self, x: np.ndarray, tau: float) -> np.ndarray:
        """At points (n, 2)."""
        rate = self.A / (1 + tau * self.A)
        square = (x[:, :1] - self.mu) ** 2 + x[:, 1:] ** 2
        terms = np.exp(self.logs - rate * square / 2) / (1 + tau * self.A)
        return L.LEVEL - np.log(terms.sum(axis=1))


class Integrated:
    """Heat as the definition has it: a well times a Gaussian, integrated numerically.

    On both axes 80 nodes of Gauss and Legendre on each of 4 panels, around the narrower
    of the two, 9 of its widths to each side: a Gaussian is integrated to 1e-14.
    """

    def __init__(self, depths: Any = L.DEPTHS) -> None:
        self.depths = depths

    def jet(self, tau: float) -> Jet:
        def jet(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            value = np.full(len(x), L.LEVEL)
            slope, bend = np.zeros(len(x)), np.zeros(len(x))
            for a, m, s in zip(self.depths, L.CENTRES, L.WIDTHS, strict=True):
                found = np.array([self.moments(one - m, s, tau) for one in x])
                value -= a * found[:, 0]
                slope -= a * found[:, 1]
                bend -= a * found[:, 2]
            return value, slope, bend

        return jet

    @staticmethod
    def moments(shift: float, s: float, tau: float) -> list[float]:
        """Of a unit well in the plane, x being shifted along an axis: its jet."""
        y, w = panels(9 * min(s, math.sqrt(tau)))
        u = y if s * s < tau else shift + y  # from the centre of the well
        z = u - shift  # from x
        root = math.sqrt(2 * math.pi * tau)
        across = np.exp(-(y * y) / 2 * (1 / s**2 + 1 / tau)) @ w / root
        along = np.exp(-(u * u) / (2 * s * s) - z * z / (2 * tau)) * w / root
        powers = (np.ones_like(z), z / tau, z * z / tau**2 - 1 / tau)
        return [float(across * (along @ power)) for power in powers]


RULE = np.polynomial.legendre.leggauss(80)


def panels(reach: float, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = RULE
    ends = np.linspace(-reach, reach, count + 1)
    half = reach / count
    middle = (ends[1:] + ends[:-1]) / 2
    return (middle[:, None] + half * nodes).ravel(), np.tile(half * weights, count)


ROUTES = {"figure-1": Series(), "figure-2": Integrated()}


def route(name: str, tau: float) -> Jet:
    """Along the axis, f itself written out for tau = 0."""
    return loss if tau == 0 else ROUTES[name].jet(tau)


def loss(x: np.ndarray, depths: Any = L.DEPTHS) -> tuple[np.ndarray, ...]:
    u = np.asarray(x)[:, None] - np.array(L.CENTRES)
    rate = 1 / np.array(L.WIDTHS) ** 2
    terms = np.array(depths) * np.exp(-rate * u * u / 2)
    slope = (terms * rate * u).sum(axis=1)
    bend = (terms * (rate - (rate * u) ** 2)).sum(axis=1)
    return L.LEVEL - terms.sum(axis=1), slope, bend


def critical() -> list[tuple[str, float, str, dict[str, float]]]:
    """Figure, tau, kind and point of every entry of the tables."""
    return [
        (name, one["tau"], kind, one[kind])
        for name in ROUTES
        for one in stored(name)["minima"]
        for kind in L.CRITICAL
        if one["tau"] in L.TABLE and one[kind]
    ]


@pytest.mark.parametrize(("name", "tau", "kind", "point"), critical())
def test_places_and_depths(name: str, tau: float, kind: str, point: Any) -> None:
    """Newton's step from the stored place is rounding, and the bend has its sign."""
    x = point["x"]
    value, slope, bend = (v[0] for v in route(name, tau)(np.array([x])))
    assert (bend > 0) == (kind != "saddle")
    assert abs(slope / bend) <= HALF * abs(x) + ROUNDING / abs(bend)
    depth = L.LEVEL - value
    assert point["depth"] == pytest.approx(depth, rel=HALF, abs=ROUNDING)


@pytest.mark.parametrize("name", ROUTES)
def test_there_are_no_other_critical_points(name: str) -> None:
    """On the axis the slope changes its sign as often as the record says."""
    x = np.linspace(-5, 5, 401) + 1e-3
    for one in stored(name)["minima"]:
        if one["tau"] in (0.0, 0.03, 0.3, 1.0):
            slope = route(name, one["tau"])(x)[1]
            known = sum(one[kind] is not None for kind in L.CRITICAL)
            assert (np.diff(np.sign(slope)) != 0).sum() == known


@pytest.mark.parametrize("tau", [0.03, 0.3])
@pytest.mark.parametrize("kind", ["sharp", "wide"])
def test_a_descent_in_the_plane_ends_at_the_stored_minimum(
    tau: float, kind: str
) -> None:
    """From beside the centre, off the axis: scipy's simplex, to 1e-7."""
    (here,) = (one for one in stored("figure-1")["minima"] if one["tau"] == tau)
    start = [L.CENTRES[kind == "wide"] + 0.05, 0.1]
    series = ROUTES["figure-1"]
    assert isinstance(series, Series)
    found = minimize(
        lambda y: float(series.at(y[None], tau)[0]),
        start,
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 400},
    )
    assert np.abs(found.x - [here[kind]["x"], 0]).max() < 1e-6
    assert L.LEVEL - found.fun == pytest.approx(here[kind]["depth"], abs=1e-9 * 6)


def newton(jet: Jet, x: float) -> tuple[float, float]:
    """The critical point next to x, and its value."""
    for _ in range(30):
        _, slope, bend = jet(np.array([x]))
        x -= float(slope[0] / bend[0])
    return x, float(jet(np.array([x]))[0][0])


def gap(jet: Jet, sharp: float, wide: float) -> float:
    return newton(jet, wide)[1] - newton(jet, sharp)[1]


@pytest.mark.parametrize("name", ROUTES)
def test_where_both_are_equally_deep(name: str) -> None:
    """The difference changes its sign within what rounding leaves open."""
    tau = stored(name)["equal"]["tau"]
    before, after = (
        gap(route(name, tau * (1 + move)), -1.39, 1.2) for move in (-2e-8, 2e-8)
    )
    assert before > 0 > after
    depth = L.LEVEL - newton(route(name, tau), 1.2)[1]
    assert stored(name)["equal"]["depth"] == pytest.approx(depth, rel=2 * HALF)


@pytest.mark.parametrize("name", ROUTES)
def test_where_the_sharp_minimum_is_lost(name: str) -> None:
    """The highest slope beside it is positive before and negative after.

    It is a parabola there, and the highest of 201 points 2e-5 apart is lower than the
    top by 1e-10 of its bend, which shifts tau by about as much.
    """
    lost = stored(name)["lost"]
    x = lost["x"] + np.linspace(-2e-3, 2e-3, 201)
    tops = []
    for move in (-1e-6, 0.0, 1e-6):
        slope = route(name, lost["tau"] * (1 + move))(x)[1]
        assert 0 < slope.argmax() < 200
        tops.append(slope.max())
    assert tops[0] > 0 > tops[2]
    assert abs(tops[1]) < 1e-2 * (tops[0] - tops[2])
    bend = route(name, lost["tau"])(np.array([lost["x"] - 1e-4, lost["x"] + 1e-4]))[2]
    assert bend[0] > 0 > bend[1]
    last = [one["tau"] for one in stored(name)["minima"] if one["sharp"]][-1]
    first = next(one["tau"] for one in stored(name)["minima"] if not one["sharp"])
    assert last < lost["tau"] < first


def test_the_maps_and_sections_of_local_entropy() -> None:
    """Every fiftieth point, to half a unit of the fourth decimal."""
    found = stored("figure-1")
    x1, x2 = np.array(found["x1"]), np.array(found["x2"])
    points = np.stack(np.meshgrid(x1, x2, indexing="ij"), -1).reshape(-1, 2)[::50]
    series = ROUTES["figure-1"]
    assert isinstance(series, Series)
    for tau, values, section in zip(
        found["shown"], found["maps"], found["section"], strict=True
    ):
        if tau:
            shown = np.array(values).ravel()[::50]
            assert np.abs(shown - series.at(points, tau)).max() <= 5e-5 + 1e-9
        exact = route("figure-1", tau)(x1)[0]
        assert np.abs(np.array(section) / exact - 1).max() <= HALF + ROUNDING


def test_the_maps_and_sections_of_heat() -> None:
    """A round well's value off the axis is that on it at the same distance."""
    found = stored("figure-2")
    x1, x2 = np.array(found["x1"]), np.array(found["x2"])
    for tau, values, section in zip(
        found["shown"], found["maps"], found["section"], strict=True
    ):
        for i, j in ((0, 0), (24, 3), (60, 40), (90, 20), (120, 7)):
            if tau:
                parts = [
                    Integrated((d, 0.0) if k == 0 else (0.0, d)).jet(tau)(
                        np.array([m + math.hypot(x1[i] - m, x2[j])])
                    )[0][0]
                    - L.LEVEL
                    for k, (d, m) in enumerate(zip(L.DEPTHS, L.CENTRES, strict=True))
                ]
                assert abs(values[i][j] - L.LEVEL - sum(parts)) <= 5e-5 + 1e-9
        exact = route("figure-2", tau)(x1[::10])[0]
        assert np.abs(np.array(section)[::10] / exact - 1).max() <= HALF + ROUNDING


@pytest.mark.parametrize("tau", [0.01, 0.1])
def test_the_shared_nodes_agree_with_quadrature(tau: float) -> None:
    """`refimpl.regularised` vouches for 1e-10 of the integral."""
    f = L.wells(L.DEPTHS, L.CENTRES, L.WIDTHS)
    of = L.LocalEntropy(f, least=0.01)
    x = np.array([-1.39, -0.5, 1.2])
    value, slope, bend = of.jet(tau)(x)
    points = np.stack([x, 0 * x], -1)
    exact = regularised.local_entropy(f, points, tau)
    steep = regularised.local_entropy_gradient(f, points, tau)
    curved = regularised.local_entropy_hessian(f, points, tau)
    assert np.abs(value - exact).max() < 1e-10
    assert np.abs(slope - steep[:, 0]).max() < 1e-10 / tau
    assert np.abs(bend - curved[:, 0, 0]).max() < 1e-10 / tau**2
    assert np.abs(steep[:, 1]).max() < 1e-10 / tau
    beside = of.grid(x, np.array([0.4]), tau)[:, 0]
    exact = regularised.local_entropy(f, points + np.array([0, 0.4]), tau)
    assert np.abs(beside - exact).max() < 1e-10


def test_local_entropy_is_computed_as_stored() -> None:
    of = L.LocalEntropy(L.wells(L.DEPTHS, L.CENTRES, L.WIDTHS), least=0.03)
    for tau in (0.03, 0.3, 1.0):
        (here,) = (one for one in stored("figure-1")["minima"] if one["tau"] == tau)
        found = L.minima(of, tau)
        for kind in L.CRITICAL:
            assert found[kind] == (here[kind] and pytest.approx(here[kind], rel=HALF))


# --- Figure 3, by panels


def normal(x: np.ndarray, m: float, v: float) -> np.ndarray:
    return np.exp(-((x - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)


def bimodal(x: np.ndarray) -> np.ndarray:
    """q as (6) has it: exp(-f) phi, normalised by the panels themselves."""
    return sum(
        w * normal(x, m, B.VARIANCE) for w, m in zip(B.WEIGHTS, B.MEANS, strict=True)
    ) * normal(x, B.CENTRE, B.TAU)


Y, W = panels(12.0, 60)  # beyond, all densities of the figure are below 1e-12
Q = bimodal(Y) / (W @ bimodal(Y))


def divergence(sense: str, m: float, v: float) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        phi = normal(Y, m, v)
        pair = (Q, phi) if sense == "mean seeking" else (phi, Q)
        terms = np.where(pair[0] > 0, pair[0] * np.log(pair[0] / pair[1]), 0.0)
    return float(W @ terms)


def test_q_is_the_mixture_that_is_said() -> None:
    said = stored("figure-3")["q"]
    shown = sum(
        w * normal(Y, m, v)
        for w, m, v in zip(
            said["weights"], said["means"], said["variances"], strict=True
        )
    )
    assert np.abs(shown - Q).max() < 10 * HALF
    density = np.interp(0.5, stored("figure-3")["grid"], stored("figure-3")["density"])
    assert density == pytest.approx(float(np.interp(0.5, Y, Q)), rel=1e-3)


@pytest.mark.parametrize("row", range(6))
def test_the_best_gaussians(row: int) -> None:
    """Their divergences, and that scipy finds none nearby that is better.

    The divergence is stationary: a simplex that stops 1e-7 away is 1e-13 above.
    """
    one = stored("figure-3")["best"][row]
    m, v = one["mean"], one["variance"]
    truth = divergence(one["sense"], m, v)
    assert one["divergence"] == pytest.approx(truth, rel=HALF, abs=10 * ROUNDING)

    def shifted(move: np.ndarray) -> float:
        if one["family"] == "tau":
            return divergence(one["sense"], m + move[0], B.TAU)
        return divergence(one["sense"], m + move[0], v * math.exp(move[1]))

    start = np.array([0.1, 0.1])[: 1 + (one["family"] == "all")]
    options = {"xatol": 1e-8, "fatol": 1e-15, "maxiter": 300}
    found = minimize(shifted, start, method="Nelder-Mead", options=options)
    assert np.abs(found.x).max() < 1e-6
    assert found.fun == pytest.approx(truth, abs=1e-11)


def test_step_2_of_both_algorithms() -> None:
    q = GibbsLaw(B.loss(), np.array([B.CENTRE]), B.TAU)
    rows = [one for one in stored("figure-3")["best"] if one["family"] == "tau"]
    mean, left, right = rows
    assert mean["mean"] == pytest.approx(float(ExactMean()(q).x[0]), rel=HALF)
    assert left["mean"] == pytest.approx(float(ExactHeat()(q).x[0]), rel=HALF)
    assert left["divergence"] < right["divergence"]


@pytest.mark.parametrize("sense", ["mean seeking", "mode seeking"])
def test_the_divergences_against_the_mean(sense: str) -> None:
    found = stored("figure-3")
    values = np.array(found[sense.replace(" ", "_")])
    for x, value in list(zip(found["x"], values, strict=True))[::12]:
        assert value == pytest.approx(divergence(sense, x, B.TAU), rel=HALF, abs=1e-11)
    lower = (values[1:-1] < values[2:]) & (values[1:-1] < values[:-2])
    assert lower.sum() == (1 if sense == "mean seeking" else 2)


# --- the phase diagram, by Kummer's function and by the series


def kummer(a: float, t: float) -> float:
    """log M(1/t, 1 + 1/t, a), thirty digits."""
    with mpmath.workdps(30):
        return float(mpmath.log(mpmath.hyp1f1(1 / t, 1 + 1 / t, a)))


def equation(a: float, u: float, r: float, delta: float) -> None:
    """Both sides of S(a, t) = S(a - Delta, t / r^2), whose slope is at most 1.

    log S is the logarithm of a mean of exp(a g) with 0 <= g <= 1.
    """
    t = mpmath.mpf(u) / a
    sides = kummer(a, t), kummer(mpmath.mpf(a) - delta, t / mpmath.mpf(r) ** 2)
    assert sides[0] == pytest.approx(sides[1], abs=HALF * delta + ROUNDING)


def test_the_law_of_wells_under_local_entropy() -> None:
    found = stored("phase-diagram")
    depths = {"shallow": "shallow", "wells": "depth", "deep": "deep"}
    for line, depth in depths.items():
        values = found["lines"][f"{line}_entropy"]
        for u, delta in list(zip(found["sharpness"], values, strict=True))[::6]:
            equation(found[depth], u, found["ratio"], delta)
    for i, u in list(enumerate(found["sharpness"]))[::15]:
        for j, r in list(enumerate(found["ratios"]))[4::8]:
            delta = found["maps"]["wells_entropy"][i][j]
            equation(found["depth"], u, r, delta)


def test_the_other_laws_are_what_distant_minima_do() -> None:
    """Two wells or components 400 widths apart, in the loss's own closed forms.

    What one sees of the other is below exp(-400^2 / 2 (8^2 + tau)) < 1e-26.
    """
    found = stored("phase-diagram")
    a = found["depth"]
    for i, j in ((3, 5), (20, 12), (40, 36), (60, 30)):
        u, r = found["sharpness"][i], found["ratios"][j]
        delta = found["maps"]["wells_heat"][i][j]
        far = [[0.0, 0.0], [400.0 * r, 0.0]]
        shapes = [np.eye(2), r**2 * np.eye(2)]
        wells = GaussianWells([a, a - delta], far, shapes)
        low = regularised.heat(wells, far, u / a)
        assert low[0] == pytest.approx(low[1], abs=HALF * delta + 1e-9)
        delta = found["maps"]["quadratic_entropy"][i][j]
        odds = r**2 * math.exp(-delta)
        mixture = GaussianMixture([1 / (1 + odds), odds / (1 + odds)], far, shapes)
        low = regularised.local_entropy(mixture, far, u)
        assert low[0] == pytest.approx(low[1], abs=HALF * delta + 1e-9)
        heat = found["maps"]["quadratic_heat"][i][j]
        assert heat == pytest.approx(u * (1 - r**-2), rel=5 * HALF)


def test_lines_are_rows_of_the_same_laws() -> None:
    found = stored("phase-diagram")
    u, r = np.array(found["sharpness"]), found["ratio"]
    lines = found["lines"]
    heat = found["depth"] * (1 - (1 + u / 5.5 / r**2) / (1 + u / 5.5))
    assert lines["wells_heat"] == pytest.approx(heat.tolist(), rel=2 * HALF)
    assert lines["quadratic_heat"] == pytest.approx(
        (u - u / r**2).tolist(), rel=2 * HALF
    )
    law = np.log((1 + u) / (1 + u / r**2))
    assert lines["quadratic_entropy"] == pytest.approx(law.tolist(), rel=2 * HALF)


@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_the_series_is_an_average_in_any_dimension(d: int) -> None:
    """E exp(a exp(-t R^2 / 2)), R^2 chi-squared with d degrees, by mpmath."""
    for a, t in ((0.5, 0.2), (5.5, 3.0)):
        value, slope = P.log_series(np.array(a), np.array(t), d)
        assert value == pytest.approx(average(a, t, d), abs=1e-12)
        step = 1e-5
        ends = [P.log_series(np.array(a + h), np.array(t), d)[0] for h in (-step, step)]
        assert slope == pytest.approx((ends[1] - ends[0]) / (2 * step), abs=1e-8)


def average(a: float, t: float, d: int) -> float:
    def density(s: Any) -> Any:
        return s ** (d - 1) * mpmath.exp(-s * s / 2)

    def tilted(s: Any) -> Any:
        return density(s) * mpmath.exp(a * mpmath.exp(-t * s * s / 2))

    with mpmath.workdps(20):
        ends = [0, 1, 2, 4, 8, 14]
        mean = mpmath.quad(tilted, ends) / mpmath.quad(density, ends)
        return float(mpmath.log(mean))


@pytest.mark.parametrize("d", [1, 2, 5])
def test_heat_tolerates_more(d: int) -> None:
    """The proof of the page, in numbers; and both agree to first order in tau."""
    u, r = np.geomspace(1e-3, 1e3, 25)[:, None], np.geomspace(1.1, 20, 12)
    heat = P.quadratic_heat(u, r, d)
    assert (P.quadratic_entropy(u, r, d) < heat).all()
    for a in (0.3, 5.5, 20.0):
        entropy, heat = P.wells_entropy(a, u, r, d), P.wells_heat(a, u, r, d)
        assert (entropy < heat + 1e-12).all()
        first = P.quadratic_heat(u[:1], r, d)
        room = 1e-3 * d * (1 + 1 / a)  # u times a constant
        assert np.abs(entropy[0] / first - 1).max() < room
        assert np.abs(heat[0] / first - 1).max() < room


@pytest.mark.parametrize(("u", "r"), [(1.0, 2.0), (10.0, 3.6), (100.0, 2.0)])
def test_deep_wells_tend_to_the_quadratic_law(u: float, r: float) -> None:
    """With the correction of the page a^2 times what is left settles down."""
    d, v = 2, u / r**2
    law = d / 2 * math.log((1 + u) / (1 + v))

    def kappa(u: float) -> float:
        return d * (d + 2) / 8 * u**2 / (1 + u) ** 2

    slope = kappa(v) - kappa(u) + d / 2 * v * law / (1 + v)
    left = []
    for a in (100.0, 200.0):
        with mpmath.workdps(30):
            t = mpmath.mpf(u) / a
            wanted = mpmath.log(mpmath.hyp1f1(1 / t, 1 + 1 / t, a))
            wide = t / mpmath.mpf(r) ** 2
            other = mpmath.findroot(
                lambda b, wide=wide, wanted=wanted: (
                    mpmath.log(mpmath.hyp1f1(1 / wide, 1 + 1 / wide, b)) - wanted
                ),
                a - law,
            )
            left.append(float(a - other - law - slope / a) * a**2)
    assert left[1] == pytest.approx(left[0], rel=0.05)
    near = P.wells_entropy(24.0, np.array(u), r)
    assert near == pytest.approx(law + slope / 24, abs=2 * abs(left[1]) / 24**2)


def test_wells_at_large_tau_weigh_their_volumes() -> None:
    a, r = 5.5, 3.0
    delta = float(P.wells_entropy(a, np.array(1e7), r))
    n = np.arange(1, 80)
    factorials = np.array([math.factorial(k) for k in n], dtype=float)

    def volume(a: float) -> float:
        return float((a**n / factorials / n).sum())

    assert r**2 * volume(a - delta) == pytest.approx(volume(a), rel=1e-5)


def mixture_jet(difference: float) -> Callable[[float], Jet]:
    """-log of two components, each widened by tau, written out."""
    odds = (L.WIDTHS[1] / L.WIDTHS[0]) ** 2 * math.exp(-difference)
    weights = np.array([1, odds]) / (1 + odds)

    def of(tau: float) -> Jet:
        rate = 1 / (np.array(L.WIDTHS) ** 2 + tau)

        def jet(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            u = np.asarray(x)[:, None] - np.array(L.CENTRES)
            terms = weights * rate / (2 * math.pi) * np.exp(-rate * u * u / 2)
            mass = terms.sum(axis=1)
            first = -(terms * rate * u).sum(axis=1) / mass
            second = (terms * ((rate * u) ** 2 - rate)).sum(axis=1) / mass
            return -np.log(mass), -first, first**2 - second

        return jet

    return of


@pytest.mark.parametrize("name", ["mixture_entropy", "wells_entropy", "wells_heat"])
def test_minima_that_are_near(name: str) -> None:
    """At the stored tau H, moved by what rounding leaves open, the order turns."""
    H = L.WIDTHS[0] ** -2 * (1 if name.startswith("mixture") else P.DEPTH)
    several = stored("phase-diagram")["pairs"][name]
    assert len(several) >= 5
    for one in several[::2]:
        depths = (P.DEPTH, P.DEPTH - one["nominal"])
        of: Callable[[float], Jet]
        if name == "mixture_entropy":
            of = mixture_jet(one["nominal"])
            own = gap(of(0.0), *L.CENTRES)
        else:
            of = (Series if name == "wells_entropy" else Integrated)(depths).jet
            own = gap(lambda x, depths=depths: loss(x, depths), -1.39, 1.2)
        assert one["difference"] == pytest.approx(own, rel=HALF, abs=ROUNDING)
        tau = one["sharpness"] / H
        start = L.CENTRES[0]
        before, after = (
            gap(of(tau * (1 + move)), start, L.CENTRES[1]) for move in (-3e-8, 3e-8)
        )
        assert before > 0 > after


def test_what_is_left_out_loses_its_wide_minimum() -> None:
    """With local entropy and f different by 3 no tau has the wide one as the lower."""
    shown = {
        one["nominal"] for one in stored("phase-diagram")["pairs"]["wells_entropy"]
    }
    assert sorted(shown) == [one for one in P.DIFFERENCES if one < 3]
    series = Series((P.DEPTH, P.DEPTH - 3.0))
    x = np.linspace(-1.7, 1.5, 161)
    ends = set()
    for tau in np.geomspace(0.01, 10, 16):
        value, slope, _ = series.jet(tau)(x)
        turns = np.flatnonzero(np.diff(np.sign(slope)) > 0)
        if len(turns) == 2:
            assert value[turns[0]] < value[turns[1]]
        else:
            ends.add(x[turns[0]] < 0)
    assert ends == {True}  # what is left is the sharp one


@pytest.mark.parametrize("name", ["mixture_entropy", "wells_entropy", "wells_heat"])
def test_pairs_are_computed_as_stored(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is shown and, but for heat, one that is left out."""
    monkeypatch.setattr(P, "DIFFERENCES", (0.6, 4.0))

    def near(difference: float) -> Any:
        if name == "mixture_entropy":
            return P.MixtureEntropy(P.mixture(difference))
        f = L.wells((P.DEPTH, P.DEPTH - difference), L.CENTRES, L.WIDTHS)
        return L.Heat(f) if name == "wells_heat" else L.LocalEntropy(f, least=P.LEAST)

    H = L.WIDTHS[0] ** -2 * (1 if name.startswith("mixture") else P.DEPTH)
    found = P.pairs(near, H)
    several = stored("phase-diagram")["pairs"][name]
    kept = [one for one in several if one["nominal"] in (0.6, 4.0)]
    assert len(kept) == 1 + (name == "wells_heat")
    assert list(numbers(found)) == pytest.approx(list(numbers(kept)), rel=2 * HALF)


# --- files


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_made_from_the_records(name: str, tmp_path: Path) -> None:
    files = exact_figures.write(name, stored(name), tmp_path)
    for file in files:
        assert file.read_bytes() == (FOLDER / file.name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_the_same_byte_for_byte(name: str, tmp_path: Path) -> None:
    """As the published file; drawn twice, where that was drawn by another version."""
    matplotlib = pytest.importorskip("matplotlib")
    (file,) = exact_plots.draw(name, stored(name), tmp_path)
    first = file.read_bytes()
    assert b"date" not in first.lower()
    published = (FOLDER / file.name).read_bytes()
    if matplotlib.__version__ == DRAWN_WITH:
        assert first == published
    else:
        (file,) = exact_plots.draw(name, stored(name), tmp_path)
        assert file.read_bytes() == first
    assert len(published) < 250_000


def numbers(value: Any) -> Iterator[float]:
    """The numbers of a record, in its order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, float):
        yield value


@pytest.mark.parametrize("name", ["figure-2", "figure-3"])
def test_records_are_computed_as_stored(name: str) -> None:
    """To the last digit but for one that rounds the other way on another machine."""
    again, kept = exact_figures.record(name), stored(name)
    assert json.loads(json.dumps(again)).keys() == kept.keys()
    assert list(numbers(again)) == pytest.approx(list(numbers(kept)), rel=2 * HALF)


def test_nothing_is_kept_for_nothing() -> None:
    wanted = {f"{name}.{suffix}" for name in NAMES for suffix in ("json", "md", "svg")}
    assert {file.name for file in FOLDER.iterdir()} == wanted
    for name in NAMES:
        assert f"(landscapes/{name}.svg)" in page()
        assert f"refimpl reproduce {name} --out docs/landscapes" in page()


def test_plots_know_records_and_no_mathematics() -> None:
    source = Path(exact_plots.__file__).read_text(encoding="utf-8")
    own = {
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("refimpl")
    }
    assert own == {
        "refimpl.experiments.accuracy_plots",
        "refimpl.experiments.exact_figures",
        "refimpl.experiments.figures",
    }


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(exact_figures.FIGURES, "figure-3", lambda: stored("figure-3"))
    place = tmp_path / "new" / "folder"
    assert main(["reproduce", "figure-3", "--out", str(place)]) == 0
    said = capsys.readouterr()
    files = [place / f"figure-3.{suffix}" for suffix in ("json", "md", "svg")]
    assert said.out.splitlines() == [str(file) for file in files]
    assert said.err == ""
    assert files[0].read_bytes() == (FOLDER / "figure-3.json").read_bytes()


def test_the_command_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["reproduce", "figure-1", "--out", str(tmp_path / "new")]) == 3
    assert "the extra `experiments`" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


# --- the page


def test_the_table_of_depths() -> None:
    text = page()
    both = [stored(name)["minima"] for name in ("figure-1", "figure-2")]
    for entropy, heat in zip(*both, strict=True):
        if entropy["tau"] in (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0):
            cells = [
                f"{one[kind]['depth']:.3f}" if one[kind] else "–"
                for one in (entropy, heat)
                for kind in ("sharp", "wide")
            ]
            assert f"| {entropy['tau']:g} | {' | '.join(cells)} |" in text
    for words, key in (("equally deep at", "equal"), ("sharp one lost at", "lost")):
        taus = [stored(name)[key]["tau"] for name in ("figure-1", "figure-2")]
        assert f"| {words} | {taus[0]:.4g} | | {taus[1]:.4g} | |" in text


def test_the_table_of_gaussians() -> None:
    text = page()
    for one in stored("figure-3")["best"]:
        cells = [f"{one[key]:.5f}" for key in ("mean", "variance", "divergence")]
        assert f"| {' | '.join(cells)} |" in text
    for weight in B.WEIGHTS:
        assert f"{-math.log(weight):.5f}" in text


def test_what_the_text_says() -> None:
    text = page()
    first, second = stored("figure-1"), stored("figure-2")
    assert 0.3 < second["equal"]["tau"] / first["equal"]["tau"] < 0.4
    assert 0.45 < second["lost"]["tau"] / first["lost"]["tau"] < 0.55
    (here,) = (one for one in second["minima"] if one["tau"] == 0.3)
    assert f"which is at {here['wide']['x']:.4f} for" in text
    for found in (first, second):
        wide = [one["wide"]["depth"] for one in found["minima"]]
        assert (np.diff(wide) < 0).all()
    laws = {
        "mixture_entropy": lambda u: P.quadratic_entropy(u, P.RATIO),
        "wells_entropy": lambda u: P.wells_entropy(P.DEPTH, u, P.RATIO),
        "wells_heat": lambda u: P.wells_heat(P.DEPTH, u, P.RATIO),
    }
    for name, law in laws.items():
        for one in stored("phase-diagram")["pairs"][name]:
            off = one["difference"] / float(law(np.array(one["sharpness"]))) - 1
            assert abs(off) < (0.05 if name.startswith("mixture") else 0.02)
