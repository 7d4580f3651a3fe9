"""What is seen of a loss that sees little, with the subject's own randomness.

One image of two classes without a hidden layer, however often it is repeated, is a
function of one number, the difference of its logits, which every algorithm moves by
normal numbers.  There the laws of two weights, of two samples, of two moves are exact,
although neither weights nor gradients are Gaussian: a fault in the seen part of an
algorithm shows that least squares hide, and a single move or sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from verification.checks._check import check
from verification.checks._laws import ERRORS, Array, step_sizes, whitened
from verification.checks._trial import Trial
from verification.checks.span import chains, descents, samples, stays
from verification.evidence.comparison import Finding
from verification.evidence.sequential import judge_normal
from verification.losses import Constant, LeastSquares, Network
from verification.problems import Problem, at
from verification.subject import Witness
from verification.truth import one_direction as truth
from verification.truth import output_laws as laws

# --- the losses -----------------------------------------------------------------------

#: Most of what the bright image shows are its pixels, of the dark one the biases.
BRIGHT = Network((3, 2), [[1.5, -2.0, 0.75]], [1])
DARK = Network((3, 2), [[0.5, -0.25, 0.5]] * 3, [0, 0, 0])
#: W, image by class, and the two biases.
AT_BRIGHT = (0.25, -0.5, -0.75, -0.5, 0.5, 0.375, -1.0, 1.5)
AT_DARK = (0.75, -0.5, -0.25, 0.75, 0.5, 0.25, -1.25, 0.5)

#: A row and its double, the shorter first; and two directions of the same curvature,
#: one of which two rows share.
DOUBLED = LeastSquares(
    [[0.5, -0.25, 0.375, 0.75], [1.0, -0.5, 0.75, 1.5]], [3.5, -2.25]
)
SHARED = LeastSquares(
    [[0.5, -1.5, -1.0, 0.5], [1.0, -0.5, 2.0, 1.5], [0.5, -1.5, -1.0, 0.5]],
    [1.5, -2.0, 0.5],
)


def _of_bright(label: str, tau: float, **more: Any) -> Problem:
    return at(f"a bright image, {label}", BRIGHT, tau, AT_BRIGHT, **more)


def _of_dark(label: str, tau: float, **more: Any) -> Problem:
    return at(f"a dark image thrice, {label}", DARK, tau, AT_DARK, **more)


def _not_felt(loss: Any) -> Array:
    """A direction that the image shows and the loss does not feel: (d,).

    Both logits rise by as much; e, with its signs in one class given to both.
    """
    return np.repeat(truth.seen(loss).along[::2], 2)


# --- Algorithm 4 ----------------------------------------------------------------------

OF_SCORES = "; the scores' own error, below 1e-12, is less than 1e-7 of the evidence"


@check(
    "SPAN-10",
    paper="Algorithm 4, (16), section 6.1",
    claim="where a loss sees one direction, or two of the same curvature, the ratio of "
    "two weights has its exact law",
    truth="distribution function by quadrature over the first sample; agrees with one "
    "by bisection and panels",
    route="LAW",
    tolerance=ERRORS + OF_SCORES,
    level="S",
    mistakes=("R13", "R14", "R15", "R16", "R21", "R22", "R23"),
    needs=("importance_weights",),
    cases=(
        _of_bright("J = 2", 0.25, samples=2),
        _of_dark("J = 2", 0.5, samples=2),
        at("least squares d=4, rank 1, J = 2", DOUBLED, 0.25, samples=2),
        at("least squares d=4, rank 2, J = 2", SHARED, 0.375, samples=2),
    ),
)
def seen_weights(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    def scores(weights: Array) -> Array:
        return truth.weight_scores(p.loss, p.x, p.tau, weights)

    draw = whitened(samples(w, p, "importance_weights"), scores, t)
    yield judge_normal("normal scores of log w1/w2", draw, t.plan)


@check(
    "SPAN-11",
    paper="Algorithm 4, (16), section 6.1",
    claim="on an image of two classes both samples, recovered from output and weights, "
    "are normal and independent along the direction that is seen; in the one that is "
    "shown and not felt the output is normal given the weights",
    truth="the samples' own law; they are the one solution of two equations",
    route="LAW",
    tolerance=ERRORS + "; the solution is exact to rounding",
    level="S",
    mistakes=("R13", "R14", "R15", "R21", "R22", "R23", "R24"),
    needs=("importance_mean", "importance_weights"),
    cases=(
        _of_bright("both samples", 0.25, samples=2),
        _of_dark("both samples", 0.5, samples=2),
    ),
)
def seen_samples(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    outputs, weights = (
        samples(w, p, name) for name in ("importance_mean", "importance_weights")
    )
    seeds, flat = t.seeds(), _not_felt(p.loss)

    def draw(n: int) -> Array:
        seed = next(seeds)
        mean, shares = outputs(n=n, seed=seed), weights(n=n, seed=seed)
        pair = truth.pair_of_samples(p.loss, p.x, p.tau, mean, shares)
        across = laws.flat_scores(p.x, p.tau, mean, shares, flat[None])
        return np.hstack([pair, across])

    yield judge_normal("normal scores of the samples", draw, t.plan)


# --- Algorithm 5 ----------------------------------------------------------------------


@check(
    "SPAN-12",
    paper="Algorithm 5, (17), section 6.1",
    claim="on an image of two classes the output has its exact law along the direction "
    "that is seen, after a move of two samples and after two moves of one; across, "
    "also where the image shows a direction and the loss does not feel it, it is x",
    truth="distribution function by quadrature over the first sample; agrees with one "
    "by bisection and graded panels",
    route="LAW CF",
    tolerance=ERRORS + OF_SCORES + "; rounding alone across",
    level="S",
    mistakes=("R12", "R17", "R18", "R19", "R25", "R26", "R27", "R28", "R29"),
    needs=("robbins_monro",),
    cases=(
        _of_bright("a move", 0.25, step_sizes=(0.75,), inner_samples=2),
        _of_bright("two moves", 0.25, step_sizes=(0.75, 0.5), inner_samples=1),
        _of_dark("two moves", 0.5, step_sizes=(0.75, 0.5), inner_samples=1),
    ),
)
def seen_descents(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    along, kept = truth.seen(p.loss).along, []
    across = np.linalg.svd(along[None])[2][1:]

    def scores(outputs: Array) -> Array:
        kept.append(outputs)
        given = (p.loss, p.x, p.tau, step_sizes(p), p.more["inner_samples"])
        return truth.descent_scores(*given, outputs)

    asked = p
    if w.conventions["robbins_monro.moves"] == "J-1":  # the last step is not taken
        steps = (*p.more["step_sizes"], p.more["step_sizes"][-1])
        asked = replace(p, more={**p.more, "step_sizes": steps})
    draw = whitened(descents(w, asked), scores, t)
    yield judge_normal("normal scores", draw, t.plan)
    yield stays(w, p, across, np.concatenate(kept))


# --- Algorithm 3 ----------------------------------------------------------------------


@check(
    "SPAN-13",
    paper="Algorithm 3, section 6.1",
    claim="on an image of two classes the output of two moves has its exact law in "
    "both directions that the image shows: the second move meets the gradient where "
    "the first one led",
    truth="distribution function by quadrature over the first move; agrees with one "
    "from chains in the whole space",
    route="LAW",
    tolerance=ERRORS + OF_SCORES,
    level="S",
    mistakes=("R07", "R08", "R09", "R30", "R31"),
    needs=("sgld_mean",),
    cases=(
        _of_bright("two moves", 0.75, step_sizes=(2.25, 4.0, 3.0625)),
        _of_dark(
            "two moves from another start",
            1.5,
            step_sizes=(2.25, 4.0, 3.0625),
            start=(0.5, 0.25, 0.25, -0.5, -0.75, 0.5, -1.0, 1.5),
        ),
    ),
)
def seen_chains(w: Witness, p: Problem, t: Trial) -> Iterator[Finding]:
    if w.conventions["sgld.chain"] == "new-states":
        p = replace(p, more={**p.more, "step_sizes": p.more["step_sizes"][:-1]})
    steps, start = step_sizes(p), np.array(p.more.get("start", p.x))
    reading: dict[str, Any] = {
        "chain": w.conventions["sgld.chain"],
        "output": w.conventions["sgld.output"],
    }
    flat = _not_felt(p.loss)
    of = (Constant(0.0, 1), [flat @ np.array(p.x)], p.tau, steps)
    law = laws.sgld(*of, start=[flat @ start], **reading)

    def scores(outputs: Array) -> Array:
        given = (p.loss, p.x, p.tau, steps, outputs)
        felt = truth.chain_scores(*given, start=start, **reading)
        return np.hstack([felt, law.whiten(outputs @ flat[:, None])])

    draw = whitened(chains(w, p), scores, t)
    yield judge_normal("normal scores", draw, t.plan)
