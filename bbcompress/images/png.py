"""PNG files: pixels, and every other chunk as it is, in its place.

Metadata: the last five bytes of IHDR (bit depth, colour type, compression, filter, interlace), then the other chunks in
their order but for IEND: name, length as a varint and data. All of IDAT is one chunk without a length, which marks its
place. A file of a mode's usual depth and colour type, not interlaced and without other chunks, has no metadata.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bbcompress.images.errors import DamagedImage, NotWhole, require_size
from bbcompress.images.metadata import Format, Metadata
from bbcompress.images.picture import Picture
from bbcompress.images.png_rows import Rows, deflate_rows, filter_rows, plain_rows, unfilter
from bbcompress.images.samples import pack_bits, unpack_bits
from bbcompress.varint import Reader, write_varint

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _INDEXED, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _INDEXED: 1, _GREY_ALPHA: 2, _RGBA: 4}
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _INDEXED: (1, 2, 4, 8), _GREY_ALPHA: (8, 16), _RGBA: (8, 16)}
_MODES = {
    (1, _GREY): "1",
    (2, _GREY): "L",
    (4, _GREY): "L",
    (8, _GREY): "L",
    (16, _GREY): "L16",
    (8, _GREY_ALPHA): "LA",
    (16, _GREY_ALPHA): "LA16",
    (8, _RGB): "RGB",
    (16, _RGB): "RGB16",
    (8, _RGBA): "RGBA",
    (16, _RGBA): "RGBA16",
}
_USUAL = {mode: key for key, mode in _MODES.items() if key[0] not in (2, 4)}
_ANIMATED = {b"acTL", b"fcTL", b"fdAT"}
#: Kept when metadata are stripped, as pixels without them are other colours.
_COLOUR_CHUNKS = {b"PLTE", b"tRNS"}
#: First column and row, and steps between these, of each pass of an interlaced picture.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
#: Modes of 8 bits whose filters Pillow undoes, in a tenth of the time.
_QUICK = {"L", "LA", "RGB", "RGBA"}
_Pixels = npt.NDArray[Any]


class Chunk(NamedTuple):
    name: bytes
    data: bytes


class _Kind(NamedTuple):
    """What IHDR says besides the size."""

    depth: int
    colour: int
    compression: int = 0
    filter: int = 0
    interlace: int = 0

    @property
    def known(self) -> bool:
        """Whether there are files of this kind."""
        return self.depth in _DEPTHS.get(self.colour, ()) and self[2:4] == (0, 0) and self.interlace <= 1

    @property
    def mode(self) -> str:
        return mode_of(self.depth, self.colour)

    def row_bytes(self, width: int) -> int:
        return -(-width * self.depth * _CHANNELS[self.colour] // 8)

    @property
    def step(self) -> int:
        """Bytes between neighbours, for filters."""
        return max(1, self.depth * _CHANNELS[self.colour] // 8)


def mode_of(depth: int, colour: int) -> str:
    """Of a picture of the bit depth and colour type that IHDR says; KeyError where there are none such."""
    return "P" if colour == _INDEXED else _MODES[depth, colour]


def split(data: bytes, max_pixels: int) -> Picture:
    """The picture in a file. Raises :class:`NotWhole`."""
    chunks = list(_chunks(data))
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[0].data)
    kind = _Kind(*rest)
    if not kind.known:
        raise NotWhole("PNG of an unknown kind")
    require_size("PNG", width, height, max_pixels)
    names = [chunk.name for chunk in chunks]
    if not _ANIMATED.isdisjoint(names):
        raise NotWhole("animated PNG")
    first = names.index(b"IDAT") if b"IDAT" in names else len(names)
    count = names.count(b"IDAT")
    if count == 0 or names[first : first + count] != [b"IDAT"] * count:
        raise NotWhole("damaged PNG: its image data are missing or scattered")
    if kind.colour == _INDEXED and b"PLTE" not in names[:first]:
        raise NotWhole("damaged PNG: no palette")
    stream = b"".join(chunk.data for chunk in chunks[first : first + count])
    pixels = _inflate(stream, kind, width, height)
    body = bytes(kind) + _pack([*chunks[1:first], Chunk(b"IDAT", b""), *chunks[first + count : -1]])
    if kind[:2] == _USUAL.get(kind.mode) and body == bytes(kind._replace(interlace=0)) + b"IDAT":
        body = b""
    return Picture(kind.mode, pixels, Metadata(Format.PNG, body))


def join(picture: Picture) -> bytes:
    """A file of a picture with metadata of this format, or with none."""
    body = picture.metadata.body
    if not body and picture.mode not in _USUAL:
        raise DamagedImage(f"damaged metadata: no PNG file holds a picture of mode {picture.mode} without its metadata")
    if 0 < len(body) < 5:
        raise DamagedImage("damaged metadata: too short for a PNG")
    kind = _Kind(*body[:5]) if body else _Kind(*_USUAL[picture.mode])
    if not kind.known or kind.mode != picture.mode:
        raise DamagedImage("damaged metadata: a PNG of another mode than its picture")
    chunks = _unpack(body[5:]) if body else [Chunk(b"IDAT", b"")]
    head = Chunk(b"IHDR", struct.pack(">II", picture.width, picture.height) + bytes(kind))
    data = _deflate(picture.pixels, kind)
    chunks = [Chunk(b"IDAT", data) if chunk.name == b"IDAT" else chunk for chunk in chunks]
    return SIGNATURE + b"".join(map(_chunk_bytes, [head, *chunks, Chunk(b"IEND", b"")]))


def strip(picture: Picture) -> Picture:
    """The picture with no chunks but those that say its colours."""
    body = picture.metadata.body
    if not body:
        return picture
    chunks = [chunk for chunk in _unpack(body[5:]) if chunk.name in {*_COLOUR_CHUNKS, b"IDAT"}]
    if len(chunks) == 1 and body[4] == 0 and tuple(body[:2]) == _USUAL.get(picture.mode):
        return Picture(picture.mode, picture.pixels)
    return Picture(picture.mode, picture.pixels, Metadata(Format.PNG, body[:5] + _pack(chunks)))


def chunk_names(body: bytes) -> list[str]:
    """Of the chunks in metadata but IDAT, for people."""
    return [chunk.name.decode() for chunk in _unpack(body[5:]) if chunk.name != b"IDAT"]


def _chunks(data: bytes) -> Iterator[Chunk]:
    """All chunks from IHDR to IEND. Raises :class:`NotWhole` where a rule is broken."""
    position = len(SIGNATURE)
    number = 0
    while position < len(data):
        if len(data) - position < 12:
            raise NotWhole("damaged PNG: cut short")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise NotWhole("damaged PNG: cut short")
        if not (name.isalpha() and name.isascii()):
            raise NotWhole("damaged PNG: no chunk where one must be")
        body = data[position + 8 : end - 4]
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise NotWhole(f"damaged PNG: bad CRC in {name.decode()}")
        if (name == b"IHDR") != (number == 0) or (number == 0 and length != 13):
            raise NotWhole("damaged PNG: its header is not at its start")
        if name == b"IEND" and (end != len(data) or length):
            raise NotWhole("PNG with data after its end")
        yield Chunk(name, body)
        position, number = end, number + 1
    if number == 0 or name != b"IEND":
        raise NotWhole("damaged PNG: cut short")


def _chunk_bytes(chunk: Chunk) -> bytes:
    body = chunk.name + chunk.data
    return struct.pack(">I", len(chunk.data)) + body + struct.pack(">I", zlib.crc32(body))


def _pack(chunks: list[Chunk]) -> bytes:
    return b"".join(
        chunk.name + (b"" if chunk.name == b"IDAT" else write_varint(len(chunk.data)) + chunk.data) for chunk in chunks
    )


def _unpack(data: bytes) -> list[Chunk]:
    reader, found = Reader(data), []
    while reader.remaining:
        name = reader.take(4)
        found.append(Chunk(name, b"" if name == b"IDAT" else reader.take(reader.varint(len(data)))))
    return found


def _passes(kind: _Kind, width: int, height: int) -> list[tuple[slice, slice, int, int]]:
    """Rows and columns of each pass that has any, and how many."""
    found = []
    for left, top, across, down in _ADAM7 if kind.interlace else ((0, 0, 1, 1),):
        wide, high = len(range(left, width, across)), len(range(top, height, down))
        if wide and high:
            found.append((slice(top, None, down), slice(left, None, across), high, wide))
    return found


def _inflate(stream: bytes, kind: _Kind, width: int, height: int) -> _Pixels:
    passes = _passes(kind, width, height)
    size = sum(high * (1 + kind.row_bytes(wide)) for *_, high, wide in passes)
    decoder = zlib.decompressobj()
    try:
        data = decoder.decompress(stream, size + 1)
        # Where exactly `size` bytes came out, the check at the end of the stream may still wait
        data += decoder.decompress(decoder.unconsumed_tail, 1) if len(data) == size else b""
    except zlib.error as error:
        raise NotWhole("damaged PNG: its image data cannot be inflated") from error
    if len(data) != size or not decoder.eof or decoder.unused_data:
        raise NotWhole("damaged PNG: too few or too many image data")
    if kind.depth == 8 and not kind.interlace and kind.mode in _QUICK:
        from PIL import Image  # not for writing

        try:
            return np.asarray(Image.frombytes(kind.mode, (width, height), stream, "zip", kind.mode))
        except ValueError as error:  # an unknown filter
            raise NotWhole("damaged PNG: its image data cannot be read") from error
    channels = _CHANNELS[kind.colour]
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = np.empty(shape, np.uint16 if kind.depth == 16 else np.uint8)
    position = 0
    for rows, columns, high, wide in passes:
        row_bytes = kind.row_bytes(wide)
        end = position + high * (1 + row_bytes)
        pixels[rows, columns] = _to_pixels(unfilter(data[position:end], high, row_bytes, kind.step), kind, wide)
        position = end
    return pixels


def _deflate(pixels: _Pixels, kind: _Kind) -> bytes:
    height, width = pixels.shape[:2]
    passes = _passes(kind, width, height)
    if not kind.interlace:
        return deflate_rows(_to_rows(pixels, kind), kind.step)
    parts = [_to_rows(pixels[rows, columns], kind) for rows, columns, *_ in passes]
    return min(
        (zlib.compress(b"".join(way(part, kind.step) for part in parts), 9) for way in (filter_rows, plain_rows)),
        key=len,
    )


def _to_pixels(rows: Rows, kind: _Kind, width: int) -> _Pixels:
    channels = _CHANNELS[kind.colour]
    if kind.depth < 8:
        pixels = unpack_bits(rows, kind.depth, width)
        return pixels * np.uint8(_scale(kind))
    samples: _Pixels = rows if kind.depth == 8 else rows.view(">u2").astype(np.uint16)
    return samples if channels == 1 else samples.reshape(len(rows), width, channels)


def _to_rows(pixels: _Pixels, kind: _Kind) -> Rows:
    if kind.depth < 8:
        return pack_bits(pixels // np.uint8(_scale(kind)), kind.depth)
    flat = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    return flat if kind.depth == 8 else flat.astype(">u2").view(np.uint8)


def _scale(kind: _Kind) -> int:
    """Grey of 2 or 4 bits is held as 8 bits: models know these."""
    return 255 // ((1 << kind.depth) - 1) if kind.mode == "L" else 1
