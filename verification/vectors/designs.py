"""The inputs of the vectors, family by family.

All of them are dyadic rationals of few digits, but for the paper's own parameters of
schedules.  Lists are only ever appended to: the ids of the vectors count their places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from verification import problems as P
from verification.losses import Linear, LossData, from_json
from verification.problems import power_law, small_squares, spread, squares

__all__ = ["DESIGNS", "WITHDRAWN", "Case"]


@dataclass(frozen=True, eq=False)
class Case:
    """One vector before it has an answer.

    Attributes
    ----------
    slug : str
        The id without its number.
    loss : LossData or None
    input : dict
        Arguments of the protocol's method, by name.
    conventions : dict of str to str
        Readings of the paper other than the default.
    digits : int
        How many are to be certified.
    """

    slug: str
    loss: Any
    input: dict[str, Any]
    conventions: dict[str, str] = field(default_factory=dict)
    digits: int = 30


#: Where a double-double integral is the truth.
FEWER = 20

XS = (
    (0.8125, -1.3125, 0.4375, 1.0625, -0.5625),
    (-0.4375, 0.6875, 1.1875, -0.9375, 0.3125),
    (1.4375, 0.1875, -0.8125, 0.5625, 1.0625),
    (-1.1875, -0.3125, 0.9375, 0.25, -0.8125),
)
TAUS = (0.25, 1.25, 0.5625, 0.375, 0.75, 1.5625)
START = (0.25, 0.5, -1.125, 0.75, 1.5)

FLAT = {"constant-d3": P.CONSTANT_3, "linear-d2": P.LINEAR_2}
BOWLS = {
    "quadratic-d1": P.QUADRATIC_1,
    "quadratic-d2": P.QUADRATIC_2,
    "indefinite-d3": P.INDEFINITE_3,
    "diagonal-d3": P.DIAGONAL_3,
    "scalar-d2": P.SCALAR_2,
    "quadratic-d5": P.QUADRATIC_5,
    "leastsquares-d2": P.LEAST_SQUARES_2,
    "leastsquares-d3": P.LEAST_SQUARES_3,
}
MIXTURES = {
    "mixture-d1": P.MIXTURE_1,
    "mixture-d2": P.MIXTURE_2,
    "mixture-d3": P.MIXTURE_3,
    "rare-d1": P.RARE_1,
}
QUARTICS = {
    "quartic-d1": P.QUARTIC_1,
    "quartic-d2": P.QUARTIC_2,
    "quartic-d3": P.QUARTIC_3,
}
WAVES = {"waves-d1": P.WAVES_1, "waves-d2": P.WAVES_2}
WELLS = {"wells-d1": P.WELLS_1, "wells-d2": P.WELLS_2, "wells-d3": P.WELLS_3}
NETWORKS = {
    "softmax-d8": P.SOFTMAX_8,
    "relu-d14": P.RELU_14,
    "tanh-d14": P.TANH_14,
    "sigmoid-d17": P.SIGMOID_17,
}
CONJUGATE = {**FLAT, **BOWLS, **MIXTURES, "mixture-d5": P.MIXTURE_5}
ALL = {**FLAT, **BOWLS, **MIXTURES, **QUARTICS, **WAVES, **WELLS}
LINES = {
    "quartic-d1": P.QUARTIC_1,
    "waves-d1": P.WAVES_1,
    "wells-d1": P.WELLS_1,
    "doublewell-d1": P.DOUBLE_WELL_1,
}
PLANES = {
    "quartic-d2": P.QUARTIC_2,
    "waves-d2": P.WAVES_2,
    "wells-d2": P.WELLS_2,
}
#: Those of two dimensions whose integrals take seconds and not minutes.
INTEGRATED = {slug: PLANES[slug] for slug in ("quartic-d2", "waves-d2")}


def _at(loss: LossData, i: int) -> dict[str, Any]:
    """A centre and a variance by turns, so that neither follows the other."""
    tau = TAUS[(5 * i + i // len(TAUS)) % len(TAUS)]
    return {"x": spread(XS[i % len(XS)], loss.d), "tau": tau}


# --- Algorithm 3 ----------------------------------------------------------------------

STEPS = {
    2: squares(11, 5),
    3: squares(6, 9, 4),
    4: squares(8, 5, 10, 6),
    5: squares(9, 5, 7, 4, 6),
    9: squares(5, 7, 3, 6, 4, 8, 3, 5, 6),
}
CHAINS = (
    *((2, True), (3, False), (5, True), (4, False)),
    *((3, True), (5, False), (4, True), (9, False)),
)


def _chain(
    slug: str,
    loss: LossData,
    at: dict[str, Any],
    steps: Sequence[float],
    start: Any = None,
    **readings: str,
) -> Case:
    chain = readings.get("chain", "literal")
    moves = len(steps) if chain == "new-states" else len(steps) - 1
    label = f"{slug} {at['x'][:2]} {at['tau']} {len(steps)} {start is None}"
    z = P.draws(label, moves, loss.d).tolist()
    given = {**at, "step_sizes": tuple(steps), "draws": z, "start": start}
    said = {f"sgld.{key}": value for key, value in readings.items()}
    return Case(f"sgld-{slug}", loss, given, said)


def _sgld() -> Iterator[Case]:
    for place, (slug, loss) in enumerate(ALL.items()):
        for i, (J, moved) in enumerate(CHAINS):
            if loss.kind == "quartic" and loss.d > 1:
                J = min(J, 5)
            at = _at(loss, i + 5 * place)
            start = spread(START, loss.d) if moved else None
            yield _chain(slug, loss, at, STEPS[J], start)
    for slug in ("quadratic-d1", "diagonal-d3"):
        at = {"x": spread(XS[0], BOWLS[slug].d), "tau": P.TINY}
        yield _chain(slug, BOWLS[slug], at, small_squares(5, 7, 3, 6, 4))
        yield _chain(slug, BOWLS[slug], {**at, "tau": 2 * P.TINY}, small_squares(6, 3))
    steep = {"x": P.STEEP, "tau": 0.75}
    yield _chain("stiff-d2", P.STIFF_2, steep, small_squares(20, 28, 12))
    far = {"x": (4096.5, -3071.25, 5120.75), "tau": 0.75}
    small = tuple(((1 + j % 5) / 256) ** 2 for j in range(9))
    yield _chain("linear-d3", Linear([0.75, -1.5, 0.5]), far, small)
    for slug, loss in NETWORKS.items():
        at = {"x": P.weights(f"vector {slug}", loss.d), "tau": TAUS[len(slug) % 4]}
        yield _chain(slug, loss, at, STEPS[3], spread(START, loss.d))
    yield from _other_readings()


def _other_readings() -> Iterator[Case]:
    average = "exponential-average:0.25"
    for slug in ("quadratic-d2", "quartic-d2", "mixture-d3"):
        loss = ALL[slug]
        for i, J in enumerate((2, 3, 4, 5)):
            at, start = _at(loss, i), spread(START, loss.d) if i % 2 else None
            yield _chain(slug, loss, at, STEPS[J], start, chain="new-states")
            yield _chain(slug, loss, at, STEPS[J], start, output=average)


def _impulses() -> Iterator[Case]:
    chosen = ("quadratic-d1", "quadratic-d2", "leastsquares-d3", "indefinite-d3")
    for place, slug in enumerate((*chosen, "linear-d2", "scalar-d2")):
        loss = ALL[slug]
        for J, i in ((3, 0), (5, 1)):
            at = _at(loss, 3 * place + i)
            start = spread(START, loss.d) if i else None
            units = [(j, k) for j in range(J - 1) for k in range(loss.d)]
            for unit in (None, *units):
                z = np.zeros((J - 1, loss.d))
                if unit is not None:
                    z[unit] = 1.0
                given = {
                    **at,
                    "step_sizes": STEPS[J],
                    "draws": z.tolist(),
                    "start": start,
                }
                yield Case(f"impulse-{slug}", loss, given)


# --- Algorithm 5 ----------------------------------------------------------------------

DESCENTS = (
    (power_law(0.5, 0.75, 3), 3, True),
    (power_law(0.375, 0.75, 5), 1, False),
    (power_law(0.25, 0.625, 3), 4, True),
    (power_law(0.5, 1.0, 2), 3, False),
    (power_law(0.75, 0.75, 4), 3, False),
    (power_law(0.25, 0.75, 1), 3, True),
)


def _descent(
    slug: str,
    loss: LossData,
    at: dict[str, Any],
    steps: Sequence[float],
    M: int,
    start: Any = None,
    fewer: bool = False,
) -> Case:
    moves = len(steps) - fewer
    label = f"{slug} {at['x'][:2]} {at['tau']} {len(steps)} {M} {start is None}"
    given = {
        **at,
        "step_sizes": tuple(steps),
        "inner_samples": M,
        "draws": P.draws(label, moves, M, loss.d).tolist(),
        "start": start,
    }
    said = {"robbins_monro.moves": "J-1"} if fewer else {}
    return Case(f"rm-{slug}", loss, given, said)


def _robbins_monro() -> Iterator[Case]:
    for place, (slug, loss) in enumerate(ALL.items()):
        for i, (steps, M, moved) in enumerate(DESCENTS):
            at = _at(loss, i + 3 * place)
            if loss.kind == "quartic":
                at["tau"] = min(at["tau"], 0.5625)
                steps = steps[:3]
            start = spread(START, loss.d) if moved else None
            yield _descent(slug, loss, at, steps, M, start)
    for slug in ("diagonal-d3", "quadratic-d2"):
        at = {"x": spread(XS[2], BOWLS[slug].d), "tau": P.TINY}
        yield _descent(slug, BOWLS[slug], at, power_law(0.5, 0.75, 3), 3)
        at = {"x": spread(XS[1], BOWLS[slug].d), "tau": 0.25}
        yield _descent(slug, BOWLS[slug], at, power_law(0.5, 0.75, 2), 9)
    steep = {"x": P.STEEP, "tau": 0.0625}
    yield _descent("stiff-d2", P.STIFF_2, steep, power_law(0.125, 0.75, 3), 3)
    for slug in ("softmax-d8", "relu-d14"):
        loss = NETWORKS[slug]
        at = {"x": P.weights(f"vector {slug}", loss.d), "tau": 0.375}
        yield _descent(slug, loss, at, power_law(0.5, 0.75, 2), 2)
    for slug in ("quadratic-d2", "quartic-d2", "wells-d1"):
        for i in (0, 2, 4):
            steps, M, _ = DESCENTS[i]
            loss = ALL[slug]
            at = {"x": spread(XS[i % 4], loss.d), "tau": TAUS[i // 2]}
            yield _descent(slug, loss, at, steps[:3], M, None, fewer=True)


# --- Algorithm 4 ----------------------------------------------------------------------

SHARES = ((5, 1), (9, 3), (4, 3), (13, 4), (2, 1), (7, 4))


def _sample(
    name: str,
    loss: LossData,
    at: dict[str, Any],
    J: int,
    workers: int,
    quantity: str = "mean",
) -> Case:
    label = f"{name} {at['x'][:2]} {at['tau']} {J}"
    given = {
        **at,
        "samples": J,
        "workers": workers,
        "draws": P.draws(label, J, loss.d).tolist(),
        "quantity": quantity,
    }
    return Case(name, loss, given)


def _importance() -> Iterator[Case]:
    for place, (slug, loss) in enumerate(ALL.items()):
        for i, (J, workers) in enumerate(SHARES):
            quantity = "weights" if J in (3, 4) else "mean"
            at = _at(loss, i + place)
            yield _sample(f"is-{slug}", loss, at, J, workers, quantity)
    for slug in ("softmax-d8", "tanh-d14"):
        loss = NETWORKS[slug]
        at = {"x": P.weights(f"vector {slug}", loss.d), "tau": 0.75}
        yield _sample(f"is-{slug}", loss, at, 5, 3)
    for slug in ("quadratic-d1", "leastsquares-d2", "mixture-d2"):
        at = {"x": spread(XS[3], ALL[slug].d), "tau": 0.5625}
        yield _sample(f"is-{slug}", ALL[slug], at, 40, 5)
    tiny = {"x": spread(XS[0], 2), "tau": P.TINY}
    yield _sample("is-stiff-d2", P.STIFF_2, tiny, 9, 1)


def steep(loss: LossData, factor: float = 400.0) -> LossData:
    """The same loss times a factor, 400 or another square of an integer."""
    linear = {"c", "c2", "c3", "c4", "coupling", "H", "amplitude", "depths"}
    data = loss.to_json()
    for name, value in data.items():
        if name in linear:
            data[name] = (factor * np.array(value)).tolist()
        if name in ("A", "b"):  # f is quadratic in them
            data[name] = (factor**0.5 * np.array(value)).tolist()
    return from_json(data)


def raised(loss: LossData, rise: float) -> LossData:
    """The same loss plus a constant."""
    data = loss.to_json()
    return from_json({**data, "c": data["c"] + rise})


def _extreme() -> Iterator[Case]:
    lifted = ("quadratic-d2", "linear-d2", "waves-d2", "wells-d2", "indefinite-d3")
    for place, slug in enumerate(lifted):
        for i, rise in enumerate((800.0, -800.0, 1600.0)):
            loss = raised(ALL[slug], rise)
            J, workers = SHARES[i]
            yield _sample(f"extreme-{slug}", loss, _at(loss, i + place), J, workers)
    sharp = ("quartic-d1", "quartic-d2", "indefinite-d3", "waves-d2", "leastsquares-d2")
    for place, slug in enumerate((*sharp, "wells-d2", "quadratic-d1")):
        loss = steep(ALL[slug])
        for i in range(3):
            J, workers = SHARES[(i + place) % 4]
            yield _sample(f"extreme-{slug}", loss, _at(loss, i + place), J, workers)
    far = ((60.0, -45.0), (-75.0, 40.0, 60.0), (90.0,))
    for slug, x in zip(("mixture-d2", "mixture-d3", "mixture-d1"), far, strict=True):
        for i, (J, workers) in enumerate(SHARES[:3]):
            at = {"x": x, "tau": TAUS[2 * i]}
            yield _sample(f"extreme-{slug}", MIXTURES[slug], at, J, workers)


# --- functions ------------------------------------------------------------------------


def _each(
    prefix: str,
    losses: dict[str, Any],
    count: int,
    quantities: Sequence[str],
    digits: int = 30,
    first: int = 0,
) -> Iterator[Case]:
    for place, (slug, loss) in enumerate(losses.items()):
        for i, quantity in product(range(first, first + count), quantities):
            given = {**_at(loss, i + place), "quantity": quantity}
            yield Case(f"{prefix}-{slug}", loss, given, digits=digits)


def _local_entropy() -> Iterator[Case]:
    both = ("value", "gradient")
    bent = {slug: loss for slug, loss in CONJUGATE.items() if loss.kind != "constant"}
    yield from _each("le", {"constant-d3": P.CONSTANT_3}, 2, ("value",))
    yield from _each("le", bent, 3, both)
    yield from _each("le", LINES, 3, both)
    yield from _each("le", INTEGRATED, 1, both, FEWER)
    for slug, x in (("mixture-d2", (60.0, -45.0)), ("mixture-d3", (-75.0, 40.0, 60.0))):
        for quantity in both:
            given = {"x": x, "tau": 0.75, "quantity": quantity}
            yield Case(f"le-{slug}", MIXTURES[slug], given)


def _heat() -> Iterator[Case]:
    both = ("value", "gradient")
    yield from _each("heat", {"linear-d2": P.LINEAR_2, **BOWLS}, 2, both)
    yield from _each("heat", {**QUARTICS, **WAVES, **WELLS}, 4, both)
    yield from _each("heat", {"mixture-d1": P.MIXTURE_1}, 2, both)


def _moments() -> Iterator[Case]:
    both = ("mean", "covariance")
    yield from _each("moments", CONJUGATE, 2, both)
    yield from _each("moments", LINES, 2, both, first=1)
    yield from _each("moments", INTEGRATED, 1, both, FEWER)


SPREADS = {
    1: (((0.375,),), ((1.25,),), ((0.0625,),), ((2.5,),)),
    2: (
        ((0.75, 0.25), (0.25, 0.5)),
        ((1.5, -0.375), (-0.375, 2.25)),
        ((0.25, 0.0625), (0.0625, 0.1875)),
        ((2.0, 0.625), (0.625, 0.875)),
    ),
    3: (
        ((0.75, 0.25, -0.125), (0.25, 0.5, 0.125), (-0.125, 0.125, 0.625)),
        ((1.25, -0.25, 0.375), (-0.25, 2.5, 0.5), (0.375, 0.5, 0.875)),
        ((0.5, -0.125, 0.0625), (-0.125, 0.875, 0.25), (0.0625, 0.25, 0.375)),
        ((3.0, 0.5, 0.25), (0.5, 1.5, -0.75), (0.25, -0.75, 2.0)),
    ),
}


def _divergences() -> Iterator[Case]:
    for d, spreads in SPREADS.items():
        pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
        for a, b in pairs:
            yield _pair(f"kl-d{d}", XS[a][:d], spreads[a], XS[b][:d], spreads[b])
        near = [list(row) for row in spreads[0]]
        near[0][0] += 2.0**-10
        yield _pair(f"kl-d{d}", XS[0][:d], near, XS[0][:d], spreads[0])
    narrow, wide = ((2.0**-40,),), ((1.25,),)
    yield _pair("kl-d1", (0.5,), narrow, (-0.25,), wide)
    yield _pair("kl-d1", (0.5,), ((2.0**40,),), (-0.25,), wide)
    five = np.array(P.MIXTURE_5.covariances).tolist()
    yield _pair("kl-d5", XS[0], five[0], XS[1], five[1])
    yield _pair("kl-d5", XS[1], five[1], XS[0], five[0])


def _pair(slug: str, mean0: Any, cov0: Any, mean1: Any, cov1: Any) -> Case:
    given = {"mean0": mean0, "cov0": cov0, "mean1": mean1, "cov1": cov1}
    return Case(slug, None, given)


# --- Algorithms 1 and 2, majorisers ---------------------------------------------------


def _run(slug: str, loss: LossData, at: dict[str, Any], updates: int) -> Case:
    return Case(slug, loss, {"x0": at["x"], "tau": at["tau"], "updates": updates})


def _alg1() -> Iterator[Case]:
    for place, (slug, loss) in enumerate(CONJUGATE.items()):
        for i, updates in enumerate((1, 2, 4)):
            if loss.d < 5 or updates < 4:
                yield _run(f"alg1-{slug}", loss, _at(loss, i + place), updates)
    for slug, loss in LINES.items():
        yield _run(f"alg1-{slug}", loss, _at(loss, 3), 1)


def _alg2() -> Iterator[Case]:
    for place, (slug, loss) in enumerate({**FLAT, **BOWLS}.items()):
        for i, updates in enumerate((1, 3)):
            if loss.d < 5 or updates < 3:
                yield _run(f"alg2-{slug}", loss, _at(loss, i + place), updates)
    for place, (slug, loss) in enumerate({**LINES, **PLANES}.items()):
        for i in range(4 - loss.d):
            yield _run(f"alg2-{slug}", loss, _at(loss, i + place), 1)
    wells = P.DOUBLE_WELL_1
    for x in (0.0, 0.125, 2.0**-10):
        yield _run("alg2-doublewell-d1", wells, {"x": (x,), "tau": 0.5}, 1)
    yield _run("alg2-wells-d1", P.WELLS_1, {"x": (0.125,), "tau": 0.5}, 1)
    yield _run("alg2-waves-d1", P.WAVES_1, {"x": (2.5,), "tau": 1.5}, 1)
    double = {"x": (0.125, 0.0625), "tau": 0.375}
    yield _run("alg2-doublewell-d2", P.DOUBLE_WELL_2, double, 1)


def _majorisers() -> Iterator[Case]:
    smooth = {**QUARTICS, **WAVES, **WELLS}
    yield from _majorised("local_entropy", CONJUGATE, 2)
    yield from _majorised("local_entropy", LINES, 1)
    yield from _majorised("heat", {**BOWLS, **smooth}, 2)
    for slug in ("quadratic-d2", "mixture-d3"):
        at = _at(CONJUGATE[slug], 1)
        given = {**at, "y": at["x"], "quantity": "local_entropy"}
        yield Case(f"major-{slug}", CONJUGATE[slug], given)


def _majorised(quantity: str, losses: dict[str, Any], count: int) -> Iterator[Case]:
    for place, (slug, loss) in enumerate(losses.items()):
        for i in range(count):
            y = spread(XS[(i + place + 1) % len(XS)], loss.d)
            given = {**_at(loss, i + place), "y": y, "quantity": quantity}
            yield Case(f"major-{slug}", loss, given)


# --- networks, schedules, laws --------------------------------------------------------


def _networks() -> Iterator[Case]:
    shapes = ((3, 2), (4, 3), (3, 2, 2), (2, 3, 2), (3, 4, 3), (2, 2, 2, 2), (2, 3, 3))
    for sizes in shapes:
        name = "-".join(map(str, sizes))
        for N in (1, 4):
            loss = P.examples(f"vector {name} {N}", sizes, N)
            x = P.weights(f"vector {name} {N}", loss.d, 1.0)
            for quantity in ("value", "gradient"):
                yield Case(f"mlp-{name}", loss, {"x": x, "quantity": quantity})
    wide = P.examples("vector wide", (2, 3), 3)
    x = (*[0.0] * 6, 0.0, 900.0, -900.0)
    for quantity in ("value", "gradient"):
        yield Case("mlp-wide", wide, {"x": x, "quantity": quantity})


SCOPINGS = ((1.5, 0.01), (1.5, 1.0), (0.01, -0.00997), (0.75, 0.25))
POWERS = ((0.1, 0.7), (0.5, 1.0), (0.5, 0.75), (0.25, 0.625), (0.1, 0.51), (1.5, 0.9))


def _schedules() -> Iterator[Case]:
    for (tau0, tau1), k in product(SCOPINGS, (0, 1, 2, 5, 10, 100, 503)):
        given = {"kind": "scoping", "tau0": tau0, "tau1": tau1, "k": k}
        yield Case("scoping", None, given)
    for c, count in product((1000.0, 16.0, 0.5), (1, 3, 6)):
        given = {"kind": "harmonic", "parameters": (c,), "count": count}
        yield Case("harmonic", None, given)
    for pair, count in product(POWERS, (1, 3, 6)):
        given = {"kind": "power", "parameters": pair, "count": count}
        yield Case("power", None, given)


def _laws() -> Iterator[Case]:
    both = ("mean", "covariance")
    small = {slug: loss for slug, loss in BOWLS.items() if loss.d < 4}
    for place, (slug, loss) in enumerate({**small, "linear-d2": P.LINEAR_2}.items()):
        for J, quantity in product((4, 5), both):
            start = spread(START, loss.d) if J == 5 else None
            given = {**_at(loss, J + place), "step_sizes": STEPS[J], "start": start}
            more = {"algorithm": 3, "quantity": quantity}
            yield Case(f"law3-{slug}", loss, {**given, **more})
    for place, slug in enumerate(("quadratic-d1", "quadratic-d2", "leastsquares-d3")):
        for i, quantity in product((0, 2), both):
            steps, M, _ = DESCENTS[i]
            given = {**_at(BOWLS[slug], i + place), "step_sizes": steps, "start": None}
            more = {"algorithm": 5, "inner_samples": M, "quantity": quantity}
            yield Case(f"law5-{slug}", BOWLS[slug], {**given, **more})
    for (J, workers), quantity in product(((8, 4), (5, 1), (7, 3)), both):
        given = {**_at(P.CONSTANT_3, J), "samples": J, "workers": workers}
        more = {"algorithm": 4, "quantity": quantity}
        yield Case("law4-constant-d3", P.CONSTANT_3, {**given, **more})


#: Ids that are not given again, and why their vectors are not there.
WITHDRAWN = {
    "kl-d1-0015": "T07 is off by 366 tolerances only",
    "scoping-0014": "below the range of single precision",
    "scoping-0028": "below the range of single precision",
    "sgld-rare-d1-0008": "M11 is off by 131 tolerances only",
    "is-quartic-d1-0005": "I05 is off by 8 tolerances only",
    "is-quartic-d2-0005": "I05 is off by 2 tolerances only",
    "extreme-quartic-d1-0001": "I17 is off by 943 tolerances only",
    "extreme-quartic-d1-0002": "I20 is off by 792 tolerances only",
    "extreme-leastsquares-d2-0002": "I15 is off by 72 tolerances only",
    "extreme-mixture-d2-0001": "I17 is off by 108 tolerances only",
    "extreme-mixture-d3-0002": "I17 is off by 10 tolerances only",
    "extreme-mixture-d1-0001": "I15 is off by 5 tolerances only",
}

DESIGNS: dict[str, Callable[[], Iterator[Case]]] = {
    "sgld_replay": _sgld,
    "sgld_impulse": _impulses,
    "rm_replay": _robbins_monro,
    "is_replay": _importance,
    "is_extreme": _extreme,
    "local_entropy": _local_entropy,
    "heat": _heat,
    "posterior_moments": _moments,
    "kl_gauss": _divergences,
    "alg1_steps": _alg1,
    "alg2_steps": _alg2,
    "majorizers": _majorisers,
    "mlp": _networks,
    "schedules": _schedules,
    "laws": _laws,
}
