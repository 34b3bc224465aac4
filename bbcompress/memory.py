"""What a process keeps of the memory that it has freed."""

import ctypes
import sys

_LARGE_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3


def return_large_arrays() -> None:
    """Have arrays of a mebibyte and more given back to the system as soon as they are freed.

    glibc keeps what it once had between pieces that are still in use, up to as much again as large pictures take. Of
    other C libraries nothing is asked.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
