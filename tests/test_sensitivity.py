"""How wide the tolerances may be before a mistake is lost."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from verification.__main__ import main
from verification.adapter import Refimpl
from verification.checks import Session, Verdict, find, run_check
from verification.evidence.comparison import Finding
from verification.mistakes import (
    CATALOGUE,
    DETERMINISTIC,
    Kill,
    KillTable,
    kill_table,
    planted,
    sensitivity,
)
from verification.report.kills import KillPrinter, as_json, curve_as_json
from verification.report.terminal import Terminal
from verification.subject import Witness

ROOT = Path(__file__).resolve().parents[1]


def table(**found: dict[str, Kill]) -> KillTable:
    checks = find(["ALG3-I", "ALG3-R1", "ALG3-L1", "EQ7-01"])
    return KillTable(checks, found)


def test_a_mistake_is_lost_where_no_error_is_large_enough() -> None:
    points = sensitivity(
        table(
            S03={"ALG3-I": Kill(2e3), "ALG3-R1": Kill(5e6)},
            S04={"ALG3-R1": Kill(10.0)},
            S05={"ALG3-R1": Kill()},  # a fault, whatever the tolerance
            S06={"ALG3-L1": Kill(1e9, 20, 20)},  # random numbers have no tolerance
            S07={},
        )
    )
    assert [len(point.seen) for point in points] == [3, *[2] * 6, *[1] * 4]
    assert points[1].lost == ("S04",)
    assert points[6].seen == ("S03", "S05")
    assert points[0].rate == 1
    assert points[7].lost == ("S03", "S04")
    assert sensitivity(table())[0].rate == 0


def test_the_curve_is_that_of_wider_tolerances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (check,) = find(["ALG3-D"])
    witness = Witness(planted(CATALOGUE["X28"], Refimpl()))
    worst = run_check(check, witness, Session(0)).worst
    assert worst is not None
    points = sensitivity(table(X28={"ALG3-R1": Kill(worst.ratio)}))
    assert 1 < sum(bool(point.seen) for point in points) < len(points)
    for point in points:
        wider = property(lambda f, m=point.multiplier: f.error <= m * f.tolerance)
        monkeypatch.setattr(Finding, "ok", wider)
        verdict = run_check(check, witness, Session(0)).verdict
        assert (verdict is Verdict.FAIL) == bool(point.seen)


@pytest.fixture
def few_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["verification.mistakes.kill_table"]
    few = find(["EQ7-01", "ALG3-R2", "ALG3-L1"])
    monkeypatch.setattr(module, "all_checks", lambda: few)


@pytest.mark.usefixtures("few_checks")
def test_only_deterministic_checks_are_run() -> None:
    few = [CATALOGUE[name] for name in ("T07", "X25", "X05")]
    found = kill_table(Refimpl(), few, levels=DETERMINISTIC)
    assert [check.id for check in found.checks] == ["EQ7-01", "ALG3-R2"]
    assert found.false_kills == []
    assert found.kills == {"T07": ["EQ7-01"], "X25": ["ALG3-R2"], "X05": []}
    points = sensitivity(found)
    assert points[3].seen == ("T07", "X25")  # what is promised is off by 1000


@pytest.mark.slow
def test_the_curve_of_the_documentation() -> None:
    page = ROOT / "docs" / "trust.md"
    (total,) = re.findall(r"\| seen of (\d+) \|", page.read_text(encoding="utf-8"))
    rows = re.findall(
        r"^\| × 10?(\S*)(?: to × 10(\S+))? \| (\d+) \|",
        page.read_text(encoding="utf-8"),
        re.M,
    )
    exponents = {"": 0, "⁶": 6, "⁷": 7, "⁸": 8, "¹⁰": 10}
    seen = {}
    for first, last, count in rows:
        for k in range(exponents[first], exponents[last or first] + 1):
            seen[10.0**k] = int(count)
    points = sensitivity(kill_table(Refimpl(), levels=DETERMINISTIC))
    assert {point.multiplier: len(point.seen) for point in points} == seen
    assert len(points[0].seen) == int(total)


def test_a_check_that_kills_nothing_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = table(S03={"ALG3-I": Kill(1e9)}, S04={"ALG3-I": Kill(1e9)})
    assert found.by_check == {
        check.id: ["S03", "S04"] if check.id == "ALG3-I" else []
        for check in found.checks
    }
    assert set(found.dead) == {"ALG3-R1", "ALG3-L1", "EQ7-01"}
    printer = KillPrinter(Terminal(), {check.id: check.level for check in found.checks})
    printer.footer(found)
    said = " ".join(capsys.readouterr().out.split())
    assert "ALG3-I 2" in said
    assert "ALG3-R1 0" in said
    assert as_json(found)["by_check"]["EQ7-01"] == []


@pytest.mark.usefixtures("few_checks")
def test_the_command_prints_the_curve(
    capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    place = tmp_path / "curve.json"
    asked = ["mutants", "T07", "--tolerance-multiplier", "--json", str(place)]
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["tolerances", "seen", "of", "rate", "lost"]
    assert len(lines) == 12
    assert lines[1].split()[:5] == ["x", "1", "1", "1", "100.0%"]
    assert place.exists()
    data = curve_as_json(sensitivity(table(S04={"ALG3-R1": Kill(10.0)})))
    assert data["curve"][1] == {"multiplier": 10.0, "seen": 0, "lost": ["S04"]}
