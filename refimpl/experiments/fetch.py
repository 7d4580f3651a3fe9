"""The four files of MNIST from a public mirror; only the official ones are kept.

Needs the extra ``experiments``: Pooch downloads to a temporary file in the folder
itself, compares its MD5 and only then gives it its name, so that no interruption leaves
half a file behind.
"""

from pathlib import Path
from typing import Any

from refimpl.errors import InvalidData, MissingData, MissingExtra
from refimpl.experiments import data
from refimpl.experiments.data import IdxFile

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Where the files are looked for, one after the other."""

TIMEOUT = 30.0
"""Seconds without a byte after which a mirror is given up."""

_CHUNK = 2**16  # bytes


def fetch(
    folder: str | Path | None = None,
    *,
    base: str | None = None,
    progress: bool = False,
) -> None:
    """Bring the four files of MNIST, about 11 MB, into a folder.

    A file that is there already and is the official one stays as it is.

    Parameters
    ----------
    folder : str or Path, optional
        Made if it does not exist; by default what ``REFIMPL_DATA`` names.
    base : str, optional
        The address that holds the files, in place of `MIRRORS`.
    progress : bool
        Whether to show a bar for each file, if the standard error is a terminal.

    Raises
    ------
    MissingData
        If no folder is named or it cannot be made, or if a file could not be had from
        any mirror; files that were already brought stay.
    InvalidData
        If a file is there already and is not the official one, or cannot be read;
        nothing is overwritten, and nothing downloaded.
    MissingExtra
        If Pooch or tqdm is not installed.
    """
    place = _made(data.data_folder(folder))
    for file in [file for file in data.FILES if not _is_there(place, file)]:
        _bring(place, file, (base,) if base else MIRRORS, progress)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingData(f"{folder} cannot be made: {error.strerror}") from error
    return folder


def _is_there(folder: Path, file: IdxFile) -> bool:
    path = data.find(folder, file)
    if path is None:
        return False
    if data.md5(data.content(path)) != file.md5:
        raise InvalidData(
            f"{path} is there already and is not the official file of MNIST: move it "
            "elsewhere to download that one"
        )
    return True


def _bring(
    folder: Path, file: IdxFile, mirrors: tuple[str, ...], progress: bool
) -> None:
    """Download one file from the first mirror that has it."""
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{file.name}.gz"
        try:
            return _download(url, folder, file, progress)
        except OSError as error:  # also whatever requests raises
            failures.append(f"{url}: {_reason(error)}")
        except ValueError:
            failures.append(f"{url}: what came is not the official file, by its MD5")
    raise MissingData(
        f"{file.name}.gz could not be downloaded into {folder} ({'; '.join(failures)})"
    )


def _download(url: str, folder: Path, file: IdxFile, progress: bool) -> None:
    pooch, tqdm = _libraries()
    pooch.get_logger().setLevel("WARNING")
    name = f"{file.name}.gz"
    hidden = None if progress else True  # None: unless the output is a terminal
    # a bar without a total is none to Pooch, which sets the true one
    with tqdm(total=1, desc=name, unit="B", unit_scale=True, disable=hidden) as bar:
        downloader = pooch.HTTPDownloader(
            progressbar=bar, chunk_size=_CHUNK, timeout=TIMEOUT
        )
        pooch.retrieve(
            url,
            known_hash=f"md5:{file.gzip_md5}",
            fname=name,
            path=folder,
            downloader=downloader,
        )


def _reason(error: OSError) -> str:
    """What went wrong, in a few words: the answer of the server if there was one."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"{answer.status_code} {answer.reason}"
    return error.strerror or type(error).__name__


def _libraries() -> tuple[Any, Any]:
    try:
        import pooch
        from tqdm import tqdm
    except ModuleNotFoundError:
        raise MissingExtra(
            "downloading MNIST needs Pooch and tqdm, which the extra `experiments` "
            'brings: pip install "local-entropy-oracle[experiments]"'
        ) from None
    return pooch, tqdm
