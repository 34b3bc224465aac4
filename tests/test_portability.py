"""The same bytes whatever the number of threads, the BLAS kernel, the CPU features, the engine: in fresh processes.

This file is also the program that they run: `python test_portability.py ENGINE BATCH [PIXELS.npy MODEL...]` prints a
JSON object of SHA-256 by what was compressed.
"""

import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bbcompress.codec import chain
from bbcompress.codec.model import Model, ModelInfo
from bbcompress.codec.model_file import DenseSpec, load, save
from bbcompress.exact.engine import engine_named
from bbcompress.exact.network import Range

Pixels = NDArray[np.uint8]

GOLDEN = {
    "model binary": "4cbd6851ff9ac66d8e49cd059f1fef3ba21d9df3065ed6cb1bcdb0d48a8999b4",
    "binary 0": "d635c263b64343f9fbc68ef5c89e2e2d57f7772882d8304d29ba9bc4fb8a80d7",
    "binary 3": "14fe59328bf9a6cc90f696274477467e804b3379ab59d677ef0c6a430d1c1486",
    "model grey": "73ecbcec7d9d7fd5d511570df3fe72a564505f024279a01a9254999ce9ca9456",
    "grey 0": "5e9b34795e8c103eec5398d17648f5011adf72e47c5a5767a7c862112bb40830",
    "grey 3": "cdfbee5d311335da9adc38ea792c1b745a95bb645f12dee42f28d190b8485d30",
}
"""SHA-256 of chains of `images` under `fixed_model`. They change only where the encoder's choices do, or the format."""


def integers(shape: tuple[int, ...], limit: int, seed: int) -> NDArray[np.int64]:
    """Integers in [-limit, limit] from a linear congruential generator, one step for each; never to be changed."""
    values, state = [], seed
    for _ in range(int(np.prod(shape))):
        state = (6364136223846793005 * state + 1442695040888963407) % 2**64
        values.append((state >> 33) % (2 * limit + 1) - limit)
    return np.array(values, np.int64).reshape(shape)


def fixed_model(path: Path, levels: int, components: int, engine: str, batch: int) -> Model:
    """A model of 9 x 7 images that no training made; its sums need float64 up to 2^45."""
    height, width, latent, hidden = 9, 7, 5, 40
    outputs = height * width * (1 if levels == 2 else 3 * components)
    pixels = Range(0, 1) if levels == 2 else Range(8, 255)
    middle, posterior = Range(11, 1 << 17), Range(10, 8 << 10)
    latents, output = Range(10, 8 << 10), Range(12, 16 << 12)

    def dense(inputs: int, outs: int, limit: int, source: Range, target: Range, relu: bool, seed: int) -> DenseSpec:
        weight, bias = integers((inputs, outs), limit, seed), integers((outs,), 1 << 13, seed + 1)
        return DenseSpec(weight, bias, 14, source, target, relu)

    info = ModelInfo("fixed", height, width, 1, levels, components, latent, 8, (0, -1, 1, 0, -2), 0.01)
    encoder = [
        dense(height * width, hidden, 4000, pixels, middle, True, 10),
        dense(hidden, 2 * latent, 1500, middle, posterior, False, 20),
    ]
    decoder = [
        dense(latent, hidden, 20000, latents, middle, True, 30),
        dense(hidden, outputs, 5000, middle, output, False, 40),
    ]
    save(path, info, encoder, decoder)
    return load(path, engine_named(engine), batch)


def images(model: Model) -> Pixels:
    """24 images: noise of rising density over gradients, of integers alone."""
    info = model.info
    places = np.arange(24 * info.subpixels).reshape(24, info.subpixels)
    noise = integers((24, info.subpixels), 100, 50)
    values = (places % info.width) * 30 + (places // info.width % info.height) * 7 + noise * (places // 500) // 5
    pixels: Pixels = (values % 256 if info.levels == 256 else values % 256 > 127).astype(np.uint8)
    return pixels


def digest(model: Model, pixels: Pixels, steps: int) -> str:
    encoded = chain.encode(model, pixels, steps, 16)
    if not np.array_equal(chain.decode(model, encoded.plan, encoded.data), pixels):
        raise AssertionError("pixels did not come back")
    return hashlib.sha256(
        repr((tuple(map(int, encoded.plan)), encoded.net_bits.tolist())).encode() + encoded.data
    ).hexdigest()


def main(folder: str, engine: str, batch: str, pixels_file: str = "", model_file: str = "") -> None:
    digests = {}
    for kind, levels, components in (("binary", 2, 1), ("grey", 256, 2)):
        model = fixed_model(Path(folder) / kind, levels, components, engine, int(batch))
        digests[f"model {kind}"] = model.identity.hex()
        for steps in (0, 3):
            digests[f"{kind} {steps}"] = digest(model, images(model), steps)
    if pixels_file:
        model = load(Path(model_file), engine_named(engine), int(batch))
        for steps in (0, 3):
            digests[f"digits {steps}"] = digest(model, np.load(pixels_file), steps)
    print(json.dumps(digests))


def run(
    folder: Path, arguments: list[str], environment: dict[str, str], engine: str = "numpy", batch: int = 256
) -> dict[str, str]:
    """What a fresh process prints; skips where this processor cannot run it."""
    names = ("OPENBLAS", "OMP", "MKL", "NPY", "BBC", "ATEN")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    command = [sys.executable, __file__, str(folder), engine, str(batch), *arguments]
    done = subprocess.run(command, env=plain | environment, capture_output=True, text=True, timeout=300)
    if done.returncode == -signal.SIGILL:
        pytest.skip("this processor lacks the instructions")
    assert done.returncode == 0, done.stderr
    digests: dict[str, str] = json.loads(done.stdout)
    return digests


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[str]:
    """Files of 40 real digits and their model, where there are any."""
    try:
        digits: Pixels = request.getfixturevalue("binary_digits")
        model_path: Callable[[str], Path] = request.getfixturevalue("model_path")
        model = model_path("mnist-binary")
    except pytest.skip.Exception:
        return []
    file = tmp_path_factory.mktemp("portability") / "digits.npy"
    np.save(file, digits[:40])
    return [str(file), str(model)]


@pytest.fixture(scope="module")
def expected(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of a process of one thread, without any other setting."""
    return run(tmp_path_factory.mktemp("expected"), arguments, {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})


def x86_only() -> None:
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("kernels of another processor")


def test_golden(expected: dict[str, str]) -> None:
    assert {name: value for name, value in expected.items() if not name.startswith("digits")} == GOLDEN


def test_digits_take_part(arguments: list[str], expected: dict[str, str]) -> None:
    assert ("digits 3" in expected) == bool(arguments)
    if not arguments:
        pytest.skip("no digits or no model")
    assert expected["digits 0"] != expected["digits 3"]


@pytest.mark.parametrize(("threads", "batch"), [("1", 7), ("2", 256)])
def test_same_for_any_number_of_threads(
    arguments: list[str], expected: dict[str, str], tmp_path: Path, threads: str, batch: int
) -> None:
    environment = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    assert run(tmp_path, arguments, environment, batch=batch) == expected


@pytest.mark.parametrize("core", ["Nehalem", "Haswell", "SkylakeX"])
def test_same_for_any_blas_kernel(arguments: list[str], expected: dict[str, str], tmp_path: Path, core: str) -> None:
    x86_only()
    assert run(tmp_path, arguments, {"OPENBLAS_CORETYPE": core, "OPENBLAS_NUM_THREADS": "1"}, batch=13) == expected


def test_same_without_numpys_vector_instructions(
    arguments: list[str], expected: dict[str, str], tmp_path: Path
) -> None:
    core = pytest.importorskip("numpy._core._multiarray_umath", exc_type=ImportError)
    features = [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]
    if not features:
        pytest.skip("this numpy or processor has none to switch off")
    environment = {"NPY_DISABLE_CPU_FEATURES": " ".join(features), "OPENBLAS_NUM_THREADS": "1"}
    assert run(tmp_path, arguments, environment) == expected


def test_same_with_torch(arguments: list[str], expected: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    # two threads that do not take turns spinning
    environment = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    assert run(tmp_path, arguments, environment, engine="torch", batch=5) == expected


if __name__ == "__main__":
    main(*sys.argv[1:])
