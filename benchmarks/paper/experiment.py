"""What the paper's experiments share: data, trained models and fitted encoders that resume, results and plots.

Everything trained is kept in a work folder, so that a script that was stopped goes on where it was, and scripts use
each other's models. The test set is measured, never chosen by: the last weights are taken, not the best.
"""

import argparse
import copy
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bbcompress.datasets import binarize, load
from bbcompress.datasets.download import download
from bbcompress.train.loop import TrainingOptions, TrainingState, load_weights, snapshot, train
from bbcompress.train.vae import VAE, VAEConfig

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine, table

RESULTS = Path(__file__).parent / "results"
KINDS = ("binary", "grey")


@dataclass(frozen=True)
class Digits:
    """Training and test pixels (N, 784) uint8 of one kind."""

    kind: str
    train: Tensor
    test: Tensor


class Experiment:
    """One script's options, data and results. `quick` makes everything tiny: it shows that the script runs."""

    def __init__(self, name: str, description: str):
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--train", help="MNIST training images: an IDX, .npy or .npz file; default: downloaded")
        parser.add_argument("--test", help="MNIST test images, likewise")
        parser.add_argument("--quick", action="store_true", help="tiny data and few epochs; results go to --work")
        parser.add_argument(
            "--work", type=Path, default=Path(__file__).parent / "work", help="folder of trained models"
        )
        parser.add_argument("--threads", type=int, default=1, help="threads of torch")
        self.options = parser.parse_args()
        self.name = name
        self.quick = self.options.quick
        self.work = self.options.work / "quick" if self.quick else self.options.work
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
        return min(count, 2) if self.quick else count

    def vae(
        self, digits: Digits, latent: int, epochs: int, seed: int = 0, name: str | None = None, **options: Any
    ) -> "Run":
        """A VAE of section 4, trained with the ELBO: two hidden layers of 500, Adam 3e-4, batches of 100."""
        torch.manual_seed(seed)
        start = VAE(VAEConfig(28, 28, 2 if digits.kind == "binary" else 256, latent))
        training = TrainingOptions(epochs=epochs, seed=seed, keep_best=False, gradient_clip=0, **options)
        return self.run(name or f"{digits.kind}-{latent}-{seed}", start, digits.train, digits.test, training)

    def encoder(self, name: str, model: VAE, pixels: Tensor, test: Tensor, **options: Any) -> "Run":
        """A further trained encoder for the decoder of `model`."""
        model = copy.deepcopy(model)
        training = TrainingOptions(encoder_only=True, keep_best=False, gradient_clip=0, **options)
        return self.run(name, model, pixels, test, training)

    def run(self, name: str, start: VAE, pixels: Tensor, test: Tensor, options: TrainingOptions) -> "Run":
        """Train, or go on, or take what is there."""
        options = replace(
            options, epochs=self.epochs(options.epochs), snapshots=min(options.snapshots, self.epochs(100))
        )
        path = self.work / name

        def report(row: dict[str, float]) -> None:
            print(f"{name} epoch {row['epoch']:.0f}: test {row['held_out_bits_per_dim']:.5f} bits/dim", flush=True)

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

    def curve(self) -> list[float]:
        """Test bits/dim after each epoch."""
        log = self.path.with_name(self.path.name + ".csv").read_text().splitlines()[1:]
        return [float(line.split(",")[-1]) for line in log]
