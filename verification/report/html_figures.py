"""The two figures of the page: correct digits, and evidence between its boundaries."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from verification.evidence.sequential import Evidence, as_power_of_ten
from verification.report.html_elements import h

__all__ = ["bar", "evidence", "in_words"]

DIGITS = 17.0  # the scale of a bar
WIDTH, HEIGHT = 260.0, 116.0  # of the figure of the evidence
MARGIN = 15.0  # above and below what is drawn, for words
ABOVE, BELOW = 1.2, 1.15  # what is drawn, in multiples of the boundaries


def bar(digits: float, needed: float) -> ET.Element:
    """Correct digits as a bar, with a mark at the digits that are required.

    Parameters
    ----------
    digits, needed : float
        From 0 to 17.
    """
    kind = "good" if digits >= needed else "bad"
    place = f"{needed:.2f}"
    return h(
        "svg",
        h("rect", class_="track", width=f"{DIGITS:g}", y="1", height="2"),
        h("rect", class_=kind, width=f"{digits:.2f}", y="1", height="2"),
        h("line", class_="need", x1=place, x2=place, y1="0", y2="4"),
        class_="bar",
        viewBox=f"0 0 {DIGITS:g} 4",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{digits:.1f} correct digits, {needed:.1f} required",
    )


def evidence(test: Evidence) -> ET.Element:
    """The evidence on its way between the boundaries of FAIL and PASS.

    What leaves the figure is drawn at its edge.
    """
    top, bottom = ABOVE * test.tolerance, BELOW * test.needed

    def x(n: float) -> float:
        return WIDTH * n / max(test.n, 1)

    def y(value: float) -> float:
        share = (top - min(max(value, bottom), top)) / (top - bottom)
        return MARGIN + (HEIGHT - 2 * MARGIN) * share

    def line(kind: str, values: list[tuple[float, float]]) -> ET.Element:
        points = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in values)
        return h("polyline", class_=kind, points=points)

    def level(kind: str, value: float) -> ET.Element:
        return line(f"{kind} boundary", [(0, value), (test.n, value)])

    def label(kind: str, text: str, place: float, at: str = "start") -> ET.Element:
        across = "0" if at == "start" else f"{WIDTH:g}"
        return h("text", text, class_=kind, x=across, y=f"{place:.1f}", text_anchor=at)

    above, below = y(test.tolerance) - 4, HEIGHT - 3
    fails, passes = as_power_of_ten(test.tolerance), as_power_of_ten(test.needed)
    return h(
        "svg",
        line("zero", [(0, 0.0), (test.n, 0.0)]),
        level("fail", test.tolerance),
        level("pass", test.needed),
        line("fail path", [(n, value) for n, value, _ in test.path]),
        line("pass path", [(n, value) for n, _, value in test.path]),
        label("fail", f"FAIL from {fails}", above),
        label("pass", f"PASS below {passes}", below),
        label("count", f"{test.n} replicates", below, "end"),
        class_="evidence",
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
        aria_label="; ".join(in_words(test)),
    )


def in_words(test: Evidence) -> tuple[str, str]:
    """Where the two paths ended, beside their boundaries."""
    largest, fails, ratio, passes = map(
        as_power_of_ten, (test.error, test.tolerance, test.certificate, test.needed)
    )
    return (
        f"largest evidence {largest} to 1, a FAIL from {fails}",
        f"likelihood ratio {ratio}, a PASS below {passes}",
    )
