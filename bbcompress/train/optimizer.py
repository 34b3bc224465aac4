"""Who takes a step: Adam, or Muon for the kernels of convolutions and Adam for all else."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic that brings singular values near 1 in few iterations."""
ITERATIONS = 5
ADAM_LIKE = 0.2
"""The root mean square of a Muon step, in step sizes; about Adam's, so that one step size serves both."""


class Optimizer:
    """Steps of the parameters of `module`.

    Muon (K. Jordan et al. 2024; scaled as by J. Liu et al. 2025, "Muon is scalable for LLM training") makes the
    gradient's momentum orthogonal, as a matrix of outputs and inputs. torch's own takes matrices only, and computes
    in bfloat16, which is slow where processors have no units for it.
    """

    def __init__(self, module: nn.Module, learning_rate: float, muon: bool = False):
        named = dict(module.named_parameters())
        self._kernels = {name: weight for name, weight in named.items() if muon and _is_kernel(weight)}
        self._others = {name: parameter for name, parameter in named.items() if name not in self._kernels}
        self._momenta = {name: torch.zeros_like(kernel) for name, kernel in self._kernels.items()}
        # a step that is part of a CUDA graph counts itself on the device
        on_gpu = any(parameter.is_cuda for parameter in named.values())
        self._adam = torch.optim.Adam(self._others.values(), learning_rate, fused=True, capturable=on_gpu)

    @torch.no_grad()
    def step(self, learning_rate: float | Tensor) -> None:
        """One step along the gradients that the parameters hold; the step size is a number or a tensor ()."""
        self._adam.param_groups[0]["lr"] = learning_rate
        self._adam.step()
        for name, kernel in self._kernels.items():
            assert kernel.grad is not None
            momentum = self._momenta[name].lerp_(kernel.grad, 1 - MOMENTUM)
            ahead = kernel.grad.lerp(momentum, MOMENTUM).flatten(1)
            scale = ADAM_LIKE * math.sqrt(max(ahead.shape))
            kernel.sub_(orthogonal(ahead).view(kernel.shape) * (learning_rate * scale))

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors of what a resumed run needs."""
        for name, parameter in self._others.items():
            for key, value in self._adam.state[parameter].items():
                yield f"adam.{name}.{key}", value
        for name, momentum in self._momenta.items():
            yield f"muon.{name}", momentum

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` gave, on the parameters' device and in their order in memory."""
        for name, parameter in self._others.items():
            moments = {key: _like(parameter, tensors[f"adam.{name}.{key}"]) for key in ("exp_avg", "exp_avg_sq")}
            self._adam.state[parameter] = {"step": tensors[f"adam.{name}.step"].to(parameter.device), **moments}
        self._momenta = {name: _like(kernel, tensors[f"muon.{name}"]) for name, kernel in self._kernels.items()}


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly U V^T of a matrix U S V^T: singular values come between some 0.7 and 1.2 (Newton-Schulz)."""
    linear, cubic, quintic = NEWTON_SCHULZ
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic), wide, beta=linear)
    return wide if len(matrix) <= matrix.shape[1] else wide.T


def _is_kernel(weight: Tensor) -> bool:
    """Of a convolution that sees more than one place: outputs, which are 1 x 1, are better left to Adam."""
    return weight.ndim == 4 and weight.shape[-1] > 1


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    return torch.empty_like(parameter).copy_(value)
