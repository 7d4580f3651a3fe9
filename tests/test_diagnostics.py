"""Diagnostics of chains: autoregressions of known memory, and what is refused.

All that follows needs ArviZ, except for what is said where it is missing.
"""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from refimpl.diagnostics import LEAST_DRAWS, Mixing, diagnose
from refimpl.errors import InvalidParameter, MissingExtra
from refimpl.laws import GibbsLaw
from refimpl.losses import Quadratic
from refimpl.output_laws import sgld_stationary_law
from refimpl.schedules import Constant
from refimpl.sgld import SGLD
from refimpl.streams import stream

pytest.importorskip("arviz_stats", reason="the extra `diagnostics` is not installed")


def autoregressions(r: float, chains: int, draws: int, seed: int = 1) -> Any:
    """Stationary chains y' = r y + sqrt(1 - r^2) z, shape (chains, draws, 1)."""
    from scipy.signal import lfilter

    z = stream(seed, "algorithm").standard_normal((chains, draws))
    z[:, 1:] *= math.sqrt(1 - r * r)
    return lfilter([1.0], [1.0, -r], z, axis=1)[..., None]


TIES = 1e-4
"""The two states next to the median are equally far from it, and rounding decides which
of their folded ranks is the first: of the 500 scores of a quarter one changes by 0.3,
its mean of 0.1 by 0.0006, and R-hat by half of the product."""


# --- what is measured -----------------------------------------------------------------


@pytest.mark.parametrize("r", [-0.5, 0.5])
def test_the_autocorrelation_time_of_an_autoregression(r: float) -> None:
    """(1 + r)/(1 - r) within a quarter; false alarm below 1e-6.

    Summed over lags up to W, the estimate has the relative standard deviation
    sqrt(2 (2 W + 1) / N) (Sokal, 1997); N = 10^6 and W = 300 make it 0.035.  Six of
    them, at any of the 150 even W: probability 150 x 2e-9.  The sum ends at the first
    pair of lags that is not positive.  It ends beyond lag 300 only if all pairs are:
    those at lags 20, 30, ..., 300 are independent up to correlations of r^10, each
    positive with probability 1/2: 29 of them, 2e-9.  It ends too early by less than
    the six deviations of a pair over 1 - r^2, 0.02.
    """
    found = diagnose(autoregressions(r, 4, 250_000))
    time = (1 + r) / (1 - r)
    assert found.autocorrelation_time[0] == pytest.approx(time, rel=0.25)
    size = 1e6 / found.autocorrelation_time[0]
    assert found.effective_sample_size[0] == pytest.approx(size, rel=1e-12)
    # the normal scores of Gaussian states are these states, but for their scale
    bulk = 1e6 / found.bulk_effective_sample_size[0]
    assert bulk == pytest.approx(time, rel=0.25)
    assert (found.chains, found.draws) == (4, 250_000)


def test_chains_of_one_law_agree() -> None:
    """R-hat^2 - 1 is at most chi^2_7/7 over half a chain's draws, here 5000.

    chi^2_7 exceeds 70 with probability 1e-12: R-hat - 1 < 0.001.
    """
    found = diagnose(autoregressions(0.0, 4, 10_000))
    assert 0.999 < found.r_hat[0] < 1.001


def test_chains_apart_disagree() -> None:
    """Two chains without a common value: ranks 1..n and n+1..2n, whatever they are.

    Half normals have mean m = sqrt(2/pi) and variance 1 - m^2; the four halves of the
    chains have means -m, -m, m, m, up to 0.6/sqrt(1000) each:
    R-hat^2 = 1 + (4/3) m^2/(1 - m^2), within eight of these deviations.
    """
    states = autoregressions(0.25, 2, 2000)
    states[1] += 100
    found = diagnose(states)
    m = math.sqrt(2 / math.pi)
    expected = math.sqrt(1 + 4 / 3 * m * m / (1 - m * m))
    assert found.r_hat[0] == pytest.approx(expected, abs=8 * 2 * 0.02)
    assert found.effective_sample_size[0] < 10
    assert found.autocorrelation_time[0] > 400


def test_chains_of_two_widths_disagree() -> None:
    """Only the folded ranks see it; 1.01 is what the figure's authors allow."""
    states = autoregressions(0.0, 2, 2000)
    states[1] *= 10
    assert diagnose(states).r_hat[0] > 1.2


def test_a_single_chain_is_compared_with_itself() -> None:
    steady = autoregressions(0.0, 1, 10_001)
    assert diagnose(steady).r_hat[0] < 1.002
    drifting = steady + np.linspace(0, 10, 10_001)[None, :, None]
    assert diagnose(drifting).r_hat[0] > 1.5
    assert diagnose(steady).chains == 1


def test_halves_that_never_move_have_no_width_to_compare_with() -> None:
    """A ratio with zero below, or what rounding leaves of it."""
    states = np.repeat([[0.0, 1.0], [1.0, 0.0]], 16, axis=1)[..., None]
    assert diagnose(states).r_hat[0] > 1e6


def test_coordinates_are_measured_one_by_one() -> None:
    slow, fast = autoregressions(0.9, 2, 5000), autoregressions(0.0, 2, 5000, seed=2)
    both = diagnose(np.concatenate([slow, fast], axis=2))
    for i, alone in enumerate((diagnose(slow), diagnose(fast))):
        for field in dataclasses.fields(Mixing)[2:]:
            together = getattr(both, field.name)
            assert together.shape == (2,)
            wanted = getattr(alone, field.name)[0]
            assert together[i] == pytest.approx(wanted, rel=TIES)
    assert both.autocorrelation_time[0] > 5 * both.autocorrelation_time[1]


@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1e200])
def test_location_and_scale_do_not_matter(scale: float) -> None:
    states = autoregressions(0.5, 2, 1000)
    plain, scaled = diagnose(states), diagnose(scale * (states + 3))
    for field in dataclasses.fields(Mixing)[2:]:
        found, wanted = getattr(scaled, field.name), getattr(plain, field.name)
        np.testing.assert_allclose(found, wanted, rtol=TIES)


def test_the_last_digits_of_a_location_are_movement_enough() -> None:
    """Beside 1 four neighbouring numbers lie within what the library calls constant."""
    steps = stream(5, "algorithm").integers(0, 4, size=(2, 40, 1)).astype(float)
    plain, close = diagnose(steps), diagnose(1 + steps * 2.0**-52)
    for field in dataclasses.fields(Mixing)[2:]:
        found, wanted = getattr(close, field.name), getattr(plain, field.name)
        np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_a_state_may_be_the_mean_of_all() -> None:
    states = np.resize([-1.0, 0.0, 1.0, 1.0, 0.0, -1.0], (2, 24, 1))
    found = diagnose(states)
    for field in dataclasses.fields(Mixing)[2:]:
        assert np.isfinite(getattr(found, field.name)).all()


def test_traces_of_sgld() -> None:
    """In coordinate i the chain is an autoregression, r = 1 - epsilon beta_i/2.

    The variance of a state too is known; that of 4 x 2000 states is judged at eight
    deviations, sqrt(2 (1 + r^2)/(1 - r^2)/N) each, and the time at a factor of two.
    """
    f, tau, epsilon = Quadratic([1.0, 7.0], [0.5, -0.5]), 1.0, 0.125
    q = GibbsLaw(f, np.array([0.25, 0.75]), tau)
    estimate = SGLD(2000, Constant(epsilon), trace=True)
    rng = stream(3, "algorithm")
    traces = [estimate(q, rng=rng).info.trace for _ in range(4)]
    found = diagnose(traces)
    assert found == diagnose_again(found, np.array(traces))
    r = 1 - epsilon * np.array([2.0, 8.0]) / 2
    times = (1 + r) / (1 - r)
    assert (found.autocorrelation_time < 2 * times).all()
    assert (found.autocorrelation_time > times / 2).all()
    assert (found.r_hat < 1.05).all()
    exact = sgld_stationary_law(f, q.x, tau, epsilon).variances
    error = np.sqrt(2 * (1 + r * r) / (1 - r * r) / 8000)
    measured = np.concatenate(traces).var(axis=0)
    assert (np.abs(measured / exact - 1) < 8 * error).all()


def diagnose_again(found: Mixing, traces: Any) -> Mixing:
    """The record `found`, if the array of all traces gives the same numbers."""
    again = diagnose(traces)
    for field in dataclasses.fields(Mixing):
        np.testing.assert_array_equal(
            getattr(again, field.name), getattr(found, field.name)
        )
    return found


def test_the_shortest_chains() -> None:
    found = diagnose(autoregressions(0.0, 1, LEAST_DRAWS))
    assert np.isfinite(found.r_hat).all()


def test_the_record_is_frozen_and_the_states_are_left_alone() -> None:
    states = autoregressions(0.0, 2, 50)
    before = states.copy()
    found = diagnose(states)
    assert (states == before).all()
    with pytest.raises(AttributeError):
        found.draws = 3  # type: ignore[misc]


# --- what is refused ------------------------------------------------------------------


def independent(chains: int, draws: int) -> Any:
    return stream(1, "algorithm").standard_normal((chains, draws, 1))


def constant(where: int) -> Any:
    states = np.concatenate([independent(3, 20)] * 2, axis=2)
    states[where, :, 1] = 0.1
    return states


@pytest.mark.parametrize(
    ("traces", "said"),
    [
        (constant(2), "chain 2 never moves in coordinate 1"),
        (np.ones((2, 20, 1)), "chain 0 never moves in coordinate 0"),
        (np.ones((20, 2)), r"a single one is \[trace\]"),
        ([np.ones((20, 2)), np.ones((19, 2))], "chains of one shape"),
        ([np.ones((20, 2))] * 7 + [np.ones((19, 2))], r"'\.\.\.'"),
        ([], "chains of one shape"),
        ([None, np.ones((20, 2))], "run SGLD with trace=True"),
        (independent(2, 7), "at least 8 states, got 7"),
        (np.full((2, 20, 1), np.nan), "traces must be finite"),
        ([[["a"]] * 20], "array of real numbers"),
    ],
)
def test_what_cannot_be_diagnosed(traces: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        diagnose(traces)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    monkeypatch.setitem(sys.modules, "arviz_stats.base", None)
    with pytest.raises(MissingExtra, match=r"local-entropy-oracle\[diagnostics\]"):
        diagnose(autoregressions(0.0, 2, 20))
    assert issubclass(MissingExtra, ImportError)


ALONE = """
import sys
import refimpl.diagnostics
assert "arviz_stats" not in sys.modules
import numpy as np
refimpl.diagnostics.diagnose(np.random.default_rng(0).standard_normal((2, 20, 1)))
assert "arviz_stats" in sys.modules
"""


def test_the_library_is_imported_when_it_is_needed_and_keeps_silent() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
