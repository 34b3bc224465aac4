"""The container: what goes in comes out, damage is noticed and kept apart, and no bytes do harm."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    PaperModels,
    archive_of,
    binary_digits,
    binary_noise,
    black_and_white_digits,
    blocks_of,
    flipped,
    grey_digits,
    grey_noise,
    hand_made,
    little_memory,
    numbered,
    odd_pictures,
    paper_models,
    refusal,
    rgb,
    single_file,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bbcompress.archive import blocks
from bbcompress.archive.blocks import BlockType, Form
from bbcompress.archive.compress import CheckFailed, Options, compress_archive, compress_single
from bbcompress.archive.errors import (
    ArchiveError,
    ArchiveLimit,
    DamagedArchive,
    MissingModel,
    UnfitModel,
    UnsupportedArchive,
)
from bbcompress.archive.forms import PixelForm
from bbcompress.archive.index import unpack_index
from bbcompress.archive.limits import MAX_BATCH_SUBPIXELS, MAX_IMAGES, MAX_PIXELS
from bbcompress.archive.metadata import pack_metadata
from bbcompress.archive.names import pack_names
from bbcompress.archive.numbers import numbers_of
from bbcompress.archive.payload import BitsBack, Method, Stored, pictures_digest
from bbcompress.archive.read import ArchiveReader
from bbcompress.archive.segment import Segment, pack_segment, unpack_segment
from bbcompress.archive.single import METADATA_FLAG, ONE_TILE, pack_single
from bbcompress.archive.source import Source
from bbcompress.codec import chain
from bbcompress.codec.chain import Plan
from bbcompress.codec.refine import MAX_STEPS
from bbcompress.images import Picture, stored
from bbcompress.images.metadata import NO_METADATA
from bbcompress.varint import write_varint

SINGLE_FRAME_BYTES = 10
"""Header, method, model's id or digest, CRC."""
SEGMENT_FRAME_BYTES = 46
"""Block frame, method, numbers, digest and index entry of a stored picture."""


def single_of(picture: Picture) -> bytes:
    return compress_single(picture, paper_models(), Options())[0]


def decoded(data: bytes) -> dict[str | None, Picture]:
    found = {item.name: item.picture for item in ArchiveReader(data).decode(paper_models())}
    assert len(found) == ArchiveReader(data).images
    return found


def assert_same(found: dict[str | None, Picture], expected: dict[str, Picture]) -> None:
    assert found.keys() == expected.keys()
    for name, picture in expected.items():
        assert found[name].same_as(picture), name


def mixed() -> dict[str, Picture]:
    """Pictures for several models and for none, all in disorder."""
    pictures: list[tuple[str, Picture]] = [(f"grey/{n:02d}.png", p) for n, p in enumerate(grey_digits(4))]
    pictures += [(f"binary/{n:02d}.pbm", p) for n, p in enumerate(binary_digits(9, 20))]
    pictures += [(f"two/{n}.png", p) for n, p in enumerate(black_and_white_digits(4, 40))]
    pictures += list(odd_pictures().items())
    order = np.random.default_rng(1).permutation(len(pictures))
    return dict(pictures[place] for place in order)


def metadata_bytes(picture: Picture) -> int:
    """What a single file pays for them."""
    if picture.metadata == NO_METADATA:
        return 0
    packed = pack_metadata({0: picture.metadata})
    return len(write_varint(len(packed))) + len(packed)


# --- round trips --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", odd_pictures())
def test_single_pictures_that_no_model_fits(name: str) -> None:
    picture = odd_pictures()[name]
    data = single_of(picture)
    assert decoded(data)[None].same_as(picture)
    assert len(data) == 4 + metadata_bytes(picture) + 4 + len(stored.encode(picture)) + 2


@pytest.mark.parametrize("make", [grey_digits, binary_digits, black_and_white_digits])
def test_single_digits(make: object) -> None:
    for picture in make(3):  # type: ignore[operator]
        data, summary = compress_single(picture, paper_models(), Options())
        assert decoded(data)[None].same_as(picture)
        (part,) = ArchiveReader(data).parts
        assert isinstance(part.payload, BitsBack)
        assert len(data) == len(part.payload.data) + SINGLE_FRAME_BYTES
        assert len(data) < len(stored.encode(picture))
        assert summary.total_bytes == len(data)
        assert "stored" not in summary.methods


def test_a_picture_coded_as_two_levels_keeps_its_mode() -> None:
    bilevel, grey = binary_digits(1)[0], black_and_white_digits(1)[0]
    sizes = [len(single_of(picture)) for picture in (bilevel, grey)]
    assert abs(sizes[0] - sizes[1]) <= 1  # they begin with other digests
    assert [decoded(single_of(picture))[None].mode for picture in (bilevel, grey)] == ["1", "L"]


@pytest.mark.parametrize("steps", [0, 2])
def test_archive_of_mixed_pictures(steps: int) -> None:
    pictures = mixed()
    data, summary = compress_archive(pictures.items(), paper_models(), Options(refine_steps=steps))
    assert_same(decoded(data), pictures)
    archive = ArchiveReader(data)
    assert archive.names == list(pictures)
    assert summary.images == archive.images == len(pictures)
    assert summary.methods == {"mnist-grey": 4, "mnist-binary": 13, "stored": len(odd_pictures())}
    # every file of a kind is in one segment, and stored ones in one each
    assert sorted(len(part.numbers) for part in archive.parts) == [1] * len(odd_pictures()) + [4, 4, 9]
    assert {part.payload.plan.steps for part in archive.parts if isinstance(part.payload, BitsBack)} <= {0, steps}
    assert summary.subpixels == sum(picture.pixels.size for picture in pictures.values())
    assert 0 < summary.net_bits < 8 * summary.total_bytes == 8 * len(data)


def test_refinement_makes_chains_smaller() -> None:
    pictures = numbered(binary_digits(60))
    assert len(archive_of(pictures, steps=10)) < len(archive_of(pictures))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7), st.integers(0, 1))
@settings(max_examples=15)
def test_archives_of_any_order(kinds: list[int], steps: int) -> None:
    shelf = [*binary_digits(4), *black_and_white_digits(2, 7), binary_noise(), rgb(), grey_noise(0, 5), rgb(1, 1)]
    pictures = numbered([shelf[kind] for kind in kinds])
    assert_same(decoded(archive_of(pictures, steps)), pictures)


def test_grey_pictures_of_three_channels_are_coded_as_grey() -> None:
    grey = grey_digits(2)
    three = [Picture("RGB", np.repeat(picture.pixels[..., None], 3, axis=2)) for picture in grey]
    for one, three_alike in zip(grey, three, strict=True):
        assert abs(len(single_of(three_alike)) - len(single_of(one))) <= 1  # they begin with other digests
        (item,) = ArchiveReader(single_of(three_alike)).decode(paper_models())
        assert item.picture.same_as(three_alike)
    almost = three[0].pixels.copy()
    almost[3, 3, 1] += 1
    _, summary = compress_single(Picture("RGB", almost), paper_models(), Options())
    assert summary.methods == {"stored": 1}


def test_long_chains_use_several_lanes() -> None:
    pictures = numbered(binary_digits(90))
    data = archive_of(pictures)
    (part,) = ArchiveReader(data).parts
    assert isinstance(part.payload, BitsBack)
    assert part.payload.plan.lanes > 1
    assert_same(decoded(data), pictures)


def test_groups_are_cut_into_segments() -> None:
    pictures = numbered(binary_digits(10))
    data, _ = compress_archive(pictures.items(), paper_models(), Options(segment_pixels=784 * 4))
    assert [part.numbers.tolist() for part in ArchiveReader(data).parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert_same(decoded(data), pictures)


def test_an_empty_archive() -> None:
    data, summary = compress_archive([], paper_models(), Options())
    assert decoded(data) == {}
    assert summary.total_bits_per_dim >= 0


@pytest.mark.parametrize("steps", [0, 2])
def test_the_same_bytes_each_time(steps: int) -> None:
    pictures = numbered([*binary_digits(9), *grey_digits(2), rgb(), *black_and_white_digits(3, 20)])
    first = archive_of(pictures, steps)
    # in a registry of its own nothing is left from the first run
    again, _ = compress_archive(pictures.items(), PaperModels(), Options(refine_steps=steps, check=False))
    assert first == again
    picture = binary_digits(1)[0]
    assert single_of(picture) == compress_single(picture, PaperModels(), Options(check=False))[0]


def test_the_index_says_what_is_there() -> None:
    data = archive_of(mixed())
    *segments, names, metadata, index = blocks_of(data)
    assert (names.type, metadata.type, index.type) == (BlockType.NAMES, BlockType.METADATA, BlockType.INDEX)
    assert index.body is not None
    found = unpack_index(index.body, len(data))
    assert [entry.size for entry in found.segments] == [segment.size for segment in segments]
    for entry, segment in zip(found.segments, segments, strict=True):
        assert segment.body is not None
        assert numbers_of(entry.runs).tolist() == unpack_segment(segment.body).numbers.tolist()
    assert (found.names, found.metadata, found.attributes) == (names.size, metadata.size, 0)
    assert len(data) - blocks.TRAILER_BYTES - index.size == index.offset == blocks.read_trailer(Source(data))


def test_the_check_finds_a_wrong_code(monkeypatch: pytest.MonkeyPatch) -> None:
    real = chain.encode

    def wrong(groups: list[chain.Group], *rest: object) -> chain.EncodedChain:
        return real([chain.Group(model, pixels[:, ::-1].copy()) for model, pixels in groups], *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(chain, "encode", wrong)
    pictures = numbered(binary_digits(3))
    with pytest.raises(CheckFailed):
        archive_of(pictures)
    with pytest.raises(CheckFailed):
        single_of(pictures["0.png"])
    # without the check the reader finds it
    data, _ = compress_archive(pictures.items(), paper_models(), Options(check=False))
    assert "pixels" in refusal(data, DamagedArchive)
    data, _ = compress_single(pictures["0.png"], paper_models(), Options(check=False))
    assert "pixels" in refusal(data, DamagedArchive)


def test_one_model_can_be_asked_for() -> None:
    path = paper_models().path_named("mnist-grey")
    picture = black_and_white_digits(1)[0]
    data, summary = compress_single(picture, paper_models(), Options(model=path))
    assert set(summary.methods) <= {"mnist-grey", "stored"}
    assert decoded(data)[None].same_as(picture)
    pictures = numbered([picture, grey_digits(1)[0], binary_digits(1)[0]])
    data, summary = compress_archive(pictures.items(), paper_models(), Options(model=path))
    assert summary.methods == {"mnist-grey": 2, "stored": 1}
    assert_same(decoded(data), pictures)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [(rgb(28, 28), "of mode RGB, 28x28"), (grey_noise(size=29), "of mode L, 29x29"), (binary_noise(), "of mode 1")],
)
def test_a_model_that_does_not_fit_is_an_error_that_says_why(picture: Picture, reason: str) -> None:
    options = Options(model=paper_models().path_named("mnist-grey"))
    for pictures in ([picture], [picture, rgb(5, 6)]):
        with pytest.raises(UnfitModel, match=f"mnist-grey is for grey pictures of 28x28, .*{reason}"):
            compress_archive(numbered(pictures).items(), paper_models(), options)
    with pytest.raises(UnfitModel, match="mnist-grey is for grey pictures of 28x28"):
        compress_single(picture, paper_models(), options)
    assert compress_archive([], paper_models(), options)[1].images == 0


# --- never worse than storing ---------------------------------------------------------------------


def stored_size(pictures: dict[str, Picture]) -> int:
    return sum(len(stored.encode(picture)) for picture in pictures.values())


@pytest.mark.parametrize("picture", [grey_noise(), binary_noise(), rgb(28, 28)], ids=["grey", "binary", "rgb"])
def test_single_noise_is_stored(picture: Picture) -> None:
    data = single_of(picture)
    assert isinstance(ArchiveReader(data).parts[0].payload, Stored)
    raw = 28 * 4 if picture.mode == "1" else picture.pixels.nbytes
    assert len(data) <= raw + SINGLE_FRAME_BYTES + 4  # kind of storing, mode, width, height
    assert decoded(data)[None].same_as(picture)


@pytest.mark.parametrize("noise_first", [True, False])
@pytest.mark.parametrize(("digits", "noise"), [(grey_digits, grey_noise), (binary_digits, binary_noise)])
def test_noise_among_digits_is_stored_and_digits_are_not(noise_first: bool, digits: object, noise: object) -> None:
    digits, noise = digits(4), [noise(seed) for seed in range(2)]  # type: ignore[operator]
    pictures = numbered(noise + digits if noise_first else digits + noise)
    data, summary = compress_archive(pictures.items(), paper_models(), Options())
    assert summary.methods.pop("stored") == 2
    assert list(summary.methods.values()) == [4]
    assert_same(decoded(data), pictures)
    raw = 2 * (28 * 4 if noise[0].mode == "1" else 784)
    assert len(data) <= len(archive_of(numbered(digits))) + raw + 2 * (SEGMENT_FRAME_BYTES + 8)


def _square() -> Picture:
    """A picture of a digit's size that any general method codes in a few bytes, and a model of digits does not."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[9:20, 9:20] = 200
    return Picture("L", pixels)


@pytest.mark.parametrize(
    "pictures",
    [
        pytest.param([grey_noise(seed) for seed in range(8)], id="noise"),
        pytest.param([binary_noise(seed) for seed in range(8)], id="binary noise"),
        pytest.param([Picture("L", np.full((28, 28), 9 * n, np.uint8)) for n in range(8)], id="flat"),
        pytest.param([Picture("1", np.full((28, 28), n % 2, np.uint8)) for n in range(8)], id="black and white"),
        pytest.param([Picture("L", 255 - picture.pixels) for picture in grey_digits(6)], id="negatives"),
        pytest.param(list(odd_pictures().values()), id="no model"),
        pytest.param([_square()] * 5, id="squares"),
        # most are digits to whoever looks at some
        pytest.param(sum(([p] + [_square()] * 3 for p in grey_digits(4)), []), id="squares among digits"),  # noqa: RUF017
        pytest.param([*grey_digits(3), *binary_digits(3), rgb()], id="digits"),
    ],
)
def test_nothing_is_larger_than_stored(pictures: list[Picture]) -> None:
    named = numbered(pictures)
    data = archive_of(named)
    assert_same(decoded(data), named)
    fixed = 80  # header, names, index, trailer, and a chain's model
    metadata = sum(metadata_bytes(picture) for picture in pictures)
    assert len(data) <= stored_size(named) + SEGMENT_FRAME_BYTES * len(named) + metadata + fixed
    for picture in pictures[:2]:
        assert len(single_of(picture)) <= len(stored.encode(picture)) + metadata_bytes(picture) + SINGLE_FRAME_BYTES


# --- damage ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_single() -> bytes:
    return single_of(binary_digits(1)[0])


@pytest.fixture(scope="module")
def small_pictures() -> dict[str, Picture]:
    """Six digits in two segments, and a stored picture between them."""
    pictures = [*binary_digits(2), *grey_digits(2, 5), rgb(), *binary_digits(2, 2)]
    return numbered(pictures)


@pytest.fixture(scope="module")
def small_archive(small_pictures: dict[str, Picture]) -> bytes:
    data = archive_of(small_pictures)
    assert len(ArchiveReader(data).parts) == 3
    return data


@pytest.fixture(params=["small_single", "small_archive"])
def sound(request: pytest.FixtureRequest) -> bytes:
    data: bytes = request.getfixturevalue(request.param)
    list(ArchiveReader(data).decode(paper_models()))
    return data


@pytest.mark.parametrize("more", [b"\0", b"C\xbb", b"garbage" * 9])
def test_trailing_bytes_are_damage(sound: bytes, more: bytes) -> None:
    refusal(sound + more, DamagedArchive)
    refusal(sound + sound, DamagedArchive)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_stretch_of_noise_is_damage(sound: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(sound) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=64))
    damaged = sound[:start] + noise + sound[start + len(noise) :]
    assume(damaged != sound)
    refusal(damaged, DamagedArchive)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xbbC", b"\xbbC\1", b"\xbbC\x11\xd7\xf4\xae\x87"]))
def test_garbage_is_damage(garbage: bytes, start: bytes) -> None:
    refusal(start + garbage, DamagedArchive)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + bytes(50), b"BB\1" + bytes(50), b"\0" * 100])
def test_other_files_are_no_bbc_files(data: bytes) -> None:
    assert "not a bbc file" in refusal(data, DamagedArchive)


# --- recovery -------------------------------------------------------------------------------------


def recovered(data: bytes) -> tuple[dict[int, tuple[str | None, Picture]], list[str]]:
    archive = ArchiveReader(data, recover=True)
    found = {item.number: (item.name, item.picture) for item in archive.decode(paper_models())}
    assert all("\n" not in line for line in archive.damage)
    return found, archive.damage


def test_nothing_is_wrong_with_a_sound_file(sound: bytes) -> None:
    found, damage = recovered(sound)
    assert len(found) == ArchiveReader(sound).images
    assert damage == []


@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize("where", ["type", "length", "body", "checksum"])
def test_a_damaged_segment_takes_no_other_with_it(
    small_archive: bytes, small_pictures: dict[str, Picture], segment: int, where: str
) -> None:
    block = blocks_of(small_archive)[segment]
    place = {"type": 0, "length": 1, "body": block.size // 2, "checksum": block.size - 1}[where]
    intact = ArchiveReader(small_archive).parts
    lost = intact.pop(segment).numbers
    for bit in range(8):
        damaged = flipped(small_archive, 8 * (block.offset + place) + bit)
        archive = ArchiveReader(damaged, recover=True)
        assert [part.payload for part in archive.parts] == [part.payload for part in intact]
        assert archive.names == list(small_pictures)
    found, damage = recovered(damaged)
    assert damage
    assert sorted([*found, *lost]) == list(range(len(small_pictures)))
    for number, (name, picture) in found.items():
        assert name == list(small_pictures)[number]
        assert picture.same_as(small_pictures[name])


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_a_segment_that_decodes_to_something_else(
    small_archive: bytes, small_pictures: dict[str, Picture], segment: int
) -> None:
    """The checksums are right, but the digest is of other pixels."""
    bodies = [block.body for block in blocks_of(small_archive)[:-2] if block.body is not None]
    real = unpack_segment(bodies[segment])
    bodies[segment] = pack_segment(replace(real, digest=bytes(32)))
    data = hand_made(bodies, counts_of(bodies), pack_names(list(small_pictures)))
    assert "pixels" in refusal(data, DamagedArchive)
    found, damage = recovered(data)
    assert sorted([*found, *real.numbers]) == list(range(len(small_pictures)))
    assert len(damage) == 1
    assert "lost" in damage[0]
    assert all(picture.same_as(small_pictures[str(name)]) for name, picture in found.values())


def test_the_index_is_not_needed_to_recover(small_archive: bytes, small_pictures: dict[str, Picture]) -> None:
    index = blocks_of(small_archive)[-1]
    ends = [small_archive[: index.offset], small_archive[:-1], small_archive[: index.offset + 3]]
    ends += [small_archive + b"more"]
    ends += [flipped(small_archive, bit) for bit in range(8 * index.offset, 8 * len(small_archive))]
    for damaged in ends:
        archive = ArchiveReader(damaged, recover=True)
        assert archive.damage
        assert archive.names == list(small_pictures)
        assert archive.images == len(small_pictures)
    for damaged in ends[:5]:
        assert_same(dict(recovered(damaged)[0].values()), small_pictures)


def test_what_stands_before_a_cut_is_recovered(small_archive: bytes, small_pictures: dict[str, Picture]) -> None:
    ends = [block.offset + block.size for block in blocks_of(small_archive)]
    for length in range(7, len(small_archive)):
        cut = ArchiveReader(small_archive[:length], recover=True)
        assert cut.damage
        parts = ArchiveReader(small_archive).parts[: sum(end <= length for end in ends)]
        assert [part.numbers.tolist() for part in cut.parts] == [part.numbers.tolist() for part in parts]
        if length in ends:
            for number, name, picture in cut.decode(paper_models()):
                assert name in (None, f"{number}.png")
                assert picture.same_as(small_pictures[f"{number}.png"])
    assert cut.names == list(small_pictures)


def test_names_are_not_needed_to_recover(small_archive: bytes, small_pictures: dict[str, Picture]) -> None:
    names = blocks_of(small_archive)[-2]
    for place in range(names.offset, names.offset + names.size):
        archive = ArchiveReader(flipped(small_archive, 8 * place), recover=True)
        assert archive.images == len(small_pictures)
        assert archive.names is None
    found, damage = recovered(flipped(small_archive, 8 * names.offset + 80))
    assert damage
    assert {name for name, _ in found.values()} == {None}
    assert all(found[n][1].same_as(picture) for n, picture in enumerate(small_pictures.values()))


def test_any_flipped_bit_loses_at_most_its_segment(small_archive: bytes, small_pictures: dict[str, Picture]) -> None:
    parts = ArchiveReader(small_archive).parts
    whole = len(small_pictures) - max(len(part.numbers) for part in parts)
    for bit in range(56, 8 * len(small_archive), 5):
        archive = ArchiveReader(flipped(small_archive, bit), recover=True)
        assert archive.images >= whole, bit
        assert archive.damage


def test_a_damaged_single_file_is_not_recovered(small_single: bytes) -> None:
    for bit in range(0, 8 * len(small_single), 3):
        refusal(flipped(small_single, bit), DamagedArchive, recover=True)


def test_damage_in_two_segments(small_archive: bytes, small_pictures: dict[str, Picture]) -> None:
    first, second, third, *_ = blocks_of(small_archive)
    damaged = flipped(flipped(small_archive, 8 * first.offset + 80), 8 * third.offset + 80)
    found, damage = recovered(damaged)
    assert sorted(found) == ArchiveReader(small_archive).parts[1].numbers.tolist()
    assert len(damage) >= 2
    damaged = flipped(damaged, 8 * second.offset + 80)
    assert recovered(damaged)[0] == {}


# --- well-formed files that no encoder writes ---------------------------------------------------


def stored_segment(number: int, picture: Picture | None = None) -> bytes:
    picture = picture or rgb()
    return pack_segment(Segment(np.array([number]), Stored(stored.encode(picture)), pictures_digest([picture])))


def chain_body(
    count: int = 1,
    first: int = 1,
    width: int = 1,
    growth: int = 1,
    steps: int = 0,
    form: int = 0,
    method: int = 1,
    refinement: int = 1,
    model: str = "mnist-binary",
    data: bytes = b"\1" * 100,
) -> bytes:
    """A bits-back segment of `count` pictures from number 0 on, whatever its fields say."""
    identity = paper_models().load(paper_models().path_named(model)).identity
    body = bytes([method]) + write_varint(1) + write_varint(0) + write_varint(count - 1) + bytes(32)
    body += identity + bytes([form]) + b"".join(map(write_varint, (first, width, growth, steps)))
    return body + (bytes([refinement]) if steps else b"") + data


def counts_of(segments: list[bytes]) -> list[int]:
    """How many pictures each of the segments holds, as the index says it; 1 where that cannot be read."""
    counts = []
    for body in segments:
        try:
            counts.append(len(unpack_segment(body).numbers))
        except ArchiveError:
            counts.append(1)
    return counts


def counted_names(count: int) -> bytes:
    return pack_names([f"{number:07d}" for number in range(count)]) if count < 10_000 else _many(count)


def _many(count: int) -> bytes:
    return write_varint(count) + b"\0" + write_varint(7) + b"0000000" + write_varint(count - 1)


def test_hand_made_archives_are_read() -> None:
    """The makers below are right, so it is their content that is refused."""
    names = pack_names(["a.png", "b.png"])
    pictures = {"a.png": rgb(), "b.png": rgb(2, 2)}
    data = hand_made([stored_segment(0), stored_segment(1, rgb(2, 2))], [1, 1], names)
    assert_same(decoded(data), pictures)
    # segments may stand in any order
    data = hand_made([stored_segment(1, rgb(2, 2)), stored_segment(0)], [1, 1], names)
    assert_same(decoded(data), pictures)


@pytest.mark.parametrize("version", [0, *range(2, 16)])
def test_other_versions(version: int) -> None:
    data = hand_made([stored_segment(0)], [1], pack_names(["a"]), version=version)
    message = refusal(data, UnsupportedArchive)
    assert "later version" in message
    single = single_file(blocks.MAGIC + bytes([version]) + b"whatever a later version has here")
    refusal(single, UnsupportedArchive)


@pytest.mark.parametrize("form", range(2, 16))
def test_other_forms(form: int) -> None:
    refusal(single_file(blocks.MAGIC + bytes([form << 4 | 1]) + b"whatever"), UnsupportedArchive)


@pytest.mark.parametrize("method", sorted(set(range(3, 16)) - {Method.FILE, Method.LATTICE}))
def test_unknown_methods(method: int) -> None:
    if ONE_TILE < method < METADATA_FLAG:
        single = single_file(blocks.header(Form.SINGLE) + bytes([method]) + bytes(20))
        assert f"method {method}" in refusal(single, UnsupportedArchive)
    data = hand_made([chain_body(method=method)], [1], counted_names(1))
    assert f"method {method}" in refusal(data, UnsupportedArchive)


def test_unknown_pixel_forms_and_refinements() -> None:
    for form in (7, 15):
        single = single_file(blocks.header(Form.SINGLE) + bytes([form << 4 | 1]) + bytes(20))
        refusal(single, UnsupportedArchive)
        refusal(hand_made([chain_body(form=form)], [1], counted_names(1)), UnsupportedArchive)
    for refinement in (0, 3, 255):
        data = hand_made([chain_body(steps=1, refinement=refinement)], [1], counted_names(1))
        refusal(data, UnsupportedArchive)


def test_an_unknown_method_beside_known_ones_is_stepped_over() -> None:
    data = hand_made([chain_body(method=9), stored_segment(1)], [1, 1], pack_names(["a", "b"]))
    refusal(data, UnsupportedArchive)
    found, damage = recovered(data)
    assert {number: name for number, (name, _) in found.items()} == {1: "b"}
    assert damage


def test_missing_models() -> None:
    picture = binary_digits(1)[0]
    encoded = ArchiveReader(single_of(picture)).parts[0].payload
    assert isinstance(encoded, BitsBack)
    foreign = replace(encoded, model_id=b"\xaa" * 32)
    data = pack_single(foreign, pictures_digest([picture]))
    assert "aaaaaaaa" in refusal(data, MissingModel)
    segment = pack_segment(Segment(np.array([0]), foreign, pictures_digest([picture])))
    data = hand_made([segment, stored_segment(1)], [1, 1], pack_names(["a", "b"]))
    refusal(data, MissingModel)
    # what needs no model comes back
    found, damage = recovered(data)
    assert list(found) == [1]
    assert "not installed" in damage[0]


def test_a_model_of_the_wrong_kind() -> None:
    for form, model in [(1, "mnist-binary"), (0, "mnist-grey"), (2, "mnist-grey")]:
        refusal(hand_made([chain_body(form=form, model=model)], [1], counted_names(1)), DamagedArchive)


def test_a_short_identity_of_another_model_is_found_out() -> None:
    """The small form names its model by 4 bytes; the pixel check must find a wrong one."""
    picture = black_and_white_digits(1)[0]
    payload = ArchiveReader(single_of(picture)).parts[0].payload
    assert isinstance(payload, BitsBack)
    data = pack_single(replace(payload, form=0), pictures_digest([picture]))  # type: ignore[arg-type]
    assert "pixels" in refusal(data, DamagedArchive)


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(b"\0", id="none"),
        pytest.param(write_varint(1) + write_varint(MAX_IMAGES) + b"\0", id="above the limit"),
        pytest.param(write_varint(1) + b"\1" + write_varint(MAX_IMAGES - 1), id="run above the limit"),
        pytest.param(write_varint(1) + b"\0" + write_varint(1 << 40), id="huge run"),
        pytest.param(write_varint(MAX_IMAGES) + b"\0\0", id="runs that are not there"),
        pytest.param(b"\x81\0\0\0", id="not the shortest form"),
        pytest.param(b"\1\0\1", id="two pictures stored as one"),
    ],
)
def test_bad_numbers(numbers: bytes) -> None:
    body = bytes([0]) + numbers + bytes(32) + stored.encode(rgb())
    with little_memory(120):
        refusal(hand_made([body], [1], counted_names(1)), DamagedArchive)


@pytest.mark.parametrize(
    "fields",
    [
        {"first": 0},
        {"first": 2},
        {"width": 0},
        {"growth": 0},
        {"count": 5, "first": 6},
        {"width": MAX_IMAGES + 1},
        {"growth": 1 << 60},
        {"steps": 1 << 40},
    ],
    ids=str,
)
def test_bad_plans(fields: dict[str, int]) -> None:
    count = fields.get("count", 1)
    data = hand_made([chain_body(**fields)], [count], counted_names(count))  # type: ignore[arg-type]
    refusal(data, DamagedArchive)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"count": MAX_IMAGES}, ArchiveLimit),
        ({"count": 342_393}, ArchiveLimit),
        ({"count": 300_000, "width": MAX_IMAGES}, ArchiveLimit),
        ({"count": 40_000, "width": MAX_IMAGES, "model": "mnist-grey", "form": 1}, ArchiveLimit),
        ({"count": 10_000, "width": MAX_IMAGES}, DamagedArchive),
    ],
    ids=str,
)
def test_huge_plans_take_little_memory(fields: dict[str, int], kind: type[ArchiveError]) -> None:
    """Little of what they declare is true, so little may be done for it."""
    payload = {"data": b"\1" * 3000}
    body = chain_body(**(fields | payload))  # type: ignore[arg-type]
    with little_memory(400), pytest.raises(kind):
        unpack_segment(body).payload.decode(paper_models(), MAX_PIXELS)


@pytest.mark.parametrize("steps", [MAX_STEPS + 1, 10_000])
def test_too_many_refinement_steps(steps: int) -> None:
    message = refusal(hand_made([chain_body(steps=steps)], [1], counted_names(1)), ArchiveLimit)
    assert f"{steps} refinement steps" in message


def test_wide_batches_are_refused_before_memory_is_taken() -> None:
    """Four megabytes of payload would otherwise decode to latents, and then to gigabytes of parameters."""
    data = np.random.default_rng(0).bytes(1 << 20)
    payload = BitsBack(
        paper_models().load(paper_models().path_named("mnist-binary")).identity,
        PixelForm.BILEVEL,
        Plan(99_999, 1, 99_999, 1, 99_999, 4, 0),
        data,
    )
    with little_memory(10), pytest.raises(ArchiveLimit):
        payload.decode(paper_models(), MAX_PIXELS)


def test_what_the_encoder_makes_is_within_the_limits() -> None:
    from bbcompress.archive.encode import BATCH_PIXELS, MAX_CHAIN_WIDTH
    from bbcompress.codec.dense_file import MAX_SUBPIXELS

    assert MAX_CHAIN_WIDTH * MAX_SUBPIXELS <= MAX_BATCH_SUBPIXELS
    assert BATCH_PIXELS * PixelForm.RGB.channels <= MAX_BATCH_SUBPIXELS


def test_too_many_pictures_in_all() -> None:
    bodies = [chain_body(count=MAX_IMAGES)] * 50
    with little_memory(10):
        refusal(hand_made(bodies, [1] * 50, counted_names(50)), ArchiveLimit)
    with little_memory(10):
        refusal(hand_made([stored_segment(0)] * 2, [MAX_IMAGES, 1], counted_names(1)), ArchiveLimit)


def test_the_index_must_count_the_pictures() -> None:
    segments = [stored_segment(0), stored_segment(1)]
    assert ArchiveReader(hand_made(segments, [1, 1], pack_names(["a", "b"]))).images == 2
    for counts in ([1, 2], [1, 0], [0, 0]):
        data = hand_made(segments, counts, pack_names(list("abc")[: max(2, sum(counts))]))
        assert "index" in refusal(data, DamagedArchive)
        assert sorted(recovered(data)[0]) == [0, 1]


def test_more_names_than_pictures_take_no_memory() -> None:
    with little_memory(10):
        refusal(hand_made([stored_segment(0)], [1], _many(MAX_IMAGES)), DamagedArchive)


@pytest.mark.parametrize(
    ("segments", "names"),
    [
        pytest.param([0, 0], ["a", "b"], id="one picture twice"),
        pytest.param([0, 2], ["a", "b", "c"], id="a picture is missing"),
        pytest.param([1], ["a", "b"], id="the first picture is missing"),
        pytest.param([0, 1], ["a", "b", "c"], id="the last picture is missing"),
        pytest.param([0, 1], ["a"], id="a name is missing"),
        pytest.param([0, 1], [], id="no names"),
        pytest.param([0, 1], ["a", "a"], id="one name twice"),
        pytest.param([], ["a"], id="a name without a picture"),
    ],
)
def test_numbers_and_names_that_do_not_fit(segments: list[int], names: list[str]) -> None:
    data = hand_made([stored_segment(number) for number in segments], [1] * len(segments), pack_names(names))
    refusal(data, DamagedArchive)


@pytest.mark.parametrize("name", [b"../a", b"/a", b"a/./b", b"a\0", b""], ids=repr)
def test_bad_names_make_no_file(name: bytes) -> None:
    names = write_varint(1) + write_varint(0) + write_varint(len(name)) + name + write_varint(0)
    data = hand_made([stored_segment(0)], [1], names)
    assert "name" in refusal(data, DamagedArchive)
    found, damage = recovered(data)
    assert {number: name for number, (name, _) in found.items()} == {0: None}
    assert damage


def test_large_pictures_are_refused_by_the_limit() -> None:
    picture = Picture("L", np.zeros((1000, 1000), np.uint8))
    for data in (single_of(picture), archive_of({"a.png": picture})):
        with pytest.raises(ArchiveLimit), little_memory(2):
            list(ArchiveReader(data).decode(paper_models(), max_pixels=999_999))
        assert len(list(ArchiveReader(data).decode(paper_models(), max_pixels=1_000_000))) == 1
    digits = archive_of(numbered(binary_digits(3)))
    with pytest.raises(ArchiveLimit):
        list(ArchiveReader(digits).decode(paper_models(), max_pixels=3 * 784 - 1))
    list(ArchiveReader(digits).decode(paper_models(), max_pixels=3 * 784))


@pytest.mark.parametrize("side", [1 << 14, 1 << 20, 1 << 31])
def test_pictures_declared_too_large(side: int) -> None:
    """A few bytes that declare up to 2^62 pixels."""
    picture = Picture("L", np.zeros((1, 1), np.uint8))
    header = picture.header._replace(width=side, height=side + 1).pack()
    for method in (0, 1, 2):
        payload = Stored(bytes([method]) + header + b"\0" * 40)
        with little_memory(2):
            refusal(pack_single(payload, bytes(4)), ArchiveLimit)


def test_blocks_of_other_kinds_and_orders(small_archive: bytes) -> None:
    *segments, names, index = (
        small_archive[block.offset : block.offset + block.size] for block in blocks_of(small_archive)
    )
    head, trailer = small_archive[:7], small_archive[-blocks.TRAILER_BYTES :]
    body = blocks_of(small_archive)[-1].body
    assert body is not None
    as_names = blocks.pack_block(BlockType.NAMES, body)
    wrong = [
        head + b"".join(segments[::-1]) + names + index + trailer,
        head + names + b"".join(segments) + index + trailer,
        head + b"".join(segments) + index + names + trailer,
        head + b"".join(segments) + index + trailer,
        head + b"".join(segments) + names + index + index + trailer,
        head + b"".join(segments) + names + as_names + trailer,
        head + b"".join(segments) + segments[0] + names + index + trailer,
        head + b"".join(segments[1:]) + names + index + trailer,
        head + b"".join(segments) + names + index + b"junk" + (len(index) + 4).to_bytes(4, "little") + trailer[4:],
        head + index + trailer,
        head + trailer,
    ]
    for data in wrong:
        refusal(data, DamagedArchive)
        if data.count(segments[0]) <= 1:
            assert ArchiveReader(data, recover=True).damage
        else:
            refusal(data, DamagedArchive, recover=True)


@pytest.mark.parametrize("type", [0, 2, 3, 4, 255])
def test_a_block_of_another_kind_in_the_place_of_a_segment(type: int) -> None:
    sound = hand_made([stored_segment(0), stored_segment(1)], [1, 1], pack_names(["a", "b"]))
    _, other, *_ = blocks_of(sound)
    changed = bytes([type]) + sound[other.offset + 1 : other.offset + other.size - 4]
    data = sound[: other.offset] + blocks.checked(changed) + sound[other.offset + other.size :]
    refusal(data, DamagedArchive)
    found, damage = recovered(data)
    assert {number: name for number, (name, _) in found.items()} == {0: "a"}
    assert damage


@pytest.mark.parametrize("length", [1 << 30, (1 << 31) + 1, (1 << 35) - 1, 1 << 40])
def test_blocks_longer_than_the_file(length: int) -> None:
    start = blocks.checked(blocks.header(Form.ARCHIVE))
    for type in BlockType:
        block = bytes([type]) + write_varint(length) + bytes(40)
        data = start + block + len(block).to_bytes(4, "little") + blocks.END_MARK
        with little_memory(2):
            refusal(data, DamagedArchive)
            assert ArchiveReader(data, recover=True).images == 0


# --- hostile content with right checksums -------------------------------------------------------


def mutated(body: bytes, draw: st.DrawFn) -> bytes:
    """`body` with a few bytes changed, put in or left out."""
    out = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, min(len(out), 90)))
        kind = draw(st.sampled_from(["change", "insert", "delete"]))
        new = draw(st.one_of(st.binary(min_size=1, max_size=3), st.sampled_from([b"\0", b"\xff", b"\xff\xff\xff\x7f"])))
        out[place : place + {"change": len(new), "insert": 0, "delete": 2}[kind]] = b"" if kind == "delete" else new
    return bytes(out)


HOSTILE = [lambda: binary_digits(1)[0], lambda: black_and_white_digits(1)[0], rgb]


@cache
def small_bodies() -> list[bytes]:
    data = archive_of(numbered([*binary_digits(4), rgb(), rgb(2, 2)]))
    return [block.body or b"" for block in blocks_of(data)]


@cache
def small_body(kind: int) -> bytes:
    return single_of(HOSTILE[kind]())[3 : -blocks.SHORT_CRC_BYTES]


@st.composite
def hostile_archives(draw: st.DrawFn) -> bytes:
    bodies = list(small_bodies())
    place = draw(st.integers(0, len(bodies) - 1))
    bodies[place] = mutated(bodies[place], draw)
    *segments, names, index = bodies
    if place < len(bodies) - 1:
        return hand_made(segments, counts_of(segments), names)
    packed = [blocks.pack_block(BlockType.SEGMENT, segment) for segment in segments]
    index_block = blocks.pack_block(BlockType.INDEX, index)
    head = blocks.checked(blocks.header(Form.ARCHIVE))
    names_block = blocks.pack_block(BlockType.NAMES, names)
    return head + b"".join(packed) + names_block + index_block + blocks.pack_trailer(index_block)


@given(hostile_archives(), st.booleans())
@settings(max_examples=200)
def test_hostile_archives_raise_archive_errors_only(data: bytes, recover: bool) -> None:
    try:
        archive = ArchiveReader(data, recover)
        found = list(archive.decode(paper_models(), max_pixels=1 << 15))
    except ArchiveError as error:
        assert "\n" not in str(error)
        return
    # what passes its checks is what was there
    sound = [*binary_digits(4), rgb(), rgb(2, 2)]
    assert all(any(item.picture.same_as(picture) for picture in sound) for item in found)


@st.composite
def hostile_singles(draw: st.DrawFn) -> tuple[Picture, bytes]:
    kind = draw(st.integers(0, len(HOSTILE) - 1))
    return HOSTILE[kind](), single_file(blocks.header(Form.SINGLE) + mutated(small_body(kind), draw))


@given(hostile_singles())
@settings(max_examples=200)
def test_hostile_single_files_raise_archive_errors_only(case: tuple[Picture, bytes]) -> None:
    picture, data = case
    try:
        (item,) = ArchiveReader(data).decode(paper_models(), max_pixels=1 << 15)
    except ArchiveError as error:
        assert "\n" not in str(error)
        return
    assert item.picture.same_as(picture)


# --- documented facts ---------------------------------------------------------------------------


def test_constant_bytes_of_the_format(small_archive: bytes, small_single: bytes) -> None:
    assert small_single[:3] == b"\xbbC\x01"
    assert small_archive[:7] == bytes.fromhex("bb4311d7f4ae87")
    assert small_archive[-2:] == b"C\xbb"
    assert small_single[4:8] == paper_models().load(paper_models().path_named("mnist-binary")).identity[:4]
    picture = binary_digits(1)[0]
    inner = hashlib.sha256(picture.header.pack() + picture.pixel_bytes()).digest()
    digest = hashlib.sha256(inner).digest()
    payload = ArchiveReader(small_single).parts[0].payload
    assert payload.decode(paper_models(), 784).bottom == int.from_bytes(digest[:4], "big") | 1 << 31
    noise = single_of(binary_noise())
    inner = hashlib.sha256(binary_noise().header.pack() + binary_noise().pixel_bytes()).digest()
    assert (noise[3], noise[4:8]) == (0, hashlib.sha256(inner).digest()[:4])


@pytest.mark.parametrize(
    ("numbers", "packed"),
    [([0], "01 00 00"), ([0, 1, 2, 7], "02 00 02 04 00"), ([5], "01 05 00"), (list(range(300)), "01 00 ab 02")],
)
def test_numbers_are_packed_as_runs(numbers: list[int], packed: str) -> None:
    body = pack_segment(Segment(np.array(numbers), Stored(b"x"), bytes(32)))
    assert body[1:].startswith(bytes.fromhex(packed) + bytes(32))
    if len(numbers) == 1:
        assert unpack_segment(body).numbers.tolist() == numbers


@given(st.sets(st.integers(0, 500), min_size=1, max_size=60))
def test_numbers_round_trip(numbers: set[int]) -> None:
    these = np.array(sorted(numbers))
    identity = b"i" * 32
    payload = BitsBack(identity, 0, Plan(len(these), 1, 1, 1, 1, 4, 0), b"payload")  # type: ignore[arg-type]
    body = pack_segment(Segment(these, payload, bytes(32)))
    segment = unpack_segment(body)
    assert segment.numbers.tolist() == these.tolist()
    assert segment.payload == payload
    runs = 1 + sum(later - earlier > 1 for earlier, later in pairwise(these.tolist()))
    assert body[1] == runs


def test_a_registry_of_other_models_changes_no_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files name their model by what it is, not by its name or place."""
    data = single_of(binary_digits(1)[0])
    source = paper_models().path_named("mnist-binary")
    os.symlink(source, tmp_path / "another-name.safetensors")
    monkeypatch.setattr("bbcompress.codec.registry.shipped_models", lambda: tmp_path)
    (item,) = ArchiveReader(data).decode(PaperModels())
    assert item.picture.same_as(binary_digits(1)[0])
    (tmp_path / "another-name.safetensors").unlink()
    with pytest.raises(MissingModel):
        list(ArchiveReader(data).decode(PaperModels()))
