"""How pictures become batches of planes (`bbcompress.codec.lattice_encoder` codes them), and back."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.lattice_walk import Shape
from bbcompress.images.header import MODES
from bbcompress.images.picture import Picture

Planes = NDArray[Any]
"""(channels, pictures, height, width)."""
Size = tuple[int, int]
"""Height and width."""
PLANE_MODES = ("1", "L", "LA", "RGB", "RGBA", "L16", "LA16", "RGB16", "RGBA16")
_BLACK_AND_WHITE_MODES = ("1", "L")
_GREEN_FIRST = {1: [0], 3: [1, 0, 2]}
"""Of grey pictures and of colours, which channel is coded first, and so on; the same list undoes it."""


class PlanesForm(NamedTuple):
    """What kind of picture planes stand for."""

    mode: str
    depth: int
    """Bits that the values need: pictures of 16 bits often use fewer. 1 is black and white, in mode L 0 and 255."""

    @property
    def levels(self) -> int:
        """Those of models that can correct it."""
        return 2 if self.depth == 1 else 256

    @property
    def white(self) -> int:
        """The value that 1 stands for, where the depth is 1."""
        return 255 if self.mode == "L" else 1

    @property
    def colours(self) -> int:
        """Channels besides alpha."""
        return MODES[self.mode].channels - self.has_alpha

    @property
    def has_alpha(self) -> bool:
        return MODES[self.mode].channels % 2 == 0


def planes_form(picture: Picture, levels: int = 256) -> PlanesForm | None:
    """The form of a picture for models of so many levels, or None for one whose values are no shades, or others."""
    if levels == 2:
        white = 255 if picture.mode == "L" else 1
        fits = picture.mode in _BLACK_AND_WHITE_MODES and ((picture.pixels == 0) | (picture.pixels == white)).all()
        return PlanesForm(picture.mode, 1) if fits else None
    if picture.mode not in PLANE_MODES or picture.mode == "1":
        return None
    depth = 8 if picture.pixels.dtype == np.uint8 else max(8, int(picture.pixels.max()).bit_length())
    return PlanesForm(picture.mode, depth)


def depths(mode: str) -> Sequence[int]:
    """Those that pictures of one of `PLANE_MODES` may have."""
    bits = 8 * MODES[mode].dtype.itemsize
    black_and_white = (1,) * (mode in _BLACK_AND_WHITE_MODES)
    return (*black_and_white, *(range(8, bits + 1) if mode != "1" else ()))


def groups(sizes: Sequence[Size]) -> dict[Size, list[int]]:
    """The numbers of pictures of each size, in the order of their first ones."""
    found: dict[Size, list[int]] = {}
    for number, size in enumerate(sizes):
        found.setdefault(size, []).append(number)
    return found


def shapes(sizes: Sequence[Size]) -> list[Shape]:
    """Of the groups."""
    return [Shape(len(numbers), *size) for size, numbers in groups(sizes).items()]


def to_planes(pictures: Sequence[Picture], form: PlanesForm) -> tuple[list[Planes], list[Planes]]:
    """Colours, and alpha where the form has it, of each group of pictures of this form."""
    colours, alphas = [], []
    for numbers in groups([(picture.height, picture.width) for picture in pictures]).values():
        stacked = np.stack([pictures[number].pixels for number in numbers])
        if form.depth == 1:
            stacked //= np.uint8(form.white)
        whole = stacked.reshape(*stacked.shape[:3], -1).transpose(3, 0, 1, 2)
        colours.append(np.ascontiguousarray(whole[_GREEN_FIRST[form.colours]]))
        if form.has_alpha:
            alphas.append(np.ascontiguousarray(whole[-1:]))
    return colours, alphas


def to_pictures(
    colours: Sequence[Planes], alphas: Sequence[Planes], form: PlanesForm, sizes: Sequence[Size]
) -> list[Picture]:
    """The inverse of `to_planes`."""
    layout = MODES[form.mode]
    found: dict[int, Picture] = {}
    for group, (size, numbers) in enumerate(groups(sizes).items()):
        whole = colours[group][_GREEN_FIRST[form.colours]]
        if form.has_alpha:
            whole = np.concatenate([whole, alphas[group]])
        pixels = whole.transpose(1, 2, 3, 0).astype(layout.dtype, copy=False)
        if form.depth == 1:
            pixels = pixels * np.uint8(form.white)
        for place, number in enumerate(numbers):
            found[number] = Picture(form.mode, np.ascontiguousarray(pixels[place].reshape(layout.shape(*size[::-1]))))
    return [found[number] for number in range(len(sizes))]
