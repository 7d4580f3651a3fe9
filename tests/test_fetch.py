"""Downloading MNIST, from a server of our own on the loopback."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refimpl.errors import InvalidData, MissingData, MissingExtra
from refimpl.experiments import data
from refimpl.experiments import fetch as module
from refimpl.experiments.fetch import fetch

# 3 images to train with and 2 to test with, by name: header and bytes
FILES = {
    file.name: struct.pack(f">{len(header)}I", *header) + bytes(range(n)) * per_example
    for file, header, n, per_example in zip(
        data.FILES,
        [(2051, 3, 28, 28), (2049, 3), (2051, 2, 28, 28), (2049, 2)],
        [3, 3, 2, 2],
        [784, 1, 784, 1],
        strict=True,
    )
}
OFFICIAL = [
    replace(
        file,
        md5=hashlib.md5(FILES[file.name]).hexdigest(),
        gzip_md5=hashlib.md5(gzip.compress(FILES[file.name], mtime=0)).hexdigest(),
    )
    for file in data.FILES
]
NAMES = sorted(f"{name}.gz" for name in FILES)
BROKEN = "t10k-images-idx3-ubyte.gz"  # the third that is fetched


class Server(http.server.ThreadingHTTPServer):
    """Serves the four files; BROKEN in the way that `fault` says."""

    fault = ""
    asked: list[str]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what we test."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append(self.path)
        content = gzip.compress(FILES[name.removesuffix(".gz")], mtime=0)
        fault = self.server.fault if name == BROKEN else ""
        if fault == "absent":
            self.send_error(404)
            return
        if fault == "silent":
            time.sleep(1)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "interrupted":
            content = content[: len(content) // 2]
        elif fault == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Silence."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(data, "FILES", OFFICIAL)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("REFIMPL_DATA", raising=False)
    with Server(("127.0.0.1", 0), Handler) as one:
        one.asked = []
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/mnist/"


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_files_come_and_can_be_read(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made" / "here"
    fetch(folder, base=address(server))
    assert listing(folder) == NAMES
    assert data.load("mnist", folder).warnings == ()
    assert server.asked == [f"/mnist/{file.name}.gz" for file in data.FILES]
    assert capfd.readouterr() == ("", "")


def test_the_folder_may_come_from_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingData, match="no folder of data is named"):
        fetch(base=address(server))
    monkeypatch.setenv("REFIMPL_DATA", str(tmp_path))
    fetch(base=address(server).rstrip("/"))
    assert listing(tmp_path) == NAMES


def test_what_is_there_is_kept(server: Server, tmp_path: Path) -> None:
    name = "train-images.idx3-ubyte"
    (tmp_path / name).write_bytes(FILES["train-images-idx3-ubyte"])
    fetch(tmp_path, base=address(server))
    assert listing(tmp_path) == sorted({*NAMES, name} - {"train-images-idx3-ubyte.gz"})
    before = len(server.asked)
    assert before == 3
    fetch(tmp_path, base=address(server))
    assert len(server.asked) == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (FILES["t10k-labels-idx1-ubyte"][:-1] + b"\7", "is there already .*: move it"),
        (gzip.compress(FILES["t10k-labels-idx1-ubyte"], mtime=0)[:-3], "is damaged"),
    ],
    ids=["another content", "cut off"],
)
def test_nothing_is_overwritten(
    server: Server, tmp_path: Path, content: bytes, said: str
) -> None:
    name = "t10k-labels-idx1-ubyte.gz"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidData, match=f"{name} {said}"):
        fetch(tmp_path, base=address(server))
    assert listing(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == content
    assert server.asked == []


FAULTS = {
    "absent": "404 Not Found",
    "corrupt": "what came is not the official file, by its MD5",
    "interrupted": "ChunkedEncodingError",
    "silent": "ReadTimeout",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_download_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    server.fault = fault
    with pytest.raises(MissingData, match=FAULTS[fault]) as caught:
        fetch(tmp_path, base=address(server))
    assert str(caught.value) == (
        f"{BROKEN} could not be downloaded into {tmp_path} "
        f"({address(server)}{BROKEN}: {FAULTS[fault]})"
    )
    # those before it are whole, and of it there is nothing
    assert listing(tmp_path) == [name for name in NAMES if name.startswith("train")]
    server.fault = ""
    fetch(tmp_path, base=address(server))
    assert listing(tmp_path) == NAMES


def test_no_server(server: Server, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refused
        base = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(MissingData, match=r"ubyte\.gz: ConnectionError\)"):
            fetch(tmp_path, base=base)
    assert listing(tmp_path) == []


def test_an_address_that_is_none(server: Server, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="MissingSchema"):
        fetch(tmp_path, base="nowhere")
    assert listing(tmp_path) == []


def test_the_next_mirror_is_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = address(server)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        bad = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        monkeypatch.setattr(module, "MIRRORS", (bad, good))
        fetch(tmp_path)
        assert listing(tmp_path) == NAMES
        (tmp_path / BROKEN).unlink()
        server.fault = "absent"
        said = rf"\({bad}{BROKEN}: ConnectionError; {good}{BROKEN}: 404 Not Found\)"
        with pytest.raises(MissingData, match=said):
            fetch(tmp_path)


def test_an_interruption_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(bar: Any, n: float = 1) -> None:
        assert len(listing(tmp_path)) == 1  # a temporary file, in the same folder
        raise KeyboardInterrupt

    monkeypatch.setattr("tqdm.tqdm.update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, base=address(server))
    assert listing(tmp_path) == []


def test_a_bar_on_a_terminal_only(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fetch(tmp_path / "file", base=address(server), progress=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch(tmp_path / "quiet", base=address(server))
    assert capsys.readouterr() == ("", "")
    fetch(tmp_path / "terminal", base=address(server), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    for name in NAMES:
        assert f"{name}: 100%" in err


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MissingData, match="file cannot be made: File exists"):
        fetch(tmp_path / "file", base=address(server))


@pytest.mark.parametrize("name", ["pooch", "tqdm"])
def test_without_the_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"Pooch and tqdm.*oracle\[experiments\]"):
        fetch(tmp_path)
    assert listing(tmp_path) == []


def test_the_mirrors_are_asked_over_https() -> None:
    assert all(m.startswith("https://") and m.endswith("/") for m in module.MIRRORS)
    sums = [s for file in data.FILES for s in (file.md5, file.gzip_md5)]
    assert len({*sums}) == 8
    assert all(len(s) == 32 and set(s) <= set("0123456789abcdef") for s in sums)
