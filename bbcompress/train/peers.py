"""Other lossless coders of images, to compare with: those that are installed."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]
SHEET_COLUMNS = 100


class Coder(NamedTuple):
    """Bytes of pixels (H, W) or (H, W, 3), uint8 or uint16, of 0 and 1 where `bilevel`; and back, if there is a
    decoder."""

    encode: Callable[[Pixels, bool], bytes]
    decode: Callable[[bytes], Pixels] | None


def pillow(format: str, **options: Any) -> Coder:
    """By Pillow; raises where that cannot hold the pixels."""

    def encode(pixels: Pixels, bilevel: bool) -> bytes:
        if pixels.dtype != np.uint8 and (pixels.ndim == 3 or format != "PNG"):
            raise ValueError(f"{format} of these pixels")
        out = io.BytesIO()
        image = Image.fromarray(pixels * np.uint8(255) if bilevel else pixels)
        (image.convert("1") if bilevel and format == "PNG" else image).save(out, format, **options)
        return out.getvalue()

    return Coder(encode, lambda data: np.asarray(Image.open(io.BytesIO(data))))


def jpeg_xl(effort: int) -> Coder:
    """By imagecodecs, or Pillow with pillow-jxl-plugin. Raises ImportError."""
    try:
        codecs = import_module("imagecodecs")
    except ImportError:
        import_module("pillow_jxl")
        return pillow("JXL", lossless=True, effort=effort)

    def encode(pixels: Pixels, bilevel: bool) -> bytes:
        scaled = pixels * np.uint8(255) if bilevel else pixels
        data: bytes = codecs.jpegxl_encode(scaled, lossless=True, effort=effort, numthreads=1, usecontainer=False)
        return data

    return Coder(encode, partial(codecs.jpegxl_decode, numthreads=1))


def image_coders() -> Iterator[tuple[str, Coder]]:
    """Those that are installed, the best last."""
    yield "PNG", pillow("PNG", optimize=True)
    yield "WebP lossless", pillow("WEBP", lossless=True, quality=100, method=6)
    for effort in (7, 9):
        with suppress(ImportError):
            yield f"JPEG XL -e {effort}", jpeg_xl(effort)


def sheet(images: Sequence[Pixels]) -> Pixels:
    """Images of one size on a grid, zeros where there are none left."""
    columns = min(SHEET_COLUMNS, len(images))
    blank = np.zeros_like(images[0])
    filled = [*images, *[blank] * (-len(images) % columns)]
    rows = [np.concatenate(filled[first : first + columns], axis=1) for first in range(0, len(filled), columns)]
    return np.concatenate(rows)
