"""Segment size: bytes of an archive against the time of reading one image of it.

    python benchmarks/segments.py IMAGE... [--sizes 65536,262144,524288,2097152]

Prints for each size of segments, in pixels, the bytes of the archive, and the seconds of decoding one segment, which
is what any of its images costs.
"""

import argparse
import time
from pathlib import Path

from bbcompress.archive.compress import Options, compress_archive
from bbcompress.archive.read import Archive
from bbcompress.codec.registry import Registry
from bbcompress.images import read_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--sizes", default="65536,131072,262144,524288,1048576,2097152")
    arguments = parser.parse_args()
    paths = [found for path in arguments.images for found in (sorted(path.iterdir()) if path.is_dir() else [path])]
    items = [(path.name, read_file(path)) for path in paths]
    registry = Registry()
    print(f"{'pixels':>9} {'segments':>8} {'images each':>11} {'bytes':>10} {'seconds an access':>17}")
    for size in map(int, arguments.sizes.split(",")):
        data, _ = compress_archive(items, registry, Options(segment_pixels=size, check=False))
        archive = Archive(data)
        first = archive.parts[0]
        archive.decode_part(first, registry)  # so that models are loaded
        started = time.process_time()
        archive.decode_part(first, registry)
        seconds = time.process_time() - started
        print(f"{size:9} {len(archive.parts):8} {first.images:11} {len(data):10} {seconds:17.3f}", flush=True)


if __name__ == "__main__":
    main()
