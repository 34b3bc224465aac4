"""What the parts of the models bring: bits per dimension by stage and for the latents, and by refinement steps.

    python benchmarks/ablation.py [--mnist FILE] [--cifar-10 FILE] [--sets binary grey colour luma] [--images 1000]

Each set has the paper's model, which decodes all pixels at once, and a staged one, coarse to fine. `parts` are the
-ELBO's: the latents' KL, then each stage; where a stage is (stride, row, column), its share of the pixels, and bits/dim
of these pixels alone. `chain` is the bytes of all images, decoded and compared, with CPU time of one thread, by
refinement steps K.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from common import RESULTS, arguments, cases, chain_decoded, chain_of, write_results
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
    options = parser.parse_args()
    registry = Registry()
    rows: list[dict[str, object]] = []
    for name, images, named, path in cases(options, registry):
        model = registry.load(path)
        chained = [picture for _, picture in named]
        rows += [{"set": name, "model": path.stem} | row for row in parts(model, images)]
        for steps in STEPS:
            _, compress_ms, chain = timed(partial(chain_of, chained, model, steps), 1, len(named))
            _, decompress_ms, _ = timed(partial(chain_decoded, chain, chained, registry), 1, len(named))
            bits_per_dim = 8 * len(chain.payload.data) / images.size
            row = {"part": f"chain, K = {steps}", "share": 1.0, "bits_per_dim": bits_per_dim}
            times = {"of_its_pixels": bits_per_dim, "compress_ms": compress_ms, "decompress_ms": decompress_ms}
            rows.append({"set": name, "model": path.stem} | row | times)
    write_results("ablation", options.output, rows, "-ELBO by parts; chains: bytes of all images, CPU ms an image")
    plot(rows, (options.output or RESULTS / "ablation.json").with_suffix(".png"))


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
    """A panel a set: the models' parts as stacked bars, the latents below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(row["set"] for row in rows))
    figure, axes = pyplot.subplots(
        1, len(names), figsize=(1 + 4 * len(names), 4.5), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[0], names, strict=True):
        for model in dict.fromkeys(row["model"] for row in rows if row["set"] == name):
            below = 0.0
            parts = [row for row in rows if row["model"] == model and row["compress_ms"] == ""]
            whole = sum(row["bits_per_dim"] for row in parts)
            for number, row in enumerate(parts):
                axis.bar(model, row["bits_per_dim"], bottom=below, color=f"C{number}", edgecolor="white")
                if row["bits_per_dim"] > LEAST_LABELLED * whole:
                    middle = below + row["bits_per_dim"] / 2
                    axis.annotate(row["part"], (model, middle), ha="center", va="center", fontsize=7)
                below += row["bits_per_dim"]
        axis.set(ylabel="-ELBO (bits/dim)", title=name)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
