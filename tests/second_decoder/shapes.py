"""Section 18.3: distributions by tables, moved and scaled."""

from bisect import bisect_right
from functools import cache

import numpy as np

from second_decoder.functions import normal, sigmoid
from second_decoder.rans import Find

PRECISION = 24
A = [0, 0.03, 0.08, 0.15, 0.25, 0.4, 0.6, 0.8, 0, 0.02, 0.05, 0.1, 0.17, 0.27, 0.4, 0.55]
U = [0.993, 0.9559, 0.9172, 0.8682, 0.8045, 0.72, 0.6273, 0.5553]
U += [1, 0.9565, 0.9163, 0.857, 0.7827, 0.6888, 0.5871, 0.4968]


@cache
def table(shape: int, depth: int) -> list[int]:
    a, y = A[shape], (np.arange(1281) / 16 - 40) / U[shape]
    narrow, wide = (normal(y / 1.7), sigmoid(y / 2)) if shape < 8 else (sigmoid(y), sigmoid(y / 4))
    f = (1 - a) * narrow + a * wide
    whole = (1 << PRECISION) - (1 << depth)
    found: list[int] = np.floor(f * whole).astype(int).tolist()
    found[0], found[-1] = 0, whole
    return found


@cache
def inverse(number: int) -> int:
    """Of a class's scale."""
    return int(np.floor(2.0**28 / (2.0**-5 * (1 + number % 8 / 8) * 2.0 ** (number // 8)) + 0.5))


def find(mean: int, number: int, shape: int, depth: int) -> Find:
    """What finds the value of a pixel of this mean, class and shape."""
    values, slope = table(shape, depth), inverse(number)

    def start(value: int) -> int:
        if value == 0:
            return 0
        if value == 1 << depth:
            return 1 << PRECISION
        t = min(max((64 * value - mean - 32) * slope >> 20, -655360), 655359)
        n, f = (t >> 10) + 640, t & 1023
        return values[n] + ((values[n + 1] - values[n]) * f >> 10) + value

    def find_value(position: int) -> tuple[int, int, int]:
        value = bisect_right(range(1, 1 << depth), position, key=start)
        return value, start(value), start(value + 1) - start(value)

    return find_value
