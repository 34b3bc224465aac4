"""Two-part code of a chain's first images: latents on a coarse grid, then the pixels given them.

There is nothing on the stack yet for bits-back coding to pop, so these latents are paid for. Fewer digits are
cheaper: the best grid step is about sqrt(12) posterior standard deviations, and costs about 1/4 bit a latent more
than the ELBO. Only the encoder searches, so the decoder repeats nothing of it.
"""

from collections.abc import Sequence

import numpy as np

from bbcompress.codec.model import Pixels, Posterior, SizedModel, intervals
from bbcompress.codec.refine import Method, refine
from bbcompress.coding.distributions import MICROBITS, GridPrior, code_lengths, push
from bbcompress.coding.rans import Stack, Symbols
from bbcompress.exact.functions import Floats

SEARCH_ROUNDS = 30
"""Most rounds of search among the grid's neighbouring points; it nearly always ends by itself before."""
FAST_ROUNDS = 2
"""Where the image is not alone in its chain, and its few bits are worth little time."""
LONG_CHAIN_BITS = 1 << 16
"""Of a chain of more there is no search: it saves some 5 bits an image, of at most a few."""
SEARCH_MOVES = 16
"""Most neighbouring points that a round tries."""
SEARCH_LATENTS = 64
"""A latent of more numbers is not searched for, as it would take too many rounds, but refined."""
REFINE_STEPS = 5
"""Of its posterior mean."""
FAST_REFINE_STEPS = 2
"""Where the image is not alone in its chain."""


def push_first(model: SizedModel, stack: Stack, pixels: Pixels, latent: Symbols, lanes: Sequence[int]) -> int:
    """Push pixels (1, subpixels) with the latent that `search` found; returns their length in 1 / MICROBITS bits.

    `lanes` are those of each stage in the order of pushing, the last of them the latent's too.
    """
    lengths = []
    for stage, number in zip(reversed(intervals(model, pixels, _points(model, latent[None]))), lanes, strict=True):
        if number > stack.lanes:
            stack.widen(number)
        lengths.append(stage.push(stack))
    lengths.append(push(stack, GridPrior(model.grid_steps), latent))
    return int(sum(length.sum() for length in lengths))


def pop_first(model: SizedModel, stack: Stack, pixels: Pixels, lanes_before: Sequence[int]) -> None:
    """The inverse of `push_first`: fill in pixels (1, subpixels).

    `lanes_before` are those that there were before each stage was pushed, in the order of popping.
    """
    latent = stack.pop(GridPrior(model.grid_steps))
    for stage, before in zip(model.likelihood(_points(model, latent[None])), lanes_before, strict=True):
        stage.place(stack.pop(stage.distribution(pixels)), pixels)
        stack.shrink(before)


def _points(model: SizedModel, latent: Symbols) -> Floats:
    points: Floats = (latent - GridPrior.ZERO) * model.grid_steps
    return points


def search(model: SizedModel, pixels: Pixels, images: int = 1) -> Symbols:
    """Grid symbols (latent,) with a short code of pixels (1, subpixels), which begin a chain of so many `images`:
    descent from the posterior mean."""
    thorough, posterior = images == 1, model.posterior(pixels)
    if model.latent > SEARCH_LATENTS:
        steps = REFINE_STEPS if thorough else FAST_REFINE_STEPS
        return _symbols(model, refine(model, pixels, posterior, 0, steps, Method.NATURAL))
    best = _symbols(model, posterior)
    cost = _costs(model, pixels, best[None])[0]
    if not thorough and images * cost > LONG_CHAIN_BITS * MICROBITS:
        return best
    for _ in range(SEARCH_ROUNDS if thorough else FAST_ROUNDS):
        moves = _moves(model, pixels, best)
        candidates = np.clip(best + moves, 1, 255)
        costs = _costs(model, pixels, candidates)
        gains = cost - costs
        if gains.max() <= 0:
            break
        # All moves that help alone, if they help together, else the best one
        together = np.clip(best + moves[gains > 0].sum(0), 1, 255)
        joint_cost = _costs(model, pixels, together[None])[0]
        if joint_cost <= costs.min():
            best, cost = together, joint_cost
        else:
            best, cost = candidates[costs.argmin()], costs.min()
    return best


def _symbols(model: SizedModel, posterior: Posterior) -> Symbols:
    """The grid symbols (latent,) nearest to the mean of one image."""
    rounded = np.floor(posterior.mean[0] / model.grid_steps + 0.5)
    symbols: Symbols = np.clip(rounded + GridPrior.ZERO, 1, 255).astype(np.int64)
    return symbols


def _moves(model: SizedModel, pixels: Pixels, latent: Symbols) -> Symbols:
    """Single steps (n, latent) on the grid: all, or if these are many those along the steepest slopes."""
    every = np.eye(len(latent), dtype=np.int64)
    if 2 * len(latent) <= SEARCH_MOVES:
        return np.concatenate([every, -every])
    points = _points(model, latent[None])
    gains = (model.grad_z(pixels, points) - points)[0] * model.grid_steps
    steepest = np.argsort(-np.abs(gains))[:SEARCH_MOVES]
    return every[steepest] * np.where(gains > 0, 1, -1)[steepest, None]


def _costs(model: SizedModel, pixels: Pixels, latents: Symbols) -> Symbols:
    """Code lengths in 1 / MICROBITS bits of one image given each of the latents (n, latent), (n,)."""
    count = len(latents)
    images = np.repeat(pixels, count, axis=0)
    prior = GridPrior(np.tile(model.grid_steps, count))
    lengths: Symbols = code_lengths(prior.intervals(latents.ravel())[1], prior.precision).reshape(count, -1).sum(1)
    for _, freqs, precision in intervals(model, images, _points(model, latents)):
        lengths += code_lengths(freqs, precision).reshape(count, -1).sum(1)
    return lengths
