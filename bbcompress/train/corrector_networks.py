"""A corrector's networks in torch, with the rounding of their 8-bit form, and what their numbers cost in bits.

Rounding is straight through: forward as the integers compute, gradients as if nothing were rounded. So nothing is lost
when they are exported, and export cannot fail.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bbcompress.codec.corrector import (
    OUTPUT_BITS,
    ZERO,
    Corrector,
    ScaleNetworks,
    channel_slices,
    inputs,
    outputs,
    pairs,
)
from bbcompress.codec.lattice import STAGES
from bbcompress.codec.parameters import Parameters
from bbcompress.coding.shapes import CLASSES, LEAST_SCALE, SHAPES, shape_cdf
from bbcompress.exact.int8 import (
    LINEAR_LIMIT,
    MAX_SHIFT,
    WEIGHT_HIGH,
    WEIGHT_LOW,
    Convolution,
    Linear,
    Network,
    Residual,
)
from bbcompress.exact.network import FLOAT32_LIMIT

ACTIVATION_BITS = 5
"""Bytes stand for multiples of 2^-5."""
_UNIT = 2.0**ACTIVATION_BITS
_LAST_BITS = OUTPUT_BITS - ACTIVATION_BITS
"""Of the last layer's weights."""
LARGEST_LAST = 7.9
_LARGEST_BYTE = 255
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
    def forward(ctx: Any, weight: Tensor, bias: Tensor) -> Tensor:
        shift = _shift(weight, bias)
        return _whole(weight, shift) / torch.exp2(shift).view(-1, 1, 1, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def _rounded_activation(x: Tensor, low: float, high: float) -> Tensor:
    y: Tensor = _RoundedActivation.apply(x, low, high)  # type: ignore[no-untyped-call]
    return y


def _rounded_weight(weight: Tensor, bias: Tensor) -> Tensor:
    y: Tensor = _RoundedWeight.apply(weight, bias)  # type: ignore[no-untyped-call]
    return y


def _shift(weight: Tensor, bias: Tensor) -> Tensor:
    """Of each output: the power of two that brings its weights into 7 bits, and all its sums below 2^24."""
    magnitudes = weight.abs().flatten(1)
    by_weights = 63.0 / magnitudes.amax(1).clamp_min(1e-6)
    rounding = 0.5 * _LARGEST_BYTE * magnitudes.shape[1]
    sums = _LARGEST_BYTE * magnitudes.sum(1) + _UNIT * bias.abs()
    by_sums = (FLOAT32_LIMIT - rounding - 1) / sums.clamp_min(1e-6)
    return torch.floor(torch.log2(torch.minimum(by_weights, by_sums))).clamp(0, MAX_SHIFT)


def _whole(weight: Tensor, shift: Tensor) -> Tensor:
    return (weight * torch.exp2(shift).view(-1, 1, 1, 1)).round().clamp(WEIGHT_LOW, WEIGHT_HIGH)


def _within(weight: Tensor, bias: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Whole weights (outputs, ...) and biases, made smaller where a sum could reach the limit all the same: what was
    trained is far beyond any byte there."""
    room = limit - 1 - bias.abs().clamp_max(limit / 2)
    reach = _LARGEST_BYTE * weight.abs().flatten(1).sum(1)
    factor = (room / reach.clamp_min(1)).clamp_max(1).view(-1, *[1] * (weight.ndim - 1))
    weight = torch.where(factor < 1, (weight * factor).trunc(), weight)
    return weight, bias.clamp(-limit / 2, limit / 2)


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
        assert self.kernel.bias is not None
        weight = _rounded_weight(self.kernel.weight, self.kernel.bias).to(x.dtype)
        y = functional.conv2d(x, weight, self.kernel.bias.to(x.dtype), padding=self.kernel.padding)
        low, high = (-128.0, 127.0) if self.signed_output else (0.0, 255.0)
        return _rounded_activation(y, low, high)

    @torch.no_grad()
    def exported(self, *, signed_input: bool = False) -> Convolution:
        assert self.kernel.bias is not None
        weight, bias = self.kernel.weight.double(), self.kernel.bias.double()
        shift = _shift(weight, bias)
        weight, bias = _within(_whole(weight, shift), (bias * torch.exp2(shift) * _UNIT).round(), FLOAT32_LIMIT)
        weights = _integers(weight.permute(2, 3, 1, 0))
        return Convolution(weights, _integers(bias), _integers(shift), signed_input, self.signed_output)

    @torch.no_grad()
    def restore(self, layer: Convolution) -> None:
        """Take the weights of an exact layer of this shape."""
        assert self.kernel.bias is not None
        scale = torch.exp2(-torch.from_numpy(layer.shift.astype(np.float32)))
        weight = torch.from_numpy(layer.weight.astype(np.float32)).permute(3, 2, 0, 1)
        self.kernel.weight.copy_(weight * scale.view(-1, 1, 1, 1))
        self.kernel.bias.copy_(torch.from_numpy(layer.bias.astype(np.float32)) * scale / _UNIT)


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

    def restore(self, layer: Residual) -> None:
        self.first.restore(layer.first)
        self.second.restore(layer.second)


class SliceNetwork(nn.Module):
    """Bytes as seen (N, h, w, inputs) to numbers (N, outputs, h, w): moves, octaves, quarters of shapes of some
    channels, then couplings."""

    def __init__(self, seen: int, outputs: int, width: int, blocks: int):
        super().__init__()
        self.first = RoundedConvolution(seen, width, 1)
        self.blocks = nn.Sequential(*(RoundedResidual(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, outputs, 1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        x = ((seen.permute(0, 3, 1, 2).to(dtype) - ZERO) / _UNIT).contiguous(memory_format=torch.channels_last)
        y: Tensor = self.last(self.blocks(self.first(x)).float())
        return y

    @torch.no_grad()
    def exported(self) -> Network:
        assert self.last.bias is not None
        weight = self.last.weight[:, :, 0, 0].double().clamp(-LARGEST_LAST, LARGEST_LAST) * 2.0**_LAST_BITS
        weight, bias = _within(weight.round(), (self.last.bias.double() * 2.0**OUTPUT_BITS).round(), LINEAR_LIMIT)
        blocks = [block.exported() for block in self.blocks if isinstance(block, RoundedResidual)]
        return Network((self.first.exported(signed_input=True), *blocks, Linear(_integers(weight.T), _integers(bias))))

    @torch.no_grad()
    def restore(self, network: Network) -> None:
        """Take the weights of exact layers, which may have fewer blocks. Raises ValueError where these are others than
        `exported` makes."""
        first, *blocks, last = network.layers
        if not isinstance(first, Convolution) or not isinstance(last, Linear):
            raise ValueError("networks of other layers than are trained")
        if len(blocks) > len(self.blocks):
            raise ValueError(f"{len(blocks)} residual blocks, more than {len(self.blocks)}")
        self.first.restore(first)
        for block, layer in zip(self.blocks, blocks, strict=False):
            if not isinstance(layer, Residual):
                raise ValueError("networks of other layers than are trained")
            assert isinstance(block, RoundedResidual)
            block.restore(layer)
        assert self.last.bias is not None
        self.last.weight[:, :, 0, 0] = torch.from_numpy(last.weight.T.astype(np.float32)) * 2.0**-_LAST_BITS
        self.last.bias.copy_(torch.from_numpy(last.bias.astype(np.float32)) * 2.0**-OUTPUT_BITS)


class StageNetworks(nn.Module):
    """A stage's networks, one for each channel slice: what the last one sees (N, h, w, inputs), of which the others see
    less, to numbers (N, outputs, h, w): all channels' moves, octaves, quarters of shapes, then couplings."""

    def __init__(self, channels: int, stage: int, width: int, blocks: int):
        super().__init__()
        self._slices = channel_slices(channels)
        self._inputs = [inputs(channels, stage, channel_slice) for channel_slice in self._slices]
        self.networks = nn.ModuleList(
            SliceNetwork(seen, outputs(channel_slice), width, blocks)
            for seen, channel_slice in zip(self._inputs, self._slices, strict=True)
        )

    def forward(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        parts = [
            network(seen[..., :count], dtype).tensor_split([n * len(channel_slice) for n in (1, 2, 3)], 1)
            for network, count, channel_slice in zip(self.networks, self._inputs, self._slices, strict=True)
        ]
        return torch.cat([part for of_all in zip(*parts, strict=True) for part in of_all], 1)

    def exported(self) -> tuple[Network, ...]:
        return tuple(network.exported() for network in self._networks())

    def restore(self, exact: tuple[Network, ...]) -> None:
        """See `SliceNetwork.restore`."""
        for network, whole in zip(self._networks(), exact, strict=True):
            if network.first.kernel.weight.shape[:2] != (whole.layers[0].outputs, whole.inputs):
                raise ValueError("networks of other sizes than are trained")
            network.restore(whole)

    def _networks(self) -> Iterator[SliceNetwork]:
        for network in self.networks:
            assert isinstance(network, SliceNetwork)
            yield network


class CorrectorNetworks(nn.Module):
    """Those of each stage, for scales of some strides together."""

    def __init__(self, channels: int, scales: Sequence[Sequence[int]], width: int, blocks: int):
        super().__init__()
        self.channels, self.width, self.blocks = channels, width, blocks
        self._scales = [tuple(strides) for strides in scales]
        self.stages = nn.ModuleList(
            StageNetworks(channels, stage, width, blocks) for _ in self._scales for stage in STAGES
        )
        """Scale by scale."""

    def of(self, stride: int, stage: int) -> StageNetworks | None:
        """Those of a stage; None where nothing is corrected."""
        return next((self._stage(n, stage) for n, strides in enumerate(self._scales) if stride in strides), None)

    @torch.no_grad()
    def exported(self, predictors: Parameters | None = None) -> Corrector:
        """The exact form, with the predictors that networks are for, if they are for such."""
        scales = (
            ScaleNetworks(strides, {stage: self._stage(number, stage).exported() for stage in STAGES})
            for number, strides in enumerate(self._scales)
        )
        return Corrector(self.channels, tuple(scales), predictors or {})

    @staticmethod
    def restored(
        corrector: Corrector, blocks: int | None = None, scales: Sequence[Sequence[int]] | None = None
    ) -> "CorrectorNetworks":
        """Networks to train on, that compute what a corrector does, of its blocks or of `blocks` in all: those that are
        new come last and add nothing at first. Those for other `scales` than it has begin as its for the finest scale
        among them that it corrects, or for its coarsest. Raises ValueError where its layers are others than are
        trained, or its blocks are more."""
        width = next(corrector.all_networks).layers[0].outputs
        blocks = corrector.blocks if blocks is None else blocks
        scales = [scale.strides for scale in corrector.scales] if scales is None else scales
        networks = CorrectorNetworks(corrector.channels, scales, width, blocks)
        corrected = {stride for scale in corrector.scales for stride in scale.strides}
        for number, strides in enumerate(networks._scales):
            source = min(corrected & {*strides}, default=max(corrected))
            for stage in STAGES:
                networks._stage(number, stage).restore(corrector.networks(source, stage))
        return networks

    def _stage(self, number: int, stage: int) -> StageNetworks:
        found = self.stages[number * len(STAGES) + STAGES.index(stage)]
        assert isinstance(found, StageNetworks)
        return found


def _integers(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy().astype(np.int64)


_PLACES = 2048
_REACH = 32.0


def _lower_tails() -> Tensor:
    x = np.linspace(-_REACH, 0, _PLACES + 1)
    return torch.tensor(np.stack([shape_cdf(shape, x) for shape in range(SHAPES)]), dtype=torch.float32)


@cache
def _tails(device: torch.device) -> Tensor:
    return _lower_tails().flatten().to(device)


class _ShapeCdf(torch.autograd.Function):
    """The CDF of a shape between the whole ones at distances in scales, linear in both."""

    @staticmethod
    def forward(ctx: Any, shape: Tensor, x: Tensor) -> Tensor:
        # the lower tail keeps its precision, so the upper one is computed by it
        place = ((_REACH - x.abs()) * (_PLACES / _REACH)).clamp_(0, _PLACES - 1e-3)
        column, row = place.long(), shape.clamp(0, SHAPES - 1.001).long()
        between, along = shape - row, place - column
        tails = _tails(x.device)
        index = row * (_PLACES + 1) + column
        a, b = tails[index], tails[index + 1]
        c, d = tails[index + _PLACES + 1], tails[index + _PLACES + 2]
        low, high = a + along * (b - a), c + along * (d - c)
        value = low + between * (high - low)
        # beyond the table nothing changes: what x grows by there is large, and would outweigh all else
        density = ((1 - between) * (b - a) + between * (d - c)) * (x.abs() < _REACH) * (_PLACES / _REACH)
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


class _WithinValues(torch.autograd.Function):
    """Clamped, with the gradients that lead back inside: without them what is once outside would stay there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: int) -> Tensor:
        ctx.save_for_backward(x < 0, x > top)
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        below, above = ctx.saved_tensors
        (gradient,) = gradients
        return torch.where(below, gradient.clamp_max(0), torch.where(above, gradient.clamp_min(0), gradient)), None


def _within_values(x: Tensor, top: int) -> Tensor:
    y: Tensor = _WithinValues.apply(x, top)  # type: ignore[no-untyped-call]
    return y


@cache
def _scales(device: torch.device) -> Tensor:
    return torch.tensor([LEAST_SCALE * (8 + k % 8) / 8 * 2.0 ** (k // 8) for k in range(CLASSES)], device=device)


def bits(numbers: Tensor, values: Tensor, errors: Tensor, classes: Tensor, shapes: Tensor, depth: int) -> Tensor:
    """What values of `depth` bits (channels, N, h, w), of shapes (channels, N), cost in bits, corrected by numbers
    (N, outputs, h, w); see `bbcompress.train.observe.Observation`."""
    channels, top = len(shapes), (1 << depth) - 1
    moves, octaves, quarters = (numbers[:, n * channels : (n + 1) * channels].movedim(1, 0) for n in range(3))
    base = _scales(numbers.device)[classes.long()]
    means = values - errors + moves.clamp(-4, 4) * base
    known: list[Tensor] = []
    for channel in range(channels):
        couplings = numbers[:, 3 * channels + pairs(channel) :].movedim(1, 0)
        coupled = sum((c.clamp(-2, 2) * error for c, error in zip(couplings, known, strict=False)), means[channel])
        # a mean is never outside the values
        known.append(values[channel] - _within_values(coupled, top))
    error = torch.stack(known)
    scale = base * torch.exp2(octaves.clamp(-4, 4))
    shape = shapes[:, :, None, None] + 4 * quarters
    shape = shape.clamp(0, SHAPES - 1)
    # the side of the mean where the CDF is small and precise
    turned = torch.where(error > 0, -1.0, 1.0)
    high = _shape_cdf(shape, (error * turned + 0.5) / scale)
    low = _shape_cdf(shape, (error * turned - 0.5) / scale)
    outside = ((values <= 0) & (turned > 0)) | ((values >= top) & (turned < 0))
    inside = ((values <= 0) & (turned < 0)) | ((values >= top) & (turned > 0))
    probability = torch.where(outside, high, torch.where(inside, 1 - low, high - low))
    return -torch.log2(probability * (1 - LEAST_PROBABILITY) + LEAST_PROBABILITY)
