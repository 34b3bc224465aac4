"""Streams: many symbols on ever more lanes come back, wherever the lanes become more."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bbcompress.codec import streams
from bbcompress.coding.shapes import PRECISION, ScaledShapes


def assert_come_back(sizes: list[int], classes: list[int], seed: int) -> None:
    """Parts of some sizes, of symbols from nearly sure to unknown."""
    random = np.random.default_rng(seed)
    told = []
    for number, size in enumerate(sizes):
        means = random.integers(40, 200, size) * 64
        told.append(ScaledShapes(8, means, np.full(size, classes[number % len(classes)]), 8))
    places = [random.integers(0, 1 << PRECISION, size, np.uint64) for size in sizes]
    values = [one.locate(slice(0, one.size), of_part)[0] for one, of_part in zip(told, places, strict=True)]
    intervals = [one.intervals(found) for one, found in zip(told, values, strict=True)]
    data = streams.encode([(a.astype(np.uint32), b.astype(np.uint32)) for a, b in intervals], PRECISION)
    decoder = streams.Decoder(data, sizes)
    for one, found in zip(told, values, strict=True):
        np.testing.assert_array_equal(decoder.pop(one), found)
    decoder.finish()


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=6),
    st.lists(st.integers(0, 90), min_size=1, max_size=6),
    st.integers(0, 1 << 30),
)
def test_symbols_come_back(sizes: list[int], classes: list[int], seed: int) -> None:
    assert_come_back(sizes, classes, seed)


def test_lanes_do_not_become_more_after_the_last_symbol() -> None:
    """First symbols are pushed last: theirs may be the words that another lane waits for."""
    for number in range(100):
        assert_come_back([1 + number % 4, 4096], [90, 8 + number // 4], number)
