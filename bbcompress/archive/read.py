"""Reading files: what they hold, and their pictures, segment by segment. Only what is asked for is read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple, TypeVar

from bbcompress.archive import blocks
from bbcompress.archive.arrays import Array, arrays_of
from bbcompress.archive.attributes import Tree, unpack_tree
from bbcompress.archive.blocks import BlockType
from bbcompress.archive.errors import ArchiveError, DamagedArchive
from bbcompress.archive.index import unpack_index
from bbcompress.archive.limits import most_images, require_images
from bbcompress.archive.metadata import unpack_metadata
from bbcompress.archive.names import unpack_names
from bbcompress.archive.numbers import Numbers, Runs, count_of, numbers_of, runs_of
from bbcompress.archive.payload import Kept, Payload, decode_checked
from bbcompress.archive.processes import PAY_FROM_PIXELS, done_in_order
from bbcompress.archive.segment import Segment, unpack_segment
from bbcompress.archive.segment_decoder import SegmentDecoder
from bbcompress.archive.single import unpack_single
from bbcompress.archive.source import Source
from bbcompress.codec.registry import Registry
from bbcompress.images.header import MAX_PIXELS
from bbcompress.images.metadata import NO_METADATA, Metadata
from bbcompress.images.picture import Item, Picture
from bbcompress.progress import Progress, ignore
from bbcompress.varint import Malformed

HEAD_BYTES = 1 << 12
"""Of a segment, in which all but its payload mostly is."""
_OTHERWISE = "damaged: the index and a segment do not say the same of its pictures"
Read = TypeVar("Read")


class Decoded(NamedTuple):
    """One picture, or kept file, with its number and name (None in the small form, or where names are lost)."""

    number: int
    name: str | None
    picture: Item


@dataclass(frozen=True, slots=True)
class Part:
    """A segment of a file, which is read when it is asked for."""

    source: Source
    place: int
    """Which segment of the file, from 0 on."""
    offset: int
    size: int
    """Bytes it takes in the file."""
    runs: Runs
    """Of the numbers of its pictures."""
    single: Segment | None = None
    """What a file of the small form holds."""

    @property
    def numbers(self) -> Numbers:
        return numbers_of(self.runs)

    @property
    def images(self) -> int:
        return count_of(self.runs)

    def segment(self) -> Segment:
        """What is there, checked against its checksum and the index. Raises an ArchiveError."""
        return self._matching(self.read())

    def read(self) -> Segment:
        """What is there, whatever the index says of its pictures. Raises an ArchiveError."""
        if self.single is not None:
            return self.single
        block = blocks.read_block(self.source, self.offset)
        if block.body is None or block.type != BlockType.SEGMENT or block.size != self.size:
            raise DamagedArchive(f"damaged: the checksum of the block at byte {self.offset} is wrong")
        return unpack_segment(block.body)

    def head(self) -> tuple[Segment, int]:
        """The same, mostly of the first bytes alone, and so not checked: with a payload whose data are cut short, and
        how many bytes of these there are. Raises an ArchiveError."""
        if self.single is None and self.size > HEAD_BYTES:
            head = blocks.read_head(self.source, self.offset)
            body = self.source.read(head.start, HEAD_BYTES - (head.start - self.offset))
            try:
                segment = self._matching(unpack_segment(body, head.body_bytes))
                return segment, head.body_bytes - len(body) + len(segment.payload.data)
            except ArchiveError:  # a longer head, or damage
                pass
        segment = self.segment()
        return segment, len(segment.payload.data)

    @property
    def payload(self) -> Payload:
        """That of `segment`."""
        return self.segment().payload

    def _matching(self, segment: Segment) -> Segment:
        if runs_of(segment.numbers.tolist()) != self.runs:
            raise DamagedArchive(_OTHERWISE)
        return segment


class ArchiveReader:
    """A file's parts and names, by its index; nothing is decoded, and segments are not read until they are asked for.

    With `recover` everything is read and checked at once, and damage outside the parts that are wanted is put into
    `damage`, a list of one-line messages, instead of being raised.
    """

    def __init__(self, file: Source | BinaryIO | bytes, recover: bool = False):
        """Raises an ArchiveError."""
        self.source = file if isinstance(file, Source) else Source(file)
        self.form = blocks.read_form(self.source)
        self.size = self.source.size
        self.damage: list[str] = []
        self.parts: list[Part] = []
        self.lost: list[tuple[Part, ArchiveError]] = []
        """Segments that cannot be brought back, as far as they have been read, and why."""
        self._recover = recover
        self._places: dict[BlockType, int] = {}
        """Offsets of what comes after the segments."""
        if self.form == blocks.Form.SINGLE:
            payload, digest, metadata = unpack_single(self.source.read(0, self.size))
            runs = ((0, 1),)
            self.parts.append(Part(self.source, 0, 0, self.size, runs, Segment(numbers_of(runs), payload, digest)))
            self.metadata = {0: metadata} if metadata != NO_METADATA else {}
        else:
            self._find_blocks()

    @property
    def images(self) -> int:
        return sum(part.images for part in self.parts)

    @property
    def kept_name(self) -> str | None:
        """The name that a single kept file has in the small form, which may be "*" and a suffix, or empty."""
        payload = self.parts[0].payload if self.form == blocks.Form.SINGLE else None
        return payload.name if isinstance(payload, Kept) else None

    @cached_property
    def names(self) -> list[str] | None:
        """Of all pictures by number; None in the small form, and where they are lost."""
        return self._read(BlockType.NAMES, self._unpack_names, None)

    @cached_property
    def metadata(self) -> dict[int, Metadata]:
        """Of the pictures that have any, by number."""
        return self._read(BlockType.METADATA, lambda body: unpack_metadata(body, self._most), {})

    @cached_property
    def tree(self) -> Tree:
        """Attributes of files and folders, where they are kept."""
        names = self.names
        if names is None:
            return Tree()
        return self._read(BlockType.ATTRIBUTES, lambda body: unpack_tree(body, names), Tree())

    @cached_property
    def arrays(self) -> list[Array]:
        """The files that several pictures are in together, by number."""
        images = self._most if self.form == blocks.Form.ARCHIVE else 1
        try:
            return arrays_of(self.metadata, self.names, images)
        except Malformed as error:
            self._note(DamagedArchive(f"damaged: {error}"))
            return []

    @cached_property
    def _array_firsts(self) -> set[int]:
        """Numbers of pictures whose metadata are of an array."""
        return {array.first for array in self.arrays}

    def decode(
        self,
        registry: Registry,
        max_pixels: int = MAX_PIXELS,
        progress: Progress | None = None,
        parts: Sequence[Part] | None = None,
        processes: bool = False,
    ) -> Iterator[Decoded]:
        """All pictures, part by part, or those of some parts. Raises an ArchiveError, or notes it and goes on.

        Parts are decoded side by side, on the engine's threads, or with `processes` in as many processes where there is
        work enough; in memory are at most one part more than there are threads, or two for each process.
        """
        progress = progress or Progress()
        if parts is None:
            _ = self.names, self.metadata, self.tree, self.arrays
            parts = self.parts
        pixels = [self._followed_pixels(part, registry) for part in parts]
        progress.total = sum(pixels)
        engine = registry.engine
        alone = len(parts) < engine.threads or engine.threads == 1
        """Whether one part after another is decoded, by all threads together."""

        def begun() -> Iterator[Part]:
            for part, of_part in zip(parts, pixels, strict=True):
                progress.begin(of_part)
                yield part

        def work(part: Part) -> Sequence[Item] | ArchiveError:
            advance = progress.advance if alone else ignore
            try:
                segment = part.segment()
                return decode_checked(segment.payload, segment.digest, registry, max_pixels, advance)
            except ArchiveError as error:
                return error

        if processes and not alone and progress.total >= PAY_FROM_PIXELS:
            decoder = SegmentDecoder(registry.opener(), max_pixels)
            results = done_in_order(decoder, map(_read_of, parts), engine.threads, engine.report)
        else:
            results = map(work, parts) if alone else engine.in_order(work, parts)
        for part, found in zip(begun(), results, strict=True):
            progress.end()
            if isinstance(found, ArchiveError):
                self._lose(part, found)
            else:
                yield from self._named(part, found)

    def decode_part(self, part: Part, registry: Registry, max_pixels: int = MAX_PIXELS) -> list[Decoded]:
        """The pictures of one part. Raises an ArchiveError."""
        segment = part.segment()
        return list(self._named(part, decode_checked(segment.payload, segment.digest, registry, max_pixels)))

    def close(self) -> None:
        """Close the file, if it was opened here."""
        self.source.close()

    def _followed_pixels(self, part: Part, registry: Registry) -> int:
        """How many pixels decoding a part will tell of. Damage is told before the work."""
        try:
            # of what may be lost all has been read and checked before
            segment = part.head()[0] if self._recover else part.segment()
            return segment.payload.followed_pixels(registry)
        except ArchiveError:
            if self._recover:
                return 0
            raise

    def _named(self, part: Part, items: Sequence[Item]) -> Iterator[Decoded]:
        for number, item in zip(part.numbers.tolist(), items, strict=True):
            name = self.names[number] if self.names else None
            whole: Item
            if isinstance(item, Picture):
                of_array = number in self._array_firsts
                whole = replace(item, metadata=NO_METADATA if of_array else self.metadata.get(number, NO_METADATA))
            else:
                whole = replace(item, name=PurePosixPath(name).name) if name else item
            yield Decoded(number, name, whole)

    def _find_blocks(self) -> None:
        try:
            self._find_by_index()
        except DamagedArchive as error:
            self._note(error)
            self._find_by_walking()
        else:
            if self._recover:
                self._check_parts()
        self._check_numbers()
        if self._recover:
            _ = self.names, self.metadata, self.tree, self.arrays  # so that `damage` is complete

    def _find_by_index(self) -> None:
        start = blocks.read_trailer(self.source)
        block = blocks.read_block(self.source, start)
        if block.type != BlockType.INDEX or block.body is None:
            raise DamagedArchive("damaged: the checksum of the index is wrong")
        if start + block.size != self.size - blocks.TRAILER_BYTES:
            raise DamagedArchive("damaged: bytes between the index and the end")
        index = unpack_index(block.body, self.size)
        if index.end != start:
            raise DamagedArchive("damaged: the index does not fit the file")
        segments = iter(index.segments)
        for type, offset, size in index.places():
            if type == BlockType.SEGMENT:
                self.parts.append(Part(self.source, len(self.parts), offset, size, next(segments).runs))
            else:
                self._places[type] = offset

    def _find_by_walking(self) -> None:
        """Blocks one after another from the start, as far as their lengths make sense."""
        offset, images = blocks.HEADER_BYTES, 0
        while offset < self.size:
            try:
                block = blocks.read_block(self.source, offset)
            except ArchiveError:
                break
            if block.type not in set(BlockType) - {BlockType.INDEX}:
                break
            if block.body is None:
                self._note(DamagedArchive(f"damaged: the checksum of the block at byte {offset} is wrong"))
            elif block.type != BlockType.SEGMENT:
                self._places[BlockType(block.type)] = offset
            else:
                try:
                    numbers = unpack_segment(block.body).numbers
                except ArchiveError as error:
                    self._note(error)
                else:
                    runs = runs_of(numbers.tolist())
                    self.parts.append(Part(self.source, len(self.parts), offset, block.size, runs))
                    images += count_of(runs)
                    require_images(images, self.size)
            offset += block.size

    def _check_parts(self) -> None:
        """Keep of the parts that the index names those that are sound."""
        listed, self.parts = self.parts, []
        for part in listed:
            try:
                runs = runs_of(part.read().numbers.tolist())
            except ArchiveError as error:
                self._lose(part, error)
            else:
                if runs != part.runs:
                    self._note(DamagedArchive(_OTHERWISE))
                self.parts.append(replace(part, runs=runs))

    def _check_numbers(self) -> None:
        end, missing = 0, False
        for start, stop in sorted(run for part in [*self.parts, *(part for part, _ in self.lost)] for run in part.runs):
            if start < end:
                raise DamagedArchive("damaged: two segments hold the same picture")
            missing |= start > end
            end = stop
        self._numbers = end
        if missing:
            self._note(DamagedArchive("damaged: segments are missing"))

    @property
    def _most(self) -> int:
        """Names that there may be: what is lost has names too."""
        return most_images(self.size) if self.damage else self._numbers

    def _unpack_names(self, body: bytes) -> list[str]:
        names = unpack_names(body, self._most)
        if len(set(names)) != len(names) or len(names) < self._numbers:
            raise Malformed("two pictures have one name, or one has none")
        return names

    def _read(self, type: BlockType, unpack: Callable[[bytes], Read], default: Read) -> Read:
        """What is in the one block of a type; the default where there is none, or it is damaged and we recover."""
        if type not in self._places:
            if type == BlockType.NAMES and self.form == blocks.Form.ARCHIVE:
                self._note(DamagedArchive("damaged: there are no names"))
            return default
        try:
            block = blocks.read_block(self.source, self._places[type])
            if block.body is None or block.type != type:
                raise Malformed("their checksum is wrong")
            return unpack(block.body)
        except (DamagedArchive, Malformed) as error:
            self._note(DamagedArchive(f"damaged: the {type.name.lower()} cannot be read ({error})"))
            return default

    def _lose(self, part: Part, error: ArchiveError) -> None:
        self._note(error, f"segment {part.place}, {_described(part.numbers)}: ")
        self.lost.append((part, error))

    def _note(self, error: ArchiveError, where: str = "") -> None:
        if not self._recover:
            raise error
        self.damage.append(where + str(error))


def _described(numbers: Numbers) -> str:
    if len(numbers) == 1:
        return f"picture {numbers[0]} is lost"
    return f"{len(numbers)} pictures, numbers {numbers[0]} to {numbers[-1]}, are lost"


def _read_of(part: Part) -> Segment | ArchiveError:
    try:
        return part.segment()
    except ArchiveError as error:
        return error
