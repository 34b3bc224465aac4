"""Section 8: the stack."""

from collections.abc import Callable, Sequence

from second_decoder.reading import Damaged, require

LOWEST = 1 << 31
#: Of a position in [0, 2^p): the symbol, its start and freq.
Find = Callable[[int], tuple[int, int, int]]


class Stack:
    def __init__(self, data: bytes, lanes: int):
        """8.5."""
        require(len(data) > 0 and data[0] != 0, "a stack that begins with zero")
        first = (len(data) - 1) % 4 + 1
        self.heads = [int.from_bytes(data[:first], "big")]
        words = [int.from_bytes(data[place : place + 4], "big") for place in range(first, len(data), 4)]
        self.tail = words[::-1]
        if self.heads[0] < LOWEST:
            self.heads[0] = self.heads[0] << 32 | self._word()
        for _ in range(1, lanes):
            d = 31 + self._pop_bits(5)
            low_bits = d // 2
            high = self._pop_bits(d - low_bits)
            self.heads.append((1 << d) + (high << low_bits) + self._pop_bits(low_bits))

    def _word(self) -> int:
        if not self.tail:
            raise Damaged("the stack has run out")
        return self.tail.pop()

    def _pop_bits(self, bits: int) -> int:
        return self._pop_one(0, bits, lambda position: (position, position, 1))

    def _pop_one(self, lane: int, bits: int, find: Find) -> int:
        head = self.heads[lane]
        position = head & (1 << bits) - 1
        symbol, start, freq = find(position)
        head = freq * (head >> bits) + position - start
        self.heads[lane] = head if head >= LOWEST else head << 32 | self._word()
        return symbol

    def pop(self, bits: int, finds: Sequence[Find]) -> list[int]:
        """8.3."""
        return [self._pop_one(i % len(self.heads), bits, find) for i, find in enumerate(finds)]

    def push(self, bits: int, intervals: Sequence[tuple[int, int]]) -> None:
        """Symbols of these starts and freqs."""
        for i in range(len(intervals) - 1, -1, -1):
            (start, freq), lane = intervals[i], i % len(self.heads)
            head = self.heads[lane]
            if head >= freq << 63 - bits:
                self.tail.append(head & 0xFFFFFFFF)
                head >>= 32
            self.heads[lane] = (head // freq << bits) + head % freq + start

    def shrink(self, lanes: int) -> None:
        """8.4."""
        while len(self.heads) > lanes:
            head = self.heads.pop()
            require(head >> 32 == 1, "a stack that does not shrink")
            self.tail.append(head & 0xFFFFFFFF)
