"""An estimator run on what a loss sees, with the exact law of the rest.

A network with one minibatch fixed sees r directions of its first layer's inputs, r the
rank of [images, 1], at most the size of the minibatch.  Let f(y) = g(V^T y), V having
orthonormal columns (`refimpl.losses.reduced`), and P = I - V V^T.

**The reduced run has the law of the plain one.**  A standard normal z in R^d is
z = V xi + P z with xi = V^T z standard normal and independent of P z.  As
grad f(y) = V grad g(V^T y), a move of Algorithm 3 splits into the very same move of
V^T y, for g and the noise xi, and a linear recursion of P y that knows nothing of it.
Samples of phi split in the same way, their weights are functions of xi alone; and so do
the moves of Algorithm 5.  What becomes of P y is known in closed form:

- Algorithm 3: output and last state are jointly Gaussian, with a covariance that is the
  same 2 x 2 matrix in all directions: one draw of each.
- Algorithm 4: given the weights, the output is Gaussian with variance tau / ESS around
  the centre, ESS = 1 / sum_j w_j^2 of the normalised weights: one draw.
- Algorithm 5: the noise acts through f alone, so that P y stays where it starts.

So the law of the output, jointly with what else the estimator returns, is that of the
plain algorithm: exactly, not approximately, and at the cost of a network with r inputs.

``output="rao-blackwell"`` leaves the output's draw out: its conditional mean given
everything that f sees, another estimator, with the same mean and less variance.

Departure:  the estimators say their own law in flat directions (`flat_law`), so that
this module knows none of them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from refimpl.arrays import Array, as_choice, as_count, as_generator, as_kind
from refimpl.errors import InvalidParameter
from refimpl.interfaces import Estimator, FlatLaw, Projection, Reducible
from refimpl.laws import GibbsLaw
from refimpl.losses.minibatch import Resampled
from refimpl.losses.reduced import Reduced
from refimpl.noise import normals


@dataclass(frozen=True)
class InSpan:
    """The same estimator in law, run on what the loss sees.

    Parameters
    ----------
    estimator : Estimator
        `SGLD`, `ImportanceSampling` or `RobbinsMonro`, without a trace.
    output : {"literal", "rao-blackwell"}
        With the noise of the unseen directions, or with their conditional mean.

    References
    ----------
    Algorithms 3, 4 and 5; checked by the family SPAN.

    Examples
    --------
    >>> from refimpl.importance import ImportanceSampling
    >>> from refimpl.losses import LeastSquares
    >>> f = LeastSquares([[1.0, 0.0, 0.0]], [1.0])  # sees one direction of three
    >>> q = GibbsLaw(f, np.zeros(3), 0.5)
    >>> estimate = InSpan(ImportanceSampling(J=100), output="rao-blackwell")
    >>> estimate(q, rng=np.random.default_rng(0)).x[1:]
    array([0., 0.])
    """

    estimator: Estimator
    output: Literal["literal", "rao-blackwell"] = "literal"

    def __post_init__(self) -> None:
        if not hasattr(self.estimator, "flat_law") or isinstance(self.estimator, type):
            raise InvalidParameter(
                "estimator must be SGLD, ImportanceSampling or RobbinsMonro, got "
                f"{self.estimator!r}"
            )
        as_choice("output", self.output, ("literal", "rao-blackwell"))
        if getattr(self.estimator, "trace", False):
            raise InvalidParameter(
                "a run on what the loss sees has no trace in the whole space: "
                "use the estimator itself"
            )

    def __call__(
        self,
        q: GibbsLaw,
        *,
        rng: np.random.Generator,
        previous: Projection | None = None,
    ) -> Projection:
        """The estimator's projection, in law.

        Raises
        ------
        InvalidParameter
            For a loss that does not say what it sees, or that draws a fresh minibatch
            at every evaluation: what it sees must stay the same.
        NonFinite
            As the estimator.
        """
        as_generator("rng", rng)
        reduced = _reduced(as_kind("q", q, GibbsLaw))
        start = self.estimator.first_state(q, previous)
        small = self.estimator.run(
            GibbsLaw(reduced.loss, reduced.project(q.x), q.tau),
            rng=rng,
            start=reduced.project(start),
        )
        law = self.estimator.flat_law(q.tau, small.info)
        # what f sees of these is drawn for nothing, and replaced
        flat = self._offsets(law, start - q.x, rng)
        flat += q.x
        seen = (small.x, *small.info.positions)
        points = [reduced.with_seen(y, s) for y, s in zip(flat, seen, strict=True)]
        return Projection(points[0], small.info.lifted(points[1:], reduced.embed))

    def replicates(
        self,
        q: GibbsLaw,
        n: int,
        *,
        rng: np.random.Generator,
        previous: Projection | None = None,
    ) -> Array:
        """n independent estimates, shape (n, d)."""
        every = range(as_count("n", n))
        return np.array([self(q, rng=rng, previous=previous).x for _ in every])

    def _offsets(self, law: FlatLaw, start: Array, rng: np.random.Generator) -> Array:
        """Offsets from the centre by the flat law, (k, d), one for each position."""
        covariance = law.covariance.copy()
        if self.output == "rao-blackwell":
            covariance[0] = covariance[:, 0] = 0.0
        offsets: Array = law.start[:, None] * start
        if covariance.any():
            offsets += _root(covariance) @ normals(rng, len(covariance), start.size)
        return offsets


def _root(covariance: Array) -> Array:
    """A square root L of a covariance, L L^T; rows of zeros are allowed."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _reduced(q: GibbsLaw) -> Reduced:
    if isinstance(q.f, Resampled):
        raise InvalidParameter(
            "a fresh minibatch at every evaluation sees other directions every time: "
            "use `minibatches`, one for each weight update, or the estimator itself"
        )
    if not isinstance(q.f, Reducible):
        raise InvalidParameter(
            f"{type(q.f).__name__} does not say which directions it sees: use the "
            "estimator itself"
        )
    return q.f.reduced
