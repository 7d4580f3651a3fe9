"""Build the site with ``sphinx-build -W --keep-going -b html docs docs/_build/html``.

Equations become MathML, by the converter that docutils carries: the pages need no
network, no script and no font but the reader's own.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version as installed_version
from itertools import groupby
from pydoc import locate
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

from verification.checks import Check, all_checks
from verification.report.terminal import entries

project = "local-entropy-oracle"
copyright = "the authors of local-entropy-oracle"  # noqa: A001  (Sphinx's name)
version = release = installed_version("local-entropy-oracle")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
root_doc = "index"
default_role = "literal"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_mime_priority_overrides = [("html", "image/svg+xml", 0)]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False


MATHML = "{http://www.w3.org/1998/Math/MathML}"
ElementTree.register_namespace("", MATHML.strip("{}"))
APPLY = "\N{FUNCTION APPLICATION}"
ACCENTS = ("ˉ", "~", "ˆ", "˙")
ORDINARY = ("mfrac", "msub", "msup", "msubsup", "mi", "mn")
LONG = 36  # letters of source, from which a formula may be wider than a phone
CLOSING = (",", ".", ";", ":", ")", "?")


def named(node: Element) -> str:
    """The name of an element, without its namespace."""
    return node.tag.removeprefix(MATHML)


def opens(node: Element) -> bool:
    """Whether a parenthesis begins here."""
    if named(node) == "mrow" and len(node):
        return opens(node[0])
    return named(node) == "mo" and node.text in ("(", "[", "|")


def thin_space() -> Element:
    """What TeX sets on both sides of a named function."""
    return Element(f"{MATHML}mspace", width="0.1667em")


def with_spaces(row: list[Element]) -> Iterator[Element]:
    """A row with the margins of TeX, where those of MathML are others."""
    for before, node, after in zip([None, *row], row, [*row[1:], None], strict=False):
        if named(node) == "mo" and node.text in ("|", "‖"):  # no relation
            node.attrib.update(stretchy="false", lspace="0", rspace="0")
        applied = after is not None and after.text == APPLY
        if applied and before is not None and named(before) in ORDINARY:
            yield thin_space()
        yield node
        if node.text == APPLY and after is not None and not opens(after):
            yield thin_space()


def rows(node: Element) -> Iterator[Element]:
    """The rows of a table, those of a row among them, and of no table within."""
    for row in node.findall(f"{MATHML}mtr"):
        yield row
        yield from rows(row)


def mended(formula: str) -> str:
    """The converter's formula with what it gets wrong put right.

    It nests the rows of a table, and takes the subscript of a letter with an accent for
    a limit.
    """
    root = ElementTree.fromstring(formula.replace("&ApplyFunction;", APPLY))
    for table in root.iter(f"{MATHML}mtable"):
        if "align" in table.get("class", ""):
            table.set("displaystyle", "true")
        table[:] = list(rows(table))
        for row in table:
            row[:] = [cell for cell in row if named(cell) == "mtd"]
    for node in root.iter():
        if named(node) == "munderover" and node[2].text in ACCENTS:
            base, below, accent = node
            node.tag = f"{MATHML}msub"
            letter = Element(f"{MATHML}mover", accent="true")
            letter.extend([base, accent])
            node[:] = [letter, below]
        node[:] = with_spaces(list(node))
    return ElementTree.tostring(root, encoding="unicode")


def visit_math(
    translator: HTML5Translator, node: nodes.math | nodes.math_block
) -> None:
    """Write one formula as MathML; one that cannot be converted is a warning."""
    try:
        as_block = isinstance(node, nodes.math_block)
        formula = mended(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        logging.getLogger(__name__).warning(
            "no MathML for %r: %s", node.astext(), error, location=node
        )
        formula = f"<code>{translator.encode(node.astext())}</code>"
    if not as_block and len(node.astext()) > LONG:
        formula = f'<span class="long-formula">{formula}</span>'
    follows = node.next_node(nodes.Text, descend=False, siblings=True)
    if follows is not None and follows.startswith(CLOSING):
        formula += "&#8288;"  # no line begins with what closes a formula
    translator.body.append(formula)
    raise nodes.SkipNode


def indent(line: str) -> int:
    """By how many blanks a line is set in."""
    return len(line) - len(line.lstrip())


def literal(lines: list[str]) -> Iterator[str]:
    """The docstring of a module, its formulas, which are set in, as they stand."""
    before, inside = "", False
    for line in lines:
        if line.strip():
            set_in = indent(line) >= 4 and not before.lstrip().startswith(("- ", ".. "))
            if set_in and not inside and not before.endswith("::"):
                yield from ("", "::", "")
            elif inside and not set_in:
                yield ""
            before, inside = (before if set_in else line), set_in
        yield line


def as_text(lines: Iterable[str]) -> Iterator[str]:
    """Literal blocks without colours, and the bars of |x| kept, outside of them.

    Bars would be taken for a substitution.
    """
    outer = None  # the indentation of what a literal block follows
    for line in lines:
        if outer is not None and line.strip() and indent(line) <= outer:
            outer = None
        if outer is not None:
            yield line
            continue
        if not line.lstrip().startswith((">>>", "...")):
            line = line.replace("|", r"\|")
        if not line.endswith("::") or line.lstrip().startswith(".. "):
            yield line
            continue
        outer = indent(line)
        if line.strip() != "::":
            yield from (line.removesuffix(":"), "")
        yield " " * outer + ".. code-block:: text"


def prepare_docstring(*event: Any) -> None:
    """What autodoc is given in place of a docstring's lines."""
    what, lines = event[1], event[-1]
    lines[:] = as_text(list(literal(lines)) if what == "module" else list(lines))


def settle_words(_: Sphinx, doctree: nodes.document) -> None:
    """Link a type as its module knows it, and leave words and letters alone."""
    for reference in list(doctree.findall(addnodes.pending_xref)):
        target = reference.get("reftarget", "")
        if reference.get("reftype") != "class":
            continue
        if len(target) < 2 or not target[0].isupper():  # as in "shape (J, d)"
            reference.replace_self(reference.children)
            continue
        found = getattr(sys.modules.get(reference.get("py:module")), target, None)
        if isinstance(found, type) and "._" not in found.__module__:
            reference["reftarget"] = f"{found.__module__}.{found.__qualname__}"


DOTTED = re.compile(r"(?:refimpl|verification)(?:\.\w+)+")
ERRATUM = re.compile(r"\bE(?:1[0-6]|[1-9])\b")


def family(check: Check) -> str:
    """What its name begins with."""
    return check.id.rpartition("-")[0]


CHECKS = {check.id: check.id.lower() for check in all_checks()}
CHECKS |= {family(check): family(check).lower() for check in all_checks()}
"""Where the page of the checks has each of them, and each family."""


class EveryCheck(Directive):
    """All that `verification explain` says, a section for each family and check."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        return [
            section(name, *(section(one.id, explained(one)) for one in some))
            for name, some in groupby(all_checks(), family)
        ]


def section(name: str, *inside: nodes.Node) -> nodes.section:
    """What belongs to a name, which is also its anchor, in small letters."""
    return nodes.section("", nodes.title(name, name), *inside, ids=[name.lower()])


def explained(check: Check) -> nodes.field_list:
    """What the terminal has below its name, as a list."""
    told = nodes.field_list(classes=["check"])
    for name, text in entries(check):
        body = nodes.field_body("", nodes.paragraph(text, text))
        told += nodes.field("", nodes.field_name(name, name), body)
    return told


def place_of(word: str, app: Sphinx) -> tuple[str, str] | None:
    """The page and the anchor of a check, or of an object in the API."""
    if word in CHECKS:
        return "checks", CHECKS[word]
    if not DOTTED.fullmatch(word):
        return None
    known = app.env.domains["py"].objects
    for name in (word, own_name(word)):
        if name in known:
            return known[name].docname, known[name].node_id
    return None


def own_name(path: str) -> str:
    """Where the object at a dotted path is defined."""
    found = locate(path)
    return f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"


def link(app: Sphinx, here: str, place: tuple[str, str], *shown: nodes.Node) -> Any:
    """A reference from one page into another."""
    page, anchor = place
    address = f"{app.builder.get_relative_uri(here, page)}#{anchor}"
    return nodes.reference("", "", *shown, internal=True, refuri=address)


def link_names(app: Sphinx, doctree: nodes.document, here: str) -> None:
    """Let code and checks lead to where they are explained, and errata in the API."""
    for word in list(doctree.findall(nodes.literal)):
        name = word.astext()
        place = place_of(name, app)
        if DOTTED.fullmatch(name) and inside(word, nodes.entry):
            word[:] = list(with_breaks(name))
        if place and not inside(word, nodes.reference, nodes.title):
            word.replace_self(link(app, here, place, word.deepcopy()))
    for text in list(doctree.findall(nodes.Text)) if here.startswith("api/") else []:
        if ERRATUM.search(text) and not inside(text, *NOT_PROSE):
            text.parent.replace(text, list(with_errata(app, here, text)))


def with_breaks(name: str) -> Iterator[nodes.Node]:
    """A dotted name, which may be broken between words in a narrow column."""
    for word in re.findall(r"[._]?[^._]+", name):
        yield nodes.Text(word)
        yield nodes.raw("", "<wbr>", format="html")


NOT_PROSE = (nodes.reference, nodes.title, nodes.literal, nodes.literal_block)


def inside(node: nodes.Node, *kinds: type[nodes.Node]) -> bool:
    """Whether it is within one of these."""
    return node.parent is not None and (
        isinstance(node.parent, kinds) or inside(node.parent, *kinds)
    )


def with_errata(app: Sphinx, here: str, text: nodes.Text) -> Iterator[nodes.Node]:
    """The text, each name of an erratum a link."""
    end = 0
    for found in ERRATUM.finditer(text):
        name = found[0]
        yield nodes.Text(text[end : found.start()])
        yield link(app, here, ("errata", name.lower()), nodes.Text(name))
        end = found.end()
    yield nodes.Text(text[end:])


def setup(app: Sphinx) -> None:
    """Register what stands above."""
    app.add_directive("every-check", EveryCheck)
    app.connect("doctree-resolved", link_names)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("autodoc-process-docstring", prepare_docstring)
    app.connect("doctree-read", settle_words)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
