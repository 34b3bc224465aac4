"""What is to be compressed, in jobs: each becomes a segment or a few, by itself, in any process.

Jobs depend on what is compressed and the options alone, so that the same files give the same archive whoever does them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bbcompress.archive.errors import ArchiveLimit
from bbcompress.archive.limits import MAX_IMAGES, MAX_SEGMENT_IMAGES
from bbcompress.archive.options import pixels_of
from bbcompress.images.picture import Item, KeptFile


class Input(NamedTuple):
    """One picture or other file, not yet read."""

    name: str
    read: Callable[[], Item]
    """Can be pickled, where other processes are to read; raises ImageError."""
    kind: str
    """Sources of one kind are likely coded in the same way, and are put into jobs together."""
    pixels: int
    """As `pixels_of` will say, roughly: what is read may have more."""
    array: str = ""
    """The name of the file of arrays that it is a picture of, if it is one (`bbcompress.archive.arrays`)."""


class Job(NamedTuple):
    """Sources that make a segment or a few, by the numbers that their pictures have in the archive."""

    numbers: list[int]
    sources: list[Input]

    @property
    def pixels(self) -> int:
        return sum(source.pixels for source in self.sources)


@dataclass(frozen=True)
class _Item:
    item: Item

    def __call__(self) -> Item:
        return self.item


def input_of(name: str, item: Item) -> Input:
    """Of what is in memory."""
    kind = "file" if isinstance(item, KeptFile) else item.mode
    return Input(name, _Item(item), kind, pixels_of([item]))


def jobs(sources: Iterable[tuple[int, Input]], segment_pixels: int) -> Iterator[Job]:
    """Numbered sources in jobs of one kind and, unless one source has more, of so many pixels. Raises ArchiveLimit."""
    waiting: dict[str, Job] = {}
    pixels: dict[str, int] = {}
    for number, source in sources:
        if number >= MAX_IMAGES:
            raise ArchiveLimit(f"more than {MAX_IMAGES} images; make several archives")
        job = waiting.get(source.kind)
        if job and (pixels[source.kind] + source.pixels > segment_pixels or len(job.numbers) == MAX_SEGMENT_IMAGES):
            yield _sorted(waiting.pop(source.kind))
            job = None
        if job is None:
            job = waiting[source.kind] = Job([], [])
            pixels[source.kind] = 0
        job.numbers.append(number)
        job.sources.append(source)
        pixels[source.kind] += source.pixels
    yield from map(_sorted, waiting.values())


def _sorted(job: Job) -> Job:
    """By number: what replaces others may come out of order."""
    order = sorted(range(len(job.numbers)), key=job.numbers.__getitem__)
    return Job([job.numbers[place] for place in order], [job.sources[place] for place in order])
