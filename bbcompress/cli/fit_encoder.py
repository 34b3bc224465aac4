"""`bbc fit-encoder`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bbcompress.cli.common import ANY_FILE
from bbcompress.cli.terminal import note
from bbcompress.cli.training import (
    TEST_SAMPLES,
    images_for_model,
    refuse_overwriting,
    require_torch,
    rounded,
    train_with,
    training_options,
)

if TYPE_CHECKING:
    from torch import Tensor

    from bbcompress.train.vae import VAEBase


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data", type=ANY_FILE)
@training_options("half-asleep", learning_rate=5e-4)
def command(
    model: Path,
    data: str,
    output: Path,
    name: str | None,
    objective: str,
    alpha: float,
    sigma: float,
    latents: str,
    validation: int,
    crop: int | None,
    test: str | None,
    threads: int,
    device: str | None,
    **options: Any,
) -> None:
    """Train MODEL's encoder further on DATA, for its decoder as it is, and write both as a new model.

    The default, reverse half-asleep, generalises better than the ELBO: half of the images are the model's own samples,
    of which there is no end to overfit to. DATA is as for `bbc train`. A run that was stopped goes on where it was.
    """
    refuse_overwriting(model, output)
    require_torch(threads)
    from bbcompress.codec.model_file import read_with_latents
    from bbcompress.train.architectures import exact_negative_elbo, export_with_new_encoder, restore
    from bbcompress.train.loop import TrainingOptions
    from bbcompress.train.objectives import named

    old = read_with_latents(model)
    images = images_for_model(data, "train", old.info, crop)
    training = TrainingOptions(encoder_only=True, objective=named(objective, alpha, sigma, latents), **options)

    def write(model: "VAEBase", pixels: "Tensor", path: Path) -> None:
        export_with_new_encoder(model, pixels, old, name or output.stem, path)

    train_with(restore(old), data, images, validation, training, output, device, threads, write)
    if test is not None:
        held = rounded(images_for_model(test, "test", old.info, crop), old.info.levels)
        rates = [exact_negative_elbo(path, held, TEST_SAMPLES) for path in (model, output)]
        note(f"test -ELBO, exact: old {rates[0]:.5f}, new {rates[1]:.5f} bits/dim ({TEST_SAMPLES} samples)")
