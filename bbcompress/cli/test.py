"""`bbc test`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bbcompress.cli.common import (
    ANY_FILE,
    engine_options,
    installed_models,
    max_pixels_option,
    model_file_option,
    opened,
)
from bbcompress.cli.errors import ExitCode, about, explained
from bbcompress.cli.progress_line import shown_progress
from bbcompress.cli.terminal import note, result

if TYPE_CHECKING:
    from bbcompress.archive.read import ArchiveReader
    from bbcompress.codec.registry import Registry

_TOLD = 5
"""Faults of a file that are described."""


@click.command()
@click.argument("files", nargs=-1, required=True, type=ANY_FILE, metavar="FILE...")
@model_file_option
@max_pixels_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@engine_options
def command(
    files: tuple[str, ...], models: tuple[Path, ...], max_pixels: int, quiet: bool, engine: str, threads: int
) -> None:
    """Decode each FILE (- for standard input) and check every checksum and pixel hash, writing nothing.

    What is wrong is told on standard error, and the names of all images that cannot be brought back are printed; the
    others can, with `bbc extract` or `bbc decompress --keep-going`. The exit code is that of the first file that is
    not sound.
    """
    worst = ExitCode.OK
    for file in files:
        registry = installed_models(engine, threads, models)
        code = _tested(file, registry, max_pixels, quiet)
        worst = worst or code
    if worst:
        raise SystemExit(worst)


def _tested(file: str, registry: "Registry", max_pixels: int, quiet: bool) -> ExitCode:
    from bbcompress.archive.errors import ArchiveError
    from bbcompress.archive.read import ArchiveReader

    try:
        with about(file), opened(file) as source, shown_progress(quiet) as progress:
            archive = ArchiveReader(source, recover=True)
            images = sum(1 for _ in archive.decode(registry, max_pixels, progress, processes=True))
            if not archive.damage:
                if not quiet:
                    result(f"{file}: ok, {images} images")
                return ExitCode.OK
            _tell(file, archive)
            codes = [explained(error)[1] for _, error in archive.lost]
            return ExitCode.DAMAGED if len(codes) < len(archive.damage) else min(codes)
    except (ArchiveError, OSError) as error:
        message, code = explained(error)
        note(f"bbc: {message}")
        return code


def _tell(file: str, archive: "ArchiveReader") -> None:
    """One line of what is wrong, and the names of what is lost as results."""
    from bbcompress.archive.arrays import array_at

    arrays: dict[int, str] = {}
    for part, _ in archive.lost:
        for number in part.numbers.tolist():
            array = array_at(archive.arrays, number)
            if array is not None:
                arrays[array.first] = str(array.name)
            elif archive.names and number < len(archive.names):
                result(f"{file}: lost: {archive.names[number]}")
    for name in arrays.values():
        result(f"{file}: lost: {name}")
    more = len(archive.damage) - _TOLD
    note("; ".join([f"bbc: {file}: {archive.damage[0]}", *archive.damage[1:_TOLD], *[f"and {more} more"][: more > 0]]))
