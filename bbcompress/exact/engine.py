"""Engines compute exact integer matrix products. They agree to the bit, so an engine is never part of the format.

Operands are integers held in float64 whose partial sums all stay below 2^53, or in float32 and 2^24, or in int8 where
an engine has products of them (`bbcompress.exact.network` proves it for each layer), so every order of summation gives
the same result.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]
"""float64, float32 or int8."""
INT8_LIMIT = 127

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """Computes products of integer-valued matrices of one type."""

    name: str
    int8: bool
    """It has products of int8, and they are faster than of float32."""

    def matmul(self, a: Matrix, b: Matrix, out: Matrix) -> None:
        """Put a @ b into `out`, which is C-contiguous, of the type of a and b or float32 where they are int8."""
        ...

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The function of each item; calls that do not depend on each other, and may run side by side."""
        ...

    def submit(self, function: Callable[[], Result]) -> "Future[Result]":
        """What the function will have given; it may run beside what the caller does next."""
        ...


class NumpyEngine:
    """The reference: whatever BLAS numpy was built with.

    With `threads`, batches of images run side by side; that is faster than threads within BLAS, which should have one.
    """

    name = "numpy"
    int8 = False

    def __init__(self, threads: int = 1):
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        if self._pool is None or len(items) < 2:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))

    def submit(self, function: Callable[[], Result]) -> "Future[Result]":
        if self._pool is not None:
            return self._pool.submit(function)
        future: Future[Result] = Future()
        future.set_result(function())
        return future

    def matmul(self, a: Matrix, b: Matrix, out: Matrix) -> None:
        np.matmul(a, b, out=out)


class TorchEngine(NumpyEngine):
    """PyTorch, on the CPU or on `device`. On processors with units for it, int8 is several times as fast as float32."""

    name = "torch"

    def __init__(self, threads: int = 1, device: str = "cpu"):
        import torch

        super().__init__(threads)
        self._torch = torch
        self._device = device
        self.int8 = device == "cpu" and self._multiplies_int8()

    def matmul(self, a: Matrix, b: Matrix, out: Matrix) -> None:
        left, right = (self._torch.from_numpy(array).to(self._device) for array in (a, b))
        if a.dtype == np.int8:
            out[:] = self._torch._int_mm(left, right)
        elif self._device == "cpu":
            self._torch.matmul(left, right, out=self._torch.from_numpy(out))
        else:
            out[:] = self._torch.matmul(left, right).cpu()

    def _multiplies_int8(self) -> bool:
        """Whether torch has int8 products, and the largest come out right: some processors' instructions saturate."""
        signs = np.where(np.arange(576 * 33) * 7919 % 101 < 50, -1, 1).reshape(576, 33)
        signs[:, 0] = 1
        a, b = np.full((17, 576), INT8_LIMIT), INT8_LIMIT * signs
        a[1::2] *= -1
        product = np.empty((17, 33), np.float32)
        try:
            self.matmul(a.astype(np.int8), b.astype(np.int8), product)
            return np.array_equal(product, a @ b)
        except (AttributeError, RuntimeError):
            return False


def engine_named(name: str, threads: int = 1) -> Engine:
    """The engine `numpy` or `torch`; ValueError for any other name, ImportError where torch is not installed."""
    match name:
        case "numpy":
            return NumpyEngine(threads)
        case "torch":
            return TorchEngine(threads)
    raise ValueError(f"no engine {name!r}: choose numpy or torch")
