"""From a trained convolutional VAE to the exact model."""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from bbcompress.codec.layer_specs import ConvolutionSpec, DenseSpec, DepthToSpaceSpec, ResidualSpec, Spec
from bbcompress.codec.model_file import save
from bbcompress.codec.spatial import Offsets, SpatialInfo, pixel_bits
from bbcompress.codec.spatial_file import ScaleContents, SpatialContents
from bbcompress.exact.network import EXACT_LIMIT, FLOAT32_LIMIT, Range
from bbcompress.train.equalize import equalize
from bbcompress.train.export import (
    HEADROOM,
    LATENT_REACH,
    LEARNING_RATE,
    POSTERIOR_BITS,
    PRECISIONS,
    Precision,
    dense_spec,
    grid_log2_steps,
    latent_bits,
)
from bbcompress.train.spatial_vae import Convolution, Residual, SpatialConfig, SpatialVAE, Up
from bbcompress.train.vae import Posterior, input_scale

CALIBRATION_IMAGES = 256
STAGED = Precision(
    weights=13,
    activations=9,
    branches=8,
    outputs=12,
    latents=9,
    largest_sum=FLOAT32_LIMIT,
    largest_branch_sum=FLOAT32_LIMIT,
    largest_output_sum=EXACT_LIMIT,
)
"""Of coarse-to-fine models of 256 levels: their activations stay small, so that with weights of some 8 to 10 bits for
each output most large sums but those of stages fit float32."""


@torch.no_grad()
def export(model: SpatialVAE, pixels: Tensor, name: str, path: Path) -> None:
    """Write the exact form of `model`, calibrated on training pixels (N, C, H, W). Raises InexactNetwork."""
    pixels = _calibration(pixels)
    config, decoder = model.config, model.decoder
    precision = _precision(config)
    in_stages = precision
    if config.phases:
        # what a last layer sees may be as fine as what it gives: that costs no time
        in_stages = replace(precision, activations=precision.outputs, largest_sum=precision.largest_output_sum)
    encoder, posterior = _encoder(model, pixels, precision)
    values = pixels.float()
    x = posterior.sample(torch.Generator().manual_seed(0))
    range = Range(precision.latents, LATENT_REACH << precision.latents)
    stages = iter(decoder.stages)
    scales = []

    def exporter(known: Offsets, output_bits: int, precision: Precision) -> _Exporter:
        """Of a network that sees `x` and the pixels at the offsets."""
        largest = (config.levels - 1) << range.fraction_bits - pixel_bits(config.levels)
        limit = max(range.limit, largest) if known else range.limit
        input = model.with_known(x, values, known)
        return _Exporter(input, replace(range, limit=limit), output_bits, precision)

    for spec, context, network in zip(decoder.scales, decoder.contexts, decoder.features, strict=True):
        features = exporter(context.features, precision.activations, precision)
        feature_layers = features.layers(network)
        x, range = features.x, features.range
        stage_layers = []
        for known in context.stages:
            stage, layers = exporter(known, precision.outputs, in_stages), copy.deepcopy(next(stages))
            if config.phases:
                equalize(layers, stage.x)
            stage_layers.append(stage.layers(layers))
        scales.append(ScaleContents(spec, feature_layers, stage_layers))
    info = SpatialInfo(
        name=name,
        channels=config.channels,
        levels=config.levels,
        components=config.components,
        downscale=config.downscale,
        latent_channels=config.latent_channels,
        latent_bits=latent_bits(posterior.log_scale),
        grid_log2_steps=_grid_log2_steps(posterior),
        learning_rate=LEARNING_RATE,
        least_log_scale=config.least_log_scale,
    )
    save(path, SpatialContents(info, encoder, scales))


@torch.no_grad()
def export_with_new_encoder(model: SpatialVAE, pixels: Tensor, old: SpatialContents, name: str, path: Path) -> None:
    """Write the exact form of the encoder of `model` with the very decoder of `old`. Raises InexactNetwork."""
    encoder, posterior = _encoder(model, _calibration(pixels), _precision(model.config))
    bits, steps = latent_bits(posterior.log_scale), _grid_log2_steps(posterior)
    info = replace(old.info, name=name, latent_bits=bits, grid_log2_steps=steps)
    save(path, replace(old, info=info, encoder=encoder))


def _calibration(pixels: Tensor) -> Tensor:
    """Training images to see ranges by: evenly from all, which may be sorted by kind."""
    count = min(len(pixels), CALIBRATION_IMAGES)
    return pixels[torch.arange(count) * len(pixels) // count]


def _encoder(model: SpatialVAE, pixels: Tensor, precision: Precision) -> tuple[list[Spec], Posterior]:
    """The encoder's layers, and the posteriors of the pixels that they were calibrated on."""
    levels = model.config.levels
    input, range = pixels.float() * input_scale(levels), Range(pixel_bits(levels), levels - 1, True)
    exporter = _Exporter(input, range, POSTERIOR_BITS, precision)
    return exporter.layers(model.encoder), model.posterior(pixels)


def _precision(config: SpatialConfig) -> Precision:
    return STAGED if config.phases and config.levels == 256 else PRECISIONS[config.levels]


def _grid_log2_steps(posterior: Posterior) -> tuple[int, ...]:
    """Of each latent channel."""
    return grid_log2_steps(posterior.log_scale.movedim(1, -1).flatten(0, -2))


class _Exporter:
    """Turns modules into layers, running them on `x` on the way to see what ranges they need.

    A convolution without ReLU after it is the network's last, and has `output_bits` fractional bits; in a `branch` of a
    residual it has those of its sum.
    """

    def __init__(self, x: Tensor, range: Range, output_bits: int, precision: Precision, branch: bool = False):
        self.x, self.range, self._output_bits, self._precision = x, range, output_bits, precision
        self._branch = branch

    def layers(self, modules: nn.Module) -> list[Spec]:
        assert isinstance(modules, nn.Sequential)
        return [spec for module in modules for spec in self._layers(module)]

    def _layers(self, module: nn.Module) -> Sequence[Spec]:
        match module:
            case Convolution(convolution=convolution, relu=relu):
                bits = self._precision.activations if relu else self._output_bits
                return self._convolution(convolution, relu, bits)
            case Up(convolution=convolution, factor=factor):
                return self._up(convolution, factor)
            case Residual(branch=branch):
                return [self._residual(branch)]
        raise TypeError(f"no exact layer for {module}")

    def _convolution(self, convolution: nn.Conv2d, relu: bool, bits: int) -> list[Spec]:
        kernel, stride = convolution.kernel_size[0], convolution.stride[0]
        weight = convolution.weight.permute(2, 3, 1, 0).reshape(-1, convolution.out_channels)
        self.x = convolution(self.x)
        dense = self._dense(weight, convolution.bias, relu, bits, kernel)
        return [dense] if kernel == 1 else [ConvolutionSpec(kernel, stride, dense)]

    def _up(self, convolution: nn.Conv2d, factor: int) -> list[Spec]:
        inputs, outputs = convolution.in_channels, convolution.out_channels // factor**2
        # torch has a pixel's squares inside its channels, exact layers the other way round
        weight = convolution.weight.view(outputs, factor**2, inputs).transpose(0, 1).reshape(-1, inputs).T
        assert convolution.bias is not None
        bias = convolution.bias.view(outputs, factor**2).T.reshape(-1)
        self.x = convolution(self.x)
        dense = self._dense(weight, bias, True, self._precision.activations)
        self.x = pixel_shuffle(self.x, factor)
        return [dense, DepthToSpaceSpec(factor)]

    def _residual(self, branch: nn.Module) -> ResidualSpec:
        x, range = self.x, self.range
        precision = self._precision
        precision = replace(precision, activations=precision.branches, largest_sum=precision.largest_branch_sum)
        input = _coarser(range, precision.branches)
        inner = _Exporter(x, input, range.fraction_bits, precision, branch=True)
        layers = inner.layers(branch)
        self.x = (x + inner.x).relu()
        self.range = Range(range.fraction_bits, self._limit(range.fraction_bits), True)
        return ResidualSpec(tuple(layers), self.range, relu=True)

    def _dense(self, weight: Tensor, bias: Tensor | None, relu: bool, bits: int, kernel: int = 1) -> DenseSpec:
        """The layer that made `x`, before its ReLU."""
        assert bias is not None
        if relu:
            self.x = self.x.relu()
        output = Range(bits, self._limit(bits), relu)
        last = not relu and not self._branch
        spec = dense_spec(weight, bias, self.range, output, relu, self._precision, last, kernel)
        self.range = output
        return spec

    def _limit(self, bits: int) -> int:
        return max(1, math.ceil(float(self.x.abs().max()) * HEADROOM * (1 << bits)))


def _coarser(range: Range, bits: int) -> Range:
    """The range with as many fractional bits at most."""
    spare = max(0, range.fraction_bits - bits)
    return replace(range, fraction_bits=range.fraction_bits - spare, limit=-(-range.limit >> spare))
