"""Sections 2 to 4: files of either form."""

from itertools import pairwise
from typing import NamedTuple

from second_decoder import about, arrays
from second_decoder.about import Attributes
from second_decoder.methods import (
    Bits,
    Fine,
    Kept,
    Payload,
    Stored,
    Tiles,
    read_bits_back,
    read_coarse_to_fine,
    read_tiles,
)
from second_decoder.models import Models
from second_decoder.pictures import Item, pictures_digest
from second_decoder.reading import Reader, crc, require

SEGMENT, NAMES, INDEX, METADATA, ATTRIBUTES = range(1, 6)
MAX_PICTURES = 1 << 22


class Unsupported(ValueError):
    """A later version, or a method that is not known."""


class Entry(NamedTuple):
    """A picture or kept file of a file."""

    name: bytes
    """Empty in the single form, but for kept files."""
    item: Item
    metadata: tuple[int, bytes]
    """Format and body; (0, b"") where there are none."""


class Contents(NamedTuple):
    entries: list[Entry]
    files: list[Attributes]
    folders: dict[bytes, Attributes]
    """Attributes, where they are kept."""
    arrays: dict[bytes, bytes]
    """Files of several pictures, unpacked."""


def read(data: bytes, models: Models) -> Contents:
    """Everything in a file."""
    require(len(data) >= 5 and data[:2] == b"\xbbC", "no such file")
    form, version = data[2] >> 4, data[2] & 15
    if form == 1:
        require(crc(data[:3]) == data[3:7], "the header's CRC")
    else:
        require(crc(data[:-2], 2) == data[-2:], "the file's CRC")
    if version != 1 or form > 1:
        raise Unsupported("version or form")
    if form == 0:
        return Contents([_single(data, models)], [], {}, {})
    return _archive(data, models)


def _single(data: bytes, models: Models) -> Entry:
    reader = Reader(data[3:-2])
    require(len(data) >= 10, "fields that overlap")
    kind = reader.byte()
    method, flag, form = kind & 7, kind & 8, kind >> 4
    if method > 5:
        raise Unsupported("method")
    name, metadata = b"", {}
    if method == 4:
        require(not flag, "a kept file with metadata")
        name = reader.take(reader.varint(0, 40))
        require(b"/" not in name, "a kept file with folders")
        about.check_name(name or b"none")
    elif flag:
        metadata = about.metadata(reader.take(reader.varint(0, len(data))), 1)
    start = reader.take(4)
    payload: Payload
    match method:
        case 0 | 4:
            require(form == 0, "reserved bits")
            payload = Stored(reader.rest()) if method == 0 else Kept(reader.rest())
        case 1:
            payload = Bits.single(start, form, reader.rest())
        case 2:
            payload = read_tiles(reader, start, form, 1)
        case 3:
            payload = Tiles.single(reader, start, form)
        case _:
            payload = Fine.single(reader, form)
    items = payload.decode(models)
    digest = pictures_digest(items)
    if method in (0, 4, 5):
        require(digest.startswith(start), "the pixel check")
    else:
        require(payload.bottom == int.from_bytes(digest[:4], "big") | 1 << 31, "the bottom of the stack")
    for format, body in metadata.values():
        require(format != arrays.ARRAY or arrays.array(body).pictures == 1, "an array of more pictures")
    return Entry(name, items[0], metadata.get(0, (0, b"")))


class Block(NamedTuple):
    type: int
    body: bytes
    size: int


def _block(data: bytes, at: int) -> Block:
    reader = Reader(data[at:])
    type = reader.byte()
    body = reader.take(reader.varint(0, 1 << 31))
    require(crc(data[at : at + reader.at]) == reader.take(4), "a block's CRC")
    return Block(type, body, reader.at)


def _archive(data: bytes, models: Models) -> Contents:
    require(data[-2:] == b"C\xbb", "the end mark")
    end = len(data) - 6 - int.from_bytes(data[-6:-2], "little")
    require(end >= 7, "the place of the index")
    index = _block(data, end)
    require(index.type == INDEX and end + index.size == len(data) - 6, "the index")
    reader = Reader(index.body)
    expected: list[tuple[int, int, list[int]]] = []
    for _ in range(reader.varint(0, MAX_PICTURES)):
        expected.append((SEGMENT, reader.varint(0, len(data)), _numbers(reader)))
    expected.append((NAMES, reader.varint(0, len(data)), []))
    expected.append((METADATA, reader.varint(0, len(data)), []))
    expected.append((ATTRIBUTES, reader.varint(0, len(data)) if reader.left else 0, []))
    require(not reader.left, "more in the index")
    bodies, at = {}, 7
    found: dict[int, Item] = {}
    for type, size, known in expected:
        if type in (METADATA, ATTRIBUTES) and not size:
            continue
        block = _block(data, at)
        require((block.type, block.size) == (type, size), "a block that the index does not know")
        at += size
        if type != SEGMENT:
            bodies[type] = block.body
            continue
        numbers, items = _segment(block.body, models)
        require(numbers == known and not found.keys() & set(numbers), "numbers of pictures")
        found |= dict(zip(numbers, items, strict=True))
    require(at == end, "an index that does not fit")
    require(sorted(found) == list(range(len(found))), "pictures that are missing")
    names = about.names(bodies[NAMES])
    require(len(names) == len(found) == len(set(names)), "names of another number")
    metadata = about.metadata(bodies[METADATA], len(found)) if METADATA in bodies else {}
    unpacked = arrays.files(names, [found[n] for n in range(len(names))], metadata)
    entries = [Entry(name, found[n], metadata.get(n, (0, b""))) for n, name in enumerate(names)]
    files, folders = about.attributes(bodies[ATTRIBUTES], names) if ATTRIBUTES in bodies else ([], {})
    return Contents(entries, files, folders, unpacked)


def _numbers(reader: Reader) -> list[int]:
    """4.2: of a segment's pictures."""
    numbers: list[int] = []
    next_number = 0
    for run in range(reader.varint(1, MAX_PICTURES)):
        next_number += reader.varint(1 if run else 0, MAX_PICTURES)
        length = 1 + reader.varint(0, MAX_PICTURES)
        numbers += range(next_number, next_number + length)
        next_number += length
        require(next_number <= MAX_PICTURES, "a picture's number above its limit")
    assert all(a < b for a, b in pairwise(numbers))
    return numbers


def _segment(body: bytes, models: Models) -> tuple[list[int], list[Item]]:
    """4.2."""
    reader = Reader(body)
    method = reader.byte()
    numbers = _numbers(reader)
    digest = reader.take(32)
    payload: Payload
    match method:
        case 0 | 4:
            require(len(numbers) == 1, "stored pictures beside each other")
            payload = Stored(reader.rest()) if method == 0 else Kept(reader.rest())
        case 1:
            payload = read_bits_back(reader, len(numbers))
        case 2:
            model, form = reader.take(32), reader.byte()
            payload = read_tiles(reader, model, form, len(numbers))
        case 5:
            payload = read_coarse_to_fine(reader, len(numbers))
        case _:
            raise Unsupported("method")
    items = payload.decode(models)
    found = pictures_digest(items)
    require(found == digest, "the digest")
    if method in (1, 2):
        require(payload.bottom == int.from_bytes(found[:4], "big") | 1 << 31, "the bottom of the stack")
    return numbers, items
