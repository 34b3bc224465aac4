"""Segments decoded in other processes: a function of plain data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bbcompress.archive.errors import ArchiveError
from bbcompress.archive.payload import decode_checked
from bbcompress.archive.segment import Segment
from bbcompress.codec.registry import OpenRegistry, Registry
from bbcompress.images.picture import Item


@dataclass
class SegmentDecoder:
    """Decodes segments, the same wherever it is sent; models are opened there, with the first."""

    open_registry: OpenRegistry
    max_pixels: int

    @cached_property
    def registry(self) -> Registry:
        return self.open_registry(1)

    def __call__(
        self, segment: Segment | ArchiveError, report: Callable[[str], object]
    ) -> Sequence[Item] | ArchiveError:
        """The pictures, or why there are none; `report` is told what computes."""
        if isinstance(segment, ArchiveError):
            return segment
        self.registry.engine.report = report
        try:
            return decode_checked(segment.payload, segment.digest, self.registry, self.max_pixels)
        except ArchiveError as error:
            return error
