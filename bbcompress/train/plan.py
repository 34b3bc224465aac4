"""What to train by: chosen by how many pictures there are, and of what kind."""

from collections.abc import Sequence

import numpy as np

from bbcompress.train.corrector_loop import AS_PHOTOGRAPHS, AS_THEY_ARE, TURNED
from bbcompress.train.pictures import Pixels, total_subpixels

SAMPLED_PICTURES = 64
SYNTHETIC = 0.35
"""Where as many pixels are as their left neighbours, pictures are drawn or rendered rather than taken."""
FEW_SUBPIXELS = 1 << 20
"""Of photographs; of fewer ones more are made by changing them."""
NEW_RATE, STARTED_RATE = 3e-3, 1.5e-3
"""Step sizes from nothing, and from a model."""
WIDTH, BLOCKS = 64, 1


def is_synthetic(pictures: Sequence[Pixels]) -> bool:
    """Whether pictures are rather drawn or rendered than taken: many pixels equal their neighbours."""
    some = pictures[:: -(-len(pictures) // SAMPLED_PICTURES)]
    equal = [(pixels[..., 1:, :] == pixels[..., :-1, :]).all(-1).mean() for pixels in some]
    return float(np.mean(equal)) > SYNTHETIC


def augmentation(pictures: Sequence[Pixels]) -> str:
    """What is done to pictures before they are trained on."""
    if is_synthetic(pictures):
        return AS_THEY_ARE
    few = total_subpixels(pictures) < FEW_SUBPIXELS and pictures[0].dtype == np.uint8
    return AS_PHOTOGRAPHS if few and min(min(pixels.shape[-3:-1]) for pixels in pictures) >= 32 else TURNED
