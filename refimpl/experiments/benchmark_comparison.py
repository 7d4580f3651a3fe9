"""Has an update become slower?  Two records of the benchmark, ratio by ratio.

Seconds of two runs say little: the machine was another, or had other work.  What is
compared are ratios within a run, round by round, where all that was timed met the same
disturbances.

Let R_1, ..., R_n be a ratio in the n rounds of the old record, and R'_1, ..., R'_m the
same in the new one.  If the rounds are independent and the law of R' is that of c R,
then Mann and Whitney's number of pairs with R'_j <= c R_i has a law that depends on n
and m alone, and c lies between two order statistics of the n m quotients R'_j / R_i
with a known probability (Hodges and Lehmann's interval).  The ratios of the old record
have equal shares of the error rate `ERROR`: with at most this probability any of all
the intervals misses its c.

What stays as it is throughout a run and is another in the next, such as where arrays
lie in memory, no number of rounds tells.  So a ratio has *moved* if its whole interval
lies beyond a factor of `SAME`: if no ratio changed by more than that, the probability
that any is said to have moved is at most `ERROR`, whatever the noise is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import comb
from statistics import median

from refimpl.errors import InvalidParameter
from refimpl.experiments.benchmark import (
    METHODS,
    NUMPY,
    PLAIN,
    SAYS,
    SPAN,
    TORCH,
    Case,
    Timing,
)

ERROR = 0.05
"""Probability that any ratio is said to have moved, though none did."""

SAME = 1.1
"""A factor that runs of the same code may differ by."""

MOST_ROUNDS = 100
"""Of a record that is compared."""

_AGAINST = ((NUMPY, SPAN), (TORCH, SPAN), (PLAIN, SPAN), (NUMPY, PLAIN))


@dataclass(frozen=True)
class Ratio:
    """How many times longer one thing takes than another, in one case.

    Attributes
    ----------
    case : Case
    label : str
        Of both implementations.
    method : str
    rising_is_slower : bool
        Whether what is watched stands above the line.
    """

    case: Case
    label: str
    method: str
    rising_is_slower: bool = False


@dataclass(frozen=True)
class Change:
    """A ratio in two records.

    Attributes
    ----------
    ratio : Ratio
    old, new : float
        Medians over the rounds.
    low, high : float
        The interval of the factor from old to new.
    """

    ratio: Ratio
    old: float
    new: float
    low: float
    high: float

    @property
    def fell(self) -> bool:
        """Beyond noise."""
        return self.high < 1 / SAME

    @property
    def rose(self) -> bool:
        """Beyond noise."""
        return self.low > SAME

    @property
    def slower(self) -> bool:
        """Whether what is watched is slower than it was, beyond noise."""
        return self.rose if self.ratio.rising_is_slower else self.fell

    @property
    def says(self) -> str:
        """One word, or none."""
        return "slower" if self.slower else "faster" if self.fell or self.rose else ""


def ratios(timings: Sequence[Timing]) -> dict[Ratio, tuple[float, ...]]:
    """Every ratio of a record, in each round.

    Those of the benchmark's table for every case that was timed, and how many times
    faster than NumPy what is compiled is.
    """
    took = {(one.case, one.implementation, one.method): one.seconds for one in timings}
    found = {}
    for case in dict.fromkeys(one.case for one in timings):
        for ratio, above, below in _of_case(case):
            a, b = took.get((case, *above)), took.get((case, *below))
            if a and b:
                found[ratio] = tuple(x / y for x, y in zip(a, b, strict=True))
    return found


Key = tuple[str, str]


def _of_case(case: Case) -> Iterator[tuple[Ratio, Key, Key]]:
    """All that there may be, with what stands above the line and below it."""
    for other, ours in _AGAINST:
        label = f"{SAYS[other]} / {'in span' if ours == SPAN else SAYS[ours]}"
        for method in METHODS:
            yield Ratio(case, label, method), (other, method), (ours, method)
    for method in METHODS:
        ratio = Ratio(case, "in span / one SGD by NumPy", method, rising_is_slower=True)
        yield ratio, (SPAN, method), (NUMPY, "sgd")


def compare(old: Sequence[Timing], new: Sequence[Timing]) -> list[Change]:
    """How every ratio that stands in both records has changed.

    Parameters
    ----------
    old, new : sequence of Timing

    Raises
    ------
    InvalidParameter
        If no ratio stands in both, or the rounds are too few to tell anything.
    """
    before, after = ratios(old), ratios(new)
    both = [one for one in after if one in before]
    if not both:
        raise InvalidParameter("the two records of a benchmark have no ratio in common")
    return [
        Change(
            one,
            median(before[one]),
            median(after[one]),
            *interval(before[one], after[one], ERROR / len(before)),
        )
        for one in both
    ]


def require_enough(old: Sequence[Timing], rounds: int) -> None:
    """Raise `InvalidParameter` if so many new rounds cannot be compared with a record.

    Parameters
    ----------
    old : sequence of Timing
    rounds : int
    """
    before = ratios(old)
    for one in set(map(len, before.values())):
        _left_out(one, rounds, ERROR / len(before))


def interval(
    old: Sequence[float], new: Sequence[float], error: float
) -> tuple[float, float]:
    """Hodges and Lehmann's interval of the factor from the law of old to that of new.

    Parameters
    ----------
    old, new : sequence of float
        Positive.
    error : float
        With at most this probability the interval misses the factor.

    Raises
    ------
    InvalidParameter
        If no interval is that sure, or there are more than `MOST_ROUNDS`.
    """
    beside = _left_out(len(old), len(new), error)
    quotients = sorted(b / a for a in old for b in new)
    return quotients[beside - 1], quotients[-beside]


def _left_out(n: int, m: int, error: float) -> int:
    """The number of the quotient, from both ends, at which the interval ends."""
    if max(n, m) > MOST_ROUNDS:
        raise InvalidParameter(
            f"records of at most {MOST_ROUNDS} rounds are compared, got {n} and {m}"
        )
    found = _quantile(n, m, error)
    if not found:
        enough = next(k for k in range(1, MOST_ROUNDS) if _quantile(k, k, error))
        more = range(m + 1, MOST_ROUNDS + 1)
        new = next((k for k in more if _quantile(n, k, error)), None)
        raise InvalidParameter(
            f"{n} rounds of the old record and {m} new ones are too few to tell a "
            f"change from noise: time {new or enough}" + " of both" * (new is None)
        )
    return found


@cache
def _quantile(n: int, m: int, error: float) -> int:
    """The largest k with P(U < k) <= error / 2, U being Mann and Whitney's number."""
    most, total = error / 2 * comb(n + m, n), 0
    for k, ways in enumerate(_ways(n, m)):
        total += ways
        if total > most:
            return k
    raise AssertionError("probabilities add up to one")


@cache
def _ways(n: int, m: int) -> tuple[int, ...]:
    """In how many orders of n + m numbers U is 0, 1, ..., n m: Gauss's binomial.

    Its coefficients, of prod_{i <= n} (1 - q^{m + i}) / (1 - q^i).
    """
    ways = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for u in range(n * m, m + i - 1, -1):
            ways[u] -= ways[u - m - i]
        for u in range(i, n * m + 1):
            ways[u] += ways[u - i]
    return tuple(ways)


def table(changes: Sequence[Change]) -> str:
    """All ratios, case by case, and how the columns are read."""
    lines = [_row("", "", "old", "new", "factor", "from", "to", "")]
    for case in dict.fromkeys(one.ratio.case for one in changes):
        lines += ["", str(case)]
        lines += [_line(one) for one in changes if one.ratio.case == case]
    lines += [
        "",
        "Medians over the rounds, and the factor between them.  All factors lie within",
        f"their intervals with a probability of {1 - ERROR:g}.  Slower or faster: the",
        f"interval lies beyond {SAME:g}, by which runs of the same code may differ.",
    ]
    return "\n".join(lines) + "\n"


def _line(one: Change) -> str:
    medians = (f"{value:.3g}" for value in (one.old, one.new))
    factors = (f"{value:.2f}" for value in (one.new / one.old, one.low, one.high))
    return _row(one.ratio.label, one.ratio.method.upper(), *medians, *factors, one.says)


def _row(label: str, method: str, *cells: str) -> str:
    *numbers, says = cells
    columns = "".join(f"{cell:>8}" for cell in numbers)
    return f"{label:<34}{method:<4}{columns}  {says}".rstrip()
