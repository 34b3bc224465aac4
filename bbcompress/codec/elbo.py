"""The exact model's -ELBO: the rate that coding approaches. For reports; nothing of it reaches a file."""

import numpy as np

from bbcompress.codec.model import Pixels, SizedModel, intervals
from bbcompress.coding.distributions import MICROBITS, code_lengths
from bbcompress.exact import functions, noise

LN_2 = 0.6931471805599453
BATCH = 250


def negative_elbo_bits_per_dim(model: SizedModel, pixels: Pixels, samples: int) -> float:
    """Mean -ELBO (paper, Eq. 1) of pixels (N, subpixels), by `samples` posterior samples an image; closed-form KL."""
    return sum(parts_bits_per_dim(model, pixels, samples))


def parts_bits_per_dim(model: SizedModel, pixels: Pixels, samples: int) -> list[float]:
    """What the -ELBO is the sum of: the latents' KL, then each stage of the likelihood, of all subpixels."""
    totals = [0.0] * (1 + model.stages)
    for first in range(0, len(pixels), BATCH):
        batch = pixels[first : first + BATCH]
        mean, log_scale = model.posterior(batch)
        scale = functions.exp(log_scale)
        totals[0] += samples * float((0.5 * (mean**2 + scale**2 - 1) - log_scale).sum()) / LN_2
        for sample in range(samples):
            normals = noise.normals(np.arange(first, first + len(batch)), sample, mean.shape[1])
            for number, stage in enumerate(intervals(model, batch, mean + scale * normals), 1):
                totals[number] += float(code_lengths(stage.freqs, stage.precision).sum()) / MICROBITS
    return [total / (samples * pixels.size) for total in totals]
