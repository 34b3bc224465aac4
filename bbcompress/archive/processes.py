"""Work done by several processes, each with its own models, for what is mostly Python and small networks.

Processes are started anew (spawn), so that no lock or thread is taken over, and get their jobs and answer by pipes. One
whose pipe closes ends: none outlives a parent that was killed.
"""

import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from bbcompress.archive.errors import ArchiveError
from bbcompress.memory import return_large_arrays

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PAY_FROM_PIXELS = 1 << 18
"""Pixels that take about as long as a process takes to start, a second of a core."""
JOBS_AHEAD = 2
"""For each process: jobs that are done or being done while an earlier one is waited for."""
Report = Callable[[str], object]
Job = TypeVar("Job")
Result = TypeVar("Result")
Work = Callable[[Job, Report], Result]
"""What a process does with a job; it is pickled once, jobs and results by themselves. `Report` takes what it has to
tell people."""
_log = logging.getLogger("bbcompress")


class ProcessDied(ArchiveError):
    """A process that did a job is gone."""


def done_in_order(work: Work[Job, Result], jobs: Iterable[Job], count: int, report: Report) -> Iterator[Result]:
    """What `work` makes of the jobs, in so many processes. Raises what that raised, or ProcessDied.

    Few jobs are done before their turn, as memory is theirs.
    """
    processes = [_Process(work) for _ in range(count)]
    try:
        yield from _in_order(processes, iter(jobs), report)
    finally:
        for process in processes:
            process.stop()


class _Answer(NamedTuple):
    """What a process says of a job."""

    result: Any
    error: Exception | None
    reports: list[str]
    warnings: list[str]


def _answer_jobs(work: Work[Any, Any], connection: "Connection") -> None:
    """What a process does until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it stops it
    return_large_arrays()
    reports: list[str] = []
    warnings = _Warnings()
    _log.addHandler(warnings)
    _log.propagate = False
    try:
        while True:
            result, failure = None, None
            job = connection.recv()
            try:
                result = work(job, reports.append)
            except Exception as error:
                failure = error
            connection.send(_Answer(result, failure, reports.copy(), warnings.lines.copy()))
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


class _Process(Generic[Job]):
    """A process, which is started with its first job."""

    def __init__(self, work: Work[Job, Any]):
        from multiprocessing import get_context  # not for what one process does

        context = get_context("spawn")
        self.connection, self._its_end = context.Pipe()
        self._process = context.Process(target=_answer_jobs, args=(work, self._its_end), daemon=True)
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


def _in_order(processes: list[_Process[Job]], jobs: Iterator[Job], report: Report) -> Iterator[Any]:
    from multiprocessing.connection import Connection, wait

    idle, busy = list(processes), dict[Connection, tuple[_Process[Job], int]]()
    done: dict[int, Any] = {}
    warned: set[str] = set()
    given = taken = 0
    while True:
        while idle and given < taken + JOBS_AHEAD * len(processes):
            try:
                job = next(jobs)
            except StopIteration:
                break
            process = idle.pop()
            process.begin(job)
            busy[process.connection] = process, given
            given += 1
        if not busy:
            return
        for ready in wait(list(busy)):
            assert isinstance(ready, Connection)
            process, number = busy.pop(ready)
            answer = _received(ready)
            for text in answer.reports:
                report(text)
            for text in answer.warnings:
                if text not in warned:
                    _log.warning(text)
                warned.add(text)
            if answer.error is not None:
                raise answer.error
            done[number] = answer.result
            idle.append(process)
        while taken in done:
            yield done.pop(taken)
            taken += 1


def _received(connection: "Connection") -> _Answer:
    try:
        answer = connection.recv()
    except (EOFError, OSError) as error:
        raise ProcessDied("a process that worked on it was ended; is there memory enough?") from error
    assert isinstance(answer, _Answer)
    return answer
