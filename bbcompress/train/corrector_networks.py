"""A corrector's networks in torch, with the rounding of their 8-bit form, and what their numbers cost in bits.

Rounding is straight through: forward as the integers compute, gradients as if nothing were rounded. So nothing is lost
when they are exported, and export cannot fail.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bbcompress.codec.corrector import OUTPUT_BITS, ZERO, Corrector, inputs
from bbcompress.codec.lattice import STAGES
from bbcompress.coding.shapes import CLASSES, LEAST_SCALE, SHAPES, shape_cdf
from bbcompress.exact.int8 import Convolution, Linear, Network, Residual

ACTIVATION_BITS = 5
"""Bytes stand for multiples of 2^-5."""
_UNIT = 2.0**ACTIVATION_BITS
_LAST_BITS = OUTPUT_BITS - ACTIVATION_BITS
"""Of the last layer's weights."""
LARGEST_LAST = 7.9
LEAST_PROBABILITY = 2.0**-20
"""Nothing is less likely in training; when coded, each value has at least 2^-24."""


class _RoundedActivation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        y = (x * _UNIT).round_().clamp_(low, high).mul_(1 / _UNIT)
        ctx.save_for_backward((y > low / _UNIT) & (y < high / _UNIT))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


class _RoundedWeight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        scale = torch.exp2(_shift(weight).float()).view(-1, 1, 1, 1)
        return (weight * scale).round().clamp(-64, 63) / scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def _rounded_activation(x: Tensor, low: float, high: float) -> Tensor:
    y: Tensor = _RoundedActivation.apply(x, low, high)  # type: ignore[no-untyped-call]
    return y


def _rounded_weight(weight: Tensor) -> Tensor:
    y: Tensor = _RoundedWeight.apply(weight)  # type: ignore[no-untyped-call]
    return y


def _shift(weight: Tensor) -> Tensor:
    """Of each output: the power of two that brings its weights into 7 bits."""
    largest = weight.abs().flatten(1).amax(1).clamp_min(1e-6)
    return torch.floor(torch.log2(63.0 / largest)).clamp(0, 24)


class RoundedConvolution(nn.Module):
    """A `bbcompress.exact.int8.Convolution`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, signed_output: bool = False, zero: bool = False):
        super().__init__()
        self.kernel = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.signed_output = signed_output
        if zero:
            nn.init.zeros_(self.kernel.weight)
        else:
            nn.init.kaiming_normal_(self.kernel.weight, nonlinearity="relu")
        assert self.kernel.bias is not None
        nn.init.zeros_(self.kernel.bias)

    def forward(self, x: Tensor) -> Tensor:
        weight = _rounded_weight(self.kernel.weight).to(x.dtype)
        assert self.kernel.bias is not None
        y = functional.conv2d(x, weight, self.kernel.bias.to(x.dtype), padding=self.kernel.padding)
        low, high = (-128.0, 127.0) if self.signed_output else (0.0, 255.0)
        return _rounded_activation(y, low, high)

    def exported(self, *, signed_input: bool = False) -> Convolution:
        shift = _shift(self.kernel.weight)
        weight = (self.kernel.weight * torch.exp2(shift).view(-1, 1, 1, 1)).round().clamp(-64, 63)
        assert self.kernel.bias is not None
        bias = (self.kernel.bias * torch.exp2(shift) * _UNIT).round()
        weights = _integers(weight.permute(2, 3, 1, 0))
        return Convolution(weights, _integers(bias), _integers(shift), signed_input, self.signed_output)


class RoundedResidual(nn.Module):
    """A `bbcompress.exact.int8.Residual`; it adds nothing at first."""

    def __init__(self, width: int):
        super().__init__()
        self.first = RoundedConvolution(width, width, 3)
        self.second = RoundedConvolution(width, width, 3, signed_output=True, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = (x + self.second(self.first(x))).clamp(0, 255 / _UNIT)
        return y

    def exported(self) -> Residual:
        return Residual(self.first.exported(), self.second.exported())


class StageNetwork(nn.Module):
    """Bytes as seen (N, h, w, inputs) to numbers (N, 3 channels, h, w): moves, octaves, quarters of all shapes."""

    def __init__(self, seen: int, channels: int, width: int, blocks: int):
        super().__init__()
        self.first = RoundedConvolution(seen, width, 1)
        self.blocks = nn.Sequential(*(RoundedResidual(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, 3 * channels, 1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        x = ((seen.permute(0, 3, 1, 2).to(dtype) - ZERO) / _UNIT).contiguous(memory_format=torch.channels_last)
        y: Tensor = self.last(self.blocks(self.first(x)).float())
        return y

    def exported(self) -> Network:
        assert self.last.bias is not None
        weight = self.last.weight[:, :, 0, 0].T.clamp(-LARGEST_LAST, LARGEST_LAST) * 2.0**_LAST_BITS
        last = Linear(_integers(weight.round()), _integers((self.last.bias * 2.0**OUTPUT_BITS).round()))
        blocks = [block.exported() for block in self.blocks if isinstance(block, RoundedResidual)]
        return Network((self.first.exported(signed_input=True), *blocks, last))


class CorrectorNetworks(nn.Module):
    """Of the three stages."""

    def __init__(self, channels: int, width: int, blocks: int):
        super().__init__()
        self.channels = channels
        self.stages = nn.ModuleDict(
            {str(stage): StageNetwork(inputs(channels, stage), channels, width, blocks) for stage in STAGES}
        )

    @torch.no_grad()
    def exported(self) -> Corrector:
        """The exact form."""
        return Corrector(self.channels, {int(stage): network.exported() for stage, network in self._named()})

    def _named(self) -> Iterator[tuple[str, StageNetwork]]:
        for stage, network in self.stages.items():
            assert isinstance(network, StageNetwork)
            yield stage, network


def _integers(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy().astype(np.int64)


_PLACES = 2048
_REACH = 32.0


def _lower_tails() -> Tensor:
    x = np.linspace(-_REACH, 0, _PLACES + 1)
    return torch.tensor(np.stack([shape_cdf(shape, x) for shape in range(SHAPES)]), dtype=torch.float32)


_TAILS = _lower_tails()


class _ShapeCdf(torch.autograd.Function):
    """The CDF of a shape between the whole ones at distances in scales, linear in both."""

    @staticmethod
    def forward(ctx: Any, shape: Tensor, x: Tensor) -> Tensor:
        # the lower tail keeps its precision, so the upper one is computed by it
        place = ((_REACH - x.abs()) * (_PLACES / _REACH)).clamp_(0, _PLACES - 1e-3)
        column, row = place.long(), shape.clamp(0, SHAPES - 1.001).long()
        between, along = shape - row, place - column
        tails = _TAILS.to(x.device).view(-1)
        index = row * (_PLACES + 1) + column
        a, b = tails[index], tails[index + 1]
        c, d = tails[index + _PLACES + 1], tails[index + _PLACES + 2]
        low, high = a + along * (b - a), c + along * (d - c)
        value = low + between * (high - low)
        density = ((1 - between) * (b - a) + between * (d - c)) * (_PLACES / _REACH)
        upper = x > 0
        ctx.save_for_backward(torch.where(upper, low - high, high - low), density)
        return torch.where(upper, 1 - value, value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        by_shape, by_x = ctx.saved_tensors
        return gradients[0] * by_shape, gradients[0] * by_x


def _shape_cdf(shape: Tensor, x: Tensor) -> Tensor:
    y: Tensor = _ShapeCdf.apply(shape, x)  # type: ignore[no-untyped-call]
    return y


_SCALES = torch.tensor([LEAST_SCALE * (8 + k % 8) / 8 * 2.0 ** (k // 8) for k in range(CLASSES)])


def bits(numbers: Tensor, values: Tensor, errors: Tensor, classes: Tensor, shapes: tuple[int, ...], top: int) -> Tensor:
    """What values 0 .. top (channels, N, h, w) cost in bits, corrected by numbers (N, 3 channels, h, w); see
    `bbcompress.train.observe.Observation`."""
    channels = len(shapes)
    moves, octaves, quarters = (numbers[:, n * channels : (n + 1) * channels].movedim(1, 0) for n in range(3))
    base = _SCALES.to(numbers.device)[classes.long()]
    error = errors - moves.clamp(-4, 4) * base
    scale = base * torch.exp2(octaves.clamp(-4, 4))
    shape = torch.tensor(shapes, dtype=torch.float32, device=numbers.device).view(-1, 1, 1, 1) + 4 * quarters
    shape = shape.clamp(0, SHAPES - 1)
    # the side of the mean where the CDF is small and precise
    turned = torch.where(error > 0, -1.0, 1.0)
    high = _shape_cdf(shape, (error * turned + 0.5) / scale)
    low = _shape_cdf(shape, (error * turned - 0.5) / scale)
    outside = ((values <= 0) & (turned > 0)) | ((values >= top) & (turned < 0))
    inside = ((values <= 0) & (turned < 0)) | ((values >= top) & (turned > 0))
    probability = torch.where(outside, high, torch.where(inside, 1 - low, high - low))
    return -torch.log2(probability * (1 - LEAST_PROBABILITY) + LEAST_PROBABILITY)
