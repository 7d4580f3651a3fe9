"""The one loop of Algorithms 1 and 2.

::

    Choose x_0 and for k = 0, ..., K-1 do:
      1. Define q_{x_k,tau} as in (6).
      2. Let x_{k+1} be the mean of the best Gaussian for it.

Algorithm 1 takes the best in the second argument of KL (`refimpl.exact.ExactMean`),
Algorithm 2 in the first (`refimpl.exact.ExactHeat`).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from refimpl.arrays import as_array, as_point, as_variance, require_finite
from refimpl.errors import InvalidParameter
from refimpl.interfaces import BestGaussian, Iterate, Loss, Projection, as_losses
from refimpl.laws import GibbsLaw
from refimpl.schedules import Constant, Schedule, as_schedule


def two_step(
    losses: Iterable[Loss],
    x0: Any,
    *,
    tau: Schedule | float,
    project: BestGaussian,
    rng: np.random.Generator | None,
    eta: float | None = None,
) -> Iterator[Iterate]:
    """The iterates x_1, x_2, ..., one for every loss given.

    Parameters
    ----------
    losses : iterable of Loss
        The loss of each weight update: ``itertools.repeat(f, K)`` for f itself, or
        `refimpl.losses.minibatches`.
    x0 : array_like, shape (d,)
    tau : Schedule or float
        The variance of phi at update k = 0, 1, ...
    project : BestGaussian
        Step 2.
    rng : numpy.random.Generator or None
        Handed to `project`; exact projections need none.
    eta : float, optional
        A learning rate other than tau (Remark 1): the update becomes
        x_k + (eta / tau) (x_{k+1} - x_k).

    Yields
    ------
    Iterate

    Raises
    ------
    InvalidParameter
        For a bad x0, tau or eta, when the first iterate is asked for.
    NonFinite
        If an iterate overflows; it names the update.

    Examples
    --------
    >>> from itertools import repeat
    >>> from refimpl.exact import ExactMean
    >>> from refimpl.losses import Quadratic
    >>> f = Quadratic(1.0, [0.0])
    >>> run = two_step(repeat(f, 3), [8.0], tau=1.0, project=ExactMean(), rng=None)
    >>> [float(iterate.x[0]) for iterate in run]
    [4.0, 2.0, 1.0]
    """
    x = as_array("x0", x0, 1)
    if not callable(tau):
        tau = Constant(as_variance("tau", tau))
    schedule = as_schedule("tau", tau)
    relaxation = None if eta is None else as_variance("eta", eta)
    previous: Projection | None = None
    if not callable(project) or isinstance(project, type):
        raise InvalidParameter(f"project must be step 2, got {project!r}")
    for k, f in enumerate(as_losses(losses)):
        x = as_point("x0" if k == 0 else "x", x, f.d)
        q = GibbsLaw(f, x, schedule(k))  # step 1
        previous = project(q, rng=rng, previous=previous)  # type: ignore[arg-type]
        if relaxation is None:
            x = previous.x
        else:
            with np.errstate(over="ignore", invalid="ignore"):  # judged below
                x = x + (relaxation / q.tau) * (previous.x - x)
        require_finite(x, f"the iterate after update {k}")
        yield Iterate(k + 1, x, previous)
