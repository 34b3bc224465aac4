"""From an exact model back to a float VAE: to train a new encoder for its decoder, or to diagnose it."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from bbcompress.codec.dense_file import DenseContents
from bbcompress.codec.layer_specs import ConvolutionSpec, DenseSpec, ResidualSpec, Spec
from bbcompress.codec.spatial_file import SpatialContents
from bbcompress.train.spatial_vae import Convolution, SpatialConfig, SpatialVAE, Up
from bbcompress.train.vae import VAE, VAEConfig


def restore_dense(contents: DenseContents) -> VAE:
    """See `bbcompress.train.architectures.restore`."""
    info, encoder, decoder = contents.info, contents.encoder, contents.decoder
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
        for layer, spec in zip(layers, specs, strict=True):
            weight, bias = _floats(spec)
            _fill(layer, weight.T, bias)
    return model


def restore_spatial(contents: SpatialContents) -> SpatialVAE:
    """See `bbcompress.train.architectures.restore`. Raises ValueError for an architecture that is not trained here."""
    info = contents.info
    dense = list(_dense(contents.encoder))
    config = SpatialConfig(
        channels=info.channels,
        components=info.components,
        latent_channels=info.latent_channels,
        width=dense[1].weight.shape[1],
        blocks=sum(isinstance(spec, ResidualSpec) for spec in contents.encoder),
        phases=len(contents.scales) > 1,
        levels=info.levels,
        stage_blocks=sum(isinstance(spec, ResidualSpec) for spec in contents.scales[0].stages[0]),
        downscale=info.downscale,
        least_log_scale=info.least_log_scale,
    )
    model = SpatialVAE(config)
    networks: list[tuple[nn.Module, Sequence[Spec]]] = [(model.encoder, contents.encoder)]
    scales = contents.scales
    networks += zip(model.decoder.features, [scale.features for scale in scales], strict=True)
    networks += zip(model.decoder.stages, [layers for scale in scales for layers in scale.stages], strict=True)
    for module, specs in networks:
        parts = [part for part in module.modules() if isinstance(part, Convolution | Up)]
        for part, spec in zip(parts, _dense(specs), strict=True):
            weight, bias = _floats(spec)
            convolution = part.convolution
            outputs, inputs, kernel, _ = convolution.weight.shape
            if isinstance(part, Up):
                squares, channels = part.factor**2, outputs // part.factor**2
                weight = weight.view(inputs, squares, channels).transpose(1, 2).reshape(inputs, outputs)
                bias = bias.view(squares, channels).T.reshape(-1)
            _fill(convolution, weight.view(kernel, kernel, inputs, outputs).permute(3, 2, 0, 1), bias)
    return model


def _dense(specs: Sequence[Spec]) -> Iterator[DenseSpec]:
    for spec in specs:
        if isinstance(spec, DenseSpec):
            yield spec
        elif isinstance(spec, ConvolutionSpec):
            yield spec.dense
        elif isinstance(spec, ResidualSpec):
            yield from _dense(spec.branch)


def _floats(spec: DenseSpec) -> tuple[Tensor, Tensor]:
    unit = 2.0**-spec.weight_bits
    bias = spec.bias * unit * 2.0**-spec.input.fraction_bits
    return torch.from_numpy(spec.weight * unit).float(), torch.from_numpy(bias).float()


@torch.no_grad()
def _fill(layer: nn.Linear | nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    assert layer.bias is not None
    layer.bias.copy_(bias)
