"""The law of what each mistake returns, on a few designs.

On quadratics the outputs of Algorithms 3 and 5 are Gaussian, with mean and covariance
from the mistake's responses to unit draws, exactly.  Algorithm 4 has no such law; there
each mistake is simulated `PLAYED` times, and the law of the cells of a grid is
Dirichlet-multinomial, which counts what a finite sample does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtr, chdtrc, gammaln, ndtr

from verification.diagnosis.candidates import Candidate, conventions, singles
from verification.diagnosis.questions import FAMILIES
from verification.errors import NotRun, SubjectFault
from verification.evidence import e_values
from verification.evidence.designs import (
    QUADRATIC,
    ROBBINS_MONRO,
    SGLD_4,
    SGLD_5,
    NotAffine,
    RobbinsMonroDesign,
    SgldDesign,
    affine_law,
)
from verification.losses import Constant, Linear
from verification.mistakes.played import Played
from verification.subject import Witness
from verification.truth.output_laws import Gaussian

__all__ = [
    "DESIGNS",
    "Blurred",
    "Counted",
    "Lawful",
    "Samples",
    "blur_of",
    "counted",
    "distinct",
    "laws_of",
]

Array = NDArray[np.float64]

PLAYED = 60_000
CELLS = 10  # of the grid, along each axis
FEW = 5  # outputs expected in a cell, below which it is taken together with others
#: Of the outputs' size: noise that is added so that no law is singular.
BLUR = {"float64": 2.0**-20, "float32": 2.0**-8}
SAME = 1e-9


@dataclass(frozen=True, eq=False)
class Chains:
    """A case of Algorithm 3."""

    of: SgldDesign
    start: tuple[float, ...] | None = None

    method = "sgld_mean"

    def ask(self, w: Any, **given: Any) -> Any:
        """Outputs (n, d), with draws or without."""
        if self.start is not None:
            given["start"] = np.array(self.start)
        at = (self.of.loss, self.of.x, self.of.tau, np.array(self.of.step_sizes))
        return w.sgld_mean(*at, **given)

    def shape(self, reading: Any) -> tuple[int, ...]:
        """Of one replicate's draws."""
        J, d = len(self.of.step_sizes), self.of.d
        return (J - 1 if reading["sgld.chain"] == "literal" else J), d


@dataclass(frozen=True, eq=False)
class Descents:
    """A case of Algorithm 5, started at the centre."""

    of: RobbinsMonroDesign

    method = "robbins_monro"

    def ask(self, w: Any, **given: Any) -> Any:
        """Outputs (n, d), with draws or without."""
        at = (self.of.loss, self.of.x, self.of.tau, np.array(self.of.step_sizes))
        return w.robbins_monro(*at, self.of.inner_samples, **given)

    def shape(self, reading: Any) -> tuple[int, ...]:
        """Of one replicate's draws."""
        J, M, d = self.of.shape
        return (J if reading["robbins_monro.moves"] == "J" else J - 1), M, d


@dataclass(frozen=True, eq=False)
class Samples:
    """A case of Algorithm 4."""

    loss: Any
    x: tuple[float, ...]
    tau: float
    samples: int
    workers: int = 1

    method = "importance_mean"

    def ask(self, w: Any, **given: Any) -> Any:
        """Outputs (n, d)."""
        if self.workers > 1:
            given["workers"] = self.workers
        return w.importance_mean(self.loss, self.x, self.tau, self.samples, **given)

    def shape(self, reading: Any) -> tuple[int, ...]:
        """Of one replicate's draws."""
        del reading
        return self.samples, len(self.x)


_SHORT = SgldDesign("short", QUADRATIC, (-1.5, 2.0), 0.125, (0.5, 0.25, 0.75, 0.5))
_SMALL = RobbinsMonroDesign(
    "small", QUADRATIC, (2.0, -3.0), 0.125, c=0.5, alpha=0.75, J=3, inner_samples=6
)
DESIGNS: dict[str, tuple[Any, ...]] = {
    "Algorithm 3": (Chains(SGLD_4), Chains(SGLD_5), Chains(_SHORT, (2.5, 1.0))),
    "Algorithm 4": (
        Samples(Linear([1.5, 0.75], 0.25), (0.75, -1.25), 0.75, 2),
        Samples(Linear([2.5, -1.5], 0.5), (1.25, 0.5), 0.125, 5, 2),
        # uneven slices of steep weights, so that all ways to merge them differ
        Samples(Linear([1.5, 0.75], 0.25), (-0.5, 1.25), 0.75, 9, 4),
        # flat, so that large powers of the weights do not all pick one sample
        Samples(Linear([0.25, -0.125], 0.25), (0.75, -1.25), 0.5, 16, 3),
        Samples(Constant(0.5, 2), (0.75, -1.25), 0.5, 8, 3),
        Samples(Constant(-0.25, 2), (-0.5, 1.25), 0.5, 16, 3),
    ),
    "Algorithm 5": (Descents(ROBBINS_MONRO), Descents(_SMALL)),
}


# --- laws -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Blurred:
    """A Gaussian law with independent noise of a given deviation added."""

    law: Gaussian
    blur: float

    @property
    def total(self) -> Gaussian:
        """The law of outputs to which that noise has been added."""
        more = self.blur**2 * np.eye(len(self.law.mean))
        return Gaussian(self.law.mean, self.law.covariance + more)

    def _whitened(self, outputs: Array) -> tuple[Array, Array]:
        """Standard normals (n, d) for outputs of the law, and its Cholesky factor.

        Not `Gaussian.whiten`, which refuses a law as narrow as a blur.
        """
        factor = np.linalg.cholesky(self.total.covariance).astype(np.float64)
        u = np.linalg.solve(factor, (outputs - self.total.mean).T).T
        return np.asarray(u, dtype=np.float64), factor

    def log_likelihood(self, outputs: Array) -> float:
        """Of outputs (n, d), up to a constant that all laws share."""
        u, factor = self._whitened(outputs)
        return float(-0.5 * (u**2).sum() - len(u) * np.log(np.diag(factor)).sum())

    def against(self, outputs: Array) -> float:
        """Log evidence against it, from outputs of its own or not."""
        u, _ = self._whitened(outputs)
        processes = (
            e_values.location_scale(u),
            e_values.serial(u),
            e_values.shape(u, 16),
        )
        return float(e_values.average(processes)[-1])

    def chance(self, outputs: Array) -> float:
        """The probability of whitened outputs as far off in mean or size, at most."""
        u, _ = self._whitened(outputs)
        n, d = u.shape
        size = (u**2).sum()
        of_size = 2 * min(chdtr(n * d, size), chdtrc(n * d, size))
        of_mean = chdtrc(d, n * (u.mean(axis=0) ** 2).sum())
        return float(2 * min(of_size, of_mean))

    def same(self, other: Blurred) -> bool:
        """Whether two laws are the same, to rounding."""
        size = max(1.0, float(np.abs(self.law.mean).max()))
        apart = np.abs(self.law.mean - other.law.mean).max() / size
        size = float(np.abs(self.law.covariance).max()) + SAME
        wide = np.abs(self.law.covariance - other.law.covariance).max() / size
        return bool(max(apart, wide) <= SAME)


@dataclass(frozen=True, eq=False)
class Counted:
    """A law known from outputs: in the cells of a grid, and their moments.

    Attributes
    ----------
    counts : ndarray, shape (cells,)
    edges : tuple of ndarray
        Of the cells, along each axis.
    moments : tuple of ndarray, shape (d,)
        Mean, variance and fourth central moment.
    """

    counts: Array
    edges: tuple[Array, ...]
    moments: tuple[Array, Array, Array]

    def log_likelihood(self, outputs: Array) -> float:
        """Of the cells of outputs, in their order."""
        return _predicted(self.counts, _cells(outputs, self.edges))

    def against(self, outputs: Array) -> float:
        """Log evidence for another law of the cells."""
        seen = _cells(outputs, self.edges)
        return _predicted(0.0 * self.counts, seen) - _predicted(self.counts, seen)

    def chance(self, outputs: Array) -> float:
        """The probability of a sample as different in counts, means or variances.

        By chi square, cells with few outputs taken together, and by the normal
        approximation for moments; divided among these tests.
        """
        n, known = len(outputs), float(self.counts.sum())
        mean, variance, fourth = self.moments
        per_output = 1 / n + 1 / known
        off = (
            (outputs.mean(axis=0) - mean) / np.sqrt(variance * per_output),
            (outputs.var(axis=0) - variance)
            / np.sqrt((fourth - variance**2) * per_output),
        )
        of_moments = 2 * ndtr(-np.abs(off).max()) * 2 * len(mean)
        return float(2 * min(of_moments, self._chance_of_cells(outputs)))

    def _chance_of_cells(self, outputs: Array) -> float:
        both = np.stack([self.counts, _cells(outputs, self.edges)])
        few = both.sum(axis=0) * both[1].sum() / both.sum() < FEW
        table = np.column_stack([both[:, ~few], both[:, few].sum(axis=1)])
        table = table[:, table.sum(axis=0) > 0]
        if table.shape[1] < 2:
            return 1.0
        # Pearson's test that both rows have one law
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
        off = ((table - expected) ** 2 / expected).sum()
        return float(chdtrc(table.shape[1] - 1, off))

    def same(self, other: Counted) -> bool:
        """Whether the same random numbers fell into the same cells."""
        return bool(np.array_equal(self.counts, other.counts))


def _cells(outputs: Array, edges: tuple[Array, ...]) -> Array:
    """How many outputs (n, d) lie in each cell."""
    columns = zip(outputs.T, edges, strict=True)
    places = [np.searchsorted(edge, column) for column, edge in columns]
    sizes = tuple(len(edge) + 1 for edge in edges)
    flat = np.ravel_multi_index(tuple(places), sizes)
    return np.bincount(flat, minlength=int(np.prod(sizes))).astype(np.float64)


def _predicted(known: Array, seen: Array) -> float:
    """Log probability of categories after those known, from Jeffreys' prior."""
    prior = known + 0.5
    each = gammaln(prior + seen) - gammaln(prior)
    total = gammaln(prior.sum() + seen.sum()) - gammaln(prior.sum())
    return float(each.sum() - total)


@dataclass(frozen=True, eq=False)
class Lawful:
    """Candidates with one law on each design."""

    candidates: tuple[Candidate, ...]
    laws: tuple[Any, ...]

    @property
    def name(self) -> str:
        """Of all of them; "" for the right algorithm."""
        return " = ".join(c.name for c in self.candidates if c.name)

    @property
    def said(self) -> str:
        """The name in a sentence."""
        return self.name if self.candidates[0].name else "the right algorithm"

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the mistakes with this law."""
        return tuple(dict.fromkeys(i for c in self.candidates for i in c.ids))

    @property
    def sentence(self) -> str:
        """What the mistakes with this law do."""
        told = [candidate.sentence for candidate in self.candidates if candidate.name]
        return "; or, with the same law: ".join(told)


_READING = ("sgld.chain", "sgld.output", "robbins_monro.moves")


def laws_of(w: Witness, family: str) -> list[Lawful]:
    """The distinct laws of a family in a subject's reading, the right one first."""
    reading = tuple((key, w.conventions[key]) for key in _READING)
    return _laws(family, reading, w.dtype)


@cache
def _laws(family: str, reading: tuple[tuple[str, str], ...], dtype: str) -> Any:
    plain = Played()
    right = replace(plain, conventions={**plain.conventions, **dict(reading)})
    first = Candidate("", (), "", right)
    others = [*singles(right, FAMILIES[family][:1]), *conventions(right, family)]
    found: list[Lawful] = []
    for candidate in (first, *others):
        if candidate is not first and not _shows(candidate, first, family):
            continue
        laws = _laws_of(candidate, family, dtype)
        if laws is not None:
            found.append(Lawful((candidate,), laws))
    return distinct(found, range(len(DESIGNS[family])))


def distinct(laws: Iterable[Lawful], designs: Sequence[int]) -> list[Lawful]:
    """Those that differ on some of these designs, the others taken together.

    Parameters
    ----------
    laws : iterable of Lawful
        The right one first, and so it is among those that are returned.
    designs : sequence of int
        The places of the designs that a subject answers.
    """
    found: list[Lawful] = []
    for lawful in laws:
        for place, known in enumerate(found):
            if all(known.laws[at].same(lawful.laws[at]) for at in designs):
                both = (*known.candidates, *lawful.candidates)
                found[place] = Lawful(both, known.laws)
                break
        else:
            found.append(lawful)
    return found


def _shows(candidate: Candidate, right: Candidate, family: str) -> bool:
    """Whether a candidate is a function of its draws, and another one.

    What concerns seeds and replicates alone has no law of its own.
    """

    def replay(subject: Any, design: Any) -> Any:
        rows = design.shape(subject.conventions)
        z = np.cos(np.arange(2.0 * np.prod(rows)) ** 2).reshape(2, *rows)
        try:
            return design.ask(Witness(subject), draws=z, n=2)
        except (NotRun, SubjectFault):
            return np.array(np.nan)

    for design in DESIGNS[family]:
        one, again = (replay(candidate.subject, design) for _ in range(2))
        if not np.array_equal(one, again):
            return False
        if not np.array_equal(one, replay(right.subject, design)):
            return True
    return False


def _laws_of(candidate: Candidate, family: str, dtype: str) -> tuple[Any, ...] | None:
    """The law on each design; None if one is not known."""
    of: list[Blurred | Counted | None]
    if family == "Algorithm 4":
        of = [counted(candidate.subject, d) for d in DESIGNS[family]]
    else:
        of = [_gaussian(candidate.subject, d, dtype) for d in DESIGNS[family]]
    return None if any(law is None for law in of) else tuple(of)


def _with_all_moves(subject: Any, design: Any) -> tuple[Any, Any]:
    """The subject and the case with moves too many as moves like others.

    Given draws are repeated for such a move; a subject's own are not.
    """
    if not isinstance(subject, Played):
        return subject, design
    if isinstance(design, Chains) and subject.langevin.extra > 0:
        steps = (*design.of.step_sizes, design.of.step_sizes[-1])
        slip = replace(subject.langevin, extra=0)
        of = replace(design.of, step_sizes=steps)
        return replace(subject, langevin=slip), replace(design, of=of)
    if isinstance(design, Descents) and subject.descent.extra > 0:
        slip_too = replace(subject.descent, extra=0)
        of_too = replace(design.of, J=design.of.J + 1)
        return replace(subject, descent=slip_too), replace(design, of=of_too)
    return subject, design


def _gaussian(subject: Any, design: Any, dtype: str) -> Blurred | None:
    alone, longer = _with_all_moves(subject, design)
    witness = Witness(alone)

    def simulate(z: Array) -> Any:
        return longer.ask(witness, draws=z, n=len(z))

    try:
        law = affine_law(simulate, longer.shape(subject.conventions))
    except (NotAffine, NotRun, SubjectFault):
        return None
    return Blurred(law, blur_of(design, dtype))


def blur_of(design: Any, dtype: str) -> float:
    """The deviation of the noise that is added to outputs on a design."""
    size = float(np.sqrt(np.trace(design.of.law().covariance)))
    return BLUR[dtype] * size


def counted(subject: Any, design: Any) -> Counted | None:
    """The law of a simulated subject on a design; None if it is not finite."""
    edges = _edges(design)
    # of our own: there is no need of a witness, who copies and compares all draws
    outputs = design.ask(subject, n=PLAYED, draws=_shared_draws(design))
    if not np.isfinite(outputs).all():
        return None
    mean, away = outputs.mean(axis=0), outputs - outputs.mean(axis=0)
    moments = mean, (away**2).mean(axis=0), (away**4).mean(axis=0)
    return Counted(_cells(outputs, edges), edges, moments)


@cache
def _shared_draws(design: Samples) -> Array:
    """The draws on which every mistake is simulated, so that equal laws look equal."""
    rows = (PLAYED, design.samples, len(design.x))
    z = np.random.default_rng(1).standard_normal(rows)
    z.flags.writeable = False
    return z


@cache
def _edges(design: Any) -> tuple[Array, ...]:
    """Cells that the right law fills alike, along each axis."""
    outputs = design.ask(Played(), n=PLAYED, draws=_shared_draws(design))
    parts = np.arange(1, CELLS) / CELLS
    return tuple(np.quantile(column, parts) for column in outputs.T)
