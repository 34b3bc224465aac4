"""Finding the predictors of pictures: only an encoder does, so that nothing here need be exact or repeatable.

Weights are fitted by least squares, weighted by how far off each pixel is expected to be, to a sample of a unit's
pixels; then what is expected of errors, likewise; then the table of classes and the shape, by code lengths.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.fit_classes import Coded, bits, fit_classes
from bbcompress.codec.lattice import Scale
from bbcompress.codec.parameters import coarser, length
from bbcompress.codec.predictor import (
    CONTEXT_BITS,
    ERROR_BITS,
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
from bbcompress.coding.shapes import MEAN_BITS

Floats = NDArray[np.floating]

SAMPLE = 1 << 14
"""Pixels that weights are fitted to."""
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
    return fit_classes(fitted, coded(fitted, seen, depth), depth, seen.share)


def best(unit: Unit, scales: Sequence[Scale], depth: int, general: Predictor) -> Predictor:
    """A unit's own predictor, with weights as coarse as pays, or the general one where that is cheaper."""
    seen = sample(unit, scales, depth)
    found = fit(unit, seen, depth, general)
    candidates = [coarser(found, unit, step) for step in WEIGHT_STEPS]
    costs = [unit_bits(candidate, seen, depth) + length(candidate, unit) for candidate in candidates]
    cost, candidate = min(zip(costs, candidates, strict=True), key=lambda pair: pair[0])
    return candidate if cost < unit_bits(general, seen, depth) else general


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


def coded(predictor: Predictor, seen: Sample, depth: int) -> Coded:
    """A sample as the predictor would code it."""
    top = ((1 << depth) - 1) << MEAN_BITS
    weights = (predictor.weights * 2.0**-WEIGHT_BITS).astype(np.float32)
    means = np.rint((seen.neighbours @ weights + seen.centres) * 2.0**MEAN_BITS)
    expected = seen.magnitudes @ predictor.context.astype(np.float32) * np.float32(2.0**ERROR_BITS)
    values = (seen.values + seen.centres).astype(np.int64)
    return Coded(values, np.clip(means, 0, top).astype(np.int64), class_of(expected))


def unit_bits(predictor: Predictor, seen: Sample, depth: int) -> float:
    """What all pixels of the unit take, by the sample."""
    return bits(predictor, coded(predictor, seen, depth), depth) / seen.share


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
