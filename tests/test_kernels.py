"""Both faces of every kernel: compiled and plain, on the same inputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

import refimpl
from refimpl.arrays import cholesky

COMPILED = not numba.config.DISABLE_JIT
EPS = float(np.finfo(float).eps)


def kernels() -> dict[str, Any]:
    """Every kernel of the package, by module and name, where it is written."""
    found: dict[str, Any] = {}
    for module in walk_packages(refimpl.__path__, "refimpl."):
        names = vars(import_module(module.name))
        found |= {
            f"{module.name}:{name}": value
            for name, value in names.items()
            if isinstance(value, CPUDispatcher) and value.__module__ == module.name
        }
    return found


# --- inputs: for each kernel, arguments with the outputs still to be filled


def components(seed: int, n: int, K: int, d: int) -> Any:
    """Points, means and factors; condition numbers up to some thousands."""
    rng = np.random.default_rng(seed)
    B = rng.normal(size=(K, d, d))
    covariances = B @ np.swapaxes(B, -1, -2) + 2.0**-8 * np.eye(d)
    y, means = rng.normal(size=(n, d)) * 4, rng.normal(size=(K, d))
    return y, means, cholesky("covariances", covariances)


def mahalanobis(*sizes: int) -> Any:
    y, means, factors = components(*sizes)
    return [y, means, factors, np.full((len(y), len(means)), np.nan)]


def score(*sizes: int) -> Any:
    y, means, factors = components(*sizes)
    return [y, means, factors, np.full((len(y), *means.shape), np.nan)]


#: Tested in tests/test_samplers.py, where their draws and chains are, ...
ELSEWHERE = {"refimpl.noise:fill_kernel", "refimpl.noise:around_kernel"}
ELSEWHERE |= {"refimpl.sgld:move_kernel"}
#: ... in tests/test_span.py, beside what the control variate is for, ...
ELSEWHERE |= {"refimpl.sgld:control_kernel"}
#: ... in the tests of what they are for, with both faces, ...
ELSEWHERE |= {
    f"refimpl.{name}_kernel"
    for name in (
        *("multiscale.metropolis:propose", "multiscale.metropolis:outer_step"),
        *("multiscale.metropolis:run", "multiscale.enumeration:visits"),
        "multiscale.enumeration:log_visits",
        "experiments.multilevel_network:hidden",
        "experiments.multilevel_network:squared_loss",
        "experiments.multilevel_network:output_loss",
    )
}
#: ... and in tests/test_network.py, all of them as the network calls them.
ELSEWHERE |= {
    f"refimpl.network_kernels:{name}_kernel"
    for name in (
        *("tanh", "weights", "activated", "pulled_back"),
        *("forward", "odds", "losses", "gradients"),
    )
}

INPUTS = {
    "refimpl.losses._components:mahalanobis_kernel": mahalanobis,
    "refimpl.losses._components:score_kernel": score,
}
SIZES = [(0, 1, 1, 1), (1, 5, 3, 2), (2, 7, 1, 3), (3, 0, 2, 2), (4, 3, 2, 17)]

needs_numba = pytest.mark.skipif(not COMPILED, reason="NUMBA_DISABLE_JIT is set")


@needs_numba
def test_every_kernel_is_tested() -> None:
    assert set(kernels()) == set(INPUTS) | ELSEWHERE


def within_some_roundings(
    plain: Any, compiled: Any, arguments: list[Any], operations: int
) -> None:
    """Equal but for contracted multiply-adds, which LLVM may or may not form.

    Each of the d(d+1) operations of a substitution is rounded once; a contraction
    leaves out one of these roundings, and the condition of the triangle amplifies it.
    """
    factors = arguments[2]
    condition = max((np.linalg.cond(L) for L in factors), default=1.0)
    scale = np.abs(plain).max(initial=0.0)
    bound = 2 * operations * EPS * condition * scale
    assert np.abs(plain - compiled).max(initial=0.0) <= bound


@needs_numba
@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_both_faces_agree(name: str, sizes: tuple[int, ...]) -> None:
    kernel = kernels()[name]
    d = sizes[-1]
    arguments, again = INPUTS[name](*sizes), INPUTS[name](*sizes)
    kernel(*arguments)
    kernel.py_func(*again)
    plain, compiled = again.pop(), arguments.pop()
    assert np.isfinite(compiled).all()  # every entry was filled
    assert all(map(np.array_equal, arguments, again))  # and no input was touched
    within_some_roundings(plain, compiled, arguments, d * (d + 1))


@needs_numba
@pytest.mark.parametrize("name", INPUTS)
def test_infinities_and_nan_keep_their_meaning(name: str) -> None:
    """No fastmath: both faces see the same non-finite entries in the same places."""
    results = []
    for face in ("__call__", "py_func"):
        arguments = INPUTS[name](5, 4, 2, 2)
        arguments[0][0, 0], arguments[0][1, 1], arguments[0][2] = (
            np.inf,
            np.nan,
            -np.inf,
        )
        with np.errstate(all="ignore"):
            getattr(kernels()[name], face)(*arguments)
        results.append(arguments[-1])
    for test in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(*map(test, results))
    assert np.isfinite(results[0][3]).all()


@needs_numba
@pytest.mark.parametrize("name", INPUTS)
def test_a_singular_factor_gives_infinities_as_in_numpy(name: str) -> None:
    arguments = INPUTS[name](6, 1, 1, 1)
    arguments[2][:] = 0.0
    kernels()[name](*arguments)
    assert np.isinf(arguments[-1]).all()


# --- against linear algebra that shares no line with them


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_what_they_compute(sizes: tuple[int, ...]) -> None:
    d = sizes[-1]
    y, means, factors, squares = mahalanobis(*sizes)
    scores = score(*sizes)[-1]
    losses = import_module("refimpl.losses._components")
    losses.mahalanobis_kernel(y, means, factors, squares)
    losses.score_kernel(y, means, factors, scores)
    for k, L in enumerate(factors):
        gap = (y - means[k]).T
        S = L @ L.T
        condition = np.linalg.cond(S)
        wanted = np.linalg.solve(S, gap).T
        bound = 4 * d * (d + 1) * EPS * condition
        np.testing.assert_allclose(
            scores[:, k], wanted, rtol=0, atol=bound * np.abs(wanted).max(initial=1.0)
        )
        square = (wanted * gap.T).sum(axis=1)
        np.testing.assert_allclose(squares[:, k], square, rtol=bound)


# --- without numba's compiler

PROGRAM = """
import json
from refimpl import losses
from refimpl.losses import _components

S = [[[0.5, 0.125], [0.125, 0.375]], [[0.75, -0.25], [-0.25, 0.5]]]
m = [[-1.0, 0.75], [1.25, 0.5]]
y = [[0.25, -0.5], [3.0, 1.0]]
values = {}
for f in (
    losses.GaussianMixture([0.25, 0.75], m, S),
    losses.GaussianWells([1.5, -0.5], m, S, 0.25),
    losses.Quartic([1.0, 0.5], [0.25, -0.5], [-1.5, 0.75], 0.375),
):
    jet = [f(y).tolist(), f.gradient(y).tolist(), f.hessian(y).tolist()]
    if hasattr(f, "posterior_mean"):
        jet += [f.local_entropy(y, 0.5).tolist(), f.posterior_mean(y, 0.5).tolist()]
    values[type(f).__name__] = jet
kernel = _components.score_kernel
stats = getattr(kernel, "stats", None)
print(json.dumps({
    "values": values,
    "compiled": hasattr(kernel, "py_func"),
    "hits": sum(stats.cache_hits.values()) if stats else 0,
    "misses": sum(stats.cache_misses.values()) if stats else 0,
}))
"""


def elsewhere(**variables: str) -> Any:
    """What the program prints in a fresh process."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment | variables,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def numbers(nested: Any) -> list[float]:
    if isinstance(nested, list):
        return [x for entry in nested for x in numbers(entry)]
    return [nested]


def test_without_the_compiler_and_from_the_cache(tmp_path: Any) -> None:
    """One cold process compiles, the next one does not, and a third one need not."""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    cold, warm = elsewhere(**cache), elsewhere(**cache)
    plain = elsewhere(NUMBA_DISABLE_JIT="1")
    assert (cold["compiled"], plain["compiled"]) == (True, False)
    assert cold["hits"] == 0 < cold["misses"]
    assert (warm["hits"], warm["misses"]) == (cold["misses"], 0)
    assert warm["values"] == cold["values"]
    for name, jet in plain["values"].items():
        found, wanted = numbers(cold["values"][name]), numbers(jet)
        # condition numbers below 4: some forty roundings, each once or twice amplified
        np.testing.assert_allclose(found, wanted, rtol=200 * EPS, atol=200 * EPS)
