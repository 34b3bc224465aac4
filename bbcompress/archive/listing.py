"""What a file holds, without decoding it: its pictures one by one, and its segments."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from bbcompress.archive.arrays import array_at
from bbcompress.archive.payload import BitsBack, Lattice, Payload, Tiles
from bbcompress.archive.read import ArchiveReader
from bbcompress.codec.registry import Registry
from bbcompress.images.header import Header
from bbcompress.images.place import UNKNOWN, Attributes

SEVERAL = "several"
"""In the place of a method, where pictures of an array are coded in several ways."""
Common = TypeVar("Common")
SCHEMA = 1
"""Of what `bbc info --json` and `bbc list --json` print; see docs/JSON.md."""


class Entry(NamedTuple):
    """A picture or kept file of an archive."""

    number: int
    """From 0 on."""
    name: str | None
    """None where files of the small form have none."""
    header: Header | None
    """Mode, width and height; None of kept files, and where the model that says so is not installed."""
    method: str
    """How it is coded: stored, bits-back, tiles, file (kept as it is) or lattice (coarse to fine)."""
    model: str | None
    """The model's name, where there is one and it is installed."""
    segment: int
    """Which of the archive's segments it is in, from 0 on."""
    bytes: int
    """Its part of the segment's: of what is coded together nobody can say more."""
    attributes: Attributes
    """Permissions and time of its file, as far as they are kept."""
    images: int = 1
    """How many it is, where it is an array (`files`)."""


def entries(archive: ArchiveReader, registry: Registry) -> list[Entry]:
    """All pictures and files, by number. Raises an ArchiveError.

    Of segments only what stands before their payload is read, which the checksums do not cover.
    """
    names, models = archive.names, _model_names(registry)
    attributes = archive.tree.files or [UNKNOWN] * archive.images
    found = []
    for part in archive.parts:
        payload = part.head()[0].payload
        method, model = method_name(payload), _model(payload, models)
        for number, header in zip(part.numbers.tolist(), payload.headers(registry), strict=True):
            name, size = names[number] if names else archive.kept_name, part.size // part.images
            found.append(Entry(number, name, header, method, model, part.place, size, attributes[number]))
    return sorted(found)


def files(archive: ArchiveReader, registry: Registry) -> list[Entry]:
    """The same, with one entry for all pictures of an array: what they have in common, their bytes together, and the
    segment of the first. Raises an ArchiveError."""
    found: list[Entry] = []
    every = entries(archive, registry)
    place = 0
    while place < len(every):
        array = array_at(archive.arrays, every[place].number)
        some = [every[place]]
        if array is not None:
            some = [one for one in every[place : place + array.file.pictures] if one.number in array.numbers]
        place += len(some)
        if array is not None:
            some[0] = some[0]._replace(
                name=array.name,
                header=_common(one.header for one in some),
                method=_common(one.method for one in some) or SEVERAL,
                model=_common(one.model for one in some),
                bytes=sum(one.bytes for one in some),
                images=len(some),
            )
        found.append(some[0])
    return found


def _common(values: Iterable[Common | None]) -> Common | None:
    """The one that all are, or None."""
    first, *others = values
    return first if all(other == first for other in others) else None


def listed(entry: Entry) -> dict[str, Any]:
    """An entry as docs/JSON.md has it."""
    mode, width, height = entry.header or (None, None, None)
    return {
        "number": entry.number,
        "name": entry.name,
        "mode": mode,
        "width": width,
        "height": height,
        "method": entry.method,
        "model": entry.model,
        "segment": entry.segment,
        "bytes": entry.bytes,
        "permissions": entry.attributes.mode,
        "mtime_ns": entry.attributes.mtime_ns,
        "images": entry.images,
    }


def described(archive: ArchiveReader, registry: Registry) -> dict[str, Any]:
    """The file and its segments as docs/JSON.md has them. Raises an ArchiveError."""
    models = _model_names(registry)
    return {
        "schema": SCHEMA,
        "format_version": 1,
        "form": archive.form.name.lower(),
        "bytes": archive.size,
        "images": archive.images,
        "images_with_metadata": len(archive.metadata) - len(archive.arrays),
        "arrays": len(archive.arrays),
        "segments": list(_segments(archive, models)),
    }


def method_name(payload: Payload) -> str:
    """The method as people call it."""
    return payload.method.name.lower().replace("_", "-")


def _segments(archive: ArchiveReader, models: dict[bytes, str]) -> Iterator[dict[str, Any]]:
    for part in archive.parts:
        segment, payload_bytes = part.head()
        payload = segment.payload
        plan = payload.plan if isinstance(payload, (BitsBack, Tiles)) else None
        identity = payload.model_id if isinstance(payload, (BitsBack, Tiles, Lattice)) else b""
        yield {
            "segment": part.place,
            "offset": part.offset,
            "bytes": part.size,
            "images": part.images,
            "method": method_name(payload),
            "model": _model(payload, models),
            "model_id": identity.hex() or None,
            "payload_bytes": payload_bytes,
            "refine_steps": plan.steps if plan else 0,
            "refine_method": plan.method.name.lower() if plan and plan.steps else None,
            "lanes": plan.lanes if plan else None,
        }


def _model_names(registry: Registry) -> dict[bytes, str]:
    return {header.identity: header.info.name for _, header in registry.headers()}


def _model(payload: Payload, models: dict[bytes, str]) -> str | None:
    identity = payload.model_id if isinstance(payload, (BitsBack, Tiles, Lattice)) else b""
    return next((name for known, name in models.items() if identity and known.startswith(identity)), None)
