"""Pillow, numcodecs and Zarr read and write what is compressed."""

import io
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from helpers import FILES
from methods import cases
from PIL import Image

import bbcompress.pillow
from bbcompress.images import Picture

RNG = np.random.default_rng(0)
CHUNKS = {
    "greys": RNG.integers(0, 256, (3, 8, 9), np.uint8),
    "colours": RNG.integers(0, 256, (2, 5, 6, 3), np.uint8),
    "channel": RNG.integers(0, 256, (2, 5, 6, 1), np.uint8),
    "one": RNG.integers(0, 256, (7, 8), np.uint8),
    "colour": RNG.integers(0, 256, (7, 8, 4), np.uint8),
    "sixteen": RNG.integers(0, 1 << 12, (2, 7, 8), np.uint16),
    "bits": RNG.integers(0, 2, (2, 3, 9), np.uint8).astype(bool),
    "bits and a small side": RNG.integers(0, 2, (2, 9, 3), np.uint8).astype(bool),
    "five": RNG.integers(0, 256, (2, 2, 5, 6, 3), np.uint8),
}


def saved(image: Image.Image, **options: object) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "BB", **options)
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_pillow_images_come_back(mode: str) -> None:
    image = Image.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 900) if mode == "I;16" else None
    image = image or Image.fromarray(RNG.integers(0, 256, (7, 9, 3), np.uint8)).convert(mode)
    again = saved(image, effort=1)
    assert (again.format, again.mode, again.size, again.tobytes()) == ("BB", image.mode, image.size, image.tobytes())
    assert again.getpalette() == image.getpalette()


def test_pillow_keeps_metadata_and_knows_the_suffix(tmp_path: Path) -> None:
    image = Image.new("RGB", (5, 4), "blue")
    image.info["icc_profile"], image.info["exif"] = b"profile" * 20, b"Exif\0\0MM\0*\0\0\0\x08\0\0"
    image.save(tmp_path / "a.bb")
    with Image.open(tmp_path / "a.bb") as again:
        assert again.info["icc_profile"] == image.info["icc_profile"]
        assert again.info["exif"].endswith(b"MM\0*\0\0\0\x08\0\0")
        assert again.getpixel((0, 0)) == (0, 0, 255)


def test_archives_have_frames() -> None:
    frames = [Image.new("L", (size, 3), size) for size in (4, 5, 6)]
    file = io.BytesIO()
    frames[0].save(file, "BB", save_all=True, append_images=frames[1:], effort=1)
    image = Image.open(file)
    assert (image.n_frames, image.is_animated) == (3, True)
    for number in (2, 0, 1):
        image.seek(number)
        assert (image.tell(), image.size, image.getpixel((0, 0))) == (number, (number + 4, 3), number + 4)
    with pytest.raises(EOFError):
        image.seek(3)


def test_pillow_refuses_what_it_cannot_hold_and_what_is_damaged() -> None:
    wide = bbcompress.compress(np.zeros((3, 4, 3), np.uint16), effort=1)
    with pytest.raises(bbcompress.ImageError, match="RGB16"):
        Image.open(io.BytesIO(wide))
    with pytest.raises(bbcompress.DamagedArchive):
        Image.open(FILES / "bad-single-digest.bb")


def test_entry_points_name_the_codecs() -> None:
    pytest.importorskip("zarr")
    pytest.importorskip("numcodecs")
    project = tomllib.loads((FILES.parent.parent / "pyproject.toml").read_text("utf-8"))["project"]
    for group in ("numcodecs.codecs", "zarr.codecs"):
        module, name = project["entry-points"][group]["bbcompress"].split(":")
        assert getattr(import_module(module), name).__name__ == "ImageCodec"


@pytest.mark.parametrize("name", CHUNKS)
def test_numcodecs_codes_chunks(name: str) -> None:
    numcodecs = pytest.importorskip("numcodecs")
    from bbcompress.numcodecs import ImageCodec

    numcodecs.register_codec(ImageCodec)
    codec = numcodecs.get_codec({"id": "bbcompress", "effort": 1})
    chunk = CHUNKS[name]
    packed = codec.encode(chunk)
    assert packed.startswith(b"\xbbC")
    found = np.asarray(codec.decode(packed))
    assert found.dtype == chunk.dtype and found.tobytes() == chunk.tobytes()
    out = np.empty_like(chunk)
    assert codec.decode(packed, out=out) is out and np.array_equal(out, chunk)
    assert numcodecs.get_codec(codec.get_config()) == codec
    with pytest.raises(bbcompress.ImageError):
        codec.encode(np.zeros((2, 3, 4)))
    with pytest.raises(bbcompress.ImageError, match="order of bytes"):
        codec.encode(np.zeros((2, 3), np.dtype(np.uint16).newbyteorder()))
    with pytest.raises(bbcompress.DamagedArchive):
        codec.decode(packed[:-1])


@pytest.mark.parametrize("format", [2, 3])
@pytest.mark.parametrize("name", ["greys", "colours", "sixteen"])
def test_a_zarr_store_of_images(format: int, name: str, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    from bbcompress.numcodecs import ImageCodec as Codec
    from bbcompress.zarr import ImageCodec

    numcodecs.register_codec(Codec)
    zarr.registry.register_codec("bbcompress", ImageCodec)
    values = np.concatenate([CHUNKS[name]] * 2)
    how = {"compressors": Codec(effort=1)} if format == 2 else {"serializer": ImageCodec(effort=1), "compressors": None}
    how |= {"shape": values.shape, "chunks": (2, *values.shape[1:]), "dtype": values.dtype}
    stored = zarr.create_array(tmp_path / "a.zarr", zarr_format=format, **how)
    stored[:] = values
    again = zarr.open_array(tmp_path / "a.zarr", mode="r")
    assert np.array_equal(again[:], values) and np.array_equal(again[3], values[3])
    chunks = [path.read_bytes() for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()]
    assert sum(chunk.startswith(b"\xbbC\x11") for chunk in chunks) == -(-len(values) // 2)


def test_a_picture_of_every_method_is_read_by_pillow() -> None:
    for name in ("single-stored-webp", "single-stored-bilevel", "single-kept"):
        (item,) = cases()[name].pictures
        if isinstance(item, Picture):
            image = Image.open(io.BytesIO(cases()[name].data))
            assert np.array_equal(np.asarray(image), item.pixels)
        else:
            with pytest.raises(bbcompress.ImageError):
                Image.open(io.BytesIO(cases()[name].data))
