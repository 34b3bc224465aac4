"""`import bbcompress`: arrays, files and images of Pillow to bytes and back, and archives as sequences."""

import inspect
import io
import multiprocessing
import pickle
import pydoc
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import FILES, flipped, odd_pictures
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from methods import cases, models
from PIL import Image

import bbcompress
from bbcompress.images import KeptFile, Picture, digest, file_bytes, read_file

ARCHIVES = sorted(name for name in cases() if name.startswith("archive"))
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9)) | st.tuples(
    st.integers(1, 9), st.integers(1, 9), st.sampled_from([2, 3, 4])
)


def opened(name: str, **options: Any) -> bbcompress.Archive:
    return bbcompress.open(cases()[name].data, models=models().files, **options)


def as_array(item: Picture | KeptFile) -> np.ndarray:
    assert isinstance(item, Picture)
    return item.pixels == 1 if item.mode == "1" else item.pixels


def assert_equal(found: np.ndarray, expected: np.ndarray) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(found, expected)


@given(st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: arrays.arrays(dtype, SHAPES)))
@settings(max_examples=30, deadline=None)
def test_arrays_come_back(image: np.ndarray) -> None:
    assert_equal(bbcompress.decompress(bbcompress.compress(image, effort=1)), image)


def test_other_arrays_and_what_is_no_image() -> None:
    black = np.eye(5, dtype=bool)
    assert_equal(bbcompress.decompress(bbcompress.compress(black)), black)
    turned = np.arange(24, dtype=">u2").reshape(4, 6).T
    assert_equal(bbcompress.decompress(bbcompress.compress(turned, effort=1)), turned.astype(np.uint16))
    for bad in (np.zeros(4, np.uint8), np.zeros((2, 2, 5), np.uint8), np.zeros((2, 2)), np.zeros((0, 2), np.uint8)):
        with pytest.raises(bbcompress.ImageError):
            bbcompress.compress(bad)
    with pytest.raises(ValueError, match="open"):
        bbcompress.decompress((FILES / "good-archive.bb").read_bytes())
    with pytest.raises(bbcompress.DamagedArchive):
        bbcompress.decompress(flipped((FILES / "good-single-grey.bb").read_bytes(), 99))


def test_files_and_pillow_images_keep_what_they_hold(tmp_path: Path) -> None:
    digit = FILES / "digit.png"
    palette = Image.open(io.BytesIO(file_bytes(odd_pictures()["palette-alpha.png"])))
    (tmp_path / "a.txt").write_bytes(b"words " * 20)
    data = bbcompress.compress_many({"d.png": digit, "p": palette, "t": tmp_path / "a.txt"}, effort=1)
    with bbcompress.open(data) as archive:
        assert archive.names == ["d.png", "p", "t"]
        assert archive.read("d.png") == file_bytes(read_file(digit))
        found = archive.image("p")
        assert (found.mode, found.getpalette(), found.info["transparency"]) == (
            "P",
            palette.getpalette(),
            palette.info["transparency"],
        )
        assert_equal(archive["p"], np.asarray(palette))
        assert archive.read(2) == b"words " * 20
        with pytest.raises(bbcompress.ImageError):
            archive["t"]


def test_a_kept_picture_is_an_array_too(tmp_path: Path) -> None:
    Image.new("RGB", (9, 7), "red").save(tmp_path / "a.jpg")
    with bbcompress.open(bbcompress.compress(tmp_path / "a.jpg")) as archive:
        assert archive.names == ["a.jpg"]
        assert_equal(archive[0], np.asarray(Image.open(tmp_path / "a.jpg")))


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_archives_are_sequences(name: str, cache_bytes: int) -> None:
    pictures = cases()[name].pictures
    with opened(name, cache_bytes=cache_bytes) as archive:
        assert len(archive) == len(pictures)
        assert archive.names == [f"a/{number}.png" for number in range(len(pictures))]
        for number, picture in enumerate(pictures):
            item = archive.item(number)
            assert item.same_as(picture) and digest(item) == digest(picture)
            if isinstance(picture, Picture):
                for key in (number, number - len(pictures), f"a/{number}.png", np.int64(number)):
                    assert_equal(archive[key], as_array(picture))
        if not any(isinstance(picture, KeptFile) for picture in pictures):
            for part in (slice(None), slice(1, None), slice(None, None, -1), slice(5, 2)):
                for found, picture in zip(archive[part], pictures[part], strict=True):
                    assert_equal(found, as_array(picture))
            assert len(list(archive)) == len(pictures)
        assert "a/0.png" in archive and "b" not in archive
        for key, kind in ((len(pictures), IndexError), (-len(pictures) - 1, IndexError), ("b", KeyError)):
            with pytest.raises(kind):
                archive[key]
        assert archive.select("1:") == list(range(1, len(pictures)))
        assert [entry.number for entry in archive.entries()] == list(range(len(pictures)))
        assert archive.test() == []
        assert archive.info()["images"] == len(pictures)
    with pytest.raises(ValueError, match="closed"):
        archive[0]


def test_what_is_given_is_nobody_elses() -> None:
    with opened("archive-tiles") as archive:
        archive[0][:] = 0
        assert_equal(archive[0], as_array(cases()["archive-tiles"].pictures[0]))


def test_a_segment_is_decoded_once_while_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from bbcompress.archive.read import ArchiveReader

    decoded = []
    real = ArchiveReader.decode_part
    monkeypatch.setattr(ArchiveReader, "decode_part", lambda *args: decoded.append(args[1].place) or real(*args))
    with opened("archive-lattice") as archive:
        _ = archive[:], archive[0], archive[3], archive[1]
        assert decoded == [0, 1]
    decoded.clear()
    with opened("archive-lattice", cache_bytes=0) as archive:
        _ = archive.__getitems__([3, 0, 3, 1])  # as torch asks for batches
        assert decoded == [0, 1]
        _ = archive[3], archive[0], archive[3]
        assert decoded == [0, 1, 0, 1]


def test_a_damaged_segment_is_one_image_less(tmp_path: Path) -> None:
    data = cases()["archive-stored"].data
    with bbcompress.open(data) as archive:
        offsets = [segment["offset"] for segment in archive.info()["segments"]]
    with bbcompress.open(flipped(data, 8 * offsets[1] + 300)) as archive:
        assert_equal(archive[0], as_array(cases()["archive-stored"].pictures[0]))
        with pytest.raises(bbcompress.DamagedArchive):
            archive[1]
        assert_equal(archive[2], as_array(cases()["archive-stored"].pictures[2]))
        (message,) = archive.test()
        assert "lost" in message


def test_pickled_archives_open_their_file_anew(tmp_path: Path) -> None:
    (tmp_path / "a.bb").write_bytes(cases()["archive-stored"].data)
    archive = bbcompress.open(tmp_path / "a.bb")
    _ = archive[0]
    again = pickle.loads(pickle.dumps(archive))
    archive.close()
    assert_equal(again[2], as_array(cases()["archive-stored"].pictures[2]))
    again.close()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are forked")
def test_forked_processes_read_on_with_threads_of_their_own(tmp_path: Path) -> None:
    """The parent's threads do not come along, and the child would wait for them."""
    (tmp_path / "a.bb").write_bytes(cases()["archive-lattice"].data)
    with bbcompress.open(tmp_path / "a.bb", threads=2) as archive:
        before = archive[:]
        with multiprocessing.get_context("fork").Pool(2) as pool:
            found = pool.map_async(archive.__getitem__, [0, 1, 2, 3]).get(timeout=60)
        assert all(np.array_equal(one, other) for one, other in zip(found, before, strict=True))


def test_threads_share_an_archive() -> None:
    wrong = []
    with opened("archive-lattice", cache_bytes=0) as archive:

        def read(number: int) -> None:
            for _ in range(5):
                if not np.array_equal(archive[number], as_array(cases()["archive-lattice"].pictures[number])):
                    wrong.append(number)

        threads = [threading.Thread(target=read, args=(number % 4,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_importing_is_cheap_and_help_shows_the_examples() -> None:
    script = "import sys, bbcompress; print({'numpy', 'torch', 'PIL', 'zarr'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "set()\n"
    text = pydoc.plain(pydoc.render_doc(bbcompress))
    for name in ("compress", "compress_many", "decompress", "open"):
        assert ">>> " in (inspect.getdoc(getattr(bbcompress, name)) or "") or name == "decompress"
        assert f"{name}(" in text
    assert "class Archive" in text and ">>> with open(" in text
    assert set(bbcompress.__all__) <= set(dir(bbcompress))
    with pytest.raises(AttributeError):
        _ = bbcompress.nothing


def test_an_archive_is_written_as_images_come_and_added_to(tmp_path: Path) -> None:
    path, array = tmp_path / "a.bb", tmp_path / "many.npy"
    random = np.random.default_rng(0)
    light = np.add.outer(np.arange(80), np.arange(90)) / 2 + random.normal(size=(3, 80, 90)) * 3
    np.save(array, np.clip(light + 20, 0, 255).astype(np.uint8))
    images = {f"{n}.png": random.integers(0, 256, (20, 30), np.uint8) for n in range(6)}
    taken: list[str] = []

    def one_by_one() -> Iterator[tuple[str, Any]]:
        for name, image in [*images.items(), ("many.npy", array)]:
            taken.append(name)
            yield name, image

    class Lazy(dict[str, Any]):
        def items(self) -> Any:
            return one_by_one()

    bbcompress.write(path, Lazy(), effort=1, segment_pixels=1200 * 3)
    assert len(taken) == 7
    with pytest.raises(bbcompress.OutputExists):
        bbcompress.write(path, images, effort=1)
    bbcompress.append(path, {"new.png": images["0.png"]}, effort=1)
    with pytest.raises(bbcompress.NameTaken):
        bbcompress.append(path, {"1.png": images["0.png"]}, effort=1)
    bbcompress.append(path, {"1.png": images["5.png"]}, effort=1, overwrite=True)
    with bbcompress.open(path) as archive:
        assert archive.names == [*images, "many.npy[0]", "many.npy[1]", "many.npy[2]", "new.png"]
        for name, image in images.items():
            assert_equal(archive[name], images["5.png"] if name == "1.png" else image)
        assert archive.read("many.npy") == array.read_bytes()
        assert len(archive.info()["segments"]) > 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bb", "many.npy"]


def test_processes_write_the_same_archive(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = [random.integers(0, 9, (300, 300), np.uint8) for _ in range(6)]
    np.savez_compressed(tmp_path / "x.npz", a=images[0][:40, :40], b=np.stack(images)[:, :30, :30])
    for threads in (1, 2):
        everything = [*images, tmp_path / "x.npz"]
        bbcompress.write(tmp_path / f"{threads}.bb", everything, effort=1, threads=threads, segment_pixels=1 << 17)
    assert (tmp_path / "1.bb").read_bytes() == (tmp_path / "2.bb").read_bytes()
