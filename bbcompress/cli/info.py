"""`bbc info`."""

import json
from collections import Counter
from pathlib import Path

import click

from bbcompress.cli.common import ANY_FILE, model_file_option, opened
from bbcompress.cli.errors import about
from bbcompress.cli.terminal import result


@click.command()
@click.argument("file", type=ANY_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs (docs/JSON.md).")
@model_file_option
def command(file: str, as_json: bool, models: tuple[Path, ...]) -> None:
    """Say what FILE (- for standard input) holds, without decoding it."""
    from bbcompress.archive.listing import described
    from bbcompress.archive.read import ArchiveReader
    from bbcompress.codec.registry import Registry

    with about(file), opened(file) as source:
        description = described(ArchiveReader(source), Registry(files=models))
    if as_json:
        result(json.dumps({"file": file, **description}, indent=2))
        return
    arrays = f", {description['arrays']} arrays of them" if description["arrays"] else ""
    result(f"{file}: {description['form']}, {description['images']} images{arrays}, {description['bytes']} bytes")
    segments, images, sizes = Counter[str](), Counter[str](), Counter[str]()
    for segment in description["segments"]:
        way = segment["method"]
        if segment["model_id"]:
            way += f", {segment['model'] or 'a model that is not installed: ' + segment['model_id']}"
        if segment["refine_steps"]:
            way += f", {segment['refine_steps']} refinement steps ({segment['refine_method']})"
        segments[way] += 1
        images[way] += segment["images"]
        sizes[way] += segment["bytes"]
    for way, count in segments.items():
        result(f"  {way}: {images[way]} images in {count} segments, {sizes[way]} bytes")
