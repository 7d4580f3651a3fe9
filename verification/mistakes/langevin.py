"""Known mistakes in Algorithm 3: S.

    x^1 = x;  x^{j+1} = x^j - epsilon_j/2 (grad f(x^j) - (x - x^j)/tau) + eta_j,
    eta_j ~ N(0, epsilon_j I), j = 1, ..., J-1;  output sum_j w_j x^j, w_j ~ epsilon_j.

One routine with hooks; without any it is the algorithm in its literal reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr

from verification.mistakes._draws import Array, normals, shared
from verification.mistakes._training import in_runs
from verification.mistakes.mistake import Fault, Mistake

EXAMPLES = 4
"""The N of a loss that is no finite sum, where a mistake needs one."""


@dataclass(frozen=True)
class Move:
    """What is at hand at one move of n chains.

    Attributes
    ----------
    loss : LossData
    x : ndarray, shape (d,)
        The centre x_k.
    tau, epsilon : float
        Variances.
    z : ndarray, shape (n, d)
        The move's standard normals.
    states : list of ndarray, shape (n, d)
        x^1, ..., x^j.
    is_last : bool
    """

    loss: Any
    x: Array
    tau: float
    epsilon: float
    z: Array
    states: list[Array]
    is_last: bool

    @property
    def y(self) -> Array:
        """x^j, (n, d)."""
        return self.states[-1]

    @property
    def before(self) -> Array:
        """x^{j-1}, (n, d); x^1 at the first move."""
        return self.states[-2:][0]

    @property
    def gradient(self) -> Array:
        """grad f(x^j), (n, d)."""
        return np.asarray(self.loss.gradient(self.y))

    @property
    def pull(self) -> Array:
        """(x - x^j)/tau, (n, d)."""
        return (self.x - self.y) / self.tau

    @property
    def kick(self) -> Array:
        """eta_j, (n, d)."""
        return np.sqrt(self.epsilon) * self.z


def examples(loss: Any) -> int:
    """N of the finite sum (1)."""
    of = {"least_squares": "b", "network": "labels"}.get(loss.kind)
    return len(getattr(loss, of)) if of else EXAMPLES


def _normalised(weights: Array) -> Array:
    return weights / weights.sum()


@dataclass(frozen=True)
class Langevin:
    """Algorithm 3; every default is right.

    Attributes
    ----------
    gradient, pull, kick : callable
        The terms of a move, (n, d).
    half : float
        The factor of epsilon_j in the drift.
    steps : callable
        The step sizes of the moves from those given, (J,).
    weights : callable
        The weights of the states in the output from the step sizes, (J,).
    noise : callable
        The standard normals used from those drawn, (n, J-1, d).
    start : callable
        The first state used from the one given, (d,).
    extra : int
        Moves beyond J-1; the last step size serves them.
    total : type
        The number format of the average.
    """

    gradient: Callable[[Move], Array] = lambda m: m.gradient
    pull: Callable[[Move], Array] = lambda m: m.pull
    kick: Callable[[Move], Array] = lambda m: m.kick
    half: float = 0.5
    steps: Callable[[Array], Array] = lambda epsilon: epsilon
    weights: Callable[[Array], Array] = _normalised
    noise: Callable[[Array], Array] = lambda z: z
    start: Callable[[Array], Array] = lambda y: y
    extra: int = 0
    total: type[np.floating[Any]] = np.float64

    @np.errstate(all="ignore")  # the judge looks at the numbers
    def states(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        start: Any,
        draws: Any,
        n: int,
        rng: np.random.Generator,
    ) -> Array:
        """x^1, ..., x^J and any beyond: (n, J + extra, d)."""
        x = np.array(x, dtype=np.float64)
        y = self.start(x if start is None else np.array(start, dtype=np.float64))
        moves = (n, len(step_sizes) - 1, x.size)
        z = self.noise(normals(moves, draws, rng, self.extra))
        states = [np.tile(y, (len(z), 1))]
        for j, epsilon in enumerate(self.steps(self._extended(step_sizes))[:-1]):
            m = Move(loss, x, tau, epsilon, z[:, j], states, j == z.shape[1] - 1)
            drift = self.gradient(m) - self.pull(m)
            states.append(m.y - self.half * epsilon * drift + self.kick(m))
        return np.stack(states, axis=1)

    def _extended(self, step_sizes: Any) -> Array:
        return np.pad(np.asarray(step_sizes, float), (0, self.extra), mode="edge")

    def averaged(self, states: Array, step_sizes: Any) -> Array:
        """The output from the states: (n, d)."""
        weights = self.weights(self._extended(step_sizes))
        products = weights[:, None].astype(self.total) * states.astype(self.total)
        return np.asarray(products.sum(axis=1), dtype=np.float64)

    def mean(
        self,
        _right: Any,
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
        """`sgld_mean` as this makes it."""
        rng = np.random.default_rng(seed)
        states = self.states(loss, x, tau, step_sizes, start, draws, n, rng)
        return self.averaged(states, step_sizes)

    def trace(
        self,
        _right: Any,
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
        """`sgld_trace` as this makes it."""
        rng = np.random.default_rng(seed)
        states = self.states(loss, x, tau, step_sizes, start, draws, n, rng)
        return states[:, : len(step_sizes)]

    def project(
        self,
        loss: Any,
        x: Array,
        tau: float,
        record: Mapping[str, Any],
        start: Array | None,
        draws: Array | None,
        rng: np.random.Generator,
    ) -> tuple[Array, Array]:
        """The output and the last state of one weight update, (d,) each."""
        steps = record["step_sizes"]
        given = None if draws is None else np.asarray(draws)[None]
        states = self.states(loss, x, tau, steps, start, given, 1, rng)
        return self.averaged(states, steps)[0], states[0, -1]

    @property
    def shows_in_states(self) -> bool:
        """Whether x^1, ..., x^J differ from those of the algorithm."""
        right = Langevin()
        averaged = replace(self, weights=right.weights, extra=0, total=right.total)
        return averaged != right


def mistake(id_: str, name: str, sentence: str, slip: Langevin) -> Mistake:
    """The entry of one slip, planted wherever it shows."""
    faults: dict[str, Fault] = {"sgld_mean": slip.mean}
    if slip.shows_in_states:
        faults["sgld_trace"] = slip.trace
    faults["train"] = in_runs("sgld", slip.project)
    return Mistake(id_, name, sentence, faults)


# --- pieces -----------------------------------------------------------------------


def _diagonal(m: Move) -> Array:
    if m.loss.kind != "quadratic" or np.ndim(m.loss.H) != 2:
        return m.gradient
    return np.asarray(np.diag(m.loss.H) * (m.y - m.loss.m))


def _left_out(first: int, last: int = 0) -> Callable[[Array], Array]:
    """Weights of a mean that leaves so many states out at either end."""

    def weights(epsilon: Array) -> Array:
        kept = epsilon.copy()
        kept[:first] = 0.0
        kept[len(kept) - last :] = 0.0
        return _normalised(kept)

    return weights


def _antithetic(z: Array) -> Array:
    paired = z.copy()
    seconds = paired[:, 1::2]
    seconds[...] = -paired[:, : 2 * seconds.shape[1] : 2]
    return paired


def _uniform(z: Array) -> Array:
    return np.asarray(np.sqrt(3.0) * (2.0 * ndtr(z) - 1.0))


# --- the entries --------------------------------------------------------------------

LANGEVIN = (
    mistake(
        "S01",
        "sign of the pull",
        "the chain is pushed away from x_k: (x^j - x)/tau in place of (x - x^j)/tau",
        Langevin(pull=lambda m: -m.pull),
    ),
    mistake(
        "S02",
        "1/2 missing in the drift",
        "the drift has the factor epsilon, not epsilon/2",
        Langevin(half=1.0),
    ),
    mistake(
        "S03",
        "noise of standard deviation epsilon",
        "the noise is epsilon z, not sqrt(epsilon) z: its variance is epsilon^2",
        Langevin(kick=lambda m: m.epsilon * m.z),
    ),
    mistake(
        "S04",
        "noise variance 2 epsilon",
        "the noise has variance 2 epsilon, as for a drift of factor epsilon",
        Langevin(kick=lambda m: np.sqrt(2.0) * m.kick),
    ),
    mistake(
        "S05",
        "pull tau in place of 1/tau",
        "the pull is tau (x - x^j)",
        Langevin(pull=lambda m: m.tau * (m.x - m.y)),
    ),
    mistake(
        "S06",
        "pull 1/sqrt(tau) in place of 1/tau",
        "the pull is (x - x^j)/sqrt(tau): tau is taken for a standard deviation",
        Langevin(pull=lambda m: (m.x - m.y) / np.sqrt(m.tau)),
    ),
    mistake(
        "S07",
        "pull halved",
        "the pull is (x - x^j)/(2 tau)",
        Langevin(pull=lambda m: m.pull / 2),
    ),
    mistake(
        "S08",
        "1/2 missing in the pull only",
        "the pull has the factor epsilon, the gradient epsilon/2",
        Langevin(pull=lambda m: 2 * m.pull),
    ),
    mistake(
        "S09",
        "last state as the output",
        "the output is x^J, not the weighted mean of the states",
        Langevin(weights=lambda epsilon: np.eye(len(epsilon))[-1]),
    ),
    mistake(
        "S10",
        "plain mean of the states",
        "the states are averaged with equal weights, not epsilon_j",
        Langevin(weights=lambda epsilon: np.full(len(epsilon), 1 / len(epsilon))),
    ),
    mistake(
        "S11",
        "weights not normalised",
        "the weighted sum of the states is not divided by the sum of epsilon",
        Langevin(weights=lambda epsilon: epsilon),
    ),
    mistake(
        "S12",
        "weighted sum divided by J",
        "the weighted sum of the states is divided by J, not by the sum of epsilon",
        Langevin(weights=lambda epsilon: epsilon / len(epsilon)),
    ),
    mistake(
        "S13",
        "one move too many",
        "J moves, and x^{J+1} is averaged as well, with weight epsilon_J; given draws "
        "repeat their last row for it",
        Langevin(extra=1),
    ),
    mistake(
        "S14",
        "first state left out",
        "x^1 is left out of the mean, a burn-in of one",
        Langevin(weights=_left_out(1)),
    ),
    mistake(
        "S15",
        "last state left out",
        "x^J is left out of the mean",
        Langevin(weights=_left_out(0, 1)),
    ),
    mistake(
        "S16",
        "first half left out",
        "the first half of the states is left out of the mean, as a burn-in",
        Langevin(weights=lambda epsilon: _left_out(len(epsilon) // 2)(epsilon)),
    ),
    mistake(
        "S17",
        "weights shifted by one",
        "x^j is weighed with epsilon_{j-1}, x^1 with epsilon_J",
        Langevin(weights=lambda epsilon: _normalised(np.roll(epsilon, 1))),
    ),
    mistake(
        "S18",
        "steps shifted by one",
        "the move from x^j has step size epsilon_{j+1}; the weights are right",
        Langevin(steps=lambda epsilon: np.roll(epsilon, -1)),
    ),
    mistake(
        "S19",
        "epsilon_1 throughout",
        "every step size is epsilon_1, and every weight: the schedule is forgotten",
        Langevin(
            steps=lambda epsilon: np.full(len(epsilon), epsilon[0]),
            weights=lambda epsilon: np.full(len(epsilon), 1 / len(epsilon)),
        ),
    ),
    mistake(
        "S20",
        "weights sqrt(epsilon)",
        "the states are weighed with sqrt(epsilon_j)",
        Langevin(weights=lambda epsilon: _normalised(np.sqrt(epsilon))),
    ),
    mistake(
        "S21",
        "no pull: the anchor moves",
        "the pull is towards the current state, so that there is none",
        Langevin(pull=lambda m: 0.0 * m.y),
    ),
    mistake(
        "S22",
        "pull towards the previous state",
        "the pull is towards x^{j-1}, a stale copy of the state, not x_k",
        Langevin(pull=lambda m: (m.before - m.y) / m.tau),
    ),
    mistake(
        "S23",
        "one noise for all coordinates",
        "a single normal number per move moves all coordinates of the chain",
        Langevin(noise=shared(2)),
    ),
    mistake(
        "S24",
        "noise of the first move every time",
        "every move uses the same normals: the generator is reset at each step",
        Langevin(noise=shared(1)),
    ),
    mistake(
        "S25",
        "no noise in the chain",
        "the moves have no noise: gradient descent on f + |y - x|^2/(2 tau)",
        Langevin(kick=lambda m: 0.0 * m.z),
    ),
    mistake(
        "S26",
        "noise added before the gradient",
        "the gradient is taken at x^j + eta_j",
        Langevin(gradient=lambda m: m.loss.gradient(m.y + m.kick)),
    ),
    mistake(
        "S27",
        "gradient at x_k",
        "every move of the chain uses grad f(x_k), not grad f(x^j)",
        Langevin(gradient=lambda m: m.loss.gradient(0.0 * m.y + m.x)),
    ),
    mistake(
        "S28",
        "gradient of the sum of examples",
        "the gradient of f is multiplied by N, the sum in place of the mean; N = 4 for "
        "a loss that is no finite sum",
        Langevin(gradient=lambda m: examples(m.loss) * m.gradient),
    ),
    mistake(
        "S29",
        "off-diagonal curvature lost",
        "the gradient of a quadratic uses the diagonal of H only",
        Langevin(gradient=_diagonal),
    ),
    mistake(
        "S30",
        "chain starts at zero",
        "x^1 is zero, whatever the start should be",
        Langevin(start=lambda y: 0.0 * y),
    ),
    mistake(
        "S31",
        "sign of the gradient in the chain",
        "the chain climbs f: the drift has -grad f in place of grad f",
        Langevin(gradient=lambda m: -m.gradient),
    ),
    mistake(
        "S32",
        "antithetic moves",
        "the noise of every second move is that of the move before it, negated",
        Langevin(noise=_antithetic),
    ),
    mistake(
        "S33",
        "last move without noise",
        "the last move adds no noise",
        Langevin(kick=lambda m: 0.0 * m.z if m.is_last else m.kick),
    ),
    mistake(
        "S34",
        "noise variance epsilon/2",
        "the noise has variance epsilon/2 where epsilon is right (in code with step "
        "h = epsilon/2: sqrt(h) where sqrt(2 h) is right)",
        Langevin(kick=lambda m: np.sqrt(0.5) * m.kick),
    ),
    mistake(
        "S35",
        "gradient of the previous state",
        "the move from x^j uses grad f(x^{j-1}), a stale gradient",
        Langevin(gradient=lambda m: m.loss.gradient(m.before)),
    ),
    mistake(
        "S36",
        "weights epsilon^2",
        "the states are weighed with epsilon_j^2",
        Langevin(weights=lambda epsilon: _normalised(epsilon**2)),
    ),
    mistake(
        "S37",
        "whole drift negated",
        "the drift, gradient and pull, has the wrong sign",
        Langevin(half=-0.5),
    ),
    mistake(
        "S38",
        "uniform noise",
        "the noise is uniform with the right variance; a given draw z is turned into "
        "sqrt(3) (2 Phi(z) - 1)",
        Langevin(noise=_uniform),
    ),
    mistake(
        "S39",
        "noise clipped at two deviations",
        "normals beyond two standard deviations are clipped to them",
        Langevin(noise=lambda z: np.clip(z, -2.0, 2.0)),
    ),
    mistake(
        "S40",
        "noise of random signs",
        "the noise is +sqrt(epsilon) or -sqrt(epsilon), by the sign of the draw",
        Langevin(noise=np.sign),
    ),
)
