"""The loop that kills mutants, in place of pytest's own loop over its tests.

Loaded as a plugin, ``pytest -p verification.mechanical.worker``, it has what pytest
collected, runs no test by itself, and forks a child for every mutant: the mutant is
planted there and shown to its judges, until one of them complains.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from verification.errors import in_one_line
from verification.mechanical.children import Say, limited, tasks_done
from verification.mechanical.judges import Judge, Measured, checks, measured, own, tests
from verification.mechanical.mutator import Mutant, mutants, units
from verification.mechanical.planting import Planter, forget
from verification.mechanical.scopes import ROOT, Scope

CHUNK = 10
"""How many judges are measured by one child."""

SLOW = 3.0
"""Seconds beyond which a judge is asked after all others."""

SLACK = 1.0
"""Seconds that a judge may take more than ten times what it took."""


def pytest_addoption(parser: Any) -> None:
    """The plan: a file of JSON, see `verification.mechanical.campaign`."""
    parser.addoption("--plan")


def pytest_runtestloop(session: Any) -> bool:
    """Kill mutants, not time."""
    with open(session.config.getoption("--plan"), encoding="utf-8") as file:
        plan = json.load(file)
    _Work(plan, session.items).perform()
    return True


class _Work:
    """One scope's mutants and judges."""

    def __init__(self, plan: dict[str, Any], items: list[Any]) -> None:
        self._plan = plan
        self._scope = Scope(**plan["scope"])
        modules = self._scope.modules()
        self._planter = Planter(modules)
        self._judges = {j.id: j for j in self._all_judges(items)}
        self._measured = {
            name: Measured(**of)
            for name, of in plan["measured"].items()
            if name in self._judges
        }
        self._kills: Counter[tuple[str, str]] = Counter()

    def _all_judges(self, items: list[Any]) -> Iterator[Judge]:
        known = checks(self._scope.levels, self._scope.family)
        everyone = (*known, own(), *tests(items))
        yield from (
            j for j in everyone if not j.id.startswith(tuple(self._scope.without))
        )

    def perform(self) -> None:
        """Measure the judges that are not known, then judge the mutants."""
        self._measure()
        todo = [m for file in self._plan["files"] for m in _mutants_of(file)]
        done = set(self._plan["done"])
        todo = [m for m in todo if m.id not in done]
        chosen = {m: self._judges_of(m) for m in todo}
        self._warm({j for judges in chosen.values() for j in judges})
        self._say({"todo": len(todo)})
        ask = ((m, self._ordered(m, chosen[m])) for m in todo)
        for (mutant, judges), said, whole in tasks_done(
            ask, self._try, self._plan["workers"]
        ):
            self._say(self._result(mutant, judges, said, whole))

    def _say(self, what: Any) -> None:
        os.write(self._plan["pipe"], json.dumps(what).encode() + b"\n")

    # --- judges

    def _measure(self) -> None:
        unknown = [name for name in self._judges if name not in self._measured]
        chunks = [unknown[i : i + CHUNK] for i in range(0, len(unknown), CHUNK)]
        forget(self._scope.remembered)
        for names, said, _ in tasks_done(
            iter(chunks), self._measure_some, self._plan["workers"]
        ):
            for name, seconds, lines, fault in said:
                self._measured[name] = Measured(seconds, lines, fault)
                self._say({"judge": name, "measured": vars(self._measured[name])})
            for name in names[len(said) :]:
                lost = Measured(0.0, {}, "it ended its process")
                self._measured[name] = lost
                self._say({"judge": name, "measured": vars(lost)})

    def _measure_some(self, names: list[str], say: Say) -> None:
        for name in names:
            found = measured(self._judges[name], self._planter.filenames)
            say([name, found.seconds, found.lines, found.fault])

    def _judges_of(self, mutant: Mutant) -> list[str]:
        """Those that execute its lines, and have nothing against what is right."""
        unit = mutant.unit
        lines = set(mutant.lines)
        if mutant.default:
            lines = set(range(unit.node.lineno, unit.node.end_lineno + 1))
        found = []
        for name, of in self._measured.items():
            seen = of.lines.get(unit.file)
            if seen and not of.fault and (unit.constant or lines & set(seen)):
                found.append(name)
        return found

    def _ordered(self, mutant: Mutant, names: Iterable[str]) -> list[str]:
        """First the layer, then who killed the neighbours, then who is quick."""
        place = f"{mutant.unit.file}:{mutant.unit.name}"

        def key(name: str) -> tuple[bool, bool, int, float]:
            seconds = self._measured[name].seconds
            first = (self._judges[name].layer == "check") == self._scope.checks_first
            return seconds > SLOW, not first, -self._kills[place, name], seconds

        return sorted(names, key=key)

    def _warm(self, names: set[str]) -> None:
        """Let the judges compute their truths, which every child then has."""
        if self._scope.checks_first:
            for name in sorted(names):
                if self._judges[name].layer == "check":
                    self._judges[name].complains()
        forget(self._scope.remembered)
        gc.collect()
        gc.freeze()

    # --- a mutant

    def _try(self, task: tuple[Mutant, list[str]], say: Say) -> None:
        mutant, names = task
        if not self._planter.plant(mutant):
            say(["survived", "", "nothing that runs was made from it"])
            return
        spent: defaultdict[str, float] = defaultdict(float)
        for name in names:
            judge, usual = self._judges[name], self._measured[name].seconds
            if spent[judge.layer] + usual > self._plan["patience"]:
                continue
            say(["asks", name])
            limited(10 * usual + SLACK)
            start = time.process_time()
            try:
                complains = judge.complains()
            except BaseException as exc:
                say(["crash", name, in_one_line(exc)])
                return
            if complains:
                say([judge.layer, name])
                return
            spent[judge.layer] += time.process_time() - start
        say(["survived", ""])

    def _result(
        self, mutant: Mutant, judges: list[str], said: list[Any], whole: bool
    ) -> dict[str, Any]:
        by, name, *detail = said[-1] if said else ("crash", "")
        if by == "asks" or not whole:
            by = "crash"
        if name:
            self._kills[f"{mutant.unit.file}:{mutant.unit.name}", name] += 1
        return {
            "mutant": mutant.id,
            "file": mutant.unit.file,
            "operator": mutant.operator,
            "line": mutant.lines.start,
            "by": by,
            "judge": name,
            "detail": " ".join(detail),
            "judges": len(judges),
        }


def _mutants_of(file: str) -> list[Mutant]:
    text = (ROOT / file).read_text(encoding="utf-8")
    return [mutant for unit in units(file, text) for mutant in mutants(unit)]
