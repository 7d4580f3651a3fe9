"""Gaussian moments of polynomials by integration by parts (Isserlis' theorem).

A polynomial is a dictionary from monomials to coefficients; a monomial is the sorted
tuple of its indices, so that (0, 0, 1) is y_0² y_1 and () is 1.  Only sums and products
occur: on fractions every moment is exact.
"""

from __future__ import annotations

from collections.abc import Mapping

from verification.truth.algebra import Matrix, Vector
from verification.truth.carriers import Carrier, Number

Monomial = tuple[int, ...]
Polynomial = Mapping[Monomial, Number]


def monomial_mean(
    ctx: Carrier, monomial: Monomial, mean: Vector, cov: Matrix | None
) -> Number:
    """Return E of a monomial under N(mean, cov); its value at `mean` without `cov`.

    E[Y_i p(Y)] = μ_i E p(Y) + Σ_j C_ij E ∂_j p(Y), applied to the first factor.
    """
    if not monomial:
        return ctx.number(1)
    first, rest = monomial[0], monomial[1:]
    terms = [mean[first] * monomial_mean(ctx, rest, mean, cov)]
    if cov is not None:
        for k, j in enumerate(rest):
            less = rest[:k] + rest[k + 1 :]
            terms.append(cov[first][j] * monomial_mean(ctx, less, mean, cov))
    return ctx.sum(terms)


def polynomial_mean(
    ctx: Carrier, polynomial: Polynomial, mean: Vector, cov: Matrix | None
) -> Number:
    """Return E p(Y) for Y ~ N(mean, cov); the value at `mean` without `cov`."""
    return ctx.sum(
        [
            coefficient * monomial_mean(ctx, monomial, mean, cov)
            for monomial, coefficient in polynomial.items()
        ]
        or [ctx.number(0)]
    )


def derivative(polynomial: Polynomial, j: int) -> dict[Monomial, Number]:
    """Return ∂p/∂y_j."""
    result: dict[Monomial, Number] = {}
    for monomial, coefficient in polynomial.items():
        power = monomial.count(j)
        if power:
            k = monomial.index(j)
            less = monomial[:k] + monomial[k + 1 :]
            result[less] = coefficient * power
    return result
