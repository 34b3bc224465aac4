"""What the parts of the photograph coder bring: bits/dim, and what networks take of a core's time.

    python benchmarks/photo_ablation.py [--pictures FOLDER [--files N]] [--groups CROPS.npy [--steps 1000]]
        [--device cuda] [--only PART] [-o results.json]

* `--pictures`: whole photographs in a folder, coded (all bytes) with a part of the coder left out;
* `--groups`: crops (photographs, crops, height, width, 3) RGB, of which the last 24 photographs are held out (ideal
  code lengths, without the predictors' own bytes): the shipped model in float, then networks of other sizes, in float,
  and without some of their inputs, each trained for as many steps by the same recipe.

`networks_ms` are of a megapixel, ONNX Runtime on one thread.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from common import write_results
from PIL import Image

from bbcompress.codec import fit, lattice_encoder
from bbcompress.codec.corrector import ZERO, Corrector, ScaleNetworks, channel_slices, inputs
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.general import general
from bbcompress.codec.lattice import OTHER_REACH, OWN_REACH, STAGES, places
from bbcompress.codec.parameters import FITTED_STRIDES
from bbcompress.codec.registry import Registry
from bbcompress.exact.engine import Engine
from bbcompress.exact.int8 import Network
from bbcompress.train import corrector_loop, corrector_networks
from bbcompress.train.corrector_loop import State, observed_whole, train
from bbcompress.train.corrector_networks import CorrectorNetworks, SliceNetwork
from bbcompress.train.corrector_run import CorrectorOptions, CorrectorRun, HeldOut, bits_without_training
from bbcompress.train.groups import Drawing

Row = dict[str, object]
HELD_OUT_GROUPS = 24
GREEN_FIRST = [1, 0, 2]
SIZES = (32, 1), (64, 0), (64, 1), (64, 2), (96, 1)
"""Channels and blocks of networks."""
USUAL = 64, 1
SECONDS = 60.0
"""A training's, by a clock of steps: so that what else a machine does changes nothing."""


def row(part: str, **found: object) -> Row:
    return {"part": part, "files_bits_per_dim": "", "held_out_bits_per_dim": "", "networks_ms": ""} | found


def of_pictures(folder: Path, files: int | None, corrector: Corrector, engine: Engine) -> Iterator[Row]:
    """Whole photographs with parts of the coder left out."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())[:files]
    pictures = [np.asarray(Image.open(path).convert("RGB"))[..., GREEN_FIRST] for path in paths]
    planes = [np.ascontiguousarray(pixels.transpose(2, 0, 1)[:, None]) for pixels in pictures]

    def general_only(unit: Any, *_: object) -> Any:
        return general(unit)

    general_tables = patch.object(fit, "fit_classes", lambda predictor, *_: predictor)
    general_predictors = patch.object(fit, "best", general_only)
    whole_corrections = patch.object(lattice_encoder, "with_gain", lambda own, *_: own)
    ways: list[tuple[str, Corrector | None, list[Any]]] = [
        ("all", corrector, []),
        ("networks: none", None, []),
        ("networks: corrections counted in full (gain 8)", corrector, [whole_corrections]),
        ("predictors: general ones", corrector, [general_predictors]),
        ("predictors: general ones; networks: none", None, [general_predictors]),
        ("predictors: tables of classes and shapes of the general ones", corrector, [general_tables]),
        ("predictors: tables of the general ones; networks: none", None, [general_tables]),
    ]
    for part, used, patches in ways:
        with ExitStack() as stack:
            for each in patches:
                stack.enter_context(each)
            size = sum(len(lattice_encoder.encode([one], 8, used, engine).data) for one in planes)
        bits_per_dim = 8 * size / sum(one.size for one in planes)
        yield row(part, files_bits_per_dim=bits_per_dim, networks_ms=milliseconds(used, engine) if used else 0.0)


def milliseconds(corrector: Corrector, engine: Engine, side: int = 160) -> float:
    """Of networks, for a megapixel."""
    total = 0.0
    for stride, network in (pair for scale in corrector.scales for pair in by_stride(scale)):
        run = engine.prepared(network)
        seen = np.random.default_rng(0).integers(0, 256, (1, side, side, network.inputs), np.uint8)
        times = []
        for _ in range(5):
            started = time.perf_counter()
            run(seen)
            times.append(time.perf_counter() - started)
        total += 1e9 * min(times) / (stride * side) ** 2
    return total


def by_stride(scale: ScaleNetworks) -> Iterator[tuple[int, Network]]:
    """Networks by the strides of the scales that they correct."""
    return ((stride, one) for stride in scale.strides for stage in scale.networks.values() for one in stage)


def in_float() -> Any:
    """Networks without rounding, and without an end of what bytes hold."""
    stack = ExitStack()
    stack.enter_context(patch.object(corrector_networks, "_rounded_weight", lambda weight, bias: weight))
    relu: Callable[..., Any] = lambda x, low, high: x if low else x.clamp_min(0)  # noqa: E731
    stack.enter_context(patch.object(corrector_networks, "_rounded_activation", relu))
    return stack


def without(chosen: Callable[[int], slice]) -> Any:
    """Networks that see nothing in some of their inputs."""
    forward = SliceNetwork.forward

    def blind(self: SliceNetwork, seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        stage = next(
            stage
            for stage in STAGES
            if seen.shape[3] in {inputs(3, stage, channel_slice) for channel_slice in channel_slices(3)}
        )
        seen = seen.clone()
        seen[..., chosen(stage)] = ZERO
        return forward(self, seen, dtype)

    return patch.object(SliceNetwork, "forward", blind)


def sizes(stage: int) -> slice:
    """The class of scale and each channel's spread: see `bbcompress.codec.corrector.look`."""
    first = 3 * len(places(stage, OWN_REACH))
    return slice(first, first + 4)


def errors(stage: int) -> slice:
    """Known errors."""
    first = 3 * len(places(stage, OWN_REACH)) + 7
    return slice(first, first + 3 * len(places(stage, OTHER_REACH)))


def of_groups(
    file: Path, steps: int, only: str, device: torch.device, shipped: Corrector, engine: Engine
) -> Iterator[Row]:
    """Held-out crops by networks, shipped and trained."""
    groups = [np.ascontiguousarray(group[..., GREEN_FIRST]) for group in np.load(file, mmap_mode="r")]
    training, kept_back = groups[:-HELD_OUT_GROUPS], groups[-HELD_OUT_GROUPS:]
    held_out = HeldOut([observed_whole([group], 8) for group in kept_back], sum(group.size for group in kept_back))
    alone, corrected = bits_without_training(shipped, held_out)
    yield row("held out: predictors alone", held_out_bits_per_dim=alone, networks_ms=0.0)
    yield row("held out: shipped model", held_out_bits_per_dim=corrected, networks_ms=milliseconds(shipped, engine))
    with in_float():
        _, corrected = bits_without_training(shipped, held_out)
    yield row("held out: shipped model, activations in float", held_out_bits_per_dim=corrected)
    ways: list[tuple[str, tuple[int, int], Callable[[], Any]]] = [
        *((f"trained: {width} channels, {blocks} blocks", (width, blocks), nullcontext) for width, blocks in SIZES),
        ("trained: usual size, in float", USUAL, in_float),
        ("trained: usual size, not seeing sizes", USUAL, partial(without, sizes)),
        ("trained: usual size, not seeing known errors", USUAL, partial(without, errors)),
    ]
    times = {size: milliseconds(CorrectorNetworks(3, (FITTED_STRIDES,), *size).exported(), engine) for size in SIZES}
    drawing = Drawing(training, 256)
    for part, (width, blocks), changed in ways:
        if only not in part:
            continue
        # rounded numbers are exact in bfloat16, others are not
        options = CorrectorOptions(SECONDS, width, blocks, bf16=changed is not in_float)
        run = CorrectorRun(3, options, device=device)
        states: list[State] = []
        clock = patch.object(corrector_loop, "time", SimpleNamespace(monotonic=partial(_seconds, run, steps)))
        with changed(), clock, tempfile.TemporaryDirectory() as work:
            checkpoint, log = Path(work, "checkpoint"), Path(work, "log.csv")
            train(run, drawing, held_out, checkpoint, log, states.append)
        yield row(part, held_out_bits_per_dim=states[-1].corrected, networks_ms=times[width, blocks])


def _seconds(run: CorrectorRun, steps: int) -> float:
    return SECONDS * run.step / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--files", type=int)
    parser.add_argument("--groups", type=Path)
    parser.add_argument("--steps", type=int, default=1000, help="of each training; 0: none")
    parser.add_argument("--only", default="", help="trainings whose names hold this")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if options.pictures is None and options.groups is None:
        parser.error("give --pictures, --groups or both")
    torch.set_num_threads(1)
    engine = Engine(1, "onnx")
    registry = Registry(engine)
    model = registry.load(registry.path_named("photo"))
    assert isinstance(model, CorrectorModel)
    rows: list[Row] = []
    found: list[Iterator[Row]] = []
    if options.pictures is not None:
        found.append(of_pictures(options.pictures, options.files, model.corrector, engine))
    if options.groups is not None:
        device, only = torch.device(options.device), options.only if options.steps else "none"
        found.append(of_groups(options.groups, options.steps, only, device, model.corrector, engine))
    for part in found:
        for each in part:
            rows.append(each)
            print({key: value for key, value in each.items() if value != ""}, flush=True)
    write_results("photo_ablation", options.output, rows, f"trainings of {options.steps} steps on {options.device}")


if __name__ == "__main__":
    main()
