"""Files of arrays: IDX, CIFAR batches, and what numpy writes."""

import gzip
import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def gzipped(data: bytes) -> bytes:
    """Without the time, as contents are in the names of tests, which processes must agree on."""
    return gzip.compress(data, mtime=0)


def idx_bytes(array: Pixels) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def planes(images: Pixels) -> Pixels:
    """CIFAR's row of an image: all red, then all green, then all blue."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)


def binary_batch(images: Pixels, labels: tuple[int, ...]) -> bytes:
    return b"".join(bytes(labels) + row.tobytes() for row in planes(images))


def python2_batch(images: Pixels) -> bytes:
    """What Python 2's cPickle wrote for the official batches, opcode by opcode."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    rows = planes(images)
    return (
        b"\x80\x02}q\x01("
        + (string(b"batch_label") + b"q\x02" + string(b"training batch 1 of 5") + b"q\x03")
        + (string(b"labels") + b"q\x04]q\x05(" + b"K\x06" * len(rows) + b"e")
        + (string(b"data") + b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08")
        + (b"K\x00\x85" + string(b"b") + b"\x87Rq\x09(K\x01" + b"K" + bytes([len(rows)]) + b"M\x00\x0c\x86")
        + (b"cnumpy\ndtype\nq\x0a" + string(b"u1") + b"K\x00K\x01\x87Rq\x0b(K\x03" + string(b"|"))
        + (b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", rows.size) + rows.tobytes() + b"tb")
        + (
            string(b"filenames")
            + b"r\x00\x01\x00\x00]("
            + string(b"leptodactylus_pentadactylus_s_000004.png") * 2
            + b"e"
        )
        + b"u."
    )


def npz_bytes(compressed: bool = True, **arrays: Pixels) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def npy_bytes(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()
