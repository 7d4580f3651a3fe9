"""What reads bytes of others, one function each: any bytes give an answer or an error.

The error is one of ours, with one sentence.  Whatever else a target raises is a defect,
as is an answer that takes long, or more memory than a few times the bytes.

A target may also be wrong about bytes that are right: `SEEDS` are such, and none of
them may be refused.
"""

from __future__ import annotations

import atexit
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest.mock import patch

import numpy as np

from refimpl.errors import RefimplError
from refimpl.experiments import checkpoints, data, records, sweep
from refimpl.experiments.multilevel import MultilevelSetting, Seen, published
from refimpl.experiments.settings import Setting, of_section_6
from refimpl.experiments.training import Evaluation
from verification import false_alarms, guard
from verification.connect import command
from verification.connect.messages import encode, hard_numbers
from verification.diagnosis import recorded
from verification.errors import VerificationError
from verification.losses import Quadratic
from verification.subject import METHODS, Subject
from verification.vectors import FOLDER, generate, judge, lint, reading

__all__ = ["LONGEST", "SEEDS", "TARGETS", "Refused"]

LONGEST = 1000
"""Characters of a sentence; a list of names of keys is not short."""

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {}
SEEDS: dict[str, Callable[[], list[bytes]]] = {}


class Refused(Exception):
    """One of our errors, with its sentence: what a target may raise."""


def target(function: Callable[[bytes], object]) -> Target:
    """A target by its name; our errors pass as `Refused`, if they are one sentence."""

    def run(content: bytes) -> None:
        try:
            function(content)
        except (RefimplError, VerificationError) as error:
            raise Refused(_sentence(str(error))) from error

    name = function.__name__.replace("_", "-")
    run.__doc__ = function.__doc__
    TARGETS[name] = run
    return run


def _sentence(said: str) -> str:
    """The text, if it is one line of a length that is read."""
    assert said.strip(), "an error without a sentence"
    assert len(said.splitlines()) == 1, f"more than a line: {said!r}"
    assert len(said) <= LONGEST, f"{len(said)} characters: {said[:200]!r}"
    return said


def seeds(function: Callable[[], list[bytes]]) -> Callable[[], list[bytes]]:
    """Right bytes for the target of the same name, without the final ``_seeds``."""
    name = function.__name__.removesuffix("_seeds").replace("_", "-")
    SEEDS[name] = cache(function)
    return function


@cache
def _folder() -> Path:
    """A folder of this process, for readers of files, removed with it."""
    folder = mkdtemp()
    atexit.register(rmtree, folder, ignore_errors=True)
    return Path(folder)


def _file(name: str, content: bytes) -> Path:
    path = _folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _lines(*values: Any) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


# --- images and labels


@target
def idx(content: bytes) -> None:
    """One of the four files of MNIST beside three good ones; the first byte says which.

    A file that gzip wrote may be given for each.
    """
    which, given = content[0] % 4 if content else 0, content[1:]
    for i, (file, good) in enumerate(zip(data.FILES, _good_files(), strict=True)):
        _file(f"mnist/{file.name}", given if i == which else good)
    data.load("mnist", _folder() / "mnist")


@cache
def _good_files() -> tuple[bytes, bytes, bytes, bytes]:
    image = _idx([1, 28, 28], bytes(range(196)) * 4)
    return image, _idx([1], b"\7"), image, _idx([1], b"\0")


def _idx(shape: list[int], body: bytes) -> bytes:
    numbers = [0x0800 + len(shape), *shape]
    return b"".join(n.to_bytes(4, "big") for n in numbers) + body


@seeds
def idx_seeds() -> list[bytes]:
    plain = [bytes([i]) + file for i, file in enumerate(_good_files())]
    packed = [
        bytes([i]) + gzip.compress(file, mtime=0)
        for i, file in enumerate(_good_files())
    ]
    return [*plain, *packed]


# --- a harness


class _Said:
    """In place of a process: it answers start and echo rightly, then says lines."""

    def __init__(self, lines: Iterator[bytes], honest: bool) -> None:
        self._lines, self._honest = lines, honest

    def __call__(self, words: Any) -> _Said:
        return self

    def ask(self, question: bytes, seconds: float) -> bytes:
        asked = json.loads(question)
        if self._honest and asked["message"] != "call":
            start = {"name": "fuzz", "methods": list(METHODS)}
            result = asked.get("numbers", start)
            return _lines({"id": asked["id"], "result": result})
        return next(self._lines, b"") + b"\n"

    def close(self, farewell: bytes = b"", grace: float = 0.0) -> None:
        pass


@target
def harness(content: bytes) -> None:
    """Lines of a harness: all it says, or after an even first byte its answers."""
    honest, lines = content[:1] < b"\x80", content[1:].split(b"\n")
    said = _Said(iter(lines), honest)
    with patch.object(command, "Process", said):
        subject = command.Command("fuzz")
        refusal = None
        for name in _CALLS:
            try:
                _answered(subject, name)
            except NotImplementedError as reason:
                _sentence(str(reason))
            except VerificationError as fault:
                refusal = refusal or fault
        if refusal is not None:
            raise refusal


def _answered(subject: Any, name: str) -> None:
    """One call, and its answer in form."""
    if name not in subject._methods:
        return
    handed = guard.Handed(getattr(Subject, name), *_CALLS[name])
    result = getattr(subject, name)(*handed.args, **handed.kwargs)
    guard.answer(name, result, handed.values)


_LOSS = Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, 0.0])
_X = np.array([2.0, -1.0])
_TABLE = np.array([[0.0, 1.0], [2.0, 0.5]])
_CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "local_entropy": ((_LOSS, _X, 0.5), {}),
    "heat_gradient": ((_LOSS, _X, 0.5), {}),
    "network_loss_and_gradient": (
        ((2, 2), np.zeros(6), np.zeros((1, 2)), np.zeros(1, np.int64)),
        {},
    ),
    "minibatch_indices": ((4, 2, 1), {"seed": 1}),
    "sgld_mean": ((_LOSS, _X, 0.5, np.array([0.25, 0.5])), {"n": 2, "seed": 0}),
    "multiscale_energies": ((_TABLE, np.full((2, 2), 0.25), np.array([2.0, 1.0])), {}),
}


@seeds
def harness_seeds() -> list[bytes]:
    results = [1.5, [1, -2.5], [0.5, [0, 0, 0, 0, 0, 1e-3]], [[0, 3]]]
    results += [[[0.0, 1], [1, 0.5]], [1.0, [1.0, -0.0]]]
    answers = [{"id": i + 2, "result": value} for i, value in enumerate(results)]
    echo = encode({"id": 1, "result": hard_numbers("float32")})
    start = {"name": "mine", "methods": ["local_entropy"], "dtype": "float32"}
    whole = _lines({"id": 0, "result": start}) + echo + _lines(answers[0])
    return [b"\0" + _lines(*answers), b"\x80" + whole]


# --- vectors


@cache
def _vectors() -> dict[str, list[reading.Vector]]:
    """Few families: a number, and lists of numbers."""
    names = ("schedules", "kl_gauss", "alg1_steps")
    texts = {name: (FOLDER / f"{name}.json").read_text() for name in names}
    return {
        name: list(reading.of_document(json.loads(text)))
        for name, text in texts.items()
    }


@target
def answers(content: bytes) -> None:
    """A file of answers to the vectors, judged."""
    path = _file("answers.json", content)
    known = [vector.tc_id for each in _vectors().values() for vector in each]
    found = judge.read(judge.texts_of([str(path)]), known)
    verdicts = judge.judge(_vectors(), found)
    judge.exit_code(verdicts)
    for verdict in verdicts:
        assert verdict.word in ("PASS", "FAIL", "NOT-ANSWERED")
        assert all(one.ratio >= 0 for one in verdict.judged)


@seeds
def answers_seeds() -> list[bytes]:
    outputs = {
        "kl-d1-0001": 0.876986402162968,
        "scoping-0001": "0x1.8000000000000p+0",
        "kl-d2-0002": None,
    }
    entries = [{"tcId": name, "output": value} for name, value in outputs.items()]
    path = next(v for v in _vectors()["alg1_steps"] if v.case.loss.d == 1)
    shown = path.test["expected"]["output"]
    entries += [{"tcId": path.tc_id, "output": shown}]
    head = {"answersVersion": 1, "subject": "mine", "dtype": "float64"}
    return [
        json.dumps({**head, "answers": entries}).encode(),
        json.dumps({**head, "dtype": "float32", "answers": []}).encode(),
    ]


@target
def vectors(content: bytes) -> None:
    """A family's document, in a folder whose manifest fits."""
    _in_a_folder_of_vectors({"kl_gauss.json": content})


@target
def manifest(content: bytes) -> None:
    """The manifest of a folder of vectors."""
    _in_a_folder_of_vectors({"kl_gauss.json": _document()}, content)


def _in_a_folder_of_vectors(
    files: dict[str, bytes], listed: bytes | None = None
) -> None:
    names = ("schemas/kl_gauss_v1.schema.json", "schemas/manifest_v1.schema.json")
    files |= {name: (FOLDER / name).read_bytes() for name in names}
    for name, content in files.items():
        _file(f"vectors/{name}", content)
    if listed is None:
        head = b'{"schema":"manifest_v1.schema.json","files":'
        entries = {
            name: {"sha256": reading.digest(content)}
            for name, content in sorted(files.items())
        }
        listed = head + json.dumps(entries).encode() + b"}"
    folder = _file("vectors/manifest.json", listed).parent
    # schemas are not always there to keep odd forms from what follows
    with patch.object(lint, "_against_schemas", lambda *_: []):
        complaints = lint.lint(folder, ["kl_gauss"])
    for sentence in complaints:
        _sentence(sentence)
    reading.load(folder)


@cache
def _document() -> bytes:
    """One group of one test of the family."""
    document = json.loads((FOLDER / "kl_gauss.json").read_text())
    group = document["testGroups"][0]
    test = group["tests"][0]
    flags = {name: document["notes"][name] for name in test["flags"]}
    wrong = [entry["mistake"] for entry in test["mustDiffer"]]
    less = {
        **document,
        "notes": flags,
        "mistakes": {name: document["mistakes"][name] for name in wrong},
        "numberOfTests": 1,
        "testGroups": [{**group, "tests": [test]}],
    }
    return json.dumps(less).encode()


@seeds
def vectors_seeds() -> list[bytes]:
    return [_document()]


@seeds
def manifest_seeds() -> list[bytes]:
    names = ("schemas/kl_gauss_v1.schema.json", "schemas/manifest_v1.schema.json")
    files = {name: (FOLDER / name).read_bytes() for name in names}
    return [generate.manifest({"kl_gauss.json": _document(), **files})]


# --- records


@target
def records_of_measurements(content: bytes) -> None:
    """A file of records, as `refimpl accuracy --plots-only` reads it."""
    for one in records.read(_file("records.jsonl", content)):
        assert records.Record.from_line(one.to_line()) == one


@seeds
def records_of_measurements_seeds() -> list[bytes]:
    one = records.Record(
        "sgld", "step", "wells-1", 1, {"tau": 0.5}, 2, 0, 4, {"bias": 0.125}, {}
    )
    return [b"", one.to_line().encode(), 2 * one.to_line().encode()]


@target
def record_of_a_run(content: bytes) -> None:
    """The record of a training run; with a final 0, of the other experiment."""
    other = content.endswith(b"\0")
    path = _file("run.jsonl", content.removesuffix(b"\0"))
    kinds: Any = (MultilevelSetting, Seen) if other else (Setting, Evaluation)
    found = checkpoints.read(path, *kinds)
    found.column("k")
    assert found.setting.slug


@seeds
def record_of_a_run_seeds() -> list[bytes]:
    own = of_section_6("sgld", data="digits", tau=(0.05, 0.1))
    other = published("multilevel")
    seen = Evaluation(0, 0.5, 0.25, None, 1.5, (0.0, None))
    also = Seen(0, 1, 0, 0.5, 0.1, 0.5, 0.1, (0.5, 0.25), (0, 0), (0, 0), 0, 0, 0.5)
    return [
        _record(own.to_record(), asdict(seen)),
        _record(other.to_record(), asdict(also)) + b"\0",
    ]


def _record(setting: dict[str, Any], row: dict[str, Any]) -> bytes:
    versions = {"refimpl": "0.1.0"}
    head = {"schema": 1, "setting": setting, "versions": versions, "data_warnings": []}
    ended = "update 1 left the representable numbers"  # so that one evaluation is all
    return _lines(head, row, {"ended": ended, "weights": "00"})


@target
def times(content: bytes) -> None:
    """How long the updates of a run took."""
    _file("timed.times.json", content)
    seconds = checkpoints.seconds_per_update(_folder() / "timed.jsonl")
    assert isinstance(seconds, float)


@seeds
def times_seeds() -> list[bytes]:
    return [_lines({"seconds_per_update": [0.5, 1, 1e-3]})]


@target
def census(content: bytes) -> None:
    """The runs of `verification false-alarms --kept`."""
    false_alarms._read(_file("census.jsonl", content), 5)


@seeds
def census_seeds() -> list[bytes]:
    test = next(iter(false_alarms._tests()))
    told = {"evidence": {test: -1.5}, "failed": [], "undecided": [], "replicates": 64}
    return [_lines({"seed": 5, "run": 0, **told}) + b'{"cut off']


@target
def checkpoint(content: bytes) -> None:
    """Where a run stands, as it is on the disk."""
    found = checkpoints.Checkpoint.load(_file("a.checkpoint.npz", content))
    assert (found.x.ndim, found.last.ndim, len(found.seconds)) == (1, 1, found.k)
    assert found.x.nbytes + found.last.nbytes + found.seconds.nbytes <= len(content)


@seeds
def checkpoint_seeds() -> list[bytes]:
    path = _folder() / "right.checkpoint.npz"
    found = []
    for k in (0, 3):
        one = checkpoints.Checkpoint(
            k, np.arange(2.0), np.empty(0), 7, 64 * "a", np.full(k, 0.5)
        )
        one.save(path)
        found.append(path.read_bytes())
    return found


_END = b"\xff\xfe"


@target
def arrays_of_a_checkpoint(content: bytes) -> None:
    """The same, its parts packed anew: the sums that zip keeps fit whatever they are.

    Parts end with two bytes; the first byte of each says how it is stored.
    """
    packed = io.BytesIO()
    names = [*checkpoints._STORED, "more"]
    with zipfile.ZipFile(packed, "w") as file:
        for name, part in zip(names, content.split(_END), strict=False):
            how = zipfile.ZIP_DEFLATED if part[:1] == b"\1" else zipfile.ZIP_STORED
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), part[1:], how)
    TARGETS["checkpoint"](packed.getvalue())


@seeds
def arrays_of_a_checkpoint_seeds() -> list[bytes]:
    found = []
    for whole in checkpoint_seeds():
        with zipfile.ZipFile(io.BytesIO(whole)) as file:
            parts = [b"\0" + file.read(name) for name in file.namelist()]
        found.append(_END.join(parts))
    return found


# --- what users write


@target
def recording(content: bytes) -> None:
    """A recorded trajectory, as `verification diagnose` reads and answers it."""
    found = recorded.read(_file("recording.json", content))
    if found.draws.size <= 64:  # more of them cost time and reach no other line
        recorded.diagnose_recording(found)


@seeds
def recording_seeds() -> list[bytes]:
    quadratic = {"kind": "quadratic", "H": 1.25, "m": [0.5], "c": 0}
    chain = {
        "recording": 1,
        "algorithm": 3,
        "loss": quadratic,
        "x": [0.75],
        "tau": 0.5,
        "step_sizes": [0.25, 0.125],
        "draws": [[0.5]],
        "states": [[0.75], [0.94]],
        "output": [0.8],
    }
    samples = {**chain, "algorithm": 4, "draws": [[0.5], [-1]], "workers": 2}
    del samples["step_sizes"], samples["states"]
    descent = {**chain, "algorithm": 5, "draws": [[[0.5]], [[-1.5]]]}
    descent |= {"conventions": {"robbins_monro.moves": "J"}, "states": [[1], [2], [3]]}
    return [json.dumps(one).encode() for one in (chain, samples, descent)]


@target
def runs_of_a_sweep(content: bytes) -> None:
    """A file of `refimpl sweep`."""
    with patch.object(sweep, "MOST", 1000):  # more cost time and reach no other line
        sweep.read_file(_file("sweep.toml", content))


@seeds
def runs_of_a_sweep_seeds() -> list[bytes]:
    return [
        b'[base]\ndata = "digits"\n[grid]\nmethod = ["sgld", "hr"]\n'
        b'tau = [0.01, [1.5, 0.01]]\n[[runs]]\nmethod = "sgd"\n'
    ]


def survives(name: str, content: bytes) -> bool:
    """Whether a target takes the bytes; anything but a refusal is raised."""
    with suppress(Refused):
        TARGETS[name](content)
        return True
    return False
