"""How far the published multilevel algorithm is from its law, as T' grows.

The problem M1 is a table of 3 x 3 energies with a uniform reference, and proposals that
choose one of the two other states at both levels; theta = 1/3 throughout.
`refimpl.multiscale.enumeration` computes the stationary law of what the algorithm
records.  Nothing is simulated up to 800 inner steps; beyond them, where the published
algorithm is coldest, what an outer step does is estimated from paths of the inner
chain.  Of each setting are found

    variation     the total variation distance of the recorded pairs from P*
    excess        by how much their objective J is above its least value V_0
    marginal      the distance of the law of w_1 alone
    after         the distance of the pairs after the outer decision

and where they are estimated the standard error of each, by the jackknife over groups of
paths.  The letters of a setting: lambda_1, lambda_2 and the T' inner steps.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from refimpl.arrays import Array
from refimpl.experiments.records import Record
from refimpl.multiscale.enumeration import ExactLaw, Inner, TwoLevelEnumeration
from refimpl.multiscale.finite import free_energy, objective
from refimpl.multiscale.metropolis import uniform_over_others
from refimpl.multiscale.temperatures import Temperatures
from refimpl.streams import stream

ALGORITHM = "multilevel-metropolis"

M1 = np.array([[0.0, 1.2, 0.8], [0.9, 0.1, 1.1], [0.5, 1.4, 0.3]])
"""f, a row for each w_1."""

WARM, COOL, COLD = (1.5, 0.5), (0.75, 0.25), (0.3, 0.1)
"""lambda_1 and lambda_2, from warm to cold."""

INNER_STEPS = (
    *(1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70),
    *(100, 140, 200, 300, 400, 560, 800),
)
"""T'."""

LONGER, PATHS, GROUPS, SEED = (5000, 30_000), 4000, 40, 1
"""T' of the estimates, paths from each of the nine pairs, their groups, and the seed.

Each T' has the stream of the algorithm at position T'.
"""


@dataclass(frozen=True)
class Family:
    """One curve: a pair of temperatures and a way to run the inner chain."""

    temperatures: tuple[float, float]
    inner: Inner

    @property
    def label(self) -> str:
        """What is told while it is computed."""
        return f"lambda = {self.temperatures}, {self.inner}"


FAMILIES = (
    *(Family(one, "warm") for one in (WARM, COOL, COLD)),
    Family(COLD, "equilibrium"),
    Family(COLD, "independent"),
)
"""What is drawn."""

FOLLOWED = Family(COLD, "warm")
"""The family that is followed beyond what can be enumerated."""


def records(
    family: Family,
    inner_steps: tuple[int, ...] = INNER_STEPS,
    longer: tuple[int, ...] = LONGER,
) -> Iterator[Record]:
    """What is found of one family, a record for every T'.

    `longer` are the T' of the estimates, made for `FOLLOWED` alone.
    """
    temperatures = Temperatures(family.temperatures)
    uniform = np.full_like(M1, 1 / M1.size)
    proposals = [uniform_over_others(n) for n in M1.shape]
    method = TwoLevelEnumeration(M1, uniform, temperatures, proposals, family.inner)
    excess = _excess(uniform, temperatures)
    for law in method.laws(inner_steps):
        yield _record(family, law.inner_steps, _measured(law, method.target, excess))
    for T in longer if family == FOLLOWED else ():
        rng = stream(SEED, "algorithm", T)
        whole, others = method.estimates(T, PATHS, GROUPS, rng=rng)
        found = _measured(whole, method.target, excess)
        parts = [_measured(law, method.target, excess) for law in others]
        for name in list(found):
            found[f"{name}_error"] = jackknife([part[name] for part in parts])
        yield _record(family, T, found, repetitions=PATHS, seed=SEED)


def _excess(uniform: Array, temperatures: Temperatures) -> Callable[[Array], float]:
    least = free_energy(M1, uniform, temperatures)
    return lambda P: objective(P, M1, uniform, temperatures) - least


def _measured(
    law: ExactLaw, target: Array, excess: Callable[[Array], float]
) -> dict[str, float]:
    recorded, marginal = law.recorded, law.recorded.sum(axis=1)
    return {
        "variation": variation(recorded, target),
        "excess": excess(recorded),
        "marginal": variation(marginal, target.sum(axis=1)),
        "after": variation(law.after, target),
    }


def _record(
    family: Family,
    inner_steps: int,
    measured: dict[str, float],
    repetitions: int = 0,
    seed: int = 0,
) -> Record:
    coarse, fine = family.temperatures
    return Record(
        ALGORITHM,
        family.inner,
        "M1",
        M1.ndim,
        {"lambda_1": coarse, "lambda_2": fine, "inner_steps": inner_steps},
        repetitions=repetitions,
        seed=seed,
        cost=2 * inner_steps,
        measured=measured,
        exact={},
    )


def jackknife(others: list[float]) -> float:
    """The standard error of a number from what it is without each of the groups.

    Examples
    --------
    >>> jackknife([1.5, 1.0, 0.5])  # of the mean of 0, 1, 2: the root of 1/3
    0.5773502691896257
    """
    n = len(others)
    return float(np.sqrt((n - 1) * np.var(others)))


def variation(P: Array, R: Array) -> float:
    """The total variation distance of two laws on a table.

    Examples
    --------
    >>> variation(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    0.25
    """
    return 0.5 * float(np.abs(P - R).sum())
