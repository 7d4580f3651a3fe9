"""The checks as tests of pytest, one each.

``pytest --pyargs verification.conformance --subject package.module:object`` runs all of
them; `parametrize_with_checks` makes some of them tests of one's own.  A check that
fails, or is inconclusive, is a failure that shows its evidence; one that cannot be run
is skipped with the reason.
"""

from __future__ import annotations

import inspect
import io
import secrets
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from verification.checks import Check, Outcome, Session, Verdict, find, run_check
from verification.connect import Command, connect
from verification.connect.in_process import DEFAULT
from verification.errors import UsageError
from verification.report.terminal import Terminal
from verification.report.words import fault
from verification.runner import describe, trusted
from verification.subject import Witness

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "verification.conformance needs pytest: pip install pytest", name=error.name
    ) from None

__all__ = ["Bench", "Examination", "parametrize_with_checks"]


class Bench:
    """One subject, one judge and one seed, for many examinations.

    Parameters
    ----------
    subject : object
        An instance; or a class or function without parameters, which is called when
        the first check is run.
    seed : int, optional
        Where the randomness of all checks comes from; by default fresh.
    deep : bool
        Whether the stochastic checks certify smaller differences, at greater cost.
    allow_inconclusive : bool
        Whether an inconclusive check is skipped, not failed.
    named : str
        How `verification` is told of the subject.
    """

    def __init__(
        self,
        subject: object,
        *,
        seed: int | None = None,
        deep: bool = False,
        allow_inconclusive: bool = False,
        named: str = "--subject package.module:object",
    ) -> None:
        self._given, self.named = subject, named
        self.seed = secrets.randbits(32) if seed is None else seed
        self.deep = deep
        self.allow_inconclusive = allow_inconclusive

    @cached_property
    def subject(self) -> object:
        """The instance that is judged."""
        given: Any = self._given
        # not `callable`: an instance may have a __call__ of its own
        makes_one = inspect.isclass(given) or inspect.isfunction(given)
        return given() if makes_one else given

    @cached_property
    def witness(self) -> Witness:
        """The subject as checks see it; the judge has examined itself before."""
        trusted(self.seed)
        return Witness(self.subject)

    def run(self, check: Check) -> Outcome:
        """What a check says of the subject."""
        return run_check(check, self.witness, Session(self.seed, self.deep))

    def hint(self, check: Check) -> str:
        """Of the methods that a check needs, those that may be there, misspelt."""
        asked = (*check.needs, *check.any_of)
        return "".join(
            f"; did you mean {method} by {name}?"
            for method, name in describe(self.subject).misspelt.items()
            if method in asked
        )


@dataclass(frozen=True)
class Examination:
    """A check of a subject, which a test calls without arguments."""

    check: Check
    bench: Bench

    def __call__(self) -> None:
        """Fail with the evidence, skip with the reason, or pass."""
        __tracebackhide__ = True
        outcome = self.bench.run(self.check)
        if outcome.verdict is Verdict.NOT_RUN:
            pytest.skip(outcome.message + self.bench.hint(self.check))
        if outcome.verdict is Verdict.INCONCLUSIVE and self.bench.allow_inconclusive:
            pytest.skip(f"inconclusive: {outcome.message}")
        if outcome.verdict is not Verdict.PASS:
            pytest.fail(_evidence(outcome, self.bench), pytrace=False)


def _evidence(outcome: Outcome, bench: Bench) -> str:
    """What is wrong, what the terminal shows of it, and how to go on."""
    text = io.StringIO()
    Terminal(text).outcome(outcome)
    check = outcome.check
    return (
        f"{fault(outcome)}\n{check.id}, {check.paper}: {check.claim}\n"
        f"{text.getvalue()}"
        f"what it computes instead: verification diagnose {bench.named}\n"
        f"seed {bench.seed}"
    )


def parametrize_with_checks(
    subject: object | Callable[[], object],
    ids: Iterable[str] = (),
    *,
    seed: int | None = None,
    deep: bool = False,
    allow_inconclusive: bool = False,
) -> pytest.MarkDecorator:
    """Parametrise a test with the checks of a subject, by the name ``check``.

    Parameters
    ----------
    subject : object
        An instance; or a class or function without parameters, which is called when
        the first check is run.
    ids : iterable of str
        Checks, families or patterns, as of ``verification run``; all by default.
    seed : int, optional
        Where the randomness of the checks comes from; by default fresh.
    deep : bool
        Whether the stochastic checks certify smaller differences, at greater cost.
    allow_inconclusive : bool
        Whether an inconclusive check is skipped, not failed.

    Raises
    ------
    UnknownCheck
        If one of the ids matches nothing.

    Examples
    --------
    >>> from verification.conformance import parametrize_with_checks
    >>> class Mine:
    ...     def heat(self, loss, x, tau): ...
    >>> @parametrize_with_checks(Mine, ["HEAT"])
    ... def test_conforms(check):
    ...     check()
    """
    bench = Bench(subject, seed=seed, deep=deep, allow_inconclusive=allow_inconclusive)
    return pytest.mark.parametrize("check", _examinations(bench, ids))


def _examinations(bench: Bench, ids: Iterable[str]) -> list[Any]:
    """Parameters of a test, with the checks' ids as their own."""
    return [pytest.param(Examination(one, bench), id=one.id) for one in find(ids)]


# --- for `pytest --pyargs verification.conformance`

_BENCH = pytest.StashKey[Bench]()


def begin(config: pytest.Config) -> None:
    """Reach the subject that the options name.

    Raises
    ------
    pytest.UsageError
        If that is impossible.
    """
    given = config.option
    try:
        subject = connect(
            given.verification_subject,
            given.verification_command,
            given.verification_time_limit,
        )
        if isinstance(subject, Command):
            config.add_cleanup(subject.close)
        bench = Bench(
            subject,
            seed=given.verification_seed,
            deep=given.verification_deep,
            allow_inconclusive=given.verification_allow_inconclusive,
            named=_named(given.verification_subject, given.verification_command),
        )
        describe(subject)
    except UsageError as complaint:
        raise pytest.UsageError(f"verification: {complaint}") from None
    config.stash[_BENCH] = bench


def _named(subject: str | None, command: str | None) -> str:
    words = (
        ["--subject", subject or DEFAULT] if command is None else ["--command", command]
    )
    return shlex.join(words)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make every check a test of the subject that the options name."""
    bench = metafunc.config.stash.get(_BENCH, None)
    if bench is None:
        raise pytest.UsageError("load the plugin: pytest -p verification.pytest_plugin")
    metafunc.parametrize("check", _examinations(bench, ()))


def test_conforms(check: Examination) -> None:
    """The subject conforms in what this check claims."""
    check()
