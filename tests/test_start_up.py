"""Starting up: what an import loads, and when a kernel is compiled anew.

Every case is a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import pytest

ROOT = Path(__file__).resolve().parents[1]

needs_numba = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT is set"
)


def said(program: str, folder: Path = ROOT) -> Any:
    """What a program prints, with the packages that stand in the folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- an import

#: All that the package stands on, of SciPy no more than this; and all of the package.
EVERYTHING = """
import json, sys, time
from importlib import import_module
from pkgutil import walk_packages
import numba, numpy
import scipy.linalg, scipy.optimize, scipy.sparse.csgraph, scipy.special
from numba.core import event

before, began = set(sys.modules), time.process_time()
with event.install_recorder("numba:compile") as compiled:
    import refimpl
    first = sorted(set(sys.modules) - before)
    for module in walk_packages(refimpl.__path__, "refimpl."):
        import_module(module.name)
    seconds = time.process_time() - began
    loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
    count = len(compiled.buffer)
    numba.njit(lambda x: x)(1)
print(json.dumps({
    "first": first,
    "others": sorted(loaded - set(sys.stdlib_module_names)),
    "statistics": "scipy.stats" in sys.modules,
    "compiled": [count, len(compiled.buffer)],
    "seconds": seconds,
}))
"""


@pytest.fixture(scope="module")
def imported() -> Any:
    return said(EVERYTHING)


def test_the_package_alone_loads_nothing(imported: Any) -> None:
    assert imported["first"] == ["refimpl"]


def test_all_of_it_loads_its_dependencies_and_no_extra(imported: Any) -> None:
    assert imported["others"] == ["refimpl"]
    assert not imported["statistics"]


@needs_numba
def test_nothing_is_compiled_before_it_is_called(imported: Any) -> None:
    before, after = imported["compiled"]
    assert before == 0 < after


@pytest.mark.slow
def test_an_import_costs_half_a_second_at_most() -> None:
    """Of the processor's time, over that of the dependencies, the best of three."""
    assert min(said(EVERYTHING)["seconds"] for _ in range(3)) < 0.5


# --- the cache of compiled kernels

#: A kernel, and what it says when a kernel that it calls has changed.
PROGRAM = """
import json
import numpy as np
from refimpl.experiments import multilevel_network as network

labels = np.zeros(1, np.int64)
logits = np.full((1, 2), 0.5)
value = network.output_loss_kernel(np.ones((1, 1)), logits, labels)
stats = network.output_loss_kernel.stats
hits, misses = stats.cache_hits.total(), stats.cache_misses.total()
print(json.dumps([value, hits, misses]))
"""


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, after), encoding="utf-8")


@needs_numba
def test_a_kernel_is_compiled_anew_when_a_source_changes(tmp_path: Path) -> None:
    """A copy of the package: what a kernel calls, then how all are compiled.

    Two classes of equal odds lose 2 (1/2)^2.  That nothing is compiled without need is
    in `test_kernels`, and that no kernel uses another file in `test_architecture`.
    """
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "refimpl", tmp_path / "refimpl", ignore=ignore)
    assert said(PROGRAM, tmp_path) == [0.5, 0, 1]
    network = tmp_path / "refimpl" / "experiments" / "multilevel_network.py"
    edit(network, "total += miss * miss", "total += 3.0 * miss * miss")
    assert said(PROGRAM, tmp_path) == [1.5, 0, 1]
    options = tmp_path / "refimpl" / "_jit.py"
    edit(options, '"nogil": True', '"nogil": True, "boundscheck": True')
    assert said(PROGRAM, tmp_path) == [1.5, 0, 1]
