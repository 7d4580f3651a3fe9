"""A recorded trajectory with its draws: which mistake, and which coefficients.

A recording is one problem, so that it says less than a subject that can be asked: how a
coefficient depends on tau it cannot show, and it must hold more numbers than there are
coefficients to solve for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.diagnosis.fit import (
    HELD_OUT,
    chain_for,
    descent_for,
    told_of_chain,
    told_of_descent,
    told_of_samples,
)
from verification.diagnosis.played import Played, exponential
from verification.diagnosis.power import Power, said, snapped
from verification.diagnosis.questions import (
    ROUNDING,
    Answer,
    Question,
    answered,
    difference,
)
from verification.diagnosis.result import Diagnosis, no_mapping
from verification.diagnosis.signature import Asked, signature
from verification.errors import CannotStart, UsageError
from verification.losses import KINDS, from_json
from verification.mistakes.importance import Importance
from verification.mistakes.langevin import Langevin
from verification.mistakes.robbins_monro import RobbinsMonro
from verification.subject import Witness

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
    try:
        return _recording(data)
    except BadRecording as exc:
        raise BadRecording(f"{path}: {exc}") from exc


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
    if data["recording"] != 1:
        raise BadRecording(f'"recording" is the format, 1, got {data["recording"]!r}')
    algorithm = data["algorithm"]
    if algorithm not in FAMILY or isinstance(algorithm, bool):
        raise BadRecording(f'"algorithm" is 3, 4 or 5, got {algorithm!r}')
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
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise BadRecording(f'"workers" is a count, got {workers!r}')
    return Recording(
        algorithm, loss, x, tau, draws, steps, start, workers, states, output,
        reading.conventions, reading.dtype,
    )  # fmt: skip


def _loss(data: Any) -> Any:
    if not isinstance(data, dict) or data.get("kind") not in KINDS:
        raise BadRecording(f'"loss" is an object whose "kind" is in {", ".join(KINDS)}')
    try:
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
    try:
        array = np.array(data[key], dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise BadRecording(f'"{key}" must be numbers, in rows of one length') from exc
    if array.ndim != ndim or array.size == 0:
        wanted = "a number" if ndim == 0 else f"{ndim} axes"
        raise BadRecording(f'"{key}" must have {wanted}, got shape {array.shape}')
    if not np.isfinite(array).all():
        raise BadRecording(f'"{key}" must be finite')
    return array


def _in_runs(data: dict[str, Any], key: str, axes: int) -> Array:
    """An array of one run, or of several, with an axis of runs."""
    try:
        depth = np.ndim(data[key])
    except ValueError:
        depth = axes  # ragged, which `_numbers` says
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
    if named is not None and read_off is not None:
        sentence = f"{named.sentence}; solved for: {read_off.sentence}"
        return replace(named, sentence=sentence, equivalent=read_off.equivalent)
    if named is not None:
        return named
    if read_off is not None:
        return read_off
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
    unit = {"float64": 2.0**-53, "float32": 2.0**-24}[r.dtype]
    slack = tuple(ROUNDING * unit for _ in asked)
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
        def ask(w: Witness) -> Any:
            return getattr(w, method)(r.loss, r.x, r.tau, *sizes, **given)

        return Question(method, "recording", ask)

    if r.output is not None:
        yield question(methods[0]), r.output
    if r.states is not None and methods[1]:
        yield question(methods[1]), r.states


# --- solving --------------------------------------------------------------------------

#: Where the search for three coefficients begins.
STARTS = ((1.0, 1.0, 1.0), (2.0, 2.0, 1.0), (-1.0, 1.0, 1.0), (1.0, -1.0, 1.0))
#: Numbers in a recording that three coefficients must explain, at least.
ENOUGH = 6
#: How the noise may depend on the step: as it should, as eps, not at all.
NOISE = (Power(1.0, 0.5), Power(1.0, 1.0), Power(1.0))


def _fit(r: Recording) -> Diagnosis | None:
    """The coefficients that make all of a recording; None if none do."""
    makers = {3: _fit_chain, 4: _fit_samples, 5: _fit_descent}
    return makers[r.algorithm](r)


def _solve(residual: Callable[[Array], Array]) -> tuple[Array, float] | None:
    """Three coefficients with no residual, and what is left, by Gauss and Newton."""
    for start in STARTS:
        with np.errstate(all="ignore"):
            theta = _descended(residual, np.array(start))
            simple = np.array([snapped(float(value)) for value in theta])
            off = residual(simple)
        if len(off) < ENOUGH:
            return None
        left = float(np.abs(off).max())
        if left <= HELD_OUT:
            return simple, left
    return None


def _descended(residual: Callable[[Array], Array], theta: Array) -> Array:
    """Where the iteration ends; anywhere if it does not converge."""
    for _ in range(20):
        columns = [
            (residual(theta + 1e-6 * unit) - residual(theta - 1e-6 * unit)) / 2e-6
            for unit in np.eye(3)
        ]
        off, slope = residual(theta), np.stack(columns, axis=1)
        if not (np.isfinite(slope).all() and np.isfinite(off).all()):
            break
        change, _, rank, _ = np.linalg.lstsq(slope, -off, rcond=1e-10)
        if rank < 3:
            break
        theta = theta + change
        if np.abs(change).max() < 1e-13:
            break
    return theta


def _fit_chain(r: Recording) -> Diagnosis | None:
    if r.states is None:
        return _fit_chain_by_output(r)
    for noise in NOISE:

        def left(theta: Array, noise: Power = noise) -> Array:
            return _moves(r, theta, noise)

        found = _solve(left)
        of_output = None if found is None else _averaged(r, r.states)
        if found is not None and of_output is not None:
            return _told_of_chain(r, found, noise, of_output)
    return None


def _fit_chain_by_output(r: Recording) -> Diagnosis | None:
    for noise, (text, rule) in product(NOISE, _rules(r)):

        def left(theta: Array, noise: Power = noise, rule: Any = rule) -> Array:
            return _outputs(r, theta, noise, rule)

        found = _solve(left)
        if found is not None:
            return _told_of_chain(r, found, noise, text)
    return None


def _told_of_chain(
    r: Recording, found: tuple[Array, float], noise: Power, of_output: str
) -> Diagnosis | None:
    theta, left = found
    a, b = Power(theta[0] / 2, 1.0, 0.0), Power(theta[1] / 2, 1.0, -1.0)
    c = replace(noise, factor=float(theta[2]))
    name, sentence = told_of_chain(a, b, c, "", of_output)
    same = "" if of_output else chain_for(a, b, c)
    return _told(r, name, sentence, same, left)


def _told(
    r: Recording, name: str, sentence: str, same: str, left: float
) -> Diagnosis | None:
    if not sentence:
        return None
    note = f" (at tau = {r.tau:g}: another dependence on tau may be behind a factor)"
    return Diagnosis(name, sentence + note, "fit", (), left, same)


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
    drift = theta[0] * r.loss.gradient(old) - theta[1] * (r.x - old) / r.tau
    kick = theta[2] * steps**noise.of_step * r.draws
    return np.asarray((new - old + steps / 2 * drift - kick).ravel())


def _rules(r: Recording) -> Iterator[tuple[str, Any]]:
    """Ways to make an output of the states."""
    known: list[tuple[str, Any]] = [
        ("", Langevin.weights),
        ("the states have equal weights", lambda e: np.full(len(e), 1 / len(e))),
        ("the output is the last state", lambda e: np.eye(len(e))[-1]),
    ]
    declared = r.conventions["sgld.output"]
    if declared != "weighted-mean":
        rate = float(declared.partition(":")[2])
        known[0] = ("the output is the eps-weighted mean", Langevin.weights)
        known.insert(0, ("", exponential(rate)))
    yield from known
    for rate in (0.1, 0.25, 0.5, 0.75, 0.9):
        yield _smoothed_in_words(rate), exponential(rate)


def _smoothed_in_words(rate: float) -> str:
    return (
        f"the output is an exponential average with weight {said(rate)} on the new "
        "state, not the eps-weighted mean"
    )


def _averaged(r: Recording, states: Array) -> str | None:
    """How the output is made of the recorded states, "" if rightly or not recorded."""
    if r.output is None:
        return ""

    def off(rule: Any) -> float:
        mean = np.tensordot(states, rule(r.steps), axes=(1, 0))
        return difference(np.asarray(mean), np.asarray(r.output))

    for text, rule in _rules(r):
        if off(rule) <= HELD_OUT:
            return text
    rates = np.linspace(0.01, 0.99, 981)
    best = float(rates[int(np.argmin([off(exponential(rate)) for rate in rates]))])
    for width in 10.0 ** np.arange(-3, -13, -1):
        near = np.clip(best + width * np.linspace(-2, 2, 41), 1e-6, 1 - 1e-6)
        best = float(near[int(np.argmin([off(exponential(rate)) for rate in near]))])
    rate = snapped(best)
    if off(exponential(rate)) <= HELD_OUT:
        return _smoothed_in_words(rate)
    return None


def _outputs(r: Recording, theta: Array, noise: Power, rule: Any) -> Array:
    """What is left of the recorded outputs."""
    slip = Langevin(
        gradient=lambda m: theta[0] * m.gradient,
        pull=lambda m: theta[1] * m.pull,
        kick=lambda m: theta[2] * m.epsilon**noise.of_step * m.z,
        weights=rule,
    )
    return _left(r, Played(conventions=r.conventions, langevin=slip))


def _left(r: Recording, subject: Played) -> Array:
    """The recorded output less that of a subject."""
    q, answer = next(_questions(r))
    own = answered(Witness(subject), q)
    if isinstance(own, str):
        return np.full(answer.size, np.nan)
    return np.asarray((own - answer).ravel())


def _fit_samples(r: Recording) -> Diagnosis | None:
    def slip(theta: Array) -> Importance:
        return Importance(
            points=lambda m: m.spread(theta[1] * np.sqrt(m.tau)),
            logs=lambda m, y: (
                -theta[0] * m.loss(y) - (theta[2] - 1) * (m.z**2).sum(axis=-1) / 2
            ),
        )

    def left(theta: Array) -> Array:
        return _left(r, Played(conventions=r.conventions, importance=slip(theta)))

    found = _solve(left)
    if found is None:
        return None
    theta = found[0]
    spread = Power(float(theta[1]), 0.0, 0.5)
    told = told_of_samples(1.0, spread, float(theta[0]), float(theta[2]) - 1)
    return _told(r, *told, found[1])


def _fit_descent(r: Recording) -> Diagnosis | None:
    def slip(theta: Array) -> RobbinsMonro:
        return RobbinsMonro(
            factor=lambda tau: theta[0] * tau,
            pull=lambda m: theta[1] * m.pull,
            points=lambda m: m.around(m.y, theta[2] * np.sqrt(m.tau)),
        )

    def left(theta: Array) -> Array:
        if r.states is None:
            return _left(r, Played(conventions=r.conventions, descent=slip(theta)))
        old, new = r.states[:, :-1], r.states[:, 1:]
        steps = r.steps[: old.shape[1], None]
        points = old[:, :, None] + theta[2] * np.sqrt(r.tau) * r.draws
        mean = r.loss.gradient(points).mean(axis=2)
        h = theta[1] * (old - r.x) + theta[0] * r.tau * mean
        return np.asarray((new - old + steps * h).ravel())

    found = _solve(left)
    if found is None:
        return None
    theta = found[0]
    a, b = Power(float(theta[0]), 1.0, 1.0), Power(float(theta[1]), 1.0, 0.0)
    s = Power(float(theta[2]), 0.0, 0.5)
    name, sentence = told_of_descent(a, b, s)
    return _told(r, name, sentence, descent_for(a, b, s), found[1])
