"""What a file's first bytes say of its picture, so that work can be laid out before files are read."""

from __future__ import annotations

import struct
from typing import NamedTuple

from bbcompress.images import png

START_BYTES = 64
"""Of a file, which are looked at."""


class Peek(NamedTuple):
    """A guess: whoever reads the file finds out."""

    kind: str
    """Files of one kind likely hold pictures of one mode."""
    pixels: int
    """Bytes, where that is not known."""


def peek(start: bytes, size: int) -> Peek:
    """Of a file of ``size`` bytes that begins with ``start``."""
    try:
        return _peek(start, size)
    except (struct.error, ValueError, KeyError):
        return Peek("file", size)


def _peek(start: bytes, size: int) -> Peek:
    if start.startswith(png.SIGNATURE):
        width, height, depth, colour = struct.unpack_from(">IIBB", start, 16)
        return Peek(png.mode_of(depth, colour), width * height)
    if start[:2] == b"BM":
        width, height, _, bits = struct.unpack_from("<iiHH", start, 18)
        return Peek({1: "1", 4: "P", 8: "P", 32: "RGBA"}.get(bits, "RGB"), abs(width * height))
    if start[:1] == b"P" and start[1:2] in b"123456":
        width, height, *_ = map(int, start[2:].split(maxsplit=2)[:2])
        return Peek({1: "1", 2: "L", 0: "RGB"}[int(start[1:2]) % 3], width * height)
    if start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8L":
        bits = int.from_bytes(start[21:25], "little")
        return Peek("RGBA" if bits >> 28 & 1 else "RGB", ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1))
    return Peek("TIFF" if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else "file", size)
