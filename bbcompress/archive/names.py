"""Lists of file names, compactly: runs of counted names cost a few bytes, others what differs from the one before.

Layout: the number of names, then groups of (prefix shared with the name before, length of the rest, the rest, number
of counted successors). A counted successor is the name before with its last number increased by one, at the same width.

A name is whatever a file system has, in bytes: UTF-8, but not for certain. As text what is not UTF-8 are lone
surrogates, as `os.fsdecode` makes them.
"""

from bbcompress.varint import Malformed, Reader, write_varint

MAX_NAME_BYTES = 1 << 16
MAX_TOTAL_BYTES = 1 << 27
"""All names of an archive together."""
_DIGITS = b"0123456789"
_NO_DIGITS = bytes(set(range(256)) - set(_DIGITS))


def pack_names(names: list[str]) -> bytes:
    """The bytes of a list of names; ValueError for a name that `check_name` refuses."""
    out = bytearray(write_varint(len(names)))
    previous = b""
    position = 0
    encoded = [name_bytes(name) for name in names]
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
    total = 0
    while len(names) < count:
        prefix = reader.varint(len(name))
        name = name[:prefix] + reader.take(reader.varint(MAX_NAME_BYTES))
        run = reader.varint(count - len(names) - 1)
        names.append(check_name(name))
        total += len(name)
        if total + run * len(name) > MAX_TOTAL_BYTES:
            raise Malformed(f"the names take more than {MAX_TOTAL_BYTES} bytes")
        for _ in range(run):
            following = _successor(name)
            if following is None:
                raise Malformed("a name without a number has counted successors")
            name = following
            names.append(_text(name))  # differs from a checked name in digits only
        total += run * len(name)
    if reader.remaining:
        raise Malformed("bytes are left after the last name")
    return names


def check_name(name: bytes) -> str:
    """The name as text. Raises Malformed for one that could leave the output folder, or be of no file."""
    text = _text(name)
    if len(name) > MAX_NAME_BYTES or b"\0" in name or any(part in (b"", b".", b"..") for part in name.split(b"/")):
        raise Malformed(f"{text[:100]!r} is not a name for a file in a folder")
    return text


def name_bytes(name: str) -> bytes:
    """The bytes of a name. Raises UnicodeEncodeError where it is none that `os.fsdecode` gives."""
    return name.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _successor(name: bytes) -> bytes | None:
    up_to_number = name.rstrip(_NO_DIGITS)
    before = up_to_number.rstrip(_DIGITS)
    number = up_to_number[len(before) :]
    if not 0 < len(number) < 19:
        return None
    following = str(int(number) + 1).encode().rjust(len(number), b"0")
    if len(following) != len(number):
        return None
    return before + following + name[len(up_to_number) :]


def _shared_prefix(a: bytes, b: bytes) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count
