"""Engines compute exact integer matrix products. They agree to the bit, so an engine is never part of the format.

Operands are integers held in float64 whose partial sums all stay below 2^53, or in float32 and 2^24
(`bbcompress.exact.network` proves it for each layer), so every order of summation gives the same result.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]
"""float64 or float32."""


class Engine(Protocol):
    """Computes a @ b for integer-valued matrices of one type."""

    name: str

    def matmul(self, a: Matrix, b: Matrix) -> Matrix: ...


class NumpyEngine:
    """The reference: whatever BLAS numpy was built with."""

    name = "numpy"

    def matmul(self, a: Matrix, b: Matrix) -> Matrix:
        return np.asarray(a @ b)


class TorchEngine:
    """PyTorch, on the CPU or on `device`."""

    name = "torch"

    def __init__(self, device: str = "cpu"):
        import torch

        self._torch = torch
        self._device = device

    def matmul(self, a: Matrix, b: Matrix) -> Matrix:
        def tensor(array: Matrix):  # type: ignore[no-untyped-def]
            return self._torch.from_numpy(array).to(self._device)

        return np.asarray(self._torch.matmul(tensor(a), tensor(b)).cpu().numpy())


def engine_named(name: str) -> Engine:
    """The engine `numpy` or `torch`; ValueError for any other name, ImportError where torch is not installed."""
    match name:
        case "numpy":
            return NumpyEngine()
        case "torch":
            return TorchEngine()
    raise ValueError(f"no engine {name!r}: choose numpy or torch")
