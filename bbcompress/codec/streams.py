"""Many symbols on one stack, on ever more lanes: what lies between distributions and bytes.

A stream begins, on the encoder's side, with one lane on an empty stack, so that few symbols take few bytes, and widens as
soon as what was pushed can fill more lanes, so that many symbols take little time.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bbcompress.codec.chain import DamagedChain
from bbcompress.coding.rans import Counts, Distribution, Stack, Symbols, Underflow

SYMBOLS_PER_LANE = 1 << 11
"""A lane costs some 5 bits, and saves time."""
MAX_LANES = 1 << 12
GROWTH = 4
ROWS = 64
"""Rows of lanes between which a stack may widen."""


class Block(NamedTuple):
    """Symbols of one part that are pushed at once."""

    part: int
    start: int
    stop: int
    lanes: int


def most_lanes(symbols: int) -> int:
    """Lanes that a stream of so many symbols ends up with, if it can."""
    lanes = 1
    while 2 * lanes <= min(MAX_LANES, symbols // SYMBOLS_PER_LANE):
        lanes *= 2
    return lanes


class Schedule:
    """Which symbols are pushed on how many lanes: blocks in the encoder's order, last part first."""

    def __init__(self, sizes: Sequence[int]):
        self._sizes = sizes
        self._most = most_lanes(sum(sizes))
        self._part, self._left = len(sizes), 0
        self.lanes = 1

    def next(self, widen: bool) -> Block | None:
        """The next block, after widening if that is wanted; None after the last."""
        while self._left == 0:
            self._part -= 1
            if self._part < 0:
                return None
            self._left = self._sizes[self._part]
        if widen:
            self.lanes = min(self._most, GROWTH * self.lanes)
        size = self._left if self.lanes == self._most else min(self._left, ROWS * self.lanes)
        self._left -= size
        return Block(self._part, self._left, self._left + size, self.lanes)

    @property
    def wider(self) -> int:
        """Lanes after widening once more."""
        return min(self._most, GROWTH * self.lanes)


class Encoded(NamedTuple):
    """A stream's bytes, and after how many blocks it widened each time."""

    data: bytes
    widenings: list[int]


def encode(parts: Sequence[tuple[Counts, Counts]], precision: int) -> Encoded:
    """Push all intervals (starts, freqs); popping gives the first part first."""
    stack = Stack()
    schedule = Schedule([len(starts) for starts, _ in parts])
    widenings: list[int] = []
    number = 0
    while True:
        widen = schedule.wider > schedule.lanes and stack.bits >= 64 * schedule.wider
        block = schedule.next(widen)
        if block is None:
            return Encoded(stack.to_bytes(), widenings)
        if widen:
            widenings.append(number)
            stack.widen(block.lanes)
        starts, freqs = parts[block.part]
        stack.push(starts[block.start : block.stop], freqs[block.start : block.stop], precision)
        number += 1


class Decoder:
    """Pops a stream's parts, first to last, whose sizes are known beforehand.

    Raises DamagedChain (a ValueError) where the bytes cannot be those of such a stream.
    """

    def __init__(self, data: bytes, widenings: Sequence[int], sizes: Sequence[int]):
        schedule = Schedule(sizes)
        self._blocks: list[Block] = []
        while True:
            block = schedule.next(len(self._blocks) in widenings)
            if block is None:
                break
            self._blocks.append(block)
        lanes = self._blocks[-1].lanes if self._blocks else 1
        try:
            self._stack = Stack.from_bytes(data, lanes)
        except Underflow as error:
            raise DamagedChain(str(error)) from error

    def pop(self, distribution: Distribution) -> Symbols:
        """The next part's symbols."""
        raise NotImplementedError
