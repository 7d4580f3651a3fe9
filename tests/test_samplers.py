"""Algorithms 3, 4 and 5: replays in exact arithmetic, determinism, refusals.

The draws are given, so that everything is deterministic: the cores must agree with
the same algorithm over fractions or in forty digits, within its running error bound.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from typing import Any

import numba
import numpy as np
import pytest

from refimpl import importance as algorithm4
from refimpl.errors import InvalidParameter, NonFinite
from refimpl.exact import ExactMean
from refimpl.heat_sgd import HeatSGD
from refimpl.importance import ImportanceSampling, WeightedSums, weighed
from refimpl.interfaces import Projection
from refimpl.laws import GibbsLaw
from refimpl.losses import LeastSquares, Linear, Quadratic, Resampled, minibatches
from refimpl.noise import (
    BLOCK,
    around,
    around_kernel,
    fill_kernel,
    normal_blocks,
    normal_rows,
    rows_per_block,
)
from refimpl.output_laws import importance_law
from refimpl.robbins_monro import RobbinsMonro, robbins_monro
from refimpl.schedules import Constant, Harmonic, PowerLaw
from refimpl.sgld import SGLD, langevin, move_kernel
from refimpl.streams import stream
from refimpl.two_step import two_step
from verification import problems as P
from verification.adapter import loss_of
from verification.evidence.comparison import agree
from verification.evidence.running_error import RunningError
from verification.truth import replay
from verification.truth.carriers import MP, Rational

EPSILON = (0.31640625, 0.09765625, 0.19140625, 0.0625, 0.140625)  # (k/16)^2
TAU = 0.25
X, START = (0.8125, -1.3125), (0.25, 0.5)
LOSSES = {
    "quartic": (P.QUARTIC_2, Rational()),
    "quadratic": (P.QUADRATIC_2, Rational()),
    "least squares": (P.LEAST_SQUARES_2, Rational()),
    "mixture": (P.MIXTURE_2, MP(40)),
    "waves": (P.WAVES_2, MP(40)),
    "wells": (P.WELLS_2, MP(40)),
}


def large(test: Any) -> Any:
    """Mark as slow where nothing is compiled: the plain filling takes minutes."""
    return pytest.mark.slow(test) if numba.config.DISABLE_JIT else test


def draws(*shape: int) -> Any:
    """Normals of few binary digits."""
    rng = np.random.default_rng(11)
    return np.round(rng.standard_normal(shape) * 64) / 64


def bound(vector: list[Any]) -> float:
    """4 B u of a vector evaluated with running errors."""
    return 4 * 2**-53 * math.hypot(*(v.err + abs(v.value) for v in vector))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("chain", ["literal", "new-states"])
@pytest.mark.parametrize("start", [None, START])
def test_langevin_is_the_box(name: str, chain: Any, start: Any) -> None:
    data, ctx = LOSSES[name]
    J = len(EPSILON)
    z = draws(J if chain == "new-states" else J - 1, 2)
    arguments = (data, X, TAU, EPSILON, z.tolist(), start, chain)
    truth = replay.langevin(ctx, *arguments)
    rounded = replay.langevin(RunningError(), *arguments)
    visited: list[Any] = []
    output, last = langevin(
        loss_of(data),
        np.array(X),
        TAU,
        np.array(EPSILON),
        iter(z[:, None]),
        start=np.array([X if start is None else start]),
        chain=chain,
        visit=lambda y: visited.append(y[0].copy()),
    )
    for what, ours, exact, sloppy in (
        ("output", output[0], truth.output, rounded.output),
        ("last state", last[0], truth.last, rounded.last),
        ("last visited", visited[-1], truth.states[-1], rounded.states[-1]),
    ):
        finding = agree(what, ours, exact, bound(sloppy))
        assert finding.ok, finding
    assert len(visited) == J


def test_replicates_run_side_by_side() -> None:
    f, z = loss_of(P.QUARTIC_2), draws(3, 4, 2)
    epsilon = np.array(EPSILON)
    together = langevin(
        f,
        np.array(X),
        TAU,
        epsilon,
        iter(np.moveaxis(z, 1, 0)),
        start=np.array([X] * 3),
    )
    for n in range(3):
        alone = langevin(
            f, np.array(X), TAU, epsilon, iter(z[n][:, None]), start=np.array([X])
        )
        assert all((a[n] == b[0]).all() for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("split", [(9,), (4, 5), (1, 2, 3, 3)])
def test_importance_is_the_box(name: str, split: tuple[int, ...]) -> None:
    data, _ = LOSSES[name]
    z = draws(9, 2)
    arguments = (data, X, TAU, z.tolist())
    truth, weights = replay.importance(MP(40), *arguments)
    rounded, _ = replay.importance(RunningError(), *arguments)
    f, x = loss_of(data), np.array(X)
    parts = np.split(z, np.cumsum(split)[:-1])
    blocks = [
        algorithm4.weighed(algorithm4.log_weights(f, x, TAU, part), part)
        for part in parts
    ]
    output, info = algorithm4.importance(x, TAU, blocks)
    finding = agree("output", output, truth, bound(rounded))
    assert finding.ok, finding
    size = 1 / sum(float(w) ** 2 for w in weights)
    assert info.effective_sample_size == pytest.approx(size, rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("start", [None, START])
def test_robbins_monro_is_the_box(name: str, start: Any) -> None:
    data, ctx = LOSSES[name]
    a, z = (0.5, 0.25, 0.125, 0.0625), draws(4, 3, 2)
    arguments = (data, X, TAU, a, z.tolist(), start)
    truth = replay.robbins_monro(ctx, *arguments)
    rounded = replay.robbins_monro(RunningError(), *arguments)
    last, _ = robbins_monro(
        loss_of(data),
        np.array(X),
        TAU,
        np.array(a),
        3,
        ([rows[None, :2], rows[None, 2:]] for rows in z),  # two blocks a move
        start=np.array([X if start is None else start]),
    )
    finding = agree("last state", last[0], truth.last, bound(rounded.last))
    assert finding.ok, finding


def faces_of(kernel: Any) -> tuple[Any, Any]:
    """Compiled and plain; twice plain where nothing is compiled."""
    return kernel, getattr(kernel, "py_func", kernel)


def test_both_faces_of_the_move() -> None:
    faces = []
    for kernel in faces_of(move_kernel):
        y, total, lost = np.ones((2, 3)), np.zeros((2, 3)), np.zeros(1, np.int64)
        rng = np.random.default_rng(3)
        g, z = rng.normal(size=(2, 2, 3))
        kernel(y, total, g, z, np.zeros(3), 0.5, 0.25, 0.5, 0.125, lost)
        faces.append((y, total, lost))
    for compiled, plain in zip(*faces, strict=True):
        # at most eight operations each, contraction left to the compiler
        assert np.allclose(compiled, plain, rtol=16 * 2**-53, atol=16 * 2**-53)


# --- noise ----------------------------------------------------------------------------


def test_both_faces_put_samples_around_their_points() -> None:
    rng = np.random.default_rng(3)
    y, z = rng.normal(size=(2, 3)), rng.normal(size=(4, 2, 3)).swapaxes(0, 1)
    expected = y[:, None] + 0.5 * z  # exactly, 0.5 being a power of 2
    assert np.array_equal(around(y, 0.25, z), expected)
    for kernel in faces_of(around_kernel):
        samples = np.empty(z.shape)
        kernel(y, 0.5, z, samples)
        assert np.array_equal(samples, expected)


@pytest.mark.parametrize(("n", "d"), [(5, 3), (40, 60), (1000, 700), (3, 2 * BLOCK)])
def test_blocks_are_numpys_own_stream(n: int, d: int) -> None:
    blocks = [block.copy() for block in normal_blocks(stream(1, "algorithm"), n, d)]
    assert max(len(block) for block in blocks) <= rows_per_block(d)
    expected = stream(1, "algorithm").standard_normal((n, d))
    assert (np.concatenate(blocks) == expected).all()


def test_a_block_has_a_row_though_it_be_too_long() -> None:
    assert [rows_per_block(d) for d in (1, BLOCK // 2, BLOCK, 2 * BLOCK)] == [
        *(BLOCK, 2, 1, 1)
    ]


def test_both_faces_of_the_fill() -> None:
    faces = []
    for kernel in faces_of(fill_kernel):
        z = np.empty((7, 3))
        kernel(stream(2, "algorithm"), z)
        faces.append(z)
    assert (faces[0] == faces[1]).all()


def test_rows_are_the_blocks_rows() -> None:
    rows = [row.copy() for row in normal_rows(stream(1, "algorithm"), 400, 500)]
    expected = stream(1, "algorithm").standard_normal((400, 500))
    assert (np.array(rows) == expected).all()


# --- shells ---------------------------------------------------------------------------


def law(f: Any = None, tau: float = 0.5) -> GibbsLaw:
    return GibbsLaw(f or loss_of(P.MIXTURE_2), np.array(X), tau)


ESTIMATORS = [
    SGLD(20, Harmonic(10.0)),
    SGLD(20, Constant(0.1), chain="new-states", trace=True),
    ImportanceSampling(50),
    RobbinsMonro(10, PowerLaw(0.5, 0.7), 5),
    HeatSGD(7),
]


@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_a_seed_fixes_every_bit(estimate: Any) -> None:
    first = estimate(law(), rng=stream(5, "algorithm")).x
    assert (estimate(law(), rng=stream(5, "algorithm")).x == first).all()
    assert (estimate(law(), rng=stream(6, "algorithm")).x != first).any()


IN_ANOTHER_PROCESS = """
import numpy as np
from refimpl.importance import ImportanceSampling
from refimpl.laws import GibbsLaw
from refimpl.losses import Quadratic
from refimpl.robbins_monro import RobbinsMonro
from refimpl.schedules import Harmonic, PowerLaw
from refimpl.sgld import SGLD
from refimpl.streams import stream

f = Quadratic([1.0, 2.0, 0.5], [0.0, 1.0, 0.0])
q = GibbsLaw(f, np.array([1.0, -1.0, 0.5]), 0.5)
for e in (
    SGLD(50, Harmonic(10.0)),
    ImportanceSampling(300, workers=2),
    RobbinsMonro(20, PowerLaw(0.5, 0.7), 5),
):
    print([v.hex() for v in e(q, rng=stream(5, "algorithm")).x])
"""


def test_two_processes_agree_to_the_bit(capsys: Any) -> None:
    there = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    exec(IN_ANOTHER_PROCESS, {})
    assert capsys.readouterr().out == there
    assert len(there.splitlines()) == 3


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_workers_do_not_change_a_bit(workers: int) -> None:
    f = Quadratic(np.linspace(0.25, 2.0, 40000), np.zeros(40000))  # 24 rows a piece
    q = GibbsLaw(f, np.full(40000, 0.01), 1e-3)
    alone = ImportanceSampling(80)(q, rng=stream(5, "algorithm"))
    shared = ImportanceSampling(80, workers)(q, rng=stream(5, "algorithm"))
    assert (alone.x == shared.x).all()
    assert alone.info == shared.info


def test_a_trace_has_the_states_that_are_averaged() -> None:
    for chain in ("literal", "new-states"):
        estimate = SGLD(6, Harmonic(5.0), chain=chain, trace=True)
        found = estimate(law(), rng=stream(1, "algorithm"))
        epsilon = 1 / (5.0 + np.arange(1, 7))
        mean = epsilon @ found.info.trace / epsilon.sum()
        assert np.allclose(mean, found.x, rtol=1e-14)
        assert (found.info.trace[-1] == found.info.last).all()
        assert found.info.gradients == estimate.moves


def test_a_warm_start_begins_at_the_last_state_and_is_pulled_to_the_centre() -> None:
    previous = SGLD(5, Constant(0.1))(law(), rng=stream(1, "algorithm"))
    estimate = SGLD(5, Constant(0.1), start="previous", trace=True)
    moved = GibbsLaw(law().f, previous.x, 0.5)
    warm = estimate(moved, rng=stream(2, "algorithm"), previous=previous)
    assert (warm.info.trace[0] == previous.info.last).all()
    cold = estimate(moved, rng=stream(2, "algorithm"))
    assert (cold.info.trace[0] == moved.x).all()
    with pytest.raises(InvalidParameter, match="one of SGLD"):
        estimate(moved, rng=stream(2, "algorithm"), previous=Projection(moved.x))


@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_whole_runs_with_minibatches(estimate: Any) -> None:
    f = LeastSquares(P.LEAST_SQUARES_2.A, P.LEAST_SQUARES_2.b)
    batches = minibatches(f, 3, stream(1, "batches"))
    run = two_step(
        (next(batches) for _ in range(4)),
        X,
        tau=0.1,
        project=estimate,
        rng=stream(1, "algorithm"),
    )
    path = np.array([iterate.x for iterate in run])
    assert path.shape == (4, 2)
    assert np.isfinite(path).all()
    assert len(np.unique(path, axis=0)) == 4


def test_importance_refuses_a_fresh_minibatch_for_every_weight() -> None:
    f = Resampled(
        LeastSquares(P.LEAST_SQUARES_2.A, P.LEAST_SQUARES_2.b), 2, stream(1, "batches")
    )
    with pytest.raises(InvalidParameter, match="one minibatch"):
        ImportanceSampling(10)(law(f), rng=stream(1, "algorithm"))
    for estimate in (SGLD(5, Constant(0.1)), RobbinsMonro(5, Constant(0.1), 2)):
        assert np.isfinite(estimate(law(f), rng=stream(1, "algorithm")).x).all()


# --- weights --------------------------------------------------------------------------


def test_the_mean_weight_estimates_local_entropy() -> None:
    """Eight standard errors of J = 10^5 samples: a false alarm once in 10^15 runs."""
    f = loss_of(P.QUADRATIC_2)
    found = ImportanceSampling(100_000)(law(f), rng=stream(9, "algorithm")).info
    exact = f.local_entropy(X, 0.5)
    assert abs(found.local_entropy - exact) < 8 * found.local_entropy_error
    assert 0 < found.local_entropy_error < 0.02


@pytest.mark.parametrize("J", [2, 3, 50])
def test_the_standard_error_is_that_of_the_weights(J: int) -> None:
    """sd(w) / (mean(w) sqrt(J)), by NumPy's own standard deviation."""
    estimate = ImportanceSampling(J, keep_weights=True)
    found = estimate(law(loss_of(P.QUADRATIC_2)), rng=stream(9, "algorithm")).info
    w = found.normalised
    expected = w.std(ddof=1) / (w.mean() * np.sqrt(J))
    assert found.local_entropy_error == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_piece_of_the_samples_has_a_stream_of_its_own(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """104 samples in d = 2, blocks of 8 numbers: six pieces of 16 samples, one of 8."""
    monkeypatch.setattr("refimpl.noise.BLOCK", 8)
    f, rng = loss_of(P.QUADRATIC_2), stream(9, "algorithm")
    estimate = ImportanceSampling(104, workers, keep_weights=True)
    found = estimate(law(f), rng=stream(9, "algorithm"))
    streams = zip(rng.spawn(7), [16] * 6 + [8], strict=True)
    own = [child.standard_normal((n, 2)) for child, n in streams]
    y = np.array(X) + np.sqrt(0.5) * np.concatenate(own)
    w = np.exp(-f(y)) / np.exp(-f(y)).sum()
    assert np.allclose(found.x, w @ y, rtol=1e-13, atol=0)
    assert np.allclose(found.info.normalised, w, rtol=1e-12, atol=0)


def test_one_sample_has_no_standard_error() -> None:
    found = ImportanceSampling(1)(
        law(loss_of(P.QUADRATIC_2)), rng=stream(9, "algorithm")
    )
    assert found.info.local_entropy_error == np.inf


def test_blocks_without_a_weight_are_merged_with_the_others() -> None:
    z = stream(1, "algorithm").standard_normal((3, 2))
    some, none = (
        weighed(np.array([0.5, -np.inf, 1.5]), z),
        weighed(np.full(3, -np.inf), z),
    )
    assert_sums(none, -np.inf, 0.0, 0.0, np.zeros(2), 3)
    short = weighed(np.full(2, -np.inf), z[:2])
    assert_sums(none.merged(short), -np.inf, 0.0, 0.0, np.zeros(2), 5)
    w = np.array([np.exp(-1.0), 0.0, 1.0])
    for merged in (some.merged(short), short.merged(some)):
        assert_sums(merged, 1.5, w.sum(), w @ w, w @ z, 5)


def assert_sums(
    sums: WeightedSums, top: float, mass: float, squares: float, moment: Any, count: int
) -> None:
    assert (sums.top, sums.count) == (top, count)
    assert sums.mass == pytest.approx(mass, rel=1e-14)
    assert sums.squares == pytest.approx(squares, rel=1e-14)
    assert np.shape(sums.moment) == np.shape(moment)
    assert np.allclose(sums.moment, moment, rtol=1e-14, atol=1e-15)


def test_collapsed_weights_show_in_the_effective_sample_size() -> None:
    steep = Quadratic(1e6, [0.0, 0.0])
    found = ImportanceSampling(500)(law(steep), rng=stream(1, "algorithm"))
    assert np.isfinite(found.x).all()
    assert 1 <= found.info.effective_sample_size < 1.5
    flat = ImportanceSampling(500)(
        law(Quadratic(0.0, [0.0, 0.0])), rng=stream(1, "algorithm")
    )
    assert flat.info.effective_sample_size == pytest.approx(500)


def test_a_shift_of_f_changes_no_weight() -> None:
    for c in (800.0, -800.0):
        low = ImportanceSampling(50)(
            law(Quadratic(1.0, [0.0, 0.0])), rng=stream(1, "algorithm")
        )
        high = ImportanceSampling(50)(
            law(Quadratic(1.0, [0.0, 0.0], c)), rng=stream(1, "algorithm")
        )
        # log-weights of size 800 are rounded to 800 u, and there are fifty of them
        assert np.allclose(low.x, high.x, rtol=0, atol=800 * 50 * 2**-53)
        shift = high.info.local_entropy - low.info.local_entropy
        assert shift == pytest.approx(c, rel=1e-13)


class Walled:
    """Zero in a ball, otherwise what it is told."""

    d = 2

    def __init__(self, outside: float, radius: float = 0.5) -> None:
        self.outside, self.radius = outside, radius

    def __call__(self, y: Any) -> Any:
        far = np.linalg.norm(np.asarray(y) - np.array(X), axis=-1) > self.radius
        return np.where(far, self.outside, 0.0)

    def gradient(self, y: Any) -> Any:
        return np.zeros_like(y)


def test_infinite_values() -> None:
    walled = ImportanceSampling(200)(law(Walled(np.inf)), rng=stream(1, "algorithm"))
    assert np.linalg.norm(walled.x - np.array(X)) < 0.5
    with pytest.raises(NonFinite, match="no weight is left"):
        ImportanceSampling(20)(law(Walled(np.inf, 0.0)), rng=stream(1, "algorithm"))
    for bad in (np.nan, -np.inf):
        with pytest.raises(NonFinite, match="smaller tau"):
            ImportanceSampling(20)(law(Walled(bad)), rng=stream(1, "algorithm"))


# --- divergence -----------------------------------------------------------------------


def test_divergence_names_the_step_and_the_remedy() -> None:
    rng = stream(1, "algorithm")
    with pytest.raises(NonFinite, match=r"inner step \d+, with epsilon_\d+ = 50"):
        SGLD(1000, Constant(50.0))(law(Quadratic(2.0, [0.0, 0.0])), rng=rng)
    with pytest.raises(NonFinite, match=r"inner step \d+, with a\^\d+ = 40"):
        RobbinsMonro(1000, Constant(40.0), 2)(law(Quadratic(2.0, [0.0, 0.0])), rng=rng)
    with pytest.raises(NonFinite, match="inner step"):
        SGLD(1000, Constant(5.0))(law(loss_of(P.QUARTIC_2)), rng=rng)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_step_that_overflows_is_named(sign: float) -> None:
    """A slope of 1e308 moves a chain by 1e308 at a time: the second move is too far."""
    downhill = Linear([0.0, sign * 1e308])
    with pytest.raises(NonFinite, match=r"inner step 2, with epsilon_2 = 2 and"):
        langevin(
            downhill,
            np.zeros(2),
            1e300,
            np.full(5, 2.0),
            iter(np.zeros((4, 1, 2))),
            start=np.zeros((1, 2)),
        )


def test_the_step_at_which_a_descent_overflows_is_named() -> None:
    """y = -9e307 after one move; there the bracket is -8e307, nine times too far."""
    with pytest.raises(NonFinite, match=r"inner step 2, with a\^2 = 9 and"):
        robbins_monro(
            Linear([0.0, 1e307]),
            np.zeros(2),
            1.0,
            np.full(4, 9.0),
            1,
            iter([[np.zeros((1, 1, 2))]] * 4),
            start=np.zeros((1, 2)),
        )


def test_the_core_leaves_the_first_states_alone() -> None:
    start, noise = np.ones((3, 1)), iter(np.ones((4, 3, 1)))
    langevin(Linear([1.0]), np.zeros(1), 1.0, np.full(5, 0.5), noise, start=start)
    assert (start == 1).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SGLD(2, Constant(0.1), noise="sd"), "noise must be"),
        (lambda: SGLD(2, Constant(0.1), output="sum"), "output must be"),
        (lambda: ImportanceSampling(0), "J must be at least 1"),
        (lambda: ImportanceSampling(2, noise="sd"), "noise must be"),
        (lambda: RobbinsMonro(0, Constant(0.1), 2), "J must be at least 1"),
        (lambda: RobbinsMonro(5, Constant(0.1), 2, noise="sd"), "noise must be"),
        (lambda: SGLD(0, Constant(0.1)), "J must be at least 1"),
        (lambda: SGLD(2.5, Constant(0.1)), "J must be a whole number"),
        (lambda: SGLD(2, Constant(0.1), start="warm"), "start must be"),
        (lambda: SGLD(2, Constant(0.1), chain="both"), "chain must be"),
        (lambda: ImportanceSampling(10, workers=0), "workers must be at least 1"),
        (lambda: RobbinsMonro(5, Constant(0.1), 0), "M must be at least 1"),
        (lambda: HeatSGD(-1), "M must be at least 1"),
    ],
)
def test_bad_records_are_refused(make: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        make()


def test_the_evaluations_of_the_gradient_are_counted() -> None:
    chain = SGLD(6, Constant(0.1))(law(), rng=stream(1, "algorithm"))
    descent = RobbinsMonro(6, Constant(0.1), 4)(law(), rng=stream(1, "algorithm"))
    assert (chain.info.gradients, descent.info.gradients) == (5, 24)


def test_one_state_is_the_centre() -> None:
    found = SGLD(1, Constant(0.1))(law(), rng=stream(1, "algorithm"))
    assert (found.x == np.array(X)).all()
    assert found.info.gradients == 0


# --- memory ---------------------------------------------------------------------------


@large
@pytest.mark.parametrize(
    "estimate",
    [
        SGLD(600, Harmonic(1e4)),
        ImportanceSampling(600, workers=2),
        RobbinsMonro(20, PowerLaw(0.01, 0.7), 30),
    ],
)
def test_no_array_of_all_samples_is_formed(estimate: Any) -> None:
    """600 samples of d = 40,000 would be 192 MB; the peak stays below a tenth."""
    d = 40_000
    q = GibbsLaw(Quadratic(0.5, np.zeros(d)), np.full(d, 0.01), 1e-4)
    tracemalloc.start()
    try:
        estimate(q, rng=stream(1, "algorithm"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 19.2e6


# --- what they estimate ---------------------------------------------------------------


def test_heat_sgd_is_unbiased_for_a_step_on_heat() -> None:
    """On a quadratic the estimate is N(grad f, tau H^2/M): eight standard errors."""
    f = loss_of(P.QUADRATIC_2)
    M = 20_000
    found = HeatSGD(M)(law(f), rng=stream(3, "algorithm")).x
    exact = np.array(X) - 0.5 * f.gradient(X)
    error = 0.5 * np.sqrt(0.5 / M) * np.linalg.norm(P.QUADRATIC_2.H, axis=0)
    assert (np.abs(found - exact) < 8 * error).all()


def test_on_a_flat_loss_all_find_the_centre_of_phi() -> None:
    flat = Quadratic(0.0, [0.0, 0.0])
    exact = ExactMean()(law(flat)).x
    assert (exact == np.array(X)).all()
    found = RobbinsMonro(20, PowerLaw(0.5, 0.7), 3)(
        law(flat), rng=stream(1, "algorithm")
    )
    assert (found.x == exact).all()
    assert (found.info.h == 0).all()


# --- replicates -----------------------------------------------------------------------


@pytest.mark.parametrize("estimate", ESTIMATORS[:4])
def test_replicates_are_independent_estimates(estimate: Any) -> None:
    many = estimate.replicates(law(), 5, rng=stream(5, "algorithm"))
    assert many.shape == (5, 2)
    assert len(np.unique(many, axis=0)) == 5
    one = estimate.replicates(law(), 1, rng=stream(5, "algorithm"))
    assert (one[0] == estimate(law(), rng=stream(5, "algorithm")).x).all()
    with pytest.raises(InvalidParameter, match="n must be"):
        estimate.replicates(law(), 0, rng=stream(5, "algorithm"))


def test_kept_weights_are_those_of_the_estimate() -> None:
    kept = ImportanceSampling(50, keep_weights=True)
    found = kept(law(), rng=stream(5, "algorithm"))
    plain = ImportanceSampling(50)(law(), rng=stream(5, "algorithm"))
    w = found.info.normalised
    assert (found.x == plain.x).all()
    assert plain.info.normalised is None
    # fifty rounded terms in either sum
    assert abs(w.sum() - 1) < 100 * 2**-53
    size = found.info.effective_sample_size
    assert abs(size * (w @ w) - 1) < 200 * 2**-53


def test_a_path_has_its_start_and_every_state() -> None:
    run = RobbinsMonro(6, PowerLaw(0.5, 0.7), 3, trace=True)
    found = run(law(), rng=stream(5, "algorithm"))
    assert found.info.trace.shape == (7, 2)
    assert (found.info.trace[0] == law().x).all()
    assert (found.info.trace[-1] == found.x).all()


# --- what a sampler is given ----------------------------------------------------------


@pytest.mark.parametrize("estimate", ESTIMATORS)
@pytest.mark.parametrize("bad", [None, 3, np.random.PCG64(3)])
def test_only_a_generator_is_a_source_of_noise(estimate: Any, bad: Any) -> None:
    said = f"^rng must be a numpy.random.Generator, got {type(bad).__name__}$"
    with pytest.raises(InvalidParameter, match=said):
        estimate(law(), rng=bad)
    if hasattr(estimate, "replicates"):
        with pytest.raises(InvalidParameter, match=said):
            estimate.replicates(law(), 2, rng=bad)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SGLD(5, 0.1), "epsilon must be a schedule such as Constant"),  # type: ignore[arg-type]
        (lambda: RobbinsMonro(5, 0.1, 2), "a must be a schedule such as Constant"),  # type: ignore[arg-type]
    ],
)
def test_a_number_is_no_schedule(make: Any, said: str) -> None:
    with pytest.raises(InvalidParameter, match=rf"^{said}\(0\.1\), got 0\.1$"):
        make()


@pytest.mark.parametrize("bad", [-0.2, np.nan, np.inf, 0.0])
def test_a_bad_last_step_is_refused(bad: float) -> None:
    def schedule(j: Any) -> Any:
        return np.where(j == 3, bad, 0.1)

    for estimate in (SGLD(3, schedule), RobbinsMonro(3, schedule, 2)):
        with pytest.raises(InvalidParameter, match=f"got {bad} at step 3$"):
            estimate(law(), rng=stream(1, "algorithm"))
        with pytest.raises(InvalidParameter, match=f"got {bad} at step 3$"):
            estimate.replicates(law(), 2, rng=stream(1, "algorithm"))


# --- the ends of the numbers: every NumPy warning is an error in this suite -----------


def test_overflow_is_refused_without_a_warning() -> None:
    rng, f = stream(1, "algorithm"), Quadratic(1e10, [0.0, 0.0])
    with pytest.raises(NonFinite, match="a step of HeatSGD"):
        HeatSGD(3)(law(f, 1e300), rng=rng)
    with pytest.raises(NonFinite, match="no weight is left"):
        ImportanceSampling(20)(law(f, 1e300), rng=rng)
    for J in (1, 2, 5):  # J = 1: the weighted sum alone overflows, 1e308 times 1.3e1
        far = GibbsLaw(Quadratic(0.0, [0.0, 0.0]), np.array([13.0, 1.0]), 1e300)
        with pytest.raises(NonFinite, match="representable"):
            SGLD(J, Constant(1e308))(far, rng=rng)
    with pytest.raises(NonFinite, match="representable"):
        RobbinsMonro(5, Constant(1e308), 2)(law(f), rng=rng)


def test_a_sum_of_steps_that_overflows_is_no_divisor() -> None:
    """A finite sum over an infinite one is zero, and the mean is not zero."""
    centre = np.array([2.0**-60])
    with pytest.raises(NonFinite, match="sums of epsilon_j"):
        langevin(
            Quadratic(0.0, [0.0]),
            centre,
            1e308,
            np.full(2, 1e308),
            iter(np.zeros((1, 1, 1))),
            start=centre[None],
        )


def test_log_weights_of_any_size_are_compared_without_a_warning() -> None:
    """Half the values are 1e308 and half -1e308: their difference is no number."""

    class Cliff:
        d = 1

        def __call__(self, y: Any) -> Any:
            return np.where(np.asarray(y)[..., 0] > 0, 1e308, -1e308)

        def gradient(self, y: Any) -> Any:
            return np.zeros_like(y)

    q = GibbsLaw(Cliff(), np.zeros(1), 1.0)
    found = ImportanceSampling(64, keep_weights=True)(q, rng=stream(1, "algorithm"))
    assert found.x[0] < 0
    z = stream(1, "algorithm").spawn(1)[0].standard_normal(64)
    assert found.info.effective_sample_size == pytest.approx((z <= 0).sum())
    assert ((found.info.normalised == 0) == (z > 0)).all()
    low, high = (
        algorithm4.weighed(np.full(1, top), np.ones((1, 1))) for top in (-1e308, 1e308)
    )
    for merged in (low.merged(high), high.merged(low)):
        assert (merged.top, merged.mass, merged.count) == (1e308, 1.0, 2)


# --- what the diagnostics do not say --------------------------------------------------


def test_the_effective_sample_size_does_not_see_what_no_sample_saw() -> None:
    """J/rho is 0.09: whatever is said, it is at least 1 and the error at most 1."""
    q = GibbsLaw(Quadratic(1.0, np.zeros(50)), np.full(50, 0.5), 1.0)
    assert importance_law(q.f, q.x, q.tau, 1000).effective_sample_size < 0.1
    found = ImportanceSampling(1000)(q, rng=stream(1, "algorithm")).info
    assert found.effective_sample_size >= 1
    assert found.local_entropy_error <= 1


def test_a_chain_may_diverge_and_be_finite() -> None:
    """epsilon (L + 1/tau) = 8: a state grows by a factor 3, of either sign."""
    q = GibbsLaw(Quadratic(1.0, [0.0]), np.array([1.0]), 1.0)
    found = SGLD(100, Constant(4.0), trace=True)(q, rng=stream(1, "algorithm"))
    assert np.isfinite(found.x).all()
    assert abs(found.info.last[0]) > 3.0**90
