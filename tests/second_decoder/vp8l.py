"""WebP lossless bitstreams (RFC 9649, section 3), for section 6.2."""

import numpy as np
from numpy.typing import NDArray

from second_decoder.reading import Damaged, require
from second_decoder.vp8l_transforms import UNDO, Argb, Transform, add

CODE_LENGTHS_ORDER = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
DISTANCES = [
    (0, 1), (1, 0), (1, 1), (-1, 1), (0, 2), (2, 0), (1, 2), (-1, 2), (2, 1), (-2, 1), (2, 2), (-2, 2),
    (0, 3), (3, 0), (1, 3), (-1, 3), (3, 1), (-3, 1), (2, 3), (-2, 3), (3, 2), (-3, 2), (0, 4), (4, 0),
    (1, 4), (-1, 4), (4, 1), (-4, 1), (3, 3), (-3, 3), (2, 4), (-2, 4), (4, 2), (-4, 2), (0, 5), (3, 4),
    (-3, 4), (4, 3), (-4, 3), (5, 0), (1, 5), (-1, 5), (5, 1), (-5, 1), (2, 5), (-2, 5), (5, 2), (-5, 2),
    (4, 4), (-4, 4), (3, 5), (-3, 5), (5, 3), (-5, 3), (0, 6), (6, 0), (1, 6), (-1, 6), (6, 1), (-6, 1),
    (2, 6), (-2, 6), (6, 2), (-6, 2), (4, 5), (-4, 5), (5, 4), (-5, 4), (3, 6), (-3, 6), (6, 3), (-6, 3),
    (0, 7), (7, 0), (1, 7), (-1, 7), (5, 5), (-5, 5), (7, 1), (-7, 1), (4, 6), (-4, 6), (6, 4), (-6, 4),
    (2, 7), (-2, 7), (7, 2), (-7, 2), (3, 7), (-3, 7), (7, 3), (-7, 3), (5, 6), (-5, 6), (6, 5), (-6, 5),
    (8, 0), (4, 7), (-4, 7), (7, 4), (-7, 4), (8, 1), (8, 2), (6, 6), (-6, 6), (8, 3), (5, 7), (-5, 7),
    (7, 5), (-7, 5), (8, 4), (6, 7), (-6, 7), (7, 6), (-7, 6), (8, 5), (7, 7), (-7, 7), (8, 6), (8, 7),
]  # fmt: skip


class Bits:
    """The lowest bits of each byte first."""

    def __init__(self, data: bytes):
        self.number, self.count, self.at = int.from_bytes(data, "little"), 8 * len(data), 0

    def take(self, count: int) -> int:
        self.at += count
        require(self.at <= self.count, "WebP cut short")
        return self.number >> (self.at - count) & (1 << count) - 1


class Code:
    """A canonical prefix code: symbols by (length, code)."""

    def __init__(self, lengths: list[int]):
        used = [symbol for symbol, length in enumerate(lengths) if length]
        self.only = used[0] if len(used) == 1 else 0 if not used else None
        self.symbols: dict[tuple[int, int], int] = {}
        code = last = 0
        for length, symbol in sorted((lengths[symbol], symbol) for symbol in used):
            code <<= length - last
            self.symbols[length, code] = symbol
            code, last = code + 1, length

    def read(self, bits: Bits) -> int:
        if self.only is not None:
            return self.only
        code = 0
        for length in range(1, 16):
            code = code << 1 | bits.take(1)
            if (length, code) in self.symbols:
                return self.symbols[length, code]
        raise Damaged("WebP with a code that it does not define")


def read_code(bits: Bits, size: int) -> Code:
    lengths = [0] * size
    if bits.take(1):
        symbols = 1 + bits.take(1)
        lengths[bits.take(8 if bits.take(1) else 1)] = 1
        if symbols == 2:
            lengths[bits.take(8)] = 1
        return Code(lengths)
    of_lengths = [0] * 19
    for place in range(4 + bits.take(4)):
        of_lengths[CODE_LENGTHS_ORDER[place]] = bits.take(3)
    code = Code(of_lengths)
    left = size
    if bits.take(1):
        left = 2 + bits.take(2 + 2 * bits.take(3))
    place, last = 0, 8
    while place < size and left:
        left -= 1
        symbol = code.read(bits)
        if symbol < 16:
            lengths[place] = symbol
            place, last = place + 1, symbol or last
            continue
        length = last if symbol == 16 else 0
        repeat = {16: (3, 2), 17: (3, 3), 18: (11, 7)}[symbol]
        for _ in range(repeat[0] + bits.take(repeat[1])):
            require(place < size, "WebP with too many code lengths")
            lengths[place] = length
            place += 1
    return Code(lengths)


def length_of(symbol: int, bits: Bits) -> int:
    """Of a copy, or its distance code."""
    if symbol < 4:
        return symbol + 1
    extra = (symbol - 2) >> 1
    return ((2 + (symbol & 1)) << extra) + bits.take(extra) + 1


def read_image(bits: Bits, width: int, height: int, main: bool) -> Argb:
    """Entropy-coded pixels, as numbers of alpha, red, green, blue from the top."""
    cache_bits = bits.take(4) if bits.take(1) else 0
    cache = [0] * (1 << cache_bits)
    groups, shift, across = [0], 16, 0
    if main and bits.take(1):
        shift = 2 + bits.take(3)
        across = -(-width >> shift)
        groups = [value >> 8 & 0xFFFF for value in read_image(bits, across, -(-height >> shift), False)]
    sizes = [256 + 24 + (1 << cache_bits if cache_bits else 0), 256, 256, 256, 40]
    codes = [[read_code(bits, size) for size in sizes] for _ in range(max(groups) + 1)]
    out: Argb = []

    def put(value: int) -> None:
        out.append(value)
        if cache_bits:
            cache[(0x1E35A7BD * value & 0xFFFFFFFF) >> (32 - cache_bits)] = value

    while len(out) < width * height:
        y, x = divmod(len(out), width)
        green, red, blue, alpha, distance = codes[groups[(y >> shift) * across + (x >> shift)]]
        symbol = green.read(bits)
        if symbol < 256:
            values = red.read(bits), blue.read(bits), alpha.read(bits)
            put(values[2] << 24 | values[0] << 16 | symbol << 8 | values[1])
        elif symbol < 280:
            length = length_of(symbol - 256, bits)
            back = length_of(distance.read(bits), bits)
            if back > 120:
                back -= 120
            else:
                dx, dy = DISTANCES[back - 1]
                back = max(1, dx + dy * width)
            require(back <= len(out) and len(out) + length <= width * height, "WebP that copies from outside")
            for _ in range(length):
                put(out[-back])
        else:
            put(cache[symbol - 280])
    return out


def decode(data: bytes) -> NDArray[np.uint8]:
    """(height, width, 4): red, green, blue, alpha."""
    bits = Bits(data)
    require(bits.take(8) == 0x2F, "no WebP lossless")
    full_width, height = 1 + bits.take(14), 1 + bits.take(14)
    has_alpha = bits.take(1)
    require(bits.take(3) == 0, "WebP of a later version")
    width, transforms = full_width, []
    while bits.take(1):
        kind = bits.take(2)
        if kind == 3:
            count = 1 + bits.take(8)
            table = _added_up(read_image(bits, count, 1, False))
            packed = 3 if count <= 2 else 2 if count <= 4 else 1 if count <= 16 else 0
            transforms.append(Transform(kind, width, packed, table))
            width = -(-width >> packed)
        else:
            size = 2 + bits.take(3) if kind < 2 else 0
            image = read_image(bits, -(-width >> size), -(-height >> size), False) if kind < 2 else []
            transforms.append(Transform(kind, width, size, image))
    pixels = read_image(bits, width, height, True)
    for transform in reversed(transforms):
        pixels = UNDO[transform.kind](transform, pixels, height)
    argb = np.array(pixels, np.uint32).reshape(height, full_width)
    channels = [argb >> 16, argb >> 8, argb, argb >> 24 if has_alpha else np.full_like(argb, 255)]
    return (np.stack(channels, 2) & 255).astype(np.uint8)


def _added_up(table: Argb) -> Argb:
    for place in range(1, len(table)):
        table[place] = add(table[place], table[place - 1])
    return table
