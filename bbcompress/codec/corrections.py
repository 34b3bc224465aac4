"""What is said of a stage's pixels: predictions, what networks add to them, and the distributions that come of both."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.corrector import Correction, Corrector, correction, look, look_again, relative_error, turns
from bbcompress.codec.lattice import STAGES, Scale
from bbcompress.codec.lattice_walk import Shape, Stage, stages
from bbcompress.codec.parameters import FITTED_STRIDES
from bbcompress.codec.predictor import Piece, Prediction, Predictor, Unit, error_magnitude, moved, predict
from bbcompress.coding.shapes import MEAN_BITS, ScaledShapes
from bbcompress.exact.engine import Engine
from bbcompress.exact.int8_numpy import Run

Integers = NDArray[Any]
CORRECTED_STRIDES = FITTED_STRIDES
"""Scales that networks correct; coarser ones hold too few pixels."""


KEPT_BYTES = 1 << 27
"""Of what a stage's first network saw, kept for its second; what is beyond is made again."""


class Corrections:
    """What a stage's networks say of each part.

    A network is evaluated once channels before its own are known, parts side by side, and beside what is done until it
    is asked for.
    """

    def __init__(
        self, corrector: Corrector | None, stage: Stage, scales: Mapping[int, Scale], depth: int, engine: Engine
    ):
        corrected = stage.stride in CORRECTED_STRIDES and stage.parts
        self._corrector = corrector if corrected else None
        self._stage, self._scales, self._depth, self._engine = stage, scales, depth, engine
        self._turns = turns(corrector.channels) if corrector else ()
        self._first: Predictor
        self._said: dict[range, list[Future[Correction]]] = {}
        self._seen: dict[int, NDArray[np.uint8]] = {}
        """By the number of the part, as far as it is kept: views of one array, which is given back as a whole."""
        self._kept, self._used, self._keeping = np.empty(0, np.uint8), 0, threading.Lock()

    def begin(self, channel: int, own: Predictor) -> None:
        """Evaluate the network of a channel and of others after it, if it is their first; `own` is its predictor."""
        if channel == 0:
            self._first = own
        turn = next((turn for turn in self._turns if turn.start == channel), None)
        if self._corrector is None or turn is None:
            return
        place = self._turns.index(turn)
        run = self._engine.prepared(self._corrector.networks[self._stage.stage][place])
        before = self._said[self._turns[place - 1]] if place else None
        self._said[turn] = [
            self._engine.submit(partial(self._evaluated, run, turn, number, before[number] if before else None))
            for number in range(len(self._stage.parts))
        ]

    def of(self, channel: int, number: int) -> Correction | None:
        """What is said of a channel in the part of this number, after `begin`; None where nothing is."""
        if self._corrector is None:
            return None
        turn = next(turn for turn in self._turns if channel in turn)
        return self._said[turn][number].result().of(channel, turn)

    def _evaluated(self, run: Run, turn: range, number: int, before: "Future[Correction] | None") -> Correction:
        if before is not None:
            before.result()  # it keeps what it saw
        group, piece = self._stage.parts[number]
        return self.evaluate(run, turn, number, self._scales[group], piece)

    def evaluate(self, run: Run, turn: range, number: int, scale: Scale, piece: Piece) -> Correction:
        """What a turn's network says of a piece, the part of this number, which it sees with a margin of rows."""
        assert self._corrector is not None
        rows = piece.rows
        radius = self._corrector.radius(self._stage.stage)
        first, last = max(0, rows.start - radius), min(scale.size(self._stage.stage)[0], rows.stop + radius)
        outputs = run(self._visible(scale, turn, number, piece._replace(rows=slice(first, last, 1))))
        inside = slice(rows.start - first, rows.stop - first)
        return correction(outputs[:, inside], turn)

    def _visible(self, scale: Scale, turn: range, number: int, piece: Piece) -> NDArray[np.uint8]:
        """The network's input."""
        assert self._corrector is not None
        channels, stage = self._corrector.channels, self._stage.stage
        seen = self._seen.pop(number, None)
        if seen is None:
            prediction = predict(self._first, Unit(stage, 0, channels), scale, self._depth, piece)
            classes = self._first.classes().take(prediction.classes)
            seen = look(scale, stage, self._depth, piece, prediction.means, classes)
        if turn.start:
            return look_again(scale, stage, turn, piece, seen)
        if channels > 1:
            self._keep(number, seen)
        return seen

    def _keep(self, number: int, seen: NDArray[np.uint8]) -> None:
        """For the next network, if there is room."""
        with self._keeping:
            if not self._used:
                self._kept = np.empty(KEPT_BYTES, np.uint8)  # only what is written to takes memory
            first, last = self._used, self._used + seen.size
            if last > KEPT_BYTES:
                return
            self._used = last
        self._seen[number] = self._kept[first:last].reshape(seen.shape)
        self._seen[number][:] = seen


def multiply_adds(corrector: Corrector | None, shapes: Sequence[Shape]) -> int:
    """Of all networks, for pictures of these sizes."""
    if corrector is None:
        return 0
    each = {stage: sum(network.multiply_adds for network in corrector.networks[stage]) for stage in STAGES}
    corrected = (stage for stage in stages(shapes) if stage.stride in CORRECTED_STRIDES)
    return sum(each[stage.stage] * part.size for stage in corrected for part in stage.parts)


def keep(
    scale: Scale, unit: Unit, piece: Piece, values: NDArray[np.int64], prediction: Prediction, own: Predictor
) -> None:
    """Remember how far off a predictor was, for what is predicted later."""
    errors = error_magnitude(values, prediction.means).reshape(piece.shape)
    scale.inside(scale.errors, unit.stage, unit.channel)[piece] = errors
    if len(scale.relative[0]):
        relative = relative_error(values, prediction.means, own.classes().take(prediction.classes))
        scale.inside(scale.relative, unit.stage, unit.channel)[piece] = relative.reshape(piece.shape)


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
