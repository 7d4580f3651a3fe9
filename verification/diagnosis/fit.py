"""Route (b): solve for the coefficients that a subject really uses.

Algorithms 3 and 5 are recursions whose coefficients are read off responses to chosen
starts, centres, minima and draws on quadratics (`verification.diagnosis.affine`), for
several schedules and variances, and where a chain of moves does not tell them off a
single one; in single precision, or where no start can be chosen, they are solved for
(`verification.diagnosis.jointly`).  Algorithm 4 is a weighted sum whose weights are
read off outputs in more dimensions than there are samples.  The coefficients are put
into power laws of step and tau.  What has been read is then played on the problems of
the signature, which are of other kinds and dimensions and took no part in the reading;
it is told only if it agrees there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification import problems as P
from verification.diagnosis import jointly
from verification.diagnosis import outputs as rules
from verification.diagnosis.affine import Recursion, Setting, single, solved
from verification.diagnosis.candidates import STARTED, FromCentre, right_in
from verification.diagnosis.outputs import STALE, Weights
from verification.diagnosis.power import (
    FITTED,
    Power,
    fitted,
    matches,
    said,
    scaled,
    snapped,
)
from verification.diagnosis.questions import ROUNDING, answered, difference
from verification.diagnosis.result import Diagnosis
from verification.diagnosis.signature import Asked
from verification.diagnosis.words import (
    SPREAD,
    ChainFit,
    DescentFit,
    Fit,
    SamplesFit,
    moves_in_numbers,
)
from verification.errors import NotRun, SubjectFault
from verification.losses import Constant, Quadratic
from verification.mistakes._training import Loop
from verification.mistakes.importance import Importance, normalised, odds
from verification.mistakes.langevin import Langevin
from verification.mistakes.played import Played
from verification.mistakes.robbins_monro import RobbinsMonro
from verification.subject import Witness
from verification.truth.output_laws import output_weights

__all__ = ["HELD_OUT", "Found", "fit", "in_numbers", "of_start", "read_off"]

Array = NDArray[np.float64]

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
#: Curvatures: a loss that is multiplied by a small number needs large ones.
STIFFNESSES = (4.0, 0.25, 60.0, 1000.0)
#: Two steps for each variance, one move.
PAIRS = (
    *((0.7, (0.31, 0.13)), (0.3, (0.12, 0.27)), (1.6, (0.23, 0.17))),
    *((0.45, (0.37, 0.29)), (1.1, (0.09, 0.21))),
)
INNER = 3


def fit(w: Witness, asked: Asked) -> Diagnosis | None:
    """What the subject computes in the paper's terms; None if nothing fits.

    Also None where all that is found is what it should be.
    """
    read = read_off(w, asked)
    if read is None:
        return None
    found, gap = read
    said_of = (found.name, found.sentence, "fit", (), gap, found.equivalent)
    read_of = {"coefficients": found.coefficients, "subject": found.subject}
    return Diagnosis(*said_of, **read_of)


def read_off(w: Witness, asked: Asked) -> tuple[Found, float] | None:
    """The coefficients that explain all answers, and the largest difference."""
    makers: dict[str, Callable[[Witness, Asked], Iterator[Found]]] = {
        "Algorithm 3": _of_chain,
        "Algorithm 4": _of_samples,
        "Algorithm 5": _of_descent,
        "runs": _of_runs,
    }
    if asked.family not in makers or not asked.questions:
        return None
    within = max(HELD_OUT, ROUNDING * w.unit_roundoff)
    for found in makers[asked.family](w, asked):
        gap = _held_out(found.subject, asked, within)
        if gap is not None and found.sentence:
            return found, gap
    return None


@dataclass(frozen=True)
class Found:
    """Coefficients in words, and the subject that has them.

    Attributes
    ----------
    name, sentence, equivalent, coefficients : str
        As of a `Diagnosis`.
    subject : object
    """

    name: str
    sentence: str
    subject: Any
    equivalent: str = ""
    coefficients: str = ""

    def from_centre(self) -> Found:
        """The same where a start that is given is not looked at."""
        name, sentence = (
            "; ".join(filter(None, (text, FromCentre.sentence)))
            for text in (self.name, self.sentence)
        )
        subject = FromCentre(self.subject)
        return replace(self, name=name, sentence=sentence, subject=subject)


def _found(of: Fit, subject: Any) -> Found:
    return Found(of.name, of.sentence, subject, of.equivalent, of.coefficients)


def _held_out(subject: Any, asked: Asked, within: float) -> float | None:
    """The largest difference on the questions; None beyond what is allowed.

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
        if not gap <= within:
            return None
        largest = max(largest, gap)
        right_too = right_too and difference(own, right) <= within
    return None if right_too else largest


# --- power laws of what was read ------------------------------------------------------


@dataclass(frozen=True)
class _Read:
    """Coefficients of the moves of one setting, but perhaps for the last.

    Attributes
    ----------
    tau : float
    steps : ndarray, shape (J,)
    columns : tuple of ndarray, shape (moves,)
        The factors of gradient, state and centre, and of the noise.
    found : Recursion or None
        What they were read from; None where the output was supposed.
    """

    tau: float
    steps: Array
    columns: tuple[Array, Array, Array, Array]
    found: Recursion | None = None


@dataclass(frozen=True)
class _Law:
    """Power laws of gradient, pull and noise, and what the pull is towards."""

    gradient: Power
    pull: Power
    noise: Power
    anchor: float


def _laws(read: Sequence[_Read], moved: Weights) -> _Law | None:
    """The power laws that all coefficients follow; None if there are none."""
    steps = np.concatenate([moved(r.steps)[: len(r.columns[0])] for r in read])
    taus = np.concatenate([np.full(len(r.columns[0]), r.tau) for r in read])
    columns = zip(*(r.columns for r in read), strict=True)
    laws = [fitted(np.concatenate(column), steps, taus) for column in columns]
    if any(law is None for law in laws):
        return None
    gradient, pull, towards, noise = (law for law in laws if law is not None)
    if not pull.factor:
        return None if towards.factor else _Law(gradient, pull, noise, 1.0)
    ratio = towards.over(pull)
    anchor = snapped(ratio.factor)
    return _Law(gradient, pull, noise, anchor) if ratio.plain else None


def _output(w: Witness, mean: str, trace: str) -> tuple[str, bool]:
    """The method that gives an output, and whether it is a trace."""
    return (mean, False) if w.provides(mean) else (trace, True)


# --- Algorithm 3 ----------------------------------------------------------------------


def _of_chain(w: Witness, asked: Asked) -> Iterator[Found]:
    del asked
    start = of_start(w, "Algorithm 3")
    if w.dtype == "float64" and start == "taken":
        yield from _read_chains(w)
    else:
        yield from _jointly(w, "Algorithm 3", start == "ignored")


def _read_chains(w: Witness) -> Iterator[Found]:
    """Chains whose coefficients are read, each by itself."""
    for stiffness in STIFFNESSES:
        read = _moves_of_chain(w, stiffness)
        if read:
            yield from _chains(w, read)
    yield from _single_chains(w)


def _moves_of_chain(w: Witness, stiffness: float) -> list[_Read]:
    """The coefficients of every setting; none if one cannot be read."""
    literal, read = w.conventions["sgld.chain"] == "literal", []
    for tau, all_steps in SCHEDULES:
        steps = np.array(all_steps if literal else all_steps[:MOVES])
        setting = Setting(tau, tuple(steps), MOVES, 0, stiffness)
        found = solved(_chain_asked(w, setting), setting, np.ones_like)
        if found is None:
            return []
        read.append(_Read(tau, steps, _but_the_last(found), found))
    return read


def _chain_asked(w: Witness, setting: Setting) -> Any:
    method, traced = _output(w, "sgld_mean", "sgld_trace")

    def ask(loss: Any, x: Array, start: Array, z: Array) -> Array:
        given = {"start": start, "draws": z, "n": len(z)}
        outputs = getattr(w, method)(loss, x, setting.tau, setting.steps, **given)
        return np.asarray(outputs[:, -1] if traced else outputs)

    return ask


def _but_the_last(found: Recursion) -> tuple[Array, Array, Array, Array]:
    return found.a[:-1], found.p[:-1], found.b[:-1], found.c[:-1]


def _chains(w: Witness, read: list[_Read]) -> Iterator[Found]:
    """Chains with the coefficients that were read, the output as it was read."""
    traced = _output(w, "sgld_mean", "sgld_trace")[1]
    literal = w.conventions["sgld.chain"] == "literal"
    for stale, moved in STALE.items():
        law = _laws(read, moved)
        if law is None or law.noise.factor == 0:
            continue
        rows = []
        for r in read:
            step = moved(r.steps)[MOVES - 1]
            noise, pull = law.noise(step, r.tau), law.pull(step, r.tau)
            weights = r.found.weights(noise, pull) if r.found else np.zeros(0)
            averaged = weights if literal else weights[1:]
            rows.append((r.steps, averaged, _of_centre(r, law.anchor * pull / noise)))
        rule = rules.CHAIN_OUTPUTS[1] if traced else rules.of_chain(rows)
        if rule is not None:
            yield _chain(w, law, stale, rule)


def _of_centre(r: _Read, pull: float) -> float:
    """The weight of the centre in an output: what the last move's pull is too large.

    Parameters
    ----------
    pull : float
        Of the last move, over the deviation of its noise, as it should be.
    """
    return (r.found.pull[-1] - pull) * r.found.last if r.found else 0.0


@dataclass(frozen=True)
class _Centred(Played):
    """A subject that counts the centre among the states."""

    of_centre: Callable[[int], float] = lambda _: 0.0

    def _walked(self, *given: Any) -> tuple[Array, Array, Array]:
        output, states, last = super()._walked(*given)
        _, x, _, steps, *_ = given
        return output + self.of_centre(len(steps)) * np.asarray(x), states, last


def _chain(w: Witness, law: _Law, stale: str, output: rules.Rule) -> Found:
    """A chain with these coefficients."""
    declared = w.conventions["sgld.output"]
    output = rules.as_declared(output, declared)
    text, rule, right = output.text, output.weights, right_in(w.conventions)
    steps = np.array(SCHEDULES[0][1])
    if output.of_centre(1):
        parts = {part.name: getattr(right, part.name) for part in fields(right)}
        right = _Centred(**parts, of_centre=output.of_centre)
    elif not w.provides("sgld_mean") or matches(
        output_weights(steps, declared), rule(steps)
    ):
        text, rule = "", Langevin.weights  # what is declared
    elif not text:
        text = "the output is the eps-weighted mean"
    slip = Langevin(
        gradient=lambda m: 2 / m.epsilon * law.gradient(m.epsilon, m.tau) * m.gradient,
        pull=lambda m: (
            2 / m.epsilon * law.pull(m.epsilon, m.tau) * (law.anchor * m.x - m.y)
        ),
        kick=lambda m: law.noise(m.epsilon, m.tau) * m.z,
        steps=STALE[stale],
        weights=rule,
    )
    hint = output.hint if text else ""
    powers = law.gradient, law.pull, law.noise
    of = ChainFit(*powers, law.anchor, _also(stale, text), hint)
    return _found(of, replace(right, langevin=slip))


def _single_chains(w: Witness) -> Iterator[Found]:
    """Chains with the coefficients of one move, the output being supposed."""
    literal = w.conventions["sgld.chain"] == "literal"
    traced = _output(w, "sgld_mean", "sgld_trace")[1]
    settings = [
        Setting(tau, steps if literal else steps[:1], 1) for tau, steps in PAIRS
    ]
    moves = [single(_chain_asked(w, s), s, np.ones_like) for s in settings]
    if any(move is None for move in moves):
        return
    for output in rules.CHAIN_OUTPUTS[1:2] if traced else rules.CHAIN_OUTPUTS:
        weights = [output.weights(np.array(s.steps)) for s in settings]
        if not literal:
            weights = [np.append(0.0, own) for own in weights]
        read = _supposed(settings, moves, weights)
        for stale, moved in STALE.items():
            law = _laws(read, moved)
            if law is not None:
                yield _chain(w, law, stale, output)


def _supposed(
    settings: Sequence[Setting], moves: Sequence[Any], weights: Sequence[Array]
) -> list[_Read]:
    """The coefficients of single moves, for these weights of their two states."""
    read = []
    for s, move, (first, second) in zip(settings, moves, weights, strict=True):
        stays = (move.stays - first) / second
        a, b, c = (np.array([part / second]) for part in (move.a, move.b, move.c))
        columns = (a, np.array([1 - stays]), b, c)
        read.append(_Read(s.tau, np.array(s.steps), columns))
    return read


# --- Algorithm 5 ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Scheduled(RobbinsMonro):
    """Algorithm 5 whose moves take other steps of the schedule."""

    moved: Weights = lambda steps: steps

    def _steps(self, a: Array) -> Array:
        return self.moved(a)


def _of_descent(w: Witness, asked: Asked) -> Iterator[Found]:
    del asked
    start = of_start(w, "Algorithm 5")
    if w.dtype == "float64" and start == "taken":
        yield from _read_descents(w)
    else:
        yield from _jointly(w, "Algorithm 5", start == "ignored")


def _read_descents(w: Witness) -> Iterator[Found]:
    """Descents whose coefficients are read, each by itself."""
    for stiffness in STIFFNESSES:
        read = _moves_of_descent(w, stiffness)
        if read:
            yield from _descents(w, read)
    yield from _single_descents(w)


def _moves_of_descent(w: Witness, stiffness: float) -> list[_Read]:
    """The coefficients of every setting; none if one cannot be read."""
    every, read = w.conventions["robbins_monro.moves"] == "J", []
    for tau, all_steps in SCHEDULES:
        steps = np.array(all_steps[:MOVES] if every else all_steps)
        setting = Setting(tau, tuple(steps), MOVES, INNER, stiffness)
        found = solved(_descent_asked(w, setting), setting, np.negative)
        if found is None:
            return []
        a, p, b, c = _but_the_last(found)
        if not np.abs(a).min() > 0:
            return []
        read.append(_Read(tau, steps, (a, p, b, INNER * c / a), found))
    return read


def _descent_asked(w: Witness, setting: Setting) -> Any:
    method, traced = _output(w, "robbins_monro", "robbins_monro_trace")

    def ask(loss: Any, x: Array, start: Array, z: Array) -> Array:
        given = {"start": start, "draws": z, "n": len(z)}
        at = (loss, x, setting.tau, setting.steps, INNER)
        outputs = getattr(w, method)(*at, **given)
        return np.asarray(outputs[:, -1] if traced else outputs)

    return ask


def _descents(w: Witness, read: list[_Read]) -> Iterator[Found]:
    """Descents with the coefficients that were read, the output as it was read."""
    for stale, moved in STALE.items():
        law = _laws(read, moved)
        if law is None or law.noise.factor == 0:
            continue
        rows = []
        for r in read:
            step = moved(r.steps)[MOVES - 1]
            noise = law.gradient(step, r.tau) * law.noise(step, r.tau) / INNER
            pull = law.pull(step, r.tau)
            rows.append(r.found.weights(noise, pull) if r.found else np.zeros(0))
        output = rules.of_descent(rows)
        if output is not None:
            yield from _descent(w, law, stale, output)


def _descent(w: Witness, law: _Law, stale: str, output: rules.Rule) -> Iterator[Found]:
    """A descent with these coefficients, if they are those of steps."""
    text, rule = output.text, output.weights
    if law.noise.of_step or any(
        part.factor and part.of_step != 1 for part in (law.gradient, law.pull)
    ):
        return

    def averaged(states: Array) -> Array:
        return np.tensordot(states, rule(np.ones(states.shape[1])), axes=(1, 0))

    slip = _Scheduled(
        moved=STALE[stale],
        points=lambda m: m.around(m.y, law.noise(1.0, m.tau)),
        pull=lambda m: law.pull(1.0, m.tau) * (m.y - law.anchor * m.x),
        factor=lambda tau: law.gradient(1.0, tau),
        output=averaged,
    )
    of = DescentFit(law.gradient, law.pull, law.noise, law.anchor, _also(stale, text))
    yield _found(of, replace(right_in(w.conventions), descent=slip))


def _also(stale: str, output: str) -> tuple[str, ...]:
    """What else is said of a subject, where there is anything to say."""
    moved = f"every move has {stale}" if stale else ""
    return tuple(text for text in (moved, output) if text)


def _single_descents(w: Witness) -> Iterator[Found]:
    """Descents with the coefficients of one move, the output being supposed."""
    every = w.conventions["robbins_monro.moves"] == "J"
    settings = [
        Setting(tau, steps[:1] if every else steps, 1, INNER) for tau, steps in PAIRS
    ]
    moves = [single(_descent_asked(w, s), s, np.negative) for s in settings]
    if any(move is None for move in moves):
        return
    for output in rules.DESCENT_OUTPUTS:
        weights = [output.weights(np.ones(2))] * len(settings)
        read = []
        for r in _supposed(settings, moves, weights):
            a, p, b, c = r.columns
            spread = INNER * c / a if np.abs(a).min() > 0 else 0.0 * c
            read.append(replace(r, columns=(a, p, b, spread)))
        for stale, moved in STALE.items():
            law = _laws(read, moved)
            if law is None:
                continue
            if not law.gradient.factor:
                law = replace(law, noise=SPREAD)  # of samples that nothing is taken at
            yield from _descent(w, law, stale, output)


# --- what follows no power law --------------------------------------------------------


def in_numbers(w: Witness, family: str) -> str:
    """The moves on quadratics in numbers; "" where they cannot be read.

    For a subject that nothing explains: which of the terms is not what it should be.
    """
    readers = {"Algorithm 3": _moves_of_chain, "Algorithm 5": _moves_of_descent}
    if family not in readers or w.dtype != "float64":
        return ""
    for stiffness in STIFFNESSES:
        read = readers[family](w, stiffness)
        if read:
            return moves_in_numbers(family, [(r.tau, r.steps, r.columns) for r in read])
    return ""


# --- Algorithms 3 and 5 in single precision, or from the centre alone -----------------


def of_start(w: Witness, family: str) -> str:
    """What becomes of a start that is given: "taken", "ignored" or "refused"."""
    (problem, *_) = _problems(w, family)
    try:
        plain = _outputs(w, family, problem)
        moved = _outputs(w, family, problem, start=problem.x + 1)
    except NotRun:
        return "refused"
    except SubjectFault:
        return "taken"
    return "ignored" if np.array_equal(plain, moved) else "taken"


def _problems(w: Witness, family: str) -> list[jointly.Problem]:
    if family == "Algorithm 3":
        fewer = w.conventions["sgld.chain"] == "literal"
    else:
        fewer = w.conventions["robbins_monro.moves"] == "J-1"
    inner = family == "Algorithm 5"
    return jointly.problems(MOVES - fewer, fewer=fewer, inner=inner)


def _outputs(w: Witness, family: str, p: jointly.Problem, **given: Any) -> Array:
    """Outputs (n, d), or last states where those are all that is offered."""
    chains = family == "Algorithm 3"
    names = STARTED[:2] if chains else STARTED[2:]
    method, traced = _output(w, *names)
    sizes = () if chains else (jointly.INNER,)
    given |= {"draws": p.draws, "n": len(p.draws)}
    outputs = getattr(w, method)(p.loss, p.x, p.tau, p.steps, *sizes, **given)
    return np.asarray(outputs[:, -1] if traced else outputs)


def _jointly(w: Witness, family: str, ignored: bool) -> Iterator[Found]:
    """What explains the outputs of chains from the centre.

    Parameters
    ----------
    ignored : bool
        Whether a start that is given is.
    """
    asked = _problems(w, family)
    try:
        outputs = np.stack([_outputs(w, family, problem) for problem in asked])
    except (NotRun, SubjectFault):
        return
    chains = family == "Algorithm 3"
    traced = not w.provides("sgld_mean" if chains else "robbins_monro")
    within = ROUNDING * w.unit_roundoff
    own = jointly.explaining(asked, outputs, within, traced=traced)
    if own is None:
        return
    law = _Law(own.gradient, own.pull, own.noise, own.anchor)
    if chains:
        made = [_chain(w, law, own.stale, own.output)]
    else:
        made = list(_descent(w, law, own.stale, own.output))
    if ignored:  # which alone has a name already
        made = [found.from_centre() for found in made if found.sentence]
    yield from made


# --- Algorithm 4 ----------------------------------------------------------------------

SAMPLES = 4
TAUS = (0.3, 0.7, 1.6)
#: Units of roundoff that reading a coefficient of Algorithm 4 costs, at most.
READ = 1024.0


def _of_samples(w: Witness, asked: Asked) -> Iterator[Found]:
    del asked
    if not w.provides("importance_mean"):
        return
    try:
        proposal = _proposal(w)
        if proposal is None:
            return
        of = _log_weights(w, *proposal)
    except (NotRun, SubjectFault):
        return
    if of is None:
        return
    slip = Importance(
        points=lambda s: of.centre * s.x + of.spread(1.0, s.tau) * s.z,
        logs=lambda s, y: (
            -of.of_f(1.0, s.tau) * s.loss(y)
            - of.of_z(1.0, s.tau) * (s.z**2).sum(axis=-1) / 2
        ),
        weigh=_weighing(of.total),
    )
    yield _found(of, replace(right_in(w.conventions), importance=slip))


def _weighing(total: str) -> Any:
    if total == "sum":
        return lambda _, logs: normalised(odds(logs))
    if total == "none":
        return lambda _, logs: np.exp(logs)
    return lambda _, logs: np.exp(logs) / logs.shape[1]


def _proposal(w: Witness) -> tuple[float, Power] | None:
    """The factor of x in the centre, and the samples' standard deviation."""
    spreads, centres, x = [], [], np.array([0.83, -1.31, 0.43])
    flat, within = Constant(0.0, 3), _known(w)
    for tau in TAUS:
        z = np.vstack([np.zeros((1, 1, 3)), np.eye(3)[:, None]])
        outputs = w.importance_mean(flat, x, tau, 1, draws=z, n=4)
        slopes = outputs[1:] - outputs[0]
        if not matches(slopes.ravel(), (slopes[0, 0] * np.eye(3)).ravel(), within):
            return None
        factor = outputs[0] @ x / (x @ x)
        if not matches(outputs[0], factor * x, within):
            return None
        spreads.append(slopes[0, 0])
        centres.append(snapped(float(factor), within))
    law = _of_tau(spreads, within)
    if law is None or law.factor == 0 or np.ptp(centres) > 0:
        return None
    return centres[0], law


def _known(w: Witness) -> float:
    """How well a coefficient of Algorithm 4 is known: no difference costs digits."""
    return max(FITTED, READ * w.unit_roundoff)


def _of_tau(values: Sequence[float], within: float) -> Power | None:
    """The power of tau through one value for each of `TAUS`."""
    return fitted(np.array(values), np.ones(len(TAUS)), np.array(TAUS), within)


def _log_weights(w: Witness, centre: float, spread: Power) -> SamplesFit | None:
    """All coefficients: the log-weights are -of_f f - of_z |z|^2/2, for each tau."""
    x, within = np.array([0.83, -1.31, 0.43, 0.29, -0.57]), _known(w)
    read, sums, levels = [], [], []
    for k, tau in enumerate(TAUS):
        loss = Quadratic(P.QUADRATIC_5.H, P.QUADRATIC_5.m, 0.3 + 0.2 * k)
        z = P.draws(f"weights {k}", 2, SAMPLES, 5)
        outputs = w.importance_mean(loss, x, tau, SAMPLES, draws=z, n=2)
        points = centre * x + spread(1.0, tau) * z
        weights = np.array(
            [_unmixed(*pair, within) for pair in zip(points, outputs, strict=True)]
        )
        if not weights.min() > 0:
            return None
        features = np.stack([loss(points), (z**2).sum(axis=-1) / 2])  # (2, 2, J)
        found = _slopes(features, np.log(weights), within)
        if found is None:
            return None
        read.append(found)
        sums.append(weights.sum(axis=1))
        levels.append(np.log(weights) + np.tensordot(found, features, axes=1))
    of_f, of_z = (_of_tau(column, within) for column in zip(*read, strict=True))
    if of_f is None or of_z is None:
        return None
    for total, level in (("sum", None), ("none", 0.0), ("J", -np.log(SAMPLES))):
        gap = np.array(sums) - 1 if level is None else np.array(levels) - level
        if np.abs(gap).max() <= 10 * within:
            return SamplesFit(centre, spread, of_f, of_z, total)
    return None


def _unmixed(points: Array, output: Array, within: float) -> Array:
    """The weights (J,) of points (J, d) in an output; NaN if it is no sum of them."""
    weights, *_ = np.linalg.lstsq(points.T, output, rcond=None)
    mixed = matches(points.T @ weights, output, within)
    return np.asarray(weights if mixed else np.nan * weights, dtype=np.float64)


def _slopes(features: Array, logs: Array, within: float) -> Array | None:
    """Factors of two features (2, n, J) in minus the log-weights (n, J)."""
    rows = features - features.mean(axis=-1, keepdims=True)
    targets = (logs.mean(axis=-1, keepdims=True) - logs).ravel()
    flat = rows.reshape(2, -1).T
    found, *_ = np.linalg.lstsq(flat, targets, rcond=None)
    return np.asarray(found) if matches(flat @ found, targets, within) else None


# --- whole runs -----------------------------------------------------------------------


def _of_runs(w: Witness, asked: Asked) -> Iterator[Found]:
    """A learning rate other than tau: x_{k+1} = x_k + r (estimate - x_k)."""
    path, right = asked.answers[0], asked.right[0]
    if isinstance(path, str) or isinstance(right, str) or path.shape != right.shape:
        return
    step, own = right[1] - right[0], path[1] - path[0]
    rate = snapped(float(own @ step / (step @ step)))
    loop = Loop(moved=lambda x, estimate: x + rate * (estimate - x))
    subject = replace(right_in(w.conventions), loop=loop)
    sentence = (
        f"x_{{k+1}} = x_k + {said(rate)} (estimate - x_k): gradient descent on F_tau "
        f"with learning rate eta = {scaled(rate, 'tau')}, not eta = tau"
    )
    name = f"eta = {scaled(rate, 'tau')}"
    yield Found(name, sentence, subject, coefficients=sentence)
