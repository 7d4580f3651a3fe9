"""Known mistakes in running an algorithm on what a loss sees: R.

With V an orthonormal basis of the directions that a minibatch shows, f(y) = g(V'y), and
P = I - VV', a subject may run Algorithms 3, 4 and 5 for g and V'x, and draw what they
make of the rest by its law:

    Algorithm 3:  output and last state  P (x + a (x^1 - x)) + jointly normal, cov C P,
                  a and C those of the recursion o <- (1 - eps/2 tau) o + N(0, eps),
    Algorithm 4:  P x + N(0, tau sum w^2 P), w the normalised weights,
    Algorithm 5:  P x.

One routine with hooks, among them those of the three algorithms for what they do with
g; without any it is right.  Where draws are given, and for losses that are no sums over
examples, the subject is left as it is.  A slip in what all three share is planted in
each of them apart: then every check shows what it sees alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from verification.mistakes._draws import Array, shared
from verification.mistakes._training import Loop
from verification.mistakes.importance import Importance, averaged, normalised, odds
from verification.mistakes.langevin import Langevin
from verification.mistakes.mistake import Fault, Mistake
from verification.mistakes.robbins_monro import RobbinsMonro

SUMS = ("least_squares", "network")


def features(loss: Any) -> Array:
    """What the first parameters meet, row by row: rows of A, or images with a one."""
    if loss.kind == "least_squares":
        return np.asarray(loss.A)
    return np.hstack([loss.images, np.ones((len(loss.images), 1))])


def spanned(rows: Array) -> Array:
    """An orthonormal basis of the row space, as columns."""
    _, singular, right = np.linalg.svd(rows)
    return np.asarray(right[: np.sum(singular > 1e-9 * max(singular[0], 1e-300))].T)


def longest_first(loss: Any) -> Any:
    """The examples in the order of their lengths, all but the labels."""
    rows = features(loss)
    order = np.argsort(-np.linalg.norm(rows, axis=1), kind="stable")
    name = "A" if loss.kind == "least_squares" else "images"
    return replace(loss, **{name: getattr(loss, name)[order]})


def _without_biases(loss: Any) -> Array:
    if loss.kind == "least_squares":
        return spanned(features(loss))
    pixels = spanned(loss.images)
    return np.vstack([pixels, np.zeros((1, pixels.shape[1]))])


def free_chain(epsilon: Array, tau: float) -> tuple[Array, Array]:
    """What a free chain makes of its start, (2,), and its covariance, (2, 2).

    Of the average and the last state, from one moment to the next.
    """
    state, total = 1.0, epsilon[0]
    of_state, of_both, of_total = 0.0, 0.0, 0.0
    for eps, weight in pairwise(epsilon.tolist()):
        kept = 1 - eps / (2 * tau)
        state, of_state, of_both = (
            kept * state,
            kept**2 * of_state + eps,
            kept * of_both,
        )
        total += weight * state
        of_total += 2 * weight * of_both + weight**2 * of_state
        of_both += weight * of_state
    mass = epsilon.sum()
    between = of_both / mass
    covariance = [[of_total / mass**2, between], [between, of_state]]
    return np.array([total / mass, state]), np.array(covariance)


@dataclass(frozen=True)
class _Seen:
    """g(s) = f(V s)."""

    loss: Any
    V: Array

    def __call__(self, s: Array) -> Array:
        return np.asarray(self.loss(s @ self.V.T))

    def gradient(self, s: Array) -> Array:
        return np.asarray(self.loss.gradient(s @ self.V.T) @ self.V)


def _right_share(tau: float, weights: Array) -> Array:
    return np.asarray(tau * (weights**2).sum(axis=1))


_CHAIN, _SAMPLE, _DESCENT = Langevin(), Importance(), RobbinsMonro()


@dataclass(frozen=True)
class Reduced:
    """Algorithms 3, 4 and 5 on what f sees; every default is right.

    Attributes
    ----------
    basis : callable
        Orthonormal columns (n, r) that span the features of a loss.
    shown : callable
        The loss that is run.
    covariance : callable
        That of output and last state of a free chain, from the right one.
    warm : bool
        Whether the unseen part knows of the first state.
    cut : bool
        Whether what is seen is taken out of the unseen noise.
    share : callable
        The variance of the unseen part of Algorithm 4, (n,), from tau and the weights.
    stir : callable
        The variance of that of Algorithm 5, from tau and its steps.
    chain, sample, descent : Langevin, Importance, RobbinsMonro
        The algorithms on what is seen.
    share_of_noise : callable
        What multiplies the normals of Algorithms 4 and 5 there, from m and d.
    kinds : tuple of str
        Losses that are run this way; others are left to the right subject.
    """

    basis: Callable[[Any], Array] = lambda loss: spanned(features(loss))
    shown: Callable[[Any], Any] = lambda loss: loss
    covariance: Callable[[Array], Array] = lambda C: C
    warm: bool = True
    cut: bool = True
    share: Callable[[float, Array], Array] = _right_share
    stir: Callable[[float, Array], float] = lambda _, __: 0.0
    chain: Langevin = _CHAIN
    sample: Importance = _SAMPLE
    descent: RobbinsMonro = _DESCENT
    share_of_noise: Callable[[int, int], float] = lambda _, __: 1.0
    kinds: tuple[str, ...] = SUMS

    def directions(self, loss: Any) -> Array:
        """V (d, m): the basis for every column of the first matrix, all of the rest."""
        Q = self.basis(loss)
        if loss.kind == "least_squares":
            return Q
        units = loss.sizes[1]
        (n, r), others = Q.shape, loss.d - Q.shape[0] * units
        V = np.zeros((loss.d, r * units + others))
        V[: n * units, : r * units] = np.kron(Q, np.eye(units))
        V[n * units :, r * units :] = np.eye(others)
        return V

    def rest(self, V: Array, y: Array) -> Array:
        """What is not seen of noise y (..., d)."""
        return y - y @ V @ V.T if self.cut else y

    def chains(
        self, loss: Any, x: Array, tau: float, steps: Any, start: Any, n: int, rng: Any
    ) -> tuple[Array, Array]:
        """Outputs and last states of Algorithm 3, (n, d) each."""
        V, run = self.directions(loss), self.chain
        first, epsilon = x if start is None else start, np.asarray(steps, float)
        seen = _Seen(self.shown(loss), V)
        states = run.states(seen, x @ V, tau, epsilon, first @ V, None, n, rng)
        of_start, C = free_chain(epsilon, tau)
        values, vectors = np.linalg.eigh(self.covariance(C))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        noise = np.tensordot(root, rng.standard_normal((2, n, x.size)), axes=1)
        away = first - x if self.warm else 0 * x
        small = (run.averaged(states, epsilon), states[:, -1])
        output, last = (
            x - x @ V @ V.T + a * (away - away @ V @ V.T) + self.rest(V, z) + s @ V.T
            for a, z, s in zip(of_start, noise, small, strict=True)
        )
        return output, last

    def samples(
        self, loss: Any, x: Array, tau: float, J: int, workers: int, n: int, rng: Any
    ) -> tuple[Array, Array]:
        """Outputs of Algorithm 4, (n, d), and their weights, (n, J)."""
        V = self.directions(loss)
        seen, part = _Seen(self.shown(loss), V), self.share_of_noise(*V.shape[::-1])
        run = replace(self.sample, noise=lambda z, _: part * z)
        y, w = run.weighted(seen, x @ V, tau, J, workers, None, n, rng)
        noise = np.sqrt(self.share(tau, w))[:, None] * rng.standard_normal((n, x.size))
        return x - x @ V @ V.T + averaged(y, w) @ V.T + self.rest(V, noise), w

    def descents(
        self, loss: Any, x: Array, tau: float, a: Any, M: int, n: int, rng: Any
    ) -> Array:
        """Outputs of Algorithm 5, (n, d)."""
        V = self.directions(loss)
        seen, part = _Seen(self.shown(loss), V), self.share_of_noise(*V.shape[::-1])
        run = replace(self.descent, noise=lambda z: part * self.descent.noise(z))
        states = run.states(seen, x @ V, tau, a, M, None, None, n, rng)
        noise = np.sqrt(self.stir(tau, np.asarray(a))) * rng.standard_normal(
            (n, x.size)
        )
        return x - x @ V @ V.T + states[:, -1] @ V.T + self.rest(V, noise)

    # --- as methods of a subject

    def sgld_mean(
        self, right: Any, loss: Any, x: Any, tau: float, steps: Any, **given: Any
    ) -> Array:
        """`sgld_mean` as this makes it."""
        if self._leaves(loss, given):
            return np.asarray(right.sgld_mean(loss, x, tau, steps, **given))
        rng, n = _own(given)
        return self.chains(loss, np.array(x), tau, steps, given.get("start"), n, rng)[0]

    def importance_mean(
        self, right: Any, loss: Any, x: Any, tau: float, samples: int, **given: Any
    ) -> Array:
        """`importance_mean` as this makes it."""
        if self._leaves(loss, given):
            return np.asarray(right.importance_mean(loss, x, tau, samples, **given))
        return self._sampled(loss, x, tau, samples, given)[0]

    def importance_weights(
        self, right: Any, loss: Any, x: Any, tau: float, samples: int, **given: Any
    ) -> Array:
        """`importance_weights` as this makes it."""
        if self._leaves(loss, given):
            return np.asarray(right.importance_weights(loss, x, tau, samples, **given))
        return self._sampled(loss, x, tau, samples, given)[1]

    def _sampled(
        self, loss: Any, x: Any, tau: float, samples: int, given: Mapping[str, Any]
    ) -> tuple[Array, Array]:
        rng, n = _own(given)
        workers = given.get("workers", 1)
        return self.samples(loss, np.array(x), tau, samples, workers, n, rng)

    def robbins_monro(
        self, right: Any, loss: Any, x: Any, tau: float, a: Any, M: int, **given: Any
    ) -> Array:
        """`robbins_monro` as this makes it."""
        if self._leaves(loss, given) or given.get("start") is not None:
            return np.asarray(right.robbins_monro(loss, x, tau, a, M, **given))
        rng, n = _own(given)
        return self.descents(loss, np.array(x), tau, a, M, n, rng)

    def _leaves(self, loss: Any, given: Mapping[str, Any]) -> bool:
        return loss.kind not in self.kinds or given.get("draws") is not None

    def train(
        self,
        right: Any,
        loss: Any,
        x0: Any,
        method: str,
        record: Mapping[str, Any],
        **given: Any,
    ) -> Array:
        """`train` as this makes it."""
        if self._leaves(loss, given):
            return np.asarray(right.train(loss, x0, method, record, **given))

        def project(
            f: Any, x: Array, tau: float, of: Any, start: Any, draws: Any, rng: Any
        ) -> tuple[Array, Array]:
            del draws
            if method == "sgld":
                ends = self.chains(f, x, tau, of["step_sizes"], start, 1, rng)
                return ends[0][0], ends[1][0]
            if method == "importance":
                workers = of.get("workers", 1)
                found = self.samples(f, x, tau, of["samples"], workers, 1, rng)[0]
            else:
                steps, M = of["step_sizes"], of["inner_samples"]
                found = self.descents(f, x, tau, steps, M, 1, rng)
            return found[0], found[0]

        return Loop().run(project, loss, x0, method, record, **given)


def _own(given: Mapping[str, Any]) -> tuple[np.random.Generator, int]:
    return np.random.default_rng(given.get("seed")), given.get("n", 1)


CHAINS = ("sgld_mean",)
SAMPLES = ("importance_mean", "importance_weights")
DESCENTS = ("robbins_monro",)
ALL = (*CHAINS, *SAMPLES, *DESCENTS)
#: Whole runs are those of an algorithm, by the method of an update.
RUNS = {
    "sgld": "sgld_mean",
    "importance": "importance_mean",
    "robbins_monro": "robbins_monro",
}


def mistake(
    id_: str, name: str, sentence: str, methods: tuple[str, ...], slip: Reduced
) -> Mistake:
    """The entry of one slip, planted in these methods and in runs that use them."""
    faults: dict[str, Fault] = {method: getattr(slip, method) for method in methods}
    updates = [update for update, method in RUNS.items() if method in methods]
    return Mistake(id_, name, sentence, {**faults, "train": _runs_of(slip, updates)})


def _runs_of(slip: Reduced, updates: list[str]) -> Fault:
    def train(
        right: Any, loss: Any, x0: Any, method: str, record: Any, **given: Any
    ) -> Any:
        if method not in updates:
            return right.train(loss, x0, method, record, **given)
        return slip.train(right, loss, x0, method, record, **given)

    return train


def _single(C: Array) -> Array:
    return np.array([[C[1, 1], C[0, 1]], [C[0, 1], C[1, 1]]])


def _twice(loss: Any) -> Array:
    Q = spanned(features(loss))
    return np.hstack([Q, Q[:, :1]])


def _backwards(logs: Array) -> Array:
    return normalised(odds(logs[:, ::-1]))


def _least_dropped(loss: Any) -> Array:
    return spanned(features(loss))[:, :-1]


def _of_the_span(algorithm: str, methods: tuple[str, ...], first: int) -> list[Mistake]:
    """What can go wrong for all three algorithms, in one of them; ids from `first`."""
    slips = (
        (
            "biases out of the span",
            "the span is that of the images without the ones of the biases",
            Reduced(basis=_without_biases),
        ),
        (
            "direction counted twice",
            "a direction that two images show is in the basis twice",
            Reduced(basis=_twice),
        ),
        (
            "direction dropped",
            "the basis lacks the direction that the images show least",
            Reduced(basis=_least_dropped),
        ),
        (
            "labels not reordered",
            "a factorisation with pivots puts the images in order, but not the labels",
            Reduced(shown=longest_first),
        ),
    )
    said = f"Algorithm {algorithm}"
    return [
        mistake(
            f"R{first + k:02d}",
            f"{said}: {name}",
            f"in {said} {sentence}",
            methods,
            slip,
        )
        for k, (name, sentence, slip) in enumerate(slips)
    ]


NETWORKS = ("network",)

SPAN = (
    mistake(
        "R01",
        "no noise in unseen directions",
        "where the minibatch shows nothing the output has its mean and no noise",
        (*CHAINS, *SAMPLES),
        Reduced(covariance=lambda C: 0 * C, share=lambda _, w: 0 * w[:, 0]),
    ),
    mistake(
        "R02",
        "unseen noise without the projector",
        "the noise of the unseen directions is added in the seen ones as well",
        (*CHAINS, *SAMPLES),
        Reduced(cut=False),
    ),
    mistake(
        "R03",
        "unseen variance of a single state",
        "the unseen part of Algorithm 3's average has the variance of the last state",
        CHAINS,
        Reduced(covariance=_single),
    ),
    mistake(
        "R04",
        "unseen variance a tenth too large",
        "the unseen part of Algorithm 3's average has 1.1 times its variance",
        CHAINS,
        Reduced(covariance=lambda C: C * [[1.1, 1.0], [1.0, 1.0]]),
    ),
    Mistake(
        "R05",
        "unseen output and last state apart",
        "the unseen parts of the average and of the last state are drawn independently",
        {"train": _runs_of(Reduced(covariance=lambda C: C * np.eye(2)), ["sgld"])},
    ),
    mistake(
        "R06",
        "cold start in unseen directions",
        "the unseen part of a chain starts at x_k, where it should start at the last "
        "state",
        CHAINS,
        Reduced(warm=False),
    ),
    *_of_the_span("3", CHAINS, 7),
    mistake(
        "R11",
        "unseen variance tau of a weighted mean",
        "the unseen part of Algorithm 4 has variance tau, not tau sum w^2",
        SAMPLES,
        Reduced(share=lambda tau, w: np.full(len(w), tau)),
    ),
    mistake(
        "R12",
        "unseen noise in Robbins-Monro",
        "the unseen part of Algorithm 5 is given noise: that of the samples, times the "
        "steps",
        DESCENTS,
        Reduced(stir=lambda tau, a: float(tau * (a**2).sum())),
    ),
    *_of_the_span("4", SAMPLES, 13),
    *_of_the_span("5", DESCENTS, 17),
    mistake(
        "R21",
        "seen samples of standard deviation tau",
        "Algorithm 4's samples have the standard deviation tau in the seen directions, "
        "and the variance tau in the others",
        SAMPLES,
        Reduced(sample=Importance(points=lambda s: s.spread(s.tau))),
    ),
    mistake(
        "R22",
        "seen samples thinned out",
        "Algorithm 4's seen noise is scaled by the root of the share of the directions "
        "that are seen, as if it had to be shared among all",
        SAMPLES,
        Reduced(share_of_noise=lambda m, d: np.sqrt(m / d)),
    ),
    mistake(
        "R23",
        "seen weights at the centre",
        "Algorithm 4's weights are those of what is seen of the centre, all equal",
        SAMPLES,
        Reduced(sample=Importance(logs=lambda s, y: -s.loss(0 * y + s.x))),
    ),
    mistake(
        "R24",
        "seen samples in another order",
        "the weights of Algorithm 4 meet the samples in the opposite order",
        SAMPLES,
        Reduced(sample=Importance(weigh=lambda _, logs: _backwards(logs))),
    ),
    mistake(
        "R25",
        "seen gradient samples of deviation tau",
        "on networks Algorithm 5's samples have the standard deviation tau in the seen "
        "directions",
        DESCENTS,
        Reduced(
            descent=RobbinsMonro(points=lambda m: m.around(m.y, m.tau)), kinds=NETWORKS
        ),
    ),
    mistake(
        "R26",
        "seen gradient samples thinned out",
        "on networks Algorithm 5's seen noise is scaled by the root of the share of "
        "the directions that are seen",
        DESCENTS,
        Reduced(share_of_noise=lambda m, d: np.sqrt(m / d), kinds=NETWORKS),
    ),
    mistake(
        "R27",
        "Algorithm 5: one seen noise throughout",
        "on networks every move of Algorithm 5 uses the same seen noise",
        DESCENTS,
        Reduced(descent=RobbinsMonro(noise=shared(1)), kinds=NETWORKS),
    ),
    mistake(
        "R28",
        "one seen sample in place of M",
        "on networks the M samples of a move are the same one in the seen directions",
        DESCENTS,
        Reduced(descent=RobbinsMonro(noise=shared(2)), kinds=NETWORKS),
    ),
    mistake(
        "R29",
        "no smoothing in the seen directions",
        "on networks Algorithm 5 takes the gradient at the state itself",
        DESCENTS,
        Reduced(
            descent=RobbinsMonro(points=lambda m: m.around(m.y, 0.0)), kinds=NETWORKS
        ),
    ),
    mistake(
        "R30",
        "gradient frozen at the first state",
        "on networks every move of Algorithm 3 uses the gradient at the first state",
        CHAINS,
        Reduced(
            chain=Langevin(gradient=lambda m: m.loss.gradient(m.states[0])),
            kinds=NETWORKS,
        ),
    ),
    mistake(
        "R31",
        "Algorithm 3: one seen noise throughout",
        "on networks every move of Algorithm 3 uses the same seen noise",
        CHAINS,
        Reduced(chain=Langevin(noise=shared(1)), kinds=NETWORKS),
    ),
)
