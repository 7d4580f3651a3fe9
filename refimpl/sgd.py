"""Stochastic gradient descent, the baseline of Section 6, with the same iterates."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from refimpl.arrays import as_array, as_point, as_variance, require_finite
from refimpl.interfaces import Iterate, Loss, as_losses
from refimpl.schedules import Constant, Schedule, as_schedule


def sgd(losses: Iterable[Loss], x0: Any, *, eta: Schedule | float) -> Iterator[Iterate]:
    """x_{k+1} = x_k - eta(k) grad f_k(x_k), one iterate for every loss given.

    Parameters
    ----------
    losses : iterable of Loss
        One per update, for instance `refimpl.losses.minibatches`.
    x0 : array_like, shape (d,)
    eta : Schedule or float
        The learning rate at update k = 0, 1, ...

    Yields
    ------
    Iterate

    Raises
    ------
    InvalidParameter
        For a bad x0 or eta, when the first iterate is asked for.
    NonFinite
        If an iterate overflows; it names the update.

    Examples
    --------
    >>> from itertools import repeat
    >>> from refimpl.losses import Quadratic
    >>> run = sgd(repeat(Quadratic(1.0, [0.0]), 2), [8.0], eta=0.5)
    >>> [float(iterate.x[0]) for iterate in run]
    [4.0, 2.0]
    """
    x = as_array("x0", x0, 1)
    if not callable(eta):
        eta = Constant(as_variance("eta", eta))
    schedule = as_schedule("eta", eta)
    for k, f in enumerate(as_losses(losses)):
        x = as_point("x0" if k == 0 else "x", x, f.d)
        with np.errstate(over="ignore", invalid="ignore"):  # judged below
            x = x - schedule(k) * f.gradient(x)
        require_finite(x, f"the iterate after update {k}")
        yield Iterate(k + 1, x)
