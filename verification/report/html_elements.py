"""Elements of a page: whatever text they are given, it stays text."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from verification.report.words import clean

__all__ = ["Child", "as_text", "h"]

Child = ET.Element | str | None


def h(tag: str, *children: Child, **attributes: str) -> ET.Element:
    """An element.

    Parameters
    ----------
    tag : str
    children : Element, str or None
        What it holds, in this order; None is left out.
    attributes : str
        By name; an underscore stands for a hyphen, one at the end for nothing, so
        that ``class_`` is possible.

    Examples
    --------
    >>> as_text(h("b", "1 < 2", class_="claim"))
    '<b class="claim">1 &lt; 2</b>'
    """
    named = {k.rstrip("_").replace("_", "-"): clean(v) for k, v in attributes.items()}
    element = ET.Element(tag, named)
    for child in children:
        if isinstance(child, ET.Element):
            element.append(child)
        elif child is not None:
            _append(element, clean(child))
    return element


def _append(element: ET.Element, text: str) -> None:
    """Text behind the last child, or at the beginning."""
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def as_text(element: ET.Element) -> str:
    """The element in the syntax of HTML."""
    return ET.tostring(element, encoding="unicode", method="html")
