"""What is in a folder: every file and folder below it, named in a fixed order, and what cannot be kept."""

import stat
from dataclasses import dataclass, field
from pathlib import Path

from bbcompress.cli.directory import Directory
from bbcompress.cli.globs import ALL, Globs
from bbcompress.images.errors import ImageError
from bbcompress.images.place import Attributes, attributes_of


@dataclass
class Found:
    """What `walk` found. Names are paths below the folder, with slashes."""

    files: dict[str, Attributes] = field(default_factory=dict)
    folders: dict[str, Attributes] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    """One line each of what is neither a file nor a folder."""


def walk(top: Path, globs: Globs = ALL) -> Found:
    """All that is below `top` and wanted, each folder's entries sorted by name.

    Of folders without a wanted file none are kept where there are `globs`. Links to files are files; links to folders
    are not followed. Raises ImageError where something cannot be read.
    """
    found = Found()
    waiting = [""]
    while waiting:
        name = waiting.pop()
        path = top / name
        try:
            with Directory.at(path) as folder:
                waiting += reversed(_entries(folder, path, name, found, globs))
        except OSError as error:
            raise ImageError(f"{path}: this folder cannot be read: {error.strerror or error}") from error
    if globs != ALL:
        kept = {"", *(name[:end] for name in found.files for end in range(len(name)) if name[end] == "/")}
        found.folders = {name: attributes for name, attributes in found.folders.items() if name in kept}
    return found


def _entries(folder: Directory, path: Path, name: str, found: Found, globs: Globs) -> list[str]:
    """Note a folder's files in `found`; the names of the folders in it."""
    found.folders[name] = attributes_of(folder.status("."))
    inner = []
    for entry in sorted(folder.names()):
        whole = f"{name}/{entry}" if name else entry
        if globs.refuses(whole):
            continue
        status = folder.status(entry)
        if stat.S_ISLNK(status.st_mode):
            try:
                status = folder.status(entry, follow=True)
            except OSError:
                found.left_out.append(f"{path / entry}: a link that leads nowhere, left out")
                continue
            if stat.S_ISDIR(status.st_mode):
                found.left_out.append(f"{path / entry}: a link to a folder, left out with what is in that")
                continue
        if stat.S_ISDIR(status.st_mode):
            inner.append(whole)
        elif not globs.takes(whole):
            continue
        elif not stat.S_ISREG(status.st_mode):
            found.left_out.append(f"{path / entry}: neither a file nor a folder, left out")
        elif not folder.is_readable(entry):
            raise ImageError(f"{path / entry}: no permission to read this file")
        else:
            found.files[whole] = attributes_of(status)
    return inner
