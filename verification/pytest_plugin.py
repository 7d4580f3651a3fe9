"""The options of `verification.conformance`, for pytest.

pytest loads this wherever the package is installed, so it imports nothing, and adds
its options only where the conformance tests are asked for: others may have the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_load_initial_conftests", "pytest_sessionstart"]

TESTS = "verification.conformance"


def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> None:
    """Add the options of `verification run`, under the same names."""
    if not any(_asks_for_us(word) for word in args):
        return
    group = parser.getgroup("verification", "the judge of verification.conformance")
    group.addoption(
        "--subject",
        dest="verification_subject",
        metavar="package.module:object",
        help="an instance, or a class called without arguments (default: refimpl)",
    )
    group.addoption(
        "--command",
        dest="verification_command",
        metavar="COMMAND",
        help="a harness that speaks JSON lines, in place of a subject",
    )
    group.addoption(
        "--time-limit",
        dest="verification_time_limit",
        type=float,
        metavar="SECONDS",
        help="how long a call of the harness may take (default: 60)",
    )
    group.addoption(
        "--seed",
        dest="verification_seed",
        type=int,
        metavar="N",
        help="default: fresh, and told by failures",
    )
    group.addoption(
        "--deep",
        dest="verification_deep",
        action="store_true",
        help="let the stochastic checks certify half the differences",
    )
    group.addoption(
        "--allow-inconclusive",
        dest="verification_allow_inconclusive",
        action="store_true",
        help="skip a check that is inconclusive, which is else a failure",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Reach the subject, before any test is made of it."""
    if hasattr(session.config.option, "verification_subject"):
        from verification.conformance import begin

        begin(session.config)


def _asks_for_us(word: str) -> bool:
    path = word.partition("::")[0].replace("\\", "/")
    return path == TESTS or path.endswith(TESTS.replace(".", "/") + ".py")
