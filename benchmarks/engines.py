"""Time 8-bit networks by engine, width and number of threads, and the proof at the first use.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmarks/engines.py [--widths 32,48,64,96] [--threads 1,2]

A network is 1 x 1 from 48 channels to its width, two residual blocks of two 3 x 3 convolutions, and 1 x 1 to 12
integers in the end, with made-up weights. It runs over 256 x 384 places (a stage of 768 x 512 pixels), eight
images of 32 x 384 and 1,000 of 8 x 8, several images shared by the threads; the best of several runs.

`gop_s` counts multiplications and additions, by the clock. `cpu_ms` is the time of
all threads together, which says more where a machine has other work. `first_ms` is preparing a network of this width:
for onnx making its session, and the first time in a process the proof; `next_ms` a second one of the same shapes.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from common import write_results

from bbcompress.exact import int8_onnx
from bbcompress.exact.engine import Engine
from bbcompress.exact.int8 import Convolution, Layer, Linear, Network, Residual

INPUTS, OUTPUTS, BLOCKS = 48, 12, 2
SETTINGS = {
    "256 x 384": (1, 256, 384),
    "8 of 32 x 384": (8, 32, 384),
    "1000 of 8 x 8": (1000, 8, 8),
}


def network(width: int, seed: int) -> Network:
    """Made-up weights that leave most activations between 0 and 255."""
    rng = np.random.default_rng(seed)

    def convolution(kernel: int, inputs: int, seen: bool = False, given: bool = False) -> Convolution:
        values = kernel * kernel * inputs
        weight = rng.integers(-60, 61, (kernel, kernel, inputs, width))
        shift = np.full(width, int(35 * 147 * values**0.5 / 64).bit_length())
        return Convolution(weight, rng.integers(-1000, 9000, width) * int(values**0.5), shift, seen, given)

    layers: list[Layer] = [convolution(1, INPUTS, seen=True)]
    layers += [Residual(convolution(3, width), convolution(3, width, given=True)) for _ in range(BLOCKS)]
    layers.append(Linear(rng.integers(-8000, 8000, (width, OUTPUTS)), rng.integers(-(2**20), 2**20, OUTPUTS)))
    return Network(tuple(layers))


def measured(engine: Engine, name: str, width: int, runs: int) -> list[dict[str, object]]:
    """Rows of one engine and width."""
    first, other = network(width, 0), network(width, 1)
    preparing = []
    for one in first, other:
        started = time.perf_counter()
        engine.prepared(one)
        preparing.append(1e3 * (time.perf_counter() - started))
    run = engine.prepared(first)
    rows: list[dict[str, object]] = []
    for setting, shape in SETTINGS.items():
        x = np.random.default_rng(2).integers(0, 256, (*shape, INPUTS)).astype(np.uint8)
        seconds, cpu = [], []
        for _ in range(runs):
            started, cpu_started = time.perf_counter(), time.process_time()
            engine.map(run, np.array_split(x, min(len(x), engine.threads)))
            seconds.append(time.perf_counter() - started)
            cpu.append(time.process_time() - cpu_started)
        operations = 2 * first.multiply_adds * x.size // INPUTS
        rows.append(
            {
                "engine": name,
                "threads": engine.threads,
                "width": width,
                "places": setting,
                "ms": 1e3 * min(seconds),
                "cpu_ms": 1e3 * min(cpu),
                "gop_s": operations / min(seconds) / 1e9,
                "first_ms": preparing[0],
                "next_ms": preparing[1],
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", default="32,48,64,96")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--engines", default="onnx,numpy")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, help="where to write JSON")
    options = parser.parse_args()
    started = time.perf_counter()
    import onnxruntime

    importing = time.perf_counter() - started
    int8_onnx.prepare(network(8, 0))(np.zeros((1, 1, 1, INPUTS), np.uint8))
    rows = []
    for width in map(int, options.widths.split(",")):
        for name in options.engines.split(","):
            for threads in map(int, options.threads.split(",")):
                rows += measured(Engine(threads, name), name, width, options.runs)
    includes = f"onnxruntime {onnxruntime.__version__}, imported in {1e3 * importing:.0f} ms"
    write_results("engines", options.output, rows, includes)


if __name__ == "__main__":
    main()
