"""Finding the predictors of pictures, which only an encoder does.

Weights are fitted by least squares, weighted by how far off each pixel is expected to be, to a sample of a unit's
pixels; then what is expected of errors, likewise; then the table of classes and the shape, by code lengths.

So that the same file is written everywhere, matrices that are multiplied hold whole numbers, or multiples of a power of
two, in float64: their sums are exact in any order. All else is single operations in a fixed order.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.fit_classes import Coded, bits, fit_classes
from bbcompress.codec.lattice import Scale
from bbcompress.codec.least_squares import Equations
from bbcompress.codec.parameters import FITTED_STRIDES, coarser, length
from bbcompress.codec.predictor import (
    CONTEXT_BITS,
    ERROR_BITS,
    WEIGHT_BITS,
    Around,
    Piece,
    Predictor,
    Unit,
    centres,
    class_of,
    magnitude,
    taps,
    terms,
    view,
)
from bbcompress.coding.shapes import MEAN_BITS

Floats = NDArray[np.float64]

WEIGHT_DEVIATION = 0.1
"""Weights are expected to be this near to the usual ones."""
CONTEXT_DEVIATION = 0.2
LARGEST_CONTEXT = 3.9
LARGEST_ERROR = 60.0
"""Errors above this, of 8-bit values, count as this where their magnitudes are fitted."""
FITTED_BITS = 16
"""Weights are fitted in units of 2^-16."""
ROOT_BITS = 3
"""Pixels of 8 bits are weighted by at most (2^3)^2."""
WEIGHT_STEPS = (0, 4)
"""Powers of two that weights may be multiples of; others between them save hardly anything."""


class Effort(NamedTuple):
    """How carefully predictors are fitted."""

    pixels: int
    """Of a unit, about, that they are fitted to."""
    rounds: int
    """Of fitting weights, then what errors are expected: what errors were in one says how pixels count in the next."""
    strides: tuple[int, ...]
    """Of scales whose predictors are fitted."""


QUICK, THOROUGH = Effort(1 << 13, 1, (4, 2)), Effort(3 << 12, 2, FITTED_STRIDES)


class Sample(NamedTuple):
    """Some pixels of a unit, from pictures of several sizes, with all that a predictor sees of them."""

    neighbours: Floats
    """What weights are of (taps + 1, pixels), whole numbers: see `centres`."""
    magnitudes: Floats
    """Context terms (terms + 1, pixels) in eighths of a step of values, whole numbers, the last one step."""
    values: Floats
    """Less the own channel's centre."""
    centres: Floats
    share: float
    """Of all pixels of the unit."""


def sample(unit: Unit, scales: Sequence[Scale], depth: int, pixels: int = THOROUGH.pixels) -> Sample:
    """About so many, of pictures whose pixels in this unit are there already."""
    total = sum(_pixels(scale, unit) for scale in scales)
    pieces = [(scale, _thinned(scale, unit, max(1.0, total / pixels))) for scale in scales if _pixels(scale, unit)]
    count = sum(int(np.prod(piece.shape)) for _, piece in pieces)
    neighbours = np.empty((len(taps(unit)) + 1, count))
    magnitudes = np.empty((len(terms(unit)) + 1, count))
    values = np.empty(count)
    stop = 0
    for scale, piece in pieces:
        start, stop = stop, stop + int(np.prod(piece.shape))
        for row, tap in enumerate(taps(unit)):
            neighbours[row, start:stop].reshape(piece.shape)[:] = view(scale.pixels, tap, piece)
        around = Around.of(scale, piece, depth)
        for row, term in enumerate(terms(unit)):
            magnitudes[row, start:stop] = around.errors.inside(magnitude(term, around)).ravel()
        values[start:stop].reshape(piece.shape)[:] = scale.inside(scale.pixels, unit.stage, unit.channel)[piece]
    neighbours[-1] = 1 << (depth - 1)
    magnitudes[-1] = 1 << ERROR_BITS
    own = neighbours[centres(unit).index(len(neighbours) - 1)].copy()
    for row in _centres_last(unit):
        neighbours[row] -= neighbours[centres(unit)[row]]
    return Sample(neighbours, magnitudes, values - own, own, count / total)


@cache
def _centres_last(unit: Unit) -> list[int]:
    """All taps, none before those that it is the centre of."""
    of = centres(unit)

    def steps(row: int) -> int:
        """To the constant."""
        return 0 if row == len(of) - 1 else 1 + steps(of[row])

    return sorted(range(len(of) - 1), key=steps, reverse=True)


def fit(seen: Sample, depth: int, usual: Predictor, rounds: int = THOROUGH.rounds) -> Predictor:
    """The predictor that codes the sample best, near to the usual one where there is little to go by."""
    weights = usual.weights * 2.0**-WEIGHT_BITS
    context = usual.context * 2.0**-CONTEXT_BITS
    least = 2.0 ** -(ERROR_BITS + 1)
    magnitudes = seen.magnitudes * 2.0**-ERROR_BITS
    expected = np.maximum(context @ magnitudes, least)
    errors = seen.values - weights @ seen.neighbours
    context_ridge = seen.share / 2 / CONTEXT_DEVIATION**2
    roots = 1 / np.sqrt(magnitudes[0] * magnitudes[0] + 4)
    for number in range(rounds):
        if number:
            scale = np.maximum(expected, 0.25) * 0.6
            ratio = errors / scale
            # nearly of a logistic distribution: the derivative of its log density over the error
            roots = 1 / (np.sqrt(np.sqrt(ratio * ratio + 4)) * scale)
        found = _equations(seen.neighbours, errors, roots, depth, ROOT_BITS)
        change = found.solution(seen.share / WEIGHT_DEVIATION**2, np.zeros_like(weights))
        weights += np.rint(change * 2.0**FITTED_BITS) * 2.0**-FITTED_BITS
        errors = seen.values - weights @ seen.neighbours
        half = slice(None, None, 2)
        context = _fit_context(magnitudes[:, half], errors[half], expected[half], context, context_ridge, depth)
        expected = np.maximum(context @ magnitudes, least)
    whole_weights = np.rint(weights * 2.0**WEIGHT_BITS).astype(np.int64)
    whole_context = np.rint(context * 2.0**CONTEXT_BITS).astype(np.int64)
    fitted = Predictor(whole_weights, whole_context, usual.knots, usual.shape)
    return fit_classes(fitted, coded([fitted], seen, depth)[0], depth, seen.share)


def best(
    unit: Unit, scales: Sequence[Scale], depth: int, usual: Predictor, effort: Effort, least_saving: float = 0.0
) -> Predictor:
    """A unit's own predictor, with weights as coarse as pays, or the usual one unless that saves more than this part of
    its bits."""
    seen = sample(unit, scales, depth, effort.pixels)
    found = fit(seen, depth, usual, effort.rounds)
    candidates = [*(coarser(found, unit, usual, step) for step in WEIGHT_STEPS), usual]
    costs = [
        bits(candidate, its, depth) / seen.share + (0 if candidate is usual else length(candidate, unit, usual))
        for candidate, its in zip(candidates, coded(candidates, seen, depth), strict=True)
    ]
    costs[-1] *= 1 - least_saving
    # of the same costs the first is taken
    return candidates[costs.index(min(costs))]


def coded(predictors: Sequence[Predictor], seen: Sample, depth: int) -> list[Coded]:
    """A sample as each predictor would code it."""
    top = ((1 << depth) - 1) << MEAN_BITS
    weights = np.array([predictor.weights for predictor in predictors]) * 2.0 ** (MEAN_BITS - WEIGHT_BITS)
    contexts = np.array([predictor.context for predictor in predictors], np.float64)
    values = (seen.values + seen.centres).astype(np.int64)
    means = weights @ seen.neighbours
    means += seen.centres * 2.0**MEAN_BITS
    np.rint(means, out=means)
    np.clip(means, 0, top, out=means)
    expected = contexts @ seen.magnitudes
    return [
        Coded(values, mean.astype(np.int64), class_of(magnitude))
        for mean, magnitude in zip(means, expected, strict=True)
    ]


def _fit_context(
    magnitudes: Floats, errors: Floats, expected: Floats, context: Floats, ridge: float, depth: int
) -> Floats:
    """Weights, none below 0, whose sums are what errors' magnitudes are expected to be."""
    roots = 1 / np.sqrt(expected * expected + 0.1)
    off = np.minimum(np.abs(errors), LARGEST_ERROR * 2.0 ** (depth - 8))
    equations = _equations(magnitudes, off, roots, depth, ROOT_BITS - 1)
    # terms whose weights would be below 0 are left out, and the others fitted again
    used = np.ones(len(context), bool)
    for _ in range(3):
        part = equations.solution(ridge, context, used)
        if (part >= 0).all():
            break
        used &= part > 0
    return np.rint(np.clip(part, 0, LARGEST_CONTEXT) * 2.0**CONTEXT_BITS) * 2.0**-CONTEXT_BITS


def _equations(rows: Floats, wanted: Floats, roots: Floats, depth: int, root_bits: int) -> Equations:
    """Of values of 8 bits roots have so many at most; of deeper ones fewer, so that products' rounding stays small."""
    deeper = (depth - 8) // 2
    return Equations(rows, wanted, np.minimum(roots, 2.0 ** (root_bits - deeper)), depth + root_bits - deeper)


def _pixels(scale: Scale, unit: Unit) -> int:
    rows, columns = scale.size(unit.stage)
    return rows * columns * int(scale.pixels[0].shape[1])


def _thinned(scale: Scale, unit: Unit, times: float) -> Piece:
    """About one of so many pixels: some pictures, or some rows and columns of them, an odd number apart, so that they
    lie everywhere in the blocks of what was a JPEG file."""
    pictures = scale.pixels[0].shape[1]
    rows, columns = scale.size(unit.stage)
    by_pictures = max(1, min(int(times), pictures // 16))
    times = times / by_pictures
    by_rows = max(1, min(rows // 8, _odd(np.sqrt(times))))
    by_columns = max(1, min(columns // 8, _odd(times / by_rows)))
    return Piece(
        slice(0, pictures, by_pictures), slice(by_rows // 2, rows, by_rows), slice(by_columns // 2, columns, by_columns)
    )


def _odd(number: float) -> int:
    """The nearest one."""
    return 2 * int(number / 2) + 1
