"""Jobs done by the workers of a Dask scheduler (`distributed`, which comes with the extra `cluster`).

A task is a job and returns what it became: it writes nothing, so that it is done again where a worker is lost.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

from bbcompress.archive.compress import Encode
from bbcompress.archive.encode_job import Encoded
from bbcompress.archive.errors import ArchiveError
from bbcompress.archive.job_encoder import JobEncoder
from bbcompress.archive.jobs import Job
from bbcompress.archive.options import Options

JOBS_AHEAD = 4
"""For each thread of the workers: jobs that are sent and not yet written, so that none waits for a slow one."""
RETRIES = 2
"""Of a job that fails, as a store may have been out of reach; those whose workers are lost are the scheduler's."""
WAIT_SECONDS = 30
"""For a first worker."""
_NO_LOGS = {"distributed": "critical", "distributed.client": "critical"}
"""Of what goes wrong there is one line, which is ours."""


class ClusterError(ArchiveError):
    """The scheduler or its workers cannot do the jobs."""


def over_cluster(address: str, encoder: JobEncoder, options: Options) -> Encode:
    """Encodes jobs on the workers of the scheduler at `address`. Raises what a job raised, or ClusterError."""

    def encode(jobs: Iterable[Job]) -> Iterator[Encoded]:
        with ExitStack() as stack:
            client = _connected(address, stack)
            waiting = deque[tuple[Any, int]]()
            for job in jobs:
                while len(waiting) >= _most(client):
                    yield _result(*waiting.popleft(), options)
                # the job travels with its task: what is put on a worker instead is lost with it
                task = client.submit(_encoded, encoder, job, pure=False, retries=RETRIES)
                waiting.append((task, job.pixels))
            while waiting:
                yield _result(*waiting.popleft(), options)

    return encode


def _connected(address: str, stack: ExitStack) -> Any:
    try:
        import dask

        with dask.config.set({"logging": _NO_LOGS}):  # looked at when it is imported
            from distributed import Client
            from distributed.comm.addressing import get_address_host_port
    except ImportError:
        raise ClusterError("a scheduler needs Dask: pip install 'bbcompress[cluster]'") from None
    stack.enter_context(dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}))
    try:
        parsed: Any = get_address_host_port
        parsed(address)  # as a client would hang that fails here
        opened: Any = Client
        client = stack.enter_context(opened(address, set_as_default=False))
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise ClusterError(f"no scheduler can be reached at {address}: {why}") from error
    try:
        client.wait_for_workers(1, timeout=WAIT_SECONDS)
    except TimeoutError as error:
        raise ClusterError(f"the scheduler at {address} has no workers; start some: dask worker {address}") from error
    return client


def _most(client: Any) -> int:
    """Jobs that are sent and not yet written."""
    threads: int = sum(client.nthreads().values())
    return JOBS_AHEAD * max(1, threads)


def _encoded(encoder: JobEncoder, job: Job) -> tuple[Encoded, list[str]]:
    """What a worker does."""
    reports: list[str] = []
    return encoder(job, reports.append), reports


def _result(task: Any, pixels: int, options: Options) -> Encoded:
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        encoded, reports = task.result()
    except KilledWorker as error:
        raise ClusterError("a job ended one worker after another; have they memory enough?") from error
    except FutureCancelledError as error:
        raise ClusterError("the scheduler is gone, or has dropped the jobs") from error
    assert isinstance(encoded, Encoded)
    for text in reports:
        options.report(text)
    options.progress.begin(pixels)
    options.progress.end()
    return encoded
