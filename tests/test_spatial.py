"""Exact convolutional layers, against loops over integers and against the float operations of torch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bbcompress.exact.engine import Engine
from bbcompress.exact.network import GRADIENT_LIMIT, Dense, InexactNetwork, Network, Range, Tape
from bbcompress.exact.spatial import Convolution, DepthToSpace, Residual

Floats = NDArray[np.float64]
NUMPY = Engine()
LIMIT = int(GRADIENT_LIMIT)
PIXELS = Range(0, 255)
KERNELS = [(1, 1), (3, 1), (5, 1), (2, 2), (4, 2), (4, 4)]


def integers(seed: int, shape: tuple[int, ...], limit: int) -> Floats:
    return np.random.default_rng(seed).integers(-limit, limit + 1, shape).astype(np.float64)


def dense(seed: int, inputs: int, outputs: int, input: Range, output: Range, relu: bool = False) -> Dense:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-40, 41, (inputs, outputs))
    return Dense(weight, rng.integers(-500, 500, outputs), 6, input, output, relu)


def convolution(
    kernel: int, stride: int, weight: NDArray[np.float64], weight_bits: int = 1, input: Range = PIXELS
) -> Convolution:
    """Without bias, of a weight (kernel^2 C, outputs)."""
    zeros = np.zeros(weight.shape[1], np.int64)
    layer = Dense(weight.astype(np.int64), zeros, weight_bits, input, Range(0, 1 << 30), False)
    return Convolution(kernel, stride, layer)


@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
@settings(max_examples=15)
@given(rows=st.integers(1, 4), columns=st.integers(1, 4), channels=st.integers(1, 3), seed=st.integers(0, 1000))
def test_convolutions_see_what_lies_around_each_place(
    kernel: int, stride: int, rows: int, columns: int, channels: int, seed: int
) -> None:
    x = integers(seed, (2, rows * stride, columns * stride, channels), 255)
    # each output is one of the values seen
    y = convolution(kernel, stride, 2 * np.eye(kernel * kernel * channels)).forward(x, NUMPY)
    assert y.shape == (2, rows, columns, kernel * kernel * channels)
    margin = (kernel - stride) // 2
    for row, column, i, j in np.ndindex(rows, columns, kernel, kernel):
        at = row * stride + i - margin, column * stride + j - margin
        inside = 0 <= at[0] < x.shape[1] and 0 <= at[1] < x.shape[2]
        expected = x[:, at[0], at[1]] if inside else np.zeros((2, channels))
        first = (i * kernel + j) * channels
        np.testing.assert_array_equal(y[:, row, column, first : first + channels], expected)


@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
def test_backward_is_the_transpose(kernel: int, stride: int) -> None:
    """<g, W x> = <W' g, x>, in integers."""
    layer = convolution(kernel, stride, 2 * integers(0, (kernel * kernel * 2, 3), 50))
    x = integers(1, (3, 4 * stride, 3 * stride, 2), 255)
    tape: Tape = []
    y = layer.forward(x, NUMPY, tape)
    gradient = integers(2, y.shape, 1000)
    back = layer.backward(gradient, tape, NUMPY)
    assert back.shape == x.shape
    assert (gradient * y).sum() == (back * x).sum()


def test_gradients_are_summed_then_rounded_once_and_clamped() -> None:
    ones = convolution(3, 1, np.ones((9, 1)), weight_bits=2)
    x = np.zeros((1, 5, 5, 1))

    def back(gradient: float) -> float:
        tape: Tape = []
        ones.forward(x, NUMPY, tape)
        middle: float = ones.backward(np.full(x.shape, gradient), tape, NUMPY)[0, 2, 2, 0]
        return middle

    assert back(1.0) == 2  # floor(9 / 4 + 1 / 2)
    assert back(float(LIMIT)) == LIMIT


def test_the_proof_counts_all_places_that_see_a_value() -> None:
    """Each product of a gradient stays below 2^53, their sum over nine places does not."""
    weight = np.full((9, 1), 1 << 21)
    zero = np.zeros(1, np.int64)
    dense = Dense(weight, zero, 10, PIXELS, Range(0, 1 << 30), False)
    assert dense.backward_bound < 2**53 < 9 * dense.backward_bound
    with pytest.raises(InexactNetwork, match="2\\^53"):
        Convolution(3, 1, dense)


@given(factor=st.integers(1, 3), rows=st.integers(1, 3), columns=st.integers(1, 3), channels=st.integers(1, 3))
@settings(max_examples=20)
def test_depth_to_space_makes_squares(factor: int, rows: int, columns: int, channels: int) -> None:
    layer = DepthToSpace(factor, PIXELS)
    x = integers(0, (2, rows, columns, factor * factor * channels), 255)
    y = layer.forward(x, NUMPY)
    assert y.shape == (2, rows * factor, columns * factor, channels)
    for row, column, i, j in np.ndindex(rows, columns, factor, factor):
        first = (i * factor + j) * channels
        np.testing.assert_array_equal(
            y[:, row * factor + i, column * factor + j], x[:, row, column, first : first + channels]
        )
    np.testing.assert_array_equal(layer.backward(y, [], NUMPY), x)


@pytest.mark.parametrize("relu", [False, True])
def test_residual_adds_and_clamps(relu: bool) -> None:
    input, output = Range(3, 500), Range(3, 300)
    layer = Residual(input, Network([dense(1, 4, 4, input, Range(3, 400))]), output, relu)
    x = integers(3, (2, 3, 3, 4), 500)
    tape: Tape = []
    y = layer.forward(x, NUMPY, tape)
    expected = np.clip(x + layer.branch.forward(x, NUMPY), 0 if relu else -300, 300)
    np.testing.assert_array_equal(y, expected)
    assert np.ptp(y) >= 300
    gradient = integers(4, y.shape, 1 << 14)
    masked = gradient * ((y > 0) & (y < 300)) if relu else gradient
    branch_tape: Tape = []
    layer.branch.forward(x, NUMPY, branch_tape)
    back = masked + layer.branch.backward(masked, branch_tape, NUMPY)
    np.testing.assert_array_equal(layer.backward(gradient, tape, NUMPY), back)
    assert tape == []


def test_residual_sums_beyond_float32_are_exact() -> None:
    limit = (1 << 24) - 1
    input = Range(0, limit)
    same = Dense(np.array([[2]]), np.array([0]), 1, input, Range(0, limit - 1), relu=False)
    layer = Residual(input, Network([same]), Range(0, 1 << 25), relu=False)
    x = np.full((1, 1, 1, 1), limit, np.float32)
    assert same.dtype == layer.branch.forward(x, NUMPY).dtype == np.float32
    assert layer.forward(x, NUMPY).item() == 2 * limit - 1


@pytest.mark.parametrize("seen", [Range(1, 60), Range(3, 127), Range(0, 500)])
def test_residual_branch_sees_what_its_input_holds(seen: Range) -> None:
    input, output = Range(3, 500), Range(3, 1000)
    layer = Residual(input, Network([dense(1, 4, 4, seen, Range(3, 400))]), output, relu=False)
    x = np.arange(-500.0, 500).reshape(1, 10, 25, 4)
    rounded = np.clip(np.floor(x / 2 ** (3 - seen.fraction_bits) + 0.5), -seen.limit, seen.limit)
    assert rounded.min() == -min(seen.limit, 500 >> 3 - seen.fraction_bits)
    y = x + layer.branch.forward(rounded, NUMPY)
    tape: Tape = []
    for values in (x, x.astype(np.float32)):
        tape.clear()
        np.testing.assert_array_equal(layer.forward(values, NUMPY, tape), y)
    gradient = integers(4, y.shape, 1 << 14)
    branch_tape: Tape = []
    layer.branch.forward(rounded, NUMPY, branch_tape)
    back = gradient + layer.branch.backward(gradient, branch_tape, NUMPY)
    np.testing.assert_array_equal(layer.backward(gradient, tape, NUMPY), back)


def test_impossible_layers_are_refused() -> None:
    for kernel, stride in ((2, 1), (1, 2), (3, 2), (3, 0)):
        with pytest.raises(InexactNetwork, match="stride"):
            convolution(kernel, stride, np.ones((kernel * kernel, 1)))
    branch = Network([dense(1, 4, 4, Range(3, 10), Range(4, 10))])
    for input in (Range(3, 10), Range(2, 10)):
        with pytest.raises(InexactNetwork, match="fractional bits"):
            Residual(input, branch, Range(3, 10), True)
    with pytest.raises(InexactNetwork, match="more fractional bits"):
        Residual(Range(2, 10), Network([dense(1, 4, 4, Range(3, 10), Range(2, 10))]), Range(2, 10), True)


def residual_network() -> Network:
    """Stride 2 down, a residual block, and up again."""
    wide, hidden, output = Range(4, 2000), Range(5, 3000), Range(6, 1 << 20)
    first, second = dense(2, 72, 8, wide, hidden, relu=True), dense(3, 72, 8, hidden, wide)
    block = Network([Convolution(3, 1, first), Convolution(3, 1, second)])
    return Network(
        [
            Convolution(4, 2, dense(1, 48, 8, PIXELS, wide, relu=True)),
            Residual(wide, block, wide, relu=True),
            dense(4, 8, 20, wide, output),
            DepthToSpace(2, output),
        ]
    )


def test_whole_networks_do_not_depend_on_batch() -> None:
    network = residual_network()
    x = integers(5, (7, 6, 10, 3), 255)

    def both(x: Floats, gradient: Floats) -> tuple[Floats, Floats]:
        tape: Tape = []
        y = network.forward(x, NUMPY, tape)
        back = network.backward(gradient, tape, NUMPY)
        assert tape == []
        return y, back

    gradient = integers(6, (7, 6, 10, 5), 1 << 16)
    expected = both(x, gradient)
    assert expected[0].shape == gradient.shape and expected[1].shape == x.shape
    for first in range(7):
        for part, whole in zip(both(x[[first]], gradient[[first]]), expected, strict=True):
            np.testing.assert_array_equal(part[0], whole[first])


def test_convolutions_are_those_of_torch() -> None:
    """Weights as torch has them: (outputs, inputs, kernel, kernel), and for transposed ones inputs first."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = integers(7, (2, 8, 12, 3), 255)
    images = torch.from_numpy(x).permute(0, 3, 1, 2)
    wide = Range(0, 1 << 30)

    def layer(matrix: NDArray[np.float64]) -> Dense:
        return Dense(matrix.astype(np.int64) * 2, np.zeros(matrix.shape[1], np.int64), 1, PIXELS, wide, False)

    for kernel, stride in KERNELS:
        weight = integers(8, (5, 3, kernel, kernel), 40)
        ours = convolution(kernel, stride, 2 * weight.transpose(2, 3, 1, 0).reshape(-1, 5))
        theirs = functional.conv2d(images, torch.from_numpy(weight), stride=stride, padding=(kernel - stride) // 2)
        np.testing.assert_array_equal(ours.forward(x, NUMPY), theirs.permute(0, 2, 3, 1).numpy())
    weight = integers(9, (3, 5, 2, 2), 40)
    up = Network([layer(weight.transpose(0, 2, 3, 1).reshape(3, -1)), DepthToSpace(2, wide)])
    theirs = functional.conv_transpose2d(images, torch.from_numpy(weight), stride=2)
    np.testing.assert_array_equal(up.forward(x, NUMPY), theirs.permute(0, 2, 3, 1).numpy())
