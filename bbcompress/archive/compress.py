"""Compressing pictures and other files: one into a file of the small form, any number into an archive.

An archive is written a segment at a time: jobs (`jobs.py`) are encoded (`encode_job.py`) here or elsewhere, and what
they become is written in their order (`writer.py`).
"""

import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO

from bbcompress.archive.attributes import Tree
from bbcompress.archive.check import CheckFailed
from bbcompress.archive.compress_single import compress_single
from bbcompress.archive.encode_job import Encoded, encode_job
from bbcompress.archive.errors import UnfitModel
from bbcompress.archive.jobs import Input, Job, input_of, jobs
from bbcompress.archive.options import KEPT, Options, Summary
from bbcompress.archive.writer import ArchiveWriter
from bbcompress.codec.registry import Registry
from bbcompress.images.picture import Item

__all__ = ["KEPT", "CheckFailed", "Options", "Summary", "compress_archive", "compress_single", "write_archive"]

Encode = Callable[[Iterable[Job]], Iterable[Encoded]]
"""What jobs become, in their order: `encode_job` of each, wherever that is done."""


def compress_archive(
    items: Iterable[tuple[str, Item]], registry: Registry, options: Options, tree: Tree | None = None
) -> tuple[bytes, Summary]:
    """Named pictures and other files, in memory, as an archive, with the attributes of their files and folders, if
    there are any.

    Raises UnfitModel where the model that was asked for can code none of them.
    """
    file = io.BytesIO()
    sources = (input_of(name, item) for name, item in items)
    summary = write_archive(file, sources, here(registry, options), options, tree)
    return file.getvalue(), summary


def here(registry: Registry, options: Options) -> Encode:
    """Encodes jobs one by one in this process, by `registry`'s engine."""
    return partial(map, partial(encode_job, registry=registry, options=options))


def write_archive(
    file: BinaryIO, sources: Iterable[Input], encode: Encode, options: Options, tree: Tree | None = None
) -> Summary:
    """An archive of the sources, written to `file` as it comes, with the attributes, if there are any.

    Raises UnfitModel where the model that was asked for can code none of them.
    """
    names: list[str] = []
    writer = ArchiveWriter(file)
    write_segments(writer, encode(jobs(_named(sources, names), options.segment_pixels)))
    writer.finish(names, tree)
    return writer.summary


def write_segments(writer: ArchiveWriter, encoded: Iterable[Encoded]) -> None:
    """What jobs became. Raises UnfitModel where that is why none of them was coded as was asked for."""
    unfit: UnfitModel | None = None
    fits = False
    for one in encoded:
        for segment in one.segments:
            writer.add(segment)
        fits |= one.unfit is None
        unfit = unfit or one.unfit
    if unfit and not fits:
        raise unfit


def _named(sources: Iterable[Input], names: list[str]) -> Iterator[tuple[int, Input]]:
    """Numbered; their names are put into `names`."""
    for number, source in enumerate(sources):
        names.append(source.name)
        yield number, source
