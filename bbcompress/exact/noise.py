"""Counter-based noise: the same normals for the same counters, on every machine and in any batch."""

import numpy as np
from numpy.typing import NDArray

from bbcompress.exact.functions import Floats, normal_inverse_cdf

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW32 = np.uint64(0xFFFFFFFF)
_SHIFT32 = np.uint64(32)


def philox(counters: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """Philox4x32-10 (Salmon et al., SC 2011): counters (4, ...) to words of the same shape, 32 bits each in uint64."""
    c0, c1, c2, c3 = counters
    k0, k1 = key
    for _ in range(10):
        product0 = c0 * _MULTIPLIERS[0]
        product1 = c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product1 >> _SHIFT32) ^ c1 ^ np.uint64(k0),
            product1 & _LOW32,
            (product0 >> _SHIFT32) ^ c3 ^ np.uint64(k1),
            product0 & _LOW32,
        )
        k0 = (k0 + _WEYL[0]) & 0xFFFFFFFF
        k1 = (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3])


def normals(images: NDArray[np.int64], step: int, size: int) -> Floats:
    """Standard normal noise (len(images), size) for one refinement step.

    Each value depends on its image's number in the segment, the step and its own position only.
    """
    blocks = -(-size // 4)
    counters = np.zeros((4, len(images), blocks), np.uint64)
    counters[0] = np.arange(blocks, dtype=np.uint64)
    counters[1] = np.asarray(images, np.uint64)[:, None]
    counters[2] = step
    words = philox(counters, (0, 0))
    words = np.moveaxis(words, 0, -1).reshape(len(images), -1)[:, :size]
    return normal_inverse_cdf((words.astype(np.float64) + 0.5) * 2.0**-32)
