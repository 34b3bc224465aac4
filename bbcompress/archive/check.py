"""Whether what is about to be written will be read: by decoding it, and by what readers take on."""

from collections.abc import Sequence

from bbcompress.archive.errors import ArchiveError, ArchiveLimit, DamagedArchive
from bbcompress.archive.options import Options, pixels_of
from bbcompress.archive.payload import Kept, Payload, Stored, decode_checked
from bbcompress.codec.registry import Registry
from bbcompress.images.picture import Item, Picture


class CheckFailed(ArchiveError):
    """What was written did not decode to what was read. Nothing is kept of it."""


def within_limits(payload: Payload, pictures: Sequence[Picture], registry: Registry) -> bool:
    """Whether readers will take the payload on, if they do pictures of so many pixels."""
    if isinstance(payload, (Stored, Kept)):
        return True
    try:
        payload.checked_model(registry, pixels_of(pictures))
    except ArchiveLimit:
        return False
    return True


def check(payload: Payload, digest: bytes, items: Sequence[Item], registry: Registry, options: Options) -> None:
    """Decode it, unless that is not wanted. Raises CheckFailed where not the same comes back."""
    if not options.check:
        return
    try:
        decoded = decode_checked(payload, digest, registry, pixels_of(items), options.progress.advance)
    except DamagedArchive:
        decoded = []
    if len(decoded) != len(items) or not all(a.same_as(b) for a, b in zip(decoded, items, strict=True)):
        raise CheckFailed("what was written does not decode to what was read; please report this")
