"""8-bit networks by numpy: the reference, in float32 products of whatever BLAS numpy was built with.

Each convolution gathers what is seen at some places at a time, as floats, few enough to stay in the processor's cache.
"""

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from bbcompress.exact.int8 import SIGNED_ZERO, Bytes, Convolution, Linear, Network, Residual
from bbcompress.exact.network import FLOAT32_LIMIT

Floats32 = NDArray[np.float32]
Run = Callable[[Bytes], NDArray[Any]]
"""Outputs (N, H, W, outputs) of a network for bytes (N, H, W, inputs); several threads may call it at once."""
GATHERED_VALUES = 1 << 17
"""Floats that a convolution gathers at a time."""


def prepare(network: Network) -> Run:
    """The network, ready to run."""
    steps = [_step(layer) for layer in network.layers]

    def run(x: Bytes) -> NDArray[Any]:
        for step in steps:
            x = step(x)
        return x

    return run


def _step(layer: Convolution | Residual | Linear) -> Run:
    match layer:
        case Convolution():
            return _Convolution(layer)
        case Residual(first, second):
            inner, outer = _Convolution(first), _Convolution(second)
            return lambda x: outer(inner(x), x)
        case Linear():
            return _Linear(layer)


_scratch_of_thread = threading.local()


def _scratch(name: str, shape: tuple[int, ...]) -> Floats32:
    """An array of anything, for use until the same thread asks for the next one of this name: new memory costs time."""
    wanted = math.prod(shape)
    buffer = getattr(_scratch_of_thread, name, None)
    if buffer is None or len(buffer) < wanted:
        buffer = np.empty(wanted, np.float32)
        setattr(_scratch_of_thread, name, buffer)
    values: Floats32 = buffer[:wanted].reshape(shape)
    return values


class _Convolution:
    def __init__(self, layer: Convolution):
        self._kernel, self._margin, self._outputs = layer.kernel, layer.radius, layer.outputs
        self._input_zero, self._output_zero = (
            SIGNED_ZERO * signed for signed in (layer.signed_input, layer.signed_output)
        )
        # powers of two, as which sums can be scaled before they are summed
        scale = np.ldexp(np.float32(1), -layer.shift.astype(np.int32))
        self._weight = layer.weight.reshape(-1, layer.outputs) * scale
        self._bias = layer.bias * scale

    def __call__(self, x: Bytes, base: Bytes | None = None) -> Bytes:
        """The layer's outputs; with `base`, the sums of it and what they stand for."""
        count, height, width, _ = x.shape
        y = np.empty((count, height, width, self._outputs), np.uint8)
        most = max(1, GATHERED_VALUES // (width * len(self._weight)))
        # rows of one image, or several whole images, at a time
        rows, images = min(most, height), max(1, most // height)
        for image in range(0, count, images):
            for row in range(0, height, rows):
                part = slice(image, image + images), slice(row, min(row + rows, height))
                sums = self._rounded(self._seen(x[part[0]], part[1]))
                sums = sums.reshape(-1, part[1].stop - row, width, self._outputs)
                if base is None:
                    sums += self._output_zero
                else:
                    np.clip(sums, -SIGNED_ZERO, SIGNED_ZERO - 1, out=sums)
                    sums += base[part]
                np.copyto(y[part], np.clip(sums, 0, 255, out=sums), casting="unsafe")
        return y

    def _rounded(self, seen: Floats32) -> Floats32:
        sums = _scratch("sums", (len(seen), self._outputs))
        np.matmul(seen, self._weight, out=sums)
        sums += self._bias
        return np.rint(sums, out=sums)  # halves to even

    def _seen(self, x: Bytes, rows: slice) -> Floats32:
        """What each place of some rows sees, less the zero of the input: (places, kernel^2 C)."""
        count, height, width, channels = x.shape
        kernel, margin = self._kernel, self._margin
        padded = _scratch("padded", (count, rows.stop - rows.start + 2 * margin, width + 2 * margin, channels))
        first, last = max(rows.start - margin, 0), min(rows.stop + margin, height)
        inside = slice(first - rows.start + margin, last - rows.start + margin)
        if margin:
            padded[:, : inside.start] = 0
            padded[:, inside.stop :] = 0
            padded[:, :, :margin] = 0
            padded[:, :, -margin:] = 0
        np.subtract(x[:, first:last], np.float32(self._input_zero), out=padded[:, inside, margin : margin + width])
        if not margin:
            return padded.reshape(-1, channels)
        shape = count, rows.stop - rows.start, width, kernel, kernel, channels
        image, row, column, value = padded.strides
        gathered = _scratch("gathered", shape)
        np.copyto(gathered, as_strided(padded, shape, (image, row, column, row, column, value)))
        return gathered.reshape(-1, kernel * kernel * channels)


class _Linear:
    def __init__(self, layer: Linear):
        dtype = np.float32 if layer.bound < FLOAT32_LIMIT else np.float64
        self._weight, self._bias = layer.weight.astype(dtype), layer.bias.astype(dtype)

    def __call__(self, x: Bytes) -> NDArray[np.int32]:
        places, channels = math.prod(x.shape[:3]), x.shape[3]
        flat, y = x.reshape(places, channels), np.empty((places, self._weight.shape[1]), np.int32)
        each = max(1, GATHERED_VALUES // channels)
        for first in range(0, places, each):
            part = slice(first, first + each)
            sums = flat[part].astype(self._weight.dtype) @ self._weight
            sums += self._bias
            y[part] = sums
        return y.reshape(*x.shape[:3], -1)
