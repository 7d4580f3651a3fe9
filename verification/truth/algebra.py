"""Small dense linear algebra on lists of numbers of any carrier.

Matrices are lists of rows.  The factorisation is A = L D Lᵀ with unit lower
triangular L, which needs no square root and is therefore exact on fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from verification.truth.carriers import Carrier, Number

Vector = list[Number]
Matrix = list[list[Number]]


def vector(ctx: Carrier, values: Sequence[Any]) -> Vector:
    """Return the numbers of the carrier for `values`, shape (d,)."""
    return [ctx.number(value) for value in values]


def matrix(ctx: Carrier, rows: Sequence[Sequence[Any]]) -> Matrix:
    """Return the numbers of the carrier for `rows`, shape (n, d)."""
    return [vector(ctx, row) for row in rows]


def dot(ctx: Carrier, a: Vector, b: Vector) -> Number:
    """Return aᵀb."""
    return ctx.dot(a, b)


def add(a: Vector, b: Vector) -> Vector:
    """Return a + b."""
    return [p + q for p, q in zip(a, b, strict=True)]


def subtract(a: Vector, b: Vector) -> Vector:
    """Return a − b."""
    return [p - q for p, q in zip(a, b, strict=True)]


def scale(factor: Number, a: Vector) -> Vector:
    """Return factor · a."""
    return [factor * p for p in a]


def matvec(ctx: Carrier, A: Matrix, x: Vector) -> Vector:
    """Return A x."""
    return [ctx.dot(row, x) for row in A]


def transpose(A: Matrix) -> Matrix:
    """Return Aᵀ."""
    return [list(column) for column in zip(*A, strict=True)]


def matmul(ctx: Carrier, A: Matrix, B: Matrix) -> Matrix:
    """Return A B."""
    columns = transpose(B)
    return [[ctx.dot(row, column) for column in columns] for row in A]


def matrix_add(A: Matrix, B: Matrix) -> Matrix:
    """Return A + B."""
    return [add(p, q) for p, q in zip(A, B, strict=True)]


def matrix_scale(factor: Number, A: Matrix) -> Matrix:
    """Return factor · A."""
    return [scale(factor, row) for row in A]


def identity(ctx: Carrier, d: int, factor: Number = 1) -> Matrix:
    """Return factor · I of size d."""
    zero, one = ctx.number(0), ctx.number(factor)
    return [[one if i == j else zero for j in range(d)] for i in range(d)]


def outer(a: Vector, b: Vector) -> Matrix:
    """Return a bᵀ."""
    return [[p * q for q in b] for p in a]


def trace(ctx: Carrier, A: Matrix) -> Number:
    """Return the sum of the diagonal."""
    return ctx.sum([row[i] for i, row in enumerate(A)])


def quadratic_form(ctx: Carrier, A: Matrix, x: Vector) -> Number:
    """Return xᵀA x."""
    return ctx.dot(x, matvec(ctx, A, x))


@dataclass(frozen=True)
class Factors:
    """A = L D Lᵀ: the rows of L below its unit diagonal, and the pivots D."""

    lower: Matrix
    pivots: Vector


def ldlt(ctx: Carrier, A: Matrix) -> Factors:
    """Return the factors of a positive definite matrix of shape (d, d).

    Raises
    ------
    ValueError
        If a pivot is not positive: the matrix is not positive definite.
    """
    lower: Matrix = []
    pivots: Vector = []
    for i, row in enumerate(A):
        left: Vector = []
        for j in range(i):
            known = [left[k] * lower[j][k] for k in range(j)]
            left.append(row[j] - ctx.sum(known) if known else row[j])
        below = [left[j] / pivots[j] for j in range(i)]
        pivot = row[i] - ctx.dot(left, below) if i else row[i]
        if not pivot > 0:
            raise ValueError("the matrix is not positive definite")
        lower.append(below)
        pivots.append(pivot)
    return Factors(lower, pivots)


def is_positive_definite(ctx: Carrier, A: Matrix) -> bool:
    """Return whether every pivot of A = L D Lᵀ is positive."""
    try:
        ldlt(ctx, A)
    except ValueError:
        return False
    return True


def forward(ctx: Carrier, factors: Factors, b: Vector) -> Vector:
    """Return L⁻¹ b."""
    u: Vector = []
    for row, value in zip(factors.lower, b, strict=True):
        u.append(value - ctx.dot(row, u) if row else value)
    return u


def solve(ctx: Carrier, factors: Factors, b: Vector) -> Vector:
    """Return A⁻¹ b."""
    u = [p / q for p, q in zip(forward(ctx, factors, b), factors.pivots, strict=True)]
    d = len(u)
    x = list(u)
    for i in range(d - 2, -1, -1):
        column = [factors.lower[k][i] for k in range(i + 1, d)]
        x[i] = u[i] - ctx.dot(column, x[i + 1 :])
    return x


def solve_matrix(ctx: Carrier, factors: Factors, B: Matrix) -> Matrix:
    """Return A⁻¹ B."""
    return transpose([solve(ctx, factors, column) for column in transpose(B)])


def inverse_form(ctx: Carrier, factors: Factors, x: Vector) -> Number:
    """Return xᵀA⁻¹x without an inverse: Σ (L⁻¹x)_i² / D_i."""
    u = forward(ctx, factors, x)
    return ctx.sum([p * p / q for p, q in zip(u, factors.pivots, strict=True)])


def log_det(ctx: Carrier, factors: Factors) -> Number:
    """Return log det A, the sum of the logarithms of the pivots."""
    return ctx.sum([ctx.log(pivot) for pivot in factors.pivots])
