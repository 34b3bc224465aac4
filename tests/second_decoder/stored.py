"""Section 6: stored pictures, kept files."""

import lzma

import numpy as np
from numpy.typing import NDArray

from second_decoder import vp8l
from second_decoder.pictures import Header, Picture, read_header
from second_decoder.reading import Damaged, Reader, require


def unpack_lzma(data: bytes, count: int) -> bytes:
    """6.3: raw LZMA1 of so many bytes."""
    dictionary = min(max(count, 4096), 1 << 26)
    filters = [{"id": lzma.FILTER_LZMA1, "lc": 4, "lp": 0, "pb": 0, "dict_size": dictionary}]
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    try:
        plain = decoder.decompress(data, count + 1)
    except lzma.LZMAError as error:
        raise Damaged("LZMA") from error
    require(len(plain) == count and decoder.eof and not decoder.unused_data, "LZMA of another length")
    return plain


def maybe_lzma(reader: Reader, limit: int) -> bytes:
    """Of metadata and attributes: a length, and as many bytes or as many under LZMA."""
    length = reader.varint(0, limit)
    data = reader.rest()
    return data if len(data) == length else unpack_lzma(data, length)


def kept(payload: bytes) -> bytes:
    reader = Reader(payload)
    kind = reader.byte()
    require(kind <= 1, "an unknown coding of a kept file")
    if kind == 0:
        return reader.rest()
    count = reader.varint(0, 1 << 28)
    return unpack_lzma(reader.rest(), count)


def picture(payload: bytes) -> Picture:
    reader = Reader(payload)
    coding = reader.byte()
    header = read_header(reader)
    require(coding <= 9, "an unknown coding of a stored picture")
    if coding == 1:
        return Picture(header.mode, _webp(reader.rest(), header))
    bilevel = header.mode == "1"
    width = -(-header.width // 8) if bilevel else header.width
    shape = (header.height, width, header.channels)
    if coding == 0:
        samples = np.frombuffer(reader.rest(), f"<u{header.sample_bytes}")
        require(samples.size == np.prod(shape), "samples of another number")
        samples = samples.reshape(shape)
    else:
        samples = _planes(reader.rest(), shape, header.sample_bytes, coding - 2)
    if bilevel:
        bits = np.unpackbits(samples.astype(np.uint8)[..., 0], axis=1)
        require(not bits[:, header.width :].any(), "padding that is not zero")
        samples = bits[:, : header.width, None]
    return Picture(header.mode, samples)


def _planes(data: bytes, shape: tuple[int, ...], sample_bytes: int, transform: int) -> NDArray[np.integer]:
    height, width, channels = shape
    count = height * width * channels * sample_bytes
    planes = np.frombuffer(unpack_lzma(data, count), np.uint8).reshape(channels, sample_bytes, height, width)
    samples = np.ascontiguousarray(planes.transpose(2, 3, 0, 1)).view(f"<u{sample_bytes}")[..., 0]
    left, up, green = transform & 1, transform & 2, transform & 4
    if up:
        samples = np.cumsum(samples, axis=0, dtype=samples.dtype)
    if left:
        samples = np.cumsum(samples, axis=1, dtype=samples.dtype)
    if green:
        require(channels >= 3, "green of no colour")
        samples = samples.copy()
        samples[..., [0, 2]] += samples[..., 1:2]
    return samples


def _webp(data: bytes, header: Header) -> NDArray[np.integer]:
    require(header.sample_bytes == 1, "WebP of samples of more than 8 bits")
    require(max(header[1:]) <= 16383 and header.width * header.height <= 1 << 26, "WebP above its limit")
    rgba = vp8l.decode(data)
    require(rgba.shape[:2] == (header.height, header.width), "WebP of another size")
    return rgba[..., {1: [2], 2: [2, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[header.channels]]
