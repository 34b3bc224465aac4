"""Files of arrays, taken apart into pictures and a rest, and made again."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from bbcompress.images.arrays import cifar, deflated, idx, npy, npz
from bbcompress.images.arrays.spans import ArrayFile, Span, Stream, array_file, read_picture
from bbcompress.images.errors import DamagedImage, ImageError, NotWhole
from bbcompress.images.metadata import Format, Metadata
from bbcompress.images.picture import Picture

_GZIP = b"\x1f\x8b"
_MAX_IN_MEMORY_BYTES = 1 << 28


def may_be_array(start: bytes, name: str = "") -> bool:
    """Whether a file of this name with this start may be one of arrays."""
    name = name.lower()
    if start.startswith(npz.MAGIC):
        return not name or name.endswith(".npz")
    return start.startswith((npy.MAGIC, idx.MAGIC, _GZIP, cifar.PICKLE)) or name.endswith(".bin")


def take_apart(file: BinaryIO, name: str, scratch: Callable[[], BinaryIO]) -> tuple[ArrayFile, BinaryIO]:
    """What a file holds, and its unpacked form: itself, or what is written to the file that ``scratch`` makes.

    Raises :class:`NotWhole` for a file of no pictures, with the reason. Memory is of the rest, whatever the file says.
    """
    try:
        return _taken_apart(file, name, scratch)
    except NotWhole:
        raise
    except (ValueError, struct.error, IndexError, OverflowError) as error:
        raise NotWhole("damaged file of arrays") from error


def _taken_apart(file: BinaryIO, name: str, scratch: Callable[[], BinaryIO]) -> tuple[ArrayFile, BinaryIO]:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(npy.HEAD_BYTES)
    if head.startswith(npz.MAGIC):
        return npz.take_apart(file, size, scratch)
    if head.startswith(_GZIP):
        return _unpacked(file, size, head, scratch)
    if head.startswith(cifar.PICKLE):
        span = cifar.pickled(file, size)
    elif name.lower().endswith(".bin") and not head.startswith(npy.MAGIC):
        span = cifar.binary(file, size)
    else:
        span, expected = _parsed(head)
        if size != expected:
            raise NotWhole("damaged .npy" if head.startswith(npy.MAGIC) else "not an image")
    return array_file(file, size, [span]), file


def _unpacked(file: BinaryIO, size: int, head: bytes, scratch: Callable[[], BinaryIO]) -> tuple[ArrayFile, BinaryIO]:
    """Of a gzip file of one member."""
    start = deflated.gzip_start(head)
    span, expected = _parsed(deflated.head(file, start, npy.HEAD_BYTES))
    out = scratch()
    out.write(head[:start])
    taken, crc = deflated.inflate(file, start, expected, out)
    file.seek(start + taken)
    end = file.read(9)
    if len(end) != 8 or end != crc.to_bytes(4, "little") + (expected & 0xFFFFFFFF).to_bytes(4, "little"):
        raise NotWhole("damaged gzip, or one of several files")
    out.write(end)
    level = deflated.level_of(file, start, taken, out, start, expected)
    stream = Stream(start, expected, deflated.DEFAULT_LEVEL if level is None else level, 0)
    span = span._replace(offset=span.offset + start)
    return array_file(out, start + expected + len(end), [span], [stream]), out


def _parsed(head: bytes) -> tuple[Span, int]:
    return npy.parse(head) if head.startswith(npy.MAGIC) else idx.parse(head)


def write(array: ArrayFile, samples: Iterable[bytes], out: BinaryIO, scratch: Callable[[], BinaryIO]) -> None:
    """Make a file again from the samples of its pictures, in their order.

    Raises :class:`DamagedImage` where it never was such a file.
    """
    unpacked = array.unpacked(samples)
    if not any(stream.packed_bytes for stream in array.streams):
        for piece in deflated.packed(array.streams, unpacked):
            out.write(piece)
        return
    with scratch() as plain:
        for piece in unpacked:
            plain.write(piece)
        plain.seek(0)
        start = out.tell()
        for piece in deflated.packed(array.streams, iter(lambda: plain.read(1 << 20), b"")):
            out.write(piece)
        grown = sum(stream.size - stream.packed_bytes for stream in array.streams)
        if out.tell() - start != array.size - grown:  # another zlib
            out.seek(start)
            out.truncate()
            try:
                npz.made_anew(array, plain, out)
            except NotWhole as error:
                raise DamagedImage(f"an array's rest is damaged: {error}") from error


def split(data: bytes, max_pixels: int) -> Picture:
    """The picture of a file of one; its metadata say how the file is made of it. Raises :class:`NotWhole`."""
    if len(data) > _MAX_IN_MEMORY_BYTES:
        raise NotWhole("not an image")
    array, unpacked = take_apart(io.BytesIO(data), "", io.BytesIO)
    if array.pictures != 1:
        raise NotWhole(f"array of {array.pictures} images")
    _, width, height = array.spans[0].header
    if width * height > max_pixels:
        raise NotWhole(f"array of {width} x {height} pixels, more than the limit of {max_pixels}; -M raises it")
    picture = read_picture(unpacked, array.spans[0], 0)
    return Picture(picture.mode, picture.pixels, Metadata(Format.ARRAY, array.pack()))


def join(picture: Picture) -> bytes:
    """The inverse of `split`. Raises ``varint.Malformed``, :class:`DamagedImage`."""
    array = ArrayFile.unpack(picture.metadata.body)
    if array.pictures != 1:
        raise DamagedImage("one picture of an array has the others' place")
    out = io.BytesIO()
    write(array, [array.spans[0].samples(picture)], out, io.BytesIO)
    return out.getvalue()


def values(data: bytes, name: str = "") -> npt.NDArray[Any]:
    """The array in a file of one array of pictures: of its own shape and type, or (N, H, W) or (N, H, W, C).

    Raises :class:`ImageError` for another file.
    """
    try:
        array, unpacked = take_apart(io.BytesIO(data), name, io.BytesIO)
    except NotWhole as error:
        raise ImageError(f"is no array of images, but {error}; take its bytes") from error
    if len(array.spans) > 1:
        raise ImageError(f"holds {len(array.spans)} arrays; take its bytes")
    (span,) = array.spans
    unpacked.seek(0)
    start = unpacked.read(span.offset).rfind(npy.MAGIC)
    if start >= 0:
        unpacked.seek(start)
        found: npt.NDArray[Any] = np.lib.format.read_array(unpacked, allow_pickle=False)
        return found
    return np.stack([read_picture(unpacked, span, number).pixels for number in range(span.pictures)])
