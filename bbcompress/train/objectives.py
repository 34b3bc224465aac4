"""What an encoder minimises: the paper's objectives, each a small class that is called with a batch of data.

They are losses in bits/dim, (N,), to be differentiated with respect to the encoder alone; `gradients` also trains
the decoder, always by the wake phase (Eq. 12): the ELBO of the data.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bbcompress.train.vae import VAEBase, nats_per_bits_per_dim


class Objective(Protocol):
    def __call__(self, model: VAEBase, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Losses (M,) in bits/dim whose mean the encoder minimises, for pixels (N, P) of the data."""
        ...


@dataclass(frozen=True)
class ELBO:
    """-ELBO of the data (Eq. 1): for the encoder, the reverse KL of Eq. 4. Known as wake phase inference."""

    warmth: float | Tensor = 1.0
    """Below 1 the KL counts for as much less, and colour channels follow each other as much less.

    A new model that begins so learns to use its latents. Else it soon learns to tell green from red and blue from
    green, where all gradients come from then, and pays for hardly anything that latents could say of the first channel.
    """

    def __call__(self, model: VAEBase, pixels: Tensor, generator: torch.Generator) -> Tensor:
        return model.negative_elbo_bits_per_dim(pixels, generator, self.warmth)


@dataclass(frozen=True)
class Sleep:
    """Forward KL on the model's own samples (Eq. 13): -log q(z|x) of (x, z) ~ p(x, z)."""

    latents: str = "prior"
    """Where the samples' latents come from: the `prior`, or the `aggregate` posterior q(z) of the data (section 4)."""

    def __call__(self, model: VAEBase, pixels: Tensor, generator: torch.Generator) -> Tensor:
        latent, dreams = dream(model, pixels, self.latents, generator)
        return -model.posterior(dreams).log_density_nats(latent) / nats_per_bits_per_dim(dreams)


@dataclass(frozen=True)
class HalfAsleep:
    """Reverse KL on a mixture of the model's samples, share `alpha`, and data (Eq. 17); with 1, reverse sleep (Eq. 15).

    Each batch is drawn from the mixture: round(alpha N) of its N images are dreamt.
    """

    alpha: float = 0.5
    latents: str = "prior"

    def __call__(self, model: VAEBase, pixels: Tensor, generator: torch.Generator) -> Tensor:
        asleep = round(self.alpha * len(pixels))
        _, dreams = dream(model, pixels[:asleep], self.latents, generator)
        mixture = torch.cat([dreams, pixels[asleep:]])
        return model.negative_elbo_bits_per_dim(mixture, generator)


@dataclass(frozen=True)
class Denoising:
    """Share `alpha` of the images are inferred from their noisy selves (Eq. 18), the others as by the ELBO.

    Each KL is that of q(z|x + noise) and p(z|x) of the clean image; noise is N(0, sigma^2), for an image range of 1.
    """

    sigma: float
    alpha: float = 0.5

    def __call__(self, model: VAEBase, pixels: Tensor, generator: torch.Generator) -> Tensor:
        inputs = pixels.float()
        noisy = inputs[: round(self.alpha * len(pixels))]
        noise = torch.empty_like(noisy).normal_(std=self.sigma * model.largest_value, generator=generator)
        posterior = model.posterior(torch.cat([noisy + noise, inputs[len(noisy) :]]))
        return model.negative_bound_bits_per_dim(pixels, posterior, generator)


def named(name: str, alpha: float, sigma: float, latents: str) -> Objective:
    """The objective of a name on the command line; each takes what it needs of the other arguments."""
    match name:
        case "elbo":
            return ELBO()
        case "sleep":
            return Sleep(latents)
        case "reverse-sleep":
            return HalfAsleep(1.0, latents)
        case "half-asleep":
            return HalfAsleep(alpha, latents)
        case "denoising":
            return Denoising(sigma, alpha)
    raise ValueError(f"no objective {name!r}")


def dream(model: VAEBase, pixels: Tensor, latents: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Samples (z, x) of the model, as many as `pixels`, which are the data whose q(z) `aggregate` stands for."""
    with torch.no_grad():
        if latents == "aggregate":
            latent = model.posterior(pixels).sample(generator)
        else:
            latent = model.prior_sample(pixels, generator)
        return latent, model.sample_pixels(latent, generator)


def gradients(
    model: VAEBase, objective: Objective, pixels: Tensor, generator: torch.Generator, encoder_only: bool
) -> Tensor:
    """Add this batch's gradients to the parameters' and return the encoder's mean loss in bits/dim.

    The encoder follows `objective`; the decoder, unless `encoder_only`, the ELBO of the data.
    """
    loss = objective(model, pixels, generator).mean()
    if isinstance(objective, ELBO) and not encoder_only:
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()
    loss.backward(inputs=list(model.encoder.parameters()))  # type: ignore[no-untyped-call]
    if not encoder_only:
        wake = model.negative_elbo_bits_per_dim(pixels, generator).mean()
        wake.backward(inputs=list(model.decoder.parameters()))  # type: ignore[no-untyped-call]
    return loss.detach()
