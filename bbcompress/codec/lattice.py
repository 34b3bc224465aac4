"""Pictures coarse to fine: every other pixel of every other row first, then what lies between, again and again.

A *scale* of stride s knows the pixels (s i, s j), and holds three *stages* more: those half a stride below and to the
right, those to the right, those below. Together they are what the next scale, of stride s / 2, knows. The coarsest
scale knows one pixel. All that a stage's pixels are predicted from has been coded before, so that they depend on each
other only through channels: each stage is coded channel by channel, and all its pixels of a channel at once.

Neighbours are the same at all scales, in strides. Outside the picture a neighbour is the nearest pixel of its stage.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
"""Pixels or errors, integers (C, N, h, w)."""

KNOWN, DIAGONAL, RIGHT, BELOW = range(4)
"""What a scale consists of: the pixels known before, and its three stages in their order."""
STAGES = (DIAGONAL, RIGHT, BELOW)
_OFFSETS = {KNOWN: (0, 0), DIAGONAL: (1, 1), RIGHT: (0, 1), BELOW: (1, 0)}
"""Rows and columns in half strides."""
MARGIN = 3
"""Rows and columns around the arrays of a scale, so that every neighbour is in them."""
OWN_REACH, OTHER_REACH = 3.2, 2.3
"""Neighbours in the own channel, and in others, are this near, in half strides."""


class Tap(NamedTuple):
    """A neighbour: in which part of the scale, of which channel, and how many places from a pixel's own."""

    part: int
    channel: int
    rows: int
    columns: int


@cache
def places(stage: int, reach: float) -> tuple[tuple[int, int, int], ...]:
    """(part, rows, columns) of the places around a pixel of the stage that are known before it, nearest first."""
    row, column = _OFFSETS[stage]
    found = []
    for part in range(stage):
        for i in range(-2, 3):
            for j in range(-2, 3):
                away = (2 * i + _OFFSETS[part][0] - row) ** 2 + (2 * j + _OFFSETS[part][1] - column) ** 2
                if away <= reach * reach:
                    found.append((away, part, i, j))
    return tuple(place[1:] for place in sorted(found))


RING = ((0, 1), (0, -1), (1, 0), (-1, 0))
"""The nearest places of the same stage, where channels before are known."""


class Planes(NamedTuple):
    """What is known of pixels, each (C, N, h, w) in the same places."""

    pixels: Values
    errors: Values
    """Magnitudes of what predictors were off by (`bbcompress.codec.predictor`)."""
    relative: Values
    """The same with signs, in units of what was expected (`bbcompress.codec.corrector`); (0, ...) without networks."""


class Scale:
    """The parts of one scale of N pictures of one size, by part: integers (C, N, h + 6, w + 6) with margins."""

    def __init__(self, stride: int, known: Planes, height: int, width: int):
        self.stride = stride
        self.height, self.width = height, width
        self.pixels, self.errors, self.relative = (self._parts(_with_margin(plane)) for plane in known)

    def size(self, part: int) -> tuple[int, int]:
        """Rows and columns of a part."""
        return size(part, self.stride, self.height, self.width)

    def positions(self, part: int, rows: slice, columns: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the picture that some rows and columns of a part are."""
        row, column = (offset * self.stride // 2 for offset in _OFFSETS[part])
        return row + self.stride * np.r_[rows], column + self.stride * np.r_[columns]

    def inside(self, arrays: list[Values], part: int, channel: int) -> Values:
        """A part's channel (N, h, w) without margins, a view."""
        rows, columns = self.size(part)
        return arrays[part][channel, :, MARGIN : MARGIN + rows, MARGIN : MARGIN + columns]

    def extend(self, part: int, channel: int, pictures: slice = slice(None), rows: slice = slice(None)) -> None:
        """Fill the margins beside some rows of a channel, and those above and below it, once what they repeat is
        known."""
        high, wide = self.size(part)
        if not (high and wide):
            return
        first, last, _ = rows.indices(high)
        for arrays in self._all():
            whole = arrays[part][channel, pictures]
            band = whole[:, MARGIN + first : MARGIN + last]
            band[:, :, :MARGIN] = band[:, :, MARGIN : MARGIN + 1]
            band[:, :, -MARGIN:] = band[:, :, -MARGIN - 1 : -MARGIN]
            if first == 0:
                whole[:, :MARGIN] = whole[:, MARGIN : MARGIN + 1]
            if last == high:
                whole[:, -MARGIN:] = whole[:, -MARGIN - 1 : -MARGIN]

    def join(self) -> Planes:
        """All parts as one: what the next scale knows."""
        half = self.stride // 2
        rows, columns = len(range(0, self.height, half)), len(range(0, self.width, half))
        joined = []
        for arrays in self.pixels, self.errors, self.relative:
            channels, pictures = arrays[KNOWN].shape[:2]
            whole = np.empty((channels, pictures, rows, columns), arrays[KNOWN].dtype)
            for part, (row, column) in _OFFSETS.items():
                for channel in range(channels):
                    whole[channel, :, row::2, column::2] = self.inside(arrays, part, channel)
            joined.append(whole)
        return Planes(*joined)

    def split(self, picture: Values, part: int) -> Values:
        """A part's pixels (C, N, h, w) of whole pictures (C, N, H, W)."""
        half, (row, column) = self.stride // 2, _OFFSETS[part]
        return picture[:, :, row * half :: self.stride, column * half :: self.stride]

    def _all(self) -> list[list[Values]]:
        """Arrays of all kinds of values that there are."""
        return [arrays for arrays in (self.pixels, self.errors, self.relative) if len(arrays[KNOWN])]

    def _parts(self, known: Values) -> list[Values]:
        return [known, *(self._unknown(known, stage) for stage in STAGES)]

    def _unknown(self, known: Values, stage: int) -> Values:
        """A stage's, given the known part with its margins; without pixels it is what is known."""
        rows, columns = self.size(stage)
        shape = rows + 2 * MARGIN, columns + 2 * MARGIN
        if rows and columns:
            return np.zeros((*known.shape[:2], *shape), known.dtype)
        more = [(0, max(0, size - have)) for size, have in zip(shape, known.shape[2:], strict=True)]
        return np.pad(known, ((0, 0), (0, 0), *more), mode="edge")[:, :, : shape[0], : shape[1]]


def size(part: int, stride: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a part of the scale of a picture."""
    row, column = (offset * stride // 2 for offset in _OFFSETS[part])
    return len(range(row, height, stride)), len(range(column, width, stride))


def strides(height: int, width: int) -> Iterator[int]:
    """Of all scales of a picture, coarsest first; none of a picture of one pixel."""
    stride = 1 << (max(height, width) - 1).bit_length()
    while stride > 1:
        yield stride
        stride //= 2


def _with_margin(inner: Values) -> Values:
    return np.pad(inner, ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), mode="edge")
