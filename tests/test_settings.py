"""What a training run is: its record, its name, and what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from refimpl.errors import InvalidParameter
from refimpl.experiments.settings import (
    CHOICES,
    MEANING,
    METHODS,
    Setting,
    of_section_6,
)


def test_the_settings_of_table_1() -> None:
    """Section 6.2 and the caption of Figure 4."""
    sgd, sgld, is_, hr = (
        of_section_6(method) for method in ("sgd", "sgld", "is", "hr")
    )
    for one in (sgd, sgld, is_, hr):
        assert (one.sizes, one.updates, one.batch) == ((784, 200, 10), 500, 20)
        assert (one.held_out, one.data, one.reduction) == (1000, "mnist", "mean")
    assert sgd.learning_rate == sgld.tau == is_.tau == hr.tau == 0.01
    assert (sgld.J, is_.J, hr.J, hr.M) == (1000, 1000, 30, 30)
    assert (sgld.epsilon, hr.a) == (1000.0, (0.1, 0.7))
    assert {one.noise for one in (sgld, is_, hr)} == {"variance"}
    assert {one.output for one in (sgld, is_, hr)} == {"literal"}


OTHERS = [
    of_section_6("sgd", seed=3, learning_rate=1, pixels="standardised"),
    of_section_6("sgld", tau=(1.5, 0.01), origin=1, start="previous"),
    of_section_6("sgld", minibatch="per-gradient", in_span=False, chain="new-states"),
    of_section_6("sgld", output="controlled", learning_rate=0.02),
    of_section_6("is", data="digits", reduction="sum", noise="standard-deviation"),
    of_section_6("is", output="rao-blackwell", held_out_drawn="each-time"),
    of_section_6("hr", sizes=(784, 10), sgd_before=7, sgd_rate=0.5, a=(1, 1)),
    of_section_6("hr", initialisation="normal:0.3", activation="sigmoid"),
]


@pytest.mark.parametrize("setting", OTHERS, ids=lambda one: one.slug)
def test_a_setting_comes_back_from_json(setting: Setting) -> None:
    text = setting.to_json()
    assert "\n" not in text
    again = Setting.from_json(text)
    assert again == setting
    assert (again.slug, again.to_json()) == (setting.slug, text)


def test_a_name_does_not_change_from_version_to_version() -> None:
    """A stored record is found by it."""
    assert of_section_6("sgd").slug == "sgd-mnist-seed-0-6a06d25fe8c1"
    assert of_section_6("hr", seed=4).slug.startswith("hr-mnist-seed-4-")


def test_numbers_are_what_counts_not_how_they_are_written() -> None:
    one = of_section_6("sgld", tau=1, epsilon=1000, sizes=[784, 10])
    assert one == of_section_6("sgld", tau=1.0, epsilon=1000.0, sizes=(784, 10))
    assert one.to_json() == replace(one, tau=1.0).to_json()
    pair = of_section_6("sgld", tau=[1, 0])
    assert pair.tau == (1.0, 0.0)
    assert isinstance(pair.tau, tuple)


VARIED: dict[str, Any] = {
    "method": "is",
    "data": "digits",
    "sizes": (784, 7, 10),
    "activation": "relu",
    "loss": "squared",
    "reduction": "sum",
    "initialisation": "he-normal",
    "pixels": "standardised",
    "updates": 2,
    "batch": 2,
    "minibatch": "per-gradient",
    "learning_rate": 0.3,
    "tau": 0.2,
    "origin": 1,
    "J": 2,
    "M": 3,
    "epsilon": 3.0,
    "a": (0.2, 0.7),
    "start": "centre",
    "chain": "new-states",
    "noise": "standard-deviation",
    "output": "rao-blackwell",
    "in_span": False,
    "sgd_before": 2,
    "sgd_rate": 0.3,
    "held_out": 2,
    "held_out_drawn": "each-time",
    "evaluate_every": 2,
    "seed": 1,
}
AFTER_SGD = {"sgd_before": 1, "sgd_rate": 0.2}
BASE = {
    "minibatch": {"in_span": False},
    "sgd_before": AFTER_SGD,
    "sgd_rate": AFTER_SGD,
}


@pytest.mark.parametrize("name", [one.name for one in fields(Setting)])
def test_every_field_tells_settings_apart(name: str) -> None:
    changed = {**BASE.get(name, {}), name: VARIED[name]}
    method = changed.pop("method", "hr" if name in ("M", "a") else "sgld")
    base = of_section_6("hr" if method == "hr" else "sgld", **BASE.get(name, {}))
    other = of_section_6(method, **changed)
    assert getattr(other, name) == VARIED[name] != getattr(base, name)
    assert other.slug != base.slug


def test_every_field_has_a_meaning() -> None:
    assert list(MEANING) == [one.name for one in fields(Setting)] == list(VARIED)
    assert set(CHOICES) < set(MEANING)


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("adam", {}, "method must be one of sgd, sgld, is, hr, got 'adam'"),
        ("sgd", {"colour": 1}, "no field 'colour'"),
        ("sgd", {"data": "letters"}, "data must be one of mnist, digits"),
        ("sgd", {"data": None}, "sgd needs data"),
        ("sgd", {"learning_rate": None}, "sgd needs learning_rate"),
        ("sgd", {"learning_rate": 0.0}, "learning_rate must be positive"),
        ("sgd", {"tau": 0.1}, "tau says nothing to sgd: leave it out"),
        ("is", {"M": 3}, "M says nothing to is"),
        ("hr", {"epsilon": 3.0}, "epsilon says nothing to hr"),
        ("hr", {"M": None}, "hr needs M"),
        ("sgld", {"tau": 0}, "tau must be positive"),
        ("sgld", {"tau": "small"}, "tau must be"),
        ("sgld", {"tau": (1.5, -1.0)}, "tau1 must exceed -1"),
        ("sgld", {"tau": (1.5, 0.1, 0.1)}, "tau must be two numbers"),
        ("sgld", {"tau": float("nan")}, "tau must be finite"),
        ("sgld", {"epsilon": -1.0}, "c must exceed -1"),
        ("sgld", {"J": 0}, "J must be at least 1"),
        ("sgld", {"J": True}, "J must be a whole number"),
        ("sgld", {"seed": -1}, "seed must be at least 0"),
        ("sgld", {"in_span": 1}, "in_span must be true or false"),
        ("sgld", {"minibatch": "per-gradient"}, "in_span must be false"),
        ("is", {"minibatch": "per-gradient", "in_span": False}, "only under one"),
        ("is", {"output": "controlled"}, "of sgld alone, not of is"),
        ("is", {"output": "rao-blackwell", "in_span": False}, "needs in_span"),
        ("hr", {"a": 0.1}, "a must be two numbers"),
        ("hr", {"a": (0.0, 0.7)}, "c must be positive"),
        ("hr", {"sizes": "784-10"}, "sizes must be whole numbers"),
        ("hr", {"sizes": (784, 0, 10)}, "each of sizes must be at least 1"),
        ("hr", {"sizes": (64, 10)}, "must begin with 784 and end with 10 for mnist"),
        ("hr", {"sizes": (784, 9)}, "must begin with 784 and end with 10"),
        ("hr", {"initialisation": "xavier"}, "no initialisation is named 'xavier'"),
        ("hr", {"sgd_before": 3}, "sgd_before and sgd_rate go together"),
        ("hr", {"sgd_rate": 0.1}, "sgd_before and sgd_rate go together"),
    ],
)
def test_what_is_no_setting(method: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        of_section_6(method, **changes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def edited(**changes: Any) -> str:
    return json.dumps({**asdict(of_section_6("sgd")), **changes})


def without(name: str) -> str:
    values = asdict(of_section_6("sgd"))
    del values[name]
    return json.dumps(values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a setting"),
        ("[]", "not a setting"),
        ("{}", "not a setting"),
        (edited(colour=1), "not a setting"),
        (without("seed"), "not a setting"),
        (edited(seed="0"), "seed must be a whole number"),
        (edited(seed=1.0), "seed must be a whole number"),
        (edited(method=["sgd"]), "method must be one of"),
        (edited(learning_rate=float("inf")), "learning_rate must be finite"),
        (edited(in_span=False), "in_span says nothing to sgd"),
    ],
)
def test_what_json_is_no_setting(text: str, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        Setting.from_json(text)


def test_work_is_counted_in_evaluations() -> None:
    assert [of_section_6(method).work(10) for method in METHODS] == [
        *(10, 10_000, 10_000, 9_000)
    ]
    after = of_section_6("sgld", sgd_before=500, sgd_rate=0.01)
    assert (after.work(400), after.work(501), after.total) == (400, 1500, 1000)
