"""Files of arrays: taken apart into pictures, in archives, and the same files again."""

import io
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from helpers import grey_digits, little_memory, paper_models, registry, rgb, thumbnails, write
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from made_arrays import binary_batch, gzipped, idx_bytes, npy_bytes, npz_bytes, python2_batch
from numpy.typing import NDArray

import bbcompress
from bbcompress.archive.arrays import Array, ArrayPixels, array_inputs
from bbcompress.archive.compress import Options, compress_single, write_archive
from bbcompress.archive.encode_job import Encoded, encode_job
from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.jobs import Job
from bbcompress.archive.metadata import pack_metadata
from bbcompress.archive.payload import Stored, pictures_digest
from bbcompress.archive.read import ArchiveReader
from bbcompress.archive.single import pack_single
from bbcompress.cli import main
from bbcompress.cli.inputs import listed_images
from bbcompress.cli.reading import Reading, inputs, sent
from bbcompress.images import KeptFile, Picture, file_bytes, read, stored
from bbcompress.images.arrays import deflated, files
from bbcompress.images.arrays.spans import ArrayFile, Span, read_picture
from bbcompress.images.errors import DamagedImage, NotWhole
from bbcompress.images.header import Header
from bbcompress.images.metadata import Format, Metadata
from bbcompress.varint import Malformed

COLOUR = np.stack([picture.pixels for picture in thumbnails(3)])
GREY = np.concatenate([COLOUR[:, :12, :15, 1], COLOUR[:, 20:, 17:, 1]])
BINARY = np.random.default_rng(0).integers(0, 2, (4, 5, 6)).astype(bool)
DIGITS = np.stack([picture.pixels for picture in grey_digits(40)])
LABELS = np.arange(40)
FILES = {
    "grey.npy": npy_bytes(GREY),
    "in/binary.npy": npy_bytes(BINARY),
    "sixteen.npy": npy_bytes((GREY.astype(np.uint16) << 3).astype(">u2")),
    "planes.npy": npy_bytes(COLOUR.transpose(0, 3, 1, 2)),
    "in/digits-idx3-ubyte": idx_bytes(GREY),
    "digits-idx3-ubyte.gz": gzipped(idx_bytes(GREY)),
    "stored.npz": npz_bytes(False, x=GREY, y=LABELS),
    "deflated.npz": npz_bytes(x=GREY, y=LABELS, z=COLOUR),
    "data_batch_1.bin": binary_batch(COLOUR, (7,)),
    "train.bin": binary_batch(COLOUR, (19, 99)),
    "data_batch_2": python2_batch(COLOUR),
}


QUICK = ["--effort", 1, "--pixels", "--segment-size", 1 << 12]
"""Options: so all are coded as pictures, small as they are."""


def bbc(*arguments: object, code: int = 0) -> Result:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done


def taken_apart(data: bytes, name: str = "") -> tuple[ArrayFile, list[Picture]]:
    array, unpacked = files.take_apart(io.BytesIO(data), name, io.BytesIO)
    places = ((span, number) for span in array.spans for number in range(span.pictures))
    return array, [read_picture(unpacked, span, number) for span, number in places]


def made(array: ArrayFile, pictures: list[Picture]) -> bytes:
    out, spans = io.BytesIO(), [span for span in array.spans for _ in range(span.pictures)]
    files.write(array, [span.samples(one) for span, one in zip(spans, pictures, strict=True)], out, io.BytesIO)
    return out.getvalue()


def in_grey(picture: Picture) -> Picture:
    return Picture("L", np.ascontiguousarray(picture.pixels[..., 1]))


def put(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, and other files, in one archive."""
    folder = put(tmp_path_factory.mktemp("arrays") / "in", FILES)
    write(rgb(), folder / "a.png")
    bbc("compress", folder, "-o", folder.parent / "a.bb", "-q", "-T1", *QUICK)
    return folder.parent / "a.bb"


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_its_pictures_and_a_rest(name: str) -> None:
    array, pictures = taken_apart(FILES[name], name)
    assert ArrayFile.unpack(array.pack()) == array
    assert made(array, pictures) == FILES[name]
    assert len(pictures) == array.pictures > 1
    assert len(array.rest) < 1400


def test_what_the_pictures_are() -> None:
    for name in ("data_batch_1.bin", "train.bin", "data_batch_2", "planes.npy"):
        for picture, pixels in zip(taken_apart(FILES[name], name)[1], COLOUR, strict=True):
            assert picture.mode == "RGB"
            np.testing.assert_array_equal(picture.pixels, pixels)
    for name in ("grey.npy", "in/digits-idx3-ubyte", "digits-idx3-ubyte.gz", "stored.npz"):
        for picture, pixels in zip(taken_apart(FILES[name], name)[1], GREY, strict=True):
            assert picture.mode == "L"
            np.testing.assert_array_equal(picture.pixels, pixels)


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(st.sampled_from(["?", "u1", "<u2", ">u2"]), npst.array_shapes(min_dims=2, max_dims=5, max_side=4)),
    st.sampled_from(["npy", "npz", "deflated", "gzip"]),
)
def test_any_array_comes_back(array: NDArray[Any], kind: str) -> None:
    data = {
        "npy": npy_bytes(array),
        "npz": npz_bytes(False, a=array, b=array[:1]),
        "deflated": npz_bytes(a=array, b=array[:1]),
        "gzip": gzipped(npy_bytes(array)),
    }[kind]
    found, pictures = taken_apart(data, "x.npz")
    assert made(found, pictures) == data
    wanted = sum(one.size for one in ((array, array[:1]) if "np" in kind or kind == "deflated" else (array,)))
    assert sum(picture.pixels.size for picture in pictures) == (array.size if kind in ("npy", "gzip") else wanted)
    item = read(data)
    assert isinstance(item, Picture) == (len(pictures) == 1)
    assert file_bytes(item) == data


@pytest.mark.parametrize(
    ("shape", "header", "pictures"),
    [
        ((5, 6), Header("L", 6, 5), 1),
        ((5, 6, 3), Header("RGB", 6, 5), 1),
        ((5, 6, 2), Header("L", 2, 6), 5),
        ((5, 6, 1), Header("L", 6, 5), 1),
        ((7, 5, 6), Header("L", 6, 5), 7),
        ((7, 5, 6, 4), Header("RGBA", 6, 5), 7),
        ((7, 3, 5, 6), Header("RGB", 6, 5), 7),
        ((7, 2, 5, 6), Header("L", 6, 5), 14),
    ],
)
def test_shapes(shape: tuple[int, ...], header: Header, pictures: int) -> None:
    (span,) = taken_apart(npy_bytes(np.zeros(shape, np.uint8)))[0].spans
    assert (span.header, span.pictures) == (header, pictures)


def npy_of(header: str) -> bytes:
    body = header.encode().ljust(118)
    return b"\x93NUMPY\1\0" + len(body).to_bytes(2, "little") + body


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (npy_bytes(GREY.astype(np.float32)), "float32"),
        (npy_bytes(np.asfortranarray(GREY)), "Fortran"),
        (npy_bytes(LABELS.astype(np.uint8)), "shape"),
        (npy_bytes(GREY)[:-1], "damaged"),
        (npy_bytes(GREY) + b"\0", "damaged"),
        (npy_bytes(GREY)[:40], "damaged"),
        (npy_bytes(BINARY)[:-1] + b"\2", "other bytes"),
        (npy_of("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2)}"), "object"),
        (npy_of("{'descr': '|u1', 'fortran_order': False, 'shape': (2, -2)}"), ""),
        (npy_of("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 99999999)}"), ""),
        (npy_of("{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 60 + ", 1)}"), ""),
        (npy_of("(" * 110), "damaged"),
        (idx_bytes(GREY)[:-1], "not an image"),
        (b"\0\0\x08\x03" + b"\xff" * 12, ""),
        (b"\0\0\x08\xff", "not an image"),
        (gzipped(idx_bytes(GREY))[:-5], "gzip"),
        (gzipped(idx_bytes(GREY)) + b"x", "gzip"),
        (gzipped(b"text"), "not an image"),
        (b"\x1f\x8b\x08\x1c" + b"x" * 40, ""),
        (npz_bytes(x=LABELS), "without arrays"),
        (npz_bytes(x=GREY)[:-30], "ZIP"),
        (b"\x80\x02}q\x01.", "not an image"),
        (b"\x80\x02cos\nsystem\n" + bytes(4000), "not an image"),
    ],
)
def test_what_is_kept_and_why(data: bytes, reason: str) -> None:
    with little_memory(8):
        item = read(data, "x.npz")
    assert isinstance(item, KeptFile)
    assert reason in item.reason
    assert item.reason.isprintable()


def test_members_that_overlap_are_no_pictures() -> None:
    data = bytearray(npz_bytes(False, a=GREY, b=GREY))
    central = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    data[central + 42 : central + 46] = bytes(4)  # the second one's place is the first's
    assert isinstance(read(bytes(data)), KeptFile)


def test_members_before_the_file_are_no_pictures() -> None:
    """Found by mutation: a seek to before the start."""
    data = npz_bytes(False, a=GREY)
    end = data.index(b"PK\5\6")
    later = int.from_bytes(data[end + 16 : end + 20], "little") + 4
    with pytest.raises(NotWhole):
        files.take_apart(io.BytesIO(data[: end + 16] + later.to_bytes(4, "little") + data[end + 20 :]), "", io.BytesIO)


def test_another_zlib_writes_the_same_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """With other lengths, which are written in several places of a zip."""
    name = "deflated.npz"
    array, pictures = taken_apart(FILES[name], name)
    whole = deflated.packed
    monkeypatch.setattr(
        deflated, "packed", lambda streams, pieces: whole([one._replace(level=1) for one in streams], pieces)
    )
    again = made(array, pictures)
    assert again != FILES[name]
    with np.load(io.BytesIO(again)) as loaded, zipfile.ZipFile(io.BytesIO(FILES[name])) as old:
        assert loaded.zip.testzip() is None
        for one, other in zip(loaded.zip.infolist(), old.infolist(), strict=True):
            assert (one.filename, one.date_time, one.CRC) == (other.filename, other.date_time, other.CRC)
        np.testing.assert_array_equal(loaded["x"], GREY)
    array, pictures = taken_apart(FILES["digits-idx3-ubyte.gz"])
    assert zlib.decompress(made(array, pictures), 31) == idx_bytes(GREY)


def test_gzip_of_another_program_has_the_same_contents() -> None:
    plain = idx_bytes(GREY)
    encoder = zlib.compressobj(9, wbits=31, memLevel=2, strategy=zlib.Z_HUFFMAN_ONLY)
    data = encoder.compress(plain) + encoder.flush()
    array, pictures = taken_apart(data)
    assert zlib.decompress(made(array, pictures), 31) == plain


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.integers(0, 60), st.binary(max_size=6), st.integers(0, 6))
def test_any_description_is_refused_or_makes_a_file(name: str, at: int, new: bytes, cut: int) -> None:
    array, pictures = taken_apart(FILES[name], name)
    body = array.pack()
    body = body[:at] + new + body[at + cut :]
    try:
        other = ArrayFile.unpack(body)
        assert other.pack() == body
        with little_memory(16):
            made(other, pictures)
    except (Malformed, DamagedImage, ValueError):
        pass


def test_a_folder_with_arrays_comes_back(archive: Path, tmp_path: Path) -> None:
    bbc("decompress", archive, "-o", tmp_path / "out", "-q")
    source = archive.parent / "in"
    assert below(tmp_path / "out") == below(source)
    assert (tmp_path / "out/grey.npy").stat().st_mtime_ns == (source / "grey.npy").stat().st_mtime_ns
    assert ": ok, " in bbc("test", archive).output


def test_jobs_sent_elsewhere_give_the_same_bytes(archive: Path) -> None:
    """To processes, or with their pictures to other machines."""
    options, file = Options(effort=1, segment_pixels=1 << 12), io.BytesIO()

    def encode(jobs: Iterable[Job]) -> Iterator[Encoded]:
        for number, job in enumerate(jobs):
            yield encode_job(pickle.loads(pickle.dumps(sent(job) if number % 2 else job)), registry(), options)

    with closing(listed_images((str(archive.parent / "in"),))) as listed:
        write_archive(file, inputs(listed.files, Reading(pixels=True)), encode, options, listed.tree(times=True))
    assert file.getvalue() == archive.read_bytes()


def test_an_array_is_listed_once(archive: Path) -> None:
    assert bbc("list", archive).stdout.splitlines() == sorted(["a.png", *FILES], key=lambda name: ("/" in name, name))
    (line,) = [line for line in bbc("list", "-l", archive).stdout.splitlines() if line.endswith("  grey.npy")]
    assert "6x15x12" in line
    (found,) = [
        one for one in json.loads(bbc("list", "--json", archive).stdout)["images"] if one["name"] == "train.bin"
    ]
    assert (found["images"], found["mode"], found["width"], found["method"]) == (3, "RGB", 32, "lattice")


def test_what_is_wanted_of_an_array(archive: Path, tmp_path: Path) -> None:
    wanted = ["in/binary.npy", "grey.npy[3]", "grey.npy[4:]", "d*.gz"]
    bbc("extract", archive, *wanted, "-o", tmp_path / "out", "-q")
    found = below(tmp_path / "out")
    assert set(found) == {"in/binary.npy", "digits-idx3-ubyte.gz", *(f"grey.npy[{n}].png" for n in (3, 4, 5))}
    assert found["in/binary.npy"] == FILES["in/binary.npy"]
    picture = read(found["grey.npy[4].png"])
    assert isinstance(picture, Picture)
    np.testing.assert_array_equal(picture.pixels, GREY[4])
    assert bbc("extract", archive, "train.bin", "-o", "-").stdout_bytes == FILES["train.bin"]
    bbc("extract", archive, "grey.npy", "-o", tmp_path / "one.npy")
    assert (tmp_path / "one.npy").read_bytes() == FILES["grey.npy"]
    assert "6 images" in bbc("extract", archive, "grey.npy", "-o", tmp_path / "one.png", code=1).output
    bbc("extract", archive, "grey.npy[6]", code=1)


def test_arrays_in_python(archive: Path) -> None:
    with bbcompress.open(archive) as opened:
        assert set(opened.arrays) == set(FILES)
        for name in ("grey.npy", "sixteen.npy", "in/binary.npy", "planes.npy"):
            expected = np.load(io.BytesIO(FILES[name]))
            assert opened[name].dtype == expected.dtype
            np.testing.assert_array_equal(opened[name], expected)
        for name in ("stored.npz", "digits-idx3-ubyte.gz"):
            np.testing.assert_array_equal(opened[name], GREY)
        np.testing.assert_array_equal(opened["data_batch_2"], COLOUR)
        np.testing.assert_array_equal(opened["train.bin[2]"], COLOUR[2])
        with pytest.raises(bbcompress.ImageError, match="2 arrays"):
            opened["deflated.npz"]
        assert opened.read("deflated.npz") == FILES["deflated.npz"]
        first, *others = opened.select("grey.npy")
        assert len(others) == 5 and opened.names[first] == "grey.npy[0]"
        assert opened.item(first).metadata == Metadata()  # type: ignore[union-attr]


def test_one_array_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(put(tmp_path, {"many.npy": npy_bytes(COLOUR), "one.npy": npy_bytes(COLOUR[0])}))
    for name in ("many.npy", "one.npy"):
        data = Path(name).read_bytes()
        bbc("compress", name, "-q", *QUICK)
        Path(name).unlink()
        file = Path(name).with_suffix(".bb")
        bbc("decompress", file, "-q")
        assert Path(name).read_bytes() == data
        bbc("decompress", file, "-o", "back.npy", "-q", "-f")
        assert Path("back.npy").read_bytes() == data
        np.testing.assert_array_equal(bbcompress.decompress(file.read_bytes()), np.load(name))
        np.testing.assert_array_equal(bbcompress.decompress(bbcompress.compress(name, effort=1)), np.load(name))
    bbc("decompress", "one.bb", "-o", "one.png", "-q")
    picture = read(Path("one.png").read_bytes())
    assert isinstance(picture, Picture)
    np.testing.assert_array_equal(picture.pixels, COLOUR[0])
    assert ArchiveReader(Path("one.bb").read_bytes()).form == 0


def test_arrays_are_added_and_replaced(tmp_path: Path) -> None:
    put(tmp_path, {"a/x.npy": npy_bytes(GREY), "b/x.npy": npy_bytes(GREY[::-1]), "c/x.npy": npy_bytes(GREY[:3])})
    put(tmp_path, {"d/x.npy": b"kept", "e/y.npy": npy_bytes(BINARY)})
    file = tmp_path / "a.bb"
    bbc("compress", tmp_path / "a", "-o", file, "-q", *QUICK)
    assert "has x.npy already" in bbc("append", file, tmp_path / "b/x.npy", code=1).output
    bbc("append", file, tmp_path / "e/y.npy", "-q", *QUICK)
    bbc("append", file, tmp_path / "b/x.npy", "-q", "-f", *QUICK)
    before = file.read_bytes()
    for other in ("c", "d"):
        refused = bbc("append", file, tmp_path / other / "x.npy", "-f", *(QUICK if other == "c" else []), code=1)
        assert "another number of images" in refused.output
        assert file.read_bytes() == before
    bbc("decompress", file, "-o", tmp_path / "out", "-q")
    assert below(tmp_path / "out") == {"x.npy": npy_bytes(GREY[::-1]), "y.npy": npy_bytes(BINARY)}


def test_what_shares_a_segment_with_what_is_replaced_stays_an_array(tmp_path: Path) -> None:
    put(tmp_path, {"a/x.npy": npy_bytes(GREY)})
    write(in_grey(thumbnails(5)[3]), tmp_path / "a/a.png")
    bbc("compress", tmp_path / "a", "-o", tmp_path / "a.bb", "-q", *QUICK)
    assert [len(part.numbers) for part in ArchiveReader((tmp_path / "a.bb").read_bytes()).parts] == [7]
    write(in_grey(thumbnails(5)[4]), tmp_path / "a/a.png")
    bbc("append", tmp_path / "a.bb", tmp_path / "a/a.png", "-q", "-f", *QUICK)
    bbc("decompress", tmp_path / "a.bb", "-o", tmp_path / "out", "-q")
    assert below(tmp_path / "out")["x.npy"] == npy_bytes(GREY)


def test_a_damaged_segment_loses_its_array_alone(tmp_path: Path) -> None:
    put(tmp_path, {"in/x.npy": npy_bytes(GREY), "in/y.npy": npy_bytes(BINARY)})
    file = tmp_path / "a.bb"
    bbc("compress", tmp_path / "in", "-o", file, "-q", *QUICK, "--segment-size", 360)
    data = bytearray(file.read_bytes())
    part = next(part for part in ArchiveReader(bytes(data)).parts if part.numbers.tolist() == [2, 3])
    data[part.offset + part.size // 2] ^= 1
    file.write_bytes(data)
    assert f"{file}: lost: x.npy\n" == bbc("test", file, code=3).stdout
    assert "x.npy: left out" in bbc("decompress", file, "-o", tmp_path / "out", "--keep-going", code=3).stderr
    assert below(tmp_path / "out") == {"y.npy": npy_bytes(BINARY)}
    numbers = part.numbers.tolist()
    assert numbers[0] > 0
    bbc("extract", file, f"x.npy[:{numbers[0]}]", "-o", tmp_path / "some", "-q")
    assert len(below(tmp_path / "some")) == numbers[0]
    bbc("extract", file, "x.npy", "-o", tmp_path / "none", "-q", code=3)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((300, 8, 8), np.uint8),
        np.tile(np.random.default_rng(0).integers(0, 256, (1, 20, 20), np.uint8), (20, 1, 1)),
        np.random.default_rng(0).integers(0, 256, (50, 8, 8), np.uint8),
        np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8),
        np.repeat(np.random.default_rng(0).integers(0, 5, (30, 30), np.uint8), 30).reshape(30, 30, 30),
        DIGITS,
        GREY,
    ],
    ids=["zeros", "repeated", "noise", "tiny", "areas", "digits", "few"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_no_array_takes_more_than_its_file(array: NDArray[Any], packed: bool, tmp_path: Path) -> None:
    name = "x.npy.gz" if packed else "x.npy"
    data = gzipped(npy_bytes(array)) if packed else npy_bytes(array)
    put(tmp_path, {name: data})
    bbc("compress", "--effort", 1, tmp_path / name, "-o", tmp_path / "x.bb", "-q")
    as_kept, _ = compress_single(KeptFile(data, name), paper_models(), Options())
    assert (tmp_path / "x.bb").stat().st_size <= len(as_kept) + 64


def test_names_that_would_be_one_are_refused(tmp_path: Path) -> None:
    put(tmp_path, {"in/x.npy": npy_bytes(GREY), "in/x.npy[3]": b"what"})
    assert "one name" in bbc("compress", tmp_path / "in", "-o", tmp_path / "a.bb", code=1).output
    assert not (tmp_path / "a.bb").exists()


def test_pixels_and_largest_images(tmp_path: Path) -> None:
    put(tmp_path, {"zeros.npy": npy_bytes(np.zeros((50, 8, 8), np.uint8))})
    bbc("compress", tmp_path / "zeros.npy", "-o", tmp_path / "a.bb", "-q", *QUICK)
    assert ArchiveReader((tmp_path / "a.bb").read_bytes()).images == 50
    done = bbc("compress", tmp_path / "zeros.npy", "-o", tmp_path / "b.bb", "-M", 63)
    assert "more than the limit of 63" in done.output


def test_an_array_does_not_claim_others_pictures() -> None:
    picture = Picture("L", np.full((2, 2), 9, np.uint8))
    two = ArrayFile((Span(0, 4, 2, picture.header),), b"").pack()
    single = pack_single(Stored(stored.encode(picture)), pictures_digest([picture]), Metadata(Format.ARRAY, two))
    with pytest.raises(DamagedArchive):
        _ = ArchiveReader(single).arrays
    assert pack_metadata({0: Metadata(Format.ARRAY, two)})
    with pytest.raises(DamagedImage):
        file_bytes(Picture("L", picture.pixels, Metadata(Format.ARRAY, two)))
    other = ArrayFile((Span(0, 9, 1, Header("L", 3, 3)),), b"").pack()
    with pytest.raises(DamagedImage, match="mode or size"):
        file_bytes(Picture("L", picture.pixels, Metadata(Format.ARRAY, other)))


def test_a_large_array_is_read_a_picture_at_a_time(tmp_path: Path) -> None:
    """And written so: of 64 MB that are mostly not on the disk."""
    header = npy_of("{'descr': '|u1', 'fortran_order': False, 'shape': (4096, 128, 128)}")
    with open(tmp_path / "x.npy", "w+b") as file:
        file.write(header)
        file.truncate(len(header) + (1 << 26))
        with little_memory(8), open(tmp_path / "scratch", "w+b") as scratch, open(tmp_path / "y.npy", "wb") as out:
            array, _ = files.take_apart(file, "x.npy", io.BytesIO)
            found = Array("x.npy", 0, array)
            pixels = ArrayPixels([found], scratch)
            for number, one in enumerate(array_inputs("x.npy", array, partial((tmp_path / "x.npy").open, "rb"))):
                item = one.read()
                assert isinstance(item, Picture) and one.name == f"x.npy[{number}]"
                whole = pixels.put(number, item)
            assert whole is found
            pixels.write(found, out, io.BytesIO)
    assert os.path.getsize(tmp_path / "y.npy") == len(header) + (1 << 26)
