"""Torch VAEs: the float twins of the exact models (`bbcompress.exact.model`).

Everything here may use any float arithmetic: nothing of it reaches a bitstream. What does is the
integer model that `bbcompress.train.export` derives from these weights.
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple

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

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


class Posterior(NamedTuple):
    """Diagonal Gaussian q(z|x): `mean` and `log_scale`, both (N, latent)."""

    mean: Tensor
    log_scale: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + self.log_scale.exp() * noise

    def kl_nats(self) -> Tensor:
        """KL(q || N(0, I)) in nats, (N,)."""
        variance = (2 * self.log_scale).exp()
        return 0.5 * (self.mean**2 + variance - 1 - 2 * self.log_scale).sum(1)


def input_scale(levels: int) -> float:
    """Factor from pixel values to network input: a power of two, so that the exact model's input is the pixel."""
    return 1.0 if levels == 2 else 1 / 256


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class VAE(nn.Module):
    """Dense VAE with a standard normal prior. Pixels are (N, H*W) uint8 or float pixel values."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        self.config = config
        self.encoder = _mlp(config.pixels, config.hidden, 2 * config.latent)
        self.decoder = _mlp(config.latent, config.hidden, config.outputs_per_pixel * config.pixels)

    def posterior(self, pixels: Tensor) -> Posterior:
        """q(z|x) of pixels (N, H*W)."""
        mean, log_scale = self.encoder(pixels.float() * input_scale(self.config.levels)).chunk(2, 1)
        return Posterior(mean, log_scale.clamp(*LOG_SCALE_RANGE))

    def log_likelihood_nats(self, pixels: Tensor, latent: Tensor) -> Tensor:
        """log p(x|z), (N,)."""
        output = self.decoder(latent)
        if self.config.levels == 2:
            loss = functional.binary_cross_entropy_with_logits(output, pixels.float(), reduction="none")
            return -loss.sum(1)
        return logistic_log_mass(output, pixels.float(), self.config.components).sum(1)

    def negative_elbo_bits_per_dim(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One-sample estimate of -ELBO (paper, Eq. 1), (N,)."""
        posterior = self.posterior(pixels)
        log_likelihood = self.log_likelihood_nats(pixels, posterior.sample(generator))
        return (posterior.kl_nats() - log_likelihood) / (LOG_2 * self.config.pixels)


def logistic_log_mass(output: Tensor, pixels: Tensor, components: int) -> Tensor:
    """Log mass of 8-bit pixels (N, P) under mixtures of discretised logistics, in nats, (N, P).

    `output` is (N, k*P): means, log scales and, for several components, mixture logits, each (N, components*P).
    Means and scales are in units of 256 pixel values. Mass outside 0 .. 255 goes to the end values.
    """
    count, size = pixels.shape
    parts = output.view(count, -1, components, size)
    means = parts[:, 0] * 256
    log_scales = parts[:, 1].clamp(*LOG_SCALE_RANGE) + 8 * LOG_2
    inverse_scales = (-log_scales).exp()
    values = pixels.unsqueeze(1)
    upper = (values + 0.5 - means) * inverse_scales
    lower = (values - 0.5 - means) * inverse_scales
    # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), with u - l = 1 / scale
    log_upper = torch.where(values > 254.5, torch.zeros_like(upper), functional.logsigmoid(upper))
    log_lower = torch.where(values < 0.5, torch.zeros_like(lower), functional.logsigmoid(-lower))
    inside = (values > 0.5) & (values < 254.5)
    log_width = torch.where(inside, torch.log(-torch.expm1(-inverse_scales)), torch.zeros_like(upper))
    mass = log_upper + log_lower + log_width
    if components == 1:
        return mass[:, 0]
    return torch.logsumexp(mass + functional.log_softmax(parts[:, 2], dim=1), dim=1)
