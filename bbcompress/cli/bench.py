"""`bbc bench`."""

import json
import time
from contextlib import closing

import click

from bbcompress.cli.common import (
    ANY_FILE,
    MAX_REFINE_STEPS,
    engine_options,
    refine_method_option,
    registry_and_model,
)
from bbcompress.cli.terminal import result


@click.command()
@click.argument("images", nargs=-1, required=True, type=ANY_FILE, metavar="IMAGE...")
@click.option(
    "--model", type=ANY_FILE, default="auto", show_default=True, metavar="NAME|FILE", help="The model, or auto."
)
@click.option("--refine-steps", default="0,1,2,5,10", show_default=True, metavar="K,K,...", help="Steps to compare.")
@refine_method_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@engine_options
def command(
    images: tuple[str, ...], model: str, refine_steps: str, refine_method: str, as_json: bool, engine: str, threads: int
) -> None:
    """Measure bits per dimension and time of IMAGES as one archive, for each number of refinement steps.

    Times are of coding alone, without reading image files. `net` is what the symbols cost, `total` the whole file.
    """
    from bbcompress.archive.compress import Options, compress_archive
    from bbcompress.archive.read import ArchiveReader
    from bbcompress.cli.inputs import listed_images
    from bbcompress.cli.reading import Reading, inputs
    from bbcompress.codec.refine import Method

    try:
        all_steps = [int(part) for part in refine_steps.split(",")]
    except ValueError as error:
        raise click.UsageError("--refine-steps takes numbers separated by commas") from error
    if not all(0 <= steps <= MAX_REFINE_STEPS for steps in all_steps):
        raise click.UsageError(f"--refine-steps are from 0 to {MAX_REFINE_STEPS}")
    method = Method[refine_method.upper()]
    rows = []
    registry, chosen = registry_and_model(model, engine, threads)
    with closing(listed_images(images)) as listed:
        pictures = [(source.name, source.read()) for source in inputs(listed.files, Reading(pixels=True))]
    for steps in all_steps:
        started = time.perf_counter()
        options = Options(steps, chosen, check=False, refine_method=method)
        data, summary = compress_archive(pictures, registry, options)
        compressed = time.perf_counter()
        decoded = {item.name: item.picture for item in ArchiveReader(data).decode(registry)}
        done = time.perf_counter()
        assert all(decoded[name].same_as(picture) for name, picture in pictures)
        rows.append(
            {
                "refine_steps": steps,
                "images": summary.images,
                "bytes": summary.total_bytes,
                "net_bits_per_dim": round(summary.net_bits_per_dim, 5),
                "total_bits_per_dim": round(summary.total_bits_per_dim, 5),
                "compress_ms_per_image": round(1e3 * (compressed - started) / summary.images, 4),
                "decompress_ms_per_image": round(1e3 * (done - compressed) / summary.images, 4),
            }
        )
    if as_json:
        result(json.dumps(rows, indent=2))
        return
    result("  K  bytes        net bits/dim  total bits/dim  compress ms/image  decompress ms/image")
    for row in rows:
        result(
            f"{row['refine_steps']:3}  {row['bytes']:<11}  {row['net_bits_per_dim']:<12}  "
            f"{row['total_bits_per_dim']:<14}  {row['compress_ms_per_image']:<17}  {row['decompress_ms_per_image']}"
        )
