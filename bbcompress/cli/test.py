"""`bbc test`."""

from pathlib import Path

import click

from bbcompress.cli.common import (
    engine_options,
    installed_models,
    max_pixels_option,
    model_file_option,
    read_input,
)
from bbcompress.cli.errors import about
from bbcompress.cli.progress_line import shown_progress
from bbcompress.cli.terminal import result


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@model_file_option
@max_pixels_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@engine_options
def command(
    files: tuple[str, ...], models: tuple[Path, ...], max_pixels: int, quiet: bool, engine: str, threads: int
) -> None:
    """Decode each FILE and check every checksum and pixel hash, writing nothing."""
    from bbcompress.archive.read import Archive

    for file in files:
        with about(file), shown_progress(quiet) as progress:
            registry = installed_models(engine, threads, models)
            images = sum(1 for _ in Archive(read_input(file)).decode(registry, max_pixels, progress))
        if not quiet:
            result(f"{file}: ok, {images} images")
