"""The commands as a user meets them: round trips, exit codes, one clear line, and nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import FILES, binary_digits, grey_digits, grey_noise, odd_pictures
from PIL import Image

from bbcompress.archive import blocks
from bbcompress.cli import main
from bbcompress.codec import registry
from bbcompress.images import read, write


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def digits_folder(here):
    """Folder `digits`: grey digits, a binary one in a folder below, and two pictures that no model codes."""
    (here / "digits" / "more").mkdir(parents=True)
    for number, picture in enumerate(grey_digits(4)):
        write(picture, here / "digits" / f"{number:03d}.png")
    write(binary_digits(1)[0], here / "digits" / "more" / "bilevel.png")
    write(grey_noise(), here / "digits" / "noise.png")
    name, odd = next(iter(odd_pictures().items()))
    write(odd, here / "digits" / f"odd-{name}")
    return here / "digits"


def bbc(*arguments, code=0, input=None):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments], input=input)
    assert done.exit_code == code, (done.output, done.exception)
    if code not in (0, 2):
        assert len(done.stderr.strip().splitlines()) == 1
        assert done.stderr.startswith("bbc: ")
    return done


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def same_pictures(a, b):
    return files_below(a) == files_below(b) and all(read(a / name).same_as(read(b / name)) for name in files_below(a))


def test_one_image_there_and_back(here):
    write(binary_digits(1)[0], here / "digit.png")
    before = (here / "digit.png").read_bytes()
    done = bbc("compress", "digit.png")
    assert "1 mnist-binary" in done.stderr
    assert (here / "digit.png").read_bytes() == before
    bbc("decompress", "digit.bb", "-o", "back.png")
    assert read("back.png").same_as(read("digit.png"))
    bbc("decompress", "digit.bb", "-o", "back.tif")
    assert read("back.tif").same_as(read("digit.png"))
    bbc("decompress", "digit.bb", code=1)  # digit.png is there
    (here / "digit.png").unlink()
    bbc("decompress", "digit.bb")
    assert read("digit.png").same_as(read("back.png"))


@pytest.mark.parametrize("steps", [0, 2])
def test_a_folder_there_and_back(digits_folder, here, steps):
    bbc("compress", "digits", "-o", "all.bb", "--refine-steps", steps)
    bbc("decompress", "all.bb", "-o", "back")
    assert same_pictures(digits_folder, here / "back")
    bbc("decompress", "all.bb")
    assert same_pictures(digits_folder, here / "all")
    assert "ok, 7 images" in bbc("test", "all.bb").stdout
    info = json.loads(bbc("info", "all.bb", "--json").stdout)
    assert (info["form"], info["images"]) == ("archive", 7)
    assert {segment["method"] for segment in info["segments"]} == {"bits-back", "stored"}
    assert {segment.get("refine_steps") for segment in info["segments"]} <= {None, 0, steps}
    assert "segment 1" in bbc("info", "all.bb").stdout


@pytest.mark.parametrize("name", sorted(odd_pictures()))
def test_any_picture_there_and_back(here, name):
    write(odd_pictures()[name], here / name)
    bbc("compress", name, "-o", "x.bb", "-q")
    bbc("decompress", "x.bb", "-o", "back" + Path(name).suffix)
    assert read("back" + Path(name).suffix).same_as(odd_pictures()[name])


def test_standard_input_and_output(here):
    png = (FILES / "digit.png").read_bytes()
    packed = bbc("compress", "-", "-o", "-", input=png).stdout_bytes
    assert len(packed) < 50
    (here / "back.png").write_bytes(bbc("decompress", "-", "-o", "-", input=packed).stdout_bytes)
    assert read("back.png").same_as(read(FILES / "digit.png"))


def test_binary_never_goes_to_a_terminal(here):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from bbcompress.cli import main; main()", "compress", str(FILES / "digit.png")]
    done = subprocess.run([*command, "-o", "-"], stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert "terminal" in done.stderr


def test_quiet_says_nothing(here):
    done = bbc("compress", FILES / "digit.png", "-o", "x.bb", "-q")
    assert done.output == ""
    assert bbc("decompress", "x.bb", "-o", "x.png", "-q").output == ""


def test_nothing_is_overwritten_without_force(here):
    (here / "x.bb").write_text("precious")
    assert "already exists" in bbc("compress", FILES / "digit.png", "-o", "x.bb", code=1).stderr
    assert (here / "x.bb").read_text() == "precious"
    bbc("compress", FILES / "digit.png", "-o", "x.bb", "-f")
    (here / "x.png").write_text("precious")
    bbc("decompress", "x.bb", "-o", "x.png", code=1)
    assert (here / "x.png").read_text() == "precious"
    bbc("decompress", "x.bb", "-o", "x.png", "-f")
    assert read("x.png").same_as(read(FILES / "digit.png"))


def test_no_file_of_a_folder_is_overwritten_without_force(digits_folder, here):
    bbc("compress", "digits", "-o", "all.bb")
    (here / "back").mkdir()
    (here / "back" / "002.png").write_text("precious")
    bbc("decompress", "all.bb", "-o", "back", code=1)
    assert files_below(here / "back") == ["002.png"]
    bbc("decompress", "all.bb", "-o", "back", "-f")
    assert same_pictures(digits_folder, here / "back")


@pytest.mark.parametrize("name", ["bad-flipped-bit.bb", "bad-cut-short.bb", "bad-empty.bb", "bad-archive-cut-short.bb"])
def test_damage_is_code_3_and_leaves_nothing(here, name):
    for command in ("decompress", "test", "info"):
        assert name in bbc(command, FILES / name, code=3).stderr
    bbc("decompress", FILES / name, "-o", "out.png", code=3)
    bbc("decompress", FILES / name, "-o", "out", code=3)
    assert list(here.iterdir()) == []


def test_a_later_version_is_code_4(here):
    for name in ("unsupported-version.bb", "unsupported-method.bb"):
        assert "later version" in bbc("decompress", FILES / name, "-o", "x.png", code=4).stderr
    assert list(here.iterdir()) == []


def test_a_missing_model_is_code_5(here, monkeypatch):
    assert "mnist-grey" in bbc("compress", FILES / "digit.png", "-o", "x.bb", "--model", "nonsense", code=5).stderr
    bbc("compress", FILES / "digit.png", "-o", "x.bb")
    shipped = registry.shipped_models()
    monkeypatch.setattr(registry, "shipped_models", lambda: here)
    bbc("decompress", "x.bb", "-o", "x.png", code=5)
    assert not (here / "x.png").exists()
    bbc("decompress", "x.bb", "-o", "x.png", "--model", shipped / "mnist-binary.safetensors")
    monkeypatch.setenv(registry.MODEL_PATH_VARIABLE, str(shipped))
    bbc("decompress", "x.bb", "-o", "y.png")


def test_a_limit_is_code_6(here, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "digit.png" in bbc("compress", FILES / "digit.png", "-o", "x.bb", code=6).stderr
    assert not (here / "x.bb").exists()


@pytest.mark.parametrize(
    "arguments",
    [["compress"], ["compress", "a.png", "b.png"], ["compress", "--refine-steps", "-1", "a.png"], ["nonsense"]],
)
def test_wrong_usage_is_code_2(here, arguments):
    bbc(*arguments, code=2)


def test_unreadable_input_is_code_1(here):
    assert "gone.png" in bbc("compress", "gone.png", code=1).stderr
    assert "gone.bb" in bbc("decompress", "gone.bb", code=1).stderr
    (here / "text.png").write_text("not an image")
    assert "text.png" in bbc("compress", "text.png", code=1).stderr
    (here / "empty").mkdir()
    assert "no images" in bbc("compress", "empty", "-o", "x.bb", code=1).stderr
    assert sorted(path.name for path in here.iterdir()) == ["empty", "text.png"]


def test_two_images_of_one_name_are_refused(digits_folder, here):
    assert "000.png" in bbc("compress", "digits/000.png", "digits", "-o", "x.bb", code=1).stderr
    assert not (here / "x.bb").exists()


def test_a_name_that_cannot_be_kept_is_refused_before_the_work(here):
    (here / "in").mkdir()
    (here / "in" / "a\nb.png").write_bytes((FILES / "digit.png").read_bytes())
    bbc("compress", "in", "-o", "x.bb", code=1)
    assert not (here / "x.bb").exists()


def test_a_format_that_would_lose_data_is_refused(here):
    bbc("compress", FILES / "digit.png", "-o", "x.bb")
    assert "would lose data" in bbc("decompress", "x.bb", "-o", "x.jpg", code=1).stderr
    assert files_below(here) == ["x.bb"]


def test_a_lossy_source_comes_back_under_a_lossless_name(here):
    (here / "in").mkdir()
    Image.new("RGB", (9, 7), (10, 200, 30)).save(here / "in" / "photo.jpg")
    bbc("compress", "in", "-o", "x.bb")
    bbc("decompress", "x.bb", "-o", "back")
    assert files_below(here / "back") == ["photo.jpg.png"]
    assert read("back/photo.jpg.png").same_as(read("in/photo.jpg"))


def test_keep_going_recovers_the_other_segments(digits_folder, here):
    bbc("compress", "digits", "-o", "all.bb")
    data = bytearray((here / "all.bb").read_bytes())
    block = blocks.read_block(bytes(data), 3 + blocks.CRC_BYTES)  # the first segment: a stored picture
    data[block.offset + block.size // 2] ^= 1
    (here / "all.bb").write_bytes(data)
    bbc("decompress", "all.bb", "-o", "back", code=3)
    assert not (here / "back").exists()
    bbc("decompress", "all.bb", "-o", "back", "--keep-going", "-q", code=3)
    recovered = files_below(here / "back")
    assert len(recovered) == 6
    assert all(read(here / "back" / name).same_as(read(digits_folder / name)) for name in recovered)
    assert [path.name for path in here.iterdir() if path.name.startswith(".")] == []


def test_models_and_bench(digits_folder, here):
    models = json.loads(bbc("models", "--json").stdout)
    assert {model["name"] for model in models} >= {"mnist-binary", "mnist-grey"}
    assert "mnist-binary" in bbc("models").stdout
    rows = json.loads(bbc("bench", "digits", "--refine-steps", "0,2", "--json").stdout)
    assert [row["refine_steps"] for row in rows] == [0, 2]
    assert all(row["total_bits_per_dim"] > row["net_bits_per_dim"] > 0 for row in rows)
    assert "total bits/dim" in bbc("bench", "digits", "--refine-steps", "0").stdout
    bbc("bench", "digits", "--refine-steps", "zero", code=2)


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], {"numpy", "PIL", "torch", "scipy", "matplotlib", "safetensors"}),
        (["compress", str(FILES / "digit.png"), "-o", "x.bb"], {"torch", "scipy", "matplotlib"}),
        (["decompress", str(FILES / "good-archive-refined.bb"), "-o", "x"], {"torch", "scipy", "matplotlib"}),
    ],
)
def test_commands_import_no_more_than_they_need(here, arguments, unwanted):
    script = "import sys; from bbcompress.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not unwanted & set(done.stderr.split())
