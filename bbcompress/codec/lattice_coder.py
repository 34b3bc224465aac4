"""Pictures coded coarse to fine by predictors that the file brings, without latents: a method of its own beside chains.

What is coded is a *batch*: pictures of the same channels and depth, in groups of one size each. Its parameters come
first, then one stream or, of large pictures, several. Encoder and decoder walk through scales, stages, channels and
pieces in the same order; a piece's symbols are coded together, and their distributions hang on nothing of their own
unit, so that they are computed side by side.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec import fit, lattice, streams
from bbcompress.codec.corrector import Correction, Corrector, correction, look, relative_error
from bbcompress.codec.general import general
from bbcompress.codec.lattice import STAGES, Planes, Scale, Values
from bbcompress.codec.parameters import FITTED_STRIDES, Parameters, length, pack, unpack
from bbcompress.codec.predictor import Piece, Prediction, Predictor, Unit, error_magnitude, moved, predict
from bbcompress.coding.distributions import MICROBITS, code_lengths
from bbcompress.coding.rans import Counts
from bbcompress.coding.shapes import CLASSES_PER_OCTAVE, LOGISTIC, MEAN_BITS, PRECISION, ScaledShapes
from bbcompress.exact.engine import Engine
from bbcompress.exact.int8_numpy import Run
from bbcompress.progress import Advance, ignore
from bbcompress.varint import Malformed, Reader, write_varint

PIECE_PIXELS = 1 << 15
"""Of a stage, computed at once: few enough for the processor's cache."""
STREAM_SYMBOLS = 1 << 22
"""A stream is full once it has so many: an encoder holds all intervals of one."""
CORRECTED_STRIDES = FITTED_STRIDES
"""Scales that networks correct; coarser ones hold too few pixels."""
LEAST_FITTED = 1 << 7
"""Pixels of a unit that may save as much as a predictor of their own takes: 150 bits and more."""
GAIN_SAMPLE = 1 << 13
"""Pixels by which it is found how much of a correction counts."""
GAINS = (8, 6, 4, 2, 0)
WIDER = (0, 1, -1, 2, -2)


class Shape(NamedTuple):
    """So many pictures of one size."""

    pictures: int
    height: int
    width: int


class Encoded(NamedTuple):
    """A batch's bytes, and what each picture of each group takes of them."""

    data: bytes
    bits: list[NDArray[np.float64]]


class Part(NamedTuple):
    """Pixels of a stage that are computed at once: a piece of the pictures of one group."""

    group: int
    piece: Piece

    @property
    def size(self) -> int:
        return int(np.prod(self.piece.shape))


class Stage(NamedTuple):
    """A stage of a scale, of all groups that have it."""

    stride: int
    stage: int
    parts: list[Part]


def stages(shapes: Sequence[Shape]) -> Iterator[Stage]:
    """All stages, coarse to fine, in the order of their decoding."""
    first = [next(lattice.strides(shape.height, shape.width), 1) for shape in shapes]
    stride = max(first)
    while stride > 1:
        groups = [group for group, largest in enumerate(first) if largest >= stride]
        for stage in STAGES:
            sizes = ((group, lattice.size(stage, stride, *shapes[group][1:])) for group in groups)
            yield Stage(
                stride,
                stage,
                [Part(group, piece) for group, size in sizes for piece in _pieces(shapes[group].pictures, *size)],
            )
        stride //= 2


def parts(shapes: Sequence[Shape], channels: int) -> int:
    """At least how many parts batches of these shapes have, in all channels: each takes a while, however small."""
    found = 0
    for shape in shapes:
        scales = sum(1 for _ in lattice.strides(shape.height, shape.width))
        found += channels * len(STAGES) * (scales + shape.pictures * shape.height * shape.width // PIECE_PIXELS)
    return found


def _pieces(pictures: int, rows: int, columns: int) -> Iterator[Piece]:
    """A stage's pixels, some pictures or some rows of one at a time."""
    if not rows * columns:
        return
    many = max(1, PIECE_PIXELS // (rows * columns))
    few = max(1, PIECE_PIXELS // columns)
    for picture in range(0, pictures, many):
        for row in range(0, rows, few):
            part = slice(picture, min(picture + many, pictures), 1), slice(row, min(row + few, rows), 1)
            yield Piece(*part, slice(0, columns, 1))


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


class Walk:
    """The scales of all groups, from the pixels at the top left on."""

    def __init__(self, shapes: Sequence[Shape], depth: int, corners: Sequence[Values], corrected: bool):
        self._shapes = shapes
        self._first = [next(lattice.strides(shape.height, shape.width), 1) for shape in shapes]
        error_type = np.uint16 if depth <= 13 else np.uint32
        self._known = [
            Planes(
                corner,
                np.zeros(corner.shape, error_type),
                np.full(corner.shape if corrected else (0, *corner.shape[1:]), 128, np.uint8),
            )
            for corner in corners
        ]
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
                self.scales[group] = Scale(stride, self._known[group], *self._shapes[group][1:])

    def finished(self) -> list[Values]:
        """The whole pictures (C, N, H, W) of each group."""
        self._join()
        return [known.pixels for known in self._known]

    def _join(self) -> None:
        for group, scale in self.scales.items():
            self._known[group] = scale.join()
        self.scales = {}


class Corrections:
    """What a stage's network says of each part, for all channels."""

    def __init__(self, corrector: Corrector, run: Run, stage: int, depth: int, first: Predictor):
        self._corrector, self._run, self._stage, self._depth, self._first = corrector, run, stage, depth, first

    def of(self, scale: Scale, piece: Piece) -> Correction:
        """Of a piece, which is seen with a margin of rows."""
        radius = self._corrector.radius(self._stage)
        first, last = max(0, piece.rows.start - radius), min(scale.size(self._stage)[0], piece.rows.stop + radius)
        with_margin = piece._replace(rows=slice(first, last, 1))
        outputs = self._run(self.seen(scale, with_margin))
        inside = slice(piece.rows.start - first, piece.rows.stop - first)
        return correction(outputs[:, inside], self._corrector.channels)

    def seen(self, scale: Scale, piece: Piece) -> NDArray[np.uint8]:
        """The network's input."""
        unit = Unit(self._stage, 0, self._corrector.channels)
        prediction = predict(self._first, unit, scale, self._depth, piece)
        classes = self._first.classes().take(prediction.classes)
        return look(scale, self._stage, self._depth, piece, prediction.means, classes)


def corrections(
    corrector: Corrector | None, stage: Stage, depth: int, first: Predictor, engine: Engine
) -> Corrections | None:
    """What is said of a stage; None where nothing is."""
    if corrector is None or stage.stride not in CORRECTED_STRIDES or not stage.parts:
        return None
    run = corrector.prepare(stage.stage, engine, sum(part.size for part in stage.parts))
    return Corrections(corrector, run, stage.stage, depth, first)


def keep(
    scale: Scale, unit: Unit, piece: Piece, values: NDArray[np.int64], prediction: Prediction, own: Predictor
) -> None:
    """Remember how far off a predictor was, for what is predicted later."""
    errors = error_magnitude(values, prediction.means).reshape(piece.shape)
    scale.inside(scale.errors, unit.stage, unit.channel)[piece] = errors
    if len(scale.relative[0]):
        relative = relative_error(values, prediction.means, own.classes().take(prediction.classes))
        scale.inside(scale.relative, unit.stage, unit.channel)[piece] = relative.reshape(piece.shape)


def encode(
    pictures: Sequence[Values],
    depth: int,
    corrector: Corrector | None,
    engine: Engine,
    advance: Advance = ignore,
) -> Encoded:
    """Pictures of each group (C, N, H, W), unsigned integers below 2^depth."""
    channels = pictures[0].shape[0]
    shapes = [Shape(*group.shape[1:]) for group in pictures]
    walk = Walk(shapes, depth, [group[:, :, :1, :1] for group in pictures], corrector is not None)
    found: Parameters = {}
    corners = np.concatenate([group[:, :, 0, 0].ravel() for group in pictures]).astype(np.int64)
    parts: list[tuple[Counts, Counts]] = [_corners(len(corners), depth).intervals(corners)]
    coded: list[bytes] = []
    microbits = [np.zeros(shape.pictures, np.int64) for shape in shapes]
    symbols = len(corners)
    for stage in stages(shapes):
        walk.reach(stage.stride)
        scales = walk.scales
        said: list[Correction | None] = [None] * len(stage.parts)
        for channel in range(channels):
            unit = Unit(stage.stage, channel, channels)
            for group, scale in scales.items():
                scale.inside(scale.pixels, *unit[:2])[:] = scale.split(pictures[group], stage.stage)[channel]
            own = _best(unit, stage, list(scales.values()), depth)
            if channel == 0:
                network = corrections(corrector, stage, depth, own, engine)
                if network is not None:
                    said = list(engine.map(partial(_said, network, scales), stage.parts))
            predictions = engine.map(partial(_predict, own, unit, scales, depth), stage.parts)
            values = [_values(scales, unit, part) for part in stage.parts]
            if network is not None:
                own = _with_gain(own, unit, depth, values, predictions, said)
            if own is not general(unit):
                found[stage.stride, unit.stage, unit.channel] = own
            jobs = list(zip(stage.parts, values, predictions, said, strict=True))
            for part, pair in zip(
                stage.parts, engine.map(partial(_intervals, own, unit, scales, depth), jobs), strict=True
            ):
                if symbols >= STREAM_SYMBOLS:
                    coded.append(streams.encode(parts, PRECISION))
                    parts, symbols = [], 0
                parts.append(pair)
                lengths = code_lengths(pair[1], PRECISION).reshape(part.piece.shape[0], -1)
                microbits[part.group][part.piece.pictures] += lengths.sum(1)
                symbols += part.size
                advance(part.size)
            for scale in scales.values():
                scale.finish(*unit[:2])
    coded.append(streams.encode(parts, PRECISION))
    parameters = pack(found, channels)
    shared = 8 * len(parameters) / sum(shape.pictures for shape in shapes)
    data = b"".join(write_varint(len(part)) + part for part in (parameters, *coded))
    return Encoded(data, [of_group / MICROBITS + shared for of_group in microbits])


def _best(unit: Unit, stage: Stage, scales: list[Scale], depth: int) -> Predictor:
    if stage.stride in FITTED_STRIDES and sum(part.size for part in stage.parts) >= LEAST_FITTED:
        return fit.best(unit, scales, depth, general(unit))
    return general(unit)


def _said(network: Corrections, scales: dict[int, Scale], part: Part) -> Correction:
    return network.of(scales[part.group], part.piece)


def _predict(own: Predictor, unit: Unit, scales: dict[int, Scale], depth: int, part: Part) -> Prediction:
    return predict(own, unit, scales[part.group], depth, part.piece)


def _values(scales: dict[int, Scale], unit: Unit, part: Part) -> NDArray[np.int64]:
    scale = scales[part.group]
    return scale.inside(scale.pixels, *unit[:2])[part.piece].ravel().astype(np.int64)


def _with_gain(
    own: Predictor,
    unit: Unit,
    depth: int,
    values: Sequence[NDArray[np.int64]],
    predictions: Sequence[Prediction],
    said: Sequence[Correction | None],
) -> Predictor:
    """With how much of the network's correction counts, found by some of the pixels."""
    step = max(1, sum(map(len, values)) // GAIN_SAMPLE)
    chosen = slice(None, None, step)

    def bits(tried: Predictor) -> float:
        total = 0
        for actual, prediction, found in zip(values, predictions, said, strict=True):
            part = Prediction(*(array[chosen] for array in prediction))
            assert found is not None
            expected = distribution(
                tried, unit, depth, part, Correction(*(a.reshape(-1, unit.channels)[chosen] for a in found))
            )
            total += int(code_lengths(expected.intervals(actual[chosen])[1], PRECISION).sum())
        return step * total / MICROBITS

    best = min((own._replace(gain=gain) for gain in GAINS), key=bits)
    if best.gain:
        best = min((best._replace(wider=wider) for wider in WIDER), key=bits)
    base = general(unit)
    if own is not base:
        return best
    # a general predictor as it is takes a bit
    return best if bits(best) + length(best, unit) < bits(base) else base


def _intervals(
    own: Predictor,
    unit: Unit,
    scales: dict[int, Scale],
    depth: int,
    job: tuple[Part, NDArray[np.int64], Prediction, Correction | None],
) -> tuple[Counts, Counts]:
    part, values, prediction, said = job
    keep(scales[part.group], unit, part.piece, values, prediction, own)
    return distribution(own, unit, depth, prediction, said).intervals(values)


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
    walk = Walk(shapes, depth, corner, corrector is not None)
    symbols = sum(counts)
    for stage in stages(shapes):
        walk.reach(stage.stride)
        scales = walk.scales
        said: list[Correction | None] = [None] * len(stage.parts)
        for channel in range(channels):
            unit = Unit(stage.stage, channel, channels)
            own = parameters.get((stage.stride, *unit[:2])) or general(unit)
            if channel == 0:
                network = corrections(corrector, stage, depth, own, engine)
                if network is not None:
                    said = list(engine.map(partial(_said, network, scales), stage.parts))
            # computed side by side, while symbols are popped
            job = partial(_predicted, own, unit, scales, depth)
            waiting = [engine.submit(partial(job, *pair)) for pair in zip(stage.parts, said, strict=True)]
            for part, future in zip(stage.parts, waiting, strict=True):
                if symbols >= STREAM_SYMBOLS:
                    stream.finish()
                    stream, symbols = next_stream(), 0
                prediction, expected = future.result()
                values = stream.pop(expected)
                scale = scales[part.group]
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


def _predicted(
    own: Predictor, unit: Unit, scales: dict[int, Scale], depth: int, part: Part, said: Correction | None
) -> tuple[Prediction, ScaledShapes]:
    prediction = _predict(own, unit, scales, depth, part)
    return prediction, distribution(own, unit, depth, prediction, said)


def distribution(
    own: Predictor, unit: Unit, depth: int, prediction: Prediction, said: Correction | None
) -> ScaledShapes:
    """Of the values of a part."""
    if said is None or not own.gain:
        return ScaledShapes(depth, prediction.means, own.classes().take(prediction.classes), own.shape)
    return ScaledShapes(depth, *moved(own, prediction, *said.of(unit.channel), depth))


def _corners(count: int, depth: int) -> ScaledShapes:
    """Of the pixels at the top left, of which nothing is known."""
    middle, wide = np.full(count, 1 << (depth - 1 + MEAN_BITS)), np.full(count, CLASSES_PER_OCTAVE * (depth + 3))
    return ScaledShapes(depth, middle, wide, LOGISTIC)
