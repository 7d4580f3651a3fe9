"""What the doors of the library let in, where no single loss or law shows it."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import arrays
from refimpl.errors import InvalidParameter, NonFinite


def test_a_vector_without_entries_fixes_no_number_of_parameters() -> None:
    with pytest.raises(InvalidParameter, match="m must have at least one entry"):
        arrays.as_parameters("m", [])


@pytest.mark.parametrize("rows", [[-1, 0], [0, -1], [0, 3], [3, 0], [-1, 3]])
def test_one_row_that_is_not_there_is_enough(rows: list[int]) -> None:
    with pytest.raises(InvalidParameter, match="from 0 to N - 1 = 2"):
        arrays.as_rows(rows, 3)
    assert arrays.as_rows([2, 0], 3).tolist() == [2, 0]


def test_stacks_of_matrices_are_square_and_of_the_size_asked_for() -> None:
    """However many there are: as many as rows, or another number."""
    for K in (2, 3):
        with pytest.raises(InvalidParameter, match="must be square"):
            arrays.as_symmetric("S", np.ones((K, 2, 3)))
        with pytest.raises(InvalidParameter, match="must be 2 x 2"):
            arrays.as_symmetric("S", np.ones((K, 3, 3)), 2)
        assert arrays.as_symmetric("S", np.ones((K, 2, 2)), 2).shape == (K, 2, 2)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("sign", [-1, 1])
def test_asymmetry_is_measured_beside_the_largest_entry(
    scale: float, sign: int
) -> None:
    """Two roundings of an entry pass and are averaged, a billionth does not."""
    rounded = [[0.0, 1 + 2.0**-51, 0.5], [1.0, 0.25, 0.5], [0.5, 0.5, 0.75]]
    matrix = sign * scale * np.array(rounded)
    found = arrays.as_symmetric("S", matrix)
    assert found[0, 1] == found[1, 0] == (matrix[0, 1] + matrix[1, 0]) / 2
    matrix[0, 1] = sign * scale * (1 + 1e-9)
    with pytest.raises(InvalidParameter, match="must be symmetric"):
        arrays.as_symmetric("S", matrix)


def test_the_least_eigenvalue_of_a_stack_is_named() -> None:
    stack = np.array([np.eye(2), np.diag([2.0, -3.0]), np.diag([-1.0, 1.0])])
    with pytest.raises(InvalidParameter, match=r"its least eigenvalue is -3$"):
        arrays.cholesky("S", stack)


def test_what_is_not_finite_is_located() -> None:
    with pytest.raises(NonFinite, match=r"^f is not finite: "):
        arrays.require_finite(np.float64(np.nan), "f")
    with pytest.raises(NonFinite, match=r"^f is not finite at index \[1\]: "):
        arrays.require_finite(np.array([0.0, np.inf]), "f")
    with pytest.raises(NonFinite, match=r"^f is not finite at index \[0 1\]: "):
        arrays.require_finite(np.array([[0.0, np.inf]]), "f")
