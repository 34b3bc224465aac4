"""Compressing one picture or other file into a file of the small form: what is promising is tried in full."""

from typing import NamedTuple

from bbcompress.archive.check import check, within_limits
from bbcompress.archive.choose import (
    Candidate,
    candidates,
    coded_with,
    described,
    estimates,
    is_alone,
    is_large,
    promising,
    shorter_file,
    shorter_stored,
)
from bbcompress.archive.encode import Coded
from bbcompress.archive.options import KEPT, Options, Summary, pixels_of, unfit_model
from bbcompress.archive.payload import Kept, Payload, Stored, pictures_digest
from bbcompress.archive.single import DIGEST_BYTES, pack_single
from bbcompress.codec.registry import Registry
from bbcompress.images import kept, stored
from bbcompress.images.metadata import NO_METADATA
from bbcompress.images.picture import Item, KeptFile, Picture


def compress_single(item: Item, registry: Registry, options: Options) -> tuple[bytes, Summary]:
    """One picture or other file as a file of the small form. Raises UnfitModel where the model that was asked for
    cannot code it."""
    options.progress.total = pixels_of([item])
    if isinstance(item, KeptFile):
        if unfit := unfit_model(item, False, registry, options):
            raise unfit
        options.report(f"{item.name}: kept as a file: {item.reason}")
        way = _Single(KEPT, Kept(kept.encode(item.data), item.name), 0.0)
    else:
        way = _best_single(item, registry, options)
        if isinstance(way.payload, Kept) and item.file:
            item = item.file
    digest = pictures_digest([item])
    check(way.payload, digest, [item], registry, options)
    options.progress.end()
    data = pack_single(way.payload, digest, item.metadata if isinstance(item, Picture) else NO_METADATA)
    summary = Summary.of(way.name, [item], way.net_bits, way.payload)
    summary.total_bytes = len(data)
    return data, summary


class _Single(NamedTuple):
    """One way to code a picture."""

    name: str
    payload: Payload
    net_bits: float

    def size(self, picture: Picture) -> int:
        """Bytes of the file."""
        metadata = NO_METADATA if isinstance(self.payload, Kept) else picture.metadata
        return len(pack_single(self.payload, bytes(DIGEST_BYTES), metadata))


def _best_single(picture: Picture, registry: Registry, options: Options) -> _Single:
    ways = candidates(picture, registry, options.model, options.effort > 1)
    if unfit := unfit_model(picture, bool(ways), registry, options):
        raise unfit
    tried: list[Candidate | None] = [None, *ways]
    if ways and is_alone(picture, ways):
        tried = list(ways)
    elif ways and is_large(picture):
        found = estimates([picture], ways, registry)
        options.report("about " + described(found))
        tried = [way.candidate for way in promising(found)]
    options.progress.begin(pixels_of([picture]), sum(way is not None for way in tried) + options.check)
    # beside the models, of which not all keep every thread busy
    storing = registry.engine.submit(lambda: stored.encode(picture)) if None in tried else None
    chains = [_coded_alone(picture, way, registry, options) for way in tried if way is not None]
    coded = [_Single(one.model, one.payload, float(one.net_bits.sum())) for one in chains]
    coded = [way for way in coded if within_limits(way.payload, [picture], registry)]
    if storing is not None or not coded or (is_alone(picture, ways) and shorter_stored(chains[0], [picture], False)):
        data = storing.result() if storing is not None else stored.encode(picture)
        coded.append(_Single("stored", Stored(data), 8.0 * len(data)))
    if picture.file is not None:
        file = shorter_file(picture, min(way.size(picture) for way in coded))
        if file is not None:
            coded.append(_Single(KEPT, Kept(file, picture.file.name), 0.0))
    sizes = [way.size(picture) for way in coded]
    options.report(", ".join(f"{way.name} {size} bytes" for way, size in zip(coded, sizes, strict=True)))
    return coded[sizes.index(min(sizes))]


def _coded_alone(picture: Picture, way: Candidate, registry: Registry, options: Options) -> Coded:
    steps, method, advance = options.refine_steps, options.refine_method, options.progress.advance
    return coded_with(way, [picture], registry, steps, method, advance, options.effort)
