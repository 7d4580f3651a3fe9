"""The judge's side of several levels: a small right subject, guards and designs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from verification import problems as P
from verification.checks import (
    Check,
    Session,
    Verdict,
    find,
    run_check,
    stochastic_cases,
)
from verification.checks import _multiscale as kit
from verification.checks import ms_laws as laws
from verification.checks import ms_replay as replays
from verification.connect.messages import encode, numbers, parse
from verification.errors import NotFinite, SubjectFault
from verification.evidence.sequential import Plan, inconclusive_bound
from verification.mistakes import CATALOGUE, planted
from verification.mistakes.metropolis import METROPOLIS, Metropolis
from verification.mistakes.multiscale import MULTISCALE, Backward, objective
from verification.report.json_report import problem
from verification.subject import Witness
from verification.truth import closed_forms as cf
from verification.truth import multiscale_chains as chains
from verification.truth import multiscale_sampling as sampling
from verification.truth import quadrature
from verification.truth.carriers import Double

FAMILY = find(["MS"])
BY_ID = {check.id: check for check in FAMILY}
each_check = pytest.mark.parametrize("check", FAMILY, ids=list(BY_ID))
DOUBLE = Double()


class Levels:
    """The catalogue's routines without a slip, and truths in double precision."""

    name = "levels"
    dtype = "float64"

    def multiscale_energies(self, f: Any, Q: Any, lam: Any) -> Any:
        return Backward().solve(f, Q, lam)[0]

    def multiscale_law(self, f: Any, Q: Any, lam: Any) -> Any:
        return Backward().solve(f, Q, lam)[1]

    def multiscale_objective(self, P_: Any, f: Any, Q: Any, lam: Any) -> float:
        return objective(None, P_, f, Q, lam)

    def chained_local_entropy(self, loss: Any, x: Any, taus: Any, lam: Any) -> float:
        return float(self._chain(loss, x, taus, lam)[0])

    def chained_local_entropy_gradient(
        self, loss: Any, x: Any, taus: Any, lam: Any
    ) -> Any:
        return np.array(self._chain(loss, x, taus, lam)[1], dtype=float)

    def _chain(self, loss: Any, x: Any, taus: Any, lam: Any) -> Any:
        levels = (taus.tolist(), lam.tolist())
        if loss.kind in cf.QUADRATIC:
            return chains.continued(DOUBLE, loss, x.tolist(), *levels)
        at = (float(x[0]),)
        V, slope = chains.on_a_line(loss, at, *(tuple(of) for of in levels))[0]
        return V.value, [slope.value]

    def multiscale_gaussian(
        self, loss: Any, mean: Any, covariance: Any, sizes: Any, lam: Any
    ) -> Any:
        given = (mean.tolist(), covariance.tolist(), sizes, lam.tolist())
        law = chains.by_blocks(DOUBLE, loss, *given)
        return law.value, law.mean, law.covariance

    def multilevel_metropolis(self, *given: Any, **more: Any) -> Any:
        return Metropolis().table(None, *given, **more)

    def multilevel_metropolis_gaussian(self, *given: Any, **more: Any) -> Any:
        return Metropolis().flat(None, *given, **more)

    def local_entropy(self, loss: Any, x: Any, tau: float) -> float:
        if loss.kind in cf.LOCAL_ENTROPY:
            return float(cf.local_entropy(DOUBLE, loss, x.tolist(), tau))
        return float(quadrature.local_entropy(loss, x, tau).value)

    def local_entropy_gradient(self, loss: Any, x: Any, tau: float) -> Any:
        if loss.kind not in cf.LOCAL_ENTROPY:
            raise NotImplementedError("closed forms only")
        return np.array(cf.local_entropy_gradient(DOUBLE, loss, x.tolist(), tau))

    def heat(self, loss: Any, x: Any, tau: float) -> float:
        return float(cf.heat(DOUBLE, loss, x.tolist(), tau))


class Single(Levels):
    """The same on numbers of single precision, with answers of single precision."""

    dtype = "float32"

    def multiscale_energies(self, *given: Any) -> Any:
        return [_rounded(V) for V in super().multiscale_energies(*map(_rounded, given))]

    def multiscale_law(self, *given: Any) -> Any:
        return _rounded(super().multiscale_law(*map(_rounded, given)))

    def multiscale_objective(self, *given: Any) -> float:
        return float(_rounded(super().multiscale_objective(*map(_rounded, given))))

    def multilevel_metropolis_gaussian(self, *given: Any, **more: Any) -> Any:
        return _rounded(super().multilevel_metropolis_gaussian(*given, **more))


def _rounded(value: Any) -> Any:
    return np.asarray(value, dtype=np.float32).astype(float)


# --- a right subject, and parts of one


@pytest.mark.parametrize(
    "check",
    [
        # `verification run` asks it of another one
        pytest.param(c, id=c.id, marks=pytest.mark.slow if c.id == "MS-11" else ())
        for c in FAMILY
    ],
)
def test_a_right_subject_passes(check: Check) -> None:
    outcome = run_check(check, Witness(Levels()), Session(7))
    assert outcome.verdict is Verdict.PASS, (outcome.message, outcome.first)


@pytest.mark.parametrize(
    "name", ["MS-01", "MS-03", "MS-04", "MS-05", "MS-07", "MS-08", "MS-R2", "MS-R3"]
)
def test_single_precision_is_judged_as_such(name: str) -> None:
    """Known values of eleven digits are tabulated for inputs that are not dyadic."""
    outcome = run_check(BY_ID[name], Witness(Single()))
    assert outcome.verdict is Verdict.PASS, (outcome.message, outcome.first)


def test_what_is_not_provided_is_not_run() -> None:
    class Little:
        name, dtype = "little", "float64"
        multiscale_law = Levels.multiscale_law

    verdicts = {
        check.id: run_check(check, Witness(Little())).verdict for check in FAMILY
    }
    run = [name for name, verdict in verdicts.items() if verdict is Verdict.PASS]
    assert run == ["MS-02", "MS-03", "MS-04", "MS-07", "MS-08"]
    assert set(verdicts.values()) == {Verdict.PASS, Verdict.NOT_RUN}


#: Long to be caught, and caught by checks that catch others sooner.
LONG = {"L06", "L18", "L23", "L27", "L28", "L29", "L37", "L40"}


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(
            mistake,
            id=mistake.id,
            marks=pytest.mark.slow if mistake.id in LONG else (),
        )
        for mistake in MULTISCALE
    ],
)
def test_each_mistake_fails_what_promises_to_catch_it(mistake: Any) -> None:
    """In another right subject than `refimpl`; of the stochastic checks see below."""
    for check in FAMILY:
        if mistake.id in check.mistakes and not check.stochastic:
            outcome = run_check(check, Witness(planted(mistake, Levels())))
            assert outcome.verdict is Verdict.FAIL, check.id
            assert outcome.message or outcome.worst.ratio >= 1e3


def test_the_catalogue_has_its_letter() -> None:
    assert [m.id for m in MULTISCALE] == [f"L{k:02d}" for k in range(1, 48)]
    assert [m.id for m in METROPOLIS] == [f"L{k}" for k in range(27, 46)]
    assert all(CATALOGUE[m.id] is m for m in MULTISCALE)
    assert [name for name in CATALOGUE if name.startswith("L")] == [
        m.id for m in MULTISCALE
    ]


def test_a_slip_of_proposals_alone_is_planted_where_it_shows() -> None:
    assert set(CATALOGUE["L41"].faults) == {"multilevel_metropolis_gaussian"}
    assert set(CATALOGUE["L31"].faults) == {"multilevel_metropolis"}
    assert len(CATALOGUE["L29"].faults) == 2


# --- the form of answers

F, Q, LAM = kit.tables(kit.GENERIC[3])  # 2 x 3 x 4


def asked(method: str, answer: Any, *given: Any, **more: Any) -> Any:
    class Says:
        name, dtype = "says", "float64"

    setattr(Says, method, staticmethod(lambda *_, **__: answer))
    return getattr(Witness(Says()), method)(*given, **more)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (0.5, "expected 3 tables"),
        ([0.5, [0.5, 0.5]], "expected 3 tables"),
        ([0.5, [0.5] * 3, np.ones((2, 3))], r"\(V_1\) returned shape \(3,\)"),
        ([0.5, [0.5, "x"], np.ones((2, 3))], "expected real numbers"),
    ],
)
def test_energies_have_their_shapes(answer: Any, complaint: str) -> None:
    with pytest.raises(SubjectFault, match=complaint):
        asked("multiscale_energies", answer, F, Q, LAM)


def test_energies_where_there_is_no_mass_are_not_looked_at() -> None:
    half = np.array([[0.5, 0.5], [0.0, 0.0]])
    V = asked("multiscale_energies", [0.5, [1.5, np.inf]], half, half, (1, 2))
    assert V[1].tolist() == [1.5, 0.0]
    with pytest.raises(NotFinite):
        asked("multiscale_energies", [0.5, [np.inf, 1.5]], half, half, (1, 2))


def test_what_may_be_infinite() -> None:
    """J, and V_k where nothing below is finite; above alone, and nothing else."""
    walls, half = np.array([[np.inf, np.inf], [0.0, 1.0]]), np.full((2, 2), 0.25)
    given = (walls, half, (1, 2))
    V = asked("multiscale_energies", [0.5, [np.inf, 1.5]], *given)
    assert V[1].tolist() == [np.inf, 1.5]
    assert asked("multiscale_objective", np.inf, half, *given) == np.inf
    for V_1 in ([1.5, np.inf], [-np.inf, 1.5], [np.nan, 1.5]):
        with pytest.raises(NotFinite):
            asked("multiscale_energies", [0.5, V_1], *given)
    for J in (-np.inf, np.nan):
        with pytest.raises(NotFinite):
            asked("multiscale_objective", J, half, *given)
    with pytest.raises(NotFinite):
        asked("multiscale_law", np.full((2, 2), np.inf), *given)


class Careless(Levels):
    """Right where all is finite; what is infinite it takes for a large number."""

    def multiscale_objective(self, P_: Any, f: Any, Q: Any, lam: Any) -> float:
        Q = np.where(np.asarray(Q) > 0, Q, 1e-300)
        return super().multiscale_objective(P_, np.nan_to_num(f), Q, lam)

    def multiscale_energies(self, f: Any, Q: Any, lam: Any) -> Any:
        return super().multiscale_energies(np.nan_to_num(f, posinf=100.0), Q, lam)


@pytest.mark.parametrize("name", ["MS-04", "MS-05", "MS-06"])
def test_what_is_infinite_is_asked_for(name: str) -> None:
    outcome = run_check(BY_ID[name], Witness(Careless()))
    assert outcome.verdict is Verdict.FAIL
    assert {"infinite", "without"} & set(outcome.first_at.label.split())


class Convex(Levels):
    """Right for convex energies; the others it refuses."""

    def multiscale_gaussian(self, loss: Any, *given: Any) -> Any:
        if loss.kind == "quadratic" and np.linalg.eigvalsh(loss.H)[0] < 0:
            raise ValueError("the energy is not convex")
        return super().multiscale_gaussian(loss, *given)


def test_an_indefinite_energy_is_asked_for() -> None:
    outcome = run_check(BY_ID["MS-13"], Witness(Convex()))
    assert outcome.verdict is Verdict.FAIL
    assert "not convex" in outcome.message
    signs = [
        np.linalg.eigvalsh(case.loss.H)
        for case in BY_ID["MS-13"].cases
        if case.label.startswith("indefinite")
    ]
    assert len(signs) == 2
    assert all(v[0] < -0.5 < 0.5 < v[-1] for v in signs)


def test_a_law_has_the_shape_of_its_table() -> None:
    with pytest.raises(SubjectFault, match="expected"):
        asked("multiscale_law", np.ones((2, 3)), F, Q, LAM)


def test_a_gaussian_law_has_three_parts() -> None:
    given = (P.QUADRATIC_2, [0, 0], np.eye(2), (1, 1), (1, 2))
    with pytest.raises(SubjectFault, match="3 parts"):
        asked("multiscale_gaussian", (0.5, [0, 0]), *given)
    with pytest.raises(SubjectFault, match="covariance"):
        asked("multiscale_gaussian", (0.5, [0, 0], [1, 1]), *given)
    value, mean, covariance = asked(
        "multiscale_gaussian", (0.5, [0, 1], np.eye(2)), *given
    )
    assert (value, mean.tolist(), covariance.shape) == (0.5, [0, 1], (2, 2))


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        (np.zeros((1, 12, 2)), "expected integers"),
        (np.zeros((1, 11, 2), int), "expected"),
        (np.full((1, 12, 2), 3), "has not"),
        (np.full((1, 12, 2), -1), "has not"),
    ],
)
def test_records_are_states_of_the_table(records: Any, complaint: str) -> None:
    p = replays.TABLE
    f, ref, hot = kit.tables(p)
    given = [p.more[k] for k in ("proposals", "inner_steps", "steps")]
    with pytest.raises(SubjectFault, match=complaint):
        asked(
            "multilevel_metropolis", records, f, ref, hot, *given, start=p.more["start"]
        )


def test_a_start_of_indices_stays_whole() -> None:
    seen: list[Any] = []

    class Looks(Levels):
        def multilevel_metropolis(self, *given: Any, **more: Any) -> Any:
            seen.extend((more["start"], given[2], given[3]))
            return super().multilevel_metropolis(*given, **more)

    kit.ask_table(Witness(Looks()), replays.TABLE, n=1, seed=3)
    start, temperatures, proposals = seen
    assert start.dtype == np.int64
    assert temperatures.dtype == np.float64
    assert isinstance(proposals, tuple | list)


def test_everything_travels_as_json() -> None:
    for check in FAMILY:
        for case in check.cases:
            assert (
                parse(encode({"given": case.more}))["given"].keys() == case.more.keys()
            )
    V = Levels().multiscale_energies(F, Q, np.array(LAM))
    back = numbers(parse(encode({"result": V}))["result"])
    for one, other in zip(V, back, strict=True):
        np.testing.assert_array_equal(one, np.array(other))


def test_a_failing_table_is_in_the_report() -> None:
    wrong = Witness(planted(CATALOGUE["L06"], Levels()))
    data = problem(run_check(BY_ID["MS-03"], wrong).first_at)
    assert data is not None
    assert data.keys() == {"given"}
    f = np.array(data["given"]["energies"])
    assert f.shape == np.shape(data["given"]["reference"])
    assert len(data["given"]["temperatures"]) == f.ndim


# --- designs


@each_check
def test_inputs_are_numbers_of_single_precision(check: Check) -> None:
    """Known values belong to decimals; everything else is dyadic, of few digits."""
    for case in check.cases:
        if "known" in case.more or case.label.startswith(("M1", "N")):
            continue
        arrays = [v for v in case.more.values() if isinstance(v, np.ndarray)]
        arrays += [np.asarray(case.more["temperatures"]), np.asarray(case.x)]
        for array in arrays:
            assert (array.astype(np.float32) == array).all(), case.label


@each_check
def test_temperatures_fall_and_rise(check: Check) -> None:
    """What holds for hot levels above cold ones alone must show somewhere."""
    if check.id in ("MS-09", "MS-M", "MS-R1"):  # hot levels are made; seeds; published
        return
    steps = [np.diff(case.more["temperatures"]) for case in check.cases]
    assert any((step < 0).any() for step in steps)
    assert any((step > 0).any() for step in steps)


def test_designed_runs_meet_both_decisions() -> None:
    for p in (*replays.PUBLISHED, *BY_ID["MS-R2"].cases):
        records = np.array([run.records for run in kit.table_replays(p)])
        moved = (np.diff(records, axis=1) != 0).mean(axis=(0, 1))
        several = np.array(p.more["energies"].shape) > 1
        assert (moved[several] > 0.05).all(), p.label
        assert moved[0] < 0.95, p.label


# --- the laws


def test_cells_tile_the_unit_interval() -> None:
    for case in BY_ID["MS-T1"].cases:
        law = laws.predicted(case)
        for cells in (law.inner, law.outer, laws._recorded(case)):
            ends = cells.below + cells.mass
            total = cells.mass.sum(axis=-1)
            assert np.allclose(total[total > 0], 1, atol=1e-12)
            assert cells.below.min() > -1e-15
            assert ends.max() < 1 + 1e-12


def test_scores_of_a_right_sampler_are_normal() -> None:
    """A Kolmogorov-Smirnov test at 1e-7 for each of sixteen samples."""
    for case in BY_ID["MS-T1"].cases:
        records = kit.ask_table(Witness(Levels()), case, n=500, seed=11)
        scores = laws.innovations(case, records, np.random.default_rng(13))
        assert scores.shape == (500 * (case.more["steps"] - 1), 2)
        for column in scores.T:
            assert kstest(column, "norm").pvalue > 1e-7
        assert abs(np.corrcoef(scores.T)[0, 1]) < 0.1


def test_what_cannot_be_recorded_is_refuted_at_once() -> None:
    p = laws._tables(12)[2]
    shape = (256, 12, 2)
    stays = np.broadcast_to(p.more["start"], shape)
    moved = stays.copy()
    moved[:, 0, 0] = (moved[:, 0, 0] + 1) % 3  # level 1 before its first decision
    rng = np.random.default_rng(17)
    assert np.isinf(laws.innovations(p, moved, rng)).any()
    assert np.isfinite(laws.innovations(p, stays, rng)).all()


STOCHASTIC = [check for check in FAMILY if check.stochastic]
PROMISED = [(check, name) for check in STOCHASTIC for name in check.mistakes]


@pytest.mark.parametrize(
    ("check", "name"), PROMISED, ids=[f"{c.id}-{name}" for c, name in PROMISED]
)
def test_laws_show_what_they_promise(check: Check, name: str) -> None:
    wrong = Witness(planted(CATALOGUE[name], Levels()))
    outcome = run_check(check, wrong, Session(23), until_failure=True)
    assert outcome.verdict is Verdict.FAIL


def test_both_error_rates_are_stated() -> None:
    """A false alarm has its share of 1e-6, no verdict a probability below 1e-9."""
    assert stochastic_cases() >= 9
    free, steps = Plan(1e-8), Plan(1e-8, budget=laws.AT_LEAST)
    assert inconclusive_bound(free, 4) < 1e-6
    assert inconclusive_bound(steps, 2) < 1e-9
    for check in STOCHASTIC:
        assert "1e-6" in check.tolerance
        assert "1e-3" in check.tolerance


def test_moves_without_a_force_are_sums() -> None:
    """Variances of recorded moves: the steps of each level in one outer step."""
    p = laws.FREE[1]
    records = kit.ask_flat(Witness(Levels()), p, n=3000, seed=29)
    moves = np.diff(records, axis=1)
    made = sampling.counts(p.more["inner_steps"])
    widths = np.repeat(np.array(p.more["scales"]) ** 2 * made, p.more["sizes"])
    found = moves.var(axis=(0, 1))
    # 33,000 moves: a variance is known to 0.8 %, and 6 of these are 5 %
    np.testing.assert_allclose(found / widths, 1, atol=0.05)
