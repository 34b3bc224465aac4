"""Which pictures are meant: by name, pattern, folder, number or range of numbers."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate

from bbcompress.archive.errors import NoSuchImage

_RANGE = re.compile(r"(\d{0,18}):(\d{0,18})|(\d{1,18})")


def select(wanted: Iterable[str], names: Sequence[str] | None, images: int) -> list[int]:
    """The numbers of all pictures that are wanted, ascending. Raises NoSuchImage for what means none.

    Each of `wanted` is, whatever fits first: the name of a picture; the name of a folder, for all in it; a number, from
    0 on, or a range `i:j` of numbers as Python has it; a pattern (`*` and `?` stand for anything, `/` too, `[ab]` for
    either).

    >>> select(["a/2.png", "1:3"], ["a/1.png", "a/2.png", "b.png", "c.png"], 4)
    [1, 2]
    >>> select(["a", "*.png"], ["a/1.png", "a/2.tif", "b.png"], 3)
    [0, 1, 2]
    """
    numbers = {name: number for number, name in enumerate(names or ())}
    found: set[int] = set()
    for one in wanted:
        some = [numbers[one]] if one in numbers else _folder(one, numbers) or _range(one, images)
        if not some:
            matches = re.compile(translate(one)).match
            some = [number for name, number in numbers.items() if matches(name)]
        if not some:
            raise NoSuchImage(f"holds nothing named {one}, and there is no such number; see bbc list")
        found.update(some)
    return sorted(found)


def _folder(name: str, numbers: dict[str, int]) -> list[int]:
    start = name.rstrip("/") + "/"
    return [number for name, number in numbers.items() if name.startswith(start)]


def _range(text: str, images: int) -> list[int]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return []
    start, stop, one = match.groups()
    if one is not None:
        return [int(one)] if int(one) < images else []
    return list(range(images)[int(start or 0) : int(stop or images)])
