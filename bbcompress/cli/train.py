"""`bbc train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bbcompress.cli.common import ExitCode, errors_as_exit_codes, fail

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEST_SAMPLES = 20
"""Posterior samples an image for the test -ELBO."""


@click.command()
@click.argument("data")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file to write (.safetensors)."
)
@click.option("--name", help="The model's name. Default: the output's.")
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
@click.option("--epochs", default=100, show_default=True, type=click.IntRange(1))
@click.option("--batch", default=100, show_default=True, type=click.IntRange(1), help="Images a step.")
@click.option("--learning-rate", default=3e-4, show_default=True, type=float, help="Adam's step size.")
@click.option("--schedule", type=click.Choice(["constant", "cosine"]), default="constant", show_default=True)
@click.option(
    "--ema", default=0.0, show_default=True, type=click.FloatRange(0, 1, max_open=True), help="Weight averaging."
)
@click.option(
    "--validation", default=5000, show_default=True, type=click.IntRange(1), help="Images held out, from the end."
)
@click.option("--test", help="Test images, to report the -ELBO of the float and the exact model on at the end.")
@click.option("--seed", default=0, show_default=True, type=int)
@click.option("-T", "--threads", default=1, show_default=True, type=click.IntRange(1))
def command(
    data: str,
    output: Path,
    name: str | None,
    likelihood: str,
    components: int,
    latent: int,
    hidden: int,
    test: str | None,
    threads: int,
    **options: Any,
) -> None:
    """Train a VAE on DATA and write its exact form. Needs bbcompress[train].

    DATA is an IDX file, a CIFAR batch, .npy, .npz, or a folder of images of one size, or the name of a set to
    download: mnist, fashion-mnist, cifar-10. A run that was stopped goes on where it was; OUTPUT.csv is its log.
    """
    try:
        import torch
    except ImportError:
        fail("training needs torch: pip install 'bbcompress[train]'", ExitCode.ERROR)
    from bbcompress.codec.elbo import negative_elbo_bits_per_dim
    from bbcompress.codec.model_file import load as load_model
    from bbcompress.datasets import DatasetError
    from bbcompress.train.export import export
    from bbcompress.train.loop import TrainingOptions, evaluate, train
    from bbcompress.train.vae import VAEConfig

    with errors_as_exit_codes():
        torch.set_num_threads(threads)
        # Adam's moments decay into denormal numbers, which are ten times slower
        torch.set_flush_denormal(True)
        images = _images(data, "train", likelihood)
        training = TrainingOptions(**options)
        if len(images) < training.validation + training.batch:
            raise DatasetError(f"{data}: {len(images)} images are too few for batches and --validation")
        config = VAEConfig(
            height=images.shape[1],
            width=images.shape[2],
            levels=2 if likelihood == "bernoulli" else 256,
            latent=latent,
            hidden=hidden,
            components=components,
        )
        pixels = torch.from_numpy(images.reshape(len(images), -1))
        state = train(pixels, config, training, output, _report)
        export(state.best, pixels[: -training.validation], name or output.stem, output)
        click.echo(f"{output}: epoch {state.best_epoch}, {state.best_bits_per_dim:.4f} validation bits/dim", err=True)
        if test is not None:
            held = _images(test, "test", likelihood).reshape(-1, config.pixels)
            exact = negative_elbo_bits_per_dim(load_model(output), held, TEST_SAMPLES)
            float_model = evaluate(state.best, torch.from_numpy(held), TEST_SAMPLES)
            click.echo(
                f"test -ELBO: float {float_model:.5f}, exact {exact:.5f} bits/dim ({TEST_SAMPLES} samples)", err=True
            )


def _images(source: str, part: str, likelihood: str) -> "NDArray[np.uint8]":
    """Grey images (N, H, W, 1) of a file or folder, or of a downloaded set's `part`; two levels for Bernoulli."""
    from bbcompress.datasets import DatasetError, binarize, load
    from bbcompress.datasets.download import SOURCES, download

    images = load(download(source)[part] if source in SOURCES else source)
    if images.shape[3] != 1:
        raise DatasetError(f"{source}: dense models take grey images; these have {images.shape[3]} channels")
    return binarize(images) if likelihood == "bernoulli" and images.max() > 1 else images


def _report(row: dict[str, float]) -> None:
    click.echo(
        f"epoch {row['epoch']:.0f}: train {row['train_bits_per_dim']:.4f}, "
        f"validation {row['validation_bits_per_dim']:.4f} bits/dim, {row['seconds']:.1f} s",
        err=True,
    )
