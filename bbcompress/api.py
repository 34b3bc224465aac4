"""What `import bbcompress` offers: images to bytes and back, and archives that are read image by image."""

import io
import operator
import os
import tempfile
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast, overload

from bbcompress.archive.arrays import ArrayPixels, array_inputs
from bbcompress.archive.choose_array import is_kept
from bbcompress.archive.compress import Options, compress_single, here, write_archive
from bbcompress.archive.errors import ArchiveError
from bbcompress.archive.jobs import Input, input_of
from bbcompress.archive.listing import Entry, described, entries
from bbcompress.archive.read import Archive as Contents
from bbcompress.archive.select import select
from bbcompress.archive.source import Source
from bbcompress.codec.registry import Registry
from bbcompress.exact.engine import Engine
from bbcompress.images.arrays.files import may_be_array, take_apart, values
from bbcompress.images.errors import NotWhole
from bbcompress.images.files import file_bytes, read_file
from bbcompress.images.header import MAX_PIXELS
from bbcompress.images.peek import START_BYTES
from bbcompress.images.picture import Item, KeptFile, Picture
from bbcompress.images.values import Array, from_array, to_array, to_image

if TYPE_CHECKING:
    from PIL.Image import Image

PathLike = str | os.PathLike[str]
CACHE_BYTES = 1 << 26
"""Of pixels of the segments that were read last."""


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
        first, *others = _inputs(name, image, registry, options, stack)
        if first.array:
            return _archive([first, *others], registry, options)
        return compress_single(first.read(), registry, options)[0]


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
    named = images.items() if isinstance(images, Mapping) else ((str(n), image) for n, image in enumerate(images))
    with ExitStack() as stack:
        inputs = (one for name, image in named for one in _inputs(name, image, registry, options, stack))
        return _archive(inputs, registry, options)


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


class Archive:
    """The images of a `.bb` file by number, name or slice; what `open` gives.

    Images are decoded when they are asked for, with all others of their segment, of which those read last are kept: in
    order is fastest. It is a map-style dataset of torch, may be used by several threads, and opens its file anew in
    other processes, pickled or forked; a file that was given open is one for all of them, so give a path.

    >>> import numpy as np
    >>> with open(compress_many([np.full((2, 2), n, np.uint8) for n in range(5)], effort=1)) as archive:
    ...     len(archive), archive[3].max(), [image.max() for image in archive[1:3]]
    (5, np.uint8(3), [np.uint8(1), np.uint8(2)])
    """

    def __init__(
        self,
        file: "PathLike | bytes | BinaryIO",
        *,
        models: Iterable[PathLike] = (),
        max_pixels: int = MAX_PIXELS,
        threads: int = 1,
        engine: str = "auto",
        cache_bytes: int = CACHE_BYTES,
    ):
        self._file: PathLike | bytes | BinaryIO | None = file
        self._models = [Path(model) for model in models]
        self._max_pixels, self._cache_bytes = max_pixels, cache_bytes
        self._engine = threads, engine
        self._opened: _Opened | None = None
        _ = self._contents  # so that what is wrong with the file is told here

    def __len__(self) -> int:
        """How many images, kept files among them."""
        return int(self._contents.images)

    @overload
    def __getitem__(self, key: int | str) -> Array: ...
    @overload
    def __getitem__(self, key: slice) -> list[Array]: ...
    def __getitem__(self, key: int | str | slice) -> Array | list[Array]:
        """An image as an array of its own, or those of a slice; of a file that was kept, what Pillow reads of it.

        By the name of a file of several images (`arrays`), its array, of the shape and type that it has there.

        (H, W) or (H, W, C), uint8 or uint16, of black and white images bool; of images with a palette the indices.
        Raises IndexError, KeyError, ImageError for a kept file that is no image, an ArchiveError for what is damaged.
        """
        if isinstance(key, slice):
            return self.__getitems__(range(len(self))[key])
        if key in self._open.arrays:
            return values(self.read(key), str(key))
        return to_array(self.item(key))

    def __getitems__(self, numbers: Sequence[int]) -> list[Array]:
        """Images of these numbers, each segment decoded once; torch's DataLoader asks so for a batch."""
        wanted = [self._number(number) for number in numbers]
        found = {number: to_array(self.item(number)) for number in sorted(wanted, key=self._place)}
        return [found[number] for number in wanted]

    def __iter__(self) -> Iterator[Array]:
        """All images, by number."""
        return (self[number] for number in range(len(self)))

    def __contains__(self, name: object) -> bool:
        """Whether there is an image or array of this name."""
        return name in self._open.numbers or name in self._open.arrays

    @property
    def names(self) -> list[str]:
        """Of all images, by number. A file of one image without a name calls it "image"."""
        contents = self._contents
        return list(contents.names) if contents.names is not None else [contents.kept_name or "image"]

    @property
    def arrays(self) -> list[str]:
        """Names of the files of several images; those of `x.npy` are named `x.npy[0]`, `x.npy[1]` and so on."""
        return list(self._open.arrays)

    def item(self, key: int | str) -> Item:
        """A `Picture`, with mode, pixels and metadata as they are in files, or a `KeptFile`."""
        number = self._number(key)
        opened = self._open
        with opened.lock:
            place = self._place(number)
            if place not in opened.cache:
                part = opened.contents.parts[place]
                decoded = opened.contents.decode_part(part, opened.registry, self._max_pixels)
                opened.keep(place, {one.number: one.picture for one in decoded}, self._cache_bytes)
            opened.cache.move_to_end(place)
            return opened.cache[place][number]

    def image(self, key: int | str) -> "Image":
        """An image as one of Pillow's, with palette and metadata. Raises ImageError where Pillow has none like it."""
        return to_image(self.item(key))

    def read(self, key: int | str) -> bytes:
        """The file of an image: the same in every sample, chunk and tag, and of a kept one or an array its bytes."""
        array = self._open.arrays.get(key) if isinstance(key, str) else None
        if array is None:
            return file_bytes(self.item(key))
        out = io.BytesIO()
        pixels = ArrayPixels([array], io.BytesIO())
        for number in sorted(array.numbers, key=self._place):
            pixels.put(number, self.item(number))
        pixels.write(array, out, io.BytesIO)
        return out.getvalue()

    def entries(self) -> list[Entry]:
        """What is known of each image without decoding it: mode, size, method, segment, bytes, time."""
        return entries(self._contents, self._open.registry)

    def info(self) -> dict[str, Any]:
        """What is known of the file and its segments, as docs/JSON.md has it."""
        return described(self._contents, self._open.registry)

    def select(self, *wanted: str) -> list[int]:
        """The numbers of images by names, folders, patterns, numbers and ranges as `bbc extract` takes them, of arrays
        those of all their images.

        Raises NoSuchImage.
        """
        found = select(wanted, self.names, len(self), self._contents.arrays)
        return sorted({*found.pictures, *(number for array in found.arrays for number in array.numbers)})

    def test(self) -> list[str]:
        """Decode all of it, and say what is damaged, in a line each; nothing where it is sound."""
        try:
            archive = Contents(self._contents.source, recover=True)
            for _ in archive.decode(self._open.registry, self._max_pixels):
                pass
        except ArchiveError as error:
            return [str(error)]
        return archive.damage

    def close(self) -> None:
        """Close the file, if it was opened here; nothing can be read any more."""
        if self._opened is not None:
            self._opened.contents.close()
        self._file = self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._file is None:
            return "<bbcompress.Archive, closed>"
        return f"<bbcompress.Archive of {len(self)} images>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    @property
    def _open(self) -> "_Opened":
        if self._file is None:
            raise ValueError("the archive is closed")
        # Threads and locks do not come along into forked processes
        if self._opened is None or self._opened.process != os.getpid():
            self._opened = _Opened(self._file, Registry(Engine(*self._engine), self._models))
        return self._opened

    @property
    def _contents(self) -> Contents:
        return self._open.contents

    def _number(self, key: int | str) -> int:
        if isinstance(key, str):
            try:
                return self._open.numbers[key]
            except KeyError:
                raise KeyError(f"no image is named {key}") from None
        number = operator.index(key)
        images = len(self)
        if not -images <= number < images:
            raise IndexError(f"no image {number}: there are {images}")
        return number % images

    def _place(self, number: int) -> int:
        """Which segment a picture is in."""
        starts, places = self._open.starts
        return places[bisect_right(starts, number) - 1]


class _Opened:
    """An open file, with what was decoded last, of one process."""

    def __init__(self, file: "PathLike | bytes | BinaryIO", registry: Registry):
        self.process = os.getpid()
        self.contents = Contents(Source(file))
        self.registry = registry
        self.lock = threading.RLock()
        self.cache: OrderedDict[int, dict[int, Item]] = OrderedDict()
        """By segment, those that were asked for last at the end."""
        self._sizes: dict[int, int] = {}
        self._numbers: dict[str, int] | None = None
        self.arrays = {str(array.name): array for array in self.contents.arrays}
        """By name."""
        runs = sorted((start, part.place) for part in self.contents.parts for start, _ in part.runs)
        self.starts = [start for start, _ in runs], [place for _, place in runs]

    @property
    def numbers(self) -> dict[str, int]:
        """By name."""
        if self._numbers is None:
            names = self.contents.names
            if names is None:
                names = [self.contents.kept_name or "image"]
            self._numbers = {name: number for number, name in enumerate(names)}
        return self._numbers

    def keep(self, place: int, items: dict[int, Item], limit_bytes: int) -> None:
        """Put a segment into the cache, and the oldest out of it while it is too large; the newest stays."""
        self.cache[place] = items
        self._sizes[place] = sum(_bytes(item) for item in items.values())
        while len(self.cache) > 1 and sum(self._sizes.values()) > limit_bytes:
            oldest, _ = self.cache.popitem(last=False)
            del self._sizes[oldest]


def _bytes(item: Item) -> int:
    return item.pixels.nbytes if isinstance(item, Picture) else len(item.data)


def _settings(model: str, effort: int, refine_steps: int, check: bool, threads: int) -> tuple[Registry, Options]:
    path = Path(model)
    is_file = path.suffix == ".safetensors" or path.is_file()
    registry = Registry(Engine(threads), [path] if is_file else [])
    chosen = path if is_file else None if model == "auto" else registry.path_named(model)
    return registry, Options(refine_steps=refine_steps, model=chosen, check=check, effort=effort)


def _inputs(
    name: str, image: "Array | Image | PathLike | Item", registry: Registry, options: Options, stack: ExitStack
) -> Iterator[Input]:
    """An image, or those of a file of arrays unless that takes less as it is; what they are read from is closed with
    `stack`."""
    path = Path(image) if isinstance(image, (str, os.PathLike)) else None
    if path is not None:
        with path.open("rb") as file, suppress(NotWhole):
            if may_be_array(file.read(START_BYTES), path.name):
                array, unpacked = take_apart(file, path.name, lambda: stack.enter_context(_scratch()))
                size = path.stat().st_size
                if array.pictures > 1 and not is_kept(array, unpacked, size, registry, options):
                    opened = nullcontext(unpacked)
                    yield from array_inputs(name, array, lambda: path.open("rb") if unpacked is file else opened)
                    return
    yield input_of(name, _item(image))


def _scratch() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile())


def _archive(inputs: Iterable[Input], registry: Registry, options: Options) -> bytes:
    file = io.BytesIO()
    write_archive(file, inputs, here(registry, options), options)
    return file.getvalue()


def _item(image: "Array | Image | PathLike | Item") -> Item:
    if isinstance(image, (Picture, KeptFile)):
        return image
    if isinstance(image, (str, os.PathLike)):
        return read_file(Path(image))
    if hasattr(image, "getbands"):  # an image of Pillow
        from bbcompress.pillow import to_item

        return to_item(cast("Image", image))
    return from_array(image)
