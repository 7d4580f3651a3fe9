"""Known mistakes in Algorithm 5: H.

    x^1 = x_k;  x^{j+1} = x^j - a^j {x^j - x_k + tau/M sum_m grad f(z^(m))},
    z^(m) ~ N(x^j, tau I), j = 1, ..., J;  output x^{J+1};  a^j = c j^(-alpha).

One routine with hooks; without any it is the algorithm.  A mistake of the schedule has
only the steps a^1, ..., a^J to go by: it recovers c = a^1 and alpha = log_2(a^1/a^2)
from them (alpha = 1 for a single step), and then applies its own law.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from verification.mistakes._draws import Array, normals, shared
from verification.mistakes._training import in_runs
from verification.mistakes.mistake import Fault, Mistake

#: law(c, alpha, j): the steps of index j, an array.
Law = Callable[[float, float, Array], Array]


def power(c: float, alpha: float, j: Array) -> Array:
    """c j^(-alpha), the right law."""
    return np.asarray(c * j**-alpha)


def recovered(a: Any) -> tuple[float, float]:
    """c and alpha of the power law through the first two steps."""
    return float(a[0]), float(np.log2(a[0] / a[1])) if len(a) > 1 else 1.0


def padded(states: Array, count: int) -> Array:
    """The first of states (n, K, d), as many; missing ones repeat the last."""
    return states[:, np.arange(count).clip(max=states.shape[1] - 1)]


@dataclass(frozen=True)
class Move:
    """What is at hand at one move of n runs.

    Attributes
    ----------
    loss : LossData
    x : ndarray, shape (d,)
        The centre x_k.
    tau : float
        A variance.
    z : ndarray, shape (n, M, d)
        The move's standard normals.
    states : list of ndarray, shape (n, d)
        x^1, ..., x^j.
    """

    loss: Any
    x: Array
    tau: float
    z: Array
    states: list[Array]

    @property
    def y(self) -> Array:
        """x^j, (n, d)."""
        return self.states[-1]

    @property
    def before(self) -> Array:
        """x^{j-1}, (n, d); x^1 at the first move."""
        return self.states[-2:][0]

    @property
    def pull(self) -> Array:
        """x^j - x_k, (n, d)."""
        return self.y - self.x

    def around(self, centre: Array, deviation: float) -> Array:
        """The samples z^(m) about (n, d) points with this spread, (n, M, d)."""
        return centre[:, None] + deviation * self.z


@dataclass(frozen=True)
class RobbinsMonro:
    """Algorithm 5; every default is right.

    Attributes
    ----------
    points : callable
        Where the gradient is taken, (n, M, d).
    slope : callable
        From the gradients there, (n, M, d), to their mean, (n, d).
    pull : callable
        x^j - x_k, (n, d).
    factor : callable
        The factor of the mean gradient, from tau.
    noise : callable
        The standard normals used from those drawn, (n, J, M, d).
    law : callable, optional
        The steps in place of those given.
    extra : int
        Moves beyond J.
    output : callable
        The output from the states, (n, J + 1, d).
    """

    points: Callable[[Move], Array] = lambda m: m.around(m.y, np.sqrt(m.tau))
    slope: Callable[[Array], Array] = lambda gradients: gradients.mean(axis=1)
    pull: Callable[[Move], Array] = lambda m: m.pull
    factor: Callable[[float], float] = lambda tau: tau
    noise: Callable[[Array], Array] = lambda z: z
    law: Law | None = None
    extra: int = 0
    output: Callable[[Array], Array] = lambda states: states[:, -1]

    @np.errstate(all="ignore")  # the judge looks at the numbers
    def states(
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
        """x^1, ..., x^{J+1} or more or fewer: (n, J + 1 + extra, d)."""
        x = np.array(x, dtype=np.float64)
        y = x if start is None else np.array(start, dtype=np.float64)
        moves = (n, len(step_sizes), inner_samples, x.size)
        z = self.noise(normals(moves, draws, rng, self.extra))
        states = [np.tile(y, (len(z), 1))]
        for j, a in enumerate(self._steps(np.asarray(step_sizes, float))):
            m = Move(loss, x, tau, z[:, j], states)
            mean = self.slope(loss.gradient(self.points(m)))
            states.append(m.y - a * (self.pull(m) + self.factor(tau) * mean))
        return np.stack(states, axis=1)

    def _steps(self, a: Array) -> Array:
        """The steps of the J + extra moves."""
        moves = np.arange(1.0, len(a) + self.extra + 1)
        if self.law is not None:
            return self.law(*recovered(a), moves)
        return np.append(a, power(*recovered(a), moves[len(a) :]))[: len(moves)]

    def last(
        self,
        _right: Any,
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
        """`robbins_monro` as this makes it."""
        rng = np.random.default_rng(seed)
        of = (loss, x, tau, step_sizes, inner_samples, start, draws, n, rng)
        return self.output(self.states(*of))

    def trace(
        self,
        _right: Any,
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
        """`robbins_monro_trace` as this makes it; missing states repeat the last."""
        rng = np.random.default_rng(seed)
        of = (loss, x, tau, step_sizes, inner_samples, start, draws, n, rng)
        return padded(self.states(*of), len(step_sizes) + 1)

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
        M = record["inner_samples"] if given is None else given.shape[2]
        states = self.states(loss, x, tau, steps, M, start, given, 1, rng)
        return self.output(states)[0], states[0, -1]

    @property
    def shows_in_states(self) -> bool:
        """Whether x^1, ..., x^{J+1} differ from those of the algorithm."""
        right = RobbinsMonro()
        shown = replace(self, output=right.output, extra=min(self.extra, 0))
        return shown != right


def _scheduled(law: Law) -> Fault:
    """`step_schedule` with another law for "power"."""

    def schedule(right: Any, kind: str, parameters: Any, count: int) -> Any:
        if kind != "power":
            return right.step_schedule(kind, parameters, count)
        c, alpha = parameters
        return law(c, alpha, np.arange(1.0, count + 1))

    return schedule


def mistake(id_: str, name: str, sentence: str, slip: RobbinsMonro) -> Mistake:
    """The entry of one slip, planted wherever it shows."""
    faults: dict[str, Fault] = {"robbins_monro": slip.last}
    if slip.shows_in_states:
        faults["robbins_monro_trace"] = slip.trace
    if slip.law is not None:
        faults["step_schedule"] = _scheduled(slip.law)
    faults["train"] = in_runs("robbins_monro", slip.project)
    return Mistake(id_, name, sentence, faults)


# --- the entries --------------------------------------------------------------------

_BY = "; c and alpha are recovered from the first two of given steps"

ROBBINS_MONRO = (
    mistake(
        "H01",
        "samples around x_k",
        "the gradient is averaged over N(x_k, tau I), not N(x^j, tau I)",
        RobbinsMonro(points=lambda m: m.around(0.0 * m.y + m.x, np.sqrt(m.tau))),
    ),
    mistake(
        "H02",
        "samples of standard deviation tau",
        "the samples are x^j + tau z, not x^j + sqrt(tau) z: their variance is tau^2",
        RobbinsMonro(points=lambda m: m.around(m.y, m.tau)),
    ),
    mistake(
        "H03",
        "1/M missing",
        "the gradients of the M samples are added, not averaged",
        RobbinsMonro(slope=lambda gradients: gradients.sum(axis=1)),
    ),
    mistake(
        "H04",
        "tau missing in front of the gradient",
        "h is x^j - x_k plus the mean gradient, without its factor tau",
        RobbinsMonro(factor=lambda _: 1.0),
    ),
    mistake(
        "H05",
        "steps grow",
        "a_j is c j^(+alpha), as the paper prints it" + _BY,
        RobbinsMonro(law=lambda c, alpha, j: c * j**alpha),
    ),
    mistake(
        "H06",
        "constant steps",
        "a_j is c, whatever alpha: the steps do not decrease" + _BY,
        RobbinsMonro(law=lambda c, _, j: c + 0.0 * j),
    ),
    mistake(
        "H07",
        "sign of x^j - x_k",
        "the state is pushed away from x_k: h has x_k - x^j",
        RobbinsMonro(pull=lambda m: -m.pull),
    ),
    mistake(
        "H08",
        "one move too few",
        "J - 1 moves in place of J; a trace repeats the last state",
        RobbinsMonro(extra=-1),
    ),
    mistake(
        "H09",
        "one move more than J",
        "J + 1 moves in place of J, the last with a^{J+1} of the power law through the "
        "first two steps; given draws repeat their last row for it",
        RobbinsMonro(extra=1),
    ),
    mistake(
        "H10",
        "mean of the iterates as the output",
        "the output is the mean of the J new states, not the last of them",
        RobbinsMonro(output=lambda states: states[:, 1:].mean(axis=1)),
    ),
    mistake(
        "H11",
        "samples of the first move every time",
        "every move uses the same normals: the generator is reset at each move",
        RobbinsMonro(noise=shared(1)),
    ),
    mistake(
        "H12",
        "one sample in place of M",
        "the M samples of a move are all the same one",
        RobbinsMonro(noise=shared(2)),
    ),
    mistake(
        "H13",
        "x^j - x_k left out",
        "h is the mean gradient alone, so that nothing holds the state near x_k",
        RobbinsMonro(pull=lambda m: 0.0 * m.y),
    ),
    mistake(
        "H14",
        "step index starts at 2",
        "a_j is c (j+1)^(-alpha)" + _BY,
        RobbinsMonro(law=lambda c, alpha, j: power(c, alpha, j + 1)),
    ),
    mistake(
        "H15",
        "x_k replaced by the previous state",
        "h has x^j - x^{j-1} in place of x^j - x_k, a stale copy of the state",
        RobbinsMonro(pull=lambda m: m.y - m.before),
    ),
    mistake(
        "H16",
        "steps decay exponentially",
        "a_j is c exp(-alpha j)" + _BY,
        RobbinsMonro(law=lambda c, alpha, j: c * np.exp(-alpha * j)),
    ),
    mistake(
        "H17",
        "no smoothing: gradient at the state",
        "the gradient is taken at x^j itself, not averaged over N(x^j, tau I)",
        RobbinsMonro(points=lambda m: m.around(m.y, 0.0)),
    ),
    mistake(
        "H18",
        "samples of variance 2 tau",
        "the gradient is averaged over N(x^j, 2 tau I)",
        RobbinsMonro(points=lambda m: m.around(m.y, np.sqrt(2 * m.tau))),
    ),
    mistake(
        "H19",
        "pull divided by tau",
        "h has (x^j - x_k)/tau, while the mean gradient keeps its factor tau",
        RobbinsMonro(pull=lambda m: m.pull / m.tau),
    ),
    mistake(
        "H20",
        "sign of the gradient in h",
        "h has the mean gradient with a minus: the state climbs",
        RobbinsMonro(slope=lambda gradients: -gradients.mean(axis=1)),
    ),
    mistake(
        "H21",
        "divided by M - 1",
        "the gradients of the M samples are added and divided by M - 1",
        RobbinsMonro(
            slope=lambda gradients: (
                gradients.sum(axis=1) / np.float64(gradients.shape[1] - 1)
            )
        ),
    ),
    mistake(
        "H22",
        "harmonic steps",
        "a_j is c/(1 + |alpha| (j-1)), the power law only for alpha = 1" + _BY,
        RobbinsMonro(law=lambda c, alpha, j: c / (1 + abs(alpha) * (j - 1))),
    ),
    mistake(
        "H23",
        "draws accumulate",
        "the m-th sample of a move is the one before it with more noise added: a "
        "random walk in m",
        RobbinsMonro(noise=lambda z: z.cumsum(axis=2)),
    ),
    mistake(
        "H24",
        "one number for all axes of z^(m)",
        "a single normal number moves all coordinates of a sample of Algorithm 5",
        RobbinsMonro(noise=shared(3)),
    ),
    mistake(
        "H25",
        "the bracket of Algorithm 5 over tau",
        "a multiplies the mean gradient plus (x^j - x_k)/tau: steps longer by 1/tau",
        RobbinsMonro(pull=lambda m: m.pull / m.tau, factor=lambda _: 1.0),
    ),
)
