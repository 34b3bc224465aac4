"""Sections 18.2, 18.5 and 18.7: units, what they predict, and how they are written."""

import re
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from second_decoder.lattice import FAR, ITSELF, NEAR, Integers, Place, at, places
from second_decoder.reading import Damaged, require

FORMAT = Path(__file__).parent.parent.parent / "docs" / "FORMAT.md"
KNOTS = 40
CLASSES = 160


class Unit(NamedTuple):
    """The predictor of a channel in a stage."""

    weights: list[int]
    """As written, of differences."""
    context: list[int]
    knots: list[int]
    shape: int
    gain: int = 8
    wider: int = 0


Key = tuple[int, int, int]
"""Stride, stage, channel."""


@cache
def general(channels: int) -> dict[tuple[int, int], Unit]:
    """By stage and channel; read from the document, which has them at the end of section 18.7."""
    section = FORMAT.read_text("utf-8").split("### 18.7")[1]
    found = {}
    for text in section.split("\n    C ")[1:]:
        head, *lists = re.split("weights|context|knots", re.sub("stage|channel|shape", "", text))
        of, stage, channel, shape = map(int, head.split())
        weights, context, knots = ([int(number) for number in one.split()] for one in lists)
        if of == channels:
            knots += knots[-1:] * (KNOTS - len(knots))
            found[stage, channel] = Unit(weights, context, knots, shape)
    return found


def taps(stage: int, channel: int, channels: int) -> list[tuple[int, Place]]:
    """Channel and place of each."""
    found = [(c, place) for c in range(channels) for place in places(stage, FAR if c == channel else NEAR)]
    return found + [(c, (stage, a, b)) for c in range(channel) for a, b in ITSELF]


def firsts(stage: int, channel: int, channels: int) -> list[int]:
    """The number of each channel's first tap."""
    of = [c for c, _ in taps(stage, channel, channels)]
    return [of.index(c) for c in range(channels)]


def mean(unit: Unit, values: list[Integers], stride: int, stage: int, channel: int, depth: int) -> Integers:
    """In 2^-6, of the planes (N, H, W) of all channels."""
    channels, every = len(values), taps(stage, channel, len(values))
    first = firsts(stage, channel, channels)
    own, constant = first[channel], len(every)
    v = list(unit.weights)
    for n, (of, _) in enumerate(every):
        taken = constant if n == own else own if n in first else first[of]
        v[taken] -= unit.weights[n]
    v[own] += 1 << 12
    total = v[constant] << (depth - 1)
    for weight, (of, place) in zip(v, every, strict=False):
        total = total + weight * at(values[of], stride, stage, place)
    return np.clip((total + (1 << 5)) >> 6, 0, 64 * ((1 << depth) - 1))


def spread(values: list[Integers], stride: int, stage: int, channel: int) -> list[Integers]:
    """Terms 1 and 2."""
    n = []
    for place in places(stage, FAR)[:6]:
        near = at(values[channel], stride, stage, place)
        n.append(near - at(values[0], stride, stage, place) if channel else near)
    total = sum(n[1:], n[0])
    differences = [np.abs(6 * one - total) for one in n]
    terms = [sum(differences[1:], differences[0]) >> 2]
    pairs = [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (4, 3)]
    return terms + [8 * np.abs(n[i - 1] - n[j - 1]) for i, j in pairs]


def classes(
    unit: Unit, values: list[Integers], errors: list[Integers], stride: int, stage: int, channel: int
) -> Integers:
    """The corrected class of each pixel."""
    near = places(stage, NEAR)
    terms = spread(values, stride, stage, channel)
    terms += [at(errors[channel], stride, stage, place) for place in near]
    for before in range(channel):
        itself = [at(errors[before], stride, stage, (stage, a, b)) for a, b in ITSELF]
        terms += [itself[0], sum(itself[2:], itself[1])]
    for other in range(len(values)):
        if other != channel:
            seen = [at(errors[other], stride, stage, place) for place in near[:4]]
            terms.append(sum(seen[1:], seen[0]))
    require(len(terms) + 1 == len(unit.context), "context weights of another number")
    total = sum((g * term for g, term in zip(unit.context, terms, strict=False)), 8 * unit.context[-1] + 0 * terms[0])
    n = class_of(total)
    q, t = n >> 2, n & 3
    knots = np.array(unit.knots)
    return np.clip(n + ((knots[q] * (4 - t) + knots[np.minimum(q + 1, KNOTS - 1)] * t + 2) >> 2), 0, CLASSES - 1)


def class_of(total: Integers) -> Integers:
    m, e = np.frexp(np.maximum(total, 1).astype(np.float32))
    return np.clip(8 * (e.astype(np.int64) - 1) + np.floor((2 * m - 1) * 8).astype(np.int64) - 48, 0, CLASSES - 1)


class Bits:
    """The highest bits of each byte first."""

    def __init__(self, data: bytes):
        self.text, self.at = "".join(f"{byte:08b}" for byte in data), 0

    def take(self, count: int) -> int:
        self.at += count
        require(self.at <= len(self.text), "parameters cut short")
        return int(self.text[self.at - count : self.at] or "0", 2)

    def list_of(self, count: int) -> list[int]:
        k = self.take(4)
        found = []
        for _ in range(count):
            ones = 0
            while self.take(1):
                ones += 1
                require(ones <= 64, "a number that is too large")
            n = (ones << k) + self.take(k)
            found.append(-(n + 1 >> 1) if n & 1 else n >> 1)
        return found


def read_units(data: bytes, channels: int, strides: Sequence[int], before: dict[Key, Unit]) -> dict[Key, Unit]:
    """18.5: the units that have predictors of their own, those of a model's being there before."""
    bits, base, found = Bits(data), general(channels), {}
    for key in product(strides, (1, 2, 3), range(channels)):
        if bits.take(1):
            found[key] = _read_unit(bits, before.get(key, base[key[1:]]), *key[1:], channels)
    rest = bits.text[bits.at :]
    if len(rest) >= 8 or "1" in rest:
        raise Damaged("more after the parameters")
    return found


def _read_unit(bits: Bits, base: Unit, stage: int, channel: int, channels: int) -> Unit:
    first = {*firsts(stage, channel, channels), len(base.weights) - 1}
    precision = bits.take(3)
    weights = list(base.weights)
    plain = [n for n in range(len(weights)) if n not in first]
    for n, value in zip(plain, bits.list_of(len(plain)), strict=True):
        weights[n] += value << precision
    for n, value in zip(sorted(first), bits.list_of(len(first)), strict=True):
        weights[n] += value
    context = [a + b for a, b in zip(base.context, bits.list_of(len(base.context)), strict=True)]
    require(min(context) >= 0 and sum(context) <= 1 << 15, "context weights")
    knots = np.cumsum(bits.list_of(KNOTS)).tolist()
    require(max(map(abs, knots)) <= CLASSES, "knots")
    unit = Unit(weights, context, knots, bits.take(4), bits.take(4), bits.take(3) - 4)
    require(unit.gain <= 8, "a gain above 8")
    return unit
