"""From a job's sources to segments: read, sorted by how they can be coded, coded, checked, framed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bbcompress.archive import blocks
from bbcompress.archive.check import check, within_limits
from bbcompress.archive.choose import (
    CHAIN_SEGMENT_BYTES,
    STORED_SEGMENT_BYTES,
    Candidate,
    Estimate,
    best_model,
    candidates,
    coded_with,
    described,
    estimates,
    is_alone,
    may_be_stored,
    shorter_file,
    shorter_stored,
)
from bbcompress.archive.errors import UnfitModel
from bbcompress.archive.forms import PixelForm
from bbcompress.archive.jobs import Job
from bbcompress.archive.limits import MAX_SEGMENT_IMAGES
from bbcompress.archive.options import KEPT, Options, Summary, pixels_of, unfit_model
from bbcompress.archive.payload import Kept, Payload, Stored, pictures_digest
from bbcompress.archive.segment import Segment, pack_segment
from bbcompress.codec.registry import Registry
from bbcompress.images import kept, stored
from bbcompress.images.metadata import NO_METADATA, Metadata
from bbcompress.images.picture import Item, KeptFile, Picture

FEW = 1 / 50
"""Part of the pictures of another group."""


class EncodedSegment(NamedTuple):
    """A segment as it is written, and what the blocks after the segments say of it."""

    block: bytes
    numbers: list[int]
    metadata: dict[int, Metadata]
    """Of the pictures that have any, by number."""
    summary: Summary


class Encoded(NamedTuple):
    """What a job became. All of it can be pickled."""

    segments: list[EncodedSegment]
    unfit: UnfitModel | None
    """Why the model that was asked for fits none of the sources."""
    kept: list[tuple[str, str]]
    """Names of the sources that are no pictures, with the reasons."""


def encode_job(job: Job, registry: Registry, options: Options) -> Encoded:
    """A job's segments, which are the same wherever it is done. In memory are its pictures and what they become.

    Raises ImageError where a source cannot be read, CheckFailed where a segment does not decode to what was read.
    """
    return _JobEncoder(registry, options).encode(job)


class _JobEncoder:
    """Sorts pictures into groups that share their candidates, and makes a segment of a group when it is full."""

    def __init__(self, registry: Registry, options: Options):
        self._registry, self._options = registry, options
        self._groups: dict[tuple[Candidate, ...], list[tuple[int, Picture]]] = {}
        self._pixels: dict[tuple[Candidate, ...], int] = {}
        self._segments: list[EncodedSegment] = []

    def encode(self, job: Job) -> Encoded:
        unfit: UnfitModel | None = None
        fits = False
        files: list[tuple[str, str]] = []
        for number, source in zip(job.numbers, job.sources, strict=True):
            item = source.read()
            ways: tuple[Candidate, ...] = ()
            if isinstance(item, KeptFile):
                files.append((source.name, item.reason))
            else:
                ways = candidates(item, self._registry, self._options.model, self._options.effort > 1)
            fits |= bool(ways)
            unfit = unfit or unfit_model(item, bool(ways), self._registry, self._options)
            self._add(number, source.name, item, ways)
        self._join_few()
        for ways in list(self._groups):
            self._code(self._groups.pop(ways), ways)
        return Encoded(self._segments, None if fits else unfit, files)

    def _add(self, number: int, name: str, item: Item, ways: tuple[Candidate, ...]) -> None:
        if isinstance(item, KeptFile):
            self._options.progress.begin(pixels_of([item]))
            self._keep(number, replace(item, name=name), kept.encode(item.data))
            self._options.progress.end()
            return
        picture = item if item.file is None else replace(item, file=replace(item.file, name=name))
        if not ways:
            self._options.progress.begin(pixels_of([picture]))
            self._store(number, picture, stored.encode(picture))
            self._options.progress.end()
            return
        if is_alone(picture, ways):
            self._code([(number, picture)], ways)
            return
        # sources may have said less than they have
        pixels = pixels_of([picture])
        too_many = len(self._groups.get(ways, ())) == MAX_SEGMENT_IMAGES
        too_large = self._pixels.get(ways, 0) + pixels > self._options.segment_pixels
        if (too_many or too_large) and ways in self._groups:
            self._code(self._groups.pop(ways), ways)
            self._pixels[ways] = 0
        self._groups.setdefault(ways, []).append((number, picture))
        self._pixels[ways] = self._pixels.get(ways, 0) + pixels

    def _join_few(self) -> None:
        """Put groups of few pictures to one of many, whose ways are among theirs: a segment of their own would cost
        more than a better way for them gains."""
        for ways, group in list(self._groups.items()):
            larger = (other for other in self._groups if {*other} < {*ways})
            most = max(larger, key=lambda other: len(self._groups[other]), default=None)
            if most is not None and len(group) <= FEW * len(self._groups[most]):
                self._groups[most] = sorted([*self._groups[most], *self._groups.pop(ways)], key=lambda pair: pair[0])

    def _code(self, group: list[tuple[int, Picture]], ways: tuple[Candidate, ...]) -> None:
        options = self._options
        pictures = [picture for _, picture in group]
        sure = len(ways) == 1 and (options.effort == 1 or is_alone(pictures[0], ways))
        found = [Estimate(ways[0], "", 0.0)] if sure else estimates(pictures, ways, self._registry)
        passes = 1 + (options.refine_steps > 0) + options.check
        options.progress.begin(pixels_of(pictures), passes)
        self._code_as(found, group)
        options.progress.end()

    def _code_as(self, found: list[Estimate], group: list[tuple[int, Picture]]) -> None:
        pictures = [picture for _, picture in group]
        if len(found) > 1:
            self._options.report(f"{len(group)} pictures: about {described(found)}")
        way = best_model(found).candidate
        assert way is not None
        # without steps, which take much longer and would be in vain for what is stored
        advance, effort = self._options.progress.advance, self._options.effort
        coded = coded_with(way, pictures, self._registry, advance=advance, effort=effort)
        unfit = shorter_stored(coded, pictures, len(found) > 1 and may_be_stored(found))
        if unfit:
            self._options.report(f"{len(unfit)} of {len(group)} pictures stored: shorter than with {coded.model}")
            for place, data in unfit.items():
                self._store(*group[place], data)
        saved_bytes = STORED_SEGMENT_BYTES - CHAIN_SEGMENT_BYTES / len(group)
        for place, picture in enumerate(pictures):
            if place not in unfit:
                file = shorter_file(picture, coded.net_bits[place] / 8 - saved_bytes)
                if file is not None:
                    unfit[place] = file
                    self._keep(group[place][0], picture.file, file)
        group = [pair for place, pair in enumerate(group) if place not in unfit]
        pictures = [picture for _, picture in group]
        if not group:
            return
        refined = self._options.refine_steps and isinstance(way.form, PixelForm)
        if unfit or refined:
            steps, method = self._options.refine_steps, self._options.refine_method
            coded = coded_with(way, pictures, self._registry, steps, method, advance, effort)
        if not within_limits(coded.payload, pictures, self._registry):
            self._options.report(f"{len(group)} pictures stored: a reader would take too long for their few bytes")
            for number, picture in group:
                self._store(number, picture, stored.encode(picture))
            return
        numbers = [number for number, _ in group]
        self._write(coded.model, numbers, pictures, coded.payload, float(coded.net_bits.sum()))

    def _store(self, number: int, picture: Picture, data: bytes) -> None:
        file = shorter_file(picture, len(data))
        if file is not None:
            self._keep(number, picture.file, file)
            return
        self._write("stored", [number], [picture], Stored(data), 8.0 * len(data))

    def _keep(self, number: int, file: KeptFile | None, data: bytes) -> None:
        assert file is not None
        self._options.report(f"{file.name}: kept as a file: {file.reason}")
        self._write(KEPT, [number], [file], Kept(data), 0.0)

    def _write(self, name: str, numbers: list[int], items: Sequence[Item], payload: Payload, net_bits: float) -> None:
        digest = pictures_digest(items)
        check(payload, digest, items, self._registry, self._options)
        block = blocks.pack_block(blocks.BlockType.SEGMENT, pack_segment(Segment(np.array(numbers), payload, digest)))
        metadata = {
            number: item.metadata
            for number, item in zip(numbers, items, strict=True)
            if isinstance(item, Picture) and item.metadata != NO_METADATA
        }
        summary = Summary.of(name, items, net_bits, payload)
        self._segments.append(EncodedSegment(block, numbers, metadata, summary))
