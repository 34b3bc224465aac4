"""Installed models: which there are, and loading them by name, file or identity."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bbcompress.codec.dense import DenseInfo
from bbcompress.codec.model import NETWORK_BATCH
from bbcompress.codec.model_file import Header, Model, load, read_header
from bbcompress.codec.spatial import SpatialInfo
from bbcompress.exact.engine import Engine, NumpyEngine

MODEL_PATH_VARIABLE = "BBC_MODEL_PATH"
"""Environment variable with further folders of models, separated as PATH is."""


class ModelNotFound(LookupError):
    """No installed model has this name or identity."""


def shipped_models() -> Path:
    """The folder of models that come with the package (in a wheel inside it, in a checkout beside it)."""
    package = Path(__file__).parent.parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


class Registry:
    """Models by name and identity, each loaded when first needed, on one engine."""

    def __init__(self, engine: Engine | None = None, files: Sequence[Path] = (), batch: int = NETWORK_BATCH):
        """`files` are models besides the installed ones, and come before them; `batch` is as for `Model`."""
        self.engine, self._batch = engine or NumpyEngine(), batch
        self._files = list(files)
        folders = [Path(folder) for folder in os.environ.get(MODEL_PATH_VARIABLE, "").split(os.pathsep) if folder]
        for folder in [*folders, shipped_models()]:
            self._files += sorted(folder.glob("*.safetensors"))
        self._headers: dict[Path, Header] = {}
        self._loaded: dict[Path, Model] = {}

    def headers(self) -> Iterator[tuple[Path, Header]]:
        """Every model's file and description, in order of preference."""
        for path in self._files:
            if path not in self._headers:
                self._headers[path] = read_header(path)
            yield path, self._headers[path]

    def load(self, path: Path) -> Model:
        """The model of one of the files."""
        if path not in self._loaded:
            self._loaded[path] = load(path, self.engine, self._batch)
        return self._loaded[path]

    def path_named(self, name: str) -> Path:
        """The file of the model of this name. Raises ModelNotFound."""
        names = []
        for path, header in self.headers():
            if header.info.name == name:
                return path
            names.append(header.info.name)
        raise ModelNotFound(f"no model {name!r} is installed; there are: {', '.join(names) or 'none'}")

    def info_of(self, identity: bytes) -> DenseInfo | SpatialInfo | None:
        """What is known, without loading it, of the model whose identity begins with `identity`; None for none."""
        return next((header.info for _, header in self.headers() if header.identity.startswith(identity)), None)

    def by_identity(self, identity: bytes) -> Model:
        """The model whose identity begins with `identity`. Raises ModelNotFound."""
        for path, header in self.headers():
            if header.identity.startswith(identity):
                return self.load(path)
        raise ModelNotFound(f"the model {identity.hex()[:16]} is not installed; name its file with --model")
