"""The commands as a user meets them: round trips, exit codes, one clear line, and nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import (
    FILES,
    archive_of,
    binary_digits,
    grey_digits,
    grey_noise,
    odd_pictures,
    read,
    rgb,
    thumbnails,
    write,
)

from bbcompress.archive import blocks
from bbcompress.archive.source import Source
from bbcompress.cli import main
from bbcompress.codec import registry


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


def everything_below(folder):
    """Files with their bytes, and folders: what must be the same after a failure."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else None for name, path in found.items()}


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
    assert (
        {"stored"} < {segment["method"] for segment in info["segments"]} <= {"stored", "bits-back", "tiles", "lattice"}
    )
    assert {segment.get("refine_steps") for segment in info["segments"]} <= {None, 0, steps}
    assert "stored: " in bbc("info", "all.bb").stdout


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


def test_the_program_ends_with_all_written_and_its_exit_code(here):
    """By its entry point, which ends the process at once; what is printed waits in buffers of pipes."""
    program = [sys.executable, "-c", "from bbcompress.cli import run; run()"]
    packed = subprocess.run([*program, "compress", str(FILES / "digit.png"), "-o", "-"], capture_output=True)
    assert packed.returncode == 0
    assert packed.stdout == bbc("compress", FILES / "digit.png", "-o", "-").stdout_bytes
    failed = subprocess.run([*program, "info", "missing.bb"], capture_output=True, text=True)
    assert (failed.returncode, failed.stderr) == (1, bbc("info", "missing.bb", code=1).stderr)
    told = subprocess.run([*program, "list", str(FILES / "good-archive-lattice.bb")], capture_output=True, text=True)
    assert told.stdout == bbc("list", FILES / "good-archive-lattice.bb").stdout != ""


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
    bbc("compress", FILES / "digit.png", "-o", "x.bb", "--model", "mnist-binary")
    shipped = registry.shipped_models()
    monkeypatch.setattr(registry, "shipped_models", lambda: here)
    bbc("decompress", "x.bb", "-o", "x.png", code=5)
    assert not (here / "x.png").exists()
    bbc("decompress", "x.bb", "-o", "x.png", "--model", shipped / "mnist-binary.safetensors")
    monkeypatch.setenv(registry.MODEL_PATH_VARIABLE, str(shipped))
    bbc("decompress", "x.bb", "-o", "y.png")


def test_pictures_over_the_limit_are_kept_as_files_and_not_decoded(here):
    done = bbc("compress", FILES / "digit.png", "-o", "x.bb", "-M", 100)
    assert "kept as a file: PNG of 28 x 28 pixels, more than the limit of 100; -M raises it" in done.stderr
    bbc("decompress", "x.bb", "-o", "x.png", "-M", 100)
    assert (here / "x.png").read_bytes() == (FILES / "digit.png").read_bytes()
    assert "digit.png" in bbc("compress", FILES / "digit.png", "-o", "y.bb", "-M", 100, "--pixels", code=1).stderr
    assert not (here / "y.bb").exists()
    bbc("compress", FILES / "digit.png", "-o", "y.bb", "--pixels")
    bbc("decompress", "y.bb", "-o", "y.png", "-M", 100, code=6)
    assert not (here / "y.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [["compress"], ["compress", "a.png", "b.png"], ["compress", "--refine-steps", "-1", "a.png"], ["nonsense"]],
)
def test_wrong_usage_is_code_2(here, arguments):
    bbc(*arguments, code=2)


def test_unreadable_input_is_code_1(here):
    assert "gone.png" in bbc("compress", "gone.png", code=1).stderr
    assert "gone.bb" in bbc("decompress", "gone.bb", code=1).stderr
    (here / "empty").mkdir()
    assert "nothing in this folder" in bbc("compress", "empty", "-o", "x.bb", code=1).stderr
    assert sorted(path.name for path in here.iterdir()) == ["empty"]


def test_two_images_of_one_name_are_refused(digits_folder, here):
    assert "000.png" in bbc("compress", "digits/000.png", "digits", "-o", "x.bb", code=1).stderr
    assert not (here / "x.bb").exists()


def test_a_format_that_would_lose_data_is_refused(here):
    bbc("compress", FILES / "digit.png", "-o", "x.bb")
    assert "would lose data" in bbc("decompress", "x.bb", "-o", "x.jpg", code=1).stderr
    assert files_below(here) == ["x.bb"]


def test_keep_going_recovers_the_other_segments(digits_folder, here):
    bbc("compress", "digits", "-o", "all.bb")
    data = bytearray((here / "all.bb").read_bytes())
    block = blocks.read_block(Source(bytes(data)), 3 + blocks.CRC_BYTES)  # the first segment: a stored picture
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
        (["--help"], {"numpy", "PIL", "torch", "onnxruntime", "scipy", "matplotlib", "safetensors"}),
        (["compress", str(FILES / "digit.png"), "-o", "x.bb"], {"torch", "onnxruntime", "scipy", "matplotlib"}),
        (
            ["decompress", str(FILES / "good-archive-refined.bb"), "-o", "x"],
            {"torch", "onnxruntime", "scipy", "matplotlib"},
        ),
    ],
)
def test_commands_import_no_more_than_they_need(here, arguments, unwanted):
    script = "import sys; from bbcompress.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not unwanted & set(done.stderr.split())


# --- where output goes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "output"),
    [("x.bb", "x.png"), ("x", "x.out.png"), ("x.1.bb", "x.1.png"), ("sub/x.bb", "sub/x.png"), (".bb", ".bb.out.png")],
)
def test_the_output_is_named_as_the_file(here, file, output):
    (here / "sub").mkdir()
    (here / file).write_bytes((FILES / "good-single-binary.bb").read_bytes())
    bbc("decompress", file)
    assert files_below(here) == sorted([file, output])
    assert read(output).same_as(binary_digits(1)[0])


def test_a_picture_that_png_does_not_hold_is_named_so(here):
    (here / "x.bb").write_bytes((FILES / "good-stored-float.bb").read_bytes())
    bbc("decompress", "x.bb")
    assert files_below(here) == ["x.bb", "x.tif"]


@pytest.mark.parametrize(
    ("output", "made"),
    [
        ("y.png", "y.png"),
        ("y", "y/kept.png"),
        ("deep/er/y", "deep/er/y/kept.png"),
        ("y.1", "y.1/kept.png"),  # no image suffix
        ("there.png", "there.png/kept.png"),  # a folder
        (None, "x.v1/kept.png"),
    ],
)
def test_an_archive_of_one_image(here, output, made):
    (here / "there.png").mkdir()
    (here / "x.v1.bb").write_bytes(archive_of({"kept.png": rgb()}))
    bbc("decompress", "x.v1.bb", *([] if output is None else ["-o", output]))
    assert files_below(here) == sorted(["x.v1.bb", made])
    assert read(made).same_as(rgb())


def test_one_image_without_a_name_in_a_folder(here):
    bbc("decompress", FILES / "good-single-grey.bb", "-o", "out")
    assert files_below(here) == ["out/000001.png"]


def test_a_folder_that_is_there_keeps_what_is_in_it(digits_folder, here):
    bbc("compress", "digits", "-o", "all.bb")
    (here / "back" / "more").mkdir(parents=True)
    (here / "back" / "more" / "mine.txt").write_text("precious")
    bbc("decompress", "all.bb", "-o", "back")
    assert (here / "back" / "more" / "mine.txt").read_text() == "precious"
    (here / "back" / "more" / "mine.txt").unlink()
    assert same_pictures(digits_folder, here / "back")


def test_several_files_keep_their_base_names(digits_folder, here):
    bbc("compress", "digits/000.png", "digits/more", digits_folder / "noise.png", "-o", "some.bb", "-q")
    bbc("decompress", "some.bb", "-o", "back", "-q")
    assert files_below(here / "back") == ["000.png", "bilevel.png", "noise.png"]


def test_a_dangling_link_is_not_written_through(here):
    (here / "x.bb").symlink_to(here / "elsewhere")
    assert "already exists" in bbc("compress", FILES / "digit.png", "-o", "x.bb", code=1).stderr
    assert "is a link" in bbc("compress", FILES / "digit.png", "-o", "x.bb", "-f", code=1).stderr
    assert (here / "x.bb").is_symlink()
    assert not (here / "elsewhere").exists()


def test_the_source_is_never_the_output(digits_folder, here):
    before = everything_below(here)
    done = bbc("compress", "digits/000.png", "-o", "digits/000.png", "-f", code=2)
    assert "is one of the images" in done.stderr
    bbc("compress", "digits", "-o", "digits/../digits/more/bilevel.png", "-f", code=2)
    assert everything_below(here) == before


# --- nothing is left of what failed -------------------------------------------------------------


def test_no_folder_is_left_of_what_failed(here):
    before = everything_below(here)
    # its parts are sound, and only the pixels show the damage
    bbc("decompress", FILES / "bad-archive-digest.bb", "-o", "a/b/c", code=3)
    bbc("decompress", FILES / "unsupported-archive-model.bb", "-o", "a/b/c", code=5)
    bbc("decompress", FILES / "bad-single-digest.bb", "-o", "c.png", code=3)
    bbc("decompress", FILES / "bad-archive-same-number.bb", "-o", "a", "--keep-going", code=3)
    assert everything_below(here) == before


@pytest.mark.parametrize("blocked", ["002.png", "more", "more/bilevel.png"])
def test_what_stands_in_the_way_is_noticed_before_anything_is_moved(digits_folder, here, blocked):
    """A folder where a file must be, or a file where a folder must be: even -f cannot help."""
    bbc("compress", "digits", "-o", "all.bb")
    if blocked == "more":
        (here / "back").mkdir()
        (here / "back" / "more").write_text("precious")
    else:
        (here / "back" / blocked).mkdir(parents=True)
    before = everything_below(here)
    for force in ([], ["-f"]):
        assert blocked in bbc("decompress", "all.bb", "-o", "back", *force, code=1).stderr
        assert everything_below(here) == before


@pytest.mark.parametrize("output", ["file/x", "file", "file/y/z"])
def test_output_below_a_file(here, output):
    (here / "file").write_text("precious")
    before = everything_below(here)
    assert "file" in bbc("compress", FILES / "digit.png", "-o", output, code=1).stderr
    assert "file" in bbc("decompress", FILES / "good-archive.bb", "-o", output, code=1).stderr
    assert "file" in bbc("decompress", FILES / "good-single-grey.bb", "-o", f"{output}/a.png", code=1).stderr
    assert everything_below(here) == before


def test_output_in_no_folder(here):
    assert "nowhere" in bbc("compress", FILES / "digit.png", "-o", "nowhere/x.bb", code=1).stderr
    assert "nowhere" in bbc("decompress", FILES / "good-single-grey.bb", "-o", "nowhere/x.png", code=1).stderr
    (here / "folder").mkdir()
    for force in ([], ["-f"]):
        assert "folder" in bbc("compress", FILES / "digit.png", "-o", "folder", *force, code=1).stderr
    assert everything_below(here) == {"folder": None}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError, OSError(28, "No space left on device")])
@pytest.mark.parametrize("where", ["bbcompress.images.place.os.fsync", "bbcompress.images.place.move"])
def test_an_interruption_while_a_file_is_written_leaves_nothing(here, monkeypatch, stop, where):
    def stopped(*_, **__):
        raise stop

    monkeypatch.setattr(where, stopped)
    for command in (["compress", FILES / "digit.png", "-o", "x"], ["decompress", FILES / "good-stored-rgb.bb"]):
        done = CliRunner().invoke(main, [*map(str, command), "-o", "x.png"])
        assert done.exit_code == (130 if stop is KeyboardInterrupt else 1)
        assert everything_below(here) == {}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError, OSError(28, "No space left on device")])
@pytest.mark.parametrize("after", [0, 3])
def test_an_interruption_of_an_archive_leaves_nothing(digits_folder, here, monkeypatch, stop, after):
    bbc("compress", "digits", "-o", "all.bb")
    before = everything_below(here)
    from bbcompress.images import files

    for name, command in (
        ("read", ["compress", "digits", "-o", "again.bb"]),
        ("file_bytes", ["decompress", "all.bb", "-o", "new/back"]),
    ):
        real, calls = getattr(files, name), []

        def stopped(*arguments, real=real, calls=calls, **options):
            calls.append(arguments)
            if len(calls) > after:
                raise stop
            return real(*arguments, **options)

        monkeypatch.setattr(files, name, stopped)
        if name == "read":
            monkeypatch.setattr("bbcompress.cli.reading.read", stopped)
        done = CliRunner().invoke(main, command)
        assert len(calls) == after + 1
        assert done.exit_code == (130 if stop is KeyboardInterrupt else 1)
        assert everything_below(here) == before
        monkeypatch.undo()
        monkeypatch.chdir(here)


def test_names_that_are_folders_of_other_names(here):
    (here / "x.bb").write_bytes(archive_of({"a": rgb(), "a/b.png": rgb(2, 2), "c.png": rgb(1, 1)}))
    before = everything_below(here)
    assert "out/a: cannot be written under this name" in bbc("decompress", "x.bb", "-o", "out").stderr
    assert len(files_below(here / "out")) == 3
    (here / "x.bb").write_bytes(archive_of({"a.png": rgb(), "a.png/b.png": rgb(2, 2)}))
    done = bbc("decompress", "x.bb", "-o", "out2")
    assert len(files_below(here / "out2")) == 2
    assert read("out2/a.png").same_as(rgb())
    (other,) = (here / "out2").glob("a~*.png/b.png")
    assert read(other).same_as(rgb(2, 2))
    assert f"out2/a.png: cannot be written under this name; it is now {other.parent.name}" in done.stderr
    # such names are not kept in the first place
    (here / "in" / "a.png").mkdir(parents=True)
    for path in ("a.png", "in/a.png/b.png"):
        (here / path).write_bytes((FILES / "digit.png").read_bytes())
    assert "a folder a.png" in bbc("compress", "a.png", "in", "-o", "y.bb", code=1).stderr
    assert not (here / "y.bb").exists()
    assert before.keys() <= everything_below(here).keys()


# --- codes and messages ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (0, ["test", FILES / "good-archive.bb"]),
        (1, ["decompress", "gone.bb"]),
        (2, ["decompress"]),
        (3, ["decompress", FILES / "bad-flipped-bit.bb", "-o", "x.png"]),
        (4, ["decompress", FILES / "unsupported-method.bb", "-o", "x.png"]),
        (5, ["decompress", FILES / "unsupported-model.bb", "-o", "x.png"]),
        (6, ["decompress", FILES / "unsupported-pixels.bb", "-o", "x.png"]),
    ],
)
def test_exit_codes_of_a_real_process(here, code, arguments):
    script = "from bbcompress.cli import main; main(prog_name='bbc')"
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code
    assert list(here.iterdir()) == []
    if code in (0, 2):
        return
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"bbc: {arguments[1]}: ")


def test_all_files_are_tested_though_one_is_bad(here):
    done = bbc("test", FILES / "good-archive.bb", FILES / "bad-single-digest.bb", FILES / "good-stored-rgb.bb", code=3)
    assert "good-archive.bb: ok, 6 images" in done.stdout
    assert "good-stored-rgb.bb: ok, 1 images" in done.stdout
    assert "bad-single-digest" in done.stderr


def test_a_model_by_file_and_by_name(here):
    shipped = registry.shipped_models()
    bbc("compress", FILES / "digit.png", "-o", "auto.bb", "-q")
    bbc("compress", FILES / "digit.png", "-o", "file.bb", "-q", "--model", shipped / "mnist-binary.safetensors")
    (here / "mnist-binary").mkdir()  # a folder of that name is no model
    bbc("compress", FILES / "digit.png", "-o", "name.bb", "-q", "--model", "mnist-binary")
    assert (here / "file.bb").read_bytes() == (here / "name.bb").read_bytes()
    assert (here / "auto.bb").stat().st_size <= (here / "name.bb").stat().st_size
    done = bbc("compress", FILES / "digit.png", "-o", "grey.bb", "--model", "mnist-grey", code=1)
    assert "mnist-grey is for grey pictures" in done.stderr
    assert not (here / "grey.bb").exists()


def test_bad_models(here, monkeypatch):
    (here / "bad.safetensors").write_bytes(b"no model")
    for command in (
        ["compress", FILES / "digit.png", "-o", "x.bb", "--model", "bad.safetensors"],
        ["decompress", FILES / "good-single-grey.bb", "-o", "x.png", "--model", "bad.safetensors"],
        ["models", "bad.safetensors"],
    ):
        assert "bad.safetensors" in bbc(*command, code=1).stderr
    bbc("compress", FILES / "digit.png", "-o", "x.bb", "--model", "gone.safetensors", code=1)
    bbc("decompress", FILES / "good-single-grey.bb", "-o", "x.png", "--model", "gone.safetensors", code=2)
    monkeypatch.setenv(registry.MODEL_PATH_VARIABLE, str(here))
    bbc("decompress", FILES / "good-single-grey.bb", "-o", "x.png")
    assert files_below(here) == ["bad.safetensors", "x.png"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["compress", "-", "-", "-o", "x.bb"],
        ["compress", "a.png", "--refine-steps", "10001"],
        ["compress", "a.png", "-T", "0"],
        ["compress", "."],
        ["decompress", FILES / "good-archive.bb", "-o", "-"],
        ["bench", FILES / "digit.png", "--refine-steps", "0,-1"],
        ["bench", FILES / "digit.png", "--refine-steps", "10001"],
        ["bench", FILES / "digit.png", "--refine-steps", ""],
        ["test"],
        ["info"],
        ["models", "gone.safetensors"],
    ],
    ids=str,
)
def test_more_wrong_usage_is_code_2(here, arguments):
    assert bbc(*arguments, code=2).stdout == ""
    assert list(here.iterdir()) == []


def test_standard_input_among_files(here):
    png = (FILES / "digit.png").read_bytes()
    (here / "image.png").write_bytes(png)
    assert "standard input" in bbc("compress", "-", "image.png", "-o", "x.bb", input=png, code=1).stderr
    (here / "image.png").rename(here / "other.png")
    bbc("compress", "-", "other.png", "-o", "x.bb", input=png)
    bbc("decompress", "x.bb", "-o", "back")
    assert files_below(here / "back") == ["image.png", "other.png"]
    assert "standard input" in bbc("compress", "-", "--pixels", "-o", "y.bb", input=b"no image", code=1).stderr
    for command in ("decompress", "test", "info"):
        bbc(command, "-", input=b"no archive", code=3)
    assert "ok, 1 images" in bbc("test", "-", input=(FILES / "good-single-grey.bb").read_bytes()).stdout
    bbc("decompress", "-", "-o", "again", input=(FILES / "good-archive.bb").read_bytes())
    assert len(files_below(here / "again")) == 6


def test_info_for_programs(here):
    for name in ("good-single-grey.bb", "good-stored-rgb.bb", "good-archive-folders.bb", "unsupported-model.bb"):
        done = bbc("info", FILES / name, "--json")
        info = json.loads(done.stdout)
        assert done.stderr == ""
        assert info["bytes"] == (FILES / name).stat().st_size
        assert info["form"] == ("archive" if "archive" in name else "single")
        assert info["images"] == sum(segment["images"] for segment in info["segments"])
        models = [segment["model"] for segment in info["segments"] if segment["method"] == "bits-back"]
        assert (
            models
            == {
                "good-single-grey.bb": ["mnist-grey"],
                "good-stored-rgb.bb": [],
                "good-archive-folders.bb": ["mnist-binary", "mnist-grey"],
                "unsupported-model.bb": [None],
            }[name]
        )


def test_models_for_programs(here):
    shipped = registry.shipped_models() / "mnist-binary.safetensors"
    copy = here / "copy.safetensors"
    copy.write_bytes(shipped.read_bytes())
    listed = json.loads(bbc("models", "--json", copy).stdout)
    assert listed[0]["file"] == str(copy)
    by_file = {row["file"]: row for row in listed}
    assert by_file[str(copy)]["id"] == by_file[str(shipped)]["id"]
    assert [by_file[str(shipped)][key] for key in ("size", "channels", "levels")] == ["28x28", 1, 2]
    assert by_file[str(shipped)]["bytes"] == shipped.stat().st_size


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("bad-archive-names.bb", [f"{number:06d}.png" for number in range(1, 7)]),
        ("bad-archive-digest.bb", ["b.png"]),
        ("bad-archive-end-mark.bb", ["a/7.png", "a/8.png", "a/palette.png", "b/grün.png", "b/rgb.png", "sixteen.png"]),
        ("bad-archive-name-outside.bb", ["000001.png"]),
        ("bad-flipped-bit.bb", []),
    ],
)
def test_what_keep_going_writes(here, name, files):
    done = bbc("decompress", FILES / name, "-o", "sub/out", "--keep-going", "-q", code=3)
    assert done.stderr.startswith(f"bbc: {FILES / name}: ")
    assert files_below(here) == [f"sub/out/{file}" for file in files]
    if not files:
        assert list(here.iterdir()) == []


def test_keep_going_is_quiet_about_sound_files(here):
    assert bbc("decompress", FILES / "good-archive.bb", "-o", "out", "--keep-going", "-q").output == ""


def test_threads_change_no_byte(here):
    script = "from bbcompress.cli import main; main()"
    for threads in (1, 3):
        command = ["compress", FILES.parent / "files" / "digit.png", "-o", f"{threads}.bb", "-T", threads, "-q"]
        subprocess.run([sys.executable, "-c", script, *map(str, command)], check=True)
    assert (here / "1.bb").read_bytes() == (here / "3.bb").read_bytes()


def test_engines_change_no_byte(here):
    (here / "colour").mkdir()
    for number, picture in enumerate(thumbnails(4)):
        write(picture, here / "colour" / f"{number}.png")
    for engine in ("numpy", "onnx"):
        bbc("compress", "colour", "-o", f"{engine}.bb", "--model", "thumbnails", "--engine", engine, "-q")
    assert (here / "numpy.bb").read_bytes() == (here / "onnx.bb").read_bytes()
    assert "ok" in bbc("test", "numpy.bb", "--engine", "onnx").stdout


def test_an_engine_that_is_not_installed(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = bbc("compress", FILES / "digit.png", "-o", "a.bb", "--engine", "onnx", code=1)
    assert result.stderr == "bbc: --engine onnx needs onnxruntime: pip install onnxruntime\n"
    assert list(here.iterdir()) == []


def test_no_check_writes_the_same(digits_folder, here):
    bbc("compress", "digits", "-o", "a.bb", "-q")
    bbc("compress", "digits", "-o", "b.bb", "-q", "--no-check")
    assert (here / "a.bb").read_bytes() == (here / "b.bb").read_bytes()


def test_a_failed_check_keeps_nothing(here, monkeypatch):
    from bbcompress.images import stored

    real = stored.decode
    monkeypatch.setattr(
        stored, "decode", lambda data, **limits: real(data, **limits).__class__("L", rgb().pixels[..., 0])
    )
    (here / "x.png").write_bytes(b"")
    write(rgb(), here / "x.png")
    assert "x.bb" in bbc("compress", "x.png", code=1).stderr
    assert files_below(here) == ["x.png"]


def test_help_and_version(here):
    assert "compress" in bbc("--help").stdout
    assert bbc("-h").stdout == bbc("--help").stdout
    assert bbc("--version").stdout.startswith("bbc")
    for command in ("compress", "decompress", "info", "test", "models", "train", "bench"):
        assert "Usage" in bbc(command, "--help").stdout


def completions(monkeypatch, words):
    """What a shell that completes the last of these words is given."""
    monkeypatch.setenv("_BBC_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    return CliRunner().invoke(main, prog_name="bbc").stdout.split()


def test_shells_complete_commands_options_and_files(monkeypatch):
    assert completions(monkeypatch, "bbc de") == ["plain,decompress"]
    assert completions(monkeypatch, "bbc compress --seg") == ["plain,--segment-size"]
    assert completions(monkeypatch, "bbc test --engine n") == ["plain,numpy"]
    for before_a_file in (
        "compress",
        "compress -o",
        "append",
        "decompress",
        "decompress -o",
        "extract",
        "list",
        "test",
    ):
        assert completions(monkeypatch, f"bbc {before_a_file} sc") == ["file,sc"]


def test_appending_to_a_url_is_refused(here):
    write(rgb(), here / "x.png")
    done = bbc("append", "s3://bucket/scans.bb", "x.png", code=2)
    assert done.stderr.count("\n") == 1 and "s3://bucket/scans.bb: " in done.stderr and "copy it" in done.stderr
