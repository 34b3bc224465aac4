"""CIFAR-10 and CIFAR-100 batches of 32 x 32 colour pictures: the "binary version" and the "Python version".

A binary batch is rows of label bytes and 3072 pixels. A Python batch is a pickle, made by Python 2, of a
dict whose "data" is a numpy array (N, 3072). Unpickling can run anything, so it is not done: the opcodes
are interpreted here into plain containers, and the calls that rebuild the array are recognised, not made.

Source: A. Krizhevsky, "The CIFAR-10 dataset", https://www.cs.toronto.edu/~kriz/cifar.html, "Dataset layout".
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from bbcompress.images.arrays.spans import Span
from bbcompress.images.errors import NotWhole
from bbcompress.images.header import Header

PICTURE_BYTES = 3 * 32 * 32
LABEL_LIMITS = ((10,), (20, 100))
"""Labels before each row of a binary batch, as the number of classes: CIFAR-10, CIFAR-100 (coarse, fine)."""
PICKLE = b"\x80\x02"
"""How pickles of Python 2 begin."""
MAX_PICKLE_BYTES = 1 << 28
"""Some of CIFAR-100 have 150 MB; all of it is read."""
_HEADER = Header("RGB", 32, 32)

_MAX_OPCODES = 1_000_000
"""Five times those of the largest official batch. An opcode of one byte makes an object of up to 64."""

_NAMES = (
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",  # numpy 2
    "numpy ndarray",
    "numpy dtype",
    "_codecs encode",  # Python 3 writes bytes as a call of this
)


class Refused(ValueError):
    """A pickle is none of CIFAR, for the reason that it says."""


class Data(NamedTuple):
    """The array of a Python batch."""

    pictures: int
    pixels: str
    """In Latin-1."""
    offset: int | None
    """Where its bytes are in the batch, if they are there as they are."""


def binary(file: BinaryIO, size: int) -> Span:
    """The pictures of a binary batch of so many bytes. Raises :class:`NotWhole`."""
    for limits in LABEL_LIMITS:
        row_bytes = len(limits) + PICTURE_BYTES
        count = size // row_bytes
        if count and size % row_bytes == 0 and all(_has_labels(file, row * row_bytes, limits) for row in range(count)):
            return Span(len(limits), row_bytes, count, _HEADER, planar=True)
    raise NotWhole("not an image")


def pickled(file: BinaryIO, size: int) -> Span:
    """The pictures of a Python batch of so many bytes. Raises :class:`NotWhole`."""
    if not PICTURE_BYTES < size <= MAX_PICKLE_BYTES:
        raise NotWhole("not an image")
    file.seek(0)
    try:
        data = pickled_data(file.read(size))
    except Exception as error:  # what no pickle holds fails in ways that nobody has listed
        raise NotWhole("not an image") from error
    if data.offset is None:
        raise NotWhole("CIFAR batch of another version of Python")
    return Span(data.offset, PICTURE_BYTES, data.pictures, _HEADER, planar=True)


def pickled_data(batch: bytes) -> Data:
    """The array of a Python batch. Raises Refused, and whatever damaged pickles make of the interpreter."""
    contents = _interpret(batch)
    match contents.get("data") if isinstance(contents, dict) else None:
        case _Call(
            "numpy.core.multiarray _reconstruct" | "numpy._core.multiarray _reconstruct",
            _,
            (1, (int(count), int(width)), _Call("numpy dtype", ("u1", *_)), False, str(pixels)),
        ) if count > 0 and width == PICTURE_BYTES and len(pixels) == count * width:
            return Data(count, pixels, pixels.offset if isinstance(pixels, _Text) else None)
    raise Refused("is not a CIFAR batch with a uint8 array (N, 3072) of data")


class _Text(str):
    """Bytes that are in the batch as they are."""

    offset: int


def _text(text: str, offset: int) -> _Text:
    found = _Text(text)
    found.offset = offset
    return found


@dataclass(eq=False)
class _Call:
    """A call that a batch asks for: recorded, never made."""

    name: Any
    arguments: Any
    state: Any = None


def _has_labels(file: BinaryIO, offset: int, limits: tuple[int, ...]) -> bool:
    file.seek(offset)
    labels = file.read(len(limits))
    return len(labels) == len(limits) and all(label < limit for label, limit in zip(labels, limits, strict=True))


def _interpret(batch: bytes) -> object:
    """The object that `batch` describes. Its strings, of text or of bytes, are `str` in Latin-1."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def pop_to_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for step, (opcode, argument, position) in enumerate(pickletools.genops(batch)):
        if step == _MAX_OPCODES:
            raise Refused(f"is a pickle of more than {_MAX_OPCODES} opcodes, not a CIFAR batch")
        match opcode.name:
            case "PROTO":
                pass
            case "STOP":
                break
            case "NONE":
                stack.append(None)
            case "NEWFALSE" | "NEWTRUE":
                stack.append(opcode.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "SHORT_BINSTRING" | "BINUNICODE":
                stack.append(argument)
            case "BINSTRING":
                stack.append(_text(str(argument), (position or 0) + 5))  # after the opcode and a length
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPENDS":
                items = pop_to_mark()
                stack[-1].extend(items)
            case "SETITEMS":
                items = pop_to_mark()
                # Only str keys count, and hashing a deeply nested tuple would overflow the C stack.
                pairs = zip(items[::2], items[1::2], strict=True)
                stack[-1].update((key, value) for key, value in pairs if isinstance(key, str))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL" if argument in _NAMES:
                stack.append(argument)
            case "GLOBAL":
                raise Refused(f"is a pickle that asks for {str(argument)[:60]!r}, and not a CIFAR batch")
            case "REDUCE":
                arguments, name = stack.pop(), stack.pop()
                match name, arguments:
                    case "_codecs encode", (str(text), "latin1"):
                        stack.append(text)
                    case _:
                        stack.append(_Call(name, arguments))
            case "BUILD":
                state = stack.pop()
                stack[-1].state = state
            case _:
                raise Refused(f"is a pickle with opcode {opcode.name}, which official CIFAR batches never use")
    return stack.pop()
