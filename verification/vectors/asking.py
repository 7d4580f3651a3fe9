"""How a subject is asked for an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from verification.errors import NotRun
from verification.subject import CONVENTIONS, Witness
from verification.vectors.designs import Case

__all__ = ["METHODS", "ask", "shape", "unit_draws"]

#: The method of the protocol that answers a family, for its table in the documentation.
METHODS = {
    "sgld_replay": ("sgld_mean",),
    "sgld_impulse": ("sgld_mean",),
    "rm_replay": ("robbins_monro",),
    "is_replay": ("importance_mean", "importance_weights"),
    "is_extreme": ("importance_mean",),
    "local_entropy": ("local_entropy", "local_entropy_gradient"),
    "heat": ("heat", "heat_gradient"),
    "posterior_moments": ("posterior_mean", "posterior_covariance"),
    "kl_gauss": ("kl_gaussian",),
    "alg1_steps": ("minimise_local_entropy",),
    "alg2_steps": ("minimise_heat",),
    "majorizers": ("majoriser", "heat_majoriser"),
    "mlp": ("network_loss_and_gradient",),
    "schedules": ("scoping", "step_schedule"),
    "laws": ("sgld_mean", "importance_mean", "robbins_monro"),
}

_CHAIN, _DESCENT = ("sgld.chain", "sgld.output"), ("robbins_monro.moves",)

#: The readings of the paper on which the answers of a family depend; those of the
#: laws, by their algorithm.  A loss that is a sum is what `Witness` makes of it.
READINGS: dict[str, tuple[str, ...]] = {
    "sgld_replay": _CHAIN,
    "sgld_impulse": _CHAIN,
    "rm_replay": _DESCENT,
    "mlp": ("loss.reduction",),
}
LAWS: dict[int, tuple[str, ...]] = {3: _CHAIN, 4: (), 5: _DESCENT}


def ask(w: Witness, family: str, case: Case) -> Any:
    """The subject's answer, a number or an array.

    Raises
    ------
    NotRun
        If the subject lacks the method or declares another reading of the paper.
    SubjectFault
        If it answers in a wrong form or not at all.
    """
    for key in _readings(family, case):
        right = case.conventions.get(key, CONVENTIONS[key][0])
        if w.conventions[key] != right:
            raise NotRun(f"the subject declares {key} = {w.conventions[key]}")
    return _ASKED[family](w, case)


def _readings(family: str, case: Case) -> tuple[str, ...]:
    if family == "laws":
        return LAWS[case.input["algorithm"]]
    return READINGS.get(family, ())


def _chain(w: Witness, case: Case) -> Any:
    given = case.input
    start = {} if given["start"] is None else {"start": given["start"]}
    setting = (case.loss, given["x"], given["tau"], given["step_sizes"])
    return w.sgld_mean(*setting, draws=_draws(case), **start)[0]


def _descent(w: Witness, case: Case) -> Any:
    given = case.input
    start = {} if given["start"] is None else {"start": given["start"]}
    setting = (case.loss, given["x"], given["tau"], given["step_sizes"])
    more = {"draws": _draws(case), **start}
    return w.robbins_monro(*setting, given["inner_samples"], **more)[0]


def _samples(w: Witness, case: Case) -> Any:
    given = case.input
    method = "importance_" + given["quantity"]
    setting = (case.loss, given["x"], given["tau"], given["samples"])
    shared = {"workers": given["workers"], "draws": _draws(case)}
    return getattr(w, method)(*setting, **shared)[0]


def _draws(case: Case) -> Any:
    """Those of the one replicate."""
    return np.array([case.input["draws"]])


def _by_quantity(**methods: str) -> Callable[[Witness, Case], Any]:
    """The method that the input's quantity names, of a loss, x and tau."""

    def asked(w: Witness, case: Case) -> Any:
        given = case.input
        points = [given[name] for name in ("x", "y") if name in given]
        method = getattr(w, methods[given["quantity"]])
        return method(case.loss, *points, given["tau"])

    return asked


def _updates(method: str) -> Callable[[Witness, Case], Any]:
    def asked(w: Witness, case: Case) -> Any:
        given = case.input
        setting = (case.loss, given["x0"], given["tau"], given["updates"])
        return getattr(w, method)(*setting)

    return asked


def _divergence(w: Witness, case: Case) -> Any:
    names = ("mean0", "cov0", "mean1", "cov1")
    return w.kl_gaussian(*(case.input[name] for name in names))


def _network(w: Witness, case: Case) -> Any:
    loss, x = case.loss, np.array(case.input["x"])
    pair = w.network_loss_and_gradient(loss.sizes, x, loss.images, loss.labels)
    return pair[case.input["quantity"] == "gradient"]


def _schedule(w: Witness, case: Case) -> Any:
    given = case.input
    if given["kind"] == "scoping":
        k = given["k"] + int(w.conventions["scoping.origin"])
        return w.scoping(given["tau0"], given["tau1"], k)
    return w.step_schedule(given["kind"], given["parameters"], given["count"])


def _law(w: Witness, case: Case) -> Any:
    """Mean or covariance of the output from its answers to unit draws.

    On these losses the output is an affine function of the draws.
    """
    outputs = _probed(w, case)
    if case.input["quantity"] == "mean":
        return outputs[0]
    gains = outputs[1:] - outputs[0]
    return gains.T @ gains


def _probed(w: Witness, case: Case) -> Any:
    """The output without draws, and with each draw in turn equal to 1: (1 + m, d)."""
    given, d = case.input, len(case.input["x"])
    setting = (case.loss, given["x"], given["tau"])
    if given["algorithm"] == 4:
        z = unit_draws(given["samples"], d)
        more = {"workers": given["workers"], "draws": z, "n": len(z)}
        return w.importance_mean(*setting, given["samples"], **more)
    steps, start = given["step_sizes"], {}
    if given["start"] is not None:
        start = {"start": given["start"]}
    if given["algorithm"] == 3:
        z = unit_draws(len(steps) - 1, d)
        return w.sgld_mean(*setting, steps, draws=z, n=len(z), **start)
    M = given["inner_samples"]
    z = unit_draws(len(steps), M, d)
    return w.robbins_monro(*setting, steps, M, draws=z, n=len(z), **start)


def unit_draws(*shape: int) -> Any:
    """Zero draws of this shape, and then one replicate for each draw that is 1."""
    count = int(np.prod(shape))
    return np.vstack([np.zeros(count), np.eye(count)]).reshape(-1, *shape)


_ASKED: dict[str, Callable[[Witness, Case], Any]] = {
    "sgld_replay": _chain,
    "sgld_impulse": _chain,
    "rm_replay": _descent,
    "is_replay": _samples,
    "is_extreme": _samples,
    "local_entropy": _by_quantity(
        value="local_entropy", gradient="local_entropy_gradient"
    ),
    "heat": _by_quantity(value="heat", gradient="heat_gradient"),
    "posterior_moments": _by_quantity(
        mean="posterior_mean", covariance="posterior_covariance"
    ),
    "kl_gauss": _divergence,
    "alg1_steps": _updates("minimise_local_entropy"),
    "alg2_steps": _updates("minimise_heat"),
    "majorizers": _by_quantity(local_entropy="majoriser", heat="heat_majoriser"),
    "mlp": _network,
    "schedules": _schedule,
    "laws": _law,
}


def shape(value: Any) -> tuple[int, ...]:
    """The shape of nested lists.

    Raises
    ------
    ValueError
        If they are ragged.
    """
    if not isinstance(value, list | tuple):
        return ()
    inner = {shape(entry) for entry in value}
    if len(inner) > 1:
        raise ValueError("the lists are ragged")
    return (len(value), *(inner.pop() if inner else ()))
