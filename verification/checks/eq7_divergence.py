"""The divergence (7) of Gaussians with full covariances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from verification.checks._check import check
from verification.checks._kit import RUNNING, Truth, closed
from verification.evidence.comparison import Finding, agree, differs, exceeds
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import closed_forms as cf
from verification.truth import quadrature

_COV_2 = ((0.75, 0.25), (0.25, 0.5))
_WIDE_2 = ((1.5, -0.375), (-0.375, 2.25))
_COV_3 = ((0.75, 0.25, -0.125), (0.25, 0.5, 0.125), (-0.125, 0.125, 0.625))
_WIDE_3 = ((1.25, -0.25, 0.375), (-0.25, 2.5, 0.5), (0.375, 0.5, 0.875))


def _pair(label: str, *gaussians: Any) -> Problem:
    return Problem(label, None, more={"pair": gaussians})


PAIRS = (
    _pair("d=1", (0.5,), ((0.375,),), (-0.25,), ((1.25,),)),
    _pair("d=2", (0.5, -0.25), _COV_2, (-0.75, 1.25), _WIDE_2),
    _pair("d=3", (0.5, -0.25, 1.0), _COV_3, (-0.75, 1.25, 0.375), _WIDE_3),
)


WIDE = (
    _pair("d=1, 2^40 narrower", (0.5,), ((2.0**-40,),), (-0.25,), ((1.25,),)),
    _pair("d=1, 2^40 wider", (0.5,), ((2.0**40,),), (-0.25,), ((1.25,),)),
    _pair(
        "d=2, 2^30 narrower in one direction",
        (0.5, -0.25),
        ((2.0**-30, 0.0), (0.0, 0.75)),
        (-0.75, 1.25),
        _WIDE_2,
    ),
)
_NEARLY_2 = ((0.75 + 2.0**-10, 0.25), (0.25, 0.5 - 2.0**-11))
NEAR = (
    _pair("d=1, nearly equal", (0.5,), ((0.375 + 2.0**-10,),), (0.5,), ((0.375,),)),
    _pair("d=2, nearly equal", (0.5, -0.25), _NEARLY_2, (0.5, -0.25), _COV_2),
)


def _reversed(pair: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*pair[2:], *pair[:2])


def _divergence(w: Witness, pair: tuple[Any, ...], what: str) -> Finding:
    truth = closed(cf.kl_gaussian, *pair)
    return agree(what, w.kl_gaussian(*pair), truth.value, truth.tolerance(w))


@check(
    "EQ7-01",
    paper="(7)",
    claim="KL of Gaussians is what its integral says, in d = 1, 2, 3",
    truth="closed form in 40 digits; in d = 1, 2 also the integral of p log(p/q)",
    route="CF MP2",
    tolerance=RUNNING,
    mistakes=("T07", "T21"),
    needs=("kl_gaussian",),
    cases=(*PAIRS, *WIDE, *NEAR),
)
def divergence(w: Witness, p: Problem) -> Iterator[Finding]:
    pair = p.more["pair"]
    yield _divergence(w, pair, "KL(0||1)")
    if p in PAIRS[:2]:
        integral = _by_definition(*pair)
        slack = closed(cf.kl_gaussian, *pair).tolerance(w) + integral.error
        yield agree(
            "KL(0||1) against its integral",
            w.kl_gaussian(*pair),
            integral.value,
            slack + 1e-15,
        )


def _by_definition(mean0: Any, cov0: Any, mean1: Any, cov1: Any) -> Any:
    """The average of log p - log q over p, two mixtures of one component as losses."""
    from verification.losses import GaussianMixture

    first = GaussianMixture([1.0], [mean0], [cov0])
    second = GaussianMixture([1.0], [mean1], [cov1])
    a = quadrature.gaussian_mean(second, mean0, cov0)
    b = quadrature.gaussian_mean(first, mean0, cov0)
    return quadrature.Certified(a.value - b.value, a.error + b.error)


@check(
    "EQ7-02",
    paper="(7)",
    claim="KL >= 0, and = 0 exactly for equal laws",
    truth="zero; the closed form for laws that differ by 2^-10 in one entry",
    route="CF",
    tolerance=RUNNING,
    mistakes=("T07",),
    needs=("kl_gaussian",),
    cases=PAIRS,
)
def zero_iff_equal(w: Witness, p: Problem) -> Iterator[Finding]:
    mean, cov = p.more["pair"][:2]
    equal = closed(cf.kl_gaussian, mean, cov, mean, cov)
    same = Truth(0.0, equal.scale).tolerance(w)
    yield agree("KL(p||p)", w.kl_gaussian(mean, cov, mean, cov), 0.0, same)
    near = (mean[0] + 2.0**-10, *mean[1:])
    yield _divergence(w, (near, cov, mean, cov), "KL of nearly equal laws")
    if w.dtype == "float64":
        value = w.kl_gaussian(near, cov, mean, cov)
        yield exceeds("KL of nearly equal laws", value, 0.0, 2.0**-23)


@check(
    "EQ7-03",
    paper="(7), section 2.3",
    claim="KL is not symmetric: both orders are right and differ",
    truth="closed form of both orders",
    route="CF",
    tolerance=RUNNING,
    mistakes=("T21",),
    needs=("kl_gaussian",),
    cases=PAIRS,
)
def asymmetric(w: Witness, p: Problem) -> Iterator[Finding]:
    pair = p.more["pair"]
    yield _divergence(w, pair, "KL(0||1)")
    yield _divergence(w, _reversed(pair), "KL(1||0)")
    values = w.kl_gaussian(*pair), w.kl_gaussian(*_reversed(pair))
    yield differs("the two orders", *values, 0.05)
