"""PBM, PGM and PPM files, the binary ones. Metadata: as in cut.py, so the file comes back byte for byte."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bbcompress.images.cut import cut, head_and_tail
from bbcompress.images.errors import DamagedImage, NotWhole, require_size
from bbcompress.images.metadata import Format, Metadata
from bbcompress.images.picture import Picture

#: The end of the head is searched for in this much.
_MAX_HEAD_BYTES = 1 << 16
#: A longer end of a file is more than a few stray bytes: another picture.
_MAX_TAIL_BYTES = 64
_GAP = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])+"
_HEADS = {
    b"P4": re.compile(rb"P4" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})[ \t\r\n\v\f]"),
    b"P5": re.compile(rb"P5" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,5})[ \t\r\n\v\f]"),
}
_HEADS[b"P6"] = re.compile(_HEADS[b"P5"].pattern.replace(b"P5", b"P6"))


class _Header(NamedTuple):
    size: int
    """Of itself, in bytes."""
    width: int
    height: int
    mode: str

    @property
    def pixel_bytes(self) -> int:
        if self.mode == "1":
            return self.height * -(-self.width // 8)
        return self.height * self.width * {"L": 1, "L16": 2, "RGB": 3, "RGB16": 6}[self.mode]


def split(data: bytes, max_pixels: int) -> Picture:
    """The picture in a file. Raises :class:`NotWhole`."""
    header = _header(data)
    require_size("PNM", header.width, header.height, max_pixels)
    parts = cut(data, header.size, header.pixel_bytes)
    if len(parts.tail) > _MAX_TAIL_BYTES:
        raise NotWhole("PNM with data after its picture")
    pixels = _to_pixels(parts.pixels, header)
    if _to_bytes(pixels, header.mode) != parts.pixels:
        raise NotWhole("PNM with data beside its pixels")
    return Picture(header.mode, pixels, Metadata(Format.PNM, parts.metadata_body()))


def join(picture: Picture) -> bytes:
    """The file of a picture with metadata of this format."""
    head, tail = head_and_tail(picture.metadata.body)
    try:
        header = _header(head)
    except NotWhole as error:
        raise DamagedImage(f"damaged metadata: {error}") from error
    if (header.mode, header.width, header.height) != picture.header:
        raise DamagedImage("damaged metadata: a PNM of another size than its picture")
    return head + _to_bytes(picture.pixels, header.mode) + tail


def _header(data: bytes) -> _Header:
    pattern = _HEADS.get(data[:2])
    found = pattern.match(data[:_MAX_HEAD_BYTES]) if pattern else None
    if found is None:
        raise NotWhole("PNM of an unknown kind" if pattern else "PAM" if data[1:2] == b"7" else "PNM in plain text")
    width, height, *rest = map(int, found.groups())
    if not rest:
        return _Header(found.end(), width, height, "1")
    if not 0 < rest[0] < 1 << 16:
        raise NotWhole(f"PNM of largest value {rest[0]}")
    mode = "L" if data[:2] == b"P5" else "RGB"
    return _Header(found.end(), width, height, mode if rest[0] < 256 else mode + "16")


def _to_pixels(data: bytes, header: _Header) -> npt.NDArray[Any]:
    if header.mode == "1":  # in files 1 is black
        rows = np.frombuffer(data, np.uint8).reshape(header.height, -1)
        return np.unpackbits(rows, axis=1, count=header.width) ^ np.uint8(1)
    wide = header.mode.endswith("16")
    samples = np.frombuffer(data, ">u2" if wide else np.uint8).astype(np.uint16 if wide else np.uint8)
    shape = (header.height, header.width, 3) if header.mode.startswith("RGB") else (header.height, header.width)
    return samples.reshape(shape)


def _to_bytes(pixels: npt.NDArray[Any], mode: str) -> bytes:
    if mode == "1":
        return np.packbits(pixels ^ np.uint8(1), axis=1).tobytes()
    return pixels.astype(">u2" if mode.endswith("16") else np.uint8).tobytes()
