"""The IDX format of MNIST: two zero bytes, element type, number of dimensions, big-endian sizes, data.

Source: "The MNIST database", Y. LeCun, C. Cortes, C. Burges, section "File formats".
"""

from __future__ import annotations

import math
import struct

from bbcompress.images.arrays.shapes import span_of
from bbcompress.images.arrays.spans import Span
from bbcompress.images.errors import NotWhole

MAGIC = b"\0\0\x08"
"""Of unsigned bytes."""


def parse(head: bytes) -> tuple[Span, int]:
    """The pictures in a file that begins with ``head``, and how many bytes it must have. Raises :class:`NotWhole`."""
    dimensions = head[3] if len(head) > 3 else 0
    start = 4 + 4 * dimensions
    if dimensions not in (2, 3, 4) or len(head) < start:
        raise NotWhole("not an image")
    shape = struct.unpack_from(f">{dimensions}I", head, 4)
    return span_of(start, shape, 8), start + math.prod(shape)
