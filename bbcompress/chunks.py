"""Chunks of arrays of images as bytes, and back: what the codecs for numcodecs and Zarr have in common."""

import numpy as np

from bbcompress.api import compress, compress_many, open
from bbcompress.images.errors import ImageError
from bbcompress.images.values import Array

_COLOURS = (3, 4)


def pack(chunk: Array, effort: int, model: str) -> bytes:
    """A chunk of bool, uint8 or uint16: (..., H, W, C) where C is 3 or 4, else (..., H, W), each of them an image.

    Raises ImageError for chunks of other types and shapes.
    """
    if chunk.ndim < 2 or not chunk.size:
        raise ImageError(f"a chunk of shape {chunk.shape} has no images; chunks are (N, H, W, C), (N, H, W), (H, W)")
    if not chunk.dtype.isnative:
        raise ImageError(f"chunks of {chunk.dtype} would come back in another order of bytes; use {chunk.dtype.name}")
    is_colour = chunk.ndim > 2 and chunk.shape[-1] in _COLOURS and chunk.dtype != bool
    one = chunk.shape[-3:] if is_colour else chunk.shape[-2:]
    if chunk.ndim > 3 and chunk.shape[-1] == 1:
        one = chunk.shape[-3:-1]
    images = np.ascontiguousarray(chunk).reshape(-1, *one)
    if len(images) == 1:
        return compress(images[0], effort=effort, model=model)
    return compress_many(images, effort=effort, model=model)


def unpack(data: bytes) -> Array:
    """The images, one after another in an array, whatever shape the chunk had. Raises an ArchiveError."""
    with open(data) as archive:
        return np.stack(archive[:])
