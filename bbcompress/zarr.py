"""A codec for Zarr arrays of format 3 whose chunks are images, from array to bytes.

Zarr finds it by the entry point `zarr.codecs` under the name `bbcompress`. Arrays of format 2 take
`bbcompress.numcodecs.ImageCodec`.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Self

from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from bbcompress import chunks


@dataclass(frozen=True)
class ImageCodec(ArrayBytesCodec):
    """Chunks (N, H, W), (N, H, W, C), (H, W) or (H, W, C) of bool, uint8 or uint16; 3 or 4 at the end are colours."""

    is_fixed_size = False

    effort: int = 2
    model: str = "auto"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """What `to_dict` gives."""
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """The codec as it stands in an array's metadata."""
        return {"name": "bbcompress", "configuration": {"effort": self.effort, "model": self.model}}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        packed = await asyncio.to_thread(chunks.pack, chunk_array.as_numpy_array(), self.effort, self.model)
        return chunk_spec.prototype.buffer.from_bytes(packed)

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        values = await asyncio.to_thread(chunks.unpack, chunk_bytes.to_bytes())
        return chunk_spec.prototype.nd_buffer.from_numpy_array(values.reshape(chunk_spec.shape))
