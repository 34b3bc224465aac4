"""A chain of images on one ANS stack: bits-back coding (paper, Algorithms 1 and 2).

The first images are coded in two parts (`two_part`), until the stack holds enough for the next one's posterior to
pop. Then come batches and lanes whose number grows with what is done, up to the chain's width.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.model import Model, Pixels, Posterior
from bbcompress.codec.refine import Method, refine
from bbcompress.codec.two_part import SEARCH_ROUNDS, pop_first, push_first, search
from bbcompress.coding.distributions import MICROBITS, Uniform, code_lengths, push
from bbcompress.coding.rans import Stack, Symbols, Underflow

STARTS = ((2, 1), (2, 2), (2, 4), (8, 4), (32, 8), (128, 16))
"""Ways to start a chain (first, growth), from the fastest to the one that needs the least on the stack."""

SEARCH_IMAGES = 100
"""In longer chains a full search for the first images' latents takes longer than its few bits are worth."""


class DamagedChain(ValueError):
    """A chain's bytes do not decode to what an encoder can have written."""


class Batch(NamedTuple):
    """Images coded together, and the lanes they are spread over."""

    images: slice
    lanes: int


class Plan(NamedTuple):
    """How a chain is laid out; both sides must have the same."""

    images: int
    first: int
    """Images coded in two parts, 1 .. images."""
    width: int
    """Images and lanes of a full batch."""
    growth: int
    """A batch is at most 1 / growth of the images before it, and works on at most 4 / growth lanes for each of these,
    so that they have left enough on the stack for it."""
    steps: int
    """Refinement steps K of each posterior."""
    method: Method = Method.NATURAL
    """How these steps are taken; of no meaning where there are none."""

    def batches(self) -> list[Batch]:
        """The bits-back batches in the encoder's order."""
        batches = []
        done = self.first
        while done < self.images:
            size = min(self.width, max(1, done // self.growth), self.images - done)
            lanes = min(self.width, max(1, 4 * done // self.growth))
            batches.append(Batch(slice(done, done + size), lanes))
            done += size
        return batches

    @property
    def lanes(self) -> int:
        """Lanes of the finished stack."""
        return max((batch.lanes for batch in self.batches()), default=1)


class EncodedChain(NamedTuple):
    """A chain's bytes, and what they are made of."""

    plan: Plan
    data: bytes
    net_bits: NDArray[np.float64]
    """What each image's symbols cost, what bits-back popped subtracted (images,); the bytes hold their sum and the
    stack's own overhead."""


def encode(model: Model, pixels: Pixels, steps: int, width: int, method: Method = Method.NATURAL) -> EncodedChain:
    """Code images (N, subpixels) uint8 with K = `steps`, in batches and on lanes of up to `width`."""
    latents: list[Symbols] = []
    for first, growth in STARTS:
        if first < len(pixels):
            try:
                return _encode(model, pixels, Plan(len(pixels), first, width, growth, steps, method), latents)
            except Underflow:
                continue
    # with all images coded in two parts nothing is popped
    return _encode(model, pixels, Plan(len(pixels), len(pixels), 1, 1, 0), latents)


def _encode(model: Model, pixels: Pixels, plan: Plan, latents: list[Symbols]) -> EncodedChain:
    """`latents` holds the first images' latents, as far as they were searched for before."""
    stack = Stack()
    net_microbits = np.zeros(plan.images, np.int64)
    for number in range(plan.first):
        if number == len(latents):
            rounds = SEARCH_ROUNDS if plan.images <= SEARCH_IMAGES else 2
            latents.append(search(model, pixels[number], rounds))
        net_microbits[number] = push_first(model, stack, pixels[number], latents[number])
    for batch, lanes in plan.batches():
        stack.widen(lanes)
        posterior = _posterior(model, pixels[batch], batch, plan)
        q = model.latent_distribution(posterior)
        bins = stack.pop(q)
        likelihood = model.likelihood(model.bins.centres[bins].reshape(posterior.mean.shape))
        lengths = [
            push(stack, likelihood, model.symbols(pixels[batch])),
            push(stack, Uniform(model.info.latent_bits, len(bins)), bins),
            -code_lengths(q.intervals(bins)[1], q.precision),
        ]
        net_microbits[batch] = sum(length.reshape(len(posterior.mean), -1).sum(1) for length in lengths)
    return EncodedChain(plan, stack.to_bytes(), net_microbits / MICROBITS)


def decode(model: Model, plan: Plan, data: bytes) -> Pixels:
    """The inverse of `encode`, (N, subpixels) uint8.

    Raises DamagedChain unless the stack ends as it began: empty. As posteriors are pushed back on the way, this
    also proves that refinement was repeated to the bit.
    """
    try:
        return _decode(model, plan, data)
    except Underflow as error:
        raise DamagedChain(str(error)) from error


def _decode(model: Model, plan: Plan, data: bytes) -> Pixels:
    pixels = np.empty((plan.images, model.info.subpixels), np.uint8)
    stack = Stack.from_bytes(data, plan.lanes)
    batches = plan.batches()
    for number in reversed(range(len(batches))):
        batch = batches[number].images
        size = batch.stop - batch.start
        bins = stack.pop(Uniform(model.info.latent_bits, size * model.info.latent))
        likelihood = model.likelihood(model.bins.centres[bins].reshape(size, -1))
        pixels[batch] = model.pixels(stack.pop(likelihood))
        q = model.latent_distribution(_posterior(model, pixels[batch], batch, plan))
        stack.push(*q.intervals(bins), q.precision)
        stack.shrink(batches[number - 1].lanes if number else 1)
    if batches:
        stack.narrow()
    for image in reversed(range(plan.first)):
        pixels[image] = pop_first(model, stack)
    if not stack.is_empty:
        raise DamagedChain("something is left on the stack")
    return pixels


def _posterior(model: Model, pixels: Pixels, batch: slice, plan: Plan) -> Posterior:
    return refine(model, pixels, model.posterior(pixels), batch.start, plan.steps, plan.method)
