"""What a segment holds: pictures coded by one method. A method's number means the same coding forever."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from bbcompress.archive.errors import ArchiveLimit, DamagedArchive, MissingModel, UnsupportedArchive
from bbcompress.archive.forms import PixelForm, to_picture
from bbcompress.codec import chain
from bbcompress.codec.registry import ModelNotFound, Registry
from bbcompress.images import stored
from bbcompress.images.errors import DamagedImage, ImageError, LimitExceeded
from bbcompress.images.picture import Picture, digest

MAX_BATCH_SUBPIXELS = 1 << 23
"""A reader's limit on what one batch of a chain decodes to, as memory is some 80 times that; the encoder keeps to it
with every model."""


class Method(IntEnum):
    """How a segment's pictures are coded. The number fixes the numerics too (`bbcompress.exact`)."""

    STORED = 0
    BITS_BACK = 1


@dataclass(frozen=True)
class Stored:
    """One picture, coded without a model (`bbcompress.images.stored`)."""

    data: bytes

    method = Method.STORED

    def decode(self, registry: Registry, limit_pixels: int) -> list[Picture]:
        try:
            return [stored.decode(self.data, limit_pixels=limit_pixels)]
        except LimitExceeded as error:
            raise ArchiveLimit(str(error)) from error
        except ImageError as error:  # this Pillow lacks WebP
            raise UnsupportedArchive(str(error)) from error
        except DamagedImage as error:
            raise DamagedArchive(f"damaged: {error}") from error


@dataclass(frozen=True)
class BitsBack:
    """A chain of pictures of one form, coded with the model whose identity begins with `model_id`."""

    model_id: bytes
    form: PixelForm
    plan: chain.Plan
    data: bytes

    method = Method.BITS_BACK

    def decode(self, registry: Registry, limit_pixels: int) -> list[Picture]:
        try:
            model = registry.by_identity(self.model_id)
        except ModelNotFound as error:
            raise MissingModel(str(error)) from error
        if self.plan.images * model.info.height * model.info.width > limit_pixels:
            raise ArchiveLimit(f"a segment holds more than {limit_pixels} pixels")
        if min(self.plan.images, self.plan.width) * model.info.subpixels > MAX_BATCH_SUBPIXELS:
            raise ArchiveLimit(f"a batch holds more than {MAX_BATCH_SUBPIXELS} subpixels")
        if model.info.channels != 1 or model.info.levels != (256 if self.form == PixelForm.GREY else 2):
            raise DamagedArchive("damaged: the model cannot code pictures of this form")
        try:
            pixels = chain.decode(model, self.plan, self.data)
        except chain.DamagedChain as error:
            raise DamagedArchive(f"damaged: {error}") from error
        return [to_picture(row, self.form, model.info) for row in pixels]


Payload = Stored | BitsBack


def pictures_digest(pictures: Iterable[Picture]) -> bytes:
    """SHA-256 over the SHA-256 of each picture (mode, size, palette, transparency and pixels)."""
    whole = hashlib.sha256()
    for picture in pictures:
        whole.update(digest(picture))
    return whole.digest()


def decode_checked(payload: Payload, expected: bytes, registry: Registry, limit_pixels: int) -> Sequence[Picture]:
    """The pictures, if their digest begins with `expected`. Raises an ArchiveError."""
    pictures = payload.decode(registry, limit_pixels)
    if pictures_digest(pictures)[: len(expected)] != expected:
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
