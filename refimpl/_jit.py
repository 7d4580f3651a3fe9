"""The one place that knows numba.

A kernel is written as plain Python and stamped with `jit`.  The plain face stays
reachable as ``kernel.py_func``, and with ``NUMBA_DISABLE_JIT=1`` in the environment
every kernel runs as plain Python.

No ``fastmath``: infinities and NaN keep their meaning and both faces add in the same
order.

What is compiled is kept on disk, and compiled anew when a source of it changes.  Numba
looks at the file in which a kernel stands, its own version and the processor; so a
kernel uses nothing of another file of the package, which a test reads from the source.
The options below it does not look at: they are in the names of the files it keeps.
"""

from collections.abc import Callable
from typing import Any

import numba

Kernel = Callable[..., Any]

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def jit(kernel: Kernel) -> Any:
    """Compile a kernel, cached on disk; it keeps its plain face in ``py_func``."""
    name = kernel.__qualname__
    kernel.__qualname__ = "-".join([name, *(f"{k}-{v}" for k, v in OPTIONS.items())])
    compiled = numba.njit(cache=True, **OPTIONS)(kernel)  # names its files now
    kernel.__qualname__ = name
    return compiled
