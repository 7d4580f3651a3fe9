"""The vectors: derived anew, linted, answered rightly and wrongly."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_replay_checks import READINGS, Regrouped

from verification.__main__ import main
from verification.adapter import Refimpl
from verification.checks import Check, Verdict, find, run_check
from verification.errors import (
    NotRun,
    OracleFault,
    SubjectFault,
    UsageError,
)
from verification.files import draft
from verification.losses import KINDS
from verification.mistakes import CATALOGUE, planted
from verification.runner import ExitCode
from verification.subject import CONVENTIONS, Witness
from verification.vectors import FOLDER, certified, families, routes
from verification.vectors.asking import METHODS, ask
from verification.vectors.canonical import (
    as_fraction,
    compact,
    digits,
    nested,
    rounded_up,
    stable,
    written,
)
from verification.vectors.designs import DESIGNS, WITHDRAWN
from verification.vectors.export import TEMPLATE, export, template
from verification.vectors.families import FAMILIES, numbered_cases, vector
from verification.vectors.flags import NOTES
from verification.vectors.generate import (
    NEGATIVE,
    differences,
    documents,
    manifest,
    write,
)
from verification.vectors.judge import exit_code, judge, read
from verification.vectors.lint import lint
from verification.vectors.reading import Vector, load, manifest_faults
from verification.vectors.schemas import LOSSES
from verification.vectors.truthful import Truthful

ROOT = Path(__file__).resolve().parents[1]


@cache
def vectors() -> dict[str, list[Vector]]:
    return load()


@cache
def by_id() -> dict[str, Vector]:
    return {v.tc_id: v for each in vectors().values() for v in each}


def file_of(answers: dict[str, Any], **more: Any) -> str:
    entries = [{"tcId": name, "output": output} for name, output in answers.items()]
    head = {"answersVersion": 1, "subject": "mine", "dtype": "float64"}
    return json.dumps({**head, "answers": entries, **more})


def judged(text: str) -> Any:
    return judge(vectors(), read([("answers.json", text)], by_id()))


def right_answers(kind: Callable[[str], Any] = float.fromhex) -> dict[str, Any]:
    """The expected doubles of every vector; of several the last."""
    found = {}
    for name, v in by_id().items():
        expected = v.test["expected"]
        found[name] = nested(kind, expected.get("anyOf", [expected])[-1]["hex"])
    return found


# --- as they are


def test_nothing_is_wrong_with_the_vectors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["vectors", "lint"]) == 0
    assert capsys.readouterr().out == "no complaints\n"


def test_there_are_enough_of_them_and_not_too_large() -> None:
    assert 1100 <= len(by_id()) <= 1400
    assert {*vectors()} == {*FAMILIES} == {*DESIGNS} == {*METHODS}
    size = sum(place.stat().st_size for place in FOLDER.rglob("*.json"))
    assert size < 1_500_000


@pytest.mark.parametrize("page", ["docs/vectors.md", "README.md", "docs/changelog.md"])
def test_the_documentation_counts_what_there_is(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    told = re.findall(r"([\d,]+)\s+(?:test vectors|inputs with|language-neutral)", text)
    assert [number.replace(",", "") for number in told] == [str(len(by_id()))]


def test_the_manifest_counts_what_a_judge_must_refuse_as_well() -> None:
    total = json.loads((FOLDER / "manifest.json").read_text())["numberOfTests"]
    assert total == len(by_id()) + len(negatives())
    page = (ROOT / "docs" / "vectors.md").read_text(encoding="utf-8")
    sentence = (
        f"`numberOfTests` of the manifest, {total:,}, counts these {len(negatives())}"
    )
    assert sentence in " ".join(page.split())


def test_the_derived_parts_are_current() -> None:
    files = documents([])
    assert NEGATIVE in files
    assert differences(files) == []


def sample(name: str) -> list[tuple[int, str, Any]]:
    """Three vectors of a family, none of which takes seconds to derive."""
    each = [
        (place, tc_id, case)
        for place, (tc_id, case) in enumerate(numbered_cases(name))
        if tc_id not in WITHDRAWN and case.digits == 30 and "rare" not in tc_id
    ]
    return [each[i * (len(each) - 1) // 3] for i in (0, 1, 2)]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_sample_is_derived_to_the_same_bytes(name: str) -> None:
    document = json.loads((FOLDER / f"{name}.json").read_text())
    for place, tc_id, case in sample(name):
        test, truth = vector(name, tc_id, case, place)
        groups = [
            group
            for group in document["testGroups"]
            if any(other["tcId"] == tc_id for other in group["tests"])
        ]
        stored = next(t for t in groups[0]["tests"] if t["tcId"] == tc_id)
        assert compact(test) == compact(stored)
        assert truth == groups[0]["truth"]
        assert groups[0]["conventions"] == case.conventions


@pytest.mark.slow
def test_all_of_them_are_derived_to_the_same_bytes() -> None:
    assert differences(documents()) == []


def test_every_vector_says_what_is_special_about_it() -> None:
    carried = {flag for v in by_id().values() for flag in v.test["flags"]}
    assert carried == set(NOTES)
    for v in by_id().values():
        assert v.test["flags"], v.tc_id
        assert set(v.case.conventions) <= set(CONVENTIONS)


def test_a_mistake_without_an_answer_really_has_none() -> None:
    for v in by_id().values():
        for entry in v.test["mustDiffer"]:
            if entry["output"] is None:
                faulty = Witness(planted(CATALOGUE[entry["mistake"]], Truthful()))
                with pytest.raises(SubjectFault) as caught:
                    ask(faulty, v.family, v.case)
                cause = caught.value.__cause__
                assert not isinstance(cause, TypeError | AttributeError)


def test_a_mistake_that_breaks_is_a_defect_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*given: Any, **options: Any) -> Any:
        raise TypeError("ours")

    tc_id, case = next(numbered_cases("kl_gauss"))
    monkeypatch.setattr(Truthful, "kl_gaussian", broken)
    with pytest.raises(SubjectFault, match="TypeError: ours"):
        vector("kl_gauss", tc_id, case, 0)


def test_the_schemas_know_all_losses() -> None:
    assert set(LOSSES) == set(KINDS)


def test_no_mistake_is_near() -> None:
    gaps = [v.test["nearestMistakeGapOverTol"] for v in by_id().values()]
    finite = [gap for gap in gaps if gap is not None]
    assert min(finite) >= 1e3
    assert len(finite) > 0.97 * len(gaps)


# --- broken on purpose


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "v1"))


def listed_anew(folder: Path) -> None:
    """The manifest of whatever is there."""
    apart = {"manifest.json", "provenance.json"}
    names = {f.relative_to(folder).as_posix() for f in folder.rglob("*.json")} - apart
    files = {name: (folder / name).read_bytes() for name in sorted(names)}
    (folder / "manifest.json").write_bytes(manifest(files))


def changed(
    folder: Path, change: Callable[[dict[str, Any]], None], name: str = "kl_gauss"
) -> list[str]:
    """The complaints about a family that was changed, its manifest made to fit."""
    place = folder / f"{name}.json"
    data = json.loads(place.read_text())
    change(data)
    place.write_text(json.dumps(data))
    listed_anew(folder)
    return lint(folder, [name])


def first(data: dict[str, Any]) -> dict[str, Any]:
    test: dict[str, Any] = data["testGroups"][0]["tests"][0]
    return test


def put(value: Any, *path: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        at: Any = data
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return change


GROUP = ("testGroups", 0)
TEST = (*GROUP, "tests", 0)

BROKEN = [
    (put("0.123456789012345678901234567890", *TEST, "expected", "output"), "is not 0x"),
    (put("kl-d1-0002", *TEST, "tcId"), "kl-d1-0002 stands twice"),
    (put("kl-d1-0015", *TEST, "tcId"), "was withdrawn"),
    (put(["Asymmetric"], *TEST, "flags"), ""),
    (put(["Unheard"], *TEST, "flags"), "the flag Unheard is not defined"),
    (put(0.1, *TEST, "input", "cov0", 0, 0), "0.1 is not exactly a double"),
    (put("0x1.0000000000001p+0", *TEST, "input", "cov0", 0, 0), "single precision"),
    (put(34, *GROUP, "truth", "agreementDigits"), "agrees to too few digits"),
    (put(999.0, *TEST, "nearestMistakeGapOverTol"), "less than the minimum of 1000"),
    (put(5e4, *TEST, "mustDiffer", 0, "gapOverTol"), "is off by"),
    (put("T01", *TEST, "mustDiffer", 0, "mistake"), "the mistake T01 is not defined"),
    (put(1e-30, *TEST, "bound", "tolFloat64"), "tolFloat64 is below 4 B u"),
    (put(7, "numberOfTests"), "says 7"),
    (put(1, *TEST, "more"), "Additional properties are not allowed"),
    (put("0.5x", *TEST, "expected", "output"), "against its schema"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_the_lint_bites(
    copy: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    complaints = changed(copy, change)
    if not said:  # one flag fewer is no fault as long as others carry it
        assert complaints == []
        return
    assert any(said in sentence for sentence in complaints), complaints


def test_an_unused_flag_is_found(copy: Path) -> None:
    note = {"bugType": "X", "description": "", "effect": "", "links": []}
    complaints = changed(copy, put(note, "notes", "Unused"))
    assert complaints == ["kl_gauss: the flag Unused is not used"]


def test_a_family_that_has_too_much_in_common_is_found(copy: Path) -> None:
    def only_two(data: dict[str, Any]) -> None:
        data["testGroups"] = [
            group for group in data["testGroups"] if "d2" in group["tests"][0]["tcId"]
        ]

    complaints = changed(copy, only_two, "heat")
    assert "heat: d = 2 throughout" in complaints


def test_another_file_than_the_manifest_says_is_found(copy: Path) -> None:
    place = copy / "kl_gauss.json"
    text = place.read_text()
    place.write_text(text.replace('"output":"0.', '"output":"0.0', 1))
    (copy / "schemas" / "heat_v1.schema.json").unlink()
    (copy / "more.json").write_text("{}")
    assert manifest_faults(copy) == [
        "more.json is not in the manifest",
        "kl_gauss.json is not the file that the manifest describes",
        "schemas/heat_v1.schema.json is in the manifest and not in the folder",
    ]
    assert lint(copy, [])
    with pytest.raises(OracleFault, match=r"more\.json"):
        load(copy)


def test_a_changed_digit_is_found_by_comparing(copy: Path) -> None:
    files = documents(["kl_gauss"])
    assert differences(files, copy) == []
    place = copy / "kl_gauss.json"
    lines = place.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if '"tcId":"kl-d2-0003"' in line)
    lines[at] = re.sub(r'(?<="output":"\d\.\d{20})\d', "x", lines[at])
    place.write_text("\n".join(lines) + "\n")
    assert differences(files, copy) == ["kl_gauss.json differs: kl-d2-0003"]


def test_a_published_value_changes_with_an_erratum_only(copy: Path) -> None:
    place = copy / "kl_gauss.json"
    data = json.loads(place.read_text())
    tc_id, before = first(data)["tcId"], first(data)["expected"]["output"]
    first(data)["expected"]["output"] = "0.5"
    place.write_text(json.dumps(data))
    files = documents(["kl_gauss"])
    with pytest.raises(OracleFault, match=rf"{tc_id} of kl_gauss.json would change"):
        write(files, copy)
    errata = json.loads((copy / "errata.json").read_text())
    errata["errata"].append(
        {
            "tcId": tc_id,
            "suiteVersion": "1.0.1",
            "what": "the second half of the digits",
            "old": "0.5",
            "new": before,
            "affected": "nobody",
        }
    )
    (copy / "errata.json").write_text(json.dumps(errata))
    write(files, copy)
    assert lint(copy, ["kl_gauss"]) == []


def test_a_vanished_vector_needs_an_erratum(copy: Path) -> None:
    data = json.loads((copy / "kl_gauss.json").read_text())
    data["testGroups"][0]["tests"].pop()
    with pytest.raises(OracleFault, match="ids are for ever"):
        write({"kl_gauss.json": json.dumps(data).encode()}, copy)


# --- two derivations


def test_a_wrong_derivation_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, case = next(numbered_cases("kl_gauss"))
    right, slip = routes.divergence, routes.mp.mpf(10) ** -30
    monkeypatch.setattr(routes, "divergence", lambda *a: right(*a) + slip)
    with pytest.raises(ArithmeticError, match="36 are claimed"):
        certified.answer("kl_gauss", case)


def test_a_mistake_that_is_too_near_is_no_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tc_id, case = next(numbered_cases("kl_gauss"))
    monkeypatch.setattr(families, "MARGIN", 1e300)
    with pytest.raises(ArithmeticError, match="T07 is off by"):
        vector("kl_gauss", tc_id, case, 0)


def test_unsettled_integrals_are_no_truth() -> None:
    with pytest.raises(ArithmeticError, match="not settled"):
        routes.trapezoid(lambda s: [abs(s)], -1.0, 1.0, 0.5)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 0.75, 0.7, 2.625])
def test_powers_by_square_roots(exponent: float) -> None:
    power = routes.power(7, exponent)
    assert abs(power / routes.mp.power(7, exponent) - 1) < 1e-55


# --- text


def test_numbers_are_written_exactly() -> None:
    values = [0.5, 0.1, 3, None, "power", [2.0**-40, -0.375], np.array([1.0])]
    assert written(values) == [
        *(0.5, "0x1.999999999999ap-4", 3, None, "power"),
        *(["0x1.0000000000000p-40", -0.375], [1.0]),
    ]
    assert digits(as_fraction("0x1.8p-1") / 3, 5) == "0.25000"[: len("0.25")]
    assert digits(as_fraction("-1") / 3, 5) == "-0.33333"
    assert rounded_up(0.12341) == 0.124
    assert stable(0.123456789012, 1.0) == 0.12345678901
    assert stable(0.123456789015, 1.0) is None
    assert stable(-1e-14, 1.0) == stable(0.0, 0.0) == 0.0
    assert stable(float("inf"), 1.0) is None


# --- judged


def test_the_right_answers_pass() -> None:
    for kind in (float.fromhex, str, str.upper):  # as %a of C writes it, and %A
        verdicts = judged(file_of(right_answers(kind)))
        assert {verdict.word for verdict in verdicts} == {"PASS"}
        assert exit_code(verdicts) is ExitCode.CONFORMS
        assert all(len(verdict.judged) == verdict.total for verdict in verdicts)


def test_the_right_answers_in_single_precision_pass_as_such() -> None:
    single = right_answers(lambda text: float(np.float32(float.fromhex(text))))
    assert exit_code(judged(file_of(single, dtype="float32"))) is ExitCode.CONFORMS
    assert exit_code(judged(file_of(single))) is ExitCode.FAILS


def test_several_minimisers_are_right() -> None:
    tied = [v for v in by_id().values() if len(v.right) > 1]
    assert tied
    for v in tied:
        for entry in v.test["expected"]["anyOf"]:
            output = nested(float.fromhex, entry["hex"])
            assert exit_code(judged(file_of({v.tc_id: output}))) is ExitCode.CONFORMS


def test_refimpl_answers_rightly() -> None:
    witness, answers, left_out = Witness(Refimpl()), {}, []
    for name, v in by_id().items():
        try:
            answers[name] = np.asarray(ask(witness, v.family, v.case)).tolist()
        except NotRun:
            left_out.append(v)
    assert [v.tc_id for v in left_out if not v.case.conventions] == []
    assert len(answers) > 1200
    verdicts = judged(file_of(answers))
    failures = [one for verdict in verdicts for one in verdict.failures]
    assert failures == []


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answers_of_mistakes_fail_and_are_named(name: str) -> None:
    for mistake in FAMILIES[name].mistakes:
        faulty = Witness(planted(CATALOGUE[mistake], Truthful()))
        telling = [
            v
            for v in vectors()[name]
            if any(e["mistake"] == mistake for e in v.test["mustDiffer"])
            and not v.case.conventions
            and v.case.digits == 30
        ]
        assert telling, mistake
        answers = {}
        for v in telling[:2]:
            entry = next(e for e in v.test["mustDiffer"] if e["mistake"] == mistake)
            answers[v.tc_id] = "nan"
            if entry["output"] is not None:
                answers[v.tc_id] = np.asarray(ask(faulty, name, v.case)).tolist()
            elif v.right and isinstance(v.right[0], list):
                answers[v.tc_id] = nested(lambda _: "nan", v.right[0])
        verdict = next(v for v in judged(file_of(answers)) if v.family == name)
        assert len(verdict.failures) == len(answers)
        assert (mistake, len(answers), len(answers)) in verdict.named()


@pytest.mark.parametrize("check", find(["VEC"]), ids=lambda check: check.id)
def test_a_run_fails_the_mistakes_that_the_vectors_tell(check: Check) -> None:
    for mistake in check.mistakes:
        faulty = Witness(planted(CATALOGUE[mistake], Refimpl()))
        outcome = run_check(check, faulty, until_failure=True)
        assert outcome.verdict is Verdict.FAIL, mistake


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_who_declares_a_reading_is_asked_the_vectors_of_it(
    reading: dict[str, str],
) -> None:
    ((key, value),) = reading.items()
    named = {key.replace("__", "."): value}
    witness = Witness(Regrouped(**reading))
    asked = set()
    for check in find(["VEC"]):
        outcome = run_check(check, witness)
        assert outcome.verdict is not Verdict.FAIL, outcome
        left = {label for label, _ in outcome.not_run}
        asked |= {case.label for case in check.cases} - left
    theirs = {
        one.tc_id
        for vectors_ in vectors().values()
        for one in vectors_
        if one.case.conventions == named
    }
    assert theirs <= asked
    assert (theirs != set()) == (key not in ("loss__reduction", "minibatch"))


def test_a_run_asks_every_family() -> None:
    asked = {case.more["vector"].family for c in find(["VEC"]) for case in c.cases}
    assert asked == set(vectors()) == set(FAMILIES)


def test_the_other_reading_is_named() -> None:
    for v in by_id().values():
        for entry in v.test["mustDiffer"]:
            if entry["mistake"].startswith("reading:"):
                verdicts = judged(file_of({v.tc_id: entry["output"]}))
                named = [one for verdict in verdicts for one in verdict.named()]
                assert named == [(entry["mistake"], 1, 1)]


def negatives() -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = json.loads((FOLDER / NEGATIVE).read_text())["tests"]
    return tests


@pytest.mark.parametrize("test", negatives(), ids=lambda test: test["reason"])
def test_what_must_be_refused_is_refused(test: dict[str, Any]) -> None:
    sentence = ""
    try:
        code = exit_code(judged(test["text"]))
    except UsageError as refusal:
        sentence, code = str(refusal), ExitCode.USAGE
    assert code == test["exitCode"]
    assert "\n" not in sentence


@pytest.mark.parametrize("dtype", ['["float64"]', "{}", "null"])
def test_a_dtype_is_text(dtype: str) -> None:
    with pytest.raises(UsageError, match="dtype must be"):
        judged(file_of({"kl-d1-0001": 0.5}).replace('"float64"', dtype))


def test_lists_in_lists_are_refused_or_wrong() -> None:
    deep = file_of({"kl-d1-0001": 0.5}).replace("0.5", "[" * 900 + "0.5" + "]" * 900)
    try:
        code = exit_code(judged(deep))
    except UsageError:
        code = ExitCode.USAGE
    assert code in (ExitCode.FAILS, ExitCode.USAGE)


def test_a_huge_number_is_a_wrong_answer() -> None:
    text = file_of({"kl-d1-0001": 0.5}).replace("0.5", "1e1000000")
    assert exit_code(judged(text)) == ExitCode.FAILS


def test_several_files_are_one_answer() -> None:
    one, two = ({name: 0.5} for name in ("kl-d1-0001", "kl-d1-0002"))
    read([("a", file_of(one)), ("b", file_of(two))], by_id())
    with pytest.raises(UsageError, match="b: kl-d1-0001 is answered twice"):
        read([("a", file_of(one)), ("b", file_of(one))], by_id())
    files = [("a", file_of(one)), ("b", file_of(two, dtype="float32"))]
    with pytest.raises(UsageError, match="not that of the files before"):
        read(files, by_id())


# --- the command


def test_export_answer_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["vectors", "export", "vectors"]) == 0
    exported = tmp_path / "vectors"
    assert (exported / TEMPLATE).read_text() == template()
    assert manifest_faults(exported) == ["answers.json is not in the manifest"]
    assert main(["vectors", "judge", "vectors/answers.json"]) == 5
    assert main(["vectors", "export", "vectors"]) == 4
    assert "is not an empty folder" in capsys.readouterr().err
    page = (ROOT / "docs" / "vectors.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    line = re.findall(r"^kl_gauss +PASS.*$", page, re.M)[0]
    exec(example, {})
    assert main(["vectors", "judge", "vectors/answers.json"]) == 0
    assert line in capsys.readouterr().out.splitlines()
    exec(example.replace("cov0 / cov1\n", "cov1 / cov0\n"), {})
    assert main(["vectors", "judge", "vectors/answers.json"]) == 1


@pytest.mark.parametrize("there", [False, True], ids=["new", "empty"])
def test_an_export_that_is_killed_hinders_no_other(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many files: a new folder is not there, an empty one is no vectors'."""
    small, place = small_folder(tmp_path), tmp_path / "out" / "vectors"
    count = len(list(small.rglob("*.json")))
    for files in range(count + 1):
        if there:
            place.mkdir(parents=True, exist_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr("verification.vectors.export.replace", interrupted(files))
            with pytest.raises(KeyboardInterrupt):
                export(str(place), small)
        assert place.exists() == there
        assert not (place / TEMPLATE).exists()
        if files < count:
            assert not (place / "manifest.json").exists()
    left = draft(place)  # of a process of this number
    left.mkdir(parents=True)
    (left / "odd.json").touch()
    assert export(str(place), small) == count + 1
    assert (place / TEMPLATE).read_text() == template(small)
    names = {f.relative_to(place).as_posix() for f in place.rglob("*") if f.is_file()}
    assert names == {f.relative_to(small).as_posix() for f in small.rglob("*.json")} | {
        TEMPLATE
    }
    assert all(
        (place / name).read_bytes() == (small / name).read_bytes()
        for name in names - {TEMPLATE}
    )
    with pytest.raises(UsageError, match="is not an empty folder"):
        export(str(place), small)


def interrupted(after: int) -> Callable[[Path, bytes], None]:
    """In place of `replace`: killed when so many files are written."""
    left = [after]

    def write(place: Path, content: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        place.write_bytes(content)

    return write


def small_folder(tmp_path: Path) -> Path:
    """One family, and its manifest."""
    folder = tmp_path / "small"
    files = {
        name: (FOLDER / name).read_bytes()
        for name in ("kl_gauss.json", "schemas/kl_gauss_v1.schema.json")
    }
    files["manifest.json"] = manifest(files)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "theirs", ["notes.txt", "manifest.json", TEMPLATE, "schemas/odd.json", "a.part"]
)
def test_an_export_touches_no_file_of_others(theirs: str, tmp_path: Path) -> None:
    small, place = small_folder(tmp_path), tmp_path / "vectors"
    (place / theirs).parent.mkdir(parents=True)
    (place / theirs).write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        export(str(place), small)
    assert [f for f in place.rglob("*") if f.is_file()] == [place / theirs]
    assert (place / theirs).read_text() == "mine"


def test_an_export_to_where_nothing_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write to .*Not a directory"):
        export(str(tmp_path / "file" / "vectors"), small_folder(tmp_path))


def test_the_report_names_the_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = Witness(planted(CATALOGUE["S03"], Truthful()))
    answers = {
        v.tc_id: np.asarray(ask(faulty, v.family, v.case)).tolist()
        for v in vectors()["sgld_replay"]
        if not v.case.conventions and v.case.loss.d < 4
    }
    place = tmp_path / "answers.json"
    place.write_text(file_of(answers))
    assert main(["vectors", "judge", str(place)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    told = re.search(
        r"equals S03 in (\d+) of the (\d+) vectors that tell: the noise", out
    )
    assert told is not None
    assert told[1] == told[2]
    assert int(told[1]) > 3


def faulty_answers(mistake: str, *, of: int) -> dict[str, Any]:
    """Answers to chains: those of a mistake in some, and wrong in the others."""
    faulty = Witness(planted(CATALOGUE[mistake], Truthful()))
    telling = [
        v
        for v in vectors()["sgld_replay"]
        if any(e["mistake"] == mistake for e in v.test["mustDiffer"])
        and not v.case.conventions
        and v.case.loss.d < 4
    ][:10]
    answers = {}
    for place, v in enumerate(telling):
        output = np.asarray(ask(faulty, v.family, v.case))
        answers[v.tc_id] = (output if place < of else output + 17.0).tolist()
    return answers


@pytest.mark.parametrize(
    ("of", "named"), [(10, True), (9, True), (8, False), (1, False)]
)
def test_a_mistake_is_named_where_it_explains_nearly_all(of: int, named: bool) -> None:
    verdicts = judged(file_of(faulty_answers("S03", of=of)))
    (verdict,) = (v for v in verdicts if v.family == "sgld_replay")
    assert len(verdict.failures) == 10
    assert ("S03", of, 10) in verdict.equal()
    assert (("S03", of, 10) in verdict.named()) == named


def test_what_explains_one_failure_of_many_is_no_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "answers.json"
    place.write_text(file_of(faulty_answers("S03", of=1)))
    assert main(["vectors", "judge", str(place)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "no known mistake explains it; of the vectors that tell it equals" in out
    assert "S03 in 1 of 10" in out
    assert CATALOGUE["S03"].sentence not in out


def test_six_digits_are_called_six_digits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounded = right_answers(lambda text: float(f"{float.fromhex(text):.6g}"))
    place = tmp_path / "answers.json"
    place.write_text(file_of(rounded))
    assert main(["vectors", "judge", str(place)]) == 1
    assert "no answer has more than 6 significant digits" in capsys.readouterr().out


def test_files_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    binary = tmp_path / "answers.json"
    binary.write_bytes(b"\xff\xfe\x00")
    assert main(["vectors", "judge", str(binary)]) == 4
    assert main(["vectors", "judge", str(tmp_path / "none.json")]) == 4
    assert main(["vectors", "judge"]) == 4
    complaints = capsys.readouterr().err.splitlines()
    assert [line.count("verification:") for line in complaints] == [1, 1, 1]


def test_lint_and_regenerate_by_command(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "kl_gauss.json").write_text("{}")
    assert main(["vectors", "lint", str(copy)]) == 3
    assert main(["vectors", "regenerate", "--check", "--family", "schedules"]) == 0
    assert "the same bytes" in capsys.readouterr().out
