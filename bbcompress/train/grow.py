"""Capacity for a VAE in training: deeper stages and silent channels anew, without a change of what it computes, a
coarser first scale, and sharper mixtures."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from bbcompress.train.spatial_vae import SHARPEST, Convolution, Residual, SpatialVAE
from bbcompress.train.vae import VAEBase

SAMPLE_IMAGES = 256


def with_stage_blocks(model: VAEBase, stage_blocks: int) -> SpatialVAE:
    """The model with as many residual blocks in each stage, of which new ones come last and begin at zero.

    Raises ValueError where it is not staged, or has more blocks.
    """
    model = _staged(model)
    config = model.config
    if stage_blocks < config.stage_blocks:
        raise ValueError(f"stages have {config.stage_blocks} residual blocks, more than {stage_blocks}")
    grown = SpatialVAE(replace(config, stage_blocks=stage_blocks))
    grown.encoder.load_state_dict(model.encoder.state_dict())
    grown.decoder.features.load_state_dict(model.decoder.features.state_dict())
    for new, old in zip(grown.decoder.stages, model.decoder.stages, strict=True):
        assert isinstance(new, nn.Sequential) and isinstance(old, nn.Sequential)
        *layers, output = old
        for place, layer in enumerate(layers):
            new[place].load_state_dict(layer.state_dict())
        new[-1].load_state_dict(output.state_dict())
    return grown


def with_coarser_scale(model: VAEBase) -> SpatialVAE:
    """The model with latents and a first scale on a grid twice as coarse.

    What it codes there begins as what the model coded on its own coarsest grids: photographs look alike at all scales.
    The encoder has a convolution more, and new posteriors. Raises ValueError where the model is not staged.
    """
    model = _staged(model)
    config = model.config
    grown = SpatialVAE(replace(config, downscale=2 * config.downscale))
    down = len(model.encoder) - config.blocks - 1
    for place, layer in enumerate([*model.encoder][:-1]):
        grown.encoder[place + (place >= down)].load_state_dict(layer.state_dict())
    # the first two scales share a grid; the third goes from it to a finer one, as all that follow
    for place, features in enumerate(grown.decoder.features):
        features.load_state_dict(model.decoder.features[place - (place > 2)].state_dict())
    for place, stage in enumerate(grown.decoder.stages):
        stage.load_state_dict(model.decoder.stages[place if place < 4 else place - 3].state_dict())
    return grown


def with_sharpest_mixtures(model: VAEBase) -> VAEBase:
    """The model, its mixtures as sharp as those of new models may be; others than convolutional ones as they are."""
    if not isinstance(model, SpatialVAE):
        return model
    sharper = SpatialVAE(replace(model.config, least_log_scale=SHARPEST))
    sharper.load_state_dict(model.state_dict())
    return sharper


def _staged(model: VAEBase) -> SpatialVAE:
    if not isinstance(model, SpatialVAE) or not model.config.phases:
        raise ValueError("the model has no stages")
    return model


@torch.no_grad()
def revive(trained: nn.Module, model: VAEBase, pixels: Tensor, generator: torch.Generator) -> int:
    """Begin anew those channels inside residual branches of `trained`, a part of `model`, that are zero everywhere in
    images (N, C, H, W): no gradient reaches them any more, and Muon's steps of a fixed size make many so.

    They get random weights, and what takes them zero weights (Sokar et al. 2023, "The dormant neuron phenomenon", where
    all that are nearly silent begin anew). Returns how many.
    """
    pixels = pixels[:SAMPLE_IMAGES].to(next(model.parameters()).device)
    branches = [module.branch for module in trained.modules() if isinstance(module, Residual)]
    alive: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        alive[module] = output.amax((0, 2, 3)) > 0

    hooks = [branch[0].register_forward_hook(note) for branch in branches]
    if branches:
        model.negative_elbo_bits_per_dim(pixels, generator)
    for hook in hooks:
        hook.remove()
    revived = 0
    for branch in branches:
        first, second = (layer.convolution for layer in branch if isinstance(layer, Convolution))
        assert first.bias is not None
        dead = ~alive[branch[0]]
        fresh = nn.init.kaiming_normal_(torch.empty_like(first.weight), nonlinearity="relu", generator=generator)
        first.weight[dead] = fresh[dead]
        first.bias[dead] = 0
        second.weight[:, dead] = 0
        revived += int(dead.sum())
    return revived
