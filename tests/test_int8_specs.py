"""8-bit networks in model files: what is written comes back, and nothing else is taken for a network."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_int8 import network, pixels

from bbcompress.codec import int8_specs
from bbcompress.codec.layer_specs import BadLayer, Tensors
from bbcompress.exact import int8_numpy
from bbcompress.exact.network import InexactNetwork

Description = list[dict[str, Any]]


def written(outputs: int | None = 5) -> tuple[Description, Tensors]:
    whole = network(0, 3, 8, 1, outputs)
    return json.loads(json.dumps(int8_specs.describe(whole))), dict(int8_specs.tensors("stage.2", whole))


@pytest.mark.parametrize("outputs", [5, None])
def test_what_is_written_comes_back(outputs: int | None) -> None:
    whole, x = network(0, 3, 8, 1, outputs), pixels(1, 2, 5, 6, 3)
    description, tensors = written(outputs)
    back = int8_specs.parse("stage.2", description, {name: tensor.astype(np.int32) for name, tensor in tensors.items()})
    assert int8_specs.describe(back) == description
    for name, tensor in int8_specs.tensors("stage.2", back):
        np.testing.assert_array_equal(tensor, tensors.pop(name))
    assert not tensors
    np.testing.assert_array_equal(int8_numpy.prepare(back)(x), int8_numpy.prepare(whole)(x))


def changed(where: int, **fields: Any) -> Callable[[Description, Tensors], object]:
    return lambda layers, tensors: layers[where].update(fields)


def tensor(name: str, change: Callable[[Any], Any]) -> Callable[[Description, Tensors], object]:
    return lambda layers, tensors: tensors.update({f"stage.2.{name}": change(tensors[f"stage.2.{name}"])})


@pytest.mark.parametrize(
    "damage",
    [
        lambda layers, tensors: layers.clear(),
        lambda layers, tensors: layers.extend(layers * 64),
        lambda layers, tensors: layers.pop(1),
        lambda layers, tensors: layers.insert(0, "convolution"),
        lambda layers, tensors: layers.insert(0, {}),
        lambda layers, tensors: layers.insert(0, {"op": "dense"}),
        lambda layers, tensors: layers.insert(0, {"op": []}),
        lambda layers, tensors: layers.reverse(),
        lambda layers, tensors: layers[0].pop("signed_input"),
        lambda layers, tensors: tensors.pop("stage.2.0.bias"),
        lambda layers, tensors: tensors.pop("stage.2.1.second.shift"),
        changed(0, signed_input=1),
        changed(0, signed_output=True),
        changed(0, kernel=3),
        changed(1, signed_output=True),
        changed(2, op="residual"),
        tensor("0.weight", lambda weight: weight.astype(np.float32)),
        tensor("0.weight", lambda weight: weight[0]),
        tensor("0.weight", lambda weight: weight[..., :0]),
        tensor("0.weight", lambda weight: weight[..., :4]),
        tensor("0.weight", lambda weight: np.tile(weight, (2, 2, 1, 1))),
        tensor("0.weight", lambda weight: weight + np.int8(64)),
        tensor("0.weight", lambda weight: np.full(weight.shape, 2**63, np.uint64)),
        tensor("0.bias", lambda bias: bias + 2**24),
        tensor("0.bias", lambda bias: bias[:, None]),
        tensor("0.shift", lambda shift: shift.astype(np.int8) - 40),
        tensor("0.shift", lambda shift: shift + np.uint8(30)),
        tensor("1.first.weight", lambda weight: weight[:, :, :7]),
        tensor("2.weight", lambda weight: weight[:7]),
        tensor("2.weight", lambda weight: weight.astype(np.int32) + 20_000),
        tensor("2.bias", lambda bias: np.full(bias.shape, -(2**31), np.int32)),
    ],
)
def test_nothing_else_is_a_network(damage: Callable[[Description, Tensors], object]) -> None:
    layers, tensors = written()
    int8_specs.parse("stage.2", layers, tensors)
    damage(layers, tensors)
    with pytest.raises((BadLayer, InexactNetwork, KeyError, TypeError)):
        int8_specs.parse("stage.2", layers, tensors)


def test_networks_are_not_endless() -> None:
    layer = {"op": "convolution", "signed_input": False, "signed_output": False}
    tensors: Tensors = {}
    for number in range(2):
        tensors[f"x.{number}.weight"] = np.zeros((3, 3, 1024, 1024), np.int8)
        tensors[f"x.{number}.bias"] = tensors[f"x.{number}.shift"] = np.zeros(1024, np.int8)
    int8_specs.parse("x", [layer], tensors)
    with pytest.raises(BadLayer, match="multiply-adds"):
        int8_specs.parse("x", [layer] * 2, tensors)
