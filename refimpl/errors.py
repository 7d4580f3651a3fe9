"""What can go wrong, one class each.

Every exception that this package raises on purpose is a `RefimplError`.
"""

from typing import Any


class RefimplError(Exception):
    """Base class of all errors of this package.

    Its text is one line, also where it quotes a matrix.
    """

    def __str__(self) -> str:
        return " ".join(map(str.strip, super().__str__().splitlines()))


class InvalidParameter(RefimplError, ValueError):
    """An argument is not what the mathematics asks for."""


class NotIntegrable(InvalidParameter):
    """An integral of the paper is infinite for these arguments."""


class NonFinite(RefimplError, ArithmeticError):
    """A computed value is infinite or not a number."""


class NoClosedForm(RefimplError, NotImplementedError):
    """The loss does not know this integral, and quadrature cannot replace it."""


class Unresolved(RefimplError, ArithmeticError):
    """Quadrature would need more nodes than its budget, or missed its tolerance."""


class MissingExtra(RefimplError, ImportError):
    """A library is missing that an optional extra of this package brings."""


class MissingData(RefimplError, OSError):
    """Data are not where they were looked for, or could not be downloaded."""


class InvalidData(InvalidParameter):
    """A file is not what its format says, or not the one that was asked for."""


class NotCertified(RefimplError, ArithmeticError):
    """A minimiser was not found, or could not be shown to be the global one.

    Attributes
    ----------
    best : ndarray or None, shape (d,)
        The best point found, where there is one.
    """

    def __init__(self, message: str, best: Any = None) -> None:
        super().__init__(message)
        self.best = best
