"""`bbc list`."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bbcompress.cli.common import ANY_FILE, model_file_option, opened
from bbcompress.cli.errors import about
from bbcompress.cli.terminal import result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bbcompress.archive.listing import Entry
    from bbcompress.archive.read import ArchiveReader


@click.command()
@click.argument("file", type=ANY_FILE)
@click.option("-l", "--long", is_flag=True, help="Also number, segment, mode, size, bytes, method and time of each.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs (docs/JSON.md).")
@model_file_option
def command(file: str, long: bool, as_json: bool, models: tuple[Path, ...]) -> None:
    """List the images of FILE (- for standard input), without decoding them.

    Of images that are coded together each is listed with the same share of their bytes. An image without a name, of a
    file that holds it alone, is listed as -. An array is listed
    once, with how many images it is.
    """
    from bbcompress.archive.listing import SCHEMA, files, listed
    from bbcompress.archive.read import ArchiveReader
    from bbcompress.codec.registry import Registry

    with about(file), opened(file) as source:
        archive = ArchiveReader(source)
        if not long and not as_json:
            for name in _names(archive):
                result(name)
            return
        found = files(archive, Registry(files=models))
    if as_json:
        result(json.dumps({"schema": SCHEMA, "images": [listed(entry) for entry in found]}, indent=2))
        return
    for entry in found:
        result(_line(entry))


def _names(archive: "ArchiveReader") -> "Iterator[str]":
    """Of all files."""
    if archive.names is None:
        yield archive.kept_name or "-"
    arrays = {array.first: array for array in archive.arrays}
    end = 0
    for number, name in enumerate(archive.names or ()):
        if number in arrays:
            end = arrays[number].numbers.stop
            yield str(arrays[number].name)
        elif number >= end:
            yield name


def _line(entry: "Entry") -> str:
    mode, size = "file", "-"
    if entry.images > 1:
        mode, size = "-", str(entry.images)
    if entry.header is not None:
        mode, size = entry.header.mode, f"{entry.header.width}x{entry.header.height}"
        size = f"{entry.images}x{size}" if entry.images > 1 else size
    elif entry.method != "file":
        mode = "-"
    method = entry.method + (f" {entry.model}" if entry.model else "")
    mtime = entry.attributes.mtime_ns
    when = "-" if mtime is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(mtime // 10**9))
    facts = f"{entry.number:6} {entry.segment:5} {mode:>6} {size:>11} {entry.bytes:>9}  {method:24} {when:16}"
    return f"{facts}  {entry.name or '-'}"
