"""Pictures coded coarse to fine by predictors that the file brings, without latents: a method of its own beside chains.

What is coded is a *batch*: pictures of the same channels and depth, in groups of one size each. Its parameters come
first, then one stream or, of large pictures, several. Encoder and decoder walk through scales, stages, channels and
pieces in the same order; a piece's symbols are coded together, and its distributions hang on nothing of its own unit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec import fit, lattice, streams
from bbcompress.codec.general import general
from bbcompress.codec.lattice import STAGES, Scale, Values
from bbcompress.codec.parameters import FITTED_STRIDES, Parameters, pack, unpack
from bbcompress.codec.predictor import Piece, Prediction, Predictor, Unit, error_magnitude, predict
from bbcompress.coding.rans import Counts
from bbcompress.coding.shapes import CLASSES_PER_OCTAVE, LOGISTIC, MEAN_BITS, PRECISION, ScaledShapes
from bbcompress.exact.engine import Engine
from bbcompress.varint import Malformed, Reader, write_varint

PIECE_PIXELS = 1 << 15
"""Of a unit, computed at once: few enough for the processor's cache."""
STREAM_SYMBOLS = 1 << 22
"""A stream is full once it has so many: an encoder holds all intervals of one."""
Advance = Callable[[int], None]
"""Told of each number of subpixels done."""


class Shape(NamedTuple):
    """So many pictures of one size."""

    pictures: int
    height: int
    width: int


class _Part(NamedTuple):
    """What is coded together: pixels of a piece of a unit, of the pictures of one group."""

    group: int
    unit: Unit
    piece: Piece

    @property
    def size(self) -> int:
        return int(np.prod(self.piece.shape))


@dataclass
class _Unit:
    """A unit at a scale, of all groups that have it."""

    stride: int
    unit: Unit
    parts: list[_Part]


def _units(shapes: Sequence[Shape], channels: int) -> Iterator[_Unit]:
    """All units, coarse to fine, in the order of their decoding."""
    first = [next(lattice.strides(shape.height, shape.width), 1) for shape in shapes]
    stride = max(first)
    while stride > 1:
        groups = [group for group, largest in enumerate(first) if largest >= stride]
        for stage in STAGES:
            for channel in range(channels):
                unit = Unit(stage, channel, channels)
                parts = [
                    _Part(group, unit, piece)
                    for group in groups
                    for piece in _pieces(shapes[group].pictures, *lattice.size(stage, stride, *shapes[group][1:]))
                ]
                yield _Unit(stride, unit, parts)
        stride //= 2


def _pieces(pictures: int, rows: int, columns: int) -> Iterator[Piece]:
    """A unit's pixels, some pictures or some rows of one at a time."""
    if not rows * columns:
        return
    many = max(1, PIECE_PIXELS // (rows * columns))
    few = max(1, PIECE_PIXELS // columns)
    for picture in range(0, pictures, many):
        for row in range(0, rows, few):
            part = slice(picture, min(picture + many, pictures), 1), slice(row, min(row + few, rows), 1)
            yield Piece(*part, slice(0, columns, 1))


def _streams(shapes: Sequence[Shape], channels: int) -> list[list[int]]:
    """The sizes of all parts, stream by stream; the first part is the pixels at the top left."""
    found: list[list[int]] = [[channels * sum(shape.pictures for shape in shapes)]]
    for unit in _units(shapes, channels):
        for part in unit.parts:
            if sum(found[-1]) >= STREAM_SYMBOLS:
                found.append([])
            found[-1].append(part.size)
    return found


def _error_type(depth: int) -> type[np.unsignedinteger]:
    return np.uint16 if depth <= 13 else np.uint32


class _Walk:
    """The scales of all groups, from the pixels at the top left on."""

    def __init__(self, shapes: Sequence[Shape], channels: int, depth: int, corners: Sequence[Values]):
        self._shapes = shapes
        self._first = [next(lattice.strides(shape.height, shape.width), 1) for shape in shapes]
        self._known = list(corners)
        self._errors = [np.zeros(corner.shape, _error_type(depth)) for corner in corners]
        self.scales: dict[int, Scale] = {}
        """Of the groups that have the present stride."""
        self._stride = 0

    def reach(self, stride: int) -> None:
        """Go on to the scale of this stride, where that is another."""
        if stride == self._stride:
            return
        self._join()
        self._stride = stride
        for group, largest in enumerate(self._first):
            if largest >= stride:
                size = self._shapes[group][1:]
                self.scales[group] = Scale(stride, self._known[group], self._errors[group], *size)

    def finished(self) -> list[Values]:
        """The whole pictures (C, N, H, W) of each group."""
        self._join()
        return self._known

    def _join(self) -> None:
        for group, scale in self.scales.items():
            self._known[group], self._errors[group] = scale.join(scale.pixels), scale.join(scale.errors)
        self.scales = {}


def encode(pictures: Sequence[Values], depth: int, engine: Engine, advance: Advance = lambda done: None) -> bytes:
    """Pictures of each group (C, N, H, W), unsigned integers below 2^depth."""
    channels = pictures[0].shape[0]
    shapes = [Shape(*group.shape[1:]) for group in pictures]
    walk = _Walk(shapes, channels, depth, [group[:, :, :1, :1] for group in pictures])
    found: Parameters = {}
    corners = np.concatenate([group[:, :, 0, 0].ravel() for group in pictures]).astype(np.int64)
    parts: list[tuple[Counts, Counts]] = [_corners(len(corners), depth).intervals(corners)]
    coded: list[bytes] = []
    symbols = len(corners)
    for stride, unit, of_unit in ((item.stride, item.unit, item.parts) for item in _units(shapes, channels)):
        walk.reach(stride)
        scales = walk.scales
        for group, scale in scales.items():
            scale.inside(scale.pixels, unit.stage, unit.channel)[:] = scale.split(pictures[group], unit.stage)[
                unit.channel
            ]
        predictor = general(unit)
        if stride in FITTED_STRIDES and of_unit:
            predictor = fit.best(unit, list(scales.values()), depth, predictor)
            if predictor is not general(unit):
                found[stride, unit.stage, unit.channel] = predictor

        def intervals(part: _Part, predictor: Predictor = predictor) -> tuple[Counts, Counts]:
            scale = scales[part.group]
            prediction = predict(predictor, part.unit, scale, depth, part.piece)
            values = scale.inside(scale.pixels, part.unit.stage, part.unit.channel)[part.piece].ravel().astype(np.int64)
            _keep(scale, part, values, prediction)
            return _distribution(predictor, prediction, depth).intervals(values)

        for part, pair in zip(of_unit, engine.map(intervals, of_unit), strict=True):
            if symbols >= STREAM_SYMBOLS:
                coded.append(streams.encode(parts, PRECISION))
                parts, symbols = [], 0
            parts.append(pair)
            symbols += part.size
            advance(part.size)
        for scale in scales.values():
            scale.finish(unit.stage, unit.channel)
    coded.append(streams.encode(parts, PRECISION))
    return b"".join(write_varint(len(data)) + data for data in (pack(found, channels), *coded))


def decode(
    data: bytes,
    shapes: Sequence[Shape],
    channels: int,
    depth: int,
    engine: Engine,
    advance: Advance = lambda done: None,
) -> list[Values]:
    """The inverse of `encode`. Raises DamagedChain or Malformed, both ValueErrors."""
    reader = Reader(data)
    parameters = unpack(reader.take(reader.varint(len(data))), channels)
    sizes = iter(_streams(shapes, channels))

    def next_stream() -> streams.Decoder:
        return streams.Decoder(reader.take(reader.varint(len(data))), next(sizes))

    stream = next_stream()
    counts = [channels * shape.pictures for shape in shapes]
    corners = stream.pop(_corners(sum(counts), depth))
    dtype = np.uint8 if depth <= 8 else np.uint16
    corner = np.split(corners.astype(dtype), np.cumsum(counts)[:-1])
    walk = _Walk(shapes, channels, depth, [values.reshape(channels, -1, 1, 1) for values in corner])
    symbols = sum(counts)
    for item in _units(shapes, channels):
        walk.reach(item.stride)
        scales, unit = walk.scales, item.unit
        predictor = parameters.get((item.stride, unit.stage, unit.channel)) or general(unit)

        def prediction(part: _Part, predictor: Predictor = predictor) -> Prediction:
            return predict(predictor, part.unit, scales[part.group], depth, part.piece)

        # computed side by side, while symbols are popped
        waiting = [engine.submit(partial(prediction, part)) for part in item.parts]
        for part, future in zip(item.parts, waiting, strict=True):
            if symbols >= STREAM_SYMBOLS:
                stream.finish()
                stream, symbols = next_stream(), 0
            found = future.result()
            values = stream.pop(_distribution(predictor, found, depth))
            scale = scales[part.group]
            scale.inside(scale.pixels, unit.stage, unit.channel)[part.piece] = values.reshape(part.piece.shape)
            _keep(scale, part, values, found)
            symbols += part.size
            advance(part.size)
        for scale in scales.values():
            scale.finish(unit.stage, unit.channel)
    stream.finish()
    if reader.remaining:
        raise Malformed("bytes after the last stream")
    return walk.finished()


def _corners(count: int, depth: int) -> ScaledShapes:
    """Of the pixels at the top left, of which nothing is known."""
    middle, wide = np.full(count, 1 << (depth - 1 + MEAN_BITS)), np.full(count, CLASSES_PER_OCTAVE * (depth + 3))
    return ScaledShapes(depth, middle, wide, LOGISTIC)


def _distribution(predictor: Predictor, prediction: Prediction, depth: int) -> ScaledShapes:
    return ScaledShapes(depth, prediction.means, predictor.classes().take(prediction.classes), predictor.shape)


def _keep(scale: Scale, part: _Part, values: NDArray[np.int64], prediction: Prediction) -> None:
    errors = error_magnitude(values, prediction.means).reshape(part.piece.shape)
    scale.inside(scale.errors, part.unit.stage, part.unit.channel)[part.piece] = errors
