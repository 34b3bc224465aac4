"""Sets of images as arrays, whatever they are stored as.

`load` reads a file, a folder or a list of files and always gives one `(N, H, W, C) uint8` array:

===============================  ====================================================================
source                           how it is known
===============================  ====================================================================
IDX images, plain or gzipped     content (MNIST, Fashion-MNIST)
CIFAR-10 and CIFAR-100 batches   suffix `.bin`, or content for the "Python version"
`.npy`, `.npz` with one array    content; `(N, H, W)` or `(N, H, W, C)`, uint8 or bool
image file                       content; PNG, PBM/PGM/PPM, BMP, TIFF, WebP, JPEG of mode 1, L or RGB
list of image files              in the order given
folder with `data_batch_*`       the CIFAR training batches, in order
any other folder                 the image files in it and below, in the order of their paths
===============================  ====================================================================

Files may come from anybody: nothing in them is run, and what a header declares is compared with what
is there before memory is taken. What cannot be used raises `DatasetError`, one line that names the file.

`bbcompress.datasets.download` fetches and verifies the public sets.

>>> import numpy as np, pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder) / "two.npy"
...     np.save(path, np.array([[[0, 127], [128, 255]]] * 2, np.uint8))
...     images = load(path)
>>> images.shape
(2, 2, 2, 1)
>>> binarize(images)[0, :, :, 0].tolist()
[[0, 0], [1, 1]]
"""

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bbcompress.datasets import arrays, cifar, idx, image_files
from bbcompress.datasets.reading import MAX_UNPACKED_BYTES, DatasetError, naming, squares

__all__ = ["DatasetError", "binarize", "load"]


def load(source: str | Path | Sequence[str | Path], side: int | None = None) -> NDArray[np.uint8]:
    """Images of a file, a folder or a sequence of image files, as the table above says.

    Returns a C-contiguous `(N, H, W, C) uint8` array with N >= 1 and C from 1 to 4. Values are those stored;
    images of mode 1 and bool arrays give 0 and 1. With a `side`, images are cut into squares of so many pixels, and
    may be of several sizes; what is left over at the right and below, and smaller images, are not used.

    Raises `DatasetError` for what is missing, damaged, of another kind, or not of one size and mode.
    """
    images = _load(source, side)
    if side is not None:
        images = squares(images, side)
        if not images.size:
            raise DatasetError(f"{source}: no image has {side} x {side} pixels")
    return images


def binarize(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey values 0..255 rounded at one half: 1 where value / 255 >= 0.5, else 0; same shape, uint8."""
    return (images >= 128).astype(np.uint8)


def _load(source: str | Path | Sequence[str | Path], side: int | None) -> NDArray[np.uint8]:
    if not isinstance(source, str | Path):
        return _load_images([Path(path) for path in source], side)
    path = Path(source)
    if path.is_dir():
        return _load_folder(path, side)
    if path.exists():
        return _load_file(path, side)
    raise DatasetError(f"{path}: no such file or folder")


def _load_images(paths: Sequence[Path], side: int | None) -> NDArray[np.uint8]:
    return image_files.read(paths) if side is None else image_files.read_squares(paths, side)


def _load_folder(folder: Path, side: int | None) -> NDArray[np.uint8]:
    batches = sorted(folder.glob("data_batch_*"))
    if batches:
        return np.concatenate([_load_cifar(batch) for batch in batches])
    found = image_files.find(folder)
    if not found:
        raise DatasetError(f"{folder}: holds no image files ({' '.join(sorted(image_files.SUFFIXES))})")
    return _load_images(found, side)


def _load_cifar(path: Path) -> NDArray[np.uint8]:
    with naming(path), path.open("rb") as stream:
        return cifar.read(stream, path.stat().st_size)


def _load_file(path: Path, side: int | None) -> NDArray[np.uint8]:
    with naming(path), path.open("rb") as stream:
        size = path.stat().st_size
        head = stream.read(4)
        stream.seek(0)
        if path.suffix == ".bin" or head.startswith(b"\x80"):
            return cifar.read(stream, size)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(stream) as unpacked:
                return idx.read(unpacked, MAX_UNPACKED_BYTES)
        if head.startswith(b"\x00\x00"):
            return idx.read(stream, size)
        if head == b"\x93NUM":
            return arrays.read_npy(stream, size)
        if head.startswith(b"PK"):
            return arrays.read_npz(stream)
    return _load_images([path], side)
