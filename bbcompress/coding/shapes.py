"""One shape of distribution, moved and scaled, for integer values of 1 to 16 bits: all by tables of integers.

A value's distribution is a shape (of a family from nearly Gaussian to heavy tails), a scale (a class of which there are
eight an octave) and a mean in 1/64 of a step of values. Its CDF at a value is looked up at the distance from the mean in
units of the scale, between two places of a table, plus the value itself, so that it grows by at least 1 a value and no
value is impossible. Nothing depends on more than integer arithmetic, once the tables are made (`bbcompress.exact`).
"""

from collections.abc import Iterator
from copy import copy
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.coding.rans import Counts, Locator, Symbols
from bbcompress.exact import functions

Integers = NDArray[np.int64]

PRECISION = 24
MEAN_BITS = 6
"""Means are in units of 2^-6 of the values' step."""
CLASSES = 160
"""Classes of scale: class k stands for 2^-5 (1 + (k % 8) / 8) 2^(k // 8) steps of values."""
CLASSES_PER_OCTAVE = 8
LEAST_SCALE = 2.0**-5
SHAPES = 16
"""Shape 0 is nearly a Gaussian, shape 7 a logistic distribution, 15 has the heaviest tails."""
LOGISTIC = 7

_REACH = 40
"""Tables end at this many scales from the mean."""
_STEPS = 16
"""Places of a table a scale."""
_FRACTION_BITS = 10
"""Of a distance between two places."""
_INVERSE_BITS = 20
_LIMIT = _REACH * _STEPS << _FRACTION_BITS
_ROW = 2 * _REACH * _STEPS
_GUESS_BITS = 5
"""The first guess of a value knows its distance from the CDF's nearer end to 2^-5 of itself."""
_GUESS_ROW = (PRECISION + 1) << _GUESS_BITS
_ONE = np.float32(1).view(np.int32) >> (23 - _GUESS_BITS)


def shape_cdf(shape: int, x: functions.Floats) -> functions.Floats:
    """The CDF of a shape at distances x in scales."""
    if shape <= LOGISTIC:
        share = shape / LOGISTIC
        return (1.0 - share) * functions.normal_cdf(x / 1.75) + share * functions.sigmoid(x)
    share = (shape - LOGISTIC) / 16
    return (1.0 - share) * functions.sigmoid(x) + share * functions.sigmoid(x / 3.0)


class _Tables(NamedTuple):
    cdf: Integers
    """Of all shapes, one after another: the CDF at each place, of 2^24 less the number of values."""
    slopes: Integers
    """What it grows to the next place."""
    guesses: Integers
    """Of all shapes: the distance (as `_Distances`) at which it has about some value, by `_guess_index`."""


@cache
def _tables(depth: int) -> _Tables:
    total = (1 << PRECISION) - (1 << depth)
    places = np.arange(_ROW + 1) / _STEPS - float(_REACH)
    cdf = np.empty((SHAPES, _ROW + 1), np.int64)
    for shape in range(SHAPES):
        cdf[shape] = np.floor(shape_cdf(shape, places) * total)
    cdf[:, 0], cdf[:, -1] = 0, total
    middles = ((1 << _GUESS_BITS) + np.arange(_GUESS_ROW) % (1 << _GUESS_BITS) + 0.5) * 2.0 ** (
        np.arange(_GUESS_ROW) // (1 << _GUESS_BITS) - float(_GUESS_BITS)
    )
    guesses = np.empty((SHAPES, 2, _GUESS_ROW), np.int64)
    for shape in range(SHAPES):
        low = np.interp(middles, cdf[shape], np.arange(_ROW + 1) - _ROW / 2)
        guesses[shape] = np.floor(low * 1024), np.floor(-low * 1024)
    return _Tables(cdf[:, :-1].ravel(), np.diff(cdf).ravel(), guesses.ravel())


@cache
def inverse_scales() -> Integers:
    """2^28 / scale of each class, rounded: times a distance in 2^-6 steps, 2^20 times the distance in table units."""
    classes = np.arange(CLASSES)
    scales = LEAST_SCALE * (8 + classes % 8) / 8 * 2.0 ** (classes // 8)
    return np.floor(2.0**28 / scales + 0.5).astype(np.int64)


class ScaledShapes:
    """Independent values 0 .. 2^depth - 1; a `bbcompress.coding.rans.Distribution`.

    means (n,) int64 in 2^-6 steps; classes (n,) and shapes (n,) integers, or one shape for all.
    """

    precision = PRECISION

    def __init__(self, depth: int, means: Integers, classes: NDArray[np.integer], shapes: NDArray[np.integer] | int):
        self.size = len(means)
        self._depth = depth
        self._tables = _tables(depth)
        self._inverse = inverse_scales().take(classes)
        # where a shape's table begins, moved to its middle
        self._rows = np.broadcast_to(np.asarray(shapes, np.int64) * _ROW + _ROW // 2, means.shape)
        self._half_steps = means + (1 << (MEAN_BITS - 1))

    def part(self, where: slice) -> "ScaledShapes":
        """Of some of the values."""
        part = copy(self)
        part._half_steps, part._inverse, part._rows = self._half_steps[where], self._inverse[where], self._rows[where]
        part.size = len(part._half_steps)
        return part

    def joined(self, other: "ScaledShapes") -> "ScaledShapes":
        """Of these values, then the others."""
        both = copy(self)
        both._half_steps = np.concatenate([self._half_steps, other._half_steps])
        both._inverse = np.concatenate([self._inverse, other._inverse])
        both._rows = np.concatenate([self._rows, other._rows])
        both.size = len(both._half_steps)
        return both

    def intervals(self, symbols: Symbols) -> tuple[Counts, Counts]:
        starts = self._cdf(symbols, self._half_steps, self._inverse, self._rows)
        ends = self._cdf(symbols + 1, self._half_steps, self._inverse, self._rows)
        return starts.astype(np.uint64), (ends - starts).astype(np.uint64)

    def locate(self, where: slice, positions: Counts) -> tuple[Symbols, Counts, Counts]:
        half_steps, inverse, rows = self._half_steps[where], self._inverse[where], self._rows[where]
        position = positions.astype(np.int64)
        top = (1 << self._depth) - 1
        distance = self._tables.guesses.take(_guess_index(position, rows // _ROW))
        # distance 2^20 / inverse is the distance in 2^-6 steps; the guess may be rough, as it is corrected below
        value = np.floor((distance * float(1 << _INVERSE_BITS) / inverse + half_steps) * 2.0**-MEAN_BITS)
        value = np.clip(value, 0, top).astype(np.int64)
        start = self._cdf(value, half_steps, inverse, rows)
        end = self._cdf(value + 1, half_steps, inverse, rows)
        wrong = np.flatnonzero((position < start) | (position >= end))
        if len(wrong):
            found = self._search(position[wrong], value[wrong], start[wrong], end[wrong], (half_steps[wrong], inverse[wrong], rows[wrong]))
            value[wrong], start[wrong], end[wrong] = found
        return value, start.astype(np.uint64), (end - start).astype(np.uint64)

    def locators(self, where: slice) -> Iterator[Locator]:
        for place in range(where.start, where.stop):
            yield lambda position, one=slice(place, place + 1): self._locate_one(one, position)

    def _locate_one(self, one: slice, position: int) -> tuple[int, int, int]:
        symbol, start, freq = self.locate(one, np.array([position], np.uint64))
        return int(symbol[0]), int(start[0]), int(freq[0])

    def _search(self, position: Integers, value: Integers, start: Integers, end: Integers, parts: tuple[Integers, ...]) -> tuple[Integers, Integers, Integers]:
        """The values whose intervals hold the positions, from values that do not: steps by the density, then halving."""
        low, high = np.zeros_like(value), np.full_like(value, (1 << self._depth) - 1)
        step = 0
        while True:
            below, above = position < start, position >= end
            if not (below | above).any():
                return value, start, end
            high = np.where(below, value - 1, high)
            low = np.where(above, value + 1, low)
            if step < 4:
                # neighbours have nearly the same freq, so that this is mostly right at once
                moved = value + (position - start) // (end - start)
            else:
                moved = (low + high) >> 1
            value = np.where(below | above, np.clip(moved, low, high), value)
            start, end = self._cdf(value, *parts), self._cdf(value + 1, *parts)
            step += 1

    def _cdf(self, value: Integers, half_steps: Integers, inverse: Integers, rows: Integers) -> Integers:
        distance = value << MEAN_BITS
        distance -= half_steps
        distance *= inverse
        distance >>= _INVERSE_BITS
        np.clip(distance, -_LIMIT, _LIMIT - 1, out=distance)
        place = distance >> _FRACTION_BITS
        place += rows
        distance &= (1 << _FRACTION_BITS) - 1
        cdf = self._tables.slopes.take(place)
        cdf *= distance
        cdf >>= _FRACTION_BITS
        cdf += self._tables.cdf.take(place)
        cdf += value
        cdf[value <= 0] = 0
        cdf[value >= 1 << self._depth] = 1 << PRECISION
        return cdf


def _guess_index(position: Integers, shapes: Integers) -> Integers:
    """Where `guesses` has a position: by shape, by the nearer end, then by the leading bits of how near it is."""
    upper = position >> (PRECISION - 1)
    near = np.where(upper == 1, ((1 << PRECISION) - 1) - position, position)
    leading = ((near + 1).astype(np.float32).view(np.int32) >> (23 - _GUESS_BITS)) - _ONE
    index: Integers = (2 * shapes + upper) * _GUESS_ROW + leading
    return index
