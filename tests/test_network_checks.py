"""The judge of networks: its truths, its problems, whom it passes and whom it fails."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from verification import losses as data
from verification import problems as P
from verification.checks import (
    Check,
    Outcome,
    Verdict,
    alg3_laws,
    find,
    network,
    run_check,
)
from verification.errors import NotRun, OracleFault
from verification.evidence.running_error import UNIT, RunningError
from verification.lint import degeneracies, inexact_inputs
from verification.losses import ACTIVATIONS, Network
from verification.mistakes.networks import Dense
from verification.subject import NO_SUM, Witness
from verification.truth import closed_forms as cf
from verification.truth import network as truth
from verification.truth.carriers import MP, Double

CHECKS = [entry for entry in vars(network).values() if isinstance(entry, Check)]
BY_ID = {check.id: check for check in CHECKS}
EXACT = MP(40)


def judged(check: Check, subject: Any) -> Outcome:
    return run_check(check, Witness(subject))


# --- a right subject in another algebra -----------------------------------------------


class Regrouped:
    """The network one example after the other, from the last to the first.

    Products of single weights, softmax relative to the label's logit, the gradient
    flattened at the very end.
    """

    name = "regrouped"

    def __init__(self, dtype: str = "float64", **conventions: str) -> None:
        self.dtype, self._type = dtype, np.dtype(dtype).type
        self.conventions = {k.replace("__", "."): v for k, v in conventions.items()}

    def network_loss_and_gradient(
        self, sizes: Any, parameters: Any, images: Any, labels: Any
    ) -> tuple[float, Any]:
        y, layers, at = parameters.astype(self._type), [], 0
        for m, n in pairwise(sizes):
            layers.append(y[at : at + (m + 1) * n].reshape(m + 1, n))
            at += (m + 1) * n
        total, slopes = self._type(0), [np.zeros_like(layer) for layer in layers]
        for image, label in list(zip(images, labels, strict=True))[::-1]:
            total += self._add(layers, slopes, image.astype(self._type), label)
        summed = self.conventions.get("loss.reduction") == "sum"
        share = self._type(1 if summed else len(labels))
        return float(total / share), np.concatenate([s.ravel() for s in slopes]) / share

    def _add(self, layers: Any, slopes: Any, image: Any, label: int) -> Any:
        """One example's cost; its gradient is added to the slopes."""
        one = np.ones(1, dtype=self._type)
        units, sums = [np.append(image, one)], []
        for W in layers:
            sums.append((units[-1][:, None] * W)[::-1].sum(axis=0))
            units.append(np.append(np.maximum(sums[-1], 0), one))
        odds = sums[-1] - sums[-1][label]
        top = odds.max()
        powers = np.exp(odds - top)
        errors = powers / powers[::-1].sum()
        errors[label] = -np.delete(errors, label).sum()
        for level in range(len(layers))[::-1]:
            slopes[level] += np.outer(units[level], errors)
            if level:
                s = sums[level - 1]
                at_zero = self.conventions.get("network.relu_at_zero") == "1"
                mask = s >= 0 if at_zero else s > 0
                errors = np.where(mask, layers[level][:-1] @ errors, self._type(0))
        return top + np.log(powers[::-1].sum())


READINGS = (
    {},
    {"loss__reduction": "sum"},
    {"network__relu_at_zero": "1"},
    {"loss__reduction": "sum", "network__relu_at_zero": "1"},
)


def watching(check: Check, ratios: list[float]) -> Check:
    """The check, noting the errors of its equalities in tolerances."""

    def body(w: Witness, p: Any) -> Iterator[Any]:
        for finding in check.body(w, p):
            if finding.relation == "=":
                ratios.append(finding.ratio)
            yield finding

    return replace(check, body=body, source=check.cases)  # the same ones: known


@pytest.mark.parametrize("reading", READINGS, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", BY_ID)
def test_another_algebra_is_well_within_the_tolerance(
    name: str, dtype: str, reading: dict[str, str]
) -> None:
    ratios: list[float] = []
    outcome = judged(watching(BY_ID[name], ratios), Regrouped(dtype, **reading))
    assert outcome.verdict is Verdict.PASS, outcome
    assert outcome.not_run == ()
    # 0.035 was the largest of all: far from the half that would leave no room
    assert max(ratios) < 0.25


@pytest.mark.parametrize("name", BY_ID)
def test_the_routine_of_the_mistakes_is_right_without_one(name: str) -> None:
    plain = type("Plain", (), {})()
    plain.network_loss_and_gradient = partial(Dense().loss_and_gradient, None)
    assert judged(BY_ID[name], plain).verdict is Verdict.PASS


# --- whom they fail -------------------------------------------------------------------


def test_an_undeclared_derivative_at_zero_fails_and_is_named() -> None:
    subject = Regrouped(network__relu_at_zero="1")
    quiet = type("Quiet", (), {})()
    quiet.network_loss_and_gradient = subject.network_loss_and_gradient
    outcome = judged(BY_ID["NET-07"], quiet)
    assert outcome.failures == len(BY_ID["NET-07"].cases)
    assert outcome.first is not None
    assert outcome.first.note == "network.relu_at_zero = 1 gives this"
    others = [check for check in CHECKS if check.id != "NET-07"]
    assert {judged(check, quiet).verdict for check in others} == {Verdict.PASS}


def test_an_undeclared_sum_fails() -> None:
    quiet = type("Quiet", (), {})()
    subject = Regrouped(loss__reduction="sum")
    quiet.network_loss_and_gradient = subject.network_loss_and_gradient
    for name in ("NET-01", "NET-02", "NET-03", "NET-04", "NET-08"):
        assert judged(BY_ID[name], quiet).verdict is Verdict.FAIL


class Nudged(Regrouped):
    """Right but for one entry of the gradient, off by 1e-9 of its size."""

    entry = 0

    def network_loss_and_gradient(self, *arguments: Any) -> tuple[float, Any]:
        loss, gradient = super().network_loss_and_gradient(*arguments)
        gradient[self.entry] += 1e-9 * np.linalg.norm(gradient)
        return loss, gradient


@pytest.mark.parametrize("entry", [0, -1])
def test_one_entry_of_the_gradient_that_is_off_is_seen(entry: int) -> None:
    subject = Nudged()
    subject.entry = entry
    for name in ("NET-01", "NET-02", "NET-03", "NET-08"):
        outcome = judged(BY_ID[name], subject)
        assert outcome.verdict is Verdict.FAIL
        assert outcome.failures >= len(BY_ID[name].cases) - 1


# --- truths ---------------------------------------------------------------------------

ROUTES = [
    P.examples(f"{name}, routes", sizes, 3, name)
    for name in ACTIVATIONS
    for sizes in ((3, 2), (2, 3, 3), (2, 3, 2, 4))
]


@pytest.mark.parametrize("loss", ROUTES, ids=lambda f: f"{f.activation}{f.sizes}")
def test_two_routes_to_loss_and_gradient_agree(loss: Any) -> None:
    y = P.weights("routes", loss.d)
    other = MP(60)
    value = truth.value(EXACT, loss, y)
    assert abs(value - truth.value_by_matrices(other, loss, y)) < 1e-36
    pairs = zip(
        truth.gradient(EXACT, loss, y),
        truth.gradient_by_differences(loss, y),
        strict=True,
    )
    assert max(abs(a - b) for a, b in pairs) < 1e-36
    assert cf.value(EXACT, loss, y) == value
    assert cf.gradient(EXACT, loss, y) == truth.gradient(EXACT, loss, y)


@pytest.mark.parametrize("loss", ROUTES, ids=lambda f: f"{f.activation}{f.sizes}")
def test_the_bound_covers_the_rounding_and_not_much_more(loss: Any) -> None:
    y = P.weights("bounds", loss.d)
    for formula in (truth.value, truth.gradient):
        exact, rounded, bounds = (
            np.ravel(formula(ctx, loss, y)) for ctx in (EXACT, Double(), RunningError())
        )
        errors = np.array(
            [float(abs(a - b)) for a, b in zip(exact, rounded, strict=True)]
        )
        limits = UNIT * np.array([entry.err for entry in bounds])
        assert (errors <= limits).all()
        assert limits.max() < 1e-12


def test_a_network_of_one_layer_by_hand() -> None:
    """Two classes, one input: f = log(1 + e^-z) for the label's margin z."""
    loss = Network((1, 2), [[2.0]], [1])
    y = [0.5, -0.25, 0.125, 1.0]
    margin = (-0.25 * 2 + 1.0) - (0.5 * 2 + 0.125)
    assert float(truth.value(EXACT, loss, y)) == pytest.approx(
        math.log1p(math.exp(-margin)), rel=1e-15
    )
    p = expit(-margin)
    assert np.array(truth.gradient(EXACT, loss, y), dtype=float) == pytest.approx(
        [2 * p, -2 * p, p, -p], rel=1e-15
    )


def test_a_relu_at_zero_has_the_derivative_that_is_asked_for() -> None:
    p = BY_ID["NET-07"].cases[0]
    dead, alive = (truth.gradient(EXACT, p.loss, p.x, reading) for reading in (0, 1))
    assert not any(dead[:6])
    assert all(alive[:6])
    assert dead[6:] == alive[6:]
    # a unit below 0 is dead in both readings
    below = [*p.x[:4], -1.0, -1.0, *p.x[6:]]
    assert not any(truth.gradient(EXACT, p.loss, below, 1)[:6])


def test_there_is_no_closed_form_beyond_loss_and_gradient() -> None:
    for quantity in (cf.hessian, cf.local_entropy, cf.heat):
        arguments = () if quantity is cf.hessian else (0.5,)
        with pytest.raises(cf.NoClosedForm):
            quantity(EXACT, P.RELU_14, P.weights("none", 14), *arguments)


def test_routes_that_differ_are_the_oracles_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = truth.value_by_matrices
    monkeypatch.setattr(
        truth, "value_by_matrices", lambda *a: right(*a) * (1 + MP(60).number(1e-25))
    )
    monkeypatch.setattr(network, "_truths", network._truths.__wrapped__)
    with pytest.raises(OracleFault, match="two replays differ"):
        judged(BY_ID["NET-03"], Regrouped())


# --- problems -------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS, ids=list(BY_ID))
def test_designs_are_generic_and_exact(check: Check) -> None:
    assert degeneracies(check) == []
    assert inexact_inputs([check]) == []
    for p in check.cases:
        changed = p.more.get("changed")
        assert (
            changed is None or inexact_inputs([replace(check, source=(changed,))]) == []
        )


def test_no_relu_is_near_its_kink_but_where_it_is_meant_to_be() -> None:
    for name in ("NET-03", "NET-04", "NET-05", "NET-08"):
        for p in BY_ID[name].cases:
            entering = truth.entering_hidden(RunningError(), p.loss, p.x)
            assert all(abs(s.value) > 2.0**-10 for s in entering)
            assert all(abs(s.value) > 2.0**-20 * s.err for s in entering)
    for p in BY_ID["NET-07"].cases:
        entering = truth.entering_hidden(EXACT, p.loss, p.x)
        assert 0 in entering
        assert truth.entering_hidden(Double(), p.loss, p.x) == entering


def test_networks_of_many_shapes() -> None:
    cases = BY_ID["NET-03"].cases
    sizes = {p.loss.sizes for p in cases}
    assert len(sizes) >= 20
    assert {len(s) - 2 for s in sizes} == {0, 1, 2, 3}
    assert {len(p.loss.labels) for p in cases} >= {1, 2, 3, 4, 5}
    # in most of them some units are alive and some are dead
    mixed = 0
    for p in cases:
        signs = {s > 0 for s in truth.entering_hidden(Double(), p.loss, p.x)}
        mixed += len(signs) == 2
    assert mixed >= 12
    dead = next(p for p in cases if "dead layer" in p.label)
    assert max(truth.entering_hidden(Double(), dead.loss, dead.x)) < 0


def test_counts_of_parameters() -> None:
    assert [len(p.x) for p in BY_ID["NET-01"].cases] == [7850, 159010]
    assert [truth.count(p.loss.sizes) for p in BY_ID["NET-01"].cases] == [7850, 159010]


def test_the_remainders_are_of_second_order() -> None:
    """h^2 v.Hv/2: a quarter of h divides the remainder by about 16."""
    for p in BY_ID["NET-04"].cases:
        slope = network._slope_along(p)
        base = truth.value(EXACT, p.loss, p.x)
        rests = []
        for h in network.LENGTHS:
            end = truth.value(EXACT, p.loss, network._moved(p, h).x)
            rests.append(end - base - h * slope)
        for longer, shorter in pairwise(rests):
            assert 14 < longer / shorter < 18.5


def test_changed_problems_have_the_same_loss_and_their_gradients_are_reordered() -> (
    None
):
    for p in BY_ID["NET-05"].cases:
        other, order = p.more["changed"], p.more["order"]
        assert (
            abs(
                float(
                    truth.value(EXACT, p.loss, p.x)
                    - truth.value(EXACT, other.loss, other.x)
                )
            )
            < 1e-30
        )
        before = truth.gradient(EXACT, p.loss, p.x)
        after = truth.gradient(EXACT, other.loss, other.x)
        assert (
            max(abs(a - before[i]) for a, i in zip(after, order, strict=True)) < 1e-30
        )
        if "order" in p.label and "examples" not in p.label:
            assert (order != np.arange(len(order))).any()


# --- the loss in the algorithms -------------------------------------------------------


def test_a_subject_that_sums_is_given_no_mean_of_several_networks() -> None:
    class Summing:
        conventions = {"loss.reduction": "sum"}

        def heat(self, loss: Any, x: Any, tau: float) -> float:
            return float(loss(x))

    witness = Witness(Summing())
    several, one = P.RELU_14, P.ONE_EXAMPLE_14
    assert witness.heat(one, np.zeros(14), 0.5) == one(np.zeros(14))
    with pytest.raises(NotRun, match=NO_SUM):
        witness.heat(several, np.zeros(14), 0.5)


def test_at_the_papers_size_the_noise_shows_and_the_gradient_does_not() -> None:
    """What the check claims, of a subject that draws its own noise."""

    class Chain:
        noise, slope = 1.0, 1.0

        def sgld_trace(
            self, loss: Any, x: Any, tau: Any, steps: Any, start: Any, n: int, seed: int
        ) -> Any:
            rng, states = np.random.default_rng(seed), [start]
            for eps in steps[:-1]:
                y = states[-1]
                drift = self.slope * loss.gradient(y) - (x - y) / tau
                kick = self.noise * np.sqrt(eps) * rng.standard_normal(len(x))
                states.append(y - eps / 2 * drift + kick)
            return [states]

    check = next(
        c for c in vars(alg3_laws).values() if getattr(c, "id", "") == "ALG3-T2"
    )
    subject = Chain()
    assert judged(check, subject).verdict is Verdict.PASS
    subject.slope = 0.0
    assert judged(check, subject).verdict is Verdict.PASS
    subject.slope, subject.noise = 1.0, 1.01
    assert judged(check, subject).verdict is Verdict.FAIL


def test_the_checks_of_networks_are_in_the_papers_order() -> None:
    names = [check.id for check in find()]
    ours = [name for name in names if name.startswith("NET")]
    assert ours == [f"NET-0{k}" for k in range(1, 9)]
    before, after = names[: names.index(ours[0])], names[names.index(ours[-1]) + 1 :]
    assert "ALG5-T" in before
    assert "EQ18-01" in after


def test_the_record_travels() -> None:
    loss = data.from_json({**P.TANH_14.to_json(), "labels": ["0x1p0", 0, 0, 1.0]})
    assert isinstance(loss, Network)
    assert loss.labels.tolist() == [1, 0, 0, 1]
    assert loss.sizes == (3, 2, 2)
