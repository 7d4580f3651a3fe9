"""The published multilevel experiment: network, runs, records, command and page."""

from __future__ import annotations

import json
import os
import re
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import refimpl.__main__ as command
from refimpl.__main__ import main
from refimpl.errors import InvalidParameter
from refimpl.experiments import multilevel_network, multilevel_plots, workers
from refimpl.experiments.checkpoints import Interrupted, Place, read, train
from refimpl.experiments.data import Data, Split, load
from refimpl.experiments.multilevel import (
    EARLY,
    METHODS,
    MultilevelSetting,
    Rounds,
    Seen,
    Tally,
    WithoutBias,
    published,
    seconds_per_round,
)
from refimpl.experiments.multilevel_bias import (
    COLD,
    FAMILIES,
    FOLLOWED,
    GROUPS,
    INNER_STEPS,
    LONGER,
    M1,
    PATHS,
    SEED,
    WARM,
    Family,
    jackknife,
    variation,
)
from refimpl.experiments.multilevel_bias import records as bias_records
from refimpl.experiments.multilevel_network import DeviationNetwork, published_pixels
from refimpl.experiments.multilevel_reproduction import (
    LABELS,
    SCALED_DOWN,
    document,
    gathered,
    predicted,
    settings,
    timings,
)
from refimpl.experiments.records import read as read_records
from refimpl.multiscale.enumeration import TwoLevelEnumeration
from refimpl.multiscale.finite import gibbs
from refimpl.multiscale.metropolis import (
    MultilevelMetropolis,
    Random,
    uniform_over_others,
)
from refimpl.multiscale.temperatures import Temperatures
from refimpl.network import DenseLoss
from refimpl.streams import stream

pytest.importorskip("sklearn")
pytest.importorskip("threadpoolctl")

DOCS = Path(__file__).resolve().parents[1] / "docs"
RECORDS = DOCS / "multilevel"
SMALL: dict[str, Any] = {
    "data": "digits",
    "images": 60,
    "hidden": 12,
    "rounds": 12,
    "inner_steps": 3,
    "evaluate_every": 5,
}
EPS = float(np.finfo(float).eps)

compiled_only = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT: minutes of plain loops"
)


def small(method: Any, **changes: Any) -> Any:
    batch = {"batch": 20} if method == "sgd" else {}
    return published(method, **{**SMALL, **batch, **changes})


@cache
def digits() -> Data:
    return load("digits")


def network(count: int = 40, hidden: int = 7) -> DeviationNetwork:
    images = digits().train.images[:count]
    return DeviationNetwork(images, digits().train.labels[:count], hidden, 10)


def levels(net: DeviationNetwork, seed: int, size: float = 0.3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [size * rng.standard_normal(shape) for shape in net.shapes]


# --- the network


def with_biases(net: DeviationNetwork, images: np.ndarray) -> DenseLoss:
    """The project's other network, whose output layer has biases, here zero."""
    (n, m), (_, c) = net.shapes
    shapes = ((n, m), (m + 1, c))
    return DenseLoss(images, net.labels, shapes, loss="squared", compiled=False)


@pytest.mark.parametrize("seed", range(3))
def test_the_energy_is_that_of_the_dense_network(seed: int) -> None:
    """Sums of 64 and 7 products, softmax and a mean: some hundred roundings."""
    net = network()
    f = with_biases(net, digits().train.images[:40])
    w1, w2 = levels(net, seed)
    M1, M2 = net.references
    y = np.concatenate([(w1 + M1).ravel(), (w2 + M2).ravel(), np.zeros(10)])
    wanted, bound = float(f(y)), 300 * EPS * 10
    found = net.measure(w1, w2)
    assert abs(net(w1, w2) - wanted) < bound
    assert abs(found.loss - wanted) < bound
    assert found.accuracy == float(f.accuracy(y))
    assert abs(float(WithoutBias(f)(y)) - wanted) < bound


def test_the_references_are_rectangular_identities() -> None:
    M1, M2 = DeviationNetwork(np.zeros((1, 784)), np.zeros(1, int), 100, 10).references
    assert (M1.shape, M2.shape) == ((784, 100), (100, 10))
    for M in (M1, M2):
        np.testing.assert_array_equal(
            np.argwhere(M), [[i, i] for i in range(M.shape[1])]
        )
        assert set(np.unique(M)) == {0.0, 1.0}


def test_the_first_loss_is_nine_tenths() -> None:
    """Where the first ten pixels are 0 the output is uniform; elsewhere it is not."""
    images = np.zeros((3, 64))
    images[:, 20:40] = 0.7
    images[2, 4] = 0.9
    net = DeviationNetwork(images, np.array([3, 4, 5]), 12, 10)
    zero = [np.zeros(shape) for shape in net.shapes]
    one = DeviationNetwork(images[:2], np.array([3, 4]), 12, 10)
    assert one(*zero) == pytest.approx(0.9, abs=1e-15)
    assert net.measure(*zero).loss != pytest.approx(0.9, abs=1e-3)


def test_pixels_are_divided_by_256() -> None:
    bytes_ = np.arange(256) / 255
    split = Split(bytes_[None], np.zeros(1, int))
    np.testing.assert_array_equal(
        published_pixels("mnist", split)[0], np.arange(256) / 256
    )
    found = published_pixels("digits", digits().train, 5)
    np.testing.assert_array_equal(found, digits().train.images[:5])


@pytest.mark.parametrize("name", ["hidden", "squared_loss", "output_loss"])
def test_both_faces_of_the_kernels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same to contracted multiply-adds; and NaN is not lost in relu."""
    monkeypatch.setattr(multilevel_network, "BLOCK", 16)  # of 40 images
    net, name = network(), f"{name}_kernel"
    w1, w2 = levels(net, 5)
    results = []
    kernel = getattr(multilevel_network, name)
    for face in (kernel, getattr(kernel, "py_func", kernel)):
        monkeypatch.setattr(multilevel_network, name, face)
        layer = net.given(w1)
        results.append((layer.H, layer(w2)))
        w1_nan = w1.copy()
        w1_nan[20, 3] = np.nan
        assert np.isnan(net.given(w1_nan).H[:, 3]).any()
    np.testing.assert_allclose(results[0][0], results[1][0], atol=64 * EPS * 30)
    assert abs(results[0][1] - results[1][1]) < 300 * EPS * 10


def test_the_hidden_layer_is_the_product_of_the_images() -> None:
    """Also of images without a single pixel, and of one, two and three of them."""
    images = np.zeros((5, 9))
    for i in range(1, 5):
        images[i, : 2 * i : 2] = 0.25 * i
    net = DeviationNetwork(images, np.zeros(5, int), 4, 3)
    w1 = levels(net, 6)[0]
    wanted = np.maximum(images @ (w1 + np.eye(9, 4)), 0)
    np.testing.assert_allclose(net.given(w1).H, wanted, atol=30 * EPS)


# --- settings


def test_the_published_numbers() -> None:
    s = published("multilevel")
    assert (s.images, s.pixels, s.hidden, s.rounds, s.inner_steps) == (
        *(60000, 784, 100, 40000, 10),
    )
    assert s.scales == (0.001, 0.0005)  # standard deviations
    t = Temperatures.from_index(s.index)
    assert t.levels == pytest.approx((3e-6, 1e-6))
    assert t.exponents == (pytest.approx(1 / 3),)
    assert s.round_price == 60000 * (784 * 100 + 20 * 100 * 10)
    single, same = published("metropolis"), published("one-temperature")
    for one in (single, same):
        assert Temperatures.from_index(one.index).levels == (1e-6, 1e-6)
    assert (same.update_price, same.scales) == (s.round_price, s.scales)
    assert single.update_price == 60000 * (784 * 100 + 100 * 10)
    sgd = published("sgd")
    assert sgd.update_price == 100 * (2 * 784 * 100 + 3 * 100 * 10)
    for one in (s, same, single, sgd):
        spent = one.updates(one.rounds) * one.update_price
        assert 0 <= one.rounds * one.round_price - spent < one.update_price
        assert one.work(one.total) == one.rounds * one.round_price / 1e9
    small = settings()
    assert {one.method for one in small} == set(METHODS) == set(LABELS)
    for one in small:
        assert one == published(one.method, **SCALED_DOWN)
    assert [one.rounds for one in settings(whole=True)] == [40000] * 4
    assert [one.seed for one in settings(data="digits", seeds=2)] == [0, 1] * 4


@pytest.mark.parametrize("method", METHODS)
def test_settings_survive_json(method: Any) -> None:
    s = small(method, seed=3)
    assert MultilevelSetting.of_record(json.loads(s.to_json())) == s
    others = [replace(s, seed=4), replace(s, images=61), published(method)]
    assert len({s.slug, *(one.slug for one in others)}) == 4
    assert s.slug.startswith(f"{method}-digits-seed-3-")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "adam"}, "method must be one of"),
        ({"data": "cifar"}, "data must be one of"),
        ({"epochs": 3}, "no field 'epochs'"),
        ({"images": 0}, "images must be at least 1"),
        ({"inner_steps": 0}, "inner_steps must be at least 1"),
        ({"scales": (0.1, 0.0)}, "positive"),
        ({"index": (-2e-6, 1e-6)}, "positive"),
        ({"index": None}, "multilevel needs index"),
        ({"batch": 20}, "multilevel has no batch"),
        ({"method": "sgd", "learning_rate": 0.0}, "positive"),
        ({"method": "sgd", "images": 50}, "batch must be at most images = 50"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_settings_that_are_none(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        published(changes.pop("method", "multilevel"), **changes)
    assert said in str(caught.value)


def test_records_that_are_none() -> None:
    for values in (None, {}, {"method": "sgd"}):
        with pytest.raises(InvalidParameter, match="not a setting"):
            MultilevelSetting.of_record(values)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": 2000}, "images must be at most 1437"),
        ({"data": "mnist"}, "asks for mnist, not digits"),
    ],
)
def test_data_that_do_not_fit(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        Rounds(small("multilevel", **changes), digits())
    assert said in str(caught.value)


# --- runs


@cache
def seen(method: Any, seed: int = 0) -> list[Seen]:
    run = Rounds(small(method, seed=seed), digits())
    state = run.begin()
    states = [state, *run.after(state)]
    assert [one.k for one in states] == list(range(13))
    return [run.evaluate(one) for one in states]


def test_what_is_recorded_is_before_the_decision() -> None:
    """The run once more, by the algorithm alone, with the streams of its rounds."""
    s = small("multilevel")
    images = digits().train.images[: s.images]
    net = DeviationNetwork(images, digits().train.labels[: s.images], s.hidden, 10)
    assert s.index is not None
    method = MultilevelMetropolis(
        Temperatures.from_index(s.index), s.scales or (), (s.inner_steps,)
    )
    walk = method.begin(net, [np.zeros(shape) for shape in net.shapes])
    adds = differ = uphill = undecided = 0
    hidden, output = net.products
    for k, one in enumerate(seen("multilevel")[1:]):
        visit = method.advance(walk, Random(stream(0, "algorithm", k)))
        adds += hidden + visit.evaluations * output
        assert one.multiply_adds == adds
        assert one.train_loss == pytest.approx(visit.energy, abs=1e-15)
        differ += abs(one.train_loss - walk.energy) > 1e-9
        uphill += bool(visit.accepted[0]) and walk.energy > visit.energy
        undecided += np.exp(-10) < np.exp(visit.log_ratio / 3) < 1
        assert (one.uphill, one.undecided) == (uphill, undecided)
        norms = [np.linalg.svd(w, compute_uv=False)[0] for w in visit.w]
        assert one.norms == pytest.approx(norms, rel=1e-12)
    assert differ >= 3  # accepted decisions, which the record does not see
    assert one.tried == (12, 36) == tuple(walk.tried)
    assert one.accepted == tuple(walk.accepted)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_costs_what_it_says(method: Any) -> None:
    first, *_, last = seen(method)
    s = small(method)
    assert (first.k, first.multiply_adds, first.updates) == (0, 0, 0)
    assert last.updates == s.updates(12)
    if method in ("multilevel", "one-temperature"):
        assert last.multiply_adds <= 12 * s.round_price
        assert last.multiply_adds >= 12 * s.round_price * 0.8
    else:
        assert last.multiply_adds == s.updates(12) * s.update_price


def test_where_the_runs_start() -> None:
    """Metropolis at the identities, SGD a proposal's width from them."""
    for method in ("multilevel", "one-temperature", "metropolis"):
        assert seen(method)[0].norms == (0.0, 0.0)
    run = Rounds(small("sgd"), digits())
    x = run.begin().x
    deviations = np.concatenate([w.ravel() for w in run._split(x)])
    assert abs(deviations.std() / 0.001 - 1) < 0.15
    assert (x[-10:] == 0).all()
    *_, last = run.after(run.begin())
    assert (last.x[-10:] == 0).all()  # no biases
    assert np.abs(last.x - x).max() > 0.01


def test_all_methods_descend() -> None:
    for method in METHODS:
        first, *_, last = seen(method)
        assert last.train_loss < first.train_loss - 1e-4
    assert seen("sgd")[-1].train_loss < 0.88


def test_seeds_differ() -> None:
    assert seen("multilevel", 1)[-1].train_loss != seen("multilevel")[-1].train_loss


def test_the_tally_survives_a_checkpoint() -> None:
    tally = Tally(2**52 + 1, 3, 4, (12, 36), (5, 17), 4.25)
    assert vars(Tally.of_numbers(tally.numbers())) == vars(tally)


def test_when_a_run_is_looked_at() -> None:
    setting = small("multilevel", rounds=43)
    due = [k for k in range(44) if setting.is_due(k)]
    assert due == sorted({*EARLY, *range(0, 44, 5), 43})
    assert list(setting.due(43)) == due
    assert list(setting.due(12)) == [0, 1, 2, 5, 10]


@pytest.mark.parametrize("method", METHODS)
def test_a_stop_at_every_round_changes_nothing(method: Any, tmp_path: Path) -> None:
    setting: Any = small(method)
    whole = train(setting, digits, tmp_path / "whole").read_bytes()
    for k in range(1, 13):
        with pytest.raises(Interrupted, match=f"after update {k} of 12"):
            train(setting, digits, tmp_path, watch=lambda now, k=k: now == k)
    record = train(setting, digits, tmp_path)
    assert record.read_bytes() == whole
    history = read(record, MultilevelSetting, Seen)
    assert history.setting == setting
    assert history.ended == "complete"
    due = [0, 1, 2, 5, 10, 12]
    assert [one.k for one in history.evaluations] == due
    wanted = [seen(method)[k] for k in due]
    for one, other in zip(history.evaluations, wanted, strict=True):
        for field in fields(Seen):
            found, expected = getattr(one, field.name), getattr(other, field.name)
            assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_runs_in_processes_of_their_own(tmp_path: Path) -> None:
    """Side by side, the same records to the last bit."""
    chosen: list[Any] = [small(method) for method in METHODS]
    workers.train_all(chosen, tmp_path / "two", jobs=2)
    workers.train_all(chosen, tmp_path / "one", jobs=1)
    for one in chosen:
        a, b = (Place(tmp_path / name, one).record for name in ("one", "two"))
        assert a.read_bytes() == b.read_bytes()


def test_what_a_round_costs_is_measured() -> None:
    assert 0 < seconds_per_round(small("multilevel"), digits()) < 5
    one = small("sgd", rounds=1)
    assert 0 < seconds_per_round(one, digits()) < 5
    assert predicted([2.0, 1.0, 1.0], 10, 1) == 40
    assert predicted([2.0, 1.0, 1.0], 10, 4) == 20


# --- the command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFIMPL_DATA", raising=False)
    return tmp_path


WORDS = ["reproduce", "multilevel", "--data", "digits", "--updates", "3", "--jobs", "1"]


@compiled_only
def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(WORDS) == 0
    said = capsys.readouterr()
    assert said.err == ""
    announced, *_ = said.out.splitlines()
    assert announced.startswith("4 runs of 3 rounds on 1437 images take about")
    assert re.search(r"SGD, seed 0: \S+ s a round, \S+ s an update", said.out)
    out = folder / "reproduction"
    chosen = settings(data="digits", rounds=3)
    found = gathered(chosen, out)
    text = document(found)
    assert (out / "multilevel.md").read_text(encoding="utf-8") == text
    assert text in said.out
    for label in LABELS.values():
        assert f"| {label}" in text
    assert len(timings(found)) == 4
    picture = (out / "multilevel.svg").read_text(encoding="utf-8")
    assert picture.count("<svg") == 1
    before = {file: file.read_bytes() for file in out.iterdir()}
    assert main(WORDS) == 0  # nothing is left to run
    assert "take about" not in capsys.readouterr().out
    assert {file: file.read_bytes() for file in out.iterdir()} == before


@pytest.mark.usefixtures("folder")
def test_the_whole_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """--published is the same path with the published settings, --force begins anew."""
    asked: list[Any] = []
    monkeypatch.setattr(
        command, "_longest_first", lambda chosen, _: asked.append(chosen)
    )
    monkeypatch.setattr(command, "_run", lambda chosen, *_: 1 / 0)
    for words, wanted in (
        (["--published"], settings(whole=True)),
        ([], settings()),
        (["--seeds", "2", "--updates", "7"], settings(seeds=2, rounds=7)),
    ):
        with pytest.raises(ZeroDivisionError):
            main(["reproduce", "multilevel", *words])
        assert asked.pop() == wanted


@pytest.mark.usefixtures("folder")
def test_the_command_without_data(capsys: pytest.CaptureFixture[str]) -> None:
    workers._data.cache_clear()
    assert main(["reproduce", "multilevel"]) == 2
    assert "no folder of data is named" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "words", [["table-1"], ["multilevel-bias"], ["multilevel", "--data", "digits"]]
)
def test_published_is_of_one_experiment(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", *words, "--published"]) == 2
    assert "--published is of multilevel on mnist alone" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["multilevel", "multilevel-bias"])
def test_there_is_one_reading(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", name, "--reading", "printed"]) == 2
    assert f"--reading says nothing to {name}" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_file_is_no_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out").write_text("mine")
    assert main(["reproduce", "multilevel", "--data", "digits", "--out", "out"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "refimpl: out: File exists\n")
    assert (folder / "out").read_text() == "mine"


def test_the_command_of_the_bias(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    short = lambda family: bias_records(family, (1, 5), (12,))  # noqa: E731
    monkeypatch.setattr(command.multilevel_bias, "records", short)
    assert main(["reproduce", "multilevel-bias", "--out", "here"]) == 0
    names = ["here/multilevel-bias.jsonl", "here/multilevel-bias.svg"]
    assert capsys.readouterr().out.split() == names
    found = read_records(folder / names[0])
    assert len(found) == 2 * len(FAMILIES) + 1
    (estimated,) = (one for one in found if one.repetitions)
    assert (estimated.setting["inner_steps"], estimated.seed) == (12, SEED)
    cold = next(one for one in found if one.setting["lambda_1"] == COLD[0])
    assert cold.measured["variation"] == pytest.approx(0.193115, abs=5e-7)


def test_variation() -> None:
    assert variation(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) == 1.0
    assert Family(COLD, "warm").label == "lambda = (0.3, 0.1), warm"


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    x = np.random.default_rng(3).random(12)
    others = [float(np.delete(x, k).mean()) for k in range(12)]
    assert jackknife(others) == pytest.approx(x.std(ddof=1) / np.sqrt(12), rel=1e-12)


def test_an_estimate_is_as_near_as_it_says() -> None:
    """Within 8 standard errors by the jackknife, Student's t: 1e-9 for each of four."""
    exact, estimated = bias_records(FOLLOWED, (40,), (40,))
    assert estimated.repetitions == PATHS
    for name, value in exact.measured.items():
        error = estimated.measured[f"{name}_error"]
        assert abs(estimated.measured[name] - value) < 8 * error
        assert 0 < error < 0.05


# --- MNIST itself


def test_mnist_at_the_start() -> None:
    """0.9 to within the few images whose first ten pixels are not all 0."""
    if not os.environ.get("REFIMPL_DATA"):
        pytest.skip(
            "needs MNIST: `refimpl fetch` brings its four files, REFIMPL_DATA names "
            "their folder"
        )
    d = load("mnist")
    run = Rounds(published("multilevel", images=500, rounds=1), d)
    zero = run.evaluate(run.begin())
    assert zero.train_loss == pytest.approx(0.9, abs=1e-3)
    assert zero.test_loss == pytest.approx(0.9, abs=1e-3)
    (one,) = run.after(run.begin())
    assert run.evaluate(one).norms[0] < 0.3  # a step has Frobenius norm 0.28
    moved = one.info.accepted[0]
    assert np.linalg.norm(one.x[:78400]) == pytest.approx(0.28 * moved, rel=0.02)


# --- the page


def test_the_plots_depend_on_the_records_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        every = read_records(RECORDS / "multilevel-bias.jsonl")
        multilevel_plots.draw_bias(every, tmp_path / name)
    one, two = (tmp_path / name / "multilevel-bias.svg" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def page() -> str:
    return (DOCS / "multilevel.md").read_text(encoding="utf-8")


@compiled_only
def test_the_bias_s_records_are_what_is_computed() -> None:
    """All short inner loops; and the page's table, to the digits shown."""
    kept = kept_bias()
    assert len(kept) == len(FAMILIES) * len(INNER_STEPS) + len(LONGER)
    for family in FAMILIES:
        for one in bias_records(family, (1, 10, 100), ()):
            key = (family.inner, family.temperatures[0], one.setting["inner_steps"])
            for name, value in one.measured.items():
                assert kept[key].measured[name] == pytest.approx(value, rel=1e-9)
    for T in INNER_STEPS:
        cells = [
            f"{kept['warm', first, T].measured['variation']:.6f}"
            for first in (1.5, 0.75, 0.3)
        ]
        after = f"{kept['warm', 1.5, T].measured['after']:.6f}"
        assert f"| {T} | {' | '.join(cells)} | {after} |" in page()
    for T in LONGER:
        one = kept["warm", 0.3, T]
        assert (one.repetitions, one.seed) == (PATHS, SEED)
        found, error = (one.measured[name] for name in ("variation", "variation_error"))
        assert f"| {T:,} | | | {found:.4f} ± {error:.4f} | |" in page()
    said = re.sub(r"\s+", " ", page())
    assert f"{PATHS:,} paths of the inner chain" in said
    assert f"with seed {SEED} and standard errors" in said
    assert f"over {GROUPS} groups" in said


def kept_bias() -> dict[Any, Any]:
    return {
        (one.experiment, one.setting["lambda_1"], one.setting["inner_steps"]): one
        for one in read_records(RECORDS / "multilevel-bias.jsonl")
    }


def bias_of(lambda_1: float, inner: str = "warm", what: str = "variation") -> Any:
    """What the records have of one family, by T'."""
    return {
        T: one.measured[what]
        for (kind, first, T), one in kept_bias().items()
        if (kind, first) == (inner, lambda_1)
    }


@pytest.mark.slow
@compiled_only
def test_the_long_records_are_what_the_seed_makes() -> None:
    for one in bias_records(FOLLOWED, (1,), LONGER):
        kept = kept_bias()["warm", COLD[0], one.setting["inner_steps"]]
        assert one.measured == pytest.approx(kept.measured, rel=1e-9)


def is_better_recorded(
    before: Any, after: Any, worse_with_every_step: bool = False
) -> None:
    """The laws recorded before and after the outer decision, by T'."""
    assert (
        "Take what is recorded.** It is nearer to $P^*$ than the pair after" in page()
    )
    for T, distance in before.items():
        assert distance < after[T]
    if worse_with_every_step:
        said = re.sub(r"\s+", " ", page())
        assert "at the two warmer pairs of temperatures gets worse with every" in said
        assert (np.diff(list(after.values())) > 0).all()


@pytest.mark.parametrize(
    "first", [1.5, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.75, 0.3))]
)
@compiled_only
def test_which_pair_is_nearer(first: float) -> None:
    """By enumeration for every T' up to 60."""
    warm = first > COLD[0]
    every = list(
        bias_records(Family((first, first / 3), "warm"), tuple(range(1, 61)), ())
    )
    before, after = (
        {one.setting["inner_steps"]: one.measured[name] for one in every}
        for name in ("variation", "after")
    )
    assert len(before) == 60
    is_better_recorded(before, after, worse_with_every_step=warm)


@pytest.mark.parametrize("first", [1.5, 0.75, 0.3])
def test_which_pair_is_nearer_in_the_records(first: float) -> None:
    warm = first > COLD[0]
    is_better_recorded(bias_of(first), bias_of(first, what="after"), warm)


def test_what_the_page_says_of_more_inner_steps() -> None:
    text = re.sub(r"\s+", " ", page())
    hot, cool, cold = (bias_of(first) for first in (1.5, 0.75, 0.3))
    tail = np.array([T * distance for T, distance in hot.items() if T >= 30])
    assert "the error falls like $0.2/T'$ from about thirty inner steps on" in text
    assert ((tail > 0.165) & (tail < 0.22)).all()
    assert (
        "three inner steps leave as much as ten, 1.4 %, and seven leave 1.7 %" in text
    )
    assert [round(100 * hot[T], 1) for T in (3, 7, 10)] == [1.4, 1.7, 1.4]
    ninths, (coarse, fine) = np.full((3, 3), 1 / 9), WARM
    law = gibbs(M1, ninths, Temperatures((coarse, fine)))
    away = 100 * variation(gibbs(M1, ninths, Temperatures((fine, fine))), law)
    assert f"law at $\\lambda_2$ is {away:.1f} % away" in text
    assert "thirty inner steps are three times as far off as five" in text
    assert 3 < cool[30] / cool[5] < 3.5
    assert "eight hundred are more than three times as far off as one hundred" in text
    assert 3 < cold[800] / cold[100] < 4
    most = max(
        float(M1[v, j] - M1[w, j]) for w in range(3) for v in range(3) for j in range(3)
    )
    weights = [np.exp(most / level) for level in (0.5, 0.25, 0.1)]
    assert "13, 180 and $4 \\cdot 10^5$ in the three columns" in text
    assert np.allclose(weights, [13, 180, 4e5], rtol=0.11)
    assert f"it is {cold[5000]:.2f} at 5,000, larger than with a single inner" in text
    assert cold[5000] > cold[1]
    assert "at 30,000 still nearly as large as with that" in text
    assert 0.9 < cold[30_000] / cold[1] < 1
    chain = bias_of(0.3, "equilibrium")
    assert "Up to $T' = 140$ the carried $w_2$ is a better start" in text
    assert "from $T' = 200$ on the exact draw is" in text
    assert all((cold[T] < chain[T]) == (T <= 140) for T in INNER_STEPS)
    assert f"at $T' = 300$ with {chain[300]:.3f} against {cold[300]:.3f}" in text


def test_an_inner_chain_with_a_period_does_not_forget() -> None:
    """Two states of equal energy: the law is one for odd T' and none for even ones."""
    both = [uniform_over_others(2)] * 2
    f, uniform = [[0.0, 0.0], [1.0, 1.0]], np.full((2, 2), 0.25)
    method = TwoLevelEnumeration(f, uniform, Temperatures((1.0, 0.5)), both)
    assert variation(method.law(3).recorded, method.target) < 1e-14
    with pytest.raises(InvalidParameter, match="not unique"):
        method.law(4)


def test_independent_levels_are_right_after_the_decision_too() -> None:
    f = np.add.outer([0.0, 0.7, 0.2], [0.3, 0.0, 1.1])
    every = [uniform_over_others(3)] * 2
    method = TwoLevelEnumeration(
        f, np.full((3, 3), 1 / 9), Temperatures((1.0, 0.5)), every
    )
    assert variation(method.law(5).after, method.target) < 1e-13


@cache
def kept_runs() -> list[Any]:
    return gathered(settings(), RECORDS)


def test_the_table_is_made_from_the_records() -> None:
    shown = (RECORDS / "multilevel.md").read_text(encoding="utf-8")
    assert shown == document(kept_runs())
    names = {Place(RECORDS, one).record.name for one in settings()}  # type: ignore[arg-type]
    names |= {"multilevel-bias.jsonl"}
    assert {file.name for file in RECORDS.glob("*.jsonl")} == names


def test_what_the_page_says_of_the_experiment() -> None:
    text = re.sub(r"\s+", " ", page())
    for name in ("multilevel", "multilevel-bias"):
        assert (RECORDS / f"{name}.svg").exists()
        assert f"(multilevel/{name}.svg)" in text
    for one in kept_runs():
        end = one.last
        row = [
            LABELS[one.setting.method],
            f"{end.multiply_adds:.3g}",
            f"{end.train_loss:.4f}",
            f"{end.train_accuracy:.4f}",
            f"{end.test_loss:.4f}",
            f"{end.test_accuracy:.4f}",
        ]
        assert f"| {' | '.join(row)} |" in text


def seen_at(one: Any, k: int) -> Any:
    return one.history.at(k)


def test_what_the_page_says_of_the_curves() -> None:
    text = re.sub(r"\s+", " ", page())
    found = {one.setting.method: one for one in kept_runs()}
    run, same, sgd = (found[m] for m in ("multilevel", "one-temperature", "sgd"))
    end = run.last
    there = next(
        one for one in sgd.history.evaluations if one.train_loss <= end.train_loss
    )
    least = min(sgd.history.evaluations, key=lambda one: one.test_loss)
    assert there.k == least.k
    assert 90 < end.multiply_adds / there.multiply_adds < 110
    apart = np.abs(run.column("train_loss") - same.column("train_loss")).max()
    for fragment in (
        f"falls to {end.train_loss:.4f} without any gradient",
        f"with {end.test_accuracy:.4f} of the test images right",
        f"falling, from {seen_at(run, 9000).train_loss:.4f} in the last thousand",
        f"below that training loss after {there.k} rounds",
        f"is least there, at {least.test_loss:.4f}, and ends at",
        f"and ends at {sgd.last.test_loss:.4f}",
        f"never differ by more than {apart:.4f}",
    ):
        assert fragment in text, fragment


def test_what_the_page_says_of_sampling_and_descent() -> None:
    text = re.sub(r"\s+", " ", page())
    run = next(one for one in kept_runs() if one.setting.method == "multilevel")
    first, early, late, end = (seen_at(run, k) for k in (0, 1000, 9000, 10000))

    def open_and_uphill(a: Any, b: Any) -> tuple[float, float]:
        tried, accepted = b.tried[0] - a.tried[0], b.accepted[0] - a.accepted[0]
        left = (b.undecided - a.undecided) / tried
        return 100 * left, 100 * (b.uphill - a.uphill) / accepted

    (begun, begun_up), (left, up) = (
        open_and_uphill(a, b) for a, b in ((first, early), (late, end))
    )
    rate = end.accepted[1] / end.tried[1]
    for fragment in (
        f"In the first 1,000 rounds {begun:.1f} % of them had",
        f"Of the accepted moves {begun_up:.1f} % went up.",
        f"it is {left:.1f} % and {up:.1f} %.",
        f"to a spectral norm of {end.norms[1]:.2f} by the end",
        f"makes up {end.largest_shares / end.tried[0]:.3f} of their sum",
        f"It accepts {rate:.3f} of its proposals",
        f"each of length {0.0005 * np.sqrt(1000):.3f},",
        f"= {(78400 * 3e-6 + 1000 * 1e-6) / 2:.3f}$ above its minimum",
    ):
        assert fragment in text, fragment
    assert end.train_loss < (78400 * 3e-6 + 1000 * 1e-6) / 2


def test_the_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    program, on_tables, langevin = re.findall(
        r"^```python\n(.*?)^```$", page(), re.M | re.S
    )
    exec(program, {})
    shown = [float(one) for one in capsys.readouterr().out.strip("[] \n").split()]
    assert [f"{one:.2f}" for one in shown] == ["0.43", "-0.24"]
    assert "prints (0.43, −0.24)" in page()
    exec(on_tables, {})
    distance, *rest = capsys.readouterr().out.splitlines()
    assert f"{float(distance):.6f}" == "0.013515"
    simulated, exact = np.reshape(re.findall(r"0\.\d+", rest[0]), (2, 3)).astype(float)
    assert np.abs(simulated - exact).max() < 0.05
    exec(langevin, {})
    (mean,) = re.findall(r"-?\d\.\d+", capsys.readouterr().out)
    assert abs(float(mean) - -0.2565) < 0.3
