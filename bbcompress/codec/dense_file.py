"""Dense models as model files hold them: `bbcompress-model-1`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from bbcompress.codec.bilevel import MAX_LOGIT_BITS
from bbcompress.codec.dense import DenseInfo, DenseModel
from bbcompress.codec.layer_specs import (
    BadLayer,
    DenseSpec,
    Integers,
    build,
    checked_info,
    describe,
    parse,
    tensors,
    widths,
)
from bbcompress.exact.engine import Engine

MAX_SUBPIXELS = 1 << 16
MAX_LATENT = 1 << 14


@dataclass(frozen=True)
class DenseContents:
    """What is in the file."""

    info: DenseInfo
    encoder: Sequence[DenseSpec]
    decoder: Sequence[DenseSpec]

    FORMAT: ClassVar = "bbcompress-model-1"

    def describe(self) -> dict[str, Any]:
        return {"info": asdict(self.info), "encoder": describe(self.encoder), "decoder": describe(self.decoder)}

    def tensors(self) -> dict[str, Integers]:
        return dict([*tensors("decoder", self.decoder), *tensors("encoder", self.encoder)])

    @classmethod
    def parse(cls, description: dict[str, Any], tensors: dict[str, Integers]) -> "DenseContents":
        networks = {name: parse(name, description[name], tensors) for name in ("encoder", "decoder")}
        for name, specs in networks.items():
            for number, spec in enumerate(specs):
                if not isinstance(spec, DenseSpec):
                    raise BadLayer(f"{name}.{number}: unknown kind of layer")
        return cls(cls.parse_info(description["info"]), **networks)  # type: ignore[arg-type]

    @staticmethod
    def parse_info(value: dict[str, Any]) -> DenseInfo:
        """Raises BadLayer where anything is missing or out of range."""
        limits = {
            "height": (1, MAX_SUBPIXELS),
            "width": (1, MAX_SUBPIXELS),
            "channels": (1, 4),
            "components": (1, 32),
            "latent": (1, MAX_LATENT),
            "latent_bits": (1, 16),
        }
        info = checked_info(DenseInfo, value, limits)
        if info.levels not in (2, 256) or info.subpixels > MAX_SUBPIXELS:
            raise BadLayer("the model's description is out of range")
        if len(info.grid_log2_steps) != info.latent:
            raise BadLayer("grid_log2_steps are out of range in the model's description")
        return info

    def build(self, identity: bytes, engine: Engine, batch: int) -> DenseModel:
        info, encoder, decoder = self.info, self.encoder, self.decoder
        outputs = 1 if info.levels == 2 else (2 if info.components == 1 else 3 * info.components)
        if widths(encoder, info.subpixels)[0] != 2 * info.latent:
            raise BadLayer("the encoder does not fit the image and the latent")
        if widths(decoder, info.latent)[0] != outputs * info.subpixels:
            raise BadLayer("the decoder does not fit the latent and the image")
        if encoder[0].input.limit < info.levels - 1:
            raise BadLayer("the encoder's input range does not hold the pixels")
        if info.levels == 2 and decoder[-1].output.fraction_bits > MAX_LOGIT_BITS:
            raise BadLayer("the decoder's output has more fractional bits than logits may")
        networks = build(encoder, replace(encoder[0].input, nonnegative=True)), build(decoder, decoder[0].input)
        return DenseModel(info, *networks, identity, engine, batch)
