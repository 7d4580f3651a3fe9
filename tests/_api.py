"""Good arguments for every public callable of `refimpl`, and why some have none.

`test_bad_input` finds the callables by itself and looks up here how to call them: by
the name of the parameter in `BY_NAME`, by the name of the callable in `BY_CALL` where
that will not do, and for methods an instance in `OWNERS`.  Numbers have few binary
digits, so that float32 and float16 hold them exactly; everything is made anew for
every call.  What is not asked there stands in `APART`, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl import importance, laws, schedules, sgld, span
from refimpl.exact import ExactHeat, ExactMean
from refimpl.experiments.multilevel import published
from refimpl.experiments.settings import of_section_6
from refimpl.heat_sgd import HeatSGD
from refimpl.laws import GibbsLaw, Mixture
from refimpl.losses import (
    Constant,
    GaussianMixture,
    GaussianWells,
    LeastSquares,
    Linear,
    Quadratic,
    Quartic,
    Resampled,
    Trigonometric,
)
from refimpl.multiscale.coins import Coins
from refimpl.multiscale.enumeration import TwoLevelEnumeration
from refimpl.multiscale.gaussian import (
    GaussianLevel,
    QuadraticChain,
    QuadraticEnergy,
    multiscale_gaussian,
    random_walk,
)
from refimpl.multiscale.langevin import NestedLangevin
from refimpl.multiscale.local_entropies import LocalEntropies
from refimpl.multiscale.metropolis import MultilevelMetropolis, TableMetropolis
from refimpl.multiscale.references import Independent, Table
from refimpl.multiscale.risk import LearningProblem, gibbs_rule
from refimpl.multiscale.spins import SpinChain
from refimpl.multiscale.temperatures import Temperatures
from refimpl.network import Network
from refimpl.robbins_monro import RobbinsMonro

Make = Callable[[], Any]


@dataclass(frozen=True)
class Fixed:
    """An argument that is the same in every try: it is a programmer's, not a user's."""

    make: Make


# --- pieces ---------------------------------------------------------------------------

H = [[2.0, 0.5], [0.5, 1.0]]
COVARIANCE = [[0.75, 0.25], [0.25, 0.5]]
MEANS = [[0.5, -1.0], [-0.75, 0.25]]
COVARIANCES = [COVARIANCE, [[0.5, 0.0], [0.0, 1.0]]]
TABLE = [[0.25, 0.125], [0.125, 0.5]]
ENERGIES = [[0.0, 1.0], [2.0, 0.5]]
OTHERS = [[0.0, 1.0], [1.0, 0.0]]
IMAGES = [[0.0, 1.0], [1.0, 0.5], [0.25, 0.75]]


def array(values: Any) -> Make:
    return lambda: np.array(values)


def value(one: Any) -> Make:
    return lambda: one


def rng() -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(7))


def quadratic() -> Quadratic:
    return Quadratic(H, [1.0, 0.0], 3.0)


def least_squares() -> LeastSquares:
    return LeastSquares([[1.0, 0.5], [-0.75, 1.25], [0.5, 0.25]], [0.5, -1.0, 2.0])


def network() -> Network:
    return Network((2, 2, 3), IMAGES, [0, 2, 1], activation="tanh")


def mixture() -> GaussianMixture:
    return GaussianMixture([0.25, 0.75], MEANS, COVARIANCES)


def wells() -> GaussianWells:
    return GaussianWells([2.0, -0.5], MEANS, COVARIANCES, 0.5)


def waves() -> Trigonometric:
    return Trigonometric([0.5], [[1.0, -0.5]], [0.25], H, [1.0, 0.0])


def law() -> GibbsLaw:
    return GibbsLaw(quadratic(), [0.5, -1.0], 0.5)


def flat_law() -> GibbsLaw:
    """Of a loss that sees part of its space."""
    return GibbsLaw(LeastSquares([[1.0, 0.5]], [0.5]), [0.5, -1.0], 0.5)


def quartic_law() -> GibbsLaw:
    return GibbsLaw(Quartic([1.0], [0.25], [-1.0]), [0.5], 0.5)


def two_levels() -> Temperatures:
    return Temperatures((1.0, 0.5))


def chain() -> sgld.SGLD:
    return sgld.SGLD(3, schedules.Constant(0.125))


def reference_levels() -> tuple[GaussianLevel, ...]:
    return random_walk(1, [0.25, 0.5])


def energy() -> QuadraticEnergy:
    return QuadraticEnergy(np.diag([0.0, 0.0, 2.0]), [0.0, 0.0, 1.5], 0.5)


def height(first: Any, second: Any) -> float:
    with np.errstate(over="ignore"):
        return float(np.abs(first).sum() + np.abs(second).sum())


def entry(i: int, j: int) -> float:
    return float(np.array(ENERGIES)[i, j])


NETWORK_POINT = np.arange(-7, 8) / 8.0

# --- good arguments by the name of the parameter -----------------------------------

BY_NAME: dict[str, Make | Fixed] = {
    "A": array([[1.0, 0.5], [-0.75, 1.25]]),
    "H": array(H),
    "J": value(3),
    "M": value(2),
    "N": value(3),
    "Q": array([[1.0], [0.0]]),
    "P": array(TABLE),
    "R": array([[0.25, 0.25], [0.25, 0.25]]),
    "S": array(COVARIANCE),
    "above": Fixed(lambda: [np.array([0.25, 0.5])]),
    "activation": value("tanh"),
    "alpha": value(0.5),
    "amplitude": array([0.5, 0.25]),
    "b": array([0.5, -1.0]),
    "c": value(0.5),
    "c2": array([-1.0, 0.5]),
    "c3": array([0.25, -0.5]),
    "c4": array([1.0, 0.5]),
    "centre": array([0.25]),
    "chain": value("literal"),
    "compiled": value(False),
    "cost": value("squared"),
    "coupling": value(0.25),
    "couplings": array([0.5, 0.25]),
    "cov": array(COVARIANCE),
    "cov0": array(COVARIANCE),
    "cov1": array(H),
    "covariances": array(COVARIANCES),
    "curvatures": array([0.0, 1.5, -0.25]),
    "d": value(2),
    "depths": array([2.0, -0.5]),
    "energies": array(ENERGIES),
    "epsilon": array([0.5, 0.25, 0.125]),
    "eta": value(0.25),
    "examples": array([0.25, 0.75]),
    "j": array([1, 2, 3]),
    "executor": Fixed(value(None)),
    "f": quadratic,
    "form": value("mean"),
    "frequency": array([[1.0, -0.5], [0.25, 2.0]]),
    "g": array([1.0, -2.0]),
    "images": array(IMAGES),
    "indices": array([2, 0]),
    "inner_steps": value((2,)),
    "k": value(1),
    "keep_weights": value(True),
    "labels": array([0, 2, 1]),
    "law": array(TABLE),
    "levels": array([1.0, 0.5]),
    "loss": value("squared"),
    "m": array([1.0, 0.0]),
    "mean": array([0.5, -1.0]),
    "mean0": array([0.5, -1.0]),
    "mean1": array([0.25, 2.0]),
    "means": array(MEANS),
    "n": value(2),
    "noise": value("standard-deviation"),
    "output": value("literal"),
    "phase": array([0.25, -0.5]),
    "previous": Fixed(value(None)),
    "project": ExactMean,
    "q": law,
    "reduction": value("sum"),
    "reference": array(TABLE),
    "rng": rng,
    "sigma": array([0.5, 0.25]),
    "size": value(2),
    "sizes": value((2, 3)),
    "start": value("centre"),
    "tau": value(0.5),
    "taus": array([0.25, 0.5]),
    "temperatures": two_levels,
    "trace": value(True),
    "updates": value(3),
    "value": array([0.5, -1.0]),
    "variances": value((0.5, 0.25)),
    "weights": array([0.25, 0.75]),
    "workers": value(2),
    "x": array([0.5, -1.0]),
    "x0": array([0.5, -1.0]),
    "y": array([[0.5, -1.0], [2.0, 0.25]]),
}

# --- where the name alone will not do -------------------------------------------------

_NAMED = {"name": Fixed(value("value"))}
_ON_LAW = {"epsilon": value(schedules.Constant(0.125))}
_ON_FLAT = {"q": flat_law}
_SETTING: dict[str, Make | Fixed] = {
    "method": value("sgld"),
    "data": value("digits"),
    "sizes": value((64, 5, 10)),
    "activation": value("relu"),
    "loss": value("squared"),
    "reduction": value("mean"),
    "initialisation": value("he-normal"),
    "pixels": value("unit"),
    "updates": value(3),
    "batch": value(20),
    "minibatch": value("per-update"),
    "learning_rate": value(0.25),
    "tau": value(0.5),
    "origin": value(0),
    "J": value(3),
    "M": Fixed(value(None)),
    "epsilon": value(10.0),
    "a": Fixed(value(None)),
    "start": value("centre"),
    "chain": value("literal"),
    "noise": value("variance"),
    "output": value("literal"),
    "in_span": value(True),
    "sgd_before": value(2),
    "sgd_rate": value(0.5),
    "held_out": value(100),
    "held_out_drawn": value("once"),
    "evaluate_every": value(2),
    "seed": value(5),
}
_MULTILEVEL: dict[str, Make | Fixed] = {
    "method": value("multilevel"),
    "data": value("digits"),
    "images": value(100),
    "hidden": value(10),
    "rounds": value(5),
    "inner_steps": value(2),
    "index": value((0.5, 0.25)),
    "scales": value((0.5, 0.25)),
    "batch": Fixed(value(None)),
    "learning_rate": Fixed(value(None)),
    "spread": Fixed(value(None)),
    "evaluate_every": value(2),
    "seed": value(5),
}

BY_CALL: dict[str, dict[str, Make | Fixed]] = {
    "arrays.as_array": {**_NAMED, "ndim": Fixed(value((1, 2)))},
    "arrays.as_choice": {
        **_NAMED,
        "value": value("centre"),
        "known": Fixed(value(("centre", "previous"))),
    },
    "arrays.as_covariance": {
        **_NAMED,
        "value": array(COVARIANCE),
        "d": Fixed(value(2)),
    },
    "arrays.as_count": {**_NAMED, "value": value(3), "least": Fixed(value(1))},
    "arrays.as_generator": {**_NAMED, "value": rng},
    "arrays.as_kind": {**_NAMED, "value": law, "kind": Fixed(value(GibbsLaw))},
    "arrays.as_list": {**_NAMED, "value": value(("a", "b"))},
    "arrays.as_parameters": _NAMED,
    "arrays.as_point": {**_NAMED, "d": Fixed(value(2))},
    "arrays.as_points": {**_NAMED, "d": Fixed(value(2))},
    "arrays.as_reals": {**_NAMED, "ndim": Fixed(value((1, 2)))},
    "arrays.as_rows": {"N": Fixed(value(3))},
    "arrays.as_scalar": {**_NAMED, "value": value(0.5)},
    "arrays.as_steps": {**_NAMED, "value": array([0.5, 0.25])},
    "arrays.as_symmetric": {
        **_NAMED,
        "value": array(COVARIANCE),
        "d": Fixed(value(2)),
    },
    "arrays.as_variance": {**_NAMED, "value": value(0.5)},
    "diagnostics.diagnose": {
        "traces": lambda: np.round(rng().standard_normal((2, 8, 2)) * 64) / 64
    },
    "exact.ExactHeat.__call__": {"rng": Fixed(value(None))},
    "exact.ExactMean.__call__": {"rng": Fixed(value(None))},
    "experiments.multilevel.MultilevelSetting": _MULTILEVEL,
    "experiments.multilevel.MultilevelSetting.of_record": {
        "values": lambda: published("multilevel").to_record()
    },
    "experiments.multilevel.published": {"method": value("multilevel")},
    "experiments.settings.Setting.of_record": {
        "values": lambda: of_section_6("sgd").to_record()
    },
    "experiments.settings.Setting": _SETTING,
    "experiments.settings.of_section_6": {"method": value("sgld")},
    "interfaces.as_loss": {"value": quadratic},
    "interfaces.as_losses": {"values": lambda: [quadratic(), quadratic()]},
    "initialisations.initial": {"how": value("glorot-normal")},
    "losses.affine.Linear.log_mean_exp": {},
    "losses.gaussian_wells.GaussianWells": {},
    "losses.least_squares.LeastSquares.batch": {"indices": array([2, 0])},
    "losses.minibatch.Resampled": {"f": least_squares},
    "losses.minibatch.minibatches": {"f": least_squares},
    "multiscale.coins.Coins": {
        "reference": lambda: Table(TABLE),
        "lower_bound": value(-0.5),
        "most": value(1000),
    },
    "multiscale.coins.Coins.__call__": {"f": value(entry)},
    "multiscale.coins.log_mean_exp_leaves": {"s": value(-0.5)},
    "multiscale.enumeration.TwoLevelEnumeration": {
        "proposals": lambda: [np.array(OTHERS), np.array(OTHERS)],
        "inner": value("warm"),
    },
    "multiscale.enumeration.TwoLevelEnumeration.estimates": {
        "inner_steps": value(2),
        "paths": value(4),
        "groups": value(2),
    },
    "multiscale.enumeration.TwoLevelEnumeration.law": {"inner_steps": value(2)},
    "multiscale.enumeration.TwoLevelEnumeration.laws": {"inner_steps": value((1, 2))},
    "multiscale.enumeration.stationary_law": {
        "transition": array([[0.5, 0.5], [0.25, 0.75]])
    },
    "multiscale.finite.as_law": {**_NAMED, "value": array(TABLE)},
    "multiscale.gaussian.GaussianLevel": {"B": array([[0.5], [0.25]])},
    "multiscale.gaussian.QuadraticChain": {"taus": value((0.25, 0.5))},
    "multiscale.gaussian.QuadraticChain.moments": {},
    "multiscale.gaussian.QuadraticEnergy.__call__": {
        "w": array([[0.5, -1.0, 2.0], [0.25, 0.0, 1.0]])
    },
    "multiscale.gaussian.QuadraticEnergy.gradient": {"w": array([0.5, -1.0, 2.0])},
    "multiscale.gaussian.QuadraticEnergy.mean": {
        "mean": array([0.5, -1.0, 2.0]),
        "cov": lambda: np.eye(3),
    },
    "multiscale.gaussian.average_out": {
        "V": energy,
        "level": lambda: reference_levels()[1],
        "temperature": value(0.5),
    },
    "multiscale.gaussian.multiscale_gaussian": {
        "f": energy,
        "reference": reference_levels,
    },
    "multiscale.langevin.NestedLangevin": {
        "taus": value((0.25, 0.5)),
        "chains": lambda: (chain(), chain()),
    },
    "multiscale.local_entropies.LocalEntropies": {"taus": value((0.25, 0.5))},
    "multiscale.local_entropies.LocalEntropies.law": {},
    "multiscale.metropolis.MultilevelMetropolis": {
        "scales": value((0.5, 0.25)),
        "reference": value("flat"),
    },
    "multiscale.metropolis.MultilevelMetropolis.__call__": {
        "f": value(height),
        "start": lambda: [np.array([0.5, -1.0]), np.array([0.25, 2.0])],
        "steps": value(3),
    },
    "multiscale.metropolis.MultilevelMetropolis.begin": {
        "f": value(height),
        "start": lambda: [np.array([0.5, -1.0]), np.array([0.25, 2.0])],
    },
    "multiscale.metropolis.TableMetropolis": {
        "proposals": lambda: [np.array(OTHERS), np.array(OTHERS)]
    },
    "multiscale.metropolis.TableMetropolis.__call__": {
        "start": array([1, 0]),
        "steps": value(3),
    },
    "multiscale.metropolis.TableMetropolis.replay": {
        "start": array([1, 0]),
        "uniforms": lambda: np.full((2, 3, 6), 0.25),
    },
    "multiscale.metropolis.as_energy": {"value": value(0.5)},
    "multiscale.metropolis.as_nested": {"f": value(height)},
    "multiscale.metropolis.as_proposals": {
        "proposals": lambda: [np.array(OTHERS), np.array(OTHERS)],
        "shape": Fixed(value((2, 2))),
    },
    "multiscale.metropolis.inner_counts": {"d": Fixed(value(2))},
    "multiscale.references.Independent": {
        "means": lambda: [np.array([0.5, -1.0]), np.array([0.25, 2.0])]
    },
    "multiscale.references.Table": {"probabilities": array(TABLE)},
    "multiscale.references.log_conditionals": {"probabilities": array(TABLE)},
    "multiscale.risk.LearningProblem": {
        "losses": array([[0.0, 0.5], [1.0, 0.25]]),
        "reference": array([0.25, 0.75]),
        "origin": value((0,)),
    },
    "multiscale.risk.LearningProblem.best_temperatures": {"law": array([0.5, 0.5])},
    "multiscale.risk.LearningProblem.bound": {
        "temperatures": lambda: Temperatures((0.5,)),
        "rule": lambda: gibbs_rule([0.25, 0.75], Temperatures((0.5,))),
    },
    "multiscale.risk.LearningProblem.comparison": {"law": array([0.5, 0.5])},
    "multiscale.temperatures.as_temperatures": {"value": two_levels},
    "multiscale.spins.SpinChain.energy": {"w": array([1.0, -1.0])},
    "multiscale.spins.SpinChain.up": {"w": array([[1.0, -1.0], [-1.0, -1.0]])},
    "network.Network": {"sizes": value((2, 3))},
    "noise.as_reading": {"value": value("variance")},
    "output_laws.importance_law": {"J": value(1000)},
    "output_laws.robbins_monro_law": {
        "a": array([0.5, 0.25]),
        "start": array([0.25, 0.5]),
    },
    "output_laws.langevin_response": {"output": value("controlled")},
    "output_laws.sgld_law": {
        "start": array([0.25, 0.5]),
        "output": value("controlled"),
    },
    "output_laws.sgld_walk": {"output": value("average")},
    "output_laws.sgld_stationary_law": {"epsilon": value(0.25)},
    "regularised.divergence": {
        "p": lambda: laws.gaussian([0.5, -1.0], COVARIANCE),
        "q": lambda: laws.gaussian([0.25, 2.0], H),
    },
    "regularised.entropy_functional": {
        "q": lambda: laws.gaussian([0.5, -1.0], COVARIANCE)
    },
    "regularised.heat_functional": {
        "q": lambda: laws.gaussian([0.5, -1.0], [[0.125, 0.0], [0.0, 0.25]])
    },
    "regularised.log_mean_exp": {"cov": value(0.125)},
    "regularised.majoriser": {"y": array([0.25, 2.0])},
    "regularised.heat_majoriser": {"y": array([0.25, 2.0])},
    "robbins_monro.RobbinsMonro": {"a": value(schedules.PowerLaw(0.5, 0.75))},
    "schedules.Constant": {"value": value(0.5)},
    "schedules.Harmonic": {"c": value(10.0)},
    "schedules.Scoping": {"tau0": value(1.5), "tau1": value(0.5)},
    "schedules.as_schedule": {**_NAMED, "value": value(schedules.Constant(0.125))},
    "schedules.steps": {"schedule": value(schedules.Constant(0.125))},
    "sgd.sgd": {"losses": lambda: [quadratic(), quadratic()]},
    "sgld.SGLD": {**_ON_LAW, "output": value("controlled")},
    "span.InSpan": {"estimator": chain, "output": value("rao-blackwell")},
    "span.InSpan.__call__": _ON_FLAT,
    "span.InSpan.replicates": _ON_FLAT,
    "streams.stream": {
        "seed": value(5),
        "purpose": value("batches"),
        "position": Fixed(value(3)),
    },
    "two_step.two_step": {
        "losses": lambda: [quadratic(), quadratic()],
        "rng": Fixed(rng),
    },
}
for _cls in ("network.Network", "network.DenseLoss"):
    BY_CALL |= {
        f"{_cls}.{name}": {"y": lambda: NETWORK_POINT.copy()}
        for name in ("__call__", "gradient", "logits", "accuracy")
    }
for _name in (
    *("effective_energies", "free_energy", "log_conditionals", "conditionals"),
    *("log_gibbs", "gibbs", "by_tilting", "objective"),
):
    BY_CALL[f"multiscale.finite.{_name}"] = {"f": array(ENERGIES)}
for _name in ("local_entropy", "local_entropy_gradient", "posterior_mean"):
    BY_CALL[f"regularised.{_name}"] = {"x": array([[0.5, -1.0], [2.0, 0.25]])}

#: The same doors once more with these, where there is no closed form.
AGAIN: dict[str, dict[str, Make | Fixed]] = {
    "regularised": {
        "f": lambda: GaussianWells([2.0], [[0.5]], [[[0.25]]], 0.5),
        "x": array([0.5]),
        "y": array([0.25]),
        "mean": array([0.5]),
        "cov": value(0.25),
        "q": lambda: laws.gaussian([0.25], 0.5),
        "p": lambda: Mixture([0.25, 0.75], [[0.5], [-0.75]], [[[0.5]], [[1.0]]]),
    },
    "exact": {"q": quartic_law},
    "sgld": {"q": quartic_law},
    "robbins_monro": {"q": quartic_law},
    "importance": {"q": quartic_law},
    "heat_sgd": {"q": quartic_law},
}

# --- instances of which the methods are asked ---------------------------------------

OWNERS: dict[str, Make] = {
    "exact.ExactHeat": ExactHeat,
    "exact.ExactMean": ExactMean,
    "heat_sgd.HeatSGD": lambda: HeatSGD(3),
    "importance.ImportanceSampling": lambda: importance.ImportanceSampling(5),
    "laws.GibbsLaw": law,
    "laws.Mixture": lambda: Mixture([0.25, 0.75], MEANS, COVARIANCES),
    "losses.affine.Constant": lambda: Constant(0.5, 2),
    "losses.affine.Linear": lambda: Linear([1.0, -2.0], 0.5),
    "losses.gaussian_mixture.GaussianMixture": mixture,
    "losses.gaussian_wells.GaussianWells": wells,
    "losses.least_squares.LeastSquares": least_squares,
    "losses.minibatch.Resampled": lambda: Resampled(least_squares(), 2, rng()),
    "losses.quadratic.Quadratic": quadratic,
    "losses.quartic.Quartic": lambda: Quartic([1.0, 0.5], [0.25, -0.5], [-1.0, 0.5]),
    "losses.trigonometric.Trigonometric": waves,
    "multiscale.coins.Coins": lambda: Coins(two_levels(), Table(TABLE), most=1000),
    "multiscale.enumeration.TwoLevelEnumeration": lambda: TwoLevelEnumeration(
        ENERGIES, TABLE, two_levels(), [OTHERS, OTHERS]
    ),
    "multiscale.gaussian.GaussianGibbs": lambda: multiscale_gaussian(
        energy(), reference_levels(), two_levels()
    ),
    "multiscale.gaussian.QuadraticChain": lambda: QuadraticChain(
        quadratic(), (0.25, 0.5), two_levels()
    ),
    "multiscale.gaussian.QuadraticEnergy": energy,
    "multiscale.langevin.NestedLangevin": lambda: NestedLangevin(
        (0.25, 0.5), two_levels(), (chain(), chain())
    ),
    "multiscale.local_entropies.LocalEntropies": lambda: LocalEntropies(
        quadratic(), (0.25, 0.5), two_levels()
    ),
    "multiscale.metropolis.MultilevelMetropolis": lambda: MultilevelMetropolis(
        two_levels(), (0.5, [0.25, 0.5]), (2,), Independent([[0, 0]] * 2, [1.0, 0.5])
    ),
    "multiscale.metropolis.TableMetropolis": lambda: TableMetropolis(
        ENERGIES, TABLE, two_levels(), [OTHERS, OTHERS], (2,)
    ),
    "multiscale.risk.LearningProblem": lambda: LearningProblem(
        [[0.0, 0.5], [1.0, 0.25]], [0.25, 0.75], [0.25, 0.75], (0,)
    ),
    "multiscale.spins.SpinChain": lambda: SpinChain(
        [0.0, 40.0], [0.75, 20.0], two_levels()
    ),
    "multiscale.temperatures.Temperatures": two_levels,
    "network.DenseLoss": lambda: network().batch([0, 2]),
    "network.Network": network,
    "robbins_monro.RobbinsMonro": lambda: RobbinsMonro(
        3, schedules.PowerLaw(0.5, 0.75), 2
    ),
    "schedules.Constant": lambda: schedules.Constant(0.5),
    "schedules.Harmonic": lambda: schedules.Harmonic(10.0),
    "schedules.PowerLaw": lambda: schedules.PowerLaw(0.5, 0.75),
    "schedules.Scoping": lambda: schedules.Scoping(1.5, 0.5),
    "sgld.SGLD": lambda: sgld.SGLD(3, schedules.Constant(0.125)),
    "span.InSpan": lambda: span.InSpan(chain()),
}

# --- what is not asked ----------------------------------------------------------------

#: Whole modules that are programs: their doors are the settings, which are asked, and
#: the commands, which have tests of their own.
PROGRAMS = """
accuracy accuracy_plots benchmark benchmark_comparison benchmark_plots best_gaussians
chains checkpoints
cluster data exact_figures exact_plots executors fetch figures landscapes
multilevel_bias multilevel_network multilevel_plots multilevel_reproduction
phase_diagram problems records reproduction straightforward sweep threads timing
training workers
"""

#: Callables that are not asked, each with the reason; of a class, its methods too.
APART: dict[str, str] = {
    "records: the library makes them of what it has computed, and users read them": """
        diagnostics.Mixing exact.Minimisers
        importance.Answer importance.Piece importance.WeightedSums importance.Weights
        interfaces.FlatLaw interfaces.Iterate interfaces.Projection
        losses.reduced.Reduced
        multiscale.coins.Drawn multiscale.enumeration.ExactLaw
        multiscale.metropolis.TableRun multiscale.metropolis.Visit
        multiscale.metropolis.Walk multiscale.risk.RiskBound
        output_laws.ImportanceLaw output_laws.Moments output_laws.Response
        output_laws.SGLDLaw
        quadrature.GibbsMoments robbins_monro.Residual sgld.Langevin
        experiments.multilevel.Seen experiments.multilevel.Tally
        """,
    "cores: a door has checked what they are given, and they run often": """
        multiscale.coins.split arrays.cholesky arrays.frozen arrays.require_finite
        importance.Weighing importance.importance importance.log_weights
        importance.samples_per_piece importance.weighed
        losses.minibatch.subset losses.reduced.row_space
        multiscale.finite.charge multiscale.gaussian.GaussianGibbs
        multiscale.metropolis.Curried multiscale.metropolis.Random
        multiscale.metropolis.Stored multiscale.metropolis.are_probabilities
        multiscale.references.require_levels
        network.DenseLoss network.activated network.backward network.forward
        network.layers network.logit_derivatives network.losses network.slope
        noise.around noise.normal_blocks noise.normal_rows noise.normals
        noise.rows_per_block noise.variance_of
        quadrature.gaussian_average quadrature.gaussian_jet quadrature.gibbs_moments
        regularised.heat_gradient_estimate
        robbins_monro.robbins_monro sgld.langevin
        experiments.multilevel.Rounds experiments.multilevel.WithoutBias
        experiments.multilevel.seconds_per_round
        experiments.stored.StoredSetting experiments.stored.training_of
        experiments.stored.require_known experiments.settings.foreign
        """,
}

#: The same of methods, whatever the class: what its parts ask of one another.
APART_METHODS = """
advance excess exp_diverges feature_length first_state flat_law proximal_box run
support log_density draw updates work due is_due changed from_json to_json
to_record
"""

#: Other words by which a message may name a parameter.
ALIASES: dict[str, str] = {
    "chains": "SGLD",
    "epsilon": "c",
    "index": "sigma",
    "losses": "f",
    "reference": "R",
    "traces": "chain trace",
    "value": "f noise temperatures",
    "energies": "f",
    "how": "initialisation",
    "inner_steps": "each",
    "law": "P R",
    "levels": "temperatures",
    "means": "mean",
    "probabilities": "reference",
    "proposals": "proposal",
    "scales": "scale",
    "sigma": "sigma_k",
    "sizes": "size",
    "start": "level",
    "taus": "tau_",
    "values": "setting method losses f",
    "text": "setting",
    "variances": "variance",
    "purpose": "stream",
}

#: They let infinities and NaN, or whatever can be called, pass: the caller judges.
AS_THEY_ARE = """
arrays.as_points arrays.as_reals arrays.as_list
multiscale.metropolis.as_energy multiscale.metropolis.as_nested
"""

#: They say that what overflows is infinite or NaN.
OVERFLOWING = "regularised.heat_jet"

#: Numbers that are never zero or below.
POSITIVE = "M alpha eta tau tau0 temperature"
