"""Make bbcompress/codec/general_tables.py, and the same in docs/FORMAT.md, section 18.7: predictors for any picture.

    python benchmarks/general_predictors.py crops.npy

The crops (photographs, crops, height, width, 3) uint8 RGB; every fourth crop of each photograph is used, in colour and
in grey. The predictors are those of the scale of stride 4, which lies between what small pictures and large ones need.
They are part of the format: after the first release this table never changes.
"""

import argparse
import textwrap
from pathlib import Path

import numpy as np

from bbcompress.codec.predictor import Predictor, Unit
from bbcompress.train.predictors import fitted

HEAD = '''"""Numbers of `bbcompress.codec.general`, by stage, channel and channels: weights, context, knots, shape.

Made by benchmarks/general_predictors.py; part of the format.
"""

Table = tuple[list[int], list[int], list[int], int]

# fmt: off
# ruff: noqa: E501
TABLES: dict[tuple[int, int, int], Table] = {
'''
FORMAT = Path(__file__).parent.parent / "docs" / "FORMAT.md"
SECTION = "### 18.7"


def document(found: dict[Unit, Predictor]) -> None:
    """Write the numbers into the document of the format, where they are its last section."""
    before, section = FORMAT.read_text("utf-8").split(SECTION)
    out = SECTION + section.split("\n    ")[0]
    for unit, predictor in sorted(found.items(), key=lambda item: (item[0].channels, item[0])):
        knots = predictor.knots.tolist()
        while len(knots) > 1 and knots[-1] == knots[-2]:
            knots.pop()
        lists = {"weights": predictor.weights.tolist(), "context": predictor.context.tolist(), "knots": knots}
        out += f"\n    C {unit.channels} stage {unit.stage} channel {unit.channel} shape {predictor.shape}\n"
        for name, numbers in lists.items():
            out += textwrap.fill(
                " ".join(map(str, [name, *numbers])), 120, initial_indent="    ", subsequent_indent=" " * 8
            )
            out += "\n"
    FORMAT.write_text(before + out, "utf-8")


def predictors(pictures: np.ndarray) -> dict[Unit, Predictor]:
    """Of pictures (C, N, H, W), those of stride 4."""
    found = fitted([pictures], 8, (32, 16, 8, 4))
    channels = len(pictures)
    return {Unit(stage, channel, channels): own for (stride, stage, channel), own in found.items() if stride == 4}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("crops", type=Path)
    crops = np.load(options.parse_args().crops, mmap_mode="r")[:, ::4]
    colour = crops.reshape(-1, *crops.shape[2:])[..., [1, 0, 2]].transpose(3, 0, 1, 2).copy()
    green, red, blue = colour.astype(np.float64)
    grey = np.rint(0.299 * red + 0.587 * green + 0.114 * blue).astype(np.uint8)[None]
    tables = HEAD
    every = {**predictors(grey), **predictors(colour)}
    document(every)
    for unit, found in every.items():
        numbers = [found.weights.tolist(), found.context.tolist(), found.knots.tolist(), found.shape]
        tables += f"    {tuple(unit)}: (\n" + "".join(f"        {part},\n" for part in numbers) + "    ),\n"
    Path(__file__).parent.parent.joinpath("bbcompress/codec/general_tables.py").write_text(tables + "}\n")


if __name__ == "__main__":
    main()
