"""What the parts of the models bring: bits per dimension by stage and for the latents, by encoder and refinement steps.

    python benchmarks/ablation.py [--mnist FILE] [--cifar-10 FILE] [--sets binary grey colour] [--images 1000]
        [--encoders ENCODER/MODEL.safetensors ...]

Each set has the paper's model, which decodes all pixels at once, and a staged one, coarse to fine. `parts` are the
-ELBO's: the latents' KL, then each stage; where a stage is (stride, row, column), its share of the pixels, and bits/dim
of these pixels alone. `chain` is the bytes of all images, decoded and compared, with CPU time of one thread, by
refinement steps K; those of `--encoders`, models that `bbc fit-encoder` made of the sets' ones under their names, are
coded with K = 0 and named after their folders.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, Named, arguments, cases, chain_decoded, chain_of, write_results
from speed import timed

from bbcompress.codec.elbo import parts_bits_per_dim
from bbcompress.codec.registry import Registry
from bbcompress.codec.spatial import SpatialModel

STEPS = (0, 1, 2, 5, 10)
SAMPLES = 4
LEAST_LABELLED = 0.03
"""Of a model's whole rate; smaller parts have no room for their name."""


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.set_defaults(images=1000)
    parser.add_argument("--encoders", nargs="+", type=Path, default=[], help="models with other encoders")
    options = parser.parse_args()
    registry = Registry(files=options.encoders)
    rows: list[dict[str, object]] = []
    for name, images, named, path in cases(options, registry):
        if path in options.encoders:
            continue
        own = [*parts(registry.load(path), images)]
        own += [chain_row(named, registry, path, steps, f"K = {steps}") for steps in STEPS]
        others = [other for other in options.encoders if other.stem == path.stem]
        own += [chain_row(named, registry, other, 0, f"K = 0, {other.parent.name}") for other in others]
        rows += [{"set": name, "model": path.stem} | row for row in own]
    write_results("ablation", options.output, rows, "-ELBO by parts; chains: bytes of all images, CPU ms an image")
    plot(rows, (options.output or RESULTS / "ablation.json").with_suffix(".png"))


def chain_row(named: Named, registry: Registry, path: Path, steps: int, label: str) -> dict[str, object]:
    """All images as one chain of a model, decoded and compared."""
    chained = [picture for _, picture in named]
    compress = timed(partial(chain_of, chained, registry.load(path), steps), 1, len(named))
    decompress = timed(partial(chain_decoded, compress.result, chained, registry), 1, len(named))
    bits_per_dim = 8 * len(compress.result.payload.data) / sum(picture.pixels.size for picture in chained)
    row = {"part": f"chain, {label}", "share": 1.0, "bits_per_dim": bits_per_dim, "of_its_pixels": bits_per_dim}
    return row | {"compress_ms": compress.cpu_ms, "decompress_ms": decompress.cpu_ms}


def parts(model: Any, images: np.ndarray) -> Iterator[dict[str, object]]:
    """The parts of a model's -ELBO."""
    kl, *stages = parts_bits_per_dim(model.sized(*images.shape[1:3]), images.reshape(len(images), -1), SAMPLES)
    yield row_of("latents", 0.0, kl)
    if not isinstance(model, SpatialModel):
        yield row_of("all pixels", 1.0, sum(stages))
        return
    channels = model.info.channels
    specs = [stage for scale in model.networks.scales for stage in scale.spec.stages]
    for number, (stride, row, column) in enumerate(specs):
        bits = sum(stages[channels * number : channels * (number + 1)])
        yield row_of(f"1/{stride}: {row}, {column}", 1 / stride**2, bits)


def row_of(part: str, share: float, bits_per_dim: float) -> dict[str, object]:
    own = bits_per_dim / share if share else ""
    times = {"compress_ms": "", "decompress_ms": ""}
    return {"part": part, "share": share, "bits_per_dim": bits_per_dim, "of_its_pixels": own} | times


def plot(rows: list[dict[str, Any]], path: Any) -> None:
    """A column a set: above the models' parts as stacked bars, the latents below; under it what refinement steps and
    other encoders bring, against time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(row["set"] for row in rows))
    figure, axes = pyplot.subplots(2, len(names), figsize=(1 + 4 * len(names), 8), squeeze=False, layout="constrained")
    for (above, below), name in zip(axes.T, names, strict=True):
        for model in dict.fromkeys(row["model"] for row in rows if row["set"] == name):
            own = [row for row in rows if (row["set"], row["model"]) == (name, model)]
            plot_parts(above, model, [row for row in own if row["compress_ms"] == ""])
            plot_chains(below, model, [row for row in own if row["compress_ms"] != ""])
        above.set(ylabel="-ELBO (bits/dim)", title=name)
        below.set(xlabel="compress (CPU ms an image)", ylabel="total bits, % more than with K = 0", xscale="log")
        below.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def plot_parts(axis: Any, model: str, parts: list[dict[str, Any]]) -> None:
    """A bar."""
    base, whole = 0.0, sum(row["bits_per_dim"] for row in parts)
    for number, row in enumerate(parts):
        axis.bar(model, row["bits_per_dim"], bottom=base, color=f"C{number}", edgecolor="white")
        if row["bits_per_dim"] > LEAST_LABELLED * whole:
            axis.annotate(row["part"], (model, base + row["bits_per_dim"] / 2), ha="center", va="center", fontsize=7)
        base += row["bits_per_dim"]


def plot_chains(axis: Any, model: str, chains: list[dict[str, Any]]) -> None:
    """A line over K, and a star for each other encoder."""
    times = [row["compress_ms"] for row in chains]
    more = [100 * (row["bits_per_dim"] / chains[0]["bits_per_dim"] - 1) for row in chains]
    (line,) = axis.plot(times[: len(STEPS)], more[: len(STEPS)], marker="o", label=f"{model}, K = {STEPS}")
    for row, x, y in zip(chains[len(STEPS) :], times[len(STEPS) :], more[len(STEPS) :], strict=True):
        axis.plot(x, y, marker="*", markersize=10, color=line.get_color())
        axis.annotate(row["part"].removeprefix("chain, K = 0, "), (x, y), fontsize=7)


if __name__ == "__main__":
    main()
