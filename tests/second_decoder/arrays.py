"""Section 4.8: files of several pictures."""

from typing import NamedTuple

from second_decoder.about import check_name
from second_decoder.pictures import Header, Item, Picture, read_header
from second_decoder.reading import Reader, require

ARRAY = 5
"""The format of their metadata."""


class Span(NamedTuple):
    gap: int
    count: int
    between: int
    header: Header
    flags: int


class Array(NamedTuple):
    spans: list[Span]
    rest: bytes

    @property
    def pictures(self) -> int:
        return sum(span.count for span in self.spans)


def array(body: bytes) -> Array:
    reader = Reader(body)
    streams_end = 0
    for _ in range(reader.varint(0, len(body))):
        streams_end += reader.varint(0, 1 << 45) + reader.varint(0, 1 << 45)
        require(reader.byte() <= 9, "a level of no zlib")
        reader.varint(0, 1 << 45)
    spans = []
    for _ in range(reader.varint(1, len(body))):
        gap, count, between = reader.varint(0, 1 << 45), reader.varint(1, 1 << 22), reader.varint(0, 1 << 45)
        header, flags = read_header(reader), reader.byte()
        require(flags <= 3 and (flags & 1 == 0 or header.channels > 1), "flags of an array")
        spans.append(Span(gap, count, between, header, flags))
    found = Array(spans, reader.rest())
    sizes = [span.header.width * span.header.height * span.header.channels * span.header.sample_bytes for span in spans]
    samples = sum(size * span.count for size, span in zip(sizes, spans, strict=True))
    require(sum(span.gap + (span.count - 1) * span.between for span in spans) <= len(found.rest), "a rest cut short")
    require(streams_end <= len(found.rest) + samples and found.pictures <= 1 << 22, "an array that does not fit")
    return found


def unpacked(array: Array, pictures: list[Item]) -> bytes:
    out, rest, waiting = b"", Reader(array.rest), iter(pictures)
    for span in array.spans:
        for place in range(span.count):
            out += rest.take(span.between if place else span.gap)
            picture = next(waiting)
            require(isinstance(picture, Picture) and picture.header == span.header, "a picture of no array")
            assert isinstance(picture, Picture)
            pixels = picture.pixels.reshape(span.header.height, span.header.width, span.header.channels)
            pixels = pixels.transpose(2, 0, 1) if span.flags & 1 else pixels
            out += pixels.astype(f"{'>' if span.flags & 2 else '<'}u{span.header.sample_bytes}").tobytes()
    return out + rest.rest()


def files(names: list[bytes], items: list[Item], metadata: dict[int, tuple[int, bytes]]) -> dict[bytes, bytes]:
    """All files of several pictures, unpacked, by name; takes their descriptions out of the metadata."""
    found: dict[bytes, bytes] = {}
    end = 0
    for number in sorted(metadata):
        format, body = metadata[number]
        if format != ARRAY:
            continue
        one = array(body)
        if one.pictures == 1:
            continue
        require(end <= number and number + one.pictures <= len(items), "an array of others' pictures")
        end = number + one.pictures
        name = names[number].removesuffix(b"[0]")
        check_name(name)
        own = [b"%s[%d]" % (name, place) for place in range(one.pictures)]
        require(names[number:end] == own and name not in names and name not in found, "names of an array")
        found[name] = unpacked(one, items[number:end])
        del metadata[number]
    return found
