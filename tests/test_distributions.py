"""Every distribution tiles [0, 2^precision) with intervals of at least 1, and finds symbols again exactly."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bbcompress.coding.distributions import (
    MICROBITS,
    PRECISION,
    BernoulliPairs,
    BinnedGaussian,
    Categorical,
    EqualMassBins,
    GridPrior,
    LogisticMixture,
    Uniform,
    code_lengths,
    push,
)
from bbcompress.coding.rans import LOWER_BOUND, Distribution, Stack
from bbcompress.exact import functions

Floats = NDArray[np.float64]
Counts = NDArray[np.uint64]


def tiling(distribution: Distribution, count: int) -> tuple[Counts, Counts]:
    """Starts and freqs of all symbols 0 .. count - 1 everywhere, (count, size), checked to tile."""
    pairs = [distribution.intervals(np.full(distribution.size, symbol, np.int64)) for symbol in range(count)]
    starts, freqs = (np.stack(part) for part in zip(*pairs, strict=True))
    assert starts.dtype == freqs.dtype == np.uint64
    assert starts.shape == freqs.shape == (count, distribution.size)
    assert (freqs >= 1).all()
    assert (starts[0] == 0).all()
    np.testing.assert_array_equal(starts[1:], (starts + freqs)[:-1])
    assert ((starts + freqs)[-1] == 1 << distribution.precision).all()
    return starts, freqs


def check_parts(whole: BernoulliPairs | LogisticMixture, count: int, data: st.DataObject) -> None:
    """Parts have the whole's intervals, also joined again, and pop what the whole does, each as soon as it can."""
    symbols = np.array(data.draw(st.lists(st.integers(0, count - 1), min_size=whole.size, max_size=whole.size)))
    ends = sorted({*data.draw(st.lists(st.integers(0, whole.size), max_size=4)), 0, whole.size})
    parts = [whole.part(slice(start, end)) for start, end in pairwise(ends)]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.joined(part)
    for found, expected in zip(joined.intervals(symbols), whole.intervals(symbols), strict=True):
        np.testing.assert_array_equal(found, expected)

    lanes = data.draw(st.integers(1, 9))
    stack = Stack.unflatten(np.arange(1, 1 + 2 * lanes, dtype=np.uint32), lanes)
    before = stack.flatten()
    stack.push(*whole.intervals(symbols), whole.precision)
    asked = 0

    def asking() -> Iterator[BernoulliPairs | LogisticMixture]:
        nonlocal asked
        for part in parts:
            asked += 1
            yield part

    for found, start, end in zip(stack.pop_parts(asking()), ends, ends[1:], strict=False):
        assert found.tolist() == symbols[start:end].tolist()
        # whole rows of lanes held them then, or there were no more parts, but not before
        assert asked == len(parts) or ends[asked] // lanes * lanes >= end
        assert ends[asked - 1] // lanes * lanes < end
    np.testing.assert_array_equal(stack.flatten(), before)


def check(distribution: Distribution, count: int) -> None:
    """All symbols tile, and `locate` finds each from its first, last and a middle position, in any slice."""
    starts, freqs = tiling(distribution, count)
    size = distribution.size
    middles = starts + np.random.default_rng(0).integers(0, freqs, dtype=np.uint64)
    for where in (slice(0, size), slice(size // 3, size)):
        for place, locate in zip(range(where.start, where.stop), distribution.locators(where), strict=True):
            for symbol in range(0, count, max(1, count // 16)):
                start, freq = int(starts[symbol, place]), int(freqs[symbol, place])
                for position in (start, start + freq - 1, int(middles[symbol, place])):
                    assert locate(position) == (symbol, start, freq)
    # rows of more than 32 symbols are searched in other steps than shorter ones
    slices = [slice(0, size), slice(size - 1, size), slice(size // 3, size // 3 + 1), slice(size // 3, size)]
    slices += [slice(1, min(size, 33)), slice(1, min(size, 34)), slice(0, max(1, size - 1))]
    for number, where in enumerate(slices):
        if where.start >= where.stop:
            continue
        # all symbols in the first slice, some in the others
        for symbol in range(count) if number == 0 else range(number % count, count, max(1, count // 16)):
            expected = np.full(where.stop - where.start, symbol)
            for positions in (starts[symbol], starts[symbol] + freqs[symbol] - np.uint64(1), middles[symbol]):
                symbols, start, freq = distribution.locate(where, positions[where])
                np.testing.assert_array_equal(symbols, expected)
                np.testing.assert_array_equal(start, starts[symbol, where])
                np.testing.assert_array_equal(freq, freqs[symbol, where])


def check_mixed(distribution: Distribution, count: int) -> None:
    """A row of positions that belong to different symbols."""
    rng = np.random.default_rng(1)
    symbols = rng.integers(0, count, distribution.size)
    starts, freqs = distribution.intervals(symbols)
    found = distribution.locate(slice(0, distribution.size), starts + rng.integers(0, freqs, dtype=np.uint64))
    for got, expected in zip(found, (symbols, starts, freqs), strict=True):
        np.testing.assert_array_equal(got, expected)


# --- all symbols of every distribution --------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0, 1, 3, 8])
@pytest.mark.parametrize("size", [1, 5, 40])
def test_uniform(bits: int, size: int) -> None:
    check(Uniform(bits, size), 1 << bits)


@given(
    freqs=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    last=st.integers(1, 1 << 20),
    size=st.sampled_from([1, 3, 40]),
)
@settings(max_examples=30)
def test_categorical(freqs: list[int], last: int, size: int) -> None:
    precision = (sum(freqs) + last - 1).bit_length()
    freqs = [*freqs, (1 << precision) - sum(freqs)]
    check(Categorical(np.array(freqs), precision, size), len(freqs))


@pytest.mark.parametrize("freqs", [[8, 0, 8], [8, 9], [8, 7], []])
def test_categorical_refuses_what_does_not_tile(freqs: list[int]) -> None:
    with pytest.raises(ValueError, match="frequencies"):
        Categorical(np.array(freqs, np.int64), 4, 1)


@pytest.mark.parametrize("fraction_bits", [0, 5, 12])
@pytest.mark.parametrize("pairs", [1, 20, 50])
def test_bernoulli_pairs(fraction_bits: int, pairs: int) -> None:
    unit = 1 << fraction_bits
    edges = [0, 1, -1, unit, -unit, 15 * unit, 16 * unit - 1, 16 * unit, 17 * unit, -16 * unit, -17 * unit]
    rng = np.random.default_rng(pairs)
    logits = np.array([*edges, 2**30, -(2**30), *rng.integers(-20 * unit, 20 * unit, 100)])
    distribution = BernoulliPairs.of(rng.permutation(logits)[: 2 * pairs].astype(np.float64), fraction_bits)
    assert distribution.size == pairs
    check(distribution, 4)


def test_bernoulli_pairs_all_logits_with_all_extremes() -> None:
    """Every entry of the table, beside a certain bit on either side."""
    logits = np.arange(-17 * 256, 17 * 256 + 1, dtype=np.float64)
    for other in (-5000.0, 0.0, 5000.0):
        both = np.full_like(logits, other)
        for pair in ((logits, both), (both, logits)):
            tiling(BernoulliPairs.of(np.stack(pair, axis=1).ravel(), 8), 4)


@settings(max_examples=50)
@given(pairs=st.integers(1, 30), data=st.data())
def test_bernoulli_pairs_part_by_part(pairs: int, data: st.DataObject) -> None:
    logits = data.draw(st.lists(st.integers(-4000, 4000), min_size=2 * pairs, max_size=2 * pairs))
    check_parts(BernoulliPairs.of(np.array(logits, np.float64), 8), 4, data)


@settings(max_examples=50)
@given(size=st.integers(1, 40), data=st.data())
def test_logistic_mixtures_part_by_part(size: int, data: st.DataObject) -> None:
    random = np.random.default_rng(size)
    means, log_scales = random.uniform(-20, 280, (3, size)), random.normal(0, 2, (3, size))
    check_parts(mixture(means, log_scales, random.normal(0, 1, (3, size))), 256, data)


@pytest.mark.parametrize("fraction_bits", [0, 4, 8])
def test_bernoulli_pairs_have_the_probabilities_of_their_logits(fraction_bits: int) -> None:
    logits = np.arange(-9 << fraction_bits, (9 << fraction_bits) + 2, dtype=np.float64)
    logits = logits[: len(logits) // 2 * 2]
    _, freqs = tiling(BernoulliPairs.of(logits, fraction_bits), 4)
    masses = freqs / 2.0**BernoulliPairs.precision
    ones = 1 / (1 + np.exp(-logits.reshape(-1, 2) / 2.0**fraction_bits))
    first, second = ones.T
    # symbol 2a + b: the first bit is the high one
    expected = [(1 - first) * (1 - second), (1 - first) * second, first * (1 - second), first * second]
    np.testing.assert_allclose(masses, expected, rtol=0, atol=2.0**-13)


def test_bernoulli_pairs_lose_little() -> None:
    """Against the true probabilities, at most 2^-14 bits for each bit."""
    logits = np.arange(-10 * 256, 10 * 256, dtype=np.float64)
    certain = np.full_like(logits, 0.0)
    _, freqs = BernoulliPairs.of(np.stack([certain, logits], axis=1).ravel(), 8).intervals(
        np.ones(len(logits), np.int64)
    )
    coded = freqs / 2.0**29  # of the half that the first bit takes
    p = 1 / (1 + np.exp(-logits / 256))
    loss = p * np.log2(p / coded) + (1 - p) * np.log2((1 - p) / (1 - coded))
    assert loss.min() > -1e-9 and loss.max() < 2.0**-14


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("size", [1, 40])
def test_binned_gaussian(bits: int, size: int) -> None:
    rng = np.random.default_rng(size)
    mean = np.concatenate([[0.0, 0.3, -9, 9, 1e3, -1e3, 3e9, -3e9], rng.normal(0, 2, 40)])
    log_scale = np.concatenate([[0.0, -7, 3, -7, 3, -7, 3, 3], rng.uniform(-7, 3, 40)])
    for first in range(0, 8, 3 * size):
        where = slice(first, first + size)
        check(BinnedGaussian(mean[where], log_scale[where], EqualMassBins.of(bits)), 1 << bits)


@settings(max_examples=30)
@given(
    mean=st.floats(-1e12, 1e12),
    log_scale=st.one_of(st.floats(-7, 3), st.floats(-100, 100)),
    bits=st.integers(1, 9),
)
def test_binned_gaussian_of_any_parameters(mean: float, log_scale: float, bits: int) -> None:
    distribution = BinnedGaussian(np.array([mean, -mean]), np.array([log_scale, log_scale]), EqualMassBins.of(bits))
    tiling(distribution, 1 << bits)
    check_mixed(distribution, 1 << bits)


def test_binned_gaussian_has_the_masses_of_the_gaussian() -> None:
    mean, log_scale = np.array([0.0, 0.4, -1.5, 2.0]), np.array([0.0, -1.0, -3.0, 0.5])
    bins = EqualMassBins.of(6)
    _, freqs = tiling(BinnedGaussian(mean, log_scale, bins), 64)
    for column in range(4):
        below = [0.5 * math.erfc((mean[column] - edge) / math.exp(log_scale[column]) / 2**0.5) for edge in bins.edges]
        np.testing.assert_allclose(freqs[:, column] / 2.0**PRECISION, np.diff(below), rtol=0, atol=1e-5)


def test_bins_have_equal_mass_and_their_medians() -> None:
    bins = EqualMassBins.of(8)
    assert bins.edges.shape == (257,) and bins.centres.shape == (256,)
    below = np.array([0.5 * math.erfc(-edge / math.sqrt(2)) for edge in bins.edges])
    np.testing.assert_allclose(below, np.arange(257) / 256, rtol=0, atol=1e-12)
    medians = np.array([0.5 * math.erfc(-centre / math.sqrt(2)) for centre in bins.centres])
    np.testing.assert_allclose(medians, (np.arange(256) + 0.5) / 256, rtol=0, atol=1e-12)


def test_prior_over_its_own_bins_is_uniform() -> None:
    _, freqs = tiling(BinnedGaussian(np.zeros(1), np.zeros(1), EqualMassBins.of(6)), 64)
    np.testing.assert_allclose(freqs / 2.0**PRECISION, 1 / 64, rtol=1e-4)


@pytest.mark.parametrize("size", [1, 40])
def test_grid_prior(size: int) -> None:
    for log2_step in range(-8, 5, 3 * size):
        log2_steps = np.arange(log2_step, log2_step + size) % 13 - 8
        check(GridPrior(np.ldexp(1.0, log2_steps)), 256)


def test_grid_prior_has_the_masses_of_its_cells() -> None:
    _, freqs = tiling(GridPrior(np.array([0.5])), 256)
    for n in range(-12, 13):
        low, high = (0.5 * math.erfc(-(n + side) * 0.5 / math.sqrt(2)) for side in (-0.5, 0.5))
        assert freqs[GridPrior.ZERO + n, 0] / 2.0**PRECISION == pytest.approx(high - low, abs=2e-5)


def mixture(means: Floats, log_scales: Floats, logits: Floats) -> LogisticMixture:
    """As the model makes them; all (components, size)."""
    weights = functions.exp(logits - logits.max(0))
    return LogisticMixture(means, functions.exp(-log_scales), weights / weights.sum(0))


@pytest.mark.parametrize("components", [1, 2, 3])
@pytest.mark.parametrize("size", [2, 40])
def test_logistic_mixture(components: int, size: int) -> None:
    rng = np.random.default_rng(components)
    shape = (components, size)
    means = rng.choice([-1e6, -300, -0.5, 0, 0.5, 100, 127.3, 200.0, 255, 255.5, 300, 1e6], shape)
    log_scales = rng.choice([-7, -1.5, 0, 1.5, 3], shape) + 8 * math.log(2)
    check(mixture(means, log_scales, rng.choice([-40.0, -1, 0, 0.3, 30], shape)), 256)


@settings(max_examples=30)
@given(data=st.data(), components=st.integers(1, 3))
def test_logistic_mixture_of_any_parameters(data: st.DataObject, components: int) -> None:
    size = data.draw(st.sampled_from([1, 3, 33]))

    def draw(*strategies: st.SearchStrategy[float]) -> Floats:
        values = [[data.draw(st.one_of(*strategies)) for _ in range(min(size, 3))] for _ in range(components)]
        return np.tile(values, 11)[:, :size]

    means = draw(st.floats(-1e7, 1e7), st.floats(-10, 265))
    # from narrower than a millionth of a grey level to wider than anything
    log_scales = draw(st.floats(-15, 25), st.floats(-1, 8))
    distribution = mixture(means, log_scales, draw(st.floats(-30, 30)))
    tiling(distribution, 256)
    check_mixed(distribution, 256)


def test_logistic_mixture_has_the_masses_of_the_logistics() -> None:
    means, log_scales = np.array([[40.0], [180.0]]), np.array([[1.0], [3.0]])
    _, freqs = tiling(mixture(means, log_scales, np.array([[0.0], [1.0]])), 256)
    weights = np.array([1, math.e]) / (1 + math.e)
    edges = np.arange(257) - 0.5
    edges[0], edges[-1] = -1e9, 1e9
    below = sum(
        weight * 0.5 * (1 + np.tanh((edges - mean) / math.exp(log_scale) / 2))
        for weight, mean, log_scale in zip(weights, means[:, 0], log_scales[:, 0], strict=True)
    )
    np.testing.assert_allclose(freqs[:, 0] / 2.0**PRECISION, np.diff(below), rtol=0, atol=3e-5)


# --- code lengths -----------------------------------------------------------------------------------------------


@given(precision=st.integers(0, 31), data=st.data())
def test_code_lengths(precision: int, data: st.DataObject) -> None:
    near = st.integers(0, precision).flatmap(
        lambda n: st.integers(max(1, (1 << n) - 2), min((1 << n) + 70000, 1 << precision))
    )
    freqs = data.draw(st.lists(st.one_of(st.integers(1, 1 << precision), near), min_size=1, max_size=20))
    lengths = code_lengths(np.array(freqs, np.uint64), precision)
    assert lengths.dtype == np.int64
    for freq, length in zip(freqs, lengths.tolist(), strict=True):
        assert abs(length / MICROBITS - (precision - math.log2(freq))) <= 2.0**-14
    assert (lengths >= 0).all()


def test_code_lengths_of_powers_of_two_are_exact() -> None:
    freqs = np.array([1 << n for n in range(32)], np.uint64)
    assert code_lengths(freqs, 31).tolist() == [(31 - n) * MICROBITS for n in range(32)]


@pytest.mark.parametrize("precision", [0, 1, 24, 30, 31])
def test_certainty_costs_nothing(precision: int) -> None:
    assert code_lengths(np.array([1 << precision], np.uint64), precision).tolist() == [0]


def test_push_says_what_it_adds() -> None:
    stack = Stack()
    rng = np.random.default_rng(0)
    distribution = mixture(rng.uniform(0, 255, (2, 3000)), rng.uniform(0, 4, (2, 3000)), rng.normal(0, 1, (2, 3000)))
    symbols = rng.integers(0, 256, 3000)
    lengths = push(stack, distribution, symbols)
    assert lengths.shape == (3000,)
    np.testing.assert_array_equal(lengths, code_lengths(distribution.intervals(symbols)[1], PRECISION))
    assert stack.bits == pytest.approx(lengths.sum() / MICROBITS + 32, rel=1e-3)
    np.testing.assert_array_equal(stack.pop(distribution), symbols)
    assert stack.bottom == LOWER_BOUND
