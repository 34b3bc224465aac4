"""Bytes by their place, of files of any size or of memory."""

import io
import os
import threading
from pathlib import Path
from typing import BinaryIO

from bbcompress.archive.errors import DamagedArchive


class Source:
    """A file that can be read at any place, from any thread, and from processes that were forked."""

    def __init__(self, file: bytes | str | os.PathLike[str] | BinaryIO):
        """Of bytes, of the file at a path, or of an open file that can seek. Raises OSError."""
        self._own: BinaryIO | None = None
        """A file that was opened here, and is closed with this."""
        if isinstance(file, bytes):
            file = io.BytesIO(file)
        elif isinstance(file, (str, os.PathLike)):
            self._own = file = open(Path(file), "rb", buffering=0)  # noqa: SIM115
        self._file: BinaryIO = file
        self._lock = threading.Lock()
        self.size = file.seek(0, io.SEEK_END)
        """Bytes that there are."""

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on. Raises DamagedArchive where there are fewer, OSError."""
        found = self._read(offset, count)
        while len(found) < count and (more := self._read(offset + len(found), count - len(found))):
            found += more  # systems may give less than they are asked for
        if len(found) < count:
            raise DamagedArchive("damaged or cut short: the file ends before what it says is there")
        return found

    def close(self) -> None:
        """Close a file that was opened here."""
        if self._own is not None:
            self._own.close()

    def _read(self, offset: int, count: int) -> bytes:
        if self._own is not None and hasattr(os, "pread"):  # its place in the file is shared with forked processes
            return os.pread(self._own.fileno(), count, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count)
