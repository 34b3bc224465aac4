"""The format of `numpy.savez`: a zip of `.npy` files, stored or deflated."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from bbcompress.images.arrays import deflated, npy
from bbcompress.images.arrays.spans import ArrayFile, Span, Stream, array_file
from bbcompress.images.errors import NotWhole

MAGIC = b"PK\3\4"
_LOCAL_BYTES = 30
_ENCRYPTED, _DESCRIBED_LATER = 1, 8
_COPIED_BYTES = 1 << 20
_MAX_IN_MEMORY_BYTES = 1 << 28


def take_apart(file: BinaryIO, size: int, scratch: Callable[[], BinaryIO]) -> tuple[ArrayFile, BinaryIO]:
    """What a file of so many bytes holds, and its unpacked form: itself, or what is then written to a ``scratch`` file.

    Raises :class:`NotWhole`.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    except Exception as error:  # of damaged files zipfile raises unrelated types, in no documented set
        raise NotWhole("damaged ZIP") from error
    spans: list[Span] = []
    packed: list[tuple[int, int, int, Span]] = []
    for member in members:
        if member.flag_bits & (_ENCRYPTED | _DESCRIBED_LATER):
            continue
        start = _data_start(file, member.header_offset)
        try:
            if member.compress_type == zipfile.ZIP_STORED:
                file.seek(start)
                span, expected = npy.parse(file.read(npy.HEAD_BYTES), start)
                if expected == member.file_size == member.compress_size:
                    spans.append(span)
            elif member.compress_type == zipfile.ZIP_DEFLATED:
                span, expected = npy.parse(deflated.head(file, start, npy.HEAD_BYTES))
                if expected == member.file_size:
                    packed.append((start, member.compress_size, expected, span))
        except NotWhole:  # an array of something else
            continue
    if not packed:
        if not spans:
            raise NotWhole("ZIP without arrays of images")
        return array_file(file, size, spans), file
    return _unpacked(file, size, spans, packed, scratch)


def _unpacked(
    file: BinaryIO,
    size: int,
    spans: list[Span],
    packed: list[tuple[int, int, int, Span]],
    scratch: Callable[[], BinaryIO],
) -> tuple[ArrayFile, BinaryIO]:
    out, streams, place = scratch(), list[Stream](), 0
    found: list[Span] = []
    grown = 0
    for start, packed_bytes, plain_bytes, span in packed:
        if start < place:
            raise NotWhole("damaged ZIP")
        found += _moved(spans, place, start, grown)
        _copy(file, place, start, out)
        offset = out.tell()
        taken, _ = deflated.inflate(file, start, plain_bytes, out)
        level = deflated.level_of(file, start, packed_bytes, out, offset, plain_bytes)
        out.seek(offset + (plain_bytes if level is not None else 0))
        out.truncate()
        if taken != packed_bytes or level is None:  # it would not come back: it stays as it is
            _copy(file, start, start + packed_bytes, out)
        else:
            streams.append(Stream(offset, plain_bytes, level, packed_bytes))
            found.append(span._replace(offset=span.offset + offset))
            grown += plain_bytes - packed_bytes
        place = start + packed_bytes
    found += _moved(spans, place, size, grown)
    _copy(file, place, size, out)
    if not found:
        raise NotWhole(".npz that zlib would not deflate alike")
    return array_file(out, out.tell(), found, streams), out


def _moved(spans: list[Span], start: int, end: int, by: int) -> Iterator[Span]:
    return (span._replace(offset=span.offset + by) for span in spans if start <= span.offset < end)


def _copy(file: BinaryIO, start: int, end: int, out: BinaryIO) -> None:
    file.seek(start)
    while start < end and (piece := file.read(min(_COPIED_BYTES, end - start))):
        out.write(piece)
        start += len(piece)


def _data_start(file: BinaryIO, header: int) -> int:
    """Where the data of a member begin, by its local header."""
    file.seek(header)
    found = file.read(_LOCAL_BYTES)
    if len(found) < _LOCAL_BYTES or not found.startswith(MAGIC):
        raise NotWhole("damaged ZIP")
    name_bytes, extra_bytes = struct.unpack_from("<HH", found, 26)
    return header + _LOCAL_BYTES + int(name_bytes) + int(extra_bytes)


def _inflated(data: bytes) -> bytes:
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = decoder.decompress(data, _MAX_IN_MEMORY_BYTES)
    if not decoder.eof:
        raise NotWhole("damaged ZIP")
    return plain


def made_anew(array: ArrayFile, unpacked: BinaryIO, out: BinaryIO) -> None:
    """Write a zip of the same members, names, times, order and contents, given its unpacked form: for where zlib is
    another than where it was taken apart, and deflates to another length than is written everywhere in it.

    Raises :class:`NotWhole` where it is no such zip.
    """
    unpacked_at = {stream.offset for stream in array.streams}
    try:
        with zipfile.ZipFile(unpacked) as old:
            members = sorted(old.infolist(), key=lambda member: member.header_offset)
        place = 0
        with zipfile.ZipFile(out, "w") as new:
            for member in members:
                place = _data_start(unpacked, place)
                size = member.file_size if place in unpacked_at else member.compress_size
                unpacked.seek(place)
                plain = unpacked.read(size)
                if member.compress_type == zipfile.ZIP_DEFLATED and place not in unpacked_at:
                    plain = _inflated(plain)
                info = zipfile.ZipInfo(member.filename, member.date_time)
                info.compress_type, info.create_system = member.compress_type, member.create_system
                info.external_attr, info.comment = member.external_attr, member.comment
                new.writestr(info, plain)
                place += size
    except Exception as error:  # of damaged files zipfile raises unrelated types, in no documented set
        raise NotWhole("damaged ZIP") from error
