"""How well chains of Algorithm 3 mix, measured by ArviZ.

The figures are those of Vehtari, Gelman, Simpson, Carpenter and Buerkner,
*Rank-normalization, folding, and localization* (Bayesian Analysis, 2021), one a
coordinate.  They need the extra ``diagnostics``, which brings ``arviz-stats``; it is
imported when it is first asked for.

What they are not.  All take the J states of a trace as equally weighted draws of one
stationary chain.  Algorithm 3 weights x^j by epsilon_j: with a constant step size the
output is the plain mean, and its variance that of a state over the effective sample
size.  With decreasing steps neither holds: the weights differ, and the moves shrink, so
that the later states are the more correlated.  Where the steps hardly change over the
chain (`Harmonic(1000)` falls by 2 % in 24) the figures are good to that much; otherwise
they describe the trace and not the output.  Nor do they see what all chains have in
common: the start at x, which the output averages in, and the bias of the step size.  On
a loss of constant curvature `refimpl.output_laws.sgld_law` has all of it exactly.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.arrays import Array, as_array, as_list
from refimpl.errors import InvalidParameter, MissingExtra

LEAST_DRAWS = 8
"""Halves of halves of a chain still have a variance."""


@dataclass(frozen=True)
class Mixing:
    """How much the states of some chains are worth, coordinate by coordinate.

    Attributes
    ----------
    chains, draws : int
        What was measured: draws states of each chain.
    effective_sample_size : ndarray, shape (d,)
        So many independent states would give the mean of all states its variance;
        it falls where chains disagree.  At most S log10(S) for S = chains x draws.
    bulk_effective_sample_size : ndarray, shape (d,)
        The same of the ranks, for tails too heavy to have a variance.
    autocorrelation_time : ndarray, shape (d,)
        S over the effective sample size: moves per independent state.
    r_hat : ndarray, shape (d,)
        The larger of the split R-hats of the ranks and of the folded ranks: near 1
        where the halves of all chains have one location and one width (its authors ask
        for less than 1.01), huge or infinite where they differ and none of them moves.
    """

    chains: int
    draws: int
    effective_sample_size: Array
    bulk_effective_sample_size: Array
    autocorrelation_time: Array
    r_hat: Array


def diagnose(traces: Any) -> Mixing:
    """Effective sample sizes, autocorrelation times and R-hat of some chains.

    Parameters
    ----------
    traces : array_like, shape (chains, draws, d), or sequence of (draws, d)
        Such as `refimpl.sgld.Langevin.trace` of several runs from the same centre.  A
        single chain is cut in two for R-hat, which compares chains.

    Raises
    ------
    InvalidParameter
        Unless there are chains of one length, of at least 8 states, all of them finite,
        and each moves in each coordinate.
    MissingExtra
        Without the extra ``diagnostics``.

    References
    ----------
    Section 5.1.1.

    Examples
    --------
    >>> from refimpl.laws import GibbsLaw
    >>> from refimpl.losses import Quadratic
    >>> from refimpl.schedules import Constant
    >>> from refimpl.sgld import SGLD
    >>> q = GibbsLaw(Quadratic(1.0, [0.0]), np.array([2.0]), 1.0)
    >>> estimate = SGLD(J=1000, epsilon=Constant(0.5), trace=True)
    >>> rng = np.random.default_rng(0)
    >>> found = diagnose([estimate(q, rng=rng).info.trace for _ in range(4)])
    >>> bool(2 < found.autocorrelation_time[0] < 4)  # (1 + r)/(1 - r) = 3, r = 1/2
    True
    """
    states = _states(traces)
    stats = _array_stats()
    chains, draws, d = states.shape
    by_coordinate = np.moveaxis(states, -1, 0)  # (d, chains, draws), as ArviZ has it
    compared = by_coordinate
    if chains == 1:
        compared = by_coordinate[..., : draws // 2 * 2].reshape(d, 2, draws // 2)
    mean = stats.ess(by_coordinate, method="mean")
    bulk = stats.ess(by_coordinate, method="bulk")
    with np.errstate(divide="ignore", invalid="ignore"):  # halves that never move
        r_hat = stats.rhat(compared, method="rank")
    return Mixing(chains, draws, mean, bulk, chains * draws / mean, r_hat)


def _states(traces: Any) -> Array:
    """The states (chains, draws, d), each coordinate with mean 0 and reach 1.

    The figures do not depend on location and scale, but the library takes a coordinate
    that moves by less than 1e-15 for a constant.
    """
    traces = as_list("traces", traces)
    if any(trace is None for trace in traces):
        raise InvalidParameter("a trace was not kept: run SGLD with trace=True")
    shapes = [np.shape(trace) for trace in traces]
    if len(set(shapes)) != 1 or len(shapes[0]) != 2:
        raise InvalidParameter(
            "traces must be chains of one shape (draws, d) each; a single one is "
            f"[trace], got {shapes if len(shapes) < 5 else [*shapes[:4], '...']}"
        )
    states = as_array("traces", traces, 3)
    if states.shape[1] < LEAST_DRAWS:
        raise InvalidParameter(
            f"a trace must have at least {LEAST_DRAWS} states, got {states.shape[1]}"
        )
    still = np.argwhere(np.ptp(states, axis=1) == 0)
    if still.size:
        chain, coordinate = still[0]
        raise InvalidParameter(
            f"chain {chain} never moves in coordinate {coordinate}: it has no "
            "autocorrelation there"
        )
    states -= states.mean(axis=(0, 1))
    return states / np.abs(states).max(axis=(0, 1))


def _array_stats() -> Any:
    try:
        from arviz_stats.base import array_stats
    except ModuleNotFoundError:
        raise MissingExtra(
            "diagnostics of chains need ArviZ, which the extra `diagnostics` brings: "
            'pip install "local-entropy-oracle[diagnostics]"'
        ) from None
    return array_stats
