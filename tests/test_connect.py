"""Subjects in processes of their own: the protocol, its mishaps, the examples."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from verification.__main__ import main
from verification.checks import Verdict, find, run_check
from verification.connect import connect
from verification.connect.command import Command
from verification.connect.messages import (
    HarnessFault,
    encode,
    hard_numbers,
    inexact,
    numbers,
    parse,
)
from verification.connect.process import Ended, Process, Silent
from verification.connect.rate import main as rate_of
from verification.connect.rate import rates
from verification.diagnosis import diagnose
from verification.diagnosis.questions import FAMILIES
from verification.diagnosis.signature import ask as questioned
from verification.errors import CannotStart, NotRun, SubjectFault, UsageError
from verification.losses import KINDS, LossData, Network, Quadratic, from_json
from verification.report.json_report import as_json
from verification.report.words import sentence
from verification.runner import ExitCode, run
from verification.subject import METHODS, Witness

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "docs" / "examples"
LOSS = Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, 0.0])
X = np.array([2.0, -1.0])

#: A harness whose heat is 1, and which does one thing wrong.
STUB = r"""
import json, os, signal, sys, time

mode, *more = sys.argv[1:]
again = bool(more) and os.path.exists(more[0])  # it has been started before
if more:
    open(more[0], "w").close()


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def start():
    offer = {"name": "stub", "methods": ["heat", "scoping"]}
    if mode == "no methods":
        del offer["methods"]
    if mode == "unknown method":
        offer["methods"] = ["heatt"]
    if mode == "odd dtype":
        offer["dtype"] = "bfloat16"
    if mode == "single":
        offer["dtype"] = "float32"
    if mode == "readings":
        offer["conventions"] = {"scoping.origin": "1"}
    if again:
        offer.update(json.loads(mode))
    return {"result": 7 if mode == "no offer" else offer}


def echo(numbers):
    if mode == "six digits":
        numbers = [v if isinstance(v, str) else float(f"{v:.6g}") for v in numbers]
    if mode == "nine digits" or mode == "single":
        numbers = [v if isinstance(v, str) else float(f"{v:.9g}") for v in numbers]
    if mode == "no sign":
        numbers = [v if isinstance(v, str) else v + 0.0 for v in numbers]
    if mode == "no subnormals":
        flushed = lambda v: 0.0 if v and abs(v) < 2.3e-308 else v
        numbers = [v if isinstance(v, str) else flushed(v) for v in numbers]
    if mode == "half an echo":
        numbers = numbers[1:]
    if mode == "bare nan":
        numbers = [float(v) for v in numbers]
    return {"result": numbers}


def heat():
    if mode == "dies" or more:
        print("first\nsegmentation of the landscape", file=sys.stderr)
        sys.exit(3)
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "dies halfway":
        say('{"id": 2, "res')
        sys.exit(1)
    if mode == "hangs":
        time.sleep(100)
    if mode == "no newline":
        say('{"id": 2, "result": 1}')
        time.sleep(100)
    if mode == "closes":
        os.close(1)
        time.sleep(100)
    if mode == "prints":
        say("sampling...\n")
    if mode == "prints json":
        say("[1, 2]\n")
    if mode == "bytes":
        sys.stdout.buffer.write(b"\xff\xfe\n")
        sys.stdout.flush()
    if mode == "raises":
        return {"error": "ZeroDivisionError:\n  by zero"}
    if mode == "declines":
        return {"not-implemented": "not on weekdays"}
    if mode == "declines in silence":
        return {"not-implemented": None}
    if mode == "two kinds":
        return {"result": 1, "error": "but"}
    if mode == "no kind":
        return {"value": 1}
    if mode == "infinite":
        return {"result": "-inf"}
    if mode == "text":
        return {"result": "1.0"}
    if mode == "ragged":
        return {"result": [1.0, [2.0]]}
    return {"result": 1.0}


if mode == "greets":
    say("Welcome to the stub 1.0\n")
if mode == "never":
    print("no licence", file=sys.stderr)
    sys.exit(2)
for line in sys.stdin:
    message = json.loads(line)
    what, own = message["message"], message["id"]
    if what == "stop":
        break
    if what == "start":
        reply = {"error": "version 1 only"} if mode == "refuses" else start()
    elif what == "echo":
        reply = echo(message["numbers"])
    elif message["method"] == "heat":
        reply = heat()
    else:
        reply = {"result": os.getpid()}
    if mode == "counts from one":
        own += 1
    if mode == "boolean ids":
        own = {0: 0, 1: True}.get(own, own)
    if mode == "late" and what == "call":
        own -= 1
    text = json.dumps({"id": own, **reply}) + "\n"
    if mode == "repeats a key" and message.get("method") == "heat":
        text = text.replace("}", ', "result": 2.0}')
    say(text * 2 if mode == "stutters" and what == "call" else text)
"""


@pytest.fixture(scope="session")
def stub(tmp_path_factory):
    """The command of a stub that misbehaves in this way."""
    place = tmp_path_factory.mktemp("stub") / "stub.py"
    place.write_text(STUB)
    return lambda mode="": [sys.executable, "-S", str(place), mode]


# --- messages


def test_every_double_survives_a_message():
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2**64, 2000, dtype=np.uint64).view(np.float64)
    sent = np.concatenate([bits[np.isfinite(bits)], hard_numbers("float64")[:-3]])
    back = numbers(parse(encode({"result": sent.reshape(-1, 1)}))["result"])
    assert back.shape == (len(sent), 1)
    assert back.astype(np.float64).tobytes() == sent.tobytes()


def test_a_message_is_one_line_of_json():
    arguments = {
        "loss": LOSS,
        "x": np.array([math.inf, math.nan, -0.0]),
        "sizes": (2, 1),
        "count": np.int64(3),
        "seed": None,
        "record": {"tau": [0.5, -math.inf]},
    }
    line = encode({"id": 3, "arguments": arguments})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found = json.loads(line)["arguments"]
    assert found["x"][:2] == ["inf", "nan"]
    assert math.copysign(1, found["x"][2]) == -1
    assert found["record"] == {"tau": [0.5, "-inf"]}
    assert (found["sizes"], found["count"], found["seed"]) == ([2, 1], 3, None)
    assert from_json(found["loss"]).H.tolist() == LOSS.H.tolist()


def test_a_network_travels_too():
    network = Network((2, 2), [[0.5, 1.0]], [1], "tanh")
    data = json.loads(encode({"loss": network}))["loss"]
    assert data["kind"] in KINDS
    assert (data["sizes"], data["labels"], data["activation"]) == ([2, 2], [1], "tanh")


def test_what_the_protocol_lacks_is_the_judges_fault():
    with pytest.raises(TypeError, match="the protocol has no object"):
        encode({"x": object()})


def test_integers_stay_integers():
    assert numbers([[1, 2], [3, 4]]).dtype.kind == "i"
    assert numbers([2**70]) == [2**70] or float(numbers([2**70])[0]) == 2.0**70


def test_numbers_are_strings_only_where_json_has_none():
    assert numbers(["inf", 1.0]) == [math.inf, 1.0]
    assert numbers(["1.0"]) == ["1.0"]
    value, gradient = numbers([1.5, ["nan", 2.0]])
    assert value == 1.5
    assert math.isnan(gradient[0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_hard_numbers_are_of_their_dtype(dtype):
    hard = hard_numbers(dtype)
    assert inexact(hard, json.loads(encode({"r": hard}))["r"], dtype) == ""
    with np.errstate(all="ignore"):
        rounded = [float(np.dtype(dtype).type(number)) for number in hard]
    assert np.array_equal(hard, rounded, equal_nan=True)


@pytest.mark.parametrize(
    ("back", "said"),
    [
        (lambda v: f"{v:.16g}", "16 digits"),
        (lambda v: f"{float(np.float32(v))!r}", "single precision"),
        (lambda v: f"{v + 0.0!r}", "the sign of zero"),
        (lambda v: f"{v:.17f}", "fixed point"),
        (lambda v: f"{0.0 if abs(v) < 1e-300 else v!r}", "subnormals flushed"),
    ],
)
def test_careless_printing_is_noticed(back, said):
    hard = hard_numbers("float64")
    with np.errstate(all="ignore"):
        replies = [
            float(back(v)) if math.isfinite(v) else json.loads(encode({"v": v}))["v"]
            for v in hard
        ]
    assert "to the last bit" in inexact(hard, replies, "float64"), said


@pytest.mark.parametrize("reply", [True, None, [], {}, "1", 10**400])
def test_what_is_no_number_is_no_echo(reply):
    assert "echoes 1.0 as" in inexact([1.0], [reply], "float64")
    assert "as true" in inexact([1.0], [True], "float64")


@pytest.mark.parametrize("word", ["NaN", "nan", "-nan(ind)", "inf", "-Infinity", "Inf"])
def test_bare_infinities_are_named(word):
    for line in (f'{{"id":1,"result":[1.0,{word}]}}', f'{{"id":1,"result":{word}}}'):
        with pytest.raises(HarnessFault, match=r"wrote .*, which is no JSON") as caught:
            parse(line.encode())
        assert word in str(caught.value)


@pytest.mark.parametrize("number", [0.1, -0.0, 5e-324, 1 / 3, 1e22, 1e23, 2.0**53])
def test_numbers_are_the_shortest_decimals(number):
    line = encode({"v": np.array([number])}).decode()
    assert len(line) <= len(f'{{"v":[{number!r}]}}\n')
    assert repr(json.loads(line)["v"]) == f"[{number!r}]"


def test_arrays_of_any_memory_and_precision_travel():
    table = np.arange(12.0).reshape(3, 4) / 10
    for array in (
        table,
        table.T,
        table[:, ::2],
        table.astype(np.float32),
        table.astype(np.longdouble),
        table.astype(">f8"),
        np.arange(3, dtype=np.uint8),
        np.array(0.5),
        np.where(table > 1, np.inf, table),
    ):
        back = numbers(parse(encode({"result": array}))["result"])
        assert np.array_equal(back, array.astype(np.float64)), array.dtype
    assert parse(encode({"v": np.longdouble(0.5)})) == {"v": 0.5}


def test_the_two_readers_of_answers_say_the_same():
    result = [1, -7, 2**63, 0.1, -0.5, 1e-7, 12e3, 5e-324, "nan", None, True, "-inf"]
    plain = json.dumps({"id": 3, "result": result}).encode()
    strict = json.dumps({"id": 3, "result": result, "why": "a: b"}).encode()
    found, other = parse(plain), parse(strict)
    assert list(map(repr, found["result"])) == list(map(repr, other["result"]))
    for text in ("-0", " -0 ", "[-0]", "[-0,1]", "[[-0],[1]]", "-0.0", "-0e0"):
        back = numbers(parse(f'{{"id":1,"result":{text}}}'.encode())["result"])
        assert math.copysign(1, np.ravel(back)[0]) == -1, text
    huge = parse(b'{"id":1,"result":[1e400,123456789012345678901234567890]}')
    assert huge["result"] == [math.inf, 123456789012345678901234567890]


@pytest.mark.parametrize(
    "line",
    [
        '{"id":1,"result":[1.0],"result":[2.0]}',
        '{"id":1,"id":1,"result":1.0}',
        '{"id":1,"result":{"id":2,"id":3}}',
        '{"id":1,"\\u0069d":1,"result":1.0}',
    ],
)
def test_two_values_for_one_key_are_no_answer(line):
    with pytest.raises(HarnessFault, match=r"wrote the key '(id|result)' twice"):
        parse(line.encode())


# --- processes


def test_a_process_is_given_up_in_time_with_all_that_it_started():
    # the shell's child keeps the pipes open
    process = Process(["sh", "-c", "sleep 600 & sleep 600"])
    before = time.perf_counter()
    with pytest.raises(Silent, match=r"gave no answer within 0\.2 s"):
        process.ask(b"{}\n", 0.2)
    process.close(grace=0)
    assert time.perf_counter() - before < 60
    assert not any(thread.is_alive() for thread in process._threads)


def test_a_question_that_nobody_reads_blocks_nobody():
    process = Process(["sleep", "600"])
    with pytest.raises(Silent):
        process.ask(b"x" * 2**22, 0.2)
    process.close(grace=0)


#: Writes a megabyte before it has read more than the beginning of a question.
HASTY = """
import sys
sys.stdin.buffer.read(10)
sys.stdout.buffer.write(b" " * 2**20)
sys.stdout.flush()
print(len(sys.stdin.readline()), flush=True)
"""


def test_a_process_may_write_before_it_has_read():
    process = Process([sys.executable, "-S", "-c", HASTY])
    question = b"x" * 2**22 + b"\n"
    assert int(process.ask(question, 60)) == len(question) - 10
    process.close(grace=0)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("sleep 600 & exit 3", "exit code 3"),
        ("sleep 600 & kill -9 $$", "killed by SIGKILL"),
        ("sleep 600 & read question; printf half; exit 4", "exit code 4"),
        # what a launcher leaves behind is no harness, however fast it answers
        ("(read a; echo b) <&0 & exit 0", "exit code 0"),
    ],
)
def test_a_dead_process_is_not_outlived_by_its_children(script, status, monkeypatch):
    monkeypatch.setattr("verification.connect.process.DYING", 0.2)
    process = Process(["sh", "-c", script])
    if "echo" in script:  # its last answer in time may well be heard
        process._process.wait(60)
    with pytest.raises(HarnessFault, match=f"died, {status}") as caught:
        process.ask(b"{}\n", 60)
    assert not isinstance(caught.value, Silent)
    process.close(grace=0)


def test_the_marks_below_a_line_of_a_traceback_are_no_last_words():
    script = "import sys; sys.stderr.write('x = f(1)\\n    ~^^^\\nValueError\\n')"
    process = Process([sys.executable, "-S", "-c", script])
    with pytest.raises(Ended, match=re.escape("ends: x = f(1) | ValueError")):
        process.ask(b"", 30)
    process.close()


def test_a_process_that_talks_without_end_fills_no_memory():
    process = Process(["sh", "-c", "while :; do echo y; echo z >&2; done"])
    assert process.ask(b"\n", 30) == b"y\n"
    process.close(grace=0)
    assert process._answers.empty()


def test_the_last_words_of_a_process_are_waited_for(monkeypatch):
    monkeypatch.setattr("verification.connect.process.DYING", 60.0)
    late = "(sleep 0.3; echo late >&2) >&- & exec >&-; exit 3"
    process = Process(["sh", "-c", late])
    with pytest.raises(HarnessFault, match="exit code 3; standard error ends: late"):
        process.ask(b"\n", 60)
    process.close(grace=0)


def test_a_process_that_is_told_to_stop_stops(stub):
    command = Command(stub())
    process = command._process
    before = time.perf_counter()
    command.close()
    assert process._process.returncode == 0
    assert time.perf_counter() - before < 60
    command.close()  # twice is no error


# --- mishaps at the start


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("greets", "start: the harness wrote 'Welcome to the stub 1.0' to standard"),
        ("never", "start: the harness died, exit code 2; standard error ends: no lic"),
        ("refuses", "start: the harness refuses: version 1 only"),
        ("counts from one", "start: the harness answered message 0 with the id 1:"),
        ("boolean ids", "echo: the harness answered message 1 with the id true:"),
        ("no offer", "start: the harness must give an object as its result, not 7"),
        ("no methods", "must say its methods, a list of names, not None"),
        ("unknown method", "offers 'heatt', which is no method; did you mean heat?"),
        ("six digits", "echoes 0.3333333333333333 as 0.333333: numbers must come"),
        ("nine digits", "echoes 0.3333333333333333 as 0.333333333: numbers must"),
        ("no sign", "echo: the harness echoes -0.0 as 0.0: numbers must come back"),
        ("no subnormals", "echoes 5e-324 as 0.0: numbers must come back"),
        ("half an echo", "does not echo the list of"),
        ("bare nan", "echo: the harness wrote NaN, which is no JSON"),
    ],
)
def test_a_harness_that_cannot_start(stub, mode, said):
    with pytest.raises(CannotStart) as caught:
        Command(stub(mode))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no_such_harness --fast", "no_such_harness --fast: start: the harness cannot"),
        (str(EXAMPLES), "cannot be run: Permission denied"),
        ("", "the command is empty"),
        ("'open", "no closing quotation"),
    ],
)
def test_a_command_that_is_none(command, said):
    with pytest.raises(CannotStart, match=re.escape(said)):
        Command(command)


@pytest.mark.parametrize("limit", [0, -1, math.nan, math.inf])
def test_a_time_limit_is_finite_and_positive(limit):
    with pytest.raises(CannotStart, match="a time limit is a number of seconds"):
        Command("true", limit)


def test_the_witness_judges_what_a_harness_declares(stub):
    with (
        pytest.raises(CannotStart, match="bfloat16"),
        Command(stub("odd dtype")) as odd,
    ):
        Witness(odd)
    with Command(stub("readings")) as other:
        assert Witness(other).conventions["scoping.origin"] == "1"
    with Command(stub("single")) as single:  # nine digits are enough for it
        assert Witness(single).dtype == "float32"


# --- mishaps in a call


def ask(command):
    return Witness(command).heat(LOSS, X, 0.5)


MISHAPS = {
    "dies": "the harness died, exit code 3; standard error ends: first | segmentation",
    "killed": "the harness died, killed by SIGKILL; nothing on standard error",
    "dies halfway": "the harness died in the middle of an answer, exit code 1",
    "closes": "the harness closed its standard output",
    "prints": "the harness wrote 'sampling...' to standard output, which is for",
    "prints json": "the harness wrote '[1, 2]' to standard output",
    "bytes": "to standard output, which is for answers, one JSON object per line",
    "late": "the harness answered message 2 with the id 1: every message has one",
    "repeats a key": "the harness wrote the key 'result' twice in one object",
    "two kinds": "must answer with one of result, not-implemented, error",
    "no kind": "but its answer has id, value",
}


@pytest.mark.parametrize("mode", MISHAPS)
def test_a_mishap_is_named_and_the_harness_started_again(stub, mode):
    with Command(stub(mode)) as command:
        process = command._process
        with pytest.raises(SubjectFault) as caught:
            ask(command)
        said = str(caught.value)
        assert process._process.poll() is not None
        if mode != "late":
            assert command.scoping(1.0, 0.1, 2) == command._process._process.pid
    assert said.startswith("heat: the harness ")
    assert MISHAPS[mode] in said
    assert "\n" not in said


@pytest.mark.parametrize("mode", ["hangs", "no newline"])
def test_a_harness_that_hangs_is_not_asked_for_ever(stub, mode, monkeypatch):
    with Command(stub(mode)) as command:
        for _ in range(2):
            command.scoping(1.0, 0.1, 2)  # starts it again, within the usual limit
            monkeypatch.setattr(command, "_limit", 0.25)
            with pytest.raises(SubjectFault, match=r"gave no answer within 0\.25 s"):
                ask(command)
            monkeypatch.undo()
        with pytest.raises(SubjectFault, match="is not asked again: 2 times there was"):
            ask(command)
        assert command.scoping(1.0, 0.1, 2) > 0  # another method is


def test_a_harness_that_dies_at_every_call_is_not_started_for_ever(stub):
    with Command(stub("dies")) as command:
        for _ in range(2):
            with pytest.raises(SubjectFault, match="died, exit code 3"):
                ask(command)
        for _ in range(2):
            with pytest.raises(SubjectFault, match="not asked again: 2 times in a row"):
                ask(command)
            assert command._process is None
        assert command.scoping(1.0, 0.1, 2) > 0  # another method is


def test_a_harness_that_dies_now_and_then_is_asked_again(stub, monkeypatch):
    def die(self, question, _):
        raise Ended("died")

    with Command(stub()) as command:
        for _ in range(3):
            with monkeypatch.context() as patch:
                patch.setattr(Process, "ask", die)
                with pytest.raises(SubjectFault, match="the harness died"):
                    ask(command)
            assert ask(command) == 1.0


def test_an_answer_too_many_belongs_to_the_next_call(stub):
    with Command(stub("stutters")) as command:
        assert ask(command) == 1.0
        with pytest.raises(SubjectFault, match="answered message 3 with the id 2"):
            ask(command)
        assert ask(command) == 1.0


def test_an_error_is_no_reason_to_start_again(stub):
    with Command(stub("raises")) as command:
        pid = command.scoping(1.0, 0.1, 2)
        with pytest.raises(
            SubjectFault, match='heat raised "ZeroDivisionError: by zero"'
        ):
            ask(command)
        assert command.scoping(1.0, 0.1, 2) == pid


def test_what_a_harness_declines_is_not_run(stub):
    with Command(stub("declines")) as command, pytest.raises(NotRun, match="weekdays"):
        ask(command)
    silent = Command(stub("declines in silence"))
    with silent, pytest.raises(NotRun, match="without a reason"):
        ask(silent)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("infinite", "heat returned float -inf, which is not finite"),
        ("text", "heat returned str '1.0', expected real numbers"),
        ("ragged", "heat returned list"),
    ],
)
def test_an_answer_has_the_form_of_any_subjects(stub, mode, said):
    with Command(stub(mode)) as command, pytest.raises(SubjectFault) as caught:
        ask(command)
    assert said in str(caught.value)


def test_a_harness_that_cannot_be_started_again_says_so(stub, tmp_path):
    place = tmp_path / "once.py"
    shutil.copy(stub()[2], place)
    with Command([sys.executable, "-S", str(place), "dies"]) as command:
        with pytest.raises(SubjectFault, match="exit code 3"):
            ask(command)
        place.unlink()
        with pytest.raises(SubjectFault, match="heat, starting again: start: the harn"):
            ask(command)


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        ({"dtype": "float32"}, "says dtype 'float32', where it said 'float64' at"),
        ({"name": "other"}, "says name 'other', where it said 'stub' at first"),
        ({"conventions": {"scoping.origin": "1"}}, "{'scoping.origin': '1'}, where"),
        ({"methods": ["heat"]}, "says methods ['heat'], where it said ['heat', 'sc"),
        ({"methods": None}, "says methods None, where it said"),
    ],
)
def test_a_harness_started_again_is_the_same_harness(stub, tmp_path, offer, said):
    with Command([*stub(json.dumps(offer)), str(tmp_path / "started")]) as command:
        with pytest.raises(SubjectFault, match="exit code 3"):
            ask(command)
        for _ in range(2):
            with pytest.raises(SubjectFault) as caught:
                command.scoping(1.0, 0.1, 2)
            assert "scoping, starting again: start: the harness says" in str(
                caught.value
            )
            assert said in str(caught.value)


@pytest.mark.parametrize(
    "offer",
    [{"conventions": {}}, {"dtype": "float64"}, {"methods": ["scoping", "heat"]}],
)
def test_the_same_in_other_words_is_the_same(stub, tmp_path, offer):
    with Command([*stub(json.dumps(offer)), str(tmp_path / "started")]) as command:
        with pytest.raises(SubjectFault, match="exit code 3"):
            ask(command)
        assert command.scoping(1.0, 0.1, 2) > 0


def test_an_interrupt_leaves_no_answer_for_the_next_call(stub, monkeypatch):
    def interrupt(self, question, _):
        self._questions.put(question)
        raise KeyboardInterrupt

    with Command(stub()) as command:
        assert ask(command) == 1.0
        monkeypatch.setattr(Process, "ask", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ask(command)
        monkeypatch.undo()
        assert ask(command) == 1.0


def test_a_harness_has_just_the_methods_it_offers(stub):
    with Command(stub()) as command:
        witness = Witness(command)
        assert [m for m in METHODS if witness.provides(m)] == ["heat", "scoping"]
        assert command.name == "stub"
        with pytest.raises(AttributeError, match="offers no 'colour'"):
            _ = command.colour
        missing = run_check(find(["EQ2-01"])[0], witness)
    assert missing.verdict is Verdict.NOT_RUN


# --- the command line


def judged(capsys, *words):
    code = main(["run", *words])
    return code, capsys.readouterr()


def test_the_command_line_judges_a_harness(stub, capsys):
    words = ["--command", shlex.join(stub("dies")), "--time-limit", "30", "HEAT-01"]
    code, said = judged(capsys, *words)
    assert code == 1
    assert "stub" in said.out
    assert "died, exit code 3; standard error ends: first | segmentation" in " ".join(
        said.out.split()
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--command", "no_such_harness"], "cannot be run: No such file or directory"),
        (["--command", "true", "--time-limit", "soon"], "invalid float value"),
        (["--command", "true", "--time-limit", "-1"], "a number of seconds, got -1"),
        (["--time-limit", "9"], "a time limit is kept for a --command only"),
        (["--command", "true", "--subject", "a:b"], "by --command, not both"),
    ],
)
def test_usage_errors_are_one_sentence_and_code_4(words, said, capsys):
    code, printed = judged(capsys, *words)
    assert code == 4
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_an_interrupted_run_says_what_was_asked(stub, capsys, monkeypatch):
    def interrupt(self, question, _):
        if b"heat" in question:
            raise KeyboardInterrupt
        return ask_(self, question, 60)

    ask_ = Process.ask
    monkeypatch.setattr(Process, "ask", interrupt)
    code, said = judged(capsys, "--command", shlex.join(stub()), "HEAT-01", "EQ2-01")
    assert code == 2
    assert "interrupted in HEAT-01, while heat was asked." in said.out


def test_a_run_of_python_says_what_was_asked_too():
    class Slow:
        def scoping(self, tau0, tau1, k):
            raise KeyboardInterrupt

    report = run(Slow(), find(["EQ18-01"]), seed=1)
    assert (report.exit_code, report.stopped_in) == (
        ExitCode.INTERRUPTED,
        "EQ18-01, while scoping was asked",
    )
    assert as_json(report)["stopped_in"] == report.stopped_in


def test_an_interrupt_before_the_first_question_says_so_as_well(monkeypatch):
    def interrupt(seed):
        raise KeyboardInterrupt

    monkeypatch.setattr("verification.runner.trusted", interrupt)
    report = run(object(), find(["EQ18-01"]), seed=1)
    assert report.stopped_in == "the judge's self-check"
    assert sentence(report).endswith("interrupted in the judge's self-check.")


def test_a_command_is_diagnosed_like_a_subject(tmp_path, capsys):
    text = (EXAMPLES / "harness.py").read_text()
    place = tmp_path / "harness.py"
    place.write_text(text.replace("np.sqrt(eps) *", "eps *"))
    wrong = shlex.join([sys.executable, str(place)])
    report = tmp_path / "told.json"
    words = ["--command", wrong, "--time-limit", "60", "--json", str(report)]
    assert main(["diagnose", *words]) == 1
    assert "Algorithm 3: S03: the noise is epsilon z" in unwrapped(capsys)
    assert json.loads(report.read_text())["diagnoses"]["Algorithm 3"]["name"] == "S03"
    assert main(["diagnose", "--command", shlex.join(PYTHON)]) == 0
    assert "nothing is wrong with it" in unwrapped(capsys)


def unwrapped(capsys):
    """What was printed, wherever its lines were broken: a path may be long."""
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--command", "no_such_harness"], "cannot be run: No such file or directory"),
        (["--command", "true", "--subject", "a:b"], "by --command, not both"),
        (["--command", "true", "--confusion"], "give recordings, or --subject, or --c"),
        (["--confusion", "--time-limit", "9"], "a time limit is kept for a --command"),
    ],
)
def test_usage_errors_of_a_diagnosis(words, said, capsys):
    assert main(["diagnose", *words]) == 4
    assert said in capsys.readouterr().err


def test_the_rate_is_measured_of_what_is_offered(capsys):
    command = shlex.join(PYTHON)
    with Command(command) as harness:
        found = list(rates(harness, rows=4))
    assert {method for method, _, _ in found} == {"sgld_mean"}
    assert [what for _, what, _ in found] == ["draws given", "own draws", "one by one"]
    assert all(rate > 0 for _, _, rate in found)
    kept = [words for _, words, _ in rates(Refusing(), rows=4)]
    assert kept == ["draws given", "own draws", "one by one"]
    assert [rate for _, _, rate in rates(Refusing(), rows=4)][1:] == ["no"] * 2
    assert rate_of(["--command", "nowhere"]) == 4
    assert "nowhere: start: the harness cannot be run" in capsys.readouterr().err


class Refusing:
    """Algorithm 5 in another reading, and on given draws alone."""

    conventions = {"robbins_monro.moves": "J-1"}

    def robbins_monro(
        self, loss, x, tau, step_sizes, inner_samples, *, draws=None, n=1, seed=None
    ):
        if draws is None:
            raise NotImplementedError("no")
        assert draws.shape == (n, len(step_sizes) - 1, inner_samples, len(x))
        return np.tile(x, (n, 1))


def test_the_default_subject_is_the_reference():
    assert connect().name == "refimpl"
    with pytest.raises(UsageError):
        connect("a:b", "true")


# --- the examples


PYTHON = [sys.executable, str(EXAMPLES / "harness.py")]
node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """The C++ example, compiled once for all workers."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    program, own = shared / "harness", base / "harness.own"
    try:
        (shared / "compiling").mkdir()
    except FileExistsError:  # another worker does it
        deadline = time.monotonic() + 120
        while not program.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    else:
        options = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
        source = str(EXAMPLES / "harness.cpp")
        subprocess.run(["g++", *options, source, "-o", str(own)], check=True)
        os.replace(own, program)
    return str(program)


def verdicts(command, *ids):
    with Command(command) as harness:
        witness = Witness(harness)
        return {check.id: run_check(check, witness).verdict for check in find(ids)}


CHAIN = ("ALG3-I", "ALG3-L1", "ALG3-L3")
SAMPLES = ("ALG4-R1", "RNG-01", "RNG-05")


def test_the_python_example_conforms():
    assert set(verdicts(PYTHON, *CHAIN).values()) == {Verdict.PASS}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("np.sqrt(eps) * np.array", "eps * np.array"),
        ("eps / 2 * drift", "eps * drift"),
    ],
)
def test_a_wrong_python_example_does_not(tmp_path, right, wrong):
    text = (EXAMPLES / "harness.py").read_text()
    assert text.count(right) == 1
    place = tmp_path / "harness.py"
    place.write_text(text.replace(right, wrong))
    command = [sys.executable, str(place)]
    assert set(verdicts(command, *CHAIN[:2]).values()) == {Verdict.FAIL}


@node
def test_the_javascript_example_conforms():
    command = ["node", str(EXAMPLES / "harness.mjs")]
    assert set(verdicts(command, *CHAIN).values()) == {Verdict.PASS}


@node
def test_a_wrong_javascript_example_does_not(tmp_path):
    text = (EXAMPLES / "harness.mjs").read_text()
    assert text.count("Math.sqrt(eps)") == 1
    place = tmp_path / "harness.mjs"
    place.write_text(text.replace("Math.sqrt(eps)", "eps"))
    command = ["node", str(place)]
    assert set(verdicts(command, *CHAIN[:2]).values()) == {Verdict.FAIL}


def test_the_cpp_example_conforms(compiled):
    ids = (*CHAIN, *SAMPLES, "RNG-02", "RNG-04", "MAN-02")
    found = verdicts([compiled], *ids)
    assert found.pop("RNG-01") in (Verdict.PASS, Verdict.NOT_RUN)
    assert set(found.values()) == {Verdict.PASS}


def test_the_cpp_example_gives_every_replicate_its_own_draws(compiled):
    draws = np.random.default_rng(3).normal(size=(50, 3, 2))
    steps = np.array([0.25, 0.5, 0.25, 0.125])
    with Command([compiled]) as harness:
        rows = harness.sgld_mean(LOSS, X, 0.5, steps, draws=draws, n=50)
    with Command(PYTHON) as other:
        np.testing.assert_allclose(
            rows, other.sgld_mean(LOSS, X, 0.5, steps, draws=draws, n=50), rtol=1e-13
        )


def test_a_wrong_cpp_example_does_not_conform(compiled, capsys):
    code, said = judged(capsys, "--command", f"{compiled} --noise-eps", *CHAIN)
    assert code == 1
    assert "does not conform: ALG3-I, ALG3-L1, ALG3-L3." in said.out
    code, said = judged(capsys, "--command", f"{compiled} --six-digits", *CHAIN)
    assert code == 4
    assert "echoes 0.3333333333333333 as 0.333333" in said.err


def test_the_cpp_example_writes_the_shortest_decimals(compiled):
    process = Process([compiled])
    sent = [0.1, -0.0, 5e-324, 1 / 3, "nan", "-inf"]
    reply = process.ask(encode({"id": 0, "message": "echo", "numbers": sent}), 60)
    process.close()
    shortest = '[0.1,-0,5e-324,0.3333333333333333,"nan","-inf"]'
    assert reply.decode() == f'{{"id":0,"result":{shortest}}}\n'


# --- partly, in single precision, in another reading: in the process and by a pipe


@pytest.fixture(scope="session")
def samplers(tmp_path_factory):
    """The folder of the subjects below, and of a harness around each of them."""
    place = tmp_path_factory.mktemp("samplers")
    (place / "samplers.py").write_text(SAMPLERS)
    (place / "serve.py").write_text(SERVE)
    return place


#: Chains that are right, or whose noise has the deviation eps, in three manners.
SAMPLERS = """
from dataclasses import fields

import numpy as np


class Chain:
    name, power, moves, computes = "chain", 0.5, "literal", "float64"

    def sgld_mean(self, loss, x, tau, step_sizes, *, start=None, draws=None, n=1,
                  seed=None):
        skip = 1 if self.moves == "literal" else 0
        if draws is None:
            shape = (n, len(step_sizes) - skip, len(x))
            draws = np.random.default_rng(seed).normal(size=shape)
        real = np.dtype(self.computes).type
        x, draws, eps = (np.array(v, real) for v in (x, draws, step_sizes))
        y = np.tile(x if start is None else np.array(start, real), (len(draws), 1))
        states = [y] if skip else []
        for j in range(draws.shape[1]):
            drift = loss.gradient(y).astype(real) - (x - y) / real(tau)
            y = y - eps[j] / 2 * drift + eps[j] ** real(self.power) * draws[:, j]
            states.append(y)
        return np.tensordot(eps / eps.sum(), np.array(states), 1)


class Partial(Chain):
    def sgld_mean(self, loss, x, tau, step_sizes, *, draws=None, **more):
        if draws is None:
            raise NotImplementedError("given draws only")
        return super().sgld_mean(loss, x, tau, step_sizes, draws=draws, **more)


class Single(Chain):
    dtype = computes = "float32"

    def sgld_mean(self, *args, **more):
        data = [getattr(args[0], field.name) for field in fields(args[0])]
        for value in (*data, *args[1:], *more.values()):
            array = np.asarray(value)
            if array.dtype.kind == "f" and (array.astype("f") != array).any():
                raise ValueError(f"beyond single precision: {value}")
        return super().sgld_mean(*args, **more)


class Undeclared(Chain):
    computes = "float32"


class Other(Chain):
    moves, conventions = "new-states", {"sgld.chain": "new-states"}


class Secret(Chain):
    moves = "new-states"


class WrongPartial(Partial):
    power = 1


class WrongSingle(Single):
    power = 1


class WrongOther(Other):
    power = 1
"""

SERVE = """
import json, sys
import numpy as np
import samplers
from verification.losses import from_json

subject = getattr(samplers, sys.argv[1])()
SAID = {"methods": ["sgld_mean"], "name": subject.name,
        "dtype": getattr(subject, "dtype", "float64"),
        "conventions": getattr(subject, "conventions", {})}


def answer(message):
    if message["message"] != "call":
        return {"result": message.get("numbers", SAID)}
    given = message["arguments"]
    arrays = {"x", "step_sizes", "start", "draws"}
    given = {k: np.array(v) if k in arrays else v for k, v in given.items()}
    loss = from_json(given.pop("loss"))
    first = [given.pop(name) for name in ("x", "tau", "step_sizes")]
    try:
        return {"result": subject.sgld_mean(loss, *first, **given).tolist()}
    except NotImplementedError as reason:
        return {"not-implemented": str(reason)}
    except Exception as reason:
        return {"error": repr(reason)}


for line in sys.stdin:
    message = json.loads(line)
    if message["message"] == "stop":
        break
    print(json.dumps({"id": message["id"], **answer(message)}), flush=True)
"""

TWO_WAYS = pytest.mark.parametrize("way", ["in the process", "by a pipe"])
REPLAY, LAW = ("ALG3-I", "ALG3-R"), ("ALG3-L1",)


@pytest.fixture
def reached(samplers, way, monkeypatch):
    """Makes a subject of `SAMPLERS`, to be reached in this way."""
    if way == "in the process":
        monkeypatch.syspath_prepend(samplers)
        yield lambda name: connect(f"samplers:{name}")
        return
    with ExitStack() as stack:
        serve = [sys.executable, str(samplers / "serve.py")]
        yield lambda name: stack.enter_context(Command([*serve, name]))


def failed(report):
    return {outcome.check.id for outcome in report.of(Verdict.FAIL)}


def levels(report):
    counts = {name: (of["run"], of["applicable"]) for name, of in report.levels.items()}
    return {name: of for name, of in counts.items() if of[1]}


@TWO_WAYS
def test_a_part_of_the_protocol_gets_levels_and_no_failure(reached):
    checks = find([*REPLAY, *LAW, "HEAT-01"])
    replays = sum(check.level == "R" for check in checks)
    report = run(reached("Partial"), checks, seed=1)
    assert report.exit_code is ExitCode.CONFORMS
    assert levels(report) == {"D": (0, 1), "R": (replays, replays), "S": (0, 1)}
    assert [*report.levels["S"]["not_run"]] == ["given draws only"]
    wrong = run(reached("WrongPartial"), checks, seed=1)
    assert wrong.exit_code is ExitCode.FAILS
    assert {"ALG3-I", "ALG3-R1"} <= failed(wrong)
    assert levels(wrong) == levels(report)


@pytest.mark.parametrize(
    "way", ["in the process", pytest.param("by a pipe", marks=pytest.mark.slow)]
)
def test_single_precision_conforms_where_it_is_declared(reached):
    checks = find([*REPLAY, *LAW])
    right, wrong = reached("Single"), reached("WrongSingle")
    assert run(right, checks, seed=1).exit_code is ExitCode.CONFORMS
    assert {"ALG3-I", "ALG3-R1", "ALG3-L1"} <= failed(run(wrong, checks, seed=1))
    undeclared = run(reached("Undeclared"), find(REPLAY), seed=1)
    assert {"ALG3-I", "ALG3-R1"} <= failed(undeclared)


@TWO_WAYS
def test_a_diagnosis_gives_single_precision_what_it_holds(reached):
    assert diagnose(reached("Single"), seed=1) == {}
    told = diagnose(reached("WrongSingle"), ["Algorithm 3"], seed=1)
    assert told["Algorithm 3"].ids == ("S03",)


@pytest.mark.parametrize(
    "way", [pytest.param("in the process", marks=pytest.mark.slow), "by a pipe"]
)
def test_another_reading_conforms_where_it_is_declared(reached):
    checks = find([*REPLAY, *LAW])
    right, wrong = reached("Other"), reached("WrongOther")
    assert run(right, checks, seed=1).exit_code is ExitCode.CONFORMS
    assert {"ALG3-I", "ALG3-R1", "ALG3-L1"} <= failed(run(wrong, checks, seed=1))
    secret = run(reached("Secret"), checks, seed=1)
    assert {"ALG3-L1"} <= failed(secret)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_every_number_given_to_single_precision_is_one(reduction):
    class Recorder:
        name, dtype, conventions = "recorder", "float32", {"loss.reduction": reduction}

        def __getattr__(self, name):
            if name not in METHODS:
                raise AttributeError(name)
            return partial(self.record, name)

        def record(self, name, *args, **more):
            asked.append(name)
            odd.extend(name for value in (*args, *more.values()) if beyond(value))
            raise NotImplementedError

    asked, odd = [], []
    witness = Witness(Recorder())
    for check in find(["EQ2-01", "ALG3", "ALG4", "ALG5", "TRAIN"]):
        run_check(check, witness)
    for family in FAMILIES:
        questioned(witness, family)
    assert {*asked} >= {"sgld_mean", "train", "local_entropy", "scoping"}
    assert odd == []


def beyond(value):
    """Whether single precision does not hold one of these numbers."""
    if isinstance(value, dict):
        return any(map(beyond, value.values()))
    if isinstance(value, list | tuple):
        return any(map(beyond, value))
    if isinstance(value, LossData):
        return beyond(value.to_json())
    array = np.asarray(value)
    return array.dtype.kind == "f" and bool((array.astype("f") != array).any())


# --- the page

PAGE = (ROOT / "docs" / "connect.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "subject.md").read_text(encoding="utf-8")


def test_the_synopsis_has_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    usage = capsys.readouterr().out.partition("\n\n")[0]
    options = set(re.findall(r"--[a-z-]+", usage))
    synopsis = re.search(r"`verification run \[ID[^`]*`", PROTOCOL)[0]
    assert len(options) > 8
    assert set(re.findall(r"--[a-z-]+", synopsis)) == options


def test_the_exchange_of_the_page_is_what_happens():
    lines = re.findall(r"^(judge|harness)\s+(\{.*\})$", PAGE, re.MULTILINE)
    sent = "".join(f"{text}\n" for who, text in lines if who == "judge")
    done = subprocess.run(
        PYTHON, input=sent, capture_output=True, text=True, timeout=60, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers == [json.loads(text) for who, text in lines if who == "harness"]
    said = [json.loads(text)["message"] for who, text in lines if who == "judge"]
    assert said == ["start", "echo", "call", "call", "stop"]


def test_the_page_shows_the_harness_in_full():
    for name in ("harness.py", "harness.cpp", "harness.mjs"):
        assert f"```{{literalinclude}} examples/{name}" in PAGE


def test_the_mishaps_of_the_page_are_those_that_are_said():
    source = "".join(
        (ROOT / "verification" / "connect" / f"{name}.py").read_text(encoding="utf-8")
        for name in ("command", "messages", "process")
    )
    table = PAGE.partition("| said of the harness |")[2].partition("\n\n")[0]
    phrases = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[1:]
    assert len(phrases) > 8
    for phrase in phrases:
        for part in re.split(r"\s*…\s*", phrase):
            assert part in source, part
