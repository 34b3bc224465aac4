"""What to train by: chosen by how many pictures there are, and of what kind."""

from collections.abc import Sequence

import numpy as np

from bbcompress.train.corrector_run import AS_PHOTOGRAPHS, AS_THEY_ARE, MIRRORED, TURNED
from bbcompress.train.pictures import Pixels, total_subpixels

SAMPLED_PICTURES = 64
LEAST_CHANGED_SIDE = 32
SYNTHETIC = 0.35
"""Where as many pixels are as their left neighbours, pictures are drawn or rendered rather than taken."""
FEW_SUBPIXELS = 1 << 20
"""Networks learn so few by heart, so that more are made by turning or changing them, and networks are smaller."""
MANY_SUBPIXELS = 1 << 26
"""Of so many, networks learn what is alike in all: more networks are trained on them, hardly changed."""
NEW_RATE, STARTED_RATE, RATE_OF_FEW = 3e-3, 1.5e-3, 1e-3
"""Step sizes from nothing, and from a model."""
WIDTH, WIDTH_OF_FEW, BLOCKS = 64, 32, 1
SMALL_PIXELS = 1 << 14
"""Predictors of pictures up to so many are the model's: files of them are seldom so large that they pay for others."""
PIXELS_OF_SMALL = 1 << 16
"""Their model is for pictures up to so many."""
STRIDES = 32, 16, 8, 4, 2
"""Of scales that networks are trained for."""
SCALES = (32, 16, 8), (4,), (2,)
"""Those that share networks where pictures are many: coarse ones are unlike the finest, and a third of small pictures'
bits."""
USES, USES_OF_SMALL = 3, 1
"""Of each observed group: fitting predictors takes as long as a step."""
GPU_GROUPS, GPU_USES = 8, 12
"""A step of one group leaves a GPU idle, and processors observe groups more slowly than it takes steps."""


def width(pictures: Sequence[Pixels]) -> int:
    """Channels of networks that are trained from nothing."""
    return WIDTH_OF_FEW if total_subpixels(pictures) < FEW_SUBPIXELS else WIDTH


def learning_rate(pictures: Sequence[Pixels], started: bool) -> float:
    """The largest step size."""
    if total_subpixels(pictures) < FEW_SUBPIXELS:
        return RATE_OF_FEW
    return STARTED_RATE if started else NEW_RATE


def are_small(pictures: Sequence[Pixels]) -> bool:
    """Whether the model has predictors of its own."""
    return all(pixels.ndim == 3 and pixels[..., 0].size <= SMALL_PIXELS for pixels in pictures)


def uses(pictures: Sequence[Pixels], on_gpu: bool) -> int:
    """How many steps see each observed group."""
    if on_gpu:
        return GPU_USES
    return USES_OF_SMALL if are_small(pictures) else USES


def scales(pictures: Sequence[Pixels]) -> tuple[tuple[int, ...], ...]:
    """Strides of scales that share networks."""
    return (STRIDES,) if total_subpixels(pictures) < MANY_SUBPIXELS else SCALES


def is_synthetic(pictures: Sequence[Pixels]) -> bool:
    """Whether pictures are rather drawn or rendered than taken: many pixels equal their neighbours."""
    some = pictures[:: -(-len(pictures) // SAMPLED_PICTURES)]
    equal = [(pixels[..., 1:, :] == pixels[..., :-1, :]).all(-1).mean() for pixels in some]
    return float(np.mean(equal)) > SYNTHETIC


def augmentation(pictures: Sequence[Pixels], levels: int) -> str:
    """What is done to pictures before they are trained on."""
    total = total_subpixels(pictures)
    few = total < FEW_SUBPIXELS
    if pictures[0].ndim == 4 and pictures[0].dtype == np.uint8:
        return AS_PHOTOGRAPHS  # groups of crops
    if levels == 2:
        return AS_THEY_ARE
    if is_synthetic(pictures):
        return TURNED if few else AS_THEY_ARE
    if total >= MANY_SUBPIXELS:
        return MIRRORED
    small = min(min(pixels.shape[-3:-1]) for pixels in pictures) < LEAST_CHANGED_SIDE
    return AS_PHOTOGRAPHS if few and not small and pictures[0].dtype == np.uint8 else TURNED
