"""TIFF's strips and tiles, compressed and not. What zlib does not do is libtiff's work, through Pillow."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import zlib
from collections.abc import Iterator

from PIL import Image, TiffImagePlugin, features

from bbcompress.images import tiff_tags
from bbcompress.images.errors import ImageError, NotWhole
from bbcompress.images.tiff_tags import Entry, Tiff

NONE, GROUP_4, LZW, DEFLATE, OLD_DEFLATE, PACKBITS = 1, 4, 5, 8, 32946, 32773
COMPRESSIONS = {NONE, GROUP_4, LZW, DEFLATE, OLD_DEFLATE, PACKBITS}
PILLOW_NAMES = {GROUP_4: "group4", LZW: "tiff_lzw", PACKBITS: "packbits"}
#: Two threads that redirect stderr at once could leave it redirected.
_STDERR_LOCK = threading.Lock()


def decompress(data: bytes, compression: int, rows: int, row_bytes: int, width: int) -> bytes:
    """The ``rows * row_bytes`` bytes of a strip or tile; ``width`` in pixels. Raises :class:`NotWhole`."""
    size = rows * row_bytes
    if compression == NONE:
        plain = data
    elif compression in (DEFLATE, OLD_DEFLATE):
        decoder = zlib.decompressobj()
        try:
            plain = decoder.decompress(data, size + 1)
            plain += decoder.decompress(decoder.unconsumed_tail, 1) if len(plain) == size else b""
        except zlib.error as error:
            raise NotWhole("damaged TIFF: its pixels cannot be inflated") from error
        if not decoder.eof:
            raise NotWhole("damaged TIFF: too few or too many pixels")
    else:
        plain = _from_libtiff(data, compression, rows, width if compression == GROUP_4 else row_bytes)
    if len(plain) != size:
        raise NotWhole("damaged TIFF: too few or too many pixels")
    return plain


def compress(data: bytes, compression: int, rows: int, row_bytes: int, width: int) -> bytes:
    """The inverse of :func:`decompress`. Raises :class:`ImageError` where this Pillow lacks libtiff."""
    if compression == NONE:
        return data
    if compression in (DEFLATE, OLD_DEFLATE):
        return zlib.compress(data, 9 if len(data) < 1 << 20 else 6)
    if not features.check("libtiff"):
        raise ImageError("this picture needs a Pillow with libtiff; install one from PyPI")
    bilevel = compression == GROUP_4
    image = Image.frombytes("1" if bilevel else "L", (width if bilevel else row_bytes, rows), data)
    out = io.BytesIO()
    one_strip = {TiffImagePlugin.ROWSPERSTRIP: rows}
    with _silent_libtiff():
        image.save(out, "TIFF", compression=PILLOW_NAMES[compression], tiffinfo=one_strip)
    (block,) = tiff_tags.read(out.getvalue()).blocks
    return block


def _from_libtiff(data: bytes, compression: int, rows: int, width: int) -> bytes:
    """The bytes of a file whose one strip is ``data``."""
    if not features.check("libtiff"):
        raise NotWhole("TIFF of a compression that this Pillow lacks")
    bits = 1 if compression == GROUP_4 else 8
    values = {256: width, 257: rows, 258: bits, 259: compression, 262: 1, 277: 1, 278: rows}
    entries = tuple(Entry(tag, 4, 1, struct.pack("<I", value)) for tag, value in values.items())
    file = tiff_tags.write(Tiff(little=True, big=False, entries=entries, blocks=(data,)))
    try:
        with _silent_libtiff(), Image.open(io.BytesIO(file), formats=["TIFF"]) as image:
            return image.tobytes()
    except Exception as error:  # Pillow raises almost any type on damaged data
        raise NotWhole("damaged TIFF: its pixels cannot be decompressed") from error


@contextlib.contextmanager
def _silent_libtiff() -> Iterator[None]:
    """Keep libtiff, which prints its errors to file descriptor 2 by itself, from doing so."""
    with _STDERR_LOCK:
        try:
            kept = os.dup(2)
        except OSError:  # this process has no stderr
            yield
            return
        try:
            with open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
