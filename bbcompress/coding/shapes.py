"""One shape of distribution, moved and scaled, for integer values of 1 to 16 bits: all by tables of integers.

A value's distribution is a shape (of a family from nearly Gaussian to heavy tails), a scale (a class of which there are
eight an octave) and a mean in 1/64 of a step of values. Its CDF at a value is looked up at the distance from the mean
in units of the scale, between two places of a table, plus the value itself, so that it grows by at least 1 a value and
no value is impossible. Nothing depends on more than integer arithmetic, once the tables are made (`bbcompress.exact`).
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any, NamedTuple

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
"""Shape 0 is a Gaussian, the next have a share of a logistic distribution; 8 is one, the last ones have heavy tails."""
LOGISTIC = 8
_WIDE_SHARES = (0.0, 0.03, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8, 0.0, 0.02, 0.05, 0.10, 0.17, 0.27, 0.40, 0.55)
"""Of the wider one of each shape's two distributions."""
_GAUSSIAN_UNITS = (0.993, 0.9559, 0.9172, 0.8682, 0.8045, 0.72, 0.6273, 0.5553)
_UNITS = (*_GAUSSIAN_UNITS, 1.0, 0.9565, 0.9163, 0.857, 0.7827, 0.6888, 0.5871, 0.4968)
"""What each shape's scale is in units of all shapes' scale: so that one scale suits neighbouring shapes alike."""

_REACH = 40
"""Tables end at this many scales from the mean."""
_STEPS = 16
"""Places of a table a scale."""
_FRACTION_BITS = 10
"""Of a distance between two places."""
_INVERSE_BITS = 20
_LIMIT = _REACH * _STEPS << _FRACTION_BITS
_ROW = 2 * _REACH * _STEPS
_FEW_WRONG = 8
"""Guesses that are put right one by one, in Python integers."""
_GUESS_BITS = 14
"""The first guess of a value knows so many bits of its place in the CDF."""


def shape_cdf(shape: int, x: functions.Floats) -> functions.Floats:
    """The CDF of a shape at distances x in scales."""
    own, share = x / _UNITS[shape], _WIDE_SHARES[shape]
    if shape < LOGISTIC:
        return (1.0 - share) * functions.normal_cdf(own / 1.7) + share * functions.sigmoid(own / 2.0)
    return (1.0 - share) * functions.sigmoid(own) + share * functions.sigmoid(own / 4.0)


class _Tables(NamedTuple):
    cdf: Integers
    """Of all shapes, one after another: the CDF at each place, of 2^24 less the number of values."""
    slopes: Integers
    """What it grows to the next place."""


@cache
def _tables(depth: int) -> _Tables:
    total = (1 << PRECISION) - (1 << depth)
    places = np.arange(_ROW + 1) / _STEPS - float(_REACH)
    cdf = np.empty((SHAPES, _ROW + 1), np.int64)
    for shape in range(SHAPES):
        cdf[shape] = np.floor(shape_cdf(shape, places) * total)
    cdf[:, 0], cdf[:, -1] = 0, total
    return _Tables(cdf[:, :-1].ravel(), np.diff(cdf).ravel())


@cache
def _guesses(depth: int) -> functions.Floats:
    """Of all shapes: the distance from the mean, times 2^20, at which the CDF is in the middle of each of 2^14 equal
    parts. Only where a search begins."""
    cdf = _tables(depth).cdf.reshape(SHAPES, _ROW)
    middles = (np.arange(1 << _GUESS_BITS) + 0.5) * 2.0 ** (PRECISION - _GUESS_BITS)
    distances = np.arange(-_ROW // 2, _ROW // 2) * 2.0 ** (_FRACTION_BITS + _INVERSE_BITS)
    return np.concatenate([np.interp(middles, row, distances) for row in cdf])


@cache
def inverse_scales() -> Integers:
    """2^28 / scale of each class, rounded: times a distance in 2^-6 steps, 2^20 times the distance in table units."""
    classes = np.arange(CLASSES)
    scales = LEAST_SCALE * (8 + classes % 8) / 8 * 2.0 ** (classes // 8)
    return np.floor(2.0**28 / scales + 0.5).astype(np.int64)


class _Operands:
    """Numbers as arrays: numpy takes as long to convert one as to compute with some hundreds."""

    one = np.array(1)
    mean_bits = np.array(MEAN_BITS)
    inverse_bits = np.array(_INVERSE_BITS)
    fraction_bits = np.array(_FRACTION_BITS)
    fraction = np.array((1 << _FRACTION_BITS) - 1)
    least = np.array(-_LIMIT)
    most = np.array(_LIMIT - 1)
    guess_bits = np.array(PRECISION - _GUESS_BITS)


class _Exact(NamedTuple):
    """What values' intervals are computed from, each (n,) int64."""

    half_steps: Integers
    """Means and half a step of values, in 2^-6."""
    inverse: Integers
    rows: Integers
    """The middles of their shapes' rows of the tables."""

    def part(self, where: slice | NDArray[Any]) -> "_Exact":
        return _Exact(self.half_steps[where], self.inverse[where], self.rows[where])


class _Guess(NamedTuple):
    """What values near those of positions are computed from, each (n,)."""

    rows: Integers
    """Of `_guesses`."""
    scales: NDArray[np.floating[Any]]
    """Of values, over 2^20."""
    middles: NDArray[np.floating[Any]]
    """Means and half a step of values."""

    @classmethod
    def of(cls, exact: _Exact) -> "_Guess":
        rows = exact.rows // _ROW << _GUESS_BITS
        return cls(rows, 2.0**-MEAN_BITS / exact.inverse, exact.half_steps * 2.0**-MEAN_BITS)


class ScaledShapes:
    """Independent values 0 .. 2^depth - 1; a `bbcompress.coding.rans.Divisible`.

    means (n,) int64 in 2^-6 steps; classes (n,) and shapes (n,) integers, or one shape for all.
    """

    precision = PRECISION

    def __init__(self, depth: int, means: Integers, classes: NDArray[np.integer], shapes: NDArray[np.integer] | int):
        rows = np.broadcast_to(np.asarray(shapes, np.int64) * _ROW + _ROW // 2, means.shape)
        self._begin(depth, _Exact(means + (1 << (MEAN_BITS - 1)), inverse_scales().take(classes), rows))

    def _begin(self, depth: int, exact: _Exact) -> None:
        self._depth, self._top = depth, (1 << depth) - 1
        self._tables = _tables(depth)
        self._exact = exact
        self._guess: _Guess | None = None
        """Made when it is first asked for: encoders need none."""

    @property
    def size(self) -> int:
        return len(self._exact.half_steps)

    def part(self, where: slice | Integers) -> "ScaledShapes":
        """Of some of the values."""
        return self._with(self._exact.part(where))

    def joined(self, other: "ScaledShapes") -> "ScaledShapes":
        """Of these values, then the others."""
        return self._with(_Exact(*map(np.concatenate, zip(self._exact, other._exact, strict=True))))

    def _with(self, exact: _Exact) -> "ScaledShapes":
        other = object.__new__(ScaledShapes)
        other._begin(self._depth, exact)
        return other

    def intervals(self, symbols: Symbols) -> tuple[Counts, Counts]:
        start, freq = self._interval(symbols, self._exact, self._at_ends(symbols))
        return start.view(np.uint64), freq.view(np.uint64)

    def locate(self, where: slice, positions: Counts) -> tuple[Symbols, Counts, Counts]:
        if self._guess is None:
            self._guess = _Guess.of(self._exact)
        exact = self._exact.part(where)
        position = positions.view(np.int64)
        place = position >> _Operands.guess_bits
        place += self._guess.rows[where]
        near = _guesses(self._depth).take(place)
        near *= self._guess.scales[where]
        near += self._guess.middles[where]
        value = near.astype(np.int64)
        at_ends = self._at_ends(value)
        if at_ends:
            np.maximum(value, 0, out=value)
            np.minimum(value, self._top, out=value)
        interval = self._interval(value, exact, at_ends)
        start, freq = interval
        # a position below the start is a large one without a sign
        wrong = (position - start).view(np.uint64) >= freq.view(np.uint64)
        count = np.count_nonzero(wrong)
        if count > _FEW_WRONG:
            value[wrong], interval[:, wrong] = self._search(
                position[wrong], value[wrong], interval[:, wrong], exact.part(wrong)
            )
        elif count:
            for place in wrong.nonzero()[0].tolist():
                half_steps, inverse, row = (int(part[place]) for part in exact)
                found = self._locate_one(half_steps, inverse, row, int(position[place]))
                value[place], start[place], freq[place] = found
        return value, start.view(np.uint64), freq.view(np.uint64)

    def locators(self, where: slice) -> Iterator[Locator]:
        for exact in zip(*(part.tolist() for part in self._exact.part(where)), strict=True):
            yield partial(self._locate_one, *exact)

    def _locate_one(self, half_steps: int, inverse: int, row: int, position: int) -> tuple[int, int, int]:
        """In Python integers, ten times as fast as numpy on arrays of one."""
        place = (row // _ROW << _GUESS_BITS) + (position >> (PRECISION - _GUESS_BITS))
        near = (int(_guesses(self._depth)[place]) // inverse + half_steps) >> MEAN_BITS
        low, high = 0, self._top
        step = 0
        while True:
            value = min(max(near, low), high)
            start, end = (self._start(symbol, half_steps, inverse, row) for symbol in (value, value + 1))
            if position < start:
                high = value - 1
            elif position >= end:
                low = value + 1
            else:
                return value, start, end - start
            near = value + (position - start) // (end - start) if step < 4 else (low + high) >> 1
            step += 1

    def _start(self, value: int, half_steps: int, inverse: int, row: int) -> int:
        """The CDF at a value."""
        if value == 0:
            return 0
        if value > self._top:
            return 1 << PRECISION
        distance = ((value << MEAN_BITS) - half_steps) * inverse >> _INVERSE_BITS
        distance = min(max(distance, -_LIMIT), _LIMIT - 1)
        place, rest = row + (distance >> _FRACTION_BITS), distance & ((1 << _FRACTION_BITS) - 1)
        return int(self._tables.cdf[place]) + (int(self._tables.slopes[place]) * rest >> _FRACTION_BITS) + value

    def _search(
        self, position: Integers, value: Integers, interval: Integers, exact: _Exact
    ) -> tuple[Integers, Integers]:
        """The values whose intervals hold the positions, and these, from near ones: steps by the density, then
        halving."""
        low, high = np.zeros_like(value), np.full_like(value, self._top)
        step = 0
        while True:
            start, freq = interval
            away = position - start
            below, above = away < 0, away >= freq
            wrong = below | above
            if not wrong.any():
                return value, interval
            high = np.where(below, value - 1, high)
            low = np.where(above, value + 1, low)
            # neighbours have nearly the same freq, so that steps by it are mostly right at once
            moved = value + away // freq if step < 4 else (low + high) >> 1
            value = np.where(wrong, np.minimum(np.maximum(moved, low), high), value)
            interval = self._interval(value, exact, self._at_ends(value))
            step += 1

    def _at_ends(self, value: Symbols) -> bool:
        """Whether some are the smallest or largest, or beyond."""
        return len(value) > 0 and bool(np.minimum.reduce(value) <= 0 or np.maximum.reduce(value) >= self._top)

    def _interval(self, value: Symbols, exact: _Exact, at_ends: bool) -> Integers:
        """The CDF at values and what it grows by to the next ones (2, n)."""
        distance = np.empty((2, len(value)), np.int64)
        here, beyond = distance
        np.left_shift(value, _Operands.mean_bits, out=here)
        here -= exact.half_steps
        here *= exact.inverse
        np.left_shift(exact.inverse, _Operands.mean_bits, out=beyond)
        beyond += here
        distance >>= _Operands.inverse_bits
        distance.clip(_Operands.least, _Operands.most, distance)
        place = distance >> _Operands.fraction_bits
        # row by row: numpy takes several times as long to do both at once
        place[0] += exact.rows
        place[1] += exact.rows
        distance &= _Operands.fraction
        ends: Integers = self._tables.slopes.take(place)
        ends *= distance
        ends >>= _Operands.fraction_bits
        ends += self._tables.cdf.take(place)
        start, freq = ends
        freq -= start
        freq += _Operands.one
        start += value
        if not at_ends:
            return ends
        lowest = value == 0
        freq[lowest] += start[lowest]
        start[lowest] = 0
        highest = value == self._top
        freq[highest] = (1 << PRECISION) - start[highest]
        return ends
