"""Compressing pictures into a file: choosing how to code each, coding, checking, laying out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bbcompress.archive import blocks
from bbcompress.archive.attributes import Tree, pack_tree
from bbcompress.archive.choose import (
    Candidate,
    Estimate,
    best_model,
    candidates,
    described,
    estimates,
    is_large,
    may_be_stored,
    promising,
    shorter_stored,
)
from bbcompress.archive.encode import encode
from bbcompress.archive.errors import ArchiveError, ArchiveLimit, DamagedArchive, UnfitModel
from bbcompress.archive.forms import misfit
from bbcompress.archive.limits import MAX_IMAGES, MAX_SEGMENT_IMAGES
from bbcompress.archive.metadata import pack_metadata
from bbcompress.archive.names import pack_names
from bbcompress.archive.payload import Payload, Stored, decode_checked, pictures_digest
from bbcompress.archive.segment import Segment, pack_segment
from bbcompress.archive.single import DIGEST_BYTES, pack_single
from bbcompress.codec.refine import Method as RefineMethod
from bbcompress.codec.registry import Registry
from bbcompress.images import stored
from bbcompress.images.metadata import NO_METADATA, Metadata
from bbcompress.images.picture import Picture
from bbcompress.progress import Progress
from bbcompress.varint import write_varint

MAX_SEGMENT_SUBPIXELS = 1 << 23


class CheckFailed(ArchiveError):
    """What was written did not decode to what was read. Nothing is kept of it."""


@dataclass(frozen=True)
class Options:
    """How to compress."""

    refine_steps: int = 0
    model: Path | None = None
    """File of the one model to use where it fits, which it must for one picture; None tries all that fit and keeps the
    smallest."""
    check: bool = True
    """Decode everything written, and compare."""
    refine_method: RefineMethod = RefineMethod.NATURAL
    fast: bool = False
    """Go by estimates from crops alone; else the promising ways are tried in full, and the smallest kept."""
    report: Callable[[str], None] = lambda text: None
    """Told what was chosen, and why."""
    progress: Progress = field(default_factory=Progress)
    """Told of pixels that are coded and checked."""


@dataclass
class Summary:
    """What was made, for reports."""

    images: int = 0
    subpixels: int = 0
    net_bits: float = 0.0
    """The cost of the symbols alone, as the paper counts."""
    total_bytes: int = 0
    """The whole file."""
    methods: dict[str, int] = field(default_factory=dict)
    """Images by the model's name, or `stored`."""

    def count(self, name: str, pictures: Sequence[Picture], net_bits: float) -> None:
        self.images += len(pictures)
        self.subpixels += sum(picture.pixels.size for picture in pictures)
        self.net_bits += net_bits
        self.methods[name] = self.methods.get(name, 0) + len(pictures)

    @property
    def net_bits_per_dim(self) -> float:
        return self.net_bits / max(1, self.subpixels)

    @property
    def total_bits_per_dim(self) -> float:
        return 8 * self.total_bytes / max(1, self.subpixels)


def compress_single(picture: Picture, registry: Registry, options: Options) -> tuple[bytes, Summary]:
    """One picture as a file of the small form. Raises UnfitModel where the model that was asked for cannot code it."""
    summary = Summary()
    options.progress.total = pixels_of([picture])
    name, payload, net_bits = _best_single(picture, registry, options)
    digest = pictures_digest([picture])
    _check(payload, digest, [picture], registry, options)
    options.progress.end()
    data = pack_single(payload, digest, picture.metadata)
    summary.count(name, [picture], net_bits)
    summary.total_bytes = len(data)
    return data, summary


def compress_archive(
    pictures: Iterable[tuple[str, Picture]], registry: Registry, options: Options, tree: Tree | None = None
) -> tuple[bytes, Summary]:
    """Named pictures as an archive, with the attributes of their files and folders, if there are any.

    Keeps in memory what it writes, and the pictures of unfinished segments. Raises UnfitModel where the model that was
    asked for can code none of them.
    """
    writer = _Writer(registry, options)
    names = []
    for number, (name, picture) in enumerate(pictures):
        if number == MAX_IMAGES:
            raise ArchiveLimit(f"more than {MAX_IMAGES} images; make several archives")
        names.append(name)
        writer.add(number, picture)
    return writer.finish(names, tree)


class _Writer:
    """Sorts pictures into groups that share their candidates, and writes a segment whenever a group is full."""

    def __init__(self, registry: Registry, options: Options):
        self._registry, self._options = registry, options
        self._groups: dict[tuple[Candidate, ...], list[tuple[int, Picture]]] = {}
        self._subpixels: dict[tuple[Candidate, ...], int] = {}
        self._out = bytearray(blocks.checked(blocks.header(blocks.Form.ARCHIVE)))
        self._index: list[tuple[int, int]] = []
        self._metadata: dict[int, Metadata] = {}
        self._summary = Summary()
        self._unfit: UnfitModel | None = None
        """Why the model that was asked for does not fit the first picture, until it fits one."""

    def add(self, number: int, picture: Picture) -> None:
        if picture.metadata != NO_METADATA:
            self._metadata[number] = picture.metadata
        ways = candidates(picture, self._registry, self._options.model)
        if number == 0 or ways:
            self._unfit = unfit_model(picture, ways, self._registry, self._options)
        if not ways:
            self._options.progress.begin(pixels_of([picture]))
            self._store(number, picture, stored.encode(picture))
            self._options.progress.end()
            return
        too_many = len(self._groups.get(ways, ())) == MAX_SEGMENT_IMAGES
        too_large = self._subpixels.get(ways, 0) + picture.pixels.size > MAX_SEGMENT_SUBPIXELS
        if (too_many or too_large) and ways in self._groups:
            self._code(self._groups.pop(ways), ways)
            self._subpixels[ways] = 0
        self._groups.setdefault(ways, []).append((number, picture))
        self._subpixels[ways] = self._subpixels.get(ways, 0) + picture.pixels.size

    def finish(self, names: list[str], tree: Tree | None) -> tuple[bytes, Summary]:
        if self._unfit:
            raise self._unfit
        for ways, group in self._groups.items():
            self._code(group, ways)
        names_block = blocks.pack_block(blocks.BlockType.NAMES, pack_names(names))
        index = write_varint(len(self._index))
        for size, images in self._index:
            index += write_varint(size) + write_varint(images)
        metadata_block = b""
        if self._metadata:
            metadata_block = blocks.pack_block(blocks.BlockType.METADATA, pack_metadata(self._metadata))
        index += write_varint(len(names_block)) + write_varint(len(metadata_block))
        attributes_block = b""
        if tree is not None:
            attributes_block = blocks.pack_block(blocks.BlockType.ATTRIBUTES, pack_tree(tree, names))
            index += write_varint(len(attributes_block))
        index_block = blocks.pack_block(blocks.BlockType.INDEX, index)
        self._out += names_block + metadata_block + attributes_block + index_block + blocks.pack_trailer(index_block)
        self._summary.total_bytes = len(self._out)
        return bytes(self._out), self._summary

    def _code(self, group: list[tuple[int, Picture]], ways: tuple[Candidate, ...]) -> None:
        options = self._options
        pictures = [picture for _, picture in group]
        found = estimates(pictures, ways, self._registry)
        passes = (not options.fast) + (options.fast or options.refine_steps > 0) + options.check
        options.progress.begin(pixels_of(pictures), passes)
        self._code_as(found, group)
        options.progress.end()

    def _code_as(self, found: list[Estimate], group: list[tuple[int, Picture]]) -> None:
        pictures = [picture for _, picture in group]
        self._options.report(f"{len(group)} pictures: about {described(found)}")
        way = (found[0] if self._options.fast else best_model(found)).candidate
        if way is None:
            for number, picture in group:
                self._store(number, picture, stored.encode(picture))
            return
        model = self._registry.load(way.model)
        coded, unfit = None, dict[int, bytes]()
        if not self._options.fast:
            # without steps, which take much longer and would be in vain for what is stored
            coded = encode(model, pictures, way.form, advance=self._options.progress.advance)
            unfit = shorter_stored(coded, pictures, may_be_stored(found))
        if unfit:
            self._options.report(f"{len(unfit)} of {len(group)} pictures stored: shorter than with {model.info.name}")
            for place, data in unfit.items():
                self._store(*group[place], data)
            group = [pair for place, pair in enumerate(group) if place not in unfit]
            pictures = [picture for _, picture in group]
        if not group:
            return
        if coded is None or unfit or self._options.refine_steps:
            options = self._options
            steps, method = options.refine_steps, options.refine_method
            coded = encode(model, pictures, way.form, steps, method, advance=options.progress.advance)
        if not within_limits(coded.payload, pictures, self._registry):
            self._options.report(f"{len(group)} pictures stored: a reader would take too long for their few bytes")
            for number, picture in group:
                self._store(number, picture, stored.encode(picture))
            return
        numbers = [number for number, _ in group]
        self._write(coded.model, numbers, pictures, coded.payload, float(coded.net_bits.sum()))

    def _store(self, number: int, picture: Picture, data: bytes) -> None:
        self._write("stored", [number], [picture], Stored(data), 8.0 * len(data))

    def _write(self, name: str, numbers: list[int], pictures: list[Picture], payload: Payload, net_bits: float) -> None:
        digest = pictures_digest(pictures)
        _check(payload, digest, pictures, self._registry, self._options)
        segment = Segment(np.array(numbers), payload, digest)
        block = blocks.pack_block(blocks.BlockType.SEGMENT, pack_segment(segment))
        self._out += block
        self._index.append((len(block), len(numbers)))
        self._summary.count(name, pictures, net_bits)


def pixels_of(pictures: Sequence[Picture]) -> int:
    """How many pixels pictures have together."""
    return sum(picture.width * picture.height for picture in pictures)


class _Single(NamedTuple):
    """One way to code a picture."""

    name: str
    payload: Payload
    net_bits: float

    @property
    def size(self) -> int:
        """Bytes of the file but for what all ways have alike."""
        return len(pack_single(self.payload, bytes(DIGEST_BYTES)))


def _best_single(picture: Picture, registry: Registry, options: Options) -> _Single:
    ways = candidates(picture, registry, options.model)
    if unfit := unfit_model(picture, ways, registry, options):
        raise unfit
    tried: list[Candidate | None] = [None, *ways]
    if ways and is_large(picture):
        found = estimates([picture], ways, registry)
        options.report("about " + described(found))
        tried = [way.candidate for way in (found[:1] if options.fast else promising(found))]
    options.progress.begin(pixels_of([picture]), sum(way is not None for way in tried) + options.check)
    # beside the models, of which not all keep every thread busy
    storing = registry.engine.submit(lambda: stored.encode(picture)) if None in tried else None
    coded = [_single(picture, way, registry, options) for way in tried if way is not None]
    coded = [way for way in coded if within_limits(way.payload, [picture], registry)]
    if storing is not None or not coded:
        data = storing.result() if storing is not None else stored.encode(picture)
        coded.append(_Single("stored", Stored(data), 8.0 * len(data)))
    options.report(", ".join(f"{way.name} {way.size} bytes" for way in coded))
    return min(coded, key=lambda way: way.size)


def _single(picture: Picture, way: Candidate, registry: Registry, options: Options) -> _Single:
    model = registry.load(way.model)
    steps, method = options.refine_steps, options.refine_method
    coded = encode(model, [picture], way.form, steps, method, advance=options.progress.advance)
    return _Single(coded.model, coded.payload, float(coded.net_bits.sum()))


def unfit_model(picture: Picture, ways: Sequence[Candidate], registry: Registry, options: Options) -> UnfitModel | None:
    """Why the model that was asked for is not among the ways to code the picture, or None."""
    if options.model is None or ways:
        return None
    info = next(header.info for path, header in registry.headers() if path == options.model)
    return UnfitModel(misfit(picture, info))


def within_limits(payload: Payload, pictures: Sequence[Picture], registry: Registry) -> bool:
    """Whether readers will take the payload on, if they do pictures of so many pixels."""
    if isinstance(payload, Stored):
        return True
    try:
        payload.checked_model(registry, pixels_of(pictures))
    except ArchiveLimit:
        return False
    return True


def _check(payload: Payload, digest: bytes, pictures: list[Picture], registry: Registry, options: Options) -> None:
    if not options.check:
        return
    try:
        decoded = decode_checked(payload, digest, registry, pixels_of(pictures), options.progress.advance)
    except DamagedArchive:
        decoded = []
    if len(decoded) != len(pictures) or not all(a.same_as(b) for a, b in zip(decoded, pictures, strict=True)):
        raise CheckFailed("what was written does not decode to what was read; please report this")
