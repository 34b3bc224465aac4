"""Folders held open, so that a link put in the place of one is not followed, and paths may be of any length."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from bbcompress.images.place import PRIVATE_FOLDER, Attributes, Contents, hidden_name, move, set_attributes, write_new

_BY_DESCRIPTOR = {os.open, os.mkdir, os.stat, os.link} <= os.supports_dir_fd and os.listdir in os.supports_fd
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_AT_ONCE = 15
"""Parts of the longest names together are a path that systems take."""
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class Directory:
    """An open folder; names are of what is directly in it. Where the system has no such thing (Windows), a path.

    Methods raise OSError as the functions of `os` do.
    """

    def __init__(self, path: str, descriptor: int | None):
        self._path, self._descriptor = path, descriptor

    @staticmethod
    def at(path: Path) -> Directory:
        """The folder at `path`, of any length, which may be a link to one."""
        if not _BY_DESCRIPTOR:
            return Directory(os.fspath(path), None)
        try:
            return Directory("", os.open(path, _FOLDER))
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
        found = os.open(path.anchor or ".", _FOLDER)
        for part in path.relative_to(path.anchor).parts:
            above = found
            try:
                found = os.open(part, _FOLDER, dir_fd=above)
            finally:
                os.close(above)
        return Directory("", found)

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def child(self, name: str) -> Directory:
        """A folder in this one; NotADirectoryError for anything else, links to folders too."""
        if self._descriptor is not None:
            return Directory("", os.open(name, _FOLDER | _NO_LINK, dir_fd=self._descriptor))
        if not stat.S_ISDIR(self.kind(name) or 0):
            raise NotADirectoryError(20, "is no folder", self._at(name))
        return Directory(self._at(name), None)

    def below(self, parts: Sequence[str], private: bool = False) -> Directory:
        """A folder further below, to be closed. All on the way are opened one after another, several at once where
        this one is `private`, so that nobody else can have put links there."""
        found = Directory(self._path, None if self._descriptor is None else os.dup(self._descriptor))
        step = _AT_ONCE if private else 1
        for start in range(0, len(parts), step):
            with found:
                found = found.child("/".join(parts[start : start + step]))
        return found

    def make(self, name: str) -> None:
        """Make a private folder."""
        os.mkdir(self._at(name), PRIVATE_FOLDER, dir_fd=self._descriptor)

    def write(self, name: str, data: Contents, attributes: Attributes) -> None:
        """Make a file."""
        write_new(self._at(name), data, attributes, folder=self._descriptor, sync=not _BY_DESCRIPTOR)

    def status(self, name: str, follow: bool = False) -> os.stat_result:
        """What `os.stat` says, of a link itself unless `follow`."""
        return os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=follow)

    def kind(self, name: str) -> int | None:
        """The mode of what has this name, not following links; None where there is nothing."""
        try:
            return self.status(name).st_mode
        except FileNotFoundError:
            return None

    def is_readable(self, name: str) -> bool:
        """Whether a file may be read."""
        return os.access(self._at(name), os.R_OK, dir_fd=self._descriptor)

    def open(self, name: str) -> BinaryIO:
        """A file to read; it may be a link to one."""
        return open(os.open(self._at(name), os.O_RDONLY | getattr(os, "O_BINARY", 0), dir_fd=self._descriptor), "rb")

    def names(self) -> list[str]:
        return os.listdir(self._path if self._descriptor is None else self._descriptor)

    def take(self, name: str, source: Directory, overwrite: bool) -> None:
        """Move the file `name` from `source` to this folder."""
        move(
            source._at(name),
            self._at(name),
            overwrite=overwrite,
            source_folder=source._descriptor,
            target_folder=self._descriptor,
        )

    def remove(self, name: str) -> None:
        """Remove a file or a link."""
        os.unlink(self._at(name), dir_fd=self._descriptor)

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        os.rmdir(self._at(name), dir_fd=self._descriptor)

    def set_attributes(self, attributes: Attributes) -> None:
        """Set this folder's own mode and time; do it last, as what is done in it changes its time."""
        set_attributes(self._path if self._descriptor is None else self._descriptor, attributes, 0o777)

    def rename(self, name: str, target: Path) -> None:
        """Rename a folder in this one to `target`, where there is none, or an empty folder."""
        os.rename(self._at(name), target, src_dir_fd=self._descriptor)

    def renamed(self, path: Path) -> Directory:
        """This folder, once it is at `path`."""
        return self if self._descriptor is not None else Directory(os.fspath(path), None)

    def sync_all(self) -> None:
        """Have all that was written to this file system on the disk; files of `write` are where this is nothing."""
        if self._descriptor is None:
            return
        try:
            import ctypes

            ctypes.CDLL(None).syncfs(self._descriptor)
        except (ImportError, OSError, AttributeError, TypeError):
            os.sync()

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else os.path.join(self._path, name)


def remove_tree(parent: Directory, name: str) -> None:
    """Remove a folder with all that is in it, however deep."""
    with contextlib.suppress(OSError):
        _empty(parent, name)
        parent.remove_folder(name)


def _empty(parent: Directory, name: str) -> None:
    # Folders are moved up into the top one, so that neither depth nor open files are of concern.
    with parent.child(name) as top:
        while True:
            folders = []
            for inner in top.names():
                if stat.S_ISDIR(top.kind(inner) or 0):
                    folders.append(inner)
                else:
                    top.remove(inner)
            if not folders:
                return
            for inner in folders:
                with top.child(inner) as folder:
                    for deeper in folder.names():
                        if stat.S_ISDIR(folder.kind(deeper) or 0):
                            os.replace(
                                folder._at(deeper),
                                top._at(hidden_name()),
                                src_dir_fd=folder._descriptor,
                                dst_dir_fd=top._descriptor,
                            )
                        else:
                            folder.remove(deeper)
                top.remove_folder(inner)
