"""What a corrector's networks see and must say of pictures that share one fit, as when they are coded."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec import fit
from bbcompress.codec.corrections import keep
from bbcompress.codec.corrector import look
from bbcompress.codec.general import general
from bbcompress.codec.lattice import Values
from bbcompress.codec.lattice_walk import Shape, Walk, stages
from bbcompress.codec.parameters import FITTED_STRIDES
from bbcompress.codec.predictor import Piece, Unit, predict
from bbcompress.coding.shapes import MEAN_BITS


class Observation(NamedTuple):
    """A stage of a scale of N pictures."""

    stride: int
    stage: int
    seen: NDArray[np.uint8]
    """(N, h, w, inputs)"""
    values: NDArray[np.int64]
    """(channels, N, h, w), as are the following."""
    errors: NDArray[np.float32]
    """Less the predictors' means."""
    classes: NDArray[np.uint8]
    """Of the predictors' scales."""
    shapes: tuple[int, ...]
    """(channels)"""


def observe(pictures: Values, depth: int, strides: Sequence[int]) -> Iterator[Observation]:
    """All stages of some scales of pictures (C, N, H, W), coarse to fine."""
    channels = len(pictures)
    walk = Walk([Shape(*pictures.shape[1:])], depth, [pictures[:, :, :1, :1]], corrected=True)
    for stride, stage, parts in stages([Shape(*pictures.shape[1:])]):
        walk.reach(stride)
        scale = walk.scales[0]
        rows, columns = scale.size(stage)
        piece = Piece(slice(0, pictures.shape[1], 1), slice(0, rows, 1), slice(0, columns, 1))
        seen: NDArray[np.uint8] | None = None
        found = []
        for channel in range(channels):
            unit = Unit(stage, channel, channels)
            scale.inside(scale.pixels, stage, channel)[:] = scale.split(pictures, stage)[channel]
            own = general(unit)
            if parts and stride in FITTED_STRIDES:
                own = fit.fit(unit, fit.sample(unit, [scale], depth), depth, own)
            prediction = predict(own, unit, scale, depth, piece)
            classes = own.classes().take(prediction.classes)
            values = scale.inside(scale.pixels, stage, channel)[piece].ravel().astype(np.int64)
            if stride in strides and channel == 0:
                seen = look(scale, stage, depth, piece, prediction.means, classes)
            keep(scale, unit, piece, values, prediction, own)
            scale.finish(stage, channel)
            errors = (values - prediction.means * 2.0**-MEAN_BITS).astype(np.float32)
            found.append((values, errors, classes.astype(np.uint8), own.shape))
        if seen is not None and seen.size:
            of_all = [np.stack(parts) for parts in zip(*(one[:3] for one in found), strict=True)]
            shape = channels, *piece.shape
            yield Observation(
                stride,
                stage,
                seen,
                of_all[0].reshape(shape),
                of_all[1].reshape(shape),
                of_all[2].reshape(shape),
                tuple(one[3] for one in found),
            )
