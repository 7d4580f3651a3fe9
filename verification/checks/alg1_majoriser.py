"""Algorithm 1, its majoriser A and Theorem 2."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._kit import (
    EXACT,
    NUMERICAL,
    ROUNDED,
    RUNNING,
    TEN_DIGITS,
    Truth,
    closed,
    flat,
    mean_of_q,
    norm,
    size,
)
from verification.evidence.comparison import (
    Finding,
    agree,
    differs,
    exceeds,
    not_below,
)
from verification.losses import GaussianMixture
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import closed_forms as cf
from verification.truth import quadrature

UPDATES = 8


@cache
def _iterates(p: Problem) -> tuple[Truth, ...]:
    """x_0, ..., x_K by E_q X in 40 digits, each with its compounded error bound."""
    exact = [EXACT.number(v) for v in p.x]
    rounded = [ROUNDED.number(v) for v in p.x]
    path = [Truth(exact, 0.0)]
    for _ in range(UPDATES):
        exact = cf.posterior_mean(EXACT, p.loss, exact, p.tau)
        rounded = cf.posterior_mean(ROUNDED, p.loss, rounded, p.tau)
        path.append(Truth(exact, norm(v.err for v in flat(rounded)) + size(exact)))
    return tuple(path)


def _path(w: Witness, p: Problem) -> Any:
    return w.minimise_local_entropy(p.loss, p.x, p.tau, UPDATES)


@check(
    "ALG1-01",
    paper="Algorithm 1",
    claim="on a quadratic x_k - m = (I + tau H)^-k (x_0 - m)",
    truth="the recursion in 40 digits",
    route="CF",
    tolerance="4 B u, u the unit roundoff, B compounded over the updates",
    mistakes=("T03", "T04"),
    needs=("minimise_local_entropy",),
    cases=P.QUADRATICS,
)
def on_quadratics(w: Witness, p: Problem) -> Iterator[Finding]:
    path = _path(w, p)
    yield agree("x_0", path[0], list(p.x), 0.0)
    for k, truth in enumerate(_iterates(p)[1:], 1):
        yield agree(f"x_{k}", path[k], truth.value, truth.tolerance(w))


@check(
    "ALG1-02",
    paper="Algorithm 1, (15)",
    claim="every step is E_q X, from the subject's own iterates as well",
    truth="closed form of E_q X, or its integral, started at each iterate: errors do "
    "not compound",
    route="CF MP2",
    tolerance=RUNNING + "; without closed form " + TEN_DIGITS,
    mistakes=("T03", "T04", "T06", "T10", "T12"),
    any_of=("minimise_local_entropy", "posterior_mean"),
    cases=(*P.MIXTURES, *P.PLAIN),
)
def step_by_step(w: Witness, p: Problem) -> Iterator[Finding]:
    if w.provides("posterior_mean"):
        yield from _taught_steps(w, p)
    if not w.provides("minimise_local_entropy"):
        return
    path = w.minimise_local_entropy(p.loss, p.x, p.tau, _how_many(p))
    for k in range(_how_many(p)):
        step = mean_of_q(p.loss, tuple(map(float, path[k])), p.tau)
        yield agree(f"step from x_{k}", path[k + 1], step.value, step.tolerance(w))


def _how_many(p: Problem) -> int:
    """Updates that are followed step by step; fewer where the truth is an integral."""
    return UPDATES if p.loss.kind == "gaussian_mixture" else 3


def _taught_steps(w: Witness, p: Problem) -> Iterator[Finding]:
    x = p.x
    for k in range(_how_many(p)):
        step = mean_of_q(p.loss, x, p.tau)
        mean = w.posterior_mean(p.loss, x, p.tau)
        yield agree(f"E_q X at x_{k}", mean, step.value, step.tolerance(w))
        x = tuple(float(v) for v in step.value)


@check(
    "ALG1-03",
    paper="(11), (12), Remark 1",
    claim="a step of Algorithm 1 is gradient descent on F with learning rate tau, and "
    "not with another",
    truth="x - tau grad F with the subject's own gradient; 2 tau as negative control",
    route="ID",
    tolerance=RUNNING + " of both sides",
    mistakes=("T06",),
    needs=("minimise_local_entropy", "local_entropy_gradient"),
    cases=P.CONJUGATE,
)
def gradient_descent(w: Witness, p: Problem) -> Iterator[Finding]:
    first = w.minimise_local_entropy(p.loss, p.x, p.tau, 1)[1]
    slope = w.local_entropy_gradient(p.loss, p.x, p.tau)
    truth = closed(cf.posterior_mean, p.loss, p.x, p.tau)
    tilt = closed(cf.local_entropy_gradient, p.loss, p.x, p.tau)
    slack = truth.tolerance(w) + p.tau * tilt.tolerance(w)
    slack += 8 * w.unit_roundoff * size(p.x)
    descended = np.array(p.x) - p.tau * slope
    yield agree("x_1 against x_0 - tau grad F", first, list(descended), slack)
    twice = np.array(p.x) - 2 * p.tau * slope
    gap = 0.5 * p.tau * size(tilt.value)
    yield differs("x_1 against x_0 - 2 tau grad F", first, list(twice), gap)


def _majoriser(ctx: Any, loss: Any, x: Any, y: Any, tau: float) -> Any:
    """F(y) + (|x - E|^2 - |y - E|^2) / 2 tau, E = E_q X at y."""
    mean = cf.posterior_mean(ctx, loss, y, tau)
    far = [ctx.number(a) - m for a, m in zip(x, mean, strict=True)]
    near = [ctx.number(a) - m for a, m in zip(y, mean, strict=True)]
    gain = (ctx.dot(far, far) - ctx.dot(near, near)) / (2 * ctx.number(tau))
    return cf.local_entropy(ctx, loss, y, tau) + gain


def _bracket(p: Problem, x: tuple[float, ...]) -> Any:
    """A(x, y) from its integrals, y the problem's centre.

    Quadratics: the integral of f q_y plus KL(q_y||phi_x), Gaussian all.  Mixture:
    -log Z of (6), and the second moments of q_y, by quadrature.
    """
    mp = EXACT.mp
    tau = mp.mpf(p.tau)
    if p.loss.kind in cf.QUADRATIC:
        mean = cf.posterior_mean(EXACT, p.loss, p.x, p.tau)
        cov = cf.posterior_covariance(EXACT, p.loss, p.x, p.tau)
        wide = [[tau if i == j else mp.zero for j in range(p.d)] for i in range(p.d)]
        average = cf.gaussian_mean(EXACT, p.loss, mean, cov)
        return average + cf.kl_gaussian(EXACT, mean, cov, x, wide)
    log_z = quadrature.normaliser_6(p.loss, p.x, p.tau).value
    mean = quadrature.posterior_moments(p.loss, p.x, p.tau)[0].value
    volume = p.d * mp.log(2 * mp.pi * tau) / 2
    moved = sum((mp.mpf(a) - mp.mpf(m)) ** 2 for a, m in zip(x, mean, strict=True))
    stayed = sum((mp.mpf(a) - mp.mpf(m)) ** 2 for a, m in zip(p.x, mean, strict=True))
    return volume - mp.mpf(log_z) + (moved - stayed) / (2 * tau)


MAJORISED = (*P.QUADRATICS[:4], P.QUADRATICS[5], P.MIXTURES[0], P.MIXTURES[1])
INTEGRATED = P.PLAIN[::2]


@check(
    "A-01",
    paper="section 3.2",
    claim="A(x, x) = F(x)",
    truth="closed form of F",
    route="CF",
    tolerance=RUNNING,
    mistakes=("T01", "T02"),
    needs=("majoriser",),
    cases=MAJORISED,
)
def touches(w: Witness, p: Problem) -> Iterator[Finding]:
    truth = closed(cf.local_entropy, p.loss, p.x, p.tau)
    slack = closed(_majoriser, p.loss, p.x, p.x, p.tau).tolerance(w)
    value = w.majoriser(p.loss, p.x, p.x, p.tau)
    yield agree("A(x, x)", value, truth.value, slack)


def _around(p: Problem) -> list[tuple[float, ...]]:
    steps = (0.25, -0.75, 2.0)
    return [tuple(v + s * (1 + 0.5 * j) for j, v in enumerate(p.x)) for s in steps]


@check(
    "A-02",
    paper="section 3.2",
    claim="A(x, y) is the bracket of (8) at q_y, and A(x, y) >= F(x)",
    truth="its integrals: Gaussian, or log Z of (6) and moments by quadrature",
    route="MP2 ID",
    tolerance=RUNNING
    + " of F(y) + (|x-E|^2 - |y-E|^2)/2tau; without closed form "
    + TEN_DIGITS,
    mistakes=("T22",),
    needs=("majoriser", "local_entropy"),
    cases=(*MAJORISED, *INTEGRATED),
)
def majorises(w: Witness, p: Problem) -> Iterator[Finding]:
    for x in _around(p):
        slack, below = _slacks(w, p, x)
        value = w.majoriser(p.loss, x, p.x, p.tau)
        yield agree("A(x, y)", value, _bracket(p, x), slack)
        entropy = w.local_entropy(p.loss, x, p.tau)
        yield not_below("A(x, y) - F(x)", value - entropy, 0.0, slack + below)


def _slacks(w: Witness, p: Problem, x: tuple[float, ...]) -> tuple[float, float]:
    """The tolerances of A(x, y) and of F(x)."""
    if p.loss.kind in (*cf.QUADRATIC, "gaussian_mixture"):
        own = closed(_majoriser, p.loss, x, p.x, p.tau)
        return own.tolerance(w), closed(cf.local_entropy, p.loss, x, p.tau).tolerance(w)
    height = 1 + abs(float(_bracket(p, x)))
    numerical = (NUMERICAL + 4 * w.unit_roundoff) * height
    return numerical, numerical


@check(
    "A-03",
    paper="section 3.2",
    claim="argmin_x A(x, y) is E_q X at y, the update of Algorithm 1",
    truth="A rises by |s|^2/2tau at E_q X + s, whatever the direction of s",
    route="ID",
    tolerance=RUNNING + " of both values; the parabola: and E_q X rounded to 2^-20",
    mistakes=("T22",),
    needs=("majoriser",),
    cases=MAJORISED,
)
def minimised_by_the_mean(w: Witness, p: Problem) -> Iterator[Finding]:
    mean = cf.posterior_mean(EXACT, p.loss, p.x, p.tau)
    centre = tuple(round(float(v) * 2**20) / 2**20 for v in mean)
    bottom = w.majoriser(p.loss, centre, p.x, p.tau)
    for i in range(p.d):
        for s in (0.5, -0.5):
            x = tuple(v + s * (i == j) for j, v in enumerate(centre))
            lift = _majoriser(EXACT, p.loss, x, p.x, p.tau)
            lift -= _majoriser(EXACT, p.loss, centre, p.x, p.tau)
            slack = 2 * closed(_majoriser, p.loss, x, p.x, p.tau).tolerance(w)
            rise = w.majoriser(p.loss, x, p.x, p.tau) - bottom
            yield agree(f"rise at E + {s:g} e_{i}", rise, lift, slack)
            # the centre is E_q X rounded to 2^-20, which tilts A by as much
            tilt = 2.0**-20 * abs(s) / p.tau
            parabola = s**2 / (2 * p.tau)
            yield agree("rise against |s|^2/2tau", rise, parabola, slack + tilt)


@check(
    "TH2-01",
    paper="Theorem 2",
    claim="F(x_k) - F(x_k+1) >= |x_k - x_k+1|^2 / 2tau along Algorithm 1; with "
    "eta < 2tau at least |.|^2 (1/eta - 1/2tau); with eta = 2.5tau F rises on a "
    "stiff quadratic",
    truth="closed form of F in 40 digits at the subject's own iterates",
    route="ID",
    tolerance="8 u times the sum of the terms' magnitudes",
    mistakes=("T04",),
    needs=("minimise_local_entropy", "local_entropy_gradient"),
    cases=(
        *P.QUADRATICS[:3],
        *P.MIXTURES,
        at("stiff quadratic d=2", P.STIFF_2, 1.0, (3.3125, 0.6875), stiff=True),
    ),
)
def monotone(w: Witness, p: Problem) -> Iterator[Finding]:
    path = _path(w, p)
    for k in range(UPDATES):
        yield _decrease(w, p, f"update {k}", path[k], path[k + 1], 0.5 / p.tau)
    x = np.array(p.x)
    slope = w.local_entropy_gradient(p.loss, p.x, p.tau)
    eta = 1.5 * p.tau
    relaxed = x - eta * slope
    gain = 1 / eta - 0.5 / p.tau
    yield _decrease(w, p, "update with eta = 1.5 tau", x, relaxed, gain)
    if p.more.get("stiff"):
        too_far = x - 2.5 * p.tau * slope
        yield exceeds(
            "F after eta = 2.5 tau", _entropy(p, too_far), _entropy(p, x), 0.1
        )


def _entropy(p: Problem, x: Any) -> float:
    """F in 40 digits at a subject's point, rounded."""
    return float(cf.local_entropy(EXACT, p.loss, [float(v) for v in x], p.tau))


def _decrease(
    w: Witness, p: Problem, what: str, x: Any, y: Any, gain: float
) -> Finding:
    before, after = _entropy(p, x), _entropy(p, y)
    step = np.subtract(x, y)
    required = gain * float(step @ step)
    # a rounding of y changes F by |grad F| u |y|, and the step by as much
    terms = abs(before) + abs(after) + abs(required)
    terms += gain * size(list(step)) * (size(list(x)) + size(list(y)))
    slack = 8 * w.unit_roundoff * terms
    return not_below(
        f"decrease of F less its bound, {what}", before - after, required, slack
    )


def _saddle() -> GaussianMixture:
    """Two equal components: the midpoint is a saddle of F."""
    S = [[0.25, 0.0], [0.0, 0.5]]
    return GaussianMixture([0.5, 0.5], [[1.5, 0.5], [-1.5, -0.5]], [S, S])


def _stiffness(p: Problem) -> float:
    """The norm of the Hessian of f, or of the components' precisions."""
    if p.loss.kind == "quadratic":
        return float(np.linalg.norm(np.atleast_2d(p.loss.H)))
    return float(np.linalg.norm(np.linalg.inv(p.loss.covariances)))


@check(
    "TH2-02",
    paper="Theorem 2",
    claim="F stays the same only at a critical point: minimum, maximum or saddle stay, "
    "other points descend",
    truth="critical points by symmetry; closed form of F elsewhere",
    route="CF",
    tolerance=RUNNING + ", and the rounding of (x - E_q X)/tau; elsewhere a fall of "
    "|grad F|^2 tau/4, half of what Theorem 2 promises",
    mistakes=("T04", "T05"),
    needs=("minimise_local_entropy", "local_entropy_gradient"),
    cases=(
        at("saddle of a mixture d=2", _saddle(), 0.25, (0, 0), critical=True),
        at(
            "minimum of a quadratic d=2",
            P.QUADRATIC_2,
            0.75,
            (0.3125, -0.8125),
            critical=True,
        ),
        at(
            "saddle of a quadratic d=3",
            P.INDEFINITE_3,
            0.75,
            (0.25, -0.5, 1.125),
            critical=True,
        ),
        at("beside the saddle d=2", _saddle(), 0.25, (0.25, -0.125)),
        at("beside the minimum d=2", P.QUADRATIC_2, 0.75, (0.5, -0.75)),
    ),
)
def stationary(w: Witness, p: Problem) -> Iterator[Finding]:
    path = w.minimise_local_entropy(p.loss, p.x, p.tau, 1)
    slope = w.local_entropy_gradient(p.loss, p.x, p.tau)
    truth = closed(cf.local_entropy_gradient, p.loss, p.x, p.tau)
    mean = closed(cf.posterior_mean, p.loss, p.x, p.tau)
    # by (12) as printed, and by K grad f with grad f = Hx - Hm
    printed = (size(p.x) + size(mean.value)) * (1 / p.tau + _stiffness(p))
    slack = truth.tolerance(w) + 4 * w.unit_roundoff * printed
    if p.more.get("critical"):
        yield agree("x_1", path[1], list(p.x), mean.tolerance(w) + p.tau * slack)
        yield agree("grad F", slope, [0.0] * p.d, slack)
        return
    yield agree("grad F", slope, truth.value, slack)
    fall = _entropy(p, path[0]) - _entropy(p, path[1])
    yield exceeds("F(x_0) - F(x_1)", fall, 0.0, p.tau * size(truth.value) ** 2 / 4)
