"""Lossless image compression with variational autoencoders and bits-back ANS coding.

    compress, compress_many, decompress    images to bytes and back
    open                                   an archive of many images, of which some are read

An image is a numpy array, (H, W) or (H, W, C) with 2 to 4 channels, of bool (black and white), uint8 or uint16. Each of
these is imported when it is first used. docs/PYTHON.md has more; docs/DESIGN.md has the layers of the package.

>>> import numpy as np
>>> image = np.arange(64, dtype=np.uint8).reshape(8, 8)
>>> data = compress(image)
>>> bool((decompress(data) == image).all())
True
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bbcompress.api import Archive, compress, compress_many, decompress, open
    from bbcompress.archive.errors import (
        ArchiveError,
        ArchiveLimit,
        DamagedArchive,
        MissingModel,
        NoSuchImage,
        UnfitModel,
        UnsupportedArchive,
    )
    from bbcompress.archive.listing import Entry
    from bbcompress.images.errors import ImageError
    from bbcompress.images.picture import KeptFile, Picture

__all__ = [
    "Archive",
    "ArchiveError",
    "ArchiveLimit",
    "DamagedArchive",
    "Entry",
    "ImageError",
    "KeptFile",
    "MissingModel",
    "NoSuchImage",
    "Picture",
    "UnfitModel",
    "UnsupportedArchive",
    "compress",
    "compress_many",
    "decompress",
    "open",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bbcompress import api
    from bbcompress.archive import errors, listing
    from bbcompress.images import errors as image_errors
    from bbcompress.images import picture

    found = next(
        getattr(module, name) for module in (api, errors, listing, image_errors, picture) if hasattr(module, name)
    )
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
