"""The small form of the container: one picture without a name, at most 10 bytes beyond its payload, or one kept file.

magic 2 | form, version 1 | pixel form, method 1 | metadata (if flagged) | model id 4 or pixel check 4 | payload | CRC 2

A kept file has its name, a varint length and UTF-8, in the place of metadata.
With a model the pixel check is what the payload's stack begins with.
"""

from pathlib import PurePosixPath
from typing import NamedTuple

from bbcompress.archive.blocks import SHORT_CRC_BYTES, Form, checked, header
from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.fields import (
    ONE_PLAN,
    pack_lattice,
    pack_tile,
    pack_tiles,
    unpack_lattice,
    unpack_tile,
    unpack_tiles,
)
from bbcompress.archive.forms import PixelForm
from bbcompress.archive.limits import MAX_SIDE
from bbcompress.archive.metadata import pack_metadata, unpack_metadata
from bbcompress.archive.names import check_name, name_bytes
from bbcompress.archive.payload import BitsBack, Kept, Lattice, Method, Payload, Stored, Tiles, known_form, known_method
from bbcompress.images.header import MODES
from bbcompress.images.metadata import NO_METADATA, Metadata
from bbcompress.varint import Malformed, Reader, write_varint

SHORT_ID_BYTES = 4
"""Bytes of a model's identity; the model found by them is then proved right by the pixel check."""
DIGEST_BYTES = 4
METADATA_FLAG = 8
"""In the byte of the method."""
MAX_NAME_BYTES = 40
"""Of a longer name no more than the suffix is kept, after a *."""
ONE_TILE = 3
"""The method's number for `Tiles` of one tile, with the plan ONE_PLAN."""


class Single(NamedTuple):
    """What a file holds."""

    payload: Payload
    digest: bytes
    """The first bytes of `payload.pictures_digest`; none where only the stack has them."""
    metadata: Metadata


def pack_single(payload: Payload, digest: bytes, metadata: Metadata = NO_METADATA) -> bytes:
    """A file with one picture; `digest` is that of `payload.pictures_digest`."""
    form: int = 0
    if isinstance(payload, Lattice):
        form = MODES[payload.form.mode].code
    elif not isinstance(payload, (Stored, Kept)):
        form = payload.form
    extra = b""
    if isinstance(payload, Kept):
        name = name_bytes(_short_name(payload.name))
        extra = write_varint(len(name)) + name
        metadata = NO_METADATA
    if metadata != NO_METADATA:
        extra = pack_metadata({0: metadata})
        extra = write_varint(len(extra)) + extra
    one_tile = isinstance(payload, Tiles) and payload.plan == ONE_PLAN
    method = ONE_TILE if one_tile else payload.method
    body = bytes([form << 4 | (METADATA_FLAG if metadata != NO_METADATA else 0) | method]) + extra
    if isinstance(payload, (Stored, Kept, Lattice)):
        body += digest[:DIGEST_BYTES]
    else:
        body += payload.model_id[:SHORT_ID_BYTES]
    if isinstance(payload, Lattice):
        ((height, width),) = payload.sizes
        body += pack_lattice(payload, SHORT_ID_BYTES) + write_varint(height) + write_varint(width)
    if isinstance(payload, Tiles):
        body += pack_tile(payload) if one_tile else pack_tiles(payload)
    return checked(header(Form.SINGLE) + body + payload.data, SHORT_CRC_BYTES)


def unpack_single(data: bytes) -> Single:
    """What is in a file whose header was read by `read_form`. Raises an ArchiveError."""
    end = len(data) - SHORT_CRC_BYTES
    if end < 4:
        raise DamagedArchive("damaged or cut short: shorter than any file")
    number, form = data[3] & 7, data[3] >> 4
    if number != ONE_TILE:
        known_method(number)
    reader = Reader(data[4:end])
    try:
        metadata = NO_METADATA
        if data[3] & METADATA_FLAG:
            metadata = unpack_metadata(reader.take(reader.varint(end)), 1).get(0, NO_METADATA)
        if number in (Method.STORED, Method.FILE) and form:
            raise DamagedArchive("damaged: reserved bits are set")
        if number == Method.FILE:
            if data[3] & METADATA_FLAG:
                raise DamagedArchive("damaged: a kept file has no metadata")
            name = _checked_name(reader.take(reader.varint(MAX_NAME_BYTES)))
            digest = reader.take(DIGEST_BYTES)
            return Single(Kept(reader.rest(), name), digest, metadata)
        if number == Method.STORED:
            digest = reader.take(DIGEST_BYTES)
            return Single(Stored(reader.rest()), digest, metadata)
        if number == Method.LATTICE:
            digest = reader.take(DIGEST_BYTES)
            identity, planes = unpack_lattice(reader, form, SHORT_ID_BYTES)
            size = reader.varint(MAX_SIDE), reader.varint(MAX_SIDE)
            if min(size) < 1:
                raise DamagedArchive("damaged: a picture without pixels")
            return Single(Lattice(identity, planes, [size], reader.rest()), digest, metadata)
        return Single(_chain(reader, number, known_form(form)), b"", metadata)
    except Malformed as error:
        raise DamagedArchive(f"damaged: {error}") from error


def _short_name(name: str) -> str:
    """The name, or * and its suffix where that is too much, or nothing where that cannot be kept either."""
    for kept in (name, "*" + PurePosixPath(name).suffix):
        try:
            return _checked_name(name_bytes(kept))
        except (Malformed, UnicodeEncodeError):
            continue
    return ""


def _checked_name(name: bytes) -> str:
    """Without folders; empty where there is none. Raises Malformed."""
    if not name:
        return ""
    text = check_name(name)
    if "/" in text or len(name) > MAX_NAME_BYTES:
        raise Malformed("a kept file's name is too long or has folders")
    return text


def _chain(reader: Reader, number: int, form: PixelForm) -> Payload:
    identity = reader.take(SHORT_ID_BYTES)
    match number:
        case Method.BITS_BACK:
            return BitsBack(identity, form, ONE_PLAN, reader.rest())
        case Method.TILES:
            return unpack_tiles(reader, identity, form, 1)
    return unpack_tile(reader, identity, form)
