"""`bbc train --corrector`: from images to a model that codes, in one command."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from helpers import photograph, write

pytest.importorskip("torch")

from bbcompress.cli import main
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.model_file import load
from bbcompress.datasets import DatasetError
from bbcompress.datasets.groups import crops, load_groups


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve small colour pictures of two sizes, and one that is too small."""
    (tmp_path / "photos").mkdir()
    for number in range(12):
        picture = photograph(60 * (number // 4), 50 * (number % 4), 20 + number % 2, 24)
        write(picture, tmp_path / "photos" / f"{number}.png")
    write(photograph(0, 0, 5, 70), tmp_path / "photos" / "flat.png")
    return tmp_path / "photos"


def test_images_become_a_model_that_codes(photos: Path, tmp_path: Path) -> None:
    model = tmp_path / "own.safetensors"
    arguments = [photos, "-o", model, "--corrector", "--minutes", 0.001, "--width", 8, "--name", "mine"]
    done = train(*arguments)
    assert done.exit_code == 0, done.output
    assert "10 groups of crops to train on, 2 held out" in done.output and "without networks" in done.output
    loaded = load(model)
    assert isinstance(loaded, CorrectorModel) and loaded.info.name == "mine" and loaded.info.channels == 3
    assert len((tmp_path / "own.csv").read_text().splitlines()) == 2
    picture, back = photos / "3.png", tmp_path / "back.png"
    for command in (["compress", picture, "-o", tmp_path / "a.bb"], ["decompress", tmp_path / "a.bb", "-o", back]):
        done = CliRunner().invoke(main, [*map(str, command), "--model", str(model)])
        assert done.exit_code == 0, done.output
    assert back.read_bytes() == picture.read_bytes()
    # the time is used up: nothing but the model is written again
    model.unlink()
    done = train(*arguments)
    assert done.exit_code == 0 and "goes on after step" in done.output
    assert load(model).identity == loaded.identity
    (tmp_path / "own.safetensors.checkpoint").write_bytes(b"damaged")
    for changed in ([], ["--width", 16]):
        done = train(*arguments, *changed)
        assert (done.exit_code, done.output.count("\n")) == (1, 1) and "remove it" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--corrector", "--epochs", 3], "--epochs is for models with latents"),
        (["--corrector", "--learning-rate", 0.1], "--learning-rate is for models with latents"),
        (["--corrector", "--start", __file__], "--start is for models with latents"),
        (["--minutes", 3], "--minutes is for --corrector"),
        (["--width", 32], "--width is for --corrector"),
    ],
)
def test_options_of_the_other_kind_are_refused(arguments: list[object], message: str, tmp_path: Path) -> None:
    done = train(tmp_path, "-o", tmp_path / "x.safetensors", *arguments)
    assert done.exit_code == 2 and message in done.output


def test_too_few_images_are_one_line(photos: Path, tmp_path: Path) -> None:
    for number in range(3):
        (photos / f"{number}.png").unlink()
    done = train(photos, "-o", tmp_path / "x.safetensors", "--corrector")
    assert (done.exit_code, done.output) == (1, f"bbc: {photos}: 9 images that are not tiny are too few: at least 10\n")
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize(
    ("size", "side", "count"), [((16, 40), 16, 2), ((96, 96), 96, 1), ((200, 300), 96, 6), ((700, 500), 96, 8)]
)
def test_crops_are_apart_and_inside(size: tuple[int, int], side: int, count: int) -> None:
    places = np.arange(size[0] * size[1]).reshape(size)
    image = np.stack([places % 251, places // 251 % 256, places // 251 // 256], -1).astype(np.uint8)
    found = crops(image)
    assert found.shape == (count, side, side, 3)
    whole = found.astype(int) @ [1, 251, 251 * 256]
    assert len(np.unique(whole)) == whole.size
    assert (np.diff(whole, axis=2) == 1).all()


def test_groups_of_arrays(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 256, (3, 2, 20, 20, 1)).astype(np.uint8)
    for array, shapes in ((groups, [(2, 20, 20, 1)] * 3), (groups[:, 0], [(1, 20, 20, 1)] * 3), (groups[:, 0, :9], [])):
        np.save(tmp_path / "a.npy", array)
        assert [group.shape for group in load_groups(tmp_path / "a.npy")] == shapes
    wrongs = [groups[:, :, :18], groups.astype(np.float32), groups[:0], np.zeros((3, 2, 20, 20, 2), np.uint8)]
    for wrong in [*wrongs, np.zeros((3, 20, 20, 4), np.uint8)]:
        np.save(tmp_path / "a.npy", wrong)
        with pytest.raises(DatasetError, match=r"a\.npy") as caught:
            load_groups(tmp_path / "a.npy")
        assert "\n" not in str(caught.value)


def test_grey_among_colours_is_refused(photos: Path) -> None:
    from bbcompress.images import Picture

    write(Picture("L", np.zeros((20, 20), np.uint8)), photos / "z.png")
    with pytest.raises(DatasetError, match=r"z.png: grey among"):
        load_groups(photos)
