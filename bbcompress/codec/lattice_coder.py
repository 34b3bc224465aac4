"""Pictures coded coarse to fine by predictors that the file brings, without latents: a method of its own beside chains.

What is coded is a *batch*: pictures of the same channels and depth, in groups of one size each. Its parameters come
first, then one stream or, of large pictures, several. Encoder and decoder walk through scales, stages, channels and
pieces in the same order (`bbcompress.codec.lattice_walk`); a piece's symbols are coded together, as their distributions
hang on nothing of their own unit.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec import fit, streams
from bbcompress.codec.corrections import Corrections, expected, keep, multiply_adds
from bbcompress.codec.corrector import Corrector
from bbcompress.codec.fit_gain import with_gain
from bbcompress.codec.general import general
from bbcompress.codec.lattice import Scale, Values
from bbcompress.codec.lattice_walk import Part, Shape, Stage, Walk, stages
from bbcompress.codec.parameters import FITTED_STRIDES, Parameters, pack, unpack
from bbcompress.codec.predictor import Prediction, Predictor, Unit, predict
from bbcompress.coding.distributions import MICROBITS, code_lengths
from bbcompress.coding.rans import Counts
from bbcompress.coding.shapes import CLASSES_PER_OCTAVE, LOGISTIC, MEAN_BITS, PRECISION, ScaledShapes
from bbcompress.exact.engine import Engine
from bbcompress.progress import Advance, ignore
from bbcompress.varint import Malformed, Reader, write_varint

STREAM_SYMBOLS = 1 << 22
"""A stream is full once it has so many: an encoder holds all intervals of one."""
LARGE_UNIT = 1 << 19
"""Pixels of a unit that has work enough for all threads by itself."""
LEAST_FITTED = 1 << 7
"""Pixels of a unit that may save as much as a predictor of their own takes: 150 bits and more."""


class Encoded(NamedTuple):
    """A batch's bytes, and what each picture of each group takes of them."""

    data: bytes
    bits: list[NDArray[np.float64]]


def _streams(shapes: Sequence[Shape], channels: int) -> list[list[int]]:
    """The sizes of all parts of all channels, stream by stream; the first is the pixels at the top left."""
    found: list[list[int]] = [[channels * sum(shape.pictures for shape in shapes)]]
    symbols = found[0][0]
    for stage in stages(shapes):
        for _ in range(channels):
            for part in stage.parts:
                if symbols >= STREAM_SYMBOLS:
                    found.append([])
                    symbols = 0
                found[-1].append(part.size)
                symbols += part.size
    return found


def encode(
    pictures: Sequence[Values],
    depth: int,
    corrector: Corrector | None,
    engine: Engine,
    fitted: bool = True,
    advance: Advance = ignore,
) -> Encoded:
    """Pictures of each group (C, N, H, W), unsigned integers below 2^depth; by general predictors unless `fitted`."""
    channels = pictures[0].shape[0]
    shapes = [Shape(*group.shape[1:]) for group in pictures]
    found: Parameters = {}
    corners = np.concatenate([group[:, :, 0, 0].ravel() for group in pictures]).astype(np.int64)
    parts: list[tuple[Counts, Counts]] = [_corners(len(corners), depth).intervals(corners)]
    coded: list[bytes] = []
    microbits = [np.zeros(shape.pictures, np.int64) for shape in shapes]
    symbols = len(corners)
    errors: list[list[NDArray[np.int32]]] = []
    # networks of a unit are evaluated while the next one is fitted
    for stage, unit, own, values, predictions, networks in _one_behind(
        _units(pictures, depth, corrector, engine, fitted)
    ):
        said = [networks.of(unit.channel, number) for number in range(len(stage.parts))]
        if unit.channel == 0:
            errors = [[] for _ in stage.parts]
        if said and said[0] is not None:
            own = with_gain(own, unit, depth, values, predictions, said, errors)
        if own is not general(unit):
            found[stage.stride, unit.stage, unit.channel] = own
        for part, actual, prediction, correction, before in zip(
            stage.parts, values, predictions, said, errors, strict=True
        ):
            told = expected(own, unit, depth, prediction, correction, before)
            pair = told.distribution(depth).intervals(actual)
            if correction is not None:
                before.append(told.errors(actual))
            if symbols >= STREAM_SYMBOLS:
                coded.append(streams.encode(parts, PRECISION))
                parts, symbols = [], 0
            parts.append(pair)
            lengths = code_lengths(pair[1], PRECISION).reshape(part.piece.shape[0], -1)
            microbits[part.group][part.piece.pictures] += lengths.sum(1)
            symbols += part.size
            advance(part.size)
    coded.append(streams.encode(parts, PRECISION))
    parameters = pack(found, channels)
    shared = 8 * len(parameters) / sum(shape.pictures for shape in shapes)
    data = b"".join(write_varint(len(part)) + part for part in (parameters, *coded))
    return Encoded(data, [of_group / MICROBITS + shared for of_group in microbits])


class _Predicted(NamedTuple):
    """A unit of a stage, with a predictor; values and predictions of each part."""

    stage: Stage
    unit: Unit
    own: Predictor
    values: list[NDArray[np.int64]]
    predictions: list[Prediction]
    networks: Corrections


def _units(
    pictures: Sequence[Values], depth: int, corrector: Corrector | None, engine: Engine, fitted: bool
) -> Iterator[_Predicted]:
    """All units in the order of their coding, which hang on each other only through what is remembered of their
    predictors: not on what networks say."""
    channels = pictures[0].shape[0]
    shapes = [Shape(*group.shape[1:]) for group in pictures]
    engine.expect(multiply_adds(corrector, shapes))
    walk = Walk(shapes, depth, [group[:, :, :1, :1] for group in pictures], corrector is not None)
    for stage in stages(shapes):
        walk.reach(stage.stride)
        scales = walk.scales
        networks = Corrections(corrector, stage, scales, depth, engine)
        for channel in range(channels):
            unit = Unit(stage.stage, channel, channels)
            for group, scale in scales.items():
                scale.inside(scale.pixels, *unit[:2])[:] = scale.split(pictures[group], stage.stage)[channel]
            own = _best(unit, stage, list(scales.values()), depth) if fitted else general(unit)
            networks.begin(channel, own)
            predictions = [predict(own, unit, scales[part.group], depth, part.piece) for part in stage.parts]
            values = [_values(scales, unit, part) for part in stage.parts]
            for part, actual, prediction in zip(stage.parts, values, predictions, strict=True):
                keep(scales[part.group], unit, part.piece, actual, prediction, own)
            for scale in scales.values():
                scale.finish(*unit[:2])
            yield _Predicted(stage, unit, own, values, predictions, networks)


def _one_behind(units: Iterator[_Predicted]) -> Iterator[_Predicted]:
    """The same, each once the next one is there, unless they are so large that this takes much memory."""
    last: _Predicted | None = None
    for unit in units:
        if last is not None:
            yield last
        last = unit
        if sum(map(len, unit.values)) > LARGE_UNIT:
            yield unit
            last = None
    if last is not None:
        yield last


def _best(unit: Unit, stage: Stage, scales: list[Scale], depth: int) -> Predictor:
    if stage.stride in FITTED_STRIDES and sum(part.size for part in stage.parts) >= LEAST_FITTED:
        return fit.best(unit, scales, depth, general(unit))
    return general(unit)


def _values(scales: dict[int, Scale], unit: Unit, part: Part) -> NDArray[np.int64]:
    scale = scales[part.group]
    return scale.inside(scale.pixels, *unit[:2])[part.piece].ravel().astype(np.int64)


def decode(
    data: bytes,
    shapes: Sequence[Shape],
    channels: int,
    depth: int,
    corrector: Corrector | None,
    engine: Engine,
    advance: Advance = ignore,
) -> list[Values]:
    """The inverse of `encode`. Raises DamagedChain or Malformed, both ValueErrors."""
    reader = Reader(data)
    parameters = unpack(reader.take(reader.varint(len(data))), channels)
    sizes = iter(_streams(shapes, channels))

    def next_stream() -> streams.Decoder:
        return streams.Decoder(reader.take(reader.varint(len(data))), next(sizes))

    stream = next_stream()
    counts = [channels * shape.pictures for shape in shapes]
    corners = stream.pop(_corners(sum(counts), depth)).astype(np.uint8 if depth <= 8 else np.uint16)
    corner = [values.reshape(channels, -1, 1, 1) for values in np.split(corners, np.cumsum(counts)[:-1])]
    engine.expect(multiply_adds(corrector, shapes))
    walk = Walk(shapes, depth, corner, corrector is not None)
    symbols = sum(counts)
    for stage in stages(shapes):
        walk.reach(stage.stride)
        scales = walk.scales
        networks = Corrections(corrector, stage, scales, depth, engine)
        errors: list[list[NDArray[np.int32]]] = [[] for _ in stage.parts]
        for channel in range(channels):
            unit = Unit(stage.stage, channel, channels)
            own = parameters.get((stage.stride, *unit[:2])) or general(unit)
            networks.begin(channel, own)
            for number, (part, before) in enumerate(zip(stage.parts, errors, strict=True)):
                if symbols >= STREAM_SYMBOLS:
                    stream.finish()
                    stream, symbols = next_stream(), 0
                scale = scales[part.group]
                prediction = predict(own, unit, scale, depth, part.piece)
                correction = networks.of(channel, number)
                told = expected(own, unit, depth, prediction, correction, before)
                values = stream.pop(told.distribution(depth))
                if correction is not None:
                    before.append(told.errors(values))
                scale.inside(scale.pixels, *unit[:2])[part.piece] = values.reshape(part.piece.shape)
                keep(scale, unit, part.piece, values, prediction, own)
                symbols += part.size
                advance(part.size)
            for scale in scales.values():
                scale.finish(*unit[:2])
    stream.finish()
    if reader.remaining:
        raise Malformed("bytes after the last stream")
    return walk.finished()


def _corners(count: int, depth: int) -> ScaledShapes:
    """Of the pixels at the top left, of which nothing is known."""
    middle, wide = np.full(count, 1 << (depth - 1 + MEAN_BITS)), np.full(count, CLASSES_PER_OCTAVE * (depth + 3))
    return ScaledShapes(depth, middle, wide, LOGISTIC)
