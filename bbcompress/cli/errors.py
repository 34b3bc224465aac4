"""The one place where errors become one line on standard error and an exit code, and signals become errors."""

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from enum import IntEnum
from types import FrameType
from typing import NoReturn

import click

from bbcompress.cli.terminal import note

DEBUG_VARIABLE = "BBC_DEBUG"
"""Environment variable; where it is set, errors show where they came from."""
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class ExitCode(IntEnum):
    """How `bbc` ends. Usage errors are click's; a signal gives 128 and its number."""

    OK = 0
    ERROR = 1
    USAGE = 2
    DAMAGED = 3
    UNSUPPORTED = 4
    MISSING_MODEL = 5
    LIMIT = 6


class Stopped(SystemExit):
    """A signal asked to end. It passes through like an exception, so that everything cleans up behind it."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.number = number


def fail(message: str, code: ExitCode) -> NoReturn:
    """End with one line on standard error."""
    note(f"bbc: {message}")
    raise SystemExit(code)


@contextlib.contextmanager
def about(source: str) -> Iterator[None]:
    """Have errors that are about an archive say that it is `source`."""
    from bbcompress.archive.errors import ArchiveError
    from bbcompress.images.errors import DamagedImage

    try:
        yield
    except (ArchiveError, DamagedImage) as error:
        error.source = error.source or source
        raise


@contextlib.contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Turn whatever is raised into one line and SystemExit with the right code."""
    try:
        yield
        _finish_output()
    except (SystemExit, click.exceptions.Exit):
        with contextlib.suppress(OSError):
            _finish_output()
        raise
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        raise SystemExit(error.exit_code) from error
    except (KeyboardInterrupt, click.Abort) as error:
        raise Stopped(signal.SIGINT) from error
    except BaseException as error:
        with contextlib.suppress(OSError):
            _finish_output()
        if DEBUG_VARIABLE in os.environ:
            traceback.print_exc()
        fail(*explained(error))


@contextlib.contextmanager
def signals_as_errors() -> Iterator[None]:
    """Within, SIGINT, SIGTERM and SIGHUP raise Stopped, the first of them alone: nothing interrupts the cleaning up.

    Signals that are ignored, as nohup has it, stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    caught = [number for number in numbers if before[number] not in (signal.SIG_IGN, None)]

    def stop(number: int, frame: FrameType | None) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    for number in caught:
        signal.signal(number, stop)
    try:
        yield
    except Stopped as error:
        note(f"bbc: stopped by {signal.Signals(error.number).name}")
        if signal.getsignal(error.number) == signal.SIG_IGN:
            os._exit(128 + error.number)  # at once, as threads that still compute would be waited for
        raise
    finally:
        for number in caught:
            signal.signal(number, before[number])


def open_missing_streams() -> None:
    """Have file descriptors 0, 1 and 2 taken, so that no file that is opened gets one of them and what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _finish_output() -> None:
    """Write out what is buffered; where that fails, drop it, as Python would try again on its way out."""
    failure = None
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            failure = failure or error
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
    if isinstance(failure, OSError):
        raise OSError(failure.errno, failure.strerror, "standard output") from failure


def explained(error: BaseException) -> tuple[str, ExitCode]:
    """What to say of an error, and how to end."""
    # imported here, as most runs have no errors and `bbc --help` is to be quick
    from bbcompress.archive import errors as archive_errors
    from bbcompress.codec.model_file import BadModel
    from bbcompress.codec.registry import ModelNotFound
    from bbcompress.datasets import DatasetError
    from bbcompress.exact.network import InexactNetwork
    from bbcompress.exact.selfcheck import InexactArithmetic
    from bbcompress.images.errors import DamagedImage, ImageError, ImageTooLarge

    codes: list[tuple[type[Exception], ExitCode]] = [
        (archive_errors.ArchiveLimit, ExitCode.LIMIT),
        (ImageTooLarge, ExitCode.LIMIT),
        (archive_errors.UnsupportedArchive, ExitCode.UNSUPPORTED),
        (InexactArithmetic, ExitCode.UNSUPPORTED),
        (archive_errors.MissingModel, ExitCode.MISSING_MODEL),
        (ModelNotFound, ExitCode.MISSING_MODEL),
        (archive_errors.DamagedArchive, ExitCode.DAMAGED),
        (DamagedImage, ExitCode.DAMAGED),
        (archive_errors.ArchiveError, ExitCode.ERROR),
        (ImageError, ExitCode.ERROR),
        (DatasetError, ExitCode.ERROR),
        (BadModel, ExitCode.ERROR),
        (InexactNetwork, ExitCode.ERROR),
    ]
    for kind, code in codes:
        if isinstance(error, kind):
            source = getattr(error, "source", "")
            return f"{source}: {error}" if source else str(error), code
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", ExitCode.ERROR
    if isinstance(error, MemoryError):
        return "not enough memory", ExitCode.ERROR
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"unexpected error, please report it ({DEBUG_VARIABLE}=1 shows where it was): {what}", ExitCode.ERROR
