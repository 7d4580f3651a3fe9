"""What is mutated, and by whom it is to be caught."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "SCOPES", "Scope"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Scope:
    """Files that are mutated together.

    Attributes
    ----------
    name : str
    files : tuple of str
        Paths below the root; a folder stands for its modules.
    tests : tuple of str
        What pytest collects, below the root.
    levels : str
        Whose cases judge, see `verification.checks.LEVELS`.
    checks_first : bool
        Whether a mutant is shown to the checks before the tests.  For a truth the
        other derivations, which are tests, come first: that a check fails the right
        subject shows no more than that two of three differ.
    remembered : tuple of str
        Packages whose memory of earlier calls is dropped before a mutant is judged.
    without : tuple of str
        Beginnings of the names of judges that are not asked: they start processes,
        in which no mutant is, or take longer than all others together.
    family : str
        What the names of its checks begin with; by default any check judges.
    """

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]
    levels: str
    checks_first: bool
    remembered: tuple[str, ...]
    without: tuple[str, ...] = ()
    family: str = ""

    def modules(self) -> dict[str, str]:
        """For each file the dotted name of its module."""
        found = [
            path
            for name in self.files
            for path in (
                sorted((ROOT / name).glob("*.py"))
                if (ROOT / name).is_dir()
                else [ROOT / name]
            )
        ]
        names = [path.relative_to(ROOT).as_posix() for path in found]
        return {
            name: name.removesuffix(".py").replace("/", ".")
            for name in names
            if not name.endswith("__init__.py")
        }


STARTING = (
    "tests/test_kernels.py::test_without_the_compiler",
    "tests/test_network.py::test_the_same_bits",
    "tests/test_samplers.py::test_two_processes",
    "tests/test_samplers.py::test_workers_do_not_change",
    "tests/test_diagnostics.py::test_the_library_is_imported",
)
"""Tests that start processes."""


def _tests(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/test_{name}.py" for name in names)


_ALL = (
    Scope(
        name="refimpl",
        files=(
            *("refimpl/arrays.py", "refimpl/schedules.py", "refimpl/streams.py"),
            *("refimpl/noise.py", "refimpl/initialisations.py", "refimpl/laws.py"),
            *("refimpl/losses", "refimpl/network.py", "refimpl/network_kernels.py"),
            *("refimpl/quadrature.py", "refimpl/regularised.py"),
            *("refimpl/output_laws.py", "refimpl/span.py", "refimpl/exact.py"),
            *("refimpl/sgld.py", "refimpl/importance.py", "refimpl/robbins_monro.py"),
            *("refimpl/heat_sgd.py", "refimpl/two_step.py", "refimpl/sgd.py"),
            "refimpl/diagnostics.py",
        ),
        tests=(
            *_tests("agreement", "arrays", "bad_input", "diagnostics", "exact"),
            *_tests("importance_tasks", "initialisations"),
            *_tests("kernels", "laws", "loss_contract", "loss_data", "loss_details"),
            *_tests("network", "quadrature_details", "refimpl_output_laws"),
            *_tests("refusals", "regularised", "samplers"),
            *_tests("exact_details", "schedules_streams", "span", "spread", "two_step"),
            *("refimpl/losses", "refimpl/arrays.py", "refimpl/regularised.py"),
        ),
        levels="DR",
        checks_first=True,
        remembered=("refimpl", "verification.adapter", "tests"),
        without=("HEAT-07", "HEAT-08", *STARTING),
    ),
    Scope(
        name="multiscale",
        files=("refimpl/multiscale",),
        tests=(
            *_tests("multiscale_coins", "multiscale_enumeration", "multiscale_finite"),
            *_tests("multiscale_gaussian", "multiscale_langevin", "multiscale_risk"),
            *_tests("multiscale_local_entropies", "multiscale_metropolis"),
            *_tests("multiscale_spins", "multiscale_details"),
            *_tests("bad_input", "refusals"),
            "refimpl/multiscale",
        ),
        levels="DR",
        checks_first=True,
        remembered=("refimpl", "verification.adapter", "tests"),
        without=("self-check",),
        family="MS",
    ),
    Scope(
        name="truth",
        files=(
            *("verification/truth/algebra.py", "verification/truth/carriers.py"),
            *("verification/truth/closed_forms.py", "verification/truth/moments.py"),
            *("verification/truth/double_double.py", "verification/truth/network.py"),
            *("verification/truth/landscape.py", "verification/truth/proximal.py"),
            *("verification/truth/one_direction.py", "verification/truth/replay.py"),
            "verification/truth/output_laws.py",
            "verification/truth/quadrature.py",
        ),
        tests=_tests(
            *("truth", "truth_details", "truth_numerics", "truth_vectors"),
            "truth_one_direction",
            *("output_laws", "replay_checks", "network_checks", "span_checks"),
        ),
        levels="DR",
        checks_first=False,
        remembered=("refimpl", "verification", "tests"),
        without=("HEAT-07", "HEAT-08", *STARTING),
    ),
)
SCOPES = {scope.name: scope for scope in _ALL}
