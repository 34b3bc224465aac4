"""8-bit networks by ONNX Runtime, ten times as fast as by numpy. Imported only when it is to be used.

Every operator computes in int32 and rounds by a power of two. Of those that do so, QLinearConv on (N, H, W, C) was the
fastest wherever it was measured (benchmarks/engines.py); MatMulInteger on gathered bytes takes half as long again.
Whether this machine's give the right integers is for `bbcompress.exact.int8_proof` to say.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcompress.exact.int8 import SIGNED_ZERO, Bytes, Convolution, Linear, Network, Residual
from bbcompress.exact.int8_numpy import Run
from bbcompress.exact.onnx_file import Graph

FIRST_RELEASE = (1, 25)
"""Earlier releases compute wrong sums on processors with matrix units (onnxruntime's issue 26324)."""
_ORT_DOMAIN = "com.microsoft"
_ONE = np.float32(1)


def prepare(network: Network) -> Run:
    """The network, ready to run; one thread a call. Raises ImportError, and whatever ONNX Runtime raises."""
    import onnxruntime

    release = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    if release < FIRST_RELEASE:
        raise ImportError(f"onnxruntime {onnxruntime.__version__} is older than {'.'.join(map(str, FIRST_RELEASE))}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # fuses nothing
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # each network would keep the most it ever needed
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(file_of(network), options, providers=["CPUExecutionProvider"])

    def run(x: Bytes) -> NDArray[Any]:
        (y,) = session.run(None, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
        outputs: NDArray[Any] = y
        return outputs

    return run


def file_of(network: Network) -> bytes:
    """The network as an ONNX file; its input is "x" (N, C, H, W): those who make it write one plane after the other."""
    builder = _Builder()
    name = builder.graph.node("Transpose", ["x"], perm=[0, 2, 3, 1])
    for layer in network.layers:
        match layer:
            case Convolution():
                name = builder.convolution(layer, name)
            case Residual():
                name = builder.residual(layer, name)
            case Linear():
                name = builder.linear(layer, name)
    count, height, width = "count", "height", "width"
    inputs = {"x": ("uint8", (count, network.inputs, height, width))}
    return builder.graph.file(inputs, {name: (network.output_type.name, (count, height, width, network.outputs))})


class _Builder:
    """Adds layers to a graph; each takes the name of what it sees, and gives that of what it computes."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._one = self.graph.tensor(np.array(_ONE))
        self._zeros = [self.graph.tensor(np.array(zero, np.uint8)) for zero in (0, SIGNED_ZERO)]

    def convolution(self, layer: Convolution, x: str) -> str:
        tensor = self.graph.tensor
        weight, weight_zero = tensor(layer.weight.transpose(3, 2, 0, 1)), tensor(np.zeros(layer.outputs, np.int8))
        scale = tensor(np.ldexp(_ONE, -layer.shift.astype(np.int32)))
        seen, given = self._zeros[layer.signed_input], self._zeros[layer.signed_output]
        return self.graph.node(
            "QLinearConv",
            [x, self._one, seen, weight, scale, weight_zero, self._one, given, tensor(layer.bias)],
            _ORT_DOMAIN,
            channels_last=1,
            kernel_shape=[layer.kernel] * 2,
            pads=[layer.radius] * 4,
        )

    def residual(self, layer: Residual, x: str) -> str:
        branch = self.convolution(layer.second, self.convolution(layer.first, x))
        unsigned, signed = self._zeros
        inputs = [x, self._one, unsigned, branch, self._one, signed, self._one, unsigned]
        return self.graph.node("QLinearAdd", inputs, _ORT_DOMAIN)

    def linear(self, layer: Linear, x: str) -> str:
        """128 times the product of the weights' high parts, and that of the low ones."""
        node, tensor = self.graph.node, self.graph.tensor
        high = (layer.weight + 64) >> 7
        parts = (tensor(part.astype(np.int8)) for part in (high, layer.weight - (high << 7)))
        high_sum, low_sum = (node("MatMulInteger", [x, part, self._zeros[0]]) for part in parts)
        scaled = node("Mul", [high_sum, tensor(np.array(128, np.int32))])
        return node("Add", [node("Add", [scaled, low_sum]), tensor(layer.bias)])
