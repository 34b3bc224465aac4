"""Exact models that no training made: small, and the same everywhere and forever."""

from itertools import count, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.codec.corrector import ScaleNetworks, channel_slices
from bbcompress.codec.corrector import inputs as corrector_inputs
from bbcompress.codec.corrector import outputs as corrector_outputs
from bbcompress.codec.corrector_file import CorrectorContents, CorrectorInfo
from bbcompress.codec.dense import DenseInfo
from bbcompress.codec.general import general
from bbcompress.codec.lattice import STAGES
from bbcompress.codec.layer_specs import ConvolutionSpec, DenseSpec, DepthToSpaceSpec, ResidualSpec, Spec
from bbcompress.codec.predictor import Predictor, Unit
from bbcompress.codec.spatial import ScaleSpec, SpatialInfo, contexts, outputs_per_place
from bbcompress.codec.spatial_file import ScaleContents, SpatialContents
from bbcompress.exact.int8 import Convolution, Linear, Network, Residual
from bbcompress.exact.network import Range


class Parts(NamedTuple):
    """What a model file is made of."""

    info: DenseInfo
    encoder: list[DenseSpec]
    decoder: list[DenseSpec]


def scattered_integers(shape: tuple[int, ...], limit: int, seed: int) -> NDArray[np.int64]:
    """Integers in [-limit, limit] that look random, the same everywhere and forever."""
    n = np.arange(np.prod(shape, dtype=int), dtype=np.uint64) + np.uint64(1_000_003 * seed + 1)
    mixed = n * np.uint64(0x9E3779B97F4A7C15)  # modulo 2^64
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    top = (mixed >> np.uint64(33)).astype(np.int64)
    return top.reshape(shape) % (2 * limit + 1) - limit


def make_tiny(levels: int = 2, components: int = 1, width: int = 6) -> Parts:
    """A model of images of 5 rows with 3 latents and 8 hidden units, in sums of up to 2^40."""
    height, latent, hidden = 5, 3, 8
    subpixels = height * width
    outputs = 1 if levels == 2 else (2 if components == 1 else 3 * components)
    pixel = Range(0, 1) if levels == 2 else Range(8, 255)
    middle, posterior = Range(12, 1 << 16), Range(10, 8 << 10)
    latents, output = Range(10, 8 << 10), Range(12, 16 << 12)

    def dense(inputs: int, outs: int, limit: int, source: Range, target: Range, relu: bool, seed: int) -> DenseSpec:
        weight_bits = 13
        bias = scattered_integers((outs,), 1 << (weight_bits + source.fraction_bits - 1), seed + 50)
        return DenseSpec(scattered_integers((inputs, outs), limit, seed), bias, weight_bits, source, target, relu)

    info = DenseInfo(
        name=f"tiny-{levels}-{components}",
        height=height,
        width=width,
        channels=1,
        levels=levels,
        components=components,
        latent=latent,
        latent_bits=8,
        grid_log2_steps=(0, -1, 1),
        learning_rate=0.02,
    )
    encoder = [
        dense(subpixels, hidden, 4800, pixel, middle, True, 1),
        dense(hidden, 2 * latent, 4000, middle, posterior, False, 2),
    ]
    decoder = [
        dense(latent, hidden, 12000, latents, middle, True, 3),
        dense(hidden, outputs * subpixels, 5600, middle, output, False, 4),
    ]
    return Parts(info, encoder, decoder)


def make_spatial(
    phases: bool, channels: int = 3, components: int = 2, levels: int = 256, coarse: bool = False
) -> SpatialContents:
    """A convolutional model with 2 latents at each place, in sums of up to 2^40, decoded at once or in phases.

    With `coarse` residual branches see fewer bits than what they are added to has.
    """
    pixel = Range(0, 1) if levels == 2 else Range(8, 255)
    middle, posterior = Range(12, 1 << 16), Range(10, 8 << 10)
    latents, output = Range(10, 8 << 10), Range(12, 16 << 12)
    seeds = count(1)

    def dense(inputs: int, outs: int, source: Range, target: Range, relu: bool) -> DenseSpec:
        # weights of a size that keeps activations about as large as they were
        bits = 12 if source.fraction_bits else 16
        unit = 64 if source.limit == 127 else 1
        limit = int(2**bits * 1.5 / inputs**0.5) // unit
        seed = next(seeds)
        bias = scattered_integers((outs,), 1 << (bits - 1 + source.fraction_bits), seed + 50)
        return DenseSpec(scattered_integers((inputs, outs), limit, seed) * unit, bias, bits, source, target, relu)

    def convolution(inputs: int, outs: int, source: Range, target: Range, kernel: int, stride: int) -> list[Spec]:
        return [ConvolutionSpec(kernel, stride, dense(inputs * kernel**2, outs, source, target, True))]

    seen, inside = (Range(3, 127), Range(4, 127)) if coarse else (middle, middle)
    branch = (*convolution(6, 6, seen, inside, 3, 1), dense(6, 6, inside, middle, False))
    residual = ResidualSpec(branch, middle, True)
    encoder = [*convolution(channels, 6, pixel, middle, 4, 4), residual, dense(6, 4, middle, posterior, False)]
    outputs = outputs_per_place(channels, levels, components)
    if phases:
        specs = [ScaleSpec(4, [(0, 0)]), ScaleSpec(4, [(2, 2), (0, 2), (2, 0)]), ScaleSpec(2, [(1, 1), (0, 1), (1, 0)])]
    else:
        specs = [ScaleSpec(1, [(0, 0)])]
    scales = []
    inputs, source, stride = 2, latents, 4
    for spec, context in zip(specs, contexts(specs), strict=True):
        features = [*convolution(inputs + channels * len(context.features), 6, source, middle, 3, 1), residual]
        while stride > spec.stride:
            features += [dense(6, 24, middle, middle, True), DepthToSpaceSpec(2)]
            stride //= 2
        stages = [
            [*convolution(6 + channels * len(known), 8, middle, middle, 3, 1), dense(8, outputs, middle, output, False)]
            for known in context.stages
        ]
        scales.append(ScaleContents(spec, features, stages))
        inputs, source = 6, middle
    info = SpatialInfo(f"spatial-{phases}{'-coarse' * coarse}", channels, levels, components, 4, 2, 8, (0, -1), 0.01)
    return SpatialContents(info, encoder, scales)


def make_corrector(channels: int = 3, width: int = 4, last: int = 60) -> CorrectorContents:
    """Networks of one residual block that say anything, or nothing where `last`, the last weights' limit, is 0. For
    colour there are others for coarse scales than for the finest, and predictors, where networks say anything."""
    seeds = count(1)

    def convolution(kernel: int, seen: int, outs: int, shift: int, **signs: bool) -> Convolution:
        weight = scattered_integers((kernel, kernel, seen, outs), 63, next(seeds))
        return Convolution(weight, scattered_integers((outs,), 4000, next(seeds)), np.full(outs, shift), **signs)

    def network(stage: int, channel_slice: range) -> Network:
        branch = convolution(3, width, width, 8), convolution(3, width, width, 9, signed_output=True)
        linear = scattered_integers((width, corrector_outputs(channel_slice)), last, next(seeds))
        return Network(
            (
                convolution(1, corrector_inputs(channels, stage, channel_slice), width, 6, signed_input=True),
                Residual(*branch),
                Linear(linear, scattered_integers((corrector_outputs(channel_slice),), 50 * last, next(seeds))),
            )
        )

    scales = tuple(
        ScaleNetworks(
            strides,
            {
                stage: tuple(network(stage, channel_slice) for channel_slice in channel_slices(channels))
                for stage in STAGES
            },
        )
        for strides in ([(32, 16, 8, 4), (2,)] if channels == 3 else [(8, 4, 2)])
    )
    predictors = {
        (stride, stage, channel): _unlike(general(Unit(stage, channel, channels)), next(seeds))
        for stride, stage, channel in product((64, 16, 4, 2), STAGES, range(channels))
        if (stride, stage, channel) != (4, 1, 2) and channels == 3 and last
    }
    return CorrectorContents(CorrectorInfo(f"corrector-{channels}", channels), scales, predictors)


def _unlike(predictor: Predictor, seed: int) -> Predictor:
    """Another that does hardly worse."""
    weights = predictor.weights + scattered_integers(predictor.weights.shape, 40, seed)
    context = np.maximum(predictor.context + scattered_integers(predictor.context.shape, 3, seed), 0)
    knots = predictor.knots + scattered_integers(predictor.knots.shape, 2, seed)
    return Predictor(weights, context, knots, (predictor.shape + seed) % 16, 7 + seed % 2, seed % 3 - 1)
