"""What is said of a stage's pixels: predictions, what networks add to them, and the distributions that come of both."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.corrector import Correction, Corrector, correction, look, relative_error
from bbcompress.codec.lattice import Scale
from bbcompress.codec.lattice_walk import Stage
from bbcompress.codec.parameters import FITTED_STRIDES
from bbcompress.codec.predictor import Piece, Prediction, Predictor, Unit, error_magnitude, moved, predict
from bbcompress.coding.shapes import MEAN_BITS, ScaledShapes
from bbcompress.exact.engine import Engine
from bbcompress.exact.int8_numpy import Run

Integers = NDArray[Any]
CORRECTED_STRIDES = FITTED_STRIDES
"""Scales that networks correct; coarser ones hold too few pixels."""


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
    corrector: Corrector | None, stage: Stage, scales: Mapping[int, Scale], depth: int, first: Predictor, engine: Engine
) -> list[Correction | None]:
    """What is said of each part of a stage; None where nothing is. Parts are computed side by side."""
    if corrector is None or stage.stride not in CORRECTED_STRIDES or not stage.parts:
        return [None] * len(stage.parts)
    run = corrector.prepare(stage.stage, engine, sum(part.size for part in stage.parts))
    network = Corrections(corrector, run, stage.stage, depth, first)
    return list(engine.map(lambda part: network.of(scales[part.group], part.piece), stage.parts))


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
    """Of a part's pixels, whose channels before were off by `errors`; these are of no matter where nothing is said."""
    if said is None or not own.gain:
        return Expected(prediction.means, own.classes().take(prediction.classes), own.shape)
    means, classes, shapes, couplings = said.of(unit.channel)
    coupled = np.zeros(len(means), np.int64)
    for channel, error in enumerate(errors):
        coupled += np.multiply(couplings[:, channel], error, dtype=np.int64)
    return Expected(*moved(own, prediction, depth, means, classes, shapes, coupled))
