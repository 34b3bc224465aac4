"""What a picture's file holds besides the pixels: which format it has, and its other bytes in a form of that format.

From pixels and metadata the module of the format makes a file that is the same in every sample, chunk and tag.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from bbcompress.varint import Malformed, Reader

MAX_BYTES = 1 << 24
"""Of one picture's metadata."""


class Format(IntEnum):
    """Formats of files that are known to come back whole. The numbers are in files."""

    PNG = 0
    TIFF = 1
    BMP = 2
    PNM = 3
    WEBP = 4
    ARRAY = 5


class Metadata(NamedTuple):
    """By default those of a PNG file of nothing but pixels."""

    format: Format = Format.PNG
    body: bytes = b""
    """As the module of the format says."""

    def pack(self) -> bytes:
        """Equal metadata, and only those, give equal bytes."""
        return bytes([self.format]) + self.body

    @classmethod
    def unpack(cls, data: bytes) -> Metadata:
        """The inverse of :meth:`pack`; raises ``varint.Malformed``."""
        reader = Reader(data)
        number = reader.byte()
        if number not in set(Format):
            raise Malformed("metadata of an unknown file format")
        return cls(Format(number), reader.rest())


NO_METADATA = Metadata()
