"""Finding the predictors of pictures: only an encoder does, so that nothing here need be exact or repeatable.

Weights are fitted by least squares, weighted by how far off each pixel is expected to be, to a sample of a unit's
pixels; then what is expected of errors, likewise; then the table of classes and the shape, by code lengths.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.lattice import Scale
from bbcompress.codec.parameters import coarser, length
from bbcompress.codec.predictor import (
    CONTEXT_BITS,
    ERROR_BITS,
    KNOT_CLASSES,
    KNOTS,
    WEIGHT_BITS,
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
from bbcompress.coding.distributions import MICROBITS, code_lengths
from bbcompress.coding.shapes import LOGISTIC, MEAN_BITS, SHAPES, ScaledShapes

Floats = NDArray[np.floating]

SAMPLE = 1 << 14
"""Pixels that weights are fitted to."""
CLASS_SAMPLE = 1 << 12
"""Pixels that the table of classes is fitted to."""
WEIGHT_DEVIATION = 0.1
"""Weights are expected to be this near to the general ones."""
CONTEXT_DEVIATION = 0.2
ROUNDS = 2
LARGEST_CONTEXT = 3.9
LARGEST_ERROR = 60.0
"""Errors above this, of 8-bit values, count as this where their magnitudes are fitted."""


WEIGHT_STEPS = (0, 1, 2, 3, 4)
"""Powers of two that weights may be multiples of."""


class Sample(NamedTuple):
    """Some pixels of a unit, from pictures of several sizes, with all that a predictor sees of them."""

    neighbours: Floats
    """What weights are of (pixels, taps + 1): see `centres`."""
    magnitudes: Floats
    """Context terms (pixels, terms + 1) in steps of values, the last 1."""
    values: Floats
    """Less the own channel's centre."""
    centres: Floats
    share: float
    """Of all pixels of the unit."""


def sample(unit: Unit, scales: Sequence[Scale], depth: int) -> Sample:
    """Of pictures whose pixels in this unit are there already."""
    total = sum(_pixels(scale, unit) for scale in scales)
    rows: list[tuple[Floats, ...]] = []
    others = centres(unit)
    work = np.int32 if depth <= 8 else np.int64
    for scale in scales:
        if not _pixels(scale, unit):
            continue
        piece = _thinned(scale, unit, max(1.0, total / SAMPLE))
        count = int(np.prod(piece.shape))
        # columns lie together in memory: they are filled one by one
        plain = np.empty((len(others), count), np.float32)
        for column, tap in enumerate(taps(unit)):
            plain[column] = view(scale.pixels, tap, piece).ravel()
        plain[-1] = 1 << (depth - 1)
        neighbours = np.empty_like(plain)
        for column, other in enumerate(others):
            np.subtract(plain[column], plain[other], out=neighbours[column])
        neighbours[-1] = plain[-1]
        own = plain[others.index(len(others) - 1)]
        magnitudes = np.empty((len(terms(unit)) + 1, count), np.float32)
        for column, term in enumerate(terms(unit)):
            magnitudes[column] = magnitude(term, scale, piece, work).ravel()
        magnitudes[-1] = 1 << ERROR_BITS
        magnitudes *= 2.0**-ERROR_BITS
        values = scale.inside(scale.pixels, unit.stage, unit.channel)[piece]
        rows.append((neighbours.T, magnitudes.T, values.ravel() - own, own))
    neighbours, magnitudes, values, own = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return Sample(neighbours, magnitudes, values, own, len(values) / total)


def fit(unit: Unit, seen: Sample, depth: int, general: Predictor) -> Predictor:
    """The predictor that codes the sample best, near to the general one where there is little to go by."""
    weights = (general.weights * 2.0**-WEIGHT_BITS).astype(np.float32)
    context = (general.context * 2.0**-CONTEXT_BITS).astype(np.float32)
    least = 2.0 ** -(ERROR_BITS + 1)
    expected = np.maximum(seen.magnitudes @ context, least)
    errors = seen.values - seen.neighbours @ weights
    ridge = float(seen.share / 2 / CONTEXT_DEVIATION**2)
    for number in range(ROUNDS):
        scale = np.maximum(expected, 0.25) * 0.6
        ratio = np.abs(errors) / scale
        # of a logistic distribution: the derivative of its log density over the error
        certainty = np.where(ratio > 1e-3, np.tanh(ratio / 2) / np.maximum(ratio, 1e-3), 0.5) / scale**2
        if number == 0:
            certainty = 1 / (seen.magnitudes[:, 0] ** 2 + 4)
        weights += _least_squares(seen.neighbours, errors, certainty, seen.share / WEIGHT_DEVIATION**2)
        errors = seen.values - seen.neighbours @ weights
        half = slice(None, None, 2)
        context = _fit_context(
            seen.magnitudes[half], errors[half], expected[half], context, ridge, LARGEST_ERROR * 2.0 ** (depth - 8)
        )
        expected = np.maximum(seen.magnitudes @ context, least)
    whole_weights = np.rint(weights * 2.0**WEIGHT_BITS).astype(np.int64)
    whole_context = np.rint(context * 2.0**CONTEXT_BITS).astype(np.int64)
    fitted = Predictor(whole_weights, whole_context, general.knots, general.shape)
    return fit_classes(fitted, seen, depth)


def best(unit: Unit, scales: Sequence[Scale], depth: int, general: Predictor) -> Predictor:
    """A unit's own predictor, with weights as coarse as pays, or the general one where that is cheaper."""
    seen = sample(unit, scales, depth)
    found = fit(unit, seen, depth, general)
    candidates = [coarser(found, unit, step) for step in WEIGHT_STEPS]
    costs = [bits(candidate, seen, depth) + length(candidate, unit) for candidate in candidates]
    cost, candidate = min(zip(costs, candidates, strict=True), key=lambda pair: pair[0])
    return candidate if cost < bits(general, seen, depth) else general


def _fit_context(
    magnitudes: Floats, errors: Floats, expected: Floats, context: Floats, ridge: float, largest: float
) -> Floats:
    """Weights, none below 0, whose sums are what errors' magnitudes are expected to be."""
    certainty = 1 / (expected * expected + 0.1)
    weighted = magnitudes * certainty[:, None]
    products = weighted.T @ magnitudes
    products[np.diag_indices(len(products))] += ridge + 1e-6 * products.diagonal().mean()
    off = weighted.T @ (np.minimum(np.abs(errors), largest) - magnitudes @ context)
    # terms whose weights would be below 0 are left out, and the others fitted again
    used = np.ones(len(context), bool)
    for _ in range(3):
        # what leaving terms out takes away is put back by the others
        wanted = off[used] + products[used][:, ~used] @ context[~used]
        part = np.zeros_like(context)
        part[used] = context[used] + np.linalg.solve(products[used][:, used], wanted)
        if (part >= 0).all():
            break
        used &= part > 0
    return np.clip(part, 0, LARGEST_CONTEXT)


def _least_squares(columns: Floats, wanted: Floats, certainty: Floats, ridge: float) -> Floats:
    weighted = columns * certainty[:, None]
    products = (weighted.T @ columns).astype(np.float64)
    products[np.diag_indices(len(products))] += ridge + 1e-6 * products.diagonal().mean()
    return np.linalg.solve(products, (weighted.T @ wanted).astype(np.float64)).astype(np.float32)


def coded(
    predictor: Predictor, seen: Sample, depth: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Values, means and uncorrected classes of a sample, as `predict` has them."""
    top = ((1 << depth) - 1) << MEAN_BITS
    weights = (predictor.weights * 2.0**-WEIGHT_BITS).astype(np.float32)
    means = np.rint((seen.neighbours @ weights + seen.centres) * 2.0**MEAN_BITS)
    expected = seen.magnitudes @ predictor.context.astype(np.float32) * np.float32(2.0**ERROR_BITS)
    return (seen.values + seen.centres).astype(np.int64), np.clip(means, 0, top).astype(np.int64), class_of(expected)


def bits(predictor: Predictor, seen: Sample, depth: int) -> float:
    """What all pixels of the unit take, by the sample."""
    values, means, classes = coded(predictor, seen, depth)
    distribution = ScaledShapes(depth, means, predictor.classes().take(classes), predictor.shape)
    return float(_lengths(distribution, values).sum()) / seen.share


def _lengths(distribution: ScaledShapes, values: NDArray[np.int64]) -> Floats:
    return code_lengths(distribution.intervals(values)[1], distribution.precision) / MICROBITS


MOVES = np.arange(-12, 13)
KNOT_COST = 6.0
"""Bits that a step from one knot to the next takes, about."""


def fit_classes(predictor: Predictor, seen: Sample, depth: int) -> Predictor:
    """With the best table of classes and shape."""
    values, means, classes = coded(predictor, seen, depth)
    step = max(1, len(values) // CLASS_SAMPLE)
    values, means, classes = values[::step], means[::step], classes[::step]
    weight = 1 / (seen.share / step)

    def lengths(knots: NDArray[np.int64], shape: int) -> Floats:
        corrected = predictor._replace(knots=knots).classes().take(classes)
        return _lengths(ScaledShapes(depth, means, corrected, shape), values)

    def moved(knots: NDArray[np.int64], shape: int, moves: NDArray[np.int64]) -> NDArray[np.int64]:
        """The best of some moves at each knot."""
        nearest = (classes + KNOT_CLASSES // 2) // KNOT_CLASSES
        costs = [np.bincount(np.minimum(nearest, KNOTS - 1), lengths(knots + move, shape), KNOTS) for move in moves]
        return _smoothest(knots, moves, weight * np.array(costs))

    knots = moved(np.full(KNOTS, -4), LOGISTIC, MOVES[::3])
    shape = min(range(1, SHAPES, 2), key=lambda shape: lengths(knots, shape).sum())
    knots = moved(knots, shape, MOVES[9:16])
    shape = min(range(max(0, shape - 2), min(SHAPES, shape + 3)), key=lambda shape: lengths(knots, shape).sum())
    return predictor._replace(knots=moved(knots, shape, MOVES[11:14]), shape=shape)


def _smoothest(knots: NDArray[np.int64], moves: NDArray[np.int64], costs: Floats) -> NDArray[np.int64]:
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


def _pixels(scale: Scale, unit: Unit) -> int:
    rows, columns = scale.size(unit.stage)
    return rows * columns * int(scale.pixels[0].shape[1])


def _thinned(scale: Scale, unit: Unit, times: float) -> Piece:
    """About one of so many pixels: some pictures, or some rows and columns of them."""
    pictures = scale.pixels[0].shape[1]
    rows, columns = scale.size(unit.stage)
    by_pictures = max(1, min(int(times), pictures // 16))
    times = times / by_pictures
    by_rows = max(1, min(rows // 8, int(np.ceil(np.sqrt(times)))))
    by_columns = max(1, min(columns // 8, int(np.rint(times / by_rows))))
    return Piece(
        slice(0, pictures, by_pictures), slice(by_rows // 2, rows, by_rows), slice(by_columns // 2, columns, by_columns)
    )
