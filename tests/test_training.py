"""Training runs: streams by purpose, the loops they are made of, what is seen of them.

The runs are written out again from the public parts, and must be equal bit for bit.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from refimpl.errors import InvalidParameter, NonFinite
from refimpl.experiments import training
from refimpl.experiments.data import Data, Split, load
from refimpl.experiments.settings import METHODS, Setting, of_section_6
from refimpl.experiments.training import OwnStreams, State, Training
from refimpl.importance import ImportanceSampling
from refimpl.initialisations import initial
from refimpl.laws import GibbsLaw
from refimpl.losses import minibatches
from refimpl.losses.minibatch import Resampled
from refimpl.network import Network
from refimpl.robbins_monro import RobbinsMonro
from refimpl.schedules import Harmonic, PowerLaw, Scoping
from refimpl.sgld import SGLD
from refimpl.span import InSpan
from refimpl.streams import stream

pytest.importorskip("sklearn")

OWN: dict[str, dict[str, Any]] = {
    "sgd": {},
    "sgld": {"J": 20, "epsilon": 100.0},
    "is": {"J": 20},
    "hr": {"J": 4, "M": 3},
}


@cache
def digits() -> Data:
    return load("digits")


def small(method: Any, **changes: Any) -> Setting:
    base = {"sizes": (64, 5, 10), "updates": 6, "batch": 7, "evaluate_every": 2}
    return of_section_6(method, data="digits", **{**base, **OWN[method], **changes})


def states(setting: Setting) -> list[State]:
    run = Training(setting, digits())
    return [run.begin(), *run.after(run.begin())]


def plain_network(setting: Setting) -> Network:
    return Network(
        setting.sizes,
        digits().train.images,
        digits().train.labels,
        activation=setting.activation,
        reduction=setting.reduction,
    )


# --- weight updates


def test_sgd_is_a_plain_loop() -> None:
    s = small("sgd", seed=5, learning_rate=0.3)
    f = plain_network(s)
    x = initial(s.sizes, "glorot-uniform", stream(5, "initialisation"))
    for k, state in enumerate(states(s)):
        assert state.k == k
        assert np.array_equal(state.x, x)
        batch = next(minibatches(f, 7, stream(5, "batches", k)))
        x = x - 0.3 * batch.gradient(x)


PROJECTIONS = [
    (small("sgld"), InSpan(SGLD(20, Harmonic(100.0), start="previous"))),
    (
        small("sgld", in_span=False, chain="new-states", start="centre"),
        SGLD(20, Harmonic(100.0), chain="new-states"),
    ),
    (
        small("sgld", output="controlled", start="centre"),
        InSpan(SGLD(20, Harmonic(100.0), output="controlled")),
    ),
    (
        small("sgld", output="rao-blackwell", noise="standard-deviation"),
        InSpan(
            SGLD(20, Harmonic(100.0), start="previous", noise="standard-deviation"),
            output="rao-blackwell",
        ),
    ),
    (small("is"), InSpan(ImportanceSampling(20))),
    (
        small("is", reduction="sum", noise="standard-deviation"),
        InSpan(ImportanceSampling(20, noise="standard-deviation")),
    ),
    (small("hr"), InSpan(RobbinsMonro(4, PowerLaw(0.1, 0.7), 3))),
    (
        small("hr", in_span=False, noise="standard-deviation", a=(0.2, 0.6)),
        RobbinsMonro(4, PowerLaw(0.2, 0.6), 3, noise="standard-deviation"),
    ),
]


@pytest.mark.parametrize(("setting", "project"), PROJECTIONS)
def test_the_others_are_two_step_with_a_stream_for_every_update(
    setting: Setting, project: Any
) -> None:
    f, previous = plain_network(setting), None
    x = initial(setting.sizes, "glorot-uniform", stream(0, "initialisation"))
    for k, state in enumerate(states(setting)):
        assert np.array_equal(state.x, x)
        batch = next(minibatches(f, 7, stream(0, "batches", k)))
        q = GibbsLaw(batch, x, 0.01)
        previous = project(q, rng=stream(0, "algorithm", k), previous=previous)
        x = previous.x


def test_fresh_minibatches() -> None:
    s = small("hr", minibatch="per-gradient", in_span=False)
    f = plain_network(s)
    x = initial(s.sizes, "glorot-uniform", stream(0, "initialisation"))
    project = RobbinsMonro(4, PowerLaw(0.1, 0.7), 3)
    for k, state in enumerate(states(s)):
        assert np.array_equal(state.x, x)
        q = GibbsLaw(Resampled(f, 7, stream(0, "batches", k)), x, 0.01)
        x = project(q, rng=stream(0, "algorithm", k)).x


def test_a_learning_rate_other_than_tau_is_a_relaxation() -> None:
    """Remark 1, in the first update."""
    whole, half = (
        states(small("is", updates=1, learning_rate=eta)) for eta in (None, 0.005)
    )
    x = whole[0].x
    assert np.allclose(half[1].x - x, 0.5 * (whole[1].x - x), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_methods_share_the_start_and_the_minibatches(method: Any) -> None:
    run, other = (Training(small(m, seed=2), digits()) for m in (method, "sgd"))
    assert np.array_equal(run.x0, other.x0)
    y = np.linspace(-1, 1, run.f.d)
    assert [run.minibatch(k)(y) for k in range(3)] == [
        other.minibatch(k)(y) for k in range(3)
    ]
    another = Training(small(method, seed=3), digits())
    assert not np.array_equal(run.x0, another.x0)
    assert run.minibatch(0)(y) != another.minibatch(0)(y)


def test_the_methods_move_differently_and_every_update_has_its_own_noise() -> None:
    ends = {m: states(small(m)) for m in METHODS}
    lasts = [float(np.sum(ends[m][-1].x ** 2)) for m in METHODS]
    assert len(set(lasts)) == 4
    steps = np.diff([state.x for state in ends["sgld"]], axis=0)
    assert abs(np.corrcoef(steps)[0, 1]) < 0.5  # 0.996 with the same noise


# --- going on


WARM = small("sgld", start="previous", tau=(0.05, 0.1), epsilon=10.0)
AFTER_SGD = small("is", sgd_before=3, sgd_rate=0.1, tau=(0.05, 0.1), updates=4)


@pytest.mark.parametrize(
    "setting", [small("sgd"), small("hr"), WARM, AFTER_SGD], ids=lambda s: s.slug
)
def test_a_run_goes_on_from_any_state(setting: Setting) -> None:
    whole = states(setting)
    for state in whole:
        rest = list(Training(setting, digits()).after(state))
        assert [one.k for one in rest] == list(range(state.k + 1, setting.total + 1))
        for one, same in zip(rest, whole[state.k + 1 :], strict=True):
            assert np.array_equal(one.x, same.x)


def test_a_warm_start_is_no_cold_one() -> None:
    warm, cold = (states(small("sgld", start=s)) for s in ("previous", "centre"))
    assert np.array_equal(warm[1].x, cold[1].x)
    assert not np.array_equal(warm[2].x, cold[2].x)


def test_sgd_before() -> None:
    before = small("sgd", updates=7, learning_rate=0.1)
    first, whole = states(before), states(AFTER_SGD)
    for k in range(4):
        assert np.array_equal(whole[k].x, first[k].x)
    assert not np.array_equal(whole[4].x, first[4].x)
    assert whole[-1].k == 7


def test_sgd_before_is_the_same_where_f_is_the_sum() -> None:
    own = {"sgd_before": 3, "sgd_rate": 0.1, "updates": 1}
    mean, total = (states(small("is", reduction=r, **own)) for r in ("mean", "sum"))
    for k in range(4):
        assert np.array_equal(mean[k].x, total[k].x)
    assert not np.array_equal(mean[4].x, total[4].x)


def test_scoping_counts_from_the_first_regularised_update() -> None:
    schedule = Scoping(0.05, 0.1)
    tau = training.scoped(AFTER_SGD)
    assert tau(3) == 0.05
    assert tau(5) == schedule(2)
    later = training.scoped(small("is", tau=(0.05, 0.1), origin=1))
    assert later(0) == schedule(1)
    assert training.scoped(small("is"))(17) == 0.01


def test_scoping_reaches_the_estimator() -> None:
    seen: list[float] = []

    def project(q: GibbsLaw, *, rng: Any, previous: Any = None) -> Any:
        seen.append(q.tau)
        return RobbinsMonro(1, PowerLaw(0.1, 0.7), 1)(q, rng=rng)

    run = Training(AFTER_SGD, digits())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "estimator", lambda _: project)
        list(run.after(run.begin()))
    assert seen == [Scoping(0.05, 0.1)(k) for k in range(4)]


def test_an_estimator_with_its_own_streams() -> None:
    """The generator it is handed counts for nothing, and what it is told first does."""
    told: list[Any] = []

    def estimate(q: GibbsLaw, *, rng: np.random.Generator, previous: Any) -> Any:
        told.append((float(rng.random()), previous and previous.info))

    own = OwnStreams(estimate, 4, iter([7, 8]), "kept")  # type: ignore[arg-type]
    q: Any = GibbsLaw(plain_network(small("sgd")), np.zeros(385), 0.1)
    own(q, rng=None)
    own(q, rng=np.random.default_rng(0))
    assert told == [(float(stream(4, "algorithm", k).random()), "kept") for k in (7, 8)]
    with pytest.raises(InvalidParameter, match="no step 2"):
        training.estimator(small("sgd"))


# --- evaluations


def test_what_is_seen_of_a_state() -> None:
    s = small("is", seed=1, updates=3, held_out=40)
    run = Training(s, digits())
    *_, state = run.after(run.begin())
    seen = run.evaluate(state)
    test = digits().test
    chosen = stream(1, "evaluation", 0).choice(360, 40, replace=False)
    for images, accuracy in (
        (slice(None), seen.accuracy_of_all),
        (chosen, seen.accuracy),
    ):
        f = Network(
            s.sizes, test.images[images], test.labels[images], activation="tanh"
        )
        assert accuracy == f.accuracy(state.x)
    batch = next(minibatches(plain_network(s), 7, stream(1, "batches", 3)))
    assert seen.minibatch_loss == pytest.approx(float(batch(state.x)), rel=1e-14)
    assert seen.effective_sample_size == state.info.effective_sample_size
    assert 1 <= state.info.effective_sample_size <= 20
    moved = state.x - run.x0
    assert seen.spread == pytest.approx(
        [np.sqrt(np.mean(part**2)) for part in (moved[:325], moved[325:])]
    )


def test_the_held_out_images_of_all_methods_are_the_same() -> None:
    """And are drawn once, or at each evaluation."""

    def chosen(method: Any, k: int, how: Any) -> float:
        run = Training(small(method, held_out=30, held_out_drawn=how), digits())
        return run.evaluate(State(k, run.x0)).accuracy

    once = {chosen(m, k, "once") for m in METHODS for k in (0, 4)}
    assert len(once) == 1
    each = [{chosen(m, k, "each-time") for m in METHODS} for k in range(8)]
    assert all(len(one) == 1 for one in each)
    assert len(set.union(*each)) > 1


def test_a_sum_and_a_mean_have_the_same_minibatch_loss() -> None:
    seen = [
        Training(small("is", reduction=r), digits()).evaluate(State(0, np.zeros(385)))
        for r in ("mean", "sum")
    ]
    assert seen[0].minibatch_loss == pytest.approx(np.log(10))
    assert seen[1].minibatch_loss == pytest.approx(np.log(10))


def test_standardised_pixels() -> None:
    run = Training(small("sgd", pixels="standardised"), digits())
    images = run.f.features[:, :-1]
    assert abs(images.mean()) < 1e-3
    assert images.std() == pytest.approx(1, abs=1e-3)
    centre, width = training.CENTRE_AND_WIDTH["mnist"]
    assert (centre, width) == (0.1307, 0.3081)


@pytest.mark.parametrize("method", METHODS)
def test_looking_does_not_change_what_happens(method: Any) -> None:
    seldom, often = (
        list(training.run(small(method, evaluate_every=n), digits())) for n in (6, 1)
    )
    assert [one.k for one in often] == list(range(7))
    assert [one.k for one in seldom] == [0, 6]
    assert seldom == [often[0], often[-1]]


def test_the_last_update_is_seen() -> None:
    run = training.run(small("sgd", updates=5), digits())
    assert [one.k for one in run] == [0, 2, 4, 5]


# --- what is refused


def test_data_that_do_not_fit() -> None:
    with pytest.raises(InvalidParameter, match="asks for mnist, not digits"):
        Training(of_section_6("sgd"), digits())
    with pytest.raises(InvalidParameter, match="batch must be at most 1437"):
        Training(small("sgd", batch=1438), digits())
    with pytest.raises(InvalidParameter, match="held_out must be at most 360"):
        Training(small("sgd", held_out=361), digits())


def test_weights_that_overflow() -> None:
    with pytest.raises(NonFinite):
        list(training.run(small("sgd", learning_rate=1e308), digits()))


def test_mnist_has_other_sizes() -> None:
    """Of images that are all alike, so that nothing is read."""
    split = Split(np.full((30, 784), 0.5), np.arange(30) % 10)
    s = of_section_6("hr", J=2, M=2, updates=1, batch=3, held_out=5)
    seen = list(training.run(s, Data("mnist", split, split)))
    assert [one.accuracy_of_all for one in seen] == [0.1, 0.1]
