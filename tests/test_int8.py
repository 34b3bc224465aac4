"""8-bit networks: engines give what integers of any size give; wrong ones are found out, unsafe layers refused."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bbcompress.exact import engine as engine_module
from bbcompress.exact import int8_numpy, int8_onnx, int8_proof
from bbcompress.exact.engine import Engine
from bbcompress.exact.int8 import Bytes, Convolution, Layer, Linear, Network, Residual
from bbcompress.exact.int8_numpy import Run
from bbcompress.exact.network import InexactNetwork

PREPARE = pytest.mark.parametrize("prepare", [int8_numpy.prepare, int8_onnx.prepare])


def sums(layer: Convolution, x: NDArray[np.int64]) -> NDArray[np.int64]:
    """By the definition: bias and products at each place, divided with halves to even, in integers alone."""
    padded = np.pad(x, ((0, 0), (layer.radius, layer.radius), (layer.radius, layer.radius), (0, 0)))
    total = np.zeros((*x.shape[:3], layer.outputs), np.int64) + layer.bias
    for row in range(layer.kernel):
        for column in range(layer.kernel):
            seen = padded[:, row : row + x.shape[1], column : column + x.shape[2]]
            total += np.einsum("nhwi,io->nhwo", seen, layer.weight[row, column].astype(np.int64))
    unit = 1 << layer.shift.astype(np.int64)
    quotient, rest = np.divmod(total, unit)
    up = (2 * rest > unit) | ((2 * rest == unit) & (quotient % 2 == 1))
    return quotient + up


def by_definition(network: Network, pixels: Bytes) -> NDArray[Any]:
    x = pixels.astype(np.int64)
    for layer in network.layers:
        match layer:
            case Convolution():
                zero = 128 if layer.signed_output else 0
                x = np.clip(sums(layer, x - 128 if layer.signed_input else x) + zero, 0, 255)
            case Residual(first, second):
                x = np.clip(x + np.clip(sums(second, np.clip(sums(first, x), 0, 255)), -128, 127), 0, 255)
            case Linear(weight, bias):
                x = x @ weight.astype(np.int64) + bias
    return x.astype(network.output_type)


def convolution(
    rng: np.random.Generator, kernel: int, inputs: int, outputs: int, seen: bool = False, given: bool = False
) -> Convolution:
    """A layer whose outputs are mostly neither 0 nor 255."""
    seen_values = kernel * kernel * inputs
    weight = rng.integers(-64, 64, (kernel, kernel, inputs, outputs))
    bias = rng.integers(-1000, 9000, outputs) * int(seen_values**0.5)
    spread = int(37 * 147 * seen_values**0.5 / 64).bit_length()
    return Convolution(weight, bias, rng.integers(max(spread - 2, 0), spread + 1, outputs), seen, given)


def residual(rng: np.random.Generator, width: int, kernel: int = 3) -> Residual:
    return Residual(convolution(rng, kernel, width, width), convolution(rng, kernel, width, width, given=True))


def network(seed: int, inputs: int, width: int, blocks: int, outputs: int | None, signed: bool = True) -> Network:
    """1 x 1 to the width, residual blocks, and a linear layer, or none."""
    rng = np.random.default_rng(seed)
    layers: list[Layer] = [convolution(rng, 1, inputs, width, signed), *(residual(rng, width) for _ in range(blocks))]
    if outputs is not None:
        layers.append(Linear(rng.integers(-8192, 8128, (width, outputs)), rng.integers(-(2**20), 2**20, outputs)))
    return Network(tuple(layers))


def pixels(seed: int, *shape: int) -> Bytes:
    """Noise, with images and corners of nothing but 0 and 255."""
    x = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    x[:, : shape[1] // 3, : shape[2] // 2] = 255
    x[-1, shape[1] // 2 :] = 0
    return x


# --- the arithmetic ---------------------------------------------------------------------------------------------


@PREPARE
@settings(max_examples=60, deadline=None)
@given(
    kernel=st.sampled_from([1, 3]),
    inputs=st.sampled_from([1, 2, 3, 4, 5, 8, 16, 24, 33]),
    outputs=st.sampled_from([1, 2, 7, 8, 16, 17, 24, 32]),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 37)),
    seen=st.booleans(),
    given=st.booleans(),
    extreme=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_convolutions_are_what_integers_are(
    prepare: Callable[[Network], Run],
    kernel: int,
    inputs: int,
    outputs: int,
    shape: tuple[int, int, int],
    seen: bool,
    given: bool,
    extreme: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    layer = convolution(rng, kernel, inputs, outputs, seen, given)
    if extreme:
        weight = rng.choice([-64, 63], layer.weight.shape)
        shift = rng.integers(0, 25, outputs)
        layer = Convolution(weight, rng.integers(-(2**20), 2**20, outputs), shift, seen, given)
    one = Network((layer,))
    x = pixels(seed, *shape, inputs)
    y = prepare(one)(x)
    assert y.dtype == np.uint8
    np.testing.assert_array_equal(y, by_definition(one, x))


@PREPARE
@pytest.mark.parametrize("signed", [False, True])
def test_halves_are_rounded_to_even(prepare: Callable[[Network], Run], signed: bool) -> None:
    layer = Convolution(np.full((1, 1, 1, 1), 1), np.array([-64]), np.array([1]), signed_output=signed)
    y = prepare(Network((layer,)))(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)).reshape(-1)
    # -64 / 2 at 0; 1/2 goes to 0, 3/2 to 2, 5/2 to 2
    zero = 128 if signed else 0
    assert y[64:70].tolist() == [zero + value for value in (0, 0, 1, 2, 2, 2)]
    assert y[61] == (128 - 2 if signed else 0)  # -3/2


@PREPARE
@settings(max_examples=20, deadline=None)
@given(
    width=st.sampled_from([1, 3, 8, 32]),
    inputs=st.integers(1, 20),
    blocks=st.integers(0, 2),
    outputs=st.sampled_from([None, 1, 9]),
    signed=st.booleans(),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
    seed=st.integers(0, 2**32 - 1),
)
def test_networks_are_what_integers_are(
    prepare: Callable[[Network], Run],
    width: int,
    inputs: int,
    blocks: int,
    outputs: int | None,
    signed: bool,
    shape: tuple[int, int, int],
    seed: int,
) -> None:
    whole = network(seed, inputs, width, blocks, outputs, signed)
    x = pixels(seed, *shape, inputs)
    y = prepare(whole)(x)
    assert y.dtype == whole.output_type and y.shape == (*shape, whole.outputs)
    np.testing.assert_array_equal(y, by_definition(whole, x))


@PREPARE
def test_branches_are_clamped_before_they_are_added(prepare: Callable[[Network], Run]) -> None:
    def block(weight: int, bias: int) -> Residual:
        one = np.ones(1, np.int64)
        first = Convolution(one.reshape(1, 1, 1, 1), 0 * one, 0 * one)
        return Residual(first, Convolution(weight * one.reshape(1, 1, 1, 1), bias * one, 0 * one, signed_output=True))

    x = np.array([0, 50, 127, 128, 200, 255], np.uint8).reshape(1, 1, 6, 1)
    up = prepare(Network((block(1, 0),)))(x)
    assert up.reshape(-1).tolist() == [0, 100, 254, 255, 255, 255]
    down = prepare(Network((block(-2, 0),)))(x)
    assert down.reshape(-1).tolist() == [0, 0, 0, 0, 72, 127]


@PREPARE
@pytest.mark.parametrize("weight", [-8192, -8129, -8128, -65, -64, 63, 64, 8127])
def test_linear_layers_keep_all_bits(prepare: Callable[[Network], Run], weight: int) -> None:
    layer = Linear(np.full((96, 2), weight), np.array([1, -(2**28)]))
    x = np.full((1, 3, 5, 96), 255, np.uint8)
    expected = weight * 96 * 255 + np.array([1, -(2**28)])
    assert np.unique(prepare(Network((layer,)))(x), axis=2).reshape(-1, 2).tolist() == [expected.tolist()] * 3


# --- what is refused --------------------------------------------------------------------------------------------

ONE = np.ones((1, 1, 4, 2), np.int64)
TWO = np.zeros(2, np.int64)


@pytest.mark.parametrize(
    ("weight", "bias", "shift"),
    [
        (ONE * 64, TWO, TWO),
        (ONE * -65, TWO, TWO),
        (ONE, TWO, TWO - 1),
        (ONE, TWO, TWO + 25),
        (ONE, TWO[:1], TWO),
        (ONE, TWO, TWO[:1]),
        (ONE, TWO + 2**24, TWO),
        (ONE, np.array([0, -(2**31)]), TWO),
        (ONE.astype(np.float32), TWO, TWO),
        (ONE[0], TWO, TWO),
        (np.ones((2, 2, 4, 2), np.int64), TWO, TWO),
        (np.ones((1, 3, 4, 2), np.int64), TWO, TWO),
        (np.ones((5, 5, 4, 2), np.int64), TWO, TWO),
        (np.ones((1, 1, 0, 2), np.int64), TWO, TWO),
        (np.ones((1, 1, 1025, 2), np.int64), TWO, TWO),
    ],
)
def test_convolutions_that_are_refused(
    weight: NDArray[np.integer], bias: NDArray[np.integer], shift: NDArray[np.integer]
) -> None:
    with pytest.raises(InexactNetwork):
        Convolution(weight, bias, shift)


def test_sums_stay_below_2_to_24() -> None:
    weight = np.full((3, 3, 114, 1), -64)  # 255 * 64 * 1026 = 2^24 - 32896
    for bias in (32_895, -32_895):
        layer = Convolution(weight, np.array([bias]), np.array([20]))
        x = np.full((1, 3, 3, 114), 255, np.uint8)
        one = Network((layer,))
        np.testing.assert_array_equal(int8_numpy.prepare(one)(x), by_definition(one, x))
        with pytest.raises(InexactNetwork, match="2\\^24"):
            Convolution(weight, np.array([bias + np.sign(bias)]), np.array([20]))
    with pytest.raises(InexactNetwork, match="2\\^24"):
        Convolution(np.full((3, 3, 115, 1), 63), np.array([2**18]), np.array([20]))
    Convolution(weight, np.array([2**24 - 1 - 128 * 64 * 1026]), np.array([20]), signed_input=True)


def test_linear_layers_that_are_refused() -> None:
    weight = np.zeros((4, 2), np.int64)
    for changed, bias in [(weight + 8128, TWO), (weight - 8193, TWO), (weight, TWO[:1]), (weight, TWO + 2**30)]:
        with pytest.raises(InexactNetwork):
            Linear(changed, bias)
    with pytest.raises(InexactNetwork, match="2\\^30"):
        Linear(np.full((1024, 1), 8127), np.array([0]))


def test_layers_that_do_not_fit_each_other() -> None:
    rng = np.random.default_rng(0)
    to_signed, to_unsigned = convolution(rng, 1, 4, 4, given=True), convolution(rng, 1, 4, 4)
    linear = Linear(np.ones((4, 2), np.int64), TWO)
    wider = convolution(rng, 1, 4, 5)
    for layers in [(), (to_signed, to_unsigned), (to_signed, linear), (linear, linear), (wider, to_unsigned)]:
        with pytest.raises(InexactNetwork):
            Network(layers)
    for first, second in [(to_unsigned, to_unsigned), (to_signed, to_signed), (wider, to_signed)]:
        with pytest.raises(InexactNetwork):
            Residual(first, second)


def test_layers_keep_their_own_integers() -> None:
    weight = np.ones((1, 1, 4, 2), np.int64)
    layer = Convolution(weight, TWO, TWO)
    weight[:] = 1000
    assert layer.weight.max() == 1 and layer.weight.dtype == np.int8
    with pytest.raises(ValueError):
        layer.weight[0] = 0


# --- rows, batches, threads -------------------------------------------------------------------------------------


def computed(engine: Engine, whole: Network, x: Bytes) -> NDArray[Any]:
    """What an engine gives, as the coder asks it."""
    engine.expect(whole.multiply_adds * x[..., 0].size)
    return engine.prepared(whole)(x)


@pytest.mark.parametrize("name", ["numpy", "onnx"])
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_with_margins_and_threads_make_no_difference(name: str, threads: int) -> None:
    whole = network(3, 10, 32, 2, 5)
    assert whole.radius == 4
    x = pixels(4, 3, 41, 17, 10)
    expected = int8_numpy.prepare(whole)(x)
    engine = Engine(threads, name)

    def rows(first: int) -> NDArray[Any]:
        above = max(0, first - whole.radius)
        return computed(engine, whole, x[:, above : first + 7 + whole.radius])[:, first - above :][:, :7]

    np.testing.assert_array_equal(np.concatenate(engine.map(rows, range(0, 41, 7)), axis=1), expected)
    np.testing.assert_array_equal(np.concatenate([computed(engine, whole, one[None]) for one in x]), expected)


def test_work_within_work_does_not_wait_for_itself() -> None:
    whole, x = network(7, 3, 8, 1, 2), pixels(8, 4, 16, 5, 3)
    engine = Engine(2, "numpy")
    futures = [
        engine.submit(lambda: engine.map(lambda one: computed(engine, whole, one[None]), list(x))) for _ in range(4)
    ]
    for future in futures:
        np.testing.assert_array_equal(np.concatenate(future.result(timeout=30)), int8_numpy.prepare(whole)(x))


# --- which engine -----------------------------------------------------------------------------------------------


def test_onnx_is_taken_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "ONNX_PAYS_FROM", 1000)
    whole, made, told = network(9, 3, 8, 0, 2), [], []
    prepare = int8_onnx.prepare
    monkeypatch.setattr(int8_onnx, "prepare", lambda network: made.append(network) or prepare(network))
    engine = Engine()
    engine.report = told.append
    engine.expect(500)
    engine.prepared(whole)
    engine.expect(499)
    engine.prepared(whole)
    assert made == told == []
    engine.expect(1)
    run = engine.prepared(whole)
    assert whole in made and len(told) == 1 and "ONNX Runtime" in told[0]
    count = len(made)
    assert engine.prepared(whole) is run and len(made) == count
    by_numpy = Engine(name="numpy")
    by_numpy.expect(10**12)
    by_numpy.prepared(whole)
    assert len(made) == count


def wrong_from(places: int, outputs: int) -> Callable[[Network], Run]:
    """An engine that is wrong for some width from some number of places on, as releases have been."""

    def prepare(network: Network) -> Run:
        run = int8_numpy.prepare(network)

        def wrong(x: Bytes) -> NDArray[Any]:
            y = run(x)
            if network.outputs == outputs and x.shape[1] * x.shape[2] >= places:
                y[:, -1, -1, -1] ^= 1
            return y

        return wrong

    return prepare


def saturating(network: Network) -> Run:
    """An engine that adds pairs of products in 15 bits, and so is right for most inputs."""
    layers = [layer for layer in network.layers if isinstance(layer, Convolution) and layer.kernel == 1]
    if not layers:
        return int8_numpy.prepare(network)
    weight = layers[0].weight[0, 0].astype(np.int64)

    def run(x: Bytes) -> NDArray[Any]:
        y = by_definition(network, x)
        products = x[..., None].astype(np.int64) * weight
        pairs = products[..., : len(weight) // 2 * 2, :].reshape(*x.shape[:3], -1, 2, weight.shape[1]).sum(4)
        return y ^ (np.abs(pairs) >= 2**14).any(3).astype(np.uint8) if y.shape[3] == weight.shape[1] else y

    return run


def rounding_up(network: Network) -> Run:
    """An engine that rounds halves up, in networks of one layer."""
    (layer,) = network.layers if len(network.layers) == 1 else (None,)
    if not isinstance(layer, Convolution) or layer.kernel != 1:
        return int8_numpy.prepare(network)
    zeros = [128 if signed else 0 for signed in (layer.signed_input, layer.signed_output)]
    half = (1 << layer.shift.astype(np.int64)) >> 1

    def run(x: Bytes) -> NDArray[Any]:
        total = (x.astype(np.int64) - zeros[0]) @ layer.weight[0, 0].astype(np.int64) + layer.bias
        return np.clip(((total + half) >> layer.shift) + zeros[1], 0, 255).astype(np.uint8)

    return run


def edges_of_zero(network: Network) -> Run:
    """An engine that takes what is around a picture for the byte 0 where it is signed."""
    run, radius = int8_numpy.prepare(network), network.radius

    def wrong(x: Bytes) -> NDArray[Any]:
        around = ((0, 0), (radius, radius), (radius, radius), (0, 0))
        y = run(np.pad(x, around))
        return y[:, radius : y.shape[1] - radius, radius : y.shape[2] - radius]

    return wrong if network.layers[0].signed_input else run


def failing(network: Network) -> Run:
    raise RuntimeError("no such operator\nand a long trace")


@pytest.mark.parametrize(
    "prepare",
    [wrong_from(32, 24), wrong_from(1, 24), wrong_from(100, 24), saturating, rounding_up, edges_of_zero, failing],
)
def test_wrong_engines_are_found_out(monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Network], Run]) -> None:
    rng = np.random.default_rng(0)
    whole = Network((convolution(rng, 3, 8, 8, seen=True), convolution(rng, 1, 8, 24), residual(rng, 24)))
    monkeypatch.setattr(int8_onnx, "prepare", prepare)
    engine, told = Engine(name="onnx"), []
    engine.report = told.append
    x = pixels(1, 1, 12, 11, 8)
    for _ in range(2):
        np.testing.assert_array_equal(computed(engine, whole, x), by_definition(whole, x))
    assert len(told) == 1 and "numpy" in told[0] and "\n" not in told[0]


def test_the_right_engine_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, told = Engine(name="onnx"), []
    engine.report = told.append
    for seed, (width, inputs) in enumerate([(24, 5), (32, 48), (96, 64), (7, 1)]):
        whole = network(seed, inputs, width, 1, 9)
        run = engine.prepared(whole)
        int8_proof.prove(int8_onnx.prepare, whole, run)
    assert told == []


def test_old_releases_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "__version__", "1.24.4")
    engine, told = Engine(name="onnx"), []
    engine.report = told.append
    whole, x = network(0, 3, 8, 1, 2), pixels(0, 1, 4, 4, 3)
    np.testing.assert_array_equal(computed(engine, whole, x), by_definition(whole, x))
    assert told == ["8-bit networks: numpy, as ONNX Runtime cannot be used: onnxruntime 1.24.4 is older than 1.25"]


def test_engines_that_there_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError):
        Engine(name="onnx")
    whole, x, told = network(0, 3, 8, 1, 2), pixels(0, 1, 4, 4, 3), []
    monkeypatch.setattr(engine_module, "ONNX_PAYS_FROM", 0)
    engine = Engine()
    engine.report = told.append
    np.testing.assert_array_equal(computed(engine, whole, x), by_definition(whole, x))
    assert "numpy" in told[-1]
