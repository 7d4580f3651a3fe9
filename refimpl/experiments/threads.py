"""One thread for matrix products, so that their bits do not depend on the machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import scipy.linalg  # noqa: F401  (its BLAS must be loaded where threads are limited)

from refimpl.errors import MissingExtra


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Compute on one core; on several, sums would depend on how many there are.

    Raises
    ------
    MissingExtra
        If threadpoolctl is absent.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise MissingExtra(
            "computing on one core needs threadpoolctl, which the extra `experiments` "
            'brings: pip install "local-entropy-oracle[experiments]"'
        ) from error
    with threadpool_limits(1):
        yield
