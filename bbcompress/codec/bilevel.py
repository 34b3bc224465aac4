"""Pixels of two levels, coded in pairs: half the symbols, and so half the time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.model import Pixels
from bbcompress.coding.distributions import BernoulliPairs
from bbcompress.coding.rans import Symbols
from bbcompress.exact.functions import Floats

MAX_LOGIT_BITS = 16
"""Fractional bits of logits: the table of their probabilities has 2^(5 + bits) entries."""


def distribution(logits: Floats, fraction_bits: int) -> BernoulliPairs:
    """Of the pairs of each image, from logits (N, P), integers of `fraction_bits`.

    Where P is odd, the last pixel is paired with a zero, at next to no cost.
    """
    surely_zero = -(BernoulliPairs.LOGIT_REACH << fraction_bits)
    return BernoulliPairs.of(_to_even(logits, surely_zero).ravel(), fraction_bits)


def symbols(pixels: Pixels) -> Symbols:
    """Of pixels (N, P)."""
    values = _to_even(pixels.astype(np.int64), 0)
    pairs: Symbols = 2 * values[:, 0::2] + values[:, 1::2]
    return pairs.ravel()


def pixels(symbols: Symbols, count: int, size: int) -> NDArray[np.int64]:
    """The inverse of `symbols`: `count` images of `size` pixels, (N, P)."""
    return np.stack([symbols >> 1, symbols & 1], axis=1).reshape(count, -1)[:, :size]


def _to_even(rows: NDArray[Any], last: int) -> NDArray[Any]:
    """Rows of even length, with `last` at the end where it was odd."""
    return np.pad(rows, ((0, 0), (0, 1)), constant_values=last) if rows.shape[1] % 2 else rows
