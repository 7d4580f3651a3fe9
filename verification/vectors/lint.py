"""What is wrong with a folder of vectors, without deriving any of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from verification.checks._kit import flat, norm
from verification.errors import in_one_line, one_line
from verification.lint import degeneracies
from verification.mistakes import CATALOGUE, MARGIN
from verification.subject import UNIT_ROUNDOFF
from verification.vectors import FOLDER
from verification.vectors.canonical import as_fraction
from verification.vectors.designs import WITHDRAWN
from verification.vectors.families import FAMILIES, READINGS, most_of
from verification.vectors.reading import Vector, manifest_faults, of_document
from verification.vectors.schemas import TC_ID

__all__ = ["lint"]

#: Characters of a complaint, which may quote what it complains of.
LONGEST = 600

#: How many digits the two derivations agree on beyond those that are certified.
SPARE = 5

#: Flags without which a family hides what the flag's note says.
REQUIRED = {
    "sgld_replay": (
        *("OneDimension", "ThreeOrMore", "Coupled", "NonQuadratic", "FiniteSum"),
        *("UnevenSchedule", "NoiseScale", "MovedStart", "ManyStates", "SmallVariance"),
    ),
    "sgld_impulse": ("OneDimension", "ThreeOrMore", "Coupled", "NoDraws", "UnitDraw"),
    "rm_replay": (
        *("OneDimension", "ThreeOrMore", "Coupled", "NonQuadratic", "FiniteSum"),
        *("UnevenSchedule", "MovedStart", "InnerSamples", "SmallVariance"),
    ),
    "is_replay": (
        *("OneDimension", "ThreeOrMore", "Coupled", "NonQuadratic", "FiniteSum"),
        *("Workers", "Weights", "SmallVariance"),
    ),
    "is_extreme": ("Overflow", "SpreadWeights", "FarOut", "Workers"),
    "local_entropy": ("OneDimension", "ThreeOrMore", "Coupled", "NonQuadratic"),
    "heat": ("OneDimension", "ThreeOrMore", "Coupled", "NonQuadratic"),
    "posterior_moments": ("OneDimension", "ThreeOrMore", "Coupled", "NonQuadratic"),
    "kl_gauss": ("OneDimension", "ThreeOrMore", "Coupled", "Asymmetric"),
    "alg1_steps": ("OneDimension", "ThreeOrMore", "NonQuadratic", "SeveralUpdates"),
    "alg2_steps": ("Coupled", "NonQuadratic", "SeveralUpdates", "Bimodal", "Tie"),
    "majorizers": ("OneDimension", "ThreeOrMore", "NonQuadratic", "OfHeat"),
    "mlp": ("Hidden", "Softmax", "FiniteSum", "Gradient"),
    "schedules": ("Scoping", "PowerLaw", "PaperValues"),
    "laws": ("OneDimension", "Coupled", "UnevenSchedule", "InnerSamples", "Workers"),
}


def lint(folder: Path = FOLDER, families: Iterable[str] = FAMILIES) -> list[str]:
    """Complaints, one sentence each; none for a good folder.

    Parameters
    ----------
    folder : Path
    families : iterable of str
        Those whose files are looked into; the others only against the manifest.
    """
    return [one_line(said, LONGEST) for said in _complaints(folder, families)]


def _complaints(folder: Path, families: Iterable[str]) -> list[str]:
    if complaints := manifest_faults(folder):
        return complaints  # of one file one sentence is enough
    others = {*FAMILIES} - {*families}
    left_out = {f"{name}.json" for name in others}
    left_out |= {f"schemas/{name}_v1.schema.json" for name in others}
    documents = {}
    for place in sorted(folder.rglob("*.json")):
        name = place.relative_to(folder).as_posix()
        if name in left_out:
            continue
        try:
            text = place.read_text(encoding="utf-8")
            documents[name] = json.loads(text, parse_float=Decimal)
        except (ValueError, InvalidOperation, RecursionError) as exc:
            complaints.append(f"{name} is no JSON: {exc}")
        else:
            if not isinstance(documents[name], dict):
                complaints.append(f"{name} holds no object")
    if not complaints:
        complaints += _against_schemas(folder, documents)
    if complaints:  # what follows relies on the form
        return complaints
    ids: Counter[str] = Counter()
    for name, data in documents.items():
        plain = json.loads((folder / name).read_text(encoding="utf-8"))
        try:
            complaints += _of_count(name, data)
            complaints += _of_family(data, plain, ids) if "testGroups" in data else []
        except Exception as exc:  # of any form that a document has not
            complaints.append(f"{name} is no document of vectors: {in_one_line(exc)}")
    if missing := [name for name in families if f"{name}.json" not in documents]:
        complaints.append(f"there is no file of the family {missing[0]}")
    complaints += [f"{tc_id} stands twice" for tc_id, n in ids.items() if n > 1]
    return complaints + [
        f"{tc_id} is no id, or was withdrawn"
        for tc_id in ids
        if not re.fullmatch(TC_ID, str(tc_id)) or tc_id in WITHDRAWN
    ]


def _against_schemas(folder: Path, documents: dict[str, Any]) -> list[str]:
    """Every file against its schema, where jsonschema is installed."""
    try:
        Draft202012Validator = import_module("jsonschema").Draft202012Validator
    except ImportError:
        return []
    found = []
    for name in documents:
        data = json.loads((folder / name).read_text(encoding="utf-8"))
        if name.startswith("schemas/"):
            try:
                Draft202012Validator.check_schema(data)
            except Exception as exc:  # of jsonschema
                found.append(f"{name} is no schema: {in_one_line(exc)}")
            continue
        schema = documents.get(f"schemas/{data.get('schema', 'provenance_v1')}")
        if name == "provenance.json":
            schema = documents.get("schemas/provenance_v1.schema.json")
        if schema is None:
            found.append(f"{name} names no schema of this folder")
            continue
        for error in Draft202012Validator(_floats(schema)).iter_errors(data):
            found.append(f"{name} against its schema: {error.message[:200]}")
            break
    return found


def _floats(value: Any) -> Any:
    return json.loads(json.dumps(value, default=float))


def _of_count(name: str, data: dict[str, Any]) -> list[str]:
    if "numberOfTests" not in data or name == "manifest.json":
        return []
    count = sum(len(g["tests"]) for g in data.get("testGroups", ())) or len(
        data.get("tests", ())
    )
    said = data["numberOfTests"]
    return [] if count == said else [f"{name} has {count} tests and says {said}"]


# --- one family -----------------------------------------------------------------------


def _of_family(
    data: dict[str, Any], plain: dict[str, Any], ids: Counter[str]
) -> Iterator[str]:
    name = data["family"]
    tests = [test for group in data["testGroups"] for test in group["tests"]]
    ids.update(test["tcId"] for test in tests)
    yield from _of_notes(name, data, tests)
    for group in data["testGroups"]:
        truth = group["truth"]
        if truth["agreementDigits"] < truth["certifiedDigits"] + SPARE:
            yield f"{name}: a group agrees to too few digits: {truth}"
        exact_only = "PaperValues" not in group["tests"][0]["flags"]
        for number in _inputs(group.get("loss", {})):
            yield from _inexact(f"{name}, a loss", number, single=True)
        for test in group["tests"]:
            for number in _inputs(test["input"]):
                yield from _inexact(test["tcId"], number, single=exact_only)
            yield from _of_digits(test, truth["certifiedDigits"])
    vectors = list(of_document(plain))
    for vector in vectors:
        yield from _of_tolerances(vector)
    yield from _of_genericity(name, vectors)


def _of_notes(name: str, data: dict[str, Any], tests: list[Any]) -> Iterator[str]:
    """Flags and mistakes: defined if used, used if defined, and known."""
    flags = {flag for test in tests for flag in test["flags"]}
    wrong = {entry["mistake"] for test in tests for entry in test["mustDiffer"]}
    for what, used, defined in (
        ("flag", flags, set(data["notes"])),
        ("mistake", wrong, set(data["mistakes"])),
    ):
        yield from (f"{name}: the {what} {n} is not defined" for n in used - defined)
        yield from (f"{name}: the {what} {n} is not used" for n in defined - used)
    unknown = wrong - set(CATALOGUE) - set(READINGS)
    yield from (f"{name}: there is no mistake {n}" for n in sorted(unknown))
    unseen = set(FAMILIES[name].mistakes) - wrong
    yield from (f"{name}: no vector shows the mistake {n}" for n in sorted(unseen))
    lacking = set(REQUIRED[name]) - flags
    yield from (f"{name}: no vector is {flag}" for flag in sorted(lacking))


def _inputs(value: Any) -> Iterator[Any]:
    """The numbers of an input, as they are written."""
    if isinstance(value, dict):
        for entry in value.values():
            yield from _inputs(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _inputs(entry)
    elif isinstance(value, Decimal) or (isinstance(value, str) and "0x" in value):
        yield value


def _inexact(where: str, number: Any, single: bool) -> Iterator[str]:
    exact = as_fraction(number) if isinstance(number, str) else Fraction(number)
    if Fraction(float(exact)) != exact:
        yield f"{where}: the input {number} is not exactly a double"
    elif single and Fraction(float(np.float32(float(exact)))) != exact:
        yield f"{where}: single precision cannot hold the input {number}"


def _of_digits(test: dict[str, Any], certified: int) -> Iterator[str]:
    """Every decimal has the certified digits, and the double beside it is nearest."""
    expected = test["expected"]
    for entry in expected.get("anyOf", [expected]):
        pairs = zip(flat(entry["output"]), flat(entry["hex"]), strict=True)
        for text, double in pairs:
            if len(Decimal(text).as_tuple().digits) > certified:
                yield f"{test['tcId']}: {text} has more digits than are certified"
            if float(Fraction(text)).hex() != double:
                yield f"{test['tcId']}: {text} is not {double}"


def _of_tolerances(vector: Vector) -> Iterator[str]:
    """Tolerances are those of B, and mistakes a thousand of them away."""
    test, bound = vector.test, vector.test["bound"]
    for dtype, bits in (("float64", 64), ("float32", 32)):
        # B was rounded up, by less than one per cent
        if bound[f"tolFloat{bits}"] < 3.96 * bound["B"] * UNIT_ROUNDOFF[dtype]:
            yield f"{vector.tc_id}: tolFloat{bits} is below 4 B u"
    gap = test["nearestMistakeGapOverTol"]
    if gap is None:
        finite = [e for e in test["mustDiffer"] if e["output"] is not None]
        if finite or ("NoKnownMistake" in test["flags"]) == bool(test["mustDiffer"]):
            yield f"{vector.tc_id}: the gap of the nearest mistake is missing"
    elif gap < MARGIN:
        yield f"{vector.tc_id}: a mistake is off by {gap:g} tolerances only"
    most = most_of(vector.family)
    if len(test["mustDiffer"]) > most:
        yield f"{vector.tc_id} lists more than {most} mistakes"
    for entry in test["mustDiffer"]:
        if entry["output"] is None:
            continue
        found = _gap(vector, entry["output"]) / bound["tolFloat64"]
        if not 0.9 < found / entry["gapOverTol"] < 1.1:
            said = f"is off by {found:.2g}, not {entry['gapOverTol']}"
            yield f"{vector.tc_id}: {entry['mistake']} {said}"


def _gap(vector: Vector, output: Any) -> float:
    return min(
        norm(Fraction(a) - b for a, b in zip(flat(output), flat(right), strict=True))
        for right in vector.right
    )


def _of_genericity(name: str, vectors: list[Vector]) -> Iterator[str]:
    """What all vectors of a family have in common and should not."""
    cases = [
        SimpleNamespace(
            loss=vector.case.loss,
            x=vector.case.input.get("x", vector.case.input.get("x0")),
            tau=vector.case.input.get("tau"),
            d=vector.case.loss.d,
        )
        for vector in vectors
        if vector.case.loss is not None
    ]
    mistakes = FAMILIES[name].mistakes
    design: Any = SimpleNamespace(id=name, cases=cases, mistakes=mistakes)
    yield from (f"{name}: {special}" for special in degeneracies(design))
    steps = [np.array(v.case.input.get("step_sizes", ())) for v in vectors]
    if any(s.size for s in steps) and not any(s.size > 3 for s in steps):
        yield f"{name}: no run of more than three steps, where the pull hides"
