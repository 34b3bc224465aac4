"""What a corrector's networks see and must say of pictures that share their predictors, as when they are coded."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec import fit
from bbcompress.codec.corrections import keep
from bbcompress.codec.corrector import channel_slices, look, look_again
from bbcompress.codec.general import general
from bbcompress.codec.lattice import Scale, Values
from bbcompress.codec.lattice_walk import Shape, Walk, stages
from bbcompress.codec.parameters import FITTED_STRIDES, Parameters
from bbcompress.codec.predictor import Piece, Unit, predict
from bbcompress.coding.shapes import MEAN_BITS


class Observation(NamedTuple):
    """A stage of a scale of N pictures of one size."""

    stride: int
    stage: int
    depth: int
    """Bits of the values."""
    seen: NDArray[np.uint8]
    """(N, h, w, inputs) by the last of a stage's networks."""
    values: NDArray[np.int64]
    """(channels, N, h, w), as are the following."""
    errors: NDArray[np.float32]
    """Less the predictors' means."""
    classes: NDArray[np.uint8]
    """Of the predictors' scales."""
    shapes: tuple[int, ...]
    """(channels)"""


def observe(
    groups: Sequence[Values], depth: int, strides: Sequence[int], predictors: Parameters | None
) -> Iterator[Observation]:
    """All stages of some scales of pictures, coarse to fine; a group (C, N, H, W) is of one size. By these predictors,
    or such as are fitted to them where a file could bring them; else by general ones."""
    channels = len(groups[0])
    channel_slice = channel_slices(channels)[-1]
    shapes = [Shape(*group.shape[1:]) for group in groups]
    walk = Walk(shapes, depth, [group[:, :, :1, :1] for group in groups], corrected=True)
    for stride, stage, parts in stages(shapes):
        if stride < min(strides):
            break
        walk.reach(stride)
        scales = walk.scales
        pieces = {group: whole(scale, stage) for group, scale in scales.items()}
        seen: dict[int, NDArray[np.uint8]] = {}
        found: dict[int, list[tuple[NDArray[Any], ...]]] = {group: [] for group in scales}
        fitted = []
        for channel in range(channels):
            unit = Unit(stage, channel, channels)
            for group, scale in scales.items():
                scale.inside(scale.pixels, stage, channel)[:] = scale.split(groups[group], stage)[channel]
            own = general(unit)
            if predictors is not None:
                own = predictors.get((stride, stage, channel), own)
            elif parts and stride in FITTED_STRIDES:
                own = fit.fit(fit.sample(unit, list(scales.values()), depth), depth, own)
            fitted.append(own.shape)
            for group, scale in scales.items():
                piece = pieces[group]
                prediction = predict(own, unit, scale, depth, piece)
                classes = own.classes().take(prediction.classes)
                values = scale.inside(scale.pixels, stage, channel)[piece].ravel().astype(np.int64)
                if channel == 0 and stride in strides:
                    seen[group] = look(scale, stage, depth, piece, prediction.means, classes)
                if channel_slice.start == channel > 0 and group in seen:
                    seen[group] = look_again(scale, stage, channel_slice, piece, seen[group])
                keep(scale, unit, piece, values, prediction, own)
                errors = (values - prediction.means * 2.0**-MEAN_BITS).astype(np.float32)
                found[group].append((values, errors, classes.astype(np.uint8)))
        for group, visible in seen.items():
            if np.prod(visible.shape[:3]):
                shape = channels, *pieces[group].shape
                of_all = [np.stack(parts).reshape(shape) for parts in zip(*found[group], strict=True)]
                yield Observation(stride, stage, depth, visible, of_all[0], of_all[1], of_all[2], tuple(fitted))


def whole(scale: Scale, stage: int) -> Piece:
    """All pixels of a stage."""
    rows, columns = scale.size(stage)
    return Piece(slice(0, scale.pixels[0].shape[1], 1), slice(0, rows, 1), slice(0, columns, 1))
