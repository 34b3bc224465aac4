"""How a batch's symbols are dealt out to streams: what encoder and decoder of pictures coded coarse to fine share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.lattice_walk import Shape, stages
from bbcompress.coding.shapes import CLASSES_PER_OCTAVE, LOGISTIC, MEAN_BITS, ScaledShapes

STREAM_SYMBOLS = 1 << 22
"""A stream is full once it has so many: an encoder holds all intervals of one."""


def sizes(shapes: Sequence[Shape], channels: int) -> list[list[int]]:
    """Of all parts of all channels, stream by stream; the first two are the pixels at the top left, of the first
    channel and of the others."""
    pictures = sum(shape.pictures for shape in shapes)
    found = [[pictures, (channels - 1) * pictures]]
    symbols = channels * pictures
    for stage in stages(shapes):
        for _ in range(channels):
            for part in stage.parts:
                if symbols >= STREAM_SYMBOLS:
                    found.append([])
                    symbols = 0
                found[-1].append(part.size)
                symbols += part.size
    return found


def first_corners(count: int, depth: int) -> ScaledShapes:
    """Distributions of the first channel's pixels at the top left, of which nothing is known."""
    middle, wide = np.full(count, 1 << (depth - 1 + MEAN_BITS)), np.full(count, CLASSES_PER_OCTAVE * (depth + 3))
    return ScaledShapes(depth, middle, wide, LOGISTIC)


def other_corners(first: Sequence[NDArray[Any]], channels: int, depth: int) -> ScaledShapes:
    """Of the other channels', which are like the first one's, of which are known those of each group."""
    means = np.concatenate([np.tile(of_group.astype(np.int64) << MEAN_BITS, channels - 1) for of_group in first])
    wide = CLASSES_PER_OCTAVE * depth + CLASSES_PER_OCTAVE // 2
    return ScaledShapes(depth, means, np.full(len(means), wide), LOGISTIC)
