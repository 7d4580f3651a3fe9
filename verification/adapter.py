"""This project's own implementation as a subject, with no privilege."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np

import refimpl.losses as own
from refimpl import laws, regularised, schedules
from refimpl.errors import NotCertified, Unresolved
from refimpl.exact import ExactHeat, ExactMean
from refimpl.interfaces import BestGaussian, Iterate
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

    def step_schedule(self, kind: str, parameters: Any, count: int) -> Any:
        kinds = {"harmonic": schedules.Harmonic, "power": schedules.PowerLaw}
        return schedules.steps(kinds[kind](*parameters), count)


def _ask(function: Any, loss: Any, *arguments: Any) -> Any:
    try:
        return function(loss_of(loss), *arguments)
    except _REFUSALS as refusal:
        raise NotImplementedError(str(refusal)) from refusal


def _trajectory(
    f: Any, x0: Any, tau: float, updates: int, project: BestGaussian
) -> Any:
    run: Iterable[Iterate] = two_step(
        repeat(f, updates), x0, tau=tau, project=project, rng=None
    )
    return np.array([x0, *(iterate.x for iterate in run)])
