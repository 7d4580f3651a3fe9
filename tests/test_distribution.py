"""What is installed: every file of the two packages, and nothing else.

The wheel is built from the source distribution, so that both are enough.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", minversion="70.1", reason="it builds the wheel")

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("refimpl", "verification")

#: Of each kind one that must be there, whatever else is.
NEEDED = {
    "refimpl/__main__.py",
    "refimpl/py.typed",
    "verification/py.typed",
    "verification/mechanical/survivors.toml",
    "verification/report/page.css",
    "verification/report/report.schema.json",
    "verification/vectors/v1/manifest.json",
}
#: What may lie about where people work.
STRAY = (
    "refimpl/experiments/train-images-idx3-ubyte",
    "refimpl/notes.txt",
    "verification/vectors/v1/manifest.json.new",
    "verification/checks/numbers.npz",
    "runs/sgd.py",
)

BUILD = "from setuptools import build_meta; print(build_meta.build_{}({!r}))"


def built(kind: str, tree: Path, into: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(kind, str(into))],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return into / done.stdout.splitlines()[-1]


def files(tree: Path) -> set[str]:
    """Of the packages."""
    return {
        path.relative_to(tree).as_posix()
        for package in PACKAGES
        for path in (tree / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.slow
def test_the_distributions_hold_the_packages_and_nothing_else(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    ignore = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist")
    shutil.copytree(ROOT, tree, ignore=ignore)
    expected = files(tree)
    assert expected >= NEEDED
    for name in STRAY:
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()

    with tarfile.open(built("sdist", tree, tmp_path)) as sdist:
        names = {one.name.partition("/")[2] for one in sdist if one.isfile()}
        sdist.extractall(tmp_path / "unpacked", filter="data")
    own = {name for name in names if ".egg-info/" not in name}
    assert own - {"MANIFEST.in", "PKG-INFO"} == expected | {
        *("LICENSE", "README.md", "pyproject.toml", "setup.cfg")
    }

    (unpacked,) = (tmp_path / "unpacked").iterdir()
    with zipfile.ZipFile(built("wheel", unpacked, tmp_path)) as wheel:
        names = set(wheel.namelist())
    assert {name for name in names if ".dist-info/" not in name} == expected
