"""Torch VAEs: the float twins of the exact models (`bbcompress.codec.model`).

Everything here may use any float arithmetic: nothing of it reaches a bitstream. What does is the
integer model that `bbcompress.train.export` derives from these weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

LOG_2 = 0.6931471805599453
LOG_SCALE_RANGE = (-7.0, 3.0)
"""Range of log posterior scale (prior scale 1) and of log logistic scale (image range 1)."""


@dataclass(frozen=True)
class VAEConfig:
    """What defines a dense VAE (paper, section 4: two hidden layers of 500, latent 16 or 32)."""

    height: int
    width: int
    levels: int
    """Pixel values are 0 .. levels - 1; 2 gives a Bernoulli likelihood, 256 a discretised logistic one."""
    latent: int = 16
    hidden: int = 500
    components: int = 1
    """Logistic components of each pixel's mixture (ignored for Bernoulli)."""

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def outputs_per_pixel(self) -> int:
        if self.levels == 2:
            return 1
        return 2 if self.components == 1 else 3 * self.components


class Posterior(NamedTuple):
    """Diagonal Gaussian q(z|x): `mean` and `log_scale`, both (N, ...) as the latent."""

    mean: Tensor
    log_scale: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + self.log_scale.exp() * noise

    def log_density_nats(self, latent: Tensor) -> Tensor:
        """log q(z|x) of latents (N, ...), (N,)."""
        deviation = (latent - self.mean) * (-self.log_scale).exp()
        return -(0.5 * deviation.square() + self.log_scale + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)

    def kl_nats(self) -> Tensor:
        """KL(q || N(0, I)) in nats, (N,)."""
        variance = (2 * self.log_scale).exp()
        return 0.5 * (self.mean**2 + variance - 1 - 2 * self.log_scale).flatten(1).sum(1)


class VAEBase(nn.Module):
    """What every VAE here has: a standard normal prior, and an encoder and a decoder that learn by different losses."""

    config: Any
    encoder: nn.Module
    decoder: nn.Module
    largest_value: int
    """Of a pixel."""

    def posterior(self, pixels: Tensor) -> Posterior:
        """q(z|x) of pixels (N, ...)."""
        raise NotImplementedError

    def prior_sample(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents of the prior, for images as many and as large as `pixels`."""
        raise NotImplementedError

    def log_likelihood_nats(self, pixels: Tensor, latent: Tensor, warmth: float | Tensor = 1.0) -> Tensor:
        """log p(x|z), (N,). With `warmth` below 1, channels follow those before them less than the model says."""
        raise NotImplementedError

    def sample_pixels(self, latent: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Samples of p(x|z), uint8: pixel values with just the mass that the likelihood gives them."""
        raise NotImplementedError

    def negative_elbo_bits_per_dim(
        self, pixels: Tensor, generator: torch.Generator | None = None, warmth: float | Tensor = 1.0
    ) -> Tensor:
        """One-sample estimate of -ELBO (paper, Eq. 1), (N,), with its KL times `warmth`."""
        return self.negative_bound_bits_per_dim(pixels, self.posterior(pixels), generator, warmth)

    def negative_bound_bits_per_dim(
        self,
        pixels: Tensor,
        posterior: Posterior,
        generator: torch.Generator | None = None,
        warmth: float | Tensor = 1.0,
    ) -> Tensor:
        """The same with any posterior: KL in closed form, one sample of the likelihood, (N,)."""
        log_likelihood = self.log_likelihood_nats(pixels, posterior.sample(generator), warmth)
        return (warmth * posterior.kl_nats() - log_likelihood) / nats_per_bits_per_dim(pixels)


def nats_per_bits_per_dim(pixels: Tensor) -> float:
    """What divides the nats of an image of `pixels` (N, ...) to make them bits/dim."""
    return LOG_2 * pixels[0].numel()


def input_scale(levels: int) -> float:
    """Factor from pixel values to network input: a power of two, so that the exact model's input is the pixel."""
    return 1.0 if levels == 2 else 1 / 256


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class VAE(VAEBase):
    """Dense VAE with a standard normal prior. Pixels are (N, H*W) uint8 or float pixel values."""

    encoder: nn.Sequential
    decoder: nn.Sequential

    def __init__(self, config: VAEConfig):
        super().__init__()
        self.config = config
        self.largest_value = config.levels - 1
        self.encoder = _mlp(config.pixels, config.hidden, 2 * config.latent)
        self.decoder = _mlp(config.latent, config.hidden, config.outputs_per_pixel * config.pixels)

    def posterior(self, pixels: Tensor) -> Posterior:
        """q(z|x) of pixels (N, H*W)."""
        mean, log_scale = self.encoder(pixels.float() * input_scale(self.config.levels)).chunk(2, 1)
        return Posterior(mean, log_scale.clamp(*LOG_SCALE_RANGE))

    def log_likelihood_nats(self, pixels: Tensor, latent: Tensor, warmth: float | Tensor = 1.0) -> Tensor:
        output = self.decoder(latent)
        if self.config.levels == 2:
            loss = functional.binary_cross_entropy_with_logits(output, pixels.float(), reduction="none")
            return -loss.sum(1)
        return logistic_log_mass(output, pixels.float(), self.config.components).sum(1)

    def prior_sample(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn((len(pixels), self.config.latent), generator=generator, device=pixels.device)

    def sample_pixels(self, latent: Tensor, generator: torch.Generator | None = None) -> Tensor:
        output = self.decoder(latent)
        if self.config.levels == 2:
            return sample_bits(output, generator)
        return sample_logistic(output, self.config.components, generator)


def logistic_log_mass(output: Tensor, pixels: Tensor, components: int) -> Tensor:
    """Log mass of 8-bit pixels (N, P) under mixtures of discretised logistics, in nats, (N, P).

    `output` is (N, k*P): means, log scales and, for several components, mixture logits, each (N, components*P).
    Means and scales are in units of 256 pixel values. Mass outside 0 .. 255 goes to the end values.
    """
    return mixture_log_mass(output.view(len(pixels), -1, components, pixels.shape[1]).unbind(1), pixels.float())


def sample_logistic(output: Tensor, components: int, generator: torch.Generator | None = None) -> Tensor:
    """Pixels (N, P) uint8 from the mixtures that `logistic_log_mass` weighs, of the same `output`."""
    size = output.shape[1] // ((2 if components == 1 else 3) * components)
    return sample_mixture(output.view(len(output), -1, components, size).unbind(1), generator)


def sample_bits(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Bits, uint8, with P(1) = sigmoid(logit)."""
    uniform = torch.empty_like(logits).uniform_(generator=generator)
    bits: Tensor = uniform < logits.sigmoid()
    return bits.to(torch.uint8)


def mixture_log_mass(parts: Sequence[Tensor], values: Tensor, least_log_scale: float = LOG_SCALE_RANGE[0]) -> Tensor:
    """Log mass in nats of pixel values (N, ...) under mixtures of discretised logistics.

    `parts` are means, log scales and, for several components, logits, each (N, components, ...); the image's range is
    1, and mass outside it goes to the end values.
    """
    means = parts[0] * 256
    log_scales = parts[1].clamp(least_log_scale, LOG_SCALE_RANGE[1]) + 8 * LOG_2
    inverse_scales = (-log_scales).exp()
    values = values.unsqueeze(1)
    upper = (values + 0.5 - means) * inverse_scales
    lower = (values - 0.5 - means) * inverse_scales
    # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), with u - l = 1 / scale
    log_upper = torch.where(values > 254.5, torch.zeros_like(upper), functional.logsigmoid(upper))
    log_lower = torch.where(values < 0.5, torch.zeros_like(lower), functional.logsigmoid(-lower))
    inside = (values > 0.5) & (values < 254.5)
    log_width = torch.where(inside, torch.log(-torch.expm1(-inverse_scales)), torch.zeros_like(upper))
    mass = log_upper + log_lower + log_width
    if len(parts) == 2:
        return mass[:, 0]
    return torch.logsumexp(mass + functional.log_softmax(parts[2], dim=1), dim=1)


def sample_mixture(
    parts: Sequence[Tensor],
    generator: torch.Generator | None = None,
    least_log_scale: float = LOG_SCALE_RANGE[0],
) -> Tensor:
    """Values (N, ...) uint8 from the mixtures that `mixture_log_mass` weighs.

    A logistic sample is rounded to the nearest pixel value; what lies outside goes to the end values.
    """
    means, log_scales = parts[0], parts[1].clamp(least_log_scale, LOG_SCALE_RANGE[1])
    if len(parts) == 3:
        gumbel = -torch.empty_like(parts[2]).exponential_(generator=generator).log()
        chosen = (parts[2] + gumbel).argmax(1, keepdim=True)
        means, log_scales = means.gather(1, chosen), log_scales.gather(1, chosen)
    uniform = torch.empty_like(means[:, 0]).uniform_(1e-7, 1 - 1e-7, generator=generator)
    values = (means[:, 0] + log_scales[:, 0].exp() * uniform.logit()) * 256
    return values.round().clamp(0, 255).to(torch.uint8)
