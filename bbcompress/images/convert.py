"""A picture in a file of its own format, or of another one that holds it."""

from __future__ import annotations

from dataclasses import replace

from bbcompress.images.files import file_bytes, suffix_of
from bbcompress.images.header import MAX_PIXELS
from bbcompress.images.metadata import NO_METADATA, Format
from bbcompress.images.picture import Item, Picture

_ALIKE = {".jpeg": ".jpg", ".jpe": ".jpg", ".tiff": ".tif", ".pnm": ".ppm", ".dib": ".bmp"}


def is_own(item: Item, suffix: str) -> bool:
    """Whether files of ``suffix`` have the format of the item's own file."""
    own = suffix_of(item).lower()
    return _ALIKE.get(own, own) == _ALIKE.get(suffix.lower(), suffix.lower())


def for_suffix(item: Item, suffix: str, name: str, max_pixels: int = MAX_PIXELS) -> tuple[bytes, list[str]]:
    """A file of the format of ``suffix`` for ``name``, and kinds of metadata, for people, that it lacks.

    Raises :class:`ImageError` where the format does not hold the picture exactly, or it has more than ``max_pixels``.
    """
    if is_own(item, suffix):
        return file_bytes(item), []
    if isinstance(item, Picture) and item.metadata.format == Format.ARRAY:
        return for_suffix(replace(item, metadata=NO_METADATA), suffix, name, max_pixels)
    from bbcompress.images.transcode import transcode  # with Pillow, which takes a while

    return transcode(item, suffix, name, max_pixels)
