"""Chains of local entropies at different temperatures, and Gaussian multi-scale laws.

With w_k | w_{k-1} ~ N(w_{k-1}, tau_k I), w_0 = x, and an energy of the last level, V_0
is a function of x that smooths f level by level, each at its own temperature.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import (
    EXACT,
    ROUNDED,
    TEN_DIGITS,
    Truth,
    flat,
    integrated,
    norm,
    size,
)
from verification.checks._multiscale import DIGITS, Array, as_known, confirm, law
from verification.checks._replay import numbered
from verification.evidence.comparison import Finding, agree, not_above, not_below
from verification.losses import LeastSquares, LossData, Quadratic, Quartic
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import closed_forms as cf
from verification.truth import multiscale_chains as chains

CHAIN = "chains of local entropies"

# --- cases ----------------------------------------------------------------------------


def _chain(
    label: str, loss: LossData, taus: Any, temperatures: Any, x: Any = None, **more: Any
) -> Problem:
    """A chain as a case; x is a generic point unless it is given."""
    plain = P.at(label, loss, float(sum(taus)), x)
    said = f"{label}, tau = {_said(taus)}, lambda = {_said(temperatures)}"
    given = {"taus": tuple(taus), "temperatures": tuple(temperatures), **more}
    return Problem(said, loss, plain.x, plain.tau, given)


def _said(values: Any) -> str:
    return ", ".join(f"{v:g}" for v in values)


def _levels(p: Problem) -> tuple[Any, Any]:
    return p.more["taus"], p.more["temperatures"]


G1 = Quadratic([[2.0]], [0.7])
G3 = Quadratic([3.0, 1.0, 0.2], [1.0, -1.0, 0.5])
#: The curvatures (H^-1 + sum rho)^-1 of G3, as known; its gradient follows.
G3_CURVATURE = ("1.276595744681", "0.689655172414", "0.183486238532")

QUADRATICS = (
    _chain("G1", G1, (0.3, 0.5), (0.8, 0.25), [-0.4], known={"V": ["0.467519298613"]}),
    _chain(
        "G3",
        G3,
        (0.2, 0.1),
        (0.5, 2),
        [0.3, 0.1, -0.6],
        known={"V": ["1.317932484325"], "H": list(G3_CURVATURE)},
    ),
    _chain("quadratic d=1", P.QUADRATIC_1, (0.75,), (1.5,)),
    _chain("quadratic d=2", P.QUADRATIC_2, (0.25, 0.75), (2, 0.375)),
    _chain("indefinite d=3", P.INDEFINITE_3, (0.5, 0.125, 0.25), (0.75, 1.25, 0.5)),
    _chain("diagonal d=3", P.DIAGONAL_3, (1.5, 0.375), (0.25, 3)),
    _chain(
        "quadratic d=5", P.QUADRATIC_5, (0.25, 0.5, 1, 0.125), (1.5, 0.375, 1, 0.25)
    ),
    _chain("least squares d=2", P.LEAST_SQUARES_2, (0.5, 0.25), (0.375, 1.5)),
    _chain("linear d=2", P.LINEAR_2, (0.75, 0.375), (1.5, 0.5)),
    _chain("constant d=3", P.CONSTANT_3, (0.25, 1.5), (0.5, 2)),
    _chain("stiff and cold d=2", P.STIFF_2, (0.25, 0.5), (2.0**-10, 2.0**-12)),
    _chain("far away d=2", P.STIFF_2, (0.75, 0.25), (0.5, 1.25), P.STEEP),
)


# --- quadratic losses -----------------------------------------------------------------


@cache
def _closed(p: Problem) -> tuple[Truth, Truth]:
    """V_0 and its gradient: telescoped, and confirmed by continued fractions."""
    value, slope = chains.telescoped(DIGITS, p.loss, p.x, *_levels(p))
    other = chains.continued(DIGITS, p.loss, p.x, *_levels(p))
    confirm([value, *slope], [other[0], *other[1]])
    forms = (chains.telescoped, chains.continued)
    bounds = [form(ROUNDED, p.loss, p.x, *_levels(p)) for form in forms]
    of_value = max(bound.err for bound, _ in bounds)
    of_slope = max(norm(e.err for e in slopes) for _, slopes in bounds)
    return (
        Truth(value, of_value + size(value)),
        Truth(slope, of_slope + size(slope)),
    )


def _moved(p: Problem, V: Truth, slope: Truth) -> tuple[Truth, Truth]:
    """Truths for who evaluates lambda/tau (x - E w_1), or integrates on a quadratic."""
    hot, tau = p.more["temperatures"][0], p.more["taus"][0]
    pulled = (hot / tau) * (size(p.x) + (tau / hot) * size(slope.value))
    return V, Truth(slope.value, max(slope.scale, pulled))


@check(
    "MS-10",
    paper=f"{CHAIN}, (2) at several temperatures",
    claim="on a quadratic loss V_0 and its gradient for one to four levels: 1/h_{k-1} "
    "is 1/h_k + tau_k/lambda_k, and every level adds a log determinant at its lambda",
    truth="all levels summed up at once, confirmed by continued fractions, 50 digits",
    route="CF",
    tolerance="4 B u, u the unit roundoff, B the running error bound of either form",
    mistakes=numbered("L", 1, 2, 3, 4, 6, 18, 19, 20, 21, 22, 23, 24),
    any_of=("chained_local_entropy", "chained_local_entropy_gradient"),
    cases=QUADRATICS,
)
def quadratic_chains(w: Witness, p: Problem) -> Iterator[Finding]:
    V, slope = _moved(p, *_closed(p))
    if w.provides("chained_local_entropy"):
        found = w.chained_local_entropy(p.loss, p.x, *_levels(p))
        yield agree("V_0", found, V.value, V.tolerance(w))
        yield from as_known(p, {"V": found}, V.tolerance(w))
    if w.provides("chained_local_entropy_gradient"):
        found = w.chained_local_entropy_gradient(p.loss, p.x, *_levels(p))
        yield agree("grad V_0", found, slope.value, slope.tolerance(w))
        bend = np.array(found) / (np.array(p.x) - getattr(p.loss, "m", np.inf))
        yield from as_known(p, {"H": bend}, 8 * slope.tolerance(w))


# --- on a line ------------------------------------------------------------------------

#: (y^2 - 1)^2 less 1: the well of the known values is higher by that constant.
WELL = Quartic([4.0], [0.0], [-4.0])
POINTS = (0.0, 0.5, 1.0, 1.5)


def _well(
    name: str, taus: Any, temperatures: Any, V: str, slopes: str = ""
) -> Iterator[Problem]:
    rows = [V.split(), slopes.split() or [""] * 4]
    for x, value, slope in zip(POINTS, *rows, strict=True):
        known = {"V": [value], **({"slope": [slope]} if slope else {})}
        yield _chain(
            f"{name}, x = {x:g}",
            WELL,
            taus,
            temperatures,
            [x],
            known=known,
            others=POINTS,
        )


LINES = (
    *_well(
        "N1",
        (0.5,),
        (0.25,),
        "0.368658339778 0.343116407638 0.333102081914 0.411162050362",
        "0 -0.07027234497 0.05462556200 0.26383532161",
    ),
    *_well(
        "N2",
        (0.2, 0.5),
        (1, 0.25),
        "0.353882667681 0.349532528269 0.364482165765 0.446079972780",
        "0 -0.006141254073 0.0832010304 0.252033268621",
    ),
    *_well(
        "N2, equal temperatures",
        (0.2, 0.5),
        (0.25, 0.25),
        "0.353608982221 0.348970684292 0.360508305615 0.426753842969",
    ),
    *_well(
        "N2, reversed",
        (0.2, 0.5),
        (0.25, 1),
        "0.564290591126 0.587879555683 0.682511394450 0.889917383837",
    ),
    _chain("waves d=1", P.WAVES_1, (0.25, 0.5), (0.375, 1.25), [-0.875]),
    _chain("wells d=1", P.WELLS_1, (0.5, 0.125), (1.5, 0.25), [0.375]),
    _chain("quartic d=1", P.QUARTIC_1, (0.375, 0.25, 0.125), (0.5, 1.5, 0.75), [1.125]),
)


@cache
def _on_a_line(p: Problem) -> tuple[Truth, Truth]:
    others = p.more.get("others", p.x)
    found = chains.on_a_line(p.loss, others, *_levels(p))
    value, slope = found[others.index(p.x[0])]
    reach = abs(p.x[0]) + p.tau**0.5
    height = abs(float(value.value)) + max(p.more["temperatures"])
    steep = max(p.more["temperatures"]) * reach / min(p.more["taus"])
    return integrated(value, height), integrated(slope, steep)


@check(
    "MS-11",
    paper=f"{CHAIN}, (2) at several temperatures",
    claim="the same for any loss on a line: the double well at falling, equal and "
    "rising temperatures",
    truth="trapezoidal sums on one grid for all levels, on two grids; the slope by the "
    "mean of w_1 and by the average of V_1'",
    route="MP2 ID",
    tolerance=TEN_DIGITS
    + "; what other programs found, to half a unit of its last digit",
    mistakes=numbered("L", 6, 18, 22),
    any_of=("chained_local_entropy", "chained_local_entropy_gradient"),
    cases=LINES,
)
def chains_on_a_line(w: Witness, p: Problem) -> Iterator[Finding]:
    V, slope = _on_a_line(p)
    if w.provides("chained_local_entropy"):
        found = w.chained_local_entropy(p.loss, p.x, *_levels(p))
        yield agree("V_0", found, V.value, V.tolerance(w))
        yield from as_known(p, {"V": found + 1}, V.tolerance(w))
    if w.provides("chained_local_entropy_gradient"):
        found = w.chained_local_entropy_gradient(p.loss, p.x, *_levels(p))
        yield agree("V_0'", found[0], slope.value, slope.tolerance(w))
        yield from as_known(p, {"slope": found}, slope.tolerance(w))


# --- bridges --------------------------------------------------------------------------

BRIDGES = (
    _chain("quadratic d=2", P.QUADRATIC_2, (0.25, 0.5), (1.5, 0.75)),
    _chain("indefinite d=3", P.INDEFINITE_3, (0.5, 0.25), (0.75, 2)),
    _chain("least squares d=2", P.LEAST_SQUARES_2, (0.375, 0.75), (1.25, 0.5)),
    _chain("quartic d=1", P.QUARTIC_1, (0.25, 0.5), (0.5, 1.25), [0.875]),
)


def _times(factor: float, loss: Any) -> Any:
    """The loss times a number, as data."""
    if loss.kind == "quadratic":
        return Quadratic(factor * loss.H, loss.m, factor * loss.c)
    if loss.kind == "least_squares":
        return LeastSquares(loss.A * factor**0.5, loss.b * factor**0.5)
    return Quartic(factor * loss.c4, factor * loss.c3, factor * loss.c2)


@check(
    "MS-12",
    paper=f"{CHAIN}; (2), (12)",
    claim="one level at lambda = 1 is local entropy, with its gradient; at another "
    "lambda it is lambda times the local entropy of f/lambda; levels of equal "
    "temperature are one of the added variances; V_0 is not above the mean of f",
    truth="the subject's own local entropy and heat",
    route="MET ID",
    tolerance="8 B u of the closed form, times a temperature above 1 and over one "
    "below; on a line ten digits",
    mistakes=numbered("L", 20, 21, 23),
    needs=("chained_local_entropy", "local_entropy"),
    cases=BRIDGES,
)
def bridges(w: Witness, p: Problem) -> Iterator[Finding]:
    (near, far), (hot, cold) = _levels(p)
    whole = near + far
    slack, of_slope = _of_bridge(w, p)
    F = w.local_entropy(p.loss, p.x, whole)
    one = w.chained_local_entropy(p.loss, p.x, (whole,), (1,))
    yield agree("V_0 of one level at lambda = 1", one, F, slack)
    split = w.chained_local_entropy(p.loss, p.x, (near, far), (1, 1))
    yield agree("V_0 of two levels at lambda = 1", split, F, slack)
    for level in (hot, cold):
        of = w.local_entropy(_times(1 / level, p.loss), p.x, whole)
        found = w.chained_local_entropy(p.loss, p.x, (whole,), (level,))
        yield agree(f"V_0 of one level at lambda = {level:g}", found, level * of, slack)
        split = w.chained_local_entropy(p.loss, p.x, (near, far), (level, level))
        yield agree(f"two levels at lambda = {level:g}", split, found, slack)
    if w.provides("heat"):
        found = w.chained_local_entropy(p.loss, p.x, *_levels(p))
        yield not_above("V_0", found, w.heat(p.loss, p.x, whole), slack)
        coldest = w.chained_local_entropy(
            p.loss, p.x, (near, far), (min(hot, cold),) * 2
        )
        yield not_below("V_0", found, coldest, slack)
    gradients = ("chained_local_entropy_gradient", "local_entropy_gradient")
    if all(w.provides(name) for name in gradients):
        slope = w.local_entropy_gradient(p.loss, p.x, whole)
        found = w.chained_local_entropy_gradient(p.loss, p.x, (whole,), (1,))
        yield agree("grad V_0 of one level at lambda = 1", found, slope, of_slope)


def _of_bridge(w: Witness, p: Problem) -> tuple[float, float]:
    """How far two answers of a subject may be apart, and two gradients."""
    hot, tau = max(p.more["temperatures"]), min(p.more["taus"])
    if p.loss.kind == "quartic":
        height = 1 + abs(float(cf.value(EXACT, p.loss, p.x))) + hot
        return 2e-10 * height, 2e-10 * height / tau
    V, slope = _closed(p)
    # as many times as the energy grows by 1/lambda
    worse = 2 * max(1.0, hot) / min(1.0, *p.more["temperatures"])
    return worse * V.tolerance(w), worse * slope.tolerance(w)


# --- Gaussian references --------------------------------------------------------------

GAUSSIAN = "Asadi and Abbe: multi-scale Gibbs law, Gaussian reference"


def _jointly(
    label: str,
    loss: LossData,
    mean: Any,
    covariance: Any,
    sizes: tuple[int, ...],
    temperatures: Any,
    **more: Any,
) -> Problem:
    said = f"{label}, sizes {_said(sizes)}, lambda = {_said(temperatures)}"
    centre = np.array(mean, dtype=float)
    given: dict[str, Any] = {
        "mean": centre,
        "covariance": np.array(covariance, dtype=float),
        "sizes": sizes,
        "temperatures": tuple(map(float, temperatures)),
    }
    x = tuple(centre.tolist())
    return Problem(said, loss, x, 0.5, {**given, **more})


def _spread(label: str, n: int) -> Array:
    """A covariance in multiples of 1/64, far from diagonal."""
    root = np.round(4 * (law(label, (n, n)) * n * n - 1)) / 4
    return np.asarray(root @ root.T / 4 + np.diag(0.5 + np.arange(n) / 8))


def _random_walk(loss: Quadratic, x: Any, taus: Any) -> tuple[Any, Any, Any]:
    """Loss of the last of two levels, and the moments of w_1, w_2 around x."""
    n, (near, far) = len(x), taus
    H = np.zeros((2 * n, 2 * n))
    H[n:, n:] = loss.H if np.ndim(loss.H) == 2 else np.diag(loss.H)
    whole = Quadratic(H, np.tile(loss.m, 2), loss.c)
    blocks = np.array([[near, near], [near, near + far]])
    return whole, np.tile(x, 2), np.kron(blocks, np.eye(n))


#: f = w'Hw/2 - g'w of G2, with its constant: at the centre H^-1 g it is -g'H^-1 g/2.
G2_CURVATURE, G2_SLOPE = np.array([[2.0, -1.0], [-1.0, 1.5]]), np.array([0.5, -0.3])
G2_CENTRE = np.linalg.solve(G2_CURVATURE, G2_SLOPE)
G2 = Quadratic(G2_CURVATURE, G2_CENTRE, -0.5 * float(G2_SLOPE @ G2_CENTRE))

JOINTLY = ("mean", "covariance", "sizes", "temperatures")
JOINT = (
    _jointly(
        "G2",
        G2,
        [0, 0],
        [[1, 0], [0, 0.5]],
        (1, 1),
        (1.5, 0.5),
        known={
            "V": ["0.732235112925"],
            "mean": ["0.122580645161", "-0.070967741935"],
            "covariance": [
                *("0.483870967742", "0.193548387097"),
                *("0.193548387097", "0.277419354839"),
            ],
            "E f": ["0.443309053070"],
        },
    ),
    _jointly(
        "G1",
        *_random_walk(G1, [-0.4], (0.3, 0.5)),
        (1, 1),
        (0.8, 0.25),
        known={
            "V": ["0.467519298613"],
            "mean": ["-0.256521739130", "0.508695652174"],
            "variances": ["0.260869565217", "0.110434782609"],
        },
    ),
    _jointly(
        "G3",
        *_random_walk(G3, [0.3, 0.1, -0.6], (0.2, 0.1)),
        (3, 3),
        (0.5, 2),
        known={"V": ["1.317932484325"]},
    ),
    _jointly(
        "one level",
        P.QUADRATIC_2,
        [0.5, -1.25],
        _spread("one level", 2),
        (2,),
        (0.375,),
    ),
    _jointly(
        "three levels",
        P.QUADRATIC_5,
        [0.25, -0.5, 1, 0.75, -1.5],
        _spread("three levels", 5),
        (2, 1, 2),
        (0.75, 1.5, 0.25),
    ),
    _jointly(
        "indefinite",
        P.INDEFINITE_3,
        [0.25, -0.5, 1],
        _spread("indefinite", 3),
        (2, 1),
        (1.25, 0.5),
    ),
    _jointly(
        "indefinite below",
        P.INDEFINITE_3,
        [0.25, -0.5, 1],
        _spread("indefinite", 3),
        (1, 2),
        (0.375, 0.75),
    ),
    _jointly(
        "slope alone",
        P.LINEAR_2,
        [0.25, -0.5],
        _spread("slope", 2),
        (1, 1),
        (0.5, 1.25),
    ),
    _jointly(
        "squares",
        P.LEAST_SQUARES_3,
        [0.25, -0.5, 1],
        _spread("squares", 3),
        (1, 2),
        (1.75, 0.375),
    ),
)


@cache
def _joint_law(p: Problem) -> tuple[Truth, Truth, Truth]:
    given = [p.more[k] for k in JOINTLY]
    one = chains.by_tilting(DIGITS, p.loss, *given)
    other = chains.by_blocks(DIGITS, p.loss, *given)
    confirm(_entries(one), _entries(other))
    rounded = chains.by_blocks(ROUNDED, p.loss, *given)
    parts = zip(
        (one.value, one.mean, one.covariance),
        (rounded.value, rounded.mean, rounded.covariance),
        strict=True,
    )
    found = [
        Truth(part, norm(e.err for e in flat(of)) + size(part)) for part, of in parts
    ]
    return found[0], found[1], found[2]


def _entries(of: chains.GaussianLaw) -> list[Any]:
    return [of.value, *of.mean, *flat(of.covariance)]


@check(
    "MS-13",
    paper=GAUSSIAN,
    claim="for a quadratic energy, also an indefinite one, and a Gaussian reference, "
    "levels of any sizes correlated as they may be, P* is Gaussian with the exact "
    "moments, and V_0",
    truth="marginalising and tilting Gaussians, V_0 as J there; confirmed by "
    "integrating out level after level",
    route="CF",
    tolerance="4 B u, u the unit roundoff, B the running error bound of the levels "
    "integrated out",
    mistakes=numbered("L", 1, 2, 3, 4, 6, 25, 26, 46),
    needs=("multiscale_gaussian",),
    cases=JOINT,
)
def joint_gaussians(w: Witness, p: Problem) -> Iterator[Finding]:
    given = [p.more[k] for k in JOINTLY]
    value, mean, covariance = w.multiscale_gaussian(p.loss, *given)
    V, centre, spread = _joint_law(p)
    yield agree("V_0", value, V.value, V.tolerance(w))
    yield agree("the mean", mean, centre.value, centre.tolerance(w))
    yield agree("the covariance", covariance, spread.value, spread.tolerance(w))
    said = {"V": value, "mean": mean, "covariance": covariance}
    said["variances"] = np.diagonal(covariance)
    said["E f"] = cf.gaussian_mean(EXACT, p.loss, mean, covariance)
    slack = max(of.tolerance(w) for of in (V, centre, spread))
    yield from as_known(p, said, 8 * slack)
