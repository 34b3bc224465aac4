"""Reading files: what they hold, and their pictures, segment by segment."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from bbcompress.archive import blocks
from bbcompress.archive.attributes import Tree, unpack_tree
from bbcompress.archive.errors import ArchiveError, ArchiveLimit, DamagedArchive
from bbcompress.archive.limits import MAX_IMAGES, most_images, require_images
from bbcompress.archive.metadata import unpack_metadata
from bbcompress.archive.names import unpack_names
from bbcompress.archive.payload import Kept, Payload, decode_checked
from bbcompress.archive.segment import Numbers, Segment, unpack_segment
from bbcompress.archive.single import unpack_single
from bbcompress.codec.registry import Registry
from bbcompress.images.header import MAX_PIXELS
from bbcompress.images.metadata import NO_METADATA, Metadata
from bbcompress.images.picture import Item, Picture
from bbcompress.progress import Progress
from bbcompress.varint import Malformed, Reader


class Decoded(NamedTuple):
    """One picture, or kept file, with its number and name (None in the small form, or where names are lost)."""

    number: int
    name: str | None
    picture: Item


class Part(NamedTuple):
    """A segment of a file: what can be said of it without decoding."""

    numbers: Numbers
    payload: Payload
    digest: bytes
    size: int
    """Bytes it takes in the file."""


class Archive:
    """A file's parts and names, checked but not yet decoded.

    With `recover`, damage outside the parts that are wanted is put into `damage`, a list of one-line messages,
    instead of being raised.
    """

    def __init__(self, data: bytes, recover: bool = False):
        self.form = blocks.read_form(data)
        self.size = len(data)
        self.damage: list[str] = []
        self.names: list[str] | None = None
        self.metadata: dict[int, Metadata] = {}
        """Of the pictures that have any, by number."""
        self.tree = Tree()
        """Attributes of files and folders, where they are kept."""
        self.parts: list[Part] = []
        self._indexed = 0
        self._recover = recover
        if self.form == blocks.Form.SINGLE:
            payload, digest, metadata = unpack_single(data)
            self.parts.append(Part(np.array([0]), payload, digest, len(data)))
            self.metadata = {0: metadata} if metadata != NO_METADATA else {}
        else:
            self._read_archive(data)

    @property
    def images(self) -> int:
        return sum(len(part.numbers) for part in self.parts)

    @property
    def kept_name(self) -> str | None:
        """The name that a single kept file has in the small form, which may be "*" and a suffix, or empty."""
        payload = self.parts[0].payload if self.form == blocks.Form.SINGLE else None
        return payload.name if isinstance(payload, Kept) else None

    def decode(
        self, registry: Registry, max_pixels: int = MAX_PIXELS, progress: Progress | None = None
    ) -> Iterator[Decoded]:
        """All pictures, part by part. Raises an ArchiveError, or notes it in `damage` and goes on."""
        progress = progress or Progress()
        progress.total = sum(part.payload.followed_pixels(registry) for part in self.parts)
        for part in self.parts:
            progress.begin(part.payload.followed_pixels(registry))
            try:
                pictures = decode_checked(part.payload, part.digest, registry, max_pixels, progress.advance)
                progress.end()
            except ArchiveError as error:
                if not self._recover:
                    raise
                self.damage.append(f"{self._describe(part.numbers)}: {error}")
                continue
            for number, picture in zip(part.numbers.tolist(), pictures, strict=True):
                name = self.names[number] if self.names else None
                whole: Item
                if isinstance(picture, Picture):
                    whole = replace(picture, metadata=self.metadata.get(number, NO_METADATA))
                else:
                    whole = replace(picture, name=PurePosixPath(name).name) if name else picture
                yield Decoded(number, name, whole)

    def _describe(self, numbers: Numbers) -> str:
        if len(numbers) == 1:
            return f"picture {numbers[0] + 1} is lost"
        return f"{len(numbers)} pictures, numbers {numbers[0] + 1} to {numbers[-1] + 1}, are lost"

    def _read_archive(self, data: bytes) -> None:
        found = self._by_index(data)
        names_body: bytes | None = None
        metadata_body: bytes | None = None
        attributes_body: bytes | None = None
        images = 0
        for block in found:
            if block.type == blocks.BlockType.NAMES:
                # a damaged index may look like names
                names_body = block.body or names_body
            if block.type == blocks.BlockType.METADATA:
                metadata_body = block.body or metadata_body
            if block.type == blocks.BlockType.ATTRIBUTES:
                attributes_body = block.body or attributes_body
            if block.body is None:
                self._note(DamagedArchive(f"damaged: the checksum of the block at byte {block.offset} is wrong"))
            elif block.type == blocks.BlockType.SEGMENT:
                try:
                    segment = unpack_segment(block.body)
                except ArchiveError as error:
                    self._note(error)
                else:
                    self.parts.append(_part(segment, block))
                    images += len(segment.numbers)
                    require_images(images, len(data))
        numbers = np.sort(np.concatenate([part.numbers for part in self.parts])) if self.parts else np.arange(0)
        if (numbers[1:] == numbers[:-1]).any():
            raise DamagedArchive("damaged: two segments hold the same picture")
        if images and numbers[-1] != images - 1:
            self._note(DamagedArchive("damaged: segments are missing"))
        if images != self._indexed and not self.damage:
            self._note(DamagedArchive("damaged: the index does not count the segments' pictures"))
        if names_body is not None:
            try:
                # what is lost has names too
                names = unpack_names(names_body, most_images(len(data)) if self.damage else images)
                if len(set(names)) != len(names) or len(names) <= numbers.max(initial=-1):
                    raise Malformed("two pictures have one name, or one has none")
                self.names = names
            except Malformed as error:
                self._note(DamagedArchive(f"damaged: the names cannot be read ({error})"))
        if metadata_body is not None:
            try:
                self.metadata = unpack_metadata(metadata_body, most_images(len(data)) if self.damage else images)
            except Malformed as error:
                self._note(DamagedArchive(f"damaged: the metadata cannot be read ({error})"))
        if attributes_body is not None and self.names is not None:
            try:
                self.tree = unpack_tree(attributes_body, self.names)
            except Malformed as error:
                self._note(DamagedArchive(f"damaged: the attributes cannot be read ({error})"))

    def _by_index(self, data: bytes) -> list[blocks.Block]:
        """All blocks but the index, found by it; by walking where that is damaged and we recover."""
        try:
            start = blocks.read_trailer(data)
            index = blocks.read_block(data, start)
            if index.type != blocks.BlockType.INDEX or index.body is None:
                raise DamagedArchive("damaged: the checksum of the index is wrong")
            if start + index.size != len(data) - blocks.TRAILER_BYTES:
                raise DamagedArchive("damaged: bytes between the index and the end")
            return self._blocks_of_index(data, index.body, start)
        except (DamagedArchive, Malformed) as error:
            self._note(error if isinstance(error, ArchiveError) else DamagedArchive(f"damaged: {error}"))
            return _walk(data)

    def _blocks_of_index(self, data: bytes, body: bytes, end: int) -> list[blocks.Block]:
        reader = Reader(body)
        segments = reader.varint(MAX_IMAGES)
        sizes = []
        for _ in range(segments):
            sizes.append((reader.varint(len(data)), blocks.BlockType.SEGMENT))
            self._indexed += reader.varint(MAX_IMAGES)
        sizes.append((reader.varint(len(data)), blocks.BlockType.NAMES))
        metadata_size = reader.varint(len(data))
        if metadata_size:
            sizes.append((metadata_size, blocks.BlockType.METADATA))
        if reader.remaining:
            sizes.append((reader.varint(len(data)), blocks.BlockType.ATTRIBUTES))
        if self._indexed > MAX_IMAGES:
            raise ArchiveLimit(f"more than {MAX_IMAGES} pictures")
        offset = 3 + blocks.CRC_BYTES
        if reader.remaining or offset + sum(size for size, _ in sizes) != end:
            raise DamagedArchive("damaged: the index does not fit the file")
        found = []
        for size, wanted in sizes:
            try:
                block = blocks.read_block(data, offset)
            except DamagedArchive:
                block = blocks.Block(offset, size, wanted, None)
            if block.size != size or block.type != wanted:
                block = blocks.Block(offset, size, wanted, None)
            found.append(block)
            offset += size
        return found

    def _note(self, error: ArchiveError) -> None:
        if not self._recover:
            raise error
        self.damage.append(str(error))


def _part(segment: Segment, block: blocks.Block) -> Part:
    return Part(segment.numbers, segment.payload, segment.digest, block.size)


def _walk(data: bytes) -> list[blocks.Block]:
    """Blocks one after another from the start, as far as their lengths make sense."""
    offset = 3 + blocks.CRC_BYTES
    found = []
    while offset < len(data):
        try:
            block = blocks.read_block(data, offset)
        except ArchiveError:
            break
        if block.type not in set(blocks.BlockType) - {blocks.BlockType.INDEX}:
            break
        found.append(block)
        offset += block.size
    return found
