"""CIFAR-10 and CIFAR-100 batches of 32 x 32 RGB images: the "binary version" and the "Python version".

A binary batch is rows of label bytes and 3072 pixels. A Python batch is a pickle, made by Python 2, of a
dict whose "data" is a numpy array (N, 3072). Unpickling can run anything, so it is not done: the opcodes
are interpreted here into plain containers, and the calls that rebuild the array are recognised, not made.

Source: A. Krizhevsky, "The CIFAR-10 dataset", https://www.cs.toronto.edu/~kriz/cifar.html, "Dataset layout".
"""

import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcompress.datasets.reading import DatasetError, Readable, read_pixels

_PIXELS = 3 * 32 * 32
_LABEL_LIMITS = ((10,), (20, 100))
"""Labels before each row of a binary batch, as the number of classes: CIFAR-10, CIFAR-100 (coarse, fine)."""

_MAX_OPCODES = 1_000_000
"""Five times those of the largest official batch. An opcode of one byte makes an object of up to 64."""

_NAMES = (
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",  # numpy 2
    "numpy ndarray",
    "numpy dtype",
    "_codecs encode",  # Python 3 writes bytes as a call of this
)


def read(stream: Readable, size: int) -> NDArray[np.uint8]:
    """(N, 32, 32, 3) uint8 from a batch of `size` bytes, of either version."""
    data = read_pixels(stream, (size,), size)
    # Every protocol 2 pickle starts with 0x80; a binary batch starts with a label below 20.
    rows = _python_rows(data.tobytes()) if data[:1].tobytes() == b"\x80" else _binary_rows(data)
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _binary_rows(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    for limits in _LABEL_LIMITS:
        row_bytes = len(limits) + _PIXELS
        if data.size and data.size % row_bytes == 0:
            rows = data.reshape(-1, row_bytes)
            if np.all(rows[:, : len(limits)] < limits):
                return rows[:, len(limits) :]
    raise DatasetError("is not a CIFAR binary batch (rows of 3073 or 3074 bytes that begin with a label)")


@dataclass(eq=False)
class _Call:
    """A call that a batch asks for: recorded, never made."""

    name: Any
    arguments: Any
    state: Any = None


def _python_rows(batch: bytes) -> NDArray[np.uint8]:
    contents = _interpret(batch)
    match contents.get("data") if isinstance(contents, dict) else None:
        case _Call(
            "numpy.core.multiarray _reconstruct" | "numpy._core.multiarray _reconstruct",
            _,
            (1, (int(count), int(width)), _Call("numpy dtype", ("u1", *_)), False, str(pixels)),
        ) if count > 0 and width == _PIXELS and len(pixels) == count * width:
            return np.frombuffer(pixels.encode("latin-1"), np.uint8).reshape(count, width)
    raise DatasetError("is not a CIFAR batch with a uint8 array (N, 3072) of data")


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

    for step, (opcode, argument, _) in enumerate(pickletools.genops(batch)):
        if step == _MAX_OPCODES:
            raise DatasetError(f"is a pickle of more than {_MAX_OPCODES} opcodes, not a CIFAR batch")
        match opcode.name:
            case "PROTO":
                pass
            case "STOP":
                break
            case "NONE":
                stack.append(None)
            case "NEWFALSE" | "NEWTRUE":
                stack.append(opcode.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "SHORT_BINSTRING" | "BINSTRING" | "BINUNICODE":
                stack.append(argument)
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
                raise DatasetError(f"is a pickle that asks for {str(argument)[:60]!r}, and not a CIFAR batch")
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
                raise DatasetError(f"is a pickle with opcode {opcode.name}, which official CIFAR batches never use")
    return stack.pop()
