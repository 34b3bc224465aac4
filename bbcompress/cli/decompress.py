"""`bbc decompress`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bbcompress.cli.common import ANY_FILE, installed_models, opened
from bbcompress.cli.errors import about
from bbcompress.cli.progress_line import shown_progress
from bbcompress.cli.write_images import Settings, write_images, writing_options

if TYPE_CHECKING:
    from bbcompress.archive.read import ArchiveReader


@click.command()
@click.argument("file", type=ANY_FILE)
@click.option(
    "-o",
    "--output",
    type=ANY_FILE,
    metavar="FILE|FOLDER",
    help="A file for one image, else a folder, made if missing (default: named as FILE, or as the file kept in it); - "
    "for standard output. Another format than the image's own is written where it holds every pixel. A FIFO or a "
    "device such as /dev/null is written into; a link is refused, as is what leads out of the folder.",
)
@writing_options
def command(
    file: str,
    output: str | None,
    keep_going: bool,
    models: tuple[Path, ...],
    max_pixels: int,
    force: bool,
    no_times: bool,
    quiet: bool,
    engine: str,
    threads: int,
) -> None:
    """Bring back the images of FILE (- for standard input), checked against their hashes.

    Permissions and times come back too. Names that cannot be written where they should are shortened, and told. Nothing
    is in its place before all is decoded; what is killed (kill -9) leaves hidden files or folders named .bbc-*.

    \b
    bbc decompress digit.bb -o digit.png
    bbc decompress scans.bb -o scans
    """
    from bbcompress.archive.read import ArchiveReader
    from bbcompress.cli.wanted import Wanted
    from bbcompress.images.remote import is_url

    if not file or output == "":
        raise click.UsageError("a file's name is empty")
    with about(file), opened(file) as source, shown_progress(quiet) as progress:
        archive = ArchiveReader(source, recover=keep_going)
        if output is None and is_url(file):
            raise click.UsageError("name what to write with -o")
        if output is None:
            output = "-" if file == "-" else str(_default_output(Path(file), archive))
        wanted = Wanted(archive, installed_models(engine, threads, models), file)
        write_images(wanted, output, Settings(force, not no_times, keep_going, max_pixels, progress), quiet)


def _default_output(file: Path, archive: "ArchiveReader") -> Path:
    """A file beside `file` for the small form: a kept file's name, or the stem and a suffix to come (`.*`). So for an
    archive of one array. Else a folder."""
    from bbcompress.archive.blocks import Form
    from bbcompress.cli.target_names import possible_names

    stem = file.with_suffix("")
    if stem == file:
        stem = file.with_name(file.name + ".out")
    kept = archive.kept_name
    if archive.form != Form.SINGLE:
        if [array.file.pictures for array in archive.arrays] != [archive.images] or archive.arrays[0].name is None:
            return stem
        kept = archive.arrays[0].name.rpartition("/")[2]
    if kept is None:
        return stem.with_name(stem.name + ".*")
    if kept and not kept.startswith("*"):
        return file.with_name(next(possible_names(kept, kept, windows=os.name == "nt")))
    return stem.with_name(stem.name + kept[1:])
