"""`bbc decompress`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from bbcompress.cli.common import (
    engine_options,
    installed_models,
    max_pixels_option,
    model_file_option,
    read_input,
    write_stdout,
)
from bbcompress.cli.errors import ExitCode, about, fail
from bbcompress.cli.progress_line import shown_progress
from bbcompress.cli.terminal import note

if TYPE_CHECKING:
    from bbcompress.archive.read import Archive, Decoded
    from bbcompress.codec.registry import Registry
    from bbcompress.images.place import Attributes
    from bbcompress.progress import Progress


class _Settings(NamedTuple):
    """How to write."""

    force: bool
    times: bool
    keep_going: bool
    max_pixels: int
    progress: "Progress"


@click.command()
@click.argument("file")
@click.option(
    "-o",
    "--output",
    help="A file for one image, else a folder, made if missing (default: named as FILE, or as the file kept in it); - "
    "for standard output. Another format than the image's own is written where it holds every pixel. A FIFO or a "
    "device such as /dev/null is written into; a link is refused, as is what leads out of the folder.",
)
@click.option("--keep-going", is_flag=True, help="Recover what is intact from a damaged file (still ends with code 3).")
@model_file_option
@max_pixels_option
@click.option("-f", "--force", is_flag=True, help="Overwrite files.")
@click.option("--no-times", is_flag=True, help="Leave the times of files as they come, not as they were.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@engine_options
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
    from bbcompress.archive.read import Archive

    if not file or output == "":
        raise click.UsageError("a file's name is empty")
    with about(file), shown_progress(quiet) as progress:
        settings = _Settings(force, not no_times, keep_going, max_pixels, progress)
        registry = installed_models(engine, threads, models)
        archive = Archive(read_input(file), recover=keep_going)
        if output is None:
            output = "-" if file == "-" else str(_default_output(Path(file), archive))
        count = None
        if output == "-" or _is_one_file(output, archive):
            _write_one(archive, registry, file, output, settings)
        else:
            count = _write_folder(archive, registry, Path(output), settings)
    if count is not None and not quiet:
        note(f"{output}: {count} images")
    if archive.damage:
        fail("; ".join([f"{file}: damaged, and recovered only in part", *archive.damage]), ExitCode.DAMAGED)


def _default_output(file: Path, archive: "Archive") -> Path:
    """A file beside `file` for the small form: a kept file's name, or the stem and a suffix to come (`.*`). Else a
    folder."""
    from bbcompress.archive.blocks import Form
    from bbcompress.cli.target_names import possible_names

    stem = file.with_suffix("")
    if stem == file:
        stem = file.with_name(file.name + ".out")
    if archive.form != Form.SINGLE:
        return stem
    kept = archive.kept_name
    if kept is None:
        return stem.with_name(stem.name + ".*")
    if kept and not kept.startswith("*"):
        return file.with_name(next(possible_names(kept, kept, windows=os.name == "nt")))
    return stem.with_name(stem.name + kept[1:])


def _is_one_file(output: str, archive: "Archive") -> bool:
    """Whether `output` is to be a file, not a folder: by its suffix."""
    from PIL import Image

    from bbcompress.images.place import is_stream

    path = Path(output)
    if archive.images != 1 or path.is_dir():
        return False
    suffix = path.suffix.lower()
    if is_stream(path) or (archive.kept_name is not None and suffix == Path(archive.kept_name).suffix.lower()):
        return True
    if suffix == ".*":
        return True
    # the usual ones are known at once; for all others all of Pillow's formats are loaded
    Image.preinit()
    return suffix in Image.EXTENSION or suffix in Image.registered_extensions()


def _write_one(archive: "Archive", registry: "Registry", file: str, output: str, settings: _Settings) -> None:
    from bbcompress.images.convert import for_suffix
    from bbcompress.images.files import file_bytes, suffix_of
    from bbcompress.images.place import check_output, is_stream, place

    if archive.images != 1:
        fail("standard output takes one image; name a folder with -o", ExitCode.USAGE)
    if output != "-" and not output.endswith(".*"):
        check_output(Path(output), overwrite=settings.force)  # before the work
    for decoded in archive.decode(registry, settings.max_pixels, settings.progress):
        if output == "-":
            write_stdout(file_bytes(decoded.picture))
            continue
        # the default output's suffix is the picture's
        path = Path(output[:-2] + suffix_of(decoded.picture) if output.endswith(".*") else output)
        check_output(path, overwrite=settings.force)
        suffix = suffix_of(decoded.picture) if is_stream(path) else path.suffix
        data, lost = for_suffix(decoded.picture, suffix, str(path), settings.max_pixels)
        place(path, data, overwrite=settings.force, attributes=_attributes(archive, decoded, file, settings))
        if lost:
            note(f"{path}: without its {', '.join(lost)}, which {path.suffix} files do not hold")


def _attributes(archive: "Archive", decoded: "Decoded", file: str, settings: _Settings) -> "Attributes":
    """Of the file of a picture: those that the archive keeps; a single file keeps none, and gives its own."""
    from bbcompress.archive.blocks import Form
    from bbcompress.images.place import UNKNOWN, attributes_of

    found = archive.tree.files[decoded.number] if archive.tree.files else UNKNOWN
    if archive.form == Form.SINGLE and Path(file).is_file():
        found = attributes_of(Path(file).stat())
    return found if settings.times else found._replace(mtime_ns=None)


def _write_folder(archive: "Archive", registry: "Registry", folder: Path, settings: _Settings) -> int:
    """Decode everything into `folder`; how many files that makes."""
    from bbcompress.cli.output_folder import OutputFolder
    from bbcompress.images.errors import DamagedImage
    from bbcompress.images.files import file_bytes, suffix_of

    target = OutputFolder(folder, settings.force)
    target.refuse_existing(archive.names or ())
    with target:
        for decoded in archive.decode(registry, settings.max_pixels, settings.progress):
            name = decoded.name or f"{decoded.number + 1:06d}{suffix_of(decoded.picture)}"
            try:
                data = file_bytes(decoded.picture)
            except DamagedImage as error:
                if not settings.keep_going:
                    raise
                archive.damage.append(f"{name}: {error}")
                continue
            target.write(name, data, _attributes(archive, decoded, "", settings))
        for name in archive.tree.folders:
            target.add_folder(name)
        kept = archive.tree.folders.items()
        target.finish({name: one if settings.times else one._replace(mtime_ns=None) for name, one in kept})
    settings.progress.clear()
    for name, new in target.renamed:
        note(f"{folder / name}: cannot be written under this name; it is now {new}")
    return target.files
