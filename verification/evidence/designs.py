"""Designs under which known mistakes move the law of an output the most.

The right law and the law of a mistake whose output is an affine function of its draws
are both Gaussian and exact, so that detectability is a number: the Kullback-Leibler
divergence of the mistaken law from the right one, in nats per replicate.  About
(log 1/alpha + 4) / KL replicates detect it at level alpha.  A design is good if its
smallest divergence, over the catalogue, is large; steps of a thousandth, as in
training, leave 1e-13 nats to some mistakes.  Chains with eps (lambda + 1/tau) > 4 are
unstable, and welcome: the law of a few of their states is as exact as any other.

All numbers are dyadic and representable in single precision.  The quadratic is the
dyadic neighbour of [[2, .6], [.6, .9]], (.3, -.8), which costs no power: the smallest
divergence of `SGLD_4` is 0.092 in place of 0.086.

| design | faintest mistakes, in nats per replicate |
|---|---|
| `SGLD_4` | antithetic noise 0.092, noise sd eps 0.099, last move without noise 0.12 |
| `SGLD_5` | noise sd eps 0.092, last state left out 0.092, stale gradient 0.11 |
| `NOISE_PROBE` | for the shape of its one draw; blind to the pull |
| `ROBBINS_MONRO` | noise variance 2 tau 0.31, noise sd tau 0.64, one for all M 0.90 |

A doubled variance of all noise has 1 - log 2 = 0.31 nats in two dimensions, a halved
one log 2 - 1/2 = 0.19, whatever the design.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from verification.losses import Quadratic
from verification.truth import output_laws
from verification.truth.output_laws import Gaussian

__all__ = [
    "FAINTEST",
    "NOISE_PROBE",
    "ROBBINS_MONRO",
    "SGLD_4",
    "SGLD_5",
    "NotAffine",
    "RobbinsMonroDesign",
    "SgldDesign",
    "affine_law",
    "blind_spots",
    "divergences",
    "kl",
]

Array = npt.NDArray[np.float64]
Simulate = Callable[[Array], npt.ArrayLike]  # draws (n, *shape) -> outputs (n, D)

#: Nats per replicate below which a design counts as blind: 250 replicates at 1e-8.
FAINTEST = 0.09
SINGULAR = 1e-12  # of a variance: what rounding leaves of none
AFFINE = 1e-9  # relative: rounding, amplified by an unstable chain


class NotAffine(ValueError):
    """The output is not an affine function of the draws."""


@dataclass(frozen=True, eq=False)
class SgldDesign:
    """A case of Algorithm 3 with an exact law.

    Attributes
    ----------
    label : str
    loss : LossData
    x : tuple of float
        The centre, and the start.
    tau : float
        A variance.
    step_sizes : tuple of float
        eps_1, ..., eps_J.
    """

    label: str
    loss: Any
    x: tuple[float, ...]
    tau: float
    step_sizes: tuple[float, ...]

    @property
    def d(self) -> int:
        """The number of parameters."""
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the draws of one replicate of the literal chain, (J-1, d)."""
        return len(self.step_sizes) - 1, self.d

    def law(self, chain: str = "literal") -> Gaussian:
        """Return the law of the output."""
        at = self.loss, self.x, self.tau, self.step_sizes
        return output_laws.sgld(*at, chain=chain)


@dataclass(frozen=True, eq=False)
class RobbinsMonroDesign:
    """A case of Algorithm 5 with an exact law.

    Attributes
    ----------
    label : str
    loss : LossData
    x : tuple of float
        The centre x_k, and the start.
    tau : float
        A variance.
    c, alpha : float
        Of the steps c l^(-alpha).
    J, inner_samples : int
        Moves, and samples for each of them.
    """

    label: str
    loss: Any
    x: tuple[float, ...]
    tau: float
    c: float
    alpha: float
    J: int
    inner_samples: int

    @property
    def d(self) -> int:
        """The number of parameters."""
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the draws of one replicate, (J, M, d)."""
        return self.J, self.inner_samples, self.d

    @property
    def step_sizes(self) -> tuple[float, ...]:
        """a^l = c l^(-alpha), rounded to single precision: the same for everybody."""
        steps = self.c * np.arange(1.0, self.J + 1) ** -self.alpha
        return tuple(steps.astype(np.float32).tolist())

    def law(self, moves: str = "J") -> Gaussian:
        """Return the law of the last state."""
        at = self.loss, self.x, self.tau, self.step_sizes, self.inner_samples
        return output_laws.robbins_monro(*at, moves=moves)


def _64ths(*numerators: int) -> tuple[float, ...]:
    return tuple(numerator / 64 for numerator in numerators)


QUADRATIC = Quadratic([[2.0, 0.625], [0.625, 0.875]], [0.3125, -0.8125])

SGLD_4 = SgldDesign("maximin-4", QUADRATIC, (3.5, -3.0), 0.5, _64ths(100, 64, 100, 64))

# x by search on a grid of 1/2: no mean shift is then fainter than the faintest
# mistake of scale, 0.092 nats, which no x can change
SGLD_5 = SgldDesign(
    "maximin-5", QUADRATIC, (5.0, 4.0), 0.25, _64ths(16, 100, 16, 25, 81)
)

NOISE_PROBE = SgldDesign("noise-probe", QUADRATIC, (3.5, -3.0), 0.5, (0.25, 1.0))

# by search over J, tau, c, alpha and x with M = 3, for which 1/M is neither tau nor
# dyadic; doubled noise has the same divergence everywhere and was left out
ROBBINS_MONRO = RobbinsMonroDesign(
    "maximin-RM", QUADRATIC, (-5.0, -2.0), 0.25, c=0.125, alpha=0.6875, J=5,
    inner_samples=3,
)  # fmt: skip


def affine_law(simulate: Simulate, shape: tuple[int, ...]) -> Gaussian:
    """Return the law of an output that is an affine function of its draws.

    By impulse responses: the output without noise, and with each draw alone equal
    to one.

    Parameters
    ----------
    simulate : callable
        Draws (n, *shape) -> outputs (n, D), for instance a method of a subject, right
        or wrong, with everything but its draws fixed.
    shape : tuple of int
        Of the draws of one replicate.

    Raises
    ------
    NotAffine
        If the output at other draws is not what the impulses predict.
    """
    count = prod(shape)
    # two further rows, generic and large, on which the prediction is tried
    tried = 4 * np.cos(np.arange(2.0 * count)).reshape(2, count)
    flat = np.vstack([np.zeros((1, count)), np.eye(count), tried])
    answers = simulate(flat.reshape(-1, *shape))
    outputs = np.asarray(answers, dtype=float).reshape(count + 3, -1)
    mean, loadings = outputs[0], outputs[1 : count + 1] - outputs[0]
    gap = np.abs(outputs[count + 1 :] - (mean + tried @ loadings)).max()
    if not gap <= AFFINE * np.abs(outputs).max():
        raise NotAffine(f"the output differs from its linear prediction by {gap:.1e}")
    return Gaussian(mean, loadings.T @ loadings)


def kl(mistaken: Gaussian, right: Gaussian) -> float:
    """Return the divergence of a mistaken law from the right one, in nats.

    Infinite if the mistaken law is singular: one replicate then shows it.

    Raises
    ------
    Degenerate
        If the right law is singular.
    """
    factor = right.factor()
    half = solve_triangular(factor, mistaken.covariance, lower=True)
    relative = solve_triangular(factor, half.T, lower=True)
    shift = right.whiten(mistaken.mean[None])[0]
    variances = np.linalg.eigvalsh((relative + relative.T) / 2)
    if variances.min() < SINGULAR * max(1.0, variances.max()):
        return inf
    return float(np.sum(variances - 1 - np.log(variances)) + shift @ shift) / 2


def divergences(
    design: SgldDesign | RobbinsMonroDesign, faulty: Mapping[str, Simulate]
) -> dict[str, float]:
    """Return the divergence of each mistake under a design, in nats per replicate.

    Parameters
    ----------
    design : SgldDesign or RobbinsMonroDesign
    faulty : mapping of str to callable
        For each mistake, draws (n, *design.shape) -> outputs (n, d).
    """
    right = design.law()
    return {
        name: kl(affine_law(simulate, design.shape), right)
        for name, simulate in faulty.items()
    }


def blind_spots(
    design: SgldDesign | RobbinsMonroDesign,
    faulty: Mapping[str, Simulate],
    threshold: float = FAINTEST,
) -> list[str]:
    """Name the mistakes that a design shows by less than `threshold` nats."""
    return [
        f"{design.label}: {name} has {nats:.2g} nats per replicate"
        for name, nats in divergences(design, faulty).items()
        if nats < threshold
    ]
