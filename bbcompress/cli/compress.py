"""`bbc compress`."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bbcompress.cli.common import (
    MAX_REFINE_STEPS,
    engine_options,
    max_pixels_option,
    refine_method_option,
    registry_and_model,
    write_stdout,
)
from bbcompress.cli.errors import about
from bbcompress.cli.progress_line import shown_progress
from bbcompress.cli.terminal import note

if TYPE_CHECKING:
    from bbcompress.images.picture import Item
    from bbcompress.progress import Progress


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "-o",
    "--output",
    help="File to write; - for standard output. One image's default is its name with .bb. A FIFO or a device such as "
    "/dev/null is written into; a link is refused.",
)
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
@max_pixels_option
@click.option(
    "--strip",
    is_flag=True,
    help="Leave out metadata: ICC profile, EXIF, XMP, text, resolution, gamma. What is kept as a file keeps them.",
)
@click.option("--pixels", is_flag=True, help="Refuse files that would be kept as they are instead of as pixels.")
@click.option("--check/--no-check", default=True, help="Decode what was written and compare (default: check).")
@click.option(
    "--effort",
    type=click.IntRange(1, 2),
    default=2,
    show_default=True,
    help="1: quick, each picture by what it says of itself alone; 2: with networks, and what is promising is tried.",
)
@click.option("--no-times", is_flag=True, help="Leave out the times of files (permissions are kept).")
@click.option("-v", "--verbose", is_flag=True, help="Say what was chosen, and why.")
@click.option("-f", "--force", is_flag=True, help="Overwrite the output.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors and warnings.")
@engine_options
def command(
    images: tuple[str, ...],
    output: str | None,
    model: str,
    refine_steps: int,
    refine_method: str,
    max_pixels: int,
    strip: bool,
    pixels: bool,
    check: bool,
    effort: int,
    no_times: bool,
    verbose: bool,
    force: bool,
    quiet: bool,
    engine: str,
    threads: int,
) -> None:
    """Compress images, or folders of them, into one file. The sources are kept.

    Files that are no images, would not come back whole from pixels, or are smaller as they are, are kept as they are.
    Folders are kept with their files' permissions and times; links to files are read, links to folders are not
    followed. Who may not read all sources may not read the file. It is in its place when it is whole and checked; what
    is killed (kill -9) leaves a hidden file named .bbc-*.

    \b
    bbc compress digit.png -o digit.bb
    bbc compress scans/ -o scans.bb --refine-steps 10
    """
    from bbcompress.archive.compress import Options, compress_archive, compress_single
    from bbcompress.cli.inputs import STDIN, listed_images, read_images
    from bbcompress.codec.refine import Method
    from bbcompress.images.place import Attributes, check_output, place

    if output == "" or "" in images:
        raise click.UsageError("a file's name is empty")
    one_file = len(images) == 1 and not Path(images[0]).is_dir()
    if output is None:
        if not one_file:
            raise click.UsageError("several images or a folder: name the file to write with -o")
        output = "-" if images[0] == STDIN else str(Path(images[0]).with_suffix(".bb"))
    if images.count(STDIN) > 1:
        raise click.UsageError("- can be given once")
    with about(output), shown_progress(quiet or verbose) as progress:
        if output != "-":
            check_output(Path(output), overwrite=force)
        registry, chosen = registry_and_model(model, engine, threads)
        options = Options(refine_steps, chosen, check, Method[refine_method.upper()], effort, progress=progress)
        if verbose:
            registry.engine.report = note
            options = replace(options, report=note)
        listed = listed_images(images)
        if output != "-" and any(path and _is_same(path, output) for _, path in listed.files):
            raise click.UsageError(f"{output} is one of the images; name another file to write with -o")
        for line in listed.left_out:
            note(f"bbc: warning: {line}")
        items = read_images(listed.files, strip, pixels, max_pixels)
        if one_file:
            data, summary = compress_single(next(items)[1], registry, options)
            attributes = listed.attributes[0]
        else:
            told = _telling(items, listed.sizes, progress)
            data, summary = compress_archive(told, registry, options, listed.tree(times=not no_times))
            attributes = Attributes(listed.mode)
        if output == "-":
            write_stdout(data)
        else:
            if no_times:
                attributes = attributes._replace(mtime_ns=None)
            place(Path(output), data, overwrite=force, attributes=attributes)
    if refine_steps and not summary.refinable:
        note("bbc: --refine-steps has no effect here: nothing was coded with latents")
    if not quiet:
        methods = ", ".join(f"{count} {name}" for name, count in sorted(summary.methods.items()))
        line = f"{output}: {summary.total_bytes} bytes for {summary.images} images ({methods})"
        if not summary.kept:
            line += f": {summary.total_bits_per_dim:.4f} bits/dim, {summary.net_bits_per_dim:.4f} net"
        note(line)
        for reason, count in summary.reasons:
            note(f"kept as a file: {reason}" if count == 1 else f"{count} kept as files: {reason}")


def _is_same(path: Path, output: str) -> bool:
    try:
        return os.path.samefile(path, output)
    except OSError:  # there is no output yet
        return False


def _telling(
    items: "Iterable[tuple[str, Item]]", sizes: list[int], progress: "Progress"
) -> "Iterator[tuple[str, Item]]":
    """The items; `progress` gets to know how many pixels all have, by what those read have for the bytes of their
    files."""
    from bbcompress.archive.compress import pixels_of

    pixels, read_bytes, all_bytes = 0, 0, sum(sizes)
    for (name, item), size in zip(items, sizes, strict=True):
        pixels += pixels_of([item])
        read_bytes += size
        progress.total = pixels * all_bytes / max(1, read_bytes)
        yield name, item
