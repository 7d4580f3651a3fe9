"""Power laws read off exact numbers, and how to say them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

__all__ = ["FITTED", "Power", "fitted", "said", "snapped"]

Array = NDArray[np.float64]

#: How far, relatively, a fitted coefficient may be from what it is taken for: what is
#: read off replays has lost some five digits to the differences it is read from.
FITTED = 1e-7


@dataclass(frozen=True)
class Power:
    """kappa step^p tau^q.

    Attributes
    ----------
    factor : float
        kappa; zero for a term that is missing.
    of_step, of_tau : float
        The exponents p and q.
    """

    factor: float
    of_step: float = 0.0
    of_tau: float = 0.0

    def __call__(self, step: float, tau: float) -> float:
        """The coefficient for a step and a variance."""
        if self.factor == 0:
            return 0.0
        return float(self.factor * step**self.of_step * tau**self.of_tau)

    def over(self, right: Power) -> Power:
        """The quotient of this and another one."""
        return Power(
            self.factor / right.factor,
            self.of_step - right.of_step,
            self.of_tau - right.of_tau,
        )

    @property
    def plain(self) -> bool:
        """Whether it is a number and depends on nothing."""
        return self.factor == 0 or self.of_step == self.of_tau == 0


def fitted(
    values: Array, steps: Array, taus: Array, within: float = FITTED
) -> Power | None:
    """The power law through numbers known to `within`; None if there is none.

    Parameters
    ----------
    values, steps, taus : ndarray, shape (n,)
    within : float
    """
    if np.abs(values).max() <= within:
        return Power(0.0)
    signs = np.sign(values)
    if np.abs(values).min() <= within or np.ptp(signs):
        return None
    columns = np.stack([np.ones(len(values)), np.log(steps), np.log(taus)], axis=1)
    found, *_ = np.linalg.lstsq(columns, np.log(np.abs(values)), rcond=None)
    p, q = snapped(float(found[1]), within), snapped(float(found[2]), within)
    factors = values / (steps**p * taus**q)
    middle = float(np.median(factors))
    factor = snapped(middle, within) or middle
    law = Power(factor, p, q)
    off = np.abs(factors / factor - 1).max()
    return law if off <= 10 * within else None


def snapped(value: float, within: float = FITTED) -> float:
    """The simple fraction, or the root of one, that a number is, if it is.

    Parameters
    ----------
    value : float
    within : float
        How well it is known, relative to its size or to 1.  What is known to less
        than `FITTED` and is no such number is rounded to the digits that are known.
    """
    if not abs(value) < 1 / FITTED**2:
        return value
    close = within * max(1.0, abs(value))
    # fractions with larger denominators lie so close that one would always do
    near = Fraction(value).limit_denominator(64 if within <= FITTED else 16)
    if abs(float(near) - value) <= close:
        return float(near)
    square = Fraction(value * value).limit_denominator(16)  # sqrt(2), sqrt(1/2)
    root = float(np.copysign(np.sqrt(float(square)), value))
    if abs(root - value) <= close:
        return root
    known = max(0, int(np.floor(-np.log10(2 * close))))
    return value if within <= FITTED else round(value, known)


def said(value: float) -> str:
    """A number in three digits, more where three would mislead."""
    rounded = f"{value:.2f}"
    if abs(float(rounded) - value) <= 1e-9 * min(1.0, abs(value)):
        return rounded
    digits = (4, 6, 8)
    enough = (f"{value:.{n}g}" for n in digits if abs(float(f"{value:.{n}g}") - 1) > 0)
    return next(enough, f"{value:.4g}")


def multiple(law: Power, letter: str) -> str:
    """ "2 f", "f/tau", "0.50 f tau^0.5": a letter times a power of tau."""
    if law.factor == 0 or law.of_tau == 0:
        return scaled(law.factor, letter) if law.factor else "0"
    size = "" if abs(law.factor) == 1 else f"{said(abs(law.factor))} "
    power = "tau" if abs(law.of_tau) == 1 else f"tau^{abs(law.of_tau):g}"
    sign = "-" if law.factor < 0 else ""
    return f"{sign}{size}{letter}{' ' if law.of_tau > 0 else '/'}{power}"


def in_words(law: Power, right: Power, name: str, unit: str) -> str:
    """ "drift 1.00 eps/2", or with the powers that it should not have.

    Parameters
    ----------
    law, right : Power
        What is used and what should be.
    name : str
        Of the term.
    unit : str
        What `right` is in the paper's letters.
    """
    if law.factor == 0:
        return f"no {name}"
    ratio = law.over(right)
    further = _powers(ratio)
    return f"{name} {said(ratio.factor)} {unit}" + (
        f" times {further}" if further else ""
    )


def _powers(ratio: Power) -> str:
    parts = []
    for letter, exponent in (("eps", ratio.of_step), ("tau", ratio.of_tau)):
        if exponent == 1:
            parts.append(letter)
        elif exponent:
            parts.append(f"{letter}^{exponent:g}")
    return " ".join(parts)


def scaled(factor: float, letter: str) -> str:
    """ "2 f", "tau/2", "-f": a letter times a number."""
    if abs(factor - 1) <= FITTED:
        return letter
    if abs(factor + 1) <= FITTED:
        return f"-{letter}"
    inverse = 1 / factor if factor else np.inf
    if abs(inverse) <= 1000 and abs(inverse - round(inverse)) <= FITTED * abs(inverse):
        return (
            f"{letter}/{round(inverse)}"
            if inverse > 0
            else f"-{letter}/{-round(inverse)}"
        )
    return f"{said(factor).removesuffix('.00')} {letter}"


def matches(
    values: npt.ArrayLike, others: npt.ArrayLike, within: float = FITTED
) -> bool:
    """Whether numbers are those, as far as they are known."""
    one, other = np.asarray(values), np.asarray(others)
    size = max(1e-3, float(np.abs(other).max(initial=0.0)))
    return bool(np.abs(one - other).max(initial=0.0) <= within * size)
