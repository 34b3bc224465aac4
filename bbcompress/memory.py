"""What a process keeps of the memory that it has freed."""

import sys

_LARGE_BYTES = 10 << 20
"""Smaller arrays are made again at once, as often as not, and pages of memory that is new take time."""
_KEPT_BYTES = 1 << 25
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def return_large_arrays() -> None:
    """Have large arrays given back to the system as soon as they are freed.

    glibc keeps what it once had between pieces that are still in use, up to as much again as large pictures take. Of
    other C libraries nothing is asked.
    """
    if sys.platform == "linux":
        import ctypes  # not for `bbc --help`

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
            mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
