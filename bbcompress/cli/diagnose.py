"""`bbc diagnose`."""

import json
from pathlib import Path

import click

from bbcompress.cli.common import ANY_FILE
from bbcompress.cli.terminal import result
from bbcompress.cli.training import images_for_model, report_epoch, require_torch, rounded, torch_threads_option


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--train",
    "training",
    type=ANY_FILE,
    metavar="DATA",
    required=True,
    help="The images that the model was trained on.",
)
@click.option("--test", type=ANY_FILE, metavar="DATA", required=True, help="Images that it was not trained on.")
@click.option("--images", type=click.IntRange(1), help="Use the first so many of each; default: all.")
@click.option(
    "--epochs", default=100, show_default=True, type=click.IntRange(1), help="Of the optimal encoder, on test images."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@torch_threads_option
def command(
    model: Path, training: str, test: str, images: int | None, epochs: int, as_json: bool, threads: int
) -> None:
    """Measure how MODEL generalises, and whether its encoder or its decoder is to blame (paper, section 2.2).

    Optimal inference is found on the test images themselves, with an encoder trained on them and image by image. It
    says what a better encoder could gain at most; it is a diagnosis, not a rate that new images would have.
    """
    require_torch(threads)
    from bbcompress.codec.model_file import read_with_latents
    from bbcompress.train.architectures import restore, to_tensor
    from bbcompress.train.diagnose import diagnose

    contents = read_with_latents(model)
    info = contents.info
    vae = restore(contents)
    trained_on, new = (
        to_tensor(vae, rounded(images_for_model(source, part, info), info.levels)[:images])
        for source, part in ((training, "train"), (test, "test"))
    )
    found = diagnose(vae, trained_on, new, epochs, report_epoch)
    rows = {
        "train": found.train,
        "test": found.test,
        "test_optimal_encoder": found.test_optimal_encoder,
        "test_optimal_per_image": found.test_optimal_per_image,
        "inference_gap": found.inference_gap,
        "remaining_gap": found.remaining_gap,
    }
    if as_json:
        result(json.dumps({"model": info.name, "unit": "bits/dim", **rows}, indent=2))
        return
    result(f"{info.name}: -ELBO in bits/dim (diagnosis: optimal inference has seen the test images)")
    for name, value in rows.items():
        result(f"  {name.replace('_', ' '):24}{value:9.5f}")
