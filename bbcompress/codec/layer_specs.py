"""Layers as model files hold them: a JSON description, and tensors by the layer's place in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bbcompress.exact.network import Dense, Layer, Network, Range
from bbcompress.exact.spatial import Convolution, DepthToSpace, Residual

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Integers = NDArray[np.integer]
Tensors = dict[str, Integers]
MAX_LAYERS = 64
MAX_KERNEL = 16
MAX_FACTOR = 16
MAX_NAME_CHARACTERS = 100
DENSE_FIELDS = {"weight_bits", "input", "output", "relu"}


class BadLayer(ValueError):
    """A description or tensor that no layer has."""


@dataclass(frozen=True)
class DenseSpec:
    """Integer weights (inputs, outputs) and biases (outputs) of one dense layer, with their ranges."""

    weight: Integers
    bias: Integers
    weight_bits: int
    input: Range
    output: Range
    relu: bool


@dataclass(frozen=True)
class ConvolutionSpec:
    """`bbcompress.exact.spatial.Convolution`."""

    kernel: int
    stride: int
    dense: DenseSpec


@dataclass(frozen=True)
class DepthToSpaceSpec:
    """`bbcompress.exact.spatial.DepthToSpace`."""

    factor: int


@dataclass(frozen=True)
class ResidualSpec:
    """`bbcompress.exact.spatial.Residual`."""

    branch: tuple["Spec", ...]
    output: Range
    relu: bool


Spec = DenseSpec | ConvolutionSpec | DepthToSpaceSpec | ResidualSpec


def build(specs: Sequence[Spec], input: Range) -> Network:
    """The network of some layers, for inputs in the range. Raises InexactNetwork where a sum could reach 2^53."""
    layers: list[Layer] = []
    for spec in specs:
        match spec:
            case DenseSpec():
                layers.append(_build_dense(spec, input))
            case ConvolutionSpec(kernel, stride, dense):
                layers.append(Convolution(kernel, stride, _build_dense(dense, input)))
            case DepthToSpaceSpec(factor):
                layers.append(DepthToSpace(factor, input))
            case ResidualSpec(branch, output, relu):
                seen = replace(input_range(branch), nonnegative=input.nonnegative)
                layers.append(Residual(input, build(branch, seen), output, relu))
        input = layers[-1].output
    return Network(layers)


def _build_dense(spec: DenseSpec, seen: Range) -> Dense:
    input = replace(spec.input, nonnegative=seen.nonnegative)
    return Dense(spec.weight, spec.bias, spec.weight_bits, input, spec.output, spec.relu)


def input_range(specs: Sequence[Spec]) -> Range:
    """The range of a network's input: that of its first dense layer, as the layers before it keep theirs."""
    for spec in specs:
        if isinstance(spec, DenseSpec):
            return spec.input
        if isinstance(spec, ConvolutionSpec):
            return spec.dense.input
        if isinstance(spec, ResidualSpec):
            return input_range(spec.branch)
    raise BadLayer("a network without a dense layer")


def widths(specs: Sequence[Spec], inputs: int, stride: int = 1) -> tuple[int, int]:
    """Channels that come out of a network for `inputs` channels, and the stride of their grid, from that of the input.

    Raises BadLayer where layers do not fit each other.
    """
    for number, spec in enumerate(specs):
        match spec:
            case DenseSpec(weight=weight):
                if weight.shape[0] != inputs:
                    raise BadLayer(f"layer {number} does not fit what comes before it")
                inputs = weight.shape[1]
            case ConvolutionSpec(kernel, step, dense):
                if dense.weight.shape[0] != inputs * kernel * kernel:
                    raise BadLayer(f"layer {number} does not fit what comes before it")
                inputs, stride = dense.weight.shape[1], stride * step
            case DepthToSpaceSpec(factor):
                if inputs % factor**2 or stride % factor:
                    raise BadLayer(f"layer {number} does not fit what comes before it")
                inputs, stride = inputs // factor**2, stride // factor
            case ResidualSpec(branch):
                if widths(branch, inputs, stride) != (inputs, stride):
                    raise BadLayer(f"layer {number} has a branch that does not fit")
    return inputs, stride


def describe(specs: Sequence[Spec]) -> list[dict[str, Any]]:
    """What JSON says of layers."""

    def one(spec: Spec) -> dict[str, Any]:
        match spec:
            case DenseSpec():
                return {
                    "op": "dense",
                    "weight_bits": spec.weight_bits,
                    "input": [spec.input.fraction_bits, spec.input.limit],
                    "output": [spec.output.fraction_bits, spec.output.limit],
                    "relu": spec.relu,
                }
            case ConvolutionSpec(kernel, stride, dense):
                return one(dense) | {"op": "convolution", "kernel": kernel, "stride": stride}
            case DepthToSpaceSpec(factor):
                return {"op": "depth_to_space", "factor": factor}
            case ResidualSpec(branch, output, relu):
                range = [output.fraction_bits, output.limit]
                return {"op": "residual", "branch": describe(branch), "output": range, "relu": relu}

    return [one(spec) for spec in specs]


def tensors(prefix: str, specs: Sequence[Spec]) -> Iterator[tuple[str, Integers]]:
    """Weights and biases by name."""
    for number, spec in enumerate(specs):
        if isinstance(spec, (DenseSpec, ConvolutionSpec)):
            dense = spec.dense if isinstance(spec, ConvolutionSpec) else spec
            yield f"{prefix}.{number}.bias", dense.bias
            yield f"{prefix}.{number}.weight", dense.weight
        if isinstance(spec, ResidualSpec):
            yield from tensors(f"{prefix}.{number}", spec.branch)


def parse(prefix: str, layers: list[dict[str, Any]], tensors: Tensors, nested: bool = False) -> tuple[Spec, ...]:
    """The inverse of `describe` and `tensors`. Raises BadLayer, KeyError or TypeError for anything else."""
    if not 0 < len(layers) <= MAX_LAYERS:
        raise BadLayer(f"{prefix}: number of layers out of range")
    specs: list[Spec] = []
    for number, layer in enumerate(layers):
        where = f"{prefix}.{number}"
        match layer["op"], set(layer) - {"op"}:
            case "dense", fields if fields == DENSE_FIELDS:
                specs.append(_dense(where, layer, tensors))
            case "convolution", fields if fields == DENSE_FIELDS | {"kernel", "stride"}:
                kernel = integer(layer["kernel"], 1, MAX_KERNEL, where)
                stride = integer(layer["stride"], 1, kernel, where)
                specs.append(ConvolutionSpec(kernel, stride, _dense(where, layer, tensors)))
            case "depth_to_space", fields if fields == {"factor"}:
                specs.append(DepthToSpaceSpec(integer(layer["factor"], 1, MAX_FACTOR, where)))
            case "residual", fields if fields == {"branch", "output", "relu"} and not nested:
                branch = parse(where, layer["branch"], tensors, nested=True)
                specs.append(ResidualSpec(branch, _range(layer["output"], where), layer["relu"] is True))
            case _:
                raise BadLayer(f"{where}: unknown kind of layer")
    return tuple(specs)


def _dense(where: str, layer: dict[str, Any], tensors: Tensors) -> DenseSpec:
    weight, bias = tensors[f"{where}.weight"], tensors[f"{where}.bias"]
    if weight.ndim != 2 or bias.shape != weight.shape[1:] or 0 in weight.shape:
        raise BadLayer(f"{where}: weight and bias do not fit")
    if weight.dtype.kind != "i" or bias.dtype.kind != "i" or max(weight.itemsize, bias.itemsize) > 4:
        raise BadLayer(f"{where}: weights must be integers of at most 32 bits")
    weight_bits = integer(layer["weight_bits"], 0, 30, where)
    input, output = (_range(layer[side], where) for side in ("input", "output"))
    return DenseSpec(weight, bias, weight_bits, input, output, layer["relu"] is True)


def _range(value: list[int], where: str) -> Range:
    bits, limit = value
    return Range(integer(bits, 0, 30, where), integer(limit, 1, (1 << 30) - 1, where))


def integer(value: Any, low: int, high: int, where: str) -> int:
    if type(value) is not int or not low <= value <= high:
        raise BadLayer(f"{where}: a number out of range in its description")
    return value


Info = TypeVar("Info", bound="DataclassInstance")


def checked_info(kind: type[Info], value: dict[str, Any], limits: dict[str, tuple[int, int]]) -> Info:
    """A model's description from JSON, its integers within `limits`. Raises BadLayer."""
    if set(value) != {field.name for field in fields(kind)}:
        raise BadLayer("unknown or missing fields in the model's description")
    steps = tuple(value["grid_log2_steps"])
    for name, (low, high) in limits.items():
        if type(value[name]) is not int or not low <= value[name] <= high:
            raise BadLayer(f"{name} is out of range in the model's description")
    if not all(type(step) is int and -8 <= step <= 4 for step in steps):
        raise BadLayer("grid_log2_steps are out of range in the model's description")
    if type(value["learning_rate"]) is not float or not 0 < value["learning_rate"] < 1:
        raise BadLayer("learning_rate is out of range in the model's description")
    name = value["name"]
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise BadLayer("the model's name is not one to print")
    return kind(**{**value, "grid_log2_steps": steps})
