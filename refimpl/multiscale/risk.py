"""A bound of the risk by the multi-scale entropy, both sides by enumeration.

A weight w = (w_1, ..., w_d) has the loss l(w, z) on the example z.  Let l_k be the loss
with all levels after the k-th at their reference weights, l_0 that of the reference
weights alone, and delta_k = l_k - l_{k-1}, which for every w lies in an interval of
length r_k when z varies.  For n independent examples S, any reference law Q that does
not depend on them, any sigma_k > 0 and any learning rule P(. | S),

    E L_mu(W) <= E[L_S(W) + sum_k sigma_k KL(P_{<=k} || Q_{<=k})]
                 + sum_k (r_k / 2)^2 / (2 n sigma_k),

L_mu being the mean loss and L_S the mean over the sample.  Proof: L_mu - L_S is the sum
over k of the mean minus the sample mean of delta_k; each by the Gibbs variational
principle at temperature sigma_k, Jensen's inequality, and Hoeffding's.  The bracket is
least for the multi-scale Gibbs law of the energy L_S.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import factorial, prod
from typing import Any

import numpy as np

from refimpl.arrays import Array, as_array, as_count, as_list, frozen
from refimpl.errors import InvalidParameter
from refimpl.multiscale import finite
from refimpl.multiscale.temperatures import Temperatures, as_temperatures

Rule = Callable[[Array], Array]
"""A learning rule: from the risks L_S of all weights to a law of the weights."""


@dataclass(frozen=True)
class RiskBound:
    """The two sides of the bound, term by term.

    Attributes
    ----------
    population : float
        E L_mu(W), the left side.
    empirical : float
        E L_S(W).
    entropy : float
        E sum_k sigma_k KL(P_{<=k} || Q_{<=k}).
    penalty : float
        sum_k (r_k / 2)^2 / (2 n sigma_k).
    """

    population: float
    empirical: float
    entropy: float
    penalty: float

    @property
    def right(self) -> float:
        """The right side."""
        return self.empirical + self.entropy + self.penalty

    @property
    def slack(self) -> float:
        """The right side minus the left, never negative."""
        return self.right - self.population


@dataclass(frozen=True, eq=False)
class LearningProblem:
    """Finitely many weights and examples.

    Attributes
    ----------
    losses : ndarray, shape (m_1, ..., m_d, Z)
        l(w, z), the last axis being the examples.
    examples : ndarray, shape (Z,)
        mu, the probability of each example.
    reference : ndarray, shape (m_1, ..., m_d)
        Q, a law of the weights.
    origin : tuple of int
        The indices of the reference weights, one per level.

    Raises
    ------
    InvalidParameter
        If shapes disagree, a law is none, or the origin is no weight.

    Examples
    --------
    A sign w against a fair sign z, l(w, z) = w z, by a hot Gibbs law:

    >>> signs = np.array([0.0, 1.0, -1.0])
    >>> losses = np.outer(signs, [1.0, -1.0])
    >>> problem = LearningProblem(losses, [0.5, 0.5], [0.0, 0.5, 0.5], (0,))
    >>> hot = Temperatures((4.0,))
    >>> found = problem.bound(3, hot, gibbs_rule(problem.reference, hot))
    >>> round(found.penalty, 6), round(found.slack, 6)
    (0.041667, 0.000332)
    """

    losses: Array
    examples: Array
    reference: Array
    origin: tuple[int, ...]

    def __post_init__(self) -> None:
        losses = as_array("losses", self.losses)
        examples = finite.as_law("examples", self.examples)
        reference = finite.as_law("reference", self.reference)
        if losses.shape != (*reference.shape, examples.size) or examples.ndim != 1:
            raise InvalidParameter(
                f"losses {losses.shape} must have the axes of the reference "
                f"{reference.shape} and one for the examples {examples.shape}"
            )
        origin = tuple(
            as_count("origin", i, least=0) for i in as_list("origin", self.origin)
        )
        fits = len(origin) == reference.ndim
        if not fits or any(
            i >= m for i, m in zip(origin, reference.shape, strict=True)
        ):
            raise InvalidParameter(
                f"origin must be an index of a table {reference.shape}, got {origin}"
            )
        object.__setattr__(self, "losses", frozen(losses))
        object.__setattr__(self, "examples", frozen(examples))
        object.__setattr__(self, "reference", frozen(reference))
        object.__setattr__(self, "origin", origin)

    @property
    def population_risk(self) -> Array:
        """L_mu, shape (m_1, ..., m_d)."""
        return np.asarray(self.losses @ self.examples)

    @property
    def ranges(self) -> Array:
        """r_1, ..., r_d: the widest interval of delta_k(w, .), shape (d,).

        Over weights and examples that have mass.
        """
        seen = self.losses[..., self.examples > 0]
        widths = []
        for k in range(1, seen.ndim):
            delta = (
                self._truncated(seen, k) - self._truncated(seen, k - 1)[..., None, :]
            )
            mass = self.reference.sum(axis=tuple(range(k, self.reference.ndim)))
            widths.append(np.ptp(delta, axis=-1)[mass > 0].max())
        return np.array(widths)

    def _truncated(self, losses: Array, k: int) -> Array:
        """l_k, the levels after the k-th at the origin: k axes and the examples'."""
        return np.asarray(losses[(slice(None),) * k + self.origin[k:]])

    def samples(self, n: int) -> Iterator[tuple[float, Array]]:
        """Every sample of n examples up to its order: its probability, and L_S.

        L_S has the shape (m_1, ..., m_d).
        """
        n = as_count("n", n)
        for sample in combinations_with_replacement(range(self.examples.size), n):
            counts = Counter(sample)
            orders = factorial(n) // prod(factorial(c) for c in counts.values())
            chance = prod(float(self.examples[z]) ** c for z, c in counts.items())
            shares = np.zeros(self.examples.size)
            shares[list(counts)] = np.array(list(counts.values())) / n
            yield orders * chance, np.asarray(self.losses @ shares)

    def bound(self, n: int, temperatures: Temperatures, rule: Rule) -> RiskBound:
        """Both sides for n examples, the index of the temperatures, and a rule.

        Parameters
        ----------
        n : int
        temperatures : Temperatures
            Strictly decreasing: every sigma_k must be positive.
        rule : callable
            From L_S (m_1, ..., m_d) to a law of the same shape.

        Raises
        ------
        InvalidParameter
            If some sigma_k is not positive, or the rule returns no law.
        """
        sigma = np.array(as_temperatures(temperatures).index)
        if not sigma.min() > 0:
            raise InvalidParameter(
                f"the bound needs every sigma_k positive, got {sigma.tolist()}"
            )
        if not callable(rule):
            raise InvalidParameter(f"rule must be a learning rule, got {rule!r}")
        population = empirical = entropy = 0.0
        for chance, risk in self.samples(n):
            P = finite.as_law("what the rule returns", rule(risk))
            population += chance * float((P * self.population_risk).sum())
            empirical += chance * float((P * risk).sum())
            rise = finite.multiscale_entropy(P, self.reference, temperatures)
            entropy += chance * rise
        penalty = float(((self.ranges / 2) ** 2 / (2 * n * sigma)).sum())
        return RiskBound(population, empirical, entropy, penalty)

    def best_temperatures(self, n: int, law: Any) -> Temperatures:
        """Those at which the bound is least for a law that knows no sample.

        They have sigma_k = r_k / 2 / sqrt(2 n KL(law_{<=k} || Q_{<=k})).

        Raises
        ------
        InvalidParameter
            Unless every r_k and every such divergence is positive and finite.
        """
        divergences = finite.prefix_divergences(law, self.reference)
        terms = np.concatenate([self.ranges, divergences])
        if not (np.isfinite(terms) & (terms > 0)).all():
            raise InvalidParameter(
                "the best sigma needs ranges and divergences that are positive and "
                f"finite, got {self.ranges} and {divergences}"
            )
        root = np.sqrt(2 * as_count("n", n) * divergences)
        return Temperatures.from_index(self.ranges / 2 / root)

    def comparison(self, n: int, law: Any) -> tuple[float, float]:
        """E L_mu(W*) of the Gibbs law at `best_temperatures`, and its bound.

        The bound is E_law L_mu + sum_k r_k / 2 sqrt(2 KL(law_{<=k} || Q_{<=k}) / n).
        """
        temperatures = self.best_temperatures(n, law)
        rule = gibbs_rule(self.reference, temperatures)
        found = self.bound(n, temperatures, rule).population
        divergences = finite.prefix_divergences(law, self.reference)
        excess = (self.ranges / 2 * np.sqrt(2 * divergences / n)).sum()
        mean = (finite.as_law("law", law) * self.population_risk).sum()
        return found, float(mean + excess)


def gibbs_rule(reference: Any, temperatures: Temperatures) -> Rule:
    """The multi-scale Gibbs law of the energy L_S; of one temperature, Gibbs' own."""
    Q, t = finite.as_law("reference", reference), as_temperatures(temperatures)
    return lambda risk: finite.gibbs(risk, Q, t)


def empirical_minimiser(reference: Any) -> Rule:
    """The reference restricted to the weights of least L_S among those with mass."""
    Q = finite.as_law("reference", reference)

    def rule(risk: Array) -> Array:
        best = np.where((Q > 0) & (risk == risk[Q > 0].min()), Q, 0.0)
        return np.asarray(best / best.sum())

    return rule
