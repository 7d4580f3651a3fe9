"""Route (c): a subject without draws is known by the law of its own outputs.

Every mistake of the catalogue has a law on a few designs, see
`verification.diagnosis.laws`, and so has every power of the weights of Algorithm 4.

The thresholds, fixed before anything was measured:

- A law is named only if the likelihood of `REPLICATES` outputs on every design is
  `ODDS` times the number of laws as large under it as under the next best, among which
  is the right one.  If the true law is among them, a wrong one is named with
  probability 1/`ODDS` at most: each of the others reaches this ratio with probability
  1/(`ODDS` times their number), by Markov's inequality.
- It is that much larger than under the right law, too, or nothing is said to be wrong:
  of laws that a few thousand outputs do not tell from the right one some will explain
  them better, by chance.
- The outputs must be compatible with it: evidence against the law itself, for another
  mean, covariance, shape or dependence, stays below `ODDS`, and no classical test
  refutes it at the level 1/`ODDS` on any design: of the whitened outputs' mean and of
  their sum of squares, or of the counts in cells against those of the mistake.  The
  latter costs a true name now and then, never a wrong one.
- Powers exp(-kappa f) of the weights count as one law for each kappa that is tried.
  What is told is the interval of those under which the likelihood is less than `ODDS`
  times smaller than at its best; a mistake that is such a power is named only if its
  own kappa lies there.

Laws that are the same on all designs that a subject answers are named together; those
that are the right one cannot be told by this route.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.diagnosis.laws import (
    DESIGNS,
    Samples,
    blur_of,
    counted,
    distinct,
    laws_of,
)
from verification.diagnosis.result import NO_MAPPING, Diagnosis, no_mapping
from verification.errors import NotRun, SubjectFault
from verification.evidence.sequential import as_power_of_ten
from verification.mistakes.importance import Importance
from verification.mistakes.played import Played
from verification.subject import Witness

__all__ = ["ODDS", "REPLICATES", "by_law"]

Array = NDArray[np.float64]

ODDS = 1e3
REPLICATES = 4000

#: The powers of the weights that are tried first, and the ratios of those around the
#: best of them that are tried then.
POWERS = tuple(2.0 ** (k / 2) for k in range(-6, 11))
FINER = (2.0**0.125, 2.0 ** (1 / 32))
#: Mistakes that are a power of the weights.
KNOWN_POWERS = {"I13": 4.0, "I15": 0.5, "I20": 2.0}


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Outputs of a subject's own randomness, and the laws they may have.

    Attributes
    ----------
    designs : tuple of int
        The places of the designs it gave outputs on.
    outputs : tuple of ndarray, shape (n, d)
    """

    designs: tuple[int, ...]
    outputs: tuple[Array, ...]

    def _each(self, laws: Any) -> list[tuple[Any, Array]]:
        chosen = (laws[place] for place in self.designs)
        return [
            (law, rows)
            for law, rows in zip(chosen, self.outputs, strict=True)
            if law is not None
        ]

    def log_likelihood(self, laws: Any) -> float:
        """Of all outputs; a design without a law counts nothing."""
        return float(sum(law.log_likelihood(rows) for law, rows in self._each(laws)))

    def refutes(self, laws: Any, *, classical: bool) -> bool:
        """Whether they refute the laws, by evidence or by a classical test."""
        each = self._each(laws)
        if max(law.against(rows) for law, rows in each) >= np.log(ODDS):
            return True
        return classical and min(law.chance(rows) for law, rows in each) < 1 / ODDS

    @property
    def count(self) -> int:
        """How many outputs there are."""
        return sum(len(rows) for rows in self.outputs)


def by_law(w: Witness, family: str, seed: int | None = None) -> Diagnosis | None:
    """What the law of a subject's own outputs says.

    Parameters
    ----------
    w : Witness
    family : {"Algorithm 3", "Algorithm 4", "Algorithm 5"}
    seed : int, optional
        Of the subject's randomness and of the blur.

    Returns
    -------
    Diagnosis or None
        None where outputs are not offered, or the right law explains them best.
    """
    if family not in DESIGNS or not w.provides(DESIGNS[family][0].method):
        return None
    drawn, fault = _drawn(w, family, np.random.default_rng(seed))
    found = _compared(w, family, drawn) if drawn.outputs else None
    if found is None and fault:
        said = f"{NO_MAPPING}: {family}, with random numbers of its own: {fault}"
        return Diagnosis(NO_MAPPING, said, "behaviour")
    return found


def _compared(w: Witness, family: str, drawn: _Drawn) -> Diagnosis | None:
    laws = distinct(laws_of(w, family), drawn.designs)
    totals = np.array([drawn.log_likelihood(lawful.laws) for lawful in laws])
    order = np.argsort(totals)[::-1]
    best, second = laws[order[0]], laws[order[1]]
    log_odds, enough = float(np.ptp(totals[order[:2]])), np.log(ODDS * len(laws))
    if totals.max() - totals[0] < enough:
        best = laws[0]  # which nothing tells from the one that explains them best
    refuted = drawn.refutes(best.laws, classical=best is not laws[0])
    power = 1.0 if best is laws[0] else KNOWN_POWERS.get(best.name)
    interval = ""
    if family == "Algorithm 4" and (refuted or power is not None):
        scan = _Scan(drawn, laws[0].laws)
        gain = scan.best - totals.max()
        if gain >= np.log(ODDS * (len(laws) + len(scan.totals))) and scan.fits:
            return scan.diagnosis(gain)
        refuted |= best is not laws[0] and power is not None and power not in scan
        interval = scan.interval if power in scan else ""
    if refuted:
        return no_mapping(
            f"none of {len(laws)} laws is that of its outputs; the nearest, that of "
            f"{best.said}, is refuted by {drawn.count} of them"
        )
    if best is laws[0]:
        return None
    if log_odds < enough:
        return no_mapping(
            f"of {len(laws)} laws that of {best.said} explains {drawn.count} outputs "
            f"best, but only {np.exp(log_odds):.2g} times as well as that of "
            f"{second.said}"
        )
    sentence = (
        f"{best.sentence}{interval}. By the law of {drawn.count} of its own outputs, "
        f"which is {as_power_of_ten(log_odds, 0)} times as likely as the next best of "
        f"{len(laws)} known ones, that of {second.said}"
    )
    return Diagnosis(best.name, sentence, "law", best.ids, None, "", log_odds)


def _drawn(w: Witness, family: str, rng: np.random.Generator) -> tuple[_Drawn, str]:
    """Outputs of the subject's own randomness, and a fault that cost some, if any."""
    places, outputs, fault = [], [], ""
    for place, design in enumerate(DESIGNS[family]):
        try:
            rows = _outputs(w, design, rng)
        except NotRun:
            continue
        except SubjectFault as exc:
            fault = str(exc)
            continue
        places.append(place)
        outputs.append(rows)
    return _Drawn(tuple(places), tuple(outputs)), fault


def _outputs(w: Witness, design: Any, rng: np.random.Generator) -> Array:
    """Outputs (n, d) of the subject's own randomness, blurred as the laws are."""
    seed = int(rng.integers(2**31))
    outputs = np.asarray(design.ask(w, n=REPLICATES, seed=seed))
    if isinstance(design, Samples):
        return outputs
    noise = rng.standard_normal(outputs.shape)
    return outputs + blur_of(design, w.dtype) * noise


# --- powers of the weights ------------------------------------------------------------


@cache
def _tempered(kappa: float, place: int) -> Any:
    """The law on a design with weights exp(-kappa f); None if it has none."""
    slip = Importance(logs=lambda s, y: -kappa * s.loss(y))
    return counted(Played(importance=slip), DESIGNS["Algorithm 4"][place])


class _Scan:
    """Weights exp(-kappa f), fitted to outputs of Algorithm 4.

    Parameters
    ----------
    drawn : _Drawn
    right : tuple of laws
        Those of the right algorithm, which hold for all powers where f is constant.

    Attributes
    ----------
    totals : dict of float to float
        Log likelihood for every kappa that was tried.
    kappa, best : float
        The best of them and its log likelihood.
    low, high : float
        Of those tried the nearest to it, on either side, that are `ODDS` times less
        likely or worse.
    """

    def __init__(self, drawn: _Drawn, right: tuple[Any, ...]) -> None:
        self._drawn, self._right = drawn, right
        self.totals: dict[float, float] = {}
        for kappa in POWERS:
            self._try(kappa)
        for ratio in FINER:
            centre = self.kappa
            for step in range(-4, 5):
                self._try(centre * ratio**step)
        unlikely = [
            kappa
            for kappa, total in self.totals.items()
            if total <= self.best - np.log(ODDS)
        ]
        self.low = max((k for k in unlikely if k < self.kappa), default=0.0)
        self.high = min((k for k in unlikely if k > self.kappa), default=np.inf)

    def _laws(self, kappa: float) -> tuple[Any, ...]:
        return tuple(
            law if design.loss.kind == "constant" else _tempered(kappa, place)
            for place, (law, design) in enumerate(
                zip(self._right, DESIGNS["Algorithm 4"], strict=True)
            )
        )

    def _try(self, kappa: float) -> None:
        if kappa not in self.totals:
            self.totals[kappa] = self._drawn.log_likelihood(self._laws(kappa))

    @property
    def kappa(self) -> float:
        return max(self.totals, key=lambda kappa: self.totals[kappa])

    @property
    def best(self) -> float:
        return self.totals[self.kappa]

    def __contains__(self, kappa: float | None) -> bool:
        return kappa is not None and self.low < kappa < self.high

    @property
    def fits(self) -> bool:
        """Whether the outputs are compatible with the best power."""
        return not self._drawn.refutes(self._laws(self.kappa), classical=True)

    @property
    def interval(self) -> str:
        """What is known of kappa, in words."""
        ends = f"between {self.low:.3g} and {self.high:.3g}"
        return f"; its power of the weights lies {ends}"

    def diagnosis(self, log_odds: float) -> Diagnosis:
        """What is told of a power that the catalogue lacks."""
        about = f"{self.kappa:.2g} f"
        sentence = (
            f"the weights are exp(-kappa f) with kappa between {self.low:.3g} and "
            f"{self.high:.3g}: this is Algorithm 4 for about {about}. By the law of "
            f"{self._drawn.count} of its own outputs, which is 10^"
            f"{log_odds / np.log(10):.0f} times as likely as under any known law"
        )
        name = f"weights exp(-{about})"
        return Diagnosis(name, sentence, "law", (), None, "", log_odds)
