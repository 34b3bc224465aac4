"""Files that are kept byte for byte: their coding, both forms, what is chosen, and what the commands say of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from helpers import binary_digits, flipped, hand_made, paper_models, photograph, write
from hypothesis import given
from hypothesis import strategies as st
from made_files import png_bytes
from PIL import Image

from bbcompress.archive.blocks import SHORT_CRC_BYTES, checked
from bbcompress.archive.compress import KEPT, Options, compress_archive, compress_single
from bbcompress.archive.errors import ArchiveError, ArchiveLimit, DamagedArchive
from bbcompress.archive.names import pack_names
from bbcompress.archive.payload import Kept, pictures_digest
from bbcompress.archive.read import ArchiveReader
from bbcompress.archive.segment import Segment, pack_segment
from bbcompress.archive.single import pack_single
from bbcompress.cli import main
from bbcompress.images import DamagedImage, KeptFile, Picture, file_bytes, kept, read
from bbcompress.images.convert import for_suffix

NOISE = np.random.default_rng(3).bytes(500)
TEXT = b"the same words again and again\n" * 20


def jpeg(**options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(photograph(20, 20, 40, 60).pixels).save(out, "JPEG", **options)
    return out.getvalue()


def single(item: KeptFile | Picture) -> bytes:
    return compress_single(item, paper_models(), Options())[0]


# --- the coding -----------------------------------------------------------------------------------


@given(st.one_of(st.binary(max_size=3000), st.binary(max_size=20).map(lambda part: part * 200)))
def test_any_bytes_come_back(data: bytes) -> None:
    coded = kept.encode(data)
    assert kept.decode(coded) == data
    assert len(coded) <= len(data) + 1


def test_large_files_are_tried_by_a_part_of_them() -> None:
    noise = np.random.default_rng(1).bytes(1 << 19)
    assert len(kept.encode(noise)) == len(noise) + 1
    assert len(kept.encode(bytes(1 << 19))) < 1000


@given(st.binary(max_size=60))
def test_random_bytes_are_refused_or_decode(data: bytes) -> None:
    try:
        kept.decode(data)
    except DamagedImage as error:
        assert "\n" not in str(error)


def test_a_limit_holds_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    data = single(KeptFile(bytes(1 << 20)))
    monkeypatch.setattr(kept, "MAX_PACKED_BYTES", 1000)
    with pytest.raises(ArchiveLimit, match="over the limit of 1000 bytes"):
        list(ArchiveReader(data).decode(paper_models()))
    # so such files are kept as they are
    (decoded,) = ArchiveReader(single(KeptFile(bytes(1 << 20)))).decode(paper_models())
    assert decoded.picture.same_as(KeptFile(bytes(1 << 20)))


# --- both forms -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("x.jpg", "x.jpg"),
        ("grün.PDF", "grün.PDF"),
        ("no-suffix", "no-suffix"),
        ("", ""),
        (40 * "n", 40 * "n"),
        (37 * "n" + ".tif", "*.tif"),
        (41 * "n", "*"),
        ("a\nb.jpg", "a\nb.jpg"),
    ],
)
def test_the_small_form_keeps_the_name_or_its_suffix(name: str, found: str) -> None:
    (decoded,) = ArchiveReader(single(KeptFile(NOISE, name))).decode(paper_models())
    assert decoded.picture == KeptFile(NOISE, found)


def test_every_flipped_bit_and_cut_is_refused() -> None:
    for data in (single(KeptFile(NOISE[:40], "n.bin")), single(KeptFile(TEXT, "n.txt"))):
        for bit in range(8 * len(data)):
            with pytest.raises(ArchiveError):
                list(ArchiveReader(flipped(data, bit)).decode(paper_models()))
        for size in range(len(data)):
            with pytest.raises(ArchiveError):
                list(ArchiveReader(data[:size]).decode(paper_models()))


@pytest.mark.parametrize("name", ["../x", "a/b", "/x"])
def test_a_name_with_folders_is_refused(name: str) -> None:
    instead = "12345678"[: len(name)]
    packed = pack_single(Kept(kept.encode(NOISE), instead), pictures_digest([KeptFile(NOISE)]))
    packed = packed[:-SHORT_CRC_BYTES].replace(instead.encode(), name.encode())
    with pytest.raises(DamagedArchive):
        ArchiveReader(checked(packed, SHORT_CRC_BYTES))


def test_another_digest_is_refused() -> None:
    segment = Segment(np.array([0]), Kept(kept.encode(TEXT)), pictures_digest([KeptFile(NOISE)]))
    data = hand_made([pack_segment(segment)], [1], pack_names(["a.txt"]))
    with pytest.raises(DamagedArchive, match="not those that were compressed"):
        list(ArchiveReader(data).decode(paper_models()))


# --- what is chosen -------------------------------------------------------------------------------


def test_a_file_smaller_than_its_picture_is_kept() -> None:
    """Whatever the file is; here it is the beginning of one."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    picture = Picture("RGB", noise)
    file = file_bytes(picture)
    item = read(file, "noise.png")
    assert isinstance(item, Picture)
    smaller = Picture(item.mode, item.pixels, file=KeptFile(file[:50], "noise.png", "smaller"))
    data, summary = compress_single(smaller, paper_models(), Options(check=False))
    assert summary.methods == {KEPT: 1}
    (decoded,) = ArchiveReader(data).decode(paper_models())
    assert decoded.picture == KeptFile(file[:50], "noise.png")
    for effort in (1, 2):
        digit = binary_digits(1)[0]
        both = [("a/noise.png", smaller), ("d.png", Picture("1", digit.pixels, file=KeptFile(b"x", "d.png", "tiny")))]
        data, summary = compress_archive(both, paper_models(), Options(effort=effort))
        assert summary.methods[KEPT] >= 1
        found = {one.name: one.picture for one in ArchiveReader(data).decode(paper_models())}
        assert found["a/noise.png"] == KeptFile(file[:50], "noise.png")


def test_a_digit_is_a_picture() -> None:
    item = read(file_bytes(binary_digits(1)[0]), "d.png")
    data, summary = compress_archive([(f"{n}.png", item) for n in range(10)], paper_models(), Options())
    assert summary.methods == {"mnist-binary": 10}
    assert len(data) < 10 * 40


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"some text", "not an image"),
        (b"%PDF-1.4", "PDF"),
        (png_bytes([(b"IHDR", bytes(13))])[:-1], "damaged PNG: cut short"),
        (file_bytes(binary_digits(1)[0]) + b"x", "PNG with data after its end"),
        (b"P7\nWIDTH 1", "PAM"),
    ],
)
def test_reasons_say_what_a_file_is(data: bytes, reason: str) -> None:
    item = read(data)
    assert isinstance(item, KeptFile)
    assert item.reason == reason


def test_a_picture_over_the_limit_is_kept() -> None:
    data = file_bytes(binary_digits(1)[0])
    assert isinstance(read(data, max_pixels=784), Picture)
    item = read(data, max_pixels=783)
    assert item == KeptFile(data, "", "PNG of 28 x 28 pixels, more than the limit of 783; -M raises it")


# --- other formats --------------------------------------------------------------------------------


def test_a_jpeg_is_decoded_to_a_lossless_format() -> None:
    data = jpeg()
    item = KeptFile(data, "x.jpg")
    assert for_suffix(item, ".JPEG", "y.JPEG") == (data, [])
    png, _ = for_suffix(item, ".png", "y.png")
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image), read(png).pixels)


@pytest.mark.parametrize("suffix", [".tif", ".bmp", ".webp", ".ppm"])
def test_a_picture_in_another_format_has_the_same_pixels(suffix: str) -> None:
    picture = photograph(0, 0, 30, 40)
    other, lost = for_suffix(picture, suffix, "x")
    item = read(other)
    assert isinstance(item, Picture)
    assert item.same_as(picture)
    assert lost == []


def test_what_another_format_does_not_hold_is_told_or_refused() -> None:
    chunks = [(b"tEXt", b"Title\0x"), (b"sBIT", b"\5\5\5")]
    file = file_bytes(photograph(0, 0, 3, 4))
    item = read(file[:33] + png_bytes(chunks)[8:] + file[33:])
    assert for_suffix(item, ".tif", "x.tif")[1] == ["sBIT", "tEXt"]
    transparent = read(file[:33] + png_bytes([(b"tRNS", bytes(6))])[8:] + file[33:])
    for suffix in (".tif", ".bmp", ".jpg"):
        with pytest.raises(ValueError, match=r"would lose data of this picture; use \.png"):
            for_suffix(transparent, suffix, "x" + suffix)


# --- the commands ---------------------------------------------------------------------------------


@pytest.fixture
def bbc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == code, done.output
        return done

    return run


def test_a_kept_file_comes_back_under_its_name(bbc: Callable[..., Result], tmp_path: Path) -> None:
    data = jpeg()
    Path("photo.jpg").write_bytes(data)
    assert "kept as a file: JPEG" in bbc("compress", "photo.jpg", "-o", "other.bb").stderr
    assert Path("other.bb").stat().st_size <= len(data) + 64
    bbc("decompress", "other.bb", code=1)  # photo.jpg is there
    Path("photo.jpg").unlink()
    bbc("decompress", "other.bb")
    assert Path("photo.jpg").read_bytes() == data
    bbc("decompress", "other.bb", "-o", "x.jpg")
    assert Path("x.jpg").read_bytes() == data
    bbc("decompress", "other.bb", "-o", "x.png")
    assert isinstance(read(Path("x.png").read_bytes()), Picture)


def test_a_folder_is_never_refused_for_one_file(bbc: Callable[..., Result], tmp_path: Path) -> None:
    files = {"a.txt": TEXT, "b/noise.bin": NOISE, "photo.jpg": jpeg(), "empty": b"", "b/bad.png": b"\x89PNG\r\n\x1a\n"}
    for name, data in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    write(binary_digits(1)[0], tmp_path / "in" / "digit.png")
    files["digit.png"] = (tmp_path / "in" / "digit.png").read_bytes()
    done = bbc("compress", "in", "-o", "x.bb", "-v")
    assert "5 kept as files" in done.stderr
    assert "photo.jpg: kept as a file: JPEG" in done.stderr
    assert "2 kept as files: not an image" in done.stderr
    bbc("test", "x.bb")
    assert "file: " in bbc("info", "x.bb").stdout
    bbc("decompress", "x.bb", "-o", "out")
    for name, data in files.items():
        if name != "digit.png":
            assert (tmp_path / "out" / name).read_bytes() == data
    assert "a.txt" in bbc("compress", "in", "-o", "y.bb", "--pixels", code=1).stderr
    assert not Path("y.bb").exists()


def test_pixels_are_coded_where_the_file_is_smaller(bbc: Callable[..., Result]) -> None:
    Path("flat.png").write_bytes(file_bytes(Picture("L", np.zeros((1, 1), np.uint8))))
    assert KEPT not in bbc("compress", "flat.png", "-o", "x.bb", "--pixels").stderr


def test_strip_leaves_metadata_out_and_says_where_it_does_not(bbc: Callable[..., Result]) -> None:
    file = file_bytes(photograph(0, 0, 30, 40))
    Path("x.png").write_bytes(file[:33] + png_bytes([(b"tEXt", b"Title\0x")])[8:] + file[33:])
    Path("x.jpg").write_bytes(jpeg())
    assert "x.jpg: kept as a file (JPEG), with its metadata" in bbc("compress", "x.jpg", "--strip").stderr
    bbc("compress", "x.png", "--strip", "-o", "y.bb")
    bbc("decompress", "y.bb", "-o", "y.png")
    assert Path("y.png").read_bytes() == file
