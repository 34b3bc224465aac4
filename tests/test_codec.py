"""Chains of images come back, cost what the ELBO says, are the same for every batch and engine, and fail cleanly."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import decode_chain, encode_chain, lanes_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from bbcompress.codec import chain, two_part
from bbcompress.codec.chain import DamagedChain, EncodedChain, Plan
from bbcompress.codec.dense import DenseModel
from bbcompress.codec.model import LOG_SCALE_RANGE, Posterior, pop_pixels
from bbcompress.codec.model_file import load
from bbcompress.codec.refine import Method, refine
from bbcompress.coding.rans import LOWER_BOUND, Stack, Underflow
from bbcompress.exact.engine import Engine
from bbcompress.progress import ignore

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


def sample(model: DenseModel, count: int, seed: int = 0, latents: Floats | None = None) -> Pixels:
    """Images that the model itself makes: what comes off a stack of random bits."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 1 << 32, 20_000, np.uint64)
    words[:32] = words[:32] >> 1 | 1 << 30
    if latents is None:
        latents = rng.normal(0, 1, (count, model.info.latent))
    pixels = np.zeros((count, model.subpixels), np.uint8)
    pop_pixels(model, Stack.unflatten(words.astype(np.uint32), 32), pixels, latents)
    return pixels


def log_likelihood_nats(model: DenseModel, pixels: Pixels, latents: Floats) -> Floats:
    """log p(x|z) of each image, as coded."""
    (stage,) = model.likelihood(latents)
    likelihood = stage.distribution(pixels)
    _, freqs = likelihood.intervals(stage.symbols(pixels))
    logs = np.log(freqs.astype(np.float64)) - likelihood.precision * math.log(2)
    return logs.reshape(len(pixels), -1).sum(1)


def negative_elbo_bits(model: DenseModel, pixels: Pixels, posterior: Posterior, samples: int = 20) -> Floats:
    """-ELBO of each image by plain floating point: closed-form KL, Monte Carlo likelihood."""
    mean, log_scale = posterior
    kl = 0.5 * (np.exp(2 * log_scale) + mean**2 - 1) - log_scale
    rng = np.random.default_rng(0)
    likelihood = np.mean(
        [
            log_likelihood_nats(model, pixels, mean + np.exp(log_scale) * rng.normal(0, 1, mean.shape))
            for _ in range(samples)
        ],
        axis=0,
    )
    return (kl.sum(1) - likelihood) / math.log(2)


def check(model: DenseModel, pixels: Pixels, steps: int, width: int) -> EncodedChain:
    """The images come back, and the sizes that are told are right."""
    encoded = encode_chain(model, pixels, steps, width)
    plan = encoded.plan
    assert (plan.images, len(encoded.net_bits)) == (len(pixels), len(pixels))
    assert 1 <= plan.first <= plan.images and plan.width <= max(width, 1)
    assert plan.steps == (steps if plan.first < plan.images else 0)
    decoded = decode_chain(model, plan, encoded.data)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels)
    # net bits leave out what lies in lanes, and that the first symbol costs log2(start) whatever its freq
    net_bits = encoded.net_bits.sum()
    assert 8 * len(encoded.data) < 1.005 * net_bits + 40 * lanes_of(plan)
    return encoded


# --- round trips ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "steps", "width"),
    [(1, 0, 64), (2, 0, 64), (3, 0, 64), (5, 0, 64), (17, 0, 64), (64, 0, 64), (17, 0, 1), (64, 0, 4),
     (64, 1, 64), (17, 1, 4), (5, 1, 1), (1, 10, 64), (3, 10, 1), (17, 10, 4), (64, 10, 64)],
)  # fmt: skip
def test_binary_digits(mnist_binary: DenseModel, binary_digits: Pixels, count: int, steps: int, width: int) -> None:
    encoded = check(mnist_binary, binary_digits[:count], steps, width)
    # more than two are never all coded in two parts, so they are refined
    assert encoded.plan.steps == (steps if count > 2 else 0)
    assert 8 * len(encoded.data) > encoded.net_bits.sum() - 32


@pytest.mark.parametrize(("count", "steps", "width"), [(1, 0, 64), (2, 10, 64), (3, 1, 1), (5, 10, 4), (17, 0, 64)])
def test_grey_digits(mnist_grey: DenseModel, digits: Pixels, count: int, steps: int, width: int) -> None:
    encoded = check(mnist_grey, digits[:count], steps, width)
    assert 8 * len(encoded.data) > encoded.net_bits.sum() - 32


@pytest.mark.parametrize("width", [1, 4, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 17])
def test_tiny_images(tiny: DenseModel, count: int, width: int) -> None:
    check(tiny, sample(tiny, count, count), 0, width)


@pytest.mark.parametrize(("count", "steps", "width"), [(3, 10, 1), (17, 1, 4), (64, 10, 64)])
def test_refined_tiny_images(tiny: DenseModel, count: int, steps: int, width: int) -> None:
    plan = check(tiny, sample(tiny, count), steps, width).plan
    if count == 64:
        assert lanes_of(plan) > 1


@settings(max_examples=20)
@given(data=st.data())
def test_any_images(tiny_models: dict[str, DenseModel], data: st.DataObject) -> None:
    model = tiny_models[data.draw(st.sampled_from(sorted(tiny_models)))]
    count = data.draw(st.integers(1, 9))
    values = st.integers(0, model.info.levels - 1)
    pixels = data.draw(npst.arrays(np.uint8, (count, model.info.subpixels), elements=values))
    check(model, pixels, data.draw(st.integers(0, 3)), data.draw(st.sampled_from([1, 3, 64])))


def test_noise_and_constant_images(tiny: DenseModel) -> None:
    top = tiny.info.levels - 1
    noise = np.random.default_rng(0).integers(0, top + 1, (12, tiny.info.subpixels), np.uint8)
    check(tiny, noise, 2, 64)
    for value in (0, top // 2, top):
        check(tiny, np.full((12, tiny.info.subpixels), value, np.uint8), 0, 64)
    noise[::2] = top
    check(tiny, noise, 2, 4)


def test_digits_unlike_the_training_data(mnist_binary: DenseModel, mnist_grey: DenseModel) -> None:
    rng = np.random.default_rng(0)
    check(mnist_binary, rng.integers(0, 2, (6, 784), np.uint8), 1, 64)
    check(mnist_grey, rng.integers(0, 256, (1, 784), np.uint8), 0, 64)
    check(mnist_grey, np.full((3, 784), 255, np.uint8), 0, 64)


# --- plans ------------------------------------------------------------------------------------------------------


@given(
    images=st.integers(1, 600),
    first=st.integers(1, 40),
    width=st.integers(1, 300),
    growth=st.integers(1, 20),
)
def test_batches_cover_the_chain(images: int, first: int, width: int, growth: int) -> None:
    plan = Plan(images, min(first, images), width, growth, width, 4, 0)
    done, lanes = plan.first, plan.first_lanes(plan.first - 1, 1)[-1]
    for batch in plan.batches([plan.images]):
        assert batch.images.start == done < batch.images.stop <= images
        size = batch.images.stop - batch.images.start
        assert size <= width and (size == 1 or size * growth <= done)
        assert lanes <= batch.lanes <= width and (batch.lanes == 1 or batch.lanes * growth <= 4 * done)
        done, lanes = batch.images.stop, batch.lanes
    assert done == images
    assert lanes_of(plan) == lanes


@pytest.mark.parametrize(("first", "growth"), chain.STARTS)
def test_every_way_to_start(tiny_models: dict[str, DenseModel], first: int, growth: int) -> None:
    model = tiny_models["logistic-1"]
    pixels = sample(model, 140)
    latents = [two_part.search(model, pixels[[n]], len(pixels)) for n in range(first)]
    plan = Plan(140, first, 64, growth, 64, 4, 1)
    if growth == 1:  # images this small do not leave as much as the faster starts take
        with pytest.raises(Underflow):
            chain._encode([chain.Group(model, pixels)], plan, latents, LOWER_BOUND, ignore)
        return
    encoded = chain._encode([chain.Group(model, pixels)], plan, latents, LOWER_BOUND, ignore)
    np.testing.assert_array_equal(decode_chain(model, plan, encoded.data), pixels)


def test_images_that_leave_too_little_need_another_start(mnist_binary: DenseModel) -> None:
    """Blank images cost less than a posterior pops; so more of them, or all, are coded in two parts."""
    blank = np.zeros((12, 784), np.uint8)
    assert check(mnist_binary, blank, 0, 64).plan.first > chain.STARTS[0][0]


@pytest.mark.parametrize("kind", ["bernoulli", "bernoulli-odd", "logistic-1"])
def test_symbols_and_pixels_are_inverse(tiny_models: dict[str, DenseModel], kind: str) -> None:
    model = tiny_models[kind]
    pixels = np.random.default_rng(0).integers(0, model.info.levels, (7, model.info.subpixels), np.uint8)
    (stage,) = model.likelihood(np.zeros((7, model.latent)))
    symbols = stage.symbols(pixels)
    assert symbols.shape == (stage.distribution(pixels).size,)
    placed = np.zeros_like(pixels)
    stage.place(symbols, placed)
    np.testing.assert_array_equal(placed, pixels)


# --- the same bytes everywhere ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def references(
    mnist_binary: DenseModel, mnist_grey: DenseModel, binary_digits: Pixels, digits: Pixels
) -> dict[str, tuple[Pixels, EncodedChain]]:
    """Images and their chains by model, from the numpy engine and the usual batch."""
    return {
        "mnist-binary": (binary_digits[:64], encode_chain(mnist_binary, binary_digits[:64], 2, 64)),
        "mnist-grey": (digits[:4], encode_chain(mnist_grey, digits[:4], 2, 64)),
    }


@pytest.mark.parametrize(
    ("name", "threads", "batch"),
    [("mnist-binary", 1, batch) for batch in (1, 7, 64, 256)]
    + [("mnist-binary", 3, 7), ("mnist-grey", 3, 3), ("mnist-grey", 1, 1)],
)
def test_same_bytes_for_every_batch_and_number_of_threads(
    model_path: Callable[[str], Path],
    references: dict[str, tuple[Pixels, EncodedChain]],
    name: str,
    threads: int,
    batch: int,
) -> None:
    model = load(model_path(name), Engine(threads), batch)
    pixels, expected = references[name]
    encoded = encode_chain(model, pixels, 2, 64)
    assert encoded.data == expected.data
    np.testing.assert_array_equal(encoded.net_bits, expected.net_bits)
    np.testing.assert_array_equal(decode_chain(model, expected.plan, expected.data), pixels)


# --- sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 3])
def test_net_bits_are_the_negative_elbo(mnist_binary: DenseModel, binary_digits: Pixels, steps: int) -> None:
    pixels = binary_digits[:64]
    encoded = encode_chain(mnist_binary, pixels, steps, 64)
    first = encoded.plan.first
    amortised = mnist_binary.posterior(pixels[first:])
    posterior = refine(mnist_binary, pixels[first:], amortised, first, steps, Method.NATURAL)
    elbo = negative_elbo_bits(mnist_binary, pixels[first:], posterior)
    net = encoded.net_bits[first:]
    assert net.sum() == pytest.approx(elbo.sum(), rel=0.015)
    assert np.corrcoef(net, elbo)[0, 1] > 0.98


def test_net_bits_of_grey_digits_are_the_negative_elbo(mnist_grey: DenseModel, digits: Pixels) -> None:
    encoded = encode_chain(mnist_grey, digits[:20], 0, 64)
    first = encoded.plan.first
    elbo = negative_elbo_bits(mnist_grey, digits[first:20], mnist_grey.posterior(digits[first:20]))
    np.testing.assert_allclose(encoded.net_bits[first:], elbo, rtol=0.03)


def test_first_images_cost_little_more_than_the_elbo(mnist_binary: DenseModel, binary_digits: Pixels) -> None:
    """About a quarter of a bit a latent, and certainly less than a bit."""
    pixels = binary_digits[:12]
    costs = [encode_chain(mnist_binary, pixels[[n]], 0, 64).net_bits[0] for n in range(12)]
    elbo = negative_elbo_bits(mnist_binary, pixels, mnist_binary.posterior(pixels))
    assert sum(costs) < elbo.sum() + 12 * mnist_binary.info.latent


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("name", ["mnist-binary", "mnist-grey"])
def test_refinement_lowers_net_bits(
    mnist_binary: DenseModel, mnist_grey: DenseModel, binary_digits: Pixels, digits: Pixels, name: str, method: Method
) -> None:
    model, pixels = {"mnist-binary": (mnist_binary, binary_digits[:400]), "mnist-grey": (mnist_grey, digits[:24])}[name]
    plain = encode_chain(model, pixels, 0, 64)
    refined = encode_chain(model, pixels, 10, 64, method)
    assert refined.plan == plain.plan._replace(steps=10, method=method)
    assert refined.net_bits.sum() < plain.net_bits.sum() - 10
    # the first images are coded without
    np.testing.assert_array_equal(refined.net_bits[: plain.plan.first], plain.net_bits[: plain.plan.first])
    np.testing.assert_array_equal(decode_chain(model, refined.plan, refined.data), pixels)


def test_one_natural_step_gains_more_than_ten_of_adam(mnist_binary: DenseModel, binary_digits: Pixels) -> None:
    natural = encode_chain(mnist_binary, binary_digits[:64], 1, 64, Method.NATURAL)
    adam = encode_chain(mnist_binary, binary_digits[:64], 10, 64, Method.ADAM)
    assert natural.net_bits.sum() < adam.net_bits.sum()


# --- the two-part code ------------------------------------------------------------------------------------------


def test_first_image_alone_on_the_stack(tiny: DenseModel) -> None:
    for pixels in np.split(sample(tiny, 4), 4):
        stack = Stack()
        latent = two_part.search(tiny, pixels)
        microbits = two_part.push_first(tiny, stack, pixels, latent, [1])
        assert stack.bits == pytest.approx(microbits / 2**20 + 32, abs=1)
        popped = np.zeros_like(pixels)
        two_part.pop_first(tiny, stack, popped, [1])
        np.testing.assert_array_equal(popped, pixels)
        assert stack.bottom == LOWER_BOUND


def test_search_ends_where_no_step_helps(tiny: DenseModel) -> None:
    def cost(pixels: Pixels, latent: NDArray[np.int64]) -> int:
        return two_part.push_first(tiny, Stack(), pixels, latent, [1])

    for pixels in np.split(sample(tiny, 4), 4):
        start = two_part.search(tiny, pixels, 2)
        best = two_part.search(tiny, pixels)
        assert cost(pixels, best) <= cost(pixels, start)
        for move in [*np.eye(len(best), dtype=np.int64), *-np.eye(len(best), dtype=np.int64)]:
            assert cost(pixels, np.clip(best + move, 1, 255)) >= cost(pixels, best)


def test_first_images_of_a_long_chain_are_not_searched_for(tiny: DenseModel) -> None:
    pixels = sample(tiny, 1)
    nearest = np.floor(tiny.posterior(pixels).mean[0] / tiny.grid_steps + 0.5).astype(np.int64) + 128
    np.testing.assert_array_equal(two_part.search(tiny, pixels, 1 << 16), nearest)
    searched = [two_part.search(tiny, one, 2) for one in np.split(sample(tiny, 8), 8)]
    long = [two_part.search(tiny, one, 1 << 16) for one in np.split(sample(tiny, 8), 8)]
    assert not np.array_equal(searched, long)


# --- refinement -------------------------------------------------------------------------------------------------


def test_grad_z_is_the_slope_of_the_log_likelihood(tiny: DenseModel) -> None:
    latents = np.random.default_rng(1).normal(0, 1, (60, tiny.info.latent))
    pixels = sample(tiny, 60, latents=latents)
    gradient = tiny.grad_z(pixels, latents)
    step = 2.0**-5
    slopes = np.empty_like(gradient)
    for place in range(tiny.info.latent):
        move = np.zeros(tiny.info.latent)
        move[place] = step
        above, below = (log_likelihood_nats(tiny, pixels, latents + sign * move) for sign in (1, -1))
        slopes[:, place] = (above - below) / (2 * step)
    assert np.corrcoef(gradient.ravel(), slopes.ravel())[0, 1] > 0.97
    large = np.abs(slopes) > 0.3 * np.abs(slopes).mean()
    assert (np.sign(gradient) == np.sign(slopes))[large].mean() > 0.95
    assert (gradient * slopes).sum() / (slopes * slopes).sum() == pytest.approx(1, abs=0.2)


def test_grad_z_is_the_same_in_every_batch(tiny: DenseModel) -> None:
    pixels, latents = sample(tiny, 9), np.random.default_rng(2).normal(0, 1, (9, tiny.info.latent))
    together = tiny.grad_z(pixels, latents)
    for n in range(9):
        np.testing.assert_array_equal(tiny.grad_z(pixels[[n]], latents[[n]])[0], together[n])


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("name", ["bernoulli", "logistic-2", "mnist-binary"])
def test_refinement_is_independent_of_the_batch(
    tiny_models: dict[str, DenseModel], mnist_binary: DenseModel, binary_digits: Pixels, name: str, method: Method
) -> None:
    model = tiny_models.get(name, mnist_binary)
    pixels = binary_digits[:8] if model is mnist_binary else sample(model, 8)
    together = refine(model, pixels, model.posterior(pixels), 0, 4, method)
    for split in ([1] * 8, [3, 5], [7, 1]):
        first = 0
        for size in split:
            rows = slice(first, first + size)
            part = refine(model, pixels[rows], model.posterior(pixels[rows]), first, 4, method)
            np.testing.assert_array_equal(part.mean, together.mean[rows])
            np.testing.assert_array_equal(part.log_scale, together.log_scale[rows])
            first += size
    # the noise of Adam's steps is keyed by the image's number
    elsewhere = refine(model, pixels, model.posterior(pixels), 1, 4, method)
    assert (elsewhere.mean != together.mean).any() == (method == Method.ADAM)


def test_no_steps_are_the_amortised_posterior(tiny: DenseModel) -> None:
    pixels = sample(tiny, 3)
    posterior = tiny.posterior(pixels)
    for refined in (refine(tiny, pixels, posterior, 5, 0, Method.NATURAL), tiny.posterior(pixels)):
        np.testing.assert_array_equal(refined.mean, posterior.mean)
        np.testing.assert_array_equal(refined.log_scale, posterior.log_scale)


def test_adam_goes_up_the_elbo(tiny: DenseModel) -> None:
    pixels = sample(tiny, 40)
    start = tiny.posterior(pixels)
    refined = [refine(tiny, pixels, start, 0, steps, Method.ADAM) for steps in (0, 10, 40)]
    costs = [negative_elbo_bits(tiny, pixels, posterior).sum() for posterior in refined]
    assert costs[2] < costs[1] < costs[0]


def test_natural_steps_go_up_the_joint_density_at_the_mean(tiny: DenseModel) -> None:
    pixels = sample(tiny, 40)
    start = tiny.posterior(pixels)
    means = [refine(tiny, pixels, start, 0, steps, Method.NATURAL).mean for steps in (0, 3, 40)]
    joint = [log_likelihood_nats(tiny, pixels, mean).sum() - 0.5 * (mean**2).sum() for mean in means]
    assert joint[0] < joint[1] < joint[2]


def test_log_scales_stay_in_range(tiny: DenseModel) -> None:
    pixels = sample(tiny, 4)
    posterior = Posterior(np.zeros((4, 3)), np.array(LOG_SCALE_RANGE + LOG_SCALE_RANGE)[:, None] + np.zeros((4, 3)))
    log_scale = refine(tiny, pixels, posterior, 0, 20, Method.ADAM).log_scale
    assert log_scale.min() >= LOG_SCALE_RANGE[0] and log_scale.max() <= LOG_SCALE_RANGE[1]


def test_natural_steps_stay_bounded_on_images_unlike_any_digit(mnist_grey: DenseModel) -> None:
    """Far from the optimum, where the likelihood is anything but Gaussian in the latent, each step is one sigma."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (4, 784)).astype(np.uint8)
    pixels[0], pixels[1] = 255, 0
    start = mnist_grey.posterior(pixels)
    posterior = refine(mnist_grey, pixels, start, 0, 40, Method.NATURAL)
    sigma = np.minimum(np.exp(start.log_scale), 1)
    assert (np.abs(posterior.mean - start.mean) <= 40 * sigma + 1e-9).all()
    np.testing.assert_array_equal(posterior.log_scale, start.log_scale)
    costs = [negative_elbo_bits(mnist_grey, pixels, each).sum() for each in (start, posterior)]
    assert costs[1] < costs[0]


# --- damage -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_chains(tiny_models: dict[str, DenseModel]) -> dict[str, tuple[Pixels, EncodedChain]]:
    """Chains of tiny images by kind, refined, on several lanes."""
    chains = {}
    for kind, model in tiny_models.items():
        pixels = sample(model, 32 if kind.startswith("bernoulli") else 12)
        chains[kind] = pixels, encode_chain(model, pixels, 1, 8)
        assert lanes_of(chains[kind][1].plan) > 1
    return chains


def decode_damaged(model: DenseModel, plan: Plan, data: bytes) -> Pixels | None:
    """Decoded pixels, checked to be pixels, or None where the damage was noticed; all else is an error."""
    try:
        pixels = decode_chain(model, plan, data)
    except DamagedChain:
        return None
    assert pixels.shape == (plan.images, model.info.subpixels) and pixels.dtype == np.uint8
    assert pixels.max() < model.info.levels
    return pixels


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["bernoulli", "logistic-2"])
def test_every_truncation_is_damage(
    tiny_models: dict[str, DenseModel], small_chains: dict[str, tuple[Pixels, EncodedChain]], kind: str
) -> None:
    pixels, encoded = small_chains[kind]
    size = len(encoded.data)
    for cut in [*range(1, 20), *range(20, size - 8, 1 + size // 30), *range(size - 8, size + 1)]:
        for data in (encoded.data[:-cut], encoded.data[cut:]):
            decoded = decode_damaged(tiny_models[kind], encoded.plan, data)
            assert decoded is None or (decoded != pixels).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["bernoulli", "bernoulli-odd", "logistic-2"])
def test_changed_bytes_are_noticed(
    tiny_models: dict[str, DenseModel], small_chains: dict[str, tuple[Pixels, EncodedChain]], kind: str
) -> None:
    """Not each must be: every byte is content. But that the stack ends empty is hard to hit by chance."""
    _, encoded = small_chains[kind]
    noticed = []
    for place in range(0, len(encoded.data), 1 + len(encoded.data) // 50):
        data = bytearray(encoded.data)
        data[place] ^= 1 << place % 8
        noticed.append(decode_damaged(tiny_models[kind], encoded.plan, bytes(data)) is None)
    assert np.mean(noticed) > 0.95


@pytest.mark.filterwarnings("error")
@settings(max_examples=50)
@given(data=st.data())
def test_any_damage(
    tiny_models: dict[str, DenseModel], small_chains: dict[str, tuple[Pixels, EncodedChain]], data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(tiny_models)))
    _, encoded = small_chains[kind]
    damaged = bytearray(encoded.data)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged)))
        junk = data.draw(st.binary(max_size=9))
        match data.draw(st.sampled_from(["overwrite", "insert", "delete", "fill"])):
            case "overwrite":
                damaged[place : place + len(junk)] = junk
            case "insert":
                damaged[place:place] = junk
            case "delete":
                del damaged[place : place + len(junk)]
            case "fill":
                damaged[place:] = bytes([data.draw(st.sampled_from([0, 255]))]) * (len(damaged) - place)
    decode_damaged(tiny_models[kind], encoded.plan, bytes(damaged))


@pytest.mark.filterwarnings("error")
@settings(max_examples=40)
@given(
    kind=st.sampled_from(["bernoulli", "bernoulli-odd", "logistic-1", "logistic-2"]),
    raw=st.binary(max_size=200),
    plan=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2)),
)
def test_any_bytes_with_any_plan(
    tiny_models: dict[str, DenseModel], kind: str, raw: bytes, plan: tuple[int, ...]
) -> None:
    images, first, width, growth, steps = plan
    decode_damaged(tiny_models[kind], Plan(images, min(first, images), width, growth, width, 4, steps), raw)


@pytest.mark.parametrize(
    "change",
    [{"first": 1}, {"first": 3}, {"first": 64}, {"growth": 1}, {"growth": 16}, {"steps": 0}, {"steps": 3},
     {"width": 8}, {"width": 1}, {"images": 63}, {"images": 65}],
    ids=str,
)  # fmt: skip
def test_another_plan_is_noticed(
    mnist_binary: DenseModel, references: dict[str, tuple[Pixels, EncodedChain]], change: dict[str, int]
) -> None:
    pixels, encoded = references["mnist-binary"]
    plan = encoded.plan._replace(**change)
    assert plan != encoded.plan
    assert plan.batches([plan.images]) != encoded.plan.batches([encoded.plan.images]) or "steps" in change
    decoded = decode_damaged(mnist_binary, plan, encoded.data)
    assert decoded is None or decoded.shape != pixels.shape or (decoded != pixels).any()


def test_another_model_is_noticed(tiny_models: dict[str, DenseModel], tmp_path: Path) -> None:
    pixels = sample(tiny_models["logistic-1"], 30)
    encoded = encode_chain(tiny_models["logistic-1"], pixels, 0, 4)
    decoded = decode_damaged(tiny_models["logistic-2"], encoded.plan, encoded.data)
    assert decoded is None or (decoded != pixels).any()


def test_something_left_over_is_noticed(tiny: DenseModel) -> None:
    encoded = encode_chain(tiny, sample(tiny, 1), 0, 1)
    assert encoded.plan.batches([encoded.plan.images]) == []
    with pytest.raises(DamagedChain, match="left"):
        decode_chain(tiny, encoded.plan, encoded.data + bytes(20))


def test_what_the_stack_began_with_comes_back(tiny: DenseModel) -> None:
    for images, bottom in ((1, LOWER_BOUND), (1, 0xFFFFFFFF), (9, 0x80000005)):
        pixels = sample(tiny, images)
        encoded = chain.encode([chain.Group(tiny, pixels)], chain.Layout(4, 4), 0, bottom=bottom)
        decoded = chain.decode([(tiny, images)], encoded.plan, encoded.data)
        np.testing.assert_array_equal(decoded.pixels[0], pixels)
        assert decoded.bottom == bottom
