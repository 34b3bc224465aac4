"""A plugin for Pillow. Importing this module registers it, so that `Image.open` and `Image.save` know `.bb` files.

>>> import io
>>> import bbcompress.pillow
>>> from PIL import Image
>>> file = io.BytesIO()
>>> Image.new("RGB", (8, 6), "red").save(file, "BB")
>>> Image.open(file).size
(8, 6)

An archive's images are frames: `n_frames`, `seek`, and `save(..., save_all=True, append_images=[...])`.
"""

import io
from dataclasses import replace
from typing import IO, Any

from PIL import Image, ImageFile

from bbcompress.api import compress, compress_many
from bbcompress.archive.blocks import MAGIC
from bbcompress.images.files import read
from bbcompress.images.picture import Item, Picture
from bbcompress.opened import Archive

FORMAT = "BB"
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_OPTIONS = ("model", "effort", "refine_steps", "check", "threads")
"""Of `save`, as `bbcompress.compress` has them."""


class BbImageFile(ImageFile.ImageFile):
    """An image of a `.bb` file; those of an archive are its frames."""

    format = FORMAT
    format_description = "bbcompress"

    def _open(self) -> None:
        assert self.fp is not None
        self._archive = Archive(self.fp)  # type: ignore[arg-type]
        self.n_frames = len(self._archive)
        self.is_animated = self.n_frames > 1
        self._close_exclusive_fp_after_loading = not self.is_animated
        if not self.n_frames:
            raise EOFError("no images in this archive")
        self._show(0)

    def seek(self, frame: int) -> None:
        """Have another image of the archive. Raises EOFError where there is none."""
        if self._seek_check(frame):
            self._show(frame)

    def tell(self) -> int:
        """Which image this is."""
        return self._frame

    def _show(self, frame: int) -> None:
        image = self._archive.image(frame)
        self._frame = frame
        self._mode, self._size, self.info = image.mode, image.size, dict(image.info)
        self.palette, self.im, self.tile = image.palette, image.im, []


def to_item(image: Image.Image) -> Item:
    """What is compressed of an image: all that a PNG or TIFF file of it would hold.

    Raises OSError where there is no such file.
    """
    file = io.BytesIO()
    about = {key: image.info[key] for key in ("exif", "dpi", "icc_profile") if image.info.get(key)}
    if image.mode in _PNG_MODES:
        image.save(file, "PNG", compress_level=1, **about)
    else:
        image.save(file, "TIFF", **about)
    item = read(file.getvalue())
    return replace(item, file=None) if isinstance(item, Picture) else item


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    file.write(compress(to_item(image), **_options(image)))


def _save_all(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    options = _options(image)
    items = []
    for one in [image, *image.encoderinfo.get("append_images", [])]:
        for frame in range(getattr(one, "n_frames", 1)):
            one.seek(frame)
            items.append(to_item(one))
    file.write(compress_many(items, **options))


def _options(image: Image.Image) -> dict[str, Any]:
    return {key: value for key, value in image.encoderinfo.items() if key in _OPTIONS}


def _is_bb(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


Image.register_open(FORMAT, BbImageFile, _is_bb)
Image.register_save(FORMAT, _save)
Image.register_save_all(FORMAT, _save_all)
Image.register_extension(FORMAT, ".bb")
