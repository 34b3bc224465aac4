"""What the benchmarks share: digits, the machine's description, tables and JSON results."""

import argparse
import json
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bbcompress.archive.compress import CheckFailed, Options, Summary, compress_archive
from bbcompress.archive.read import Archive
from bbcompress.codec.registry import Registry
from bbcompress.datasets import binarize, load
from bbcompress.images.picture import Picture

RESULTS = Path(__file__).parent / "results"
MODELS = {"binary": "mnist-binary", "grey": "mnist-grey"}


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", help="MNIST test images: an IDX, .npy or .npz file; default: downloaded")
    parser.add_argument("--images", type=int, help="use the first so many images")
    parser.add_argument("--output", type=Path, help="JSON file to write; default: results/ beside this script")
    return parser


def digits(source: str | None, count: int | None) -> np.ndarray:
    """Test digits (N, 28, 28) uint8, grey."""
    if source is None:
        from bbcompress.datasets.download import download

        source = str(download("mnist")["test"])
    return load(source)[:count, :, :, 0]


def pictures(images: np.ndarray, kind: str) -> list[tuple[str, Picture]]:
    """Named pictures of grey digits, as they are or (kind `binary`) rounded at one half."""
    mode, pixels = ("L", images) if kind == "grey" else ("1", binarize(images))
    return [(f"{number:05d}.png", Picture(mode, image)) for number, image in enumerate(pixels)]


def compressed(named: list[tuple[str, Picture]], registry: Registry, steps: int) -> tuple[bytes, Summary]:
    """An archive that was decoded and compared."""
    return compress_archive(named, registry, Options(refine_steps=steps, check=True))


def decoded(data: bytes, named: list[tuple[str, Picture]], registry: Registry) -> None:
    """Decode an archive and compare with what went in."""
    items = sorted(Archive(data).decode(registry), key=lambda item: item.number)
    for (_, picture), item in zip(named, items, strict=True):
        if not item.picture.same_as(picture):
            raise CheckFailed("an archive did not decode to what was compressed")


def machine() -> dict[str, str | int | None]:
    """What a reader needs to judge times by."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return {
        "date": date.today().isoformat(),
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("bbcompress", "numpy", "pillow", "safetensors")},
    }


def write_results(name: str, output: Path | None, rows: list[dict[str, object]], includes: str) -> None:
    """Print rows as a table, and write them with the machine as JSON."""
    for row in table(rows):
        print(row)
    path = output or RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"benchmark": name, "includes": includes, "machine": machine(), "rows": rows}, indent=2))
    print(f"written to {path}")


def table(rows: list[dict[str, object]]) -> list[str]:
    """Rows of equal keys as aligned text."""
    cells = [[str(key) for key in rows[0]]]
    cells += [[f"{value:.5g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
