"""bbc beside other lossless coders, in one run: bits per dimension and time, for sets of images.

    python benchmarks/peers.py [--sets binary grey colour photographs reduced FOLDER] [--images 1000]
        [--mnist FILE] [--cifar-10 FILE] [--refine-steps 0,5]

Sizes are of whole files, decoded and compared. A set is coded as one file an image ("files"), and, where its images
have one size, as one file of all ("solid"): a sheet of all images. bbc's are archives, by default and with each model
that fits, which store what is shorter so. Bilevel pixels go to the general coders as bits. Times are wall times of one
thread in ms an image, decoding included where a coder has one here. JPEG XL, zstd and brotli need `pip install
bbcompress[peers]`; FLIF and JBIG2 (jbig2enc) are used where their commands `flif` and `jbig2` are installed. Rows of
sets that are not run stay in the results, if they are of this machine and these versions.
"""

import argparse
import lzma
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path

import numpy as np
from common import RESULTS, TEST_SETS, add_data_arguments, decoded, earlier_rows, images_of, write_results
from numpy.typing import NDArray
from PIL import Image

from bbcompress.archive.choose import candidates
from bbcompress.archive.compress import Options, compress_archive
from bbcompress.archive.options import MAX_SEGMENT_PIXELS
from bbcompress.codec.registry import Registry
from bbcompress.images import Picture, read_file
from bbcompress.train.peers import Coder, image_coders, sheet

Pixels = NDArray[np.uint8]
PHOTOGRAPHS = ("astronaut", "cat", "coffee", "immunohistochemistry", "camera", "coins", "brick", "grass", "moon")
"""Those of scikit-image that its package holds and that were never JPEG files as far as we know."""
JPEG_PHOTOGRAPHS = ("rocket", "retina", "hubble_deep_field")
"""The others in colour but a stereo pair: to be reduced by two, with scikit-learn's, which hides that they are JPEG."""


def command(arguments: Callable[[str, str], list[str]], suffix: str) -> Coder:
    """A program that writes a file, or else standard output, from a PNM file."""

    def encode(pixels: Pixels, bilevel: bool) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, target = f"{folder}/image.pnm", f"{folder}/image.{suffix}"
            image = Image.fromarray(pixels * np.uint8(255) if bilevel else pixels)
            (image.convert("1") if bilevel else image).save(source, "PPM")
            done = subprocess.run(arguments(source, target), check=True, capture_output=True)
            return Path(target).read_bytes() if Path(target).exists() else done.stdout

    return Coder(encode, None)


def general(compress: Callable[[bytes], bytes]) -> Coder:
    """A coder of bytes."""

    def encode(pixels: Pixels, bilevel: bool) -> bytes:
        return compress(np.packbits(pixels).tobytes() if bilevel else pixels.tobytes())

    return Coder(encode, None)


def coders(bilevel: bool) -> Iterator[tuple[str, Coder]]:
    """Those that are installed."""
    yield from image_coders()
    if shutil.which("flif"):
        yield "FLIF", command(lambda source, target: ["flif", "-e", source, target], "flif")
    if bilevel and shutil.which("jbig2"):
        yield "JBIG2", command(lambda source, target: ["jbig2", source], "jb2")
    yield "xz -9e", general(lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    for name, module, options in (("zstd -22", "zstandard", {"level": 22}), ("brotli -q 11", "brotli", {})):
        with suppress(ImportError):
            yield name, general(partial(import_module(module).compress, **options))


def comparable(pixels: Pixels, like: Pixels, bilevel: bool) -> Pixels:
    """Decoded pixels in the form of those that were coded: WebP has three channels, PNG's bilevel ones are bool."""
    plain = pixels[..., 0] if pixels.ndim > like.ndim else pixels
    return (plain > 0).astype(np.uint8) if bilevel else plain


def measured(coder: Coder, images: list[Pixels], bilevel: bool) -> tuple[int, float, float | None]:
    """Bytes of all images, and ms for all of them to encode and to decode."""
    started = time.perf_counter()
    encoded = [coder.encode(image, bilevel) for image in images]
    encode_ms = 1e3 * (time.perf_counter() - started)
    decode_ms = None
    if coder.decode:
        started = time.perf_counter()
        back = [coder.decode(data) for data in encoded]
        decode_ms = 1e3 * (time.perf_counter() - started)
        for image, one in zip(images, back, strict=True):
            if not np.array_equal(comparable(one, image, bilevel), image):
                raise SystemExit("a coder lost pixels")
    return sum(map(len, encoded)), encode_ms, decode_ms


def image_sets(options: argparse.Namespace) -> Iterator[tuple[str, list[Pixels], bool]]:
    """Name, images, and whether they are bilevel."""
    for name in options.sets:
        if name in TEST_SETS:
            yield name, list(images_of(name, options)), TEST_SETS[name].mode == "1"
        elif name == "photographs":
            from skimage import data

            yield name, [getattr(data, photograph)() for photograph in PHOTOGRAPHS][: options.images], False
        elif name == "reduced":
            yield (
                name,
                [np.asarray(Image.fromarray(image).reduce(2)) for image in jpeg_photographs()][: options.images],
                False,
            )
        else:
            files = sorted(path for path in Path(name).rglob("*") if path.suffix.lower() == ".png")[: options.images]
            pictures = [item for item in map(read_file, files) if isinstance(item, Picture)]
            yield Path(name).name, [picture.pixels for picture in pictures if picture.mode in ("L", "RGB")], False


def jpeg_photographs() -> list[Pixels]:
    from skimage import data
    from sklearn.datasets import load_sample_images

    return [getattr(data, name)() for name in JPEG_PHOTOGRAPHS] + load_sample_images().images


def bbc(images: list[Pixels], bilevel: bool, steps: list[int]) -> Iterator[tuple[str, int, float, float]]:
    """Archives as `bbc` chooses, and with each model that fits: (name, bytes, ms to encode, ms to decode)."""
    modes = ["RGB" if image.ndim == 3 else "1" if bilevel else "L" for image in images]
    named = [
        (f"{number}.png", Picture(mode, image)) for number, (mode, image) in enumerate(zip(modes, images, strict=True))
    ]
    registry = Registry()
    models = [way.model for way in candidates(named[0][1], registry, None)]
    for model, count in [(None, 0), *product(models, steps)]:
        started = time.perf_counter()
        data, _ = compress_archive(
            named, registry, Options(model=model, refine_steps=count, check=False, segment_pixels=MAX_SEGMENT_PIXELS)
        )
        encode_ms = 1e3 * (time.perf_counter() - started)
        started = time.perf_counter()
        decoded(data, named, registry)
        yield (
            f"bbc {model.stem}, K = {count}" if model else "bbc",
            len(data),
            encode_ms,
            1e3 * (time.perf_counter() - started),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=[*TEST_SETS, "photographs", "reduced"])
    add_data_arguments(parser)
    parser.add_argument("--images", type=int, default=1000, help="use the first so many of a set")
    parser.add_argument("--refine-steps", default="0,5")
    parser.add_argument("--output", type=Path, help="JSON file to write; default: results/ beside this script")
    options = parser.parse_args()
    output = options.output or RESULTS / "peers.json"
    rows = earlier_rows(output, [Path(name).name for name in options.sets])
    for name, images, bilevel in image_sets(options):
        subpixels = sum(image.size for image in images)

        def add(
            coder: str, form: str, size: int, encode_ms: float, decode_ms: float | None,
            name: str = name, subpixels: int = subpixels, count: int = len(images),
        ) -> None:  # fmt: skip
            rate: dict[str, object] = {"set": name, "images": count, "coder": coder, "form": form}
            rate |= {"bits_per_dim": 8 * size / subpixels, "encode_ms": encode_ms / count}
            rows.append(rate | {"decode_ms": "" if decode_ms is None else decode_ms / count})
            print(*rows[-1].values(), flush=True)

        for coder, *found in bbc(images, bilevel, [int(part) for part in options.refine_steps.split(",")]):
            add(coder, "solid", *found)
        for coder_name, coder in coders(bilevel):
            add(coder_name, "files", *measured(coder, images, bilevel))
            if len({image.shape for image in images}) == 1:
                add(coder_name, "solid", *measured(coder, [sheet(images)], bilevel))
    write_results("peers", output, rows, "whole files, decoded and compared where decode_ms is there")


if __name__ == "__main__":
    main()
