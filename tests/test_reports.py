"""The reports for continuous integration and for a browser."""

from __future__ import annotations

import html
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib.resources import files
from itertools import product
from xml.etree import ElementTree as ET

import pytest

from verification.__main__ import main
from verification.checks import Check, Outcome, Verdict
from verification.diagnosis import Diagnosis
from verification.evidence.comparison import agree, differs, not_below
from verification.evidence.sequential import Evidence
from verification.losses import Quadratic
from verification.problems import Problem
from verification.report import json_report
from verification.report.html_elements import as_text, h
from verification.report.html_report import as_html
from verification.report.junit_report import as_junit
from verification.report.terminal import Terminal
from verification.report.words import clean, headline, required
from verification.runner import ExitCode, Report, SubjectInfo

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AGAIN = "verification run --subject 'mine:Mine' --seed 7"
HOSTILE = (
    "</style></script><script>alert(1)</script> & &amp; \"' ]]> <!-- --> "
    "\x00\x07\x1b[31m\udcff\ufffe\u202e http://example.org/ Zürich τ 𝄞"
)
CASE = Problem("a quadratic", Quadratic(2.0, [0.5, -1.0], 0.25), [1.0, 3.0], 0.5)


def body(witness, case):
    yield from ()


def check(name, level="D", **changes):
    attributes = {
        "paper": "(2)",
        "claim": f"the claim of {name}",
        "truth": f"the truth of {name}",
        "route": "CF",
        "tolerance": f"why the tolerance of {name} is what it is",
        "body": body,
        "source": (CASE,),
    }
    return Check(name, level=level, **(attributes | changes))


def sequential(error=1.0, certificate=-7.0, points=3):
    """A test of randomness and its path."""
    path = tuple((100 * k + 1, error * k / 3, certificate * k / 3) for k in range(4))
    return Evidence(
        *("whitened outputs", [0.0], [0.0], error, 18.0),
        relation="~",
        n=301,
        certificate=certificate,
        needed=-6.9,
        path=path[:points],
        certified="mean within 0.2 sd, each at 0.001",
    )


def outcome(entry, verdict, finding=None, **more):
    if finding is not None:
        more |= {"worst": finding, "worst_at": CASE, "findings_count": 3}
    if verdict is Verdict.FAIL and finding is not None:
        more |= {"first": finding, "first_at": CASE, "failures": 1}
    more = {"cases_run": 1, "seconds": 0.25} | more
    return Outcome(entry, verdict, **more)


PASSES = outcome(check("EQ2-01"), Verdict.PASS, agree("F", 1.0 + 2**-40, 1.0, 1e-11))
BOUND = outcome(check("EQ2-02"), Verdict.PASS, not_below("F", 1.0, 0.5, 0.25))
CONTROL = outcome(check("EQ2-03"), Verdict.PASS, differs("F", 2.0, 1.0, 0.5))
LAW = outcome(check("ALG3-L1", "S"), Verdict.PASS, sequential=((CASE, sequential()),))
SHORT = outcome(
    check("ALG3-L2", "S"), Verdict.PASS, sequential=((CASE, sequential(points=0)),)
)
FAILS = outcome(check("TH1-01"), Verdict.FAIL, agree("F", 1.25, 1.0, 1e-12))
RAISES = outcome(check("TH1-02"), Verdict.FAIL, message=f"F raised {HOSTILE}")
DRIFTS = outcome(
    *(check("ALG4-L1", "S"), Verdict.FAIL, sequential(1e6, 9.0)),
    sequential=((CASE, sequential(1e6, 9.0)),),
)
UNSURE = outcome(
    *(check("ALG5-L1", "S"), Verdict.INCONCLUSIVE),
    message="1 of 1 tests undecided within their budget",
    sequential=((CASE, sequential(1.0, -3.0)),),
)
LACKS = outcome(
    *(check("HEAT-01"), Verdict.NOT_RUN),
    message="the subject does not provide heat",
    cases_run=0,
)
PARTLY = outcome(
    check("HEAT-02"), Verdict.PASS, not_run=(("waves", f"too hard {HOSTILE}"),)
)
GOOD = (PASSES, BOUND, CONTROL, LAW, SHORT)
FOUND = Diagnosis("S34", "the noise is halved", "fit", (), 1e-16, "Algorithm 3 for 2 f")
REST = check("NET-01")


def report(*outcomes, name="mine", rest=(), **changes):
    info = SubjectInfo(name, "float64", {"scoping.origin": "1"}, ("F",), ("heat",))
    checks = tuple(entry.check for entry in outcomes) + tuple(rest)
    return Report(info, 7, checks, outcomes, seconds=1.5, **changes)


REPORTS = {
    "conforms": report(*GOOD),
    "partial": report(*GOOD, LACKS, PARTLY),
    "fails": report(
        *(*GOOD, FAILS, RAISES, DRIFTS, UNSURE, LACKS, PARTLY),
        name=HOSTILE,
        diagnoses={"TH1-01": FOUND},
        diagnosis=FOUND,
    ),
    "one": report(FAILS, LACKS),
    "unsure": report(PASSES, UNSURE),
    "allowed": report(PASSES, UNSURE, allow_inconclusive=True),
    "nothing": report(LACKS),
    "interrupted": report(PASSES, FAILS, rest=[REST], interrupted=True),
    "untrusted": report(PASSES, rest=[REST], oracle_fault="two routes disagree"),
}
CODES = {"conforms": 0, "partial": 0, "fails": 1, "one": 1, "unsure": 6, "allowed": 0}
CODES |= {"nothing": 5, "interrupted": 2, "untrusted": 3}

each_report = pytest.mark.parametrize("name", REPORTS)


def page(name):
    return as_html(REPORTS[name], AGAIN, WHEN)


def junit(name):
    return ET.fromstring(as_junit(REPORTS[name], WHEN).encode("utf-8"))


class Page(HTMLParser):
    """A page that has been read strictly: every element is closed in its turn."""

    VOID = frozenset({"meta", "link"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.said = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        named = dict(attrs)
        assert len(named) == len(attrs)
        assert not [key for key in named if key.startswith("on")]
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named[key] for key in ("href", "src") if key in named]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.said.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.said).split())


@pytest.mark.parametrize("name", CODES)
def test_the_examples_end_as_they_are_meant_to(name):
    assert REPORTS[name].exit_code == CODES[name]


# --- JUnit XML


@each_report
def test_junit_has_one_case_for_each_check_and_counts_right(name):
    of = REPORTS[name]
    suite = junit(name).find("testsuite")
    cases = suite.findall("testcase")
    expected = [(entry.family, entry.id) for entry in of.checks]
    assert [(c.get("classname"), c.get("name")) for c in cases][: len(expected)] == (
        expected
    )
    assert len(cases) - len(expected) == (CODES[name] in (2, 3, 5))
    assert int(suite.get("tests")) == len(cases)
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped",) * 2):
        assert int(suite.get(key)) == sum(c.find(tag) is not None for c in cases)
        assert junit(name).get(key) == suite.get(key)


@each_report
def test_junit_is_green_exactly_where_the_exit_code_is_0(name):
    suite = junit(name).find("testsuite")
    bad = int(suite.get("failures")) + int(suite.get("errors"))
    assert (bad == 0) == (REPORTS[name].exit_code == ExitCode.CONFORMS)


def test_junit_says_what_failed_and_why_something_was_skipped():
    cases = {case.get("name"): case for case in junit("fails").iter("testcase")}
    assert list(cases["EQ2-01"]) == [cases["EQ2-01"].find("system-out")]
    failure = cases["TH1-01"].find("failure")
    assert failure.get("message") == "F: error 0.25, tolerance 1e-12, in a quadratic"
    for words in ("claim of TH1-01", "1.25", "why the tolerance", "halved", "seed"):
        assert words in failure.text
    drifts = cases["ALG4-L1"].find("failure").get("message")
    assert drifts == (
        "whitened outputs: more than 10^300 to 1 against the exact law after 301 "
        "replicates; a FAIL from 10^7.8 on, in a quadratic"
    )
    assert "F raised" in cases["TH1-02"].find("failure").get("message")
    assert "undecided" in cases["ALG5-L1"].find("failure").get("message")
    skipped = cases["HEAT-01"].find("skipped")
    assert skipped.get("message") == "the subject does not provide heat"
    assert "too hard" in cases["HEAT-02"].find("system-out").text


def test_junit_skips_what_is_tolerated_and_what_was_not_reached():
    (skipped,) = junit("allowed").iter("skipped")
    assert skipped.get("type") == "INCONCLUSIVE"
    (skipped,) = junit("interrupted").iter("skipped")
    assert skipped.get("message") == "not reached"
    (error,) = junit("untrusted").iter("error")
    assert error.get("message") == "Trust no verdict: two routes disagree."


def test_junit_has_what_the_run_was_made_with():
    suite = junit("fails").find("testsuite")
    named = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert (named["seed"], named["exit code"]) == ("7", "1")
    assert named["diagnosis"] == "the noise is halved"
    assert {"verdict", "suite", "python", "numpy", "system"} <= named.keys()
    assert suite.get("timestamp") == "2026-01-02T03:04:03+00:00"
    assert suite.get("time") == "1.500"


# --- the page


@each_report
def test_the_page_is_well_formed_and_loads_nothing(name):
    text = page(name)
    assert text.startswith("<!DOCTYPE html>\n<html")
    read = Page(text)
    assert {"script", "img", "iframe", "object"}.isdisjoint(read.tags)
    assert len(set(read.ids)) == len(read.ids)
    for link in read.links:
        assert link == "data:," or link.removeprefix("#") in read.ids
    style = html.unescape(text.partition("<style>")[2].partition("</style>")[0])
    assert not re.search(r"url\(|@import|@font-face", style)


@each_report
def test_every_check_and_reason_is_on_the_page_and_the_verdict_comes_first(name):
    of, read = REPORTS[name], Page(page(name))
    assert {entry.id for entry in of.checks} <= set(read.text.split())
    for entry in of.checks:
        assert entry.claim in read.text
    after = read.text.partition("Verdict of verification")[2]
    said = " ".join(clean(headline(of)).split())
    assert 0 <= after.index(said) < 20
    for done in of.outcomes:
        for reason in (done.message, *(why for _, why in done.not_run)):
            assert " ".join(clean(reason).split()) in read.text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("conforms", "mine conforms in what was run: 5 checks passed."),
        ("partial", "mine conforms in what was run: 6 checks passed, 1 not run."),
        ("allowed", "mine conforms in what was run: 1 check passed, 1 inconclusive."),
        ("unsure", "No verdict: nothing fails, but ALG5-L1 is inconclusive."),
        ("nothing", "No verdict: nothing of what was asked can be run on mine."),
        ("interrupted", "No verdict: the run was interrupted. So far these fail"),
        ("untrusted", "Trust no verdict: two routes disagree."),
        ("one", "mine does not conform: 1 of 1 check that was run failed."),
        ("fails", "does not conform: 3 of 10 checks that were run failed."),
    ],
)
def test_the_verdict_in_words(name, said):
    assert said in headline(REPORTS[name])


def test_the_page_tells_what_failed():
    text = Page(page("fails")).text
    for words in (
        *("Diagnosis. S34: the noise is halved.", "Algorithm 3 for 2 f"),
        *("measured 1.25", "expected = 1.0", "error 0.25, tolerance 1e-12"),
        *("why the tolerance of TH1-01", "the truth of TH1-01 (closed form)"),
        *('"kind": "quadratic"', '"tau": 0.5', "F raised"),
    ):
        assert words in text


def test_the_page_tells_digits_and_evidence():
    text = page("conforms")
    assert "12.0 digits, 11.0 required; error 0.091 times the tolerance" in text
    assert "inequality; error 0 times the tolerance" in text
    assert "negative control; error 0.5 times the tolerance" in text
    assert text.count('class="bar"') == 1
    assert text.count('class="evidence"') == 1  # the other test has no path
    for words in ("FAIL from 10^7.8", "PASS below 10^-3.0", "Certified: mean within"):
        assert words in text
    said = "largest evidence 10^0.4 to 1, a FAIL from 10^7.8"
    assert text.count(said) == 3  # two captions, and one figure for who cannot see it
    assert "largest evidence more than 10^300 to 1" in page("fails")
    assert "Certified" not in page("unsure").partition("Undecided")[2]


def test_the_terminal_says_how_many_tests_certify_the_usual():
    def said(*tests):
        text = io.StringIO()
        done = outcome(LAW.check, Verdict.PASS, sequential=[(CASE, t) for t in tests])
        Terminal(text).footer(report(done))
        return " ".join(text.getvalue().split())

    usual, other = sequential(), replace(sequential(), certified="half of it")
    assert "Certified: mean within 0.2 sd, each at 0.001 verdict" in said(usual)
    assert (
        "each at 0.001, in 2 of 3 that pass; what others certify is in --json"
    ) in said(usual, other, usual)


def test_what_runs_off_the_figure_stays_at_its_edge():
    text = page("fails")
    box = re.search(r'class="evidence" viewBox="0 0 (\d+) (\d+)"', text)
    width, height = box.groups()
    for points in re.findall(r'points="([^"]+)"', text):
        for x, y in (pair.split(",") for pair in points.split()):
            assert 0 <= float(x) <= float(width)
            assert 0 <= float(y) <= float(height)


def test_the_page_tells_how_to_repeat_it():
    text = Page(page("fails")).text
    assert AGAIN in text
    for words in ("seed 7", "numpy", "python", "2026-01-02 03:04 UTC", "1.5 s"):
        assert words in text


def test_a_long_problem_is_cut(monkeypatch):
    monkeypatch.setattr("verification.report.html_report.LONGEST", 20)
    assert "characters; the whole is in --json" in page("fails")


def test_required_digits_are_those_of_the_tolerance():
    assert required(agree("F", 101.0, 100.0, 1e-10)) == pytest.approx(12)
    assert required(agree("F", 1.0, 1.0, 0)) == 17


# --- hostile text


def test_no_text_of_a_subject_becomes_markup():
    text = page("fails")
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert text.count("</style>") == 1
    assert "alert(1)" in as_junit(REPORTS["fails"], WHEN)


def test_control_characters_are_removed_and_others_kept():
    kept = "tab\t line\n Zürich τ 𝄞 \u200d"
    assert clean(f"\x00\x08\x1b\x7f\x9f\ud800\ufffe\uffff\u202e{kept}") == kept
    for text in (page("fails"), as_junit(REPORTS["fails"], WHEN)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe]", text)


def test_an_element_escapes_text_and_attributes():
    made = as_text(h("b", "<&>", None, h("i"), "after", title='"<&'))
    assert Page(made).text == "<&> after"
    assert "&quot;" in made


# --- colours


def schemes():
    """The colours of each scheme by name."""
    style = files("verification.report").joinpath("page.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    light, dark = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block)) for block in blocks
    )
    assert not re.search(r"#[0-9a-f]{3,8};|rgb", style.split("* {")[1])
    return {"light": light, "dark": light | dark}


def luminance(colour):
    """Relative luminance, WCAG 2."""
    shares = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in shares
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(scheme):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    colours = schemes()[scheme]
    ink = set(colours) - {"ground", "panel", "line"}
    assert ink == {"text", "muted", "link", "pass", "fail", "unsure", "skip"}
    for name, ground in product(ink, ("ground", "panel")):
        assert contrast(colours[name], colours[ground]) >= 4.5, name
    for name in ("pass", "fail"):  # a bar on its track
        assert contrast(colours[name], colours["line"]) >= 3


# --- files


def test_a_run_writes_all_reports_and_says_how_to_repeat_it(tmp_path, capsys):
    paths = {form: tmp_path / f"r.{form}" for form in ("json", "junit", "html")}
    words = [f"--{form}={path}" for form, path in paths.items()]
    assert main(["run", "EQ18", "ALG3-L1", "--level", "S", "--seed", "5", *words]) == 0
    read = Page(paths["html"].read_text("utf-8"))
    assert "verification run EQ18 ALG3-L1 --level S --seed 5" in read.text
    (case,) = ET.parse(paths["junit"]).getroot().iter("testcase")
    assert (case.get("classname"), case.get("name")) == ("ALG3", "ALG3-L1")
    told = json.loads(paths["json"].read_text("utf-8"))["checks"][0]
    assert f"{told['evidence']['sequential'][0]['replicates']} replicates" in read.text
    assert sorted(tmp_path.iterdir()) == sorted(paths.values())
    assert "exit code 0" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["junit", "html"])
@pytest.mark.parametrize(
    ("path", "said"),
    [("no/r", "no folder"), (".", "not a regular file"), (os.devnull, "not a regular")],
)
def test_an_unwritable_place_is_a_usage_error(form, path, said, tmp_path, capsys):
    os_path = path if path == os.devnull else str(tmp_path / path)
    assert main(["run", "EQ18", f"--{form}", os_path]) == 4
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_two_reports_need_two_files(tmp_path, capsys):
    place = str(tmp_path / "r")
    assert main(["run", "EQ18", "--json", place, "--html", place]) == 4
    assert "need a file each" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_report_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    old = tmp_path / "r.html"
    old.write_text("old")
    monkeypatch.setattr(json_report.os, "replace", full)
    with pytest.raises(json_report.UsageError, match="No space left"):
        json_report.write_text("new", old)
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_a_lone_surrogate_does_not_cost_the_report(tmp_path):
    json_report.write({"message": "\udcff"}, tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text("utf-8")) == {"message": "\udcff"}


# --- a browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
WIDTHS = (320, 360, 800, 1280)
MEASURE = """
<script>
onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument.documentElement;
    const ground = getComputedStyle(page.querySelector("body")).backgroundColor;
    return [page.scrollWidth - page.clientWidth, page.scrollHeight, ground];
  });
  document.body.textContent = JSON.stringify(found);
};
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no headless Chromium is installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_at_any_width_without_complaint(scheme, tmp_path):
    frames = "".join(
        f'<iframe width="{width}" srcdoc="{html.escape(page(name))}"></iframe>'
        for name, width in product(("conforms", "fails", "partial"), WIDTHS)
    )
    place = tmp_path / "all.html"
    place.write_text(f"<!DOCTYPE html><body>{frames}</body>{MEASURE}", "utf-8")
    preferred = {"dark": 0, "light": 1}[scheme]
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
        *("--disable-dev-shm-usage", "--enable-logging=stderr"),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--blink-settings=preferredColorScheme={preferred}",
        place.as_uri(),
    ]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", timeout=60
    )
    assert "CONSOLE" not in done.stderr
    found = json.loads(re.search(r"<body>(\[\[.*?\]\])", done.stdout)[1])
    assert len(found) == 3 * len(WIDTHS)
    ground = schemes()[scheme]["ground"]
    rgb = ", ".join(str(int(ground[k : k + 2], 16)) for k in (1, 3, 5))
    for wider, height, colour in found:
        assert wider == 0
        assert height > 500
        assert colour == f"rgb({rgb})"
