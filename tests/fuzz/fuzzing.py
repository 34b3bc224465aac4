"""Runs a harness of this folder: by atheris, which finds inputs that reach new code, or without it by blind mutation.

    python tests/fuzz/NAME.py FOLDER -max_total_time=600

FOLDER gets files to begin with where it has none, and by atheris what reaches new code. An input on which a check
fails is written into the folder the command runs in, as crash-*; the file as the only argument repeats it. Other
arguments are libFuzzer's; without atheris `-max_total_time` (seconds), `-runs` and `-seed` count.
"""

import gc
import hashlib
import random
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType

sys.path.insert(0, str(Path(__file__).parent.parent))

from mutate import changed

Check = Callable[[bytes], object]
"""Raises an exception of any kind where there is a fault."""


def main(seeds: Mapping[str, bytes], check: Check) -> None:
    """What the command line says, with `seeds` to begin with."""
    paths = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    for folder in paths:
        if folder.is_dir() and not any(folder.iterdir()):
            for name, data in seeds.items():
                (folder / name).write_bytes(data)
    try:
        import atheris
    except ImportError:
        options = dict(argument[1:].split("=", 1) for argument in sys.argv[1:] if argument.startswith("-"))
        given = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
        beginning = [file.read_bytes() for file in given] or list(seeds.values())
        if paths and paths[0].is_file():
            check(beginning[0])
            return
        seconds = float(options.get("max_total_time", "inf"))
        runs = int(options.get("runs", sys.maxsize))
        print(f"{blindly(beginning, check, seconds, runs, int(options.get('seed', 0)))} runs, no fault")
        return
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and (function.__module__ or "").startswith("bbcompress"):
            atheris.instrument_func(function)
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


def blindly(seeds: list[bytes], check: Check, seconds: float, runs: int, seed: int = 0) -> int:
    """Check the seeds, then mutations of them; returns how many. What fails is written to a file, and raises."""
    rng, end = random.Random(seed), time.monotonic() + seconds
    for number in range(max(runs, len(seeds))):
        if time.monotonic() > end:
            return number
        data = seeds[number] if number < len(seeds) else changed(rng.choice(seeds), rng)
        try:
            check(data)
        except BaseException:
            Path(f"crash-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
            raise
    return max(runs, len(seeds))
