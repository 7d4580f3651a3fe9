"""The right subject in which slips are made, in every reading of the paper.

It is played by the routines of `verification.mistakes`, whose defaults are right, and
by closed forms in double precision: no implementation that is judged is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.mistakes._draws import normals
from verification.mistakes._training import Loop
from verification.mistakes.importance import Importance
from verification.mistakes.langevin import Langevin
from verification.mistakes.networks import Dense
from verification.mistakes.robbins_monro import RobbinsMonro, padded
from verification.subject import CONVENTIONS
from verification.truth import closed_forms as cf
from verification.truth.carriers import Double
from verification.truth.output_laws import output_weights

__all__ = ["Played", "exponential"]

Array = NDArray[np.float64]
Weights = Callable[[Array], Array]

DOUBLE = Double()
#: Of a line on which what has no closed form is integrated, in standard deviations.
REACH, NODES = 12.0, 6001


@dataclass(frozen=True)
class Played:
    """A subject made of the routines of Algorithms 3, 4 and 5; right by default.

    Attributes
    ----------
    langevin, importance, robbins_monro : routines with their slips, if any
    loop : Loop
        The weight updates of `train`.
    network : Dense
    conventions : mapping of str to str
        Complete, see `verification.subject.CONVENTIONS`.
    """

    langevin: Langevin = field(default_factory=Langevin)
    importance: Importance = field(default_factory=Importance)
    descent: RobbinsMonro = field(default_factory=RobbinsMonro)
    loop: Loop = field(default_factory=Loop)
    network: Dense = field(default_factory=Dense)
    conventions: Mapping[str, str] = field(
        default_factory=lambda: {key: of[0] for key, of in CONVENTIONS.items()}
    )
    name: str = "played"
    dtype: str = "float64"

    # --- Algorithm 3

    def _walked(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        start: Any,
        draws: Any,
        n: int,
        rng: np.random.Generator,
    ) -> tuple[Array, Array, Array]:
        """Output (n, d), averaged states (n, J, d) and last state (n, d)."""
        steps = np.asarray(step_sizes, dtype=np.float64)
        given = (loss, x, tau)
        if self.conventions["sgld.chain"] == "literal":
            states = self.langevin.states(*given, steps, start, draws, n, rng)
        else:
            # one state more, the start, which is not averaged
            more = np.append(steps, steps[-1])
            states = self.langevin.states(*given, more, start, draws, n, rng)[:, 1:]
        averaged = states[:, : len(steps) + self.langevin.extra]
        slip = self.langevin
        if slip.weights is Langevin.weights:
            declared = self.conventions["sgld.output"]
            slip = replace(slip, weights=partial(output_weights, output=declared))
        output = slip.averaged(averaged, steps)
        return output, states[:, : len(steps)], states[:, -1]

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
    ) -> Array:
        """The output of Algorithm 3: (n, d)."""
        rng = np.random.default_rng(seed)
        return self._walked(loss, x, tau, step_sizes, start, draws, n, rng)[0]

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
    ) -> Array:
        """The averaged states of Algorithm 3: (n, J, d)."""
        rng = np.random.default_rng(seed)
        return self._walked(loss, x, tau, step_sizes, start, draws, n, rng)[1]

    # --- Algorithm 4

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
    ) -> Array:
        """The output of Algorithm 4: (n, d)."""
        given = {"workers": workers, "draws": draws, "n": n, "seed": seed}
        return self.importance.mean(None, loss, x, tau, samples, **given)

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
    ) -> Array:
        """The weights of Algorithm 4: (n, J)."""
        given = {"workers": workers, "draws": draws, "n": n, "seed": seed}
        return self.importance.weights(None, loss, x, tau, samples, **given)

    # --- Algorithm 5

    def _descended(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        inner_samples: int,
        start: Any,
        draws: Any,
        n: int,
        rng: np.random.Generator,
    ) -> Array:
        """The states of Algorithm 5, (n, moves + 1, d)."""
        steps = np.asarray(step_sizes, dtype=np.float64)
        if self.conventions["robbins_monro.moves"] == "J":
            of = (loss, x, tau, steps, inner_samples, start, draws, n, rng)
            return self.descent.states(*of)
        d = np.size(x)
        z = normals((n, len(steps) - 1, inner_samples, d), draws, rng)
        of = (loss, x, tau, steps[:-1], inner_samples, start, z, n, rng)
        return self.descent.states(*of)

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
    ) -> Array:
        """The output of Algorithm 5: (n, d)."""
        rng = np.random.default_rng(seed)
        of = (loss, x, tau, step_sizes, inner_samples, start, draws, n, rng)
        return self.descent.output(self._descended(*of))

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
    ) -> Array:
        """The states of Algorithm 5: (n, J + 1, d); missing ones repeat the last."""
        rng = np.random.default_rng(seed)
        of = (loss, x, tau, step_sizes, inner_samples, start, draws, n, rng)
        return padded(self._descended(*of), len(step_sizes) + 1)

    # --- whole runs

    def train(
        self,
        loss: Any,
        x0: Any,
        method: str,
        record: Mapping[str, Any],
        *,
        batches: Any = None,
        draws: Any = None,
        seed: int | None = None,
    ) -> Array:
        """K weight updates: (K + 1, d)."""
        project = {
            "sgld": self._chain,
            "importance": self.importance.project,
            "robbins_monro": self._descent,
        }[method]
        given = {"batches": batches, "draws": draws, "seed": seed}
        return self.loop.run(project, loss, x0, method, record, **given)

    def _chain(
        self, loss: Any, x: Any, tau: Any, of: Any, start: Any, draws: Any, rng: Any
    ) -> tuple[Array, Array]:
        given = None if draws is None else np.asarray(draws)[None]
        steps = of["step_sizes"]
        output, _, last = self._walked(loss, x, tau, steps, start, given, 1, rng)
        return output[0], last[0]

    def _descent(
        self, loss: Any, x: Any, tau: Any, of: Any, start: Any, draws: Any, rng: Any
    ) -> tuple[Array, Array]:
        given = None if draws is None else np.asarray(draws)[None]
        M = of["inner_samples"] if given is None else given.shape[2]
        walk = (loss, x, tau, of["step_sizes"], M, start, given, 1, rng)
        states = self._descended(*walk)
        return self.descent.output(states)[0], states[0, -1]

    def minibatch_indices(
        self, total: int, size: int, batches: int, *, seed: int | None = None
    ) -> NDArray[np.int64]:
        """Subsets without repetition: (batches, size)."""
        rng = np.random.default_rng(seed)
        return np.array([rng.permutation(total)[:size] for _ in range(batches)])

    # --- functions

    def network_loss_and_gradient(
        self, sizes: Any, parameters: Any, images: Any, labels: Any
    ) -> tuple[float, Array]:
        """Mean cross-entropy and its gradient."""
        given = (sizes, parameters, images, labels)
        return self.network.loss_and_gradient(None, *given)

    def local_entropy(self, loss: Any, x: Any, tau: float) -> float:
        """F_tau(x), in closed form."""
        return float(_closed(cf.local_entropy, loss, _row(x), tau))

    def local_entropy_gradient(self, loss: Any, x: Any, tau: float) -> Array:
        """Its gradient."""
        return np.array(_closed(cf.local_entropy_gradient, loss, _row(x), tau))

    def posterior_mean(self, loss: Any, x: Any, tau: float) -> Array:
        """E_q X, in closed form or, on a line, by a sum."""
        if loss.kind in (*cf.QUADRATIC, "gaussian_mixture"):
            return np.array(_closed(cf.posterior_mean, loss, _row(x), tau))
        z = np.linspace(-REACH, REACH, NODES)
        y = _on_a_line(x) + math.sqrt(tau) * z
        logs = -loss(y[:, None]) - z**2 / 2
        odds = np.exp(logs - logs.max())
        return np.array([odds @ y / odds.sum()])

    def posterior_covariance(self, loss: Any, x: Any, tau: float) -> Array:
        """Cov_q X."""
        return np.array(_closed(cf.posterior_covariance, loss, _row(x), tau))

    def heat(self, loss: Any, x: Any, tau: float) -> float:
        """F^H_tau(x), in closed form."""
        return float(_closed(cf.heat, loss, _row(x), tau))

    def heat_gradient(self, loss: Any, x: Any, tau: float) -> Array:
        """Its gradient."""
        return np.array(_closed(cf.heat_gradient, loss, _row(x), tau))

    def heat_proximal_point(self, loss: Any, x: Any, tau: float) -> Array:
        """Step 2 of Algorithm 2, in closed form or, on a line, by search."""
        if loss.kind in cf.QUADRATIC:
            return np.array(_closed(cf.proximal_point, loss, _row(x), tau))
        centre = _on_a_line(x)
        grid = centre + math.sqrt(tau) * np.linspace(-6.0, 6.0, 241)
        heights = [
            self.heat(loss, [y], tau) + (y - centre) ** 2 / 2 / tau for y in grid
        ]
        y = float(grid[int(np.argmin(heights))])
        for _ in range(30):
            slope = (y - centre) / tau + float(self.heat_gradient(loss, [y], tau)[0])
            bend = 1 / tau + float(_closed(cf.heat_hessian, loss, [y], tau)[0][0])
            y -= slope / bend
        return np.array([y])

    def majoriser(self, loss: Any, x: Any, y: Any, tau: float) -> float:
        """A(x, y)."""
        away = np.subtract(x, y)
        slope = self.local_entropy_gradient(loss, y, tau)
        rise = away @ slope + away @ away / (2 * tau)
        return self.local_entropy(loss, y, tau) + float(rise)

    def heat_majoriser(self, loss: Any, x: Any, y: Any, tau: float) -> float:
        """A^H(x, y)."""
        away = np.subtract(x, y)
        return self.heat(loss, x, tau) + float(away @ away) / (2 * tau)

    def kl_gaussian(self, mean0: Any, cov0: Any, mean1: Any, cov1: Any) -> float:
        """KL of two Gaussians."""
        given = [np.asarray(part).tolist() for part in (mean0, cov0, mean1, cov1)]
        return float(cf.kl_gaussian(DOUBLE, *given))

    def minimise_local_entropy(
        self, loss: Any, x0: Any, tau: float, updates: int
    ) -> Array:
        """Algorithm 1."""
        return _iterated(self.posterior_mean, loss, x0, tau, updates)

    def minimise_heat(self, loss: Any, x0: Any, tau: float, updates: int) -> Array:
        """Algorithm 2."""
        return _iterated(self.heat_proximal_point, loss, x0, tau, updates)

    def scoping(self, tau0: float, tau1: float, k: int) -> float:
        """tau(k), (18)."""
        first = int(self.conventions["scoping.origin"])
        return float(tau0 / (1 + tau1) ** (k - first))

    def step_schedule(self, kind: str, parameters: Any, count: int) -> Array:
        """Steps 1 to count."""
        j = np.arange(1.0, count + 1)
        if kind == "harmonic":
            return np.asarray(1 / (parameters[0] + j))
        c, alpha = parameters
        return np.asarray(c * j**-alpha)


def _closed(formula: Any, loss: Any, *rest: Any) -> Any:
    """A closed form, where there is one.

    Raises
    ------
    NotImplementedError
        If there is none.
    """
    try:
        return formula(DOUBLE, loss, *rest)
    except cf.NoClosedForm as exc:
        raise NotImplementedError(str(exc)) from exc


def _row(x: Any) -> list[float]:
    return [float(value) for value in np.atleast_1d(x)]


def _on_a_line(x: Any) -> float:
    """The one coordinate of x.

    Raises
    ------
    NotImplementedError
        If there are more.
    """
    row = _row(x)
    if len(row) > 1:
        raise NotImplementedError("no closed form in more than one dimension")
    return row[0]


def _iterated(step: Any, loss: Any, x0: Any, tau: float, updates: int) -> Array:
    path = [np.array(x0, dtype=np.float64)]
    for _ in range(updates):
        path.append(np.asarray(step(loss, path[-1], tau)))
    return np.array(path)


def exponential(rate: float) -> Weights:
    """Weights of the exponential average a <- (1 - rate) a + rate x, a = x at first."""
    return partial(output_weights, output=f"exponential-average:{rate}")
