"""The training loop: ELBO, Adam, one checkpoint to resume from, the best weights by a held-out part, a CSV log."""

import copy
import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from bbcompress.train.vae import VAE, VAEConfig

VALIDATION_BATCH = 1000
VALIDATION_SEED = 1
LOG_FIELDS = ("epoch", "seconds", "learning_rate", "train_bits_per_dim", "validation_bits_per_dim")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. The defaults are the paper's (section 4) but for the number of epochs."""

    epochs: int = 100
    batch: int = 100
    learning_rate: float = 3e-4
    schedule: str = "constant"
    """`constant`, or `cosine`: 500 steps of warm-up, then cosine decay to zero."""
    ema: float = 0.0
    """Decay of the moving average of weights that is validated and exported; 0 takes the weights themselves."""
    validation: int = 5000
    """Training images held out, from the end, to choose the best epoch."""
    seed: int = 0


class TrainingState:
    """Everything that a resumed run needs, in one safetensors file."""

    def __init__(self, config: VAEConfig, options: TrainingOptions):
        torch.manual_seed(options.seed)
        self.model = VAE(config)
        self.average = copy.deepcopy(self.model)
        self.best = copy.deepcopy(self.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), options.learning_rate, fused=True)
        self.epoch = 0
        self.step = 0
        self.best_epoch = 0
        self.best_bits_per_dim = math.inf
        self._identity = repr((config, options))

    def save(self, path: Path) -> None:
        tensors: dict[str, Tensor] = {}
        for prefix, module in self._modules():
            tensors |= {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"adam.{name}.{key}"] = value
        counters = {"epoch": self.epoch, "step": self.step, "best_epoch": self.best_epoch}
        metadata = {key: str(value) for key, value in counters.items()}
        metadata |= {"best_bits_per_dim": repr(self.best_bits_per_dim), "identity": self._identity}
        temporary = path.with_name(path.name + ".tmp")
        save_file(tensors, temporary, metadata)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Go on from `path`. Raises ValueError where it was written with another model or other options."""
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            if metadata["identity"] != self._identity:
                raise ValueError(f"{path}: written by a run with other options; remove it to start anew")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for prefix, module in self._modules():
            module.load_state_dict({name: tensors[f"{prefix}.{name}"] for name in module.state_dict()})
        for name, parameter in self.model.named_parameters():
            keys = ("step", "exp_avg", "exp_avg_sq")
            self.optimizer.state[parameter] = {key: tensors[f"adam.{name}.{key}"] for key in keys}
        self.epoch, self.step = int(metadata["epoch"]), int(metadata["step"])
        self.best_epoch = int(metadata["best_epoch"])
        self.best_bits_per_dim = float(metadata["best_bits_per_dim"])

    def _modules(self) -> list[tuple[str, VAE]]:
        return [("model", self.model), ("average", self.average), ("best", self.best)]


def evaluate(model: VAE, pixels: Tensor, samples: int = 1, seed: int = VALIDATION_SEED) -> float:
    """Mean -ELBO in bits/dim over pixels (N, P), `samples` posterior samples an image, the same noise at each call."""
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    with torch.no_grad():
        for _ in range(samples):
            for batch in torch.split(pixels, VALIDATION_BATCH):
                total += float(model.negative_elbo_bits_per_dim(batch, generator).double().sum())
    return total / (samples * len(pixels))


def learning_rate(options: TrainingOptions, step: int, total_steps: int) -> float:
    """Step size at `step` of `total_steps`."""
    if options.schedule == "constant":
        return options.learning_rate
    warmup = min(1.0, (step + 1) / 500)
    return options.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * step / total_steps))


def train(
    images: Tensor,
    config: VAEConfig,
    options: TrainingOptions,
    output: Path,
    report: Callable[[dict[str, float]], None],
) -> TrainingState:
    """Train on pixels (N, P) uint8 and return the finished state; its `best` holds the chosen weights.

    Writes `output`.checkpoint and `output`.csv after each epoch, and goes on from them where they exist. A run that
    was interrupted and resumed gives the same weights as one that was not.
    """
    training, validation = images[: -options.validation], images[-options.validation :]
    checkpoint, log = output.with_name(output.name + ".checkpoint"), output.with_name(output.name + ".csv")
    state = TrainingState(config, options)
    if checkpoint.exists():
        state.load(checkpoint)
    else:
        with log.open("w", newline="") as file:
            csv.writer(file).writerow(LOG_FIELDS)
    steps_per_epoch = len(training) // options.batch
    while state.epoch < options.epochs:
        started = time.perf_counter()
        generator = torch.Generator().manual_seed(options.seed * 1_000_003 + state.epoch)
        order = torch.randperm(len(training), generator=generator)
        total = torch.zeros(())
        for batch in torch.split(order[: steps_per_epoch * options.batch], options.batch):
            rate = learning_rate(options, state.step, steps_per_epoch * options.epochs)
            state.optimizer.param_groups[0]["lr"] = rate
            loss = state.model.negative_elbo_bits_per_dim(training[batch], generator).mean()
            state.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(state.model.parameters(), 1.0)
            state.optimizer.step()
            state.step += 1
            total += loss.detach()
            # early on a shorter average, or the random start would stay in it for long
            decay = min(options.ema, state.step / (state.step + 100))
            with torch.no_grad():
                torch._foreach_lerp_(list(state.average.parameters()), list(state.model.parameters()), 1 - decay)
        state.epoch += 1
        bits_per_dim = evaluate(state.average, validation)
        if bits_per_dim < state.best_bits_per_dim:
            state.best_bits_per_dim, state.best_epoch = bits_per_dim, state.epoch
            state.best.load_state_dict(state.average.state_dict())
        state.save(checkpoint)
        row = (state.epoch, time.perf_counter() - started, rate, float(total) / steps_per_epoch, bits_per_dim)
        with log.open("a", newline="") as file:
            csv.writer(file).writerow(
                [row[0], f"{row[1]:.1f}", f"{row[2]:.3g}", *(f"{value:.5f}" for value in row[3:])]
            )
        report(dict(zip(LOG_FIELDS, row, strict=True)))
    return state
