"""Coding pictures with one model: how chains, tiles and lanes are laid out for them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.archive.forms import PixelForm, alpha_of, to_pixels
from bbcompress.archive.payload import BitsBack, Lattice, Subpixels, Tiles, bottom_of, pictures_digest
from bbcompress.archive.planes import PlanesForm, groups, to_planes
from bbcompress.codec import chain, lattice_encoder, scale_shifts, tiles
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.dense import DenseModel
from bbcompress.codec.fit import THOROUGH, Effort
from bbcompress.codec.model import Pixels, ScaleShifts
from bbcompress.codec.model_file import ChainModel
from bbcompress.codec.refine import Method
from bbcompress.codec.spatial import SpatialModel
from bbcompress.exact.engine import Engine
from bbcompress.images import stored
from bbcompress.images.header import MODES
from bbcompress.images.picture import Picture
from bbcompress.progress import Advance, ignore
from bbcompress.varint import write_varint

MAX_CHAIN_WIDTH = 128
"""Wider chains are faster, and cost about 5 bits a lane once."""
IMAGES_PER_LANE = 8
TILE = 128
"""Largest height and width of a tile."""
BATCH_PIXELS = 8 * TILE * TILE
"""Of tiles coded together."""
MAX_TILE_LANES = 1024
SUBPIXEL_BITS = {2: 1 / 8, 256: 4.0}
"""What a subpixel takes, roughly, by its levels."""
TILE_BITS_PER_LANE = 256
"""A lane takes 32 bits; this many of each tile leave several times as much."""
CHAIN_BITS_PER_LANE = 16384
"""Of the whole chain, as a lane costs about 5 bits once."""
OWN_SHIFTS_SUBPIXELS = 1 << 16
"""An image of as many has scale shifts of its own."""


PREDICTORS = "predictors"
"""What codes pictures where no model does."""


class Coded(NamedTuple):
    """Pictures that are coded together."""

    model: str
    payload: BitsBack | Tiles | Lattice
    net_bits: NDArray[np.float64]
    """Of each picture."""


def encode(
    model: ChainModel,
    pictures: Sequence[Picture],
    form: PixelForm,
    steps: int = 0,
    method: Method = Method.NATURAL,
    fitted: bool = True,
    advance: Advance = ignore,
) -> Coded:
    """Pictures that all have this form under `model`, refined by K = `steps`; with the scale shifts that are worth it
    unless not `fitted`."""

    def subpixels_done(count: int) -> None:
        advance(count // form.channels)

    pixels = [to_pixels(picture, form) for picture in pictures]
    name, bottom = model.info.name, bottom_of(pictures_digest(pictures))
    if isinstance(model, DenseModel):
        width = min(1 << (len(pixels) // IMAGES_PER_LANE).bit_length(), MAX_CHAIN_WIDTH)
        rows = np.stack(pixels).reshape(len(pixels), -1)
        encoded = chain.encode(
            [chain.Group(model, rows)], chain.Layout(width, width), steps, method, bottom, subpixels_done
        )
        return Coded(name, BitsBack(model.identity, form, encoded.plan, encoded.data), encoded.net_bits)
    sizes = [(picture.height, picture.width) for picture in pictures]
    shifts = _shifts_for(model, pixels) if fitted else [()] * len(pixels)
    tiling = tiles.tiling(sizes, TILE, shifts)
    cut = _cut(model, pixels, tiling)
    count = sum(len(group.tiles) for group in tiling)
    bits = int(SUBPIXEL_BITS[form.levels] * sum(part.size for part in pixels))
    density = max(1, bits // (count * TILE_BITS_PER_LANE))
    lanes = min(MAX_TILE_LANES, max(1, bits // CHAIN_BITS_PER_LANE))
    width = BATCH_PIXELS // max(group.size[0] * group.size[1] for group in tiling)
    encoded = chain.encode(cut, chain.Layout(width, lanes, density), steps, method, bottom, subpixels_done)
    net_bits = _by_image(tiling, encoded.net_bits, len(pictures))
    planes = [plane for picture in pictures if (plane := alpha_of(picture, form)) is not None]
    alphas = [stored.encode(plane) for plane in planes]
    if alphas:
        net_bits += 8.0 * np.array([len(alpha) for alpha in alphas])
    return Coded(name, Tiles(model.identity, form, encoded.plan, TILE, sizes, shifts, alphas, encoded.data), net_bits)


def estimate(model: ChainModel, pictures: Sequence[Picture], form: PixelForm) -> NDArray[np.float64]:
    """Net bits that pictures, which all have this form, take somewhere in a long chain; the form has no alpha."""
    pixels = [to_pixels(picture, form) for picture in pictures]
    if isinstance(model, DenseModel):
        return chain.estimate([chain.Group(model, np.stack(pixels).reshape(len(pixels), -1))], MAX_CHAIN_WIDTH)
    sizes = [(picture.height, picture.width) for picture in pictures]
    tiling = tiles.tiling(sizes, TILE, [()] * len(sizes))
    width = BATCH_PIXELS // max(group.size[0] * group.size[1] for group in tiling)
    return _by_image(tiling, chain.estimate(_cut(model, pixels, tiling), width), len(pictures))


def _cut(model: SpatialModel, pixels: Sequence[Pixels], tiling: Sequence[tiles.TileGroup]) -> list[chain.Group]:
    return [
        chain.Group(model.sized(*group.size, group.shifts), part)
        for group, part in zip(tiling, tiles.cut(pixels, tiling), strict=True)
    ]


def _by_image(tiling: Sequence[tiles.TileGroup], bits: NDArray[np.float64], images: int) -> NDArray[np.float64]:
    """The sums of what tiles take."""
    sums = np.zeros(images)
    np.add.at(sums, [tile.image for group in tiling for tile in group.tiles], bits)
    return sums


def encode_planes(
    model: CorrectorModel | None,
    pictures: Sequence[Picture],
    form: PlanesForm,
    engine: Engine,
    advance: Advance = ignore,
    effort: Effort = THOROUGH,
) -> Coded:
    """Pictures that all have this form, coded coarse to fine by predictors that `model` corrects, if there is one."""
    sizes = [(picture.height, picture.width) for picture in pictures]
    done = Subpixels(MODES[form.mode].channels, advance)
    colours, alphas = to_planes(pictures, form)
    corrector = model.corrector if model else None
    batches = [lattice_encoder.encode(colours, form.depth, corrector, engine, done, effort)]
    if alphas:
        batches.append(lattice_encoder.encode(alphas, form.depth, None, engine, done, effort))
    data = batches[0].data
    if alphas:
        data = write_varint(len(data)) + data + batches[1].data
    name = model.info.name if model else PREDICTORS
    net_bits = _by_picture(sizes, [batch.bits for batch in batches])
    return Coded(name, Lattice(model.identity if model else b"", form, sizes, data), net_bits)


def estimate_planes(
    model: CorrectorModel | None, pictures: Sequence[Picture], form: PlanesForm, engine: Engine
) -> NDArray[np.float64]:
    """Net bits that pictures take so, roughly, without what a file can say of them."""
    corrector = model.corrector if model else None
    colours, alphas = to_planes(pictures, form)
    batches = [lattice_encoder.estimate(colours, form.depth, corrector, engine)]
    if alphas:
        batches.append(lattice_encoder.estimate(alphas, form.depth, None, engine))
    return _by_picture([(picture.height, picture.width) for picture in pictures], batches)


def _by_picture(
    sizes: Sequence[tuple[int, int]], batches: Sequence[Sequence[NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """The sums of what batches of the same groups of pictures take."""
    net_bits = np.zeros(len(sizes))
    for batch in batches:
        for bits, numbers in zip(batch, groups(sizes).values(), strict=True):
            net_bits[numbers] += bits
    return net_bits


def _shifts_for(model: SpatialModel, images: Sequence[Pixels]) -> list[ScaleShifts]:
    """Scale shifts of each of the images (H, W, C): a large one has its own, the others share theirs."""
    shared = [image for image in images if image.size < OWN_SHIFTS_SUBPIXELS]
    found = scale_shifts.worthwhile
    of_shared = found(model, shared)
    return [of_shared if image.size < OWN_SHIFTS_SUBPIXELS else found(model, [image]) for image in images]
