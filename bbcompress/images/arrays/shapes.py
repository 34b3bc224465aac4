"""Which pictures an array is, by its shape."""

from __future__ import annotations

import math

from bbcompress.images.arrays.spans import MAX_SIDE, Span
from bbcompress.images.errors import NotWhole
from bbcompress.images.header import Header

_COLOURS = {1: "L", 3: "RGB", 4: "RGBA"}


def span_of(offset: int, shape: tuple[int, ...], bits: int, big_endian: bool = False) -> Span:
    """The pictures of an array in C order of 1 (a byte each), 8 or 16 bits that begins at ``offset``.

    (..., H, W, C) where C is 1, 3 or 4 and there are at least 3 sides; (N, 3, H, W); else (..., H, W). So (H, W, 3) is
    one picture in colour. Raises :class:`NotWhole` for what has no pictures.
    """
    described = f"array of shape {shape}"
    if len(shape) < 2 or not all(shape) or len(shape) > 32:
        raise NotWhole(f"{described}, which is no images")
    channels, planar = 1, False
    height, width = shape[-2:]
    if len(shape) > 2 and shape[-1] in ((1,) if bits == 1 else _COLOURS):
        height, width, channels = shape[-3:]
    elif len(shape) == 4 and shape[1] == 3 and bits > 1:
        channels, planar = 3, True
    if max(height, width) > MAX_SIDE:
        raise NotWhole(f"{described}, which is larger than images may be")
    mode = "1" if bits == 1 else _COLOURS[channels] + ("16" if bits == 16 else "")
    count = math.prod(shape) // (height * width * channels)
    span = Span(offset, 0, count, Header(mode, width, height), planar, big_endian)
    return span._replace(stride=span.picture_bytes)
