"""Unsigned LEB128 integers, and a reader that never runs past the end of its bytes.

Each byte carries seven bits, least significant first; the high bit says that another byte
follows. Only the shortest form of a number is accepted, so that equal values have equal
bytes and a checksum or a comparison of files means what it seems to.
"""

from __future__ import annotations


class Malformed(ValueError):
    """The bytes do not follow their format."""


class Truncated(Malformed):
    """The bytes end before what they announce."""


def write_varint(value: int) -> bytes:
    """The LEB128 form of ``value`` >= 0.

    >>> write_varint(300)
    b'\\xac\\x02'
    >>> Reader(write_varint(300)).varint(limit=1000)
    300
    """
    if value < 0:
        raise ValueError(f"a varint cannot hold the negative number {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varints(data: bytes, max_bits: int) -> list[int]:
    """All the varints that ``data`` is made of, each below ``2 ** max_bits``; faster than one by one.

    Raises :class:`Malformed` as :class:`Reader` does.

    >>> read_varints(b"\\xac\\x02\\x07", max_bits=35)
    [300, 7]
    """
    found: list[int] = []
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if (byte == 0 and shift > 0) or value >> max_bits:
                raise Malformed("a number is above its limit, or not in its shortest form")
            found.append(value)
            value = shift = 0
        else:
            shift += 7
            if shift >= max_bits:
                raise Malformed("a number is above its limit")
    if shift:
        raise Truncated("the bytes end within a number")
    return found


class Reader:
    """Takes fields off the front of ``data``; every method raises :class:`Truncated` at its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def remaining(self) -> int:
        """The number of bytes not yet taken."""
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        """The next ``count`` >= 0 bytes."""
        if count < 0:
            raise ValueError("a negative number of bytes")
        if count > self.remaining:
            raise Truncated(f"{count} bytes expected, {self.remaining} left")
        start = self._position
        self._position += count
        return self._data[start : self._position]

    def rest(self) -> bytes:
        """All bytes not yet taken."""
        return self.take(self.remaining)

    def byte(self) -> int:
        """The next byte as an integer."""
        return self.take(1)[0]

    def varint(self, limit: int) -> int:
        """The next varint; :class:`Malformed` above ``limit`` or where a shorter form exists."""
        value = 0
        # No bit at or above limit.bit_length() may be set, so the loop ends however long the input is.
        for shift in range(0, max(limit.bit_length(), 1), 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift > 0:
                    raise Malformed("a number is not in its shortest form")
                if value > limit:
                    break
                return value
        raise Malformed(f"a number is above its limit of {limit}")
