"""A chain of images on one ANS stack: bits-back coding (paper, Algorithms 1 and 2).

The first images are coded in two parts (`two_part`), until the stack holds enough for the next one's posterior to
pop. Then come batches. Lanes grow in number with what is done, from one.
"""

from collections.abc import Sequence
from itertools import accumulate, islice, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.model import (
    Pixels,
    Posterior,
    SizedModel,
    intervals,
    latent_bins,
    latent_distribution,
    pop_pixels,
)
from bbcompress.codec.refine import Method, refine
from bbcompress.codec.two_part import pop_first, push_first, search
from bbcompress.coding.distributions import MICROBITS, Uniform, code_lengths, push
from bbcompress.coding.rans import LOWER_BOUND, Stack, Symbols, Underflow
from bbcompress.exact.noise import philox
from bbcompress.progress import Advance, ignore

STARTS = ((1, 1), (2, 1), (2, 2), (2, 4), (8, 4), (32, 8), (128, 16))
"""Ways to start a chain (first, growth), from the fastest to the one that needs the least on the stack."""

_SUPPLY_WORDS = 64


class DamagedChain(ValueError):
    """A chain's bytes do not decode to what an encoder can have written."""


class Batch(NamedTuple):
    """Images of one size coded together, and the lanes they are spread over."""

    group: int
    images: slice
    """Within their group."""
    number: int
    """Of the first of them, within the chain."""
    lanes: int


class Group(NamedTuple):
    """Consecutive images of a chain that have one size."""

    model: SizedModel
    pixels: Pixels
    """(N, subpixels) uint8."""


class Plan(NamedTuple):
    """How a chain is laid out; both sides must have the same."""

    images: int
    first: int
    """Images coded in two parts, 1 .. images."""
    width: int
    """Images of a full batch."""
    growth: int
    """A batch is at most 1 / growth of the images before it, and lanes at most density / growth for each image on the
    stack, so that these have left enough for them."""
    lanes: int
    """Most lanes."""
    density: int
    """See `growth`."""
    steps: int
    """Refinement steps K of each posterior."""
    method: Method = Method.NATURAL
    """How these steps are taken; of no meaning where there are none."""

    def batches(self, counts: Sequence[int]) -> list[Batch]:
        """The bits-back batches in the encoder's order, for groups of so many images."""
        batches = []
        done = self.first
        for group, (start, stop) in enumerate(pairwise([0, *accumulate(counts)])):
            while start <= done < stop:
                size = min(self.width, max(1, done // self.growth), stop - done)
                batches.append(Batch(group, slice(done - start, done - start + size), done, self._lanes(done)))
                done += size
        return batches

    def first_lanes(self, number: int, stages: int) -> list[int]:
        """Lanes for each stage of a first image, in the encoder's order."""
        return [self._lanes(number * stages + done, stages) for done in range(stages)]

    def _lanes(self, done: int, parts: int = 1) -> int:
        """Lanes once so many parts of images are on the stack."""
        return min(self.lanes, max(1, self.density * done // (self.growth * parts)))


class EncodedChain(NamedTuple):
    """A chain's bytes, and what they are made of."""

    plan: Plan
    data: bytes
    net_bits: NDArray[np.float64]
    """What each image's symbols cost, what bits-back popped subtracted (images,); the bytes hold their sum and the
    stack's own overhead."""


class Layout(NamedTuple):
    """What an encoder chooses of a plan before it knows how the chain can start."""

    width: int
    lanes: int
    density: int = 4
    """Of digits: each leaves about a hundred bits, and a lane takes 32."""


def encode(
    groups: Sequence[Group],
    layout: Layout,
    steps: int,
    method: Method = Method.NATURAL,
    bottom: int = LOWER_BOUND,
    advance: Advance = ignore,
) -> EncodedChain:
    """Code images with K = `steps`, on a stack that begins with `bottom`. `advance` is told of subpixels."""
    latents: list[Symbols] = []
    images = sum(len(pixels) for _, pixels in groups)
    for first, growth in STARTS:
        if first < images or layout.lanes > 1:
            first, k = min(first, images), steps if first < images else 0
            plan = Plan(images, first, layout.width, growth, layout.lanes, layout.density, k, method)
            try:
                return _encode(groups, plan, latents, bottom, advance)
            except Underflow:
                continue
    # with all images coded in two parts on one lane nothing is popped
    return _encode(groups, Plan(images, images, 1, 1, 1, 1, 0), latents, bottom, advance)


def _encode(groups: Sequence[Group], plan: Plan, latents: list[Symbols], bottom: int, advance: Advance) -> EncodedChain:
    """`latents` holds the first images' latents, as far as they were searched for before."""
    stack = Stack(bottom)
    net_microbits = np.zeros(plan.images, np.int64)
    for number, (model, pixels) in enumerate(_first(groups, plan)):
        if number == len(latents):
            latents.append(search(model, pixels, plan.images))
        lanes = plan.first_lanes(number, model.stages)
        net_microbits[number] = push_first(model, stack, pixels, latents[number], lanes)
        advance(pixels.size)
    for batch in plan.batches([len(pixels) for _, pixels in groups]):
        model, pixels = groups[batch.group].model, groups[batch.group].pixels[batch.images]
        stack.widen(batch.lanes)
        total = _push_batch(model, stack, pixels, _posterior(model, pixels, batch, plan))
        net_microbits[batch.number : batch.number + len(pixels)] = total
        advance(pixels.size)
    return EncodedChain(plan, stack.to_bytes(), net_microbits / MICROBITS)


def _push_batch(model: SizedModel, stack: Stack, pixels: Pixels, posterior: Posterior) -> NDArray[np.int64]:
    """Code a batch with bits back; its images' net lengths in units of 1 / MICROBITS."""
    q = latent_distribution(model, posterior)
    bins = stack.pop(q)
    lengths = [-code_lengths(q.intervals(bins)[1], q.precision)]
    latent = latent_bins(model).centres[bins].reshape(posterior.mean.shape)
    lengths += [stage.push(stack) for stage in reversed(intervals(model, pixels, latent))]
    lengths.append(push(stack, Uniform(model.latent_bits, len(bins)), bins))
    total: NDArray[np.int64] = sum(length.reshape(len(pixels), -1).sum(1) for length in lengths)
    return total


def estimate(groups: Sequence[Group], width: int) -> NDArray[np.float64]:
    """Net bits of images (images,) somewhere in a long chain, in batches of at most `width`: the first posteriors pop
    noise, always the same, so that no image needs two parts."""
    found = []
    for model, pixels in groups:
        lanes = max(1, min(width, len(pixels)))
        words = _SUPPLY_WORDS + lanes * (1 + model.latent * model.latent_bits // 32)
        counters = np.zeros((4, -(-words // 4)), np.uint64)
        counters[0] = np.arange(counters.shape[1])
        stack = Stack.from_bytes(b"\1" + philox(counters, (0, 0)).astype(">u4").tobytes(), lanes=1)
        stack.widen(lanes)
        for start in range(0, len(pixels), width):
            batch = pixels[start : start + width]
            found.append(_push_batch(model, stack, batch, model.posterior(batch)))
    return np.concatenate(found) / MICROBITS


class DecodedChain(NamedTuple):
    """What `encode` was given."""

    pixels: list[Pixels]
    """Each group's (N, subpixels)."""
    bottom: int
    """To be compared with what it must be: as posteriors are pushed back on the way, this also proves that refinement
    was repeated to the bit."""


def decode(
    models: Sequence[tuple[SizedModel, int]], plan: Plan, data: bytes, advance: Advance = ignore
) -> DecodedChain:
    """The inverse of `encode`, given each group's model and number of images.

    Raises DamagedChain unless the stack ends with nothing but its bottom.
    """
    try:
        return _decode(models, plan, data, advance)
    except Underflow as error:
        raise DamagedChain(str(error)) from error


def _decode(models: Sequence[tuple[SizedModel, int]], plan: Plan, data: bytes, advance: Advance) -> DecodedChain:
    groups = [Group(model, np.zeros((count, model.subpixels), np.uint8)) for model, count in models]
    first = _first(groups, plan)
    first_lanes = [1, *(plan.first_lanes(number, model.stages)[-1] for number, (model, _) in enumerate(first))]
    batches = plan.batches([count for _, count in models])
    lanes = [first_lanes[-1], *(batch.lanes for batch in batches)]
    stack = Stack.from_bytes(data, lanes[-1])
    for batch, lanes_before in zip(reversed(batches), reversed(lanes[:-1]), strict=True):
        model, pixels = groups[batch.group].model, groups[batch.group].pixels[batch.images]
        bins = stack.pop(Uniform(model.latent_bits, len(pixels) * model.latent))
        pop_pixels(model, stack, pixels, latent_bins(model).centres[bins].reshape(len(pixels), -1))
        q = latent_distribution(model, _posterior(model, pixels, batch, plan))
        stack.push(*q.intervals(bins), q.precision)
        stack.shrink(lanes_before)
        advance(pixels.size)
    for number in reversed(range(plan.first)):
        model, pixels = first[number]
        own = plan.first_lanes(number, model.stages)
        pop_first(model, stack, pixels, [*own[-2::-1], first_lanes[number]])
        advance(pixels.size)
    if stack.bottom is None:
        raise DamagedChain("something is left on the stack")
    return DecodedChain([pixels for _, pixels in groups], stack.bottom)


def _first(groups: Sequence[Group], plan: Plan) -> list[tuple[SizedModel, Pixels]]:
    """The images (1, subpixels) that are coded in two parts, as views, with their models."""
    images = ((model, pixels[n : n + 1]) for model, pixels in groups for n in range(len(pixels)))
    return list(islice(images, plan.first))


def _posterior(model: SizedModel, pixels: Pixels, batch: Batch, plan: Plan) -> Posterior:
    return refine(model, pixels, model.posterior(pixels), batch.number, plan.steps, plan.method)
