"""Where a model's bits are lost on new images: to its encoder, or to all the rest (paper, section 2.2, Figure 2)."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bbcompress.train.loop import EVALUATION_BATCH, TrainingOptions, evaluate, train
from bbcompress.train.vae import LOG_SCALE_RANGE, Posterior, VAEBase

SAMPLES = 20
"""Posterior samples an image for every -ELBO."""
PER_IMAGE_STEPS = 300
PER_IMAGE_LEARNING_RATE = 0.03


@dataclass(frozen=True)
class Diagnosis:
    """-ELBO in bits/dim, by how the posteriors were found."""

    train: float
    """Training images, the encoder's posteriors."""
    test: float
    """Test images, the encoder's posteriors."""
    test_optimal_encoder: float
    """Test images, an encoder that was trained on these very images (Eq. 9): a diagnosis, not a result."""
    test_optimal_per_image: float
    """Test images, mean and scale fitted for each: what refinement with many steps comes to."""

    @property
    def inference_gap(self) -> float:
        """The amortised inference generalisation gap (Eq. 7, 8)."""
        return self.test - self.test_optimal_encoder

    @property
    def remaining_gap(self) -> float:
        """What is left between training and test images, mostly the decoder's (Eq. 3)."""
        return self.test_optimal_encoder - self.train


def diagnose(
    model: VAEBase, training: Tensor, test: Tensor, epochs: int, report: Callable[[dict[str, float]], None]
) -> Diagnosis:
    """Measure `model`, with pixels (N, P); the optimal encoder is trained for `epochs` epochs of the test images.

    The model's own encoder is replaced by that one.
    """
    train_rate, test_rate = (evaluate(model, pixels, SAMPLES) for pixels in (training, test))
    per_image = evaluate_posterior(model, test, optimal_posterior(model, test), SAMPLES)
    batch = min(TrainingOptions.batch, len(test))
    options = TrainingOptions(encoder_only=True, epochs=epochs, batch=batch, learning_rate=5e-4, keep_best=False)
    with tempfile.TemporaryDirectory() as folder:
        state = train(model, test, test, options, Path(folder) / "encoder", report)
    return Diagnosis(train_rate, test_rate, evaluate(state.best, test, SAMPLES), per_image)


def optimal_posterior(model: VAEBase, pixels: Tensor, steps: int = PER_IMAGE_STEPS, seed: int = 0) -> Posterior:
    """The Gaussian of each image (N, P) with the best ELBO, by gradient steps from the encoder's.

    Adam with cosine decay, a pair of antithetic samples a step.
    """
    parts = []
    for number, batch in enumerate(torch.split(pixels, EVALUATION_BATCH)):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        with torch.no_grad():
            mean, log_scale = (part.clone().requires_grad_() for part in model.posterior(batch))
        optimizer = torch.optim.Adam([mean, log_scale], PER_IMAGE_LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            posterior = Posterior(mean, log_scale.clamp(*LOG_SCALE_RANGE))
            noise = torch.randn(mean.shape, generator=generator) * posterior.log_scale.exp()
            likelihood = [model.log_likelihood_nats(batch, mean + sign * noise) for sign in (1, -1)]
            loss = (posterior.kl_nats() - 0.5 * (likelihood[0] + likelihood[1])).sum()
            optimizer.zero_grad()
            loss.backward(inputs=[mean, log_scale])  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        parts.append(Posterior(mean.detach(), log_scale.detach().clamp(*LOG_SCALE_RANGE)))
    return Posterior(*(torch.cat(values) for values in zip(*parts, strict=True)))


@torch.no_grad()
def evaluate_posterior(model: VAEBase, pixels: Tensor, posterior: Posterior, samples: int, seed: int = 1) -> float:
    """Mean -ELBO in bits/dim of pixels (N, P) with given posteriors, `samples` samples an image."""
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for first in range(0, len(pixels), EVALUATION_BATCH):
        rows = slice(first, first + EVALUATION_BATCH)
        batch = Posterior(posterior.mean[rows], posterior.log_scale[rows])
        for _ in range(samples):
            total += float(model.negative_bound_bits_per_dim(pixels[rows], batch, generator).double().sum())
    return total / (samples * len(pixels))
