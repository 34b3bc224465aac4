"""A made collection: pictures of all sizes and modes with structure, the same for each seed.

python benchmarks/mixed.py FOLDER [--gigabytes 2] [--seed 0]
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Values = NDArray[np.float32]
SMALLEST, LARGEST = (28, 28), (3000, 4000)
"""Heights and widths."""
MODES = ("1", "L", "RGB", "RGBA", "I;16")
PHOTOGRAPHS = ("astronaut", "cat", "coffee", "chelsea", "rocket", "camera", "coins", "moon")


def photographs() -> list[Values]:
    """Those of scikit-image that its package holds, (H, W, 3) from 0 to 1."""
    from skimage import data

    found = [np.asarray(getattr(data, name)(), np.float32) / 255 for name in PHOTOGRAPHS]
    return [image if image.ndim == 3 else np.repeat(image[:, :, np.newaxis], 3, 2) for image in found]


def resized(values: Values, height: int, width: int) -> Values:
    """Bilinear."""
    channels = [
        np.asarray(Image.fromarray(values[:, :, channel]).resize((width, height), Image.Resampling.BILINEAR))
        for channel in range(values.shape[2])
    ]
    return np.stack(channels, 2)


def scene(kind: int, height: int, width: int, photos: list[Values], random: np.random.Generator) -> Values:
    """(height, width, 3) of about 0 to 1: smooth noise, a gradient with a grain, or a photograph, turned and sized."""
    if kind == 0:
        return sum(
            (resized(random.random((side, side, 3), np.float32), height, width) / 2**level for level, side in
             enumerate((4, 16, 64), 1)), np.zeros((height, width, 3), np.float32)
        )  # fmt: skip
    if kind == 1:
        rows, columns = np.linspace(0, 1, height, dtype=np.float32), np.linspace(0, 1, width, dtype=np.float32)
        slopes, start = random.random((2, 3), np.float32), random.random(3, np.float32)
        plane = rows[:, np.newaxis, np.newaxis] * slopes[0] + columns[np.newaxis, :, np.newaxis] * slopes[1] + start
        plane += random.normal(0, 0.01, plane.shape).astype(np.float32)
        return plane / 3
    photo = np.rot90(photos[random.integers(len(photos))], random.integers(4))
    return resized(np.ascontiguousarray(photo), height, width)


def picture(values: Values, mode: str) -> Image.Image:
    """In one of MODES; of RGBA the corners are transparent."""
    clipped = values.clip(0, 1)
    if mode == "I;16":
        return Image.fromarray((clipped.mean(2) * 65535).astype(np.uint16))
    image = Image.fromarray((clipped * 255).astype(np.uint8))
    if mode == "RGBA":
        height, width = values.shape[:2]
        y, x = np.linspace(-1, 1, height)[:, np.newaxis], np.linspace(-1, 1, width)
        image.putalpha(Image.fromarray(((1.5 - y * y - x * x).clip(0, 1) * 255).astype(np.uint8)))
        return image
    return image.convert(mode)


def write_mixed(folder: Path, size: int, seed: int = 0) -> None:
    """PNG files of so many bytes together, or few more. Areas are spread evenly by their logarithms."""
    random, photos = np.random.default_rng(seed), photographs()
    written = number = 0
    while written < size:
        share = random.random()
        height, width = (
            round(low * (high / low) ** share * random.uniform(0.8, 1.0))
            for low, high in zip(SMALLEST, LARGEST, strict=True)
        )
        mode = MODES[number % len(MODES)]
        image = picture(scene(number // len(MODES) % 3, max(28, height), max(28, width), photos, random), mode)
        path = folder / f"{number // 1000:03d}" / f"{number:06d}-{mode.replace(';', '')}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        image.save(path, compress_level=1)
        written += path.stat().st_size
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="bytes of the files, in 10^9")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_mixed(options.folder, round(options.gigabytes * 1e9), options.seed)


if __name__ == "__main__":
    main()
