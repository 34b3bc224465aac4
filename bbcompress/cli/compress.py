"""`bbc compress`."""

import os
from dataclasses import replace
from pathlib import Path

import click

from bbcompress.cli.common import (
    MAX_REFINE_STEPS,
    engine_options,
    errors_as_exit_codes,
    progress,
    refine_method_option,
    registry_and_model,
    write_stdout,
)


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-o", "--output", help="File to write; - for standard output. One image's default is its name with .bb.")
@click.option("--model", default="auto", show_default=True, help="A model's name or file, or auto: the smallest.")
@click.option(
    "--refine-steps",
    type=click.IntRange(0, MAX_REFINE_STEPS),
    default=0,
    show_default=True,
    metavar="K",
    help="Optimise each image's posterior by K steps: smaller for digits and with the paper's models, hardly for "
    "photographs; slower both ways (archives only; `bbc bench` compares).",
)
@refine_method_option
@click.option(
    "--strip",
    is_flag=True,
    help="Leave out metadata: ICC profile, EXIF, XMP, text, resolution, gamma. What is kept as a file keeps them.",
)
@click.option("--pixels", is_flag=True, help="Refuse files that would be kept as they are instead of as pixels.")
@click.option("--check/--no-check", default=True, help="Decode what was written and compare (default: check).")
@click.option(
    "--fast", is_flag=True, help="Choose how to code by estimates alone, without trying the best ways in full."
)
@click.option("-v", "--verbose", is_flag=True, help="Say what was chosen, and why.")
@click.option("-f", "--force", is_flag=True, help="Overwrite the output.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@engine_options
def command(
    images: tuple[str, ...],
    output: str | None,
    model: str,
    refine_steps: int,
    refine_method: str,
    strip: bool,
    pixels: bool,
    check: bool,
    fast: bool,
    verbose: bool,
    force: bool,
    quiet: bool,
    engine: str,
    threads: int,
) -> None:
    """Compress images, or folders of them, into one file. The sources are kept.

    Files that are no images, would not come back whole from pixels, or are smaller as they are, are kept as they are.

    \b
    bbc compress digit.png -o digit.bb
    bbc compress scans/ -o scans.bb --refine-steps 10
    """
    from bbcompress.archive.compress import Options, compress_archive, compress_single
    from bbcompress.cli.inputs import STDIN, listed_images, read_images
    from bbcompress.codec.refine import Method
    from bbcompress.images.place import place, refuse_existing

    one_file = len(images) == 1 and not Path(images[0]).is_dir()
    if output is None:
        if not one_file:
            raise click.UsageError("several images or a folder: name the file to write with -o")
        output = "-" if images[0] == STDIN else str(Path(images[0]).with_suffix(".bb"))
    if images.count(STDIN) > 1:
        raise click.UsageError("- can be given once")
    with errors_as_exit_codes(output):
        if output != "-" and not force:
            refuse_existing(Path(output))
        registry, chosen = registry_and_model(model, engine, threads)
        options = Options(refine_steps, chosen, check, Method[refine_method.upper()], fast)
        if verbose:
            options = replace(options, report=lambda text: click.echo(text, err=True))
        listed = listed_images(images)
        if any(path and os.path.exists(output) and os.path.samefile(path, output) for _, path in listed):
            raise click.UsageError(f"{output} is one of the images; name another file to write with -o")
        pictures = read_images(listed, strip, pixels)
        if one_file:
            data, summary = compress_single(next(pictures)[1], registry, options)
        else:
            data, summary = compress_archive(progress(pictures, len(listed), quiet), registry, options)
        if output == "-":
            write_stdout(data)
        else:
            place(Path(output), data, overwrite=force)
    if not quiet:
        methods = ", ".join(f"{count} {name}" for name, count in sorted(summary.methods.items()))
        line = f"{output}: {summary.total_bytes} bytes for {summary.images} images ({methods})"
        if not summary.kept:
            line += f": {summary.total_bits_per_dim:.4f} bits/dim, {summary.net_bits_per_dim:.4f} net"
        click.echo("\n".join([line, *map(_kept_line, summary.reasons)]), err=True)


def _kept_line(found: tuple[str, int]) -> str:
    reason, count = found
    return f"kept as a file: {reason}" if count == 1 else f"{count} kept as files: {reason}"
