"""Fuzz one target, guided by the lines it reaches: ``python -m tests.fuzz NAME``.

It needs the extra `fuzz`, and ends with the seconds or the executions it is given, or
at the first defect, whose bytes are then in a file.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import warnings
from pathlib import Path

# A compiled kernel has no lines to be counted.  It must be said before any is imported.
os.environ["NUMBA_DISABLE_JIT"] = "1"

OWN = Path(__file__).parent / "corpus"
LARGEST = 4096
"""Bytes of an input: what is refused is refused for its form."""

SLOWEST = 30
"""Seconds of an input, also on a machine that has much else to do."""

ROOM = 2**31
"""Bytes that may be taken beside what the libraries take: none is near it rightly."""


def main() -> None:
    """Fuzz what the command line names; the process ends in here."""
    import atheris

    with atheris.instrument_imports(include=["refimpl", "verification", "zipfile"]):
        from tests.fuzz.targets import SEEDS, TARGETS, Refused
    from tests.fuzz.mutations import WORDS, mutated, of_seed

    given = _parsed(list(TARGETS))
    run, seeds = TARGETS[given.name], SEEDS[given.name]()
    warnings.simplefilter("error")
    given.corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds):
        (given.corpus / f"seed-{number}").write_bytes(content)

    def one(content: bytes) -> None:
        try:
            run(content)
        except Refused:
            return

    def changed(content: bytes, most: int, seed: int) -> bytes:
        rng = of_seed(seed)
        if rng.random() < 0.2:  # of right inputs only one is kept: all reach the same
            content = seeds[rng.integers(len(seeds))]
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(content, most))
        return mutated(content, rng, [*seeds, *WORDS])[:most]

    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + ROOM, held + ROOM))
    flags = {
        "max_len": LARGEST,
        "timeout": SLOWEST,
        "rss_limit_mb": 4096,
        "max_total_time": given.seconds,
        "runs": given.runs,
        "artifact_prefix": f"{given.corpus}/defect-",
        "print_final_stats": 1,
    }
    words = [f"-{name}={value}" for name, value in flags.items() if value]
    folders = [given.corpus, *filter(Path.is_dir, [OWN / given.name])]
    argv = [sys.argv[0], *words, *map(str, folders)]
    atheris.Setup(argv, one, custom_mutator=changed)
    atheris.Fuzz()


def _parsed(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("name", choices=names)
    parser.add_argument("--seconds", type=int, default=60, help="default: 60; 0: any")
    parser.add_argument("--runs", type=int, help="end after so many executions")
    parser.add_argument(
        "--corpus",
        type=Path,
        help="what is found is kept there (default: .fuzz/NAME), beside our own corpus",
    )
    given = parser.parse_args()
    given.corpus = given.corpus or Path(".fuzz") / given.name
    return given


if __name__ == "__main__":
    main()
