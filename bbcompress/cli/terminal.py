"""What is printed: results on standard output, all else on standard error, and file names never raw."""

import contextlib
import errno
import logging
import sys

import click

_UNSEEN = frozenset(map(chr, [0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0])) | frozenset(
    map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""Characters that show nothing, besides those that Python calls not printable."""


def shown(text: str) -> str:
    """`text` with escapes for what a terminal would act on, hide or turn round: names may come from anyone.

    >>> shown("a\\u202egnp.exe\\x1b[2J")
    'a\\\\u202egnp.exe\\\\x1b[2J'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() and character not in _UNSEEN
        else character.encode("unicode_escape").decode()
        for character in text
    )


def result(text: str) -> None:
    """Print a line that was asked for. Raises OSError where it cannot be written."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "is closed", "standard output")
    try:
        click.echo("\n".join(map(shown, text.split("\n"))))
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def note(text: str) -> None:
    """Print one line for people, which programs do not need."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(shown(text), err=True)


class Warnings(logging.Handler):
    """Prints what the packages log, for people."""

    def emit(self, record: logging.LogRecord) -> None:
        note(f"bbc: warning: {record.getMessage()}")


def is_terminal() -> bool:
    """Whether there is someone to show progress to."""
    return sys.stderr is not None and sys.stderr.isatty()
