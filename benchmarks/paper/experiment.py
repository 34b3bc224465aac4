"""What the paper's experiments share: data, trained models and fitted encoders that resume, results and plots.

Everything trained is kept in a work folder, so that a script that was stopped goes on where it was, and scripts use
each other's models. The test set is measured, never chosen by: the last weights are taken, not the best.
"""

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from torch import Tensor

from bbcompress.datasets import load
from bbcompress.datasets.download import download
from bbcompress.train.architectures import to_tensor
from bbcompress.train.cuda_graph import chosen_device
from bbcompress.train.loop import CPU, TrainingOptions, TrainingState, evaluate, snapshot, train, with_weights
from bbcompress.train.vae import VAEBase

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import MaxNLocator

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import machine, table
from kinds import KINDS, Kind

RESULTS = Path(__file__).parent / "results"
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Images:
    """Training and test pixels (N, ...) uint8 of one kind, as its VAEs take them."""

    name: str
    kind: Kind
    train: Tensor
    test: Tensor


@dataclass(frozen=True)
class Run:
    """What was trained: the model as it is at the end, snapshots, and the log of every epoch."""

    path: Path
    state: TrainingState

    @property
    def model(self) -> VAEBase:
        return self.state.best

    def at_epoch(self, epoch: int) -> VAEBase:
        if epoch == self.state.epoch:
            return copy.deepcopy(self.model)
        return with_weights(self.model, snapshot(self.path, epoch))

    def curve(self, column: str = "held_out_bits_per_dim") -> list[float]:
        """A column of the log after each epoch: bits/dim of the test set, one sample an image."""
        header, *rows = self.path.with_name(self.path.name + ".csv").read_text().splitlines()
        place = header.split(",").index(column)
        return [float(row.split(",")[place]) for row in rows]


class OutOfTime(Exception):
    """The minutes that were given are used up; says how far what was being done came."""


class Experiment:
    """One script's options, data and results. `quick` makes everything tiny: it shows that the script runs."""

    def __init__(
        self,
        name: str,
        description: str | None,
        kinds: Sequence[str] = tuple(KINDS),
        given: Sequence[str] | None = None,
    ):
        """`given` are the command line's words; by default those of the process."""
        parser = argparse.ArgumentParser(description=description)
        for dataset in ("mnist", "cifar-10"):
            parser.add_argument(
                f"--{dataset}",
                nargs=2,
                metavar=("TRAIN", "TEST"),
                help=f"{dataset} images: IDX, .npy or .npz files, CIFAR batches; default: downloaded",
            )
        parser.add_argument("--kinds", nargs="+", choices=kinds, default=list(kinds))
        parser.add_argument("--epochs", type=int, help="train the VAEs for fewer epochs than the script says")
        parser.add_argument("--further", type=int, help="train encoders further for fewer epochs than it says")
        parser.add_argument("--minutes", type=float, help="end in time; the same command then goes on")
        parser.add_argument("--device", default="cpu", help="where networks are trained: cpu, or cuda")
        parser.add_argument("--quick", action="store_true", help="few images and epochs, results into --work")
        parser.add_argument("--work", type=Path, default=Path(__file__).parent / "work", help="folder of models")
        parser.add_argument("--threads", type=int, default=1, help="threads that train; runs depend on their number")
        parser.add_argument("--processes", type=int, default=1, help="processes that code (figure 7)")
        self.options = parser.parse_args(given)
        self.device = chosen_device(self.options.device)
        self.end = time.monotonic() + 60 * self.options.minutes if self.options.minutes else float("inf")
        self.name = name
        self._all_kinds = len(kinds)
        self.kinds: list[str] = self.options.kinds
        self.quick: bool = self.options.quick
        self.work: Path = self.options.work / "quick" if self.quick else self.options.work
        self.work.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(self.options.threads)
        # Adam's moments decay into denormal numbers, which are ten times slower
        torch.set_flush_denormal(True)

    def images(self, name: str) -> Images:
        """The images of a kind."""
        kind = KINDS[name]
        given = getattr(self.options, kind.dataset.replace("-", "_"))
        sources = dict(zip(("train", "test"), given, strict=True)) if given else download(kind.dataset)
        train, test = (kind.prepared(load(sources[part])) for part in ("train", "test"))
        if self.quick:
            train, test = train[: kind.coded_images], test[: kind.coded_images // 2]
        model = kind.new_vae(kind.latent)
        return Images(name, kind, to_tensor(model, train), to_tensor(model, test))

    def section4_vae(self, images: Images) -> Run:
        """The VAE of section 4, with snapshots."""
        return self.vae(images, images.kind.latent, images.kind.vae)

    def snapshots(self, images: Images) -> list[int]:
        """Those epochs of `section4_vae` that are looked at, as far as there are such; the last is its end."""
        last = self.shortened(images.kind.vae).epochs
        return [epoch for epoch in images.kind.snapshots if epoch < last] + [last]

    def vae(self, images: Images, latent: int, options: TrainingOptions, name: str | None = None) -> Run:
        """A VAE trained with the ELBO."""
        torch.manual_seed(0)
        start = images.kind.new_vae(latent)
        return self.run(name or f"{images.name}-{latent}-0", start, images, options)

    def fitted(
        self, images: Images, vae: Run, epoch: int, objective: str, seed: int = 0, epochs: int | None = None
    ) -> Run:
        """The encoder of a VAE as it was at `epoch`, trained further by one of OBJECTIVES."""
        name = f"{vae.path.name}-at-{epoch}-{objective}-{seed}".replace(" ", "-")
        options = replace(images.kind.encoder, objective=images.kind.objective(objective), seed=seed)
        if epochs is not None:
            name, options = f"{name}-for-{epochs}", replace(options, epochs=epochs)
        return self.run(name, vae.at_epoch(epoch), images, options)

    def optimal(self, images: Images, vae: Run, epoch: int) -> Run:
        """The same on the ELBO of the test set, for as many steps (Eq. 9): a diagnosis."""
        name = f"{vae.path.name}-at-{epoch}-optimal"
        times = len(images.train) // len(images.test)
        return self.run(name, vae.at_epoch(epoch), replace(images, train=images.test), images.kind.encoder, times)

    def run(self, name: str, start: VAEBase, images: Images, options: TrainingOptions, times: int = 1) -> Run:
        """Train, or go on, or take what is there; for `times` the epochs. Raises OutOfTime."""
        path = self.work / name
        options = self.shortened(options)
        options = replace(options, epochs=times * options.epochs)

        def report(row: dict[str, float]) -> None:
            at = f"{name}: epoch {row['epoch']:.0f} of {options.epochs}"
            print(f"{at}, {row['seconds']:.1f} s, test {row['held_out_bits_per_dim']:.5f} bits/dim", flush=True)
            if row["epoch"] < options.epochs:
                self.check_time(at, row["seconds"])

        threads = self.options.threads
        model = copy.deepcopy(start)
        return Run(path, train(model, images.train, images.test, options, path, report, self.device, threads))

    def check_time(self, at: str, seconds: float = 0.0) -> None:
        """Raise OutOfTime, saying where one is, if what comes next takes `seconds` and would end too late."""
        if time.monotonic() + seconds > self.end:
            raise OutOfTime(at)

    def shortened(self, options: TrainingOptions) -> TrainingOptions:
        """`options` with as many epochs as the command line allows."""
        if self.quick:
            few = min(options.epochs, 2)
            return replace(options, epochs=few, batch=min(options.batch, 50), snapshots=min(options.snapshots, 1))
        allowed = self.options.further if options.encoder_only else self.options.epochs
        return replace(options, epochs=min(options.epochs, allowed)) if allowed else options

    def rate(self, model: VAEBase, images: Images) -> float:
        """Test -ELBO in bits/dim, with as many samples an image as its kind has."""
        rate = evaluate(model.to(self.device), images.test, images.kind.samples)
        model.to(CPU)
        return rate

    def add(self, rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
        """Put a row to those there are, show it, and write all into the work folder, where an unfinished script leaves
        them."""
        rows.append(row)
        print(f"{self.name}: {row}", flush=True)
        (self.work / f"{self.name}.json").write_text(json.dumps(rows, indent=1) + "\n")

    def write(self, rows: list[dict[str, Any]], notes: str) -> None:
        """Print rows as a table, and write them as JSON with the machine. Kinds not asked for keep theirs."""
        print("\n".join(table(rows)))
        found = self.results()
        kept = [row for row in found["rows"] if row.get("kind", self.kinds[0]) not in self.kinds]
        here = machine() | {"torch": torch.__version__}
        if self.device.type == "cuda":
            here["gpu"] = torch.cuda.get_device_name()
        machines = found["machines"] | dict.fromkeys(self.kinds, here)
        rows = sorted(kept + rows, key=lambda row: list(KINDS).index(row.get("kind", self.kinds[0])))
        record = {"experiment": self.name, "notes": notes, "machines": machines, "rows": rows}
        self.result("json").write_text(json.dumps(record, indent=1) + "\n")

    def results(self) -> dict[str, Any]:
        """What is written: rows, and by kind the machines that they are from."""
        written = self.result("json")
        found: dict[str, Any] = json.loads(written.read_text()) if written.exists() else {"machines": {}, "rows": []}
        return found

    def result(self, suffix: str) -> Path:
        """Where a result goes; the committed ones are never replaced by a quick run's."""
        folder = self.work / "results" if self.quick else RESULTS
        folder.mkdir(exist_ok=True)
        return folder / f"{self.name}.{suffix}"

    def named(self, name: str) -> "Experiment":
        """The same for another figure or table."""
        other = copy.copy(self)
        other.name = name
        return other

    def plot(
        self, panels: Mapping[str, Mapping[str, "Curve"]], xlabel: str, ylabel: str = "test -ELBO (bits/dim)"
    ) -> None:
        """Write curves by label, a panel a title, as PNG; named after the kinds if they are not all."""
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
        name = self.name if len(panels) >= self._all_kinds else "-".join([self.name, *self.kinds])
        figure.savefig(self.result("png").with_stem(name), dpi=110)
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


def run(
    measure: Callable[[Experiment], object],
    name: str,
    description: str | None,
    kinds: Sequence[str] = tuple(KINDS),
    given: Sequence[str] | None = None,
) -> None:
    """A script: `measure` until it is done, or the time is up."""
    experiment = Experiment(name, description, kinds, given)
    try:
        measure(experiment)
    except OutOfTime as error:
        print(f"the time is up at {error}; the same command goes on from there")
