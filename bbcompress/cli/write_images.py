"""Writing decoded images: one to a file or a stream, several into a folder."""

import io
import tempfile
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import click

from bbcompress.cli.common import Function, engine_options, max_pixels_option, model_file_option, write_stdout, writing
from bbcompress.cli.errors import ExitCode, fail
from bbcompress.cli.terminal import note

if TYPE_CHECKING:
    from bbcompress.cli.wanted import Wanted
    from bbcompress.images.place import Attributes
    from bbcompress.progress import Progress


def writing_options(function: Function) -> Function:
    """What `decompress` and `extract` have in common."""
    options = (
        click.option("--keep-going", is_flag=True, help="Recover what is intact from a damaged file (still code 3)."),
        model_file_option,
        max_pixels_option,
        click.option("-f", "--force", is_flag=True, help="Overwrite files."),
        click.option("--no-times", is_flag=True, help="Leave the times of files as they come, not as they were."),
        click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
        engine_options,
    )
    for option in reversed(options):
        function = option(function)
    return function


class Settings(NamedTuple):
    """How to write."""

    force: bool
    times: bool
    keep_going: bool
    max_pixels: int
    progress: "Progress"


def write_images(wanted: "Wanted", output: str, settings: Settings, quiet: bool) -> None:
    """To standard output for `-`, to a file, or into a folder, of which a line is said then. Ends with code 3 where an
    archive was damaged that was recovered in part."""
    count = None
    if output == "-" or wanted.is_one_file(output):
        _write_one(wanted, output, settings)
    else:
        count = _write_folder(wanted, Path(output), settings)
    if count is not None and not quiet:
        note(f"{output}: {count} images")
    if wanted.archive.damage:
        damage = [f"{wanted.file}: damaged, and recovered only in part", *wanted.archive.damage]
        fail("; ".join(damage), ExitCode.DAMAGED)


def _write_one(wanted: "Wanted", output: str, settings: Settings) -> None:
    from bbcompress.images.convert import for_suffix
    from bbcompress.images.files import file_bytes, suffix_of
    from bbcompress.images.place import check_output, is_stream, place

    if wanted.files != 1:
        fail("standard output takes one image or array; name a folder with -o", ExitCode.USAGE)
    if output != "-" and not output.endswith(".*"):
        check_output(Path(output), overwrite=settings.force)  # before the work
    if wanted.arrays:
        _write_array(wanted, output, settings)
        return
    for decoded in wanted.decoded(settings):
        if not wanted.takes(decoded.number):
            continue
        if output == "-":
            write_stdout(file_bytes(decoded.picture))
            continue
        # the default output's suffix is the picture's
        path = Path(output[:-2] + suffix_of(decoded.picture) if output.endswith(".*") else output)
        check_output(path, overwrite=settings.force)
        suffix = suffix_of(decoded.picture) if is_stream(path) else path.suffix
        data, lost = for_suffix(decoded.picture, suffix, str(path), settings.max_pixels)
        place(path, data, overwrite=settings.force, attributes=_attributes(wanted, decoded.number, settings))
        if lost:
            note(f"{path}: without its {', '.join(lost)}, which {path.suffix} files do not hold")


def _write_array(wanted: "Wanted", output: str, settings: Settings) -> None:
    from bbcompress.archive.arrays import ArrayPixels
    from bbcompress.images.errors import ImageError
    from bbcompress.images.place import is_stream

    (array,) = wanted.arrays
    own = Path(array.name).suffix if array.name else array.file.suffix
    if output != "-" and not is_stream(Path(output)) and Path(output).suffix.lower() != own.lower():
        raise ImageError(f"{output}: the file holds {array.file.pictures} images; use {own}, or a folder")
    with tempfile.TemporaryFile() as scratch:
        pixels = ArrayPixels(wanted.arrays, scratch)
        for decoded in wanted.decoded(settings):
            if pixels.put(decoded.number, decoded.picture) is not None:
                with writing(output, settings.force) as new:
                    pixels.write(array, new.file, tempfile.TemporaryFile)
                    new.attributes = _attributes(wanted, array.first, settings)


def _attributes(wanted: "Wanted", number: int, settings: Settings) -> "Attributes":
    """Of the file of a picture: those that the archive keeps; a single file keeps none, and gives its own."""
    from bbcompress.archive.blocks import Form
    from bbcompress.images.place import UNKNOWN, attributes_of

    archive, file = wanted.archive, Path(wanted.file)
    found = archive.tree.files[number] if archive.tree.files else UNKNOWN
    if archive.form == Form.SINGLE and file.is_file():
        found = attributes_of(file.stat())
    return found if settings.times else found._replace(mtime_ns=None)


def _scratch_beside(folder: Path) -> BinaryIO:
    """A file without a name, on the file system of the folder that is to be."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
    return tempfile.TemporaryFile(dir=there)


def _write_folder(wanted: "Wanted", folder: Path, settings: Settings) -> int:
    """Decode everything into `folder`; how many files that makes."""
    from bbcompress.archive.arrays import ArrayPixels
    from bbcompress.cli.output_folder import OutputFolder
    from bbcompress.images.errors import DamagedImage
    from bbcompress.images.files import file_bytes

    archive = wanted.archive
    target = OutputFolder(folder, settings.force)
    target.refuse_existing(wanted.names)
    with target, _scratch_beside(folder) if wanted.arrays else nullcontext(io.BytesIO()) as scratch:
        pixels = ArrayPixels(wanted.arrays, scratch)
        for decoded in wanted.decoded(settings):
            try:
                if wanted.takes(decoded.number):
                    data, attributes = file_bytes(decoded.picture), _attributes(wanted, decoded.number, settings)
                    target.write(wanted.name_of(decoded), data, attributes)
                array = pixels.put(decoded.number, decoded.picture)
                if array is not None:
                    name = array.name or f"{array.first + 1:06d}{array.file.suffix}"
                    write = partial(pixels.write, array, scratch=partial(_scratch_beside, folder))
                    target.write(name, write, _attributes(wanted, array.first, settings))
            except DamagedImage as error:
                if not settings.keep_going:
                    raise
                archive.damage.append(f"{wanted.name_of(decoded)}: {error}")
        archive.damage += [f"{array.name}: left out, as images of it are lost" for array in pixels.missing()]
        if wanted.selection is None:
            for name in archive.tree.folders:
                target.add_folder(name)
        kept = archive.tree.folders.items()
        target.finish({name: one if settings.times else one._replace(mtime_ns=None) for name, one in kept})
    settings.progress.clear()
    for name, new in target.renamed:
        note(f"{folder / name}: cannot be written under this name; it is now {new}")
    return target.files
