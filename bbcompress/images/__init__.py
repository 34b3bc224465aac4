"""Pictures: read from files and written to files through Pillow, and coded where no model fits."""

from bbcompress.images.errors import DamagedImage, ImageError, ImageTooLarge, LimitExceeded, OutputExists
from bbcompress.images.files import from_pillow, lossless_suffix, read, to_pillow, write
from bbcompress.images.header import Header, Palette
from bbcompress.images.picture import Picture, digest

__all__ = [
    "DamagedImage",
    "Header",
    "ImageError",
    "ImageTooLarge",
    "LimitExceeded",
    "OutputExists",
    "Palette",
    "Picture",
    "digest",
    "from_pillow",
    "lossless_suffix",
    "read",
    "to_pillow",
    "write",
]
