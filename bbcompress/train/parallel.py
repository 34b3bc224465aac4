"""Gradients by several threads of one process, a share of the batch each: more than torch's own threads bring here."""

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from bbcompress.train.objectives import Objective, gradients
from bbcompress.train.vae import VAEBase


class DataParallel:
    """Replicas of `model` that share its weights and have gradients of their own, a thread each.

    Each share has its own noise, so that a run depends on the number of threads.
    """

    def __init__(self, model: VAEBase, threads: int):
        self._replicas = [model, *(_sharing_weights(model) for _ in range(threads - 1))]
        self._pool = ThreadPoolExecutor(threads, initializer=_set_up_thread)

    def gradients(
        self,
        objective: Objective,
        pixels: Tensor,
        generators: Sequence[torch.Generator],
        encoder_only: bool = False,
        bf16: bool = False,
    ) -> Tensor:
        """Set the gradients of `model` for pixels (N, ...); returns the encoder's mean loss in bits/dim.

        `generators` has one for each thread.
        """

        def share(replica: VAEBase, part: Tensor, generator: torch.Generator) -> Tensor:
            replica.zero_grad()
            with torch.autocast(part.device.type, torch.bfloat16, enabled=bf16):
                return gradients(replica, objective, part, generator, encoder_only) * (len(part) / len(pixels))

        parts = pixels.tensor_split(len(self._replicas))
        if len(parts) == 1:
            return share(self._replicas[0], pixels, generators[0])
        losses = list(self._pool.map(share, self._replicas, parts, generators))
        for parameter, *others in zip(*(replica.parameters() for replica in self._replicas), strict=True):
            if parameter.grad is not None:
                parameter.grad *= len(parts[0]) / len(pixels)
                for other, part in zip(others, parts[1:], strict=True):
                    assert other.grad is not None
                    parameter.grad += other.grad * (len(part) / len(pixels))
        return torch.stack(losses).sum()


def _set_up_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # a thread's own setting; denormal gradients are slow


def _sharing_weights(model: VAEBase) -> VAEBase:
    replica = copy.deepcopy(model)
    for parameter, shared in zip(replica.parameters(), model.parameters(), strict=True):
        parameter.data = shared.data
    return replica
