"""CIFAR-10 and CIFAR-100 batches of 32 x 32 RGB images, as `bbcompress.images.arrays.cifar` finds them."""

import numpy as np
from numpy.typing import NDArray

from bbcompress.datasets.reading import DatasetError, Readable, read_pixels
from bbcompress.images.arrays.cifar import LABEL_LIMITS, PICTURE_BYTES, Refused, pickled_data


def read(stream: Readable, size: int) -> NDArray[np.uint8]:
    """(N, 32, 32, 3) uint8 from a batch of `size` bytes, of either version."""
    data = read_pixels(stream, (size,), size)
    # Every protocol 2 pickle starts with 0x80; a binary batch starts with a label below 20.
    rows = _python_rows(data.tobytes()) if data[:1].tobytes() == b"\x80" else _binary_rows(data)
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _binary_rows(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    for limits in LABEL_LIMITS:
        row_bytes = len(limits) + PICTURE_BYTES
        if data.size and data.size % row_bytes == 0:
            rows = data.reshape(-1, row_bytes)
            if np.all(rows[:, : len(limits)] < limits):
                return rows[:, len(limits) :]
    raise DatasetError("is not a CIFAR binary batch (rows of 3073 or 3074 bytes that begin with a label)")


def _python_rows(batch: bytes) -> NDArray[np.uint8]:
    try:
        found = pickled_data(batch)
    except Refused as error:
        raise DatasetError(str(error)) from error
    return np.frombuffer(found.pixels.encode("latin-1"), np.uint8).reshape(found.pictures, PICTURE_BYTES)
