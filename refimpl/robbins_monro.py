"""Algorithm 5: Robbins-Monro for the proximal point of heat.

::

    Input: J, M and steps a^1, ..., a^J.
    1. x^0 = x_k.
    2. For j = 1, ..., J:
         x^j = x^{j-1} - a^j { x^{j-1} - x_k + tau/M sum_m grad f(z^(m)) },
         z^(m) ~ phi_{x^{j-1},tau}, fresh at every move.                     (17)
    Output: x^J, an approximate minimiser of KL(phi_{x,tau} || q).

Departures:  E6, the paper moves from x^j to x^{j+1} for j = 1..J and so never defines
x^1; counted from 0, as here, all its letters fit.  E7, the steps decrease:
a^j = c j^(-alpha), and j begins at 1 with every weight update.  Implementations are
known that take tau for the standard deviation of z^(m), not of the rest:
``noise="standard-deviation"``.

State:  y, the states of n runs side by side, (n, d);  h, the bracket of (17), a noisy
value of h(y) = y - x_k + tau grad F^H(y).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from refimpl.arrays import Array, as_count, as_generator, as_kind
from refimpl.errors import NonFinite
from refimpl.interfaces import FlatLaw, Loss, Projection
from refimpl.laws import GibbsLaw
from refimpl.noise import Reading, as_reading, normal_blocks, variance_of
from refimpl.regularised import heat_gradient_estimate
from refimpl.schedules import Schedule, as_schedule, steps


def robbins_monro(
    f: Loss,
    x: Array,
    tau: float,
    a: Array,
    M: int,
    noise: Iterable[Iterable[Array]],
    *,
    start: Array,
    noise_is: Reading = "variance",
    visit: Any = None,
) -> tuple[Array, Array]:
    """The core: the last states and residuals of n runs, given their noise.

    Parameters
    ----------
    f : Loss
    x : ndarray, shape (d,)
        The centre x_k.
    tau : float
        A variance.
    a : ndarray, shape (J,)
        Steps.
    M : int
        Samples per step.
    noise : iterable
        For each of the J moves its blocks of standard normals, (n, m, d) with m
        adding up to M.
    start : ndarray, shape (n, d)
    noise_is : {"variance", "standard-deviation"}
        What tau is of the samples.
    visit : callable, optional
        Called with every new state (n, d); copy what you keep.

    Returns
    -------
    last, residual : ndarray, shape (n, d)
        The states after J moves, and the bracket of (17) at the last move.

    Raises
    ------
    NonFinite
        Where a run diverges; it names the inner step and what to change.
    """
    y, h = start.copy(), np.zeros_like(start)
    variance = variance_of(tau, noise_is)
    for j, (a_j, blocks) in enumerate(zip(a, noise, strict=True), 1):
        with np.errstate(over="ignore", invalid="ignore"):  # judged below
            h = y - x + tau * heat_gradient_estimate(f, y, variance, M, blocks)
            y = y - a_j * h
        if not np.isfinite(y).all():
            raise NonFinite(
                f"Robbins-Monro left the representable numbers at inner step {j}, with "
                f"a^{j} = {a_j:g} and tau = {tau:g}: choose smaller, decreasing steps "
                "(a run is stable where a (1 + tau L) < 2, L the curvature of f)"
            )
        if visit is not None:
            visit(y)
    return y, h


@dataclass(frozen=True)
class Residual:
    """What `RobbinsMonro` tells of itself.

    Attributes
    ----------
    h : ndarray, shape (d,)
        The bracket of (17) at the last move: zero, up to noise, at the solution.
    gradients : int
        Evaluations of grad f.
    trace : ndarray or None, shape (J + 1, d)
        The states from the start on, if asked for.
    """

    h: Array
    gradients: int
    trace: Array | None = None
    positions: ClassVar[tuple[Array, ...]] = ()

    def lifted(self, points: Sequence[Array], embed: Any) -> "Residual":
        """The same in the whole space: h is zero where f is flat."""
        del points
        return replace(self, h=embed(self.h))


@dataclass(frozen=True)
class RobbinsMonro:
    """Algorithm 5 as an estimator of the proximal point.

    Parameters
    ----------
    J : int
        How many moves.
    a : Schedule
        The steps; `PowerLaw` in the paper.
    M : int
        Samples of phi at each move.
    noise : {"variance", "standard-deviation"}
        What tau is of these samples.  The paper's text says variance.
    trace : bool
        Whether to keep the J + 1 states.

    References
    ----------
    Algorithm 5, (17); checked by the family ALG5.

    Examples
    --------
    >>> from refimpl.losses import Quadratic
    >>> from refimpl.schedules import PowerLaw
    >>> q = GibbsLaw(Quadratic(1.0, [0.0]), np.array([2.0]), 1.0)
    >>> estimate = RobbinsMonro(J=200, a=PowerLaw(0.5, 0.7), M=30)
    >>> x = estimate(q, rng=np.random.default_rng(0)).x
    >>> bool(abs(x[0] - 1.0) < 0.1)
    True
    """

    J: int
    a: Schedule
    M: int
    noise: Reading = "variance"
    trace: bool = False

    def __post_init__(self) -> None:
        as_count("J", self.J)
        as_schedule("a", self.a)
        as_count("M", self.M)
        as_reading(self.noise)

    def __call__(
        self,
        q: GibbsLaw,
        *,
        rng: np.random.Generator,
        previous: Projection | None = None,
    ) -> Projection:
        """The last state; its `info` is a `Residual`.

        Raises
        ------
        InvalidParameter
            For a bad rng, or a schedule with a step that is not finite and positive.
        NonFinite
            Where the run overflows.
        """
        return self.run(q, rng=rng, start=self.first_state(q, previous))

    def first_state(self, q: GibbsLaw, previous: Projection | None) -> Array:
        """The centre, shape (d,)."""
        del previous
        return as_kind("q", q, GibbsLaw).x

    def flat_law(self, tau: float, info: Residual) -> FlatLaw:
        """Where f is flat the last state has no noise."""
        del tau, info
        kept = np.prod(1 - steps(self.a, self.J))
        return FlatLaw(np.array([kept]), np.zeros((1, 1)))

    def run(self, q: GibbsLaw, *, rng: np.random.Generator, start: Array) -> Projection:
        """The last state of a run from this start (d,)."""
        kept = [start]
        visit = (lambda y: kept.append(y[0].copy())) if self.trace else None
        last, h = self._descents(q, 1, rng, start, visit)
        trace = np.array(kept) if self.trace else None
        return Projection(last[0], Residual(h[0], self.J * self.M, trace))

    def replicates(self, q: GibbsLaw, n: int, *, rng: np.random.Generator) -> Array:
        """n independent last states, the runs side by side, shape (n, d).

        Raises
        ------
        InvalidParameter, NonFinite
            As for one.
        """
        start = self.first_state(q, None)
        return self._descents(q, as_count("n", n), rng, start)[0]

    def _descents(
        self,
        q: GibbsLaw,
        n: int,
        rng: np.random.Generator,
        start: Array,
        visit: Any = None,
    ) -> tuple[Array, Array]:
        as_generator("rng", rng)
        d = q.x.size

        def side_by_side() -> Iterator[Array]:
            for z in normal_blocks(rng, self.M, n * d):
                yield z.reshape(len(z), n, d).swapaxes(0, 1)

        return robbins_monro(
            q.f,
            q.x,
            q.tau,
            steps(self.a, self.J),
            self.M,
            (side_by_side() for _ in range(self.J)),
            start=np.tile(start, (n, 1)),
            noise_is=self.noise,
            visit=visit,
        )
