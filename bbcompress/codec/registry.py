"""Installed models: which there are, and loading them by name, file or identity."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bbcompress.codec.model import NETWORK_BATCH
from bbcompress.codec.model_file import BadModel, Header, Info, Model, load, read_header
from bbcompress.exact.engine import Engine
from bbcompress.exact.network import InexactNetwork

MODEL_PATH_VARIABLE = "BBC_MODEL_PATH"
"""Environment variable with further folders of models, separated as PATH is."""


OpenRegistry = Callable[[int], "Registry"]
"""Models, on an engine of so many threads; can be pickled."""
_log = logging.getLogger(__name__)


class ModelNotFound(LookupError):
    """No installed model has this name or identity."""


def shipped_models() -> Path:
    """The folder of models that come with the package (in a wheel inside it, in a checkout beside it)."""
    package = Path(__file__).parent.parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


class Registry:
    """Models by name and identity, each loaded when first needed, by any thread, on one engine.

    A file that is named and no model is an error; one in a folder of models is left out, with a warning in the log,
    which Python writes to standard error.
    """

    def __init__(self, engine: Engine | None = None, files: Sequence[Path] = (), batch: int = NETWORK_BATCH):
        """`files` are models besides the installed ones, and come before them; `batch` is as for `Model`."""
        self.engine, self._batch = engine or Engine(), batch
        self._named, self._files = tuple(files), list(files)
        folders = [Path(folder) for folder in os.environ.get(MODEL_PATH_VARIABLE, "").split(os.pathsep) if folder]
        for folder in [*folders, shipped_models()]:
            self._files += sorted(folder.glob("*.safetensors"))
        self._headers: dict[Path, Header] = {}
        self._loaded: dict[Path, Model] = {}
        self._loading = threading.RLock()

    def opener(self) -> OpenRegistry:
        """What opens the same models anew, as for another process."""
        return partial(_opened, self.engine.asked, self._named, self._batch)

    def headers(self) -> Iterator[tuple[Path, Header]]:
        """Every model's file and description, in order of preference."""
        for path in list(self._files):
            if path not in self._headers:
                try:
                    self._headers[path] = read_header(path)
                except (BadModel, OSError) as error:
                    self._leave_out(path, error)
                    continue
            yield path, self._headers[path]

    def loads(self, path: Path) -> bool:
        """Whether the file's model can be used. Raises BadModel, InexactNetwork or OSError where it was named."""
        try:
            self.load(path)
        except (BadModel, InexactNetwork, OSError) as error:
            self._leave_out(path, error)
            return False
        return True

    def load(self, path: Path) -> Model:
        """The model of one of the files."""
        with self._loading:
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

    def info_of(self, identity: bytes) -> Info | None:
        """What is known, without loading it, of the model whose identity begins with `identity`; None for none."""
        with self._loading:
            return next((header.info for _, header in self.headers() if header.identity.startswith(identity)), None)

    def by_identity(self, identity: bytes) -> Model:
        """The model whose identity begins with `identity`. Raises ModelNotFound."""
        with self._loading:
            for path, header in self.headers():
                if header.identity.startswith(identity) and self.loads(path):
                    return self.load(path)
        raise ModelNotFound(f"the model {identity.hex()[:16]} is not installed; name its file with --model")

    def _leave_out(self, path: Path, error: Exception) -> None:
        if path in self._named:
            raise error
        self._files.remove(path)
        _log.warning("%s; it is left out", error)


def _opened(engine: str, files: Sequence[Path], batch: int, threads: int) -> Registry:
    return Registry(Engine(threads, engine), files, batch)
