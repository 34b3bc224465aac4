"""Training a corrector's networks for a given time: one checkpoint to go on from, a model that can be used at any time.

A step takes one group: pictures of one kind (crops of one photograph, say) that share a fit. Observing a group takes as
long as a step, so that it is done by processes of its own, and each observed group is used some times.
"""

import csv
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from bbcompress.codec.lattice import STAGES
from bbcompress.train.corrector_networks import CorrectorNetworks, bits
from bbcompress.train.observe import Observation, observe
from bbcompress.train.optimizer import Optimizer
from bbcompress.train.photographs import changed

WARM_UP_STEPS = 50
AVERAGED = 0.003
"""Of the weights that each step puts into their moving average, once there were enough steps."""
LAST_RATE = 0.005
"""Of the step size, at the end."""
KEPT_GROUPS = 96
"""Observed groups that are used again."""
CHECKPOINT_SECONDS = 180.0

Group = NDArray[np.uint8]
"""(pictures, side, side, channels); of colours the first channel is green."""


@dataclass(frozen=True)
class CorrectorOptions:
    """How to train."""

    seconds: float = 600.0
    """Of training in all, with what a run that this one goes on from took."""
    width: int = 64
    """Channels inside the networks, best a multiple of 32."""
    blocks: int = 1
    """Residual blocks of each."""
    strides: tuple[int, ...] = (2, 4)
    """Scales that are trained on; the networks serve all."""
    learning_rate: float = 3e-3
    steady: float = 0.4
    """Part of the time before the step size falls, along a cosine."""
    uses: int = 3
    """Of each observed group."""
    augment: bool = True
    """Groups are changed as photographs are (`bbcompress.train.photographs`)."""
    bf16: bool = True
    """Convolutions in bfloat16: faster where processors have units for it."""
    seed: int = 0


def observed(group: Group, strides: tuple[int, ...], augment: bool, seed: int) -> list[Observation]:
    """What a step sees of a group (pictures, height, width, channels)."""
    random = np.random.default_rng(seed)
    pictures = changed(group, random) if augment else np.ascontiguousarray(group.transpose(3, 0, 1, 2))
    return list(observe(pictures, 8, strides))


class CorrectorRun:
    """A training run: networks, their average, optimisers, and how far it is."""

    def __init__(self, channels: int, options: CorrectorOptions):
        torch.manual_seed(options.seed)
        self.options = options
        self.networks = CorrectorNetworks(channels, options.width, options.blocks)
        self.average = CorrectorNetworks(channels, options.width, options.blocks)
        self.average.load_state_dict(self.networks.state_dict())
        self._optimizers = {
            stage: Optimizer(self.networks.stages[str(stage)], options.learning_rate, muon=True) for stage in STAGES
        }
        self.step = 0
        self.seconds = 0.0

    def take_step(self, group: Sequence[Observation]) -> float:
        """One step of each stage's network; returns bits/dim of the finest scale."""
        finest = []
        size = max(o.values[0].size for o in group)
        for stage in STAGES:
            network = self.networks.stages[str(stage)]
            network.zero_grad()
            for o in group:
                if o.stage == stage:
                    loss = self._bits(network, o).mean()
                    (loss * (o.values[0].size / size)).backward()
                    if o.values[0].size == size:
                        finest.append(float(loss.detach()))
            clip_grad_norm_(network.parameters(), 1.0)
            self._optimizers[stage].step(self._rate())
        self.step += 1
        share = max(AVERAGED, 1 / (self.step + 5))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.networks.parameters()), share)
        return float(np.mean(finest))

    @torch.no_grad()
    def held_out(self, groups: Sequence[Sequence[Observation]]) -> dict[tuple[int, int], NDArray[np.float64]]:
        """By stride and stage: bits/dim of each channel by the predictors alone, then with the average's networks."""
        totals: dict[tuple[int, int], list[NDArray[np.float64]]] = {}
        for group in groups:
            for o in group:
                network = self.average.stages[str(o.stage)]
                corrected = self._bits(network, o)
                numbers = torch.zeros(o.seen.shape[0], 3 * len(o.shapes), *o.seen.shape[1:3])
                alone = bits(numbers, *_tensors(o), o.shapes, 255)
                pair = torch.stack([alone.mean((1, 2, 3)), corrected.mean((1, 2, 3))]).double().numpy()
                totals.setdefault((o.stride, o.stage), []).append(pair)
        return {key: np.mean(pairs, 0) for key, pairs in totals.items()}

    def save(self, path: Path) -> None:
        """All that is needed to go on, put in place in one step."""
        tensors = {f"network.{name}": tensor for name, tensor in self.networks.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for stage, optimizer in self._optimizers.items():
            tensors |= {f"optimizer.{stage}.{name}": tensor for name, tensor in optimizer.state()}
        told = {"step": str(self.step), "seconds": str(self.seconds), "options": json.dumps(asdict(self.options))}
        unfinished = path.with_suffix(".part")
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, unfinished, told)
        unfinished.replace(path)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote. Raises ValueError for what is another run's, or damaged."""
        try:
            with safe_open(path, "pt") as file:
                told = file.metadata()
                tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

            def named(prefix: str) -> dict[str, Tensor]:
                return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

            self.networks.load_state_dict(named("network."))
            self.average.load_state_dict(named("average."))
            for stage, optimizer in self._optimizers.items():
                optimizer.load_state(named(f"optimizer.{stage}."))
            self.step, self.seconds = int(told["step"]), float(told["seconds"])
        except (RuntimeError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ValueError(f"{path}: damaged, or of a run of other networks; remove it to start anew") from error

    def _bits(self, network: torch.nn.Module, o: Observation) -> Tensor:
        dtype = torch.bfloat16 if self.options.bf16 else torch.float32
        return bits(network(torch.from_numpy(o.seen), dtype), *_tensors(o), o.shapes, 255)

    def _rate(self) -> float:
        done, steady = min(1.0, self.seconds / self.options.seconds), self.options.steady
        falling = 1.0 if done < steady else 0.5 * (1 + math.cos(math.pi * (done - steady) / (1 - steady)))
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        return self.options.learning_rate * warm * (LAST_RATE + (1 - LAST_RATE) * falling)


def _tensors(o: Observation) -> tuple[Tensor, Tensor, Tensor]:
    return torch.from_numpy(o.values), torch.from_numpy(o.errors), torch.from_numpy(o.classes)


def train(
    run: CorrectorRun,
    groups: Sequence[Group],
    held_out: Sequence[Sequence[Observation]],
    checkpoint: Path,
    log: Path,
    report: Callable[[str], object],
    processes: int = 1,
    save_model: Callable[[], object] = lambda: None,
) -> None:
    """Until the run's seconds are used up; every three minutes, and at the end, a checkpoint, a line of the log and
    what `save_model` does."""
    options = run.options
    random = np.random.default_rng([options.seed, run.step])
    kept: list[list[Observation]] = []
    losses: list[float] = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        fresh = _observed_ahead(pool, groups, options, random, processes)
        start, before = time.monotonic(), run.seconds
        last = start
        while run.seconds < options.seconds:
            group = next(fresh)
            if len(kept) < KEPT_GROUPS:
                kept.append(group)
            else:
                kept[random.integers(KEPT_GROUPS)] = group
            losses.append(run.take_step(group))
            for _ in range(options.uses - 1):
                losses.append(run.take_step(kept[random.integers(len(kept))]))
            now = time.monotonic()
            run.seconds = before + now - start
            if now - last > CHECKPOINT_SECONDS or run.seconds >= options.seconds:
                run.save(checkpoint)
                save_model()
                found = run.held_out(held_out)
                alone, corrected = np.mean([pair.mean(1) for (stride, _), pair in found.items() if stride == 2], 0)
                _write(log, [run.step, round(run.seconds), np.mean(losses), alone, corrected])
                report(
                    f"step {run.step}, {run.seconds:.0f} s: training {np.mean(losses):.4f}, held out {corrected:.4f} "
                    f"bits/dim, {alone:.4f} without networks; "
                    + ", ".join(f"{key}: {100 * (p[1] / p[0] - 1).mean():+.2f} %" for key, p in found.items())
                )
                losses, last = [], now


def _observed_ahead(
    pool: ProcessPoolExecutor,
    groups: Sequence[Group],
    options: CorrectorOptions,
    random: np.random.Generator,
    processes: int,
) -> Iterator[list[Observation]]:
    def submitted() -> "Future[list[Observation]]":
        group = groups[int(random.integers(len(groups)))]
        return pool.submit(observed, group, options.strides, options.augment, int(random.integers(1 << 31)))

    waiting = [submitted() for _ in range(2 * processes)]
    while True:
        waiting.append(submitted())
        yield waiting.pop(0).result()


def _write(log: Path, row: Sequence[object]) -> None:
    fields = ["step", "seconds", "training_bits_per_dim", "held_out_alone_bits_per_dim", "held_out_bits_per_dim"]
    new = not log.exists()
    with log.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(fields)
        writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in row])
