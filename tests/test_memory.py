"""Memory of one weight update: what is kept does not grow with the samples.

The large runs are those of a network of 159,010 parameters with 10^5 samples, which
would be 127 GB.  Each is a process of its own, so that its high-water mark is its own.
It is read from /proc/self/status and not from `getrusage`, whose mark a process
inherits from the one that started it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from refimpl.importance import ImportanceSampling
from refimpl.laws import GibbsLaw
from refimpl.losses import Quadratic
from refimpl.robbins_monro import RobbinsMonro
from refimpl.schedules import Harmonic, PowerLaw
from refimpl.sgld import SGLD
from refimpl.streams import stream

D = 159_010
MEGABYTE = 2**20

PROGRAM = """
import json, re, sys, time
import numpy as np
from refimpl.importance import ImportanceSampling
from refimpl.laws import GibbsLaw
from refimpl.losses import Quadratic
from refimpl.robbins_monro import RobbinsMonro
from refimpl.schedules import Harmonic, PowerLaw
from refimpl.sgld import SGLD
from refimpl.streams import stream

def peak():
    with open("/proc/self/status", encoding="ascii") as status:
        return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1])

d = int(sys.argv[1])
before, start = peak(), time.perf_counter()
q = GibbsLaw(Quadratic(0.5, np.zeros(d)), np.full(d, 0.01), 1e-4)
{work}
print(json.dumps({{"bytes": peak() - before, "seconds": time.perf_counter() - start}}))
"""
RUN = "({estimate})(q, rng=stream(1, 'algorithm'))"

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="no /proc: high-water mark unknown"
)
compiled_only = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: minutes of plain noise"
)


def measured(work: str, d: int) -> Any:
    """Seconds, and bytes beyond those after the imports, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(work=work), str(d)],
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@needs_proc
@compiled_only
@pytest.mark.parametrize(
    "estimate",
    [
        "ImportanceSampling(100_000)",
        "ImportanceSampling(100_000, workers=2)",
        "SGLD(100_000, Harmonic(1e5))",
        "RobbinsMonro(100, PowerLaw(0.1, 0.7), 1000)",
    ],
)
def test_a_hundred_thousand_samples(estimate: str) -> None:
    """Compilation counts: the baseline is taken right after the imports."""
    found = measured(RUN.format(estimate=estimate), D)
    assert found["bytes"] < 200 * MEGABYTE, found


@needs_proc
def test_the_measure_sees_an_array_that_was_freed() -> None:
    """A hundred rows are 121 MiB; a process is a few MiB large when it measures."""
    found = measured("np.ones((100, d))", D)
    assert 100 * D * 8 <= found["bytes"] < 100 * D * 8 + 16 * MEGABYTE


def traced_peak(estimate: Any, d: int) -> int:
    q = GibbsLaw(Quadratic(0.5, np.zeros(d)), np.full(d, 0.01), 1e-4)
    tracemalloc.start()
    try:
        estimate(q, rng=stream(1, "algorithm"))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@compiled_only
@pytest.mark.parametrize(
    ("few", "many"),
    [
        (SGLD(20, Harmonic(1e5)), SGLD(200, Harmonic(1e5))),
        (ImportanceSampling(20), ImportanceSampling(200)),
        (
            RobbinsMonro(4, PowerLaw(0.1, 0.7), 5),
            RobbinsMonro(40, PowerLaw(0.1, 0.7), 5),
        ),
        (
            RobbinsMonro(2, PowerLaw(0.1, 0.7), 10),  # more than a block each
            RobbinsMonro(2, PowerLaw(0.1, 0.7), 100),
        ),
    ],
    ids=str,
)
def test_ten_times_the_samples_take_the_same_memory(few: Any, many: Any) -> None:
    """180 samples more, and less than the memory of three of them.

    One thread: how many blocks several threads have at a time is a matter of luck.
    """
    d = 40_000
    traced_peak(few, d)  # whatever is allocated once
    assert traced_peak(many, d) < traced_peak(few, d) + 3 * 8 * d


@pytest.mark.parametrize("workers", [1, 2])
def test_a_piece_of_samples_leaves_nothing_behind(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even its random stream, of some 2.7 kB: 10^5 pieces are 10^5 streams.

    Pieces of one sample.  The garbage collector lets some hundred of them lie about,
    for 300 kB; the thousand pieces that are more would be 2.7 MB.
    """
    monkeypatch.setattr("refimpl.importance.rows_per_block", lambda d: 1)
    monkeypatch.setattr("refimpl.importance.PIECE", 1)
    few, many = ImportanceSampling(500, workers), ImportanceSampling(1500, workers)
    traced_peak(few, 10)
    assert traced_peak(many, 10) < traced_peak(few, 10) + 1e6
