"""The one place that knows numba.

A kernel is written as plain Python and stamped with `jit`.  The plain face stays
reachable as ``kernel.py_func``, and with ``NUMBA_DISABLE_JIT=1`` in the environment
every kernel runs as plain Python.

No ``fastmath``: infinities and NaN keep their meaning and both faces add in the same
order.  A kernel calls no kernel of another file, because numba's cache watches only
the file in which a kernel stands and would keep a stale compilation.
"""

from collections.abc import Callable
from typing import Any

import numba

Kernel = Callable[..., Any]


def jit(kernel: Kernel) -> Any:
    """Compile a kernel, cached on disk; it keeps its plain face in ``py_func``."""
    return numba.njit(cache=True, nogil=True, error_model="numpy")(kernel)
