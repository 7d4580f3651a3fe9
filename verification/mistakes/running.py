"""Known mistakes in running the algorithms: M and X.

Whole runs, minibatches, workers, seeds and replicates: what goes wrong around an
algorithm that may itself be right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.mistakes import importance, langevin, robbins_monro
from verification.mistakes._draws import Array
from verification.mistakes._training import Loop, Project, Update, minibatch
from verification.mistakes.importance import Importance
from verification.mistakes.langevin import Langevin, examples
from verification.mistakes.mistake import Fault, Mistake
from verification.mistakes.robbins_monro import RobbinsMonro

#: The right algorithms, for `train`.
PROJECTS: dict[str, Project] = {
    "sgld": Langevin().project,
    "importance": Importance().project,
    "robbins_monro": RobbinsMonro().project,
}
REPLICATED = (
    "sgld_mean",
    "sgld_trace",
    "importance_mean",
    "importance_weights",
    "robbins_monro",
    "robbins_monro_trace",
)

# --- pieces: whole runs -------------------------------------------------------------


def looped(loop: Loop) -> dict[str, Fault]:
    """`train` with another loop around the right algorithms."""
    return {"train": partial(_run, loop)}


def _run(
    loop: Loop, _right: Any, loss: Any, x0: Any, method: str, record: Any, **given: Any
) -> Array:
    return loop.run(PROJECTS[method], loss, x0, method, record, **given)


def _scaled(factor: Callable[[int, int], float]) -> Callable[[Update], Any]:
    """The minibatch loss times factor(N, B)."""

    def loss(u: Update) -> Any:
        batch = minibatch(u, u.k)
        if u.batches is None:
            return batch
        return _Times(factor(examples(u.loss), examples(batch)), batch)

    return loss


class _Times:
    """A loss times a factor."""

    def __init__(self, factor: float, loss: Any) -> None:
        self._factor, self._loss = factor, loss
        self.kind, self.d = loss.kind, loss.d

    def __call__(self, y: Array) -> Array:
        return np.asarray(self._factor * self._loss(y))

    def gradient(self, y: Array) -> Array:
        """The gradient at points (..., d)."""
        return np.asarray(self._factor * self._loss.gradient(y))


class _Changing:
    """A minibatch loss that turns to the next minibatch at every evaluation."""

    kind = "least_squares"

    def __init__(self, u: Update, batches: NDArray[np.int64]) -> None:
        self._u, self._k, self._count = u, u.k, len(batches)

    def _next(self) -> Any:
        batch = minibatch(self._u, self._k % self._count)
        self._k += 1
        return batch

    def __call__(self, y: Array) -> Array:
        """f at points (n, J, d), every one of the J under a minibatch of its own."""
        points = np.moveaxis(y, 1, 0)
        return np.stack([self._next()(point) for point in points], axis=1)

    def gradient(self, y: Array) -> Array:
        """grad f at points (..., d), under one minibatch for all."""
        return np.asarray(self._next().gradient(y))


def _changing(u: Update) -> Any:
    return u.loss if u.batches is None else _Changing(u, u.batches)


def _shrinking(u: Update) -> Mapping[str, Any]:
    """Step sizes of the indices kJ+1, ..., kJ+J, on the curve of those given."""
    if u.k == 0 or "step_sizes" not in u.record:
        return u.record
    given = np.asarray(u.record["step_sizes"], dtype=np.float64)
    J, before = len(given), u.k * len(given)
    if u.method == "robbins_monro":
        j = np.arange(1.0, J + 1)
        later = robbins_monro.power(*robbins_monro.recovered(given), before + j)
    else:
        slope = abs(1 / given[-1] - 1 / given[0]) / max(J - 1, 1)
        later = 1 / (1 / given + before * slope)
    return {**u.record, "step_sizes": later}


def _tau_ahead(u: Update) -> float:
    """tau(k+1); beyond the last as (18) goes on."""
    taus = u.record["tau"]
    if u.k + 1 < len(taus):
        return float(taus[u.k + 1])
    return float(taus[-1] * (taus[-1] / taus[-2])) if len(taus) > 1 else float(taus[-1])


class _Keeping:
    """`train` whose first chain starts at the last state of the run before it."""

    def __init__(self) -> None:
        self._last: Array | None = None

    def __call__(
        self, _right: Any, loss: Any, x0: Any, method: str, record: Any, **given: Any
    ) -> Array:
        def project(
            f: Any, x: Array, tau: float, of: Any, start: Any, draws: Any, rng: Any
        ) -> tuple[Array, Array]:
            kept = self._last
            if start is None and of.get("start") == "previous" and kept is not None:
                start = kept if kept.shape == x.shape else None
            output, self._last = PROJECTS[method](f, x, tau, of, start, draws, rng)
            return output, self._last

        return Loop().run(project, loss, x0, method, record, **given)


def _floored(tau: Any) -> Any:
    return np.maximum(tau, 0.2)


def _on_floored() -> dict[str, Fault]:
    """All methods with no tau below 0.2."""

    def wrong(ask: Any, loss: Any, x: Any, tau: Any, *rest: Any, **options: Any) -> Any:
        return ask(loss, x, float(_floored(tau)), *rest, **options)

    def train(
        right: Any, loss: Any, x0: Any, method: str, record: Any, **given: Any
    ) -> Any:
        taus = _floored(record["tau"]).tolist()
        return right.train(loss, x0, method, {**record, "tau": taus}, **given)

    return {**_asked(wrong, *REPLICATED), "train": train}


def _first_thirteen(_: Any, logs: Array) -> Array:
    weights = importance.odds(logs[:, :13])
    weights = np.pad(weights, ((0, 0), (0, logs.shape[1] - weights.shape[1])))
    return importance.normalised(weights)


def _clipped(gradients: Array) -> Array:
    return np.clip(gradients, -1e3, 1e3)


def _in_single(numbers: Array) -> Array:
    return numbers.astype(np.float32).astype(np.float64)


# --- pieces: seeds and replicates ---------------------------------------------------


def _asked(wrong: Callable[..., Any], *methods: str) -> dict[str, Callable[..., Any]]:
    """wrong(ask, ...) in place of ask(...), ask the right method."""

    def fault(method: str) -> Fault:
        return lambda right, *arguments, **options: wrong(
            getattr(right, method), *arguments, **options
        )

    return {method: fault(method) for method in methods}


def _noised(make: Callable[[int | None, int, tuple[int, ...]], Array]) -> Any:
    """The right methods on own noise make(seed, n, rows) of shape (n, *rows)."""

    def fault(method: str) -> Fault:
        def wrong(
            right: Any,
            loss: Any,
            x: Any,
            tau: float,
            *rest: Any,
            draws: Any = None,
            n: int = 1,
            seed: int | None = None,
            **options: Any,
        ) -> Any:
            if draws is None:
                draws = make(seed, n, _rows(method, np.size(x), *rest))
            ask = getattr(right, method)
            return ask(loss, x, tau, *rest, draws=draws, n=n, **options)

        return wrong

    return {method: fault(method) for method in REPLICATED}


def _rows(method: str, d: int, size: Any, *inner: int) -> tuple[int, ...]:
    """The shape of one replicate's draws."""
    if method.startswith("importance"):
        return size, d
    if method.startswith("sgld"):
        return len(size) - 1, d
    return len(size), *inner, d


def _one_for_all(seed: int | None, n: int, rows: tuple[int, ...]) -> Array:
    z = np.random.default_rng(seed).standard_normal(rows)
    return np.broadcast_to(z, (n, *rows)).copy()


def _neighbouring(seed: int | None, n: int, rows: tuple[int, ...]) -> Array:
    first = int(np.random.default_rng().integers(2**32)) if seed is None else seed
    generators = [np.random.default_rng(first + i) for i in range(n)]
    return np.array([rng.standard_normal(rows) for rng in generators])


def _mirrored(seed: int | None, n: int, rows: tuple[int, ...]) -> Array:
    z = np.random.default_rng(seed).standard_normal((n, *rows))
    z[1::2] = -z[: n // 2 * 2 : 2]
    return z


def _constant_seed(ask: Any, *arguments: Any, seed: Any = None, **options: Any) -> Any:
    return ask(*arguments, seed=0 if seed is None else seed, **options)


def _no_seed(ask: Any, *arguments: Any, seed: Any = None, **options: Any) -> Any:
    del seed
    return ask(*arguments, **options)


def _seeded_by(change: Callable[[int], int]) -> Callable[..., Any]:
    """Every seed in another form."""

    def wrong(ask: Any, *arguments: Any, seed: Any = None, **options: Any) -> Any:
        return ask(*arguments, seed=None if seed is None else change(seed), **options)

    return wrong


class _OneStream:
    """One stream for all calls, which a seed starts anew."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng()

    def __call__(
        self, ask: Any, *arguments: Any, seed: int | None = None, **options: Any
    ) -> Any:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        return ask(*arguments, seed=int(self._rng.integers(2**32)), **options)


def _no_draws(ask: Any, *arguments: Any, draws: Any = None, **options: Any) -> Any:
    del draws
    return ask(*arguments, **options)


# --- pieces: minibatches ------------------------------------------------------------


def _repeated(
    _right: Any, total: int, size: int, batches: int, *, seed: int | None = None
) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(total, size=(batches, size))


def _without_first(
    _right: Any, total: int, size: int, batches: int, *, seed: int | None = None
) -> NDArray[np.int64]:
    rng, rows = np.random.default_rng(seed), np.arange(1, max(total, 2))
    again = size > len(rows)
    return np.array([rng.choice(rows, size, replace=again) for _ in range(batches)])


def _from_one(right: Any, *arguments: Any, **options: Any) -> NDArray[np.int64]:
    return np.asarray(right.minibatch_indices(*arguments, **options)) + 1


def _repeated_of_many(
    right: Any, total: int, size: int, batches: int, *, seed: int | None = None
) -> Any:
    if total <= 100:
        return right.minibatch_indices(total, size, batches, seed=seed)
    return _repeated(right, total, size, batches, seed=seed)


def _in_order(
    _right: Any, total: int, size: int, batches: int, *, seed: int | None = None
) -> NDArray[np.int64]:
    del seed
    return (np.arange(batches * size) % total).reshape(batches, size)


# --- the entries --------------------------------------------------------------------

RUNNING = (
    Mistake(
        "M04",
        "minibatch times N/B",
        "the minibatch's mean loss is multiplied by N/B, as if it were a part of a sum",
        looped(Loop(loss=_scaled(lambda N, B: N / B))),
    ),
    langevin.mistake(
        "M11",
        "average in single precision",
        "the mean of the chain's states is accumulated in float32",
        Langevin(total=np.float32),
    ),
    Mistake(
        "M13",
        "a fresh minibatch at every evaluation",
        "every inner gradient, or sample, has the next minibatch, where one should "
        "serve a whole weight update",
        looped(Loop(loss=_changing)),
    ),
    Mistake(
        "M14",
        "x_k stale by one update",
        "update k is around x_{k-1}, a copy of the weights that is one update old",
        looped(Loop(centre=lambda u: u.path[-2:][0])),
    ),
    Mistake(
        "M15",
        "warm start forgotten",
        "the chain starts at x_k, the previous output, where it should start at its "
        "own last state",
        looped(Loop(start=lambda _: None)),
    ),
    Mistake(
        "M15C",
        "warm start unasked",
        "the chain starts at its own last state, where it should start at x_k",
        looped(Loop(start=lambda u: u.last)),
    ),
    Mistake(
        "M16",
        "seed reset at every update",
        "every weight update uses the draws of the first",
        looped(Loop(turn=lambda _: 0)),
    ),
    importance.mistake(
        "M17",
        "slices of workers overlap",
        "every worker but the last takes one sample of the next one's slice as well",
        Importance(weigh=importance.overlapping),
    ),
    importance.mistake(
        "M18",
        "samples beyond whole slices dropped",
        "L workers take floor(J/L) samples each, the rest is dropped",
        Importance(weigh=importance.whole_slices),
    ),
    Mistake(
        "M19",
        "schedule not restarted",
        "the inner steps go on shrinking from update to update: step j of update k has "
        "index kJ + j, on the curve c/(b + j) (Algorithm 3) or c j^(-alpha) "
        "(Algorithm 5) through the given ones",
        looped(Loop(record=_shrinking)),
    ),
    Mistake(
        "M20",
        "tau of the next update",
        "update k has tau(k+1)",
        looped(Loop(tau=_tau_ahead)),
    ),
    langevin.mistake(
        "X01",
        "exponential average of the states",
        "the output is an exponential average with weight 0.25 on the new state, not "
        "the epsilon-weighted mean",
        Langevin(
            weights=lambda epsilon: (
                np.append(1.0, np.full(len(epsilon) - 1, 0.25))
                * 0.75 ** np.arange(len(epsilon))[::-1]
            )
        ),
    ),
    Mistake(
        "X02",
        "minibatch times B/N",
        "the minibatch's gradients are added and divided by N, not by B",
        looped(Loop(loss=_scaled(lambda N, B: B / N))),
    ),
    Mistake(
        "X03",
        "minibatches with replacement",
        "the rows of a minibatch are drawn with replacement",
        {"minibatch_indices": _repeated},
    ),
    Mistake(
        "X04",
        "first example never drawn",
        "minibatches are drawn from the examples 1, ..., N-1: number 0 is in none",
        {"minibatch_indices": _without_first},
    ),
    Mistake(
        "X05",
        "replicates share their noise",
        "one stream of noise serves all replicates of a call",
        _noised(_one_for_all),
    ),
    Mistake(
        "X06",
        "constant seed",
        "without a seed every call uses the same one, so that all calls agree",
        _asked(_constant_seed, *REPLICATED, "train", "minibatch_indices"),
    ),
    Mistake(
        "X07",
        "seed ignored",
        "the seed is ignored: the same one gives different results",
        _asked(_no_seed, *REPLICATED, "train", "minibatch_indices"),
    ),
    Mistake(
        "X08",
        "replicate i seeded with seed + i",
        "calls with neighbouring seeds share all replicates but one",
        _noised(_neighbouring),
    ),
    langevin.mistake(
        "X09",
        "pull towards the start",
        "the chain is pulled towards its first state, not towards x_k",
        Langevin(pull=lambda m: (m.states[0] - m.y) / m.tau),
    ),
    Mistake(
        "X10",
        "antithetic replicates",
        "every second replicate runs on the noise of the one before it, negated",
        _noised(_mirrored),
    ),
    Mistake(
        "X11",
        "draws ignored",
        "given draws are ignored: the result comes from own randomness",
        _asked(_no_draws, *REPLICATED, "train"),
    ),
    Mistake(
        "X12",
        "scoping never advances",
        "every update has tau(0)",
        looped(Loop(tau=lambda u: u.record["tau"][0])),
    ),
    Mistake(
        "X13",
        "half of every update",
        "x_{k+1} lies halfway between x_k and the estimate, a learning rate of 1/2",
        looped(Loop(moved=lambda x, estimate: (x + estimate) / 2)),
    ),
    Mistake(
        "X14",
        "first minibatch every time",
        "every update uses the first minibatch: the iterator is not advanced",
        looped(Loop(loss=lambda u: minibatch(u, 0))),
    ),
    Mistake(
        "X15",
        "minibatches in order",
        "minibatches are consecutive rows, the same ones whatever the seed",
        {"minibatch_indices": _in_order},
    ),
    Mistake(
        "X16",
        "warm start kept for the next run",
        "a first chain that should start at x_0 starts at the last state of the "
        "previous call of train",
        {"train": _Keeping()},
    ),
    Mistake(
        "X17",
        "seed cut to 16 bits",
        "the seed is used modulo 2^16",
        _asked(
            _seeded_by(lambda seed: seed % 2**16),
            *REPLICATED,
            "train",
            "minibatch_indices",
        ),
    ),
    Mistake(
        "X18",
        "seed modulo 1000",
        "only the last three decimal digits of the seed are used",
        _asked(
            _seeded_by(lambda seed: seed % 1000),
            *REPLICATED,
            "train",
            "minibatch_indices",
        ),
    ),
    Mistake(
        "X19",
        "a seed restarts the stream of all calls",
        "calls without a seed go on in a stream that the last seed has started, and "
        "repeat what followed it before",
        _asked(_OneStream(), *REPLICATED, "train", "minibatch_indices"),
    ),
    Mistake(
        "X20",
        "examples counted from 1",
        "minibatches are drawn from the rows 1, ..., N: row N does not exist",
        {"minibatch_indices": _from_one},
    ),
    Mistake(
        "X21",
        "with replacement from many examples",
        "where there are more than 100 examples, minibatches are drawn with "
        "replacement",
        {"minibatch_indices": _repeated_of_many},
    ),
    importance.mistake(
        "X22",
        "no more than 13 samples",
        "Algorithm 4 uses its first 13 samples, however many there are",
        Importance(weigh=_first_thirteen),
    ),
    robbins_monro.mistake(
        "X23",
        "no more than four inner samples",
        "Algorithm 5 averages the gradient over its first four samples, whatever M",
        RobbinsMonro(slope=lambda gradients: gradients[:, :4].mean(axis=1)),
    ),
    Mistake(
        "X24",
        "tau of at least 0.2",
        "a variance below 0.2 is replaced by 0.2, for the sake of stability",
        _on_floored(),
    ),
    langevin.mistake(
        "X25",
        "gradient of Algorithm 3 clipped",
        "the entries of grad f are clipped at 1000 in the chain",
        Langevin(gradient=lambda m: _clipped(m.gradient)),
    ),
    robbins_monro.mistake(
        "X26",
        "gradients of Algorithm 5 clipped",
        "the entries of grad f are clipped at 1000 before they are averaged",
        RobbinsMonro(slope=lambda gradients: _clipped(gradients).mean(axis=1)),
    ),
    robbins_monro.mistake(
        "X27",
        "output of Algorithm 5 clipped",
        "the entries of the output of Algorithm 5 are clipped at 50",
        RobbinsMonro(output=lambda states: np.clip(states[:, -1], -50.0, 50.0)),
    ),
    langevin.mistake(
        "X28",
        "noise in single precision",
        "the normals of the chain are rounded to float32",
        Langevin(noise=_in_single),
    ),
    langevin.mistake(
        "X29",
        "step sizes in single precision",
        "the step sizes of the moves are rounded to float32",
        Langevin(steps=_in_single),
    ),
)
