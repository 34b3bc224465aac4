"""Figure 3: encoders for a known model, which made both the training and the test images.

A VAE trained on binary MNIST (Adam 1e-3, 100 epochs) is the truth: 10,000 samples of it are the training set, 1,000
the test set, and its decoder the model. New encoders are trained for 100 epochs on the ELBO of the training set, or
asleep, with forward or reverse KL, where the model gives them as many samples as they like.
"""

from dataclasses import replace

import torch
from experiment import SEEDS, Experiment, over_seeds, run
from kinds import DIGITS_ENCODER, OBJECTIVES, PAPER
from torch import Tensor

from bbcompress.train.vae import VAE, VAEBase

METHODS = {"wake (ELBO)": "VAE", "sleep, forward KL": "sleep", "sleep, reverse KL": "reverse sleep"}


def measure(experiment: Experiment) -> None:
    images = experiment.images("binary")
    truth = experiment.vae(images, 16, replace(PAPER, learning_rate=1e-3), name="truth").model
    generator = torch.Generator().manual_seed(0)
    dreams = replace(images, train=samples(truth, 10_000, generator), test=samples(truth, 1_000, generator))
    options = replace(DIGITS_ENCODER, epochs=100, learning_rate=1e-3)
    rows, curves = [], {}
    for label, objective in METHODS.items():
        runs = [
            experiment.run(
                f"known-model-{objective}-{seed}".replace(" ", "-"),
                with_new_encoder(truth, seed),
                dreams,
                replace(options, objective=OBJECTIVES[objective], seed=seed),
            )
            for seed in SEEDS
        ]
        curves[label] = over_seeds([run.curve() for run in runs])
        rows += [
            {"method": label, "seed": seed, "last": run.curve()[-1], "best epoch": min(run.curve())}
            for seed, run in zip(SEEDS, runs, strict=True)
        ]
    experiment.plot({"images of a known model, 3 seeds": curves}, "epoch of the encoder")
    experiment.write(rows, "test -ELBO in bits/dim, one sample an image, after the last and the best epoch")


def samples(model: VAEBase, count: int, generator: torch.Generator) -> Tensor:
    """(count, P) images of the model."""
    with torch.no_grad():
        latent = torch.randn((count, model.config.latent), generator=generator)
        return model.sample_pixels(latent, generator)


def with_new_encoder(model: VAEBase, seed: int) -> VAE:
    torch.manual_seed(seed)
    fresh = VAE(model.config)
    fresh.decoder.load_state_dict(model.decoder.state_dict())
    return fresh


if __name__ == "__main__":
    run(measure, "figure3", __doc__, ["binary"])
