"""ONNX files of a graph's nodes and tensors, written by hand: a page of protobuf, instead of a package.

Field numbers are those of onnx.proto3 (github.com/onnx/onnx); operators those of opset 17 and of `com.microsoft` 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcompress.varint import write_varint as varint

_IR_VERSION = 8
_OPSETS = {"": 17, "com.microsoft": 1}
_TENSOR_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
_ATTRIBUTE_INT, _ATTRIBUTE_INTS = 2, 7
_VARINT, _BYTES = 0, 2

Kind = tuple[str, tuple[int | str, ...]]
"""A numpy type, and a shape whose sizes are numbers or names of what is not known yet."""


@dataclass
class Graph:
    """Nodes in the order they are computed, and the tensors they use."""

    nodes: list[bytes] = field(default_factory=list)
    tensors: list[bytes] = field(default_factory=list)

    def tensor(self, values: NDArray[Any]) -> str:
        """Add a constant; its name."""
        name = f"t{len(self.tensors)}"
        message = b"".join(_number(1, size) for size in values.shape)
        message += _number(2, _TENSOR_TYPES[values.dtype.name]) + _bytes(8, name.encode())
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        self.tensors.append(message + _bytes(9, little.tobytes()))
        return name

    def node(self, operator: str, inputs: Sequence[str], domain: str = "", **attributes: int | list[int]) -> str:
        """Add an operator; the name of its one output."""
        name = f"n{len(self.nodes)}"
        message = b"".join(_bytes(1, of.encode()) for of in inputs) + _bytes(2, name.encode())
        message += _bytes(4, operator.encode()) + _bytes(7, domain.encode())
        for attribute, value in attributes.items():
            message += _bytes(5, _bytes(1, attribute.encode()) + _attribute_value(value))
        self.nodes.append(message)
        return name

    def file(self, inputs: Mapping[str, Kind], outputs: Mapping[str, Kind]) -> bytes:
        """The model file. Inputs and outputs by name."""
        graph = _messages(1, self.nodes) + _bytes(2, b"network") + _messages(5, self.tensors)
        graph += _messages(11, (_value_info(*item) for item in inputs.items()))
        graph += _messages(12, (_value_info(*item) for item in outputs.items()))
        opsets = (_bytes(1, domain.encode()) + _number(2, version) for domain, version in _OPSETS.items())
        return _number(1, _IR_VERSION) + _bytes(7, graph) + _messages(8, opsets)


def _attribute_value(value: int | list[int]) -> bytes:
    if isinstance(value, int):
        return _number(3, value) + _number(20, _ATTRIBUTE_INT)
    return b"".join(_number(8, one) for one in value) + _number(20, _ATTRIBUTE_INTS)


def _value_info(name: str, kind: Kind) -> bytes:
    dtype, shape = kind
    sizes = [_bytes(2, size.encode()) if isinstance(size, str) else _number(1, size) for size in shape]
    tensor = _number(1, _TENSOR_TYPES[dtype]) + _bytes(2, _messages(1, sizes))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _messages(number: int, messages: Iterable[bytes]) -> bytes:
    return b"".join(_bytes(number, message) for message in messages)


def _number(number: int, value: int) -> bytes:
    return varint(number << 3 | _VARINT) + varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return varint(number << 3 | _BYTES) + varint(len(value)) + value
