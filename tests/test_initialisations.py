"""Laws of the parameters at the start, against laws computed by SciPy.

The random tests are wrong with probability at most ALPHA each, whatever the seed, by
bounds that hold for every n and not only in the limit; the seeds are fixed besides.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import stats

from refimpl.errors import InvalidParameter
from refimpl.initialisations import INITIALISATIONS, initial

ALPHA = 1e-8  # 12 random tests: a false alarm in one of them below 1.2e-7
M, N = 700, 300

# the laws by another route: SciPy's distributions, the variances written out
LAWS = {
    "glorot-uniform": stats.uniform(-np.sqrt(6 / 1000), 2 * np.sqrt(6 / 1000)),
    "glorot-normal": stats.norm(scale=np.sqrt(2 / 1000)),
    "he-uniform": stats.uniform(-np.sqrt(6 / 700), 2 * np.sqrt(6 / 700)),
    "he-normal": stats.norm(scale=np.sqrt(2 / 700)),
    "truncated-normal": stats.truncnorm(-2, 2, scale=0.1),
    "normal:0.1": stats.norm(scale=0.1),
}
BOUNDS = {
    "glorot-uniform": np.sqrt(6 / 1000),
    "he-uniform": np.sqrt(6 / 700),
    "truncated-normal": 0.2,
}


def weights(how: str, seed: int = 0) -> Any:
    """The weights of one layer, shape (M, N), without its bias."""
    y = initial((M, N), how, np.random.default_rng(seed))
    return y.reshape(M + 1, N)[:-1]


@pytest.mark.parametrize("how", INITIALISATIONS)
@pytest.mark.parametrize("sizes", [(1, 1), (5, 3), (4, 6, 2), (3, 2, 2, 3)])
def test_shape_order_and_biases(how: str, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    y = initial(sizes, how, rng)
    assert y.dtype == np.float64
    assert y.flags.writeable
    bias = 0.1 if how == "truncated-normal" else 0.0
    for m, n in pairwise(sizes):
        matrix, y = y[: (m + 1) * n].reshape(m + 1, n), y[(m + 1) * n :]
        np.testing.assert_array_equal(matrix[-1], np.full(n, bias))
        assert (matrix[:-1] != 0).all() == (how != "zero")
    assert y.size == 0


def test_sizes_of_the_paper() -> None:
    rng = np.random.default_rng(2)
    assert initial((784, 10), "zero", rng).shape == (7850,)
    assert initial((784, 200, 10), "zero", rng).shape == (159010,)


@pytest.mark.parametrize("how", INITIALISATIONS)
def test_the_same_generator_gives_the_same_bits(how: str) -> None:
    one, same, other = (
        initial((6, 5, 4), how, np.random.default_rng(seed)) for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(one, same)
    assert (one == other).all() == (how == "zero")


@pytest.mark.parametrize("how", INITIALISATIONS)
def test_layers_are_drawn_in_order_and_biases_draw_nothing(how: str) -> None:
    rng = np.random.default_rng(9)
    both = initial((6, 5, 4), how, np.random.default_rng(9))
    if how in ("glorot-uniform", "he-uniform", "truncated-normal"):
        first = initial((6, 5), how, rng)
        np.testing.assert_array_equal(both[:35], first)
        np.testing.assert_array_equal(both[35:], initial((5, 4), how, rng))
    elif how != "zero":
        z = rng.standard_normal(6 * 5 + 5 * 4)
        drawn = both[both != 0]
        assert np.ptp(drawn[:30] / z[:30]) < 1e-14  # one scale per layer
        assert np.ptp(drawn[30:] / z[30:]) < 1e-14


@pytest.mark.parametrize("how", BOUNDS)
def test_bounds(how: str) -> None:
    """No weight is beyond; of 210000 one comes within 0.1 % of the bound.

    The mass there is at least 2.2e-4 (truncated): none with probability below e^-46.
    """
    largest = np.abs(weights(how)).max()
    assert 0.999 * BOUNDS[how] < largest <= BOUNDS[how]


@pytest.mark.parametrize("how", LAWS)
def test_variance(how: str) -> None:
    """Uniform and truncated laws by Hoeffding, normal ones by the law of chi^2.

    The room is 0.7 % of a^2, which is 2 % of a uniform and 3.5 % of the truncated
    variance, and 1.8 % of a normal one.  A law whose variance is off by more than twice
    that passes with probability at most ALPHA: m and n exchanged, a factor 2, a
    standard deviation for a variance, no cut.
    """
    w, law = weights(how), LAWS[how]
    n = w.size
    measured = np.mean(w**2)
    if how in BOUNDS:
        a = BOUNDS[how]
        room = np.sqrt(np.log(2 / ALPHA) / (2 * n))
        assert abs(measured / a**2 - law.var() / a**2) <= room
    else:
        lower, upper = stats.chi2.ppf([ALPHA / 2, 1 - ALPHA / 2], n) / n
        assert lower <= measured / law.var() <= upper


@pytest.mark.parametrize("how", LAWS)
def test_distribution(how: str) -> None:
    """Dvoretzky, Kiefer, Wolfowitz and Massart: the empirical law is near the law.

    A law that is further than twice the room of 0.0068 passes with probability at most
    ALPHA; a cut at 2 (0.023) and a uniform law for a normal one (0.057) are further.
    """
    w = np.sort(weights(how, seed=3).ravel())
    n = w.size
    room = np.sqrt(np.log(2 / ALPHA) / (2 * n))
    assert stats.ks_1samp(w, LAWS[how].cdf, method="asymp").statistic <= room


def test_any_standard_deviation() -> None:
    tenth = initial((3, 2), "normal:0.1", np.random.default_rng(4))
    quarter = initial((3, 2), "normal:.25", np.random.default_rng(4))
    np.testing.assert_allclose(quarter, 2.5 * tenth, rtol=4e-16)


@pytest.mark.parametrize(
    ("sizes", "how", "said"),
    [
        ((784,), "zero", "at least two numbers"),
        (784, "zero", "at least two numbers"),
        ("784", "zero", "whole number, got '7'"),
        (((2, 1), 1), "zero", r"whole number, got \(2, 1\)"),
        ((784, 0), "zero", "at least 1, got 0"),
        ((784, 10.0), "zero", "whole number, got 10.0"),
        ((2, 1), "glorot", "no initialisation is named 'glorot'; there are glorot-uni"),
        ((2, 1), "zero:1", "no initialisation is named 'zero:1'"),
        ((2, 1), "normal", "no initialisation is named 'normal'"),
        ((2, 1), None, "no initialisation is named None"),
        ((2, 1), "normal:", "positive standard deviation, as in normal:0.1, got ''"),
        ((2, 1), "normal:x", "got 'x'"),
        ((2, 1), "normal:0", "got '0'"),
        ((2, 1), "normal:-1", "got '-1'"),
        ((2, 1), "normal:nan", "got 'nan'"),
        ((2, 1), "normal:inf", "got 'inf'"),
    ],
)
def test_what_is_refused(sizes: Any, how: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        initial(sizes, how, np.random.default_rng(0))


@pytest.mark.parametrize("how", INITIALISATIONS)
def test_a_seed_is_no_generator(how: str) -> None:
    with pytest.raises(InvalidParameter, match=r"rng must be a numpy\.random\.Gen"):
        initial((2, 1), how, 0)  # type: ignore[arg-type]
