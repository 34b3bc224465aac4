"""`bbc extract`."""

from pathlib import Path

import click

from bbcompress.cli.common import ANY_FILE, installed_models, opened
from bbcompress.cli.errors import about
from bbcompress.cli.progress_line import shown_progress
from bbcompress.cli.write_images import Settings, write_images, writing_options


@click.command()
@click.argument("file", type=ANY_FILE)
@click.argument("wanted", nargs=-1, required=True, metavar="NAME|PATTERN|RANGE...")
@click.option(
    "-o",
    "--output",
    type=ANY_FILE,
    metavar="FOLDER|FILE",
    default=".",
    show_default="the current folder",
    help="A folder, made if missing; for one image also a file, or - for standard output.",
)
@writing_options
def command(
    file: str,
    wanted: tuple[str, ...],
    output: str,
    keep_going: bool,
    models: tuple[Path, ...],
    max_pixels: int,
    force: bool,
    no_times: bool,
    quiet: bool,
    engine: str,
    threads: int,
) -> None:
    """Bring back some images of FILE (- for standard input). Segments that hold none of them are not read.

    Images are wanted by name, by the name of a folder, by number, from 0 on as in `bbc list -l`, by a range i:j of
    numbers (without j), or by a pattern, in which * and ? stand for anything, / too, and [ab] for either letter. What
    is the name of an image means that image, even if it looks like a number, a range or a pattern. An array comes back
    whole by its name or a pattern, and its images as PNG by their names, x.npy[7], by ranges, x.npy[10:20], and by
    numbers.

    \b
    bbc extract scans.bb a/7.png
    bbc extract scans.bb 'a/*.png' 100:200 -o some
    """
    from bbcompress.archive.read import ArchiveReader
    from bbcompress.archive.select import select
    from bbcompress.cli.wanted import Wanted

    if not file or output == "":
        raise click.UsageError("a file's name is empty")
    with about(file), opened(file) as source, shown_progress(quiet) as progress:
        archive = ArchiveReader(source, recover=keep_going)
        selection = select(wanted, archive.names, archive.images, archive.arrays)
        settings = Settings(force, not no_times, keep_going, max_pixels, progress)
        registry = installed_models(engine, threads, models)
        write_images(Wanted(archive, registry, file, selection), output, settings, quiet)
