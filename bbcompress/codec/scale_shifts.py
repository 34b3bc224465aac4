"""Finding scale shifts for images: only an encoder does, so that a decoder repeats nothing of it.

Networks see all pixels as they are, so that stages and channels do not depend on each other's shifts: each shift is
found alone, by the code length of its own symbols. It is found twice, on the halves of a sample, and taken as far as
they agree: images differ, and what a few of them want may be wrong for all others.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bbcompress.codec import tiles
from bbcompress.codec.model import Pixels, ScaleShifts
from bbcompress.codec.spatial import ChannelStage, SizedSpatialModel, SpatialModel
from bbcompress.coding.distributions import MICROBITS, code_lengths
from bbcompress.exact import functions, noise
from bbcompress.exact.functions import Floats

SAMPLE_SIDE = 64
SAMPLE_SUBPIXELS = 3 << 15
"""Of the images that shifts are found by."""
TRIAL_SUBPIXELS = 1 << 15
"""Of images of several times SAMPLE_SUBPIXELS: by which shifts must pay before they are found."""
SEARCH_STEPS = (8, 4, 2, 1)
"""Shifts are tried at these distances from the best so far, so that they are at most 15, a factor of 6.5."""
MARGIN_BITS_PER_DIM = 2.0**-10
"""What shifts must be estimated to save beyond what they take: less may be chance."""


class Fit(NamedTuple):
    """Shifts, and what they save, roughly, of all the images that they are for."""

    shifts: ScaleShifts
    saved_bits: float


NOTHING = Fit((), 0.0)


def worthwhile(model: SpatialModel, images: Sequence[Pixels]) -> ScaleShifts:
    """Shifts for images (H, W, C) together that save more than they take in a file, or none."""
    subpixels = sum(image.size for image in images)
    least_bits = 8 * model.shifts + MARGIN_BITS_PER_DIM * subpixels
    if subpixels > 4 * SAMPLE_SUBPIXELS and fit(model, images, TRIAL_SUBPIXELS).saved_bits <= least_bits:
        return ()
    found = fit(model, images)
    return found.shifts if found.saved_bits > least_bits else ()


def fit(model: SpatialModel, images: Sequence[Pixels], sample_subpixels: int = SAMPLE_SUBPIXELS) -> Fit:
    """The best shifts for images (H, W, C), by a sample of small tiles of them; none of a single tile."""
    if not (images and model.shifts):
        return NOTHING
    halves = _halves(images, sample_subpixels)
    if not all(halves):
        return NOTHING
    costs = [(_Cost(), _Cost()) for _ in range(model.shifts)]
    for half, sample in enumerate(halves):
        for group, pixels in zip(sample, tiles.cut(images, sample), strict=True):
            sized = model.sized(*group.size)
            mean, log_scale = sized.posterior(pixels)
            # at the mean, stages that hang on the latents would seem surer than they are
            normals = noise.normals(np.arange(len(pixels)), 0, mean.shape[1])
            for part in _parts(sized, pixels, mean + functions.exp(log_scale) * normals):
                costs[part.stage.number][half].add(part)
    found = model.engine.map(_agreed, costs)
    seen = sum(len(group.tiles) * group.size[0] * group.size[1] for sample in halves for group in sample)
    share = seen / sum(image.shape[0] * image.shape[1] for image in images)
    return Fit(tuple(shift for shift, _ in found), sum(saved for _, saved in found) / (share * MICROBITS))


def _halves(images: Sequence[Pixels], subpixels: int) -> list[list[tiles.TileGroup]]:
    """Tiles evenly from all of the images, every other one in the second half; a single tile leaves that empty."""
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    groups = tiles.tiling(sizes, SAMPLE_SIDE, [()] * len(images))
    every = [(number, tile) for number, group in enumerate(groups) for tile in group.tiles]
    step = -(-sum(image.size for image in images) // subpixels)
    halves = []
    for chosen in (every[:: 2 * step], every[step :: 2 * step]):
        parts = [
            group._replace(tiles=[tile for place, tile in chosen if place == number])
            for number, group in enumerate(groups)
        ]
        halves.append([group for group in parts if group.tiles])
    return halves


def _agreed(halves: tuple["_Cost", "_Cost"]) -> tuple[int, int]:
    """The shift nearest to 0 of all that lie between the halves' best ones, and what it saves of both."""
    low, high = sorted(cost.minimum() for cost in halves)
    shift = max(low, min(0, high))
    return shift, sum(cost.saved(shift) for cost in halves)


class _Part(NamedTuple):
    """Pixels (N, subpixels) of one size, a stage of them, and its code length without a shift."""

    stage: ChannelStage
    pixels: Pixels
    unshifted: int


def _parts(model: SizedSpatialModel, pixels: Pixels, latent: Floats) -> list[_Part]:
    """Those of all stages. Their networks run here."""

    def of_batch(rows: slice) -> list[_Part]:
        part = pixels[rows]
        return [_Part(stage, part, _bits(stage, part, 0)) for stage in model.likelihood(latent[rows])]

    return [part for parts in model.engine.map(of_batch, model.batches(len(pixels))) for part in parts]


class _Cost:
    """The code length of one stage and channel, in 1 / MICROBITS bits, by its scale shift."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._known = {0: 0}

    def add(self, part: _Part) -> None:
        self._parts.append(part)
        self._known[0] += part.unshifted

    def minimum(self) -> int:
        """The best shift."""
        best = 0
        for distance in SEARCH_STEPS:
            best = min((best, best - distance, best + distance), key=self._of)
        return best

    def saved(self, shift: int) -> int:
        return self._known[0] - self._of(shift)

    def _of(self, shift: int) -> int:
        if shift not in self._known:
            self._known[shift] = sum(_bits(stage, pixels, shift) for stage, pixels, _ in self._parts)
        return self._known[shift]


def _bits(stage: ChannelStage, pixels: Pixels, shift: int) -> int:
    distribution = stage.shifted(pixels, shift)
    return int(code_lengths(distribution.intervals(stage.symbols(pixels))[1], distribution.precision).sum())
