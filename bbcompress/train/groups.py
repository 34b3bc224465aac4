"""Groups to train on: pictures of one size that share a fit, drawn as files have them.

Large pictures are coded by themselves, so that crops of one are a group; small ones share their predictors, so that a
group is of many.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bbcompress.archive.choose import CHAIN_PIXELS
from bbcompress.train.pictures import Pixels, depth_of

SIDE = 96
"""Largest height and width of what is drawn."""
GROUP_PIXELS = 4 * SIDE * SIDE
GRID = 8
"""Crops begin at multiples of it."""
LARGEST_SHARE = 1 << 18
"""A picture of more pixels is not drawn more often."""


class Drawing:
    """Draws groups of some pictures."""

    def __init__(self, pictures: Sequence[Pixels], levels: int):
        self._pictures = pictures
        self.depths = np.array([depth_of(pixels, levels) for pixels in pictures])
        sizes = np.array([pixels.shape[-3:-1] for pixels in pictures])
        pixels = np.array([pixels.size // pixels.shape[-1] for pixels in pictures])
        self._heights, self._widths = sizes.T
        self._small = (pixels <= CHAIN_PIXELS) & np.array([picture.ndim == 3 for picture in pictures])
        self._share: NDArray[np.float64] = np.minimum(pixels, LARGEST_SHARE) / np.minimum(pixels, LARGEST_SHARE).sum()

    def group(self, random: np.random.Generator) -> tuple[Pixels, int]:
        """Pixels (N, h, w, C) and their depth."""
        first = int(random.choice(len(self._pictures), p=self._share))
        picture = self._pictures[first]
        if picture.ndim == 4:
            return picture, int(self.depths[first])
        height, width = (min(SIDE, side) for side in picture.shape[:2])
        count = max(1, GROUP_PIXELS // (height * width))
        if self._small[first]:
            fitting = np.flatnonzero(self._small & (self._heights >= height) & (self._widths >= width))
            chosen = fitting if len(fitting) <= count else random.choice(fitting, count, replace=False)
        else:
            chosen = np.full(count, first)
        crops = [_crop(self._pictures[number], height, width, random) for number in chosen.tolist()]
        return np.stack(crops), int(self.depths[chosen].max())


def _crop(pixels: Pixels, height: int, width: int, random: np.random.Generator) -> Pixels:
    # where networks see a place in JPEG's grid, it is the picture's
    top, left = (
        GRID * random.integers((whole - part) // GRID + 1)
        for whole, part in zip(pixels.shape[:2], (height, width), strict=True)
    )
    return pixels[top : top + height, left : left + width]


def as_in_files(pictures: Sequence[Pixels], levels: int, most_pixels: int) -> list[tuple[list[Pixels], int]]:
    """Pictures, up to so many pixels, in the groups that share a fit in files: of each the pixels (N, h, w, C) by size,
    and the depth."""
    chosen = up_to(flat(pictures), most_pixels)
    alone = [[picture[None]] for picture in chosen if picture[..., 0].size > CHAIN_PIXELS]
    sizes: dict[tuple[object, ...], list[Pixels]] = {}
    for picture in chosen:
        if picture[..., 0].size <= CHAIN_PIXELS:
            sizes.setdefault((picture.shape, picture.dtype), []).append(picture)
    together = [np.stack(parts) for parts in sizes.values()]
    kinds = dict.fromkeys(part.dtype for part in together)
    groups = alone + [[part for part in together if part.dtype == kind] for kind in kinds]
    return [(group, max(depth_of(part, levels) for part in group)) for group in groups]


def flat(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Every picture by itself, crops too."""
    return [part for picture in pictures for part in (picture if picture.ndim == 4 else [picture])]


def up_to(pictures: Sequence[Pixels], most_pixels: int) -> list[Pixels]:
    """Evenly some of the pictures (H, W, C), at least four if there are, of so many pixels in all; too large ones are
    cut."""
    least = min(4, len(pictures))
    mean = sum(picture[..., 0].size for picture in pictures) / len(pictures)
    count = int(min(len(pictures), max(least, most_pixels / mean)))
    places = np.linspace(0, len(pictures) - 1, count).round().astype(int)
    return [_middle(pictures[place], most_pixels // least) for place in places]


def _middle(picture: Pixels, most_pixels: int) -> Pixels:
    height, width = picture.shape[:2]
    if height * width <= most_pixels:
        return picture
    shrink = (most_pixels / (height * width)) ** 0.5
    rows, columns = int(height * shrink), int(width * shrink)
    top, left = (height - rows) // 2, (width - columns) // 2
    return np.ascontiguousarray(picture[top : top + rows, left : left + columns])
