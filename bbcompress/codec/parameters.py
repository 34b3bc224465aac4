"""The predictors that a file brings, as bits: what differs from the general ones, of the scales where that pays."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.general import general
from bbcompress.codec.lattice import STAGES
from bbcompress.codec.predictor import GAIN_BITS, KNOTS, Predictor, Unit, centres, plain_weights
from bbcompress.codec.rice import BitReader, Writer
from bbcompress.coding.shapes import CLASSES
from bbcompress.varint import Malformed

FITTED_STRIDES = (8, 4, 2)
"""Scales that may have predictors of their own; coarser ones hold too few pixels."""
Parameters = dict[tuple[int, int, int], Predictor]
"""By stride, stage and channel; those that are left out are general."""
MAX_WEIGHTS = 1 << 22
"""Of the magnitudes of all weights of a unit: sums of 8-bit values stay below 2^30."""
MAX_CONTEXT = 1 << 15
"""Of all context weights: sums of magnitudes of 8-bit values, at most 2^14, stay below 2^30."""
SHAPE_BITS = 4
WIDER_BITS, LEAST_WIDER = 3, 4


def keys(channels: int) -> Iterable[tuple[int, int, int]]:
    """Of all predictors that a file may bring, in its order."""
    return ((stride, stage, channel) for stride in FITTED_STRIDES for stage in STAGES for channel in range(channels))


def pack(parameters: Parameters, channels: int) -> bytes:
    """The parameters' bits, in whole bytes."""
    writer = Writer()
    for stride, stage, channel in keys(channels):
        found = parameters.get((stride, stage, channel))
        writer.bits(found is not None, 1)
        if found is not None:
            write(writer, found, Unit(stage, channel, channels))
    return writer.to_bytes()


def length(predictor: Predictor, unit: Unit) -> int:
    """Bits that one predictor takes."""
    writer = Writer()
    write(writer, predictor, unit)
    return len(writer)


def coarser(predictor: Predictor, unit: Unit, step: int) -> Predictor:
    """With weights of small differences that are multiples of 2^step away from the general ones."""
    places = ~_fine(unit)
    base = general(unit).weights[places]
    weights = predictor.weights.copy()
    half = (1 << step) >> 1
    weights[places] = base + ((weights[places] - base + half) >> step << step)
    return predictor._replace(weights=weights)


def write(writer: Writer, predictor: Predictor, unit: Unit) -> None:
    """One predictor."""
    base = general(unit)
    fine, coarse = _split(predictor.weights - base.weights, unit)
    step = _step(coarse)
    writer.bits(step, 3)
    writer.integers((coarse >> step).tolist())
    writer.integers(fine.tolist())
    writer.integers((predictor.context - base.context).tolist())
    writer.integers(np.diff(predictor.knots, prepend=0).tolist())
    writer.bits(predictor.shape, SHAPE_BITS)
    writer.bits(predictor.gain, SHAPE_BITS)
    writer.bits(predictor.wider + LEAST_WIDER, WIDER_BITS)


def unpack(data: bytes, channels: int) -> Parameters:
    """The inverse of `pack`. Raises Malformed."""
    reader = BitReader(data)
    found: Parameters = {}
    for stride, stage, channel in keys(channels):
        if reader.bits(1):
            found[stride, stage, channel] = _read(reader, Unit(stage, channel, channels))
    reader.finish()
    return found


def _read(reader: BitReader, unit: Unit) -> Predictor:
    base = general(unit)
    fine_places = _fine(unit)
    weights = base.weights.copy()
    step = reader.bits(3)
    weights[~fine_places] += np.array(reader.integers(int((~fine_places).sum())), np.int64) << step
    weights[fine_places] += reader.integers(int(fine_places.sum()))
    context = base.context + reader.integers(len(base.context))
    knots = np.cumsum(reader.integers(KNOTS))
    if (context < 0).any() or context.sum() > MAX_CONTEXT or np.abs(knots).max() > CLASSES:
        raise Malformed("a parameter is out of range")
    if np.abs(plain_weights(unit, weights)).sum() > MAX_WEIGHTS:
        raise Malformed("a predictor's weights are out of range")
    shape, gain = reader.bits(SHAPE_BITS), reader.bits(SHAPE_BITS)
    wider = reader.bits(WIDER_BITS) - LEAST_WIDER
    if gain > 1 << GAIN_BITS:
        raise Malformed("a correction counts for too much")
    return Predictor(weights, context, knots, shape, gain, wider)


def _fine(unit: Unit) -> NDArray[np.bool_]:
    """The weights of what is not a small difference: of centres, and the constant."""
    of = np.array(centres(unit))
    fine = np.zeros(len(of), bool)
    fine[of] = True
    return fine


def _split(weights: NDArray[np.int64], unit: Unit) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    fine = _fine(unit)
    return weights[fine], weights[~fine]


def _step(coarse: NDArray[np.int64]) -> int:
    """The largest step that all weights are multiples of, as a power of two."""
    combined = int(np.bitwise_or.reduce(coarse)) if len(coarse) else 0
    step = 0
    while step < 7 and combined and not combined >> step & 1:
        step += 1
    return step
