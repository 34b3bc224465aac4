"""Parts of files that are deflated (gzip, zip): unpacked to be taken apart, and deflated anew.

What zlib writes at one of its levels comes back to the byte, as long as it is the same zlib; what another program wrote
comes back as another stream of the same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from bbcompress.images.arrays.spans import Stream
from bbcompress.images.errors import NotWhole

DEFAULT_LEVEL = 6
_LEVELS = (DEFAULT_LEVEL, 9, 1, 5, 7, 8, 4, 3, 2, 0)
_PIECE_BYTES = 1 << 16


def head(file: BinaryIO, offset: int, count: int) -> bytes:
    """The first bytes, at most ``count``, of what is deflated there. Raises :class:`NotWhole`."""
    file.seek(offset)
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(count), count)
    except zlib.error as error:
        raise NotWhole("damaged deflate stream") from error


def inflate(file: BinaryIO, offset: int, size: int, out: BinaryIO) -> tuple[int, int]:
    """Unpack what is deflated there to ``out``, where it is to be ``size`` bytes; how many bytes it took, and the
    CRC-32 of the unpacked ones. Raises :class:`NotWhole`.
    """
    decoder, crc, left = zlib.decompressobj(-zlib.MAX_WBITS), 0, size
    file.seek(offset)
    taken, piece = 0, b""
    while not decoder.eof:
        if not piece:
            piece = file.read(_PIECE_BYTES)
            taken += len(piece)
            if not piece:
                raise NotWhole("deflate stream that is cut short")
        try:
            plain = decoder.decompress(piece, 1 << 20)
        except zlib.error as error:
            raise NotWhole("damaged deflate stream") from error
        piece = decoder.unconsumed_tail
        left -= len(plain)
        if left < 0:
            break
        crc = zlib.crc32(plain, crc)
        out.write(plain)
    if left:
        raise NotWhole("deflate stream of another length than its contents say")
    return taken - len(decoder.unused_data), crc


def level_of(packed: BinaryIO, place: int, packed_bytes: int, plain: BinaryIO, offset: int, size: int) -> int | None:
    """At which level zlib makes of the ``size`` bytes of ``plain`` the very bytes of ``packed``, if at any."""
    for level in _LEVELS:
        encoder, at = zlib.compressobj(level, wbits=-zlib.MAX_WBITS), place
        for start in range(0, size, _PIECE_BYTES):
            plain.seek(offset + start)
            made = encoder.compress(plain.read(min(_PIECE_BYTES, size - start)))
            packed.seek(at)
            if packed.read(len(made)) != made:
                break
            at += len(made)
        else:
            made = encoder.flush()
            packed.seek(at)
            if at + len(made) == place + packed_bytes and packed.read(len(made)) == made:
                return level
    return None


def packed(streams: Sequence[Stream], unpacked: Iterable[bytes]) -> Iterator[bytes]:
    """A file in pieces, from its unpacked form: what are streams in it is deflated."""
    waiting, position = list(reversed(streams)), 0
    encoder = None
    for whole in unpacked:
        piece = memoryview(whole)
        while piece or (encoder is not None and not waiting[-1].size):
            if encoder is None:
                part = piece[: waiting[-1].offset - position] if waiting else piece
                yield bytes(part)
            else:
                part = piece[: waiting[-1].offset + waiting[-1].size - position]
                yield encoder.compress(part)
            piece = piece[len(part) :]
            position += len(part)
            if encoder is not None and position == waiting[-1].offset + waiting[-1].size:
                yield encoder.flush()
                encoder = None
                waiting.pop()
            elif encoder is None and waiting and position == waiting[-1].offset:
                encoder = zlib.compressobj(waiting[-1].level, wbits=-zlib.MAX_WBITS)


def gzip_start(head: bytes) -> int:
    """Where the deflate stream of a gzip file begins. Raises :class:`NotWhole`.

    Source: RFC 1952.
    """
    if len(head) < 18 or head[2] != 8 or head[3] & 0xE0:
        raise NotWhole("gzip of another kind")
    flags, start = head[3], 10
    if flags & 4:
        start += 2 + int.from_bytes(head[start : start + 2], "little")
    for flag in (8, 16):
        if flags & flag:
            start = head.find(b"\0", start) + 1
            if not start:
                raise NotWhole("gzip of another kind")
    return start + (2 if flags & 2 else 0)
