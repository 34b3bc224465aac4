"""WebP lossless bitstreams (RFC 9649, section 3), for section 6.2."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from second_decoder.reading import Damaged, require

CODE_LENGTHS_ORDER = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
DISTANCES = [
    (0, 1), (1, 0), (1, 1), (-1, 1), (0, 2), (2, 0), (1, 2), (-1, 2), (2, 1), (-2, 1), (2, 2), (-2, 2), (0, 3), (3, 0),
    (1, 3), (-1, 3), (3, 1), (-3, 1), (2, 3), (-2, 3), (3, 2), (-3, 2), (0, 4), (4, 0), (1, 4), (-1, 4), (4, 1), (-4, 1),
    (3, 3), (-3, 3), (2, 4), (-2, 4), (4, 2), (-4, 2), (0, 5), (3, 4), (-3, 4), (4, 3), (-4, 3), (5, 0), (1, 5), (-1, 5),
    (5, 1), (-5, 1), (2, 5), (-2, 5), (5, 2), (-5, 2), (4, 4), (-4, 4), (3, 5), (-3, 5), (5, 3), (-5, 3), (0, 6), (6, 0),
    (1, 6), (-1, 6), (6, 1), (-6, 1), (2, 6), (-2, 6), (6, 2), (-6, 2), (4, 5), (-4, 5), (5, 4), (-5, 4), (3, 6), (-3, 6),
    (6, 3), (-6, 3), (0, 7), (7, 0), (1, 7), (-1, 7), (5, 5), (-5, 5), (7, 1), (-7, 1), (4, 6), (-4, 6), (6, 4), (-6, 4),
    (2, 7), (-2, 7), (7, 2), (-7, 2), (3, 7), (-3, 7), (7, 3), (-7, 3), (5, 6), (-5, 6), (6, 5), (-6, 5), (8, 0), (4, 7),
    (-4, 7), (7, 4), (-7, 4), (8, 1), (8, 2), (6, 6), (-6, 6), (8, 3), (5, 7), (-5, 7), (7, 5), (-7, 5), (8, 4), (6, 7),
    (-6, 7), (7, 6), (-7, 6), (8, 5), (7, 7), (-7, 7), (8, 6), (8, 7),
]  # fmt: skip
Argb = list[int]


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
    groups, shift, across = [0], 0, 0
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


class Transform(NamedTuple):
    kind: int
    width: int
    """Of the picture when this is undone, before that."""
    bits: int
    data: Argb


def decode(data: bytes) -> NDArray[np.uint8]:
    """(height, width, 4): red, green, blue, alpha."""
    bits = Bits(data)
    require(bits.take(8) == 0x2F, "no WebP lossless")
    full, height = 1 + bits.take(14), 1 + bits.take(14)
    has_alpha = bits.take(1)
    require(bits.take(3) == 0, "WebP of a later version")
    width, transforms = full, []
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
    argb = np.array(pixels, np.uint32).reshape(height, full)
    channels = [argb >> 16, argb >> 8, argb, argb >> 24 if has_alpha else np.full_like(argb, 255)]
    return (np.stack(channels, 2) & 255).astype(np.uint8)


def _added_up(table: Argb) -> Argb:
    for place in range(1, len(table)):
        table[place] = add(table[place], table[place - 1])
    return table


def parts(value: int) -> tuple[int, int, int, int]:
    return value >> 24, value >> 16 & 255, value >> 8 & 255, value & 255


def joined(values: list[int]) -> int:
    return (values[0] & 255) << 24 | (values[1] & 255) << 16 | (values[2] & 255) << 8 | values[3] & 255


def add(one: int, other: int) -> int:
    return joined([a + b for a, b in zip(parts(one), parts(other), strict=True)])


def average(one: int, other: int) -> int:
    return joined([(a + b) // 2 for a, b in zip(parts(one), parts(other), strict=True)])


def clamp(value: int) -> int:
    return min(max(value, 0), 255)


def select(left: int, top: int, corner: int) -> int:
    to_left = to_top = 0
    for a, b, c in zip(parts(left), parts(top), parts(corner), strict=True):
        to_left, to_top = to_left + abs(b - c), to_top + abs(a - c)
    return left if to_left < to_top else top


def full(left: int, top: int, corner: int) -> int:
    return joined([clamp(a + b - c) for a, b, c in zip(parts(left), parts(top), parts(corner), strict=True)])


def half(mean: int, corner: int) -> int:
    return joined([clamp(a + int((a - b) / 2)) for a, b in zip(parts(mean), parts(corner), strict=True)])


def predicted(mode: int, left: int, top: int, right: int, corner: int) -> int:
    """`right` and `corner` are those above, to the right and to the left."""
    match mode:
        case 1:
            return left
        case 2:
            return top
        case 3:
            return right
        case 4:
            return corner
        case 5:
            return average(average(left, right), top)
        case 6:
            return average(left, corner)
        case 7:
            return average(left, top)
        case 8:
            return average(corner, top)
        case 9:
            return average(top, right)
        case 10:
            return average(average(left, corner), average(top, right))
        case 11:
            return select(left, top, corner)
        case 12:
            return full(left, top, corner)
        case 13:
            return half(average(left, top), corner)
    return 0xFF000000


def undo_predictor(transform: Transform, pixels: Argb, height: int) -> Argb:
    width, across = transform.width, -(-transform.width >> transform.bits)
    for place in range(len(pixels)):
        y, x = divmod(place, width)
        if y == 0:
            guess = pixels[place - 1] if x else 0xFF000000
        elif x == 0:
            guess = pixels[place - width]
        else:
            mode = transform.data[(y >> transform.bits) * across + (x >> transform.bits)] >> 8 & 15
            above = pixels[place - width], pixels[place - width + 1], pixels[place - width - 1]
            guess = predicted(mode, pixels[place - 1], *above)
        pixels[place] = add(pixels[place], guess)
    return pixels


def signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def undo_colour(transform: Transform, pixels: Argb, height: int) -> Argb:
    width, across = transform.width, -(-transform.width >> transform.bits)
    for place, value in enumerate(pixels):
        y, x = divmod(place, width)
        _, blue_of_red, blue_of_green, red_of_green = map(
            signed, parts(transform.data[(y >> transform.bits) * across + (x >> transform.bits)])
        )
        alpha, red, green, blue = parts(value)
        red = red + (red_of_green * signed(green) >> 5) & 255
        blue = blue + (blue_of_green * signed(green) >> 5) + (blue_of_red * signed(red) >> 5)
        pixels[place] = joined([alpha, red, green, blue])
    return pixels


def undo_green(transform: Transform, pixels: Argb, height: int) -> Argb:
    return [add(value, (value >> 8 & 255) * 0x10001) for value in pixels]


def undo_palette(transform: Transform, pixels: Argb, height: int) -> Argb:
    packed, width = transform.bits, transform.width
    narrow, bits = -(-width >> packed), 8 >> packed
    out = []
    for y in range(height):
        for x in range(width):
            green = pixels[y * narrow + (x >> packed)] >> 8 & 255
            index = green >> bits * (x & (1 << packed) - 1) & (1 << bits) - 1
            out.append(transform.data[index] if index < len(transform.data) else 0)
    return out


UNDO = [undo_predictor, undo_colour, undo_green, undo_palette]
