"""What the truths compute with: double-double numbers, nodes, boxes, searches.

By other routes: exact fractions, mpmath with 60 digits, hand-derived lengths and boxes,
and searches in which every stationary point is known.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from verification import losses as data
from verification.truth import closed_forms as cf
from verification.truth import double_double as dd
from verification.truth import landscape as land
from verification.truth import proximal
from verification.truth import quadrature as quad
from verification.truth.carriers import Double, context
from verification.truth.double_double import DD, DoubleDouble
from verification.truth.landscape import Infinite, Problem, Unresolved

mp = context(60)
U = Fraction(1, 2**53)
ELEMENTARY = Fraction(1, 2**98)


def exact(a: Any) -> list[Fraction]:
    """The numbers that a DD holds."""
    highs, lows = np.broadcast_arrays(a.hi, a.lo)
    pairs = zip(highs.ravel().tolist(), lows.ravel().tolist(), strict=True)
    return [Fraction(high) + Fraction(low) for high, low in pairs]


def drawn(seed: int, n: int = 300) -> DD:
    """Of either sign and of very different sizes, half of them with a second part."""
    rng = np.random.default_rng(seed)
    hi = rng.normal(size=n) * 2.0 ** rng.integers(-20, 20, n)
    lo = np.spacing(hi) / 2 * rng.uniform(-1, 1, n) ** 3
    lo[::2] = 0.0
    return DD(hi, lo)


def assert_within(found: Any, wanted: list[Fraction], share: Fraction) -> None:
    """Each by this share of itself at most, and in two parts that do not overlap."""
    assert np.array_equal(found.hi + found.lo, found.hi)
    for a, b in zip(exact(found), wanted, strict=True):
        assert abs(a - b) <= share * abs(b)


# --- double-double --------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2.0**-30, 1.0, 2.0**30])
def test_sums_and_products_of_doubles_without_error(scale: float) -> None:
    a, b = drawn(1).hi, scale * drawn(2).hi
    for split, op in ((dd._two_sum, "__add__"), (dd._two_product, "__mul__")):
        for p, q in ((a, b), (b, a), (a, -b), (a, a)):
            high, low = split(p, q)
            assert np.array_equal(high, getattr(p, op)(q))
            wanted = [
                getattr(Fraction(x), op)(Fraction(y))
                for x, y in zip(p.tolist(), q.tolist(), strict=True)
            ]
            assert exact(DD(high, low)) == wanted
    large, small = np.maximum(abs(a), abs(b)), np.minimum(abs(a), abs(b))
    high, low = dd._fast_two_sum(large, -small)
    assert exact(DD(high, low)) == exact(DD(large, -small))
    assert np.array_equal(high, large - small)
    high, low = dd._halves(a)
    assert np.array_equal(high + low, a)
    assert all((v * 2.0**k).is_integer() for v, k in zip(high, _scales(a), strict=True))
    assert (abs(low) <= np.spacing(abs(a)) * 2.0**26).all()


def _scales(a: np.ndarray) -> list[float]:
    """Powers of two that make whole numbers of what has 26 bits."""
    return [25.0 - math.frexp(v)[1] + 1 for v in a.tolist()]


def test_arithmetic_of_pairs_has_the_bounds_of_its_source() -> None:
    a, b = drawn(3), drawn(4)
    near = DD(-a.hi * (1 + 2.0**-40), -a.lo)  # much is cancelled
    same = DD(-a.hi, np.spacing(a.hi) * (b.lo / np.spacing(b.hi)))  # all the first part
    p, q = exact(a), exact(b)
    for other, of in ((b, q), (near, exact(near)), (same, exact(same))):
        pairs = list(zip(p, of, strict=True))
        assert_within(a + other, [x + y for x, y in pairs], 3 * U**2)
        assert_within(a - other, [x - y for x, y in pairs], 3 * U**2)
        assert_within(a * other, [x * y for x, y in pairs], 5 * U**2)
        assert_within(a / other, [x / y for x, y in pairs], 15 * U**2)
    for number in (3, 5, -7, 0.375, 2.0):
        n = Fraction(number)
        assert_within(a + number, [x + n for x in p], 3 * U**2)
        assert_within(number + a, [x + n for x in p], 3 * U**2)
        assert_within(a - number, [x - n for x in p], 3 * U**2)
        assert_within(number - a, [n - x for x in p], 3 * U**2)
        assert_within(a * number, [x * n for x in p], 5 * U**2)
        assert_within(number * a, [x * n for x in p], 5 * U**2)
        assert_within(a / number, [x / n for x in p], 15 * U**2)
        assert_within(number / a, [n / x for x in p], 15 * U**2)
    for power in (2, 4):
        assert exact(a / power) == [x / power for x in p]
    assert exact(a.scaled(0.25)) == [x / 4 for x in p]
    assert exact(-a) == [-x for x in p]
    assert exact(a[5:9]) == p[5:9]


def test_pairs_are_compared_entry_by_entry() -> None:
    two = DD(np.array([1.0, 2.0]), np.zeros(2))
    assert two > 0
    assert two > DD(np.array([0.5, 1.0]), np.zeros(2))
    assert not two > 1
    assert not two > 1.5
    assert not two > 3


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 8, 300])
def test_totals(n: int) -> None:
    a = drawn(5, n)
    size = sum(abs(x) for x in exact(a))
    assert abs(a.total() - sum(exact(a))) <= 30 * U**2 * size
    assert DD(np.full((2, n), 0.5)).total() == n
    assert DD(np.append(a.hi[:1], 0.0)).total() == exact(DD(a.hi[:1]))[0]


def test_numbers_of_mpmath_in_pairs() -> None:
    first, second, third = dd.words(mp.pi, 3)
    assert (first, second) == (math.pi, 1.2246467991473532e-16)
    assert abs(mp.pi - first - second - third) < 2.0**-158
    values = [mp.pi, -mp.e / 1000, mp.mpf(0.5)]
    found = dd.from_mp(values)
    assert found.hi.shape == (3,)
    assert np.array_equal(found.hi + found.lo, found.hi)
    for high, low, value in zip(found.hi, found.lo, values, strict=True):
        assert abs(mp.mpf(high) + mp.mpf(low) - value) < 2.0**-106 * abs(value)
    assert exact(dd.lift(0.375)) == [Fraction(3, 8)]
    assert dd.lift(found) is found
    carrier = DoubleDouble()
    assert abs(_in_mp(carrier.pi) - mp.pi) < 2.0**-105
    assert exact(carrier.number(3)) == [3]


def _in_mp(a: DD) -> Any:
    return mp.mpf(float(a.hi)) + mp.mpf(float(a.lo))


#: Beyond these ends the second part of e^a underflows.
FUNCTIONS: list[tuple[str, list[tuple[float, float]]]] = [
    ("exp", [(-640.0, 700.0), (-2.0, 2.0), (-1e-10, 1e-10)]),
    ("log", [(1e-270, 1e270), (3e222, 4e224), (0.5, 2.0), (1 - 1e-10, 1 + 1e-10)]),
    ("sqrt", [(1e-20, 1e20), (0.5, 2.0)]),
    ("cos", [(-1000.0, 1000.0), (-8.0, 8.0), (-1e-10, 1e-10)]),
    ("sin", [(-1000.0, 1000.0), (-8.0, 8.0), (-1e-10, 1e-10)]),
]


@pytest.mark.parametrize(("name", "ranges"), FUNCTIONS)
def test_functions_of_pairs(name: str, ranges: list[tuple[float, float]]) -> None:
    """To 2^-98 of the value or, of what changes sign and of logarithms, of one."""
    rng = np.random.default_rng(7)
    for ends in ranges:
        wide = name in ("log", "sqrt") and ends[1] > 1e9
        low, high = map(math.log, ends) if wide else ends
        hi = rng.uniform(low, high, 60)
        hi = np.exp(hi) if wide else hi
        hi = np.append(hi * rng.uniform(0.9, 1.0, 60), ends)
        lo = np.spacing(hi) / 2 * rng.uniform(-1, 1, hi.size)
        lo[-2:] = 0.0
        found = getattr(DoubleDouble(), name)(DD(hi, lo))
        assert np.array_equal(found.hi + found.lo, found.hi)
        for k in range(hi.size):
            truth = getattr(mp, name)(mp.mpf(hi[k]) + mp.mpf(lo[k]))
            error = abs(_in_mp(found[k]) - truth)
            if name == "log":  # what its exponential errs by, and rounding
                allowed = 2.0**-98 + 8 * 2.0**-106 * abs(truth)
            else:
                allowed = 2.0**-98 * (1 if name in ("cos", "sin") else truth)
            assert error <= allowed, (hi[k], float(error / allowed))


@pytest.mark.parametrize(("name", "truth"), [("_LN2", mp.ln2), ("_HALF_PI", mp.pi / 2)])
def test_what_is_left_of_an_argument(name: str, truth: Any) -> None:
    """At most half a unit, after three sums of numbers that are no larger than one."""
    hi = np.random.default_rng(11).uniform(-700, 700, 200)
    a = DD(hi, np.spacing(hi) / 4)
    unit = getattr(dd, name)
    k, r = dd._reduce(a, unit)
    assert (abs(r.hi) <= unit[0] / 2 * (1 + 1e-12)).all()
    for i, times in enumerate(k.tolist()):
        left = mp.mpf(hi[i]) + mp.mpf(a.lo[i]) - int(times) * truth
        assert abs(_in_mp(r[i]) - left) <= 9 * 2.0**-106


def test_the_ends_of_functions_of_pairs() -> None:
    carrier = DoubleDouble()
    low = DD(np.array([-691.0, -1e300, -690.5, 0.0]), np.array([0, 1e283, 0, 0]))
    assert exact(carrier.exp(low)) == [0, 0, 0, 1]
    assert exact(carrier.log(DD(np.ones(2), np.zeros(2)))) == [0, 0]
    with pytest.raises(OverflowError, match="above 700"):
        carrier.exp(DD(np.array([0.0, 700.5]), np.zeros(2)))
    for bad in (0.0, -1.0):
        with pytest.raises(ValueError, match="not positive"):
            carrier.log(DD(np.array([1.0, bad]), np.zeros(2)))


def test_the_largest_the_sum_and_the_scalar_product_of_pairs() -> None:
    carrier, many = DoubleDouble(), [drawn(seed, 20) for seed in (8, 9, 10)]
    wanted = [exact(one) for one in many]
    columns = list(zip(*wanted, strict=True))
    assert exact(carrier.maximum(many)) == [max(c) for c in columns]
    assert exact(carrier.maximum(many[:1])) == wanted[0]
    for found, parts in (
        (carrier.sum(many), columns),
        (carrier.dot(many, many[::-1]), [(2 * a * c, b * b) for a, b, c in columns]),
    ):
        for value, terms in zip(exact(found), parts, strict=True):
            assert abs(value - sum(terms)) <= 20 * U**2 * sum(abs(t) for t in terms)


# --- boxes and lengths ----------------------------------------------------------------

X = (0.75, -0.5)
FULL = ((0.125, 0.03125), (0.03125, 0.25))
S, T = [[1.0, 0.25], [0.25, 0.5]], [[0.5, 0.0], [0.0, 2.0]]
H = [[2.0, 0.5], [0.5, -0.25]]


def energy(problem: Problem, s: np.ndarray) -> float:
    """E at x + s, from the loss's own formula."""
    y = (np.array(problem.x) + s).tolist()
    value = cf.value(Double(), problem.loss, y)
    pull = s @ np.linalg.solve(np.array(problem.cov), s) / 2
    return float(problem.sign * value + pull)


def shell(box: Any, n: int = 40) -> np.ndarray:
    """Points on the surface of a box."""
    d = box.lower.size
    grid = [np.linspace(a, b, n) for a, b in zip(box.lower, box.upper, strict=True)]
    inside = np.stack([g.ravel() for g in np.meshgrid(*grid)], axis=-1).reshape(-1, d)
    on = ((inside == box.lower) | (inside == box.upper)).any(axis=1)
    return inside[on]


BOWL = data.Quadratic(H, [0.25, -0.75], 1.5)
WAVES = data.Trigonometric(
    [1, 0.5], [[1, 2], [0.5, -1]], [0.125, 0.25], [0.5, 1], [0.5, 1], 0.25
)
WELLS = data.GaussianWells([1, -0.5], [[0.5, 1], [-1, 0.25]], [S, T], 1.0)
MIXED = data.GaussianMixture([0.25, 0.75], [[0.5, 1], [-1, 0.25]], [S, T])
BOXED: dict[str, tuple[Any, int]] = {
    "quadratic": (BOWL, 1),
    "risen": (BOWL, -1),
    "high": (data.Quadratic(H, [0.25, -0.75], 1000.0), 1),
    "linear": (data.Linear([1.0, -2.0], 0.5), -1),
    "waves": (WAVES, 1),
    "risen waves": (WAVES, -1),
    "wells": (WELLS, 1),
    "hills": (WELLS, -1),
    "mixture": (MIXED, 1),
    "far": (data.GaussianMixture([0.5, 0.5], [[0, 0], [90, 0]], [S, T]), 1),
    "quartic": (data.Quartic([0.5, 0.25], [0.25, -0.5], [1.0, -1.5], 0.375), 1),
    "one": (data.Quartic([0.5], [0.25], [-1.5]), 1),
}


@pytest.mark.parametrize(("loss", "sign"), BOXED.values(), ids=BOXED)
def test_outside_of_the_box_there_is_nothing(loss: Any, sign: int) -> None:
    """E exceeds its least value by `DROP` on the surface, and the shift is one of E."""
    x, cov = X[: loss.d], tuple(row[: loss.d] for row in FULL[: loss.d])
    problem = Problem(loss, sign, x, cov)
    box = land.survey(problem)
    assert (box.lower < box.upper).all()
    inner = np.random.default_rng(1).uniform(box.lower, box.upper, (300, len(x)))
    assert box.shift <= energy(problem, np.zeros(len(x)))
    least = min(energy(problem, s) for s in inner)
    assert box.shift - 3 <= least
    assert min(energy(problem, s) for s in shell(box)) >= box.shift + land.DROP - 1e-9


@pytest.mark.parametrize("sign", [1, -1])
def test_the_box_of_a_quadratic_touches_its_ellipsoid(sign: int) -> None:
    m, x, C = np.array([0.25, -0.75]), np.array(X), np.array(FULL)
    problem = Problem(data.Quadratic(H, m, 1.5), sign, X, FULL)
    box, bend = land.survey(problem), sign * np.array(H)
    V = np.linalg.inv(np.linalg.inv(C) + bend)
    s = -V @ bend @ (x - m)
    half = np.sqrt(2 * land.DROP * np.diag(V))
    np.testing.assert_allclose((box.lower, box.upper), (s - half, s + half), rtol=1e-12)
    assert box.shift == pytest.approx(energy(problem, s), rel=1e-12)
    narrow = np.diag(np.linalg.inv(C)) + np.maximum(np.diag(bend), 0)
    np.testing.assert_allclose(box.length, 1 / np.sqrt(narrow), rtol=1e-12)
    assert box.features == []


def test_the_box_of_a_gaussian_average() -> None:
    problem = Problem(data.Quadratic(H, [0.25, -0.75], 1.5), 0, X, FULL)
    box = land.survey(problem)
    half = np.sqrt(160 * np.array([0.125, 0.25]))
    np.testing.assert_allclose((box.lower, box.upper), (-half, half), rtol=1e-12)
    precision = np.diag(np.linalg.inv(np.array(FULL)))
    np.testing.assert_allclose(box.length, 1 / np.sqrt(precision), rtol=1e-12)
    assert box.shift == 0


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("depths", [(1.0, -0.5), (40.0, -0.5), (1.0, -50.0)])
def test_the_box_of_wells_is_that_of_the_gaussian_and_their_depths(
    sign: int, depths: tuple[float, float]
) -> None:
    """Wells and hills: what they can take from E at most is a sum of their depths."""
    loss = data.GaussianWells(depths, [[0.5, 1.0], [-1.0, 0.25]], [S, T], 1.5)
    problem = Problem(loss, sign, X, FULL)
    box = land.survey(problem)
    floor = sign * 1.5 - sum(max(sign * depth, 0) for depth in depths)
    places = [np.zeros(2), *(np.array(m) - X for m in loss.means)]
    best = min(energy(problem, s) for s in places)
    half = np.sqrt(2 * (best + 80 - floor) * np.diag(np.array(FULL)))
    np.testing.assert_allclose((box.lower, box.upper), (-half, half), rtol=1e-12)
    assert box.shift == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_box_of_waves_is_that_of_the_bowl_they_ride_on(sign: int) -> None:
    """A little wider: they take away the sum of their amplitudes at most."""
    m, x, C = np.array([0.25, -0.75]), np.array(X), np.array(FULL)
    loss = data.Trigonometric([1, -2.5], [[1, 2], [0.5, -1]], [0.125, 0.25], H, m, 0.25)
    problem, plain = (
        Problem(f, sign, X, FULL) for f in (loss, data.Quadratic(H, m, 0.25))
    )
    box, bend = land.survey(problem), sign * np.array(H)
    V = np.linalg.inv(np.linalg.inv(C) + bend)
    s = -V @ bend @ (x - m)
    best = min(energy(problem, np.zeros(2)), energy(problem, s))
    half = np.sqrt(2 * (best + 80 - energy(plain, s) + 3.5) * np.diag(V))
    np.testing.assert_allclose((box.lower, box.upper), (s - half, s + half), rtol=1e-12)
    assert box.shift == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize(("sign", "room"), [(1, np.log(1.5)), (-1, np.log(4))])
def test_the_box_of_a_mixture_of_two_that_are_the_same(sign: int, room: float) -> None:
    """f is a quadratic, which log K - log(3/4) or -log(1/4) is granted."""
    wide = [[2.0, 0.25], [0.25, 1.0]]
    m, x = np.array([0.5, 1.0]), np.array(X)
    problem = Problem(
        data.GaussianMixture([0.25, 0.75], [m, m], [wide, wide]), sign, X, FULL
    )
    box, bend = land.survey(problem), sign * np.linalg.inv(wide)
    V = np.linalg.inv(np.linalg.inv(np.array(FULL)) + bend)
    s = -V @ bend @ (x - m)
    half = np.sqrt(2 * (80 + room) * np.diag(V))
    np.testing.assert_allclose((box.lower, box.upper), (s - half, s + half), rtol=1e-12)
    assert box.shift == pytest.approx(energy(problem, s), rel=1e-12)


def test_the_box_of_two_components_is_the_union_of_both() -> None:
    """Of e^f the widest bounds what is to be integrated."""
    tau, loss = (
        1.0,
        data.GaussianMixture([0.25, 0.75], [[-3.0], [2.0]], [[[4.0]], [[9.0]]]),
    )
    problem = Problem(loss, 1, (0.5,), ((tau,),))
    box, ends = land.survey(problem), []
    for w, m, v in ((0.25, -3.0, 4.0), (0.75, 2.0, 9.0)):
        V = 1 / (1 / tau + 1 / v)
        s = V * (m - 0.5) / v
        floor = (s + 0.5 - m) ** 2 / 2 / v + s * s / 2 + 0.5 * np.log(2 * np.pi * v)
        half = np.sqrt(2 * (box.shift + 80 - floor + np.log(2 * w)) * V)
        ends.append((s - half, s + half))
    lows, highs = zip(*ends, strict=True)
    np.testing.assert_allclose([*box.lower, *box.upper], [min(lows), max(highs)])
    risen = Problem(loss, -1, (0.5,), ((tau,),))
    box, V = land.survey(risen), 1 / (1 - 1 / 9.0)
    s = V * (0.5 - 2.0) / 9
    top = (
        -((s + 0.5 - 2.0) ** 2) / 18
        + s * s / 2
        + np.log(0.75)
        - 0.5 * np.log(18 * np.pi)
    )
    half = np.sqrt(2 * (box.shift + 80 - top) * V)
    np.testing.assert_allclose([*box.lower, *box.upper], [s - half, s + half])


@pytest.mark.parametrize("coupling", [0.0, 0.375, -0.375])
def test_the_box_of_a_quartic_is_that_of_its_polynomials(coupling: float) -> None:
    """Each coordinate for itself, less what its one or two neighbours may take."""
    c4, c3, c2 = [0.5, 0.25, 1.0], [0.25, -0.5, 0.0], [1.0, -1.5, -2.0]
    tau, x = 2.0, (0.75, -0.5, 0.25)
    cov = tuple(tuple(tau * (i == j) for j in range(3)) for i in range(3))
    problem = Problem(data.Quartic(c4, c3, c2, coupling), 1, x, cov)
    box, taken = land.survey(problem), abs(coupling) * np.array([1, 2, 1])
    rows, floors, lowest = [], [], []
    for i in range(3):
        bend = (c2[i] - taken[i]) / 2 + 1 / (2 * tau)
        ends = [-x[i] / tau, x[i] ** 2 / (2 * tau)]
        rows.append(np.polynomial.Polynomial([c4[i] / 4, c3[i] / 3, bend, *ends][::-1]))
        turns = rows[-1].deriv().roots()
        turns = turns[abs(turns.imag) < 1e-9].real
        floors.append(rows[-1](turns).min())
        lowest.append(turns)
    places = [np.subtract(p, x) for p in itertools.product(*lowest)]
    best = min(energy(problem, s) for s in [np.zeros(3), *places])
    assert box.shift == pytest.approx(best, rel=1e-12)
    if not coupling:
        assert best == pytest.approx(sum(floors), rel=1e-12)
    for i in range(3):
        edges = (rows[i] - (best + 80 - sum(floors) + floors[i])).roots()
        edges = np.sort(edges[abs(edges.imag) < 1e-9].real)[[0, -1]]
        wide = edges + np.array([-1e-3, 1e-3]) * (edges[1] - edges[0]) - x[i]
        np.testing.assert_allclose([box.lower[i], box.upper[i]], wide, rtol=1e-9)


def test_quartics_without_a_fourth_power() -> None:
    """Quadratics are bounded where they bend up with the Gaussian, cubics never."""
    one = ((1.0,),)
    box = land.survey(Problem(data.Quartic([0.0], [0.0], [0.5]), 1, (0.0,), one))
    half = np.sqrt(160 / 1.5) * (1 + 2e-3)
    np.testing.assert_allclose([*box.lower, *box.upper], [-half, half])
    box = land.survey(Problem(data.Quartic([0.0], [0.0], [-0.5]), 1, (0.0,), one))
    half = np.sqrt(160 / 0.5) * (1 + 2e-3)
    np.testing.assert_allclose([*box.lower, *box.upper], [-half, half])
    for c4, c3, c2 in ((0.0, 0.0, -1.0), (0.0, 1.0, 1.0), (-1.0, 0.0, 1.0)):
        with pytest.raises(Infinite, match="no certified lower bound"):
            land.survey(Problem(data.Quartic([c4], [c3], [c2]), 1, (0.0,), one))


@pytest.mark.parametrize("sign", [1, 0, -1])
@pytest.mark.parametrize("depths", [(1.0, 2.5), (0.25, -0.5)])
def test_lengths_of_wells(sign: int, depths: tuple[float, float]) -> None:
    loss = data.GaussianWells(depths, [[0.5, 1.0], [-1.0, 0.25]], [S, T], 1.0)
    box = land.survey(Problem(loss, sign, X, FULL))
    total = 0.0 if sign == 0 else sum(map(abs, depths))
    width = np.array([[1 / np.sqrt(8 / 7), 1 / np.sqrt(16 / 7)], [0.5**0.5, 2**0.5]])
    tilt = np.sqrt(2 * (80 + total) * np.array([1 - 7 / 8, 0.5 - 7 / 16]))
    for i, feature in enumerate(box.features):
        np.testing.assert_allclose(feature.centre, loss.means[i] - np.array(X))
        steep = np.sqrt(max(1.0, total))
        np.testing.assert_allclose(feature.length, width[i] / steep, rtol=1e-12)
        np.testing.assert_allclose(feature.spread, [tilt, [0, 0]][i], rtol=1e-9)
    precision = np.diag(np.linalg.inv(np.array(FULL)))
    np.testing.assert_allclose(box.length, 1 / np.sqrt(precision), rtol=1e-12)
    least = np.minimum(box.length, width.min(axis=0) / steep)
    np.testing.assert_allclose(box.smallest, least, rtol=1e-12)


@pytest.mark.parametrize("scale", [0.25, 4.0])
@pytest.mark.parametrize("sign", [1, 0, -1])
def test_lengths_of_waves(sign: int, scale: float) -> None:
    a = (scale, -scale / 2)
    loss = data.Trigonometric(a, [[1, 8], [-3, 0]], [0, 0], H, [0.0, 0.0])
    box = land.survey(Problem(loss, sign, X, FULL))
    total = 1.5 * scale
    limit = np.pi / 2 / np.array([3.0, 8.0]) / (max(1, total) ** 0.5 if sign else 1)
    curvature = np.diag(np.linalg.inv(np.array(FULL))).copy()
    if sign:
        curvature += np.maximum(sign * np.array([2, -0.25]), 0)
        curvature += scale * np.array([1 + 9 / 2, 64.0])
    wanted = np.minimum(limit, 1 / np.sqrt(curvature))
    np.testing.assert_allclose(box.length, wanted, rtol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_ripple_on_a_large_wave_is_as_short_as_their_sum(sign: int) -> None:
    """It hardly bends, but a singularity of the exponential is near."""
    a, ripple = (-12.0, 0.0625), [-8.0, -16.0]
    loss = data.Trigonometric(a, [[0.125, -0.25], ripple], [0, 0], H, [0.0, 0.0])
    box = land.survey(Problem(loss, sign, X, ((0.25, 0.0), (0.0, 0.25))))
    wanted = np.pi / 2 / np.array([8.0, 16.0]) / np.sqrt(12.0625)
    np.testing.assert_allclose(box.length, wanted, rtol=1e-12)


def test_what_is_hardly_tilted_spreads_a_little_and_else_not_at_all() -> None:
    tilted, C = [[1.0, 0.0625], [0.0625, 1.0]], ((0.5, 0.0), (0.0, 0.5))
    for cov in (tilted, np.eye(2)):
        wells = data.GaussianWells([1.0], [[0.5, 1.0]], [cov], 1.0)
        mixed = data.GaussianMixture([1.0], [[0.5, 1.0]], [cov])
        B = np.linalg.inv(cov)
        for loss, P in ((wells, B), (mixed, B + 2 * np.eye(2))):
            (feature,) = land.survey(Problem(loss, 1, X, C)).features
            width, V = 1 / np.sqrt(np.diag(P)), np.linalg.inv(P)
            room = 2 * (81 if loss is wells else 80)
            spread = np.sqrt(room * np.maximum(np.diag(V) - width**2, 0))
            np.testing.assert_allclose(feature.spread, spread, rtol=1e-9, atol=1e-30)
            assert (feature.spread < width).all()


def test_lengths_of_what_a_mixture_leaves() -> None:
    """With both covariances C^-1 + S_i^-1, around the means of its parts."""
    loss, box = MIXED, land.survey(Problem(MIXED, 1, X, FULL))
    P = np.linalg.inv(np.array(FULL))
    for mean, cov, feature in zip(loss.means, (S, T), box.features, strict=True):
        B = np.linalg.inv(np.array(cov))
        V = np.linalg.inv(P + B)
        width = 1 / np.sqrt(np.diag(P + B))
        np.testing.assert_allclose(feature.centre, V @ B @ (mean - np.array(X)))
        np.testing.assert_allclose(feature.length, width, rtol=1e-12)
        spread = np.sqrt(160 * (np.diag(V) - width**2))
        np.testing.assert_allclose(feature.spread, spread, rtol=1e-9)


def test_lengths_of_quartics() -> None:
    """By the largest curvature of a coordinate, at an end or between them."""
    for c3 in (0.25, 0.0):
        loss = data.Quartic([0.5, 0.25], [c3, -0.5], [1.0, -1.5], -0.375)
        box = land.survey(Problem(loss, 1, X, FULL))
        y = np.array(X) + np.linspace(box.lower, box.upper, 20001)
        bends = abs(loss.c2 + 2 * loss.c3 * y + 3 * loss.c4 * y**2).max(axis=0)
        curvature = np.diag(np.linalg.inv(np.array(FULL))) + bends + 0.375
        np.testing.assert_allclose(box.length, 1 / np.sqrt(curvature), rtol=1e-12)
    deep = data.Quartic([2.0], [-0.75], [-1e4])  # between them, where c3 = -3 c4 y
    box = land.survey(Problem(deep, 1, (0.125,), ((2.0**-15,),)))
    assert box.lower[0] < 0 < box.upper[0]
    curvature = 2.0**15 + 1e4 + 0.75**2 / 6
    assert box.length[0] == pytest.approx(1 / np.sqrt(curvature), rel=1e-12)


@pytest.mark.parametrize("sign", [0, -1])
def test_the_length_of_odds(sign: int) -> None:
    """Of two like components they change by e in s^2/|m_1 - m_2| wherever one is.

    Half way between them a singularity has the full weight of the Gaussian, at s from x
    the share exp(-s^2/2 tau), which makes its length longer.
    """
    tau, variance = 0.5, 2.0
    gap, cov = 8.0, [[[variance]], [[variance]]]
    loss = data.GaussianMixture([0.5, 0.5], [[-gap / 2], [gap / 2]], cov)
    slope = gap / variance
    found = land.survey(Problem(loss, sign, (0.0,), ((tau,),))).length[0]
    assert found == pytest.approx(min(1 / slope, np.sqrt(tau)), rel=1e-9)
    x = 6.0  # to half way, less what the odds and a shift by the length itself allow
    axis = np.linspace(-np.sqrt(160 * tau), np.sqrt(160 * tau), 4001)
    change = min((np.pi / slope) ** 2 / variance, 10.0)
    near = abs(slope * (axis + x)) <= np.log(2) + change + slope * (axis[1] - axis[0])
    farther = axis[near & (axis**2 / (2 * tau) < 76)]
    share = 1 - farther**2 / (2 * tau) / 80
    found = land.survey(Problem(loss, 0, (x,), ((tau,),))).length[0]
    assert found == pytest.approx(min((1 / slope / share).min(), tau**0.5), rel=1e-9)


@pytest.mark.parametrize("sign", [0, -1])
@pytest.mark.parametrize("d", [1, 2])
def test_the_length_of_odds_by_hand(d: int, sign: int) -> None:
    """On the same grid, by the formula of the documentation, entry by entry."""
    B, C = [[4.0, 0.5], [0.5, 1.5]], [[1.5, -0.25], [-0.25, 0.75]]
    covs = [np.array(one)[:d, :d] for one in (B, C)]
    means, x, tau = [np.array([-1.5, 0.5])[:d], np.array([2.5, 1.0])[:d]], X[:d], 0.25
    loss = data.GaussianMixture([0.125, 0.875], means, covs)
    problem = Problem(loss, sign, x, tuple(map(tuple, tau * np.eye(d))))
    box = land.survey(problem)
    n = {1: 4001, 2: 201}[d]
    axes = [np.linspace(a, b, n) for a, b in zip(box.lower, box.upper, strict=True)]
    least = np.full(d, np.inf)
    s = np.array(list(itertools.product(*axes)))
    energy = (s**2).sum(axis=1) / (2 * tau)
    s, energy = s[energy < 76], energy[energy < 76]
    odds, slope, bend = np.log(0.125 / 0.875), np.zeros_like(s), np.zeros(d)
    for mean, cov, side in zip(means, covs, (1, -1), strict=True):
        P = np.linalg.inv(cov)
        r = s + np.array(x) - mean
        form = np.einsum("ni,ij,nj->n", r, P, r) + np.log(np.linalg.det(cov))
        odds, slope = odds - side * form / 2, slope + side * r @ P
        bend += np.diag(P)
    slope, steps = abs(slope), np.array([axis[1] - axis[0] for axis in axes])
    for j in range(d):
        change = np.minimum((np.pi / slope[:, j]) ** 2 * bend[j] / 2, 10)
        near = abs(odds) <= np.log(2) + change + slope @ steps
        seen = 80 / (80 - energy[near]) / slope[near, j]
        least[j] = seen.min()
    np.testing.assert_allclose(box.length, np.minimum(least, np.sqrt(tau)), rtol=1e-9)
    assert (least < np.sqrt(tau)).any()


def test_odds_that_change_along_one_axis_have_one_length() -> None:
    """The other axis is that of a quadratic, whose heat is known."""
    line, tau, v = [[-0.125], [0.125]], 0.5, 0.0625
    one = data.GaussianMixture([0.25, 0.75], line, [[[v]], [[v]]])
    means, cov = [[m, 0.5] for (m,) in line], [[v, 0.0], [0.0, 1.0]]
    two = data.GaussianMixture([0.25, 0.75], means, [cov, cov])
    lengths = [
        land.survey(Problem(loss, 0, X[:d], tuple(map(tuple, tau * np.eye(d))))).length
        for d, loss in ((1, one), (2, two))
    ]
    np.testing.assert_allclose(lengths[1], [*lengths[0], np.sqrt(tau)], rtol=0.05)
    assert lengths[0][0] < 0.3
    rest = ((X[1] - 0.5) ** 2 + tau) / 2 + mp.log(2 * mp.pi) / 2
    found = quad.heat(two, X, tau).value - quad.heat(one, X[:1], tau).value
    assert abs(found - rest) < 1e-25


def test_what_is_infinite_or_not_to_be_bounded() -> None:
    one = ((1.0,),)
    steep = data.Quadratic(1.0, [0.0])
    with pytest.raises(Infinite, match="positive definite"):
        land.survey(Problem(steep, -1, (0.0,), one))
    assert land.survey(Problem(data.Quadratic(0.5, [0.0]), -1, (0.0,), one)).shift <= 0
    with pytest.raises(Infinite, match="e\\^f of a quartic"):
        land.survey(Problem(data.Quartic([1.0], [0.0], [0.0]), -1, (0.0,), one))
    narrow = data.GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[0.5]]])
    with pytest.raises(Infinite, match="not wider"):
        land.survey(Problem(narrow, -1, (0.0,), one))
    crossed = data.GaussianMixture(
        [0.5, 0.5], [[0, 0], [1, 1]], [[[4, 0], [0, 0.5]], [[0.5, 0], [0, 4]]]
    )
    with pytest.raises(Unresolved, match="no single component"):
        land.survey(Problem(crossed, -1, (0.0, 0.0), ((1.0, 0.0), (0.0, 1.0))))


def test_real_roots() -> None:
    found = land.real_roots([1.0, -2.0, -1.0, 2.0])
    np.testing.assert_allclose(np.sort(found), [-1, 1, 2], rtol=1e-12)
    np.testing.assert_allclose(land.real_roots([1.0, -1.0, 1.0, -1.0]), [1.0])


# --- the search for proximal points ---------------------------------------------------

TAU = 0.375


def objective(loss: Any, x: Any, y: Any) -> float:
    """G(y), from the closed form of the heat."""
    pull = sum((a - b) ** 2 for a, b in zip(y, x, strict=True)) / (2 * TAU)
    return float(cf.heat(Double(), loss, list(map(float, y)), TAU) + pull)


@pytest.mark.parametrize("depths", [(1.0, -0.5), (40.0, -0.5)])
def test_the_region_of_wells(depths: tuple[float, float]) -> None:
    """Within reach of the spring alone: a well takes its depth away at most."""
    loss = data.GaussianWells(depths, [[0.5, 1.0], [-1.0, 0.25]], [S, T], 1.5)
    known = min(objective(loss, X, y) for y in (X, *loss.means.tolist()))
    half = np.sqrt(2 * TAU * (known - 1.5 + depths[0])) * 1.001 + 1e-9
    found = proximal._region(loss, X, TAU)
    np.testing.assert_allclose(found, np.add.outer([-half, half], X), rtol=1e-12)


def test_the_region_of_waves() -> None:
    """Around the proximal point of the bowl that they ride on."""
    m, x = np.array([0.25, -0.75]), np.array(X)
    loss = data.Trigonometric([1, -2.5], [[1, 2], [0.5, -1]], [0.125, 0.25], H, m, 0.25)
    V = np.linalg.inv(np.array(H) + np.eye(2) / TAU)
    middle = V @ (np.array(H) @ m + x / TAU)
    floor = objective(data.Quadratic(H, m, 0.25), x, middle) - 3.5
    known = min(objective(loss, x, y) for y in (x, middle))
    half = np.sqrt(2 * (known - floor) * np.diag(V)) * 1.001 + 1e-9
    found = proximal._region(loss, X, TAU)
    np.testing.assert_allclose(found, [middle - half, middle + half], rtol=1e-10)


@pytest.mark.parametrize("x", [0.25, 2.75])
def test_the_region_of_a_mixture(x: float) -> None:
    """No surprise is less than that at the peak of the narrowest component."""
    loss = data.GaussianMixture([0.25, 0.75], [[0.5], [3.0]], [[[0.5]], [[0.25]]])
    starts = [x, 0.5, 3.0]
    known = min(
        float(quad.heat(loss, (y,), TAU).value) + (y - x) ** 2 / (2 * TAU)
        for y in starts
    )
    half = np.sqrt(2 * TAU * (known - 0.5 * np.log(2 * np.pi * 0.25))) * 1.001
    lower, upper = proximal._region(loss, (x,), TAU)
    np.testing.assert_allclose([*lower, *upper], [x - half, x + half], rtol=1e-8)


@pytest.mark.parametrize(
    ("coupling", "middle"), [(0.0, -1.5), (0.375, -1.5), (-0.375, -1.5), (0.375, -8.0)]
)
def test_the_region_of_a_quartic(coupling: float, middle: float) -> None:
    """Of uncoupled ones no more than the minimiser is left; the last has two wells."""
    c4, c3, c2 = [0.5, 0.25, 1.0], [0.25, -0.5, 0.125], [1.0, middle, -2.0]
    x = (0.75, -0.5, 0.25)
    loss, taken = (
        data.Quartic(c4, c3, c2, coupling),
        abs(coupling) * np.array([1, 2, 1]),
    )
    rows, floors, lowest = [], [], []
    for i in range(3):
        bend = (c2[i] + 3 * TAU * c4[i] - taken[i] + 1 / TAU) / 2
        slope = TAU * c3[i] - x[i] / TAU
        rows.append(np.polynomial.Polynomial([0, slope, bend, c3[i] / 3, c4[i] / 4]))
        turns = rows[-1].deriv().roots()
        lowest.append(turns[abs(turns.imag) < 1e-9].real)
        floors.append(rows[-1](lowest[-1]).min())
    constant = sum(
        3 * TAU**2 * a / 4 + TAU * b / 2 for a, b in zip(c4, c2, strict=True)
    )
    constant += sum(v * v for v in x) / (2 * TAU)
    places = [x, *itertools.product(*lowest)]
    known = min(objective(loss, x, y) for y in places) - constant
    lower, upper = proximal._region(loss, x, TAU)
    best = min(places, key=lambda y: objective(loss, x, y))
    assert (lower < best).all()
    assert (upper > best).all()
    if not coupling:
        assert (upper - lower < 1e-3).all()
        return
    for i in range(3):
        level = known - sum(floors) + floors[i]
        edges = (rows[i] - level - 1e-9 * (1 + abs(known) + abs(level - known))).roots()
        edges = np.sort(edges[abs(edges.imag) < 1e-9].real)[[0, -1]]
        wide = edges + np.array([-1, 1]) * (1e-3 * (edges[1] - edges[0]) + 1e-9)
        np.testing.assert_allclose([lower[i], upper[i]], wide, rtol=1e-9)


def test_bounds_of_the_curvature() -> None:
    reach = np.array([0.5, 3.0])
    quartic = data.Quartic([0.5, 0.25], [0.25, -0.75], [1.0, -1.5], -0.375)
    bends = [1 + 0.25 + 1.5 * (0.25 + TAU), 1.5 + 4.5 + 0.75 * (9 + TAU)]
    assert proximal._bend(quartic, TAU, reach) == pytest.approx(max(bends) + 0.75)
    mixed = data.GaussianMixture([0.25, 0.75], [[0.5, 1], [-1, 0.25]], [S, T])
    least = np.linalg.eigvalsh(S)[0]
    assert proximal._bend(mixed, TAU, reach) == pytest.approx(1 / least)
    wells = data.GaussianWells([1.0, -2.5], [[0.5, 1], [-1, 0.25]], [S, T], 1.0)
    total = 0.0
    for depth, cov in ((1.0, S), (2.5, T)):
        ratio = np.linalg.det(cov) / np.linalg.det(np.array(cov) + TAU * np.eye(2))
        total += depth * np.sqrt(ratio) / (np.linalg.eigvalsh(cov)[0] + TAU)
    assert proximal._bend(wells, TAU, reach) == pytest.approx(total)
    for bowl in (H, [[-2.0, 0.5], [0.5, -1.0]]):
        waves = data.Trigonometric([1, -2.5], [[1, 2], [0.5, -1]], [0, 0], bowl, X, 0.0)
        own = 5 * np.exp(-5 * TAU / 2) + 2.5 * 1.25 * np.exp(-1.25 * TAU / 2)
        steep = max(np.linalg.eigvalsh(bowl)[-1], 0.0)
        assert proximal._bend(waves, TAU, reach) == pytest.approx(own + steep)


def test_the_heat_of_a_mixture_of_one_is_that_of_a_quadratic() -> None:
    """Also at points that no double is, to which a step of Taylor's series leads."""
    one = data.GaussianMixture([1.0], [[0.5]], [[[0.75]]])
    ctx = proximal._CTX
    y = ctx.number(0.3) + ctx.number(1) / 10**17
    jet = proximal._jet(one, [y], TAU)
    gap = y - ctx.number(0.5)
    wanted = (gap * gap + TAU) / 1.5 + ctx.log(1.5 * ctx.pi) / 2
    assert abs(jet.value - wanted) < 1e-25
    assert abs(jet.gradient[0] - gap / 0.75) < 1e-25
    points = np.array([[-0.25], [0.5], [1.5]])
    found = quad.heat_on_arrays(one, (0.3,), TAU)(points)
    exactly = ((points[:, 0] - 0.5) ** 2 + TAU) / 1.5 + np.log(1.5 * np.pi) / 2
    np.testing.assert_allclose(found, exactly, rtol=1e-10)


def waves(loss: Any, x: np.ndarray, y: np.ndarray, tau: float) -> np.ndarray:
    """G of a sum of damped cosines without a bowl, at many points y (n, d)."""
    damped = loss.amplitude * np.exp(-tau * (loss.frequency**2).sum(axis=1) / 2)
    heat = np.cos(y @ loss.frequency.T + loss.phase) @ damped
    return np.asarray(heat + ((y - x) ** 2).sum(axis=1) / (2 * tau))


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
def test_the_lowest_of_many_valleys_is_found(shift: float) -> None:
    """Each of them narrower than a cell of the first grid: nothing is passed over."""
    loss = data.Trigonometric([400, 30], [[1.25], [0.25]], [shift, 1], 0.0, [0], 0)
    x, dense = np.array([0.375]), np.linspace(-45, 45, 900_001)[:, None]
    values = waves(loss, x, dense, 0.75)
    (point,) = proximal.proximal_points(loss, x.tolist(), 0.75).points
    assert abs(float(point[0]) - dense[values.argmin(), 0]) < 1e-4
    found = proximal.proximal_points(loss, x.tolist(), 0.75).minimum
    assert values.min() - 1e-5 < found < values.min() + 1e-9


def test_the_lowest_valley_in_the_plane_is_found() -> None:
    loss = data.Trigonometric(
        [100, 60], [[1.25, 0.5], [-0.5, 1]], [0.5, 1.5], [0, 0], [0, 0], 0
    )
    x, axis = np.array([0.375, -0.25]), np.linspace(-20, 20, 801)
    dense = np.stack([g.ravel() for g in np.meshgrid(axis, axis)], axis=-1)
    values = waves(loss, x, dense, 0.75)
    (point,) = proximal.proximal_points(loss, x.tolist(), 0.75).points
    np.testing.assert_allclose(
        np.array(point, float), dense[values.argmin()], atol=0.05
    )
    assert (
        proximal.proximal_points(loss, x.tolist(), 0.75).minimum < values.min() + 1e-9
    )


def test_valleys_of_one_depth_are_all_returned() -> None:
    """At x = 0 a sum of even cosines has its valleys in pairs."""
    loss = data.Trigonometric([40.0], [[1.25]], [0.0], 0.0, [0.0], 0.0)
    left, right = proximal.proximal_points(loss, (0.0,), 1.0).points
    assert abs(left[0] + right[0]) < 1e-30
    assert left[0] < -2
    tilted = proximal.proximal_points(loss, (2.0**-60,), 1.0).points
    assert len(tilted) == 1
    assert tilted[0][0] > 2


def test_one_point_stands_for_each_cluster_of_cells() -> None:
    cells = np.array([[0.0, 0.0], [0.5, 0.25], [0.5, 2.0], [3.0, 2.0], [1.5, 0.5]])
    values = np.array([1.0, 0.5, 2.0, 0.0, 3.0])
    chosen = proximal._representatives(cells, values, np.array([1.0, 0.75]))
    assert [c.tolist() for c in chosen] == [[3.0, 2.0], [0.5, 0.25], [0.5, 2.0]]
    many = np.arange(100.0)[:, None]
    chosen = proximal._representatives(many, -many[:, 0], np.array([0.5]))
    assert [float(c[0]) for c in chosen] == list(range(99, 35, -1))


def test_what_is_not_searched() -> None:
    with pytest.raises(Unresolved, match="one or two parameters"):
        proximal.proximal_points(
            data.Quartic([1.0] * 3, [0.0] * 3, [0.0] * 3), X + X[:1], 1
        )
    with pytest.raises(ValueError, match="unbounded below"):
        proximal.proximal_points(
            data.Trigonometric([1], [[1]], [0], -2.0, [0], 0), [0], 1
        )
    flat = data.Trigonometric([1], [[1]], [0], -2.0, [0], 0)
    with pytest.raises(ValueError, match="unbounded below"):
        proximal.proximal_points(flat, [0], 0.5)
    saddle = data.Trigonometric([1], [[1, 0]], [0], [1.0, -2.0], [0, 0], 0)
    with pytest.raises(ValueError, match="unbounded below"):
        proximal.proximal_points(saddle, X, 1)
    for c4 in ([0.0, 0.0], [1.0, 0.0]):
        with pytest.raises(ValueError, match="positive c4"):
            proximal.proximal_points(data.Quartic(c4, [0.0] * 2, [1.0] * 2), X, 1)


def test_a_step_of_taylor_is_of_second_order() -> None:
    """Where the curvature is 2^40, half a unit in the last place of 1 is felt."""
    narrow, tau = data.GaussianMixture([1.0], [[1.0]], [[[2.0**-40]]]), 2.0**-42
    ctx = proximal._CTX
    gap = ctx.number(2) ** -54
    jet = proximal._jet(narrow, [1 + gap], tau)
    wanted = (gap * gap + tau) * 2**39 + ctx.log(ctx.pi * 2.0**-39) / 2
    assert 2**39 * gap * gap > 1e-22
    assert abs(jet.value - wanted) < 1e-25


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_the_objective_takes_points_of_any_shape(shape: tuple[int, ...]) -> None:
    points = np.random.default_rng(13).normal(size=(*shape, 2))
    found = proximal._objective_on_arrays(WAVES, X, TAU)(points)
    assert found.shape == shape
    wanted = [objective(WAVES, X, y) for y in points.reshape(6, 2)]
    np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-13)


@pytest.mark.parametrize(("x", "start"), [((0.0, 1.0), (0.0, 1.0)), ((0.0,), (0.1,))])
def test_newton_goes_on_until_every_coordinate_has_settled(x: Any, start: Any) -> None:
    """One of them is at zero, and there from the beginning where there are two.

    G is y^4/4 + 3 tau y^2/2 + (y - x)^2/2 tau in each, whose slope is zero.
    """
    loss = data.Quartic([1.0] * len(x), [0.0] * len(x), [0.0] * len(x))
    found = proximal._newton(loss, x, 0.5, start)
    assert found is not None
    for y, a in zip(found, x, strict=True):
        assert abs(y**3 + 1.5 * y + 2 * (y - a)) < 1e-35


@pytest.mark.parametrize("d", [1, 2])
def test_newton_ends_where_rounding_is_all_that_is_left(d: int) -> None:
    """Between two wells that are the same, at zero but for the last digits."""
    means = [[-0.5, 0.5][:d], [0.5, 0.5][:d]]
    loss = data.GaussianWells([1.0, 1.0], means, [np.eye(d)] * 2, 0.0)
    found = proximal._newton(loss, (0.0, 0.75)[:d], TAU, (0.125, 0.75)[:d])
    assert found is not None
    assert abs(found[0]) < 1e-35
    slope = proximal.stationarity(loss, (0.0, 0.75)[:d], found, TAU)
    assert max(map(abs, slope)) < 1e-35


#: Whose value is zero everywhere.
WAVES_AT_REST = data.Trigonometric([0], [[1, 1]], [0], 0.0, [0, 0], 0)


def test_points_are_one_point_within_1e_12(monkeypatch: Any) -> None:
    """Newton's method leads to several, to one twice, and to none."""
    one, far = mp.mpf(1), mp.mpf(1e-12)
    ends: dict[float, Any] = {
        0.0: [one, one],
        1.0: None,
        2.0: [one + far * 0.9, one + far * 0.1],
        3.0: [one, one + far],  # no farther than that
        4.0: [one + far * 0.9, one - far * 1.1],
        5.0: [one + far * 0.1, one + far * 1.9],
    }
    starts = [np.array([key, 0.0]) for key in ends]
    monkeypatch.setattr(proximal, "_starts", lambda *_: starts)
    monkeypatch.setattr(proximal, "_newton", lambda *at: ends[at[-1][0]])
    found = proximal.proximal_points(WAVES_AT_REST, (1.0, 1.0), 1.0)
    assert found.points == [ends[0.0], ends[5.0], ends[4.0]]
    monkeypatch.setattr(proximal, "_newton", lambda *_: None)
    with pytest.raises(Unresolved, match="found no minimiser"):
        proximal.proximal_points(WAVES_AT_REST, (1.0, 1.0), 2.0)


@pytest.mark.parametrize(("share", "n"), [(0.999, 2), (1.001, 1)])
def test_a_tie_is_one_to_1e_20(share: float, n: int) -> None:
    """With x two even valleys at -y and y part by 2 x y/tau; G is -0.34."""
    loss = data.Trigonometric([8.0], [[1.25]], [0.0], 0.0, [0.0], 0.0)
    even = proximal.proximal_points(loss, (0.0,), 0.5)
    assert len(even.points) == 2
    assert -0.4 < even.minimum < -0.3
    gap = share * 1e-20 * (1 - float(even.minimum))
    x = gap * 0.5 / (2 * float(even.points[1][0]))
    assert len(proximal.proximal_points(loss, (x,), 0.5).points) == n


def test_quartics_are_not_integrated_where_they_have_a_closed_form() -> None:
    """To all 40 digits: of E(3 y^2 + ...) under the spring no more is left."""
    loss = data.Quartic([0.5], [0.25], [1.0])
    (point,) = proximal.proximal_points(loss, (0.75,), TAU).points
    (slope,) = proximal.stationarity(loss, (0.75,), point, TAU)
    y = point[0]
    mean = (y**3 + 3 * TAU * y) / 2 + (y**2 + TAU) / 4 + y
    assert abs(slope - (y - 0.75 + TAU * mean)) < 1e-38
    assert abs(slope) < 1e-38


class Searched:
    """A search of a box for the least value of any G, and what was asked of it.

    G bends by 1/tau + 12 = 16 at most, as 8 |y - p|^2 does.
    """

    def __init__(self, monkeypatch: Any, ends: Any, G: Any, tau: float = 0.25) -> None:
        self.asked: list[np.ndarray] = []
        self.reach: list[float] = []

        def objective(y: np.ndarray) -> np.ndarray:
            self.asked.append(y)
            return np.asarray(G(y))

        def bend(_: Any, __: float, reach: np.ndarray) -> float:
            self.reach = reach.tolist()
            return 12.0

        lower, upper = (np.array(end) for end in ends)
        monkeypatch.setattr(proximal, "_region", lambda *_: (lower, upper))
        monkeypatch.setattr(proximal, "_objective_on_arrays", lambda *_: objective)
        monkeypatch.setattr(proximal, "_bend", bend)
        self.found = proximal._starts(None, (0.0,) * len(lower), tau)


def test_cells_that_may_hold_a_minimiser_are_kept(monkeypatch: Any) -> None:
    """16 of half a unit each, in which G may change by 16/8 of the side squared."""

    def G(y: np.ndarray) -> np.ndarray:
        centre, corner = 8 * (y - 0.25) ** 2, 8 * (y - 3.0) ** 2 + 5e-11
        lowest = np.minimum(np.minimum(centre, corner), np.where(y == 4.75, 0.55, 40.0))
        return np.where(y == -2.75, 1e12, lowest)[:, 0]

    search = Searched(monkeypatch, ([-3.0], [5.0]), G)
    assert search.reach == [5.0]
    first, second = (np.sort(asked[:, 0]).tolist() for asked in search.asked[:2])
    assert first == [-2.75 + 0.5 * k for k in range(16)]
    assert second == [0.125, 0.375, 2.625, 2.875, 3.125, 3.375]
    assert len(search.asked) == 18  # until 0.5/4^17 is less than 1e-10
    np.testing.assert_allclose(np.sort(np.ravel(search.found)), [0.25, 3.0], atol=1e-4)
    assert Searched(monkeypatch, ([-5.0], [3.0]), G).reach == [5.0]
    assert Searched(monkeypatch, ([-5.0], [-3.0]), G).reach == [5.0]


@pytest.mark.parametrize(
    ("lowest", "width", "n"),
    [(0.0, 8.0, 18), (0.0, 7.0, 17), (-3.0, 8.0, 17), (-3.0, 7.0, 16), (2.0, 10.0, 17)],
)
def test_the_search_ends_at_1e_10(
    monkeypatch: Any, lowest: float, width: float, n: int
) -> None:
    """Of one and the modulus of the least value; 2 (width/16)^2/4^k is left after k."""
    slack = 2 * (width / 16) ** 2
    wanted = math.ceil(math.log(slack / 1e-10 / (1 + abs(lowest)), 4)) + 1
    assert wanted == n

    def G(y: np.ndarray) -> np.ndarray:
        return 8 * (y[:, 0] - 0.3) ** 2 + lowest

    ends = ([-width / 2], [width / 2])
    assert len(Searched(monkeypatch, ends, G).asked) == n


def test_the_search_stops_beyond_its_budget(monkeypatch: Any) -> None:
    """Four cells meet in a corner of the plane, and become 16."""

    def G(y: np.ndarray) -> np.ndarray:
        return 8 * ((y - 0.5) ** 2).sum(axis=1)

    monkeypatch.setattr(proximal, "BUDGET", 16)
    search = Searched(monkeypatch, ([-4.0, -4.0], [4.0, 4.0]), G)
    assert {len(asked) for asked in search.asked[1:]} == {16}
    monkeypatch.setattr(proximal, "BUDGET", 15)
    with pytest.raises(Unresolved, match="more than 15 cells"):
        Searched(monkeypatch, ([-4.0, -4.0], [4.0, 4.0]), G)


# --- nodes ----------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_nodes_and_weights(level: int) -> None:
    """Equidistant ones a quarter of the length apart, or closer; or panels."""
    box = land.survey(Problem(MIXED, 1, X, FULL))
    for j, (nodes, weights) in enumerate(quad._axes("trapezoid", box, level)):
        step = box.smallest[j] / 4 / 1.5**level
        np.testing.assert_allclose(np.diff(nodes.hi), step, rtol=1e-10)
        np.testing.assert_allclose(weights.hi, step, rtol=1e-14)
        assert nodes.hi[0] == box.lower[j]
        assert box.upper[j] <= nodes.hi[-1] <= box.upper[j] + step
    for j, (nodes, weights) in enumerate(quad._axes("gauss-legendre", box, level)):
        width = Fraction(box.upper[j]) - Fraction(box.lower[j])
        assert abs(weights.total() - width) < Fraction(1, 10**28)
        assert (np.diff(nodes.hi) > 0).all()
        assert nodes.hi.size % quad.ORDERS[level] == 0
    with pytest.raises(ValueError, match="rule must be one of"):
        quad._axes("simpson", box, level)


@pytest.mark.parametrize("order", quad.ORDERS)
def test_a_rule_of_legendre_is_exact_for_powers(order: int) -> None:
    nodes, weights = quad._legendre(order)
    t, w = exact(nodes), exact(weights)
    for power in (0, 1, 2, 2 * order - 2, 2 * order - 1):
        total = sum(b * a**power for a, b in zip(t, w, strict=True))
        wanted = Fraction(2, power + 1) if power % 2 == 0 else 0
        assert abs(float(total - wanted)) < 1e-29


def test_the_polynomials_of_legendre_by_hand() -> None:
    """(5 t^3 - 3 t)/2 and its derivative, anywhere."""
    t = mp.mpf(0.5)
    assert quad._legendre_value(mp, 3, t) == (-0.4375, 0.375)


def plain_box(lower: Any, upper: Any, length: Any, *features: Any) -> Any:
    arrays = (np.array(a, dtype=float) for a in (lower, upper, length))
    rows = [land.Feature(*(np.array([a]) for a in one)) for one in features]
    return land.Landscape(*arrays, features=rows)


def test_panels_by_hand() -> None:
    """Two lengths wide, half a length from 4 to 6, elsewhere as far as that is away.

    Or half as far before it; a remainder of a fifth of a panel is part of the last.
    """
    box = plain_box([-10], [22], [0.5], (5.0, 1.0, 0.125))
    before, within = [-10, -8, -6, -4, -2, 0, 2, 3, 3.5], [4, 4.5, 5, 5.5]
    after = [6, 6.5, 7, 8, 10, 12, 14, 16, 18, 20, 22]
    assert quad._edges(box, 0).tolist() == before + within + after
    for level, order in enumerate((20, 28, 40, 56)):
        ((nodes, weights),) = quad._axes("gauss-legendre", box, level)
        assert nodes.hi.size == 23 * order
        inside = nodes.hi.reshape(23, order)
        edges = quad._edges(box, 0)
        assert (inside > edges[:-1, None]).all()
        assert (inside < edges[1:, None]).all()
        y, w = exact(nodes), exact(weights)
        for power in (0, 3):
            total = sum(b * a**power for a, b in zip(y, w, strict=True))
            wanted = Fraction(22 ** (power + 1) - (-10) ** (power + 1), power + 1)
            assert abs(total - wanted) < Fraction(1, 10**28) * wanted
    for end, edges in ((6.0, [0, 6]), (6.5, [0, 5, 6.5])):
        assert quad._edges(plain_box([0], [end], [1.25]), 0).tolist() == edges


def test_no_more_nodes_than_the_budget(monkeypatch: Any) -> None:
    """On 16 lengths 64 steps, 66 nodes; on 8 lengths four panels."""
    box = plain_box([-3], [5], [0.5])
    plane = plain_box([-3, -3], [5, 5], [0.5, 0.5])
    few, many = "steps of a quarter", "trapezoid needs more"
    for at, level, budget, match in (
        *((box, 0, 63, few), (box, 0, 64, many), (box, 0, 65, many), (box, 0, 66, "")),
        *((box, 1, 95, few), (box, 1, 96, many), (box, 1, 98, "")),
        *((plane, 0, 4095, few), (plane, 0, 4096, many), (plane, 0, 4355, many)),
        (plane, 0, 4356, ""),
    ):
        monkeypatch.setattr(quad, "BUDGET", budget)
        if match:
            with pytest.raises(Unresolved, match=match):
                quad._axes("trapezoid", at, level)
        else:
            quad._axes("trapezoid", at, level)
    for at, level, budget, match in (
        *((box, 0, 99, "too many panels"), (box, 0, 100, "")),
        *((box, 1, 111, "legendre needs more"), (box, 1, 112, "")),
    ):
        monkeypatch.setattr(quad, "BUDGET", budget)
        if match:
            with pytest.raises(Unresolved, match=match):
                quad._axes("gauss-legendre", at, level)
        else:
            quad._axes("gauss-legendre", at, level)


def test_the_pieces_of_a_grid_are_the_grid(monkeypatch: Any) -> None:
    monkeypatch.setattr(quad, "_CHUNK", 5)
    axes = [
        tuple(
            DD(one, np.zeros(n))
            for one in (np.arange(n) + k / 4, (k + 1) / 2.0 ** np.arange(n))
        )
        for k, n in enumerate((3, 4, 2))
    ]
    found: list[Any] = []
    sizes = []
    for nodes, weight in quad._chunks(axes):
        sizes.append(weight.hi.size)
        found += zip(*(exact(node) for node in nodes), exact(weight), strict=True)
    assert sizes == [5, 5, 5, 5, 4]
    pairs = [list(zip(exact(s), exact(w), strict=True)) for s, w in axes]
    wanted = [
        (a, b, c, u * v * w) for (a, u), (b, v), (c, w) in itertools.product(*pairs)
    ]
    assert found == wanted


def test_the_integrals_of_the_moduli() -> None:
    """Of 1, s and -s^2 under a Gaussian, in several pieces: E|s| is sqrt(2 v/pi)."""
    C = ((0.25, 0.0), (0.0, 4.0))
    problem = Problem(BOWL, 0, X, C)
    box = land.survey(problem)
    axes = quad._axes("trapezoid", box, 0)
    assert np.prod([nodes.hi.size for nodes, _ in axes]) > quad._CHUNK
    integrals, sizes = quad._integrate(
        problem, box, axes, lambda s, _: [s[0], -(s[0] * s[0])]
    )
    volume = 2 * np.pi
    wanted = np.array([1.0, np.sqrt(0.5 / np.pi), 0.25]) * volume
    np.testing.assert_allclose(sizes, wanted, rtol=0.01)
    np.testing.assert_allclose(
        [float(a) for a in integrals], wanted * [1, 0, -1], atol=1e-14
    )
    assert sizes[0] == pytest.approx(volume, rel=1e-12)


def test_expectations_of_powers() -> None:
    """E Y_1^2 Y_2 = (m_1^2 + S_11) m_2 + 2 m_1 S_12."""
    mean, cov = (0.75, -0.5), ((0.5, 0.125), (0.125, 0.25))
    wanted = (0.75**2 + 0.5) * -0.5 + 2 * 0.75 * 0.125
    found = quad.expectation(lambda y: y[0] * y[0] * y[1], mean, cov, 100.0, reach=11.0)
    assert abs(found.value - wanted) < 1e-20
    assert found.error < 1e-18


def test_the_error_of_an_expectation_is_the_difference_of_two_steps() -> None:
    """cos 12z at steps of 0.4 is known to exp(-(5 pi - 12)^2/2), then to 1e-29."""
    found = quad.expectation(lambda y: mp.cos(3 * y[0]), (0.0,), ((16.0,),), 100.0)
    assert abs(found.value - mp.exp(-72)) < 1e-28
    first = math.exp(-((5 * math.pi - 12) ** 2) / 2)
    assert found.error == pytest.approx(first, rel=1e-3)


def test_an_expectation_asks_no_more_often_than_it_may() -> None:
    """A quarter of the feature is a sixteenth of the deviation, then 2/3 of that."""
    asked: list[Any] = []

    def one(y: Any) -> Any:
        asked.append(y)
        return y[0] * 0 + 1

    given: Any = (one, (0.0,), ((16.0,),), 1.0)
    quad.expectation(*given, reach=12.1)
    assert len(asked) == (2 * 194 + 1) + (2 * 291 + 1)
    quad.expectation(*given, reach=12.1, budget=582)
    for budget in (581, 388, 387):
        with pytest.raises(Unresolved, match="needs more than"):
            quad.expectation(*given, reach=12.1, budget=budget)


def test_steps_of_an_expectation_in_the_plane() -> None:
    """A quarter of the feature in y is shorter in z, by the factors' sizes.

    The matrix has the pivots 16 and 1 and the entry -1/2 beneath them.
    """
    cov, asked = ((16.0, -8.0), (-8.0, 5.0)), []

    def one(y: Any) -> Any:
        asked.append(y)
        return y[0] * 0 + 1

    given: Any = (one, (1.0, 2.0), cov, 9.0)
    found = quad.expectation(*given, reach=2.0, budget=289 + 336)
    assert len(asked) == 13**2 + 19**2
    assert found.value < 1
    quad.expectation(*given, reach=2.0, budget=289)
    with pytest.raises(Unresolved, match="needs more than 288"):
        quad.expectation(*given, reach=2.0, budget=288)
    asked.clear()
    quad.expectation(one, (0.0,), ((1.0,),), 100.0)
    assert len(asked) == (2 * 32 + 1) + (2 * 47 + 1)


@pytest.mark.parametrize("value", [3, -3])
def test_the_error_of_an_expectation_is_relative_to_it(value: int) -> None:
    """Two steps agree on a constant, to the last of 40 digits."""
    found = quad.expectation(lambda _: value, (0.0,), ((1.0,),), 100.0, reach=14.0)
    assert abs(found.value - value) < 1e-35
    assert found.error == pytest.approx(3e-35, rel=1e-3, abs=0.0)


def test_the_centre_of_mass_is_that_of_the_posterior() -> None:
    m, C = np.array([0.25, -0.75]), np.array(FULL)
    found = quad._mass_centre(Problem(data.Quadratic(H, m, 1.5), 1, X, FULL))
    V = np.linalg.inv(np.linalg.inv(C) + H)
    np.testing.assert_allclose(found, -V @ np.array(H) @ (X - m), rtol=1e-9)
