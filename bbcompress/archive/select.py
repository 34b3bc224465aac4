"""Which pictures and files are meant: by name, pattern, folder, number or range of numbers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from typing import NamedTuple

from bbcompress.archive.arrays import Array
from bbcompress.archive.errors import NoSuchImage

_RANGE = re.compile(r"(\d{0,18}):(\d{0,18})|(\d{1,18})")
_PART = re.compile(r"(.+)\[(.*)\]", re.DOTALL)


class Selection(NamedTuple):
    """What is meant."""

    pictures: list[int]
    """Numbers of those that are files of their own, or wanted as such; ascending."""
    arrays: list[Array]
    """Whole files of several pictures."""


def select(wanted: Iterable[str], names: Sequence[str] | None, images: int, arrays: Sequence[Array] = ()) -> Selection:
    """All that is wanted. Raises NoSuchImage for what means nothing.

    Each of `wanted` is, whatever fits first: the name of a picture or array; the name of a folder, for all in it; a
    number, from 0 on, or a range `i:j` of numbers as Python has it, of pictures; such a range of an array's own, after
    its name in brackets; a pattern (`*` and `?` stand for anything, `/` too, `[ab]` for either) of names of files.

    >>> select(["a/2.png", "1:3"], ["a/1.png", "a/2.png", "b.png", "c.png"], 4).pictures
    [1, 2]
    >>> select(["a", "*.png"], ["a/1.png", "a/2.tif", "b.png"], 3).pictures
    [0, 1, 2]
    """
    numbers = {name: number for number, name in enumerate(names or ())}
    by_name = {str(array.name): array for array in arrays}
    of_arrays = {number for array in arrays for number in array.numbers}
    files = {name: number for name, number in numbers.items() if number not in of_arrays}
    files |= {name: array.first for name, array in by_name.items()}
    pictures: set[int] = set()
    whole: dict[int, Array] = {}
    for one in wanted:
        if one in numbers:
            pictures.add(numbers[one])
            continue
        found = [files[one]] if one in files else _folder(one, files)
        if not found and (some := _range(one, images) or _part(one, by_name)):
            pictures.update(some)
            continue
        if not found:
            matches = re.compile(translate(one)).match
            found = [number for name, number in files.items() if matches(name)]
        if not found:
            raise NoSuchImage(f"holds nothing named {one}, and there is no such number; see bbc list")
        pictures.update(number for number in found if number not in of_arrays)
        whole |= {array.first: array for array in arrays if array.first in found}
    return Selection(sorted(pictures), [whole[first] for first in sorted(whole)])


def _folder(name: str, files: Mapping[str, int]) -> list[int]:
    start = name.rstrip("/") + "/"
    return [number for file, number in files.items() if file.startswith(start)]


def _part(text: str, arrays: Mapping[str, Array]) -> list[int]:
    match = _PART.fullmatch(text)
    if match is None or match[1] not in arrays:
        return []
    array = arrays[match[1]]
    return [array.first + number for number in _range(match[2], array.file.pictures)]


def _range(text: str, images: int) -> list[int]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return []
    start, stop, one = match.groups()
    if one is not None:
        return [int(one)] if int(one) < images else []
    return list(range(images)[int(start or 0) : int(stop or images)])
