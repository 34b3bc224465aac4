"""The files named on a command line: files, folders, standard input."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bbcompress.archive.attributes import Tree
from bbcompress.archive.names import check_name, name_bytes
from bbcompress.cli.common import read_stdin
from bbcompress.cli.directory import Directory
from bbcompress.cli.terminal import note
from bbcompress.cli.walk import walk
from bbcompress.images.errors import ImageError
from bbcompress.images.files import read
from bbcompress.images.header import MAX_PIXELS
from bbcompress.images.picture import Item, KeptFile
from bbcompress.images.place import UNKNOWN, Attributes, attributes_of, umask
from bbcompress.varint import Malformed

STDIN = "-"


@dataclass
class Inputs:
    """What a command line names."""

    files: list[tuple[str, Path | None]] = field(default_factory=list)
    """Name to keep and path of every file; the path of standard input is None."""
    attributes: list[Attributes] = field(default_factory=list)
    """Of each file."""
    sizes: list[int] = field(default_factory=list)
    """Bytes of each file, as far as they are known before it is read."""
    folders: dict[str, Attributes] = field(default_factory=dict)
    """Names of all folders to keep; "" is the one named on the command line, if it is the only argument."""
    left_out: list[str] = field(default_factory=list)
    """One line each of what is not kept."""
    private_to: int = 0o666
    """Permissions that every source gives, which a file of all of them may have."""

    def add(self, name: str, path: Path | None, attributes: Attributes, size: int = 0) -> None:
        self.files.append((name, path))
        self.attributes.append(attributes)
        self.sizes.append(size)
        if attributes.mode is not None:
            self.private_to &= attributes.mode

    def add_folder(self, name: str, attributes: Attributes) -> None:
        mode = attributes.mode or 0
        self.private_to &= (mode & 0o111) * 0o6  # who may search the folder may read and write what is in it
        before = self.folders.get(name)
        self.folders[name] = attributes if before is None else attributes._replace(mode=mode & (before.mode or 0))

    def tree(self, times: bool) -> Tree:
        """What an archive keeps of them."""
        if times:
            return Tree(self.attributes, self.folders)
        without = Attributes._replace
        return Tree(
            [without(one, mtime_ns=None) for one in self.attributes],
            {name: without(one, mtime_ns=None) for name, one in self.folders.items()},
        )

    @property
    def mode(self) -> int:
        """Permissions of a file that holds all of them: its owner's, and those that every source gives."""
        return self.private_to & ~umask() | 0o600


def listed_images(arguments: tuple[str, ...]) -> Inputs:
    """Every file that the arguments name. Folders are walked in a fixed order.

    A file keeps its base name, a file in a folder its path below that folder. Raises ImageError where two names
    are equal, where there is nothing, or something cannot be read.
    """
    found = Inputs()
    for argument in arguments:
        path = Path(argument)
        if argument == STDIN:
            found.add("image.png", None, UNKNOWN)
        elif path.is_dir():
            below = walk(path)
            for (name, attributes), size in zip(below.files.items(), below.sizes, strict=True):
                found.add(name, path / name, attributes, size)
            for name, attributes in below.folders.items():
                found.add_folder(name, attributes)
            found.left_out += below.left_out
        else:
            status = _status(path)
            attributes = attributes_of(status) if stat.S_ISREG(status.st_mode) else UNKNOWN
            found.add(path.name, path, attributes, status.st_size)
    if len(arguments) > 1:
        found.folders.pop("", None)
    if not found.files and set(found.folders) <= {""}:
        raise ImageError(f"{arguments[0]}: nothing in this folder")
    _check_names(found)
    return found


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _check_names(found: Inputs) -> None:
    seen: dict[str, Path | None] = {}
    for name, source in found.files:
        try:
            check_name(name_bytes(name))
        except (Malformed, UnicodeEncodeError) as error:
            raise ImageError(f"{source}: its name cannot be kept in an archive ({error}); rename it") from error
        if name in seen:
            both = " and ".join(str(path or "standard input") for path in (source, seen[name]))
            raise ImageError(f"{both} would both be kept as {name}; give a folder above both")
        seen[name] = source
    for name in found.folders.keys() & seen.keys():
        raise ImageError(f"{seen[name]} and a folder {name} could not both be made again; give a folder above both")


def read_images(
    listed: list[tuple[str, Path | None]], strip: bool = False, pixels: bool = False, max_pixels: int = MAX_PIXELS
) -> Iterator[tuple[str, Item]]:
    """What to compress, one at a time; `strip` leaves metadata out. Of more than `max_pixels` a file is kept.

    With `pixels` all are pictures, and coded as such; raises ImageError for other files.
    """
    for name, path in listed:
        source = "standard input" if path is None else str(path)
        data = read_stdin() if path is None else _contents(path)
        item = read(data, path.name if path else "", strip=strip, max_pixels=max_pixels)
        if pixels:
            if isinstance(item, KeptFile):
                raise ImageError(f"{source}: would be kept as a file ({item.reason}), not as pixels; leave it out")
            item = replace(item, file=None)
        elif strip and isinstance(item, KeptFile):
            note(f"{source}: kept as a file ({item.reason}), with its metadata")
        yield name, item


def _contents(path: Path) -> bytes:
    """The bytes of a file, whose path may be longer than systems take."""
    try:
        try:
            return path.read_bytes()
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
        with Directory.at(path.parent) as folder, folder.open(path.name) as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error
