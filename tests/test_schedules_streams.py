"""Schedules and random streams."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from refimpl.errors import InvalidParameter
from refimpl.schedules import Constant, Harmonic, PowerLaw, Scoping, steps
from refimpl.streams import stream

EXACT = {
    "constant": (Constant(0.75), [0.75, 0.75, 0.75, 0.75]),
    "harmonic": (Harmonic(0.0), [1, 1 / 2, 1 / 3, 1 / 4]),
    "harmonic, shifted": (Harmonic(1000), [1 / 1001, 1 / 1002, 1 / 1003, 1 / 1004]),
    "power law": (PowerLaw(0.5, 1.0), [0.5, 0.25, 0.5 / 3, 0.125]),
    "power law, root": (PowerLaw(3.0, 0.5), [3, 3 / 2**0.5, 3 / 3**0.5, 1.5]),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_inner_steps_count_from_one(name: str) -> None:
    schedule, values = EXACT[name]
    # pow and the division are each good to one unit in the last place
    np.testing.assert_allclose(steps(schedule, 4), values, rtol=2**-51)
    assert steps(schedule, 0).shape == (0,)


@pytest.mark.parametrize("name", EXACT)
def test_a_schedule_takes_a_step_or_an_array_of_them(name: str) -> None:
    schedule, values = EXACT[name]
    np.testing.assert_allclose(schedule(3), values[2], rtol=2**-51)
    grid = schedule(np.array([[1, 2], [3, 4]]))
    np.testing.assert_allclose(grid, np.reshape(values, (2, 2)), rtol=2**-51)


def test_a_harmonic_schedule_may_start_between_minus_one_and_zero() -> None:
    assert Harmonic(-0.5)(1) == 2.0


def test_scoping_counts_from_zero_and_is_constant_at_zero() -> None:
    assert Scoping(1.5, 1.0)(0) == 1.5
    k = np.arange(40)
    # exp(k log) loses k log(1 + tau1) units: at most 40 * log 2 of them here
    np.testing.assert_allclose(Scoping(1.5, 1.0)(k), 1.5 / 2.0**k, rtol=32 * 2**-52)
    np.testing.assert_array_equal(Scoping(1.5, 0.0)(k), np.full(40, 1.5))
    assert Scoping(1.0, -0.5)(1) > 1.0  # E14: tau grows


def test_scoping_of_many_updates_keeps_its_digits() -> None:
    """(1 + tau1)^k by a rounded 1 + tau1 would lose k eps / tau1 of them."""
    tau1, k = 2.0**-40 / 3, 2**30
    wanted = np.exp(-k * np.log1p(tau1))
    assert abs(Scoping(1.0, tau1)(k) / wanted - 1) < 1e-15
    assert abs((1 + tau1) ** -k / wanted - 1) > 1e-9


@pytest.mark.parametrize(
    "schedule",
    [Constant(0.5), Harmonic(10.0), PowerLaw(0.5, 0.75), Scoping(2.0, 0.125)],
    ids=lambda schedule: type(schedule).__name__,
)
def test_one_index_or_many(schedule: Any) -> None:
    j = np.arange(1, 7).reshape(2, 3)
    assert schedule(j).shape == (2, 3)
    assert schedule(j).dtype == np.float64
    assert np.ndim(schedule(3)) == 0
    assert schedule(j)[1, 2] == schedule(6)
    assert hash(schedule) == hash(type(schedule)(**vars(schedule)))
    name = next(iter(vars(schedule)))
    with pytest.raises(AttributeError):
        setattr(schedule, name, 1.0)


@pytest.mark.parametrize(
    ("make", "arguments", "named"),
    [
        (Constant, (0.0,), "value"),
        (Constant, (np.inf,), "value"),
        (Constant, ([1.0, 2.0],), "value"),
        (Harmonic, (-1.0,), "c "),
        (Harmonic, (np.nan,), "c "),
        (PowerLaw, (-0.5, 1.0), "c "),
        (PowerLaw, (0.5, 0.0), "alpha"),
        (Scoping, (0.0, 1.0), "tau0"),
        (Scoping, (1.0, -1.0), "tau1"),
        (Scoping, (1.0, np.nan), "tau1"),
        (Scoping, ("soon", 1.0), "tau0"),
    ],
)
def test_a_senseless_schedule_is_refused_by_name(
    make: Any, arguments: Any, named: str
) -> None:
    with pytest.raises(InvalidParameter, match=f"^{named}"):
        make(*arguments)


# --- streams

PURPOSES = ("initialisation", "batches", "algorithm", "evaluation")

#: A published promise: a change here changes every published result.
GOLDEN = {
    "initialisation": (1113898036, "-0x1.a2098541d2c0ap+0"),
    "batches": (2900708667, "0x1.2d030101dea1fp+0"),
    "algorithm": (3232548995, "-0x1.2e2ec378dcb06p+0"),
    "evaluation": (17196746, "0x1.448d509052032p-5"),
}


@pytest.mark.parametrize("purpose", PURPOSES)
def test_first_numbers_of_every_stream(purpose: str) -> None:
    whole, normal = GOLDEN[purpose]
    rng = stream(2024, purpose)
    assert int(rng.integers(2**32)) == whole
    assert float(rng.standard_normal()).hex() == normal
    raw = np.random.SeedSequence(2024, spawn_key=(PURPOSES.index(purpose),))
    again = np.random.Generator(np.random.SFC64(raw))
    assert int(again.integers(2**32)) == whole


def test_streams_are_different_and_repeat() -> None:
    addresses = [
        (seed, purpose, *position)
        for seed in (0, 1)
        for purpose in PURPOSES
        for position in ((), (0,), (1,), (0, 0), (1, 0))
    ]
    first = {a: stream(*a).standard_normal(2000) for a in addresses}
    for a in addresses:
        assert np.array_equal(stream(*a).standard_normal(2000), first[a])
    # a correlation of independent streams is N(0, 1/2000): 780 of them beyond 7 sd
    # have probability 780 * 2.6e-12 = 2e-9; and the seeds are fixed
    for a, b in combinations(addresses, 2):
        assert abs(np.corrcoef(first[a], first[b])[0, 1]) < 7 / np.sqrt(2000)


def test_more_numbers_from_one_stream_change_no_other() -> None:
    alone = stream(5, "algorithm").standard_normal(3)
    stream(5, "batches").standard_normal(1000)
    stream(5, "algorithm", 0).standard_normal(1000)
    assert np.array_equal(stream(5, "algorithm").standard_normal(3), alone)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, "luck"), "no stream is named 'luck'; there are initialisation, batches"),
        ((-1, "batches"), "seed and position must be whole numbers >= 0"),
        ((1.0, "batches"), "whole numbers"),
        ((True, "batches"), "whole numbers"),
        ((None, "batches"), "whole numbers"),
        ((0, "batches", -1), "whole numbers"),
        ((0, "batches", 0.5), "whole numbers"),
        ((2**128, "batches"), r"the seed below 2\^128 and others below 2\^32, got"),
        ((0, "batches", 2**32), r"the seed below 2\^128 and others below 2\^32, got"),
        ((0, "batches", 1, np.uint64(2**32)), r"others below 2\^32"),
    ],
)
def test_senseless_streams_are_refused(arguments: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        stream(*arguments)


def test_numpy_integers_are_whole_numbers() -> None:
    a = stream(np.int64(3), "batches", np.uint8(2)).integers(1000, size=5)
    assert np.array_equal(a, stream(3, "batches", 2).integers(1000, size=5))


def test_the_last_seed_and_the_last_position() -> None:
    """One more of either would be read as a word of the next: another's stream."""
    seed, last = 2**128 - 1, 2**32 - 1
    addresses = [
        (seed,),
        (seed, 0),
        (seed, last),
        (0, last),
        (0, last, 0),
        (0, last, 1),
    ]
    drawn = [stream(s, "batches", *p).integers(2**62) for s, *p in addresses]
    assert len(set(drawn)) == len(drawn)
    for words, same in (([last], 0), ([2**32 + 5], 1)):
        key = np.random.SeedSequence(0, spawn_key=(1, *words)).generate_state(4)
        told = np.random.SeedSequence(0, spawn_key=(1, 5, 1)).generate_state(4)
        assert np.array_equal(key, told) == same  # what is refused, and why


def test_a_child_is_the_stream_with_one_index_more() -> None:
    third = stream(3, "algorithm").spawn(4)[3]
    found = third.integers(2**62, size=5)
    assert np.array_equal(found, stream(3, "algorithm", 3).integers(2**62, size=5))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.1, 0.1, -0.2], "got -0.2 at step 3$"),
        ([0.1, 0.0, -0.2], "got 0.0 at step 2$"),
        ([np.nan, 0.1, 0.1], "got nan at step 1$"),
        ([0.1, 0.1, np.inf], "got inf at step 3$"),
        ([0.1, 0.1], r"must have shape \(3,\), got \(2,\)$"),
        ([[0.1, 0.1, 0.1]], r"must be a vector, got shape \(1, 3\)$"),
        (0.1, r"must be a vector, got shape \(\)$"),
        (["a", "b", "c"], "must be an array of real numbers$"),
    ],
)
def test_steps_are_finite_and_positive_and_as_many(values: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^the schedule's values .*{said}"):
        steps(lambda j: values, 3)


def test_a_schedule_that_divides_by_zero_is_named_without_a_warning() -> None:
    with pytest.raises(InvalidParameter, match=r"got inf at step 2$"):
        steps(lambda j: 1 / np.abs(j - 2.0), 3)
    assert Scoping(1.0, -0.5)(2000) == np.inf
