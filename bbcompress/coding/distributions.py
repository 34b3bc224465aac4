"""Distributions of integer symbols, quantised to intervals that tile [0, 2^precision).

Every symbol has freq >= 1, so nothing is impossible to code. Start and freq come from exact functions only
(`bbcompress.exact`), and symbols are found again by comparing integers.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, cached_property
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.coding.rans import Counts, Distribution, Locator, Stack, Symbols
from bbcompress.exact import functions
from bbcompress.exact.functions import Floats

PRECISION = 24
"""Log2 of the total frequency: rare symbols cost at most 24 bits, and common ones lose nothing measurable."""
MICROBITS = 1 << 20
"""Code lengths are whole numbers of 2^-20 bits, so that their sums do not depend on order."""


def code_lengths(freqs: Counts, precision: int) -> NDArray[np.int64]:
    """-log2(freq / 2^precision) of each interval in units of 1 / MICROBITS, right to 2^-14 bits."""
    patterns = freqs.astype(np.float64).view(np.int64)
    exponents = (patterns >> 52) - 1023
    lengths = (precision - exponents) * MICROBITS
    lengths -= _log2_table().take((patterns >> (52 - _LOG2_TABLE_BITS)) & ((1 << _LOG2_TABLE_BITS) - 1))
    return lengths


PART = 1 << 12
"""Symbols whose intervals are computed together: few enough that the processor's cache holds them."""
LOCATOR_VALUES = 1 << 15
"""Values whose starts are computed together for a stack of few lanes."""
_LOG2_TABLE_BITS = 15


@cache
def _log2_table() -> NDArray[np.int64]:
    """log2 of 1 + (i + 1/2) / 2^15 in units of 1 / MICROBITS; 0 at i = 0, so that certainty is free."""
    count = 1 << _LOG2_TABLE_BITS
    mantissas = 1.0 + (np.arange(count) + 0.5) / count
    table = np.floor(functions.log(mantissas) * (MICROBITS / 0.6931471805599453) + 0.5).astype(np.int64)
    table[0] = 0
    return table


def _locator(starts: list[int]) -> Locator:
    """Of a symbol whose values' intervals begin at `starts`; 2^precision comes last."""

    def locate(position: int) -> tuple[int, int, int]:
        symbol = bisect_right(starts, position) - 1
        return symbol, starts[symbol], starts[symbol + 1] - starts[symbol]

    return locate


def push(stack: Stack, distribution: Distribution, symbols: Symbols) -> NDArray[np.int64]:
    """Push symbols (size,); returns their code lengths in units of 1 / MICROBITS, (size,)."""
    starts, freqs = distribution.intervals(symbols)
    stack.push(starts, freqs, distribution.precision)
    return code_lengths(freqs, distribution.precision)


class Uniform:
    """Symbols 0 .. 2^bits - 1, all alike."""

    def __init__(self, bits: int, size: int):
        self.precision, self.size = bits, size

    def intervals(self, symbols: Symbols) -> tuple[Counts, Counts]:
        return symbols.astype(np.uint64), np.ones(len(symbols), np.uint64)

    def locate(self, where: slice, positions: Counts) -> tuple[Symbols, Counts, Counts]:
        return positions.astype(np.int64), positions, np.ones(len(positions), np.uint64)

    def locators(self, where: slice) -> Iterator[Locator]:
        return repeat(lambda position: (position, position, 1), where.stop - where.start)


class Categorical:
    """Symbols 0 .. n - 1 with the same integer frequencies (n,) everywhere; they must sum to 2^precision."""

    def __init__(self, freqs: NDArray[np.integer], precision: int, size: int):
        self.precision, self.size = precision, size
        self._freqs = freqs.astype(np.uint64)
        self._starts = np.cumsum(self._freqs) - self._freqs
        if int(self._freqs.sum()) != 1 << precision or not (self._freqs > 0).all():
            raise ValueError("frequencies must be at least 1 and sum to 2^precision")

    def intervals(self, symbols: Symbols) -> tuple[Counts, Counts]:
        return self._starts[symbols], self._freqs[symbols]

    def locate(self, where: slice, positions: Counts) -> tuple[Symbols, Counts, Counts]:
        symbols = np.searchsorted(self._starts, positions, side="right") - 1
        return symbols, *self.intervals(symbols)

    def locators(self, where: slice) -> Iterator[Locator]:
        starts = [*self._starts.tolist(), 1 << self.precision]
        return repeat(_locator(starts), where.stop - where.start)


class BernoulliPairs:
    """Bits with P(1) = sigmoid(logit), coded two at a time: symbol 2a + b for the bits a, b of a pair.

    Logits (2 * size,) are integers with `fraction_bits` fractional bits. A bit's frequencies are of 2^15, a pair's
    the products of its bits', of 2^30: half the symbols, and so half the time, at 2^-15 bits or less for each bit.
    """

    BIT_PRECISION = 15
    precision = 2 * BIT_PRECISION
    LOGIT_REACH = 16

    def __init__(self, starts: Counts):
        """`starts` (5, size) of the symbols' intervals, and their end."""
        self.size = starts.shape[1]
        self._starts = starts
        self._places = np.arange(self.size)

    @classmethod
    def of(cls, logits: Floats, fraction_bits: int) -> "BernoulliPairs":
        size = len(logits) // 2
        reach = cls.LOGIT_REACH << fraction_bits
        index = np.clip(logits, -reach, reach).astype(np.intp)
        index += reach
        zeros = _zero_freqs(fraction_bits).take(index).reshape(-1, 2)
        first_zero, second_zero = zeros[:, 0], zeros[:, 1]
        whole = np.uint64(1 << cls.BIT_PRECISION)
        starts = np.zeros((5, size), np.uint64)
        np.multiply(first_zero, second_zero, out=starts[1])
        np.multiply(first_zero, whole, out=starts[2])
        np.multiply(whole - first_zero, second_zero, out=starts[3])
        starts[3] += starts[2]
        starts[4] = whole * whole
        return cls(starts)

    def part(self, where: slice) -> "BernoulliPairs":
        return BernoulliPairs(np.ascontiguousarray(self._starts[:, where]))

    def joined(self, other: "BernoulliPairs") -> "BernoulliPairs":
        return BernoulliPairs(np.concatenate([self._starts, other._starts], 1))

    def intervals(self, symbols: Symbols) -> tuple[Counts, Counts]:
        return self._at(symbols * self.size + self._places)

    def locate(self, where: slice, positions: Counts) -> tuple[Symbols, Counts, Counts]:
        symbols = np.add.reduce(self._starts[1:4, where] <= positions, 0, np.int64)
        return symbols, *self._at(symbols * self.size + self._places[where])

    def locators(self, where: slice) -> Iterator[Locator]:
        return map(_locator, self._starts[:, where].T.tolist())

    def _at(self, index: Symbols) -> tuple[Counts, Counts]:
        starts = self._starts.take(index)
        return starts, self._starts.take(index + self.size) - starts


@cache
def _zero_freqs(fraction_bits: int) -> Counts:
    reach = BernoulliPairs.LOGIT_REACH << fraction_bits
    zeros = functions.sigmoid(np.arange(reach, -reach - 1, -1) / 2.0**fraction_bits)
    return (1.0 + np.floor(zeros * (2.0**BernoulliPairs.BIT_PRECISION - 2.0) + 0.5)).astype(np.uint64)


class CdfDistribution(ABC):
    """Symbols 0 .. 2^symbol_bits - 1 with a cumulative distribution function each.

    The interval of symbol k starts at k + floor(cdf(k) (2^precision - 2^symbol_bits)), where cdf(k) is the mass
    below k. As cdf never decreases, to the last bit, every freq is at least 1.
    """

    precision = PRECISION
    symbol_bits: int
    size: int

    @abstractmethod
    def _cdf(self, symbols: Floats, where: slice | NDArray[np.intp]) -> Floats:
        """Mass below `symbols` (..., n), in [0, 1], non-decreasing, at 0 and 2^symbol_bits exactly 0 and 1."""

    def _starts(self, symbols: Floats, where: slice | NDArray[np.intp]) -> Floats:
        starts = self._cdf(symbols, where)
        starts *= 2.0**self.precision - 2.0**self.symbol_bits
        np.floor(starts, out=starts)
        starts += symbols
        return starts

    def intervals(self, symbols: Symbols) -> tuple[Counts, Counts]:
        lower = symbols.astype(np.float64)
        starts, freqs = np.empty(self.size, np.uint64), np.empty(self.size, np.uint64)
        for first in range(0, self.size, PART):
            where = slice(first, min(first + PART, self.size))
            starts[where], freqs[where] = self._intervals(lower[where], where)
        return starts, freqs

    def _intervals(self, symbols: Floats, where: slice | NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Start and freq of each symbol."""
        start, end = self._starts(np.stack([symbols, symbols + 1.0]), where)
        return start, end - start

    def locators(self, where: slice) -> Iterator[Locator]:
        values = np.arange(2.0**self.symbol_bits + 1.0)[:, None]
        step = max(1, LOCATOR_VALUES >> self.symbol_bits)
        for first in range(where.start, where.stop, step):
            part = slice(first, min(first + step, where.stop))
            starts = self._starts(np.repeat(values, part.stop - part.start, axis=1), part)
            yield from map(_locator, starts.T.astype(np.uint64).tolist())

    def locate(self, where: slice, positions: Counts) -> tuple[Symbols, Counts, Counts]:
        return self.search(where, positions)

    def search(self, where: slice | NDArray[np.intp], positions: Counts) -> tuple[Symbols, Counts, Counts]:
        """What `locate` gives, by narrowing symbols down digit by digit."""
        wanted = positions.astype(np.float64)
        low = np.zeros(len(wanted))
        start = np.zeros(len(wanted))
        end = np.full(len(wanted), 2.0**self.precision)
        bits = self.symbol_bits
        # Calls dominate the time of short rows, numbers that of long ones
        digit_bits = 4 if len(wanted) <= 32 else 2
        while bits:
            step_bits = min(digit_bits, bits)
            bits -= step_bits
            step = 2.0**bits
            candidates = low + step * np.arange(1.0, 2.0**step_bits)[:, None]
            starts = self._starts(candidates, where)
            below = starts <= wanted
            low += step * below.sum(0)
            start = np.maximum(start, np.where(below, starts, 0.0).max(0))
            end = np.minimum(end, np.where(below, 2.0**self.precision, starts).min(0))
        return low.astype(np.int64), start.astype(np.uint64), (end - start).astype(np.uint64)


class EqualMassBins(NamedTuple):
    """2^bits bins of equal mass under the standard normal prior, so that a bin's prior is uniform (BB-ANS)."""

    bits: int
    edges: Floats
    """(2^bits + 1,), the outermost infinite, beyond the reach of any mean and scale."""
    centres: Floats
    """(2^bits,): the median of each bin."""

    @staticmethod
    @cache
    def of(bits: int) -> "EqualMassBins":
        count = 1 << bits
        edges = functions.normal_inverse_cdf(np.arange(1, count) / count)
        centres = functions.normal_inverse_cdf((np.arange(count) + 0.5) / count)
        return EqualMassBins(bits, np.concatenate([[-np.inf], edges, [np.inf]]), centres)


class BinnedGaussian(CdfDistribution):
    """A Gaussian over the bins of the prior; mean and log_scale (size,)."""

    def __init__(self, mean: Floats, log_scale: Floats, bins: EqualMassBins):
        self.size, self.symbol_bits = len(mean), bins.bits
        self._mean, self._inverse_scale, self._bins = mean, functions.exp(-log_scale), bins

    def _cdf(self, symbols: Floats, where: slice | NDArray[np.intp]) -> Floats:
        t = self._bins.edges.take(symbols.astype(np.intp))
        t -= self._mean[where]
        t *= self._inverse_scale[where]
        return functions.normal_cdf(t)


class GridPrior(CdfDistribution):
    """The standard normal prior on a grid of 256 points n * step, n = -128 .. 127; step (size,)."""

    symbol_bits = 8
    ZERO = 128
    """The symbol of grid point 0."""

    def __init__(self, step: Floats):
        self.size, self._step = len(step), step

    def _cdf(self, symbols: Floats, where: slice | NDArray[np.intp]) -> Floats:
        t = (symbols - (self.ZERO + 0.5)) * self._step[where]
        mass = functions.normal_cdf(t)
        mass[symbols == 0.0] = 0.0
        mass[symbols == 256.0] = 1.0
        return mass


class LogisticMixture(CdfDistribution):
    """Mixtures of discretised logistics over 0 .. 255; the ends take the mass outside.

    `means` and `inverse_scales` in pixel values, `weights` sum to about 1; all (components, size).
    """

    symbol_bits = 8

    def __init__(self, means: Floats, inverse_scales: Floats, weights: Floats):
        self.size = means.shape[1]
        self._means, self._inverse_scales, self._weights = means, inverse_scales, weights

    def part(self, where: slice) -> "LogisticMixture":
        return LogisticMixture(self._means[:, where], self._inverse_scales[:, where], self._weights[:, where])

    def joined(self, other: "LogisticMixture") -> "LogisticMixture":
        pairs = (
            (self._means, other._means),
            (self._inverse_scales, other._inverse_scales),
            (self._weights, other._weights),
        )
        return LogisticMixture(*(np.concatenate(pair, 1) for pair in pairs))

    def _cdf(self, symbols: Floats, where: slice | NDArray[np.intp]) -> Floats:
        shape = (len(self._means), *(1 for _ in symbols.shape[1:]), -1)
        t = (symbols - 0.5) - self._means[:, where].reshape(shape)
        t *= self._inverse_scales[:, where].reshape(shape)
        masses = functions.sigmoid(t)
        masses *= self._weights[:, where].reshape(shape)
        total: Floats = masses[0]
        for mass in masses[1:]:
            total += mass
        np.minimum(total, 1.0, out=total)
        total[symbols == 0.0] = 0.0
        total[symbols == 256.0] = 1.0
        return total

    def locate(self, where: slice, positions: Counts) -> tuple[Symbols, Counts, Counts]:
        """Guesses symbols, and checks each exactly: a wrong guess costs time, and cannot change the result."""
        wanted = positions.astype(np.float64)
        symbols = self._guess(where, wanted)
        starts, freqs = self._intervals(symbols, where)
        wrong = np.flatnonzero((starts > wanted) | (starts + freqs <= wanted))
        if len(wrong):
            symbols[wrong] += np.where(starts[wrong] > wanted[wrong], -1.0, 1.0)
            starts[wrong], freqs[wrong] = self._intervals(symbols[wrong], wrong + where.start)
            wrong = wrong[(starts[wrong] > wanted[wrong]) | (starts[wrong] + freqs[wrong] <= wanted[wrong])]
        found = symbols.astype(np.int64), starts.astype(np.uint64), freqs.astype(np.uint64)
        if len(wrong):
            for part, right in zip(found, self.search(wrong + where.start, positions[wrong]), strict=True):
                part[wrong] = right
        return found

    def _guess(self, where: slice, wanted: Floats) -> Floats:
        """Symbols whose intervals hold `wanted`, or nearly: four values a step, in float32 and a coarse sigmoid."""
        slopes, offsets, weights = (part[:, None, where] for part in self._coarse)
        wanted = wanted.astype(np.float32)
        symbols = np.zeros(len(wanted), np.float32)
        for step in np.array([64, 16, 4, 1], np.float32):
            edges = symbols + step * np.array([[1], [2], [3]], np.float32)
            t = edges * slopes
            t += offsets
            masses = _coarse_sigmoid().take(t.astype(np.int32), mode="clip")
            masses *= weights
            total = masses[0]
            for mass in masses[1:]:
                total += mass
            total += edges
            symbols += step * (total <= wanted).sum(0, dtype=np.float32)
        return symbols.astype(np.float64)

    @cached_property
    def _coarse(self) -> tuple[NDArray[np.float32], ...]:
        """Slope and offset from a symbol to its place in the coarse sigmoid's table, and weight in frequencies."""
        slopes = np.minimum(self._inverse_scales, STEEPEST) * COARSE_STEPS
        offsets = COARSE_REACH * COARSE_STEPS - (np.clip(self._means, -FARTHEST, FARTHEST) + 0.5) * slopes
        weights = self._weights * (2.0**self.precision - 2.0**self.symbol_bits)
        return tuple(part.astype(np.float32) for part in (slopes, offsets, weights))


COARSE_REACH = 16
COARSE_STEPS = 2048
STEEPEST, FARTHEST = 64.0, 4096.0
"""Of inverse scales and means beyond these guesses may be wrong."""


@cache
def _coarse_sigmoid() -> NDArray[np.float32]:
    places = np.arange(2 * COARSE_REACH * COARSE_STEPS + 1)
    return functions.sigmoid(places / COARSE_STEPS - COARSE_REACH).astype(np.float32)
