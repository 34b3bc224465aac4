"""`bbc train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bbcompress.cli.common import ANY_FILE
from bbcompress.cli.terminal import note
from bbcompress.cli.train_corrector import is_given, refuse_other_options, train_corrector
from bbcompress.cli.training import (
    TEST_SAMPLES,
    images_for_model,
    images_for_training,
    refuse_overwriting,
    require_torch,
    rounded,
    train_with,
    training_options,
)

ARCHITECTURE_OPTIONS = ("likelihood", "architecture", "components", "latent", "hidden", "blocks")
BLOCKS = 3

if TYPE_CHECKING:
    from torch import Tensor

    from bbcompress.train.vae import VAEBase


@click.command()
@click.argument("data", type=ANY_FILE)
@click.option(
    "--minutes",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="How long a corrector is trained in all; a run that was stopped goes on with what is left, or with more.",
)
@click.option(
    "--start",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Go on from the weights of this model, with its architecture. Default, but with --architecture: the shipped "
    "corrector for such images, if that is of use.",
)
@click.option(
    "--width",
    type=click.IntRange(1, 512),
    help="Channels of a corrector's networks, best a multiple of 32: it is trained from nothing then.",
)
@click.option(
    "--blocks",
    type=click.IntRange(0, 16),
    help="Residual blocks; those that the model to start from lacks add nothing at first.  "
    f"[default: {BLOCKS}; of a corrector 1, or as the model to start from]",
)
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
    help="Train a VAE. dense: grey images of one size; convolutional: any size, all pixels at once; staged: coarse to "
    "fine.",
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
@click.option(
    "--stage-blocks",
    type=click.IntRange(0, 16),
    help="Residual blocks of each stage (staged models; default 0); with --start new ones are added.",
)
@click.option(
    "--coarser",
    is_flag=True,
    help="Put latents and a first scale on a grid twice as coarse (staged models, with --start).",
)
@training_options("elbo", learning_rate=3e-4)
def command(
    data: str,
    output: Path,
    name: str | None,
    likelihood: str,
    architecture: str | None,
    start: Path | None,
    components: int,
    latent: int,
    hidden: int,
    blocks: int | None,
    stage_blocks: int | None,
    coarser: bool,
    minutes: float,
    width: int | None,
    validation: int,
    crop: int | None,
    test: str | None,
    threads: int,
    device: str | None,
    objective: str,
    alpha: float,
    sigma: float,
    latents: str,
    **options: Any,
) -> None:
    """Train a model on images of your own: DATA, a folder or file. Needs bbcompress[train].

    By default, for images of any sizes, in colour, in grey (up to 16 bits) or black and white, it is a corrector:
    networks that correct how pictures are coded coarse to fine. A tenth of the images is held out, and coded in the end
    for a report, OUTPUT.html, beside other models and coders. The model file is there from the first minute on, and is
    written whenever it is better. A run that was stopped goes on when it is called again; OUTPUT.csv is its log.

    It takes --minutes, --start, --width, --blocks, --name, --seed, -T and --device; all others are for VAEs. Such a
    model is trained with --architecture, for images of one size, or of any with --crop, of 8 bits or black and white.
    Whatever the encoder's --objective, the decoder learns by the ELBO; with `sleep` that is the wake-sleep algorithm.

    DATA may also be an IDX file, a CIFAR batch, .npy, .npz, or the name of a set to download: mnist, fashion-mnist,
    cifar-10; for a corrector an .npy of groups of crops, each of one photograph (groups, crops, side, side, channels).
    """
    corrector = architecture is None and not has_latents(start)
    refuse_other_options(corrector)
    if corrector:
        train_corrector(data, output, name, start, minutes, width, blocks, options["seed"], threads, device)
        return
    if start is not None:
        refuse_architecture_options()
        refuse_overwriting(start, output)
    elif coarser:
        raise click.UsageError("--coarser is for models to --start from")
    elif stage_blocks and architecture != "staged":
        raise click.UsageError("--stage-blocks is for staged models")
    require_torch(threads)
    import torch

    from bbcompress.codec.model_file import read_with_latents
    from bbcompress.datasets import DatasetError
    from bbcompress.train.architectures import exact_negative_elbo, export, new_model, restore, to_tensor
    from bbcompress.train.grow import with_coarser_scale, with_sharpest_mixtures, with_stage_blocks
    from bbcompress.train.loop import TrainingOptions, evaluate
    from bbcompress.train.objectives import named

    training = TrainingOptions(objective=named(objective, alpha, sigma, latents), **options)
    torch.manual_seed(training.seed)
    if start is not None:
        old = read_with_latents(start)
        levels = old.info.levels
        images = images_for_model(data, "train", old.info, crop)
        model = with_sharpest_mixtures(restore(old))
        try:
            if stage_blocks is not None:
                model = with_stage_blocks(model, stage_blocks)
            if coarser:
                model = with_coarser_scale(model)
        except ValueError as error:
            raise click.UsageError(f"{start}: {error}") from error
    else:
        levels = 2 if likelihood == "bernoulli" else 256
        images = images_for_training(data, "train", levels, crop)
        try:
            shape = images.shape[1:]
            depth = BLOCKS if blocks is None else blocks
            assert architecture is not None
            model = new_model(architecture, shape, levels, components, latent, hidden, depth, stage_blocks or 0)
        except ValueError as error:
            raise DatasetError(f"{data}: {error}") from error

    def write(model: "VAEBase", pixels: "Tensor", path: Path) -> None:
        export(model, pixels, name or output.stem, path)

    state = train_with(model, data, images, validation, training, output, device, threads, write)
    if test is not None:
        held = rounded(images_for_training(test, "test", levels, crop), levels)
        float_model = evaluate(state.best, to_tensor(state.best, held), TEST_SAMPLES)
        exact = exact_negative_elbo(output, held, TEST_SAMPLES)
        note(f"test -ELBO: float {float_model:.5f}, exact {exact:.5f} bits/dim ({TEST_SAMPLES} samples)")


def has_latents(model: Path | None) -> bool:
    """Whether a model file is of a VAE."""
    from bbcompress.codec.corrector_file import CorrectorContents
    from bbcompress.codec.model_file import read_header

    return model is not None and read_header(model).description["format"] != CorrectorContents.FORMAT


def refuse_architecture_options() -> None:
    """Raise UsageError for options that `--start` would leave without effect."""
    for name in ARCHITECTURE_OPTIONS:
        if is_given(name):
            raise click.UsageError(f"--{name} is the starting model's")
