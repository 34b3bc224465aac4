"""A codec for numcodecs, hence for Zarr arrays of format 2 and HDF5-like stores of chunks that are images.

numcodecs finds it by the entry point `numcodecs.codecs` under the name `bbcompress`.
"""

from typing import Any

from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_ndarray, ndarray_copy

from bbcompress import chunks


class ImageCodec(Codec):  # type: ignore[misc]
    """Chunks (N, H, W), (N, H, W, C), (H, W) or (H, W, C) of bool, uint8 or uint16; 3 or 4 at the end are colours.

    >>> import numpy as np
    >>> codec = ImageCodec(effort=1)
    >>> chunk = np.arange(96, dtype=np.uint8).reshape(2, 6, 8)
    >>> codec.decode(codec.encode(chunk)).tobytes() == chunk.tobytes()
    True
    """

    codec_id = "bbcompress"

    def __init__(self, effort: int = 2, model: str = "auto"):
        """As for `bbcompress.compress`."""
        self.effort, self.model = effort, model

    def encode(self, buf: Any) -> bytes:
        """The bytes of a chunk. Raises ImageError for one of no images."""
        return chunks.pack(ensure_ndarray(buf), self.effort, self.model)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The chunk's values in their order, in `out` if it is given. Raises an ArchiveError."""
        return ndarray_copy(chunks.unpack(ensure_bytes(buf)), out)
