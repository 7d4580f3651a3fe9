"""Who may import whom, and other rules of the house, read from the source.

Every rule is a function of a root directory that returns its violations, one sentence
each; so that it can be shown to bite on a copy in which the rule is broken.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

import refimpl

ROOT = Path(__file__).resolve().parents[1]

#: The floors of `refimpl`, design.md section 2; a package counts with its modules.
FLOORS = (
    {
        "_jit",
        "errors",
        "arrays",
        "interfaces",
        "schedules",
        "streams",
        "noise",
        "initialisations",
    },
    {"laws", "losses", "network", "network_kernels", "quadrature"},
    {"regularised", "output_laws", "span"},
    {"exact", "sgld", "importance", "robbins_monro", "heat_sgd"},
    {"two_step", "sgd", "diagnostics"},
    {"multiscale", "experiments"},
    {"__main__"},
)
SIDEWAYS = (0, 1, 5)
ALLOWED_RANDOM = {"Generator", "SeedSequence", "default_rng", "BitGenerator"}
ALLOWED_RANDOM |= {"PCG64", "SFC64"}
#: The second does what users do, to be compared with.
MAKE_RANDOM = {"refimpl.streams", "refimpl.experiments.straightforward"}

Rule = Callable[[Path], list[str]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


# --- reading the source


@dataclass(frozen=True, eq=False)
class Source:
    """One file: its path below the root, its dotted module, its syntax tree."""

    path: str
    module: str
    tree: ast.Module

    @cached_property
    def imports(self) -> frozenset[str]:
        """Dotted names of what the file imports, except for type checking."""
        return frozenset(
            name
            for node in _executed(self.tree)
            for name in _imported(node, self.module, self.path)
        )

    @cached_property
    def random(self) -> frozenset[str]:
        """What the file takes from numpy.random."""
        used = {n.split(".")[2] for n in self.imports if n.startswith("numpy.random.")}
        for node in ast.walk(self.tree):
            of = node.value if isinstance(node, ast.Attribute) else None
            if isinstance(of, ast.Attribute) and of.attr == "random":
                numpy = ast.unparse(of) in ("np.random", "numpy.random")
                used |= {node.attr} if numpy else set()
        return frozenset(used)

    @cached_property
    def threads(self) -> tuple[int, ...]:
        """Lines that say how many threads there are to be."""
        return tuple(
            node.lineno
            for node in ast.walk(self.tree)
            if isinstance(node, ast.expr | ast.alias | ast.keyword)
            and (
                re.fullmatch(THREADS, _word(node)) is not None
                or (isinstance(node, ast.keyword) and node.arg == "parallel")
            )
        )


def sources(root: Path, *below: str) -> list[Source]:
    files = sorted(file for folder in below for file in (root / folder).rglob("*.py"))
    found = []
    for file in files:
        relative = file.relative_to(root)
        parts = relative.with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = file.read_text(encoding="utf-8")
        found.append(_source(relative.as_posix(), module, text))
    return found


@cache
def _source(path: str, module: str, text: str) -> Source:
    """Parsed once, also for the many copies that differ in one file."""
    return Source(path, module, ast.parse(text, filename=path))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, also within functions, but none under `if TYPE_CHECKING`."""
    ahead = [*ast.iter_child_nodes(node)]
    while ahead:
        child = ahead.pop()
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            ahead += child.orelse
        else:
            yield child
            ahead += ast.iter_child_nodes(child)


def _imported(node: ast.AST, module: str, path: str) -> Iterator[str]:
    """`from a import b` gives a.b: a module of that name, or a name within a."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = module.split(".")
            drop = node.level - path.endswith("__init__.py")
            above = package[: len(package) - drop]
            base = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and node.args:
        by_name = _word(node.func).endswith(("import_module", "__import__"))
        if by_name and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _unit(name: str) -> str:
    """The file or package right below `refimpl`."""
    return f"{name}..".split(".")[1]


def _floor(unit: str) -> int | None:
    return next((n for n, units in enumerate(FLOORS) if unit in units), None)


# --- the rules


@rule
def imports_run_downwards(root: Path) -> list[str]:
    found = []
    for source in sources(root, "refimpl"):
        unit = _unit(source.module)
        if not unit:  # refimpl/__init__.py
            found += [
                f"{source.path} imports {name}: it stays empty"
                for name in sorted(source.imports)
            ]
            continue
        own = _floor(unit)
        if own is None:
            found.append(f"{source.path}: {unit} stands on no floor")
            continue
        for name in sorted(source.imports):
            if _top(name) != "refimpl" or _unit(name) in (unit, "__version__"):
                continue
            other = _floor(_unit(name))
            level = own in SIDEWAYS and other == own
            if other is None or (other >= own and not level):
                found.append(f"{source.path} (floor {own}) imports {name} ({other})")
    return found


@rule
def no_imports_in_a_circle(root: Path) -> list[str]:
    files = sources(root, "refimpl")
    known = {source.module for source in files}
    graph = {
        source.module: {_module(name, known) for name in source.imports} & known
        for source in files
    }
    for module, others in graph.items():
        others.discard(module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"{' imports '.join(reversed(error.args[1]))}: a circle"]
    return []


def _module(name: str, known: set[str]) -> str:
    return name if name in known else name.rpartition(".")[0]


@rule
def the_loop_knows_no_estimator(root: Path) -> list[str]:
    return [
        f"{source.path} imports {name}: the loop knows no estimator"
        for source in sources(root, "refimpl")
        if source.module == "refimpl.two_step"
        for name in sorted(source.imports)
        if _top(name) == "refimpl" and _unit(name) in FLOORS[3]
    ]


@rule
def the_implementation_does_not_know_its_judge(root: Path) -> list[str]:
    return _nobody_imports(root, "verification", ["refimpl"])


@rule
def only_the_adapter_knows_the_implementation(root: Path) -> list[str]:
    return _nobody_imports(
        root, "refimpl", ["verification"], except_in="verification/adapter.py"
    )


@rule
def checks_and_truths_do_not_know_the_adapter(root: Path) -> list[str]:
    return [
        f"{source.path} imports {name}"
        for source in sources(root, "verification/checks", "verification/truth")
        for name in sorted(source.imports)
        if name.startswith("verification.adapter")
    ]


@rule
def truths_stand_alone(root: Path) -> list[str]:
    outside = {*sys.stdlib_module_names, "numpy", "scipy", "mpmath"}
    return [
        f"{source.path} imports {name}: a truth needs stdlib, numpy, scipy and mpmath"
        for source in sources(root, "verification/truth")
        for name in sorted(source.imports)
        if _top(name) not in outside
        and not f"{name}.".startswith("verification.truth.")
    ]


@rule
def numba_has_one_place(root: Path) -> list[str]:
    return _nobody_imports(root, "numba", except_in="refimpl/_jit.py")


@rule
def kernels_use_their_own_file(root: Path) -> list[str]:
    """Numba keeps what it compiled until the file of the kernel itself changes."""
    found = []
    for source in sources(root, "refimpl"):
        given = {name: node for node in source.tree.body for name in _binds(node)}
        imported = {n for n, node in given.items() if _is_import(node)} - {"np"}
        found += [
            f"{source.path}: {kernel.name} uses {name}, which is of another file"
            for kernel in ast.walk(source.tree)
            if isinstance(kernel, ast.FunctionDef)
            and "jit" in map(ast.unparse, kernel.decorator_list)
            for name in sorted(_reached(kernel, given) & imported)
        ]
    return found


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _binds(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module gives a meaning."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (one.asname or _top(one.name) for one in node.names)
    elif isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    else:
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                yield one.id


def _reached(kernel: ast.FunctionDef, given: dict[str, ast.stmt]) -> set[str]:
    """What a kernel's statements name, and what that is made of, and so on."""
    found: set[str] = set()
    ahead: list[ast.AST] = [*kernel.body, *kernel.args.defaults]
    while ahead:
        node = ahead.pop()
        if isinstance(node, ast.FunctionDef):  # another kernel: told on its own
            continue
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        ahead += [given[name] for name in (names - found) & set(given)]
        found |= names
    return found


THREADS = r"\w+_NUM_THREADS|(get|set)_num_threads|threadpool_\w+|ThreadpoolController"


@rule
def threads_have_one_place(root: Path) -> list[str]:
    """Of matrix products, in a process and in those that the judge starts."""
    return [
        f"{source.path}, line {line}: threads"
        for source in sources(root, "refimpl", "verification")
        if source.module
        not in ("refimpl.experiments.threads", "verification.false_alarms")
        for line in source.threads
    ]


def _word(node: ast.AST) -> str:
    """A name, an attribute's or an import's, or a short text."""
    words = {ast.Name: "id", ast.Attribute: "attr", ast.alias: "name"}
    return str(getattr(node, words.get(type(node), "value"), ""))


@rule
def only_experiments_plot(root: Path) -> list[str]:
    return [
        found
        for found in _nobody_imports(root, "matplotlib")
        if not found.startswith("refimpl/experiments/")
    ]


@rule
def hypothesis_has_one_place(root: Path) -> list[str]:
    return [
        found
        for found in _nobody_imports(root, "hypothesis")
        if not found.startswith(("verification/strategies", "verification/from_type"))
    ]


@rule
def pytest_has_one_place(root: Path) -> list[str]:
    return _nobody_imports(root, "pytest", except_in="verification/conformance.py")


def _nobody_imports(
    root: Path,
    package: str,
    below: list[str] | None = None,
    except_in: str = "",
) -> list[str]:
    return [
        f"{source.path} imports {name}"
        for source in sources(root, *(below or ["refimpl", "verification"]))
        if source.path != except_in
        for name in sorted(source.imports)
        if _top(name) == package
    ]


@rule
def randomness_is_explicit(root: Path) -> list[str]:
    """Only Generator and what makes one; within refimpl it is made in `streams`."""
    found = []
    for source in sources(root, "refimpl", "verification", "tests"):
        found += [
            f"{source.path} imports {name}"
            for name in source.imports
            if _top(name) == "random"
        ]
        found += [
            f"{source.path} uses the legacy numpy.random.{name}"
            for name in sorted(source.random - ALLOWED_RANDOM)
        ]
        if source.module.startswith("refimpl") and source.module not in MAKE_RANDOM:
            made = sorted(source.random - {"Generator"})
            found += [f"{source.path} makes its own randomness: {n}" for n in made]
    return found


@rule
def the_library_does_not_print(root: Path) -> list[str]:
    return [
        f"{source.path}, line {node.lineno}: print"
        for source in sources(root, "refimpl")
        if source.path != "refimpl/__main__.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name) and node.id == "print"
    ]


@rule
def everything_public_has_a_docstring(root: Path) -> list[str]:
    found = []
    for source in sources(root, "refimpl"):
        if ast.get_docstring(source.tree) is None:
            found.append(f"{source.path}: the module has no docstring")
        private = source.module.rpartition(".")[2].startswith("_")
        for name, node in _public(source.tree):
            if not private and ast.get_docstring(node) is None:
                found.append(f"{source.path}: {name} has no docstring")
    return found


def _public(
    tree: ast.Module | ast.ClassDef, prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Public functions, classes and their methods.

    Special methods are documented by the language.
    """
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if node.name.startswith("_"):
                continue
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node, f"{prefix}{node.name}.")


# --- the house as it stands


def names(rules: list[Rule]) -> list[str]:
    return [one.__name__ for one in rules]


@pytest.mark.parametrize("one", RULES, ids=names(RULES))
def test_the_house_keeps_the_rule(one: Rule) -> None:
    assert one(ROOT) == []


def test_the_floors_are_those_of_the_package_docstring() -> None:
    said = re.findall(r"^\d+\. (.*)$", refimpl.__doc__ or "", re.MULTILINE)
    floors = [set(re.findall(r"`(\w+)`", line)) for line in said]
    assert [
        floor | {"_jit"} if n == 0 else floor for n, floor in enumerate(floors)
    ] == (list(FLOORS))


BLOCKED = """
import importlib, pkgutil, sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "refimpl":
            raise ImportError(f"{name} is walled off")

sys.meta_path.insert(0, Wall())
import verification.checks, verification.truth
from verification.__main__ import main

for package in (verification.checks, verification.truth):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
from verification import losses, mistakes, problems, self_check, strategies
assert all(finding.ok for finding in self_check.self_check(0))
assert main(["list"]) == 0
assert main(["run", "EQ2-01"]) == 4  # the default subject cannot be loaded
assert not [name for name in sys.modules if name.startswith("refimpl")]
"""


def test_the_judge_works_without_the_implementation() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "EQ2-01" in done.stdout
    assert "refimpl is walled off" in done.stderr


# --- the rules bite

PLANTED = [
    (imports_run_downwards, "refimpl/arrays.py", "import refimpl.laws", "laws"),
    (
        imports_run_downwards,
        "refimpl/losses/affine.py",
        "def late():\n    from refimpl import regularised",
        "floor 1) imports refimpl.regularised",
    ),
    (imports_run_downwards, "refimpl/sgd.py", "from .two_step import two_step", "two_"),
    (
        imports_run_downwards,
        "refimpl/losses/affine.py",
        "from .. import exact",
        "exact",
    ),
    (
        imports_run_downwards,
        "refimpl/laws.py",
        "from refimpl import new",
        "refimpl.new",
    ),
    (imports_run_downwards, "refimpl/cellar.py", "", "cellar stands on no floor"),
    (imports_run_downwards, "refimpl/__init__.py", "import numpy", "stays empty"),
    (
        no_imports_in_a_circle,
        "refimpl/losses/_components.py",
        "from refimpl.losses.gaussian_mixture import GaussianMixture",
        "circle",
    ),
    (
        no_imports_in_a_circle,
        "refimpl/errors.py",
        "def late():\n    from refimpl.arrays import as_array",
        "circle",
    ),
    (
        the_loop_knows_no_estimator,
        "refimpl/two_step.py",
        "from refimpl.exact import ExactMean",
        "no estimator",
    ),
    (
        the_implementation_does_not_know_its_judge,
        "refimpl/laws.py",
        "from verification.truth import closed_forms",
        "refimpl/laws.py imports verification.truth.closed_forms",
    ),
    (
        only_the_adapter_knows_the_implementation,
        "verification/truth/moments.py",
        "import refimpl",
        "verification/truth/moments.py imports refimpl",
    ),
    (
        only_the_adapter_knows_the_implementation,
        "verification/checks/heat.py",
        "import importlib\nimportlib.import_module('refimpl.laws')",
        "verification/checks/heat.py imports refimpl.laws",
    ),
    (
        checks_and_truths_do_not_know_the_adapter,
        "verification/checks/heat.py",
        "from verification.adapter import Refimpl",
        "verification.adapter.Refimpl",
    ),
    (
        truths_stand_alone,
        "verification/truth/moments.py",
        "from verification.losses import Quadratic",
        "verification.losses.Quadratic",
    ),
    (truths_stand_alone, "verification/truth/moments.py", "import numba", "numba"),
    (numba_has_one_place, "refimpl/laws.py", "from numba import njit", "numba.njit"),
    (numba_has_one_place, "verification/losses.py", "import numba as nb", "numba"),
    (
        kernels_use_their_own_file,
        "refimpl/sgld.py",
        "from refimpl.noise import around_kernel\n"
        "@jit\ndef far_kernel(y):\n    around_kernel(y, 1.0, y, y)",
        "sgld.py: far_kernel uses around_kernel",
    ),
    (
        kernels_use_their_own_file,
        "refimpl/sgld.py",
        "from refimpl.noise import BLOCK\nHALF = BLOCK // 2\n"
        "@jit\ndef far_kernel(y: Array) -> None:\n    y[HALF] = 1.0",
        "sgld.py: far_kernel uses BLOCK",
    ),
    (
        threads_have_one_place,
        "refimpl/sgd.py",
        "import os\nos.environ['OMP_NUM_THREADS'] = '1'",
        "sgd.py, line",
    ),
    (
        threads_have_one_place,
        "verification/problems.py",
        "from threadpoolctl import threadpool_limits",
        "problems.py, line",
    ),
    (
        threads_have_one_place,
        "refimpl/experiments/straightforward.py",
        "def late(torch):\n    torch.set_num_threads(1)",
        "straightforward.py, line",
    ),
    (threads_have_one_place, "refimpl/_jit.py", "numba.njit(parallel=True)", "_jit"),
    (only_experiments_plot, "refimpl/exact.py", "import matplotlib.pyplot", "exact"),
    (
        only_experiments_plot,
        "refimpl/__main__.py",
        "def late():\n    from matplotlib.figure import Figure",
        "refimpl/__main__.py imports matplotlib.figure.Figure",
    ),
    (
        imports_run_downwards,
        "refimpl/two_step.py",
        "from refimpl.experiments import problems",
        "floor 4) imports refimpl.experiments.problems",
    ),
    (
        imports_run_downwards,
        "refimpl/experiments/records.py",
        "import refimpl.__main__",
        "floor 5) imports refimpl.__main__",
    ),
    (
        hypothesis_has_one_place,
        "verification/problems.py",
        "from hypothesis import given",
        "hypothesis.given",
    ),
    (pytest_has_one_place, "verification/pytest_plugin.py", "import pytest", "pytest"),
    (randomness_is_explicit, "refimpl/laws.py", "np.random.seed(0)", "random.seed"),
    (randomness_is_explicit, "verification/losses.py", "np.random.randn(2)", "randn"),
    (
        randomness_is_explicit,
        "refimpl/exact.py",
        "rng = np.random.default_rng(0)",
        "makes its own randomness",
    ),
    (
        randomness_is_explicit,
        "verification/problems.py",
        "from numpy.random import rand",
        "rand",
    ),
    (randomness_is_explicit, "refimpl/laws.py", "import random", "imports random"),
    (the_library_does_not_print, "refimpl/sgd.py", "print('done')", "sgd.py, line"),
    (
        everything_public_has_a_docstring,
        "refimpl/laws.py",
        "class Law:\n    def density(self):\n        return 0",
        "Law.density has no docstring",
    ),
    (everything_public_has_a_docstring, "refimpl/cellar.py", "", "the module has no"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("refimpl", "verification"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    (tmp_path / "tests").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("one", "file", "text", "said"),
    PLANTED,
    ids=[f"{case[0].__name__}-{i}" for i, case in enumerate(PLANTED)],
)
def test_the_rule_bites(copy: Path, one: Rule, file: str, text: str, said: str) -> None:
    assert one(copy) == []
    place = copy / file
    before = place.read_text(encoding="utf-8") if place.exists() else ""
    place.write_text(f"{before}\n{text}\n", encoding="utf-8")
    violations = one(copy)
    assert violations
    assert any(said in violation for violation in violations), violations


def test_every_rule_is_shown_to_bite() -> None:
    assert {case[0] for case in PLANTED} == set(RULES)


def test_imports_for_type_checking_are_exempt(copy: Path) -> None:
    place = copy / "refimpl" / "errors.py"
    text = place.read_text(encoding="utf-8")
    more = "if TYPE_CHECKING:\n    from refimpl.exact import ExactMean\n"
    place.write_text(text + more, encoding="utf-8")
    assert imports_run_downwards(copy) == no_imports_in_a_circle(copy) == []
    place.write_text(
        text + more + "else:\n    import refimpl.exact\n", encoding="utf-8"
    )
    assert len(imports_run_downwards(copy)) == 1
