"""`bbc compress`."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bbcompress.cli.common import (
    MAX_REFINE_STEPS,
    MAX_SEGMENT_PIXELS,
    SEGMENT_PIXELS,
    engine_options,
    installed_models,
    max_pixels_option,
    model_files,
    refine_method_option,
    registry_and_model,
    writing,
)
from bbcompress.cli.errors import about
from bbcompress.cli.progress_line import shown_progress
from bbcompress.cli.terminal import note

if TYPE_CHECKING:
    from bbcompress.archive.compress import Encode
    from bbcompress.archive.encode_job import Encoded
    from bbcompress.archive.jobs import Job


@click.command()
@click.argument("images", nargs=-1, metavar="IMAGE...")
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
@click.option(
    "--segment-size",
    type=click.IntRange(1, MAX_SEGMENT_PIXELS),
    default=SEGMENT_PIXELS,
    show_default=True,
    metavar="PIXELS",
    help="Pixels that are coded together: smaller ones are quicker to read one image of, larger ones take fewer bytes. "
    "An image of more is one by itself.",
)
@click.option("--include", multiple=True, metavar="GLOB", help="Of folders take only files that match one of these.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Of folders leave out files and folders that match.")
@click.option(
    "--files-from",
    metavar="FILE",
    help="Also compress what is named in FILE (- for standard input), one name a line, kept with its path.",
)
@click.option("-0", "--null", is_flag=True, help="Names of --files-from end in zero bytes, as of find -print0.")
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
    segment_size: int,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    files_from: str | None,
    null: bool,
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
    followed. A GLOB without a slash is for names, one with a slash for paths below the folder. Who may not read all
    sources may not read the file. It is in its place when it is whole and checked; what is killed (kill -9) leaves a
    hidden file named .bbc-*. -T images, or segments of small ones, are in memory at a time.

    \b
    bbc compress digit.png -o digit.bb
    bbc compress scans/ -o scans.bb --include '*.png' --exclude 'drafts/*'
    find . -name '*.tif' -print0 | bbc compress -o scans.bb --files-from - -0
    """
    from bbcompress.archive.compress import Options, compress_single, write_archive
    from bbcompress.archive.processes import spread
    from bbcompress.cli.globs import Globs
    from bbcompress.cli.inputs import STDIN, listed_images, names_in
    from bbcompress.cli.reading import Reading, sources
    from bbcompress.codec.refine import Method
    from bbcompress.images.picture import KeptFile
    from bbcompress.images.place import Attributes, check_output

    if output == "" or "" in images:
        raise click.UsageError("a file's name is empty")
    if not images and files_from is None:
        raise click.UsageError("name images, or folders of them")
    one_file = len(images) == 1 and files_from is None and not Path(images[0]).is_dir()
    if output is None:
        if not one_file:
            raise click.UsageError("several images or a folder: name the file to write with -o")
        output = "-" if images[0] == STDIN else str(Path(images[0]).with_suffix(".bb"))
    if [*images, files_from].count(STDIN) > 1:
        raise click.UsageError("- can be given once")
    with about(output), shown_progress(quiet or verbose) as progress:
        if output != "-":
            check_output(Path(output), overwrite=force)
        registry, chosen = registry_and_model(model, engine, threads)
        options = Options(
            refine_steps, chosen, check, Method[refine_method.upper()], effort, segment_size, progress=progress
        )
        if verbose:
            registry.engine.report = note
            options = replace(options, report=note)
        names = names_in(files_from, null) if files_from is not None else []
        listed = listed_images(images, Globs(include, exclude), names)
        if output != "-" and any(file.path and _is_same(file.path, output) for file in listed.files):
            raise click.UsageError(f"{output} is one of the images; name another file to write with -o")
        for line in listed.left_out:
            note(f"bbc: warning: {line}")
        reading = Reading(strip, pixels, max_pixels)
        with writing(output, force) as new:
            if one_file:
                (source,) = sources(listed.files, reading)
                item = source.read()
                if strip and isinstance(item, KeptFile):
                    _note_kept(source.name, item.reason)
                data, summary = compress_single(item, registry, options)
                new.file.write(data)
                new.attributes = listed.files[0].attributes
            else:
                progress.total = sum(file.peek.pixels for file in listed.files)
                encode = spread(partial(installed_models, engine, files=model_files(model)), options, threads)
                tree = listed.tree(times=not no_times)
                encode = _noting_kept(encode) if strip else encode
                summary = write_archive(new.file, sources(listed.files, reading), encode, options, tree)
                new.attributes = Attributes(listed.mode)
            if no_times:
                new.attributes = new.attributes._replace(mtime_ns=None)
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


def _noting_kept(encode: "Encode") -> "Encode":
    """The same, which says of files that are kept that their metadata are kept too."""

    def noting(jobs: "Iterable[Job]") -> "Iterator[Encoded]":
        for encoded in encode(jobs):
            for name, reason in encoded.kept:
                _note_kept(name, reason)
            yield encoded

    return noting


def _note_kept(name: str, reason: str) -> None:
    note(f"{name}: kept as a file ({reason}), with its metadata")
