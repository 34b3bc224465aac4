"""Section 18: a batch of pictures coarse to fine."""

from collections.abc import Sequence

import numpy as np

from second_decoder.corrector import Corrector, corrected, look, look_again, relative_error
from second_decoder.lattice import Integers, part_of, pieces, strides
from second_decoder.predictor import classes, general, mean, read_units
from second_decoder.reading import Reader
from second_decoder.shapes import find
from second_decoder.streams import Streams

BROUGHT = (8, 4, 2)
"""Strides of which a file may bring predictors."""


class Group:
    """Pictures of one size: planes (N, H, W) by channel."""

    def __init__(self, shape: tuple[int, int, int], channels: int):
        self.strides = strides(*shape[1:])
        self.values = [np.zeros(shape, np.int64) for _ in range(channels)]
        self.errors = [np.zeros(shape, np.int64) for _ in range(channels)]
        self.relative = [np.full(shape, 128, np.int64) for _ in range(channels)]


def decode(
    data: bytes, shapes: Sequence[tuple[int, int, int]], channels: int, depth: int, corrector: Corrector | None
) -> list[Integers]:
    """The values (channels, N, H, W) of each group, of which `shapes` has N, H, W."""
    reader = Reader(data)
    base = general(channels)
    of_model = corrector.units if corrector else {}
    own = of_model | read_units(reader.take(reader.varint(0, reader.left)), channels, BROUGHT, of_model)
    groups = [Group(shape, channels) for shape in shapes]
    every = [
        (stride, stage)
        for stride in strides(max(shape[1] for shape in shapes), max(shape[2] for shape in shapes))
        for stage in (1, 2, 3)
    ]
    pictures = sum(shape[0] for shape in shapes)
    sizes = [pictures, (channels - 1) * pictures]
    for stride, stage in every:
        for _ in range(channels):
            for group in groups:
                if stride in group.strides:
                    whole = part_of(group.values[0], stride, stage)
                    sizes += [whole[pictures, rows].size for pictures, rows in pieces(*whole.shape)]
    streams = Streams(reader, sizes)

    first = iter(streams.pop([find(64 << (depth - 1), 8 * (depth + 3), 8, depth)] * pictures))
    for group in groups:
        for picture in group.values[0]:
            picture[0, 0] = next(first)
    like_first = [
        find(64 * int(picture[0, 0]), 8 * depth + 4, 8, depth)
        for group in groups
        for _ in range(1, channels)
        for picture in group.values[0]
    ]
    others = iter(streams.pop(like_first))
    for group in groups:
        for plane in group.values[1:]:
            for picture in plane:
                picture[0, 0] = next(others)
    for stride, stage in every:
        seen: dict[int, Integers] = {}
        outputs: dict[int, Integers] = {}
        errors: list[list[Integers]] = [[] for _ in groups]
        for channel in range(channels):
            for number, group in enumerate(groups):
                if stride not in group.strides:
                    continue
                whole = part_of(group.values[channel], stride, stage)
                if not whole.size:
                    continue
                unit = own.get((stride, stage, channel), base[stage, channel])
                means = mean(unit, group.values, stride, stage, channel, depth)
                numbers = classes(unit, group.values, group.errors, stride, stage, channel)
                told = means, numbers, np.full_like(numbers, unit.shape)
                if corrector is not None and (stride, stage, 0) in corrector.networks:
                    if channel == 0:
                        seen[number] = look(group.values, group.relative, stride, stage, depth, means, numbers)
                        outputs[number] = corrector.networks[stride, stage, 0](seen[number])
                    elif channel == 1:
                        again = look_again(seen[number], group.relative[0], stride, stage)
                        outputs[number] = corrector.networks[stride, stage, 1](again)
                    if unit.gain:
                        told = corrected(unit, outputs[number], channel, depth, means, numbers, errors[number])
                for pictures, rows in pieces(*whole.shape):
                    parts = [part[pictures, rows] for part in told]
                    finds = [find(*one, depth) for one in zip(*(part.ravel().tolist() for part in parts), strict=True)]
                    whole[pictures, rows] = np.array(streams.pop(finds)).reshape(parts[0].shape)
                errors[number].append(64 * whole - told[0])
                part_of(group.errors[channel], stride, stage)[:] = np.abs(64 * whole - means) >> 3
                part_of(group.relative[channel], stride, stage)[:] = relative_error(whole, means, numbers)
    streams.end()
    return [np.stack(group.values) for group in groups]
