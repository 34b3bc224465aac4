"""Networks that correct predictors: what photographs have in common, beside what a picture says of itself.

A stage's network sees the known neighbours as its predictors do, less what these predict, in units of how far off they
expect to be: so that its bytes hold what matters, whatever the depth. It says by how much to move each channel's mean,
in units of the scale, by how many classes and shapes to change its distribution, and how much of the error of each
channel before to add to a channel's mean: what makes one colour unlike what was expected is often of all, and where, a
network can see. One that says nothing but zeros leaves the predictors' own coder, to the bit.

A stage has a network for the first channel, and one for all after it, which also sees how far off the first one's
predictions were at a pixel and beside it. Each is evaluated once, before the first of its channels is decoded. They
serve several scales, in which neighbours look much alike; a model may have others for coarser ones.

A model of one kind of pictures may also bring predictors, of which files then say how theirs differ.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.general import general
from bbcompress.codec.lattice import OTHER_REACH, OWN_REACH, RING, Scale, Tap, places
from bbcompress.codec.parameters import Parameters
from bbcompress.codec.predictor import (
    Around,
    Neighbours,
    Piece,
    Predictor,
    Spread,
    Unit,
    class_of,
    magnitude,
    terms,
    view,
)
from bbcompress.coding.shapes import CLASSES, CLASSES_PER_OCTAVE, LEAST_SCALE, MEAN_BITS
from bbcompress.exact.int8 import Network

Integers = NDArray[Any]

MEAN_STEPS = 32
"""Means are moved in units of a 32nd of the scale, at most by 4 scales."""
OUTPUT_BITS = 15
"""A network's numbers are in units of 2^-15: of scales, of octaves, of four shapes, of earlier channels' errors."""
COUPLING_BITS = 7
_LARGEST_COUPLING = 2 << COUPLING_BITS
ZERO = 128
"""The byte that stands for zero."""
_NEIGHBOUR_STEPS, _COLOUR_STEPS = 8, 16
"""What neighbours differ by is seen in this many steps a scale."""
_PORTION = 1 << 19
"""Values of so many neighbours are compared at once."""
_GRID, _GRID_STEP = 8, 2
"""JPEG files, which many pictures were before, hold blocks of 8 x 8 pixels: where in one a pixel lies, in pairs."""
_HERE = ZERO + 32
"""The byte of the pair that a pixel's row or column is of."""
_BESIDE = ((0, 0), *RING)
"""Where a later network sees the errors of channels before, in places of its stage."""


class Correction(NamedTuple):
    """Of pixels, by one network, each (..., its channels) int16."""

    means: Integers
    """In 2^-5 of the predictor's scale."""
    classes: Integers
    shapes: Integers
    couplings: Integers
    """(..., pairs), in 2^-7 of the errors of earlier channels: of the second channel the first's, of the third the
    first's and second's."""

    def of(self, channel: int, channels: range) -> "Correction":
        """One channel's (pixels,), and its couplings (pixels, channels before), of a correction of `channels`."""
        means, classes, shapes = (part[..., channel - channels.start].ravel() for part in self[:3])
        first = pairs(channel) - pairs(channels.start)
        own = self.couplings[..., first : first + channel].reshape(len(means), channel)
        return Correction(means, classes, shapes, own)


class ScaleNetworks(NamedTuple):
    """Networks of scales of some strides."""

    strides: tuple[int, ...]
    networks: Mapping[int, tuple[Network, ...]]
    """By stage, one for each of `channel_slices`."""


class Corrector(NamedTuple):
    """Networks, and perhaps predictors, for pictures of so many channels."""

    channels: int
    scales: tuple[ScaleNetworks, ...]
    predictors: Parameters

    @property
    def all_networks(self) -> Iterator[Network]:
        return (network for scale in self.scales for of_stage in scale.networks.values() for network in of_stage)

    @property
    def blocks(self) -> int:
        """Layers of each network between its first and its last."""
        return len(next(self.all_networks).layers) - 2

    def networks(self, stride: int, stage: int) -> tuple[Network, ...]:
        """Of a stage, one for each of `channel_slices`; none where nothing is corrected."""
        return next((scale.networks[stage] for scale in self.scales if stride in scale.strides), ())


def usual(corrector: Corrector | None, stride: int, unit: Unit) -> Predictor:
    """A unit's predictor where a file brings none: the model's, if it has one, else a general one."""
    found = corrector.predictors.get((stride, unit.stage, unit.channel)) if corrector else None
    return general(unit) if found is None else found


def channel_slices(channels: int) -> tuple[range, ...]:
    """The channels that each network of a stage corrects, in the order of their evaluation."""
    return tuple(part for part in (range(1), range(1, channels)) if part)


def inputs(channels: int, stage: int, channel_slice: range) -> int:
    """Bytes that a channel slice's network sees of a pixel."""
    near = len(places(stage, OTHER_REACH))
    first = channels * len(places(stage, OWN_REACH)) + 1 + 2 * channels + channels * near + 2 * _GRID // _GRID_STEP
    return first + channel_slice.start * len(_BESIDE)


def pairs(channels: int) -> int:
    """Of a channel and an earlier one."""
    return channels * (channels - 1) // 2


def outputs(channel_slice: range) -> int:
    """Numbers that a channel slice's network says of a pixel."""
    return 3 * len(channel_slice) + pairs(channel_slice.stop) - pairs(channel_slice.start)


def look(scale: Scale, stage: int, depth: int, piece: Piece, means: Integers, classes: Integers) -> NDArray[np.uint8]:
    """What a first network sees of a piece (pictures, rows, columns, inputs), given the first channel's predicted means
    in 2^-6 and corrected classes (pixels,).

    In order: the first channel's neighbours less its mean; those of each channel after, less the first's and their own
    mean; the class; each channel's class of spread; its brightness; each channel's known errors in scales; by 128 and
    160 which rows, then which columns of an 8 x 8 block a pixel is of, from the picture's top left.
    """
    channels = len(scale.pixels[0])
    mean = (means.astype(np.float32) * np.float32(2.0**-MEAN_BITS)).reshape(piece.shape)
    classes = classes.reshape(piece.shape)
    steps = _steps_per_value().take(classes)
    planes = np.empty((piece.shape[0], inputs(channels, stage, range(1)), *piece.shape[1:]), np.uint8)
    around, near = places(stage, OWN_REACH), places(stage, OTHER_REACH)
    known = len(around) * channels + 1 + 2 * channels
    grid = known + len(near) * channels
    for inside, part in _portions(piece, len(around)):
        seen = planes.transpose(1, 0, 2, 3)[:, *inside]
        seen[:known] = _compared(scale, stage, depth, part, mean[inside], classes[inside], steps[inside])
        for number, (channel, place) in enumerate(product(range(channels), near), known):
            seen[number] = view(scale.relative, Tap(place[0], channel, *place[1:]), part)
    rows, columns = scale.positions(stage, piece.rows, piece.columns)
    columns_from = grid + _GRID // _GRID_STEP
    planes[:, grid:columns_from] = _pair_of(rows).T[:, :, None]
    planes[:, columns_from:] = _pair_of(columns).T[:, None]
    return planes.transpose(0, 2, 3, 1)


def _portions(piece: Piece, taps: int) -> Iterator[tuple[tuple[slice, slice], Piece]]:
    """Pictures or rows of a piece, so few that their neighbours are in the processor's cache; also where in it."""
    pictures, rows, columns = piece.shape
    most = max(1, _PORTION // (taps * columns))
    few = min(rows, most)
    many = max(1, most // rows) if few == rows else 1
    for first in range(0, pictures, many):
        for row in range(0, rows, few):
            inside = slice(first, min(first + many, pictures)), slice(row, min(row + few, rows))
            yield (
                inside,
                piece._replace(pictures=_within(piece.pictures, inside[0]), rows=_within(piece.rows, inside[1])),
            )


def _within(whole: slice, part: slice) -> slice:
    return slice(whole.start + part.start * whole.step, whole.start + part.stop * whole.step, whole.step)


def _compared(
    scale: Scale, stage: int, depth: int, piece: Piece, mean: Integers, classes: Integers, steps: Integers
) -> NDArray[np.float32]:
    """The first inputs (inputs, pictures, rows, columns) of `look`, as bytes to be truncated."""
    channels = len(scale.pixels[0])
    around = places(stage, OWN_REACH)
    taps = len(around)
    neighbours = Neighbours(scale.pixels, piece, np.float32)
    found = np.empty((taps * channels + 1 + 2 * channels, neighbours.size), np.float32)
    own = [found[taps * channel : taps * (channel + 1)] for channel in range(channels)]
    rest = found[taps * channels :]
    rest[0] = neighbours.placed(2 * classes - CLASSES)
    known = Around.of(scale, piece, depth)
    for channel in range(channels):
        spread = next(term for term in terms(Unit(stage, channel, channels)) if isinstance(term, Spread))
        rest[1 + channel] = 2 * class_of(magnitude(spread, known) << 8) - CLASSES
    of_channel = [
        [neighbours.row(Tap(place[0], channel, *place[1:])) for place in around] for channel in range(channels)
    ]
    sums = [rows[0] + rows[1] + rows[2] + rows[3] for rows in of_channel]
    for channel in range(channels):
        rest[1 + channels + channel] = sums[channel] * np.float32(2.0 ** (6 - depth)) - np.float32(ZERO)
    mean, steps = neighbours.placed(mean), neighbours.placed(steps)
    colour_steps = steps * np.float32(_COLOUR_STEPS / _NEIGHBOUR_STEPS)
    for number, row in enumerate(of_channel[0]):
        np.subtract(row, mean, out=own[0][number])
        own[0][number] *= steps
    for channel in range(1, channels):
        middle = (sums[channel] - sums[0]) * np.float32(0.25)
        for number, (row, first) in enumerate(zip(of_channel[channel], of_channel[0], strict=True)):
            np.subtract(row, first, out=own[channel][number])
            own[channel][number] -= middle
            own[channel][number] *= colour_steps
    found += np.float32(ZERO + 0.5)
    return neighbours.inside(np.clip(found, 0, 255, out=found))


def _pair_of(positions: Integers) -> Integers:
    """(places, pairs of the grid)"""
    pair = positions % _GRID // _GRID_STEP
    return np.where(pair[:, None] == np.arange(_GRID // _GRID_STEP), _HERE, ZERO)


def look_again(
    scale: Scale, stage: int, channel_slice: range, piece: Piece, seen: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """What the network of a later channel slice sees: what the first one saw, then of each channel before its own that
    one's errors in scales, at the pixel and at the four nearest of its stage."""
    taps = [Tap(stage, channel, *place) for channel in range(channel_slice.start) for place in _BESIDE]
    before = seen.shape[3]
    planes = np.empty((piece.shape[0], before + len(taps), *piece.shape[1:]), np.uint8)
    planes[:, :before] = seen.transpose(0, 3, 1, 2)
    for number, tap in enumerate(taps, before):
        planes[:, number] = view(scale.relative, tap, piece)
    return planes.transpose(0, 2, 3, 1)


def correction(said: NDArray[np.int32], channel_slice: range) -> Correction:
    """Of a channel slice's network's numbers (..., outputs): moves of its channels, then octaves, shapes, couplings."""
    channels = len(channel_slice)
    means, octaves, shapes = (said[..., n * channels : (n + 1) * channels] for n in range(3))
    return Correction(
        _rounded(means, OUTPUT_BITS - 5, 4 * MEAN_STEPS),
        _rounded(octaves, OUTPUT_BITS - 3, 4 * CLASSES_PER_OCTAVE),
        _rounded(shapes, OUTPUT_BITS - 2, 15),
        _rounded(said[..., 3 * channels :], OUTPUT_BITS - COUPLING_BITS, _LARGEST_COUPLING),
    )


def _rounded(values: NDArray[np.int32], bits: int, limit: int) -> Integers:
    whole: Integers = np.clip((values + (1 << (bits - 1))) >> bits, -limit, limit).astype(np.int16)
    return whole


def relative_error(values: Integers, means: Integers, classes: Integers) -> NDArray[np.uint8]:
    """Errors in 2^-3 of their predictor's scale, as bytes around `ZERO`."""
    # in float64, whatever the values' type, the product is exact
    steps = (values.astype(np.float64) - means * 2.0**-MEAN_BITS) * _steps_per_value().take(classes)
    found: NDArray[np.uint8] = np.clip(np.rint(steps) + ZERO, 0, 255).astype(np.uint8)
    return found


@cache
def _steps_per_value() -> NDArray[np.float32]:
    """`_NEIGHBOUR_STEPS` over each class's scale: float32, of which each product is rounded in one way only."""
    classes = np.arange(CLASSES)
    scales = LEAST_SCALE * (8 + classes % 8) / 8 * 2.0 ** (classes // 8)
    return (_NEIGHBOUR_STEPS / scales).astype(np.float32)
