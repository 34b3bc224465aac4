"""The IDX format of MNIST: two zero bytes, element type, number of dimensions, big-endian sizes, data.

Source: "The MNIST database", Y. LeCun, C. Cortes, C. Burges, section "File formats".
"""

import struct

import numpy as np
from numpy.typing import NDArray

from bbcompress.datasets.reading import DatasetError, Readable, image_shape, read_pixels

_UNSIGNED_BYTE = 0x08


def read(stream: Readable, limit: int) -> NDArray[np.uint8]:
    """(N, H, W, C) uint8 from an unpacked IDX stream of 3 dimensions (C = 1) or 4; at most `limit` bytes."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\x00\x00":
        raise DatasetError("is not an IDX file; unpack other compressed files first")
    element, dimensions = magic[2:]
    if element != _UNSIGNED_BYTE:
        raise DatasetError(f"is an IDX file of element type 0x{element:02x}; only unsigned bytes (0x08) are images")
    if dimensions == 1:
        raise DatasetError("is an IDX file of labels; give the one with the images")
    if dimensions not in (3, 4):
        raise DatasetError(f"is an IDX file of {dimensions} dimensions; images have 3 or 4")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DatasetError("is an IDX file that ends within its header: fetch or make it again")
    return read_pixels(stream, image_shape(struct.unpack(f">{dimensions}I", sizes)), limit)
