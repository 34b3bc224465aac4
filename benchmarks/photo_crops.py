"""Training images for `photo` and `photo-grey`: 64 x 64 crops of photographs, as they are, enlarged, pale, with noise,
once JPEG files, out of focus, with saturated parts and framed.

    python benchmarks/photo_crops.py --halved CROPS.npy --reduced CROPS.npy --full FOLDER -o crops.npy [--grey]
        [--variant 1] [--flat-every 6] [--reduced-jpeg] [--part 1] [--large FOLDER] [--vivid-every 0]

Full-size photographs are smoother and grainier than reduced ones, and most were JPEG files once. `--halved` are crops
of photographs reduced by two, `--reduced` of ones reduced further, both (N, 64, 64, 3); FOLDER holds whole photographs
as PNG files. Those to hold out, 898 where all sets are those of the models' cards, come last, and are the same in every
variant; images to train on are of the same photographs with other random choices, and transposed in even ones.
`--reduced-jpeg` adds ones that were JPEG files twice as large; `--part 2` takes every other one of all so far. With
`--large`, photographs of several megapixels, which were JPEG files, come reduced by two, by other factors up to four,
and a part of each as it is. With `--vivid-every 5` one of five of all these comes again in strong colours. With
`--grey` all are luma.
"""

import argparse
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bbcompress.datasets import load

Pixels = NDArray[np.uint8]
SIDE = 64
HELD_OUT_HALVED, HELD_OUT_REDUCED, HELD_OUT_FULL = 300, 100, 2
ENLARGEMENT = (1.2, 2.0)
MOST_NOISE = 2.0
"""Standard deviation of luma noise in grey levels; chroma has half of it."""
JPEG_QUALITIES = (75, 99)
LOW_JPEG_QUALITIES = (50, 96)
"""Of JPEG files that were reduced by two afterwards, as thumbnails are."""
LEAST_CONTRAST, LEAST_TINT = 0.4, 0.8
"""Of pale crops: what is left of all channels' contrast, and of each one's besides."""
BLUR = (2.0, 6.0)
"""Enlargement of crops out of focus, which have no noise."""
SOFTNESS = (1.0, 4.0)
"""Enlargement of crops that were JPEG files twice as large: few photographs are sharp at their full size."""
REDUCTION = (1.5, 4.0)
"""Of large photographs, besides by two."""
HELD_OUT_LARGE, HELD_OUT_LARGE_STEP = 3, 8
"""Large photographs to hold out, and the step from one square of them to the next."""
LEAST_GAIN = 0.15
"""Of vivid crops: what is left of a channel."""
EXPOSURE = (60.0, 180.0)
"""What the brightness of crops with saturated parts is changed by, in grey levels."""


def jpeg(image: Pixels, random: np.random.Generator, qualities: tuple[int, int] = JPEG_QUALITIES) -> Pixels:
    """Coded and decoded, with chroma of full or half resolution."""
    out = io.BytesIO()
    quality, subsampling = int(random.integers(*qualities)), int(random.choice([0, 2]))
    Image.fromarray(image).save(out, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(out).convert("RGB"))


def resized(image: Pixels, enlargement: tuple[float, float], random: np.random.Generator, side: int = SIDE) -> Pixels:
    """A part of the image, enlarged, at its whole size or that of `side`."""
    part = round(SIDE / random.uniform(*enlargement))
    top, left = random.integers(0, SIDE - part + 1, 2)
    whole = Image.fromarray(image[top : top + part, left : left + part])
    return np.asarray(whole.resize((side, side), Image.Resampling.LANCZOS))


def reduced_jpeg(image: Pixels, random: np.random.Generator) -> Pixels:
    """A part of the image at its whole size, once a JPEG file twice as large."""
    large = noisy(resized(image, SOFTNESS, random, 2 * SIDE), random)
    return np.asarray(Image.fromarray(jpeg(large, random, LOW_JPEG_QUALITIES)).reduce(2))


def enlarged(image: Pixels, random: np.random.Generator, pale: bool = False) -> Pixels:
    """A part of the image at its whole size, with a little noise; `pale` takes contrast away before."""
    large = resized(image, ENLARGEMENT, random).astype(float)
    if pale:
        gains = random.uniform(LEAST_CONTRAST, 1) * random.uniform(LEAST_TINT, 1, 3)
        large = gains * large + random.uniform() * 255 * (1 - gains)
    return noisy(large, random)


def noisy(image: Pixels | NDArray[np.float64], random: np.random.Generator) -> Pixels:
    """With a little noise, rounded."""
    height, width, _ = image.shape
    noise = random.uniform(0, MOST_NOISE)
    luma, chroma = random.normal(0, noise, (height, width, 1)), random.normal(0, noise / 2, (height, width, 3))
    return np.clip(np.round(image + luma + chroma), 0, 255).astype(np.uint8)


def vivid(image: Pixels, random: np.random.Generator) -> Pixels:
    """Channels in another order, each weaker by another factor: as through a filter, of any colour."""
    return noisy(image[..., random.permutation(3)] * random.uniform(LEAST_GAIN, 1, 3), random)


def exposed(image: Pixels, random: np.random.Generator) -> Pixels:
    """Brighter or darker, so that parts are all white or black."""
    change = random.uniform(*EXPOSURE) * random.choice([-1, 1])
    return np.clip(np.round(image + change), 0, 255).astype(np.uint8)


def framed(image: Pixels, random: np.random.Generator) -> Pixels:
    """What lies beyond a corner or an edge is black, white or of one other colour."""
    colours = np.array([np.zeros(3), np.full(3, 255), random.integers(0, 256, 3)], np.uint8)
    whole = np.empty_like(image)
    whole[:] = colours[random.choice(3, p=[0.5, 0.25, 0.25])]
    top, left = (int(start) * int(random.integers(2)) for start in random.integers(0, SIDE, 2))
    whole[top:, left:] = image[top:, left:]
    turned: Pixels = np.rot90(whole, 2 * int(random.integers(2)))
    return turned


def squares(photograph: Image.Image) -> list[Pixels]:
    image = np.asarray(photograph.convert("RGB"))
    height, width, _ = image.shape
    return [
        image[top : top + SIDE, left : left + SIDE]
        for top in range(0, height - SIDE + 1, SIDE)
        for left in range(0, width - SIDE + 1, SIDE)
    ]


def opened(folder: Path) -> list[Image.Image]:
    """All photographs of a folder, read when they are needed."""
    return [Image.open(path) for path in sorted(folder.iterdir(), key=lambda path: (len(path.name), path.name))]


def reductions(photograph: Image.Image, random: np.random.Generator) -> list[Pixels]:
    """Squares of a large photograph: reduced by two, by another factor, and a sixteenth of it as it is."""
    photograph = photograph.convert("RGB")
    width, height = photograph.size
    factor = random.uniform(*REDUCTION)
    smaller = photograph.resize((round(width / factor), round(height / factor)), Image.Resampling.LANCZOS)
    left, top = (int(random.integers(0, side - side // 4 + 1)) for side in (width, height))
    part = photograph.crop((left, top, left + width // 4, top + height // 4))
    return [square for image in (photograph.reduce(2), smaller, part) for square in squares(image)]


def crops(
    halved: Pixels, reduced: Pixels, full: Sequence[list[Pixels]], flat_every: int, with_reduced_jpeg: bool, seed: int
) -> tuple[list[Pixels], list[Pixels]]:
    """Images to train on, and to hold out.

    One crop of `flat_every` comes again out of focus, one with saturated parts and one framed.
    """
    random = np.random.default_rng(seed)
    own, others = halved[:-HELD_OUT_HALVED], halved[-HELD_OUT_HALVED:]
    training = [*own, *(jpeg(image, random) for image in own)]
    held_out = [*others, *(jpeg(image, random) for image in others)]
    large = [enlarged(image, random) for image in own]
    training += [jpeg(image, random) if number % 2 else image for number, image in enumerate(large)]
    held_out += [jpeg(enlarged(image, random), random) for image in others[::3]]
    training += [*reduced[:-HELD_OUT_REDUCED:4]]
    held_out += [*reduced[-HELD_OUT_REDUCED:]]
    for photograph in full[:-HELD_OUT_FULL]:
        training += photograph + [jpeg(image.transpose(1, 0, 2), random) for image in photograph]
    held_out += [image for photograph in full[-HELD_OUT_FULL:] for image in photograph]
    large = [enlarged(image, random, pale=True) for image in own]
    training += [jpeg(image, random) if number % 2 else image for number, image in enumerate(large)]
    for first, flat in enumerate((partial(resized, enlargement=BLUR), exposed, framed)):
        training += [flat(image, random=random) for image in own[first::flat_every]]
    if with_reduced_jpeg:
        training += [reduced_jpeg(image, random) for image in own]
        held_out += [reduced_jpeg(image, random) for image in others[1::3]]
    return [training[place] for place in random.permutation(len(training))], held_out


def large_crops(photographs: Sequence[Image.Image], seed: int) -> tuple[list[Pixels], list[Pixels]]:
    """The same of large photographs."""
    random = np.random.default_rng(seed)
    training = [square for image in photographs[:-HELD_OUT_LARGE] for square in reductions(image, random)]
    random = np.random.default_rng(1)
    held_out = [square for image in photographs[-HELD_OUT_LARGE:] for square in reductions(image, random)]
    return training, held_out[::HELD_OUT_LARGE_STEP]


def main() -> None:
    parser = argparse.ArgumentParser(description="Training images of photographs.")
    parser.add_argument("--halved", required=True)
    parser.add_argument("--reduced", required=True)
    parser.add_argument("--full", required=True, type=Path)
    parser.add_argument("-o", "--output", required=True, type=Path)
    parser.add_argument("--grey", action="store_true")
    parser.add_argument("--variant", type=int, default=1)
    parser.add_argument("--flat-every", type=int, default=6)
    parser.add_argument("--reduced-jpeg", action="store_true")
    parser.add_argument("--part", type=int, default=1)
    parser.add_argument("--large", type=Path)
    parser.add_argument("--vivid-every", type=int, default=0)
    options = parser.parse_args()
    photographs = load(options.halved), load(options.reduced), [squares(image) for image in opened(options.full)]
    kinds = options.flat_every, options.reduced_jpeg
    training, held_out = crops(*photographs, *kinds, seed=1)
    if options.variant > 1:
        training, _ = crops(*photographs, *kinds, seed=options.variant)
    training = training[:: options.part]
    if options.large:
        large, large_held_out = large_crops(opened(options.large), options.variant)
        training, held_out = training + large, held_out + large_held_out
    if options.vivid_every:
        random = np.random.default_rng(options.variant)
        training += [vivid(image, random) for image in training[:: options.vivid_every]]
    if options.variant % 2 == 0:
        training = [image.transpose(1, 0, 2) for image in training]
    images = training + held_out
    if options.grey:
        images = [np.asarray(Image.fromarray(image).convert("L")) for image in images]
    np.save(options.output, np.stack(images))
    print(f"{options.output}: {len(training)} to train on, then {len(held_out)} to hold out")


if __name__ == "__main__":
    main()
