"""The kinds of VAE there are, by name: making, exporting and restoring them."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.dense_file import DenseContents
from bbcompress.codec.elbo import negative_elbo_bits_per_dim
from bbcompress.codec.model_file import ChainContents, load
from bbcompress.train import export as dense_export
from bbcompress.train import spatial_export
from bbcompress.train.restore import restore_dense, restore_spatial
from bbcompress.train.spatial_vae import SpatialConfig, SpatialVAE
from bbcompress.train.vae import VAE, VAEBase, VAEConfig

NAMES = ("dense", "convolutional", "staged")


def new_model(
    architecture: str,
    shape: tuple[int, ...],
    levels: int,
    components: int,
    latent: int,
    hidden: int,
    blocks: int,
    stage_blocks: int = 0,
) -> VAEBase:
    """A VAE with random weights for images of `shape` (H, W, C). Raises ValueError where it cannot have such images."""
    height, width, channels = shape
    if architecture == "dense":
        if channels != 1:
            raise ValueError(f"dense models take grey images; these have {channels} channels")
        return VAE(VAEConfig(height, width, levels, latent, hidden, components))
    if channels not in (1, 3) or (channels, levels) == (3, 2):
        raise ValueError("convolutional models take bilevel, grey or colour images")
    components = 1 if levels == 2 else components
    staged = architecture == "staged"
    return SpatialVAE(SpatialConfig(channels, components, latent, hidden, blocks, staged, levels, stage_blocks))


def to_tensor(model: VAEBase, images: NDArray[np.uint8]) -> Tensor:
    """Images (N, H, W, C) as the model takes them: (N, H * W), or (N, C, H, W)."""
    if isinstance(model, VAE):
        return torch.from_numpy(images.reshape(len(images), -1))
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, 3, 1)))


def export(model: VAEBase, pixels: Tensor, name: str, path: Path) -> None:
    """Write the exact form of `model`, calibrated on training pixels. Raises InexactNetwork if it has none."""
    if isinstance(model, SpatialVAE):
        spatial_export.export(model, pixels, name, path)
    elif isinstance(model, VAE):
        dense_export.export(model, pixels, name, path)


def export_with_new_encoder(model: VAEBase, pixels: Tensor, old: ChainContents, name: str, path: Path) -> None:
    """Write the exact form of the encoder of `model` with the very decoder of `old`. Raises InexactNetwork."""
    if isinstance(model, SpatialVAE):
        assert not isinstance(old, DenseContents)
        spatial_export.export_with_new_encoder(model, pixels, old, name, path)
    elif isinstance(model, VAE):
        assert isinstance(old, DenseContents)
        dense_export.export_with_new_encoder(model, pixels, old, name, path)


def restore(contents: ChainContents) -> VAEBase:
    """The float VAE with the weights of an exact model. It differs by the exact model's rounding."""
    return restore_dense(contents) if isinstance(contents, DenseContents) else restore_spatial(contents)


def exact_negative_elbo(path: Path, images: NDArray[np.uint8], samples: int) -> float:
    """Mean -ELBO in bits/dim of images (N, H, W, C) by the exact model of a file."""
    model = load(path)
    assert not isinstance(model, CorrectorModel)
    return negative_elbo_bits_per_dim(model.sized(*images.shape[1:3]), images.reshape(len(images), -1), samples)
