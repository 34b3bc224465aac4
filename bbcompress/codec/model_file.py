"""Model files: safetensors with integer weights, and a JSON description in the metadata.

A model's identity is the SHA-256 of its description and weights in a canonical form, so it does not depend on how
a library lays out the file. Reading checks every size and range before it is used, and proves exactness anew.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bbcompress.codec.model import NETWORK_BATCH, Model, ModelInfo
from bbcompress.exact.engine import Engine, NumpyEngine
from bbcompress.exact.network import Dense, InexactNetwork, Network, Range

FORMAT = "bbcompress-model-1"
MAX_FILE_BYTES = 1 << 28
MAX_SUBPIXELS = 1 << 16
MAX_LATENT = 1 << 14
MAX_LAYERS = 64
MAX_LOGIT_BITS = 16
"""Fractional bits of Bernoulli logits: their table of probabilities has 2^(5 + bits) entries."""
Integers = NDArray[np.integer]


class BadModel(ValueError):
    """Not a model file, or one that breaks a rule of the format."""


@dataclass(frozen=True)
class DenseSpec:
    """Integer weights (inputs, outputs) and biases (outputs) of one dense layer, with their ranges."""

    weight: Integers
    bias: Integers
    weight_bits: int
    input: Range
    output: Range
    relu: bool

    def build(self) -> Dense:
        return Dense(self.weight, self.bias, self.weight_bits, self.input, self.output, self.relu)


def identity(info: ModelInfo, encoder: Sequence[DenseSpec], decoder: Sequence[DenseSpec]) -> bytes:
    """SHA-256 of the model: its description as canonical JSON, then each tensor as little-endian int32."""
    digest = hashlib.sha256(_description(info, encoder, decoder).encode())
    for tensor in _tensors(encoder, decoder).values():
        digest.update(np.ascontiguousarray(tensor, "<i4").tobytes())
    return digest.digest()


def save(path: Path, info: ModelInfo, encoder: Sequence[DenseSpec], decoder: Sequence[DenseSpec]) -> None:
    """Write a model file. Raises InexactNetwork where a sum could reach 2^53."""
    _build(info, encoder, decoder, None, NETWORK_BATCH)
    # safetensors writes the memory of an array as it lies, whatever its strides
    tensors = {name: np.ascontiguousarray(_smallest(tensor)) for name, tensor in _tensors(encoder, decoder).items()}
    metadata = {
        "bbcompress": _description(info, encoder, decoder),
        "identity": identity(info, encoder, decoder).hex(),
    }
    save_file(tensors, path, metadata)


class Header(NamedTuple):
    """What a model file says of itself; `identity` is checked against the weights when they are loaded."""

    info: ModelInfo
    identity: bytes
    description: dict[str, Any]


def read_header(path: Path) -> Header:
    """A model file's description, without its weights. Raises BadModel or OSError."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise BadModel(f"{path}: larger than any model ({MAX_FILE_BYTES >> 20} MiB)")
    with _blaming(path), safe_open(path, "numpy") as file:
        metadata = file.metadata() or {}
        description = json.loads(metadata.get("bbcompress", "{}"))
        if description.get("format") != FORMAT:
            raise BadModel(f"{path}: not a model that this version of bbc can use")
        return Header(_info(description["info"]), bytes.fromhex(metadata["identity"]), description)


class Contents(NamedTuple):
    """What is in a model file."""

    info: ModelInfo
    encoder: list[DenseSpec]
    decoder: list[DenseSpec]


def read(path: Path) -> Contents:
    """A model file's description and integer weights. Raises BadModel, InexactNetwork or OSError."""
    return _open(path, None, NETWORK_BATCH)[0]


def load(path: Path, engine: Engine | None = None, batch: int = NETWORK_BATCH) -> Model:
    """The model of a file, ready to use. Raises BadModel, InexactNetwork or OSError."""
    return _open(path, engine, batch)[1]


def _open(path: Path, engine: Engine | None, batch: int) -> tuple[Contents, Model]:
    header = read_header(path)
    with _blaming(path):
        with safe_open(path, "numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        contents = Contents(
            header.info,
            _specs("encoder", header.description["encoder"], tensors),
            _specs("decoder", header.description["decoder"], tensors),
        )
        model = _build(*contents, engine, batch)
        if model.identity != header.identity:
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
        raise BadModel(f"{path}: not a model file ({error})") from error


def _build(
    info: ModelInfo, encoder: Sequence[DenseSpec], decoder: Sequence[DenseSpec], engine: Engine | None, batch: int
) -> Model:
    outputs = 1 if info.levels == 2 else (2 if info.components == 1 else 3 * info.components)
    widths = (encoder[0].weight.shape[0], encoder[-1].weight.shape[1])
    if widths != (info.subpixels, 2 * info.latent):
        raise BadModel("the encoder does not fit the image and the latent")
    if (decoder[0].weight.shape[0], decoder[-1].weight.shape[1]) != (info.latent, outputs * info.subpixels):
        raise BadModel("the decoder does not fit the latent and the image")
    if encoder[0].input.limit < info.levels - 1:
        raise BadModel("the encoder's input range does not hold the pixels")
    if info.levels == 2 and decoder[-1].output.fraction_bits > MAX_LOGIT_BITS:
        raise BadModel("the decoder's output has more fractional bits than logits may")
    return Model(
        info,
        Network([spec.build() for spec in encoder]),
        Network([spec.build() for spec in decoder]),
        identity(info, encoder, decoder),
        engine or NumpyEngine(),
        batch,
    )


def _description(info: ModelInfo, encoder: Sequence[DenseSpec], decoder: Sequence[DenseSpec]) -> str:
    def layers(specs: Sequence[DenseSpec]) -> list[dict[str, Any]]:
        return [
            {
                "op": "dense",
                "weight_bits": spec.weight_bits,
                "input": [spec.input.fraction_bits, spec.input.limit],
                "output": [spec.output.fraction_bits, spec.output.limit],
                "relu": spec.relu,
            }
            for spec in specs
        ]

    value = {"format": FORMAT, "info": asdict(info), "encoder": layers(encoder), "decoder": layers(decoder)}
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _tensors(encoder: Sequence[DenseSpec], decoder: Sequence[DenseSpec]) -> dict[str, Integers]:
    tensors = {}
    for network, specs in (("decoder", decoder), ("encoder", encoder)):
        for number, spec in enumerate(specs):
            tensors[f"{network}.{number}.bias"] = spec.bias
            tensors[f"{network}.{number}.weight"] = spec.weight
    return tensors


def _smallest(tensor: Integers) -> Integers:
    for dtype in (np.int8, np.int16, np.int32):
        if max(tensor.max(initial=0), -int(tensor.min(initial=0))) <= np.iinfo(dtype).max:
            return tensor.astype(dtype)
    raise BadModel("a weight needs more than 32 bits")


def _info(value: dict[str, Any]) -> ModelInfo:
    known = {field.name for field in fields(ModelInfo)}
    if set(value) != known:
        raise BadModel("unknown or missing fields in the model's description")
    info = ModelInfo(**{**value, "grid_log2_steps": tuple(int(step) for step in value["grid_log2_steps"])})
    numbers = {
        "height": (1, MAX_SUBPIXELS),
        "width": (1, MAX_SUBPIXELS),
        "channels": (1, 4),
        "components": (1, 32),
        "latent": (1, MAX_LATENT),
        "latent_bits": (1, 16),
    }
    for name, (low, high) in numbers.items():
        number = getattr(info, name)
        if type(number) is not int or not low <= number <= high:
            raise BadModel(f"{name} is out of range in the model's description")
    if info.levels not in (2, 256) or info.subpixels > MAX_SUBPIXELS or not isinstance(info.name, str):
        raise BadModel("the model's description is out of range")
    if len(info.grid_log2_steps) != info.latent or not all(-8 <= step <= 4 for step in info.grid_log2_steps):
        raise BadModel("grid_log2_steps are out of range in the model's description")
    if type(info.learning_rate) is not float or not 0 < info.learning_rate < 1:
        raise BadModel("learning_rate is out of range in the model's description")
    return info


def _specs(network: str, layers: list[dict[str, Any]], tensors: dict[str, Integers]) -> list[DenseSpec]:
    if not 0 < len(layers) <= MAX_LAYERS:
        raise BadModel(f"{network}: number of layers out of range")
    specs: list[DenseSpec] = []
    for number, layer in enumerate(layers):
        if set(layer) != {"op", "weight_bits", "input", "output", "relu"} or layer["op"] != "dense":
            raise BadModel(f"{network}.{number}: unknown kind of layer")
        weight, bias = tensors[f"{network}.{number}.weight"], tensors[f"{network}.{number}.bias"]
        if weight.ndim != 2 or bias.shape != weight.shape[1:] or 0 in weight.shape:
            raise BadModel(f"{network}.{number}: weight and bias do not fit")
        if weight.dtype.kind != "i" or bias.dtype.kind != "i" or max(weight.itemsize, bias.itemsize) > 4:
            raise BadModel(f"{network}.{number}: weights must be integers of at most 32 bits")
        if specs and specs[-1].weight.shape[1] != weight.shape[0]:
            raise BadModel(f"{network}.{number}: does not fit the layer before it")
        if type(layer["weight_bits"]) is not int or not 0 <= layer["weight_bits"] <= 30:
            raise BadModel(f"{network}.{number}: weight_bits out of range")
        input, output = (_range(layer[side], f"{network}.{number}") for side in ("input", "output"))
        specs.append(DenseSpec(weight, bias, layer["weight_bits"], input, output, layer["relu"] is True))
    return specs


def _range(value: list[int], where: str) -> Range:
    bits, limit = value
    if type(bits) is not int or type(limit) is not int or not (0 <= bits <= 30 and 0 < limit < 1 << 30):
        raise BadModel(f"{where}: range out of bounds")
    return Range(bits, limit)
