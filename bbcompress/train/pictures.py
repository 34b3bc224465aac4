"""Pictures to train correctors on, as `bbc` codes them: whole ones, of one kind, and which of them are kept back."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.archive.planes import PLANE_MODES
from bbcompress.datasets import DatasetError, load
from bbcompress.datasets.download import SOURCES, download
from bbcompress.datasets.image_files import SUFFIXES, find
from bbcompress.datasets.image_files import read as read_by_pillow
from bbcompress.datasets.reading import naming
from bbcompress.images.files import whole_picture
from bbcompress.images.picture import Picture

Pixels = NDArray[Any]
"""(H, W, C) uint8 or uint16, of two levels 0 and 1; or crops that belong together (crops, H, W, C). Of colours the
first channel is green."""

LEAST_SIDE = 8
"""Smaller pictures are not used."""
LEAST_PICTURES = 10
LEAST_SUBPIXELS = 1 << 12
MOST_BYTES = 1 << 30
"""Of all pixels; of larger pictures a part is used."""
MOST_HELD_OUT = 500
LEAST_HELD_OUT = 2
_GREEN_FIRST = [1, 0, 2]


class Data(NamedTuple):
    """Pictures of one kind."""

    channels: int
    levels: int
    """2, or 256 for 8 bits and more."""
    training: list[Pixels]
    held_out: list[Pixels]
    notes: list[str]
    """What was left out, for people."""


def read_data(source: str) -> Data:
    """The pictures of a folder, file or downloaded set, a tenth of them held out: every tenth, at most 500.

    Alpha values are left out. Raises DatasetError, one line, for what cannot be read and for what is too little.
    """
    path = Path(source)
    notes: list[str] = []
    if source in SOURCES:
        found = list(load(download(source)["train"]))
    elif path.is_dir() and not any(path.glob("data_batch_*")):
        found = list(_of_folder(path, notes))
    elif path.suffix == ".npy" and path.is_file():
        found = _of_array(path)
    else:
        found = list(load(path))
    small = sum(min(pixels.shape[-3:-1]) < LEAST_SIDE for pixels in found)
    if small:
        notes.append(f"{small} images of less than {LEAST_SIDE} x {LEAST_SIDE} pixels are left out")
        found = [pixels for pixels in found if min(pixels.shape[-3:-1]) >= LEAST_SIDE]
    found, channels = _of_one_kind(source, found, notes)
    if len(found) < LEAST_PICTURES or sum(pixels.size for pixels in found) < LEAST_SUBPIXELS:
        few = f"{len(found)} images" + f" of at least {LEAST_SIDE} x {LEAST_SIDE} pixels" * bool(small)
        raise DatasetError(
            f"{source}: {few} are too few to train on: give at least {LEAST_PICTURES}, better hundreds, of one kind"
        )
    levels = 256
    if channels == 1 and all(_is_black_and_white(pixels) for pixels in found):
        levels, found = 2, [(pixels > 0).astype(np.uint8) for pixels in found]
    if channels == 3:
        found = [pixels[..., _GREEN_FIRST] for pixels in found]
    every = max(len(found) // max(LEAST_HELD_OUT, min(MOST_HELD_OUT, len(found) // 10)), 2)
    held_out = range(every // 2, len(found), every)
    kept_back = set(held_out[:MOST_HELD_OUT])
    training = [pixels for number, pixels in enumerate(found) if number not in kept_back]
    return Data(channels, levels, training, [found[number] for number in sorted(kept_back)], notes)


def to_picture(pixels: Pixels, levels: int) -> Picture:
    """The picture that pixels (H, W, C) stand for."""
    if pixels.shape[2] == 3:
        return Picture("RGB" if pixels.dtype == np.uint8 else "RGB16", np.ascontiguousarray(pixels[..., _GREEN_FIRST]))
    mode = "1" if levels == 2 else "L" if pixels.dtype == np.uint8 else "L16"
    return Picture(mode, np.ascontiguousarray(pixels[..., 0]))


def depth_of(pixels: Pixels, levels: int) -> int:
    """Bits of the values, as in files."""
    if levels == 2:
        return 1
    return 8 if pixels.dtype == np.uint8 else max(8, int(pixels.max()).bit_length())


def _of_folder(folder: Path, notes: list[str]) -> Iterator[Pixels]:
    try:
        any(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read: {error.strerror}") from error
    paths = find(folder)
    if not paths:
        raise DatasetError(f"{folder}: holds no image files ({' '.join(sorted(SUFFIXES))})")
    most = MOST_BYTES // len(paths)
    random = np.random.default_rng(0)
    unread: list[str] = []
    palettes = 0
    for path in paths:
        try:
            pixels = _of_file(path)
        except DatasetError as error:
            unread.append(str(error))
            continue
        if pixels is None:
            palettes += 1
        else:
            yield _window(pixels, most, random)
    if palettes:
        notes.append(
            f"{palettes} images with palettes or of more channels, which are coded in other ways, are left out"
        )
    if unread:
        more = f", and {len(unread) - 1} more" if len(unread) > 1 else ""
        notes.append(f"left out: {unread[0]}{more}")


def _of_file(path: Path) -> Pixels | None:
    """None for a picture that is no shades of grey or of colours."""
    with naming(path):
        picture = whole_picture(path.read_bytes())
    if picture is None:  # of a format that is kept as a file, which shows what images are like all the same
        whole: Pixels = read_by_pillow([path])[0]
        return whole
    if picture.mode not in PLANE_MODES:
        return None
    pixels = picture.pixels if picture.pixels.ndim == 3 else picture.pixels[..., None]
    colours: Pixels = pixels[..., : pixels.shape[2] - (pixels.shape[2] % 2 == 0)]
    return colours


def _of_array(path: Path) -> list[Pixels]:
    """Images, or the groups of crops of an array of five dimensions."""
    with naming(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim != 5:
        return list(load(path))
    if array.dtype != np.uint8 or not array.size:
        raise DatasetError(f"{path}: groups of crops are uint8 (groups, crops, height, width, channels)")
    return [np.array(group) for group in array]


def _of_one_kind(source: str, found: list[Pixels], notes: list[str]) -> tuple[list[Pixels], int]:
    """The pictures of as many channels as most pixels have, and how many these are."""
    amounts = {channels: sum(p.size for p in found if p.shape[-1] == channels) for channels in (1, 3)}
    channels = max(amounts, key=lambda channels: amounts[channels])
    if found and not amounts[channels]:
        raise DatasetError(f"{source}: {found[0].shape[-1]} channels: give grey images, or red, green and blue")
    chosen = [pixels for pixels in found if pixels.shape[-1] == channels]
    if len(chosen) < len(found):
        kind = "in colour" if channels == 3 else "in grey"
        notes.append(f"trained on the {len(chosen)} images {kind}; the {len(found) - len(chosen)} others are left out")
    return chosen, channels


def _is_black_and_white(pixels: Pixels) -> bool:
    """Whether all are 0 and 1, or 0 and 255."""
    return (
        pixels.dtype == np.uint8
        and bool(((pixels == 0) | (pixels == max(1, pixels.max()))).all())
        and (pixels.max() in (0, 1, 255))
    )


def _window(pixels: Pixels, most_bytes: int, random: np.random.Generator) -> Pixels:
    """A part of a picture that is too large, somewhere in it."""
    if pixels.nbytes <= most_bytes:
        return pixels
    shrink = (most_bytes / pixels.nbytes) ** 0.5
    height, width = (max(LEAST_SIDE, int(side * shrink)) for side in pixels.shape[:2])
    top, left = random.integers(pixels.shape[0] - height + 1), random.integers(pixels.shape[1] - width + 1)
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def total_subpixels(pictures: Sequence[Pixels]) -> int:
    """Of all pictures."""
    return sum(pixels.size for pixels in pictures)
