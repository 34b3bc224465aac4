"""The rANS stack gives back what was pushed, in craystack's words, and never invents data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bbcompress.coding.distributions import Categorical, GridPrior, Uniform, push
from bbcompress.coding.rans import FEW_LANES, LOWER_BOUND, Distribution, Stack, Underflow

Symbols = NDArray[np.int64]
MASK32 = (1 << 32) - 1
EDGES = [1 << 31, MASK32, 1 << 32, (1 << 63) - 1]
"""Heads at the ends of the range, and where a head starts to need two words."""


@dataclass
class Reference:
    """Vectorised rANS in Python integers, one lane and one symbol at a time (Giesen, arXiv 1402.3392, section 2)."""

    heads: list[int]
    tail: list[int] = field(default_factory=list)
    """Words, the next to be taken first."""

    @staticmethod
    def of(words: Sequence[int], lanes: int) -> "Reference":
        heads = [high << 32 | low for high, low in zip(words[:lanes], words[lanes : 2 * lanes], strict=True)]
        return Reference(heads, list(words[2 * lanes :]))

    def words(self) -> list[int]:
        return [head >> 32 for head in self.heads] + [head & MASK32 for head in self.heads] + self.tail

    def push(self, starts: Sequence[int], freqs: Sequence[int], precision: int) -> None:
        lanes = len(self.heads)
        for row in reversed(range(0, len(starts), lanes)):
            intervals = list(zip(starts[row : row + lanes], freqs[row : row + lanes], strict=True))
            moved = []
            for lane, (_, freq) in enumerate(intervals):
                # where coding would take the head to 2^63 or above, its low word makes room
                if ((self.heads[lane] // freq) << precision) >= 1 << 63:
                    moved.append(self.heads[lane] & MASK32)
                    self.heads[lane] >>= 32
            self.tail = moved + self.tail
            for lane, (start, freq) in enumerate(intervals):
                quotient, rest = divmod(self.heads[lane], freq)
                self.heads[lane] = (quotient << precision) + start + rest

    def pop(self, freqs: Sequence[int], precision: int, count: int) -> list[int]:
        """Pop symbols whose frequencies are `freqs`."""
        symbols: list[int] = []
        while len(symbols) < count:
            low = []
            for lane in range(min(len(self.heads), count - len(symbols))):
                position = self.heads[lane] % (1 << precision)
                symbol, start = 0, 0
                while start + freqs[symbol] <= position:
                    start += freqs[symbol]
                    symbol += 1
                self.heads[lane] = freqs[symbol] * (self.heads[lane] >> precision) + position - start
                symbols.append(symbol)
                if self.heads[lane] < LOWER_BOUND:
                    low.append(lane)
            for lane in low:
                self.heads[lane] = self.heads[lane] << 32 | self.tail.pop(0)
        return symbols


@st.composite
def tilings(draw: st.DrawFn) -> tuple[list[int], int]:
    """Frequencies that sum to 2^precision, lopsided ones among them."""
    precision = draw(st.one_of(st.integers(0, 31), st.sampled_from([0, 1, 24, 31])))
    cuts = draw(st.sets(st.integers(1, (1 << precision) - 1), max_size=8)) if precision else set()
    if precision and draw(st.booleans()):
        cuts |= {1, (1 << precision) - 1}
    points = [0, *sorted(cuts), 1 << precision]
    return [high - low for low, high in pairwise(points)], precision


Push = tuple[list[int], list[int], int]
"""Frequencies, symbols, precision."""


@st.composite
def pushes(draw: st.DrawFn) -> list[Push]:
    found = []
    for freqs, precision in draw(st.lists(tilings(), min_size=1, max_size=6)):
        symbols = draw(st.lists(st.integers(0, len(freqs) - 1), max_size=30))
        found.append((freqs, symbols, precision))
    return found


def categorical(item: Push) -> Categorical:
    freqs, symbols, precision = item
    return Categorical(np.array(freqs, np.int64), precision, len(symbols))


def intervals(item: Push) -> tuple[list[int], list[int], int]:
    freqs, symbols, precision = item
    return [sum(freqs[:symbol]) for symbol in symbols], [freqs[symbol] for symbol in symbols], precision


def heads() -> st.SearchStrategy[int]:
    near = [edge + off for edge in EDGES for off in (-1, 0, 1) if 1 << 31 <= edge + off < 1 << 63]
    return st.one_of(
        st.sampled_from(near), st.integers(31, 62).map(lambda bits: 1 << bits), st.integers(1 << 31, (1 << 63) - 1)
    )


def tails() -> st.SearchStrategy[list[int]]:
    return st.lists(st.one_of(st.integers(0, MASK32), st.sampled_from([0, 1, MASK32])), max_size=12)


def words_of(heads: list[int], tail: list[int]) -> NDArray[np.uint32]:
    return np.array(Reference(heads, tail).words(), np.uint32)


def wide_stack(lanes: int, words: int = 100) -> Stack:
    rng = np.random.default_rng(lanes)
    heads = rng.integers(1 << 31, 1 << 63, lanes, np.uint64).tolist()
    return Stack.unflatten(words_of(heads, rng.integers(0, 1 << 32, words, np.uint64).tolist()), lanes)


def grown_stack(words: int = 50) -> Stack:
    """A stack that grew from its bottom."""
    stack = Stack()
    rng = np.random.default_rng(words)
    stack.push(rng.integers(0, 1 << 16, 2 * words, np.uint64), np.ones(2 * words, np.uint64), 16)
    return stack


def push_symbols(stack: Stack, distribution: Distribution, symbols: Sequence[int]) -> None:
    stack.push(*distribution.intervals(np.array(symbols, np.int64)), distribution.precision)


# --- round trips, and the words of the reference ----------------------------------------------------------------


@settings(max_examples=60)
@given(lanes=st.integers(1, 2 * FEW_LANES), items=pushes(), data=st.data())
def test_wide_stack_is_the_reference(lanes: int, items: list[Push], data: st.DataObject) -> None:
    first = words_of(data.draw(st.lists(heads(), min_size=lanes, max_size=lanes)), data.draw(tails()))
    stack, reference = Stack.unflatten(first, lanes), Reference.of(first.tolist(), lanes)
    np.testing.assert_array_equal(stack.flatten(), first)
    for item in items:
        push_symbols(stack, categorical(item), item[1])
        reference.push(*intervals(item))
        np.testing.assert_array_equal(stack.flatten(), reference.words())
    for item in reversed(items):
        freqs, symbols, precision = item
        assert stack.pop(categorical(item)).tolist() == symbols
        assert reference.pop(freqs, precision, len(symbols)) == symbols
        np.testing.assert_array_equal(stack.flatten(), reference.words())
    np.testing.assert_array_equal(stack.flatten(), first)
    assert stack.lanes == lanes


@settings(max_examples=60)
@given(lanes=st.integers(1, 2 * FEW_LANES), item=pushes().map(lambda items: items[0]))
def test_what_was_popped_can_be_pushed_back(lanes: int, item: Push) -> None:
    """The bits-back direction: symbols sampled from whatever is there."""
    stack = wide_stack(lanes)
    before = stack.flatten()
    reference = Reference.of(before.tolist(), lanes)
    freqs, symbols, precision = item
    popped = stack.pop(categorical(item)).tolist()
    assert popped == reference.pop(freqs, precision, len(symbols))
    np.testing.assert_array_equal(stack.flatten(), reference.words())
    push_symbols(stack, categorical(item), popped)
    np.testing.assert_array_equal(stack.flatten(), before)


@settings(max_examples=60)
@given(items=pushes())
def test_a_stack_grows_from_its_bottom_and_goes_back(items: list[Push]) -> None:
    stack, reference = Stack(), Reference([LOWER_BOUND])
    for item in items:
        push_symbols(stack, categorical(item), item[1])
        reference.push(*intervals(item))
    np.testing.assert_array_equal(stack.flatten(), reference.words())
    again = Stack.from_bytes(stack.to_bytes(), 1)
    for item in reversed(items):
        assert again.pop(categorical(item)).tolist() == item[1]
    assert again.bottom == LOWER_BOUND
    assert again.to_bytes() == Stack().to_bytes()


def test_a_stack_has_the_reference_words_while_it_shrinks() -> None:
    stack = grown_stack()
    reference = Reference.of(stack.flatten().tolist(), 1)
    coin = Categorical(np.array([3, 1]), 2, 1)
    while len(reference.tail):
        assert stack.pop(coin).tolist() == reference.pop([3, 1], 2, 1)
        np.testing.assert_array_equal(stack.flatten(), reference.words())


@settings(max_examples=50)
@given(lanes=st.integers(1, 2 * FEW_LANES), data=st.data())
def test_different_distributions_for_each_symbol(lanes: int, data: st.DataObject) -> None:
    """Rows must pair each symbol with its own distribution, in short last rows too."""
    log2_steps = np.array(data.draw(st.lists(st.integers(-8, 4), min_size=1, max_size=40)))
    prior = GridPrior(np.ldexp(1.0, log2_steps))
    symbols = np.array(data.draw(st.lists(st.integers(0, 255), min_size=prior.size, max_size=prior.size)))
    stack = wide_stack(lanes)
    before = stack.flatten()
    push(stack, prior, symbols)
    np.testing.assert_array_equal(stack.pop(prior), symbols)
    np.testing.assert_array_equal(stack.flatten(), before)


@pytest.mark.parametrize("lanes", [1, 2, 7, FEW_LANES + 1, 20])
def test_craystack_gives_the_same_words(lanes: int) -> None:
    rans = pytest.importorskip("craystack.rans", exc_type=ImportError)
    rng = np.random.default_rng(lanes)
    words = words_of(rng.integers(1 << 31, 1 << 63, lanes, np.uint64).tolist(), [1, 2, 3])
    stack, message = Stack.unflatten(words, lanes), rans.unflatten(words, (lanes,))
    np.testing.assert_array_equal(stack.flatten(), rans.flatten(message))
    items = []
    for precision in [1, 8, 16, 24, 31] * 5:
        freqs = np.diff([0, *np.unique(rng.integers(1, 1 << precision, 5)), 1 << precision]).tolist()
        items.append((freqs, rng.integers(0, len(freqs), lanes).tolist(), precision))
    for item in items:
        push_symbols(stack, categorical(item), item[1])
        starts, freqs, precision = intervals(item)
        message = rans.push(message, np.array(starts, np.uint64), np.array(freqs, np.uint64), precision)
        np.testing.assert_array_equal(stack.flatten(), rans.flatten(message))
    message = rans.unflatten(stack.flatten(), (lanes,))
    for item in reversed(items):
        symbols = stack.pop(categorical(item))
        assert symbols.tolist() == item[1]
        starts, freqs, precision = intervals(item)
        _, pop = rans.pop(message, precision)
        message = pop(np.array(starts, np.uint64), np.array(freqs, np.uint64))
        np.testing.assert_array_equal(stack.flatten(), rans.flatten(message))


def test_symbols_cost_what_they_should() -> None:
    stack = wide_stack(5)
    before = stack.bits
    skewed = Categorical(np.array([1, 15]), 4, 16000)
    symbols = (np.arange(16000) % 16 > 0).astype(np.int64)
    push(stack, skewed, symbols)
    expected = 1000 * 4 + 15000 * np.log2(16 / 15)
    assert abs(stack.bits - before - expected) < 5 * 32
    assert stack.bits == 32 * (len(stack.flatten()) - 10) + sum(int(head).bit_length() for head in stack.heads)


def test_certain_symbols_cost_nothing() -> None:
    for stack in (Stack(), grown_stack(), wide_stack(3)):
        before = stack.flatten()
        push_symbols(stack, Categorical(np.array([1 << 24]), 24, 50), [0] * 50)
        push_symbols(stack, Uniform(0, 50), [0] * 50)
        np.testing.assert_array_equal(stack.flatten(), before)
        assert stack.pop(Uniform(0, 50)).tolist() == [0] * 50
        np.testing.assert_array_equal(stack.flatten(), before)


# --- bytes ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(lanes=st.integers(1, 2 * FEW_LANES), data=st.data())
def test_bytes_of_wide_stacks_come_back(lanes: int, data: st.DataObject) -> None:
    words = words_of(data.draw(st.lists(heads(), min_size=lanes, max_size=lanes)), data.draw(tails()))
    stack = Stack.unflatten(words, lanes)
    content_bits = stack.bits
    raw = stack.to_bytes()
    again = Stack.from_bytes(raw, lanes)
    np.testing.assert_array_equal(again.flatten(), words)
    # 5 bits for the size of each head but the first, and the last byte's rest
    assert len(raw) * 8 <= content_bits + 4 * (lanes - 1) + 8


@pytest.mark.parametrize("top", [*EDGES, 0x80000001, 0x1_0000_0001, 0xFF_FFFF_FFFF])
@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("tail", [[], [0], [0, 0, 7], [MASK32] * 3])
def test_bytes_at_the_edges(top: int, lanes: int, tail: list[int]) -> None:
    for place in range(lanes):
        heads = [1 << 40] * lanes
        heads[place] = top
        words = words_of(heads, tail)
        np.testing.assert_array_equal(
            Stack.from_bytes(Stack.unflatten(words, lanes).to_bytes(), lanes).flatten(), words
        )


def test_an_empty_stack_is_its_bottom() -> None:
    assert Stack().to_bytes() == LOWER_BOUND.to_bytes(4, "big")
    assert Stack(MASK32).to_bytes() == b"\xff" * 4
    assert Stack.from_bytes(b"\xff" * 4, 1).bottom == Stack(MASK32).bottom == MASK32


def test_where_something_is_left_there_is_no_bottom() -> None:
    assert grown_stack(1).bottom is None
    assert wide_stack(2, 0).bottom is None
    assert Stack.unflatten(words_of([LOWER_BOUND], [0]), 1).bottom is None
    assert Stack.unflatten(words_of([1 << 32], []), 1).bottom is None


@given(pushes(), st.integers(LOWER_BOUND, MASK32))
def test_the_bottom_is_there_again_in_the_end(items: list[Push], bottom: int) -> None:
    stack = Stack(bottom)
    for item in items:
        distribution = categorical(item)
        stack.push(*distribution.intervals(np.array(item[1], np.int64)), distribution.precision)
    again = Stack.from_bytes(stack.to_bytes(), 1)
    for item in reversed(items):
        assert again.pop(categorical(item)).tolist() == item[1]
    assert again.bottom == bottom


def test_words_are_big_endian_from_the_top() -> None:
    """The bytes of a known stack, part of the format."""
    stack = Stack.unflatten(np.array([0x01020304, 0x05060708, 0x090A0B0C, 0x0D0E0F10], np.uint32), 1)
    assert stack.to_bytes().hex() == "0102030405060708090a0b0c0d0e0f10"
    stack = Stack.unflatten(np.array([0, 0x85060708, 0x090A0B0C], np.uint32), 1)
    assert stack.to_bytes().hex() == "85060708090a0b0c"


def test_heads_of_lanes_are_coded_onto_the_first() -> None:
    """5 bits of size on top, then the digits below the leading one, the high half first."""
    stack = Stack.unflatten(words_of([1 << 31, 0b1_0110 << 30 | 5], [9]), 2)
    first = (1 << 31) << 17 | 5  # the low 17 of 34 digits, then the high 17, then the size, 34 - 31
    words = [9]
    high = 0b0110 << 13
    for value, count in ((high, 17), (34 - 31, 5)):
        if first >= 1 << (63 - count):
            words.insert(0, first & MASK32)
            first >>= 32
        first = first << count | value
    assert stack.to_bytes() == first.to_bytes((first.bit_length() + 7) // 8, "big") + b"".join(
        word.to_bytes(4, "big") for word in words
    )


@given(raw=st.binary(max_size=60), lanes=st.integers(1, 2 * FEW_LANES))
def test_any_bytes_are_a_stack_or_refused(raw: bytes, lanes: int) -> None:
    try:
        stack = Stack.from_bytes(raw, lanes)
    except Underflow:
        return
    assert stack.lanes == lanes
    assert all(1 << 31 <= int(head) < 1 << 63 for head in stack.heads)
    assert stack.to_bytes() == raw


@pytest.mark.parametrize(
    ("raw", "lanes"),
    [
        (b"", 1),
        (b"\1", 1),
        (b"\0\1\2\3\4", 1),
        (b"\x7f\xff\xff\xff", 1),
        (b"\x7f\xff\xff\xff", 2),
        (b"\xff" * 8, 4),
        (b"\0" * 40, 2),
    ],
)
def test_bytes_that_no_stack_has(raw: bytes, lanes: int) -> None:
    with pytest.raises(Underflow):
        Stack.from_bytes(raw, lanes)


# --- lanes ------------------------------------------------------------------------------------------------------


@given(first=st.integers(1, 5), more=st.integers(0, 8))
def test_shrink_is_the_inverse_of_widen(first: int, more: int) -> None:
    stack = wide_stack(first)
    before = stack.flatten()
    stack.widen(first + more)
    assert stack.lanes == first + more
    # each new head is 1 and a word: none of the stack is lost, none invented
    assert [int(head) for head in stack.heads[first:]] == [1 << 32 | int(word) for word in before[2 * first :][:more]]
    np.testing.assert_array_equal(stack.heads[:first], wide_stack(first).heads)
    push_symbols(stack, Uniform(9, 30), range(30))
    stack.pop(Uniform(9, 30))
    stack.shrink(first)
    np.testing.assert_array_equal(stack.flatten(), before)


def test_widen_in_steps_is_widen_at_once_but_for_order() -> None:
    stack = grown_stack()
    before = stack.flatten()
    for lanes in (1, 2, 5, 5, 9):
        stack.widen(lanes)
    for lanes in (5, 5, 2, 1):
        stack.shrink(lanes)
    np.testing.assert_array_equal(stack.flatten(), before)


@pytest.mark.parametrize("head", [(1 << 32) - 1, 1 << 33, 1 << 31, (1 << 63) - 1])
def test_shrink_refuses_lanes_that_are_not_back(head: int) -> None:
    stack = Stack.unflatten(words_of([1 << 40, 1 << 32, head], [1, 2]), 3)
    with pytest.raises(Underflow, match="not back"):
        stack.shrink(1)


# --- nothing is invented ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_wide_stack_popped_dry(lanes: int) -> None:
    stack = wide_stack(lanes, words=3)
    # there are at most 32 bits to a lane above 2^31, and 96 in the tail
    more = [Uniform(16, lanes)] * 9
    with pytest.raises(Underflow, match="empty"):
        [stack.pop(distribution) for distribution in more]


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_wide_stack_popped_dry_within_one_pop(lanes: int) -> None:
    with pytest.raises(Underflow, match="empty"):
        wide_stack(lanes, words=0).pop(Uniform(31, 20 * lanes))


def test_widen_needs_words() -> None:
    wide_stack(2, words=3).widen(5)
    with pytest.raises(Underflow):
        wide_stack(2, words=3).widen(6)


@pytest.mark.parametrize("bits", [1, 8, 31])
def test_nothing_comes_from_below_the_bottom(bits: int) -> None:
    for stack in (Stack(), Stack(MASK32), Stack.from_bytes(Stack().to_bytes(), 1)):
        with pytest.raises(Underflow, match="empty"):
            [stack.pop(Uniform(bits, 1)) for _ in range(2)]


def test_bytes_hold_no_more_symbols_than_they_have_bits_for() -> None:
    """Of the surest symbol of a distribution of 8 bits, whose freq is 2^24 - 255: FORMAT's limit relies on it."""
    sure = Categorical(np.array([(1 << 24) - 255, *[1] * 255]), 24, 1 << 16)
    stack = Stack.from_bytes((LOWER_BOUND << 2).to_bytes(8, "big").lstrip(b"\0"), 1)
    with pytest.raises(Underflow):
        [stack.pop(sure) for _ in range(2)]


def test_a_stack_holds_many_words() -> None:
    stack = Stack()
    symbols = np.arange(5000) * 7919 % 65536
    for _ in range(3):
        push_symbols(stack, Uniform(16, 5000), symbols)
    assert stack.bits > 239_000
    for _ in range(3):
        np.testing.assert_array_equal(stack.pop(Uniform(16, 5000)), symbols)
    assert stack.bottom == LOWER_BOUND
