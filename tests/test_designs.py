"""The designs show every known mistake whose output is affine in its draws."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest

from verification.evidence import designs as D
from verification.evidence.designs import NotAffine, affine_law, blind_spots, kl
from verification.losses import Quadratic
from verification.mistakes import CATALOGUE
from verification.truth.output_laws import Degenerate, Gaussian

NOT_AFFINE = {"S38", "S39", "S40"}
#: They draw more than they are given; their laws are those of longer runs.
LONGER = {"S13", "H09"}
DESIGNS = (D.SGLD_4, D.SGLD_5, D.ROBBINS_MONRO)
every_design = pytest.mark.parametrize("design", DESIGNS, ids=lambda one: one.label)


def arguments(design: Any) -> tuple[str, tuple[Any, ...]]:
    """The method of the protocol that a design is for, and what it is called with."""
    at = design.loss, design.x, design.tau, design.step_sizes
    if isinstance(design, D.SgldDesign):
        return "sgld_mean", at
    return "robbins_monro", (*at, design.inner_samples)


def faulty(design: Any) -> dict[str, D.Simulate]:
    """The catalogue's mistakes in the algorithm of a design, as simulators."""
    method, at = arguments(design)
    letter = "S" if method == "sgld_mean" else "H"

    def simulator(id_: str) -> D.Simulate:
        fault = CATALOGUE[id_].faults[method]
        return lambda draws: fault(None, *at, draws=draws)

    return {id_: simulator(id_) for id_ in CATALOGUE if id_[0] == letter}


def longer(design: Any) -> Gaussian:
    """The law of a run of one move too many."""
    if isinstance(design, D.RobbinsMonroDesign):
        return replace(design, J=design.J + 1).law()
    steps = design.step_sizes
    return replace(design, step_sizes=(*steps, steps[-1])).law()


@every_design
def test_the_catalogue_is_covered(design: Any) -> None:
    letter, count = ("S", 40) if isinstance(design, D.SgldDesign) else ("H", 24)
    assert set(faulty(design)) >= {f"{letter}{k:02}" for k in range(1, count + 1)}


@every_design
def test_no_affine_mistake_hides(design: Any) -> None:
    affine = {
        id_: simulate
        for id_, simulate in faulty(design).items()
        if id_ not in NOT_AFFINE | LONGER
    }
    assert len(affine) >= 23
    assert blind_spots(design, affine) == []
    assert kl(longer(design), design.law()) >= D.FAINTEST


def test_mistakes_that_are_not_affine_are_refused() -> None:
    for id_ in NOT_AFFINE:
        with pytest.raises(NotAffine):
            affine_law(faulty(D.SGLD_4)[id_], D.SGLD_4.shape)


def test_the_lint_bites() -> None:
    """One move from x never meets the pull; the paper's steps hide the weights."""
    probe = D.NOISE_PROBE
    (said,) = blind_spots(probe, {k: faulty(probe)[k] for k in ("S01", "S04")})
    assert said.startswith("noise-probe: S01 has ")
    steps = tuple(1 / (1000 + np.arange(1.0, 21)))
    paper = D.SgldDesign("paper", D.QUADRATIC, (3.5, -3.0), 1.0, steps)
    said, other = blind_spots(paper, {k: faulty(paper)[k] for k in ("S10", "S33")})
    assert said.startswith("paper: S10 has ")
    assert other.startswith("paper: S33 has ")


@pytest.mark.parametrize(
    ("design", "id_", "nats"),
    [
        (D.SGLD_4, "S32", 0.0923),
        (D.SGLD_4, "S03", 0.0990),
        (D.SGLD_4, "S33", 0.1239),
        (D.SGLD_5, "S03", 0.0923),
        (D.SGLD_5, "S15", 0.0924),
        (D.SGLD_5, "S35", 0.1063),
        (D.ROBBINS_MONRO, "H18", 1 - np.log(2)),
        (D.ROBBINS_MONRO, "H02", 0.6363),
        (D.ROBBINS_MONRO, "H12", 0.9014),
    ],
)
def test_the_faintest_mistakes_are_those_of_the_docstring(
    design: Any, id_: str, nats: float
) -> None:
    measured = D.divergences(design, {id_: faulty(design)[id_]})
    assert measured[id_] == pytest.approx(nats, rel=1e-3)


@every_design
def test_inputs_are_exact_in_single_precision(design: Any) -> None:
    loss = design.loss
    numbers = [*np.ravel(loss.H), *loss.m, *design.x, design.tau, *design.step_sizes]
    assert (np.float32(numbers) == numbers).all()


def test_the_decimal_design_gives_the_divergences_it_is_known_for() -> None:
    """The maximin design before its numbers were rounded, to the digits on record."""
    loss = Quadratic([[2.0, 0.6], [0.6, 0.9]], [0.3, -0.8])
    design = replace(D.SGLD_4, loss=loss)
    measured = D.divergences(
        design, {k: faulty(design)[k] for k in ("S01", "S09", "S32", "S33", "S35")}
    )
    expected = {"S01": 54.3, "S09": 103, "S32": 0.0864, "S33": 0.128, "S35": 2.07}
    assert measured == pytest.approx(expected, rel=6e-3)


# --- the tools ------------------------------------------------------------------------


def test_divergence_against_an_integral() -> None:
    one = Gaussian(np.array([0.5]), np.array([[0.25]]))
    other = Gaussian(np.array([-0.25]), np.array([[1.5]]))
    t = np.linspace(-10, 10, 20001)

    def log_density(law: Gaussian) -> Any:
        variance = law.covariance[0, 0]
        return -0.5 * (t - law.mean) ** 2 / variance - 0.5 * np.log(
            2 * np.pi * variance
        )

    p, q = log_density(one), log_density(other)
    integral = np.sum(np.exp(p) * (p - q)) * (t[1] - t[0])
    assert kl(one, other) == pytest.approx(integral, rel=1e-9)


def test_divergence_does_not_depend_on_coordinates() -> None:
    rng = np.random.default_rng(1)
    turn, root, base = rng.normal(size=(3, 2, 2))
    one = Gaussian(rng.normal(size=2), root @ root.T)
    other = Gaussian(rng.normal(size=2), base @ base.T)
    moved = [
        Gaussian(turn @ g.mean, turn @ g.covariance @ turn.T) for g in (one, other)
    ]
    assert kl(*moved) == pytest.approx(kl(one, other), rel=1e-10)
    assert kl(one, one) == pytest.approx(0, abs=1e-14)


def test_a_law_without_density_is_infinitely_far() -> None:
    flat = Gaussian(np.zeros(2), np.ones((2, 2)))
    full = Gaussian(np.zeros(2), np.eye(2))
    assert kl(flat, full) == inf
    with pytest.raises(Degenerate):
        kl(full, flat)


def test_impulses_need_an_affine_map() -> None:
    law = affine_law(lambda z: z[:, 0] + 2 * z[:, 1] + 3, (2, 1))
    assert law.mean == [3.0]
    assert law.covariance == [[5.0]]
    with pytest.raises(NotAffine):
        affine_law(lambda z: z[:, 0] ** 2, (2, 1))
    with pytest.raises(NotAffine):
        affine_law(lambda z: np.clip(z[:, 0], -2, 2), (2, 1))
