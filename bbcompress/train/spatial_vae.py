"""Torch twins of the convolutional exact models (`bbcompress.codec.spatial`), for images of any size.

Residual networks without normalisation: each branch begins at zero, which trains as well at these depths and leaves
nothing to fold at export. Convolutions are those that exact layers have: kernels with (kernel - stride) / 2 zeros on
each side, and going up a 1 x 1 convolution whose channels become squares of pixels.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d, linear, pixel_shuffle

from bbcompress.codec.spatial import Offsets, ScaleSpec, StageSpec, coefficient_place, contexts, outputs_per_place
from bbcompress.train.vae import (
    LOG_SCALE_RANGE,
    Posterior,
    VAEBase,
    input_scale,
    mixture_log_mass,
    sample_bits,
    sample_mixture,
)

SURE = 4.0
"""The logit that a stage begins with where neighbours agree."""
SHARPEST = -9
"""Log of the smallest scale of mixtures in new models: a logistic as sharp gives one value all its mass."""
WHOLE = (ScaleSpec(1, ((0, 0),)),)
"""All pixels at once, given the latents: the paper's decoder."""


def phases(downscale: int) -> tuple[ScaleSpec, ...]:
    """Coarse to fine: pixels of a grid `downscale` times coarser, then of ever finer ones, the diagonal first."""
    scales, stride = [ScaleSpec(downscale, ((0, 0),))], downscale
    while stride > 1:
        half = stride // 2
        scales.append(ScaleSpec(stride, ((half, half), (0, half), (half, 0))))
        stride = half
    return tuple(scales)


@dataclass(frozen=True)
class SpatialConfig:
    """What defines a convolutional VAE."""

    channels: int = 3
    components: int = 5
    """Logistic components of each subpixel's mixture; 1 for two levels."""
    latent_channels: int = 2
    """At each place of the latents' grid (the paper's 2 x 8 x 8 and 4 x 8 x 8)."""
    width: int = 96
    """Channels at the latents' grid; without phases finer grids have fewer."""
    blocks: int = 3
    """Residual blocks at the latents' grid, in the encoder and in the decoder; with phases, of each scale."""
    phases: bool = False
    """Decode coarse to fine (`phases`) instead of all pixels at once (WHOLE)."""
    levels: int = 256
    """Pixel values are 0 .. levels - 1; 2, of one channel, gives a Bernoulli likelihood, 256 discretised logistics."""
    stage_blocks: int = 0
    """Residual blocks in the network of each stage; with phases."""
    downscale: int = 4
    """How many times coarser than pixels the latents' grid is: a power of two from 4 on, 4 without phases."""
    least_log_scale: int = SHARPEST
    """Of mixtures, as `bbcompress.codec.spatial.SpatialInfo` has it."""

    @property
    def scales(self) -> Sequence[ScaleSpec]:
        return phases(self.downscale) if self.phases else WHOLE


def keep_variance(convolution: nn.Conv2d) -> None:
    """Begin with weights that keep the size of signals through a ReLU (He et al. 2015); torch's own let it vanish."""
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)


class Convolution(nn.Module):
    """Kernel, stride and padding as `bbcompress.exact.spatial.Convolution`, then ReLU if `relu`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = True):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - stride) // 2)
        self.relu = relu
        if relu:
            keep_variance(self.convolution)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(x)
        return y.relu() if self.relu else y


class Output(Convolution):
    """A network's last layer: 1 x 1, without ReLU, and in float32 also where the others are in bfloat16."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            # torch has no fast convolution for small float32 batches of one thread
            weight, bias = self.convolution.weight[:, :, 0, 0], self.convolution.bias
            return linear(x.float().movedim(1, 3), weight, bias).movedim(3, 1).contiguous()


class Seeing(Convolution):
    """A stage's first layer: 3 x 3, of features and of pixels, which are taken in float32 also where the rest is in
    bfloat16. Rounded to its 8 bits, the pixels that means begin with are half a grey level off."""

    def __init__(self, features: int, pixels: int, outputs: int):
        super().__init__(features + pixels, outputs, 3)
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        convolution, weight = self.convolution, self.convolution.weight
        y = conv2d(x[:, : self.features], weight[:, : self.features], convolution.bias, padding=1)
        if x.shape[1] > self.features:
            with torch.autocast(x.device.type, enabled=False):
                y = y + conv2d(x[:, self.features :].float(), weight[:, self.features :], padding=1)
        return y.relu()


class Up(nn.Module):
    """To a grid `factor` times finer, then ReLU."""

    def __init__(self, inputs: int, outputs: int, factor: int):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs * factor**2, 1)
        keep_variance(self.convolution)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return pixel_shuffle(self.convolution(x).relu(), self.factor)


class Residual(nn.Module):
    """relu(x + branch(x)), of two 3 x 3 convolutions, the second of which begins at zero."""

    def __init__(self, width: int):
        super().__init__()
        last = Convolution(width, width, 3, relu=False)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.branch = nn.Sequential(Convolution(width, width, 3), last)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = (x + self.branch(x)).relu()
        return y


class Decoder(nn.Module):
    """A feature network for each scale, from the latents to finer and finer grids, and a network for each stage."""

    def __init__(self, config: SpatialConfig):
        super().__init__()
        width, channels = config.width, config.channels
        self.scales = config.scales
        self.contexts = contexts(self.scales)
        self.features, self.stages = nn.ModuleList(), nn.ModuleList()
        if not config.phases:
            base = [Convolution(config.latent_channels, width, 3), *(Residual(width) for _ in range(config.blocks))]
            up = [Up(width, width // 2, 2), Residual(width // 2), Up(width // 2, width // 4, 2)]
            self.features.append(nn.Sequential(*base, *up))
            last = [Convolution(width // 4, width // 4, 3), likelihood_output(width // 4, config)]
            self.stages.append(nn.Sequential(*last))
            return
        inputs, stride = config.latent_channels, config.downscale
        for scale, context in zip(self.scales, self.contexts, strict=True):
            first = [Convolution(inputs + channels * len(context.features), width, 3)]
            up = [Up(width, width, stride // scale.stride)] if stride > scale.stride else []
            blocks = [Residual(width) for _ in range(config.blocks)]
            self.features.append(nn.Sequential(*first, *up, *blocks))
            inputs, stride = width, scale.stride
            for spec, known in zip(scale.stages, context.stages, strict=True):
                seen, output = Seeing(width, channels * len(known), width), likelihood_output(width, config)
                if known:
                    begin_with_neighbours(seen.convolution, output.convolution, spec, known, config)
                blocks = [Residual(width) for _ in range(config.stage_blocks)]
                self.stages.append(nn.Sequential(seen, *blocks, output))


@torch.no_grad()
def likelihood_output(inputs: int, config: SpatialConfig) -> Output:
    """A stage's last layer. Mixtures begin with middle grey, scales of some tens of grey levels, and each channel
    differing from its mean as the one before it does."""
    output = Output(inputs, outputs_per_place(config.channels, config.levels, config.components))
    if config.levels == 2:
        return output
    channels, components = config.channels, config.components
    others = channels * (2 if components == 1 else 3)
    assert output.convolution.bias is not None
    biases = output.convolution.bias.view(-1, components)
    biases[:channels] = 0.5 + 0.1 * torch.randn(channels, components)
    biases[channels : 2 * channels] = -2.5
    biases[others:] = 0
    for channel in range(1, channels):
        biases[coefficient_place(others, channel, channel - 1)] = 1
    return output


@torch.no_grad()
def begin_with_neighbours(
    first: nn.Conv2d, output: nn.Conv2d, spec: StageSpec, known: Offsets, config: SpatialConfig
) -> None:
    """Let a stage's two layers begin as linear prediction: the mean of a pixel's nearest known neighbours.

    A channel after the first adds by how much the one before differs from its own neighbours' mean. Of two levels, the
    logit is +-SURE where neighbours agree.
    """
    channels, components = config.channels, config.components
    taps = [
        (
            math.hypot(down * spec.stride + row - spec.row, right * spec.stride + column - spec.column),
            place,
            down,
            right,
        )
        for place, (row, column) in enumerate(known)
        for down, right in product((-1, 0, 1), repeat=2)
    ]
    nearest = [tap for tap in taps if tap[0] == min(taps)[0]]
    first.weight[:channels] = 0
    for _, place, down, right in nearest:
        for channel in range(channels):
            input = config.width + channels * place + channel
            first.weight[channel, input, down + 1, right + 1] = 1 / len(nearest)
    assert output.bias is not None
    output.weight *= 0.1
    if config.levels == 2:
        output.weight[0, 0] += 2 * SURE
        output.bias[0] = -SURE
        return
    numbers = output.weight[:, :, 0, 0].view(-1, components, config.width)
    biases = output.bias.view(-1, components)
    biases[:channels] = 0.02 * torch.randn(channels, components)
    # from 2 to 13 grey levels
    biases[channels : 2 * channels] = torch.linspace(-5, -3, components)
    for channel in range(channels):
        numbers[channel, :, channel] += 1
        if channel:
            numbers[channel, :, channel - 1] -= 1
            biases[channel] += Mixtures.CENTRE / Mixtures.RANGE


class SpatialVAE(VAEBase):
    """Convolutional VAE with a standard normal prior.

    Pixels are (N, C, H, W) uint8, H and W multiples of the configuration's `downscale`.
    """

    encoder: nn.Sequential
    decoder: Decoder

    def __init__(self, config: SpatialConfig):
        super().__init__()
        self.config = config
        self.largest_value = config.levels - 1
        self._input_scale = input_scale(config.levels)
        width = config.width
        self.encoder = nn.Sequential(
            Convolution(config.channels, width // 2, 4, 2),
            Convolution(width // 2, width, 4, 2),
            *(Convolution(width, width, 4, 2) for _ in range(round(math.log2(config.downscale)) - 2)),
            *(Residual(width) for _ in range(config.blocks)),
            Output(width, 2 * config.latent_channels),
        )
        self.decoder = Decoder(config)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def posterior(self, pixels: Tensor) -> Posterior:
        """q(z|x), each (N, latent_channels, H / downscale, W / downscale)."""
        mean, log_scale = self.encoder(pixels.float() * self._input_scale).chunk(2, 1)
        return Posterior(mean, log_scale.clamp(*LOG_SCALE_RANGE))

    def prior_sample(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents of the prior, for images as many and as large as `pixels`."""
        count, _, height, width = pixels.shape
        downscale = self.config.downscale
        shape = (count, self.config.latent_channels, height // downscale, width // downscale)
        return torch.randn(shape, generator=generator, device=pixels.device)

    def log_likelihood_nats(self, pixels: Tensor, latent: Tensor, warmth: float | Tensor = 1.0) -> Tensor:
        if self.config.phases:
            warmth = 1.0  # what these begin with (`begin_with_neighbours`) needs channels that follow each other
        values = pixels.float()
        total = torch.zeros(len(pixels), device=pixels.device)
        for spec, output in self.outputs(latent, values):
            coded = view(spec, values)
            if self.config.levels == 2:
                total = total - binary_cross_entropy_with_logits(output, coded, reduction="none").sum((1, 2, 3))
                continue
            mixtures = Mixtures(output, self.config)
            for channel in range(self.config.channels):
                parts = mixtures.parts(channel, coded, warmth)
                mass = mixture_log_mass(parts, coded[:, channel], self.config.least_log_scale)
                total = total + mass.sum((1, 2))
        return total

    def sample_pixels(self, latent: Tensor, generator: torch.Generator | None = None) -> Tensor:
        count, _, rows, columns = latent.shape
        downscale = self.config.downscale
        shape = count, self.config.channels, rows * downscale, columns * downscale
        pixels = torch.zeros(shape, device=latent.device)
        for spec, output in self.outputs(latent, pixels):
            coded = view(spec, pixels)
            if self.config.levels == 2:
                coded[:] = sample_bits(output, generator)
                continue
            mixtures = Mixtures(output, self.config)
            for channel in range(self.config.channels):
                parts = mixtures.parts(channel, coded)
                coded[:, channel] = sample_mixture(parts, generator, self.config.least_log_scale)
        return pixels.to(torch.uint8)

    def outputs(self, latent: Tensor, values: Tensor) -> Iterator[tuple[StageSpec, Tensor]]:
        """What each stage says, given the pixel values (N, C, H, W) of those before; they may come to be as it goes."""
        decoder, x = self.decoder, latent
        stages = iter(decoder.stages)
        for scale, context, features in zip(decoder.scales, decoder.contexts, decoder.features, strict=True):
            x = features(self.with_known(x, values, context.features))
            for spec, known in zip(scale.stages, context.stages, strict=True):
                yield spec, next(stages)(self.with_known(x, values, known))

    def with_known(self, x: Tensor, values: Tensor, offsets: Offsets) -> Tensor:
        """A network's input: features or latents, then the pixel values known at each place of their grid."""
        stride = values.shape[2] // x.shape[2]
        known = [values[:, :, row::stride, column::stride] * self._input_scale for row, column in offsets]
        return torch.cat([x, *known], 1)


def view(spec: StageSpec, pixels: Tensor) -> Tensor:
    """A stage's pixels of (N, C, H, W)."""
    return pixels[:, :, spec.row :: spec.stride, spec.column :: spec.stride]


class Mixtures:
    """A stage's output (N, numbers * components, H, W), as `bbcompress.codec.spatial` reads it."""

    CENTRE = 128.0
    RANGE = 256.0

    def __init__(self, output: Tensor, config: SpatialConfig):
        count, _, rows, columns = output.shape
        # unbound at once: each part taken by itself has a gradient as large as the whole
        self._numbers = output.view(count, -1, config.components, rows, columns).unbind(1)
        self._channels, self._kinds = config.channels, 2 if config.components == 1 else 3

    def parts(self, channel: int, values: Tensor, warmth: float | Tensor = 1.0) -> list[Tensor]:
        """What `mixture_log_mass` takes, for a channel given those before it in values (N, C, H, W)."""
        kinds = [self._numbers[kind * self._channels + channel] for kind in range(self._kinds)]
        for before in range(channel):
            place = coefficient_place(self._kinds * self._channels, channel, before)
            moved = warmth * (values[:, before, None] - self.CENTRE) / self.RANGE
            kinds[0] = kinds[0] + self._numbers[place] * moved
        return kinds
