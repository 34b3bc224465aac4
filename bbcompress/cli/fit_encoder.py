"""`bbc fit-encoder`."""

from pathlib import Path
from typing import Any

import click

from bbcompress.cli.common import errors_as_exit_codes
from bbcompress.cli.training import (
    TEST_SAMPLES,
    grey_images,
    objective_options,
    report_epoch,
    require_torch,
    torch_threads_option,
)


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("data")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file to write (.safetensors)."
)
@click.option("--name", help="The new model's name. Default: the output's.")
@objective_options("half-asleep")
@click.option("--epochs", default=100, show_default=True, type=click.IntRange(1))
@click.option("--batch", default=100, show_default=True, type=click.IntRange(1), help="Images a step.")
@click.option("--learning-rate", default=5e-4, show_default=True, type=float, help="Adam's step size.")
@click.option("--schedule", type=click.Choice(["constant", "cosine"]), default="constant", show_default=True)
@click.option(
    "--ema", default=0.0, show_default=True, type=click.FloatRange(0, 1, max_open=True), help="Weight averaging."
)
@click.option(
    "--validation", default=5000, show_default=True, type=click.IntRange(1), help="Images held out, from the end."
)
@click.option("--test", help="Test images, to report the -ELBO of the old and the new model on at the end.")
@click.option("--seed", default=0, show_default=True, type=int)
@torch_threads_option
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
    test: str | None,
    threads: int,
    **options: Any,
) -> None:
    """Train MODEL's encoder further on DATA, for its decoder as it is, and write both as a new model.

    The default, reverse half-asleep, generalises better than the ELBO: half of the images are the model's own samples,
    of which there is no end to overfit to. DATA is as for `bbc train`. A run that was stopped goes on where it was.
    """
    if output.resolve() == model.resolve():
        raise click.UsageError(f"{output} is the model itself; name another file to write with -o")
    require_torch(threads)
    import torch

    from bbcompress.codec.elbo import negative_elbo_bits_per_dim
    from bbcompress.codec.model_file import load, read
    from bbcompress.datasets import DatasetError
    from bbcompress.train.export import export_with_new_encoder
    from bbcompress.train.loop import TrainingOptions, train
    from bbcompress.train.objectives import named
    from bbcompress.train.restore import restore

    with errors_as_exit_codes():
        old = read(model)
        images = grey_images(data, "train", old.info.levels, old.info.shape).reshape(-1, old.info.subpixels)
        training = TrainingOptions(encoder_only=True, objective=named(objective, alpha, sigma, latents), **options)
        if len(images) < validation + training.batch:
            raise DatasetError(f"{data}: {len(images)} images are too few for batches and --validation")
        pixels = torch.from_numpy(images)
        fitted, held_out = pixels[:-validation], pixels[-validation:]
        state = train(restore(*old), fitted, held_out, training, output, report_epoch)
        export_with_new_encoder(state.best, fitted, old, name or output.stem, output)
        click.echo(f"{output}: epoch {state.best_epoch}, {state.best_bits_per_dim:.4f} held-out bits/dim", err=True)
        if test is not None:
            held = grey_images(test, "test", old.info.levels, old.info.shape).reshape(-1, old.info.subpixels)
            rates = [negative_elbo_bits_per_dim(load(path), held, TEST_SAMPLES) for path in (model, output)]
            click.echo(
                f"test -ELBO, exact: old {rates[0]:.5f}, new {rates[1]:.5f} bits/dim ({TEST_SAMPLES} samples)", err=True
            )
