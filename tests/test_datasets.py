"""Every source gives the same arrays, and what is damaged or hostile is refused before it can do harm."""

import gzip
import io
import math
import os
import pickle
import struct
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from made_arrays import Pixels, binary_batch, gzipped, idx_bytes, npy_bytes, npz_bytes, planes, python2_batch
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from PIL import Image

from bbcompress.datasets import DatasetError, binarize, image_files, load, reading

RNG = np.random.default_rng(0)
GREY: Pixels = RNG.integers(0, 256, (3, 4, 5), np.uint8)
RGB: Pixels = RNG.integers(0, 256, (3, 4, 5, 3), np.uint8)
CIFAR: Pixels = RNG.integers(0, 256, (3, 32, 32, 3), np.uint8)


def python3_batch(data: object, protocol: int = 2) -> bytes:
    return pickle.dumps({b"labels": [1, 2], b"data": data}, protocol)


def npy_header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    npy_format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def save(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def save_image(folder: Path, name: str, pixels: NDArray[Any]) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def check(loaded: Pixels, expected: NDArray[Any]) -> None:
    assert loaded.dtype == np.uint8
    assert loaded.ndim == 4
    assert loaded.flags.c_contiguous
    np.testing.assert_array_equal(loaded, expected)


def refusal(source: Any, side: int | None = None) -> str:
    """The message of the `DatasetError` that `source` must give: one line, naming the file."""
    with pytest.raises(DatasetError) as caught:
        load(source, side)
    message = str(caught.value)
    assert "\n" not in message
    if isinstance(source, Path):
        assert str(source) in message
    return message


# --- what is read -----------------------------------------------------------------------------------------------


VALID: dict[str, tuple[str, bytes, NDArray[Any]]] = {
    "idx": ("train-images-idx3-ubyte", idx_bytes(GREY), GREY[..., None]),
    "idx of 4 dimensions": ("colour.idx", idx_bytes(RGB), RGB),
    "gzipped idx": ("train-images-idx3-ubyte.gz", gzipped(idx_bytes(GREY)), GREY[..., None]),
    "cifar-10 binary": ("data_batch_1.bin", binary_batch(CIFAR, (9,)), CIFAR),
    "cifar-100 binary": ("train.bin", binary_batch(CIFAR, (19, 99)), CIFAR),
    "cifar python 2": ("data_batch_1", python2_batch(CIFAR), CIFAR),
    "cifar python 3": ("data_batch_1", python3_batch(planes(CIFAR)), CIFAR),
    "npy grey": ("a.npy", npy_bytes(GREY), GREY[..., None]),
    "npy colour": ("a.npy", npy_bytes(RGB), RGB),
    "npy bool": ("a.npy", npy_bytes(GREY > 99), (GREY > 99)[..., None]),
    "npy fortran order": ("a.npy", npy_bytes(np.asfortranarray(RGB)), RGB),
    "npz": ("a.npz", npz_bytes(images=GREY), GREY[..., None]),
    "npz stored": ("a.npz", npz_bytes(compressed=False, images=RGB), RGB),
}


@pytest.mark.parametrize("case", VALID)
def test_file_gives_its_images(tmp_path: Path, case: str) -> None:
    name, content, expected = VALID[case]
    path = save(tmp_path, name, content)
    check(load(path), expected)
    check(load(str(path)), expected)


def test_python2_batch_is_what_pickle_reads() -> None:
    """The hand-made stream above means what the tests take it to mean."""
    contents = pickle.loads(python2_batch(CIFAR), encoding="bytes")
    np.testing.assert_array_equal(contents[b"data"], planes(CIFAR))


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_python_batch_of_any_numpy(tmp_path: Path, module: bytes) -> None:
    content = python3_batch(planes(CIFAR)).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in content
    check(load(save(tmp_path, "test_batch", content.replace(b"numpy.core.multiarray", module))), CIFAR)


@given(
    images=npst.arrays(
        np.uint8,
        st.one_of(
            st.tuples(*[st.integers(1, 4)] * 3),
            st.tuples(*[st.integers(1, 4)] * 4),
        ),
    )
)
@settings(max_examples=40, deadline=None)
def test_idx_npy_and_npz_agree(images: Pixels) -> None:
    expected = images if images.ndim == 4 else images[..., None]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check(load(save(folder, "a", idx_bytes(images))), expected)
        check(load(save(folder, "b", npy_bytes(images))), expected)
        check(load(save(folder, "c", npy_bytes(np.asfortranarray(images)))), expected)
        check(load(save(folder, "d", npz_bytes(x=images))), expected)


def test_loaded_images_can_be_changed(tmp_path: Path) -> None:
    for name, content, _ in VALID.values():
        load(save(tmp_path, name, content))[0, 0, 0, 0] = 7


@given(npst.arrays(np.uint8, (2, 3, 2, 1)))
def test_binarize_rounds_at_one_half(images: Pixels) -> None:
    binary = binarize(images)
    assert binary.dtype == np.uint8
    np.testing.assert_array_equal(binary, images / 255 >= 0.5)


def test_binarize_boundary() -> None:
    assert binarize(np.array([0, 127, 128, 255], np.uint8)).tolist() == [0, 0, 1, 1]


# --- images, lists, folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "PNG"])
@pytest.mark.parametrize(
    ("pixels", "expected"),
    [(GREY[0], GREY[:1, ..., None]), (RGB[0], RGB[:1]), (GREY[0] > 99, (GREY > 99)[:1, ..., None])],
    ids=["L", "RGB", "1"],
)
def test_image_file(tmp_path: Path, suffix: str, pixels: NDArray[Any], expected: NDArray[Any]) -> None:
    check(load(save_image(tmp_path, f"a.{suffix}", pixels)), expected)


def test_list_keeps_the_order_given(tmp_path: Path) -> None:
    paths = [save_image(tmp_path, f"{index}.png", image) for index, image in enumerate(RGB)]
    check(load(paths[::-1]), RGB[::-1])
    check(load([str(path) for path in paths]), RGB)


def test_folder_is_read_recursively_in_order_of_paths(tmp_path: Path) -> None:
    for name, image in zip(("b/a.png", "c.png", "a/z.PGM"), GREY, strict=True):
        save_image(tmp_path, name, image)
    save(tmp_path, "README.txt", b"not an image")
    check(load(tmp_path), GREY[[2, 0, 1]][..., None])


def test_squares_of_images_of_several_sizes(tmp_path: Path) -> None:
    image = RGB[0]
    side = 2
    rows, columns = image.shape[0] // side, image.shape[1] // side
    expected = [
        image[side * row : side * row + side, side * column : side * column + side]
        for row in range(rows)
        for column in range(columns)
    ]
    assert len(expected) > 1
    save_image(tmp_path, "a.png", image)
    save_image(tmp_path, "b.png", image[:1])
    save_image(tmp_path, "c.png", image[:side, :side])
    check(load(tmp_path, side), np.array([*expected, expected[0]]))
    check(load(save(tmp_path, "a.npy", npy_bytes(RGB[:1])), side), np.array(expected))


def test_squares_need_images_as_large_and_of_one_mode(tmp_path: Path) -> None:
    save_image(tmp_path, "a.png", RGB[0])
    assert "99 x 99" in refusal(tmp_path, side=99)
    assert "99 x 99" in refusal(save(tmp_path, "a.npy", npy_bytes(RGB)), side=99)
    save_image(tmp_path, "b.png", GREY[0])
    assert "b.png: is of mode L" in refusal(tmp_path, side=2)


@pytest.mark.parametrize("suffix", ["", ".bin"])
def test_folder_of_cifar_gives_the_training_batches(tmp_path: Path, suffix: str) -> None:
    for number, name in enumerate(("data_batch_2", "data_batch_1", "test_batch")):
        images = np.repeat(CIFAR[number : number + 1], 2, axis=0)
        save(tmp_path, name + suffix, binary_batch(images, (0,)) if suffix else python2_batch(images))
    save(tmp_path, "batches.meta", b"\x80\x02}.")
    check(load(tmp_path), CIFAR[[1, 1, 0, 0]])


@pytest.mark.parametrize("odd", [RGB[0], GREY[0, :3], GREY[0] > 99], ids=["mode", "size", "bilevel"])
def test_the_first_file_that_differs_is_named(tmp_path: Path, odd: NDArray[Any]) -> None:
    paths = [save_image(tmp_path, "0.png", GREY[0]), save_image(tmp_path, "1.png", GREY[1])]
    paths += [save_image(tmp_path, "2.png", odd), save_image(tmp_path, "3.png", odd)]
    message = refusal(paths)
    assert message.startswith(f"{paths[2]}: ")
    assert str(paths[0]) in message


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "I;16"])
def test_other_modes_are_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    Image.new(mode, (4, 4)).save(path)
    assert f"mode {mode}" in refusal(path)


def test_image_of_several_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pages.tiff"
    Image.fromarray(GREY[0]).save(path, save_all=True, append_images=[Image.fromarray(GREY[1])])
    assert "several frames" in refusal(path)


def test_nothing_to_read(tmp_path: Path) -> None:
    assert "no image files" in refusal(tmp_path)
    assert "no image files" in refusal([])
    assert "no such file" in refusal(tmp_path / "missing")
    assert "No such file" in refusal([tmp_path / "missing.png"])
    assert "no image" in refusal(save(tmp_path, "notes.txt", b"hello"))
    assert "no image" in refusal(save(tmp_path, "empty", b""))


def test_postscript_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RGB[0]).save(path, format="EPS")
    assert "no image" in refusal(path)


def test_images_too_large_together_are_refused_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [save_image(tmp_path, f"{index}.png", image) for index, image in enumerate(RGB)]
    monkeypatch.setattr(image_files, "MAX_UNPACKED_BYTES", RGB.nbytes)
    check(load(paths), RGB)
    monkeypatch.setattr(image_files, "MAX_UNPACKED_BYTES", RGB.nbytes - 1)
    assert "more than" in refusal(paths)


# --- damage and hostile headers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", VALID)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_truncated_file_is_refused(case: str, data: st.DataObject) -> None:
    name, content, _ = VALID[case]
    length = data.draw(st.integers(0, len(content) - 1))
    if "binary" in case:
        assume(length % 3073 and length % 3074)  # Whole rows are a batch of fewer images.
    with tempfile.TemporaryDirectory() as folder:
        refusal(save(Path(folder), name, content[:length]))


@pytest.mark.parametrize("case", [case for case in VALID if "python" not in case])
def test_bytes_left_over_are_refused(tmp_path: Path, case: str) -> None:
    name, content, _ = VALID[case]
    if name.endswith(".gz"):
        content = gzipped(gzip.decompress(content) + b"\0")
    elif name.endswith(".npz"):
        member = npy_bytes(GREY) + b"\0"
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("images.npy", member)
        content = stream.getvalue()
    else:
        content += b"\0"
    refusal(save(tmp_path, name, content))


@pytest.mark.parametrize("case", VALID)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_damaged_file_gives_images_or_one_clear_line(case: str, data: st.DataObject) -> None:
    name, content, _ = VALID[case]
    damaged = bytearray(content)
    # Most positions are pixels, where damage cannot be noticed: prefer the headers.
    position = data.draw(st.one_of(st.integers(0, min(200, len(content) - 1)), st.integers(0, len(content) - 1)))
    damaged[position] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = save(Path(folder), name, bytes(damaged))
        try:
            images = load(path)
        except DatasetError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        else:
            assert images.ndim == 4 and images.dtype == np.uint8 and 0 < images.shape[3] <= 4


def test_any_failure_becomes_one_short_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught, reading.naming(tmp_path):
        raise RuntimeError("several\nlines " * 1000)
    assert str(caught.value).startswith(f"{tmp_path}: ")
    assert "RuntimeError: several lines several" in str(caught.value)
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


@pytest.mark.parametrize("position", [-1, -5], ids=["length", "crc"])
def test_gzip_checksum_is_checked(tmp_path: Path, position: int) -> None:
    damaged = bytearray(gzipped(idx_bytes(GREY)))
    damaged[position] ^= 1
    refusal(save(tmp_path, "a.gz", bytes(damaged)))


def test_npz_checksum_is_checked(tmp_path: Path) -> None:
    content = bytearray(npz_bytes(compressed=False, images=RGB))
    content[content.index(RGB.tobytes()) + 5] ^= 1
    assert "CRC" in refusal(save(tmp_path, "a.npz", bytes(content)))


HUGE = (65_000, 200, 200)


def zip_of(header: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", header + b"\0" * 1000)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.idx", bytes([0, 0, 8, 3]) + struct.pack(">3I", *HUGE) + bytes(1000)),
        ("a.gz", gzipped(bytes([0, 0, 8, 3]) + struct.pack(">3I", *HUGE) + bytes(1000))),
        ("a.gz", gzipped(bytes([0, 0, 8, 3]) + struct.pack(">3I", *[0xFFFFFFFF] * 3) + bytes(1000))),
        ("a.npy", npy_header(HUGE) + bytes(1000)),
        ("a.npz", zip_of(npy_header(HUGE))),
    ],
    ids=["idx", "gzip", "gzip over the limit", "npy", "npz"],
)
def test_a_huge_declared_size_takes_no_memory(tmp_path: Path, name: str, content: bytes) -> None:
    path = save(tmp_path, name, content)
    tracemalloc.start()
    try:
        assert "declares" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < math.prod(HUGE) / 100
    finally:
        tracemalloc.stop()


def test_gzip_bomb_is_not_unpacked_beyond_what_it_declares(tmp_path: Path) -> None:
    path = save(tmp_path, "a.gz", gzipped(idx_bytes(GREY) + bytes(50_000_000)))
    tracemalloc.start()
    try:
        assert "holds more" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_unpacked_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, "a.gz", gzipped(idx_bytes(GREY)))
    monkeypatch.setattr("bbcompress.datasets.MAX_UNPACKED_BYTES", GREY.size)
    check(load(path), GREY[..., None])
    monkeypatch.setattr("bbcompress.datasets.MAX_UNPACKED_BYTES", GREY.size - 1)
    assert "too large" in refusal(path)
    assert reading.MAX_UNPACKED_BYTES >= 1_281_167 * 32 * 32 * 3, "ImageNet at 32 x 32 must fit"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("labels-idx1-ubyte", idx_bytes(np.zeros(9, np.uint8)), "labels"),
        ("labels.gz", gzipped(idx_bytes(np.zeros(9, np.uint8))), "labels"),
        ("matrix.idx", idx_bytes(np.zeros((3, 3), np.uint8)), "2 dimensions"),
        ("float.idx", bytes([0, 0, 13, 3]) + bytes(12), "0x0d"),
        ("empty.idx", idx_bytes(np.zeros((0, 3, 3), np.uint8)), "no pixels"),
        ("other.tar.gz", gzipped(b"something else"), "unpack"),
        ("a.npy", npy_bytes(GREY.astype(np.float32)), "float32"),
        ("a.npy", npy_bytes(GREY.astype(np.int8)), "int8"),
        ("a.npy", npy_bytes(np.zeros((3, 3), np.uint8)), "2 dimensions"),
        ("a.npy", npy_bytes(np.zeros((2, 3, 8, 8), np.uint8)), "8 channels"),
        ("a.npy", npy_bytes(np.zeros((0, 8, 8), np.uint8)), "no pixels"),
        ("a.npy", b"\x93NUMPY\x02\x00" + npy_bytes(GREY)[8:], "numpy.save"),
        ("a.npz", npz_bytes(images=GREY, labels=GREY), "images, labels"),
        ("a.bin", binary_batch(CIFAR, (10,)), "binary batch"),
        ("a.bin", binary_batch(CIFAR, (20, 0)), "binary batch"),
        ("a.bin", b"", "binary batch"),
        ("a.bin", bytes(5000), "binary batch"),
    ],
)
def test_what_is_not_images_is_refused(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    assert expected in refusal(save(tmp_path, name, content))


def test_bool_bytes_are_normalised(tmp_path: Path) -> None:
    content = npy_bytes(np.ones((1, 1, 4), np.bool_))
    check(load(save(tmp_path, "a.npy", content[:-4] + b"\0\1\2\xff")), np.array([0, 1, 1, 1]).reshape(1, 1, 4, 1))


def test_npz_methods_that_unpack_without_bound_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("images.npy", npy_bytes(GREY))
    assert "method" in refusal(path)


# --- pickles that are not CIFAR ---------------------------------------------------------------------------------


class Malicious:
    """Unpickling this calls `call`."""

    def __init__(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.reduced = (call, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.reduced


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("whole", [True, False], ids=["alone", "in a batch"])
def test_malicious_pickle_runs_nothing(tmp_path: Path, protocol: int, whole: bool) -> None:
    marker = tmp_path / "marker"
    for call, arguments in ((os.system, (f"echo > {marker}",)), (open, (str(marker), "w")), (os.mkdir, (str(marker),))):
        attack = Malicious(call, arguments)
        batch = pickle.dumps(attack, protocol) if whole else python3_batch([attack, planes(CIFAR)], protocol)
        refusal(save(tmp_path, "data_batch_1", batch))
        assert not marker.exists()
    pickle.loads(batch)
    assert marker.exists(), "the attack must be a real one"


def test_the_call_that_a_pickle_asks_for_is_named(tmp_path: Path) -> None:
    batch = python3_batch(Malicious(os.mkdir, ("x",)))
    assert "mkdir" in refusal(save(tmp_path, "data_batch_1", batch))


@pytest.mark.parametrize(
    "data",
    [
        planes(CIFAR).astype(np.int8),
        planes(CIFAR)[:, :3071],
        planes(CIFAR)[0],
        np.asfortranarray(planes(CIFAR)),
        planes(CIFAR)[:0],
        "text",
        None,
    ],
    ids=["dtype", "width", "dimensions", "order", "empty", "text", "none"],
)
def test_python_batch_with_other_data_is_refused(tmp_path: Path, data: object) -> None:
    refusal(save(tmp_path, "data_batch_1", python3_batch(data)))


def test_python_batch_of_another_length_is_refused(tmp_path: Path) -> None:
    batch = python2_batch(CIFAR)
    assert batch.count(b"K\x03M\x00\x0c\x86") == 1
    assert "uint8 array" in refusal(save(tmp_path, "a", batch.replace(b"K\x03M\x00\x0c\x86", b"K\x02M\x00\x0c\x86")))


@pytest.mark.parametrize(
    "opcodes",
    [b"N" + b"\x85" * 200_000 + b".", b"}(" + b"N" + b"\x85" * 200_000 + b"Nu.", b".", b"tu."],
    ids=["deep tuple", "deep tuple as a key", "nothing", "no mark"],
)
def test_adversarial_opcodes_are_refused(tmp_path: Path, opcodes: bytes) -> None:
    refusal(save(tmp_path, "data_batch_1", b"\x80\x02" + opcodes))


def test_opcodes_are_limited(tmp_path: Path) -> None:
    """One byte can make an object of 64, so the size of the file alone bounds memory too loosely."""
    assert "1000000 opcodes" in refusal(save(tmp_path, "data_batch_1", b"\x80\x02" + b"}" * 1_000_001 + b"."))


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_opcodes_are_refused(opcodes: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        refusal(save(Path(folder), "data_batch_1", b"\x80\x02" + opcodes))
