"""Any image comes back: random sizes, every mode, flat, noisy and smooth ones, with and without models that fit."""

import io
from typing import Any

import numpy as np
import pytest
from helpers import registry
from hypothesis import given, settings
from hypothesis import strategies as st
from made_models import make_spatial
from numpy.typing import NDArray
from PIL import Image

from bbcompress.archive.compress import Options, compress_archive, compress_single
from bbcompress.archive.read import ArchiveReader
from bbcompress.codec.model_file import save
from bbcompress.codec.registry import Registry
from bbcompress.images import Picture
from bbcompress.images.header import MODES

WEBP_EXTRA_BYTES = 32
TEXTURES = ("flat", "noise", "gradient", "few values", "grey")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Tiny models, besides the installed ones, for colour and grey pictures of any size."""
    folder = tmp_path_factory.mktemp("models")
    save(folder / "colour.safetensors", make_spatial(True))
    save(folder / "grey.safetensors", make_spatial(False, 1, 1))
    return Registry(files=sorted(folder.iterdir()))


@st.composite
def picture_of_any_kind(draw: st.DrawFn) -> Picture:
    mode, texture = draw(st.sampled_from(sorted(MODES))), draw(st.sampled_from(TEXTURES))
    height, width = (draw(st.one_of(st.just(1), st.integers(1, 70))) for _ in range(2))
    shape = MODES[mode].shape(width, height)
    pixels = texture_of(texture, shape, draw(st.integers(0, 1000)))
    if mode == "1":
        return Picture(mode, (pixels > 127).astype(np.uint8))
    return Picture(mode, pixels.astype(MODES[mode].dtype))


def texture_of(texture: str, shape: tuple[int, ...], seed: int) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    match texture:
        case "flat":
            return np.broadcast_to(random.integers(0, 256, shape[2:]), shape)
        case "noise":
            return random.integers(0, 256, shape)
        case "few values":
            return random.choice([0, 7, 255], shape)
        case "grey":
            return np.broadcast_to(random.integers(0, 256, (*shape[:2], *(1 for _ in shape[2:]))), shape)
    places = np.add.outer(np.arange(shape[0]) * 3, np.arange(shape[1]) * 2)
    return (places[..., None] + 40 * np.arange(shape[2]) if len(shape) == 3 else places) % 256


@given(picture_of_any_kind(), st.sampled_from([0, 1]))
@settings(max_examples=40)
def test_single_pictures_come_back(models: Registry, picture: Picture, steps: int) -> None:
    data, _ = compress_single(picture, models, Options(refine_steps=steps, check=False))
    (item,) = ArchiveReader(data).decode(models)
    assert item.picture.same_as(picture)


@given(st.lists(picture_of_any_kind(), max_size=6), st.sampled_from([0, 1]))
@settings(max_examples=15)
def test_archives_of_them_come_back(models: Registry, pictures: list[Picture], steps: int) -> None:
    named = {f"{number}.tif": picture for number, picture in enumerate(pictures)}
    data, _ = compress_archive(named.items(), models, Options(refine_steps=steps, check=False))
    items = {item.name: item.picture for item in ArchiveReader(data).decode(models)}
    assert items.keys() == named.keys()
    assert all(items[name].same_as(picture) for name, picture in named.items())


def webp_bytes(picture: Picture) -> int:
    out = io.BytesIO()
    Image.fromarray(picture.pixels).save(out, "WEBP", lossless=True, exact=True, quality=100)
    return len(out.getvalue())


@pytest.mark.slow
@given(picture_of_any_kind().filter(lambda picture: picture.mode in ("L", "RGB", "RGBA")))
@settings(max_examples=60)
def test_never_much_larger_than_webp(picture: Picture) -> None:
    assert len(compress_single(picture, registry(), Options())[0]) <= webp_bytes(picture) + WEBP_EXTRA_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cat", "coins"])
def test_photographs_are_never_much_larger_than_webp(name: str) -> None:
    data = pytest.importorskip("skimage.data")
    pixels = getattr(data, name)()
    picture = Picture("L" if pixels.ndim == 2 else "RGB", pixels)
    assert len(compress_single(picture, registry(), Options())[0]) <= webp_bytes(picture) + WEBP_EXTRA_BYTES
