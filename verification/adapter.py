"""This project's own implementation as a subject, with no privilege."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise, repeat
from typing import Any

import numpy as np
from scipy.special import softmax

import refimpl.losses as own
from refimpl import laws, regularised, schedules
from refimpl.errors import NotCertified, Unresolved
from refimpl.exact import ExactHeat, ExactMean
from refimpl.importance import ImportanceSampling, importance, log_weights, weighed
from refimpl.interfaces import BestGaussian, Iterate, Projection, Reducible
from refimpl.losses.minibatch import subset
from refimpl.multiscale import finite, gaussian
from refimpl.multiscale.local_entropies import LocalEntropies
from refimpl.multiscale.metropolis import (
    MultilevelMetropolis,
    Random,
    Stored,
    TableMetropolis,
)
from refimpl.multiscale.temperatures import Temperatures
from refimpl.network import Network
from refimpl.robbins_monro import RobbinsMonro, robbins_monro
from refimpl.sgld import SGLD, Langevin, langevin
from refimpl.span import InSpan
from refimpl.two_step import two_step

_REFUSALS = (NotCertified, Unresolved)


@lru_cache(maxsize=1024)
def loss_of(data: Any) -> Any:
    """The loss of `refimpl` for the loss data of the judge."""
    fields = {k: v for k, v in data.to_json().items() if k != "kind"}
    return _KINDS[data.kind](**fields)


_KINDS = {
    "constant": own.Constant,
    "linear": own.Linear,
    "quadratic": own.Quadratic,
    "quartic": own.Quartic,
    "trigonometric": own.Trigonometric,
    "gaussian_mixture": own.GaussianMixture,
    "gaussian_wells": own.GaussianWells,
    "least_squares": own.LeastSquares,
    "network": Network,
}


class Refimpl:
    """`refimpl` through the protocol of `verification.subject.Subject`.

    Where it refuses to answer rather than guess, the case is not run.
    """

    name = "refimpl"
    dtype = "float64"

    def local_entropy(self, loss: Any, x: Any, tau: float) -> Any:
        return _ask(regularised.local_entropy, loss, x, tau)

    def local_entropy_gradient(self, loss: Any, x: Any, tau: float) -> Any:
        return _ask(regularised.local_entropy_gradient, loss, x, tau)

    def posterior_mean(self, loss: Any, x: Any, tau: float) -> Any:
        return _ask(regularised.posterior_mean, loss, x, tau)

    def posterior_covariance(self, loss: Any, x: Any, tau: float) -> Any:
        return _ask(regularised.posterior_covariance, loss, x, tau)

    def heat(self, loss: Any, x: Any, tau: float) -> Any:
        return _ask(regularised.heat, loss, x, tau)

    def heat_gradient(self, loss: Any, x: Any, tau: float) -> Any:
        return _ask(regularised.heat_gradient, loss, x, tau)

    def heat_proximal_point(self, loss: Any, x: Any, tau: float) -> Any:
        return _ask(lambda f, *at: ExactHeat()(laws.GibbsLaw(f, *at)).x, loss, x, tau)

    def majoriser(self, loss: Any, x: Any, y: Any, tau: float) -> Any:
        return _ask(regularised.majoriser, loss, x, y, tau)

    def heat_majoriser(self, loss: Any, x: Any, y: Any, tau: float) -> Any:
        return _ask(regularised.heat_majoriser, loss, x, y, tau)

    def kl_gaussian(self, mean0: Any, cov0: Any, mean1: Any, cov1: Any) -> float:
        return laws.kl_gaussian(mean0, cov0, mean1, cov1)

    def minimise_local_entropy(
        self, loss: Any, x0: Any, tau: float, updates: int
    ) -> Any:
        return _ask(_trajectory, loss, x0, tau, updates, ExactMean())

    def minimise_heat(self, loss: Any, x0: Any, tau: float, updates: int) -> Any:
        return _ask(_trajectory, loss, x0, tau, updates, ExactHeat())

    def scoping(self, tau0: float, tau1: float, k: int) -> float:
        return float(schedules.Scoping(tau0, tau1)(k))

    def network_loss_and_gradient(
        self, sizes: Any, parameters: Any, images: Any, labels: Any
    ) -> tuple[Any, Any]:
        f = Network(sizes, images, labels)
        return f(parameters), f.gradient(parameters)

    def minibatch_indices(
        self, total: int, size: int, batches: int, *, seed: int | None = None
    ) -> Any:
        rng = np.random.default_rng(seed)
        return np.array([subset(total, size, rng) for _ in range(batches)])

    def sgld_mean(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        *,
        start: Any = None,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Any:
        q = laws.GibbsLaw(loss_of(loss), x, tau)
        if draws is not None:
            return _replayed_chains(q, step_sizes, start, draws)[0]
        rng, previous = np.random.default_rng(seed), _after(start)
        estimate = _on_what_it_sees(_chain(step_sizes), q.f)
        return estimate.replicates(q, n, rng=rng, previous=previous)

    def sgld_trace(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        *,
        start: Any = None,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Any:
        q = laws.GibbsLaw(loss_of(loss), x, tau)
        if draws is not None:
            visited: list[Any] = []
            keep = _keeper(visited)
            _replayed_chains(q, step_sizes, start, draws, keep)
            return np.stack(visited, axis=1)
        chain, rng = _chain(step_sizes, trace=True), np.random.default_rng(seed)
        previous = _after(start)
        return [chain(q, rng=rng, previous=previous).info.trace for _ in range(n)]

    def importance_mean(
        self,
        loss: Any,
        x: Any,
        tau: float,
        samples: int,
        *,
        workers: int = 1,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Any:
        q = laws.GibbsLaw(loss_of(loss), x, tau)
        if draws is not None:
            return [_replayed_samples(q, z, workers) for z in draws]
        estimate = _on_what_it_sees(ImportanceSampling(samples, workers), q.f)
        return estimate.replicates(q, n, rng=np.random.default_rng(seed))

    def importance_weights(
        self,
        loss: Any,
        x: Any,
        tau: float,
        samples: int,
        *,
        workers: int = 1,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Any:
        q = laws.GibbsLaw(loss_of(loss), x, tau)
        if draws is not None:
            return [softmax(log_weights(q.f, q.x, tau, z)) for z in draws]
        kept = ImportanceSampling(samples, workers, keep_weights=True)
        estimate = _on_what_it_sees(kept, q.f)  # as the mean's, of the same seed
        rng = np.random.default_rng(seed)
        return [estimate(q, rng=rng).info.normalised for _ in range(n)]

    def robbins_monro(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        inner_samples: int,
        *,
        start: Any = None,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Any:
        q = laws.GibbsLaw(loss_of(loss), x, tau)
        if draws is not None:
            return _replayed_descents(q, step_sizes, start, draws)[0]
        _require_centre(start)
        run = RobbinsMonro(len(step_sizes), _given(step_sizes), inner_samples)
        estimate = _on_what_it_sees(run, q.f)
        return estimate.replicates(q, n, rng=np.random.default_rng(seed))

    def robbins_monro_trace(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        inner_samples: int,
        *,
        start: Any = None,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Any:
        q = laws.GibbsLaw(loss_of(loss), x, tau)
        if draws is None:
            _require_centre(start)
            steps = _given(step_sizes)
            run = RobbinsMonro(len(step_sizes), steps, inner_samples, trace=True)
            rng = np.random.default_rng(seed)
            return [run(q, rng=rng).info.trace for _ in range(n)]
        visited = [_first(q, start, n)]
        _replayed_descents(q, step_sizes, start, draws, _keeper(visited))
        return np.stack(visited, axis=1)

    def train(
        self,
        loss: Any,
        x0: Any,
        method: str,
        record: Any,
        *,
        batches: Any = None,
        draws: Any = None,
        seed: int | None = None,
    ) -> Any:
        f, tau = loss_of(loss), record["tau"]
        losses = (
            [f] * len(tau) if batches is None else [f.batch(rows) for rows in batches]
        )
        project: BestGaussian
        if draws is None:
            project = _Estimate(_estimator(method, record))
        else:
            project = _Replay(method, record, iter(draws))
        rng = np.random.default_rng(seed)
        run = two_step(losses, x0, tau=lambda k: tau[k], project=project, rng=rng)
        return np.array([x0, *(iterate.x for iterate in run)])

    def step_schedule(self, kind: str, parameters: Any, count: int) -> Any:
        kinds = {"harmonic": schedules.Harmonic, "power": schedules.PowerLaw}
        return schedules.steps(kinds[kind](*parameters), count)

    # --- several levels

    def multiscale_energies(
        self, energies: Any, reference: Any, temperatures: Any
    ) -> Any:
        levels = Temperatures(temperatures)
        return finite.effective_energies(energies, reference, levels)[:-1]

    def multiscale_law(self, energies: Any, reference: Any, temperatures: Any) -> Any:
        return finite.gibbs(energies, reference, Temperatures(temperatures))

    def multiscale_objective(
        self, law: Any, energies: Any, reference: Any, temperatures: Any
    ) -> float:
        levels = Temperatures(temperatures)
        return finite.objective(law, energies, reference, levels)

    def chained_local_entropy(
        self, loss: Any, x: Any, taus: Any, temperatures: Any
    ) -> Any:
        def value(f: Any) -> Any:
            return LocalEntropies(f, taus, Temperatures(temperatures))(x)

        return _ask(value, loss)

    def chained_local_entropy_gradient(
        self, loss: Any, x: Any, taus: Any, temperatures: Any
    ) -> Any:
        def slope(f: Any) -> Any:
            return LocalEntropies(f, taus, Temperatures(temperatures)).gradient(x)

        return _ask(slope, loss)

    def multiscale_gaussian(
        self, loss: Any, mean: Any, covariance: Any, sizes: Any, temperatures: Any
    ) -> Any:
        ends = np.cumsum([0, *sizes])
        levels = [_conditional(mean, covariance, n, end) for n, end in pairwise(ends)]
        energy = _energy(loss_of(loss))
        law = gaussian.multiscale_gaussian(energy, levels, Temperatures(temperatures))
        return law.free_energy(), *law.moments()

    def multilevel_metropolis(
        self,
        energies: Any,
        reference: Any,
        temperatures: Any,
        proposals: Any,
        inner_steps: Any,
        steps: int,
        *,
        start: Any,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Any:
        levels = Temperatures(temperatures)
        run = TableMetropolis(energies, reference, levels, proposals, inner_steps)
        if draws is not None:
            return run.replay(start, draws).states
        return run(start, steps, rng=np.random.default_rng(seed), n=n).states

    def multilevel_metropolis_gaussian(
        self,
        loss: Any,
        sizes: Any,
        temperatures: Any,
        scales: Any,
        inner_steps: Any,
        steps: int,
        *,
        start: Any,
        draws: Any = None,
        uniforms: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Any:
        run = MultilevelMetropolis(Temperatures(temperatures), scales, inner_steps)
        f, cuts = loss_of(loss), np.cumsum(sizes)[:-1]
        rng = np.random.default_rng(seed)
        found = []
        for r in range(n):
            walk = run.begin(lambda *w: f(np.concatenate(w)), np.split(start, cuts))
            for t in range(steps):
                noise = (
                    Random(rng)
                    if draws is None
                    else Stored(draws[r, t], uniforms[r, t])
                )
                found.append(np.concatenate(run.advance(walk, noise).w))
        return np.reshape(found, (n, steps, -1))


def _ask(function: Any, loss: Any, *arguments: Any) -> Any:
    try:
        return function(loss_of(loss), *arguments)
    except _REFUSALS as refusal:
        raise NotImplementedError(str(refusal)) from refusal


def _energy(f: Any) -> gaussian.QuadraticEnergy:
    """A loss whose gradient is affine, by its value and derivatives at 0."""
    zero, eye = np.zeros(f.d), np.eye(f.d)
    slope = f.gradient(zero)
    curvature = f.gradient(eye) - slope
    return gaussian.QuadraticEnergy((curvature + curvature.T) / 2, -slope, f(zero))


def _conditional(
    mean: Any, covariance: Any, n: int, end: int
) -> gaussian.GaussianLevel:
    """The law of the coordinates n, ..., end - 1 given those before them."""
    cross = covariance[n:end, :n]
    B = np.linalg.solve(covariance[:n, :n], cross.T).T
    b = mean[n:end] - B @ mean[:n]
    return gaussian.GaussianLevel(B, b, covariance[n:end, n:end] - B @ cross.T)


def _trajectory(
    f: Any, x0: Any, tau: float, updates: int, project: BestGaussian
) -> Any:
    run: Iterable[Iterate] = two_step(
        repeat(f, updates), x0, tau=tau, project=project, rng=None
    )
    return np.array([x0, *(iterate.x for iterate in run)])


def _given(values: Any) -> Any:
    """An array of steps as a schedule."""
    return lambda j: np.asarray(values)[np.asarray(j) - 1]


def _chain(epsilon: Any, start: str = "previous", trace: bool = False) -> SGLD:
    return SGLD(len(epsilon), _given(epsilon), start=start, trace=trace)  # type: ignore[arg-type]


def _after(start: Any) -> Projection | None:
    """An earlier update whose chain ended at `start`."""
    return None if start is None else Projection(start, Langevin(start, 0))


def _require_centre(start: Any) -> None:
    if start is not None:
        raise NotImplementedError("Algorithm 5 starts at the centre")


def _keeper(states: list[Any]) -> Any:
    return lambda y: states.append(y.copy())


def _first(q: laws.GibbsLaw, start: Any, n: int) -> Any:
    return np.tile(q.x if start is None else start, (n, 1))


def _replayed_chains(
    q: laws.GibbsLaw, epsilon: Any, start: Any, draws: Any, visit: Any = None
) -> tuple[Any, Any]:
    first = _first(q, start, len(draws))
    noise = np.swapaxes(draws, 0, 1)
    return langevin(q.f, q.x, q.tau, epsilon, noise, start=first, visit=visit)


def _replayed_samples(q: laws.GibbsLaw, draws: Any, workers: int) -> Any:
    parts = [part for part in np.array_split(draws, workers) if len(part)]
    logs = [log_weights(q.f, q.x, q.tau, part) for part in parts]
    return importance(q.x, q.tau, map(weighed, logs, parts))[0]


def _replayed_descents(
    q: laws.GibbsLaw, a: Any, start: Any, draws: Any, visit: Any = None
) -> tuple[Any, Any]:
    n, _, M, _ = np.shape(draws)
    noise = [[block] for block in np.swapaxes(draws, 0, 1)]
    first = _first(q, start, n)
    return robbins_monro(q.f, q.x, q.tau, a, M, noise, start=first, visit=visit)


def _on_what_it_sees(estimator: Any, f: Any) -> Any:
    """The estimator, and in its place one of the same law where f is flat."""
    narrow = isinstance(f, Reducible) and f.reduced.loss.d < f.d
    return InSpan(estimator) if narrow else estimator


class _Estimate:
    """An estimator whose losses, minibatches, see different directions."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    def __call__(
        self, q: laws.GibbsLaw, *, rng: Any, previous: Projection | None = None
    ) -> Projection:
        estimate: BestGaussian = _on_what_it_sees(self._estimator, q.f)
        return estimate(q, rng=rng, previous=previous)


def _estimator(method: str, record: Any) -> Any:
    """The estimator of a training record."""
    if method == "importance":
        return ImportanceSampling(record["samples"], record.get("workers", 1))
    if method == "sgld":
        return _chain(record["step_sizes"], record.get("start", "centre"))
    if method == "robbins_monro":
        a = record["step_sizes"]
        return RobbinsMonro(len(a), _given(a), record["inner_samples"])
    raise NotImplementedError(f"there is no method {method!r}")


class _Replay:
    """An estimator whose noise is given, one array for each update."""

    def __init__(self, method: str, record: Any, draws: Iterator[Any]) -> None:
        self._method, self._record, self._draws = method, record, draws

    def __call__(
        self, q: laws.GibbsLaw, *, rng: Any, previous: Projection | None = None
    ) -> Projection:
        del rng
        z = next(self._draws)
        if self._method == "importance":
            return Projection(_replayed_samples(q, z, self._record.get("workers", 1)))
        epsilon = np.asarray(self._record["step_sizes"])
        if self._method == "robbins_monro":
            return Projection(_replayed_descents(q, epsilon, None, z[None])[0][0])
        warm = self._record.get("start") == "previous" and previous is not None
        start = previous.info.last if previous is not None and warm else None
        output, last = _replayed_chains(q, epsilon, start, z[None])
        return Projection(output[0], Langevin(last[0], len(z)))
