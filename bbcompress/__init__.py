"""Lossless image compression with variational autoencoders and bits-back ANS coding.

    compress, compress_many, decompress    images to bytes and back
    write, append, open                    an archive of many images: written, added to, and read one by one

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
    from bbcompress.api import append, compress, compress_many, decompress, open, write
    from bbcompress.archive.errors import (
        ArchiveError,
        ArchiveLimit,
        DamagedArchive,
        MissingModel,
        NameTaken,
        NoSuchImage,
        UnfitModel,
        UnsupportedArchive,
    )
    from bbcompress.archive.listing import Entry
    from bbcompress.images.errors import ImageError, OutputExists
    from bbcompress.images.picture import KeptFile, Picture
    from bbcompress.opened import Archive

__all__ = [
    "Archive",
    "ArchiveError",
    "ArchiveLimit",
    "DamagedArchive",
    "Entry",
    "ImageError",
    "KeptFile",
    "MissingModel",
    "NameTaken",
    "NoSuchImage",
    "OutputExists",
    "Picture",
    "UnfitModel",
    "UnsupportedArchive",
    "append",
    "compress",
    "compress_many",
    "decompress",
    "open",
    "write",
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
