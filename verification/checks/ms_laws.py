"""Multilevel Metropolis with the subject's own randomness.

On a small table the law of one outer step is enumerated over everything that may
happen within it.  What is recorded tells the rest: the next record shows the outcome of
the outer decision, the present one that of the inner chain, so that each of the two has
a known law given all that came before.  Distribution functions with a uniform of the
judge's own between the jumps turn them into independent standard normals.

Without a reference and at a constant energy every move is made, and the records are
sums of the proposals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from scipy.special import ndtri

from verification import problems as P
from verification.checks._check import check
from verification.checks._laws import ERRORS, Array
from verification.checks._multiscale import (
    M1,
    NINTHS,
    ask_flat,
    ask_table,
    table_model,
    uniform_moves,
    walk,
)
from verification.checks._replay import numbered
from verification.checks._trial import Trial
from verification.checks.ms_replay import flat_walk
from verification.evidence.comparison import Finding
from verification.evidence.sequential import judge_normal
from verification.losses import Constant
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import multiscale_sampling as sampling

METROPOLIS = "Asadi and Abbe: multilevel Metropolis"

# --- records as normal scores ---------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """A law as cells of the unit interval, by state and outcome.

    `below` and `mass` are arrays; an outcome that cannot be has no mass.
    """

    below: Array
    mass: Array

    def scores(self, where: Any, rng: np.random.Generator) -> Array:
        """Independent N(0, 1) for outcomes at these indices; inf where impossible."""
        below, mass = self.below[where], self.mass[where]
        scores = ndtri(below + rng.random(mass.shape) * mass)
        return np.where(mass > 0, scores, np.inf)


def _cells(laws: Array, stay: Array) -> Cells:
    """Cells for the laws along the last axis; first of all that nothing changes.

    An error in the rate of acceptance then shifts all scores to one side.
    """
    order = np.argsort(np.logical_not(stay), axis=-1, kind="stable")
    sorted_ = np.take_along_axis(laws, order, axis=-1)
    below = np.empty_like(laws)
    np.put_along_axis(below, order, np.cumsum(sorted_, axis=-1) - sorted_, axis=-1)
    return Cells(below, laws)


@dataclass(frozen=True)
class Predicted:
    """The laws of an outer step, given what is known before.

    Attributes
    ----------
    shape : tuple of int
    inner : Cells
        Of the levels below the first as they are recorded, by state: (states, tails).
    outer : Cells
        Of the next first level, by state and recorded tail: (states, tails, n1).
    kernel : Kernel
    """

    shape: tuple[int, ...]
    inner: Cells
    outer: Cells
    kernel: sampling.Kernel

    def tail(self, states: Any) -> Any:
        """A number for all levels below the first."""
        if len(self.shape) == 1:
            return np.zeros(states.shape[:-1], dtype=int)
        levels = np.moveaxis(states[..., 1:], -1, 0)
        return np.ravel_multi_index(tuple(levels), self.shape[1:])


@cache
def predicted(p: Problem) -> Predicted:
    """Enumerate the law of an outer step on a table."""
    model = table_model(sampling.DOUBLE, p)
    kernel = sampling.kernel(model, p.more["inner_steps"])
    n1, *rest = model.shape
    tails = list(product(*map(range, rest)))
    joint = np.zeros((n1, len(tails), len(tails), n1))
    for (first, *before), law in kernel.items():
        for (seen, after), probability in law.items():
            place = (first, tails.index(tuple(before)), tails.index(seen[1:]), after[0])
            joint[place] += probability
    of_tail = joint.sum(axis=3)
    outer = joint / np.where(of_tail > 0, of_tail, 1.0)[..., None]
    same = np.broadcast_to(np.eye(len(tails), dtype=bool), of_tail.shape)
    stays = np.broadcast_to(np.eye(n1, dtype=bool)[:, None, None], outer.shape)
    return Predicted(model.shape, _cells(of_tail, same), _cells(outer, stays), kernel)


def innovations(p: Problem, records: Any, rng: np.random.Generator) -> Array:
    """Independent normals in a right subject, from records (n, T, d): (n (T-1), 2).

    Rows follow the outer steps, so that runs of one call stand side by side.
    """
    law, first = predicted(p), records[:, :, 0]
    tail = law.tail(records)
    start = np.asarray(p.more["start"])
    began = np.full_like(tail[:, :1], int(law.tail(start[None])[0]))
    before = np.concatenate([began, tail[:, :-1]], axis=1)
    at = (first[:, :-1], before[:, :-1], tail[:, :-1])
    inner = law.inner.scores(at, rng)
    outer = law.outer.scores((*at, first[:, 1:]), rng)
    inner[first[:, 0] != start[0], 0] = np.inf  # level 1 has not been decided upon yet
    return np.stack([inner, outer], axis=-1).swapaxes(0, 1).reshape(-1, 2)


@cache
def _recorded(p: Problem) -> Cells:
    """Cells of the state that the last outer step records."""
    law = predicted(p)
    states = list(law.kernel)
    mass = dict.fromkeys(states, 0.0)
    mass[tuple(int(v) for v in p.more["start"])] = 1.0
    for step in range(p.more["steps"]):
        seen, after = dict.fromkeys(states, 0.0), dict.fromkeys(states, 0.0)
        for state, weight in mass.items():
            for (record, follows), probability in law.kernel[state].items():
                seen[record] += weight * probability
                after[follows] += weight * probability
        mass = seen if step + 1 == p.more["steps"] else after
    laws = np.array([mass[state] for state in states])
    begun = np.array([np.array_equal(state, p.more["start"]) for state in states])
    return _cells(laws, begun)


# --- the checks -----------------------------------------------------------------------

MOVES_3 = (uniform_moves(3), uniform_moves(3))

#: Levels that depend on each other, and proposals that go round: what a ratio that is
#: forgotten changes is large.
BOUND = np.array([[0.5, 0.0625], [0.0625, 0.125], [0.125, 0.125]])
ROUND = (
    np.array([[0.125, 0.75, 0.125], [0.125, 0.125, 0.75], [0.75, 0.125, 0.125]]),
    np.array([[0.125, 0.875], [0.375, 0.625]]),
)


def _tables(steps: int) -> list[Problem]:
    published = {"energies": M1, "reference": NINTHS, "proposals": MOVES_3}
    return [
        walk("M1", (3, 3), (1.5, 0.5), (1,), steps, **published),
        walk("M1, cold", (3, 3), (0.3, 0.1), (3,), steps, **published),
        walk(
            "general",
            (3, 2),
            (0.375, 1),
            (2,),
            steps,
            reference=BOUND,
            proposals=ROUND,
        ),
        walk("three levels", (2, 2, 2), (1.25, 0.5, 0.25), (1, 1), steps),
    ]


RUNS = 128  # side by side: replicates are compared with those 128 before
AT_LEAST = 12_000


@check(
    "MS-T1",
    paper=METROPOLIS,
    claim="given all that was recorded before, the inner levels and the outcome of the "
    "outer decision have the exact law, step by step",
    truth="one outer step, enumerated over all proposals and decisions within it; for "
    "two levels agrees with the enumeration of inner paths",
    route="LAW",
    tolerance=ERRORS,
    level="T",
    mistakes=numbered("L", 1, 30, 34, 36, 37, 38, 39, 40, 43, 44),
    needs=("multilevel_metropolis",),
    cases=_tables(12),
)
def steps_in_turn(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    seeds, rng = t.seeds(), t.rng()

    def draw(count: int) -> Array:
        steps = 1 - -count // RUNS
        asked = replace(p, more={**p.more, "steps": steps})
        records = ask_table(w, asked, n=RUNS, seed=next(seeds))
        return innovations(p, records, rng)[:count]

    plan = replace(t.plan, budget=max(t.plan.budget, AT_LEAST))
    yield judge_normal("normal scores of records", draw, plan, at_least=AT_LEAST)


@check(
    "MS-L1",
    paper=METROPOLIS,
    claim="the state that the last of a few outer steps records has the exact law, in "
    "independent runs",
    truth="powers of the enumerated outer step",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=numbered("L", 27, 28, 29, 31, 33, 36, 43),
    needs=("multilevel_metropolis",),
    cases=_tables(4)[:3],
)
def last_records(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    seeds, rng, cells = t.seeds(), t.rng(), _recorded(p)

    def draw(count: int) -> Array:
        last = ask_table(w, p, n=count, seed=next(seeds))[:, -1]
        where = np.ravel_multi_index(tuple(last.T), p.more["energies"].shape)
        return cells.scores(where, rng)[:, None]

    plan = replace(t.plan, budget=max(t.plan.budget, AT_LEAST))
    yield judge_normal("normal scores of states", draw, plan, at_least=AT_LEAST)


FREE = (
    flat_walk(
        "constant d=3", P.CONSTANT_3, (2, 1), (1.5, 0.5), (0.75, 0.375), (2,), 12
    ),
    flat_walk(
        "constant d=4",
        Constant(0.5, 4),
        (1, 2, 1),
        (0.5, 1.25, 0.75),
        (0.25, 1.5, 0.5),
        (1, 1),
        12,
    ),
)


@check(
    "MS-L2",
    paper=METROPOLIS,
    claim="at a constant energy every move is made: recorded levels change by sums of "
    "independent normals, of the standard deviations that are given",
    truth="the number of moves of each level in an outer step",
    route="LAW",
    tolerance=ERRORS,
    level="S",
    mistakes=numbered("L", 41, 42, 43, 44),
    needs=("multilevel_metropolis_gaussian",),
    cases=FREE,
)
def free_walks(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    seeds, sizes = t.seeds(), p.more["sizes"]
    made = sampling.counts(p.more["inner_steps"])
    widths = np.repeat(np.array(p.more["scales"]) * np.sqrt(made), sizes)

    def draw(count: int) -> Array:
        steps = 1 - -count // RUNS
        asked = replace(p, more={**p.more, "steps": steps})
        records = ask_flat(w, asked, n=RUNS, seed=next(seeds))
        before = np.concatenate(
            [np.tile(p.x, (len(records), 1, 1)), records[:, :-1]], axis=1
        )
        scores = (records - before)[:, :-1] / widths
        # what a step makes of level 1 is recorded by the next
        top = slice(None, sizes[0])
        later = (records - before)[:, 1:, top] / widths[top]
        unmoved = (records[:, 0, top] == np.array(p.x)[top]).all(axis=1)
        scores[..., top] = np.where(unmoved[:, None, None], later, np.inf)
        return scores.swapaxes(0, 1).reshape(-1, sum(sizes))[:count]

    yield judge_normal("recorded moves", draw, t.plan)
