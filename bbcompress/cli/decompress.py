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
    model_file_option,
    progress,
    read_input,
    write_stdout,
)

if TYPE_CHECKING:
    from bbcompress.archive.read import Archive
    from bbcompress.codec.registry import Registry


@click.command()
@click.argument("file")
@click.option(
    "-o",
    "--output",
    help="An image file for one image, else a folder, made if missing (default: named as FILE, or as the file kept in "
    "it); - for standard output. Another format than the image's own is written where it holds every pixel.",
)
@click.option("--keep-going", is_flag=True, help="Recover what is intact from a damaged file (still ends with code 3).")
@model_file_option
@click.option("-f", "--force", is_flag=True, help="Overwrite files.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@engine_options
def command(
    file: str,
    output: str | None,
    keep_going: bool,
    models: tuple[Path, ...],
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
        if output == "-" or _is_one_file(output, archive):
            _write_one(archive, registry, output, force)
        else:
            count = _write_folder(archive, registry, Path(output), force, quiet)
            if not quiet:
                click.echo(f"{output}: {count} images", err=True)
    if archive.damage:
        fail("; ".join([f"{file}: damaged, and recovered only in part", *archive.damage]), ExitCode.DAMAGED)


def _default_output(file: Path, archive: "Archive") -> Path:
    """A file beside `file` for the small form: a kept file's name, or the stem and a suffix to come (`.*`). Else a
    folder."""
    from bbcompress.archive.blocks import Form

    stem = file.with_suffix("")
    if stem == file:
        stem = file.with_name(file.name + ".out")
    if archive.form != Form.SINGLE:
        return stem
    kept = archive.kept_name
    if kept is None:
        return stem.with_name(stem.name + ".*")
    return file.with_name(kept) if kept and not kept.startswith("*") else stem.with_name(stem.name + kept[1:])


def _is_one_file(output: str, archive: "Archive") -> bool:
    """Whether `output` is to be a file, not a folder: by its suffix."""
    from PIL import Image

    if archive.images != 1 or Path(output).is_dir():
        return False
    suffix = Path(output).suffix.lower()
    if archive.kept_name is not None and suffix == Path(archive.kept_name).suffix.lower():
        return True
    return suffix == ".*" or suffix in Image.registered_extensions()


def _write_one(archive: "Archive", registry: "Registry", output: str, force: bool) -> None:
    from bbcompress.images.convert import for_suffix
    from bbcompress.images.files import file_bytes, suffix_of
    from bbcompress.images.place import place, refuse_existing

    if archive.images != 1:
        fail("standard output takes one image; name a folder with -o", ExitCode.USAGE)
    for decoded in archive.decode(registry):
        if output == "-":
            write_stdout(file_bytes(decoded.picture))
            continue
        # the default output's suffix is the picture's
        path = Path(output[:-2] + suffix_of(decoded.picture) if output.endswith(".*") else output)
        if not force:
            refuse_existing(path)  # before the work, not only after it
        data, lost = for_suffix(decoded.picture, path.suffix, str(path))
        place(path, data, overwrite=force)
        _note_lost(lost, path)


def _note_lost(kinds: list[str], path: Path) -> None:
    if kinds:
        click.echo(f"{path}: without its {', '.join(kinds)}, which {path.suffix} files do not hold", err=True)


def _write_folder(archive: "Archive", registry: "Registry", folder: Path, force: bool, quiet: bool) -> int:
    """Decode into a hidden folder beside `folder`, and move the files only when all are there."""
    from bbcompress.images.errors import ImageError
    from bbcompress.images.files import file_bytes, suffix_of
    from bbcompress.images.place import refuse_existing

    if folder.exists() and not folder.is_dir():
        raise ImageError(f"{folder}: is a file; give a folder for several images")
    if not force:
        for name in archive.names or ():
            refuse_existing(folder / name)
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    hidden = folder.parent / f".bbc-{secrets.token_hex(8)}"
    names: list[str] = []
    try:
        hidden.mkdir(parents=True)
        for decoded in progress(archive.decode(registry), archive.images, quiet):
            name = decoded.name or f"{decoded.number + 1:06d}{suffix_of(decoded.picture)}"
            path = hidden / name
            if path.exists() or any(parent.is_file() for parent in path.parents):
                raise ImageError(f"{folder / name}: another image has this name, or that of its folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file_bytes(decoded.picture))
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
