"""How a batch's symbols are dealt out to streams: what encoder and decoder of pictures coded coarse to fine share."""

from collections.abc import Sequence

import numpy as np

from bbcompress.codec.lattice_walk import Shape, stages
from bbcompress.coding.shapes import CLASSES_PER_OCTAVE, LOGISTIC, MEAN_BITS, ScaledShapes

STREAM_SYMBOLS = 1 << 22
"""A stream is full once it has so many: an encoder holds all intervals of one."""


def sizes(shapes: Sequence[Shape], channels: int) -> list[list[int]]:
    """Of all parts of all channels, stream by stream; the first part is the pixels at the top left."""
    found: list[list[int]] = [[channels * sum(shape.pictures for shape in shapes)]]
    symbols = found[0][0]
    for stage in stages(shapes):
        for _ in range(channels):
            for part in stage.parts:
                if symbols >= STREAM_SYMBOLS:
                    found.append([])
                    symbols = 0
                found[-1].append(part.size)
                symbols += part.size
    return found


def corners(count: int, depth: int) -> ScaledShapes:
    """Distributions of the pixels at the top left, of which nothing is known."""
    middle, wide = np.full(count, 1 << (depth - 1 + MEAN_BITS)), np.full(count, CLASSES_PER_OCTAVE * (depth + 3))
    return ScaledShapes(depth, middle, wide, LOGISTIC)
