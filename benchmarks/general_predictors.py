"""Make bbcompress/codec/general_tables.py: predictors for pictures in general, from crops of photographs.

    python benchmarks/general_predictors.py crops.npy

The crops (photographs, crops, height, width, 3) uint8 RGB; every fourth crop of each photograph is used, in colour and
in grey. The predictors are those of the scale of stride 4, which lies between what small pictures and large ones need.
They are part of the format: after the first release this table never changes.
"""

import argparse
from pathlib import Path

import numpy as np

from bbcompress.codec import fit, lattice_coder, parameters
from bbcompress.codec.predictor import Predictor, Unit
from bbcompress.exact.engine import Engine

HEAD = '''"""Numbers of `bbcompress.codec.general`, by stage, channel and channels: weights, context, knots, shape.

Made by benchmarks/general_predictors.py; part of the format.
"""

Table = tuple[list[int], list[int], list[int], int]

# fmt: off
# ruff: noqa: E501
TABLES: dict[tuple[int, int, int], Table] = {
'''


def predictors(pictures: np.ndarray) -> dict[Unit, Predictor]:
    """Of pictures (C, N, H, W), those of stride 4."""
    fit.SAMPLE = 1 << 17
    lattice_coder.FITTED_STRIDES = (32, 16, 8, 4)
    found = {}

    def best(unit, scales, depth, general):
        found[unit] = fit.fit(unit, fit.sample(unit, scales, depth), depth, general)
        return found[unit]

    fit.best = best
    parameters.pack = lambda *_: b""
    lattice_coder.pack = parameters.pack
    lattice_coder.encode([pictures], 8, None, Engine())
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("crops", type=Path)
    crops = np.load(options.parse_args().crops, mmap_mode="r")[:, ::4]
    colour = crops.reshape(-1, *crops.shape[2:])[..., [1, 0, 2]].transpose(3, 0, 1, 2).copy()
    green, red, blue = colour.astype(np.float64)
    grey = np.rint(0.299 * red + 0.587 * green + 0.114 * blue).astype(np.uint8)[None]
    tables = HEAD
    for unit, found in {**predictors(grey), **predictors(colour)}.items():
        numbers = [found.weights.tolist(), found.context.tolist(), found.knots.tolist(), found.shape]
        tables += f"    {tuple(unit)}: (\n" + "".join(f"        {part},\n" for part in numbers) + "    ),\n"
    Path(__file__).parent.parent.joinpath("bbcompress/codec/general_tables.py").write_text(tables + "}\n")


if __name__ == "__main__":
    main()
