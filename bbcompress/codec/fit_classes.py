"""Finding a unit's table of classes and its shape, by what a sample of its pixels takes: the encoder alone does.

What a pixel takes hangs on its error, the corrected class, the shape, and whether its value is the smallest or largest,
of which the whole tail is. So pixels are counted by class and error, and everything is summed from a table of bits.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.predictor import KNOT_CLASSES, KNOTS, Predictor, between_knots
from bbcompress.coding.distributions import MICROBITS, code_lengths
from bbcompress.coding.shapes import CLASSES, LOGISTIC, MEAN_BITS, PRECISION, SHAPES, ScaledShapes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOVES = np.arange(-12, 13)
KNOT_COST = 6.0
"""Bits that a step from one knot to the next takes, about."""
_LEAST_BITS = 2
_STEPS = 8
"""Errors that are told apart: in 2^-6 and 4 more, so many an octave."""


class Coded(NamedTuple):
    """A sample as it is coded, each (pixels,) int64."""

    values: Integers
    means: Integers
    """In 2^-6, as `predict` has them."""
    classes: Integers
    """Not yet corrected."""

    def columns(self, depth: int) -> Integers:
        """Of a table of `microbits_of_errors`."""
        errors = np.abs((self.values << MEAN_BITS) - self.means) + (1 << _LEAST_BITS)
        found = errors.astype(np.float32).view(np.int32) >> 20
        at_end = (self.values == 0) | (self.values == (1 << depth) - 1)
        columns: Integers = found - ((127 + _LEAST_BITS) << 3) + at_end * _errors(depth)
        return columns


def _errors(depth: int) -> int:
    return _STEPS * (depth + MEAN_BITS - _LEAST_BITS + 1)


@cache
def microbits_of_errors(depth: int, shape: int) -> Floats:
    """What values take (classes, columns), whole numbers, so that their sums are exact: by their errors those within
    the range, then those at its ends."""
    steps = np.arange(_errors(depth))
    middles = 2.0 ** (_LEAST_BITS + steps // _STEPS) * (1 + (steps % _STEPS + 0.5) / _STEPS) - (1 << _LEAST_BITS)
    errors = np.tile(np.minimum(np.rint(middles), (1 << depth + MEAN_BITS) - 1).astype(np.int64), CLASSES)
    classes = np.repeat(np.arange(CLASSES), len(steps))
    # within the range: the middle of one twice as wide
    middle = np.full(len(errors), 1 << depth)
    within = ScaledShapes(depth + 1, (middle << MEAN_BITS) - errors, classes, shape).intervals(middle)
    at_end = ScaledShapes(depth, errors, classes, shape).intervals(np.zeros(len(errors), np.int64))
    columns = [code_lengths(interval[1], PRECISION).reshape(CLASSES, -1) for interval in (within, at_end)]
    return np.concatenate(columns, axis=1).astype(np.float64)


def bits(predictor: Predictor, coded: Coded, depth: int) -> float:
    """What the sample takes."""
    table = microbits_of_errors(depth, predictor.shape)
    rows = predictor.classes().take(coded.classes) * table.shape[1]
    rows += coded.columns(depth)
    return float(table.take(rows).sum()) / MICROBITS


def fit_classes(predictor: Predictor, coded: Coded, depth: int, share: float) -> Predictor:
    """With the best table of classes and shape; `share` is the sample's of the unit's pixels."""
    width = 2 * _errors(depth)
    counts = np.bincount(coded.classes * width + coded.columns(depth), minlength=CLASSES * width)
    counts = counts.reshape(CLASSES, width).astype(np.float64)
    used = np.flatnonzero(counts.any(1))
    nearest = np.minimum((used + KNOT_CLASSES // 2) // KNOT_CLASSES, KNOTS - 1)
    by_shape: dict[int, Floats] = {}

    def of_classes(knots: Integers, moves: Integers, shape: int) -> Floats:
        """What the pixels of each used class take (moves, used), in microbits of the sample."""
        if shape not in by_shape:
            by_shape[shape] = counts[used] @ microbits_of_errors(depth, shape).T
        corrected = used + between_knots(knots)[used] + moves[:, None]
        found: Floats = by_shape[shape][np.arange(len(used)), corrected.clip(0, CLASSES - 1)]
        return found

    def best_shape(knots: Integers, shapes: range) -> int:
        return min(shapes, key=lambda shape: float(of_classes(knots, np.zeros(1, np.int64), shape).sum()))

    def moved(knots: Integers, shape: int, moves: Integers) -> Integers:
        """The best of some moves at each knot."""
        at_knots = np.arange(len(moves))[:, None] * KNOTS + nearest
        costs = np.bincount(at_knots.ravel(), of_classes(knots, moves, shape).ravel(), len(moves) * KNOTS)
        costs = costs.reshape(len(moves), KNOTS)
        inside = slice(nearest[0], nearest[-1] + 1)
        found = _smoothest(knots[inside], moves, costs[:, inside] / (share * MICROBITS))
        # beyond the knots that are used all are as the last of these
        return np.pad(found, (inside.start, KNOTS - inside.stop), mode="edge")

    knots = moved(np.full(KNOTS, -4), LOGISTIC, MOVES[::3])
    shape = best_shape(knots, range(1, SHAPES, 3))
    knots = moved(knots, shape, MOVES[9:16])
    shape = best_shape(knots, range(max(0, shape - 2), min(SHAPES, shape + 3)))
    return predictor._replace(knots=moved(knots, shape, MOVES[11:14]), shape=shape)


def _smoothest(knots: Integers, moves: Integers, costs: Floats) -> Integers:
    """The moves (one a knot) that cost least, given costs (moves, knots) and what is paid for steps between knots."""
    states = knots + moves[:, None]
    best = costs[:, 0]
    before = np.zeros(costs.shape, np.int64)
    for knot in range(1, len(knots)):
        steps = best[:, None] + KNOT_COST * np.abs(states[:, knot - 1][:, None] - states[:, knot][None, :])
        before[:, knot] = steps.argmin(0)
        best = steps.min(0) + costs[:, knot]
    chosen = np.empty(len(knots), np.int64)
    state = int(best.argmin())
    for knot in range(len(knots) - 1, -1, -1):
        chosen[knot] = states[state, knot]
        state = before[state, knot]
    return chosen
