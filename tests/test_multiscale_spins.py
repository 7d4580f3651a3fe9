"""Chains of spins: numbers, the same law as a table, both ends of the range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.errors import InvalidParameter
from refimpl.multiscale import finite
from refimpl.multiscale.spins import SpinChain
from refimpl.multiscale.temperatures import Temperatures

EPS = 2.0**-52
DIGITS = 1e-12
UP_AND_DOWN = np.array([[-1.0], [1.0]])

I1 = SpinChain([0.9], [0.8, 0.5], Temperatures((1.2, 0.4)))


def test_i1() -> None:
    (g_0, c_0), (g_1, c_1), (g_2, c_2) = I1.fields
    assert abs(g_1[0] - 0.194865605000) <= DIGITS
    assert abs(c_1 + 0.581461097301) <= DIGITS
    assert abs(g_0[0] - 0.128764330349) <= DIGITS
    assert abs(c_0 + 0.590318741918) <= DIGITS
    assert (g_2[0], c_2) == (0.9, 0.0)
    printed = (-0.719083072266, -0.461554411569)
    np.testing.assert_allclose(I1.energy(0, UP_AND_DOWN), printed, rtol=0, atol=DIGITS)


@settings(max_examples=50)
@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=3),
    st.floats(-2, 2),
    st.integers(0, 2**32 - 1),
)
def test_a_chain_is_a_table(couplings: Any, g: float, seed: int) -> None:
    """The reference of a whole chain, given its centre, as an array of 2^d cells."""
    d = len(couplings)
    t = Temperatures(np.random.default_rng(seed).uniform(0.2, 3, d))
    chain = SpinChain([g], couplings, t, 0.25)
    spin = np.array([-1.0, 1.0])
    f = np.broadcast_to(g * spin + 0.25, (2,) * d)
    for x in spin:
        Q, above = np.ones(()), np.array(x)
        for gamma in couplings:
            step = np.exp(gamma * above[..., None] * spin) / (2 * np.cosh(gamma))
            Q, above = Q[..., None] * step, spin
        V, p = finite.effective_energies(f, Q, t), finite.conditionals(f, Q, t)
        # energies of at most 3, over temperatures of at least 1/5
        assert abs(chain.energy(0, [x]) - V[0]) <= 128 * EPS
        for k in range(1, d + 1):
            own = np.broadcast_to(chain.energy(k, UP_AND_DOWN), V[k].shape)
            np.testing.assert_allclose(V[k], own, rtol=0, atol=128 * EPS)
            centre = np.array([[x]]) if k == 1 else UP_AND_DOWN
            ups = chain.up(k, centre)[:, 0]
            up = ups[0] if k == 1 else np.broadcast_to(ups, p[k - 1].shape[:-1])
            np.testing.assert_allclose(p[k - 1][..., 1], up, rtol=1e3 * EPS)


def test_spins_side_by_side_add_up() -> None:
    t = Temperatures((0.7, 1.3))
    singles = [SpinChain([g], [0.8, -0.5], t) for g in (0.9, -0.3, 0.0)]
    both = SpinChain([0.9, -0.3, 0.0], [0.8, -0.5], t)
    w = np.array([[1.0, -1.0, 1.0], [-1.0, -1.0, -1.0]])
    for k in range(3):
        total = sum(s.energy(k, w[:, [i]]) for i, s in enumerate(singles))
        np.testing.assert_allclose(both.energy(k, w), total, rtol=0, atol=8 * EPS)
    assert both.up(1, w).shape == w.shape


@pytest.mark.parametrize("gamma", [1e-200, 1e-8, 0.3, -2.0, 40.0, 400.0, -1e5])
@pytest.mark.parametrize("u", [1e-200, -1e-8, 0.2, -2.0, 40.0, 399.0, 1e5])
def test_no_field_is_lost_to_overflow_or_cancellation(gamma: float, u: float) -> None:
    """By V(+1) and V(-1) with as many digits as their difference needs."""
    (g, c), _ = SpinChain([u], [gamma], Temperatures((1.0,))).fields
    smallest = mpmath.mpf("1e-300")  # below, numbers underflow
    with mpmath.workdps(1000):
        a, b = mpmath.mpf(gamma), mpmath.mpf(u)
        V = [mpmath.log(mpmath.cosh(a) / mpmath.cosh(a * x - b)) for x in (-1, 1)]
        field, level = (V[1] - V[0]) / 2, (V[0] + V[1]) / 2
        assert abs(g[0] - field) <= 8 * EPS * abs(field) + smallest
        # a small level is the exponential of its logarithm
        relative = 4 * EPS * (2 + abs(mpmath.log(abs(level) + smallest)))
        assert abs(c - level) <= relative * abs(level) + smallest


def test_no_field_is_passed_on_by_an_uncoupled_spin() -> None:
    chain = SpinChain([2.0], [0.0], Temperatures((0.5,)))
    assert chain.fields[0][0][0] == 0
    assert abs(chain.fields[0][1] + 0.5 * np.log(np.cosh(4.0))) <= 8 * EPS
    assert SpinChain([0.0], [0.7], Temperatures((0.5,))).fields[0] == (0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: SpinChain([0.9], [0.8], Temperatures((1, 2))), "1 couplings and 2"),
        (lambda: SpinChain([np.nan], [0.8], Temperatures((1,))), "finite"),
        (lambda: SpinChain([0.9], [0.8], (1.0,)), "from_index"),  # type: ignore[arg-type]
        (lambda: I1.energy(0, [0.5]), "-1 or"),
        (lambda: I1.up(1, [1.0, 1.0]), "last axis"),
    ],
)
def test_input_is_refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        call()
