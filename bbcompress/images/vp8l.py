"""Any 8-bit pixels of up to four channels as a lossless WebP (VP8L) bitstream without its container.

One channel travels as grey RGB, two as grey RGB and alpha, three as RGB, four as RGBA, whatever
they mean. VP8L is specified at https://developers.google.com/speed/webp/docs/webp_lossless_bitstream_specification
"""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from bbcompress.images.errors import ImageError

#: Sides are 14 bits. The number of pixels stays under the limit where Pillow warns, now and in later versions.
_MAX_SIDE = (1 << 14) - 1  # libwebp's encoder stops one short of the format
_MAX_PIXELS = 1 << 26
#: Method 6 costs up to 40 microseconds a pixel, ten times method 5, and rarely helps large pictures.
_SLOW_PIXELS = 1 << 14

_CONTAINER = struct.Struct("<4sI4s4sI")  # "RIFF", bytes to come, "WEBP", "VP8L", payload bytes


def encode(pixels: npt.NDArray[np.uint8]) -> bytes | None:
    """The VP8L bitstream of ``(H, W, C)`` pixels, or None where this Pillow or WebP cannot hold them."""
    height, width, channels = pixels.shape
    if not features.check("webp") or not _fits(width, height):
        return None
    image = Image.frombytes(("L", "LA", "RGB", "RGBA")[channels - 1], (width, height), pixels.tobytes())
    image = image.convert("RGB" if channels % 2 else "RGBA")
    methods = (5, 6) if width * height <= _SLOW_PIXELS else (5,)
    return min((_bitstream(image, method) for method in methods), key=len)


def _fits(width: int, height: int) -> bool:
    return max(width, height) <= _MAX_SIDE and width * height <= _MAX_PIXELS


def _bitstream(image: Image.Image, method: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True, exact=True, quality=100, method=method)
    data = out.getvalue()
    *_, chunk, size = _CONTAINER.unpack_from(data)
    assert chunk == b"VP8L", "a lossless file without metadata is one chunk"
    return data[_CONTAINER.size :][:size]


def decode(data: bytes, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """The ``(H, W, C)`` uint8 pixels of a bitstream; ``ValueError`` where it is damaged or of another size.

    Raises :class:`ImageError` where this Pillow was built without WebP.
    """
    if not features.check("webp"):
        raise ImageError("this picture needs a Pillow with WebP support; install one from PyPI")
    height, width, channels = shape
    if not _fits(width, height):
        raise ValueError("too large for WebP")
    # The size is checked before libwebp allocates by it: signature, 14 bits of width - 1, 14 of height - 1.
    bits = int.from_bytes(data[1:5], "little")
    if len(data) < 5 or data[0] != 0x2F or (bits & 0x3FFF, bits >> 14 & 0x3FFF) != (width - 1, height - 1):
        raise ValueError("a WebP bitstream of another size")
    padding = b"\0" * (len(data) % 2)
    head = _CONTAINER.pack(b"RIFF", 12 + len(data) + len(padding), b"WEBP", b"VP8L", len(data))
    try:
        with Image.open(io.BytesIO(head + data + padding), formats=["WEBP"]) as image:
            plain = image.convert("RGB" if channels % 2 else "RGBA")
    except Exception as error:  # libwebp's failures surface as several types
        raise ValueError("damaged WebP bitstream") from error
    pixels = np.asarray(plain)
    if channels <= 2:  # grey: red, green and blue are equal; alpha is the second channel
        pixels = pixels[..., -channels:]
    return pixels
