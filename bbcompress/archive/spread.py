"""Encoding jobs on the cores of this machine."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from bbcompress.archive.compress import Encode, here
from bbcompress.archive.encode_job import Encoded
from bbcompress.archive.job_encoder import JobEncoder
from bbcompress.archive.jobs import Job
from bbcompress.archive.options import Options
from bbcompress.archive.processes import PAY_FROM_PIXELS, done_in_order
from bbcompress.codec.registry import OpenRegistry


def spread(open_registry: OpenRegistry, options: Options, threads: int) -> Encode:
    """Encodes jobs on so many cores: in processes where there are several jobs and work enough, else on threads."""

    def encode(jobs: Iterable[Job]) -> Iterable[Encoded]:
        rest = iter(jobs)
        first: list[Job] = []
        while threads > 1 and (len(first) < threads or sum(job.pixels for job in first) < PAY_FROM_PIXELS):
            job = next(rest, None)
            if job is None:
                break
            first.append(job)
        count = min(threads, len(first))
        jobs = chain(first, rest)
        if count < 2 or sum(job.pixels for job in first) < PAY_FROM_PIXELS:
            registry = open_registry(threads)
            registry.engine.report = options.report
            return here(registry, options)(jobs)
        return in_processes(open_registry, options, count, threads // count)(jobs)

    return encode


def in_processes(open_registry: OpenRegistry, options: Options, count: int, threads: int = 1) -> Encode:
    """Encodes jobs in so many processes of so many threads. Raises what a job raised, or ProcessDied."""

    def encode(jobs: Iterable[Job]) -> Iterator[Encoded]:
        pixels: deque[int] = deque()

        def counted() -> Iterator[Job]:
            for job in jobs:
                pixels.append(job.pixels)
                yield job

        encoder = JobEncoder.of(open_registry, options, threads)
        for encoded in done_in_order(encoder, counted(), count, options.report):
            options.progress.begin(pixels.popleft())
            options.progress.end()
            yield encoded

    return encode
