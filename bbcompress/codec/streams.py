"""Many symbols on one stack, on ever more lanes: what lies between distributions and bytes.

A stream begins, on the encoder's side, with one lane, so that few symbols take few bytes, and widens as soon as what
was pushed can fill more lanes, so that many symbols take little time. Where symbols are so sure that this would take
long it has all its lanes from the start, for four bytes each.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bbcompress.codec.chain import DamagedChain
from bbcompress.coding.rans import LOWER_BOUND, Divisible, Stack, Symbols, Underflow, Words
from bbcompress.varint import Reader, write_varint

SYMBOLS_PER_LANE = 1 << 11
"""A lane costs some 5 bits, and saves time."""
MAX_LANES = 1 << 12
GROWTH = 2
"""Lanes grow so many times at once."""
ROWS = 16
"""Rows of lanes between which a stack may widen."""
MAX_WIDENINGS = 12


class Block(NamedTuple):
    """Symbols of one part that are pushed at once."""

    part: int
    start: int
    stop: int
    lanes: int


class _Schedule:
    """Which symbols are pushed on how many lanes: blocks in the encoder's order, the last part's last symbols first."""

    def __init__(self, sizes: Sequence[int], lanes: int | None):
        self._sizes = sizes
        total = sum(sizes)
        self.most = 1
        while 2 * self.most <= min(MAX_LANES, total // SYMBOLS_PER_LANE):
            self.most *= 2
        self.lanes = lanes or self.most
        self.patience = total // 16 + ROWS * GROWTH**MAX_WIDENINGS
        """Symbols by which all lanes must be there."""
        self._part, self._left = len(sizes), 0
        self.symbols = total
        """That are in no block yet."""

    @property
    def wider(self) -> int:
        """Lanes after widening once."""
        return min(self.most, GROWTH * self.lanes)

    def next(self) -> Block | None:
        """The next block; None after the last."""
        while self._left == 0:
            self._part -= 1
            if self._part < 0:
                return None
            self._left = self._sizes[self._part]
        size = self._left
        if self.lanes < self.most:
            size = min(size, ROWS * self.lanes)
            self.patience -= size
        self._left -= size
        self.symbols -= size
        return Block(self._part, self._left, self._left + size, self.lanes)


def encode(parts: Sequence[tuple[Words, Words]], precision: int) -> bytes:
    """A stream of all parts' intervals (starts, freqs); popping gives the first part first."""
    data = _pushed(parts, precision, lanes=1)
    if data is None:
        data = _pushed(parts, precision, lanes=None)
    assert data is not None
    return data


def _pushed(parts: Sequence[tuple[Words, Words]], precision: int, lanes: int | None) -> bytes | None:
    """The stream, or None where it does not widen in time."""
    schedule = _Schedule([len(starts) for starts, _ in parts], lanes)
    stack = Stack(lanes=schedule.lanes)
    head = bytes([lanes is None])
    widenings = []
    blocks = 0
    while True:
        if schedule.symbols and schedule.lanes < schedule.most and stack.words >= schedule.wider:
            schedule.lanes = schedule.wider
            stack.widen(schedule.lanes)
            widenings.append(blocks)
        if schedule.patience < 0:
            return None
        block = schedule.next()
        if block is None:
            break
        starts, freqs = (part[block.start : block.stop].astype(np.uint64) for part in parts[block.part])
        stack.push(starts, freqs, precision)
        blocks += 1
    head += write_varint(len(widenings)) + b"".join(write_varint(number) for number in widenings)
    return head + stack.to_bytes()


class Decoder:
    """Pops a stream's parts, first to last, whose sizes are known beforehand.

    Raises DamagedChain, or Malformed, both ValueErrors, where the bytes cannot be those of such a stream.
    """

    def __init__(self, data: bytes, sizes: Sequence[int]):
        reader = Reader(data)
        self._wide = bool(reader.byte())
        widenings = [reader.varint(1 << 32) for _ in range(reader.varint(MAX_WIDENINGS))]
        schedule = _Schedule(sizes, None if self._wide else 1)
        self._blocks: list[Block] = []
        while True:
            if len(self._blocks) in widenings:
                schedule.lanes = schedule.wider
            block = schedule.next()
            if block is None:
                break
            if schedule.patience < 0:
                raise DamagedChain("a stream that widens too late")
            self._blocks.append(block)
        self._lanes = self._blocks[-1].lanes if self._blocks else 1
        try:
            self._stack = Stack.from_bytes(reader.rest(), self._lanes)
        except Underflow as error:
            raise DamagedChain(str(error)) from error
        self._sizes = sizes
        self._part = 0

    def pop(self, distribution: Divisible) -> Symbols:
        """The next part's symbols."""
        symbols = np.empty(distribution.size, np.int64)
        while self._blocks and self._blocks[-1].part == self._part:
            block = self._blocks.pop()
            try:
                self._shrink(block.lanes)
                symbols[block.start : block.stop] = self._stack.pop(distribution.part(slice(block.start, block.stop)))
            except Underflow as error:
                raise DamagedChain(str(error)) from error
        self._part += 1
        return symbols

    def finish(self) -> None:
        """Check that all parts are popped and nothing else was pushed."""
        try:
            if not self._wide:
                self._shrink(1)
        except Underflow as error:
            raise DamagedChain(str(error)) from error
        if self._blocks or self._stack.words or (self._stack.heads != LOWER_BOUND).any():
            raise DamagedChain("something is left of a stream")

    def _shrink(self, lanes: int) -> None:
        if lanes < self._stack.lanes:
            self._stack.shrink(lanes)
