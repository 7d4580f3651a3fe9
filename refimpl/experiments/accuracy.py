"""How far the outputs of Algorithms 3, 4 and 5 are from the exact answers.

A `Task` is one setting of one algorithm on one problem.  It is repeated many times with
a random stream of its own, which depends on the seed and on the task's label alone:
tasks may be added, left out or run in another order, and no other number changes.

Of the errors e_r of n repetitions, in R^d, are reported

    bias        |mean e|
    bias_error  its standard error, along the mean itself
    bias_noise  sqrt(tr Cov(e) / n), what |mean e| would be about if there were no bias
    variance    tr Cov(e)
    rmse        sqrt(mean |e|^2), and rmse_error, its standard error.

The bias of Algorithm 4 is of order 1/J, below the noise of 200 repetitions.  But the
weighted sum of x^j - E_q X has the exact mean 0: with W the mean weight over Z, e W is
an error without bias, and e - e W has the bias of e and a spread of order 1/J only.
Algorithm 4 tells its mean weight, as local entropy; so this is measured as well, under
the names controlled, controlled_error, controlled_noise.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from refimpl.arrays import Array, as_count
from refimpl.errors import InvalidParameter, NonFinite, NotCertified
from refimpl.experiments.chains import mean_output
from refimpl.experiments.problems import (
    Problem,
    coordinates,
    ellipsoid,
    problems,
    quadratic,
)
from refimpl.experiments.records import Record
from refimpl.importance import ImportanceSampling
from refimpl.losses import Quadratic
from refimpl.noise import normal_rows
from refimpl.output_laws import (
    Moments,
    importance_law,
    robbins_monro_law,
    sgld_law,
    sgld_stationary_law,
)
from refimpl.regularised import posterior_covariance
from refimpl.robbins_monro import RobbinsMonro
from refimpl.schedules import Constant, PowerLaw, steps
from refimpl.sgld import SGLD, langevin
from refimpl.streams import stream

Numbers = dict[str, float]

SAMPLES = (10, 30, 100, 300, 1000, 3000, 10000)
"""J of Algorithm 4."""

CURSED = (1, 2, 3, 5, 10, 20, 30, 50)
"""d of the quadratics on which rho is shown."""

WIDTHS = (0.25, 0.5, 1.0)
"""tau on them."""

STATES = 1000
"""J of Algorithm 3 where the cost is fixed."""

STEPS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""epsilon of Algorithm 3."""

TIME = 1000.0
"""J epsilon where the total time is fixed."""

COARSE_STEPS = (0.05, 0.1, 0.2, 0.3, 0.4)
"""epsilon there."""

KEPT = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
"""epsilon where the variance that the chain keeps is shown."""

MOVES = (1, 3, 10, 30, 100, 300, 1000)
"""J of Algorithm 5."""

BATCH = 10
"""M where J is varied."""

GRADIENTS = 1000
"""J M where the cost of Algorithm 5 is fixed."""

SCHEDULE = (0.25, 0.7)
"""c and alpha of Algorithm 5; the paper's Figure 4 has c = 0.1."""

SCHEDULES = ((0.1, 0.7), (0.5, 0.7), (0.5, 1.0))
"""c and alpha on the quadratic."""


@dataclass(frozen=True)
class Task:
    """One setting to be measured.

    Attributes
    ----------
    algorithm, experiment : str
    problem : Problem
    setting : mapping
        The numbers that are set.
    cost : int
        Evaluations of f or of its gradient that one estimate takes.
    measure : callable
        Given the number of repetitions and a generator, what is found.
    exact : callable
        What theory says.
    """

    algorithm: str
    experiment: str
    problem: Problem
    setting: Mapping[str, float]
    cost: int
    measure: Callable[[int, np.random.Generator], Numbers]
    exact: Callable[[], Numbers]

    @property
    def label(self) -> str:
        """What names the task, and its random stream."""
        numbers = " ".join(f"{k}={v:g}" for k, v in self.setting.items())
        return f"{self.algorithm} {self.experiment} {self.problem.name} {numbers}"

    def run(self, repetitions: int, seed: int) -> Record:
        """Measure.

        Raises
        ------
        InvalidParameter
            Unless there are at least two repetitions.
        """
        n = as_count("repetitions", repetitions, least=2)
        rng = stream(seed, "algorithm", zlib.crc32(self.label.encode()))
        try:
            measured = self.measure(n, rng)
        except NonFinite:
            measured = {}
        return Record(
            self.algorithm,
            self.experiment,
            self.problem.name,
            self.problem.d,
            self.setting,
            n,
            seed,
            self.cost,
            measured,
            self.exact(),
        )


def tasks(algorithm: str) -> list[Task]:
    """All settings of one algorithm, in the order in which they are measured.

    Raises
    ------
    InvalidParameter
        If the algorithm is not one of `ALGORITHMS`.
    """
    if algorithm not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise InvalidParameter(
            f"no algorithm is named {algorithm!r}; there are {known}"
        )
    return list(ALGORITHMS[algorithm]())


def errors(outputs: Array, truth: Array) -> Numbers:
    """Bias, variance and root mean square of outputs (n, d) around a truth (d,)."""
    gaps = outputs - truth
    squares = (gaps * gaps).sum(axis=1)
    rmse = float(np.sqrt(squares.mean()))
    slope = 1 / (2 * rmse) if rmse > 0 else 0.0  # of the square root
    return {
        **bias("bias", gaps),
        "variance": float(gaps.var(axis=0, ddof=1).sum()),
        "rmse": rmse,
        "rmse_error": slope * _standard_error(squares),
    }


def bias(name: str, gaps: Array) -> Numbers:
    """The norm of the mean of gaps (n, d), its standard error and its noise."""
    mean = gaps.mean(axis=0)
    size = float(np.linalg.norm(mean))
    along = mean / size if size > 0 else np.ones_like(mean) / np.sqrt(mean.size)
    noise = np.sqrt(gaps.var(axis=0, ddof=1).sum() / len(gaps))
    return {
        name: size,
        f"{name}_error": _standard_error(gaps @ along),
        f"{name}_noise": float(noise),
    }


def _standard_error(values: Array) -> float:
    """Of the mean of values (n,)."""
    return float(values.std(ddof=1) / np.sqrt(values.size))


def errors_of_law(law: Moments, truth: Array) -> Numbers:
    """The same of a Gaussian output whose law is known."""
    bias = float(np.linalg.norm(law.mean - truth))
    variance = float(law.variances.sum())
    return {
        "bias": bias,
        "variance": variance,
        "rmse": float(np.sqrt(bias**2 + variance)),
    }


# --- Algorithm 4 ----------------------------------------------------------------------


def importance_tasks() -> Iterator[Task]:
    """Error against J, and the curse of dimension."""
    for problem in problems():
        for J in SAMPLES:
            yield Task(
                "importance",
                "samples",
                problem,
                {"tau": problem.q.tau, "J": J},
                J,
                partial(_weighted, problem, J),
                partial(_weighted_exactly, problem, J),
            )
    for tau in WIDTHS:
        for d in CURSED:
            problem = quadratic(d, tau)
            yield Task(
                "importance",
                "dimension",
                problem,
                {"tau": tau, "J": STATES},
                STATES,
                partial(_weighted, problem, STATES),
                partial(_rho_exactly, problem),
            )


def _weighted(problem: Problem, J: int, n: int, rng: np.random.Generator) -> Numbers:
    estimate = ImportanceSampling(J)
    found = [estimate(problem.q, rng=rng) for _ in range(n)]
    outputs = np.array([one.x for one in found])
    sizes = np.array([one.info.effective_sample_size for one in found])
    entropies = np.array([one.info.local_entropy for one in found])
    unbiased_share = np.exp(problem.local_entropy - entropies)
    controlled = (1 - unbiased_share)[:, None] * (outputs - problem.mean)
    return {
        **errors(outputs, problem.mean),
        **bias("controlled", controlled),
        "effective_sample_size": float(sizes.mean()),
        "effective_sample_size_error": _standard_error(sizes),
    }


def _weighted_exactly(problem: Problem, J: int) -> Numbers:
    """To first order in 1/J, where the bias does not count in the mean square."""
    w = problem.weighting
    variance = w.rho / J * w.spread
    return {
        "rho": w.rho,
        "bias": w.rho / J * float(np.linalg.norm(w.shift)),
        "variance": variance,
        "rmse": float(np.sqrt(variance)),
    }


def _rho_exactly(problem: Problem) -> Numbers:
    law = importance_law(problem.q.f, problem.q.x, problem.q.tau, J=1)
    return {"rho": float(np.exp(law.log_rho))}


# --- Algorithm 3 ----------------------------------------------------------------------


def sgld_tasks() -> Iterator[Task]:
    """Error against the step at fixed cost and at fixed time; quadratics exactly."""
    for problem in problems():
        for epsilon in STEPS:
            yield _step_task("cost", problem, epsilon, STATES)
        for epsilon in COARSE_STEPS:
            yield _step_task("time", problem, epsilon, round(TIME / epsilon))
    problem = ellipsoid()
    for epsilon in (0.05, 0.2):
        for J in (3, 10, 30, 100, 300, 1000, 3000):
            yield Task(
                "sgld",
                "transient",
                problem,
                {"tau": problem.q.tau, "epsilon": epsilon, "J": J},
                J - 1,
                partial(_averaged, problem, epsilon, J),
                partial(_averaged_exactly, problem, epsilon, J),
            )
    problem = quadratic(1)
    for epsilon in KEPT:
        yield Task(
            "sgld",
            "stationary",
            problem,
            {"tau": problem.q.tau, "epsilon": epsilon, "J": STATES},
            STATES - 1,
            partial(_kept, problem, epsilon),
            partial(_kept_exactly, problem, epsilon),
        )


def _step_task(experiment: str, problem: Problem, epsilon: float, J: int) -> Task:
    return Task(
        "sgld",
        experiment,
        problem,
        {"tau": problem.q.tau, "epsilon": epsilon, "J": J},
        J - 1,
        partial(_averaged, problem, epsilon, J),
        partial(_mean_exactly, problem, epsilon, J),
    )


def _averaged(
    problem: Problem, epsilon: float, J: int, n: int, rng: np.random.Generator
) -> Numbers:
    outputs = SGLD(J, Constant(epsilon)).replicates(problem.q, n, rng=rng)
    return errors(outputs, problem.mean)


def _averaged_exactly(problem: Problem, epsilon: float, J: int) -> Numbers:
    q = problem.q
    law = sgld_law(q.f, q.x, q.tau, steps(Constant(epsilon), J))
    return errors_of_law(law.output, problem.mean)


def _mean_exactly(problem: Problem, epsilon: float, J: int) -> Numbers:
    """The bias where the chain consists of one-dimensional ones that stay finite.

    A rotation does not change its norm.
    """
    parts = coordinates(problem.q)
    if any(part.x.size > 1 for part in parts):
        return {}
    try:
        means = [mean_output(part, epsilon, J) for part in parts]
    except NotCertified:
        return {}
    truths = [Problem(problem.name, part).mean[0] for part in parts]
    return {"bias": float(np.linalg.norm(np.subtract(means, truths)))}


def _kept(
    problem: Problem, epsilon: float, n: int, rng: np.random.Generator
) -> Numbers:
    """The variance of a chain's own law, from the later half of n chains."""
    q, d = problem.q, problem.d
    squares: list[Array] = []
    langevin(
        q.f,
        q.x,
        q.tau,
        steps(Constant(epsilon), STATES),
        (z.reshape(n, d) for z in normal_rows(rng, STATES - 1, n * d)),
        start=np.tile(q.x, (n, 1)),
        visit=lambda y: squares.append(((y - problem.mean) ** 2).sum(axis=1)),
    )
    of_chains = np.mean(squares[STATES // 2 :], axis=0)
    return {
        "variance": float(of_chains.mean()),
        "variance_error": _standard_error(of_chains),
    }


def _kept_exactly(problem: Problem, epsilon: float) -> Numbers:
    q = problem.q
    law = sgld_stationary_law(q.f, q.x, q.tau, epsilon)
    wanted = posterior_covariance(q.f, q.x, q.tau)
    return {"variance": float(law.variances.sum()), "wanted": float(np.trace(wanted))}


# --- Algorithm 5 ----------------------------------------------------------------------


def robbins_monro_tasks() -> Iterator[Task]:
    """Error against J, against M at fixed cost, and on a quadratic exactly."""
    for problem in problems():
        for J in MOVES:
            yield _moves_task("moves", problem, SCHEDULE, J, BATCH)
        for J in MOVES:
            yield _moves_task("split", problem, SCHEDULE, J, round(GRADIENTS / J))
    problem = ellipsoid()
    for schedule in SCHEDULES:
        for J in MOVES:
            yield _moves_task("schedule", problem, schedule, J, BATCH)
    for M in (1, 10, 100):
        for J in MOVES:
            yield _moves_task("batch", problem, SCHEDULES[1], J, M)


def _moves_task(
    experiment: str, problem: Problem, schedule: tuple[float, float], J: int, M: int
) -> Task:
    c, alpha = schedule
    return Task(
        "robbins-monro",
        experiment,
        problem,
        {"tau": problem.q.tau, "J": J, "M": M, "c": c, "alpha": alpha},
        J * M,
        partial(_moved, problem, PowerLaw(c, alpha), J, M),
        partial(_moved_exactly, problem, PowerLaw(c, alpha), J, M),
    )


def _moved(
    problem: Problem, a: PowerLaw, J: int, M: int, n: int, rng: np.random.Generator
) -> Numbers:
    outputs = RobbinsMonro(J, a, M).replicates(problem.q, n, rng=rng)
    return errors(outputs, problem.proximal_point)


def _moved_exactly(problem: Problem, a: PowerLaw, J: int, M: int) -> Numbers:
    q = problem.q
    if not isinstance(q.f, Quadratic):
        return {"rate": problem.slowest_rate}
    law = robbins_monro_law(q.f, q.x, q.tau, steps(a, J), M)
    return {**errors_of_law(law, problem.proximal_point), "rate": problem.slowest_rate}


ALGORITHMS: dict[str, Callable[[], Iterator[Task]]] = {
    "sgld": sgld_tasks,
    "importance": importance_tasks,
    "robbins-monro": robbins_monro_tasks,
}
