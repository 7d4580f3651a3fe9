"""The checks as tests of pytest, and the losses for Hypothesis's from_type."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from verification import conformance
from verification.checks import Outcome, Verdict, all_checks, find
from verification.conformance import Bench, Examination, parametrize_with_checks
from verification.errors import CannotStart, OracleFault, UnknownCheck
from verification.from_type import register
from verification.losses import KINDS, LossData
from verification.report.terminal import Terminal
from verification.runner import describe, trusted
from verification.subject import Subject

ROOT = Path(__file__).resolve().parents[1]

SUBJECTS = '''
class Mine:
    """Its schedule is right, its divergence is 0."""

    def kl_gaussian(self, mean0, cov0, mean1, cov1):
        return 0.0

    def scoping(self, tau0, tau1, k):
        return tau0 / (1 + tau1) ** k


class Odd:
    dtype = "bfloat16"
'''


class Scoping:
    made = 0

    def __init__(self):
        type(self).made += 1

    def scoping(self, tau0, tau1, k):
        return tau0 / (1 + tau1) ** k


class Wrong:
    def scoping(self, tau0, tau1, k):
        return tau0


def examination(subject, name, **settings):
    return Examination(find([name])[0], Bench(subject, seed=1, **settings))


# --- in tests of one's own


def test_every_check_is_a_parameter_of_its_id():
    mark = parametrize_with_checks(Scoping()).mark
    assert mark.name == "parametrize"
    names, parameters = mark.args
    assert names == "check"
    assert [one.id for one in parameters] == [check.id for check in all_checks()]
    some = parametrize_with_checks(Scoping(), ["EQ18", "heat-01"]).mark.args[1]
    assert {one.id for one in some} == {"HEAT-01"} | {c.id for c in find(["EQ18"])}


def test_no_check_of_that_id_is_an_error():
    with pytest.raises(UnknownCheck, match="there is no check 'EQ99'"):
        parametrize_with_checks(Scoping(), ["EQ99"])


@parametrize_with_checks(Scoping, ["EQ18", "HEAT-01"])
def test_what_conforms_passes_or_is_skipped(check):
    if check.check.id == "HEAT-01":
        with pytest.raises(pytest.skip.Exception, match="does not provide heat"):
            check()
    else:
        check()


class Misspelt:
    """Names that nearly are methods, and others."""

    colour = heat_constant = 0.0

    def __init__(self):
        self.scopng = Wrong().scoping

    def minimize_heat(self): ...

    @classmethod
    def robbinsMonro(cls): ...

    @staticmethod
    def kl_gausian(): ...

    @property
    def train_(self):
        raise AssertionError("nothing of the subject is run")

    def heat(self): ...

    def heats(self): ...

    def close(self): ...

    def _sgld_mean(self): ...


class Inherits(Subject):
    def local_entropy_grad(self): ...


def test_a_misspelt_method_is_hinted_at():
    assert describe(Misspelt()).misspelt == {
        "scoping": "scopng",
        "minimise_heat": "minimize_heat",
        "robbins_monro": "robbinsMonro",
        "kl_gaussian": "kl_gausian",
    }
    assert describe(Inherits()).misspelt == {
        "local_entropy_gradient": "local_entropy_grad"
    }
    assert describe(Scoping()).misspelt == {}


def test_the_hint_stands_above_the_checks_and_in_what_is_skipped():
    text = io.StringIO()
    Terminal(text).header(describe(Misspelt()), 1, find(["EQ18"]))
    said = "hint     scopng is no method of the protocol; did you mean scoping?"
    assert said in text.getvalue().splitlines()
    with pytest.raises(pytest.skip.Exception) as caught:
        examination(Misspelt, "EQ18-01")()
    assert str(caught.value) == (
        "the subject does not provide scoping; did you mean scoping by scopng?"
    )


def test_what_fails_shows_its_evidence_and_the_seed():
    with pytest.raises(pytest.fail.Exception) as caught:
        examination(Wrong(), "EQ18-01")()
    text = str(caught.value)
    first, second = text.splitlines()[:2]
    assert re.fullmatch(r"tau\S*: error .*, tolerance .*, in .*", first)
    assert second.startswith("EQ18-01, (18)")
    assert "verification diagnose --subject package.module:object" in text
    assert re.search(r"measured .*\n +expected ", text)
    assert text.endswith("seed 1")


def test_an_inconclusive_check_fails_unless_it_is_allowed(monkeypatch):
    def unsure(check, *_):
        return Outcome(check, Verdict.INCONCLUSIVE, message="1 of 2 tests undecided")

    monkeypatch.setattr(conformance, "run_check", unsure)
    with pytest.raises(pytest.fail.Exception, match="1 of 2 tests undecided"):
        examination(Scoping(), "EQ18-01")()
    with pytest.raises(pytest.skip.Exception, match="inconclusive: 1 of 2"):
        examination(Scoping(), "EQ18-01", allow_inconclusive=True)()


def test_seed_and_depth_reach_the_checks(monkeypatch):
    seen = []
    monkeypatch.setattr(
        conformance,
        "run_check",
        lambda check, witness, session: (
            seen.append((session.seed, session.deep)) or Outcome(check, Verdict.PASS)
        ),
    )
    examination(Scoping(), "EQ18-01", deep=True)()
    fresh = [Bench(Scoping()) for _ in range(2)]
    for bench in fresh:
        bench.run(find(["EQ18-01"])[0])
    assert seen == [(1, True), *((bench.seed, False) for bench in fresh)]
    assert fresh[0].seed != fresh[1].seed


def test_a_class_or_a_function_makes_one_subject_when_it_is_needed():
    Scoping.made = 0
    for maker in (Scoping, lambda: Scoping()):
        bench = Bench(maker)
        before = Scoping.made
        for check in find(["EQ18", "HEAT"]):
            bench.run(check)
        assert Scoping.made == before + 1


def test_an_instance_that_can_be_called_is_not():
    class Callable(Scoping):
        def __call__(self):
            raise AssertionError

    assert Bench(Callable()).run(find(["EQ18-01"])[0]).verdict is Verdict.PASS


def test_nothing_is_judged_by_a_judge_at_fault(monkeypatch):
    def untrusted(seed):
        raise OracleFault("the oracle's own self-check failed")

    monkeypatch.setattr(conformance, "trusted", untrusted)
    with pytest.raises(OracleFault, match="self-check"):
        examination(Scoping(), "EQ18-01")()
    assert trusted(1)


def test_a_subject_that_cannot_start_says_so():
    class Odd:
        dtype = "bfloat16"

    with pytest.raises(CannotStart, match="bfloat16"):
        examination(Odd, "EQ18-01")()


# --- from outside, as installed


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder with toy subjects, in which the entry points of setup.cfg are known."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    points = config["options.entry_points"]
    place = tmp_path / "library" / "toys-1.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Name: toys\nVersion: 1\n")
    groups = [f"[{name}]\n{points[name]}\n" for name in ("pytest11", "hypothesis")]
    (place / "entry_points.txt").write_text("\n".join(groups))
    (tmp_path / "toys.py").write_text(SUBJECTS)
    monkeypatch.setenv("PYTHONPATH", f"{place.parent}:{tmp_path}:{ROOT}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=120
    )


TESTS = ("-m", "pytest", "--pyargs", "verification.conformance", "-q")


@pytest.mark.usefixtures("installed")
def test_the_conformance_tests_from_outside():
    words = ("--subject", "toys:Mine", "-k", "EQ18-01 or EQ7-01 or HEAT-01", "-rs")
    done = run(*TESTS, *words, "--seed", "7")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed, 1 skipped" in done.stdout
    assert "test_conforms[EQ7-01]" in done.stdout
    assert "seed 7" in done.stdout
    assert "verification diagnose --subject toys:Mine" in done.stdout
    assert "does not provide heat" in " ".join(done.stdout.split())


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_a_harness_from_outside_on_two_workers():
    harness = ROOT / "docs" / "examples" / "harness.py"
    words = ("--command", f"{sys.executable} {harness}", "--time-limit", "60", "-n2")
    done = run(*TESTS, *words, "-k", "ALG3-I or ALG3-L1 or EQ2-01")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 1 skipped" in done.stdout


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--subject", "toys:Odd"), "verification: the subject's dtype must be"),
        pytest.param(
            ("--command", "nowhere"),
            "verification: nowhere: start: the harness",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_subject_that_cannot_start_is_a_usage_error(words, said):
    done = run(*TESTS, *words)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_options_are_nobody_elses(installed):
    (installed / "conftest.py").write_text(
        "def pytest_addoption(parser):\n"
        "    for name in ('--subject', '--command', '--seed', '--deep'):\n"
        "        parser.addoption(name, action='store_true')\n"
    )
    (installed / "test_own.py").write_text("def test_own(): pass\n")
    done = run("-m", "pytest", "-q", "--subject", "--deep", "test_own.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


LIGHT = """
import sys
before = set(sys.modules)
from verification import pytest_plugin, from_type
from_type.register()
new = {name.partition(".")[0] for name in set(sys.modules) - before}
assert not new & {"numpy", "scipy", "pytest", "hypothesis", "refimpl"}, new
"""


def test_what_others_load_imports_nothing():
    done = run("-c", LIGHT)
    assert done.returncode == 0, done.stderr


def test_no_kernel_has_an_assertion():
    # pytest rewrites those of every package with a plugin, and numba knows them not
    kernels = [
        node
        for file in (ROOT / "refimpl").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and any("jit" in ast.unparse(one) for one in node.decorator_list)
    ]
    assert len(kernels) > 10
    assert [
        kernel.name
        for kernel in kernels
        if any(isinstance(part, ast.Assert) for part in ast.walk(kernel))
    ] == []


# --- from_type

KNOWN = [kind for kind in KINDS if kind != "network"]

ORDERS = """
import sys
{first}
{second}
import hypothesis
assert "verification.strategies" not in sys.modules
from hypothesis import strategies as st
found = hypothesis.find(st.from_type(Quartic), lambda loss: loss.d == 2)
assert type(found) is Quartic
"""
HYPOTHESIS, LOSSES = "import hypothesis", "from verification.losses import Quartic"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("first", "second"), [(HYPOTHESIS, LOSSES), (LOSSES, HYPOTHESIS)]
)
def test_from_type_knows_the_losses_in_any_order(first, second):
    done = run("-W", "error", "-c", ORDERS.format(first=first, second=second))
    assert done.returncode == 0, done.stderr


#: Any example will do, none need be shrunk.
FEW = settings(max_examples=3, phases=[Phase.generate], database=None)


@pytest.mark.parametrize("kind", KNOWN)
def test_from_type_makes_each_kind_of_loss(kind):
    register()

    @FEW
    @given(st.from_type(KINDS[kind]))
    def made(loss):
        assert type(loss) is KINDS[kind]

    made()


def test_from_type_makes_losses_of_any_kind():
    register()
    found = set()

    @settings(FEW, max_examples=100, derandomize=True)
    @given(st.from_type(LossData))
    def made(loss):
        found.add(loss.kind)

    made()
    assert found <= set(KNOWN)
    assert len(found) > 3
