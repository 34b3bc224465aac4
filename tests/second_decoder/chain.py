"""Sections 7.2, 7.3 and 12: chains of pictures or tiles on one stack."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from second_decoder.dense import Model, Pixels
from second_decoder.distributions import centres, finds, grid_starts, posterior_starts, uniform
from second_decoder.functions import Floats, exp, noise
from second_decoder.rans import LOWEST, Stack
from second_decoder.reading import require


class Plan(NamedTuple):
    first: int = 1
    width: int = 1
    growth: int = 1
    lanes: int = 1
    density: int = 1
    steps: int = 0
    refinement: int = 0


class Group(NamedTuple):
    """Pictures or tiles that follow each other, of one size and run of scale shifts."""

    model: Model
    count: int


class Batch(NamedTuple):
    group: int
    start: int
    """In the group."""
    size: int
    done: int
    """Before it in the chain."""


def decode(payload: bytes, plan: Plan, groups: Sequence[Group]) -> tuple[list[Pixels], int]:
    """12.1: the pixels of each group, and the stack's bottom."""

    def lanes(done: int, j: int = 0, of: int = 1) -> int:
        """lanes(done + j / of), of 7.2."""
        return min(plan.lanes, max(1, plan.density * (done * of + j) // (plan.growth * of)))

    pixels = [group.model.empty(group.count) for group in groups]
    starts = np.cumsum([0, *(group.count for group in groups)]).tolist()
    total = starts.pop()

    def place(n: int) -> int:
        """The group that number n of the chain is in."""
        return max(group for group, start in enumerate(starts) if start <= n)

    def stage_count(n: int) -> int:
        model = groups[place(n)].model
        return len(model.stages(np.zeros((1, model.latent))))

    batches, done = [], plan.first
    while done < total:
        group = place(done)
        left = starts[group] + groups[group].count - done
        size = min(plan.width, max(1, done // plan.growth), left)
        batches.append(Batch(group, done - starts[group], size, done))
        done += size
    count = stage_count(plan.first - 1)
    widths = [lanes(plan.first - 1, count - 1, count), *(lanes(batch.done) for batch in batches)]
    stack = Stack(payload, widths[-1])
    for batch, before in zip(batches[::-1], widths[-2::-1], strict=True):
        part = pixels[batch.group][batch.start : batch.start + batch.size]
        bits_back(stack, groups[batch.group].model, part, plan, batch.done)
        stack.shrink(before)
    for n in range(plan.first - 1, -1, -1):
        model, row = groups[place(n)].model, n - starts[place(n)]
        z = stack.pop(24, finds(grid_starts(model.grid_steps)))
        stages = model.stages(((np.array(z) - 128) * model.grid_steps)[None])
        one = pixels[place(n)][row : row + 1]
        for number, stage in enumerate(stages):
            stage.place(stack.pop(stage.bits, stage.finds(one)), one)
            left = len(stages) - 1 - number  # stages that are still on the stack
            if left:
                stack.shrink(lanes(n, left - 1, len(stages)))
            elif n:
                before = stage_count(n - 1)
                stack.shrink(lanes(n - 1, before - 1, before))
    require(len(stack.heads) == 1 and not stack.tail, "a stack that does not end as it began")
    require(stack.heads[0] < LOWEST << 1, "a stack that does not end as it began")
    return pixels, stack.heads[0]


def bits_back(stack: Stack, model: Model, pixels: Pixels, plan: Plan, number: int) -> None:
    """12.3."""
    size, bits = len(pixels), model.latent_bits
    bins = np.array(stack.pop(bits, uniform(bits, size * model.latent)))
    z = centres(bits)[bins].reshape(size, -1)
    for stage in model.stages(z):
        stage.place(stack.pop(stage.bits, stage.finds(pixels)), pixels)
    mean, log_scale = refined(model, pixels, plan, number)
    starts = posterior_starts(mean.ravel(), log_scale.ravel(), bits)
    rows = np.arange(len(bins))
    low = starts[rows, bins]
    stack.push(24, list(zip(low.tolist(), (starts[rows, bins + 1] - low).tolist(), strict=True)))


def refined(model: Model, pixels: Pixels, plan: Plan, number: int) -> tuple[Floats, Floats]:
    """The posterior after the plan's steps; `number` is that of the first picture in the chain."""
    mean, log_scale = model.posterior(pixels)
    if plan.steps:
        method = {1: adam, 2: natural}[plan.refinement]
        return method(model, pixels, mean, log_scale, plan.steps, number)
    return mean, log_scale


def adam(
    model: Model, pixels: Pixels, mean: Floats, log_scale: Floats, steps: int, number: int
) -> tuple[Floats, Floats]:
    """12.4."""
    update = [Adam(model.learning_rate), Adam(model.learning_rate)]
    for s in range(steps):
        scale = exp(log_scale)
        dev = scale * np.stack([noise(number + n, s, mean.shape[1]) for n in range(len(mean))])
        gradient = model.gradient(pixels, mean + dev)
        of_mean = mean - gradient
        of_scale = ((scale * scale) - 1) - (gradient * dev)
        mean = update[0](mean, of_mean)
        log_scale = np.clip(update[1](log_scale, of_scale), -7, 3)
    return mean, log_scale


class Adam:
    """Of one parameter."""

    def __init__(self, rate: float):
        self.rate, self.b1, self.b2 = rate, 1.0, 1.0
        self.m: Floats | float = 0.0
        self.v: Floats | float = 0.0

    def __call__(self, parameter: Floats, g: Floats) -> Floats:
        self.b1, self.b2 = self.b1 * 0.9, self.b2 * 0.999
        self.m = (self.m * 0.9) + (g * (1 - 0.9))
        self.v = (self.v * 0.999) + ((g * g) * (1 - 0.999))
        update = np.sqrt(self.v / (1 - self.b2)) + 1e-8
        return parameter - (((self.m / (1 - self.b1)) * self.rate) / update)


def natural(
    model: Model, pixels: Pixels, mean: Floats, log_scale: Floats, steps: int, number: int
) -> tuple[Floats, Floats]:
    """12.5."""
    scale = np.minimum(exp(log_scale), 1)
    r = np.full_like(mean, 0.5)
    before = np.zeros_like(mean)
    for s in range(steps):
        g = model.gradient(pixels, mean) - mean
        if s:
            r = np.clip(r * np.where(g * before < 0, 0.5, 1.25), 2.0**-6, 1)
        mean = mean + (scale * np.clip(r * (scale * g), -1, 1))
        before = g
    return mean, log_scale


class Tile(NamedTuple):
    """7.3."""

    picture: int
    top: int
    left: int


def tiling(
    sizes: Sequence[tuple[int, int]], tile: int, run_of: Callable[[int], int]
) -> list[tuple[tuple[int, int], int, list[Tile]]]:
    """Size, run of scale shifts and tiles of each group, in the order of the chain."""
    every = []
    for picture, (height, width) in enumerate(sizes):
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                size = min(tile, height - top), min(tile, width - left)
                every.append(((-size[0], -size[1]), picture, top, left))
    groups: list[tuple[tuple[int, int], int, list[Tile]]] = []
    for (height, width), picture, top, left in sorted(every):
        key = (-height, -width), run_of(picture)
        if not groups or groups[-1][:2] != key:
            groups.append((*key, []))
        groups[-1][2].append(Tile(picture, top, left))
    return groups
