"""`bbc train`."""

from pathlib import Path
from typing import Any

import click

from bbcompress.cli.common import errors_as_exit_codes
from bbcompress.cli.training import (
    TEST_SAMPLES,
    grey_images,
    require_torch,
    train_with,
    training_options,
)


@click.command()
@click.argument("data")
@click.option(
    "--likelihood",
    type=click.Choice(["bernoulli", "logistic"]),
    default="logistic",
    show_default=True,
    help="bernoulli rounds pixels at one half; logistic is discretised, for 256 levels.",
)
@click.option(
    "--components", default=1, show_default=True, type=click.IntRange(1, 32), help="Logistics in each mixture."
)
@click.option("--latent", default=16, show_default=True, type=click.IntRange(1, 4096), help="Latent dimensions.")
@click.option(
    "--hidden", default=500, show_default=True, type=click.IntRange(1, 65536), help="Units of a hidden layer."
)
@training_options("elbo", learning_rate=3e-4)
def command(
    data: str,
    output: Path,
    name: str | None,
    likelihood: str,
    components: int,
    latent: int,
    hidden: int,
    validation: int,
    test: str | None,
    threads: int,
    objective: str,
    alpha: float,
    sigma: float,
    latents: str,
    **options: Any,
) -> None:
    """Train a VAE on DATA and write its exact form. Needs bbcompress[train].

    DATA is an IDX file, a CIFAR batch, .npy, .npz, or a folder of images of one size, or the name of a set to
    download: mnist, fashion-mnist, cifar-10. A run that was stopped goes on where it was; OUTPUT.csv is its log.
    Whatever the encoder's --objective, the decoder learns by the ELBO; with `sleep` that is the wake-sleep algorithm.
    """
    require_torch(threads)
    import torch

    from bbcompress.codec.elbo import negative_elbo_bits_per_dim
    from bbcompress.codec.model_file import load as load_model
    from bbcompress.train.export import export
    from bbcompress.train.loop import TrainingOptions, evaluate
    from bbcompress.train.objectives import named
    from bbcompress.train.vae import VAE, VAEConfig

    with errors_as_exit_codes():
        levels = 2 if likelihood == "bernoulli" else 256
        images = grey_images(data, "train", levels)
        training = TrainingOptions(objective=named(objective, alpha, sigma, latents), **options)
        config = VAEConfig(images.shape[1], images.shape[2], levels, latent, hidden, components)
        torch.manual_seed(training.seed)
        state, fitted = train_with(VAE(config), data, images, validation, training, output)
        export(state.best, fitted, name or output.stem, output)
        if test is not None:
            held = grey_images(test, "test", levels).reshape(-1, config.pixels)
            exact = negative_elbo_bits_per_dim(load_model(output), held, TEST_SAMPLES)
            float_model = evaluate(state.best, torch.from_numpy(held), TEST_SAMPLES)
            click.echo(
                f"test -ELBO: float {float_model:.5f}, exact {exact:.5f} bits/dim ({TEST_SAMPLES} samples)", err=True
            )
