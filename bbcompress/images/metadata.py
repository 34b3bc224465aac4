"""What a file says about its picture besides the pixels: colour profile, EXIF, XMP, text, resolution, gamma.

None of it changes a pixel. Layout, where there is any: for each item a kind (1 byte), its length as a varint, and its
bytes, kinds ascending.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import XMP

from bbcompress.varint import Malformed, Reader, write_varint

MAX_BYTES = 1 << 24
"""Of one picture's metadata."""
_EXIF_HEAD = b"Exif\0\0"
_XMP_KEY = "XML:com.adobe.xmp"
_RESOLUTION_UNIT = 10_000
#: TIFF tags about the picture as a whole: description, make, model, software, date, artist, copyright.
_TIFF_TAGS = (270, 271, 272, 305, 306, 315, 33432)
_ORIENTATION = 274
#: Directories within EXIF: photography and place.
_EXIF_DIRECTORIES = (0x8769, 0x8825)
#: PNG chunks that say how to take pixel values. No other gets into a file that we write.
_CHUNKS = (b"gAMA", b"cHRM", b"sRGB")
_ICC, _EXIF, _XMP, _TEXT, _RESOLUTION, _CHUNK = range(1, 7)


class Metadata(NamedTuple):
    """All empty where a file says nothing."""

    icc: bytes = b""
    """ICC colour profile."""
    exif: bytes = b""
    """As a TIFF structure, without the mark that JPEG puts before it."""
    xmp: bytes = b""
    text: tuple[tuple[str, str], ...] = ()
    """Key and value."""
    resolution: tuple[int, int] | None = None
    """Across and down, in 1/10,000 dots per inch."""
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Names and bodies of PNG's gAMA, cHRM and sRGB."""

    def pack(self) -> bytes:
        """Equal metadata, and only those, give equal bytes."""
        items = [(_ICC, self.icc), (_EXIF, self.exif), (_XMP, self.xmp)]
        items = [(kind, body) for kind, body in items if body]
        for key, value in self.text:
            name = key.encode("utf-8", "surrogatepass")
            items.append((_TEXT, write_varint(len(name)) + name + value.encode("utf-8", "surrogatepass")))
        if self.resolution is not None:
            items.append((_RESOLUTION, b"".join(map(write_varint, self.resolution))))
        items += [(_CHUNK, name + body) for name, body in self.chunks]
        return b"".join(bytes([kind]) + write_varint(len(body)) + body for kind, body in items)

    @classmethod
    def unpack(cls, data: bytes) -> Metadata:
        """The inverse of :meth:`pack`; raises ``varint.Malformed``."""
        reader, last = Reader(data), 0
        single: dict[int, bytes] = {}
        text, chunks = [], []
        resolution = None
        while reader.remaining:
            kind = reader.byte()
            body = reader.take(reader.varint(MAX_BYTES))
            if kind < last or kind in single or kind == last == _RESOLUTION:
                raise Malformed("metadata out of order")
            last = kind
            if kind in (_ICC, _EXIF, _XMP):
                single[kind] = body
            elif kind == _TEXT:
                text.append(_unpack_text(body))
            elif kind == _RESOLUTION:
                inner = Reader(body)
                resolution = inner.varint(2**32), inner.varint(2**32)
                if inner.remaining:
                    raise Malformed("bytes after a resolution")
            elif kind == _CHUNK and body[:4] in _CHUNKS:
                chunks.append((body[:4], body[4:]))
            else:
                raise Malformed("unknown metadata")
        icc, exif, xmp = (single.get(kind, b"") for kind in (_ICC, _EXIF, _XMP))
        return cls(icc, exif, xmp, tuple(text), resolution, tuple(chunks))


NO_METADATA = Metadata()


def _unpack_text(body: bytes) -> tuple[str, str]:
    reader = Reader(body)
    try:
        key = reader.take(reader.varint(len(body))).decode("utf-8", "surrogatepass")
        return key, reader.rest().decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise Malformed("text that is not UTF-8") from error


def of_image(image: Image.Image) -> Metadata:
    """What Pillow knows of a file whose pixels it has loaded."""
    info = image.info
    text: dict[Any, Any] = dict(getattr(image, "text", {}))
    if "comment" in info:
        comment = info["comment"]
        text["Comment"] = comment.decode("latin-1") if isinstance(comment, bytes) else comment
    exif = _tiff_exif(image) if image.format == "TIFF" else info.get("exif", b"")
    xmp = b"" if _XMP_KEY in text else info.get("xmp", b"")
    return Metadata(
        info.get("icc_profile") or b"",
        exif.removeprefix(_EXIF_HEAD) if isinstance(exif, bytes) else b"",
        xmp if isinstance(xmp, bytes) else b"",
        tuple((str(key), str(value)) for key, value in text.items()),
        _resolution(info.get("dpi")),
        tuple(_chunks(info)) if image.format == "PNG" else (),
    )


def _tiff_exif(image: Image.Image) -> bytes:
    """The tags of a TIFF file that are about the picture, not about how the file holds it."""
    tags, kept = image.getexif(), Image.Exif()
    for tag in _TIFF_TAGS:
        if tag in tags:
            kept[tag] = tags[tag]
    for directory in _EXIF_DIRECTORIES:
        if tags.get_ifd(directory):
            kept[directory] = tags.get_ifd(directory)
    return kept.tobytes() if len(kept) else b""


def _resolution(dpi: Any) -> tuple[int, int] | None:
    try:
        across, down = (float(number) for number in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not (math.isfinite(across) and math.isfinite(down)):
        return None
    found = round(across * _RESOLUTION_UNIT), round(down * _RESOLUTION_UNIT)
    return found if min(found) > 0 and max(found) < 2**32 else None


def _chunks(info: dict[Any, Any]) -> list[tuple[bytes, bytes]]:
    found = []
    if "gamma" in info:
        found.append((b"gAMA", struct.pack(">I", round(info["gamma"] * 100_000))))
    if "chromaticity" in info:
        found.append((b"cHRM", struct.pack(">8I", *(round(number * 100_000) for number in info["chromaticity"]))))
    if "srgb" in info:
        found.append((b"sRGB", bytes([info["srgb"]])))
    return found


def save_options(metadata: Metadata, format: str) -> dict[str, Any]:
    """What Pillow's `save` takes, for as much as files of ``format`` hold."""
    options: dict[str, Any] = {}
    if metadata.resolution is not None and format in ("PNG", "TIFF", "BMP"):
        options["dpi"] = tuple(number / _RESOLUTION_UNIT for number in metadata.resolution)
    if format not in ("PNG", "TIFF", "WEBP"):
        return options
    if metadata.icc:
        options["icc_profile"] = metadata.icc
    if format == "TIFF":
        options["exif"] = tags = Image.Exif()
        if metadata.exif:
            tags.load(_EXIF_HEAD + metadata.exif)
            # Pillow turns a TIFF file's pixels by it when it reads them
            tags.pop(_ORIENTATION, None)
        if metadata.xmp:
            tags[XMP] = metadata.xmp
        return options
    if metadata.exif:
        options["exif"] = _EXIF_HEAD + metadata.exif
    if format == "PNG":
        options["pnginfo"] = _png_info(metadata)
    elif metadata.xmp:
        options["xmp"] = metadata.xmp
    return options


def _png_info(metadata: Metadata) -> PngInfo:
    info = PngInfo()
    for name, body in metadata.chunks:
        info.add(name, body)
    for key, value in metadata.text:
        if key == _XMP_KEY:
            info.add_itxt(key, value)
        else:
            info.add_text(key, value)
    if metadata.xmp:
        info.add_itxt(_XMP_KEY, metadata.xmp.decode("utf-8", "replace"))
    return info


def lost(before: Metadata, after: Metadata) -> list[str]:
    """Kinds of metadata, for people, of which ``after`` has less than ``before``."""
    # XMP is text in PNG
    texts = dict(after.text) | ({_XMP_KEY: after.xmp.decode("utf-8", "replace")} if after.xmp else {})
    xmp = not before.xmp or texts.get(_XMP_KEY) == before.xmp.decode("utf-8", "replace")
    kept = {
        "ICC profile": before.icc in (b"", after.icc),
        "EXIF": not before.exif or _same_exif(before.exif, after.exif),
        "XMP": xmp,
        "text": all(texts.get(key) == value for key, value in before.text),
        "resolution": before.resolution is None or _near(before.resolution, after.resolution),
        "gamma": set(before.chunks) <= set(after.chunks),
    }
    return [kind for kind, all_kept in kept.items() if not all_kept]


def _near(before: tuple[int, int], after: tuple[int, int] | None) -> bool:
    """Formats count in different units."""
    return after is not None and all(abs(a - b) * 1000 <= a for a, b in zip(before, after, strict=True))


def _same_exif(before: bytes, after: bytes) -> bool:
    if before == after:
        return True
    try:
        return bool(after) and _exif_tags(before) == _exif_tags(after)
    except Exception:  # Pillow raises almost any type on damaged EXIF
        return False


def _exif_tags(data: bytes) -> list[dict[Any, Any]]:
    exif = Image.Exif()
    exif.load(_EXIF_HEAD + data)
    top = {tag: value for tag, value in exif.items() if tag not in _EXIF_DIRECTORIES}
    return [top, *(dict(exif.get_ifd(directory)) for directory in _EXIF_DIRECTORIES)]
