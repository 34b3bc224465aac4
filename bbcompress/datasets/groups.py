"""Groups of crops: what pictures that share a fit are like, for training of correctors."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bbcompress.datasets import load
from bbcompress.datasets.image_files import SUFFIXES, find, read
from bbcompress.datasets.reading import MAX_UNPACKED_BYTES, DatasetError, naming

SIDE = 96
"""Height and width of a crop; smaller images are cut to their smaller side."""
LEAST_SIDE = 16
"""Smaller images are not used."""
MOST_CROPS = 8
"""Of an image."""

Group = NDArray[np.uint8]
"""(crops, side, side, channels)"""


def load_groups(source: str | Path) -> list[Group]:
    """A group of crops of each image of a folder or file, or the groups of an `.npy` (groups, crops, side, side, C).

    Channels are 1 or, as in the source, 3. Raises `DatasetError`, as `bbcompress.datasets.load` does, and where images
    have different channels.
    """
    path = Path(source)
    if path.is_dir() and not any(path.glob("data_batch_*")):
        return _of_folder(path)
    if path.suffix == ".npy" and path.is_file():
        with naming(path):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.ndim == 5:
            return _as_they_are(path, array)
    images = load(path)
    _check_channels(path, images.shape[3])
    return [crops(image) for image in images if min(image.shape[:2]) >= LEAST_SIDE]


def crops(image: NDArray[np.uint8]) -> Group:
    """Up to `MOST_CROPS` squares of an image (H, W, C), none over another, spread evenly."""
    height, width = image.shape[:2]
    side = min(SIDE, height, width)
    rows, columns = height // side, width // side
    top, left = (height - rows * side) // 2, (width - columns * side) // 2
    chosen = np.unique(np.linspace(0, rows * columns - 1, min(MOST_CROPS, rows * columns)).round().astype(int))
    places = [(top + side * (cell // columns), left + side * (cell % columns)) for cell in chosen.tolist()]
    return np.stack([image[row : row + side, column : column + side] for row, column in places])


def _of_folder(folder: Path) -> list[Group]:
    paths = find(folder)
    if not paths:
        raise DatasetError(f"{folder}: holds no image files ({' '.join(sorted(SUFFIXES))})")
    groups: list[Group] = []
    size_bytes = 0
    for path in paths:
        (image,) = read([path])
        _check_channels(path, image.shape[2])
        if min(image.shape[:2]) < LEAST_SIDE:
            continue
        groups.append(crops(image))
        if groups[-1].shape[3] != groups[0].shape[3]:
            raise DatasetError(f"{path}: grey among images in colour, or colour among grey: give images of one mode")
        size_bytes += groups[-1].size
        if size_bytes > MAX_UNPACKED_BYTES:
            raise DatasetError(f"{path}: crops up to this image need more than {MAX_UNPACKED_BYTES} bytes")
    return groups


def _as_they_are(path: Path, array: NDArray[np.uint8]) -> list[Group]:
    if array.dtype != np.uint8 or array.shape[2] != array.shape[3] or array.shape[2] < LEAST_SIDE or not array.size:
        raise DatasetError(f"{path}: groups of crops are uint8, square, of at least {LEAST_SIDE} x {LEAST_SIDE} pixels")
    _check_channels(path, array.shape[4])
    return [np.array(group) for group in array]


def _check_channels(path: Path, channels: int) -> None:
    if channels not in (1, 3):
        raise DatasetError(f"{path}: {channels} channels; correctors are for grey images or red, green and blue")
