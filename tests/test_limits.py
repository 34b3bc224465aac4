"""Small files cannot ask for long work or much memory; what the encoder makes is within the limits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import archive_of, binary_digits, little_memory, numbered, paper_models, photograph

from bbcompress.archive.compress import Options, compress_single
from bbcompress.archive.encode import encode_planes
from bbcompress.archive.errors import ArchiveLimit, DamagedArchive
from bbcompress.archive.forms import PixelForm
from bbcompress.archive.limits import IMAGE_WORK, MAX_CHAIN_IMAGES, MAX_PIXELS, MAX_SEGMENT_IMAGES
from bbcompress.archive.options import MAX_SEGMENT_PIXELS
from bbcompress.archive.payload import BitsBack, Lattice, Payload, Stored, Tiles
from bbcompress.archive.planes import PlanesForm
from bbcompress.archive.read import ArchiveReader
from bbcompress.cli import main
from bbcompress.codec.chain import Plan
from bbcompress.codec.tiles import Size
from bbcompress.images import Picture


def payloads(data: bytes) -> list[Payload]:
    return [part.payload for part in ArchiveReader(data).parts]


def single_of(picture: Picture) -> bytes:
    return compress_single(picture, paper_models(), Options())[0]


def tiles_of(size: Size, bytes_: int, **plan: int) -> Tiles:
    """One picture of noise for the model for colour, in tiles as the encoder makes them."""
    tile = plan.pop("tile", 128)
    count = -(-size[0] // tile) * -(-size[1] // tile)
    whole = Plan(**{"images": count, "first": 1, "width": 8, "growth": 4, "lanes": 1, "density": 1, "steps": 0} | plan)
    data = b"\x81" + np.random.default_rng(0).bytes(bytes_ - 1)
    identity = paper_models().load(paper_models().path_named("cifar10")).identity
    return Tiles(identity, PixelForm.RGB, whole, tile, [size], [()], [], data)


@pytest.mark.parametrize(
    ("size", "payload_bytes", "changes"),
    [
        pytest.param((1 << 14, 1 << 14), 90, {}, id="pixels that so few bytes cannot hold"),
        pytest.param((512, 512), 90, {"tile": 1}, id="tiny tiles"),
        pytest.param((1 << 12, 1 << 12), 1 << 20, {"tile": 4}, id="many tiles"),
        pytest.param((1 << 14, (1 << 14) + 1), 1 << 24, {}, id="pixels"),
        pytest.param((700, 700), 90, {"steps": 100}, id="steps"),
        pytest.param((1 << 12, 1 << 12), 1 << 14, {"tile": 1 << 10, "width": 8}, id="wide batches of large tiles"),
        pytest.param((64, 64), 100, {"tile": 2, "width": 1}, id="many small batches"),
    ],
)
def test_work_that_is_refused_at_once(size: Size, payload_bytes: int, changes: dict[str, int]) -> None:
    payload = tiles_of(size, payload_bytes, **changes)
    with little_memory(100), pytest.raises(ArchiveLimit):
        payload.decode(paper_models(), MAX_PIXELS)


def lattice_of(sizes: list[Size], bytes_: int, mode: str = "RGB") -> Lattice:
    """Noise in the place of what an encoder makes of pictures coarse to fine."""
    return Lattice(b"", PlanesForm(mode, 8), sizes, np.random.default_rng(0).bytes(bytes_))


@pytest.mark.parametrize(
    ("sizes", "payload_bytes"),
    [
        pytest.param([(1 << 14, (1 << 14) + 1)], 1 << 24, id="pixels"),
        pytest.param([(1 << 10, 1 << 10)], 90, id="pixels that so few bytes cannot hold"),
        pytest.param([(1, 1 << 24)], 90, id="a long line"),
        pytest.param([(1, 1 + number) for number in range(1000)], 1000, id="many sizes"),
        pytest.param([(1, 1)] * 100_000, 1000, id="many pictures"),
    ],
)
def test_coarse_to_fine_asks_for_no_more(sizes: list[Size], payload_bytes: int) -> None:
    with little_memory(100), pytest.raises(ArchiveLimit):
        lattice_of(sizes, payload_bytes).decode(paper_models(), MAX_PIXELS)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_coarse_to_fine_ends_where_bytes_do(mode: str) -> None:
    with pytest.raises(DamagedArchive):
        lattice_of([(1 << 9, 1 << 9)], 1 << 10, mode).decode(paper_models(), MAX_PIXELS)
    picture = photograph(0, 0, 64, 64)
    payload = encode_planes(None, [picture], PlanesForm("RGB", 8), paper_models().engine).payload
    assert isinstance(payload, Lattice)
    larger = replace(payload, sizes=[(1 << 9, 1 << 9)])
    with little_memory(100), pytest.raises(DamagedArchive):
        larger.decode(paper_models(), MAX_PIXELS)


@pytest.mark.parametrize("tile", [128, 1 << 10])
def test_bytes_that_run_out_are_damage_at_once(tile: int) -> None:
    """As much as they may ask for; none of the rest is computed."""
    with pytest.raises(DamagedArchive, match="empty"):
        tiles_of((1 << 10, 1 << 10), 1 << 9, tile=tile).decode(paper_models(), MAX_PIXELS)


def test_a_higher_limit_of_pixels_raises_that_of_work() -> None:
    payload = tiles_of((1 << 10, 1 << 10), 100)
    with pytest.raises(ArchiveLimit):
        payload.checked_model(paper_models(), MAX_PIXELS)
    payload.checked_model(paper_models(), 8 * MAX_PIXELS)


def test_pictures_that_a_reader_would_refuse_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = numbered(binary_digits(3))
    single, archive = single_of(digits["0.png"]), archive_of(digits)
    assert all(isinstance(payload, BitsBack) for data in (single, archive) for payload in payloads(data))
    monkeypatch.setattr("bbcompress.archive.limits.BASE_WORK", 0)
    monkeypatch.setattr("bbcompress.archive.limits.WORK_PER_BYTE", IMAGE_WORK)
    single, archive = single_of(digits["0.png"]), archive_of(digits)
    assert all(isinstance(payload, Stored) for data in (single, archive) for payload in payloads(data))
    assert all(item.picture.same_as(digits[str(item.name)]) for item in ArchiveReader(archive).decode(paper_models()))


def test_pictures_of_a_segment_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bbcompress.archive.jobs.MAX_SEGMENT_IMAGES", 4)
    assert [len(part.numbers) for part in ArchiveReader(archive_of(numbered(binary_digits(10)))).parts] == [4, 4, 2]
    # tiles of 128 x 128, of pictures that are no higher, or longer, than one pixel more
    assert MAX_SEGMENT_IMAGES + MAX_SEGMENT_PIXELS // 64 <= MAX_CHAIN_IMAGES


@pytest.mark.parametrize(("limit", "code"), [(2499, 6), (2500, 0)])
def test_pixels_that_are_decoded_are_limited(limit: int, code: int, tmp_path: Path) -> None:
    (tmp_path / "a.bb").write_bytes(single_of(Picture("1", np.zeros((50, 50), np.uint8))))
    for command, file, output in (
        ("decompress", "a.bb", ["-o", "new.png"]),
        ("test", "a.bb", []),
    ):
        output = [part if part == "-o" else str(tmp_path / part) for part in output]
        done = CliRunner().invoke(main, [command, str(tmp_path / file), *output, "-M", str(limit)])
        assert done.exit_code == code, done.output
        if code:
            assert "limit" in done.stderr
            assert not (tmp_path / "new.png").exists()
