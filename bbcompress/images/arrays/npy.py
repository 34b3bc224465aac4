"""The format of `numpy.save`: a magic, a header in Python's syntax, and the array's bytes."""

from __future__ import annotations

import io
import math
import warnings

import numpy as np
from numpy.lib import format as npy_format

from bbcompress.images.arrays.shapes import span_of
from bbcompress.images.arrays.spans import Span
from bbcompress.images.errors import NotWhole

MAGIC = b"\x93NUMPY"
HEAD_BYTES = 1 << 14
"""In which headers are that numpy takes for safe."""
_READERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


def parse(head: bytes, offset: int = 0) -> tuple[Span, int]:
    """The pictures in a file that begins with ``head``, ``offset`` bytes from the start of a larger one, and how many
    bytes it must have. Raises :class:`NotWhole`.
    """
    stream = io.BytesIO(head[:HEAD_BYTES])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            shape, fortran_order, dtype = _READERS[npy_format.read_magic(stream)](stream)
    except Exception as error:  # the header is evaluated as literals, which may fail in ways that nobody has listed
        raise NotWhole("damaged .npy") from error
    if dtype not in (np.bool_, np.uint8, np.uint16, np.dtype(">u2")):
        raise NotWhole(f".npy of {dtype}")
    if fortran_order:
        raise NotWhole(".npy in Fortran order")
    bits = 1 if dtype == np.bool_ else 8 * dtype.itemsize
    span = span_of(offset + stream.tell(), shape, bits, dtype.newbyteorder("=") != dtype)
    return span, stream.tell() + math.prod(shape) * dtype.itemsize
