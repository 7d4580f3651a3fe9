"""Build the site with ``sphinx-build -W --keep-going -b html docs docs/_build/html``.

Equations become MathML, by the converter that docutils carries: the pages need no
network, no script and no font but the reader's own.
"""

from importlib.metadata import version as installed_version
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
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
napoleon_use_rtype = False

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["mathml.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False


def visit_math(
    translator: HTML5Translator, node: nodes.math | nodes.math_block
) -> None:
    """Write one formula as MathML; one that cannot be converted is a warning."""
    try:
        formula = tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block))
    except MathError as error:
        logging.getLogger(__name__).warning(
            "no MathML for %r: %s", node.astext(), error, location=node
        )
        formula = f"<code>{translator.encode(node.astext())}</code>"
    translator.body.append(formula)
    raise nodes.SkipNode


def escape_bars(*event: Any) -> None:
    """Keep the bars of |x|, which reStructuredText would take for a substitution."""
    lines = event[-1]
    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else line.replace("|", r"\|")
        for line in lines
    ]


def unlink_words(_: Sphinx, doctree: nodes.document) -> None:
    """Leave words and letters alone, as in "shape (J, d)": only classes are linked."""
    for reference in list(doctree.findall(addnodes.pending_xref)):
        target = reference.get("reftarget", "")
        named = len(target) > 1 and target[0].isupper()
        if reference.get("reftype") == "class" and not named:
            reference.replace_self(reference.children)


def setup(app: Sphinx) -> None:
    """Register what stands above."""
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("doctree-read", unlink_words)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
