"""Coefficients in the paper's terms, and the problem for which they are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verification.diagnosis.power import (
    FITTED,
    Power,
    in_words,
    multiple,
    said,
    scaled,
    snapped,
)

__all__ = [
    "HALF",
    "NONE",
    "ONE",
    "PULL",
    "ROOT",
    "SLOPE",
    "SPREAD",
    "STEP",
    "ChainFit",
    "DescentFit",
    "Fit",
    "SamplesFit",
    "moves_in_numbers",
]

Array = NDArray[np.float64]

#: Numbers that are read one by one and make one, relative.
ALIKE = 1e-6
VARIES = " from move to move"

#: The right coefficients of Algorithm 3: drift, pull, noise.
HALF = Power(0.5, 1.0, 0.0)
PULL = Power(0.5, 1.0, -1.0)
ROOT = Power(1.0, 0.5, 0.0)
#: Those of Algorithm 5: pull, gradient, deviation of the samples.
STEP = Power(1.0, 1.0, 0.0)
SLOPE = Power(1.0, 1.0, 1.0)
SPREAD = Power(1.0, 0.0, 0.5)
#: Those of Algorithm 4: f in the exponent, and a Gaussian density that is not there.
ONE, NONE = Power(1.0), Power(0.0)


class Fit:
    """Coefficients that were read, in words."""

    #: Whether all terms are told where one is wrong.
    whole = True
    further: tuple[str, ...] = ()
    hint: str = ""

    @property
    def terms(self) -> list[tuple[bool, str]]:
        """Whether each term is wrong, and what it is."""
        raise NotImplementedError

    @property
    def right_for(self) -> str:
        """The problem for which these terms are right, but for `further`."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What is wrong; empty where all is right."""
        return "; ".join(
            [*(text for wrong, text in self.terms if wrong), *self.further]
        )

    @property
    def sentence(self) -> str:
        """The terms, what else is wrong, and what they are right for."""
        hint = f" ({self.hint})" if self.hint and self.further else ""
        return self._told(", ".join(self.further) + hint)

    @property
    def coefficients(self) -> str:
        """The same without what else is wrong; empty where all terms are right."""
        return self._told("") if any(wrong for wrong, _ in self.terms) else ""

    def _told(self, further: str) -> str:
        terms = self.terms
        shown = [text for wrong, text in terms if wrong]
        if shown and self.whole:
            shown = [text for _, text in terms]
        sentence = ", ".join([*shown, *([further] if further else [])])
        if self.right_for:
            apart = ": apart from that, " if self.further else ": this is "
            sentence += apart + self.right_for
        return sentence

    @property
    def equivalent(self) -> str:
        """The problem for which all of it is right, if there is one."""
        return "" if self.further else self.right_for


@dataclass(frozen=True)
class ChainFit(Fit):
    """The coefficients of Algorithm 3.

        y - drift grad f(y) + pull (anchor x_k - y) + noise z

    Attributes
    ----------
    drift, pull, noise : Power
    anchor : float
        1 where there is no pull.
    further : tuple of str
        What else is wrong: whose step a move uses, how the output is made.
    hint : str
        The reading that this output is, if it is one.
    """

    drift: Power = HALF
    pull: Power = PULL
    noise: Power = ROOT
    anchor: float = 1.0
    further: tuple[str, ...] = ()
    hint: str = ""

    @property
    def terms(self) -> list[tuple[bool, str]]:
        """Whether each term is wrong, and what it is."""
        ratio = self.noise.over(ROOT)
        noise = f"noise variance {said(ratio.factor**2)} of eps{_signed(ratio)}"
        if not ratio.factor:
            noise = "no noise"
        elif not ratio.plain:
            noise = in_words(self.noise, ROOT, "noise of deviation", "sqrt(eps)")
        pull = in_words(self.pull, PULL, "pull", "eps/(2 tau)") + _towards(self.anchor)
        return [
            (self.drift != HALF, in_words(self.drift, HALF, "drift", "eps/2")),
            (self.pull != PULL or self.anchor != 1, pull),
            (self.noise != ROOT, noise),
        ]

    @property
    def right_for(self) -> str:
        """The problem for which the move is right: steps, loss and variance scaled."""
        drift, pull = self.drift.over(HALF), self.pull.over(PULL)
        noise = self.noise.over(ROOT)
        if not (drift.plain and pull.plain and noise.plain and self.anchor == 1):
            return ""
        step = noise.factor**2
        if pull.factor <= 0 or not step or drift.factor == pull.factor == step == 1:
            return ""
        f = scaled(drift.factor / step, "f") if drift.factor else "a constant loss"
        problem = _problem(3, f, scaled(step / pull.factor, "tau"))
        return problem + _with_step(step, "eps")


@dataclass(frozen=True)
class DescentFit(Fit):
    """The coefficients of Algorithm 5.

        y - pull (y - anchor x_k) - gradient mean_m grad f(y + spread z^(m))

    Attributes
    ----------
    gradient, pull, spread : Power
    anchor : float
        1 where there is no pull.
    further : tuple of str
        What else is wrong: whose step a move uses, what the output is.
    """

    gradient: Power = SLOPE
    pull: Power = STEP
    spread: Power = SPREAD
    anchor: float = 1.0
    further: tuple[str, ...] = ()

    @property
    def terms(self) -> list[tuple[bool, str]]:
        """Whether each term is wrong, and what it is."""
        gradient = in_words(self.gradient, SLOPE, "gradient", "a tau")
        pull = in_words(self.pull, STEP, "pull", "a") + _towards(self.anchor)
        terms = [
            (self.gradient != SLOPE, gradient),
            (self.pull != STEP or self.anchor != 1, pull),
            (self.spread != SPREAD, _spread_in_words(self.spread)),
        ]
        return terms if self.gradient.factor else terms[:2]

    @property
    def right_for(self) -> str:
        """The problem for which the move is right: steps, loss and variance scaled."""
        gradient, pull = self.gradient.over(SLOPE), self.pull.over(STEP)
        spread = self.spread.over(SPREAD)
        if not (gradient.plain and pull.plain and spread.plain and self.anchor == 1):
            return ""
        tau = spread.factor**2
        if pull.factor <= 0 or not tau or gradient.factor == pull.factor == tau == 1:
            return ""
        f = "a constant loss"
        if gradient.factor:
            f = scaled(gradient.factor / pull.factor / tau, "f")
        return _problem(5, f, scaled(tau, "tau")) + _with_step(pull.factor, "a")


@dataclass(frozen=True)
class SamplesFit(Fit):
    """The coefficients of Algorithm 4.

        y = centre x + spread z, weights exp(-of_f f(y) - of_z |z|^2/2)

    Attributes
    ----------
    centre : float
    spread, of_f, of_z : Power
    total : {"sum", "none", "J"}
        What the weighted sum is divided by: the sum of the weights, nothing, J.
    """

    centre: float = 1.0
    spread: Power = SPREAD
    of_f: Power = ONE
    of_z: Power = NONE
    total: str = "sum"

    whole = False

    @property
    def terms(self) -> list[tuple[bool, str]]:
        """Whether each term is wrong, and what it is."""
        place = f"samples around {scaled(self.centre, 'x') if self.centre else 'zero'}"
        minus = Power(-self.of_f.factor, 0.0, self.of_f.of_tau)
        power = said(self.of_z.factor)
        power += f" tau^{self.of_z.of_tau:g}" if self.of_z.of_tau else ""
        return [
            (self.centre != 1, place),
            (self.spread != SPREAD, _spread_in_words(self.spread)),
            (self.of_f != ONE, f"weights exp({multiple(minus, 'f')})"),
            (self.of_z != NONE, f"times the Gaussian density to the power {power}"),
            (self.total == "none", "the sum is not divided by that of the weights"),
            (self.total == "J", "the sum is divided by J, not by that of the weights"),
        ]

    @property
    def right_for(self) -> str:
        """The problem for which the estimate is right: loss and variance scaled."""
        ratio = self.spread.over(SPREAD)
        plain = self.total == "sum" and self.of_z == NONE and self.centre == 1
        if not (plain and ratio.plain and ratio.factor and self.of_f.factor):
            return ""
        f, tau = multiple(self.of_f, "f"), scaled(ratio.factor**2, "tau")
        return "" if (f, tau) == ("f", "tau") else _problem(4, f, tau)


def moves_in_numbers(
    family: str,
    read: Sequence[tuple[float, Array, tuple[Array, Array, Array, Array]]],
) -> str:
    """Every term of some moves, beside what it should be.

    Parameters
    ----------
    family : {"Algorithm 3", "Algorithm 5"}
    read : sequence of (tau, steps, columns)
        The factors of gradient, state and centre and the deviation of the noise, each
        (moves,), for some schedules.
    """
    laws = {
        "Algorithm 3": (HALF, PULL, PULL, ROOT),
        "Algorithm 5": (SLOPE, STEP, STEP, SPREAD),
    }[family]
    drift, state, centre, noise = (
        np.array([_ratios(law, r[0], r[1], r[2][k]) for r in read])
        for k, law in enumerate(laws)
    )
    of_drift, of_pull, of_noise = {
        "Algorithm 3": ("drift {} eps/2", "{} eps/(2 tau)", "noise variance {} of eps"),
        "Algorithm 5": ("gradient {} a tau", "{} a", "samples of variance {} tau"),
    }[family]
    terms = [_term(of_drift, drift), _term(f"pull {of_pull}", state)]
    if np.abs(state - centre).max() > ALIKE:
        terms.append(_term(f"towards x_k {of_pull}", centre))
    terms.append(_term(of_noise, noise**2))
    if not any(VARIES in term for term in terms):
        return ", ".join(terms)
    tau, steps, _ = read[0]
    at = ", ".join(f"{step:g}" for step in steps[: drift.shape[1]])
    return f"{', '.join(terms)} (those have steps {at} at tau = {tau:g})"


def _ratios(law: Power, tau: float, steps: Array, column: Array) -> Array:
    """Coefficients (moves,) over what they should be."""
    right = [law(float(step), tau) for step in steps[: len(column)]]
    return np.asarray(column / right)


def _term(text: str, ratios: Array) -> str:
    """With the one number of all moves, else with those of the first schedule."""
    if np.ptp(ratios) <= ALIKE * max(1.0, np.abs(ratios).max()):
        return text.format(said(snapped(float(ratios.mean()))))
    return text.format(", ".join(f"{ratio:.3g}" for ratio in ratios[0])) + VARIES


def _problem(algorithm: int, f: str, tau: str) -> str:
    scales = [text for text in (f, tau) if text not in ("f", "tau")]
    return f"Algorithm {algorithm}" + (f" for {' and '.join(scales)}" if scales else "")


def _with_step(factor: float, letter: str) -> str:
    near = abs(factor - 1) <= FITTED
    return "" if near else f" with step {scaled(factor, letter)}"


def _towards(anchor: float) -> str:
    if anchor == 1:
        return ""
    return f" towards {scaled(anchor, 'x_k') if anchor else 'zero'}, not x_k"


def _spread_in_words(s: Power) -> str:
    ratio = s.over(SPREAD)
    if ratio.plain:
        return f"samples of variance {said(ratio.factor**2)} tau{_signed(ratio)}"
    return in_words(s, SPREAD, "samples of deviation", "sqrt(tau)")


def _signed(ratio: Power) -> str:
    """What a minus before the draws means."""
    return ", the draws with a minus (the law is the same)" if ratio.factor < 0 else ""
