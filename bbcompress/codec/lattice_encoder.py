"""Pictures coded coarse to fine by predictors that the file brings, without latents: a method of its own beside chains.

What is coded is a *batch*: pictures of the same channels and depth, in groups of one size each. Its parameters come
first, then one stream or, of large pictures, several. Encoder and decoder (`bbcompress.codec.lattice_decoder`) go
through scales, stages, channels and pieces in the same order (`bbcompress.codec.lattice_walk`); a piece's symbols are
coded together, as their distributions hang on nothing of their own unit.

Predictors are fitted one after the other, as each hangs on how far off those before it were; networks run and streams
are written on the engine's threads beside that.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec import fit, lattice_streams, streams
from bbcompress.codec.corrections import Corrections, expect, expected, keep
from bbcompress.codec.corrector import Correction, Corrector
from bbcompress.codec.fit_gain import PredictedPart, with_gain
from bbcompress.codec.general import general
from bbcompress.codec.lattice import STAGES, Scale, Values
from bbcompress.codec.lattice_walk import Part, Shape, Stage, Walk, stages
from bbcompress.codec.parameters import FITTED_STRIDES, Parameters, pack
from bbcompress.codec.predictor import Predictor, Unit
from bbcompress.coding.distributions import MICROBITS, code_lengths
from bbcompress.coding.rans import Counts, Words
from bbcompress.coding.shapes import PRECISION
from bbcompress.exact.engine import Engine
from bbcompress.progress import Advance, ignore
from bbcompress.varint import write_varint

LARGE_UNIT = 1 << 19
"""Pixels of a unit that has work enough for all threads by itself."""
LEAST_FITTED = 1 << 7
"""Pixels of a unit that may save as much as a predictor of their own takes: 150 bits and more."""


class Encoded(NamedTuple):
    """A batch's bytes, and what each picture of each group takes of them."""

    data: bytes
    bits: list[NDArray[np.float64]]


def encode(
    pictures: Sequence[Values],
    depth: int,
    corrector: Corrector | None,
    engine: Engine,
    fitted: bool = True,
    advance: Advance = ignore,
) -> Encoded:
    """Pictures of each group (C, N, H, W), unsigned integers below 2^depth; unless `fitted` by general predictors, with
    networks that count in full."""
    channels = pictures[0].shape[0]
    shapes = [Shape(*group.shape[1:]) for group in pictures]
    found: Parameters = {}
    corners = np.concatenate([group[:, :, 0, 0].ravel() for group in pictures]).astype(np.int64)
    output = _Streams(shapes, engine, advance)
    output.begin(lattice_streams.corners(len(corners), depth).intervals(corners))
    errors: list[list[NDArray[np.int32]]] = []
    # networks of a unit are evaluated while the next one is fitted
    for stage, unit, own, parts, networks in _one_behind(_units(pictures, depth, corrector, engine, fitted)):
        if unit.channel == 0:
            errors = [[] for _ in stage.parts]
        said = [networks.of(unit.channel, number) for number in range(len(stage.parts))]
        if networks.corrected and fitted:
            own = with_gain(own, unit, depth, parts, said, errors)
        if own is not general(unit):
            found[stage.stride, unit.stage, unit.channel] = own
        for part, predicted, correction, before in zip(stage.parts, parts, said, errors, strict=True):
            actual, prediction = predicted.taken()
            told = expected(own, unit, depth, prediction, correction, before)
            if networks.corrected and unit.channel < channels - 1:
                before.append(told.errors(actual))
            output.add(part, told.distribution(depth).intervals(actual))
    parameters = pack(found, channels)
    shared = 8 * len(parameters) / sum(shape.pictures for shape in shapes)
    data = b"".join(write_varint(len(part)) + part for part in (parameters, *output.finished()))
    return Encoded(data, [of_group / MICROBITS + shared for of_group in output.microbits])


class _Predicted(NamedTuple):
    """A unit of a stage, with a predictor and what it says of each part."""

    stage: Stage
    unit: Unit
    own: Predictor
    parts: list[PredictedPart]
    networks: Corrections


def _units(
    pictures: Sequence[Values], depth: int, corrector: Corrector | None, engine: Engine, fitted: bool
) -> Iterator[_Predicted]:
    """All units in the order of their coding, which hang on each other only through what is remembered of their
    predictors: not on what networks say."""
    channels = pictures[0].shape[0]
    shapes = [Shape(*group.shape[1:]) for group in pictures]
    expect(engine, corrector, shapes)
    walk = Walk(shapes, depth, [group[:, :, :1, :1] for group in pictures], corrector is not None)
    for stride, its_stages in groupby(stages(shapes), lambda stage: stage.stride):
        walk.reach(stride)
        scales = walk.scales
        for group, scale in scales.items():
            _fill(scale, pictures[group])
        units = [(stage, Unit(stage.stage, channel, channels)) for stage in its_stages for channel in range(channels)]
        for stage, unit in units:
            own = general(unit)
            if fitted and _worth_fitting(stage):
                own = fit.best(unit, list(scales.values()), depth, own)
            if unit.channel == 0:
                networks = Corrections(corrector, stage, scales, depth, engine)
            parts = [_predicted(stage, unit, own, scales, networks, number) for number in range(len(stage.parts))]
            if unit.channel == 0:
                _begin_networks(networks, channels, len(stage.parts))
            yield _Predicted(stage, unit, own, parts, networks)
            del parts


def _fill(scale: Scale, pictures: Values) -> None:
    """All that a scale will know."""
    for stage in STAGES:
        for channel, pixels in enumerate(scale.split(pictures, stage)):
            scale.inside(scale.pixels, stage, channel)[:] = pixels
            scale.extend(stage, channel)


def _worth_fitting(stage: Stage) -> bool:
    return stage.stride in FITTED_STRIDES and sum(part.size for part in stage.parts) >= LEAST_FITTED


def _predicted(
    stage: Stage, unit: Unit, own: Predictor, scales: dict[int, Scale], networks: Corrections, number: int
) -> PredictedPart:
    """A part, of which is remembered how far off predictions are."""
    group, piece = stage.parts[number]
    scale = scales[group]
    values = scale.inside(scale.pixels, *unit[:2])[piece].ravel()
    prediction = networks.predict(own, unit, number)
    keep(scale, unit, piece, values.astype(np.int64), prediction, own)
    return PredictedPart(values, prediction.means.astype(np.int32), prediction.classes.astype(np.uint8))


def _begin_networks(networks: Corrections, channels: int, parts: int) -> None:
    """Of all channels of a stage; those of the last parts may still run when this ends."""
    running: deque[Future[Correction]] = deque()
    for number in range(parts):
        for channel in range(channels):
            future = networks.begin(channel, number)
            if future is not None:
                running.append(future)
        while len(running) > networks.ahead:
            running.popleft().result()


def _one_behind(units: Iterator[_Predicted]) -> Iterator[_Predicted]:
    """The same, each once the next one is there, unless they are so large that this takes much memory."""
    last: _Predicted | None = None
    for unit in units:
        if last is not None:
            yield last
        last = unit
        if sum(part.size for part in unit.stage.parts) > LARGE_UNIT:
            yield unit
            last = None
    if last is not None:
        yield last


class _Streams:
    """Puts parts together to streams, each of which is written beside what is coded next."""

    def __init__(self, shapes: Sequence[Shape], engine: Engine, advance: Advance):
        self.microbits = [np.zeros(shape.pictures, np.int64) for shape in shapes]
        """What each picture takes."""
        self._engine, self._advance = engine, advance
        self._intervals: list[tuple[Words, Words]] = []
        self._symbols = 0
        self._written: list[Future[bytes]] = []

    def begin(self, intervals: tuple[Counts, Counts]) -> None:
        """With symbols that are no part's."""
        starts, freqs = intervals
        self._intervals.append((starts.astype(np.uint32), freqs.astype(np.uint32)))
        self._symbols += len(starts)

    def add(self, part: Part, intervals: tuple[Counts, Counts]) -> None:
        """After those before."""
        if self._symbols >= lattice_streams.STREAM_SYMBOLS:
            self._write()
        self.begin(intervals)
        lengths = code_lengths(intervals[1], PRECISION).reshape(part.piece.shape[0], -1)
        self.microbits[part.group][part.piece.pictures] += lengths.sum(1)
        self._advance(part.size)

    def finished(self) -> list[bytes]:
        """All streams."""
        self._write()
        return [future.result() for future in self._written]

    def _write(self) -> None:
        if self._written:
            self._written[-1].result()  # intervals of two streams are held, not of all
        self._written.append(self._engine.submit(partial(streams.encode, self._intervals, PRECISION)))
        self._intervals, self._symbols = [], 0
