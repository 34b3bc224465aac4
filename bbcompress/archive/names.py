"""Lists of file names, compactly: runs of counted names cost a few bytes, others what differs from the one before.

Layout: the number of names, then groups of (prefix shared with the name before, length of the rest, the rest as
UTF-8, number of counted successors). A counted successor is the name before with its last number increased by one, at
the same width.
"""

import re

from bbcompress.varint import Malformed, Reader, write_varint

MAX_NAME_BYTES = 4096
_LAST_NUMBER = re.compile(rb"[0-9]+(?=[^0-9]*\Z)")


def pack_names(names: list[str]) -> bytes:
    """The bytes of a list of names; ValueError for a name that `check_name` refuses."""
    out = bytearray(write_varint(len(names)))
    previous = b""
    position = 0
    encoded = [name.encode() for name in names]
    while position < len(encoded):
        name = encoded[position]
        check_name(name)
        prefix = _shared_prefix(previous, name)
        last = name
        run = 0
        while position + run + 1 < len(encoded) and encoded[position + run + 1] == _successor(last):
            run += 1
            last = encoded[position + run]
        rest = name[prefix:]
        out += write_varint(prefix) + write_varint(len(rest)) + rest + write_varint(run)
        position += run + 1
        previous = last
    return bytes(out)


def unpack_names(data: bytes, limit: int) -> list[str]:
    """The names in `data`, at most `limit`. Raises Malformed where they are not names that `pack_names` writes."""
    reader = Reader(data)
    count = reader.varint(limit)
    names: list[str] = []
    name = b""
    while len(names) < count:
        prefix = reader.varint(len(name))
        name = name[:prefix] + reader.take(reader.varint(MAX_NAME_BYTES))
        run = reader.varint(count - len(names) - 1)
        names.append(check_name(name))
        for _ in range(run):
            following = _successor(name)
            if following is None:
                raise Malformed("a name without a number has counted successors")
            name = following
            names.append(name.decode())  # differs from a checked name in digits only
    if reader.remaining:
        raise Malformed("bytes are left after the last name")
    return names


def check_name(name: bytes) -> str:
    """The name as text. Raises Malformed for one that could leave the output folder or confuse a file system."""
    try:
        text = name.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a name is not UTF-8") from error
    folders_and_name = text.split("/")
    wrong = any(part in ("", ".", "..") for part in folders_and_name) or "\\" in text or ":" in text
    if wrong or len(name) > MAX_NAME_BYTES or not text.isprintable():
        raise Malformed(f"{text!r} is not a name for a file in a folder")
    return text


def _successor(name: bytes) -> bytes | None:
    match = _LAST_NUMBER.search(name)
    if match is None:
        return None
    number = match.group()
    following = str(int(number) + 1).encode().rjust(len(number), b"0") if len(number) < 19 else b""
    if len(following) != len(number):
        return None
    return name[: match.start()] + following + name[match.end() :]


def _shared_prefix(a: bytes, b: bytes) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count
