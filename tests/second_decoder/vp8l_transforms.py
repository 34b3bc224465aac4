"""WebP lossless bitstreams: the transforms of their pixels (RFC 9649, section 4)."""

from typing import NamedTuple

#: Pixels in raster order, as numbers of alpha, red, green, blue from the top.
Argb = list[int]


class Transform(NamedTuple):
    kind: int
    width: int
    """Of the picture when this is undone, before that."""
    bits: int
    data: Argb


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
