"""An archive's index: where each block is, and which pictures each segment holds. See docs/FORMAT.md."""

from collections.abc import Iterator
from typing import NamedTuple

from bbcompress.archive import blocks
from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.limits import require_images
from bbcompress.archive.numbers import Runs, count_of, pack_runs, unpack_runs
from bbcompress.varint import Malformed, read_varints, write_varint


class Entry(NamedTuple):
    """A segment."""

    size: int
    """Bytes of its block."""
    runs: Runs
    """Of the numbers of its pictures."""


class Index(NamedTuple):
    """Sizes of all blocks but the index, in bytes, in their order in the file; 0 for blocks that there are not."""

    segments: list[Entry]
    names: int
    metadata: int = 0
    attributes: int = 0

    def places(self) -> Iterator[tuple[blocks.BlockType, int, int]]:
        """Type, offset and size of each block."""
        offset = blocks.HEADER_BYTES
        sizes = [(blocks.BlockType.SEGMENT, entry.size) for entry in self.segments]
        for type in (blocks.BlockType.NAMES, blocks.BlockType.METADATA, blocks.BlockType.ATTRIBUTES):
            size = getattr(self, type.name.lower())
            sizes += [(type, size)] if size or type == blocks.BlockType.NAMES else []
        for type, size in sizes:
            yield type, offset, size
            offset += size

    @property
    def end(self) -> int:
        """Where the index block is."""
        return blocks.HEADER_BYTES + sum(entry.size for entry in self.segments) + sum(self[1:])


def pack_index(index: Index) -> bytes:
    """The body of the index block."""
    out = bytearray(write_varint(len(index.segments)))
    for entry in index.segments:
        out += write_varint(entry.size) + pack_runs(entry.runs)
    out += write_varint(index.names) + write_varint(index.metadata)
    return bytes(out + (write_varint(index.attributes) if index.attributes else b""))


def unpack_index(body: bytes, file_bytes: int) -> Index:
    """The inverse of `pack_index`, of a file of so many bytes. Raises an ArchiveError."""
    try:
        values = iter(read_varints(body, max_bits=35))
        segments, images = [], 0
        for _ in range(next(values)):
            size = next(values)
            entry = Entry(size, unpack_runs(values.__next__, file_bytes))
            images += count_of(entry.runs)
            require_images(images, file_bytes)
            segments.append(entry)
        rest = [next(values), next(values), *values]
        if len(rest) > 3 or rest[2:] == [0]:
            raise Malformed("more than there is in an index")
        return Index(segments, *rest)
    except (StopIteration, Malformed, DamagedArchive) as error:
        why = str(error).removeprefix("damaged: ") or "it ends too early"
        raise DamagedArchive(f"damaged: the index cannot be read: {why}") from error
