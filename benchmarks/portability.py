"""The same archive bytes, and the same pixels back, over threads, batches, engines, processors and numpy versions.

    python benchmarks/portability.py [--mnist FILE] [--cifar-10 FILE] [--images 200] [--python OTHER_PYTHON ...]

Each setting runs in a process of its own, which compresses images of each set with each of its models and K = 0, 1, 5,
decodes them and the reference archive, and prints hashes. `--python` names further interpreters with bbcompress
installed, for instance one with numpy 1.26, or one run by an emulator of another architecture ("qemu-aarch64
/path/python").
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
from itertools import product
from pathlib import Path

import numpy as np
from common import arguments, compressed, decoded, images_of, models_of, pictures, write_results

STEPS = (0, 1, 5)


def hashes(options: argparse.Namespace) -> dict[str, str]:
    """SHA-256 of the archives of each model and K; decodes them, and the reference's, and compares."""
    from bbcompress.codec.registry import Registry
    from bbcompress.exact.engine import Engine

    images_file, engine, threads, batch, reference = options.worker
    images = np.load(images_file)
    registry = Registry(Engine(int(threads), engine), batch=int(batch))
    result = {}
    for name in images.files:
        named = pictures(name, images[name])
        for path, steps in product(models_of(name, registry, options), STEPS):
            what = f"{path.stem}-K{steps}"
            data, _ = compressed(named, registry, path, steps)
            result[what] = hashlib.sha256(data).hexdigest()
            if reference:
                decoded(Path(reference, what).read_bytes(), named, registry)
            else:
                Path(images_file).with_name(what).write_bytes(data)
    return result


def settings(pythons: list[str]) -> list[tuple[str, list[str], dict[str, str], str, int, int]]:
    """(label, interpreter, environment, engine, threads, batch) of every run; the first is the reference."""
    own = [sys.executable]
    one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    two = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    runs = [("1 thread, batch 256, numpy engine", own, one, "numpy", 1, 256)]
    runs += [("2 threads", own, one, "numpy", 2, 256), ("2 threads of BLAS", own, two, "numpy", 1, 256)]
    runs += [(f"batch {batch}", own, one, "numpy", 1, batch) for batch in (1, 7, 64)]
    for core in ("Nehalem", "Haswell", "SkylakeX"):
        runs.append((f"OPENBLAS_CORETYPE={core}", own, one | {"OPENBLAS_CORETYPE": core}, "numpy", 1, 256))
    no_avx512 = {
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL X86_V4 AVX512_SPR"
    }
    runs.append(("numpy without AVX-512", own, one | no_avx512, "numpy", 1, 256))
    runs += [("onnx engine", own, one, "onnx", 1, 256), ("onnx engine, 2 threads", own, one, "onnx", 2, 64)]
    for number, python in enumerate(pythons, 1):
        runs.append((f"further interpreter {number}", shlex.split(python), one, "numpy", 1, 256))
    return runs


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.set_defaults(images=200)
    parser.add_argument("--python", action="append", default=[], help="a further interpreter's command")
    parser.add_argument("--worker", nargs=5, metavar=("IMAGES", "ENGINE", "THREADS", "BATCH", "REFERENCE"))
    options = parser.parse_args()
    if options.worker:
        about = {"numpy": np.__version__, "machine": platform.machine()}
        print(json.dumps({**about, **hashes(options)}))
        return
    rows: list[dict[str, object]] = []
    expected: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        images_file = str(Path(folder, "images.npz"))
        np.savez(images_file, **{name: images_of(name, options) for name in options.sets})
        for label, python, environment, engine, threads, batch in settings(options.python):
            reference = folder if rows else ""
            command = [*python, __file__, "--worker", images_file, engine, str(threads), str(batch), reference]
            command += ["--models", *options.models] if options.models else []
            done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
            if done.returncode:
                rows.append(
                    {
                        "setting": label,
                        "numpy": "",
                        "machine": "",
                        "archives": "failed: " + (done.stderr.splitlines() or ["no message"])[-1],
                    }
                )
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            about = {key: found.pop(key) for key in ("numpy", "machine")}
            expected = expected or found
            rows.append(
                {
                    "setting": label,
                    **about,
                    "archives": "identical, decoded alike" if found == expected else "DIFFERENT",
                }
            )
    write_results(
        "portability",
        options.output,
        rows,
        f"K = {STEPS}, {options.images} images of each set: {', '.join(options.sets)}",
    )
    if any(row["archives"] != "identical, decoded alike" for row in rows):
        sys.exit("not portable")


if __name__ == "__main__":
    main()
