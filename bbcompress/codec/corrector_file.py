"""Correctors as model files hold them: `bbcompress-model-3`."""

from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any, ClassVar

import numpy as np

from bbcompress.codec.corrector import Corrector, ScaleNetworks, channel_slices, inputs, outputs, usual
from bbcompress.codec.int8_specs import describe, parse, tensors
from bbcompress.codec.lattice import STAGES
from bbcompress.codec.layer_specs import MAX_NAME_CHARACTERS, BadLayer, Integers, Tensors
from bbcompress.codec.parameters import Parameters, pack, unpack
from bbcompress.exact.engine import Engine

LARGEST_PICTURE = 1 << 32
"""Pixels that a model may say it is for."""
STRIDES = tuple(1 << power for power in range(15, 0, -1))
"""Of scales that a model may say something of."""


@dataclass(frozen=True)
class CorrectorInfo:
    """What a corrector is for."""

    name: str
    channels: int
    """Of pictures: 1 for grey ones, 3 for colour."""
    levels: int = 256
    """2 for black and white; 256 for 8 bits and more."""
    most_pixels: int | None = None
    """Of the pictures that it is for, where these are small."""

    latent: ClassVar = 0
    size: ClassVar = "any"


@dataclass(frozen=True)
class CorrectorModel:
    """A corrector, ready to use."""

    info: CorrectorInfo
    identity: bytes
    corrector: Corrector


@dataclass(frozen=True)
class CorrectorContents:
    """What is in the file."""

    info: CorrectorInfo
    scales: tuple[ScaleNetworks, ...]
    predictors: Parameters = field(default_factory=dict)

    FORMAT: ClassVar = "bbcompress-model-3"

    def describe(self) -> dict[str, Any]:
        info = asdict(self.info)
        if self.info.levels == 256:
            del info["levels"]
        if self.info.most_pixels is None:
            del info["most_pixels"]
        scales = [
            {
                "strides": list(scale.strides),
                "stages": [[describe(network) for network in scale.networks[stage]] for stage in STAGES],
            }
            for scale in self.scales
        ]
        return {"info": info, "predictors": self._predicted_strides, "scales": scales}

    def tensors(self) -> dict[str, Integers]:
        found: dict[str, Integers] = {}
        if self.predictors:
            packed = pack(self.predictors, self.info.channels, partial(usual, None), self._predicted_strides)
            found["predictors"] = np.frombuffer(packed, np.uint8).astype(np.int16)
        for number, scale in enumerate(self.scales):
            for stage in STAGES:
                for place, network in enumerate(scale.networks[stage]):
                    found |= tensors(_prefix(number, stage, place), network)
        return found

    @property
    def _predicted_strides(self) -> list[int]:
        return sorted({stride for stride, _, _ in self.predictors}, reverse=True)

    @classmethod
    def parse(cls, description: dict[str, Any], tensors: dict[str, Integers]) -> "CorrectorContents":
        info = cls.parse_info(description["info"])
        strides = _strides(description["predictors"])
        predictors: Parameters = {}
        if strides:
            packed = tensors["predictors"]
            if packed.ndim != 1 or packed.dtype.kind != "i" or ((packed < 0) | (packed > 255)).any():
                raise BadLayer("predictors are no bytes")
            predictors = unpack(packed.astype(np.uint8).tobytes(), info.channels, partial(usual, None), strides)
            if {stride for stride, _, _ in predictors} != set(strides):
                raise BadLayer("a scale that is said to have predictors has none")
        if not isinstance(description["scales"], list) or len(description["scales"]) > len(STRIDES):
            raise BadLayer("a corrector's scales are a list")
        scales = tuple(
            _scale(number, info.channels, scale, tensors) for number, scale in enumerate(description["scales"])
        )
        _strides(sorted((stride for scale in scales for stride in scale.strides), reverse=True))
        return cls(info, scales, predictors)

    @staticmethod
    def parse_info(value: dict[str, Any]) -> CorrectorInfo:
        """Raises BadLayer where anything is missing or out of range."""
        known = {one.name for one in fields(CorrectorInfo)}
        kind = value["channels"], value.get("levels")
        if not {"name", "channels"} <= set(value) <= known or kind not in ((1, 2), (1, None), (3, None)):
            raise BadLayer("unknown, missing or wrong fields in the model's description")
        most = value.get("most_pixels", 1)
        if type(most) is not int or not 0 < most <= LARGEST_PICTURE:
            raise BadLayer("the model is for pictures of no size")
        name = value["name"]
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
            raise BadLayer("the model's name is not one to print")
        return CorrectorInfo(**value)

    def build(self, identity: bytes, engine: Engine, batch: int) -> CorrectorModel:
        channels = self.info.channels
        for scale in self.scales:
            for stage, of_stage in scale.networks.items():
                for network, channel_slice in zip(of_stage, channel_slices(channels), strict=True):
                    if (network.inputs, network.outputs) != (
                        inputs(channels, stage, channel_slice),
                        outputs(channel_slice),
                    ):
                        raise BadLayer("a stage's network does not fit what it sees and says")
        return CorrectorModel(self.info, identity, Corrector(channels, self.scales, self.predictors))


def _scale(number: int, channels: int, scale: dict[str, Any], tensors: Tensors) -> ScaleNetworks:
    if set(scale) != {"strides", "stages"} or not scale["strides"]:
        raise BadLayer("networks are of some strides and stages")
    stages = scale["stages"]
    if not isinstance(stages, list) or len(stages) != len(STAGES):
        raise BadLayer("a scale has three stages")
    networks = {}
    for stage, of_stage in zip(STAGES, stages, strict=True):
        if not isinstance(of_stage, list) or len(of_stage) != len(channel_slices(channels)):
            raise BadLayer("a stage has not the networks that a corrector for so many channels has")
        networks[stage] = tuple(
            parse(_prefix(number, stage, place), layers, tensors) for place, layers in enumerate(of_stage)
        )
    return ScaleNetworks(_strides(scale["strides"]), networks)


def _strides(value: Any) -> tuple[int, ...]:
    """The largest first, each once."""
    if not isinstance(value, list) or any(type(stride) is not int or stride not in STRIDES for stride in value):
        raise BadLayer("strides are powers of two")
    if sorted(set(value), reverse=True) != value:
        raise BadLayer("strides are each given once, the largest first")
    return tuple(value)


def _prefix(number: int, stage: int, place: int) -> str:
    """Of tensors' names."""
    return f"scales.{number}.stages.{stage}.networks.{place}"
