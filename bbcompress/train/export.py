"""From a trained float VAE to the exact model: integer weights, and ranges calibrated on training images."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bbcompress.codec.model import LOG_SCALE_RANGE, ModelInfo
from bbcompress.codec.model_file import DenseSpec, save
from bbcompress.exact.network import Range, to_grid
from bbcompress.train.vae import VAE

WEIGHT_BITS = 13
ACTIVATION_BITS = 9
LOGIT_BITS = 8
LATENT_RANGE = Range(10, 8 << 10)
CALIBRATION_IMAGES = 5000
HEADROOM = 2.0
"""Activations may exceed the largest seen in calibration by this factor before they are clamped."""
LATENT_BITS = 10
LEARNING_RATE = 5e-3
"""Adam's step size in refinement (paper, section 5, binary and grey MNIST)."""


def export(model: VAE, pixels: Tensor, name: str, path: Path) -> None:
    """Write the exact form of `model`, calibrated on training pixels (N, P). Raises InexactNetwork if it has none."""
    pixels = pixels[:CALIBRATION_IMAGES]
    config = model.config
    pixel_range = Range(0, 1) if config.levels == 2 else Range(8, 255)
    output_bits = LOGIT_BITS if config.levels == 2 else ACTIVATION_BITS + 3
    with torch.no_grad():
        posterior = model.posterior(pixels)
        latents = posterior.sample(torch.Generator().manual_seed(0))
        inputs = pixels.float() * 2.0**-pixel_range.fraction_bits
        encoder = _layers(model.encoder, inputs, pixel_range, ACTIVATION_BITS + 3)
        decoder = _layers(model.decoder, latents, LATENT_RANGE, output_bits)
        # the best grid for a uniform error is sqrt(12) posterior standard deviations wide
        spread = posterior.log_scale.exp().square().mean(0).sqrt() * math.sqrt(12)
    info = ModelInfo(
        name=name,
        height=config.height,
        width=config.width,
        channels=1,
        levels=config.levels,
        components=1 if config.levels == 2 else config.components,
        latent=config.latent,
        latent_bits=LATENT_BITS,
        grid_log2_steps=tuple(int(step) for step in spread.log2().round().clamp(-4, 2)),
        learning_rate=LEARNING_RATE,
    )
    save(path, info, encoder, decoder)


def _layers(network: nn.Sequential, inputs: Tensor, input_range: Range, output_bits: int) -> list[DenseSpec]:
    specs = []
    for number, layer in enumerate(network):
        if not isinstance(layer, nn.Linear):
            continue
        relu = number + 1 < len(network)
        inputs = layer(inputs)
        if relu:
            inputs = inputs.relu()
        bits = ACTIVATION_BITS if relu else output_bits
        limit = 2 ** math.ceil(math.log2(float(inputs.abs().max()) * HEADROOM * 2**bits))
        output = Range(bits, max(limit, int(-LOG_SCALE_RANGE[0]) << bits))
        weight = to_grid(layer.weight.T.double().numpy(), WEIGHT_BITS, 2.0**30).astype(np.int32)
        bias = to_grid(layer.bias.double().numpy(), WEIGHT_BITS + input_range.fraction_bits, 2.0**30).astype(np.int32)
        specs.append(DenseSpec(weight, bias, WEIGHT_BITS, input_range, output, relu))
        input_range = output
    return specs
