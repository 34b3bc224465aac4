"""TIFF files of one picture: pixels, and every tag as it is; written with the compression and layout they had.

Metadata: a TIFF file of the tags alone, without those of the places of pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bbcompress.images import tiff_data, tiff_tags
from bbcompress.images.errors import DamagedImage, NotWhole, require_size
from bbcompress.images.header import MODES
from bbcompress.images.metadata import Format, Metadata
from bbcompress.images.picture import Picture
from bbcompress.images.samples import pack_bits, unpack_bits
from bbcompress.images.tiff_tags import Tiff

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _SEPARATED, _YCBCR, _LAB = 0, 1, 2, 3, 4, 5, 6, 8
_PHOTOMETRICS = {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _SEPARATED, _YCBCR, _LAB}
_NO_PREDICTOR, _DIFFERENCES = 1, 2
_UNSIGNED = 1
_MAX_PIXEL_BYTES = 8
"""The limit of pixels times this is one of bytes, with what of tiles lies outside the picture."""
_SAMPLE_FORMATS = {1, 2, 3, 4}
#: Size, samples, compression, strips and tiles, palette, orientation, inks, YCbCr.
_PIXEL_TAGS = frozenset(
    [254, 256, 257, 258, 259, 262, 266, 274, 277, 278, 284, 317, 320, 322, 323, 332, 334, 338, 339, 529, 530, 531, 532]
)
_Pixels = npt.NDArray[Any]


class _Layout(NamedTuple):
    """How a file holds its pixels."""

    width: int
    height: int
    bits: int
    channels: int
    format: int
    photometric: int
    planar: bool
    compression: int
    predictor: int
    block: tuple[int, int]
    """Height and width of a strip or tile."""
    tiled: bool
    order: tiff_tags.Order

    @property
    def mode(self) -> str:
        if self.bits > 8:
            return ("L", "LA", "RGB", "RGBA")[self.channels - 1] + str(self.bits)
        if self.photometric == _PALETTE:
            return "P"
        if self.bits < 8:
            return "1" if self.bits == 1 else "L"
        return ("L", "LA", "RGB", "RGBA" if self.photometric == _RGB else "CMYK")[self.channels - 1]

    @property
    def inverted(self) -> bool:
        """Models know pictures whose larger values are lighter."""
        return self.photometric == _WHITE_IS_ZERO and self.channels == 1 and self.format == _UNSIGNED

    def blocks(self) -> Iterator[tuple[slice, slice, slice, int, int]]:
        """Rows, columns and channels of each strip or tile, and its height and width with what lies outside."""
        high, wide = self.block
        for channel in range(self.channels) if self.planar else [-1]:
            channels = slice(channel, channel + 1) if self.planar else slice(None)
            for top in range(0, self.height, high):
                for left in range(0, self.width, wide):
                    rows = slice(top, min(top + high, self.height))
                    full = high if self.tiled else rows.stop - top
                    yield rows, slice(left, min(left + wide, self.width)), channels, full, wide

    def row_bytes(self, width: int) -> int:
        return -(-width * self.bits * (1 if self.planar else self.channels) // 8)


def split(data: bytes, max_pixels: int) -> Picture:
    """The picture in a file. Raises :class:`NotWhole`."""
    tiff = tiff_tags.read(data)
    layout = _layout(tiff)
    require_size("TIFF", layout.width, layout.height, max_pixels)
    across, down = -(-layout.width // layout.block[1]), -(-layout.height // layout.block[0])
    if len(tiff.blocks) != across * down * (layout.channels if layout.planar else 1):
        raise NotWhole("damaged TIFF: too few or too many strips or tiles")
    size_bytes = across * down * layout.block[0] * layout.block[1] * layout.channels * layout.bits // 8
    if size_bytes > _MAX_PIXEL_BYTES * max_pixels:
        raise NotWhole(f"TIFF of {size_bytes} bytes, more than the limit of {_MAX_PIXEL_BYTES * max_pixels}")
    dtype = MODES[layout.mode].dtype
    pixels = np.empty((layout.height, layout.width, layout.channels), dtype)
    for block, (rows, columns, channels, high, wide) in zip(tiff.blocks, layout.blocks(), strict=True):
        row_bytes = layout.row_bytes(wide)
        plain = tiff_data.decompress(block, layout.compression, high, row_bytes, wide)
        samples = _samples(plain, layout, high, wide)
        target = pixels[rows, columns, channels]
        target[:] = samples[: target.shape[0], : target.shape[1]]
    if layout.inverted:
        pixels = _largest(layout) - pixels
    pixels *= dtype.type(_scale(layout))
    body = tiff_tags.write(replace(tiff, blocks=()))
    if tiff_tags.read(body).entries != tiff.entries:
        raise NotWhole("TIFF with tags that cannot be written")
    return Picture(layout.mode, pixels.reshape(MODES[layout.mode].shape(layout.width, layout.height)), _metadata(body))


def _metadata(body: bytes) -> Metadata:
    return Metadata(Format.TIFF, body)


def join(picture: Picture) -> bytes:
    """The file of a picture with metadata of this format."""
    try:
        tiff = tiff_tags.read(picture.metadata.body)
        layout = _layout(tiff)
    except NotWhole as error:
        raise DamagedImage(f"damaged metadata: {error}") from error
    if (layout.mode, layout.width, layout.height) != picture.header:
        raise DamagedImage("damaged metadata: a TIFF of another size than its picture")
    pixels = picture.pixels.reshape(layout.height, layout.width, layout.channels)
    pixels = pixels // pixels.dtype.type(_scale(layout))
    if layout.inverted:
        pixels = _largest(layout) - pixels
    blocks = []
    for rows, columns, channels, high, wide in layout.blocks():
        part = pixels[rows, columns, channels]
        # Beyond the edge a tile repeats it, which compresses best
        part = np.pad(
            part, ((0, high - part.shape[0]), (0, wide - part.shape[1] if layout.tiled else 0), (0, 0)), "edge"
        )
        plain = _plain(part, layout)
        blocks.append(tiff_data.compress(plain, layout.compression, high, layout.row_bytes(wide), wide))
    return tiff_tags.write(replace(tiff, blocks=tuple(blocks)))


def strip(picture: Picture) -> Picture:
    """The picture with no tags but those that say how pixels are held, which way is up, and what colours they are."""
    tiff = tiff_tags.with_only(tiff_tags.read(picture.metadata.body), _PIXEL_TAGS)
    return Picture(picture.mode, picture.pixels, _metadata(tiff_tags.write(tiff)))


def looks_plain(data: bytes) -> bool:
    """Whether other software sees the samples of a TIFF file as they are: unsigned, without colour spaces or alpha that
    colours are multiplied by."""
    tiff = tiff_tags.read(data)
    layout = _layout(tiff)
    extra = tiff.numbers(338)
    return (
        layout.format == _UNSIGNED
        and layout.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE)
        and extra in ((), (2,))
    )


def _layout(tiff: Tiff) -> _Layout:
    width, height = tiff.number(256, 0), tiff.number(257, 0)
    channels = tiff.number(277, 1)
    bits, formats = set(tiff.numbers(258, (1,))), set(tiff.numbers(339, (_UNSIGNED,)))
    photometric = tiff.number(262, -1)
    compression, predictor = tiff.number(259, 1), tiff.number(317, _NO_PREDICTOR)
    if compression not in tiff_data.COMPRESSIONS:
        raise NotWhole({6: "JPEG in TIFF", 7: "JPEG in TIFF"}.get(compression, f"TIFF of compression {compression}"))
    if len(bits) != 1 or len(formats) != 1:
        raise NotWhole("TIFF with samples of several kinds")
    (depth,), (format,) = bits, formats
    if not 1 <= channels <= 4:
        raise NotWhole(f"TIFF of {channels} channels")
    if depth not in (1, 2, 4, 8, 16, 32) or (depth < 8 and (channels > 1 or format != _UNSIGNED)):
        raise NotWhole(f"TIFF of {channels} channels of {depth} bits")
    if photometric not in _PHOTOMETRICS or format not in _SAMPLE_FORMATS or tiff.number(32997, 1) != 1:
        raise NotWhole("TIFF of an unknown kind")
    if photometric == _YCBCR and tiff.numbers(530) != (1, 1):
        raise NotWhole("TIFF with reduced colour (YCbCr)")
    if photometric == _PALETTE and (channels > 1 or depth > 8):
        raise NotWhole("TIFF with a palette beside other channels")
    if tiff.number(266, 1) != 1 or tiff.number(293, 0):
        raise NotWhole("TIFF with bits in reverse order" if tiff.number(266, 1) != 1 else "fax with uncompressed parts")
    if compression == tiff_data.GROUP_4 and depth != 1:
        raise NotWhole("damaged TIFF: a fax with colours")
    compressible = compression in (tiff_data.LZW, tiff_data.DEFLATE, tiff_data.OLD_DEFLATE)
    if predictor != _NO_PREDICTOR and not (predictor == _DIFFERENCES and depth >= 8 and compressible):
        raise NotWhole("TIFF of an unknown predictor")
    tile = tiff.number(323, 0), tiff.number(322, 0)
    tiled = any(tile)
    block = tile if tiled else (min(tiff.number(278, height), height), width)
    if min(width, height, *block) < 1 or max(block) > 1 << 20:
        raise NotWhole("damaged TIFF: no size")
    planar = tiff.number(284, 1) == 2 and channels > 1
    return _Layout(
        width, height, depth, channels, format, photometric, planar, compression, predictor, block, tiled, tiff.order
    )


def _samples(plain: bytes, layout: _Layout, high: int, wide: int) -> _Pixels:
    """``(H, W, C)`` of a strip or tile."""
    if layout.bits < 8:
        rows = np.frombuffer(plain, np.uint8).reshape(high, -1)
        return unpack_bits(rows, layout.bits, wide)[..., None]
    dtype = np.dtype(f"u{layout.bits // 8}")
    samples = np.frombuffer(plain, dtype.newbyteorder(layout.order)).astype(dtype).reshape(high, wide, -1)
    if layout.predictor == _DIFFERENCES:
        np.cumsum(samples, axis=1, dtype=dtype, out=samples)
    return samples


def _plain(samples: _Pixels, layout: _Layout) -> bytes:
    """The inverse of `_samples`."""
    if layout.bits < 8:
        return pack_bits(samples[..., 0], layout.bits).tobytes()
    if layout.predictor == _DIFFERENCES:
        samples = np.concatenate([samples[:, :1], samples[:, 1:] - samples[:, :-1]], axis=1)
    return samples.astype(samples.dtype.newbyteorder(layout.order)).tobytes()


def _largest(layout: _Layout) -> _Pixels:
    return np.array((1 << layout.bits) - 1, MODES[layout.mode].dtype)


def _scale(layout: _Layout) -> int:
    """Grey of 2 or 4 bits is held as 8 bits: models know these."""
    return 255 // ((1 << layout.bits) - 1) if layout.mode == "L" and layout.bits < 8 else 1
