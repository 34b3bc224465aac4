"""How much of a network's correction counts: the encoder tries, on some of the pixels."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.corrections import expected
from bbcompress.codec.corrector import Correction
from bbcompress.codec.parameters import length
from bbcompress.codec.predictor import Prediction, Predictor, Unit
from bbcompress.coding.distributions import MICROBITS, code_lengths
from bbcompress.coding.shapes import PRECISION

GAIN_SAMPLE = 1 << 13
"""Pixels by which it is found how much of a correction counts."""
LESS_GAIN = (6, 4, 2, 0)
"""Than 8; each is tried as long as it is better than the one before."""
WIDER, NARROWER = (1, 2), (-1, -2)
"""Than 0, likewise."""


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


class _Tried(NamedTuple):
    bits: float
    predictor: Predictor


def with_gain(
    own: Predictor,
    usual: Predictor,
    unit: Unit,
    depth: int,
    parts: Sequence[PredictedPart],
    said: Sequence[Correction | None],
    errors: Sequence[Sequence[NDArray[np.int32]]],
) -> Predictor:
    """With how much of the network's correction counts, found by some of the pixels; it may be the usual predictor."""
    step = max(1, sum(len(part.values) for part in parts) // GAIN_SAMPLE)

    def some(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([array[::step] for array in arrays])

    actual, prediction = PredictedPart(*map(some, zip(*parts, strict=True))).taken()
    correction = Correction(*map(some, zip(*(found for found in said if found is not None), strict=True)))
    before = [some(of_channel) for of_channel in zip(*errors, strict=True)]

    def bits(tried: Predictor) -> float:
        told = expected(tried, unit, depth, prediction, correction, before)
        return step * int(code_lengths(told.distribution(depth).intervals(actual)[1], PRECISION).sum()) / MICROBITS

    def best_of(tried: Iterable[Predictor], best: _Tried) -> _Tried:
        for predictor in tried:
            found = _Tried(bits(predictor), predictor)
            if found.bits >= best.bits:
                break
            best = found
        return best

    plain = _Tried(bits(own), own)
    best = best_of((own._replace(gain=gain) for gain in LESS_GAIN), plain)
    if best.predictor.gain:
        unmoved = best
        for steps in WIDER, NARROWER:
            if best is unmoved:
                best = best_of((unmoved.predictor._replace(wider=wider) for wider in steps), unmoved)
    if own is not usual:
        return best.predictor
    # as it is it takes a bit
    return best.predictor if best.bits + length(best.predictor, unit, usual) < plain.bits else own
