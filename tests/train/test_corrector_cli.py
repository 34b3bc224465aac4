"""`bbc train` without an architecture: from images to a model that codes, in one command."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from helpers import binary_digits, photograph, write

pytest.importorskip("torch")

import bbcompress
from bbcompress.cli import main
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.model_file import load
from bbcompress.codec.registry import shipped_models
from bbcompress.images import Picture, read_file

MINUTES = 0.001


def bbc(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def train(*arguments: object) -> Result:
    return bbc("train", *arguments)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve small colour pictures of two sizes, and one that is too small."""
    (tmp_path / "photos").mkdir()
    for number in range(12):
        picture = photograph(60 * (number // 4), 50 * (number % 4), 20 + number % 2, 24)
        write(picture, tmp_path / "photos" / f"{number:02}.png")
    write(photograph(0, 0, 5, 70), tmp_path / "photos" / "flat.png")
    return tmp_path / "photos"


def test_images_become_a_model_that_codes_and_a_report(photos: Path, tmp_path: Path) -> None:
    model = tmp_path / "own.safetensors"
    arguments = [photos, "-o", model, "--minutes", MINUTES, "--width", 8, "--name", "mine"]
    done = train(*arguments)
    assert done.exit_code == 0, done.output
    assert "10 images in colour to train on, 2 held out" in done.output
    assert "1 images of less than 8 x 8 pixels are left out" in done.output
    assert re.search(r"held out \d\.\d+ bits/dim \(shipped models \d", done.output)
    assert re.search(r"this model +[\d,]+ bytes", done.output) and re.search(r"PNG +[\d,]+ bytes", done.output)
    assert "the new model makes files that take" in done.output or "NOT better" in done.output
    page = (tmp_path / "own.html").read_text()
    assert "<svg" in page and "data:image/png;base64," in page and "http" not in page
    loaded = load(model)
    assert isinstance(loaded, CorrectorModel) and loaded.info.name == "mine" and loaded.info.channels == 3
    assert len((tmp_path / "own.csv").read_text().splitlines()) == 3
    picture, back = photos / "03.png", tmp_path / "back.png"
    for command in (["compress", picture, "-o", tmp_path / "a.bb"], ["decompress", tmp_path / "a.bb", "-o", back]):
        done = bbc(*command, "--model", model)
        assert done.exit_code == 0, done.output
    assert back.read_bytes() == picture.read_bytes()
    # the time is used up: nothing but the model is written again
    model.unlink()
    done = train(*arguments)
    assert done.exit_code == 0 and "goes on after step" in done.output
    assert isinstance(load(model), CorrectorModel)
    for changed in ([tmp_path / "photos", "--width", 16], [photos / "00.png"]):
        done = train(*changed, "-o", model, "--minutes", MINUTES)
        assert done.exit_code == 1 and ("other networks" in done.output or "too few" in done.output)
    (photos / "00.png").unlink()
    done = train(*arguments)
    assert done.exit_code == 1 and "on other images; remove it" in done.output
    (tmp_path / "own.safetensors.checkpoint").write_bytes(b"damaged")
    done = train(*arguments)
    assert done.exit_code == 1 and "remove it" in done.output.splitlines()[-1]


def written(folder: Path, pictures: list[Picture]) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        write(picture, folder / f"{number:03}.png")
    return folder


@pytest.mark.parametrize("kind", ["black and white", "16 bits"])
def test_other_depths_become_models_that_code(kind: str, tmp_path: Path) -> None:
    if kind == "black and white":
        pictures = binary_digits(30)
    else:
        rows, columns = np.mgrid[:24, :24]
        shades = [2000 + 90 * rows + (17 + number) * columns + rows * columns % 61 for number in range(12)]
        pictures = [Picture("L16", pixels.astype(np.uint16)) for pixels in shades]
    folder, model = written(tmp_path / "images", pictures), tmp_path / "own.safetensors"
    done = train(folder, "-o", model, "--minutes", MINUTES, "--width", 8)
    assert done.exit_code == 0, done.output
    loaded = load(model)
    assert isinstance(loaded, CorrectorModel)
    assert (loaded.info.channels, loaded.info.levels) == (1, 2 if kind == "black and white" else 256)
    archive, back = tmp_path / "a.bb", tmp_path / "back"
    done = bbc("compress", folder, "-o", archive, "--model", model, "-v")
    assert done.exit_code == 0 and "own" in done.output, done.output
    assert bbc("decompress", archive, "-o", back, "--model", model).exit_code == 0
    for path in folder.iterdir():
        assert (back / path.name).read_bytes() == path.read_bytes()


def test_a_shipped_model_is_started_from_where_it_helps(tmp_path: Path) -> None:
    places = [(32 * (number // 4), 32 * (number % 4)) for number in range(12)]
    folder = written(tmp_path / "images", [photograph(row, column, 32, 32) for row, column in places])
    done = train(folder, "-o", tmp_path / "own.safetensors", "--minutes", MINUTES)
    assert done.exit_code == 0 and "from photo" in done.output, done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", 3], "--epochs is for models with latents"),
        (["--learning-rate", 0.1], "--learning-rate is for models with latents"),
        (["--architecture", "dense", "--minutes", 3], "--minutes is not for models with latents"),
        (["--architecture", "dense", "--width", 32], "--width is not for models with latents"),
        (["--start", shipped_models() / "photo.safetensors", "--width", 32], "--width is the starting model's"),
    ],
)
def test_options_of_the_other_kind_are_refused(arguments: list[object], message: str, tmp_path: Path) -> None:
    done = train(tmp_path, "-o", tmp_path / "x.safetensors", *arguments)
    assert done.exit_code == 2 and message in done.output


def test_what_cannot_work_is_one_line_before_the_start(photos: Path, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    output = tmp_path / "x.safetensors"
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.safetensors").write_bytes(b"")
    for number in range(3):
        (photos / f"{number:02}.png").unlink()
    for source, target, message in [
        (tmp_path / "none", output, "no such file or folder"),
        (tmp_path / "empty", output, "holds no image files"),
        (photos, output, "9 images of at least 8 x 8 pixels are too few to train on: give at least 10"),
        (photos, tmp_path / "there.safetensors", "is there already"),
        (photos, tmp_path / "none" / "x.safetensors", "no such folder"),
    ]:
        done = train(source, "-o", target)
        assert done.exit_code in (1, 2) and message in done.output.splitlines()[-1], done.output
    monkeypatch.setitem(sys.modules, "torch", None)
    done = train(photos, "-o", output)
    assert (done.exit_code, done.output.count("\n")) == (1, 1) and "pip install 'bbcompress[train]'" in done.output
    assert not list(tmp_path.glob("x.*"))


def test_a_run_that_is_killed_leaves_a_model_and_goes_on(photos: Path, tmp_path: Path) -> None:
    model, log = tmp_path / "own.safetensors", tmp_path / "own.csv"
    script = "from bbcompress.cli import main; main()"
    arguments = ["train", photos, "-o", model, "--width", 8, "--minutes"]
    environment = {**os.environ, "PYTHONPATH": str(Path(bbcompress.__file__).parent.parent)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    for number, step in ((signal.SIGKILL, 0), (signal.SIGINT, 1)):
        with subprocess.Popen([*command, "60"], env=environment, stderr=subprocess.PIPE, text=True) as running:
            waited_for = "left, held out" if step == 0 else "goes on after"
            assert running.stderr is not None
            while waited_for not in running.stderr.readline():
                assert running.poll() is None
            time.sleep(1)
            running.send_signal(number)
            told = running.stderr.read()
        assert running.returncode == (-9 if number == signal.SIGKILL else 128 + number)
        assert isinstance(load(model), CorrectorModel) and log.exists()
    assert "can be used as it is" in told and "Traceback" not in told
    assert not list(tmp_path.glob(".bbc-*"))
    done = train(*arguments[1:], MINUTES)
    assert done.exit_code == 0 and "goes on after step" in done.output, done.output
    assert isinstance(read_file(photos / "03.png"), Picture)
