"""How chains are described in a file: their plan, and the sizes of pictures that are cut into tiles."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from bbcompress.archive.errors import ArchiveLimit, DamagedArchive, UnsupportedArchive
from bbcompress.archive.forms import PixelForm
from bbcompress.archive.limits import MAX_IMAGES, MAX_SIDE, MAX_TILE
from bbcompress.archive.payload import Lattice, Tiles
from bbcompress.archive.planes import PLANE_MODES, PlanesForm, depths
from bbcompress.codec.chain import Plan
from bbcompress.codec.model import ScaleShifts
from bbcompress.codec.refine import MAX_STEPS, Method
from bbcompress.codec.tiles import Size
from bbcompress.images.header import MODES
from bbcompress.varint import Reader, write_varint

MAX_ALPHA_BYTES = 1 << 31
MAX_SHIFTS = 1 << 10
ZERO_SHIFT = 128
"""The byte of a scale shift of 0."""
CORRECTED = 128
"""Added to the depth of pictures that a network corrects."""
ONE_PLAN = Plan(images=1, first=1, width=1, growth=1, lanes=1, density=1, steps=0)
"""Of a chain of one image, where none is written."""
DIGITS_DENSITY = 4
"""A plan's density where a segment has none (method 1)."""


def pack_plan(values: Iterable[int], plan: Plan) -> bytes:
    """Some values of a plan, then how it refines."""
    out = b"".join(write_varint(value) for value in (*values, plan.steps))
    return out + bytes([plan.method]) if plan.steps else out


def unpack_plan(reader: Reader, images: int, first: int, width: int, growth: int, lanes: int, density: int) -> Plan:
    """A plan of these values, refined as is said next. Raises an ArchiveError where they are out of range."""
    plan = Plan(images, first, width, growth, lanes, density, reader.varint(MAX_IMAGES))
    if plan.steps > MAX_STEPS:
        raise ArchiveLimit(f"{plan.steps} refinement steps are over the limit of {MAX_STEPS}")
    if not 0 < first <= images or min(width, growth, lanes, density) < 1:
        raise DamagedArchive("damaged: a segment's plan is not one that an encoder makes")
    return plan._replace(method=_known_refinement(reader.byte())) if plan.steps else plan


def pack_sizes(sizes: Sequence[Size]) -> bytes:
    """Runs of pictures of one size: their number, height and width."""
    out = b""
    for (height, width), run in groupby(sizes):
        out += write_varint(len(list(run))) + write_varint(height) + write_varint(width)
    return out


def unpack_sizes(reader: Reader, count: int) -> list[Size]:
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


def pack_lattice(payload: Lattice, identity_bytes: int) -> bytes:
    """Depth, and the corrector if there is one."""
    return bytes([payload.form.depth | CORRECTED * bool(payload.model_id)]) + payload.model_id[:identity_bytes]


def unpack_lattice(reader: Reader, mode: int, identity_bytes: int) -> tuple[bytes, PlanesForm]:
    """The inverse of `pack_lattice`, with the number of the pictures' mode."""
    byte = reader.byte()
    form = PlanesForm(next((name for name, layout in MODES.items() if layout.code == mode), ""), byte & ~CORRECTED)
    if form.mode not in PLANE_MODES:
        raise UnsupportedArchive(f"pictures of mode {mode}: use a later version of bbc")
    if form.depth not in depths(form.mode):
        raise DamagedArchive("damaged: values of more or fewer bits than their mode has")
    return reader.take(identity_bytes) if byte & CORRECTED else b"", form


def pack_tiles(payload: Tiles) -> bytes:
    """Tile size, picture sizes and scale shifts, plan and alpha values."""
    plan = payload.plan
    values = plan.first, plan.width, plan.growth, plan.lanes, plan.density
    pictures = pack_sizes(payload.sizes) + _pack_shifts(payload)
    return write_varint(payload.tile) + pictures + pack_plan(values, plan) + _pack_alphas(payload.alphas)


def unpack_tiles(reader: Reader, identity: bytes, form: PixelForm, pictures: int) -> Tiles:
    """The inverse of `pack_tiles`, for so many pictures; what comes after is the chain's data."""
    tile = reader.varint(MAX_TILE)
    sizes = unpack_sizes(reader, pictures)
    if tile < 1:
        raise DamagedArchive("damaged: tiles without pixels")
    shifts = _unpack_shifts(reader, form, pictures)
    count = sum(-(-height // tile) * -(-width // tile) for height, width in sizes)
    plan = unpack_plan(reader, count, *(reader.varint(MAX_IMAGES) for _ in range(5)))
    return Tiles(identity, form, plan, tile, sizes, shifts, _unpack_alphas(reader, form, pictures), reader.rest())


def pack_tile(payload: Tiles) -> bytes:
    """The picture's size, scale shifts and alpha values, of a payload whose plan is ONE_PLAN."""
    ((height, width),) = payload.sizes
    return write_varint(height) + write_varint(width) + _pack_shifts(payload) + _pack_alphas(payload.alphas)


def unpack_tile(reader: Reader, identity: bytes, form: PixelForm) -> Tiles:
    """The inverse of `pack_tile`; what comes after is the chain's data."""
    height, width = reader.varint(MAX_TILE), reader.varint(MAX_TILE)
    if min(height, width) < 1:
        raise DamagedArchive("damaged: a picture without pixels")
    shifts, alphas = _unpack_shifts(reader, form, 1), _unpack_alphas(reader, form, 1)
    return Tiles(identity, form, ONE_PLAN, max(height, width), [(height, width)], shifts, alphas, reader.rest())


def _pack_shifts(payload: Tiles) -> bytes:
    """Runs of pictures with the same scale shifts: their number but for a single picture, how many shifts, these."""
    if payload.form.levels == 2:
        return b""
    out = b""
    for shifts, run in groupby(payload.shifts):
        out += write_varint(len(list(run))) if len(payload.shifts) > 1 else b""
        out += write_varint(len(shifts)) + bytes(shift + ZERO_SHIFT for shift in shifts)
    return out


def _unpack_shifts(reader: Reader, form: PixelForm, pictures: int) -> list[ScaleShifts]:
    if form.levels == 2:
        return [()] * pictures
    found: list[ScaleShifts] = []
    while len(found) < pictures:
        run = reader.varint(pictures - len(found)) if pictures > 1 else 1
        shifts = tuple(byte - ZERO_SHIFT for byte in reader.take(reader.varint(MAX_SHIFTS)))
        if run < 1 or (found and found[-1] == shifts):
            raise DamagedArchive("damaged: runs of pictures that are none, or one")
        found += [shifts] * run
    return found


def _pack_alphas(alphas: Sequence[bytes]) -> bytes:
    return b"".join(write_varint(len(alpha)) + alpha for alpha in alphas)


def _unpack_alphas(reader: Reader, form: PixelForm, pictures: int) -> list[bytes]:
    return [reader.take(reader.varint(MAX_ALPHA_BYTES)) for _ in range(pictures)] if form.has_alpha else []
