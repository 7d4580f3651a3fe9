"""What the replay checks share: runs with given draws, and their truths.

With the draws given an algorithm is a function.  Its truth is exact for a polynomial
loss, where nothing but rational operations and exact roots occur; else it has 40
digits, and a second algebra (`verification.truth.replay`) must confirm 30 of them.  The
tolerance is 4 B u, B the running error bound of the same replay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from verification.checks._kit import EXACT, ROUNDED, Truth, flat, norm, size
from verification.errors import NotRun
from verification.evidence.comparison import agree
from verification.losses import KINDS, LossData, from_json
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import closed_forms as cf
from verification.truth import replay
from verification.truth.carriers import MP, Rational

OTHER = MP(50)
CONFIRMED = 1e-30
POLYNOMIAL = (*cf.QUADRATIC, "quartic")

REPLAYED = "4 B u, u the unit roundoff, B the running error bound of the replay"
BY_ROUTES = "the box in exact rationals for polynomial losses, else in 40 digits, "
BY_ROUTES += "confirmed by another algebra with grad f from differences of f"

#: What a run returns, and what it went through: states or weights.
Run = tuple[Truth, Truth]
NO_SUM = "minibatches have no reading where the loss is a sum"
NO_FRESH = "one minibatch is given for an update, and a subject that declares "
NO_FRESH += "per-gradient takes one for every gradient"
NO_PATH = "a path has J + 1 states, more than J - 1 moves make"
OUTPUT, WITHIN = 0, 1


def numbered(letter: str, *numbers: int) -> tuple[str, ...]:
    """Ids of mistakes of one letter: ("S01", "S02") for 1 and 2."""
    return tuple(f"{letter}{number:02d}" for number in numbers)


def chains(w: Witness, p: Problem, draws: Any = None) -> list[Run]:
    """Output (d,) and states (J, d) of Algorithm 3 for each replicate.

    They follow the subject's reading of the box.
    """
    reading = _sgld(w.conventions)
    setting = (p.loss, p.x, p.tau, p.more["step_sizes"])
    z = draws_of_chain(w, p) if draws is None else draws
    return [_walked(*setting, _nested(r), p.more["start"], *reading) for r in z]


def draws_of_chain(w: Witness, p: Problem) -> Any:
    """The draws (n, moves, d) that the subject's reading of Algorithm 3 needs."""
    literal = w.conventions["sgld.chain"] == "literal"
    return p.more["draws"][:, :-1] if literal else p.more["draws"]


@cache
def _walked(*arguments: Any) -> Run:
    polynomial = arguments[0].kind in POLYNOMIAL
    exact = replay.langevin(Rational() if polynomial else EXACT, *arguments)
    if not polynomial:
        other = replay.displaced_langevin(OTHER, *arguments)
        confirm(exact.states, other.states)
        confirm(exact.output, other.output)
    rounded = replay.langevin(ROUNDED, *arguments)
    return (
        truth_of(exact.output, rounded.output),
        truth_of(exact.states, rounded.states),
    )


def samples(p: Problem) -> list[Run]:
    """Output (d,) and normalised weights (J,) of Algorithm 4 for each replicate."""
    return [_weighted(p.loss, p.x, p.tau, _nested(z)) for z in p.more["draws"]]


@cache
def _weighted(*arguments: Any) -> Run:
    output, weights = replay.importance(EXACT, *arguments)
    other = replay.pairwise_importance(OTHER, *arguments)
    confirm(output, other[0])
    confirm(weights, other[1])
    rounded = replay.importance(ROUNDED, *arguments)
    return truth_of(output, rounded[0]), truth_of(weights, rounded[1])


def descents(w: Witness, p: Problem, draws: Any = None) -> list[Run]:
    """Output (d,) and states (moves + 1, d) of Algorithm 5 for each replicate."""
    setting = (p.loss, p.x, p.tau, p.more["step_sizes"])
    z = draws_of_descent(w, p) if draws is None else draws
    return [_descended(*setting, _nested(rows), p.more["start"]) for rows in z]


def draws_of_descent(w: Witness, p: Problem) -> Any:
    """The draws (n, moves, M, d) that the subject's reading of Algorithm 5 needs."""
    return p.more["draws"] if makes_all_moves(w) else p.more["draws"][:, :-1]


def makes_all_moves(w: Witness) -> bool:
    """Whether the subject's Algorithm 5 makes J moves, which a path shows."""
    return w.conventions["robbins_monro.moves"] == "J"


@cache
def _descended(*arguments: Any) -> Run:
    polynomial = arguments[0].kind in POLYNOMIAL
    exact = replay.robbins_monro(Rational() if polynomial else EXACT, *arguments)
    if not polynomial:
        other = replay.displaced_robbins_monro(OTHER, *arguments)
        confirm(exact.states, other.states)
    rounded = replay.robbins_monro(ROUNDED, *arguments)
    return (
        truth_of(exact.output, rounded.output),
        truth_of(exact.states, rounded.states),
    )


def training(w: Witness, p: Problem) -> list[Truth]:
    """The iterates x_0, x_1, ..., x_K of a whole run, as the subject reads it."""
    return _trained(p, _sgld(w.conventions), makes_all_moves(w))


@cache
def _trained(p: Problem, sgld: tuple[str, str], all_moves: bool) -> list[Truth]:
    method, record, batches = (p.more[k] for k in ("method", "record", "batches"))
    draws = _of_updates(p, sgld[0], all_moves).tolist()
    rows = None if batches is None else batches.tolist()
    setting = (p.loss, p.x, method, record, draws, rows, *sgld)
    rational = p.loss.kind in POLYNOMIAL and method != "importance"
    exact = replay.train(Rational() if rational else EXACT, *setting)
    if not rational:
        confirm(exact, replay.train(OTHER, *setting, second=True))
    rounded = replay.train(ROUNDED, *setting)
    return [truth_of(x, x_rounded) for x, x_rounded in zip(exact, rounded, strict=True)]


def _sgld(reading: Mapping[str, str]) -> tuple[str, str]:
    return reading["sgld.chain"], reading["sgld.output"]


def _of_updates(p: Problem, chain: str, all_moves: bool) -> Any:
    """The draws (K, ...) of all updates, without a last move that is not made."""
    fewer = {"sgld": chain == "literal", "robbins_monro": not all_moves}
    draws = p.more["draws"]
    return draws[:, :-1] if fewer.get(p.more["method"]) else draws


def truth_of(value: Any, rounded: Any) -> Truth:
    """A value with the running error bound of the same replay.

    At least one rounding of the result is granted, also where the replay needs none.
    """
    return Truth(value, norm(entry.err for entry in flat(rounded)) + size(value))


def confirm(first: Any, second: Any) -> None:
    """Two routes to one truth agree.

    Raises
    ------
    ArithmeticError
        If they do not: then there is no truth to judge by.
    """
    finding = agree("two routes", first, second, CONFIRMED * (1 + size(first)))
    if not finding.ok:
        raise ArithmeticError(f"two replays differ by {finding.error:.3g}")


def joined(runs: list[Run], part: int) -> Truth:
    """One part of n runs as one truth with n rows."""
    truths = [run[part] for run in runs]
    return Truth([t.value for t in truths], norm(t.scale for t in truths))


def _nested(array: Any) -> Any:
    """An array as nested tuples, which can be remembered."""
    return tuple(map(_nested, array)) if np.ndim(array) else float(array)


# --- asking ---------------------------------------------------------------------------


def ask_chain(w: Witness, method: str, p: Problem, draws: Any = None) -> Any:
    """`sgld_mean` or `sgld_trace` with the problem's draws, or with others."""
    z = draws_of_chain(w, p) if draws is None else draws
    setting = (p.loss, p.x, p.tau, p.more["step_sizes"])
    return _ask(getattr(w, method), setting, z, start=p.more["start"])


def ask_samples(w: Witness, method: str, p: Problem) -> Any:
    """`importance_mean` or `importance_weights`, shared by the problem's workers."""
    setting = (p.loss, p.x, p.tau, p.more["samples"])
    shared = p.more["workers"] if p.more["workers"] > 1 else None
    return _ask(getattr(w, method), setting, p.more["draws"], workers=shared)


def ask_descent(w: Witness, method: str, p: Problem, draws: Any = None) -> Any:
    """`robbins_monro` or its trace with the problem's draws, or with others."""
    z = draws_of_descent(w, p) if draws is None else draws
    setting = (p.loss, p.x, p.tau, p.more["step_sizes"], p.more["inner_samples"])
    return _ask(getattr(w, method), setting, z, start=p.more["start"])


def ask_training(w: Witness, p: Problem) -> Any:
    """`train` with the problem's draws and minibatches.

    Raises
    ------
    NotRun
        If minibatches are given to a subject that declares sums over examples: the
        paper does not say what a sum over some of them would be.  Or to one that
        declares a minibatch for every gradient: those given are one for an update.
    """
    method, record, batches = (p.more[k] for k in ("method", "record", "batches"))
    chosen = {}
    if batches is not None:
        if w.conventions["minibatch"] == "per-gradient":
            raise NotRun(NO_FRESH)
        if w.conventions["loss.reduction"] == "sum":
            raise NotRun(NO_SUM)
        chosen["batches"] = batches
    chain, _ = _sgld(w.conventions)
    draws = list(_of_updates(p, chain, makes_all_moves(w)))
    return w.train(p.loss, p.x, method, record, draws=draws, **chosen)


def unit_draws(*shape: int) -> Any:
    """Zero draws of this shape, and then one replicate for each draw that is 1."""
    count = math.prod(shape)
    return np.vstack([np.zeros(count), np.eye(count)]).reshape(-1, *shape)


def _ask(method: Callable[..., Any], setting: Any, draws: Any, **keywords: Any) -> Any:
    """Only the keywords that say something reach the subject."""
    said = {name: value for name, value in keywords.items() if value is not None}
    if len(draws) > 1:
        said["n"] = len(draws)
    return method(*setting, draws=draws, **said)


# --- isometries -----------------------------------------------------------------------


@dataclass(frozen=True)
class Isometry:
    """y -> Q y + t: an orthogonal matrix and a shift, both of rational numbers."""

    turn: tuple[tuple[Fraction, ...], ...]
    shift: tuple[Fraction, ...]

    def __call__(self, points: Any) -> Any:
        """The images of points (..., d), exactly."""
        return self.turned(points) + np.array(self.shift)

    def turned(self, directions: Any) -> Any:
        """The images of directions (..., d), exactly."""
        return fractions(directions) @ np.array(self.turn).T

    def of_matrices(self, matrices: Any) -> Any:
        """Q S Q^T for matrices S of shape (..., d, d), exactly."""
        return np.array(self.turn) @ self.turned(matrices)


def isometry(turn: Any, shift: Any) -> Isometry:
    """An isometry of given numbers.

    Raises
    ------
    ValueError
        If the matrix is not orthogonal.
    """
    Q = fractions(turn)
    if (np.eye(len(Q), dtype=int) != Q @ Q.T).any():
        raise ValueError(f"not orthogonal: {turn}")
    return Isometry(tuple(map(tuple, Q)), tuple(fractions(shift)))


def carried(move: Isometry, p: Problem) -> Problem:
    """The same problem in the coordinates Q y + t: loss, centre, start and draws.

    Raises
    ------
    ValueError
        If a number of it cannot be represented in single precision.
    """
    more = dict(p.more)
    more["draws"] = _floats(move.turned(more["draws"]))
    if more.get("start") is not None:
        more["start"] = tuple(_floats(move(more["start"])).tolist())
    x = tuple(_floats(move(p.x)).tolist())
    return Problem(p.label, _carried_loss(move, p.loss), x, p.tau, more)


def _carried_loss(move: Isometry, loss: Any) -> LossData:
    fields = {k: v for k, v in loss.to_json().items() if k != "kind"}
    for name in ("m", "means"):
        if name in fields:
            fields[name] = move(fields[name])
    for name in ("H", "covariances"):
        if name in fields:
            fields[name] = move.of_matrices(fields[name])
    for name, offset in (("A", "b"), ("frequency", "phase")):
        if name in fields:
            fields[name] = move.turned(fields[name])
            sign = 1 if name == "A" else -1
            drop = fields[name] @ np.array(move.shift)
            fields[offset] = fractions(fields[offset]) + sign * drop
    return KINDS[loss.kind](**{k: _floats(v) for k, v in fields.items()})


def fractions(values: Any) -> Any:
    """Floats as an array of Fractions, exactly."""
    array = np.array(values, dtype=object)
    return np.array([Fraction(v) for v in array.flat]).reshape(array.shape)


def _floats(values: Any) -> Any:
    """An array of Fractions as floats, if single precision can hold them."""
    exact = fractions(values)
    floats = exact.astype(np.float32).astype(np.float64)
    if (fractions(floats) != exact).any():
        raise ValueError("single precision cannot hold the moved problem")
    return floats


def _plane(d: int, i: int, j: int) -> list[list[Fraction]]:
    """The rotation by 3-4-5 in the plane of two axes; other axes are reflected."""
    Q = [[Fraction(-(a == b)) for b in range(d)] for a in range(d)]
    Q[i][i] = Q[j][j] = Fraction(3, 5)
    Q[i][j], Q[j][i] = Fraction(-4, 5), Fraction(4, 5)
    return Q


STAY_2 = isometry(np.eye(2, dtype=int), (0, 0))
SHIFT_2 = isometry(np.eye(2, dtype=int), (2.0, -0.5))
SWAP_2 = isometry([[0, 1], [-1, 0]], (0, 0))
CYCLE_3 = isometry([[0, 0, -1], [1, 0, 0], [0, 1, 0]], (0.25, -1.5, 0.75))
ROTATION_2 = isometry(_plane(2, 0, 1), (0, 0))
ROTATION_3 = isometry(_plane(3, 0, 2), (1.25, -0.5, 0.75))


def moved(p: Problem, name: str, move: Isometry) -> Problem:
    """A case: a problem and, under "changed", itself in other coordinates."""
    more = {**p.more, "changed": carried(move, p), "move": move}
    return Problem(f"{p.label}, {name}", p.loss, p.x, p.tau, more)


def raised(p: Problem, rise: float) -> Problem:
    """A case: a problem in two dimensions and, under "changed", with f + rise."""
    data = p.loss.to_json()
    lifted = from_json({**data, "c": data["c"] + rise})
    changed = Problem(p.label, lifted, p.x, p.tau, p.more)
    more = {**p.more, "changed": changed, "move": STAY_2}
    return Problem(f"{p.label}, f {rise:+g}", p.loss, p.x, p.tau, more)


def by_fives(p: Problem) -> Problem:
    """A problem in which every number can be turned by 3-4-5: lengths times 5/4."""
    data = p.loss.to_json()
    for name in ("m", "means", "A"):
        if name in data:
            data[name] = (np.array(data[name]) * 1.25).tolist()
    for name in ("H", "covariances"):
        if name in data:
            data[name] = (np.array(data[name]) * 1.5625).tolist()
    more = {**p.more, "draws": p.more["draws"] * 1.25}
    if more.get("start") is not None:
        more["start"] = tuple(1.25 * v for v in more["start"])
    x = tuple(1.25 * v for v in p.x)
    return Problem(p.label, from_json(data), x, p.tau, more)
