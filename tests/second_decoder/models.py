"""Section 13: model files."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from second_decoder.corrector import Corrector
from second_decoder.dense import DenseModel
from second_decoder.networks import Tensors
from second_decoder.reading import Damaged, require
from second_decoder.spatial import SpatialModel

TYPES = {"I8": "<i1", "I16": "<i2", "I32": "<i4"}
Model = DenseModel | SpatialModel | Corrector


class MissingModel(LookupError):
    """No file has the model."""


def read(path: Path) -> tuple[dict[str, Any], bytes, Tensors]:
    """13.1: the description, the identity and the tensors of a file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    require(length <= min(1 << 20, len(data) - 8), "a header longer than its file")
    header = json.loads(data[8 : 8 + length])
    about = header.pop("__metadata__")
    tensors = {}
    for name, tensor in header.items():
        start, end = tensor["data_offsets"]
        values = np.frombuffer(data[8 + length + start : 8 + length + end], TYPES[tensor["dtype"]])
        tensors[name] = values.reshape(tensor["shape"])
    return json.loads(about["bbcompress"]), bytes.fromhex(about["identity"]), tensors


def identity(description: dict[str, Any], tensors: Tensors) -> bytes:
    """13.3."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode())
    for name in _names(description):
        digest.update(tensors[name].astype("<i4").tobytes())
    return digest.digest()


def _names(description: dict[str, Any]) -> Iterable[str]:
    match description["format"]:
        case "bbcompress-model-1":
            networks = {name: description[name] for name in ("decoder", "encoder")}
        case "bbcompress-model-2":
            networks = {"encoder": description["encoder"]}
            for number, scale in enumerate(description["scales"]):
                networks[f"scales.{number}.features"] = scale["features"]
                for place, stage in enumerate(scale["stages"]):
                    networks[f"scales.{number}.stages.{place}"] = stage["layers"]
        case _:
            return _bytes_names(description)
    return [name for where in sorted(networks) for name in _of_layers(where, networks[where])]


def _of_layers(where: str, layers: Sequence[dict[str, Any]]) -> Iterable[str]:
    for number, layer in enumerate(layers):
        if layer["op"] == "residual":
            yield from _of_layers(f"{where}.{number}", layer["branch"])
        elif layer["op"] != "depth_to_space":
            yield from (f"{where}.{number}.bias", f"{where}.{number}.weight")


def _bytes_names(description: dict[str, Any]) -> Iterable[str]:
    if description["predictors"]:
        yield "predictors"
    for scale, told in enumerate(description["scales"]):
        networks = ((s, n, layers) for s, of in enumerate(told["stages"], 1) for n, layers in enumerate(of))
        for stage, number, layers in networks:
            for place, layer in enumerate(layers):
                where = f"scales.{scale}.stages.{stage}.networks.{number}.{place}"
                parts = [f"{where}.first", f"{where}.second"] if layer["op"] == "residual" else [where]
                for part in parts:
                    yield f"{part}.bias"
                    if layer["op"] != "linear":
                        yield f"{part}.shift"
                    yield f"{part}.weight"


class Models:
    """The model files of some folders."""

    def __init__(self, *folders: Path):
        every = [path for folder in folders for path in sorted(folder.glob("*.safetensors"))]
        self.files = {read(path)[1]: path for path in every}
        self.loaded: dict[bytes, Model] = {}

    def find(self, start: bytes) -> Model:
        """That whose identity begins so."""
        for name, path in self.files.items():
            if name.startswith(start):
                if name not in self.loaded:
                    self.loaded[name] = _load(path)
                return self.loaded[name]
        raise MissingModel(start.hex())


def _load(path: Path) -> Model:
    description, name, tensors = read(path)
    require(identity(description, tensors) == name, "weights of another model")
    match description["format"]:
        case "bbcompress-model-1":
            return DenseModel(description, tensors)
        case "bbcompress-model-2":
            return SpatialModel(description, tensors)
        case "bbcompress-model-3":
            return Corrector(description, tensors)
    raise Damaged("a model of an unknown format")
