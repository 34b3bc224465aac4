"""The small form of the container: one picture, no name, at most 16 bytes beyond its payload.

magic 2 | form, version 1 | pixel form, method 1 | model id 4 (bits-back only) | payload | pixel check 4 | CRC-32 4
"""

from bbcompress.archive.blocks import CRC_BYTES, Form, checked, header
from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.fields import pack_tiles, unpack_tiles
from bbcompress.archive.payload import BitsBack, Method, Payload, Stored, Tiles, known_form, known_method
from bbcompress.codec.chain import Plan
from bbcompress.varint import Malformed, Reader

SHORT_ID_BYTES = 4
"""Bytes of a model's identity; the model found by them is then proved right by the pixel check."""
DIGEST_BYTES = 4
SINGLE_PLAN = Plan(images=1, first=1, width=1, growth=1, lanes=1, density=1, steps=0)


def pack_single(payload: Payload, digest: bytes) -> bytes:
    """A file with one picture; `digest` is that of `payload.pictures_digest`."""
    if isinstance(payload, Stored):
        body = bytes([payload.method]) + payload.data
    else:
        body = bytes([payload.form << 4 | payload.method]) + payload.model_id[:SHORT_ID_BYTES]
        body += (pack_tiles(payload) if isinstance(payload, Tiles) else b"") + payload.data
    return checked(header(Form.SINGLE) + body + digest[:DIGEST_BYTES])


def unpack_single(data: bytes) -> tuple[Payload, bytes]:
    """The payload and digest of a file whose header was read by `read_form`."""
    end = len(data) - CRC_BYTES - DIGEST_BYTES
    if end < 4:
        raise DamagedArchive("damaged or cut short: shorter than any file")
    digest = data[end : end + DIGEST_BYTES]
    method = known_method(data[3] & 15)
    if method == Method.STORED:
        if data[3] >> 4:
            raise DamagedArchive("damaged: reserved bits are set")
        return Stored(data[4:end]), digest
    start = 4 + SHORT_ID_BYTES
    if end < start:
        raise DamagedArchive("damaged or cut short: shorter than any file")
    identity, form = data[4:start], known_form(data[3] >> 4)
    if method == Method.BITS_BACK:
        return BitsBack(identity, form, SINGLE_PLAN, data[start:end]), digest
    try:
        return unpack_tiles(Reader(data[start:end]), identity, form, 1), digest
    except Malformed as error:
        raise DamagedArchive(f"damaged: {error}") from error
