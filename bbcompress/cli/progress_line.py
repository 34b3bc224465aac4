"""Progress as a line on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bbcompress.cli.terminal import is_terminal
from bbcompress.progress import Progress

_SECONDS_BETWEEN = 0.2


class ProgressLine(Progress):
    """A line on standard error with what is done, how fast on average, and how long the rest takes at that rate."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._write, self._clock = write, clock
        self._started: float | None = None
        """When coding began: reading and choosing before it say nothing of how long the rest takes."""
        self._shown = clock()
        self._width = 0

    def begin(self, pixels: int, passes: int = 1) -> None:
        super().begin(pixels, passes)
        self._started = self._clock() if self._started is None else self._started

    def show(self) -> None:
        now = self._clock()
        if self.done <= 0 or self._started is None or now - self._shown < _SECONDS_BETWEEN:
            return
        self._shown = now
        total, rate = max(self.total, self.done), self.done / max(now - self._started, 1e-9)
        left = duration((total - self.done) / rate)
        self._put(f"{self.done / total:4.0%} of {_pixels(total)}, {_pixels(rate)}/s, {left} left")

    def clear(self) -> None:
        if self._width:
            self._put("")

    def _put(self, line: str) -> None:
        self._write("\r" + line.ljust(self._width) + ("" if line else "\r"))
        self._width = len(line)


@contextmanager
def shown_progress(quiet: bool) -> Iterator[Progress]:
    """Progress that is shown where standard error is a terminal, unless `quiet`."""
    if quiet or not is_terminal():
        yield Progress()
        return

    def write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    line = ProgressLine(write)
    try:
        yield line
    finally:
        line.clear()


def _pixels(count: float) -> str:
    for unit, name in ((1e9, "Gpx"), (1e6, "Mpx"), (1e3, "kpx")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} px"


def duration(seconds: float) -> str:
    """As h:mm:ss or m:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
