"""The census of false alarms, for people and for programs."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from verification.checks import SUITE_ALPHA, stochastic_cases
from verification.false_alarms import Census
from verification.report.countdown import Countdown
from verification.report.json_report import suite_version
from verification.report.terminal import Terminal

__all__ = ["AlarmPrinter", "as_json"]


class AlarmPrinter:
    """Prints the census.

    Parameters
    ----------
    terminal : Terminal
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._countdown = Countdown()
        self._runs = 0

    def header(self, runs: int, seed: int) -> None:
        """What is about to be done."""
        self._runs = runs
        self._terminal.say(f"verification {suite_version()}, false alarms")
        self._say("runs", f"{runs} of the stochastic checks on refimpl, seed {seed}")
        self._say("tests", f"{stochastic_cases()} in each run")

    def progress(self, done: int, of: int) -> None:
        """A line now and then, with the time left."""
        line = self._countdown.line(done, of)
        if line is not None:
            self._say("", line)

    def footer(self, census: Census) -> None:
        """The rates, and what they mean."""
        runs = len(census.samples)
        replicates = sum(sample.replicates for sample in census.samples) // runs
        self._say(
            "cost", f"{self._countdown.seconds:.0f} s; {replicates} replicates in a run"
        )
        failed, undecided = census.failed, census.undecided
        self._say("failures", f"{_counted(failed)}, at {SUITE_ALPHA:g} for a whole run")
        self._say("undecided", _counted(undecided))
        self._terminal.say(f"{'':10}nominal  observed  alarms  one-sided probability")
        for level in census.levels:
            row = f"{level.nominal:>7g}  {level.rate:>8.4f}  {level.alarms:>6d}"
            verdict = "" if level.ok else "  ABOVE NOMINAL"
            self._terminal.say(f"{'':10}{row}  {level.probability:.3g}{verdict}")
        name, largest = census.largest
        self._say("largest", f"log evidence {largest:.2f}, {name}")
        self._say("bound", f"rule of three: below {census.bound:.2g} at 95 %")
        kept = "nothing speaks against the promise"
        held = kept if census.ok else "THE PROMISE IS BROKEN"
        self._say("verdict", f"{held}; {datetime.now(UTC):%Y-%m-%d}")

    def _say(self, name: str, text: str) -> None:
        self._terminal.paragraph(f"{name:10}", text)


def _counted(checks: list[str]) -> str:
    counts = Counter(checks)
    names = ", ".join(f"{check} {count}" for check, count in counts.items())
    return f"{len(checks)} ({names})" if checks else "0"


def as_json(census: Census) -> dict[str, Any]:
    """The census as JSON's own types."""
    name, largest = census.largest
    return {
        "schema": 1,
        "suite": suite_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "seed": census.seed,
        "runs": len(census.samples),
        "tests": stochastic_cases(),
        "alpha": SUITE_ALPHA,
        "failures": dict(Counter(census.failed)),
        "undecided": dict(Counter(census.undecided)),
        "levels": [
            {
                "nominal": level.nominal,
                "observed": level.rate,
                "alarms": level.alarms,
                "probability": level.probability,
            }
            for level in census.levels
        ],
        "largest": {"test": name, "log_evidence": largest},
        "ok": census.ok,
    }
