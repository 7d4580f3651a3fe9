"""The adapters for frameworks in docs/examples: each is run, right and wrong.

Every run is a process of its own, as a reader would start it: JAX and PyTorch have
settings that hold for a whole process, and load slowly.  What is not installed is
skipped by name; ``pip install ".[examples,test]"`` installs it all.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from verification.subject import METHODS

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")

#: The files of the page, and what must be installed for each.
NEEDS = {
    "pytorch_entropy_sgd": ("torch",),
    "devinterp_sgld": ("torch", "devinterp"),
    "pytorch_mppi_importance": ("torch", "pytorch_mppi"),
    "jax_blackjax_sgld": ("jax", "blackjax"),
    "optax_perturbations": ("jax", "optax"),
}

CHAIN = ("ALG3-I", "ALG3-R2", "ALG3-L1")
SAMPLES = ("ALG4-R1", "ALG4-W", "ALG4-L3")
DESCENT = ("ALG5-L1",)


@dataclass(frozen=True)
class Mapping:
    """One class of an example: what is asked of it, and what is to be said.

    `fails` are the checks that fail; "all" are those of `ids`.  `said` is a part of the
    diagnosis, which the page quotes.
    """

    module: str
    name: str
    ids: tuple[str, ...]
    fails: tuple[str, ...] = ()
    said: str = ""
    fast: bool = True

    @property
    def subject(self) -> str:
        """As the command line names it."""
        return f"{self.module}:{self.name}"


AVERAGE = "the output is an exponential average with weight 0.25 on the new state"
UNKNOWN = "no mapping found: none of "
MAPPINGS = (
    Mapping("pytorch_entropy_sgd", "Declared", CHAIN),
    Mapping("pytorch_entropy_sgd", "Undeclared", CHAIN, CHAIN, AVERAGE),
    Mapping(
        "pytorch_entropy_sgd",
        "Scoped",
        ("EQ18-01", "ALG3-I"),
        ("EQ18-01",),
        "no mapping found: theory",
        fast=False,
    ),
    Mapping("devinterp_sgld", "Untempered", (*CHAIN, "ALG3-N", "RNG-02"), fast=False),
    Mapping(
        "devinterp_sgld",
        "Tempered",
        CHAIN,
        CHAIN,
        "this is Algorithm 3 for 4.343 f",
        fast=False,
    ),
    Mapping("pytorch_mppi_importance", "Around", SAMPLES),
    Mapping(
        "pytorch_mppi_importance",
        "Deviation",
        SAMPLES[:2],
        SAMPLES[:2],
        "samples of deviation 1.00 sqrt(tau) times tau^-0.25",
        fast=False,
    ),
    Mapping(
        "pytorch_mppi_importance",
        "FromZero",
        SAMPLES,
        SAMPLES,
        "no mapping found: Algorithm 4",
        fast=False,
    ),
    Mapping("jax_blackjax_sgld", "Half", CHAIN, fast=False),
    Mapping(
        "jax_blackjax_sgld",
        "Whole",
        CHAIN,
        CHAIN,
        "this is Algorithm 3 with step 2 eps",
        fast=False,
    ),
    Mapping("optax_perturbations", "Normals", DESCENT, fast=False),
    Mapping(
        "optax_perturbations",
        "Gumbels",
        DESCENT,
        DESCENT,
        UNKNOWN,
        fast=False,
    ),
    Mapping("optax_perturbations", "Scores", DESCENT, DESCENT, UNKNOWN, fast=False),
)


def marked(mapping: Mapping) -> Any:
    marks = () if mapping.fast else pytest.mark.slow
    return pytest.param(mapping, marks=marks, id=mapping.subject)


def judged(mapping: Mapping, place: Path, *ids: str) -> dict[str, Any]:
    """The report of `verification run`, in a process of its own."""
    for package in NEEDS[mapping.module]:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    words = ["run", "--subject", mapping.subject, "--json", str(place), *ids]
    done = subprocess.run(
        [sys.executable, "-m", "verification", *words],
        cwd=EXAMPLES,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    assert report["exit_code"] == done.returncode
    return report


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["verdict"] for check in report["checks"]}


@pytest.mark.parametrize("mapping", [marked(mapping) for mapping in MAPPINGS])
def test_a_mapping_is_judged_as_the_page_says(mapping, tmp_path):
    report = judged(mapping, tmp_path / "report.json", *mapping.ids)
    expected = dict.fromkeys(mapping.ids, "PASS")
    assert verdicts(report) == expected | dict.fromkeys(mapping.fails, "FAIL")
    if mapping.fails:
        assert mapping.said in report["diagnosis"]["sentence"]
    else:
        assert report["diagnosis"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "mapping",
    [pytest.param(m, id=m.subject) for m in MAPPINGS if not m.fails],
)
def test_a_right_mapping_conforms_in_all_that_it_offers(mapping, tmp_path):
    report = judged(mapping, tmp_path / "report.json")
    assert report["exit_code"] == 0
    assert set(verdicts(report).values()) == {"PASS", "NOT-RUN"}


# --- the page and the files, whatever is installed


def source(module: str) -> str:
    return (EXAMPLES / f"{module}.py").read_text(encoding="utf-8")


def classes(module: str) -> dict[str, list[str]]:
    """The classes of a file and the names of their methods."""
    tree = ast.parse(source(module))
    return {
        node.name: [m.name for m in node.body if isinstance(m, ast.FunctionDef)]
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


@pytest.mark.parametrize("module", NEEDS)
def test_a_file_is_short_and_offers_the_protocol(module):
    text = source(module)
    assert len(text.splitlines()) <= 110
    offered = {name for names in classes(module).values() for name in names}
    assert offered & set(METHODS)
    assert "refimpl" not in text


@pytest.mark.parametrize("module", NEEDS)
def test_every_mapping_is_named_tested_and_on_the_page(module):
    named = set(re.findall(rf"--subject {module}:(\w+)", source(module)))
    tested = {mapping.name for mapping in MAPPINGS if mapping.module == module}
    assert named == tested <= set(classes(module))
    assert {name for name in tested if f"`{name}`" in PAGE} == tested
    assert f"```{{literalinclude}} examples/{module}.py" in PAGE


def test_the_page_quotes_what_is_said():
    flat = " ".join(PAGE.replace("> ", "").split())
    for mapping in MAPPINGS:
        assert mapping.said in flat, mapping.subject


def test_the_extra_installs_what_the_examples_need():
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    extra = re.search(r"^examples =\n((?: .*\n)+)", setup, re.M)
    assert extra is not None
    names = {line.split()[0].replace("-", "_") for line in extra[1].splitlines()}
    assert names == {package for needs in NEEDS.values() for package in needs}
