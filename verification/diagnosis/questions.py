"""What a subject is asked so that its answers tell the mistakes apart.

Generic numbers throughout: decimals that no binary format holds, uneven steps, moved
starts, several dimensions, so that two subjects agree on all of them only if they
compute the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification import problems as P
from verification.errors import NotFinite, NotRun, SubjectFault
from verification.losses import LeastSquares
from verification.problems import Problem
from verification.subject import Witness

__all__ = [
    "FAMILIES",
    "NOT_FINITE",
    "ROUNDING",
    "THEORY",
    "Answer",
    "Question",
    "answered",
    "ask_network",
    "difference",
    "families_of",
    "is_first_round",
    "questions",
    "rounding",
    "silent",
]

Array = NDArray[np.float64]

#: Of a subject's unit roundoff: how far two computations of the same may be apart.
#: Chains of a dozen moves lose a few hundred units; the nearest mistakes that differ
#: in precision alone are off by 2^29 units.
ROUNDING = 4096.0
#: Of the size of an answer that a subject may have to integrate for.
INTEGRATED = 1e-7

#: The methods of each part of the protocol that one diagnosis serves.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "Algorithm 3": ("sgld_mean", "sgld_trace"),
    "Algorithm 4": ("importance_mean", "importance_weights"),
    "Algorithm 5": ("robbins_monro", "robbins_monro_trace"),
    "runs": ("train",),
    "networks": ("network_loss_and_gradient",),
    "minibatches": ("minibatch_indices",),
    "theory": (
        *("local_entropy", "local_entropy_gradient", "posterior_mean"),
        *("posterior_covariance", "heat", "heat_gradient", "heat_proximal_point"),
        *("kl_gaussian", "minimise_local_entropy", "minimise_heat", "majoriser"),
        *("heat_majoriser", "scoping", "step_schedule"),
    ),
}
THEORY = FAMILIES["theory"]


def families_of(methods: Iterable[str]) -> list[str]:
    """The parts of the protocol that methods belong to, of those served here."""
    called = set(methods)
    return [name for name, own in FAMILIES.items() if called & set(own)]


@dataclass(frozen=True)
class Question:
    """One call of one method.

    Attributes
    ----------
    method : str
    label : str
    ask : callable
        From a witness, or whoever has the method, to its answer.
    refused : bool
        Whether there is no right number: then any refusal is as good as another.
    """

    method: str
    label: str
    ask: Callable[[Any], Any]
    refused: bool = False


FIRST_ROUND = " (first)"
NOT_FINITE, REFUSED = "not finite", "refused"

#: Numbers, or why there are none; only some faults compare with others.
Answer = Array | str


def answered(w: Witness, q: Question) -> Answer:
    """What a subject answers: numbers, or in words why not."""
    try:
        answer = q.ask(w)
    except NotFinite:
        return REFUSED if q.refused else NOT_FINITE
    except NotRun as reason:
        return f"not run: {reason}"
    except SubjectFault as fault:
        return REFUSED if q.refused else str(fault)
    if isinstance(answer, tuple):
        return np.append(answer[1], answer[0])
    return np.asarray(answer, dtype=np.float64)


def difference(one: Answer, other: Answer) -> float:
    """How far two answers are apart, relative to their size; 1 at least for words."""
    if isinstance(one, str) or isinstance(other, str):
        alike = isinstance(one, str) and isinstance(other, str) and one == other
        return 0.0 if alike and _tells(str(one)) else np.inf
    if one.shape != other.shape:
        return np.inf
    size = max(1.0, float(np.abs(other).max(initial=0.0)))
    return float(np.abs(one - other).max(initial=0.0)) / size


def silent(answer: Answer) -> bool:
    """Whether an answer is words that say nothing of a mistake."""
    return isinstance(answer, str) and not _tells(answer)


def _tells(fault: str) -> bool:
    """Whether it is the fault of a mistake, and not of an adapter."""
    return fault in (NOT_FINITE, REFUSED) or "changed its argument" in fault


def rounding(w: Witness, method: str) -> float:
    """How far an answer may be from a candidate's if they compute the same."""
    least = ROUNDING * w.unit_roundoff
    return max(least, INTEGRATED) if method in THEORY else least


def questions(w: Witness, family: str) -> list[Question]:
    """All that a family is asked, of what the subject provides."""
    makers: dict[str, Callable[[Witness], list[Question]]] = {
        "Algorithm 3": _on_chains,
        "Algorithm 4": _on_samples,
        "Algorithm 5": _on_descents,
        "runs": _on_runs,
        "networks": lambda _: _on_networks(),
        "minibatches": lambda _: [],
        "theory": lambda _: _on_theory(),
    }
    return [q for q in makers[family](w) if w.provides(q.method)]


# --- problems -------------------------------------------------------------------------


def generic(draws: Any) -> Array:
    """Draws that single precision cannot hold."""
    return np.asarray(draws) * (1 + 1e-7 / 3)


@cache
def chains() -> tuple[Problem, ...]:
    """Runs of Algorithm 3, with one row of draws more than a literal chain needs."""
    five = (0.31, 0.11, 0.23, 0.07, 0.17)
    six = (0.13, 0.37, 0.19, 0.29, 0.07, 0.41)
    small = (0.007, 0.011, 0.003, 0.013)
    return (
        # the cheapest first: most candidates go no further
        P.chain(
            "least squares d=2", P.LEAST_SQUARES_2, 0.13, five[1:], n=2, moved=True
        ),
        P.chain("indefinite d=3", P.INDEFINITE_3, 1.3, six, n=2),
        P.chain("wells d=2", P.WELLS_2, 0.3, five, n=2, moved=True),
        P.chain("mixture d=2", P.MIXTURE_2, 0.7, (*six, 0.23), n=1),
        P.chain("steep", P.STIFF_2, 0.6, small, x=P.STEEP),
    )


@cache
def networks_in_chains() -> tuple[Problem, ...]:
    """Runs of Algorithm 3 on networks that are no ReLU."""
    three = (0.31, 0.11, 0.23)
    return (
        P.chain("tanh d=14", P.TANH_14, 0.3, three, moved=True),
        P.chain("sigmoid d=17", P.SIGMOID_17, 0.7, three, moved=True),
    )


@cache
def samples() -> tuple[Problem, ...]:
    """Runs of Algorithm 4."""
    return (
        P.sample("least squares d=2", P.LEAST_SQUARES_2, 0.13, 5, n=2),
        P.sample("indefinite d=3", P.INDEFINITE_3, 1.3, 8, n=2, workers=3),
        P.sample("wells d=2", P.WELLS_2, 0.7, 8, n=2, workers=3),
        P.sample("mixture d=2", P.MIXTURE_2, 0.3, 20, workers=3),
        P.sample(
            "mixture d=2, far out", P.MIXTURE_2, 0.3, 7, x=(60.0, -45.0), workers=2
        ),
    )


@cache
def descents() -> tuple[Problem, ...]:
    """Runs of Algorithm 5, with power laws as steps."""

    def law(c: float, alpha: float, J: int) -> tuple[float, ...]:
        return tuple((c * np.arange(1.0, J + 1) ** -alpha).tolist())

    return (
        P.descent(
            "least squares d=2", P.LEAST_SQUARES_2, 0.13, law(0.53, 0.6, 3), 6,
            moved=True,
        ),
        P.descent("indefinite d=3", P.INDEFINITE_3, 0.7, law(0.31, 0.8, 5), 3, n=2),
        P.descent("wells d=2", P.WELLS_2, 0.3, law(0.47, 0.7, 4), 3, n=2, moved=True),
        P.descent("mixture d=2", P.MIXTURE_2, 0.7, law(0.37, 0.9, 4), 6),
        P.descent("steep", P.STIFF_2, 0.06, law(0.13, 0.7, 3), 3, x=P.STEEP),
    )  # fmt: skip


@cache
def networks_in_descents() -> tuple[Problem, ...]:
    """Runs of Algorithm 5 on networks that are no ReLU."""
    steps = (0.31, 0.31 * 2**-0.7)
    return (
        P.descent("tanh d=14", P.TANH_14, 0.3, steps, 3, moved=True),
        P.descent("sigmoid d=17", P.SIGMOID_17, 0.7, steps, 3, moved=True),
    )


@cache
def runs() -> tuple[Problem, ...]:
    """Whole runs, on minibatches of unlike sizes of examples and without."""
    taus = (0.71, 0.43, 0.13)
    pairs, triples = ((4, 1), (0, 3), (5, 2)), ((3, 0, 1), (2, 1, 3), (0, 2, 1))
    steps = (0.13, 0.31, 0.07, 0.19)
    law = tuple((0.47 * np.arange(1.0, 5) ** -0.7).tolist())
    squares, others = P.LEAST_SQUARES_2, P.LEAST_SQUARES_3
    chain: dict[str, Any] = {"method": "sgld", "step_sizes": steps}
    sampling: dict[str, Any] = {"method": "importance", "samples": 15, "workers": 3}
    descent: dict[str, Any] = {
        "method": "robbins_monro",
        "step_sizes": law,
        "inner_samples": 5,
    }
    cold: dict[str, Any] = {"start": "centre"}
    warm: dict[str, Any] = {"start": "previous"}
    return (
        # one after the other in one dimension, for what is kept between runs
        P.training("cold", squares, tau=taus, batches=pairs, **chain, **cold),
        P.training("warm", squares, tau=taus, batches=pairs, **chain, **warm),
        P.training("warm wells", P.WELLS_2, tau=taus[:2], **chain, **warm),
        P.training("sampled", others, tau=taus, batches=triples, **sampling),
        P.training("sampled mixture", P.MIXTURE_2, tau=taus[:2], **sampling),
        P.training("descended", squares, tau=taus, batches=pairs, **descent),
        P.training("descended mixture", P.MIXTURE_2, tau=taus[:2], **descent),
    )


# --- questions ------------------------------------------------------------------------


def chain_draws(w: Witness, p: Problem) -> Array:
    """The draws that the subject's reading of Algorithm 3 needs."""
    z = generic(p.more["draws"])
    return z[:, :-1] if w.conventions["sgld.chain"] == "literal" else z


def descent_draws(w: Witness, p: Problem) -> Array:
    """The draws that the subject's reading of Algorithm 5 needs."""
    z = generic(p.more["draws"])
    return z if w.conventions["robbins_monro.moves"] == "J" else z[:, :-1]


def ask_chain(w: Witness, method: str, p: Problem, z: Any) -> Any:
    """A method of Algorithm 3 on given draws (n, moves, d)."""
    return _ask(w, method, p, (p.more["step_sizes"],), z, start=p.more["start"])


def ask_samples(w: Witness, method: str, p: Problem, z: Any) -> Any:
    """A method of Algorithm 4 on given draws (n, J, d)."""
    shared = p.more["workers"] if p.more["workers"] > 1 else None
    return _ask(w, method, p, (p.more["samples"],), z, workers=shared)


def ask_descent(w: Witness, method: str, p: Problem, z: Any) -> Any:
    """A method of Algorithm 5 on given draws (n, moves, M, d)."""
    sizes = (p.more["step_sizes"], p.more["inner_samples"])
    return _ask(w, method, p, sizes, z, start=p.more["start"])


def _ask(
    w: Witness, method: str, p: Problem, sizes: Any, z: Any, **keywords: Any
) -> Any:
    given = {name: value for name, value in keywords.items() if value is not None}
    if len(z) > 1:
        given["n"] = len(z)
    return getattr(w, method)(p.loss, p.x, p.tau, *sizes, draws=z, **given)


def _on_chains(w: Witness) -> list[Question]:
    def question(method: str, p: Problem) -> Question:
        return Question(
            method, p.label, lambda v: ask_chain(v, method, p, chain_draws(w, p))
        )

    found = [question("sgld_mean", p) for p in chains()]
    found += [question("sgld_trace", p) for p in chains()]
    found += [question("sgld_trace", p) for p in networks_in_chains()]
    return found


def _on_samples(w: Witness) -> list[Question]:
    del w

    def question(method: str, p: Problem) -> Question:
        z = generic(p.more["draws"])
        return Question(method, p.label, lambda v: ask_samples(v, method, p, z))

    methods = FAMILIES["Algorithm 4"]
    return [question(method, p) for method in methods for p in samples()]


def _on_descents(w: Witness) -> list[Question]:
    def question(method: str, p: Problem) -> Question:
        return Question(
            method, p.label, lambda v: ask_descent(v, method, p, descent_draws(w, p))
        )

    found = [question("robbins_monro", p) for p in descents()]
    if w.conventions["robbins_monro.moves"] == "J":
        traced = (*descents(), *networks_in_descents())
        found += [question("robbins_monro_trace", p) for p in traced]
    return found


def run_draws(w: Witness, p: Problem) -> list[Array]:
    """The draws of every update, as the subject's reading needs them."""
    fewer = {
        "sgld": w.conventions["sgld.chain"] == "literal",
        "robbins_monro": w.conventions["robbins_monro.moves"] == "J-1",
    }
    z = generic(p.more["draws"])
    return list(z[:, :-1] if fewer.get(p.more["method"]) else z)


def ask_run(w: Witness, p: Problem, z: Any) -> Any:
    """A whole run on given draws."""
    method, record, batches = (p.more[k] for k in ("method", "record", "batches"))
    given = {} if batches is None else {"batches": batches}
    return w.train(p.loss, p.x, method, record, draws=z, **given)


def _on_runs(w: Witness) -> list[Question]:
    plain = w.conventions["loss.reduction"] == "mean"
    asked = [
        p
        for p in runs()
        if p.more["batches"] is None
        or (plain and w.conventions["minibatch"] == "per-update")
    ]

    def question(p: Problem, turn: str) -> Question:
        z = run_draws(w, p)
        return Question("train", f"{p.label}{turn}", lambda v: ask_run(v, p, z))

    # twice: what is kept from one run for the next shows in the second round
    return [question(p, turn) for turn in (FIRST_ROUND, "") for p in asked]


def is_first_round(q: Question) -> bool:
    """Whether a question is asked for what it leaves behind, not for its answer."""
    return q.label.endswith(FIRST_ROUND)


def _on_networks() -> list[Question]:
    def question(
        label: str, sizes: Any, N: int, scale: float = 0.5, bright: float = 1.0
    ) -> Question:
        loss = P.examples(label, sizes, N)
        weights = np.array(P.weights(label, loss.d, scale))
        images = bright * generic(np.abs(loss.images))
        given = (loss.sizes, weights, images, loss.labels)
        return Question(
            "network_loss_and_gradient",
            label,
            lambda v: ask_network(v, *given),
        )

    def changed(label: str, place: slice, value: float) -> Question:
        loss = P.examples(label, (3, 2, 2), 3)
        weights = np.array(P.weights(label, loss.d))
        weights[place] = value
        given = (loss.sizes, weights, loss.images, loss.labels)
        return Question(
            "network_loss_and_gradient",
            label,
            lambda v: ask_network(v, *given),
        )

    return [
        question("relu 3-4-3", (3, 4, 3), 5),
        question("deep 2-3-3-2", (2, 3, 3, 2), 4),
        question("softmax 4-3", (4, 3), 4),
        question("sure 3-2", (3, 2), 3, 256.0, 8.0),
        # the first layer: every hidden unit is at exactly 0; the last biases
        changed("dead units", slice(0, 8), 0.0),
        changed("logits near 900", slice(12, 14), 900.0),
    ]


def ask_network(
    w: Witness, sizes: Any, parameters: Any, images: Any, labels: Any
) -> tuple[float, Array]:
    """The mean loss and its gradient, also of a subject that declares their sum."""
    given = (sizes, parameters, images, labels)
    value, slope = w.network_loss_and_gradient(*given)
    N = len(labels) if w.conventions["loss.reduction"] == "sum" else 1
    return value / N, slope / N


def _on_theory() -> list[Question]:
    found: list[Question] = []

    def add(method: str, label: str, *arguments: Any) -> None:
        found.append(Question(method, label, lambda v: getattr(v, method)(*arguments)))

    x3, x2, x1 = (0.81, -1.31, 0.43), (0.81, -1.31), (0.83,)
    squares = LeastSquares(P.LEAST_SQUARES_3.A, P.LEAST_SQUARES_3.b)
    entropic: tuple[Any, ...] = (
        ("indefinite d=3", P.INDEFINITE_3, x3, 0.7),
        ("quadratic d=1", P.QUADRATIC_1, x1, 0.3),
        ("least squares d=3", squares, x3, 0.7),
        ("mixture d=2", P.MIXTURE_2, x2, 0.3),
        ("mixture d=1", P.MIXTURE_1, x1, 1.7),
    )
    for label, loss, x, tau in entropic:
        for method in (
            "local_entropy",
            "local_entropy_gradient",
            "posterior_mean",
            "posterior_covariance",
        ):
            add(method, label, loss, x, tau)
        add("majoriser", label, loss, x, tuple(-v / 2 for v in x), tau)
        add("minimise_local_entropy", label, loss, x, tau, 3)
    add("local_entropy", "mixture far out", P.MIXTURE_2, (60.0, -45.0), 0.3)
    found.append(
        Question(
            "local_entropy",
            "no integral",
            lambda v: v.local_entropy(P.INDEFINITE_3, x3, 30.0),
            refused=True,
        )
    )
    add("posterior_mean", "quartic d=1", P.QUARTIC_1, x1, 0.3)
    heated: tuple[Any, ...] = (
        ("indefinite d=3", P.INDEFINITE_3, x3, 0.7),
        ("least squares d=3", squares, x3, 0.7),
        ("quartic d=2", P.QUARTIC_2, x2, 0.3),
        ("waves d=2", P.WAVES_2, x2, 0.7),
        ("wells d=1", P.WELLS_1, x1, 0.3),
    )
    for label, loss, x, tau in heated:
        add("heat", label, loss, x, tau)
        add("heat_gradient", label, loss, x, tau)
        add("heat_majoriser", label, loss, x, tuple(-v / 2 for v in x), tau)
    proximal: tuple[Any, ...] = (
        ("indefinite d=3", P.INDEFINITE_3, x3, 0.7),
        ("least squares d=3", squares, x3, 0.7),
        ("quartic d=1", P.QUARTIC_1, x1, 0.3),
    )
    for label, loss, x, tau in proximal:
        add("heat_proximal_point", label, loss, x, tau)
        add("minimise_heat", label, loss, x, tau, 3)
    wide = [[0.7, 0.2, 0.1], [0.2, 0.9, -0.3], [0.1, -0.3, 1.3]]
    narrow = [[0.3, -0.1, 0.0], [-0.1, 0.5, 0.1], [0.0, 0.1, 0.4]]
    add("kl_gaussian", "d=3", x3, wide, (0.1, 0.2, -0.3), narrow)
    for k in (1, 2, 7):
        add("scoping", f"k = {k}", 1.3, 0.07, k)
    add("step_schedule", "power", "power", (0.47, 0.7), 5)
    add("step_schedule", "harmonic", "harmonic", (7.0,), 5)
    return found
