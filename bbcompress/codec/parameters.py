"""The predictors that a file brings, as bits: what differs from those that are there without it, the *usual* ones, of
scales where that pays. Models bring theirs in the same way, as what differs from the general ones."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.lattice import STAGES
from bbcompress.codec.predictor import GAIN_BITS, KNOTS, Predictor, Unit, centres, plain_weights
from bbcompress.codec.rice import BitReader, Writer
from bbcompress.coding.shapes import CLASSES
from bbcompress.varint import Malformed

FITTED_STRIDES = (8, 4, 2)
"""Scales of which files may bring predictors; coarser ones hold too few pixels."""
Parameters = dict[tuple[int, int, int], Predictor]
"""By stride, stage and channel; those that are left out are the usual ones."""
Usual = Callable[[int, Unit], Predictor]
"""A unit's predictor where none is brought, by its stride."""
MAX_WEIGHTS = 1 << 22
"""Of the magnitudes of all weights of a unit: sums of 8-bit values stay below 2^30."""
MAX_CONTEXT = 1 << 15
"""Of all context weights: sums of magnitudes of 8-bit values, at most 2^14, stay below 2^30."""
SHAPE_BITS = 4
WIDER_BITS, LEAST_WIDER = 3, 4


def pack(parameters: Parameters, channels: int, usual: Usual, strides: Sequence[int] = FITTED_STRIDES) -> bytes:
    """The parameters' bits, in whole bytes: of all units of these strides, in this order."""
    writer = Writer()
    for stride, unit in _units(strides, channels):
        found = parameters.get((stride, unit.stage, unit.channel))
        writer.bits(found is not None, 1)
        if found is not None:
            _write(writer, found, unit, usual(stride, unit))
    return writer.to_bytes()


def unpack(data: bytes, channels: int, usual: Usual, strides: Sequence[int] = FITTED_STRIDES) -> Parameters:
    """The inverse of `pack`. Raises Malformed."""
    reader = BitReader(data)
    found: Parameters = {}
    for stride, unit in _units(strides, channels):
        if reader.bits(1):
            found[stride, unit.stage, unit.channel] = _read(reader, unit, usual(stride, unit))
    reader.finish()
    return found


def _units(strides: Iterable[int], channels: int) -> Iterable[tuple[int, Unit]]:
    return (
        (stride, Unit(stage, channel, channels))
        for stride in strides
        for stage in STAGES
        for channel in range(channels)
    )


def length(predictor: Predictor, unit: Unit, usual: Predictor) -> int:
    """Bits that one predictor takes."""
    writer = Writer()
    _write(writer, predictor, unit, usual)
    return len(writer)


def coarser(predictor: Predictor, unit: Unit, usual: Predictor, step: int) -> Predictor:
    """With weights of small differences that are multiples of 2^step away from the usual ones."""
    places = ~_fine(unit)
    base = usual.weights[places]
    weights = predictor.weights.copy()
    half = (1 << step) >> 1
    weights[places] = base + ((weights[places] - base + half) >> step << step)
    return predictor._replace(weights=weights)


def _write(writer: Writer, predictor: Predictor, unit: Unit, base: Predictor) -> None:
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


def _read(reader: BitReader, unit: Unit, base: Predictor) -> Predictor:
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
