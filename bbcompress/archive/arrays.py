"""Arrays of several pictures: which pictures of an archive make one file.

The pictures of `train.npy` are named `train.npy[0]`, `train.npy[1]` and so on and have numbers in this order. The first
one's metadata say how the file is made of them (`bbcompress.images.arrays`).
"""

import io
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO, NamedTuple

import numpy as np

from bbcompress.archive.jobs import Input
from bbcompress.archive.names import check_name, name_bytes
from bbcompress.images.arrays.files import write as write_file
from bbcompress.images.arrays.spans import ArrayFile, Span, read_picture
from bbcompress.images.errors import DamagedImage
from bbcompress.images.metadata import NO_METADATA, Format, Metadata
from bbcompress.images.picture import Item, Picture
from bbcompress.varint import Malformed


class Array(NamedTuple):
    """A file of several pictures in an archive."""

    name: str | None
    """None where names are lost."""
    first: int
    """The number of its first picture."""
    file: ArrayFile

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + self.file.pictures)


def picture_name(name: str, number: int) -> str:
    """Of a picture of the array file `name`."""
    return f"{name}[{number}]"


def arrays_of(metadata: Mapping[int, Metadata], names: Sequence[str] | None, images: int) -> list[Array]:
    """All arrays of an archive of so many pictures, by number. Raises Malformed where they are not as they must be."""
    found: list[Array] = []
    taken: set[str] = set()
    end = 0
    for first in sorted(number for number, one in metadata.items() if one.format == Format.ARRAY):
        file = ArrayFile.unpack(metadata[first].body)
        if file.pictures == 1:
            continue
        if first < end or first + file.pictures > (images if names is None else min(images, len(names))):
            raise Malformed("an array of pictures that there are not, or that are another's")
        end = first + file.pictures
        name = None
        if names is not None:
            taken = taken or set(names)
            name = check_name(name_bytes(names[first].removesuffix("[0]")))
            own = (picture_name(name, number) for number in range(file.pictures))
            if name in taken or any(mine != names[first + number] for number, mine in enumerate(own)):
                raise Malformed("an array whose pictures have other names, or whose name is another's")
            taken.add(name)
        found.append(Array(name, first, file))
    return found


def array_at(arrays: Sequence[Array], number: int) -> Array | None:
    """The one of these, by number, that a picture is of."""
    place = bisect_right(arrays, number, key=lambda array: array.first) - 1
    return arrays[place] if place >= 0 and number in arrays[place].numbers else None


Opened = Callable[[], AbstractContextManager[BinaryIO]]
"""Opens a file; can be pickled, where other processes are to read."""


@dataclass(frozen=True)
class ArrayReader:
    """Reads one picture of an array's unpacked file."""

    open: Opened
    span: Span
    number: int
    """Of the pictures of the span."""
    metadata: Metadata = NO_METADATA

    def __call__(self) -> Picture:
        """Raises ImageError."""
        with self.open() as file:
            picture = read_picture(file, self.span, self.number)
        return Picture(picture.mode, picture.pixels, self.metadata)


def array_inputs(name: str, array: ArrayFile, unpacked: Opened) -> Iterator[Input]:
    """The pictures of the file `name`, to be compressed one after another."""
    metadata, number = Metadata(Format.ARRAY, array.pack()), 0
    for span in array.spans:
        mode, width, height = span.header
        for place in range(span.pictures):
            reader = ArrayReader(unpacked, span, place, NO_METADATA if number else metadata)
            yield Input(picture_name(name, number), reader, mode, width * height, name)
            number += 1


class ArrayPixels:
    """Samples of arrays' pictures, in a scratch file until there are all of an array's, in whatever order they come."""

    def __init__(self, arrays: Sequence[Array], scratch: BinaryIO):
        self._arrays, self._scratch = arrays, scratch
        self._missing = {array.first: array.file.pictures for array in arrays}
        self._offsets = {array.first: np.zeros(array.file.pictures, np.int64) for array in arrays}
        """Of each picture's samples in the scratch file: what arrays say of sizes is not believed before they come."""
        self._spans = [
            (array.first + first, span, array)
            for array in arrays
            for first, span in zip(accumulate(one.pictures for one in array.file.spans), array.file.spans, strict=True)
        ]
        """With the number after each one's last picture."""

    def put(self, number: int, picture: Item) -> Array | None:
        """Keep a picture; if it was the last of an array, this array. Raises DamagedImage where it is none of its."""
        place = bisect_right(self._spans, number, key=lambda found: found[0])
        if place == len(self._spans):
            return None
        _, span, array = self._spans[place]
        if number < array.first:
            return None
        if not isinstance(picture, Picture):
            raise DamagedImage("a file is in the place of an array's picture")
        samples = span.samples(picture)
        self._offsets[array.first][number - array.first] = self._scratch.seek(0, io.SEEK_END)
        self._scratch.write(samples)
        self._missing[array.first] -= 1
        return None if self._missing[array.first] else array

    def write(self, array: Array, out: BinaryIO, scratch: Callable[[], BinaryIO]) -> None:
        """The file of an array that is whole. Raises DamagedImage."""
        write_file(array.file, self._samples(array), out, scratch)

    def missing(self) -> list[Array]:
        """The arrays that are not whole."""
        return [array for array in self._arrays if self._missing[array.first]]

    def _samples(self, array: Array) -> Iterator[bytes]:
        """Of all its pictures, in their order."""
        offsets = iter(self._offsets[array.first].tolist())
        for span in array.file.spans:
            for _ in range(span.pictures):
                self._scratch.seek(next(offsets))
                yield self._scratch.read(span.picture_bytes)
