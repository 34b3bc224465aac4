"""`bbc models`."""

import json
from pathlib import Path

import click

from bbcompress.cli.terminal import result


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="[FILE...]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(files: tuple[Path, ...], as_json: bool) -> None:
    """List the installed models, and those in FILEs besides."""
    from bbcompress.codec.registry import Registry

    rows = [
        {
            "name": header.info.name,
            "size": header.info.size,
            "channels": header.info.channels,
            "levels": header.info.levels,
            "latent": header.info.latent,
            "bytes": path.stat().st_size,
            "id": header.identity.hex(),
            "file": str(path),
        }
        for path, header in Registry(files=files).headers()
    ]
    if as_json:
        result(json.dumps(rows, indent=2))
        return
    for row in rows:
        result(
            f"{row['name']:16} {row['size']:10} {row['channels']} channels {row['levels']:3} levels  "
            f"latent {row['latent']:3}  {str(row['id'])[:16]}"
        )
