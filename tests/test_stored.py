"""The stored coding: exact for every picture, never much longer than the alternatives, safe on any input."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, features

from bbcompress.images import DamagedImage, ImageError, LimitExceeded, Picture, planes, read_file
from bbcompress.images.header import MODES
from bbcompress.images.stored import decode, encode

KINDS = ("noise", "flat", "gradient", "few")


def draw(mode: str, width: int, height: int, kind: str, seed: int = 0) -> Picture:
    """A picture of random bits, of one value, of smooth ramps, or of a few values."""
    rng, layout = np.random.default_rng(seed), MODES[mode]
    shape = layout.shape(width, height)
    unsigned = layout.dtype
    if kind == "noise":
        samples = rng.integers(0, 2 ** (8 * unsigned.itemsize), shape, unsigned)
    elif kind == "flat":
        samples = np.full(shape, rng.integers(0, 256), unsigned)
    elif kind == "gradient":
        ramp = np.add.outer(np.arange(height) * 3, np.arange(width) * 5).reshape(height, width, 1)
        samples = np.broadcast_to(ramp, (height, width, layout.channels)).reshape(shape).astype(unsigned)
    else:
        samples = rng.integers(0, 3, shape).astype(unsigned) * unsigned.type(101)
    if mode == "1":
        return Picture(mode, samples & np.uint8(1))
    return Picture(mode, samples)


def check(picture: Picture) -> bytes:
    """``encode`` is undone by ``decode`` and costs at most a few bytes more than raw samples; its bytes."""
    data = encode(picture)
    assert decode(data, max_pixels=picture.width * picture.height).same_as(picture)
    raw = picture.height * -(-picture.width // 8) if picture.mode == "1" else picture.pixels.nbytes
    assert len(data) <= 1 + len(picture.header.pack()) + raw
    return data


def webp_size(picture: Picture) -> int:
    out = io.BytesIO()
    pixels = picture.pixels * np.uint8(255) if picture.mode == "1" else picture.pixels
    image = Image.fromarray(pixels).convert("RGBA" if picture.mode in ("LA", "RGBA") else "RGB")
    image.save(out, "WEBP", lossless=True, exact=True, quality=100, method=6)
    return len(out.getvalue())


# --- exactness ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_comes_back(mode: str) -> None:
    for size in ((1, 1), (70, 1), (1, 70), (17, 9)):
        for kind in KINDS:
            check(draw(mode, *size, kind))


@given(
    st.sampled_from(sorted(MODES)), st.integers(1, 70), st.integers(1, 70), st.sampled_from(KINDS), st.integers(0, 9)
)
@settings(max_examples=60, deadline=None)
def test_every_size_comes_back(mode: str, width: int, height: int, kind: str, seed: int) -> None:
    check(draw(mode, width, height, kind, seed))


def test_colours_under_zero_alpha_and_opaque_alpha_come_back() -> None:
    pixels = draw("RGBA", 40, 30, "gradient").pixels.copy()
    pixels[..., 3] = 0
    assert check(Picture("RGBA", pixels))[0] != 0
    pixels[..., 3] = 255
    assert check(Picture("RGBA", pixels))[0] != 0
    check(Picture("LA", np.ascontiguousarray(pixels[..., 2:])))


@pytest.mark.parametrize("index", range(len(planes.TRANSFORMS)))
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_every_transform_is_undone(index: int, dtype: str) -> None:
    channels = 4 if planes.TRANSFORMS[index].green else 2
    samples = np.frombuffer(np.random.default_rng(index).bytes(5 * 7 * channels * int(dtype[1])), dtype)
    samples = samples.reshape(5, 7, channels)
    packed = planes.deflate(planes._to_planes(samples, planes.TRANSFORMS[index]))
    assert np.array_equal(planes.decode(packed, index, samples.shape, samples.dtype), samples)


# --- size ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "size"), [("1", 5), ("L", 5), ("RGB", 7), ("RGBA", 8), ("L32", 8)])
def test_one_pixel_costs_a_few_bytes(mode: str, size: int) -> None:
    assert len(check(draw(mode, 1, 1, "noise"))) == size


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", KINDS)
def test_never_longer_than_webp(mode: str, kind: str) -> None:
    picture = draw(mode, 60, 50, kind)
    assert len(check(picture)) <= webp_size(picture)


def test_flat_pictures_are_tiny() -> None:
    for mode in MODES:
        assert len(check(draw(mode, 64, 64, "flat"))) < 100


# --- hostile input ------------------------------------------------------------------------------

VALID = [encode(draw(mode, 9, 6, kind)) for mode in ("1", "L", "LA", "RGB", "L16", "L32") for kind in ("noise", "few")]
VALID += [encode(draw("RGB", 30, 30, kind)) for kind in KINDS]


def decodes_or_is_damaged(data: bytes) -> None:
    try:
        picture = decode(data, max_pixels=1000)
    except DamagedImage as error:
        assert "\n" not in str(error)
    else:
        assert picture.width * picture.height <= 1000


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_random_bytes(data: bytes) -> None:
    decodes_or_is_damaged(data)


@given(st.integers(0, 11), st.integers(0, 19), st.integers(1, 40), st.integers(1, 40), st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_random_payloads(method: int, mode: int, width: int, height: int, payload: bytes) -> None:
    decodes_or_is_damaged(bytes([method, mode, width, height]) + payload)


@given(st.sampled_from(VALID), st.data())
@settings(max_examples=300, deadline=None)
def test_changed_bytes(valid: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(valid) - 1))
    value = data.draw(st.integers(0, 255))
    assume(value != valid[position])
    decodes_or_is_damaged(valid[:position] + bytes([value]) + valid[position + 1 :])


def test_the_methods_are_all_in_the_fuzzed_set() -> None:
    assert {0, 1} < {data[0] for data in VALID}


@pytest.mark.parametrize("valid", VALID)
def test_truncation(valid: bytes) -> None:
    for size in range(0, len(valid), max(len(valid) // 40, 1)):
        if valid[0] == 1:  # libwebp takes bits past the end for zeros where a few are missing
            decodes_or_is_damaged(valid[:size])
            continue
        with pytest.raises(DamagedImage):
            decode(valid[:size], max_pixels=1000)


@pytest.mark.parametrize("valid", [data for data in VALID if data[0] != 1])
def test_trailing_bytes(valid: bytes) -> None:
    with pytest.raises(DamagedImage):
        decode(valid + b"\0", max_pixels=1000)


def test_the_limit_holds_before_memory_is_taken() -> None:
    data = encode(draw("L", 40, 30, "flat"))
    assert decode(data, max_pixels=1200).width == 40
    with pytest.raises(LimitExceeded, match="40 x 30 pixels is over the limit of 1199"):
        decode(data, max_pixels=1199)
    huge = b"\xff\xff\xff\xff\x0f"
    for method in range(10):
        with pytest.raises(LimitExceeded):
            decode(bytes([method, MODES["RGB"].code]) + huge * 2 + b"payload", max_pixels=10**9)


def test_a_webp_stream_of_another_size_is_refused() -> None:
    data = encode(draw("RGB", 30, 30, "gradient"))
    small, large = b"\x1d\x1e", b"\x1f\x1e"
    for size in (small, large):
        with pytest.raises(DamagedImage):
            decode(bytes([1]) + data[1:2] + size + data[4:], max_pixels=1000)


def test_rows_must_be_padded_with_zeros() -> None:
    assert decode(bytes([0, 0, 3, 1, 0b10100000]), max_pixels=3).pixels.tolist() == [[1, 0, 1]]
    with pytest.raises(DamagedImage, match="zero bits"):
        decode(bytes([0, 0, 3, 1, 0b10110000]), max_pixels=3)


def test_without_webp(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = draw("L", 40, 30, "few")
    with_webp = encode(picture)
    assert with_webp[0] == 1
    monkeypatch.setattr(features, "check", lambda feature: False)
    assert check(picture)[0] != 1
    with pytest.raises(ImageError, match="WebP support"):
        decode(with_webp, max_pixels=1200)


# --- files of earlier releases ------------------------------------------------------------------

GOLDEN = {
    "raw": (
        "RGB",
        "000406050000000505050a0a0a0f0f0f1414141919190303030808080d0d0d1212121717171c1c1c0606060b0b0b10101015"
        "15151a1a1a1f1f1f0909090e0e0e1313131818181d1d1d2222220c0c0c1111111616161b1b1b202020252525",
    ),
    "bits": ("1", "0000060554a854a854"),
    "webp": ("RGBA", "010506052f05000110cd6544ff030adab6617a36fea03f840805691bb0b0dd990098afee1b"),
    "webp grey": ("L", "010106052f05000100cd6544ff030adab6617a36fea03f8488980064f51b"),
    "webp grey and alpha": ("LA", "010206052f05000110cd6544ff030adab6617a36fea03f840805691bb0b0dd990098afee1b"),
    "none": ("L", "020106050000018a1a2de162095ab89b9f6aa851e884535c71ad8cc9d8e7202664c2e3daf862ffffe26e0000"),
    "left": ("L16", "03070605000001c60c9aa1bca50620fe3d8d36c0aa6c57ffff9e220000"),
    "up": ("L32", "040b06050000018a1a2de16210979e810f71f68bfffff19f0000"),
    "left and up": ("L32", "050b0605000001c60c882244111990522aa7ffffa2540000"),
    "green": (
        "RGB",
        "0604060500006ea5887d85ab77cf5cc5e47fd4ebbf8a268b7dc4e8772cb3a5451ea9992baf910207852897ffffd8b60000",
    ),
    "green, left": ("RGBA", "0705060500006ea589434b386b20990237087337cbe3b0de83fffca21000"),
    "green, up": ("CMYK", "0806060500006ea5887d85ab77cf68ded6635b2d235fffffc18a0000"),
    "green, left and up": ("RGB", "0904060500006ea589434b387bc83f927525acaffffaef3000"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_old_files_are_read_forever(name: str) -> None:
    mode, stored = GOLDEN[name]
    assert decode(bytes.fromhex(stored), max_pixels=30).same_as(draw(mode, 6, 5, "gradient"))


# --- real pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["horse.png", "phantom.png", "microaneurysms.png", "text.png", "clock_motion.png"])
def test_real_pictures(name: str) -> None:
    skimage = pytest.importorskip("skimage")
    path = Path(skimage.__file__).parent / "data" / name
    if not path.exists():
        pytest.skip(f"this scikit-image does not bundle {name}")
    picture = read_file(path)
    assert isinstance(picture, Picture)
    assert len(check(picture)) < path.stat().st_size
    with Image.open(path) as image:
        assert picture.pixel_bytes() == np.asarray(image).tobytes()
