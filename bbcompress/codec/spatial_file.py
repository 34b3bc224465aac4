"""Convolutional models as model files hold them: `bbcompress-model-2`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

from bbcompress.codec.bilevel import MAX_LOGIT_BITS
from bbcompress.codec.layer_specs import (
    MAX_LAYERS,
    BadLayer,
    Integers,
    Spec,
    build,
    checked_info,
    describe,
    input_range,
    parse,
    tensors,
    widths,
)
from bbcompress.codec.spatial import (
    Networks,
    SpatialInfo,
    SpatialModel,
    StageSpec,
    known_offsets,
)
from bbcompress.exact.engine import Engine
from bbcompress.exact.network import Range

MAX_DOWNSCALE = 64
MAX_STRIDE = 16


class StageContents(NamedTuple):
    """Which pixels a stage codes, and its network."""

    spec: StageSpec
    layers: Sequence[Spec]


@dataclass(frozen=True)
class SpatialContents:
    """What is in the file."""

    info: SpatialInfo
    encoder: Sequence[Spec]
    features: Sequence[Sequence[Spec]]
    stages: Sequence[StageContents]

    FORMAT: ClassVar = "bbcompress-model-2"

    def describe(self) -> dict[str, Any]:
        return {
            "info": asdict(self.info),
            "encoder": describe(self.encoder),
            "features": [describe(layers) for layers in self.features],
            "stages": [asdict(spec) | {"layers": describe(layers)} for spec, layers in self.stages],
        }

    def tensors(self) -> dict[str, Integers]:
        networks = {"encoder": self.encoder}
        networks |= {f"features.{number}": layers for number, layers in enumerate(self.features)}
        networks |= {f"stages.{number}": stage.layers for number, stage in enumerate(self.stages)}
        return dict(item for name in sorted(networks) for item in tensors(name, networks[name]))

    @classmethod
    def parse(cls, description: dict[str, Any], tensors: dict[str, Integers]) -> "SpatialContents":
        features, stages = description["features"], description["stages"]
        if len(features) > MAX_LAYERS or len(stages) > MAX_STRIDE**2:
            raise BadLayer("too many feature networks or stages")
        return cls(
            cls.parse_info(description["info"]),
            parse("encoder", description["encoder"], tensors),
            [parse(f"features.{number}", layers, tensors) for number, layers in enumerate(features)],
            [
                StageContents(_stage_spec(stage, len(features)), parse(f"stages.{number}", stage["layers"], tensors))
                for number, stage in enumerate(stages)
            ],
        )

    @staticmethod
    def parse_info(value: dict[str, Any]) -> SpatialInfo:
        """Raises BadLayer where anything is missing or out of range."""
        limits = {
            "channels": (1, 3),
            "levels": (2, 256),
            "components": (1, 32),
            "downscale": (1, MAX_DOWNSCALE),
            "latent_channels": (1, 1 << 10),
            "latent_bits": (1, 16),
        }
        info = checked_info(SpatialInfo, value, limits)
        if len(info.grid_log2_steps) != info.latent_channels:
            raise BadLayer("grid_log2_steps are out of range in the model's description")
        return info

    def build(self, identity: bytes, engine: Engine, batch: int) -> SpatialModel:
        info = self.info
        if info.levels not in (2, 256) or (info.levels == 2 and (info.channels, info.components) != (1, 1)):
            raise BadLayer("levels, channels and components do not go together in the model's description")
        if widths(self.encoder, info.channels) != (2 * info.latent_channels, info.downscale):
            raise BadLayer("the encoder does not fit the image and the latent")
        pixels = input_range(self.encoder)
        if pixels.fraction_bits != info.pixel_bits or not _holds_pixels(pixels, info):
            raise BadLayer("the encoder's input range does not hold the pixels")
        channels, stride = info.latent_channels, info.downscale
        grids = []
        if not self.features or not self.stages:
            raise BadLayer("no features, or no stages")
        for layers in self.features:
            channels, stride = widths(layers, channels, stride)
            grids.append((channels, stride))
        coded: list[StageSpec] = []
        for spec, layers in self.stages:
            channels, stride = grids[spec.features]
            known = known_offsets(coded, spec.stride)
            if stride != spec.stride or info.downscale % stride:
                raise BadLayer("a stage's features are not on its grid")
            expected = info.outputs, stride
            if widths(layers, channels + info.channels * len(known), stride) != expected:
                raise BadLayer("a stage does not fit its features and its outputs")
            if known and not _holds_pixels(input_range(layers), info):
                raise BadLayer("a stage's input range does not hold the pixels")
            coded.append(spec)
        _require_partition(coded)
        features = [build(layers, input_range(layers)) for layers in self.features]
        networks = Networks(
            build(self.encoder, input_range(self.encoder)),
            features,
            [(spec, build(layers, input_range(layers))) for spec, layers in self.stages],
        )
        if info.levels == 2 and any(network.output.fraction_bits > MAX_LOGIT_BITS for _, network in networks.stages):
            raise BadLayer("a stage's output has more fractional bits than logits may")
        after = [*features[1:], *(network for _, network in networks.stages)]
        before = [*features[:-1], *(features[spec.features] for spec, _ in networks.stages)]
        for source, target in zip(before, after, strict=True):
            if source.output.fraction_bits != target.input.fraction_bits or source.output.limit > target.input.limit:
                raise BadLayer("a network's input range does not hold its features")
        return SpatialModel(info, networks, identity, engine, batch)


def _holds_pixels(range: Range, info: SpatialInfo) -> bool:
    finer = range.fraction_bits - info.pixel_bits
    return finer >= 0 and range.limit >= (info.levels - 1) << finer


def _require_partition(stages: Sequence[StageSpec]) -> None:
    """Every pixel is coded exactly once."""
    period = max(spec.stride for spec in stages)
    count = [[0] * period for _ in range(period)]
    for spec in stages:
        if period % spec.stride:
            raise BadLayer("strides of stages do not divide each other")
        for row in range(spec.row, period, spec.stride):
            for column in range(spec.column, period, spec.stride):
                count[row][column] += 1
    if any(value != 1 for row in count for value in row):
        raise BadLayer("the stages do not code every pixel once")


def _stage_spec(value: dict[str, Any], features: int) -> StageSpec:
    if set(value) != {"stride", "row", "column", "features", "layers"}:
        raise BadLayer("unknown or missing fields in a stage's description")
    spec = StageSpec(value["stride"], value["row"], value["column"], value["features"])
    numbers = (spec.stride, spec.row, spec.column, spec.features)
    if any(type(number) is not int for number in numbers) or not 1 <= spec.stride <= MAX_STRIDE:
        raise BadLayer("a stage's description is out of range")
    if not (0 <= spec.row < spec.stride and 0 <= spec.column < spec.stride and 0 <= spec.features < features):
        raise BadLayer("a stage's description is out of range")
    return spec
