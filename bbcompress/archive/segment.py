"""A segment: pictures coded together, independent of all other segments. See docs/FORMAT.md."""

from dataclasses import dataclass

from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.fields import (
    DIGITS_DENSITY,
    pack_lattice,
    pack_plan,
    pack_sizes,
    pack_tiles,
    unpack_lattice,
    unpack_plan,
    unpack_sizes,
    unpack_tiles,
)
from bbcompress.archive.limits import MAX_IMAGES
from bbcompress.archive.numbers import Numbers, numbers_of, pack_runs, runs_of, unpack_runs
from bbcompress.archive.payload import BitsBack, Kept, Lattice, Method, Payload, Stored, Tiles, known_form, known_method
from bbcompress.images.header import MODES
from bbcompress.varint import Malformed, Reader

DIGEST_BYTES = 32
IDENTITY_BYTES = 32


@dataclass(frozen=True)
class Segment:
    """Pictures number `numbers` of the archive, in `payload`'s order, and the SHA-256 of them."""

    numbers: Numbers
    payload: Payload
    digest: bytes


def pack_segment(segment: Segment) -> bytes:
    """A segment block's body."""
    payload = segment.payload
    out = bytes([payload.method]) + pack_runs(runs_of(segment.numbers.tolist())) + segment.digest
    if isinstance(payload, BitsBack):
        plan = payload.plan
        out += payload.model_id + bytes([payload.form])
        out += pack_plan((plan.first, plan.width, plan.growth), plan)
    if isinstance(payload, Tiles):
        out += payload.model_id + bytes([payload.form]) + pack_tiles(payload)
    if isinstance(payload, Lattice):
        out += bytes([MODES[payload.form.mode].code]) + pack_lattice(payload, IDENTITY_BYTES)
        out += pack_sizes(payload.sizes)
    return out + payload.data


def unpack_segment(body: bytes, body_bytes: int | None = None) -> Segment:
    """The inverse of `pack_segment`. Raises an ArchiveError.

    `body` may be the first part of one of `body_bytes`: then the payload's data are cut short.
    """
    reader = Reader(body)
    try:
        method = known_method(reader.byte())
        numbers = numbers_of(unpack_runs(lambda: reader.varint(MAX_IMAGES), body_bytes or len(body)))
        digest = reader.take(DIGEST_BYTES)
        payload: Payload
        if method in (Method.STORED, Method.FILE):
            if len(numbers) != 1:
                raise DamagedArchive("damaged: a segment without a model holds one picture or file")
            payload = Stored(reader.rest()) if method == Method.STORED else Kept(reader.rest())
        elif method == Method.BITS_BACK:
            identity, form = reader.take(IDENTITY_BYTES), known_form(reader.byte())
            first, width, growth = (reader.varint(MAX_IMAGES) for _ in range(3))
            plan = unpack_plan(reader, len(numbers), first, width, growth, width, DIGITS_DENSITY)
            payload = BitsBack(identity, form, plan, reader.rest())
        elif method == Method.LATTICE:
            identity, planes = unpack_lattice(reader, reader.byte(), IDENTITY_BYTES)
            payload = Lattice(identity, planes, unpack_sizes(reader, len(numbers)), reader.rest())
        else:
            identity, form = reader.take(IDENTITY_BYTES), known_form(reader.byte())
            payload = unpack_tiles(reader, identity, form, len(numbers))
    except Malformed as error:
        raise DamagedArchive(f"damaged: {error}") from error
    return Segment(numbers, payload, digest)
