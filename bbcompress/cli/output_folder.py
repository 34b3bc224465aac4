"""Files on their way into a folder: written into a hidden one, private, and moved when all are there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from bbcompress.cli.directory import Directory, remove_tree
from bbcompress.cli.target_names import possible_names
from bbcompress.images.errors import ImageError, OutputExists
from bbcompress.images.place import UNKNOWN, Attributes, Contents, hidden_name

_NAME_REFUSED = frozenset(
    [errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENOTDIR]
)
"""What systems say of names that they cannot have, or have already, in another case perhaps."""


class OutputFolder:
    """A folder to be made, or that is there. Nothing is in it before `finish`; what fails leaves nothing.

    Raises ImageError, and of these OutputExists where there is a file already and not `overwrite`.
    """

    def __init__(self, folder: Path, overwrite: bool):
        if os.path.lexists(folder) and not folder.is_dir():
            raise ImageError(f"{folder}: is a file; give a folder for several images")
        self._folder, self._overwrite = folder, overwrite
        self._new = not folder.exists()
        self._hidden_name = hidden_name()
        self.renamed: list[tuple[str, str]] = []
        """Names that could not be had, and what there is instead."""
        self._folders: dict[str, list[str]] = {"": []}
        """Where folders are: the parts of their paths, by name with a slash at the end."""
        self._files: list[list[str]] = []

    def refuse_existing(self, names: Sequence[str]) -> None:
        """Raise OutputExists where one of these would be in the way."""
        for name in names:
            if not self._overwrite and os.path.lexists(self._folder / name):
                self._refuse(name.split("/"), "already exists; choose another name or allow overwriting", OutputExists)

    def __enter__(self) -> OutputFolder:
        with self._telling_errors(), contextlib.ExitStack() as stack:
            for folder in reversed(self._folder.parents) if self._new else ():
                if not folder.exists():
                    stack.callback(_remove_if_empty, folder)
                    folder.mkdir()
            self._around = stack.enter_context(Directory.at(self._folder.parent if self._new else self._folder))
            stack.callback(remove_tree, self._around, self._hidden_name)
            self._around.make(self._hidden_name)
            self._hidden = stack.enter_context(self._around.child(self._hidden_name))
            self._clean_up = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._clean_up.close()

    def write(self, name: str, data: Contents, attributes: Attributes) -> None:
        """Write a file, of a name as archives have them, or one that is like it."""
        folder, _, part = name.rpartition("/")
        with self._open(folder) as directory:
            found = self._first_possible(part, name, lambda tried: directory.write(tried, data, attributes))
        self._files.append([*self._folders[folder + "/" if folder else ""], found])

    @property
    def files(self) -> int:
        """How many were written."""
        return len(self._files)

    def add_folder(self, name: str) -> None:
        """Make a folder, if there is none yet."""
        if name and name + "/" not in self._folders:
            self._open(name).close()

    def finish(self, attributes: Mapping[str, Attributes]) -> None:
        """Move all to where it belongs; folders that are made get the `attributes` of their names."""
        with self._telling_errors():
            self._hidden.sync_all()
            if self._new:
                self._rename_new()
                target, made = self._hidden.renamed(self._folder), list(self._folders)
            else:
                target, made = self._around, self._merge()
            for name in reversed(made):  # the folder itself last: until then it is private if it is new
                with target.below(self._folders[name], private=self._new) as directory:
                    directory.set_attributes(attributes.get(name.rstrip("/"), UNKNOWN))
            target.sync_all()

    @contextlib.contextmanager
    def _telling_errors(self) -> Iterator[None]:
        """Have the system's errors name this folder."""
        try:
            yield
        except ImageError:
            raise
        except OSError as error:
            raise ImageError(f"{self._folder}: cannot be written: {error.strerror or error}") from error

    def _open(self, name: str) -> Directory:
        """The folder of this name in the hidden one."""
        parts = name.split("/") if name else []
        known = len(parts)
        while known and "/".join(parts[:known]) + "/" not in self._folders:
            known -= 1
        whole = "".join(part + "/" for part in parts[:known])
        path = self._folders[whole]
        directory = self._hidden.below(path, private=True)
        for part in parts[known:]:
            whole += part + "/"
            with directory:
                path = [*path, self._first_possible(part, whole, directory.make)]
                self._folders[whole] = path
                directory = directory.child(path[-1])
        return directory

    def _first_possible(self, part: str, whole: str, make: Callable[[str], None]) -> str:
        for name in possible_names(part, whole, windows=os.name == "nt"):
            try:
                make(name)
            except OSError as error:
                if error.errno not in _NAME_REFUSED:
                    raise ImageError(f"{self._folder / whole}: cannot be written: {error.strerror or error}") from error
            else:
                if name != part:
                    self.renamed.append((whole, name))
                return name
        raise ImageError(f"{self._folder / whole}: no name like this can be written there; choose another folder")

    def _rename_new(self) -> None:
        try:
            self._around.rename(self._hidden_name, self._folder)
        except OSError as error:
            if os.path.lexists(self._folder):
                raise OutputExists(f"{self._folder}: another program has just made it") from error
            raise

    def _merge(self) -> list[str]:
        """Move files into the folder that was there; the folders that were made for them."""
        for parts in self._files:
            self._refuse_blocked(parts)
        made, moved = list[str](), list[list[str]]()
        try:
            for name, parts in self._folders.items():
                if parts:
                    with self._around.below(parts[:-1]) as above, contextlib.suppress(FileExistsError):
                        above.make(parts[-1])
                        made.append(name)
            for parts in self._files:
                with self._around.below(parts[:-1]) as folder, self._hidden.below(parts[:-1], private=True) as source:
                    folder.take(parts[-1], source, self._overwrite)
                moved.append(parts)
        except BaseException as error:
            for parts in [] if self._overwrite else moved:
                with contextlib.suppress(OSError), self._around.below(parts[:-1]) as folder:
                    folder.remove(parts[-1])
            for name in reversed(made):
                with contextlib.suppress(OSError), self._around.below(self._folders[name][:-1]) as above:
                    above.remove_folder(self._folders[name][-1])
            if isinstance(error, FileExistsError):
                raise OutputExists(f"{self._folder}: another program has just written a file there") from error
            raise
        return made

    def _refuse_blocked(self, parts: list[str]) -> None:
        """Raise where a file cannot come to be in the folder that was there."""
        directory = self._around.below(())
        for place, part in enumerate(parts, 1):
            with directory:
                kind = directory.kind(part)
                if kind is None:
                    return
                if place < len(parts):
                    if not stat.S_ISDIR(kind):
                        why = "is no folder, but one is needed there; choose another output folder"
                        self._refuse(parts[:place], why)
                    directory = directory.child(part)
                elif stat.S_ISDIR(kind):
                    self._refuse(parts, "is a folder; choose another output folder")
                elif not self._overwrite:
                    self._refuse(parts, "already exists; choose another name or allow overwriting", OutputExists)
                elif not stat.S_ISREG(kind):
                    self._refuse(parts, "is a link, a device or the like; remove it, or choose another output folder")

    def _refuse(self, parts: list[str], why: str, kind: type[ImageError] = ImageError) -> None:
        raise kind(f"{self._folder.joinpath(*parts)}: {why}")


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
