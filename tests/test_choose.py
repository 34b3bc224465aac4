"""How pictures are to be coded is chosen by estimates, and the promising ways are tried in full."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import binary_digits, grey_digits, paper_models, photograph, registry, write
from made_arrays import npy_bytes
from made_models import make_corrector, make_spatial

from bbcompress.archive import choose
from bbcompress.archive.choose import Candidate, Estimate, candidates, estimates, is_alone, may_be_stored, promising
from bbcompress.archive.choose_array import is_kept
from bbcompress.archive.compress import Options, compress_archive, compress_single
from bbcompress.archive.encode import encode_planes
from bbcompress.archive.payload import Lattice
from bbcompress.archive.planes import planes_form
from bbcompress.archive.read import ArchiveReader
from bbcompress.cli import main
from bbcompress.codec.fit import QUICK, THOROUGH
from bbcompress.codec.model_file import save
from bbcompress.codec.registry import Registry, shipped_models
from bbcompress.images import Picture, kept, stored
from bbcompress.images.arrays.files import take_apart


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Two tiny colour models alone."""
    folder = tmp_path_factory.mktemp("models")
    save(folder / "phases.safetensors", make_spatial(True))
    save(folder / "whole.safetensors", make_spatial(False))
    registry = Registry(files=sorted(folder.iterdir()))
    registry.headers = lambda: (found for found in Registry.headers(registry) if found[0].parent == folder)  # type: ignore[method-assign]
    return registry


def noise(size: int) -> Picture:
    return Picture("RGB", np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8))


def flat(size: int) -> Picture:
    return Picture("RGB", np.full((size, size, 3), 9, np.uint8))


@pytest.fixture
def stored_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pixels of every picture that is stored on trial."""
    real: Callable[[Picture], bytes] = stored.encode
    sizes: list[int] = []

    def noted(picture: Picture) -> bytes:
        sizes.append(picture.width * picture.height)
        return real(picture)

    monkeypatch.setattr(stored, "encode", noted)
    return sizes


def test_estimates_come_from_crops_of_large_pictures(installed: Registry, stored_sizes: list[int]) -> None:
    ways = candidates(noise(186), installed, None)
    found = estimates([noise(186)], ways, installed)
    assert {estimate.name for estimate in found} == {"stored", "spatial-True", "spatial-False", "predictors"}
    assert [estimate.bits_per_dim for estimate in found] == sorted(estimate.bits_per_dim for estimate in found)
    assert stored_sizes == [64 * 64] * 4
    assert 7.9 < next(estimate for estimate in found if estimate.name == "stored").bits_per_dim < 8.2


@pytest.mark.parametrize(
    "first", [20, pytest.param(0, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.slow)]
)
def test_many_digits_go_by_the_model_that_is_better_for_many(first: int) -> None:
    """Not by that which is better for the first few, in two parts, as it would be here for all but 0 by four images."""
    digits, registry = binary_digits(first + 100)[first:], Registry()
    assert estimates(digits, candidates(digits[0], registry, None), registry)[0].name == "digits-binary"


@pytest.mark.parametrize(("stored_bytes", "tried"), [(3000, 7), (245, 7 + 20)])
def test_what_is_far_from_the_best_is_ruled_out_by_a_few(
    installed: Registry, monkeypatch: pytest.MonkeyPatch, stored_bytes: int, tried: int
) -> None:
    """Of 40 pictures 20 are the sample, and every third of these may rule out storing."""
    sizes: list[int] = []

    def encode(picture: Picture) -> bytes:
        sizes.append(picture.width)
        return bytes(stored_bytes)

    monkeypatch.setattr(stored, "encode", encode)
    ways = [way for way in candidates(noise(9), installed, None) if way.model]
    found = estimates([noise(9)] * 40, ways, installed)
    assert len(sizes) == tried
    assert len(found) == 3 and found == sorted(found, key=lambda estimate: estimate.bits_per_dim)
    assert may_be_stored(found) == (tried > 7)


def test_storing_is_tried_only_where_it_may_win(stored_sizes: list[int]) -> None:
    assert choose._stored_bits(noise(16), 1e9) == 8 * len(stored.encode(noise(16)))
    assert len(stored_sizes) == 2
    assert 1000 < choose._stored_bits(noise(16), 1000.0) < 8 * len(stored.encode(noise(16)))
    assert len(stored_sizes) == 3, "what it takes at least is more than by models"


def test_only_promising_ways_are_tried(installed: Registry) -> None:
    ways = candidates(flat(186), installed, None)
    assert [way.name for way in promising(estimates([flat(186)], ways, installed))] == ["stored"]
    storing, best, near, far = (
        Estimate(None, "stored", 1.0),
        Estimate(ways[0], "best", 0.5),
        Estimate(ways[1], "near", 1.05),
        Estimate(ways[1], "far", 1.2),
    )
    assert promising([best, storing, near]) == [storing, best]
    assert promising([storing, near]) == [storing, near]
    assert promising([storing, far]) == [storing]
    assert not may_be_stored([best, storing, near])
    assert may_be_stored([storing, near]) and may_be_stored([storing._replace(bits_per_dim=1.15), near])


def test_what_is_stored_says_so(installed: Registry, stored_sizes: list[int]) -> None:
    said: list[str] = []
    data, summary = compress_single(flat(186), installed, Options(report=said.append))
    assert summary.methods == {"stored": 1}
    assert stored_sizes.count(186 * 186) == 1
    assert said[0].startswith("about ") and "spatial-True" in said[0] and said[1].startswith("stored ")
    (item,) = ArchiveReader(data).decode(installed)
    assert item.picture.same_as(flat(186))


@pytest.mark.parametrize("effort", [1, 2])
def test_archives_of_any_effort_come_back(effort: int) -> None:
    pictures = {
        f"{number}.png": picture for number, picture in enumerate([*grey_digits(5), *binary_digits(5), flat(9)])
    }
    data, _ = compress_archive(pictures.items(), paper_models(), Options(effort=effort))
    found = {item.name: item.picture for item in ArchiveReader(data).decode(paper_models())}
    assert found.keys() == pictures.keys()
    assert all(found[name].same_as(picture) for name, picture in pictures.items())


@pytest.fixture
def corrected(installed: Registry, tmp_path: Path) -> Registry:
    """With a corrector besides."""
    save(tmp_path / "corrector.safetensors", make_corrector(3))
    registry = Registry(files=[tmp_path / "corrector.safetensors", *(path for path, _ in installed.headers())])
    registry.headers = lambda: (  # type: ignore[method-assign]
        found for found in Registry.headers(registry) if found[0].parent != shipped_models()
    )
    return registry


def names(ways: Sequence[Candidate]) -> list[str]:
    return [way.model.stem if way.model else "predictors" for way in ways]


def test_large_pictures_are_coded_coarse_to_fine_alone(corrected: Registry) -> None:
    assert names(candidates(noise(256), corrected, None)) == ["corrector", "phases", "whole"]
    assert names(candidates(noise(257), corrected, None)) == ["corrector"]
    ways = candidates(noise(257), corrected, None)
    assert is_alone(noise(257), ways) and not is_alone(noise(256), ways)
    bilevel = Picture("1", np.zeros((300, 300), np.uint8))
    assert not is_alone(bilevel, candidates(bilevel, corrected, None))
    whole = next(path for path, _ in corrected.headers() if path.stem == "whole")
    assert names(candidates(noise(257), corrected, whole)) == ["whole"], "as it was asked for"
    deep = Picture("L16", np.zeros((9, 9), np.uint16))
    assert names(candidates(deep, corrected, None)) == ["predictors"], "the corrector is for colours"


@pytest.mark.parametrize(("count", "together"), [(1, 51), (2, 50)])
def test_few_pictures_that_more_models_can_code_go_with_the_others(
    count: int, together: int, corrected: Registry, tmp_path: Path
) -> None:
    """Grey ones in colour, which a grey model could code too, in a segment of their own."""
    save(tmp_path / "grey.safetensors", make_spatial(False, 1))
    registry = Registry(files=[tmp_path / "grey.safetensors", *(path for path, _ in corrected.headers())])
    registry.headers = lambda: (  # type: ignore[method-assign]
        found for found in Registry.headers(registry) if found[0].parent != shipped_models()
    )
    colour = [photograph(4 * number, 3 * number, 12, 12) for number in range(50)]
    grey = [replace(one, pixels=one.pixels[..., :1].repeat(3, 2)) for one in colour[:count]]
    assert {*candidates(colour[0], registry, None)} < {*candidates(grey[0], registry, None)}
    pictures = [*colour[:7], *grey, *colour[7:]]
    data, _ = compress_archive([(f"{n:02}.png", picture) for n, picture in enumerate(pictures)], registry, Options())
    reader = ArchiveReader(data)
    assert max(len(part.numbers) for part in reader.parts) == together
    found = {item.name: item.picture for item in reader.decode(registry)}
    assert all(found[f"{n:02}.png"].same_as(picture) for n, picture in enumerate(pictures))


def test_the_least_effort_uses_no_networks(corrected: Registry) -> None:
    assert names(candidates(noise(20), corrected, None, networks=False)) == ["predictors"]
    assert candidates(Picture("1", np.zeros((9, 9), np.uint8)), corrected, None, networks=False) == ()
    gradient = Picture("RGB", np.add.outer(np.arange(50), np.arange(60))[..., None].repeat(3, 2).astype(np.uint8))
    for data, summary in (
        compress_single(gradient, corrected, Options(effort=1)),
        compress_archive([("a.png", gradient)], corrected, Options(effort=1)),
    ):
        assert set(summary.methods) <= {"predictors", "stored"}
        (item,) = ArchiveReader(data).decode(corrected)
        assert item.picture.same_as(gradient)


def test_alpha_is_coded_beside_what_is_corrected(corrected: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bbcompress.archive.choose.CHAIN_PIXELS", 100)
    alpha = np.random.default_rng(0).integers(0, 256, (60, 50), np.uint8)
    picture = Picture("RGBA", np.dstack([photograph(3, 5, 60, 50).pixels, alpha]))
    data, summary = compress_archive([("a.png", picture)], corrected, Options())
    (part,) = ArchiveReader(data).parts
    assert summary.methods == {"corrector-3": 1} and isinstance(part.payload, Lattice)
    (item,) = ArchiveReader(data).decode(corrected)
    assert item.picture.same_as(picture)


def test_the_command_says_what_it_chose(tmp_path: Path) -> None:
    write(grey_digits(1)[0], tmp_path / "digit.png")
    done = CliRunner().invoke(main, ["compress", str(tmp_path / "digit.png"), "-v"])
    assert done.exit_code == 0
    assert "mnist-grey" in done.output and "stored" in done.output and "bytes" in done.output


def test_a_model_for_small_pictures_is_left_out_for_larger_ones() -> None:
    registry = Registry()
    small = registry.path_named("thumbnails")

    def models(height: int, width: int, only: Path | None = None) -> list[Path | None]:
        picture = Picture("RGB", np.zeros((height, width, 3), np.uint8))
        return [way.model for way in candidates(picture, registry, only)]

    assert small in models(256, 256)
    assert small not in models(256, 257)
    assert models(256, 257, small) == [small]


@pytest.mark.parametrize(("times", "whole"), [(1, False), (4, True)], ids=["none alike", "again far away"])
def test_an_array_whose_pictures_come_again_is_kept(monkeypatch: pytest.MonkeyPatch, times: int, whole: bool) -> None:
    """So far apart that the parts of the file by which keeping it is estimated hold none that are alike."""
    monkeypatch.setattr(kept, "_QUICK_BYTES", 1 << 16)
    rows, columns = np.ogrid[:32, :32]
    random = np.random.default_rng(0)
    slopes = random.integers(0, 40, (2, 400, 1, 1))
    noise = random.integers(0, 4, (400, 32, 32))
    pictures = np.tile((slopes[0] * rows + slopes[1] * columns + noise).astype(np.uint8), (times, 1, 1))
    data = npy_bytes(pictures)
    array, unpacked = take_apart(io.BytesIO(data), "x.npy", io.BytesIO)
    assert is_kept(array, unpacked, len(data), registry(), Options(effort=1)) == whole


def test_effort_1_fits_quickly() -> None:
    picture = photograph(0, 0, 128, 160)
    form = planes_form(picture)
    assert form is not None
    quick, thorough = (encode_planes(None, [picture], form, registry().engine, effort=effort).payload.data
                       for effort in (QUICK, THOROUGH))  # fmt: skip
    assert quick != thorough
    assert quick in compress_single(picture, registry(), Options(effort=1))[0]
    assert quick in compress_archive({"x.png": picture}.items(), registry(), Options(effort=1))[0]
