"""TIFF's directories of tags, read and written: classic and BigTIFF, of both byte orders.

Values are kept as their bytes, so whatever a tag means comes back. Only tags that say where something else lies in the
file must be known: a file with other such tags is refused.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Literal

from bbcompress.images.errors import NotWhole

STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES = 273, 279, 324, 325
_PLACES = {STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES}
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_TOP = 0
_INNER = {_TOP: {_EXIF, _GPS}, _EXIF: {_INTEROPERABILITY}, _GPS: set[int](), _INTEROPERABILITY: set[int]()}
"""Directories that each directory may hold."""
_REFUSED = {
    288: "free space",
    330: "further pictures (SubIFDs)",
    347: "JPEG tables",
    513: "a JPEG thumbnail",
    37500: "a maker note",
    34412: "Zeiss LSM data",
    33628: "MetaMorph data",
    33629: "MetaMorph data",
    33630: "MetaMorph data",
    33631: "MetaMorph data",
    34361: "FluoView data",
    34362: "FluoView data",
    50706: "camera raw (DNG)",
    50740: "camera raw (DNG)",
}
"""What these tags say lies elsewhere in the file."""
_ASCII, _SHORT, _LONG, _LONG8 = 2, 3, 4, 16
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8}
"""Without 13 and 18, which are places of directories."""
_FIRST_PRIVATE = 32768
_KNOWN_LONGS = {33723, 34377, 34675, 34735, 50838, 50839, 42112}
"""Private tags of numbers of 32 bits that are no places: IPTC, Photoshop, ICC, GeoTIFF, ImageJ."""
_MAX_ENTRIES = 4096
Order = Literal["<", ">"]
"""Of bytes, as `struct` has it."""


@dataclass(frozen=True, order=True)
class Entry:
    """A tag with its type, number of values and their bytes; of a directory (EXIF, GPS) its tags instead."""

    tag: int
    type: int
    count: int
    value: bytes
    inner: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Tiff:
    """A file with one directory. Its entries are those but of the places of pixels."""

    little: bool
    big: bool
    entries: tuple[Entry, ...]
    blocks: tuple[bytes, ...] = ()
    """What lies at the places of strips or tiles, as compressed."""

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The values of a tag of unsigned integers. Raises :class:`NotWhole` for another type."""
        for entry in self.entries:
            if entry.tag == tag:
                return _numbers(entry, self.order)
        return default

    def number(self, tag: int, default: int) -> int:
        """The first of them."""
        return (self.numbers(tag) or (default,))[0]

    @property
    def order(self) -> Order:
        return "<" if self.little else ">"


def read(data: bytes) -> Tiff:
    """The tags and blocks of a file. Raises :class:`NotWhole` where it holds anything else."""
    little = data[:2] == b"II"
    reader = _Reader(data, little, big=data[2:4] in (b"+\0", b"\0+"))
    if data[:2] not in (b"II", b"MM") or len(data) < (16 if reader.big else 8):
        raise NotWhole("damaged TIFF: cut short")
    if reader.big and data[4:8] not in (b"\x08\0\0\0", b"\0\x08\0\0"):
        raise NotWhole("TIFF of an unknown kind")
    start = 8 if reader.big else 4
    reader.used(0, start + reader.offset_bytes)
    entries = reader.directory(reader.offset(start), _TOP)
    offsets, sizes = _places(entries, reader.order)
    blocks = tuple(reader.take(offset, size) for offset, size in zip(offsets, sizes, strict=True))
    if reader.hidden():
        raise NotWhole("TIFF with data that no tag names")
    return Tiff(little, reader.big, tuple(entry for entry in entries if entry.tag not in _PLACES), blocks)


def write(tiff: Tiff) -> bytes:
    """A file with these tags and blocks."""
    offset_bytes = 8 if tiff.big else 4
    head = struct.pack(tiff.order + "2sH", b"II" if tiff.little else b"MM", 43 if tiff.big else 42)
    head += struct.pack(tiff.order + "HHQ", 8, 0, 16) if tiff.big else struct.pack(tiff.order + "I", 8)
    count = len(tiff.blocks)
    tiled = any(entry.tag == 322 for entry in tiff.entries)
    type, code = (_LONG8, "Q") if tiff.big else (_LONG, "I")

    def with_places(offsets: list[int]) -> tuple[Entry, ...]:
        if not count:
            return tiff.entries
        tags = (TILE_OFFSETS, TILE_BYTES) if tiled else (STRIP_OFFSETS, STRIP_BYTES)
        values = offsets, [len(block) for block in tiff.blocks]
        places = [
            Entry(tag, type, count, struct.pack(f"{tiff.order}{count}{code}", *numbers))
            for tag, numbers in zip(tags, values, strict=True)
        ]
        return tuple(sorted([*tiff.entries, *places]))

    # The size does not depend on the places
    start = len(head) + len(_pack_directory(with_places([0] * count), len(head), tiff.order, offset_bytes))
    offsets, position = [], start
    for block in tiff.blocks:
        offsets.append(position)
        position += len(block) + len(block) % 2
    if position >= 1 << (8 * offset_bytes):
        raise NotWhole("TIFF of 4 GiB or more")
    body = _pack_directory(with_places(offsets), len(head), tiff.order, offset_bytes)
    return head + body + b"".join(block + b"\0" * (len(block) % 2) for block in tiff.blocks)


def with_only(tiff: Tiff, tags: Set[int]) -> Tiff:
    """The same with no other tags than these."""
    return replace(tiff, entries=tuple(entry for entry in tiff.entries if entry.tag in tags))


class _Reader:
    """Takes what lies at places of a file, and remembers what was taken."""

    def __init__(self, data: bytes, little: bool, big: bool):
        self._data, self.big = data, big
        self.order: Order = "<" if little else ">"
        self.offset_bytes = 8 if big else 4
        self._spans: list[tuple[int, int]] = []

    def used(self, start: int, end: int) -> None:
        self._spans.append((start, end))

    def take(self, start: int, size: int) -> bytes:
        if start + size > len(self._data):
            raise NotWhole("damaged TIFF: cut short")
        self.used(start, start + size)
        return self._data[start : start + size]

    def offset(self, start: int) -> int:
        return _integer(self._data[start : start + self.offset_bytes], self.order)

    def hidden(self) -> bool:
        """Whether there are bytes other than zero that were not taken."""
        end = 0
        for start, stop in sorted(self._spans):
            if start > end and self._data[end:start].strip(b"\0"):
                return True
            end = max(end, stop)
        return bool(self._data[end:].strip(b"\0"))

    def directory(self, start: int, of: int) -> tuple[Entry, ...]:
        width = 8 if self.big else 2
        count = _integer(self.take(start, width), self.order)
        if not 0 < count <= _MAX_ENTRIES:
            raise NotWhole("damaged TIFF: no directory of tags")
        size = 20 if self.big else 12
        table = self.take(start + width, count * size)
        following = self.take(start + width + count * size, self.offset_bytes)
        if following.strip(b"\0"):
            raise NotWhole("TIFF of several pages" if of == _TOP else "TIFF of an unknown kind")
        entries = [self._entry(table[place : place + size], of) for place in range(0, len(table), size)]
        tags = [entry.tag for entry in entries]
        if any(a >= b for a, b in itertools.pairwise(tags)):
            raise NotWhole("TIFF with tags out of order")
        return tuple(entries)

    def _entry(self, field: bytes, of: int) -> Entry:
        tag, type = struct.unpack_from(self.order + "HH", field)
        count = _integer(field[4 : 4 + self.offset_bytes], self.order)
        where = field[4 + self.offset_bytes :]
        if tag in _REFUSED:
            raise NotWhole(f"TIFF with {_REFUSED[tag]}")
        if tag in _INNER:
            if tag not in _INNER[of]:
                raise NotWhole("damaged TIFF: a directory where none belongs")
            if count != 1 or type not in (_LONG, _LONG8, 13, 18):
                raise NotWhole("damaged TIFF: a directory without a place")
            place = _integer(where[: 8 if type in (_LONG8, 18) else 4], self.order)
            return Entry(tag, type, 1, b"", self.directory(place, tag))
        if type not in _TYPE_BYTES:
            raise NotWhole(f"TIFF with tag {tag} of an unknown type")
        private = tag >= _FIRST_PRIVATE and of == _TOP
        if private and type in (_LONG, _LONG8, 9, 17) and tag not in _KNOWN_LONGS:
            raise NotWhole(f"TIFF with private tag {tag}, which may be a place in the file")
        size = count * _TYPE_BYTES[type]
        if size <= len(where):
            return Entry(tag, type, count, where[:size])
        return Entry(tag, type, count, self.take(_integer(where, self.order), size))


def _places(entries: tuple[Entry, ...], order: Order) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Offsets and sizes of strips or tiles."""
    found = {entry.tag: _numbers(entry, order) for entry in entries if entry.tag in _PLACES}
    for offsets, sizes in ((STRIP_OFFSETS, STRIP_BYTES), (TILE_OFFSETS, TILE_BYTES)):
        if found.keys() == {offsets, sizes} and len(found[offsets]) == len(found[sizes]):
            return found[offsets], found[sizes]
    if found:
        raise NotWhole("damaged TIFF: it does not say where its pixels are")
    return (), ()


def _numbers(entry: Entry, order: Order) -> tuple[int, ...]:
    code = {1: "B", _SHORT: "H", _LONG: "I", _LONG8: "Q"}.get(entry.type)
    if code is None:
        raise NotWhole(f"damaged TIFF: tag {entry.tag} is no number")
    return struct.unpack(f"{order}{entry.count}{code}", entry.value)


def _integer(data: bytes, order: Order) -> int:
    return int.from_bytes(data, "little" if order == "<" else "big")


def _pack_directory(entries: tuple[Entry, ...], start: int, order: Order, offset_bytes: int) -> bytes:
    """A directory at `start`, its values and inner directories behind it, of an even number of bytes."""
    count_code, code = ("Q", "Q") if offset_bytes == 8 else ("H", "I")
    table = struct.pack(order + count_code, len(entries))
    position = start + len(table) + len(entries) * (4 + 2 * offset_bytes) + offset_bytes
    values = b""
    for entry in entries:
        padding = position % 2
        value = entry.value
        if entry.tag in _INNER:
            values += b"\0" * padding + _pack_directory(entry.inner, position + padding, order, offset_bytes)
            value = struct.pack(order + ("Q" if entry.type in (_LONG8, 18) else "I"), position + padding)
        elif len(value) > offset_bytes:
            values += b"\0" * padding + value
            value = struct.pack(order + code, position + padding)
        table += struct.pack(f"{order}HH{code}", entry.tag, entry.type, entry.count) + value.ljust(offset_bytes, b"\0")
        position = start + struct.calcsize(order + count_code) + len(entries) * (4 + 2 * offset_bytes) + offset_bytes
        position += len(values)
    values += b"\0" * ((position) % 2)
    return table + b"\0" * offset_bytes + values
