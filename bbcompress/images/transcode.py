"""A picture in a file of another format, through Pillow, checked: every pixel or an error."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from bbcompress.images import kinds, tiff
from bbcompress.images.errors import ImageError, ImageTooLarge
from bbcompress.images.files import file_bytes, suffix_of, whole_picture
from bbcompress.images.metadata import NO_METADATA, Format
from bbcompress.images.picture import Item, KeptFile
from bbcompress.images.png import chunk_names

# Without a handler of its own Python prints a library's log warnings to stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_FORMATS = {
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
}
#: What Pillow calls what it carries from one format to another.
_CARRIED = {"icc_profile": "iCCP", "exif": "eXIf", "dpi": "pHYs"}
_HOLD = {"PNG": {"icc_profile", "exif", "dpi"}, "TIFF": {"icc_profile", "dpi"}, "WEBP": {"icc_profile", "exif"}}
_OPENED = ("PNG", "TIFF", "BMP", "PPM", "WEBP", "JPEG")


def transcode(item: Item, suffix: str, name: str, max_pixels: int) -> tuple[bytes, list[str]]:
    """A file of the format of ``suffix``, and what it lacks: see `bbcompress.images.convert.for_suffix`."""
    with _pillow_limit(max_pixels):
        return _converted(item, suffix, name, max_pixels)


@contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Have Pillow refuse images of more pixels, and no others."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2  # where it warns; it refuses twice as many
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _converted(item: Item, suffix: str, name: str, max_pixels: int) -> tuple[bytes, list[str]]:
    data = file_bytes(item)
    format = _FORMATS.get(suffix.lower())
    own = suffix_of(item) or "its own format"
    advice = f"use {own}" if isinstance(item, KeptFile) or suffix.lower() != own else "give another name"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _opened(item, data, max_pixels)
            if image is not None and format is not None:
                out, lost = _saved(image, format)
                again = Image.open(io.BytesIO(out), formats=[format])
                if _same(image, again):
                    return out, lost + _lost_of(item)
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"{name}: too many pixels to convert; {advice}") from error
    except Exception:  # whatever stops Pillow, the advice is the same
        pass
    raise ImageError(f"{name}: would lose data of this picture; {advice}")


def _opened(item: Item, data: bytes, max_pixels: int) -> Image.Image | None:
    """The image as Pillow reads it, if it loses nothing of it."""
    image = Image.open(io.BytesIO(data), formats=_OPENED)
    if isinstance(item, KeptFile) and kinds.one_jpeg(data):
        image.load()
        return image if image.mode in ("L", "RGB") else None
    picture = whole_picture(data, max_pixels)
    if picture is None or (picture.metadata.format == Format.TIFF and not tiff.looks_plain(data)):
        return None
    # Of TIFF Pillow would turn the picture by its tag
    return image if np.array_equal(np.asarray(image), picture.pixels) else None


def _saved(image: Image.Image, format: str) -> tuple[bytes, list[str]]:
    options: dict[str, Any] = {}
    lost = []
    for key, kind in _CARRIED.items():
        if image.info.get(key):
            if key in _HOLD.get(format, ()):
                options[key] = image.info[key]
            else:
                lost.append(kind)
    out = io.BytesIO()
    plain = image.copy()
    transparency = image.info.get("transparency")
    plain.info = {} if transparency is None else {"transparency": transparency}
    plain.save(out, format, lossless=True, exact=True, **options)
    return out.getvalue(), lost


def _same(before: Image.Image, after: Image.Image) -> bool:
    def facts(image: Image.Image) -> Any:
        palette = image.getpalette() if image.mode == "P" else None
        # A palette may be padded
        colours = None if palette is None else [palette[3 * i : 3 * i + 3] for i in range(1 + max(image.tobytes()))]
        return image.mode, image.size, image.tobytes(), colours, image.info.get("transparency")

    return bool(facts(before) == facts(after))


def _lost_of(item: Item) -> list[str]:
    """What the item's own file holds and no other format is given."""
    if isinstance(item, KeptFile) or item.metadata == NO_METADATA:
        return []
    if item.metadata.format == Format.PNG:
        carried = {*_CARRIED.values(), "PLTE", "tRNS"}
        return sorted(set(chunk_names(item.metadata.body)) - carried)
    return [f"{item.metadata.format.name} tags"] if item.metadata.format == Format.TIFF else []
