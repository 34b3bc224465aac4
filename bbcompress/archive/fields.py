"""How chains are described in a file: their plan, and the sizes of pictures that are cut into tiles."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from bbcompress.archive.errors import DamagedArchive, UnsupportedArchive
from bbcompress.archive.forms import PixelForm
from bbcompress.archive.payload import Tiles
from bbcompress.codec.chain import Plan
from bbcompress.codec.refine import MAX_STEPS, Method
from bbcompress.codec.tiles import Size
from bbcompress.varint import Reader, write_varint

MAX_IMAGES = 1 << 22
MAX_TILE = 1 << 12
MAX_SIDE = 1 << 24
MAX_ALPHA_BYTES = 1 << 31
DIGITS_DENSITY = 4
"""A plan's density where a segment has none (method 1)."""


def pack_plan(values: Iterable[int], plan: Plan) -> bytes:
    """Some values of a plan, then how it refines."""
    out = b"".join(write_varint(value) for value in (*values, plan.steps))
    return out + bytes([plan.method]) if plan.steps else out


def unpack_plan(reader: Reader, images: int, first: int, width: int, growth: int, lanes: int, density: int) -> Plan:
    """A plan of these values, refined as is said next. Raises DamagedArchive where they are out of range."""
    plan = Plan(images, first, width, growth, lanes, density, reader.varint(MAX_STEPS))
    if not 0 < first <= images or min(width, growth, lanes, density) < 1:
        raise DamagedArchive("damaged: a segment's plan is not one that an encoder makes")
    return plan._replace(method=_known_refinement(reader.byte())) if plan.steps else plan


def _pack_sizes(sizes: Sequence[Size]) -> bytes:
    """Runs of pictures of one size: their number, height and width."""
    out = b""
    for (height, width), run in groupby(sizes):
        out += write_varint(len(list(run))) + write_varint(height) + write_varint(width)
    return out


def _unpack_sizes(reader: Reader, count: int) -> list[Size]:
    sizes: list[Size] = []
    while len(sizes) < count:
        run, height, width = (reader.varint(limit) for limit in (count - len(sizes), MAX_SIDE, MAX_SIDE))
        if min(run, height, width) < 1:
            raise DamagedArchive("damaged: a picture without pixels")
        sizes += [(height, width)] * run
    return sizes


def _known_refinement(number: int) -> Method:
    if number not in set(Method):
        raise UnsupportedArchive("refined by an unknown method: use a later version of bbc")
    return Method(number)


def pack_tiles(payload: Tiles) -> bytes:
    """Tile size, picture sizes, plan and alpha values."""
    plan = payload.plan
    values = plan.first, plan.width, plan.growth, plan.lanes, plan.density
    alphas = b"".join(write_varint(len(alpha)) + alpha for alpha in payload.alphas)
    return write_varint(payload.tile) + _pack_sizes(payload.sizes) + pack_plan(values, plan) + alphas


def unpack_tiles(reader: Reader, identity: bytes, form: PixelForm, pictures: int) -> Tiles:
    """The inverse of `pack_tiles`, for so many pictures; what comes after is the chain's data."""
    tile = reader.varint(MAX_TILE)
    sizes = _unpack_sizes(reader, pictures)
    if tile < 1:
        raise DamagedArchive("damaged: tiles without pixels")
    count = sum(-(-height // tile) * -(-width // tile) for height, width in sizes)
    plan = unpack_plan(reader, count, *(reader.varint(MAX_IMAGES) for _ in range(5)))
    alphas = [reader.take(reader.varint(MAX_ALPHA_BYTES)) for _ in sizes] if form.has_alpha else []
    return Tiles(identity, form, plan, tile, sizes, alphas, reader.rest())
