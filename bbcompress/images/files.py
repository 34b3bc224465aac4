"""Pictures from image files and back, through Pillow.

Pixels are kept as stored: no EXIF rotation is applied, no colour profile; both are kept beside
them (`metadata`). Pillow reads some files with loss (16 bits a channel as 8, premultiplied
alpha, extra channels); they are refused where Pillow lets us see it, which it does not for
JPEG 2000 and AVIF files of more than 8 bits a channel.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageMode, UnidentifiedImageError

from bbcompress.images import metadata
from bbcompress.images.errors import ImageError, ImageTooLarge
from bbcompress.images.header import MAX_ENTRIES, MODES, Layout, Palette
from bbcompress.images.metadata import NO_METADATA, Metadata
from bbcompress.images.picture import Picture
from bbcompress.images.place import check_output, place

# Without a handler of its own Python prints a library's log warnings to stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())

#: Two threads that redirect stderr at once could leave it redirected.
_STDERR_LOCK = threading.Lock()

#: Drawings and the like, which have no pixels until a size is chosen (EPS would start Ghostscript).
_NOT_PIXELS = {"EPS", "WMF", "EMF"}


class _Format(NamedTuple):
    """A lossless file format: Pillow's name for it, and the modes it holds."""

    name: str
    modes: frozenset[str]


_TIFF = _Format(
    "TIFF",
    frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I", "F"}),
)
_FORMATS = {
    ".png": _Format("PNG", frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": _Format("BMP", frozenset({"1", "L", "P", "RGB"})),
    ".webp": _Format("WEBP", frozenset({"RGB", "RGBA"})),
    ".ppm": _Format("PPM", frozenset({"RGB"})),
    ".pgm": _Format("PPM", frozenset({"L"})),
    ".pbm": _Format("PPM", frozenset({"1"})),
}
#: In order of preference; together they hold all that Pillow reads from files.
_DEFAULTS = (".png", ".tif", ".bmp")


def read(source: str | os.PathLike[str] | BinaryIO, name: str | None = None, *, strip: bool = False) -> Picture:
    """The one picture in the file ``source``; ``name`` is what messages call it. ``strip`` leaves its metadata out.

    Raises :class:`ImageTooLarge` above Pillow's limit on decompression bombs and :class:`ImageError`
    where the file is not an image, is damaged, holds several frames, or would be read with loss.
    """
    if isinstance(source, (str, os.PathLike)):
        name = name or os.fspath(source)
    else:
        name = name or "image"
        if not source.seekable():
            source = io.BytesIO(source.read())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source) as image:
                _check(image, name)
                with _silent_libtiff(image):
                    image.load()
                picture = from_pillow(image, name)
                if not strip:
                    picture = replace(picture, metadata=_metadata(image, name))
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"{name}: more pixels than the limit; raise it with -M, or split the image") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not an image that Pillow can read; convert it to PNG or TIFF") from error
    except Exception as error:  # Pillow's plugins raise almost any type on damaged data
        if isinstance(error, OSError) and error.strerror:
            raise ImageError(f"{name}: cannot be read: {error.strerror}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: damaged or truncated image; get a good copy of it ({reason})") from error
    return _usual(picture)


def from_pillow(image: Image.Image, name: str = "image") -> Picture:
    """The picture in a Pillow image; :class:`ImageError` where its mode is unknown."""
    layout = MODES.get(image.mode)
    if layout is None:
        raise ImageError(f"{name}: unknown pixel mode {image.mode}; convert it to PNG or TIFF")
    try:
        palette = None
        if image.mode in ("P", "PA"):
            colours = bytes(image.getpalette(None) or ())
            palette = Palette(image.palette.mode if image.palette else "RGB", colours)
        return Picture(image.mode, _pixels(image, layout), palette, image.info.get("transparency"))
    except ValueError as error:
        raise ImageError(f"{name}: {error}; convert it to PNG or TIFF") from error


def _metadata(image: Image.Image, name: str) -> Metadata:
    try:
        found = metadata.of_image(image)
        size = len(found.pack())
    except Exception as error:  # Pillow raises almost any type on damaged metadata
        raise ImageError(f"{name}: damaged metadata ({error}); leave it out with --strip") from error
    if size > metadata.MAX_BYTES:
        raise ImageError(f"{name}: more than {metadata.MAX_BYTES} bytes of metadata; leave it out with --strip")
    return found


def _pixels(image: Image.Image, layout: Layout) -> npt.NDArray[Any]:
    shape = layout.shape(*image.size)
    data = image.tobytes()
    if image.mode == "1":
        return np.unpackbits(np.frombuffer(data, np.uint8).reshape(shape[0], -1), axis=1, count=shape[1])
    stored = np.frombuffer(data, ImageMode.getmode(image.mode).typestr)
    return stored.astype(layout.dtype).reshape(shape)


def to_pillow(picture: Picture) -> Image.Image:
    """A Pillow image with the mode, pixels, palette and transparency of ``picture``.

    Raises :class:`ImageError` for a CMYK palette where Pillow is older than 13.
    """
    if picture.mode == "1":
        data = np.packbits(picture.pixels, axis=1).tobytes()
    else:
        data = picture.pixels.astype(ImageMode.getmode(picture.mode).typestr).tobytes()
    image = Image.frombytes(picture.mode, (picture.width, picture.height), data)
    if picture.palette is not None:
        image.putpalette(picture.palette.data, picture.palette.mode)
        if image.palette is None or image.palette.mode != picture.palette.mode:
            raise ImageError(f"this Pillow has no {picture.palette.mode} palettes; install a newer one")
    if picture.transparency is not None:
        image.info["transparency"] = picture.transparency
    return image


def lost_metadata(picture: Picture, source: str | os.PathLike[str] | BinaryIO) -> list[str]:
    """Kinds of metadata, for people, of ``picture`` that the file of it ``source`` does not hold."""
    return metadata.lost(picture.metadata, read(source).metadata) if picture.metadata != NO_METADATA else []


def write(picture: Picture, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write ``picture`` in the format of the suffix of ``path``, which must hold it exactly.

    What was written is read again and compared before it is put in place, in one step. Raises
    :class:`ImageError` naming a suffix that works, or :class:`OutputExists` unless ``overwrite``.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)  # before the work, not only after it
    place(path, file_bytes(picture, path.suffix, str(path)), overwrite=overwrite)


def file_bytes(picture: Picture, suffix: str, name: str) -> bytes:
    """The bytes of a file of ``picture``, read again and compared; raises as :func:`write` does.

    Metadata that the format does not hold is left out (:func:`lost_metadata`).
    """
    picture = _usual(picture)
    form = _FORMATS.get(suffix.lower())
    # Pixels come back even where Pillow cannot write their metadata
    attempts = [picture, replace(picture, metadata=NO_METADATA)] if picture.metadata != NO_METADATA else [picture]
    for attempt in attempts:
        if form is None or picture.mode not in form.modes:
            break
        try:
            data = _encode(attempt, form)
            if read(io.BytesIO(data), name, strip=True).same_as(picture):
                return data
        except (ImageTooLarge, MemoryError):
            raise
        except Exception:  # whatever stops Pillow, the advice below is the same
            pass
    better = _lossless_suffix(picture)
    if better is None or better == suffix.lower():
        raise ImageError(f"{name}: no file format holds this {picture.mode} picture; convert it to another mode first")
    raise ImageError(f"{name}: would lose data of this {picture.mode} picture; use {better}")


def holds(picture: Picture, suffix: str) -> bool:
    """Whether the file format of ``suffix`` holds ``picture`` exactly."""
    form = _FORMATS.get(suffix.lower())
    return form is not None and _holds(form, _usual(picture))


def lossless_suffix(picture: Picture) -> str:
    """The suffix to write ``picture`` with: ``.png`` where PNG holds it, else ``.tif`` or ``.bmp``.

    Raises :class:`ImageError` for what Pillow reads from no file (modes HSV, RGBa and RGBX, for instance).
    """
    suffix = _lossless_suffix(_usual(picture))
    if suffix is None:
        raise ImageError(f"no file format holds a picture like this of mode {picture.mode}; convert it to another mode")
    return suffix


def _lossless_suffix(picture: Picture) -> str | None:
    return next((suffix for suffix in _DEFAULTS if _holds(_FORMATS[suffix], picture)), None)


def _holds(form: _Format, picture: Picture) -> bool:
    if picture.mode not in form.modes or (picture.transparency is not None and form.name != "PNG"):
        return False
    palette = picture.palette
    if palette is None:
        return True
    if palette.mode != "RGB" or palette.entries == 0:
        return False
    if form.name == "TIFF":
        return palette.entries == MAX_ENTRIES
    # PNG packs indices into fewer bits where the palette is short; BMP never does.
    return form.name == "BMP" or palette.entries > 16 or int(picture.pixels.max()) < palette.entries


def _encode(picture: Picture, form: _Format) -> bytes:
    out = io.BytesIO()
    options = metadata.save_options(picture.metadata, form.name)
    if picture.mode == "La":
        # Pillow reads premultiplied grey but does not write it. Its file of mode LA differs only in
        # the tag ExtraSamples (338, one SHORT), which stands before the pixels: 2 becomes 1.
        to_pillow(replace(picture, mode="LA")).save(out, form.name, **options)
        return out.getvalue().replace(b"\x52\1\3\0\1\0\0\0\2\0", b"\x52\1\3\0\1\0\0\0\1\0", 1)
    # The options are WebP's; other formats ignore them.
    to_pillow(picture).save(out, form.name, lossless=True, exact=True, **options)
    return out.getvalue()


def _usual(picture: Picture) -> Picture:
    """``picture`` with what a few formats spell differently spelled as in PNG and TIFF."""
    if picture.mode == "I;16L":
        return replace(picture, mode="I;16")
    if picture.mode != "P" or picture.palette is None:
        return picture
    palette, transparency = picture.palette, picture.transparency
    if palette.mode == "RGBA" and transparency is None:
        colours = np.frombuffer(palette.data, np.uint8).reshape(-1, 4)
        palette, transparency = Palette("RGB", colours[:, :3].tobytes()), colours[:, 3].tobytes()
    if isinstance(transparency, bytes) and re.fullmatch(b"\xff*\0\xff*", transparency):
        transparency = transparency.index(0)
    return replace(picture, palette=palette, transparency=transparency)


@contextlib.contextmanager
def _silent_libtiff(image: Image.Image) -> Iterator[None]:
    """Keep libtiff, which prints its errors to file descriptor 2 by itself, from doing so."""
    if all(tile[0] != "libtiff" for tile in getattr(image, "tile", None) or ()):
        yield
        return
    with _STDERR_LOCK:
        try:
            kept = os.dup(2)
        except OSError:  # this process has no stderr
            yield
            return
        try:
            with open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _check(image: Image.Image, name: str) -> None:
    """Refuse what would be lost: all frames but one, or precision that Pillow drops on load."""
    if image.format in _NOT_PIXELS:
        raise ImageError(f"{name}: {image.format} is a drawing, not pixels; convert it to PNG first")
    frames = max(getattr(image, "n_frames", 1), len(image.info.get("sizes") or ()))
    if frames > 1:
        raise ImageError(f"{name}: {frames} frames, pages or sizes are not supported yet; use one image a file")
    for tile in getattr(image, "tile", None) or ():
        lost = _lost_on_load(image, tile)
        if lost:
            raise ImageError(f"{name}: Pillow would lose {lost}; convert it to a form without them first")


def _lost_on_load(image: Image.Image, tile: Sequence[Any]) -> str | None:
    """What Pillow's decoder drops, judged by the name of the decoder and its arguments."""
    codec, arguments = tile[0], tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    wide = image.mode in MODES and MODES[image.mode].dtype.itemsize > 1
    if not wide and (codec == "SGI16" or (codec in ("ppm", "ppm_plain") and arguments[-1] > 255)):
        return "bits of samples deeper than 8 bits"
    for raw in arguments:
        if not isinstance(raw, str):
            continue
        # "BGR;16" is five and six bits a channel in 16 bits; other modes with ;16 have 16 bits a channel.
        if ";64" in raw or (";16" in raw and not raw.startswith("BGR") and not wide):
            return "bits of samples deeper than 8 bits"
        if raw.startswith("RGBa") and image.mode != "RGBa":
            return "bits of colours multiplied by alpha"
        if image.format == "TIFF" and "X" in raw:
            return "extra channels"
    return None
