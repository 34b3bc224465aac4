"""Arrays saved by numpy: `.npy`, and `.npz` with a single array."""

import zipfile
from typing import IO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from bbcompress.datasets.reading import MAX_UNPACKED_BYTES, DatasetError, Readable, image_shape, read_pixels


def read_npy(stream: Readable, limit: int) -> NDArray[np.uint8]:
    """(N, H, W, C) uint8 from a `.npy` stream of uint8 or bool; at most `limit` bytes."""
    if npy_format.read_magic(stream) != (1, 0):
        raise DatasetError("has a .npy version that images never need: save it again with numpy.save")
    shape, fortran_order, dtype = npy_format.read_array_header_1_0(stream)
    if dtype not in (np.uint8, np.bool_):
        raise DatasetError(f"holds {dtype}: convert it to uint8 (0 to 255) or bool first")
    full_shape = image_shape(shape)
    stored_shape = full_shape[::-1] if fortran_order else full_shape
    stored = read_pixels(stream, stored_shape, limit)
    images = np.ascontiguousarray(stored.T) if fortran_order else stored
    # A damaged file may hold any byte for a bool.
    return (images != 0).astype(np.uint8) if dtype == np.bool_ else images


def read_npz(stream: IO[bytes]) -> NDArray[np.uint8]:
    """(N, H, W, C) uint8 from a `.npz` stream that holds one array."""
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        if len(members) != 1:
            names = ", ".join(member.filename.removesuffix(".npy") for member in members[:8])
            raise DatasetError(f"holds {len(members)} arrays ({names}): save the images alone with numpy.save")
        # The other methods can unpack a few kilobytes to gigabytes in one step, whatever size is asked for.
        if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DatasetError("is packed with a method that numpy does not use: save it again with numpy.savez")
        with archive.open(members[0]) as member:
            return read_npy(member, MAX_UNPACKED_BYTES)
