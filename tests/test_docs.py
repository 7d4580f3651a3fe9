"""What the pages say exists does exist: code, checks, errata, links."""

import math
import re
import runpy
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl import quadrature
from refimpl.laws import GibbsLaw
from refimpl.losses import Constant, Quadratic
from refimpl.output_laws import importance_law
from refimpl.regularised import posterior_mean
from refimpl.two_step import two_step
from verification.__main__ import main
from verification.checks import LEVELS, Verdict, all_checks, find, run_check
from verification.mistakes import CATALOGUE
from verification.report.terminal import entries
from verification.subject import METHODS, Witness

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("api/*.md")), ROOT / "README.md"]
ERRATA = [f"E{n}" for n in range(1, 17)]
CHECKS = {entry.id for entry in all_checks()}

FENCE = re.compile(r"^(```+|\$\$).*?^\1\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
DOTTED = re.compile(r"(?:refimpl|verification)(?:\.\w+)+")
CHECK_ID = re.compile(r"(?:[A-Z]+\d*)-(?:[A-Z]?\d+|[A-Z])")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)


each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(page: Path) -> str:
    """The text of a page without its code blocks and displayed formulas."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def code_words(page: Path) -> list[str]:
    """What stands between backticks."""
    return CODE.findall(prose(page))


def resolve(path: str) -> Any:
    """The object at a dotted path: the longest importable module, then attributes."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(path)


def anchors(page: Path) -> set[str]:
    """The names a link into this page may use."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    slugs = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in HEADING.findall(text)
    }
    return slugs | set(TARGET.findall(text))


@each_page
def test_code_paths_resolve(page: Path) -> None:
    for word in code_words(page):
        if DOTTED.fullmatch(word):
            resolve(word)


@each_page
def test_check_ids_exist(page: Path) -> None:
    mentioned = {word for word in code_words(page) if CHECK_ID.fullmatch(word)}
    assert mentioned <= CHECKS


def test_every_check_id_is_recognised() -> None:
    assert all(CHECK_ID.fullmatch(name) for name in CHECKS)


def test_every_check_is_in_the_paper_map() -> None:
    assert set(code_words(DOCS / "paper_map.md")) >= CHECKS


def test_the_page_of_the_checks_has_each_of_them_once() -> None:
    """Built by the site's own code, without building the site."""
    pytest.importorskip("sphinx")
    site = runpy.run_path(str(DOCS / "conf.py"))
    families = site["EveryCheck"].run(None)
    found = [part for family in families for part in family.children[1:]]
    assert [part["ids"] for part in found] == [[one.id.lower()] for one in all_checks()]
    for part, one in zip(found, all_checks(), strict=True):
        title, told = part.children
        assert title.astext() == one.id
        assert [
            (name.astext(), text.astext()) for name, text in (f.children for f in told)
        ] == entries(one)
    anchors = {anchor for part in (*families, *found) for anchor in part["ids"]}
    assert set(site["CHECKS"].values()) == anchors
    assert set(site["CHECKS"]) >= CHECKS


def test_the_levels_are_explained() -> None:
    text = (DOCS / "checks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| ([A-Z]) \|", text, re.M) == list(LEVELS)


def test_an_erratum_is_not_taken_for_a_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "e6", "ALG5-X"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("E6 is an erratum: see docs/errata.md\n\nALG5-X\n")
    assert main(["explain", "E17"]) == 4
    assert "there is no check or mistake 'E17'" in capsys.readouterr().err


def test_the_paper_map_names_code_in_every_row() -> None:
    rows = [
        line
        for line in prose(DOCS / "paper_map.md").splitlines()
        if line.startswith("| ") and not line.startswith("| paper ")
    ]
    assert len(rows) > 30
    assert [row for row in rows if not DOTTED.search(row)] == []


def test_errata_are_numbered_one_to_sixteen() -> None:
    text = prose(DOCS / "errata.md")
    assert re.findall(r"^## (E\d+)\. ", text, re.MULTILINE) == ERRATA
    assert re.findall(r"^\((e\d+)\)=$", text, re.MULTILINE) == [
        name.lower() for name in ERRATA
    ]


@pytest.mark.parametrize("name", ERRATA)
def test_each_erratum_is_complete(name: str) -> None:
    text = prose(DOCS / "errata.md")
    entry = text.partition(f"## {name}. ")[2].partition("\n## ")[0]
    for part in ("**Printed.**", "**Right.**", "**Shown by.**"):
        assert entry.count(part) == 1


def test_errata_quoted_in_code_exist() -> None:
    for package in ("refimpl", "verification"):
        for source in sorted((ROOT / package).rglob("*.py")):
            text = source.read_text(encoding="utf-8")
            assert set(re.findall(r"\bE\d+\b", text)) <= set(ERRATA), source


@each_page
def test_links_resolve(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def adapter(source: str) -> Any:
    """The subject that the source of an example defines."""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace["Mine"]()


def verdicts(subject: Any, *ids: str) -> list[str]:
    witness = Witness(subject)
    return [str(run_check(entry, witness).verdict) for entry in find(ids)]


def test_the_adapter_of_the_documentation_conforms() -> None:
    text = (DOCS / "subject.md").read_text(encoding="utf-8")
    source = adapters(text)[0]
    ids = ("EQ2-01", "EQ2-05", "HEAT-01", "MAN-01")
    assert verdicts(adapter(source), *ids) == [
        Verdict.PASS,
        Verdict.PASS,
        Verdict.NOT_RUN,
        Verdict.PASS,
    ]
    broken = source.replace("tau * H", "tau**2 * H")
    assert verdicts(adapter(broken), "EQ2-01") == [Verdict.FAIL]


def adapters(text: str) -> list[str]:
    """The adapters of a page."""
    return re.findall(r"^```python\n(import.*?)^```$", text, re.M | re.S)


@pytest.mark.parametrize("page", ["README.md", "docs/subject.md", "docs/quickstart.md"])
def test_every_adapter_passes_whatever_is_asked_of_it(page: str) -> None:
    every = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.M | re.S
    )
    sources = [source for source in every if "class Mine" in source]
    assert sources
    for source in sources:
        witness = Witness(adapter(source))
        asked = [check for check in all_checks() if check.level in "DRV"]
        failed = [one for one in asked if run_check(one, witness).verdict == "FAIL"]
        assert failed == []


def test_the_chain_of_the_documentation_conforms() -> None:
    source = adapters((DOCS / "subject.md").read_text(encoding="utf-8"))[1]
    ids = ("ALG3-R1", "ALG3-I", "ALG3-L1", "ALG3-L3", "RNG-04")
    assert set(verdicts(adapter(source), *ids)) == {Verdict.PASS}
    broken = source.replace("np.sqrt(eps) * draws", "eps * draws")
    assert set(verdicts(adapter(broken), *ids[:-1])) == {Verdict.FAIL}


@pytest.mark.parametrize(
    ("factor", "begins", "verdict"),
    [(2**0.5, "start", "PASS"), (1.0, "start", "FAIL"), (2**0.5, "centre", "FAIL")],
)
def test_the_letters_of_entropy_sgd(factor: float, begins: str, verdict: str) -> None:
    """Noise sqrt(h) factor N(0, I) beside a step h, and where its average begins."""

    class Mine:
        conventions = {"sgld.output": "exponential-average:0.25"}

        def sgld_mean(
            self, loss: Any, x: Any, tau: float, steps: Any, *, draws: Any, **more: Any
        ) -> Any:
            y = np.tile(more.get("start", x), (len(draws), 1))
            mean = y if begins == "start" else np.tile(x, (len(draws), 1))
            for h, z in zip(steps[:-1] / 2, np.moveaxis(draws, 1, 0), strict=True):
                y = y - h * (loss.gradient(y) - (x - y) / tau) + np.sqrt(h) * factor * z
                mean = 0.75 * mean + 0.25 * y
            return mean

    assert verdicts(Mine(), "ALG3-R1") == [verdict]


def test_the_descent_of_the_documentation_conforms() -> None:
    source = adapters((DOCS / "subject.md").read_text(encoding="utf-8"))[2]
    ids = ("ALG5-R1", "ALG5-I", "ALG5-L1", "ALG5-S", "ALG5-X")
    assert set(verdicts(adapter(source), *ids)) == {Verdict.PASS}
    broken = source.replace("np.sqrt(tau) * draws", "tau * draws")
    assert verdicts(adapter(broken), "ALG5-R1") == [Verdict.FAIL]
    growing = source.replace("** -alpha", "**alpha")  # E7, which no replay can show
    assert verdicts(adapter(growing), "ALG5-R1", "ALG5-S") == ["PASS", "FAIL"]


def test_the_methods_of_the_documentation_exist() -> None:
    text = (DOCS / "subject.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)\(", text, re.M)
    assert len(named) > 10
    assert set(named) <= set(METHODS)


def test_counts_are_current() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert {int(n) for n in re.findall(r"(\d+) checks", text)} <= {len(CHECKS)}
        assert {int(n) for n in re.findall(r"(\d+) mistakes", text)} <= {len(CATALOGUE)}


def test_no_placeholder_is_left() -> None:
    for page in PAGES:
        assert not re.search(r"@[A-Z]+@", page.read_text(encoding="utf-8")), page


def test_the_figures_of_quadrature_are_current() -> None:
    text = (DOCS / "quadrature.md").read_text(encoding="utf-8")
    assert f"e^{{-{quadrature.DROP:.0f}}} " in text
    assert f"\\sqrt{{{2 * quadrature.DROP:.0f}\\,\\tau}}" in text
    assert f"2^{{{math.log2(quadrature.MAX_NODES):.0f}}}" in text
    assert f"10^{{{math.log10(quadrature.TOLERANCE):.0f}}}" in text


def pieces(page: str) -> list[str]:
    """The Python of a page, piece by piece."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)


def test_the_examples_of_the_quick_start_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine, loop, own, property_test = pieces("quickstart.md")
    assert set(verdicts(adapter(mine), "ALG1", "EQ12")) == {
        Verdict.PASS,
        Verdict.NOT_RUN,
    }
    broken = mine.replace("+ tau * H, x", "+ tau**2 * H, x")
    assert Verdict.FAIL in verdicts(adapter(broken), "EQ12")
    names: dict[str, Any] = {}
    exec(loop, names)
    exec(own, names)
    assert re.findall(r"^(\w+) 50", capsys.readouterr().out, re.M) == [
        "ExactMean",
        "ExactHeat",
        "RobbinsMonro",
    ]
    exec(property_test, names)
    names["test_my_local_entropy"]()


def test_the_estimator_of_the_documentation_is_one() -> None:
    """Within ten deviations of independent samples; exact where weights are equal."""
    names: dict[str, Any] = {}
    exec(pieces("adding.md")[0], names)
    estimator = names["Antithetic"](20_000)
    f = Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, 0.0])
    (step,) = two_step(
        [f], [2.0, -1.0], tau=0.5, project=estimator, rng=np.random.default_rng(3)
    )
    law = importance_law(f, [2.0, -1.0], 0.5, J=40_000)
    wrong = np.abs(step.x - posterior_mean(f, [2.0, -1.0], 0.5))
    assert wrong.max() < 10 * np.sqrt(np.diag(law.covariance).max())
    constant = names["Antithetic"](2)(
        GibbsLaw(Constant(0.0, 2), np.array([1.0, 2.0]), 0.5),
        rng=np.random.default_rng(3),
    )
    assert constant.x == pytest.approx([1.0, 2.0], abs=1e-14)


def test_the_examples_of_the_readme_say_what_they_print(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    example, sampler, mine = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    exec(example, {})
    exec(sampler, {})
    assert re.findall(r"\w+", capsys.readouterr().out) == ["True"] * 5
    assert set(verdicts(adapter(mine), "ALG1", "EQ2", "EQ12")) == {
        Verdict.PASS,
        Verdict.NOT_RUN,
    }
