"""Stochastic descent on heat itself, the alternative named at the end of section 5.2.

::

    x_{k+1} = x_k - tau/M sum_m grad f(z^(m)),   z^(m) ~ phi_{x_k,tau}.

It is not Algorithm 2, whose step 2 solves for the proximal point, but one explicit step
of gradient descent on F^H with learning rate tau.  It answers the same call, so that
`refimpl.two_step.two_step` runs it, with any other learning rate as its `eta`.
"""

from dataclasses import dataclass

import numpy as np

from refimpl.arrays import as_count, as_generator, as_kind, require_finite
from refimpl.interfaces import Projection
from refimpl.laws import GibbsLaw
from refimpl.noise import normal_blocks
from refimpl.regularised import heat_gradient_estimate


@dataclass(frozen=True)
class HeatSGD:
    """One step of stochastic gradient descent on F^H, learning rate tau.

    Parameters
    ----------
    M : int
        Samples of phi.
    """

    M: int

    def __post_init__(self) -> None:
        as_count("M", self.M)

    def __call__(
        self,
        q: GibbsLaw,
        *,
        rng: np.random.Generator,
        previous: Projection | None = None,
    ) -> Projection:
        """x less tau times an unbiased estimate of grad F^H.

        Raises
        ------
        InvalidParameter
            For a bad rng.
        NonFinite
            If a gradient overflows.
        """
        del previous
        as_kind("q", q, GibbsLaw)
        as_generator("rng", rng)
        blocks = (z[None] for z in normal_blocks(rng, self.M, q.x.size))
        with np.errstate(over="ignore", invalid="ignore"):  # judged below
            slope = heat_gradient_estimate(q.f, q.x[None], q.tau, self.M, blocks)[0]
            x = q.x - q.tau * slope
        return Projection(require_finite(x, "a step of HeatSGD"))
