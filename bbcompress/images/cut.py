"""Files whose pixels are as they are, with bytes before and after them: metadata are the file without its pixels.

Metadata: the number of bytes before the pixels as a varint, these, and the bytes after the pixels.
"""

from __future__ import annotations

from typing import NamedTuple

from bbcompress.images.errors import NotWhole
from bbcompress.varint import Reader, write_varint


class Cut(NamedTuple):
    """A file in three parts."""

    head: bytes
    pixels: bytes
    tail: bytes

    def metadata_body(self) -> bytes:
        return write_varint(len(self.head)) + self.head + self.tail


def cut(data: bytes, start: int, size: int) -> Cut:
    """The parts of a file with `size` bytes of pixels at `start`. Raises :class:`NotWhole` where it is shorter."""
    if start + size > len(data):
        raise NotWhole("damaged image: cut short")
    return Cut(data[:start], data[start : start + size], data[start + size :])


def head_and_tail(body: bytes) -> tuple[bytes, bytes]:
    """Of metadata; raises ``varint.Malformed``."""
    reader = Reader(body)
    return reader.take(reader.varint(len(body))), reader.rest()
