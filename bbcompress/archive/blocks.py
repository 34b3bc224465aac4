"""The outer layer of the container: file header, blocks with their own CRC, and the trailer.

See docs/FORMAT.md. A block is: type (1 byte), body length (varint), body, CRC-32 of all of these.
"""

import zlib
from enum import IntEnum
from typing import NamedTuple

from bbcompress.archive.errors import ArchiveLimit, DamagedArchive, UnsupportedArchive
from bbcompress.archive.source import Source
from bbcompress.varint import Malformed, Reader, write_varint

MAGIC = b"\xbbC"
VERSION = 1
END_MARK = b"C\xbb"
CRC_BYTES = 4
HEADER_BYTES = 3 + CRC_BYTES
"""Of archives: their first block is there."""
SHORT_CRC_BYTES = 2
"""Of files of the small form."""
MAX_BLOCK_BYTES = 1 << 31
MAX_VARINT_BYTES = 5


class Form(IntEnum):
    """What follows the header; the high half of its third byte."""

    SINGLE = 0
    ARCHIVE = 1


class BlockType(IntEnum):
    SEGMENT = 1
    NAMES = 2
    INDEX = 3
    METADATA = 4
    ATTRIBUTES = 5


class Block(NamedTuple):
    """A block as found at `offset` of the file; `body` is None where its CRC is wrong."""

    offset: int
    size: int
    type: int
    body: bytes | None


def crc(data: bytes | memoryview, size: int = CRC_BYTES) -> bytes:
    """The low `size` bytes of the CRC-32 (as in PNG and zip), little-endian."""
    return zlib.crc32(data).to_bytes(CRC_BYTES, "little")[:size]


def checked(data: bytes, size: int = CRC_BYTES) -> bytes:
    """`data` followed by its CRC."""
    return data + crc(data, size)


def header(form: Form) -> bytes:
    """The first three bytes of a file: magic, then form and version."""
    return MAGIC + bytes([form << 4 | VERSION])


def read_form(file: Source) -> Form:
    """The form of a file, with the check that covers its header. Raises DamagedArchive or UnsupportedArchive."""
    start = file.read(0, min(file.size, HEADER_BYTES))
    if len(start) < len(MAGIC) + 1 + SHORT_CRC_BYTES or start[:2] != MAGIC:
        raise DamagedArchive("not a bbc file, or damaged at its start")
    form, version = start[2] >> 4, start[2] & 15
    # An archive's header has a CRC of its own; a single image's is at the end of the file. So it is in every version.
    covered, size = (start, CRC_BYTES) if form == Form.ARCHIVE else (file.read(0, file.size), SHORT_CRC_BYTES)
    if checked(covered[:-size], size) != covered:
        raise DamagedArchive("damaged: the checksum of its header is wrong")
    if version != VERSION or form > Form.ARCHIVE:
        raise UnsupportedArchive(f"written in format {version}, form {form}: use a later version of bbc")
    return Form(form)


def pack_block(type: BlockType, body: bytes) -> bytes:
    """A block's bytes."""
    return checked(bytes([type]) + write_varint(len(body)) + body)


class Head(NamedTuple):
    """Where a block is, by its first bytes."""

    type: int
    start: int
    """Of the body."""
    body_bytes: int
    size: int
    """Of the whole block."""


def read_head(file: Source, offset: int) -> Head:
    """The head of the block at `offset`. Raises DamagedArchive where its length cannot be true, ArchiveLimit."""
    reader = Reader(file.read(offset, max(0, min(1 + MAX_VARINT_BYTES, file.size - offset))))
    try:
        type = reader.byte()
        length = reader.varint((1 << 35) - 1)
    except Malformed as error:
        raise DamagedArchive(f"damaged: no block at byte {offset}") from error
    start = offset + len(bytes([type]) + write_varint(length))
    end = start + length + CRC_BYTES
    if end > file.size:
        raise DamagedArchive(f"damaged or cut short: the block at byte {offset} runs past the end")
    if length > MAX_BLOCK_BYTES:
        raise ArchiveLimit(f"a block of {length} bytes is larger than the limit of {MAX_BLOCK_BYTES}")
    return Head(type, start, length, end - offset)


def read_block(file: Source, offset: int) -> Block:
    """The block at `offset`. Raises as `read_head` does; a wrong CRC gives no body."""
    head = read_head(file, offset)
    data = file.read(offset, head.size)
    sound = crc(memoryview(data)[:-CRC_BYTES]) == data[-CRC_BYTES:]
    start = head.start - offset
    return Block(offset, head.size, head.type, data[start : start + head.body_bytes] if sound else None)


def pack_trailer(index_block: bytes) -> bytes:
    """The last bytes of an archive: the index block's size, for readers that start at the end, and the end mark."""
    return len(index_block).to_bytes(4, "little") + END_MARK


TRAILER_BYTES = 4 + len(END_MARK)


def read_trailer(file: Source) -> int:
    """Offset of the index block. Raises DamagedArchive."""
    trailer = file.read(max(0, file.size - TRAILER_BYTES), min(file.size, TRAILER_BYTES))
    if trailer[-len(END_MARK) :] != END_MARK:
        raise DamagedArchive("damaged or cut short: the end mark is missing")
    offset = file.size - TRAILER_BYTES - int.from_bytes(trailer[: -len(END_MARK)], "little")
    if offset < HEADER_BYTES:
        raise DamagedArchive("damaged: the index is not where the file's end says")
    return offset
