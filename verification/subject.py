"""What an implementation offers to the judge, and the judge's only door to it.

`Subject` documents the methods, by name; all of them are optional.  The checks
see a `Witness`: it calls the subject and vouches for the form of every answer.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from difflib import get_close_matches
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from verification.errors import (
    CannotStart,
    NotProvided,
    NotRun,
    SubjectFault,
    in_one_line,
)
from verification.guard import Handed, answer

__all__ = ["CONVENTIONS", "METHODS", "Subject", "Witness", "meant", "misspelt"]

Array = NDArray[np.float64]
Loss = Any  # plain data, see `verification.losses`


class Subject(Protocol):
    """An implementation under judgement: plain arrays in, plain arrays out.

    Every method is optional: one that is missing, or that raises
    `NotImplementedError` for a case, is reported as NOT-RUN.  A subject need not
    inherit from this class.  No method may change its arguments.

    Attributes
    ----------
    name : str
        Shown in reports.
    dtype : {"float64", "float32"}
        Drives tolerances; and "float32" is given no number that it cannot hold.
    conventions : mapping of str to str
        Declared readings of the paper, see `CONVENTIONS`; may be absent.

    Notes
    -----
    ``x`` (d,) is the centre, ``tau`` a variance, ``step_sizes`` (J,) the steps
    ε_1…ε_J of Algorithm 3 or a^1…a^J of Algorithm 5, ``start`` (d,) the first
    state (None: the centre), ``samples`` J, ``inner_samples`` M.  ``draws`` are
    standard normals: (n, J−1, d) for `sgld_mean` under the literal convention and
    (n, J, d) under "new-states"; (n, J, d) for `importance_mean`, worker w owning
    the w-th slice cut by `numpy.array_split`; (n, J, M, d) for `robbins_monro`,
    (n, J−1, M, d) when it declares J−1 moves.  With ``draws=None`` the subject uses
    its own randomness and returns n independent replicates.

    ``loss`` is plain data with two helpers: ``loss(y)``, (…, d) to (…), and
    ``loss.gradient(y)``, (…, d) to (…, d).
    """

    name: str
    dtype: str = "float64"
    conventions: Mapping[str, str]

    # --- deterministic

    def local_entropy(self, loss: Loss, x: Array, tau: float) -> float:
        """F_τ(x), (2)."""
        ...

    def local_entropy_gradient(self, loss: Loss, x: Array, tau: float) -> Array:
        """∇F_τ(x), (12): (d,)."""
        ...

    def posterior_mean(self, loss: Loss, x: Array, tau: float) -> Array:
        """E_q X for q of (6), step 2 of Algorithm 1, (15): (d,)."""
        ...

    def posterior_covariance(self, loss: Loss, x: Array, tau: float) -> Array:
        """Cov_q X for q of (6): (d, d)."""
        ...

    def heat(self, loss: Loss, x: Array, tau: float) -> float:
        """F^H_τ(x), the heat regularization."""
        ...

    def heat_gradient(self, loss: Loss, x: Array, tau: float) -> Array:
        """∇F^H_τ(x): (d,)."""
        ...

    def heat_proximal_point(self, loss: Loss, x: Array, tau: float) -> Array:
        """Step 2 of Algorithm 2, argmin of F^H_τ(y) + |y − x|²/(2τ): (d,)."""
        ...

    def kl_gaussian(
        self, mean0: Array, cov0: Array, mean1: Array, cov1: Array
    ) -> float:
        """KL(N(mean0, cov0) ‖ N(mean1, cov1)), (7); covariances (d, d)."""
        ...

    def minimise_local_entropy(
        self, loss: Loss, x0: Array, tau: float, updates: int
    ) -> Array:
        """Algorithm 1 with exact steps: x_0, x_1, …, (updates + 1, d)."""
        ...

    def minimise_heat(self, loss: Loss, x0: Array, tau: float, updates: int) -> Array:
        """Algorithm 2 with exact steps: x_0, x_1, …, (updates + 1, d)."""
        ...

    def majoriser(self, loss: Loss, x: Array, y: Array, tau: float) -> float:
        """A(x, y) of section 3.2."""
        ...

    def heat_majoriser(self, loss: Loss, x: Array, y: Array, tau: float) -> float:
        """A^H(x, y) of section 4.2."""
        ...

    def scoping(self, tau0: float, tau1: float, k: int) -> float:
        """The variance τ(k) of update k, (18)."""
        ...

    def step_schedule(self, kind: str, parameters: Any, count: int) -> Array:
        """Steps 1…count: "harmonic" 1/(c+j), or "power" c j^−α: (count,)."""
        ...

    def network_loss_and_gradient(
        self,
        sizes: tuple[int, ...],
        parameters: Array,
        images: Array,
        labels: NDArray[np.int64],
    ) -> tuple[float, Array]:
        """Mean cross-entropy of a dense network and its gradient: float, (p,).

        `sizes` is like (784, 200, 10).  `parameters` (p,) is flat, layer by layer:
        W (inputs × outputs, row-major), then b.  Hidden layers are ReLU, the last
        one softmax; `images` (N, inputs), `labels` (N,) integers.
        """
        ...

    def minibatch_indices(
        self, total: int, size: int, batches: int, *, seed: int | None = None
    ) -> NDArray[np.int64]:
        """Rows of the minibatches drawn from range(total): (batches, size)."""
        ...

    # --- stochastic

    def sgld_mean(
        self,
        loss: Loss,
        x: Array,
        tau: float,
        step_sizes: Array,
        *,
        start: Array | None = None,
        draws: Array | None = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The output of Algorithm 3: (n, d)."""
        ...

    def importance_mean(
        self,
        loss: Loss,
        x: Array,
        tau: float,
        samples: int,
        *,
        workers: int = 1,
        draws: Array | None = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The output of Algorithm 4: (n, d)."""
        ...

    def robbins_monro(
        self,
        loss: Loss,
        x: Array,
        tau: float,
        step_sizes: Array,
        inner_samples: int,
        *,
        start: Array | None = None,
        draws: Array | None = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The output of Algorithm 5: (n, d)."""
        ...

    def sgld_trace(
        self,
        loss: Loss,
        x: Array,
        tau: float,
        step_sizes: Array,
        *,
        start: Array | None = None,
        draws: Array | None = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The states x^1…x^J of Algorithm 3: (n, J, d)."""
        ...

    def robbins_monro_trace(
        self,
        loss: Loss,
        x: Array,
        tau: float,
        step_sizes: Array,
        inner_samples: int,
        *,
        start: Array | None = None,
        draws: Array | None = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The states of Algorithm 5, from the start on: (n, J + 1, d)."""
        ...

    def importance_weights(
        self,
        loss: Loss,
        x: Array,
        tau: float,
        samples: int,
        *,
        workers: int = 1,
        draws: Array | None = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The normalised weights of Algorithm 4: (n, J)."""
        ...

    def train(
        self,
        loss: Loss,
        x0: Array,
        method: str,
        record: Mapping[str, Any],
        *,
        batches: NDArray[np.int64] | None = None,
        draws: list[Array] | None = None,
        seed: int | None = None,
    ) -> Array:
        """K weight updates: x_0, x_1, …, (K + 1, d).

        `record` is plain data: the method's own arguments, tau per update, start,
        conventions.  `batches` (K, B) are row indices, `draws` a list of K arrays.
        """
        ...

    # --- entropic regularisation at several levels; the coarse level comes first

    def multiscale_energies(
        self, energies: Array, reference: Array, temperatures: Array
    ) -> list[Array]:
        """V_0, V_1, …, V_{d−1} of the multi-scale Gibbs law on a table.

        `energies` f and `reference` Q, a law, have one axis for each of d levels,
        `temperatures` holds λ_1…λ_d, of any order.  V_d = f and V_{k−1}(w_<k) =
        −λ_k log Σ Q_k(w_k|w_<k) exp(−V_k(w_≤k)/λ_k): V_k has k axes.  f may be +inf,
        and so is V_k where nothing below is finite.
        """
        ...

    def multiscale_law(
        self, energies: Array, reference: Array, temperatures: Array
    ) -> Array:
        """The law P* that minimises J; arguments, and shape, as of the energies."""
        ...

    def multiscale_objective(
        self, law: Array, energies: Array, reference: Array, temperatures: Array
    ) -> float:
        """J(P) = E_P f + Σ_k λ_k E_P KL(P_k(·|w_<k) ‖ Q_k(·|w_<k)), or +inf."""
        ...

    def chained_local_entropy(
        self, loss: Loss, x: Array, taus: Array, temperatures: Array
    ) -> float:
        """V_0(x) for w_k|w_{k−1} ~ N(w_{k−1}, τ_k I), w_0 = x, energy f(w_d)."""
        ...

    def chained_local_entropy_gradient(
        self, loss: Loss, x: Array, taus: Array, temperatures: Array
    ) -> Array:
        """∇V_0(x): (d,)."""
        ...

    def multiscale_gaussian(
        self,
        loss: Loss,
        mean: Array,
        covariance: Array,
        sizes: tuple[int, ...],
        temperatures: Array,
    ) -> tuple[float, Array, Array]:
        """V_0, and mean and covariance of P*, for a quadratic loss of all levels.

        The reference is N(mean, covariance) on all levels together, one after the
        other, of `sizes` coordinates: float, (n,), (n, n).
        """
        ...

    def multilevel_metropolis(
        self,
        energies: Array,
        reference: Array,
        temperatures: Array,
        proposals: list[Array],
        inner_steps: tuple[int, ...],
        steps: int,
        *,
        start: NDArray[np.int64],
        draws: Array | None = None,
        n: int = 1,
        seed: int | None = None,
    ) -> NDArray[np.int64]:
        """The recorded states of multilevel Metropolis on a table: (n, steps, d).

        `proposals` are row-stochastic matrices, one for each level, `inner_steps`
        T'_2…T'_d.  `draws` (n, steps, m) are uniforms, m = 2 + 2T' for two levels,
        used in the order in which values are proposed and decided upon.
        """
        ...

    def multilevel_metropolis_gaussian(
        self,
        loss: Loss,
        sizes: tuple[int, ...],
        temperatures: Array,
        scales: Array,
        inner_steps: tuple[int, ...],
        steps: int,
        *,
        start: Array,
        draws: Array | None = None,
        uniforms: Array | None = None,
        n: int = 1,
        seed: int | None = None,
    ) -> Array:
        """The same in R^N, N = Σ sizes, without a reference: (n, steps, N).

        `scales` are the standard deviations of the normal proposals of the levels.
        `draws` (n, steps, …) are standard normals, `uniforms` (n, steps, …) decide.
        """
        ...


METHODS = tuple(
    name
    for name, member in vars(Subject).items()
    if inspect.isfunction(member) and not name.startswith("_")
)

#: The readings of the paper a subject may declare; the first is the default.
CONVENTIONS = {
    "sgld.chain": ("literal", "new-states"),
    "sgld.start": ("centre", "previous"),
    "sgld.output": ("weighted-mean", "exponential-average:RATE"),
    "minibatch": ("per-update", "per-gradient"),
    "scoping.origin": ("0", "1"),
    "robbins_monro.moves": ("J", "J-1"),
    "loss.reduction": ("mean", "sum"),
    "network.relu_at_zero": ("0", "1"),
}

#: From this similarity on, see `difflib`, a name is taken for another misspelt.
CLOSE = 0.75


def meant(name: str, methods: Iterable[str] = METHODS) -> str:
    """The method that a name which is none is close to; "" if there is none."""
    near = get_close_matches(name.lower(), [*methods], n=1, cutoff=CLOSE)
    return near[0] if near else ""


def misspelt(subject: object, missing: Iterable[str]) -> dict[str, str]:
    """Missing methods, each with a method of the subject's own whose name is close.

    Nothing of the subject is run: its attributes are looked up as they are written.
    """
    names = {name for kind in type(subject).__mro__ for name in vars(kind)}
    names |= {*getattr(subject, "__dict__", {})}
    found = {}
    for name in sorted(names - {*METHODS}):
        own = inspect.getattr_static(subject, name)
        method = callable(own) or isinstance(own, classmethod)
        if method and not name.startswith("_") and (near := meant(name, missing)):
            found[near] = name
    return found


NO_SUM = "a network's mean over several examples is no sum over any others"

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}


class Witness:
    """A subject as the checks see it.

    Every method of `Subject` is called under the same name and with the same
    arguments.  Array arguments reach the subject as fresh writable float64 copies
    and must come back unchanged; answers are converted to a float or an array of
    the expected shape.  The subject's warnings and NumPy's floating-point warnings
    are silenced during a call: the judge looks at the numbers.  What it prints goes to
    standard error: standard output is the report's.

    Parameters
    ----------
    subject : object
        The implementation.

    Attributes
    ----------
    name : str
        The subject's name, or its class's.
    dtype : {"float64", "float32"}
        As declared.
    conventions : dict of str to str
        One value for each key of `CONVENTIONS`, as declared or by default.
    calls : Counter of str
        How often each method was called.
    refusals : Counter of str
        How often a call was refused, by the reason; the first comes first.
    stopped_in : str
        The method that was being asked when the user interrupted, if any was.

    Raises
    ------
    CannotStart
        If the subject declares a dtype or a convention that does not exist.
    NotProvided, NotRun
        By a call: the subject lacks the method, or raised `NotImplementedError`.
    SubjectFault
        By a call: the subject raised anything else, changed an argument, or
        answered in a wrong form.
    """

    def __init__(self, subject: object) -> None:
        self._subject = subject
        self.name = str(_attribute(subject, "name", type(subject).__name__))
        self.dtype = str(_attribute(subject, "dtype", "float64"))
        if self.dtype not in UNIT_ROUNDOFF:
            raise CannotStart(
                f"the subject's dtype must be 'float64' or 'float32', "
                f"got {self.dtype!r}"
            )
        self.conventions = _declared(_attribute(subject, "conventions", {}))
        self.calls: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.stopped_in = ""
        self._summed: dict[Any, Any] = {}

    @property
    def unit_roundoff(self) -> float:
        """u of the declared dtype: 2^-53 or 2^-24."""
        return UNIT_ROUNDOFF[self.dtype]

    def provides(self, name: str) -> bool:
        """Whether the subject has this method."""
        try:
            self._method(name)
        except NotProvided:
            return False
        except SubjectFault:
            return True  # it is there, and a call will say what is wrong with it
        return True

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in METHODS:
            raise AttributeError(f"the protocol has no method {name!r}")
        return partial(self._call, name)

    def _method(self, name: str) -> Callable[..., Any]:
        try:
            method = getattr(self._subject, name, None)
        except Exception as exc:
            raise SubjectFault(f"looking up {name} raised {in_one_line(exc)}") from exc
        # a class that inherits from Subject inherits its empty bodies
        if method is None or getattr(method, "__func__", None) is vars(Subject)[name]:
            raise NotProvided(name)
        if not callable(method):
            raise SubjectFault(f"{name} is not a method but {method!r}")
        return method

    def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        method = self._method(name)
        args = self._as_declared(args)
        handed = Handed(getattr(Subject, name), args, kwargs, self.dtype)
        self.calls[name] += 1
        try:
            with (
                np.errstate(all="ignore"),
                warnings.catch_warnings(),
                redirect_stdout(sys.stderr),
            ):
                warnings.simplefilter("ignore")
                result = method(*handed.args, **handed.kwargs)
        except NotImplementedError as exc:
            said = " ".join(str(exc).split())
            said = said or f"{name} is not implemented for this case"
            self.refusals[said] += 1
            raise NotRun(said) from exc
        except SubjectFault:
            raise  # of a connection, which says what happened behind it
        except (Exception, SystemExit) as exc:
            raise SubjectFault(f"{name} raised {in_one_line(exc)}") from exc
        except KeyboardInterrupt:
            self.stopped_in = name
            raise
        finally:
            changed = handed.changed()
        if changed:
            raise SubjectFault(f"{name} changed its argument {changed[0]} in place")
        return answer(name, result, handed.values)

    def _as_declared(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments in the reading that the subject declares.

        Who sums over examples is given the examples whose sum is the loss.

        Raises
        ------
        NotRun
            If there are none: a network's mean over several is no sum over others.
        """
        if self.conventions["loss.reduction"] == "mean" or not args:
            return args
        loss = args[0]
        if getattr(loss, "kind", "") == "network" and len(loss.labels) > 1:
            raise NotRun(NO_SUM)
        if getattr(loss, "kind", "") != "least_squares":
            return args
        if loss not in self._summed:
            self._summed[loss] = loss.as_sum()
        return (self._summed[loss], *args[1:])


def _attribute(subject: object, name: str, default: object) -> object:
    try:
        return getattr(subject, name, default)
    except Exception as exc:
        raise CannotStart(
            f"the subject's {name} cannot be read: {in_one_line(exc)}"
        ) from exc


def _declared(conventions: object) -> dict[str, str]:
    """The declared conventions, completed by the defaults."""
    if not isinstance(conventions, Mapping):
        raise CannotStart(
            f"the subject's conventions must be a mapping, got {conventions!r}"
        )
    complete = {key: values[0] for key, values in CONVENTIONS.items()}
    for key, value in conventions.items():
        if key not in CONVENTIONS:
            raise CannotStart(
                f"the subject declares the convention {key!r}; "
                f"those that exist are {', '.join(CONVENTIONS)}"
            )
        if not _admissible(str(value), CONVENTIONS[key]):
            raise CannotStart(
                f"the subject declares {key} = {value!r}; "
                f"the values are {', '.join(map(_said, CONVENTIONS[key]))}"
            )
        complete[key] = str(value)
    return complete


def _said(value: str) -> str:
    """A value of a convention, with the numbers that it takes."""
    return f"{value} with 0 < RATE <= 1" if value.endswith(":RATE") else value


def _admissible(value: str, values: tuple[str, ...]) -> bool:
    if value in values and not value.endswith(":RATE"):
        return True
    word, colon, rate = value.partition(":")
    if not colon or f"{word}:RATE" not in values:
        return False
    try:
        return 0 < float(rate) <= 1
    except ValueError:
        return False
