"""Compressing pictures and other files into a file: choosing how to code each, coding, checking, laying out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bbcompress.archive import blocks
from bbcompress.archive.attributes import Tree, pack_tree
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
    is_large,
    may_be_stored,
    promising,
    shorter_file,
    shorter_stored,
)
from bbcompress.archive.encode import Coded
from bbcompress.archive.errors import ArchiveError, ArchiveLimit, DamagedArchive, UnfitModel
from bbcompress.archive.forms import PixelForm, misfit
from bbcompress.archive.index import Entry, Index, pack_index
from bbcompress.archive.limits import MAX_IMAGES, MAX_SEGMENT_IMAGES
from bbcompress.archive.metadata import pack_metadata
from bbcompress.archive.names import pack_names
from bbcompress.archive.numbers import runs_of
from bbcompress.archive.payload import BitsBack, Kept, Payload, Stored, Tiles, decode_checked, pictures_digest
from bbcompress.archive.segment import Segment, pack_segment
from bbcompress.archive.single import DIGEST_BYTES, pack_single
from bbcompress.codec.refine import Method as RefineMethod
from bbcompress.codec.registry import Registry
from bbcompress.images import kept, stored
from bbcompress.images.metadata import NO_METADATA, Metadata
from bbcompress.images.picture import Item, KeptFile, Picture
from bbcompress.progress import Progress

MAX_SEGMENT_SUBPIXELS = 1 << 23
KEPT = "kept as files"
"""The method of these in a summary."""


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
    effort: int = 2
    """1: predictors alone, which are quick, for all pictures that they can code; 2: what is promising is tried."""
    report: Callable[[str], None] = lambda text: None
    """Told what was chosen, and why."""
    progress: Progress = field(default_factory=Progress)
    """Told of pixels that are coded and checked."""


@dataclass
class Summary:
    """What was made, for reports."""

    images: int = 0
    """With kept files."""
    subpixels: int = 0
    net_bits: float = 0.0
    """The cost of the symbols alone, as the paper counts."""
    total_bytes: int = 0
    """The whole file."""
    methods: dict[str, int] = field(default_factory=dict)
    """Images by the model's name, or `stored`, or `KEPT`."""
    refinable: int = 0
    """Images coded with latents, which refinement steps can make smaller."""
    kept: dict[str, int] = field(default_factory=dict)
    """Kept files by the reason."""

    def count(self, name: str, items: Sequence[Item], net_bits: float, payload: Payload) -> None:
        self.images += len(items)
        self.refinable += len(items) if isinstance(payload, (BitsBack, Tiles)) else 0
        self.subpixels += sum(item.pixels.size for item in items if isinstance(item, Picture))
        self.net_bits += net_bits
        for item in items:
            if isinstance(item, KeptFile):
                self.kept[item.reason] = self.kept.get(item.reason, 0) + 1
        self.methods[name] = self.methods.get(name, 0) + len(items)

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why files were kept and how many, the most frequent first."""
        return sorted(self.kept.items(), key=lambda found: (-found[1], found[0]))

    @property
    def net_bits_per_dim(self) -> float:
        return self.net_bits / max(1, self.subpixels)

    @property
    def total_bits_per_dim(self) -> float:
        return 8 * self.total_bytes / max(1, self.subpixels)


def compress_single(item: Item, registry: Registry, options: Options) -> tuple[bytes, Summary]:
    """One picture or other file as a file of the small form. Raises UnfitModel where the model that was asked for
    cannot code it."""
    summary = Summary()
    options.progress.total = pixels_of([item])
    if isinstance(item, KeptFile):
        if unfit := unfit_model(item, (), registry, options):
            raise unfit
        options.report(f"{item.name}: kept as a file: {item.reason}")
        way = _Single(KEPT, Kept(kept.encode(item.data), item.name), 0.0)
    else:
        way = _best_single(item, registry, options)
        if isinstance(way.payload, Kept) and item.file:
            item = item.file
    digest = pictures_digest([item])
    _check(way.payload, digest, [item], registry, options)
    options.progress.end()
    data = pack_single(way.payload, digest, item.metadata if isinstance(item, Picture) else NO_METADATA)
    summary.count(way.name, [item], way.net_bits, way.payload)
    summary.total_bytes = len(data)
    return data, summary


def compress_archive(
    items: Iterable[tuple[str, Item]], registry: Registry, options: Options, tree: Tree | None = None
) -> tuple[bytes, Summary]:
    """Named pictures and other files as an archive, with the attributes of their files and folders, if there are any.

    Keeps in memory what it writes, and the pictures of unfinished segments. Raises UnfitModel where the model that was
    asked for can code none of them.
    """
    writer = _Writer(registry, options)
    names = []
    for number, (name, item) in enumerate(items):
        if number == MAX_IMAGES:
            raise ArchiveLimit(f"more than {MAX_IMAGES} images; make several archives")
        names.append(name)
        writer.add(number, name, item)
    return writer.finish(names, tree)


class _Writer:
    """Sorts pictures into groups that share their candidates, and writes a segment whenever a group is full."""

    def __init__(self, registry: Registry, options: Options):
        self._registry, self._options = registry, options
        self._groups: dict[tuple[Candidate, ...], list[tuple[int, Picture]]] = {}
        self._subpixels: dict[tuple[Candidate, ...], int] = {}
        self._out = bytearray(blocks.checked(blocks.header(blocks.Form.ARCHIVE)))
        self._index: list[Entry] = []
        self._metadata: dict[int, Metadata] = {}
        self._summary = Summary()
        self._unfit: UnfitModel | None = None
        """Why the model that was asked for does not fit the first picture or file."""
        self._fits = False
        """Whether it fits one."""

    def add(self, number: int, name: str, item: Item) -> None:
        if isinstance(item, KeptFile):
            self._unfit = self._unfit or unfit_model(item, (), self._registry, self._options)
            self._options.progress.begin(pixels_of([item]))
            self._keep(number, replace(item, name=name), kept.encode(item.data))
            self._options.progress.end()
            return
        picture = item if item.file is None else replace(item, file=replace(item.file, name=name))
        ways = candidates(picture, self._registry, self._options.model, self._options.effort > 1)
        self._fits |= bool(ways)
        self._unfit = self._unfit or unfit_model(picture, ways, self._registry, self._options)
        if not ways:
            self._options.progress.begin(pixels_of([picture]))
            self._store(number, picture, stored.encode(picture))
            self._options.progress.end()
            return
        if is_alone(picture, ways):
            self._code([(number, picture)], ways)
            return
        too_many = len(self._groups.get(ways, ())) == MAX_SEGMENT_IMAGES
        too_large = self._subpixels.get(ways, 0) + picture.pixels.size > MAX_SEGMENT_SUBPIXELS
        if (too_many or too_large) and ways in self._groups:
            self._code(self._groups.pop(ways), ways)
            self._subpixels[ways] = 0
        self._groups.setdefault(ways, []).append((number, picture))
        self._subpixels[ways] = self._subpixels.get(ways, 0) + picture.pixels.size

    def finish(self, names: list[str], tree: Tree | None) -> tuple[bytes, Summary]:
        if self._unfit and not self._fits:
            raise self._unfit
        for ways, group in self._groups.items():
            self._code(group, ways)
        names_block = blocks.pack_block(blocks.BlockType.NAMES, pack_names(names))
        metadata_block = attributes_block = b""
        if self._metadata:
            metadata_block = blocks.pack_block(
                blocks.BlockType.METADATA, pack_metadata(dict(sorted(self._metadata.items())))
            )
        if tree is not None:
            attributes_block = blocks.pack_block(blocks.BlockType.ATTRIBUTES, pack_tree(tree, names))
        index = Index(self._index, len(names_block), len(metadata_block), len(attributes_block))
        index_block = blocks.pack_block(blocks.BlockType.INDEX, pack_index(index))
        self._out += names_block + metadata_block + attributes_block + index_block + blocks.pack_trailer(index_block)
        self._summary.total_bytes = len(self._out)
        return bytes(self._out), self._summary

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
        coded = coded_with(way, pictures, self._registry, advance=self._options.progress.advance)
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
            options = self._options
            steps, method = options.refine_steps, options.refine_method
            coded = coded_with(way, pictures, self._registry, steps, method, advance=options.progress.advance)
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
        _check(payload, digest, items, self._registry, self._options)
        for number, item in zip(numbers, items, strict=True):
            if isinstance(item, Picture) and item.metadata != NO_METADATA:
                self._metadata[number] = item.metadata
        segment = Segment(np.array(numbers), payload, digest)
        block = blocks.pack_block(blocks.BlockType.SEGMENT, pack_segment(segment))
        self._out += block
        self._index.append(Entry(len(block), runs_of(numbers)))
        self._summary.count(name, items, net_bits, payload)


def pixels_of(items: Sequence[Item]) -> int:
    """How many pixels pictures have together; of a kept file, a byte counts as one."""
    return sum(item.width * item.height if isinstance(item, Picture) else len(item.data) for item in items)


class _Single(NamedTuple):
    """One way to code a picture."""

    name: str
    payload: Payload
    net_bits: float

    def size(self, picture: Picture) -> int:
        """Bytes of the file."""
        metadata = NO_METADATA if isinstance(self.payload, Kept) else picture.metadata
        return len(pack_single(self.payload, bytes(DIGEST_BYTES), metadata))


def _best_single(picture: Picture, registry: Registry, options: Options) -> _Single:
    ways = candidates(picture, registry, options.model, options.effort > 1)
    if unfit := unfit_model(picture, ways, registry, options):
        raise unfit
    tried: list[Candidate | None] = [None, *ways]
    if ways and is_alone(picture, ways):
        tried = list(ways)
    elif ways and is_large(picture):
        found = estimates([picture], ways, registry)
        options.report("about " + described(found))
        tried = [way.candidate for way in promising(found)]
    options.progress.begin(pixels_of([picture]), sum(way is not None for way in tried) + options.check)
    # beside the models, of which not all keep every thread busy
    storing = registry.engine.submit(lambda: stored.encode(picture)) if None in tried else None
    chains = [_coded_alone(picture, way, registry, options) for way in tried if way is not None]
    coded = [_Single(one.model, one.payload, float(one.net_bits.sum())) for one in chains]
    coded = [way for way in coded if within_limits(way.payload, [picture], registry)]
    if storing is not None or not coded or (is_alone(picture, ways) and shorter_stored(chains[0], [picture], False)):
        data = storing.result() if storing is not None else stored.encode(picture)
        coded.append(_Single("stored", Stored(data), 8.0 * len(data)))
    if picture.file is not None:
        file = shorter_file(picture, min(len(way.payload.data) for way in coded))
        if file is not None:
            coded.append(_Single(KEPT, Kept(file, picture.file.name), 0.0))
    sizes = [way.size(picture) for way in coded]
    options.report(", ".join(f"{way.name} {size} bytes" for way, size in zip(coded, sizes, strict=True)))
    return coded[sizes.index(min(sizes))]


def _coded_alone(picture: Picture, way: Candidate, registry: Registry, options: Options) -> Coded:
    steps, method = options.refine_steps, options.refine_method
    return coded_with(way, [picture], registry, steps, method, advance=options.progress.advance)


def unfit_model(item: Item, ways: Sequence[Candidate], registry: Registry, options: Options) -> UnfitModel | None:
    """Why the model that was asked for is not among the ways to code a picture or file, or None."""
    if options.model is None or ways:
        return None
    info = next(header.info for path, header in registry.headers() if path == options.model)
    if isinstance(item, KeptFile):
        return UnfitModel(f"the model {info.name} is for pictures, and this file is kept as it is: {item.reason}")
    return UnfitModel(misfit(item, info))


def within_limits(payload: Payload, pictures: Sequence[Picture], registry: Registry) -> bool:
    """Whether readers will take the payload on, if they do pictures of so many pixels."""
    if isinstance(payload, (Stored, Kept)):
        return True
    try:
        payload.checked_model(registry, pixels_of(pictures))
    except ArchiveLimit:
        return False
    return True


def _check(payload: Payload, digest: bytes, items: Sequence[Item], registry: Registry, options: Options) -> None:
    if not options.check:
        return
    try:
        decoded = decode_checked(payload, digest, registry, pixels_of(items), options.progress.advance)
    except DamagedArchive:
        decoded = []
    if len(decoded) != len(items) or not all(a.same_as(b) for a, b in zip(decoded, items, strict=True)):
        raise CheckFailed("what was written does not decode to what was read; please report this")
