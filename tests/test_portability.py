"""The same bytes whatever the number of threads, the BLAS kernel, the CPU features: in fresh processes.

This file is also the program that they run: `python test_portability.py FOLDER BATCH [PIXELS.npy MODEL]...`
prints a JSON object of SHA-256 by what was compressed.
"""

import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import thumbnails
from made_models import make_corrector, make_spatial
from numpy.typing import NDArray

from bbcompress.codec import chain, lattice_decoder, lattice_encoder
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.dense import DenseInfo, DenseModel
from bbcompress.codec.dense_file import DenseContents
from bbcompress.codec.lattice_walk import Shape
from bbcompress.codec.layer_specs import DenseSpec
from bbcompress.codec.model import SizedModel
from bbcompress.codec.model_file import load, save
from bbcompress.codec.refine import Method, refine
from bbcompress.codec.registry import Registry
from bbcompress.exact.engine import Engine
from bbcompress.exact.network import Range

Pixels = NDArray[np.uint8]

GOLDEN = {
    "model binary": "4cbd6851ff9ac66d8e49cd059f1fef3ba21d9df3065ed6cb1bcdb0d48a8999b4",
    "binary 0": "44e85f8b97a2a45aeee578b7db84fe61fdbf123dd25f3805751eedee9adaf47b",
    "binary 3": "cb27e3c1446e3ba968f3ae6515bf9dcbd7f048bc280c7df86fcee8b62751ac2f",
    "model grey": "73ecbcec7d9d7fd5d511570df3fe72a564505f024279a01a9254999ce9ca9456",
    "grey 0": "93b1456e30dda7f4624000d17f66dbd97b61317a21785402c6bfba4d52c6b0d7",
    "grey 3": "1462f17950bd213d4204c07443985a0312bc1d9b1bf9cf0827816fa64964e1a4",
    "model colour": "32be4ed3aef59be92845d035e548bcf28c0a186017dfffa9d92a61fa6efb6c3f",
    "colour 0": "daa0b9bce48a62572f73582c2bef3235ccc2c3945c42081c423c3aa0add4654c",
    "colour 3": "cdde28509252f47872578960ba3d2c972dca44686a946796e775249ed8db4bbb",
    "model bilevel": "7763d3d80db9cea2e0781bad61588becbf7b6d01f3c40dee976250103cc2008f",
    "bilevel 0": "6b70736aa2d121a06cfa896fb39fd6e6899466dccc81ff2e5699e8ef835e7f17",
    "bilevel 3": "885fa9ba90e599119b94ba9afc1d1eaa0579c0f1e9d15ab726290c3a4ddec781",
    "coarse to fine False": "c9c59f751a85360fa3b3228ad97cff47c1ec85fc544ee7ab642d0959d0ed79bd",
    "coarse to fine True": "41b0b31f89dee2b2965f47146e664d7683f6ed7a1c39b45a274610dea240b655",
}
"""SHA-256 of chains of `images` under `fixed_model`, and of batches coarse to fine. They change only where the
encoder's choices do, or the format."""


def integers(shape: tuple[int, ...], limit: int, seed: int) -> NDArray[np.int64]:
    """Integers in [-limit, limit] from a linear congruential generator, one step for each; never to be changed."""
    values, state = [], seed
    for _ in range(int(np.prod(shape))):
        state = (6364136223846793005 * state + 1442695040888963407) % 2**64
        values.append((state >> 33) % (2 * limit + 1) - limit)
    return np.array(values, np.int64).reshape(shape)


def fixed_model(path: Path, levels: int, components: int, batch: int) -> DenseModel:
    """A model of 9 x 7 images that no training made; its sums need float64 up to 2^45."""
    height, width, latent, hidden = 9, 7, 5, 40
    outputs = height * width * (1 if levels == 2 else 3 * components)
    pixels = Range(0, 1) if levels == 2 else Range(8, 255)
    middle, posterior = Range(11, 1 << 17), Range(10, 8 << 10)
    latents, output = Range(10, 8 << 10), Range(12, 16 << 12)

    def dense(inputs: int, outs: int, limit: int, source: Range, target: Range, relu: bool, seed: int) -> DenseSpec:
        weight, bias = integers((inputs, outs), limit, seed), integers((outs,), 1 << 13, seed + 1)
        return DenseSpec(weight, bias, 14, source, target, relu)

    info = DenseInfo("fixed", height, width, 1, levels, components, latent, 8, (0, -1, 1, 0, -2), 0.01)
    encoder = [
        dense(height * width, hidden, 4000, pixels, middle, True, 10),
        dense(hidden, 2 * latent, 1500, middle, posterior, False, 20),
    ]
    decoder = [
        dense(latent, hidden, 20000, latents, middle, True, 30),
        dense(hidden, outputs, 5000, middle, output, False, 40),
    ]
    save(path, DenseContents(info, encoder, decoder))
    return load(path, Engine(), batch)


def images(model: DenseModel) -> Pixels:
    """24 images: noise of rising density over gradients, of integers alone."""
    info = model.info
    places = np.arange(24 * info.subpixels).reshape(24, info.subpixels)
    noise = integers((24, info.subpixels), 100, 50)
    values = (places % info.width) * 30 + (places // info.width % info.height) * 7 + noise * (places // 500) // 5
    pixels: Pixels = (values % 256 if info.levels == 256 else values % 256 > 127).astype(np.uint8)
    return pixels


def digest(model: SizedModel, pixels: Pixels, steps: int) -> str:
    encoded = chain.encode([chain.Group(model, pixels)], chain.Layout(16, 16), steps)
    if not np.array_equal(chain.decode([(model, len(pixels))], encoded.plan, encoded.data).pixels[0], pixels):
        raise AssertionError("pixels did not come back")
    return hashlib.sha256(
        repr((tuple(map(int, encoded.plan)), encoded.net_bits.tolist())).encode() + encoded.data
    ).hexdigest()


def lattice_digest(path: Path, corrected: bool) -> str:
    save(path, make_corrector(3, width=8))
    model = load(path, Engine())
    assert isinstance(model, CorrectorModel)
    rows, columns = np.ogrid[:160, :140]
    pictures = [(rows * columns // 90 + rows // 2 + integers((3, 2, 160, 140), 20, 70)).clip(0, 255).astype(np.uint8)]
    corrector = model.corrector if corrected else None
    data = lattice_encoder.encode(pictures, 8, corrector, Engine()).data
    shapes = [Shape(2, 160, 140)]
    for engine in Engine(), Engine(2, "onnx"):
        if not np.array_equal(lattice_decoder.decode(data, shapes, 3, 8, corrector, engine)[0], pictures[0]):
            raise AssertionError("pixels did not come back")
    return hashlib.sha256(data).hexdigest()


def corrected_digest(model: CorrectorModel, pixels: Pixels) -> str:
    """Of what the networks say of noise."""
    whole = hashlib.sha256()
    for network in model.corrector.all_networks:
        seen = np.resize(pixels, (1, 20, 17, network.inputs))
        for engine in Engine(), Engine(2, "onnx"):
            whole.update(engine.prepared(network)(seen).astype("<i4").tobytes())
    return whole.hexdigest()


def main(folder: str, batch: str, *files: str) -> None:
    digests = {}
    for kind, levels, components in (("binary", 2, 1), ("grey", 256, 2)):
        model = fixed_model(Path(folder) / kind, levels, components, int(batch))
        digests[f"model {kind}"] = model.identity.hex()
        for steps in (0, 3):
            digests[f"{kind} {steps}"] = digest(model, images(model), steps)
    for kind, channels, components, levels in (("colour", 3, 2, 256), ("bilevel", 1, 1, 2)):
        save(Path(folder) / kind, make_spatial(True, channels, components, levels, coarse=levels == 256))
        spatial = load(Path(folder) / kind, Engine(), int(batch))
        digests[f"model {kind}"] = spatial.identity.hex()
        pixels = integers((24, 13 * 10 * channels), 127, 60) % levels
        for steps in (0, 3):
            digests[f"{kind} {steps}"] = digest(spatial.sized(13, 10), pixels.astype(np.uint8), steps)
    for corrected in False, True:
        digests[f"coarse to fine {corrected}"] = lattice_digest(Path(folder) / "corrector", corrected)
    for pixels_file, model_file in zip(files[::2], files[1::2], strict=True):
        pixels = np.load(pixels_file)
        loaded = load(Path(model_file), Engine(), int(batch))
        if isinstance(loaded, CorrectorModel):
            digests[f"shipped {model_file}"] = corrected_digest(loaded, pixels)
            continue
        model = loaded.sized(*pixels.shape[1:3])
        rows = pixels.reshape(len(pixels), -1)
        digests[f"shipped {model_file}"] = digest(model, rows, 0)
        # short chains of digits hold no posterior that could be refined
        refined = refine(model, rows, model.posterior(rows), 0, 5, Method.NATURAL)
        digests[f"shipped {model_file}, refined"] = hashlib.sha256(refined.mean.tobytes()).hexdigest()
    print(json.dumps(digests))


def run(folder: Path, arguments: list[str], environment: dict[str, str], batch: int = 256) -> dict[str, str]:
    """What a fresh process prints; skips where this processor cannot run it."""
    names = ("OPENBLAS", "OMP", "MKL", "NPY", "BBC")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    command = [sys.executable, __file__, str(folder), str(batch), *arguments]
    done = subprocess.run(command, env=plain | environment, capture_output=True, text=True, timeout=300)
    if done.returncode == -signal.SIGILL:
        pytest.skip("this processor lacks the instructions")
    assert done.returncode == 0, done.stderr
    digests: dict[str, str] = json.loads(done.stdout)
    return digests


@pytest.fixture(scope="module", params=["made", pytest.param("shipped", marks=pytest.mark.slow)])
def arguments(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[str]:
    """Files of images, and of the shipped model for each; none for the models that are made for this."""
    if request.param == "made":
        return []
    folder = tmp_path_factory.mktemp("portability")
    arguments = []
    for path, header in Registry().headers():
        info = header.info
        if info.channels == 3:
            pixels = np.stack([picture.pixels for picture in thumbnails(4)])
        else:
            digits: Pixels = request.getfixturevalue("binary_digits" if info.levels == 2 else "digits")
            pixels = digits[:8].reshape(-1, 28, 28, 1)
        np.save(folder / f"{path.stem}.npy", pixels)
        arguments += [str(folder / f"{path.stem}.npy"), str(path)]
    return arguments


@pytest.fixture(scope="module")
def expected(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of a process of one thread, without any other setting."""
    return run(tmp_path_factory.mktemp("expected"), arguments, {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})


def x86_only() -> None:
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("kernels of another processor")


def test_golden(expected: dict[str, str]) -> None:
    assert {name: value for name, value in expected.items() if not name.startswith("shipped")} == GOLDEN


def test_shipped_models_take_part(arguments: list[str], expected: dict[str, str]) -> None:
    assert {f"shipped {model}" for model in arguments[1::2]} == expected.keys() - GOLDEN.keys() - {
        name for name in expected if name.endswith(", refined")
    }


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


if __name__ == "__main__":
    main(*sys.argv[1:])
