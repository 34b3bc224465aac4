"""Pictures from files and to files: every bit comes back, and what cannot be kept is refused in one line."""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bbcompress.images import (
    ImageError,
    ImageTooLarge,
    OutputExists,
    Palette,
    Picture,
    digest,
    from_pillow,
    lossless_suffix,
    read,
    to_pillow,
    write,
)
from bbcompress.images.header import MODES, Header
from bbcompress.varint import Reader

#: Older versions read these files in other modes (which ``write`` notices) or not at all.
NEEDS_PILLOW_13 = pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="needs Pillow 13")

FULL_PALETTE = Palette("RGB", bytes(range(256)) * 3)


def noise(mode: str, width: int = 13, height: int = 7, seed: int = 0) -> Picture:
    """Random bits in every sample: for mode F this includes NaNs with payloads."""
    rng, layout = np.random.default_rng(seed), MODES[mode]
    shape = layout.shape(width, height)
    if mode == "1":
        return Picture(mode, rng.integers(0, 2, shape, np.uint8))
    pixels = np.frombuffer(rng.bytes(int(np.prod(shape)) * layout.dtype.itemsize), layout.dtype).reshape(shape)
    return Picture(mode, pixels, FULL_PALETTE if mode in ("P", "PA") else None)


def png(bits: int, colour: int, row: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG of one row of one pixel, made by hand for what Pillow does not write."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, bits, colour, 0, 0, 0)), *extra]
    chunks += [(b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    body = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def saved(picture: Picture, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    to_pillow(picture).save(out, form, **options)
    return out.getvalue()


def refusal(data: bytes, kind: type[ImageError] = ImageError) -> str:
    """The message with which ``read`` refuses ``data``: one line that names the file."""
    with pytest.raises(kind) as caught:
        read(io.BytesIO(data), "holiday.xyz")
    message = str(caught.value)
    assert message.startswith("holiday.xyz: ")
    assert "\n" not in message
    return message


# --- pictures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_goes_through_pillow(mode: str) -> None:
    for size in ((1, 1), (70, 1), (1, 70), (9, 5)):
        picture = noise(mode, *size)
        image = to_pillow(picture)
        assert (image.mode, image.size) == (mode, size)
        assert from_pillow(image).same_as(picture)


@given(st.sampled_from(sorted(MODES)), st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_size_goes_through_pillow(mode: str, width: int, height: int, seed: int) -> None:
    picture = noise(mode, width, height, seed)
    assert from_pillow(to_pillow(picture)).same_as(picture)


PALETTES = [("RGB", 256), ("RGB", 3), ("RGB", 0), ("RGBA", 5), pytest.param("CMYK", 9, marks=NEEDS_PILLOW_13)]


@pytest.mark.parametrize("mode", ["P", "PA"])
@pytest.mark.parametrize(("palette_mode", "entries"), PALETTES)
def test_palettes_go_through_pillow(mode: str, palette_mode: str, entries: int) -> None:
    colours = np.random.default_rng(0).bytes(len(palette_mode) * entries)
    picture = replace(noise(mode), palette=Palette(palette_mode, colours))
    assert from_pillow(to_pillow(picture)).same_as(picture)


def test_nan_payloads_and_signed_zeros_are_compared_by_bit() -> None:
    bits = np.array([[0x7FC00001, 0x7F800001, 0xFFC12345, 0x80000000]], np.uint32)
    picture = Picture("F", bits.view(np.float32))
    assert from_pillow(to_pillow(picture)).same_as(picture)
    assert not picture.same_as(Picture("F", (bits ^ 1).view(np.float32)))
    zero = np.zeros((1, 1), np.float32)
    assert not Picture("F", zero).same_as(Picture("F", -zero))


def test_pixel_bytes_are_little_endian_rows() -> None:
    assert Picture("I;16B", np.array([[1, 0x203]], np.uint16)).pixel_bytes() == b"\1\0\3\2"
    assert Picture("I", np.array([[-2]], np.int32)).pixel_bytes() == b"\xfe\xff\xff\xff"
    assert Picture("1", np.array([[1, 0], [0, 1]], np.uint8)).pixel_bytes() == b"\1\0\0\1"
    transposed = np.arange(12, dtype=np.uint8).reshape(2, 2, 3).transpose(1, 0, 2)
    assert Picture("RGB", transposed).pixel_bytes() == bytes([0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11])


def test_digest_tells_apart_everything_that_same_as_does() -> None:
    flat = Picture("L", np.zeros((2, 3), np.uint8))
    indexed = Picture("P", flat.pixels, Palette("RGB", b"abc"))
    others = [
        flat,
        Picture("L", np.zeros((3, 2), np.uint8)),
        Picture("L", flat.pixels + np.uint8(1)),
        Picture("1", flat.pixels),
        replace(flat, transparency=0),
        replace(flat, transparency=b"\0"),
        replace(flat, transparency=(0,)),
        indexed,
        replace(indexed, palette=Palette("RGB", b"abcabc")),
        replace(indexed, palette=Palette("RGBA", b"abca")),
        replace(indexed, transparency=b"\0"),
    ]
    assert len({digest(p) for p in others}) == len(others)
    for a in others:
        for b in others:
            assert a.same_as(b) == (a is b) == (digest(a) == digest(b))


def test_digest_is_fixed_forever() -> None:
    picture = Picture("P", np.array([[0, 1, 2]], np.uint8), Palette("RGB", bytes(range(9))), b"\xff\x80\0")
    assert digest(picture).hex() == "a8517e7a3d09f69097b9fadd2a225816a11086ca258e9f14d2a148ad8f80f0e2"
    assert digest(noise("F", 3, 2)) == digest(noise("F", 3, 2))
    grey = Picture("I;16", np.array([[1, 500]], np.uint16), None, 500)
    assert digest(grey).hex() == "b930e18218838a25973ec9f3a9a8897d27c1905c6ad8875c2df9b1c9852988e3"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transparency", [None, 0, 65535, b"", b"\0" * 256, (1, 2, 65535)])
def test_headers_come_back(mode: str, transparency: int | bytes | tuple[int, ...] | None) -> None:
    header = replace(noise(mode, 300, 1), transparency=transparency).header
    reader = Reader(header.pack() + b"tail")
    assert Header.unpack(reader, limit_pixels=300) == header
    assert reader.rest() == b"tail"


@pytest.mark.parametrize(
    ("mode", "pixels", "palette", "transparency"),
    [
        ("XYZ", np.zeros((1, 1), np.uint8), None, None),
        ("L", np.zeros((1, 1), np.uint16), None, None),
        ("L", np.zeros((1, 1, 1), np.uint8), None, None),
        ("L", np.zeros((0, 1), np.uint8), None, None),
        ("L", np.zeros(3, np.uint8), None, None),
        ("RGB", np.zeros((2, 2, 4), np.uint8), None, None),
        ("1", np.full((1, 1), 255, np.uint8), None, None),
        ("P", np.zeros((1, 1), np.uint8), None, None),
        ("L", np.zeros((1, 1), np.uint8), FULL_PALETTE, None),
        ("P", np.zeros((1, 1), np.uint8), Palette("RGB", b"ab"), None),
        ("P", np.zeros((1, 1), np.uint8), Palette("RGB", bytes(771)), None),
        ("P", np.zeros((1, 1), np.uint8), Palette("XYZ", b"abc"), None),
        ("L", np.zeros((1, 1), np.uint8), None, -1),
        ("L", np.zeros((1, 1), np.uint8), None, 65536),
        ("L", np.zeros((1, 1), np.uint8), None, (70000,)),
        ("L", np.zeros((1, 1), np.uint8), None, "red"),
    ],
)
def test_pictures_that_cannot_be_are_refused(mode, pixels, palette, transparency) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError):
        Picture(mode, pixels, palette, transparency)


# --- files ------------------------------------------------------------------------------------

HELD = [
    *((mode, ".png") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *((mode, ".tif") for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "LAB")),
    *(pytest.param(mode, ".tif", marks=NEEDS_PILLOW_13) for mode in ("La", "YCbCr")),
    *((mode, ".TIFF") for mode in ("I", "I;16", "I;16B", "F")),
    *((mode, ".bmp") for mode in ("1", "L", "P", "RGB")),
    *((mode, ".webp") for mode in ("RGB", "RGBA")),
    ("RGB", ".ppm"),
    ("L", ".pgm"),
    ("1", ".pbm"),
]


@pytest.mark.parametrize(("mode", "suffix"), HELD)
def test_files_hold_pictures_exactly(tmp_path: Path, mode: str, suffix: str) -> None:
    for size in ((1, 1), (13, 7)):
        picture = noise(mode, *size)
        path = tmp_path / f"{size}{suffix}"
        write(picture, path)
        assert read(path).same_as(picture)
        with open(path, "rb") as file:
            assert read(file, "x").same_as(picture)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "PA", "CMYK", "LAB", "I;16B", "I", "F"])
def test_the_default_suffix_holds_the_picture(tmp_path: Path, mode: str) -> None:
    picture = noise(mode)
    suffix = lossless_suffix(picture)
    assert suffix == (".png" if (mode, ".png") in HELD else ".tif")
    write(picture, tmp_path / f"x{suffix}")
    assert read(tmp_path / f"x{suffix}").same_as(picture)


def indices(largest: int) -> np.ndarray:
    return np.array([[0, largest]], np.uint8)


@pytest.mark.parametrize(
    ("picture", "suffix"),
    [
        (Picture("P", indices(2), Palette("RGB", b"abcdefghi")), ".png"),
        (Picture("P", indices(2), Palette("RGB", b"abcdefghi"), b"\x80\0"), ".png"),
        (Picture("P", indices(2), Palette("RGB", b"abcdefghi"), 1), ".png"),
        (Picture("P", indices(200), Palette("RGB", b"abc" * 20)), ".png"),
        (Picture("P", indices(200), Palette("RGB", b"abcdefghi")), ".bmp"),
        (Picture("L", indices(200), None, 200), ".png"),
        (Picture("1", indices(1), None, 255), ".png"),
        (Picture("I;16", np.array([[1, 500]], np.uint16), None, 500), ".png"),
        (Picture("RGB", np.zeros((1, 1, 3), np.uint8), None, (0, 1, 65535)), ".png"),
    ],
)
def test_palettes_and_transparency_are_kept(tmp_path: Path, picture: Picture, suffix: str) -> None:
    assert lossless_suffix(picture) == suffix
    write(picture, tmp_path / f"x{suffix}")
    assert read(tmp_path / f"x{suffix}").same_as(picture)


@NEEDS_PILLOW_13
def test_alpha_in_a_palette_is_kept_as_png_spells_it(tmp_path: Path) -> None:
    # A TGA of one pixel whose colour map has 32 bits an entry (BGRA).
    tga = struct.pack("<BBBHHBHHHHBB", 0, 1, 1, 0, 2, 32, 0, 0, 1, 1, 8, 0x20) + b"bgr\x80BGR\xff" + b"\1"
    picture = read(io.BytesIO(tga))
    assert picture.palette == Palette("RGB", b"rgbRGB")
    assert picture.transparency == b"\x80\xff"
    write(picture, tmp_path / "x.png")
    assert read(tmp_path / "x.png").same_as(picture)
    write(Picture("P", picture.pixels, Palette("RGBA", b"rgb\x80RGB\xff")), tmp_path / "y.png")
    assert read(tmp_path / "y.png").same_as(picture)


@pytest.mark.parametrize(
    ("picture", "suffix", "better"),
    [
        (noise("RGB"), ".jpg", ".png"),
        (noise("RGB"), ".gif", ".png"),
        (noise("RGB"), "", ".png"),
        (noise("CMYK"), ".png", ".tif"),
        (noise("I"), ".png", ".tif"),
        (noise("I;16B"), ".png", ".tif"),
        (noise("F"), ".bmp", ".tif"),
        (noise("RGBA"), ".bmp", ".png"),
        (replace(noise("RGB"), transparency=(1, 2, 3)), ".tif", ".png"),
        (replace(noise("P"), palette=Palette("RGB", b"abc" * 20)), ".tif", ".png"),
        (Picture("RGBA", np.full((2, 2, 4), 255, np.uint8)), ".webp", ".png"),
        (Picture("RGB", np.zeros((1, 16384, 3), np.uint8)), ".webp", ".png"),
    ],
)
def test_formats_that_would_lose_data_are_refused(tmp_path: Path, picture: Picture, suffix: str, better: str) -> None:
    path = tmp_path / f"photo{suffix}"
    with pytest.raises(ImageError, match=rf"photo{suffix}: would lose data .*; use {better}$"):
        write(picture, path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["HSV", "RGBa", "RGBX", "I;16N"])
def test_modes_of_no_file_are_refused(tmp_path: Path, mode: str) -> None:
    with pytest.raises(ImageError, match=f"of mode {mode}; convert"):
        lossless_suffix(noise(mode))
    with pytest.raises(ImageError, match=r"x\.png: no file format"):
        write(noise(mode), tmp_path / "x.png")


def test_existing_files_stay_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    write(noise("L"), path)
    before = path.read_bytes()
    with pytest.raises(OutputExists, match="already exists") as caught:
        write(noise("RGB"), path)
    assert isinstance(caught.value, (ImageError, FileExistsError))
    assert path.read_bytes() == before
    write(noise("RGB"), path, overwrite=True)
    assert read(path).same_as(noise("RGB"))


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"before")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ImageError, match=r"x\.png: cannot be written: No space left"):
        write(noise("L"), path, overwrite=True)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x.png", b"before")]
    with pytest.raises(ImageError, match="no such folder"):
        write(noise("L"), tmp_path / "nowhere" / "x.png")


def test_output_obeys_the_umask(tmp_path: Path) -> None:
    write(noise("L"), tmp_path / "x.png")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "x.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_pipe_will_do() -> None:
    ends = os.pipe()
    with open(ends[1], "wb") as writer:
        writer.write(saved(noise("RGB"), "PNG"))
    with open(ends[0], "rb") as reader:
        assert read(reader).same_as(noise("RGB"))


def test_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = read(io.BytesIO(saved(noise("L", 8, 24), "JPEG", exif=exif)))
    assert (picture.width, picture.height) == (8, 24)


# --- files that are refused ---------------------------------------------------------------------


def test_not_an_image() -> None:
    for data in (b"", b"hello", bytes(1000)):
        assert "not an image" in refusal(data)
    with pytest.raises(ImageError, match=r"^no/such/file\.png: cannot be read: No such file"):
        read("no/such/file.png")
    with pytest.raises(ImageError, match="cannot be read: "):
        read(Path(__file__).parent)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM"])
def test_truncated_files(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = saved(noise("RGB", 60, 50), form)
    for size in (len(data) // 4, len(data) // 2, len(data) - 40):
        refusal(data[:size])
    assert capfd.readouterr() == ("", "")


def test_damage_is_reported_once_and_without_noise(capfd: pytest.CaptureFixture[str]) -> None:
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        data = bytearray(saved(noise("RGB", 40, 30), "TIFF", compression=compression))
        data[20:2000:3] = bytes(len(data[20:2000:3]))
        assert "damaged or truncated" in refusal(bytes(data))
    assert capfd.readouterr() == ("", "")
    os.write(2, b"stderr is back")
    assert capfd.readouterr().err == "stderr is back"


@pytest.mark.parametrize("form", ["GIF", "TIFF", "PNG", "WEBP"])
def test_several_frames(form: str) -> None:
    frames = [to_pillow(noise("L", seed=seed)) for seed in range(3)]
    data = saved(noise("L"), form, save_all=True, append_images=frames[1:])
    assert "3 frames" in refusal(data)


def test_icons_of_several_sizes() -> None:
    square = noise("RGBA", 48, 48)
    assert "2 frames, pages or sizes" in refusal(saved(square, "ICO", sizes=[(16, 16), (48, 48)]))
    assert read(io.BytesIO(saved(square, "ICO", sizes=[(48, 48)]))).same_as(square)


@pytest.mark.parametrize(
    "data",
    [
        png(16, 2, b"abcdef"),
        png(16, 4, b"abcd"),
        png(16, 6, b"abcdefgh"),
        b"P6 1 1 65535\nabcdef",
        b"P3 1 1 1000\n1 2 999",
        saved(noise("RGB"), "SGI", bpc=2),
        saved(noise("L"), "SGI", bpc=2),
    ],
)
def test_more_than_8_bits_a_channel(data: bytes) -> None:
    assert "deeper than 8 bits" in refusal(data)


def test_16_bits_of_grey_and_packed_colours_are_fine() -> None:
    grey = read(io.BytesIO(png(16, 0, b"ab", (b"tRNS", b"cd"))))
    assert grey.same_as(Picture("I;16", np.array([[0x6162]], np.uint16), None, 0x6364))
    assert read(io.BytesIO(b"P5 1 1 65535\nab")).same_as(Picture("I", np.array([[0x6162]], np.int32)))
    bitmap = struct.pack("<2sIIIIiiHHIIIIII3I", b"BM", 70, 0, 66, 40, 1, 1, 1, 16, 3, 4, 0, 0, 0, 0, 63488, 2016, 31)
    assert read(io.BytesIO(bitmap + bytes(4))).same_as(Picture("RGB", np.zeros((1, 1, 3), np.uint8)))


@pytest.mark.parametrize(("meaning", "words"), [(0, "extra channels"), (1, "multiplied by alpha")])
def test_tiff_channels_that_pillow_changes(meaning: int, words: str) -> None:
    extra_samples = struct.pack("<HHIH", 338, 3, 1, 2)
    data = saved(noise("RGBA"), "TIFF")
    assert data.count(extra_samples) == 1
    assert words in refusal(data.replace(extra_samples, struct.pack("<HHIH", 338, 3, 1, meaning)))


def test_drawings() -> None:
    assert "EPS is a drawing" in refusal(saved(noise("L"), "EPS"))


def test_bombs(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    data = saved(noise("L", 20, 10), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)  # Pillow only warns up to twice its limit
    assert read(io.BytesIO(data)).same_as(noise("L", 20, 10))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    assert "more pixels than the limit" in refusal(data, ImageTooLarge)
    assert len(recwarn) == 0


def test_real_pictures(tmp_path: Path) -> None:
    skimage = pytest.importorskip("skimage")
    folder = Path(skimage.__file__).parent / "data"
    names = ["camera.png", "chelsea.png", "logo.png", "horse.png", "phantom.png", "rocket.jpg", "microaneurysms.png"]
    for path in filter(Path.exists, (folder / name for name in names)):
        picture = read(path)
        with Image.open(path) as image:
            assert picture.pixel_bytes() == image.tobytes()
        for suffix in (lossless_suffix(picture), ".tif"):
            write(picture, tmp_path / f"{path.stem}{suffix}")
            assert read(tmp_path / f"{path.stem}{suffix}").same_as(picture)
