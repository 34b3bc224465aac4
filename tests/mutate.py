"""Mutations of small files whose checksums are made right again, as an attacker would: python tests/mutate.py [count]

Each must be refused with an error of the project's own, or decode to the pictures that were there; within seconds, and
little memory. Children are forked that have so much memory and no more, so that this works on POSIX systems only.
"""

import argparse
import multiprocessing
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from helpers import blocks_of
from methods import Case, cases, models

from bbcompress.archive import blocks
from bbcompress.archive.errors import ArchiveError
from bbcompress.archive.index import Index, pack_index, unpack_index
from bbcompress.archive.read import ArchiveReader
from bbcompress.archive.source import Source
from bbcompress.images import DamagedImage, file_bytes
from bbcompress.varint import Malformed, Reader, write_varint

MAX_SECONDS = 10.0
MAX_BYTES = 1 << 30
EACH_CHILD = 100
INTERESTING = [0, 1, 2, 3, 7, 8, 63, 64, 100, 127, 128, 255, 256, 1023, 1024, 4096, 65535, 1 << 16, 1 << 20]
INTERESTING += [(1 << 22) - 1, 1 << 22, 1 << 24, 1 << 28, (1 << 31) - 1, 1 << 31, 1 << 34]


class Outcome(NamedTuple):
    """What reading a mutated file came to."""

    case: str
    seed: int
    result: str
    seconds: float
    peak_bytes: int
    """Of the child's memory until then."""

    @property
    def is_bad(self) -> bool:
        known = ("same", "lost", "Damaged", "Unsupported", "Missing", "Archive")
        return not self.result.startswith(known) or self.seconds > MAX_SECONDS


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The file with some fields changed, and its checksums right."""
    if blocks.read_form(Source(data)) == blocks.Form.SINGLE:
        body = changed(data[3 : -blocks.SHORT_CRC_BYTES], rng)
        return blocks.checked(data[:3] + body, blocks.SHORT_CRC_BYTES)
    *inner, index = blocks_of(data)
    bodies = [(block.type, block.body or b"") for block in inner]
    place = rng.randrange(len(bodies) + 1)
    if place < len(bodies):
        bodies[place] = bodies[place][0], changed(bodies[place][1], rng)
    packed = [blocks.pack_block(blocks.BlockType(type), body) for type, body in bodies]
    index_body = index_of(index.body or b"", packed)
    if place == len(bodies):
        index_body = changed(index_body, rng)
    index_block = blocks.pack_block(blocks.BlockType.INDEX, index_body)
    return data[:7] + b"".join(packed) + index_block + blocks.pack_trailer(index_block)


def index_of(old: bytes, packed: list[bytes]) -> bytes:
    """An index of the blocks' new sizes, with the old numbers of pictures."""
    index = unpack_index(old, 1 << 30)
    segments = [entry._replace(size=len(block)) for entry, block in zip(index.segments, packed, strict=False)]
    # names, metadata, attributes, as far as there are any
    sizes = [len(block) for block in packed[len(segments) :]][:3] or [0]
    return pack_index(Index(segments, *sizes))


def changed(body: bytes, rng: random.Random) -> bytes:
    out = bytearray(body)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        # fields stand before payloads, so most changes are made there
        place = rng.randrange(len(out) + 1) if rng.random() < 0.4 else rng.randrange(min(len(out), 100) + 1)
        number = rng.choice(INTERESTING) if rng.random() < 0.7 else rng.getrandbits(rng.randrange(1, 36))
        match rng.randrange(8):
            case 0:
                out[place : place + 1] = bytes([rng.randrange(256)])
            case 1 if place < len(out):
                out[place] ^= 1 << rng.randrange(8)
            case 2:
                out[place : place + _varint_bytes(out, place)] = write_varint(number)
            case 3:
                out[place:place] = rng.randbytes(rng.randrange(1, 9))
            case 4:
                del out[place : place + rng.randrange(1, 9)]
            case 5:
                out[place:place] = write_varint(number)
            case 6:
                out += rng.choice([b"\0", b"\xff", rng.randbytes(1)]) * rng.choice([1, 100, 5000])
            case _ if place < len(out):
                near = out[place] + rng.choice([-1, 1])
                out[place] = near & 255
    return bytes(out)


def _varint_bytes(data: bytearray, place: int) -> int:
    try:
        return len(write_varint(Reader(bytes(data[place : place + 6])).varint((1 << 35) - 1)))
    except Malformed:
        return 1


def read(case: Case, data: bytes, recover: bool) -> str:
    """`same` where only pictures of the case come out, `lost` where not all are recovered, the error's kind, or what is
    wrong."""
    try:
        archive = ArchiveReader(data, recover)
        found = [item.picture for item in archive.decode(models())]
        for item in found:
            file_bytes(item)
    except (ArchiveError, DamagedImage) as error:
        return type(error).__name__ if str(error).isprintable() else f"a message of several lines: {error!r}"
    except BaseException as error:
        return f"a traceback: {error!r}"
    if not all(any(picture.same_as(one) for one in case.pictures) for picture in found):
        return "a wrong picture"
    if len(found) < len(case.pictures) and not recover:
        return "pictures are missing"
    return "same" if len(found) >= len(case.pictures) else "lost"


def outcomes(seeds: range) -> Iterator[Outcome]:
    """Of so many mutations, the files by turns."""
    names = sorted(cases())
    for seed in seeds:
        name = names[seed % len(names)]
        rng = random.Random(seed)
        data = mutated(cases()[name].data, rng)
        started = time.perf_counter()
        result = read(cases()[name], data, recover=rng.random() < 0.3)
        seconds = time.perf_counter() - started
        yield Outcome(name, seed, result, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _child(seeds: range, results: "multiprocessing.SimpleQueue[Outcome | None]") -> None:
    pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115
    limit = pages * resource.getpagesize() + MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (int(MAX_SECONDS) * EACH_CHILD,) * 2)
    for outcome in outcomes(seeds):
        results.put(outcome)
    results.put(None)


def in_children(count: int, first: int = 0) -> Iterator[Outcome]:
    """`outcomes` of `count` mutations, in children with limited memory; a child that dies is one too."""
    context = multiprocessing.get_context("fork")
    for model in models().files:  # once for all children
        models().load(model)
    cases()
    for start in range(first, first + count, EACH_CHILD):
        seeds = range(start, min(start + EACH_CHILD, first + count))
        results = context.SimpleQueue()
        child = context.Process(target=_child, args=(seeds, results))
        child.start()
        for seed in seeds:
            while results.empty() and child.is_alive():
                time.sleep(0.001)
            if results.empty():
                yield Outcome("?", seed, f"the child died: {child.exitcode}", 0.0, 0)
                break
            outcome = results.get()
            assert outcome is not None
            yield outcome
        child.terminate()
        child.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--first", type=int, default=0, help="Seed of the first mutation.")
    options = parser.parse_args()
    found = list(in_children(options.count, options.first))
    for outcome in found:
        if outcome.is_bad:
            print(f"BAD {outcome}")
    print(dict(Counter(outcome.result for outcome in found)))
    slowest = max(found, key=lambda outcome: outcome.seconds)
    print(f"slowest {slowest.seconds:.2f} s ({slowest.case}, seed {slowest.seed}: {slowest.result})")
    print(f"peak memory {max(outcome.peak_bytes for outcome in found) >> 20} MiB")
    raise SystemExit(any(outcome.is_bad for outcome in found))


if __name__ == "__main__":
    main()
