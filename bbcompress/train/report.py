"""What a training brought: sizes of files of images that it has not seen, beside other models and coders."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bbcompress.archive.choose import CHAIN_PIXELS, candidates
from bbcompress.archive.compress import Options, compress_archive
from bbcompress.archive.encode import encode_planes
from bbcompress.archive.planes import planes_form
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.registry import Registry
from bbcompress.exact.engine import Engine
from bbcompress.images.picture import Picture
from bbcompress.train.peers import Coder, image_coders, sheet

NEW, SHIPPED, PREDICTORS = "this model", "bbc, its best models", "bbc, predictors alone"
QUICK_PEERS = ("JPEG XL -e 7", "WebP lossless", "PNG")
"""The first of them that is there is compared with while training goes on, and picture by picture."""
RISEN = 1.003
"""Held-out bits beyond the least ones that say of overfitting."""
FALLING = 0.003
"""Part of the bits by which they fell in the last fifth of the time, if more minutes will help."""
EXAMPLES = 6


class Size(NamedTuple):
    """Bytes of all pictures by one coder."""

    coder: str
    size_bytes: int


class Example(NamedTuple):
    """A picture, and its bits/dim by the new model and by another coder."""

    picture: Picture
    own: float
    other: float


class Point(NamedTuple):
    """A line of the log."""

    minutes: float
    alone: float
    corrected: float


class Report(NamedTuple):
    """All that is told of a run."""

    name: str
    pictures: int
    subpixels: int
    trained_pictures: int
    sizes: list[Size]
    """The smallest first."""
    curve: list[Point]
    examples: list[Example]
    """The best first, less their number of them the worst last."""
    other: str
    """What examples are compared with."""


def archive_bytes(pictures: Sequence[Picture], registry: Registry, options: Options) -> int:
    """Of one archive of the pictures."""
    named = [(f"{number:05}.png", picture) for number, picture in enumerate(pictures)]
    return len(compress_archive(named, registry, options)[0])


def coded_bytes(pictures: Sequence[Picture], coder: Coder) -> int | None:
    """Of a file a picture, or one of all if that is less; None where the coder cannot have them."""
    bilevel = pictures[0].mode == "1"
    pixels = [picture.pixels for picture in pictures]
    try:
        files = sum(len(coder.encode(one, bilevel)) for one in pixels)
        if len(pixels) > 1 and len({one.shape for one in pixels}) == 1:
            return min(files, len(coder.encode(sheet(pixels), bilevel)))
    except (ValueError, RuntimeError, OSError):
        return None
    return files


def sizes(model: Path, pictures: Sequence[Picture], engine: Engine) -> Iterator[Size]:
    """By the new model, by shipped ones, by other coders; the new model's archive is decoded and compared."""
    yield Size(NEW, archive_bytes(pictures, Registry(engine, [model]), Options(model=model)))
    registry = Registry(engine)
    yield Size(SHIPPED, archive_bytes(pictures, registry, Options(check=False)))
    yield Size(PREDICTORS, archive_bytes(pictures, registry, Options(check=False, effort=1)))
    for way in candidates(pictures[0], registry, None):
        if way.model is not None:
            name = registry.load(way.model).info.name
            yield Size(f"bbc, {name}", archive_bytes(pictures, registry, Options(model=way.model, check=False)))
    for name, coder in image_coders():
        found = coded_bytes(pictures, coder)
        if found is not None:
            yield Size(name, found)


def quick_peer() -> tuple[str, Coder]:
    """The coder to compare with while training goes on."""
    there = dict(image_coders())
    name = next(name for name in QUICK_PEERS if name in there)
    return name, there[name]


def examples(model: CorrectorModel, pictures: Sequence[Picture], engine: Engine, coder: Coder) -> list[Example]:
    """Pictures with what they take in a file of their kind, those first that are best beside another coder."""
    together: dict[object, list[Picture]] = {}
    for number, picture in enumerate(pictures):
        large = picture.height * picture.width > CHAIN_PIXELS
        together.setdefault(number if large else picture.header, []).append(picture)
    found = []
    for group in together.values():
        form = planes_form(group[0], model.info.levels)
        assert form is not None
        form = form._replace(depth=max(_depth(picture, model.info.levels) for picture in group))
        bits = encode_planes(model, group, form, engine).net_bits
        for picture, own in zip(group, bits, strict=True):
            other = 8 * (coded_bytes([picture], coder) or picture.pixels.nbytes)
            found.append(Example(picture, float(own) / picture.pixels.size, other / picture.pixels.size))
    return sorted(found, key=lambda example: example.own / example.other)


def _depth(picture: Picture, levels: int) -> int:
    form = planes_form(picture, levels)
    assert form is not None
    return form.depth


def read_curve(log: Path) -> list[Point]:
    """The log's lines."""
    with log.open(newline="") as file:
        return [
            Point(
                float(row["seconds"]) / 60,
                float(row["held_out_alone_bits_per_dim"]),
                float(row["held_out_bits_per_dim"]),
            )
            for row in csv.DictReader(file)
        ]


def verdict(report: Report) -> list[str]:
    """Lines that say whether the model is better, and what would help."""
    by_name = {size.coder: size.size_bytes for size in report.sizes}
    new = by_name.pop(NEW)
    best = min(by_name, key=lambda name: by_name[name])
    lines = []
    if new < by_name[best]:
        saved = ", ".join(
            f"{100 * (1 - new / size):.1f} % less than {name}"
            for name, size in sorted(by_name.items(), key=lambda item: item[1])
            if not name.startswith("bbc, ") or name == SHIPPED
        )
        lines.append(f"Of images that it has not seen the new model makes files that take {saved}.")
    else:
        more = 100 * (new / by_name[best] - 1)
        lines.append(
            f"The new model is NOT better: of images that it has not seen {best} makes files of {by_name[best]} bytes, "
            f"it {new} ({more:.1f} % more). Do not use it."
        )
    lines += what_helps(report)
    lines.append("Refinement (--refine-steps) adds nothing to a model of this kind: it has no latents.")
    return lines


def what_helps(report: Report) -> list[str]:
    """By the curve of held-out bits."""
    held = np.array([point.corrected for point in report.curve])
    minutes = np.array([point.minutes for point in report.curve])
    if len(held) < 3:
        return ["More minutes would help: this run was hardly more than a start."]
    late = held[minutes >= 0.8 * minutes[-1]]
    if held[-1] > RISEN * held.min():
        return [
            f"It has learned its {report.trained_pictures} images by heart: more images would help, more minutes not."
        ]
    if late[0] / held[-1] - 1 > FALLING:
        return ["It was still learning: more minutes would help (call again with more, and it goes on)."]
    return ["It has learned what it could in this time: more images, or a run of its own with more minutes, may help."]


def text(report: Report) -> list[str]:
    """The report as lines."""
    new = next(size.size_bytes for size in report.sizes if size.coder == NEW)
    width = max(len(size.coder) for size in report.sizes)
    lines = [f"{report.pictures} images that were held out, in files:"]
    for coder, size_bytes in report.sizes:
        rate = 8 * size_bytes / report.subpixels
        lines.append(f"  {coder:{width}}  {size_bytes:10,} bytes  {rate:8.4f} bits/dim  {size_bytes / new - 1:+8.1%}")
    return [*lines, *verdict(report)]
