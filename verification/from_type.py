"""The losses of the suite for Hypothesis's ``from_type``.

Hypothesis calls `register` whenever it is imported where this package is installed, and
`verification.losses` does when Hypothesis is there already: so ``from_type`` knows the
losses in whatever order the two are imported, and neither waits for the other.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from typing import Any

__all__ = ["register"]


def register() -> None:
    """Tell Hypothesis, if the losses are there, which strategies make them.

    Networks have none: their parameters are no free choice of a dimension.
    """
    losses = sys.modules.get("verification.losses")
    if losses is None or not hasattr(losses, "KINDS"):  # it is being imported
        return
    strategies: Any = import_module("hypothesis.strategies")
    kinds = {kind: cls for kind, cls in losses.KINDS.items() if kind != "network"}
    for kind, cls in kinds.items():
        strategies.register_type_strategy(cls, partial(_made, [kind]))
    strategies.register_type_strategy(losses.LossData, partial(_made, [*kinds]))


def _made(kinds: list[str], _: type) -> Any:
    return import_module("verification.strategies").losses(kinds)
