"""Everything about a picture but its pixels: mode, size, palette, transparency; and its bytes.

Layout (integers are varints unless a width is given):

    1 byte      bits 0-4 mode (index in MODES), bits 5-6 kind of transparency, bit 7 zero
    width, height
    palette     modes P and PA only: 1 byte palette mode, number of entries, the entries
    transparency  kind 0: nothing; 1: an integer; 2: count, bytes; 3: count, integers
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bbcompress.images.errors import LimitExceeded
from bbcompress.varint import Malformed, Reader, write_varint

Transparency = int | bytes | tuple[int, ...] | None

#: Entries of a palette, and so of a table of alpha values for it.
MAX_ENTRIES = 256
#: PNG keeps transparent colours as 16-bit values, whatever the depth of the picture.
MAX_TRANSPARENT = 0xFFFF

#: A palette's mode and its bytes an entry. Only ever appended to: the index is in files.
PALETTE_MODES = {"RGB": 3, "RGBA": 4, "CMYK": 4}


class Layout(NamedTuple):
    """How pixels of a mode are held: ``(H, W)`` if ``channels`` is 1, else ``(H, W, channels)``."""

    code: int
    channels: int
    dtype: np.dtype[Any]

    def shape(self, width: int, height: int) -> tuple[int, ...]:
        return (height, width) if self.channels == 1 else (height, width, self.channels)


#: Pillow's modes. Only ever appended to: the index is in files.
MODES = {
    mode: Layout(code, channels, np.dtype(dtype))
    for code, (mode, channels, dtype) in enumerate(
        [
            ("1", 1, np.uint8),
            ("L", 1, np.uint8),
            ("LA", 2, np.uint8),
            ("La", 2, np.uint8),
            ("P", 1, np.uint8),
            ("PA", 2, np.uint8),
            ("RGB", 3, np.uint8),
            ("RGBX", 4, np.uint8),
            ("RGBA", 4, np.uint8),
            ("RGBa", 4, np.uint8),
            ("CMYK", 4, np.uint8),
            ("YCbCr", 3, np.uint8),
            ("LAB", 3, np.uint8),
            ("HSV", 3, np.uint8),
            ("I;16", 1, np.uint16),
            ("I;16L", 1, np.uint16),
            ("I;16B", 1, np.uint16),
            ("I;16N", 1, np.uint16),
            ("I", 1, np.int32),
            ("F", 1, np.float32),
        ]
    )
}


class Palette(NamedTuple):
    """The colours of a P or PA picture: ``data`` holds whole entries of ``mode``, at most 256."""

    mode: str
    data: bytes

    @property
    def entries(self) -> int:
        return len(self.data) // PALETTE_MODES[self.mode]


class Header(NamedTuple):
    """What a picture is besides its pixels."""

    mode: str
    width: int
    height: int
    palette: Palette | None
    transparency: Transparency

    def pack(self) -> bytes:
        """The bytes of this header: equal headers, and only those, give equal bytes."""
        kind, transparency = _pack_transparency(self.transparency)
        parts = [bytes([MODES[self.mode].code | kind << 5]), write_varint(self.width), write_varint(self.height)]
        if self.palette is not None:
            palette_code = list(PALETTE_MODES).index(self.palette.mode)
            parts += [bytes([palette_code]), write_varint(self.palette.entries), self.palette.data]
        return b"".join(parts) + transparency

    @classmethod
    def unpack(cls, reader: Reader, *, limit_pixels: int) -> Header:
        """The header at ``reader``, of a picture of at least 1 and at most ``limit_pixels`` pixels.

        Raises ``varint.Malformed``, or :class:`LimitExceeded` for more pixels.
        """
        first = reader.byte()
        code, kind = first & 0x1F, first >> 5
        if code >= len(MODES) or kind > 3:
            raise Malformed("unknown picture mode")
        mode = list(MODES)[code]
        width, height = reader.varint(2**32), reader.varint(2**32)
        if width == 0 or height == 0:
            raise Malformed("a picture without pixels")
        if width * height > limit_pixels:
            raise LimitExceeded(f"a picture of {width} x {height} pixels is over the limit of {limit_pixels} pixels")
        palette = _unpack_palette(reader) if mode in ("P", "PA") else None
        return cls(mode, width, height, palette, _unpack_transparency(kind, reader))


def _pack_transparency(value: Transparency) -> tuple[int, bytes]:
    if value is None:
        return 0, b""
    if isinstance(value, int):
        return 1, write_varint(value)
    if isinstance(value, bytes):
        return 2, write_varint(len(value)) + value
    return 3, write_varint(len(value)) + b"".join(map(write_varint, value))


def _unpack_transparency(kind: int, reader: Reader) -> Transparency:
    if kind == 0:
        return None
    if kind == 1:
        return reader.varint(MAX_TRANSPARENT)
    count = reader.varint(MAX_ENTRIES)
    if kind == 2:
        return reader.take(count)
    return tuple(reader.varint(MAX_TRANSPARENT) for _ in range(count))


def _unpack_palette(reader: Reader) -> Palette:
    code = reader.byte()
    if code >= len(PALETTE_MODES):
        raise Malformed("unknown palette mode")
    mode = list(PALETTE_MODES)[code]
    return Palette(mode, reader.take(reader.varint(MAX_ENTRIES) * PALETTE_MODES[mode]))
