"""An open `.bb` file, read image by image: what `bbcompress.open` gives."""

import io
import operator
import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, overload

from bbcompress.archive.arrays import ArrayPixels
from bbcompress.archive.errors import ArchiveError
from bbcompress.archive.listing import Entry, described, entries
from bbcompress.archive.read import ArchiveReader
from bbcompress.archive.select import select
from bbcompress.archive.source import Source
from bbcompress.codec.registry import Registry
from bbcompress.exact.engine import Engine
from bbcompress.images.arrays.files import values
from bbcompress.images.files import file_bytes
from bbcompress.images.header import MAX_PIXELS
from bbcompress.images.picture import Item, Picture
from bbcompress.images.values import Array, to_array, to_image

if TYPE_CHECKING:
    from PIL.Image import Image

PathLike = str | os.PathLike[str]
CACHE_BYTES = 1 << 26
"""Of pixels of the segments that were read last."""


class Archive:
    """The images of a `.bb` file by number, name or slice; what `open` gives.

    Images are decoded when they are asked for, with all others of their segment, of which those read last are kept: in
    order is fastest. It is a map-style dataset of torch, may be used by several threads, and opens its file anew in
    other processes, pickled or forked; a file that was given open is one for all of them, so give a path.

    >>> import numpy as np
    >>> from bbcompress import compress_many, open
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
            archive = ArchiveReader(self._contents.source, recover=True)
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
    def _contents(self) -> ArchiveReader:
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
        self.contents = ArchiveReader(Source(file))
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
