"""Engines compute exact integer matrix products. They agree to the bit, so an engine is never part of the format.

Operands are integers held in float64 whose partial sums all stay below 2^53, or in float32 and 2^24
(`bbcompress.exact.network` proves it for each layer), so every order of summation gives the same result.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]
"""float64 or float32."""


Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Computes a @ b for integer-valued matrices of one type."""

    name: str

    def matmul(self, a: Matrix, b: Matrix) -> Matrix: ...

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The function of each item; calls that do not depend on each other, and may run side by side."""
        ...


class NumpyEngine:
    """The reference: whatever BLAS numpy was built with.

    With `threads`, batches of images run side by side; that is faster than threads within BLAS, which should have one.
    """

    name = "numpy"

    def __init__(self, threads: int = 1):
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        if self._pool is None or len(items) < 2:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))

    def matmul(self, a: Matrix, b: Matrix) -> Matrix:
        return np.asarray(a @ b)


class TorchEngine:
    """PyTorch, on the CPU or on `device`, with threads of its own."""

    name = "torch"

    def __init__(self, device: str = "cpu"):
        import torch

        self._torch = torch
        self._device = device

    def matmul(self, a: Matrix, b: Matrix) -> Matrix:
        def tensor(array: Matrix):  # type: ignore[no-untyped-def]
            return self._torch.from_numpy(array).to(self._device)

        return np.asarray(self._torch.matmul(tensor(a), tensor(b)).cpu().numpy())

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        return [function(item) for item in items]


def engine_named(name: str) -> Engine:
    """The engine `numpy` or `torch`; ValueError for any other name, ImportError where torch is not installed."""
    match name:
        case "numpy":
            return NumpyEngine()
        case "torch":
            return TorchEngine()
    raise ValueError(f"no engine {name!r}: choose numpy or torch")
