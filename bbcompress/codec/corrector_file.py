"""Correctors as model files hold them: `bbcompress-model-3`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from bbcompress.codec.corrector import Corrector, inputs, outputs, turns
from bbcompress.codec.int8_specs import describe, parse, tensors
from bbcompress.codec.lattice import STAGES
from bbcompress.codec.layer_specs import MAX_NAME_CHARACTERS, BadLayer, Integers
from bbcompress.exact.engine import Engine
from bbcompress.exact.int8 import Network

LARGEST_PICTURE = 1 << 32
"""Pixels that a model may say it is for."""


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
    networks: Mapping[int, tuple[Network, ...]]
    """By stage, of the first channel, then of those after it."""

    FORMAT: ClassVar = "bbcompress-model-3"

    def describe(self) -> dict[str, Any]:
        info = asdict(self.info)
        if self.info.levels == 256:
            del info["levels"]
        if self.info.most_pixels is None:
            del info["most_pixels"]
        return {"info": info, "stages": [[describe(network) for network in self.networks[stage]] for stage in STAGES]}

    def tensors(self) -> dict[str, Integers]:
        found: dict[str, Integers] = {}
        for stage in STAGES:
            for place, network in enumerate(self.networks[stage]):
                found |= tensors(f"stages.{stage}.networks.{place}", network)
        return found

    @classmethod
    def parse(cls, description: dict[str, Any], tensors: dict[str, Integers]) -> "CorrectorContents":
        info = cls.parse_info(description["info"])
        stages = description["stages"]
        if not isinstance(stages, list) or len(stages) != len(STAGES):
            raise BadLayer("a corrector has three stages")
        networks = {}
        for stage, of_stage in zip(STAGES, stages, strict=True):
            if not isinstance(of_stage, list) or len(of_stage) != len(turns(info.channels)):
                raise BadLayer("a stage has not the networks that a corrector for so many channels has")
            networks[stage] = tuple(
                parse(f"stages.{stage}.networks.{place}", layers, tensors) for place, layers in enumerate(of_stage)
            )
        return cls(info, networks)

    @staticmethod
    def parse_info(value: dict[str, Any]) -> CorrectorInfo:
        """Raises BadLayer where anything is missing or out of range."""
        known = {field.name for field in fields(CorrectorInfo)}
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
        for stage, of_stage in self.networks.items():
            for network, turn in zip(of_stage, turns(channels), strict=True):
                if (network.inputs, network.outputs) != (inputs(channels, stage, turn), outputs(turn)):
                    raise BadLayer("a stage's network does not fit what it sees and says")
        return CorrectorModel(self.info, identity, Corrector(channels, dict(self.networks)))
