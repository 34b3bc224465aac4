"""8-bit networks: layers of 7-bit weights on bytes, whose sums are proven to fit float32.

Activations are bytes, arrays (N, H, W, C) uint8. A byte stands for itself, or where it is *signed* for what it is above
128. The arithmetic of every layer is fixed to the bit by its integers; how an engine (`bbcompress.exact.engine`) gets
there is its own affair. Weights of -64..63 times bytes make pairs of products that fit 16 bits, so that processors
whose 8-bit instructions saturate are right too; sums below 2^24 are exact in float32, in any order.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcompress.exact.network import FLOAT32_LIMIT, InexactNetwork

Bytes = NDArray[np.uint8]
Integers = NDArray[np.integer]
"""Of any type where a layer is made, which keeps them as int8, int16, int32 or uint8."""
WEIGHT_LOW, WEIGHT_HIGH = -64, 63
"""A convolution's weights."""
LINEAR_LOW, LINEAR_HIGH = -8192, 8127
"""The last layer's weights: 128 high + low, both in the range of a convolution's."""
LINEAR_LIMIT = 2.0**30
"""The last layer's sums stay below it."""
MAX_SHIFT = 24
MAX_CHANNELS = 1024
KERNELS = 1, 3
SIGNED_ZERO = 128
"""The byte that stands for zero where bytes are signed."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """Of the places around each place, as many places as before; around the picture is zero.

        sum    = bias + sum of weight * (x - zero of the input)                      |sum| < 2^24
        output = clamp(sum / 2^shift, halves to even, + zero of the output; 0, 255)

    The zero of unsigned bytes is 0, so that the clamp is the ReLU too; that of signed ones is 128. Raises
    InexactNetwork where shapes or ranges are wrong or a sum could reach 2^24.
    """

    weight: Integers
    """(kernel, kernel, inputs, outputs), -64..63; kernel 1 or 3; rows first."""
    bias: Integers
    """(outputs)"""
    shift: Integers
    """(outputs), 0..24"""
    signed_input: bool = False
    signed_output: bool = False

    def __post_init__(self) -> None:
        weight = _integers(self.weight, 4, WEIGHT_LOW, WEIGHT_HIGH, np.int8)
        if weight.shape[0] != weight.shape[1] or weight.shape[0] not in KERNELS:
            raise InexactNetwork(f"a kernel of {weight.shape[0]} x {weight.shape[1]}: only 1 x 1 and 3 x 3 are known")
        bias = _integers(self.bias, 1, -(2**24), 2**24, np.int32)
        shift = _integers(self.shift, 1, 0, MAX_SHIFT, np.uint8)
        if bias.shape != weight.shape[3:] or shift.shape != bias.shape:
            raise InexactNetwork("weights, biases and shifts are not of as many outputs")
        _freeze(self, weight=weight, bias=bias, shift=shift)
        if not self.bound < FLOAT32_LIMIT:
            raise InexactNetwork(f"a sum of an 8-bit layer can reach {self.bound:.0f}, and must stay below 2^24")

    @cached_property
    def bound(self) -> float:
        """Largest magnitude that any partial sum of products and bias, in any order, can reach."""
        reach = 128 if self.signed_input else 255
        products = np.abs(self.weight.astype(np.int64)).sum((0, 1, 2)) * reach
        return float((products + np.abs(self.bias.astype(np.int64))).max())

    @property
    def kernel(self) -> int:
        return int(self.weight.shape[0])

    @property
    def inputs(self) -> int:
        return int(self.weight.shape[2])

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[3])

    @property
    def radius(self) -> int:
        """How many rows above and below a place it sees."""
        return self.kernel // 2

    @property
    def multiply_adds(self) -> int:
        """Of one place."""
        return int(self.weight.size)


@dataclass(frozen=True, eq=False)
class Residual:
    """clamp(x + branch; 0, 255), the branch what second(first(x)) stands for: all unsigned, but what `second` gives.

    Raises InexactNetwork where the two do not fit.
    """

    first: Convolution
    second: Convolution

    def __post_init__(self) -> None:
        first, second = self.first, self.second
        if first.signed_input or first.signed_output or second.signed_input or not second.signed_output:
            raise InexactNetwork("a residual branch sees unsigned bytes and gives signed ones")
        if first.outputs != second.inputs or second.outputs != first.inputs:
            raise InexactNetwork("a residual branch does not fit what it is added to")

    signed_input = signed_output = False

    @property
    def inputs(self) -> int:
        return self.first.inputs

    @property
    def outputs(self) -> int:
        return self.first.inputs

    @property
    def radius(self) -> int:
        return self.first.radius + self.second.radius

    @property
    def multiply_adds(self) -> int:
        return self.first.multiply_adds + self.second.multiply_adds


@dataclass(frozen=True, eq=False)
class Linear:
    """bias + sum of weight * x at each place, int32, neither shifted nor clamped: what a network says in the end.

    x are unsigned bytes. Raises InexactNetwork where shapes or ranges are wrong or a sum could reach 2^30.
    """

    weight: Integers
    """(inputs, outputs), -8192..8127"""
    bias: Integers
    """(outputs)"""

    def __post_init__(self) -> None:
        weight = _integers(self.weight, 2, LINEAR_LOW, LINEAR_HIGH, np.int16)
        bias = _integers(self.bias, 1, -(2**30), 2**30, np.int32)
        if bias.shape != weight.shape[1:]:
            raise InexactNetwork("weights and biases are not of as many outputs")
        _freeze(self, weight=weight, bias=bias)
        if not self.bound < LINEAR_LIMIT:
            raise InexactNetwork(f"a sum of a last layer can reach {self.bound:.0f}, and must stay below 2^30")

    signed_input = signed_output = False
    radius = 0

    @cached_property
    def bound(self) -> float:
        """Largest magnitude that any partial sum of products and bias, in any order, can reach."""
        products = np.abs(self.weight.astype(np.int64)).sum(0) * 255
        return float((products + np.abs(self.bias.astype(np.int64))).max())

    @property
    def inputs(self) -> int:
        return int(self.weight.shape[0])

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[1])

    @property
    def multiply_adds(self) -> int:
        return int(self.weight.size)


Layer = Convolution | Residual | Linear


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in a row: bytes (N, H, W, inputs) to (N, H, W, outputs), int32 where the last is `Linear`, else bytes.

    Raises InexactNetwork where layers do not fit each other.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise InexactNetwork("a network without layers")
        for before, after in pairwise(self.layers):
            if isinstance(before, Linear):
                raise InexactNetwork("a linear layer is the last of its network")
            if before.outputs != after.inputs or before.signed_output != after.signed_input:
                raise InexactNetwork("a layer does not fit what comes before it")

    @property
    def inputs(self) -> int:
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        return self.layers[-1].outputs

    @property
    def output_type(self) -> "np.dtype[Any]":
        return np.dtype(np.int32 if isinstance(self.layers[-1], Linear) else np.uint8)

    @property
    def radius(self) -> int:
        """An output depends on inputs of at most as many rows and columns away."""
        return sum(layer.radius for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of one place."""
        return sum(layer.multiply_adds for layer in self.layers)


def _integers(values: Integers, dimensions: int, low: int, high: int, dtype: type[np.integer]) -> NDArray[Any]:
    """A copy of an integer array as `dtype`, read-only. Raises InexactNetwork for other shapes and values."""
    if values.dtype.kind not in "iu" or values.ndim != dimensions:
        raise InexactNetwork(f"{values.ndim} dimensions of {values.dtype} where {dimensions} of integers belong")
    if not all(0 < size <= MAX_CHANNELS for size in values.shape):
        raise InexactNetwork(f"a layer of {' x '.join(map(str, values.shape))}: at most {MAX_CHANNELS} channels")
    if values.min() < low or values.max() > high:
        raise InexactNetwork(f"a layer has {values.min()} to {values.max()}, where {low} to {high} are allowed")
    array = np.array(values, dtype, order="C")
    array.flags.writeable = False
    return array


def _freeze(layer: Layer, **fields: NDArray[Any]) -> None:
    for name, value in fields.items():
        object.__setattr__(layer, name, value)
