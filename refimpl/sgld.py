"""Algorithm 3: stochastic gradient Langevin dynamics for the mean of q.

::

    Input: J and step sizes epsilon_1, ..., epsilon_J.
    1. x^1 = x.                                                            (E5)
    2. For j = 1, ..., J-1:
         x^{j+1} = x^j - epsilon_j/2 (grad f(x^j) - (x - x^j)/tau) + eta_j,
         eta_j ~ N(0, epsilon_j I).
    Output: sum_j epsilon_j x^j / sum_j epsilon_j, an estimate of E_q X.

Departures:  E5, the paper calls the start x^0 and never defines x^1: here the start is
x^1, it is averaged with weight epsilon_1, and there are J-1 moves.  The other reading,
J moves whose J new states are averaged, is ``chain="new-states"``.  Implementations
are known that take epsilon_j for the standard deviation of eta_j:
``noise="standard-deviation"``.

Another estimator, which is not the paper's: ``output="controlled"`` runs the chain of a
flat loss beside, o^1 = 0, with the same noise,

    o^{j+1} = (1 - epsilon_j / 2 tau) o^j + eta_j,

and averages x^j - o^j.  As E o^j = 0 its mean is exactly that of Algorithm 3's output.
Where f is flat it has no variance; where the curvature lambda of f is above 1/tau it
has more than the average.

State:  y, the chain's state;  total, the weighted sum of states;  g, the gradient at
y;  z, one row of standard normals;  o, the chain beside.  All of them (n, d), n chains
side by side.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from refimpl._jit import jit
from refimpl.arrays import Array, as_choice, as_count, as_generator, as_kind
from refimpl.errors import InvalidParameter, NonFinite
from refimpl.interfaces import FlatLaw, Loss, Projection
from refimpl.laws import GibbsLaw
from refimpl.noise import Reading, as_reading, normal_rows, variance_of
from refimpl.output_laws import Chain, Output, langevin_response
from refimpl.schedules import Schedule, as_schedule, steps


@jit
def move_kernel(
    y: Array,
    total: Array,
    g: Array,
    z: Array,
    x: Array,
    tau: float,
    epsilon: float,
    deviation: float,
    weight: float,
    lost: NDArray[np.int64],
) -> None:
    """One move of n chains; updates y and total in place.

    y, total, g, z (n, d); x (d,).  lost[0] is how many entries of y are no numbers;
    a sum of floats would not vectorise, nor would entries of matrices.
    """
    half, rate, count = 0.5 * epsilon, 1.0 / tau, 0
    for i in range(y.shape[0]):
        state, sums, slope, normal = y[i], total[i], g[i], z[i]
        for j in range(state.size):
            drift = slope[j] - rate * (x[j] - state[j])
            v = state[j] - half * drift + deviation * normal[j]
            state[j] = v
            sums[j] += weight * v
            count += 0 if abs(v) < np.inf else 1
    lost[0] = count


@jit
def control_kernel(
    o: Array, total: Array, z: Array, kept: float, deviation: float, weight: float
) -> None:
    """One move of the chains beside; updates o and total in place, all (n, d)."""
    for i in range(o.shape[0]):
        for j in range(o.shape[1]):
            o[i, j] = kept * o[i, j] + deviation * z[i, j]
            total[i, j] -= weight * o[i, j]


def langevin(
    f: Loss,
    x: Array,
    tau: float,
    epsilon: Array,
    noise: Iterable[Array],
    *,
    start: Array,
    chain: Chain = "literal",
    noise_is: Reading = "variance",
    output: Output = "average",
    visit: Any = None,
) -> tuple[Array, Array]:
    """The core: the outputs and last states of n chains, given their noise.

    Parameters
    ----------
    f : Loss
    x : ndarray, shape (d,)
        The centre, to which the chains are pulled.
    tau : float
        A variance.
    epsilon : ndarray, shape (J,)
        Step sizes, which are variances of the noise.
    noise : iterable of ndarray, shape (n, d)
        Standard normals, J - 1 of them for the literal chain and J for new-states.
    start : ndarray, shape (n, d)
        The first states.
    chain : {"literal", "new-states"}
    noise_is : {"variance", "standard-deviation"}
        What epsilon_j is of the noise.
    output : {"average", "controlled"}
    visit : callable, optional
        Called with every state that is averaged, (n, d); copy what you keep.

    Returns
    -------
    output, last : ndarray, shape (n, d)

    Raises
    ------
    NonFinite
        Where a chain overflows; it names the inner step and what to change.
    """
    y = start.copy()
    if chain == "literal":
        sizes, weights = epsilon[:-1], epsilon[1:]
        with np.errstate(over="ignore"):  # judged in `_mean`
            total = epsilon[0] * y
        if visit is not None:
            visit(y)
    else:
        sizes, weights = epsilon, epsilon
        total = np.zeros_like(y)
    lost = np.zeros(1, dtype=np.int64)
    beside = np.zeros_like(y) if output == "controlled" else None
    with np.errstate(over="ignore", invalid="ignore"):  # judged below
        deviations = np.sqrt(variance_of(sizes, noise_is))
        moves = zip(
            noise, sizes.tolist(), deviations.tolist(), weights.tolist(), strict=True
        )
        for j, (z, eps, sd, weight) in enumerate(moves, 1):
            move_kernel(y, total, f.gradient(y), z, x, tau, eps, sd, weight, lost)
            if beside is not None:
                control_kernel(beside, total, z, 1 - eps / (2 * tau), sd, weight)
            if lost[0]:
                raise _diverged(j, eps, tau)
            if visit is not None:
                visit(y)
    return _mean(total, epsilon), y


def _mean(total: Array, epsilon: Array) -> Array:
    """The weighted mean of the states; sums may overflow where no state does."""
    with np.errstate(over="ignore", invalid="ignore"):  # judged below
        mass = epsilon.sum()
        mean: Array = total / mass
    if not (mass < np.inf and np.isfinite(mean).all()):
        raise NonFinite(
            "the sums of epsilon_j x^j and epsilon_j left the representable numbers, "
            f"epsilon_j being up to {epsilon.max():g}: choose smaller step sizes"
        )
    return mean


def _diverged(j: int, epsilon: float, tau: float) -> NonFinite:
    return NonFinite(
        f"the Langevin chain left the representable numbers at inner step {j}, with "
        f"epsilon_{j} = {epsilon:g} and tau = {tau:g}: choose smaller step sizes "
        "(a chain is stable where epsilon (L + 1/tau) < 4, L the curvature of f)"
    )


@dataclass(frozen=True)
class Langevin:
    """What `SGLD` tells of itself.

    Attributes
    ----------
    last : ndarray, shape (d,)
        The chain's last state, from which the next update may start.
    gradients : int
        Evaluations of grad f.
    trace : ndarray or None, shape (J, d)
        The states that were averaged, if asked for.
    """

    last: Array
    gradients: int
    trace: Array | None = None

    @property
    def positions(self) -> tuple[Array, ...]:
        """The last state."""
        return (self.last,)

    def lifted(self, points: Sequence[Array], embed: Any) -> "Langevin":
        """The same with another last state."""
        del embed
        return replace(self, last=points[0])


@dataclass(frozen=True)
class SGLD:
    """Algorithm 3 as an estimator of the mean of q.

    Parameters
    ----------
    J : int
        How many states are averaged.
    epsilon : Schedule
        epsilon_j, a step size and the variance of the noise; `Harmonic` in the paper.
    start : {"centre", "previous"}
        Where the chain starts: at x_k, or at its own last state of the previous weight
        update (section 5.1.1).  It is pulled towards x_k in either case.
    chain : {"literal", "new-states"}
        The reading of the box, see the module's departures.
    noise : {"variance", "standard-deviation"}
        What epsilon_j is of the noise.  The paper's text says variance.
    output : {"average", "controlled"}
        The paper's estimate, or that of the same mean which has no noise where f is
        flat: less where tau lambda < 1, lambda the curvature of f, but in the long run
        (tau lambda)^2 times as much variance where f is stiff.
    trace : bool
        Whether to keep the J states.  This is J x d numbers.

    Notes
    -----
    Only numbers that overflow raise.  A chain may diverge exponentially and still be
    finite after J steps: see that epsilon (L + 1/tau) < 4, L the curvature of f.

    References
    ----------
    Algorithm 3; checked by the family ALG3.

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> from refimpl.schedules import Constant
    >>> q = GibbsLaw(Quadratic(1.0, [0.0]), np.array([2.0]), 1.0)
    >>> estimate = SGLD(J=4000, epsilon=Constant(0.1))
    >>> x = estimate(q, rng=np.random.default_rng(0)).x
    >>> bool(abs(x[0] - 1.0) < 0.2)  # E_q X = 1
    True
    """

    J: int
    epsilon: Schedule
    start: Literal["centre", "previous"] = "centre"
    chain: Chain = "literal"
    noise: Reading = "variance"
    output: Output = "average"
    trace: bool = False

    def __post_init__(self) -> None:
        as_count("J", self.J)
        as_schedule("epsilon", self.epsilon)
        as_choice("start", self.start, ("centre", "previous"))
        as_choice("chain", self.chain, get_args(Chain))
        as_reading(self.noise)
        as_choice("output", self.output, get_args(Output))

    @property
    def moves(self) -> int:
        """How often the chain moves."""
        return self.J - 1 if self.chain == "literal" else self.J

    def __call__(
        self,
        q: GibbsLaw,
        *,
        rng: np.random.Generator,
        previous: Projection | None = None,
    ) -> Projection:
        """An estimate of E_q X; its `info` is a `Langevin`.

        Raises
        ------
        InvalidParameter
            For a bad rng, or a schedule with a step that is not finite and positive.
        NonFinite
            Where the chain overflows.
        """
        return self.run(q, rng=rng, start=self.first_state(q, previous))

    def run(self, q: GibbsLaw, *, rng: np.random.Generator, start: Array) -> Projection:
        """The estimate of a chain with this first state (d,), whatever `start` says."""
        kept: list[Array] = []
        visit = (lambda y: kept.append(y[0].copy())) if self.trace else None
        output, last = self._chains(q, 1, rng, start, visit)
        trace = np.array(kept) if self.trace else None
        return Projection(output[0], Langevin(last[0], self.moves, trace))

    def replicates(
        self,
        q: GibbsLaw,
        n: int,
        *,
        rng: np.random.Generator,
        previous: Projection | None = None,
    ) -> Array:
        """n independent estimates, their chains moved side by side, shape (n, d).

        Raises
        ------
        InvalidParameter, NonFinite
            As for one estimate.
        """
        start = self.first_state(q, previous)
        return self._chains(q, as_count("n", n), rng, start)[0]

    def _chains(
        self,
        q: GibbsLaw,
        n: int,
        rng: np.random.Generator,
        start: Array,
        visit: Any = None,
    ) -> tuple[Array, Array]:
        noise = normal_rows(as_generator("rng", rng), self.moves, n * q.x.size)
        return langevin(
            q.f,
            q.x,
            q.tau,
            steps(self.epsilon, self.J),
            (z.reshape(n, q.x.size) for z in noise),
            start=np.tile(start, (n, 1)),
            chain=self.chain,
            noise_is=self.noise,
            output=self.output,
            visit=visit,
        )

    def first_state(self, q: GibbsLaw, previous: Projection | None) -> Array:
        """Where the chain starts, shape (d,).

        Raises
        ------
        InvalidParameter
            If it should be the last state of another algorithm's update.
        """
        as_kind("q", q, GibbsLaw)
        if self.start == "centre" or previous is None:
            return q.x
        if not isinstance(getattr(previous, "info", None), Langevin):
            raise InvalidParameter(
                'start="previous" needs the last update to be one of SGLD too'
            )
        return previous.info.last

    def flat_law(self, tau: float, info: Langevin) -> FlatLaw:
        """The law of output and last state where f is flat."""
        del info
        epsilon = steps(self.epsilon, self.J)
        return _flat_law(epsilon.tobytes(), tau, self.chain, self.noise, self.output)


@lru_cache(maxsize=64)
def _flat_law(
    epsilon: bytes, tau: float, chain: Chain, noise: Reading, output: Output
) -> FlatLaw:
    """It takes a loop over the steps, and whole runs ask for the same one again."""
    response = langevin_response(
        [0.0], tau, np.frombuffer(epsilon), chain=chain, noise=noise, output=output
    )
    return FlatLaw(response.start[:, 0], response.covariance[:, :, 0])
