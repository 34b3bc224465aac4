"""What computes: products of integer matrices by numpy, 8-bit networks by numpy or ONNX Runtime, on some threads.

All agree to the bit, so an engine is never part of the format. Matrices are integers held in float64 whose partial sums
all stay below 2^53, or in float32 and 2^24 (`bbcompress.exact.network` proves it for each layer), so every order of
summation gives the same result. 8-bit networks (`bbcompress.exact.int8`) are proven in the same way, and ONNX Runtime
must show when it is first used that it computes the same integers.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bbcompress.exact import int8_numpy
from bbcompress.exact.int8 import Network
from bbcompress.exact.int8_numpy import Run

Matrix = NDArray[Any]
"""float64 or float32."""
ENGINES = "auto", "numpy", "onnx"
ONNX_PAYS_FROM = 5_000_000_000
"""Multiply-adds of 8-bit networks that take numpy as long as it takes to import ONNX Runtime and see it proven."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine:
    """Threads, and what computes on them.

    Batches of images and bands of pictures run side by side; that is faster than threads within BLAS, which should
    have one.
    """

    def __init__(self, threads: int = 1, name: str = "auto"):
        """`name` says what computes 8-bit networks; `auto` is ONNX Runtime once there is work enough to pay for it.

        Raises ValueError for any other name, ImportError for `onnx` where onnxruntime is not installed.
        """
        if name not in ENGINES:
            raise ValueError(f"no engine {name!r}: choose {', '.join(ENGINES)}")
        if name == "onnx" and find_spec("onnxruntime") is None:
            raise ImportError("onnxruntime is not installed")
        self.threads, self.asked = threads, name
        self._own_threads = threading.local()
        self._pool = ThreadPoolExecutor(threads, initializer=self._mark_thread) if threads > 1 else None
        self._name = name
        self.report: Callable[[str], object] = lambda text: None
        """Is told what computes 8-bit networks, where that was left to choose or is not what was asked for."""
        self._multiply_adds = 0
        self._prepared: dict[tuple[Network, str], Future[Run]] = {}
        self._preparing = threading.Lock()

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The function of each item; calls that do not depend on each other, and may run side by side.

        A function that runs on one of the engine's threads may call it: it computes on that thread then.
        """
        if self._pool is None or len(items) < 2 or self._is_own_thread:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))

    def in_order(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """What `map` gives, as it comes: of at most one item more than there are threads."""
        if self._pool is None:
            yield from map(function, items)
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(self._pool.submit(function, item))
                if len(waiting) > self.threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def submit(self, function: Callable[[], Result]) -> "Future[Result]":
        """What the function will have given; it may run beside what the caller does next.

        On one of the engine's threads it is run at once: threads that wait for each other might all wait.
        """
        if self._pool is not None and not self._is_own_thread:
            return self._pool.submit(function)
        future: Future[Result] = Future()
        future.set_result(function())
        return future

    def matmul(self, a: Matrix, b: Matrix, out: Matrix) -> None:
        """Put a @ b into `out`, which is C-contiguous; all of one type."""
        np.matmul(a, b, out=out)

    def expect(self, multiply_adds: int, networks: Iterable[Network] = ()) -> None:
        """Is told how much 8-bit networks are about to be used for; starts ONNX Runtime for these if that pays."""
        with self._preparing:
            self._multiply_adds += multiply_adds
            soon = self._onnx_pays or self._name == "onnx"
        if soon and multiply_adds:
            self.submit(lambda: [self.prepared(network) for network in networks])

    @property
    def _onnx_pays(self) -> bool:
        return self._name == "auto" and self._multiply_adds >= ONNX_PAYS_FROM

    def prepared(self, network: Network) -> Run:
        """What runs the network, from any thread; others may prepare other networks meanwhile."""
        with self._preparing:
            if self._onnx_pays:
                self.report("8-bit networks: ONNX Runtime, as there is work enough to pay for its start")
                self._name = "onnx"
            name = self._name
            future = self._prepared.get((network, name))
            found = future is not None
            if future is None:
                future = self._prepared[network, name] = Future()
        if not found:
            try:
                run = self._prepared_by_onnx(network) if name == "onnx" else None
                future.set_result(run or int8_numpy.prepare(network))
            except BaseException as error:  # such as running out of memory: others wait for it
                future.set_exception(error)
                raise
        return future.result()

    def _prepared_by_onnx(self, network: Network) -> Run | None:
        """Once it is seen to compute the right integers; else None, and numpy computes from here on."""
        from bbcompress.exact import int8_onnx, int8_proof

        try:
            run = int8_onnx.prepare(network)
            int8_proof.prove(int8_onnx.prepare, network, run)
        except Exception as error:  # whatever is wrong with the library, numpy decodes the file
            with self._preparing:
                if self._name == "onnx":
                    reason = str(error).splitlines()[0]
                    self.report(f"8-bit networks: numpy, as ONNX Runtime cannot be used: {reason}")
                    self._name = "numpy"
            return None
        return run

    @property
    def _is_own_thread(self) -> bool:
        return getattr(self._own_threads, "marked", False)

    def _mark_thread(self) -> None:
        self._own_threads.marked = True
