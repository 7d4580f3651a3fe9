"""Algorithms 3, 4 and 5 with their draws given, in any numbers.

Written from the boxes, one chain at a time, in the plainest way: over fractions the
answers are exact for polynomial losses, over mpmath they have as many digits as asked,
and over running errors they bound what a correct implementation may lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth.carriers import Carrier, Number, Rational

Vector = list[Number]


@dataclass(frozen=True)
class Chain:
    """What a run returns: its output (d,), its last state (d,), its states."""

    output: Vector
    last: Vector
    states: list[Vector]


def root(ctx: Carrier, value: Any) -> Number:
    """Return the square root, exactly over fractions.

    Raises
    ------
    ValueError
        If it is not rational and the carrier is.
    """
    if not isinstance(ctx, Rational):
        return ctx.sqrt(ctx.number(value))
    exact = Fraction(value)
    parts = isqrt(exact.numerator), isqrt(exact.denominator)
    if Fraction(parts[0] ** 2, parts[1] ** 2) != exact:
        raise ValueError(f"{value} has no rational square root")
    return Fraction(*parts)


def langevin(
    ctx: Carrier,
    loss: Any,
    x: Sequence[Any],
    tau: Any,
    epsilon: Sequence[Any],
    draws: Sequence[Sequence[Any]],
    start: Sequence[Any] | None = None,
    chain: str = "literal",
) -> Chain:
    """Algorithm 3.  `draws` are J−1 rows of normals, J for "new-states"."""
    centre, t = la.vector(ctx, x), ctx.number(tau)
    steps = [ctx.number(e) for e in epsilon]
    y = centre if start is None else la.vector(ctx, start)
    states = [y] if chain == "literal" else []
    moves = len(steps) - 1 if chain == "literal" else len(steps)
    if len(draws) != moves:
        raise ValueError(f"{chain} needs {moves} rows of draws, got {len(draws)}")
    for j, z in enumerate(draws):
        slope = cf.gradient(ctx, loss, y)
        pull = [(c - v) / t for c, v in zip(centre, y, strict=True)]
        drift = la.subtract(slope, pull)
        kick = la.scale(root(ctx, epsilon[j]), la.vector(ctx, z))
        y = la.add(la.subtract(y, la.scale(steps[j] / 2, drift)), kick)
        states.append(y)
    total = ctx.sum(steps)
    columns = la.transpose(states)
    return Chain([ctx.dot(steps, c) / total for c in columns], y, states)


def importance(
    ctx: Carrier,
    loss: Any,
    x: Sequence[Any],
    tau: Any,
    draws: Sequence[Sequence[Any]],
) -> tuple[Vector, Vector]:
    """Algorithm 4: the output and the normalised weights."""
    centre, sd = la.vector(ctx, x), root(ctx, tau)
    samples = [la.add(centre, la.scale(sd, la.vector(ctx, z))) for z in draws]
    logs = [-cf.value(ctx, loss, y) for y in samples]
    top = ctx.maximum(logs)
    weights = [ctx.exp(log - top) for log in logs]
    total = ctx.sum(weights)
    columns = la.transpose(samples)
    output = [ctx.dot(weights, c) / total for c in columns]
    return output, [w / total for w in weights]


def robbins_monro(
    ctx: Carrier,
    loss: Any,
    x: Sequence[Any],
    tau: Any,
    a: Sequence[Any],
    draws: Sequence[Sequence[Sequence[Any]]],
    start: Sequence[Any] | None = None,
) -> Chain:
    """Algorithm 5.  `draws` hold M rows of normals for each move made."""
    centre, t, sd = la.vector(ctx, x), ctx.number(tau), root(ctx, tau)
    y = centre if start is None else la.vector(ctx, start)
    states = [y]
    for step, rows in zip(a, draws, strict=False):
        points = [la.add(y, la.scale(sd, la.vector(ctx, z))) for z in rows]
        slopes = [cf.gradient(ctx, loss, point) for point in points]
        mean = [ctx.sum(column) / len(rows) for column in la.transpose(slopes)]
        h = la.add(la.subtract(y, centre), la.scale(t, mean))
        y = la.subtract(y, la.scale(ctx.number(step), h))
        states.append(y)
    return Chain(y, y, states)
