"""Adding to an archive: a new one is written, with the old one's segments as they are.

Segments of which a picture is replaced are the exception: their other pictures are decoded and coded again.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from bbcompress.archive import blocks
from bbcompress.archive.arrays import Array
from bbcompress.archive.attributes import Tree
from bbcompress.archive.compress import Encode, write_segments
from bbcompress.archive.errors import ArchiveError, DamagedArchive, NameTaken
from bbcompress.archive.jobs import Input, input_of, jobs
from bbcompress.archive.numbers import numbers_of
from bbcompress.archive.options import Options, Summary
from bbcompress.archive.read import ArchiveReader, Part
from bbcompress.archive.writer import ArchiveWriter
from bbcompress.codec.registry import Registry
from bbcompress.images.metadata import NO_METADATA
from bbcompress.images.picture import Picture
from bbcompress.images.place import UNKNOWN

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def append_archive(
    old: ArchiveReader,
    file: BinaryIO,
    inputs: Iterable[Input],
    encode: Encode,
    registry: Registry,
    options: Options,
    tree: Tree | None,
    replacing: bool = False,
) -> Summary:
    """Write `old` and the inputs, whose attributes are `tree` if they have any, as an archive to `file`; gives what was
    added.

    Raises NameTaken for a name that `old` has, unless `replacing`: then that picture's number is the new one's. Arrays
    of several pictures are replaced by arrays of as many alone.
    Raises an ArchiveError where `old` is of the small form or damaged in what is copied or replaced.
    """
    if old.form != blocks.Form.ARCHIVE:
        raise ArchiveError("holds one picture without a name; compress both into an archive")
    names = list(old.names or [])
    number_of = {name: number for number, name in enumerate(names)}
    arrays = {str(array.name): array for array in old.arrays}
    new: list[tuple[int, Input]] = []
    files = [*old.tree.files] or [UNKNOWN] * len(names)
    inputs = list(inputs)
    tree = tree or Tree([UNKNOWN] * len(inputs) if old.tree.files else [])
    for one, attributes in zip(inputs, tree.files or [UNKNOWN] * len(inputs), strict=True):
        number = number_of.get(one.name, len(names))
        clash = one.name if one.name in arrays else one.array if one.array in number_of else None
        if clash is not None:
            raise NameTaken(f"has {clash} already, with another number of images, so that it cannot be replaced")
        if number == len(names):
            names.append(one.name)
            files.append(attributes)
        elif not replacing:
            raise NameTaken(f"has {one.array or one.name} already; -f, or overwrite=True, replaces it")
        files[number] = attributes
        new.append((number, one))
    _check_replaced_arrays(arrays, new)
    folders = {**tree.folders, **old.tree.folders}
    clash = next((name for name in names if name in folders), None)
    if clash is not None:
        raise NameTaken(f"has {clash} as a file and as a folder")
    replaced = {number for number, _ in new if number < len(number_of)}
    writer = ArchiveWriter(file)
    again = []
    for part in old.parts:
        if replaced.isdisjoint(numbers_of(part.runs).tolist()):
            writer.add_block(_sound(old, part), part.runs)
        else:
            again.append(part)
    coded_again = {number for part in again for number in numbers_of(part.runs).tolist()}
    writer.add_metadata({number: one for number, one in old.metadata.items() if number not in coded_again})
    kept_bytes = writer.summary.total_bytes
    numbered = _numbered(old, again, replaced, new, registry)
    write_segments(writer, encode(jobs(numbered, options.segment_pixels)))
    writer.finish(names, Tree(files, folders) if old.tree.files or tree.files else None)
    writer.summary.total_bytes -= kept_bytes
    return writer.summary


def _check_replaced_arrays(arrays: dict[str, Array], new: list[tuple[int, Input]]) -> None:
    """Raise NameTaken unless all pictures of an array are replaced or none, and by as many."""
    numbers = {number for number, _ in new}
    added = Counter(one.array for _, one in new)
    for name, array in arrays.items():
        replaced = len(numbers.intersection(array.numbers))
        if replaced not in (0, array.file.pictures) or added.get(name, replaced) != replaced:
            raise NameTaken(f"has {name} already, with another number of images, so that it cannot be replaced")


@contextlib.contextmanager
def alone(file: BinaryIO, path: Path) -> Iterator[None]:
    """Nobody else adds to the archive that is open meanwhile: what one adds would be lost. Raises ArchiveError."""
    if fcntl is not None:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveError("is being added to by another process; try again later") from None
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise ArchiveError("was changed meanwhile; try again")
    yield


def _sound(old: ArchiveReader, part: Part) -> bytes:
    """The block of a segment."""
    block = old.source.read(part.offset, part.size)
    if blocks.checked(block[: -blocks.CRC_BYTES]) != block:
        raise DamagedArchive(f"damaged: the checksum of the block at byte {part.offset} is wrong")
    return block


def _numbered(
    old: ArchiveReader,
    again: list[Part],
    replaced: set[int],
    new: list[tuple[int, Input]],
    registry: Registry,
) -> Iterator[tuple[int, Input]]:
    """What is coded: what stays of the segments that are coded again, one after another, and what is new."""
    for part in again:
        for number, name, item in old.decode_part(part, registry):
            if number not in replaced:
                assert name is not None
                if isinstance(item, Picture):  # that of arrays as well
                    item = replace(item, metadata=old.metadata.get(number, NO_METADATA))
                yield number, input_of(name, item)
    yield from new
