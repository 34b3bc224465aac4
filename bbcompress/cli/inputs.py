"""The images named on a command line: files, folders, standard input."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import click

from bbcompress.archive.names import check_name
from bbcompress.cli.common import read_input
from bbcompress.images.errors import ImageError
from bbcompress.images.files import read
from bbcompress.images.picture import Item, KeptFile
from bbcompress.varint import Malformed

STDIN = "-"


def listed_images(arguments: tuple[str, ...]) -> list[tuple[str, Path | None]]:
    """(name to keep, path) of every image; the path of standard input is None. Folders are walked, sorted by name.

    A file keeps its base name, a file in a folder its path below that folder. Raises ImageError where two names
    are equal or there is no image.
    """
    found: list[tuple[str, Path | None]] = []
    for argument in arguments:
        path = Path(argument)
        if argument == STDIN:
            found.append(("image.png", None))
        elif path.is_dir():
            found += [(inner.relative_to(path).as_posix(), inner) for inner in _images_below(path)]
        else:
            found.append((path.name, path))
    seen: dict[str, Path | None] = {}
    for name, source in found:
        try:
            check_name(name.encode())
        except (Malformed, UnicodeEncodeError) as error:
            raise ImageError(f"{str(source)!r}: its name cannot be kept in an archive ({error}); rename it") from error
        if name in seen:
            both = " and ".join(str(path or "standard input") for path in (source, seen[name]))
            raise ImageError(f"{both} would both be kept as {name}; give a folder above both")
        seen[name] = source
    for name in seen:
        for folder in PurePosixPath(name).parents:
            if str(folder) in seen:
                raise ImageError(f"{name} and {folder} could not both be made again; give a folder above both")
    if not found:
        raise ImageError(f"{arguments[0]}: no images in this folder")
    return found


def read_images(
    listed: list[tuple[str, Path | None]], strip: bool = False, pixels: bool = False
) -> Iterator[tuple[str, Item]]:
    """What to compress, one at a time; `strip` leaves metadata out.

    With `pixels` all are pictures, and coded as such; raises ImageError for other files.
    """
    for name, path in listed:
        source = "standard input" if path is None else str(path)
        data = read_input(STDIN if path is None else str(path))
        item = read(data, path.name if path else "", strip=strip)
        if pixels:
            if isinstance(item, KeptFile):
                raise ImageError(f"{source}: would be kept as a file ({item.reason}), not as pixels; leave it out")
            item = replace(item, file=None)
        elif strip and isinstance(item, KeptFile):
            click.echo(f"{source}: kept as a file ({item.reason}), with its metadata", err=True)
        yield name, item


def _images_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
