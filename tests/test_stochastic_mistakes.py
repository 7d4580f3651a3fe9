"""The faulty Algorithms 3, 4 and 5: right without a fault, wrong with each of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from verification.checks._kit import EXACT, ROUNDED
from verification.losses import GaussianMixture, LeastSquares, Quadratic, Quartic
from verification.mistakes import CATALOGUE, Mistake, planted
from verification.mistakes._training import Loop
from verification.mistakes.importance import IMPORTANCE, Importance
from verification.mistakes.langevin import LANGEVIN, Langevin
from verification.mistakes.robbins_monro import (
    ROBBINS_MONRO,
    RobbinsMonro,
    power,
    recovered,
)
from verification.mistakes.running import REPLICATED, RUNNING, looped
from verification.subject import Witness
from verification.truth import replay

Array = NDArray[np.float64]

N, J, M, WORKERS = 3, 5, 3, 4
X, START, TAU = np.array([0.8125, -1.3125]), np.array([-0.25, 0.5]), 0.625
EPSILON = np.array([5.0, 2.5, 7.0, 1.5, 4.0]) / 16
POWERS = power(0.3125, 0.75, np.arange(1.0, J + 1))
QUARTIC = Quartic([1.0, 0.5], [0.25, -0.375], [-1.5, 0.75], 0.375)
QUADRATIC = Quadratic([[2.0, 0.625], [0.625, 0.875]], [0.3125, -0.8125], 800.0)
MIXTURE = GaussianMixture(
    [0.375, 0.625], [[-1.0, 0.75], [1.25, 0.5]], [np.eye(2) / 2, [[0.5, 0.1], [0.1, 1]]]
)
SUM = LeastSquares(
    [[1.0, 0.5], [-0.75, 1.25], [0.25, -1.5], [1.5, 1.0], [-0.5, 0.375]],
    [0.5, -1.0, 1.75, 0.25, -0.625],
)
LOSSES = (QUARTIC, QUADRATIC, MIXTURE, SUM)
BATCHES = np.array([[0, 3], [1, 4], [2, 0], [3, 4]])
TAUS = [0.75, 0.5, 0.375, 0.3125]


def normals(*shape: int, seed: int = 5) -> Array:
    """Normals of which the first is far out, so that clipping shows."""
    z = np.random.default_rng(seed).standard_normal(shape)
    z.flat[0] = -2.75
    return z


CHAIN = normals(N, J - 1, 2)
SAMPLES = normals(N, J, 2)
DESCENT = normals(N, J, M, 2)
#: Of each method its arguments after the loss, and its keywords.
GIVEN: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "sgld_mean": ((X, TAU, EPSILON), {"start": START, "draws": CHAIN}),
    "sgld_trace": ((X, TAU, EPSILON), {"start": START, "draws": CHAIN}),
    "robbins_monro": ((X, TAU, POWERS, M), {"start": START, "draws": DESCENT}),
    "robbins_monro_trace": ((X, TAU, POWERS, M), {"start": START, "draws": DESCENT}),
    "importance_mean": ((X, TAU, J), {"workers": WORKERS, "draws": SAMPLES}),
    "importance_weights": ((X, TAU, J), {"workers": WORKERS, "draws": SAMPLES}),
}
SHAPES = {
    "sgld_mean": (N, 2),
    "sgld_trace": (N, J, 2),
    "robbins_monro": (N, 2),
    "robbins_monro_trace": (N, J + 1, 2),
    "importance_mean": (N, 2),
    "importance_weights": (N, J),
}
RUNS: dict[str, list[Array]] = {
    "sgld": [normals(J - 1, 2, seed=k) for k in range(4)],
    "importance": [normals(J, 2, seed=k) for k in range(4)],
    "robbins_monro": [normals(J, M, 2, seed=k) for k in range(4)],
}
METHOD_OF = {"S": "sgld", "H": "robbins_monro", "I": "importance"}


def record(method: str, start: str = "centre") -> dict[str, Any]:
    steps = POWERS if method == "robbins_monro" else EPSILON
    return {
        "tau": TAUS,
        "step_sizes": list(steps),
        "inner_samples": M,
        "samples": J,
        "workers": WORKERS,
        "start": start,
    }


def _indices(total: int, size: int, batches: int, *, seed: Any = None) -> Any:
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(total, size, replace=False) for _ in range(batches)])


def _schedule(kind: str, parameters: Any, count: int) -> Any:
    j = np.arange(1.0, count + 1)
    return power(*parameters, j) if kind == "power" else 1 / (parameters[0] + j)


#: The routines without a fault, as a subject.
PLAIN = SimpleNamespace(
    name="plain",
    dtype="float64",
    conventions={"sgld.chain": "literal", "scoping.origin": "1"},
    sgld_mean=partial(Langevin().mean, None),
    sgld_trace=partial(Langevin().trace, None),
    robbins_monro=partial(RobbinsMonro().last, None),
    robbins_monro_trace=partial(RobbinsMonro().trace, None),
    importance_mean=partial(Importance().mean, None),
    importance_weights=partial(Importance().weights, None),
    train=partial(looped(Loop())["train"], None),
    minibatch_indices=_indices,
    step_schedule=_schedule,
)


def ask(subject: Any, method: str, loss: Any = QUARTIC, **more: Any) -> Array:
    arguments, keywords = GIVEN[method]
    return np.asarray(getattr(subject, method)(loss, *arguments, **keywords | more))


def own(subject: Any, method: str, **more: Any) -> Array:
    """With its own randomness."""
    return ask(subject, method, draws=None, **{"n": N} | more)


def train(
    subject: Any,
    method: str,
    start: str = "previous",
    batches: Any = BATCHES,
    **more: Any,
) -> Array:
    settings = {"batches": batches, "draws": RUNS[method], **more}
    return np.asarray(
        subject.train(SUM, X, method, record(method, start), **settings),
    )


# --- without a fault they are the algorithms


def same(obtained: Array, run: Callable[[Any], Any]) -> None:
    """Within 4 B u of the truth, B the running error bound of the same replay."""
    truth = np.array(run(EXACT), dtype=object).ravel()
    bounds = [float(entry.err) for entry in np.array(run(ROUNDED), dtype=object).flat]
    error = np.abs(obtained.ravel() - truth).astype(float)
    tolerance = 4 * 2.0**-53 * (np.array(bounds) + np.abs(truth).astype(float))
    assert (error <= tolerance).all(), (error / tolerance).max()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_algorithm_3_without_a_fault(loss: Any) -> None:
    for start in (None, START):
        states = ask(PLAIN, "sgld_trace", loss, start=start)
        means = ask(PLAIN, "sgld_mean", loss, start=start)
        for i, z in enumerate(CHAIN):
            setting = (loss, X, TAU, EPSILON.tolist(), z.tolist(), start)
            same(means[i], lambda c, s=setting: replay.langevin(c, *s).output)
            same(states[i], lambda c, s=setting: replay.langevin(c, *s).states)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_algorithm_4_without_a_fault(loss: Any) -> None:
    for workers in (1, 3, WORKERS, 7):
        means = ask(PLAIN, "importance_mean", loss, workers=workers)
        weights = ask(PLAIN, "importance_weights", loss, workers=workers)
        for i, z in enumerate(SAMPLES):
            setting = (loss, X, TAU, z.tolist())
            same(means[i], lambda c, s=setting: replay.importance(c, *s)[0])
            same(weights[i], lambda c, s=setting: replay.importance(c, *s)[1])


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_algorithm_5_without_a_fault(loss: Any) -> None:
    for start in (None, START):
        lasts = ask(PLAIN, "robbins_monro", loss, start=start)
        states = ask(PLAIN, "robbins_monro_trace", loss, start=start)
        for i, z in enumerate(DESCENT):
            setting = (loss, X, TAU, POWERS.tolist(), z.tolist(), start)
            same(lasts[i], lambda c, s=setting: replay.robbins_monro(c, *s).output)
            same(states[i], lambda c, s=setting: replay.robbins_monro(c, *s).states)


@pytest.mark.parametrize("batches", [None, BATCHES], ids=["whole", "minibatches"])
@pytest.mark.parametrize("start", ["centre", "previous"])
@pytest.mark.parametrize("method", RUNS)
def test_whole_runs_without_a_fault(method: str, start: str, batches: Any) -> None:
    rows = None if batches is None else batches.tolist()
    setting = (SUM, X, method, record(method, start))
    draws = [z.tolist() for z in RUNS[method]]
    path = train(PLAIN, method, start, batches)
    assert np.array_equal(path[0], X)
    same(path[1:], lambda c: replay.train(c, *setting, draws, rows)[1:])


def test_draws_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"draws must be \(n, 4, ...\)"):
        ask(PLAIN, "sgld_mean", draws=SAMPLES)


# --- with a fault they are something else

FAMILIES = {"S": LANGEVIN, "H": ROBBINS_MONRO, "I": IMPORTANCE}
PLANTED = [mistake for family in FAMILIES.values() for mistake in family]
#: Where the generic problem hides a mistake.
SHOWN_BY = {"S29": QUADRATIC, "I06": QUADRATIC}
SEEN = 1e-9
"""Far above rounding here, and far below float32, the smallest of the mistakes."""


def gap(a: Array, b: Array) -> float:
    return float(np.nan_to_num(np.abs(a - b), nan=np.inf).max())


def by_id(mistakes: Any) -> Any:
    return pytest.mark.parametrize("mistake", mistakes, ids=lambda one: one.id)


def test_the_catalogue_has_all_of_them() -> None:
    for letter, count in {"S": 40, "H": 25, "I": 21}.items():
        ids = [f"{letter}{i:02}" for i in range(1, count + 1)]
        assert [mistake.id for mistake in FAMILIES[letter]] == ids
    order = "".join(dict.fromkeys(name[0] for name in CATALOGUE))
    assert order == "TSHIMXRL"
    assert len(CATALOGUE) == len({*CATALOGUE}) >= 85 + len(RUNNING)


@by_id(PLANTED)
def test_each_of_the_85_shows_wherever_it_is_planted(mistake: Mistake) -> None:
    wrong, loss = planted(mistake, PLAIN), SHOWN_BY.get(mistake.id, QUARTIC)
    for method in set(mistake.faults) & set(REPLICATED):
        right = ask(PLAIN, method, loss)
        assert gap(ask(wrong, method, loss), right) > SEEN, method
    for method in set(REPLICATED) - set(mistake.faults):
        right = ask(PLAIN, method, loss)
        assert np.array_equal(ask(wrong, method, loss), right), method


@by_id(PLANTED)
def test_each_of_the_85_shows_in_whole_runs_of_its_method(mistake: Mistake) -> None:
    wrong, family = planted(mistake, PLAIN), METHOD_OF[mistake.id[0]]
    loss = QUADRATIC if mistake.id in SHOWN_BY else SUM
    for method in RUNS:
        given = (loss, X, method, record(method))
        obtained = wrong.train(*given, draws=RUNS[method])
        right = PLAIN.train(*given, draws=RUNS[method])
        differs = gap(obtained, right) > SEEN
        assert differs == (method == family), method


def test_states_show_what_is_no_matter_of_the_mean() -> None:
    hidden = {m.id for m in LANGEVIN if "sgld_trace" not in m.faults}
    means = {"S09", "S10", "S11", "S12", "S13", "S14", "S15", "S16", "S17"}
    assert hidden == means | {"S20", "S36"}
    hidden = {m.id for m in ROBBINS_MONRO if "robbins_monro_trace" not in m.faults}
    assert hidden == {"H09", "H10"}


@by_id([*PLANTED, *RUNNING])
def test_answers_have_the_form_of_the_protocol(mistake: Mistake) -> None:
    witness = Witness(planted(mistake, PLAIN))
    for method in set(mistake.faults) & set(REPLICATED):
        loss = MIXTURE  # with moderate weights, also without a shift
        arguments, keywords = GIVEN[method]
        assert (
            getattr(witness, method)(loss, *arguments, **keywords, n=N).shape
            == SHAPES[method]
        )
        fresh = getattr(witness, method)(loss, *arguments, n=N)
        assert fresh.shape == SHAPES[method]
    if "train" in mistake.faults:
        for method in RUNS:
            run = witness.train(SUM, X, method, record(method), batches=BATCHES)
            assert run.shape == (len(TAUS) + 1, 2)


@by_id(PLANTED)
def test_replicates_are_rows_of_their_own(mistake: Mistake) -> None:
    wrong = planted(mistake, PLAIN)
    for method in set(mistake.faults) & set(REPLICATED) if mistake.id != "I14" else ():
        together, draws = ask(wrong, method, MIXTURE), GIVEN[method][1]["draws"]
        for i in range(N):
            alone = ask(wrong, method, MIXTURE, draws=draws[i : i + 1])
            assert gap(alone[0], together[i]) <= 1e-13 * np.abs(together[i]).max()


@by_id([m for m in PLANTED if m.id not in ("S25", "H17")])  # these use no noise
def test_the_same_seed_gives_the_same_and_another_does_not(mistake: Mistake) -> None:
    wrong = planted(mistake, PLAIN)
    for method in set(mistake.faults) & set(REPLICATED):
        first = own(wrong, method, loss=MIXTURE, seed=3)
        assert np.array_equal(own(wrong, method, loss=MIXTURE, seed=3), first)
        for seed in (4, None) if method != "importance_weights" else ():
            # random signs, the coarsest, agree with probability 2^-24 (24 of them)
            assert gap(own(wrong, method, loss=MIXTURE, seed=seed), first) > 0
            assert len(np.unique(first, axis=0)) > 1


# --- they are the mistakes of the published table

#: Nats per replicate of Algorithm 3 with the fault against the algorithm, as printed:
#: H = [[2, .6], [.6, .9]], m = (.3, -.8), epsilon = (100, 64, 100, 64)/64, tau = 1/2,
#: x = (3.5, -3).
NATS = {
    "S01": 54.3, "S02": 493, "S03": 0.1, "S04": 0.307, "S05": 1.96, "S06": 0.273,
    "S07": 0.777, "S08": 11.7, "S09": 103, "S10": 1.46, "S11": 943, "S12": 4.43,
    "S14": 1.69, "S15": 3.87, "S16": 0.535, "S17": 5.82, "S18": 2.06, "S19": 7.22,
    "S20": 0.358, "S21": 4.4, "S22": 4.27, "S23": 0.841, "S24": 0.351,
    "S25": np.inf, "S26": 0.363, "S27": 0.275, "S28": 8.7e3, "S29": 2.54, "S30": 3.38,
    "S31": 89.7, "S32": 0.0864, "S33": 0.128, "S34": 0.193, "S35": 2.07, "S36": 1.21,
    "S37": 830,
}  # fmt: skip


def law(fault: Any) -> tuple[Array, Array]:
    """Mean and covariance of an output that is affine in its draws."""
    loss = Quadratic([[2.0, 0.6], [0.6, 0.9]], [0.3, -0.8])
    setting = (loss, [3.5, -3.0], 0.5, np.array([100, 64, 100, 64]) / 64)
    impulses = np.concatenate([np.zeros((1, 3, 2)), np.eye(6).reshape(6, 3, 2)])
    mean, *responses = fault(None, *setting, draws=impulses)
    slopes = np.array(responses) - mean
    return mean, slopes.T @ slopes


@pytest.mark.parametrize("name", NATS)
def test_divergences_are_those_of_the_table(name: str) -> None:
    mean, covariance = law(Langevin().mean)
    wrong_mean, wrong_covariance = law(CATALOGUE[name].faults["sgld_mean"])
    shift = mean - wrong_mean
    solved = np.linalg.solve(covariance, np.column_stack([wrong_covariance, shift]))
    logs = np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(wrong_covariance)[1]
    nats = 0.5 * (np.trace(solved[:, :2]) + shift @ solved[:, 2] - 2 + logs)
    # printed with three digits, of which trailing zeros are left out
    assert float(f"{nats:.3g}") == pytest.approx(NATS[name], rel=6e-3)


# --- what single mistakes do


def fault(name: str, method: str) -> Any:
    return partial(CATALOGUE[name].faults[method], PLAIN)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("H05", [0.25 * j**0.75 for j in range(1, J + 1)]),
        ("H06", [0.25] * J),
        ("H14", [0.25 * (j + 1) ** -0.75 for j in range(1, J + 1)]),
        ("H16", [0.25 * np.exp(-0.75 * j) for j in range(1, J + 1)]),
        ("H22", [0.25 / (1 + 0.75 * (j - 1)) for j in range(1, J + 1)]),
    ],
)
def test_schedules_are_recovered_from_their_steps(name: str, steps: Any) -> None:
    given = [0.25 * j**-0.75 for j in range(1, J + 1)]
    assert recovered(given) == pytest.approx((0.25, 0.75), rel=1e-14)
    arguments = (QUARTIC, X, TAU)
    wrong = fault(name, "robbins_monro")(*arguments, given, M, draws=DESCENT)
    right = PLAIN.robbins_monro(*arguments, steps, M, draws=DESCENT)
    np.testing.assert_allclose(wrong, right, rtol=1e-12)
    schedule = fault(name, "step_schedule")
    np.testing.assert_allclose(schedule("power", (0.25, 0.75), J), steps, rtol=1e-14)
    np.testing.assert_array_equal(schedule("harmonic", (8.0,), 2), [1 / 9, 1 / 10])


def test_schedules_of_one_step_and_of_growing_steps() -> None:
    assert recovered([0.5]) == (0.5, 1.0)
    assert recovered([0.25, 0.5]) == (0.25, -1.0)
    for name in ("H05", "H06", "H14", "H16", "H22"):
        for steps in ([0.25], [0.25, 0.5, 0.125, 0.25, 0.375]):
            z = DESCENT[:, : len(steps)]
            assert np.isfinite(
                fault(name, "robbins_monro")(QUARTIC, X, TAU, steps, M, draws=z)
            ).all()


def test_longer_and_shorter_runs() -> None:
    again = np.concatenate([CHAIN, CHAIN[:, -1:]], axis=1)
    longer = np.append(EPSILON, EPSILON[-1])
    wrong = fault("S13", "sgld_mean")(QUARTIC, X, TAU, EPSILON, draws=CHAIN)
    right = PLAIN.sgld_mean(QUARTIC, X, TAU, longer, draws=again)
    assert np.array_equal(wrong, right)
    alone = fault("S13", "sgld_mean")(QUARTIC, X, TAU, [0.25], draws=CHAIN[:, :0])
    assert alone.shape == (N, 2)  # nothing to repeat: a move without noise

    given = (QUARTIC, X, TAU)
    again = np.concatenate([DESCENT, DESCENT[:, -1:]], axis=1)
    longer = power(0.3125, 0.75, np.arange(1.0, J + 2))
    wrong = fault("H09", "robbins_monro")(*given, POWERS, M, draws=DESCENT)
    right = PLAIN.robbins_monro(*given, longer, M, draws=again)
    np.testing.assert_allclose(wrong, right, rtol=1e-13)
    wrong = fault("H08", "robbins_monro_trace")(*given, POWERS, M, draws=DESCENT)
    right = PLAIN.robbins_monro_trace(*given, POWERS[:-1], M, draws=DESCENT[:, :-1])
    assert np.array_equal(wrong[:, :-1], right)
    assert np.array_equal(wrong[:, -1], right[:, -1])


def test_workers_matter_where_they_should() -> None:
    one = {"I07", "I08", "I12", "M17"}  # right for a single worker
    for name in {*one, "I11", "M18"}:
        wrong = planted(CATALOGUE[name], PLAIN)
        for method in ("importance_mean", "importance_weights"):
            alone = ask(wrong, method, workers=1)
            assert gap(alone, ask(wrong, method)) > SEEN
            right = ask(PLAIN, method, workers=1)
            assert (gap(alone, right) <= 1e-15) == (name in {*one, "M18"}), name
    weights = ask(planted(CATALOGUE["M18"], PLAIN), "importance_weights")
    assert (weights[:, J - J % WORKERS :] == 0).all()
    weights = ask(planted(CATALOGUE["I11"], PLAIN), "importance_weights", workers=2)
    assert (weights[:, [2, 4]] == 0).all()


def test_weights_without_shift_break_where_f_is_large() -> None:
    wrong = planted(CATALOGUE["I06"], PLAIN)
    assert gap(ask(wrong, "importance_mean"), ask(PLAIN, "importance_mean")) < 1e-13
    for c in (800.0, -800.0):
        loss = Quadratic(QUADRATIC.H, QUADRATIC.m, c)
        assert np.isnan(ask(wrong, "importance_mean", loss)).all()


def test_draws_of_other_laws_have_the_right_moments() -> None:
    z = np.random.default_rng(1).standard_normal((2, 20_000, 1))
    uniform, clipped, signs = (
        next(m for m in LANGEVIN if m.id == name).faults["sgld_trace"].__self__.noise(z)
        for name in ("S38", "S39", "S40")
    )
    assert np.abs(uniform).max() < np.sqrt(3.0)
    assert np.abs(clipped).max() == 2.0
    assert set(np.unique(signs)) == {-1.0, 1.0}
    # six standard errors of the variance, that of z^2 being at most 2
    for noise in (uniform, signs):
        assert abs(noise.var() - 1) < 6 * np.sqrt(2 / z.size)


def test_a_resampled_mean_is_one_of_drawn_samples() -> None:
    weights = ask(planted(CATALOGUE["I14"], PLAIN), "importance_weights")
    np.testing.assert_array_equal(weights * J, np.round(weights * J))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-15)


# --- running: whole runs

IN_RUNS = {
    "M04": RUNS,
    "M13": RUNS,
    "M14": RUNS,
    "M15": ["sgld"],
    "M15C": ["sgld"],
    "M16": RUNS,
    "M17": ["importance"],
    "M18": ["importance"],
    "M19": ["sgld", "robbins_monro"],
    "M20": RUNS,
    "X01": ["sgld"],
    "X02": RUNS,
    "X09": ["sgld"],
    "X12": RUNS,
    "X13": RUNS,
    "X14": RUNS,
}


@pytest.mark.parametrize("method", RUNS)
@pytest.mark.parametrize("name", IN_RUNS)
def test_each_slip_of_a_run_shows_in_the_methods_it_concerns(
    name: str, method: str
) -> None:
    start = "centre" if name == "M15C" else "previous"
    wrong = train(planted(CATALOGUE[name], PLAIN), method, start)
    right = train(PLAIN, method, start)
    assert (gap(wrong, right) > SEEN) == (method in IN_RUNS[name])


def test_what_single_slips_of_a_run_do() -> None:
    def wrong(name: str, **more: Any) -> Array:
        return train(planted(CATALOGUE[name], PLAIN), "sgld", **more)

    right = partial(train, PLAIN, "sgld")
    assert np.array_equal(wrong("M15"), right(start="centre"))
    assert np.array_equal(wrong("M15C", start="centre"), right())
    first = [RUNS["sgld"][0]] * 4
    assert np.array_equal(wrong("M16"), right(draws=first))
    assert np.array_equal(wrong("X14"), right(batches=BATCHES[[0] * 4]))
    for name in ("M04", "M13", "X02", "X14"):
        assert np.array_equal(wrong(name, batches=None), right(batches=None))
    stale = wrong("M14", start="centre")
    assert np.array_equal(stale[1], right(start="centre")[1])


def test_a_schedule_that_is_not_restarted_goes_on() -> None:
    def later(method: str, steps: Any) -> Array:
        given = {**record(method), "tau": [0.5, 0.5], "step_sizes": list(steps[:J])}
        draws = RUNS[method][:2]
        path = fault("M19", "train")(SUM, X, method, given, draws=draws)
        given = {**given, "tau": [0.5], "step_sizes": list(steps[J:])}
        right = PLAIN.train(SUM, path[1], method, given, draws=draws[1:])
        np.testing.assert_allclose(path[2], right[1], rtol=1e-12)
        return path

    j = np.arange(1.0, 2 * J + 1)
    later("sgld", 1 / (8.0 + j))
    later("robbins_monro", power(0.25, 0.75, j))


@pytest.mark.parametrize("method", RUNS)
def test_own_randomness_of_runs_follows_the_seed(method: str) -> None:
    again = partial(train, PLAIN, method, draws=None)
    assert np.array_equal(again(seed=1), again(seed=1))
    assert gap(again(seed=1), again(seed=2)) > 0
    reset = partial(train, planted(CATALOGUE["M16"], PLAIN), method, draws=None)
    assert np.array_equal(reset(seed=1), reset(seed=1))
    assert gap(reset(seed=1), again(seed=1)) > 0


# --- running: seeds, replicates, minibatches


def test_single_precision_shows_and_only_just() -> None:
    wrong = ask(planted(CATALOGUE["M11"], PLAIN), "sgld_mean")
    assert SEEN < gap(wrong, ask(PLAIN, "sgld_mean")) < 1e-5


def test_an_exponential_average() -> None:
    wrong = ask(planted(CATALOGUE["X01"], PLAIN), "sgld_mean")
    mean, *states = np.moveaxis(ask(PLAIN, "sgld_trace"), 1, 0)
    for state in states:
        mean = 0.75 * mean + 0.25 * state
    np.testing.assert_allclose(wrong, mean, rtol=1e-13)


def test_a_pull_towards_the_start_needs_another_start() -> None:
    wrong = planted(CATALOGUE["X09"], PLAIN)
    for method in ("sgld_mean", "sgld_trace"):
        right = ask(PLAIN, method)
        assert gap(ask(wrong, method), right) > SEEN
        right = ask(PLAIN, method, start=X)
        assert np.array_equal(ask(wrong, method, start=X), right)


@pytest.mark.parametrize("method", REPLICATED)
def test_seeds_and_replicates(method: str) -> None:
    def wrong(name: str, **more: Any) -> Array:
        return own(planted(CATALOGUE[name], PLAIN), method, **more)

    for name in ("X05", "X06", "X07", "X08", "X10"):
        replayed = ask(planted(CATALOGUE[name], PLAIN), method)
        assert np.array_equal(replayed, ask(PLAIN, method))
    assert gap(ask(planted(CATALOGUE["X11"], PLAIN), method, n=N), replayed) > 0
    rows = wrong("X05", seed=1)
    assert np.array_equal(rows, np.stack([rows[0]] * N))
    assert gap(wrong("X05"), wrong("X05")) > 0
    assert np.array_equal(wrong("X06"), wrong("X06"))
    assert gap(wrong("X06", seed=1), wrong("X06")) > 0
    assert gap(wrong("X07", seed=1), wrong("X07", seed=1)) > 0
    np.testing.assert_allclose(
        wrong("X08", seed=1)[1:], wrong("X08", seed=2)[:-1], rtol=1e-13
    )
    assert gap(wrong("X08"), wrong("X08")) > 0


def test_antithetic_replicates_of_a_linear_output() -> None:
    wrong = fault("X10", "sgld_mean")
    pairs = wrong(QUADRATIC, X, TAU, EPSILON, n=5, seed=2)
    centre = PLAIN.sgld_mean(QUADRATIC, X, TAU, EPSILON, draws=0 * CHAIN)[0]
    sums = pairs[:4].reshape(2, 2, 2).sum(axis=1)
    np.testing.assert_allclose(sums, [2 * centre] * 2, rtol=1e-12)


def test_seeds_of_runs_and_minibatches() -> None:
    again = planted(CATALOGUE["X06"], PLAIN)
    assert np.array_equal(
        again.minibatch_indices(9, 3, 4), again.minibatch_indices(9, 3, 4)
    )
    free = planted(CATALOGUE["X07"], PLAIN)
    # equal by chance with probability (3! 6!/9!)^40 / 6^40 < 1e-100
    first, second = (free.minibatch_indices(9, 3, 40, seed=1) for _ in range(2))
    assert not np.array_equal(first, second)
    for name, agree in (("X06", True), ("X07", False)):
        runs = [
            train(planted(CATALOGUE[name], PLAIN), "sgld", draws=None, **seed)
            for seed in ([{}] * 2 if agree else [{"seed": 1}] * 2)
        ]
        assert np.array_equal(*runs) == agree
    ignored = train(planted(CATALOGUE["X11"], PLAIN), "sgld")
    assert gap(ignored, train(PLAIN, "sgld")) > 0


def test_minibatches_that_are_no_uniform_subsets() -> None:
    rows = fault("X03", "minibatch_indices")(6, 3, 200, seed=1)
    assert rows.shape == (200, 3)
    assert (
        min(len(set(row)) for row in rows.tolist()) < 3
    )  # for any seed but one in 1e50
    rows = fault("X04", "minibatch_indices")(6, 3, 200, seed=1)
    assert set(rows.ravel()) == {1, 2, 3, 4, 5}
    assert {len(set(row)) for row in rows.tolist()} == {3}
    assert fault("X04", "minibatch_indices")(3, 3, 2).shape == (2, 3)
    rows = fault("X15", "minibatch_indices")(5, 2, 3, seed=1)
    assert rows.tolist() == [[0, 1], [2, 3], [4, 0]]


# --- planting


def test_a_planted_subject_declares_what_the_right_one_does() -> None:
    for name in ("S01", "H01", "I01", "M04", "X05"):
        assert Witness(planted(CATALOGUE[name], PLAIN)).conventions == (
            Witness(PLAIN).conventions
        )
    bare = SimpleNamespace(name="bare", dtype="float64", sgld_mean=PLAIN.sgld_mean)
    witness = Witness(planted(CATALOGUE["S01"], bare))
    assert witness.conventions["scoping.origin"] == "0"
    assert witness.provides("sgld_mean")
    assert not witness.provides("sgld_trace")
    assert not witness.provides("train")
