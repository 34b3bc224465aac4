"""`bbc append`."""

import os
from pathlib import Path
from typing import Any

import click

from bbcompress.cli.common import ANY_FILE, writing
from bbcompress.cli.compressing import Asked, compressing_options
from bbcompress.cli.errors import ExitCode, about, fail
from bbcompress.cli.progress_line import shown_progress


@click.command()
@click.argument("archive", type=ANY_FILE, metavar="ARCHIVE")
@click.argument("images", nargs=-1, type=ANY_FILE, metavar="IMAGE...")
@click.option("-f", "--force", is_flag=True, help="Replace images of the archive that have the same names.")
@compressing_options
def command(archive: str, images: tuple[str, ...], force: bool, **options: Any) -> None:
    """Add images, or folders of them, to an archive. The sources are kept.

    What the archive has is copied as it is into a new one beside it, which takes the old one's place when it is whole
    and checked: until then, and whatever stops it, the old archive stays. Names that are there are refused; with -f the
    new image takes the old one's place, and what was in one segment with that is coded again.

    \b
    bbc append scans.bb new/*.png
    """
    from bbcompress.archive.append import alone, append_archive
    from bbcompress.archive.read import ArchiveReader
    from bbcompress.archive.source import Source
    from bbcompress.cli.inputs import STDIN
    from bbcompress.images.place import Attributes
    from bbcompress.images.remote import is_url

    asked = Asked(**options)
    if "" in images:
        raise click.UsageError("a file's name is empty")
    if not images and asked.files_from is None:
        raise click.UsageError("name images, or folders of them")
    if STDIN in images:
        raise click.UsageError("standard input has no name to add it by; write it to a file")
    if is_url(archive):
        fail(f"{archive}: adds to archives of this machine only; copy it here, and back", ExitCode.USAGE)
    with about(archive), shown_progress(asked.quiet or asked.verbose) as progress:
        registry, how = asked.options(progress)
        with (
            asked.listed(images, archive, registry, how) as listed,
            open(archive, "rb") as file,
            alone(file, Path(archive)),
            writing(archive, overwrite=True) as new,
        ):
            old = ArchiveReader(Source(file))
            progress.total = sum(one.peek.pixels for one in listed.files)
            tree = listed.tree(times=not asked.no_times)
            new.attributes = Attributes(os.fstat(file.fileno()).st_mode & 0o777 & (listed.mode | 0o600))
            inputs, encode = asked.inputs(listed), asked.encode(registry, how)
            summary = append_archive(old, new.file, inputs, encode, registry, how, tree, force)
    asked.note_summary(archive, summary)
