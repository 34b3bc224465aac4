"""Bytes as LZMA where that is shorter, after their length: what is compressed is what has another length."""

import lzma

from bbcompress.images import planes
from bbcompress.varint import Malformed, Reader, write_varint


def squeezed(plain: bytes) -> bytes:
    """The shorter way.

    >>> unsqueezed(squeezed(b"abc"), limit=3)
    b'abc'
    """
    return write_varint(len(plain)) + min(plain, planes.deflate(plain), key=len)


def unsqueezed(data: bytes, limit: int) -> bytes:
    """The inverse of `squeezed`, for at most `limit` bytes. Raises Malformed."""
    reader = Reader(data)
    length = reader.varint(limit)
    rest = reader.rest()
    if len(rest) == length:
        return rest
    try:
        return planes.inflate(rest, length)
    except (ValueError, lzma.LZMAError) as error:
        raise Malformed(f"what cannot be unpacked: {error}") from error
