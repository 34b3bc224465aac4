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
from bbcompress.codec.corrector import Correction, Corrector, usual
from bbcompress.codec.fit import THOROUGH, Effort
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
LEAST_SAVING = 1 / 32
"""Part of a unit's bits that another predictor than a model's must save without networks, as these know its own."""


class Encoded(NamedTuple):
    """A batch's bytes, and what each picture of each group takes of them."""

    data: bytes
    bits: list[NDArray[np.float64]]


def encode(
    pictures: Sequence[Values],
    depth: int,
    corrector: Corrector | None,
    engine: Engine,
    advance: Advance = ignore,
    effort: Effort = THOROUGH,
) -> Encoded:
    """Pictures of each group (C, N, H, W), unsigned integers below 2^depth."""
    output = _Streams(engine)
    taken = _Bits(pictures)
    for intervals in _corners(pictures, depth):
        output.add(intervals)
        taken.add_corners(intervals[1])
    found: Parameters = {}
    for part, intervals in _intervals(pictures, depth, corrector, engine, found, effort):
        output.add(intervals)
        taken.add(part, intervals[1])
        advance(part.size)
    parameters = pack(found, len(pictures[0]), partial(usual, corrector))
    shared = 8 * len(parameters) / sum(group.shape[1] for group in pictures)
    data = b"".join(write_varint(len(part)) + part for part in (parameters, *output.finished()))
    return Encoded(data, [bits + shared for bits in taken.bits])


def estimate(
    pictures: Sequence[Values], depth: int, corrector: Corrector | None, engine: Engine
) -> list[NDArray[np.float64]]:
    """The bits that each picture of each group takes by the usual predictors, with networks that count in full: for
    comparing models, as finding more takes long."""
    taken = _Bits(pictures)
    for _, freqs in _corners(pictures, depth):
        taken.add_corners(freqs)
    for part, intervals in _intervals(pictures, depth, corrector, engine):
        taken.add(part, intervals[1])
    return taken.bits


def _corners(pictures: Sequence[Values], depth: int) -> Iterator[tuple[Counts, Counts]]:
    """Of the pixels at the top left: of the first channel, then of the others, of each group channel by channel."""
    channels = len(pictures[0])
    firsts = [group[0, :, 0, 0] for group in pictures]
    first = np.concatenate(firsts).astype(np.int64)
    yield lattice_streams.first_corners(len(first), depth).intervals(first)
    others = np.concatenate([group[1:, :, 0, 0].ravel() for group in pictures]).astype(np.int64)
    yield lattice_streams.other_corners(firsts, channels, depth).intervals(others)


def _intervals(
    pictures: Sequence[Values],
    depth: int,
    corrector: Corrector | None,
    engine: Engine,
    found: Parameters | None = None,
    effort: Effort | None = None,
) -> Iterator[tuple[Part, tuple[Counts, Counts]]]:
    """Of all parts in the order of their decoding; puts other predictors than the usual ones, fitted with this effort,
    into `found`, or uses none without it."""
    channels = pictures[0].shape[0]
    errors: list[list[NDArray[np.int32]]] = []
    # networks of a unit are evaluated while the next one is fitted
    for stage, unit, own, parts, networks in _one_behind(_units(pictures, depth, corrector, engine, effort)):
        if unit.channel == 0:
            errors = [[] for _ in stage.parts]
        before = usual(corrector, stage.stride, unit)
        said = [networks.of(unit.channel, number) for number in range(len(stage.parts))]
        if networks.corrected and effort and stage.stride in FITTED_STRIDES:
            own = with_gain(own, before, unit, depth, parts, said, errors)
        if found is not None and own is not before:
            found[stage.stride, unit.stage, unit.channel] = own
        for part, predicted, correction, known in zip(stage.parts, parts, said, errors, strict=True):
            actual, prediction = predicted.taken()
            told = expected(own, unit, depth, prediction, correction, known)
            if networks.corrected and unit.channel < channels - 1:
                known.append(told.errors(actual))
            yield part, told.distribution(depth).intervals(actual)


class _Predicted(NamedTuple):
    """A unit of a stage, with a predictor and what it says of each part."""

    stage: Stage
    unit: Unit
    own: Predictor
    parts: list[PredictedPart]
    networks: Corrections


def _units(
    pictures: Sequence[Values], depth: int, corrector: Corrector | None, engine: Engine, effort: Effort | None
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
        worth_fitting = True
        for stage, unit in units:
            own = before = usual(corrector, stride, unit)
            if effort and worth_fitting and _may_be_fitted(stage, effort):
                of_model = before is not general(unit)
                own = fit.best(unit, list(scales.values()), depth, before, effort, LEAST_SAVING if of_model else 0.0)
                # a model's predictors serve all units of its kind of pictures, or none of others
                worth_fitting = own is not before or not of_model
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


def _may_be_fitted(stage: Stage, effort: Effort) -> bool:
    return stage.stride in effort.strides and sum(part.size for part in stage.parts) >= LEAST_FITTED


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


class _Bits:
    """What each picture of each group takes."""

    def __init__(self, pictures: Sequence[Values]):
        self._microbits = [np.zeros(group.shape[1], np.int64) for group in pictures]

    def add_corners(self, freqs: Counts) -> None:
        """Of some channels; see `_corners`."""
        lengths = code_lengths(freqs, PRECISION)
        channels = len(lengths) // sum(map(len, self._microbits))
        for of_group in self._microbits:
            count = len(of_group)
            of_group += lengths[: channels * count].reshape(channels, count).sum(0)
            lengths = lengths[channels * count :]

    def add(self, part: Part, freqs: Counts) -> None:
        lengths = code_lengths(freqs, PRECISION).reshape(part.piece.shape[0], -1)
        self._microbits[part.group][part.piece.pictures] += lengths.sum(1)

    @property
    def bits(self) -> list[NDArray[np.float64]]:
        return [of_group / MICROBITS for of_group in self._microbits]


class _Streams:
    """Puts parts together to streams, each of which is written beside what is coded next."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._intervals: list[tuple[Words, Words]] = []
        self._symbols = 0
        self._written: list[Future[bytes]] = []

    def add(self, intervals: tuple[Counts, Counts]) -> None:
        """After those before."""
        if self._symbols >= lattice_streams.STREAM_SYMBOLS:
            self._write()
        starts, freqs = intervals
        self._intervals.append((starts.astype(np.uint32), freqs.astype(np.uint32)))
        self._symbols += len(starts)

    def finished(self) -> list[bytes]:
        """All streams."""
        self._write()
        return [future.result() for future in self._written]

    def _write(self) -> None:
        if self._written:
            self._written[-1].result()  # intervals of two streams are held, not of all
        self._written.append(self._engine.submit(partial(streams.encode, self._intervals, PRECISION)))
        self._intervals, self._symbols = [], 0
