"""`bbc train`."""

from pathlib import Path
from typing import Any

import click

from bbcompress.cli.common import errors_as_exit_codes
from bbcompress.cli.training import (
    TEST_SAMPLES,
    images_for_training,
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
    "--architecture",
    type=click.Choice(["dense", "convolutional", "staged"]),
    default="dense",
    show_default=True,
    help="dense: grey images of one size; convolutional: any size, all pixels at once; staged: coarse to fine.",
)
@click.option(
    "--components", default=1, show_default=True, type=click.IntRange(1, 32), help="Logistics in each mixture."
)
@click.option(
    "--latent",
    default=16,
    show_default=True,
    type=click.IntRange(1, 4096),
    help="Latent dimensions; convolutional: at each place.",
)
@click.option(
    "--hidden", default=500, show_default=True, type=click.IntRange(1, 65536), help="Units of a hidden layer; channels."
)
@click.option("--blocks", default=3, show_default=True, type=click.IntRange(0, 16), help="Residual blocks.")
@training_options("elbo", learning_rate=3e-4)
def command(
    data: str,
    output: Path,
    name: str | None,
    likelihood: str,
    architecture: str,
    components: int,
    latent: int,
    hidden: int,
    blocks: int,
    validation: int,
    test: str | None,
    threads: int,
    device: str | None,
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

    from bbcompress.datasets import DatasetError
    from bbcompress.train.architectures import exact_negative_elbo, export, new_model, to_tensor
    from bbcompress.train.loop import TrainingOptions, evaluate
    from bbcompress.train.objectives import named

    with errors_as_exit_codes():
        levels = 2 if likelihood == "bernoulli" else 256
        images = images_for_training(data, "train", levels)
        training = TrainingOptions(objective=named(objective, alpha, sigma, latents), **options)
        torch.manual_seed(training.seed)
        try:
            model = new_model(architecture, images.shape[1:], levels, components, latent, hidden, blocks)
        except ValueError as error:
            raise DatasetError(f"{data}: {error}") from error
        state, fitted = train_with(model, data, images, validation, training, output, device, threads)
        export(state.best, fitted, name or output.stem, output)
        if test is not None:
            held = images_for_training(test, "test", levels)
            float_model = evaluate(state.best, to_tensor(state.best, held), TEST_SAMPLES)
            exact = exact_negative_elbo(output, held, TEST_SAMPLES)
            click.echo(
                f"test -ELBO: float {float_model:.5f}, exact {exact:.5f} bits/dim ({TEST_SAMPLES} samples)", err=True
            )
