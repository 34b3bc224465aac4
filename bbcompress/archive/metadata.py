"""The pictures' metadata in a file: those that have any by number, together as LZMA where that is shorter.

Layout, squeezed (`bbcompress.archive.squeeze`): for each picture with metadata the distance of its
number from the one before (at first from 0), the length of its metadata, and these (`bbcompress.images.metadata`).
"""

from collections.abc import Mapping

from bbcompress.archive.errors import ArchiveLimit
from bbcompress.archive.squeeze import squeezed, unsqueezed
from bbcompress.images.metadata import MAX_BYTES, Metadata
from bbcompress.varint import Malformed, Reader, write_varint

MAX_TOTAL_BYTES = 1 << 28
"""All metadata of a file together."""


def pack_metadata(metadata: Mapping[int, Metadata]) -> bytes:
    """The bytes of pictures' metadata by number, ascending. Raises ArchiveLimit."""
    plain, last = bytearray(), 0
    for number, one in metadata.items():
        packed = one.pack()
        plain += write_varint(number - last) + write_varint(len(packed)) + packed
        last = number
    if len(plain) > MAX_TOTAL_BYTES:
        raise ArchiveLimit(f"more than {MAX_TOTAL_BYTES} bytes of metadata; leave it out with --strip")
    return squeezed(bytes(plain))


def unpack_metadata(data: bytes, images: int) -> dict[int, Metadata]:
    """The inverse of `pack_metadata`, for numbers below `images`. Raises Malformed."""
    plain = Reader(unsqueezed(data, MAX_TOTAL_BYTES))
    found: dict[int, Metadata] = {}
    number = 0
    while plain.remaining:
        gap = plain.varint(images)
        number += gap
        if number >= images or (found and gap == 0):
            raise Malformed("metadata of no picture")
        found[number] = Metadata.unpack(plain.take(plain.varint(MAX_BYTES)))
    return found
