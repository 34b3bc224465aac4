"""Whether an array is coded as pictures or kept as a file: by some of its pictures, before any is coded."""

from collections.abc import Sequence
from typing import BinaryIO

from bbcompress.archive.choose import (
    CHAIN_SEGMENT_BYTES,
    QUICK_GAIN,
    SAMPLE_CROPS,
    STORED_SEGMENT_BYTES,
    Candidate,
    candidates,
    estimates,
    is_alone,
)
from bbcompress.archive.options import Options
from bbcompress.codec.registry import Registry
from bbcompress.images import kept, planes, stored
from bbcompress.images.arrays.spans import ArrayFile, Span, distinct_share, read_picture
from bbcompress.images.picture import Picture

_MARGIN = 1.01
"""By so much more than what is estimated pictures may take."""
_FRAME_BYTES = 64
"""Besides, of names and of what says how the file is made."""
_SAMPLE_PIXELS = 1 << 22
"""Of the pictures that stand for all, unless one has more."""
_EXACT_BYTES = 1 << 18
"""Of a file for which it is found at once what keeping it takes."""


def is_kept(array: ArrayFile, unpacked: BinaryIO, file_bytes: int, registry: Registry, options: Options) -> bool:
    """Whether an array's file, of so many bytes, takes less when it is kept than its pictures do."""
    pictures = _pictures_bytes(array, unpacked, registry, options)
    if array.streams or array.size > kept.MAX_PACKED_BYTES:
        return pictures > file_bytes
    if array.size > _EXACT_BYTES:
        as_file = kept.quick_bytes(unpacked, array.size) * distinct_share(unpacked, array.spans)
        if pictures <= QUICK_GAIN * as_file:
            return False
    unpacked.seek(0)
    return pictures > len(kept.encode(unpacked.read(array.size)))


def _pictures_bytes(array: ArrayFile, unpacked: BinaryIO, registry: Registry, options: Options) -> float:
    """What an archive pays for the array as pictures, beyond what it pays for a kept file."""
    found = len(planes.deflate(array.pack())) + _FRAME_BYTES - STORED_SEGMENT_BYTES
    return found + _MARGIN * sum(_span_bytes(span, unpacked, registry, options) for span in array.spans)


def _span_bytes(span: Span, unpacked: BinaryIO, registry: Registry, options: Options) -> float:
    """Of the pictures of a span, with what segments cost besides."""
    # more than SAMPLE_CROPS stand for many, of which a chain's start is no matter
    pixels = span.header.width * span.header.height
    wanted = max(1, min(span.pictures, 2 * SAMPLE_CROPS, _SAMPLE_PIXELS // pixels))
    sample = [read_picture(unpacked, span, number * span.pictures // wanted) for number in range(wanted)]
    groups: dict[tuple[Candidate, ...], list[Picture]] = {}
    for picture in sample:
        ways = candidates(picture, registry, options.model, options.effort > 1)
        groups.setdefault(ways, []).append(picture)
    times = span.pictures / wanted
    return sum(_group_bytes(ways, some, times, registry, options) for ways, some in groups.items())


def _group_bytes(
    ways: tuple[Candidate, ...], pictures: Sequence[Picture], times: float, registry: Registry, options: Options
) -> float:
    """Of so many times the pictures, which can all be coded in the same ways."""
    best = estimates(pictures, ways, registry)[0]
    subpixels = sum(picture.pixels.size for picture in pictures)
    pixels = sum(picture.width * picture.height for picture in pictures)
    if best.candidate is None:
        return times * sum(len(stored.encode(picture)) + STORED_SEGMENT_BYTES for picture in pictures)
    segments = times * (len(pictures) if is_alone(pictures[0], ways) else pixels / options.segment_pixels)
    return times * best.bits_per_dim * subpixels / 8 + CHAIN_SEGMENT_BYTES * max(1, segments)
