"""Mechanical mutants: what the machine changes, how it is planted, who survives."""

from __future__ import annotations

import ast
import os
import signal
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from verification.__main__ import main
from verification.errors import OracleFault, UsageError
from verification.mechanical.campaign import Campaign, Result, campaign, made
from verification.mechanical.children import limited, tasks_done
from verification.mechanical.mutator import OPERATORS, Mutant, mutants, units
from verification.mechanical.planting import Planter, forget
from verification.mechanical.scopes import ROOT, SCOPES, Scope
from verification.mechanical.survivors import CLASSES, Known, Reason, known
from verification.mechanical.table import CampaignPrinter, as_json
from verification.report.terminal import Terminal
from verification.runner import ExitCode

# --- the mutator


def changes(text: str, operator: str | None = None) -> list[str]:
    """What is made of the one function or constant of a module."""
    found = [m for unit in units("m.py", dedent(text)) for m in mutants(unit)]
    return [
        mutant.id.partition(": ")[2]
        for mutant in found
        if operator is None or mutant.operator == operator
    ]


def test_a_small_function() -> None:
    text = '''
        def f(a: float, b: float) -> float:
            """One + one."""
            if a < 0:
                raise ValueError(f"{a + 1} is less than {-b!r}")
            b += 2.0 * a
            return -b
    '''
    assert changes(text) == [
        "if a < 0: ... -> if False: ...",
        "a < 0 -> a <= 0",
        "a < 0 -> a >= 0",
        "a < 0 -> b < 0",
        "a < 0 -> a < 1",
        "b += 2.0 * a -> b -= 2.0 * a",
        "b += 2.0 * a -> pass",
        "b += 2.0 * a -> b += 2.0 / a",
        "b += 2.0 * a -> b += 2.0",
        "b += 2.0 * a -> b += a",
        "b += 2.0 * a -> b += 4.0 * a",
        "b += 2.0 * a -> b += 1.0 * a",
        "b += 2.0 * a -> b += 2.0 * b",
        "return -b -> return b",
        "return -b -> return -a",
    ]


@pytest.mark.parametrize(
    ("operator", "expression", "expected"),
    [
        ("operator", "a + b", ["a - b"]),
        ("operator", "a @ b", ["a * b", "b @ a"]),
        ("operator", "a ** 2", ["a * 2"]),
        ("operand", "a * b", ["a", "b"]),
        ("operand", "a / b", ["a"]),
        ("constant", "3", ["4", "2"]),
        ("constant", "0", ["1"]),
        ("constant", "0.5", ["1.0", "0.25"]),
        ("constant", "True", []),
        ("comparison", "a < b", ["a <= b", "a >= b"]),
        ("comparison", "a is None", ["a is not None"]),
        ("comparison", "0 <= a < 1", ["0 < a < 1", "0 > a < 1", "0 <= a <= 1"]),
        ("sign", "a + -b", ["-(a + -b)", "a + b"]),
        ("logic", "not a", ["a"]),
        ("logic", "a and b", ["a or b"]),
        ("logic", "0 if a() else 1", ["0 if not a() else 1"]),
        ("logic", "g(a, flag=True)", ["g(a, flag=False)"]),
        ("logic", "zip(a, strict=True)", []),
        ("function", "np.sqrt(a)", ["a"]),
        ("function", "a.T @ b", ["a @ b"]),
        ("function", "a.sum(axis=1)", ["a.mean(axis=1)"]),
        ("function", "max(a, b)", ["min(a, b)"]),
        ("function", "a.copy()", ["a"]),
        ("arguments", "g(a, b)", ["g(b, a)"]),
        ("arguments", "g('a', b)", []),
        ("arguments", "isinstance(a, b)", []),
        ("name", "g(a)", ["g(b)"]),
    ],
)
def test_each_operator(operator: str, expression: str, expected: list[str]) -> None:
    text = f"def f(a: float, b: float) -> float:\n    return {expression}\n"
    before = ast.unparse(ast.parse(f"return {expression}"))
    found = changes(text, operator)[: len(expected) or None]
    assert found == [f"{before} -> return {after}" for after in expected]


def test_statements_that_may_be_left_out() -> None:
    text = """
        def f(a, n):
            a = g(a)
            new = 1
            a[0], n = n, a[1]
            if n:
                a.sort()
            for i in a:
                if i:
                    continue
                g(i)
            return a
    """
    assert changes(text, "deletion") == [
        "a = g(a) -> pass",
        "a[0], n = (n, a[1]) -> pass",
        "if n: ... -> if False: ...",
        "a.sort() -> pass",
        "if i: ... -> if False: ...",
        "continue -> pass",
        "g(i) -> pass",
    ]


def test_constants_and_defaults() -> None:
    assert changes("LIMIT = 2.0\nNAME = 'x'\n") == [
        "LIMIT = 2.0 -> LIMIT = 4.0",
        "LIMIT = 2.0 -> LIMIT = 1.0",
    ]
    assert changes("def f(a, n=1, *, m=3):\n    return a") == [
        "1 -> 2",
        "1 -> 0",
        "3 -> 4",
        "3 -> 2",
    ]


def test_messages_annotations_and_decorators_are_left_alone() -> None:
    text = '''
        @cache(maxsize=64)
        def f(a: Literal[1, 2], *, b: int | None = None) -> tuple[1]:
            """1 + 1."""
            c: Annotated[int, 3] = a
            assert a + 1 > 2
            with np.errstate(over=g(1)):
                h(f"{a + 1}")
            raise Error(a - 1)
    '''
    assert changes(text) == ["h(f'{a + 1}') -> pass"]


def test_what_compiles_to_the_same_is_no_mutant() -> None:
    assert "return 2 * 1 -> return 2" not in changes("def f():\n    return 2 * 1")


@pytest.mark.parametrize("file", ["refimpl/sgld.py", "verification/truth/replay.py"])
def test_mutants_are_other_programs_with_names_of_their_own(file: str) -> None:
    found = made(file)
    assert len({mutant.id for mutant in found}) == len(found) > 200
    assert {mutant.operator for mutant in found} == set(OPERATORS)
    text = (ROOT / file).read_text(encoding="utf-8")
    moved = [m for u in units(file, f"#\n#\n{text}") for m in mutants(u)]
    assert [m.id for m in moved] == [m.id for m in found]
    assert [m.lines.start - 2 for m in moved if m.lines] == [
        m.lines.start for m in found if m.lines
    ]


# --- planting

MODULE = '''
"""A module."""
from functools import cache, cached_property

LIMIT = 3

def plain(a, by=2):
    return a + by

@cache
def remembered(a):
    return a * 2

class Thing:
    def __init__(self, a):
        self.a = a

    @property
    def half(self):
        return self.a / 2

    @cached_property
    def third(self):
        return self.a / 3

    @staticmethod
    def nested(a):
        def inner(b):
            return a - b
        return inner

def limited():
    return LIMIT
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "planted_here.py").write_text(MODULE, encoding="utf-8")
    yield __import__("planted_here")
    del sys.modules["planted_here"]


def chosen(change: str) -> Mutant:
    found = [m for u in units("planted_here.py", MODULE) for m in mutants(u)]
    return next(mutant for mutant in found if mutant.id.endswith(f": {change}"))


@pytest.mark.parametrize(
    ("change", "ask", "right", "wrong"),
    [
        ("return a + by -> return a - by", "m.plain(5)", 7, 3),
        ("2 -> 1", "m.plain(5)", 7, 6),
        ("return a * 2 -> return a", "m.remembered(5)", 10, 5),
        ("return self.a / 2 -> return self.a", "thing.half", 3, 6),
        ("return self.a / 3 -> return self.a * 3", "thing.third", 2, 18),
        ("return a - b -> return a + b", "m.Thing.nested(5)(1)", 4, 6),
        ("LIMIT = 3 -> LIMIT = 4", "m.limited()", 3, 4),
    ],
)
def test_a_mutant_is_planted_wherever_the_function_is_referred_to(
    module: Any, change: str, ask: str, right: int, wrong: int
) -> None:
    def answer() -> Any:
        return eval(ask, {"m": module, "thing": thing})

    thing = module.Thing(6)
    planter = Planter({"planted_here.py": "planted_here"})
    assert answer() == right
    forget(["planted_here"])
    assert planter.plant(chosen(change))
    assert answer() == wrong


def test_what_nobody_refers_to_is_not_planted(module: Any) -> None:
    planter = Planter({"planted_here.py": "planted_here"})
    assert not planter.plant(
        mutants(units("planted_here.py", "def other(a):\n    return -a")[0])[0]
    )


# --- children


def misbehave(task: str, say: Any) -> None:
    say(["began", task])
    if task == "raises":
        raise ValueError
    if task == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "never ends":
        limited(0.1)
        while True:
            pass
    say(["ended", task])


def test_a_child_that_ends_before_its_time_is_told() -> None:
    tasks = ["ends", "raises", "is killed", "never ends"]
    found = {
        task: (said, ok) for task, said, ok in tasks_done(iter(tasks), misbehave, 2)
    }
    assert found.pop("ends") == ([["began", "ends"], ["ended", "ends"]], True)
    assert found == {task: ([["began", task]], False) for task in tasks[1:]}


# --- the survivors file


def test_every_survivor_that_has_a_reason_is_a_mutant() -> None:
    said = known()
    files = sorted({name.partition(":")[0] for name in said.survivors})
    names = {mutant.id for file in files for mutant in made(file)}
    assert [name for name in said.survivors if name not in names] == []
    assert [name for name in said.survivors if said.rule_of(name)] == []


def test_every_file_with_reasons_is_mutated() -> None:
    files = {file for scope in SCOPES.values() for file in scope.modules()}
    assert {name.partition(":")[0] for name in known().survivors} <= files


@pytest.mark.slow
def test_no_rule_is_idle() -> None:
    said = known()
    files = [file for scope in SCOPES.values() for file in scope.modules()]
    ruled = {said.rule_of(mutant.id) for file in files for mutant in made(file)}
    assert [pattern for pattern in said.rules if pattern not in ruled] == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('mutants = ["a"]\nclass = "equivalent"', "needs a sentence"),
        (
            'mutants = ["a"]\nclass = "equivalent"\nreason = "It is."',
            "needs a sentence",
        ),
        ('mutants = ["a"]\nclass = "gap"\nreason = "Nobody looked at it."', "class"),
        ('class = "margin"\nreason = "The bound is generous."', "no mutant"),
        (
            'mutants = ["a", "a"]\nclass = "margin"\nreason = "It is wide enough."',
            "twice",
        ),
    ],
)
def test_an_entry_without_a_reason_is_refused(
    tmp_path: Path, text: str, complaint: str
) -> None:
    place = tmp_path / "survivors.toml"
    place.write_text(f"[[survivor]]\n{text}\n", encoding="utf-8")
    with pytest.raises(OracleFault, match=complaint):
        known(place)


# --- a campaign

SMALL = Scope(
    name="small",
    files=("refimpl/sgd.py",),
    tests=("tests/test_two_step.py",),
    levels="",
    checks_first=True,
    remembered=("refimpl",),
)


@pytest.mark.slow
def test_a_survivor_is_reported_and_a_stale_reason_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.jsonl"
    whole = campaign(SMALL, kept=kept)
    assert set(whole.results) | set(whole.left_out) == {
        m.id for m in made("refimpl/sgd.py")
    }
    killed = [n for n, result in whole.results.items() if result.killed]
    assert len(killed) > 15
    # a survivor that is planted: a result that says so
    name = killed[0]
    whole.results[name] = Result(name, "refimpl/sgd.py", "survived")
    assert name in whole.unclassified
    assert not whole.ok
    whole.known = Known({name: Reason("margin", "It is.")}, {})
    assert name not in whole.unclassified
    # what is kept is not done again, and a reason for what is killed is stale
    again = campaign(SMALL, kept=kept, reasons=whole.known)
    assert again.stale == [name]
    assert not again.ok
    CampaignPrinter(Terminal()).footer(again)
    said = capsys.readouterr().out
    assert "stale" in said
    assert as_json(again)["stale"] == [name]


@pytest.mark.slow
@pytest.mark.parametrize("scope", SCOPES)
def test_every_survivor_of_the_whole_has_its_reason(scope: str) -> None:
    whole: Campaign = campaign(SCOPES[scope])
    assert whole.unclassified == []
    assert whole.stale == []
    assert whole.lame == {}


def test_the_command_complains_of_what_it_does_not_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["mutants", "--only", "sgld.py"]) == ExitCode.USAGE
    assert main(["mutants", "T01", "--mechanical"]) == ExitCode.USAGE
    assert main(["mutants", "--mechanical", "--only", "nowhere.py"]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "go with --mechanical" in said
    assert "nowhere.py" in said


def test_a_file_that_is_none_of_the_scope() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.py"):
        campaign(SCOPES["truth"], ["nowhere.py"])


def test_the_classes_are_explained() -> None:
    assert all(len(sentence.split()) > 3 for sentence in CLASSES.values())
