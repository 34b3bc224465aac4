"""What a segment holds: pictures coded by one method. A method's number means the same coding forever."""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import repeat
from typing import NamedTuple

from bbcompress.archive.errors import ArchiveLimit, DamagedArchive, MissingModel, UnsupportedArchive
from bbcompress.archive.forms import PixelForm, to_picture
from bbcompress.archive.limits import (
    CALL_WORK,
    require_chain,
    require_chain_images,
    require_images,
    require_pixels,
    require_work,
)
from bbcompress.archive.planes import PlanesForm, Size, shapes, to_pictures
from bbcompress.codec import chain, lattice_decoder, lattice_walk, tiles
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.dense import DenseInfo, DenseModel
from bbcompress.codec.model import ScaleShifts, SizedModel
from bbcompress.codec.model_file import Model
from bbcompress.codec.registry import ModelNotFound, Registry
from bbcompress.codec.spatial import SpatialModel
from bbcompress.coding.rans import LOWER_BOUND
from bbcompress.images import kept, stored
from bbcompress.images.errors import DamagedImage, ImageError, LimitExceeded
from bbcompress.images.header import MODES, Header
from bbcompress.images.picture import Item, KeptFile, Picture, digest
from bbcompress.progress import Advance, ignore
from bbcompress.varint import Malformed, Reader


class Pictures(NamedTuple):
    """What a payload decodes to."""

    pictures: Sequence[Item]
    bottom: int | None = None
    """What a chain's stack began with (`bbcompress.coding.rans`): `bottom_of` their digest."""


class Method(IntEnum):
    """How a segment's pictures are coded. The number fixes the numerics too (`bbcompress.exact`)."""

    STORED = 0
    BITS_BACK = 1
    TILES = 2
    FILE = 4
    LATTICE = 5
    """3 is what files of the small form call `TILES` of one tile."""


@dataclass(frozen=True)
class Stored:
    """One picture, coded without a model (`bbcompress.images.stored`)."""

    data: bytes

    method = Method.STORED

    def followed_pixels(self, registry: Registry) -> int:
        """How many pixels `decode` will tell `advance` of: a general method does not say how far it is."""
        return 0

    def headers(self, registry: Registry) -> Sequence[Header | None]:
        """Mode and size of each picture, by the first bytes of the data alone; None where they are not known."""
        try:
            return [Header.unpack(Reader(self.data[1:]), max_pixels=sys.maxsize)]
        except Malformed as error:
            raise DamagedArchive(f"damaged: {error}") from error

    def decode(self, registry: Registry, max_pixels: int, advance: Advance = ignore) -> "Pictures":
        try:
            return Pictures([stored.decode(self.data, max_pixels=max_pixels)])
        except LimitExceeded as error:
            raise ArchiveLimit(str(error)) from error
        except ImageError as error:  # this Pillow lacks WebP
            raise UnsupportedArchive(str(error)) from error
        except DamagedImage as error:
            raise DamagedArchive(f"damaged: {error}") from error


@dataclass(frozen=True)
class Kept:
    """One file, kept byte for byte (`bbcompress.images.kept`)."""

    data: bytes
    name: str = ""
    """Without folders; in the small form only."""

    method = Method.FILE

    def followed_pixels(self, registry: Registry) -> int:
        return 0

    def headers(self, registry: Registry) -> Sequence[Header | None]:
        return [None]

    def decode(self, registry: Registry, max_pixels: int, advance: Advance = ignore) -> "Pictures":
        try:
            data = kept.decode(self.data)
        except LimitExceeded as error:
            raise ArchiveLimit(str(error)) from error
        except DamagedImage as error:
            raise DamagedArchive(f"damaged: {error}") from error
        return Pictures([KeptFile(data, self.name)])


@dataclass(frozen=True)
class BitsBack:
    """A chain of pictures of one form, all of the size of the model whose identity begins with `model_id`."""

    model_id: bytes
    form: PixelForm
    plan: chain.Plan
    data: bytes

    method = Method.BITS_BACK

    def followed_pixels(self, registry: Registry) -> int:
        info = registry.info_of(self.model_id)
        return self.plan.images * info.height * info.width if isinstance(info, DenseInfo) else 0

    def headers(self, registry: Registry) -> Sequence[Header | None]:
        info = registry.info_of(self.model_id)
        header = Header(self.form.mode, info.width, info.height) if isinstance(info, DenseInfo) else None
        return [header] * self.plan.images

    def decode(self, registry: Registry, max_pixels: int, advance: Advance = ignore) -> "Pictures":
        model = self.checked_model(registry, max_pixels)
        size = model.info.height, model.info.width
        (rows,), bottom = _decode_chain([(model, self.plan.images)], self.plan, self.data, self.form, advance)
        return Pictures([to_picture(row.reshape(*size, 1), self.form) for row in rows], bottom)

    def checked_model(self, registry: Registry, max_pixels: int) -> DenseModel:
        """The model, if the chain fits it and asks for no more than it may. Raises an ArchiveError."""
        model = _model(registry, self.model_id, self.form)
        if not isinstance(model, DenseModel):
            raise DamagedArchive("damaged: the model has no size, and the segment names none")
        require_chain_images(self.plan.images, len(self.data))
        require_pixels(self.plan.images * model.info.height * model.info.width, max_pixels)
        require_chain([(self.plan.images, model.subpixels)], self.plan, len(self.data), max_pixels)
        return model


@dataclass(frozen=True)
class Tiles:
    """A chain of the tiles of pictures of one form and any sizes, coded with a model of any size."""

    model_id: bytes
    form: PixelForm
    plan: chain.Plan
    tile: int
    """Largest height and width of a tile."""
    sizes: Sequence[tiles.Size]
    """Of each picture."""
    shifts: Sequence[ScaleShifts]
    """Of each picture."""
    alphas: Sequence[bytes]
    """Each picture's alpha values as a stored grey picture, where the form has alpha."""
    data: bytes

    method = Method.TILES

    def followed_pixels(self, registry: Registry) -> int:
        return sum(height * width for height, width in self.sizes)

    def headers(self, registry: Registry) -> Sequence[Header | None]:
        return [Header(self.form.mode, width, height) for height, width in self.sizes]

    def decode(self, registry: Registry, max_pixels: int, advance: Advance = ignore) -> "Pictures":
        model = self.checked_model(registry, max_pixels)
        groups = tiles.tiling(self.sizes, self.tile, self.shifts)
        models = [(model.sized(*group.size, group.shifts), len(group.tiles)) for group in groups]
        alphas = [self._alpha(number, registry) for number in range(len(self.alphas))] or repeat(None)
        parts, bottom = _decode_chain(models, self.plan, self.data, self.form, advance)
        images = tiles.join(parts, groups, self.sizes, self.form.channels)
        pictures = [to_picture(image, self.form, alpha) for image, alpha in zip(images, alphas, strict=False)]
        return Pictures(pictures, bottom)

    def checked_model(self, registry: Registry, max_pixels: int) -> SpatialModel:
        """The model, if the chain fits it and asks for no more than it may. Raises an ArchiveError."""
        model = _model(registry, self.model_id, self.form)
        if not isinstance(model, SpatialModel):
            raise DamagedArchive("damaged: the model has a size of its own")
        if not {len(shifts) for shifts in self.shifts} <= {0, model.shifts}:
            raise DamagedArchive("damaged: other scale shifts than the model has")
        require_pixels(sum(height * width for height, width in self.sizes), max_pixels)
        require_chain_images(self.plan.images, len(self.data))
        groups = tiles.tiling(self.sizes, self.tile, self.shifts)
        counts = [(len(group.tiles), group.size[0] * group.size[1] * self.form.channels) for group in groups]
        require_chain(counts, self.plan, len(self.data), max_pixels)
        return model

    def _alpha(self, number: int, registry: Registry) -> Picture:
        height, width = self.sizes[number]
        (picture,) = Stored(self.alphas[number]).decode(registry, height * width).pictures
        if not isinstance(picture, Picture) or picture.header != ("L", width, height):
            raise DamagedArchive("damaged: alpha values of another size than their picture")
        return picture


@dataclass(frozen=True)
class Lattice:
    """Pictures of one form and any sizes, coded coarse to fine (`bbcompress.codec.lattice_encoder`)."""

    model_id: bytes
    """How the corrector's identity begins; empty where predictors are alone."""
    form: PlanesForm
    sizes: Sequence[Size]
    """Of each picture."""
    data: bytes
    """The colours' batch; where there is alpha, its length, the colours' and alpha's."""

    method = Method.LATTICE

    def followed_pixels(self, registry: Registry) -> int:
        return sum(height * width for height, width in self.sizes)

    def headers(self, registry: Registry) -> Sequence[Header | None]:
        return [Header(self.form.mode, width, height) for height, width in self.sizes]

    def decode(self, registry: Registry, max_pixels: int, advance: Advance = ignore) -> "Pictures":
        model = self.checked_model(registry, max_pixels)
        channels, batches = MODES[self.form.mode].channels, [self.data]
        try:
            if self.form.has_alpha:
                reader = Reader(self.data)
                batches = [reader.take(reader.varint(len(self.data))), reader.rest()]
            done = Subpixels(channels, advance)
            colours, *alphas = (
                lattice_decoder.decode(
                    batch, shapes(self.sizes), of_batch, self.form.depth, corrector, registry.engine, done
                )
                for batch, of_batch, corrector in zip(
                    batches, (self.form.colours, 1), (model.corrector if model else None, None), strict=False
                )
            )
            return Pictures(to_pictures(colours, alphas[0] if alphas else [], self.form, self.sizes))
        except (chain.DamagedChain, Malformed) as error:
            raise DamagedArchive(f"damaged: {error}") from error

    def checked_model(self, registry: Registry, max_pixels: int) -> CorrectorModel | None:
        """The model, if it fits and no more is asked for than may be. Raises an ArchiveError."""
        pixels = sum(height * width for height, width in self.sizes)
        require_pixels(pixels, max_pixels)
        require_images(len(self.sizes), len(self.data))
        calls = lattice_walk.parts(shapes(self.sizes), MODES[self.form.mode].channels)
        work = pixels * MODES[self.form.mode].channels + CALL_WORK * calls
        require_work(work, len(self.data), max_pixels)
        if not self.model_id:
            return None
        model = _found(registry, self.model_id)
        kind = self.form.colours, self.form.levels
        if not isinstance(model, CorrectorModel) or (model.info.channels, model.info.levels) != kind:
            raise DamagedArchive("damaged: the model cannot correct pictures of this form")
        return model


class Subpixels:
    """Tells of pixels, given subpixels of so many channels."""

    def __init__(self, channels: int, advance: Advance):
        self._channels, self._advance, self._left = channels, advance, 0

    def __call__(self, count: int) -> None:
        self._left += count
        self._advance(self._left // self._channels)
        self._left %= self._channels


Payload = Stored | Kept | BitsBack | Tiles | Lattice


def _found(registry: Registry, identity: bytes) -> Model:
    try:
        return registry.by_identity(identity)
    except ModelNotFound as error:
        raise MissingModel(str(error)) from error


def _model(registry: Registry, identity: bytes, form: PixelForm) -> Model:
    model = _found(registry, identity)
    if (model.info.channels, model.info.levels) != (form.channels, form.levels):
        raise DamagedArchive("damaged: the model cannot code pictures of this form")
    return model


def _decode_chain(
    models: Sequence[tuple[SizedModel, int]], plan: chain.Plan, data: bytes, form: PixelForm, advance: Advance
) -> chain.DecodedChain:
    try:
        return chain.decode(models, plan, data, lambda subpixels: advance(subpixels // form.channels))
    except chain.DamagedChain as error:
        raise DamagedArchive(f"damaged: {error}") from error


def pictures_digest(pictures: Iterable[Item]) -> bytes:
    """SHA-256 over the SHA-256 of each picture (mode, size and pixels) or kept file."""
    whole = hashlib.sha256()
    for picture in pictures:
        whole.update(digest(picture))
    return whole.digest()


def bottom_of(digest: bytes) -> int:
    """What the stack of a chain of pictures begins with, for `pictures_digest` of them: a head with 31 bits of it.

    Random bits are as good as any to pop for the first posteriors, and these check the chain.
    """
    return LOWER_BOUND | int.from_bytes(digest[:4], "big")


def decode_checked(
    payload: Payload, expected: bytes, registry: Registry, max_pixels: int, advance: Advance = ignore
) -> Sequence[Item]:
    """The pictures, if their digest begins with `expected`, and is what a stack began with. Raises an ArchiveError."""
    pictures, bottom = payload.decode(registry, max_pixels, advance)
    digest = pictures_digest(pictures)
    if bottom not in (None, bottom_of(digest)) or not digest.startswith(expected):
        raise DamagedArchive("damaged: the decoded pixels are not those that were compressed")
    return pictures


def known_method(number: int) -> Method:
    """The method of this number. Raises UnsupportedArchive."""
    if number not in set(Method):
        raise UnsupportedArchive(f"coded with method {number}: use a later version of bbc")
    return Method(number)


def known_form(number: int) -> PixelForm:
    """The form of this number. Raises UnsupportedArchive."""
    if number not in set(PixelForm):
        raise UnsupportedArchive(f"pictures of form {number}: use a later version of bbc")
    return PixelForm(number)
