"""A vectorised rANS stack: last in, first out.

Semantics, function names and words are craystack's (https://github.com/j-towns/craystack, after Duda,
https://arxiv.org/abs/1311.2540, and Giesen, https://arxiv.org/abs/1402.3392): uint64 heads, one for each lane, in
[2^31, 2^63), and 32-bit words on one tail that all lanes share. Popping what was never pushed is an error
(`Underflow`), where craystack invents random words. So every symbol that is popped was paid for, and bytes can hold no
more of them than their bits: of the surest symbol there is, of freq 2^24 - 255, some 45,000 a bit.

>>> import numpy as np
>>> from bbcompress.coding.distributions import Categorical
>>> stack = Stack()
>>> symbols = np.array([2, 0, 1, 1])
>>> coin = Categorical(np.array([8, 4, 4]), precision=4, size=4)
>>> stack.push(*coin.intervals(symbols), coin.precision)
>>> data = stack.to_bytes()
>>> Stack.from_bytes(data, lanes=1).pop(coin).tolist()
[2, 0, 1, 1]
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Counts = NDArray[np.uint64]
Symbols = NDArray[np.int64]
Locator = Callable[[int], tuple[int, int, int]]
"""From a position to the symbol whose interval holds it, its start and its freq."""

FEW_LANES = 8
"""Up to so many, symbols are coded one by one."""
LOWER_BOUND = 1 << 31
_LOWER = np.uint64(LOWER_BOUND)
_WORD_BITS = np.uint64(32)


class Underflow(ValueError):
    """More was popped than had been pushed."""


class Distribution(Protocol):
    """Independent symbols, each with integer intervals [start, start + freq) that tile [0, 2^precision)."""

    precision: int

    @property
    def size(self) -> int:
        """How many symbols."""
        ...

    def intervals(self, symbols: Symbols) -> tuple[Counts, Counts]:
        """Starts and freqs (size,) uint64 of symbols (size,)."""
        ...

    def locate(self, where: slice, positions: Counts) -> tuple[Symbols, Counts, Counts]:
        """Symbols `where` whose intervals hold `positions`, with their starts and freqs."""
        ...

    def locators(self, where: slice) -> Iterator[Locator]:
        """`locate` of one symbol after the other in Python integers, for stacks of few lanes."""
        ...


class Divisible(Distribution, Protocol):
    """A distribution whose symbols may be popped part by part."""

    def part(self, where: slice) -> Self:
        """Of some of the symbols."""
        ...

    def joined(self, other: Self) -> Self:
        """Of these symbols, then the others."""
        ...


class Stack:
    """An ANS stack. A new one has one lane, or as many as asked for, whose heads start with `bottom`, in [2^31, 2^32):
    it is there again when all that was pushed is popped.
    """

    def __init__(self, bottom: int = LOWER_BOUND, lanes: int = 1) -> None:
        self.heads: Counts = np.full(lanes, bottom, np.uint64)
        self._tail: Words = np.empty(1024, np.uint32)  # the top of the stack is at the end
        self._words = 0

    @property
    def lanes(self) -> int:
        return len(self.heads)

    @property
    def words(self) -> int:
        """Of the tail, besides the heads."""
        return self._words

    @property
    def bits(self) -> int:
        """Size of the content in bits, rounded up for each lane."""
        return 32 * self._words + sum(int(head).bit_length() for head in self.heads)

    @property
    def bottom(self) -> int | None:
        """What the stack was made with, if all that was pushed is popped; None where there are words left, or lanes."""
        alone = self.lanes == 1 and self._words == 0 and int(self.heads[0]) < 1 << 32
        return int(self.heads[0]) if alone else None

    def push(self, starts: Counts, freqs: Counts, precision: int) -> None:
        """Push symbols given by intervals (n,) uint64, freqs >= 1. Lane i takes symbols i, i + lanes, ...

        The last row of symbols goes first, so that popping gives the symbols in their order.
        """
        if self.lanes <= FEW_LANES:
            self._push_one_by_one(starts, freqs, precision)
            return
        shift = np.uint64(precision)
        # heads stay below 2^63, so a limit of 2^63 (freq 2^precision) means that nothing moves
        limits = freqs << np.uint64(63 - precision)
        lanes = self.lanes
        for row in range((len(starts) - 1) // lanes * lanes, -1, -lanes):
            end = row + lanes
            start, freq = starts[row:end], freqs[row:end]
            heads = self.heads[: len(start)]
            full = heads >= limits[row:end]
            if np.count_nonzero(full):
                self._extend(heads[full].astype(np.uint32)[::-1])
                heads[full] >>= _WORD_BITS
            quotient = heads // freq
            # (head // freq << precision) + head % freq + start, in place
            heads -= quotient * freq
            quotient <<= shift
            heads += quotient
            heads += start

    def pop(self, distribution: Distribution) -> Symbols:
        """Pop `distribution.size` symbols. Raises Underflow when the stack runs out of words."""
        if self.lanes <= FEW_LANES:
            return self._pop_one_by_one(distribution)
        lanes, size = self.lanes, distribution.size
        shift = np.uint64(distribution.precision)
        mask = np.uint64((1 << distribution.precision) - 1)
        symbols = np.empty(size, np.int64)
        for row in range(0, size, lanes):
            where = slice(row, min(row + lanes, size))
            heads = self.heads[: where.stop - row]
            positions = heads & mask
            symbols[where], start, freq = distribution.locate(where, positions)
            heads >>= shift
            heads *= freq
            heads += positions
            heads -= start
            low = heads < _LOWER
            wanted = int(np.count_nonzero(low))
            if wanted:
                heads[low] = (heads[low] << _WORD_BITS) | self._take(wanted)[::-1]
        return symbols

    def pop_parts(self, parts: Iterable[Divisible]) -> Iterator[Symbols]:
        """Pop the symbols of all parts, as if they were joined; gives each part's as soon as whole rows of lanes hold
        them, before further parts are asked for."""
        sizes: deque[int] = deque()
        popped = np.empty(0, np.int64)
        left: Divisible | None = None
        for part in parts:
            sizes.append(part.size)
            held = part if left is None else left.joined(part)
            whole = held.size // self.lanes * self.lanes
            popped = np.concatenate([popped, self.pop(held.part(slice(whole)))])
            left = held.part(slice(whole, None))
            while sizes and len(popped) >= sizes[0]:
                size = sizes.popleft()
                yield popped[:size]
                popped = popped[size:]
        if left is not None:
            popped = np.concatenate([popped, self.pop(left)])
        for size in sizes:
            yield popped[:size]
            popped = popped[size:]

    def _push_one_by_one(self, starts: Counts, freqs: Counts, precision: int) -> None:
        """`push` in Python integers, several times faster than numpy on arrays of a few."""
        heads, lanes = self.heads.tolist(), self.lanes
        words = []
        lane = len(starts) % lanes
        for start, freq in zip(starts[::-1].tolist(), freqs[::-1].tolist(), strict=True):
            lane = (lane or lanes) - 1
            head = heads[lane]
            if head >= freq << (63 - precision):
                words.append(head & 0xFFFFFFFF)
                head >>= 32
            quotient, rest = divmod(head, freq)
            heads[lane] = (quotient << precision) + rest + start
        self._extend(np.array(words, np.uint32))
        self.heads[:] = heads

    def _pop_one_by_one(self, distribution: Distribution) -> Symbols:
        """`pop` with the heads as Python integers."""
        precision = distribution.precision
        mask = (1 << precision) - 1
        symbols = []
        heads = self.heads.tolist()
        for lane, locate in zip(cycle(range(self.lanes)), distribution.locators(slice(0, distribution.size))):
            head = heads[lane]
            position = head & mask
            symbol, start, freq = locate(position)
            symbols.append(symbol)
            head = freq * (head >> precision) + position - start
            if head < LOWER_BOUND:
                head = head << 32 | int(self._take(1)[0])
            heads[lane] = head
        self.heads[:] = heads
        return np.array(symbols, np.int64)

    def widen(self, lanes: int) -> None:
        """Grow to `lanes` lanes; each new head takes a word of the tail. Raises Underflow when too few are there."""
        words = self._take(lanes - self.lanes)[::-1]
        self.heads = np.concatenate([self.heads, words.astype(np.uint64) | (np.uint64(1) << _WORD_BITS)])

    def shrink(self, lanes: int) -> None:
        """The inverse of `widen`. Raises Underflow where the heads are not as `widen` made them."""
        extra = self.heads[lanes:]
        if (extra >> _WORD_BITS != 1).any():
            raise Underflow("a lane is not back where it started")
        self._extend(extra.astype(np.uint32)[::-1])
        self.heads = self.heads[:lanes].copy()

    def flatten(self) -> Words:
        """All words, as craystack's `flatten`: high and low halves of the heads, then the tail from its top."""
        high = (self.heads >> _WORD_BITS).astype(np.uint32)
        return np.concatenate([high, self.heads.astype(np.uint32), self._tail[: self._words][::-1]])

    @classmethod
    def unflatten(cls, words: Words, lanes: int) -> "Stack":
        """The inverse of `flatten`."""
        stack = cls()
        stack.heads = words[:lanes].astype(np.uint64) << _WORD_BITS | words[lanes : 2 * lanes]
        stack._extend(words[2 * lanes :][::-1])
        return stack

    def to_bytes(self) -> bytes:
        """The content in as few bytes as hold it; the stack is used up.

        The heads of all lanes but the first are coded onto the first: 5 bits for the magnitude, then the digits
        below the leading one. The rest is one number, written big-endian without leading zeros.
        """
        heads = [int(head) for head in self.heads]
        self.heads = self.heads[:1].copy()
        for head in reversed(heads[1:]):
            digits = head.bit_length() - 1
            low = digits // 2
            self._push_bits(head & ((1 << low) - 1), low)
            self._push_bits((head >> low) & ((1 << (digits - low)) - 1), digits - low)
            self._push_bits(digits - 31, 5)
        top = int(self.heads[0])
        if top >= 1 << 32:
            self._extend(np.array([top & 0xFFFFFFFF], np.uint32))
            top >>= 32
        return (
            top.to_bytes((top.bit_length() + 7) // 8, "big") + self._tail[: self._words][::-1].astype(">u4").tobytes()
        )

    @classmethod
    def from_bytes(cls, data: bytes, lanes: int) -> "Stack":
        """The inverse of `to_bytes`. Raises Underflow for bytes that it cannot have written."""
        stack = cls()
        if not data or data[0] == 0:
            raise Underflow("the stack's bytes are none, or start with a zero")
        split = (len(data) - 1) % 4 + 1
        top = int.from_bytes(data[:split], "big")
        stack._extend(np.frombuffer(data, ">u4", offset=split)[::-1].astype(np.uint32))
        if top < LOWER_BOUND:
            top = top << 32 | int(stack._take(1)[0])
        stack.heads = np.array([top], np.uint64)
        heads = []
        for _ in range(lanes - 1):
            digits = stack._pop_bits(5) + 31
            low = digits // 2
            high = stack._pop_bits(digits - low)
            heads.append(1 << digits | high << low | stack._pop_bits(low))
        stack.heads = np.concatenate([stack.heads, np.array(heads, np.uint64)])
        return stack

    def _push_bits(self, value: int, count: int) -> None:
        self.push(np.array([value], np.uint64), np.ones(1, np.uint64), count)

    def _pop_bits(self, count: int) -> int:
        head = int(self.heads[0])
        value = head & ((1 << count) - 1)
        head >>= count
        if head < LOWER_BOUND:
            head = head << 32 | int(self._take(1)[0])
        self.heads[0] = head
        return value

    def _extend(self, words: Words) -> None:
        end = self._words + len(words)
        if end > len(self._tail):
            self._tail = np.concatenate([self._tail[: self._words], np.empty(2 * end, np.uint32)])
        self._tail[self._words : end] = words
        self._words = end

    def _take(self, count: int) -> Words:
        if count > self._words:
            raise Underflow("the stack is empty")
        self._words -= count
        return self._tail[self._words : self._words + count]
