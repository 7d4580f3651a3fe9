"""Every mechanical mutant of a scope against its judges, in a process of its own.

That process runs pytest with `verification.mechanical.worker` in the place of its loop,
without the compiler, since a mutant is planted in code that Python executes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from verification.errors import OracleFault, UsageError
from verification.false_alarms import THREADS
from verification.mechanical.mutator import Mutant, mutants, units
from verification.mechanical.scopes import ROOT, Scope
from verification.mechanical.survivors import Known, known

__all__ = ["LAYERS", "Campaign", "Result", "campaign", "made"]

LAYERS = ("check", "self-check", "test", "crash")
"""Who may kill a mutant; a crash is one of the judging process, or a time limit."""

ENVIRONMENT = {"CI": "1", "NUMBA_DISABLE_JIT": "1", **dict.fromkeys(THREADS, "1")}
"""Examples that are the same each time, code in which a mutant can be planted, and no
threads, which a fork would lose."""

Progress = Callable[["Result", int, int], None]


@dataclass(frozen=True)
class Result:
    """What became of a mutant.

    Attributes
    ----------
    mutant, file : str
    by : str
        One of `LAYERS`, or "survived".
    judge : str
        Who killed it.
    """

    mutant: str
    file: str
    by: str
    judge: str = ""

    @property
    def killed(self) -> bool:
        """Whether anybody complained."""
        return self.by in LAYERS


@dataclass
class Campaign:
    """All mutants of some files, and what became of them.

    Attributes
    ----------
    scope : Scope
    files : list of str
    known : Known
        The survivors file.
    names : dict of str to str
        The mutants made, and the file of each.
    results : dict of str to Result
        Of those that no rule leaves out.
    lame : dict of str to str
        Judges that complain of what is right, and how.
    """

    scope: Scope
    files: list[str]
    known: Known
    names: dict[str, str]
    results: dict[str, Result] = field(default_factory=dict)
    lame: dict[str, str] = field(default_factory=dict)

    @property
    def left_out(self) -> list[str]:
        """Mutants that fall under a rule."""
        return [name for name in self.names if self.known.rule_of(name)]

    @property
    def survivors(self) -> list[str]:
        """Mutants that nobody caught, in the order in which they were made."""
        found = self.results
        return [n for n in self.names if n in found and not found[n].killed]

    @property
    def unclassified(self) -> list[str]:
        """Survivors without a reason."""
        return [name for name in self.survivors if name not in self.known.survivors]

    @property
    def stale(self) -> list[str]:
        """Entries of the survivors file that are no survivors, in these files."""
        mine = [n for n in self.known.survivors if n.partition(":")[0] in self.files]
        survivors = set(self.survivors)
        return [name for name in mine if name not in survivors]

    @property
    def ok(self) -> bool:
        """Every survivor has its reason, every reason its survivor."""
        return not (self.unclassified or self.stale or self.lame)

    def counts(self, file: str) -> Counter[str]:
        """How many mutants of a file were made, left out, killed by whom, ..."""
        mine = [name for name, of in self.names.items() if of == file]
        counts = Counter(self.results[n].by for n in mine if n in self.results)
        counts["made"] = len(mine)
        counts["left out"] = sum(bool(self.known.rule_of(name)) for name in mine)
        counts["unclassified"] = sum(n in mine for n in self.unclassified)
        return counts


def made(file: str) -> list[Mutant]:
    """The mutants of a file below the root, in the order of its text."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return [mutant for unit in units(file, text) for mutant in mutants(unit)]


def campaign(
    scope: Scope,
    only: Iterable[str] = (),
    progress: Progress | None = None,
    kept: Path | None = None,
    *,
    patience: float = 60.0,
    workers: int | None = None,
    reasons: Known | None = None,
) -> Campaign:
    """Judge the mutants of a scope.

    Parameters
    ----------
    scope : Scope
    only : iterable of str
        Files of it, by path or the end of one; all by default.
    progress : callable, optional
        Called with each result, how many there are and how many there will be.
    kept : Path, optional
        A file to which every result adds a line; what it holds and is still true, of
        the same text and the same judges, is not done again.
    patience : float
        Seconds of processor time for one mutant in each layer of judges; one that
        would take it beyond, by what it took before, is not asked.
    workers : int, optional
        Mutants judged at once; by default one for each processor.
    reasons : Known, optional
        The survivors file.

    Raises
    ------
    UsageError
        If there is no such file, no source tree, or no way to fork.
    OracleFault
        If the process ends before its time.
    """
    if not hasattr(os, "fork") or not (ROOT / "tests").is_dir():
        raise UsageError("mechanical mutants need the source tree, and POSIX")
    files = _chosen(scope, only)
    names = {mutant.id: file for file in files for mutant in made(file)}
    whole = Campaign(scope, files, reasons or known(), names)
    memory = _Memory(kept, scope)
    left_out = whole.left_out
    whole.results = {
        name: memory.results[name]
        for name in names
        if name in memory.results and name not in left_out
    }
    done = [*whole.results, *left_out]
    plan = {
        "scope": asdict(scope),
        "files": files,
        "done": done,
        "measured": memory.measured,
        "patience": patience,
        "workers": workers or os.cpu_count() or 1,
    }
    whole.lame = {j: m["fault"] for j, m in memory.measured.items() if m["fault"]}
    if len(done) < len(names):
        _work(plan, whole, memory, progress)
    return whole


def _chosen(scope: Scope, only: Iterable[str]) -> list[str]:
    files = list(scope.modules())
    chosen: list[str] = []
    for word in only:
        matching = [f for f in files if f == word or f.endswith(f"/{word}")]
        if not matching:
            raise UsageError(f"no file of this scope is {word!r}: {', '.join(files)}")
        chosen += matching
    return chosen or files


def _work(
    plan: dict[str, Any], whole: Campaign, memory: _Memory, progress: Progress | None
) -> None:
    left = len(whole.names) - len(plan["done"])
    done = 0
    for told in _told(plan):
        memory.add(told)
        if "judge" in told and "measured" in told:
            if fault := told["measured"]["fault"]:
                whole.lame[told["judge"]] = fault
        elif "mutant" in told:
            result = _result(told)
            whole.results[result.mutant] = result
            done += 1
            if progress is not None:
                progress(result, done, left)


def _told(plan: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """What the worker says, line by line, until it ends."""
    with tempfile.TemporaryDirectory() as folder:
        read, write = os.pipe()
        place, output = Path(folder, "plan.json"), Path(folder, "output.txt")
        place.write_text(json.dumps({**plan, "pipe": write}), encoding="utf-8")
        words = [sys.executable, "-m", "pytest", "-p", "verification.mechanical.worker"]
        words += ["-p", "no:cacheprovider", "-n", "0", "-s", "-q", "--plan", str(place)]
        with output.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [*words, *plan["scope"]["tests"]],
                cwd=ROOT,
                env={**os.environ, **ENVIRONMENT},
                pass_fds=[write],
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        os.close(write)
        try:
            with os.fdopen(read, encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)
            if process.wait():
                tail = output.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise OracleFault(f"the judging process failed:\n{tail}")
        finally:
            process.terminate()
            process.wait()


def _result(told: dict[str, Any]) -> Result:
    return Result(told["mutant"], told["file"], told["by"], told["judge"])


# --- what is kept ---------------------------------------------------------------------


class _Memory:
    """A file of results, of which those count whose sources are what they were.

    A measured judge counts while neither the scope's files nor its own changed; a kill
    while neither the mutant's file nor the killer's did; a survivor while no judge did.
    """

    def __init__(self, path: Path | None, scope: Scope) -> None:
        self._path, self._scope = path, scope
        self.measured: dict[str, Any] = {}
        self.results: dict[str, Result] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            told = json.loads(line)
            now = told["digest"] == self._digest(told)
        except (ValueError, TypeError, KeyError, OSError):
            return  # cut off, or of a file that is gone
        if not now:
            return
        if "measured" in told:
            self.measured[told["judge"]] = told["measured"]
        elif "mutant" in told:
            self.results[told["mutant"]] = _result(told)

    def add(self, told: dict[str, Any]) -> None:
        """Keep what the worker says."""
        if self._path is not None and ("measured" in told or "mutant" in told):
            line = json.dumps({**told, "digest": self._digest(told)})
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    def _digest(self, told: dict[str, Any]) -> str:
        judge = self._source(told["judge"])
        if "measured" in told:
            return _digest((*self._scope.modules(), *judge))
        if told["by"] == "survived":
            judge = ("verification/checks", *self._scope.tests)
        return _digest((told["file"], *judge))

    def _source(self, judge: str) -> tuple[str, ...]:
        """Where a judge is written."""
        file, test, _ = judge.partition("::")
        return (file,) if test else ("verification/checks",)


@cache
def _digest(names: tuple[str, ...]) -> str:
    """Of the texts of files and folders below the root."""
    total = sha256()
    for name in names:
        path = ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            total.update(file.read_bytes())
    return total.hexdigest()[:16]
