"""A picture in memory: exactly the pixels, palette and transparency that Pillow reads from a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from bbcompress.images.header import MAX_ENTRIES, MAX_TRANSPARENT, MODES, PALETTE_MODES, Header, Palette, Transparency
from bbcompress.images.metadata import NO_METADATA, Metadata


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of at least one pixel. Construction raises ``ValueError`` where the fields disagree.

    ``mode``          a Pillow mode, one of ``header.MODES``
    ``pixels``        ``(H, W)`` or ``(H, W, C)``: uint8 for 8-bit modes, uint8 of 0 and 1 for mode
                      ``1``, uint16 for ``I;16`` and its kin, int32 for ``I``, float32 for ``F``
    ``palette``       modes P and PA only, and always there
    ``transparency``  what Pillow keeps in ``info["transparency"]``: the grey value, colour or
                      palette index that is transparent, or an alpha value for each palette entry
    ``metadata``      what its file says besides; no part of the picture where pictures are compared
    """

    mode: str
    pixels: npt.NDArray[Any]
    palette: Palette | None = None
    transparency: Transparency = None
    metadata: Metadata = NO_METADATA

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"unknown mode {self.mode!r}")
        layout, shape, dtype = MODES[self.mode], self.pixels.shape, self.pixels.dtype
        if len(shape) < 2 or 0 in shape or shape != layout.shape(shape[1], shape[0]) or dtype != layout.dtype:
            raise ValueError(f"pixels of shape {shape} and type {dtype} do not suit mode {self.mode}")
        if self.mode == "1" and self.pixels.max() > 1:
            raise ValueError("mode 1 has pixels other than 0 and 1")
        if (self.palette is not None) != (self.mode in ("P", "PA")):
            raise ValueError("modes P and PA, and only they, have a palette")
        if self.palette is not None:
            _check_palette(self.palette)
        _check_transparency(self.transparency)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def header(self) -> Header:
        return Header(self.mode, self.width, self.height, self.palette, self.transparency)

    def pixel_bytes(self) -> bytes:
        """The pixels row by row from the top left, channels together, each value little-endian.

        Mode ``1`` has one byte, 0 or 1, a pixel. Floats keep their bits, NaN payloads included.
        """
        return self.pixels.astype(self.pixels.dtype.newbyteorder("<"), copy=False).tobytes()

    def same_as(self, other: Picture) -> bool:
        """Whether every mode, size, palette, transparency and pixel bit is equal (so NaN equals itself)."""
        return self.header.pack() == other.header.pack() and self.pixel_bytes() == other.pixel_bytes()


def digest(picture: Picture) -> bytes:
    """SHA-256 (32 bytes) of the packed header followed by ``pixel_bytes``; equal for ``same_as`` pictures."""
    sha = hashlib.sha256(picture.header.pack())
    sha.update(picture.pixel_bytes())
    return sha.digest()


def _check_palette(palette: Palette) -> None:
    if palette.mode not in PALETTE_MODES:
        raise ValueError(f"unknown palette mode {palette.mode!r}")
    if len(palette.data) % PALETTE_MODES[palette.mode] or palette.entries > MAX_ENTRIES:
        raise ValueError(f"{len(palette.data)} bytes are not a palette of mode {palette.mode}")


def _check_transparency(value: Transparency) -> None:
    if value is None:
        return
    if isinstance(value, bytes):
        sound = len(value) <= MAX_ENTRIES
    elif isinstance(value, tuple):
        sound = len(value) <= MAX_ENTRIES and all(isinstance(v, int) and 0 <= v <= MAX_TRANSPARENT for v in value)
    else:
        sound = isinstance(value, int) and 0 <= value <= MAX_TRANSPARENT
    if not sound:
        raise ValueError(f"a transparency that no picture has: {value!r}")
