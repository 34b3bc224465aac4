"""Compressing pictures into a file: choosing how to code each, coding, checking, laying out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.archive import blocks
from bbcompress.archive.errors import ArchiveError, ArchiveLimit
from bbcompress.archive.fields import MAX_IMAGES
from bbcompress.archive.forms import PixelForm, alpha_of, form_for, to_pixels
from bbcompress.archive.metadata import pack_metadata
from bbcompress.archive.names import pack_names
from bbcompress.archive.payload import BitsBack, Payload, Stored, Tiles, pictures_digest
from bbcompress.archive.segment import Segment, pack_segment
from bbcompress.archive.single import pack_single
from bbcompress.codec import chain, tiles
from bbcompress.codec.dense import DenseModel
from bbcompress.codec.model_file import Model
from bbcompress.codec.refine import Method as RefineMethod
from bbcompress.codec.registry import Registry
from bbcompress.images import stored
from bbcompress.images.metadata import NO_METADATA, Metadata
from bbcompress.images.picture import Picture
from bbcompress.varint import write_varint

MAX_SEGMENT_SUBPIXELS = 1 << 23
MAX_CHAIN_WIDTH = 128
"""Wider chains are faster, and cost about 5 bits a lane once."""
IMAGES_PER_LANE = 8
TILE = 64
"""Largest height and width of a tile."""
MAX_TILES = 32
"""Tiles coded together."""
MAX_TILE_LANES = 512
SUBPIXELS_PER_LANE = 64
"""A lane takes 32 bits; this many subpixels leave several times as much."""
SAMPLE_IMAGES = 4
"""Images of a group by which models are compared with each other."""
STORED_SEGMENT_BYTES = 46
"""What an archive pays for a stored picture beyond its payload."""
STORED_BYTES_PER_CHANGE = 0.9
"""Storing a digit takes about 1.25 bytes for each pixel unlike the one before it, and seldom less than this."""
STORED_GAIN = 0.005
"""Part of a chain that storing some pictures must save: the others are then coded anew."""


class CheckFailed(ArchiveError):
    """What was written did not decode to what was read. Nothing is kept of it."""


class Candidate(NamedTuple):
    """A model's file and the form in which it can code a picture."""

    model: Path
    form: PixelForm


@dataclass(frozen=True)
class Options:
    """How to compress."""

    refine_steps: int = 0
    model: Path | None = None
    """File of the one model to use where it fits; None tries all that fit and keeps the smallest."""
    check: bool = True
    """Decode everything written, and compare."""
    refine_method: RefineMethod = RefineMethod.NATURAL


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
    """One picture as a file of the small form."""
    summary = Summary()
    name, payload, net_bits = _best_single(picture, registry, options)
    _check(payload, [picture], registry, options)
    data = pack_single(payload, pictures_digest([picture]), picture.metadata)
    summary.count(name, [picture], net_bits)
    summary.total_bytes = len(data)
    return data, summary


def compress_archive(
    pictures: Iterable[tuple[str, Picture]], registry: Registry, options: Options
) -> tuple[bytes, Summary]:
    """Named pictures as an archive. Keeps in memory what it writes, and the pictures of unfinished segments."""
    writer = _Writer(registry, options)
    names = []
    for number, (name, picture) in enumerate(pictures):
        if number == MAX_IMAGES:
            raise ArchiveLimit(f"more than {MAX_IMAGES} images; make several archives")
        names.append(name)
        writer.add(number, picture)
    return writer.finish(names)


class _Writer:
    """Sorts pictures into groups that share their candidates, and writes a segment whenever a group is full."""

    def __init__(self, registry: Registry, options: Options):
        self._registry, self._options = registry, options
        self._groups: dict[tuple[Candidate, ...], list[tuple[int, Picture]]] = {}
        self._out = bytearray(blocks.checked(blocks.header(blocks.Form.ARCHIVE)))
        self._index: list[tuple[int, int]] = []
        self._metadata: dict[int, Metadata] = {}
        self._summary = Summary()

    def add(self, number: int, picture: Picture) -> None:
        if picture.metadata != NO_METADATA:
            self._metadata[number] = picture.metadata
        candidates = _candidates(picture, self._registry, self._options)
        if not candidates:
            self._store(number, picture, stored.encode(picture))
            return
        group = self._groups.setdefault(candidates, [])
        group.append((number, picture))
        if (len(group) + 1) * picture.pixels.size > MAX_SEGMENT_SUBPIXELS:
            self._code(self._groups.pop(candidates), candidates)

    def finish(self, names: list[str]) -> tuple[bytes, Summary]:
        for candidates, group in self._groups.items():
            self._code(group, candidates)
        names_block = blocks.pack_block(blocks.BlockType.NAMES, pack_names(names))
        index = write_varint(len(self._index))
        for size, images in self._index:
            index += write_varint(size) + write_varint(images)
        metadata_block = b""
        if self._metadata:
            metadata_block = blocks.pack_block(blocks.BlockType.METADATA, pack_metadata(self._metadata))
        index += write_varint(len(names_block)) + write_varint(len(metadata_block))
        index_block = blocks.pack_block(blocks.BlockType.INDEX, index)
        self._out += names_block + metadata_block + index_block + blocks.pack_trailer(index_block)
        self._summary.total_bytes = len(self._out)
        return bytes(self._out), self._summary

    def _code(self, group: list[tuple[int, Picture]], candidates: tuple[Candidate, ...]) -> None:
        numbers, pictures = [number for number, _ in group], [picture for _, picture in group]
        path, form = _choose(pictures, candidates, self._registry)
        coded = _encode(self._registry.load(path), pictures, form, self._options)
        unfit = _shorter_stored(coded, pictures)
        if unfit:
            for place, data in unfit.items():
                self._store(*group[place], data)
            fitting = [pair for place, pair in enumerate(group) if place not in unfit]
            if fitting:
                self._code(fitting, (Candidate(path, form),))
            return
        self._write(coded.model, numbers, pictures, coded.payload, float(coded.net_bits.sum()))

    def _store(self, number: int, picture: Picture, data: bytes) -> None:
        self._write("stored", [number], [picture], Stored(data), 8.0 * len(data))

    def _write(self, name: str, numbers: list[int], pictures: list[Picture], payload: Payload, net_bits: float) -> None:
        _check(payload, pictures, self._registry, self._options)
        segment = Segment(np.array(numbers), payload, pictures_digest(pictures))
        block = blocks.pack_block(blocks.BlockType.SEGMENT, pack_segment(segment))
        self._out += block
        self._index.append((len(block), len(numbers)))
        self._summary.count(name, pictures, net_bits)


def _candidates(picture: Picture, registry: Registry, options: Options) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(path, form)
        for path, header in registry.headers()
        if options.model in (None, path) and (form := form_for(picture, header.info)) is not None
    )


class _Coded(NamedTuple):
    """Pictures as a chain."""

    model: str
    payload: BitsBack | Tiles
    net_bits: NDArray[np.float64]
    """Of each picture."""


def _encode(model: Model, pictures: Sequence[Picture], form: PixelForm, options: Options) -> _Coded:
    pixels = [to_pixels(picture, form) for picture in pictures]
    steps, method, name = options.refine_steps, options.refine_method, model.info.name
    if isinstance(model, DenseModel):
        width = min(1 << (len(pixels) // IMAGES_PER_LANE).bit_length(), MAX_CHAIN_WIDTH)
        rows = np.stack(pixels).reshape(len(pixels), -1)
        encoded = chain.encode([chain.Group(model, rows)], chain.Layout(width, width), steps, method)
        return _Coded(name, BitsBack(model.identity, form, encoded.plan, encoded.data), encoded.net_bits)
    sizes = [(picture.height, picture.width) for picture in pictures]
    tiling = tiles.tiling(sizes, TILE)
    cut = [
        chain.Group(model.sized(*group.size), part)
        for group, part in zip(tiling, tiles.cut(pixels, tiling), strict=True)
    ]
    count = sum(len(group.tiles) for group in tiling)
    density = max(1, sum(part.size for part in pixels) // (count * SUBPIXELS_PER_LANE))
    lanes = min(MAX_TILE_LANES, count * density)
    encoded = chain.encode(cut, chain.Layout(MAX_TILES, lanes, density), steps, method)
    net_bits = np.zeros(len(pictures))
    np.add.at(net_bits, [tile.image for group in tiling for tile in group.tiles], encoded.net_bits)
    planes = [plane for picture in pictures if (plane := alpha_of(picture, form)) is not None]
    alphas = [stored.encode(plane) for plane in planes]
    if alphas:
        net_bits += 8.0 * np.array([len(alpha) for alpha in alphas])
    return _Coded(name, Tiles(model.identity, form, encoded.plan, TILE, sizes, alphas, encoded.data), net_bits)


def _best_single(picture: Picture, registry: Registry, options: Options) -> tuple[str, Payload, float]:
    data = stored.encode(picture)
    best: tuple[str, Payload, float] = ("stored", Stored(data), 8.0 * len(data))
    for path, form in _candidates(picture, registry, options):
        coded = _encode(registry.load(path), [picture], form, options)
        if len(pack_single(coded.payload, b"")) < len(pack_single(best[1], b"")):
            best = (coded.model, coded.payload, float(coded.net_bits.sum()))
    return best


def _choose(pictures: list[Picture], candidates: tuple[Candidate, ...], registry: Registry) -> Candidate:
    """The candidate with the shortest code of a few of the pictures."""
    if len(candidates) == 1:
        return candidates[0]
    sample = pictures[:: -(-len(pictures) // SAMPLE_IMAGES)]
    plain = Options(check=False)

    def net_bits(candidate: Candidate) -> float:
        return float(_encode(registry.load(candidate.model), sample, candidate.form, plain).net_bits.sum())

    return min(candidates, key=net_bits)


def _shorter_stored(coded: _Coded, pictures: list[Picture]) -> dict[int, bytes]:
    """Stored bytes of the pictures, by place, that are shorter so than in their chain; none if that gains too little.

    Storing takes longer than a model, so it is tried only on pictures with few changes for what they cost.
    """
    changes = np.array([(picture.pixels.ravel()[1:] != picture.pixels.ravel()[:-1]).sum() for picture in pictures])
    raw_bytes = np.array([picture.pixels.size for picture in pictures]) * (
        1 if coded.payload.form.levels == 256 else 1 / 8
    )
    likely_bytes = STORED_SEGMENT_BYTES + np.minimum(STORED_BYTES_PER_CHANGE * changes, raw_bytes)
    tried = np.flatnonzero(8 * likely_bytes < coded.net_bits)
    shorter = {}
    gain = 0.0
    for place in tried.tolist():
        data = stored.encode(pictures[place])
        gained = float(coded.net_bits[place]) - 8 * (len(data) + STORED_SEGMENT_BYTES)
        if gained > 0:
            shorter[place] = data
            gain += gained
    return shorter if gain > STORED_GAIN * coded.net_bits.sum() else {}


def _check(payload: Payload, pictures: list[Picture], registry: Registry, options: Options) -> None:
    if not options.check:
        return
    limit = sum(picture.width * picture.height for picture in pictures)
    decoded = payload.decode(registry, limit)
    if len(decoded) != len(pictures) or not all(a.same_as(b) for a, b in zip(decoded, pictures, strict=True)):
        raise CheckFailed("what was written does not decode to what was read; please report this")
