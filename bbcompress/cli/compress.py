"""`bbc compress`."""

from pathlib import Path
from typing import Any

import click

from bbcompress.cli.common import ANY_FILE, writing
from bbcompress.cli.compressing import Asked, compressing_options
from bbcompress.cli.errors import about
from bbcompress.cli.progress_line import shown_progress


@click.command()
@click.argument("images", nargs=-1, type=ANY_FILE, metavar="IMAGE...")
@click.option(
    "-o",
    "--output",
    type=ANY_FILE,
    metavar="FILE",
    help="File to write; - for standard output. One image's default is its name with .bb. A FIFO or a device such as "
    "/dev/null is written into; a link is refused.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite the output.")
@compressing_options
def command(images: tuple[str, ...], output: str | None, force: bool, **options: Any) -> None:
    """Compress images, or folders of them, into one file. The sources are kept.

    Files that are no images, would not come back whole from pixels, or are smaller as they are, are kept as they are.
    Arrays (.npy, .npz, IDX, CIFAR batches) are coded image by image, and come back as the same files.

    Folders are kept with their files' permissions and times; links to files are read, links to folders are not
    followed. A GLOB without a slash is for names, one with a slash for paths below the folder.

    The output is in its place when it is whole and checked; what is killed (kill -9) leaves a hidden file named .bbc-*.
    Who may not read all sources may not read it.

    \b
    bbc compress digit.png -o digit.bb
    bbc compress scans/ -o scans.bb --include '*.png' --exclude 'drafts/*'
    bbc compress --scheduler tcp://host:8786 s3://bucket/scans -o s3://bucket/scans.bb
    find . -name '*.tif' -print0 | bbc compress -o scans.bb --files-from - -0
    """
    from bbcompress.archive.compress import compress_single, write_archive
    from bbcompress.cli.inputs import STDIN
    from bbcompress.images.place import Attributes, check_output
    from bbcompress.images.remote import Url, check_url, is_url

    asked = Asked(**options)
    if output == "" or "" in images:
        raise click.UsageError("a file's name is empty")
    if not images and asked.files_from is None:
        raise click.UsageError("name images, or folders of them")
    one_file = len(images) == 1 and asked.files_from is None
    if one_file:
        one_file = not (Url(images[0]).is_folder() if is_url(images[0]) else Path(images[0]).is_dir())
    if output is None:
        if any(map(is_url, images)):
            raise click.UsageError("name the file to write with -o")
        if not one_file:
            raise click.UsageError("several images or a folder: name the file to write with -o")
        output = "-" if images[0] == STDIN else str(Path(images[0]).with_suffix(".bb"))
    if [*images, asked.files_from].count(STDIN) > 1:
        raise click.UsageError("- can be given once")
    with about(output), shown_progress(asked.quiet or asked.verbose) as progress:
        if is_url(output):
            check_url(Url(output), overwrite=force)
        elif output != "-":
            check_output(Path(output), overwrite=force)
        registry, how = asked.options(progress)
        with asked.listed(images, output, registry, how) as listed, writing(output, force) as new:
            if one_file and listed.files[0].array is None:
                (only,) = asked.inputs(listed)
                item = only.read()
                asked.note_kept(only.name, item)
                data, summary = compress_single(item, registry, how)
                new.file.write(data)
                new.attributes = listed.files[0].attributes
            else:
                progress.total = sum(file.peek.pixels for file in listed.files)
                tree = listed.tree(times=not asked.no_times)
                summary = write_archive(new.file, asked.inputs(listed), asked.encode(registry, how), how, tree)
                new.attributes = Attributes(listed.mode)
            if asked.no_times:
                new.attributes = new.attributes._replace(mtime_ns=None)
    asked.note_summary(output, summary)
