"""Image files of one mode, read by Pillow."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bbcompress.datasets.reading import MAX_UNPACKED_BYTES, DatasetError, naming, squares

SUFFIXES = frozenset({".png", ".pbm", ".pgm", ".ppm", ".pnm", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"})
"""Files of a folder that are taken for images, in upper or lower case."""

# Named, because Pillow knows others that run programs (EPS runs Ghostscript).
_FORMATS = ("PNG", "PPM", "BMP", "TIFF", "WEBP", "JPEG")
_CHANNELS = {"1": 1, "L": 1, "RGB": 3}


def find(folder: Path) -> list[Path]:
    """Image files in `folder` and below, by suffix, ordered by code points of their path below `folder`."""
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix())


def read(paths: Sequence[Path]) -> NDArray[np.uint8]:
    """(N, H, W, C) uint8 of the N image files: C is 3 for mode RGB, 1 for mode L and for mode 1 (as 0 and 1).

    Raises `DatasetError` naming the first file that cannot be read or differs from `paths[0]` in size or mode.
    """
    if not paths:
        raise DatasetError("no image files were given")
    with _open(paths[0]) as image:
        mode, (width, height) = image.mode, image.size
    shape = (len(paths), height, width, _CHANNELS[mode])
    if math.prod(shape) > MAX_UNPACKED_BYTES:
        raise DatasetError(f"{paths[0]}: {len(paths)} images like this need more than {MAX_UNPACKED_BYTES} bytes")
    images = np.empty(shape, np.uint8)
    for path, pixels in zip(paths, images, strict=True):
        with _open(path) as image:
            if (image.mode, image.size) != (mode, (width, height)):
                raise DatasetError(
                    f"is {image.width} x {image.height} of mode {image.mode}, but {paths[0]} is"
                    f" {width} x {height} of mode {mode}: give images of one size and mode"
                )
            pixels[...] = np.asarray(image).reshape(pixels.shape)
    return images


def read_squares(paths: Sequence[Path], side: int) -> NDArray[np.uint8]:
    """The same of images of any sizes, cut into squares (N, side, side, C) by `squares`."""
    if not paths:
        raise DatasetError("no image files were given")
    parts: list[NDArray[np.uint8]] = []
    size_bytes = 0
    for path in paths:
        with _open(path) as image:
            mode = image.mode
            part = squares(np.asarray(image).reshape(1, image.height, image.width, -1).astype(np.uint8), side)
        size_bytes += part.size
        if parts and part.shape[3] != parts[0].shape[3]:
            raise DatasetError(f"{path}: is of mode {mode}, unlike {paths[0]}: give images of one mode")
        if size_bytes > MAX_UNPACKED_BYTES:
            raise DatasetError(f"{path}: images up to this one need more than {MAX_UNPACKED_BYTES} bytes")
        parts.append(part)
    return np.concatenate(parts)


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    with naming(path):
        try:
            opened = Image.open(path, formats=_FORMATS)
        except UnidentifiedImageError:
            raise DatasetError(f"is no IDX, CIFAR or numpy file, and no image ({', '.join(_FORMATS)})") from None
        with opened as image:
            if image.mode not in _CHANNELS:
                raise DatasetError(f"is an image of mode {image.mode}: convert it to 1, L or RGB first")
            if getattr(image, "n_frames", 1) > 1:
                raise DatasetError("is an image of several frames: save each as a file of its own")
            yield image
