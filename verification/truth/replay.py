"""Algorithms 3, 4 and 5 with their draws given, in any numbers.

Written from the boxes, one chain at a time, in the plainest way: over fractions the
answers are exact for polynomial losses, over mpmath they have as many digits as asked,
and over running errors they bound what a correct implementation may lose.

Two more routes to the same numbers.  On a quadratic the output is an affine function of
the draws, and the adjoint recursion gives its coefficients without running a chain.
For every other loss a second algebra, with grad f from differences of f.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth.algebra import Matrix, Vector
from verification.truth.carriers import MP, Carrier, Number, Rational


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
    output: str = "weighted-mean",
) -> Chain:
    """Algorithm 3.  `draws` are J−1 rows of normals, J for "new-states".

    `chain` and `output` are readings of the box: which states are averaged, and
    whether with weights ε_j or, for "exponential-average:RATE", as in `averaged`.
    """
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
    return Chain(averaged(ctx, steps, states, output), y, states)


def averaged(ctx: Carrier, steps: Vector, states: list[Vector], output: str) -> Vector:
    """Return Σ ε_j y_j / Σ ε_j, or the last a of a ← (1−rate) a + rate y_j, a = y_1."""
    if output == "weighted-mean":
        total = ctx.sum(steps)
        return [ctx.dot(steps, column) / total for column in la.transpose(states)]
    fresh = _rate(ctx, output)
    mean = states[0]
    for y in states[1:]:
        mean = la.add(la.scale(1 - fresh, mean), la.scale(fresh, y))
    return mean


def _rate(ctx: Carrier, output: str) -> Number:
    return ctx.number(float(output.partition(":")[2]))


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


# --- whole runs -----------------------------------------------------------------------


def train(
    ctx: Carrier,
    loss: Any,
    x0: Sequence[Any],
    method: str,
    record: Mapping[str, Any],
    draws: Sequence[Any],
    batches: Sequence[Sequence[int]] | None = None,
    chain: str = "literal",
    output: str = "weighted-mean",
    second: bool = False,
) -> list[Vector]:
    """K weight updates by one of the three algorithms: x_0, x_1, …, x_K.

    Parameters
    ----------
    method : {"sgld", "importance", "robbins_monro"}
    record : mapping
        "tau", one variance for each update; "step_sizes" unless by importance
        sampling; "start" of the chains.
    draws : sequence of K arrays
        What the algorithm needs for each update.
    batches : sequence of K sequences of rows, optional
        The examples over which f is the mean at each update; all of them by default.
    second : bool
        By the second algebra, which needs `MP` numbers.
    """
    sampled = pairwise_importance if second else importance
    descended = displaced_robbins_monro if second else robbins_monro
    walked = displaced_langevin if second else langevin
    path: list[Vector] = [la.vector(ctx, x0)]
    last: Vector | None = None
    for k, (tau, z) in enumerate(zip(record["tau"], draws, strict=True)):
        x, f = path[-1], loss if batches is None else loss.subset(batches[k])
        if method == "importance":
            path.append(sampled(ctx, f, x, tau, z)[0])
            continue
        steps = record["step_sizes"]
        if method == "robbins_monro":
            path.append(descended(ctx, f, x, tau, steps, z).output)
            continue
        start = last if record["start"] == "previous" else None
        run = walked(ctx, f, x, tau, steps, z, start, chain, output)
        path.append(run.output)
        last = run.last
    return path


# --- on quadratics: an affine function of the draws -----------------------------------


@dataclass(frozen=True)
class Response:
    """An output that is affine in its draws.

    Attributes
    ----------
    mean : list, shape (d,)
        The output when all draws are zero.
    slopes : list of matrices, shape (moves, d, d)
        What the output gains from each entry of the draws of each move: column i of
        a matrix belongs to coordinate i.
    """

    mean: Vector
    slopes: list[Matrix]


def langevin_response(
    ctx: Carrier,
    loss: Any,
    x: Sequence[Any],
    tau: Any,
    epsilon: Sequence[Any],
    start: Sequence[Any] | None = None,
    chain: str = "literal",
    output: str = "weighted-mean",
) -> Response:
    """Algorithm 3 on a quadratic loss, by the adjoint recursion.

    A move is y ← M_j y + (ε_j/2) b + √ε_j z with M_j = I − (ε_j/2) B, B = H + I/τ,
    b = x/τ − ∇f(0).  Backwards from the weights w of the states in the output,

        C_J = w_J I,   C_j = w_j I + C_{j+1} M_j,

    is what a unit of state j contributes to the output; all of them commute.
    """
    centre, t, steps = la.vector(ctx, x), ctx.number(tau), la.vector(ctx, epsilon)
    H, slope = _curvature_and_slope(ctx, loss, len(centre))
    B = la.matrix_add(H, la.identity(ctx, len(centre), 1 / t))
    b = la.subtract(la.scale(1 / t, centre), slope)
    weights = state_weights(ctx, steps, output)
    if chain == "new-states":  # the start is a state too, which nobody averages
        weights, steps = [ctx.number(0), *weights], [*steps, ctx.number(0)]
    C = la.identity(ctx, len(centre), weights[-1])
    drifts, slopes = [], []
    for weight, step in zip(weights[-2::-1], steps[-2::-1], strict=True):
        drifts.append(la.scale(step / 2, la.matvec(ctx, C, b)))
        slopes.append(la.matrix_scale(root(ctx, step), C))
        moved = la.matrix_add(C, la.matrix_scale(-step / 2, la.matmul(ctx, C, B)))
        C = la.matrix_add(la.identity(ctx, len(centre), weight), moved)
    first = la.matvec(ctx, C, centre if start is None else la.vector(ctx, start))
    return Response(
        [ctx.sum(c) for c in zip(first, *drifts, strict=True)], slopes[::-1]
    )


def state_weights(ctx: Carrier, steps: Vector, output: str) -> Vector:
    """Return the weight of every averaged state in the output, shape (J,)."""
    if output == "weighted-mean":
        return [step / ctx.sum(steps) for step in steps]
    fresh, moves = _rate(ctx, output), len(steps) - 1
    later = [fresh * (1 - fresh) ** (moves - j) for j in range(1, moves + 1)]
    return [(1 - fresh) ** moves, *later]


def robbins_monro_response(
    ctx: Carrier,
    loss: Any,
    x: Sequence[Any],
    tau: Any,
    a: Sequence[Any],
    inner: int,
    start: Sequence[Any] | None = None,
) -> Response:
    """Algorithm 5 on a quadratic loss: products of R_j = I − a_j (I + τH).

    A move is y ← R_j y + a_j (x_k − τ∇f(0)) − a_j τ√τ H z̄, z̄ the mean of M draws.
    """
    centre, t = la.vector(ctx, x), ctx.number(tau)
    H, slope = _curvature_and_slope(ctx, loss, len(centre))
    grown = la.matrix_add(la.identity(ctx, len(centre)), la.matrix_scale(t, H))
    pull = la.subtract(centre, la.scale(t, slope))
    noise = la.matrix_scale(-t * root(ctx, tau) / inner, H)
    P = la.identity(ctx, len(centre))  # the product of the later R
    drifts, slopes = [], []
    for step in reversed(la.vector(ctx, a)):
        drifts.append(la.scale(step, la.matvec(ctx, P, pull)))
        slopes.append(la.matrix_scale(step, la.matmul(ctx, P, noise)))
        P = la.matrix_add(P, la.matrix_scale(-step, la.matmul(ctx, P, grown)))
    first = la.matvec(ctx, P, centre if start is None else la.vector(ctx, start))
    return Response(
        [ctx.sum(c) for c in zip(first, *drifts, strict=True)], slopes[::-1]
    )


def _curvature_and_slope(ctx: Carrier, loss: Any, d: int) -> tuple[Matrix, Vector]:
    """H and ∇f(0) of a quadratic loss."""
    origin = [0] * d
    return cf.hessian(ctx, loss, origin), cf.gradient(ctx, loss, origin)


# --- a second algebra, in mpmath ------------------------------------------------------


def displaced_langevin(
    ctx: Carrier,
    loss: Any,
    x: Sequence[Any],
    tau: Any,
    epsilon: Sequence[Any],
    draws: Sequence[Sequence[Any]],
    start: Sequence[Any] | None = None,
    chain: str = "literal",
    output: str = "weighted-mean",
) -> Chain:
    """Algorithm 3 for u = y − x: u ← (1 − ε/2τ) u − (ε/2) ∇f(x+u) + √ε z.

    The output is the scalar product with the weights of the states.
    """
    centre = la.vector(ctx, x)
    first = centre if start is None else la.vector(ctx, start)
    u = la.subtract(first, centre)
    states = [first] if chain == "literal" else []
    for step, z in zip(la.vector(ctx, epsilon), draws, strict=False):
        keep, half = 1 - step / (2 * ctx.number(tau)), step / 2
        slope = _differenced(ctx, loss, la.add(centre, u))
        kick = la.scale(ctx.sqrt(step), la.vector(ctx, z))
        terms = (kick, la.scale(-half, slope), la.scale(keep, u))
        u = [ctx.sum(column) for column in zip(*terms, strict=True)]
        states.append(la.add(centre, u))
    weights = state_weights(ctx, la.vector(ctx, epsilon), output)[::-1]
    columns = la.transpose(states[::-1])
    return Chain([ctx.dot(weights, c) for c in columns], states[-1], states)


def pairwise_importance(
    ctx: Carrier,
    loss: Any,
    x: Sequence[Any],
    tau: Any,
    draws: Sequence[Sequence[Any]],
) -> tuple[Vector, Vector]:
    """Algorithm 4 without a maximum: w_j = 1 / Σ_i exp(f(x^j) − f(x^i))."""
    centre, sd = la.vector(ctx, x), ctx.sqrt(ctx.number(tau))
    rows = [la.vector(ctx, z) for z in draws][::-1]
    heights = [cf.value(ctx, loss, la.add(la.scale(sd, z), centre)) for z in rows]
    odds = [1 / ctx.sum([ctx.exp(f - g) for g in heights]) for f in heights]
    gain = [sd * ctx.dot(odds, column) for column in la.transpose(rows)]
    return la.add(centre, gain), odds[::-1]


def displaced_robbins_monro(
    ctx: Carrier,
    loss: Any,
    x: Sequence[Any],
    tau: Any,
    a: Sequence[Any],
    draws: Sequence[Sequence[Sequence[Any]]],
    start: Sequence[Any] | None = None,
) -> Chain:
    """Algorithm 5 for u = y − x: u ← (1 − a) u − Σ_m (aτ/M) ∇f(x + u + √τ z_m)."""
    centre, t = la.vector(ctx, x), ctx.number(tau)
    u = la.subtract(centre if start is None else la.vector(ctx, start), centre)
    states = [la.add(centre, u)]
    for step, rows in zip(la.vector(ctx, a), draws, strict=False):
        share = -step * t / len(rows)
        terms = [la.scale(1 - step, u)]
        for z in rows[::-1]:
            around = la.scale(ctx.sqrt(t), la.vector(ctx, z))
            point = la.add(centre, la.add(u, around))
            terms.append(la.scale(share, _differenced(ctx, loss, point)))
        u = [ctx.sum(column) for column in zip(*terms, strict=True)]
        states.append(la.add(centre, u))
    return Chain(states[-1], states[-1], states)


def _differenced(ctx: Carrier, loss: Any, y: Vector) -> Vector:
    """∇f(y) from differences of f.

    Raises
    ------
    TypeError
        If the numbers are not those of mpmath.
    """
    if not isinstance(ctx, MP):
        raise TypeError("differences of f need the digits of mpmath")
    derivative = ctx.mp.diff

    def along(i: int) -> Number:
        def moved(t: Number) -> Number:
            point = [v + t if j == i else v for j, v in enumerate(y)]
            return cf.value(ctx, loss, point)

        return derivative(moved, 0)

    return [along(i) for i in range(len(y))]
