"""Chains of figures 7 and 8, coded, decoded and timed: what worker processes do, without torch."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from bbcompress.codec.refine import Method
from bbcompress.codec.registry import Registry
from bbcompress.images.picture import Picture

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import chain_decoded, chain_of
from speed import timed

RUNS = 2


def chain(kind: str, pictures: list[Picture], path: Path, encoder: str, method: Method, steps: int) -> dict[str, Any]:
    """A row; K = 0 is the same with every method."""
    registry = Registry(files=[path])
    model = registry.load(path)
    subpixels = sum(picture.pixels.size for picture in pictures)
    _, compress_ms, chain = timed(partial(chain_of, pictures, model, steps, method), RUNS, len(pictures))
    _, decompress_ms, _ = timed(partial(chain_decoded, chain, pictures, registry), RUNS, len(pictures))
    return {
        "kind": kind,
        "images": len(pictures),
        "encoder": encoder,
        "method": method.name.lower(),
        "K": steps,
        "net_bits_per_dim": float(chain.net_bits.sum()) / subpixels,
        "total_bits_per_dim": 8 * len(chain.payload.data) / subpixels,
        "compress_ms": compress_ms,
        "decompress_ms": decompress_ms,
    }
