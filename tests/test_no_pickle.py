"""Nothing that is read can run code: no pickle, and nothing that is one within."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: What reads objects, and with them whatever their makers wish to be run.
FORBIDDEN = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "jsonpickle"),
    *("shelve", "marshal", "copyreg"),
}
#: Of `pickle` what only writes: the measurement of a cluster's messages counts bytes,
#: and of a loss it is seen whether it could be sent.
WRITERS = {
    ("refimpl/experiments/cluster.py", "pickle.dumps"),
    ("refimpl/importance.py", "pickle.dumps"),
}
READERS = {"load", "loadtxt", "genfromtxt", "read_array", "open_memmap"}


def faults(path: str, text: str) -> Iterator[str]:
    """What in a file may read an object, one sentence each."""
    writer = {name for where, name in WRITERS if where == path}
    modules = {name.partition(".")[0] for name in writer}
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.partition(".")[0] in FORBIDDEN - modules:
                yield f"{path} imports {name}"
        if isinstance(node, ast.Attribute):
            used = ast.unparse(node)
            if used.partition(".")[0] in FORBIDDEN and used not in writer:
                yield f"{path} uses {used}"
        if isinstance(node, ast.Call):
            yield from _of_call(path, node)


def _of_call(path: str, node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    allowed = {key.arg: key.value for key in node.keywords}.get("allow_pickle")
    refused = isinstance(allowed, ast.Constant) and allowed.value is False
    if allowed is not None and not refused:
        yield f"{path} allows pickle in {called}"
    of_numpy = called.partition(".")[0] in ("np", "numpy", "npy", "format")
    if of_numpy and called.rpartition(".")[2] in READERS and not refused:
        yield f"{path} calls {called} without allow_pickle=False"


@pytest.mark.parametrize("package", ["refimpl", "verification"])
def test_no_object_is_read(package: str) -> None:
    found = [
        fault
        for file in sorted((ROOT / package).rglob("*.py"))
        for fault in faults(
            file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "import shelve as s",
        "import marshal",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "numpy.load(file, allow_pickle=flag)",
        "npy.read_array(file)",
    ],
)
def test_the_rule_bites(text: str) -> None:
    assert list(faults("refimpl/a.py", text))


def test_what_counts_bytes_reads_none() -> None:
    path = "refimpl/experiments/cluster.py"
    assert not list(faults(path, "import pickle\nlen(pickle.dumps(1))"))
    assert list(faults(path, "import pickle\npickle.loads(b'')"))


def test_what_is_refused_by_name_passes() -> None:
    assert not list(faults("refimpl/a.py", "np.load(file, allow_pickle=False)"))
