"""The small form of the container: one picture, no name, at most 16 bytes beyond its payload.

magic 2 | form, version 1 | pixel form, method 1 | metadata (if flagged) | model id 4 (if there is one) | payload |
pixel check 4 | CRC-32 4
"""

from typing import NamedTuple

from bbcompress.archive.blocks import CRC_BYTES, Form, checked, header
from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.fields import pack_tiles, unpack_tiles
from bbcompress.archive.metadata import pack_metadata, unpack_metadata
from bbcompress.archive.payload import BitsBack, Method, Payload, Stored, Tiles, known_form, known_method
from bbcompress.codec.chain import Plan
from bbcompress.images.metadata import NO_METADATA, Metadata
from bbcompress.varint import Malformed, Reader, write_varint

SHORT_ID_BYTES = 4
"""Bytes of a model's identity; the model found by them is then proved right by the pixel check."""
DIGEST_BYTES = 4
METADATA_FLAG = 8
"""In the byte of the method."""
SINGLE_PLAN = Plan(images=1, first=1, width=1, growth=1, lanes=1, density=1, steps=0)


class Single(NamedTuple):
    """What a file holds."""

    payload: Payload
    digest: bytes
    """The first bytes of `payload.pictures_digest`."""
    metadata: Metadata


def pack_single(payload: Payload, digest: bytes, metadata: Metadata = NO_METADATA) -> bytes:
    """A file with one picture; `digest` is that of `payload.pictures_digest`."""
    form = 0 if isinstance(payload, Stored) else payload.form
    extra = b""
    if metadata != NO_METADATA:
        extra = pack_metadata({0: metadata})
        extra = write_varint(len(extra)) + extra
    body = bytes([form << 4 | (METADATA_FLAG if extra else 0) | payload.method]) + extra
    if not isinstance(payload, Stored):
        body += payload.model_id[:SHORT_ID_BYTES]
    if isinstance(payload, Tiles):
        body += pack_tiles(payload)
    return checked(header(Form.SINGLE) + body + payload.data + digest[:DIGEST_BYTES])


def unpack_single(data: bytes) -> Single:
    """What is in a file whose header was read by `read_form`. Raises an ArchiveError."""
    end = len(data) - CRC_BYTES - DIGEST_BYTES
    if end < 4:
        raise DamagedArchive("damaged or cut short: shorter than any file")
    method, form = known_method(data[3] & 7), data[3] >> 4
    reader = Reader(data[4:end])
    try:
        metadata = NO_METADATA
        if data[3] & METADATA_FLAG:
            metadata = unpack_metadata(reader.take(reader.varint(end)), 1).get(0, NO_METADATA)
        return Single(_payload(reader, method, form), data[end : end + DIGEST_BYTES], metadata)
    except Malformed as error:
        raise DamagedArchive(f"damaged: {error}") from error


def _payload(reader: Reader, method: Method, form: int) -> Payload:
    if method == Method.STORED:
        if form:
            raise DamagedArchive("damaged: reserved bits are set")
        return Stored(reader.rest())
    identity = reader.take(SHORT_ID_BYTES)
    if method == Method.BITS_BACK:
        return BitsBack(identity, known_form(form), SINGLE_PLAN, reader.rest())
    return unpack_tiles(reader, identity, known_form(form), 1)
