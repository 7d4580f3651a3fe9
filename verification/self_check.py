"""The oracle examines itself before it judges anybody.

Two truths that share no formula must agree on fresh problems, and a planted mistake
must be caught by the very checks that judge.  No verdict is worth anything otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from verification.checks import find, run_check
from verification.checks._check import Check
from verification.checks._judge import Verdict
from verification.evidence.comparison import Finding, agree
from verification.losses import GaussianMixture, GaussianWells, Quadratic
from verification.mistakes import CATALOGUE, planted
from verification.subject import Witness
from verification.truth import closed_forms as cf
from verification.truth import multiscale, multiscale_sampling, quadrature
from verification.truth import output_laws as laws
from verification.truth.carriers import MP, Double

PLANTED = "T02"
CATCHER = "EQ2-01"
AGREEMENT = 1e-24
LAWS_AGREE = 1e-10


class Exact:
    """Local entropy by its truth, rounded once: a subject that cannot be wrong."""

    name = "truth"
    dtype = "float64"

    def local_entropy(self, loss: Any, x: Any, tau: float) -> float:
        return float(cf.local_entropy(MP(40), loss, x, tau))


def self_check(seed: int) -> list[Finding]:
    """Findings of which every one must be ok.

    Parameters
    ----------
    seed : int
        Draws the fresh problems.
    """
    return [
        *_two_truths_agree(seed),
        *_two_laws_agree(seed),
        *_several_levels_agree(seed),
        *_a_mistake_is_caught(),
    ]


def _two_truths_agree(seed: int) -> list[Finding]:
    """Closed forms against quadrature, on a quadratic, a mixture and a well."""
    rng = np.random.default_rng(seed)
    tau = float(rng.uniform(0.25, 1.5))
    x, m = rng.normal(size=(2, 1))
    s, h = rng.uniform(0.25, 1.5, size=2)
    weight = float(rng.uniform(0.25, 0.75))
    bowl = Quadratic([[h]], m)
    mixed = GaussianMixture([weight, 1 - weight], [m, -m], [[[s]], [[h]]])
    well = GaussianWells([weight], [m], [[[s]]])
    findings = []
    for loss in (bowl, mixed):
        exact = cf.local_entropy(MP(40), loss, x, tau)
        other = quadrature.local_entropy(loss, x, tau).value
        slack = AGREEMENT * (1 + abs(float(exact)))
        findings.append(agree(f"two routes to F, {loss.kind}", other, exact, slack))
    exact = cf.heat(MP(40), well, x, tau)
    other = quadrature.heat(well, x, tau).value
    findings.append(agree("two routes to F^H, gaussian_wells", other, exact, AGREEMENT))
    return findings


def _two_laws_agree(seed: int) -> list[Finding]:
    """Outputs of Algorithms 3 and 5 on a quadratic: recursions against all draws."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(2, 2))
    loss = Quadratic(half @ half.T, rng.normal(size=2))
    tau, steps = float(rng.uniform(0.25, 1.5)), rng.uniform(0.25, 1.0, size=4)
    x = rng.normal(size=2)
    pairs = {
        "Algorithm 3": (
            laws.sgld(loss, x, tau, steps),
            laws.sgld_dense(loss, x, tau, steps),
        ),
        "Algorithm 5": (
            laws.robbins_monro(loss, x, tau, steps, 3),
            laws.robbins_monro_dense(loss, x, tau, steps, 3),
        ),
    }
    findings = []
    for name, (one, other) in pairs.items():
        for what in ("mean", "covariance"):
            a, b = getattr(one, what), getattr(other, what)
            slack = LAWS_AGREE * (1 + float(np.abs(b).max()))
            findings.append(agree(f"two routes to the {what}, {name}", a, b, slack))
    return findings


def _several_levels_agree(seed: int) -> list[Finding]:
    """On a fresh table: two routes to P* and V_0, and to the law of Metropolis."""
    rng, ctx = np.random.default_rng(seed), MP(40)
    f, Q = rng.uniform(size=(2, 2, 3)), rng.uniform(0.5, 1.0, size=(2, 2, 3))
    given: tuple[Any, ...] = (f, Q / Q.sum(), rng.uniform(0.25, 1.5, size=3))
    value = -ctx.number(given[2][0]) * ctx.log(multiscale.nested(ctx, *given)[0].item())
    conditionals = multiscale.tilted(ctx, *given)
    P, R = multiscale.nested_law(ctx, *given), multiscale.product_of(conditionals)
    J = multiscale.objective(ctx, R, *given)
    moves = [rng.dirichlet(np.ones(2), size=2) for _ in range(2)]
    flat: tuple[Any, ...] = (
        f[..., 0],
        Q[..., 0] / Q[..., 0].sum(),
        given[2][:2],
        moves,
    )
    model = multiscale_sampling.Finite(Double(), *flat)
    one = multiscale_sampling.kernel(model, (2,))
    paths = multiscale_sampling.path_kernel(Double(), *(*flat, 2))
    other = multiscale_sampling.as_kernel(paths)
    cells = [(state, pair) for state, pairs in other.items() for pair in pairs]
    return [
        agree("two routes to P*, several levels", P, R, AGREEMENT),
        agree("V_0 and J at P*, several levels", J, value, AGREEMENT),
        agree(
            "two routes to the law of multilevel Metropolis",
            [one[state].get(pair, 0.0) for state, pair in cells],
            [other[state][pair] for state, pair in cells],
            LAWS_AGREE,
        ),
    ]


def _a_mistake_is_caught() -> list[Finding]:
    """A right subject passes and the planted mistake fails, by the same check."""
    check: Check = find([CATCHER])[0]
    right = run_check(check, Witness(Exact())).verdict
    wrong = run_check(check, Witness(planted(CATALOGUE[PLANTED], Exact()))).verdict
    passed = [float(right is Verdict.PASS), float(wrong is Verdict.FAIL)]
    what = f"{CATCHER} passes a right subject and fails mistake {PLANTED}"
    return [agree(what, passed, [1.0, 1.0], 0.0)]
