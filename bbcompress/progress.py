"""How far the work has come, in pixels, as told by those who code them. What is here shows nothing."""

from collections.abc import Callable

Advance = Callable[[int], None]
"""Called by a coder, after each batch say: so many more pixels are coded, or decoded."""


def ignore(pixels: int) -> None:
    """An `Advance` for where nobody asks."""


class Progress:
    """Pixels done, of `total`, which whoever knows it sets; `show` is called whenever they are more.

    >>> progress = Progress()
    >>> progress.begin(100, passes=2)
    >>> progress.advance(100)
    >>> progress.done
    50.0
    >>> progress.end()
    >>> progress.done
    100.0
    """

    def __init__(self) -> None:
        self.total = 0.0
        """Pixels of all pictures, as far as is known."""
        self.done = 0.0
        self._start, self._pixels, self._passes = 0.0, 0, 1

    def begin(self, pixels: int, passes: int = 1) -> None:
        """Pictures of so many pixels are next; coders go over them `passes` times, to code and to check."""
        self._start, self._pixels, self._passes = self.done, pixels, max(1, passes)

    def advance(self, pixels: int) -> None:
        """An `Advance` for the coders of these pictures."""
        self.done = min(self.done + pixels / self._passes, self._start + self._pixels)
        self.show()

    def end(self) -> None:
        """These pictures are done, however often coders went over them."""
        self.done, self._pixels = self._start + self._pixels, 0
        self.show()

    def show(self) -> None:
        """For those who show it."""

    def clear(self) -> None:
        """Show nothing, until there is more done."""
