"""Predictors fitted to many pictures: those that a model of small ones brings, and the general ones."""

from collections.abc import Sequence

import numpy as np

from bbcompress.codec import fit
from bbcompress.codec.corrections import keep
from bbcompress.codec.general import general
from bbcompress.codec.lattice import Values
from bbcompress.codec.lattice_walk import Shape, Walk, stages
from bbcompress.codec.parameters import Parameters
from bbcompress.codec.predictor import Unit, predict
from bbcompress.train.groups import as_in_files
from bbcompress.train.observe import whole
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
    channels = len(groups[0])
    shapes = [Shape(*group.shape[1:]) for group in groups]
    walk = Walk(shapes, depth, [group[:, :, :1, :1] for group in groups], corrected=False)
    found: Parameters = {}
    for stride, stage, parts in stages(shapes):
        walk.reach(stride)
        scales = walk.scales
        for channel in range(channels):
            unit = Unit(stage, channel, channels)
            for group, scale in scales.items():
                scale.inside(scale.pixels, stage, channel)[:] = scale.split(groups[group], stage)[channel]
            own = general(unit)
            if stride in strides and parts:
                own = fit.fit(fit.sample(unit, list(scales.values()), depth, SAMPLE), depth, own)
                found[stride, stage, channel] = own
            for scale in scales.values():
                piece = whole(scale, stage)
                values = scale.inside(scale.pixels, stage, channel)[piece].ravel().astype(np.int64)
                keep(scale, unit, piece, values, predict(own, unit, scale, depth, piece), own)
    return found
