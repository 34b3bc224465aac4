"""Files as what is compressed, and back.

A file whose format is known to the last chunk or tag becomes a picture, from which a file is made again that is the
same in every sample, chunk and tag. Every other file is kept byte for byte.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

from bbcompress.images import kinds, metadata, png
from bbcompress.images.arrays import files as arrays
from bbcompress.images.arrays.spans import ArrayFile
from bbcompress.images.errors import DamagedImage, ImageError, NotWhole
from bbcompress.images.header import MAX_PIXELS
from bbcompress.images.metadata import Format
from bbcompress.images.picture import Item, KeptFile, Picture
from bbcompress.varint import Malformed

_SUFFIXES = {Format.PNG: ".png", Format.TIFF: ".tif", Format.BMP: ".bmp", Format.WEBP: ".webp"}
_PNM_SUFFIXES = {"1": ".pbm", "L": ".pgm", "L16": ".pgm"}
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_VERIFIED_SUBPIXELS = 1 << 20
"""Up to here the file is made again and compared; above, this takes too long, and the formats' modules are trusted."""
_NO_GAIN = "its bytes are fewer than those of its picture"


def read(data: bytes, name: str = "", *, strip: bool = False, max_pixels: int = MAX_PIXELS) -> Item:
    """What is compressed of a file's bytes; ``name`` is its own, without folders.

    ``strip`` leaves out what is not about pixels and colours; kept files keep it. A picture of more than
    ``max_pixels`` is kept.
    """
    try:
        picture = _split(data, max_pixels)
        if len(picture.metadata.body) > metadata.MAX_BYTES:
            raise NotWhole(f"more than {metadata.MAX_BYTES} bytes of metadata")
        if picture.pixels.size <= _VERIFIED_SUBPIXELS:
            _verify(picture, max_pixels)
    except NotWhole as error:
        return KeptFile(data, name, str(error))
    module = _module(picture.metadata.format)
    if strip:
        stripped = module.strip(picture) if hasattr(module, "strip") else picture
        assert isinstance(stripped, Picture)
        return stripped
    return replace(picture, file=KeptFile(data, name, _NO_GAIN))


def read_file(path: Path, *, strip: bool = False, max_pixels: int = MAX_PIXELS) -> Item:
    """The same of the file at a path; raises ``OSError``."""
    return read(path.read_bytes(), path.name, strip=strip, max_pixels=max_pixels)


def file_bytes(item: Item) -> bytes:
    """The file of an item: as it was, or the same in every sample, chunk and tag.

    Raises :class:`DamagedImage` for a picture whose metadata are not what :func:`read` makes.
    """
    if isinstance(item, KeptFile):
        return item.data
    try:
        data = _module(item.metadata.format).join(item)
    except (Malformed, NotWhole, ValueError, struct.error, IndexError) as error:
        if isinstance(error, (ImageError, DamagedImage)):
            raise
        raise DamagedImage(f"damaged metadata: {error}") from error
    assert isinstance(data, bytes)
    return data


def suffix_of(item: Item) -> str:
    """That of the item's file: of a kept one's name, else the usual one of its format."""
    if isinstance(item, KeptFile):
        return Path(item.name).suffix
    if item.metadata.format == Format.PNM:
        return _PNM_SUFFIXES.get(item.mode, ".ppm")
    if item.metadata.format == Format.ARRAY:
        return array_suffix(item.metadata.body)
    return _SUFFIXES[item.metadata.format]


def array_suffix(body: bytes) -> str:
    """That of a file of an array, by its metadata. Raises :class:`DamagedImage`."""
    try:
        return ArrayFile.unpack(body).suffix
    except Malformed as error:
        raise DamagedImage(f"damaged metadata: {error}") from error


def whole_picture(data: bytes, max_pixels: int = MAX_PIXELS) -> Picture | None:
    """The picture in a file's bytes, if it is one that comes back whole."""
    try:
        return _split(data, max_pixels)
    except NotWhole:
        return None


def _module(format: Format) -> ModuleType:
    """Has `split` and `join`, from a file's bytes to a picture and back, and mostly `strip`. Imported when it is used:
    all of them take a while."""
    name = "arrays.files" if format == Format.ARRAY else format.name.lower()
    return import_module(f"bbcompress.images.{name}")


def _verify(picture: Picture, max_pixels: int) -> None:
    """Raise :class:`NotWhole` unless the file made of the picture gives the same picture and metadata again."""
    try:
        again = _split(file_bytes(picture), max_pixels)
    except (ImageError, DamagedImage) as error:
        raise NotWhole(str(error)) from error
    if not again.same_as(picture) or again.metadata != picture.metadata:
        raise NotWhole("its picture would not come back whole; please report this")


def _split(data: bytes, max_pixels: int) -> Picture:
    format = _format_of(data)
    if format is None:
        raise NotWhole(kinds.described(data))
    try:
        picture = _module(format).split(data, max_pixels)
    except NotWhole:
        raise
    except (ValueError, struct.error, IndexError, OverflowError) as error:
        raise NotWhole(f"damaged {format.name}") from error
    assert isinstance(picture, Picture)
    return picture


def _format_of(data: bytes) -> Format | None:
    if data.startswith(png.SIGNATURE):
        return Format.PNG
    if data[:4] in _TIFF_STARTS:
        return Format.TIFF
    if data[:2] == b"BM":
        return Format.BMP
    if data[:1] == b"P" and data[1:2] in b"1234567":
        return Format.PNM
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Format.WEBP
    return Format.ARRAY if arrays.may_be_array(data[:8]) else None
