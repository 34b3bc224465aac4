"""How pictures become a model's pixels and back. A form's number means the same mapping forever."""

from enum import IntEnum

import numpy as np

from bbcompress.codec.model import ModelInfo, Pixels
from bbcompress.images.picture import Picture


class PixelForm(IntEnum):
    """What kind of picture a model's pixels stand for."""

    BILEVEL = 0
    """Mode 1; two levels."""
    GREY = 1
    """Mode L; 256 levels."""
    BLACK_AND_WHITE = 2
    """Mode L with values 0 and 255 only; two levels."""


def form_for(picture: Picture, info: ModelInfo) -> PixelForm | None:
    """The form in which a model of `info` can code `picture`, or None."""
    if picture.pixels.shape != (info.height, info.width) or info.channels != 1 or picture.transparency is not None:
        return None
    match picture.mode, info.levels:
        case "1", 2:
            return PixelForm.BILEVEL
        case "L", 256:
            return PixelForm.GREY
        case "L", 2 if ((picture.pixels == 0) | (picture.pixels == 255)).all():
            return PixelForm.BLACK_AND_WHITE
    return None


def to_pixels(picture: Picture, form: PixelForm) -> Pixels:
    """The model's pixels (subpixels,) uint8 of a picture that has this form."""
    pixels = picture.pixels.ravel()
    return pixels // np.uint8(255) if form == PixelForm.BLACK_AND_WHITE else pixels


def to_picture(pixels: Pixels, form: PixelForm, info: ModelInfo) -> Picture:
    """The inverse of `to_pixels`."""
    pixels = pixels.reshape(info.height, info.width)
    match form:
        case PixelForm.BILEVEL:
            return Picture("1", pixels)
        case PixelForm.GREY:
            return Picture("L", pixels)
        case PixelForm.BLACK_AND_WHITE:
            return Picture("L", pixels * np.uint8(255))
