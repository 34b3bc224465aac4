"""The general coding of a file's bytes: as they are, or as raw LZMA where that is shorter.

Layout: 0 and the bytes; or 1, their number as a varint, of at most MAX_PACKED_BYTES, and raw LZMA1 as in planes.py.
"""

from __future__ import annotations

import lzma
import zlib
from typing import BinaryIO

from bbcompress.images import planes
from bbcompress.images.errors import DamagedImage, LimitExceeded
from bbcompress.varint import Malformed, Reader, write_varint

MAX_PACKED_BYTES = 1 << 28
"""Of a file that is not as it is: a few bytes of LZMA may become so many."""
_RAW, _LZMA = 0, 1
#: Pieces of a large file by which it is judged.
_PIECES, _PIECE_BYTES = 4, 1 << 16
#: Parts of a large file by which it is found what keeping it takes, and their bytes together.
_QUICK_PARTS, _QUICK_BYTES = 8, 1 << 21
#: What is left of pieces by a quick coding, where the slow one is worth trying.
_WORTH_TRYING = 0.98


def encode(data: bytes) -> bytes:
    """The shorter of the two; LZMA is tried where a file looks as if it can be compressed at all."""
    raw = bytes([_RAW]) + data
    if len(data) > MAX_PACKED_BYTES or not _looks_compressible(data):
        return raw
    packed = bytes([_LZMA]) + write_varint(len(data)) + planes.deflate(data)
    return min(raw, packed, key=len)


def decode(data: bytes) -> bytes:
    """The inverse of :func:`encode`. Raises :class:`DamagedImage`, or :class:`LimitExceeded` for more bytes."""
    try:
        reader = Reader(data)
        method = reader.byte()
        if method == _RAW:
            return reader.rest()
        if method != _LZMA:
            raise Malformed("unknown method")
        size = reader.varint(1 << 40)
        if size > MAX_PACKED_BYTES:
            raise LimitExceeded(f"a file of {size} bytes is over the limit of {MAX_PACKED_BYTES} bytes")
        return planes.inflate(reader.rest(), size)
    except LimitExceeded:
        raise
    except (ValueError, lzma.LZMAError) as error:
        raise DamagedImage(f"the kept file is damaged: {error}") from error


def quick_bytes(file: BinaryIO, size: int) -> float:
    """How many bytes :func:`encode` would make of a file, roughly: a few more, by a quick way of coding, of some parts
    of a large file. What comes again far away counts every time."""
    encoder = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=planes.quick_filters(size))
    each = -(-min(size, _QUICK_BYTES) // _QUICK_PARTS)
    found = seen = 0
    for part in range(_QUICK_PARTS):
        file.seek((size - each) * part // (_QUICK_PARTS - 1))
        piece = file.read(each)
        found += len(encoder.compress(piece))
        seen += len(piece)
    return (found + len(encoder.flush())) * size / max(1, seen)  # the file may shrink meanwhile


def _looks_compressible(data: bytes) -> bool:
    if len(data) <= _PIECES * _PIECE_BYTES:
        return True
    places = [part * (len(data) - _PIECE_BYTES) // (_PIECES - 1) for part in range(_PIECES)]
    sample = b"".join(data[place : place + _PIECE_BYTES] for place in places)
    return len(zlib.compress(sample, 1)) < _WORTH_TRYING * len(sample)
