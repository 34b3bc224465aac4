"""Sections 4.3, 4.6, 4.7: names, metadata, attributes."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from second_decoder.reading import Reader, require
from second_decoder.stored import maybe_lzma


def names(body: bytes) -> list[bytes]:
    """4.3."""
    reader = Reader(body)
    count = reader.varint(0, 1 << 22)
    found: list[bytes] = []
    last = b""
    while len(found) < count:
        prefix = reader.varint(0, len(last))
        last = last[:prefix] + reader.take(reader.varint(0, 1 << 16))
        found.append(last)
        for _ in range(reader.varint(0, count - len(found))):
            last = successor(last)
            found.append(last)
    require(not reader.left, "more after the names")
    for name in found:
        check_name(name)
    return found


def successor(name: bytes) -> bytes:
    digits = re.findall(rb"[0-9]+", name)
    require(bool(digits) and len(digits[-1]) <= 18 and digits[-1].strip(b"9") != b"", "a name without a successor")
    head, tail = name.rsplit(digits[-1], 1)
    return head + str(int(digits[-1]) + 1).encode().rjust(len(digits[-1]), b"0") + tail


def check_name(name: bytes) -> None:
    require(len(name) <= 1 << 16 and b"\0" not in name, "a name that no file has")
    require(not {b"", b".", b".."} & set(name.split(b"/")), "a name that leaves its folder")


def metadata(body: bytes, pictures: int) -> dict[int, tuple[int, bytes]]:
    """4.6: format and body by number."""
    reader = Reader(maybe_lzma(Reader(body), 1 << 28))
    found: dict[int, tuple[int, bytes]] = {}
    number = 0
    while reader.left:
        number += reader.varint(1 if found else 0, pictures)
        one = Reader(reader.take(reader.varint(1, 1 << 24)))
        require(number < pictures, "metadata of no picture")
        found[number] = one.byte(), one.rest()
        require(found[number][0] <= 5, "metadata of an unknown format")
    return found


class Attributes(NamedTuple):
    mode: int | None
    time_ns: int | None


def attributes(body: bytes, files: list[bytes]) -> tuple[list[Attributes], dict[bytes, Attributes]]:
    """4.7: of the files, and of folders by name, that which all are in by an empty one."""
    reader = Reader(maybe_lzma(Reader(body), 1 << 27))
    lone = names(reader.take(reader.varint(0, 1 << 27)))
    require(reader.varint(0, 1 << 23) == len(files), "attributes of other files")
    folders = _folders(files, lone)
    modes: list[int] = []
    while len(modes) < len(files) + len(folders):
        run = reader.varint(1, len(files) + len(folders) - len(modes))
        modes += [reader.varint(0, 512)] * run
    digits, last = reader.varint(0, 10), 0
    entries = []
    for mode in modes:
        time = None
        if mode != 512 and digits != 10:
            step = reader.varint(0, 1 << 65)
            last += -(step + 1 >> 1) if step & 1 else step >> 1
            time = last * 10**digits
        entries.append(Attributes(None if mode == 512 else mode, time))
    require(not reader.left, "more after the times")
    return entries[: len(files)], dict(zip(folders, entries[len(files) :], strict=True))


def _folders(files: Iterable[bytes], lone: Iterable[bytes]) -> list[bytes]:
    found = [b""]
    for name in [*files, *(folder + b"/" for folder in lone)]:
        parts = name.split(b"/")[:-1]
        for count in range(1, len(parts) + 1):
            folder = b"/".join(parts[:count])
            if folder not in found:
                found.append(folder)
    return found
