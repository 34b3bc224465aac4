"""What is compressed: a picture, or a file that is kept as it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from bbcompress.images.header import MODES, Header
from bbcompress.images.metadata import NO_METADATA, Metadata


@dataclass(frozen=True)
class KeptFile:
    """A file that is kept byte for byte."""

    data: bytes
    name: str = ""
    """Its name without folders; files of the small form keep it."""
    reason: str = ""
    """Why it is no picture, for people."""

    def same_as(self, other: object) -> bool:
        """Whether the bytes are equal."""
        return isinstance(other, KeptFile) and self.data == other.data


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of at least one pixel. Construction raises ``ValueError`` where the fields disagree."""

    mode: str
    """One of ``header.MODES``."""
    pixels: npt.NDArray[Any]
    """``(H, W)`` or ``(H, W, C)`` of the mode's type; mode ``1`` has 0 and 1."""
    metadata: Metadata = NO_METADATA
    """What its file holds besides; no part of the picture where pictures are compared."""
    file: KeptFile | None = None
    """The file it was read from, for where that takes less than the picture."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"unknown mode {self.mode!r}")
        layout, shape, dtype = MODES[self.mode], self.pixels.shape, self.pixels.dtype
        if len(shape) < 2 or 0 in shape or shape != layout.shape(shape[1], shape[0]) or dtype != layout.dtype:
            raise ValueError(f"pixels of shape {shape} and type {dtype} do not suit mode {self.mode}")
        if self.mode == "1" and self.pixels.max() > 1:
            raise ValueError("mode 1 has pixels other than 0 and 1")

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def header(self) -> Header:
        return Header(self.mode, self.width, self.height)

    def pixel_bytes(self) -> bytes:
        """The pixels row by row from the top left, channels together, each value little-endian.

        Mode ``1`` has one byte, 0 or 1, a pixel.
        """
        return self.pixels.astype(self.pixels.dtype.newbyteorder("<"), copy=False).tobytes()

    def same_as(self, other: object) -> bool:
        """Whether mode, size and every pixel are equal."""
        return isinstance(other, Picture) and self.header == other.header and self.pixel_bytes() == other.pixel_bytes()


Item = Picture | KeptFile


def digest(item: Item) -> bytes:
    """SHA-256 (32 bytes) of a picture's packed header and ``pixel_bytes``, or of a file's bytes."""
    if isinstance(item, KeptFile):
        return hashlib.sha256(item.data).digest()
    sha = hashlib.sha256(item.header.pack())
    sha.update(item.pixel_bytes())
    return sha.digest()
