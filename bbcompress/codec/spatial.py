"""The convolutional exact VAE: images of any size, decoded in stages, coarse to fine.

Latents lie on a grid `downscale` times coarser than the image, `latent_channels` at each place. Scales follow each
other, on finer and finer grids: a network computes features, from those of the scale before (or the latents) and every
pixel known by then; then each stage codes the subpixels at one offset of the grid, all places in parallel, given the
features there and every pixel of earlier stages. Pixels have two levels, or 256 in one channel or several; within a
place, channels follow each other, and a channel's means depend linearly on the channels before it. Where an image is
unlike those that a model has learned from, scale shifts make its logistics wider or narrower, stage by stage.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from bbcompress.codec import bilevel, mixture
from bbcompress.codec.mixture import Mixture
from bbcompress.codec.model import (
    LOG_SCALE_RANGE,
    NETWORK_BATCH,
    SHIFT_LOG2_UNIT,
    Pixels,
    Posterior,
    ScaleShifts,
    even_slices,
)
from bbcompress.coding.rans import Divisible, Symbols
from bbcompress.exact import functions
from bbcompress.exact.engine import Engine
from bbcompress.exact.functions import Floats
from bbcompress.exact.network import GRADIENT_BITS, GRADIENT_LIMIT, Network, Tape, to_grid
from bbcompress.exact.selfcheck import require_exact_arithmetic

BATCH_PIXELS = 512
"""Pixels of a network call for each image that a dense model has in one; bounds memory, changes no bit."""


@dataclass(frozen=True)
class SpatialInfo:
    """What a model is for and how to use it; part of the model file, and of its identity."""

    name: str
    channels: int
    levels: int
    """Pixel values are 0 .. levels - 1: 2 (Bernoulli, one channel) or 256 (mixtures of discretised logistics)."""
    components: int
    """Logistic components of each subpixel's mixture; 1 for Bernoulli."""
    downscale: int
    """Pixels from one place of the latents' grid to the next."""
    latent_channels: int
    latent_bits: int
    """Latents are coded in 2^latent_bits bins of equal prior mass."""
    grid_log2_steps: tuple[int, ...]
    """Log2 of the grid step of each latent channel in the two-part code of a chain's first images."""
    learning_rate: float
    """Adam's step size in refinement."""
    least_log_scale: int = int(mixture.LOG_SCALE_RANGE[0])
    """Log scales of mixtures are at least this, with the image's range as 1. The sharpest logistic of -7 gives a value
    0.79 at most, that of -9 all."""

    @property
    def size(self) -> str:
        """For people: the size of images."""
        return "any size"

    @property
    def latent(self) -> int:
        """Latents at each place of their grid."""
        return self.latent_channels

    @property
    def pixel_bits(self) -> int:
        """Pixel values are network inputs as they are, with this many fractional bits: the image's range is 1."""
        return pixel_bits(self.levels)

    @property
    def outputs(self) -> int:
        """Numbers that a stage's network puts out at each place."""
        return outputs_per_place(self.channels, self.levels, self.components)


class StageSpec(NamedTuple):
    """Which pixels a stage codes: those at `row` and `column` of each square of `stride`."""

    stride: int
    row: int
    column: int


Offsets = Sequence[tuple[int, int]]
"""Rows and columns within squares of a stride."""


@dataclass(frozen=True)
class ScaleSpec:
    """A grid, `stride` pixels from place to place, and the offsets that its stages code, in their order."""

    stride: int
    offsets: Offsets

    @property
    def stages(self) -> list[StageSpec]:
        return [StageSpec(self.stride, row, column) for row, column in self.offsets]


class ScaleContext(NamedTuple):
    """Which pixels the networks of a scale see besides features: those at these offsets of each place."""

    features: Offsets
    """On the grid of the features before; none for the first scale."""
    stages: Sequence[Offsets]


class Scale(NamedTuple):
    """A scale's networks, on (N, H, W, C); inputs are the features or latents first, then the pixels known."""

    spec: ScaleSpec
    features: Network
    stages: Sequence[Network]
    """One for each offset."""


class Networks(NamedTuple):
    """A model's integer networks."""

    encoder: Network
    scales: Sequence[Scale]
    """In the order of decoding."""


class SpatialModel:
    """An exact VAE with a standard normal prior. `batch` times BATCH_PIXELS bounds the pixels of a network call."""

    def __init__(
        self, info: SpatialInfo, networks: Networks, identity: bytes, engine: Engine, batch: int = NETWORK_BATCH
    ):
        require_exact_arithmetic(engine)
        self.info, self.identity = info, identity
        self.networks, self.engine, self.batch = networks, engine, batch
        self.contexts = contexts([scale.spec for scale in networks.scales])

    @property
    def bound(self) -> float:
        """Largest magnitude any sum of any network can reach, below 2^53."""
        scales = self.networks.scales
        every = [self.networks.encoder, *(network for scale in scales for network in (scale.features, *scale.stages))]
        return max(network.bound for network in every)

    @property
    def shifts(self) -> int:
        """How many scale shifts there are: one for each stage and channel, none without scales."""
        stages = sum(len(scale.stages) for scale in self.networks.scales)
        return 0 if self.info.levels == 2 else stages * self.info.channels

    def sized(self, height: int, width: int, shifts: ScaleShifts = ()) -> "SizedSpatialModel":
        """The model for images of this size, with as many `shifts` as it has or none."""
        return SizedSpatialModel(self, height, width, shifts)


class SizedSpatialModel:
    """A `SizedModel`: pixels are rows of H * W * C values, latents rows of the grid's."""

    def __init__(self, model: SpatialModel, height: int, width: int, shifts: ScaleShifts):
        info = model.info
        self._model, self._info = model, info
        self._height, self._width = height, width
        self._rows, self._columns = -(-height // info.downscale), -(-width // info.downscale)
        self.subpixels = height * width * info.channels
        self.latent = self._rows * self._columns * info.latent_channels
        self.latent_bits, self.learning_rate = info.latent_bits, info.learning_rate
        self.engine = model.engine
        steps = np.ldexp(1.0, np.array(info.grid_log2_steps))
        self.grid_steps = np.tile(steps, self._rows * self._columns)
        self._batch = max(1, model.batch * BATCH_PIXELS // (height * width))
        every = [
            (number, place, spec)
            for number, scale in enumerate(model.networks.scales)
            for place, spec in enumerate(scale.spec.stages)
        ]
        self._shifts = np.array(shifts or [0] * len(every) * info.channels, np.float64).reshape(-1, info.channels)
        self._phases = [
            (stage, *phase) for stage, phase in enumerate(every) if phase[2].row < height and phase[2].column < width
        ]
        self.stages = len(self._phases) * info.channels

    def batches(self, count: int) -> list[slice]:
        return even_slices(count, self._batch)

    def posterior(self, pixels: Pixels) -> Posterior:
        encoder = self._model.networks.encoder

        def output(rows: slice) -> Floats:
            return encoder.forward(self._padded(pixels[rows], "edge"), self.engine)

        parts = self.engine.map(output, self.batches(len(pixels)))
        outputs = np.concatenate(parts, dtype=np.float64) * 2.0**-encoder.output.fraction_bits
        mean, log_scale = np.split(outputs, 2, axis=3)
        count = len(pixels)
        return Posterior(mean.reshape(count, -1), np.clip(log_scale, *LOG_SCALE_RANGE).reshape(count, -1))

    def likelihood(self, latent: Floats) -> list["ChannelStage"]:
        features = _Features(self, latent)
        stages: list[ChannelStage] = []
        kind = _Bits if self._info.levels == 2 else ChannelStage
        channels = self._info.channels
        for stage, number, place, spec in self._phases:
            phase = _Phase(self, spec, partial(self._stage_outputs, features, number, place))
            stages += [
                kind(phase, channel, stage * channels + channel, self._shifts[stage, channel])
                for channel in range(channels)
            ]
        return stages

    def _stage_outputs(self, features: "_Features", scale: int, place: int, pixels: Pixels) -> "_Outputs":
        """What the network of a stage says, given the pixels of earlier stages."""
        networks = self._model.networks.scales[scale]
        spec, network = networks.spec.stages[place], networks.stages[place]
        context = self._model.contexts[scale].stages[place]
        input = self._input(network, features.of(scale, pixels), context, self._padded(pixels, "constant"))
        rows, columns = self.view(spec, pixels).shape[1:3]
        output = network.forward(input, self.engine)[:, :rows, :columns].astype(np.float64, copy=False)
        return _outputs(output, self._info, network.output.fraction_bits)

    def latent_input(self, latent: Floats) -> Floats:
        """Latents (N, latent) as the first scale's input."""
        input = self._model.networks.scales[0].features.input
        return to_grid(latent, input.fraction_bits, input.limit).reshape(len(latent), self._rows, self._columns, -1)

    def features(self, scale: int, before: Floats, pixels: Pixels) -> Floats:
        """A scale's features, from those of the scale before and the pixels of earlier scales."""
        network = self._model.networks.scales[scale].features
        context = self._model.contexts[scale].features
        return network.forward(self._input(network, before, context, self._padded(pixels, "constant")), self.engine)

    def view(self, spec: StageSpec, pixels: Pixels) -> Pixels:
        """A stage's subpixels (N, rows, columns, C), as a view of `pixels` (N, subpixels)."""
        images = pixels.reshape(len(pixels), self._height, self._width, self._info.channels)
        return images[:, spec.row :: spec.stride, spec.column :: spec.stride]

    def grad_z(self, pixels: Pixels, latent: Floats) -> Floats:
        batches = self.batches(len(pixels))
        return np.concatenate(self.engine.map(lambda rows: self._grad_z(pixels[rows], latent[rows]), batches))

    def _grad_z(self, pixels: Pixels, latent: Floats) -> Floats:
        model, engine = self._model, self.engine
        values = self._padded(pixels, "constant")
        tapes: list[Tape] = []
        widths: list[int] = []
        gradients: list[Floats] = []
        x = self.latent_input(latent)
        shifts = iter(self._shifts)
        for scale, context in zip(model.networks.scales, model.contexts, strict=True):
            tapes.append([])
            widths.append(x.shape[3])
            x = scale.features.forward(self._input(scale.features, x, context.features, values), engine, tapes[-1])
            gradients.append(np.zeros(x.shape))
            for spec, network, known in zip(scale.spec.stages, scale.stages, context.stages, strict=True):
                coded, own = self.view(spec, pixels), next(shifts)
                if coded.size:
                    tape: Tape = []
                    output = network.forward(self._input(network, x, known, values), engine, tape)
                    gradient = np.zeros(output.shape)
                    inside = slice(None), slice(coded.shape[1]), slice(coded.shape[2])
                    outputs = _outputs(output[inside].astype(np.float64), self._info, network.output.fraction_bits)
                    gradient[inside] = outputs.gradient(coded.astype(np.float64), own)
                    back = network.backward(to_grid(gradient, GRADIENT_BITS, GRADIENT_LIMIT), tape, engine)
                    gradients[-1] += back[..., : x.shape[3]]
        gradient = np.zeros_like(gradients[-1])
        for scale, part, tape, width in zip(
            reversed(model.networks.scales), reversed(gradients), reversed(tapes), reversed(widths), strict=True
        ):
            gradient = np.clip(gradient + part, -GRADIENT_LIMIT, GRADIENT_LIMIT)
            gradient = scale.features.backward(gradient, tape, engine)[..., :width]
        return gradient.reshape(len(latent), -1) * 2.0**-GRADIENT_BITS

    def _input(self, network: Network, features: Floats, offsets: Offsets, values: Floats) -> Floats:
        """A network's input (N, rows, columns, C): features, then what padded pixel values are known at each place."""
        stride = values.shape[1] // features.shape[1]
        scale = 2.0 ** (network.input.fraction_bits - self._info.pixel_bits)
        known = [values[:, row::stride, column::stride] * scale for row, column in offsets]
        return np.concatenate([features, *known], axis=3, dtype=features.dtype, casting="same_kind")

    def _padded(self, pixels: Pixels, mode: str) -> Floats:
        """Pixel values (N, H, W, C), to the right and below up to whole places of the latents' grid."""
        images = pixels.reshape(len(pixels), self._height, self._width, -1).astype(np.float32)
        down = self._rows * self._info.downscale - self._height
        right = self._columns * self._info.downscale - self._width
        padded: Floats = np.pad(images, ((0, 0), (0, down), (0, right), (0, 0)), mode=mode)  # type: ignore[call-overload]
        return padded


def contexts(scales: Sequence[ScaleSpec]) -> list[ScaleContext]:
    """What each scale's networks see of the pixels of earlier stages."""
    found: list[ScaleContext] = []
    coded: list[StageSpec] = []
    for number, scale in enumerate(scales):
        features = known_offsets(coded, scales[number - 1].stride) if number else []
        stages = []
        for spec in scale.stages:
            stages.append(known_offsets(coded, spec.stride))
            coded.append(spec)
        found.append(ScaleContext(features, stages))
    return found


def known_offsets(before: Sequence[StageSpec], stride: int) -> list[tuple[int, int]]:
    """Offsets within squares of `stride`, row by row, all of whose pixels the stages `before` have coded."""
    period = max([stride, *(spec.stride for spec in before)])
    coded = np.zeros((period, period), bool)
    for spec in before:
        coded[spec.row :: spec.stride, spec.column :: spec.stride] = True
    return [
        (row, column) for row in range(stride) for column in range(stride) if coded[row::stride, column::stride].all()
    ]


def pixel_bits(levels: int) -> int:
    """Fractional bits of pixel values as network inputs."""
    return 0 if levels == 2 else 8


def outputs_per_place(channels: int, levels: int, components: int) -> int:
    """Numbers that a stage's network puts out at each place."""
    if levels == 2:
        return channels
    return components * (channels * (2 if components == 1 else 3) + channels * (channels - 1) // 2)


def coefficient_place(first: int, channel: int, before: int) -> int:
    """Where the coefficients of a channel on one before it are among a stage's numbers; `first` are others."""
    return first + channel * (channel - 1) // 2 + before


class _Outputs(Protocol):
    """What a stage's network says of its subpixels: integers (N, rows, columns, outputs)."""

    def distribution(self, channel: int, values: Floats, shift: float) -> Divisible:
        """Of a channel, given the values (N, rows, columns, C) of the channels before it; log scales are shifted."""
        ...

    def gradient(self, values: Floats, shifts: Floats) -> Floats:
        """d log p(values) / d output, per unit of output as reals, (N, rows, columns, outputs); `shifts` are (C,)."""
        ...


def _outputs(output: Floats, info: SpatialInfo, fraction_bits: int) -> _Outputs:
    return _Logits(output, fraction_bits) if info.levels == 2 else _Mixtures(output, info, fraction_bits)


class _Logits:
    """Of pixels of two levels: the output is their logits (N, rows, columns, 1)."""

    def __init__(self, output: Floats, fraction_bits: int):
        self._logits, self._fraction_bits = output, fraction_bits

    def distribution(self, channel: int, values: Floats, shift: float) -> Divisible:
        return bilevel.distribution(self._logits.reshape(len(self._logits), -1), self._fraction_bits)

    def gradient(self, values: Floats, shifts: Floats) -> Floats:
        return values - functions.sigmoid(self._logits * 2.0**-self._fraction_bits)


class _Mixtures:
    """Of pixels of 256 levels.

    At each place are means, log scales and, for several components, logits, of every channel; then the coefficients
    that move a channel's mean with the value of an earlier channel; of each of these, all components.
    """

    CENTRE = 128.0
    RANGE = 256.0

    def __init__(self, output: Floats, info: SpatialInfo, fraction_bits: int):
        self._channels, self._unit = info.channels, 2.0**-fraction_bits
        self._least_log_scale = info.least_log_scale
        # (numbers, components, N, rows, columns)
        self._numbers = np.moveaxis(output.reshape(*output.shape[:3], -1, info.components), (3, 4), (0, 1))
        self._kinds = 2 if info.components == 1 else 3

    def distribution(self, channel: int, values: Floats, shift: float) -> Divisible:
        return self._mixture(channel, values, shift).distribution()

    def _mixture(self, channel: int, values: Floats, shift: float) -> Mixture:
        parts = self._numbers[channel : self._kinds * self._channels : self._channels].copy()
        for before in range(channel):
            parts[0] += self._coefficient(channel, before) * ((values[..., before] - self.CENTRE) / self.RANGE)
        parts[1] += shift * (2.0**SHIFT_LOG2_UNIT / self._unit)
        return Mixture.of(parts, self._unit, self._least_log_scale)

    def gradient(self, values: Floats, shifts: Floats) -> Floats:
        gradient = np.empty(self._numbers.shape)
        for channel in range(self._channels):
            parts = self._mixture(channel, values, shifts[channel]).gradients(values[..., channel])
            for kind, part in enumerate(parts):
                gradient[kind * self._channels + channel] = part
            for before in range(channel):
                moved = (values[..., before] - self.CENTRE) / self.RANGE
                gradient[self._place(channel, before)] = parts[0] * moved
        return np.moveaxis(gradient, (0, 1), (3, 4)).reshape(*gradient.shape[2:], -1)

    def _coefficient(self, channel: int, before: int) -> Floats:
        coefficient: Floats = self._numbers[self._place(channel, before)]
        return coefficient

    def _place(self, channel: int, before: int) -> int:
        return coefficient_place(self._kinds * self._channels, channel, before)


class _Features:
    """Every scale's features, computed when they are first asked for."""

    def __init__(self, model: SizedSpatialModel, latent: Floats):
        self._model = model
        self._found = [model.latent_input(latent)]

    def of(self, scale: int, pixels: Pixels) -> Floats:
        """Given the pixels of earlier scales."""
        while len(self._found) < scale + 2:
            self._found.append(self._model.features(len(self._found) - 1, self._found[-1], pixels))
        return self._found[scale + 1]


class _Phase:
    """The pixels of one `StageSpec`. Its network runs once, when its first channel is asked for."""

    def __init__(self, model: SizedSpatialModel, spec: StageSpec, outputs: Callable[[Pixels], _Outputs]):
        self._model, self._spec, self._run = model, spec, outputs
        self._outputs: _Outputs | None = None

    def distribution(self, channel: int, pixels: Pixels, shift: float) -> Divisible:
        """Of a channel, given earlier stages and channels."""
        if self._outputs is None:
            self._outputs = self._run(pixels)
        return self._outputs.distribution(channel, self.view(pixels).astype(np.float64), shift)

    def view(self, pixels: Pixels) -> Pixels:
        return self._model.view(self._spec, pixels)


class ChannelStage:
    """One channel of a phase: a `Stage`, number `number` of all that the model has."""

    def __init__(self, phase: _Phase, channel: int, number: int, shift: float):
        self._phase, self._channel = phase, channel
        self.number, self._shift = number, shift

    def distribution(self, pixels: Pixels) -> Divisible:
        return self.shifted(pixels, self._shift)

    def shifted(self, pixels: Pixels, shift: float) -> Divisible:
        """The `distribution` that there would be with this scale shift."""
        return self._phase.distribution(self._channel, pixels, shift)

    def symbols(self, pixels: Pixels) -> Symbols:
        return self._view(pixels).astype(np.int64).ravel()

    def place(self, symbols: Symbols, pixels: Pixels) -> None:
        part = self._view(pixels)
        part[:] = symbols.reshape(part.shape)

    def _view(self, pixels: Pixels) -> Pixels:
        return self._phase.view(pixels)[..., self._channel]


class _Bits(ChannelStage):
    """The same for pixels of two levels."""

    def symbols(self, pixels: Pixels) -> Symbols:
        return bilevel.symbols(self._view(pixels).reshape(len(pixels), -1))

    def place(self, symbols: Symbols, pixels: Pixels) -> None:
        part = self._view(pixels)
        part[:] = bilevel.pixels(symbols, len(part), part[0].size).reshape(part.shape)
