"""Build the site with ``sphinx-build -W --keep-going -b html docs docs/_build/html``.

Equations become MathML, by the converter that docutils carries: the pages need no
network, no script and no font but the reader's own.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version as installed_version
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

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


def setup(app: Sphinx) -> None:
    """Register what stands above."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("autodoc-process-docstring", prepare_docstring)
    app.connect("doctree-read", settle_words)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
