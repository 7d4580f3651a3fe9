"""A recorded trajectory with its draws: which mistake, and which coefficients.

A recording is one problem, so that it says less than a subject that can be asked: how a
coefficient depends on tau it cannot show, and it must hold more numbers than there are
coefficients to solve for.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.checks._kit import flat
from verification.diagnosis.candidates import Summed
from verification.diagnosis.fit import HELD_OUT
from verification.diagnosis.newton import descended, simplest
from verification.diagnosis.outputs import (
    BEGINNINGS,
    CHAIN_OUTPUTS,
    Rule,
    as_declared,
    begun,
    smoothed,
)
from verification.diagnosis.power import Power, snapped
from verification.diagnosis.questions import (
    ROUNDING,
    Answer,
    Question,
    answered,
    difference,
)
from verification.diagnosis.result import Diagnosis, no_mapping
from verification.diagnosis.signature import Asked, is_single, signature
from verification.diagnosis.words import ChainFit, DescentFit, Fit, SamplesFit
from verification.errors import CannotStart, UsageError, one_line
from verification.losses import KINDS, from_json
from verification.mistakes.importance import Importance
from verification.mistakes.langevin import Langevin
from verification.mistakes.played import Played, exponential
from verification.mistakes.robbins_monro import RobbinsMonro
from verification.subject import UNIT_ROUNDOFF, Witness

__all__ = ["BadRecording", "Recording", "diagnose_recording", "read"]

Array = NDArray[np.float64]

REQUIRED = ("recording", "algorithm", "loss", "x", "tau", "draws")
OPTIONAL = (
    "step_sizes",
    "start",
    "workers",
    "conventions",
    "dtype",
    "states",
    "output",
)
#: Characters of a complaint, which may quote what it complains of.
LONGEST = 600
#: More are not counted: every one of them is a slice to be looked at.
MOST_WORKERS = 4096
FAMILY = {3: "Algorithm 3", 4: "Algorithm 4", 5: "Algorithm 5"}


class BadRecording(UsageError):
    """A file is no recording."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Runs of an algorithm on one problem.

    Attributes
    ----------
    algorithm : {3, 4, 5}
    loss : LossData
    x : ndarray, shape (d,)
        The centre.
    tau : float
        A variance.
    draws : ndarray
        Standard normals, (n, moves, d), (n, J, d) or (n, moves, M, d).
    steps : ndarray, shape (J,)
        Empty for Algorithm 4.
    start : ndarray or None, shape (d,)
    workers : int
    states : ndarray or None
        (n, J, d), or (n, J + 1, d) for Algorithm 5.
    output : ndarray or None, shape (n, d)
    conventions : mapping
        As declared, but for the reduction of the loss, which is in `loss`.
    dtype : str
    """

    algorithm: int
    loss: Any
    x: Array
    tau: float
    draws: Array
    steps: Array
    start: Array | None
    workers: int
    states: Array | None
    output: Array | None
    conventions: Mapping[str, str]
    dtype: str

    @property
    def family(self) -> str:
        """The part of the protocol it belongs to."""
        return FAMILY[self.algorithm]

    @property
    def answered(self) -> tuple[int, int]:
        """Of its output and its states those that it holds, and how many there are."""
        held = [part for part in (self.output, self.states) if part is not None]
        return len(held), 1 if self.algorithm == 4 else 2

    @property
    def roundoff(self) -> float:
        """How far two computations of the same may be apart, relative."""
        return ROUNDING * UNIT_ROUNDOFF[self.dtype]

    @property
    def within(self) -> float:
        """How far its numbers may be from what coefficients make."""
        return max(HELD_OUT, self.roundoff)

    @property
    def literal(self) -> bool:
        """Whether the start is the first averaged state of Algorithm 3."""
        return self.conventions["sgld.chain"] == "literal"


# --- reading --------------------------------------------------------------------------


def read(path: str | Path) -> Recording:
    """The recording in a file.

    Raises
    ------
    BadRecording
        If there is none, in one sentence.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        said_of = getattr(exc, "strerror", None) or "it is no text in UTF-8"
        raise BadRecording(f"cannot read {path}: {said_of}") from exc
    try:
        data = json.loads(text)
    except json.JSONDecodeError as exc:
        raise BadRecording(
            f"{path} is no JSON: {exc.msg} in line {exc.lineno}, column {exc.colno}"
        ) from exc
    except RecursionError as exc:
        raise BadRecording(
            f"{path}: lists or objects stand too deep in others"
        ) from exc
    except ValueError as exc:
        raise BadRecording(f"{path} has a number beyond all bounds") from exc
    try:
        return _recording(data)
    except BadRecording as exc:
        raise BadRecording(f"{path}: {one_line(str(exc), LONGEST)}") from exc


def _recording(data: Any) -> Recording:
    if not isinstance(data, dict):
        raise BadRecording("a recording is an object with keys, see docs/diagnosis.md")
    missing = [key for key in REQUIRED if key not in data]
    unknown = [key for key in data if key not in (*REQUIRED, *OPTIONAL)]
    if missing:
        raise BadRecording(f"these keys are missing: {', '.join(missing)}")
    if unknown:
        known = ", ".join((*REQUIRED, *OPTIONAL))
        raise BadRecording(f"unknown keys {', '.join(unknown)}; those known: {known}")
    algorithm = data["algorithm"]
    if type(data["recording"]) is not int or data["recording"] != 1:
        said_of = _short(data["recording"])
        raise BadRecording(f'"recording" is the format, 1, got {said_of}')
    if type(algorithm) is not int or algorithm not in FAMILY:
        raise BadRecording(f'"algorithm" is 3, 4 or 5, got {_short(algorithm)}')
    if data.get("states") is None and data.get("output") is None:
        raise BadRecording('"states" or "output" must be given')
    if algorithm == 4 and data.get("output") is None:
        raise BadRecording('Algorithm 4 has no states: "output" must be given')
    loss = _loss(data["loss"])
    x = _numbers(data, "x", 1)
    if x.size != loss.d:
        raise BadRecording(f'"x" has {x.size} entries, the loss {loss.d} parameters')
    tau = _numbers(data, "tau", 0)
    if not tau > 0:
        raise BadRecording(f'"tau" is a variance and must be positive, got {tau}')
    return _with_runs(data, loss, x, float(tau), _reading(data))


def _with_runs(
    data: dict[str, Any], loss: Any, x: Array, tau: float, reading: Witness
) -> Recording:
    """The recording, its arrays with an axis of runs and of the right shapes."""
    algorithm, d = data["algorithm"], x.size
    axes = 3 if algorithm == 5 else 2
    draws = _in_runs(data, "draws", axes)
    n = len(draws)
    steps = np.zeros(0) if algorithm == 4 else _steps(data)
    moves = {
        3: len(steps) - (reading.conventions["sgld.chain"] == "literal"),
        4: draws.shape[1],
        5: len(steps) - (reading.conventions["robbins_monro.moves"] == "J-1"),
    }[algorithm]
    inner = draws.shape[2:-1]
    _shaped("draws", draws, (n, moves, *inner, d))
    conventions = {**reading.conventions, "loss.reduction": "mean"}
    if conventions != reading.conventions:
        loss = Summed(loss)
    start = _numbers(data, "start", 1) if data.get("start") is not None else None
    if start is not None:
        _shaped("start", start, (d,))
    states = output = None
    if data.get("states") is not None:
        states = _in_runs(data, "states", 2)
        count = len(steps) if algorithm == 3 else moves + 1
        _shaped("states", states, (n, count, d))
    if data.get("output") is not None:
        output = _in_runs(data, "output", 1)
        _shaped("output", output, (n, d))
    workers = data.get("workers", 1)
    if type(workers) is not int or not 1 <= workers <= MOST_WORKERS:
        said_of = f"a count up to {MOST_WORKERS}, got {_short(workers)}"
        raise BadRecording(f'"workers" is {said_of}')
    return Recording(
        algorithm, loss, x, tau, draws, steps, start, workers, states, output,
        conventions, reading.dtype,
    )  # fmt: skip


def _short(value: Any) -> str:
    """A value in a sentence, not all of it where it is long."""
    text = reprlib.repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _loss(data: Any) -> Any:
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadRecording(f'"loss" is an object whose "kind" is in {", ".join(KINDS)}')
    try:
        with np.errstate(all="ignore"):
            return from_json(data)
    except Exception as exc:
        text = " ".join(str(exc).split())
        raise BadRecording(f'"loss" of kind {data["kind"]}: {text}') from exc


def _reading(data: dict[str, Any]) -> Witness:
    """A witness with the declared conventions."""

    class Declared:
        name = "recording"
        dtype = data.get("dtype", "float64")
        conventions = data.get("conventions", {})

    try:
        return Witness(Declared())
    except CannotStart as exc:
        raise BadRecording(str(exc).replace("subject", "recording")) from exc


def _numbers(data: dict[str, Any], key: str, ndim: int) -> Array:
    wrong = f'"{key}" must be numbers, in rows of one length'
    try:
        if not all(type(value) in (int, float) for value in flat(data[key])):
            raise BadRecording(wrong)
        array = np.array(data[key], dtype=np.float64)
    except (ValueError, OverflowError, RecursionError) as exc:
        raise BadRecording(wrong) from exc
    if array.ndim != ndim or array.size == 0:
        wanted = "a number" if ndim == 0 else f"{ndim} axes"
        raise BadRecording(f'"{key}" must have {wanted}, got shape {array.shape}')
    if not np.isfinite(array).all():
        raise BadRecording(f'"{key}" must be finite')
    return array


def _in_runs(data: dict[str, Any], key: str, axes: int) -> Array:
    """An array of one run, or of several, with an axis of runs."""
    depth, inner = 0, data[key]
    while isinstance(inner, list):
        depth, inner = depth + 1, inner[0] if inner else None
    array = _numbers(data, key, axes + 1 if depth == axes + 1 else axes)
    return array if depth == axes + 1 else array[None]


def _steps(data: dict[str, Any]) -> Array:
    if data.get("step_sizes") is None:
        raise BadRecording('"step_sizes" must be given for Algorithms 3 and 5')
    steps = _numbers(data, "step_sizes", 1)
    if not steps.min() > 0:
        raise BadRecording('"step_sizes" must be positive')
    return steps


def _shaped(key: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise BadRecording(f'"{key}" must have shape {shape}, got {array.shape}')


# --- asking ---------------------------------------------------------------------------


def diagnose_recording(r: Recording) -> Diagnosis | None:
    """What made a recording; None if it is what the algorithm makes of the draws."""
    played = Played(conventions=r.conventions)
    w = Witness(played)
    asked = _asked(r, w)
    if asked.is_right:
        return None
    named = signature(w, asked)
    read_off = _fit(r)
    if named is not None and read_off is not None and read_off.coefficients:
        sentence = f"{named.sentence}; solved for: {read_off.coefficients}"
        return replace(named, sentence=sentence, equivalent=read_off.equivalent)
    if named is not None:
        return named
    if read_off is not None:
        return read_off
    if is_single(asked, r.dtype):
        return no_mapping(
            f"it is what {r.family} makes of its draws, to single precision: say "
            '"dtype": "float32"'
        )
    return no_mapping(
        "no known mistake, no two of them and no coefficients make this recording of "
        "its draws"
    )


def _asked(r: Recording, w: Witness) -> Asked:
    kept: list[tuple[Question, Answer, Answer]] = []
    for q, answer in _questions(r):
        kept.append((q, answer, answered(w, q)))
    columns = zip(*kept, strict=True)
    asked, answers, right = (tuple(column) for column in columns)
    slack = tuple(r.roundoff for _ in asked)
    return Asked(r.family, asked, answers, right, slack)


def _questions(r: Recording) -> Iterator[tuple[Question, Array]]:
    """What the recording answers."""
    n = {"n": len(r.draws)} if len(r.draws) > 1 else {}
    given: dict[str, Any] = {"draws": r.draws, **n}
    sizes: tuple[Any, ...] = (r.steps,)
    methods = ("sgld_mean", "sgld_trace")
    if r.algorithm == 4:
        sizes, methods = (r.draws.shape[1],), ("importance_mean", "")
        given |= {"workers": r.workers} if r.workers > 1 else {}
    elif r.algorithm == 5:
        sizes = (r.steps, r.draws.shape[2])
        methods = ("robbins_monro", "robbins_monro_trace")
    if r.algorithm != 4 and r.start is not None:
        given["start"] = r.start

    def question(method: str) -> Question:
        def ask(w: Any) -> Any:
            return getattr(w, method)(r.loss, r.x, r.tau, *sizes, **given)

        return Question(method, "recording", ask)

    if r.output is not None:
        yield question(methods[0]), r.output
    if r.states is not None and methods[1]:
        yield question(methods[1]), r.states


# --- solving --------------------------------------------------------------------------

#: Where the search for the coefficients begins; each is 1 where all is right.
STARTS = ((1.0, 1.0, 1.0), (2.0, 2.0, 1.0), (-1.0, 1.0, 1.0), (1.0, -1.0, 1.0))
#: Numbers in a recording for each coefficient that must explain them, at least.
ENOUGH = 2
#: How the noise may depend on the step: as it should, as eps, not at all.
NOISE = (Power(1.0, 0.5), Power(1.0, 1.0), Power(1.0))

#: Of exponential averages whose states are not recorded; the first two where they
#: begin elsewhere than at the first state.
RATES = (0.1, 0.25, 0.5, 0.75, 0.9)

#: What is left of the recording's numbers with these coefficients.
Left = Callable[[Array], Array]


def _fit(r: Recording) -> Diagnosis | None:
    """The coefficients that make all of a recording; None if none do."""
    makers = {3: _fit_chain, 4: _fit_samples, 5: _fit_descent}
    return makers[r.algorithm](r)


def _solve(r: Recording, left: Left, count: int = 3) -> tuple[Array, float] | None:
    """Coefficients with no residual, and what is left, by Gauss and Newton.

    A fourth one begins at 1, and has one start only.
    """

    def residual(rows: Array) -> Array:
        return np.stack([left(theta) for theta in rows])

    for start in STARTS if count == 3 else STARTS[:1]:
        begin = np.append(start, np.ones(count - 3))
        with np.errstate(all="ignore"):
            if not len(left(begin)) >= ENOUGH * count:
                return None
            theta, rest = simplest(residual, descended(residual, begin), r.within)
        if rest <= r.within:
            return theta, rest
    return None


def _told(r: Recording, of: Fit, left: float) -> Diagnosis | None:
    if not of.sentence:
        return None
    note = f" (at tau = {r.tau:g}: another dependence on tau may be behind a factor)"
    read_of = of.coefficients + note if of.coefficients else ""
    sentence = of.sentence + (note if read_of else "")
    said_of = (of.name, sentence, "fit", (), left, of.equivalent)
    return Diagnosis(*said_of, coefficients=read_of)


# --- Algorithm 3 ----------------------------------------------------------------------
#
# theta: the factors of the drift, the pull and the noise, and of x_k in the pull


def _fit_chain(r: Recording) -> Diagnosis | None:
    recorded = r.states is not None
    outputs = list(_rules(r))[: 1 if recorded else None]
    for count, noise, rule in product((3, 4), NOISE, outputs):
        if rule.beginning is not None and (count, noise) != (3, NOISE[0]):
            continue  # one unusual thing at a time

        def left(theta: Array, noise: Power = noise, rule: Rule = rule) -> Array:
            with_anchor = np.append(theta, np.ones(4 - len(theta)))
            if recorded:
                return _moves(r, with_anchor, noise)
            return _outputs(r, with_anchor, noise, rule)

        found = _solve(r, left, count)
        output: Rule | None = rule
        if recorded and found is not None:
            output = _averaged(r, np.asarray(r.states))
        if found is not None and output is not None:
            said = as_declared(output, r.conventions["sgld.output"])
            return _told_of_chain(r, *found, noise, said)
    return None


def _told_of_chain(
    r: Recording, theta: Array, left: float, noise: Power, output: Rule
) -> Diagnosis | None:
    drift, pull, kick, *anchor = (float(value) for value in theta)
    of = ChainFit(
        Power(drift / 2, 1.0, 0.0) if drift else Power(0.0),
        Power(pull / 2, 1.0, -1.0) if pull else Power(0.0),
        replace(noise, factor=kick) if kick else Power(0.0),
        anchor[0] if anchor and pull else 1.0,
        (output.text,) if output.text else (),
        output.hint,
    )
    return _told(r, of, left)


def _from(r: Recording) -> Array:
    """Where the moves of Algorithm 3 begin and end, (n, moves + 1, d)."""
    states = np.asarray(r.states)
    if r.literal:
        return states
    first = r.x if r.start is None else r.start
    return np.concatenate([np.broadcast_to(first, states[:, :1].shape), states], axis=1)


def _moves(r: Recording, theta: Array, noise: Power) -> Array:
    """What is left of the recorded moves."""
    states = _from(r)
    old, new = states[:, :-1], states[:, 1:]
    steps = r.steps[: old.shape[1], None]
    pull = theta[1] * (theta[3] * r.x - old) / r.tau
    kick = theta[2] * steps**noise.of_step * r.draws
    drift = theta[0] * r.loss.gradient(old) - pull
    return np.asarray((new - old + steps / 2 * drift - kick).ravel())


def _rules(r: Recording) -> Iterator[Rule]:
    """Ways to make an output of the states, the declared one first."""
    known = list(CHAIN_OUTPUTS)
    declared = r.conventions["sgld.output"]
    if declared != "weighted-mean":
        known[0] = Rule("the output is the eps-weighted mean", Langevin.weights)
        rate = float(declared.partition(":")[2])
        known.insert(0, Rule("", exponential(rate)))
    yield from known
    for average in _averages(r):
        yield from map(average, RATES if average is smoothed else RATES[:2])


def _averages(r: Recording) -> Iterator[Callable[[float], Rule]]:
    """Exponential averages of any rate: from the first state, and begun elsewhere."""
    yield smoothed
    moved = r.start is not None and not np.array_equal(r.start, r.x)
    for of in BEGINNINGS:
        if of.place != "centre" or moved or not (r.literal and of.skips):
            yield partial(begun, of=of, count=len(r.steps))


def _averaged(r: Recording, states: Array) -> Rule | None:
    """How the output is made of the recorded states, if it is recorded."""
    if r.output is None:
        return CHAIN_OUTPUTS[0]
    recorded = r.output

    def off(rule: Rule) -> float:
        mean = np.tensordot(states, rule.weights(r.steps), axes=(1, 0))
        return difference(mean + rule.of_centre(len(r.steps)) * r.x, recorded)

    for rule in _rules(r):
        if off(rule) <= r.within:
            return rule
    if recorded.size < ENOUGH:
        return None
    for average in _averages(r):
        rule = _with_its_rate(average, off, r.within)
        if off(rule) <= r.within:
            return rule
    return None


def _with_its_rate(
    average: Callable[[float], Rule], off: Callable[[Rule], float], within: float
) -> Rule:
    """The one of these averages that is nearest."""
    rates = np.linspace(0.01, 0.99, 981)
    best = float(rates[int(np.argmin([off(average(rate)) for rate in rates]))])
    for width in 10.0 ** np.arange(-3, -13, -1):
        near = np.clip(best + width * np.linspace(-2, 2, 41), 1e-6, 1 - 1e-6)
        best = float(near[int(np.argmin([off(average(rate)) for rate in near]))])
    return average(snapped(best, within))


def _outputs(r: Recording, theta: Array, noise: Power, rule: Rule) -> Array:
    """What is left of the recorded outputs."""
    slip = Langevin(
        gradient=lambda m: theta[0] * m.gradient,
        pull=lambda m: theta[1] * (theta[3] * m.x - m.y) / m.tau,
        kick=lambda m: theta[2] * m.epsilon**noise.of_step * m.z,
        weights=rule.weights,
    )
    left = _left(r, Played(conventions=r.conventions, langevin=slip))
    return left + rule.of_centre(len(r.steps)) * np.tile(r.x, len(r.draws))


def _left(r: Recording, subject: Played) -> Array:
    """The recorded output less that of a subject, which is asked without a witness."""
    q, answer = next(_questions(r))
    return np.asarray((q.ask(subject) - answer).ravel())


# --- Algorithms 4 and 5 ---------------------------------------------------------------


def _fit_samples(r: Recording) -> Diagnosis | None:
    """theta: the factors of f, of the deviation, and one more than the density's."""

    def left(theta: Array) -> Array:
        slip = Importance(
            points=lambda m: m.spread(theta[1] * np.sqrt(m.tau)),
            logs=lambda m, y: (
                -theta[0] * m.loss(y) - (theta[2] - 1) * (m.z**2).sum(axis=-1) / 2
            ),
        )
        return _left(r, Played(conventions=r.conventions, importance=slip))

    found = _solve(r, left)
    if found is None:
        return None
    of_f, spread, density = (float(value) for value in found[0])
    powers = Power(spread, 0.0, 0.5), Power(of_f), Power(density - 1)
    return _told(r, SamplesFit(1.0, *powers), found[1])


def _fit_descent(r: Recording) -> Diagnosis | None:
    """theta: the factors of gradient, pull, deviation, and of x_k in the pull."""
    for count in (3, 4):
        found = _solve(r, lambda theta: _descent_left(r, theta), count)
        if found is None:
            continue
        gradient, pull, spread, *anchor = (float(value) for value in found[0])
        of = DescentFit(
            Power(gradient, 1.0, 1.0) if gradient else Power(0.0),
            Power(pull, 1.0, 0.0) if pull else Power(0.0),
            Power(spread, 0.0, 0.5),
            anchor[0] if anchor and pull else 1.0,
        )
        return _told(r, of, found[1])
    return None


def _descent_left(r: Recording, theta: Array) -> Array:
    """What is left of the recorded moves, or outputs."""
    anchor = theta[3] if len(theta) > 3 else 1.0
    if r.states is None:
        slip = RobbinsMonro(
            factor=lambda tau: theta[0] * tau,
            pull=lambda m: theta[1] * (m.y - anchor * m.x),
            points=lambda m: m.around(m.y, theta[2] * np.sqrt(m.tau)),
        )
        return _left(r, Played(conventions=r.conventions, descent=slip))
    old, new = r.states[:, :-1], r.states[:, 1:]
    steps = r.steps[: old.shape[1], None]
    points = old[:, :, None] + theta[2] * np.sqrt(r.tau) * r.draws
    mean = r.loss.gradient(points).mean(axis=2)
    h = theta[1] * (old - anchor * r.x) + theta[0] * r.tau * mean
    return np.asarray((new - old + steps * h).ravel())
