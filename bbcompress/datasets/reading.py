"""What every reader shares: the error, and the checks that come before memory is taken."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MAX_UNPACKED_BYTES = 1 << 32
"""The most pixels that a compressed source may unpack to; a small file can declare any amount. ImageNet at
32 x 32, the largest set in common use, has 3.9e9."""

_CHUNK_BYTES = 1 << 20


class Readable(Protocol):
    """A binary stream, as far as the readers use it: plain, gzip and zip streams have no other common type."""

    def read(self, size: int = -1, /) -> bytes: ...


class DatasetError(ValueError):
    """A source that gives no images: one line that names it and says why, or what to do."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside becomes a `DatasetError` that begins with `path`."""
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    # On damaged input Pillow, zipfile, gzip and numpy raise a dozen unrelated types, in no documented set.
    except Exception as error:
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DatasetError(f"{path}: cannot be read, check that it is whole and readable ({detail})") from error


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(N, H, W, C) for a declared shape (N, H, W) or (N, H, W, C); `DatasetError` for one that is not of images."""
    if len(shape) not in (3, 4):
        raise DatasetError(f"holds an array of {len(shape)} dimensions; images are (N, H, W) or (N, H, W, C)")
    count, height, width, channels = shape if len(shape) == 4 else (*shape, 1)
    if 0 in shape:
        raise DatasetError(f"holds no pixels: its shape is {shape}")
    if channels > 4:
        raise DatasetError(f"has {channels} channels, of 4 at most: its shape {shape} should be (N, H, W, C)")
    return count, height, width, channels


def read_pixels(stream: Readable, shape: tuple[int, ...], limit: int) -> NDArray[np.uint8]:
    """The rest of `stream` as a uint8 array of `shape`.

    `limit` is the most bytes that the stream can or may give. Memory grows with what is really read, and
    `DatasetError` is raised unless that is exactly what `shape` needs.
    """
    count = math.prod(shape)
    if count > limit:
        raise DatasetError(f"declares {count} bytes of pixels, more than the {limit} possible: damaged or too large")
    data = bytearray()
    # One byte more than needed: it shows data left over, and makes gzip and zip check their CRC at the end.
    while chunk := stream.read(min(_CHUNK_BYTES, count + 1 - len(data))):
        data += chunk
    if len(data) != count:
        found = "more" if len(data) > count else f"only {len(data)}"
        raise DatasetError(f"declares {count} bytes of pixels but holds {found}: fetch or make it again")
    return np.frombuffer(data, np.uint8).reshape(shape)


def squares(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Images (N, H, W, C) cut into squares (M, side, side, C), image by image; without what is left right and below."""
    count, height, width, channels = images.shape
    rows, columns = height // side, width // side
    whole = images[:, : rows * side, : columns * side].reshape(count, rows, side, columns, side, channels)
    return np.ascontiguousarray(whole.swapaxes(2, 3)).reshape(-1, side, side, channels)
