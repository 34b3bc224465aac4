"""The same archive bytes, and the same pixels back, over engines, threads, batches, bands, processors and libraries.

    python benchmarks/portability.py PHOTOGRAPH [--mnist FILE] [--cifar-10 FILE] [--images 60] [--models NAME ...]
        [--python COMMAND ...] [--emulated COMMAND ...]

Each setting runs in a process of its own, which compresses with every shipped model, and by predictors alone, decodes
what it wrote and what the first setting wrote, and prints hashes. Correctors and predictors code parts of a photograph
and small images; models with latents images of their sets, for K = 0 and 1. `--python` names further interpreters that
have bbcompress's requirements, for instance one with another ONNX Runtime or numpy; `--emulated` ones that code only
the smallest inputs, for instance "qemu-x86_64 -cpu Nehalem PYTHON" or an emulated aarch64's. Those that lack ONNX
Runtime, or cannot run it, are tried with numpy.
"""

import argparse
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import TEST_SETS, add_data_arguments, decoded, images_of, pictures, write_results
from numpy.typing import NDArray
from PIL import Image

from bbcompress.archive.compress import Options, compress_archive
from bbcompress.archive.options import MAX_SEGMENT_PIXELS
from bbcompress.codec import corrections
from bbcompress.codec.corrector_file import CorrectorInfo
from bbcompress.codec.registry import Registry
from bbcompress.exact.engine import Engine
from bbcompress.exact.int8_numpy import Run
from bbcompress.images.picture import Picture

LARGE, SMALL = (288, 416), (64, 64)
"""Height and width of parts of the photograph."""
SMALL_IMAGES = 2
SAME = "identical, decoded alike"
NO_AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
KERNELS = "Nehalem", "Haswell", "SkylakeX"
BANDS = 1, 7, 50


class Setting(NamedTuple):
    """How a process computes."""

    label: str
    python: list[str]
    environment: dict[str, str]
    engine: str = "numpy"
    threads: int = 1
    batch: int = 256
    band: int = 0
    """Rows that a corrector's network computes at once; 0: as it is."""
    small: bool = False

    @property
    def correctors_only(self) -> bool:
        """Engines and bands are of 8-bit networks; nothing else is computed otherwise."""
        return self.engine == "onnx" or self.band > 0


class Case(NamedTuple):
    """What is compressed, how."""

    name: str
    named: list[tuple[str, Picture]]
    options: Options


def cases(inputs: Any, registry: Registry, setting: Setting, only: list[str] | None) -> Iterator[Case]:
    """All of every shipped model, smallest inputs first; `inputs` are arrays by what they are."""
    sizes = {"small": SMALL} if setting.small else {"small": SMALL, "large": LARGE}
    for size, (height, width) in sizes.items():
        count = SMALL_IMAGES if size == "small" else None
        photograph = inputs["photograph"][:height, :width]
        grey = np.ascontiguousarray(photograph[..., 1])
        deep = (grey.astype(np.uint16) << 6) + (photograph[..., 0] >> 2)
        alone = {"RGB": photograph, "L": grey, "L16": deep}
        for mode in ("RGB", "L16"):
            if not only and not setting.correctors_only:
                yield Case(f"predictors alone, {mode}, {size}", [("0.png", Picture(mode, alone[mode]))], plain(None, 0))
        for path, header in sorted(registry.headers()):
            info = header.info
            if only and info.name not in only:
                continue
            kind = "colour" if info.channels == 3 else "binary" if info.levels == 2 else "grey"
            named = pictures(kind, inputs[kind][:count])
            if isinstance(info, CorrectorInfo):
                picture = Picture(TEST_SETS[kind].mode, alone[TEST_SETS[kind].mode])
                yield Case(f"{info.name}, {size}", [("0.png", picture)], plain(path, 0))
                yield Case(f"{info.name}, images, {size}", named, plain(path, 0))
                continue
            if setting.correctors_only:
                continue
            for steps in (0,) if size == "small" else (0, 1):
                yield Case(f"{info.name}, K = {steps}, {size}", named, plain(path, steps))


def plain(model: Path | None, steps: int) -> Options:
    effort = 2 if model else 1
    return Options(steps, model, check=False, effort=effort, segment_pixels=MAX_SEGMENT_PIXELS)


ROWS_AROUND = 16
"""As many as any network sees, or more."""


def in_bands(rows: int) -> None:
    """Have correctors compute so many rows at a time."""
    whole = corrections.outputs

    def outputs(run: Run, seen: NDArray[np.uint8], wanted: slice) -> NDArray[Any]:
        bands = []
        for start in range(wanted.start, wanted.stop, rows):
            stop = min(start + rows, wanted.stop)
            first, last = max(0, start - ROWS_AROUND), stop + ROWS_AROUND
            bands.append(whole(run, seen[:, first:last], slice(start - first, stop - first)))
        return np.concatenate(bands, 1)

    corrections.outputs = outputs


def work(folder: Path, setting: Setting, first: bool, only: list[str] | None) -> dict[str, Any]:
    """Versions, what engines said, and SHA-256 of every case's archive; decodes these and the first setting's."""
    said: list[str] = []
    engine = Engine(setting.threads, setting.engine)
    engine.report = said.append
    registry = Registry(engine, batch=setting.batch)
    if setting.band:
        in_bands(setting.band)
    hashes = {}
    for case in cases(np.load(folder / "inputs.npz"), registry, setting, only):
        started = time.monotonic()
        data, _ = compress_archive(case.named, registry, case.options)
        hashes[case.name] = hashlib.sha256(data).hexdigest()
        known = folder / f"{case.name}.bb"
        if first:
            known.write_bytes(data)
        decoded(data, case.named, registry)
        if known.read_bytes() != data:
            decoded(known.read_bytes(), case.named, registry)
        print(f"  {case.name}: {len(data)} bytes, {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return {"numpy": np.__version__, "onnxruntime": runtime(), "machine": platform.machine(), "said": said} | {
        "hashes": hashes
    }


def runtime() -> str:
    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        return ""


def settings(pythons: list[str], emulated: list[str]) -> Iterator[Setting]:
    """All; the first is the reference."""
    own = [sys.executable]
    one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    two = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    yield Setting("numpy engine, 1 thread", own, one)
    yield Setting("numpy engine, 2 threads", own, one, threads=2, batch=64)
    yield Setting("numpy engine, 2 threads of BLAS", own, two)
    yield Setting("onnx engine, 1 thread", own, one, "onnx")
    yield Setting("onnx engine, 2 threads", own, one, "onnx", 2, 64)
    for batch in (1, 7):
        yield Setting(f"batches of {batch}", own, one, batch=batch)
    for band in BANDS:
        yield Setting(f"numpy engine, bands of {band} rows", own, one, band=band)
        yield Setting(f"onnx engine, bands of {band} rows", own, one, "onnx", 2, band=band)
    if platform.machine() == "x86_64":
        for core in KERNELS:
            yield Setting(f"OPENBLAS_CORETYPE={core}", own, one | {"OPENBLAS_CORETYPE": core})
        yield Setting("numpy without AVX-512", own, one | {"NPY_DISABLE_CPU_FEATURES": NO_AVX512})
    for python in pythons:
        for engine in ("numpy", "onnx"):
            for threads in (1, 2):
                label = f"{Path(shlex.split(python)[-1]).parent.parent.name}, {engine} engine, {threads} threads"
                yield Setting(label, shlex.split(python), one, engine, threads)
    for python in emulated:
        for engine in ("numpy", "onnx"):
            label = " ".join(Path(word).name for word in shlex.split(python)[:-1]) or Path(python).name
            yield Setting(f"{label}, {engine} engine", shlex.split(python), one, engine, small=True)


def result_of(found: dict[str, Any], expected: dict[str, str], engine: str) -> str:
    if engine == "onnx" and found["said"]:
        return f"not tried: {found['said'][0]}"
    differing = [name for name, digest in found["hashes"].items() if expected[name] != digest]
    return f"decoded alike, WRITTEN DIFFERENTLY: {', '.join(differing)}" if differing else SAME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photograph", type=Path)
    add_data_arguments(parser)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--python", action="append", default=[], help="a further interpreter's command")
    parser.add_argument("--emulated", action="append", default=[], help="the same, for small inputs only")
    parser.add_argument("--small", action="store_true", help="smallest inputs only, for all settings")
    parser.add_argument("--only", help="settings whose names hold this, beside the first")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        folder, setting, first = json.loads(options.worker)
        print(json.dumps(work(Path(folder), Setting(*setting), first, options.models)))
        return
    rows: list[dict[str, object]] = []
    expected: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        photograph = np.asarray(Image.open(options.photograph).convert("RGB"))[: LARGE[0], : LARGE[1]]
        inputs: dict[str, Any] = {name: images_of(name, options) for name in TEST_SETS}
        np.savez(Path(folder, "inputs.npz"), **inputs, photograph=photograph)
        for setting in settings(options.python, options.emulated):
            if rows and options.only and options.only not in setting.label:
                continue
            setting = setting._replace(small=setting.small or options.small)
            print(setting.label, file=sys.stderr, flush=True)
            started = time.monotonic()
            command = [*setting.python, __file__, str(options.photograph)]
            command += ["--worker", json.dumps([folder, setting, not rows])]
            command += ["--models", *options.models] if options.models else []
            done = subprocess.run(command, env=os.environ | setting.environment, stdout=subprocess.PIPE, text=True)
            about = {
                "numpy": "",
                "onnxruntime": "",
                "machine": "",
                "archives": f"failed: exit status {done.returncode}",
            }
            if not done.returncode:
                found = json.loads(done.stdout.splitlines()[-1])
                expected = expected or found["hashes"]
                about = {key: found[key] for key in ("numpy", "onnxruntime", "machine")}
                about |= {"archives": result_of(found, expected, setting.engine)}
            seconds = round(time.monotonic() - started)
            rows.append({"setting": setting.label, **about, "cases": len(found["hashes"]), "seconds": seconds})
            write_results("portability", options.output, rows, f"{', '.join(expected)}; {options.images} images")
    if any(row["archives"] != SAME for row in rows):
        sys.exit("not portable, or not all could be tried")


if __name__ == "__main__":
    main()
