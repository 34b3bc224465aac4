"""Files that a URL names, such as s3://bucket/scans/1.png, by fsspec, which comes with the extra `cluster`.

Rights and addresses are what each store's own settings say, on the machine that reads or writes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bbcompress.images.errors import ImageError, OutputExists
from bbcompress.images.place import New, check_output, hidden_name, placing

_SHOWS_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"}
"""Stores in which an object is there when all of it is; in others it is written under a hidden name, and renamed."""
_AT_ONCE = 1000
"""Files whose first bytes are asked for side by side."""


def is_url(name: str) -> bool:
    """Whether a name has a scheme.

    >>> is_url("s3://bucket/1.png"), is_url("scans/1.png")
    (True, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name) is not None


@dataclass(frozen=True)
class Url:
    """A file, or a folder of them. It can be pickled, and is then read by whoever has it, with the rights there."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def path(self) -> str:
        """Without the scheme, from the bucket or root on."""
        return str(self._place()[1]).strip("/")

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rpartition("/")[2]

    def read_bytes(self) -> bytes:
        """All of the file. Raises ImageError."""
        with self._telling("read"):
            store, path = self._place()
            data = store.cat_file(path)
            assert isinstance(data, bytes)
            return data

    def copy_to(self, file: BinaryIO) -> None:
        """Write all of it to a file on this machine. Raises ImageError."""
        with self._telling("read"):
            store, path = self._place()
            with store.open(path, "rb") as found:
                shutil.copyfileobj(found, file)

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file, to read at any place. Raises ImageError."""
        with contextlib.ExitStack() as stack:
            with self._telling("read"):
                store, path = self._place()
                file: BinaryIO = stack.enter_context(store.open(path, "rb"))
            yield file

    def is_folder(self) -> bool:
        """Raises ImageError where there is nothing."""
        with self._telling("read"):
            store, path = self._place()
            return bool(store.info(path)["type"] == "directory")

    def size(self) -> int:
        """Bytes of the file. Raises ImageError."""
        with self._telling("read"):
            store, path = self._place()
            return int(store.info(path)["size"] or 0)

    def files_below(self) -> dict[str, tuple[Url, int]]:
        """Every file below this folder, by its path below it, with its bytes: a folder's files sorted by name, then
        its folders'. Raises ImageError."""
        with self._telling("read"):
            store, path = self._place()
            top = path.rstrip("/") + "/"
            found = {
                info["name"].removeprefix(top): (Url(store.unstrip_protocol(info["name"])), info["size"] or 0)
                for info in store.find(path, detail=True).values()
                if not info["name"].endswith("/")  # what stands for a folder
            }
        return dict(sorted(found.items(), key=lambda file: _walking_order(file[0])))

    def _place(self) -> tuple[Any, str]:
        """The store, and the path in it."""
        with self._telling("used"):
            try:
                from fsspec.core import url_to_fs
            except ImportError:
                raise ImageError(f"{self}: needs fsspec: pip install 'bbcompress[cluster]'") from None
            try:
                store, path = url_to_fs(self.text)
            except ImportError as error:
                raise ImageError(f"{self}: {error}; pip install 'bbcompress[cluster]' has what S3 needs") from error
            return store, path

    @contextlib.contextmanager
    def _telling(self, done: str) -> Iterator[None]:
        """Have whatever a store raises, which may be anything, tell of this."""
        try:
            yield
        except ImageError:
            raise
        except FileNotFoundError as error:
            raise ImageError(f"{self}: there is no such file or folder") from error
        except Exception as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise ImageError(f"{self}: cannot be {done}: {why}") from error


def starts(files: Sequence[tuple[Url, int]], count: int) -> list[bytes]:
    """The first `count` bytes of each file, given with its size; all are in one store. Raises ImageError."""
    found: list[bytes] = []
    for first in range(0, len(files), _AT_ONCE):
        some = files[first : first + _AT_ONCE]
        with some[0][0]._telling("read"):
            store = some[0][0]._place()[0]
            paths = [url._place()[1] for url, size in some if size]  # stores refuse ranges of empty files
            ends = [min(count, size) for _, size in some if size]
            ranges = iter(store.cat_ranges(paths, [0] * len(paths), ends) if paths else ())
        found += [next(ranges) if size else b"" for _, size in some]
    return found


def check_url(url: Url, *, overwrite: bool) -> None:
    """Raise where :func:`placing_at` would refuse to write, to be told before the work: as `place.check_output`."""
    with url._telling("written"):
        store, path = url._place()
        if _is_local(store):
            check_output(Path(path), overwrite=overwrite)
        elif url.text.endswith("/") or store.isdir(path):
            raise ImageError(f"{url}: is a folder; name a file")
        elif not overwrite and store.exists(path):
            raise _exists(url)


@contextlib.contextmanager
def placing_at(url: Url, *, overwrite: bool) -> Iterator[New]:
    """Have a file written to a URL so that a reader sees all of it or, if anything fails, nothing new: it is written on
    this machine, and uploaded when it is whole. The store has no attributes.

    Raises :class:`OutputExists` and :class:`ImageError`.
    """
    check_url(url, overwrite=overwrite)
    store, path = url._place()
    if _is_local(store):
        with placing(Path(path), overwrite=overwrite) as new:
            yield new
        return
    with tempfile.TemporaryDirectory(prefix=".bbc-") as folder:
        whole = os.path.join(folder, "whole.bb")
        with open(whole, "wb") as file:
            yield New(file)
        with url._telling("written"):
            _upload(store, whole, path, url, overwrite)


def _upload(store: Any, file: str, path: str, url: Url, overwrite: bool) -> None:
    protocols = {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)
    store.invalidate_cache()  # another may have written meanwhile
    if not overwrite and store.exists(path):
        raise _exists(url)
    if protocols & _SHOWS_WHOLE:
        try:
            store.put_file(file, path, mode="overwrite" if overwrite else "create")
        except FileExistsError as error:
            raise _exists(url) from error
        return
    hidden = f"{path.rpartition('/')[0]}/{hidden_name()}"
    try:
        store.put_file(file, hidden)
        store.mv(hidden, path)
    except BaseException:
        with contextlib.suppress(Exception):
            store.rm_file(hidden)
        raise


def _exists(url: Url) -> OutputExists:
    return OutputExists(f"{url}: already exists; choose another name or allow overwriting")


def _is_local(store: Any) -> bool:
    return "file" in ([store.protocol] if isinstance(store.protocol, str) else store.protocol)


def _walking_order(path: str) -> list[tuple[bool, str]]:
    *folders, name = path.split("/")
    return [*((True, folder) for folder in folders), (False, name)]
