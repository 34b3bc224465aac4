"""Put a finished file in its place in one step: a reader sees the old file or the new one, nothing between."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bbcompress.images.errors import ImageError, OutputExists

PERMISSIONS = 0o777
"""The bits of a mode that are kept: never set-user-ID and the like."""
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Modes of what is not finished."""


class Attributes(NamedTuple):
    """What a file system says of a file or folder besides its name and contents; None where it is not known."""

    mode: int | None = None
    """Permission bits."""
    mtime_ns: int | None = None
    """Time of the last change, in nanoseconds since 1970."""


UNKNOWN = Attributes()


def attributes_of(status: os.stat_result) -> Attributes:
    """From what `os.stat` gives."""
    return Attributes(stat.S_IMODE(status.st_mode) & PERMISSIONS, status.st_mtime_ns)


def umask() -> int:
    """Permission bits that new files do not get."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise where :func:`place` would refuse ``path``, to be told before the work.

    Raises :class:`OutputExists` where there is a file, unless ``overwrite``, and :class:`ImageError` where there is a
    folder, a link, a socket or a block device, or no folder to write in.
    """
    if is_stream(path):
        return
    try:
        kind = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        folder = path.parent
        if not folder.is_dir():
            raise ImageError(f"{folder}: {'is no folder' if folder.exists() else 'there is no such folder'}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ImageError(f"{folder}: no permission to write in this folder") from None
        return
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {error.strerror}") from error
    if stat.S_ISDIR(kind):
        raise ImageError(f"{path}: is a folder; name a file")
    if not overwrite:
        raise OutputExists(f"{path}: already exists; choose another name or allow overwriting")
    if stat.S_ISLNK(kind):
        raise ImageError(f"{path}: is a link; name the file that it leads to, or remove it")
    if not stat.S_ISREG(kind):
        raise ImageError(f"{path}: is neither a file nor a stream; choose another name")


def is_stream(path: Path) -> bool:
    """Whether ``path`` is a FIFO or a character device, such as /dev/null: these are written into."""
    try:
        kind = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(kind) or stat.S_ISCHR(kind)


Contents = bytes | Callable[[BinaryIO], None]
"""Of a file: as they are, or what writes them."""


def place(path: Path, data: Contents, *, overwrite: bool, attributes: Attributes = UNKNOWN) -> None:
    """Write ``data`` to ``path`` as :func:`placing` does."""
    with placing(path, overwrite=overwrite) as new:
        _put(data, new.file)
        new.attributes = attributes


@dataclass
class New:
    """A file that is being written."""

    file: BinaryIO
    attributes: Attributes = UNKNOWN
    """That it is to have."""


@contextlib.contextmanager
def placing(path: Path, *, overwrite: bool) -> Iterator[New]:
    """Have a file written to ``path`` so that a reader sees all of it or, if anything fails, nothing new.

    Raises as :func:`check_output` does, and :class:`ImageError` where the system refuses. Of two that write one file
    without ``overwrite``, one succeeds.
    """
    check_output(path, overwrite=overwrite)
    # In the same folder, since a rename is atomic only within one file system.
    temporary = os.fspath(path.with_name(hidden_name()))
    try:
        if is_stream(path):
            with tempfile.TemporaryFile() as whole:
                yield New(whole)
                with open(os.open(path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0)), "wb") as stream:
                    whole.seek(0)
                    shutil.copyfileobj(whole, stream)
            return
        try:
            with _created(temporary) as file:
                new = New(file)
                yield new
                _finish(file, temporary, new.attributes, sync=True)
            move(temporary, os.fspath(path), overwrite=overwrite)
            sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    except OutputExists:
        raise
    except FileExistsError as error:
        raise OutputExists(f"{path}: already exists; choose another name or allow overwriting") from error
    except OSError as error:
        if error.filename not in (None, os.fspath(path), temporary):
            raise  # of another file, by whoever writes
        raise ImageError(f"{path}: cannot be written: {error.strerror or error}") from error


def hidden_name() -> str:
    """A name for what is not finished; what is killed leaves it behind."""
    return f".bbc-{secrets.token_hex(8)}"


def _put(data: Contents, file: BinaryIO) -> None:
    if isinstance(data, bytes):
        file.write(data)
    else:
        data(file)


def write_new(path: str, data: Contents, attributes: Attributes, *, folder: int | None = None, sync: bool) -> None:
    """Write a file that was not there, private until it is whole; ``path`` is below ``folder`` where that is given."""
    with _created(path, folder) as file:
        _put(data, file)
        _finish(file, path, attributes, sync=sync)


def _created(path: str, folder: int | None = None) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags, PRIVATE_FILE, dir_fd=folder), "wb")


def _finish(file: BinaryIO, path: str, attributes: Attributes, *, sync: bool) -> None:
    file.flush()
    set_attributes(file.fileno() if os.utime in os.supports_fd else path, attributes, 0o666)
    if sync:
        os.fsync(file.fileno())


def set_attributes(file: int | str, attributes: Attributes, default_mode: int) -> None:
    """Set mode and time as far as the file system has them; a mode that is not known is ``default_mode`` but umask."""
    mode = attributes.mode if attributes.mode is not None else default_mode & ~umask()
    with contextlib.suppress(OSError):
        os.chmod(file, mode)
    if attributes.mtime_ns is not None:
        with contextlib.suppress(OSError, OverflowError):
            os.utime(file, ns=(time.time_ns(), attributes.mtime_ns))


def move(
    source: str, target: str, *, overwrite: bool, source_folder: int | None = None, target_folder: int | None = None
) -> None:
    """Give a finished file its name. Raises FileExistsError where the name is taken, unless ``overwrite``."""
    if overwrite:
        os.replace(source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder)
        return
    try:
        os.link(source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder)  # a rename would replace
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # no hard links here: take the name first
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        os.close(os.open(target, flags, PRIVATE_FILE, dir_fd=target_folder))
        try:
            os.replace(source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder)
        except BaseException:
            os.unlink(target, dir_fd=target_folder)
            raise
    else:
        os.unlink(source, dir_fd=source_folder)


def sync_folder(folder: Path | int) -> None:
    """Have a folder's entries on the disk, where the system can say that."""
    with contextlib.suppress(OSError):
        descriptor = folder if isinstance(folder, int) else os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            if descriptor is not folder:
                os.close(descriptor)
