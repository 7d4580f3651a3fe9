"""The measured accuracy of Algorithms 3, 4 and 5: problems, records, figures, command.

Exact answers are found again by another route: forty digits, product rules of another
kind, one-dimensional integrals, stationarity.  The stochastic tests compare with a law
and name their false alarm probability, and what they would see.
"""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import approx_fprime
from scipy.special import softmax

from refimpl.__main__ import main
from refimpl.errors import InvalidParameter, NotCertified
from refimpl.experiments import accuracy, accuracy_plots, chains, records
from refimpl.experiments import problems as P
from refimpl.laws import GibbsLaw
from refimpl.losses import GaussianMixture, Quadratic, Quartic
from refimpl.output_laws import sgld_law
from refimpl.schedules import Constant, PowerLaw, steps
from verification import losses as data
from verification.truth import closed_forms, proximal
from verification.truth.carriers import MP

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
ALGORITHMS = list(accuracy.ALGORITHMS)
NAMES = [problem.name for problem in P.problems()]
SIX_SIGMA = 2e-9  # two-sided, of a normal variable beyond six standard errors


@cache
def problem(name: str) -> P.Problem:
    return next(one for one in P.problems() if one.name == name)


def as_data(f: Any) -> Any:
    """The loss as plain data of the judge."""
    if isinstance(f, GaussianMixture):
        return data.GaussianMixture(f.weights, f.means, f.covariances)
    return data.Quartic(f.c4, f.c3, f.c2, f.coupling)


def integrals(q: GibbsLaw, times: float) -> tuple[float, np.ndarray, np.ndarray]:
    """log Z, mean and covariance of exp(-times f) phi, d <= 3, by Gauss-Legendre.

    The rule has eighty nodes a side on a cube around the wells, and 1e-12 of the
    largest answer as its error: with a hundred nodes nothing changes.
    """
    nodes, weights = np.polynomial.legendre.leggauss(80)
    d, reach = q.x.size, 5.5
    y = np.stack(np.meshgrid(*[reach * nodes] * d, indexing="ij"), -1).reshape(-1, d)
    w = np.prod(np.meshgrid(*[reach * weights] * d, indexing="ij"), axis=0).ravel()
    shift = y - q.x
    exponent = -times * q.f(y) - 0.5 * (shift * shift).sum(axis=1) / q.tau
    density = w * np.exp(exponent - exponent.max()) / (2 * np.pi * q.tau) ** (d / 2)
    mass = density.sum()
    mean = density @ y / mass
    covariance = (y - mean).T @ ((y - mean) * density[:, None]) / mass
    return float(np.log(mass) + exponent.max()), mean, covariance


def separate(q: GibbsLaw) -> list[GibbsLaw]:
    """The coordinates of the rotated wells, read from the fields of the loss."""
    f: Any = q.f
    x = f.R.T @ q.x
    return [
        GibbsLaw(Quartic([f.g.c4[i]], [f.g.c3[i]], [f.g.c2[i]]), x[i : i + 1], q.tau)
        for i in range(f.d)
    ]


# --- exact answers --------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("mixture")])
def test_the_mean_on_mixtures_in_forty_digits(name: str) -> None:
    one = problem(name)
    truth = closed_forms.posterior_mean(
        MP(40), as_data(one.q.f), one.q.x.tolist(), one.q.tau
    )
    assert np.abs(one.mean - np.array([float(v) for v in truth])).max() < 1e-13


@pytest.mark.parametrize(
    "name", ["mixture-1", "mixture-2", "wells-1", "wells-2", "wells-3"]
)
def test_mean_entropy_and_weights_by_another_quadrature(name: str) -> None:
    one = problem(name)
    log_mass, mean, _ = integrals(one.q, 1)
    log_mass_2, mean_2, covariance_2 = integrals(one.q, 2)
    shift = mean_2 - mean
    w = one.weighting
    assert np.abs(one.mean - mean).max() < 1e-9
    assert one.local_entropy == pytest.approx(-log_mass, abs=1e-9)
    assert w.log_rho == pytest.approx(log_mass_2 - 2 * log_mass, abs=1e-9)
    assert np.abs(w.shift - shift).max() < 1e-9
    assert w.spread == pytest.approx(np.trace(covariance_2) + shift @ shift, rel=1e-9)


def test_the_rotated_wells_coordinate_by_coordinate() -> None:
    one = problem("wells-10")
    assert isinstance(one.q.f, P.Rotated)
    R = one.q.f.R
    parts = [(integrals(q, 1), integrals(q, 2)) for q in separate(one.q)]
    mean = np.array([a[1][0] for a, _ in parts])
    shift = np.array([b[1][0] - a[1][0] for a, b in parts])
    log_rho = sum(b[0] - 2 * a[0] for a, b in parts)
    spread = sum(b[2][0, 0] for _, b in parts) + shift @ shift
    assert np.abs(R.T @ one.mean - mean).max() < 1e-9
    assert np.abs(R.T @ one.weighting.shift - shift).max() < 1e-9
    assert one.weighting.log_rho == pytest.approx(log_rho, abs=1e-9)
    assert one.weighting.spread == pytest.approx(spread, rel=1e-9)
    assert one.local_entropy == pytest.approx(-sum(a[0] for a, _ in parts), abs=1e-9)


def test_one_coordinate_of_the_rotated_wells_in_twenty_digits() -> None:
    one = problem("wells-10")
    q, whole = separate(one.q)[3], one.q.f
    f: Any = q.f
    assert isinstance(whole, P.Rotated)
    a, b, c, x = float(f.c4[0]), float(f.c3[0]), float(f.c2[0]), float(q.x[0])

    def density(y: Any) -> Any:
        loss = a * y**4 / 4 + b * y**3 / 3 + c * y**2 / 2
        return mpmath.exp(-loss - (y - x) ** 2 / (2 * q.tau))

    with mpmath.workdps(20):
        ends = [-5, -2, 0, 2, 5]
        mass = mpmath.quad(density, ends)
        mean = mpmath.quad(lambda y: y * density(y), ends) / mass
    assert whole.R[:, 3] @ one.mean == pytest.approx(float(mean), abs=1e-12)


def mean_gradient(f: Any, tau: float) -> Callable[[np.ndarray], np.ndarray]:
    """y -> E grad f(Y), Y ~ N(y, tau I), from the log-odds of equal covariances.

    These are K - 1 affine functionals of Y, Gaussian with covariance tau A A^T; the
    trapezoidal rule in their own whitened coordinates, step 0.08, errs by 1e-13.
    """
    S, m = f.covariances[0], f.means
    A = np.linalg.solve(S, (m[1:] - m[0]).T).T
    constants = np.log(f.weights[1:] / f.weights[0]) - 0.5 * (A * (m[1:] + m[0])).sum(1)
    root = np.linalg.cholesky(tau * A @ A.T)
    axis = np.arange(-8, 8.04, 0.08)
    z = np.stack(np.meshgrid(*[axis] * len(A), indexing="ij"), -1)
    z = z.reshape(-1, len(A))
    w = np.exp(-0.5 * (z * z).sum(axis=1))
    w /= w.sum()

    def gradient(y: np.ndarray) -> np.ndarray:
        odds = A @ y + constants + z @ root.T
        r = w @ softmax(np.hstack([np.zeros((len(z), 1)), odds]), axis=1)
        return np.linalg.solve(S, y - r @ m)

    return gradient


@pytest.mark.parametrize(
    "name",
    [
        "mixture-1",
        pytest.param("mixture-2", marks=pytest.mark.slow),
        pytest.param("mixture-3", marks=pytest.mark.slow),
        "mixture-10",
    ],
)
def test_the_proximal_point_on_mixtures_is_stationary(name: str) -> None:
    one = problem(name)
    q, y = one.q, one.proximal_point
    gradient = mean_gradient(q.f, q.tau)

    def h(y: np.ndarray) -> np.ndarray:
        return y - q.x + q.tau * gradient(y)

    assert np.abs(h(y)).max() < 1e-10
    step = 1e-4
    bend = [(h(y + step * e) - h(y - step * e)) / (2 * step) for e in np.eye(y.size)]
    least = np.linalg.eigvalsh((np.array(bend) + np.array(bend).T) / 2)[0]
    assert one.slowest_rate == pytest.approx(least, abs=1e-5)
    assert least > 0


@pytest.mark.parametrize("name", ["mixture-1", "wells-1", "wells-2"])
def test_the_proximal_point_is_the_certified_one(name: str) -> None:
    one = problem(name)
    found = proximal.proximal_points(as_data(one.q.f), one.q.x.tolist(), one.q.tau)
    assert len(found.points) == 1
    truth = np.array([float(v) for v in found.points[0]])
    assert np.abs(one.proximal_point - truth).max() < 1e-12


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("wells")])
def test_the_proximal_point_on_wells_is_stationary(name: str) -> None:
    """E (y + sqrt(tau) z)^3 = y^3 + 3 tau y, written out."""
    one = problem(name)
    q, f = one.q, one.q.f
    R = f.R if isinstance(f, P.Rotated) else np.eye(q.x.size)
    g: Any = f.g if isinstance(f, P.Rotated) else f
    y, x = R.T @ one.proximal_point, R.T @ q.x
    slope = g.c4 * (y**3 + 3 * q.tau * y) + g.c3 * (y**2 + q.tau) + g.c2 * y
    slope[:-1] += g.coupling * y[1:]
    slope[1:] += g.coupling * y[:-1]
    assert np.abs(y - x + q.tau * slope).max() < 1e-12
    bend = np.diag(3 * g.c4 * (y**2 + q.tau) + 2 * g.c3 * y + g.c2)
    bend += g.coupling * (np.eye(y.size, k=1) + np.eye(y.size, k=-1))
    least = np.linalg.eigvalsh(np.eye(y.size) + q.tau * bend)[0]
    assert one.slowest_rate == pytest.approx(least, abs=1e-12)
    assert least > 0


def test_a_span_that_does_not_split_is_refused() -> None:
    one = problem("mixture-10")
    f: Any = one.q.f
    tilted = f.covariances[0] + 0.1 * np.outer(f.means[1] - f.means[0], np.ones(10))
    tilted = tilted @ tilted.T
    mixed = GaussianMixture(f.weights, f.means, [tilted] * 3)
    unequal = GaussianMixture(
        f.weights, f.means, [f.covariances[0]] * 2 + [2 * f.covariances[0]]
    )
    for other in (mixed, unequal):
        with pytest.raises(NotCertified, match="one covariance"):
            P.proximal_in_span(other, one.q.x, one.q.tau)


def test_a_rotated_loss() -> None:
    f = P.Rotated(Quartic([1.0, 0.5], [0.2, 0.0], [-1.0, 1.0], 0.3), P.rotation(2))
    y = np.array([[0.3, -0.7], [1.5, 0.25]])
    turned = np.array([[0.6 * a - 0.8 * b, 0.8 * a + 0.6 * b] for a, b in y])
    assert np.allclose(f(y), f.g(turned), rtol=1e-14)
    numeric = np.array([approx_fprime(point, f, 1e-7) for point in y])
    assert np.allclose(f.gradient(y), numeric, atol=1e-5)
    for R in (np.ones((2, 2)), np.eye(3)):
        with pytest.raises(InvalidParameter):
            P.Rotated(f.g, R)
    with pytest.raises(InvalidParameter, match="separable"):
        P.coordinates(GibbsLaw(f, np.zeros(2), 1.0))


@pytest.mark.parametrize("d", [1, 2, 3, 10])
def test_the_rotation_is_one(d: int) -> None:
    R = P.rotation(d)
    assert np.abs(R.T @ R - np.eye(d)).max() < 1e-14
    assert np.linalg.det(R) == pytest.approx(1)
    assert d == 1 or np.abs(R - np.diag(np.diag(R))).max() > 0.3


# --- the exact mean of a chain --------------------------------------------------------


@pytest.mark.parametrize(("epsilon", "J"), [(0.3, 1), (0.3, 2), (0.05, 40), (0.5, 7)])
def test_the_mean_of_a_chain_on_a_quadratic(epsilon: float, J: int) -> None:
    one = GaussianMixture([1.0], [[0.5]], [[[0.8]]])
    law = sgld_law(Quadratic(1.25, [0.5]), [2.0], 0.6, steps(Constant(epsilon), J))
    found = chains.mean_output(GibbsLaw(one, np.array([2.0]), 0.6), epsilon, J)
    assert found == pytest.approx(law.output.mean[0], abs=1e-8)


def test_the_mean_of_a_chain_on_a_quartic() -> None:
    """Three states: Gauss-Hermite rules are exact for the polynomials that arise."""
    q, epsilon = problem("wells-1").q, 0.15
    z, w = np.polynomial.hermite_e.hermegauss(24)
    w = w / w.sum()

    def moved(y: Any) -> Any:
        slope = q.f.gradient(y[..., None])[..., 0] + (y - q.x[0]) / q.tau
        return y - 0.5 * epsilon * slope

    second = moved(q.x[0]) + np.sqrt(epsilon) * z
    truth = (q.x[0] + w @ second + w @ moved(second)) / 3
    assert chains.mean_output(q, epsilon, 3) == pytest.approx(truth, abs=1e-8)


def test_an_unstable_chain_has_no_mean() -> None:
    with pytest.raises(NotCertified, match="outside the grid"):
        chains.mean_output(problem("wells-1").q, 0.5, 1000)
    with pytest.raises(NotCertified, match="nodes"):
        chains.mean_output(problem("wells-1").q, 1e-7, 10)


# --- measuring ------------------------------------------------------------------------


def test_errors_of_a_sample() -> None:
    outputs = np.array([[3.0, 0.0], [3.0, 8.0], [1.0, 0.0], [1.0, 8.0]])
    found = accuracy.errors(outputs, np.array([-1.0, 0.0]))
    assert found["bias"] == 5.0  # the mean error is (3, 4)
    assert found["variance"] == pytest.approx(4 / 3 + 64 / 3)
    assert found["rmse"] == pytest.approx(np.sqrt(42.0))
    assert found["bias_noise"] == pytest.approx(np.sqrt(68 / 3 / 4))
    along = 0.36 * 4 / 3 + 0.64 * 64 / 3
    assert found["bias_error"] == pytest.approx(np.sqrt(along / 4))
    none = accuracy.errors(np.zeros((3, 2)), np.zeros(2))
    assert set(none.values()) == {0.0}


def test_every_task_has_a_stream_of_its_own() -> None:
    labels = [task.label for name in ALGORITHMS for task in accuracy.tasks(name)]
    assert len({zlib.crc32(label.encode()) for label in labels}) == len(labels)


def test_a_task_does_not_depend_on_the_others() -> None:
    first, second = accuracy.tasks("importance")[:2]
    one = first.run(5, 3)
    second.run(5, 3)
    assert first.run(5, 3) == one
    assert first.run(5, 4).measured != one.measured
    assert second.run(5, 3).measured != one.measured
    with pytest.raises(InvalidParameter, match="repetitions"):
        first.run(1, 3)
    with pytest.raises(InvalidParameter, match="no algorithm"):
        accuracy.tasks("metropolis")


def test_every_experiment_has_every_problem() -> None:
    for name, experiments in {
        "importance": ["samples"],
        "sgld": ["cost", "time"],
        "robbins-monro": ["moves", "split"],
    }.items():
        for experiment in experiments:
            seen = {
                task.problem.name
                for task in accuracy.tasks(name)
                if task.experiment == experiment
            }
            assert seen == set(NAMES)


def test_a_divergent_setting_is_recorded_as_such() -> None:
    task = next(
        task
        for task in accuracy.tasks("sgld")
        if task.experiment == "cost"
        and task.problem.name == "wells-3"
        and task.setting["epsilon"] == 0.4
    )
    assert task.run(50, 0).measured == {}


def second_order(q: GibbsLaw, J: int) -> float:
    """The mean square error of Algorithm 4 in one dimension, to order 1/J^2.

    With A = w (X - mu) / Z and B = w / Z - 1 the error is mean(A) / (1 + mean(B)), and
    E error^2 = E A^2 / J + [-2 E A^2 B + 3 E A^2 E B^2 + 6 (E A B)^2] / J^2 + O(J^-3).
    """
    y = np.linspace(q.x[0] - 9 * np.sqrt(q.tau), q.x[0] + 9 * np.sqrt(q.tau), 20001)
    phi = np.exp(-0.5 * (y - q.x[0]) ** 2 / q.tau)
    phi /= phi.sum()
    w = np.exp(-q.f(y[:, None]))
    w /= phi @ w
    A, B = w * (y - phi @ (w * y)), w - 1
    second = -2 * phi @ (A * A * B) + 3 * (phi @ A**2) * (phi @ B**2)
    second += 6 * (phi @ (A * B)) ** 2
    return float(phi @ A**2 / J + second / J**2)


@pytest.mark.parametrize("name", ["mixture-1", "wells-1"])
def test_the_error_of_importance_sampling_is_rho_over_J(name: str) -> None:
    """n mse / E mse is chi-square with n = 1500 degrees, up to the law's 1/J.

    False alarms: 1e-6 for a Gaussian output.  A variance that is wrong by two fifths,
    as one without rho, 1.66 at least, would be, is missed with a probability of 1e-4.
    """
    one, J, n = problem(name), 1000, 1500
    measured = accuracy._weighted(one, J, n, np.random.default_rng(5))
    predicted = second_order(one.q, J)
    first = accuracy._weighted_exactly(one, J)
    assert first["rmse"] ** 2 == pytest.approx(predicted, rel=0.03)
    tail = stats.chi2.isf([1 - 5e-7, 5e-7], n) / n
    assert tail[0] < measured["rmse"] ** 2 / predicted < tail[1]
    assert stats.chi2.cdf(tail[1] * n / 1.4, n) < 1e-4


def test_the_controlled_bias_is_the_bias() -> None:
    """J = 1: the output is a draw of phi, its bias x - E_q X, whatever the weight.

    Both ways of measuring are within six standard errors (false alarms: 2e-9 each),
    which are an eighth of the bias.
    """
    one = problem("mixture-10")
    found = accuracy._weighted(one, 1, 4000, np.random.default_rng(6))
    exact = float(np.linalg.norm(one.q.x - one.mean))
    assert abs(found["bias"] - exact) < 6 * found["bias_error"]
    assert abs(found["controlled"] - exact) < 6 * found["controlled_error"]
    assert max(found["bias_error"], found["controlled_error"]) < exact / 8


def test_the_controlled_bias_is_the_theory_s() -> None:
    """J = 1000, where the theory of order 1/J errs by some rho/J of itself.

    Six standard errors (false alarms: 2e-9); without the control they would be thirty
    times wider, with it wrong the measured bias would be of the size of the noise.
    """
    one = problem("wells-1")
    found = accuracy._weighted(one, 1000, 2000, np.random.default_rng(7))
    exact = accuracy._weighted_exactly(one, 1000)["bias"]
    assert (
        abs(found["controlled"] - exact) < 6 * found["controlled_error"] + 0.02 * exact
    )
    assert found["controlled_noise"] < found["bias_noise"] / 10


EXACT = [
    ("sgld", "transient", {"epsilon": 0.2, "J": 30}),
    ("robbins-monro", "batch", {"M": 1, "J": 10}),
    ("robbins-monro", "schedule", {"c": 0.1, "J": 30}),
]


@pytest.mark.parametrize(("algorithm", "experiment", "setting"), EXACT)
def test_what_is_measured_on_a_quadratic_is_the_exact_law(
    algorithm: str, experiment: str, setting: dict[str, float]
) -> None:
    """Within six standard errors (false alarms: 2e-9 each); they are about 2 %."""
    task = next(
        task
        for task in accuracy.tasks(algorithm)
        if task.experiment == experiment
        and setting.items() <= dict(task.setting).items()
    )
    record = task.run(2000, 8)
    measured, exact = record.measured, record.exact
    for name in ("bias", "rmse"):
        assert abs(measured[name] - exact[name]) < 6 * measured[f"{name}_error"] + (
            3 * measured["bias_noise"] ** 2 / exact["bias"] if name == "bias" else 0
        )
    assert measured["rmse_error"] < 0.03 * exact["rmse"]


def test_the_variance_that_a_chain_keeps() -> None:
    """Within six standard errors, which are some 1 % (false alarms: 2e-9)."""
    task = next(
        task
        for task in accuracy.tasks("sgld")
        if task.experiment == "stationary" and task.setting["epsilon"] == 0.6
    )
    record = task.run(200, 9)
    beta = 1 + 1 / 0.5
    assert record.exact["wanted"] == pytest.approx(1 / beta)
    assert record.exact["variance"] == pytest.approx(1 / (beta * (1 - 0.6 * beta / 4)))
    gap = abs(record.measured["variance"] - record.exact["variance"])
    assert gap < 6 * record.measured["variance_error"]
    assert record.measured["variance_error"] < 0.02


def test_the_mean_of_langevin_is_the_exact_one_on_wells() -> None:
    """Ten dimensions at a coarse step, where the bias is 0.2 (false alarms: 2e-9)."""
    one = problem("wells-10")
    exact = accuracy._mean_exactly(one, 0.2, 200)["bias"]
    found = accuracy._averaged(one, 0.2, 200, 600, np.random.default_rng(10))
    slack = found["bias_noise"] ** 2 / exact  # a norm is larger than what it estimates
    assert abs(found["bias"] - exact) < 6 * found["bias_error"] + 3 * slack
    assert exact > 5 * found["bias_error"]


def test_robbins_monro_tends_to_the_proximal_point() -> None:
    """And not to E_q X, 0.13 away.

    The mean of 50 runs is closer than 0.05, which is six standard errors or more (false
    alarms: 2e-9) beside what 600 moves leave of the way, a fifteenth of it.
    """
    one = problem("wells-1")
    a, rng = PowerLaw(0.25, 0.7), np.random.default_rng(1)
    found = accuracy._moved(one, a, 600, 20, 50, rng)
    left = np.prod(1 - steps(a, 600) * one.slowest_rate)
    start = np.linalg.norm(one.q.x - one.proximal_point)
    assert 6 * found["bias_error"] + left * start < 0.05
    assert found["bias"] < 0.05
    assert np.linalg.norm(one.mean - one.proximal_point) > 0.12


# --- records --------------------------------------------------------------------------


def a_record(**changes: Any) -> records.Record:
    values: dict[str, Any] = {
        "algorithm": "sgld",
        "experiment": "cost",
        "problem": "wells-2",
        "d": 2,
        "setting": {"epsilon": 0.1},
        "repetitions": 3,
        "seed": 0,
        "cost": 9,
        "measured": {"bias": 0.1 + 0.2},
        "exact": {},
    }
    return records.Record(**{**values, **changes})


def test_records_come_back_to_the_last_bit(tmp_path: Path) -> None:
    kept = [a_record(), a_record(measured={}), a_record(exact={"rho": 1e300})]
    with records.writer(tmp_path / "a.jsonl") as out:
        for record in kept:
            out.write(record)
    assert records.read(tmp_path / "a.jsonl") == kept
    assert os.listdir(tmp_path) == ["a.jsonl"]


def test_what_is_written_is_whole_and_there_at_once(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("older\n", encoding="utf-8")

    def broken_off() -> None:
        with records.writer(file) as out:
            out.write(a_record())
            assert records.read(records.partial(file)) == [a_record()]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert file.read_text(encoding="utf-8") == "older\n"
    assert records.read(records.partial(file)) == [a_record()]


@pytest.mark.parametrize("line", ["", "no json", "[]", "{}", '{"algorithm": "sgld"}'])
def test_a_line_that_is_no_record(line: str) -> None:
    with pytest.raises(InvalidParameter, match="not a record"):
        records.Record.from_line(line)


def test_a_record_holds_numbers_only() -> None:
    with pytest.raises(ValueError, match="JSON"):
        a_record(measured={"bias": float("nan")}).to_line()


# --- figures --------------------------------------------------------------------------


def stored(algorithm: str) -> list[records.Record]:
    return records.read(FIGURES / f"accuracy-{algorithm}.jsonl")


@pytest.mark.parametrize(
    "algorithm", [pytest.param("sgld", marks=pytest.mark.slow), "robbins-monro"]
)
def test_a_figure_depends_on_nothing_but_the_records(
    algorithm: str, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    kept = stored(algorithm)
    (file,) = accuracy_plots.draw(algorithm, kept, tmp_path, ["svg"])
    first = file.read_bytes()
    text = first.decode("utf-8")
    assert text.startswith("<?xml")
    assert text.count("<path") > 100
    assert "date" not in text.lower()
    again = accuracy_plots.draw(algorithm, kept[::-1], tmp_path, ["svg"])
    assert again[0].read_bytes() == first


def test_few_records_make_a_figure_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one, formats = stored("importance")[-1:], accuracy_plots.FORMATS
    files = accuracy_plots.draw("importance", one, tmp_path, formats)
    found = [file.read_bytes() for file in files]
    assert all(map(bytes.startswith, found, [b"<?xml", b"%PDF", b"\x89PNG"]))
    with pytest.raises(InvalidParameter, match="no records of 'sgld'"):
        accuracy_plots.draw("sgld", stored("importance"), tmp_path, ["svg"])


def test_plots_know_nothing_but_records() -> None:
    source = Path(accuracy_plots.__file__).read_text(encoding="utf-8")
    own = {
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("refimpl")
    }
    assert own == {"refimpl.arrays", "refimpl.errors", "refimpl.experiments.records"}


def test_the_series_are_told_apart_without_colour() -> None:
    looks = accuracy_plots.STYLES
    assert len({look.marker for look in looks}) == len(looks)
    assert len({str(look.line) for look in looks}) == len(looks)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_published_records_are_those_of_this_version(algorithm: str) -> None:
    """Same settings, and some of the cheap ones measured again."""
    tasks, kept = accuracy.tasks(algorithm), stored(algorithm)
    assert [
        (task.experiment, task.problem.name, dict(task.setting), task.cost)
        for task in tasks
    ] == [(r.experiment, r.problem, dict(r.setting), r.cost) for r in kept]
    assert {r.repetitions for r in kept} == {200}
    pairs = zip(tasks, kept, strict=True)
    cheap = [pair for pair in pairs if pair[0].problem.name == "wells-1"]
    for task, record in cheap[3::4]:
        again = task.run(record.repetitions, record.seed)
        assert again.measured == pytest.approx(dict(record.measured), rel=1e-6)
    for file in FIGURES.glob("accuracy-*"):
        assert file.stat().st_size < 200_000


# --- the command ----------------------------------------------------------------------


def fails(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(argv)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("refimpl: ")
    assert said.err.count("\n") == 1
    return code, said.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "required: COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["accuracy", "adam"], "invalid choice: 'adam'"),
        (["accuracy", "--repetitions", "1"], "an integer >= 2, got '1'"),
        (["accuracy", "--repetitions", "many"], "an integer >= 2, got 'many'"),
        (["accuracy", "--seed", "-1"], "argument --seed"),
        (["accuracy", "--format", "gif"], "invalid choice: 'gif'"),
        (["accuracy", "--plot"], "unrecognized arguments: --plot"),
    ],
)
def test_wrong_arguments(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, sentence = fails(argv, capsys)
    assert code == 2
    assert said in sentence


def test_missing_and_impossible_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    nowhere = str(tmp_path / "nowhere")
    code, said = fails(["accuracy", "--plots-only", "--out", nowhere], capsys)
    assert code == 2
    assert "no records to draw" in said
    assert not Path(nowhere).exists()
    (tmp_path / "file").write_text("", encoding="utf-8")
    code, said = fails(["accuracy", "--out", str(tmp_path / "file")], capsys)
    assert code == 2
    (tmp_path / "accuracy-sgld.jsonl").write_text("{}\n", encoding="utf-8")
    argv = ["accuracy", "sgld", "--plots-only", "--out", str(tmp_path)]
    code, said = fails(argv, capsys)
    assert code == 2
    assert "not a record" in said


def test_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, said = fails(["accuracy", "--out", str(tmp_path / "new")], capsys)
    assert code == 3
    assert "the extra `experiments`" in said
    assert not (tmp_path / "new").exists()


def test_a_whole_run_and_its_plots_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    few = accuracy.tasks("importance")[::7]
    monkeypatch.setitem(accuracy.ALGORITHMS, "importance", lambda: iter(few))
    run = ["accuracy", "importance", "--out", str(tmp_path / "new" / "folder")]
    assert main([*run, "--repetitions", "2", "--seed", "1"]) == 0
    said = capsys.readouterr()
    file, figure = (
        tmp_path / "new" / "folder" / f"accuracy-importance.{s}"
        for s in ("jsonl", "svg")
    )
    assert said.out.splitlines() == [str(file), str(figure)]
    assert said.err == ""  # nobody watches
    kept, drawn = records.read(file), figure.read_bytes()
    assert len(kept) == len(few)
    assert {(r.repetitions, r.seed) for r in kept} == {(2, 1)}
    figure.unlink()
    assert main([*run, "--plots-only"]) == 0
    assert figure.read_bytes() == drawn
    assert len(os.listdir(figure.parent)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")
def test_an_interrupted_run_leaves_whole_records(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "accuracy-importance.jsonl"
    command = [sys.executable, "-m", "refimpl", "accuracy", "importance"]
    arguments = ["--repetitions", "500", "--out", str(tmp_path)]
    with subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, text=True
    ) as run:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            part = records.partial(file)
            if part.exists() and part.stat().st_size:
                break
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 130
    assert re.fullmatch(r"refimpl: interrupted; \d+ of \d+ records are in .*\n", said)
    assert not file.exists()
    kept = records.read(records.partial(file))
    assert f"interrupted; {len(kept)} of" in said


def test_the_console_command_is_this_one() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    named = dict(line.split(" = ") for line in scripts if line)
    module, function = named["refimpl"].split(":")
    assert getattr(import_module(module), function) is main
    assert "matplotlib" in setup["options.extras_require"]["experiments"]


# --- the page -------------------------------------------------------------------------


def at_equal_cost(name: str) -> list[str]:
    """The row of the page's table: the error that 1000 evaluations leave."""
    by = {
        algorithm: [r for r in stored(algorithm) if r.problem == name]
        for algorithm in ALGORITHMS
    }
    (weighted,) = (
        r
        for r in by["importance"]
        if r.experiment == "samples" and r.setting["J"] == 1000
    )
    best = [
        min(
            (r for r in by[algorithm] if r.experiment == experiment and r.measured),
            key=lambda r: r.measured["rmse"],
        )
        for algorithm, experiment in (("sgld", "cost"), ("robbins-monro", "split"))
    ]
    return [
        name,
        f"{weighted.exact['rho']:.3g}",
        f"{weighted.measured['rmse']:.2g}",
        f"{best[0].measured['rmse']:.2g} ({best[0].setting['epsilon']:g})",
        f"{best[1].exact['rate']:.2f}",
        f"{best[1].measured['rmse']:.2g} ({best[1].setting['M']:g})",
    ]


def test_the_table_of_the_page_is_that_of_the_records() -> None:
    text = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|\n ").split("|")]
        for line in text.splitlines()
        if re.match(r"\| (mixture|wells)-", line)
    ]
    assert rows == [at_equal_cost(name) for name in NAMES]
    assert json.dumps(rows).count("mixture") == 4
