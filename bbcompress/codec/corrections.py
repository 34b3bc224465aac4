"""What is said of a stage's pixels: predictions, what networks add to them, and the distributions that come of both."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.corrector import (
    Correction,
    Corrector,
    channel_slices,
    correction,
    look,
    look_again,
    relative_error,
)
from bbcompress.codec.lattice import Scale
from bbcompress.codec.lattice_walk import Shape, Stage, stages
from bbcompress.codec.predictor import Piece, Prediction, Predictor, Unit, error_magnitude, moved, predict
from bbcompress.coding.shapes import MEAN_BITS, ScaledShapes
from bbcompress.exact.engine import Engine
from bbcompress.exact.int8 import Network
from bbcompress.exact.int8_numpy import Run

Integers = NDArray[Any]
AHEAD_PIXELS = 1 << 19
"""Of parts whose networks run at a time."""


class Corrections:
    """What predictors and networks say of a stage's parts, each after those of channels before.

    Networks run on the engine's threads, beside all else: many short calls of numpy on several threads take longer than
    on one. Where networks correct, the first channel's pixels are predicted with some rows beyond a part, which a
    network sees too.
    """

    def __init__(
        self, corrector: Corrector | None, stage: Stage, scales: Mapping[int, Scale], depth: int, engine: Engine
    ):
        self._stage, self._scales, self._depth, self._engine = stage, scales, depth, engine
        self._correctors: dict[int, tuple[range, Network]] = {}
        """By channel: the slice that it is of, and its network."""
        if corrector is not None and stage.parts:
            # none, where this scale is not corrected
            networks = corrector.networks(stage.stride, stage.stage)
            for pair in zip(channel_slices(corrector.channels), networks, strict=False):
                self._correctors |= dict.fromkeys(pair[0], pair)
        self.radius = max((network.radius for _, network in self._correctors.values()), default=0)
        """Rows beyond a part that networks see."""
        # by the number of the part, until it is used
        self._predicted: dict[int, tuple[Prediction, Integers]] = {}
        self._seen: dict[int, NDArray[np.uint8]] = {}
        self._said: dict[tuple[range, int], Future[Correction]] = {}

    @property
    def corrected(self) -> bool:
        """Whether networks say anything."""
        return bool(self._correctors)

    @property
    def ahead(self) -> int:
        """Parts of the first channel whose networks may run at any time: what they see takes memory."""
        return max(3, AHEAD_PIXELS // max((part.size for part in self._stage.parts), default=1))

    def has_network(self, channel: int) -> bool:
        """Whether there is one whose first channel this is."""
        return self.corrected and self._correctors[channel][0].start == channel

    def predict(self, own: Predictor, unit: Unit, number: int) -> Prediction:
        """What a channel's predictor says of the part of this number."""
        group, piece = self._stage.parts[number]
        scale = self._scales[group]
        if not self.corrected or unit.channel:
            return predict(own, unit, scale, self._depth, piece)
        wide = self._with_margin(scale, piece)
        prediction = predict(own, unit, scale, self._depth, wide)
        self._predicted[number] = prediction, own.classes().take(prediction.classes)
        inside = _inside(piece, wide)
        return Prediction(*(array.reshape(wide.shape)[:, inside].ravel() for array in prediction))

    def begin(self, channel: int, number: int) -> "Future[Correction] | None":
        """Run the network of a channel and of others after it, if it is their first, once the pixels around a part of
        all channels before it are known."""
        if not self.has_network(channel):
            return None
        stage = self._stage.stage
        channel_slice, network = self._correctors[channel]
        group, piece = self._stage.parts[number]
        scale = self._scales[group]
        wide = self._with_margin(scale, piece)
        if channel:
            seen = look_again(scale, stage, channel_slice, wide, self._seen.pop(number))
        else:
            prediction, classes = self._predicted.pop(number)
            seen = look(scale, stage, self._depth, wide, prediction.means, classes)
            if channel_slice.stop in self._correctors:
                self._seen[number] = seen
        future = self._engine.submit(partial(self._run, network, seen, _inside(piece, wide), channel_slice))
        self._said[channel_slice, number] = future
        return future

    def of(self, channel: int, number: int) -> Correction | None:
        """What is said of a channel in the part of this number, once each, after `begin`; None where nothing is."""
        if not self.corrected:
            return None
        channel_slice, _ = self._correctors[channel]
        said = self._said[channel_slice, number].result().of(channel, channel_slice)
        if channel == channel_slice[-1]:
            del self._said[channel_slice, number]
        return said

    def _run(self, network: Network, seen: NDArray[np.uint8], rows: slice, channel_slice: range) -> Correction:
        return correction(outputs(self._engine.prepared(network), seen, rows), channel_slice)

    def cancel(self) -> None:
        """What networks have not begun to say."""
        for future in self._said.values():
            future.cancel()

    def _with_margin(self, scale: Scale, piece: Piece) -> Piece:
        rows = piece.rows
        last = min(scale.size(self._stage.stage)[0], rows.stop + self.radius)
        return piece._replace(rows=slice(max(0, rows.start - self.radius), last, 1))


def _inside(piece: Piece, wide: Piece) -> slice:
    """A piece's rows among those with a margin."""
    return slice(piece.rows.start - wide.rows.start, piece.rows.stop - wide.rows.start)


def outputs(run: Run, seen: NDArray[np.uint8], rows: slice) -> NDArray[Any]:
    """A network's, of some of the rows that it sees."""
    return run(seen)[:, rows]


def expect(engine: Engine, corrector: Corrector | None, shapes: Sequence[Shape]) -> None:
    """Tell the engine of all networks that pictures of these sizes need."""
    if corrector is None:
        return
    work = 0
    for stage in stages(shapes):
        of_pixel = sum(network.multiply_adds for network in corrector.networks(stage.stride, stage.stage))
        work += of_pixel * sum(part.size for part in stage.parts)
    engine.expect(work, corrector.all_networks)


def keep(
    scale: Scale, unit: Unit, piece: Piece, values: NDArray[np.int64], prediction: Prediction, own: Predictor
) -> None:
    """Remember how far off a predictor was, for what is predicted later, once the pixels themselves are there."""
    errors = error_magnitude(values, prediction.means).reshape(piece.shape)
    scale.inside(scale.errors, unit.stage, unit.channel)[piece] = errors
    if len(scale.relative[0]):
        relative = relative_error(values, prediction.means, own.classes().take(prediction.classes))
        scale.inside(scale.relative, unit.stage, unit.channel)[piece] = relative.reshape(piece.shape)
    scale.extend(unit.stage, unit.channel, piece.pictures, piece.rows)


class Expected(NamedTuple):
    """What is expected of the values of a part, in the end: see `ScaledShapes`."""

    means: Integers
    classes: Integers
    shapes: Integers | int

    def distribution(self, depth: int) -> ScaledShapes:
        return ScaledShapes(depth, *self)

    def errors(self, values: NDArray[np.int64]) -> NDArray[np.int32]:
        """How far off the means are, in 2^-6 steps of values."""
        return ((values << MEAN_BITS) - self.means).astype(np.int32)


def expected(
    own: Predictor,
    unit: Unit,
    depth: int,
    prediction: Prediction,
    said: Correction | None,
    errors: Sequence[NDArray[np.int32]],
) -> Expected:
    """Of a part's pixels, of which a network said something, and whose channels before were off by `errors`; these are
    of no matter where nothing is said."""
    if said is None or not own.gain:
        return Expected(prediction.means, own.classes().take(prediction.classes), own.shape)
    means, classes, shapes, couplings = said
    coupled = np.zeros(len(means), np.int64)
    for channel, error in enumerate(errors):
        coupled += np.multiply(couplings[:, channel], error, dtype=np.int64)
    return Expected(*moved(own, prediction, depth, means, classes, shapes, coupled))
