"""`bbc train` without an architecture: networks that correct the coder of pictures coarse to fine."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from bbcompress.cli.errors import ExitCode, Stopped, fail
from bbcompress.cli.terminal import note
from bbcompress.cli.training import device_of, require_torch
from bbcompress.cli.training_line import TrainingLine

if TYPE_CHECKING:
    from bbcompress.codec.corrector_file import CorrectorModel
    from bbcompress.codec.parameters import Parameters
    from bbcompress.exact.engine import Engine
    from bbcompress.images.picture import Picture
    from bbcompress.train.corrector_run import CorrectorOptions, HeldOut
    from bbcompress.train.pictures import Data

OPTIONS = ("data", "output", "name", "start", "minutes", "width", "blocks", "seed", "threads", "device")
"""What a corrector's training takes."""
ITS_OWN = ("minutes", "width")
"""And a VAE's does not."""
HELD_OUT_SUBPIXELS = 3 << 19
"""Of all held-out pictures that are looked at while training goes on, and coded in the end."""
LEAST_GAIN = 0.002
"""Part of the bits that a model must save to be started from."""


def refuse_other_options(corrector: bool) -> None:
    """Raise UsageError for options that have no effect on what is trained."""
    context = click.get_current_context()
    for name in context.params:
        if not is_given(name):
            continue
        option = "--" + name.replace("_", "-")
        if corrector and name not in OPTIONS:
            raise click.UsageError(
                f"{option} is for models with latents: give their --architecture, or --start from one"
            )
        if not corrector and name in ITS_OWN:
            raise click.UsageError(f"{option} is not for models with latents")


def is_given(name: str) -> bool:
    """Whether an option of the command is not as it is by default."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def train_corrector(
    source: str,
    output: Path,
    name: str | None,
    start: Path | None,
    minutes: float,
    width: int | None,
    blocks: int | None,
    seed: int,
    threads: int,
    device: str | None,
) -> None:
    """Train on the pictures of `source`, and report; the model file is written whenever it is better."""
    cores = os.cpu_count() or 1
    threads = threads if is_given("threads") else max(1, cores // 2)
    checkpoint, log = output.with_name(f"{output.name}.checkpoint"), output.with_suffix(".csv")
    if output.exists() and not checkpoint.exists():
        raise click.UsageError(f"{output} is there already, and is no run's to go on with; name another file with -o")
    if start is not None and width is not None:
        raise click.UsageError("--width is the starting model's")
    if not output.absolute().parent.is_dir():
        raise click.UsageError(f"{output.parent}: no such folder")
    require_torch(threads)
    chosen = device_of(device)
    from bbcompress.codec.corrector_file import CorrectorContents
    from bbcompress.codec.model_file import save
    from bbcompress.exact.engine import Engine
    from bbcompress.train import plan, predictors
    from bbcompress.train.corrector_loop import State, train
    from bbcompress.train.corrector_run import CorrectorRun, stored_options
    from bbcompress.train.groups import Drawing
    from bbcompress.train.pictures import read_data

    data = read_data(source)
    for left_out in data.notes:
        note(left_out)
    small = plan.are_small(data.training)
    told: dict[str, object] = {"name": name or output.stem, "channels": data.channels}
    if data.levels == 2:
        told["levels"] = 2
    if small:
        told["most_pixels"] = plan.PIXELS_OF_SMALL
    try:
        info = CorrectorContents.parse_info(told)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    engine = Engine(cores)
    own: Parameters | None = None
    if small:
        own = predictors.of_images(data.training, data.levels, plan.STRIDES)
    held_out = _held_out(data, own)
    model: CorrectorModel | None = None
    try:
        if checkpoint.exists():
            options = replace(stored_options(checkpoint), seconds=60 * minutes)
            _refuse_other_networks(checkpoint, options, width, blocks)
        else:
            model = None if width is not None else _start(start, data, None if small else held_out, engine, blocks)
            options = _options(data, model, minutes, width, blocks, seed, chosen.type == "cuda")
        run = CorrectorRun(data.channels, options, model.corrector if model else None, _digest(data), chosen, own)
        if checkpoint.exists():
            run.load(checkpoint)
            note(f"{checkpoint}: goes on after step {run.step}, {run.seconds / 60:.1f} minutes")
    except ValueError as error:
        fail(str(error), ExitCode.ERROR)

    def save_model() -> None:
        corrector = run.average.exported(own)
        save(output, CorrectorContents(info, corrector.scales, corrector.predictors))

    kind = "black and white" if data.levels == 2 else "in grey" if data.channels == 1 else "in colour"
    note(
        f"{len(data.training)} images {kind} to train on, {len(data.held_out)} held out; "
        f"{'from ' + model.info.name if model else f'{options.width} channels'}, {options.augment}, "
        f"step size {options.learning_rate:g}, {'bfloat16' if options.bf16 else 'float32'}, {minutes:g} minutes"
    )
    line = TrainingLine(options.seconds)

    def report(state: State) -> None:
        line.held_out(state.seconds, state.corrected)

    try:
        line.others = _others(data, engine)
        train(run, Drawing(data.training, data.levels), held_out, checkpoint, log, report, threads, save_model,
              line.advance)  # fmt: skip
    except Stopped:
        line.clear()
        if output.exists():
            note(f"{output} can be used as it is; the same command goes on after {run.seconds / 60:.1f} minutes")
        raise
    line.clear()
    if not output.exists():
        save_model()
    _report(output, log, data, engine)


def _held_out(data: "Data", predictors: "Parameters | None") -> "HeldOut":
    from bbcompress.train.corrector_loop import observed_whole
    from bbcompress.train.corrector_run import HeldOut
    from bbcompress.train.groups import as_in_files

    groups = as_in_files(data.held_out, data.levels, HELD_OUT_SUBPIXELS // data.channels)
    subpixels = sum(part.size for group, _ in groups for part in group)
    return HeldOut([observed_whole(group, depth, predictors) for group, depth in groups], subpixels)


def _start(
    given: Path | None, data: "Data", by_fits: "HeldOut | None", engine: "Engine", blocks: int | None
) -> "CorrectorModel | None":
    """The model to start from, of no more blocks: the one that is given, else the best that there is if it is better
    than none. `by_fits` are the held-out images by predictors fitted to them, where these are observed already."""
    from bbcompress.codec.corrector_file import CorrectorInfo, CorrectorModel
    from bbcompress.codec.model_file import load
    from bbcompress.codec.registry import Registry
    from bbcompress.train.corrector_run import bits_without_training

    kind = data.channels, data.levels
    if given is not None:
        model = load(given, engine)
        if not isinstance(model, CorrectorModel) or (model.info.channels, model.info.levels) != kind:
            raise click.UsageError(f"{given} is for other images than these")
        if blocks is not None and blocks < model.corrector.blocks:
            raise click.UsageError(f"{given} has {model.corrector.blocks} residual blocks, more than {blocks}")
        return model
    registry, found = Registry(engine), []
    for path, header in registry.headers():
        if isinstance(header.info, CorrectorInfo) and (header.info.channels, header.info.levels) == kind:
            model = registry.load(path)
            assert isinstance(model, CorrectorModel)
            if blocks is not None and blocks < model.corrector.blocks:
                continue
            if model.corrector.predictors:
                seen = _held_out(data, model.corrector.predictors)
            else:
                seen = by_fits = by_fits or _held_out(data, None)
            alone, corrected = bits_without_training(model.corrector, seen)
            if corrected < (1 - LEAST_GAIN) * alone:
                found.append((corrected, model))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _options(
    data: "Data",
    start: "CorrectorModel | None",
    minutes: float,
    width: int | None,
    blocks: int | None,
    seed: int,
    on_gpu: bool,
) -> "CorrectorOptions":
    from bbcompress.train import plan
    from bbcompress.train.corrector_networks import CorrectorNetworks
    from bbcompress.train.corrector_run import CorrectorOptions

    networks = CorrectorNetworks.restored(start.corrector, blocks) if start else None
    return CorrectorOptions(
        seconds=60 * minutes,
        width=networks.width if networks else width or plan.width(data.training),
        blocks=networks.blocks if networks else plan.BLOCKS if blocks is None else blocks,
        learning_rate=plan.learning_rate(data.training, start is not None),
        scales=plan.scales(data.training),
        strides=plan.STRIDES,
        augment=plan.augmentation(data.training, data.levels),
        bf16=on_gpu or has_fast_bf16(),
        groups=plan.GPU_GROUPS if on_gpu else 1,
        uses=plan.uses(data.training, on_gpu),
        seed=seed,
    )


def _refuse_other_networks(
    checkpoint: Path, options: "CorrectorOptions", width: int | None, blocks: int | None
) -> None:
    if width not in (None, options.width) or blocks not in (None, options.blocks):
        raise ValueError(f"{checkpoint}: of a run of other networks; remove it to start anew")


def _others(data: "Data", engine: "Engine") -> dict[str, float]:
    """Bits/dim of the held-out pictures by shipped models and by another coder, as whole files."""
    from bbcompress.archive.compress import Options
    from bbcompress.codec.registry import Registry
    from bbcompress.train.report import archive_bytes, coded_bytes, quick_peer

    pictures = _pictures(data)
    subpixels = sum(picture.pixels.size for picture in pictures)
    name, coder = quick_peer()
    found = {"shipped models": archive_bytes(pictures, Registry(engine), Options(check=False))}
    of_peer = coded_bytes(pictures, coder)
    if of_peer is not None:
        found[name] = of_peer
    return {name: 8 * size / subpixels for name, size in found.items()}


def _pictures(data: "Data") -> "list[Picture]":
    from bbcompress.train.groups import flat, up_to
    from bbcompress.train.pictures import to_picture

    chosen = up_to(flat(data.held_out), HELD_OUT_SUBPIXELS // data.channels)
    return [to_picture(pixels, data.levels) for pixels in chosen]


def _report(output: Path, log: Path, data: "Data", engine: "Engine") -> None:
    from bbcompress.codec.corrector_file import CorrectorModel
    from bbcompress.codec.model_file import load
    from bbcompress.train.report import Report, examples, quick_peer, read_curve, sizes, text
    from bbcompress.train.report_html import html

    note("Coding the held-out images by all coders to compare")
    model = load(output, engine)
    assert isinstance(model, CorrectorModel)
    pictures = _pictures(data)
    other, coder = quick_peer()
    found = Report(
        model.info.name,
        len(pictures),
        sum(picture.pixels.size for picture in pictures),
        len(data.training),
        sorted(sizes(output, pictures, engine), key=lambda size: size.size_bytes),
        read_curve(log),
        examples(model, pictures, engine, coder),
        other,
    )
    page = output.with_suffix(".html")
    page.write_text(html(found), encoding="utf-8")
    for told in text(found):
        note(told)
    note(f"{output} is the model (bbc compress --model {output} ...), {page} this report with plots")


def _digest(data: "Data") -> str:
    """What tells these pictures from others."""
    found = hashlib.sha256()
    for pixels in [*data.training, *data.held_out]:
        found.update(repr((pixels.shape, pixels.dtype.str)).encode())
        found.update(pixels.reshape(-1)[:: 1 + pixels.size // 1024].tobytes())
    return found.hexdigest()


def has_fast_bf16() -> bool:
    """Whether torch knows of units for bfloat16 in this processor; without them it is slower than float32."""
    import torch

    if not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return False
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
