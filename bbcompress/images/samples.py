"""Samples of less than a byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def unpack_bits(rows: npt.NDArray[np.uint8], bits: int, width: int) -> npt.NDArray[np.uint8]:
    """``(H, width)`` samples of 1, 2 or 4 ``bits``, the first in a byte's highest bits, from ``(H, B)`` bytes."""
    if bits == 1:
        return np.unpackbits(rows, axis=1, count=width)
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    samples = (rows[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return np.ascontiguousarray(samples.reshape(len(rows), -1)[:, :width])


def pack_bits(samples: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """The inverse of :func:`unpack_bits`; rows are padded with zero bits."""
    if bits == 1:
        return np.packbits(samples, axis=1)
    each = 8 // bits
    padded = np.pad(samples, ((0, 0), (0, -samples.shape[1] % each))).reshape(len(samples), -1, each)
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    packed: npt.NDArray[np.uint8] = np.bitwise_or.reduce(padded << shifts, axis=2).astype(np.uint8)
    return packed
