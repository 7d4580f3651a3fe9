"""The answers: every one derived twice, with the error bound of a correct subject.

A is the truth of the judge, in exact rationals where roots allow, else in 50 digits; B
shares no formula with it (`verification.truth.replay`, `verification.vectors.routes`).
The value is A; how far B is from it certifies its digits.  The bound B u is that of
the same formula over running errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from verification.checks._kit import NUMERICAL, flat, norm, size
from verification.evidence.comparison import exact
from verification.evidence.running_error import RunningError
from verification.truth import algebra as la
from verification.truth import closed_forms as cf
from verification.truth import network, proximal, quadrature, replay
from verification.truth.carriers import MP, Rational
from verification.vectors import routes
from verification.vectors.asking import unit_draws
from verification.vectors.canonical import nested
from verification.vectors.designs import Case

__all__ = ["Answer", "answer"]

CTX = MP(50)
ROUNDED = RunningError()
POLYNOMIAL = (*cf.QUADRATIC, "quartic")

#: Digits of agreement beyond which no more are claimed: the same on every machine.
CLAIMED = {30: 36, 20: 25}

RATIONAL = "exact rationals"
FIFTY = "50 digits"
COMPLETED = "completing the square in precisions"
TRAPEZOID = "trapezoidal rule in 60 digits"
PANELS = "Gauss-Legendre panels in 60 digits"
DOUBLED = ("trapezoidal rule in double-double", "Gauss-Legendre in double-double")


@dataclass(frozen=True)
class Answer:
    """A certified answer.

    Attributes
    ----------
    values : list
        What is right, each a number or nested lists; several where several tie.
    scale : float
        The bound B: a correct answer is within 4 B u of one of them, Euclidean norm.
    numerical : float
        What a subject's own quadrature may add.
    methods : tuple of two str
        The two derivations.
    agreement : int
        Decimal digits to which they agree, at most `CLAIMED`.
    """

    values: list[Any]
    scale: float
    methods: tuple[str, str]
    agreement: int
    numerical: float = 0.0


def answer(family: str, case: Case) -> Answer:
    """The certified answer to a vector.

    Raises
    ------
    ArithmeticError
        If the two derivations differ in a digit that is claimed.
    """
    return _ANSWERED[family](case)


def _certified(
    case: Case,
    first: Any,
    second: Any,
    scale: float,
    methods: tuple[str, str],
    numerical: float = 0.0,
) -> Answer:
    """One value, compared with its other derivation.

    At least one rounding of the result is granted to a subject.
    """
    digits = _agreement(first, second)
    claimed = CLAIMED[case.digits]
    if digits < claimed:
        raise ArithmeticError(
            f"{case.slug}: {methods[0]} and {methods[1]} agree to {digits:.1f} digits, "
            f"{claimed} are claimed"
        )
    bound = scale + size(first)
    return Answer([first], bound, methods, claimed, numerical)


def _agreement(first: Any, second: Any) -> float:
    """-log10 of the difference, relative to the value unless that is zero."""
    pairs = zip(flat(first), flat(second), strict=True)
    gaps = [Fraction(exact(a)) - Fraction(exact(b)) for a, b in pairs]
    gap = math.sqrt(sum(float(g * 10**60) ** 2 for g in gaps)) / 1e60
    whole = size(first) or 1.0
    return 99.0 if gap == 0 else -math.log10(gap / whole)


def _err(rounded: Any) -> float:
    return norm(entry.err for entry in flat(rounded))


# --- Algorithms 3 to 5 with draws -----------------------------------------------------


def _is_square(value: float) -> bool:
    parts = Fraction(value).as_integer_ratio()
    return all(math.isqrt(part) ** 2 == part for part in parts)


def _chain(case: Case) -> Answer:
    given = case.input
    setting = (given["x"], given["tau"], given["step_sizes"], given["draws"])
    chain = case.conventions.get("sgld.chain", "literal")
    output = case.conventions.get("sgld.output", "weighted-mean")
    more = (given["start"], chain, output)
    rational = case.loss.kind in POLYNOMIAL
    ctx = Rational() if rational else CTX
    first = replay.langevin(ctx, case.loss, *setting, *more).output
    second = replay.displaced_langevin(routes.CTX, case.loss, *setting, *more).output
    rounded = replay.langevin(ROUNDED, case.loss, *setting, *more).output
    methods = (
        f"the box in {RATIONAL if rational else FIFTY}",
        "displacements in 60 digits, grad f from differences of f",
    )
    return _certified(case, first, second, _err(rounded), methods)


def _impulse(case: Case) -> Answer:
    given = case.input
    setting = (given["x"], given["tau"], given["step_sizes"])
    run = (case.loss, *setting, given["draws"], given["start"])
    first = _response(3, case.loss, *setting, _tuple(given["start"]))
    total = [list(first.mean)]
    for z, slope in zip(given["draws"], first.slopes, strict=True):
        total.append(la.matvec(Rational(), slope, [Fraction(v) for v in z]))
    value = [sum(column, Fraction(0)) for column in zip(*total, strict=True)]
    second = replay.langevin(Rational(), *run).output
    rounded = replay.langevin(ROUNDED, *run).output
    methods = (f"adjoint recursion in {RATIONAL}", f"the box in {RATIONAL}")
    return _certified(case, value, second, _err(rounded), methods)


@lru_cache(maxsize=64)
def _response(algorithm: int, loss: Any, *arguments: Any) -> replay.Response:
    if algorithm == 3:
        return replay.langevin_response(Rational(), loss, *arguments)
    return replay.robbins_monro_response(Rational(), loss, *arguments)


def _tuple(value: Any) -> Any:
    return None if value is None else tuple(value)


def _descent(case: Case) -> Answer:
    given = case.input
    setting = (given["x"], given["tau"], given["step_sizes"], given["draws"])
    run = (case.loss, *setting, given["start"])
    rational = case.loss.kind in POLYNOMIAL and _is_square(given["tau"])
    first = replay.robbins_monro(Rational() if rational else CTX, *run).output
    second = replay.displaced_robbins_monro(routes.CTX, *run).output
    rounded = replay.robbins_monro(ROUNDED, *run).output
    methods = (
        f"the box in {RATIONAL if rational else FIFTY}",
        "displacements in 60 digits, grad f from differences of f",
    )
    return _certified(case, first, second, _err(rounded), methods)


def _samples(case: Case) -> Answer:
    given = case.input
    run = (case.loss, given["x"], given["tau"], given["draws"])
    part = given["quantity"] == "weights"
    first = replay.importance(CTX, *run)[part]
    second = replay.pairwise_importance(routes.CTX, *run)[part]
    rounded = replay.importance(ROUNDED, *run)[part]
    methods = (f"the box in {FIFTY}", "ratios of weights in pairs, in 60 digits")
    return _certified(case, first, second, _err(rounded), methods)


# --- functions ------------------------------------------------------------------------


def _entropy_like(case: Case, quantity: str) -> Answer:
    """F, its gradient, the mean or the covariance of q."""
    formula = {
        "value": cf.local_entropy,
        "gradient": cf.local_entropy_gradient,
        "mean": cf.posterior_mean,
        "covariance": cf.posterior_covariance,
    }[quantity]
    x, tau = case.input["x"], case.input["tau"]
    if case.loss.kind in cf.LOCAL_ENTROPY:
        rounded = formula(ROUNDED, case.loss, x, tau)
        line = case.loss.d == 1 and case.loss.kind not in cf.QUADRATIC
        methods = (f"closed form in {FIFTY}", TRAPEZOID if line else COMPLETED)
        second = _of_moments(routes.moments(case.loss, x, tau), quantity, x, tau)
        first = formula(CTX, case.loss, x, tau)
        return _certified(case, first, second, _err(rounded), methods)
    if case.loss.d == 1:
        pair = _line_moments(case.loss, x, tau)
        first, second = (_of_moments(m, quantity, x, tau) for m in pair)
        return _numerical(case, quantity, first, second, (TRAPEZOID, PANELS))
    first, second = (
        _plane_moments(case.loss, x, tau, rule)[quantity] for rule in quadrature.RULES
    )
    return _numerical(case, quantity, first, second, DOUBLED)


def _of_moments(m: routes.Moments, quantity: str, x: Any, tau: float) -> Any:
    if quantity == "gradient":
        t = routes.mp.mpf(tau)
        return [(routes.mp.mpf(a) - b) / t for a, b in zip(x, m.mean, strict=True)]
    return {"value": m.entropy, "mean": m.mean, "covariance": m.covariance}[quantity]


@lru_cache(maxsize=64)
def _line_moments(loss: Any, x: tuple[float, ...], tau: float) -> Any:
    rules = (routes.trapezoid, routes.panels)
    return [routes.integrated_moments(loss, x, tau, rule) for rule in rules]


def _plane_moments(loss: Any, x: Any, tau: float, rule: str) -> dict[str, Any]:
    mean, covariance, slope = quadrature.posterior_moments(loss, x, tau, rule)
    value = quadrature.local_entropy(loss, x, tau, rule)
    return {
        "value": value.value,
        "gradient": slope.value,
        "mean": mean.value,
        "covariance": covariance.value,
    }


def _numerical(
    case: Case, quantity: str, first: Any, second: Any, methods: tuple[str, str]
) -> Answer:
    """Without closed form: ten digits of the magnitudes involved are granted."""
    tau = case.input["tau"]
    reach = size(case.input["x"]) + size(first) + tau**0.5
    if quantity == "gradient":
        reach = 2 * size(case.input["x"]) / tau + size(first) + tau**-0.5
    magnitude = {"value": 1 + size(first), "covariance": tau + size(first)}
    granted = magnitude.get(quantity, reach)
    allowance = NUMERICAL * granted
    return _certified(case, first, second, granted, methods, allowance)


def _local_entropy(case: Case) -> Answer:
    return _entropy_like(case, case.input["quantity"])


_moments = _local_entropy


def _heat(case: Case) -> Answer:
    x, tau, loss = case.input["x"], case.input["tau"], case.loss
    slope = case.input["quantity"] == "gradient"
    formula = cf.heat_gradient if slope else cf.heat
    if loss.kind in cf.HEAT:
        first = formula(CTX, loss, x, tau)
        second = routes.heat(loss, x, tau)[slope]
        rounded = formula(ROUNDED, loss, x, tau)
        methods = (f"closed form in {FIFTY}", _heat_route(loss))
        return _certified(case, first, second, _err(rounded), methods)
    # a mixture, in one dimension
    rules = (routes.trapezoid, routes.panels)
    first, second = (routes.integrated_heat(loss, x, tau, r)[slope] for r in rules)
    granted, methods = 1 + size(first), (TRAPEZOID, PANELS)
    return _certified(case, first, second, granted, methods, NUMERICAL * granted)


def _heat_route(loss: Any) -> str:
    if loss.kind in POLYNOMIAL:
        return "cubature exact to degree 5"
    return TRAPEZOID if loss.d == 1 else COMPLETED + ", complex for waves"


def _divergence(case: Case) -> Answer:
    given = [case.input[name] for name in ("mean0", "cov0", "mean1", "cov1")]
    first = cf.kl_gaussian(CTX, *given)
    rounded = cf.kl_gaussian(ROUNDED, *given)
    methods = (f"closed form in {FIFTY}", "cubature of log p - log q")
    return _certified(case, first, routes.divergence(*given), _err(rounded), methods)


# --- Algorithms 1 and 2, majorisers ---------------------------------------------------


def _path(step: Callable[[Any], Any], x0: Sequence[Any], updates: int) -> list[Any]:
    path = [list(x0)]
    for _ in range(updates):
        path.append(list(step(path[-1])))
    return path


def _alg1(case: Case) -> Answer:
    loss, given = case.loss, case.input
    x0, tau, updates = given["x0"], given["tau"], given["updates"]
    if loss.kind not in cf.LOCAL_ENTROPY:
        pair = _line_moments(loss, x0, tau)
        first, second = ([list(x0), m.mean] for m in pair)
        reach = size(x0) + size(first[1]) + tau**0.5
        allowance = NUMERICAL * reach
        rules = (TRAPEZOID, PANELS)
        return _certified(case, first, second, reach, rules, allowance)
    first, rounded = (
        _path(
            lambda y: cf.posterior_mean(ctx, loss, y, tau),  # noqa: B023
            [ctx.number(v) for v in x0],
            updates,
        )
        for ctx in (CTX, ROUNDED)
    )
    second = _path(lambda y: routes.moments(loss, y, tau).mean, x0, updates)
    line = loss.d == 1 and loss.kind not in cf.QUADRATIC
    methods = (f"closed form in {FIFTY}", TRAPEZOID if line else COMPLETED)
    return _certified(case, first, second, _err(rounded), methods)


def _alg2(case: Case) -> Answer:
    loss, given = case.loss, case.input
    x0, tau, updates = given["x0"], given["tau"], given["updates"]
    if loss.kind in cf.QUADRATIC:
        first, rounded = (
            _path(
                lambda y: cf.proximal_point(ctx, loss, y, tau),  # noqa: B023
                [ctx.number(v) for v in x0],
                updates,
            )
            for ctx in (Rational(), ROUNDED)
        )
        second = _path(lambda y: routes.moments(loss, y, tau).mean, x0, updates)
        methods = (f"stationarity in {RATIONAL}", COMPLETED)
        return _certified(case, first, second, _err(rounded), methods)
    points = proximal.proximal_points(loss, x0, tau).points
    methods = (
        "branch and bound, Newton's method on closed forms in 40 digits",
        f"Newton's method on differences of {_heat_route(loss)}",
    )
    parts = [_one_point(case, point, methods) for point in points]
    return Answer(
        [part.values[0] for part in parts],
        max(part.scale for part in parts),
        methods,
        min(part.agreement for part in parts),
    )


def _one_point(case: Case, point: Any, methods: tuple[str, str]) -> Answer:
    loss, x0, tau = case.loss, case.input["x0"], case.input["tau"]
    again = routes.proximal_point(loss, x0, tau, point)
    y = [float(v) for v in point]
    # a rounding of y is magnified by the condition of the root of h
    slope = cf.heat_gradient(ROUNDED, loss, y, tau)
    bend = cf.heat_hessian(CTX, loss, y, tau)
    matrix = np.eye(len(y)) + tau * np.array(nested(float, bend))
    terms = size(x0) + size(y) + tau * (_err(slope) + norm(s.value for s in slope))
    scale = terms * max(1.0, 1 / float(np.linalg.eigvalsh(matrix)[0]))
    first, second = ([list(x0), list(y)] for y in (point, again))
    return _certified(case, first, second, scale, methods)


def _majoriser(case: Case) -> Answer:
    given, loss = case.input, case.loss
    x, y, tau = given["x"], given["y"], given["tau"]
    if given["quantity"] == "heat":
        first, rounded = (
            cf.heat(ctx, loss, x, tau) + _parabola(ctx, x, y, tau)
            for ctx in (CTX, ROUNDED)
        )
        methods = (f"F^H + |x - y|^2/2tau in {FIFTY}", "its integral, by other rules")
        second = routes.heat_majoriser(loss, x, y, tau)
        return _certified(case, first, second, rounded.err, methods)
    if loss.kind in cf.LOCAL_ENTROPY:
        first, rounded = (_bracket(ctx, loss, x, y, tau) for ctx in (CTX, ROUNDED))
        methods = (f"F + (|x - E|^2 - |y - E|^2)/2tau in {FIFTY}", COMPLETED)
        second = routes.majoriser(loss, x, y, tau)
        return _certified(case, first, second, rounded.err, methods)
    first, second = (_tangent(m, x, y, tau) for m in _line_moments(loss, y, tau))
    granted = 1 + abs(float(first)) + size(x) + size(y)
    rules, allowance = (TRAPEZOID, PANELS), NUMERICAL * granted
    return _certified(case, first, second, granted, rules, allowance)


def _parabola(ctx: Any, x: Any, y: Any, tau: float) -> Any:
    gap = la.subtract(la.vector(ctx, x), la.vector(ctx, y))
    return ctx.dot(gap, gap) / (2 * ctx.number(tau))


def _bracket(ctx: Any, loss: Any, x: Any, y: Any, tau: float) -> Any:
    """F(y) + (|x - E|^2 - |y - E|^2)/(2 tau), E = E_q X at y."""
    mean = cf.posterior_mean(ctx, loss, y, tau)
    gain = _parabola(ctx, x, mean, tau) - _parabola(ctx, y, mean, tau)
    return cf.local_entropy(ctx, loss, y, tau) + gain


def _tangent(m: routes.Moments, x: Any, y: Any, tau: float) -> Any:
    """A(x, y) in one dimension from F and E_q X at y."""
    gap, t = routes.mp.mpf(x[0]) - routes.mp.mpf(y[0]), routes.mp.mpf(tau)
    slope = (routes.mp.mpf(y[0]) - m.mean[0]) / t
    return m.entropy + slope * gap + gap * gap / (2 * t)


# --- networks, schedules, laws --------------------------------------------------------


def _network(case: Case) -> Answer:
    x, loss = case.input["x"], case.loss
    if case.input["quantity"] == "value":
        first = network.value(CTX, loss, x)
        second = network.value_by_matrices(routes.CTX, loss, x)
        rounded = network.value(ROUNDED, loss, x)
        methods = (f"unit by unit in {FIFTY}", "by matrices in 60 digits")
        return _certified(case, first, second, rounded.err, methods)
    slope = network.gradient(CTX, loss, x)
    differences = network.gradient_by_differences(loss, x)
    bounds = network.gradient(ROUNDED, loss, x)
    methods = (f"back through the layers in {FIFTY}", "central differences of 1e-20")
    return _certified(case, slope, differences, _err(bounds), methods)


def _schedule(case: Case) -> Answer:
    given = case.input
    if given["kind"] == "scoping":
        setting = (given["tau0"], given["tau1"], given["k"])
        first, second = (cf.scoping(ctx, *setting) for ctx in (CTX, Rational()))
        rounded = cf.scoping(ROUNDED, *setting)
        methods = (f"the power in {FIFTY}", RATIONAL)
        return _certified(case, first, second, rounded.err, methods)
    numbers = range(1, given["count"] + 1)
    c = given["parameters"][0]
    if given["kind"] == "harmonic":
        values = [1 / (Fraction(c) + j) for j in numbers]
        other: list[Any] = [1 / (CTX.number(c) + j) for j in numbers]
        err = norm(ROUNDED.number(1) / (ROUNDED.number(c) + j) for j in numbers)
        methods = (RATIONAL, FIFTY)
        return _certified(case, values, other, 2 * err, methods)
    alpha = given["parameters"][1]
    first = [_power(CTX, c, alpha, j) for j in numbers]
    other = [routes.mp.mpf(c) / routes.power(j, alpha) for j in numbers]
    rounded = [_power(ROUNDED, c, alpha, j) for j in numbers]
    methods = (f"exp(-alpha log j) in {FIFTY}", "square roots in 60 digits")
    return _certified(case, first, other, _err(rounded), methods)


def _power(ctx: Any, c: float, alpha: float, j: int) -> Any:
    return ctx.number(c) * ctx.exp(-(ctx.number(alpha) * ctx.log(ctx.number(j))))


def _law(case: Case) -> Answer:
    """Mean and covariance of an affine output: its response, and its unit draws."""
    given = case.input
    if given["algorithm"] == 4:
        return _law_of_flat_weights(case)
    setting = (given["x"], given["tau"], given["step_sizes"])
    more: tuple[Any, ...] = (_tuple(given["start"]),)
    repeats = 1
    if given["algorithm"] == 5:
        repeats = given["inner_samples"]
        more = (repeats, *more)
    method = replay.langevin_response, replay.robbins_monro_response
    respond = method[given["algorithm"] == 5]
    rational = given["algorithm"] == 3 or _is_square(given["tau"])
    first, rounded = (
        _moments_of(ctx, respond(ctx, case.loss, *setting, *more), repeats)
        for ctx in (Rational() if rational else CTX, ROUNDED)
    )
    second = _by_unit_draws(case, Rational() if rational else routes.CTX)
    part = given["quantity"] == "covariance"
    digits = RATIONAL if rational else FIFTY
    methods = (f"adjoint recursion in {digits}", f"unit draws in {digits}")
    return _certified(case, first[part], second[part], _err(rounded[part]), methods)


def _moments_of(ctx: Any, response: replay.Response, repeats: int) -> tuple[Any, Any]:
    """Mean, and the sum over draws of slope slope'; each slope has `repeats` draws."""
    products = [la.matmul(ctx, S, la.transpose(S)) for S in response.slopes]
    covariance = [
        [ctx.sum([p[i][j] for p in products]) * repeats for j in range(len(row))]
        for i, row in enumerate(products[0])
    ]
    return response.mean, covariance


def _by_unit_draws(case: Case, ctx: Any) -> tuple[Any, Any]:
    given, d = case.input, len(case.input["x"])
    setting = (case.loss, given["x"], given["tau"], given["step_sizes"])
    count = len(given["step_sizes"])
    if given["algorithm"] == 3:
        draws = unit_draws(count - 1, d).tolist()
        run: Callable[..., replay.Chain] = replay.langevin
    else:
        draws = unit_draws(count, given["inner_samples"], d).tolist()
        run = replay.robbins_monro
    zero, *units = (run(ctx, *setting, z, given["start"]).output for z in draws)
    gains = [la.subtract(unit, zero) for unit in units]
    columns = la.transpose(gains)
    return zero, [[ctx.dot(a, b) for b in columns] for a in columns]


def _law_of_flat_weights(case: Case) -> Answer:
    """N(x, tau/J I) for a constant loss; by the replay of unit draws."""
    given, d = case.input, len(case.input["x"])
    J, tau = given["samples"], Fraction(given["tau"])
    draws = unit_draws(J, d).tolist()
    run = (case.loss, given["x"], given["tau"])
    zero, *units = (replay.importance(routes.CTX, *run, z)[0] for z in draws)
    columns = la.transpose([la.subtract(unit, zero) for unit in units])
    methods = ("N(x, tau/J) for equal weights", "unit draws in 60 digits")
    if given["quantity"] == "mean":
        first: Any = [Fraction(v) for v in given["x"]]
        return _certified(case, first, zero, size(given["x"]) * J, methods)
    first = [[tau / J if i == j else Fraction(0) for j in range(d)] for i in range(d)]
    second = [[routes.CTX.dot(a, b) for b in columns] for a in columns]
    # differences of outputs of the size of x, as many as there are draws
    scale = 2 * float(tau / J) ** 0.5 * (J * d) ** 0.5 * size(given["x"]) * J
    return _certified(case, first, second, scale, methods)


_ANSWERED: dict[str, Callable[[Case], Answer]] = {
    "sgld_replay": _chain,
    "sgld_impulse": _impulse,
    "rm_replay": _descent,
    "is_replay": _samples,
    "is_extreme": _samples,
    "local_entropy": _local_entropy,
    "heat": _heat,
    "posterior_moments": _moments,
    "kl_gauss": _divergence,
    "alg1_steps": _alg1,
    "alg2_steps": _alg2,
    "majorizers": _majoriser,
    "mlp": _network,
    "schedules": _schedule,
    "laws": _law,
}
