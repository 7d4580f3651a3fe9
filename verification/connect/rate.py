"""How many outputs a subject gives per second, through whatever connects it.

``python -m verification.connect.rate --command "./my_harness"`` asks each sampler that
is offered for outputs of two numbers, which take six normals each: three moves of
Algorithms 3 and 5, three samples of Algorithm 4.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from verification.connect import connect
from verification.errors import NotRun, UsageError
from verification.losses import Quadratic
from verification.subject import Witness

__all__ = ["Rate", "main", "rates"]

ROWS = 20_000
REPEATS = 5
SINGLE = 200  # calls of one output each

LOSS = Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, 0.0])
X, TAU, STEPS = np.array([2.0, -1.0]), 0.5, np.array([0.25, 0.5, 0.125, 0.375])

#: What was measured of which method, and the outputs per second, or why there are none.
Rate = tuple[str, str, float | str]


def rates(subject: object, rows: int = ROWS) -> Iterator[Rate]:
    """Outputs per second of each sampler that a subject offers.

    Parameters
    ----------
    subject : object
        See `verification.subject.Subject`.
    rows : int
        Outputs of one call.

    Yields
    ------
    tuple of (str, str, float or str)
        Method, "draws given", "own draws" or "one by one", and outputs per second, the
        most of a few repetitions; in words why there are none.
    """
    witness = Witness(subject)
    for method, (sizes, shape) in _samplers(witness.conventions).items():
        if not witness.provides(method):
            continue
        z = np.random.default_rng(0).normal(size=(rows, *shape))
        for what, calls, given in (
            ("draws given", 1, {"draws": z, "n": rows}),
            ("own draws", 1, {"n": rows, "seed": 0}),
            ("one by one", SINGLE, {"n": 1, "seed": 0}),
        ):
            try:
                yield method, what, _most(getattr(witness, method), sizes, calls, given)
            except NotRun as reason:
                yield method, what, str(reason)


def _samplers(declared: Mapping[str, str]) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """The methods with their own arguments, and the shape of an output's draws."""
    literal = declared["sgld.chain"] == "literal"
    fewer = declared["robbins_monro.moves"] == "J-1"
    return {
        "sgld_mean": ((STEPS if literal else STEPS[:3],), (3, 2)),
        "importance_mean": ((3,), (3, 2)),
        "robbins_monro": ((STEPS if fewer else STEPS[:3], 1), (3, 1, 2)),
    }


def _most(ask: Any, sizes: tuple[Any, ...], calls: int, given: dict[str, Any]) -> float:
    """Outputs per second, in the fastest of a few repetitions."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(calls):
            ask(LOSS, X, TAU, *sizes, **given)
        seconds.append(time.perf_counter() - start)
    return calls * int(given["n"]) / min(seconds)


def main(argv: list[str] | None = None) -> int:
    """Print the rates of the subject that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m verification.connect.rate", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--subject", metavar="package.module:object")
    parser.add_argument("--command", metavar="COMMAND")
    given = parser.parse_args(argv)
    try:
        for method, what, rate in rates(connect(given.subject, given.command)):
            said = rate if isinstance(rate, str) else f"{rate:>10,.0f} outputs/s"
            print(f"{method:16} {what:12} {said}", flush=True)
    except UsageError as exc:
        print(f"verification: {exc}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
