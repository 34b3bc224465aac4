"""Archives of many files: jobs, processes, segment sizes, globs, lists, and adding to an archive."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from helpers import PaperModels, binary_digits, grey_digits, numbered, paper_models, rgb, write
from hypothesis import given, settings
from hypothesis import strategies as st

from bbcompress.archive.append import NameTaken, append_archive
from bbcompress.archive.attributes import Tree
from bbcompress.archive.compress import Options, compress_archive, here, write_archive
from bbcompress.archive.jobs import Input, input_of, jobs
from bbcompress.archive.processes import ProcessDied
from bbcompress.archive.read import ArchiveReader
from bbcompress.archive.spread import in_processes
from bbcompress.cli import main
from bbcompress.codec.registry import Registry
from bbcompress.exact.engine import Engine
from bbcompress.images import Item, Picture
from bbcompress.images.errors import ImageError
from bbcompress.images.peek import START_BYTES, peek
from bbcompress.images.picture import digest
from bbcompress.images.place import UNKNOWN


def paper_models_on(threads: int) -> Registry:
    return PaperModels()


def unreadable() -> Item:
    raise ImageError("a.png: cannot be read")


def deadly() -> Item:
    os._exit(9)


def bbc(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done


def names(file: Path) -> list[str]:
    return list(ArchiveReader(file.read_bytes()).names or [])


def items(data: bytes) -> dict[str, Item]:
    return {str(item.name): item.picture for item in ArchiveReader(data).decode(paper_models())}


@given(st.lists(st.tuples(st.sampled_from(["L", "RGB"]), st.integers(1, 40)), max_size=30), st.integers(1, 60))
def test_jobs_hold_every_input_once_in_order_and_few_pixels(found: list[tuple[str, int]], most: int) -> None:
    inputs = [Input(str(place), unreadable, kind, pixels) for place, (kind, pixels) in enumerate(found)]
    made = list(jobs(enumerate(inputs), most))
    assert sorted(number for job in made for number in job.numbers) == list(range(len(inputs)))
    for job in made:
        assert job.numbers == sorted(job.numbers)
        assert [one.name for one in job.sources] == [str(number) for number in job.numbers]
        assert len({one.kind for one in job.sources}) == 1
        assert job.pixels <= most or len(job.sources) == 1


def test_processes_write_the_same_bytes() -> None:
    pictures = {**numbered([*binary_digits(9), *grey_digits(7)]), "c.png": rgb(20, 30)}
    options = Options(segment_pixels=784 * 3)
    expected, summary = compress_archive(pictures.items(), paper_models(), options)
    for count in (1, 2):
        file = io.BytesIO()
        encode = in_processes(paper_models_on, options, count)
        assert write_archive(file, (input_of(*pair) for pair in pictures.items()), encode, options) == summary
        assert file.getvalue() == expected
    assert len(ArchiveReader(expected).parts) == 7


def test_processes_decode_the_same_pictures() -> None:
    grain = np.random.default_rng(0).integers(0, 9, (3, 400, 400, 3), np.uint8)
    pictures = numbered([Picture("RGB", one + (np.arange(400) // 2).astype(np.uint8)[:, None]) for one in grain])
    data, _ = compress_archive(pictures.items(), paper_models(), Options(effort=1, check=False))
    for damaged in (False, True):
        if damaged:
            part = ArchiveReader(data).parts[1]
            data = data[: part.offset + part.size - 9] + b"damage!" + data[part.offset + part.size - 2 :]
        archive, alone = (ArchiveReader(data, recover=damaged) for _ in range(2))
        found = []
        for decoded in archive.decode(Registry(Engine(2)), processes=True):
            found.append(decoded)
            assert multiprocessing.active_children()
        assert not multiprocessing.active_children()
        assert [(one.number, one.name, digest(one.picture)) for one in found] == [
            (one.number, one.name, digest(one.picture)) for one in alone.decode(Registry())
        ]
        assert [one.number for one in found] == ([0, 2] if damaged else [0, 1, 2])
        assert archive.damage == alone.damage and len(archive.damage) == damaged


@pytest.mark.parametrize(("read", "error"), [(unreadable, ImageError), (deadly, ProcessDied)])
def test_what_fails_in_a_process_is_raised(read: object, error: type[Exception]) -> None:
    inputs = [input_of("a.png", rgb()), Input("b.png", read, "L", 1)]  # type: ignore[arg-type]
    with pytest.raises(error):
        write_archive(io.BytesIO(), inputs, in_processes(paper_models_on, Options(), 2), Options())


def test_a_picture_of_more_pixels_than_a_segment_is_one_alone() -> None:
    pictures = numbered([*binary_digits(3), Picture("1", np.ones((60, 60), np.uint8))])
    data, _ = compress_archive(pictures.items(), paper_models(), Options(segment_pixels=1600))
    assert [part.numbers.tolist() for part in ArchiveReader(data).parts] == [[0, 1], [2], [3]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.tif", "in/a.png", "in/deep/c.png", "old/d.png"):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        write(rgb(), tmp_path / "x" / name)
    return tmp_path / "x"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--include", "*.png"], ["a.png", "in/a.png", "in/deep/c.png", "old/d.png"]),
        (["--include", "*.png", "--exclude", "old"], ["a.png", "in/a.png", "in/deep/c.png"]),
        (["--exclude", "in/*"], ["a.png", "b.tif", "old/d.png"]),
        (["--include", "in/*", "--include", "b.*"], ["b.tif", "in/a.png", "in/deep/c.png"]),
    ],
)
def test_globs_say_which_files_of_folders_are_taken(folder: Path, options: list[str], expected: list[str]) -> None:
    bbc("compress", folder, "-o", folder.parent / "o.bb", "-q", "--effort", 1, *options)
    assert names(folder.parent / "o.bb") == expected
    folders = ArchiveReader((folder.parent / "o.bb").read_bytes()).tree.folders
    assert set(folders) == {
        "",
        *(str(Path(name).parent) for name in expected),
        *(["in"] if "in/a.png" in expected else []),
    } - {"."}


def test_globs_that_take_nothing_are_told(folder: Path) -> None:
    assert "nothing that is wanted" in bbc("compress", folder, "-o", "o.bb", "--include", "*.gif", code=1).output


@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"], ids=repr)
def test_files_of_a_list_keep_their_paths(folder: Path, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Path("list").write_bytes(end.join(["a.png", "./in/a.png", "in/deep", ""]).encode())
    bbc("compress", "--files-from", "list", "-o", "o.bb", "-q", "--effort", 1, *(["-0"] if end == "\0" else []))
    assert names(Path("o.bb")) == ["a.png", "in/a.png", "in/deep/c.png"]
    Path("list").write_text("../x/a.png\n")
    assert ".." in bbc("compress", "--files-from", "list", "-o", "p.bb", code=1).output


def appended(old: bytes, new: dict[str, Picture], replacing: bool = False) -> bytes:
    file, options = io.BytesIO(), Options(segment_pixels=784 * 4)
    inputs = [input_of(*pair) for pair in new.items()]
    encode = here(paper_models(), options)
    tree = Tree([UNKNOWN] * len(new))
    append_archive(ArchiveReader(old), file, inputs, encode, paper_models(), options, tree, replacing)
    return file.getvalue()


def segments(data: bytes) -> list[bytes]:
    return [data[part.offset : part.offset + part.size] for part in ArchiveReader(data).parts]


def archived(pictures: dict[str, Picture]) -> bytes:
    return compress_archive(pictures.items(), paper_models(), Options(segment_pixels=784 * 4))[0]


def assert_holds(data: bytes, pictures: dict[str, Picture]) -> None:
    found = items(data)
    assert ArchiveReader(data).names == list(pictures)
    assert all(found[name].same_as(picture) for name, picture in pictures.items())


@settings(max_examples=8)
@given(old=st.integers(0, 9), new=st.integers(0, 6))
def test_adding_keeps_segments_as_they_are(old: int, new: int) -> None:
    before = numbered(binary_digits(old))
    added = {f"new/{name}": picture for name, picture in numbered([*grey_digits(new), rgb()]).items()}
    data = archived(before)
    longer = appended(data, added)
    assert segments(longer)[: len(segments(data))] == segments(data)
    assert_holds(longer, {**before, **added})


def test_replacing_codes_again_what_shares_a_segment() -> None:
    before = numbered(binary_digits(10))
    data = archived(before)
    others = {"5.png": grey_digits(1, 30)[0], "6.png": binary_digits(1, 40)[0], "z.png": rgb()}
    with pytest.raises(NameTaken, match=r"5\.png already"):
        appended(data, others)
    longer = appended(data, others, replacing=True)
    assert_holds(longer, {**before, **others})
    old = segments(data)
    assert segments(longer)[:2] == [old[0], old[2]]


def test_what_is_damaged_or_single_is_not_added_to(tmp_path: Path) -> None:
    write(rgb(), tmp_path / "a.png")
    damaged = bytearray(archived(numbered(binary_digits(6))))
    damaged[30] ^= 1
    (tmp_path / "d.bb").write_bytes(damaged)
    assert "damaged" in bbc("append", tmp_path / "d.bb", tmp_path / "a.png", code=3).output
    assert (tmp_path / "d.bb").read_bytes() == damaged
    bbc("compress", tmp_path / "a.png", "-o", tmp_path / "s.bb", "-q")
    assert "without a name" in bbc("append", tmp_path / "s.bb", tmp_path / "a.png", code=1).output
    assert sorted(os.listdir(tmp_path)) == ["a.png", "d.bb", "s.bb"]


def test_the_command_adds_folders_and_attributes(folder: Path) -> None:
    target = folder.parent / "o.bb"
    bbc("compress", folder / "a.png", folder / "b.tif", "-o", target, "-q", "--effort", 1)
    target.chmod(0o640)
    bbc("append", target, folder / "in", "-q", "--effort", 1, code=1)  # a.png is there
    bbc("append", target, folder, "-q", "--effort", 1, "-f", "--exclude", "old")
    assert names(target) == ["a.png", "b.tif", "in/a.png", "in/deep/c.png"]
    assert target.stat().st_mode & 0o777 == 0o640
    tree = ArchiveReader(target.read_bytes()).tree
    assert tree.files[2].mtime_ns == (folder / "in" / "a.png").stat().st_mtime_ns
    assert {"in", "in/deep"} <= set(tree.folders)


_KILLED_IN = """
import os, sys, signal
from bbcompress.cli import main
from bbcompress.{module} import {owner} as owner
whole = owner.{function}
def killed(*arguments, **options):
    if {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
owner.{function} = killed
sys.argv = ["bbc", "append", "o.bb", "b.png", "-q", "-T1"]
main()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("module", "owner", "function", "before", "is_new"),
    [
        ("archive.writer", "ArchiveWriter", "add_block", False, False),
        ("archive.writer", "ArchiveWriter", "add", False, False),
        ("archive.writer", "ArchiveWriter", "finish", False, False),
        ("images", "place", "move", True, False),
        ("images", "place", "move", False, True),
    ],
)
def test_what_is_killed_leaves_the_old_archive_or_the_new_one(
    module: str, owner: str, function: str, before: bool, is_new: bool, tmp_path: Path
) -> None:
    pictures = numbered(binary_digits(5))
    data = archived(pictures)
    (tmp_path / "o.bb").write_bytes(data)
    write(rgb(), tmp_path / "b.png")
    script = _KILLED_IN.format(module=module, owner=owner, function=function, before=before)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    after = (tmp_path / "o.bb").read_bytes()
    assert (after == data) != is_new
    if is_new:
        assert_holds(after, {**pictures, "b.png": rgb()})


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.ppm"])
def test_the_start_of_a_file_says_what_its_picture_is(name: str, tmp_path: Path) -> None:
    write(rgb(30, 20), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert peek(data[:START_BYTES], len(data)) == ("RGB", 600)


@given(st.binary(max_size=70), st.sampled_from([b"", b"BM", b"P6", b"P1 ", b"RIFF0000WEBPVP8L", b"\x89PNG\r\n\x1a\n"]))
def test_any_start_of_a_file_is_looked_at(start: bytes, signature: bytes) -> None:
    assert peek((signature + start)[:START_BYTES], 99).pixels >= 0
