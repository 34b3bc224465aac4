"""Finding scale shifts for images: only an encoder does, so that a decoder repeats nothing of it.

Networks see all pixels as they are, so that stages and channels do not depend on each other's shifts: each shift is
found alone, by the code length of its own symbols.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bbcompress.codec import tiles
from bbcompress.codec.model import Pixels, ScaleShifts
from bbcompress.codec.spatial import ChannelStage, SpatialModel
from bbcompress.coding.distributions import MICROBITS, code_lengths

SAMPLE_SIDE = 64
SAMPLE_SUBPIXELS = 3 << 15
"""Of the images that shifts are found by."""
SEARCH_STEPS = (8, 4, 2, 1)
"""Shifts are tried at these distances from the best so far, so that they are at most 15, a factor of 6.5."""


class Fit(NamedTuple):
    """Shifts, and what they save, roughly, of all the images that they are for."""

    shifts: ScaleShifts
    saved_bits: float


def fit(model: SpatialModel, images: Sequence[Pixels]) -> Fit:
    """The best shifts for images (H, W, C) together, by a sample of small tiles of them."""
    sample = _sample(images)
    costs = [_Cost() for _ in range(model.shifts)]
    for group, pixels in zip(sample, tiles.cut(images, sample), strict=True):
        sized = model.sized(*group.size)
        for stage in sized.likelihood(sized.posterior(pixels).mean):
            costs[stage.number].add(stage, pixels)
    found = model.engine.map(_Cost.minimum, costs)
    seen = sum(len(group.tiles) * group.size[0] * group.size[1] for group in sample)
    share = seen / sum(image.shape[0] * image.shape[1] for image in images)
    return Fit(tuple(shift for shift, _ in found), sum(saved for _, saved in found) / (share * MICROBITS))


def _sample(images: Sequence[Pixels]) -> list[tiles.TileGroup]:
    """Tiles evenly from all of the images."""
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    groups = tiles.tiling(sizes, SAMPLE_SIDE, [()] * len(images))
    every = [(number, tile) for number, group in enumerate(groups) for tile in group.tiles]
    step = -(-sum(image.size for image in images) // SAMPLE_SUBPIXELS)
    chosen = [
        group._replace(tiles=[tile for place, tile in every[::step] if place == number])
        for number, group in enumerate(groups)
    ]
    return [group for group in chosen if group.tiles]


class _Cost:
    """The code length of one stage and channel, in 1 / MICROBITS bits, by its scale shift."""

    def __init__(self) -> None:
        self._parts: list[tuple[ChannelStage, Pixels]] = []
        self._known = {0: 0}

    def add(self, stage: ChannelStage, pixels: Pixels) -> None:
        """Pixels (N, subpixels) of one size, and their stage. Its network runs here, stage by stage."""
        self._parts.append((stage, pixels))
        self._known[0] += _bits(stage, pixels, 0)

    def minimum(self) -> tuple[int, int]:
        """The best shift, and what it saves."""
        best = 0
        for distance in SEARCH_STEPS:
            best = min((best, best - distance, best + distance), key=self._of)
        return best, self._known[0] - self._of(best)

    def _of(self, shift: int) -> int:
        if shift not in self._known:
            self._known[shift] = sum(_bits(stage, pixels, shift) for stage, pixels in self._parts)
        return self._known[shift]


def _bits(stage: ChannelStage, pixels: Pixels, shift: int) -> int:
    distribution = stage.shifted(pixels, shift)
    return int(code_lengths(distribution.intervals(stage.symbols(pixels))[1], distribution.precision).sum())
