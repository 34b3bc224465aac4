"""The images named on a command line: files, folders, standard input."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from PIL import Image

from bbcompress.archive.names import check_name
from bbcompress.images.errors import ImageError
from bbcompress.images.files import read
from bbcompress.images.picture import Picture
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


def read_images(listed: list[tuple[str, Path | None]], strip: bool = False) -> Iterator[tuple[str, Picture]]:
    """The pictures, one at a time; `strip` leaves their metadata out."""
    for name, path in listed:
        if path is None:
            yield name, read(io.BytesIO(sys.stdin.buffer.read()), "standard input", strip=strip)
        else:
            yield name, read(path, strip=strip)


def _images_below(folder: Path) -> list[Path]:
    suffixes = Image.registered_extensions()
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
