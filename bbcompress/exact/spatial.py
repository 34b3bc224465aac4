"""Layers of exact convolutional networks, on arrays (N, H, W, C) of integers.

`Convolution` gathers what it sees at each place and multiplies by a `Dense` layer (im2col); a transposed convolution,
whose kernel is as large as its stride, is `Dense` followed by `DepthToSpace`. So `Dense` is the only layer that
multiplies, and its proof of exactness the one that counts.
"""

import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from bbcompress.exact.engine import Engine
from bbcompress.exact.functions import Floats
from bbcompress.exact.network import (
    FLOAT32_LIMIT,
    GRADIENT_LIMIT,
    Dense,
    InexactNetwork,
    Network,
    Range,
    Tape,
    clamp,
    exact_bound,
    through_clamp,
)

GATHERED_VALUES = 1 << 19
"""Inputs that a convolution gathers at a time."""


_buffers = threading.local()


def _scratch(name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> NDArray[Any]:
    """An array of anything, for use until the same thread asks for the next one of this name: new memory costs time."""
    wanted = math.prod(shape) * dtype.itemsize
    buffer = getattr(_buffers, name, None)
    if buffer is None or len(buffer) < wanted:
        buffer = np.empty(wanted, np.uint8)
        setattr(_buffers, name, buffer)
    return buffer[:wanted].view(dtype).reshape(shape)


class Convolution:
    """(N, H, W, C) to (N, H / stride, W / stride, outputs): `dense` of the kernel^2 C values around each place.

    Places are `stride` apart; around the image are (kernel - stride) / 2 zeros on each side. H and W must be multiples
    of the stride.
    """

    def __init__(self, kernel: int, stride: int, dense: Dense):
        if not 1 <= stride <= kernel or (kernel - stride) % 2:
            raise InexactNetwork(f"a convolution with a kernel of {kernel} cannot have stride {stride}")
        self.kernel, self.stride, self._dense = kernel, stride, dense
        self.input, self.output = dense.input, dense.output
        # gradients are summed over the places that saw a value, and rounded once
        self.bound = exact_bound(dense.bound, kernel * kernel * dense.backward_bound)
        self._margin = (kernel - stride) // 2

    def forward(self, x: Floats, engine: Engine, tape: Tape | None = None) -> Floats:
        seen = self._seen(x, self._dense.dtype)
        count, rows, columns = seen.shape[:3]
        y = np.empty((count, rows, columns, self._dense.outputs), self._dense.dtype)
        # a few rows, or images, at a time, so that what is gathered stays in the processor's cache
        each = min(rows, max(1, GATHERED_VALUES // (columns * self._dense.inputs)))
        images = max(1, GATHERED_VALUES // (rows * columns * self._dense.inputs))
        for first in range(0, count, images):
            for row in range(0, rows, each):
                part = slice(first, first + images), slice(row, row + each)
                gathered = _scratch("gathered", seen[part].shape, seen.dtype)
                np.copyto(gathered, seen[part])
                self._dense.product(gathered, y[part], engine)
        return self._dense.finished(y, tape)

    def backward(self, gradient: Floats, tape: Tape, engine: Engine) -> Floats:
        return self._dense.rounded(self._scattered(self._dense.pull_back(gradient, tape, engine)))

    def _seen(self, x: Floats, dtype: "np.dtype[Any]") -> Floats:
        """What each place sees: a view (N, H / stride, W / stride, kernel, kernel, C)."""
        count, height, width, channels = x.shape
        margin, kernel, stride = self._margin, self.kernel, self.stride
        padded = _scratch("padded", (count, height + 2 * margin, width + 2 * margin, channels), dtype)
        for edge in slice(margin), slice(-margin, None):
            if margin:
                padded[:, edge] = 0
                padded[:, :, edge] = 0
        padded[:, margin : margin + height, margin : margin + width] = x
        image, row, column, value = padded.strides
        shape = count, height // stride, width // stride, kernel, kernel, channels
        return as_strided(padded, shape, (image, stride * row, stride * column, row, column, value))

    def _scattered(self, parts: Floats) -> Floats:
        """The transpose of `_seen`: the sums of what comes from parts (N, H / stride, W / stride, kernel^2 C)."""
        count, rows, columns, _ = parts.shape
        height, width = rows * self.stride, columns * self.stride
        parts = parts.reshape(count, rows, columns, self.kernel, self.kernel, -1)
        back = np.zeros((count, height + 2 * self._margin, width + 2 * self._margin, parts.shape[5]))
        for row in range(self.kernel):
            for column in range(self.kernel):
                back[:, *self._places(row, column, height, width)] += parts[:, :, :, row, column]
        inside = slice(self._margin, self._margin + height), slice(self._margin, self._margin + width)
        return np.ascontiguousarray(back[:, *inside])

    def _places(self, row: int, column: int, height: int, width: int) -> tuple[slice, slice]:
        """Where the padded image has what is at `row` and `column` of each place's surroundings."""
        return slice(row, row + height, self.stride), slice(column, column + width, self.stride)


class DepthToSpace:
    """(N, H, W, factor^2 C) to (N, factor H, factor W, C): channels of a place become a square of pixels."""

    def __init__(self, factor: int, range: Range):
        self.factor = factor
        self.input = self.output = range
        self.bound = float(range.limit)

    def forward(self, x: Floats, engine: Engine, tape: Tape | None = None) -> Floats:
        count, height, width, _ = x.shape
        squares = x.reshape(count, height, width, self.factor, self.factor, -1).transpose(0, 1, 3, 2, 4, 5)
        return squares.reshape(count, height * self.factor, width * self.factor, -1)

    def backward(self, gradient: Floats, tape: Tape, engine: Engine) -> Floats:
        count, height, width, channels = gradient.shape
        height, width = height // self.factor, width // self.factor
        squares = gradient.reshape(count, height, self.factor, width, self.factor, channels)
        return squares.transpose(0, 1, 3, 2, 4, 5).reshape(count, height, width, -1)


class Residual:
    """y = clamp(x + branch(x)), then ReLU if `relu`. Sums have the fractional bits of the input.

    The branch sees x in the range of its input, which may have fewer: rounded, halves up, and clamped.
    """

    def __init__(self, input: Range, branch: Network, output: Range, relu: bool):
        if not input.fraction_bits == branch.output.fraction_bits == output.fraction_bits:
            raise InexactNetwork("a residual branch has other fractional bits than what it is added to")
        self._shift = input.fraction_bits - branch.input.fraction_bits
        if self._shift < 0:
            raise InexactNetwork("a residual branch's input has more fractional bits than what comes")
        self.branch, self.relu = branch, relu
        self.input, self.output = input, replace(output, nonnegative=relu)
        sum_limit = float(input.limit + branch.output.limit)
        rounded_limit = input.limit + 2.0**self._shift
        self.bound = max(branch.bound, sum_limit, rounded_limit, 2 * GRADIENT_LIMIT)
        self._clips = branch.input.limit << self._shift < input.limit
        # what comes may be float32 although a sum does not fit it
        self._dtype = np.dtype(np.float32 if max(sum_limit, rounded_limit) < FLOAT32_LIMIT else np.float64)

    def forward(self, x: Floats, engine: Engine, tape: Tape | None = None) -> Floats:
        y = np.add(x, self.branch.forward(self._rounded(x), engine, tape), dtype=self._dtype, casting="same_kind")
        return clamp(y, self.output, self.relu, tape)

    def _rounded(self, x: Floats) -> Floats:
        """What the branch sees."""
        if self.branch.input == self.input:
            return x
        coarse = np.multiply(x, 2.0**-self._shift, dtype=self._dtype, casting="same_kind")
        coarse += 0.5
        np.floor(coarse, out=coarse)
        limit = self.branch.input.limit
        return np.clip(coarse, -limit, limit, out=coarse) if self._clips else coarse

    def backward(self, gradient: Floats, tape: Tape, engine: Engine) -> Floats:
        """As if the branch saw x as it is."""
        gradient = through_clamp(gradient, self.output, self.relu, tape)
        gradient = gradient + self.branch.backward(gradient, tape, engine)
        return np.clip(gradient, -GRADIENT_LIMIT, GRADIENT_LIMIT)
