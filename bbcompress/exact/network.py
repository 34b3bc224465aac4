"""Fixed-point networks: forward pass and vector-Jacobian product in exact integer arithmetic.

An integer n with b fractional bits stands for n / 2^b. Weights and activations are such integers in float64 arrays.
Each layer's constructor proves that no sum can reach 2^53, in either direction, from its own weights and the
declared range of its input; the proof fails with `InexactNetwork`.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bbcompress.exact.functions import Floats

if TYPE_CHECKING:
    from bbcompress.exact.engine import Engine  # which runs 8-bit networks too, whose proofs are of this kind

EXACT_LIMIT = 2.0**53
"""float64 holds every integer below this."""
FLOAT32_LIMIT = 2.0**24
"""float32 holds every integer below this, and computes twice as fast."""
GRADIENT_BITS = 14
"""Fractional bits of gradients on their way back through a network."""
GRADIENT_LIMIT = 2.0**29
"""Gradients are clamped to +-GRADIENT_LIMIT (integers; 2^15 nats a unit of activation)."""


class InexactNetwork(ValueError):
    """A sum in this network could reach 2^53, so its result could depend on the order of summation."""


def to_grid(values: Floats, fraction_bits: int, limit: float) -> Floats:
    """Round to the nearest multiple of 2^-fraction_bits (halves up), clamp; returns integers, float64."""
    scaled = values * 2.0**fraction_bits
    scaled += 0.5
    np.floor(scaled, out=scaled)
    return np.clip(scaled, -limit, limit, out=scaled)


@dataclass(frozen=True)
class Range:
    """Integers of magnitude at most `limit`, with `fraction_bits` fractional bits."""

    fraction_bits: int
    limit: int
    nonnegative: bool = field(default=False, compare=False)
    """Known not to be below zero, as what comes from a ReLU. Sums are smaller then; no result changes."""


Tape = list[NDArray[Any]]
"""What a backward pass needs of its forward pass; layers append in order, and take back in reverse."""


class Layer(Protocol):
    """One step of a network; all arrays are integers in float64, or float32 where they fit, first axis the batch."""

    input: Range
    output: Range
    bound: float
    """Largest magnitude that any partial sum can reach, below 2^53."""

    def forward(self, x: Floats, engine: "Engine", tape: Tape | None = None) -> Floats: ...

    def backward(self, gradient: Floats, tape: Tape, engine: "Engine") -> Floats:
        """Gradient at the input from that at the output, both on the gradient grid."""
        ...


class Dense:
    """y = clamp(floor((x W + b) / 2^s + 1/2)), then ReLU if `relu`, along the last axis.

    `weight` (inputs, outputs) and `bias` (outputs) are integer arrays, with `weight_bits` and
    `weight_bits + input.fraction_bits` fractional bits.
    """

    def __init__(
        self,
        weight: NDArray[np.integer],
        bias: NDArray[np.integer],
        weight_bits: int,
        input: Range,
        output: Range,
        relu: bool,
    ):
        self.input, self.output, self.relu = input, replace(output, nonnegative=relu), relu
        shift = weight_bits + input.fraction_bits - output.fraction_bits
        if shift < 1:
            raise InexactNetwork(f"output has {output.fraction_bits} fractional bits: more than its sums have")
        self.inputs, self.outputs = weight.shape
        self._weight_back = np.ascontiguousarray(weight.T, np.float64)
        self._scale_back = 2.0**-weight_bits
        magnitude = np.abs(self._weight_back)
        rounded_bias = bias + 2.0 ** (shift - 1)
        forward = float((input.limit * magnitude.sum(1) + np.abs(rounded_bias)).max())
        self.backward_bound = GRADIENT_LIMIT * float(magnitude.sum(0).max())
        self.bound = exact_bound(forward, self.backward_bound)
        # A power of two that all weights of an output share is left to the end, so that sums are smaller. As they are
        # whole numbers, what the bias has below it makes no difference to the floor.
        spare = np.minimum(shared_bits(weight), shift)
        rounded_bias = np.floor(np.ldexp(rounded_bias, -spare))
        weights = np.ldexp(weight.astype(np.float64), -spare)
        forward = float((largest_sums(weights, input) + np.abs(rounded_bias)).max())
        small = max(forward, output.limit) < FLOAT32_LIMIT
        self.dtype = np.dtype(np.float32 if small else np.float64)
        """What it is computed in."""
        # a power of two, as which sums can be scaled before they are summed
        scale = np.ldexp(1.0, spare - shift).astype(self.dtype)
        self._bias = rounded_bias.astype(self.dtype) * scale
        self._weight = weights.astype(self.dtype) * scale

    def forward(self, x: Floats, engine: "Engine", tape: Tape | None = None) -> Floats:
        y = np.empty((*x.shape[:-1], self.outputs), self.dtype)
        self.product(x.astype(self.dtype, copy=False), y, engine)
        return self.finished(y, tape)

    def product(self, x: Floats, y: Floats, engine: "Engine") -> None:
        """Put what is `finished` then into y, for x of `dtype`."""
        engine.matmul(x.reshape(-1, self.inputs), self._weight, y.reshape(-1, self.outputs))

    def finished(self, y: Floats, tape: Tape | None) -> Floats:
        """The layer's output from what `product` gives; in place."""
        y += self._bias
        np.floor(y, out=y)
        return clamp(y, self.output, self.relu, tape)

    def backward(self, gradient: Floats, tape: Tape, engine: "Engine") -> Floats:
        return self.rounded(self.pull_back(gradient, tape, engine))

    def pull_back(self, gradient: Floats, tape: Tape, engine: "Engine") -> Floats:
        """The gradient at the input before it is `rounded`, in units of the gradient grid and the weights together."""
        gradient = through_clamp(gradient, self.output, self.relu, tape)
        back = np.empty((*gradient.shape[:-1], self.inputs))
        engine.matmul(gradient.reshape(-1, self.outputs), self._weight_back, back.reshape(-1, self.inputs))
        return back

    def rounded(self, back: Floats) -> Floats:
        """What `pull_back` gives, or sums of it, on the gradient grid; in place."""
        back *= self._scale_back
        back += 0.5
        np.floor(back, out=back)
        return np.clip(back, -GRADIENT_LIMIT, GRADIENT_LIMIT, out=back)


def shared_bits(weight: NDArray[np.integer]) -> NDArray[np.int64]:
    """For each column of integers the largest power of two that divides them all, (outputs,); 30 for zeros."""
    together = np.bitwise_or.reduce(weight.astype(np.int64), 0)
    lowest = together & -together
    exponents = np.frexp(lowest.astype(np.float64))[1].astype(np.int64) - 1
    return np.where(together == 0, 30, exponents)


def largest_sums(weight: Floats, input: Range) -> Floats:
    """The largest magnitude of any sum of an output's products, (outputs,), for weights (inputs, outputs)."""
    magnitudes: Floats = np.abs(weight).sum(0)
    if input.nonnegative:  # positive products and negative ones do not add up
        magnitudes = (magnitudes + np.abs(weight.sum(0))) / 2
    return magnitudes * input.limit


def exact_bound(*bounds: float) -> float:
    """The largest of some bounds of sums. Raises InexactNetwork from 2^53 on."""
    bound = max(bounds)
    if not bound < EXACT_LIMIT:
        raise InexactNetwork(f"a sum can reach {bound:.3g}, and integers are exact below 2^53 only")
    return bound


def clamp(y: Floats, range: Range, relu: bool, tape: Tape | None) -> Floats:
    """Bring y into `range`, or its part above zero if `relu`, in place, and put it on the tape."""
    np.clip(y, 0.0 if relu else -range.limit, range.limit, out=y)
    if tape is not None:
        tape.append(y)
    return y


def through_clamp(gradient: Floats, range: Range, relu: bool, tape: Tape) -> Floats:
    """Gradient before `clamp`: none where a ReLU is shut or at its limit; limits without one are let through."""
    y = tape.pop()
    return gradient * ((y > 0.0) & (y < range.limit)) if relu else gradient


class Network:
    """Layers in a row. Integer arrays in, integer arrays out."""

    def __init__(self, layers: list[Layer]):
        for before, after in pairwise(layers):
            if before.output != after.input:
                raise InexactNetwork("a layer's input range is not the range of the layer before it")
        self.layers = layers

    @property
    def input(self) -> Range:
        return self.layers[0].input

    @property
    def output(self) -> Range:
        return self.layers[-1].output

    @property
    def bound(self) -> float:
        """Largest magnitude any partial sum of any layer can reach."""
        return max(layer.bound for layer in self.layers)

    def forward(self, x: Floats, engine: "Engine", tape: Tape | None = None) -> Floats:
        """Outputs for integer inputs x within the input range; float32 where they fit, as all that layers compute."""
        for layer in self.layers:
            x = layer.forward(x, engine, tape)
        return x

    def backward(self, gradient: Floats, tape: Tape, engine: "Engine") -> Floats:
        """Vector-Jacobian product: gradient at the input from `gradient` at the output, both on the gradient grid.

        `tape` is that of a forward pass, and empty afterwards.
        """
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient, tape, engine)
        return gradient
