"""`bbc train --corrector`: networks for pictures coarse to fine, instead of a VAE."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from bbcompress.cli.errors import ExitCode, fail
from bbcompress.cli.terminal import note
from bbcompress.cli.training import require_torch

if TYPE_CHECKING:
    from bbcompress.datasets.groups import Group

OPTIONS = ("data", "output", "name", "corrector", "minutes", "width", "blocks", "seed", "threads")
"""What a corrector's training takes."""
ITS_OWN = ("minutes", "width")
"""And a VAE's does not."""
BLOCKS = 1
LEAST_GROUPS = 10
MOST_HELD_OUT = 24


def refuse_other_options(corrector: bool) -> None:
    """Raise UsageError for options that have no effect on what is trained."""
    context = click.get_current_context()
    for name in context.params:
        if context.get_parameter_source(name) is ParameterSource.DEFAULT:
            continue
        option = "--" + name.replace("_", "-")
        if corrector and name not in OPTIONS:
            raise click.UsageError(f"{option} is for models with latents, and --corrector trains none")
        if not corrector and name in ITS_OWN:
            raise click.UsageError(f"{option} is for --corrector")


def train_corrector(
    data: str, output: Path, name: str | None, minutes: float, width: int, blocks: int | None, seed: int, threads: int
) -> None:
    """Train on the groups of `data`; the model file is written whenever a checkpoint is."""
    require_torch(threads)
    from bbcompress.codec.corrector_file import CorrectorContents
    from bbcompress.codec.model_file import save
    from bbcompress.datasets import DatasetError
    from bbcompress.train.corrector_loop import CorrectorOptions, CorrectorRun, observed, train

    groups = read_groups(data)
    if len(groups) < LEAST_GROUPS:
        raise DatasetError(f"{data}: {len(groups)} images that are not tiny are too few: at least {LEAST_GROUPS}")
    channels = groups[0].shape[3]
    try:
        info = CorrectorContents.parse_info({"name": name or output.stem, "channels": channels})
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    every = max(LEAST_GROUPS, -(-len(groups) // MOST_HELD_OUT))
    options = CorrectorOptions(
        60 * minutes, width, BLOCKS if blocks is None else blocks, bf16=has_fast_bf16(), seed=seed
    )
    run = CorrectorRun(channels, options)
    checkpoint, log = output.with_name(f"{output.name}.checkpoint"), output.with_suffix(".csv")
    if checkpoint.exists():
        try:
            run.load(checkpoint)
        except ValueError as error:
            fail(str(error), ExitCode.ERROR)
        note(f"{checkpoint}: goes on after step {run.step}, {run.seconds / 60:.1f} minutes")
    held_out = [observed(group, options.strides, False, 0) for group in groups[::every]]
    fitted = [group for number, group in enumerate(groups) if number % every]

    def save_model() -> None:
        save(output, CorrectorContents(info, run.average.exported().networks))

    note(
        f"{len(fitted)} groups of crops to train on, {len(held_out)} held out; {'bfloat16' * options.bf16 or 'float32'}"
    )
    train(run, fitted, held_out, checkpoint, log, note, threads, save_model)
    save_model()
    note(f"{output}: {run.step} steps in {run.seconds / 60:.1f} minutes")


def read_groups(data: str) -> "list[Group]":
    """Groups of crops of a file or folder, or of a downloaded set; colours green first, as they are coded."""
    from bbcompress.datasets.download import SOURCES, download
    from bbcompress.datasets.groups import crops, load_groups

    if data in SOURCES:
        from bbcompress.datasets import load

        groups = [crops(image) for image in load(download(data)["train"])]
    else:
        groups = load_groups(data)
    return [group[..., [1, 0, 2]] if group.shape[3] == 3 else group for group in groups]


def has_fast_bf16() -> bool:
    """Whether torch knows of units for bfloat16 in this processor; without them it is slower than float32."""
    import torch

    if not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return False
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
