"""CPU time of a program by what it does: functions are timed while they run."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Stages = Mapping[str, Sequence[tuple[Any, str]]]
"""By name: the functions of a stage, as the classes or modules that have them and their names there."""


class Stopwatch:
    """CPU time by stage. A stage inside another counts for the inner one only, unless the outer one is `whole`."""

    def __init__(self, stages: Collection[str], whole: Collection[str]) -> None:
        self.seconds = dict.fromkeys(stages, 0.0)
        self._whole = whole
        self._running: list[str] = []
        self._since = 0.0

    def _switch(self) -> None:
        now = time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if self._running and self._running[-1] in self._whole:
                return function(*args, **kwargs)
            self._switch()
            self._running.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._switch()
                self._running.pop()

        return wrapper


@contextmanager
def stages_timed(stages: Stages, whole: Collection[str] = ()) -> Iterator[Stopwatch]:
    """Time the functions of stages, on one thread, while this lasts."""
    stopwatch = Stopwatch(stages, whole)
    originals = [(owner, name, getattr(owner, name)) for functions in stages.values() for owner, name in functions]
    for stage, functions in stages.items():
        for owner, name in functions:
            setattr(owner, name, stopwatch.timed(stage, getattr(owner, name)))
    try:
        yield stopwatch
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)
