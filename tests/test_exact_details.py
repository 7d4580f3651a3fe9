"""The exact projection of Algorithm 2 in its parts: descent, box, grid, ties."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, product
from typing import Any

import numpy as np
import pytest

from refimpl import exact
from refimpl.errors import NotCertified
from refimpl.exact import ExactHeat
from refimpl.laws import GibbsLaw
from refimpl.losses import GaussianWells, Quartic, Trigonometric
from verification import problems as P
from verification.adapter import loss_of
from verification.truth import closed_forms as cf
from verification.truth.carriers import MP

EXACT = MP(40)
EPS = 2.0**-52


def law(f: Any, x: Any, tau: float) -> GibbsLaw:
    return GibbsLaw(f, np.array(x, dtype=float), tau)


def trail(f: Any, x: Any, tau: float, start: Any) -> tuple[Any, Any]:
    """Every point (n, d) that a descent looks at, and where it ends."""
    seen = []

    class Watched(exact._Objective):
        def jet(self, y: Any) -> Any:
            seen.append(y)
            return super().jet(y)

    y, _ = Watched(law(f, x, tau)).descend(np.array(start, dtype=float))
    return np.array(seen), y


# --- the descent

DOUBLE = Quartic([1.0], [0.0], [-4.0])
LANDSCAPES: dict[str, Any] = {
    "double well": (DOUBLE, [0.125], 0.5),
    "four wells": (loss_of(P.DOUBLE_WELL_2), [0.25, -0.5], 0.375),
    "waves": (Trigonometric([9.0], [[2.0, 1.0]], [0.5], 0.25, [1.0, 0.0]), [1, 2], 0.5),
    "wells": (loss_of(P.WELLS_2), [0.8125, -1.3125], 0.375),
    "mixture": (loss_of(P.MIXTURE_1), [0.8125], 0.75),
}


@pytest.mark.parametrize("name", LANDSCAPES)
def test_a_descent_from_anywhere_ends_in_a_minimum(name: str) -> None:
    """On slopes, on hills and far out: the gradient is rounding, nothing is lost."""
    f, x, tau = LANDSCAPES[name]
    G = exact._Objective(law(f, x, tau))
    rng = np.random.default_rng(1)
    for start in np.array(x) + rng.uniform(-6, 6, size=(12, f.d)):
        y, value = G.descend(start)
        again, gradient, hessian = G.jet(y)
        bends = np.linalg.eigvalsh(hessian)
        assert bends[0] > 0
        reach = np.sqrt(tau) + np.linalg.norm(x) + np.linalg.norm(y)
        # some tens of roundings of y, each of which the Hessian magnifies
        assert np.linalg.norm(gradient) <= 64 * EPS * reach * bends[-1]
        assert value == again <= G.jet(start)[0]


def test_a_step_that_rises_is_halved() -> None:
    """G' = y^3 - y / 2 and G'' = 3 y^2 - 1 / 2: Newton's step from 1/2 is to 1."""
    seen, y = trail(DOUBLE, [0.0], 0.5, [0.5])
    np.testing.assert_allclose(seen[:3, 0], [0.5, 1.0, 0.75], rtol=1e-14)
    np.testing.assert_allclose(y, [np.sqrt(0.5)], rtol=4 * EPS)
    # at 1/4 it is raised to 1/500; seven halvings lead down, from 0.25 to 0.68
    seen, _ = trail(DOUBLE, [0.0], 0.5, [0.25])
    steps = 500 * (0.125 - 0.25**3) / 2.0 ** np.arange(8)
    np.testing.assert_allclose(seen[1:9, 0] - 0.25, steps, rtol=1e-12)
    assert seen[9, 0] != 0.25 + steps[-1] / 2


@pytest.mark.parametrize("exponent", [-60, -25, 25, 60])
def test_a_descent_knows_no_unit_of_length(exponent: int) -> None:
    """f(y / s) at s x and s^2 tau: every point is s times what it was, to the bit."""
    s = 2.0**exponent
    rng = np.random.default_rng(2)
    for d, tau in ((1, 0.5), (2, 0.375)):
        c4, c3, c2 = np.ones(d), np.full(d, 0.125), np.full(d, -4.0)
        f = Quartic(c4, c3, c2, 0.25)
        scaled = Quartic(c4 / s**4, c3 / s**3, c2 / s**2, 0.25 / s**2)
        x = rng.normal(size=d)
        for start in rng.uniform(-3, 3, size=(12, d)):
            seen, _ = trail(f, x, tau, start)
            larger, _ = trail(scaled, s * x, s * s * tau, s * start)
            assert np.array_equal(larger, s * seen)


@pytest.mark.parametrize("level", [1e8, -1e8])
def test_a_level_costs_no_digits_of_the_point(level: float) -> None:
    """Values are then rounded to 1e-8, gradients are not: it is they that decide."""
    f, x, tau = LANDSCAPES["wells"]
    wells = P.WELLS_2
    high = GaussianWells(wells.depths, wells.means, wells.covariances, level)
    rng = np.random.default_rng(3)
    for start in np.array(x) + rng.uniform(-1, 1, size=(12, 2)):
        y, yh = (trail(g, x, tau, start)[1] for g in (f, high))
        np.testing.assert_allclose(yh, y, rtol=0, atol=64 * EPS)


@pytest.mark.parametrize(("x", "bottom"), [(0.0, 0.0), (1e8, 0.0), (0.0, 1e8)])
def test_a_descent_ends_where_its_steps_are_noise(x: float, bottom: float) -> None:
    """A gradient by quadrature errs to and fro, here by 1e-10 of x, y and the width."""
    noise = 1e-10 * (1 + x + bottom)

    class Noisy(exact._Objective):
        signs = cycle([1, -1])

        def jet(self, y: Any) -> Any:
            gradient = y - bottom + next(self.signs) * noise
            return 0.0, gradient, np.eye(1)

    y, _ = Noisy(law(DOUBLE, [x], 1.0)).descend(np.array([bottom + 1.0]))
    assert abs(y[0] - bottom) <= 2 * noise


def test_the_gradient_is_divided_by_the_raised_hessian() -> None:
    rng = np.random.default_rng(4)
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    gradient = rng.normal(size=3)
    for least, floor in product((-2.0, 0.0, 0.25, 0.5, 3.0), (0.5, 0.001)):
        bends = np.array([least, 4.0, 5.0])
        raised = bends + max(0.0, floor - least)
        found = exact._solve_shifted(basis * bends @ basis.T, gradient, floor)
        wanted = basis @ (basis.T @ gradient / raised)
        np.testing.assert_allclose(found, wanted, rtol=1e-11)


def test_a_line_has_no_proximal_point() -> None:
    """H = -1 / tau leaves G linear: I/tau + Hess F^H is zero, and not positive."""
    flat = Trigonometric([0.0], [[1.0]], [0.0], -1.0, [0.0])
    with pytest.raises(NotCertified, match="not known to be bounded below"):
        ExactHeat()(law(flat, [0.5], 1.0))


# --- the box


@pytest.mark.parametrize("tau", [0.0625, 3.0])
def test_the_box_ends_where_the_lower_bound_reaches_the_value_at_x(tau: float) -> None:
    for f in (loss_of(P.WELLS_2), loss_of(P.MIXTURE_1), loss_of(P.DOUBLE_WELL_2)):
        x = np.array([0.8125, -1.3125])[: f.d]
        at_x = exact._Objective(law(f, x, tau)).jet(x)[0]
        for face in exact._region(f, law(f, x, tau)):
            squares = (face - x) ** 2
            reached = f.heat_lower_bound(tau) + squares / (2 * tau)
            np.testing.assert_allclose(reached, at_x, rtol=1e-13)
        lower, upper = exact._region(f, law(f, x, tau))
        assert (lower < upper).all()


def test_the_bottom_of_the_only_well_is_its_own_box() -> None:
    f = GaussianWells([2.0], [[0.5, 1.0]], [np.eye(2)], 3.0)
    for face in exact._region(f, law(f, [0.5, 1.0], 0.75)):
        np.testing.assert_allclose(face, [0.5, 1.0], rtol=0, atol=1e-7)  # sqrt(8 eps)


class Boxed(GaussianWells):
    """A well that encloses its proximal points in a given box."""

    def __init__(self, lower: Any, upper: Any) -> None:
        super().__init__([1.0], [[0.0, 0.0]], [np.eye(2)])
        self.box = np.array(lower), np.array(upper)

    def proximal_box(self, x: Any, tau: float) -> Any:
        return self.box


def test_a_box_without_an_end_is_refused() -> None:
    for lower, upper in (
        ([-1.0, -np.inf], [1.0, np.inf]),
        ([-1.0, -np.inf], [1.0, 1.0]),
        ([-1.0, -1.0], [np.inf, 1.0]),
    ):
        f = Boxed(lower, upper)
        with pytest.raises(NotCertified, match="not known to be bounded below"):
            exact._region(f, law(f, [0.0, 0.0], 1.0))
    f = Boxed([-1.0, -2.0], [3.0, 4.0])
    assert exact._region(f, law(f, [0.0, 0.0], 1.0)) == f.box


# --- the grid and its starts


def grid_of(monkeypatch: Any, q: GibbsLaw) -> tuple[Any, Any]:
    """The grid from which starts are chosen, (n, d), and the values there, (n,)."""
    given = []

    def everywhere(values: Any) -> Any:
        given.append(values)
        return np.ones(values.shape, dtype=bool)

    with monkeypatch.context() as patch:
        patch.setattr(exact, "_undercut_by_none", everywhere)
        grid = exact._starts(exact._Objective(q))
    return grid, given[0].ravel()


GRIDS: dict[str, Any] = {
    "wells": (loss_of(P.WELLS_2), [0.8125, -1.3125], 0.375),
    "mixture": (loss_of(P.MIXTURE_1), [0.8125], 1.25),
    "double well": (loss_of(P.DOUBLE_WELL_1), [0.25], 0.75),
    "waves": (Trigonometric([9.0], [[2.0, 1.0]], [0.5], 0.25, [1.0, 0.0]), [1, 2], 0.5),
    "boxed": (Boxed([-1.0, 2.0], [3.5, 2.25]), [0.5, 0.25], 0.25),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_grid_is_fine_enough_and_holds_the_box(name: str, monkeypatch: Any) -> None:
    """Steps are a quarter of the length, and one or two of them lead out of the box."""
    f, x, tau = GRIDS[name]
    q = law(f, x, tau)
    grid, _ = grid_of(monkeypatch, q)
    lower, upper = exact._region(f, q)
    length = f.feature_length(lower, upper)
    axes = [np.unique(column) for column in grid.T]
    for i, axis in enumerate(axes):
        step = np.hypot(length[i], 3.24 * np.sqrt(tau)) / 4
        np.testing.assert_allclose(np.diff(axis), step, rtol=1e-9)
        assert 1 - 1e-9 < (lower[i] - axis[0]) / step < 2
        np.testing.assert_allclose(axis[-1] - upper[i], lower[i] - axis[0], rtol=1e-9)
    assert np.array_equal(np.unique(grid, axis=0), np.array(list(product(*axes))))


def test_the_grid_has_the_values_of_the_objective(monkeypatch: Any) -> None:
    loss, x, tau = P.WELLS_2, [0.8125, -1.3125], 0.375
    grid, values = grid_of(monkeypatch, law(loss_of(loss), x, tau))
    for y, value in zip(grid[::7].tolist(), values[::7], strict=True):
        square = sum((a - b) ** 2 for a, b in zip(y, x, strict=True))
        wanted = float(cf.heat(EXACT, loss, y, tau)) + square / (2 * tau)
        assert abs(value - wanted) <= 1e-13 * (1 + abs(wanted))


def test_the_budget_is_of_points(monkeypatch: Any) -> None:
    q = law(*GRIDS["wells"])
    grid, _ = grid_of(monkeypatch, q)
    monkeypatch.setattr(exact, "MAX_STARTS", len(grid))
    assert len(grid_of(monkeypatch, q)[0]) == len(grid)
    monkeypatch.setattr(exact, "MAX_STARTS", len(grid) - 1)
    said = f"needs {len(grid):.3g} starting points, beyond .* of {len(grid) - 1}"
    with pytest.raises(NotCertified, match=said):
        exact._starts(exact._Objective(q))


@pytest.mark.parametrize("shape", [(1,), (9,), (1, 5), (6, 5), (4, 5, 3)])
def test_starts_are_undercut_by_no_neighbour(shape: Any) -> None:
    """Neighbour by neighbour; a few values, so that many tie."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        values = rng.integers(4, size=shape).astype(float)
        wanted = np.ones(shape, dtype=bool)
        for at in np.ndindex(*shape):
            for axis, side in product(range(len(shape)), (-1, 1)):
                near = list(at)
                near[axis] += side
                if 0 <= near[axis] < shape[axis] and values[tuple(near)] < values[at]:
                    wanted[at] = False
        assert np.array_equal(exact._undercut_by_none(values), wanted)


class Powers:
    """f(y) = y_1^14 + y_1^3 y_2^12 + 4, the last factor where there is a y_2."""

    def __init__(self, d: int) -> None:
        self.d = d

    def __call__(self, y: Any) -> Any:
        y = np.asarray(y)
        more = y[..., 0] ** 3 * y[..., 1] ** 12 if self.d > 1 else 0.0
        return y[..., 0] ** 14 + more + 4.0

    def gradient(self, y: Any) -> Any:
        raise NotImplementedError


def power(x: float, tau: float, n: int) -> float:
    """E X^n for X of law N(x, tau): M_n = x M_{n-1} + (n - 1) tau M_{n-2}."""
    before, last = 0.0, 1.0
    for k in range(n):
        before, last = last, x * last + k * tau * before
    return last


@pytest.mark.parametrize("d", [1, 2])
def test_rough_heat_is_exact_for_polynomials(d: int) -> None:
    """Eight nodes average powers up to the fifteenth."""
    tau = 0.25
    points = np.random.default_rng(6).uniform(-1, 1, size=(4, 5, d))
    found = exact._heat_roughly(Powers(d), points, tau)
    for at in np.ndindex(4, 5):
        y = points[at].tolist()
        wanted = power(y[0], tau, 14) + 4
        if d > 1:
            wanted += power(y[0], tau, 3) * power(y[1], tau, 12)
        np.testing.assert_allclose(found[at], wanted, rtol=1e-12)


def test_rough_heat_is_the_closed_form_where_there_is_one() -> None:
    f = Trigonometric([2.0], [[4.0]], [0.0], 0.0, [0.0])
    points = np.linspace(-1, 1, 5)[:, None]
    wanted = 2 * np.exp(-8.0) * np.cos(4 * points[:, 0])
    np.testing.assert_allclose(exact._heat_roughly(f, points, 1.0), wanted, rtol=1e-12)


# --- ties


@dataclass(frozen=True)
class Told:
    """An objective whose descents end where they are told to."""

    q: Any
    values: Any

    def descend(self, start: Any) -> Any:
        return start, self.values[float(start[0])]


def kept(tau: float, values: dict[float, float]) -> list[float]:
    """Which of the ends of descents count as minimisers, given their values."""
    told = Told(law(Quartic([1.0], [0.0], [0.0]), [0.0], tau), values)
    lowest = exact._lowest(told, np.array([[y] for y in values]))  # type: ignore[arg-type]
    return [float(y) for y in lowest[:, 0]]


def test_minima_that_differ_by_roundings_tie() -> None:
    """Some hundred roundings of the value, or of one where it is smaller."""
    for level in (0.0, 1e-3, 1.0, 1e4, -1e4):
        near = 200 * EPS * max(1.0, abs(level))
        assert kept(1.0, {2.0: level + near, -1.0: level, 9.0: level}) == [-1, 2, 9]
        far = 1e5 * near
        assert kept(1.0, {2.0: level + far, -1.0: level}) == [-1]
        assert kept(1.0, {2.0: level + far, -1.0: level, 3.0: 1e9}) == [-1]


@pytest.mark.parametrize("tau", [1e-12, 1e-4, 1.0, 1e8])
@pytest.mark.parametrize("y", [0.0, 1e-6, 1.0, 1e6])
def test_ends_that_differ_by_roundings_are_one(y: float, tau: float) -> None:
    """Ends a billionth of y or of phi's width apart are one, a thousandth two."""
    scale = np.sqrt(tau) + y
    for shift, ends in ((0.0, 1), (1e-9 * scale, 1), (1e-3 * scale, 2)):
        assert len(kept(tau, {y: 0.0, y + shift: 0.0})) == ends
        # they tie with another one, which is neither
        assert len(kept(tau, {-2 * scale: 0.0, y: 0.0, y + shift: 0.0})) == ends + 1


def test_a_double_end_is_the_lower_of_the_two() -> None:
    assert kept(1.0, {1.0 + 1e-9: 1e-13, 1.0: 0.0, 3.0: 1e-13}) == [1.0, 3.0]
    assert kept(1.0, {1.0: 1e-13, 1.0 - 1e-9: 0.0}) == [1.0 - 1e-9]
