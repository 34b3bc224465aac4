"""Figures 7 and 8: bits/dim of real archives against K and against time, with the baseline's and half-asleep encoders.

Section 5: latent 10, the VAE of 100 epochs, a half-asleep encoder of as many more (grey: 50); the first 1,000 test
images as one archive. Steps are the paper's (Adam) or natural-gradient steps. Times are CPU time of the whole archive,
one thread, best of two, without the encoder's own check; decompressing is timed with comparing what
came back.
"""

from functools import partial
from pathlib import Path

from experiment import OBJECTIVES, Curve, Digits, Experiment

from bbcompress.archive.compress import Options, compress_archive
from bbcompress.codec.refine import Method
from bbcompress.codec.registry import Registry
from bbcompress.train.export import export
from bbcompress.train.vae import VAE

from common import decoded, pictures  # isort: skip
from speed import cpu_ms  # isort: skip

EPOCHS = 100
ENCODER_EPOCHS = {"binary": 100, "grey": 50}
"""The paper's are 100."""
STEPS = (0, 1, 2, 3, 4, 5, 7, 10)
IMAGES = 1000
RUNS = 2
FIGURE8 = "same rate as half-asleep at K = 0"


def main() -> None:
    experiment = Experiment("figure7", __doc__)
    rows = []
    by_steps, by_time = {}, {}
    for kind in experiment.kinds:
        digits = experiment.digits(kind)
        first = len(rows)
        for encoder, model in encoders(experiment, digits).items():
            path = experiment.work / f"{kind}-10-{encoder}.safetensors"
            export(model, digits.train, path.stem, path)
            rows += [row for method in Method for row in archives(experiment, digits, path, encoder, method)]
        found = rows[first:]
        names = sorted({(row["encoder"], row["method"]) for row in found}, reverse=True)
        for panels, x in ((by_steps, "K"), (by_time, "compress_ms")):
            panels[f"{kind} MNIST, {len(digits.test[:IMAGES])} images"] = {
                f"{encoder}, {method} steps": Curve(*zip(*points(found, encoder, method, x), strict=True))
                for encoder, method in names
            }
    experiment.plot(by_steps, "refinement steps K", "net rate (bits/dim)")
    experiment.write(rows, "bits/dim of archives, decoded and compared; CPU ms an image, without files and the check")
    experiment.name = "figure8"
    experiment.plot(by_time, "time to compress (CPU ms an image)", "net rate (bits/dim)")
    experiment.write(same_rate(rows), f"{FIGURE8}: the fewest steps of the baseline's encoder that reach it")


def encoders(experiment: Experiment, digits: Digits) -> dict[str, VAE]:
    """Both with the same decoder."""
    baseline = experiment.vae(digits, 10, EPOCHS)
    half_asleep = experiment.encoder(
        f"{digits.kind}-10-0-half-asleep", digits, baseline.model, OBJECTIVES["half-asleep"],
        epochs=ENCODER_EPOCHS[digits.kind], learning_rate=3e-4,
    )  # fmt: skip
    return {"baseline": baseline.model, "half-asleep": half_asleep.model}


def archives(
    experiment: Experiment, digits: Digits, path: Path, encoder: str, method: Method
) -> list[dict[str, object]]:
    """One row for each K; K = 0 is the same with every method."""
    images = digits.test[: 50 if experiment.quick else IMAGES].numpy().reshape(-1, 28, 28)
    named = pictures(images * 255 if digits.kind == "binary" else images, digits.kind)
    registry = Registry(files=[path])
    registry.load(path)
    rows: list[dict[str, object]] = []
    for steps in (0, 2) if experiment.quick else STEPS:
        options = Options(refine_steps=steps, model=path, check=False, refine_method=method)
        compress_ms, (data, summary) = cpu_ms(partial(compress_archive, named, registry, options), RUNS, len(named))
        decompress_ms, _ = cpu_ms(partial(decoded, data, named, registry), RUNS, len(named))
        rows.append(
            {
                "kind": digits.kind,
                "encoder": encoder,
                "method": method.name.lower(),
                "K": steps,
                "net_bits_per_dim": summary.net_bits_per_dim,
                "total_bits_per_dim": summary.total_bits_per_dim,
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
