"""Fixed-point networks give exactly what integers of any size give, and refuse weights for which they could not."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bbcompress.exact.engine import Engine
from bbcompress.exact.network import GRADIENT_LIMIT, Dense, InexactNetwork, Network, Range, Tape, to_grid

Floats = NDArray[np.float64]
NUMPY = Engine()
LIMIT = int(GRADIENT_LIMIT)
LIMIT_FLOAT32, LIMIT_FLOAT64 = 1 << 24, 1 << 53


class Watching(Engine):
    """Remembers the operands of each product."""

    def __init__(self) -> None:
        super().__init__()
        self.operands: list[tuple[NDArray[Any], NDArray[Any]]] = []

    def matmul(self, a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None:
        self.operands.append((a.copy(), b.copy()))
        super().matmul(a, b, out)


@dataclass(frozen=True)
class Spec:
    """A dense layer in Python integers, with the slow and obvious arithmetic."""

    weight: list[list[int]]
    bias: list[int]
    weight_bits: int
    input: Range
    output: Range
    relu: bool

    @property
    def shift(self) -> int:
        return self.weight_bits + self.input.fraction_bits - self.output.fraction_bits

    def build(self) -> Dense:
        weight, bias = np.array(self.weight, np.int64), np.array(self.bias, np.int64)
        return Dense(weight, bias, self.weight_bits, self.input, self.output, self.relu)

    def forward(self, x: list[int]) -> list[int]:
        y = []
        for column, bias in enumerate(self.bias):
            total = sum(value * row[column] for value, row in zip(x, self.weight, strict=True)) + bias
            rounded = (total + (1 << (self.shift - 1))) >> self.shift
            y.append(max(0 if self.relu else -self.output.limit, min(self.output.limit, rounded)))
        return y

    def backward(self, gradient: list[int], y: list[int]) -> list[int]:
        if self.relu:
            gradient = [g if 0 < value < self.output.limit else 0 for g, value in zip(gradient, y, strict=True)]
        back = []
        for row in self.weight:
            total = sum(g * w for g, w in zip(gradient, row, strict=True))
            rounded = (2 * total + (1 << self.weight_bits)) >> (self.weight_bits + 1)
            back.append(max(-LIMIT, min(LIMIT, rounded)))
        return back

    def reach(self) -> int:
        """The largest magnitude any partial sum can have, in whichever order the terms are added."""
        columns = list(zip(*self.weight, strict=True))
        half = 1 << (self.shift - 1)
        forward = max(
            self.input.limit * sum(map(abs, column)) + abs(bias + half)
            for column, bias in zip(columns, self.bias, strict=True)
        )
        return max(forward, LIMIT * max(sum(map(abs, row)) for row in self.weight))

    def shared(self) -> list[int]:
        """Of each column, the largest power of two that divides its weights and is left to the end."""
        gcds = [math.gcd(*column) or 1 << self.shift for column in zip(*self.weight, strict=True)]
        return [min(gcd & -gcd, 1 << self.shift) for gcd in gcds]

    def forward_reach(self) -> int:
        """As `reach`, of the forward pass only, without what columns share; products of one sign where inputs have."""
        columns = zip(*self.weight, strict=True)
        half = 1 << (self.shift - 1)
        reach = 0
        for column, bias, shared in zip(columns, self.bias, self.shared(), strict=True):
            positive, negative = sum(w for w in column if w > 0), -sum(w for w in column if w < 0)
            weights = max(positive, negative) if self.input.nonnegative else positive + negative
            reach = max(reach, self.input.limit * weights // shared + abs((bias + half) // shared))
        return reach


@st.composite
def specs(draw: st.DrawFn, input: Range | None = None, outputs: int | None = None) -> Spec:
    """Layers whose sums are small (float32), middling, or nearly too large for float64."""
    inputs = draw(st.integers(1, 6))
    outputs = outputs or draw(st.integers(1, 6))
    weight_limit = draw(st.sampled_from([1, 30, 1 << 10, 1 << 21]))
    multiple = draw(st.sampled_from([1, 1, 8, 3 << 4]))
    weight_bits = draw(st.integers(0, 12))
    if input is None:
        limit = draw(st.sampled_from([1, 255, 1 << 11, 1 << 20, (1 << 29) - 1]))
        input = Range(draw(st.integers(0, 10)), limit, draw(st.booleans()))
    output_bits = draw(st.integers(0, max(0, weight_bits + input.fraction_bits - 1)))
    if weight_bits + input.fraction_bits - output_bits < 1:
        weight_bits = 1
    entry = st.one_of(st.integers(-weight_limit, weight_limit), st.sampled_from([-weight_limit, weight_limit]))
    entry = entry.map(lambda value: value * multiple if abs(value * multiple) <= 1 << 21 else value)
    return Spec(
        weight=draw(st.lists(st.lists(entry, min_size=outputs, max_size=outputs), min_size=inputs, max_size=inputs)),
        bias=draw(st.lists(st.integers(-(1 << 20), 1 << 20), min_size=outputs, max_size=outputs)),
        weight_bits=weight_bits,
        input=input,
        output=Range(output_bits, draw(st.sampled_from([1, 40, 1 << 12, (1 << 30) - 1]))),
        relu=draw(st.booleans()),
    )


def rows(data: st.DataObject, width: int, limit: int) -> list[list[int]]:
    """A few vectors of integers within +-limit, extremes among them."""
    entry = st.one_of(st.integers(-limit, limit), st.sampled_from([-limit, 0, limit]))
    return data.draw(st.lists(st.lists(entry, min_size=width, max_size=width), min_size=1, max_size=4))


def inputs(data: st.DataObject, spec: Spec) -> list[list[int]]:
    """A few vectors that the layer may see, extremes among them."""
    x = rows(data, len(spec.weight), spec.input.limit)
    return [[abs(value) for value in row] for row in x] if spec.input.nonnegative else x


def floats(values: list[list[int]]) -> Floats:
    return np.array(values, np.float64)


# --- the reference ----------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(spec=specs(), data=st.data())
def test_forward_is_what_integers_give(spec: Spec, data: st.DataObject) -> None:
    x = inputs(data, spec)
    layer = spec.build()
    y = Network([layer]).forward(floats(x), NUMPY)
    assert y.dtype == layer.dtype
    assert y.tolist() == [spec.forward(row) for row in x]


@settings(max_examples=60)
@given(spec=specs(), data=st.data())
def test_backward_is_what_integers_give(spec: Spec, data: st.DataObject) -> None:
    x = inputs(data, spec)
    y = [spec.forward(row) for row in x]
    entry = st.integers(-LIMIT, LIMIT) | st.sampled_from([-LIMIT, 0, 1, LIMIT])
    gradients = [data.draw(st.lists(entry, min_size=len(row), max_size=len(row))) for row in y]
    back = spec.build().backward(floats(gradients), [floats(y)], NUMPY)
    assert back.dtype == np.float64
    assert back.tolist() == [spec.backward(gradient, row) for gradient, row in zip(gradients, y, strict=True)]


@settings(max_examples=50)
@given(data=st.data())
def test_network_is_its_layers_in_a_row(data: st.DataObject) -> None:
    layers = [data.draw(specs())]
    for _ in range(data.draw(st.integers(0, 2))):
        before = layers[-1]
        layer = data.draw(specs(input=Range(min(before.output.fraction_bits, 10), before.output.limit)))
        # as many inputs as the layer before has outputs
        weight = [layer.weight[n % len(layer.weight)] for n in range(len(before.bias))]
        layers.append(Spec(weight, layer.bias, layer.weight_bits + 1, before.output, layer.output, layer.relu))
    try:
        network = Network([layer.build() for layer in layers])
    except InexactNetwork:
        assert max(layer.reach() for layer in layers) >= LIMIT_FLOAT64
        return
    assert network.bound == max(layer.reach() for layer in layers)
    assert (network.input, network.output) == (layers[0].input, layers[-1].output)
    for row in inputs(data, layers[0]):
        outputs = []
        y = row
        for layer in layers:
            y = layer.forward(y)
            outputs.append(y)
        tape: Tape = []
        result = network.forward(floats([row]), NUMPY, tape)
        assert [activation.tolist() for activation in tape] == [[output] for output in outputs]
        assert result.tolist() == [outputs[-1]]
        gradient = [(-1) ** n * (LIMIT - n) for n in range(len(y))]
        back = network.backward(floats([gradient]), tape, NUMPY)
        for layer, output in zip(reversed(layers), reversed(outputs), strict=True):
            gradient = layer.backward(gradient, output)
        assert back.tolist() == [gradient]
        assert tape == []


# --- rounding, clamping, masks ----------------------------------------------------------------------------------


def identity_layer(relu: bool, limit: int = 100, weight: int = 1, weight_bits: int = 1) -> Dense:
    """y = weight x / 2^weight_bits, of one number."""
    return Dense(np.array([[weight]]), np.array([0]), weight_bits, Range(0, 1 << 20), Range(0, limit), relu)


def test_halves_round_up() -> None:
    x = np.array([[-3.0], [-2.0], [-1.0], [0.0], [1.0], [2.0], [3.0]])
    assert identity_layer(relu=False).forward(x, NUMPY).ravel().tolist() == [-1, -1, 0, 0, 1, 1, 2]
    gradients = identity_layer(relu=False).backward(x, [np.zeros_like(x)], NUMPY)
    assert gradients.ravel().tolist() == [-1, -1, 0, 0, 1, 1, 2]


def test_outputs_are_clamped() -> None:
    x = np.array([[-500.0], [-200.0], [-199.0], [199.0], [200.0], [500.0]])
    assert identity_layer(relu=False).forward(x, NUMPY).ravel().tolist() == [-100, -100, -99, 100, 100, 100]
    assert identity_layer(relu=True).forward(x, NUMPY).ravel().tolist() == [0, 0, 0, 100, 100, 100]


def test_relu_stops_gradients_where_it_clamps() -> None:
    y = np.array([[0.0], [1.0], [99.0], [100.0]])
    gradient = np.full((4, 1), 8.0)
    assert identity_layer(relu=True).backward(gradient, [y], NUMPY).ravel().tolist() == [0, 4, 4, 0]
    assert identity_layer(relu=False).backward(gradient, [y], NUMPY).ravel().tolist() == [4, 4, 4, 4]
    assert (gradient == 8).all()


def test_gradients_are_clamped() -> None:
    layer = identity_layer(relu=False, weight=64)
    gradient = np.array([[-float(LIMIT)], [LIMIT / 64], [float(LIMIT)]])
    assert layer.backward(gradient, [np.zeros((3, 1))], NUMPY).ravel().tolist() == [-LIMIT, LIMIT / 2, LIMIT]


@given(
    value=st.floats(-1e6, 1e6, allow_subnormal=False),
    bits=st.integers(0, 14),
    limit=st.sampled_from([1.0, 100.0, 2.0**29]),
)
def test_to_grid_rounds_and_clamps(value: float, bits: int, limit: float) -> None:
    values = np.array([value])
    (n,) = to_grid(values, bits, limit)
    assert values[0] == value
    assert n == round(n) and abs(n) <= limit
    if abs(value) * 2**bits < limit:
        assert abs(n - value * 2**bits) <= 0.5 + 2.0**-20


def test_to_grid_rounds_halves_up() -> None:
    assert to_grid(np.array([-1.5, -0.5, 0.5, 1.5, 0.375]), 0, 9.0).tolist() == [-1, 0, 1, 2, 0]
    assert to_grid(np.array([0.375, -0.375]), 2, 9.0).tolist() == [2, -1]


# --- the proof of exactness -------------------------------------------------------------------------------------


def test_gradients_bound_just_below_is_accepted() -> None:
    half = (1 << 23) - 1
    weight = np.array([[half, -half - 1]])  # 2^24 - 1 in all, times 2^29
    layer = Dense(weight, np.zeros(2, int), 1, Range(0, 1), Range(0, 1), False)
    assert layer.bound == (2**24 - 1) * 2**29 < LIMIT_FLOAT64


def test_gradients_bound_at_the_limit_is_refused() -> None:
    half = 1 << 23
    with pytest.raises(InexactNetwork, match="2\\^53"):
        Dense(np.array([[half, -half]]), np.zeros(2, int), 1, Range(0, 1), Range(0, 1), False)
    # the same weights in two rows: no gradient sums both
    Dense(np.array([[half], [-half]]), np.zeros(1, int), 1, Range(0, 1), Range(0, 1), False)


def forward_spec(total: int, sign: int = 1) -> Spec:
    """A layer whose forward sums, rounding included, reach `total`, about 2^53."""
    limit, weight = (1 << 30) - 1, 1 << 21
    rest = total - 4 * limit * weight
    bias = rest - 1 if sign > 0 else -rest - 1
    return Spec([[sign * weight], [weight], [-weight], [sign * weight]], [bias], 1, Range(0, limit), Range(0, 1), False)


@pytest.mark.parametrize("sign", [-1, 1])
def test_forward_bound_just_below_is_accepted_and_exact(sign: int) -> None:
    spec = forward_spec(LIMIT_FLOAT64 - 1, sign)
    layer = spec.build()
    assert layer.bound == spec.reach() == LIMIT_FLOAT64 - 1
    x = [spec.input.limit * (1 if row[0] > 0 else -1) * sign for row in spec.weight]
    for off in ([0, 0, 0, 0], [0, 0, 0, -sign], [-sign, 0, sign, 0]):
        row = [value + step for value, step in zip(x, off, strict=True)]
        wide = Spec(spec.weight, spec.bias, 1, spec.input, Range(0, (1 << 52)), False)
        assert wide.build().forward(floats([row]), NUMPY).tolist() == [wide.forward(row)]


@pytest.mark.parametrize("sign", [-1, 1])
def test_forward_bound_at_the_limit_is_refused(sign: int) -> None:
    with pytest.raises(InexactNetwork, match="2\\^53"):
        forward_spec(LIMIT_FLOAT64, sign).build()


def test_smallest_integer_weights_count_in_full() -> None:
    """abs(-128) is -128 in int8: the bound must not be computed in the weights' own type."""
    weight = np.full((4, 1), -128, np.int8)
    layer = Dense(weight, np.array([-128], np.int8), 1, Range(0, 10), Range(0, 1), False)
    assert layer.bound == 128 * 2**29
    wide = Dense(np.full((4, 1), -(2**15), np.int16), np.zeros(1, np.int16), 1, Range(0, 2**29), Range(0, 1), False)
    assert wide.bound == 2**46 + 1


def test_outputs_finer_than_sums_are_refused() -> None:
    with pytest.raises(InexactNetwork, match="fractional bits"):
        Dense(np.array([[1]]), np.array([0]), 3, Range(2, 1), Range(5, 1), False)


def test_layers_must_agree_on_ranges() -> None:
    first = Dense(np.array([[1]]), np.array([0]), 3, Range(2, 1), Range(4, 10), True)
    second = Dense(np.array([[1]]), np.array([0]), 3, Range(4, 11), Range(4, 10), True)
    with pytest.raises(InexactNetwork, match="range"):
        Network([first, second])


@settings(max_examples=60)
@given(spec=specs())
def test_bound_is_reached_and_not_passed(spec: Spec) -> None:
    """The worst inputs, by sign of each weight, come exactly to the bound in one direction or the other."""
    bound = spec.build().bound
    half = 1 << (spec.shift - 1)
    worst = 0
    for column, bias in zip(zip(*spec.weight, strict=True), spec.bias, strict=True):
        for sign in (-1, 1):
            x = [sign * spec.input.limit * (1 if weight > 0 else -1) for weight in column]
            worst = max(worst, abs(sum(a * b for a, b in zip(x, column, strict=True)) + bias + half))
    for row in spec.weight:
        worst = max(worst, sum(LIMIT * abs(weight) for weight in row))
    assert worst == bound < LIMIT_FLOAT64


@settings(max_examples=60)
@given(spec=specs(), data=st.data())
def test_float32_only_where_its_sums_are_exact(spec: Spec, data: st.DataObject) -> None:
    engine = Watching()
    layer = spec.build()
    x = inputs(data, spec)
    layer.backward(np.zeros((1, len(spec.bias))), [layer.forward(floats(x), engine)[:1]], engine)
    (a, b), (a_back, b_back) = engine.operands
    assert a.dtype == b.dtype and a.dtype in (np.float32, np.float64)
    assert a_back.dtype == b_back.dtype == np.float64
    if a.dtype == np.float32:
        assert spec.forward_reach() < LIMIT_FLOAT32
        assert spec.output.limit < LIMIT_FLOAT32
    else:
        assert max(spec.forward_reach(), spec.output.limit) >= LIMIT_FLOAT32
    assert (b.astype(np.float64) * 2.0**spec.shift).tolist() == spec.weight


@pytest.mark.parametrize(
    ("weights", "dtype"),
    [
        (((1 << 23) - 3, (1 << 23) - 3), np.float32),
        (((1 << 23) - 3, (1 << 23) - 1), np.float64),
        (((1 << 24) - 4, (1 << 24) - 4), np.float32),  # multiples of 4, which is left to the end
    ],
)
def test_float32_begins_below_2_to_24(weights: tuple[int, int], dtype: type) -> None:
    """Sums reach those of the weights and 4, rounding included."""
    first, second = weights
    spec = Spec([[first], [second]], [0], 3, Range(0, 1), Range(0, 1 << 23), False)
    engine = Watching()
    assert spec.build().forward(floats([[1, 1], [1, 0], [-1, -1]]), engine).tolist() == [
        [(first + second + 4) // 8],
        [(first + 4) // 8],
        [(-first - second + 4) // 8],
    ]
    assert engine.operands[0][1].dtype == dtype


# --- order, batch ---------------------------------------------------------------------------------------


def large(limit_bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Range, Range]:
    """A layer of 512 x 48 whose sums come near 2^limit_bits, too large to be summed carelessly."""
    rng = np.random.default_rng(limit_bits)
    weight_bits = (limit_bits - 9) // 2
    weight = rng.integers(-(1 << weight_bits) + 1, 1 << weight_bits, (512, 48))
    limit = (1 << (limit_bits - 9 - weight_bits)) - 1
    return weight, rng.integers(-1000, 1000, 48), Range(0, limit), Range(0, (1 << (limit_bits - 1)))


@pytest.mark.parametrize("limit_bits", [23, 45, 50])
def test_same_bits_for_every_batch_and_order(limit_bits: int) -> None:
    # gradients are up to 2^29, and the sums of 48 of them must stay below 2^53 too
    weight, bias, input, output = large(limit_bits)
    weight = np.clip(weight, -(1 << 17), 1 << 17)
    layer = Dense(weight, bias, 1, input, output, False)
    rng = np.random.default_rng(0)
    x = rng.integers(-input.limit, input.limit + 1, (64, 512)).astype(np.float64)
    x[0], x[1] = input.limit, -input.limit
    expected = np.clip((x.astype(np.int64) @ weight + bias + 1) >> 1, -output.limit, output.limit)
    gradient = rng.integers(-LIMIT, LIMIT + 1, (64, 48)).astype(np.float64)
    back = np.clip((gradient.astype(np.int64) @ weight.T + 1) >> 1, -LIMIT, LIMIT)
    assert np.ptp(expected) > 1 << (limit_bits - 8)

    def check(layer: Dense, columns: NDArray[np.intp]) -> None:
        for batch in (1, 7, 64):
            for first in range(0, 64, batch):
                rows = slice(first, first + batch)
                np.testing.assert_array_equal(layer.forward(x[rows][:, columns], NUMPY), expected[rows])
                np.testing.assert_array_equal(
                    layer.backward(gradient[rows], [expected[rows]], NUMPY), back[rows][:, columns]
                )

    check(layer, np.arange(512))
    for columns in (np.arange(512)[::-1], rng.permutation(512)):
        check(Dense(weight[columns], bias, 1, input, output, False), columns)
