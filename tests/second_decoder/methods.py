"""Sections 4.2 and 7.1: the fields of each method, and what they decode to."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np

from second_decoder import coarse_to_fine, stored
from second_decoder.chain import Group, Plan, decode, tiling
from second_decoder.corrector import Corrector
from second_decoder.dense import DenseModel, Pixels
from second_decoder.models import Models
from second_decoder.pictures import MODES, NUMBERS, Item, Picture
from second_decoder.reading import Damaged, Reader, require
from second_decoder.spatial import SizedModel, SpatialModel

MAX = 1 << 22
MAX_SIDE = 1 << 24
Sizes = list[tuple[int, int]]


class Payload(Protocol):
    bottom: int
    """Of the stack, once decoded, where there is one."""

    def decode(self, models: Models) -> list[Item]: ...


@dataclass
class Stored:
    data: bytes
    bottom: int = 0

    def decode(self, models: Models) -> list[Item]:
        return [stored.picture(self.data)]


@dataclass
class Kept:
    data: bytes
    bottom: int = 0

    def decode(self, models: Models) -> list[Item]:
        return [stored.kept(self.data)]


def to_picture(pixels: Pixels, form: int) -> Picture:
    """7.1: of (height, width, channels)."""
    mode = {0: "1", 1: "L", 2: "L", 3: "RGB", 4: "RGB", 5: "LA", 6: "RGBA"}[form]
    if form == 2:
        pixels = pixels * 255
    if form == 4:
        pixels = np.repeat(pixels, 3, 2)
    return Picture(mode, pixels)


def check_form(form: int, levels: int, channels: int) -> None:
    require(form <= 6, "an unknown pixel form")
    require(levels == (2 if form in (0, 2) else 256), "a form that the model does not have")
    require(channels == (3 if form in (3, 6) else 1), "a form that the model does not have")


@dataclass
class Bits:
    """Method 1."""

    model: bytes
    form: int
    images: int
    plan: Plan
    data: bytes
    bottom: int = 0

    @classmethod
    def single(cls, model: bytes, form: int, data: bytes) -> "Bits":
        return cls(model, form, 1, Plan(), data)

    def decode(self, models: Models) -> list[Item]:
        model = models.find(self.model)
        if not isinstance(model, DenseModel):
            raise Damaged("a model of another method")
        check_form(self.form, model.levels, 1)
        ((pixels,), self.bottom) = decode(self.data, self.plan, [Group(model, self.images)])
        return [to_picture(one, self.form) for one in pixels.reshape(-1, model.height, model.width, 1)]


def read_bits_back(reader: Reader, images: int) -> Bits:
    model, form = reader.take(32), reader.byte()
    first, width, growth = reader.varint(1, images), reader.varint(1, MAX), reader.varint(1, MAX)
    steps, refinement = _steps(reader)
    return Bits(model, form, images, Plan(first, width, growth, width, 4, steps, refinement), reader.rest())


def _steps(reader: Reader) -> tuple[int, int]:
    steps = reader.varint(0, 100)
    refinement = reader.byte() if steps else 0
    require(not steps or refinement in (1, 2), "an unknown refinement")
    return steps, refinement


@dataclass
class Tiles:
    """Methods 2 and 3."""

    model: bytes
    form: int
    tile: int
    sizes: Sizes
    shifts: list[tuple[int, ...]]
    """Of each picture."""
    plan: Plan
    alphas: list[bytes]
    data: bytes
    bottom: int = 0

    @classmethod
    def single(cls, reader: Reader, model: bytes, form: int) -> "Tiles":
        size = reader.varint(1, 1024), reader.varint(1, 1024)
        shifts = _shifts(reader, form, 1)
        return cls(model, form, 1024, [size], shifts, Plan(), _alphas(reader, form, 1), reader.rest())

    def decode(self, models: Models) -> list[Item]:
        model = models.find(self.model)
        if not isinstance(model, SpatialModel):
            raise Damaged("a model of another method")
        check_form(self.form, model.levels, model.channels)
        require(all(len(shifts) in (0, model.shifts) for shifts in self.shifts), "scale shifts of another number")
        changes = [a != b for a, b in zip(self.shifts[1:], self.shifts[:-1], strict=True)]
        runs = list(accumulate([0, *changes]))
        groups = tiling(self.sizes, self.tile, lambda picture: runs[picture])
        sized = [
            Group(SizedModel(model, *size, self.shifts[tiles[0].picture]), len(tiles)) for size, _, tiles in groups
        ]
        decoded, self.bottom = decode(self.data, self.plan, sized)
        whole = [np.zeros((*size, model.channels), np.int64) for size in self.sizes]
        for ((height, width), _, tiles), pixels in zip(groups, decoded, strict=True):
            for tile, one in zip(tiles, pixels, strict=True):
                whole[tile.picture][tile.top : tile.top + height, tile.left : tile.left + width] = one
        for number, alpha in enumerate(self.alphas):
            plane = stored.picture(alpha)
            require(plane.mode == "L" and plane.pixels.shape[:2] == self.sizes[number], "alpha values of another size")
            whole[number] = np.concatenate([whole[number], plane.pixels], 2)
        return [to_picture(one, self.form) for one in whole]


def read_tiles(reader: Reader, model: bytes, form: int, images: int) -> Tiles:
    tile = reader.varint(1, 1024)
    sizes = _sizes(reader, images)
    shifts = _shifts(reader, form, images)
    fields = [reader.varint(1, MAX) for _ in range(5)]
    plan = Plan(*fields, *_steps(reader))
    return Tiles(model, form, tile, sizes, shifts, plan, _alphas(reader, form, images), reader.rest())


def _sizes(reader: Reader, images: int) -> Sizes:
    sizes: Sizes = []
    while len(sizes) < images:
        run = reader.varint(1, images - len(sizes))
        sizes += [(reader.varint(1, MAX_SIDE), reader.varint(1, MAX_SIDE))] * run
    return sizes


def _shifts(reader: Reader, form: int, images: int) -> list[tuple[int, ...]]:
    if form in (0, 2):
        return [()] * images
    found: list[tuple[int, ...]] = []
    while len(found) < images:
        run = reader.varint(1, images - len(found)) if images > 1 else 1
        shifts = tuple(byte - 128 for byte in reader.take(reader.varint(0, 1024)))
        require(not found or shifts != found[-1], "runs of equal shifts")
        found += [shifts] * run
    return found


def _alphas(reader: Reader, form: int, images: int) -> list[bytes]:
    return [reader.take(reader.varint(0, 1 << 31)) for _ in range(images if form in (5, 6) else 0)]


@dataclass
class Fine:
    """Method 5."""

    mode: str
    depth: int
    model: bytes
    sizes: Sizes
    data: bytes
    bottom: int = 0

    @classmethod
    def single(cls, reader: Reader, mode: int) -> "Fine":
        name, depth, model = _mode_depth_model(reader, mode, 4)
        return cls(name, depth, model, [(reader.varint(1, MAX_SIDE), reader.varint(1, MAX_SIDE))], reader.rest())

    def decode(self, models: Models) -> list[Item]:
        _, channels, _ = MODES[NUMBERS[self.mode]]
        colours = {1: 1, 2: 1, 3: 3, 4: 3}[channels]
        corrector = models.find(self.model) if self.model else None
        if corrector is not None and (not isinstance(corrector, Corrector) or corrector.channels != colours):
            raise Damaged("a model of another method or channels")
        places: dict[tuple[int, int], list[int]] = {}
        for number, size in enumerate(self.sizes):
            places.setdefault(size, []).append(number)
        shapes = [(len(numbers), *size) for size, numbers in places.items()]
        reader = Reader(self.data)
        first = reader.take(reader.varint(0, reader.left)) if channels > colours else reader.rest()
        planes = coarse_to_fine.decode(first, shapes, colours, self.depth, corrector)
        if channels > colours:
            alphas = coarse_to_fine.decode(reader.rest(), shapes, 1, self.depth, None)
        items: list[Item] = [b""] * len(self.sizes)
        for group, numbers in enumerate(places.values()):
            for row, number in enumerate(numbers):
                values = list(planes[group][:, row])
                if colours == 3:
                    values = [values[1], values[0], values[2]]
                if channels > colours:
                    values.append(alphas[group][0, row])
                items[number] = Picture(self.mode, np.stack(values, 2))
        return items


def _mode_depth_model(reader: Reader, number: int, id_bytes: int) -> tuple[str, int, bytes]:
    require(number < len(MODES) and MODES[number][0] not in ("1", "P", "CMYK"), "a mode that is not coded so")
    mode, _, sample_bytes = MODES[number]
    require(sample_bytes <= 2, "a mode that is not coded so")
    byte = reader.byte()
    depth = byte & 127
    require(depth == 8 if sample_bytes == 1 else 8 <= depth <= 16, "a depth that the mode does not have")
    return mode, depth, reader.take(id_bytes) if byte & 128 else b""


def read_coarse_to_fine(reader: Reader, images: int) -> Fine:
    mode, depth, model = _mode_depth_model(reader, reader.byte(), 32)
    return Fine(mode, depth, model, _sizes(reader, images), reader.rest())
