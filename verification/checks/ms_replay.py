"""Multilevel Metropolis with its draws given: what is recorded is a function of them.

The uniforms are designed: whatever a run decides on, its uniform lies a thirty-second
above or below the log of the right odds, so that odds which are off by more decide
otherwise, and nothing depends on rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import ROUNDED, Truth, norm, size
from verification.checks._multiscale import (
    M1,
    NINTHS,
    REPLAYED,
    Replay,
    ask_flat,
    ask_table,
    energies,
    flat_replays,
    table_replays,
    uniform_moves,
    walk,
)
from verification.checks._replay import numbered
from verification.evidence.comparison import Finding, agree, differs
from verification.losses import Constant
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import multiscale_sampling as sampling

METROPOLIS = "Asadi and Abbe: multilevel Metropolis"
STEPS = 40  # outer ones
COLD = 2.0**-18  # on energies that differ by as little
FEWER = 16  # where every energy is a formula in many digits


def _records(w: Witness, p: Problem) -> Iterator[Finding]:
    runs = table_replays(p)
    draws = np.stack([run.uniforms for run in runs])
    found = ask_table(w, p, draws=draws, n=len(runs))
    for r, run in enumerate(runs):
        yield agree(f"states recorded in run {r}", found[r], run.records, 0.0)


M1_MOVES = (uniform_moves(3), uniform_moves(3))
PUBLISHED = tuple(
    walk(
        "M1",
        (3, 3),
        hot,
        (inner,),
        STEPS,
        energies=M1,
        reference=NINTHS,
        proposals=M1_MOVES,
    )
    for hot, inner in (((1.5, 0.5), 5), ((0.3, 0.1), 10), ((0.25, 0.5), 3))
)


@check(
    "MS-R1",
    paper=METROPOLIS,
    claim="two levels, a flat reference, symmetric proposals: the published algorithm, "
    "recorded before the outer decision",
    truth="general recursion in 30 digits, confirmed by the published loops",
    route="ID",
    tolerance=REPLAYED,
    level="R",
    mistakes=numbered("L", 1, 6, 27, 28, 29, 30, 34, 35, 36, 37, 38, 39),
    needs=("multilevel_metropolis",),
    cases=PUBLISHED,
)
def published_runs(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _records(w, p)


@check(
    "MS-R2",
    paper=f"{METROPOLIS}, any number of levels",
    claim="one to four levels, any reference and any proposals: the ratios of both "
    "enter every decision, that of the reference every average",
    truth="general recursion in 30 digits, for two levels confirmed by the published "
    "loops; for more, with means over P*, by the ratios of partition functions",
    route="ID",
    tolerance=REPLAYED,
    level="R",
    mistakes=numbered("L", 3, 4, 6, 27, 28, 29, 31, 32, 33, 36, 37, 40),
    needs=("multilevel_metropolis",),
    cases=(
        walk("one", (5,), (0.75,), (), STEPS),
        walk("two", (3, 4), (1.25, 0.5), (4,), STEPS),
        walk("two, fine level hot", (4, 3), (0.375, 1.5), (3,), STEPS),
        walk(
            "two, cold",
            (3, 4),
            (3 * COLD, COLD),
            (6,),
            STEPS,
            energies=0.5 + COLD * energies("two, cold", (3, 4)),
        ),
        walk("three", (3, 2, 3), (1.5, 0.625, 0.25), (2, 3), STEPS),
        walk("three, of one value", (2, 1, 3), (0.5, 1.75, 0.75), (2, 2), STEPS),
        walk("four", (2, 3, 2, 3), (0.75, 1.5, 0.375, 0.5), (2, 1, 2), STEPS // 2),
    ),
)
def general_runs(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _records(w, p)


def flat_walk(
    label: str,
    loss: Any,
    sizes: tuple[int, ...],
    temperatures: Any,
    scales: Any,
    inner_steps: tuple[int, ...],
    steps: int = FEWER,
) -> Problem:
    """A run without a reference."""
    plain = P.at(label, loss, 1.0)
    hot = ", ".join(f"{v:g}" for v in temperatures)
    said = f"{label}, sizes {list(sizes)}, lambda = {hot}, T' = {list(inner_steps)}"
    more = {
        "sizes": sizes,
        "temperatures": tuple(temperatures),
        "scales": tuple(scales),
        "inner_steps": inner_steps,
        "steps": steps,
    }
    return Problem(said, loss, plain.x, 0.5, more)


@cache
def _positions(p: Problem, run: Replay) -> Truth:
    """The positions of a run: exact sums of moves, and what their rounding may be.

    The moves that were made are known: no energy is needed again.
    """
    rows, errors = [], []
    levels, scales = p.more["temperatures"], p.more["scales"]
    model = sampling.Flat(ROUNDED, Constant(0.0, p.d), levels, scales)
    cuts = np.cumsum(p.more["sizes"])[:-1]
    start = [tuple(part) for part in np.split(np.array(p.x), cuts)]
    lifted = [tuple(map(ROUNDED.number, level)) for level in start]
    given = sampling.Decided(iter(run.decisions), iter(run.normals.ravel().tolist()))
    rounded = sampling.replayed(
        model, p.more["inner_steps"], lifted, given, p.more["steps"]
    )
    for state, of in zip(run.records, rounded, strict=True):
        rows.append([v for level in state for v in level])
        errors += [v.err for level in of for v in level]
    return Truth(rows, norm(errors) + size(rows))


@check(
    "MS-R3",
    paper=METROPOLIS,
    claim="normal proposals of a given standard deviation for each level, at once for "
    "all its coordinates, and no reference",
    truth="the same recursion; positions are sums of the moves that were made",
    route="ID",
    tolerance="4 B u, u the unit roundoff, B the running error bound of the "
    "positions; " + REPLAYED,
    level="R",
    mistakes=numbered("L", 27, 28, 29, 34, 37, 40, 41, 42),
    needs=("multilevel_metropolis_gaussian",),
    cases=(
        flat_walk(
            "quadratic d=2", P.QUADRATIC_2, (1, 1), (1.5, 0.5), (0.75, 0.375), (4,)
        ),
        flat_walk(
            "indefinite d=3", P.INDEFINITE_3, (2, 1), (0.75, 0.25), (0.5, 0.625), (3,)
        ),
        flat_walk(
            "quartic d=2", P.QUARTIC_2, (1, 1), (0.375, 1.25), (0.25, 0.75), (5,)
        ),
        flat_walk("waves d=2", P.WAVES_2, (2,), (0.5,), (0.625,), ()),
        flat_walk(
            "quadratic d=5",
            P.QUADRATIC_5,
            (2, 1, 2),
            (1.5, 0.75, 0.5),
            (0.5, 0.75, 0.25),
            (2, 2),
        ),
        flat_walk(
            "published temperatures",
            P.STIFF_2,
            (1, 1),
            (3 * 2.0**-20, 2.0**-20),
            (2.0**-10, 2.0**-11),
            (10,),
        ),
    ),
)
def normal_runs(w: Witness, p: Problem) -> Iterator[Finding]:
    runs = flat_replays(p)
    draws = np.stack([run.normals for run in runs])
    uniforms = np.stack([run.uniforms for run in runs])
    found = ask_flat(w, p, draws=draws, uniforms=uniforms, n=len(runs))
    for r, run in enumerate(runs):
        truth = _positions(p, run)
        what = f"positions recorded in run {r}"
        yield agree(what, found[r], truth.value, truth.tolerance(w))


TABLE, FLAT = (
    walk("seeds", (3, 4), (1.25, 0.5), (3,), 12),
    flat_walk("seeds", P.QUADRATIC_2, (1, 1), (1.5, 0.5), (0.75, 0.375), (3,), 12),
)


@check(
    "MS-M",
    paper="none: the protocol",
    claim="the same seed gives the same records, other seeds give others, and no seed "
    "others at each call",
    truth="the subject's own first answer",
    route="MET",
    tolerance="none: the same bits; apart by the whole, which right runs of so many "
    "steps miss with probability below 1e-9",
    level="R",
    mistakes=("L45",),
    any_of=("multilevel_metropolis", "multilevel_metropolis_gaussian"),
    cases=(TABLE, FLAT),
)
def manners(w: Witness, p: Problem) -> Iterator[Finding]:
    ask = ask_table if p.loss is None else ask_flat
    n = 8
    first, again = (ask(w, p, n=n, seed=71) for _ in range(2))
    yield agree("the same seed again", again, first, 0.0)
    yield differs("another seed", ask(w, p, n=n, seed=72), first, 0.5)
    fresh, other = (ask(w, p, n=n) for _ in range(2))
    yield differs("no seed, twice", other, fresh, 0.5)
    yield differs("no seed, and a seed", fresh, first, 0.5)
