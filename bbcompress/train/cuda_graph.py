"""Training steps as CUDA graphs: a step of a small network is hundreds of kernels, which take longer to launch than to
run; a graph launches them all at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

EAGER_STEPS = 3
"""Before a graph is captured: libraries choose their kernels and optimisers make their state in these."""


class NoSuchDevice(ValueError):
    """Torch cannot compute on the device that was asked for."""


def chosen_device(name: str | None) -> torch.device:
    """The device of a name as torch has it, by default a GPU where there is one; a GPU's convolutions then round to
    TF32. Raises NoSuchDevice."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise NoSuchDevice(f"torch cannot compute on {name}: {reason} (--device cpu always works)") from error
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    return device


class GraphedStep:
    """A step that is called with tensors of the same shapes each time, and numbers; on a GPU a graph from its fourth
    call on.

    The step must leave all that it changes in place, and wait for nothing that is computed: no `.item()`, no branch on
    a tensor. It takes numbers as tensors (), and all tensors on the device.
    """

    def __init__(self, step: Callable[..., Tensor], device: torch.device, generators: Sequence[torch.Generator] = ()):
        """`generators` are those that the step draws from; they may be seeded anew between calls."""
        self._step = step
        self._device = device
        self._generators = generators
        self._inputs: list[Tensor] = []
        self._eager_steps = EAGER_STEPS
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: Tensor | None = None

    def __call__(self, *inputs: Tensor | float) -> Tensor:
        """One step; on a GPU the result is overwritten by the next."""
        if self._device.type != "cuda":
            return self._step(*(torch.as_tensor(given, device=self._device) for given in inputs))
        if not self._inputs:
            self._inputs = [
                torch.empty_like(given, device=self._device)
                if isinstance(given, Tensor)
                else torch.zeros((), device=self._device)
                for given in inputs
            ]
        for kept, given in zip(self._inputs, inputs, strict=True):
            if isinstance(given, Tensor):
                kept.copy_(given, non_blocking=True)
            else:
                kept.fill_(given)
        return self._replayed()

    def _replayed(self) -> Tensor:
        if self._eager_steps:
            self._eager_steps -= 1
            return self._beside()
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            for generator in self._generators:
                self._graph.register_generator_state(generator)
            with torch.cuda.graph(self._graph):
                self._result = self._step(*self._inputs)
        self._graph.replay()
        assert self._result is not None
        return self._result

    def _beside(self) -> Tensor:
        """A step on another stream than the default one, as capture needs those before it to be."""
        here, beside = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            result = self._step(*self._inputs)
        here.wait_stream(beside)
        return result
