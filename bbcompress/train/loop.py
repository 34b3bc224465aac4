"""The training loop: any objective, one checkpoint to resume from, the best weights by held-out images, a log."""

import copy
import csv
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from bbcompress.train.augment import distorted, flipped
from bbcompress.train.cuda_graph import GraphedStep
from bbcompress.train.grow import revive
from bbcompress.train.objectives import ELBO, Objective
from bbcompress.train.optimizer import Optimizer
from bbcompress.train.parallel import DataParallel
from bbcompress.train.vae import VAEBase

EVALUATION_BATCH = 1000
EVALUATION_SEED = 1
CPU = torch.device("cpu")
LOG_FIELDS = ("epoch", "seconds", "learning_rate", "train_bits_per_dim", "held_out_bits_per_dim")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. The defaults are the paper's (section 4) but for the number of epochs."""

    objective: Objective = field(default_factory=ELBO)
    """What the encoder minimises."""
    encoder_only: bool = False
    """The decoder stays as it is (paper, section 3: a new encoder for a trained model)."""
    epochs: int = 100
    batch: int = 100
    learning_rate: float = 3e-4
    muon: bool = False
    """Kernels of convolutions by Muon, all else by Adam; by default Adam for all (`bbcompress.train.optimizer`)."""
    warm_up: int = 0
    """Steps over which the ELBO's warmth rises to 1 (`bbcompress.train.objectives.ELBO`)."""
    schedule: str = "constant"
    """`constant`, or `cosine`: 500 steps of warm-up, then cosine decay to zero."""
    ema: float = 0.0
    """Decay of the moving average of weights that is validated and exported; 0 takes the weights themselves."""
    keep_best: bool = True
    """Choose the weights of the epoch with the best held-out bits/dim, not the last ones."""
    gradient_clip: float = 1.0
    """Largest norm of a step's gradient, in bits/dim; 0 does not clip."""
    flip: bool = False
    """Turn a random half of the images (N, C, H, W) of a batch left to right."""
    distort: float = 0.0
    """How far images (N, C, H, W) are turned, sheared and stretched, times the step size over its largest: with
    `cosine` a run ends on images as they are (`bbcompress.train.augment.distorted`)."""
    bf16: bool = False
    """Compute convolutions in bfloat16, weights and sums in float32: faster where the processor has units for it."""
    snapshots: int = 0
    """Every so many epochs, and after the last, the weights are kept as a file of their own; 0 keeps none."""
    seed: int = 0


class OtherRun(ValueError):
    """A checkpoint was written by a run with another start or other options."""


class TrainingState:
    """Everything that a resumed run needs, in one safetensors file."""

    def __init__(self, start: VAEBase, options: TrainingOptions, threads: int = 1):
        self.model = start
        # Copies only where they can differ from the model, as each costs a pass over all weights
        self.average = copy.deepcopy(start) if options.ema else start
        self.best = copy.deepcopy(start) if options.keep_best else self.average
        self._parallel = DataParallel(start, threads)
        self._trained = start.encoder if options.encoder_only else start
        self.optimizer = Optimizer(self._trained, options.learning_rate, options.muon)
        self.epoch = 0
        self.step = 0
        self.best_epoch = 0
        self.best_bits_per_dim = math.inf
        self._options = options
        self._identity = f"{start.config!r}, {_chosen(options)!r}, start {_checksum(start)}"

    def next_step(self) -> tuple[float, float]:
        """Count a step; its warmth, and the share of the new weights in their average."""
        warm_up = self._options.warm_up
        warmth = min(1.0, self.step / warm_up) if warm_up else 1.0
        self.step += 1
        # early on a shorter average, or the random start would stay in it for long
        return warmth, 1 - min(self._options.ema, self.step / (self.step + 100))

    def take_step(
        self, pixels: Tensor, rate: Tensor, warmth: Tensor, share: Tensor, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """One step on a batch (N, P), a generator a thread; returns the encoder's loss in bits/dim.

        Step size and what `next_step` gives are tensors (), so that a step is the same work each time.
        """
        options = self._options
        objective = options.objective
        if options.warm_up and isinstance(objective, ELBO):
            objective = ELBO(warmth)
        loss = self._parallel.gradients(objective, pixels, generators, options.encoder_only, options.bf16)
        if options.gradient_clip:
            clip_grad_norm_(self._trained.parameters(), options.gradient_clip)
        self.optimizer.step(rate)
        if options.ema:
            with torch.no_grad():
                for average, parameter in zip(self.average.parameters(), self.model.parameters(), strict=True):
                    average.lerp_(parameter, share)
        return loss

    def revive(self, pixels: Tensor, generator: torch.Generator) -> None:
        """Before an epoch: let channels of residual branches that are silent for these images begin anew."""
        before = [parameter.detach().clone() for parameter in self.model.parameters()]
        if not revive(self._trained, self.model, pixels, generator):
            return
        # at once in the average too: what is left there of silent channels would come to sound
        with torch.no_grad():
            for old, new, average in zip(before, self.model.parameters(), self.average.parameters(), strict=True):
                average.copy_(torch.where(old == new, average, new))

    def end_epoch(self, bits_per_dim: float) -> None:
        """Note the held-out -ELBO after an epoch, and keep the weights if they are the best."""
        self.epoch += 1
        if bits_per_dim < self.best_bits_per_dim or not self._options.keep_best:
            self.best_bits_per_dim, self.best_epoch = bits_per_dim, self.epoch
            if self.best is not self.average:
                self.best.load_state_dict(self.average.state_dict())

    def save(self, path: Path) -> None:
        tensors: dict[str, Tensor] = {}
        for prefix, module in self._modules():
            tensors |= {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}
        tensors |= self.optimizer.state()
        counters = {"epoch": self.epoch, "step": self.step, "best_epoch": self.best_epoch}
        metadata = {key: str(value) for key, value in counters.items()}
        metadata |= {"best_bits_per_dim": repr(self.best_bits_per_dim), "identity": self._identity}
        _save(tensors, path, metadata)

    def load(self, path: Path) -> None:
        """Go on from `path`. Raises OtherRun."""
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            if metadata["identity"] != self._identity:
                raise OtherRun(f"{path}: written by a run with other options; remove it to start anew")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for prefix, module in self._modules():
            module.load_state_dict({name: tensors[f"{prefix}.{name}"] for name in module.state_dict()})
        self.optimizer.load_state(tensors)
        self.epoch, self.step = int(metadata["epoch"]), int(metadata["step"])
        self.best_epoch = int(metadata["best_epoch"])
        self.best_bits_per_dim = float(metadata["best_bits_per_dim"])

    def to_cpu(self) -> None:
        for _, module in self._modules():
            module.cpu()

    def _modules(self) -> list[tuple[str, VAEBase]]:
        modules = {id(module): (name, module) for name, module in reversed(self._named())}
        return list(modules.values())

    def _named(self) -> list[tuple[str, VAEBase]]:
        return [("model", self.model), ("average", self.average), ("best", self.best)]


def save_weights(model: VAEBase, path: Path) -> None:
    """Write a float VAE's weights, as safetensors."""
    _save(model.state_dict(), path, {})


def with_weights(model: VAEBase, path: Path) -> VAEBase:
    """A copy of `model` with the weights that `save_weights` wrote."""
    model = copy.deepcopy(model)
    model.load_state_dict(load_file(path))
    return model


def _save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)
    temporary.replace(path)


def _chosen(options: TrainingOptions) -> dict[str, Any]:
    """Options that are not as they are by default: those that come later do not make checkpoints foreign.

    Epochs are not among them: a run may be made longer or shorter, and its learning rate then goes on as in one that
    was to be so from the start.
    """
    default = TrainingOptions()
    options = replace(options, epochs=default.epochs)
    values = {option.name: getattr(options, option.name) for option in fields(options)}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def _checksum(model: VAEBase) -> str:
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def evaluate(model: VAEBase, pixels: Tensor, samples: int = 1, seed: int = EVALUATION_SEED) -> float:
    """Mean -ELBO in bits/dim over pixels (N, P), `samples` posterior samples an image, the same noise at each call."""
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    total = torch.zeros((), dtype=torch.float64, device=device)
    with torch.no_grad():
        for _ in range(samples):
            for batch in torch.split(pixels, EVALUATION_BATCH):
                total += model.negative_elbo_bits_per_dim(batch.to(device), generator).double().sum()
    return float(total) / (samples * len(pixels))


def learning_rate(options: TrainingOptions, step: int, total_steps: int) -> float:
    """Step size at `step` of `total_steps`."""
    if options.schedule == "constant":
        return options.learning_rate
    warmup = min(1.0, (step + 1) / 500)
    return options.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * step / total_steps))


def train(
    model: VAEBase,
    training: Tensor,
    held_out: Tensor,
    options: TrainingOptions,
    output: Path,
    report: Callable[[dict[str, float]], None],
    device: torch.device = CPU,
    threads: int = 1,
    at_checkpoint: Callable[[TrainingState], object] = lambda state: None,
) -> TrainingState:
    """Train `model` on pixels (N, P) uint8 and return the finished state; its `best` holds the chosen weights.

    To be distorted, images of two levels come as shades 0 .. 255.
    After each epoch the -ELBO of `held_out` pixels (M, P) is measured. Writes `output`.checkpoint and `output`.csv
    after each epoch, calls `at_checkpoint`, and goes on from them where they exist. A run that was interrupted and
    resumed gives the same weights as one that was not, given as many `threads`, each of which takes its share of every
    batch. On a GPU, whose memory takes all images, steps are CUDA graphs; networks come back to the CPU. Raises
    OtherRun where the files are another run's.
    """
    model.to(device)
    training, held_out = training.to(device), held_out.to(device)
    checkpoint, log = output.with_name(output.name + ".checkpoint"), output.with_name(output.name + ".csv")
    threads = 1 if device.type == "cuda" else min(threads, options.batch)
    state = TrainingState(model, options, threads)
    if checkpoint.exists():
        state.load(checkpoint)
    else:
        with log.open("w", newline="") as file:
            csv.writer(file).writerow(LOG_FIELDS)
    generators = [torch.Generator(device) for _ in range(threads)]
    generator = generators[0]

    def step_on(batch: Tensor, rate: Tensor, warmth: Tensor, share: Tensor) -> Tensor:
        pixels = training.index_select(0, batch)
        if options.flip:
            pixels = flipped(pixels, generator)
        if options.distort:
            amount = rate * (options.distort / options.learning_rate)
            pixels = distorted(pixels, amount, model.largest_value + 1, generator)
        return state.take_step(pixels, rate, warmth, share, generators)

    step = GraphedStep(step_on, device, generators)
    steps_per_epoch = len(training) // options.batch
    while state.epoch < options.epochs:
        started = time.perf_counter()
        for thread, each in enumerate(generators):
            each.manual_seed(options.seed * 1_000_003 + state.epoch + (thread << 32))
        order = torch.randperm(len(training), generator=generator, device=device)
        total = torch.zeros((), device=device)
        state.revive(held_out, generator)
        for batch in torch.split(order[: steps_per_epoch * options.batch], options.batch):
            rate = learning_rate(options, state.step, steps_per_epoch * options.epochs)
            total += step(batch, rate, *state.next_step())
        bits_per_dim = evaluate(state.average, held_out)
        state.end_epoch(bits_per_dim)
        state.save(checkpoint)
        at_checkpoint(state)
        if options.snapshots and (state.epoch % options.snapshots == 0 or state.epoch == options.epochs):
            save_weights(state.best, snapshot(output, state.epoch))
        row = (state.epoch, time.perf_counter() - started, rate, float(total) / steps_per_epoch, bits_per_dim)
        with log.open("a", newline="") as file:
            csv.writer(file).writerow(
                [row[0], f"{row[1]:.1f}", f"{row[2]:.3g}", *(f"{value:.5f}" for value in row[3:])]
            )
        report(dict(zip(LOG_FIELDS, row, strict=True)))
    state.to_cpu()
    return state


def snapshot(output: Path, epoch: int) -> Path:
    """Where the weights after `epoch` lie, if it is one that the options ask for."""
    return output.with_name(f"{output.name}.epoch{epoch:04d}")
