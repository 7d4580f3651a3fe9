"""Whole runs: the loop over weight updates, with places where it can go wrong.

for k = 0, ..., K-1:  x_{k+1} = an estimate of E_q X, or of the proximal point,
                      around x_k with tau(k) and the k-th minibatch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.mistakes._draws import Array
from verification.mistakes.mistake import Fault

#: project(loss, x, tau, record, start, draws, rng) gives an output and a last state.
Project = Callable[..., tuple[Array, Array]]


@dataclass(frozen=True)
class Update:
    """What is at hand at weight update k.

    Attributes
    ----------
    k : int
        From 0.
    method : str
    loss : LossData
        Of all examples.
    batches : ndarray of int, shape (K, B), or None
    record : mapping
    path : list of ndarray, shape (d,)
        x_0, ..., x_k.
    last : ndarray or None, shape (d,)
        The last inner state of the previous update.
    """

    k: int
    method: str
    loss: Any
    batches: NDArray[np.int64] | None
    record: Mapping[str, Any]
    path: list[Array]
    last: Array | None


def minibatch(u: Update, k: int) -> Any:
    """The loss of the k-th minibatch; the full loss where there are none."""
    return u.loss if u.batches is None else u.loss.subset(u.batches[k])


def _start(u: Update) -> Array | None:
    return u.last if u.record.get("start") == "previous" else None


@dataclass(frozen=True)
class Loop:
    """The loop; every default is right.

    Attributes
    ----------
    tau : callable
        The variance of an update.
    loss : callable
        Its loss.
    centre : callable
        Its x_k.
    start : callable
        The first inner state, None for the centre.
    record : callable
        The arguments of the method.
    turn : callable
        The number of the draws, or the random stream, of update k.
    moved : callable
        x_{k+1} from x_k and the estimate.
    """

    tau: Callable[[Update], float] = lambda u: u.record["tau"][u.k]
    loss: Callable[[Update], Any] = lambda u: minibatch(u, u.k)
    centre: Callable[[Update], Array] = lambda u: u.path[-1]
    start: Callable[[Update], Array | None] = _start
    record: Callable[[Update], Mapping[str, Any]] = lambda u: u.record
    turn: Callable[[int], int] = lambda k: k
    moved: Callable[[Array, Array], Array] = lambda _, estimate: estimate

    def run(
        self,
        project: Project,
        loss: Any,
        x0: Any,
        method: str,
        record: Mapping[str, Any],
        *,
        batches: Any = None,
        draws: Sequence[Array] | None = None,
        seed: int | None = None,
    ) -> Array:
        """x_0, x_1, ..., x_K: (K + 1, d), K the number of taus."""
        streams = np.random.SeedSequence(seed).spawn(len(record["tau"]))
        path, last = [np.array(x0, dtype=np.float64)], None
        for k in range(len(streams)):
            u = Update(k, method, loss, batches, record, path, last)
            turn = self.turn(k)
            estimate, last = project(
                self.loss(u),
                self.centre(u),
                self.tau(u),
                self.record(u),
                self.start(u),
                None if draws is None else draws[turn],
                np.random.default_rng(streams[turn]),
            )
            path.append(self.moved(path[-1], estimate))
        return np.array(path)


def in_runs(family: str, project: Project) -> Fault:
    """`train` with this estimator for one method, right for the others."""

    def train(
        right: Any, loss: Any, x0: Any, method: str, record: Any, **given: Any
    ) -> Any:
        if method != family:
            return right.train(loss, x0, method, record, **given)
        return Loop().run(project, loss, x0, method, record, **given)

    return train
