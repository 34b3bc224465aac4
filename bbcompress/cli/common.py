"""What the commands share: options, input and output."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bbcompress.cli.errors import ExitCode, fail

if TYPE_CHECKING:
    from bbcompress.archive.source import Source
    from bbcompress.codec.registry import Registry
    from bbcompress.images.place import New

Function = TypeVar("Function", bound=Callable[..., Any])
MAX_REFINE_STEPS = 100
"""`codec.refine.MAX_STEPS`, known without numpy."""
MAX_PIXELS = 1 << 28
"""`images.header.MAX_PIXELS`, known without numpy."""
SEGMENT_PIXELS = 1 << 19
"""`archive.options.SEGMENT_PIXELS`, known without numpy."""
MAX_SEGMENT_PIXELS = 1 << 23
"""`archive.options.MAX_SEGMENT_PIXELS`."""
COPIED_BYTES = 1 << 20
"""At once."""

ANY_FILE = click.Path(readable=False)
"""The type of names of files that may not exist, may be - or a URL: shells complete it."""

refine_method_option = click.option(
    "--refine-method",
    type=click.Choice(["natural", "adam"]),
    default="natural",
    show_default=True,
    help="How --refine-steps are taken: natural gradients, or the paper's Adam, for comparison.",
)


def engine_options(function: Function) -> Function:
    """`-T` and `--engine`: network calls that run side by side, as `threads`, and what computes them, as `engine`.

    BLAS libraries get one thread each, and are told before numpy is imported, as they read it once.
    """

    def one_for_blas(ctx: click.Context, param: click.Parameter, value: int) -> int:
        for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
            os.environ[name] = "1"
        return value

    engine = click.option(
        "--engine",
        type=click.Choice(["auto", "numpy", "onnx"]),
        default="auto",
        show_default=True,
        help="What computes 8-bit networks (no effect on the result). auto: ONNX Runtime where there is work enough.",
    )
    return engine(
        click.option(
            "-T",
            "--threads",
            type=click.IntRange(1),
            default=lambda: os.cpu_count() or 1,
            show_default="all cores",
            callback=one_for_blas,
            is_eager=True,
            help="Cores to use (no effect on the result).",
        )(function)
    )


def max_pixels_option(function: Function) -> Function:
    """`-M`, as `max_pixels`."""
    return click.option(
        "-M",
        "--max-pixels",
        type=click.IntRange(1),
        default=MAX_PIXELS,
        show_default=True,
        metavar="N",
        help="The most pixels of an image or segment: larger images are kept as files, and none are decoded. More "
        "takes more time and memory.",
    )(function)


def installed_models(engine: str, threads: int, files: Sequence[Path] = ()) -> "Registry":
    """The installed models, and `files` besides."""
    from bbcompress.codec.registry import Registry
    from bbcompress.exact.engine import Engine

    try:
        return Registry(Engine(threads, engine), files)
    except ImportError:
        fail("--engine onnx needs onnxruntime: pip install onnxruntime", ExitCode.ERROR)


def model_files(model: str) -> list[Path]:
    """The file that `--model` names, or none where it is `auto` or an installed model's name."""
    return [Path(model)] if Path(model).suffix == ".safetensors" or Path(model).is_file() else []


def registry_and_model(model: str, engine: str, threads: int) -> tuple["Registry", Path | None]:
    """The installed models, and which to use: None for `auto`, else a name, or a file's path."""
    files = model_files(model)
    registry = installed_models(engine, threads, files)
    return registry, None if model == "auto" else files[0] if files else registry.path_named(model)


def model_file_option(function: Function) -> Function:
    """`--model FILE` for commands that read: a model besides the installed ones."""
    return click.option(
        "--model",
        "models",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A model file to use besides the installed models.",
    )(function)


@contextlib.contextmanager
def opened(path: str) -> "Iterator[Source]":
    """A file or URL to read at any place; of standard input for `-`, and of what cannot be read so, a copy on disk."""
    from bbcompress.archive.source import Source
    from bbcompress.images.place import is_stream
    from bbcompress.images.remote import Url, is_url

    if is_url(path):
        with Url(path).opened() as file:
            yield Source(file)
        return
    if path != "-" and not is_stream(Path(path)):
        source = Source(Path(path))
        try:
            yield source
        finally:
            source.close()
        return
    with tempfile.TemporaryFile() as copy:
        if path == "-" and sys.stdin is None:
            fail("standard input is closed", ExitCode.ERROR)
        with contextlib.nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as stream:
            shutil.copyfileobj(stream, copy)
        yield Source(copy)


def read_stdin() -> bytes:
    """All of standard input."""
    if sys.stdin is None:
        fail("standard input is closed", ExitCode.ERROR)
    return sys.stdin.buffer.read()


def write_stdout(data: bytes) -> None:
    """Binary data to standard output; never to a terminal. Raises OSError."""
    if sys.stdout is None:
        fail("standard output is closed", ExitCode.ERROR)
    if sys.stdout.isatty():
        fail("refusing to write binary data to a terminal; redirect it or name a file with -o", ExitCode.USAGE)
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


@contextlib.contextmanager
def writing(output: str, overwrite: bool) -> Iterator["New"]:
    """A file to write, which is put at `output` when it is whole; - is standard output, never a terminal."""
    from bbcompress.images.place import New, placing
    from bbcompress.images.remote import Url, is_url, placing_at

    if is_url(output):
        with placing_at(Url(output), overwrite=overwrite) as new:
            yield new
        return
    if output != "-":
        with placing(Path(output), overwrite=overwrite) as new:
            yield new
        return
    write_stdout(b"")
    with tempfile.TemporaryFile() as whole:
        yield New(whole)
        whole.seek(0)
        while data := whole.read(COPIED_BYTES):
            write_stdout(data)
