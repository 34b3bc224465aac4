"""Rate and time by how photographs are cut into tiles, and by lanes: what `bbcompress.archive.encode` chooses from.

    OPENBLAS_NUM_THREADS=1 python benchmarks/layout.py [--model cifar10]

Photographs of scikit-image, a chain each, K = 0, decoded and compared. `total` is the chain's bytes in bits/dim; times
are CPU seconds a megapixel. Each row changes one constant of the module, or of `bbcompress.codec.scale_shifts`, from
what it is.
"""

import argparse
from functools import partial
from pathlib import Path
from unittest.mock import patch

from common import chain_decoded, chain_of, write_results
from skimage import data
from speed import timed

from bbcompress.archive import encode
from bbcompress.codec import scale_shifts
from bbcompress.codec.registry import Registry
from bbcompress.images.picture import Picture

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea")
NO_SHIFTS = 64.0
"""More than scale shifts can save."""
CHANGES = {
    "TILE": (32, 64, 128, 256),
    "BATCH_PIXELS": tuple(tiles * encode.TILE**2 for tiles in (2, 8, 32)),
    "CHAIN_BITS_PER_LANE": (1024, 4096, 16384, 65536),
    "MARGIN_BITS_PER_DIM": (scale_shifts.MARGIN_BITS_PER_DIM, NO_SHIFTS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cifar10")
    parser.add_argument("--output", type=Path, help="JSON file to write; default: results/ beside this script")
    options = parser.parse_args()
    registry = Registry()
    model = registry.load(registry.path_named(options.model))
    pictures = [Picture("RGB", getattr(data, name)()) for name in PHOTOGRAPHS]
    subpixels = sum(picture.pixels.size for picture in pictures)
    rows: list[dict[str, object]] = []
    for constant, values in CHANGES.items():
        for value in values:
            total_bytes, compress_s, decompress_s = 0, 0.0, 0.0
            with patch.object(encode if hasattr(encode, constant) else scale_shifts, constant, value):
                for picture in pictures:
                    _, ms, chain = timed(partial(chain_of, [picture], model, 0), 1, 1)
                    total_bytes, compress_s = total_bytes + len(chain.payload.data), compress_s + ms / 1e3
                    _, ms, _ = timed(partial(chain_decoded, chain, [picture], registry), 1, 1)
                    decompress_s += ms / 1e3
            megapixels = subpixels / 3e6
            rows.append(
                {
                    "constant": constant,
                    "value": value,
                    "total_bits_per_dim": 8 * total_bytes / subpixels,
                    "compress_s": compress_s / megapixels,
                    "decompress_s": decompress_s / megapixels,
                }
            )
    write_results("layout", options.output, rows, f"chains of {', '.join(PHOTOGRAPHS)} with {options.model}")


if __name__ == "__main__":
    main()
