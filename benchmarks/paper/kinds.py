"""The kinds of images of the paper, and what is trained on each: VAEs of sections 4 and 5, and further encoders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bbcompress.datasets import binarize
from bbcompress.train.loop import TrainingOptions
from bbcompress.train.objectives import ELBO, Denoising, HalfAsleep, Objective, Sleep
from bbcompress.train.spatial_vae import SpatialConfig, SpatialVAE
from bbcompress.train.vae import VAE, VAEBase, VAEConfig

OBJECTIVES: dict[str, Objective] = {
    "VAE": ELBO(),
    "half-asleep": HalfAsleep(0.5),
    "reverse sleep": HalfAsleep(1.0),
    "sleep": Sleep(),
    **{f"denoising {sigma}": Denoising(sigma) for sigma in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)},
}


@dataclass(frozen=True)
class Kind:
    """Images, a VAE by its latent size, and how it and encoders for it are trained."""

    title: str
    dataset: str
    """As `bbcompress.datasets.download` knows it."""
    new_vae: Callable[[int], VAEBase]
    latent: int
    """Of section 4."""
    vae: TrainingOptions
    """Of section 4."""
    snapshots: tuple[int, ...]
    """Epochs after which the VAE is looked at; the last is its end."""
    encoder: TrainingOptions
    """Of encoders that are trained further in section 4. The paper: 100 epochs, or 300 for grey digits in Table 1."""
    coding_latent: int
    """Of section 5."""
    coding_vae: TrainingOptions
    coding_encoder: TrainingOptions
    coded_images: int
    """Test images of an archive of figure 7. The paper has 1,000."""
    mode: str
    """Of a picture."""
    samples: int = 10
    """Posterior samples an image of a test rate; more pixels need fewer."""
    bilevel: bool = False
    """Whether pixels are rounded at one half."""
    latents: str = "prior"
    """Where the latents of half-asleep samples come from (section 4: for CIFAR-10 the aggregate posterior)."""

    def prepared(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Images (N, H, W, C) of the set as this kind's."""
        return binarize(images) if self.bilevel else images

    def objective(self, name: str) -> Objective:
        """One of OBJECTIVES."""
        objective = OBJECTIVES[name]
        return replace(objective, latents=self.latents) if isinstance(objective, HalfAsleep) else objective


def _digits(levels: int, latent: int) -> VAE:
    return VAE(VAEConfig(28, 28, levels, latent))


def _colour(latent: int) -> SpatialVAE:
    return SpatialVAE(SpatialConfig(components=1, latent_channels=latent, width=64, blocks=2))


PAPER = TrainingOptions(keep_best=False, gradient_clip=0)
"""Adam 3e-4, batches of 100."""
DIGITS_ENCODER = replace(PAPER, encoder_only=True, learning_rate=5e-4)
COLOUR = replace(PAPER, epochs=500, batch=128, learning_rate=5e-4, warm_up=2000, gradient_clip=1.0, snapshots=50)
COLOUR_ENCODER = replace(PAPER, encoder_only=True, epochs=20, batch=128, learning_rate=5e-5)
"""The paper: 100 epochs, 1e-5."""

KINDS: Mapping[str, Kind] = {
    "binary": Kind(
        "binary MNIST", "mnist", partial(_digits, 2),
        16, replace(PAPER, epochs=1000, snapshots=50), (100, 400, 1000), replace(DIGITS_ENCODER, epochs=20),
        10, PAPER, replace(DIGITS_ENCODER, epochs=100, learning_rate=3e-4), 1000, "1", bilevel=True,
    ),
    "grey": Kind(
        "grey MNIST", "mnist", partial(_digits, 256),
        32, replace(PAPER, epochs=1000, snapshots=50, bf16=True), (100, 400, 1000),
        replace(DIGITS_ENCODER, epochs=10, bf16=True),
        10, PAPER, replace(DIGITS_ENCODER, epochs=50, learning_rate=3e-4), 1000, "L",
    ),
    "colour": Kind(
        "CIFAR-10", "cifar-10", _colour,
        4, COLOUR, (100, 250, 500), COLOUR_ENCODER,
        4, COLOUR, COLOUR_ENCODER, 200, "RGB", samples=2, latents="aggregate",
    ),
}  # fmt: skip
