"""Training a corrector's networks for a given time: one checkpoint to go on from, a model to use at any time.

A step takes one group: pictures that share a fit (`bbcompress.train.groups`). Observing a group takes as long as a
step, so that it is done by processes of its own, and each observed group is used some times.
"""

import copy
import csv
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from bbcompress.codec.corrector import Corrector, outputs, turns
from bbcompress.codec.lattice import STAGES
from bbcompress.codec.lattice import strides as all_strides
from bbcompress.train.corrector_networks import CorrectorNetworks, bits
from bbcompress.train.cuda_graph import GraphedStep
from bbcompress.train.groups import Drawing
from bbcompress.train.observe import Observation, observe
from bbcompress.train.optimizer import Optimizer
from bbcompress.train.photographs import changed, turned
from bbcompress.train.pictures import Pixels

CPU = torch.device("cpu")
AVERAGED = 0.003
"""Of the weights that each step puts into their moving average, once there were enough steps."""
AVERAGED_LATEST = 8
"""Before, the average is mostly of the last eighth of all steps: early ones are not worth keeping."""
LAST_RATE = 0.005
"""Of the step size, at the end."""
KEPT_GROUPS, GPU_KEPT_GROUPS = 48, 1024
"""Observed groups that are used again, of some 6 MB each."""
KEPT_SHARE = 4
"""Of a GPU's memory they take at most a fourth."""
CHECKPOINT_SECONDS = 20.0
EVALUATION_SHARE = 0.05
"""Of the time, for held-out pictures, at most."""
MOST_LAYOUTS = 16
"""Of groups, for which a GPU keeps graphs."""
AS_THEY_ARE, TURNED, AS_PHOTOGRAPHS = "none", "turned", "photographs"
"""What is done to groups before they are seen."""


class Seen(NamedTuple):
    """An observation of one group or of several of the same sizes, as tensors on a device."""

    stage: int
    depth: int
    tensors: tuple[Tensor, ...]
    """What is seen, values, errors, classes, shapes: see `bbcompress.train.observe.Observation`."""

    @property
    def layout(self) -> tuple[int, int, tuple[int, ...]]:
        """Stage, bits of values, shape of what is seen."""
        return self.stage, self.depth, tuple(self.tensors[0].shape)


_PICTURES = (0, 1, 1, 1, 1)
"""The axis of pictures in each of the tensors."""


def placed(o: Observation, device: torch.device) -> Seen:
    """An observation on a device; shapes become (channels, N), as other pictures may have others."""
    arrays = (torch.from_numpy(array) for array in (o.seen, o.values, o.errors, o.classes))
    shapes = torch.tensor(o.shapes, dtype=torch.float32)[:, None].expand(-1, len(o.seen))
    return Seen(o.stage, o.depth, tuple(tensor.to(device) for tensor in (*arrays, shapes)))


def joined(groups: Sequence[Sequence[Seen]]) -> list[Seen]:
    """Observations of groups: of those of the same sizes as one, which takes a GPU hardly longer than one of them."""
    alike: dict[tuple[object, ...], list[Sequence[Seen]]] = {}
    for group in groups:
        alike.setdefault(tuple(seen.layout for seen in group), []).append(group)
    found = []
    for same in alike.values():
        for each in zip(*same, strict=True):
            of_all = zip(*(seen.tensors for seen in each), strict=True)
            tensors = tuple(
                torch.cat(parts, axis) if len(parts) > 1 else parts[0]
                for parts, axis in zip(of_all, _PICTURES, strict=True)
            )
            found.append(each[0]._replace(tensors=tensors))
    return found


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


def observed(group: Pixels, depth: int, strides: tuple[int, ...], augment: str, seed: int) -> list[Observation]:
    """What a step sees of a group (pictures, height, width, channels)."""
    random = np.random.default_rng(seed)
    if augment == AS_PHOTOGRAPHS:
        pictures = changed(group, random)
    elif augment == TURNED:
        pictures = turned(group, random)
    else:
        pictures = np.ascontiguousarray(group.transpose(3, 0, 1, 2))
    return list(observe([pictures], depth, strides))


def observed_whole(groups: Sequence[Pixels], depth: int) -> list[Observation]:
    """All scales of pictures of several sizes (pictures, height, width, channels) that share a fit."""
    pictures = [np.ascontiguousarray(group.transpose(3, 0, 1, 2)) for group in groups]
    strides = {stride for group in groups for stride in all_strides(*group.shape[1:3])}
    return list(observe(pictures, depth, tuple(strides)))


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
    ):
        """`start` has weights to begin with, of the same width and no more blocks; `data` is told from other runs' data
        by."""
        torch.manual_seed(options.seed)
        self.options, self._data, self.device = options, data, device
        self.networks = CorrectorNetworks(channels, options.width, options.blocks)
        if start is not None:
            self.networks.load_state_dict(CorrectorNetworks.restored(start, options.blocks).state_dict())
        self.networks.to(device)
        self.average = copy.deepcopy(self.networks)
        self._optimizers = {
            stage: Optimizer(self.networks.stages[str(stage)], options.learning_rate, muon=True) for stage in STAGES
        }
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
        self, layout: Sequence[tuple[int, int, tuple[int, ...]]], rate: Tensor, share: Tensor, *tensors: Tensor
    ) -> Tensor:
        """The same for observations as tensors, one after another."""
        observations = [(*about, tensors[5 * n : 5 * n + 5]) for n, about in enumerate(layout)]
        size = max(math.prod(seen[:3]) for _, _, seen in layout)
        finest = []
        for stage in STAGES:
            network = self.networks.stages[str(stage)]
            network.zero_grad()
            for its_stage, depth, seen, of_it in observations:
                if its_stage == stage:
                    loss, part = self._bits(network, of_it, depth).mean(), math.prod(seen[:3]) / size
                    (loss * part).backward()  # type: ignore[no-untyped-call]
                    if part == 1:
                        finest.append(loss.detach())
            clip_grad_norm_(network.parameters(), 1.0)
            for parameter in network.parameters():
                if parameter.grad is not None:
                    # clipped by an infinite norm
                    parameter.grad.nan_to_num_(0.0, 0.0, 0.0)
            self._optimizers[stage].step(rate)
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
                if o.seen.shape[3]:
                    corrected = self._bits(self.average.stages[str(o.stage)], tensors, o.depth)
                pair = torch.stack([alone.sum((1, 2, 3)), corrected.sum((1, 2, 3))]).double().cpu().numpy()
                totals[o.stride, o.stage] = totals.get((o.stride, o.stage), 0) + pair
        return totals

    def save(self, path: Path) -> None:
        """All that is needed to go on, put in place in one step."""
        tensors = {f"network.{name}": tensor for name, tensor in self.networks.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for stage, optimizer in self._optimizers.items():
            tensors |= {f"optimizer.{stage}.{name}": tensor for name, tensor in optimizer.state()}
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
            for stage, optimizer in self._optimizers.items():
                if int(told["step"]):
                    optimizer.load_state(named(f"optimizer.{stage}."))
            self.step, self.seconds, self.best = int(told["step"]), float(told["seconds"]), float(told["best"])
        except (RuntimeError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ValueError(f"{path}: damaged, or of a run of other networks; remove it to start anew") from error
        if not same_data:
            raise ValueError(f"{path}: of a run on other images; remove it to start anew, or name another output")

    def _bits(self, network: torch.nn.Module | None, tensors: Sequence[Tensor], depth: int) -> Tensor:
        """Of an observation as tensors, by the predictors alone where there is no network."""
        seen, values, errors, classes, shapes = tensors
        if network is None:
            count = sum(map(outputs, turns(len(shapes))))
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
    """Bits/dim of held-out pictures by predictors alone, and with a corrector; infinite where it cannot be trained."""
    try:
        networks = CorrectorNetworks.restored(corrector)
    except ValueError:
        return math.inf, math.inf
    run = CorrectorRun(corrector.channels, CorrectorOptions(width=networks.width, blocks=networks.blocks), corrector)
    alone, corrected = sum(pair.sum(1) for pair in run.held_out(held_out.groups).values()) / held_out.subpixels
    return float(alone), float(corrected)


def stored_options(checkpoint: Path) -> CorrectorOptions:
    """Of the run that wrote a checkpoint. Raises ValueError for what is none."""
    try:
        with safe_open(checkpoint, "pt") as file:
            told = json.loads(file.metadata()["options"])
        return CorrectorOptions(**{**told, "strides": tuple(told["strides"])})
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ValueError(f"{checkpoint}: damaged, or of another version; remove it to start anew") from error


class State(NamedTuple):
    """How far a run is."""

    step: int
    seconds: float
    training: float
    """Bits/dim of the finest scale, since the last state that was reported."""
    alone: float
    """Held-out bits/dim of all scales, by predictors alone, without what these take in a file."""
    corrected: float
    """With networks."""
    better: bool
    """Than ever before."""
    by_stage: dict[tuple[int, int], float]
    """Of each stride and stage, by how much networks change the bits."""


def train(
    run: CorrectorRun,
    drawing: Drawing,
    held_out: HeldOut,
    checkpoint: Path,
    log: Path,
    report: Callable[[State], object],
    processes: int = 1,
    save_model: Callable[[], object] = lambda: None,
    advance: Callable[[float], object] = lambda seconds: None,
) -> None:
    """Until the run's seconds are used up: checkpoints, a model whenever it is better, lines of the log and reports.

    Whatever ends it, a checkpoint is left. `advance` is told the seconds after each step.
    """
    options = run.options
    random = np.random.default_rng([options.seed, run.step])
    kept: list[list[Seen]] = []
    total, steps = torch.zeros((), device=run.device), 0
    evaluation_seconds = 0.0

    def evaluate() -> None:
        nonlocal evaluation_seconds, steps
        started = time.monotonic()
        found = run.held_out(held_out.groups)
        alone, corrected = (float(total) for total in sum(pair.sum(1) for pair in found.values()) / held_out.subpixels)
        better = corrected < run.best
        run.best = min(run.best, corrected)
        if better:
            save_model()
        run.save(checkpoint)
        state = State(
            run.step,
            run.seconds,
            float(total) / steps if steps else math.nan,
            alone,
            corrected,
            better,
            {key: float(pair[1].sum() / max(1e-9, pair[0].sum()) - 1) for key, pair in found.items()},
        )
        _write(log, state)
        report(state)
        total.zero_()
        steps = 0
        evaluation_seconds = time.monotonic() - started

    if run.step == 0:
        log.unlink(missing_ok=True)
        evaluate()
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_set_up_process)
    try:
        fresh = _observed_ahead(pool, drawing, options, random, processes)
        start, before = time.monotonic(), run.seconds
        last_save = last_evaluation = start
        while run.seconds < options.seconds:
            group = [placed(observation, run.device) for observation in next(fresh)]
            most = _kept_groups(group, run.device)
            if len(kept) < most:
                kept.append(group)
            else:
                kept[random.integers(len(kept))] = group
            for use in range(options.uses):
                groups = [group] if use == 0 else []
                while len(groups) < options.groups:
                    groups.append(kept[random.integers(len(kept))])
                total += run.take_step(joined(groups))
                steps += 1
            now = time.monotonic()
            run.seconds = before + now - start
            advance(run.seconds)
            if run.seconds >= options.seconds or now - last_evaluation > max(
                CHECKPOINT_SECONDS, evaluation_seconds / EVALUATION_SHARE
            ):
                evaluate()
                last_save = last_evaluation = time.monotonic()
            elif now - last_save > CHECKPOINT_SECONDS:
                run.save(checkpoint)
                last_save = now
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        run.save(checkpoint)


def _kept_groups(group: Sequence[Seen], device: torch.device) -> int:
    """How many groups like this one are kept."""
    if device.type != "cuda":
        return KEPT_GROUPS
    size = sum(tensor.nbytes for seen in group for tensor in seen.tensors)
    return max(1, min(GPU_KEPT_GROUPS, torch.cuda.get_device_properties(device).total_memory // KEPT_SHARE // size))


def _set_up_process() -> None:
    """One that prepares groups: what interrupts the run is its parent's affair, and it ends with that."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _observed_ahead(
    pool: ProcessPoolExecutor,
    drawing: Drawing,
    options: CorrectorOptions,
    random: np.random.Generator,
    processes: int,
) -> Iterator[list[Observation]]:
    def submitted() -> "Future[list[Observation]]":
        pixels, depth = drawing.group(random)
        seed = int(random.integers(1 << 31))
        return pool.submit(observed, pixels, depth, options.strides, options.augment, seed)

    waiting = [submitted() for _ in range(2 * processes)]
    while True:
        waiting.append(submitted())
        yield waiting.pop(0).result()


LOG_FIELDS = ("step", "seconds", "training_bits_per_dim", "held_out_alone_bits_per_dim", "held_out_bits_per_dim")


def _write(log: Path, state: State) -> None:
    new = not log.exists()
    row = [state.step, round(state.seconds), state.training, state.alone, state.corrected]
    with log.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(LOG_FIELDS)
        writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in row])
