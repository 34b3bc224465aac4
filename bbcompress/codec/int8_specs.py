"""8-bit networks as model files hold them: a JSON description, and tensors by the layer's place in it."""

from collections.abc import Iterator
from typing import Any

from bbcompress.codec.layer_specs import MAX_LAYERS, BadLayer, Integers, Tensors
from bbcompress.exact.int8 import Convolution, Layer, Linear, Network, Residual

MAX_MULTIPLY_ADDS = 1 << 24
"""Of one place: a network that needs more is no network for pictures."""
_SIGNS = {"signed_input", "signed_output"}


def describe(network: Network) -> list[dict[str, Any]]:
    """What JSON says of a network's layers."""

    def one(layer: Layer) -> dict[str, Any]:
        match layer:
            case Convolution(signed_input=seen, signed_output=given):
                return {"op": "convolution", "signed_input": seen, "signed_output": given}
            case Residual():
                return {"op": "residual"}
            case Linear():
                return {"op": "linear"}

    return [one(layer) for layer in network.layers]


def tensors(prefix: str, network: Network) -> Iterator[tuple[str, Integers]]:
    """Weights, biases and shifts by name."""

    def of(where: str, layer: Convolution | Linear) -> Iterator[tuple[str, Integers]]:
        yield f"{where}.bias", layer.bias
        if isinstance(layer, Convolution):
            yield f"{where}.shift", layer.shift
        yield f"{where}.weight", layer.weight

    for number, layer in enumerate(network.layers):
        where = f"{prefix}.{number}"
        if isinstance(layer, Residual):
            yield from of(f"{where}.first", layer.first)
            yield from of(f"{where}.second", layer.second)
        else:
            yield from of(where, layer)


def parse(prefix: str, layers: list[dict[str, Any]], tensors: Tensors) -> Network:
    """The inverse of `describe` and `tensors`.

    Raises BadLayer, KeyError or TypeError for other descriptions, InexactNetwork for tensors of other shapes or ranges.
    """
    if not isinstance(layers, list) or not 0 < len(layers) <= MAX_LAYERS:
        raise BadLayer(f"{prefix}: number of layers out of range")

    def convolution(where: str, signed_input: bool, signed_output: bool) -> Convolution:
        weight, bias, shift = (tensors[f"{where}.{name}"] for name in ("weight", "bias", "shift"))
        return Convolution(weight, bias, shift, signed_input, signed_output)

    found: list[Layer] = []
    for number, layer in enumerate(layers):
        where = f"{prefix}.{number}"
        match layer["op"], set(layer) - {"op"}:
            case "convolution", fields if fields == _SIGNS:
                if not all(type(layer[sign]) is bool for sign in _SIGNS):
                    raise BadLayer(f"{where}: signs must be true or false")
                found.append(convolution(where, layer["signed_input"], layer["signed_output"]))
            case "residual", fields if not fields:
                found.append(
                    Residual(convolution(f"{where}.first", False, False), convolution(f"{where}.second", False, True))
                )
            case "linear", fields if not fields:
                found.append(Linear(tensors[f"{where}.weight"], tensors[f"{where}.bias"]))
            case _:
                raise BadLayer(f"{where}: unknown kind of layer")
    network = Network(tuple(found))
    if network.multiply_adds > MAX_MULTIPLY_ADDS:
        raise BadLayer(f"{prefix}: {network.multiply_adds} multiply-adds a place: at most {MAX_MULTIPLY_ADDS}")
    return network
