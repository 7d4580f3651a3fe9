"""How the laws of one direction are integrated, and their pieces by hand.

Two routes to the same score agree also where a step is twice too long, if neither is
near its bound.  Here a rule is asked for its step, and a strip for what it is said to
cost: the integrands are evaluated in the complex plane, where the bounds are attained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, log_ndtr

from verification.checks import span_seen as narrow
from verification.losses import LeastSquares
from verification.truth import one_direction as one

IMAGES = (narrow.BRIGHT, narrow.DARK)
#: Of the strips' bounds, which are met at points of the grids: rounding.
ATTAINED = 1e-12
Strip = tuple[Callable[[float], float], float, tuple[float, float]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Strip]:
    """The growth, the widest strip and the ends of every trapezoidal rule."""
    strips: list[Strip] = []
    rule = one._trapezoid

    def noted(*strip: Any) -> Any:
        strips.append(strip)
        return rule(*strip)

    monkeypatch.setattr(one, "_trapezoid", noted)
    return strips


def farthest(values: Any) -> float:
    """The largest imaginary part, of either sign."""
    return float(np.abs(np.imag(values)).max())


# --- the rule -------------------------------------------------------------------------


def wall(at: float) -> Callable[[float], float]:
    """No growth up to some width, and too much beyond."""
    return lambda w: 0.0 if w <= at else 1e5


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_a_step_is_the_longest_that_a_strip_allows(share: float) -> None:
    widest = 1.75
    z = one._trapezoid(wall((share + 0.01) * widest), widest, (-3.0, 4.0))
    step = 2 * np.pi * share * widest / 40
    np.testing.assert_allclose(np.diff(z), step, rtol=1e-9)
    assert z[0] == -3
    assert 4 <= z[-1] < 4 + step
    slower = one._trapezoid(lambda w: 13.0, widest, (-3.0, 4.0))
    np.testing.assert_allclose(np.diff(slower), 2 * np.pi * widest / 53, rtol=1e-9)


def test_the_smaller_tail_has_the_digits() -> None:
    """Whatever both tails are multiplied by."""
    u = np.array([-30.0, -9.0, -0.5, 0.25, 9.0, 30.0])
    for log_factor in (0.0, 3.0, -5.0):
        scores = one._score(log_ndtr(u) + log_factor, log_ndtr(-u) + log_factor)
        np.testing.assert_allclose(scores, u, rtol=1e-13, atol=1e-14)


# --- the strips -----------------------------------------------------------------------


@pytest.mark.parametrize("loss", IMAGES)
@pytest.mark.parametrize("tau", [0.125, 2.5])
def test_the_strip_of_two_weights(loss: Any, tau: float, asked: list[Strip]) -> None:
    x, seen, t = np.ones(8), one.seen(loss), 0.75
    one.weight_scores(loss, x, tau, [[np.exp(t), 1.0]])
    ((growth, widest, ends),) = asked
    deviation = seen.k * np.sqrt(tau)
    assert widest * deviation == pytest.approx(np.pi / 2, rel=1e-14)
    assert min(-ends[0], ends[1]) > 9
    for w in (0.25 * widest, widest):
        s = np.linspace(-50, 50, 4001) + 1j * deviation * w
        other = -np.log(np.exp(t) * (1 + np.exp(-s)) - 1)
        sides = [farthest(v) / deviation for v in (s, other)]
        assert growth(w) == pytest.approx(np.dot(sides, sides) / 2, rel=ATTAINED)


@pytest.mark.parametrize("loss", [narrow.DOUBLED, narrow.SHARED])
@pytest.mark.parametrize("away", [0.75, 12.0])
def test_the_strip_of_two_distances(loss: Any, away: float, asked: list[Strip]) -> None:
    """Of the logarithm of a radius: what |r| - |mu| loses at the widest angle."""
    tau, x = 0.375, np.linalg.lstsq(loss.A, loss.b)[0] + away * loss.A[0]
    one.weight_scores(loss, x, tau, [[2.0, 1.0]])
    ((growth, widest, ends),) = asked
    mu = np.sqrt(2 / tau) * away * np.linalg.norm(loss.A[0])
    assert np.exp(ends[0]) < 1e-17
    assert mu + 9 < np.exp(ends[1]) < mu + 20
    r = mu * np.linspace(0, 3, 3001) * np.exp(1j * widest)
    lost = -np.real((r - mu) ** 2).min() / 2
    assert 0.9 * growth(widest) < lost < growth(widest)


@pytest.mark.parametrize("loss", IMAGES)
@pytest.mark.parametrize("steps", [(0.625,), (0.6, 0.375)])
def test_the_strip_of_two_gradients(
    loss: Any, steps: tuple[float, ...], asked: list[Strip]
) -> None:
    """Both borders are mapped to infinity where the second has what the first lacks."""
    x, tau, seen = np.ones(8), 0.375, one.seen(loss)
    single = len(steps) == 1
    one.descent_scores(loss, x, tau, steps, 2 if single else 1, [x])
    ((growth, widest, ends),) = asked
    turn = 0.0 if single else steps[0] * tau * seen.k**2
    deviation = seen.k * np.sqrt(tau)
    assert widest == np.pi / 2
    assert min(-ends[0], ends[1]) > 36
    for w in (0.3, 1.25):
        u = np.linspace(-50, 50, 4001) + 1j * w
        p, q = 1 / (1 + np.exp(-u)), 1 / (1 + np.exp(u))
        odds = farthest(np.log(q) - np.log(p))
        sides = np.array([odds, odds + turn * farthest(p)]) / deviation
        assert growth(w) == pytest.approx(sides @ sides / 2, rel=ATTAINED)


CHAINS = (
    ((2.25, 1.5, 3.0), "literal", "weighted-mean"),
    ((0.5, 0.25, 0.375), "literal", "exponential-average:0.375"),
    ((1.25, 2.0), "new-states", "weighted-mean"),
    ((0.0625, 1.5, 2.0), "literal", "weighted-mean"),
)


def weights_by_hand(steps: tuple[float, ...], chain: str, output: str) -> Any:
    if output == "weighted-mean":
        w = np.array(steps) / np.sum(steps)
    else:
        w = np.array([0.625**2, 0.375 * 0.625, 0.375])
    return w if chain == "literal" else np.append(0.0, w)


@pytest.mark.parametrize("loss", [*IMAGES, narrow.DOUBLED])
@pytest.mark.parametrize(("steps", "chain", "output"), CHAINS)
@pytest.mark.parametrize("tau", [0.25, 1.5])
def test_the_strip_of_two_moves(
    loss: Any,
    steps: tuple[float, ...],
    chain: str,
    output: str,
    tau: float,
    asked: list[Strip],
) -> None:
    """A line and a logistic function: what either turns, and none of it cancelled."""
    x, seen = np.zeros(loss.d), one.seen(loss)
    given = (loss, x, tau, steps, [x])
    one.chain_scores(*given, chain=chain, output=output)
    ((growth, widest, ends),) = asked
    w, (first, second) = weights_by_hand(steps, chain, output), steps[:2]
    pole = np.pi / (seen.k * np.sqrt(first)) if seen.k else np.inf
    assert widest == pytest.approx(min(pole / 2, 2.0), rel=1e-14)
    assert min(-ends[0], ends[1]) > 9
    for v in (0.2 * widest, 0.9 * widest):
        c = np.linspace(-40, 40, 4001) + 1j * np.sqrt(first) * v
        line = w[1] * c + w[2] * (c - second / 2 * (c / tau + seen.h * c))
        bend = w[2] * second / 2 * seen.k / (1 + np.exp(seen.k * c))
        turned = (farthest(line) + farthest(bend)) / (w[2] * np.sqrt(second))
        assert growth(v) == pytest.approx((v**2 + turned**2) / 2, rel=ATTAINED)


def test_panels_are_short_where_the_other_gradient_is_all_or_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two moves, where the first sample leaves either to the second."""
    loss, x, tau, steps, y = narrow.DARK, np.ones(8) / 8, 0.375, (0.75, 0.25), 1.625
    seen, cut = one.seen(loss), one._graded
    kept: list[Any] = []

    def noted(corners: Any) -> Any:
        kept.extend(corners)
        return cut(corners)

    monkeypatch.setattr(one, "_graded", noted)
    output = x + steps[1] * tau * seen.k * y * seen.along
    one.descent_scores_dense(loss, x, tau, steps, 1, [output])
    mean, deviation = seen.k * (seen.along @ x), seen.k * np.sqrt(tau)
    for z, end in zip(sorted(kept), (18.0, -18.0), strict=True):
        p = expit(-mean - deviation * z)
        moved = mean + steps[0] * tau * seen.k**2 * p + deviation * end
        total = (1 - steps[1]) * steps[0] / steps[1] * p + expit(-moved)
        assert total == pytest.approx(y, rel=1e-13)


# --- what both routes share -----------------------------------------------------------


def test_distances_are_of_the_hessian() -> None:
    """As small as the rows may be, and in no more than two directions."""
    for loss, rank in ((narrow.DOUBLED, 1), (narrow.SHARED, 2)):
        for scale in (1.0, 2.0**-34):
            small = LeastSquares(scale * loss.A, scale * loss.b)
            found, h, away = one._bowl(small, np.ones(loss.d))
            curvatures = np.linalg.eigvalsh(small.A.T @ small.A) / small.b.size
            assert found == rank
            np.testing.assert_allclose(curvatures[-rank:], h, rtol=1e-13)
            least = np.linalg.pinv(loss.A) @ (loss.A @ np.ones(loss.d) - loss.b)
            assert away == pytest.approx(np.linalg.norm(least), rel=1e-12)
    with pytest.raises(ValueError, match="in 3 directions"):
        one._bowl(LeastSquares(np.eye(3), np.ones(3)), np.zeros(3))


@pytest.mark.parametrize("loss", IMAGES)
def test_two_samples_that_are_far_apart(loss: Any) -> None:
    """Where Newton's method is slow, and where a weight is nearly the other."""
    seen, x, tau = one.seen(loss), np.ones(8), 0.375
    pairs = ([10, 1.5], [1.5, 10], [-20, -22.5], [25, 0.125], [-3, -3], [9, 8])
    along = np.array(pairs)
    shares = expit(along)
    shares /= shares.sum(axis=1, keepdims=True)
    outputs = np.outer((shares * along).sum(axis=1) / seen.k, seen.along)
    pair = one.pair_of_samples(loss, x, tau, outputs, shares)
    drawn = (along / seen.k - x @ seen.along) / np.sqrt(tau)
    np.testing.assert_allclose(pair, drawn, rtol=0, atol=1e-11)
