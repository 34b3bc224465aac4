"""What a corrector's networks see and must say of pictures that share their predictors, as when they are coded."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec import fit
from bbcompress.codec.corrections import keep
from bbcompress.codec.corrector import channel_slices, look, look_again
from bbcompress.codec.general import general
from bbcompress.codec.lattice import Scale, Values
from bbcompress.codec.lattice_walk import Shape, Walk, stages
from bbcompress.codec.parameters import FITTED_STRIDES, Parameters
from bbcompress.codec.predictor import Piece, Prediction, Predictor, Unit, predict
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


class Predicted(NamedTuple):
    """A unit of a scale, by its predictor."""

    stride: int
    unit: Unit
    own: Predictor
    scales: dict[int, Scale]
    """By group, as are predictions."""
    predictions: dict[int, Prediction]


Choose = Callable[[int, Unit, list[Scale]], Predictor]
"""The predictor of a unit of a stride, whose pixels are there already."""


def predicted(groups: Sequence[Values], depth: int, finest: int, choose: Choose) -> Iterator[Predicted]:
    """All units of pictures (C, N, H, W) of each group, coarse to fine, down to the scale of stride `finest`. How far
    off a unit's predictions are is remembered once the next one is asked for."""
    channels = len(groups[0])
    shapes = [Shape(*group.shape[1:]) for group in groups]
    walk = Walk(shapes, depth, [group[:, :, :1, :1] for group in groups], corrected=True)
    for stride, stage, parts in stages(shapes):
        if stride < finest:
            return
        walk.reach(stride)
        scales = walk.scales
        for channel in range(channels):
            unit = Unit(stage, channel, channels)
            for group, scale in scales.items():
                scale.inside(scale.pixels, stage, channel)[:] = scale.split(groups[group], stage)[channel]
            own = choose(stride, unit, list(scales.values())) if parts else general(unit)
            predictions = {
                group: predict(own, unit, scale, depth, whole(scale, stage)) for group, scale in scales.items()
            }
            yield Predicted(stride, unit, own, scales, predictions)
            for group, scale in scales.items():
                keep(scale, unit, whole(scale, stage), values_of(scale, unit), predictions[group], own)


def observe(
    groups: Sequence[Values], depth: int, strides: Sequence[int], predictors: Parameters | None
) -> Iterator[Observation]:
    """All stages of some scales of pictures, coarse to fine; a group (C, N, H, W) is of one size. By these predictors,
    or such as are fitted to them where a file could bring them; else by general ones."""

    def choose(stride: int, unit: Unit, scales: list[Scale]) -> Predictor:
        usual = general(unit)
        if predictors is not None:
            return predictors.get((stride, unit.stage, unit.channel), usual)
        return fit.fit(fit.sample(unit, scales, depth), depth, usual) if stride in FITTED_STRIDES else usual

    channels = len(groups[0])
    last = channel_slices(channels)[-1]
    of_stage: list[Predicted] = []
    seen: dict[int, NDArray[np.uint8]] = {}
    for one in predicted(groups, depth, min(strides), choose):
        stride, (stage, channel, _), own, scales, predictions = one
        if stride not in strides:
            continue
        for group, scale in scales.items():
            if not np.prod(scale.size(stage)):  # a narrow picture has none of these pixels
                continue
            if channel == 0:
                means, classes = predictions[group]
                seen[group] = look(scale, stage, depth, whole(scale, stage), means, own.classes().take(classes))
            elif channel == last.start:
                seen[group] = look_again(scale, stage, last, whole(scale, stage), seen[group])
        of_stage.append(one)
        if channel == channels - 1:
            yield from _observations(of_stage, seen, depth)
            of_stage, seen = [], {}


def _observations(units: Sequence[Predicted], seen: dict[int, NDArray[np.uint8]], depth: int) -> Iterator[Observation]:
    """Of a stage's units, for each group of which networks see something."""
    shapes = tuple(one.own.shape for one in units)
    for group, visible in seen.items():
        scale, shape = units[0].scales[group], (len(units), *visible.shape[:3])
        values = np.stack([values_of(scale, one.unit) for one in units])
        means = np.stack([one.predictions[group].means for one in units])
        classes = np.stack([one.own.classes().take(one.predictions[group].classes) for one in units])
        errors = (values - means * 2.0**-MEAN_BITS).astype(np.float32)
        yield Observation(
            units[0].stride,
            units[0].unit.stage,
            depth,
            visible,
            values.reshape(shape),
            errors.reshape(shape),
            classes.astype(np.uint8).reshape(shape),
            shapes,
        )


def values_of(scale: Scale, unit: Unit) -> NDArray[np.int64]:
    """Of all pixels of a unit (pixels,)."""
    return scale.inside(scale.pixels, unit.stage, unit.channel)[whole(scale, unit.stage)].ravel().astype(np.int64)


def whole(scale: Scale, stage: int) -> Piece:
    """All pixels of a stage."""
    rows, columns = scale.size(stage)
    return Piece(slice(0, scale.pixels[0].shape[1], 1), slice(0, rows, 1), slice(0, columns, 1))
