"""Route (b): solve for the coefficients that a subject really uses.

Algorithms 3 and 5 are recursions whose coefficients are read off responses to chosen
starts, centres, minima and draws on quadratics (`verification.diagnosis.affine`), for
several schedules and variances; Algorithm 4 is a weighted sum whose weights are read
off outputs in more dimensions than there are samples.  The coefficients are put into
power laws of step and tau.  What has been read is then played on the problems of the
signature, which are of other kinds and dimensions and took no part in the reading; it
is told only if it agrees there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification import problems as P
from verification.diagnosis.affine import Recursion, Setting, solved
from verification.diagnosis.played import Played, exponential
from verification.diagnosis.power import (
    FITTED,
    Power,
    fitted,
    in_words,
    matches,
    said,
    scaled,
    snapped,
)
from verification.diagnosis.questions import answered, difference
from verification.diagnosis.result import Diagnosis
from verification.diagnosis.signature import Asked
from verification.errors import NotRun, SubjectFault
from verification.losses import Constant, Quadratic
from verification.mistakes._training import Loop
from verification.mistakes.importance import Importance, normalised, odds
from verification.mistakes.langevin import Langevin
from verification.mistakes.robbins_monro import RobbinsMonro
from verification.subject import Witness

__all__ = [
    "HELD_OUT",
    "chain_for",
    "descent_for",
    "fit",
    "told_of_chain",
    "told_of_descent",
    "told_of_samples",
]

Array = NDArray[np.float64]
Weights = Callable[[Array], Array]

#: Relative difference on held-out problems: coefficients known to nine digits, in
#: chains that amplify an error by at most a few hundred.
HELD_OUT = 1e-6

#: Uneven schedules, one for each variance; five steps, so that four moves.
SCHEDULES = (
    (0.7, (0.31, 0.13, 0.23, 0.11, 0.19)),
    (0.3, (0.12, 0.27, 0.09, 0.21, 0.15)),
    (1.6, (0.23, 0.17, 0.37, 0.14, 0.29)),
)
MOVES = 4


def fit(w: Witness, asked: Asked) -> Diagnosis | None:
    """What the subject computes in the paper's terms; None if nothing fits.

    Also None where all that is found is what it should be.
    """
    makers = {
        "Algorithm 3": _of_chain,
        "Algorithm 4": _of_samples,
        "Algorithm 5": _of_descent,
        "runs": _of_runs,
    }
    if asked.family not in makers or not asked.questions:
        return None
    found = makers[asked.family](w, asked)
    if found is None or not found.sentence:
        return None
    gap = _held_out(found.subject, asked)
    if gap is None:
        return None
    return Diagnosis(found.name, found.sentence, "fit", (), gap, found.equivalent)


@dataclass(frozen=True)
class _Found:
    """Coefficients in words, and the subject that has them."""

    name: str
    sentence: str
    subject: Any
    equivalent: str = ""


def _held_out(subject: Any, asked: Asked) -> float | None:
    """The largest difference on the questions; None beyond `HELD_OUT`.

    Methods that the fit says nothing of are left out, but not all.
    """
    witness, largest, right_too = Witness(subject), 0.0, True
    if asked.family == "runs":
        for q in asked.questions:
            answered(witness, q)
    for q, answer, right in zip(
        asked.questions, asked.answers, asked.right, strict=True
    ):
        own = answered(witness, q)
        gap = difference(answer, own)
        if not gap <= HELD_OUT:
            return None
        largest = max(largest, gap)
        right_too = right_too and difference(own, right) <= HELD_OUT
    return None if right_too else largest


# --- Algorithm 3 ----------------------------------------------------------------------

HALF = Power(0.5, 1.0, 0.0)
PULL = Power(0.5, 1.0, -1.0)
ROOT = Power(1.0, 0.5, 0.0)

#: Whose step size a move uses, of all of them.
STALE: dict[str, Weights] = {
    "": lambda steps: steps,
    "the next one's step size": lambda steps: np.roll(steps, -1),
    "the step size of the move before": lambda steps: np.roll(steps, 1),
    "the first step size": lambda steps: steps[0] + 0.0 * steps,
    "the last step size": lambda steps: steps[-1] + 0.0 * steps,
}


@dataclass(frozen=True)
class _Read:
    """A recursion with what it was read from."""

    tau: float
    steps: Array
    found: Recursion


def _output(w: Witness, mean: str, trace: str) -> tuple[str, bool]:
    """The method that gives an output, and whether it is a trace."""
    return (mean, False) if w.provides(mean) else (trace, True)


def _of_chain(w: Witness, asked: Asked) -> _Found | None:
    del asked
    method, traced = _output(w, "sgld_mean", "sgld_trace")
    literal = w.conventions["sgld.chain"] == "literal"
    read = []
    for tau, all_steps in SCHEDULES:
        steps = np.array(all_steps if literal else all_steps[:MOVES])

        def ask(
            loss: Any,
            x: Array,
            start: Array,
            z: Array,
            tau: float = tau,
            steps: Array = steps,
        ) -> Array:
            given = {"start": start, "draws": z, "n": len(z)}
            outputs = getattr(w, method)(loss, x, tau, steps, **given)
            return np.asarray(outputs[:, -1] if traced else outputs)

        found = solved(ask, Setting(tau, tuple(steps), MOVES), np.ones_like)
        if found is None:
            return None
        read.append(_Read(tau, steps, found))
    return _chain_in_words(w, read, traced)


def _chain_in_words(w: Witness, read: list[_Read], traced: bool) -> _Found | None:
    found = _scheduled(read, lambda r: (r.a, r.b, r.c))
    if found is None:
        return None
    stale, moved, (a, b, c) = found
    if c.factor == 0:
        return None
    closed = [
        (r.steps, r.found.closed(c(moved(r.steps)[MOVES - 1], r.tau)).w) for r in read
    ]
    literal = w.conventions["sgld.chain"] == "literal"
    weights = _weights(closed, literal) if not traced else ("", Langevin.weights)
    if weights is None:
        return None
    of_output, rule = weights
    if w.conventions["sgld.output"] != "weighted-mean":
        rate = float(w.conventions["sgld.output"].partition(":")[2])
        declared = all(matches(exponential(rate)(s), rule(s)) for s, _ in closed)
        plain = of_output or "the output is the eps-weighted mean"
        of_output = "" if declared else plain
    slip = Langevin(
        gradient=lambda m: 2 / m.epsilon * a(m.epsilon, m.tau) * m.gradient,
        pull=lambda m: 2 / m.epsilon * b(m.epsilon, m.tau) * (m.x - m.y),
        kick=lambda m: c(m.epsilon, m.tau) * m.z,
        steps=moved,
        weights=rule,
    )
    subject = replace(Played(conventions=w.conventions), langevin=slip)
    same = "" if stale or of_output else chain_for(a, b, c)
    return _Found(*told_of_chain(a, b, c, stale, of_output), subject, same)


def _scheduled(
    read: Sequence[_Read], parts: Callable[[Recursion], Any]
) -> tuple[str, Weights, list[Power]] | None:
    """Power laws of the coefficients, and whose step sizes they depend on."""
    for stale, moved in STALE.items():
        laws = _laws(read, moved, parts)
        if laws is not None:
            return stale, moved, laws
    return None


def _laws(
    read: Sequence[_Read], moved: Weights, parts: Callable[[Recursion], Any]
) -> list[Power] | None:
    """Power laws of coefficients, of all but the last moves, in all settings."""
    columns: list[list[float]] = [[], [], []]
    steps, taus = [], []
    for r in read:
        for l in range(MOVES - 1):
            steps.append(moved(r.steps)[l])
            taus.append(r.tau)
            for column, values in zip(columns, parts(r.found), strict=True):
                column.append(values[l])
    given = np.array(steps), np.array(taus)
    laws = [fitted(np.array(column), *given) for column in columns]
    return None if any(law is None for law in laws) else [x for x in laws if x]


def told_of_chain(
    a: Power, b: Power, c: Power, stale: str, of_output: str
) -> tuple[str, str]:
    """Name and sentence; empty where all is right."""
    ratio = c.over(ROOT)
    spread = f"noise variance {said(ratio.factor**2)} of eps{_signed(ratio)}"
    if not ratio.plain:
        spread = in_words(c, ROOT, "noise of deviation", "sqrt(eps)")
    terms = [
        (a != HALF, in_words(a, HALF, "drift", "eps/2")),
        (b != PULL, in_words(b, PULL, "pull", "eps/(2 tau)")),
        (c != ROOT, spread),
        (bool(stale), f"every move has {stale}"),
        (bool(of_output), of_output),
    ]
    wrong = [text for off, text in terms if off]
    if not wrong:
        return "", ""
    scales = any(off for off, _ in terms[:3])
    shown = [text for off, text in terms[:3]] if scales else []
    sentence = ", ".join([*shown, *(text for off, text in terms[3:] if off)])
    same = chain_for(a, b, c)
    if same:
        also = stale or of_output
        sentence += f": apart from that, {same}" if also else f": this is {same}"
    return "; ".join(wrong), sentence


def _signed(ratio: Power) -> str:
    """What a minus before the draws means."""
    return ", the draws with a minus (the law is the same)" if ratio.factor < 0 else ""


def chain_for(a: Power, b: Power, c: Power) -> str:
    """The problem for which the move is right: steps, loss and variance scaled."""
    by_a, by_b, by_c = a.over(HALF), b.over(PULL), c.over(ROOT)
    if not (by_a.plain and by_b.plain and by_c.plain) or by_c.factor == 0:
        return ""
    step = by_c.factor**2
    if by_a.factor == by_b.factor == step == 1 or by_b.factor <= 0:
        return ""
    f = scaled(by_a.factor / step, "f") if by_a.factor else "a constant loss"
    parts = [f, scaled(step / by_b.factor, "tau")]
    scales = [text for text in parts if text not in ("f", "tau")]
    head = "Algorithm 3" + (f" for {' and '.join(scales)}" if scales else "")
    longer = f" with step {scaled(step, 'eps')}" if abs(step - 1) > FITTED else ""
    return head + longer


# --- weights of an output -------------------------------------------------------------


def _weights(
    closed: list[tuple[Array, Array]], literal: bool
) -> tuple[str, Weights] | None:
    """The rule that the weights of the states follow, in words and as a function.

    Parameters
    ----------
    closed : list of (steps, w)
        For every setting the steps and the weights of the start and all later states.
    literal : bool
        Whether the start is one of the J states.
    """
    rows = []
    for steps, w in closed:
        if not literal and abs(w[0]) > FITTED:
            return None
        rows.append((steps, w if literal else w[1:]))
    for text, rule in _rules(rows):
        if all(matches(w, rule(steps)) for steps, w in rows):
            return text, rule
    return None


def _rules(rows: list[tuple[Array, Array]]) -> Any:
    """Rules that these weights may follow, the right one first."""
    steps, w = rows[0]
    J = len(w)
    yield "", Langevin.weights
    yield "the output is the last state, not the eps-weighted mean", _last
    rate = snapped(float(w[-1]))
    if 0 < rate < 1:
        said_of = (
            f"the output is an exponential average with weight {said(rate)} on the "
        )
        yield said_of + "new state, not the eps-weighted mean", exponential(rate)
    first = int(np.argmax(np.abs(w) > FITTED))
    end = J - int(np.argmax(np.abs(w[::-1]) > FITTED))
    for rolled in (0, 1, -1):
        power = _exponent(np.roll(steps, rolled)[first:end], w[first:end])
        if power is None:
            continue
        for divisor in ("sum", "none", "J"):
            rule = _powered(power, rolled, first, J - end, divisor)
            yield _rule_in_words(power, rolled, first, J - end, divisor), rule


def _last(steps: Array) -> Array:
    return np.eye(len(steps))[-1]


def _exponent(steps: Array, w: Array) -> float | None:
    if len(w) < 2 or w.min() <= 0:
        return None
    slope, level = np.polyfit(np.log(steps), np.log(w), 1)
    off = np.abs(slope * np.log(steps) + level - np.log(w)).max()
    return snapped(float(slope)) if off <= 1e-6 else None


def _powered(p: float, rolled: int, first: int, last: int, divisor: str) -> Weights:
    def rule(steps: Array) -> Array:
        weights = np.roll(steps, rolled) ** p
        weights[:first] = 0.0
        weights[len(steps) - last :] = 0.0
        total = {"sum": weights.sum(), "none": 1.0, "J": float(len(steps))}[divisor]
        return np.asarray(weights / total)

    return rule


def _rule_in_words(p: float, rolled: int, first: int, last: int, divisor: str) -> str:
    kind = {0.0: "equal weights", 1.0: "weights eps"}.get(p, f"weights eps^{p:g}")
    parts = [f"the states have {kind}"]
    if rolled:
        parts.append("shifted by one")
    if first:
        parts.append(f"the first {first} left out")
    if last:
        parts.append(f"the last {last} left out")
    if divisor == "none":
        parts.append("not divided by their sum")
    elif divisor == "J":
        parts.append("divided by J, not by their sum")
    return ", ".join(parts)


# --- Algorithm 5 ----------------------------------------------------------------------

STEP = Power(1.0, 1.0, 0.0)
SLOPE = Power(1.0, 1.0, 1.0)
SPREAD = Power(1.0, 0.0, 0.5)
INNER = 3


def _of_descent(w: Witness, asked: Asked) -> _Found | None:
    del asked
    method, traced = _output(w, "robbins_monro", "robbins_monro_trace")
    every = w.conventions["robbins_monro.moves"] == "J"
    read = []
    for tau, all_steps in SCHEDULES:
        steps = np.array(all_steps[:MOVES] if every else all_steps)

        def ask(
            loss: Any,
            x: Array,
            start: Array,
            z: Array,
            tau: float = tau,
            steps: Array = steps,
        ) -> Array:
            given = {"start": start, "draws": z, "n": len(z)}
            outputs = getattr(w, method)(loss, x, tau, steps, INNER, **given)
            return np.asarray(outputs[:, -1] if traced else outputs)

        setting = Setting(tau, tuple(steps), MOVES, INNER)
        found = solved(ask, setting, lambda h: -h)
        if found is None:
            return None
        read.append(_Read(tau, steps, found))
    return _descent_in_words(w, read)


@dataclass(frozen=True)
class _Scheduled(RobbinsMonro):
    """Algorithm 5 whose moves take other steps of the schedule."""

    moved: Weights = lambda steps: steps

    def _steps(self, a: Array) -> Array:
        return self.moved(a)


def _descent_in_words(w: Witness, read: list[_Read]) -> _Found | None:
    found = _scheduled(read, lambda r: (r.a, r.b, INNER * r.c / r.a))
    if found is None:
        return None
    stale, moved, (a, b, s) = found
    if s.factor == 0 or (a.of_step, s.of_step) != (1.0, 0.0):
        return None
    if b.factor and b.of_step != 1:
        return None
    rows = []
    for r in read:
        step = moved(r.steps)[MOVES - 1]
        c = a(step, r.tau) * s(1.0, r.tau) / INNER
        rows.append(r.found.closed(c).w)
    output = _output_of_descent(rows)
    if output is None:
        return None
    of_output, rule = output

    slip = _Scheduled(
        moved=moved,
        points=lambda m: m.around(m.y, s(1.0, m.tau)),
        pull=lambda m: b(1.0, m.tau) * m.pull,
        factor=lambda tau: a(1.0, tau),
        output=rule,
    )
    subject = replace(Played(conventions=w.conventions), descent=slip)
    further = [f"every move has {stale}"] if stale else []
    further += [of_output] if of_output else []
    name, sentence = told_of_descent(a, b, s, further)
    return _Found(name, sentence, subject, "" if further else descent_for(a, b, s))


def told_of_descent(
    a: Power, b: Power, s: Power, further: Sequence[str] = ()
) -> tuple[str, str]:
    """Name and sentence; empty where all is right."""
    terms = [
        (a != SLOPE, in_words(a, SLOPE, "gradient", "a tau")),
        (b != STEP, in_words(b, STEP, "pull", "a")),
        (s != SPREAD, _spread_in_words(s)),
    ]
    wrong = [text for off, text in terms if off]
    if not (wrong or further):
        return "", ""
    shown = [text for _, text in terms] if wrong else []
    sentence = ", ".join([*shown, *further])
    same = descent_for(a, b, s)
    if same:
        sentence += f": apart from that, {same}" if further else f": this is {same}"
    return "; ".join([*wrong, *further]), sentence


def _spread_in_words(s: Power) -> str:
    ratio = s.over(SPREAD)
    if ratio.plain:
        return f"samples of variance {said(ratio.factor**2)} tau{_signed(ratio)}"
    return in_words(s, SPREAD, "samples of deviation", "sqrt(tau)")


def descent_for(a: Power, b: Power, s: Power) -> str:
    """The problem for which the move is right."""
    by_a, by_b, by_s = a.over(SLOPE), b.over(STEP), s.over(SPREAD)
    if not (by_a.plain and by_b.plain and by_s.plain):
        return ""
    tau = by_s.factor**2
    if by_b.factor <= 0 or by_a.factor == by_b.factor == tau == 1:
        return ""
    f = (
        scaled(by_a.factor / by_b.factor / tau, "f")
        if by_a.factor
        else "a constant loss"
    )
    parts = [text for text in (f, scaled(tau, "tau")) if text not in ("f", "tau")]
    head = "Algorithm 5" + (f" for {' and '.join(parts)}" if parts else "")
    if abs(by_b.factor - 1) > FITTED:
        head += f" with step {scaled(by_b.factor, 'a')}"
    return head


def _output_of_descent(rows: list[Array]) -> Any:
    """What is made of the states, (n, moves + 1, d) to (n, d)."""
    w = rows[0]
    L = len(w) - 1

    def averaged(weights: Callable[[int], Array]) -> Callable[[Array], Array]:
        return lambda states: np.tensordot(
            states, weights(states.shape[1]), axes=(1, 0)
        )

    rate = snapped(float(w[-1]))
    known: list[tuple[str, Callable[[int], Array]]] = [
        ("", lambda count: np.eye(count)[-1]),
        (
            "the output is the mean of the new states, not the last one",
            lambda count: np.append(0.0, np.full(count - 1, 1 / (count - 1))),
        ),
        (
            "the output is the mean of all states, not the last one",
            lambda count: np.full(count, 1 / count),
        ),
        (
            "the output is an exponential average with weight "
            f"{said(rate)} on the new state, not the last one",
            lambda count: exponential(rate)(np.ones(count)),
        ),
    ]
    for text, weights in known:
        if all(matches(row, weights(L + 1)) for row in rows):
            return text, averaged(weights)
    return None


# --- Algorithm 4 ----------------------------------------------------------------------

SAMPLES = 4


def _of_samples(w: Witness, asked: Asked) -> _Found | None:
    del asked
    if not w.provides("importance_mean"):
        return None
    try:
        proposal = _proposal(w)
        if proposal is None:
            return None
        centred, s = proposal
        weights = _log_weights(w, centred, s)
    except (NotRun, SubjectFault):
        return None
    if weights is None:
        return None
    of_f, of_z, total = weights
    slip = Importance(
        points=lambda m: centred * m.x + s(1.0, m.tau) * m.z,
        logs=lambda m, y: -of_f * m.loss(y) - of_z * (m.z**2).sum(axis=-1) / 2,
        weigh=_weighing(total),
    )
    subject = replace(Played(conventions=w.conventions), importance=slip)
    told = told_of_samples(centred, s, of_f, of_z, total)
    return _Found(*told[:2], subject, told[2])


def told_of_samples(
    centred: float, s: Power, of_f: float, of_z: float, total: str = "sum"
) -> tuple[str, str, str]:
    """Name, sentence and equivalent problem; empty where all is right."""
    place = f"samples around {scaled(centred, 'x') if centred else 'zero'}"
    terms = (
        (centred != 1, place),
        (s != SPREAD, _spread_in_words(s)),
        (of_f != 1, f"weights exp({scaled(-of_f, 'f') if of_f else '0'})"),
        (of_z != 0, f"times the Gaussian density to the power {said(of_z)}"),
        (total == "none", "the sum is not divided by that of the weights"),
        (total == "J", "the sum is divided by J, not by that of the weights"),
    )
    wrong = [text for off, text in terms if off]
    if not wrong:
        return "", "", ""
    same, ratio = "", s.over(SPREAD)
    if total == "sum" and of_z == 0 and centred == 1 and ratio.plain and of_f:
        scales = [scaled(of_f, "f"), scaled(ratio.factor**2, "tau")]
        parts = [part for part in scales if part not in ("f", "tau")]
        same = "Algorithm 4 for " + " and ".join(parts) if parts else ""
    sentence = ", ".join(wrong) + (f": this is {same}" if same else "")
    return "; ".join(wrong), sentence, same


def _weighing(total: str) -> Any:
    if total == "sum":
        return lambda _, logs: normalised(odds(logs))
    if total == "none":
        return lambda _, logs: np.exp(logs)
    return lambda _, logs: np.exp(logs) / logs.shape[1]


def _proposal(w: Witness) -> tuple[float, Power] | None:
    """The factor of x in the centre, and the samples' standard deviation."""
    spreads, centres, x = [], [], np.array([0.83, -1.31, 0.43])
    taus = np.array([0.3, 0.7, 1.6])
    flat = Constant(0.0, 3)
    for tau in taus:
        z = np.vstack([np.zeros((1, 1, 3)), np.eye(3)[:, None]])
        outputs = w.importance_mean(flat, x, float(tau), 1, draws=z, n=4)
        slopes = outputs[1:] - outputs[0]
        if not matches(slopes.ravel(), (slopes[0, 0] * np.eye(3)).ravel()):
            return None
        factor = outputs[0] @ x / (x @ x)
        if not matches(outputs[0], factor * x):
            return None
        spreads.append(slopes[0, 0])
        centres.append(snapped(float(factor)))
    law = fitted(np.array(spreads), np.ones(3), taus)
    if law is None or law.factor == 0 or np.ptp(centres) > FITTED:
        return None
    return centres[0], law


def _log_weights(
    w: Witness, centred: float, s: Power
) -> tuple[float, float, str] | None:
    """Factors of f and of |z|^2/2 in minus the log-weights, and what divides them."""
    rows, targets, sums, plain = [], [], [], []
    for k, tau in enumerate((0.3, 0.7, 1.6)):
        base = P.QUADRATIC_5
        loss = Quadratic(base.H, base.m, 0.3 + 0.2 * k)
        x = np.array([0.83, -1.31, 0.43, 0.29, -0.57])
        z = P.draws(f"weights {k}", 2, SAMPLES, 5)
        outputs = w.importance_mean(loss, x, tau, SAMPLES, draws=z, n=2)
        for output, draws in zip(outputs, z, strict=True):
            points = centred * x + s(1.0, tau) * draws
            weights, *_ = np.linalg.lstsq(points.T, output, rcond=None)
            if not matches(points.T @ weights, output) or weights.min() <= 0:
                return None
            logs = np.log(weights)
            features = np.stack([loss(points), (draws**2).sum(axis=1) / 2])
            rows.append((features - features.mean(axis=1, keepdims=True)).T)
            targets.append(logs - logs.mean())
            sums.append(weights.sum())
            plain.append((logs, features))
    found, *_ = np.linalg.lstsq(np.vstack(rows), -np.concatenate(targets), rcond=None)
    if not matches(np.vstack(rows) @ found, -np.concatenate(targets)):
        return None
    of_f, of_z = (snapped(float(value)) for value in found)
    if matches(sums, np.ones(len(sums))):
        return of_f, of_z, "sum"
    levels = [(logs + of_f * f + of_z * r).tolist() for logs, (f, r) in plain]
    flat = np.ravel(levels)
    if np.abs(flat).max() <= 1e-6:
        return of_f, of_z, "none"
    if np.abs(flat + np.log(SAMPLES)).max() <= 1e-6:
        return of_f, of_z, "J"
    return None


# --- whole runs -----------------------------------------------------------------------


def _of_runs(w: Witness, asked: Asked) -> _Found | None:
    """A learning rate other than tau: x_{k+1} = x_k + r (estimate - x_k)."""
    path, right = asked.answers[0], asked.right[0]
    if isinstance(path, str) or isinstance(right, str) or path.shape != right.shape:
        return None
    step, own = right[1] - right[0], path[1] - path[0]
    rate = snapped(float(own @ step / (step @ step)))
    loop = Loop(moved=lambda x, estimate: x + rate * (estimate - x))
    subject = replace(Played(conventions=w.conventions), loop=loop)
    sentence = (
        f"x_{{k+1}} = x_k + {said(rate)} (estimate - x_k): gradient descent on F_tau "
        f"with learning rate eta = {scaled(rate, 'tau')}, not eta = tau"
    )
    return _Found(f"eta = {scaled(rate, 'tau')}", sentence, subject)
