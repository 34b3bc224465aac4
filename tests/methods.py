"""One small file of each method and form, with made models: what damage and mutations are tried on.

A new method is added here, and nowhere else of these tests.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from helpers import hand_made, odd_pictures
from made_models import make_corrector, make_spatial, make_tiny

from bbcompress.archive.encode import encode, encode_planes
from bbcompress.archive.forms import PixelForm
from bbcompress.archive.names import pack_names
from bbcompress.archive.payload import Kept, Payload, Stored, pictures_digest
from bbcompress.archive.planes import planes_form
from bbcompress.archive.segment import Segment, pack_segment
from bbcompress.archive.single import pack_single
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.dense_file import DenseContents
from bbcompress.codec.model_file import save
from bbcompress.codec.refine import Method
from bbcompress.codec.registry import Header, Registry
from bbcompress.images import Item, KeptFile, Picture, kept, stored
from bbcompress.images.header import MODES
from bbcompress.images.metadata import Format, Metadata


class Case(NamedTuple):
    """A sound file, and the pictures and kept files in it."""

    data: bytes
    pictures: list[Item]


class MadeModels(Registry):
    """Models that no training made, alone."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        files = []
        for contents in (
            DenseContents(*make_tiny(2)),
            DenseContents(*make_tiny(256, 2)),
            make_spatial(True, 3, 2, 256),
            make_spatial(True, 1, 1, 2),
            make_corrector(3),
            make_corrector(1),
        ):
            files.append(Path(self._folder.name) / f"{len(files)}.safetensors")
            save(files[-1], contents)
        super().__init__(files=files)
        self.files = files

    def headers(self) -> Iterator[tuple[Path, Header]]:
        return (found for found in super().headers() if found[0] in self.files)


@cache
def models() -> MadeModels:
    return MadeModels()


def _noise(mode: str, height: int, width: int, seed: int = 0) -> Picture:
    layout = MODES[mode]
    levels = 2 if mode == "1" else 256**layout.dtype.itemsize
    values = np.random.default_rng(seed).integers(0, levels, layout.shape(width, height))
    return Picture(mode, values.astype(layout.dtype))


def _flat(mode: str, height: int, width: int) -> Picture:
    return Picture(mode, np.full_like(_noise(mode, height, width).pixels, 1))


def _chain(
    model: int, form: PixelForm, pictures: list[Picture], steps: int = 0, method: Method = Method.NATURAL
) -> Payload:
    return encode(models().load(models().files[model]), pictures, form, steps, method).payload


def coarse_to_fine(pictures: list[Picture], model: int | None = None) -> Payload:
    """Coarse to fine; the model's networks say anything, and count for something where predictors are poor."""
    form = planes_form(pictures[0])
    corrector = None if model is None else models().load(models().files[model])
    assert form is not None and (corrector is None or isinstance(corrector, CorrectorModel))
    with patch("bbcompress.codec.lattice_encoder.with_gain", lambda own, *_: own._replace(gain=3, wider=1)):
        return encode_planes(corrector, pictures, form, models().engine).payload


def _single(payload: Payload, picture: Item, metadata: Metadata | None = None) -> Case:
    about = {} if metadata is None else {"metadata": metadata}
    return Case(pack_single(payload, pictures_digest([picture]), **about), [picture])


def _archive(*segments: tuple[Payload, Sequence[Item]]) -> Case:
    bodies, counts, every = [], [], list[Item]()
    for payload, pictures in segments:
        numbers = np.arange(len(every), len(every) + len(pictures))
        bodies.append(pack_segment(Segment(numbers, payload, pictures_digest(pictures))))
        counts.append(len(pictures))
        every += pictures
    names = pack_names([f"a/{number}.png" for number in range(len(every))])
    return Case(hand_made(bodies, counts, names), every)


def _stored() -> dict[str, Picture]:
    rng = np.random.default_rng(1)
    return {
        "raw": _noise("L", 3, 2),
        "planes": Picture("L16", (np.arange(400) * 3 % 500).astype(np.uint16).reshape(20, 20)),
        "webp": Picture("RGB", np.repeat(rng.integers(0, 4, (9, 9, 1), np.uint8), 3, 2) * np.uint8(60)),
        "bilevel": _noise("1", 5, 13),
        "palette": odd_pictures()["palette-alpha.png"],
        "flat": _flat("L", 64, 64),
    }


@cache
def cases() -> dict[str, Case]:
    """By name."""
    found = {f"single-stored-{name}": _single(Stored(stored.encode(one)), one) for name, one in _stored().items()}
    about = Metadata(Format.PNM, b"\x0bP6 6 5 255\n# a comment after the pixels")
    short, long = KeptFile(b"%PDF", "a.pdf"), KeptFile(b"words, words, " * 90, "words.txt")
    bilevel, grey = [_noise("1", 5, 6, seed) for seed in range(9)], [_noise("L", 5, 6, seed) for seed in range(6)]
    small, wide, seen = _noise("RGB", 6, 5), _noise("RGB", 2, 130), _noise("RGBA", 4, 3)
    drawing = _noise("1", 9, 10)
    deep, faded = _noise("L16", 3, 5), _noise("LA", 4, 3)
    found |= {
        "single-kept": _single(Kept(kept.encode(short.data), short.name), short),
        "single-kept-lzma": _single(Kept(kept.encode(long.data), long.name), long),
        "archive-kept": _archive((Kept(kept.encode(long.data)), [long]), (Stored(stored.encode(small)), [small])),
        "single-metadata": _single(Stored(stored.encode(small)), small, about),
        "single-bits-back": _single(_chain(0, PixelForm.BILEVEL, bilevel[:1]), bilevel[0]),
        "single-bits-back-grey": _single(_chain(1, PixelForm.GREY, grey[:1]), grey[0]),
        "single-one-tile": _single(_chain(2, PixelForm.RGB, [small]), small),
        "single-one-tile-bilevel": _single(_chain(3, PixelForm.BILEVEL, [drawing]), drawing),
        "single-one-tile-alpha": _single(_chain(2, PixelForm.RGB_ALPHA, [seen]), seen),
        "single-tiles": _single(_chain(2, PixelForm.RGB, [wide]), wide),
        "archive-stored": _archive(*((Stored(stored.encode(one)), [one]) for one in (small, grey[0], bilevel[0]))),
        "archive-bits-back": _archive(
            (_chain(0, PixelForm.BILEVEL, bilevel), bilevel), (Stored(stored.encode(small)), [small])
        ),
        "archive-natural": _archive((_chain(0, PixelForm.BILEVEL, bilevel, 2), bilevel)),
        "archive-adam": _archive((_chain(1, PixelForm.GREY, grey, 2, Method.ADAM), grey)),
        "archive-tiles": _archive((_chain(2, PixelForm.RGB, [small, wide, small]), [small, wide, small])),
        "archive-tiles-alpha": _archive((_chain(2, PixelForm.RGB_ALPHA, [seen, seen], 1), [seen, seen])),
        "single-lattice": _single(coarse_to_fine([small]), small),
        "single-lattice-grey": _single(coarse_to_fine([grey[0]]), grey[0]),
        "single-lattice-alpha": _single(coarse_to_fine([seen]), seen),
        "single-lattice-sixteen": _single(coarse_to_fine([deep]), deep),
        "single-lattice-corrected": _single(coarse_to_fine([small], 4), small, about),
        "single-lattice-corrected-sixteen": _single(coarse_to_fine([deep], 5), deep),
        "archive-lattice": _archive(
            (coarse_to_fine([small, wide, small]), [small, wide, small]), (coarse_to_fine([deep]), [deep])
        ),
        "archive-lattice-alpha": _archive((coarse_to_fine([faded, faded]), [faded, faded])),
        "archive-lattice-corrected": _archive(
            (coarse_to_fine([small, wide, small], 4), [small, wide, small]), (coarse_to_fine(grey[:2], 5), grey[:2])
        ),
        "archive-lattice-corrected-alpha": _archive((coarse_to_fine([seen, seen], 4), [seen, seen])),
    }
    return found
