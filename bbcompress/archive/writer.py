"""Writing an archive to a file: segments as they come, what says what they are at the end."""

from collections.abc import Mapping
from typing import BinaryIO

from bbcompress.archive import blocks
from bbcompress.archive.attributes import Tree, pack_tree
from bbcompress.archive.encode_job import EncodedSegment
from bbcompress.archive.metadata import pack_metadata
from bbcompress.archive.names import pack_names
from bbcompress.archive.options import Summary
from bbcompress.images.metadata import Metadata
from bbcompress.varint import write_varint


class ArchiveWriter:
    """In memory are the sizes of segments and the pictures' metadata. `file` need not be seekable."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._segments: list[tuple[int, int]] = []
        self._metadata: dict[int, Metadata] = {}
        self.summary = Summary()
        """Of what was added."""
        self._put(blocks.checked(blocks.header(blocks.Form.ARCHIVE)))

    def add(self, segment: EncodedSegment) -> None:
        """Write a segment."""
        self.add_block(segment.block, len(segment.numbers))
        self.add_metadata(segment.metadata)
        self.summary.add(segment.summary)

    def add_block(self, block: bytes, images: int) -> None:
        """Write the block of a segment of so many pictures."""
        self._put(block)
        self._segments.append((len(block), images))

    def add_metadata(self, metadata: Mapping[int, Metadata]) -> None:
        """Of pictures by number."""
        self._metadata.update(metadata)

    def finish(self, names: list[str], tree: Tree | None = None) -> None:
        """Write what follows the segments: `names` by number, and the attributes, if there are any."""
        names_block = blocks.pack_block(blocks.BlockType.NAMES, pack_names(names))
        index = write_varint(len(self._segments))
        index += b"".join(write_varint(size) + write_varint(images) for size, images in self._segments)
        metadata_block = b""
        if self._metadata:
            metadata_block = blocks.pack_block(
                blocks.BlockType.METADATA, pack_metadata(dict(sorted(self._metadata.items())))
            )
        index += write_varint(len(names_block)) + write_varint(len(metadata_block))
        attributes_block = b""
        if tree is not None:
            attributes_block = blocks.pack_block(blocks.BlockType.ATTRIBUTES, pack_tree(tree, names))
            index += write_varint(len(attributes_block))
        index_block = blocks.pack_block(blocks.BlockType.INDEX, index)
        self._put(names_block + metadata_block + attributes_block + index_block + blocks.pack_trailer(index_block))

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.summary.total_bytes += len(data)
