"""Files of arrays on a command line: which hold several pictures, and whether they are coded as these."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bbcompress.archive.arrays import array_inputs
from bbcompress.archive.choose_array import is_kept
from bbcompress.cli.reading import opened
from bbcompress.images.arrays.files import may_be_array, take_apart
from bbcompress.images.errors import NotWhole
from bbcompress.images.peek import Peek
from bbcompress.images.remote import Url

if TYPE_CHECKING:
    from bbcompress.archive.jobs import Input
    from bbcompress.archive.options import Options
    from bbcompress.cli.inputs import File
    from bbcompress.codec.registry import Registry


class ArrayFinder:
    """Takes files apart, and has a folder for those that are read in another form: unpacked, or from a URL."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._made = 0

    def looked_into(self, file: File, start: bytes) -> File:
        """The file, which begins with ``start``, with what is found of arrays in it. Raises ImageError."""
        if file.path is None or not may_be_array(start, file.name):
            return file
        try:
            with contextlib.ExitStack() as stack:
                source, place = self._local(file.path, stack)
                array, unpacked = take_apart(source, file.name, lambda: stack.enter_context(self._scratch()))
                if unpacked is not source:
                    place = Path(unpacked.name)
        except NotWhole:
            return file
        peek = Peek(array.spans[0].header.mode, array.pixels)
        if array.pictures == 1:
            return file._replace(peek=peek)
        return file._replace(peek=peek, array=array, unpacked=place)

    def close(self) -> None:
        """Remove what was made."""
        if self._folder is not None:
            self._folder.cleanup()

    def _local(self, path: Path | Url, stack: contextlib.ExitStack) -> tuple[BinaryIO, Path]:
        if isinstance(path, Path):
            return stack.enter_context(opened(path)), path
        copy = stack.enter_context(self._scratch())
        path.copy_to(copy)
        return copy, Path(copy.name)

    def _scratch(self) -> BinaryIO:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix=".bbc-")
        self._made += 1
        return open(os.path.join(self._folder.name, str(self._made)), "w+b")


def reason_to_keep(file: File, max_pixels: int, registry: Registry, options: Options) -> str:
    """Why a file of several pictures is not coded as these, or nothing."""
    assert file.array is not None and file.unpacked is not None
    largest = max(span.header.width * span.header.height for span in file.array.spans)
    if largest > max_pixels:
        return f"array of images of {largest} pixels, more than the limit of {max_pixels}; -M raises it"
    with opened(file.unpacked) as unpacked:
        kept = is_kept(file.array, unpacked, file.bytes, registry, options)
    return "array whose bytes are fewer than those of its images" if kept else ""


def inputs_of(file: File) -> Iterator[Input]:
    """The pictures of a file of several."""
    assert file.array is not None and file.unpacked is not None
    return array_inputs(file.name, file.array, partial(opened, file.unpacked))
