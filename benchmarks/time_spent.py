"""Where the time of `bbc compress` and `decompress` goes, for a photograph and a large picture, beside JPEG XL.

    python benchmarks/time_spent.py PHOTOGRAPH... [--large MEGAPIXELS ...] [--engines onnx numpy] [-T 1] [-o FILE]

The commands run in processes of their own, with timers around the functions that do the work: seconds of the main
thread, each part without the parts that it calls, so that they add up to `all`, which is from the start of the process.
With several threads `networks` is how long the main thread waits for them. `check` is all that the check does. Parts of
less than a thousandth of `all` are left out. A large picture is made of parts of all photographs, the other one is the
first.
"""

import argparse
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from common import write_results
from photographs import mosaic
from PIL import Image

PARTS = {
    "networks": ("bbcompress.codec.corrections:outputs", "bbcompress.codec.corrections:Corrections.of"),
    "networks' inputs": ("bbcompress.codec.corrections:look", "bbcompress.codec.corrections:look_again"),
    "starting ONNX Runtime, proof": ("bbcompress.exact.engine:Engine.prepared",),
    "distributions": (
        "bbcompress.codec.lattice_encoder:expected",
        "bbcompress.codec.lattice_decoder:expected",
        "bbcompress.coding.shapes:ScaledShapes.intervals",
        "bbcompress.coding.shapes:ScaledShapes.locate",
        "bbcompress.codec.lattice_encoder:code_lengths",
    ),
    "rANS": (
        "bbcompress.codec.streams:encode",
        "bbcompress.codec.lattice_encoder:_Streams.finished",
        "bbcompress.coding.rans:Stack.pop",
    ),
    "predictors": (
        "bbcompress.codec.corrections:predict",
        "bbcompress.codec.lattice_encoder:keep",
        "bbcompress.codec.lattice_decoder:keep",
        "bbcompress.codec.lattice:Scale.join",
    ),
    "fitting predictors": ("bbcompress.codec.fit:best",),
    "fitting gains": ("bbcompress.codec.lattice_encoder:with_gain",),
    "choosing": (
        "bbcompress.archive.compress_single:candidates",
        "bbcompress.archive.compress_single:estimates",
        "bbcompress.archive.compress_single:shorter_file",
        "bbcompress.archive.compress_single:shorter_stored",
        "bbcompress.images.stored:encode",
    ),
    "loading the model": ("bbcompress.codec.registry:load",),
    "check": ("bbcompress.archive.compress_single:check",),
    "files": (
        "bbcompress.cli.compressing:Asked.listed",
        "bbcompress.images.files:read",
        "bbcompress.images.files:file_bytes",
        "bbcompress.images.place:_finish",
    ),
}
START, REST, ALL = "start-up", "the rest", "all"
WHOLE = "check"
"""What it calls is not told apart."""


class Timers:
    """Seconds by part, of the main thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = time.perf_counter()

    def switch(self) -> None:
        """Count what has passed for the part that runs."""
        now = time.perf_counter()
        self.seconds[self._running[-1] if self._running else REST] += now - self._since
        self._since = now

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(*arguments: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread() or WHOLE in self._running:
                return function(*arguments, **named)
            self.switch()
            self._running.append(part)
            try:
                return function(*arguments, **named)
            finally:
                self.switch()
                self._running.pop()

        return counted

    def wrap(self) -> None:
        """Time the functions of all parts."""
        for part, places in PARTS.items():
            for place in places:
                module, names = place.split(":")
                owner = importlib.import_module(module)
                *classes, name = names.split(".")
                for each in classes:
                    owner = getattr(owner, each)
                setattr(owner, name, self.timed(part, getattr(owner, name)))


def work(started: float, report: str, words: list[str]) -> None:
    """Run a command; `started` is when its process was, by the clock."""
    timers = Timers()
    timers.wrap()
    from bbcompress.cli import main as command

    timers.seconds[START] = time.time() - started
    timers._since = time.perf_counter()
    try:
        command(words)
    finally:
        timers.switch()
        Path(report).write_text(json.dumps(timers.seconds))


def parts_of(words: list[str], report: Path) -> dict[str, float]:
    """Seconds of a command by part, the end of its process with the rest."""
    started = time.time()
    # as the command itself does before numpy is imported
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, __file__, "--worker", str(started), str(report), *words], check=True, env=env)
    whole = time.time() - started
    seconds: dict[str, float] = json.loads(report.read_text())
    seconds[REST] += whole - sum(seconds.values())
    return seconds | {ALL: whole}


def jpeg_xl(pixels: np.ndarray) -> dict[str, float]:
    """Seconds of encoding (-e 7) and decoding, one thread."""
    started = time.perf_counter()
    data = imagecodecs.jpegxl_encode(pixels, lossless=True, effort=7, numthreads=1)
    encoded = time.perf_counter()
    imagecodecs.jpegxl_decode(data, numthreads=1)
    return {"JPEG XL -e 7, encode": encoded - started, "JPEG XL, decode": time.perf_counter() - encoded}


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(float(sys.argv[2]), sys.argv[3], sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, nargs="+")
    parser.add_argument("--large", type=int, nargs="*", default=[12], help="megapixels")
    parser.add_argument("--engines", nargs="+", default=["onnx", "numpy"])
    parser.add_argument("-T", "--threads", default=str(os.cpu_count()))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    photographs = [np.asarray(Image.open(path).convert("RGB")) for path in options.photographs]
    pictures = {"photograph": photographs[0]}
    pictures |= {f"{large} Mpixel": mosaic(photographs, large) for large in options.large}
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as work_folder:
        png, out, report = (Path(work_folder, name) for name in ("one.png", "one.bb", "seconds.json"))
        for name, pixels in pictures.items():
            Image.fromarray(pixels).save(png, compress_level=1)
            size = f"{name}, {pixels.shape[1]} x {pixels.shape[0]}"
            for what, seconds in jpeg_xl(pixels).items():
                rows.append({"picture": size, "command": what, "part": ALL, "seconds": seconds, "share": 1.0})
            for engine, effort in [*((engine, "2") for engine in options.engines), ("auto", "1")]:
                usual = ["-f", "-q", "--engine", engine, "-T", options.threads]
                label = f"--engine {engine}" if effort == "2" else "--effort 1"
                commands = {
                    f"compress {label}": ["compress", str(png), "-o", str(out), "--effort", effort, *usual],
                    f"decompress {label}": ["decompress", str(out), "-o", str(png.with_name("back.png")), *usual],
                }
                for command, words in commands.items():
                    seconds_of = parts_of(words, report)
                    for part, seconds in sorted(seconds_of.items(), key=lambda item: -item[1]):
                        share = seconds / seconds_of[ALL]
                        if share >= 0.001:
                            row = {"part": part, "seconds": round(seconds, 4), "share": round(share, 3)}
                            rows.append({"picture": size, "command": command} | row)
    threads = f"{options.threads} threads" if options.threads != "1" else "one thread"
    write_results("time_spent", options.output, rows, f"whole commands, {threads}; JPEG XL by one: coding alone")


if __name__ == "__main__":
    main()
