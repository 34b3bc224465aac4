"""What `import bbcompress` offers: images to bytes and back, and archives that are read image by image."""

import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from bbcompress.archive.append import alone, append_archive
from bbcompress.archive.arrays import array_inputs
from bbcompress.archive.choose_array import is_kept
from bbcompress.archive.compress import Options, compress_single, here, write_archive
from bbcompress.archive.jobs import Input, input_of
from bbcompress.archive.options import SEGMENT_PIXELS
from bbcompress.archive.read import ArchiveReader
from bbcompress.archive.source import Source
from bbcompress.archive.spread import spread
from bbcompress.codec.registry import Registry
from bbcompress.exact.engine import Engine
from bbcompress.images.arrays.files import may_be_array, take_apart
from bbcompress.images.errors import NotWhole
from bbcompress.images.files import read_file
from bbcompress.images.header import MAX_PIXELS
from bbcompress.images.peek import START_BYTES
from bbcompress.images.picture import Item, KeptFile, Picture
from bbcompress.images.place import attributes_of, placing
from bbcompress.images.values import Array, from_array
from bbcompress.opened import CACHE_BYTES, Archive, PathLike

if TYPE_CHECKING:
    from PIL.Image import Image


def compress(
    image: "Array | Image | PathLike | Item",
    *,
    model: str = "auto",
    effort: int = 2,
    refine_steps: int = 0,
    check: bool = True,
    threads: int = 1,
) -> bytes:
    """One image as a `.bb` file: an array, an image of Pillow, or the file at a path, which may be any file. That of a
    file of arrays (`.npy`, `.npz`, IDX, a CIFAR batch) is an archive of its images.

    `model` is a model's name or file, or "auto" for the best; `effort` 1 is quick, without networks; `refine_steps` is
    for archives. With `check` the bytes are decoded and compared. Raises ImageError for what is no image, UnfitModel.

    >>> import numpy as np
    >>> image = np.full((20, 30, 3), 7, np.uint8)
    >>> decompress(compress(image, effort=1)).shape
    (20, 30, 3)
    """
    registry, options = _settings(model, effort, refine_steps, check, threads)
    with ExitStack() as stack:
        name = Path(image).name if isinstance(image, (str, os.PathLike)) else ""
        first, *others = _inputs_of(name, image, registry, options, stack)
        if not first.array:
            return compress_single(first.read(), registry, options)[0]
        file = io.BytesIO()
        write_archive(file, [first, *others], here(registry, options), options)
        return file.getvalue()


def compress_many(
    images: "Mapping[str, Array | Image | PathLike | Item] | Iterable[Array | Image | PathLike | Item]",
    *,
    model: str = "auto",
    effort: int = 2,
    refine_steps: int = 0,
    check: bool = True,
    threads: int = 1,
) -> bytes:
    """Many images as an archive: by name, or in an order, with names 0, 1, 2 and so on. The rest is as for `compress`.

    >>> import numpy as np
    >>> data = compress_many({"a/1.png": np.zeros((4, 4), np.uint8), "b.png": np.ones((9, 9), bool)}, effort=1)
    >>> with open(data) as archive:
    ...     archive.names, archive["b.png"].dtype
    (['a/1.png', 'b.png'], dtype('bool'))
    """
    registry, options = _settings(model, effort, refine_steps, check, threads)
    file = io.BytesIO()
    with ExitStack() as stack:
        write_archive(file, _inputs(images, registry, options, stack), here(registry, options), options)
    return file.getvalue()


def write(
    path: PathLike,
    images: "Mapping[str, Array | Image | PathLike | Item] | Iterable[Array | Image | PathLike | Item]",
    *,
    model: str = "auto",
    effort: int = 2,
    refine_steps: int = 0,
    check: bool = True,
    threads: int = 1,
    segment_pixels: int = SEGMENT_PIXELS,
    overwrite: bool = False,
) -> None:
    """Many images as the archive at `path`, which is there when it is whole.

    Images are taken, and files read, as they are written: in memory are those of a few segments, of `segment_pixels`
    pixels or one image, for each of `threads`. Several threads are processes where there is work enough: a program that
    asks for them has `if __name__ == "__main__":`. The rest is as for `compress_many`. Raises OutputExists where there
    is a file, unless `overwrite`.

    >>> import numpy as np, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> write(folder.name + "/a.bb", (np.full((9, 9), n, np.uint8) for n in range(100)), effort=1)
    >>> append(folder.name + "/a.bb", {"last.png": np.zeros((5, 7), np.uint8)}, effort=1)
    >>> with open(folder.name + "/a.bb") as archive:
    ...     len(archive), archive.names[-2:]
    (101, ['99', 'last.png'])
    >>> folder.cleanup()
    """
    registry, options = _settings(model, effort, refine_steps, check, threads, segment_pixels)
    with ExitStack() as stack:
        new = stack.enter_context(placing(Path(path), overwrite=overwrite))
        encode = spread(registry.opener(), options, threads)
        write_archive(new.file, _inputs(images, registry, options, stack), encode, options)


def append(
    path: PathLike,
    images: "Mapping[str, Array | Image | PathLike | Item] | Iterable[Array | Image | PathLike | Item]",
    *,
    model: str = "auto",
    effort: int = 2,
    refine_steps: int = 0,
    check: bool = True,
    threads: int = 1,
    segment_pixels: int = SEGMENT_PIXELS,
    overwrite: bool = False,
) -> None:
    """Add images to the archive at `path`: a new one, with the old one's segments, takes its place when it is whole.

    With `overwrite` images replace those of the same names. The rest is as for `write`, but that the images are all
    taken before the first is coded. Raises NameTaken, an ArchiveError.
    """
    registry, options = _settings(model, effort, refine_steps, check, threads, segment_pixels)
    with ExitStack() as stack:
        file = stack.enter_context(Path(path).open("rb"))
        stack.enter_context(alone(file, Path(path)))
        new = stack.enter_context(placing(Path(path), overwrite=True))
        new.attributes = attributes_of(os.fstat(file.fileno()))._replace(mtime_ns=None)
        encode = spread(registry.opener(), options, threads)
        inputs = _inputs(images, registry, options, stack)
        append_archive(ArchiveReader(Source(file)), new.file, inputs, encode, registry, options, None, overwrite)


def decompress(
    data: bytes, *, models: Iterable[PathLike] = (), max_pixels: int = MAX_PIXELS, threads: int = 1
) -> Array:
    """The one image, or array, in the bytes of a `.bb` file. `models` are files of models besides the installed ones.

    Raises an ArchiveError for bytes that are damaged, and ValueError where there are several images: `open` them.
    """
    with open(data, models=models, max_pixels=max_pixels, threads=threads) as archive:
        contents = archive._contents
        if [array.file.pictures for array in contents.arrays] == [len(archive)]:
            return archive[contents.arrays[0].name or 0]
        if len(archive) != 1:
            raise ValueError(f"{len(archive)} images, not one; bbcompress.open reads them")
        return archive[0]


def open(
    file: "PathLike | bytes | BinaryIO",
    *,
    models: Iterable[PathLike] = (),
    max_pixels: int = MAX_PIXELS,
    threads: int = 1,
    engine: str = "auto",
    cache_bytes: int = CACHE_BYTES,
) -> "Archive":
    """Read a `.bb` file, image by image: the file at a path, its bytes, or an open file that can seek.

    `models` are files of models besides the installed ones, `max_pixels` is how many pixels an image, or a segment, may
    have at most, `threads` and `engine` say what computes, and `cache_bytes` how much is kept of segments read last.
    Raises an ArchiveError, OSError.

    >>> import io
    >>> import numpy as np
    >>> archive = open(io.BytesIO(compress(np.zeros((3, 5), bool))))
    >>> archive.names, archive.entries()[0].header
    (['image'], Header(mode='1', width=5, height=3))
    """
    return Archive(file, models=models, max_pixels=max_pixels, threads=threads, engine=engine, cache_bytes=cache_bytes)


def _registry(model: str, threads: int) -> Registry:
    return Registry(Engine(threads), [Path(model)] if _is_file(model) else [])


def _is_file(model: str) -> bool:
    return Path(model).suffix == ".safetensors" or Path(model).is_file()


def _settings(
    model: str, effort: int, refine_steps: int, check: bool, threads: int, segment_pixels: int = SEGMENT_PIXELS
) -> tuple[Registry, Options]:
    registry = _registry(model, threads)
    chosen = Path(model) if _is_file(model) else None if model == "auto" else registry.path_named(model)
    return registry, Options(refine_steps, chosen, check, effort=effort, segment_pixels=segment_pixels)


def _inputs(
    images: "Mapping[str, Array | Image | PathLike | Item] | Iterable[Array | Image | PathLike | Item]",
    registry: Registry,
    options: Options,
    stack: ExitStack,
) -> Iterator[Input]:
    """By name, or numbered; what they are read from is removed with `stack`."""
    named = images.items() if isinstance(images, Mapping) else ((str(n), image) for n, image in enumerate(images))
    for name, image in named:
        yield from _inputs_of(name, image, registry, options, stack)


def _inputs_of(
    name: str, image: "Array | Image | PathLike | Item", registry: Registry, options: Options, stack: ExitStack
) -> Iterator[Input]:
    """An image, or those of a file of arrays unless that takes less as it is."""
    path = Path(image) if isinstance(image, (str, os.PathLike)) else None
    if path is not None:
        with path.open("rb") as file, suppress(NotWhole):
            if may_be_array(file.read(START_BYTES), path.name):
                array, unpacked = take_apart(file, path.name, lambda: stack.enter_context(_scratch()))
                size = path.stat().st_size
                if array.pictures > 1 and not is_kept(array, unpacked, size, registry, options):
                    unpacked.flush()
                    place = path.absolute() if unpacked is file else Path(unpacked.name)
                    yield from array_inputs(name, array, partial(_opened, place))
                    return
    yield input_of(name, _item(image))


def _scratch() -> BinaryIO:
    return cast(BinaryIO, tempfile.NamedTemporaryFile(prefix="bbc-"))


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


def _item(image: "Array | Image | PathLike | Item") -> Item:
    if isinstance(image, (Picture, KeptFile)):
        return image
    if isinstance(image, (str, os.PathLike)):
        return read_file(Path(image))
    if hasattr(image, "getbands"):  # an image of Pillow
        from bbcompress.pillow import to_item

        return to_item(cast("Image", image))
    return from_array(image)
