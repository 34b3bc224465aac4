"""Model files: safetensors with integer weights, and a JSON description in the metadata.

A model's identity is the SHA-256 of its description and weights in a canonical form, so it does not depend on how
a library lays out the file. Reading checks every size and range before it is used, and proves exactness anew.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from bbcompress.codec.corrector_file import CorrectorContents, CorrectorInfo, CorrectorModel
from bbcompress.codec.dense import DenseInfo, DenseModel
from bbcompress.codec.dense_file import DenseContents
from bbcompress.codec.layer_specs import Integers
from bbcompress.codec.model import NETWORK_BATCH
from bbcompress.codec.spatial import SpatialInfo, SpatialModel
from bbcompress.codec.spatial_file import SpatialContents
from bbcompress.exact.engine import Engine
from bbcompress.exact.network import InexactNetwork

MAX_FILE_BYTES = 1 << 26
"""Weights take some 16 times as much memory."""
MAX_HEADER_BYTES = 1 << 20
"""Of its JSON, which takes some 30 times as much memory to read."""
MAX_REASON_CHARACTERS = 200
ChainContents = DenseContents | SpatialContents
Contents = ChainContents | CorrectorContents
ChainModel = DenseModel | SpatialModel
"""With latents, for `bbcompress.codec.chain`."""
Model = ChainModel | CorrectorModel
Info = DenseInfo | SpatialInfo | CorrectorInfo
_KINDS: dict[str, type[Contents]] = {kind.FORMAT: kind for kind in (DenseContents, SpatialContents, CorrectorContents)}


class BadModel(ValueError):
    """Not a model file, or one that breaks a rule of the format."""


def identity(contents: Contents) -> bytes:
    """SHA-256 of the model: its description as canonical JSON, then each tensor as little-endian int32."""
    digest = hashlib.sha256(_description(contents).encode())
    for tensor in contents.tensors().values():
        digest.update(np.ascontiguousarray(tensor, "<i4").tobytes())
    return digest.digest()


def save(path: Path, contents: Contents) -> None:
    """Write a model file, put in place when it is whole. Raises InexactNetwork where a sum could reach 2^53."""
    name = identity(contents)
    with _blaming(path):
        contents.build(name, Engine(), NETWORK_BATCH)
    # safetensors writes the memory of an array as it lies, whatever its strides
    tensors = {name: np.ascontiguousarray(_smallest(tensor)) for name, tensor in contents.tensors().items()}
    unfinished = path.with_name(f".bbc-{path.name}")
    unfinished.write_bytes(to_bytes(tensors, {"bbcompress": _description(contents), "identity": name.hex()}))
    unfinished.replace(path)


class Header(NamedTuple):
    """What a model file says of itself; `identity` is checked against the weights when they are loaded."""

    info: Info
    identity: bytes
    description: dict[str, Any]


def read_header(path: Path) -> Header:
    """A model file's description, without its weights. Raises BadModel or OSError."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise BadModel(f"{path}: larger than any model ({MAX_FILE_BYTES >> 20} MiB)")
    with path.open("rb") as start:
        if int.from_bytes(start.read(8), "little") > MAX_HEADER_BYTES:
            raise BadModel(f"{path}: not a model file (its header is larger than any model's)")
    with _blaming(path), safe_open(path, "numpy") as file:
        metadata = file.metadata() or {}
        description = json.loads(metadata.get("bbcompress", "{}"))
        kind = _KINDS.get(description.get("format"))
        if kind is None:
            raise BadModel(f"{path}: not a model that this version of bbc can use")
        return Header(kind.parse_info(description["info"]), bytes.fromhex(metadata["identity"]), description)


def read(path: Path) -> Contents:
    """A model file's description and integer weights. Raises BadModel, InexactNetwork or OSError."""
    return _open(path, None, NETWORK_BATCH)[0]


def read_with_latents(path: Path) -> ChainContents:
    """As `read`; raises BadModel for a model without latents too."""
    contents = read(path)
    if isinstance(contents, CorrectorContents):
        raise BadModel(f"{path}: this model has no latents, so no encoder; bbc train makes such ones")
    return contents


def load(path: Path, engine: Engine | None = None, batch: int = NETWORK_BATCH) -> Model:
    """The model of a file, ready to use. Raises BadModel, InexactNetwork or OSError."""
    return _open(path, engine, batch)[1]


def _open(path: Path, engine: Engine | None, batch: int) -> tuple[Contents, Model]:
    header = read_header(path)
    with _blaming(path):
        with safe_open(path, "numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        contents = _KINDS[header.description["format"]].parse(header.description, tensors)
        model = contents.build(header.identity, engine or Engine(), batch)
        if identity(contents) != header.identity:
            raise BadModel(f"{path}: damaged: its weights are not those of the model it names")
    return contents, model


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Whatever a hostile file makes fail becomes BadModel with the file's name."""
    try:
        yield
    except (BadModel, InexactNetwork) as error:
        raise type(error)(f"{path}: {error}" if str(path) not in str(error) else str(error)) from error
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        reason = "".join(letter if letter.isprintable() else "?" for letter in str(error)[:MAX_REASON_CHARACTERS])
        raise BadModel(f"{path}: not a model file ({reason})") from error


def _description(contents: Contents) -> str:
    return json.dumps({"format": contents.FORMAT} | contents.describe(), sort_keys=True, separators=(",", ":"))


def _smallest(tensor: Integers) -> Integers:
    for dtype in (np.int8, np.int16, np.int32):
        if max(tensor.max(initial=0), -int(tensor.min(initial=0))) <= np.iinfo(dtype).max:
            return tensor.astype(dtype)
    raise BadModel("a weight needs more than 32 bits")
