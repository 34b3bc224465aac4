"""A stage's own coder: pixels predicted by weighted sums of their neighbours, and how far off to expect them.

All of it is integers: weights come with the file (`bbcompress.codec.fit` finds them), and what a decoder computes is
exact in any order. What is known of a pixel before it is decoded:

* its mean, in 1/64: a weighted sum of neighbours in all channels, of the channels before at its place and around it;
* its class of scale: the magnitude of its error is expected to be a weighted sum of neighbours' errors and differences;
  the leading bits of that sum (eight steps an octave) are its class, which a table of the picture's own corrects.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from bbcompress.codec.lattice import MARGIN, OTHER_REACH, OWN_REACH, RING, Scale, Tap, places
from bbcompress.coding.shapes import CLASSES, MEAN_BITS, SHAPES

WEIGHT_BITS = 12
"""Weights of neighbours are in units of 2^-12."""
CONTEXT_BITS = 8
"""Weights of context terms are in units of 2^-8, which are in units of 1/8 of a step of values."""
ERROR_BITS = 3
"""Errors are kept in units of 2^-3."""
_REACH = MARGIN - 1
"""Neighbours are at most so many places away; parts of a scale may have one row or column less than others."""
GAIN_BITS = 3
KNOT_CLASSES = 4
"""The table of classes is given at every fourth class."""
KNOTS = CLASSES // KNOT_CLASSES

Integers = NDArray[Any]


class Error(NamedTuple):
    """The magnitudes of known errors at some places, added."""

    taps: tuple[Tap, ...]


class Difference(NamedTuple):
    """The difference of two neighbours, of a channel after the first of what they differ from the first channel."""

    one: Tap
    other: Tap


class Spread(NamedTuple):
    """How far the nearest neighbours, as `Difference` sees them, are from their mean: 3/2 of their mean deviation."""

    taps: tuple[Tap, ...]


Term = Error | Difference | Spread


class Unit(NamedTuple):
    """What is coded at once: one channel of a stage, in pictures of so many channels."""

    stage: int
    channel: int
    channels: int


@cache
def taps(unit: Unit) -> tuple[Tap, ...]:
    """The neighbours that a pixel's mean is a weighted sum of, besides a constant."""
    found = []
    for channel in range(unit.channels):
        reach = OWN_REACH if channel == unit.channel else OTHER_REACH
        found += [Tap(part, channel, rows, columns) for part, rows, columns in places(unit.stage, reach)]
    for channel in range(unit.channel):
        found += [Tap(unit.stage, channel, *place) for place in ((0, 0), *RING)]
    return tuple(found)


@cache
def centres(unit: Unit) -> tuple[int, ...]:
    """For each tap, then the constant: what is subtracted from it where weights are fitted and written, by number.

    Of a neighbour it is the first tap of its channel; of that, the own channel's first; of this, the constant; of the
    constant it is itself, which stands for nothing. So weights multiply small differences, and their rounding costs
    little: rounded by themselves, weights of values would not add up to one.
    """
    first: dict[int, int] = {}
    for number, tap in enumerate(taps(unit)):
        first.setdefault(tap.channel, number)
    constant, own = len(taps(unit)), first[unit.channel]
    found = []
    for number, tap in enumerate(taps(unit)):
        if number == own:
            found.append(constant)
        else:
            found.append(own if number == first[tap.channel] else first[tap.channel])
    return (*found, constant)


def plain_weights(unit: Unit, weights: Integers) -> Integers:
    """Weights of `taps` and the constant themselves, of what is written (`centres`): a mean is their sum."""
    of = np.array(centres(unit))
    constant = len(of) - 1
    plain = weights.astype(np.int64)
    np.subtract.at(plain, of[:-1], weights[:-1])
    plain[int(np.flatnonzero(of[:-1] == constant)[0])] += 1 << WEIGHT_BITS
    return plain


@cache
def terms(unit: Unit) -> tuple[Term, ...]:
    """What a pixel's expected error is a weighted sum of, besides a constant."""

    def tap(place: tuple[int, int, int], channel: int = unit.channel) -> Tap:
        return Tap(place[0], channel, *place[1:])

    near = places(unit.stage, OTHER_REACH)
    own = [tap(place) for place in places(unit.stage, OWN_REACH)[:6]]
    found: list[Term] = [Spread(tuple(own))]
    found += [Difference(own[i], own[j]) for i in range(4) for j in range(i)]
    found += [Error((tap(place),)) for place in near]
    for channel in range(unit.channel):
        found.append(Error((Tap(unit.stage, channel, 0, 0),)))
        found.append(Error(tuple(Tap(unit.stage, channel, *place) for place in RING)))
    for channel in range(unit.channels):
        if channel != unit.channel:
            found.append(Error(tuple(tap(place, channel) for place in near[:4])))
    return tuple(found)


class Predictor(NamedTuple):
    """What a file says of a unit at a scale: all that its coder does by itself."""

    weights: Integers
    """Of neighbours less their `centres`, then of half the range of values, int64 in 2^-12; a mean is the own channel's
    first tap and their sum."""
    context: Integers
    """Of `terms`, then of one step of values, int64 >= 0 in 2^-8."""
    knots: Integers
    """What is added to every fourth class, between them along a line (KNOTS,) int64."""
    shape: int
    gain: int = 8
    """How much of a network's correction counts, in eighths: 0 to 8."""
    wider: int = 0
    """Classes that are added where a network corrects, -4 to 3."""

    def classes(self) -> Integers:
        """The corrected class of each class, (CLASSES,) int64."""
        return np.clip(np.arange(CLASSES) + between_knots(self.knots), 0, CLASSES - 1)


def between_knots(knots: Integers) -> Integers:
    """What is added to each class (CLASSES,): a number that is added to all knots is added to all of it."""
    index = np.arange(CLASSES)
    left, rest = index // KNOT_CLASSES, index % KNOT_CLASSES
    right = np.minimum(left + 1, KNOTS - 1)
    moved = knots[left] * (KNOT_CLASSES - rest) + knots[right] * rest
    between: Integers = (moved + KNOT_CLASSES // 2) // KNOT_CLASSES
    return between


class Piece(NamedTuple):
    """Some pictures, rows and columns of a unit, computed at once; slices with all of start, stop and step."""

    pictures: slice
    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int, int]:
        pictures, rows, columns = (len(range(part.start, part.stop, part.step)) for part in self)
        return pictures, rows, columns


def view(arrays: list[Integers], tap: Tap, piece: Piece) -> Integers:
    """A neighbour of each pixel of a piece (pictures, rows, columns)."""
    rows, columns = (
        slice(part.start + MARGIN + by, part.stop + MARGIN + by, part.step)
        for part, by in ((piece.rows, tap.rows), (piece.columns, tap.columns))
    )
    part: Integers = arrays[tap.part][tap.channel, piece.pictures, rows, columns]
    return part


class Neighbours:
    """Those of a piece's pixels, in rows of (values,) of a type to compute with.

    Planes are converted once for all neighbours in them. Rows run through the margins from one of the picture's rows to
    the next, so that they are contiguous: twice as fast, for all that is computed of margins in vain. Of a thinned
    piece they are of its pixels alone, as most of a plane is none's neighbour.
    """

    def __init__(self, arrays: list[Integers], piece: Piece, work: Any):
        self._arrays, self._piece, self._work = arrays, piece, work
        pictures, high, wide = piece.shape
        self._whole = piece.rows.step == piece.columns.step == 1
        row = wide + 2 * _REACH if self._whole else wide
        picture = row * (high + 2 * _REACH) if self._whole else row * high
        self._steps = picture, row, 1
        self.size = max(0, (pictures - 1) * picture + (high - 1) * row + wide)
        """Values of a row."""
        self._planes: dict[tuple[int, int], Integers] = {}

    def row(self, tap: Tap) -> Integers:
        """A neighbour of each pixel, not to be written to."""
        if not self._whole:
            return view(self._arrays, tap, self._piece).astype(self._work).ravel()
        key = tap.part, tap.channel
        if key not in self._planes:
            rows, columns = (
                slice(part.start + MARGIN - _REACH, part.stop + MARGIN + _REACH)
                for part in (self._piece.rows, self._piece.columns)
            )
            plane = self._arrays[tap.part][tap.channel, self._piece.pictures, rows, columns]
            self._planes[key] = plane.astype(self._work).ravel()
        first = (_REACH + tap.rows) * self._steps[1] + _REACH + tap.columns
        return self._planes[key][first : first + self.size]

    def inside(self, rows: Integers) -> Integers:
        """The values (..., pictures, rows, columns) of pixels in rows (..., values), a view."""
        steps = (*rows.strides[:-1], *(rows.itemsize * step for step in self._steps))
        return as_strided(rows, (*rows.shape[:-1], *self._piece.shape), steps)

    def placed(self, values: Integers) -> Integers:
        """A row of values (pictures, rows, columns), 0 in margins."""
        row = np.zeros(self.size, values.dtype)
        self.inside(row)[:] = values
        return row


class Around(NamedTuple):
    """What is known around a piece's pixels."""

    pixels: Neighbours
    errors: Neighbours
    work: type[np.signedinteger[Any]]
    """What is computed in: 32 bits where these hold all sums, as of 8-bit values (fields.MAX_WEIGHT); half the time."""

    @classmethod
    def of(cls, scale: Scale, piece: Piece, depth: int) -> "Around":
        work = np.int32 if depth <= 8 else np.int64
        return cls(Neighbours(scale.pixels, piece, work), Neighbours(scale.errors, piece, work), work)


class Prediction(NamedTuple):
    """Of the pixels of a piece, each (pixels,) int64."""

    means: Integers
    """In 2^-6 steps, between the smallest and largest value."""
    classes: Integers
    """Not yet corrected."""


def predict(predictor: Predictor, unit: Unit, scale: Scale, depth: int, piece: Piece) -> Prediction:
    """From what is known, for pixels of `depth` bits."""
    around = Around.of(scale, piece, depth)
    weights = plain_weights(unit, predictor.weights)
    sums = np.full(around.pixels.size, int(weights[-1]) << (depth - 1), around.work)
    product = np.empty_like(sums)
    for tap, weight in zip(taps(unit), weights.tolist()[:-1], strict=True):
        if weight:
            sums += np.multiply(around.pixels.row(tap), around.work(weight), out=product)
    expected = np.full(around.pixels.size, int(predictor.context[-1]) << ERROR_BITS, around.work)
    for term, weight in zip(terms(unit), predictor.context.tolist()[:-1], strict=True):
        if weight:
            expected += np.multiply(magnitude(term, around), around.work(weight), out=product)
    sums, expected = (around.pixels.inside(row).ravel() for row in (sums, expected))
    sums += 1 << (WEIGHT_BITS - MEAN_BITS - 1)
    sums >>= WEIGHT_BITS - MEAN_BITS
    np.clip(sums, 0, ((1 << depth) - 1) << MEAN_BITS, out=sums)
    return Prediction(sums.astype(np.int64), class_of(expected))


def magnitude(term: Term, around: Around) -> Integers:
    """A context term, in 2^-3 steps of values, of each pixel: a row of `Neighbours`."""

    def seen(tap: Tap) -> Integers:
        own = around.pixels.row(tap)
        return own - around.pixels.row(tap._replace(channel=0)) if tap.channel else own

    total: Integers
    match term:
        case Error(places):
            total = around.errors.row(places[0])
            for tap in places[1:]:
                total = total + around.errors.row(tap)
        case Difference(one, other):
            total = np.abs(seen(one) - seen(other))
            total <<= ERROR_BITS
        case Spread(near):
            values = [seen(tap) for tap in near]
            middle: Integers = np.sum(values, axis=0, dtype=around.work)
            total = np.zeros_like(middle)
            for value in values:
                total += np.abs(len(near) * value - middle)
            total >>= 2
    return total


def moved(
    own: Predictor,
    prediction: Prediction,
    depth: int,
    means: Integers,
    classes: Integers,
    shapes: Integers,
    coupled: Integers,
) -> tuple[Integers, Integers, Integers]:
    """Means, classes and shapes of pixels as a network corrects them (`corrector.Correction`), by their gain; `coupled`
    are sums of couplings times errors, in 2^-13 of a step of values."""
    half = 1 << (GAIN_BITS - 1)
    corrected = own.classes().take(prediction.classes)
    # a 2^-5 of the scale, times its gain, in 2^-16 steps
    by = (means * _scales().take(corrected) + coupled) * np.int64(own.gain)
    mean = prediction.means + ((by + 512) >> 10)
    mean = mean.clip(0, ((1 << depth) - 1) << MEAN_BITS)
    wider = corrected + own.wider + ((classes * np.int64(own.gain) + half) >> GAIN_BITS)
    shape = own.shape + ((shapes * np.int64(own.gain) + half) >> GAIN_BITS)
    return mean, wider.clip(0, CLASSES - 1), shape.clip(0, SHAPES - 1)


@cache
def _scales() -> Integers:
    """Each class's scale in 2^-8 steps of values."""
    classes = np.arange(CLASSES)
    scales: Integers = (8 + classes % 8) << (classes // 8)
    return scales


def class_of(expected: Integers) -> Integers:
    """The class of scale of an expected error in 2^-11 steps: its leading bits, those of 2^-5 steps being class 0."""
    leading = np.maximum(expected, 1).astype(np.float32).view(np.int32) >> 20
    # a float32 of 2^6 has an exponent of 127 + 6, and its mantissa's first three bits are steps of an eighth
    found: Integers = np.clip(leading - ((127 + 6) << 3), 0, CLASSES - 1).astype(np.int64)
    return found


def error_magnitude(values: Integers, means: Integers) -> Integers:
    """|value - mean| in 2^-3 steps of values, rounded down."""
    found: Integers = np.abs((values << MEAN_BITS) - means) >> (MEAN_BITS - ERROR_BITS)
    return found
