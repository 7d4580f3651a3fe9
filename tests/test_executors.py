"""Algorithm 4's L processors, wherever they are: the same bits, and what travels.

Which worker does what, and when, is nobody's to say; so nothing here depends on it.
"""

from __future__ import annotations

import importlib
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import (
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from refimpl.errors import InvalidParameter, NonFinite
from refimpl.experiments.threads import OneCore, one_blas_thread
from refimpl.importance import ImportanceSampling, Weighing, samples_per_piece
from refimpl.interfaces import Projection
from refimpl.laws import GibbsLaw
from refimpl.losses import Quadratic
from refimpl.network import Network
from refimpl.span import InSpan
from refimpl.streams import stream

D = 40_000  # 24 samples a piece
J = 200  # nine pieces, the last shorter
L = (1, 2, 3, 7)


def quadratic() -> Quadratic:
    return Quadratic(np.linspace(0.25, 2.0, D), np.zeros(D))


def law(f: Any = None) -> GibbsLaw:
    return GibbsLaw(f or quadratic(), np.full(D, 0.01), 1e-3)


def estimate(q: GibbsLaw, **how: Any) -> Projection:
    found = ImportanceSampling(J, keep_weights=True, **how)
    return found(q, rng=stream(5, "algorithm"))


@cache
def expected() -> Projection:
    return estimate(law())


def assert_same_bits(found: Projection, wanted: Projection) -> None:
    assert (found.x == wanted.x).all()
    assert (found.info.normalised == wanted.info.normalised).all()
    for name in ("effective_sample_size", "local_entropy", "local_entropy_error"):
        assert getattr(found.info, name) == getattr(wanted.info, name)


class Parcels(Executor):
    """Sends everything as bytes, and every task twice, as after a worker's death."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.returned: list[int] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        parcel = pickle.dumps((fn, args, kwargs))
        for _ in range(2):
            there, given, named = pickle.loads(parcel)
            back = pickle.dumps(there(*given, **named))
        self.sent.append(len(parcel))
        self.returned.append(len(back))
        future: Future[Any] = Future()
        future.set_result(pickle.loads(back))
        return future


class LastFirst(Executor):
    """Runs nothing before it must, and then what came last the first."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.most = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        pool = self

        class Lazy(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                while pool.waiting:
                    future, task = pool.waiting.pop()
                    future.set_result(task())
                return super().result(0)

        future = Lazy()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        self.most = max(self.most, len(self.waiting))
        return future


# --- the same bits


@pytest.mark.parametrize("workers", L)
def test_threads(workers: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = estimate(law(), workers=workers, executor=OneCore(pool))
        assert pool.submit(len, "open").result() == 4  # it is not ours to close
    assert_same_bits(found, expected())


@pytest.mark.parametrize("workers", L)
def test_the_last_to_come_is_the_first_to_be_done(workers: int) -> None:
    pool = LastFirst()
    assert_same_bits(estimate(law(), workers=workers, executor=pool), expected())
    tasks = {1: 1, 2: 2, 3: 3, 7: 5}[workers]  # of nine pieces: 9, 5, 3 and 2 each
    assert pool.most == tasks


def test_few_tasks_are_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their answers would fill the memory: 2 L + 1 of them wait."""
    monkeypatch.setattr("refimpl.importance.TOGETHER", 1)
    pool = LastFirst()
    assert_same_bits(estimate(law(), workers=2, executor=pool), expected())
    assert pool.most == 5


@pytest.mark.parametrize("workers", L)
def test_a_task_that_is_run_again(workers: int) -> None:
    assert_same_bits(estimate(law(), workers=workers, executor=Parcels()), expected())


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        yield OneCore(pool)


def test_processes(processes: Executor) -> None:
    for workers in L:
        found = estimate(law(), workers=workers, executor=processes)
        assert_same_bits(found, expected())


def network() -> GibbsLaw:
    rng = stream(3, "initialisation")
    f = Network((30, 40, 10), rng.random((8, 30)), rng.integers(10, size=8))
    return GibbsLaw(f, rng.normal(size=f.d) / 8, 0.01)


@pytest.mark.parametrize("span", [False, True])
def test_a_network_in_processes(processes: Executor, span: bool) -> None:
    """Also where what the minibatch sees is all that is sent."""
    found = []
    for how in ({}, {"workers": 3, "executor": processes}):
        estimator: Any = ImportanceSampling(2500, **how)  # type: ignore[arg-type]
        estimator = InSpan(estimator) if span else estimator
        with one_blas_thread():
            found.append(estimator(network(), rng=stream(2, "algorithm")))
    assert (found[0].x == found[1].x).all()
    assert found[0].info == found[1].info


# --- what travels


def test_the_law_travels_once_a_task_and_noise_never() -> None:
    pool = Parcels()
    estimate(law(), workers=3, executor=pool)
    alone = len(pickle.dumps((law().f, law().x)))
    assert len(pool.sent) == 3
    assert all(alone <= sent < alone + 5_000 for sent in pool.sent)
    assert samples_per_piece(D) == 24
    for pieces, back in zip((3, 3, 3), pool.returned, strict=True):
        assert 0 <= back - pieces * 8 * (D + 24) < 1_000 * pieces


def test_seeds_are_used_up_as_by_one_process() -> None:
    """So that what is drawn afterwards is the same, too."""
    drawn = []
    for how in ({}, {"workers": 3, "executor": Parcels()}):
        rng = stream(5, "algorithm")
        ImportanceSampling(J, **how)(law(), rng=rng)  # type: ignore[arg-type]
        drawn.append(rng.spawn(1)[0].standard_normal(4))
    assert (drawn[0] == drawn[1]).all()


@pytest.mark.parametrize("bits", ["PCG64", "SFC64"])
def test_any_bit_generator(bits: str) -> None:
    found = []
    for how in ({}, {"workers": 2, "executor": Parcels()}):
        rng = np.random.Generator(getattr(np.random, bits)(7))
        found.append(ImportanceSampling(50, **how)(law(), rng=rng))  # type: ignore[arg-type]
    assert (found[0].x == found[1].x).all()


# --- what goes wrong


@pytest.mark.parametrize("bad", [2, "processes", ThreadPoolExecutor])
def test_no_executor(bad: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"one of concurrent\.futures, or None"):
        ImportanceSampling(10, executor=bad)


class Bottomless(Quadratic):
    """Finite but at the hundredth sample."""

    def __call__(self, y: Any) -> Any:
        values = super().__call__(y)
        values[-1] = -np.inf
        return values


def test_an_error_comes_home(processes: Executor) -> None:
    q = law(Bottomless(np.ones(D), np.zeros(D)))
    with pytest.raises(NonFinite, match="smaller tau"):
        estimate(q, workers=3, executor=processes)
    assert processes.submit(len, "open").result() == 4


# --- one core for each task


def sizes() -> set[int]:
    pytest.importorskip("threadpoolctl")
    from threadpoolctl import threadpool_info

    found = [one for one in threadpool_info() if one["user_api"] == "blas"]
    return {one["num_threads"] for one in found}  # OpenMP's are each thread's own


@pytest.mark.parametrize("bad", [3, None, ThreadPoolExecutor])
def test_one_core_of_no_executor(bad: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"must be one of concurrent\.futures"):
        OneCore(bad)


def test_a_task_computes_on_one_core() -> None:
    """Vacuous on a machine that has no more."""
    before = sizes()
    with ThreadPoolExecutor(1) as pool:
        assert OneCore(pool).submit(sizes).result() == {1}
        assert sizes() == before


def test_a_task_in_a_process_computes_on_one_core(processes: Executor) -> None:
    """As every training run does, wherever it is: `test_resume` looks into one."""
    assert [processes.submit(sizes).result() for _ in range(4)] == [{1}] * 4


def test_threads_that_leave_in_any_order_restore_what_was() -> None:
    entered, leave = [Event(), Event()], [Event(), Event()]

    def inside(number: int) -> set[int]:
        entered[number].set()
        leave[number].wait(60)
        return sizes()

    before = sizes()
    with ThreadPoolExecutor(2) as threads:
        pool = OneCore(threads)
        futures = []
        for number in (0, 1):  # one after the other
            futures.append(pool.submit(inside, number))
            assert entered[number].wait(60)
        leave[0].set()  # the first to come is the first to go
        assert futures[0].result() == {1}
        assert sizes() == {1}
        leave[1].set()
        assert futures[1].result() == {1}
    assert sizes() == before


# --- a cluster


class Deadly(Quadratic):
    """Kills the first process that evaluates it."""

    mark: Path

    def __call__(self, y: Any) -> Any:
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(y)


def test_dask_in_this_process() -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        pool = OneCore(client.get_executor())
        found = estimate(law(), workers=3, executor=pool)
    assert_same_bits(found, expected())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills a process")
def test_dask_and_a_worker_that_dies(tmp_path: Path) -> None:
    """Two workers of one thread; the scheduler gives the lost task to another one."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            host="127.0.0.1",
            silence_logs=50,  # of the death that is meant
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        before = set(client.run(os.getpid).values())
        pool = OneCore(client.get_executor())
        deadly = Deadly(np.linspace(0.25, 2.0, D), np.zeros(D))
        deadly.mark = tmp_path / "died"
        found = estimate(law(deadly), workers=3, executor=pool)
        assert_same_bits(found, expected())
        assert deadly.mark.exists()
        for workers in L:
            found = estimate(law(), workers=workers, executor=pool)
            assert_same_bits(found, expected())
        client.wait_for_workers(2, timeout=60)
        assert len(before & set(client.run(os.getpid).values())) == 1


# --- the page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cluster.md"


def blocks() -> list[str]:
    found = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    assert len(found) == 6
    return found


def printed(number: int, folder: Path, address: str = "") -> str:
    """By the law of the page and one of its examples, as a program."""
    first, text = blocks()[0], blocks()[number]
    program = folder / "program.py"
    program.write_text(first + text.replace("tcp://scheduler:8786", address))
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_one_process() -> str:
    given: dict[str, Any] = {}
    exec(blocks()[0], given)
    with one_blas_thread():
        alone = ImportanceSampling(J=2000)(given["q"], rng=stream(0, "algorithm"))
    return f"{alone.x[:3]}\n"


def test_the_page_on_processes(tmp_path: Path) -> None:
    assert printed(1, tmp_path) == printed(4, tmp_path) == by_one_process()


@pytest.mark.slow
def test_the_page_on_dask(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        assert printed(2, tmp_path, cluster.scheduler_address) == by_one_process()


def test_large_data_need_not_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_the_page.py").write_text(blocks()[0] + blocks()[5])
    monkeypatch.syspath_prepend(str(tmp_path))
    large = importlib.import_module("of_the_page").Large
    A = stream(1, "initialisation").normal(size=(5000, 20))
    np.save(tmp_path / "images.npy", A)
    f = large(str(tmp_path / "images.npy"))
    q, pool = GibbsLaw(f, np.ones(20), 0.01), Parcels()
    found = ImportanceSampling(50, executor=pool)(q, rng=stream(0, "algorithm"))
    assert max(pool.sent) < 5_000 < A.nbytes
    alone = ImportanceSampling(50)(q, rng=stream(0, "algorithm"))
    assert (found.x == alone.x).all()
    step, forward = f.gradient(q.x), f(q.x + 1e-6 * np.eye(20)[0]) - f(q.x)
    assert forward == pytest.approx(1e-6 * step[0], rel=1e-4)


# --- MPI

MPI = """
import os
import numpy as np
from mpi4py.futures import MPIPoolExecutor
from refimpl.importance import ImportanceSampling
from refimpl.laws import GibbsLaw
from refimpl.losses import Quadratic
from refimpl.streams import stream

if __name__ == "__main__":
    d = 40_000
    f = Quadratic(np.linspace(0.25, 2.0, d), np.zeros(d))
    q = GibbsLaw(f, np.full(d, 0.01), 1e-3)
    with MPIPoolExecutor() as pool:
        assert pool.submit(os.getpid).result() != os.getpid()
        for workers in (1, 2, 3, 7):
            how = ImportanceSampling(200, workers, executor=pool)
            print(how(q, rng=stream(5, "algorithm")).x.tobytes().hex()[:4000])
"""


def test_mpi(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    launcher = shutil.which("mpiexec", path=Path(sys.executable).parent) or (
        shutil.which("mpiexec")
    )
    if launcher is None:
        pytest.skip("there is no MPI library: mpiexec is not found")
    program = tmp_path / "program.py"
    program.write_text(MPI)
    words = [launcher, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(program)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [expected().x.tobytes().hex()[:4000]] * 4


def test_what_is_sent_is_found_by_its_name() -> None:
    """A worker imports it: nothing of the caller's own is needed there."""
    assert pickle.loads(pickle.dumps(Weighing.answers)) is Weighing.answers
