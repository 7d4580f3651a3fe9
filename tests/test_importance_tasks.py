"""How Algorithm 4 is cut into tasks, and how many of them are on their way at a time.

In few dimensions and with pieces of ten samples, so that it takes no time; that the
answer is the same bits whoever does which task, `test_executors` shows on large ones.
"""

from __future__ import annotations

import pickle
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
import pytest

from refimpl import importance
from refimpl.errors import InvalidParameter, NonFinite
from refimpl.importance import ImportanceSampling
from refimpl.laws import GibbsLaw
from refimpl.losses import Quadratic

ROWS = 10
LAW = GibbsLaw(Quadratic([0.25, 2.0], [0.0, 0.0]), np.array([0.5, -0.25]), 0.5)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "samples_per_piece", lambda d: ROWS)


class Counting(Executor):
    """Runs a task when it is asked for, and counts how many wait and what they hold."""

    def __init__(self, fails: bool = False) -> None:
        self.futures: list[Future[Any]] = []
        self.pieces: list[list[int]] = []
        self.most, self._fails = 0, fails

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        pool = self

        class Lazy(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                if pool._fails:
                    raise NonFinite("the first")
                self.set_result(fn(*args, **kwargs))
                return super().result(0)

        self.futures.append(Lazy())
        self.pieces.append([piece.size for piece in args[1]])
        self.most = max(self.most, sum(not f.done() for f in self.futures))
        return self.futures[-1]


def estimated(J: int, **how: Any) -> Any:
    return ImportanceSampling(J, **how)(LAW, rng=np.random.default_rng(3))


@pytest.mark.parametrize(
    ("J", "workers", "sizes"),
    [
        (95, 1, [10]),  # ten pieces, the last of five samples
        (95, 2, [5, 5]),
        (95, 3, [4, 4, 2]),
        (95, 7, [2, 2, 2, 2, 2]),
        (95, 10, [1] * 10),
        (95, 40, [1] * 10),
        (395, 1, [16, 16, 8]),
        (395, 2, [16, 16, 8]),
        (395, 3, [14, 14, 12]),
    ],
)
def test_pieces_are_shared_out_in_their_order(
    J: int, workers: int, sizes: list[int]
) -> None:
    """As many for each as there are workers to share them, but sixteen at most."""
    pool = Counting()
    found, alone = estimated(J, workers=workers, executor=pool), estimated(J)
    assert [len(task) for task in pool.pieces] == sizes
    assert [n for task in pool.pieces for n in task] == [ROWS] * (J // ROWS) + [5]
    assert (found.x == alone.x).all()
    assert found.info == alone.info


@pytest.mark.parametrize(("workers", "most"), [(1, 3), (2, 5), (3, 7), (30, 40)])
def test_few_tasks_wait(
    monkeypatch: pytest.MonkeyPatch, workers: int, most: int
) -> None:
    """Their answers would fill the memory: 2 L + 1 of them at most."""
    monkeypatch.setattr(importance, "TOGETHER", 1)
    pool = Counting()
    estimated(400, workers=workers, executor=pool)
    assert len(pool.futures) == 40
    assert pool.most == most


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_threads_are_given_a_piece_at_a_time(
    monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """What is not sent need not be held: one thread has no pool at all."""
    pools: list[Counting] = []

    def pool(threads: int) -> Counting:
        assert threads == workers > 1
        pools.append(Counting())
        return pools[-1]

    monkeypatch.setattr(importance, "ThreadPoolExecutor", pool)
    found, alone = estimated(95, workers=workers), estimated(95)
    assert (found.x == alone.x).all()
    assert [p.pieces for p in pools] == [[[ROWS]] * 9 + [[5]]] * (workers > 1)


def test_after_an_error_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "TOGETHER", 1)
    pool = Counting(fails=True)
    with pytest.raises(NonFinite, match="the first"):
        estimated(95, workers=2, executor=pool)
    assert [future.cancelled() for future in pool.futures] == [False] + [True] * 4


class Locked(Quadratic):
    """With what no executor can send, unless it is one of threads."""

    def __init__(self) -> None:
        super().__init__([0.25, 2.0], [0.0, 0.0])
        self.lock = Lock()

    def __call__(self, y: Any) -> Any:
        return super().__call__(y)


class Clumsy(Locked):
    def __call__(self, y: Any) -> Any:
        raise TypeError("of the loss itself")


class Sending(Executor):
    """Pickles every task, as executors of processes do."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*pickle.loads(pickle.dumps(args)), **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def of(f: Any, executor: Executor | None) -> Any:
    q = GibbsLaw(f, np.array([0.5, -0.25]), 0.5)
    how = ImportanceSampling(25, workers=2, executor=executor)
    return how(q, rng=np.random.default_rng(3)).x


def test_a_loss_that_cannot_be_sent_is_named() -> None:
    said = "^a Locked cannot be sent where the executor computes: cannot pickle '.*lock"
    with pytest.raises(InvalidParameter, match=said) as caught:
        of(Locked(), Sending())
    assert isinstance(caught.value.__cause__, TypeError)
    with ThreadPoolExecutor(2) as pool:
        assert (of(Locked(), pool) == of(Locked(), None)).all()


def test_an_error_of_the_loss_itself_stays_its_own() -> None:
    """Also where it could not be sent, and need not be."""
    with ThreadPoolExecutor(2) as pool:
        for executor in (None, pool):
            with pytest.raises(TypeError, match="of the loss itself"):
                of(Clumsy(), executor)


def test_an_executor_s_own_error_stays_its_own() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        of(Quadratic([0.25, 2.0], [0.0, 0.0]), pool)


class Childless(np.random.SeedSequence):
    @property
    def spawn(self) -> Any:
        raise AttributeError


def test_a_generator_whose_seed_has_no_children() -> None:
    """Its pieces could get no streams."""
    rng = np.random.Generator(np.random.PCG64(Childless(1)))
    with pytest.raises(InvalidParameter, match="rng must have a seed sequence"):
        ImportanceSampling(5)(LAW, rng=rng)
