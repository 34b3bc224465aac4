"""Pixels as LZMA likes them: predicted, one plane of bytes after another, raw LZMA1.

The four predictors take a sample's prediction from its left, upper and upper left neighbours
(outside the picture they are 0) and store the difference modulo 2^bits. Unlike PNG's choice of
filter for each row, one predictor serves the whole picture, and each is undone by one or two
running sums. Green may be subtracted from red and blue first.
"""

from __future__ import annotations

import lzma
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

#: Unsigned samples ``(H, W, C)`` of 8, 16 or 32 bits.
Samples = npt.NDArray[Any]


class Transform(NamedTuple):
    """What is subtracted from a sample: its left and upper neighbour (both: left + upper - upper left), green."""

    left: bool
    up: bool
    green: bool


#: The index is in files.
TRANSFORMS = [Transform(left, up, green) for green in (False, True) for up in (False, True) for left in (False, True)]

#: The encoder tries predictors on this many bytes from the middle of a picture.
_TRIAL_BYTES = 1 << 17
#: No dictionary needs to be longer than the data; this bounds a decoder's memory.
_MAX_DICTIONARY = 1 << 26


def _filters(size: int, **search: int) -> list[dict[str, int]]:
    # lc, lp and pb are part of the format, and so is the rule for the dictionary. With planes of
    # bytes there is no position to align to, and four bits of the last byte beat the usual three.
    dictionary = min(max(size, 4096), _MAX_DICTIONARY)
    return [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": 4, "lp": 0, "pb": 0, **search}]


def quick_filters(size: int) -> list[dict[str, int]]:
    """Of LZMA, for ``size`` bytes of which only the compressed length is of interest."""
    return _filters(size, mode=lzma.MODE_FAST, mf=lzma.MF_HC4, nice_len=16, depth=8)


def deflate(data: bytes) -> bytes:
    """``data`` as raw LZMA1 with its end marker."""
    search = {"mode": lzma.MODE_NORMAL, "mf": lzma.MF_BT4, "nice_len": 273}
    return lzma.compress(data, lzma.FORMAT_RAW, filters=_filters(len(data), **search))


def inflate(data: bytes, size: int) -> bytes:
    """The ``size`` bytes that :func:`deflate` was given; else ``ValueError`` or ``lzma.LZMAError``."""
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(size))
    out = decoder.decompress(data, max_length=size + 1)
    if len(out) != size or not decoder.eof or decoder.unused_data:
        raise ValueError("compressed data of the wrong length")
    return out


def encode(samples: Samples) -> tuple[int, bytes]:
    """The index of the transform chosen, and the compressed planes."""
    height, row_bytes = samples.shape[0], samples[0].nbytes
    rows = min(height, max(_TRIAL_BYTES // row_bytes, 1))
    middle = samples[(height - rows) // 2 :][:rows]
    best = min(range(4), key=lambda index: _trial(middle, TRANSFORMS[index]))
    if samples.shape[2] >= 3:
        best = min(best, best + 4, key=lambda index: _trial(middle, TRANSFORMS[index]))
    return best, deflate(_to_planes(samples, TRANSFORMS[best]))


def decode(data: bytes, index: int, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Samples:
    """The samples of ``encode``; raises as :func:`inflate` does, or ``ValueError`` where green makes no sense."""
    height, width, channels = shape
    transform = TRANSFORMS[index]
    if transform.green and channels < 3:
        raise ValueError("no green to subtract")
    planes = np.frombuffer(inflate(data, height * width * channels * dtype.itemsize), np.uint8)
    stored = planes.reshape(channels, dtype.itemsize, height, width).transpose(2, 3, 0, 1)
    samples = np.ascontiguousarray(stored).view(dtype.newbyteorder("<"))[..., 0].astype(dtype)
    if transform.up:
        np.cumsum(samples, axis=0, dtype=dtype, out=samples)
    if transform.left:
        np.cumsum(samples, axis=1, dtype=dtype, out=samples)
    if transform.green:
        samples[..., 0] += samples[..., 1]
        samples[..., 2] += samples[..., 1]
    return samples


def _to_planes(samples: Samples, transform: Transform) -> bytes:
    """Channel by channel and, within one, byte by byte from the least significant: ``(C, B, H, W)`` bytes."""
    out = samples.copy()
    if transform.green:
        out[..., 0] -= samples[..., 1]
        out[..., 2] -= samples[..., 1]
    if transform.left:
        out[:, 1:] = out[:, 1:] - out[:, :-1]
    if transform.up:
        out[1:] = out[1:] - out[:-1]
    little = out.astype(out.dtype.newbyteorder("<"), copy=False)
    return little[..., None].view(np.uint8).transpose(2, 3, 0, 1).tobytes()


def _trial(samples: Samples, transform: Transform) -> int:
    """A quick estimate, in bytes, of what ``deflate`` would make of the samples."""
    data = _to_planes(samples, transform)
    return len(lzma.compress(data, lzma.FORMAT_RAW, filters=quick_filters(len(data))))
