"""What is special about a vector, and what that shows: the flags and their notes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from verification.truth import closed_forms as cf
from verification.truth.carriers import Double
from verification.vectors.designs import Case

__all__ = ["NOTES", "flags"]

#: Log-weights that differ by more leave the range of doubles.
RANGE = 700.0


@dataclass(frozen=True)
class Note:
    """A flag's explanation, and which cases carry it."""

    kind: str
    description: str
    effect: str
    carried: Callable[[str, Case], Any]
    links: tuple[str, ...] = ()


def _given(case: Case, name: str, default: Any = None) -> Any:
    return case.input.get(name, default)


def _steps(case: Case) -> Any:
    return np.array(_given(case, "step_sizes", (1.0,)))


def _dimension(case: Case) -> int:
    if case.loss is not None:
        return int(case.loss.d)
    return len(_given(case, "mean0", ()))


def _crossed(case: Case) -> bool:
    """Whether coordinates meet in the loss or in a covariance."""
    loss = case.loss
    if loss is None:
        matrices = [np.array(_given(case, name, 0.0)) for name in ("cov0", "cov1")]
    elif getattr(loss, "coupling", 0.0):
        return loss.d > 1
    elif loss.kind == "least_squares":
        matrices = [loss.A.T @ loss.A]
    elif loss.kind == "trigonometric":
        matrices = [loss.frequency.T @ loss.frequency]
    else:
        fields = (getattr(loss, name, 0.0) for name in ("H", "covariances"))
        matrices = [np.asarray(field) for field in fields]
    squares = [m.reshape(-1, *m.shape[-2:]) for m in matrices if m.ndim > 1]
    return any(np.any(M - np.diag(np.diagonal(M))) for part in squares for M in part)


def _indefinite(case: Case) -> bool:
    H: Any = getattr(case.loss, "H", None)
    return np.ndim(H) == 2 and bool(np.linalg.eigvalsh(H)[0] < 0)


def _examples(case: Case) -> int:
    return len(getattr(case.loss, "b", getattr(case.loss, "labels", ())))


def _heights(case: Case) -> list[float]:
    """f at the samples of Algorithm 4."""
    given, ctx = case.input, Double()
    sd = math.sqrt(given["tau"])
    points = [
        [float(c) + sd * v for c, v in zip(given["x"], z, strict=True)]
        for z in given["draws"]
    ]
    return [float(cf.value(ctx, case.loss, y)) for y in points]


def _spread(family: str, case: Case) -> bool:
    if family != "is_extreme":
        return False
    heights = _heights(case)
    return max(heights) - min(heights) > RANGE


def _outside(family: str, case: Case) -> bool:
    """Whether exp(-f) overflows, or underflows, at every sample."""
    if family != "is_extreme":
        return False
    heights = _heights(case)
    return max(heights) < -RANGE or min(heights) > RANGE


def _alpha(case: Case) -> Any:
    if _given(case, "kind") == "power":
        return case.input["parameters"][1]
    return None


def _draws(case: Case) -> Any:
    return np.array(_given(case, "draws", ()))


def _impulse(family: str, case: Case, count: int) -> bool:
    return family == "sgld_impulse" and int(_draws(case).sum()) == count


def _near(case: Case) -> bool:
    pair = [np.array(_given(case, f"cov{i}", ((i,),))) for i in (0, 1)]
    return case.loss is None and bool(np.abs(pair[0] - pair[1]).max() < 2.0**-9)


NOTES = {
    "OneDimension": Note(
        "DIMENSION",
        "one coordinate",
        "a factor d/2 is 1/2 and not 1",
        lambda _, c: _dimension(c) == 1,
    ),
    "ThreeOrMore": Note(
        "DIMENSION",
        "at least three coordinates",
        "factors d, transposes and flattened orders show",
        lambda _, c: _dimension(c) > 2,
    ),
    "Coupled": Note(
        "DIMENSION",
        "the coordinates are coupled by the loss or a covariance",
        "transposes, off-diagonal terms and noise shared between coordinates show",
        lambda _, c: _crossed(c),
    ),
    "NonQuadratic": Note(
        "LOSS",
        "the gradient is not an affine function",
        "a gradient at a wrong point shows, and Algorithms 1 and 2 differ",
        lambda _, c: c.loss is not None and c.loss.kind not in cf.QUADRATIC,
    ),
    "Indefinite": Note(
        "LOSS",
        "the hessian has a negative eigenvalue",
        "absolute values and positive parts show",
        lambda _, c: _indefinite(c),
    ),
    "FiniteSum": Note(
        "REDUCTION",
        "f is the mean over several examples",
        "a sum in place of the mean shows",
        lambda _, c: _examples(c) > 1,
    ),
    "SmallVariance": Note(
        "SCALE",
        "tau below 0.2",
        "a floor of tau shows, and tau against its root",
        lambda _, c: (_given(c, "tau") or 1.0) < 0.2,
    ),
    "UnevenSchedule": Note(
        "WEIGHTING",
        "the largest step is more than twice the smallest",
        "weights, pairing and shifts of the schedule show",
        lambda _, c: _steps(c).max() > 2 * _steps(c).min(),
    ),
    "NoiseScale": Note(
        "SCALE",
        "a draw of size 2 or more, of which the root of the step is the factor",
        "epsilon in place of its root and clipped noise show",
        lambda f, c: f == "sgld_replay" and np.abs(_draws(c)).max() > 2,
        ("blei-lab/edward#722", "ucla-vision/entropy-sgd#2"),
    ),
    "MovedStart": Note(
        "ANCHOR",
        "the chain starts elsewhere than at the centre",
        "a pull towards the start, and a start at the centre, show",
        lambda _, c: _given(c, "start") is not None,
    ),
    "TwoStates": Note(
        "LENGTH",
        "two states, one move",
        "an error in the number of moves shows most",
        lambda f, c: f == "sgld_replay" and len(_steps(c)) == 2,
    ),
    "ManyStates": Note(
        "LENGTH",
        "nine states",
        "what accumulates shows",
        lambda f, c: f == "sgld_replay" and len(_steps(c)) == 9,
    ),
    "NewStates": Note(
        "READING",
        "J moves, and the states that they produce are averaged",
        "for those who declare sgld.chain = new-states",
        lambda _, c: c.conventions.get("sgld.chain") == "new-states",
    ),
    "ExponentialAverage": Note(
        "READING",
        "the output is an exponential average of the states",
        "for those who declare sgld.output = exponential-average:0.25",
        lambda _, c: "sgld.output" in c.conventions,
    ),
    "FewerMoves": Note(
        "READING",
        "J steps, of which J - 1 are made",
        "for those who declare robbins_monro.moves = J-1",
        lambda _, c: "robbins_monro.moves" in c.conventions,
    ),
    "NoDraws": Note(
        "IMPULSE",
        "all draws are zero",
        "the output is the mean of its law",
        lambda f, c: _impulse(f, c, 0),
    ),
    "UnitDraw": Note(
        "IMPULSE",
        "one draw is 1 and all others are zero",
        "the difference from the output without draws is one coefficient of the noise",
        lambda f, c: _impulse(f, c, 1),
    ),
    "InnerSamples": Note(
        "REDUCTION",
        "at least three samples for every gradient",
        "1/M, 1/(M-1) and shared samples show",
        lambda _, c: _given(c, "inner_samples", 0) > 2,
    ),
    "FewInnerSamples": Note(
        "REDUCTION",
        "one sample, or two, for every gradient",
        "division by M - 1 is by zero, or by one",
        lambda _, c: _given(c, "inner_samples", 9) < 3,
    ),
    "Workers": Note(
        "REDUCTION",
        "several workers share the samples, in slices of unequal size",
        "the rule of merging shows; the result does not depend on their number",
        lambda _, c: (
            _given(c, "workers", 1) > 1 and c.input["samples"] % c.input["workers"] > 0
        ),
    ),
    "Weights": Note(
        "OUTPUT",
        "the answer is the normalised weights, not the output",
        "a missing normalisation shows by itself",
        lambda _, c: _given(c, "quantity") == "weights",
    ),
    "Overflow": Note(
        "RANGE",
        "exp(-f) is 0, or infinite, at every sample",
        "weights without a shift show",
        _outside,
    ),
    "SpreadWeights": Note(
        "RANGE",
        "log-weights that differ by more than 700",
        "clipped and tempered weights show",
        _spread,
    ),
    "FarOut": Note(
        "RANGE",
        "a centre dozens of deviations away from the loss's features",
        "log-sum-exp without a shift shows",
        lambda _, c: np.abs(_given(c, "x", (0.0,))).max() >= 40,
    ),
    "Gradient": Note(
        "OUTPUT",
        "the answer is a gradient",
        "signs and factors tau show",
        lambda _, c: _given(c, "quantity") == "gradient",
    ),
    "Covariance": Note(
        "OUTPUT",
        "the answer is a covariance matrix",
        "the part between components shows",
        lambda _, c: _given(c, "quantity") == "covariance",
    ),
    "Integral": Note(
        "ACCURACY",
        "no closed form: a subject must integrate, and is granted ten digits",
        "nodes and weights of quadrature rules show",
        lambda f, c: _integral(f, c),
    ),
    "FewerDigits": Note(
        "ACCURACY",
        "20 certified digits, from integrals in two dimensions",
        "none: no tolerance is near",
        lambda _, c: c.digits == 20,
    ),
    "NearlyEqual": Note(
        "CONDITION",
        "two Gaussians that differ by 2^-10 in one entry",
        "terms that cancel show",
        lambda _, c: _near(c),
    ),
    "Asymmetric": Note(
        "ORDER",
        "two Gaussians that differ much",
        "the two arguments of the divergence, swapped, show",
        lambda f, c: f == "kl_gauss" and not _near(c),
    ),
    "SeveralUpdates": Note(
        "LENGTH",
        "more than one update",
        "a pull that stays at x_0 shows",
        lambda _, c: _given(c, "updates", 0) > 1,
    ),
    "OneUpdate": Note(
        "LENGTH",
        "one update",
        "the projection by itself",
        lambda _, c: _given(c, "updates", 0) == 1,
    ),
    "Tie": Note(
        "SET",
        "several global minimisers: each of them is right",
        "none is preferred",
        lambda f, c: f == "alg2_steps" and _tied(c),
    ),
    "Bimodal": Note(
        "LOSS",
        "two wells of nearly the same depth",
        "mean seeking and mode seeking part, and local minimisers show",
        lambda f, c: f == "alg2_steps" and c.slug.startswith("alg2-doublewell"),
    ),
    "SamePoint": Note(
        "IDENTITY",
        "x = y, where the majoriser touches",
        "A(x, x) = F(x)",
        lambda _, c: "y" in c.input and c.input["x"] == c.input["y"],
    ),
    "OfHeat": Note(
        "OUTPUT",
        "the majoriser A^H of heat",
        "its 1/2 shows",
        lambda f, c: f == "majorizers" and c.input["quantity"] == "heat",
    ),
    "Hidden": Note(
        "LAYOUT",
        "hidden layers of ReLU",
        "masks, transposes and the order of parameters show",
        lambda f, c: f == "mlp" and len(c.loss.sizes) > 2,
    ),
    "Softmax": Note(
        "LAYOUT",
        "no hidden layer",
        "labels and the softmax show by themselves",
        lambda f, c: f == "mlp" and len(c.loss.sizes) == 2,
    ),
    "Scoping": Note(
        "SCHEDULE",
        "tau(k) of (18)",
        "k against k + 1, and a harmonic law, show",
        lambda _, c: _given(c, "kind") == "scoping",
    ),
    "PowerLaw": Note(
        "SCHEDULE",
        "steps c j^-alpha with alpha below 1",
        "a growing, constant, exponential or harmonic law shows",
        lambda _, c: (_alpha(c) or 1.0) < 1,
    ),
    "AlphaOne": Note(
        "SCHEDULE",
        "steps c/j, or 1/(c + j)",
        "an index that starts at 0 or 2 shows, a harmonic law does not",
        lambda _, c: _alpha(c) == 1.0 or _given(c, "kind") == "harmonic",
    ),
    "PaperValues": Note(
        "SCHEDULE",
        "parameters of the paper's experiments, as the doubles nearest to them",
        "these are the numbers that a configuration file holds",
        lambda f, c: f == "schedules" and _inexact(c),
    ),
    "OfAlgorithm3": Note(
        "LAW",
        "the law of the output of Algorithm 3 on a quadratic: Gaussian",
        "mean and covariance are all there is",
        lambda _, c: _given(c, "algorithm") == 3,
    ),
    "OfAlgorithm4": Note(
        "LAW",
        "the law of the output of Algorithm 4 on a constant: Gaussian",
        "workers that share their draws show in the covariance",
        lambda _, c: _given(c, "algorithm") == 4,
    ),
    "OfAlgorithm5": Note(
        "LAW",
        "the law of the output of Algorithm 5 on a quadratic: Gaussian",
        "M shows in the covariance",
        lambda _, c: _given(c, "algorithm") == 5,
    ),
    "Plain": Note(
        "CONTROL",
        "nothing special: a generic point in two dimensions",
        "what fails here fails everywhere",
        lambda *_: False,
    ),
    "NoKnownMistake": Note(
        "CONTROL",
        "no catalogued mistake changes the answer by a thousand tolerances",
        "it is here for those who make another",
        lambda *_: False,
    ),
}


def _integral(family: str, case: Case) -> bool:
    kinds = {
        **dict.fromkeys(("local_entropy", "posterior_moments"), cf.LOCAL_ENTROPY),
        "alg1_steps": cf.LOCAL_ENTROPY,
        "heat": cf.HEAT,
    }
    if family == "majorizers" and case.input["quantity"] == "local_entropy":
        return case.loss.kind not in cf.LOCAL_ENTROPY
    return family in kinds and case.loss.kind not in kinds[family]


def _tied(case: Case) -> bool:
    return bool(case.loss.kind == "quartic" and not any(case.input["x0"]))


def _inexact(case: Case) -> bool:
    given = case.input
    numbers = given.get("parameters", (given.get("tau0"), given.get("tau1")))
    return any(Fraction(v).denominator > 2**30 for v in numbers)


def flags(family: str, case: Case) -> list[str]:
    """The flags of a case, in alphabetical order."""
    carried = sorted(name for name, note in NOTES.items() if note.carried(family, case))
    return carried or ["Plain"]
