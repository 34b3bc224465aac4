"""The order in which pictures of several sizes are coded coarse to fine, and what is known of them on the way.

Pictures come in groups of one size each. All groups go through scales and stages together, in *pieces* that are
computed at once.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bbcompress.codec import lattice
from bbcompress.codec.lattice import STAGES, Planes, Scale, Values
from bbcompress.codec.predictor import Piece

PIECE_PIXELS = 1 << 14
"""Of a stage, computed at once: few enough for the processor's cache."""
PIECE_ROWS = 32
"""Of wide pictures: networks also see some rows beyond a piece, which are computed more than once."""
LARGEST_PIECE_PIXELS = 1 << 17
"""Of pictures wider than that allows."""


class Shape(NamedTuple):
    """So many pictures of one size."""

    pictures: int
    height: int
    width: int


class Part(NamedTuple):
    """Pixels of a stage that are computed at once: a piece of the pictures of one group."""

    group: int
    piece: Piece

    @property
    def size(self) -> int:
        return int(np.prod(self.piece.shape))


class Stage(NamedTuple):
    """A stage of a scale, of all groups that have it."""

    stride: int
    stage: int
    parts: list[Part]


def stages(shapes: Sequence[Shape]) -> Iterator[Stage]:
    """All stages, coarse to fine, in the order of their decoding."""
    first = [next(lattice.strides(shape.height, shape.width), 1) for shape in shapes]
    stride = max(first)
    while stride > 1:
        groups = [group for group, largest in enumerate(first) if largest >= stride]
        for stage in STAGES:
            sizes = ((group, lattice.size(stage, stride, *shapes[group][1:])) for group in groups)
            yield Stage(
                stride,
                stage,
                [Part(group, piece) for group, size in sizes for piece in _pieces(shapes[group].pictures, *size)],
            )
        stride //= 2


def parts(shapes: Sequence[Shape], channels: int) -> int:
    """At least how many parts batches of these shapes have, in all channels: each takes a while, however small."""
    found = 0
    for shape in shapes:
        scales = sum(1 for _ in lattice.strides(shape.height, shape.width))
        found += channels * len(STAGES) * (scales + shape.pictures * shape.height * shape.width // PIECE_PIXELS)
    return found


def _pieces(pictures: int, rows: int, columns: int) -> Iterator[Piece]:
    """A stage's pixels, some pictures or some rows of one at a time."""
    if not rows * columns:
        return
    many = max(1, PIECE_PIXELS // (rows * columns))
    most = max(1, PIECE_PIXELS // columns, min(PIECE_ROWS, LARGEST_PIECE_PIXELS // columns))
    few = -(-rows // -(-rows // most))
    for picture in range(0, pictures, many):
        for row in range(0, rows, few):
            part = slice(picture, min(picture + many, pictures), 1), slice(row, min(row + few, rows), 1)
            yield Piece(*part, slice(0, columns, 1))


class Walk:
    """The scales of all groups, from the pixels at the top left on."""

    def __init__(self, shapes: Sequence[Shape], depth: int, corners: Sequence[Values], corrected: bool):
        self._shapes = shapes
        self._first = [next(lattice.strides(shape.height, shape.width), 1) for shape in shapes]
        error_type = np.uint16 if depth <= 13 else np.uint32
        self._known = [
            Planes(
                corner,
                np.zeros(corner.shape, error_type),
                np.full(corner.shape if corrected else (0, *corner.shape[1:]), 128, np.uint8),
            )
            for corner in corners
        ]
        self.scales: dict[int, Scale] = {}
        """Of the groups that have the present stride."""
        self._stride = 0

    def reach(self, stride: int) -> None:
        """Go on to the scale of this stride, where that is another."""
        if stride == self._stride:
            return
        self._join()
        self._stride = stride
        for group, largest in enumerate(self._first):
            if largest >= stride:
                self.scales[group] = Scale(stride, self._known[group], *self._shapes[group][1:])

    def finished(self) -> list[Values]:
        """The whole pictures (C, N, H, W) of each group."""
        self._join()
        return [known.pixels for known in self._known]

    def _join(self) -> None:
        for group, scale in self.scales.items():
            self._known[group] = scale.join()
        self.scales = {}
