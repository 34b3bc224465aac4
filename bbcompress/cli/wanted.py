"""What is to be written of an archive."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bbcompress.archive.arrays import Array, array_at
from bbcompress.archive.read import ArchiveReader, Decoded
from bbcompress.archive.select import Selection
from bbcompress.codec.registry import Registry
from bbcompress.images.files import array_suffix, suffix_of
from bbcompress.images.metadata import Format
from bbcompress.images.place import is_stream

if TYPE_CHECKING:
    from bbcompress.cli.write_images import Settings


class Wanted(NamedTuple):
    """What to write of an archive: all of it, or a selection."""

    archive: ArchiveReader
    registry: Registry
    file: str
    """The archive's."""
    selection: Selection | None = None

    @property
    def arrays(self) -> Sequence[Array]:
        """Files of several images that are wanted whole."""
        return self.archive.arrays if self.selection is None else self.selection.arrays

    @property
    def files(self) -> int:
        """How many there are to write."""
        if self.selection is not None:
            return len(self.selection.pictures) + len(self.selection.arrays)
        return self.archive.images - sum(array.file.pictures - 1 for array in self.archive.arrays)

    @property
    def names(self) -> Sequence[str]:
        """Of the files, as far as there are any."""
        names, arrays = self.archive.names or [], self.archive.arrays
        if self.selection is not None:
            own = [self._name(number) for number in self.selection.pictures if names]
        else:
            own = [name for number, name in enumerate(names) if array_at(arrays, number) is None]
        return [*own, *(array.name for array in self.arrays if array.name is not None)]

    def name_of(self, decoded: Decoded) -> str:
        """Of the file of an image."""
        if decoded.name is None:
            return f"{decoded.number + 1:06d}{suffix_of(decoded.picture)}"
        return self._name(decoded.number)

    def takes(self, number: int) -> bool:
        """Whether an image is wanted as a file of its own."""
        if self.selection is None:
            return array_at(self.archive.arrays, number) is None
        place = bisect_left(self.selection.pictures, number)
        return self.selection.pictures[place : place + 1] == [number]

    def decoded(self, settings: "Settings") -> Iterable[Decoded]:
        """Segments that hold none of the images are not read."""
        archive, parts = self.archive, None
        if self.selection is not None:
            pictures, arrays = set(self.selection.pictures), self.selection.arrays
            ends = [(array.numbers.start, array.numbers.stop) for array in arrays]
            parts = [
                part
                for part in archive.parts
                if any(
                    not pictures.isdisjoint(range(start, stop))
                    or any(first < stop and start < end for first, end in ends)
                    for start, stop in part.runs
                )
            ]
        return archive.decode(self.registry, settings.max_pixels, settings.progress, parts, processes=True)

    def _single_name(self) -> str | None:
        """In the small form: of a kept file, or by the suffix of an array; other pictures have none."""
        metadata = self.archive.metadata.get(0)
        if metadata is None or metadata.format != Format.ARRAY:
            return self.archive.kept_name
        return "image" + array_suffix(metadata.body)

    def _name(self, number: int) -> str:
        """An image of an array is written as PNG, whose suffix its name lacks."""
        assert self.archive.names is not None
        name = self.archive.names[number]
        return name if array_at(self.archive.arrays, number) is None else f"{name}.png"

    def is_one_file(self, output: str) -> bool:
        """Whether `output` is to be a file, not a folder: by its suffix."""
        path = Path(output)
        if self.files != 1 or path.is_dir():
            return False
        own = self._single_name() if self.archive.names is None else "".join(self.names)
        suffix = path.suffix.lower()
        if is_stream(path) or (own is not None and suffix and suffix == Path(own).suffix.lower()):
            return True
        if suffix in (".*", ".png"):
            return True
        from PIL import Image  # not for files whose name says nothing else

        # the usual ones are known at once; for all others all of Pillow's formats are loaded
        Image.preinit()
        return suffix in Image.EXTENSION or suffix in Image.registered_extensions()
