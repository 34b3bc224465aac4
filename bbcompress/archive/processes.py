"""Jobs done by several processes, each with its own models, for what is mostly Python and small networks.

Processes are started anew (spawn), so that no lock or thread is taken over, and get their jobs and answer by pipes. One
whose pipe closes ends: none outlives a parent that was killed.
"""

import logging
import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from itertools import chain
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from bbcompress.archive.compress import Encode, here
from bbcompress.archive.encode_job import Encoded
from bbcompress.archive.errors import ArchiveError
from bbcompress.archive.job_encoder import JobEncoder, OpenRegistry
from bbcompress.archive.jobs import Job
from bbcompress.archive.options import Options
from bbcompress.memory import return_large_arrays

PAY_FROM_PIXELS = 1 << 18
"""Pixels of jobs that take about as long as a process takes to start, a second of a core."""
JOBS_AHEAD = 2
"""For each process: jobs that are done or being done while an earlier one is waited for."""
_log = logging.getLogger("bbcompress")


class ProcessDied(ArchiveError):
    """A process that encoded a job is gone."""


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
        encoder = JobEncoder.of(open_registry, options, threads)
        processes = [_Process(encoder) for _ in range(count)]
        try:
            yield from _in_order(processes, iter(jobs), options)
        finally:
            for process in processes:
                process.stop()

    return encode


class _Answer(NamedTuple):
    """What a process says of a job."""

    encoded: Encoded | None
    error: Exception | None
    reports: list[str]
    warnings: list[str]


def _answer_jobs(encoder: JobEncoder, connection: Connection) -> None:
    """What a process does until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it stops it
    return_large_arrays()
    reports: list[str] = []
    warnings = _Warnings()
    _log.addHandler(warnings)
    _log.propagate = False
    try:
        while True:
            encoded, failure = None, None
            job = connection.recv()
            try:
                encoded = encoder(job, reports.append)
            except Exception as error:
                failure = error
            connection.send(_Answer(encoded, failure, reports.copy(), warnings.lines.copy()))
            reports.clear()
            warnings.lines.clear()
    except (EOFError, OSError):
        return


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class _Process:
    """A process, which is started with its first job."""

    def __init__(self, encoder: JobEncoder):
        context = multiprocessing.get_context("spawn")
        self.connection, self._its_end = context.Pipe()
        self._process = context.Process(target=_answer_jobs, args=(encoder, self._its_end), daemon=True)
        self._started = False

    def begin(self, job: Job) -> None:
        if not self._started:
            self._started = True
            self._process.start()
            self._its_end.close()
        self.connection.send(job)

    def stop(self) -> None:
        self.connection.close()
        if self._started:
            self._process.kill()
            self._process.join()


def _in_order(processes: list[_Process], jobs: Iterator[Job], options: Options) -> Iterator[Encoded]:
    """What the jobs become. Few are done before their turn, as memory is theirs."""
    idle, busy = list(processes), dict[Connection, tuple[_Process, int]]()
    done: dict[int, Encoded] = {}
    pixels: list[int] = []
    warned: set[str] = set()
    given = written = 0
    while True:
        while idle and given < written + JOBS_AHEAD * len(processes) and (job := next(jobs, None)) is not None:
            process = idle.pop()
            process.begin(job)
            busy[process.connection] = process, given
            pixels.append(job.pixels)
            given += 1
        if not busy:
            return
        for ready in wait(list(busy)):
            assert isinstance(ready, Connection)
            process, number = busy.pop(ready)
            answer = _received(ready)
            for text in answer.reports:
                options.report(text)
            for text in answer.warnings:
                if text not in warned:
                    _log.warning(text)
                warned.add(text)
            if answer.error is not None:
                raise answer.error
            assert answer.encoded is not None
            done[number] = answer.encoded
            idle.append(process)
        while written in done:
            options.progress.begin(pixels[written])
            options.progress.end()
            yield done.pop(written)
            written += 1


def _received(connection: Connection) -> _Answer:
    try:
        answer = connection.recv()
    except (EOFError, OSError) as error:
        raise ProcessDied("a process that compresses was ended; is there memory enough?") from error
    assert isinstance(answer, _Answer)
    return answer
