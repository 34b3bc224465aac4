"""Model files, with headers that fit and identities made right: each is refused by name, or codes a picture."""

import contextlib
import json
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
from fuzzing import main
from methods import models

from bbcompress.codec import chain, model_file
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.dense import DenseModel
from bbcompress.codec.lattice_encoder import encode
from bbcompress.codec.model_file import BadModel, Model
from bbcompress.exact.engine import Engine
from bbcompress.exact.network import InexactNetwork

IDENTITY = bytes(32)
BYTES = {"I8": 1, "I16": 2, "I32": 4, "F64": 8}
MAX_SUBPIXELS = 1 << 10
_folder = tempfile.TemporaryDirectory()


def seeds() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in models().files}


def mended(data: bytes) -> bytes:
    """The file with a length of its header, places and bytes of its tensors that fit, and an identity of zeros."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        header, length = json.JSONDecoder().raw_decode(data[8:].decode("latin-1"))
        header["__metadata__"]["identity"] = IDENTITY.hex()
        end = 0
        for name, tensor in header.items():
            if name != "__metadata__":
                start, end = end, end + BYTES[tensor["dtype"]] * int(np.prod(tensor["shape"], dtype=object))
                tensor["data_offsets"] = [start, end]
        if end < 1 << 20:
            packed = json.dumps(header).encode()
            return len(packed).to_bytes(8, "little") + packed + data[8 + length :].ljust(end, b"\1")[:end]
    return data


def check(data: bytes) -> None:
    path = Path(_folder.name) / "model.safetensors"
    path.write_bytes(mended(data))
    try:
        with patch.object(model_file, "identity", lambda contents: IDENTITY):
            model = model_file.load(path)
    except (BadModel, InexactNetwork) as error:
        assert str(error).isprintable()
        return
    use(model)


def use(model: Model) -> None:
    """Code a small picture with it, and back."""
    if isinstance(model, CorrectorModel):
        planes = np.arange(model.info.channels * 64).reshape(model.info.channels, 1, 8, 8) % 256
        encode([planes], 8, model.corrector, Engine())
        return
    sized = model if isinstance(model, DenseModel) else model.sized(8, 5)
    if sized.subpixels > MAX_SUBPIXELS:
        return
    pixels = (np.arange(3 * sized.subpixels).reshape(3, -1) % model.info.levels).astype(np.uint8)
    encoded = chain.encode([chain.Group(sized, pixels)], chain.Layout(1, 1), 1)
    ((found,), _) = chain.decode([(sized, 3)], encoded.plan, encoded.data)
    np.testing.assert_array_equal(found, pixels)


if __name__ == "__main__":
    main(seeds(), check)
