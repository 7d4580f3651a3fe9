"""The command line from outside: exit codes, reports, interrupts."""

from __future__ import annotations

import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from verification import runner
from verification.__main__ import main
from verification.checks import REGISTRY, all_checks
from verification.report import json_report
from verification.report.terminal import Terminal

SUBJECTS = '''
import time


class Good:
    """Its heat is 1."""

    name = "good"
    conventions = {"scoping.origin": "1"}

    def heat(self, loss, x, tau):
        return 1.0


class Bad(Good):
    name = "bad"

    def heat(self, loss, x, tau):
        return float("nan") if tau > 1 else 1 + 2.0**-30


class Empty:
    pass


class Stopped(Good):
    def heat(self, loss, x, tau):
        if tau > 1:
            raise KeyboardInterrupt
        return 1.0


class Slow(Good):
    def heat(self, loss, x, tau):
        if tau > 1:
            time.sleep(60)
        return 1.0


class Deaf:
    def heat(self, loss, x, tau):
        while True:
            try:
                print("asked", flush=True)
                time.sleep(60)
            except BaseException:
                continue


class Broken:
    def __init__(self):
        raise RuntimeError("no licence")


class Odd:
    dtype = "bfloat16"


def function():
    pass


good = Good()
'''

DRIVER = """
import sys
from types import SimpleNamespace

from verification import runner
from verification.__main__ import main
from verification.checks import REGISTRY, Outcome, Verdict, all_checks, check
from verification.evidence.comparison import agree

all_checks()
REGISTRY.clear()
loss = SimpleNamespace(kind="toy")


def toy(name, tau, level="D"):
    @check(
        name,
        paper="(2)",
        claim="the heat of the toy is one, for every τ",
        truth="1",
        route="CF",
        tolerance="none: one is exact",
        needs=["heat"],
        level=level,
        cases=[SimpleNamespace(label=f"tau {tau}", loss=loss)],
    )
    def body(witness, case):
        yield agree("heat", witness.heat(case.loss, [0.0, 1.0], tau), 1, 0)


toy("HEAT-01", 0.5)
toy("HEAT-02", 2.0)
toy("ALG3-R1", 0.5, level="R")
trust = "untrusted" not in sys.argv
runner.self_check = lambda seed: [agree("self", 1.0, 1 if trust else 2, 0)]
if "broken" in sys.argv:
    del REGISTRY["HEAT-01"].cases[0].loss
if "unsure" in sys.argv:
    runner.run_check = lambda entry, *_: Outcome(entry, Verdict.INCONCLUSIVE)
words = {"untrusted", "broken", "unsure"}
sys.exit(main([word for word in sys.argv[1:] if word not in words]))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with toy subjects and a judge of toy checks, and nothing else."""
    (tmp_path / "toys.py").write_text(SUBJECTS)
    (tmp_path / "judge.py").write_text(DRIVER)
    (tmp_path / "leaves.py").write_text("raise SystemExit('no licence')")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judge(*words):
    """The judge of toy checks in this process, which starts it sooner than another."""
    out, errors = io.StringIO(), io.StringIO()
    all_checks()  # which fills the registry that the driver empties
    checks = dict(REGISTRY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["judge.py", *words])
        patch.setattr(sys, "path", list(sys.path))
        for replaced in ("self_check", "run_check"):
            patch.setattr(runner, replaced, getattr(runner, replaced))
        try:
            with redirect_stdout(out), redirect_stderr(errors):
                runpy.run_path("judge.py", run_name="__main__")
        except SystemExit as end:
            code = end.code
        finally:
            sys.modules.pop("toys", None)
            REGISTRY.clear()
            REGISTRY.update(checks)
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())


def judge_in_a_process(*words, **keywords):
    command = [sys.executable, "judge.py", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        **keywords,
    )


def report_of(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    report = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    schema = json.loads(
        files("verification.report").joinpath("report.schema.json").read_text("utf-8")
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(report)
    return report


def test_a_conforming_subject_and_its_report(folder):
    out = folder / "report.json"
    words = ("run", "--subject", "toys:good", "--seed", "11", "--json", str(out))
    done = judge_in_a_process(*words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "good conforms in what was run: 3 checks passed." in done.stdout
    assert "seed     11" in done.stdout
    report = report_of(out)
    assert (report["schema"], report["seed"], report["exit_code"]) == (1, 11, 0)
    assert report["subject"]["name"] == "good"
    assert report["subject"]["provided"] == ["heat"]
    assert report["subject"]["conventions"]["scoping.origin"] == "1"
    assert report["levels"]["D"] == {"run": 2, "applicable": 2, "not_run": {}}
    assert [entry["verdict"] for entry in report["checks"]] == ["PASS"] * 3
    assert report["checks"][0]["evidence"]["calls"] == {"heat": 1}
    assert not list(folder.glob(".*"))


def test_a_failing_subject_and_its_report(folder):
    out = folder / "report.json"
    done = judge("run", "--subject", "toys:Bad", "--json", str(out))
    assert done.returncode == 1
    assert "bad does not conform: HEAT-01, HEAT-02, ALG3-R1." in done.stdout
    report = report_of(out)
    worst = [entry["evidence"]["worst"] for entry in report["checks"]]
    assert worst[0]["error"] == 2.0**-30
    assert worst[0]["ratio"] == "inf"
    assert worst[1] is None
    assert (
        "float nan, which is not finite" in report["checks"][1]["evidence"]["message"]
    )
    assert report["exit_code"] == 1


def test_the_other_exit_codes(folder):
    words = ("run", "--subject", "toys:Good")
    untrusted = judge(*words, "untrusted")
    assert untrusted.returncode == 3
    assert "trust no verdict: the oracle's own self-check failed" in untrusted.stdout
    broken = judge(*words, "broken", "--json", "r.json")
    assert broken.returncode == 3
    assert "HEAT-01, case 'tau 0.5': the check raised AttributeError" in broken.stdout
    assert report_of(folder / "r.json")["suite"]["oracle_fault"].startswith("HEAT-01")
    empty = judge("run", "--subject", "toys:Empty")
    assert empty.returncode == 5
    assert (
        "2 checks of level D not run: the subject does not provide heat" in empty.stdout
    )
    assert judge(*words, "HEAT", "--level", "S").returncode == 5
    assert judge(*words, "unsure").returncode == 6
    assert judge(*words, "unsure", "--allow-inconclusive").returncode == 0


def test_levels_and_ids_choose_checks(folder):
    words = ("run", "--subject", "toys:Good", "--json", "r.json")
    assert judge(*words, "--level", "R").returncode == 0
    assert [e["id"] for e in report_of(folder / "r.json")["checks"]] == ["ALG3-R1"]
    assert judge(*words, "heat-*", "--level", "D", "--level", "V").returncode == 0
    assert len(report_of(folder / "r.json")["checks"]) == 2


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["judge"], "invalid choice"),
        (["run", "--level", "Q"], "invalid choice"),
        (["run", "--se", "1"], "unrecognized arguments"),
        (["run", "--seed", "-1"], "a seed"),
        (["run", "--seed", "1.5"], "a seed is an integer >= 0"),
        (["run", "--seed", "x"], "a seed is an integer >= 0"),
        (["run", "EQ99-77"], "there is no check 'EQ99-77'"),
        (["explain"], "ID"),
        (["explain", "EQ99-77"], "there is no check or mistake 'EQ99-77'"),
        (["run", "--subject", "toys.py"], "package.module:object"),
        (["run", "--subject", "./toys.py:Good"], "package.module:object"),
        (["run", "--subject", "nowhere.toys:Good"], "no module 'nowhere'"),
        (["run", "--subject", "toys:Better"], "has no 'Better'"),
        (["run", "--subject", "toys:Broken"], "RuntimeError: no licence"),
        (["run", "--subject", "toys:Odd"], "dtype"),
        (["run", "--subject", "toys:function"], "neither an instance nor a class"),
        (["run", "--subject", "leaves:x"], "SystemExit: no licence"),
        (["run", "--subject", "toys:Good", "--json", "no/r.json"], "no folder"),
        (["run", "--subject", "toys:Good", "--json", "."], "not a regular file"),
        (["run", "--subject", "toys:Good", "--json", os.devnull], "not a regular file"),
    ],
)
def test_usage_errors_are_one_sentence_and_code_4(words, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "toys", raising=False)
    assert main(words) == 4
    captured = capsys.readouterr()
    assert captured.err.startswith("verification: ")
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert "err/tol" not in captured.out  # said before anything was run


def test_no_usage_error_leaves_a_report(folder):
    done = judge("run", "--subject", "toys:Broken", "--json", "r.json")
    assert done.returncode == 4
    assert not (folder / "r.json").exists()


def test_a_subject_that_interrupts_leaves_the_partial_report(folder):
    done = judge("run", "--subject", "toys:Stopped", "--json", "r.json")
    assert done.returncode == 2
    assert "interrupted" in done.stdout
    report = report_of(folder / "r.json")
    assert report["exit_code"] == 2
    assert [entry["id"] for entry in report["checks"]] == ["HEAT-01"]
    assert report["levels"]["D"]["not_run"] == {"interrupted": 1}


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_control_c_leaves_the_partial_report(folder):
    words = ["run", "--subject", "toys:Slow", "--json", "r.json", "HEAT"]
    process = subprocess.Popen(
        [sys.executable, "judge.py", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stdout:  # printed when the first check is done
            if line.startswith("HEAT-01"):
                break
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 2, errors
    assert errors == ""
    assert "1 not reached" in rest
    assert [e["id"] for e in report_of(folder / "r.json")["checks"]] == ["HEAT-01"]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_the_second_control_c_ends_what_swallows_the_first(folder):
    process = subprocess.Popen(
        [sys.executable, "judge.py", "run", "--subject", "toys:Deaf", "HEAT"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(2):  # printed to standard error, where it belongs
            assert process.stderr.readline() == "asked\n"
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == -signal.SIGINT
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_the_commands_interrupt_is_the_process_own_again():
    before = signal.getsignal(signal.SIGINT)
    assert main(["list"]) == 0
    assert signal.getsignal(signal.SIGINT) is before


class Interrupts:
    """A module that is being imported when the user interrupts."""

    def __getattr__(self, name):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("package", "part", "code"),
    [("verification", "connect", 2), ("refimpl", "experiments", 130)],
)
def test_control_c_before_anything_has_begun_is_quiet(
    package, part, code, monkeypatch, capfd
):
    folder = Path(find_spec(package).origin).parent
    monkeypatch.setitem(sys.modules, f"{package}.{part}", Interrupts())
    with pytest.raises(SystemExit) as left:
        runpy.run_path(folder / "__main__.py", run_name="__main__")
    assert left.value.code == code
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX pipe")
def test_a_reader_that_goes_away_is_no_error(folder):
    words = ["run", "--subject", "toys:Bad", "--json", "r.json"]
    process = subprocess.Popen(
        [sys.executable, "judge.py", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 1
    assert errors == b""
    assert len(report_of(folder / "r.json")["checks"]) == 3


def test_a_report_that_cannot_be_finished_leaves_the_old_one(folder, monkeypatch):
    old = folder / "r.json"
    old.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json_report, "as_json", lambda _: {"schema": 1})
    monkeypatch.setattr(json_report.os, "replace", full)
    with pytest.raises(json_report.UsageError, match="No space left"):
        json_report.write(None, old)
    assert old.read_text() == "old"
    assert not list(folder.glob(".*"))


def test_the_console_is_only_coloured_when_it_is_a_terminal(monkeypatch):
    class Console(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Terminal(Console())._colour
    assert not Terminal(io.StringIO())._colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Terminal(Console())._colour


def test_a_poor_encoding_is_no_obstacle(folder):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = judge_in_a_process("run", "--subject", "toys:Good", env=environment)
    assert done.returncode == 0
    assert "for every ?" in done.stdout


def test_a_fresh_seed_is_printed(folder):
    seeds = set()
    for _ in range(2):
        judge("run", "HEAT-01", "--subject", "toys:Good", "--json", "r.json")
        seeds.add(report_of(folder / "r.json")["seed"])
    assert len(seeds) == 2


def test_list_and_help(folder):
    listed = judge("list")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        *("HEAT-01", "HEAT-02", "ALG3-R1")
    ]
    helped = judge("run", "--help")
    assert helped.returncode == 0
    assert "exit codes: 0 conforms" in helped.stdout


def test_a_defect_of_the_judge_is_not_blamed_on_the_subject(monkeypatch, capsys):
    def defect(*_):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("verification.__main__.listing", defect)
    assert main(["list"]) == 3
    assert "a defect" in capsys.readouterr().err


# --- the real judge: its own checks, truths, adapter and self-check

REAL_SUBJECTS = """
from verification.adapter import Refimpl
from verification.mistakes import CATALOGUE, planted

forgetful = planted(CATALOGUE["T02"], Refimpl())


class Empty:
    pass


class Stopped(Refimpl):
    asked = 0

    def local_entropy(self, loss, x, tau):
        self.asked += 1
        if self.asked > 1:
            raise KeyboardInterrupt
        return super().local_entropy(loss, x, tau)
"""

BROKEN_TRUTH = """
import sys

from verification.truth import closed_forms

right = closed_forms.local_entropy
closed_forms.local_entropy = lambda ctx, *a: right(ctx, *a) + ctx.number(2.0**-60)
from verification.__main__ import main

sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A folder with real subjects, right and wrong."""
    (tmp_path / "mine.py").write_text(REAL_SUBJECTS)
    (tmp_path / "half.py").write_text("import numppy")
    (tmp_path / "broken.py").write_text(BROKEN_TRUTH)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("mine", None)


def verification(*words, start=("-m", "verification")):
    return subprocess.run(
        [sys.executable, *start, *words],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )


def test_this_projects_own_implementation_conforms(bench):
    done = verification("run", "EQ2-01", "eq18", "--seed", "5", "--json", "r.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "refimpl conforms in what was run: 2 checks passed." in done.stdout
    report = report_of(bench / "r.json")
    assert (report["subject"]["name"], report["exit_code"]) == ("refimpl", 0)
    assert [entry["id"] for entry in report["checks"]] == ["EQ2-01", "EQ18-01"]


@pytest.mark.usefixtures("bench")
def test_a_planted_mistake_is_found(capsys):
    assert main(["run", "EQ2-01", "EQ18-01", "--subject", "mine:forgetful"]) == 1
    assert "refimpl with T02 does not conform: EQ2-01." in capsys.readouterr().out


def test_an_interrupted_real_run(bench):
    words = ["EQ18-01", "EQ2-01", "--subject", "mine:Stopped", "--json", "r.json"]
    assert main(["run", *words]) == 2
    report = report_of(bench / "r.json")
    assert report["levels"]["D"]["not_run"] == {"interrupted": 2}
    assert report["exit_code"] == 2


def test_a_broken_truth_is_found_before_anybody_is_judged(bench):
    """Wrong by 2^-60: far below what any subject could show."""
    done = verification("run", "EQ2-01", "--json", "r.json", start=("broken.py",))
    assert done.returncode == 3
    assert "trust no verdict: the oracle's own self-check failed" in done.stdout
    assert "two routes to F, quadratic" in done.stdout
    assert report_of(bench / "r.json")["checks"] == []


@pytest.mark.usefixtures("bench")
def test_a_real_subject_that_offers_nothing(capsys):
    assert main(["run", "EQ2-01", "EQ18-01", "--subject", "mine:Empty"]) == 5
    assert "the subject does not provide local_entropy" in capsys.readouterr().out


@pytest.mark.usefixtures("bench")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--subject", "half:x"], "importing half raised ModuleNotFoundError"),
        (["run", "--subject", "other:x"], "there is no module 'other'"),
        (["run", "EQ2-O1"], "EQ2-01"),
        (["explain", "HEET-01"], "did you mean HEAT-01"),
        (["explain", "S99"], "there is no check or mistake 'S99'; did you mean S"),
        (["mutants", "T99"], "there is no mistake 'T99'"),
    ],
)
def test_real_usage_errors(words, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "half", raising=False)
    assert main(words) == 4
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_mutants_of_one_mistake(bench, capsys, monkeypatch):
    """By a catalogue of two checks, since all of them take some time."""
    from verification.checks import find
    from verification.mistakes import kill_table as module_function

    module = sys.modules[module_function.__module__]
    monkeypatch.setattr(module, "all_checks", lambda: find(["EQ2-01", "EQ18-01"]))
    assert main(["mutants", "t02", "--json", "kills.json"]) == 0
    assert "EQ2-01" in capsys.readouterr().out
    assert "T02" in (bench / "kills.json").read_text("utf-8")
    assert main(["mutants", "T08"]) == 1  # neither of the two can see it
