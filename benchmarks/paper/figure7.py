"""Figures 7 and 8: bits/dim of real files against K and against time, with the baseline's and half-asleep encoders.

Section 5: latent 10, the VAE of 100 epochs, a half-asleep encoder of as many more (grey: 50); the first 1,000 test
images as one chain, as archives hold it. Steps are the paper's (Adam) or natural-gradient steps. Times are CPU time of
the chain, one thread, best of two; decompressing is timed with comparing what came back. Kinds that are not asked for
keep their rows.
"""

from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from chains import chain
from experiment import Curve, Experiment, Images, run
from kinds import KINDS

from bbcompress.codec.refine import Method
from bbcompress.images.picture import Picture
from bbcompress.train.architectures import export
from bbcompress.train.vae import VAEBase

STEPS = (0, 1, 2, 3, 4, 5, 7, 10)
FIGURE8 = "same rate as half-asleep at K = 0"


def measure(experiment: Experiment) -> None:
    rows: list[dict[str, Any]] = []
    for name in experiment.kinds:
        images = experiment.images(name)
        tasks = []
        for encoder, model in encoders(experiment, images).items():
            path = experiment.work / f"{name}-{images.kind.coding_latent}-{encoder}.safetensors"
            export(model, images.train, path.stem, path)
            tasks += [(images.name, coded(images, experiment.quick), path, encoder, method) for method in Method]
        with ProcessPoolExecutor(experiment.options.processes, get_context("spawn")) as pool:
            steps = (0, 2) if experiment.quick else STEPS
            waiting = [pool.submit(chain, *task, K) for K in steps for task in tasks]
            try:
                for future in as_completed(waiting):
                    experiment.add(rows, future.result())
                    experiment.check_time(f"chain {len(rows)} of {len(waiting)}")
            finally:
                pool.shutdown(cancel_futures=True)
    rows.sort(key=lambda row: (row["kind"], row["encoder"], row["method"], row["K"]))
    experiment.write(rows, "bits/dim of chains, decoded and compared; CPU ms an image")
    rows = experiment.results()["rows"]
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
    figure8 = experiment.named("figure8")
    figure8.plot(by_time, "time to compress (CPU ms an image)", "net rate (bits/dim)")
    mine = [row for row in rows if row["kind"] in experiment.kinds]
    figure8.write(same_rate(mine), f"{FIGURE8}: the fewest steps of the baseline's encoder that reach it")


def encoders(experiment: Experiment, images: Images) -> dict[str, VAEBase]:
    """Both with the same decoder."""
    kind = images.kind
    baseline = experiment.vae(images, kind.coding_latent, kind.coding_vae)
    options = replace(kind.coding_encoder, objective=kind.objective("half-asleep"))
    # named as `fitted` does, which has trained it already where section 4 has the same VAE
    name = f"{baseline.path.name}-at-{baseline.state.epoch}-half-asleep-0"
    half_asleep = experiment.run(name, baseline.model, images, options)
    return {"baseline": baseline.model, "half-asleep": half_asleep.model}


def coded(images: Images, quick: bool) -> list[Picture]:
    """The test images of a chain."""
    count = 20 if quick else images.kind.coded_images
    height, width, channels = (28, 28, 1) if images.test.ndim == 2 else (*images.test.shape[2:], images.test.shape[1])
    pixels = images.test[:count].reshape(-1, channels, height, width).permute(0, 2, 3, 1).contiguous().numpy()
    return [Picture(images.kind.mode, image[:, :, 0] if channels == 1 else image) for image in pixels]


def points(rows: list[dict[str, Any]], encoder: str, method: str, x: str) -> list[tuple[Any, Any]]:
    return [(row[x], row["net_bits_per_dim"]) for row in rows if (row["encoder"], row["method"]) == (encoder, method)]


def same_rate(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
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
    run(measure, "figure7", __doc__)
