"""Sections 10.9 and 13.5: 8-bit networks, on bytes [N, H, W, C]."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from second_decoder.networks import Tensors
from second_decoder.reading import Damaged, require

Integers = NDArray[np.int64]


class Convolution:
    def __init__(self, where: str, tensors: Tensors, signed_input: bool = False, signed_output: bool = False):
        weight, bias, shift = (tensors[f"{where}.{name}"].astype(np.int64) for name in ("weight", "bias", "shift"))
        require(weight.min() >= -64 and weight.max() <= 63 and shift.min() >= 0 and shift.max() <= 24, "weights")
        reach = 128 if signed_input else 255
        require((reach * np.abs(weight).sum((0, 1, 2)) + np.abs(bias)).max() < 1 << 24, "a layer that is not exact")
        self.weight, self.bias, self.shift = weight, bias, shift
        self.zeros = [128 if signed else 0 for signed in (signed_input, signed_output)]

    def __call__(self, x: Integers) -> Integers:
        k, (height, width) = len(self.weight), x.shape[1:3]
        m = (k - 1) // 2
        padded = np.pad(x - self.zeros[0], ((0, 0), (m, m), (m, m), (0, 0))).astype(np.float64)
        total = self.bias.astype(np.float64)
        for a in range(k):
            for b in range(k):
                total = total + padded[:, a : a + height, b : b + width] @ self.weight[a, b].astype(np.float64)
        return np.clip(np.rint(total / 2.0**self.shift).astype(np.int64) + self.zeros[1], 0, 255)


class Residual:
    def __init__(self, where: str, tensors: Tensors):
        self.first = Convolution(f"{where}.first", tensors)
        self.second = Convolution(f"{where}.second", tensors, signed_output=True)

    def __call__(self, x: Integers) -> Integers:
        return np.clip(x + (self.second(self.first(x)) - 128), 0, 255)


class Linear:
    def __init__(self, where: str, tensors: Tensors):
        self.weight, self.bias = (tensors[f"{where}.{name}"].astype(np.int64) for name in ("weight", "bias"))
        require(self.weight.min() >= -8192 and self.weight.max() <= 8127, "weights")
        require((255 * np.abs(self.weight).sum(0) + np.abs(self.bias)).max() < 1 << 30, "a layer that is not exact")

    def __call__(self, x: Integers) -> Integers:
        return (x.astype(np.float64) @ self.weight.astype(np.float64)).astype(np.int64) + self.bias


def layer(where: str, described: dict[str, Any], tensors: Tensors) -> Convolution | Residual | Linear:
    match described["op"]:
        case "convolution":
            return Convolution(where, tensors, described["signed_input"], described["signed_output"])
        case "residual":
            return Residual(where, tensors)
        case "linear":
            return Linear(where, tensors)
    raise Damaged("an unknown layer")


class Network:
    def __init__(self, where: str, layers: list[dict[str, Any]], tensors: Tensors):
        self.layers = [layer(f"{where}.{number}", one, tensors) for number, one in enumerate(layers)]

    def __call__(self, x: Integers) -> Integers:
        for one in self.layers:
            x = one(x)
        return x
