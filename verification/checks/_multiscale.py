"""What the checks of several levels share: tables, their truths, designed noise.

A table is an energy and a law on a finite product of levels, one axis for each.  Its
truth has 50 digits by nested partition functions, and marginalising and tilting must
confirm 40 of them; the tolerance is 4 B u, B the running error bound of the recursion
in logarithms.  Energies, laws, temperatures and designed uniforms are dyadic rationals
of few digits wherever known values do not prescribe others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verification.checks._kit import ROUNDED, Truth, norm, size
from verification.evidence.comparison import Finding, agree
from verification.problems import Problem
from verification.subject import Witness
from verification.truth import multiscale as ms
from verification.truth import multiscale_sampling as sampling
from verification.truth.carriers import MP

Array = NDArray[np.float64]

DIGITS = MP(50)
CONFIRMED = 1e-40
BY_ROUTES = "nested partition functions in 50 digits, confirmed by marginalising and "
BY_ROUTES += "tilting"
RECURSION = "4 B u, u the unit roundoff, B the running error bound of the recursion in "
RECURSION += "logarithms"
REPLAYED = "none: whole numbers; no decision is within 1/64 of a tie in the log odds"

# --- numbers like random ones ---------------------------------------------------------


def fractions(label: str) -> Iterator[float]:
    """Numbers like uniforms, without end and the same everywhere.

    Fractional parts of i² times the golden ratio, from an i that the label chooses.
    """
    first = zlib.crc32(label.encode()) % 2**16
    return ((i * i * 2654435769 % 2**32 + 0.5) / 2**32 for i in count(first))


def normals(label: str) -> Iterator[float]:
    """Numbers like standard normals, in steps of 1/64."""
    quantile = NormalDist().inv_cdf
    return (round(64 * quantile(u)) / 64 for u in fractions(label))


def law(
    label: str, shape: tuple[int, ...], empty: Sequence[Any] = (), parts: int = 1024
) -> Array:
    """A law on a table in multiples of 1/parts, without structure.

    `empty` are the indices, whole or of prefixes, that have no mass.
    """
    source = fractions(f"{label}, law")
    odds = np.array([0.1 + next(source) for _ in range(int(np.prod(shape)))])
    odds = odds.reshape(shape)
    for index in empty:
        odds[index] = 0.0
    whole = np.floor(parts * odds / odds.sum())
    whole.flat[int(whole.argmax())] += parts - whole.sum()
    return np.asarray(whole / parts)


def energies(label: str, shape: tuple[int, ...], scale: float = 2.5) -> Array:
    """An energy on a table in multiples of 1/64, from 0 to the scale."""
    source = fractions(f"{label}, energies")
    values = [round(64 * scale * next(source)) / 64 for _ in range(int(np.prod(shape)))]
    return np.array(values).reshape(shape)


# --- cases ----------------------------------------------------------------------------


def on_table(
    label: str, f: Any, reference: Any, temperatures: Any, **more: Any
) -> Problem:
    """A table as a case."""
    heights = np.asarray(f, dtype=float)
    given: dict[str, Any] = {
        "energies": heights,
        "reference": np.asarray(reference, dtype=float),
        "temperatures": tuple(map(float, temperatures)),
    }
    shape = "x".join(map(str, heights.shape))
    hot = ", ".join(f"{v:g}" for v in given["temperatures"])
    return Problem(f"{label}, {shape}, lambda = {hot}", None, more={**given, **more})


def generated(
    shape: tuple[int, ...], temperatures: Any, label: str = "generic", **more: Any
) -> Problem:
    """A table without structure, from its label and shape."""
    said = f"{label} {shape}"
    return on_table(
        label, energies(said, shape), law(said, shape), temperatures, **more
    )


def tables(p: Problem) -> tuple[Array, Array, tuple[float, ...]]:
    """Energies, reference and temperatures of a case, as its methods take them."""
    return p.more["energies"], p.more["reference"], p.more["temperatures"]


_D1 = ([[0, 1], [2, 0]], [[0.25, 0.25], [0.25, 0.25]])


def _first(V0: str, share: str, **more: Any) -> dict[str, Any]:
    return {"known": {"V_0": [V0], "P*(w1 = 0)": [share], **more}}


def _second(V0: str, coarse: str, below: str, mean: str, K: str) -> dict[str, Any]:
    known = {"V_0": [V0], "P*(w1)": coarse.split(), "P*(w2 = 0 | w1)": below.split()}
    return {"known": {**known, "E f": [mean], "K": K.split()}}


def _d2() -> tuple[Array, Array]:
    i, j, k = np.indices((3, 2, 4))
    odds = 1.0 + (2 * i + j + 3 * k) % 5
    return (7 * i + 3 * j + 5 * k + i * j * k) % 11 / 4, odds / odds.sum()


M1 = np.array([[0, 1.2, 0.8], [0.9, 0.1, 1.1], [0.5, 1.4, 0.3]])
NINTHS = np.full((3, 3), 1 / 9)


def _spins(x: int) -> tuple[Array, Array]:
    """The energy g w_2, and Q(w_1|x) Q(w_2|w_1), of the binary chain."""
    g, (near, far) = 0.9, (0.8, 0.5)
    spin = np.array([-1.0, 1.0])
    first = np.exp(near * x * spin) / (2 * np.cosh(near))
    second = np.exp(far * np.outer(spin, spin)) / (2 * np.cosh(far))
    return np.tile(g * spin, (2, 1)), first[:, None] * second


FINE_SPINS = {"g'": ["0.194865605000"], "c'": ["-0.581461097301"]}  # V_1 = c' + g' w

KNOWN = (
    on_table(
        "D1",
        *_D1,
        (2, 1),
        **_first(
            "0.470883100716162",
            "0.523274876384669",
            V_1=["0.379885493042", "0.566219169517"],
            **{
                "P*": [
                    *("0.382544587363", "0.140730289022"),
                    *("0.056827027736", "0.419898095879"),
                ]
            },
        ),
    ),
    on_table("D1", *_D1, (1, 1), **_first("0.468718565531", "0.546449103161")),
    on_table("D1", *_D1, (2, 2), **_first("0.592497254401", "0.540117403190")),
    on_table("D1", *_D1, (1, 2), **_first("0.586080263244", "0.579721588755")),
    on_table(
        "D2",
        *_d2(),
        (1, 0.5, 0.2),
        **_second(
            "0.511293141386",
            "0.295865310309 0.436805850372 0.267328839319",
            "0.636117398918 0.374063956340 0.459674073171",
            "0.227626154646",
            "0.025499357048 0.011475347665 1.262149779297",
        ),
    ),
    on_table(
        "D2",
        *_d2(),
        (0.2, 0.5, 1),
        **_second(
            "0.942863690715",
            "0.156454897497 0.679600980350 0.163944122153",
            "0.547096587891 0.363057551856 0.453436989381",
            "0.606055269773",
            "0.249412421121 0.005732530383 0.284059671526",
        ),
    ),
    on_table(
        "D2",
        *_d2(),
        (0.5, 0.5, 0.5),
        **_second(
            "0.766620039835",
            "0.237460388847 0.530031046359 0.232508564794",
            "0.546992199474 0.351627723433 0.459221750322",
            "0.390231292973",
            "0.082153113618 0.006719816691 0.663904563413",
        ),
    ),
    on_table(
        "M1",
        M1,
        NINTHS,
        (1.5, 0.5),
        known={
            "V_0": ["0.494120464521"],
            "P*(w1)": ["0.349991254442", "0.331143921661", "0.318864823898"],
            "P*": [
                *("0.270762290085", "0.024563000784", "0.054665963572"),
                *("0.049996421471", "0.247633896648", "0.033513603542"),
                *("0.120003761057", "0.019836488285", "0.179024574555"),
            ],
        },
    ),
    on_table("M1", M1, NINTHS, (0.75, 0.25), known={"V_0": ["0.362370478379"]}),
    on_table(
        "M1",
        M1,
        NINTHS,
        (0.3, 0.1),
        known={
            "V_0": ["0.216789986821"],
            "P*(w1)": ["0.476127670210", "0.341164846118", "0.182707483671"],
        },
    ),
    on_table(
        "M1, levels swapped",
        M1.T,
        NINTHS,
        (1.5, 0.5),
        known={"V_0": ["0.502734510172"]},
    ),
    on_table(
        "spins, x = -1",
        *_spins(-1),
        (1.2, 0.4),
        known={"V_0": ["-0.719083072266"], **FINE_SPINS},
    ),
    on_table(
        "spins, x = +1",
        *_spins(1),
        (1.2, 0.4),
        known={"V_0": ["-0.461554411569"], **FINE_SPINS},
    ),
)

GENERIC = (
    generated((5,), (0.75,)),
    generated((3, 4), (2, 0.375)),
    generated((4, 3), (0.25, 1.5)),
    generated((2, 3, 4), (1.5, 0.625, 0.25)),
    generated((3, 2, 3), (0.25, 1.25, 0.5)),
    generated((3, 1, 4), (0.5, 2, 0.75)),
    generated((2, 3, 2, 3), (0.375, 1.75, 0.75, 0.125)),
    generated((3, 2, 2, 2), (2, 1.25, 0.5, 0.25)),
)

# --- truths of tables -----------------------------------------------------------------


@dataclass(frozen=True)
class Solved:
    """V_0, ..., V_{d-1} and P* of a table."""

    energies: tuple[Truth, ...]
    law: Truth


@cache
def solved(p: Problem) -> Solved:
    """The truth of a case.

    Raises
    ------
    AssertionError
        If two routes disagree: the judge is wrong.
    """
    f, Q, hot = tables(p)
    barred, f = np.isinf(f), ms.walled(f)
    Z = ms.nested(DIGITS, f, Q, hot)
    V = [
        np.asarray(-DIGITS.number(v) * np.frompyfunc(DIGITS.log, 1, 1)(z), dtype=object)
        for v, z in zip(hot, Z, strict=True)
    ]
    P = ms.nested_law(DIGITS, f, Q, hot)
    conditionals = ms.tilted(DIGITS, f, Q, hot)
    confirm(P, ms.product_of(conditionals))
    U = ms.energies_of_conditionals(DIGITS, conditionals, f, Q, hot)
    for v, u in zip(V, U, strict=True):
        confirm(v, u)
    rounded, odds = ms.logarithmic(ROUNDED, f, Q, hot)
    opened = map(ms.opened, V)
    return Solved(
        tuple(_bounded(v, e) for v, e in zip(opened, rounded, strict=True)),
        _bounded(np.where(barred, DIGITS.number(0), P), odds),
    )


def _bounded(value: Any, rounded: Any) -> Truth:
    """A truth with its bound; infinite entries have none, and need none."""
    both = (np.ravel(np.asarray(of, dtype=object)) for of in (value, rounded))
    pairs = zip(*both, strict=True)
    finite = [(v, e.err) for v, e in pairs if v < np.inf]
    return Truth(value, norm(e for _, e in finite) + size([v for v, _ in finite]))


def confirm(value: Any, other: Any) -> None:
    """Require that two routes agree to forty digits.

    Raises
    ------
    AssertionError
        If they do not.
    """
    ones, others = (np.ravel(np.asarray(of, dtype=object)) for of in (value, other))
    gap = norm(a - b for a, b in zip(ones, others, strict=True))
    if gap > CONFIRMED * (1 + size(list(ones))):
        raise AssertionError(f"two routes to a truth differ by {gap:.1e}")


@cache
def functional(p: Problem, name: str) -> Truth:
    """J of a law that the case holds under `name`."""
    f, Q, hot = tables(p)
    P = p.more[name]
    if ms.outside(P, f, Q):
        return Truth(DIGITS.number(np.inf), 0.0)
    f = ms.walled(f)
    value = ms.objective(DIGITS, P, f, Q, hot)
    confirm(value, ms.objective_by_levels(DIGITS, P, f, Q, hot))
    forms = (ms.objective, ms.objective_by_levels)
    errors = [form(ROUNDED, P, f, Q, hot).err for form in forms]
    return Truth(value, max(errors) + size(value))


def as_known(
    p: Problem, found: Mapping[str, Any], tolerance: float
) -> Iterator[Finding]:
    """Quantities against known values, to half a unit of their last digit."""
    for name, digits in p.more.get("known", {}).items():
        if name not in found:
            continue
        places = min(len(text.partition(".")[2]) for text in digits)
        slack = 0.5 * 10.0**-places * len(digits) ** 0.5 + tolerance
        expected = [DIGITS.number(text) for text in digits]
        measured = np.ravel(np.asarray(found[name], dtype=float))
        yield agree(f"{name}, as known", measured, expected, slack)


# --- multilevel Metropolis with its noise given ---------------------------------------


@dataclass(frozen=True, eq=False)
class Replay:
    """What a run is given, and what it must record."""

    records: Any
    uniforms: Array
    normals: Array
    decisions: list[bool]


def uniform_moves(n: int) -> Array:
    """Proposals of all other values alike."""
    return np.asarray((1 - np.eye(n)) / max(n - 1, 1))


def moves(label: str, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Proposals in multiples of 1/1024, not symmetric; some of them of no move."""
    return tuple(
        np.array([law(f"{label}, {k}, {i}", (n,)) for i in range(n)])
        for k, n in enumerate(shape)
    )


def walk(
    label: str,
    shape: tuple[int, ...],
    temperatures: Any,
    inner_steps: tuple[int, ...],
    steps: int,
    **more: Any,
) -> Problem:
    """A run on a table; of general reference and proposals unless `more` has others."""
    p = generated(shape, temperatures, label)
    given = {
        "proposals": moves(label, shape),
        "inner_steps": inner_steps,
        "steps": steps,
        "start": np.array([n // 2 for n in shape]),
    }
    every = {**p.more, **given, **more}
    return Problem(f"{p.label}, T' = {list(inner_steps)}", None, more=every)


@cache
def table_replays(p: Problem, n: int = 2) -> list[Replay]:
    """Runs on a table with designed uniforms.

    Raises
    ------
    AssertionError
        If the published loops decide otherwise, or any decision is near a tie, or with
        exact means a ratio is not that of partition functions.
    """
    found = []
    if len(p.more["start"]) > 2:
        _confirm_ratios(p)
    for r in range(n):
        model = table_model(sampling.DIGITS, p)
        source = sampling.Designed(fractions(f"{p.label}, uniforms {r}"))
        found.append(_designed(p, model, source, list(p.more["start"])))
    return found


def _confirm_ratios(p: Problem) -> None:
    """Compare the recursion of the ratios with the nested partition functions."""
    model, (f, Q, hot) = table_model(DIGITS, p), tables(p)
    laws, Z = ms.tilted(DIGITS, f, Q, hot), ms.nested(DIGITS, f, Q, hot)
    for k in range(1, f.ndim):
        for w in np.ndindex(*f.shape[:k]):
            hat = (*w[:-1], (w[-1] + 1) % f.shape[k - 1])
            ratio = DIGITS.log(Z[k][hat] / Z[k][w])
            confirm(sampling.mean_ratio(model, laws, list(hat), list(w)), ratio)


def table_model(ctx: Any, p: Problem) -> sampling.Finite:
    """The sampler's side of a case."""
    return sampling.Finite(ctx, *tables(p), p.more["proposals"])


@cache
def flat_replays(p: Problem, n: int = 2) -> list[Replay]:
    """Runs without a reference with designed uniforms and given normals; see above."""
    found = []
    for r in range(n):
        source = sampling.Designed(
            fractions(f"{p.label}, uniforms {r}"), normals(f"{p.label}, normals {r}")
        )
        model = flat_model(sampling.DIGITS, p)
        found.append(_designed(p, model, source, _levels(model.ctx, p)))
    return found


def flat_model(ctx: Any, p: Problem) -> sampling.Flat:
    """The sampler's side of a case."""
    return sampling.Flat(ctx, p.loss, p.more["temperatures"], p.more["scales"])


def _levels(ctx: Any, p: Problem) -> list[Any]:
    cuts = np.cumsum(p.more["sizes"])[:-1]
    return [tuple(map(ctx.number, part)) for part in np.split(np.array(p.x), cuts)]


def _designed(
    p: Problem, model: Any, source: sampling.Designed, start: list[Any]
) -> Replay:
    inner, steps = p.more["inner_steps"], p.more["steps"]
    records, uniforms, z = sampling.designed_run(model, inner, start, source, steps)
    if len(start) == 2:
        given = sampling.Given(
            iter(uniforms.ravel().tolist()), iter(z.ravel().tolist())
        )
        again = sampling.published(model, inner[0], list(start), given, steps)
        clear = given.edges > sampling.CLEAR_OF_EDGES / 2
        clear = clear and given.odds > sampling.CLEAR_OF_ODDS / 2
        if not clear or again != records:
            raise AssertionError(f"{p.label}: a decision hangs on rounding")
    return Replay(records, uniforms, z, source.decisions)


def ask_table(w: Witness, p: Problem, **given: Any) -> Any:
    """The records of a case: (n, steps, d)."""
    f, Q, hot = tables(p)
    more = [p.more[name] for name in ("proposals", "inner_steps", "steps")]
    return w.multilevel_metropolis(f, Q, hot, *more, start=p.more["start"], **given)


def ask_flat(w: Witness, p: Problem, **given: Any) -> Any:
    """The same without a reference: (n, steps, N)."""
    names = ("sizes", "temperatures", "scales", "inner_steps", "steps")
    more = [p.more[name] for name in names]
    return w.multilevel_metropolis_gaussian(p.loss, *more, start=p.x, **given)
