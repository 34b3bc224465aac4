"""A run that trains a corrector's networks: how, how far it is, its steps, and its checkpoint."""

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from bbcompress.codec.corrector import Corrector, channel_slices, outputs
from bbcompress.codec.parameters import FITTED_STRIDES, Parameters
from bbcompress.train.corrector_networks import CorrectorNetworks, bits
from bbcompress.train.cuda_graph import GraphedStep
from bbcompress.train.observe import Observation
from bbcompress.train.optimizer import Optimizer
from bbcompress.train.seen import Seen, placed

CPU = torch.device("cpu")
AVERAGED = 0.003
"""Of the weights that each step puts into their moving average, once there were enough steps."""
AVERAGED_LATEST = 8
"""Before, the average is mostly of the last eighth of all steps: early ones are not worth keeping."""
LAST_RATE = 0.005
"""Of the step size, at the end."""
MOST_LAYOUTS = 16
"""Of groups, for which a GPU keeps graphs."""
AS_THEY_ARE, MIRRORED, TURNED, AS_PHOTOGRAPHS = "none", "mirrored", "turned", "photographs"
"""What is done to groups before they are seen."""


@dataclass(frozen=True)
class CorrectorOptions:
    """How to train."""

    seconds: float = 600.0
    """Of training in all, with what a run that this one goes on from took."""
    width: int = 64
    """Channels inside the networks, best a multiple of 32."""
    blocks: int = 1
    """Residual blocks of each."""
    scales: tuple[tuple[int, ...], ...] = (FITTED_STRIDES,)
    """Strides that share networks; coarser scales hold few pixels of large pictures."""
    strides: tuple[int, ...] = (2, 4)
    """Scales that are trained on."""
    learning_rate: float = 3e-3
    warm_up: float = 0.05
    """Part of the time over which the step size rises."""
    steady: float = 0.4
    """Part of the time before the step size falls, along a cosine."""
    uses: int = 3
    """Of each observed group."""
    groups: int = 1
    """Observed groups that a step takes: several where a step of one leaves a GPU idle."""
    augment: str = AS_PHOTOGRAPHS
    bf16: bool = True
    """Convolutions in bfloat16: faster where processors have units for it."""
    seed: int = 0


class HeldOut(NamedTuple):
    """Pictures that are not trained on."""

    groups: list[list[Observation]]
    subpixels: int


class CorrectorRun:
    """A training run: networks, their average, optimisers, and how far it is."""

    def __init__(
        self,
        channels: int,
        options: CorrectorOptions,
        start: Corrector | None = None,
        data: str = "",
        device: torch.device = CPU,
        predictors: Parameters | None = None,
    ):
        """`start` has weights to begin with, of the same width and no more blocks; `data` is told from other runs' data
        by; `predictors` are the model's, else they are fitted to each group."""
        torch.manual_seed(options.seed)
        self.options, self._data, self.device, self.predictors = options, data, device, predictors
        self.networks = CorrectorNetworks(channels, options.scales, options.width, options.blocks)
        if start is not None:
            begun = CorrectorNetworks.restored(start, options.blocks, options.scales)
            self.networks.load_state_dict(begun.state_dict())
        self.networks.to(device)
        self.average = copy.deepcopy(self.networks)
        self._optimizers = [Optimizer(stage, options.learning_rate, muon=True) for stage in self.networks.stages]
        self.step = 0
        self.seconds = 0.0
        self.best = math.inf
        """The fewest held-out bits/dim so far."""

        self._steps: dict[tuple[object, ...], GraphedStep] = {}

    def take_step(self, batch: Sequence[Seen]) -> Tensor:
        """One step of each stage's networks; returns bits/dim of the finest scale, a tensor () that the next step may
        overwrite."""
        layout = tuple(seen.layout for seen in batch)
        step = self._steps.get(layout) or GraphedStep(partial(self._step, layout), self.device)
        if len(self._steps) < MOST_LAYOUTS:
            self._steps[layout] = step
        self.step += 1
        share = max(AVERAGED, AVERAGED_LATEST / (self.step + AVERAGED_LATEST))
        return step(self._rate(), share, *(tensor for seen in batch for tensor in seen.tensors))

    def _step(
        self, layout: Sequence[tuple[int, int, int, tuple[int, ...]]], rate: Tensor, share: Tensor, *tensors: Tensor
    ) -> Tensor:
        """The same for observations as tensors, one after another."""
        of_networks: dict[nn.Module, list[tuple[int, int, int, Sequence[Tensor]]]] = {}
        for n, (stride, stage, depth, seen) in enumerate(layout):
            networks = self.networks.of(stride, stage)
            assert networks is not None
            found = stride, depth, math.prod(seen[:3]), tensors[5 * n : 5 * n + 5]
            of_networks.setdefault(networks, []).append(found)
        finest_stride = min(stride for stride, *_ in layout)
        finest = []
        for network, optimizer in zip(self.networks.stages, self._optimizers, strict=True):
            if network not in of_networks:
                continue
            network.zero_grad()
            size = max(pixels for _, _, pixels, _ in of_networks[network])
            for stride, depth, pixels, of_it in of_networks[network]:
                loss = self._bits(network, of_it, depth).mean()
                (loss * (pixels / size)).backward()  # type: ignore[no-untyped-call]
                if stride == finest_stride:
                    finest.append(loss.detach())
            clip_grad_norm_(network.parameters(), 1.0)
            for parameter in network.parameters():
                if parameter.grad is not None:
                    # clipped by an infinite norm
                    parameter.grad.nan_to_num_(0.0, 0.0, 0.0)
            optimizer.step(rate)
        with torch.no_grad():
            for average, parameter in zip(self.average.parameters(), self.networks.parameters(), strict=True):
                average.lerp_(parameter, share)
        return torch.stack(finest).mean()

    @torch.no_grad()
    def held_out(self, groups: Sequence[Sequence[Observation]]) -> dict[tuple[int, int], NDArray[np.float64]]:
        """By stride and stage: bits of each channel by the predictors alone, then with the average's networks."""
        totals: dict[tuple[int, int], NDArray[np.float64]] = {}
        for group in groups:
            for o in group:
                tensors = placed(o, self.device).tensors
                alone = corrected = self._bits(None, tensors, o.depth)
                networks = self.average.of(o.stride, o.stage)
                if networks is not None:
                    corrected = self._bits(networks, tensors, o.depth)
                pair = torch.stack([alone.sum((1, 2, 3)), corrected.sum((1, 2, 3))]).double().cpu().numpy()
                totals[o.stride, o.stage] = totals.get((o.stride, o.stage), 0) + pair
        return totals

    def save(self, path: Path) -> None:
        """All that is needed to go on, put in place in one step."""
        tensors = {f"network.{name}": tensor for name, tensor in self.networks.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for number, optimizer in enumerate(self._optimizers):
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in optimizer.state()}
        told = {"step": self.step, "seconds": self.seconds, "best": self.best, "data": self._data}
        told |= {"options": json.dumps(asdict(self.options))}
        unfinished = path.with_name(f".bbc-{path.name}")
        whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        save_file(whole, unfinished, {key: str(value) for key, value in told.items()})
        unfinished.replace(path)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote. Raises ValueError for what is another run's, or damaged."""
        try:
            with safe_open(path, "pt") as file:
                told = file.metadata()
                tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

            def named(prefix: str) -> dict[str, Tensor]:
                return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

            same_data = told["data"] == self._data
            self.networks.load_state_dict(named("network."))
            self.average.load_state_dict(named("average."))
            for number, optimizer in enumerate(self._optimizers):
                if int(told["step"]):
                    optimizer.load_state(named(f"optimizer.{number}."))
            self.step, self.seconds, self.best = int(told["step"]), float(told["seconds"]), float(told["best"])
        except (RuntimeError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ValueError(f"{path}: damaged, or of a run of other networks; remove it to start anew") from error
        if not same_data:
            raise ValueError(f"{path}: of a run on other images; remove it to start anew, or name another output")

    def _bits(self, network: torch.nn.Module | None, tensors: Sequence[Tensor], depth: int) -> Tensor:
        """Of an observation as tensors, by the predictors alone where there is no network."""
        seen, values, errors, classes, shapes = tensors
        if network is None:
            count = sum(map(outputs, channel_slices(len(shapes))))
            numbers = torch.zeros(len(seen), count, *seen.shape[1:3], device=self.device)
        else:
            numbers = network(seen, torch.bfloat16 if self.options.bf16 else torch.float32)
        return bits(numbers, values, errors, classes, shapes, depth)

    def _rate(self) -> float:
        done, steady = min(1.0, self.seconds / self.options.seconds), self.options.steady
        falling = 1.0 if done < steady else 0.5 * (1 + math.cos(math.pi * (done - steady) / (1 - steady)))
        warm = min(1.0, done / self.options.warm_up)
        return self.options.learning_rate * max(warm, LAST_RATE) * (LAST_RATE + (1 - LAST_RATE) * falling)


def bits_without_training(corrector: Corrector, held_out: HeldOut) -> tuple[float, float]:
    """Bits/dim of held-out pictures, observed by the corrector's predictors: by these alone, and with it; infinite
    where it cannot be trained."""
    try:
        networks = CorrectorNetworks.restored(corrector)
    except ValueError:
        return math.inf, math.inf
    scales = tuple(scale.strides for scale in corrector.scales)
    options = CorrectorOptions(width=networks.width, blocks=networks.blocks, scales=scales)
    run = CorrectorRun(corrector.channels, options, corrector)
    alone, corrected = sum(pair.sum(1) for pair in run.held_out(held_out.groups).values()) / held_out.subpixels
    return float(alone), float(corrected)


def stored_options(checkpoint: Path) -> CorrectorOptions:
    """Of the run that wrote a checkpoint. Raises ValueError for what is none."""
    try:
        with safe_open(checkpoint, "pt") as file:
            told = json.loads(file.metadata()["options"])
        scales = tuple(tuple(strides) for strides in told["scales"])
        return CorrectorOptions(**{**told, "strides": tuple(told["strides"]), "scales": scales})
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ValueError(f"{checkpoint}: damaged, or of another version; remove it to start anew") from error
