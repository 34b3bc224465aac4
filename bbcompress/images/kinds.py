"""What a file is that is kept as it is, for people: by its first bytes."""

from __future__ import annotations

import struct

_STARTS = [
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"SIMPLE  =", "FITS"),
    (b"8BPS", "PSD"),
    (b"DDS ", "DDS"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\2\0", "CUR"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"\x01\xda", "SGI image"),
    (b"FUJIFILM", "camera raw"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"PK\3\4", "ZIP"),
]
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"crx ": "camera raw"}


def described(data: bytes) -> str:
    """As in "12-bit JPEG 2000" or "animated GIF, 3 frames"."""
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        frames = _gif_frames(data)
        return f"animated GIF, {frames} frames" if frames > 1 else "GIF"
    if data[4:8] == b"ftyp" and data[8:12] in _BRANDS:
        return _with_bits(_BRANDS[data[8:12]], _av1_bits(data))
    kind = next((kind for start, kind in _STARTS if data.startswith(start)), None)
    if kind == "JPEG 2000":
        return _with_bits(kind, _jpeg_2000_bits(data))
    if kind == "PSD" and len(data) >= 24:
        channels, bits = struct.unpack_from(">H8xH", data, 12)
        return f"PSD of {channels} channels of {bits} bits"
    return kind or ("not an image" if data else "empty")


def one_jpeg(data: bytes) -> bool:
    """Whether a file is a JPEG of one picture of 8 bits, which all software decodes alike but for rounding.

    Files of several (MPO) say so in an APP2 segment.
    """
    position = 2
    while data[:3] == b"\xff\xd8\xff" and position + 4 <= len(data) and data[position] == 0xFF:
        marker, size = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xE2 and data[position + 4 : position + 8] == b"MPF\0":
            return False
        if marker in (0xC0, 0xC1, 0xC2):
            return data[position + 4 : position + 5] == b"\x08"
        position += 2 + size
    return False


def _with_bits(kind: str, bits: int | None) -> str:
    return f"{bits}-bit {kind}" if bits else kind


def _jpeg_2000_bits(data: bytes) -> int | None:
    """Of the first component, as the SIZ segment says."""
    place = data.find(b"\xff\x4f\xff\x51")
    return (data[place + 42] & 0x7F) + 1 if 0 <= place < len(data) - 42 else None


def _av1_bits(data: bytes) -> int | None:
    place = data.find(b"av1C")
    if not 0 <= place < len(data) - 6:
        return None
    high, twelve = data[place + 6] & 0x40, data[place + 6] & 0x20
    return 12 if high and twelve else 10 if high else 8


def _gif_frames(data: bytes) -> int:
    """Image descriptors, as far as the file goes."""
    if len(data) < 13:
        return 0
    position, frames = 13 + _gif_colours(data[10]), 0
    while position < len(data):
        if data[position] == 0x2C and position + 10 < len(data):
            frames += 1
            position += 11 + _gif_colours(data[position + 9])
        elif data[position] == 0x21:
            position += 2
        else:
            break
        while position < len(data) and data[position]:
            position += 1 + data[position]
        position += 1
    return frames


def _gif_colours(flags: int) -> int:
    return 3 << (1 + (flags & 7)) if flags & 0x80 else 0
