"""Photographs, each by itself, as whole commands beside JPEG XL in the same run: bits/dim of the files, and seconds.

    python benchmarks/photographs.py FOLDER [--files N] [--efforts 1,2] [--engines onnx,numpy] [--large 12]
        -o results.json

Files that Pillow opens are taken as RGB. Times of `bbc` are of whole commands, from and to PNG, start included, and
memory is the most that one took; those of JPEG XL (imagecodecs, one thread) are of encoding and decoding alone. --large
puts all into one picture of so many megapixels, 4 to 3.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imagecodecs
import numpy as np
from common import write_results
from PIL import Image

BBC = [sys.executable, "-c", "from bbcompress.cli import run; run()"]


def taken_by(command: list[str]) -> tuple[float, float]:
    """Seconds, and MiB of memory at most."""
    started = time.perf_counter()
    with subprocess.Popen([*BBC, *command], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bbc {' '.join(command)}: exit status {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))


def by_bbc(png: Path, folder: Path, options: list[str], check: bool) -> dict[str, float]:
    """One picture's bytes and times."""
    out, back = folder / "one.bb", folder / "back.png"
    compress = ["compress", str(png), "-o", str(out), "-f", "-q", *options, *([] if check else ["--no-check"])]
    seconds, mebibytes = taken_by(compress)
    row = {"compress_s": seconds, "compress_mib": mebibytes, "bytes": float(out.stat().st_size)}
    decompress = ["decompress", str(out), "-o", str(back), "-f", "-q", *options[-4:]]
    row["decompress_s"], row["decompress_mib"] = taken_by(decompress)
    if not np.array_equal(np.asarray(Image.open(png)), np.asarray(Image.open(back))):
        raise SystemExit(f"{png}: came back changed")
    return row


def by_jpeg_xl(pixels: np.ndarray, effort: int) -> dict[str, float]:
    started = time.perf_counter()
    data = imagecodecs.jpegxl_encode(pixels, lossless=True, effort=effort, numthreads=1)
    encoded = time.perf_counter()
    imagecodecs.jpegxl_decode(data, numthreads=1)
    done = time.perf_counter()
    return {"compress_s": encoded - started, "bytes": float(len(data)), "decompress_s": done - encoded}


def mosaic(pictures: list[np.ndarray], megapixels: int, side: int = 512) -> np.ndarray:
    """Parts of the pictures, in rows."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(megapixels * 1e6 / height)
    whole, number = np.zeros((height, width, 3), np.uint8), 0
    for top in range(0, height, side):
        for left in range(0, width, side):
            part = pictures[number % len(pictures)][: height - top, : width - left][:side, :side]
            whole[top : top + part.shape[0], left : left + part.shape[1]] = part
            number += 1
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int)
    parser.add_argument("--efforts", default="1,2")
    parser.add_argument("--engines", default="auto")
    parser.add_argument("--jpeg-xl", default="7,9")
    parser.add_argument("--large", type=int, help="megapixels")
    parser.add_argument("--check", action="store_true", help="Time compress with its check.")
    parser.add_argument("-T", "--threads", default=str(os.cpu_count()))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    files = sorted(path for path in options.folder.iterdir() if path.is_file())[: options.files]
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in files]
    names = [path.name for path in files]
    if options.large:
        pictures, names = [mosaic(pictures, options.large)], ["mosaic"]
    rows: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as work:
        for name, pixels in zip(names, pictures, strict=True):
            png = Path(work, "one.png")
            Image.fromarray(pixels).save(png, compress_level=1)
            for effort in options.efforts.split(","):
                for engine in options.engines.split(","):
                    words = ["--effort", effort, "-T", options.threads, "--engine", engine]
                    rows.setdefault(f"bbc --effort {effort} --engine {engine}", []).append(
                        by_bbc(png, Path(work), words, options.check)
                    )
            for effort in options.jpeg_xl.split(","):
                rows.setdefault(f"JPEG XL -e {effort}", []).append(by_jpeg_xl(pixels, int(effort)))
            rates = {coder: round(8 * row[-1]["bytes"] / pixels.size, 4) for coder, row in rows.items()}
            print(name, rates, flush=True)
    subpixels = sum(pixels.size for pixels in pictures)
    table: list[dict[str, object]] = []
    for coder, of_coder in rows.items():
        rate = 8 * sum(row["bytes"] for row in of_coder) / subpixels
        compress, decompress = (
            float(np.mean([row[key] for row in of_coder])) for key in ("compress_s", "decompress_s")
        )
        each = [round(8 * row["bytes"] / p.size, 4) for row, p in zip(of_coder, pictures, strict=True)]
        table.append(
            {
                "coder": coder,
                "bits_per_dim": round(rate, 4),
                "compress_s": round(compress, 3),
                "decompress_s": round(decompress, 3),
                "compress_mib": round(max(row.get("compress_mib", 0) for row in of_coder)),
                "decompress_mib": round(max(row.get("decompress_mib", 0) for row in of_coder)),
                "threads": options.threads if coder.startswith("bbc") else "1",
                "bits_per_dim_of_each": each,
            }
        )
        print(f"{coder:32} {rate:.4f} bits/dim  {compress:.2f} s  {decompress:.2f} s")
    checked = "with its check" if options.check else "without its check"
    write_results(
        "photographs",
        options.output,
        table,
        f"whole files; bbc: whole commands, compress {checked}, PNG read and written; JPEG XL: coding alone",
    )


if __name__ == "__main__":
    main()
