"""BMP files without compression. Metadata: as in cut.py, so the file comes back byte for byte."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bbcompress.images.cut import cut, head_and_tail
from bbcompress.images.errors import DamagedImage, NotWhole, require_size
from bbcompress.images.metadata import Format, Metadata
from bbcompress.images.picture import Picture
from bbcompress.images.samples import pack_bits, unpack_bits

_FILE_HEADER_BYTES = 14
_HEADER_BYTES = (12, 40, 52, 56, 64, 108, 124)
_RAW, _BITFIELDS = 0, 3
_MODES = {1: "1", 4: "P", 8: "P", 24: "RGB", 32: "RGBA"}


class _Header(NamedTuple):
    start: int
    """Of the pixels."""
    width: int
    height: int
    top_down: bool
    bits: int

    @property
    def row_bytes(self) -> int:
        return -(-self.width * self.bits // 32) * 4


def split(data: bytes, max_pixels: int) -> Picture:
    """The picture in a file. Raises :class:`NotWhole`."""
    header = _header(data)
    require_size("BMP", header.width, header.height, max_pixels)
    parts = cut(data, header.start, header.row_bytes * header.height)
    rows = np.frombuffer(parts.pixels, np.uint8).reshape(header.height, -1)
    pixels = _to_pixels(rows, header)
    if _to_rows(pixels, header) != parts.pixels:
        raise NotWhole("BMP with data beside its pixels")
    return Picture(_MODES[header.bits], pixels, Metadata(Format.BMP, parts.metadata_body()))


def join(picture: Picture) -> bytes:
    """The file of a picture with metadata of this format."""
    head, tail = head_and_tail(picture.metadata.body)
    try:
        header = _header(head)
    except NotWhole as error:
        raise DamagedImage(f"damaged metadata: {error}") from error
    if (_MODES[header.bits], header.width, header.height) != picture.header:
        raise DamagedImage("damaged metadata: a BMP of another size than its picture")
    return head + _to_rows(picture.pixels, header) + tail


def _header(data: bytes) -> _Header:
    if len(data) < _FILE_HEADER_BYTES + 12:
        raise NotWhole("damaged BMP: cut short")
    start, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADER_BYTES or not _FILE_HEADER_BYTES + size <= min(start, len(data)):
        raise NotWhole("BMP of an unknown kind")
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = _RAW
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression != _RAW and (compression, bits) != (_BITFIELDS, 32):
        raise NotWhole("compressed BMP")
    if bits not in _MODES:
        raise NotWhole(f"BMP of {bits} bits a pixel")
    return _Header(start, width, abs(height), height < 0, bits)


def _to_pixels(rows: npt.NDArray[np.uint8], header: _Header) -> npt.NDArray[Any]:
    if not header.top_down:
        rows = rows[::-1]
    if header.bits < 8:
        return unpack_bits(rows, header.bits, header.width)
    channels = header.bits // 8
    samples = rows[:, : header.width * channels].reshape(header.height, header.width, channels)
    if channels == 1:
        return np.ascontiguousarray(samples[..., 0])
    return np.ascontiguousarray(samples[..., [2, 1, 0, 3][:channels]])


def _to_rows(pixels: npt.NDArray[Any], header: _Header) -> bytes:
    if header.bits < 8:
        rows = pack_bits(pixels, header.bits)
    elif header.bits == 8:
        rows = pixels
    else:
        rows = pixels[..., [2, 1, 0, 3][: header.bits // 8]].reshape(header.height, -1)
    rows = np.pad(rows, ((0, 0), (0, header.row_bytes - rows.shape[1])))
    return (rows if header.top_down else rows[::-1]).tobytes()
