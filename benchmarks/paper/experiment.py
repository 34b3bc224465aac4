"""What the paper's experiments share: data, trained models and fitted encoders that resume, results and plots.

Everything trained is kept in a work folder, so that a script that was stopped goes on where it was, and scripts use
each other's models. The test set is measured, never chosen by: the last weights are taken, not the best.
"""

import argparse
import copy
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from torch import Tensor

from bbcompress.datasets import binarize, load
from bbcompress.datasets.download import download
from bbcompress.train.loop import TrainingOptions, TrainingState, load_weights, snapshot, train
from bbcompress.train.objectives import ELBO, Denoising, HalfAsleep, Objective, Sleep
from bbcompress.train.vae import VAE, VAEConfig

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import MaxNLocator

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine, table

RESULTS = Path(__file__).parent / "results"
KINDS = ("binary", "grey")
SEEDS = (0, 1, 2)
LATENT = {"binary": 16, "grey": 32}
"""Section 4."""
VAE_EPOCHS = {"binary": 1000, "grey": 150}
"""The paper's are 1,000 for both."""
SNAPSHOT_EPOCHS = 50
"""Epochs from one snapshot of a VAE to the next."""
FIT_EPOCHS = {"binary": 20, "grey": 10}
"""Epochs of a further trained encoder. The paper's are 100, or 300 for grey images in Table 1."""
FIT_LEARNING_RATE = 5e-4
"""Section 4."""
OBJECTIVES: dict[str, Objective] = {
    "VAE": ELBO(),
    "half-asleep": HalfAsleep(0.5),
    "reverse sleep": HalfAsleep(1.0),
    "sleep": Sleep(),
    **{f"denoising {sigma}": Denoising(sigma) for sigma in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)},
}


@dataclass(frozen=True)
class Digits:
    """Training and test pixels (N, 784) uint8 of one kind."""

    kind: str
    train: Tensor
    test: Tensor


@dataclass(frozen=True)
class Run:
    """What was trained: the model as it is at the end, snapshots, and the log of every epoch."""

    path: Path
    state: TrainingState

    @property
    def model(self) -> VAE:
        return self.state.best

    def at_epoch(self, epoch: int) -> VAE:
        return load_weights(snapshot(self.path, epoch))

    def curve(self, column: str = "held_out_bits_per_dim") -> list[float]:
        """A column of the log after each epoch: bits/dim of the test set, one sample an image."""
        header, *rows = self.path.with_name(self.path.name + ".csv").read_text().splitlines()
        place = header.split(",").index(column)
        return [float(row.split(",")[place]) for row in rows]


class Experiment:
    """One script's options, data and results. `quick` makes everything tiny: it shows that the script runs."""

    def __init__(self, name: str, description: str | None, kinds: Sequence[str] = KINDS):
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--train", help="MNIST training images: an IDX, .npy or .npz file; default: downloaded")
        parser.add_argument("--test", help="MNIST test images, likewise")
        parser.add_argument("--kinds", nargs="+", choices=kinds, default=list(kinds))
        parser.add_argument("--epochs", type=int, help="train the VAEs for fewer epochs than the script says")
        parser.add_argument("--quick", action="store_true", help="few images and epochs, results into --work")
        parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work", help="folder of models")
        parser.add_argument("--threads", type=int, default=1, help="threads of torch")
        self.options = parser.parse_args()
        self.name = name
        self.kinds: list[str] = self.options.kinds
        self.quick: bool = self.options.quick
        self.work: Path = self.options.work / "quick" if self.quick else self.options.work
        self.work.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(self.options.threads)
        # Adam's moments decay into denormal numbers, which are ten times slower
        torch.set_flush_denormal(True)

    def digits(self, kind: str) -> Digits:
        """MNIST; binary pixels are rounded at one half."""
        parts = []
        for part, count in (("train", 2000), ("test", 500)):
            images = load(getattr(self.options, part) or download("mnist")[part])
            pixels = (binarize(images) if kind == "binary" else images).reshape(len(images), -1)
            parts.append(torch.from_numpy(np.ascontiguousarray(pixels[:count] if self.quick else pixels)))
        return Digits(kind, *parts)

    def epochs(self, count: int) -> int:
        """`count`, or what the options limit it to."""
        return min(count, 2 if self.quick else self.options.epochs or count)

    def snapshots(self, kind: str, wanted: Sequence[int]) -> list[int]:
        """Those of the wanted epochs of `section4_vae` that there are."""
        return [2] if self.quick else [epoch for epoch in wanted if epoch <= self.epochs(VAE_EPOCHS[kind])]

    def section4_vae(self, digits: Digits) -> Run:
        """The VAE of section 4, with snapshots."""
        return self.vae(digits, LATENT[digits.kind], VAE_EPOCHS[digits.kind], snapshots=SNAPSHOT_EPOCHS)

    def vae(self, digits: Digits, latent: int, epochs: int, name: str | None = None, **options: Any) -> Run:
        """A VAE trained with the ELBO: two hidden layers of 500, Adam 3e-4, batches of 100."""
        torch.manual_seed(0)
        start = VAE(VAEConfig(28, 28, 2 if digits.kind == "binary" else 256, latent))
        training = TrainingOptions(epochs=self.epochs(epochs), keep_best=False, gradient_clip=0, **options)
        return self.run(name or f"{digits.kind}-{latent}-0", start, digits.train, digits.test, training)

    def fitted(
        self, digits: Digits, vae: Run, epoch: int, objective: str, seed: int = 0, epochs: int | None = None
    ) -> Run:
        """The encoder of a VAE as it was at `epoch`, trained further by one of OBJECTIVES."""
        name = f"{vae.path.name}-at-{epoch}-{objective}-{seed}".replace(" ", "-")
        if epochs is None:
            return self.encoder(name, digits, vae.at_epoch(epoch), OBJECTIVES[objective], seed=seed)
        name = f"{name}-for-{epochs}"
        return self.encoder(name, digits, vae.at_epoch(epoch), OBJECTIVES[objective], seed=seed, epochs=epochs)

    def optimal(self, digits: Digits, vae: Run, epoch: int) -> Run:
        """The same on the ELBO of the test set, for as many steps (Eq. 9): a diagnosis."""
        epochs = FIT_EPOCHS[digits.kind] * len(digits.train) // len(digits.test)
        name = f"{vae.path.name}-at-{epoch}-optimal"
        return self.encoder(name, replace(digits, train=digits.test), vae.at_epoch(epoch), ELBO(), epochs=epochs)

    def encoder(self, name: str, digits: Digits, model: VAE, objective: Objective, **options: Any) -> Run:
        """A further trained encoder for the decoder of `model`."""
        fit = {"epochs": FIT_EPOCHS[digits.kind], "learning_rate": FIT_LEARNING_RATE} | options
        fit["epochs"] = 2 if self.quick else fit["epochs"]
        training = TrainingOptions(objective, encoder_only=True, keep_best=False, gradient_clip=0, **fit)
        return self.run(name, copy.deepcopy(model), digits.train, digits.test, training)

    def run(self, name: str, start: VAE, pixels: Tensor, test: Tensor, options: TrainingOptions) -> Run:
        """Train, or go on, or take what is there."""
        path = self.work / name

        def report(row: dict[str, float]) -> None:
            print(f"{name} epoch {row['epoch']:.0f}: test {row['held_out_bits_per_dim']:.5f} bits/dim", flush=True)

        if self.quick:
            options = replace(options, snapshots=min(options.snapshots, 2))
        return Run(path, train(start, pixels, test, options, path, report))

    def write(self, rows: list[dict[str, Any]], notes: str) -> None:
        """Print rows as a table, and write them with the machine as JSON."""
        print("\n".join(table(rows)))
        record = {"experiment": self.name, "notes": notes, "machine": machine() | {"torch": torch.__version__}}
        self.result("json").write_text(json.dumps(record | {"rows": rows}, indent=1) + "\n")

    def result(self, suffix: str) -> Path:
        """Where a result goes; the committed ones are never replaced by a quick run's."""
        folder = self.work if self.quick else RESULTS
        folder.mkdir(exist_ok=True)
        return folder / f"{self.name}.{suffix}"

    def plot(
        self, panels: Mapping[str, Mapping[str, "Curve"]], xlabel: str, ylabel: str = "test -ELBO (bits/dim)"
    ) -> None:
        """Write curves by label, a panel a title, as PNG."""
        figure, axes = pyplot.subplots(
            1, len(panels), figsize=(1 + 5 * len(panels), 4.2), squeeze=False, layout="constrained"
        )
        for axis, (title, curves) in zip(axes[0], panels.items(), strict=True):
            for label, curve in curves.items():
                marker = "o" if len(curve.x) <= 40 else None
                (line,) = axis.plot(curve.x, curve.mean, label=label, marker=marker, markersize=3)
                if curve.deviation is not None:
                    low, high = curve.mean - curve.deviation, curve.mean + curve.deviation
                    axis.fill_between(curve.x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
            axis.set(xlabel=xlabel, ylabel=ylabel)
            axis.set_title(title, fontsize="medium")
            whole = all(float(x).is_integer() for curve in curves.values() for x in curve.x)
            axis.xaxis.set_major_locator(MaxNLocator("auto", integer=whole))
            axis.grid(alpha=0.3)
            axis.legend(fontsize="small")
        figure.savefig(self.result("png"), dpi=110)
        pyplot.close(figure)


@dataclass(frozen=True)
class Curve:
    """Points of a plot, and their standard deviation over seeds if there are several."""

    x: Sequence[float]
    mean: Any
    deviation: Any = None


def over_seeds(curves: Sequence[Sequence[float]]) -> Curve:
    """Mean and deviation of curves that have a value after every epoch, from 1 on."""
    values = np.array(curves)
    return Curve(range(1, values.shape[1] + 1), values.mean(0), values.std(0, ddof=1) if len(values) > 1 else None)
