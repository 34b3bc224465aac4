"""Pictures: from files and back, whole or as the file's bytes, and coded where no model fits."""

from bbcompress.images.errors import DamagedImage, ImageError, ImageTooLarge, LimitExceeded, OutputExists
from bbcompress.images.files import file_bytes, read, read_file, suffix_of
from bbcompress.images.header import Header
from bbcompress.images.picture import Item, KeptFile, Picture, digest

__all__ = [
    "DamagedImage",
    "Header",
    "ImageError",
    "ImageTooLarge",
    "Item",
    "KeptFile",
    "LimitExceeded",
    "OutputExists",
    "Picture",
    "digest",
    "file_bytes",
    "read",
    "read_file",
    "suffix_of",
]
