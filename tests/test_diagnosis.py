"""What a failing subject is told: the right name, or none, and never a guess."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verification import problems as P
from verification.__main__ import main
from verification.adapter import Refimpl
from verification.checks import Verdict, find
from verification.diagnosis import (
    NO_MAPPING,
    Diagnosis,
    Failure,
    diagnose,
    examine,
)
from verification.diagnosis.affine import Setting, solved
from verification.diagnosis.behaviour import behaviour
from verification.diagnosis.candidates import Summed, right_in
from verification.diagnosis.combined import couples, diagnosed
from verification.diagnosis.confusion import Confusion, Told, confusion, identifiable
from verification.diagnosis.diagnose import diagnose_failures, findings, of_family
from verification.diagnosis.fit import fit
from verification.diagnosis.law import by_law
from verification.diagnosis.laws import distinct, laws_of
from verification.diagnosis.power import (
    Power,
    fitted,
    multiple,
    said,
    scaled,
    snapped,
)
from verification.diagnosis.questions import FAMILIES, answered, difference, questions
from verification.diagnosis.recorded import BadRecording, diagnose_recording, read
from verification.diagnosis.result import joined, no_mapping
from verification.diagnosis.signature import ask
from verification.diagnosis.words import moves_in_numbers
from verification.mistakes import CATALOGUE, planted
from verification.report.diagnoses import PairPrinter, pairs_as_json
from verification.report.terminal import Terminal
from verification.runner import run
from verification.subject import CONVENTIONS, Witness

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "diagnosis.md"


def faulty(*ids: str) -> Any:
    """`refimpl` with a mistake of the catalogue."""
    (name,) = ids
    return planted(deepcopy(CATALOGUE[name]), Refimpl())


# --- subjects written here, with no routine of the catalogue


class Chain:
    """Algorithm 3 in displacements from the centre, with knobs."""

    name = "chain"
    drift = pull = anchor = 1.0
    variance = 1.0
    rate = 0.0
    inertia = 0.0
    draws = True

    def __init__(self, **knobs: Any) -> None:
        vars(self).update(knobs)

    def spread(self, eps: float, tau: float, first: bool) -> float:
        del tau, first
        return float(np.sqrt(self.variance * eps))

    def slope(self, loss: Any, states: list[Any]) -> Any:
        return loss.gradient(states[-1])

    def weights(self, steps: Any) -> Any:
        return np.asarray(steps) / np.sum(steps)

    def sgld_mean(
        self, loss, x, tau, step_sizes, *, start=None, draws=None, n=1, seed=None
    ):
        if draws is None:
            shape = (n, len(step_sizes) - 1, len(x))
            draws = np.random.default_rng(seed).standard_normal(shape)
        elif not self.draws:
            raise NotImplementedError("no draws")
        states = [np.tile(x if start is None else start, (len(draws), 1))]
        speed = np.zeros_like(states[0])
        for j, eps in enumerate(step_sizes[:-1]):
            away = states[-1] - self.anchor * x
            back = self.pull * away / tau + self.drift * self.slope(loss, states)
            noise = self.spread(eps, tau, j == 0) * draws[:, j]
            speed = self.inertia * speed + noise - 0.5 * eps * back
            states.append(states[-1] + speed)
        if not self.rate:
            return np.tensordot(self.weights(step_sizes), states, axes=1)
        mean = states[0]
        for state in states[1:]:
            mean = mean + self.rate * (state - mean)
        return mean


class Single:
    """A subject whose answers are rounded to single precision."""

    name, dtype = "single", "float32"

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self.conventions = getattr(plain, "conventions", {})

    def __getattr__(self, method: str) -> Any:
        called = getattr(self._plain, method)
        return lambda *args, **given: np.float32(called(*args, **given))


class FromCentre(Chain):
    """A chain that starts at the centre only."""

    def sgld_mean(self, *args, start=None, **given):
        if start is not None:
            raise NotImplementedError("chains start at the centre")
        return super().sgld_mean(*args, **given)


class Alone(Chain):
    """A right chain with another habit where no draws are given."""

    def normals(self, x, step_sizes, draws=None, n=1, seed=None):
        if draws is not None:
            return draws
        return self.generator(seed).standard_normal((n, len(step_sizes) - 1, len(x)))

    def sgld_mean(self, *given, draws=None, n=1, seed=None, **options):
        z = self.normals(given[1], given[3], draws, n, seed)
        return super().sgld_mean(*given, draws=z, **options)

    def generator(self, seed):
        return np.random.default_rng(seed)


class Weighted:
    """Algorithm 4 by pairwise odds, with powers of weights and tau, and a spread."""

    name = "weighted"
    power, variance, of_tau = 1.0, 1.0, 0.0

    def __init__(self, **knobs: Any) -> None:
        vars(self).update(knobs)

    def importance_mean(
        self, loss, x, tau, samples, *, workers=1, draws=None, n=1, seed=None
    ):
        if draws is None:
            shape = (n, samples, len(x))
            draws = np.random.default_rng(seed).standard_normal(shape)
        y = x + np.sqrt(self.variance * tau) * draws
        f = self.power * tau**self.of_tau * loss(y)
        with np.errstate(over="ignore"):
            odds = 1 / np.exp(f[:, :, None] - f[:, None, :]).sum(axis=2)
        return np.einsum("nj,njd->nd", odds, y)


class Descent:
    """Algorithm 5 with factors of its terms."""

    name = "descent"
    step, gradient, variance, anchor = 1.0, 1.0, 1.0, 1.0

    def __init__(self, **knobs: Any) -> None:
        vars(self).update(knobs)

    def robbins_monro(
        self, loss, x, tau, step_sizes, inner_samples, *,
        start=None, draws=None, n=1, seed=None,
    ):  # fmt: skip
        if draws is None:
            shape = (n, len(step_sizes), inner_samples, len(x))
            draws = np.random.default_rng(seed).standard_normal(shape)
        y = np.tile(x if start is None else start, (len(draws), 1))
        for j, a in enumerate(self.step * np.asarray(step_sizes)):
            points = y[:, None] + np.sqrt(self.variance * tau) * draws[:, j]
            mean = loss.gradient(points).sum(axis=1) / inner_samples
            y = (1 - a) * y + a * self.anchor * x - a * self.gradient * tau * mean
        return y


class Runs(Chain):
    """Whole runs around such chains, started at the centre."""

    late = 0  # by how many updates the centre is

    def train(self, loss, x0, method, record, *, batches=None, draws=None, seed=None):
        if method != "sgld" or record.get("start") == "previous":
            raise NotImplementedError("cold chains only")
        steps, path = np.asarray(record["step_sizes"]), [np.asarray(x0, dtype=float)]
        rng = np.random.default_rng(seed)
        for k, tau in enumerate(record["tau"]):
            f = loss if batches is None else loss.subset(batches[k])
            centre = path[max(0, k - self.late)]
            z = (
                rng.standard_normal((len(steps) - 1, len(x0)))
                if draws is None
                else None
            )
            z = np.asarray(draws[k] if z is None else z)[None]
            path.append(self.sgld_mean(f, centre, tau, steps, draws=z)[0])
        return np.array(path)


def told(subject: object, family: str, **options: Any) -> Diagnosis:
    found = of_family(Witness(subject), family, **options)
    assert found is not None
    return found


# --- the signature


@pytest.mark.parametrize(
    ("name", "family"),
    [
        *(("T05", "theory"), ("S03", "Algorithm 3"), ("S39", "Algorithm 3")),
        *(("M11", "Algorithm 3"), ("I07", "Algorithm 4"), ("H12", "Algorithm 5")),
        *(("M04", "runs"), ("M07", "networks")),
        *(
            pytest.param(name, family, marks=pytest.mark.slow)
            for names, family in (
                (("T17", "T21"), "theory"),
                (("S22", "S26", "X25"), "Algorithm 3"),
                (("I06", "X22"), "Algorithm 4"),
                (("H21", "X23"), "Algorithm 5"),
                (("M15", "X16"), "runs"),
                (("M27",), "networks"),
            )
            for name in names
        ),
    ],
)
def test_a_known_mistake_is_named_from_its_answers(name: str, family: str) -> None:
    found = told(faulty(name), family)
    assert found.ids == (name,)
    assert found.name == name
    assert found.route == "signature"
    assert found.agreement is not None
    assert found.agreement < 1e-12


def test_a_mistake_is_known_in_any_code() -> None:
    class Stale(Chain):
        def slope(self, loss, states):
            return loss.gradient(states[-2] if len(states) > 1 else states[0])

    assert told(Stale(), "Algorithm 3").name == "S35"
    assert told(Chain(drift=-1.0), "Algorithm 3").name == "S31"
    assert told(Weighted(power=2.0), "Algorithm 4").name == "I20"
    assert told(Descent(variance=2.0), "Algorithm 5").name == "H18"


def test_single_precision_is_no_obstacle() -> None:
    assert told(Single(Chain(variance=2.0)), "Algorithm 3").name == "S04"
    assert of_family(Witness(Single(Chain())), "Algorithm 3", laws=False) is None


def test_single_precision_that_is_not_declared_is_no_slip(tmp_path: Path) -> None:
    class Undeclared(Single):
        dtype = "float64"

    found = told(Undeclared(Descent()), "Algorithm 5", laws=False)
    assert found.name == NO_MAPPING
    assert 'declare dtype = "float32"' in found.sentence
    data = recorded(Single(Chain()))
    found_too = diagnose_recording(read(saved(tmp_path, data)))
    assert found_too is not None
    assert 'say "dtype": "float32"' in found_too.sentence
    data["dtype"] = "float32"
    assert diagnose_recording(read(saved(tmp_path, data))) is None


def test_two_mistakes_at_once() -> None:
    class Both(Chain):
        def slope(self, loss, states):
            return loss.gradient(states[-2] if len(states) > 1 else states[0])

    found = told(Both(variance=0.5), "Algorithm 3")
    assert found.name == "S34+S35"
    assert found.ids == ("S34", "S35")


class Plain(Chain):
    """A chain whose states have equal weights."""

    def weights(self, steps: Any) -> Any:
        return np.full(len(steps), 1 / len(steps))


@pytest.mark.parametrize(
    ("subject", "family", "name", "sentence"),
    [
        (Chain(drift=2, pull=2, variance=2), "Algorithm 3", "S02+S04",
         "this is Algorithm 3 with step 2 eps"),
        (Plain(variance=0.5), "Algorithm 3", "S10+S34",
         "noise variance 0.50 of eps: apart from that, Algorithm 3 for 2 f and tau/2"),
        (Plain(variance=0.81), "Algorithm 3",
         "noise variance 0.81 of eps; the states have equal weights",
         "apart from that, Algorithm 3 for 1.235 f and 0.81 tau with step 0.81 eps"),
        (Runs(pull=0.0, late=1), "Algorithm 3", "S21", "no pull"),
        (Runs(pull=0.0, late=1), "runs", "M14+S21", "update k is around x_{k-1}"),
        (Runs(variance=0.5), "runs", "S34", "variance epsilon/2"),
    ],
)  # fmt: skip
def test_pairs_that_people_make(
    subject: Chain, family: str, name: str, sentence: str
) -> None:
    found = told(subject, family)
    assert found.name == name
    assert sentence in found.sentence


def test_right_runs_get_no_diagnosis() -> None:
    assert of_family(Witness(Runs()), "runs") is None


def test_the_first_move_without_noise() -> None:
    class Silent(Chain):
        def spread(self, eps, tau, first):
            return 0.0 if first else super().spread(eps, tau, first)

    assert told(Silent(), "Algorithm 3").name == "first move without noise"


def test_what_a_mistake_that_may_be_declared_would_be() -> None:
    assert "robbins_monro.moves = J-1" in told(faulty("H08"), "Algorithm 5").sentence


def test_other_readings_are_tried() -> None:
    class Later:
        """Algorithm 3 that averages the new states, undeclared."""

        variance = 1.0

        def sgld_mean(
            self, loss, x, tau, step_sizes, *, start=None, draws=None, n=1, seed=None
        ):
            J = len(step_sizes)
            if draws is None:
                draws = np.random.default_rng(seed).standard_normal((n, J, len(x)))
            if draws.shape[1] != J:
                raise ValueError("J rows of draws")
            y = np.tile(x if start is None else start, (len(draws), 1))
            total = 0.0 * y
            for eps, z in zip(step_sizes, np.moveaxis(draws, 1, 0), strict=True):
                slope = loss.gradient(y) + (y - x) / tau
                y = y - eps / 2 * slope + np.sqrt(self.variance * eps) * z
                total = total + eps * y
            return total / np.sum(step_sizes)

    assert told(Later(), "Algorithm 3").name == "sgld.chain = new-states"
    half = Later()
    half.variance = 0.5
    assert told(half, "Algorithm 3").name == "sgld.chain = new-states; S34"
    half.conventions = {"sgld.chain": "new-states"}  # type: ignore[attr-defined]
    found = told(half, "Algorithm 3")
    assert found.name == "S34"
    assert found.equivalent == "Algorithm 3 for 2 f and tau/2 with step eps/2"


class Reading:
    """A right subject that follows one reading and declares another."""

    name, dtype = "reading", "float64"

    def __init__(self, does: dict[str, str], declares: dict[str, str]) -> None:
        self._plain = right_in(DEFAULTS | does)
        self._sums = "sum" in does.values()
        self.conventions = declares

    def __getattr__(self, method: str) -> Any:
        called = getattr(self._plain, method)

        def answer(*args: Any, **given: Any) -> Any:
            if self._sums and hasattr(args[0], "kind"):
                args = (Summed(args[0]), *args[1:])
            found = called(*args, **given)
            if self._sums and method == "network_loss_and_gradient":
                return tuple(len(args[3]) * part for part in found)
            return found

        return answer


DEFAULTS = {key: values[0] for key, values in CONVENTIONS.items()}
OTHERS = {key: values[1].replace("RATE", "0.3") for key, values in CONVENTIONS.items()}
SHOWN: dict[str, tuple[tuple[str, str], ...]] = {
    "sgld.chain": (("ALG3-R2", "Algorithm 3"),),
    "sgld.start": (("ALG3-R2", "Algorithm 3"),),
    "sgld.output": (("ALG3-R2", "Algorithm 3"),),
    "minibatch": (("ALG3-R2", "Algorithm 3"),),
    "scoping.origin": (("EQ18-01", "theory"),),
    "robbins_monro.moves": (("ALG5-R2", "Algorithm 5"),),
    "loss.reduction": (("ALG3-R2", "Algorithm 3"), ("NET-03", "networks")),
    "network.relu_at_zero": (("NET-07", "networks"),),
}


@pytest.mark.parametrize("key", CONVENTIONS)
def test_a_run_and_a_diagnosis_agree_on_every_reading(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # once is enough: the parts are diagnosed below
    monkeypatch.setattr(
        "verification.runner.diagnose_failures", lambda *_, **__: ({}, None)
    )
    values = DEFAULTS[key], OTHERS[key]
    for does, declares in [*product(values, values)][1:]:
        if key in ("sgld.start", "minibatch") and does != declares:
            continue  # what declares them changes what is asked, and no answer
        subject = Reading({key: does}, {key: declares})
        checks = [check for check, _ in SHOWN[key]]
        report = run(subject, find(checks), seed=1)
        verdicts = {o.check.id: o.verdict for o in report.outcomes}
        fails = [verdicts[check] is Verdict.FAIL for check in checks]
        found = [of_family(Witness(subject), f, laws=False) for _, f in SHOWN[key]]
        assert fails == [told_of is not None for told_of in found], (does, declares)
        assert all(fails) is (does != declares) is any(fails)
        assert all(told_of.confident for told_of in found if told_of is not None)
        if does != declares and does != OTHERS["sgld.output"]:
            names = {told_of.name for told_of in found if told_of is not None}
            assert names & {f"{key} = {does}", f"T17 = {key} = {does}"}


class Summing(Chain):
    """A chain with the gradient of the sum over examples, where there are any."""

    def slope(self, loss, states):
        return Summed(loss).gradient(states[-1])


def test_a_sum_over_examples_is_told_with_the_reading_that_makes_it_right() -> None:
    found = told(Summing(variance=0.5), "Algorithm 3", laws=False)
    assert found.name == "loss.reduction = sum; S34"
    assert "summed over its examples, not averaged: declare " in found.sentence
    declared = {"loss.reduction": "sum"}
    right = Summing(conventions=declared)
    assert of_family(Witness(right), "Algorithm 3", laws=False) is None
    averaging = Chain(conventions=declared)
    report = run(averaging, find(["ALG3-R2"]), seed=1)
    assert report.diagnosis is not None
    assert report.diagnosis.sentence == (
        "it declares loss.reduction = sum, but averages over the examples"
    )

    class InRuns(Summing, Runs):
        """Whole runs with it."""

    assert "loss.reduction = sum" in told(InRuns(), "runs").sentence


def test_a_sum_is_not_told_where_no_examples_are_answered() -> None:
    class Clipped(Chain):
        """It refuses finite sums that are exact, and clips the gradient of others."""

        def slope(self, loss, states):
            slope = loss.gradient(states[-1])
            if loss.kind == "least_squares":
                raise NotImplementedError("no least squares")
            return 0.9 * slope if loss.kind == "network" else slope

        def sgld_trace(self, loss, x, tau, step_sizes, *, start=None, draws=None, n=1):
            last = np.eye(len(step_sizes))
            states = []
            for row in last:
                self.weights = lambda _, row=row: row
                given = {"start": start, "draws": draws}
                states.append(self.sgld_mean(loss, x, tau, step_sizes, **given))
            del self.weights
            return np.stack(states, axis=1)

    assert told(Clipped(), "Algorithm 3", laws=False).name == NO_MAPPING


def test_a_recording_of_a_sum_over_examples(tmp_path: Path) -> None:
    loss = P.LEAST_SQUARES_2
    x, steps, z = np.array([0.8, -1.3]), np.array([0.3, 0.2]), np.array([[[0.3, -1.2]]])
    output = Summing().sgld_mean(loss, x, 0.6, steps, draws=z)
    of: dict[str, Any] = {"loss": loss.to_json(), "step_sizes": steps.tolist()}
    data = recorded(Chain()) | of | {"draws": z.tolist(), "output": output.tolist()}
    found = diagnose_recording(read(saved(tmp_path, data)))
    assert found is not None
    assert "loss.reduction = sum" in found.sentence
    data["conventions"] = {"loss.reduction": "sum"}
    assert diagnose_recording(read(saved(tmp_path, data))) is None


# --- the fit


@pytest.mark.parametrize(
    ("subject", "sentence"),
    [
        (
            Chain(variance=0.5),
            "drift 1.00 eps/2, pull 1.00 eps/(2 tau), noise variance 0.50 of eps: this "
            "is Algorithm 3 for 2 f and tau/2 with step eps/2",
        ),
        (
            Chain(rate=0.25),
            "the output is an exponential average with weight 0.25 on the new state, "
            "not the epsilon-weighted mean (a reading: sgld.output = exponential-",
        ),
        (Chain(pull=0.7), "pull 0.70 eps/(2 tau)"),
        (Chain(drift=0.0), "no drift, pull 1.00 eps/(2 tau), noise variance 1.00 of "
         "eps: this is Algorithm 3 for a constant loss"),
        (Chain(drift=1.3, variance=0.0), "drift 1.30 eps/2, pull 1.00 eps/(2 tau), no "
         "noise"),
        (Chain(variance=1e-8), "noise variance 1e-08 of eps: this is Algorithm 3 for "
         "1e+08 f and 1e-08 tau with step 1e-08 eps"),
        (Chain(anchor=0.0), "pull 1.00 eps/(2 tau) towards zero, not x_k"),
        (Chain(drift=0.1, variance=1e-8, rate=0.3), "drift 0.10 eps/2, pull 1.00 "
         "eps/(2 tau), noise variance 1e-08 of eps, the output is an exponential "
         "average with weight 0.30"),
        *(
            pytest.param(*more, marks=pytest.mark.slow)
            for more in (
                (Chain(drift=2, pull=2, variance=2), "this is Algorithm 3 with step "
                 "2 eps"),
                (Chain(rate=0.1, variance=0.81), "noise variance 0.81 of eps, the "
                 "output is an exponential average with weight 0.10"),
                (Chain(drift=1.3), "this is Algorithm 3 for 1.30 f"),
                (Chain(drift=0.1), "this is Algorithm 3 for f/10"),
                (Chain(anchor=0.5, drift=0.1), "drift 0.10 eps/2, pull 1.00 eps/(2 "
                 "tau) towards x_k/2, not x_k"),
            )
        ),
    ],
)  # fmt: skip
def test_coefficients_of_a_chain(subject: Chain, sentence: str) -> None:
    assert sentence in told(subject, "Algorithm 3").sentence


class Averaged(Chain):
    """A chain whose exponential average begins where people let it begin."""

    rate, place, skips = 0.25, "zero", True

    def sgld_mean(
        self, loss, x, tau, step_sizes, *, start=None, draws=None, n=1, seed=None
    ):
        first = x if start is None else start
        rows = np.random.default_rng(seed)
        shape = (n, len(step_sizes) - 1, len(x))
        z = rows.standard_normal(shape) if draws is None else draws
        y = np.tile(first, (len(z), 1))
        mean, kept = 0.0 * y, 1 - self.rate
        if self.place == "centre":
            mean = mean + x
        if not self.skips:
            mean = kept * mean + self.rate * y
        for j, eps in enumerate(step_sizes[:-1]):
            slope = loss.gradient(y) + (y - x) / tau
            y = y - eps / 2 * slope + np.sqrt(self.variance * eps) * z[:, j]
            mean = kept * mean + self.rate * y
        if self.place == "corrected":
            mean = mean / (1 - kept ** (len(step_sizes) - self.skips))
        return mean


AVERAGE = "the output is an exponential average with rate 0.25 that begins at "
BEGINS = {
    "zero": "zero: its weights sum to 1 - 0.75^(J-1), not to 1",
    "corrected": "zero and is divided by its weights' sum, 1 - 0.75^(J-1)",
    "centre": "the centre, not at the start",
}


@pytest.mark.parametrize(
    ("place", "declared"),
    [
        *(("zero", "exponential-average:0.25"), ("centre", "weighted-mean")),
        pytest.param("zero", "weighted-mean", marks=pytest.mark.slow),
        pytest.param("corrected", "weighted-mean", marks=pytest.mark.slow),
    ],
)
def test_where_an_exponential_average_begins(place: str, declared: str) -> None:
    reading = {"sgld.output": declared}
    found = told(Averaged(place=place, conventions=reading), "Algorithm 3", laws=False)
    assert found.route == "fit"
    assert found.said.startswith(AVERAGE + BEGINS[place])
    assert found.said.count("exponential average") == 1
    if declared == "weighted-mean":
        hint = "(begun at the first state it is a reading: sgld.output = exponential-"
        assert hint in found.sentence
    else:
        assert "; the declared one begins at the first state" in found.sentence


def test_an_average_that_begins_elsewhere_beside_something_else() -> None:
    half = told(Averaged(variance=0.5, rate=0.1), "Algorithm 3", laws=False)
    assert half.name.startswith("noise variance 0.50 of eps; the output is an exp")
    assert "rate 0.10 that begins at zero: its weights sum to 1 - 0.9^(" in half.name
    every = told(Averaged(skips=False), "Algorithm 3", laws=False)
    assert "its weights sum to 1 - 0.75^J, not to 1" in every.sentence

    class Fixed(Averaged):
        """It takes no start."""

        def sgld_mean(self, *args, start=None, **given):
            if start is not None:
                raise NotImplementedError("chains start at the centre")
            return super().sgld_mean(*args, **given)

    found = told(Fixed(place="corrected"), "Algorithm 3", laws=False)
    assert found.sentence.startswith(AVERAGE + BEGINS["corrected"])


@pytest.mark.parametrize(
    ("place", "stated"),
    [
        *(("zero", True), ("centre", True)),
        pytest.param("corrected", True, marks=pytest.mark.slow),
        pytest.param("zero", False, marks=pytest.mark.slow),
    ],
)
def test_recordings_of_averages_that_begin_elsewhere(
    place: str, stated: bool, tmp_path: Path
) -> None:
    """With their states and without."""
    chain, data = Averaged(place=place), recorded(Chain(), start=[0.3, 0.4])
    given = {"start": np.array(data["start"]), "draws": np.array(data["draws"])}
    of = [np.array(data[key]) for key in ("x", "step_sizes")]
    args = P.QUADRATIC_2, of[0], 0.6, of[1]
    played = right_in(DEFAULTS)
    data["loss"] = P.QUADRATIC_2.to_json()
    data["output"] = chain.sgld_mean(*args, **given).tolist()
    if stated:
        data["states"] = played.sgld_trace(*args, **given).tolist()
    found = diagnose_recording(read(saved(tmp_path, data)))
    assert found is not None
    says = BEGINS[place].replace("1 - 0.75^(J-1)", f"{1 - 0.75**3:.2f}")
    assert found.said.startswith(AVERAGE + says)
    assert "another dependence on tau" not in found.sentence


def test_a_rate_that_is_not_the_declared_one() -> None:
    for rate, name in ((0.1, ""), (0.25, "X01: ")):
        reading = {"sgld.output": "exponential-average:0.75"}
        found = told(Chain(rate=rate, conventions=reading), "Algorithm 3", laws=False)
        assert found.said == (
            f"{name}the output is an exponential average with weight {rate:.2f} on the "
            "new state, where 0.75 is declared (a reading: sgld.output = "
            f"exponential-average:{rate:g})"
        )


def test_the_reading_is_said_beside_a_second_mistake_as_well() -> None:
    hint = "(a reading: sgld.output = exponential-average:0.25)"
    found = told(Chain(rate=0.25, variance=0.5), "Algorithm 3", laws=False)
    assert found.name == "S34+X01"
    assert found.sentence.count(hint) == 1
    assert found.sentence.count("the output is an exponential average") == 1
    fitted_too = told(Chain(rate=0.25, variance=0.81), "Algorithm 3", laws=False)
    assert hint in fitted_too.sentence


class Mixed(Chain):
    """Noise with another dependence on tau."""

    def spread(self, eps, tau, first):
        return np.sqrt(3 * eps) * tau


def test_how_a_coefficient_depends_on_step_and_tau() -> None:
    found = told(Mixed(), "Algorithm 3")
    assert found.route == "fit"
    assert "noise of deviation 1.732 sqrt(eps) times tau" in found.sentence


@pytest.mark.parametrize(
    ("first", "told_of"),
    [(0, "the move before"), (-1, "the move before, the first move the last of all")],
)
def test_whose_step_size_a_move_uses(first: int, told_of: str) -> None:
    class Previous(Chain):
        def sgld_mean(self, loss, x, tau, step_sizes, **given):
            # a chain in which move j has step j - 1, weights as they should be
            steps = np.append(step_sizes[first], step_sizes[:-1])
            states, z = (
                [np.tile(given["start"], (len(given["draws"]), 1))]
                if given.get("start") is not None
                else [np.tile(x, (len(given["draws"]), 1))],
                given["draws"],
            )
            for j, eps in enumerate(steps[:-1]):
                y = states[-1]
                slope = loss.gradient(y) + (y - x) / tau
                states.append(y - eps / 2 * slope + np.sqrt(eps) * z[:, j])
            return np.tensordot(step_sizes, states, axes=1) / np.sum(step_sizes)

    found = told(Previous(), "Algorithm 3")
    assert found.name == f"every move has the step size of {told_of}"


def test_coefficients_of_samples_and_descents() -> None:
    found = told(Weighted(power=1.5, variance=0.64), "Algorithm 4")
    assert found.equivalent == "Algorithm 4 for 1.50 f and 0.64 tau"
    found = told(Descent(step=2.0), "Algorithm 5")
    assert found.equivalent == "Algorithm 5 with step 2 a"
    found = told(Descent(gradient=0.8, variance=0.5), "Algorithm 5")
    assert found.equivalent == "Algorithm 5 for 1.60 f and tau/2"
    found = told(Descent(gradient=0.1), "Algorithm 5")
    assert found.equivalent == "Algorithm 5 for f/10"
    found = told(Descent(gradient=0.0, step=2.0), "Algorithm 5")
    assert found.equivalent == "Algorithm 5 for a constant loss with step 2 a"
    found = told(Descent(anchor=0.0), "Algorithm 5")
    assert found.name == "pull 1.00 a towards zero, not x_k"
    assert found.equivalent == ""


@pytest.mark.parametrize(
    ("subject", "equivalent"),
    [
        (Weighted(of_tau=-1.0), "Algorithm 4 for f/tau"),
        (Weighted(of_tau=1.0, variance=0.64), "Algorithm 4 for f tau and 0.64 tau"),
        (Weighted(of_tau=-0.5, power=2.0), "Algorithm 4 for 2.00 f/tau^0.5"),
    ],
)
def test_how_the_weights_depend_on_tau(subject: Weighted, equivalent: str) -> None:
    assert told(subject, "Algorithm 4").equivalent == equivalent


def test_a_learning_rate_that_is_not_tau() -> None:
    class Slow(Refimpl):
        def train(self, loss, x0, method, record, *, batches=None, draws=None):
            given = {"batches": batches, "draws": draws}
            path = super().train(loss, x0, method, record, **given)
            return 0.3 * path + 0.7 * np.asarray(x0)

    subject = Slow()
    answers = ask(Witness(subject), "runs")
    found = fit(Witness(subject), answers)
    assert found is None  # x_2 is no longer around x_1
    halved = ask(Witness(faulty("X13")), "runs")
    found = fit(Witness(faulty("X13")), halved)
    assert found is not None
    assert found.name == "eta = tau/2"


def test_the_recursion_is_read_exactly() -> None:
    steps = (0.31, 0.13, 0.23, 0.11, 0.19)

    def output(loss, x, start, z):
        return Chain(pull=0.7).sgld_mean(loss, x, 0.6, steps, start=start, draws=z)

    found = solved(output, Setting(0.6, steps, 4), np.ones_like)
    e = np.array(steps)
    np.testing.assert_allclose(found.a[:3], e[:3] / 2, rtol=1e-7)
    np.testing.assert_allclose(found.p[:3], 0.7 * e[:3] / 1.2, rtol=1e-7)
    np.testing.assert_allclose(found.b[:3], 0.7 * e[:3] / 1.2, rtol=1e-7)
    np.testing.assert_allclose(found.c[:3], np.sqrt(e[:3]), rtol=1e-7)
    weights = found.weights(np.sqrt(e[3]), 0.7 * e[3] / 1.2)
    np.testing.assert_allclose(weights, e / e.sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("plain", "family", "said_of"),
    [
        (Chain(variance=1.5), "Algorithm 3",
         "this is Algorithm 3 for 0.6667 f and 1.50 tau with step 1.50 eps"),
        (Chain(rate=0.75), "Algorithm 3", "an exponential average with weight 0.75 on"),
        (Mixed(), "Algorithm 3", "noise of deviation 1.732 sqrt(eps) times tau"),
        (Chain(drift=0.123456, anchor=0.5), "Algorithm 3",
         "drift 0.1235 eps/2, pull 1.00 eps/(2 tau) towards x_k/2, not x_k"),
        (Chain(variance=0.5), "Algorithm 3",
         "this is Algorithm 3 for 2 f and tau/2 with step eps/2"),
        (Weighted(power=1.37), "Algorithm 4", "this is Algorithm 4 for 1.37 f"),
        (Descent(step=2.0), "Algorithm 5", "this is Algorithm 5 with step 2 a"),
        (Descent(gradient=0.8, variance=0.49), "Algorithm 5",
         "this is Algorithm 5 for 1.633 f and 0.49 tau"),
    ],
)  # fmt: skip
def test_coefficients_in_single_precision(
    plain: Any, family: str, said_of: str
) -> None:
    found = told(Single(plain), family, laws=False)
    assert said_of in found.sentence
    assert 1e-9 < found.agreement < 1e-5  # rounded, indeed


def test_numbers_are_said_to_the_digits_that_are_known() -> None:
    assert snapped(0.9999993, 1e-6) == 1.0
    assert snapped(0.81234567, 1e-6) == 0.81235
    assert snapped(1.2247, 1e-4) == np.sqrt(1.5)
    assert snapped(0.81234567) == 0.81234567


def test_coefficients_of_chains_that_take_no_start() -> None:
    found = told(FromCentre(variance=0.5), "Algorithm 3", laws=False)
    assert found.name == "S34"
    assert found.equivalent == "Algorithm 3 for 2 f and tau/2 with step eps/2"
    found = told(FromCentre(variance=0.81, rate=0.3), "Algorithm 3", laws=False)
    assert found.name == (
        "noise variance 0.81 of eps; the output is an exponential average with weight "
        "0.30 on the new state, not the eps-weighted mean"
    )


class Deaf(Chain):
    """A chain that begins at the centre, whatever start is given."""

    def sgld_mean(self, *args, start=None, **given):
        return super().sgld_mean(*args, **given)


class DeafDescent(Descent):
    def robbins_monro(self, *args, start=None, **given):
        return super().robbins_monro(*args, **given)


def test_a_start_that_is_ignored_has_a_name() -> None:
    for subject, family in ((Deaf(), "Algorithm 3"), (DeafDescent(), "Algorithm 5")):
        found = told(subject, family, laws=False)
        assert found.name == "start ignored"
        assert found.sentence.count("a start that is given is ignored") == 1
    found = told(Deaf(variance=0.81), "Algorithm 3", laws=False)
    assert found.name.startswith("noise variance 0.81 of eps; a start that is given")


@pytest.mark.parametrize(
    ("turn", "name"),
    [
        (1, "pull of a state that the gradient has moved"),
        (-1, "gradient of a state that the pull has moved"),
    ],
)
def test_a_move_in_two_parts_has_a_name(turn: int, name: str) -> None:
    class InPlace(Alone):
        def sgld_mean(self, loss, x, tau, step_sizes, *, start=None, **given):
            z = self.normals(x, step_sizes, **given)
            y = np.tile(x if start is None else start, (len(z), 1))
            total = step_sizes[0] * y
            for j, eps in enumerate(step_sizes[:-1]):
                for part in (loss.gradient, lambda y: (y - x) / tau)[::turn]:
                    y = y - eps / 2 * part(y)
                y = y + np.sqrt(eps) * z[:, j]
                total = total + step_sizes[j + 1] * y
            return total / np.sum(step_sizes)

    assert told(InPlace(), "Algorithm 3", laws=False).name == name


class Bent(Chain):
    """A drift of the factor 1 + eps."""

    def sgld_mean(self, loss, x, tau, step_sizes, **given):
        self.steps = step_sizes
        return super().sgld_mean(loss, x, tau, step_sizes, **given)

    def slope(self, loss, states):
        return (1 + self.steps[len(states) - 1]) * super().slope(loss, states)


def test_what_was_read_is_told_though_it_follows_no_law() -> None:
    found = told(Bent(), "Algorithm 3", laws=False)
    assert not found.confident
    assert (
        "on quadratics its moves have drift 1.31, 1.13, 1.23 eps/2 from move to move, "
        "pull 1.00 eps/(2 tau), noise variance 1.00 of eps (those have steps 0.31, 0.13"
    ) in found.sentence
    assert "a recorded run may say more: docs/diagnosis.md#recordings" in found.sentence

    class Starting(FromCentre, Bent):
        """It takes no start."""

    assert "offer `start`, and" in told(Starting(), "Algorithm 3", laws=False).sentence
    single = told(Single(Bent()), "Algorithm 3", laws=False)
    assert "run the same code in double precision" in single.sentence
    read_of = moves_in_numbers(
        "Algorithm 5",
        [(2.0, np.ones(2), (np.array([2.0, 2.0]), *[np.array([1.0, 0.5])] * 2,
                            np.full(2, np.sqrt(2.0))))],
    )  # fmt: skip
    assert read_of == (
        "gradient 1.00 a tau, pull 1, 0.5 a from move to move, samples of variance 1.00"
        " tau (those have steps 1, 1 at tau = 2)"
    )
    apart = (np.ones(2), np.ones(2), 2 * np.ones(2), np.ones(2))
    said_of = moves_in_numbers("Algorithm 5", [(1.0, np.ones(2), apart)])
    assert "pull 1.00 a, towards x_k 2.00 a, samples" in said_of


def test_power_laws() -> None:
    steps, taus = np.array([0.2, 0.3, 0.5, 0.7]), np.array([1.0, 2.0, 2.0, 0.3])
    assert fitted(-2 * steps / np.sqrt(taus), steps, taus) == Power(-2.0, 1.0, -0.5)
    assert fitted(0 * steps, steps, taus) == Power(0.0)
    assert fitted(steps + taus, steps, taus) is None
    assert fitted(np.array([1.0, -1, 1, 1]), steps, taus) is None
    faint = fitted(1.01e-7 * np.ones(4), steps, taus)
    assert faint is not None
    assert faint.factor == pytest.approx(1.01e-7)
    assert snapped(0.3333333333) == 1 / 3
    assert snapped(1.41421356237) == np.sqrt(2)
    assert snapped(0.12345) == 0.12345
    assert snapped(float("inf")) == float("inf")
    words = [scaled(v, "f") for v in (1.0, -1.0, 2.0, 0.5, -0.5, 1.3, 1e-8)]
    assert words == ["f", "-f", "2 f", "f/2", "-f/2", "1.30 f", "1e-08 f"]
    assert said(1e-10) == "1e-10"
    laws = [Power(1.0, 0.0, q) for q in (-1.0, 0.0, 0.5)]
    assert [multiple(law, "f") for law in laws] == ["f/tau", "f", "f tau^0.5"]
    assert multiple(Power(-2.0, 0.0, -2.0), "f") == "-2.00 f/tau^2"


# --- no guess


def test_the_right_algorithms_get_no_diagnosis() -> None:
    families = [name for name in FAMILIES if name != "Algorithm 4"]
    assert diagnose(Refimpl(), families, seed=1) == {}
    assert of_family(Witness(Refimpl()), "Algorithm 4", laws=False) is None
    for right in (Chain(), Weighted(), Descent()):
        assert all(of_family(Witness(right), f, laws=False) is None for f in FAMILIES)


def test_another_algorithm_has_no_mapping() -> None:
    found = told(Chain(inertia=0.7), "Algorithm 3")
    assert found.name == NO_MAPPING
    assert not found.confident
    assert found.sentence.startswith("no mapping found: Algorithm 3: ")
    found = told(Chain(inertia=0.7, draws=False), "Algorithm 3", seed=3)
    assert found.name == NO_MAPPING
    assert "is refuted by 12000" in found.sentence


def test_a_mistake_that_shows_nowhere_else_than_asked_is_not_guessed() -> None:
    class Capped(Chain):
        def slope(self, loss, states):
            return np.clip(loss.gradient(states[-1]), -0.4, 0.4)

    assert told(Capped(), "Algorithm 3").name == NO_MAPPING


def test_coefficients_that_hold_on_quadratics_alone_are_not_told() -> None:
    class Partly(Chain):
        variance = 0.81

        def slope(self, loss, states):
            factor = 1.0 if loss.kind == "quadratic" else 1.5
            return factor * loss.gradient(states[-1])

    assert fit(Witness(Partly()), ask(Witness(Partly()), "Algorithm 3")) is None
    assert told(Partly(), "Algorithm 3").name == NO_MAPPING


# --- the law


@pytest.mark.parametrize("variance", [0.5, 2.0])
def test_noise_is_named_from_outputs_alone(variance: float) -> None:
    found = told(Chain(variance=variance, draws=False), "Algorithm 3", seed=2)
    assert found.route == "law"
    assert found.name == {0.5: "S34", 2.0: "S04"}[variance]
    assert found.log_odds is not None
    assert found.log_odds > np.log(1e3)
    assert "next best" in found.sentence


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("S13", "Algorithm 3"), ("S25", "Algorithm 3"), ("S32", "Algorithm 3"),
        ("H02", "Algorithm 5"), ("H09", "Algorithm 5"), ("H24", "Algorithm 5"),
    ],
)  # fmt: skip
def test_mistakes_are_named_from_their_law(name: str, family: str) -> None:
    found = by_law(Witness(faulty(name)), family, 4)
    assert found is not None
    assert found.ids == (name,)


def test_a_law_near_the_right_one_is_not_named() -> None:
    # one per cent of noise needs more outputs than are drawn
    found = by_law(Witness(faulty("X30")), "Algorithm 3", 0)
    assert found is None or not found.confident


class Later(Alone):
    """A right chain that averages the new states, as declared; without draws."""

    conventions: ClassVar = {"sgld.chain": "new-states"}

    def sgld_mean(
        self, loss, x, tau, step_sizes, *, start=None, draws=None, n=1, seed=None
    ):
        more = np.append(step_sizes, 1.0)
        z = self.normals(x, more, draws, n, seed)
        y = np.tile(x if start is None else start, (len(z), 1))
        total = 0.0 * y
        for eps, noise in zip(step_sizes, np.moveaxis(z, 1, 0), strict=True):
            y = y - eps / 2 * (loss.gradient(y) + (y - x) / tau) + np.sqrt(eps) * noise
            total = total + eps * y
        return total / np.sum(step_sizes)


class LaterFromCentre(Later):
    def sgld_mean(self, *args, start=None, **given):
        if start is not None:
            raise NotImplementedError("chains start at the centre")
        return super().sgld_mean(*args, **given)


@pytest.mark.parametrize(
    "right",
    [
        FromCentre(),
        FromCentre(rate=0.25, conventions={"sgld.output": "exponential-average:0.25"}),
        Later(),
        LaterFromCentre(),
        Single(LaterFromCentre()),
    ],
)
def test_nothing_is_wrong_with_what_takes_no_start_or_has_another_reading(
    right: Any,
) -> None:
    for seed in range(3):
        examined = examine(right, ["Algorithm 3"], seed=seed)
        assert examined.found == {}
        assert 0 < examined.answered <= examined.asked
        assert (examined.answered < examined.asked) == (examined.refused != "")


def test_laws_that_agree_on_what_is_answered_are_one() -> None:
    laws = laws_of(Witness(Chain()), "Algorithm 3")
    few = distinct(laws, [0, 1])
    assert len(few) < len(laws)
    assert few[0].said == "the right algorithm"
    assert {"X09", "X24"} <= set(few[0].ids)  # which show with a start, or small tau


def test_a_law_near_a_mistake_is_not_given_its_name() -> None:
    assert not by_law_is_confident(Chain(variance=1.9), "Algorithm 3")
    assert not by_law_is_confident(Descent(variance=1.85), "Algorithm 5")


@pytest.mark.slow
@pytest.mark.parametrize(("power", "variance"), [(3.0, 1.2), (1.0, 1.2), (1.0, 2.2)])
def test_weights_and_samples_near_a_mistake(power: float, variance: float) -> None:
    subject = Weighted(power=power, variance=variance)
    assert not by_law_is_confident(subject, "Algorithm 4")


@pytest.mark.slow
@pytest.mark.parametrize("power", [0.8, 1.5, 3.0])
def test_a_power_of_the_weights_that_no_mistake_has_is_found(power: float) -> None:
    found = by_law(Witness(Weighted(power=power)), "Algorithm 4", 4)
    assert found is not None
    assert found.ids == ()
    told_of = re.search(r"kappa between ([\d.]+) and ([\d.]+): ", found.sentence)
    assert told_of is not None
    low, high = map(float, told_of.groups())
    assert low < power < high < 1.3 * low


def by_law_is_confident(subject: object, family: str) -> bool:
    found = by_law(Witness(subject), family, 4)
    assert found is not None
    return found.confident


@pytest.mark.parametrize("family", ["Algorithm 3", "Algorithm 4", "Algorithm 5"])
def test_a_minus_before_the_draws_is_said_and_equivalent_to_nothing(
    family: str,
) -> None:
    of = {"Algorithm 3": Chain, "Algorithm 4": Weighted, "Algorithm 5": Descent}
    plain = of[family]()

    class Mirrored:
        name = "mirrored"

        def __getattr__(self, method: str) -> Any:
            called = getattr(plain, method)
            if not callable(called):
                return called

            def mirrored(*args: Any, draws: Any = None, **more: Any) -> Any:
                return called(*args, draws=None if draws is None else -draws, **more)

            return mirrored

    found = told(Mirrored(), family)
    assert "the draws with a minus (the law is the same)" in found.sentence
    assert "this is" not in found.sentence
    assert found.equivalent == ""


def test_what_gave_no_answer_is_not_compared() -> None:
    class Mute(Chain):
        def sgld_mean(self, *args: Any, **more: Any) -> Any:
            raise ValueError("not today")

    sentence = told(Mute(), "Algorithm 3").sentence
    assert "it gave no answer to compare: sgld_mean raised ValueError" in sentence


class Faulty(Chain):
    """A chain that does something at every call from the third on."""

    def __init__(self, fault: Callable[[Any], Any]) -> None:
        super().__init__()
        self.fault, self.calls = fault, 0

    def sgld_mean(self, loss, x, *args: Any, **given: Any) -> Any:
        found = super().sgld_mean(loss, x, *args, **given)
        self.calls += 1
        return found if self.calls < 3 else self.fault((x, found))


def raising(_: Any) -> Any:
    raise RuntimeError("out of memory")


def changing(given: Any) -> Any:
    given[0][0] += 1.0
    return given[1]


@pytest.mark.parametrize(
    ("fault", "said_of"),
    [
        (lambda given: np.nan * given[1], "its answer is not finite"),
        (raising, "sgld_mean raised RuntimeError: out of memory"),
        (lambda given: given[1].T[None], "sgld_mean returned shape ("),
        (changing, "sgld_mean changed its argument x in place"),
    ],
)
def test_what_is_the_matter_where_there_are_no_numbers(
    fault: Callable[[Any], Any], said_of: str
) -> None:
    sentence = told(Faulty(fault), "Algorithm 3", laws=False).sentence
    assert sentence.startswith(f"no mapping found: Algorithm 3: {said_of}")
    assert ", in 3 of 5 questions; the other answers are right" in sentence
    assert "no known mistake" not in sentence


@pytest.mark.slow
def test_importance_sampling_is_named_from_its_law() -> None:
    for name in ("I04", "I13", "I21"):
        found = by_law(Witness(faulty(name)), "Algorithm 4", 4)
        assert found is not None
        assert found.ids == (name,)
    assert by_law(Witness(Refimpl()), "Algorithm 4", 4) is None


# --- seeds and replicates


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("X03", "minibatches"), ("X04", "minibatches"), ("X15", "minibatches"),
        ("X20", "minibatches"), ("X05", "Algorithm 3"), ("X06", "Algorithm 5"),
        ("X08", "Algorithm 4"), ("X11", "Algorithm 3"), ("X17", "Algorithm 3"),
        ("X19", "Algorithm 3"),
    ],
)  # fmt: skip
def test_patterns_of_seeds_are_named(name: str, family: str) -> None:
    found = behaviour(Witness(faulty(name)), family)
    assert found is not None
    assert found.ids == (name,)
    assert found.route == "behaviour"


class Forgetful(Alone):
    def generator(self, seed):
        return np.random.default_rng(0 if seed is None else None)


class Unready(Alone):
    def generator(self, seed):
        raise RuntimeError("no generator")


class Undefined(Alone):
    def sgld_mean(self, *given, draws=None, **options):
        output = super().sgld_mean(*given, draws=draws, **options)
        return output if draws is not None else np.nan * output


@pytest.mark.parametrize(
    ("subject", "seen"),
    [
        (Forgetful(), "two calls with the same seed differ, two calls without a seed "
         "agree"),
        (Unready(), "sgld_mean raised RuntimeError: no generator"),
        (Undefined(), "which is not finite"),
    ],
)  # fmt: skip
def test_what_is_seen_without_draws_is_told_though_it_has_no_name(
    subject: Chain, seen: str
) -> None:
    found = told(subject, "Algorithm 3", seed=1)
    assert found.name == NO_MAPPING
    assert not found.confident
    start = "no mapping found: Algorithm 3, with random numbers of its own: "
    assert found.sentence.startswith(start)
    assert seen in found.sentence
    assert found.sentence.count(" raised ") <= 1
    assert list(diagnose(subject, ["Algorithm 3"], seed=1)) == ["Algorithm 3"]


def test_what_is_seen_stands_beside_what_is_named() -> None:
    found = told(Forgetful(variance=0.5, draws=True), "Algorithm 3", laws=False)
    assert found.name == "S34"
    unexplained = told(Forgetful(inertia=0.7), "Algorithm 3", laws=False)
    assert "no coefficients explain" in unexplained.sentence
    assert "besides, Algorithm 3, with random numbers" in unexplained.sentence
    assert "RuntimeError" in told(Unready(), "Algorithm 3", laws=False).sentence


def test_a_chain_without_random_numbers_is_named_by_its_law() -> None:
    class Silent(Chain):
        variance, draws = 0.0, False

    found = told(Silent(), "Algorithm 3", seed=1)
    assert found.name == "S25"
    assert "besides, " in found.sentence
    assert "all replicates of a call agree" in found.sentence


def test_random_numbers_that_are_a_constant_have_a_name() -> None:
    class Constant(Alone):
        def generator(self, seed):
            return np.random.default_rng(0)

    found = told(Constant(), "Algorithm 3")
    assert found.name == "own randomness is a constant"
    assert found.confident
    assert found.ids == ()
    assert found.sentence.startswith("all calls agree, with whatever seed")


@pytest.mark.parametrize(
    ("name", "said"),
    [("X06", "without a seed"), ("X17", "2^16"), ("X07", "the seed is ignored")],
)
def test_patterns_of_whole_runs_are_named(name: str, said: str) -> None:
    found = told(faulty(name), "runs")
    assert found.ids == (name,)
    assert said in found.sentence


# --- recordings


def recorded(chain: Any, **more: Any) -> dict[str, Any]:
    """Three runs of a chain as a recording of their outputs."""
    from verification.losses import Quadratic

    loss = Quadratic([[1.25, 0.5], [0.5, 0.75]], [0.5, -0.25])
    x, steps = np.array([0.8, -1.3]), np.array([0.31, 0.12, 0.27, 0.2])
    z = np.random.default_rng(5).standard_normal((4, 3, 2))
    output = chain.sgld_mean(loss, x, 0.6, steps, draws=z)
    data: dict[str, Any] = {
        "recording": 1,
        "algorithm": 3,
        "loss": loss.to_json(),
        "x": x.tolist(),
        "tau": 0.6,
        "step_sizes": steps.tolist(),
        "draws": z.tolist(),
        "output": output.tolist(),
    }
    return data | more


def saved(folder: Path, data: Any) -> Path:
    place = folder / "recorded.json"
    place.write_text(data if isinstance(data, str) else json.dumps(data))
    return place


def test_the_recording_of_the_documentation(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    found = diagnose_recording(read(saved(tmp_path, example)))
    assert found is not None
    assert "noise variance 0.80 of eps" in found.sentence
    said = " ".join(PAGE.read_text().replace("> ", "").split())
    assert found.sentence in said


def test_recorded_outputs(tmp_path: Path) -> None:
    def of(chain: Chain) -> Diagnosis | None:
        return diagnose_recording(read(saved(tmp_path, recorded(chain))))

    assert of(Chain()) is None
    found = of(Chain(variance=0.5))
    assert found is not None
    assert found.name == "S34"
    assert found.equivalent == "Algorithm 3 for 2 f and tau/2 with step eps/2"
    found = of(Chain(pull=1.3, variance=0.81))
    assert found is not None
    assert found.name == "pull 1.30 eps/(2 tau); noise variance 0.81 of eps"
    for chain in (Chain(anchor=0.0), Chain(drift=0.0), Chain(drift=0.1, variance=1e-8)):
        found = of(chain)
        assert found is not None
        assert found.route == "fit"
    assert "noise variance 1e-08 of eps" in found.name


@pytest.mark.parametrize(
    ("algorithm", "make"),
    [
        (4, lambda *a, **k: Weighted(power=1.7).importance_mean(*a, 5, **k)),
        (
            5,
            lambda *a, **k: Descent(gradient=0.8).robbins_monro(*a, [0.3, 0.2], 3, **k),
        ),
    ],
)
def test_recordings_of_the_other_algorithms(
    algorithm: int, make: Callable[..., Any], tmp_path: Path
) -> None:
    from verification.problems import WELLS_2

    shape = (4, 5, 2) if algorithm == 4 else (4, 2, 3, 2)
    z, x = np.random.default_rng(6).standard_normal(shape), np.array([0.8, -1.3])
    data = recorded(Chain()) | {
        "algorithm": algorithm,
        "loss": WELLS_2.to_json(),
        "draws": z.tolist(),
        "step_sizes": [0.3, 0.2],
        "output": make(WELLS_2, x, 0.6, draws=z).tolist(),
    }
    found = diagnose_recording(read(saved(tmp_path, data)))
    assert found is not None
    assert found.equivalent == f"Algorithm {algorithm} for " + (
        "1.70 f" if algorithm == 4 else "0.80 f"
    )


def without(key: str) -> dict[str, Any]:
    return {k: v for k, v in recorded(Chain()).items() if k != key}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "no JSON: .* in line 1"),
        ("[" * 100_000, "lists or objects stand too deep in others"),
        ("1" * 5000, "a number beyond all bounds"),
        (recorded(Chain(), loss={"kind": [1]}), '"kind" is in'),
        (recorded(Chain(), loss={"kind": "quadratic", "H": {}, "m": [[[]]], "c": None}),
         "of kind quadratic: "),
        (recorded(Chain(), algorithm=[3]), r'"algorithm" is 3, 4 or 5, got \[3\]'),
        (recorded(Chain(), algorithm=3.0), '"algorithm" is 3, 4 or 5, got 3.0'),
        (recorded(Chain(), recording=True), '"recording" is the format, 1, got True'),
        (recorded(Chain(), tau=10**400), '"tau" must be numbers'),
        (recorded(Chain(), x=[True, 1.0]), '"x" must be numbers'),
        (recorded(Chain(), x=["0.8", "1"]), '"x" must be numbers'),
        (recorded(Chain(), draws={"kind": 1}), '"draws" must be numbers'),
        (recorded(Chain(), workers=10**9), '"workers" is a count up to 4096, got'),
        ("[1, 2]", "a recording is an object"),
        (without("loss"), "keys are missing: loss"),
        (without("step_sizes"), '"step_sizes" must be given'),
        (without("output"), '"states" or "output" must be given'),
        (recorded(Chain(), temperature=1), "unknown keys temperature"),
        (recorded(Chain(), recording=2), '"recording" is the format, 1, got 2'),
        (recorded(Chain(), algorithm=6), '"algorithm" is 3, 4 or 5, got 6'),
        (recorded(Chain(), loss={"kind": "cubic"}), '"kind" is in'),
        (recorded(Chain(), loss={"kind": "linear"}), "of kind linear: linear needs"),
        (recorded(Chain(), x=[1.0]), '"x" has 1 entries, the loss 2 parameters'),
        (recorded(Chain(), x="far"), '"x" must be numbers'),
        (recorded(Chain(), tau=-1), "tau. is a variance and must be positive"),
        (recorded(Chain(), tau=[1]), '"tau" must have a number'),
        (recorded(Chain(), step_sizes=[0.1, 0.0]), '"step_sizes" must be positive'),
        (recorded(Chain(), draws=[[1.0], [2.0, 3.0]]), '"draws" must be numbers'),
        (recorded(Chain(), draws=[[1.0, 2.0]]), r'"draws" must have shape \(1, 3, 2\)'),
        (recorded(Chain(), output=[0.0, 1e999]), '"output" must be finite'),
        (recorded(Chain(), output=[0.0, 1.0]), r'"output" must have shape \(4, 2\)'),
        (recorded(Chain(), states=[[0.0, 1.0]]), r'"states" must have shape'),
        (recorded(Chain(), workers=0), '"workers" is a count up to 4096, got 0'),
        (recorded(Chain(), dtype="float16"), "the recording's dtype must be"),
        (recorded(Chain(), conventions={"sgld": 1}), "declares the convention 'sgld'"),
    ],
)  # fmt: skip
def test_a_malformed_recording_is_refused_in_one_sentence(
    data: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadRecording, match=said) as caught:
        read(saved(tmp_path, data))
    assert "\n" not in str(caught.value)


@st.composite
def disturbed(draw: Any) -> Any:
    """A recording with something in it that does not belong there."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
        | st.sampled_from([10**400, 1e300, -1e-300, "float32", "quadratic"]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "H", "m", "sgld.chain"]), inner),
        max_leaves=6,
    )  # fmt: skip
    data = recorded(Chain())
    keys = [*data, "start", "workers", "conventions", "dtype", "states"]
    for _ in range(draw(st.integers(1, 2))):
        at, key = data, draw(st.sampled_from(keys))
        while isinstance(at.get(key) if isinstance(at, dict) else at[key], list | dict):
            if draw(st.booleans()):
                break
            at = at[key]
            if not at:
                return data
            key = draw(st.sampled_from([*at] if isinstance(at, dict) else [0, -1]))
        at[key] = draw(anything)
    return data


@given(data=disturbed())
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_whatever_a_file_holds_it_is_read_or_refused(
    data: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.getbasetemp() / "disturbed.json"
    place.write_text(json.dumps(data))
    said_of = ""
    try:
        read(place)
    except BadRecording as refusal:
        said_of = str(refusal)
    assert "\n" not in said_of
    assert len(said_of) < 500 + len(str(place))


def test_numbers_beyond_all_bounds_have_no_mapping(tmp_path: Path) -> None:
    for factor in (1e155, 1e300):
        data = recorded(Chain())
        data["output"] = (factor * np.array(data["output"])).tolist()
        found = diagnose_recording(read(saved(tmp_path, data)))
        assert found is not None
        assert not found.confident


def test_no_file_is_a_usage_error(tmp_path: Path, capsys: Any) -> None:
    assert main(["diagnose", str(tmp_path / "none.json")]) == 4
    assert main(["diagnose"]) == 4
    said = capsys.readouterr().err
    assert "No such file" in said
    assert "give recordings, or --subject, or --command, or --confusion" in said


@pytest.mark.parametrize("text", ["[" * 100_000, json.dumps({"loss": {"kind": [1]}})])
def test_nonsense_is_a_usage_error(text: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["diagnose", str(saved(tmp_path, text))]) == 4
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command(tmp_path: Path, capsys: Any) -> None:
    wrong = saved(tmp_path, recorded(Chain(variance=0.5)))
    report = tmp_path / "told.json"
    assert main(["diagnose", str(wrong), "--json", str(report)]) == 1
    said = " ".join(capsys.readouterr().out.split())  # lines break where they must
    assert "S34: the noise has variance" in said
    (found,) = json.loads(report.read_text())["diagnoses"].values()
    assert found["equivalent_problem"].startswith("Algorithm 3 for 2 f")
    right = saved(tmp_path, recorded(Chain()))
    assert main(["diagnose", str(right)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing is wrong" in said
    assert "1 of 2 questions answered" in said


def test_the_command_on_a_subject(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects: dict[str, Any] = {
        "right": FromCentre(), "wrong": FromCentre(variance=0.5),
        "refusing": Refusing(), "empty": object(),
    }  # fmt: skip
    module = sys.modules["verification.__main__"]
    monkeypatch.setattr(module, "connect", lambda name, *_: subjects[name])
    report = tmp_path / "told.json"
    said_of = {}
    for name, code in (("right", 0), ("wrong", 1), ("refusing", 5), ("empty", 5)):
        assert main(["diagnose", "--subject", name, "--json", str(report)]) == code
        said_of[name] = " ".join(capsys.readouterr().out.split())
        data = json.loads(report.read_text())
        assert bool(data["diagnoses"]) == (name == "wrong")
        assert (data["questions"]["answered"] > 0) == (code != 5)
    counts = re.search(r"(\d+) of (\d+) questions answered", said_of["right"])
    assert counts is not None
    assert 0 < int(counts[1]) < int(counts[2])
    assert "the first of the others: chains start at the centre" in said_of["right"]
    assert "S34: the noise has variance epsilon/2 where epsilon is" in said_of["wrong"]
    asked = data_of_refusals(Refusing())
    assert f"all {asked} questions were refused, the first with" in said_of["refusing"]
    assert '"not yet: chain"' in said_of["refusing"]
    assert "docs/diagnosis.md#recordings" in said_of["refusing"]
    assert "it offers no method that a diagnosis calls" in said_of["empty"]


def test_what_may_be_declared_is_explained(capsys: Any) -> None:
    assert main(["explain", "X01", "S28", "loss.reduction"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "(a reading: sgld.output = exponential-average:0.25)" in said
    assert "(a reading: loss.reduction = sum, if it is meant)" in said
    assert "loss.reduction values mean (by default), sum allows S28 the grad" in said


class Refusing:
    """It has methods, and answers nothing."""

    def sgld_mean(self, *args: Any, **given: Any) -> Any:
        raise NotImplementedError("not yet: chain")

    def robbins_monro(self, *args: Any, **given: Any) -> Any:
        raise NotImplementedError("not yet: descent")


def data_of_refusals(subject: object) -> int:
    examined = examine(subject, seed=0)
    assert examined.empty
    assert examined.found == {}
    return examined.asked


def test_the_command_line_starts_without_what_few_of_its_commands_need() -> None:
    code = "import sys, verification.__main__; print('scipy.stats' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


# --- in a run


def test_a_failing_run_says_what_is_computed() -> None:
    report = run(Chain(variance=0.5), find(["ALG3-I", "ALG4-R1"]), seed=1)
    found = report.diagnoses["ALG3-I"]
    assert found.name == "S34"
    assert set(report.diagnoses) == {"ALG3-I"}
    assert report.diagnosis == found
    assert found.as_check().keys() == {"name", "sentence", "agreement"}
    assert found.as_whole().keys() == {"name", "sentence", "equivalent_problem"}


def test_a_report_with_a_diagnosis_fits_its_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from verification.report import json_report

    schema = ROOT / "verification" / "report" / "report.schema.json"
    report = run(Chain(variance=0.5), find(["ALG3-I"]), seed=1)
    data = json_report.as_json(report)
    jsonschema.validate(data, json.loads(schema.read_text()))
    assert data["checks"][0]["diagnosis"]["name"] == data["diagnosis"]["name"] == "S34"


def test_a_conforming_subject_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*given: Any, **options: Any) -> Any:
        raise AssertionError("nothing failed")

    monkeypatch.setattr("verification.runner.diagnose_failures", never)
    report = run(Chain(), find(["ALG3-I"]), seed=1)
    assert [o.verdict for o in report.outcomes] == [Verdict.PASS]
    assert report.diagnosis is None


def test_a_defect_of_the_diagnosis_spoils_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*given: Any, **options: Any) -> Any:
        raise ZeroDivisionError("ours")

    module = sys.modules["verification.diagnosis.diagnose"]
    monkeypatch.setattr(module, "ask", broken)
    report = run(Chain(variance=0.5), find(["ALG3-I"]), seed=1)
    assert report.exit_code == 1
    assert report.diagnosis is not None
    assert "the diagnosis itself raised ZeroDivisionError" in report.diagnosis.sentence


def test_several_diagnoses_as_one() -> None:
    one = Diagnosis("S03", "this", "signature", ("S03",), 1e-16)
    other = Diagnosis("H02", "that", "signature", ("H02",), 1e-15, "an equivalent")
    fuller = Diagnosis("S03", "this; read off", "signature", ("S03",), 1e-17)
    again = joined([one, fuller])
    assert again is not None
    assert again.sentence == "this; read off"
    both = joined([no_mapping("why"), one, other, one])
    assert both is not None
    assert both.name == f"S03, H02, {NO_MAPPING}"
    assert both.sentence == f"this; that; {NO_MAPPING}: why"
    assert (both.agreement, both.equivalent) == (1e-15, "an equivalent")
    assert joined([]) is None
    assert joined([no_mapping("why")]) == no_mapping("why")


def test_a_check_of_several_families_has_all_diagnoses() -> None:
    failures = {"X-1": Failure(("sgld_mean", "heat")), "X-2": Failure(("heat",))}
    found, whole = diagnose_failures(Chain(variance=0.5), failures, seed=0)
    assert set(found) == {"X-1"}
    assert whole == found["X-1"]


def failing(*ids: str) -> dict[str, Failure]:
    """Checks as if they had failed."""
    return {
        check.id: Failure((*check.needs, *check.any_of), check.level, check.mistakes)
        for check in find(ids)
    }


class Continued(Alone):
    """A subject that seeds its stream only where it is given a seed: X19."""

    def __init__(self, **knobs: Any) -> None:
        super().__init__(**knobs)
        self.stream = np.random.default_rng()

    def generator(self, seed):
        if seed is not None:
            self.stream = np.random.default_rng(seed)
        return self.stream


def test_a_name_is_given_to_those_checks_that_it_explains() -> None:
    checks = failing("ALG3-R1", "ALG3-I", "ALG3-L1", "VEC-15", "RNG-04", "RNG-02")
    subject = Continued(variance=0.5, rate=0.25)
    found, whole = diagnose_failures(subject, checks, seed=0)
    names = {check: told_of.name for check, told_of in found.items()}
    assert names.pop("RNG-04") == "X19"
    assert set(names) == {"ALG3-R1", "ALG3-I", "ALG3-L1", "VEC-15"}
    assert set(names.values()) == {"S34+X01"}
    assert whole is not None
    assert whole.name == "S34+X01, X19"
    found, whole = diagnose_failures(subject, failing("RNG-04"), seed=0)
    assert whole == found["RNG-04"]
    assert whole.name == "X19"


def test_what_has_no_name_is_not_given_that_of_another_fault() -> None:
    checks = failing("ALG3-R1", "RNG-04")
    found, whole = diagnose_failures(Continued(inertia=0.7), checks, seed=0)
    assert {check: told_of.name for check, told_of in found.items()} == {
        "ALG3-R1": NO_MAPPING,
        "RNG-04": "X19",
    }
    assert whole is not None
    assert whole.name == f"X19, {NO_MAPPING}"
    apart = diagnose(Continued(inertia=0.7), ["Algorithm 3"], seed=1)
    assert {part: told_of.name for part, told_of in apart.items()} == {
        "Algorithm 3": NO_MAPPING,
        "Algorithm 3, without draws": "X19",
    }
    # what shows without draws and has no name is told of checks of randomness alone
    found, _ = diagnose_failures(Forgetful(rate=0.25), checks, seed=0)
    assert found["ALG3-R1"].name == "X01"
    assert "two calls with the same seed differ" in found["RNG-04"].sentence


def test_mistakes_that_the_law_names_are_not_those_of_seeds_or_replays() -> None:
    checks = failing("ALG3-R1", "ALG3-L1", "RNG-04")
    subject = Chain(variance=0.5, draws=False)
    found, _ = diagnose_failures(subject, checks, seed=2)
    assert {check: told_of.name for check, told_of in found.items()} == {
        "ALG3-R1": "S34",  # which promises to catch it
        "ALG3-L1": "S34",
    }


def test_what_a_mistake_does_without_draws_is_no_further_one() -> None:
    # without noise all calls agree
    found = findings(Witness(Chain(variance=0.0)), "Algorithm 3", laws=False)
    assert found.given is not None
    assert found.given.name == "S25"
    assert found.own is None
    found = findings(Witness(Forgetful(variance=0.0)), "Algorithm 3", laws=False)
    assert found.own is None
    found = findings(Witness(Forgetful(variance=0.5)), "Algorithm 3", laws=False)
    assert found.own is not None


def test_draws_that_are_ignored_explain_replays() -> None:
    found, _ = diagnose_failures(faulty("X11"), failing("ALG3-R1"), seed=0)
    assert found["ALG3-R1"].name == "X11"


def test_several_temperatures_have_no_diagnosis_but_mistakes_to_look_up() -> None:
    found, whole = diagnose_failures(
        Refimpl(), failing("MS-01", "MS-R1", "MS-12"), seed=0
    )
    assert set(found) == {"MS-01", "MS-R1", "MS-12"}
    assert whole == found["MS-01"] == found["MS-12"]
    assert whole is not None
    assert not whole.confident
    assert "`verification explain MS-01 MS-12 MS-R1` lists" in whole.sentence


# --- the evidence


def test_the_right_answers_of_the_questions_are_those_of_the_implementation() -> None:
    from verification.mistakes.played import Played

    for reading in ({}, {"sgld.output": "exponential-average:0.3"}):
        complete = {key: values[0] for key, values in CONVENTIONS.items()} | reading
        own = Witness(Played(conventions=complete))
        assert {answered(own, q) is not None for q in questions(own, "Algorithm 3")}
    theirs, own = Witness(Refimpl()), Witness(Played())
    for family in FAMILIES:
        for q in questions(theirs, family):
            one, other = answered(theirs, q), answered(own, q)
            if not isinstance(one, str):
                assert difference(one, other) < 1e-9, (q.method, q.label)


def test_the_questions_tell_the_mistakes_apart() -> None:
    chosen = {name for name in CATALOGUE if name[0] == "S"}
    assert chosen <= set(identifiable("Algorithm 3"))
    assert len(identifiable("networks")) >= 20
    assert "X05" not in identifiable("Algorithm 3")  # given its draws it is right


def test_the_confusion_of_a_few() -> None:
    chosen = [CATALOGUE[name] for name in ("S04", "S35", "X09", "X05", "X15")]
    table = confusion(Refimpl(), chosen, families=("Algorithm 3", "minibatches"))
    assert table.counted("replay") == (3, 3)
    assert table.counted("behaviour") == (2, 2)
    assert table.counted("law") == (3, 3)
    assert table.ok


def test_pairs_are_counted(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    asked = ("S10 + S34", "noise variance 0.81 + S10", "noise variance 0.81 + S35")
    of = [c for c in couples() if c.family == "Algorithm 3"]
    chosen = [c for c in of if c.name in (*asked, "drift 1.3 + pull 0.7")]
    assert len(chosen) == 4
    found = diagnosed(chosen)
    assert {couple.name: couple.verdict for couple in found} == {
        asked[0]: "named",
        asked[1]: "read",
        asked[2]: "silent",
        "drift 1.3 + pull 0.7": "read",
    }
    printer = PairPrinter(Terminal())
    printer.footer(found)
    assert "silent noise variance 0.81 + S35" in " ".join(
        capsys.readouterr().out.split()
    )
    data = pairs_as_json(found)
    assert data["counts"]["Algorithm 3, slips"] == {"named": 1}
    module = sys.modules["verification.diagnosis.combined"]
    for name, verdict in (("S34", "wrong"), ("S10+S34", "named")):
        guess = Diagnosis(name, "a guess", "signature", tuple(name.split("+")))
        monkeypatch.setattr(module, "of_family", lambda *_, g=guess, **__: g)
        (couple,) = diagnosed([c for c in chosen if c.name == asked[0]])
        assert couple.verdict == verdict
    monkeypatch.setattr(module, "of_family", lambda *_, **__: None)
    (couple,) = diagnosed(chosen[:1])
    assert couple.verdict == "unseen"


def test_the_pairs_of_the_documentation_are_there() -> None:
    """Each row of the table adds up, and nothing in it is wrong."""
    rows = re.findall(
        r"^\| ([^|]*), (slips|a slip and [^|]*|coeff[^|]*) \|(.*)\|$",
        PAGE.read_text(),
        re.M,
    )
    counted = {f"{family}, {kind}": row.split("|") for family, kind, row in rows}
    assert counted.keys() == {couple.kind for couple in couples()}
    for row in counted.values():
        every, *parts = (int(number) for number in row)
        assert every == sum(parts)
        assert parts[-1] == 0


@pytest.mark.slow
def test_no_pair_is_told_wrong() -> None:
    assert not [c.name for c in diagnosed(couples()) if c.verdict == "wrong"]


def test_a_confident_wrong_answer_is_counted() -> None:
    wrong = Diagnosis("S03", "this", "signature", ("S03",), 0.0)
    table = Confusion((Told("S04", "Algorithm 3", "replay", wrong, True),))
    assert [one.planted for one in table.wrong] == ["S04"]
    assert not table.ok
    silent = Told("S04", "Algorithm 3", "law", no_mapping("why"), True)
    assert (silent.verdict, Confusion((silent,)).ok) == ("silent", False)


@pytest.mark.slow
def test_the_confusion_of_all() -> None:
    table = confusion(Refimpl())
    assert table.wrong == []
    assert table.ok
