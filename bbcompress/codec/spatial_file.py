"""Convolutional models as model files hold them: `bbcompress-model-2`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, NamedTuple

from bbcompress.codec.bilevel import MAX_LOGIT_BITS
from bbcompress.codec.layer_specs import (
    BadLayer,
    Integers,
    Spec,
    Tensors,
    build,
    checked_info,
    describe,
    input_range,
    integer,
    parse,
    tensors,
    widths,
)
from bbcompress.codec.spatial import (
    Networks,
    Scale,
    ScaleSpec,
    SpatialInfo,
    SpatialModel,
    StageSpec,
    contexts,
)
from bbcompress.exact.engine import Engine
from bbcompress.exact.network import Network, Range

MAX_DOWNSCALE = 64
MAX_STRIDE = 16
MAX_SCALES = 64
LEAST_LOG_SCALE = -10
DEFAULTS = {"least_log_scale": SpatialInfo.least_log_scale}
"""Members that descriptions leave out, as those of models that are older than they."""


class ScaleContents(NamedTuple):
    """A scale, with the layers of its networks."""

    spec: ScaleSpec
    features: Sequence[Spec]
    stages: Sequence[Sequence[Spec]]


@dataclass(frozen=True)
class SpatialContents:
    """What is in the file."""

    info: SpatialInfo
    encoder: Sequence[Spec]
    scales: Sequence[ScaleContents]

    FORMAT: ClassVar = "bbcompress-model-2"

    def describe(self) -> dict[str, Any]:
        return {
            "info": {name: value for name, value in asdict(self.info).items() if DEFAULTS.get(name) != value},
            "encoder": describe(self.encoder),
            "scales": [
                {
                    "stride": spec.stride,
                    "features": describe(features),
                    "stages": [
                        {"row": row, "column": column, "layers": describe(layers)}
                        for (row, column), layers in zip(spec.offsets, stages, strict=True)
                    ],
                }
                for spec, features, stages in self.scales
            ],
        }

    def tensors(self) -> dict[str, Integers]:
        networks = {"encoder": self.encoder}
        for number, scale in enumerate(self.scales):
            networks[f"scales.{number}.features"] = scale.features
            networks |= {f"scales.{number}.stages.{place}": layers for place, layers in enumerate(scale.stages)}
        return dict(item for name in sorted(networks) for item in tensors(name, networks[name]))

    @classmethod
    def parse(cls, description: dict[str, Any], tensors: dict[str, Integers]) -> "SpatialContents":
        scales = description["scales"]
        if len(scales) > MAX_SCALES:
            raise BadLayer("too many scales")
        return cls(
            cls.parse_info(description["info"]),
            parse("encoder", description["encoder"], tensors),
            [_parse_scale(f"scales.{number}", scale, tensors) for number, scale in enumerate(scales)],
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
            "least_log_scale": (LEAST_LOG_SCALE, DEFAULTS["least_log_scale"]),
        }
        info = checked_info(SpatialInfo, DEFAULTS | value, limits)
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
        specs = [scale.spec for scale in self.scales]
        _require_partition([stage for spec in specs for stage in spec.stages])
        channels, stride = info.latent_channels, info.downscale
        scales: list[Scale] = []
        for contents, context in zip(self.scales, contexts(specs), strict=True):
            before = scales[-1].features.output if scales else None
            features = _network(contents.features, before, bool(context.features), info)
            channels, stride = widths(contents.features, channels + info.channels * len(context.features), stride)
            if stride != contents.spec.stride or info.downscale % stride:
                raise BadLayer("a scale's features are not on its grid")
            stages = []
            for layers, known in zip(contents.stages, context.stages, strict=True):
                if widths(layers, channels + info.channels * len(known), stride) != (info.outputs, stride):
                    raise BadLayer("a stage does not fit its features and its outputs")
                stages.append(_network(layers, features.output, bool(known), info))
            scales.append(Scale(contents.spec, features, stages))
        last = [network.output for scale in scales for network in scale.stages]
        if info.levels == 2 and any(output.fraction_bits > MAX_LOGIT_BITS for output in last):
            raise BadLayer("a stage's output has more fractional bits than logits may")
        networks = Networks(build(self.encoder, replace(pixels, nonnegative=True)), scales)
        return SpatialModel(info, networks, identity, engine, batch)


def _network(layers: Sequence[Spec], features: Range | None, context: bool, info: SpatialInfo) -> Network:
    """A network whose input takes these features, and pixels if it has a `context`."""
    input = input_range(layers)
    if features and (features.fraction_bits != input.fraction_bits or features.limit > input.limit):
        raise BadLayer("a network's input range does not hold its features")
    if context and not _holds_pixels(input, info):
        raise BadLayer("a network's input range does not hold the pixels")
    return build(layers, replace(input, nonnegative=features is not None and features.nonnegative))


def _holds_pixels(range: Range, info: SpatialInfo) -> bool:
    finer = range.fraction_bits - info.pixel_bits
    return finer >= 0 and range.limit >= (info.levels - 1) << finer


def _require_partition(stages: Sequence[StageSpec]) -> None:
    """Every pixel is coded exactly once."""
    period = max((spec.stride for spec in stages), default=1)
    count = [[0] * period for _ in range(period)]
    for spec in stages:
        if period % spec.stride:
            raise BadLayer("strides of stages do not divide each other")
        for row in range(spec.row, period, spec.stride):
            for column in range(spec.column, period, spec.stride):
                count[row][column] += 1
    if any(value != 1 for row in count for value in row):
        raise BadLayer("the stages do not code every pixel once")


def _parse_scale(where: str, value: dict[str, Any], tensors: Tensors) -> ScaleContents:
    if set(value) != {"stride", "features", "stages"}:
        raise BadLayer(f"{where}: unknown or missing fields in a scale's description")
    stride, stages = integer(value["stride"], 1, MAX_STRIDE, where), value["stages"]
    if not 0 < len(stages) <= stride * stride:
        raise BadLayer(f"{where}: number of stages out of range")
    offsets, networks = [], []
    for number, stage in enumerate(stages):
        place = f"{where}.stages.{number}"
        if set(stage) != {"row", "column", "layers"}:
            raise BadLayer(f"{place}: unknown or missing fields in a stage's description")
        row, column = (integer(stage[axis], 0, stride - 1, place) for axis in ("row", "column"))
        offsets.append((row, column))
        networks.append(parse(place, stage["layers"], tensors))
    return ScaleContents(ScaleSpec(stride, offsets), parse(f"{where}.features", value["features"], tensors), networks)
