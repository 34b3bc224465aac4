"""What the codec asks of a model, and what all models have in common."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bbcompress.coding.distributions import BinnedGaussian, EqualMassBins, code_lengths
from bbcompress.coding.rans import Counts, Distribution, Divisible, Stack, Symbols
from bbcompress.exact.engine import Engine
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

    def distribution(self, pixels: Pixels) -> Divisible:
        """p(x_stage | z, x_before) of pixels (N, subpixels), in which earlier stages are filled in."""
        ...

    def symbols(self, pixels: Pixels) -> Symbols:
        """What is coded, image by image."""
        ...

    def place(self, symbols: Symbols, pixels: Pixels) -> None:
        """The inverse of `symbols`: fill in this stage's subpixels."""
        ...


def even_slices(count: int, most: int) -> list[slice]:
    """Of so many images, as few as hold at most `most` each, and alike in size."""
    parts = -(-count // most)
    return [slice(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


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
    engine: Engine

    def batches(self, count: int) -> list[slice]:
        """Slices of so many images: what networks take in one call. They bound memory, and change no bit."""
        ...

    def posterior(self, pixels: Pixels) -> Posterior:
        """The amortised posterior q(z|x)."""
        ...

    def likelihood(self, latent: Floats) -> Sequence[Stage]:
        """p(x|z) of the images of one batch, in the order of decoding."""
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


class Intervals(NamedTuple):
    """Those of a stage's symbols, image by image."""

    starts: Counts
    freqs: Counts
    precision: int

    def push(self, stack: Stack) -> NDArray[np.int64]:
        """Push the symbols; returns their code lengths in units of 1 / MICROBITS."""
        stack.push(*self)
        return code_lengths(self.freqs, self.precision)


def intervals(model: SizedModel, pixels: Pixels, latent: Floats) -> list[Intervals]:
    """Each stage's, in the order of decoding, of pixels (N, subpixels) given latents (N, latent)."""

    def of_batch(rows: slice) -> list[Intervals]:
        part, found = pixels[rows], []
        for stage in model.likelihood(latent[rows]):
            distribution = stage.distribution(part)
            found.append(Intervals(*distribution.intervals(stage.symbols(part)), distribution.precision))
        return found

    parts = model.engine.map(of_batch, model.batches(len(pixels)))
    return [
        Intervals(np.concatenate(starts), np.concatenate(freqs), precisions[0])
        for starts, freqs, precisions in (zip(*stage, strict=True) for stage in zip(*parts, strict=True))
    ]


def pop_pixels(model: SizedModel, stack: Stack, pixels: Pixels, latent: Floats) -> None:
    """Fill in pixels (N, subpixels) given latents (N, latent).

    While symbols of one batch are popped, other batches' distributions are computed.
    """
    batches = model.batches(len(pixels))
    likelihoods = model.engine.map(lambda rows: model.likelihood(latent[rows]), batches)

    def started(number: int, stage: int) -> "Future[Divisible]":
        return model.engine.submit(lambda: likelihoods[number][stage].distribution(pixels[batches[number]]))

    waiting = [started(number, 0) for number in range(len(batches))]
    for stage in range(model.stages):
        parts = (future.result() for future in waiting)
        waiting = []
        for number, symbols in enumerate(stack.pop_parts(parts)):
            likelihoods[number][stage].place(symbols, pixels[batches[number]])
            if stage + 1 < model.stages:
                waiting.append(started(number, stage + 1))
