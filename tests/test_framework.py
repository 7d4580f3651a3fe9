"""The judge's framework: witness, findings, registry, verdicts, report."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest

from verification import checks as package
from verification import runner
from verification.checks import REGISTRY, Verdict, all_checks, check, find, run_check
from verification.errors import (
    CannotStart,
    NotFinite,
    NotProvided,
    NotRun,
    OracleFault,
    SubjectFault,
    UnknownCheck,
)
from verification.evidence.comparison import (
    Finding,
    agree,
    differs,
    exceeds,
    not_above,
    not_below,
)
from verification.guard import PARTS, RESULT_KINDS, SHAPES
from verification.report.terminal import Terminal, explain, listing
from verification.subject import CONVENTIONS, METHODS, Subject, Witness

X = np.array([1.0, 2.0])


@dataclass(frozen=True)
class ToyLoss:
    m: np.ndarray
    kind: str = "toy"


def toy_loss() -> ToyLoss:
    m = np.array([3.0, 4.0])
    m.setflags(write=False)
    return ToyLoss(m)


def subject(**methods):
    """A subject of these methods, written without self."""
    methods = {name: staticmethod(method) for name, method in methods.items()}
    return type("Toy", (), methods)()


def ask(method, name="local_entropy"):
    return getattr(Witness(subject(**{name: method})), name)(toy_loss(), X, 0.5)


# --- the witness


def test_every_method_has_a_kind_of_answer_and_every_kind_a_shape():
    assert set(RESULT_KINDS) == set(METHODS)
    assert set(RESULT_KINDS.values()) - set(SHAPES) == {*PARTS, "energies"}
    assert {form for of in PARTS.values() for form in of.values()} <= set(SHAPES)
    assert len(METHODS) == 31


def test_a_missing_method_is_not_run_by_name():
    with pytest.raises(NotProvided, match="no method heat") as info:
        Witness(subject()).heat(toy_loss(), X, 0.5)
    assert isinstance(info.value, NotRun)


def test_a_body_inherited_from_the_protocol_is_not_a_method():
    class Empty(Subject):
        pass

    witness = Witness(Empty())
    assert not any(witness.provides(name) for name in METHODS)
    with pytest.raises(NotProvided):
        witness.heat(toy_loss(), X, 0.5)


def test_a_name_outside_the_protocol_is_a_mistake_of_the_check():
    with pytest.raises(AttributeError, match="no method 'heta'"):
        _ = Witness(subject()).heta


def test_not_implemented_is_not_run_with_its_message():
    def refuses(loss, x, tau):
        raise NotImplementedError("no closed form\n for toy")

    with pytest.raises(NotRun, match="no closed form for toy"):
        ask(refuses)


@pytest.mark.parametrize("error", [ValueError("bad\ntau"), SystemExit("bad tau")])
def test_other_exceptions_are_faults_of_the_subject(error):
    def broken(loss, x, tau):
        raise error

    with pytest.raises(SubjectFault) as info:
        ask(broken)
    assert f"{type(error).__name__}: bad tau" in str(info.value)
    assert "test_framework.py, line" in str(info.value)
    assert "raise error" in str(info.value)
    assert info.value.__cause__ is error


def test_a_keyboard_interrupt_passes_through():
    def stopped(loss, x, tau):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(stopped)


def test_a_subject_of_another_signature_is_at_fault():
    with pytest.raises(SubjectFault, match="TypeError"):
        ask(lambda loss, x: 0.0)


def test_a_wrong_call_is_a_mistake_of_the_check():
    with pytest.raises(TypeError):
        Witness(subject(heat=lambda *args: 0.0)).heat(toy_loss(), X)


def test_arrays_are_fresh_writable_contiguous_doubles():
    seen = []
    x = np.asfortranarray(np.array([1, 2], dtype=np.float32))[::-1]
    witness = Witness(subject(heat=lambda loss, x, tau: seen.append((x, tau)) or 1.0))
    witness.heat(toy_loss(), x, Fraction(1, 4))
    array, tau = seen[0]
    assert array.dtype == np.float64
    assert array.flags.writeable
    assert array.flags.c_contiguous
    assert not np.shares_memory(array, x)
    assert np.array_equal(array, [2, 1])
    assert type(tau) is float


def test_only_the_keywords_a_check_uses_are_handed_over():
    seen = {}

    def sgld_mean(loss, x, tau, step_sizes, **keywords):
        seen.update(keywords)
        return [[0.0, 0.0]]

    witness = Witness(subject(sgld_mean=sgld_mean))
    witness.sgld_mean(toy_loss(), X, 0.5, [0.1], draws=np.zeros((1, 0, 2)))
    assert set(seen) == {"draws"}


def test_a_changed_argument_is_a_fault_even_with_a_nan_in_it():
    def greedy(loss, x, tau):
        x[1] += 1
        return 0.0

    with pytest.raises(SubjectFault, match="changed its argument x in place"):
        ask(greedy)
    witness = Witness(subject(heat=lambda loss, x, tau: 0.0))
    assert witness.heat(toy_loss(), np.array([np.nan, 0.0]), 0.5) == 0.0
    assert np.array_equal(X, [1, 2])


def test_a_changed_array_in_a_list_is_a_fault():
    def train(loss, x0, method, record, *, draws):
        draws[1][0] = 7.0
        return np.zeros((3, 2))

    witness = Witness(subject(train=train))
    with pytest.raises(SubjectFault, match=r"draws\[1\] in place"):
        witness.train(toy_loss(), X, "sgld", {}, draws=[np.zeros(2), np.zeros(2)])


def test_a_changed_loss_is_a_fault_and_is_put_right_again():
    def vandal(loss, x, tau):
        loss.m.setflags(write=True)
        loss.m[0] = 99.0
        return 0.0

    def thief(loss, x, tau):
        object.__setattr__(loss, "m", np.zeros(2))
        raise NotImplementedError

    loss = toy_loss()
    memory = loss.m
    witness = Witness(subject(heat=vandal, local_entropy=thief))
    with pytest.raises(SubjectFault, match=r"loss\.m in place"):
        witness.heat(loss, X, 0.5)
    with pytest.raises(NotRun):
        witness.local_entropy(loss, X, 0.5)
    assert loss.m is memory
    assert np.array_equal(loss.m, [3, 4])
    assert not loss.m.flags.writeable


@pytest.mark.parametrize(
    "value", [1.5, np.float32(1.5), np.array(1.5), np.array([[1.5]]), [1.5]]
)
def test_a_scalar_answer_may_come_in_any_dress(value):
    result = ask(lambda loss, x, tau: value)
    assert result == 1.5
    assert type(result) is float


@pytest.mark.parametrize("value", [Fraction(3, 2), mpmath.mpf(1.5)])
def test_exact_numbers_are_answers(value):
    assert ask(lambda loss, x, tau: value) == 1.5


def test_a_number_beyond_doubles_is_a_fault_of_the_subject():
    with pytest.raises(NotFinite, match="a number beyond double precision"):
        ask(lambda loss, x, tau: 10**400)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_answers_are_faults_of_the_subject(value):
    with pytest.raises(
        NotFinite, match=r"local_entropy returned float \w+, which is not finite"
    ):
        ask(lambda loss, x, tau: value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "NoneType None"),
        ("1.5", "expected real numbers"),
        (1.5j, "complex"),
        (True, "expected real numbers"),
        ([1.0, 2.0], r"shape \(2,\), expected a float"),
        ([[1.0], [1.0, 2.0]], "no array"),
    ],
)
def test_a_scalar_answer_in_a_wrong_form_is_a_fault(value, said):
    with pytest.raises(SubjectFault, match=said):
        ask(lambda loss, x, tau: value)


def test_the_shape_of_a_vector_is_checked_and_named():
    with pytest.raises(SubjectFault, match=r"shape \(1, 2\), expected \(2,\)"):
        ask(lambda loss, x, tau: [[1.0, 2.0]], "posterior_mean")


def test_answers_are_copies():
    buffer = np.zeros(2)
    result = ask(lambda loss, x, tau: buffer, "posterior_mean")
    buffer[:] = 1
    assert np.array_equal(result, [0, 0])


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("posterior_covariance", (None, X, 0.5), (2, 2)),
        ("minimise_heat", (None, X, 0.5, 3), (4, 2)),
        ("step_schedule", ("harmonic", (1.0,), 5), (5,)),
        ("minibatch_indices", (10, 2, 3), (3, 2)),
        ("importance_mean", (None, X, 0.5, 7), (1, 2)),
        ("importance_weights", (None, X, 0.5, 7), (1, 7)),
        ("sgld_trace", (None, X, 0.5, [0.1, 0.2]), (1, 2, 2)),
        ("robbins_monro_trace", (None, X, 0.5, [0.1, 0.2], 3), (1, 3, 2)),
    ],
)
def test_expected_shapes(name, arguments, shape):
    witness = Witness(subject(**{name: lambda *a: np.ones(shape, dtype=int)}))
    assert getattr(witness, name)(*arguments).shape == shape
    witness = Witness(subject(**{name: lambda *a: np.ones((*shape, 2), dtype=int)}))
    with pytest.raises(SubjectFault, match="expected"):
        getattr(witness, name)(*arguments)


def test_indices_are_integers():
    witness = Witness(subject(minibatch_indices=lambda *a: [[0.0, 1.0]]))
    with pytest.raises(SubjectFault, match="expected integers"):
        witness.minibatch_indices(4, 2, 1)


def test_a_network_answers_a_pair():
    p, images, labels = np.zeros(6), np.zeros((1, 2)), np.array([0])

    def network(sizes, parameters, images, labels):
        assert labels.dtype == np.int64
        return 1, parameters

    witness = Witness(subject(network_loss_and_gradient=network))
    value, gradient = witness.network_loss_and_gradient((2, 2), p, images, labels)
    assert value == 1.0
    assert gradient.shape == (6,)
    witness = Witness(subject(network_loss_and_gradient=lambda *a: 1.0))
    with pytest.raises(SubjectFault, match="expected a pair"):
        witness.network_loss_and_gradient((2, 2), p, images, labels)


def test_calls_are_counted_and_warnings_silenced():
    witness = Witness(subject(heat=lambda loss, x, tau: np.exp(np.log(x - x))[0]))
    assert witness.heat(toy_loss(), X, 0.5) == 0
    assert witness.heat(toy_loss(), X, 0.5) == 0
    assert witness.calls == {"heat": 2}


def test_what_a_subject_prints_stays_out_of_the_report(capsys):
    def heat(loss, x, tau):
        sys.stdout.write("step 1, loss 0.3\n")
        raise NotImplementedError("not today")

    sys.stdout.write("before\n")
    with pytest.raises(NotRun):
        Witness(subject(heat=heat)).heat(toy_loss(), X, 0.5)
    sys.stdout.write("after\n")
    assert capsys.readouterr() == ("before\nafter\n", "step 1, loss 0.3\n")


def test_declarations():
    plain = Witness(subject())
    assert plain.name == "Toy"
    assert plain.unit_roundoff == 2**-53
    assert plain.conventions["sgld.chain"] == "literal"
    assert set(plain.conventions) == set(CONVENTIONS)
    declared = {"scoping.origin": 1, "sgld.output": "exponential-average:0.25"}
    other = Witness(SimpleNamespace(dtype="float32", conventions=declared))
    assert other.unit_roundoff == 2**-24
    assert other.conventions["scoping.origin"] == "1"
    assert other.conventions["sgld.output"] == "exponential-average:0.25"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"dtype": "float16"}, "must be 'float64' or 'float32'"),
        ({"conventions": 3}, "must be a mapping"),
        ({"conventions": {"sgld.chains": "literal"}}, "those that exist are"),
        ({"conventions": {"sgld.chain": "new"}}, "values are literal, new-states$"),
        (
            {"conventions": {"sgld.output": "exponential-average:RATE"}},
            "with 0 < RATE <= 1$",
        ),
        (
            {"conventions": {"sgld.output": "exponential-average:1.5"}},
            "values are weighted-mean, exponential-average:RATE with 0 < RATE <= 1$",
        ),
    ],
)
def test_a_declaration_that_does_not_exist_cannot_start(declared, said):
    with pytest.raises(CannotStart, match=said):
        Witness(SimpleNamespace(**declared))


# --- findings


def test_the_truth_is_not_rounded_before_it_is_compared():
    third = 1 / 3
    gap = Fraction(1, 3) - Fraction(third)
    context = mpmath.MPContext()
    context.dps = 40
    truth = context.mpf(1) / 3
    assert agree("a third", third, Fraction(1, 3), 1).error == float(gap)
    assert agree("a third", third, truth, 1).error == pytest.approx(float(gap), 1e-15)
    assert not agree("a third", third, truth, 1e-17).ok
    assert agree("a third", [third] * 4, [truth] * 4, 1).error == pytest.approx(
        2 * float(gap), rel=1e-15
    )


@pytest.mark.parametrize("context", [mpmath.mp, mpmath.MPContext()])
def test_shapes_of_truths(context):
    vector = context.matrix([1, 2])
    square = context.matrix([[1, 2], [3, 4]])
    assert agree("vector", np.array([1.0, 2.0]), vector, 0).ok
    assert agree("matrix", np.array([[1.0, 2.0], [3.0, 4.0]]), square, 0).ok
    with pytest.raises(ValueError, match="shapes differ"):
        agree("transposed", np.array([[1.0, 2.0]]), vector, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_measurements_fail(value):
    for finding in (
        agree("f", value, 1.0, 1e300),
        agree("f", [0.0, value], [0.0, 0.0], 1e300),
        not_below("f", value, 1.0, 1e300),
        not_above("f", value, 1.0, 1e300),
        differs("f", value, 1.0, 0.5),
        exceeds("f", value, 1.0, 0.5),
    ):
        assert not finding.ok
        assert finding.ratio == math.inf


def test_an_infinite_truth_wants_the_same_infinity():
    assert agree("f", math.inf, mpmath.inf, 0).ok
    assert agree("f", math.inf, math.inf, 0).digits == 17
    assert not agree("f", -math.inf, math.inf, 1).ok
    assert not agree("f", 1e308, math.inf, 1).ok


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_a_senseless_tolerance_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        agree("f", 1.0, 1.0, tolerance)


def test_a_truth_is_a_real_number():
    with pytest.raises(ValueError, match="NaN"):
        agree("f", 1.0, math.nan, 1)
    with pytest.raises(ValueError, match="real number"):
        agree("f", 1.0, "1.0", 1)


def test_ratio_and_digits():
    assert Finding("f", 0, 0, 0.0, 0.0).ratio == 0
    assert Finding("f", 0, 0, 1.0, 0.0).ratio == math.inf
    assert Finding("f", 0, 0, math.nan, 1.0).ratio == math.inf
    assert agree("f", 1.001, 1.0, 1).digits == pytest.approx(3)
    assert agree("f", 101.0, 100, 1).digits == pytest.approx(2)
    assert agree("f", 1e-5, 0, 1).digits == pytest.approx(5)
    assert agree("f", 1.0, 1, 1).digits == 17
    assert agree("f", math.nan, 1, 1).digits == 0
    assert math.isnan(not_below("f", 1.0, 1.0, 0).digits)


def test_inequalities():
    assert not_below("f", 1.0, Fraction(1), 0).error == 0
    assert not_below("f", 2.0, 1.0, 0).ok
    assert not_below("f", 0.75, 1.0, 0.25).ratio == 1
    assert not not_below("f", 0.5, 1.0, 0.25).ok
    assert not_above("f", 0.5, 1.0, 0).ok
    assert not not_above("f", [0.0, 1.5], [1.0, 1.0], 0.25).ok


@pytest.mark.parametrize("control", [differs, exceeds])
def test_negative_controls(control):
    assert control("f", 2.0, 1.0, 1.0).ratio == 1
    assert control("f", 2.0, 1.0, 1.0).ok
    assert not control("f", 1.5, 1.0, 1.0).ok
    assert control("f", 1.0, 1.0, 1e-9).ratio == math.inf
    with pytest.raises(ValueError, match="gap"):
        control("f", 2.0, 1.0, 0)
    assert differs("f", 0.0, 1.0, 1.0).ok
    assert not exceeds("f", 0.0, 1.0, 1.0).ok


# --- the registry


@pytest.fixture
def registry():
    """An empty registry; the real one is put back."""
    all_checks()
    saved = dict(REGISTRY)
    REGISTRY.clear()
    yield REGISTRY
    REGISTRY.clear()
    REGISTRY.update(saved)


def case(label="one", **data):
    return SimpleNamespace(label=label, loss=toy_loss(), **data)


def add(name, body=None, **changes):
    """Register a toy check: the subject's heat must be 1."""

    def heat_is_one(witness, case):
        yield agree("heat", witness.heat(case.loss, X, 0.5), 1, 0)

    attributes = {
        "paper": "(1)",
        "claim": "heat is one",
        "truth": "1",
        "route": "CF",
        "tolerance": "none: one is exact",
        "cases": [case()],
    }
    return check(name, **(attributes | changes))(body or heat_is_one)


@pytest.mark.usefixtures("registry")
def test_checks_come_in_the_order_of_the_paper_and_of_their_numbers():
    for name in (
        "ZZ-1",
        "ALG3-R10",
        "ALG3-R2",
        "TH1-02",
        "EQ12-01",
        "TH1-01",
        "EQ2-01",
    ):
        add(name)
    assert [entry.id for entry in all_checks()] == [
        *("EQ2-01", "TH1-01", "TH1-02", "EQ12-01", "ALG3-R2", "ALG3-R10", "ZZ-1")
    ]


@pytest.mark.usefixtures("registry")
def test_ids_may_be_exact_families_beginnings_or_patterns():
    for name in ("EQ1-01", "EQ12-01", "ALG3-R1", "ALG3-R2", "ALG3-L1", "A-01"):
        add(name)
    found = {
        word: [entry.id for entry in find([word])]
        for word in ("eq1", "alg3-r", "ALG3-R1", "*-01", "a", "eq")
    }
    assert found == {
        "eq1": ["EQ1-01"],
        "alg3-r": ["ALG3-R1", "ALG3-R2"],
        "ALG3-R1": ["ALG3-R1"],
        "*-01": ["EQ1-01", "EQ12-01", "A-01"],
        "a": ["A-01"],
        "eq": ["EQ1-01", "EQ12-01"],
    }
    assert len(find()) == 6
    assert [entry.id for entry in find(["A-01", "a", "EQ1-01"])] == ["EQ1-01", "A-01"]


@pytest.mark.usefixtures("registry")
def test_an_unknown_id_names_its_neighbours():
    add("TH1-01")
    with pytest.raises(UnknownCheck, match="did you mean TH1-01") as info:
        find(["TH1-10"])
    assert "TH1-01" in info.value.near
    with pytest.raises(UnknownCheck, match="verification list"):
        find(["nothing like it"])


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "th1"}, "FAMILY-NUMBER"),
        ({"level": "Q"}, "no level"),
        ({"route": "guess"}, "not made of"),
        ({"needs": ["heta"]}, "no method 'heta'"),
    ],
)
def test_a_senseless_check_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        add(changes.pop("id", "TH1-01"), **changes)


@pytest.mark.usefixtures("registry")
def test_ids_and_labels_are_unique():
    entry = add("TH1-01", cases=lambda: [case("same"), case("same")])
    with pytest.raises(ValueError, match="two checks TH1-01"):
        add("TH1-01")
    with pytest.raises(ValueError, match="same label"):
        _ = entry.cases


@pytest.mark.usefixtures("registry")
def test_cases_may_be_made_late_and_only_once():
    made = []
    entry = add("TH1-01", cases=lambda: made.append(1) or [case()])
    assert made == []
    assert entry.losses == ["toy"]
    assert [c.label for c in entry.cases] == ["one"]
    assert made == [1]


def test_the_package_exports_what_a_check_needs():
    assert {"check", "Check", "run_check", "find"} <= set(package.__all__)


# --- verdicts


def judge(entry, **methods):
    return run_check(entry, Witness(subject(**methods)))


def one(loss, x, tau):
    return 1.0


@pytest.mark.usefixtures("registry")
def test_pass_and_fail():
    entry = add("TH1-01")
    passed = judge(entry, heat=one)
    assert passed.verdict is Verdict.PASS
    assert (passed.findings_count, passed.cases_run) == (1, 1)
    assert passed.calls == {"heat": 1}
    failed = judge(entry, heat=lambda loss, x, tau: 2.0)
    assert failed.verdict is Verdict.FAIL
    assert failed.worst.error == 1.0
    assert failed.worst_case == "one"


@pytest.mark.usefixtures("registry")
def test_the_worst_finding_is_a_failure_if_there_is_one():
    def body(witness, case):
        value = witness.heat(case.loss, X, 0.5)
        yield agree("loose", value, 2, 4)
        yield agree("tight", value, 2, 0.5)
        yield agree("good", value, 1, 0)

    outcome = judge(add("TH1-01", body), heat=one)
    assert outcome.worst.what == "tight"
    assert (outcome.failures, outcome.findings_count) == (1, 3)


@pytest.mark.usefixtures("registry")
def test_not_implemented_concerns_its_case_only():
    cases = [case("quartic"), case("toy")]
    calls = iter([0, 1])

    def heat(loss, x, tau):
        if next(calls) == 0:
            raise NotImplementedError("quartic is too hard")
        return 1.0

    outcome = judge(add("TH1-01", cases=cases), heat=heat)
    assert outcome.verdict is Verdict.PASS
    assert outcome.not_run == (("quartic", "quartic is too hard"),)
    assert outcome.cases_run == 1


@pytest.mark.usefixtures("registry")
def test_not_run_says_why():
    def refuses(loss, x, tau):
        raise NotImplementedError("too hard")

    entry = add("TH1-01", cases=[case("a"), case("b")])
    assert judge(entry, heat=refuses).verdict is Verdict.NOT_RUN
    assert judge(entry, heat=refuses).message == "too hard"
    entry = add("TH1-02", needs=["heat", "heat_gradient", "local_entropy"])
    outcome = judge(entry, heat=one)
    assert outcome.verdict is Verdict.NOT_RUN
    assert (
        outcome.message == "the subject does not provide heat_gradient, local_entropy"
    )


@pytest.mark.usefixtures("registry")
def test_a_failure_before_a_case_is_given_up_counts():
    def body(witness, case):
        yield agree("heat", witness.heat(case.loss, X, 0.5), 2, 0)
        witness.heat_gradient(case.loss, X, 0.5)

    outcome = judge(add("TH1-01", body), heat=one)
    assert outcome.verdict is Verdict.FAIL
    assert outcome.not_run[0][1] == "the subject has no method heat_gradient"


@pytest.mark.usefixtures("registry")
def test_faults_fail_and_the_other_cases_go_on():
    def broken(loss, x, tau):
        raise ZeroDivisionError("oh")

    outcome = judge(add("TH1-01", cases=[case("a"), case("b")]), heat=broken)
    assert outcome.verdict is Verdict.FAIL
    assert outcome.message.startswith("a: heat raised ZeroDivisionError: oh")
    assert outcome.message.endswith("(and 1 more such cases)")


def bad_body_raises(witness, case):
    yield agree("heat", witness.heat(case.loss, X, 0.5), 1, 0)
    raise ZeroDivisionError("in the check")


def bad_body_yields_nothing(witness, case):
    witness.heat(case.loss, X, 0.5)
    yield from ()


def bad_body_never_asks(witness, case):
    yield agree("one", 1.0, 1, 0)


def bad_body_yields_something_else(witness, case):
    yield witness.heat(case.loss, X, 0.5)


def bad_body_compares_shapes(witness, case):
    yield agree("heat", witness.heat(case.loss, X, 0.5), [1, 1], 0)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    "body",
    [
        bad_body_raises,
        bad_body_yields_nothing,
        bad_body_never_asks,
        bad_body_yields_something_else,
        bad_body_compares_shapes,
    ],
)
@pytest.mark.parametrize("answer", [1.0, 2.0])
def test_a_broken_check_is_never_blamed_on_the_subject(body, answer):
    with pytest.raises(OracleFault, match="TH1-01"):
        judge(add("TH1-01", body), heat=lambda loss, x, tau: answer)


@pytest.mark.usefixtures("registry")
def test_cases_that_cannot_be_made_are_the_oracles_fault():
    with pytest.raises(OracleFault, match="has no cases"):
        judge(add("TH1-01", cases=[]), heat=one)


# --- a run


@pytest.fixture
def trusting(monkeypatch, registry):
    """A judge whose self-check passes."""
    monkeypatch.setattr(
        runner, "self_check", lambda seed: [agree("two derivations", 1.0, 1, 0)]
    )
    return registry


def judged(*entries, **methods):
    return runner.run(subject(**methods), entries, seed=7)


@pytest.mark.usefixtures("trusting")
def test_a_run_counts_levels_and_reasons():
    entries = [add("TH1-01"), add("TH1-02", needs=["kl_gaussian"])]
    report = judged(*entries, heat=one)
    assert report.exit_code == 0
    reason = "the subject does not provide kl_gaussian"
    assert report.levels["D"] == {"run": 1, "applicable": 2, "not_run": {reason: 1}}
    assert report.levels["T"] == {"run": 0, "applicable": 0, "not_run": {}}
    assert report.subject.provided == ("heat",)
    assert len(report.self_check) == 1


@pytest.mark.usefixtures("trusting")
def test_exit_codes_of_runs():
    entry = add("TH1-01", needs=["heat"])
    assert judged(entry, heat=lambda *a: 2.0).exit_code == 1
    assert judged(entry).exit_code == 5
    assert judged(heat=one).exit_code == 5
    assert judged(entry, add("TH1-02", bad_body_raises), heat=one).exit_code == 3


@pytest.mark.usefixtures("trusting")
def test_inconclusive_is_no_pass_unless_allowed(monkeypatch):
    entry = add("TH1-01")
    unsure = package.Outcome(entry, Verdict.INCONCLUSIVE)
    monkeypatch.setattr(runner, "run_check", lambda *_: unsure)
    assert judged(entry).exit_code == 6
    allowed = runner.run(subject(), [entry], seed=7, allow_inconclusive=True)
    assert allowed.exit_code == 0


@pytest.mark.usefixtures("trusting")
def test_an_interrupt_keeps_what_was_found():
    def body(witness, case):
        witness.heat(case.loss, X, 0.5)
        raise KeyboardInterrupt
        yield

    seen = []
    entries = [add("TH1-01"), add("TH1-02", body), add("TH1-03")]
    report = runner.run(subject(heat=one), entries, seed=7, on_outcome=seen.append)
    assert report.interrupted
    assert report.exit_code == 2
    assert [outcome.check.id for outcome in report.outcomes] == ["TH1-01"]
    assert list(report.outcomes) == seen
    assert report.levels["D"]["not_run"] == {"interrupted": 2}


def fails(seed):
    return [agree("two derivations", 1.0, 2, 0.5)]


def raises(seed):
    raise ZeroDivisionError("in the oracle")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("examination", [fails, raises])
def test_a_failed_self_check_stops_the_run(monkeypatch, examination):
    monkeypatch.setattr(runner, "self_check", examination)
    report = judged(add("TH1-01"), heat=one)
    assert report.exit_code == 3
    assert report.outcomes == ()
    assert "self-check failed" in report.oracle_fault


# --- the report for people


@pytest.mark.usefixtures("trusting")
def test_the_terminal_fits_a_hundred_columns(capsys):
    long = "heat is one " * 30
    entries = [
        add("TH1-01", claim=long, tolerance=long),
        add("TH1-02", needs=["kl_gaussian"], claim=long),
    ]
    terminal = Terminal()
    toy = subject(heat=lambda *a: 1 + 2**-40)
    terminal.header(runner.describe(toy), 7, entries)
    report = runner.run(toy, entries, seed=7, on_outcome=terminal.outcome)
    terminal.footer(report)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert "\033" not in text
    for words in (
        *("seed", "FAIL", "NOT-RUN", "measured", "tolerance", "D 1/2", "12.0"),
        *("does not provide kl_gaussian", "Toy does not conform: TH1-01."),
        "exit code 1",
    ):
        assert words in text


@pytest.mark.usefixtures("trusting")
def test_what_is_not_offered_is_counted_and_what_differs_is_found(capsys):
    right, wrong = np.zeros((2, 3), int), np.zeros((2, 3), int)
    wrong[1, 1:] = 4, 5

    def body(witness, case):
        witness.heat(case.loss, X, 0.5)
        yield agree("whole numbers", wrong, right, 0)

    lacking = [add(f"EQ2-0{i}", needs=["kl_gaussian"]) for i in (1, 2)]
    heat = [add("HEAT-01", needs=["kl_gaussian"])]
    last = [add("TH1-03", needs=["kl_gaussian"])]
    entries = [*lacking, *heat, add("TH1-02", body), *last]
    terminal = Terminal()
    report = runner.run(subject(heat=one), entries, seed=7, on_outcome=terminal.outcome)
    terminal.footer(report)
    text = capsys.readouterr().out
    said = "NOT-RUN       2 checks of EQ2, 1 check of HEAT: the methods they ask for"
    assert said in text
    assert "NOT-RUN       1 check of TH1: the methods it asks for are not" in text
    assert text.index("of HEAT") < text.index("TH1-02  ") < text.index("of TH1:")
    assert "2 of 6, first at [1, 1]: 4 where 0 is right" in text


@pytest.mark.usefixtures("trusting")
def test_listing_and_explanation(monkeypatch):
    mistake = SimpleNamespace(id="T01", name="sign", sentence="F without the minus")
    catalogue = SimpleNamespace(CATALOGUE={"T01": mistake})
    monkeypatch.setitem(sys.modules, "verification.mistakes", catalogue)
    entry = add("TH1-01", mistakes=["T01"], needs=["heat"])
    assert listing([entry]).startswith("TH1-01    D  (1)")
    text = explain(entry)
    for words in ("heat is one", "closed form", "toy", "T01 sign: F without the minus"):
        assert words in text
