"""Distributions by tables: intervals tile, values are found again, and scales mean what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bbcompress.coding.rans import Stack
from bbcompress.coding.shapes import (
    CLASSES,
    LEAST_SCALE,
    LOGISTIC,
    MEAN_BITS,
    PRECISION,
    SHAPES,
    ScaledShapes,
    shape_cdf,
)


@st.composite
def distributions(draw: st.DrawFn) -> ScaledShapes:
    depth = draw(st.sampled_from([1, 2, 5, 8]))
    size = draw(st.integers(1, 6))
    top = (1 << depth) - 1
    means = draw(st.lists(st.integers(0, top << MEAN_BITS), min_size=size, max_size=size))
    classes = draw(st.lists(st.integers(0, CLASSES - 1), min_size=size, max_size=size))
    shapes = draw(st.lists(st.integers(0, SHAPES - 1), min_size=size, max_size=size))
    return ScaledShapes(depth, np.array(means), np.array(classes), np.array(shapes))


def all_intervals(distribution: ScaledShapes, depth: int) -> np.ndarray:
    columns = [distribution.intervals(np.full(distribution.size, value)) for value in range(1 << depth)]
    return np.array(columns).astype(np.int64)  # (values, starts and freqs, size)


@settings(max_examples=60, deadline=None)
@given(distributions(), st.data())
def test_intervals_tile_and_are_located(distribution: ScaledShapes, data: st.DataObject) -> None:
    depth = distribution._top.bit_length()
    intervals = all_intervals(distribution, depth)
    starts, freqs = intervals[:, 0], intervals[:, 1]
    assert (freqs >= 1).all()
    assert (starts[0] == 0).all() and (starts[-1] + freqs[-1] == 1 << PRECISION).all()
    assert (starts[1:] == starts[:-1] + freqs[:-1]).all()
    positions = np.array([data.draw(st.integers(0, (1 << PRECISION) - 1)) for _ in range(distribution.size)], np.uint64)
    values, start, freq = distribution.locate(slice(0, distribution.size), positions)
    assert ((start <= positions) & (positions < start + freq)).all()
    for lane, value in enumerate(values):
        assert (start[lane], freq[lane]) == (starts[value, lane], freqs[value, lane])


@pytest.mark.parametrize("depth", [9, 12, 16])
@pytest.mark.parametrize("lanes", [7, 17, 300], ids=["few lanes", "few guesses wrong at once", "many"])
def test_deep_values_come_back(depth: int, lanes: int) -> None:
    random = np.random.default_rng(depth)
    top = (1 << depth) - 1
    size = 3000
    distribution = ScaledShapes(
        depth,
        random.integers(0, top << MEAN_BITS, size),
        random.integers(0, CLASSES, size),
        random.integers(0, SHAPES, size),
    )
    values = random.integers(0, top + 1, size)  # most of them far from their means
    values[:2] = 0, top
    stack = Stack(lanes=lanes)
    stack.push(*distribution.intervals(values), PRECISION)
    assert np.array_equal(stack.pop(distribution), values)
    assert np.array_equal(stack.flatten(), Stack(lanes=lanes).flatten())


@pytest.mark.parametrize("shape", range(SHAPES))
def test_frequencies_are_those_of_the_shape(shape: int) -> None:
    scale_class = 48  # a scale of 2
    scale = LEAST_SCALE * 2.0 ** (scale_class / 8)
    mean = 100.25
    one = ScaledShapes(8, np.array([round(mean * 64)]), np.array([scale_class]), shape)
    freqs = all_intervals(one, 8)[:, 1, 0] / 2.0**PRECISION
    edges = (np.arange(257) - 0.5 - mean) / scale
    cdf = shape_cdf(shape, edges)
    cdf[0], cdf[-1] = 0, 1
    assert np.abs(freqs - np.diff(cdf)).max() < 2e-4


def test_shapes_go_from_a_gaussian_to_heavy_tails() -> None:
    gaussian, logistic, heavy = (1 - shape_cdf(shape, np.array([8.0]))[0] for shape in (0, LOGISTIC, SHAPES - 1))
    assert gaussian < 1e-5 < logistic < heavy / 10
    assert shape_cdf(LOGISTIC, np.array([1.0]))[0] == pytest.approx(1 / (1 + np.exp(-1)))
