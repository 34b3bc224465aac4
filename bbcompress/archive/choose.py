"""Choosing how to code pictures: by estimates from a few crops, so that most ways need not be tried in full."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.archive.encode import PREDICTORS, Coded, encode, encode_planes, estimate, estimate_planes
from bbcompress.archive.forms import PixelForm, form_for
from bbcompress.archive.planes import PlanesForm, planes_form
from bbcompress.codec.corrector_file import CorrectorInfo, CorrectorModel
from bbcompress.codec.fit import QUICK, THOROUGH
from bbcompress.codec.refine import Method as RefineMethod
from bbcompress.codec.registry import Registry
from bbcompress.images import kept, planes, stored
from bbcompress.images.metadata import NO_METADATA
from bbcompress.images.picture import Picture
from bbcompress.progress import Advance, ignore

SAMPLE_CROPS = 32
"""Crops, or whole small images, of a group by which models are compared with each other. The first few of a chain are
in two parts, which says little of how a model does with many."""
TRIAL_CROPS = 8
"""Of these, that rule out what takes NEAR times as much as the best, so that it need not be estimated by all."""
NEAR = 1.05
CROPS_PER_SIDE = 2
"""Crops of a large picture, down and across."""
CROP_SIDE = 64
PROMISING = 1.1
"""What is estimated to take this many times as much as another way need not be tried."""
STORED_SEGMENT_BYTES = 46
"""What an archive pays for a stored picture beyond its payload."""
CHAIN_SEGMENT_BYTES = 80
"""What it pays for a chain beyond its payload."""
STORED_BYTES_PER_CHANGE = 0.9
"""Storing a digit takes about 1.25 bytes for each pixel unlike the one before it, and seldom less than this."""
STORED_GAIN = 0.005
"""Part of a chain that storing some pictures must save: the others are then coded anew."""

QUICK_BYTES = 1 << 16
"""Of a file, by which it is estimated what keeping it takes."""
QUICK_GAIN = 0.7
"""Part of the quick coding that a slow one leaves, at best."""

CHAIN_PIXELS = 1 << 16
"""Larger pictures that a network corrects are coded so only, and each by itself: its own predictors are worth it."""


class Candidate(NamedTuple):
    """A model's file and the form in which it can code a picture; None for predictors alone."""

    model: Path | None
    form: PixelForm | PlanesForm


class Estimate(NamedTuple):
    """What a candidate, or storing (None), would take."""

    candidate: Candidate | None
    name: str
    bits_per_dim: float


def candidates(picture: Picture, registry: Registry, only: Path | None, networks: bool = True) -> tuple[Candidate, ...]:
    """All ways to code `picture`, or the model in the file `only` if it can; without `networks`, predictors alone.
    Models for small pictures are left out for larger ones."""
    headers = [pair for pair in registry.headers() if only in (None, pair[0])] if networks else []
    found: list[Candidate] = []
    for path, header in headers:
        if isinstance(header.info, CorrectorInfo):
            planes = planes_form(picture, header.info.levels)
            most = header.info.most_pixels if only is None else None
            fits = most is None or picture.height * picture.width <= most
            if planes is not None and fits and header.info.channels == planes.colours and registry.loads(path):
                found.append(Candidate(path, planes))
    alone = planes_form(picture)
    if alone is not None and only is None and not found:
        found.append(Candidate(None, alone))
    if any(way.model for way in found) and _is_beyond_chains(picture):
        return tuple(found)
    for path, header in headers:
        form = None if isinstance(header.info, CorrectorInfo) else form_for(picture, header.info)
        if form is not None and registry.loads(path):
            found.append(Candidate(path, form))
    return tuple(found)


def is_alone(picture: Picture, ways: Sequence[Candidate]) -> bool:
    """Whether a picture is coded by itself, and coarse to fine."""
    return _is_beyond_chains(picture) and bool(ways) and all(isinstance(way.form, PlanesForm) for way in ways)


def _is_beyond_chains(picture: Picture) -> bool:
    return picture.height * picture.width > CHAIN_PIXELS


def coded_with(
    way: Candidate,
    pictures: Sequence[Picture],
    registry: Registry,
    steps: int = 0,
    method: RefineMethod = RefineMethod.NATURAL,
    advance: Advance = ignore,
    effort: int = 2,
) -> Coded:
    """Pictures that can all be coded in this way."""
    model = None if way.model is None else registry.load(way.model)
    if isinstance(way.form, PlanesForm):
        assert model is None or isinstance(model, CorrectorModel)
        care = QUICK if effort == 1 else THOROUGH
        return encode_planes(model, pictures, way.form, registry.engine, advance, care)
    assert model is not None and not isinstance(model, CorrectorModel)
    return encode(model, pictures, way.form, steps, method, advance=advance)


def is_large(picture: Picture) -> bool:
    """Whether a few crops are much less than all of it."""
    return picture.height * picture.width > 2 * (CROPS_PER_SIDE * CROP_SIDE) ** 2


def estimates(pictures: Sequence[Picture], ways: Sequence[Candidate], registry: Registry) -> list[Estimate]:
    """Every way and storing, the best first. Of several pictures a way leaves to storing those that are better so."""
    images = SAMPLE_CROPS // CROPS_PER_SIDE**2 if any(map(is_large, pictures)) else SAMPLE_CROPS
    sample = [crop for picture in pictures[:: -(-len(pictures) // images)] for crop in _crops(picture)]
    few, alone = len(pictures) <= SAMPLE_CROPS, len(pictures) == 1  # few: how a chain begins counts
    if few or len(sample) <= TRIAL_CROPS:
        return _compared([None, *ways], sample, registry, few, alone)
    found = _compared([None, *ways], sample[:: -(-len(sample) // TRIAL_CROPS)], registry, few, alone)
    near = [estimate for estimate in found if estimate.bits_per_dim <= NEAR * found[0].bits_per_dim]
    if len(near) == 1:
        return found
    again = _compared([estimate.candidate for estimate in near], sample, registry, few, alone)
    # what was ruled out stays as far from the best
    change = again[0].bits_per_dim - found[0].bits_per_dim
    far = [estimate._replace(bits_per_dim=estimate.bits_per_dim + change) for estimate in found[len(near) :]]
    return sorted([*again, *far], key=lambda estimate: estimate.bits_per_dim)


def _compared(
    ways: Sequence[Candidate | None], sample: Sequence[Picture], registry: Registry, few: bool, alone: bool
) -> list[Estimate]:
    """These ways by these crops, the best first. Where storing is one of them, and they are not `alone`, the others
    leave to it what it does better."""
    coded = [None if way is None else _estimated(way, sample, registry, few) for way in ways]
    stored_bits = np.full(len(sample), np.inf)
    if None in ways:
        by_models = np.min([one[1] for one in coded if one is not None], axis=0)
        stored_bits = np.array([_stored_bits(crop, bits) for crop, bits in zip(sample, by_models, strict=True)])
    subpixels = sum(crop.pixels.size for crop in sample)
    found = []
    for way, one in zip(ways, coded, strict=True):
        name, net_bits = one or ("stored", stored_bits)
        bits = net_bits if alone else np.minimum(net_bits, stored_bits)
        found.append(Estimate(way, name, float(bits.sum()) / subpixels))
    return sorted(found, key=lambda estimate: estimate.bits_per_dim)


def _stored_bits(crop: Picture, by_models: float) -> float:
    """What storing takes; as little as it could take where that is more than by models, as storing is slow."""
    pixels = crop.pixels.reshape(crop.height, -1)
    differences = np.diff(pixels, axis=1, prepend=pixels[:, :1])
    least = QUICK_GAIN * min(len(zlib.compress(part.tobytes(), 1)) for part in (pixels, differences))
    return 8.0 * (least if 8 * least > by_models else len(stored.encode(crop)))


def _estimated(
    way: Candidate, sample: Sequence[Picture], registry: Registry, few: bool
) -> tuple[str, NDArray[np.float64]]:
    """The model's name, and the bits of each picture: of a chain of these alone where there are `few`. Without what a
    file can say of them, as finding that takes long."""
    model = None if way.model is None else registry.load(way.model)
    name = model.info.name if model else PREDICTORS
    if isinstance(way.form, PlanesForm):
        assert model is None or isinstance(model, CorrectorModel)
        return name, estimate_planes(model, sample, way.form, registry.engine)
    assert model is not None and not isinstance(model, CorrectorModel)
    if few or way.form.has_alpha:
        return name, encode(model, sample, way.form, fitted=False).net_bits
    return name, estimate(model, sample, way.form)


def promising(found: Sequence[Estimate]) -> list[Estimate]:
    """Storing, and the best model unless it is much worse."""
    if best_model(found).bits_per_dim > PROMISING * _storing(found).bits_per_dim:
        return [_storing(found)]
    return [_storing(found), best_model(found)]


def best_model(found: Sequence[Estimate]) -> Estimate:
    return next(estimate for estimate in found if estimate.candidate is not None)


def may_be_stored(found: Sequence[Estimate]) -> bool:
    """Whether many pictures could take less when stored than with the best model."""
    return _storing(found).bits_per_dim <= PROMISING * best_model(found).bits_per_dim


def _storing(found: Sequence[Estimate]) -> Estimate:
    return next(estimate for estimate in found if estimate.candidate is None)


def described(found: Sequence[Estimate]) -> str:
    """For people."""
    return ", ".join(f"{estimate.name} {estimate.bits_per_dim:.3f} bits/dim" for estimate in found)


def _crops(picture: Picture) -> list[Picture]:
    if not is_large(picture):
        return [picture]
    down, across = (
        [max(0, (2 * number + 1) * (side - CROP_SIDE) // (2 * CROPS_PER_SIDE)) for number in range(CROPS_PER_SIDE)]
        for side in (picture.height, picture.width)
    )
    return [
        replace(picture, pixels=np.ascontiguousarray(picture.pixels[top:, left:][:CROP_SIDE, :CROP_SIDE]))
        for top in down
        for left in across
    ]


def shorter_stored(coded: Coded, pictures: Sequence[Picture], try_all: bool) -> dict[int, bytes]:
    """Stored bytes of the pictures, by place, that are shorter so than in their chain; none if that gains too little.

    Storing takes longer than a model, so unless `try_all` it is tried only on pictures with few changes for their cost.
    """
    tried = range(len(pictures)) if try_all else _likely_shorter(coded, pictures)
    data = {place: stored.encode(pictures[place]) for place in tried}
    bytes_of = {place: len(one) + STORED_SEGMENT_BYTES for place, one in data.items()}
    gained = {place: float(coded.net_bits[place]) - 8 * size for place, size in bytes_of.items()}
    shorter = {place: data[place] for place, bits in gained.items() if bits > 0}
    gain = sum(gained[place] for place in shorter)
    chain_bits = 8 * (len(coded.payload.data) + CHAIN_SEGMENT_BYTES) - coded.net_bits.sum()
    if try_all and chain_bits + sum(bits for bits in gained.values() if bits <= 0) >= 0:
        return data
    return shorter if gain > STORED_GAIN * coded.net_bits.sum() else {}


def shorter_file(picture: Picture, coded_bytes: float) -> bytes | None:
    """A picture's file as it is kept, if that takes less than the picture, coded so, and its metadata."""
    if picture.file is None:
        return None
    data, metadata = picture.file.data, b""
    if picture.metadata != NO_METADATA:
        metadata = planes.deflate(picture.metadata.pack())
    budget = coded_bytes + len(metadata)
    # LZMA is slow, and seldom so much better than a quick coding of the first part
    first = data[:QUICK_BYTES]
    quick = len(data) * len(zlib.compress(first, 1)) / max(1, len(first))
    if len(data) >= budget and QUICK_GAIN * quick >= budget:
        return None
    packed = kept.encode(data)
    return packed if len(packed) < budget else None


def _likely_shorter(coded: Coded, pictures: Sequence[Picture]) -> list[int]:
    """Places of pictures that are probably shorter when stored, as they have few changes for what they cost."""
    changes = np.array([(picture.pixels.ravel()[1:] != picture.pixels.ravel()[:-1]).sum() for picture in pictures])
    raw = 1 / 8 if coded.payload.form.levels == 2 else pictures[0].pixels.itemsize
    raw_bytes = np.array([picture.pixels.size for picture in pictures]) * raw
    likely_bytes = STORED_SEGMENT_BYTES + np.minimum(STORED_BYTES_PER_CHANGE * changes, raw_bytes)
    likely: list[int] = np.flatnonzero(8 * likely_bytes < coded.net_bits).tolist()
    return likely
