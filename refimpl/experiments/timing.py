"""How long what is quick takes: repeated until the clock can tell."""

from collections.abc import Callable
from time import perf_counter

AT_LEAST = 0.1
"""Seconds for which it is repeated."""


def mean_seconds(
    task: Callable[[], object], clock: Callable[[], float] = perf_counter
) -> float:
    """The mean of as many as fill `AT_LEAST`, at least one."""
    count, begun = 0, clock()
    while True:
        task()
        count += 1
        took = clock() - begun
        if took >= AT_LEAST:
            return took / count
