"""Figure 3: encoders for a known model, which made both the training and the test images.

A VAE trained on binary MNIST (Adam 1e-3, 100 epochs) is the truth: 10,000 samples of it are the training set, 1,000
the test set, and its decoder the model. New encoders are trained for 100 epochs on the ELBO of the training set, or
asleep, with forward or reverse KL, where the model gives them as many samples as they like.
"""

import torch
from experiment import Experiment
from torch import Tensor

from bbcompress.train.objectives import ELBO, HalfAsleep, Sleep
from bbcompress.train.vae import VAE

OBJECTIVES = {"wake (ELBO)": ELBO(), "sleep, forward KL": Sleep(), "sleep, reverse KL": HalfAsleep(alpha=1.0)}
SEEDS = (0, 1, 2)


def main() -> None:
    experiment = Experiment("figure3", __doc__)
    digits = experiment.digits("binary")
    truth = experiment.vae(digits, 16, 100, name="truth", learning_rate=1e-3).model
    generator = torch.Generator().manual_seed(0)
    training, test = (samples(truth, count, generator) for count in (10_000, 1_000))
    rows = []
    for label, objective in OBJECTIVES.items():
        for seed in SEEDS:
            run = experiment.encoder(
                f"figure3-{label}-{seed}".replace(" ", "-"),
                with_new_encoder(truth, seed),
                training,
                test,
                objective=objective,
                epochs=100,
                learning_rate=1e-3,
                seed=seed,
            )
            rows += [
                {"objective": label, "seed": seed, "epoch": epoch, "test_bits_per_dim": value}
                for epoch, value in enumerate(run.curve(), 1)
            ]
    experiment.write(rows, "test -ELBO after every epoch, one sample an image")


def samples(model: VAE, count: int, generator: torch.Generator) -> Tensor:
    """(count, P) images of the model."""
    with torch.no_grad():
        latent = torch.randn((count, model.config.latent), generator=generator)
        return model.sample_pixels(latent, generator)


def with_new_encoder(model: VAE, seed: int) -> VAE:
    torch.manual_seed(seed)
    fresh = VAE(model.config)
    fresh.decoder.load_state_dict(model.decoder.state_dict())
    return fresh


if __name__ == "__main__":
    main()
