"""Sections 18.4 and 13.6: networks that correct predictors, and predictors that models bring."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from second_decoder.int8 import Network
from second_decoder.lattice import FAR, NEAR, PARTS, Integers, at, part_of, places
from second_decoder.networks import Tensors
from second_decoder.predictor import CLASSES, Key, Unit, class_of, read_units, spread

Floats = NDArray[np.float32]


class Corrector:
    def __init__(self, description: dict[str, Any], tensors: Tensors):
        self.channels = description["info"]["channels"]
        self.networks = {
            (stride, stage, number): Network(f"scales.{place}.stages.{stage}.networks.{number}", layers, tensors)
            for place, scale in enumerate(description["scales"])
            for stride in scale["strides"]
            for stage, networks in enumerate(scale["stages"], 1)
            for number, layers in enumerate(networks)
        }
        self.units: dict[Key, Unit] = {}
        if description["predictors"]:
            data = bytes(tensors["predictors"].tolist())
            self.units = read_units(data, self.channels, description["predictors"], {})


def to_bytes(x: NDArray[np.float32]) -> Integers:
    return np.clip(np.floor(x + np.float32(128.5)).astype(np.int64), 0, 255)


def per_value(classes: Integers) -> Floats:
    """z of 18.4."""
    scale = 2.0**-5 * (1 + classes % 8 / 8) * 2.0 ** (classes // 8)
    return (8 / scale).astype(np.float32)


def relative_error(values: Integers, means: Integers, classes: Integers) -> Integers:
    """Of float64, in which the product is exact."""
    steps = (values - means / 64) * per_value(classes).astype(np.float64)
    return np.clip(np.rint(steps).astype(np.int64) + 128, 0, 255)


def look(
    values: list[Integers],
    relative: list[Integers],
    stride: int,
    stage: int,
    depth: int,
    means: Integers,
    classes: Integers,
) -> Integers:
    """What a stage's first network sees, (N, h, w, inputs)."""
    single = np.float32
    m, z = means.astype(single) / single(64), per_value(classes)
    near = [[at(value, stride, stage, place).astype(single) for place in places(stage, FAR)] for value in values]
    sums = [sum(n[1:4], n[0]) for n in near]
    seen = [to_bytes((n - m) * z) for n in near[0]]
    for k in range(1, len(values)):
        slope = (sums[k] - sums[0]) / single(4)
        seen += [to_bytes(((n - n_0) - slope) * single(2) * z) for n, n_0 in zip(near[k], near[0], strict=True)]
    seen.append(to_bytes((2 * classes - 160).astype(single)))
    for k in range(len(values)):
        seen.append(to_bytes((2 * class_of(spread(values, stride, stage, k)[0] << 8) - 160).astype(single)))
    for total in sums:
        seen.append(to_bytes(total * single(2.0 ** (6 - depth)) - single(128)))
    for error in relative:
        seen += [at(error, stride, stage, place) for place in places(stage, NEAR)]
    row, column = (half * stride // 2 for half in PARTS[stage])
    for axis, first in ((1, row), (2, column)):
        shape = [-1 if n == axis else 1 for n in range(3)]
        pair = ((first + stride * np.arange(seen[0].shape[axis])) % 8 // 2).reshape(shape)
        seen += [np.broadcast_to(np.where(pair == t, 160, 128), seen[0].shape) for t in range(4)]
    return np.stack(seen, 3)


def look_again(seen: Integers, relative: Integers, stride: int, stage: int) -> Integers:
    """What its second network sees, given what the first one saw and channel 0's relative errors."""
    padded = np.pad(part_of(relative, stride, stage), ((0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = seen.shape[1:3]
    places = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
    more = [padded[:, 1 + i : 1 + i + height, 1 + j : 1 + j + width] for i, j in places]
    return np.concatenate([seen, np.stack(more, 3)], 3)


def corrected(
    unit: Unit,
    outputs: Integers,
    channel: int,
    depth: int,
    means: Integers,
    classes: Integers,
    errors: list[Integers],
) -> tuple[Integers, Integers, Integers]:
    """Mean, class and shape of each place, given the outputs (N, h, w, numbers) of its network and the errors of
    channels before."""
    channels, first = {3: (1, 0), 9: (2, 1)}[outputs.shape[3]]
    moves, octaves, quarters, couplings = np.split(outputs, [channels, 2 * channels, 3 * channels], 3)
    own = channel - first
    p = np.clip((moves[..., own] + (1 << 9)) >> 10, -128, 128)
    o = np.clip((octaves[..., own] + (1 << 11)) >> 12, -32, 32)
    q = np.clip((quarters[..., own] + (1 << 12)) >> 13, -15, 15)
    scale = (8 + classes % 8) << (classes // 8)  # in 2^-8
    by = p * scale
    for k, error in enumerate(errors):
        by += np.clip((couplings[..., channel * (channel - 1) // 2 + k] + (1 << 7)) >> 8, -256, 256) * error
    moved = np.clip(means + ((by * unit.gain + 512) >> 10), 0, 64 * ((1 << depth) - 1))
    wider = np.clip(classes + unit.wider + ((o * unit.gain + 4) >> 3), 0, CLASSES - 1)
    return moved, wider, np.clip(unit.shape + ((q * unit.gain + 4) >> 3), 0, 15)
