"""Files of answers that a judge must refuse, or must fail, each with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from verification.vectors import VERSION
from verification.vectors.canonical import nested

__all__ = ["SOURCES", "negative"]

#: The families whose vectors are answered wrongly.
SOURCES = ("alg2_steps", "is_extreme", "kl_gauss", "posterior_moments", "sgld_replay")

FAILS, REFUSED, NOTHING = 1, 4, 5

NOTES = {
    "Malformed": {
        "bugType": "FORM",
        "description": "not a file of answers",
        "effect": "nothing may be judged, and no answer be called right",
        "links": [],
    },
    "WrongShape": {
        "bugType": "FORM",
        "description": "an answer that is not of the shape asked for",
        "effect": "a broadcast comparison would accept it",
        "links": [],
    },
    "NotFinite": {
        "bugType": "VALUE",
        "description": "infinity or NaN for an answer",
        "effect": "a comparison by > accepts NaN",
        "links": [],
    },
    "WrongValue": {
        "bugType": "VALUE",
        "description": "a finite answer that is off",
        "effect": "a tolerance that is too wide accepts it",
        "links": [],
    },
    "Empty": {
        "bugType": "FORM",
        "description": "no answer at all",
        "effect": "a judge that counts failures alone calls it success",
        "links": [],
    },
}


def _file(*answers: tuple[str, Any], **more: Any) -> str:
    """A file of answers as text."""
    data = {
        "answersVersion": 1,
        "subject": "negative",
        "dtype": "float64",
        "answers": [{"tcId": name, "output": output} for name, output in answers],
    }
    return json.dumps({**data, **more})


def _doubles(test: dict[str, Any]) -> Any:
    """The right answer of a test in doubles."""
    return nested(float.fromhex, test["expected"]["hex"])


def _moved(value: Any, by: float) -> Any:
    """The first number of nested lists moved."""
    if isinstance(value, list):
        return [_moved(value[0], by), *value[1:]]
    return value + by


def _tests(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [test for group in data["testGroups"] for test in group["tests"]]


def _finite(test: dict[str, Any]) -> list[dict[str, Any]]:
    """The wrong answers of a test that are finite."""
    return [entry for entry in test["mustDiffer"] if entry["output"] is not None]


Entry = tuple[str, str, int, str]


def _malformed(name: str, value: Any) -> Iterator[Entry]:
    whole = _file((name, value))
    fresh = json.loads(whole)
    yield "Malformed", "", REFUSED, "an empty file"
    yield "Malformed", "x_1 = 0.25\n", REFUSED, "no JSON"
    yield "Malformed", whole[:-9], REFUSED, "JSON that ends too early"
    yield "Malformed", "[]", REFUSED, "a list in place of an object"
    yield "Malformed", json.dumps({name: value}), REFUSED, "answers without a header"
    yield "Malformed", _file((name, value), answersVersion=2), REFUSED, "version 2"
    yield "Malformed", _file((name, value), dtype="bfloat16"), REFUSED, "unknown dtype"
    yield "Malformed", _file((name, value), answers={}), REFUSED, "answers no list"
    yield "Malformed", _file((name, value), note="!"), REFUSED, "an unknown key"
    yield "Malformed", _file(("kl-d9-0001", 0.5)), REFUSED, "an unknown id"
    twice = _file((name, value), (name, value))
    yield "Malformed", twice, REFUSED, "an id that is answered twice"
    entry = {"tcId": name, "output": value, "error": 0}
    yield "Malformed", json.dumps({**fresh, "answers": [entry]}), REFUSED, "more keys"
    doubled = whole.replace('"dtype"', '"subject": "other", "dtype"')
    yield "Malformed", doubled, REFUSED, "a key that stands twice"
    yield "Malformed", _file((name, "about 0.5")), REFUSED, "text for a number"
    yield "Malformed", _file((name, True)), REFUSED, "true for a number"
    yield "Malformed", _file((name, {"value": 0.5})), REFUSED, "an object for a number"
    yield "Empty", _file(), NOTHING, "no answers"
    yield "Empty", _file((name, None)), NOTHING, "null for an answer: not answered"


def _wrong(tests: dict[str, dict[str, Any]]) -> Iterator[Entry]:
    kl, chain = tests["kl_gauss"], tests["sgld_replay"]
    name, value = kl["tcId"], _doubles(kl)
    yield "WrongShape", _file((name, [value])), FAILS, "a list for a number"
    output = _doubles(chain)
    for wrong, reason in (
        (output[0], "a number for a list"),
        (output[:-1], "one entry is missing"),
        ([*output, 0.0], "one entry too many"),
        ([output], "one list too many around it"),
        ([[v] for v in output], "a column for a row"),
        ([output, *output], "ragged lists"),
        ([], "an empty list"),
    ):
        yield "WrongShape", _file((chain["tcId"], wrong)), FAILS, reason
    nan = _file((name, "NUMBER"))
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        text = nan.replace('"NUMBER"', word)
        yield "NotFinite", text, FAILS, f"{word} for an answer"
    yield "NotFinite", _file((name, "nan")), FAILS, "NaN as text"
    near = 20 * kl["bound"]["tolFloat64"]
    yield "WrongValue", _file((name, value + near)), FAILS, "off by 20 tolerances"
    yield "WrongValue", _file((name, 0)), FAILS, "zero"
    yield "WrongValue", _file((name, -value)), FAILS, "the wrong sign"
    six = float(f"{value:.6g}")
    yield "WrongValue", _file((name, six)), FAILS, "printed with six digits"
    single = _moved(output, 20 * chain["bound"]["tolFloat32"])
    text = _file((chain["tcId"], single), dtype="float32")
    yield "WrongValue", text, FAILS, "off by 20 tolerances of single precision"
    for family, test in tests.items():
        wrong = _finite(test)[0]
        reason = f"the answer of a known mistake, {wrong['mistake']}, in {family}"
        yield "WrongValue", _file((test["tcId"], wrong["output"])), FAILS, reason


def negative(sources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The document of the negative vectors.

    Parameters
    ----------
    sources : dict
        The documents of `SOURCES`; of each the first test that lists a mistake is
        answered wrongly.
    """
    tests = {name: next(filter(_finite, _tests(sources[name]))) for name in SOURCES}
    kl = tests["kl_gauss"]
    entries = [*_malformed(kl["tcId"], _doubles(kl)), *_wrong(tests)]
    return {
        "schema": "negative_v1.schema.json",
        "suiteVersion": VERSION,
        "numberOfTests": len(entries),
        "notes": NOTES,
        "tests": [
            {
                "tcId": f"negative-{number:04d}",
                "flags": [flag],
                "text": text,
                "exitCode": code,
                "reason": reason,
            }
            for number, (flag, text, code, reason) in enumerate(entries, 1)
        ],
    }
