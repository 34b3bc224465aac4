"""Some images of an archive: which are meant, that only their segments are read, and what damage of others does."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from helpers import FILES, archive_of, binary_digits, flipped, grey_digits, hand_made, numbered, paper_models, rgb
from hypothesis import given
from hypothesis import strategies as st
from methods import Case, cases, models

from bbcompress.archive.errors import NoSuchImage
from bbcompress.archive.index import Entry, Index, pack_index, unpack_index
from bbcompress.archive.names import pack_names
from bbcompress.archive.numbers import runs_of
from bbcompress.archive.payload import Stored, pictures_digest
from bbcompress.archive.read import HEAD_BYTES, ArchiveReader
from bbcompress.archive.segment import Segment, pack_segment
from bbcompress.archive.select import select
from bbcompress.archive.source import Source
from bbcompress.cli import main
from bbcompress.codec.registry import Registry
from bbcompress.exact.engine import Engine
from bbcompress.images import KeptFile, Picture, file_bytes, stored

ARCHIVES = sorted(name for name in cases() if name.startswith("archive"))


def bbc(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done


@pytest.fixture
def made() -> list[str]:
    """Options that have the models of `methods` found."""
    return [f"--model={path}" for path in models().files]


class Counting(Source):
    """Knows which bytes were read."""

    def __init__(self, data: bytes):
        super().__init__(data)
        self.seen: set[int] = set()

    def read(self, offset: int, count: int) -> bytes:
        self.seen.update(range(offset, offset + count))
        return super().read(offset, count)


@pytest.mark.parametrize("name", ARCHIVES)
def test_every_image_is_decoded_from_its_segment_alone(name: str) -> None:
    data, pictures = cases()[name]
    source = Counting(data)
    archive = ArchiveReader(source)
    for part in archive.parts:
        source.seen.clear()
        found = list(archive.decode(models(), parts=[part]))
        others = {byte for one in archive.parts if one is not part for byte in range(one.offset, one.offset + one.size)}
        assert not source.seen & others
        assert [item.number for item in found] == part.numbers.tolist()
        assert all(item.picture.same_as(pictures[item.number]) for item in found)


def files_of(case: Case) -> dict[str, bytes]:
    return {f"a/{number}.png": file_bytes(picture) for number, picture in enumerate(case.pictures)}


def files_below(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert not any(".bbc-" in name for name in found)
    return found


@pytest.mark.parametrize("name", ARCHIVES)
def test_images_by_name_range_and_pattern(name: str, made: list[str], tmp_path: Path) -> None:
    case, file = cases()[name], tmp_path / "x.bb"
    file.write_bytes(case.data)
    every = files_of(case)
    for place, (wanted, expected) in enumerate(
        (
            (["a/1.png"], ["a/1.png"]),
            (["1:"], list(every)[1:]),
            ([":1", "a/1.*"], list(every)[:2]),
            (["a"], list(every)),
        )
    ):
        folder = tmp_path / str(place)
        bbc("extract", file, *wanted, "-o", folder, "-q", *made)
        assert files_below(folder) == {one: every[one] for one in expected}
    assert bbc("list", file).stdout.splitlines() == list(every)
    images = json.loads(bbc("list", file, "--json", *made).stdout)["images"]
    assert [image["name"] for image in images] == list(every)
    for image, picture in zip(images, case.pictures, strict=True):
        expected_mode = (None, None, None) if isinstance(picture, KeptFile) else picture.header
        assert (image["mode"], image["width"], image["height"]) == tuple(expected_mode)
    long = bbc("list", "-l", file, *made).stdout.splitlines()
    assert len(long) == len(every) and all(line.endswith(one) for line, one in zip(long, every, strict=True))


def test_a_damaged_segment_is_named_and_stops_no_other(tmp_path: Path) -> None:
    pictures = numbered([*binary_digits(3), *grey_digits(2), rgb(3, 3)])
    data = archive_of(pictures)
    parts, names, damaged = ArchiveReader(data).parts, list(pictures), data
    lost = [part for part in parts if 0 not in part.numbers.tolist()]
    for part in lost:
        damaged = flipped(damaged, 8 * (part.offset + part.size // 2))
    file = tmp_path / "x.bb"
    file.write_bytes(damaged)
    done = bbc("test", file, code=3)
    lost_names = [names[number] for part in lost for number in part.numbers.tolist()]
    assert done.stdout.splitlines() == [f"{file}: lost: {name}" for name in lost_names]
    assert done.stderr.count(" lost: ") == len(lost) and done.stderr.count("\n") == 1
    sound = [name for name in names if name not in lost_names]
    bbc("extract", file, *sound, "-o", tmp_path / "out", "-q")
    assert files_below(tmp_path / "out") == {name: file_bytes(pictures[name]) for name in sound}
    for wanted in ([lost_names[0]], ["*"]):
        assert "checksum" in bbc("extract", file, *wanted, "-o", tmp_path / "none", code=3).stderr
        assert not (tmp_path / "none").exists()
    bbc("extract", file, "*", "-o", tmp_path / "some", "--keep-going", code=3)
    assert sorted(files_below(tmp_path / "some")) == sound


def test_one_image_to_a_file_and_to_standard_output(tmp_path: Path) -> None:
    file = FILES / "good-archive-kept.bb"
    pictures = {item.name: item.picture for item in ArchiveReader(file.read_bytes()).decode(paper_models())}
    bbc("extract", file, "noise.bin", "-o", tmp_path / "new.bin", "-q")
    assert (tmp_path / "new.bin").read_bytes() == file_bytes(pictures["noise.bin"])
    bbc("extract", file, "1", "-o", tmp_path / "new.png", "-q")
    assert (tmp_path / "new.png").read_bytes() == file_bytes(pictures["digit.png"])
    done = CliRunner().invoke(main, ["extract", str(file), "digit.png", "-o", "-"])
    assert done.stdout_bytes == file_bytes(pictures["digit.png"])
    assert "one image" in bbc("extract", file, ":2", "-o", "-", code=2).stderr
    bbc("extract", file, "digit.png", "-o", tmp_path / "new.png", code=1)
    bbc("extract", file, "digit.png", "-o", tmp_path / "new.png", "-f")


def test_what_means_nothing_is_an_error(tmp_path: Path) -> None:
    for wanted in ("no.png", "6", "6:", "*.tif", "b/", ""):
        done = bbc("extract", FILES / "good-archive.bb", wanted, "-o", tmp_path / "out", code=1)
        assert re.fullmatch(r"bbc: .*good-archive\.bb: holds nothing named .*; see bbc list\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_name_comes_before_all_that_it_looks_like() -> None:
    names = ["3", "1:2", "*", "a/1", "[b]", "b", "a/b/2"]
    assert select(["3"], names, 7).pictures == [0]
    assert select(["1:2"], names, 7).pictures == [1]
    assert select(["*"], names, 7).pictures == [2]
    assert select(["[b]"], names, 7).pictures == [4]
    assert select(["a", "[b", "b"][::2], names, 7).pictures == [3, 5, 6]
    assert select(["a/b/"], names, 7).pictures == [6]
    assert select(["?"], names, 7).pictures == [0, 2, 5]
    assert select(["2", ":9"], None, 3).pictures == [0, 1, 2]
    with pytest.raises(NoSuchImage):
        select(["9" * 5000], names, 7)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 9))
def test_ranges_are_those_of_python(start: int, stop: int, images: int) -> None:
    expected = list(range(images))[start:stop]
    if expected:
        assert select([f"{start}:{stop}"], None, images).pictures == expected
    else:
        with pytest.raises(NoSuchImage):
            select([f"{start}:{stop}"], None, images)


@given(st.lists(st.tuples(st.integers(1, 2**34), st.sets(st.integers(0, 99), min_size=1)), max_size=5), st.booleans())
def test_the_index_round_trips(segments: list[tuple[int, set[int]]], more: bool) -> None:
    index = Index([Entry(size, runs_of(sorted(numbers))) for size, numbers in segments], 9, 5 * more, 7 * more)
    assert unpack_index(pack_index(index), 1 << 20) == index


@pytest.mark.parametrize("threads", [2, 3])
def test_segments_are_decoded_in_order_by_any_number_of_threads(threads: int) -> None:
    """Also more segments than threads, of which each has work for several."""
    data = archive_of(numbered([*binary_digits(9), *grey_digits(5), rgb(1, 2), rgb(2, 2), rgb(3, 2)]))
    registry = Registry(Engine(threads))
    found, alone = list(ArchiveReader(data).decode(registry)), list(ArchiveReader(data).decode(paper_models()))
    assert [(item.number, item.name) for item in found] == [(item.number, item.name) for item in alone]
    assert all(one.picture.same_as(other.picture) for one, other in zip(found, alone, strict=True))


def test_heads_are_read_without_payloads() -> None:
    noise = Picture("L", np.random.default_rng(0).integers(0, 256, (90, 80), np.uint8))
    digest, payload = pictures_digest([noise]), Stored(stored.encode(noise))
    data = hand_made(
        [pack_segment(Segment(np.array([n]), payload, digest)) for n in (0, 1)], [1, 1], pack_names(["a", "b"])
    )
    source = Counting(data)
    archive = ArchiveReader(source)
    source.seen.clear()
    for part in archive.parts:
        segment, payload_bytes = part.head()
        assert payload_bytes == len(part.segment().payload.data) > HEAD_BYTES > len(segment.payload.data)
    source.seen.clear()
    for part in archive.parts:
        assert part.head()[0].payload.headers(paper_models()) == [noise.header]
    assert len(source.seen) <= HEAD_BYTES * len(archive.parts)


@pytest.mark.parametrize("command", ["list", "info", "test"])
def test_standard_input_is_read_too(command: str) -> None:
    data = (FILES / "good-archive.bb").read_bytes()
    done = CliRunner().invoke(main, [command, "-"], input=data)
    assert done.exit_code == 0, done.output


def test_json_has_the_documented_fields() -> None:
    text = (FILES.parent.parent / "docs" / "JSON.md").read_text("utf-8")
    tables = [re.findall(r"^\| `(\w+)` \|", part, re.M) for part in text.split("\n## ")[1:]]
    file, segment, image = tables
    for name in ("good-archive-lanes-refined", "good-archive-kept", "good-single-lattice", "good-single-grey"):
        info = json.loads(bbc("info", FILES / f"{name}.bb", "--json").stdout)
        assert list(info) == file
        assert all(list(one) == segment for one in info["segments"])
        listed = json.loads(bbc("list", FILES / f"{name}.bb", "--json").stdout)
        assert list(listed) == ["schema", "images"] and listed["schema"] == info["schema"] == 1
        assert all(list(one) == image for one in listed["images"])
