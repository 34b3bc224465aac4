"""The files named on a command line, or in a list: files, folders, standard input."""

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bbcompress.archive.attributes import Tree
from bbcompress.archive.names import check_name, name_bytes
from bbcompress.cli.arrays import ArrayFinder
from bbcompress.cli.common import read_stdin
from bbcompress.cli.globs import ALL, Globs
from bbcompress.cli.reading import opened
from bbcompress.cli.walk import walk
from bbcompress.images.arrays.spans import ArrayFile
from bbcompress.images.errors import ImageError
from bbcompress.images.peek import START_BYTES, Peek, peek
from bbcompress.images.place import UNKNOWN, Attributes, attributes_of, umask
from bbcompress.images.remote import Url, is_url, starts
from bbcompress.varint import Malformed

STDIN = "-"


class File(NamedTuple):
    """What is to be compressed, not yet read."""

    name: str
    """To keep."""
    path: Path | Url | None
    """None for standard input."""
    attributes: Attributes
    peek: Peek
    bytes: int
    """Of the file."""
    array: ArrayFile | None = None
    """Of a file of several pictures, what it holds."""
    unpacked: Path | None = None
    """Where its unpacked form is."""
    kept: str = ""
    """Why it is kept as it is, where that is known before it is read."""

    @property
    def pictures(self) -> int:
        """How many it is in an archive."""
        return 1 if self.array is None else self.array.pictures


@dataclass
class Inputs:
    """What a command line names."""

    files: list[File] = field(default_factory=list)
    folders: dict[str, Attributes] = field(default_factory=dict)
    """Names of all folders to keep; "" is the one named on the command line, if it is the only argument."""
    left_out: list[str] = field(default_factory=list)
    """One line each of what is not kept."""
    private_to: int = 0o666
    """Permissions that every source gives, which a file of all of them may have."""
    _finder: ArrayFinder = field(default_factory=ArrayFinder)

    def add(self, name: str, path: Path | None, attributes: Attributes) -> None:
        start, size = _start(path)
        self._add(name, path, attributes, start, size)
        if attributes.mode is not None:
            self.private_to &= attributes.mode

    def add_argument(self, name: str, path: Path, globs: Globs = ALL) -> None:
        """A file that is kept by this name, or what is in a folder, with this and a slash before its names."""
        if not path.is_dir():
            status = _status(path)
            self.add(name, path, attributes_of(status) if stat.S_ISREG(status.st_mode) else UNKNOWN)
            return
        below = walk(path, globs)
        prefix = f"{name}/" if name else ""
        for file, attributes in below.files.items():
            self.add(prefix + file, path / file, attributes)
        for folder, attributes in below.folders.items():
            self.add_folder((prefix + folder).rstrip("/"), attributes)
        self.left_out += below.left_out

    def add_url(self, name: str, url: Url, globs: Globs = ALL) -> None:
        """The same for a URL. Of what is there neither permissions nor times are kept."""
        below = {"": (url, url.size())} if not url.is_folder() else url.files_below()
        wanted = {file: found for file, found in below.items() if not file or _is_wanted(file, globs)}
        prefix = f"{name}/" if name else ""
        for (file, (found, size)), start in zip(
            wanted.items(), starts(list(wanted.values()), START_BYTES), strict=True
        ):
            self._add(prefix + file if file else name, found, UNKNOWN, start, size)

    def _add(self, name: str, path: Path | Url | None, attributes: Attributes, start: bytes, size: int) -> None:
        found = File(name, path, attributes, peek(start, size), size)
        self.files.append(self._finder.looked_into(found, start))

    def keep_arrays(self, reason_to_keep: Callable[[File], str]) -> None:
        """Have files of several pictures kept as they are for which there is a reason."""
        for place, file in enumerate(self.files):
            if file.array is not None and (reason := reason_to_keep(file)):
                self.files[place] = file._replace(peek=Peek("file", file.bytes), array=None, kept=reason)

    def close(self) -> None:
        """Nothing is read any more."""
        self._finder.close()

    def add_folder(self, name: str, attributes: Attributes) -> None:
        mode = attributes.mode or 0
        self.private_to &= (mode & 0o111) * 0o6  # who may search the folder may read and write what is in it
        before = self.folders.get(name)
        self.folders[name] = attributes if before is None else attributes._replace(mode=mode & (before.mode or 0))

    def tree(self, times: bool) -> Tree:
        """What an archive keeps of them."""
        files = [file.attributes for file in self.files for _ in range(file.pictures)]
        if times:
            return Tree(files, self.folders)
        without = Attributes._replace
        return Tree(
            [without(one, mtime_ns=None) for one in files],
            {name: without(one, mtime_ns=None) for name, one in self.folders.items()},
        )

    @property
    def mode(self) -> int:
        """Permissions of a file that holds all of them: its owner's, and those that every source gives."""
        return self.private_to & ~umask() | 0o600


def listed_images(arguments: tuple[str, ...], globs: Globs = ALL, listed: Iterable[str] = ()) -> Inputs:
    """Every file that the arguments name, and then the names of a list. Folders are walked in a fixed order.

    A file keeps its base name, a file in a folder its path below that folder; what is listed keeps its path. Of what is
    in folders only what `globs` take counts. Raises ImageError where two names are equal, where there is nothing, or
    something cannot be read.
    """
    found = Inputs()
    for argument in arguments:
        if argument == STDIN:
            found.add("image.png", None, UNKNOWN)
        elif is_url(argument):
            url = Url(argument)
            found.add_url("" if url.is_folder() else url.name, url, globs)
        else:
            path = Path(argument)
            found.add_argument("" if path.is_dir() else path.name, path, globs)
    for line in listed:
        if is_url(line):
            found.add_url(Url(line).path, Url(line), globs)
        else:
            found.add_argument(_kept_path(line), Path(line), globs)
    if len(arguments) > 1:
        found.folders.pop("", None)
    if not found.files and (globs != ALL or set(found.folders) <= {""}):
        wanted = "nothing that is wanted" if globs != ALL else "nothing"
        raise ImageError(f"{arguments[0]}: {wanted} in this folder" if arguments else "the list names nothing")
    _check_names(found)
    return found


def names_in(file: str, by_null: bool) -> list[str]:
    """The names in a list of files, one a line, or each before a zero byte; - is standard input."""
    data = read_stdin() if file == STDIN else Path(file).read_bytes()
    names = data.split(b"\0") if by_null else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return [os.fsdecode(name) for name in names if name]


def _kept_path(line: str) -> str:
    """By which what is listed is kept: as it is written, from the root or this folder on."""
    path = Path(line)
    if ".." in path.parts:
        raise ImageError(f"{line}: a listed name may not have .. in it, as it is kept by this name")
    name = path.relative_to(path.anchor).as_posix()
    return "" if name == "." else name


def _is_wanted(file: str, globs: Globs) -> bool:
    """Whether this path below a folder is, and the folders on its way are not left out."""
    ends = (end for end, character in enumerate(file) if character == "/")
    return globs.takes(file) and not any(globs.refuses(file[:end]) for end in ends)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _start(path: Path | None) -> tuple[bytes, int]:
    """A file's first bytes, and how many there are; nothing of what can be read once."""
    if path is None:
        return b"", 0
    with opened(path) as file:
        status = os.fstat(file.fileno())
        return (file.read(START_BYTES), status.st_size) if stat.S_ISREG(status.st_mode) else (b"", 0)


def _check_names(found: Inputs) -> None:
    seen: dict[str, Path | Url | None] = {}
    for name, source, *_ in found.files:
        try:
            check_name(name_bytes(name))
        except (Malformed, UnicodeEncodeError) as error:
            raise ImageError(f"{source}: its name cannot be kept in an archive ({error}); rename it") from error
        if name in seen:
            both = " and ".join(str(path or "standard input") for path in (source, seen[name]))
            raise ImageError(f"{both} would both be kept as {name}; give a folder above both")
        seen[name] = source
    arrays = {file.name for file in found.files if file.array is not None}
    for name in seen:
        array, bracket, _ = name.rpartition("[")
        if bracket and array in arrays:
            raise ImageError(f"{seen[name]} and images of {seen[array]} may have one name; give a folder above both")
    for name in found.folders.keys() & seen.keys():
        raise ImageError(f"{seen[name]} and a folder {name} could not both be made again; give a folder above both")
