"""Section 18.6: streams of ever more lanes."""

from collections.abc import Sequence
from typing import NamedTuple

from second_decoder.rans import LOWEST, Find, Stack
from second_decoder.reading import Reader, require

FULL = 1 << 22


class Block(NamedTuple):
    size: int
    lanes: int


class Stream:
    """Of parts of so many symbols each."""

    def __init__(self, data: bytes, parts: Sequence[int]):
        n = sum(parts)
        most = 1
        while (1 << 11) * 2 * most <= n and most < 1 << 12:
            most *= 2
        reader = Reader(data)
        self.all_at_once = reader.byte()
        require(self.all_at_once <= 1, "a stream of an unknown kind")
        widenings = [reader.varint(0, n) for _ in range(reader.varint(0, 12))]
        lanes, before = most if self.all_at_once else 1, 0
        self.blocks: list[list[Block]] = []  # of each part
        for size in reversed(parts):
            blocks = []
            while size:
                while widenings and widenings[0] == before:
                    lanes = min(2 * lanes, most)
                    del widenings[0]
                part = size if lanes == most else min(size, 16 * lanes)
                blocks.append(Block(part, lanes))
                size, before = size - part, before + 1
            self.blocks.append(blocks)
        require(not widenings, "a stream that is wider than it can be")
        self.stack = Stack(reader.rest(), lanes)

    def pop(self, finds: Sequence[Find]) -> list[int]:
        """The symbols of the next part."""
        found: list[int] = []
        for size, lanes in reversed(self.blocks.pop()):
            self.stack.shrink(lanes)
            found += self.stack.pop(24, finds[len(found) : len(found) + size])
        return found

    def end(self) -> None:
        require(not self.blocks and not self.stack.tail, "a stream that does not end as it began")
        if not self.all_at_once:
            self.stack.shrink(1)
        require(all(head == LOWEST for head in self.stack.heads), "a stream that does not end as it began")


class Streams:
    """All of a batch, of parts of so many symbols each."""

    def __init__(self, reader: Reader, parts: Sequence[int]):
        self.streams: list[Stream] = []
        group: list[int] = []
        for number, size in enumerate(parts):
            group.append(size)
            if sum(group) >= FULL or number == len(parts) - 1:
                self.streams.append(Stream(reader.take(reader.varint(0, reader.left)), group))
                group = []
        require(not reader.left, "more after the streams")

    def pop(self, finds: Sequence[Find]) -> list[int]:
        if not self.streams[0].blocks:
            self.streams.pop(0).end()
        return self.streams[0].pop(finds)

    def end(self) -> None:
        self.streams.pop(0).end()
        require(not self.streams, "streams that are not read")
