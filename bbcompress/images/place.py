"""Put a finished file in its place in one step."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from bbcompress.images.errors import ImageError, OutputExists


def refuse_existing(path: Path) -> None:
    """Raise :class:`OutputExists` where ``path`` is taken, be it by a folder or a dead link."""
    if os.path.lexists(path):
        raise OutputExists(f"{path}: already exists; choose another name or allow overwriting")


def place(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write ``data`` to ``path`` so that a reader sees all of it or, if anything fails, nothing new.

    Raises :class:`OutputExists` unless ``overwrite``, and :class:`ImageError` where the system refuses.
    """
    if not overwrite:
        refuse_existing(path)
    # In the same folder, since a rename is atomic only within one file system.
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        # Not the tempfile module: it makes files private, and this one must obey the umask.
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
