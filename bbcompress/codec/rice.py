"""Small integers as Rice codes: a file's parameters, of which most are near zero.

A list is its own parameter k in 4 bits, then each integer as a number n = 2 v or -2 v - 1: n >> k ones, a zero, and the
low k bits of n. (R. Rice and J. Plaunt, Adaptive variable-length coding, 1971.)
"""

from collections.abc import Sequence

import numpy as np

from bbcompress.varint import Malformed, Truncated

MAX_ONES = 64


class Writer:
    """Collects bits, first bit first."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def bits(self, value: int, count: int) -> None:
        """`count` bits of a number, its high bit first."""
        if count:
            self._parts.append(f"{value:0{count}b}")

    def integers(self, values: Sequence[int]) -> None:
        """A list whose length the reader knows."""
        signed = np.asarray(values, np.int64)
        folded = np.where(signed >= 0, 2 * signed, -2 * signed - 1)
        ones = folded >> np.arange(16)[:, None]
        lengths = ones.sum(1) + np.arange(16) * len(folded)
        lengths[ones.max(1, initial=0) > MAX_ONES] = np.iinfo(np.int64).max
        k = int(lengths.argmin())
        numbers = folded.tolist()
        self.bits(k, 4)
        for number in numbers:
            self._parts.append("1" * (number >> k) + "0")
            self.bits(number & ((1 << k) - 1), k)

    def to_bytes(self) -> bytes:
        """All bits, then zeros up to a whole byte."""
        bits = "".join(self._parts)
        bits += "0" * (-len(bits) % 8)
        return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


class BitReader:
    """Takes what a `Writer` wrote; raises `Malformed` for what none can have written."""

    def __init__(self, data: bytes) -> None:
        self._bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
        self._place = 0

    def bits(self, count: int) -> int:
        end = self._place + count
        if end > len(self._bits):
            raise Truncated("parameters end too early")
        value = int(self._bits[self._place : end] or "0", 2)
        self._place = end
        return value

    def integers(self, count: int) -> list[int]:
        k = self.bits(4)
        values = []
        for _ in range(count):
            zero = self._bits.find("0", self._place, self._place + MAX_ONES + 1)
            if zero < 0:
                raise Malformed("a parameter is out of range")
            number = (zero - self._place) << k
            self._place = zero + 1
            number |= self.bits(k)
            values.append(-(number + 1) // 2 if number & 1 else number // 2)
        return values

    def finish(self) -> None:
        """Check that nothing but zeros up to a whole byte is left."""
        if len(self._bits) - self._place >= 8 or "1" in self._bits[self._place :]:
            raise Malformed("bits after the parameters")
