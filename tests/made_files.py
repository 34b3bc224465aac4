"""Files of many kinds, made at random, as hypothesis strategies."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from hypothesis import strategies as st
from made_arrays import gzipped, idx_bytes, npy_bytes, npz_bytes
from PIL import Image

PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
BEFORE_PALETTE = [
    (b"gAMA", b"\0\0\xb1\x8f"),
    (b"cHRM", bytes(range(32))),
    (b"sRGB", b"\1"),
    (b"iCCP", b"profile\0\0" + zlib.compress(b"no profile at all")),
    (b"iCCP", b"broken"),
    (b"cICP", b"\x09\x10\0\1"),
    (b"mDCV", bytes(24)),
    (b"cLLI", bytes(8)),
    (b"sBIT", b"\5"),
    (b"prVt", b"private, before all"),
]
AFTER_PALETTE = [
    (b"bKGD", b"\0\1"),
    (b"hIST", b"\0\1" * 2),
    (b"tRNS", b"\0\1"),
    (b"pHYs", b"\0\0\0\1\0\0\0\2\0"),
    (b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
    (b"prVt", b"private, before pixels"),
]
ANYWHERE = [
    (b"tIME", b"\x07\xea\1\2\3\4\5"),
    (b"tEXt", b"Title\0\xa9 Latin-1"),
    (b"tEXt", b"Title\0the second of this key"),
    (b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 1000)),
    (b"iTXt", b"Title\0\0\0de-CH\0Titel\0Gr\xc3\xbcn"),
    (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0\xff\xfe not UTF-8"),
    (b"prVt", b""),
]


def png_bytes(chunks: list[tuple[bytes, bytes]]) -> bytes:
    out = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return out


def png_passes(width: int, height: int, interlaced: bool) -> list[tuple[int, int]]:
    """Width and height of each pass that has pixels."""
    if not interlaced:
        return [(width, height)]
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    sizes = [(len(range(x, width, dx)), len(range(y, height, dy))) for x, y, dx, dy in starts]
    return [size for size in sizes if min(size)]


@st.composite
def png_files(draw: st.DrawFn) -> bytes:
    """Any depth and colour type, interlaced or not, with filters and pixels at random and any chunks."""
    colour = draw(st.sampled_from(sorted(PNG_CHANNELS)))
    depth = draw(st.sampled_from(PNG_DEPTHS[colour]))
    width, height, interlaced = draw(st.integers(1, 40)), draw(st.integers(1, 20)), draw(st.booleans())
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    filters = draw(st.sampled_from([(0,), (0, 1, 2), (0, 1, 2, 3, 4), (4,)]))
    data = b""
    for wide, high in png_passes(width, height, interlaced):
        for _ in range(high):
            row = random.integers(0, draw(st.sampled_from([2, 256])), -(-wide * depth * PNG_CHANNELS[colour] // 8))
            data += bytes([random.choice(filters)]) + row.astype(np.uint8).tobytes()
    stream = zlib.compress(data)
    cut = draw(st.integers(0, len(stream)))
    palette = [(b"PLTE", random.bytes(3 << depth))] if colour == 3 else []
    before, after = draw(_some(BEFORE_PALETTE)), draw(_some(AFTER_PALETTE))
    return png_bytes(
        [
            (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)),
            *draw(_some(ANYWHERE)),
            *before,
            *palette,
            *after,
            (b"IDAT", stream[:cut]),
            (b"IDAT", stream[cut:]),
            *draw(_some(ANYWHERE)),
            (b"IEND", b""),
        ]
    )


def _some(chunks: list[tuple[bytes, bytes]]) -> st.SearchStrategy[list[tuple[bytes, bytes]]]:
    return st.lists(st.sampled_from(chunks), max_size=3)


@st.composite
def tiff_files(draw: st.DrawFn) -> bytes:
    """What tifffile writes: samples, channels, layout, compression and tags of many kinds."""
    dtype = draw(st.sampled_from(["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8", "c8"]))
    channels = draw(st.sampled_from([1, 1, 2, 3, 4, 5])) if dtype != "?" else 1
    planar = channels > 1 and draw(st.booleans())
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    pages = draw(st.sampled_from([1, 1, 1, 1, 2]))
    shape = (height, width) if channels == 1 else (channels, height, width) if planar else (height, width, channels)
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    kind = np.dtype(dtype)
    pixels = np.frombuffer(random.bytes(pages * int(np.prod(shape)) * kind.itemsize), np.uint8)
    pixels = (pixels & 1).astype(bool) if dtype == "?" else pixels.view(kind)
    pixels = pixels.reshape((pages, *shape) if pages > 1 else shape)
    photometrics: list[str] = ["minisblack"]
    if channels == 1 and kind.kind in "?u":
        photometrics.append("miniswhite")
    if channels == 1 and dtype in ("u1", "u2"):
        photometrics.append("palette")
    if channels >= 3:
        photometrics.append("rgb")
    if channels >= 4:
        photometrics.append("separated")
    options: dict[str, Any] = {"photometric": draw(st.sampled_from(photometrics))}
    if options["photometric"] == "palette":
        options["colormap"] = random.integers(0, 1 << 16, (3, 1 << 8 * kind.itemsize), np.uint16)
    if channels > 1:
        options["planarconfig"] = "separate" if planar else "contig"
    extra = {"rgb": channels - 3, "separated": channels - 4}.get(options["photometric"], channels - 1)
    if extra > 0:
        options["extrasamples"] = [draw(st.sampled_from(["unspecified", "assocalpha", "unassalpha"]))] * extra
    options["compression"] = draw(st.sampled_from([None, None, "lzw", "zlib", "packbits", "zstd"]))
    if options["compression"] in ("lzw", "zlib") and kind.kind in "uif" and draw(st.booleans()):
        options["predictor"] = 3 if kind.kind == "f" else 2
        if kind.itemsize == 8 and kind.kind != "f":
            options.pop("predictor")
    if draw(st.booleans()):
        options["tile"] = (16, 32)
    elif draw(st.booleans()):
        options["rowsperstrip"] = draw(st.integers(1, 8))
    options["byteorder"], options["bigtiff"] = draw(st.sampled_from("<>")), draw(st.booleans())
    options["metadata"] = draw(st.sampled_from([None, {"axes": "IYX", "Name": "value"}])) if pages == 1 else None
    if options["metadata"] is not None:
        options["metadata"] = {"Name": "value"}
    options["extratags"] = draw(st.lists(st.sampled_from(EXTRA_TAGS), max_size=4, unique_by=lambda tag: tag[0]))
    if draw(st.booleans()):
        options["resolution"] = (draw(st.integers(1, 9999)), 300)
        options["resolutionunit"] = draw(st.sampled_from([1, 2, 3]))
    out = io.BytesIO()
    with tifffile.TiffWriter(out, bigtiff=options.pop("bigtiff"), byteorder=options.pop("byteorder")) as writer:
        writer.write(pixels, **options)
    return out.getvalue()


EXTRA_TAGS: list[tuple[Any, ...]] = [
    (33432, 2, 0, "© µm".encode(), True),
    (305, 2, 0, b"\xb5m in Latin-1\0", True),
    (269, 2, 0, b"document name\0", True),
    (700, 1, 12, b"<x>\xff\xfe</x>\0\0", True),
    (33723, 4, 2, (7, 8), True),
    (34377, 7, 5, b"8BIM\0", True),
    (34675, 7, 7, b"profile", True),
    (34735, 3, 4, (1, 1, 0, 0), True),
    (33550, 12, 3, (0.5, 0.25, 0.0), True),
    (65000, 2, 0, b"private text\0", True),
    (65001, 4, 1, 12, True),
    (65002, 12, 2, (1.5, -2.5), True),
    (274, 3, 1, 6, True),
    (37724, 7, 3, b"abc", True),
]


@st.composite
def bmp_files(draw: st.DrawFn) -> bytes:
    """All header sizes and depths, top-down or not, with random palettes, padding, gaps and tails."""
    size, bits = draw(st.sampled_from([12, 40, 56, 108, 124])), draw(st.sampled_from([1, 4, 8, 16, 24, 32]))
    width, height = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    rows = random.integers(0, 256, (height, -(-width * bits // 32) * 4)).astype(np.uint8)
    if draw(st.booleans()):  # as most programs pad
        rows[:, -(-width * bits // 8) :] = 0
        if width * bits % 8:
            rows[:, width * bits // 8] &= np.uint8(0xFF00 >> width * bits % 8 & 0xFF)
    colours = random.bytes((3 if size == 12 else 4) << bits) if bits <= 8 else b""
    gap, tail = random.bytes(draw(st.integers(0, 4))), random.bytes(draw(st.integers(0, 4)))
    start = 14 + size + len(colours) + len(gap)
    head = struct.pack("<2sIHHI", b"BM", start + rows.size, 0, 0, start)
    if size == 12:
        head += struct.pack("<IHHHH", size, width, height, 1, bits)
    else:
        head += struct.pack("<IiiHHI", size, width, height * draw(st.sampled_from([1, -1])), 1, bits, 0)
        head = head.ljust(14 + size, b"\0")
    return head + colours + gap + rows.tobytes() + tail


@st.composite
def pnm_files(draw: st.DrawFn) -> bytes:
    """Binary and plain, of any largest value, with comments, and sometimes something after the pixels."""
    kind, largest = (
        draw(st.sampled_from([b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7"])),
        draw(st.integers(1, 65535)),
    )
    width, height = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    gap = draw(st.sampled_from([b" ", b"\n", b"\n# a comment\n", b"\t "]))
    head = kind + gap + str(width).encode() + gap + str(height).encode()
    if kind not in (b"P1", b"P4"):
        head += gap + str(largest).encode()
    samples = width * height * (3 if kind in (b"P3", b"P6") else 1)
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    if kind in (b"P1", b"P2", b"P3"):
        body = b" ".join(str(number).encode() for number in random.integers(0, 2, samples))
    else:
        size = height * -(-width // 8) if kind == b"P4" else samples * (1 if largest < 256 else 2)
        body = random.bytes(size)
    return head + b"\n" + body + draw(st.sampled_from([b"", b"\n", b"x" * 500]))


@st.composite
def webp_files(draw: st.DrawFn) -> bytes:
    alpha, frames = draw(st.booleans()), draw(st.sampled_from([1, 1, 1, 2]))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    shape = (draw(st.integers(1, 20)), draw(st.integers(1, 20)), 4 if alpha else 3)
    images = [Image.fromarray(random.integers(0, 256, shape).astype(np.uint8)) for _ in range(frames)]
    options: dict[str, Any] = {"lossless": draw(st.booleans()), "exact": True, "append_images": images[1:]}
    for key in draw(st.lists(st.sampled_from(["exif", "xmp", "icc_profile"]), unique=True)):
        options[key] = b"II*\0some bytes"
    out = io.BytesIO()
    images[0].save(out, "WEBP", save_all=frames > 1, **options)
    return out.getvalue()


@st.composite
def other_files(draw: st.DrawFn) -> bytes:
    """Files that are never pictures."""
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    pixels = random.integers(0, 256, (draw(st.integers(1, 20)), draw(st.integers(1, 20)), 3)).astype(np.uint8)
    kind = draw(st.sampled_from(["jpeg", "gif", "jp2", "text", "bytes", "empty"]))
    out = io.BytesIO()
    match kind:
        case "jpeg":
            Image.fromarray(pixels).save(out, "JPEG", comment=b"\xff\xfe")
        case "gif":
            image = Image.fromarray(pixels).convert("P")
            image.save(out, "GIF", save_all=True, append_images=[image.rotate(90)] * draw(st.integers(0, 2)))
        case "jp2":
            out.write(imagecodecs.jpeg2k_encode(pixels.astype(np.uint16) * 16, bitspersample=12, level=0))
        case "text":
            out.write(b"some text, again and again\n" * draw(st.integers(1, 50)))
        case "bytes":
            out.write(random.bytes(draw(st.integers(1, 3000))))
    return out.getvalue()


@st.composite
def array_files(draw: st.DrawFn) -> bytes:
    """Of one picture mostly, or of several or none."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    array = random.integers(0, 2, shape).astype(draw(st.sampled_from(["?", "u1", "<u2", ">u2", "f4"])))
    match draw(st.sampled_from(["npy", "npz", "deflated", "idx"])):
        case "npy":
            data = npy_bytes(array)
        case "idx":
            data = idx_bytes(array.astype(np.uint8))
        case kind:
            data = npz_bytes(kind == "deflated", a=array)
    return gzipped(data) if draw(st.booleans()) else data


any_file = st.one_of(png_files(), tiff_files(), bmp_files(), pnm_files(), webp_files(), array_files(), other_files())
