"""What the commands that train share: options, data, progress, and torch itself."""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bbcompress.cli.common import ANY_FILE
from bbcompress.cli.errors import ExitCode, fail
from bbcompress.cli.terminal import note

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from bbcompress.codec.dense import DenseInfo
    from bbcompress.codec.spatial import SpatialInfo
    from bbcompress.train.loop import TrainingOptions, TrainingState
    from bbcompress.train.vae import VAEBase

Function = TypeVar("Function", bound=Callable[..., Any])
TEST_SAMPLES = 4
"""Posterior samples an image for a test -ELBO."""


def training_options(objective: str, learning_rate: float) -> Callable[[Function], Function]:
    """The options that all training has, with the defaults that differ."""
    options = (
        click.option(
            "-o",
            "--output",
            required=True,
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Model file to write (.safetensors).",
        ),
        click.option("--name", help="The model's name. Default: the output's."),
        click.option(
            "--objective",
            type=click.Choice(["elbo", "sleep", "reverse-sleep", "half-asleep", "denoising"]),
            default=objective,
            show_default=True,
            help="What the encoder learns by: the ELBO of the data; forward or reverse KL on the model's own samples; "
            "reverse KL on samples and data; denoising.",
        ),
        click.option(
            "--alpha",
            default=0.5,
            show_default=True,
            type=click.FloatRange(0, 1),
            help="Share of samples (half-asleep) or of noisy images (denoising).",
        ),
        click.option("--sigma", default=0.2, show_default=True, type=click.FloatRange(0), help="Noise of denoising."),
        click.option(
            "--latents",
            type=click.Choice(["prior", "aggregate"]),
            default="prior",
            show_default=True,
            help="Where samples' latents come from: the prior, or the posteriors of the data.",
        ),
        click.option(
            "--epochs", default=100, show_default=True, type=click.IntRange(1), help="Passes over the images."
        ),
        click.option("--batch", default=100, show_default=True, type=click.IntRange(1), help="Images a step."),
        click.option("--learning-rate", default=learning_rate, show_default=True, type=float, help="Step size."),
        click.option(
            "--muon", is_flag=True, help="Convolutions by Muon instead of Adam: fewer epochs for the same rate."
        ),
        click.option(
            "--warm-up",
            default=0,
            show_default=True,
            type=click.IntRange(0),
            help="Steps over which the KL term comes in, and the colour channels' dependence in models not staged.",
        ),
        click.option(
            "--schedule",
            type=click.Choice(["constant", "cosine"]),
            default="constant",
            show_default=True,
            help="Of the step size.",
        ),
        click.option(
            "--ema",
            default=0.0,
            show_default=True,
            type=click.FloatRange(0, 1, max_open=True),
            help="Weight averaging.",
        ),
        click.option(
            "--validation",
            default=5000,
            show_default=True,
            type=click.IntRange(1),
            help="Images held out, from the end.",
        ),
        click.option(
            "--crop",
            type=click.IntRange(8),
            help="Cut images into squares of so many pixels; they may be of several sizes then.",
        ),
        click.option("--test", type=ANY_FILE, metavar="DATA", help="Test images, to report the -ELBO of at the end."),
        click.option("--seed", default=0, show_default=True, type=int, help="Of all random numbers."),
        click.option("--flip", is_flag=True, help="Turn half of the images left to right (convolutional models)."),
        click.option(
            "--distort",
            default=0.0,
            show_default=True,
            type=click.FloatRange(0, 0.5),
            help="Turn, shear and stretch images by up to so much, times the step size over its largest (convolutional "
            "models).",
        ),
        click.option("--bf16", is_flag=True, help="Convolutions in bfloat16: faster on processors made for it."),
        click.option("--device", help="Where torch computes. Default: cuda where there is one, else cpu."),
        torch_threads_option,
    )

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def torch_threads_option(function: Function) -> Function:
    """`-T` of the commands that train."""
    return click.option(
        "-T",
        "--threads",
        default=1,
        show_default=True,
        type=click.IntRange(1),
        help="Threads of torch; each takes a share of every batch. For correctors half the cores.",
    )(function)


def require_torch(threads: int) -> None:
    """Set torch up, or end with a line that says how to install it."""
    try:
        import torch
    except ImportError:
        fail("training needs torch: pip install 'bbcompress[train]'", ExitCode.ERROR)
    torch.set_num_threads(threads)
    # Adam's moments decay into denormal numbers, which are ten times slower
    torch.set_flush_denormal(True)


def device_of(name: str | None) -> "torch.device":
    """Where to compute. Raises UsageError where torch cannot."""
    from bbcompress.train.cuda_graph import NoSuchDevice, chosen_device

    try:
        return chosen_device(name)
    except NoSuchDevice as error:
        raise click.UsageError(str(error)) from error


def refuse_overwriting(model: Path, output: Path) -> None:
    """Raise UsageError where `output` is the model that a new one is made from."""
    if output.resolve() == model.resolve():
        raise click.UsageError(f"{output} is the model itself; name another file to write with -o")


def images_for_training(source: str, part: str, levels: int, crop: int | None = None) -> "NDArray[np.uint8]":
    """Images (N, H, W, C) of a file or folder, or of a downloaded set's `part`; for 2 levels shades 0 .. 255."""
    from bbcompress.datasets import load
    from bbcompress.datasets.download import SOURCES, download

    images = load(download(source)[part] if source in SOURCES else source, crop)
    return images * 255 if levels == 2 and images.max() <= 1 else images


def rounded(shades: "NDArray[np.uint8]", levels: int) -> "NDArray[np.uint8]":
    """What a model of so many levels takes: shades as they are, or rounded at one half."""
    from bbcompress.datasets import binarize

    return binarize(shades) if levels == 2 else shades


def images_for_model(
    source: str, part: str, info: "DenseInfo | SpatialInfo", crop: int | None = None
) -> "NDArray[np.uint8]":
    """The same for a model that there is. Raises DatasetError where they do not fit it."""
    from bbcompress.codec.dense import DenseInfo
    from bbcompress.datasets import DatasetError

    images = images_for_training(source, part, info.levels, crop)
    shape = info.shape if isinstance(info, DenseInfo) else (*images.shape[1:3], info.channels)
    if images.shape[1:] != shape:
        raise DatasetError(f"{source}: images of {images.shape[1:]}; the model takes {shape}")
    return images


def train_with(
    model: "VAEBase",
    data: str,
    images: "NDArray[np.uint8]",
    validation: int,
    options: "TrainingOptions",
    output: Path,
    device: str | None,
    threads: int,
    export: "Callable[[VAEBase, Tensor, Path], None]",
) -> "TrainingState":
    """Train `model` on images (N, H, W, C) of `data`, shades for 2 levels; its exact form is written whenever better.

    `export` does that, given pixels that it was trained on, not distorted; it is tried before the first step. Raises
    InexactNetwork where that fails, and where nothing could be exported of the last weights; what is there stays.
    """
    from bbcompress.datasets import DatasetError
    from bbcompress.exact.network import InexactNetwork
    from bbcompress.train.architectures import to_tensor
    from bbcompress.train.loop import OtherRun, TrainingState, train

    chosen = device_of(device)
    if len(images) < validation + options.batch:
        raise DatasetError(f"{data}: {len(images)} images are too few for batches and --validation")
    pixels = to_tensor(model, rounded(images, model.largest_value + 1))
    for name in ("flip", "distort", "muon"):
        if getattr(options, name) and pixels.ndim != 4:
            raise click.UsageError(f"--{name} is for convolutional models")
    fitted, held_out = pixels[:-validation], pixels[-validation:]
    training = to_tensor(model, images[:-validation]) if options.distort else fitted
    with tempfile.TemporaryDirectory() as folder:
        export(model, fitted, Path(folder) / "start.safetensors")
    failure: InexactNetwork | None = None

    def write(state: TrainingState) -> None:
        nonlocal failure
        if state.best_epoch != state.epoch:
            return
        try:
            export(copy.deepcopy(state.best).cpu(), fitted, output)
            failure = None
        except InexactNetwork as error:
            failure = error
            note(f"{error}: the model file stays as it is")

    try:
        state = train(model, training, held_out, options, output, report_epoch, chosen, threads, write)
    except OtherRun as error:
        fail(str(error), ExitCode.ERROR)
    if failure is not None:
        raise failure
    if not output.exists():
        export(state.best, fitted, output)
    note(f"{output}: epoch {state.best_epoch}, {state.best_bits_per_dim:.4f} held-out bits/dim")
    return state


def report_epoch(row: dict[str, float]) -> None:
    """One line on standard error."""
    note(
        f"epoch {row['epoch']:.0f}: train {row['train_bits_per_dim']:.4f}, "
        f"held out {row['held_out_bits_per_dim']:.4f} bits/dim, {row['seconds']:.1f} s"
    )
