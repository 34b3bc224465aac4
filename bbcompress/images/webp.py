"""Lossless WebP files of one frame. Metadata: the chunks in their order, but of VP8L only the name.

Each chunk is its name, its length as a varint and its data; the payload of VP8L is written anew from the pixels.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from bbcompress.images import vp8l
from bbcompress.images.errors import DamagedImage, ImageError, NotWhole, require_size
from bbcompress.images.metadata import Format, Metadata
from bbcompress.images.picture import Picture
from bbcompress.varint import Reader, write_varint

_PIXELS = b"VP8L"
_ALPHA_USED = 1 << 28
"""Of the 32 bits after the bitstream's first byte."""


class _Chunk(NamedTuple):
    name: bytes
    data: bytes


def split(data: bytes, max_pixels: int) -> Picture:
    """The picture in a file. Raises :class:`NotWhole`."""
    chunks = _chunks(data)
    names = [chunk.name for chunk in chunks]
    if b"ANIM" in names or b"ANMF" in names:
        raise NotWhole(f"animated WebP, {names.count(b'ANMF')} frames")
    if b"VP8 " in names:
        raise NotWhole("lossy WebP")
    if names.count(_PIXELS) != 1 or b"ALPH" in names:
        raise NotWhole("WebP of an unknown kind")
    bitstream = chunks[names.index(_PIXELS)].data
    bits = int.from_bytes(bitstream[1:5], "little")
    width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    require_size("WebP", width, height, max_pixels)
    size = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    if b"VP8X" in names and chunks[names.index(b"VP8X")].data[4:] != size:
        raise NotWhole("WebP of two sizes")
    alpha = bool(bits & _ALPHA_USED)
    try:
        pixels = vp8l.decode(bitstream, (height, width, 4 if alpha else 3))
    except (ValueError, ImageError) as error:
        raise NotWhole("damaged WebP") from error
    if alpha and (pixels[..., 3] == 255).all():
        raise NotWhole("WebP with alpha that says nothing")  # an encoder leaves it out
    kept = [_Chunk(chunk.name, b"" if chunk.name == _PIXELS else chunk.data) for chunk in chunks]
    body = b"".join(chunk.name + write_varint(len(chunk.data)) + chunk.data for chunk in kept)
    return Picture("RGBA" if alpha else "RGB", np.ascontiguousarray(pixels), Metadata(Format.WEBP, body))


def join(picture: Picture) -> bytes:
    """The file of a picture with metadata of this format."""
    if picture.mode not in ("RGB", "RGBA"):
        raise DamagedImage("damaged metadata: a WebP of another mode than its picture")
    bitstream = vp8l.encode(picture.pixels)
    if bitstream is None:
        raise ImageError("this picture needs a Pillow with WebP support; install one from PyPI")
    reader, out = Reader(picture.metadata.body), b""
    while reader.remaining:
        name = reader.take(4)
        data = reader.take(reader.varint(reader.remaining))
        data = bitstream if name == _PIXELS else data
        out += name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(out)) + b"WEBP" + out


def strip(picture: Picture) -> Picture:
    """The picture with no chunk but its pixels."""
    return Picture(picture.mode, picture.pixels, Metadata(Format.WEBP, _PIXELS + write_varint(0)))


def _chunks(data: bytes) -> list[_Chunk]:
    if int.from_bytes(data[4:8], "little") != len(data) - 8:
        raise NotWhole("damaged WebP: cut short, or with data after its end")
    found, position = [], 12
    while position < len(data):
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        end = position + 8 + size
        padding = data[end : end + size % 2]
        if position + 8 > len(data) or end + size % 2 > len(data) or padding.strip(b"\0"):
            raise NotWhole("damaged WebP")
        found.append(_Chunk(name, data[position + 8 : end]))
        position = end + size % 2
    return found
