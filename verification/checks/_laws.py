"""What the stochastic checks share: a subject's own draws, whitened by their law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.checks._trial import Trial
from verification.errors import NotRun
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import output_laws as laws

Array = NDArray[np.float64]
Draw = Callable[[int], Array]

ERRORS = (
    "a false alarm with probability 1e-6 in a whole run; a pass certifies the "
    "differences named, each missed with probability 1e-3 at most"
)


def designed(design: Any) -> Problem:
    """A design of `verification.evidence.designs` as a case."""
    more = {"step_sizes": design.step_sizes}
    if hasattr(design, "inner_samples"):
        more["inner_samples"] = design.inner_samples
    return Problem(design.label, design.loss, design.x, design.tau, more)


def step_sizes(p: Problem) -> Array:
    """The schedule of a case."""
    return np.array(p.more["step_sizes"], dtype=float)


def whitened(
    ask: Callable[..., Any], score: Callable[[Array], Array], t: Trial
) -> Draw:
    """Scores of fresh replicates: ``score(ask(n=count, seed=...))`` at each call."""
    seeds = t.seeds()
    return lambda count: score(ask(n=count, seed=next(seeds)))


def one_by_one(ask: Callable[..., Any], seeds: Any) -> Callable[..., Array]:
    """Replicates in calls of their own, in place of the n of one call.

    `seeds` gives the next seed, or None for randomness that the subject finds itself.
    """

    def asked(n: int, seed: Any = None) -> Array:
        del seed
        return np.concatenate([ask(n=1, seed=next(seeds)) for _ in range(n)])

    return asked


def require_batches(w: Witness) -> None:
    """Leave out what gives a minibatch to each update of a subject that takes none.

    Raises
    ------
    NotRun
        If the subject declares sums over examples, of which the paper does not say what
        a sum over some of them would be, or a fresh minibatch for every gradient.
    """
    if w.conventions["loss.reduction"] != "mean":
        raise NotRun("minibatches have no fixed reading where the loss is a sum")
    if w.conventions["minibatch"] != "per-update":
        raise NotRun(
            "the judge gives one minibatch to each update, not to each gradient"
        )


def chain_law(w: Witness, p: Problem, **changed: Any) -> laws.Gaussian:
    """The law of the output of Algorithm 3 on a case, in the subject's reading."""
    given: dict[str, Any] = {"loss": p.loss, "x": p.x, "start": p.more.get("start")}
    given |= {"tau": p.tau, "step_sizes": step_sizes(p)} | changed
    chain, output = w.conventions["sgld.chain"], w.conventions["sgld.output"]
    return laws.sgld(**given, chain=chain, output=output)


def descent_law(w: Witness, p: Problem, **changed: Any) -> laws.Gaussian:
    """The law of the output of Algorithm 5 on a case, in the subject's reading."""
    given: dict[str, Any] = {"loss": p.loss, "x": p.x, "tau": p.tau}
    given |= {"inner_samples": p.more["inner_samples"]} | changed
    moves = w.conventions["robbins_monro.moves"]
    return laws.robbins_monro(**given, step_sizes=step_sizes(p), moves=moves)
