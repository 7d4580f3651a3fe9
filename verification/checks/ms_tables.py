"""Multi-scale entropic regularisation on finite spaces.

The law P* that minimises J(P) = E_P f + sum_k lambda_k K_k(P || Q), its least value
V_0, and the effective energies V_k of what the levels beyond k cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from verification.checks._check import check
from verification.checks._multiscale import (
    BY_ROUTES,
    DIGITS,
    GENERIC,
    KNOWN,
    M1,
    NINTHS,
    RECURSION,
    Array,
    as_known,
    energies,
    functional,
    generated,
    law,
    on_table,
    solved,
    tables,
)
from verification.checks._replay import numbered
from verification.evidence.comparison import (
    Finding,
    agree,
    differs,
    not_above,
    not_below,
)
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import multiscale as ms

PAPER = "Asadi and Abbe: multi-scale Gibbs law"
SHOWN = "; what other programs found, to half a unit of its last digit"

# --- values ---------------------------------------------------------------------------


def _energies(w: Witness, p: Problem) -> Iterator[Finding]:
    found = w.multiscale_energies(*tables(p))
    truth = solved(p).energies
    for k, (V, of) in enumerate(zip(found, truth, strict=True)):
        yield agree(f"V_{k}", V, of.value, of.tolerance(w))
    slack = max(of.tolerance(w) for of in truth)
    named: dict[str, Any] = {f"V_{k}": V for k, V in enumerate(found)}
    if p.label.startswith("spins"):
        named |= {"g'": np.diff(found[1]) / 2, "c'": found[1].mean()}
    yield from as_known(p, named, slack)


def _law(w: Witness, p: Problem) -> Iterator[Finding]:
    P, truth = w.multiscale_law(*tables(p)), solved(p).law
    yield agree("P*", P, truth.value, truth.tolerance(w))
    if "known" in p.more:
        yield from as_known(p, _said_of(p, P), 10 * truth.tolerance(w))


@np.errstate(all="ignore")  # a wrong law may be no law at all
def _said_of(p: Problem, P: Array) -> dict[str, Any]:
    """What is known of a law: marginals, a conditional, mean and divergences."""
    f, Q, _ = tables(p)
    below = tuple(range(1, P.ndim))
    first = P.sum(axis=below)
    said: dict[str, Any] = {"P*": P, "P*(w1)": first, "P*(w1 = 0)": first[0]}
    if P.ndim > 1:
        said["P*(w2 = 0 | w1)"] = P[:, 0].sum(axis=tuple(range(1, P.ndim - 1))) / first
    said["E f"] = (P * f).sum()
    said["K"] = _divergences(P, Q)
    return said


def _divergences(P: Array, Q: Array) -> list[float]:
    """K_k(P || Q), also where P is no law: NaN then, which agrees with nothing."""
    below = [tuple(range(k, P.ndim)) for k in range(P.ndim + 1)]
    sums = [[of.sum(axis=axes) for of in (P, Q)] for axes in below]
    return [
        float((p * np.log(p / above[..., None] / (q / base[..., None]))).sum())
        for (above, base), (p, q) in pairwise(sums)
    ]


@check(
    "MS-01",
    paper=f"{PAPER}, its energies",
    claim="the effective energies of small tables and of a chain of spins, level by "
    "level, for temperatures that fall, rise or are equal",
    truth=BY_ROUTES,
    route="CF MP2",
    tolerance=RECURSION + SHOWN,
    mistakes=numbered("L", 1, 2, 3, 4, 5, 6),
    needs=("multiscale_energies",),
    cases=KNOWN,
)
def known_energies(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _energies(w, p)


SWAPPED_BY = 0.068149
"""Total variation between the laws of M1 with its levels in the two orders."""


@check(
    "MS-02",
    paper=PAPER,
    claim="the law P* of the same tables; another order of the levels gives another",
    truth=BY_ROUTES,
    route="CF MP2",
    tolerance=RECURSION + SHOWN,
    mistakes=numbered("L", 1, 4, 7, 8),
    needs=("multiscale_law",),
    cases=KNOWN,
)
def known_laws(w: Witness, p: Problem) -> Iterator[Finding]:
    yield from _law(w, p)
    if p.label.startswith("M1, levels swapped"):
        hot = p.more["temperatures"]
        one = w.multiscale_law(M1, NINTHS, hot)
        other = w.multiscale_law(M1.T, NINTHS, hot).T
        apart = 0.5 * np.abs(one - other).sum()
        slack = 0.5e-6 + 10 * solved(p).law.tolerance(w)
        yield agree("total variation, as known", apart, SWAPPED_BY, slack)
        yield differs("P* of the other order", one, other, 0.01)


@check(
    "MS-03",
    paper=f"{PAPER} and its energies",
    claim="energies and law for one to four levels of unlike sizes and any reference, "
    "also of a single value",
    truth=BY_ROUTES,
    route="MP2",
    tolerance=RECURSION,
    mistakes=numbered("L", 1, 3, 5, 6, 7, 9, 10, 11),
    any_of=("multiscale_energies", "multiscale_law"),
    cases=GENERIC,
)
def generic_tables(w: Witness, p: Problem) -> Iterator[Finding]:
    if w.provides("multiscale_energies"):
        yield from _energies(w, p)
    if w.provides("multiscale_law"):
        yield from _law(w, p)


# --- extremes -------------------------------------------------------------------------

COLD = 2.0**-20  # about 1e-6, as in the published experiment


def _near_ties(label: str, shape: tuple[int, ...]) -> Array:
    """Energies in quarters, with differences of the size of COLD on top."""
    coarse, fine = energies(label, shape, 1.0), energies(f"{label}, fine", shape, 1.0)
    return np.asarray(np.round(4 * coarse) / 4 + np.round(4 * fine) * COLD)


def _extremes() -> list[Problem]:
    far = energies("far", (3, 2, 3))
    gaps = law("gaps", (3, 3, 2), [(0, 1, 0), (1, slice(None), 1), (2, 0)])
    lone = law("lone", (3, 3, 2), [0, (1, 1), (2, 2, 0)])
    cold = (3 * COLD, COLD)
    return [
        on_table("cold", _near_ties("cold", (3, 4)), law("cold", (3, 4)), cold),
        on_table(
            "cold below hot", energies("mixed", (4, 3)), law("mixed", (4, 3)), (1, COLD)
        ),
        on_table(
            "hot below cold", energies("mixed", (4, 3)), law("mixed", (4, 3)), (COLD, 1)
        ),
        on_table("hot", far, law("far", (3, 2, 3)), (2.0**20, 2.0**10, 2.0**15)),
        on_table(
            "far above 0",
            2.0**14 + far,
            law("far", (3, 2, 3)),
            (0.75, 0.25, 0.5),
        ),
        on_table(
            "far below 0", far - 2.0**14, law("far", (3, 2, 3)), (0.25, 0.75, 0.5)
        ),
        on_table("cells without mass", energies("gaps", gaps.shape), gaps, (1, 0.5, 2)),
        on_table(
            "prefixes without mass", energies("gaps", gaps.shape), lone, (2, 0.25, 0.5)
        ),
        on_table(
            "infinite energies", _barred((3, 4)), law("walls", (3, 4)), (1.5, 0.5)
        ),
        on_table(
            "infinite energies", _barred((3, 3, 2)), gaps[::-1], (0.25, 1.5, 0.625)
        ),
    ]


def _barred(shape: tuple[int, ...]) -> Array:
    """Energies that are infinite in one cell, and below the last value of level 1."""
    f = energies("walls", shape)
    f[(0,) * (len(shape) - 1) + (1,)] = f[-1] = np.inf
    return f


@check(
    "MS-04",
    paper=f"{PAPER} and its energies",
    claim="the same at temperatures of 1e-6 and 1e6, for energies far from 0, and "
    "where the reference has cells or whole prefixes without mass, or the energy is "
    "infinite",
    truth=BY_ROUTES,
    route="MP2",
    tolerance=RECURSION,
    mistakes=numbered("L", 4, 12),
    any_of=("multiscale_energies", "multiscale_law"),
    cases=_extremes,
)
def extreme_tables(w: Witness, p: Problem) -> Iterator[Finding]:
    if w.provides("multiscale_energies"):
        yield from _energies(w, p)
    if w.provides("multiscale_law"):
        yield from _law(w, p)


# --- the functional -------------------------------------------------------------------


def _with_laws(p: Problem) -> Problem:
    """A table with three laws: generic ones, and one that leaves cells out."""
    shape = p.more["energies"].shape
    last = (0,) * len(shape)
    laws = {
        "first law": law(f"{p.label}, first", shape),
        "second law": law(f"{p.label}, second", shape),
        "law with gaps": law(f"{p.label}, gaps", shape, [last]),
    }
    return replace(p, more={**p.more, **laws})


def _confined(p: Problem) -> Problem:
    """The same where J can be infinite, with two laws more of which it is.

    One has mass everywhere, the other 1/1024 in a single cell that it must not have.
    """
    f, Q, _ = tables(p)
    barred = [tuple(i) for i in np.argwhere((Q == 0) | np.isinf(f)).tolist()]
    first = next(i for i in np.ndindex(*f.shape) if i not in barred)
    label, shape = p.label, f.shape
    little = law(f"{label}, little", shape, barred)
    little[barred[-1]] += 2.0**-10
    little[np.unravel_index(little.argmax(), shape)] -= 2.0**-10
    laws = {
        "first law": law(f"{label}, first", shape, barred),
        "second law": law(f"{label}, second", shape, barred),
        "law with gaps": law(f"{label}, gaps", shape, [*barred, first]),
        "law outside": law(f"{label}, outside", shape),
        "law outside by little": little,
    }
    return replace(p, more={**p.more, **laws})


LAWS = ("first law", "second law", "law with gaps")
OUTSIDE = ("law outside", "law outside by little")
CONFINED = tuple(_confined(p) for p in _extremes()[6:]) + tuple(
    _confined(on_table(label, f, Q, (0.375, 1.25)))
    for label, f, Q in (
        ("prefix without mass", energies("bare", (3, 3)), law("bare", (3, 3), [1])),
        ("infinite energies", _barred((4, 3)), law("walls", (4, 3))),
    )
)
JUDGED = (*(_with_laws(p) for p in GENERIC), *CONFINED)


def _distance(p: Problem, law_: Array) -> Any:
    """sum_k lambda_k K_k(P || P*), in 50 digits."""
    K = ms.level_divergences(DIGITS, law_, solved(p).law.value)
    weights = map(DIGITS.number, p.more["temperatures"])
    return DIGITS.sum([a * b for a, b in zip(weights, K, strict=True)])


@check(
    "MS-05",
    paper=f"{PAPER}, the functional J",
    claim="J of any law; it exceeds V_0 by exactly sum_k lambda_k K_k(P || P*), and is "
    "infinite where the law has mass that the reference has not, or at an infinite "
    "energy",
    truth="the marginal divergences weighted with sigma; they confirm the conditional "
    "ones, weighted with lambda; whether it is infinite from the sets",
    route="MP2 ID",
    tolerance="4 B u, u the unit roundoff, B the running error bound of either sum",
    mistakes=numbered("L", 13, 14, 15, 16, 47),
    needs=("multiscale_objective",),
    cases=JUDGED,
)
def objectives(w: Witness, p: Problem) -> Iterator[Finding]:
    V0 = solved(p).energies[0]
    yield from _infinite(w, p)
    for name in LAWS:
        truth = functional(p, name)
        found = w.multiscale_objective(p.more[name], *tables(p))
        yield agree(f"J, {name}", found, truth.value, truth.tolerance(w))
        excess = DIGITS.number(found) - _distance(p, p.more[name])
        slack = truth.tolerance(w) + V0.tolerance(w)
        yield agree(f"J less the distance from P*, {name}", excess, V0.value, slack)


def _infinite(w: Witness, p: Problem) -> Iterator[Finding]:
    for name in OUTSIDE:
        if name in p.more:
            found = w.multiscale_objective(p.more[name], *tables(p))
            yield agree(f"J, {name}", found, functional(p, name).value, 0.0)


@check(
    "MS-06",
    paper=f"{PAPER}, Theorem 1 for several levels",
    claim="P* attains V_0, and nothing else does: no law has a smaller J, and one "
    "beside P* exceeds it by sum_k lambda_k K_k(. || P*); where the reference has no "
    "mass or the energy is infinite P* has none; with one level this is the "
    "variational principle of Theorem 1",
    truth="divergences from P* in 50 digits; the subject's own V_0 and P*",
    route="ID",
    tolerance="4 B u of all terms",
    mistakes=numbered("L", 1, 8, 13, 16, 47),
    needs=("multiscale_energies", "multiscale_law", "multiscale_objective"),
    cases=JUDGED,
)
def optimality(w: Witness, p: Problem) -> Iterator[Finding]:
    V0 = w.multiscale_energies(*tables(p))[0]
    P = w.multiscale_law(*tables(p))
    rounding = solved(p).law.tolerance(w)
    yield not_below("P*", P, 0 * P, 0)
    yield agree("the sum of P*", float(P.sum()), 1.0, P.size * rounding)
    f, Q, _ = tables(p)
    barred = (Q == 0) | np.isinf(f)
    if barred.any():
        yield agree("P* where J would be infinite", P[barred], 0 * P[barred], 0.0)
    yield from _infinite(w, p)
    if not (P >= 0).all() or P[barred].any():
        return
    slack = functional(p, "first law").tolerance(w) + solved(p).energies[0].tolerance(w)
    yield agree("J(P*)", w.multiscale_objective(P, *tables(p)), float(V0), 2 * slack)
    for name in LAWS:
        found = w.multiscale_objective(p.more[name], *tables(p))
        yield not_below(f"J, {name}", found, float(V0), slack)
        near = 0.96875 * P + 0.03125 * p.more[name]
        rise = w.multiscale_objective(near, *tables(p)) - float(V0)
        yield agree(f"growth towards {name}", rise, _distance(p, near), 2 * slack)


# --- invariances ----------------------------------------------------------------------


def _answers(w: Witness, f: Any, Q: Any, hot: Any) -> tuple[float, Array]:
    """V_0, where it is provided, and P*, or what takes its place."""
    V0 = 0.0
    if w.provides("multiscale_energies"):
        V0 = float(w.multiscale_energies(f, Q, hot)[0])
    P = np.zeros(1)
    if w.provides("multiscale_law"):
        P = w.multiscale_law(f, Q, hot)
    return V0, P


def _slack(w: Witness, p: Problem) -> tuple[float, float]:
    """Twice the tolerance of V_0 and of P*: two answers are compared."""
    truth = solved(p)
    return 2 * truth.energies[0].tolerance(w), 2 * truth.law.tolerance(w)


INVARIANT = (
    generated((4,), (0.75,), "invariant"),
    generated((3, 4), (1.25, 0.5), "invariant"),
    generated((2, 3, 3), (0.375, 1.5, 0.75), "invariant"),
)


@check(
    "MS-07",
    paper=f"{PAPER}, limits and invariances",
    claim="f + c shifts V_0 by c and leaves P*, (s f, s lambda) scales V_0 and leaves "
    "P*; the values of a level may be renamed, and a level of one value left out",
    truth="the subject's own answers to the question before it is changed",
    route="MET",
    tolerance="twice 4 B u of the answer, and what rounding f + c adds to f / lambda",
    mistakes=numbered("L", 6, 9, 17),
    any_of=("multiscale_energies", "multiscale_law"),
    cases=INVARIANT,
)
def invariances(w: Witness, p: Problem) -> Iterator[Finding]:
    f, Q, hot = tables(p)
    V0, P = _answers(w, f, Q, hot)
    of_V0, of_P = _slack(w, p)
    moved, same = _answers(w, f + 3.5, Q, hot)
    lifted = 3.5 if w.provides("multiscale_energies") else 0.0
    more = 8 * 3.5 * w.unit_roundoff
    yield agree("V_0 of f + 3.5", moved, V0 + lifted, of_V0 + more)
    worse = 1 + 3.5 / min(hot)  # f/lambda is rounded at another size
    yield agree("P* of f + 3.5", same, P, of_P * worse)
    scaled, same = _answers(w, 0.625 * f, Q, np.array(hot) * 0.625)
    yield agree("V_0 of 0.625 f at 0.625 lambda", scaled, 0.625 * V0, of_V0)
    yield agree("P* of 0.625 f at 0.625 lambda", same, P, of_P)
    turned = np.ix_(*(np.roll(np.arange(n), 1) for n in f.shape))
    renamed, other = _answers(w, f[turned], Q[turned], hot)
    yield agree("V_0, values renamed", renamed, V0, of_V0)
    if P.shape == f.shape:
        yield agree("P*, values renamed", other, P[turned], of_P)
    longer = (*hot[:1], 1.75, *hot[1:])
    single, other = _answers(w, f[:, None], Q[:, None], longer)
    yield agree("V_0 with a level of one value", single, V0, of_V0)
    yield agree("P* with a level of one value", other.ravel(), P.ravel(), of_P)


def _factored() -> Problem:
    """Energies and reference that are sums and products over the levels."""
    parts = [energies(f"part {n}", (n,)) for n in (3, 2, 4)]
    laws = [law(f"part {n}", (n,), parts=64) for n in (3, 2, 4)]
    f = parts[0][:, None, None] + parts[1][:, None] + parts[2]
    Q = laws[0][:, None, None] * laws[1][:, None] * laws[2]
    hot = (1.5, 0.25, 0.625)
    return on_table("independent levels", f, Q, hot, parts=parts, laws=laws)


def _special() -> list[Problem]:
    return [
        *(
            generated(shape, (hot,) * len(shape), "equal")
            for shape, hot in (((4, 3), 0.625), ((2, 3, 4), 1.5))
        ),
        generated((2, 3, 4), (1.75, 0.5, 0.5), "equal below"),
        generated((4, 2, 3), (0.5, 0.5, 1.75), "equal above"),
        _factored(),
    ]


@check(
    "MS-08",
    paper=f"{PAPER}, limits and invariances",
    claim="equal temperatures give the ordinary Gibbs law and neighbours of equal ones "
    "merge into one level; independent levels have a Gibbs law each, at its own lambda",
    truth="Gibbs laws in 50 digits; the merged table by nested partition functions",
    route="CF ID",
    tolerance=RECURSION,
    mistakes=numbered("L", 3, 7, 9, 10),
    any_of=("multiscale_energies", "multiscale_law"),
    cases=_special,
)
def special_tables(w: Witness, p: Problem) -> Iterator[Finding]:
    value, P = _other_form(p)
    truth = solved(p)
    if w.provides("multiscale_energies"):
        V0 = w.multiscale_energies(*tables(p))[0]
        yield agree("V_0", V0, value, truth.energies[0].tolerance(w))
    if w.provides("multiscale_law"):
        found = w.multiscale_law(*tables(p))
        yield agree("P*", found.ravel(), P.ravel(), truth.law.tolerance(w))


@cache
def _other_form(p: Problem) -> tuple[Any, Any]:
    """V_0 and P* of a table that is simpler than it looks."""
    f, Q, hot = tables(p)
    if "parts" in p.more:
        pieces = [
            _gibbs(part, of, v)
            for part, of, v in zip(p.more["parts"], p.more["laws"], hot, strict=True)
        ]
        joint = pieces[0][1]
        for _, P in pieces[1:]:
            joint = np.multiply.outer(joint, P)
        return DIGITS.sum([V for V, _ in pieces]), joint
    if len(set(hot)) == 1:
        return _gibbs(f, Q, hot[0])
    n1, n2, n3 = f.shape
    shape, kept = (
        ((n1, n2 * n3), hot[1:])
        if hot[1] == hot[2]
        else (
            (n1 * n2, n3),
            hot[1:],
        )
    )
    merged = (hot[0], hot[-1]) if kept else hot
    Z = ms.nested(DIGITS, f.reshape(shape), Q.reshape(shape), merged)
    value = -DIGITS.number(hot[0]) * DIGITS.log(Z[0].item())
    return value, ms.nested_law(DIGITS, f.reshape(shape), Q.reshape(shape), merged)


def _gibbs(f: Array, Q: Array, hot: float) -> tuple[Any, Any]:
    """-lambda log E_Q e^{-f/lambda}, and the law proportional to Q e^{-f/lambda}."""
    number = np.frompyfunc(DIGITS.number, 1, 1)
    weight = number(Q) * np.frompyfunc(DIGITS.exp, 1, 1)(-number(f) / hot)
    total = DIGITS.sum(list(weight.ravel()))
    whole = DIGITS.sum(list(number(Q).ravel()))
    return -DIGITS.number(hot) * DIGITS.log(total / whole), weight / total


# --- limits ---------------------------------------------------------------------------

LIMITS = tuple(
    generated(shape, (1.0,) * len(shape), "limits")
    for shape in ((4,), (3, 4), (2, 3, 3))
)


@check(
    "MS-09",
    paper=f"{PAPER}, limits and invariances",
    claim="as lambda_d falls V_{d-1} comes within lambda_d log 1/q of the least "
    "energy, as lambda_1 grows V_0 comes within range^2/(8 lambda_1) of the mean of "
    "V_1, and V_0 grows with every temperature, between the least f and its mean",
    truth="enclosures of log-mean-exp: the largest term; Hoeffding's lemma",
    route="ID",
    tolerance="64 u of 1 + max |f|, and of lambda where it is large: more than a sum "
    "over one level can lose",
    mistakes=numbered("L", 5, 8, 17),
    needs=("multiscale_energies",),
    cases=LIMITS,
)
def limits(w: Witness, p: Problem) -> Iterator[Finding]:
    f, Q, hot = tables(p)
    slack = 64 * w.unit_roundoff * (1 + float(np.abs(f).max()))
    last = Q.sum(axis=-1, keepdims=True)
    for small in (2.0**-4, 2.0**-9):
        least = np.asarray(w.multiscale_energies(f, Q, (*hot[:-1], small))[-1])
        what = f"V_d-1 at lambda_d = {small:g}"
        yield not_below(what, least, f.min(axis=-1), slack)
        most = (f - small * np.log(Q / last)).min(axis=-1)
        yield not_above(what, least, most, slack)
    first = Q.sum(axis=tuple(range(1, Q.ndim)))
    for large in (2.0**4, 2.0**9):
        V = [*w.multiscale_energies(f, Q, (large, *hot[1:])), f]
        V0, V1 = V[0], V[1]
        mean, width = float(first @ V1), float(np.ptp(V1))
        # log-mean-exp is known to lambda times a rounding
        more = slack + 64 * large * w.unit_roundoff
        yield not_above(f"V_0 at lambda_1 = {large:g}", float(V0), mean, more)
        under = mean - width**2 / (8 * large)
        yield not_below(f"V_0 at lambda_1 = {large:g}", float(V0), under, more)
    here = float(w.multiscale_energies(f, Q, hot)[0])
    yield not_below("V_0", here, float(f[Q > 0].min()), slack)
    yield not_above("V_0", here, float((Q * f).sum()), slack)
    for k in range(len(hot)):
        hotter = [2 * v if j == k else v for j, v in enumerate(hot)]
        there = float(w.multiscale_energies(f, Q, hotter)[0])
        yield not_below(f"V_0 at twice lambda_{k + 1}", there, here, slack)
