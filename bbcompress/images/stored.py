"""The general lossless coding of one picture, for where no model helps.

Layout, after one method byte (0 raw, 1 WebP, 2 + i planes with transform i):

    header      as in header.py
    payload     the rest: raw samples, a VP8L bitstream (vp8l.py) or LZMA (planes.py)

Samples are the pixels as ``pixel_bytes`` orders them, except that mode 1 has eight pixels a
byte, the first in the highest bit, each row padded with zero bits.
"""

from __future__ import annotations

import lzma
from typing import Any

import numpy as np
import numpy.typing as npt

from bbcompress.images import planes
from bbcompress.images.errors import DamagedImage, ImageError, LimitExceeded
from bbcompress.images.header import MODES, Header
from bbcompress.images.picture import Picture
from bbcompress.varint import Malformed, Reader

_RAW, _WEBP, _PLANES = 0, 1, 2


def encode(picture: Picture) -> bytes:
    """The shortest of the methods' bytes, which :func:`decode` takes.

    >>> grey = Picture("L", np.full((40, 60), 7, np.uint8))
    >>> decode(encode(grey), max_pixels=2400).same_as(grey)
    True
    """
    samples = _samples(picture)
    index, packed = planes.encode(samples)
    candidates = [(_RAW, samples.astype(samples.dtype.newbyteorder("<")).tobytes()), (_PLANES + index, packed)]
    if picture.pixels.dtype == np.uint8:
        from bbcompress.images import vp8l  # with Pillow, which takes a while

        bitstream = vp8l.encode(picture.pixels.reshape(picture.height, picture.width, -1))
        if bitstream is not None:
            candidates.append((_WEBP, bitstream))
    method, payload = min(candidates, key=lambda candidate: len(candidate[1]))
    return bytes([method]) + picture.header.pack() + payload


def decode(data: bytes, *, max_pixels: int) -> Picture:
    """The picture in ``data``, however hostile; memory stays in proportion to ``max_pixels``.

    Raises :class:`DamagedImage` where ``encode`` did not write ``data``, and of that the kind
    :class:`LimitExceeded` where it declares more pixels than allowed. The one other exception
    is :class:`ImageError`, where WebP is needed and this Pillow was built without it.
    """
    try:
        return _decode(Reader(data), max_pixels)
    except (LimitExceeded, ImageError):
        raise
    except (ValueError, lzma.LZMAError) as error:
        raise DamagedImage(f"the stored picture is damaged: {error}") from error


def _decode(reader: Reader, max_pixels: int) -> Picture:
    method = reader.byte()
    header = Header.unpack(reader, max_pixels=max_pixels)
    layout = MODES[header.mode]
    sample_type = layout.dtype
    columns = -(-header.width // 8) if header.mode == "1" else header.width
    payload = reader.rest()
    if method == _WEBP and layout.dtype == np.uint8:
        from bbcompress.images import vp8l

        pixels = vp8l.decode(payload, (header.height, header.width, layout.channels))
        return _picture(header, pixels)
    shape = (header.height, columns, layout.channels)
    if method == _RAW:
        samples = np.frombuffer(payload, sample_type.newbyteorder("<")).reshape(shape).astype(sample_type)
    elif _PLANES <= method < _PLANES + len(planes.TRANSFORMS):
        samples = planes.decode(payload, method - _PLANES, shape, sample_type)
    else:
        raise Malformed("unknown method")
    if header.mode == "1":
        pixels = np.unpackbits(samples[..., 0], axis=1, count=header.width)
        if not np.array_equal(np.packbits(pixels, axis=1), samples[..., 0]):
            raise Malformed("rows are not padded with zero bits")
        return _picture(header, pixels)
    return _picture(header, samples)


def _picture(header: Header, pixels: npt.NDArray[Any]) -> Picture:
    shape = MODES[header.mode].shape(header.width, header.height)
    return Picture(header.mode, np.ascontiguousarray(pixels.reshape(shape)))


def _samples(picture: Picture) -> planes.Samples:
    """Unsigned ``(H, W, C)``, of mode 1 ``(H, ceil(W / 8), 1)``."""
    pixels = picture.pixels
    if picture.mode == "1":
        pixels = np.packbits(pixels, axis=1)
    return np.ascontiguousarray(pixels).reshape(*pixels.shape[:2], -1)
