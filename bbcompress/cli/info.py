"""`bbc info`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bbcompress.cli.common import model_file_option, read_input
from bbcompress.cli.errors import about
from bbcompress.cli.terminal import result

if TYPE_CHECKING:
    from bbcompress.archive.read import Archive
    from bbcompress.codec.registry import Registry


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@model_file_option
def command(file: str, as_json: bool, models: tuple[Path, ...]) -> None:
    """Say what FILE holds, without decoding it."""
    from bbcompress.archive.read import Archive
    from bbcompress.codec.registry import Registry

    with about(file):
        archive = Archive(read_input(file))
        description = _describe(file, archive, Registry(files=models))
    if as_json:
        result(json.dumps(description, indent=2))
        return
    result(f"{file}: {description['form']}, {description['images']} images, {description['bytes']} bytes")
    for number, segment in enumerate(description["segments"], 1):
        details = ", ".join(f"{key} {value}" for key, value in segment.items())
        result(f"  segment {number}: {details}")


def _describe(file: str, archive: "Archive", registry: "Registry") -> dict[str, Any]:
    from bbcompress.archive.payload import BitsBack, Tiles

    names = {header.identity: header.info.name for _, header in registry.headers()}
    segments: list[dict[str, Any]] = []
    for part in archive.parts:
        segment: dict[str, Any] = {
            "images": len(part.numbers),
            "bytes": part.size,
            "payload_bytes": len(part.payload.data),
        }
        if isinstance(part.payload, (BitsBack, Tiles)):
            identity = part.payload.model_id
            installed = [name for known, name in names.items() if known.startswith(identity)]
            segment |= {
                "method": part.payload.method.name.lower().replace("_", "-"),
                "model": installed[0] if installed else "not installed",
                "model_id": identity.hex(),
                "pictures": part.payload.form.name.lower(),
                "refine_steps": part.payload.plan.steps,
                **({"refine_method": part.payload.plan.method.name.lower()} if part.payload.plan.steps else {}),
                "lanes": part.payload.plan.lanes,
            }
        else:
            segment["method"] = part.payload.method.name.lower()
        segments.append(segment)
    return {
        "file": file,
        "format_version": 1,
        "form": archive.form.name.lower(),
        "images": archive.images,
        "bytes": archive.size,
        "images_with_metadata": len(archive.metadata),
        "segments": segments,
    }
