"""Jobs done anywhere: a function of plain data, for processes of other machines, whatever engine runs them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_bytes

from bbcompress.archive.encode_job import Encoded, encode_job
from bbcompress.archive.errors import ArchiveError
from bbcompress.archive.jobs import Job
from bbcompress.archive.options import Options, silent
from bbcompress.codec.registry import OpenRegistry, Registry
from bbcompress.progress import Progress


class OtherModels(ArchiveError):
    """Where a job is to be done there are other models than where the archive is written."""


@dataclass(frozen=True)
class JobEncoder:
    """Encodes jobs, the same wherever it is sent: `JobEncoder.of` makes one, which can be pickled.

    The first job of a thread opens the models there, which stay for the next.
    """

    open_registry: OpenRegistry
    options: Options
    identities: tuple[bytes, ...]
    """Of the models that there must be."""
    model: int | None
    """The place among them of the one that was asked for."""
    threads: int
    run: bytes
    """By which a thread knows its models again."""

    @staticmethod
    def of(open_registry: OpenRegistry, options: Options, threads: int = 1) -> "JobEncoder":
        """With the models of this machine; each job is to be done by so many threads."""
        found = list(open_registry(1).headers())
        model = None if options.model is None else [path for path, _ in found].index(options.model)
        plain = replace(options, model=None, report=silent, progress=Progress())
        identities = tuple(header.identity for _, header in found)
        return JobEncoder(open_registry, plain, identities, model, threads, token_bytes(8))

    def __call__(self, job: Job, report: Callable[[str], object] = silent) -> Encoded:
        """`encode_job`; `report` is told what was chosen. Raises as that, and OtherModels."""
        if getattr(_opened, "run", None) != self.run:
            _opened.registry, _opened.model = self._open()
            _opened.run = self.run
        _opened.registry.engine.report = report
        return encode_job(job, _opened.registry, replace(self.options, model=_opened.model, report=report))

    def _open(self) -> tuple[Registry, Path | None]:
        registry = self.open_registry(self.threads)
        found = list(registry.headers())
        if tuple(header.identity for _, header in found) != self.identities:
            raise OtherModels("a worker has other models than this machine: install the same bbcompress and models")
        return registry, None if self.model is None else found[self.model][0]


class _Opened(threading.local):
    run: bytes
    registry: Registry
    model: Path | None


_opened = threading.local()
