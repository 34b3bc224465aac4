"""What is left when `bbc` is killed (kill -9) at random moments, and on a full disk: the old file or the new one.

    python benchmarks/faults.py [--kills 50] [--files 200] [--seed 0]

Kills fall at any moment of a run, and, of runs that write many files, half of them while finished files are moved to
their places. The full disk is a tmpfs of a few hundred KiB, which takes root to mount; without, that part is left out.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from bbcompress.images import Picture, file_bytes

OLD = b"old"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from bbcompress.cli import main; main()", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True)


def killed(arguments: list[str], seconds: float, moving: Path | None) -> None:
    """Run and kill after `seconds`; where `moving` is given, that long after its contents began to change."""
    with subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL) as process:
        while moving is not None and process.poll() is None and moving.exists() and moving.read_bytes() == OLD:
            time.sleep(0.0002)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()


def state(target: Path, new: dict[str, bytes]) -> str:
    """`old`, `new` or `some of both`; AssertionError where a file is anything else, or is no file of theirs."""
    found = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    visible = {name: data for name, data in found.items() if not name.startswith(".bbc-")}
    assert visible.keys() == new.keys(), "a file is missing, or there is another"
    assert all(data in (OLD, new[name]) for name, data in visible.items()), "a file is neither the old nor the new one"
    changed = sum(data != OLD for data in visible.values())
    return "old" if not changed else "new" if changed == len(new) else "some of both"


def kill_compress(folder: Path, new: bytes, kills: int, took: float) -> Counter[str]:
    states: Counter[str] = Counter()
    output = folder / "out"
    for number in range(kills):
        output.mkdir()
        (output / "y.bb").write_bytes(OLD)
        # half of them near the end, where the file is written and moved
        moment = random.uniform(0, took) if number % 2 else random.uniform(0.85 * took, 1.1 * took)
        killed(["compress", "in", "-o", "out/y.bb", "-f", "-q", "--no-times"], moment, None)
        states[state(output, {"y.bb": new})] += 1
        shutil.rmtree(output)
    return states


def kill_decompress(folder: Path, new: dict[str, bytes], kills: int, took: float) -> Counter[str]:
    states: Counter[str] = Counter()
    output = folder / "out"
    last = sorted(new)[0]
    for number in range(kills):
        for name in new:
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            (output / name).write_bytes(OLD)
        if number % 2:
            killed(["decompress", "x.bb", "-o", "out", "-f", "-q"], random.uniform(0, took), None)
        else:
            killed(["decompress", "x.bb", "-o", "out", "-f", "-q"], random.uniform(0, 0.01), output / last)
        states[state(output, new)] += 1
        shutil.rmtree(output)
    return states


def kill_decompress_new(folder: Path, new: dict[str, bytes], kills: int, took: float) -> Counter[str]:
    """Into a folder that is not there: it comes to be whole, or not at all."""
    states: Counter[str] = Counter()
    for _ in range(kills):
        killed(["decompress", "x.bb", "-o", "out", "-q"], random.uniform(0.5 * took, 1.1 * took), None)
        if (folder / "out").exists():
            states[state(folder / "out", new)] += 1
            shutil.rmtree(folder / "out")
        else:
            states["nothing"] += 1
        for left in folder.glob(".bbc-*"):
            shutil.rmtree(left)
    return states


def full_disk(folder: Path, new: dict[str, bytes], archive: bytes) -> Counter[str]:
    """Both ways on disks of many sizes, up to those that are large enough."""
    outcomes: Counter[str] = Counter()
    disk = folder / "disk"
    disk.mkdir()
    for kib in (8, 64, 128, 256, 384, 400, 420, 440, 512, 768, 1024, 2048, 4096):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", disk], check=True)
        try:
            (disk / "y.bb").write_bytes(OLD)
            for arguments in (
                ["compress", "in", "-o", "disk/y.bb", "-f", "--no-times"],
                ["decompress", "x.bb", "-o", "disk/z"],
            ):
                done = run(*arguments)
                assert done.returncode in (0, 1) and done.stderr.count("\n") == 1, done.stderr
                outcomes[f"{arguments[0]} {'done' if done.returncode == 0 else 'refused'}"] += 1
                assert (disk / "y.bb").read_bytes() in (OLD, archive)
                assert list(disk.glob(".bbc-*")) == []
                if (disk / "z").exists():
                    assert state(disk / "z", new) == "new" and done.returncode == 0
        finally:
            subprocess.run(["umount", disk], check=True)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    noise = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        for number in range(options.files):
            path = folder / "in" / f"{number % 7}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            # 16 bits, which no model codes: what is tried is files, not models
            path.write_bytes(file_bytes(Picture("L16", noise.integers(0, 1 << 16, (20, 30), np.uint16))))
        started = time.monotonic()
        run("compress", "in", "-o", "x.bb", "--no-times").check_returncode()
        compress_seconds = time.monotonic() - started
        started = time.monotonic()
        run("decompress", "x.bb", "-o", "whole").check_returncode()
        decompress_seconds = time.monotonic() - started
        archive = (folder / "x.bb").read_bytes()
        new = {
            path.relative_to(folder / "whole").as_posix(): path.read_bytes()
            for path in (folder / "whole").rglob("*.png")
        }
        shutil.rmtree(folder / "whole")
        results = {
            "compress": kill_compress(folder, archive, options.kills, compress_seconds),
            "decompress over files": kill_decompress(folder, new, options.kills, decompress_seconds),
            "decompress into a new folder": kill_decompress_new(folder, new, options.kills, decompress_seconds),
        }
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            results["full disk"] = full_disk(folder, new, archive)
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
