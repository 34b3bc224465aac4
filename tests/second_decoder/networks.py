"""Section 10, but for models: layers in fixed point on images [N, H, W, C], and back."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from second_decoder.functions import Floats
from second_decoder.reading import Damaged, require

GRADIENT_BITS, GRADIENT_LIMIT = 14, 2.0**29
Tensors = dict[str, NDArray[np.integer]]


def to_grid(x: Floats, bits: int, limit: float) -> Floats:
    """10.1."""
    return np.clip(np.floor(x * 2.0**bits + 0.5), -limit, limit)


class Range(NamedTuple):
    bits: int
    limit: int


class Dense:
    """10.2, 10.3; at each place."""

    kernel = stride = 1

    def __init__(self, where: str, layer: dict[str, Any], tensors: Tensors):
        self.weight, self.bias = (tensors[f"{where}.{name}"].astype(np.float64) for name in ("weight", "bias"))
        self.weight_bits = layer["weight_bits"]
        self.input, self.output = Range(*layer["input"]), Range(*layer["output"])
        self.relu = layer["relu"]
        self.shift = self.weight_bits + self.input.bits - self.output.bits
        require(self.shift >= 1, "a layer that gains bits")
        bias = self.bias + 2.0 ** (self.shift - 1)
        sums = self.input.limit * np.abs(self.weight).sum(0) + np.abs(bias)
        back = self.kernel**2 * GRADIENT_LIMIT * np.abs(self.weight).sum(1)
        require(max(sums.max(), back.max()) < 2**53, "a layer that is not exact")

    def forward(self, x: Floats) -> Floats:
        sums = x @ self.weight + self.bias
        y = np.floor((sums + 2.0 ** (self.shift - 1)) / 2.0**self.shift)
        return np.clip(y, 0 if self.relu else -self.output.limit, self.output.limit)

    def masked(self, g: Floats, y: Floats) -> Floats:
        return np.where((y > 0) & (y < self.output.limit), g, 0) if self.relu else g

    def scaled(self, sums: Floats) -> Floats:
        return np.clip(np.floor(sums * 2.0**-self.weight_bits + 0.5), -GRADIENT_LIMIT, GRADIENT_LIMIT)

    def backward(self, x: Floats, y: Floats, g: Floats) -> Floats:
        return self.scaled(self.masked(g, y) @ self.weight.T)


class Convolution(Dense):
    """10.7."""

    def __init__(self, where: str, layer: dict[str, Any], tensors: Tensors):
        self.kernel, self.stride = layer["kernel"], layer["stride"]
        self.margin = (self.kernel - self.stride) // 2
        super().__init__(where, layer, tensors)

    def _views(self, padded: Floats, height: int, width: int) -> list[Floats]:
        """What offset (a, b) sees, a view for each in their order."""
        s = self.stride
        return [
            padded[:, a : a + height : s, b : b + width : s] for a in range(self.kernel) for b in range(self.kernel)
        ]

    def forward(self, x: Floats) -> Floats:
        m, (height, width) = self.margin, x.shape[1:3]
        padded = np.pad(x, ((0, 0), (m, m), (m, m), (0, 0)))
        return super().forward(np.concatenate(self._views(padded, height, width), 3))

    def backward(self, x: Floats, y: Floats, g: Floats) -> Floats:
        m, (height, width) = self.margin, x.shape[1:3]
        padded = np.pad(np.zeros_like(x), ((0, 0), (m, m), (m, m), (0, 0)))
        sums = self.masked(g, y) @ self.weight.T
        parts = np.split(sums, self.kernel**2, axis=3)
        for view, part in zip(self._views(padded, height, width), parts, strict=True):
            view += part
        return self.scaled(padded[:, m : m + height, m : m + width])


class DepthToSpace:
    def __init__(self, factor: int):
        self.factor = factor

    def forward(self, x: Floats) -> Floats:
        n, height, width, channels = x.shape
        r = self.factor
        x = x.reshape(n, height, width, r, r, channels // r**2).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(n, height * r, width * r, channels // r**2)

    def backward(self, x: Floats, y: Floats, g: Floats) -> Floats:
        n, height, width, channels = x.shape
        r = self.factor
        g = g.reshape(n, height, r, width, r, channels // r**2).transpose(0, 1, 3, 2, 4, 5)
        return g.reshape(x.shape)


class Residual:
    def __init__(self, where: str, layer: dict[str, Any], tensors: Tensors):
        self.branch = Network(where, layer["branch"], tensors)
        self.output, self.relu = Range(*layer["output"]), layer["relu"]

    def forward(self, x: Floats) -> Floats:
        seen = self.branch.input
        r = np.floor(x / 2.0 ** (self.output.bits - seen.bits) + 0.5)
        y = x + self.branch.forward(np.clip(r, -seen.limit, seen.limit))
        return np.clip(y, 0 if self.relu else -self.output.limit, self.output.limit)

    def backward(self, x: Floats, y: Floats, g: Floats) -> Floats:
        if self.relu:
            g = np.where((y > 0) & (y < self.output.limit), g, 0)
        seen = self.branch.input
        r = np.floor(x / 2.0 ** (self.output.bits - seen.bits) + 0.5)
        through = self.branch.backward(np.clip(r, -seen.limit, seen.limit), g)
        return np.clip(g + through, -GRADIENT_LIMIT, GRADIENT_LIMIT)


class Network:
    def __init__(self, where: str, layers: list[dict[str, Any]], tensors: Tensors):
        self.layers: list[Any] = []
        for number, layer in enumerate(layers):
            place = f"{where}.{number}"
            match layer["op"]:
                case "dense":
                    self.layers.append(Dense(place, layer, tensors))
                case "convolution":
                    self.layers.append(Convolution(place, layer, tensors))
                case "depth_to_space":
                    self.layers.append(DepthToSpace(layer["factor"]))
                case "residual":
                    self.layers.append(Residual(place, layer, tensors))
                case op:
                    raise Damaged(f"unknown layer {op}")

    @property
    def input(self) -> Range:
        """That of the first layer that multiplies."""
        first = next(layer for layer in self.layers if not isinstance(layer, DepthToSpace))
        return first.output if isinstance(first, Residual) else first.input

    @property
    def output(self) -> Range:
        return next(layer for layer in reversed(self.layers) if not isinstance(layer, DepthToSpace)).output

    def forward(self, x: Floats) -> Floats:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, x: Floats, g: Floats) -> Floats:
        """The gradient at the input, of that at the output."""
        seen = [x]
        for layer in self.layers:
            seen.append(layer.forward(seen[-1]))
        for layer, x, y in zip(self.layers[::-1], seen[-2::-1], seen[:0:-1], strict=True):
            g = layer.backward(x, y, g)
        return g
