"""How pictures become a model's pixels and back. A form's number means the same mapping forever."""

from enum import IntEnum

import numpy as np

from bbcompress.codec.dense import DenseInfo
from bbcompress.codec.model import Pixels
from bbcompress.codec.model_file import Info
from bbcompress.codec.spatial import SpatialInfo
from bbcompress.images.picture import Picture


class PixelForm(IntEnum):
    """What kind of picture a model's pixels stand for."""

    BILEVEL = 0
    """Mode 1; two levels."""
    GREY = 1
    """Mode L; 256 levels."""
    BLACK_AND_WHITE = 2
    """Mode L with values 0 and 255 only; two levels."""
    RGB = 3
    """Mode RGB; three channels of 256 levels."""
    GREY_AS_RGB = 4
    """Mode RGB with three equal channels; 256 levels."""
    GREY_ALPHA = 5
    """Mode LA; 256 levels, alpha beside it."""
    RGB_ALPHA = 6
    """Mode RGBA; three channels of 256 levels, alpha beside them."""

    @property
    def channels(self) -> int:
        """The model's."""
        return 3 if self in (PixelForm.RGB, PixelForm.RGB_ALPHA) else 1

    @property
    def mode(self) -> str:
        """The pictures'."""
        modes = {PixelForm.BILEVEL: "1", PixelForm.GREY_ALPHA: "LA", PixelForm.RGB_ALPHA: "RGBA"}
        return modes.get(self, "RGB" if self in (PixelForm.RGB, PixelForm.GREY_AS_RGB) else "L")

    @property
    def has_alpha(self) -> bool:
        return self in (PixelForm.GREY_ALPHA, PixelForm.RGB_ALPHA)

    @property
    def levels(self) -> int:
        return 2 if self in (PixelForm.BILEVEL, PixelForm.BLACK_AND_WHITE) else 256


def form_for(picture: Picture, info: DenseInfo | SpatialInfo) -> PixelForm | None:
    """The form in which a model of `info` can code `picture`, or None."""
    if isinstance(info, DenseInfo) and (picture.height, picture.width) != (info.height, info.width):
        return None
    match picture.mode, info.channels, info.levels:
        case "1", 1, 2:
            return PixelForm.BILEVEL
        case "L", 1, 256:
            return PixelForm.GREY
        case "L", 1, 2 if ((picture.pixels == 0) | (picture.pixels == 255)).all():
            return PixelForm.BLACK_AND_WHITE
        case "RGB", 3, 256:
            return PixelForm.RGB
        case "RGB", 1, 256 if (picture.pixels == picture.pixels[..., :1]).all():
            return PixelForm.GREY_AS_RGB
        case "LA", 1, 256 if isinstance(info, SpatialInfo):
            return PixelForm.GREY_ALPHA
        case "RGBA", 3, 256 if isinstance(info, SpatialInfo):
            return PixelForm.RGB_ALPHA
    return None


def misfit(picture: Picture, info: Info) -> str:
    """Why a model of `info` cannot code `picture`, for people."""
    kind = "black and white" if info.levels == 2 else ("grey" if info.channels == 1 else "colour")
    size = f"of {info.size}" if isinstance(info, DenseInfo) else "of any size"
    found = f"mode {picture.mode}, {picture.width}x{picture.height}"
    return f"the model {info.name} is for {kind} pictures {size}, and this one is of {found}"


def to_pixels(picture: Picture, form: PixelForm) -> Pixels:
    """The model's pixels (H, W, C) uint8 of a picture that has this form."""
    pixels: Pixels = picture.pixels.reshape(picture.height, picture.width, -1)[..., : form.channels]
    return pixels // np.uint8(255) if form == PixelForm.BLACK_AND_WHITE else pixels


def alpha_of(picture: Picture, form: PixelForm) -> Picture | None:
    """The alpha values of a picture that has this form, as a grey picture, if it has any."""
    return Picture("L", np.ascontiguousarray(picture.pixels[..., -1])) if form.has_alpha else None


def to_picture(pixels: Pixels, form: PixelForm, alpha: Picture | None = None) -> Picture:
    """The inverse of `to_pixels` and `alpha_of`."""
    match form:
        case PixelForm.BILEVEL:
            return Picture("1", pixels[..., 0])
        case PixelForm.GREY:
            return Picture("L", pixels[..., 0])
        case PixelForm.BLACK_AND_WHITE:
            return Picture("L", pixels[..., 0] * np.uint8(255))
        case PixelForm.RGB:
            return Picture("RGB", pixels)
        case PixelForm.GREY_AS_RGB:
            return Picture("RGB", np.repeat(pixels, 3, axis=2))
        case PixelForm.GREY_ALPHA | PixelForm.RGB_ALPHA:
            assert alpha is not None
            mode = "LA" if form == PixelForm.GREY_ALPHA else "RGBA"
            return Picture(mode, np.concatenate([pixels, alpha.pixels[..., None]], axis=2))
