"""From a trained float VAE to the exact model: integer weights, and ranges calibrated on training images."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bbcompress.codec.dense import DenseInfo
from bbcompress.codec.dense_file import DenseContents
from bbcompress.codec.layer_specs import DenseSpec
from bbcompress.codec.model import LOG_SCALE_RANGE
from bbcompress.codec.model_file import save
from bbcompress.exact.network import EXACT_LIMIT, FLOAT32_LIMIT, GRADIENT_LIMIT, Range, largest_sums, to_grid
from bbcompress.train.vae import VAE, Posterior


@dataclass(frozen=True)
class Precision:
    """Fractional bits of a model's numbers."""

    weights: int
    """Most bits of a weight; fewer in a layer whose sums would be too large."""
    activations: int
    branches: int
    """Of what the convolutions of residual branches see, where x is finer."""
    outputs: int
    latents: int
    largest_sum: float
    """Of layers with others after them."""
    largest_branch_sum: float
    """Of the convolutions of residual branches."""
    largest_output_sum: float
    """Of a network's last layer."""


PRECISIONS = {
    # Logits take rounding well, so that all sums can fit float32, at half the time
    2: Precision(
        weights=13,
        activations=7,
        branches=7,
        outputs=8,
        latents=8,
        largest_sum=FLOAT32_LIMIT,
        largest_branch_sum=FLOAT32_LIMIT,
        largest_output_sum=FLOAT32_LIMIT,
    ),
    # The mean of a logistic must be right to a fraction of a grey level, 2^-8
    256: Precision(
        weights=13,
        activations=9,
        branches=9,
        outputs=12,
        latents=10,
        largest_sum=EXACT_LIMIT,
        largest_branch_sum=EXACT_LIMIT,
        largest_output_sum=EXACT_LIMIT,
    ),
}
"""By the number of pixel levels."""
LARGEST_WEIGHT = 1 << 30
POSTERIOR_BITS = 10
LATENT_REACH = 8
CALIBRATION_IMAGES = 5000
HEADROOM = 1.25
"""Activations may exceed the largest seen in calibration by this factor before they are clamped."""
BINS_PER_SIGMA = 5
"""Of the sharpest posteriors: finer bins save next to nothing."""
LATENT_BITS_RANGE = (4, 12)
LEARNING_RATE = 5e-3
"""Adam's step size in refinement (paper, section 5, binary and grey MNIST)."""


def export(model: VAE, pixels: Tensor, name: str, path: Path) -> None:
    """Write the exact form of `model`, calibrated on training pixels (N, P). Raises InexactNetwork if it has none."""
    config = model.config
    precision = PRECISIONS[config.levels]
    encoder, posterior = _encoder(model, pixels)
    latents = posterior.sample(torch.Generator().manual_seed(0))
    decoder = _layers(model.decoder, latents, _latent_range(precision), precision.outputs, precision)
    info = DenseInfo(
        name=name,
        height=config.height,
        width=config.width,
        channels=1,
        levels=config.levels,
        components=1 if config.levels == 2 else config.components,
        latent=config.latent,
        latent_bits=latent_bits(posterior.log_scale),
        grid_log2_steps=grid_log2_steps(posterior.log_scale),
        learning_rate=LEARNING_RATE,
    )
    save(path, DenseContents(info, encoder, decoder))


def export_with_new_encoder(model: VAE, pixels: Tensor, old: DenseContents, name: str, path: Path) -> None:
    """Write the exact form of the encoder of `model` with the very decoder of `old`. Raises InexactNetwork."""
    encoder, posterior = _encoder(model, pixels)
    log_scale = posterior.log_scale
    bits, steps = latent_bits(log_scale), grid_log2_steps(log_scale)
    info = replace(old.info, name=name, latent_bits=bits, grid_log2_steps=steps)
    save(path, DenseContents(info, encoder, old.decoder))


def _latent_range(precision: Precision) -> Range:
    return Range(precision.latents, LATENT_REACH << precision.latents)


def _encoder(model: VAE, pixels: Tensor) -> tuple[list[DenseSpec], Posterior]:
    """The encoder's layers, and the posteriors of the pixels that they were calibrated on."""
    pixels = pixels[:CALIBRATION_IMAGES]
    levels = model.config.levels
    pixel_range = Range(0, 1, True) if levels == 2 else Range(8, 255, True)
    inputs = pixels.float() * 2.0**-pixel_range.fraction_bits
    layers = _layers(model.encoder, inputs, pixel_range, POSTERIOR_BITS, PRECISIONS[levels])
    with torch.no_grad():
        return layers, model.posterior(pixels)


def latent_bits(log_scale: Tensor) -> int:
    """Log2 of how many bins of equal mass the prior has, from posteriors: as few as their sharpest need.

    Those that there are beyond cost no bits in the end, but are popped for every image: a chain takes longer to start.
    """
    sharpest = math.exp(np.quantile(log_scale.numpy(), 0.05))
    bits = math.ceil(math.log2(BINS_PER_SIGMA * math.sqrt(2 * math.pi) / sharpest))
    return min(max(bits, LATENT_BITS_RANGE[0]), LATENT_BITS_RANGE[1])


def grid_log2_steps(log_scale: Tensor) -> tuple[int, ...]:
    """Of each latent, from posteriors (N, latent): a grid of step d costs d^2 / (24 deviations^2) - ln d nats, which is
    on average least at sqrt(12 / the mean of 1 / deviations^2)."""
    spread = (12 / log_scale.mul(-2).exp().mean(0)).sqrt()
    return tuple(int(step) for step in spread.log2().round().clamp(-4, 2))


@torch.no_grad()
def _layers(
    network: nn.Sequential, inputs: Tensor, input_range: Range, output_bits: int, precision: Precision
) -> list[DenseSpec]:
    specs = []
    for number, layer in enumerate(network):
        if not isinstance(layer, nn.Linear):
            continue
        relu = number + 1 < len(network)
        inputs = layer(inputs)
        if relu:
            inputs = inputs.relu()
        bits = precision.activations if relu else output_bits
        limit = math.ceil(float(inputs.abs().max()) * HEADROOM * 2**bits)
        output = Range(bits, max(limit, int(-LOG_SCALE_RANGE[0]) << bits), relu)
        specs.append(dense_spec(layer.weight.T, layer.bias, input_range, output, relu, precision, last=not relu))
        input_range = output
    return specs


def dense_spec(
    weight: Tensor,
    bias: Tensor,
    input: Range,
    output: Range,
    relu: bool,
    precision: Precision,
    last: bool,
    kernel: int = 1,
) -> DenseSpec:
    """An exact layer with the weights (inputs, outputs) and biases (outputs,) of a float one, or of a convolution whose
    inputs are `kernel` x `kernel` places."""
    weights, biases = weight.detach().double().numpy(), bias.detach().double().numpy()
    sums = largest_sums(weights, input) + np.abs(biases) * 2**input.fraction_bits
    sums = np.maximum(sums, 1 / LARGEST_WEIGHT)  # an output may have nothing but zeros
    largest_weights = np.maximum(np.abs(weights).max(0), 1 / LARGEST_WEIGHT)
    limit = precision.largest_output_sum if last else precision.largest_sum
    # of each output, with 0.02 bits of slack for the rounding of weights
    bits = np.floor(np.log2(limit / sums) - 0.02)
    bits = np.minimum(bits, np.floor(np.log2(LARGEST_WEIGHT / largest_weights)))
    bits = np.minimum(bits, precision.weights).astype(int)
    # backward too all sums are exact: fewer bits for the finest outputs, as all share a grid
    backward = np.abs(weights).sum(1).max() * GRADIENT_LIMIT * kernel**2
    if backward:
        bits = np.minimum(bits, int(np.floor(np.log2(EXACT_LIMIT / backward) - 0.02)))
    weight_bits = int(bits.max())
    # halves to even: always up, they would add to each other in a model that was rounded before
    rounded = np.rint(weights * 2.0**bits) * 2.0 ** (weight_bits - bits)
    return DenseSpec(
        rounded.astype(np.int32),
        to_grid(biases, weight_bits + input.fraction_bits, LARGEST_WEIGHT).astype(np.int32),
        weight_bits,
        input,
        output,
        relu,
    )
