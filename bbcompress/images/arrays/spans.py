"""A file of arrays as the pictures in it and its other bytes, from which it is made again byte for byte.

Unpacked, such a file is *spans*, each of pictures of one mode and size at regular distances, and a *rest*: headers,
labels, whatever is not of a picture. Some parts of it may be deflated in the file itself (`deflated.py`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import BinaryIO, NamedTuple

import numpy as np

from bbcompress.images.errors import DamagedImage, ImageError, LimitExceeded, NotWhole
from bbcompress.images.header import MODES, Header
from bbcompress.images.metadata import MAX_BYTES
from bbcompress.images.picture import Picture
from bbcompress.varint import Malformed, Reader, write_varint

MAX_SIDE = 1 << 24
"""Of pictures: what is larger is kept as a file."""
_MAX_PICTURES = 1 << 22
_MAX_BYTES = 1 << 45
_PLANAR, _BIG_ENDIAN = 1, 2
_CHUNK_BYTES = 1 << 20
_CHANGED = "was changed while it was read; try again"


class Span(NamedTuple):
    """Pictures in an unpacked file."""

    offset: int
    """Where the first one's samples begin."""
    stride: int
    """Bytes from one picture to the next."""
    pictures: int
    header: Header
    planar: bool = False
    """Whether there is one channel after another, instead of all of a pixel together."""
    big_endian: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a picture's samples as they lie in the file."""
        mode, width, height = self.header
        shape = MODES[mode].shape(width, height)
        return (shape[2], *shape[:2]) if self.planar else shape

    @property
    def picture_bytes(self) -> int:
        return math.prod(self.shape) * MODES[self.header.mode].dtype.itemsize

    @property
    def end(self) -> int:
        """After the last picture's samples."""
        return self.offset + (self.pictures - 1) * self.stride + self.picture_bytes

    def picture(self, samples: bytes) -> Picture:
        """From a picture's bytes in the file. Raises ``ValueError`` where they are none of a picture of this mode."""
        dtype = MODES[self.header.mode].dtype
        found = np.frombuffer(samples, dtype.newbyteorder(">" if self.big_endian else "<")).reshape(self.shape)
        if self.planar:
            found = found.transpose(1, 2, 0)
        return Picture(self.header.mode, np.ascontiguousarray(found, dtype))

    def samples(self, picture: Picture) -> bytes:
        """The inverse of `picture`. Raises :class:`DamagedImage` for a picture of another mode or size."""
        if picture.header != self.header:
            raise DamagedImage("a picture of an array has another mode or size than the others")
        pixels = picture.pixels.transpose(2, 0, 1) if self.planar else picture.pixels
        return pixels.astype(pixels.dtype.newbyteorder(">" if self.big_endian else "<"), copy=False).tobytes()


class Stream(NamedTuple):
    """A part of an unpacked file that the file itself has deflated."""

    offset: int
    """In the unpacked file."""
    size: int
    level: int
    """Of zlib."""
    packed_bytes: int
    """What it takes deflated; 0 where the file does not say that."""


class ArrayFile(NamedTuple):
    """What a file holds: pictures, one span after another, and everything else."""

    spans: tuple[Span, ...]
    """By their places; none overlaps another."""
    rest: bytes
    """All bytes of the unpacked file that are of no span's pictures."""
    streams: tuple[Stream, ...] = ()

    @property
    def pictures(self) -> int:
        return sum(span.pictures for span in self.spans)

    @property
    def size(self) -> int:
        """Bytes of the unpacked file."""
        return len(self.rest) + sum(span.pictures * span.picture_bytes for span in self.spans)

    @property
    def pixels(self) -> int:
        """Of all pictures."""
        return sum(span.pictures * span.header.width * span.header.height for span in self.spans)

    def span_of(self, number: int) -> tuple[Span, int]:
        """The span of a picture, and which of it that is."""
        for span in self.spans:
            if number < span.pictures:
                return span, number
            number -= span.pictures
        raise IndexError(number)

    @property
    def suffix(self) -> str:
        """The usual one, for a file whose name is not known."""
        if self.rest.startswith(b"\x1f\x8b"):
            return ".gz"
        if self.rest.startswith(b"PK"):
            return ".npz"
        return ".npy" if self.rest.startswith(b"\x93NUMPY") else ".bin"

    def unpacked(self, samples: Iterable[bytes]) -> Iterator[bytes]:
        """The unpacked file in pieces, from the samples of all pictures in their order."""
        chunk, place = bytearray(), 0
        for gap, picture in zip(self._gaps(), samples, strict=True):
            chunk += self.rest[place : place + gap]
            chunk += picture
            place += gap
            if len(chunk) >= _CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
        yield bytes(chunk) + self.rest[place:]

    def pack(self) -> bytes:
        """Equal files, and only those, give equal bytes."""
        out, end = bytearray(write_varint(len(self.streams))), 0
        for stream in self.streams:
            out += write_varint(stream.offset - end) + write_varint(stream.size)
            out += bytes([stream.level]) + write_varint(stream.packed_bytes)
            end = stream.offset + stream.size
        out += write_varint(len(self.spans))
        end = 0
        for span in self.spans:
            out += write_varint(span.offset - end) + write_varint(span.pictures)
            out += write_varint(span.stride - span.picture_bytes) + span.header.pack()
            out.append(_PLANAR * span.planar | _BIG_ENDIAN * span.big_endian)
            end = span.end
        return bytes(out) + self.rest

    @staticmethod
    def unpack(body: bytes) -> ArrayFile:
        """The inverse of `pack`. Raises ``varint.Malformed``.

        Nothing is made that is larger than ``body``, whatever it says of pictures.
        """
        reader = Reader(body)
        streams: list[Stream] = []
        end = 0
        for _ in range(reader.varint(len(body))):
            offset = end + reader.varint(_MAX_BYTES)
            stream = Stream(offset, reader.varint(_MAX_BYTES), reader.byte(), reader.varint(_MAX_BYTES))
            if stream.level > 9:
                raise Malformed("a level that zlib has not")
            end = stream.offset + stream.size
            streams.append(stream)
        spans: list[Span] = []
        place = gaps = 0
        for _ in range(reader.varint(len(body))):
            offset, count = place + reader.varint(_MAX_BYTES), reader.varint(_MAX_PICTURES)
            between, header = reader.varint(_MAX_BYTES), _header(reader)
            flags, colours = reader.byte(), MODES[header.mode].channels
            if not count or flags > (_PLANAR | _BIG_ENDIAN) or (flags & _PLANAR and colours == 1):
                raise Malformed("pictures of an array that are none")
            span = Span(offset, 0, count, header, bool(flags & _PLANAR), bool(flags & _BIG_ENDIAN))
            span = span._replace(stride=span.picture_bytes + between)
            gaps += offset - place + (count - 1) * between
            place = span.end
            spans.append(span)
        found = ArrayFile(tuple(spans), reader.rest(), tuple(streams))
        if not spans or gaps > len(found.rest) or end > found.size or found.pictures > _MAX_PICTURES:
            raise Malformed("an array that does not fit its pictures")
        return found

    def _gaps(self) -> Iterator[int]:
        """How many bytes of the rest there are before each picture."""
        end = 0
        for span in self.spans:
            yield span.offset - end
            yield from repeat(span.stride - span.picture_bytes, span.pictures - 1)
            end = span.end


def _header(reader: Reader) -> Header:
    try:
        return Header.unpack(reader, max_pixels=_MAX_BYTES)
    except LimitExceeded as error:
        raise Malformed(str(error)) from error


def array_file(file: BinaryIO, size: int, spans: Iterable[Span], streams: Sequence[Stream] = ()) -> ArrayFile:
    """What an unpacked file of so many bytes holds, given its spans. Raises :class:`NotWhole`."""
    ordered = [
        span if span.pictures > 1 else span._replace(stride=span.picture_bytes) for span in sorted(spans)
    ]  # so that equal files have equal spans
    end = 0
    for span in ordered:
        if span.offset < end or span.end > size:
            raise NotWhole("damaged file of arrays")
        end = span.end
    pictures = sum(span.pictures for span in ordered)
    samples = sum(span.pictures * span.picture_bytes for span in ordered)
    if pictures > _MAX_PICTURES:
        raise NotWhole(f"array of {pictures} images, more than there may be")
    if size - samples > MAX_BYTES // 2:
        raise NotWhole("file of arrays, of which most are no images")
    rest = bytearray()
    place = 0
    for span in ordered:
        _check_bits(file, span)
        rest += _read(file, place, span.offset - place)
        between = span.stride - span.picture_bytes
        for number in range(span.pictures - 1 if between else 0):
            rest += _read(file, span.offset + number * span.stride + span.picture_bytes, between)
        place = span.end
    rest += _read(file, place, size - place)
    return ArrayFile(tuple(ordered), bytes(rest), tuple(streams))


def read_picture(file: BinaryIO, span: Span, number: int) -> Picture:
    """A picture of a span of an unpacked file. Raises :class:`ImageError` where the file has changed."""
    try:
        return span.picture(_read(file, span.offset + number * span.stride, span.picture_bytes))
    except (NotWhole, ValueError) as error:
        raise ImageError(_CHANGED) from error


def distinct_share(file: BinaryIO, spans: Sequence[Span]) -> float:
    """Part of the pictures that are like none before. Raises :class:`ImageError` where the file has changed."""

    def digest(span: Span, number: int) -> int:
        samples = _read(file, span.offset + number * span.stride, span.picture_bytes)
        return int.from_bytes(hashlib.blake2b(samples, digest_size=8).digest(), "little")

    every = ((span, number) for span in spans for number in range(span.pictures))
    try:
        digests = np.fromiter((digest(*one) for one in every), np.uint64)
    except NotWhole as error:
        raise ImageError(_CHANGED) from error
    return len(np.unique(digests)) / len(digests)


def _check_bits(file: BinaryIO, span: Span) -> None:
    """Raise :class:`NotWhole` where booleans are not bytes of 0 or 1."""
    if span.header.mode != "1":
        return
    for number in range(span.pictures):
        samples = _read(file, span.offset + number * span.stride, span.picture_bytes)
        if np.frombuffer(samples, np.uint8).max() > 1:
            raise NotWhole("array of bool with other bytes than 0 and 1")


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    found = file.read(count)
    if len(found) != count:
        raise NotWhole("file of arrays that is cut short")
    return found
