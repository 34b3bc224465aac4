"""What a file says besides its pixels is kept, in every container, or left out when asked."""

import io
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from bbcompress.archive.compress import Options, compress_archive, compress_single
from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.metadata import pack_metadata, unpack_metadata
from bbcompress.archive.read import Archive
from bbcompress.cli import main
from bbcompress.codec.registry import Registry
from bbcompress.images.errors import ImageError
from bbcompress.images.files import file_bytes, lost_metadata, read
from bbcompress.images.metadata import NO_METADATA, Metadata, lost
from bbcompress.images.picture import Picture
from bbcompress.varint import Malformed

RGB = Picture("RGB", np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3))


def exif(**more: str) -> bytes:
    """Orientation, a maker, exposure time, a latitude."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, more.get("make", "Fa. Müller")
    tags.get_ifd(0x8769)[0x829A] = 0.01
    tags.get_ifd(0x8825)[1] = "N"
    return tags.tobytes().removeprefix(b"Exif\0\0")


FULL = Metadata(
    icc=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    exif=exif(),
    xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    text=(("Title", "Ein Bild"), ("Author", "日本")),
    resolution=(720_090, 960_012),
    chunks=((b"gAMA", struct.pack(">I", 45455)), (b"cHRM", bytes(range(32)))),
)
metadata = st.builds(
    Metadata,
    st.binary(max_size=9),
    st.binary(max_size=9),
    st.binary(max_size=9),
    st.lists(st.tuples(st.text(max_size=4), st.text(max_size=9))).map(tuple),
    st.none() | st.tuples(st.integers(1, 2**32), st.integers(1, 2**32)),
    st.lists(st.tuples(st.sampled_from([b"gAMA", b"cHRM", b"sRGB"]), st.binary(max_size=9))).map(tuple),
)


def png(**options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RGB.pixels).save(out, "PNG", **options)
    return out.getvalue()


# --- bytes ------------------------------------------------------------------------------------------------------


@given(metadata)
def test_packed_metadata_come_back(some: Metadata) -> None:
    assert Metadata.unpack(some.pack()) == some


@given(st.dictionaries(st.integers(0, 99), metadata, max_size=5))
def test_those_of_many_pictures_come_back(some: dict[int, Metadata]) -> None:
    some = dict(sorted(some.items()))
    assert unpack_metadata(pack_metadata(some), 100) == some


@pytest.mark.parametrize(
    "data",
    [
        b"\7\0",
        b"\1\5ab",
        b"\1\0\1\0",
        b"\2\1a\1\1b",
        b"\4\2\1\xff",
        b"\4\1\5",
        b"\5\3\1\1\1",
        b"\5\2\1\1\5\2\1\1",
        b"\6\3gAM",
        b"\6\4IEND",
    ],
    ids=["kind", "short", "twice", "order", "utf8", "key", "resolution", "resolutions", "chunk", "another chunk"],
)
def test_malformed_metadata_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Metadata.unpack(data)


@pytest.mark.parametrize("data", [b"\0\0", b"\3\1\0\0", b"\4\0\0\0\0", b"\xff\xff\xff\xff\x7f", b"\5abc"])
def test_malformed_blocks_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        unpack_metadata(data, 1)


# --- image files ------------------------------------------------------------------------------------------------


def test_png_keeps_everything() -> None:
    picture = replace(RGB, metadata=FULL)
    data = file_bytes(picture, ".png", "x.png")
    again = read(io.BytesIO(data))
    assert again.same_as(RGB)
    assert lost(FULL, again.metadata) == []
    assert again.metadata.exif == FULL.exif
    assert Image.open(io.BytesIO(data)).getexif()[0x0112] == 6
    # what was read from one PNG file is written to the next just so
    assert read(io.BytesIO(file_bytes(again, ".png", "y.png"))).metadata == again.metadata


@pytest.mark.parametrize(
    ("suffix", "without"),
    [
        (".tif", ["EXIF", "text", "gamma"]),  # of EXIF only the orientation
        (".webp", ["text", "resolution", "gamma"]),
        (".bmp", ["ICC profile", "EXIF", "XMP", "text", "gamma"]),
        (".ppm", ["ICC profile", "EXIF", "XMP", "text", "resolution", "gamma"]),
    ],
)
def test_other_formats_keep_what_they_hold_and_we_say_what_is_lost(suffix: str, without: list[str]) -> None:
    picture = replace(RGB, metadata=FULL)
    data = file_bytes(picture, suffix, "x" + suffix)
    assert read(io.BytesIO(data)).same_as(RGB)
    assert lost_metadata(picture, io.BytesIO(data)) == without


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_metadata_survive_a_file_of_the_same_format(suffix: str) -> None:
    first = read(io.BytesIO(file_bytes(replace(RGB, metadata=FULL), suffix, "x")))
    assert first.metadata != NO_METADATA
    assert lost_metadata(first, io.BytesIO(file_bytes(first, suffix, "y"))) == []


def test_a_jpegs_metadata_are_read() -> None:
    out = io.BytesIO()
    Image.fromarray(RGB.pixels).save(out, "JPEG", exif=b"Exif\0\0" + FULL.exif, dpi=(300, 300), comment=b"caf\xe9")
    found = read(out).metadata
    assert (found.exif, found.resolution, found.text) == (FULL.exif, (3_000_000, 3_000_000), (("Comment", "café"),))


def test_pixels_come_back_even_where_metadata_cannot_be_written() -> None:
    picture = replace(RGB, metadata=Metadata(text=(("a" * 100, "too long a key for PNG"), ("", "")), xmp=b"\xff"))
    data = file_bytes(picture, ".png", "x.png")
    assert read(io.BytesIO(data)).same_as(RGB)


def test_strip_does_not_look_at_damaged_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(image: object) -> Metadata:
        raise SyntaxError("broken tag")

    monkeypatch.setattr("bbcompress.images.metadata.of_image", broken)
    with pytest.raises(ImageError, match="--strip"):
        read(io.BytesIO(png()), "x.png")
    assert read(io.BytesIO(png()), strip=True).metadata == NO_METADATA


# --- our files --------------------------------------------------------------------------------------------------


def test_single_files_keep_metadata() -> None:
    bare, _ = compress_single(RGB, Registry(), Options())
    data, _ = compress_single(replace(RGB, metadata=FULL), Registry(), Options())
    (item,) = Archive(data).decode(Registry())
    assert item.picture.same_as(RGB)
    assert item.picture.metadata == FULL
    (item,) = Archive(bare).decode(Registry())
    assert item.picture.metadata == NO_METADATA
    small = Metadata(resolution=(720_090, 720_090))
    assert len(compress_single(replace(RGB, metadata=small), Registry(), Options())[0]) <= len(bare) + 16


def test_archives_keep_metadata() -> None:
    some = {"a.png": FULL, "b.png": NO_METADATA, "c.png": FULL, "d.png": Metadata(text=(("k", "v"),))}
    pictures = [(name, replace(RGB, metadata=one)) for name, one in some.items()]
    data, _ = compress_archive(pictures, Registry(), Options())
    archive = Archive(data)
    assert sorted(archive.metadata) == [0, 2, 3]
    assert {item.name: item.picture.metadata for item in archive.decode(Registry())} == some
    # the second profile costs next to nothing
    once, _ = compress_archive([pictures[1], pictures[2]], Registry(), Options())
    twice, _ = compress_archive([pictures[0], pictures[2]], Registry(), Options())
    assert len(twice) < len(once) + 100


def test_damaged_metadata_do_not_take_the_pictures_with_them() -> None:
    random_text = Metadata(text=(("key", "".join(map(str, range(300)))),))
    data, _ = compress_archive([("a.png", replace(RGB, metadata=random_text))], Registry(), Options())
    packed = pack_metadata({0: random_text})
    place = data.index(packed) + len(packed) // 2
    damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    with pytest.raises(DamagedArchive):
        Archive(damaged)
    archive = Archive(damaged, recover=True)
    (item,) = archive.decode(Registry())
    assert item.picture.same_as(RGB)
    assert (item.name, item.picture.metadata) == ("a.png", NO_METADATA)
    assert len(archive.damage) == 1


def test_from_the_command_line(tmp_path: Path) -> None:
    run = CliRunner().invoke
    info = PngInfo()
    info.add_text("Title", "Ein Bild")
    (tmp_path / "a.png").write_bytes(png(dpi=(300, 300), pnginfo=info, icc_profile=FULL.icc))
    source = read(tmp_path / "a.png").metadata
    assert source.text and source.icc and source.resolution
    for options, expected in ((["-q"], source), (["-q", "--strip", "-f"], NO_METADATA)):
        assert run(main, ["compress", str(tmp_path / "a.png"), *options]).exit_code == 0
        assert run(main, ["decompress", str(tmp_path / "a.bb"), "-o", str(tmp_path / "b.png"), "-f"]).exit_code == 0
        assert read(tmp_path / "b.png").metadata == expected
    assert run(main, ["compress", str(tmp_path / "a.png"), "-q", "-f"]).exit_code == 0
    result = run(main, ["decompress", str(tmp_path / "a.bb"), "-o", str(tmp_path / "b.ppm")])
    assert result.exit_code == 0
    assert "without its ICC profile, text, resolution" in result.output
