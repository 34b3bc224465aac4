"""Writing decoded images: one to a file or a stream, several into a folder."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from bbcompress.cli.common import Function, engine_options, max_pixels_option, model_file_option, write_stdout
from bbcompress.cli.errors import ExitCode, fail
from bbcompress.cli.terminal import note

if TYPE_CHECKING:
    from bbcompress.archive.read import Archive, Decoded
    from bbcompress.codec.registry import Registry
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


class Wanted(NamedTuple):
    """What to write of an archive: all of it, or images of these numbers."""

    archive: "Archive"
    registry: "Registry"
    file: str
    """The archive's."""
    numbers: Sequence[int] | None = None

    @property
    def images(self) -> int:
        return self.archive.images if self.numbers is None else len(self.numbers)

    @property
    def names(self) -> Sequence[str]:
        """As far as there are any."""
        names = self.archive.names or []
        return names if self.numbers is None else [names[number] for number in self.numbers if names]

    def decoded(self, settings: Settings) -> "Iterable[Decoded]":
        """Segments that hold none of the images are not read."""
        archive, parts, wanted = self.archive, None, None
        if self.numbers is not None:
            wanted = set(self.numbers)
            parts = [part for part in archive.parts if any(not wanted.isdisjoint(range(*run)) for run in part.runs)]
        for decoded in archive.decode(self.registry, settings.max_pixels, settings.progress, parts):
            if wanted is None or decoded.number in wanted:
                yield decoded

    def is_one_file(self, output: str) -> bool:
        """Whether `output` is to be a file, not a folder: by its suffix."""
        from PIL import Image

        from bbcompress.images.place import is_stream

        path = Path(output)
        if self.images != 1 or path.is_dir():
            return False
        own = self.archive.kept_name if self.numbers is None else "".join(self.names)
        suffix = path.suffix.lower()
        if is_stream(path) or (own is not None and suffix and suffix == Path(own).suffix.lower()):
            return True
        if suffix == ".*":
            return True
        # the usual ones are known at once; for all others all of Pillow's formats are loaded
        Image.preinit()
        return suffix in Image.EXTENSION or suffix in Image.registered_extensions()


def write_images(wanted: Wanted, output: str, settings: Settings, quiet: bool) -> None:
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


def _write_one(wanted: Wanted, output: str, settings: Settings) -> None:
    from bbcompress.images.convert import for_suffix
    from bbcompress.images.files import file_bytes, suffix_of
    from bbcompress.images.place import check_output, is_stream, place

    if wanted.images != 1:
        fail("standard output takes one image; name a folder with -o", ExitCode.USAGE)
    if output != "-" and not output.endswith(".*"):
        check_output(Path(output), overwrite=settings.force)  # before the work
    for decoded in wanted.decoded(settings):
        if output == "-":
            write_stdout(file_bytes(decoded.picture))
            continue
        # the default output's suffix is the picture's
        path = Path(output[:-2] + suffix_of(decoded.picture) if output.endswith(".*") else output)
        check_output(path, overwrite=settings.force)
        suffix = suffix_of(decoded.picture) if is_stream(path) else path.suffix
        data, lost = for_suffix(decoded.picture, suffix, str(path), settings.max_pixels)
        place(path, data, overwrite=settings.force, attributes=_attributes(wanted, decoded, settings))
        if lost:
            note(f"{path}: without its {', '.join(lost)}, which {path.suffix} files do not hold")


def _attributes(wanted: Wanted, decoded: "Decoded", settings: Settings) -> "Attributes":
    """Of the file of a picture: those that the archive keeps; a single file keeps none, and gives its own."""
    from bbcompress.archive.blocks import Form
    from bbcompress.images.place import UNKNOWN, attributes_of

    archive, file = wanted.archive, Path(wanted.file)
    found = archive.tree.files[decoded.number] if archive.tree.files else UNKNOWN
    if archive.form == Form.SINGLE and file.is_file():
        found = attributes_of(file.stat())
    return found if settings.times else found._replace(mtime_ns=None)


def _write_folder(wanted: Wanted, folder: Path, settings: Settings) -> int:
    """Decode everything into `folder`; how many files that makes."""
    from bbcompress.cli.output_folder import OutputFolder
    from bbcompress.images.errors import DamagedImage
    from bbcompress.images.files import file_bytes, suffix_of

    archive = wanted.archive
    target = OutputFolder(folder, settings.force)
    target.refuse_existing(wanted.names)
    with target:
        for decoded in wanted.decoded(settings):
            name = decoded.name or f"{decoded.number + 1:06d}{suffix_of(decoded.picture)}"
            try:
                data = file_bytes(decoded.picture)
            except DamagedImage as error:
                if not settings.keep_going:
                    raise
                archive.damage.append(f"{name}: {error}")
                continue
            target.write(name, data, _attributes(wanted, decoded, settings))
        if wanted.numbers is None:
            for name in archive.tree.folders:
                target.add_folder(name)
        kept = archive.tree.folders.items()
        target.finish({name: one if settings.times else one._replace(mtime_ns=None) for name, one in kept})
    settings.progress.clear()
    for name, new in target.renamed:
        note(f"{folder / name}: cannot be written under this name; it is now {new}")
    return target.files
