"""Which of an archive's pictures a segment holds: ascending numbers as runs.

Layout: the number of runs, then for each the gap before it and its length less one.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.limits import MAX_IMAGES, require_images
from bbcompress.varint import write_varint

Numbers = NDArray[np.int64]
Runs = tuple[tuple[int, int], ...]
"""First number, and the one after the last, of each run; ascending, and none next to another."""


def runs_of(numbers: Iterable[int]) -> Runs:
    """The runs of ascending numbers.

    >>> runs_of([0, 1, 2, 7])
    ((0, 3), (7, 8))
    """
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1]:
            runs[-1] = runs[-1][0], number + 1
        else:
            runs.append((number, number + 1))
    return tuple(runs)


def numbers_of(runs: Runs) -> Numbers:
    """The inverse of `runs_of`."""
    return np.concatenate([np.arange(*run) for run in runs])


def count_of(runs: Runs) -> int:
    """How many numbers there are."""
    return sum(stop - start for start, stop in runs)


def pack_runs(runs: Runs) -> bytes:
    """The bytes of runs."""
    out, end = write_varint(len(runs)), 0
    for start, stop in runs:
        out += write_varint(start - end) + write_varint(stop - start - 1)
        end = stop
    return out


def unpack_runs(take: Callable[[], int], size_bytes: int) -> Runs:
    """The inverse of `pack_runs`; `take` gives one varint after another.

    Raises DamagedArchive, or ArchiveLimit for more numbers than so many bytes may hold pictures.
    """
    runs: list[tuple[int, int]] = []
    end = count = 0
    for _ in range(take()):
        gap = take()
        if runs and gap == 0:
            raise DamagedArchive("damaged: runs of pictures that are one run")
        start = end + gap
        end = start + take() + 1
        if end > MAX_IMAGES:
            raise DamagedArchive("damaged: a picture's number is out of range")
        count += end - start
        require_images(count, size_bytes)
        runs.append((start, end))
    if not runs:
        raise DamagedArchive("damaged: a segment without pictures")
    return tuple(runs)
