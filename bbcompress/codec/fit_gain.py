"""How much of a network's correction counts: the encoder tries, on some of the pixels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.corrections import expected
from bbcompress.codec.corrector import Correction
from bbcompress.codec.general import general
from bbcompress.codec.parameters import length
from bbcompress.codec.predictor import Prediction, Predictor, Unit
from bbcompress.coding.distributions import MICROBITS, code_lengths
from bbcompress.coding.shapes import PRECISION

GAIN_SAMPLE = 1 << 13
"""Pixels by which it is found how much of a correction counts."""
GAINS = (8, 6, 4, 2, 0)
WIDER = (0, 1, -1, 2, -2)


class PredictedPart(NamedTuple):
    """Pixels and predictions (pixels,) in as few bytes as hold them, as an encoder holds those of a unit."""

    values: NDArray[Any]
    """As the picture has them."""
    means: NDArray[np.int32]
    classes: NDArray[np.uint8]

    def taken(self) -> tuple[NDArray[np.int64], Prediction]:
        """Values and prediction to compute with."""
        values, means, classes = (array.astype(np.int64) for array in self)
        return values, Prediction(means, classes)


def with_gain(
    own: Predictor,
    unit: Unit,
    depth: int,
    parts: Sequence[PredictedPart],
    said: Sequence[Correction | None],
    errors: Sequence[Sequence[NDArray[np.int32]]],
) -> Predictor:
    """With how much of the network's correction counts, found by some of the pixels."""
    step = max(1, sum(len(part.values) for part in parts) // GAIN_SAMPLE)

    def some(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([array[::step] for array in arrays])

    actual, prediction = PredictedPart(*map(some, zip(*parts, strict=True))).taken()
    correction = Correction(*map(some, zip(*(found for found in said if found is not None), strict=True)))
    before = [some(of_channel) for of_channel in zip(*errors, strict=True)]

    def bits(tried: Predictor) -> float:
        told = expected(tried, unit, depth, prediction, correction, before)
        return step * int(code_lengths(told.distribution(depth).intervals(actual)[1], PRECISION).sum()) / MICROBITS

    best = min((own._replace(gain=gain) for gain in GAINS), key=bits)
    if best.gain:
        best = min((best._replace(wider=wider) for wider in WIDER), key=bits)
    base = general(unit)
    if own is not base:
        return best
    # a general predictor as it is takes a bit
    return best if bits(best) + length(best, unit) < bits(base) else base
