"""What a picture is besides its pixels, and its bytes: mode (1 byte), width and height (varints)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bbcompress.images.errors import LimitExceeded
from bbcompress.varint import Malformed, Reader, write_varint

MAX_PIXELS = 1 << 28
"""Pixels of a picture, and of a segment's pictures together, as memory is some bytes a pixel; who means it may allow
more."""


class Layout(NamedTuple):
    """How pixels of a mode are held: ``(H, W)`` if ``channels`` is 1, else ``(H, W, channels)``."""

    code: int
    channels: int
    dtype: np.dtype[Any]

    def shape(self, width: int, height: int) -> tuple[int, ...]:
        return (height, width) if self.channels == 1 else (height, width, self.channels)


#: How samples are arranged; names are Pillow's, and a number for more than 8 bits. P are indices of a palette, and
#: CMYK any four channels but RGBA. Samples of 32 bits may be signed or floats: here they are the bits of these.
MODES = {
    mode: Layout(code, channels, np.dtype(f"u{bits // 8}"))
    for code, (mode, channels, bits) in enumerate(
        [
            ("1", 1, 8),
            ("L", 1, 8),
            ("LA", 2, 8),
            ("P", 1, 8),
            ("RGB", 3, 8),
            ("RGBA", 4, 8),
            ("CMYK", 4, 8),
            ("L16", 1, 16),
            ("LA16", 2, 16),
            ("RGB16", 3, 16),
            ("RGBA16", 4, 16),
            ("L32", 1, 32),
            ("LA32", 2, 32),
            ("RGB32", 3, 32),
            ("RGBA32", 4, 32),
        ]
    )
}


class Header(NamedTuple):
    """Mode and size."""

    mode: str
    width: int
    height: int

    def pack(self) -> bytes:
        """The bytes of this header: equal headers, and only those, give equal bytes."""
        return bytes([MODES[self.mode].code]) + write_varint(self.width) + write_varint(self.height)

    @classmethod
    def unpack(cls, reader: Reader, *, max_pixels: int) -> Header:
        """The header at ``reader``, of a picture of at least 1 and at most ``max_pixels`` pixels.

        Raises ``varint.Malformed``, or :class:`LimitExceeded` for more pixels.
        """
        code = reader.byte()
        if code >= len(MODES):
            raise Malformed("unknown picture mode")
        width, height = reader.varint(2**32), reader.varint(2**32)
        if width == 0 or height == 0:
            raise Malformed("a picture without pixels")
        if width * height > max_pixels:
            raise LimitExceeded(f"a picture of {width} x {height} pixels is over the limit of {max_pixels} pixels")
        return cls(list(MODES)[code], width, height)
