"""Section 11: intervals of symbols."""

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from second_decoder.functions import Floats, exp, inverse_normal, normal, sigmoid
from second_decoder.rans import Find

PRECISION = 24


def starts_of(cdf: Floats, bits: int) -> NDArray[np.int64]:
    """11.2: (n, 2^bits + 1) starts, of cdf(0 .. 2^bits)."""
    return np.floor(cdf * ((1 << PRECISION) - (1 << bits))).astype(np.int64) + np.arange((1 << bits) + 1)


def finds(starts: NDArray[np.int64]) -> list[Find]:
    """For each row of starts what finds the interval of a position."""

    def of_row(row: list[int]) -> Find:
        def find(position: int) -> tuple[int, int, int]:
            symbol = bisect_right(row, position) - 1
            return symbol, row[symbol], row[symbol + 1] - row[symbol]

        return find

    return [of_row(row) for row in starts.tolist()]


def uniform(bits: int, count: int) -> list[Find]:
    return [lambda position: (position, position, 1)] * count


def centres(bits: int) -> Floats:
    n = 1 << bits
    return inverse_normal((np.arange(n) + 0.5) / n)


def posterior_starts(mean: Floats, log_scale: Floats, bits: int) -> NDArray[np.int64]:
    """11.4, of flat arrays."""
    n = 1 << bits
    edges = np.concatenate([[-np.inf], inverse_normal(np.arange(1, n) / n), [np.inf]])
    return starts_of(normal((edges - mean[:, None]) * exp(-log_scale)[:, None]), bits)


def grid_starts(step: Floats) -> NDArray[np.int64]:
    """11.5, of each latent's step."""
    cdf = normal((np.arange(257) - 128.5) * step[:, None])
    cdf[:, 0], cdf[:, -1] = 0, 1
    return starts_of(cdf, 8)


def zero_freq(logits: NDArray[np.int64], fraction_bits: int) -> NDArray[np.int64]:
    """11.6: of a zero, out of 2^15."""
    limit = 16 << fraction_bits
    chance = sigmoid(-np.clip(logits, -limit, limit) * 2.0**-fraction_bits)
    return (np.floor(chance * (2**15 - 2) + 0.5) + 1).astype(np.int64)


def pairs(logits: NDArray[np.int64], fraction_bits: int) -> list[Find]:
    """Of (pixels,) logits; precision 30."""
    if len(logits) % 2:
        logits = np.append(logits, -16 << fraction_bits)
    z = zero_freq(logits, fraction_bits)
    one, other, whole = z[::2], z[1::2], 1 << 15
    starts = [0 * one, one * other, one * whole, one * whole + (whole - one) * other, 0 * one + whole * whole]
    return finds(np.stack(starts, 1))


def mixture_starts(mean: Floats, log_scale: Floats, weight: Floats) -> NDArray[np.int64]:
    """11.7: each (components, n)."""
    k = np.arange(257) - 0.5
    total = np.zeros((mean.shape[1], 257))
    for m, s, w in zip(mean, log_scale, weight, strict=True):
        total = total + w[:, None] * sigmoid((k - m[:, None]) * exp(-s)[:, None])
    cdf = np.minimum(1, total)
    cdf[:, 0], cdf[:, -1] = 0, 1
    return starts_of(cdf, 8)
