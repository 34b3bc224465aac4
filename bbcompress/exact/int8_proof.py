"""Proof, when a network is first used, that an engine computes its integers as the reference does; milliseconds.

Releases of fast libraries have computed wrong sums on some processors, of some widths, from some number of places on.
So each shape of layer that a network has is tried with the largest weights there are, and then the network itself, on
the bytes that make sums largest, for every number of places up to 33, and some more.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bbcompress.exact import int8_numpy
from bbcompress.exact.int8 import (
    LINEAR_HIGH,
    LINEAR_LOW,
    WEIGHT_HIGH,
    WEIGHT_LOW,
    Bytes,
    Convolution,
    Layer,
    Linear,
    Network,
    Residual,
)
from bbcompress.exact.int8_numpy import Run
from bbcompress.exact.network import FLOAT32_LIMIT

Prepare = Callable[[Network], Run]
_SIZES = [(1, 1, places) for places in range(1, 34)] + [(4, 5, 7), (1, 13, 31), (1, 34, 3)]
_FEW_SIZES = [(1, 1, 1), (4, 5, 7), (1, 3, 33)]
_LARGEST_BIAS = 1 << 17
_proven: set[tuple[Prepare, tuple[object, ...]]] = set()


class WrongIntegers(ArithmeticError):
    """An engine that does not compute what the reference does."""


def prove(prepare: Prepare, network: Network, run: Run) -> None:
    """Raise WrongIntegers unless the engine of `prepare`, and `run` of this network, give the reference's integers.

    Shapes of layers are tried once a process.
    """
    for layer in network.layers:
        parts: list[Layer] = [layer.first, layer.second, layer] if isinstance(layer, Residual) else [layer]
        for part in parts:
            shape = _shape(part)
            if (prepare, shape) not in _proven:
                extreme = Network((_extreme(part),))
                sizes = _FEW_SIZES if isinstance(part, Residual) else _SIZES
                _compare(extreme, prepare(extreme), sizes, f"a layer of {part.inputs} to {part.outputs} channels")
                _proven.add((prepare, shape))
    _compare(network, run, _FEW_SIZES, "a network")


def _compare(network: Network, run: Run, sizes: list[tuple[int, int, int]], what: str) -> None:
    reference = int8_numpy.prepare(network)
    for number, size in enumerate(sizes):
        x = _bytes((*size, network.inputs), number)
        y = run(x)
        if y.dtype != network.output_type or not np.array_equal(y, reference(x)):
            raise WrongIntegers(f"{what} comes out wrong for {' x '.join(map(str, size))} places")


def _bytes(shape: tuple[int, int, int, int], number: int) -> Bytes:
    """Images of all 255, of 255 beside 0, of ramps and of noise by turns, beginning with the kind of the number."""
    x = np.empty(shape, np.uint8)
    counted = np.arange(math.prod(shape[1:])).reshape(shape[1:])
    for image in range(shape[0]):
        match (number + image) % 4:
            case 0:
                x[image] = 255
            case 1:
                x[image] = counted % 2 * 255
            case 2:
                x[image] = counted
            case 3:
                x[image] = _noise(counted)
    return x


def _noise(counted: NDArray[np.int64]) -> Bytes:
    """Bytes without a pattern: the high ones of a multiplicative hash."""
    return ((counted + 1) * 2654435761 >> 24 & 255).astype(np.uint8)


def _shape(layer: Layer) -> tuple[object, ...]:
    """What decides on the code that an engine runs for a layer."""
    match layer:
        case Convolution(weight, signed_input=seen, signed_output=given):
            return "convolution", weight.shape, seen, given
        case Residual(first, second):
            return "residual", first.weight.shape, second.weight.shape
        case Linear(weight):
            return "linear", weight.shape


def _extreme(layer: Layer) -> Layer:
    """A layer of this shape with the largest sums."""
    match layer:
        case Convolution():
            return _extreme_convolution(layer)
        case Residual(first, second):
            return Residual(_extreme_convolution(first), _extreme_convolution(second))
        case Linear(weight):
            weights = _extreme_weights(layer.inputs, layer.outputs, LINEAR_LOW, LINEAR_HIGH)
            return Linear(weights.reshape(weight.shape), np.arange(layer.outputs) * 104_729 - 2**20)


def _extreme_convolution(layer: Convolution) -> Convolution:
    seen, column = layer.weight[..., 0].size, np.arange(layer.outputs)
    # all of float32's range, but what biases take
    share = min(1.0, (FLOAT32_LIMIT - _LARGEST_BIAS) / (255 * -WEIGHT_LOW * seen))
    weight = _extreme_weights(seen, layer.outputs, int(WEIGHT_LOW * share), int(WEIGHT_HIGH * share))
    # sums of one sign are brought to bytes and a little beyond; of the others many are beyond
    shift = np.where(column % 4 < 2, seen.bit_length() + 6, 6 + column // 4 % 4)
    bias = np.where(column % 4 == 1, _LARGEST_BIAS - 1, column * 977 % 4001 - 2000)
    return Convolution(weight.reshape(layer.weight.shape), bias, shift, layer.signed_input, layer.signed_output)


def _extreme_weights(inputs: int, outputs: int, low: int, high: int) -> NDArray[np.int16]:
    """Weights (inputs, outputs): those of an output all high, all low, both by turns, or without a pattern."""
    weight = np.empty((inputs, outputs), np.int16)
    weight[:, 0::4] = high
    weight[:, 1::4] = low
    weight[0::2, 2::4], weight[1::2, 2::4] = low, high
    rest = weight[:, 3::4]
    rest[:] = _noise(np.arange(rest.size)).reshape(rest.shape).astype(np.int64) * (high - low) // 255 + low
    return weight
