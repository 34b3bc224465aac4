"""Which files of folders are wanted: `--include` and `--exclude`."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple


class Globs(NamedTuple):
    """Patterns: one without a slash is for a name wherever it is, one with a slash for a whole path below the folder;
    `*` stands for any letters, slashes among them.

    >>> Globs(include=["*.png"], exclude=["old"]).takes("a/b.png")
    True
    >>> Globs(exclude=["a/*.tmp"]).takes("a/b/c.tmp")
    False
    """

    include: Sequence[str] = ()
    """If there are any, a file must match one."""
    exclude: Sequence[str] = ()
    """What matches one of these is left out, a folder with all that is in it."""

    def takes(self, file: str) -> bool:
        """Whether a file of this path below the folder is wanted, if its folders are."""
        return not self.refuses(file) and (not self.include or _matches(file, self.include))

    def refuses(self, path: str) -> bool:
        """Whether a file or folder is left out."""
        return _matches(path, self.exclude)


ALL = Globs()


def _matches(path: str, patterns: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)
