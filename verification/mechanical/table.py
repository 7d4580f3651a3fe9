"""The table of mechanical mutants, as it grows and as it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from verification.mechanical.campaign import LAYERS, Campaign, Result
from verification.report.countdown import Countdown
from verification.report.json_report import suite_version
from verification.report.terminal import Terminal

__all__ = ["CampaignPrinter", "as_json"]

HEADS = ("made", "left out", *LAYERS, "survived", "unclassified")


class CampaignPrinter:
    """Prints a campaign.

    Parameters
    ----------
    terminal : Terminal
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._countdown = Countdown()
        self._survivors = 0

    def header(self, scope: str) -> None:
        """What is about to be done."""
        said = f"verification {suite_version()}, mechanical mutants of {scope}"
        self._terminal.say(said)

    def progress(self, result: Result, done: int, of: int) -> None:
        """A line now and then, with the time left."""
        self._survivors += not result.killed
        line = self._countdown.line(done, of, f"{self._survivors} survive, ")
        if line is not None:
            self._say("", line)

    def footer(self, whole: Campaign) -> None:
        """The table by file, and what is wrong with it."""
        heads = "".join(f"{head:>{len(head) + 2}}" for head in HEADS)
        wide = max(len(file) for file in whole.files)
        self._terminal.say(f"{'file':{wide}}{heads}")
        self._terminal.say("\u2500" * self._terminal.width)
        total: dict[str, int] = dict.fromkeys(HEADS, 0)
        for file in whole.files:
            counts = whole.counts(file)
            self._row(f"{file:{wide}}", counts)
            total = {head: total[head] + counts[head] for head in HEADS}
        self._row(f"{'all':{wide}}", total)
        self._terminal.say("\u2500" * self._terminal.width)
        for name in whole.unclassified:
            self._say("SURVIVES", name)
        for name in whole.stale:
            self._say("stale", name)
        for judge, fault in whole.lame.items():
            self._say("lame", f"{judge}: {fault}")
        judged = total["made"] - total["left out"]
        killed = sum(total[layer] for layer in LAYERS)
        equal = total["survived"] - total["unclassified"]
        rate = killed / max(1, judged - equal)
        said = f"{killed} of {judged}, {rate:.2%} of those without a reason to survive"
        self._say("killed", f"{said}; {datetime.now(UTC):%Y-%m-%d}")

    def _row(self, name: str, counts: Any) -> None:
        cells = (f"{counts[head] or '·':>{len(head) + 2}}" for head in HEADS)
        self._terminal.say(name + "".join(cells))

    def _say(self, name: str, text: str) -> None:
        self._terminal.paragraph(f"{name:10}", text)


def as_json(whole: Campaign) -> dict[str, Any]:
    """The campaign as JSON's own types."""
    return {
        "schema": 1,
        "scope": whole.scope.name,
        "files": {file: dict(whole.counts(file)) for file in whole.files},
        "survivors": whole.survivors,
        "unclassified": whole.unclassified,
        "stale": whole.stale,
        "lame": whole.lame,
    }
