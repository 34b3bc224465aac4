"""The inverse of `bbcompress.codec.lattice_encoder`.

Symbols are popped on one thread, while on the engine's other threads networks run for parts to come, as far as these
hang on nothing that is still to be popped.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec import lattice_streams, streams
from bbcompress.codec.corrections import Corrections, expect, expected, keep
from bbcompress.codec.corrector import Corrector, usual
from bbcompress.codec.lattice import MARGIN, Values
from bbcompress.codec.lattice_walk import Part, Shape, Stage, Walk, stages
from bbcompress.codec.parameters import unpack
from bbcompress.codec.predictor import Prediction, Predictor, Unit
from bbcompress.exact.engine import Engine
from bbcompress.progress import Advance, ignore
from bbcompress.varint import Malformed, Reader


class _Coded(NamedTuple):
    """One channel of a stage."""

    stage: Stage
    unit: Unit
    own: Predictor
    networks: Corrections
    errors: list[list[NDArray[np.int32]]]
    """Of each part, channel by channel, where networks correct."""


def decode(
    data: bytes,
    shapes: Sequence[Shape],
    channels: int,
    depth: int,
    corrector: Corrector | None,
    engine: Engine,
    advance: Advance = ignore,
) -> list[Values]:
    """The pictures (C, N, H, W) of each group. Raises DamagedChain or Malformed, both ValueErrors."""
    reader = Reader(data)
    parameters = unpack(reader.take(reader.varint(len(data))), channels, partial(usual, corrector))
    sizes = iter(lattice_streams.sizes(shapes, channels))

    def next_stream() -> streams.Decoder:
        return streams.Decoder(reader.take(reader.varint(len(data))), next(sizes))

    stream = next_stream()
    corners = _corners(stream, [shape.pictures for shape in shapes], channels, depth)
    expect(engine, corrector, shapes)
    walk = Walk(shapes, depth, corners, corrector is not None)
    symbols = sum(corner.size for corner in corners)
    for stride, its_stages in groupby(stages(shapes), lambda stage: stage.stride):
        walk.reach(stride)
        units = []
        for stage in its_stages:
            networks = Corrections(corrector, stage, walk.scales, depth, engine)
            errors: list[list[NDArray[np.int32]]] = [[] for _ in stage.parts]
            for channel in range(channels):
                unit = Unit(stage.stage, channel, channels)
                own = parameters.get((stride, *unit[:2])) or usual(corrector, stride, unit)
                units.append(_Coded(stage, unit, own, networks, errors))
        ahead = _Ahead(units)
        try:
            for stage, unit, own, networks, errors in units:
                for number, part in enumerate(stage.parts):
                    prediction = ahead.next()
                    told = expected(own, unit, depth, prediction, networks.of(unit.channel, number), errors[number])
                    if symbols >= lattice_streams.STREAM_SYMBOLS:
                        stream.finish()
                        stream, symbols = next_stream(), 0
                    values = stream.pop(told.distribution(depth))
                    if unit.channel == channels - 1:
                        errors[number].clear()
                    elif networks.corrected:
                        errors[number].append(told.errors(values))
                    scale = walk.scales[part.group]
                    scale.inside(scale.pixels, *unit[:2])[part.piece] = values.reshape(part.piece.shape)
                    keep(scale, unit, part.piece, values, prediction, own)
                    symbols += part.size
                    advance(part.size)
        finally:
            for coded in units:
                coded.networks.cancel()
    stream.finish()
    if reader.remaining:
        raise Malformed("bytes after the last stream")
    return walk.finished()


def _corners(stream: streams.Decoder, pictures: Sequence[int], channels: int, depth: int) -> list[Values]:
    """The pixels (C, N, 1, 1) at the top left of each group's pictures."""
    first = np.split(stream.pop(lattice_streams.first_corners(sum(pictures), depth)), np.cumsum(pictures)[:-1])
    others = stream.pop(lattice_streams.other_corners(first, channels, depth))
    found = []
    for of_group in first:
        count = (channels - 1) * len(of_group)
        of_all = np.concatenate([of_group, others[:count]]).reshape(channels, -1, 1, 1)
        found.append(of_all.astype(np.uint8 if depth <= 8 else np.uint16))
        others = others[count:]
    return found


class _Ahead:
    """Predictions of parts, unit by unit; networks begin before they are asked for.

    A part hangs on units before its own, of the last of them on the rows around its own: so networks of two units may
    run at any time.
    """

    def __init__(self, units: Sequence[_Coded]):
        self._units = units
        self._needs = [
            _needed(before.stage.parts, unit.stage.parts, unit.networks.radius + MARGIN)
            for before, unit in zip([units[0], *units], units, strict=False)
        ]
        """For each unit's parts: how many of the unit before must be known."""
        self._unit, self._known = 0, 0
        """Where decoding is: so many units, and parts of the present one, are known."""
        self._begun: list[deque[Prediction]] = [deque() for _ in units]
        self._beginnings = [0] * len(units)

    def next(self) -> Prediction:
        """Of the next part, all before which are known."""
        while self._known == len(self._units[self._unit].stage.parts):
            self._unit, self._known = self._unit + 1, 0
        self._begin(self._unit, self._known + self._most(self._unit))
        if self._unit + 1 < len(self._units):
            ready = bisect_right(self._needs[self._unit + 1], self._known)
            self._begin(self._unit + 1, min(ready, self._most(self._unit + 1) - 1))
        self._known += 1
        return self._begun[self._unit].popleft()

    def _begin(self, number: int, most: int) -> None:
        """Parts of a unit up to so many."""
        stage, unit, own, networks, _ = self._units[number]
        for part in range(self._beginnings[number], min(most, len(stage.parts))):
            self._begun[number].append(networks.predict(own, unit, part))
            networks.begin(unit.channel, part)
            self._beginnings[number] += 1

    def _most(self, number: int) -> int:
        """Parts of a unit that are begun while none of it is known, or one more than is known."""
        unit = self._units[number]
        if not unit.networks.has_network(unit.unit.channel):
            return 1
        return len(unit.stage.parts) if unit.unit.channel else unit.networks.ahead


def _needed(before: Sequence[Part], parts: Sequence[Part], rows: int) -> list[int]:
    """For each part, how many of those of the stage before must be known, with so many rows around it."""
    starts = [(group, piece.pictures.start, piece.rows.start) for group, piece in before]
    return [bisect_left(starts, (group, piece.pictures.stop - 1, piece.rows.stop + rows)) for group, piece in parts]
