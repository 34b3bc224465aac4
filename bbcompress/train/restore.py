"""From an exact model back to a float VAE: to train a new encoder for its decoder, or to diagnose it."""

from collections.abc import Sequence

import torch
from torch import nn

from bbcompress.codec.model import ModelInfo
from bbcompress.codec.model_file import DenseSpec
from bbcompress.train.vae import VAE, VAEConfig


def restore(info: ModelInfo, encoder: Sequence[DenseSpec], decoder: Sequence[DenseSpec]) -> VAE:
    """The float VAE with the weights of an exact model, in train mode. It differs by the exact model's rounding."""
    config = VAEConfig(
        height=info.height,
        width=info.width,
        levels=info.levels,
        latent=info.latent,
        hidden=encoder[0].weight.shape[1],
        components=info.components,
    )
    model = VAE(config)
    for network, specs in ((model.encoder, encoder), (model.decoder, decoder)):
        layers = [layer for layer in network if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            for layer, spec in zip(layers, specs, strict=True):
                unit = 2.0**-spec.weight_bits
                layer.weight.copy_(torch.from_numpy(spec.weight.T * unit))
                layer.bias.copy_(torch.from_numpy(spec.bias * unit * 2.0**-spec.input.fraction_bits))
    return model
