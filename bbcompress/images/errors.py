"""What can go wrong with pictures. Each message is one line that says what to do."""

from __future__ import annotations


class ImageError(ValueError):
    """A file cannot be read as one picture, or a picture cannot be written to a file exactly."""


class ImageTooLarge(ImageError):
    """A file declares more pixels than is safe to decode."""


class OutputExists(ImageError, FileExistsError):
    """The output file is there already and may not be replaced."""


class NotWhole(ValueError):
    """A file is not known to come back whole from a picture. The message says what it is, as in "animated PNG"."""


class DamagedImage(ValueError):
    """What is in an archive is not what was written. The caller adds the archive's name as ``source``."""

    source = ""


class LimitExceeded(DamagedImage):
    """Stored bytes declare a larger picture than the caller allows."""


def require_size(kind: str, width: int, height: int, max_pixels: int) -> None:
    """Raise :class:`NotWhole` for a file of no pixels, or of more than ``max_pixels``."""
    if not width * height:
        raise NotWhole(f"{kind} without pixels")
    if width * height > max_pixels:
        raise NotWhole(f"{kind} of {width} x {height} pixels, more than the limit of {max_pixels}; -M raises it")
