"""Modes and times of an archive's files and folders, compactly, and the names of folders with nothing in them.

Layout, squeezed (`bbcompress.archive.squeeze`):

    names of folders that no other name implies (`bbcompress.archive.names`), after the length of these bytes
    number of files
    modes: runs of (count, mode), where UNKNOWN_MODE is of what has neither mode nor time
    times: NO_TIMES, or how many decimal digits of the nanoseconds are zero in all of them; then for each that has one
        the difference to the one before

Files come first, by number, then folders: the one that all are in, whose name is empty, and the others in the order
in which the names imply them.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from bbcompress.archive.errors import ArchiveLimit
from bbcompress.archive.names import MAX_TOTAL_BYTES, pack_names, unpack_names
from bbcompress.archive.squeeze import squeezed, unsqueezed
from bbcompress.images.place import PERMISSIONS, UNKNOWN, Attributes
from bbcompress.varint import Malformed, Reader, write_varint

MAX_ENTRIES = 1 << 23
"""Files and folders of an archive."""
MAX_BYTES = 1 << 27
UNKNOWN_MODE = PERMISSIONS + 1
NO_TIMES = 10
_MAX_TIME_DIFFERENCE = 1 << 65


class Tree(NamedTuple):
    """What an archive knows of its files by number, and of its folders by name."""

    files: Sequence[Attributes] = ()
    folders: Mapping[str, Attributes] = {}
    """All folders; the one that all are in by the name ""."""


def pack_tree(tree: Tree, names: Sequence[str]) -> bytes:
    """The bytes of the attributes of files of these names. Raises ArchiveLimit."""
    implied = set(_folders(names, ()))
    # of folders without files the deepest imply the others
    lone = [folder for folder in tree.folders if folder not in implied]
    above = set(_folders(lone, ()))
    lone = [folder for folder in lone if folder not in above]
    folders = _folders(names, lone)
    entries = [*tree.files, *(tree.folders.get(folder, UNKNOWN) for folder in folders)]
    if len(entries) > MAX_ENTRIES:
        raise ArchiveLimit(f"more than {MAX_ENTRIES} files and folders; make several archives")
    packed = pack_names(lone)
    plain = write_varint(len(packed)) + packed + write_varint(len(tree.files)) + _pack_modes(entries)
    plain += _pack_times([entry.mtime_ns for entry in entries if entry.mtime_ns is not None])
    return squeezed(plain)


def unpack_tree(data: bytes, names: Sequence[str]) -> Tree:
    """The inverse of `pack_tree`. Raises Malformed."""
    plain = Reader(unsqueezed(data, MAX_BYTES))
    lone = unpack_names(plain.take(plain.varint(MAX_BYTES)), MAX_ENTRIES)
    if plain.varint(MAX_ENTRIES) != len(names):
        raise Malformed("attributes of another number of files")
    folders = _folders(names, lone)
    modes = _unpack_modes(plain, len(names) + len(folders))
    times = iter(_unpack_times(plain, sum(mode is not None for mode in modes)))
    entries = [UNKNOWN if mode is None else Attributes(mode, next(times)) for mode in modes]
    if plain.remaining:
        raise Malformed("bytes are left after the times")
    return Tree(entries[: len(names)], dict(zip(folders, entries[len(names) :], strict=True)))


def _folders(names: Iterable[str], lone: Iterable[str]) -> list[str]:
    """The folders that files of these names are in, and `lone` ones with those that these are in. Raises Malformed."""
    found, characters = {"": None}, 0
    for name in [*names, *(folder + "/" for folder in lone)]:
        end = name.rfind("/")
        new = []
        while end > 0 and name[:end] not in found:
            new.append(name[:end])
            characters += end
            if characters > MAX_TOTAL_BYTES:
                raise Malformed("the folders' names are too long together")
            end = name.rfind("/", 0, end)
        found.update(dict.fromkeys(reversed(new)))
    return list(found)


def _pack_modes(entries: Sequence[Attributes]) -> bytes:
    out = b""
    for mode, run in groupby(UNKNOWN_MODE if entry.mode is None else entry.mode for entry in entries):
        out += write_varint(len(list(run))) + write_varint(mode)
    return out


def _unpack_modes(reader: Reader, count: int) -> list[int | None]:
    modes: list[int | None] = []
    while len(modes) < count:
        run = reader.varint(count - len(modes))
        mode = reader.varint(UNKNOWN_MODE)
        if run == 0:
            raise Malformed("a run of no modes")
        modes += [None if mode == UNKNOWN_MODE else mode] * run
    return modes


def _pack_times(times: Sequence[int]) -> bytes:
    if not times:
        return write_varint(NO_TIMES)
    digits = next(digits for digits in reversed(range(NO_TIMES)) if not any(time % 10**digits for time in times))
    out, last = bytearray(write_varint(digits)), 0
    for time in times:
        step = time // 10**digits - last
        out += write_varint(2 * step if step >= 0 else -2 * step - 1)
        last += step
    return bytes(out)


def _unpack_times(reader: Reader, count: int) -> list[int | None]:
    digits = reader.varint(NO_TIMES)
    if digits == NO_TIMES:
        return [None] * count
    times: list[int | None] = []
    last = 0
    for _ in range(count):
        step = reader.varint(_MAX_TIME_DIFFERENCE)
        last += -(step + 1 >> 1) if step & 1 else step >> 1
        times.append(last * 10**digits)
    return times
