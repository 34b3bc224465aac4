"""How pictures are to be coded is chosen by estimates, and the promising ways are tried in full."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import binary_digits, grey_digits, write
from made_models import make_spatial

from bbcompress.archive.choose import Estimate, candidates, estimates, may_be_stored, promising
from bbcompress.archive.compress import Options, compress_archive, compress_single
from bbcompress.archive.read import Archive
from bbcompress.cli import main
from bbcompress.codec.model_file import save
from bbcompress.codec.registry import Registry
from bbcompress.images import Picture, stored


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
    assert {estimate.name for estimate in found} == {"stored", "spatial-True", "spatial-False"}
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


def test_fast_tries_one_way_only(installed: Registry, stored_sizes: list[int]) -> None:
    said: list[str] = []
    data, summary = compress_single(flat(186), installed, Options(fast=True, report=said.append))
    assert summary.methods == {"stored": 1}
    assert stored_sizes.count(186 * 186) == 1
    assert said[0].startswith("about ") and "spatial-True" in said[0] and said[1].startswith("stored ")
    (item,) = Archive(data).decode(installed)
    assert item.picture.same_as(flat(186))


def test_fast_archives_come_back() -> None:
    pictures = {
        f"{number}.png": picture for number, picture in enumerate([*grey_digits(5), *binary_digits(5), flat(9)])
    }
    data, _ = compress_archive(pictures.items(), Registry(), Options(fast=True))
    assert {item.name for item in Archive(data).decode(Registry())} == pictures.keys()


def test_the_command_says_what_it_chose(tmp_path: Path) -> None:
    write(grey_digits(1)[0], tmp_path / "digit.png")
    done = CliRunner().invoke(main, ["compress", str(tmp_path / "digit.png"), "-v"])
    assert done.exit_code == 0
    assert "mnist-grey" in done.output and "stored" in done.output and "bytes" in done.output
