"""Pictures and kept files as the arrays that people have of images, and back."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bbcompress.images.arrays.files import values
from bbcompress.images.errors import ImageError
from bbcompress.images.files import file_bytes
from bbcompress.images.metadata import NO_METADATA, Format
from bbcompress.images.picture import Item, KeptFile, Picture

Array = npt.NDArray[Any]
"""``(H, W)`` or ``(H, W, C)``, bool, uint8 or uint16; of rarer pictures uint32."""
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_NOT_IN_PILLOW = ("LA16", "RGB16", "RGBA16", "LA32", "RGB32", "RGBA32")


def from_array(array: Array) -> Picture:
    """The picture that an array is. Raises :class:`ImageError` for an array that is none.

    >>> from_array(np.zeros((2, 3, 4), np.uint16)).header
    Header(mode='RGBA16', width=3, height=2)
    """
    array = np.asarray(array)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    channels = array.shape[2] if array.ndim == 3 else 1
    is_bilevel = array.dtype == bool
    if array.ndim not in (2, 3) or (array.ndim == 3 and (channels not in (2, 3, 4) or is_bilevel)) or not array.size:
        raise ImageError(f"an array of shape {array.shape} is no image: (H, W), or (H, W, C) of 2 to 4 channels, are")
    if is_bilevel:
        return Picture("1", array.astype(np.uint8))
    if array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"an array of {array.dtype} is no image: bool, uint8 and uint16 are")
    mode = _MODES[channels] + ("16" if array.dtype == np.uint16 else "")
    return Picture(mode, np.ascontiguousarray(array))


def to_array(item: Item) -> Array:
    """The pixels of an item, which are nobody else's; of mode 1 bool, of palettes the indices.

    Of an array file it is the array as the file has it; of a file that was kept, what Pillow reads. Raises
    :class:`ImageError` where that is nothing.
    """
    if isinstance(item, KeptFile):
        return np.array(to_image(item))
    if item.metadata.format == Format.ARRAY:
        return values(file_bytes(item))
    return item.pixels.astype(bool) if item.mode == "1" else item.pixels.copy()


def to_image(item: Item) -> Image.Image:
    """The item as Pillow reads its file, with palette and metadata. Raises :class:`ImageError` where Pillow cannot."""
    if isinstance(item, Picture) and item.mode in _NOT_IN_PILLOW:
        raise ImageError(f"Pillow has no images like those of mode {item.mode}; take the array")
    if isinstance(item, Picture) and item.metadata.format == Format.ARRAY:
        item = replace(item, metadata=NO_METADATA)
    try:
        image = Image.open(io.BytesIO(file_bytes(item)))
        image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"Pillow cannot read it as an image ({error}); take its bytes") from error
    return image
