"""`bbc decompress`."""

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bbcompress.cli.common import (
    ExitCode,
    engine_options,
    errors_as_exit_codes,
    fail,
    installed_models,
    max_pixels_option,
    model_file_option,
    progress,
    read_input,
    write_stdout,
)

if TYPE_CHECKING:
    from bbcompress.archive.read import Archive, Decoded
    from bbcompress.codec.registry import Registry


@click.command()
@click.argument("file")
@click.option(
    "-o",
    "--output",
    help="An image file for one image, else a folder, made if missing (default: named as FILE); - for standard output.",
)
@click.option("--keep-going", is_flag=True, help="Recover what is intact from a damaged file (still ends with code 3).")
@model_file_option
@max_pixels_option
@click.option("-f", "--force", is_flag=True, help="Overwrite files.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@engine_options
def command(
    file: str,
    output: str | None,
    keep_going: bool,
    models: tuple[Path, ...],
    max_pixels: int,
    force: bool,
    quiet: bool,
    engine: str,
    threads: int,
) -> None:
    """Bring back the images of FILE (- for standard input), checked against their hashes.

    \b
    bbc decompress digit.bb -o digit.png
    bbc decompress scans.bb -o scans
    """
    from bbcompress.archive.read import Archive

    with errors_as_exit_codes(file):
        registry = installed_models(engine, threads, models)
        archive = Archive(read_input(file), recover=keep_going)
        if output is None:
            output = "-" if file == "-" else str(_default_output(Path(file), archive))
        if output == "-" or (archive.images == 1 and _is_image_file(output)):
            _write_one(archive, registry, max_pixels, output, force)
        else:
            count = _write_folder(archive, registry, max_pixels, Path(output), force, quiet)
            if not quiet:
                click.echo(f"{output}: {count} images", err=True)
    if archive.damage:
        fail("; ".join([f"{file}: damaged, and recovered only in part", *archive.damage]), ExitCode.DAMAGED)


def _default_output(file: Path, archive: "Archive") -> Path:
    from bbcompress.archive.blocks import Form

    stem = file.with_suffix("")
    if stem == file:
        stem = file.with_name(file.name + ".out")
    return stem.with_name(stem.name + ".*") if archive.form == Form.SINGLE else stem


def _is_image_file(output: str) -> bool:
    from PIL import Image

    suffix = Path(output).suffix.lower()
    return not Path(output).is_dir() and (suffix == ".*" or suffix in Image.registered_extensions())


def _write_one(archive: "Archive", registry: "Registry", max_pixels: int, output: str, force: bool) -> None:
    from bbcompress.images.files import file_bytes, lossless_suffix, lost_metadata, write

    if archive.images != 1:
        fail("standard output takes one image; name a folder with -o", ExitCode.USAGE)
    for decoded in archive.decode(registry, max_pixels):
        suffix = lossless_suffix(decoded.picture)
        if output == "-":
            write_stdout(file_bytes(decoded.picture, suffix, "standard output"))
        else:
            # the default output's suffix is the picture's
            path = Path(output[:-2] + suffix if output.endswith(".*") else output)
            write(decoded.picture, path, overwrite=force)
            _note_lost(lost_metadata(decoded.picture, path), path)


def _note_lost(kinds: list[str], path: Path) -> None:
    if kinds:
        click.echo(f"{path}: without its {', '.join(kinds)}, which {path.suffix} files do not hold", err=True)


def _write_folder(
    archive: "Archive", registry: "Registry", max_pixels: int, folder: Path, force: bool, quiet: bool
) -> int:
    """Decode into a hidden folder beside `folder`, and move the files only when all are there."""
    from bbcompress.images.errors import ImageError
    from bbcompress.images.files import file_bytes, lost_metadata
    from bbcompress.images.place import refuse_existing

    if folder.exists() and not folder.is_dir():
        raise ImageError(f"{folder}: is a file; give a folder for several images")
    if not force:
        for name in archive.names or ():
            refuse_existing(folder / name)
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    hidden = folder.parent / f".bbc-{secrets.token_hex(8)}"
    names: list[str] = []
    taken = set(archive.names or ())
    try:
        hidden.mkdir(parents=True)
        for decoded in progress(archive.decode(registry, max_pixels), archive.images, quiet):
            name = _output_name(decoded, taken)
            path = hidden / name
            if path.exists() or any(parent.is_file() for parent in path.parents):
                raise ImageError(f"{folder / name}: another image has this name, or that of its folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file_bytes(decoded.picture, path.suffix, str(folder / name)))
            _note_lost(lost_metadata(decoded.picture, path), folder / name)
            names.append(name)
        for name in names:
            _refuse_blocked(folder, name)
            if not force:
                refuse_existing(folder / name)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(hidden / name, folder / name)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):  # there are files in it
                parent.rmdir()
    return len(names)


def _refuse_blocked(folder: Path, name: str) -> None:
    """Raise where `name` can be made in `folder` not even by overwriting a file."""
    from bbcompress.images.errors import ImageError

    path = folder / name
    if path.is_dir():
        raise ImageError(f"{path}: is a folder; choose another output folder")
    for parent in path.parents:
        if parent == folder:
            return
        if os.path.lexists(parent) and not parent.is_dir():
            raise ImageError(f"{parent}: is no folder, but one is needed there; choose another output folder")


def _output_name(decoded: "Decoded", taken: set[str]) -> str:
    """The kept name, with a lossless suffix added where its own format cannot hold the picture exactly.

    No name in `taken` is given to a second picture, and new ones are added to it.
    """
    from bbcompress.images.files import holds, lossless_suffix

    name = decoded.name or f"{decoded.number + 1:06d}{lossless_suffix(decoded.picture)}"
    if not holds(decoded.picture, Path(name).suffix):
        name += lossless_suffix(decoded.picture)
        while name in taken:
            name += lossless_suffix(decoded.picture)
    taken.add(name)
    return name
