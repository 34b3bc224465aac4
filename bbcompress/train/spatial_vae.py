"""Torch twins of the convolutional exact models (`bbcompress.codec.spatial`), for images of any size.

Residual networks without normalisation: each branch begins at zero, which trains as well at these depths and leaves
nothing to fold at export. Convolutions are those that exact layers have: kernels with (kernel - stride) / 2 zeros on
each side, and going up a 1 x 1 convolution whose channels become squares of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, pixel_shuffle

from bbcompress.codec.spatial import StageSpec, known_offsets, outputs_per_place
from bbcompress.train.vae import (
    LOG_SCALE_RANGE,
    Posterior,
    VAEBase,
    input_scale,
    mixture_log_mass,
    sample_bits,
    sample_mixture,
)

DOWNSCALE = 4
WHOLE = (StageSpec(stride=1, row=0, column=0, features=0),)
"""All pixels at once, given the latents: the paper's decoder."""
PHASES = (
    *(StageSpec(4, row, column, 0) for row, column in ((0, 0), (2, 2), (0, 2), (2, 0))),
    *(StageSpec(2, row, column, 1) for row, column in ((1, 1), (0, 1), (1, 0))),
)
"""Coarse to fine: a quarter of the resolution, then a half, then all; the diagonal first."""


@dataclass(frozen=True)
class SpatialConfig:
    """What defines a convolutional VAE."""

    channels: int = 3
    components: int = 5
    """Logistic components of each subpixel's mixture; 1 for two levels."""
    latent_channels: int = 2
    """At each place of a grid of a quarter of the resolution (the paper's 2 x 8 x 8 and 4 x 8 x 8)."""
    width: int = 96
    """Channels at the latents' grid; finer grids have fewer."""
    blocks: int = 3
    """Residual blocks at the latents' grid, in the encoder and in the decoder."""
    phases: bool = False
    """Decode coarse to fine (PHASES) instead of all pixels at once (WHOLE)."""
    levels: int = 256
    """Pixel values are 0 .. levels - 1; 2, of one channel, gives a Bernoulli likelihood, 256 discretised logistics."""

    @property
    def stages(self) -> Sequence[StageSpec]:
        return PHASES if self.phases else WHOLE


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
            return super().forward(x.float())


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
        nn.init.zeros_(last.convolution.weight)
        self.branch = nn.Sequential(Convolution(width, width, 3), last)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = (x + self.branch(x)).relu()
        return y


class Decoder(nn.Module):
    """Feature networks, from the latents to finer and finer grids, and a network for each stage."""

    def __init__(self, config: SpatialConfig):
        super().__init__()
        width, stages = config.width, config.stages
        base = [Convolution(config.latent_channels, width, 3), *(Residual(width) for _ in range(config.blocks))]
        if config.phases:
            widths = {4: width, 2: 2 * width // 3}
            self.features = nn.ModuleList([nn.Sequential(*base), nn.Sequential(Up(width, widths[2], 2))])
            self.stages = nn.ModuleList(
                nn.Sequential(
                    Convolution(widths[spec.stride] + config.channels * known, widths[spec.stride], 3),
                    *(Residual(widths[spec.stride]) for _ in range(2)),
                    likelihood_output(widths[spec.stride], config),
                )
                for spec, known in zip(stages, known_counts(stages), strict=True)
            )
        else:
            up = [Up(width, width // 2, 2), Residual(width // 2), Up(width // 2, width // 4, 2)]
            self.features = nn.ModuleList([nn.Sequential(*base, *up)])
            last = [Convolution(width // 4, width // 4, 3), likelihood_output(width // 4, config)]
            self.stages = nn.ModuleList([nn.Sequential(*last)])
        self.specs = stages


def likelihood_output(inputs: int, config: SpatialConfig) -> Output:
    """A stage's last layer; mixtures begin with middle grey, and scales of some tens of grey levels."""
    output = Output(inputs, outputs_per_place(config.channels, config.levels, config.components))
    if config.levels == 2:
        return output
    subpixels = config.channels * config.components
    bias = output.convolution.bias
    assert bias is not None
    with torch.no_grad():
        bias[:subpixels] = 0.5 + 0.1 * torch.randn(subpixels)
        bias[subpixels : 2 * subpixels] = -2.5
    return output


def known_counts(stages: Sequence[StageSpec]) -> list[int]:
    """Pixels that each stage knows at each place of its grid."""
    return [len(known_offsets(stages[:number], spec.stride)) for number, spec in enumerate(stages)]


class SpatialVAE(VAEBase):
    """Convolutional VAE with a standard normal prior. Pixels are (N, C, H, W) uint8, H and W multiples of DOWNSCALE."""

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
            *(Residual(width) for _ in range(config.blocks)),
            Output(width, 2 * config.latent_channels),
        )
        self.decoder = Decoder(config)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def posterior(self, pixels: Tensor) -> Posterior:
        """q(z|x), each (N, latent_channels, H / 4, W / 4)."""
        mean, log_scale = self.encoder(pixels.float() * self._input_scale).chunk(2, 1)
        return Posterior(mean, log_scale.clamp(*LOG_SCALE_RANGE))

    def prior_sample(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents of the prior, for images as many and as large as `pixels`."""
        count, _, height, width = pixels.shape
        shape = (count, self.config.latent_channels, height // DOWNSCALE, width // DOWNSCALE)
        return torch.randn(shape, generator=generator, device=pixels.device)

    def log_likelihood_nats(self, pixels: Tensor, latent: Tensor, warmth: float = 1.0) -> Tensor:
        features = self._features(latent)
        values = pixels.float()
        total = torch.zeros(len(pixels), device=pixels.device)
        for number, spec in enumerate(self.decoder.specs):
            output = self._stage(number, features, values)
            coded = values[:, :, spec.row :: spec.stride, spec.column :: spec.stride]
            if self.config.levels == 2:
                total = total - binary_cross_entropy_with_logits(output, coded, reduction="none").sum((1, 2, 3))
                continue
            mixtures = Mixtures(output, self.config)
            for channel in range(self.config.channels):
                mass = mixture_log_mass(mixtures.parts(channel, coded, warmth), coded[:, channel])
                total = total + mass.sum((1, 2))
        return total

    def sample_pixels(self, latent: Tensor, generator: torch.Generator | None = None) -> Tensor:
        features = self._features(latent)
        count, _, rows, columns = latent.shape
        shape = count, self.config.channels, rows * DOWNSCALE, columns * DOWNSCALE
        pixels = torch.zeros(shape, device=latent.device)
        for number, spec in enumerate(self.decoder.specs):
            coded = pixels[:, :, spec.row :: spec.stride, spec.column :: spec.stride]
            output = self._stage(number, features, pixels)
            if self.config.levels == 2:
                coded[:] = sample_bits(output, generator)
                continue
            mixtures = Mixtures(output, self.config)
            for channel in range(self.config.channels):
                coded[:, channel] = sample_mixture(mixtures.parts(channel, coded), generator)
        return pixels.to(torch.uint8)

    def _features(self, latent: Tensor) -> list[Tensor]:
        features = []
        for network in self.decoder.features:
            latent = network(latent)
            features.append(latent)
        return features

    def _stage(self, number: int, features: list[Tensor], values: Tensor) -> Tensor:
        spec = self.decoder.specs[number]
        known = known_offsets(self.decoder.specs[:number], spec.stride)
        scaled = values * self._input_scale
        context = [scaled[:, :, row :: spec.stride, column :: spec.stride] for row, column in known]
        output: Tensor = self.decoder.stages[number](torch.cat([features[spec.features], *context], 1))
        return output


class Mixtures:
    """A stage's output (N, numbers * components, H, W), as `bbcompress.codec.spatial` reads it."""

    CENTRE = 128.0
    RANGE = 256.0

    def __init__(self, output: Tensor, config: SpatialConfig):
        count, _, rows, columns = output.shape
        self._numbers = output.view(count, -1, config.components, rows, columns)
        self._channels, self._kinds = config.channels, 2 if config.components == 1 else 3

    def parts(self, channel: int, values: Tensor, warmth: float = 1.0) -> list[Tensor]:
        """What `mixture_log_mass` takes, for a channel given those before it in values (N, C, H, W)."""
        kinds = [self._numbers[:, kind * self._channels + channel] for kind in range(self._kinds)]
        for before in range(channel):
            place = self._kinds * self._channels + channel * (channel - 1) // 2 + before
            moved = warmth * (values[:, before, None] - self.CENTRE) / self.RANGE
            kinds[0] = kinds[0] + self._numbers[:, place] * moved
        return kinds
