"""Reading what is to be compressed."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from bbcompress.archive.arrays import ArrayReader
from bbcompress.archive.jobs import Input, Job, input_of
from bbcompress.cli.common import read_stdin
from bbcompress.cli.directory import Directory
from bbcompress.images.errors import ImageError
from bbcompress.images.files import read
from bbcompress.images.header import MAX_PIXELS
from bbcompress.images.picture import Item, KeptFile
from bbcompress.images.remote import Url

if TYPE_CHECKING:
    from bbcompress.cli.inputs import File


class Reading(NamedTuple):
    """How files are read."""

    strip: bool = False
    """Leave metadata out."""
    pixels: bool = False
    """All are pictures, and coded as such."""
    max_pixels: int = MAX_PIXELS
    """Of more pixels a file is kept."""


@dataclass(frozen=True)
class FileReader:
    """Reads a file, in whatever process; raises ImageError where it cannot be read, or is none that is wanted."""

    path: Path | Url | None
    """None for standard input."""
    reading: Reading
    data: bytes | None = None
    """Of the file, where it has been read."""
    kept: str = ""
    """Why it is kept as it is, where that is known."""

    def __call__(self) -> Item:
        data = _contents(self.path) if self.data is None else self.data
        name = self.path.name if self.path else ""
        if self.kept:
            return KeptFile(data, name, self.kept)
        item = read(data, name, strip=self.reading.strip, max_pixels=self.reading.max_pixels)
        if not self.reading.pixels:
            return item
        if isinstance(item, KeptFile):
            source = "standard input" if self.path is None else self.path
            raise ImageError(f"{source}: would be kept as a file ({item.reason}), not as pixels; leave it out")
        return replace(item, file=None)


def inputs(files: Iterable[File], reading: Reading) -> Iterator[Input]:
    """What `archive.compress.write_archive` takes. Standard input is read here."""
    from bbcompress.cli.arrays import inputs_of

    for file in files:
        if file.array is not None:
            yield from inputs_of(file)
            continue
        reader = FileReader(file.path, reading, kept=file.kept)
        yield input_of(file.name, reader()) if file.path is None else Input(file.name, reader, *file.peek)


def sent(job: Job) -> Job:
    """The job for another machine: with the bytes of this machine's files, while what a URL names is read there."""
    return job._replace(sources=[source._replace(read=_sent(source.read)) for source in job.sources])


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file whose path may be longer than systems take. OSError becomes ImageError."""
    try:
        with contextlib.ExitStack() as stack:
            try:
                file: BinaryIO = stack.enter_context(path.open("rb"))
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                file = stack.enter_context(stack.enter_context(Directory.at(path.parent)).open(path.name))
            yield file
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _sent(read: Callable[[], Item]) -> Callable[[], Item]:
    if isinstance(read, FileReader) and isinstance(read.path, Path):
        return replace(read, data=_contents(read.path))
    if isinstance(read, ArrayReader):
        return input_of("", read()).read
    return read


def _contents(path: Path | Url | None) -> bytes:
    if path is None:
        return read_stdin()
    if isinstance(path, Url):
        return path.read_bytes()
    with opened(path) as file:
        return file.read()
