"""What every implementation owes its caller, whatever it computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from verification import problems as P
from verification.checks._check import check
from verification.checks._replay import (
    NO_PATH,
    OUTPUT,
    REPLAYED,
    WITHIN,
    ask_chain,
    ask_descent,
    ask_samples,
    ask_training,
    joined,
    makes_all_moves,
    samples,
)
from verification.errors import NotRun
from verification.evidence.comparison import Finding, agree, differs
from verification.problems import (
    Problem,
    chain,
    descent,
    power_law,
    sample,
    squares,
    training,
)
from verification.subject import Witness


@check(
    "MAN-01",
    paper="none: the protocol",
    claim="inputs are never changed, and a call repeated gives the same bits",
    truth="the first answer, and the arguments as they were handed over",
    route="MET",
    tolerance="none: a deterministic function of the same arguments has one answer",
    mistakes=("M09", "M10"),
    cases=(P.QUADRATICS[1], P.MIXTURES[0]),
)
def repeatable(w: Witness, p: Problem) -> Iterator[Finding]:
    other = tuple(v + 0.25 for v in p.x)
    calls: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("local_entropy", (p.loss, p.x, p.tau)),
        ("local_entropy_gradient", (p.loss, p.x, p.tau)),
        ("posterior_mean", (p.loss, p.x, p.tau)),
        ("posterior_covariance", (p.loss, p.x, p.tau)),
        ("heat", (p.loss, p.x, p.tau)),
        ("heat_gradient", (p.loss, p.x, p.tau)),
        ("heat_proximal_point", (p.loss, p.x, p.tau)),
        ("majoriser", (p.loss, other, p.x, p.tau)),
        ("heat_majoriser", (p.loss, other, p.x, p.tau)),
        ("minimise_local_entropy", (p.loss, p.x, p.tau, 3)),
        ("minimise_heat", (p.loss, p.x, p.tau, 2)),
        ("scoping", (1.5, 0.01, 7)),
        ("step_schedule", ("harmonic", (1000.0,), 5)),
        ("kl_gaussian", (p.x, _round(p, 0.5), other, _round(p, 0.75))),
    )
    reasons = []
    for name, arguments in calls:
        ask = getattr(w, name)
        try:
            first, second = ask(*arguments), ask(*arguments)
        except NotRun as reason:
            reasons.append(str(reason))
            continue
        yield agree(f"{name}, again", second, first, 0.0)
    if len(reasons) == len(calls):
        raise NotRun(reasons[0])


def _round(p: Problem, variance: float) -> Any:
    return variance * np.eye(p.d)


STEPS = squares(6, 9, 4)
POWER = power_law(0.5, 0.75, 3)
RECORDS = (
    ("sgld", {"step_sizes": STEPS, "start": "centre"}),
    ("importance", {"samples": 5}),
    ("robbins_monro", {"step_sizes": POWER, "inner_samples": 2}),
)
# an implementation may know quadratic losses only
CHAINS = (
    chain("mixture d=2", P.MIXTURE_2, 0.375, STEPS, n=3),
    chain("quadratic d=2", P.QUADRATIC_2, 0.375, STEPS, n=3),
)
SAMPLES = (sample("quadratic d=3", P.INDEFINITE_3, 1.25, 5, n=3),)
DESCENTS = (
    descent("wells d=2", P.WELLS_2, 0.25, POWER, 2, n=3),
    descent("quadratic d=2", P.QUADRATIC_2, 0.25, POWER, 2, n=3),
)

#: Problems, and the positional arguments after loss, x and tau.
OWN = {
    "sgld_mean": (CHAINS, ("step_sizes",)),
    "sgld_trace": (CHAINS, ("step_sizes",)),
    "importance_mean": (SAMPLES, ("samples",)),
    "importance_weights": (SAMPLES, ("samples",)),
    "robbins_monro": (DESCENTS, ("step_sizes", "inner_samples")),
    "robbins_monro_trace": (DESCENTS, ("step_sizes", "inner_samples")),
}


def _called(method: str, p: Problem) -> Problem:
    """A case: what this method is to be asked."""
    return replace(p, label=f"{method}, {p.label}", more={**p.more, "asked": method})


def _runs() -> list[Problem]:
    return [
        _called(
            "train",
            training(f"{m}, {label}", loss, m, (0.75, 0.5), **arguments),
        )
        for label, loss in (
            ("mixture d=3", P.MIXTURE_3),
            ("quadratic d=3", P.DIAGONAL_3),
        )
        for m, arguments in RECORDS
    ]


RUNS = _runs()
DRAWN = (*(_called(m, p) for m, (problems, _) in OWN.items() for p in problems), *RUNS)
BATCHES = Problem("minibatch_indices", None, more={"asked": "minibatch_indices"})


def _asked(w: Witness, p: Problem) -> str:
    """The method of a case, which may make no sense in the subject's reading."""
    if p.more["asked"] == "robbins_monro_trace" and not makes_all_moves(w):
        raise NotRun(NO_PATH)
    return str(p.more["asked"])


def _by_seed(w: Witness, p: Problem, seed: int | None) -> Any:
    """An answer by the subject's own randomness; three replicates where it can."""
    asked = _asked(w, p)
    if asked == "minibatch_indices":
        return w.minibatch_indices(1000, 20, 3, seed=seed)
    if asked == "train":
        return w.train(p.loss, p.x, p.more["method"], p.more["record"], seed=seed)
    rest = [p.more[name] for name in OWN[asked][1]]
    return getattr(w, asked)(p.loss, p.x, p.tau, *rest, n=3, seed=seed)


def _apart(what: str, first: Any, second: Any) -> Finding:
    """No part of one answer is a part of the other: compare the closest two."""
    pairs = [(a, b) for a in first for b in second]
    a, b = min(pairs, key=lambda pair: float(np.linalg.norm(pair[0] - pair[1])))
    return differs(what, a, b, 1e-6)


SEED = 11
#: To the next seed, and to those that agree with it in so many bits or digits.
OFFSETS = (1, 1000, 2**8, 2**16, 2**24, 2**30)


@check(
    "RNG-04",
    paper="none: the protocol",
    claim="a seed fixes every bit; another seed, however it differs, no seed, also "
    "after a seed, and every replicate have noise of their own",
    truth="the first answer with the seed",
    route="MET",
    tolerance="none for the same seed; else the closest replicates differ by 1e-6, "
    "which independent pairs of numbers fail to do less than once in 10^7 runs",
    mistakes=("X05", "X06", "X07", "X08", "X15", "X17", "X18", "X19"),
    any_of=(*OWN, "train", "minibatch_indices"),
    level="R",
    cases=(*DRAWN, BATCHES),
)
def seeds(w: Witness, p: Problem) -> Iterator[Finding]:
    # twice a seed and then none: a stream that a seed restarts would repeat itself
    first, fresh, again, after, fresher = (
        _by_seed(w, p, seed) for seed in (SEED, None, SEED, None, None)
    )
    yield agree("the same seed, again", again, first, 0.0)
    # x_0 is part of every run
    parts = slice(1, None) if p.more["asked"] == "train" else slice(None)
    for offset in OFFSETS:
        other = _by_seed(w, p, SEED + offset)
        yield _apart(f"the seed + {offset}", first[parts], other[parts])
    yield _apart("no seed", first[parts], fresh[parts])
    yield _apart("no seed, after the seed again", fresh[parts], after[parts])
    yield _apart("no seed, again", after[parts], fresher[parts])
    for i in range(1, len(first)):
        yield _apart("replicates of one call", first[i - 1 : i], first[i:])


def _drawn(total: int, size: int, batches: int) -> Problem:
    """A case: so many minibatches of this size."""
    more = {"drawn": (total, size, batches)}
    return Problem(f"{size} of {total} rows", None, more=more)


@check(
    "EQ1-05",
    paper="(1), section 6.2",
    claim="the rows of a minibatch are different ones of 0, ..., N - 1, and all of "
    "these are drawn in the end",
    truth="the definition of a subset",
    route="ID",
    tolerance="none; independent uniform subsets leave a row out less than once in "
    "10^14 runs",
    mistakes=("X03", "X04", "X20", "X21"),
    needs=("minibatch_indices",),
    level="R",
    # N (1 - B/N)^K: 1e-15, 2e-20 and 0
    cases=(_drawn(1000, 20, 2048), _drawn(40, 7, 256), _drawn(12, 12, 16)),
)
def subsets(w: Witness, p: Problem) -> Iterator[Finding]:
    total, size, batches = p.more["drawn"]
    rows = w.minibatch_indices(total, size, batches, seed=SEED)
    outside = np.count_nonzero((rows < 0) | (rows >= total))
    yield agree("rows that do not exist", outside, 0, 0.0)
    repeated = batches * size - sum(len(set(batch)) for batch in rows.tolist())
    yield agree("rows that a minibatch repeats", repeated, 0, 0.0)
    missing = np.setdiff1d(np.arange(total), rows).size
    yield agree("rows that are in no minibatch", missing, 0, 0.0)


def _replayed(w: Witness, p: Problem) -> Any:
    asked = _asked(w, p)
    if asked == "train":
        return ask_training(w, p)
    if asked.startswith("importance"):
        return ask_samples(w, asked, p)
    ask = ask_chain if asked.startswith("sgld") else ask_descent
    return ask(w, asked, p)


@check(
    "MAN-02",
    paper="none: the protocol",
    claim="with its draws given a call is a function: repeated, it gives the same bits",
    truth="the first answer",
    route="MET",
    tolerance="none: a deterministic function of the same arguments has one answer",
    mistakes=("X11",),
    any_of=(*OWN, "train"),
    level="R",
    cases=DRAWN,
)
def given_draws(w: Witness, p: Problem) -> Iterator[Finding]:
    first = _replayed(w, p)
    yield agree(f"{p.more['asked']}, again", _replayed(w, p), first, 0.0)


@check(
    "RNG-05",
    paper="section 5.1.2",
    claim="with its draws given Algorithm 4 does not depend on the number of workers",
    truth="the subject's own answer for one worker",
    route="MET",
    tolerance=REPLAYED + ", of both sides",
    mistakes=("I07", "I08", "I11", "I12", "M17", "M18"),
    any_of=("importance_mean", "importance_weights"),
    level="R",
    cases=(
        sample("quadratic d=1", P.QUADRATIC_1, 0.75, 7, workers=2),
        sample("mixture d=2", P.MIXTURE_2, 0.25, 13, n=3, workers=3),
        sample("wells d=3", P.WELLS_3, 1.25, 13, workers=5),
        sample("quartic d=2", P.QUARTIC_2, 0.5625, 9, n=3, workers=7),
    ),
)
def workers(w: Witness, p: Problem) -> Iterator[Finding]:
    alone = replace(p, more={**p.more, "workers": 1})
    runs = samples(p)
    for method, part in (("importance_mean", OUTPUT), ("importance_weights", WITHIN)):
        if w.provides(method):
            slack = 2 * joined(runs, part).tolerance(w)
            base = ask_samples(w, method, alone)
            yield agree(method, ask_samples(w, method, p), base, slack)
