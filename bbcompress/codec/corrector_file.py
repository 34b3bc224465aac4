"""Correctors as model files hold them: `bbcompress-model-3`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from bbcompress.codec.corrector import Corrector, inputs, outputs
from bbcompress.codec.int8_specs import describe, parse, tensors
from bbcompress.codec.lattice import STAGES
from bbcompress.codec.layer_specs import MAX_NAME_CHARACTERS, BadLayer, Integers
from bbcompress.exact.engine import Engine
from bbcompress.exact.int8 import Network


@dataclass(frozen=True)
class CorrectorInfo:
    """What a corrector is for."""

    name: str
    channels: int
    """Of pictures: 1 for grey ones, 3 for colour."""
    levels: int = 256
    """2 for black and white; 256 for 8 bits and more."""

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
    networks: Mapping[int, Network]
    """By stage."""

    FORMAT: ClassVar = "bbcompress-model-3"

    def describe(self) -> dict[str, Any]:
        info = asdict(self.info)
        if self.info.levels == 256:
            del info["levels"]
        return {"info": info, "stages": [describe(self.networks[stage]) for stage in STAGES]}

    def tensors(self) -> dict[str, Integers]:
        return dict(item for stage in STAGES for item in tensors(f"stages.{stage}", self.networks[stage]))

    @classmethod
    def parse(cls, description: dict[str, Any], tensors: dict[str, Integers]) -> "CorrectorContents":
        stages = description["stages"]
        if not isinstance(stages, list) or len(stages) != len(STAGES):
            raise BadLayer("a corrector has three networks")
        networks = {
            stage: parse(f"stages.{stage}", layers, tensors) for stage, layers in zip(STAGES, stages, strict=True)
        }
        return cls(cls.parse_info(description["info"]), networks)

    @staticmethod
    def parse_info(value: dict[str, Any]) -> CorrectorInfo:
        """Raises BadLayer where anything is missing or out of range."""
        known = {field.name for field in fields(CorrectorInfo)}
        kind = value["channels"], value.get("levels")
        if not {"name", "channels"} <= set(value) <= known or kind not in ((1, 2), (1, None), (3, None)):
            raise BadLayer("unknown, missing or wrong fields in the model's description")
        name = value["name"]
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
            raise BadLayer("the model's name is not one to print")
        return CorrectorInfo(**value)

    def build(self, identity: bytes, engine: Engine, batch: int) -> CorrectorModel:
        channels = self.info.channels
        for stage, network in self.networks.items():
            if (network.inputs, network.outputs) != (inputs(channels, stage), outputs(channels)):
                raise BadLayer("a stage's network does not fit what it sees and says")
        return CorrectorModel(self.info, identity, Corrector(channels, dict(self.networks)))
