"""Sections 18.1 and 18.2: scales, stages, places, and what lies at them."""

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
#: Row and column of each part, in half strides.
PARTS = [(0, 0), (1, 1), (0, 1), (1, 0)]
ITSELF = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
FAR, NEAR = 3.2, 2.3
Place = tuple[int, int, int]
"""Part, rows, columns."""


def strides(height: int, width: int) -> list[int]:
    stride = 1
    while stride < max(height, width):
        stride *= 2
    found = []
    while stride > 1:
        found.append(stride)
        stride //= 2
    return found


@cache
def places(stage: int, reach: float) -> list[Place]:
    r, c = PARTS[stage]
    found = []
    for part in range(stage):
        for a in range(-2, 3):
            for b in range(-2, 3):
                square = (2 * a + PARTS[part][0] - r) ** 2 + (2 * b + PARTS[part][1] - c) ** 2
                if square <= reach**2:
                    found.append((square, part, a, b))
    return [place for _, *place in sorted(found)]  # type: ignore[misc]


def part_of(plane: Integers, stride: int, part: int) -> Integers:
    """A view of what a part has of (.., H, W)."""
    row, column = (half * stride // 2 for half in PARTS[part])
    return plane[..., row::stride, column::stride]


def at(plane: Integers, stride: int, stage: int, place: Place) -> Integers:
    """For each pixel of a stage what lies at a place of it, in (N, H, W)."""
    part, a, b = place
    rows, columns = part_of(plane, stride, stage).shape[-2:]
    seen = part_of(plane, stride, part)
    if not seen.size:
        seen = part_of(plane, stride, 0)
    down = np.clip(np.arange(rows) + a, 0, seen.shape[-2] - 1)
    across = np.clip(np.arange(columns) + b, 0, seen.shape[-1] - 1)
    return seen[..., down[:, None], across[None, :]]


def pieces(pictures: int, rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Pictures and rows of each piece of a stage's part."""
    if not rows * columns:
        return
    together = max(1, (1 << 14) // (rows * columns))
    most = max(1, (1 << 14) // columns, min(32, (1 << 17) // columns))
    high = math.ceil(rows / math.ceil(rows / most))
    for picture in range(0, pictures, together):
        for row in range(0, rows, high):
            yield slice(picture, picture + together), slice(row, row + high)
