"""Training a corrector's networks for a given time: one checkpoint to go on from, a model to use at any time.

A step takes one group: pictures that share their predictors (`bbcompress.train.groups`). Observing one may take as
long as a step, so that it is done by processes of its own, and an observed group may be used some times.
"""

import csv
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from bbcompress.codec.lattice import strides as all_strides
from bbcompress.codec.parameters import Parameters
from bbcompress.train.corrector_run import AS_PHOTOGRAPHS, MIRRORED, TURNED, CorrectorRun, HeldOut
from bbcompress.train.groups import Drawing
from bbcompress.train.observe import Observation, observe
from bbcompress.train.photographs import changed, mirrored, turned
from bbcompress.train.pictures import Pixels
from bbcompress.train.seen import Seen, joined, placed

KEPT_GROUPS, GPU_KEPT_GROUPS = 48, 1024
"""Observed groups that are used again, of some 6 MB each."""
KEPT_SHARE = 4
"""Of a GPU's memory they take at most a fourth."""
CHECKPOINT_SECONDS = 20.0
EVALUATION_SHARE = 0.05
"""Of the time, for held-out pictures, at most."""


def observed(
    group: Pixels, depth: int, strides: tuple[int, ...], predictors: Parameters | None, augment: str, seed: int
) -> list[Observation]:
    """What a step sees of a group (pictures, height, width, channels); see `bbcompress.train.observe.observe`."""
    random = np.random.default_rng(seed)
    if augment == AS_PHOTOGRAPHS:
        pictures = changed(group, random)
    elif augment == TURNED:
        pictures = turned(group, random)
    elif augment == MIRRORED:
        pictures = mirrored(group, random)
    else:
        pictures = np.ascontiguousarray(group.transpose(3, 0, 1, 2))
    return list(observe([pictures], depth, strides, predictors))


def observed_whole(groups: Sequence[Pixels], depth: int, predictors: Parameters | None = None) -> list[Observation]:
    """All scales of pictures of several sizes (pictures, height, width, channels) that share their predictors."""
    pictures = [np.ascontiguousarray(group.transpose(3, 0, 1, 2)) for group in groups]
    strides = {stride for group in groups for stride in all_strides(*group.shape[1:3])}
    return list(observe(pictures, depth, tuple(strides), predictors))


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
        fresh = _observed_ahead(pool, drawing, run, random, processes)
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
    run: CorrectorRun,
    random: np.random.Generator,
    processes: int,
) -> Iterator[list[Observation]]:
    options = run.options

    def submitted() -> "Future[list[Observation]]":
        pixels, depth = drawing.group(random)
        seed = int(random.integers(1 << 31))
        return pool.submit(observed, pixels, depth, options.strides, run.predictors, options.augment, seed)

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
