"""The exact VAE: what the codec asks of a model, computed by integer networks."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.coding.distributions import BernoulliPairs, BinnedGaussian, EqualMassBins, LogisticMixture
from bbcompress.coding.rans import Distribution, Symbols
from bbcompress.exact import functions
from bbcompress.exact.engine import Engine
from bbcompress.exact.functions import Floats
from bbcompress.exact.network import GRADIENT_BITS, GRADIENT_LIMIT, Network, Tape, to_grid
from bbcompress.exact.selfcheck import require_exact_arithmetic

Pixels = NDArray[np.uint8]
LOG_SCALE_RANGE = (-7.0, 3.0)
"""Posterior log scales are clamped to this range."""
NETWORK_BATCH = 256
"""Images in one network call; bounds memory, changes no bit."""
SMALLEST_MASS = 2.0**-24


class Posterior(NamedTuple):
    """Diagonal Gaussian q(z|x): `mean` and `log_scale`, both (N, latent) float64."""

    mean: Floats
    log_scale: Floats


@dataclass(frozen=True)
class ModelInfo:
    """What a model is for and how to use it; part of the model file, and of its identity."""

    name: str
    height: int
    width: int
    channels: int
    levels: int
    """Pixel values are 0 .. levels - 1: 2 (Bernoulli) or 256 (mixture of discretised logistics)."""
    components: int
    """Logistic components; 1 for Bernoulli."""
    latent: int
    latent_bits: int
    """Latents are coded in 2^latent_bits bins of equal prior mass."""
    grid_log2_steps: tuple[int, ...]
    """Log2 of the grid step of each latent in the two-part code of a chain's first images."""
    learning_rate: float
    """Adam's step size in refinement."""

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels

    @property
    def subpixels(self) -> int:
        return self.height * self.width * self.channels


class Model:
    """An exact VAE with a standard normal prior.

    Pixels are (N, subpixels) uint8; latents are (N, latent) float64. Networks are run on at most `batch` images at
    a time, which bounds memory and changes no bit.
    """

    def __init__(
        self,
        info: ModelInfo,
        encoder: Network,
        decoder: Network,
        identity: bytes,
        engine: Engine,
        batch: int = NETWORK_BATCH,
    ):
        self.info, self.identity = info, identity
        self._encoder, self._decoder = encoder, decoder
        require_exact_arithmetic(engine)
        self._engine = engine
        self._batch = batch
        self.bins = EqualMassBins.of(info.latent_bits)
        self.grid_steps = np.ldexp(1.0, np.array(info.grid_log2_steps))

    @property
    def bound(self) -> float:
        """Largest magnitude any sum of either network can reach, below 2^53."""
        return max(self._encoder.bound, self._decoder.bound)

    def posterior(self, pixels: Pixels) -> Posterior:
        """The amortised posterior q(z|x)."""
        output = self._batched(self._encoder, pixels.astype(np.float64))
        output *= 2.0**-self._encoder.output.fraction_bits
        mean, log_scale = np.split(output, 2, axis=1)
        return Posterior(np.ascontiguousarray(mean), np.clip(log_scale, *LOG_SCALE_RANGE))

    def latent_distribution(self, posterior: Posterior) -> Distribution:
        """q(z|x) over the prior's bins, flattened."""
        return BinnedGaussian(posterior.mean.ravel(), posterior.log_scale.ravel(), self.bins)

    def likelihood(self, latent: Floats) -> Distribution:
        """p(x|z) of the symbols that stand for all subpixels (see `symbols`)."""
        output = self._batched(self._decoder, self._on_grid(latent))
        if self.info.levels == 2:
            return BernoulliPairs(_to_pairs(output).ravel(), self._decoder.output.fraction_bits)
        means, log_scales, weights = self._mixture(output)
        return LogisticMixture(
            means.reshape(len(means), -1),
            functions.exp(-log_scales).reshape(len(means), -1),
            weights.reshape(len(means), -1),
        )

    def symbols(self, pixels: Pixels) -> Symbols:
        """What is coded for pixels (N, subpixels), flattened: their values, or with two levels pairs of them."""
        values = pixels.astype(np.int64)
        if self.info.levels == 2:
            values = _to_pairs(values)
            values = 2 * values[:, 0::2] + values[:, 1::2]
        return values.ravel()

    def pixels(self, symbols: Symbols) -> Pixels:
        """The inverse of `symbols`."""
        if self.info.levels != 2:
            return symbols.astype(np.uint8).reshape(-1, self.info.subpixels)
        pairs = np.stack([symbols >> 1, symbols & 1], axis=1).astype(np.uint8)
        width = self.info.subpixels + self.info.subpixels % 2
        return np.ascontiguousarray(pairs.reshape(-1, width)[:, : self.info.subpixels])

    def grad_z(self, pixels: Pixels, latent: Floats) -> Floats:
        """Gradient of log p(x|z) in nats with respect to z, (N, latent), on the gradient grid."""
        gradients = []
        for first in range(0, len(pixels), self._batch):
            rows = slice(first, first + self._batch)
            tape: Tape = []
            output = self._decoder.forward(self._on_grid(latent[rows]), self._engine, tape)
            gradient = self._output_gradient(output, pixels[rows])
            gradient = to_grid(gradient, GRADIENT_BITS, GRADIENT_LIMIT)
            gradients.append(self._decoder.backward(gradient, tape, self._engine))
        return np.concatenate(gradients) * 2.0**-GRADIENT_BITS

    def _batched(self, network: Network, inputs: Floats) -> Floats:
        parts = [
            network.forward(inputs[first : first + self._batch], self._engine)
            for first in range(0, len(inputs), self._batch)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _on_grid(self, latent: Floats) -> Floats:
        return to_grid(latent, self._decoder.input.fraction_bits, self._decoder.input.limit)

    def _mixture(self, output: Floats) -> tuple[Floats, Floats, Floats]:
        """Means and log scales in pixel values, and weights, each (components, N, subpixels)."""
        components = self.info.components
        parts = output.reshape(len(output), -1, components, self.info.subpixels).transpose(1, 2, 0, 3)
        unit = 2.0**-self._decoder.output.fraction_bits
        means = parts[0] * (unit * 256)
        log_scales = np.clip(parts[1] * unit, *LOG_SCALE_RANGE) + 8 * 0.6931471805599453
        if components == 1:
            return means, log_scales, np.ones_like(means)
        weights = functions.exp((parts[2] - parts[2].max(0)) * unit)
        total = weights[0].copy()
        for weight in weights[1:]:
            total += weight
        return means, log_scales, weights / total

    def _output_gradient(self, output: Floats, pixels: Pixels) -> Floats:
        """d log p(x|z) / d output, per unit of output, (N, outputs)."""
        values = pixels.astype(np.float64)
        if self.info.levels == 2:
            values -= functions.sigmoid(output * 2.0**-self._decoder.output.fraction_bits)
            return values
        means, log_scales, weights = self._mixture(output)
        inverse_scales = functions.exp(-log_scales)
        upper = (values + 0.5 - means) * inverse_scales
        lower = (values - 0.5 - means) * inverse_scales
        cdf_upper = np.where(values == 255.0, 1.0, functions.sigmoid(upper))
        cdf_lower = np.where(values == 0.0, 0.0, functions.sigmoid(lower))
        mass = np.maximum(cdf_upper - cdf_lower, SMALLEST_MASS)
        # With s = sigmoid: d mass / d mean = -(s'(u) - s'(l)) / scale, and s' = s (1 - s), so that
        # d log mass / d mean = (s(u) + s(l) - 1) / scale.
        d_mean = (cdf_upper + cdf_lower - 1.0) * inverse_scales
        d_log_scale = lower * cdf_lower * (1.0 - cdf_lower) - upper * cdf_upper * (1.0 - cdf_upper)
        d_log_scale /= mass
        if self.info.components == 1:
            parts = [d_mean * 256.0, d_log_scale]
        else:
            share = weights * mass
            total = share[0].copy()
            for part in share[1:]:
                total += part
            share /= total
            parts = [share * d_mean * 256.0, share * d_log_scale, share - weights]
        return np.stack(parts).transpose(2, 0, 1, 3).reshape(output.shape)


def _to_pairs(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows of even length: a zero is appended where it is odd, as a bit that costs one bit for want of a partner."""
    return np.pad(rows, ((0, 0), (0, 1))) if rows.shape[1] % 2 else rows
