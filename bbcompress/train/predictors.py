"""Predictors fitted to many pictures: those that a model of small ones brings, and the general ones."""

from collections.abc import Sequence

import numpy as np

from bbcompress.codec import fit
from bbcompress.codec.general import general
from bbcompress.codec.lattice import Scale, Values
from bbcompress.codec.parameters import Parameters
from bbcompress.codec.predictor import Predictor, Unit
from bbcompress.train.groups import as_in_files
from bbcompress.train.observe import predicted
from bbcompress.train.pictures import Pixels

MOST_PIXELS = 1 << 22
"""Of pictures."""
SAMPLE = 1 << 17
"""Of the pixels of a unit."""


def of_images(pictures: Sequence[Pixels], levels: int, strides: Sequence[int]) -> Parameters:
    """Fitted to some of the pictures (height, width, channels), of their commonest depth."""
    of_kinds = as_in_files(pictures, levels, MOST_PIXELS)
    groups, depth = max(of_kinds, key=lambda kind: sum(group.size for group in kind[0]))
    return fitted([np.ascontiguousarray(group.transpose(3, 0, 1, 2)) for group in groups], depth, strides)


def fitted(groups: Sequence[Values], depth: int, strides: Sequence[int]) -> Parameters:
    """By stride, stage and channel: of the scales of these strides that the pictures (C, N, H, W) have."""

    def choose(stride: int, unit: Unit, scales: list[Scale]) -> Predictor:
        usual = general(unit)
        return fit.fit(fit.sample(unit, scales, depth, SAMPLE), depth, usual) if stride in strides else usual

    units = predicted(groups, depth, min(strides), choose)
    return {(one.stride, *one.unit[:2]): one.own for one in units if one.own is not general(one.unit)}
