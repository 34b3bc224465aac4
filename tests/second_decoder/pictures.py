"""Section 5: pictures and their digests."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from second_decoder.reading import Damaged, Reader, sha256

#: Name, channels and bytes of a sample, by number.
MODES = [
    ("1", 1, 1),
    ("L", 1, 1),
    ("LA", 2, 1),
    ("P", 1, 1),
    ("RGB", 3, 1),
    ("RGBA", 4, 1),
    ("CMYK", 4, 1),
    ("L16", 1, 2),
    ("LA16", 2, 2),
    ("RGB16", 3, 2),
    ("RGBA16", 4, 2),
    ("L32", 1, 4),
    ("LA32", 2, 4),
    ("RGB32", 3, 4),
    ("RGBA32", 4, 4),
]
NUMBERS = {mode[0]: number for number, mode in enumerate(MODES)}


class Header(NamedTuple):
    mode: str
    width: int
    height: int

    @property
    def channels(self) -> int:
        return MODES[NUMBERS[self.mode]][1]

    @property
    def sample_bytes(self) -> int:
        return MODES[NUMBERS[self.mode]][2]

    def pack(self) -> bytes:
        return bytes([NUMBERS[self.mode]]) + varint(self.width) + varint(self.height)


def read_header(reader: Reader) -> Header:
    number = reader.byte()
    if number >= len(MODES):
        raise Damaged("an unknown mode")
    width = reader.varint(1, 1 << 32)
    return Header(MODES[number][0], width, reader.varint(1, 1 << 32))


class Picture(NamedTuple):
    mode: str
    pixels: NDArray[np.integer]
    """(height, width, channels)."""

    @property
    def header(self) -> Header:
        return Header(self.mode, self.pixels.shape[1], self.pixels.shape[0])

    def pixel_bytes(self) -> bytes:
        return self.pixels.astype(f"<u{self.header.sample_bytes}").tobytes()


Item = Picture | bytes
"""A picture, or a kept file."""


def digest(item: Item) -> bytes:
    return sha256(item if isinstance(item, bytes) else item.header.pack() + item.pixel_bytes())


def pictures_digest(items: list[Item]) -> bytes:
    return sha256(b"".join(map(digest, items)))


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
