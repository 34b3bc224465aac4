"""Whether a file came back whole, as tifffile, imagecodecs and a chunk lister see it, which bbcompress does not use."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import tifffile

PLACES = {273, 279, 324, 325}
"""TIFF tags that say where strips and tiles are, and how many bytes they take."""


def assert_whole(before: bytes, after: bytes) -> None:
    """Nothing is lost: the same bytes, or the same samples and every chunk or tag."""
    if before == after:
        return
    if before.startswith(b"\x89PNG"):
        assert png_facts(after) == png_facts(before)
        np.testing.assert_array_equal(imagecodecs.png_decode(after), imagecodecs.png_decode(before))
    elif before[:2] in (b"II", b"MM"):
        assert tiff_facts(after) == tiff_facts(before)
        for one, other in zip(tiff_pixels(after), tiff_pixels(before), strict=True):
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes()
    elif before.startswith(b"RIFF"):
        assert webp_facts(after) == webp_facts(before)
        np.testing.assert_array_equal(imagecodecs.webp_decode(after), imagecodecs.webp_decode(before))
    else:
        raise AssertionError("a file of another kind came back with other bytes")


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and body of each chunk, all of IDAT as one; every CRC is right and nothing follows."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    found: list[tuple[bytes, bytes]] = []
    position = 8
    while position < len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        assert data[position + 8 + length :][:4] == struct.pack(">I", zlib.crc32(name + body))
        if name == b"IDAT" and found[-1][0] == b"IDAT":
            body = found.pop()[1] + body
        found.append((name, body))
        position += 12 + length
    assert position == len(data) and found[-1][0] == b"IEND"
    return found


def png_facts(data: bytes) -> list[tuple[bytes, bytes]]:
    """All chunks in their order; of IDAT only its place."""
    return [(name, b"" if name == b"IDAT" else body) for name, body in png_chunks(data)]


def tiff_facts(data: bytes) -> list[Any]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [_page_facts(page) for page in file.pages]
        return [file.byteorder, file.is_bigtiff, pages]


def _page_facts(page: Any) -> Any:
    tags = [
        (tag.code, tag.dtype.value, tag.count, repr(tag.value)) for tag in page.tags.values() if tag.code not in PLACES
    ]
    return sorted(tags), str(page.photometric), str(page.dtype), page.shape, len(page.pages or ())


def tiff_pixels(data: bytes) -> list[np.ndarray[Any, Any]]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return [page.asarray() for page in file.pages]


def webp_facts(data: bytes) -> list[tuple[bytes, bytes]]:
    found, position = [], 12
    while position < len(data):
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        found.append((name, b"" if name == b"VP8L" else data[position + 8 :][:size]))
        position += 8 + size + size % 2
    return found
