"""Whatever file is compressed comes back whole, as independent readers see it, and takes hardly more than it did."""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path

import pytest
from helpers import paper_models
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from independent import assert_whole
from made_files import any_file, array_files, bmp_files, other_files, png_files, pnm_files, tiff_files, webp_files

from bbcompress.archive.compress import Options, compress_archive, compress_single
from bbcompress.archive.read import ArchiveReader
from bbcompress.images import KeptFile, Picture, file_bytes, read

MAX_EXTRA_BYTES = 64
CASES = Path(__file__).parents[2] / "shared" / "cases"
"""Files from bug reports of other tools, which a checkout may have beside it."""
WITH_ALPHA = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAA0AAAALCAYAAAHTtTf3AAAAAElEQVQ1rwYeAAAAwklEQVR4nE1RMQ7CQAyz04oBZhYkRl7BX5hR"
    "/8IMb2IDsSDxAEb4ATQ5J5e2yl2dOD4fSGIOY4v/AvM/GhwjDAoK80xP3hggOBaMuc8R3wSVP45arUWKxpRsZM8QE1vKhqjseqAv"
    "X4ytMkqzDhgAzW2Q6A/r0/6yeH53t+Py/Vmd79fp9djaZkhpoSCdQZ1A0qEjsgawye1Csvqq1IT0BnLZyhvpRXONua1LCgoro1ky"
    "yjRmNVJQ+g45zDq6hHVXFp0/G4UMwjp+iLsAAAAASUVORK5CYII="
)
"""A PNG file smaller than its picture in any form, whose alpha values are beside a chain's bytes."""
slow_to_make = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def single_round_trip(data: bytes, name: str) -> bytes:
    compressed, _ = compress_single(read(data, name), paper_models(), Options(check=False))
    assert len(compressed) <= len(data) + MAX_EXTRA_BYTES
    (decoded,) = ArchiveReader(compressed).decode(paper_models())
    return file_bytes(decoded.picture)


@given(any_file)
@slow_to_make
def test_any_file_comes_back_whole_from_its_picture(data: bytes) -> None:
    assert_whole(data, file_bytes(read(data)))


@given(st.one_of(tiff_files(), bmp_files(), pnm_files(), webp_files(), png_files(), array_files()), st.data())
@settings(parent=slow_to_make, max_examples=200)
def test_damaged_files_are_kept_or_whole(data: bytes, more: st.DataObject) -> None:
    """No exception either, though most damage is in the first bytes here, where it matters most."""
    changed = bytearray(data)
    for _ in range(more.draw(st.integers(1, 3))):
        changed[more.draw(st.integers(0, min(len(data), 300) - 1))] = more.draw(st.integers(0, 255))
    item = read(bytes(changed))
    again = read(file_bytes(item))
    if isinstance(item, KeptFile):
        assert item.data == changed
    else:
        assert isinstance(again, Picture)
        assert again.same_as(item)
        assert again.metadata == item.metadata


@given(any_file)
@example(WITH_ALPHA)
@settings(parent=slow_to_make, max_examples=60)
def test_any_file_comes_back_whole_from_the_small_form(data: bytes) -> None:
    assert_whole(data, single_round_trip(data, "a.file"))


@given(st.dictionaries(st.sampled_from(["a", "b.png", "c/d.tif", "e.pdf"]), any_file, min_size=1))
@settings(parent=slow_to_make, max_examples=25)
def test_any_files_come_back_whole_from_an_archive(files: dict[str, bytes]) -> None:
    items = [(name, read(data, name)) for name, data in files.items()]
    compressed, _ = compress_archive(items, paper_models(), Options())
    found = {one.name: file_bytes(one.picture) for one in ArchiveReader(compressed).decode(paper_models())}
    assert found.keys() == files.keys()
    for name, data in files.items():
        assert_whole(data, found[name or ""])


@pytest.mark.parametrize(
    ("files", "pictures"),
    [
        (png_files(), 95),
        (tiff_files(), 25),
        (bmp_files(), 30),
        (pnm_files(), 20),
        (webp_files(), 15),
        (other_files(), 0),
    ],
)
def test_how_many_of_each_format_are_pictures(files: st.SearchStrategy[bytes], pictures: int) -> None:
    """Keeping every file would be whole too."""
    kinds: Counter[type] = Counter()

    @given(files)
    @settings(parent=slow_to_make, max_examples=100, derandomize=True, database=None)
    def count(data: bytes) -> None:
        kinds[type(read(data))] += 1

    count()
    assert kinds[Picture] >= pictures
    assert kinds[KeptFile] >= (0 if pictures == 95 else 1)


@pytest.mark.skipif(not CASES.is_dir(), reason="no such folder beside this checkout")
def test_files_from_bug_reports() -> None:
    files = {path.name: path.read_bytes() for path in sorted(CASES.iterdir()) if path.is_file()}
    for name, data in files.items():
        assert_whole(data, single_round_trip(data, name))
    items = [(name, read(data, name)) for name, data in files.items()]
    compressed, _ = compress_archive(items, paper_models(), Options())
    assert len(compressed) <= sum(len(data) + MAX_EXTRA_BYTES for data in files.values())
    for one in ArchiveReader(compressed).decode(paper_models()):
        assert_whole(files[one.name or ""], file_bytes(one.picture))
