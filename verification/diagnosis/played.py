"""Right and faulty subjects to compare with, in every reading of the paper.

They are played by the routines of `verification.mistakes`, whose defaults are right,
and by closed forms in double precision: no implementation that is judged is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.mistakes import CATALOGUE, Mistake, planted
from verification.mistakes._draws import normals
from verification.mistakes._training import Loop
from verification.mistakes.importance import Importance
from verification.mistakes.langevin import Langevin
from verification.mistakes.networks import Dense
from verification.mistakes.robbins_monro import RobbinsMonro, padded
from verification.subject import CONVENTIONS
from verification.truth import closed_forms as cf
from verification.truth.carriers import Double

Array = NDArray[np.float64]

DOUBLE = Double()
#: Of a line on which what has no closed form is integrated, in standard deviations.
REACH, NODES = 12.0, 6001


@dataclass(frozen=True)
class Played:
    """A subject made of the routines of Algorithms 3, 4 and 5; right by default.

    Attributes
    ----------
    langevin, importance, robbins_monro : routines with their slips, if any
    loop : Loop
        The weight updates of `train`.
    network : Dense
    conventions : mapping of str to str
        Complete, see `verification.subject.CONVENTIONS`.
    """

    langevin: Langevin = field(default_factory=Langevin)
    importance: Importance = field(default_factory=Importance)
    descent: RobbinsMonro = field(default_factory=RobbinsMonro)
    loop: Loop = field(default_factory=Loop)
    network: Dense = field(default_factory=Dense)
    conventions: Mapping[str, str] = field(
        default_factory=lambda: {key: of[0] for key, of in CONVENTIONS.items()}
    )
    name: str = "played"
    dtype: str = "float64"

    # --- Algorithm 3

    def _walked(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        start: Any,
        draws: Any,
        n: int,
        rng: np.random.Generator,
    ) -> tuple[Array, Array, Array]:
        """Output (n, d), averaged states (n, J, d) and last state (n, d)."""
        steps = np.asarray(step_sizes, dtype=np.float64)
        given = (loss, x, tau)
        if self.conventions["sgld.chain"] == "literal":
            states = self.langevin.states(*given, steps, start, draws, n, rng)
        else:
            # one state more, the start, which is not averaged
            more = np.append(steps, steps[-1])
            states = self.langevin.states(*given, more, start, draws, n, rng)[:, 1:]
        averaged = states[:, : len(steps) + self.langevin.extra]
        slip = self.langevin
        if self.conventions["sgld.output"] != "weighted-mean":
            slip = self._smoothed()
        output = slip.averaged(averaged, steps)
        return output, states[:, : len(steps)], states[:, -1]

    def _smoothed(self) -> Langevin:
        """The routine with the exponential average that is declared."""
        if self.langevin.weights is not Langevin.weights:
            return self.langevin
        rate = float(self.conventions["sgld.output"].partition(":")[2])
        return replace(self.langevin, weights=exponential(rate))

    def sgld_mean(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        *,
        start: Any = None,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The output of Algorithm 3: (n, d)."""
        rng = np.random.default_rng(seed)
        return self._walked(loss, x, tau, step_sizes, start, draws, n, rng)[0]

    def sgld_trace(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        *,
        start: Any = None,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The averaged states of Algorithm 3: (n, J, d)."""
        rng = np.random.default_rng(seed)
        return self._walked(loss, x, tau, step_sizes, start, draws, n, rng)[1]

    # --- Algorithm 4

    def importance_mean(
        self,
        loss: Any,
        x: Any,
        tau: float,
        samples: int,
        *,
        workers: int = 1,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The output of Algorithm 4: (n, d)."""
        given = {"workers": workers, "draws": draws, "n": n, "seed": seed}
        return self.importance.mean(None, loss, x, tau, samples, **given)

    def importance_weights(
        self,
        loss: Any,
        x: Any,
        tau: float,
        samples: int,
        *,
        workers: int = 1,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The weights of Algorithm 4: (n, J)."""
        given = {"workers": workers, "draws": draws, "n": n, "seed": seed}
        return self.importance.weights(None, loss, x, tau, samples, **given)

    # --- Algorithm 5

    def _descended(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        inner_samples: int,
        start: Any,
        draws: Any,
        n: int,
        rng: np.random.Generator,
    ) -> Array:
        """The states of Algorithm 5, (n, moves + 1, d)."""
        steps = np.asarray(step_sizes, dtype=np.float64)
        if self.conventions["robbins_monro.moves"] == "J":
            of = (loss, x, tau, steps, inner_samples, start, draws, n, rng)
            return self.descent.states(*of)
        d = np.size(x)
        z = normals((n, len(steps) - 1, inner_samples, d), draws, rng)
        of = (loss, x, tau, steps[:-1], inner_samples, start, z, n, rng)
        return self.descent.states(*of)

    def robbins_monro(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        inner_samples: int,
        *,
        start: Any = None,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The output of Algorithm 5: (n, d)."""
        rng = np.random.default_rng(seed)
        of = (loss, x, tau, step_sizes, inner_samples, start, draws, n, rng)
        return self.descent.output(self._descended(*of))

    def robbins_monro_trace(
        self,
        loss: Any,
        x: Any,
        tau: float,
        step_sizes: Any,
        inner_samples: int,
        *,
        start: Any = None,
        draws: Any = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The states of Algorithm 5: (n, J + 1, d); missing ones repeat the last."""
        rng = np.random.default_rng(seed)
        of = (loss, x, tau, step_sizes, inner_samples, start, draws, n, rng)
        return padded(self._descended(*of), len(step_sizes) + 1)

    # --- whole runs

    def train(
        self,
        loss: Any,
        x0: Any,
        method: str,
        record: Mapping[str, Any],
        *,
        batches: Any = None,
        draws: Any = None,
        seed: int | None = None,
    ) -> Array:
        """K weight updates: (K + 1, d)."""
        project = {
            "sgld": self._chain,
            "importance": self.importance.project,
            "robbins_monro": self._descent,
        }[method]
        given = {"batches": batches, "draws": draws, "seed": seed}
        return self.loop.run(project, loss, x0, method, record, **given)

    def _chain(
        self, loss: Any, x: Any, tau: Any, of: Any, start: Any, draws: Any, rng: Any
    ) -> tuple[Array, Array]:
        given = None if draws is None else np.asarray(draws)[None]
        steps = of["step_sizes"]
        output, _, last = self._walked(loss, x, tau, steps, start, given, 1, rng)
        return output[0], last[0]

    def _descent(
        self, loss: Any, x: Any, tau: Any, of: Any, start: Any, draws: Any, rng: Any
    ) -> tuple[Array, Array]:
        given = None if draws is None else np.asarray(draws)[None]
        M = of["inner_samples"] if given is None else given.shape[2]
        walk = (loss, x, tau, of["step_sizes"], M, start, given, 1, rng)
        states = self._descended(*walk)
        return self.descent.output(states)[0], states[0, -1]

    def minibatch_indices(
        self, total: int, size: int, batches: int, *, seed: int | None = None
    ) -> NDArray[np.int64]:
        """Subsets without repetition: (batches, size)."""
        rng = np.random.default_rng(seed)
        return np.array([rng.permutation(total)[:size] for _ in range(batches)])

    # --- functions

    def network_loss_and_gradient(
        self, sizes: Any, parameters: Any, images: Any, labels: Any
    ) -> tuple[float, Array]:
        """Mean cross-entropy and its gradient."""
        given = (sizes, parameters, images, labels)
        return self.network.loss_and_gradient(None, *given)

    def local_entropy(self, loss: Any, x: Any, tau: float) -> float:
        """F_tau(x), in closed form."""
        return float(_closed(cf.local_entropy, loss, _row(x), tau))

    def local_entropy_gradient(self, loss: Any, x: Any, tau: float) -> Array:
        """Its gradient."""
        return np.array(_closed(cf.local_entropy_gradient, loss, _row(x), tau))

    def posterior_mean(self, loss: Any, x: Any, tau: float) -> Array:
        """E_q X, in closed form or, on a line, by a sum."""
        if loss.kind in (*cf.QUADRATIC, "gaussian_mixture"):
            return np.array(_closed(cf.posterior_mean, loss, _row(x), tau))
        z = np.linspace(-REACH, REACH, NODES)
        y = _on_a_line(x) + math.sqrt(tau) * z
        logs = -loss(y[:, None]) - z**2 / 2
        odds = np.exp(logs - logs.max())
        return np.array([odds @ y / odds.sum()])

    def posterior_covariance(self, loss: Any, x: Any, tau: float) -> Array:
        """Cov_q X."""
        return np.array(_closed(cf.posterior_covariance, loss, _row(x), tau))

    def heat(self, loss: Any, x: Any, tau: float) -> float:
        """F^H_tau(x), in closed form."""
        return float(_closed(cf.heat, loss, _row(x), tau))

    def heat_gradient(self, loss: Any, x: Any, tau: float) -> Array:
        """Its gradient."""
        return np.array(_closed(cf.heat_gradient, loss, _row(x), tau))

    def heat_proximal_point(self, loss: Any, x: Any, tau: float) -> Array:
        """Step 2 of Algorithm 2, in closed form or, on a line, by search."""
        if loss.kind in cf.QUADRATIC:
            return np.array(_closed(cf.proximal_point, loss, _row(x), tau))
        centre = _on_a_line(x)
        grid = centre + math.sqrt(tau) * np.linspace(-6.0, 6.0, 241)
        heights = [
            self.heat(loss, [y], tau) + (y - centre) ** 2 / 2 / tau for y in grid
        ]
        y = float(grid[int(np.argmin(heights))])
        for _ in range(30):
            slope = (y - centre) / tau + float(self.heat_gradient(loss, [y], tau)[0])
            bend = 1 / tau + float(_closed(cf.heat_hessian, loss, [y], tau)[0][0])
            y -= slope / bend
        return np.array([y])

    def majoriser(self, loss: Any, x: Any, y: Any, tau: float) -> float:
        """A(x, y)."""
        away = np.subtract(x, y)
        slope = self.local_entropy_gradient(loss, y, tau)
        rise = away @ slope + away @ away / (2 * tau)
        return self.local_entropy(loss, y, tau) + float(rise)

    def heat_majoriser(self, loss: Any, x: Any, y: Any, tau: float) -> float:
        """A^H(x, y)."""
        away = np.subtract(x, y)
        return self.heat(loss, x, tau) + float(away @ away) / (2 * tau)

    def kl_gaussian(self, mean0: Any, cov0: Any, mean1: Any, cov1: Any) -> float:
        """KL of two Gaussians."""
        given = [np.asarray(part).tolist() for part in (mean0, cov0, mean1, cov1)]
        return float(cf.kl_gaussian(DOUBLE, *given))

    def minimise_local_entropy(
        self, loss: Any, x0: Any, tau: float, updates: int
    ) -> Array:
        """Algorithm 1."""
        return _iterated(self.posterior_mean, loss, x0, tau, updates)

    def minimise_heat(self, loss: Any, x0: Any, tau: float, updates: int) -> Array:
        """Algorithm 2."""
        return _iterated(self.heat_proximal_point, loss, x0, tau, updates)

    def scoping(self, tau0: float, tau1: float, k: int) -> float:
        """tau(k), (18)."""
        first = int(self.conventions["scoping.origin"])
        return float(tau0 / (1 + tau1) ** (k - first))

    def step_schedule(self, kind: str, parameters: Any, count: int) -> Array:
        """Steps 1 to count."""
        j = np.arange(1.0, count + 1)
        if kind == "harmonic":
            return np.asarray(1 / (parameters[0] + j))
        c, alpha = parameters
        return np.asarray(c * j**-alpha)


def _closed(formula: Any, loss: Any, *rest: Any) -> Any:
    """A closed form, where there is one.

    Raises
    ------
    NotImplementedError
        If there is none.
    """
    try:
        return formula(DOUBLE, loss, *rest)
    except cf.NoClosedForm as exc:
        raise NotImplementedError(str(exc)) from exc


def _row(x: Any) -> list[float]:
    return [float(value) for value in np.atleast_1d(x)]


def _on_a_line(x: Any) -> float:
    """The one coordinate of x.

    Raises
    ------
    NotImplementedError
        If there are more.
    """
    row = _row(x)
    if len(row) > 1:
        raise NotImplementedError("no closed form in more than one dimension")
    return row[0]


def _iterated(step: Any, loss: Any, x0: Any, tau: float, updates: int) -> Array:
    path = [np.array(x0, dtype=np.float64)]
    for _ in range(updates):
        path.append(np.asarray(step(loss, path[-1], tau)))
    return np.array(path)


def exponential(rate: float) -> Callable[[Array], Array]:
    """Weights of the exponential average a <- (1 - rate) a + rate x, a = x at first."""

    def weights(epsilon: Array) -> Array:
        J = len(epsilon)
        fresh = np.append(1.0, np.full(J - 1, rate))
        return np.asarray(fresh * (1 - rate) ** np.arange(J)[::-1])

    return weights


# --- the candidates -------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """An answer that a diagnosis may give, with the subject that acts on it.

    Attributes
    ----------
    name : str
        Ids joined by "+", or a convention.
    ids : tuple of str
    sentence : str
    subject : object
    """

    name: str
    ids: tuple[str, ...]
    sentence: str
    subject: Any


ROUTINES = {
    Langevin: ("langevin", ("sgld_mean", "sgld_trace")),
    Importance: ("importance", ("importance_mean", "importance_weights")),
    RobbinsMonro: ("descent", ("robbins_monro", "robbins_monro_trace")),
}

#: Mistakes that are legitimate readings where they are declared.
DECLARABLE = {
    "H08": "robbins_monro.moves = J-1",
    "X01": "sgld.output = exponential-average:0.25",
    "S28": "loss.reduction = sum, if it is meant",
    "I13": "loss.reduction = sum, if it is meant",
    "M03": "loss.reduction = sum",
    "M13": "minibatch = per-gradient",
    "M15C": "sgld.start = previous, for runs that say so",
}


def slip_of(mistake: Mistake) -> Any:
    """The routine that makes this mistake; None where it is no slip of one."""
    for kind, (_, methods) in ROUTINES.items():
        for method in methods:
            owner = getattr(mistake.faults.get(method), "__self__", None)
            if isinstance(owner, kind):
                return owner
    return None


def sentence_of(mistake: Mistake) -> str:
    """What it does, and whether it may be declared."""
    if mistake.id not in DECLARABLE:
        return mistake.sentence
    return f"{mistake.sentence} (a reading: {DECLARABLE[mistake.id]})"


def singles(right: Played, methods: tuple[str, ...]) -> list[Candidate]:
    """Every mistake of the catalogue that shows in one of these methods.

    Each candidate is a subject of its own: some mistakes keep something between calls.
    """
    found = []
    for mistake in CATALOGUE.values():
        if not set(mistake.faults) & set(methods):
            continue
        subject: Any = planted(deepcopy(mistake), right)
        slip = slip_of(mistake)
        if slip is not None:
            place, own = ROUTINES[type(slip)]
            if set(methods) & {*own, "train"}:
                subject = replace(right, **{place: slip})
        sentence = sentence_of(mistake)
        found.append(Candidate(mistake.id, (mistake.id,), sentence, subject))
    return found


def pairs(right: Played, kind: type) -> list[Candidate]:
    """Every two slips of one routine that change different parts of it."""
    place, plain = ROUTINES[kind][0], kind()
    slips = []
    for mistake in CATALOGUE.values():
        slip = slip_of(mistake)
        if isinstance(slip, kind):
            slips.append((mistake, _changed(slip, plain)))
    found = []
    for i, (first, of_first) in enumerate(slips):
        for second, of_second in slips[i + 1 :]:
            if set(of_first) & set(of_second):
                continue
            both = replace(plain, **of_first, **of_second)
            sentence = f"{first.sentence}; and {second.sentence}"
            subject = replace(right, **{place: both})
            ids = (first.id, second.id)
            found.append(Candidate("+".join(ids), ids, sentence, subject))
    return found


def _changed(slip: Any, plain: Any) -> dict[str, Any]:
    """The fields in which a routine differs from the right one."""
    return {
        part.name: getattr(slip, part.name)
        for part in fields(slip)
        if getattr(slip, part.name) != getattr(plain, part.name)
    }


#: Which other readings of one value a part of the protocol may follow.
READINGS = {
    "Algorithm 3": ("sgld.chain",),
    "Algorithm 5": ("robbins_monro.moves",),
    "theory": ("scoping.origin",),
    "networks": ("network.relu_at_zero",),
}


def conventions(right: Played, family: str) -> list[Candidate]:
    """The right algorithms in every other reading of a family that has one value."""
    found = []
    for key in READINGS.get(family, ()):
        for value in CONVENTIONS[key]:
            if value == right.conventions[key]:
                continue
            subject = replace(right, conventions={**right.conventions, key: value})
            if key == "network.relu_at_zero":
                subject = replace(subject, network=_bent(value))
            name = f"{key} = {value}"
            sentence = f"this is the convention {name}, which is not declared"
            found.append(Candidate(name, (), sentence, subject))
    return found


def _bent(at_zero: str) -> Dense:
    """A network with this derivative of ReLU at zero."""
    if at_zero == "0":
        return Dense()
    return Dense(bend=lambda at: (at.entering >= 0).astype(np.float64))


def extras(right: Played) -> list[Candidate]:
    """Slips that no check is asked to promise, yet people make."""

    def noiseless_first(m: Any) -> Any:
        return 0.0 * m.z if len(m.states) == 1 else m.kick

    first = replace(right, langevin=Langevin(kick=noiseless_first))
    said = "the first move of the chain adds no noise"
    return [Candidate("first move without noise", (), said, first)]
