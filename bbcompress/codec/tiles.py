"""Images of any size as tiles: squares of one size, and what is left over at the right and below."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from bbcompress.codec.model import Pixels, ScaleShifts

Size = tuple[int, int]
"""Height and width."""


class Tile(NamedTuple):
    """Where a tile of some size lies."""

    image: int
    top: int
    left: int


class TileGroup(NamedTuple):
    """All tiles of one size and one run of pictures, in the order of a chain."""

    size: Size
    shifts: ScaleShifts
    tiles: list[Tile]


def tiling(sizes: Sequence[Size], tile: int, shifts: Sequence[ScaleShifts]) -> list[TileGroup]:
    """The tiles of images of these sizes, at most `tile` high and wide: large sizes first, then image by image.

    Neighbouring images with the same scale shifts are a run.
    """
    groups: dict[Size, list[TileGroup]] = {}
    images = zip(range(len(sizes)), sizes, shifts, strict=True)
    for own, run in groupby(images, lambda image: image[2]):
        of_run: dict[Size, list[Tile]] = {}
        for image, (height, width), _ in run:
            for top in range(0, height, tile):
                for left in range(0, width, tile):
                    size = min(tile, height - top), min(tile, width - left)
                    of_run.setdefault(size, []).append(Tile(image, top, left))
        for size, tiles in of_run.items():
            groups.setdefault(size, []).append(TileGroup(size, own, tiles))
    return [group for size in sorted(groups, reverse=True) for group in groups[size]]


def cut(images: Sequence[Pixels], groups: Sequence[TileGroup]) -> Iterator[Pixels]:
    """Each group's tiles of images (H, W, C), (tiles, height * width * C)."""
    for (height, width), _, tiles in groups:
        parts = [images[tile.image][tile.top :][:height, tile.left :][:, :width] for tile in tiles]
        yield np.stack(parts).reshape(len(tiles), -1)


def join(parts: Sequence[Pixels], groups: Sequence[TileGroup], sizes: Sequence[Size], channels: int) -> list[Pixels]:
    """The inverse of `cut`: images (H, W, channels)."""
    images = [np.empty((*size, channels), np.uint8) for size in sizes]
    for rows, ((height, width), _, tiles) in zip(parts, groups, strict=True):
        for row, tile in zip(rows, tiles, strict=True):
            place = images[tile.image][tile.top :][:height, tile.left :][:, :width]
            place[:] = row.reshape(height, width, channels)
    return images
