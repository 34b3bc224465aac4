"""What a file may ask of its reader. A reader refuses what is over these limits, and a writer makes nothing that is.

Work is counted in *subpixels*: those that a network sees once, or is asked to. What is allowed is in proportion to a
payload's bytes, so that a small file cannot ask for long work: pictures that would take less than 2^-10 bits a subpixel
are stored, which takes less still. `max_pixels` raises pixels and work for those who mean it.
"""

from collections.abc import Sequence

from bbcompress.archive.errors import ArchiveLimit
from bbcompress.codec.chain import Plan
from bbcompress.images.header import MAX_PIXELS

MAX_IMAGES = 1 << 22
"""Pictures of a file."""
MAX_CHAIN_IMAGES = 1 << 18
"""Pictures, or tiles, of a chain."""
MAX_SEGMENT_IMAGES = 1 << 16
"""Pictures that a writer puts into one: their tiles, of `options.MAX_SEGMENT_PIXELS`, are fewer than may be."""
MAX_SIDE = 1 << 24
MAX_TILE = 1 << 10
"""Height and width of a tile: what a network computes together takes some 80 bytes a subpixel."""
MAX_BATCH_SUBPIXELS = 1 << 23
"""Of a chain's largest batch, for the same reason."""

BASE_WORK = 1 << 20
"""What any file may ask for: seconds with the slowest models."""
WORK_PER_BYTE = 1 << 13
"""Of a payload: 2^-10 bits a subpixel."""
IMAGE_WORK = 1 << 7
"""A picture, or tile, takes at least as long as so many subpixels."""
CALL_WORK = 1 << 12
"""And so does a network's call, for a batch or a single picture."""
STEP_WORK = 3
"""A refinement step goes through a network forward, and back, which is twice as much."""


def require_pixels(pixels: int, max_pixels: int) -> None:
    """Raises ArchiveLimit for more pixels than `max_pixels`."""
    if pixels > max_pixels:
        raise ArchiveLimit(f"{pixels} pixels are over the limit of {max_pixels}; -M raises it")


def require_images(images: int, size_bytes: int) -> None:
    """Raises ArchiveLimit for more pictures or tiles than so many bytes can hold, whatever they decode to."""
    if images > most_images(size_bytes):
        raise ArchiveLimit(f"{images} pictures or tiles in {size_bytes} bytes are over the limit")


def most_images(size_bytes: int) -> int:
    """Pictures that a file, or tiles that a chain, of so many bytes may hold."""
    return min(MAX_IMAGES, (BASE_WORK + WORK_PER_BYTE * size_bytes) // IMAGE_WORK)


def require_chain_images(images: int, payload_bytes: int) -> None:
    """Raises ArchiveLimit for more pictures or tiles than a chain of so many bytes may have."""
    require_images(images, payload_bytes)
    if images > MAX_CHAIN_IMAGES:
        raise ArchiveLimit(f"{images} pictures or tiles in a chain are over the limit of {MAX_CHAIN_IMAGES}")


def require_work(work: int, payload_bytes: int, max_pixels: int) -> None:
    """Raises ArchiveLimit for more work than a payload of so many bytes may ask for."""
    allowed = (BASE_WORK + WORK_PER_BYTE * payload_bytes) * max(MAX_PIXELS, max_pixels) // MAX_PIXELS
    if work > allowed:
        asked = f"work on {work} subpixels, over the limit of {allowed}; -M raises it"
        raise ArchiveLimit(f"{payload_bytes} bytes ask for {asked}")


def require_chain(groups: Sequence[tuple[int, int]], plan: Plan, payload_bytes: int, max_pixels: int) -> None:
    """Raises ArchiveLimit for a chain of these groups, (images, subpixels of each), that asks for too much."""
    largest = max(min(images, plan.width) * subpixels for images, subpixels in groups)
    if largest > MAX_BATCH_SUBPIXELS:
        raise ArchiveLimit(f"a batch of {largest} subpixels is over the limit of {MAX_BATCH_SUBPIXELS}")
    require_work(sum(images * subpixels for images, subpixels in groups), payload_bytes, max_pixels)
    require_work(chain_work(groups, plan), payload_bytes, max_pixels)


def chain_work(groups: Sequence[tuple[int, int]], plan: Plan) -> int:
    """The work of decoding a chain of these groups, (images, subpixels of each)."""
    work, left = 0, plan.first
    for images, subpixels in groups:
        first = min(images, left)
        work += first * max(subpixels, CALL_WORK)
        left -= first
    for batch in plan.batches([images for images, _ in groups]):
        count = batch.images.stop - batch.images.start
        work += max(count * groups[batch.group][1], CALL_WORK) * (1 + STEP_WORK * plan.steps)
    return work
