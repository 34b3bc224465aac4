"""Figures 7 and 8: bits/dim of real files against K and against time, with the baseline's and half-asleep encoders.

Section 5: latent 10, the VAE of 100 epochs, a half-asleep encoder of as many more (grey: 50); the first 1,000 test
images as one chain, as archives hold it. Steps are the paper's (Adam) or natural-gradient steps. Times are CPU time of
the chain, one thread, best of two; decompressing is timed with comparing what came back. Kinds that are not asked for
keep their rows.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from experiment import Curve, Experiment, Images
from kinds import KINDS

from bbcompress.codec.refine import Method
from bbcompress.codec.registry import Registry
from bbcompress.images.picture import Picture
from bbcompress.train.architectures import export
from bbcompress.train.vae import VAEBase

from common import chain_decoded, chain_of  # isort: skip
from speed import cpu_ms  # isort: skip

STEPS = (0, 1, 2, 3, 4, 5, 7, 10)
RUNS = 2
FIGURE8 = "same rate as half-asleep at K = 0"


def main() -> None:
    experiment = Experiment("figure7", __doc__)
    rows = experiment.other_rows()
    for name in experiment.kinds:
        images = experiment.images(name)
        for encoder, model in encoders(experiment, images).items():
            path = experiment.work / f"{name}-{images.kind.coding_latent}-{encoder}.safetensors"
            export(model, images.train, path.stem, path)
            rows += [row for method in Method for row in chains(images, path, encoder, method, experiment.quick)]
    experiment.write(rows, "bits/dim of chains, decoded and compared; CPU ms an image")
    by_steps, by_time = {}, {}
    for name in dict.fromkeys(row["kind"] for row in rows):
        found = [row for row in rows if row["kind"] == name]
        names = sorted({(row["encoder"], row["method"]) for row in found}, reverse=True)
        for panels, x in ((by_steps, "K"), (by_time, "compress_ms")):
            panels[f"{KINDS[name].title}, {found[0]['images']} images"] = {
                f"{encoder}, {method} steps": Curve(*zip(*points(found, encoder, method, x), strict=True))
                for encoder, method in names
            }
    experiment.plot(by_steps, "refinement steps K", "net rate (bits/dim)")
    experiment.name = "figure8"
    experiment.plot(by_time, "time to compress (CPU ms an image)", "net rate (bits/dim)")
    experiment.write(same_rate(rows), f"{FIGURE8}: the fewest steps of the baseline's encoder that reach it")


def encoders(experiment: Experiment, images: Images) -> dict[str, VAEBase]:
    """Both with the same decoder."""
    kind = images.kind
    baseline = experiment.vae(images, kind.coding_latent, kind.coding_vae)
    options = replace(kind.coding_encoder, objective=kind.objective("half-asleep"))
    half_asleep = experiment.run(f"{baseline.path.name}-half-asleep", baseline.model, images, options)
    return {"baseline": baseline.model, "half-asleep": half_asleep.model}


def pictures(images: Images, count: int) -> list[Picture]:
    """The first test images."""
    height, width, channels = (28, 28, 1) if images.test.ndim == 2 else (*images.test.shape[2:], images.test.shape[1])
    pixels = images.test[:count].reshape(-1, channels, height, width).permute(0, 2, 3, 1).contiguous().numpy()
    return [Picture(images.kind.mode, image[:, :, 0] if channels == 1 else image) for image in pixels]


def chains(images: Images, path: Path, encoder: str, method: Method, quick: bool) -> list[dict[str, object]]:
    """One row for each K; K = 0 is the same with every method."""
    coded = pictures(images, 50 if quick else images.kind.coded_images)
    registry = Registry(files=[path])
    model = registry.load(path)
    subpixels = sum(picture.pixels.size for picture in coded)
    rows: list[dict[str, object]] = []
    for steps in (0, 2) if quick else STEPS:
        compress_ms, chain = cpu_ms(partial(chain_of, coded, model, steps, method), RUNS, len(coded))
        decompress_ms, _ = cpu_ms(partial(chain_decoded, chain, coded, registry), RUNS, len(coded))
        rows.append(
            {
                "kind": images.name,
                "images": len(coded),
                "encoder": encoder,
                "method": method.name.lower(),
                "K": steps,
                "net_bits_per_dim": float(chain.net_bits.sum()) / subpixels,
                "total_bits_per_dim": 8 * len(chain.payload.data) / subpixels,
                "compress_ms": compress_ms,
                "decompress_ms": decompress_ms,
            }
        )
    return rows


def points(rows: list[dict[str, object]], encoder: str, method: str, x: str) -> list[tuple[object, object]]:
    return [(row[x], row["net_bits_per_dim"]) for row in rows if (row["encoder"], row["method"]) == (encoder, method)]


def same_rate(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Figure 8: what the baseline's encoder needs for the rate that the half-asleep one has without refinement."""
    table = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        for method in Method:
            mine = [row for row in rows if (row["kind"], row["method"]) == (kind, method.name.lower())]
            ours = next(row for row in mine if row["encoder"] == "half-asleep" and row["K"] == 0)
            reach = [row for row in mine if row["net_bits_per_dim"] <= ours["net_bits_per_dim"]]
            baseline = [row for row in mine if row["encoder"] == "baseline"]
            reached = next((row for row in baseline if row in reach), baseline[-1])
            table += [
                {"case": case} | row
                for case, row in (("baseline", baseline[0]), ("half-asleep", ours), (FIGURE8, reached))
            ]
    return table


if __name__ == "__main__":
    main()
