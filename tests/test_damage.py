"""Damage of a file of any method is noticed, and no mutation does harm, though its checksums are right."""

import sys

import pytest
from helpers import flipped
from methods import cases, models

from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.read import ArchiveReader

if sys.platform != "win32":
    from mutate import in_children

CASES = sorted(cases())


@pytest.mark.parametrize("name", CASES)
def test_sound_files_decode_to_their_pictures(name: str) -> None:
    """So it is the damage that is refused below."""
    data, pictures = cases()[name]
    found = sorted(ArchiveReader(data).decode(models()))
    assert [item.picture.same_as(picture) for item, picture in zip(found, pictures, strict=True)] == [True] * len(found)


@pytest.mark.parametrize("name", CASES)
def test_every_flipped_bit_is_damage(name: str) -> None:
    data = cases()[name].data
    for bit in range(8 * len(data)):
        with pytest.raises(DamagedArchive):
            list(ArchiveReader(flipped(data, bit)).decode(models()))


@pytest.mark.parametrize("name", CASES)
def test_every_truncation_is_damage(name: str) -> None:
    data = cases()[name].data
    for length in range(len(data)):
        for cut in (data[:length], data[len(data) - length :]):
            with pytest.raises(DamagedArchive):
                list(ArchiveReader(cut).decode(models()))


@pytest.mark.skipif(sys.platform == "win32", reason="children are forked")
@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutations_with_right_checksums_do_no_harm(count: int) -> None:
    found = list(in_children(count))
    assert [outcome for outcome in found if outcome.is_bad] == []
    assert len({outcome.result for outcome in found}) >= 4, "mutations that are all refused alike show little"
