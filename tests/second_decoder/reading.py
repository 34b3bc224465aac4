"""Section 1: bytes, varints, checks."""

import hashlib
import zlib


class Damaged(ValueError):
    """The bytes break a rule of the format."""


def require(condition: bool, what: str) -> None:
    if not condition:
        raise Damaged(what)


class Reader:
    """Fields from the start of some bytes."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        require(count <= self.left, "cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        return self.take(self.left)

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self, low: int, high: int) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            require(value <= high, "a number above its limit")
            if byte < 128:
                require(byte > 0 or shift == 7, "a number longer than needed")
                require(value >= low, "a number below its limit")
                return value


def crc(data: bytes, count: int = 4) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")[:count]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
