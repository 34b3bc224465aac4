"""Writing an archive to a file: segments as they come, what says what they are at the end."""

from collections.abc import Mapping
from typing import BinaryIO

from bbcompress.archive import blocks
from bbcompress.archive.arrays import arrays_of
from bbcompress.archive.attributes import Tree, pack_tree
from bbcompress.archive.encode_job import EncodedSegment
from bbcompress.archive.errors import ArchiveError
from bbcompress.archive.index import Entry, Index, pack_index
from bbcompress.archive.metadata import pack_metadata
from bbcompress.archive.names import pack_names
from bbcompress.archive.numbers import Runs, runs_of
from bbcompress.archive.options import Summary
from bbcompress.images.metadata import Metadata
from bbcompress.varint import Malformed


class ArchiveWriter:
    """In memory are the sizes of segments and the pictures' metadata. `file` need not be seekable."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._segments: list[Entry] = []
        self._metadata: dict[int, Metadata] = {}
        self.summary = Summary()
        """Of what was added."""
        self._put(blocks.checked(blocks.header(blocks.Form.ARCHIVE)))

    def add(self, segment: EncodedSegment) -> None:
        """Write a segment."""
        self.add_block(segment.block, runs_of(segment.numbers))
        self.add_metadata(segment.metadata)
        self.summary.add(segment.summary)

    def add_block(self, block: bytes, runs: Runs) -> None:
        """Write the block of a segment of pictures of these numbers."""
        self._put(block)
        self._segments.append(Entry(len(block), runs))

    def add_metadata(self, metadata: Mapping[int, Metadata]) -> None:
        """Of pictures by number."""
        self._metadata.update(metadata)

    def finish(self, names: list[str], tree: Tree | None = None) -> None:
        """Write what follows the segments: `names` by number, and the attributes, if there are any.

        Raises ArchiveError where arrays' pictures have not come one after another.
        """
        try:
            arrays_of(self._metadata, names, len(names))
        except Malformed as error:
            raise ArchiveError(f"cannot be written: {error}") from error
        names_block = blocks.pack_block(blocks.BlockType.NAMES, pack_names(names))
        metadata_block = attributes_block = b""
        if self._metadata:
            metadata_block = blocks.pack_block(
                blocks.BlockType.METADATA, pack_metadata(dict(sorted(self._metadata.items())))
            )
        if tree is not None:
            attributes_block = blocks.pack_block(blocks.BlockType.ATTRIBUTES, pack_tree(tree, names))
        index = Index(self._segments, len(names_block), len(metadata_block), len(attributes_block))
        index_block = blocks.pack_block(blocks.BlockType.INDEX, pack_index(index))
        self._put(names_block + metadata_block + attributes_block + index_block + blocks.pack_trailer(index_block))

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.summary.total_bytes += len(data)
