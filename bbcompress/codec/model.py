"""What the codec asks of a model, and what all models have in common."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bbcompress.coding.distributions import BinnedGaussian, EqualMassBins, push
from bbcompress.coding.rans import Distribution, Stack, Symbols
from bbcompress.exact.functions import Floats

Pixels = NDArray[np.uint8]
ScaleShifts = tuple[int, ...]
"""For each stage and channel of a model, what is added to its log scales, in units of 2^SHIFT_LOG2_UNIT; none: ()."""
SHIFT_LOG2_UNIT = -3
LOG_SCALE_RANGE = (-7.0, 3.0)
"""Posterior log scales are clamped to this range."""
NETWORK_BATCH = 64
"""Images in one network call; bounds memory, changes no bit."""


class Posterior(NamedTuple):
    """Diagonal Gaussian q(z|x): `mean` and `log_scale`, both (N, latent) float64."""

    mean: Floats
    log_scale: Floats


class Stage(Protocol):
    """Subpixels of a batch that are coded together, given the latents and the subpixels of earlier stages."""

    def distribution(self, pixels: Pixels) -> Distribution:
        """p(x_stage | z, x_before) of pixels (N, subpixels), in which earlier stages are filled in."""
        ...

    def symbols(self, pixels: Pixels) -> Symbols:
        """What is coded, image by image."""
        ...

    def place(self, symbols: Symbols, pixels: Pixels) -> None:
        """The inverse of `symbols`: fill in this stage's subpixels."""
        ...


class SizedModel(Protocol):
    """A model for images of one size. Pixels are (N, subpixels) uint8, latents (N, latent) float64."""

    subpixels: int
    stages: int
    """How many `likelihood` gives."""
    latent: int
    latent_bits: int
    """Latents are coded in 2^latent_bits bins of equal prior mass."""
    grid_steps: Floats
    """Steps of the grid of each latent in the two-part code of a chain's first images, (latent,)."""
    learning_rate: float
    """Adam's step size in refinement."""

    def posterior(self, pixels: Pixels) -> Posterior:
        """The amortised posterior q(z|x)."""
        ...

    def likelihood(self, latent: Floats) -> Sequence[Stage]:
        """p(x|z), in the order of decoding."""
        ...

    def grad_z(self, pixels: Pixels, latent: Floats) -> Floats:
        """Gradient of log p(x|z) in nats with respect to z, (N, latent), on the gradient grid."""
        ...


def latent_bins(model: SizedModel) -> EqualMassBins:
    """The bins of equal prior mass that latents are coded in."""
    return EqualMassBins.of(model.latent_bits)


def latent_distribution(model: SizedModel, posterior: Posterior) -> Distribution:
    """q(z|x) over the prior's bins, flattened."""
    return BinnedGaussian(posterior.mean.ravel(), posterior.log_scale.ravel(), latent_bins(model))


def push_pixels(model: SizedModel, stack: Stack, pixels: Pixels, latent: Floats) -> list[NDArray[np.int64]]:
    """Push pixels (N, subpixels) given latents (N, latent), last stage first.

    Returns the code lengths of each stage's symbols in units of 1 / MICROBITS.
    """
    stages = model.likelihood(latent)
    return [push(stack, stage.distribution(pixels), stage.symbols(pixels)) for stage in reversed(stages)]


def pop_pixels(model: SizedModel, stack: Stack, pixels: Pixels, latent: Floats) -> None:
    """The inverse of `push_pixels`: fill in `pixels`."""
    for stage in model.likelihood(latent):
        stage.place(stack.pop(stage.distribution(pixels)), pixels)
