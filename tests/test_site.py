"""The site: every figure in the gallery, every module in the API, all in a browser."""

import functools
import html
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refimpl.__main__ import _parser

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
GALLERY = (DOCS / "gallery.md").read_text(encoding="utf-8")
FIGURES = sorted(
    str(file.relative_to(DOCS))
    for suffix in ("svg", "png")
    for file in DOCS.rglob(f"*.{suffix}")
    if "_build" not in file.parts and "_static" not in file.parts
)


# --- the gallery


def entries() -> list[tuple[list[str], str, str]]:
    """Of each entry: its images, its sentences, its command."""
    found = re.findall(
        r"((?:^!\[[^\]]+\]\([^)]+\)\n\n)+)(.+?)\n\n```sh\n(.+?)\n```$",
        GALLERY,
        re.M | re.S,
    )
    return [
        (re.findall(r"\]\(([^)]+)\)", images), said, command)
        for images, said, command in found
    ]


def test_the_gallery_has_every_figure_once() -> None:
    shown = [image for images, _, _ in entries() for image in images]
    assert len(FIGURES) >= 20
    assert sorted(shown) == FIGURES
    assert GALLERY.count("![") == len(shown)


@pytest.mark.parametrize(("images", "said", "command"), entries())
def test_an_entry(images: list[str], said: str, command: str) -> None:
    """Its command parses, is of these figures, and one sentence says what is seen."""
    program, *words = shlex.split(command)
    assert program == "refimpl"
    options = _parser().parse_args(words)
    what = getattr(options, "name", getattr(options, "algorithm", options.command))
    assert all(what in Path(image).stem for image in images)
    assert said.startswith("**")
    assert "[More](" in said
    if options.out != Path("reproduction"):
        assert {Path("docs", image).parent for image in images} == {options.out}


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_on_the_page_that_speaks_of_it(figure: str) -> None:
    pages = set(DOCS.glob("*.md")) - {DOCS / "gallery.md", DOCS / "index.md"}
    assert any(f"({figure})" in page.read_text(encoding="utf-8") for page in pages)


# --- the API

INTERNAL = re.compile(
    r"refimpl\.(_|arrays|network_kernels|.*\._|experiments\.(.*_plots|figures|records"
    r"|stored|threads|timing|workers)$)"
)
"""How it is computed, drawn and stored: of no interest from outside."""


def test_the_api_has_every_module() -> None:
    texts = [page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md")]
    named = re.findall(r"^\.\. automodule:: (\S+)", "\n".join(texts), re.M)
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in (ROOT / "refimpl").rglob("*.py")
        if not file.stem.startswith("__")
    }
    public = {name for name in modules if not INTERNAL.match(name)}
    assert len(named) == len(set(named))
    assert public - set(named) == set()


def test_every_page_of_algorithms_has_its_equations() -> None:
    for name in ("regularised", "algorithms", "losses", "multiscale"):
        text = (DOCS / "api" / f"{name}.md").read_text(encoding="utf-8")
        assert text.count("$$") >= 10


# --- the built site, in a browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
MEASURE = """
<script>
onload = () => setTimeout(() => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    const broken = [...page.images].filter(one => one.complete && !one.naturalWidth);
    const cut = [...page.querySelectorAll("math")].filter(one =>
      one.getBoundingClientRect().right > root.clientWidth
      && !one.closest(".table-wrapper, .long-formula"));
    return [frame.dataset.page, root.scrollWidth - root.clientWidth,
            broken.length + cut.length,
            page.querySelectorAll("math").length,
            page.querySelectorAll("ul.search li").length];
  });
  document.body.textContent = JSON.stringify(found);
}, 6000);
</script>
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `.ci/run` does it; or the one that SITE names."""
    if "SITE" in os.environ:
        return Path(os.environ["SITE"])
    pytest.importorskip("sphinx")
    place = tmp_path_factory.mktemp("site")
    words = ["-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(place)]
    subprocess.run([sys.executable, "-m", "sphinx", *words], check=True)
    return place


@pytest.fixture
def served(site: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The address of the site, and pages that are added to it."""
    added: dict[str, bytes] = {}

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path not in added:
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(added[self.path])

    handler = functools.partial(Handler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", added
        server.shutdown()


def look(
    pages: list[str], width: int, served: tuple[str, dict[str, bytes]], profile: Path
) -> tuple[dict[str, list[int]], str]:
    """Of each page what MEASURE finds, and what the console said."""
    address, added = served
    frames = "".join(
        f'<iframe data-page="{html.escape(page)}" width="{width}" height="900" '
        f'src="/{html.escape(page)}"></iframe>'
        for page in pages
    )
    added["/all.html"] = f"<!DOCTYPE html><body>{frames}</body>{MEASURE}".encode()
    command = [
        *(
            str(BROWSER),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
        ),
        *("--disable-dev-shm-usage", "--enable-logging=stderr"),
        *("--virtual-time-budget=30000", f"--user-data-dir={profile}"),
        f"{address}/all.html",
    ]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", timeout=300
    )
    shown = re.search(r"<body>(\[\[.*?\]\])", done.stdout, re.S)
    assert shown, done.stderr[-2000:]
    found = {name: rest for name, *rest in json.loads(html.unescape(shown[1]))}
    return found, "\n".join(re.findall(r".*CONSOLE.*", done.stderr))


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no headless Chromium is installed")
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_a_browser_shows_every_page(
    width: int, site: Path, served: Any, tmp_path: Path
) -> None:
    pages = sorted(str(page.relative_to(site)) for page in site.rglob("*.html"))
    assert len(pages) > 40
    for first in range(0, len(pages), 10):
        some = pages[first : first + 10]
        found, console = look(some, width, served, tmp_path / f"{first}")
        assert console == ""
        assert set(found) == set(some)
        for page, (wider, lost, formulas, _) in found.items():
            assert (page, wider, lost) == (page, 0, 0)
            source = DOCS / Path(page).with_suffix(".md")
            if source.exists() and "$$" in source.read_text(encoding="utf-8"):
                assert formulas > 0


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no headless Chromium is installed")
def test_the_search_finds(served: Any, tmp_path: Path) -> None:
    page = "search.html?q=majoriser"
    found, console = look([page], 390, served, tmp_path / "profile")
    assert console == ""
    assert found[page][3] > 3
