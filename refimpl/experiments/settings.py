"""What one training run is: every choice that Section 6 makes, or leaves open.

A `Setting` is one curve of a figure.  It is written into the record of its run, and
names its file: the same setting is the same run, to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from refimpl.arrays import as_count, as_scalar, as_variance
from refimpl.errors import InvalidParameter
from refimpl.experiments.data import CLASSES
from refimpl.experiments.stored import StoredSetting, require_known
from refimpl.initialisations import initial
from refimpl.network import parameter_count
from refimpl.schedules import Harmonic, PowerLaw, Scoping
from refimpl.streams import stream

Method = Literal["sgd", "sgld", "is", "hr"]
DataName = Literal["mnist", "digits"]
Pixels = Literal["unit", "standardised"]
Activation = Literal["relu", "tanh", "sigmoid"]
Cost = Literal["cross-entropy", "squared"]
Reduction = Literal["mean", "sum"]
Minibatch = Literal["per-update", "per-gradient"]
Noise = Literal["variance", "standard-deviation"]
Output = Literal["literal", "rao-blackwell", "controlled"]
Start = Literal["centre", "previous"]
Chain = Literal["literal", "new-states"]
Draw = Literal["once", "each-time"]

METHODS: tuple[Method, ...] = get_args(Method)

CHOICES: dict[str, tuple[str, ...]] = {
    "method": METHODS,
    "data": get_args(DataName),
    "pixels": get_args(Pixels),
    "activation": get_args(Activation),
    "loss": get_args(Cost),
    "reduction": get_args(Reduction),
    "minibatch": get_args(Minibatch),
    "noise": get_args(Noise),
    "output": get_args(Output),
    "start": get_args(Start),
    "chain": get_args(Chain),
    "held_out_drawn": get_args(Draw),
}
"""The fields that are words, and the words."""

INPUTS: dict[str, int] = {"mnist": 784, "digits": 64}
"""Pixels of an image."""

_REGULARISED: dict[str, Any] = {
    "tau": 0.01,
    "origin": 0,
    "minibatch": "per-update",
    "noise": "variance",
    "output": "literal",
    "in_span": True,
}
_OWN: dict[Method, dict[str, Any]] = {
    "sgd": {"learning_rate": 0.01},
    "sgld": {
        **_REGULARISED,
        "J": 1000,
        "epsilon": 1000.0,
        "start": "previous",
        "chain": "literal",
    },
    "is": {**_REGULARISED, "J": 1000},
    "hr": {**_REGULARISED, "J": 30, "M": 30, "a": (0.1, 0.7)},
}
"""What belongs to one method, with the value that it has in Table 1 and Figure 4."""

_OPTIONAL = {"learning_rate", "sgd_rate"}  # the former but for sgd
_ONE_S_OWN = {name for own in _OWN.values() for name in own} - _OPTIONAL


MEANING = {
    "method": "sgd, or Algorithm 3 (sgld), 4 (is) or 5 (hr)",
    "data": "the images",
    "sizes": "units of the layers, from pixels to classes",
    "activation": "of the hidden layers",
    "loss": "of one image",
    "reduction": "how the images of a minibatch make up f",
    "initialisation": "of the weights",
    "pixels": "between 0 and 1, or with mean 0 and variance 1",
    "updates": "weight updates by the method",
    "batch": "images in a minibatch",
    "minibatch": "one for a weight update, or a fresh one for every gradient",
    "learning_rate": "eta; sgld, is and hr: one other than tau, as in Remark 1",
    "tau": "the variance of phi; or tau_0 and tau_1 of the scoping (18)",
    "origin": "k of the first update in (18), E13",
    "J": "states (sgld), samples (is) or moves (hr) in a weight update",
    "M": "samples in a move (hr)",
    "epsilon": "c of epsilon_j = 1/(c + j) (sgld)",
    "a": "c and alpha of a_j = c j^-alpha, the minus of E7 being built in (hr)",
    "start": "where the chain starts (sgld): the paper, at its last state (5.1.1); hr "
    "always starts at x_k (E6)",
    "chain": "the reading of the box of Algorithm 3 (sgld), E5",
    "noise": "what tau and epsilon_j are of the noise",
    "output": "as printed, or another estimate of the same mean (controlled: sgld)",
    "in_span": "whether to compute in what the minibatch spans, with the same law",
    "sgd_before": "weight updates by SGD before, on means, Figure 5",
    "sgd_rate": "their learning rate",
    "held_out": "random test images for the accuracy",
    "held_out_drawn": "whether each evaluation has test images of its own",
    "evaluate_every": "weight updates from evaluation to evaluation",
    "seed": "of all random streams",
}
"""What each field of a setting means."""


def foreign(method: Any) -> set[str]:
    """The fields that say nothing to a method, which other methods have."""
    return _ONE_S_OWN - set(_OWN[method]) if method in _OWN else set()


@dataclass(frozen=True, kw_only=True)
class Setting(StoredSetting):
    """One training run; `MEANING` says what each field is.

    A field that says nothing to the method is None.  `of_section_6` fills in the
    values of Table 1.

    Raises
    ------
    InvalidParameter
        If a value is not what its field asks for, is missing, or says nothing to the
        method.
    """

    method: Method
    data: DataName = "mnist"
    sizes: tuple[int, ...] = (784, 200, 10)
    activation: Activation = "tanh"
    loss: Cost = "cross-entropy"
    reduction: Reduction = "mean"
    initialisation: str = "glorot-uniform"
    pixels: Pixels = "unit"
    updates: int = 500
    batch: int = 20
    minibatch: Minibatch | None = None
    learning_rate: float | None = None
    tau: float | tuple[float, float] | None = None
    origin: int | None = None
    J: int | None = None
    M: int | None = None
    epsilon: float | None = None
    a: tuple[float, float] | None = None
    start: Start | None = None
    chain: Chain | None = None
    noise: Noise | None = None
    output: Output | None = None
    in_span: bool | None = None
    sgd_before: int = 0
    sgd_rate: float | None = None
    held_out: int = 1000
    held_out_drawn: Draw = "once"
    evaluate_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        self._require_own_fields()
        for name, known in CHOICES.items():
            if getattr(self, name) is not None:
                require_known(name, getattr(self, name), known)
        for name, least in _COUNTS.items():
            self._put(name, as_count, least)
        for name in ("learning_rate", "sgd_rate"):
            self._put(name, as_variance)
        for name, schedule in (("tau", Scoping), ("a", PowerLaw)):
            self._put(name, _number_or_pair, schedule)
        self._put("epsilon", as_scalar)
        self._check_sizes()
        self._check_together()

    def _put(self, name: str, check: Any, *more: Any) -> None:
        """Replace a value, unless it is None, by what the check makes of it."""
        value = getattr(self, name)
        if value is not None:
            object.__setattr__(self, name, check(name, value, *more))

    def _require_own_fields(self) -> None:
        require_known("method", self.method, METHODS)
        own, others = _OWN[self.method], foreign(self.method)
        for name in (one.name for one in fields(self)):
            absent = getattr(self, name) is None
            if absent and (name in own or name not in _ONE_S_OWN | _OPTIONAL):
                raise InvalidParameter(f"{self.method} needs {name}")
            if not absent and name in others:
                raise InvalidParameter(
                    f"{name} says nothing to {self.method}: leave it out"
                )

    def _check_sizes(self) -> None:
        self._put("sizes", _whole_numbers)
        parameter_count(self.sizes)
        ends = (INPUTS[self.data], CLASSES)
        if (self.sizes[0], self.sizes[-1]) != ends:
            raise InvalidParameter(
                f"sizes must begin with {ends[0]} and end with {ends[1]} for "
                f"{self.data}, got {self.sizes}"
            )

    def _check_together(self) -> None:
        initial((1, 1), self.initialisation, stream(self.seed, "initialisation"))
        if self.epsilon is not None:
            Harmonic(self.epsilon)
        if self.in_span is not None and not isinstance(self.in_span, bool):
            raise InvalidParameter(
                f"in_span must be true or false, got {self.in_span!r}"
            )
        if (self.sgd_rate is None) != (self.sgd_before == 0):
            raise InvalidParameter(
                "sgd_before and sgd_rate go together, "
                f"got {self.sgd_before} and {self.sgd_rate}"
            )
        if self.output == "controlled" and self.method != "sgld":
            raise InvalidParameter(
                f'output "controlled" is one of sgld alone, not of {self.method}'
            )
        if self.output == "rao-blackwell" and not self.in_span:
            raise InvalidParameter('output "rao-blackwell" needs in_span')
        if self.minibatch == "per-gradient":
            self._check_fresh_minibatches()

    def _check_fresh_minibatches(self) -> None:
        if self.method == "is":
            raise InvalidParameter(
                "importance weights are comparable only under one minibatch: "
                'minibatch must be "per-update" for is'
            )
        if self.in_span:
            raise InvalidParameter(
                'minibatch "per-gradient" leaves no common span: in_span must be false'
            )

    @property
    def total(self) -> int:
        """All weight updates, those by SGD before included."""
        return self.sgd_before + self.updates

    def work(self, k: int) -> int:
        """About how many evaluations of f or its gradient the first k updates take."""
        by_sgd = min(k, self.sgd_before)
        return by_sgd + (k - by_sgd) * (self.J or 1) * (self.M or 1)


_COUNTS = {
    "updates": 1,
    "batch": 1,
    "origin": 0,
    "J": 1,
    "M": 1,
    "sgd_before": 0,
    "held_out": 1,
    "evaluate_every": 1,
    "seed": 0,
}
"""The fields that count, and the least that they may be."""


def of_section_6(method: Method, **changes: Any) -> Setting:
    """The setting of Table 1 and Figure 4 for one method, but for some changes.

    On digits the network has 64 inputs and 100 images are held out, unless said
    otherwise.

    Raises
    ------
    InvalidParameter
        If the method is unknown or the changes make no setting.

    Examples
    --------
    >>> of_section_6("sgd", updates=100).learning_rate
    0.01
    """
    require_known("method", method, METHODS)
    small = {"sizes": (64, 200, 10), "held_out": 100}
    of_data = small if changes.get("data") == "digits" else {}
    return Setting.changed({"method": method, **_OWN[method], **of_data}, changes)


def _whole_numbers(name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidParameter(f"{name} must be whole numbers, got {value!r}")
    return tuple(as_count(f"each of {name}", n) for n in value)


def _number_or_pair(name: str, value: Any, schedule: Any) -> Any:
    """A positive number, or the two numbers of a schedule; only tau may be one."""
    pair = isinstance(value, Sequence) and not isinstance(value, str)
    if not pair and name == "tau":
        return as_variance(name, value)
    if not pair or len(value) != 2:
        raise InvalidParameter(f"{name} must be two numbers, got {value!r}")
    first, second = (as_scalar(name, one) for one in value)
    schedule(first, second)
    return (first, second)
