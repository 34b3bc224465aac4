"""The progress of a training: a bar on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Callable

from bbcompress.cli.progress_line import duration
from bbcompress.cli.terminal import is_terminal, note

_BAR = 24
_SECONDS_BETWEEN = 0.5


class TrainingLine:
    """A bar with the time that is left and held-out bits/dim so far, beside others'."""

    def __init__(self, total_seconds: float, clock: Callable[[], float] = time.monotonic):
        self._total, self._clock = total_seconds, clock
        self.others: dict[str, float] = {}
        """Names and bits/dim."""
        self._terminal = is_terminal()
        self._shown = clock() - _SECONDS_BETWEEN
        self._held_out = ""
        self._width = 0

    def held_out(self, seconds: float, bits_per_dim: float) -> None:
        """There is a new figure."""
        others = ", ".join(f"{name} {rate:.3f}" for name, rate in self.others.items())
        self._held_out = f"held out {bits_per_dim:.3f} bits/dim ({others})"
        if not self._terminal:
            note(self._line(seconds))

    def advance(self, seconds: float) -> None:
        """So much time is used."""
        now = self._clock()
        if self._terminal and now - self._shown >= _SECONDS_BETWEEN:
            self._shown = now
            self._put(self._line(seconds))

    def clear(self) -> None:
        """Leave the terminal's line empty."""
        if self._width:
            self._put("")
            self._put("")

    def _line(self, seconds: float) -> str:
        done = min(1.0, seconds / self._total)
        bar = ("#" * round(_BAR * done)).ljust(_BAR)
        return f"[{bar}] {done:4.0%}, {duration(max(0.0, self._total - seconds))} left, {self._held_out}"

    def _put(self, line: str) -> None:
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)
