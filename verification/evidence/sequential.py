"""Verdicts on randomness, by evidence that is looked at while it is gathered.

Two boundaries.  FAIL: the combined e-process exceeds 1/alpha; for a right subject this
ever happens with probability at most alpha.  PASS: every two-point likelihood ratio
against an error of a stated size has fallen to beta; for a subject that is off by as
much in any one of them this ever happens with probability at most beta.  Whatever
neither boundary has decided within the budget is INCONCLUSIVE, which for a right
subject has a probability that `inconclusive_bound` computes.

Both errors are exact at every number of replicates, whatever the rule for stopping;
nothing is estimated and nothing is asymptotic.  The combined evidence is an average,
with the weights `WEIGHTS` or, where directions are given, `WITH_DIRECTIONS`: any
further statistic costs the others no more than the logarithm of its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import cosh, exp, log, sqrt
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from verification.evidence import e_values as ev
from verification.evidence.comparison import Finding

__all__ = [
    "SHAPE_BINS",
    "WEIGHTS",
    "WITH_DIRECTIONS",
    "Evidence",
    "Plan",
    "as_power_of_ten",
    "inconclusive_bound",
    "inconclusive_bound_bounded",
    "inconclusive_bound_counts",
    "judge_bounded",
    "judge_counts",
    "judge_normal",
]

Array = npt.NDArray[np.float64]
#: count -> scores (count, D), or the scores and their directions (count, [R,] D).
Draw = Callable[[int], Any]

#: Of location-scale, serial dependence and shape.
WEIGHTS = (0.4, 0.3, 0.3)
#: Of the same three, and of the directions: where they are given they matter most.
WITH_DIRECTIONS = (0.3, 0.2, 0.2, 0.3)
#: Of unequal categories, and of dependence on the category before.
CATEGORY_WEIGHTS = (0.7, 0.3)

SHAPE_BINS = 16
#: Of the replicates that each is compared with: those just before, and half a request
#: before, where generators of pairs and antithetic batches repeat themselves.
LAGS = (1, 2, 3, 5, 128)
FIRST = 256  # replicates; as many again as there are, at every further request
POINTS = 40  # of a path that is kept for reports
MOST = 300  # the largest power of ten that is told


@dataclass(frozen=True)
class Plan:
    """How sure one test is to be, and of what.

    Attributes
    ----------
    alpha : float
        Probability of a FAIL of a right subject.
    beta : float
        Probability of a PASS of a subject that is off by one of the sizes below.
    mean, log_variance, correlation : float
        Of each component: the mean in standard deviations, the log of the variance,
        the correlation with the replicate before.
    direction : float or None
        Relative error of a coefficient, where directions are given; None to gather
        evidence along them without asking for a certificate.
    probability : float
        Relative error of the probability of a category.
    bounded : float
        Mean of a bounded value, as a fraction of its bound.
    budget : int
        Replicates; for categories, as many for each of them.
    """

    alpha: float
    beta: float = 1e-3
    mean: float = 0.2
    log_variance: float = 0.4
    correlation: float = 0.2
    direction: float | None = 0.2
    probability: float = 0.5
    bounded: float = 0.2
    budget: int = 6000

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"{name} is a probability, got {getattr(self, name)!r}"
                )
        sizes = ("mean", "log_variance", "correlation", "probability", "bounded")
        for name in sizes:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.direction is not None and not self.direction > 0:
            raise ValueError(f"direction must be positive, got {self.direction}")
        if not self.budget >= 1:
            raise ValueError(f"the budget is {self.budget} replicates")

    @classmethod
    def deep(cls, alpha: float, **changes: Any) -> Self:
        """Return a plan of half the sizes and four times the budget.

        Parameters
        ----------
        alpha : float
        changes
            Attributes of the plan that is deepened.
        """
        plan = cls(alpha, **changes)
        return cls(
            alpha,
            plan.beta,
            plan.mean / 2,
            plan.log_variance / 2,
            plan.correlation / 2,
            None if plan.direction is None else plan.direction / 2,
            plan.probability / 2,
            plan.bounded / 2,
            4 * plan.budget,
        )


@dataclass(frozen=True, kw_only=True)
class Evidence(Finding):
    """A finding about randomness.

    `error` is the largest log E up to the stop, `tolerance` is log 1/alpha.

    Attributes
    ----------
    n : int
        Replicates judged.
    certificate : float
        The largest two-point log likelihood ratio at the stop.
    needed : float
        log beta: what it must not exceed for a PASS.
    path : tuple of (int, float, float)
        Replicates, log E and certificate along the way, thinned.
    certified : str
        What a PASS means.
    """

    n: int
    certificate: float
    needed: float
    path: tuple[tuple[int, float, float], ...] = field(repr=False)
    certified: str

    @property
    def undecided(self) -> bool:
        """Whether the budget ended before either boundary was reached."""
        return self.ok and not self.certificate <= self.needed


def as_power_of_ten(log_odds: float, places: int = 1) -> str:
    """Odds for a reader, of whom nobody tells a number of so many digits from another.

    Parameters
    ----------
    log_odds : float
        Their natural logarithm.
    places : int
        Digits after the point of the exponent.

    Examples
    --------
    >>> as_power_of_ten(18.42), as_power_of_ten(1e6), as_power_of_ten(-6.9)
    ('10^8.0', 'more than 10^300', '10^-3.0')
    """
    decades = log_odds / log(10)
    if abs(decades) > MOST:
        return f"more than 10^{MOST}" if decades > 0 else f"less than 10^-{MOST}"
    return f"10^{decades:.{places}f}"


def judge_normal(
    what: str,
    draw: Draw,
    plan: Plan,
    *,
    bins: Sequence[int] = (SHAPE_BINS,),
    at_least: int = 1,
    note: str = "",
) -> Evidence:
    """Judge scores that are independent N(0, 1) in a right subject.

    Parameters
    ----------
    what : str
        The quantity.
    draw : callable
        ``draw(count)`` returns further scores, (count, D), or a pair of scores and
        directions, (count, D) or (count, R, D), each known before its scores and
        scaled so that its coefficient is a relative error.
    plan : Plan
    bins : sequence of int
        Cells of the shape, coarse ones for what is broad and fine ones for what is
        cut off; none leaves the shape out.
    at_least : int
        No PASS before so many replicates: for shapes, which are not certified.
    note : str
        What else a reader should know.

    Raises
    ------
    ValueError
        If `draw` returns another number of replicates or NaN, or if `at_least`
        exceeds the budget: mistakes of the judge.
    """

    def log_e(u: Array, v: Array | None = None) -> Array:
        before = [ev.serial(u, lag) for lag in LAGS]
        parts = [ev.location_scale(u), ev.average(before, _equal(before))]
        weights = list(WEIGHTS[:2] if v is None else WITH_DIRECTIONS[:2])
        if bins:
            shapes = [ev.shape(u, K) for K in bins]
            parts.append(ev.average(shapes, _equal(shapes)))
            weights.append(WEIGHTS[2] if v is None else WITH_DIRECTIONS[2])
        if v is not None:
            parts.append(ev.direction(u, v))
            weights.append(WITH_DIRECTIONS[3])
        return ev.average(parts, [weight / sum(weights) for weight in weights])

    def ratio(u: Array, v: Array | None = None) -> Array:
        parts = [
            ev.mean_ratio(u, plan.mean),
            ev.variance_ratio(u, plan.log_variance),
            ev.correlation_ratio(u, plan.correlation),
        ]
        if v is not None and plan.direction is not None:
            parts.append(ev.direction_ratio(u, v, plan.direction))
        return np.asarray(np.max(parts, axis=0))

    def summary(u: Array, *_: Array) -> tuple[Array, Array]:
        return _moments(u), np.outer([0.0, 1.0, 0.0], np.ones(u.shape[1]))

    sizes = (
        f"mean within {plan.mean:g} sd",
        f"log variance within {plan.log_variance:g}",
        f"lag-1 correlation within {plan.correlation:g}",
    )
    more = () if plan.direction is None else (f"coefficient within {plan.direction:g}",)
    test = _Test(log_e, ratio, summary, sizes, more, at_least)
    return test.run(what, draw, plan, note)


def _equal(parts: Sequence[Any]) -> list[float]:
    return [1 / len(parts)] * len(parts)


def judge_counts(
    what: str, draw: Draw, K: int, plan: Plan, *, note: str = ""
) -> Evidence:
    """Judge categories 0, ..., K-1 that are independent and equally likely.

    Parameters
    ----------
    what : str
        The quantity.
    draw : callable
        ``draw(count)`` returns further categories, integers (count,).
    K : int
        Their number, at least 2.
    plan : Plan
    note : str
        What else a reader should know.

    Raises
    ------
    ValueError
        If `draw` returns another number of replicates or no categories.
    """

    def drawn(count: int) -> Array:
        cells = np.asarray(draw(count), dtype=float)
        if not np.isin(cells, np.arange(K)).all():
            raise ValueError(f"the categories are the integers 0, ..., {K - 1}")
        return cells

    def log_e(cells: Array) -> Array:
        parts = [ev.categories(cells, K), ev.repeats(cells, K)]
        return ev.average(parts, CATEGORY_WEIGHTS)

    def ratio(cells: Array) -> Array:
        return ev.categories_ratio(cells, K, plan.probability)

    def summary(cells: Array) -> tuple[Array, Array]:
        shares = (cells[:, None] == np.arange(K)).mean(axis=0)
        return shares, np.full(K, 1 / K)

    sizes = (f"each probability within {plan.probability:.0%}",)
    whole = replace(plan, budget=plan.budget * K)
    return _Test(log_e, ratio, summary, sizes).run(what, drawn, whole, note)


def judge_bounded(what: str, draw: Draw, plan: Plan, *, note: str = "") -> Evidence:
    """Judge values in [-1, 1] whose mean, given all before them, is 0.

    Nothing else need be known of their law.

    Parameters
    ----------
    what : str
        The quantity.
    draw : callable
        ``draw(count)`` returns further values, (count,) or (count, D); a value
        outside [-1, 1] refutes the subject.
    plan : Plan
    note : str
        What else a reader should know.

    Raises
    ------
    ValueError
        If `draw` returns another number of replicates, or NaN.
    """

    def drawn(count: int) -> Array:
        y = np.asarray(draw(count), dtype=float)
        return y[:, None] if y.ndim == 1 else y

    def ratio(y: Array) -> Array:
        return ev.bounded_ratio(y, plan.bounded)

    def summary(y: Array) -> tuple[Array, Array]:
        mean = y.mean(axis=0)
        return mean, np.zeros_like(mean)

    sizes = (f"conditional mean within {plan.bounded:g} of its bound",)
    return _Test(ev.bounded_mean, ratio, summary, sizes).run(what, drawn, plan, note)


# --- the probability of no verdict ----------------------------------------------------


def inconclusive_bound(plan: Plan, D: int) -> float:
    """Bound the probability that `judge_normal` is undecided on a right subject.

    By the union of Chernoff bounds P(log L > log beta) <= beta^(-1/2) E L^(1/2) over
    all ratios L at the end of the budget.  E L^(1/2) is e^(-t delta^2/8) for a mean
    and cosh(delta/2)^(-t/2) for a log variance; for a regression it is the
    determinant of a tridiagonal matrix, 1 + delta^2/2 on and -delta/2 off the
    diagonal, whose pivots fall to the r with r = 1 + delta^2/2 - (delta/2)^2 / r.

    Parameters
    ----------
    plan : Plan
    D : int
        Components.  Directions are not counted: what they show is not known before.
    """
    t, half = plan.budget, plan.correlation / 2
    diagonal = 1 + 2 * half**2
    pivot = (diagonal + sqrt(diagonal**2 - 4 * half**2)) / 2
    logs = (
        -t * plan.mean**2 / 8,
        -t / 2 * log(cosh(plan.log_variance / 2)),
        -((t - 1) * log(pivot) + log(1 - half**2 / pivot)) / 2,
    )
    return 2 * D * sum(exp(part) for part in logs) / sqrt(plan.beta)


def inconclusive_bound_counts(plan: Plan, K: int) -> float:
    """Bound the probability that `judge_counts` is undecided on a right subject."""
    p, total = 1 / K, 0.0
    for q in ((1 + plan.probability) / K, (1 - plan.probability) / K):
        affinity = sqrt(p * q) + sqrt((1 - p) * (1 - q))
        total += K * affinity ** (plan.budget * K)
    return total / sqrt(plan.beta)


def inconclusive_bound_bounded(plan: Plan, D: int) -> float:
    """Bound the probability that `judge_bounded` is undecided on a right subject.

    The wealth is at least its share W from the best single bet r; and
    E (1 - r (y - delta))^(-1/2), convex in y, is largest for y = +-1.
    """
    bets, delta = ev.BETS, plan.bounded
    worst = (1 - bets * (1 - delta)) ** -0.5 + (1 + bets * (1 + delta)) ** -0.5
    falls = (float(worst.min()) / 2) ** plan.budget
    return 2 * D * falls * sqrt(len(bets) / plan.beta)


# --- the two boundaries ---------------------------------------------------------------


@dataclass(frozen=True)
class _Test:
    """Paths of evidence and certificate as functions of all replicates so far."""

    log_e: Callable[..., Array]
    ratio: Callable[..., Array]
    summary: Callable[..., tuple[Array, Array]]
    sizes: tuple[str, ...]
    sizes_along: tuple[str, ...] = ()
    at_least: int = 1

    def run(self, what: str, draw: Draw, plan: Plan, note: str) -> Evidence:
        """Draw until a boundary is reached, or the budget is spent."""
        if self.at_least > plan.budget:
            raise ValueError(
                f"{self.at_least} replicates exceed the budget of {plan.budget}"
            )
        alarm, needed = -log(plan.alpha), log(plan.beta)
        data: tuple[Array, ...] = ()
        n = None
        while n is None:
            count = len(data[0]) if data else 0
            data = _extended(data, draw, min(max(FIRST, count), plan.budget - count))
            log_e, ratio = self.log_e(*data), self.ratio(*data)
            certain = (ratio <= needed) & (
                np.arange(1, len(ratio) + 1) >= self.at_least
            )
            n = _first((log_e > alarm) | certain, len(ratio) == plan.budget)
        sizes = self.sizes + (self.sizes_along if len(data) > 1 else ())
        measured, expected = self.summary(*(part[:n] for part in data))
        return Evidence(
            what,
            measured,
            expected,
            error=max(0.0, float(log_e[:n].max())),
            tolerance=alarm,
            note=note,
            relation="~",
            n=n,
            certificate=float(ratio[n - 1]),
            needed=needed,
            path=_thinned(log_e[:n], ratio[:n]),
            certified=f"{', '.join(sizes)}, each at {plan.beta:g}",
        )


def _extended(data: tuple[Array, ...], draw: Draw, count: int) -> tuple[Array, ...]:
    """The data with `count` further replicates."""
    answer = draw(count)
    parts = answer if isinstance(answer, tuple) else (answer,)
    new = tuple(np.asarray(part, dtype=float) for part in parts)
    for part in new:
        if len(part) != count:
            raise ValueError(f"asked for {count} replicates, got {len(part)}")
        if np.isnan(part).any():
            raise ValueError("a replicate is NaN: refuse it before it is judged")
    if not data:
        return new
    return tuple(np.concatenate(pair) for pair in zip(data, new, strict=True))


def _first(stops: npt.NDArray[np.bool_], is_all: bool) -> int | None:
    """The number of replicates at the first stop, or all where there are no more."""
    if stops.any():
        return int(stops.argmax()) + 1
    return len(stops) if is_all else None


def _thinned(log_e: Array, ratio: Array) -> tuple[tuple[int, float, float], ...]:
    kept = np.unique(np.linspace(0, len(log_e) - 1, POINTS).astype(int))
    return tuple((int(i) + 1, float(log_e[i]), float(ratio[i])) for i in kept)


@np.errstate(all="ignore")  # scores may be as large as they please
def _moments(u: Array) -> Array:
    """Mean, variance and regression on the replicate before, (3, D)."""
    before = np.sum(u[:-1] ** 2, axis=0)
    lagged = np.sum(u[1:] * u[:-1], axis=0) / np.where(before == 0, 1.0, before)
    return np.stack([u.mean(axis=0), u.var(axis=0), lagged])
