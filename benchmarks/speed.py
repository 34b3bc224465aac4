"""Time an image of coding test images, both ways, by model and refinement steps, and where the time goes.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/speed.py [--mnist FILE] [--cifar-10 FILE] [--images 1000]
        [--engines numpy,onnx] [--threads 2]

Milliseconds an image, the best of several runs, for the chain of all images (`compress`; `decompress` with comparing;
no image files read or written): wall clock with as many threads, and CPU time of the process. For its stages CPU time
of one thread, measured in a run of their own: networks (matrix products and activations), distributions (frequencies
from network outputs, and finding symbols), stack (rANS). `files` is writing PNG files, checked, and reading them,
beside it. Photographs are timed by photographs.py.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import Named, arguments, cases, chain_decoded, chain_of, write_results
from stopwatch import Stages, stages_timed

from bbcompress.codec.mixture import Mixture
from bbcompress.codec.registry import Registry
from bbcompress.coding import distributions
from bbcompress.coding.rans import Stack
from bbcompress.exact.engine import Engine
from bbcompress.exact.network import Network
from bbcompress.images.files import file_bytes, read
from bbcompress.images.picture import Picture

STAGES: Stages = {
    "networks": [(Network, "forward"), (Network, "backward")],
    "stack": [(Stack, "push"), (Stack, "pop")],
    "distributions": [
        (distributions.CdfDistribution, "locate"),
        (distributions.LogisticMixture, "locate"),
        (distributions.CdfDistribution, "intervals"),
        (distributions.BernoulliPairs, "locate"),
        (distributions.BernoulliPairs, "intervals"),
        (distributions.BernoulliPairs, "of"),
        (Mixture, "of"),
    ],
}


class Times(NamedTuple):
    """The least of several runs, in ms an image."""

    wall_ms: float
    cpu_ms: float
    result: Any


def timed(function: Callable[[], Any], runs: int, images: int) -> Times:
    """Times of `function`, and what it gives."""
    wall = cpu = float("inf")
    for _ in range(runs):
        started, cpu_started = time.perf_counter(), time.process_time()
        result = function()
        wall, cpu = min(wall, time.perf_counter() - started), min(cpu, time.process_time() - cpu_started)
    return Times(1e3 * wall / images, 1e3 * cpu / images, result)


def file_ms(named: list[tuple[str, Picture]]) -> float:
    """Time of encoding each picture as PNG, checked, and reading it again, in ms an image."""
    return timed(lambda: [read(file_bytes(picture)) for _, picture in named], 1, len(named)).cpu_ms


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.set_defaults(images=1000)
    parser.add_argument("--refine-steps", default="0,1,5,10")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--engines", default="auto", help="auto, numpy, onnx, or several")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for engine in options.engines.split(","):
        registries = Registry(Engine(options.threads, engine)), Registry(Engine(1, engine))
        for case in cases(options, registries[0]):
            rows += [
                {"engine": engine, "threads": options.threads} | row for row in measured(case, *registries, options)
            ]
    includes = "ms an image; stages are CPU time of one thread, in a run of their own with timers"
    write_results("speed", options.output, rows, includes)


def measured(
    case: tuple[str, np.ndarray, Named, Path], registry: Registry, one_thread: Registry, options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Rows of a case, by refinement steps."""
    _, images, named, path = case
    chained = [picture for _, picture in named]
    files = file_ms(named)
    for steps in map(int, options.refine_steps.split(",")):
        encode = partial(chain_of, chained, registry.load(path), steps)
        compress = timed(encode, options.runs, len(named))
        decode = partial(chain_decoded, compress.result, chained, registry)
        decompress = timed(decode, options.runs, len(named))
        row: dict[str, object] = {
            "model": path.stem,
            "images": "x".join(map(str, images.shape[:3])),
            "K": steps,
            "bits_per_dim": 8 * len(compress.result.payload.data) / images.size,
            "compress_ms": compress.wall_ms,
            "decompress_ms": decompress.wall_ms,
            "compress_cpu_ms": compress.cpu_ms,
            "decompress_cpu_ms": decompress.cpu_ms,
        }
        encode = partial(chain_of, chained, one_thread.load(path), steps)
        decode = partial(chain_decoded, compress.result, chained, one_thread)
        for way, function in (("compress", encode), ("decompress", decode)):
            with stages_timed(STAGES) as stopwatch:
                function()
            for stage, seconds in stopwatch.seconds.items():
                row[f"{way}_{stage}_ms"] = 1e3 * seconds / len(named)
        yield row | {"files_ms": files}


if __name__ == "__main__":
    main()
