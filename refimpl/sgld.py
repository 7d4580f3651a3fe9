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
J moves whose J new states are averaged, is ``chain="new-states"``.

State:  y, the chain's state;  total, the weighted sum of states;  g, the gradient at
y;  z, one row of standard normals.  All of them (n, d), n chains side by side.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from refimpl._jit import jit
from refimpl.arrays import Array, as_count, as_generator
from refimpl.errors import InvalidParameter, NonFinite
from refimpl.interfaces import Loss, Projection
from refimpl.laws import GibbsLaw
from refimpl.noise import normal_rows
from refimpl.schedules import Schedule, as_schedule, steps

Chain = Literal["literal", "new-states"]


@jit
def move_kernel(
    y: Array,
    total: Array,
    g: Array,
    z: Array,
    x: Array,
    tau: float,
    epsilon: float,
    weight: float,
    reach: Array,
) -> None:
    """One move of n chains; updates y and total in place.

    y, total, g, z (n, d); x (d,).  reach[0] is infinite or NaN if y is.
    """
    scale = np.sqrt(epsilon)
    sum_of_sizes = 0.0
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            drift = g[i, j] - (x[j] - y[i, j]) / tau
            y[i, j] += -0.5 * epsilon * drift + scale * z[i, j]
            total[i, j] += weight * y[i, j]
            sum_of_sizes += abs(y[i, j])
    reach[0] = sum_of_sizes


def langevin(
    f: Loss,
    x: Array,
    tau: float,
    epsilon: Array,
    noise: Iterable[Array],
    *,
    start: Array,
    chain: Chain = "literal",
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
        moves = zip(noise, epsilon[:-1], epsilon[1:], strict=True)
        with np.errstate(over="ignore"):  # judged in `_mean`
            total = epsilon[0] * y
        if visit is not None:
            visit(y)
    else:
        moves = zip(noise, epsilon, epsilon, strict=True)
        total = np.zeros_like(y)
    reach = np.zeros(1)
    for j, (z, eps, weight) in enumerate(moves, 1):
        with np.errstate(over="ignore", invalid="ignore"):  # judged below
            move_kernel(y, total, f.gradient(y), z, x, tau, eps, weight, reach)
        if not np.isfinite(reach[0]):
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
    trace: bool = False

    def __post_init__(self) -> None:
        as_count("J", self.J)
        as_schedule("epsilon", self.epsilon)
        if self.start not in ("centre", "previous"):
            raise InvalidParameter(
                f'start must be "centre" or "previous", got {self.start!r}'
            )
        if self.chain not in ("literal", "new-states"):
            raise InvalidParameter(
                f'chain must be "literal" or "new-states", got {self.chain!r}'
            )

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
        kept: list[Array] = []
        visit = (lambda y: kept.append(y[0].copy())) if self.trace else None
        output, last = self._run(q, 1, rng, previous, visit)
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
        return self._run(q, as_count("n", n), rng, previous)[0]

    def _run(
        self,
        q: GibbsLaw,
        n: int,
        rng: np.random.Generator,
        previous: Projection | None,
        visit: Any = None,
    ) -> tuple[Array, Array]:
        noise = normal_rows(as_generator("rng", rng), self.moves, n * q.x.size)
        return langevin(
            q.f,
            q.x,
            q.tau,
            steps(self.epsilon, self.J),
            (z.reshape(n, q.x.size) for z in noise),
            start=np.tile(self._start(q, previous), (n, 1)),
            chain=self.chain,
            visit=visit,
        )

    def _start(self, q: GibbsLaw, previous: Projection | None) -> Array:
        if self.start == "centre" or previous is None:
            return q.x
        if not isinstance(previous.info, Langevin):
            raise InvalidParameter(
                'start="previous" needs the last update to be one of SGLD too'
            )
        return previous.info.last
